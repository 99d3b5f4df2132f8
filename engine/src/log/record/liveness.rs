//! The Liveness record: which references of an older segment are dead.
//!
//! It stands for all settles of that segment before it, so that the segments that hold those
//! settles need not be kept. Written as a bitmap or as runs, whichever is shorter: a queue that
//! is consumed in order makes few runs, a sparse segment makes few as well.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{entries, head, Malformed, RecordHeader, KIND_LIVENESS};
use crate::log::bitmap::Bitmap;
use crate::log::format::SEGMENT_REFERENCES_MAX;

/// `record.flags`: the head is followed by runs, not by a bitmap.
const RUNS: u8 = 1;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct LivenessHead {
    record: RecordHeader,
    segment: U32,
    /// References numbered in that segment.
    references: U32,
    /// Bitmap words, or runs.
    count: U32,
    reserved: U32,
}

const HEAD_BYTES: usize = size_of::<LivenessHead>();
const _: () = assert!(HEAD_BYTES == 24);

/// References `first .. first + count`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Run {
    first: U32,
    count: U32,
}

/// A Liveness record as it lies in its block.
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct LivenessView<'a> {
    pub segment: u32,
    references: u32,
    dead: Dead<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Dead<'a> {
    Bitmap(&'a [U64]),
    Runs(&'a [Run]),
}

impl<'a> LivenessView<'a> {
    pub(super) fn read(octets: &'a [u8]) -> Result<Self, Malformed> {
        let (head, rest) = head::<LivenessHead>(octets)?;
        let count = head.count.get() as usize;
        let references = head.references.get();
        if references > SEGMENT_REFERENCES_MAX {
            return Err(Malformed("a liveness record of more references than a segment has"));
        }
        let dead = if head.record.flags & RUNS != 0 {
            let (runs, _) = entries::<Run>(rest, count)?;
            let fits = |run: &Run| {
                run.first.get().checked_add(run.count.get()).is_some_and(|end| end <= references)
            };
            if !runs.iter().all(fits) {
                return Err(Malformed("a liveness record with a run outside its segment"));
            }
            Dead::Runs(runs)
        } else {
            if count > (references as usize).div_ceil(64) {
                return Err(Malformed("a liveness record with a bitmap longer than its segment"));
            }
            Dead::Bitmap(entries::<U64>(rest, count)?.0)
        };
        Ok(LivenessView { segment: head.segment.get(), references, dead })
    }

    /// The dead references.
    pub(in crate::log) fn dead(&self) -> Bitmap {
        let mut bitmap = Bitmap::default();
        match self.dead {
            Dead::Bitmap(words) => {
                for (index, word) in words.iter().enumerate() {
                    bitmap.set_word(index, word.get());
                }
            }
            Dead::Runs(runs) => {
                for run in runs {
                    bitmap.set_run(run.first.get(), run.count.get());
                }
            }
        }
        bitmap.cut(self.references);
        bitmap
    }
}

/// Octets that the record for that bitmap has at most.
pub(in crate::log) fn length_max(dead: &Bitmap) -> u64 {
    (HEAD_BYTES + dead.words().len() * 8) as u64
}

/// Octets of the record for that bitmap, and whether it will have runs.
pub(in crate::log) fn plan(dead: &Bitmap) -> (usize, bool) {
    let runs = dead.runs().take(dead.words().len()).count();
    let as_runs = runs < dead.words().len();
    let count = if as_runs { runs } else { dead.words().len() };
    (HEAD_BYTES + count * 8, as_runs)
}

/// Writes a whole record as [`plan`] said.
pub(in crate::log) fn write(
    out: &mut [u8],
    segment: u32,
    references: u32,
    dead: &Bitmap,
    as_runs: bool,
) {
    let head = LivenessHead {
        record: RecordHeader::of(KIND_LIVENESS, if as_runs { RUNS } else { 0 }, out.len()),
        segment: U32::new(segment),
        references: U32::new(references),
        count: U32::new(((out.len() - HEAD_BYTES) / 8) as u32),
        reserved: U32::ZERO,
    };
    let (place, rest) = out.split_at_mut(HEAD_BYTES);
    place.copy_from_slice(head.as_bytes());
    let places = rest.chunks_exact_mut(8);
    if as_runs {
        for (place, (first, count)) in places.zip(dead.runs()) {
            let run = Run { first: U32::new(first), count: U32::new(count) };
            place.copy_from_slice(run.as_bytes());
        }
    } else {
        for (place, word) in places.zip(dead.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::{record_at, Record};

    fn round_trip(dead: &Bitmap, references: u32) -> (Bitmap, bool) {
        let (length, as_runs) = plan(dead);
        let mut octets = vec![0xa5; length];
        write(&mut octets, 3, references, dead, as_runs);
        let (header, octets) = record_at(&octets, 0).expect("a record");
        let Ok(Record::Liveness(view)) = Record::read(header, octets) else {
            panic!("not a liveness record");
        };
        assert_eq!(view.segment, 3);
        (view.dead(), as_runs)
    }

    #[test]
    fn dead_references_survive_both_encodings() {
        let mut in_order = Bitmap::default();
        in_order.set_run(0, 1000);
        let mut alternating = Bitmap::default();
        (0..1000).step_by(2).for_each(|n| {
            alternating.set(n);
        });
        for (dead, runs) in [(in_order, true), (alternating, false), (Bitmap::default(), false)] {
            let (read, as_runs) = round_trip(&dead, 1000);
            assert_eq!(as_runs, runs);
            assert!((0..1100).all(|n| read.get(n) == dead.get(n)));
        }
    }
}
