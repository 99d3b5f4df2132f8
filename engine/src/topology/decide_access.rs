//! Deciding what concerns vhosts, users and permissions. `decide_rules` has what rules over
//! others.

use std::sync::Arc;

use super::cascade::Cascade;
use super::decide::{Decided, Decision};
use super::{
    Change, Permission, Topology, TopologyError, TopologyOutcome, TopologyRequest, User,
    UserLimits, Vhost, VhostLimits,
};
use crate::access::Pattern;

impl Topology {
    pub(super) fn decide_access(&self, request: &TopologyRequest) -> Decided {
        use TopologyRequest as R;
        match request {
            R::AddVhost { name, description, tags, default_queue_type } => {
                let present = self.vhost(name);
                let vhost = self.added_vhost(name, description, tags, default_queue_type)?;
                // Adding what exists changes its description and tags, as RabbitMQ does.
                let outcome = TopologyOutcome::Created(present.is_none());
                let change = (present != Some(&vhost)).then_some(Change::PutVhost(vhost));
                Ok(Decision { changes: change.into_iter().collect(), outcome })
            }
            R::DeleteVhost { name } => {
                if self.vhost_or_error(name)?.vhost.protected_from_deletion {
                    return Err(TopologyError::ProtectedVhost { vhost: name.clone() });
                }
                let mut cascade = Cascade::new(self);
                cascade.drop_vhost(name);
                Decision::done(cascade.into_changes())
            }
            R::ProtectVhost { name, protected } => {
                let vhost = self.vhost_or_error(name)?.vhost.clone();
                let same = vhost.protected_from_deletion == *protected;
                let protected_from_deletion = *protected;
                let change = Change::PutVhost(Vhost { protected_from_deletion, ..vhost });
                Decision::done(Vec::from_iter((!same).then_some(change)))
            }
            R::PutUser { name, password_hash, hashing, tags, replace } => {
                let user = User {
                    name: name.clone(),
                    password_hash: password_hash.clone(),
                    hashing: *hashing,
                    tags: tags.clone().unwrap_or_default(),
                    limits: UserLimits::default(),
                };
                self.put_user(user, tags.is_some(), *replace)
            }
            R::SetPasswordHash { name, password_hash, hashing } => {
                let (password_hash, hashing) = (password_hash.clone(), *hashing);
                self.change_user(name, |user| User { password_hash, hashing, ..user })
            }
            R::SetUserTags { name, tags } => {
                self.change_user(name, |user| User { tags: tags.clone(), ..user })
            }
            R::DeleteUser { name } => self.delete_user(name),
            R::SetPermission { vhost, user, configure, write, read } => {
                for pattern in [configure, write, read] {
                    check_pattern(pattern)?;
                }
                self.user_or_error(user)?;
                let vhost = self.vhost_or_error(vhost)?.vhost.name.clone();
                Decision::done(vec![Change::PutPermission(Permission {
                    vhost,
                    user: user.clone(),
                    configure: configure.clone(),
                    write: write.clone(),
                    read: read.clone(),
                })])
            }
            R::ClearPermission { vhost, user } => {
                self.user_or_error(user)?;
                let entry = self.vhost_or_error(vhost)?;
                let there = entry.permissions.contains_key(user.as_bytes());
                let (vhost, user) = (vhost.clone(), user.clone());
                let drop = there.then_some(Change::DropPermission { vhost, user });
                Decision::done(drop.into_iter().collect())
            }
            R::SetTopicPermission(_)
            | R::ClearTopicPermission { .. }
            | R::SetPolicy { .. }
            | R::ClearPolicy { .. }
            | R::SetVhostLimits { .. }
            | R::SetUserLimits { .. }
            | R::SetGlobalParameter(_)
            | R::ClearGlobalParameter { .. } => self.decide_rules(request),
            // The others are decided in `decide`.
            R::DeclareExchange { .. }
            | R::DeleteExchange { .. }
            | R::DeclareQueue { .. }
            | R::DropQueue { .. }
            | R::Bind { .. }
            | R::Unbind { .. }
            | R::DropConnection { .. } => Decision::done(Vec::new()),
        }
    }

    /// What is not given stays as it is.
    fn added_vhost(
        &self,
        name: &Arc<str>,
        description: &Option<Arc<str>>,
        tags: &Option<Vec<Arc<str>>>,
        default_queue_type: &Option<Arc<str>>,
    ) -> Result<Vhost, TopologyError> {
        let mut vhost = self.vhost(name).cloned().unwrap_or_else(|| Vhost {
            name: name.clone(),
            description: "".into(),
            tags: Vec::new(),
            tracing: false,
            default_queue_type: None,
            protected_from_deletion: false,
            limits: VhostLimits::default(),
        });
        if let Some(description) = description {
            vhost.description = description.clone();
        }
        if let Some(tags) = tags {
            vhost.tags = tags.clone();
        }
        if let Some(kind) = default_queue_type {
            // A classic queue must not pass for one that is replicated.
            if &**kind != "classic" {
                let (vhost, name) = (name.clone(), "".into());
                let kind = kind.clone();
                return Err(TopologyError::UnsupportedQueueType { vhost, name, kind });
            }
            vhost.default_queue_type = Some(kind.clone());
        }
        Ok(vhost)
    }

    pub(super) fn user_or_error(&self, user: &Arc<str>) -> Result<&User, TopologyError> {
        self.user(user).ok_or_else(|| TopologyError::NoUser { user: user.clone() })
    }

    /// A user that is replaced keeps its limits, and its tags unless there are new ones.
    fn put_user(&self, mut user: User, new_tags: bool, replace: bool) -> Decided {
        let current = self.user(&user.name);
        if current.is_some() && !replace {
            return Err(TopologyError::UserExists { user: user.name });
        }
        if let Some(current) = current {
            user.limits = current.limits;
            if !new_tags {
                user.tags = current.tags.clone();
            }
        }
        let outcome = super::TopologyOutcome::Created(current.is_none());
        Ok(Decision { changes: vec![Change::PutUser(user)], outcome })
    }

    pub(super) fn change_user(
        &self,
        name: &Arc<str>,
        change: impl FnOnce(User) -> User,
    ) -> Decided {
        let user = self.user_or_error(name)?.clone();
        Decision::done(vec![Change::PutUser(change(user))])
    }

    /// Permissions go with the user.
    fn delete_user(&self, name: &Arc<str>) -> Decided {
        self.user_or_error(name)?;
        let holds = self.vhosts.values().filter(|v| v.permissions.contains_key(name.as_bytes()));
        let mut changes: Vec<Change> = holds
            .map(|entry| {
                let vhost = entry.vhost.name.clone();
                Change::DropPermission { vhost, user: name.clone() }
            })
            .collect();
        for vhost in self.vhosts.values() {
            let topics = vhost.topic_permissions.get(name.as_bytes()).into_iter().flatten();
            changes.extend(topics.map(|entry| entry.permission.to_drop()));
        }
        changes.push(Change::DropUser { user: name.clone() });
        Decision::done(changes)
    }
}

pub(super) fn check_pattern(pattern: &Arc<str>) -> Result<(), TopologyError> {
    match Pattern::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(TopologyError::InvalidRegex {
            pattern: pattern.clone(),
            reason: error.reason.into(),
        }),
    }
}
