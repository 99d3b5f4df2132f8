//! What the definition records of a log amount to, when all is read: which of them stand, and how
//! shard 0's log goes on with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::definitions::{self, Definition, Definitions, Live, Record};
use crate::event;
use crate::ids::Seq;
use crate::log::{Log, Memory, Position};
use crate::now::Now;
use crate::topology::{BindingTarget, Change, DefinitionError, EntityKey, Topology};

/// A definition record found in the log.
#[derive(Debug)]
pub(super) struct FoundDefinition {
    pub(super) record: Record,
    pub(super) payload: Box<[u8]>,
}

/// What the definition records amount to.
#[derive(Debug, Default)]
pub(super) struct Sorted {
    pub(super) changes: Vec<Change>,
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
    /// Shard 0's log goes on: obsolete records are settled, a first boot's are written, and what had
    /// to be made anew. The end of that, which nobody should be served before it is durable.
    pub(super) fn take_up<M: Memory>(
        self,
        now: Now,
        log: &mut Log<M>,
        next_definition: u64,
    ) -> (Definitions, Position) {
        let Sorted { changes, live, obsolete, reservation, mut queue_ids_below, first_boot, made } =
            self;
        let lacks_reservation = reservation.is_none();
        for record in obsolete {
            definitions::settle(now, log, record);
        }
        for change in &changes {
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

/// Makes one topology of the records: of two of one entity the later one counts, and what
/// belongs to something that is not there does not count at all.
pub(super) fn sort(
    found: &BTreeMap<Seq, FoundDefinition>,
    guest_password_hash: Arc<[u8]>,
    tells_events: bool,
    rescues: bool,
) -> Result<Sorted, DefinitionError> {
    let mut sorted = Sorted::default();
    let mut latest: FxHashMap<EntityKey, (Change, Record)> = FxHashMap::default();
    for FoundDefinition { record, payload } in found.values() {
        match Definition::read(payload)? {
            Definition::Entity(change) => {
                let old = latest.insert(change.entity_key(), (change, *record));
                sorted.obsolete.extend(old.map(|(_, record)| record));
            }
            Definition::QueueIdsBelow(below) => {
                sorted.queue_ids_below = sorted.queue_ids_below.max(below);
                sorted.obsolete.extend(sorted.reservation.replace(*record));
            }
        }
    }
    if sorted.reservation.is_none() && (!rescues || latest.is_empty()) {
        // A first boot ends with a reservation. What an interrupted one has left is put anew.
        sorted.obsolete.extend(latest.into_values().map(|(_, record)| record));
        sorted.changes = Topology::first_boot(guest_password_hash);
        sorted.changes.extend(tells_events.then(Change::event_exchange));
        sorted.first_boot = true;
        return Ok(sorted);
    }
    let mut in_order: Vec<_> =
        latest.values().map(|(change, record)| (record.seq, change)).collect();
    in_order.sort_unstable_by_key(|(seq, _)| *seq);
    let mut changes: Vec<Change> = in_order.into_iter().map(|(_, change)| change.clone()).collect();
    if rescues {
        sorted.made = Topology::missing_of(&changes, guest_password_hash);
        if sorted.reservation.is_none() {
            sorted.queue_ids_below = IDS_SKIPPED;
        }
        changes.extend(sorted.made.iter().cloned());
    }
    Change::sort_for_rebuild(&mut changes);
    let mut topology = Topology::new();
    // After the vhosts, before what is bound to them.
    let mut events = Vec::new();
    for mut change in changes {
        let key = change.entity_key();
        let Some((_, record)) = latest.remove(&key) else {
            topology.apply(&change);
            sorted.changes.push(change);
            continue;
        };
        if has_its_parents(&topology, &change) {
            topology.share(&mut change);
            topology.apply(&change);
            if tells_events
                && matches!(&change, Change::PutVhost(vhost) if &*vhost.name == event::VHOST)
            {
                let exchange = Change::event_exchange();
                topology.apply(&exchange);
                events.push(exchange);
            }
            sorted.live.insert(key, record);
            sorted.changes.push(change);
            sorted.changes.append(&mut events);
        } else {
            sorted.obsolete.push(record);
        }
    }
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
