//! The end of a segment and the beginning of the next one.
//!
//! The end of a segment is kept free for the last piece of its index, which says what still lives
//! in it (see `index`), so that recovery need not read the rest. The beginning is the file header
//! and the roster.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::IntoBytes;

use super::format::{aligned_record, FileHeader, FILE_MAGIC, PAGE_BYTES, RECORDS_VERSION, VERSION};
use super::record::{self, IndexPiece, RosterEntry, ROSTER_ENTRY_BYTES, ROSTER_HEAD_BYTES};
use super::segment::Segment;
use super::{Log, Memory};
use crate::now::Now;

impl<M: Memory> Log<M> {
    /// Ends the segment and begins the next one, with room for a record of `need` octets.
    #[cold]
    pub(super) fn seal_segment(&mut self, now: Now, need: usize) {
        let index = self.end_index();
        let end = self.batch.start() + self.batch.used() as u64;
        let tail = self.segments.tail_mut();
        tail.sealed_end = Some(end);
        tail.index = index;
        self.reclaim.sealed(tail);
        let number = tail.number + 1;
        assert!(self.geometry.holds(number), "the log has reached its last segment");
        let file = self.files.take();
        self.segments.push(Segment::new(number, file));
        self.copying.segment_begun();
        self.index.restart(number);
        let (start, room) = (self.geometry.start(number), self.room(self.geometry.start(number)));
        self.close_batch(start, room, PAGE_BYTES, need);
        self.begin_segment(now, end);
    }

    /// Writes the last piece of the index of the segment that is about to be sealed, if that has
    /// anything to say. It goes where nothing else may.
    fn end_index(&mut self) -> Option<IndexPiece> {
        if let Some(index) = self.index.index() {
            return Some(index);
        }
        if self.segments.tail().is_empty() {
            return None;
        }
        let length = self.index.compose(&self.segments, true)?;
        let need = aligned_record(length);
        let next_segment = self.geometry.start(self.segments.tail().number + 1);
        self.batch.widen(next_segment - self.batch.start());
        let reference = self.segments.tail().references();
        let at = match self.batch.reserve(need, reference, &mut self.stamp) {
            Some(at) => at,
            None => {
                let next = self.batch.start() + self.batch.used() as u64;
                self.close_batch(next, next_segment - next, 0, need);
                // A segment that an earlier version has filled has no room kept free.
                self.batch.reserve(need, reference, &mut self.stamp)?
            }
        };
        Some(self.write_piece(at, length))
    }

    /// Writes the notes about the open segment out, once they are long.
    #[cold]
    pub(super) fn write_index_piece(&mut self, now: Now) {
        let Some(length) = self.index.compose(&self.segments, false) else { return };
        let number = self.segments.tail().number;
        let need = aligned_record(length);
        let begun = self.batch.end();
        self.reserve(now, need, 0);
        self.batch.unreserve(need);
        if self.segments.tail().number != number {
            // There was no room, so that the segment has been sealed, with all its notes.
            self.spent_since(begun);
            return;
        }
        let (at, _) = self.claim(now, length, 0);
        self.write_piece(at, length);
        self.note_end();
        self.spent_since(begun);
        // Nobody waits for it, but it must not be what keeps the log from being durable.
        self.settles_since_us.get_or_insert(now.monotonic_us);
    }

    /// Writes the piece composed last at `at` of the batch.
    fn write_piece(&mut self, at: usize, length: usize) -> IndexPiece {
        let scope = self.index.scope(&self.segments);
        let need = aligned_record(length);
        let octets = self.batch.octets_mut(at, need);
        octets[need - 8..].copy_from_slice(&[0; 8]);
        let (pieces, stream) = (self.index.pieces(), self.index.composed());
        let sum = record::write_segment_index(&mut octets[..length], scope, pieces, stream);
        let piece = IndexPiece { address: self.batch.address(at), length: length as u32, sum };
        self.index.piece_written(piece, scope.references_end);
        self.batch.close_settles();
        piece
    }

    /// Writes the file header and the roster of the segment that the empty batch is at the start
    /// of. `previous_end`: where the one before ends.
    pub(super) fn begin_segment(&mut self, now: Now, previous_end: u64) {
        let tail = self.segments.tail();
        let mut header = FileHeader {
            magic: FILE_MAGIC,
            checksum: U32::ZERO,
            version: U32::new(VERSION),
            log: U64::new(self.stamp.log),
            segment_bytes: U64::new(self.geometry.segment_bytes),
            previous_end: U64::new(previous_end),
            segment: U32::new(tail.number),
            epoch: U32::new(self.stamp.epoch),
            shard: U16::new(self.config.shard.0),
            reserved: U16::ZERO,
            records_version: U32::new(RECORDS_VERSION),
            begun_unix_ms: U64::new(now.unix_ms),
        };
        self.stamp.previous = header.sum();
        header.checksum = U32::new(self.stamp.previous);
        let page = self.batch.octets_mut(0, PAGE_BYTES);
        page.fill(0);
        page[..size_of::<FileHeader>()].copy_from_slice(header.as_bytes());

        let live: Vec<RosterEntry> =
            self.segments.iter().filter_map(Segment::roster_entry).collect();
        assert!(live.len() <= self.geometry.segments_max() * 5 / 4, "no room for the roster");
        let fit = (self.geometry.record_bytes_max() - ROSTER_HEAD_BYTES) / ROSTER_ENTRY_BYTES;
        let mut rest = live.as_slice();
        loop {
            let (entries, later) = rest.split_at(rest.len().min(fit));
            let length = ROSTER_HEAD_BYTES + entries.len() * ROSTER_ENTRY_BYTES;
            let (_, octets) = self.claim(now, length, 0);
            record::write_roster(octets, entries, !later.is_empty());
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
    }
}
