//! The shard: where log, arena, queues and topology meet. One per core; owned by its thread.
//!
//! Calls in, effects out. A turn of the runtime is: hand in what arrived ([`Shard::publish`],
//! [`Shard::command`], [`Shard::peer`], [`Shard::complete`], [`Shard::tick`]); carry out
//! [`Shard::poll_effect`] until it is empty; [`Shard::dispatch`]; carry out effects again.
//!
//! The shard's work is split by concern: `publish` (messages in; `plain`: the short way), `bodies` (long ones),
//! `dispatch` (messages out), `readings` (long ones),
//! `command` (everything else about queues; `postponed`: not before what they have to deliver),
//! `confirm` (the one place where publishers are told that a message is safe), `dead_letters` and
//! `moving` (from queue to queue), `copying` (disk space back), `transactions` (all or nothing;
//! `shipping`: its long bodies), `replica` and `topology_writer` (definitions), `values` (what
//! deduplicating exchanges have seen), `boot` (recovery).

mod admission;
mod backlogs;
mod bodies;
mod boot;
mod command;
mod confirm;
mod copying;
mod dead_letters;
mod definitions;
mod directory;
mod dispatch;
mod effect;
mod events;
mod found_definitions;
mod given_up;
mod links;
mod moving;
mod parts;
mod plain;
mod policy_walk;
mod postponed;
mod publish;
mod queues;
mod readings;
mod recall;
mod replays;
mod replica;
mod sampling;
mod shipping;
mod store;
mod stricken;
mod timers;
mod topology_writer;
mod transactions;
mod trimming;
mod values;

use std::collections::VecDeque;
use std::sync::Arc;

pub use boot::ShardBoot;
pub use effect::{ConsumerStats, Effect, Outlet, QueueStats};
pub use sampling::{Passage, Sample};

use crate::dead_letter::Cause;
use crate::ids::{QueueId, ShardId};
use crate::log::{LogCompletion, LogConfig, LogError, Memory, Position};
use crate::mail::{Command, Notice, PeerMail, Requester};
use crate::now::Now;
use crate::queue::{Paged, Queue};
use crate::topology::{Topology, TopologyRequest};
use bodies::Bodies;
use confirm::Confirms;
use dead_letters::{DeadLetters, Testament};
use links::Links;
use policy_walk::PolicyWalk;
use postponed::Postponed;
use publish::Takers;
use queues::{QueueSlot, Queues};
use readings::Readings;
use recall::Recall;
use replays::Replays;
use sampling::Sampling;
use shipping::Shipping;
use store::Store;
use timers::Timers;
use topology_writer::TopologyWriter;
use transactions::Transactions;
use values::Values;

#[derive(Clone, Debug)]
pub struct ShardConfig {
    pub shard: ShardId,
    /// Of the whole broker.
    pub shards: u16,
    pub log: LogConfig,
    /// Octets of memory for messages and the queues' knowledge of them. Above it, messages that
    /// need no log go there all the same.
    pub memory_max_bytes: usize,
    /// Octets of deliveries on their way to one connection's socket, from this shard.
    pub window_bytes: u64,
    /// Bodies longer than this come and go in parts: [`BODY_PART_BYTES`], but for tests. Nothing that
    /// is longer than four of these stays in memory.
    ///
    /// [`BODY_PART_BYTES`]: crate::mail::BODY_PART_BYTES
    pub body_part_bytes: usize,
    /// Deliveries made by one call of `dispatch` at most.
    pub dispatch_batch: usize,
    /// For the user that an empty data directory starts with.
    pub guest_password_hash: Arc<[u8]>,
}

/// A body of more than so many parts is not kept in memory: it would be copied as a whole.
const PARTS_IN_MEMORY_MAX: usize = 4;
/// Expired messages that a queue lets go at once, about.
const SWEEP: usize = 16 * 1024;
/// As many of a queue with a dead-letter exchange.
const SWEEP_WITH_HEIRS: usize = 1024;

/// See the module.
pub struct Shard<M: Memory> {
    config: ShardConfig,
    store: Store<M>,
    queues: Queues,
    bodies: Bodies,
    readings: Readings,
    links: Links,
    confirms: Confirms,
    dead_letters: DeadLetters,
    replays: Replays,
    recall: Recall,
    policy_walk: PolicyWalk,
    values: Values,
    transactions: Transactions,
    shipping: Shipping,
    timers: Timers,
    /// What this shard's connections see: everything that every shard has been told to apply.
    topology: Topology,
    /// Version of the last update applied.
    applied: u64,
    /// Highest queue id that an update has named.
    newest_queue: QueueId,
    /// Commands for queues that have not been heard of yet; see `command`.
    early: Vec<Command>,
    postponed: Postponed,
    /// On shard 0.
    writer: Option<TopologyWriter>,
    /// End of the definitions that the start itself has made.
    outset: Position,
    effects: VecDeque<Effect<M::Buffer>>,
    /// Working memory of `publish`.
    takers: Takers,
    /// Working memory of message expiry.
    expired: Vec<u64>,
    /// Working memory of deliveries that say how often the message has come back.
    counted: Vec<u8>,
    sampling: Sampling,
    clock: Now,
}

impl<M: Memory> Shard<M> {
    /// The result of a [`Effect::Log`]. An error is final: the process must say it and exit.
    pub fn complete(
        &mut self,
        now: Now,
        completion: LogCompletion<M::Buffer>,
    ) -> Result<(), LogError> {
        self.clock = now;
        let was_read = matches!(completion, LogCompletion::Read { .. });
        self.store.log.complete(now, completion)?;
        if was_read {
            self.look_again();
        } else {
            self.confirms.advance(self.store.log.durable());
            self.answer_for_bodies();
            self.drive_topology(now);
        }
        self.drive_transactions(now);
        self.end_round();
        Ok(())
    }

    /// Something has been read, or has to be asked for again: it may have been anybody's.
    fn look_again(&mut self) {
        let log = &self.store.log;
        self.queues.read_done(|address| log.outlook(address));
        self.readings.read_done();
        self.dead_letters.read_done();
        self.replays.read_done();
        self.recall.read_done();
        self.transactions.read_done();
        self.values.read_done();
    }

    /// Call when [`Shard::deadline_us`] has passed.
    pub fn tick(&mut self, now: Now) {
        self.clock = now;
        // What these set anew is for the next tick, so that a sweep that leaves something over
        // lets others have their turn in between.
        let due: Vec<_> = std::iter::from_fn(|| self.timers.take_due(now.unix_ms)).collect();
        for (at_unix_ms, queue) in due {
            self.timer(now, queue, at_unix_ms);
        }
    }

    /// Monotonic time at which the shard wants a tick though nothing happens.
    pub fn deadline_us(&self) -> Option<u64> {
        let timer = self.timers.next_unix_ms().map(|at| {
            let wait_ms = at.saturating_sub(self.clock.unix_ms);
            self.clock.monotonic_us.saturating_add(wait_ms.saturating_mul(1000))
        });
        [timer, self.store.log.deadline_us()].into_iter().flatten().min()
    }

    /// The next thing to do, if there is one. Ask until there is none.
    pub fn poll_effect(&mut self, now: Now) -> Option<Effect<M::Buffer>> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        let effects = &mut self.effects;
        self.confirms.drain(self.store.log.durable(), |notice| {
            effects.push_back(Effect::Notice(notice));
        });
        self.effects.pop_front().or_else(|| self.store.log.poll_effect(now).map(Effect::Log))
    }

    /// How long messages have taken, of some of those that came through since the last call.
    pub fn samples(&mut self) -> impl Iterator<Item = Sample> + '_ {
        self.sampling.take()
    }

    /// What this shard routes by.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Clean stop: make everything durable. The shard goes on as before, without the usual
    /// delays; it has done when it [is quiet](Shard::is_quiet).
    pub fn stop(&mut self, now: Now) {
        self.clock = now;
        self.store.log.stop();
    }

    /// True if everything that was handed in is durable and nobody waits for an answer.
    pub fn is_quiet(&self) -> bool {
        self.effects.is_empty()
            && self.confirms.is_quiet()
            && self.dead_letters.is_quiet()
            && self.replays.is_quiet()
            && self.transactions.is_quiet()
            && self.values.is_read()
            && !self.queues.is_purging()
            && self.writer.as_ref().is_none_or(TopologyWriter::is_quiet)
            && self.store.log.durable() >= self.store.log.end()
    }

    /// `None`: this shard does not own it.
    pub fn queue_stats(&self, id: QueueId) -> Option<QueueStats> {
        let at = self.queues.find(id)?;
        self.queues.get(at).map(|hosted| stats_of(&hosted.queue))
    }

    pub fn all_queue_stats(&self) -> Vec<QueueStats> {
        self.queues.iter().map(stats_of).collect()
    }

    pub fn consumers(&self) -> Vec<ConsumerStats> {
        let of_queue = |queue: &Queue| {
            let id = queue.id();
            let single_active = queue.settings().single_active_consumer;
            let each = queue.consumers().iter().map(move |consumer| ConsumerStats {
                queue: id,
                consume: consumer.consume().clone(),
                active: consumer.active(),
                single_active,
            });
            each.collect::<Vec<_>>()
        };
        self.queues.iter().flat_map(of_queue).collect()
    }

    /// Number of queues this shard owns, but for those behind exchanges.
    pub fn queue_count(&self) -> usize {
        self.queues.count() - self.queues.stores()
    }

    /// Octets of memory that messages take.
    pub fn memory_bytes(&self) -> usize {
        self.store.arena.bytes() + self.bodies.bytes()
    }

    /// Octets of memory that the queues' knowledge of their messages takes, wherever these are.
    pub fn index_bytes(&self) -> usize {
        self.queues.pool.bytes()
    }

    /// Of those, octets that are packed: the middle of long queues.
    pub fn index_packed_bytes(&self) -> usize {
        self.queues.pool.packed_bytes()
    }

    /// What queues know of their messages and is not in memory.
    pub fn index_paged(&self) -> Paged {
        self.queues.pool.paged()
    }

    /// Messages that are in memory only; what the log holds does not count.
    pub fn memory_messages(&self) -> u64 {
        self.store.arena.messages()
    }

    /// False while publishers of this shard should not be read from.
    pub fn has_room(&self) -> bool {
        self.store.log.has_room() && !self.dead_letters.is_crowded()
    }

    /// Whether those who publish here may be read from, if they might (`did`) until now. A full disk is no reason
    /// against it: their publishes are held back by name then ([`Shard::is_out_of_space`]), and what else they send may
    /// give space back.
    pub fn lets_publishers_in(&self, did: bool) -> bool {
        let log = &self.store.log;
        let has_room = || if did { log.has_room() } else { log.has_room_again() };
        log.is_out_of_space() || (!self.dead_letters.is_crowded() && has_room())
    }

    /// Management's way in: on shard 0 only. Others reach it by [`PeerMail::Request`].
    pub fn request(&mut self, now: Now, ticket: u64, request: TopologyRequest) {
        self.peer(now, PeerMail::Request { from: Requester::Management(ticket), request });
    }

    /// A message with so long a body may be kept in memory, if there is any.
    #[inline]
    fn fits_memory(&self, body_bytes: u64) -> bool {
        body_bytes <= (PARTS_IN_MEMORY_MAX * self.config.body_part_bytes) as u64
    }

    fn notice(&mut self, notice: Notice) {
        self.effects.push_back(Effect::Notice(notice));
    }

    /// Sees to it that the shard looks at a queue when that is due.
    fn set_timer(&mut self, at: QueueSlot) {
        let Some((hosted, _)) = self.queues.get_mut(at) else { return };
        let Some(due) = hosted.queue.deadline_unix_ms() else { return };
        if hosted.timer_unix_ms.is_none_or(|set| due < set) {
            hosted.timer_unix_ms = Some(due);
            self.timers.set(due, at);
        }
    }

    fn timer(&mut self, now: Now, at: QueueSlot, at_unix_ms: u64) {
        let may_let_die = self.is_resolved();
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        if hosted.timer_unix_ms != Some(at_unix_ms) {
            return;
        }
        if !may_let_die {
            let later = now.unix_ms + 1;
            hosted.timer_unix_ms = Some(later);
            return self.timers.set(later, at);
        }
        hosted.timer_unix_ms = None;
        let queue = &mut hosted.queue;
        if queue.is_closed() {
            return;
        }
        if queue.has_lapsed(now.unix_ms) {
            self.retire(now, at);
            return;
        }
        let testament = Testament::of(queue);
        let limit = if testament.has_heirs() { SWEEP_WITH_HEIRS } else { SWEEP };
        let (store, dead_letters) = (&mut self.store, &mut self.dead_letters);
        if testament.has_heirs() && dead_letters.is_busy() {
            // They stay where they are until there is somebody to carry them.
            let later = now.unix_ms + 1;
            hosted.timer_unix_ms = Some(later);
            return self.timers.set(later, at);
        }
        queue.expire(pool, now.unix_ms, limit, &mut self.expired, |gone| {
            dead_letters.take(store, now, &testament, &gone, Cause::Expired);
        });
        self.queues.keep_within();
        self.set_timer(at);
    }
}

fn stats_of(queue: &Queue) -> QueueStats {
    let counts = queue.counts();
    let traffic = queue.traffic();
    QueueStats {
        id: queue.id(),
        messages_ready: counts.ready,
        messages_unacknowledged: counts.unacked,
        consumers: queue.consumers().count() as u64,
        message_bytes: counts.ready_bytes + counts.unacked_bytes,
        publishes: traffic.publishes,
        deliveries: traffic.deliveries,
        acks: traffic.acks,
    }
}
