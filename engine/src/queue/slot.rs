//! One message of one queue in 24 octets: where it lies, how it stands.

/// Where a message lies, as the shard's stores number it. To the queue these are bare numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the log: address and length of the record, number of the reference in its segment.
    Log { address: u64, length: u32, reference: u32 },
    /// In the log until the next start at most: a record that recovery drops.
    Spilled { address: u64, length: u32, reference: u32 },
    /// In the arena.
    Arena { address: u64 },
}

/// How a message stands. A slot that was never filled is dead as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Dead,
    Ready,
    Unacked,
}

/// What the index keeps of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    pub(super) address: u64,
    /// Octets of the log record; for the arena, and with [`BODY`], of the body.
    pub(super) length: u32,
    pub(super) reference: u32,
    /// Milliseconds after the base of the slot's chunk; 0: never; [`FAR_EXPIRY`].
    pub(super) expiry: u32,
    pub(super) bits: u32,
}

/// The expiry is in a table beside the chunks.
pub(super) const FAR_EXPIRY: u32 = u32::MAX;

const _: () = assert!(size_of::<Slot>() == 24);

const ARENA: u64 = 1 << 63;
const STATE: u32 = 0b11;
const READY: u32 = 0b01;
const UNACKED: u32 = 0b10;
const REDELIVERED: u32 = 0b100;
/// The body is longer than its record, since it lies in parts.
const BODY: u32 = 0b1000;
/// In the log, for want of memory.
const SPILLED: u32 = 0b1_0000;
/// Octets of a log record that are not body take the upper 24 bits; with [`BODY`], all octets of
/// the record.
const OVERHEAD_SHIFT: u32 = 8;
const OVERHEAD_MAX: u32 = u32::MAX >> OVERHEAD_SHIFT;

impl Slot {
    pub const DEAD: Slot = Slot { address: 0, length: 0, reference: 0, expiry: 0, bits: 0 };

    /// A ready message. `body_bytes` is what the counters count; what is above 4 GiB is not.
    ///
    /// # Panics
    /// If the address uses the bit that tells the two stores apart, or a record has 16 MiB beside
    /// its body: messages would be mixed up.
    #[inline]
    pub fn ready(place: Place, body_bytes: u64, redelivered: bool) -> Slot {
        let flags = READY | if redelivered { REDELIVERED } else { 0 };
        let flags = flags | if let Place::Spilled { .. } = place { SPILLED } else { 0 };
        match place {
            Place::Log { address, length, reference }
            | Place::Spilled { address, length, reference } => {
                assert!(address & ARENA == 0, "log address {address} is out of range");
                let body = u32::try_from(body_bytes).unwrap_or(u32::MAX);
                let (length, beside, flags) = match length.checked_sub(body) {
                    Some(overhead) => (length, overhead, flags),
                    None => (body, length, flags | BODY),
                };
                assert!(beside <= OVERHEAD_MAX, "a log record has {beside} octets beside its body");
                let bits = flags | (beside << OVERHEAD_SHIFT);
                Slot { address, length, reference, expiry: 0, bits }
            }
            Place::Arena { address } => {
                assert!(address & ARENA == 0, "arena address {address} is out of range");
                let length = u32::try_from(body_bytes).unwrap_or(u32::MAX);
                Slot { address: address | ARENA, length, reference: 0, expiry: 0, bits: flags }
            }
        }
    }

    #[inline]
    pub fn place(&self) -> Place {
        if self.address & ARENA != 0 {
            return Place::Arena { address: self.address & !ARENA };
        }
        let (address, length, reference) = self.record();
        match self.bits & SPILLED {
            0 => Place::Log { address, length, reference },
            _ => Place::Spilled { address, length, reference },
        }
    }

    /// It lies in the log for good: [`Place::Log`].
    #[inline]
    pub fn is_in_log(&self) -> bool {
        self.address & ARENA == 0 && self.bits & SPILLED == 0
    }

    /// Address and length of the record of a message in the log, and the number of its reference.
    #[inline]
    pub fn record(&self) -> (u64, u32, u32) {
        let length = match self.bits & BODY {
            0 => self.length,
            _ => self.bits >> OVERHEAD_SHIFT,
        };
        (self.address, length, self.reference)
    }

    #[inline]
    pub fn body_bytes(&self) -> u64 {
        match self.bits & BODY {
            0 => u64::from(self.length - (self.bits >> OVERHEAD_SHIFT)),
            _ => u64::from(self.length),
        }
    }

    /// The message lies at `to` now, if it lay at `from`; all else stays as it is. Whether it was
    /// spilled is not asked.
    pub(super) fn relocate(&mut self, from: Place, to: Place) -> bool {
        let was = Slot::ready(from, 0, false);
        if (was.address, was.reference) != (self.address, self.reference) {
            return false;
        }
        let moved = Slot::ready(to, self.body_bytes(), self.redelivered());
        let kept = STATE | SPILLED;
        let bits = (moved.bits & !kept) | (self.bits & kept);
        *self = Slot { expiry: self.expiry, bits, ..moved };
        true
    }

    #[inline]
    pub fn state(&self) -> State {
        match self.bits & STATE {
            READY => State::Ready,
            UNACKED => State::Unacked,
            _ => State::Dead,
        }
    }

    /// Somebody may have seen it, if it is not dead.
    pub(super) fn note_seen(&mut self) {
        if self.state() != State::Dead {
            self.bits |= REDELIVERED;
        }
    }

    #[inline]
    pub fn redelivered(&self) -> bool {
        self.bits & REDELIVERED != 0
    }

    /// Ready messages become unacked by a delivery.
    #[inline]
    pub(super) fn deliver(&mut self) {
        debug_assert_eq!(self.state(), State::Ready);
        self.bits = (self.bits & !STATE) | UNACKED;
    }

    /// Unacked messages become ready again, and somebody has seen them.
    pub(super) fn give_back(&mut self) {
        debug_assert_eq!(self.state(), State::Unacked);
        self.bits = (self.bits & !STATE) | READY | REDELIVERED;
    }

    #[inline]
    pub(super) fn expiry(&self) -> u32 {
        self.expiry
    }

    pub(super) fn set_expiry(&mut self, expiry: u32) {
        self.expiry = expiry;
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot")
            .field("place", &self.place())
            .field("state", &self.state())
            .field("redelivered", &self.redelivered())
            .field("expiry", &self.expiry)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_tells_the_two_stores_apart() {
        let log = Place::Log { address: 1 << 62, length: 180, reference: 9 };
        let slot = Slot::ready(log, 100, false);
        assert_eq!(slot.place(), log);
        assert_eq!(slot.body_bytes(), 100);
        let in_parts = Slot::ready(log, 5_000_000, false);
        assert_eq!((in_parts.place(), in_parts.body_bytes()), (log, 5_000_000));
        let spilled = Place::Spilled { address: 8, length: 180, reference: 9 };
        assert_eq!(Slot::ready(spilled, 100, false).place(), spilled);
        let arena = Place::Arena { address: 7 };
        let slot = Slot::ready(arena, 0, true);
        assert_eq!(slot.place(), arena);
        assert_eq!(slot.body_bytes(), 0);
        assert!(slot.redelivered());
    }

    #[test]
    fn giving_back_marks_as_redelivered_and_keeps_the_place() {
        let place = Place::Log { address: 5, length: 64, reference: 1 };
        let mut slot = Slot::ready(place, 10, false);
        slot.deliver();
        assert_eq!(slot.state(), State::Unacked);
        assert!(!slot.redelivered());
        slot.give_back();
        assert_eq!(slot.state(), State::Ready);
        assert!(slot.redelivered());
        assert_eq!((slot.place(), slot.body_bytes()), (place, 10));
    }

    #[test]
    fn relocating_changes_the_place_and_nothing_else() {
        let place = |address| Place::Log { address, length: 64, reference: 1 };
        let mut slot = Slot::ready(place(5), 10, true);
        slot.deliver();
        slot.set_expiry(77);
        assert!(!slot.relocate(place(6), place(9)));
        assert!(slot.relocate(place(5), place(9)));
        assert_eq!((slot.place(), slot.body_bytes()), (place(9), 10));
        assert_eq!((slot.state(), slot.redelivered(), slot.expiry()), (State::Unacked, true, 77));
    }
}
