//! Deciding what concerns vhosts, users and permissions.

use std::sync::Arc;

use super::cascade::Cascade;
use super::decide::{Decided, Decision};
use super::{
    Change, Permission, Topology, TopologyError, TopologyOutcome, TopologyRequest, User, Vhost,
};
use crate::access::Pattern;

impl Topology {
    pub(super) fn decide_access(&self, request: &TopologyRequest) -> Decided {
        use TopologyRequest as R;
        match request {
            R::AddVhost { name, description, tags } => {
                let present = self.vhost(name);
                let vhost = Vhost {
                    name: name.clone(),
                    description: description.clone(),
                    tags: tags.clone(),
                    tracing: present.is_some_and(|vhost| vhost.tracing),
                };
                // Adding what exists changes its description and tags, as RabbitMQ does.
                let outcome = TopologyOutcome::Created(present.is_none());
                let change = (present != Some(&vhost)).then_some(Change::PutVhost(vhost));
                Ok(Decision { changes: change.into_iter().collect(), outcome })
            }
            R::DeleteVhost { name } => {
                self.vhost_or_error(name)?;
                let mut cascade = Cascade::new(self);
                cascade.drop_vhost(name);
                Decision::done(cascade.into_changes())
            }
            R::PutUser { name, password_hash, tags, replace } => {
                self.put_user(name, password_hash, tags.as_deref(), *replace)
            }
            R::SetPasswordHash { name, password_hash } => {
                let password_hash = password_hash.clone();
                self.change_user(name, |user| User { password_hash, ..user })
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

    fn user_or_error(&self, user: &Arc<str>) -> Result<&User, TopologyError> {
        self.user(user).ok_or_else(|| TopologyError::NoUser { user: user.clone() })
    }

    /// A user that is replaced keeps its tags unless there are new ones.
    fn put_user(
        &self,
        name: &Arc<str>,
        password_hash: &Arc<[u8]>,
        tags: Option<&[Arc<str>]>,
        replace: bool,
    ) -> Decided {
        let current = self.user(name);
        if current.is_some() && !replace {
            return Err(TopologyError::UserExists { user: name.clone() });
        }
        let tags = match (tags, current) {
            (Some(tags), _) => tags.to_vec(),
            (None, Some(current)) => current.tags.clone(),
            (None, None) => Vec::new(),
        };
        let user = User { name: name.clone(), password_hash: password_hash.clone(), tags };
        let outcome = super::TopologyOutcome::Created(current.is_none());
        Ok(Decision { changes: vec![Change::PutUser(user)], outcome })
    }

    fn change_user(&self, name: &Arc<str>, change: impl FnOnce(User) -> User) -> Decided {
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
        changes.push(Change::DropUser { user: name.clone() });
        Decision::done(changes)
    }
}

fn check_pattern(pattern: &Arc<str>) -> Result<(), TopologyError> {
    match Pattern::new(pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(TopologyError::InvalidRegex {
            pattern: pattern.clone(),
            reason: error.reason.into(),
        }),
    }
}
