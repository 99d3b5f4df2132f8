//! Messages coming in: stored once, indexed by each queue that takes them, promised to the
//! publisher.

use super::bodies::Body;
use super::dead_letters::{DeadMessage, Testament};
use super::queues::QueueSlot;
use super::store::Store;
use super::transactions::Held;
use super::Shard;
use crate::dead_letter::Cause;
use crate::dedup::DedupKey;
use crate::ids::{QueueId, Seq};
use crate::log::{Group, Memory, OpenBody, Placed, Position, Settling};
use crate::mail::Publish;
use crate::message::MessageRef;
use crate::now::Now;
use crate::properties;
use crate::queue::{Arrival, Place, Removed, Role, Slot};

/// A queue that takes the message at hand.
#[derive(Clone, Copy, Debug)]
struct Taker {
    at: QueueSlot,
    queue: QueueId,
    seq: Seq,
    expires_unix_ms: Option<u64>,
    place: Place,
    /// It has no room for the message, which is to be dead-lettered.
    is_refused: bool,
}

impl Taker {
    fn expires_like(&self, other: &Taker) -> bool {
        self.expires_unix_ms == other.expires_unix_ms
    }
}

/// What became of a message that came in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Intake {
    /// Where it is durable; zero if nothing was promised to survive.
    pub(super) end: Position,
    /// A queue has refused it.
    pub(super) refused: bool,
    /// A queue that is there has not taken it: there was no room, or it is a duplicate.
    pub(super) is_left_out: bool,
}

/// Working memory, used again for each publish.
#[derive(Debug, Default)]
pub(super) struct Takers {
    all: Vec<Taker>,
    references: Vec<(QueueId, Seq)>,
}

/// Part of the memory for messages that long queues leave to short ones.
const RESERVE: usize = 8;
/// A queue is short while its ready messages take no more than this part of the memory.
pub(super) const SHORT_QUEUE: usize = 64;

const NOWHERE: Place = Place::Arena { address: 0 };

impl<M: Memory> Shard<M> {
    /// Takes one message for queues of this shard. One that has gone meanwhile is passed over:
    /// the message came too late for it.
    pub fn publish(&mut self, now: Now, publish: &Publish<'_>) {
        self.clock = now;
        let intake = match self.take_plainly(now, &publish.message, publish.queues) {
            Some(intake) => intake,
            None => self.take_message(now, &publish.message, publish.queues, None, None),
        };
        self.promise(publish, intake);
    }

    /// The publisher is told of what has become of its message when that is as safe as it should
    /// be.
    #[inline]
    pub(super) fn promise(&mut self, publish: &Publish<'_>, intake: Intake) {
        let Intake { end, refused, .. } = intake;
        if let Some((channel, number)) = publish.confirm {
            if refused {
                // One refusing queue is enough, though others have the message (behaviour B29).
                self.confirms.refuse(channel, number);
            } else {
                let log = &self.store.log;
                self.confirms.promise(log.durable(), log.batch_start(), end, channel, number);
            }
        }
    }

    /// Stores a message once and gives it to those of `queues` that are there and take it.
    /// `from`: what it was in the queue it died in, which ends by the same stroke. `mark`: a further
    /// reference that its record makes, if it gets one in the log for good.
    pub(super) fn take_message(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        queues: &[QueueId],
        from: Option<&DeadMessage>,
        mark: Option<(QueueId, Seq)>,
    ) -> Intake {
        self.take(now, message, None, queues, from, mark)
    }

    /// As `take_message`. `body`: what has come before the octets that the message has.
    #[inline(always)]
    pub(super) fn take(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        body: Option<Body>,
        queues: &[QueueId],
        from: Option<&DeadMessage>,
        mark: Option<(QueueId, Seq)>,
    ) -> Intake {
        let body_bytes = message.body.len() as u64 + body.as_ref().map_or(0, Body::bytes);
        let arrival = Arrival {
            priority: message.priority,
            body_bytes,
            expiration_ms: message.expiration_ms,
        };
        self.takers.all.clear();
        let mut survives_restart = false;
        let mut is_short = true;
        let short_bytes = (self.config.memory_max_bytes / SHORT_QUEUE) as u64;
        let mut refused = false;
        let mut is_left_out = false;
        let mut duplicate_of = Position::default();
        let mut value_of = None;
        for &id in queues {
            let Some((at, hosted, _)) = self.queues.open(id) else { continue };
            if hosted.is_special() && !hosted.lets_in(message, now) {
                // The first of its kind is safe when all that is in the log by now is.
                duplicate_of = self.store.log.end();
                is_left_out = true;
                continue;
            }
            if hosted.is_special() && hosted.queue.settings().role.persists_values() {
                value_of = Some(id);
            }
            let queue = &mut hosted.queue;
            let is_refused = !queue.admits(&arrival);
            refused |= is_refused;
            if is_refused && !queue.settings().buries_refused() {
                is_left_out = true;
                continue;
            }
            let expires_unix_ms = match queue.settings().role {
                Role::Ordinary => queue.expiry_unix_ms(&arrival, now.unix_ms),
                role => role.due_unix_ms(message, now.unix_ms),
            };
            let seq = queue.assign(&arrival);
            if queue.settings().deduplicates && !is_refused {
                if let Some(key) = DedupKey::of(properties::headers(message.properties)) {
                    queue.note_value(seq, key);
                }
            }
            survives_restart |= queue.settings().survives_restart;
            is_short &= queue.counts().ready_bytes <= short_bytes;
            let place = NOWHERE;
            self.takers.all.push(Taker { at, queue: id, seq, expires_unix_ms, place, is_refused });
        }
        let settling = from.and_then(DeadMessage::settling);
        let is_in_log = !self.takers.all.is_empty() && message.persistent && survives_restart;
        let end = match self.takers.all.is_empty() {
            _ if body.is_some() => self.store_body(now, message, body, is_in_log, (settling, mark)),
            true => Position::default(),
            false if is_in_log => {
                let (end, marked) =
                    self.takers.put_in_log(&mut self.store, now, message, settling, mark);
                if let (Some(name), Some(held)) = (mark, marked) {
                    self.transactions.mark(name, held);
                }
                end
            }
            false if self.has_memory(message, is_short) => {
                self.takers.put_in_arena(&mut self.store, now, message)
            }
            false => self.takers.spill(&mut self.store, now, message),
        };
        let mut end = end;
        if let Some(store) = value_of {
            let kept = self.keep_value(now, store, message);
            end = if is_in_log { end.max(kept) } else { end };
        }
        if from.is_some() || mark.is_some() {
            self.transactions.note_put(self.store.log.end());
        }
        if let Some(dead) = from {
            if !is_in_log || settling.is_none() {
                dead.free(&mut self.store, now);
            }
        }
        for index in 0..self.takers.all.len() {
            let taker = self.takers.all[index];
            self.take_in(now, taker, arrival.body_bytes);
        }
        Intake { end: end.max(duplicate_of), refused, is_left_out }
    }

    /// What [`Shard::take_message`] has just put into queues was there before a crash, and somebody
    /// may have seen it then.
    pub(super) fn note_seen(&mut self) {
        for taker in &self.takers.all {
            if let Some((hosted, pool)) = self.queues.get_mut(taker.at) {
                hosted.queue.note_seen(pool, taker.seq);
            }
        }
    }

    /// True if the message may be kept in memory. Messages of short queues, whose consumers keep up,
    /// need not go by the device for the sake of long ones.
    #[inline]
    pub(super) fn has_memory(&self, message: &MessageRef<'_>, is_short: bool) -> bool {
        let arena_max_bytes = || {
            let max_bytes = self.config.memory_max_bytes;
            let reserve_bytes = if is_short { 0 } else { max_bytes / RESERVE };
            let other_bytes = self.queues.pool.bytes() + self.bodies.reserved_bytes();
            max_bytes.saturating_sub(reserve_bytes + other_bytes)
        };
        self.fits_memory(message.body.len() as u64)
            && self.store.arena.has_room(message, arena_max_bytes)
    }

    /// Stores a message of which `body` has come before.
    #[cold]
    fn store_body(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        body: Option<Body>,
        is_in_log: bool,
        (from, mark): (Option<Settling>, Option<(QueueId, Seq)>),
    ) -> Position {
        let Some(mut body) = body else { return Position::default() };
        let other_bytes = self.queues.pool.bytes() + self.bodies.reserved_bytes();
        let arena_max_bytes = self.config.memory_max_bytes.saturating_sub(other_bytes);
        let store = &mut self.store;
        if self.takers.all.is_empty() {
            body.forget(store);
            return Position::default();
        }
        body.add(store, now, message.body);
        let body_bytes = body.bytes() as usize;
        // What comes beside the body was not known when room was made for it.
        let fits = store.arena.has_room_with_body(message, body_bytes, arena_max_bytes);
        match body {
            Body::InMemory { pieces, .. } if !is_in_log && fits => {
                self.takers.put_pieces_in_arena(store, now, message, pieces)
            }
            body => {
                let body = body.into_log(store, now);
                if !is_in_log {
                    return self.takers.spill_body(store, now, message, body);
                }
                let (end, marked) =
                    self.takers.put_body_in_log(store, now, message, body, from, mark);
                if let (Some(name), Some(held)) = (mark, marked) {
                    self.transactions.mark(name, held);
                }
                end
            }
        }
    }

    #[inline]
    fn take_in(&mut self, now: Now, taker: Taker, body_bytes: u64) {
        let Taker { at, seq, expires_unix_ms, place, .. } = taker;
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        if taker.is_refused {
            let gone = Removed { seq, slot: Slot::ready(place, body_bytes, false) };
            let (store, testament) = (&mut self.store, Testament::of(queue));
            return self.dead_letters.take(store, now, &testament, &gone, Cause::MaxLength);
        }
        queue.push(pool, seq, place, body_bytes, expires_unix_ms, now.unix_ms);
        self.sampling.enqueued(now.monotonic_us, at, seq);
        if queue.settings().is_bounded() {
            self.drop_excess(now, at);
        }
        if expires_unix_ms.is_some() {
            self.set_timer(at);
            if expires_unix_ms == Some(now.unix_ms) {
                // It only passes through.
                self.timer(now, at, now.unix_ms);
            }
        }
        self.queues.note_work(at);
    }
}

impl Takers {
    /// One record for all takers whose copies expire at the same time, which is nearly always
    /// all of them: the record says when its message expires. Gives the position at which the
    /// message is durable.
    ///
    /// `from` is settled by the same stroke. Records that do not fit one block together share the
    /// body, as that of a long message is.
    fn put_in_log<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
        from: Option<Settling>,
        mark: Option<(QueueId, Seq)>,
    ) -> (Position, Option<Held>) {
        let first = self.all[0].expires_unix_ms;
        let mut copies_left = 1;
        if self.all.iter().any(|taker| taker.expires_unix_ms != first) {
            self.all.sort_by_key(|taker| taker.expires_unix_ms);
            let marks = usize::from(mark.is_some());
            let sizes = self.all.chunk_by(Taker::expires_like).map(|alike| alike.len() + marks);
            copies_left = sizes.clone().count();
            // All in one block, so that a crash does not leave some of them.
            if !store.log.make_room_for_all(now, message, sizes) {
                let body = store.log.begin_body();
                store.log.append_body(now, &body, message.body);
                return self.put_body_in_log(store, now, message, body, from, mark);
            }
        }
        let mut end = Position::default();
        let mut marked = None;
        for alike in self.all.chunk_by_mut(Taker::expires_like) {
            self.references.clear();
            self.references.extend(alike.iter().map(|taker| (taker.queue, taker.seq)));
            let expires = alike[0].expires_unix_ms;
            copies_left -= 1;
            if let (Some(mark), 0) = (mark, copies_left) {
                self.references.push(mark);
            }
            let placed = match from {
                Some(from) if copies_left == 0 => {
                    store.log.append_move(now, message, expires, &self.references, from)
                }
                _ => store.log.append_message(now, message, expires, &self.references),
            };
            let (address, length) = (placed.address, placed.length);
            if mark.is_some() && copies_left == 0 {
                let reference = placed.reference + alike.len() as u32;
                marked = Some(Held { address, length, reference });
            }
            for (reference, taker) in (placed.reference..).zip(alike) {
                taker.place = Place::Log { address: address.0, length, reference };
            }
            end = end.max(placed.end);
        }
        (end, marked)
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

    /// As [`Takers::put_in_log`], of a message whose body is there already.
    #[cold]
    fn put_body_in_log<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
        body: OpenBody,
        from: Option<Settling>,
        mark: Option<(QueueId, Seq)>,
    ) -> (Position, Option<Held>) {
        let mut groups = self.groups();
        if let (Some(mark), Some(last)) = (mark, groups.last_mut()) {
            self.references.push(mark);
            last.references += 1;
        }
        let placed =
            store.log.append_with_body(now, message, body, &self.references, &groups, from);
        let mut end = Position::default();
        let mut marked = None;
        for (alike, placed) in self.all.chunk_by_mut(Taker::expires_like).zip(placed) {
            let Placed { address, length, reference, end: this_end } = placed;
            let behind = reference + alike.len() as u32;
            for (reference, taker) in (reference..).zip(alike) {
                taker.place = Place::Log { address: address.0, length, reference };
            }
            // The mark is the last reference of the last record.
            marked = mark.map(|_| Held { address, length, reference: behind });
            end = end.max(this_end);
        }
        (end, marked)
    }

    /// As [`Takers::spill`], of a message whose body is there already.
    fn spill_body<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
        body: OpenBody,
    ) -> Position {
        let groups = self.groups();
        let log = &mut store.log;
        let placed = log.append_spilled_with_body(now, message, body, &self.references, &groups);
        for (alike, placed) in self.all.chunk_by_mut(Taker::expires_like).zip(placed) {
            let (address, length) = (placed.address.0, placed.length);
            for (reference, taker) in (placed.reference..).zip(alike) {
                taker.place = Place::Spilled { address, length, reference };
            }
        }
        Position::default()
    }

    /// Sorts the takers by when their copies expire. Their references are in `references` then.
    fn groups(&mut self) -> Vec<Group> {
        self.all.sort_by_key(|taker| taker.expires_unix_ms);
        self.references.clear();
        self.references.extend(self.all.iter().map(|taker| (taker.queue, taker.seq)));
        let alike = self.all.chunk_by(Taker::expires_like);
        let group = |alike: &[Taker]| {
            let expires_unix_ms = alike.first().and_then(|taker| taker.expires_unix_ms);
            Group { expires_unix_ms, references: alike.len() }
        };
        alike.map(group).collect()
    }

    /// As [`Takers::put_in_arena`], of a message whose body is these pieces.
    fn put_pieces_in_arena<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
        pieces: Vec<Vec<u8>>,
    ) -> Position {
        let references = self.all.len() as u32;
        let address = store.arena.append_pieces(now, message, pieces, references).0;
        for taker in &mut self.all {
            taker.place = Place::Arena { address };
        }
        Position::default()
    }

    /// Nothing is promised to survive, and there is no memory left for it. What the log holds of it
    /// is dead after a restart: either it is not persistent, or none of its queues is there then.
    #[cold]
    fn spill<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        now: Now,
        message: &MessageRef<'_>,
    ) -> Position {
        self.all.sort_by_key(|taker| taker.expires_unix_ms);
        for alike in self.all.chunk_by_mut(Taker::expires_like) {
            self.references.clear();
            self.references.extend(alike.iter().map(|taker| (taker.queue, taker.seq)));
            let expires = alike[0].expires_unix_ms;
            let placed = store.log.append_spilled(now, message, expires, &self.references);
            for (reference, taker) in (placed.reference..).zip(alike) {
                let (address, length) = (placed.address.0, placed.length);
                taker.place = Place::Spilled { address, length, reference };
            }
        }
        Position::default()
    }
}
