//! A queue: order, readiness, consumers and credit.
//!
//! Owned by one shard. Knows addresses, not bytes: it hands back the [`Slot`] of each message it
//! lets go, and the shard frees what lies there. Must not import the log or the arena.
//!
//! A message's [`Seq`] carries its priority level in the top octet, highest priority lowest, so
//! that order by `Seq` is queue order in every queue; each level is a [`Lane`].

mod backlog;
mod bales;
mod chunk;
mod comebacks;
mod consumer;
mod consumers;
mod credit;
mod delivery;
mod due_times;
mod error;
mod index;
mod intake;
mod lane;
mod lanes;
mod loose;
mod pack;
mod pages;
mod parcels;
mod pool;
mod remains;
mod removal;
mod returned;
mod role;
mod run;
mod settings;
mod slot;
mod window;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

pub use backlog::Backlog;
pub use consumer::Consumer;
pub use consumers::{ConsumerSlot, Consumers, Unused};
pub use delivery::{Due, Release};
pub use error::QueueError;
pub use intake::Arrival;
pub use pages::{Page, PageStore};
pub use parcels::Paged;
pub use pool::{ChunkPool, Packing};
pub use remains::Remains;
pub use role::Role;
pub use run::RunTaker;
pub use settings::{DeadLetterRule, Overflow, QueueSettings};
pub use slot::{Place, Slot, State};

use crate::dedup::{DedupKey, Present};
use crate::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq};
use crate::mail::Consume;
use due_times::DueTimes;
use lanes::Lanes;
use rustc_hash::FxHashMap;

/// Of all queues that nobody consumes from.
static NOBODY: Consumers = Consumers::nobody();

/// Bits of a [`Seq`] below the level.
const LANE_SHIFT: u32 = 56;

/// A basic.get that waits for the next dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingGet {
    pub channel: ChannelKey,
    pub no_ack: bool,
}

/// In order of arrival; not empty.
#[derive(Debug, Default)]
struct Gets(VecDeque<PendingGet>);

/// Exact numbers of what a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    pub ready: u64,
    pub unacked: u64,
    /// Octets of bodies.
    pub ready_bytes: u64,
    pub unacked_bytes: u64,
}

/// What has gone through a queue since it was made or the broker started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Traffic {
    pub publishes: u64,
    pub deliveries: u64,
    pub acks: u64,
}

/// A message that has left the queue; the shard frees its place.
#[derive(Clone, Copy, Debug)]
pub struct Removed {
    pub seq: Seq,
    pub slot: Slot,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    id: QueueId,
    /// By which the pool knows it.
    slot: u32,
    /// Shared by queues that were declared alike.
    settings: Arc<QueueSettings>,
    lanes: Lanes,
    /// No lane before it has ready messages.
    top: usize,
    counts: Counts,
    traffic: Traffic,
    /// `None`: nobody.
    consumers: Option<Box<Consumers>>,
    /// Those who wait for the next dispatch; nearly always nobody.
    gets: Option<Box<Gets>>,
    /// Being deleted: takes and gives nothing more.
    closed: bool,
    /// See [`QueueSettings::is_plain`].
    plain: bool,
    /// Lower bound of the next expiry of a ready message.
    next_expiry_unix_ms: Option<u64>,
    /// When expired messages were last looked for.
    swept_unix_ms: u64,
    /// How often messages have come back, if there is a limit to that: those that have at all.
    comebacks: Option<Box<FxHashMap<Seq, u32>>>,
    /// Of a queue that holds messages back: when each is due.
    due_times: Option<Box<DueTimes>>,
    /// Of a queue that takes no message twice: which it has.
    present: Option<Box<Present>>,
    /// For `x-expires`: when the queue was last of use to somebody.
    used_unix_ms: u64,
}

/// Looking for expired messages costs time in proportion to the messages there are, so it is done
/// the more rarely: once a second with ten million. No consumer gets an expired message anyway.
const READY_PER_SWEEP_MS: u64 = 10_000;

/// Messages of which recovery tells when they are due before it looks whether there is memory.
const DUE_TIMES_AT_ONCE: u64 = 64;

impl Queue {
    pub fn new(id: QueueId, settings: impl Into<Arc<QueueSettings>>, now_unix_ms: u64) -> Self {
        let settings = settings.into();
        Queue {
            id,
            slot: 0,
            lanes: Lanes::default(),
            top: 0,
            counts: Counts::default(),
            traffic: Traffic::default(),
            consumers: None,
            gets: None,
            closed: false,
            plain: settings.is_plain(),
            next_expiry_unix_ms: None,
            swept_unix_ms: 0,
            comebacks: None,
            due_times: settings.role.lets_go().then(Box::default),
            present: settings.deduplicates.then(Box::default),
            used_unix_ms: now_unix_ms,
            settings,
        }
    }

    /// A queue that comes back with the messages that recovery found.
    pub fn recovered(
        id: QueueId,
        settings: impl Into<Arc<QueueSettings>>,
        pool: &mut ChunkPool,
        backlog: Backlog,
        now_unix_ms: u64,
    ) -> Self {
        let mut queue = Queue::new(id, settings, now_unix_ms);
        queue.counts.ready_bytes = backlog.body_bytes();
        let levels = usize::from(queue.settings.max_priority) + 1;
        let lanes = backlog.into_lanes();
        assert!(lanes.len() <= levels, "{id:?} has messages of a level it never had");
        queue.lanes = lanes.into_iter().collect();
        if !queue.lanes.is_unused() {
            queue.lanes.extend_to(levels);
        }
        for lane in queue.lanes.iter() {
            let expiry = lane.next_expiry_unix_ms();
            queue.next_expiry_unix_ms =
                [queue.next_expiry_unix_ms, expiry].into_iter().flatten().min();
            queue.counts.ready += lane.ready();
            if let Some(due_times) = &mut queue.due_times {
                let mut next = lane.next_ready(pool, 0);
                while let Some((number, slot)) = next {
                    // What only passes through is due at once.
                    let due = lane.expires_unix_ms(number, &slot).unwrap_or(0);
                    due_times.insert(pool, due, number);
                    if number.is_multiple_of(DUE_TIMES_AT_ONCE) {
                        while pool.is_short() && due_times.condense(pool) {}
                    }
                    next = lane.next_ready(pool, number + 1);
                }
            }
        }
        queue
    }

    /// The shard keeps it under that number, by which the pool is to know it.
    pub fn keep_at(&mut self, slot: u32, pool: &mut ChunkPool) {
        self.slot = slot;
        self.lanes.iter_mut().for_each(|lane| lane.belong_to(slot));
        if let Some(due_times) = &mut self.due_times {
            due_times.belong_to(slot);
        }
        if !self.lanes.is_unused() {
            // What recovery has left unpacked.
            pool.note_loose(slot);
        }
    }

    pub fn id(&self) -> QueueId {
        self.id
    }

    pub fn settings(&self) -> &QueueSettings {
        &self.settings
    }

    /// The queue's policy is another one (behaviour B58). What expires by then, or is too much, is
    /// for the caller to see to. Messages that are here keep the expiry they came with.
    ///
    /// # Panics
    /// If what only a declaration says is other than it was.
    pub fn change_settings(&mut self, settings: Arc<QueueSettings>, now_unix_ms: u64) {
        let fixed = |settings: &QueueSettings| {
            let QueueSettings { max_priority, survives_restart, auto_delete, .. } = settings;
            (*max_priority, *survives_restart, *auto_delete, settings.single_active_consumer)
        };
        assert_eq!(fixed(&self.settings), fixed(&settings), "a policy changed a declaration");
        if settings.expires_ms != self.settings.expires_ms {
            self.used_unix_ms = now_unix_ms;
        }
        if settings.delivery_limit.is_none() {
            self.comebacks = None;
        }
        self.plain = settings.is_plain();
        self.settings = settings;
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    pub fn consumers(&self) -> &Consumers {
        self.consumers.as_deref().unwrap_or(&NOBODY)
    }

    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// See [`QueueSettings::is_plain`].
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The queue is being deleted: from now on it neither takes nor gives.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Adds a consumer (behaviour A90, B16).
    pub fn consume(
        &mut self,
        consume: Box<Consume>,
        link: u32,
        now_unix_ms: u64,
    ) -> Result<(), QueueError> {
        self.used_unix_ms = now_unix_ms;
        let single_active = self.settings.single_active_consumer;
        let consumers =
            self.consumers.get_or_insert_with(|| Box::new(Consumers::new(single_active)));
        let added = consumers.add(consume, link);
        if consumers.count() == 0 {
            self.consumers = None;
        }
        added
    }

    /// Removes a consumer. What it holds stays unacked.
    pub fn cancel(&mut self, key: ConsumerKey, now_unix_ms: u64) -> Option<Consumer> {
        self.used_unix_ms = now_unix_ms;
        let consumers = self.consumers.as_deref_mut()?;
        let removed = consumers.remove(key);
        if consumers.count() == 0 {
            self.consumers = None;
        }
        removed
    }

    /// Removes all consumers, of a queue that goes.
    pub fn take_consumers(&mut self) -> Vec<Consumer> {
        self.consumers.take().map_or(Vec::new(), |consumers| consumers.into_all())
    }

    /// True once the last consumer of an auto-delete queue has gone (behaviour A69): ask after a
    /// removal.
    pub fn is_deserted(&self) -> bool {
        self.settings.auto_delete && self.consumers().count() == 0
    }

    /// Returns true if the consumer may be served and could not before; so do the next five.
    pub fn grant(&mut self, key: ConsumerKey, credit: u32) -> bool {
        self.consumers.as_mut().is_some_and(|consumers| consumers.grant(key, credit))
    }

    pub fn give_back(&mut self, key: ConsumerKey) -> bool {
        self.consumers.as_mut().is_some_and(|consumers| consumers.settled(key, 1))
    }

    pub fn set_prefetch(&mut self, key: ConsumerKey, limit: u32) -> bool {
        self.consumers.as_mut().is_some_and(|consumers| consumers.set_limit(key, limit))
    }

    pub fn ration(&mut self, key: ConsumerKey) -> bool {
        self.consumers.as_mut().is_some_and(|consumers| consumers.ration(key))
    }

    pub fn window_opened(&mut self, key: ConsumerKey) -> bool {
        self.consumers.as_mut().is_some_and(|consumers| consumers.window_opened(key))
    }

    /// basic.get: served by the next dispatch.
    pub fn get(&mut self, get: PendingGet, now_unix_ms: u64) {
        self.used_unix_ms = now_unix_ms;
        self.gets.get_or_insert_default().0.push_back(get);
    }

    /// A connection that is gone waits for nothing.
    pub fn forget_gets(&mut self, connection: ConnectionId) {
        if let Some(gets) = &mut self.gets {
            gets.0.retain(|get| get.channel.connection != connection);
            if gets.0.is_empty() {
                self.gets = None;
            }
        }
    }

    /// Somebody asked for the queue (behaviour B26: a redeclare counts as use).
    pub fn touch(&mut self, now_unix_ms: u64) {
        self.used_unix_ms = now_unix_ms;
    }

    /// Whether a delete may go ahead (behaviour A79). Emptiness is looked at first, as
    /// RabbitMQ does.
    pub fn may_delete(&self, if_unused: bool, if_empty: bool) -> Result<(), QueueError> {
        if if_empty && self.counts.ready > 0 {
            return Err(QueueError::NotEmpty);
        }
        if if_unused && self.consumers().count() > 0 {
            return Err(QueueError::InUse);
        }
        Ok(())
    }

    /// True if `x-expires` has run out.
    pub fn has_lapsed(&self, now_unix_ms: u64) -> bool {
        let lapsed = |after| now_unix_ms >= self.used_unix_ms.saturating_add(after);
        self.consumers().count() == 0 && self.settings.expires_ms.is_some_and(lapsed)
    }

    /// True if a message of that value is in the queue, which takes no other one.
    pub fn has_already(&self, key: DedupKey) -> bool {
        self.present.as_ref().is_some_and(|present| present.contains(key))
    }

    /// The message of that number has that value.
    pub fn note_value(&mut self, seq: Seq, key: DedupKey) {
        if let Some(present) = &mut self.present {
            present.insert(seq, key);
        }
    }

    /// The slot of a message that is in the queue, in whatever state.
    pub fn live(&self, pool: &mut ChunkPool, seq: Seq) -> Option<Slot> {
        let (lane, number) = self.locate(seq)?;
        self.lanes.get(lane)?.get(pool, number)
    }

    /// The slot of a message that is ready.
    pub fn ready(&self, pool: &mut ChunkPool, seq: Seq) -> Option<Slot> {
        self.live(pool, seq).filter(|slot| slot.state() == State::Ready)
    }

    /// When the queue wants to be looked at though nothing happens to it.
    pub fn deadline_unix_ms(&self) -> Option<u64> {
        if let Some(due_times) = &self.due_times {
            return due_times.first_unix_ms();
        }
        let lapse = match self.settings.expires_ms {
            Some(after) if self.consumers().count() == 0 => {
                Some(self.used_unix_ms.saturating_add(after))
            }
            _ => None,
        };
        // A message is alive in the millisecond it expires in.
        let pause_ms = self.counts.ready / READY_PER_SWEEP_MS;
        let expiry = self
            .next_expiry_unix_ms
            .map(|at| at.saturating_add(1).max(self.swept_unix_ms.saturating_add(pause_ms)));
        [lapse, expiry].into_iter().flatten().min()
    }

    /// Which lane and which number in it; `None` if this queue has no such lane.
    #[inline]
    fn locate(&self, seq: Seq) -> Option<(usize, u64)> {
        let lane = (seq.0 >> LANE_SHIFT) as usize;
        (lane < self.lanes.count()).then_some((lane, seq.0 & ((1 << LANE_SHIFT) - 1)))
    }
}

#[inline]
fn seq_of(lane: usize, number: u64) -> Seq {
    Seq(((lane as u64) << LANE_SHIFT) | number)
}
