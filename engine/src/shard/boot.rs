//! Starting: the log is read back, definitions are sorted out, queues get their messages again.
//!
//! On each shard: drive [`ShardBoot::next_read`] and [`ShardBoot::supply`] until nothing more is
//! asked for; then take shard 0's [`ShardBoot::definitions`] and give them to every shard's
//! [`ShardBoot::finish`].

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::backlogs::Backlogs;
use super::bodies::Bodies;
use super::confirm::Confirms;
use super::copying;
use super::dead_letters::DeadLetters;
use super::definitions::Record;
use super::found_definitions::{FoundDefinitions, Sorted};
use super::links::Links;
use super::policy_walk::PolicyWalk;
use super::postponed::Postponed;
use super::publish::Takers;
use super::queues::Queues;
use super::readings::Readings;
use super::recall::Recall;
use super::replays::Replays;
use super::sampling::Sampling;
use super::shipping::Shipping;
use super::store::Store;
use super::timers::Timers;
use super::topology_writer::TopologyWriter;
use super::transactions::{Held, Transactions};
use super::values::Values;
use super::{Shard, ShardConfig};
use crate::arena::Arena;
use crate::ids::{QueueId, Seq, ShardId, Target};
use crate::log::{
    Address, LogError, Memory, Position, Recovered, Recovery, RecoveryRead, SegmentFile,
};
use crate::now::Now;
use crate::queue::{Backlog, ChunkPool, Packing, PageStore, Place, Queue, QueueSettings, Slot};
use crate::topology::{Change, DefinitionError, DefinitionLimits, Topology};

/// A shard that is reading its log back.
pub struct ShardBoot<M: Memory> {
    config: ShardConfig,
    recovery: Recovery<M>,
    found: Findings,
    sorted: Option<Sorted>,
    /// There is to be an event exchange.
    tells_events: bool,
    limits: DefinitionLimits,
    /// Definitions have been lost to damage.
    rescues: bool,
}

/// What the log holds, as far as it has been read.
#[derive(Debug, Default)]
struct Findings {
    queues: Queues,
    backlogs: Backlogs,
    definitions: FoundDefinitions,
    /// References of internal queues of transactions.
    transactions: BTreeMap<(QueueId, Seq), Held>,
    /// References of internal queues of values.
    values: BTreeMap<(QueueId, Seq), Held>,
}

impl<M: Memory> ShardBoot<M> {
    pub fn new(config: ShardConfig, memory: M, files: Vec<SegmentFile>) -> Self {
        let recovery = Recovery::new(config.log.clone(), memory, files);
        ShardBoot {
            config,
            recovery,
            found: Findings::default(),
            sorted: None,
            tells_events: false,
            limits: DefinitionLimits::default(),
            rescues: false,
        }
    }

    /// How much there may be in the whole broker. For shard 0.
    pub fn limit_definitions(&mut self, limits: DefinitionLimits) {
        self.limits = limits;
    }

    /// Memory for what queues know of their messages, and where the rest goes. Before any read.
    pub fn keep_indexes(&mut self, packing: Packing, pages: Box<dyn PageStore>) {
        self.found.queues.pool = ChunkPool::new(packing, pages);
    }

    /// There is to be an event exchange in vhost `/` (behaviour C12). For shard 0, before
    /// [`ShardBoot::definitions`].
    pub fn tell_events(&mut self) {
        self.tells_events = true;
    }

    /// Damage has taken definitions, and nobody knows which. What is left is made to stand: a vhost
    /// that something is in is there, and so is a user if there is none. For shard 0, before
    /// [`ShardBoot::definitions`].
    pub fn rescue_definitions(&mut self) {
        self.rescues = true;
    }

    /// The next piece of the log to be read.
    pub fn next_read(&mut self) -> Option<RecoveryRead> {
        self.recovery.next_read()
    }

    /// Reads that will or may follow: see [`Recovery::read_ahead`].
    pub fn read_ahead(&self) -> Vec<RecoveryRead> {
        self.recovery.read_ahead()
    }

    /// The octets of the last [`ShardBoot::next_read`].
    pub fn supply(&mut self, octets: &[u8]) -> Result<(), LogError> {
        let found = &mut self.found;
        self.recovery.supply(octets, &mut |recovered| found.take(recovered))
    }

    /// Octets cut off after the last whole block (nobody was promised them), for the start-up
    /// message.
    pub fn torn_bytes(&self) -> u64 {
        self.recovery.torn_bytes()
    }

    /// Live segments of the log of which only the index was read; and all of them.
    pub fn segments(&self) -> (usize, usize) {
        self.recovery.segments()
    }

    /// Shard 0, when all is read: the durable topology (of a first boot: its beginnings), for
    /// `finish` of every shard.
    ///
    /// # Errors
    /// If a definition cannot be understood: it may be one of a newer version, and starting
    /// without it would drop what belongs to it.
    pub fn definitions(&mut self) -> Result<Arc<[Change]>, DefinitionError> {
        self.found.forget_copied(&self.recovery);
        let guest = Arc::clone(&self.config.guest_password_hash);
        let sorted = self.found.definitions.sort(guest, self.tells_events, self.rescues)?;
        let changes = sorted.changes.clone();
        self.sorted = Some(sorted);
        Ok(changes)
    }

    /// The shard, ready to go on. Messages of queues that are not in `changes` are dead.
    /// Queues owned by this shard come back with their messages.
    ///
    /// # Panics
    /// On shard 0 if [`ShardBoot::definitions`] was not asked for; on any if the log holds
    /// messages of a queue that lives on another shard, which would be lost.
    pub fn finish(self, now: Now, changes: &[Change]) -> Result<Shard<M>, LogError> {
        let ShardBoot { config, mut recovery, mut found, sorted, limits, .. } = self;
        found.forget_copied(&recovery);
        let Findings { mut queues, mut backlogs, definitions, transactions, mut values } = found;
        for held in transactions.values() {
            recovery.keep(held.address, held.length, held.reference);
        }
        let records = sorted.iter().flat_map(Sorted::records).chain(definitions.records());
        for record in records {
            recovery.keep(record.address, record.length, record.reference);
        }
        // From here on the pool knows queues by other numbers.
        queues.pool.forget_loose();
        let mut newest_queue = QueueId(0);
        let topology = topology_of(changes);
        for change in changes {
            let Some(id) = change.new_queue() else { continue };
            newest_queue = newest_queue.max(id);
            if let Some((settings, mut backlog)) = claim(&config, change, &topology, &mut backlogs)
            {
                copying::keep(&mut recovery, &mut queues.pool, &mut backlog);
                let settings = queues.share(settings);
                let queue = Queue::recovered(id, settings, &mut queues.pool, backlog, now.unix_ms);
                queues.add(queue);
                queues.keep_within();
            }
        }
        values.retain(|(queue, _), held| {
            let store = queues.find(queue.store_of_values()).and_then(|at| queues.get(at));
            let kept = store.is_some_and(|store| store.queue.settings().role.persists_values());
            if kept {
                recovery.keep(held.address, held.length, held.reference);
            }
            kept
        });
        for backlog in backlogs.into_rest() {
            backlog.discard(&mut queues.pool);
        }
        let mut log = recovery.finish(now)?;
        let mut outset = Position(0);
        let writer = (config.shard == ShardId::TOPOLOGY_WRITER).then(|| {
            let Some(mut sorted) = sorted else {
                panic!("shard 0 was finished without being asked for the definitions");
            };
            let topology = std::mem::take(&mut sorted.topology);
            let (records, end) = sorted.take_up(now, &mut log, definitions.next_seq());
            outset = end;
            TopologyWriter::new(topology, records, config.shards, limits)
        });
        let recall = Recall::of(&queues);
        let values = Values::recovered(values, &queues);
        let mut shard = Shard {
            store: Store { log, arena: Arena::new() },
            queues,
            links: Links::new(config.window_bytes),
            confirms: Confirms::new(),
            dead_letters: DeadLetters::default(),
            replays: Replays::default(),
            recall,
            policy_walk: PolicyWalk::default(),
            values,
            transactions: Transactions::recovered(transactions),
            shipping: Shipping::default(),
            timers: Timers::default(),
            topology,
            applied: 0,
            newest_queue,
            early: Vec::new(),
            postponed: Postponed::default(),
            writer,
            outset,
            effects: VecDeque::new(),
            takers: Takers::default(),
            bodies: Bodies::default(),
            readings: Readings::default(),
            expired: Vec::new(),
            counted: Vec::new(),
            sampling: Sampling::new(),
            clock: now,
            config,
        };
        // The letters of each shard and run go to random exchanges in an order of their own.
        let shard_bits = u64::from(shard.config.shard.0) << 48;
        shard.dead_letters.routes.seed(now.unix_ms ^ shard_bits);
        for at in shard.queues.slots() {
            shard.set_timer(at);
            // What consumers held has come back to it.
            if shard.queues.get(at).is_some_and(|hosted| hosted.queue.has_excess()) {
                shard.queues.trim_later(at);
            }
        }
        shard.take_up_transactions(now);
        Ok(shard)
    }
}

impl Findings {
    /// When all is read: takes out what has been copied, and settled where the copies were. Of
    /// queues that is seen later.
    fn forget_copied<M: Memory>(&mut self, recovery: &Recovery<M>) {
        let is_held = |held: &Held| !recovery.is_copied(held.address, held.reference);
        self.transactions.retain(|_, held| is_held(held));
        self.values.retain(|_, held| is_held(held));
        self.definitions.retain(|record| !recovery.is_copied(record.address, record.reference));
    }

    fn take(&mut self, recovered: Recovered<'_>) {
        let pool = &mut self.queues.pool;
        if pool.is_crowded() {
            self.backlogs.condense_some(pool);
        }
        match recovered {
            Recovered::Message {
                address,
                length,
                reference,
                references,
                expires_unix_ms,
                body_bytes,
                ..
            } => {
                for (reference, &(queue, seq)) in (reference..).zip(references) {
                    if queue.is_of_transactions() {
                        self.transactions.insert((queue, seq), Held { address, length, reference });
                        continue;
                    }
                    if queue.is_of_values() {
                        self.values.insert((queue, seq), Held { address, length, reference });
                        continue;
                    }
                    let place = Place::Log { address: address.0, length, reference };
                    let backlog = self.backlogs.of(queue);
                    backlog.found(pool, seq, place, body_bytes, expires_unix_ms);
                }
            }
            Recovered::Definition { address, length, reference, seq, payload } => {
                self.definitions.found(Record { seq, address, length, reference }, payload);
            }
            Recovered::Settled { queue: QueueId::DEFINITIONS, first, last, among } => {
                self.definitions.settled(first, last, |address| among.contains(&address));
            }
            Recovered::Settled { queue, first, last, among }
                if queue.is_of_transactions() || queue.is_of_values() =>
            {
                let found = match queue.is_of_values() {
                    true => &mut self.values,
                    false => &mut self.transactions,
                };
                let run = found.range((queue, first)..=(queue, last));
                let meant = run.filter(|(_, held)| among.contains(&held.address));
                let settled: Vec<_> = meant.map(|(name, _)| *name).collect();
                for name in settled {
                    found.remove(&name);
                }
            }
            Recovered::Settled { queue, first, last, among } => {
                let is_meant = |slot: &Slot| match slot.place() {
                    Place::Log { address, .. } => among.contains(&Address(address)),
                    Place::Spilled { .. } | Place::Arena { .. } => false,
                };
                self.backlogs.of(queue).settled(pool, first, last, is_meant);
            }
        }
    }
}

/// What the log holds of a queue, if it is one of this shard.
fn claim(
    config: &ShardConfig,
    put: &Change,
    topology: &Topology,
    backlogs: &mut Backlogs,
) -> Option<(QueueSettings, Backlog)> {
    let (id, owner, settings) = match put {
        Change::PutQueue(queue) => {
            let policy = topology.queue_policy(&queue.vhost, &queue.name);
            (queue.id, queue.owner, QueueSettings::of(queue, &policy))
        }
        Change::PutExchange(exchange) => {
            let Target { queue, shard } = exchange.store?;
            (queue, shard, QueueSettings::of_store(exchange))
        }
        _ => return None,
    };
    let backlog = backlogs.claim(id);
    if owner != config.shard {
        let stray = backlog.is_some_and(|backlog| !backlog.is_empty());
        assert!(
            !stray,
            "shard {} holds messages of queue {:?}, which is defined as one of shard {}",
            config.shard.0, id, owner.0
        );
        return None;
    }
    Some((settings, backlog.unwrap_or_default()))
}

fn topology_of(changes: &[Change]) -> Topology {
    let mut topology = Topology::new();
    for change in changes {
        topology.apply(change);
    }
    topology
}
