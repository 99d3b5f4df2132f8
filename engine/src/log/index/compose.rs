//! Making a piece of the index: the notes without what is dead by now.

use super::reader::{is_set, Entry, MessageEntry, Reader};
use super::writer::Writer;
use super::{Builder, Run, Spot};
use crate::ids::Seq;
use crate::log::format::aligned_record;
use crate::log::record::{index_length, IndexScope, Malformed};
use crate::log::segment::Segment;
use crate::log::segments::Segments;
use crate::log::Address;

impl Builder {
    /// Composes the next piece. `tail` is the segment that the notes are about. Octets of the
    /// record, to be written with what [`Builder::composed`] gives; `None` if there can be none.
    pub(in crate::log) fn compose(
        &mut self,
        segments: &Segments,
        is_sealing: bool,
    ) -> Option<usize> {
        if self.is_abandoned {
            return None;
        }
        self.flush();
        let scope = self.scope(segments);
        let mut out = match self.composed.take() {
            Some(mut writer) => {
                writer.restart(self.geometry, scope.segment, scope.first_reference);
                writer
            }
            None => {
                let mut writer = Writer::new(self.geometry, scope.segment);
                writer.restart(self.geometry, scope.segment, scope.first_reference);
                writer
            }
        };
        let filtered = if self.is_all_wanted(segments, scope) {
            out.take_over(&self.notes);
            Ok(())
        } else {
            self.filter(segments, scope, &mut out)
        };
        debug_assert!(filtered.is_ok(), "notes that cannot be read: {filtered:?}");
        if is_sealing {
            for part in &self.parts {
                out.part(part.address, part.length, part.index, part.references, &part.content);
            }
        }
        let length = index_length(self.pieces.len(), out.octets().len());
        self.composed = Some(out);
        if filtered.is_err() || length > self.geometry.index_bytes_max() {
            self.abandon();
            return None;
        }
        Some(length)
    }

    /// The stream composed last.
    pub(in crate::log) fn composed(&self) -> &[u8] {
        self.composed.as_ref().map_or(&[], Writer::octets)
    }

    /// What the next piece is about.
    pub(in crate::log) fn scope(&self, segments: &Segments) -> IndexScope {
        let references_end = segments.tail().references();
        IndexScope { segment: self.segment, first_reference: self.first_reference, references_end }
    }

    /// The notes are what the piece is to say, to the octet: nothing that they tell of has gone meanwhile. A backlog
    /// of many queues has a note for each message, and to go through all of them took as long as to take them.
    fn is_all_wanted(&self, segments: &Segments, scope: IndexScope) -> bool {
        let IndexScope { first_reference, references_end, .. } = scope;
        !self.names_others && segments.tail().are_alive(first_reference, references_end)
    }

    pub(super) fn filter(
        &self,
        segments: &Segments,
        scope: IndexScope,
        out: &mut Writer,
    ) -> Result<(), Malformed> {
        let tail = segments.tail();
        let lives = |segment: u32| segments.get(segment).is_some();
        let mut dead = Vec::new();
        let mut notes = Reader::new(self.notes.octets(), self.geometry, scope);
        while let Some(entry) = notes.next()? {
            match entry {
                Entry::Run(run, _) => filter_run(&run, tail, &mut dead, out),
                Entry::Message(message) => {
                    let MessageEntry { address, length, reference, .. } = message;
                    let count = notes.references.len() as u32;
                    let living = mark_dead(reference, count, tail, &mut dead);
                    if living > 0 {
                        let dead = (living < count).then_some(dead.as_slice());
                        out.message(
                            Spot { address, length, reference },
                            message.body_bytes,
                            message.expires_unix_ms,
                            notes.references.iter().copied(),
                            dead,
                            notes.parts.iter().copied(),
                        );
                    }
                }
                Entry::Definition { address, length, reference, seq, payload } => {
                    if !tail.is_dead(reference) {
                        out.definition(Spot { address, length, reference }, seq, payload);
                    }
                }
                Entry::Settle(settle) if lives(settle.segment) => out.settle(settle),
                Entry::Copied(copied) if lives(copied.segment) => out.copied(copied),
                Entry::Liveness { segment, address, length } if lives(segment) => {
                    out.liveness(segment, address, length);
                }
                Entry::Settle(_)
                | Entry::Copied(_)
                | Entry::Liveness { .. }
                | Entry::Part { .. } => {}
            }
        }
        Ok(())
    }
}

/// Sets a bit for each dead reference. Returns how many live.
fn mark_dead(first: u32, count: u32, tail: &Segment, dead: &mut Vec<u8>) -> u32 {
    dead.clear();
    dead.resize(count.div_ceil(8) as usize, 0);
    let mut living = 0;
    for index in 0..count {
        if tail.is_dead(first + index) {
            dead[index as usize / 8] |= 1 << (index % 8);
        } else {
            living += 1;
        }
    }
    living
}

/// Writes the run from its first living message to its last one.
fn filter_run(run: &Run, tail: &Segment, dead: &mut Vec<u8>, out: &mut Writer) {
    let Some(front) = (0..run.count).find(|index| !tail.is_dead(run.reference + index)) else {
        return;
    };
    let back = (front..run.count).rev().find(|index| !tail.is_dead(run.reference + index));
    let count = back.map_or(1, |back| back - front + 1);
    let each = aligned_record(run.length as usize) as u64;
    let rest = Run {
        address: Address(run.address.0 + u64::from(front) * each),
        reference: run.reference + front,
        first: Seq(run.first.0 + u64::from(front)),
        count,
        ..*run
    };
    let living = mark_dead(rest.reference, count, tail, dead);
    debug_assert!(living > 0 && !is_set(Some(dead), 0), "the ends live");
    out.run(&rest, (living < count).then_some(dead.as_slice()));
}
