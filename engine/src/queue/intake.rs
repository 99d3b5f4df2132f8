//! Messages coming in: admission, numbers, limits; and those that recovery brings back.

use super::slot::{Place, Slot};
use super::{seq_of, ChunkPool, Overflow, Queue, Removed};
use crate::ids::Seq;

/// What a queue needs to know of a message.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    pub priority: u8,
    pub body_bytes: u64,
    /// The `expiration` property.
    pub expiration_ms: Option<u64>,
}

impl Queue {
    /// False if the message would not fit and the queue refuses rather than drops. Messages before
    /// it that consumers could take at once do not count against the limit; it does itself, so
    /// that whether it is refused does not depend on who happens to be there.
    #[inline]
    pub fn admits(&self, arrival: &Arrival) -> bool {
        if !self.settings.is_bounded() || self.settings.overflow == Overflow::DropHead {
            return true;
        }
        let takers = self.consumers().spare_credit();
        let (ready, bytes) = match self.counts.ready.saturating_sub(takers) {
            0 => (0, 0),
            // How many octets the takers would take is known only for all of them.
            left => (left, self.counts.ready_bytes),
        };
        let has_room = |used: u64, max: Option<u64>| max.is_none_or(|max| used <= max);
        has_room(ready + 1, self.settings.max_length)
            && has_room(bytes + arrival.body_bytes, self.settings.max_length_bytes)
    }

    fn exceeds(&self, ready: u64, ready_bytes: u64) -> bool {
        let by_count = self.settings.max_length.is_some_and(|max| ready > max);
        let by_bytes = self.settings.max_length_bytes.is_some_and(|max| ready_bytes > max);
        if !by_count && !by_bytes {
            return false;
        }
        let takers = self.consumers().spare_credit();
        if takers == 0 {
            return true;
        }
        let by_count = self.settings.max_length.is_some_and(|max| ready - ready.min(takers) > max);
        // How many octets the takers would take is known only for all of them.
        by_count || (by_bytes && ready > takers)
    }

    /// When the message expires here: the lower of its own limit and the queue's (behaviour B24).
    #[inline]
    pub fn expiry_unix_ms(&self, arrival: &Arrival, now_unix_ms: u64) -> Option<u64> {
        let ttl = match (self.settings.message_ttl_ms, arrival.expiration_ms) {
            (Some(queue), Some(message)) => Some(queue.min(message)),
            (one, other) => one.or(other),
        };
        ttl.map(|ttl| now_unix_ms.saturating_add(ttl))
    }

    /// Gives a message its number. It must be pushed before anything else is done to the queue.
    #[inline]
    pub fn assign(&mut self, arrival: &Arrival) -> Seq {
        let max = self.settings.max_priority;
        let lane = usize::from(max - arrival.priority.min(max));
        if lane >= self.lanes.count() {
            self.make_lanes();
        }
        seq_of(lane, self.lanes[lane].assign())
    }

    #[cold]
    fn make_lanes(&mut self) {
        self.lanes.extend_to(usize::from(self.settings.max_priority) + 1);
        self.lanes.iter_mut().for_each(|lane| lane.belong_to(self.slot));
    }

    /// Puts the message at its number.
    #[inline]
    pub fn push(
        &mut self,
        pool: &mut ChunkPool,
        seq: Seq,
        place: Place,
        body_bytes: u64,
        expires_unix_ms: Option<u64>,
        now_unix_ms: u64,
    ) {
        let Some((lane, number)) = self.locate(seq) else {
            unreachable!("a message number was not assigned by this queue");
        };
        let slot = Slot::ready(place, body_bytes, false);
        let expires_unix_ms = match &mut self.due_times {
            Some(due_times) => {
                // Its queues have one level, so the number says when it came.
                due_times.insert(pool, expires_unix_ms.unwrap_or(0), number);
                None
            }
            None => expires_unix_ms,
        };
        if expires_unix_ms.is_some() {
            // A clock that was set back must not put off the next sweep until it is that late again.
            self.swept_unix_ms = self.swept_unix_ms.min(now_unix_ms);
        }
        self.lanes[lane].push(pool, number, slot, expires_unix_ms, now_unix_ms);
        self.top = self.top.min(lane);
        self.counts.ready += 1;
        self.counts.ready_bytes += slot.body_bytes();
        self.traffic.publishes += 1;
        self.note_expiry(expires_unix_ms);
    }

    /// [`Queue::assign`] and [`Queue::push`] of a message that takes its place before its slot is known, in a queue
    /// that [is plain](Queue::is_plain): the caller puts the slot there at once. What has to come into the core's
    /// cache for that comes while the message is written elsewhere. `None` in place of the place: it has to be pushed.
    #[inline]
    pub fn take_place(
        &mut self,
        pool: &mut ChunkPool,
        arrival: &Arrival,
    ) -> (Seq, Option<&mut Slot>) {
        let seq = self.assign(arrival);
        let Some((lane, number)) = self.locate(seq) else {
            unreachable!("a message number was not assigned by this queue");
        };
        let place = self.lanes[lane].place(pool, number);
        if place.is_some() {
            self.top = self.top.min(lane);
            self.counts.ready += 1;
            self.counts.ready_bytes += arrival.body_bytes;
            self.traffic.publishes += 1;
        }
        (seq, place)
    }

    pub(super) fn note_expiry(&mut self, expires_unix_ms: Option<u64>) {
        if let Some(expires) = expires_unix_ms {
            let next = self.next_expiry_unix_ms.map_or(expires, |next| next.min(expires));
            self.next_expiry_unix_ms = Some(next);
        }
    }

    /// True if it holds more than it may, and drops messages therefore.
    pub fn has_excess(&self) -> bool {
        self.settings.is_bounded()
            && self.settings.overflow == Overflow::DropHead
            && self.exceeds(self.counts.ready, self.counts.ready_bytes)
    }

    /// Takes the oldest ready message out if the queue holds more than it may (behaviour B27). One
    /// that refuses new messages drops none, though returned ones may fill it beyond its limit.
    pub fn drop_excess(&mut self, pool: &mut ChunkPool) -> Option<Removed> {
        if !self.has_excess() {
            return None;
        }
        let (lane, number, _) = self.head(pool)?;
        self.remove_ready(pool, lane, number)
    }
}
