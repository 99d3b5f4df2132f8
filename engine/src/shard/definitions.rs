//! The durable definitions as records of shard 0's log, and the supply of queue ids.
//!
//! A definition is a live message of [`QueueId::DEFINITIONS`]; dropping it settles that message,
//! replacing it appends the new record first and settles the old one then. A change of several
//! entities takes effect, to recovery, with the record of its chief entity: what hangs on others
//! is put before them and settled after them, so that a crash in between leaves orphans, which
//! the next start removes, and never half of a thing.
//!
//! Queue ids must never be given twice, or what the log holds of a deleted queue would rise in
//! another one. So ids are reserved in steps, by a definition of their own; its record is also
//! the last one of a first start, and says that the start was completed.

use rustc_hash::FxHashMap;

use crate::ids::{QueueId, Seq};
use crate::log::{Address, Log, Memory, Placed, Position, Settling};
use crate::now::Now;
use crate::table::{Table, Value};
use crate::topology::{Change, DefinitionError, EntityKey};

/// Queue ids reserved by one record.
const RESERVE: u64 = 1024;
/// `kind` of the reservation's record, beside the kinds of `topology`.
const RESERVATION: &str = "queue_ids";

/// A definition's record in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) seq: Seq,
    pub(super) address: Address,
    /// Octets of the record.
    pub(super) length: u32,
    pub(super) reference: u32,
}

/// What a definition record says.
#[derive(Debug)]
pub(super) enum Definition {
    Entity(Change),
    /// All queue ids below this one may have been given.
    QueueIdsBelow(u64),
}

impl Definition {
    pub(super) fn read(octets: &[u8]) -> Result<Self, DefinitionError> {
        let table = Table::decode(octets)?;
        if table.get("kind").and_then(Value::as_str) != Some(RESERVATION) {
            return Change::from_record(octets).map(Definition::Entity);
        }
        let below = table.get("below").and_then(Value::as_integer);
        let below = below.and_then(|below| u64::try_from(below).ok());
        below.map(Definition::QueueIdsBelow).ok_or(DefinitionError::Field { field: "below" })
    }
}

pub(super) fn reservation(below: u64) -> Vec<u8> {
    let fields = vec![
        ("format".into(), Value::I32(1)),
        ("kind".into(), Value::text(RESERVATION)),
        ("below".into(), Value::I64(below as i64)),
    ];
    let mut octets = Vec::new();
    Table(fields).encode_fields(&mut octets);
    octets
}

/// How much hangs on an entity: 0 is chief.
fn rank(key: &EntityKey) -> u8 {
    match key {
        EntityKey::Vhost(_) | EntityKey::User(_) | EntityKey::GlobalParameter(_) => 0,
        EntityKey::Exchange { .. } | EntityKey::Queue(_) => 1,
        EntityKey::Binding { .. }
        | EntityKey::Permission { .. }
        | EntityKey::TopicPermission { .. }
        | EntityKey::Policy { .. } => 2,
    }
}

/// The record of each entity. A broker with very many entities has very many queues, so their
/// key takes as little as it can.
#[derive(Debug, Default)]
pub(super) struct Live {
    queues: FxHashMap<QueueId, Record>,
    others: FxHashMap<EntityKey, Record>,
}

impl Live {
    /// Gives the record that was there before.
    pub(super) fn insert(&mut self, key: EntityKey, record: Record) -> Option<Record> {
        match key {
            EntityKey::Queue(id) => self.queues.insert(id, record),
            key => self.others.insert(key, record),
        }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.queues.values().chain(self.others.values()).copied()
    }

    pub(super) fn get(&self, key: &EntityKey) -> Option<Record> {
        match key {
            EntityKey::Queue(id) => self.queues.get(id).copied(),
            key => self.others.get(key).copied(),
        }
    }

    fn get_mut(&mut self, key: &EntityKey) -> Option<&mut Record> {
        match key {
            EntityKey::Queue(id) => self.queues.get_mut(id),
            key => self.others.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, key: &EntityKey) -> Option<Record> {
        match key {
            EntityKey::Queue(id) => self.queues.remove(id),
            key => self.others.remove(key),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    live: Live,
    next_seq: u64,
    next_queue: u64,
    /// Ids below this one may be given.
    reserved: u64,
    reservation: Option<Record>,
}

impl Definitions {
    /// As recovery found them.
    pub(super) fn recovered(
        live: Live,
        next_seq: u64,
        queue_ids_below: u64,
        reservation: Option<Record>,
    ) -> Self {
        // 0 is the queue of the definitions themselves.
        let next_queue = queue_ids_below.max(QueueId::DEFINITIONS.0 + 1);
        Definitions { live, next_seq, next_queue, reserved: next_queue, reservation }
    }

    /// The record of the definition with that content.
    pub(super) fn record_mut(&mut self, payload: &[u8]) -> Option<&mut Record> {
        match Definition::read(payload).ok()? {
            Definition::Entity(change) => self.live.get_mut(&change.entity_key()),
            Definition::QueueIdsBelow(_) => self.reservation.as_mut(),
        }
    }

    /// The id a new queue would get.
    pub(super) fn next_queue(&self) -> QueueId {
        QueueId(self.next_queue)
    }

    /// The id has been given. Returns the position at which that is sure to be remembered.
    pub(super) fn queue_given<M: Memory>(&mut self, now: Now, log: &mut Log<M>) -> Position {
        self.next_queue += 1;
        if self.next_queue <= self.reserved {
            return Position::default();
        }
        self.reserve(now, log)
    }

    /// Makes sure that the next id may be given.
    pub(super) fn reserve<M: Memory>(&mut self, now: Now, log: &mut Log<M>) -> Position {
        self.reserved = self.next_queue + RESERVE;
        let (record, end) = self.append(now, log, &reservation(self.reserved));
        if let Some(old) = self.reservation.replace(record) {
            settle(now, log, old);
        }
        end
    }

    fn append<M: Memory>(
        &mut self,
        now: Now,
        log: &mut Log<M>,
        payload: &[u8],
    ) -> (Record, Position) {
        let seq = Seq(self.next_seq);
        self.next_seq += 1;
        let placed = log.append_definition(now, seq, payload);
        let Placed { address, length, reference, end } = placed;
        (Record { seq, address, length, reference }, end)
    }

    /// Writes what of these changes is to survive. Returns the position at which it does.
    pub(super) fn write<M: Memory>(
        &mut self,
        now: Now,
        log: &mut Log<M>,
        changes: &[Change],
    ) -> Position {
        let mut end = Position::default();
        let mut puts = Vec::new();
        let mut drops = Vec::new();
        for change in changes {
            let key = change.entity_key();
            match change.to_record() {
                Some(payload) => puts.push((key, payload)),
                // A drop, or something transient in the place of something durable.
                None => drops.extend(self.live.remove(&key).map(|record| (rank(&key), record))),
            }
        }
        puts.sort_by_key(|(key, _)| std::cmp::Reverse(rank(key)));
        for (key, payload) in puts {
            let (record, written) = self.append(now, log, &payload);
            end = end.max(written);
            if let Some(old) = self.live.insert(key, record) {
                end = end.max(settle(now, log, old));
            }
        }
        drops.sort_by_key(|(rank, _)| *rank);
        for (_, record) in drops {
            end = end.max(settle(now, log, record));
        }
        if end > Position::default() {
            // Somebody waits: settles alone would wait for company.
            log.flush();
        }
        end
    }
}

/// Settles a definition's record.
pub(super) fn settle<M: Memory>(now: Now, log: &mut Log<M>, record: Record) -> Position {
    let Record { seq, address, length, reference } = record;
    log.append_settle(
        now,
        Settling { queue: QueueId::DEFINITIONS, seq, address, length, reference },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservation_is_told_from_every_entity() {
        let octets = reservation(5000);
        assert!(matches!(Definition::read(&octets), Ok(Definition::QueueIdsBelow(5000))));
        let put = &crate::topology::Topology::first_boot(std::sync::Arc::from([1_u8; 36]))[0];
        let octets = put.to_record().expect("durable");
        match Definition::read(&octets) {
            Ok(Definition::Entity(change)) => assert_eq!(&change, put),
            other => panic!("{other:?}"),
        }
    }
}
