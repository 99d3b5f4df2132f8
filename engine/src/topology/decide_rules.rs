//! Deciding what rules over others: policies, limits, topic permissions, parameters.

use std::sync::Arc;

use super::decide::{Decided, Decision};
use super::policy_check::check_policy;
use super::{
    Change, Policy, TopicPermission, Topology, TopologyError, TopologyOutcome, TopologyRequest,
    User, Vhost,
};
use crate::access::TopicAccess;

impl Topology {
    pub(super) fn decide_rules(&self, request: &TopologyRequest) -> Decided {
        use TopologyRequest as R;
        match request {
            R::SetTopicPermission(permission) => self.set_topic_permission(permission),
            R::ClearTopicPermission { vhost, user, exchange } => {
                self.clear_topic_permission(vhost, user, exchange.as_deref())
            }
            R::SetPolicy { vhost, name, operator, pattern, apply_to, priority, definition } => {
                self.vhost_or_error(vhost)?;
                let apply_to = check_policy(*operator, pattern, apply_to, definition)?;
                let policy = Policy {
                    vhost: vhost.clone(),
                    name: name.clone(),
                    operator: *operator,
                    pattern: pattern.clone(),
                    apply_to,
                    priority: *priority,
                    definition: definition.clone(),
                };
                let present = self.policy(vhost, name, *operator);
                let outcome = TopologyOutcome::Created(present.is_none());
                let change = (present != Some(&policy)).then_some(Change::PutPolicy(policy));
                Ok(Decision { changes: change.into_iter().collect(), outcome })
            }
            R::ClearPolicy { vhost, name, operator } => {
                self.vhost_or_error(vhost)?;
                if self.policy(vhost, name, *operator).is_none() {
                    return Err(TopologyError::NoParameter);
                }
                let (vhost, name, operator) = (vhost.clone(), name.clone(), *operator);
                Decision::done(vec![Change::DropPolicy { vhost, name, operator }])
            }
            R::SetVhostLimits { vhost, limits } => {
                let vhost = self.vhost_or_error(vhost)?.vhost.clone();
                let same = vhost.limits == *limits;
                let change = Change::PutVhost(Vhost { limits: *limits, ..vhost });
                Decision::done(Vec::from_iter((!same).then_some(change)))
            }
            R::SetUserLimits { user, limits } => {
                self.change_user(user, |user| User { limits: *limits, ..user })
            }
            R::SetGlobalParameter(parameter) => {
                let known = self.parameters.iter().any(|own| own.name == parameter.name);
                let outcome = TopologyOutcome::Created(!known);
                let changes = vec![Change::PutGlobalParameter(parameter.clone())];
                Ok(Decision { changes, outcome })
            }
            R::ClearGlobalParameter { name } => {
                if !self.parameters.iter().any(|own| own.name == *name) {
                    return Err(TopologyError::NoParameter);
                }
                Decision::done(vec![Change::DropGlobalParameter { name: name.clone() }])
            }
            _ => Decision::done(Vec::new()),
        }
    }

    fn set_topic_permission(&self, permission: &TopicPermission) -> Decided {
        for pattern in [&permission.write, &permission.read] {
            TopicAccess::check(pattern).map_err(|error| TopologyError::InvalidRegex {
                pattern: pattern.clone(),
                reason: error.reason.into(),
            })?;
        }
        self.user_or_error(&permission.user)?;
        self.vhost_or_error(&permission.vhost)?;
        Decision::done(vec![Change::PutTopicPermission(permission.clone())])
    }

    fn clear_topic_permission(
        &self,
        vhost: &Arc<str>,
        user: &Arc<str>,
        exchange: Option<&str>,
    ) -> Decided {
        self.user_or_error(user)?;
        let entry = self.vhost_or_error(vhost)?;
        let topics = entry.topic_permissions.get(user.as_bytes()).into_iter().flatten();
        let meant = topics
            .map(|entry| &entry.permission)
            .filter(|topic| exchange.is_none_or(|exchange| *topic.exchange == *exchange));
        Decision::done(meant.map(TopicPermission::to_drop).collect())
    }
}
