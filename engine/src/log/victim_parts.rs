//! Long messages in a segment that is copied forward: their parts are written again as its blocks are
//! looked at, one after the other, so that none of them is ever copied as a whole.

use rustc_hash::{FxHashMap, FxHashSet};

use super::copying::Holders;
use super::format::aligned_record;
use super::parts::Extent;
use super::reading::body_parts;
use super::record::{MessageView, PartEntry, PartView, PART_HEAD_BYTES};
use super::{Address, FetchBeginning, Log, Memory};
use crate::now::Now;

/// The parts of long messages in the victim. They are written again as the blocks are looked at, one
/// after the other; after that each message needs no more than a record that names them where they are
/// now, and its other parts where they were.
#[derive(Debug)]
pub(super) struct VictimParts {
    /// Those of messages that lived when the work was begun.
    wanted: FxHashSet<Address>,
    /// Where those that have been written again are. Held, so that whoever comes later finds them.
    moved: FxHashMap<Address, PartEntry>,
}

impl VictimParts {
    /// What has been written again.
    pub(super) fn into_moved(self) -> Vec<PartEntry> {
        self.moved.into_values().collect()
    }
}

impl<M: Memory> Log<M> {
    /// For a segment whose copying begins.
    pub(super) fn parts_of_victim(&self, victim: u32) -> VictimParts {
        let wanted = self.multiparts.parts_in(self.geometry, victim);
        VictimParts { wanted, moved: FxHashMap::default() }
    }

    /// Writes a part again that somebody wants. False: it has to wait for the next batch.
    pub(super) fn copy_part(
        &mut self,
        now: Now,
        address: Address,
        part: &PartView<'_>,
        parts: &mut VictimParts,
    ) -> bool {
        // What holds references is written anew with its message.
        if part.references > 0 || parts.moved.contains_key(&address) {
            return true;
        }
        if parts.wanted.contains(&address) || self.is_part_open(part.index, address) {
            let octets = aligned_record(PART_HEAD_BYTES + part.content.len());
            if !self.takes_of_reclaiming(octets, 0) {
                return false;
            }
            let moved = self.move_part(now, address, part);
            self.note_reclaiming(octets);
            parts.moved.insert(address, moved);
        }
        true
    }

    /// Copies a message in parts: its parts in the victim have been written again, the others stay
    /// where they are. False: something must be read first, or it has to wait for the next batch.
    pub(super) fn copy_in_parts(
        &mut self,
        now: Now,
        address: Address,
        (victim, parts): (u32, &VictimParts),
        holders: &mut impl Holders,
    ) -> bool {
        let Some((length, first)) = self.multiparts.record(address) else { return true };
        if !self.takes_of_reclaiming(aligned_record(length as usize), 1) {
            return false;
        }
        let extent = match self.fetch_beginning(address, length) {
            FetchBeginning::Pending => return false,
            FetchBeginning::Ready { left_bytes: 0, .. } => Extent::Whole,
            FetchBeginning::Ready { .. } => Extent::Beginning,
        };
        let Some(assembly) = self.assemblies.take(address, extent) else { return true };
        let Ok(message) = MessageView::read(assembly.record()) else { return true };
        let mut body = body_parts(&message).filter(|_| extent == Extent::Beginning);
        for part in body.iter_mut().flatten() {
            if self.geometry.segment_of_address(part.address()) == victim {
                // One that has got its first message since the work was begun waits for the next time.
                let Some(moved) = parts.moved.get(&part.address()) else { return true };
                *part = *moved;
            }
        }
        let place = (address, length, first);
        let content = (assembly.content(), body.as_deref());
        self.copy_message(now, place, &message, content, holders)
    }
}
