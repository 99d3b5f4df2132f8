//! One message of one queue in 24 octets: where it lies, how it stands.

/// Where a message lies, as the shard's stores number it. To the queue these are bare numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the log: address and length of the record, number of the reference in its segment.
    Log { address: u64, length: u32, reference: u32 },
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
    address: u64,
    /// Octets of the log record; for the arena, of the body.
    length: u32,
    reference: u32,
    /// Milliseconds after the base of the slot's chunk; 0: never.
    expiry: u32,
    bits: u32,
}

const _: () = assert!(size_of::<Slot>() == 24);

const ARENA: u64 = 1 << 63;
const STATE: u32 = 0b11;
const READY: u32 = 0b01;
const UNACKED: u32 = 0b10;
const REDELIVERED: u32 = 0b100;
/// Octets of a log record that are not body take the upper 24 bits.
const OVERHEAD_SHIFT: u32 = 8;
const OVERHEAD_MAX: u32 = u32::MAX >> OVERHEAD_SHIFT;

impl Slot {
    pub const DEAD: Slot = Slot { address: 0, length: 0, reference: 0, expiry: 0, bits: 0 };

    /// A ready message. `body_bytes` is what the counters count; a log record with more than
    /// 16 MiB beside its body counts the rest as body, at both ends alike.
    ///
    /// # Panics
    /// If the address uses the bit that tells the two stores apart: messages would be mixed up.
    #[inline]
    pub fn ready(place: Place, body_bytes: u64, redelivered: bool) -> Slot {
        let flags = READY | if redelivered { REDELIVERED } else { 0 };
        match place {
            Place::Log { address, length, reference } => {
                assert!(address & ARENA == 0, "log address {address} is out of range");
                let overhead = u64::from(length).saturating_sub(body_bytes);
                let overhead = overhead.min(u64::from(OVERHEAD_MAX)) as u32;
                let bits = flags | (overhead << OVERHEAD_SHIFT);
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
            Place::Arena { address: self.address & !ARENA }
        } else {
            Place::Log { address: self.address, length: self.length, reference: self.reference }
        }
    }

    #[inline]
    pub fn body_bytes(&self) -> u64 {
        u64::from(self.length - (self.bits >> OVERHEAD_SHIFT))
    }

    #[inline]
    pub fn state(&self) -> State {
        match self.bits & STATE {
            READY => State::Ready,
            UNACKED => State::Unacked,
            _ => State::Dead,
        }
    }

    #[inline]
    pub fn redelivered(&self) -> bool {
        self.bits & REDELIVERED != 0
    }

    /// Ready messages become unacked by a delivery.
    pub(super) fn deliver(&mut self) {
        debug_assert_eq!(self.state(), State::Ready);
        self.bits = (self.bits & !STATE) | UNACKED;
    }

    /// Unacked messages become ready again, and somebody has seen them.
    pub(super) fn give_back(&mut self) {
        debug_assert_eq!(self.state(), State::Unacked);
        self.bits = (self.bits & !STATE) | READY | REDELIVERED;
    }

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
}
