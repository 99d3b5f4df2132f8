//! What the definition records of a log amount to, when all is read: which of them stand, and how
//! shard 0's log goes on with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::definitions::{self, Definition, Definitions, Live, Record};
use crate::event;
use crate::ids::Seq;
use crate::log::{Address, Log, Memory, Position};
use crate::now::Now;
use crate::table::Table;
use crate::topology::{BindingTarget, Change, DefinitionError, EntityKey, Queue, Topology};

/// A definition record found in the log.
#[derive(Debug)]
struct FoundDefinition {
    record: Record,
    says: Says,
}

/// What a record says. It is read at once, and what stays in memory longest takes least until then: what a start with a
/// hundred thousand queues uses and frees leaves holes between what stays.
#[derive(Debug)]
enum Says {
    Queue(Arc<Queue>),
    /// That it cannot be read matters only if it stands in the end.
    Other(Box<Result<Definition, DefinitionError>>),
}

/// The definition records of a log, as far as it has been read.
#[derive(Debug, Default)]
pub(super) struct FoundDefinitions {
    standing: BTreeMap<Seq, FoundDefinition>,
    next_seq: u64,
    common: Common,
}

/// What queues have in common, so that each does not have it in memory of its own.
#[derive(Debug, Default)]
struct Common {
    vhosts: FxHashSet<Arc<str>>,
    no_arguments: Arc<Table>,
}

impl Common {
    fn share(&mut self, queue: &mut Arc<Queue>) {
        let Some(queue) = Arc::get_mut(queue) else { return };
        if let Some(vhost) = self.vhosts.get(&queue.vhost) {
            queue.vhost = vhost.clone();
        } else {
            self.vhosts.insert(queue.vhost.clone());
        }
        if queue.arguments.0.is_empty() {
            queue.arguments = self.no_arguments.clone();
        }
    }
}

impl FoundDefinitions {
    pub(super) fn found(&mut self, record: Record, payload: &[u8]) {
        self.next_seq = self.next_seq.max(record.seq.0 + 1);
        let says = match Definition::read(payload) {
            Ok(Definition::Entity(Change::PutQueue(mut queue))) => {
                self.common.share(&mut queue);
                Says::Queue(queue)
            }
            other => Says::Other(other.into()),
        };
        self.standing.insert(record.seq, FoundDefinition { record, says });
    }

    /// Those from `first` to `last` whose records lie where `is_meant` says are settled.
    pub(super) fn settled(&mut self, first: Seq, last: Seq, is_meant: impl Fn(Address) -> bool) {
        self.next_seq = self.next_seq.max(last.0 + 1);
        let run = self.standing.range(first..=last);
        let meant = run.filter(|(_, found)| is_meant(found.record.address));
        let settled: Vec<Seq> = meant.map(|(seq, _)| *seq).collect();
        for seq in settled {
            self.standing.remove(&seq);
        }
    }

    pub(super) fn retain(&mut self, stands: impl Fn(Record) -> bool) {
        self.standing.retain(|_, found| stands(found.record));
    }

    /// Above all that the log tells of.
    pub(super) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The records that have not been [sorted](FoundDefinitions::sort).
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.standing.values().map(|found| found.record)
    }
}

/// What the definition records amount to.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) changes: Arc<[Change]>,
    /// Made of them.
    pub(super) topology: Topology,
    live: Live,
    /// Replaced, or left without what they belong to: to be settled.
    obsolete: Vec<Record>,
    reservation: Option<Record>,
    queue_ids_below: u64,
    first_boot: bool,
    /// Made up in the place of lost ones: to be written.
    made: Vec<Change>,
}

/// If the record is lost that says which queue ids have been given: so many more than are known
/// are passed over.
const IDS_SKIPPED: u64 = 1 << 40;

impl Sorted {
    /// All records that there were, those to be settled as well.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let standing = self.live.records().chain(self.reservation);
        standing.chain(self.obsolete.iter().copied())
    }

    /// Shard 0's log goes on: obsolete records are settled, a first boot's are written, and what had
    /// to be made anew. The end of that, which nobody should be served before it is durable.
    pub(super) fn take_up<M: Memory>(
        self,
        now: Now,
        log: &mut Log<M>,
        next_definition: u64,
    ) -> (Definitions, Position) {
        let Sorted { changes, live, obsolete, reservation, first_boot, made, .. } = self;
        let mut queue_ids_below = self.queue_ids_below;
        let lacks_reservation = reservation.is_none();
        for record in obsolete {
            definitions::settle(now, log, record);
        }
        for change in &*changes {
            if let Some(id) = change.new_queue() {
                queue_ids_below = queue_ids_below.max(id.0 + 1);
            }
        }
        let mut records =
            Definitions::recovered(live, next_definition, queue_ids_below, reservation);
        if first_boot {
            records.write(now, log, &changes);
        } else if !made.is_empty() {
            records.write(now, log, &made);
        }
        if lacks_reservation {
            records.reserve(now, log);
        }
        if lacks_reservation || !made.is_empty() {
            log.flush();
            return (records, log.end());
        }
        (records, Position(0))
    }
}

impl FoundDefinitions {
    /// Makes one topology of the records, which are gone from here then: of two of one entity the later one counts,
    /// and what belongs to something that is not there does not count at all.
    pub(super) fn sort(
        &mut self,
        guest_password_hash: Arc<[u8]>,
        tells_events: bool,
        rescues: bool,
    ) -> Result<Sorted, DefinitionError> {
        sort(std::mem::take(&mut self.standing), guest_password_hash, tells_events, rescues)
    }
}

fn sort(
    found: BTreeMap<Seq, FoundDefinition>,
    guest_password_hash: Arc<[u8]>,
    tells_events: bool,
    rescues: bool,
) -> Result<Sorted, DefinitionError> {
    let mut sorted = Sorted::default();
    let mut latest: FxHashMap<EntityKey, (Change, Record)> = FxHashMap::default();
    let mut queues = Vec::new();
    for FoundDefinition { record, says } in found.into_values() {
        let definition = match says {
            Says::Queue(queue) => {
                sorted.obsolete.extend(sorted.live.insert(EntityKey::Queue(queue.id), record));
                queues.push((record.seq, queue));
                continue;
            }
            Says::Other(definition) => *definition,
        };
        match definition? {
            Definition::Entity(change) => {
                let old = latest.insert(change.entity_key(), (change, record));
                sorted.obsolete.extend(old.map(|(_, record)| record));
            }
            Definition::QueueIdsBelow(below) => {
                sorted.queue_ids_below = sorted.queue_ids_below.max(below);
                sorted.obsolete.extend(sorted.reservation.replace(record));
            }
        }
    }
    if sorted.reservation.is_none() && (!rescues || (latest.is_empty() && queues.is_empty())) {
        // A first boot ends with a reservation. What an interrupted one has left is put anew.
        sorted.obsolete.extend(latest.into_values().map(|(_, record)| record));
        let live = std::mem::take(&mut sorted.live);
        sorted.obsolete.extend(live.records());
        let mut changes = Topology::first_boot(guest_password_hash);
        changes.extend(tells_events.then(Change::event_exchange));
        for change in &changes {
            sorted.topology.apply(change);
        }
        sorted.changes = changes.into();
        sorted.first_boot = true;
        return Ok(sorted);
    }
    queues.retain(|(seq, queue)| {
        sorted.live.get(&EntityKey::Queue(queue.id)).is_some_and(|record| record.seq == *seq)
    });
    let queues = queues.into_iter().map(|(_, queue)| Change::PutQueue(queue));
    let mut in_order: Vec<_> =
        latest.values().map(|(change, record)| (record.seq, change)).collect();
    in_order.sort_unstable_by_key(|(seq, _)| *seq);
    let mut others: Vec<Change> = in_order.into_iter().map(|(_, change)| change.clone()).collect();
    if rescues {
        let standing: Vec<Change> = others.iter().cloned().chain(queues.clone()).collect();
        sorted.made = Topology::missing_of(&standing, guest_password_hash);
        if sorted.reservation.is_none() {
            sorted.queue_ids_below = IDS_SKIPPED;
        }
        others.extend(sorted.made.iter().cloned());
    }
    Change::sort_for_rebuild(&mut others);
    let first = others.partition_point(Change::precedes_queues);
    let later = others.split_off(first);
    // As many as there can be: a longer one made in the place of each that is full would be one more hole each time.
    let mut changes = Vec::with_capacity(others.len() + queues.len() + later.len() + 1);
    for change in others.into_iter().chain(queues).chain(later) {
        let key = change.entity_key();
        let record = latest.remove(&key).map(|(_, record)| record);
        let Some(record) = record.or_else(|| sorted.live.get(&key)) else {
            // Made just now.
            sorted.topology.apply(&change);
            changes.push(change);
            continue;
        };
        if !has_its_parents(&sorted.topology, &change) {
            sorted.live.remove(&key);
            sorted.obsolete.push(record);
            continue;
        }
        sorted.topology.apply(&change);
        sorted.live.insert(key, record);
        // After its vhost, before what is bound to it.
        let events = match &change {
            Change::PutVhost(vhost) if tells_events && &*vhost.name == event::VHOST => {
                Some(Change::event_exchange())
            }
            _ => None,
        };
        changes.push(change);
        if let Some(exchange) = events {
            sorted.topology.apply(&exchange);
            changes.push(exchange);
        }
    }
    sorted.changes = changes.into();
    Ok(sorted)
}

/// False for what a crash has left of something that was being removed or made.
fn has_its_parents(topology: &Topology, change: &Change) -> bool {
    match change {
        Change::PutExchange(exchange) => topology.vhost(&exchange.vhost).is_some(),
        Change::PutQueue(queue) => topology.vhost(&queue.vhost).is_some(),
        Change::PutBinding(binding) => {
            let target = match &binding.target {
                BindingTarget::Queue(name) => topology.queue(&binding.vhost, name).is_some(),
                BindingTarget::Exchange(name) => topology.exchange(&binding.vhost, name).is_some(),
            };
            target && topology.exchange(&binding.vhost, &binding.source).is_some()
        }
        Change::PutPermission(permission) => {
            topology.vhost(&permission.vhost).is_some() && topology.user(&permission.user).is_some()
        }
        Change::PutTopicPermission(permission) => {
            topology.vhost(&permission.vhost).is_some() && topology.user(&permission.user).is_some()
        }
        Change::PutPolicy(policy) => topology.vhost(&policy.vhost).is_some(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(seq: u64) -> Record {
        Record { seq: Seq(seq), address: Address(seq * 4096), length: 100, reference: 0 }
    }

    /// The records of a first boot, a queue of id 7 put twice, a queue in a vhost that is not there, and the reservation.
    fn found() -> FoundDefinitions {
        let mut found = FoundDefinitions::default();
        let boot = Topology::first_boot([1_u8; 36].as_slice().into());
        let mut payloads: Vec<Vec<u8>> = boot.iter().filter_map(Change::to_record).collect();
        for (id, vhost, name) in [(7, "/", "old"), (8, "gone", "lost"), (7, "/", "new")] {
            let queue = Queue {
                id: crate::ids::QueueId(id),
                vhost: vhost.into(),
                name: name.into(),
                durable: true,
                auto_delete: false,
                exclusive_to: None,
                arguments: Arc::default(),
                owner: crate::ids::ShardId(0),
            };
            payloads.extend(Change::PutQueue(queue.into()).to_record());
        }
        payloads.push(definitions::reservation(1024));
        for (seq, payload) in payloads.iter().enumerate() {
            found.found(record(seq as u64), payload);
        }
        found
    }

    fn sorted(mut found: FoundDefinitions) -> Result<Sorted, DefinitionError> {
        found.sort([2_u8; 36].as_slice().into(), false, false)
    }

    #[test]
    fn every_record_is_kept_or_settled_once_and_the_later_of_two_counts() {
        let sorted = sorted(found()).expect("readable records");
        let mut records: Vec<u64> = sorted.records().map(|record| record.seq.0).collect();
        records.sort_unstable();
        assert_eq!(records, (0..7).collect::<Vec<_>>());
        let obsolete: Vec<u64> = sorted.obsolete.iter().map(|record| record.seq.0).collect();
        assert_eq!(obsolete, [3, 4], "the older record of queue 7, and what was in no vhost");
        let names: Vec<_> = sorted.topology.all_queues().map(|queue| &*queue.name).collect();
        assert_eq!(names, ["new"]);
        assert_eq!(sorted.changes.len(), 4);
    }

    #[test]
    fn a_record_that_cannot_be_read_ends_the_start_only_if_it_stands() {
        let mut broken = found();
        broken.found(record(7), b"\x05other");
        assert!(sorted(broken).is_err());
        let mut settled = found();
        settled.found(record(7), b"\x05other");
        settled.settled(Seq(7), Seq(7), |address| address == record(7).address);
        assert_eq!(settled.next_seq(), 8);
        assert!(sorted(settled).is_ok());
    }

    #[test]
    fn queues_share_what_they_have_in_common() {
        let mut again = found();
        let Says::Queue(one) = &again.standing[&Seq(3)].says else { panic!("a queue") };
        let Says::Queue(other) = &again.standing[&Seq(5)].says else { panic!("a queue") };
        assert!(Arc::ptr_eq(&one.vhost, &other.vhost));
        assert!(Arc::ptr_eq(&one.arguments, &other.arguments));
        again.retain(|record| record.seq != Seq(5));
        assert_eq!(again.records().count(), 6);
    }
}
