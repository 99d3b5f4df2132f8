//! Blocks that take the place of lost ones: they keep the numbers of references, the chain of
//! checksums, and what is known otherwise of the records that were there.

use std::collections::VecDeque;

use super::forge::forge;
use crate::ids::Seq;
use crate::log::bitmap::Bitmap;
use crate::log::block::{seal, Census, Stamp};
use crate::log::format::{
    aligned_record, whole_pages, BLOCK_HEADER_BYTES, BLOCK_MAX_BYTES, BLOCK_TARGET_BYTES,
    BLOCK_UNCHECKED, PAGE_BYTES,
};
use crate::log::geometry::Geometry;
use crate::log::record::{
    plan_liveness, write_definition, write_gone, write_liveness, write_mark, write_roster,
    Recycled, RosterEntry, DEFINITION_HEAD_BYTES, GONE_BYTES, RECORD_HEADER_BYTES, RECYCLED_BYTES,
    ROSTER_ENTRY_BYTES, ROSTER_HEAD_BYTES,
};
use crate::log::recovery::damage::{Hole, Rescued};
use crate::log::Address;

/// Where a block's header has octets that nobody looks at, and which the checksum covers.
const FREE_OCTETS: usize = 56;

/// What is to be in the place of a hole.
#[derive(Debug)]
pub(super) struct Fill<'a> {
    pub geometry: Geometry,
    pub log: u64,
    pub hole: &'a Hole,
    /// The roster, if it was there.
    pub roster: Option<&'a [RosterEntry]>,
    pub recycled: &'a [Recycled],
    /// Where the roster says that Liveness records are, and of which segment.
    pub liveness: Vec<(Address, u32)>,
}

/// A record to be written.
#[derive(Debug)]
enum Item<'a> {
    Roster(&'a [RosterEntry], bool),
    Recycled(Recycled),
    Definition(&'a Rescued),
    Gone(u32),
}

impl Item<'_> {
    fn length(&self) -> usize {
        match self {
            Item::Roster(entries, _) => ROSTER_HEAD_BYTES + entries.len() * ROSTER_ENTRY_BYTES,
            Item::Recycled(_) => RECYCLED_BYTES,
            Item::Definition(known) => DEFINITION_HEAD_BYTES + known.payload.len(),
            Item::Gone(_) => GONE_BYTES,
        }
    }

    fn write(&self, out: &mut [u8]) {
        match self {
            Item::Roster(entries, more) => write_roster(out, entries, *more),
            Item::Recycled(recycled) => recycled.write(out),
            Item::Definition(Rescued { seq, payload, .. }) => {
                // When it was received is of no account for what it says.
                write_definition(out, 0, Seq(seq.0), payload);
            }
            Item::Gone(references) => write_gone(out, *references),
        }
    }

    /// References that it numbers.
    fn references(&self) -> u32 {
        match self {
            Item::Roster(..) | Item::Recycled(_) => 0,
            Item::Definition(_) => 1,
            Item::Gone(references) => *references,
        }
    }
}

/// A block being built.
struct Draft {
    octets: Vec<u8>,
    records: u32,
}

impl Draft {
    fn new() -> Self {
        Draft { octets: vec![0; BLOCK_HEADER_BYTES], records: 0 }
    }

    fn push(&mut self, length: usize, write: impl FnOnce(&mut [u8])) {
        let start = aligned_record(self.octets.len());
        self.octets.resize(start + length, 0);
        write(&mut self.octets[start..]);
        self.records += 1;
    }

    /// Takes up room so that the next record is at `offset`.
    fn pad(&mut self, offset: usize) {
        let start = aligned_record(self.octets.len());
        if let Some(room) = offset.checked_sub(start).filter(|room| *room >= RECORD_HEADER_BYTES) {
            self.push(room, write_mark);
        }
    }
}

impl Fill<'_> {
    /// Positions and octets of the blocks, of which only the pages with something in them are
    /// given; `None` if there is no room for what must be there.
    pub(super) fn blocks(&self) -> Option<Vec<(u64, Vec<u8>)>> {
        let mut items = self.items();
        let mut liveness = self.liveness.clone();
        liveness.sort_unstable();
        let mut liveness: VecDeque<_> = liveness.into();
        let hole = self.hole;
        let mut stamp =
            Stamp { log: self.log, epoch: hole.epoch, durable: 0, previous: hole.previous };
        let (mut at, mut reference) = (hole.from, hole.first_reference);
        let mut blocks = Vec::new();
        while at < hole.to {
            let mut draft = Draft::new();
            let first_reference = reference;
            while let Some((address, segment)) =
                liveness.pop_front_if(|(address, _)| address.block().0 <= at)
            {
                // One that lies before belongs to no block that could be here.
                if address.block().0 == at {
                    draft.pad(address.offset());
                    let nothing = Bitmap::default();
                    let (length, as_runs) = plan_liveness(&nothing);
                    draft.push(length, |out| write_liveness(out, segment, 0, &nothing, as_runs));
                }
            }
            let next = liveness.front().map_or(hole.to, |(address, _)| address.block().0);
            let room = (next.min(hole.to) - at).min(BLOCK_MAX_BYTES as u64) as usize;
            while let Some(item) = items.front() {
                let end = aligned_record(draft.octets.len()) + item.length();
                let limit = if draft.records == 0 { room } else { room.min(BLOCK_TARGET_BYTES) };
                if end > limit {
                    break;
                }
                draft.push(item.length(), |out| item.write(out));
                reference += item.references();
                items.pop_front();
            }
            if draft.records == 0 {
                draft.push(RECORD_HEADER_BYTES, write_mark);
            }
            let used = whole_pages(draft.octets.len());
            if used > room {
                return None;
            }
            // Nothing more to say: the block takes what room there is, most of it unsaid.
            let length = if items.is_empty() { room } else { used };
            let census =
                Census { end: draft.octets.len(), records: draft.records, first_reference };
            let is_last = at + length as u64 == hole.to;
            let wanted = hole.wanted.filter(|_| is_last);
            stamp.durable = at;
            draft.octets.resize(used, 0);
            make_block(&mut draft.octets, at, length, census, &mut stamp, wanted);
            blocks.push((at, draft.octets));
            at += length as u64;
        }
        items.is_empty().then_some(blocks)
    }

    fn items(&self) -> VecDeque<Item<'_>> {
        let mut items = VecDeque::new();
        if let Some(roster) = self.roster {
            let fit = (self.geometry.record_bytes_max() - ROSTER_HEAD_BYTES) / ROSTER_ENTRY_BYTES;
            let mut rest = roster;
            loop {
                let (entries, later) = rest.split_at(rest.len().min(fit));
                items.push_back(Item::Roster(entries, !later.is_empty()));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
        }
        items.extend(self.recycled.iter().copied().map(Item::Recycled));
        let mut known: Vec<_> = self.hole.definitions.iter().collect();
        known.sort_unstable_by_key(|known| known.reference);
        let mut at = self.hole.first_reference;
        let end = at + self.hole.references.unwrap_or(0);
        for known in known.into_iter().filter(|known| known.reference < end) {
            let Some(gap) = known.reference.checked_sub(at) else { continue };
            if gap > 0 {
                items.push_back(Item::Gone(gap));
            }
            items.push_back(Item::Definition(known));
            at = known.reference + 1;
        }
        if end > at {
            items.push_back(Item::Gone(end - at));
        }
        items
    }
}

/// Makes a block of `length` octets, of which `octets` are the first ones, with the checksum that
/// is wanted.
fn make_block(
    octets: &mut [u8],
    position: u64,
    length: usize,
    census: Census,
    stamp: &mut Stamp,
    wanted: Option<u32>,
) {
    debug_assert!(length >= octets.len() && length.is_multiple_of(PAGE_BYTES));
    seal(octets, position, census, stamp);
    octets[36..40].copy_from_slice(&(length as u32).to_le_bytes());
    let sum = wanted.unwrap_or_else(|| crc32fast::hash(&octets[BLOCK_UNCHECKED..census.end]));
    forge(&mut octets[BLOCK_UNCHECKED..census.end], FREE_OCTETS - BLOCK_UNCHECKED, sum);
    octets[4..8].copy_from_slice(&sum.to_le_bytes());
    stamp.previous = sum;
}
