//! What may be asked of the topology writer, and what it answers.

use std::sync::Arc;

use super::{BindingTarget, GlobalParameter, TopicPermission, UserLimits, VhostLimits};
use crate::access::PasswordHashing;
use crate::ids::{ConnectionId, QueueId};
use crate::table::Table;

/// Permissions have been checked by the asker; everything else is checked by the writer.
#[derive(Clone, Debug)]
pub enum TopologyRequest {
    DeclareExchange {
        vhost: Arc<str>,
        name: Arc<str>,
        /// As the client wrote it; an unknown one is an error with its text.
        kind: Arc<str>,
        durable: bool,
        auto_delete: bool,
        internal: bool,
        arguments: Arc<Table>,
    },
    DeleteExchange {
        vhost: Arc<str>,
        name: Arc<str>,
        if_unused: bool,
    },
    DeclareQueue {
        vhost: Arc<str>,
        /// Never empty: a server-named queue has had its name made by the channel.
        name: Arc<str>,
        durable: bool,
        auto_delete: bool,
        exclusive_to: Option<ConnectionId>,
        /// Who asks: for the exclusive lock check.
        connection: Option<ConnectionId>,
        arguments: Arc<Table>,
    },
    /// Sent by a queue's owner once it has closed the queue, or by the writer itself.
    DropQueue {
        id: QueueId,
    },
    Bind {
        vhost: Arc<str>,
        source: Arc<str>,
        target: BindingTarget,
        key: Arc<str>,
        arguments: Arc<Table>,
        connection: Option<ConnectionId>,
    },
    Unbind {
        vhost: Arc<str>,
        source: Arc<str>,
        target: BindingTarget,
        key: Arc<str>,
        arguments: Arc<Table>,
        connection: Option<ConnectionId>,
    },
    /// The connection is gone: its exclusive queues go too.
    DropConnection {
        connection: ConnectionId,
    },
    AddVhost {
        name: Arc<str>,
        /// What is `None` stays as it is.
        description: Option<Arc<str>>,
        tags: Option<Vec<Arc<str>>>,
        default_queue_type: Option<Arc<str>>,
    },
    DeleteVhost {
        name: Arc<str>,
    },
    /// Says whether the vhost may be deleted.
    ProtectVhost {
        name: Arc<str>,
        protected: bool,
    },
    /// `password_hash` as [`super::User::password_hash`]. Fails if the user exists and
    /// `replace` is false.
    PutUser {
        name: Arc<str>,
        password_hash: Arc<[u8]>,
        hashing: PasswordHashing,
        tags: Option<Vec<Arc<str>>>,
        replace: bool,
    },
    SetPasswordHash {
        name: Arc<str>,
        password_hash: Arc<[u8]>,
        hashing: PasswordHashing,
    },
    SetUserTags {
        name: Arc<str>,
        tags: Vec<Arc<str>>,
    },
    DeleteUser {
        name: Arc<str>,
    },
    SetPermission {
        vhost: Arc<str>,
        user: Arc<str>,
        configure: Arc<str>,
        write: Arc<str>,
        read: Arc<str>,
    },
    ClearPermission {
        vhost: Arc<str>,
        user: Arc<str>,
    },
    SetTopicPermission(TopicPermission),
    ClearTopicPermission {
        vhost: Arc<str>,
        user: Arc<str>,
        /// `None`: of all exchanges.
        exchange: Option<Arc<str>>,
    },
    SetPolicy {
        vhost: Arc<str>,
        name: Arc<str>,
        operator: bool,
        pattern: Arc<str>,
        /// As it was written; an unknown one is an error with its text.
        apply_to: Arc<str>,
        priority: i64,
        definition: Arc<Table>,
    },
    ClearPolicy {
        vhost: Arc<str>,
        name: Arc<str>,
        operator: bool,
    },
    SetVhostLimits {
        vhost: Arc<str>,
        limits: VhostLimits,
    },
    SetUserLimits {
        user: Arc<str>,
        limits: UserLimits,
    },
    SetGlobalParameter(GlobalParameter),
    ClearGlobalParameter {
        name: Arc<str>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum TopologyOutcome {
    /// Done, or nothing was to be done.
    Done,
    /// A queue declare: true if it is new.
    Queue { id: QueueId, created: bool },
    /// An exchange declare, a bind, an added vhost or user: true if it is new.
    Created(bool),
}
