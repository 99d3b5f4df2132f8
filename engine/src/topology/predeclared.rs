//! What comes with a vhost without being declared (behaviour A56).
//!
//! The predeclared exchanges are implied by `Change::PutVhost` and go with `Change::DropVhost`:
//! they are neither changes nor records of their own, and stand in no snapshot.

use std::sync::Arc;

use super::{
    Change, Exchange, ExchangeKind, Permission, TopicPermission, Topology, User, UserLimits, Vhost,
    VhostLimits,
};
use crate::access::PasswordHashing;
use crate::event;
use crate::table::Table;

const EXCHANGES: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.topic", ExchangeKind::Topic, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
];

/// Whether an exchange of that name comes and goes with its vhost or with the broker's settings:
/// no record is made of it.
pub(super) fn is_predeclared(exchange: &str) -> bool {
    exchange == event::EXCHANGE || EXCHANGES.iter().any(|(name, ..)| *name == exchange)
}

/// Whether only the broker may create or delete an exchange or queue of that name.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with("amq.")
}

/// Whether `name` has the form that a channel gives a server-named queue (behaviour A70) or the
/// queue behind a direct reply-to consumer (behaviour B19): a prefix and 22 characters of
/// URL-safe base64.
pub(super) fn is_server_named(queue: &str) -> bool {
    let base64 = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
    let rest =
        queue.strip_prefix("amq.gen-").or_else(|| queue.strip_prefix("amq.rabbitmq.reply-to."));
    rest.is_some_and(|rest| rest.len() == 22 && rest.bytes().all(base64))
}

/// The exchanges of a new vhost.
pub(super) fn exchanges(vhost: &Arc<str>) -> impl Iterator<Item = Exchange> + '_ {
    let arguments = Arc::new(Table::default());
    EXCHANGES.iter().map(move |&(name, kind, internal)| Exchange {
        vhost: vhost.clone(),
        name: name.into(),
        kind,
        durable: true,
        auto_delete: false,
        internal,
        arguments: arguments.clone(),
        alternate_exchange: None,
        store: None,
    })
}

impl Change {
    /// The event exchange (behaviour C12), which is there if the broker was started with it.
    pub fn event_exchange() -> Change {
        Change::PutExchange(Exchange {
            vhost: event::VHOST.into(),
            name: event::EXCHANGE.into(),
            kind: ExchangeKind::Topic,
            durable: true,
            auto_delete: false,
            internal: true,
            arguments: Arc::new(Table::default()),
            alternate_exchange: None,
            store: None,
        })
    }
}

impl Topology {
    /// The changes of an empty data directory: vhost `/` with its predeclared exchanges, user
    /// guest with tag administrator and all permissions.
    pub fn first_boot(guest_password_hash: Arc<[u8]>) -> Vec<Change> {
        let (vhost, user, all): (Arc<str>, Arc<str>, Arc<str>) =
            ("/".into(), "guest".into(), ".*".into());
        vec![
            Change::PutVhost(Vhost {
                name: vhost.clone(),
                description: "Default virtual host".into(),
                tags: Vec::new(),
                tracing: false,
                default_queue_type: None,
                protected_from_deletion: false,
                limits: VhostLimits::default(),
            }),
            Change::PutUser(User {
                name: user.clone(),
                password_hash: guest_password_hash,
                hashing: PasswordHashing::default(),
                limits: UserLimits::default(),
                tags: vec!["administrator".into()],
            }),
            Change::PutPermission(Permission {
                vhost,
                user,
                configure: all.clone(),
                write: all.clone(),
                read: all,
            }),
        ]
    }

    /// What must be there so that what `changes` put can be reached: the vhosts that they name,
    /// and if there are no users at all, the one that a new broker has.
    pub fn missing_of(changes: &[Change], guest_password_hash: Arc<[u8]>) -> Vec<Change> {
        let is_user = |change: &Change| matches!(change, Change::PutUser(_));
        let has_users = changes.iter().any(is_user);
        let mut missing = Vec::new();
        for first in Self::first_boot(guest_password_hash) {
            let Change::PutVhost(pattern) = &first else {
                missing.extend((!has_users).then_some(first));
                continue;
            };
            let mut known: Vec<Arc<str>> = Vec::new();
            known.extend(changes.iter().filter_map(|change| match change {
                Change::PutVhost(vhost) => Some(vhost.name.clone()),
                _ => None,
            }));
            let named = changes.iter().filter_map(Change::inside_vhost).cloned();
            for name in std::iter::once(pattern.name.clone()).chain(named) {
                if !known.contains(&name) {
                    missing.push(Change::PutVhost(Vhost { name: name.clone(), ..pattern.clone() }));
                    known.push(name);
                }
            }
        }
        missing
    }

    /// Everything, as changes that rebuild it in order (for a booting replica, for export).
    /// Equal topologies give equal snapshots.
    pub fn snapshot(&self) -> Vec<Change> {
        self.changes(true)
    }

    /// As [`Topology::snapshot`] without what clients declare: who may do what where, and the
    /// rules there are.
    pub fn accounts(&self) -> Vec<Change> {
        self.changes(false)
    }

    fn changes(&self, with_declared: bool) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut users: Vec<&User> = self.users().collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        changes.extend(users.into_iter().cloned().map(Change::PutUser));
        changes.extend(self.parameters.iter().cloned().map(Change::PutGlobalParameter));
        let mut vhosts: Vec<&Vhost> = self.vhosts().collect();
        vhosts.sort_by(|a, b| a.name.cmp(&b.name));
        for vhost in vhosts {
            changes.push(Change::PutVhost(vhost.clone()));
            self.snapshot_rules(&vhost.name, &mut changes);
            if with_declared {
                self.snapshot_declared(&vhost.name, &mut changes);
            }
        }
        changes
    }

    fn snapshot_rules(&self, vhost: &str, changes: &mut Vec<Change>) {
        let mut permissions: Vec<&Permission> = self.permissions(vhost).collect();
        permissions.sort_by(|a, b| a.user.cmp(&b.user));
        changes.extend(permissions.into_iter().cloned().map(Change::PutPermission));
        let mut topics: Vec<&TopicPermission> = self.topic_permissions(vhost).collect();
        topics.sort_by(|a, b| (&a.user, &a.exchange).cmp(&(&b.user, &b.exchange)));
        changes.extend(topics.into_iter().cloned().map(Change::PutTopicPermission));
        changes.extend(self.policies(vhost).cloned().map(Change::PutPolicy));
    }

    fn snapshot_declared(&self, vhost: &str, changes: &mut Vec<Change>) {
        let own = |exchange: &&Exchange| !is_predeclared(&exchange.name);
        let mut exchanges: Vec<&Exchange> = self.exchanges(vhost).filter(own).collect();
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        changes.extend(exchanges.into_iter().cloned().map(Change::PutExchange));
        let mut queues: Vec<_> = self.queues(vhost).collect();
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        changes.extend(queues.into_iter().map(|queue| Change::PutQueue(queue.clone())));
        let entries = self.exchange_entries(vhost);
        let mut bindings: Vec<_> = entries.flat_map(|e| &e.outgoing).map(|b| &b.0).collect();
        bindings.sort_by_cached_key(|b| {
            let mut arguments = Vec::new();
            b.arguments.encode_fields(&mut arguments);
            (b.source.clone(), b.target.clone(), b.key.clone(), arguments)
        });
        changes.extend(bindings.into_iter().map(|b| Change::PutBinding((**b).clone())));
    }
}
