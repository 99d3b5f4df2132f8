//! Policies: settings that an operator lays over queues and exchanges by their names (behaviour
//! B56-B58).
//!
//! Of all policies of a vhost whose pattern occurs in a name and that apply to its kind, the one
//! with the highest priority counts, and no other. Operator policies are chosen in the same way
//! and laid over it: where both set a number the lower one counts. A queue's own argument beats
//! its policy, except for numeric limits, of which again the lower counts.

use std::sync::Arc;

use crate::access::Pattern;
use crate::table::{Table, Value};

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplyTo {
    All,
    Exchanges,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
}

const KINDS: [(&str, ApplyTo); 6] = [
    ("all", ApplyTo::All),
    ("exchanges", ApplyTo::Exchanges),
    ("queues", ApplyTo::Queues),
    ("classic_queues", ApplyTo::ClassicQueues),
    ("quorum_queues", ApplyTo::QuorumQueues),
    ("streams", ApplyTo::Streams),
];

impl ApplyTo {
    /// `None`: there is no such kind.
    pub fn from_name(name: &str) -> Option<ApplyTo> {
        KINDS.iter().find(|(own, _)| *own == name).map(|(_, kind)| *kind)
    }

    pub fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("all", |(name, _)| name)
    }

    /// Every queue of this broker is a classic one.
    fn covers(self, subject: Subject) -> bool {
        match subject {
            Subject::Exchange => matches!(self, ApplyTo::All | ApplyTo::Exchanges),
            Subject::Queue => {
                matches!(self, ApplyTo::All | ApplyTo::Queues | ApplyTo::ClassicQueues)
            }
        }
    }
}

/// What a policy is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Exchange,
    Queue,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub vhost: Arc<str>,
    pub name: Arc<str>,
    /// Laid over the others by whoever runs the broker.
    pub operator: bool,
    /// Regular expression, searched for in names.
    pub pattern: Arc<str>,
    pub apply_to: ApplyTo,
    /// The highest one counts.
    pub priority: i64,
    /// Keys are queue arguments without their `x-`, or `alternate-exchange`.
    pub definition: Arc<Table>,
}

/// What policies amount to for one queue or exchange.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EffectivePolicy {
    /// Name of the policy that counts.
    pub policy: Option<Arc<str>>,
    /// Name of the operator policy that counts.
    pub operator_policy: Option<Arc<str>>,
    /// Both together.
    pub definition: Arc<Table>,
}

/// The policies of one vhost.
#[derive(Debug, Default)]
pub(super) struct PolicySet {
    user: Vec<Compiled>,
    operator: Vec<Compiled>,
}

#[derive(Debug)]
struct Compiled {
    policy: Policy,
    pattern: Pattern,
}

/// The expression for a pattern of a policy: unlike one of a permission, an empty one is found in
/// every name.
pub(super) fn pattern_of(text: &str) -> &str {
    match text {
        "" => ".*",
        text => text,
    }
}

/// Keys of which the lower value counts, whoever sets it.
pub(super) const LOWER_COUNTS: [&str; 8] = [
    "message-ttl",
    "expires",
    "max-length",
    "max-length-bytes",
    "max-in-memory-length",
    "max-in-memory-bytes",
    "delivery-limit",
    "consumer-timeout",
];

impl PolicySet {
    pub(super) fn is_empty(&self) -> bool {
        self.user.is_empty() && self.operator.is_empty()
    }

    fn list_mut(&mut self, operator: bool) -> &mut Vec<Compiled> {
        match operator {
            true => &mut self.operator,
            false => &mut self.user,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.user.iter().chain(&self.operator).map(|compiled| &compiled.policy)
    }

    pub(super) fn get(&self, name: &str, operator: bool) -> Option<&Policy> {
        self.iter().find(|policy| &*policy.name == name && policy.operator == operator)
    }

    /// Kept in the order in which they are looked through: of two of one priority the first by
    /// name counts, on every shard alike.
    pub(super) fn put(&mut self, policy: Policy) {
        self.remove(&policy.name, policy.operator);
        let list = self.list_mut(policy.operator);
        // One that does not compile could not be set.
        let pattern = Pattern::new(pattern_of(&policy.pattern)).unwrap_or(Pattern::Nothing);
        let rank = |policy: &Policy| (std::cmp::Reverse(policy.priority), policy.name.clone());
        let place = list.partition_point(|other| rank(&other.policy) < rank(&policy));
        list.insert(place, Compiled { policy, pattern });
    }

    pub(super) fn remove(&mut self, name: &str, operator: bool) {
        self.list_mut(operator).retain(|compiled| &*compiled.policy.name != name);
    }

    pub(super) fn effective(&self, name: &str, subject: Subject) -> EffectivePolicy {
        let find = |list: &[Compiled]| {
            let fits = |compiled: &&Compiled| {
                compiled.policy.apply_to.covers(subject) && compiled.pattern.matches(name)
            };
            list.iter()
                .find(fits)
                .map(|found| (found.policy.name.clone(), found.policy.definition.clone()))
        };
        let (policy, user) = find(&self.user).unzip();
        let (operator_policy, operator) = find(&self.operator).unzip();
        let definition = match (user, operator) {
            (Some(user), Some(operator)) => Arc::new(merge(&user, &operator)),
            (one, other) => one.or(other).unwrap_or_default(),
        };
        EffectivePolicy { policy, operator_policy, definition }
    }
}

/// Lays an operator policy's definition over another one.
fn merge(user: &Table, operator: &Table) -> Table {
    let mut merged = user.clone();
    for (key, value) in &operator.0 {
        match merged.0.iter_mut().find(|(own, _)| own == key) {
            Some((_, own)) if LOWER_COUNTS.contains(&&**key) => {
                if value.as_integer() < own.as_integer() {
                    *own = value.clone();
                }
            }
            Some((_, own)) => *own = value.clone(),
            None => merged.0.push((key.clone(), value.clone())),
        }
    }
    merged
}

impl EffectivePolicy {
    /// A text that the policy sets.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.definition.get(key).and_then(Value::as_str)
    }

    /// A number that the policy sets.
    pub fn number(&self, key: &str) -> Option<u64> {
        let value = self.definition.get(key)?.as_integer()?;
        u64::try_from(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(name: &str, priority: i64, apply_to: ApplyTo, fields: &[(&str, i64)]) -> Policy {
        let fields = fields.iter().map(|(key, value)| ((*key).into(), Value::I64(*value)));
        Policy {
            vhost: "/".into(),
            name: name.into(),
            operator: name.starts_with("op"),
            pattern: "^q".into(),
            apply_to,
            priority,
            definition: Arc::new(Table(fields.collect())),
        }
    }

    #[test]
    fn the_highest_priority_counts_alone() {
        let mut set = PolicySet::default();
        set.put(policy("low", 1, ApplyTo::All, &[("message-ttl", 5), ("expires", 7)]));
        set.put(policy("high", 2, ApplyTo::Queues, &[("max-length", 3)]));
        let effective = set.effective("q1", Subject::Queue);
        assert_eq!(effective.policy.as_deref(), Some("high"));
        assert_eq!(effective.number("max-length"), Some(3));
        assert_eq!(effective.number("message-ttl"), None);
        assert_eq!(set.effective("q1", Subject::Exchange).policy.as_deref(), Some("low"));
        assert_eq!(set.effective("p", Subject::Queue), EffectivePolicy::default());
        set.put(policy("high", 0, ApplyTo::Queues, &[("max-length", 3)]));
        assert_eq!(set.effective("q1", Subject::Queue).policy.as_deref(), Some("low"));
        set.remove("low", false);
        assert_eq!(set.effective("q1", Subject::Queue).policy.as_deref(), Some("high"));
    }

    #[test]
    fn of_a_number_set_twice_the_lower_counts() {
        let mut set = PolicySet::default();
        set.put(policy("user", 0, ApplyTo::All, &[("message-ttl", 5), ("max-length", 9)]));
        set.put(policy("op", 0, ApplyTo::Queues, &[("message-ttl", 6), ("max-length", 8)]));
        set.put(policy("op2", -1, ApplyTo::Queues, &[("message-ttl", 1)]));
        let effective = set.effective("q", Subject::Queue);
        assert_eq!(effective.operator_policy.as_deref(), Some("op"));
        assert_eq!(effective.number("message-ttl"), Some(5));
        assert_eq!(effective.number("max-length"), Some(8));
    }

    #[test]
    fn an_empty_pattern_is_found_in_every_name() {
        let mut set = PolicySet::default();
        set.put(Policy { pattern: "".into(), ..policy("all", 0, ApplyTo::ClassicQueues, &[]) });
        assert_eq!(set.effective("anything", Subject::Queue).policy.as_deref(), Some("all"));
        assert_eq!(set.effective("anything", Subject::Exchange).policy, None);
    }

    #[test]
    fn every_kind_has_its_name() {
        for (name, kind) in KINDS {
            assert_eq!(ApplyTo::from_name(name), Some(kind));
            assert_eq!(kind.name(), name);
        }
        assert_eq!(ApplyTo::from_name("streamz"), None);
    }
}
