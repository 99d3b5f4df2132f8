//! Messages coming in: stored once, indexed by each queue that takes them, promised to the
//! publisher.

use super::queues::QueueSlot;
use super::store::Store;
use super::Shard;
use crate::ids::{QueueId, Seq};
use crate::log::{Memory, Position};
use crate::mail::Publish;
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{Arrival, Place};

/// A queue that takes the message at hand.
#[derive(Clone, Copy, Debug)]
struct Taker {
    at: QueueSlot,
    queue: QueueId,
    seq: Seq,
    expires_unix_ms: Option<u64>,
    place: Place,
}

/// Working memory, used again for each publish.
#[derive(Debug, Default)]
pub(super) struct Takers {
    all: Vec<Taker>,
    references: Vec<(QueueId, Seq)>,
}

const NOWHERE: Place = Place::Arena { address: 0 };

impl<M: Memory> Shard<M> {
    /// Takes one message for queues of this shard. One that has gone meanwhile is passed over:
    /// the message came too late for it.
    pub fn publish(&mut self, now: Now, publish: &Publish<'_>) {
        self.clock = now;
        let message = &publish.message;
        let arrival = Arrival {
            priority: message.priority,
            body_bytes: message.body.len() as u64,
            expiration_ms: message.expiration_ms,
        };
        self.takers.all.clear();
        let mut survives_restart = false;
        let mut refused = false;
        for &id in publish.queues {
            let Some((at, hosted, _)) = self.queues.open(id) else { continue };
            let queue = &mut hosted.queue;
            if !queue.admits(&arrival) {
                refused = true;
                continue;
            }
            let expires_unix_ms = queue.expiry_unix_ms(&arrival, now.unix_ms);
            let seq = queue.assign(&arrival, expires_unix_ms);
            survives_restart |= queue.settings().survives_restart;
            self.takers.all.push(Taker { at, queue: id, seq, expires_unix_ms, place: NOWHERE });
        }
        let end = match self.takers.all.is_empty() {
            true => Position::default(),
            false if message.persistent && survives_restart => {
                self.takers.put_in_log(&mut self.store, now, message)
            }
            false => self.takers.put_in_arena(&mut self.store, now, message),
        };
        for index in 0..self.takers.all.len() {
            let taker = self.takers.all[index];
            self.take_in(now, taker, arrival.body_bytes);
        }
        if let Some((channel, number)) = publish.confirm {
            if refused {
                // One refusing queue is enough, though others have the message (behaviour B29).
                self.confirms.refuse(channel, number);
            } else {
                self.confirms.promise(self.store.log.durable(), end, channel, number);
            }
        }
    }

    #[inline]
    fn take_in(&mut self, now: Now, taker: Taker, body_bytes: u64) {
        let Taker { at, seq, expires_unix_ms, place, .. } = taker;
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        queue.push(pool, seq, place, body_bytes, expires_unix_ms, now.unix_ms);
        if queue.settings().is_bounded() {
            self.drop_excess(now, at);
        }
        if expires_unix_ms.is_some() {
            self.set_timer(at);
        }
        self.queues.note_work(at);
    }

    /// Lets the oldest messages of a queue go until it holds no more than it may.
    pub(super) fn drop_excess(&mut self, now: Now, at: QueueSlot) {
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        let (id, survives) = (queue.id(), queue.settings().survives_restart);
        while let Some(gone) = queue.drop_excess(pool) {
            self.store.free(now, id, survives, gone.seq, &gone.slot);
        }
    }
}

impl Takers {
    /// One record for all takers whose copies expire at the same time, which is nearly always
    /// all of them: the record says when its message expires. Gives the position at which the
    /// message is durable.
    fn put_in_log<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
    ) -> Position {
        let first = self.all[0].expires_unix_ms;
        if self.all.iter().any(|taker| taker.expires_unix_ms != first) {
            self.all.sort_by_key(|taker| taker.expires_unix_ms);
        }
        let mut end = Position::default();
        for alike in self.all.chunk_by_mut(|a, b| a.expires_unix_ms == b.expires_unix_ms) {
            self.references.clear();
            self.references.extend(alike.iter().map(|taker| (taker.queue, taker.seq)));
            let expires = alike[0].expires_unix_ms;
            let placed = store.log.append_message(now, message, expires, &self.references);
            for (reference, taker) in (placed.reference..).zip(alike) {
                let (address, length) = (placed.address.0, placed.length);
                taker.place = Place::Log { address, length, reference };
            }
            end = end.max(placed.end);
        }
        end
    }

    /// Nothing is promised to survive.
    fn put_in_arena<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
    ) -> Position {
        let address = store.arena.append(now, message, self.all.len() as u32).0;
        for taker in &mut self.all {
            taker.place = Place::Arena { address };
        }
        Position::default()
    }
}
