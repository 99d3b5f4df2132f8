//! Durable definitions as records.
//!
//! A record is the fields of an AMQP field table (without length prefix), so it describes
//! itself: readers take the fields they know and ignore others. The one field they must know is
//! `format`: a record of a higher format is refused, because what it means is not known.
//!
//! | kind | fields besides `format` (`I`, now 1) and `kind` (`S`) |
//! |---|---|
//! | `vhost` | `name`, `description` (`S`), `tags` (`A` of `S`), `tracing` (`t`); if set: `default_queue_type` (`S`), `protected_from_deletion` (`t`), `max_connections`, `max_queues` (`l`) |
//! | `exchange` | `vhost`, `name`, `type` (`S`), `auto_delete`, `internal` (`t`), `arguments` (`F`); if it keeps messages: `store` (`l`), `store_owner` (`u`) |
//! | `queue` | `id` (`l`), `vhost`, `name` (`S`), `auto_delete` (`t`), `arguments` (`F`), `owner` (`u`) |
//! | `binding` | `vhost`, `source`, `target`, `key` (`S`), `to_exchange` (`t`), `arguments` (`F`) |
//! | `user` | `name` (`S`), `password_hash` (`x`), `tags` (`A` of `S`); if other than SHA-256: `hashing` (`S`); if set: `max_connections`, `max_channels` (`l`) |
//! | `permission` | `vhost`, `user`, `configure`, `write`, `read` (`S`) |
//! | `topic_permission` | `vhost`, `user`, `exchange`, `write`, `read` (`S`) |
//! | `policy` | `vhost`, `name`, `pattern`, `apply_to` (`S`), `operator` (`t`), `priority` (`l`), `definition` (`F`) |
//! | `global_parameter` | `name`, `value` (`S`) |
//!
//! Only what is durable has a record, so there is no field for that. Fields added later must
//! have a meaning when absent. Drops have no records: the log settles the record of the put.

mod rules;

use std::sync::Arc;

use super::{
    Binding, BindingTarget, Change, Exchange, ExchangeKind, Permission, Queue, User, UserLimits,
    Vhost, VhostLimits,
};
use super::{GlobalParameter, Policy, TopicPermission};
use crate::access::PasswordHashing;
use crate::ids::{QueueId, ShardId, Target};
use crate::table::{Table, TableError, Value};

/// What this code writes, and the highest it reads.
const FORMAT: i32 = 1;

/// Why a record is not a definition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    #[error("a definition record is broken: {0}")]
    Table(#[from] TableError),
    #[error("a definition record has format {found}; this version knows formats up to {known}")]
    NewerFormat { found: i128, known: i32 },
    #[error("a definition record is of the unknown kind '{kind}'")]
    UnknownKind { kind: Box<str> },
    #[error("a definition record has no field '{field}', or one of another type")]
    Field { field: &'static str },
}

impl Change {
    /// The record of a durable entity; `None` for all that has no record.
    pub fn to_record(&self) -> Option<Vec<u8>> {
        if !self.is_durable() {
            return None;
        }
        let mut record = Writer(Table::default());
        record.put("format", Value::I32(FORMAT));
        match self {
            Change::PutVhost(vhost) => write_vhost(&mut record, vhost),
            Change::PutExchange(exchange) => write_exchange(&mut record, exchange),
            Change::PutQueue(queue) => write_queue(&mut record, queue),
            Change::PutBinding(binding) => write_binding(&mut record, binding),
            Change::PutUser(user) => write_user(&mut record, user),
            Change::PutPermission(permission) => write_permission(&mut record, permission),
            Change::PutTopicPermission(permission) => permission.write(&mut record),
            Change::PutPolicy(policy) => policy.write(&mut record),
            Change::PutGlobalParameter(parameter) => parameter.write(&mut record),
            _ => return None,
        }
        let mut octets = Vec::new();
        record.0.encode_fields(&mut octets);
        Some(octets)
    }

    /// Reads a record back.
    pub fn from_record(octets: &[u8]) -> Result<Change, DefinitionError> {
        let record = Reader(Table::decode(octets)?);
        let format = record.integer("format")?;
        if format > FORMAT.into() {
            return Err(DefinitionError::NewerFormat { found: format, known: FORMAT });
        }
        match &*record.text("kind")? {
            "vhost" => read_vhost(&record).map(Change::PutVhost),
            "exchange" => read_exchange(&record).map(Change::PutExchange),
            "queue" => read_queue(&record).map(|queue| Change::PutQueue(queue.into())),
            "binding" => read_binding(&record).map(Change::PutBinding),
            "user" => read_user(&record).map(Change::PutUser),
            "permission" => read_permission(&record).map(Change::PutPermission),
            "topic_permission" => TopicPermission::read(&record).map(Change::PutTopicPermission),
            "policy" => Policy::read(&record).map(Change::PutPolicy),
            "global_parameter" => GlobalParameter::read(&record).map(Change::PutGlobalParameter),
            kind => Err(DefinitionError::UnknownKind { kind: kind.into() }),
        }
    }
}

fn write_vhost(record: &mut Writer, vhost: &Vhost) {
    record.text("kind", "vhost");
    record.text("name", &vhost.name);
    record.text("description", &vhost.description);
    record.texts("tags", &vhost.tags);
    if let Some(kind) = &vhost.default_queue_type {
        record.text("default_queue_type", kind);
    }
    if vhost.protected_from_deletion {
        record.put("protected_from_deletion", Value::Bool(true));
    }
    record.limit("max_connections", vhost.limits.max_connections);
    record.limit("max_queues", vhost.limits.max_queues);
    // What must be there comes last, so that a record cut short is never taken for a whole one.
    record.put("tracing", Value::Bool(vhost.tracing));
}

fn read_vhost(record: &Reader) -> Result<Vhost, DefinitionError> {
    Ok(Vhost {
        name: record.text("name")?,
        description: record.text("description")?,
        tags: record.texts("tags")?,
        tracing: record.flag("tracing")?,
        default_queue_type: record.optional_text("default_queue_type")?,
        protected_from_deletion: record.optional_flag("protected_from_deletion")?,
        limits: VhostLimits {
            max_connections: record.limit("max_connections")?,
            max_queues: record.limit("max_queues")?,
        },
    })
}

fn write_exchange(record: &mut Writer, exchange: &Exchange) {
    record.text("kind", "exchange");
    record.text("vhost", &exchange.vhost);
    record.text("name", &exchange.name);
    record.text("type", exchange.kind.name());
    record.put("auto_delete", Value::Bool(exchange.auto_delete));
    record.put("internal", Value::Bool(exchange.internal));
    record.put("arguments", Value::Table((*exchange.arguments).clone()));
    if let Some(store) = exchange.store {
        record.put("store", Value::I64(store.queue.0 as i64));
        record.put("store_owner", Value::U16(store.shard.0));
    }
}

fn read_exchange(record: &Reader) -> Result<Exchange, DefinitionError> {
    let kind = record.text("type")?;
    let arguments = record.table("arguments")?;
    Ok(Exchange {
        vhost: record.text("vhost")?,
        name: record.text("name")?,
        kind: ExchangeKind::from_name(&kind).ok_or(DefinitionError::Field { field: "type" })?,
        durable: true,
        auto_delete: record.flag("auto_delete")?,
        internal: record.flag("internal")?,
        alternate_exchange: Exchange::alternate_in(&arguments),
        arguments,
        store: match record.0.get("store") {
            None => None,
            Some(_) => Some(Target {
                queue: QueueId(record.integer("store")? as u64),
                shard: record.shard("store_owner")?,
            }),
        },
    })
}

fn write_queue(record: &mut Writer, queue: &Queue) {
    record.text("kind", "queue");
    // Numbers of queues count up from 1 and never get near the sign bit.
    record.put("id", Value::I64(queue.id.0 as i64));
    record.text("vhost", &queue.vhost);
    record.text("name", &queue.name);
    record.put("auto_delete", Value::Bool(queue.auto_delete));
    record.put("arguments", Value::Table((*queue.arguments).clone()));
    record.put("owner", Value::U16(queue.owner.0));
}

fn read_queue(record: &Reader) -> Result<Queue, DefinitionError> {
    Ok(Queue {
        id: QueueId(record.integer("id")? as u64),
        vhost: record.text("vhost")?,
        name: record.text("name")?,
        durable: true,
        auto_delete: record.flag("auto_delete")?,
        exclusive_to: None,
        arguments: record.table("arguments")?,
        owner: record.shard("owner")?,
    })
}

fn write_binding(record: &mut Writer, binding: &Binding) {
    record.text("kind", "binding");
    record.text("vhost", &binding.vhost);
    record.text("source", &binding.source);
    record.text("target", binding.target.name());
    let to_exchange = matches!(binding.target, BindingTarget::Exchange(_));
    record.put("to_exchange", Value::Bool(to_exchange));
    record.text("key", &binding.key);
    record.put("arguments", Value::Table((*binding.arguments).clone()));
}

fn read_binding(record: &Reader) -> Result<Binding, DefinitionError> {
    let target = record.text("target")?;
    Ok(Binding {
        vhost: record.text("vhost")?,
        source: record.text("source")?,
        target: match record.flag("to_exchange")? {
            true => BindingTarget::Exchange(target),
            false => BindingTarget::Queue(target),
        },
        key: record.text("key")?,
        arguments: record.table("arguments")?,
        durable: true,
    })
}

fn write_user(record: &mut Writer, user: &User) {
    record.text("kind", "user");
    record.text("name", &user.name);
    record.put("password_hash", Value::ByteArray((*user.password_hash).into()));
    if user.hashing != PasswordHashing::default() {
        record.text("hashing", user.hashing.name());
    }
    record.limit("max_connections", user.limits.max_connections);
    record.limit("max_channels", user.limits.max_channels);
    record.texts("tags", &user.tags);
}

fn read_user(record: &Reader) -> Result<User, DefinitionError> {
    let Value::ByteArray(password_hash) = record.get("password_hash")? else {
        return Err(DefinitionError::Field { field: "password_hash" });
    };
    Ok(User {
        name: record.text("name")?,
        password_hash: (**password_hash).into(),
        hashing: match record.optional_text("hashing")? {
            None => PasswordHashing::default(),
            Some(name) => PasswordHashing::from_name(&name)
                .ok_or(DefinitionError::Field { field: "hashing" })?,
        },
        limits: UserLimits {
            max_connections: record.limit("max_connections")?,
            max_channels: record.limit("max_channels")?,
        },
        tags: record.texts("tags")?,
    })
}

fn write_permission(record: &mut Writer, permission: &Permission) {
    record.text("kind", "permission");
    record.text("vhost", &permission.vhost);
    record.text("user", &permission.user);
    record.text("configure", &permission.configure);
    record.text("write", &permission.write);
    record.text("read", &permission.read);
}

fn read_permission(record: &Reader) -> Result<Permission, DefinitionError> {
    Ok(Permission {
        vhost: record.text("vhost")?,
        user: record.text("user")?,
        configure: record.text("configure")?,
        write: record.text("write")?,
        read: record.text("read")?,
    })
}

/// Puts fields together.
pub(super) struct Writer(Table);

impl Writer {
    pub(super) fn put(&mut self, field: &'static str, value: Value) {
        self.0 .0.push((field.into(), value));
    }
    pub(super) fn text(&mut self, field: &'static str, text: &str) {
        self.put(field, Value::text(text));
    }
    pub(super) fn texts(&mut self, field: &'static str, texts: &[Arc<str>]) {
        self.put(field, Value::Array(texts.iter().map(|text| Value::text(text)).collect()));
    }
    /// An absent limit has no field.
    pub(super) fn limit(&mut self, field: &'static str, limit: Option<i64>) {
        if let Some(limit) = limit {
            self.put(field, Value::I64(limit));
        }
    }
}

/// Takes fields apart.
pub(super) struct Reader(Table);

impl Reader {
    pub(super) fn get(&self, field: &'static str) -> Result<&Value, DefinitionError> {
        self.0.get(field).ok_or(DefinitionError::Field { field })
    }
    pub(super) fn text(&self, field: &'static str) -> Result<Arc<str>, DefinitionError> {
        let text = self.get(field)?.as_str().ok_or(DefinitionError::Field { field })?;
        Ok(text.into())
    }
    pub(super) fn optional_text(
        &self,
        field: &'static str,
    ) -> Result<Option<Arc<str>>, DefinitionError> {
        self.0.get(field).map(|_| self.text(field)).transpose()
    }
    pub(super) fn limit(&self, field: &'static str) -> Result<Option<i64>, DefinitionError> {
        let wrong = DefinitionError::Field { field };
        let Some(value) = self.0.get(field) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| i64::try_from(number).ok());
        number.map(Some).ok_or(wrong)
    }
    pub(super) fn texts(&self, field: &'static str) -> Result<Vec<Arc<str>>, DefinitionError> {
        let Value::Array(items) = self.get(field)? else {
            return Err(DefinitionError::Field { field });
        };
        let texts = items.iter().map(|item| item.as_str().map(Into::into));
        texts.collect::<Option<_>>().ok_or(DefinitionError::Field { field })
    }
    pub(super) fn flag(&self, field: &'static str) -> Result<bool, DefinitionError> {
        self.get(field)?.as_bool().ok_or(DefinitionError::Field { field })
    }
    /// Absent is false.
    fn optional_flag(&self, field: &'static str) -> Result<bool, DefinitionError> {
        self.0.get(field).map_or(Ok(false), |_| self.flag(field))
    }
    pub(super) fn integer(&self, field: &'static str) -> Result<i128, DefinitionError> {
        self.get(field)?.as_integer().ok_or(DefinitionError::Field { field })
    }
    fn shard(&self, field: &'static str) -> Result<ShardId, DefinitionError> {
        let number = u16::try_from(self.integer(field)?);
        number.map(ShardId).map_err(|_| DefinitionError::Field { field })
    }
    pub(super) fn table(&self, field: &'static str) -> Result<Arc<Table>, DefinitionError> {
        match self.get(field)? {
            Value::Table(table) => Ok(Arc::new(table.clone())),
            _ => Err(DefinitionError::Field { field }),
        }
    }
}
