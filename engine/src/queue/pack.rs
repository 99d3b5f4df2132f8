//! Slots in a few octets: how a chunk is kept while nobody needs it.
//!
//! Neighbours in a queue are mostly neighbours in the log, of one size, numbered one after the
//! other: each slot is told by what differs from the guess that the slots before it allow, and a
//! run of slots that are as guessed is a count. A queue that has the log to itself takes less than
//! an octet a message; one among many with messages of all sizes five or six.
//!
//! A packed slot is a *token*, the octet below, and what it announces, as variable-length
//! integers in the order of the bits. Octets here never leave the process.

use super::slot::{Slot, State};

/// The address is not the one right behind the message before: the difference to that follows,
/// in units of 8.
const ADDRESS: u8 = 1;
/// It differs from the one before as much as the last told address did from its predecessor.
const STRIDE: u8 = 2;
/// The difference is no multiple of 8 and told in full.
const ODD_ADDRESS: u8 = ADDRESS | STRIDE;
/// Another length than the one before.
const LENGTH: u8 = 4;
/// The reference is not the one before plus one.
const REFERENCE: u8 = 8;
/// Another expiry than the one before.
const EXPIRY: u8 = 16;
/// Other flags, or other octets beside the body.
const BITS: u8 = 32;
/// Numbers without a message come before it.
const GAP: u8 = 64;
/// So many slots of this token, which announces nothing.
const RUN: u8 = 128;

/// What is known before a slot is read or written.
#[derive(Clone, Copy)]
struct Guess {
    previous: Slot,
    stride: u64,
}

impl Guess {
    const FIRST: Guess = Guess { previous: Slot::DEAD, stride: 0 };

    /// The address right behind the message before, if that is in the log.
    #[inline]
    fn behind(&self) -> u64 {
        let length = u64::from(self.previous.length).next_multiple_of(8);
        self.previous.address.wrapping_add(length)
    }
}

/// Writes the slots, in order, to the end of `octets`.
pub(super) fn pack(first: usize, slots: &[Slot], octets: &mut Vec<u8>) {
    let all = slots.iter().enumerate();
    let live = all.filter(|(_, slot)| slot.state() != State::Dead);
    pack_sparse(live.map(|(at, slot)| (first + at, *slot)), octets);
}

/// The same for live slots, each with its offset.
pub(super) fn pack_sparse(slots: impl Iterator<Item = (usize, Slot)>, octets: &mut Vec<u8>) {
    let mut guess = Guess::FIRST;
    let mut next = 0;
    let mut run: Option<(u8, u64)> = None;
    for (offset, slot) in slots {
        let slot = &slot;
        let gap = (offset - next) as u64;
        next = offset + 1;
        assert!(slot.state() != State::Dead, "a message that is gone is being packed");
        let token = token_of(&guess, slot, gap);
        if token & !STRIDE == 0 {
            match &mut run {
                Some((held, count)) if *held == token => *count += 1,
                _ => {
                    write_run(run.replace((token, 1)), octets);
                }
            }
        } else {
            write_run(run.take(), octets);
            write_slot(&guess, slot, token, gap, octets);
        }
        if token & ADDRESS != 0 {
            guess.stride = slot.address.wrapping_sub(guess.previous.address);
        }
        guess.previous = *slot;
    }
    write_run(run, octets);
}

fn token_of(guess: &Guess, slot: &Slot, gap: u64) -> u8 {
    let previous = &guess.previous;
    let address = match slot.address.wrapping_sub(guess.behind()) {
        0 => 0,
        _ if slot.address == previous.address.wrapping_add(guess.stride) => STRIDE,
        difference if difference.is_multiple_of(8) => ADDRESS,
        _ => ODD_ADDRESS,
    };
    let other = |differs: bool, bit: u8| if differs { bit } else { 0 };
    address
        | other(slot.length != previous.length, LENGTH)
        | other(slot.reference != previous.reference.wrapping_add(1), REFERENCE)
        | other(slot.expiry != previous.expiry, EXPIRY)
        | other(slot.bits != previous.bits, BITS)
        | other(gap != 0, GAP)
}

fn write_run(run: Option<(u8, u64)>, octets: &mut Vec<u8>) {
    let Some((token, count)) = run else { return };
    octets.push(token | RUN);
    write_number(count, octets);
}

fn write_slot(guess: &Guess, slot: &Slot, token: u8, gap: u64, octets: &mut Vec<u8>) {
    let previous = &guess.previous;
    octets.push(token);
    let difference = slot.address.wrapping_sub(guess.behind()) as i64;
    match token & ODD_ADDRESS {
        ADDRESS => write_number(fold(difference >> 3), octets),
        ODD_ADDRESS => write_number(fold(difference), octets),
        _ => {}
    }
    let mut write_other = |bit, now: u32, before: u32| {
        if token & bit != 0 {
            write_number(fold(i64::from(now) - i64::from(before)), octets);
        }
    };
    write_other(LENGTH, slot.length, previous.length);
    write_other(REFERENCE, slot.reference, previous.reference.wrapping_add(1));
    write_other(EXPIRY, slot.expiry, previous.expiry);
    write_other(BITS, slot.bits, previous.bits);
    if token & GAP != 0 {
        write_number(gap, octets);
    }
}

/// Offsets of live slots in their chunk, and the slots, from packed octets.
pub(super) struct Unpack<'a> {
    octets: &'a [u8],
    guess: Guess,
    offset: usize,
    /// Slots left of a run, and its token.
    run: (u64, u8),
}

impl<'a> Unpack<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Unpack { octets, guess: Guess::FIRST, offset: 0, run: (0, 0) }
    }

    fn token(&mut self) -> Option<u8> {
        if self.run.0 == 0 {
            let (&token, rest) = self.octets.split_first()?;
            self.octets = rest;
            if token & RUN == 0 {
                return Some(token);
            }
            self.run = (read_number(&mut self.octets), token & !RUN);
        }
        self.run.0 -= 1;
        Some(self.run.1)
    }

    fn other(&mut self, told: bool, before: u32) -> u32 {
        match told {
            true => (i64::from(before) + unfold(read_number(&mut self.octets))) as u32,
            false => before,
        }
    }
}

impl Iterator for Unpack<'_> {
    type Item = (usize, Slot);

    #[inline]
    fn next(&mut self) -> Option<(usize, Slot)> {
        let token = self.token()?;
        let Guess { previous, stride } = self.guess;
        let behind = self.guess.behind();
        let address = match token & ODD_ADDRESS {
            0 => behind,
            STRIDE => previous.address.wrapping_add(stride),
            ADDRESS => behind.wrapping_add((unfold(read_number(&mut self.octets)) << 3) as u64),
            _ => behind.wrapping_add(unfold(read_number(&mut self.octets)) as u64),
        };
        let slot = Slot {
            address,
            length: self.other(token & LENGTH != 0, previous.length),
            reference: self.other(token & REFERENCE != 0, previous.reference.wrapping_add(1)),
            expiry: self.other(token & EXPIRY != 0, previous.expiry),
            bits: self.other(token & BITS != 0, previous.bits),
        };
        if token & GAP != 0 {
            self.offset += read_number(&mut self.octets) as usize;
        }
        if token & ADDRESS != 0 {
            self.guess.stride = address.wrapping_sub(previous.address);
        }
        self.guess.previous = slot;
        self.offset += 1;
        Some((self.offset - 1, slot))
    }
}

/// Small for numbers near zero on either side.
pub(super) fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unfold(folded: u64) -> i64 {
    (folded >> 1) as i64 ^ -((folded & 1) as i64)
}

/// Seven bits an octet, the lowest first; the top bit says that more follow.
pub(super) fn write_number(mut number: u64, octets: &mut Vec<u8>) {
    while number >= 0x80 {
        octets.push(number as u8 | 0x80);
        number >>= 7;
    }
    octets.push(number as u8);
}

pub(super) fn read_number(octets: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    loop {
        let Some((&octet, rest)) = octets.split_first() else {
            panic!("a packed piece of a queue is cut short");
        };
        *octets = rest;
        number |= u64::from(octet & 0x7f) << shift;
        if octet < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::slot::Place;
    use super::*;

    fn packed(slots: &[Slot]) -> Vec<u8> {
        let mut octets = Vec::new();
        pack(0, slots, &mut octets);
        octets
    }

    fn assert_comes_back(slots: &[Slot]) {
        let octets = packed(slots);
        let mut unpacked = vec![Slot::DEAD; slots.len()];
        for (offset, slot) in Unpack::new(&octets) {
            unpacked[offset] = slot;
        }
        assert_eq!(unpacked, slots);
    }

    /// Messages of one queue that fill blocks of 64 KiB one after the other.
    fn alone_in_the_log(count: u64, length: u32) -> Vec<Slot> {
        let mut place = (0_u64, 64_u64);
        let slot = |number| {
            if place.1 + u64::from(length) > 65_536 {
                place = (place.0 + 16, 64);
            }
            let address = (place.0 << 20) | place.1;
            place.1 += u64::from(length).next_multiple_of(8);
            let place = Place::Log { address, length, reference: number as u32 };
            Slot::ready(place, u64::from(length) - 70, false)
        };
        (1000..1000 + count).map(slot).collect()
    }

    #[test]
    fn queue_alone_in_the_log_takes_less_than_an_octet_a_message() {
        let slots = alone_in_the_log(128, 1094);
        assert_comes_back(&slots);
        assert!(packed(&slots).len() < 64, "{} octets", packed(&slots).len());
    }

    #[test]
    fn messages_in_blocks_of_their_own_are_a_run() {
        let slot = |number: u64| {
            let address = (number << 20) | 64;
            let place = Place::Log { address, length: 300, reference: number as u32 };
            Slot::ready(place, 200, true)
        };
        let slots: Vec<Slot> = (5..133).map(slot).collect();
        assert_comes_back(&slots);
        assert!(packed(&slots).len() < 40);
    }

    #[test]
    fn nothing_at_all_packs_to_nothing() {
        assert_comes_back(&[]);
        assert_comes_back(&[Slot::DEAD; 128]);
        assert_eq!(packed(&[Slot::DEAD; 128]).len(), 0);
    }

    fn any_slot() -> impl Strategy<Value = Slot> {
        let place = prop_oneof![
            (0..1_u64 << 63, any::<u32>(), any::<u32>())
                .prop_map(|(address, length, reference)| Place::Log { address, length, reference }),
            (0_u64..40, 0_u32..3, 0_u32..3).prop_map(|(page, length, reference)| Place::Log {
                address: (page << 20) | 64,
                length: 80 * length,
                reference
            }),
            (0..1_u64 << 63).prop_map(|address| Place::Arena { address }),
        ];
        let dead = Just(Slot::DEAD);
        let ready = (place, 0_u64..1 << 20, any::<bool>(), prop_oneof![Just(0), any::<u32>()])
            .prop_map(|(place, body_bytes, redelivered, expiry)| {
                // A log record holds less beside the body than flags leave room for.
                let place = match place {
                    Place::Log { address, length, reference } => {
                        let length = length % (1 << 24);
                        Place::Log { address, length, reference }
                    }
                    other => other,
                };
                let mut slot = Slot::ready(place, body_bytes, redelivered);
                slot.set_expiry(expiry);
                slot
            });
        prop_oneof![1 => dead, 4 => ready]
    }

    proptest! {
        #[test]
        fn whatever_slots_are_packed_come_back(
            slots in prop::collection::vec(any_slot(), 0..129),
            repeats in 1_usize..4,
        ) {
            let slots: Vec<Slot> =
                slots.iter().flat_map(|slot| std::iter::repeat_n(*slot, repeats)).collect();
            assert_comes_back(&slots);
        }
    }
}
