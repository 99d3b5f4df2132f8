//! Reading the index of a segment instead of the segment.

use std::collections::VecDeque;
use std::ops::Range;

use super::found::{Found, FoundMessage};
use super::replay::Planned;
use super::{Recovered, RecoveryRead};
use crate::ids::{QueueId, Seq};
use crate::log::format::{whole_pages, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::index::{is_set, Entry, MessageEntry, Reader, Run, Spot};
use crate::log::record::{IndexPiece, Malformed, PartEntry, PartView, SegmentIndexView, Settle};
use crate::log::{Address, FileId};

/// Takes an entry.
type EntryVisitor<'v> = dyn FnMut(Entry<'_>, &Beside<'_>) + 'v;

/// What belongs to an entry and is not in it.
#[derive(Debug)]
pub(super) struct Beside<'a> {
    /// References and places of the parts of a message.
    pub references: &'a [(QueueId, Seq)],
    pub parts: &'a [Address],
    /// Where that is of which earlier pieces tell.
    told: &'a Range<Address>,
}

impl Beside<'_> {
    /// Where the messages lie that a settle is about.
    pub(super) fn among(&self, settle: &Settle, geometry: Geometry) -> Range<Address> {
        among(settle, self.told, geometry)
    }
}

/// Where the messages lie that a settle in an index is about. Those of the segment itself are
/// `told` of by earlier pieces: the entry may come late, behind a message that has the number of
/// one that is settled, as numbers of transactions are given again.
fn among(settle: &Settle, told: &Range<Address>, geometry: Geometry) -> Range<Address> {
    let segment = geometry.addresses(settle.segment);
    match segment.contains(&told.start) {
        true => told.clone(),
        false => segment,
    }
}

/// What the roster says of a segment's index.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownIndex {
    /// The last piece.
    pub piece: IndexPiece,
    /// References numbered in the segment.
    pub references: u32,
}

/// The pieces of one segment's index, as they are read.
#[derive(Debug)]
pub(super) struct IndexReads {
    geometry: Geometry,
    file: FileId,
    segment: u32,
    known: KnownIndex,
    /// Still to be read, in order.
    wanted: VecDeque<IndexPiece>,
    /// Records that have been read, the last piece first, then the others in order.
    read: Vec<Vec<u8>>,
    /// Where the pieces before the last one lie, in order.
    earlier: Vec<Address>,
}

impl IndexReads {
    pub(super) fn new(planned: &Planned, known: KnownIndex, geometry: Geometry) -> Self {
        IndexReads {
            geometry,
            file: planned.file,
            segment: planned.header.segment.get(),
            known,
            wanted: VecDeque::from([known.piece]),
            read: Vec::new(),
            earlier: Vec::new(),
        }
    }

    /// The pages that the next piece lies in.
    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        let piece = self.wanted.front()?;
        let (start, skip) = place(piece);
        let length = whole_pages(skip + piece.length as usize);
        Some(RecoveryRead { file: self.file, offset: self.geometry.offset(start), length })
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Result<(), Malformed> {
        let Some(piece) = self.wanted.pop_front() else { return Ok(()) };
        let (_, skip) = place(&piece);
        let octets = octets.get(skip..).unwrap_or_default();
        let view = SegmentIndexView::of_piece(octets, &piece)?;
        if view.scope.segment != self.segment {
            return Err(Malformed("an index of another segment"));
        }
        if self.read.is_empty() {
            for piece in view.pieces() {
                let is_inside = self.geometry.segment_of_address(piece.address) == self.segment
                    && piece.length as usize <= self.geometry.index_bytes_max();
                if !is_inside {
                    return Err(Malformed("an index that names a place that cannot be"));
                }
                self.earlier.push(piece.address);
                self.wanted.push_back(piece);
            }
        }
        self.read.push(octets[..piece.length as usize].to_vec());
        Ok(())
    }

    /// Nothing more is wanted.
    pub(super) fn give_up(&mut self) {
        self.wanted.clear();
    }

    /// All pieces, in order.
    fn views(&self) -> impl Iterator<Item = Result<SegmentIndexView<'_>, Malformed>> {
        let later = self.read.iter().skip(1).chain(self.read.first());
        later.map(|octets| SegmentIndexView::read(octets))
    }

    /// For each piece, in order, the addresses of which those before it tell.
    fn told(&self) -> impl Iterator<Item = Range<Address>> + '_ {
        let start = self.geometry.addresses(self.segment).start;
        std::iter::once(start).chain(self.earlier.iter().copied()).map(move |end| start..end)
    }

    /// Every entry, with what belongs to it. To be checked first.
    pub(super) fn entries(&self, visit: &mut EntryVisitor<'_>) -> Result<(), Malformed> {
        let mut parts = Vec::new();
        for (view, told) in self.views().zip(self.told()) {
            let view = view?;
            let mut entries = Reader::new(view.stream, self.geometry, view.scope);
            while let Some(entry) = entries.next()? {
                parts.clear();
                if let Entry::Message(_) = entry {
                    parts.extend(entries.parts.iter().map(PartEntry::address));
                }
                let references = &entries.references;
                visit(entry, &Beside { references, parts: &parts, told: &told });
            }
        }
        Ok(())
    }

    /// Goes through everything once, so that nothing is told of an index that breaks off.
    pub(super) fn check(&self) -> Result<(), Malformed> {
        let mut references = 0;
        for view in self.views() {
            let view = view?;
            if view.scope.first_reference != references || view.scope.references_end < references {
                return Err(Malformed("an index with a piece missing"));
            }
            references = view.scope.references_end;
            let mut entries = Reader::new(view.stream, self.geometry, view.scope);
            while entries.next()?.is_some() {}
        }
        // References behind the last piece are of messages that end with the process.
        if references > self.known.references {
            return Err(Malformed("an index of more than its segment"));
        }
        Ok(())
    }
}

/// Position of the page that the piece begins in, and how far in that is.
fn place(piece: &IndexPiece) -> (u64, usize) {
    let offset = piece.address.offset();
    (piece.address.block().0 + (offset & !(PAGE_BYTES - 1)) as u64, offset % PAGE_BYTES)
}

impl Found {
    /// Tells of the segment begun last by its index. An error comes before anything is told.
    pub(super) fn indexed(
        &mut self,
        reads: &IndexReads,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), Malformed> {
        reads.check()?;
        let tail = self.segments.tail_mut();
        tail.index = Some(reads.known.piece);
        self.parts.is_indexed(tail.number);
        tail.add_dead(reads.known.references);
        for (view, told) in reads.views().zip(reads.told()) {
            let view = view?;
            let mut entries = Reader::new(view.stream, self.geometry, view.scope);
            while let Some(entry) = entries.next()? {
                match entry {
                    Entry::Run(run, dead) => self.run(&run, dead, visit),
                    Entry::Message(message) => self.indexed_message(&message, &entries, visit),
                    Entry::Definition { address, length, reference, seq, payload } => {
                        if !self.is_known_dead(reference) {
                            let (address, length) = (address, length);
                            visit(Recovered::Definition {
                                address,
                                length,
                                reference,
                                seq,
                                payload,
                            });
                        }
                    }
                    Entry::Settle(settle) => {
                        let among = among(&settle, &told, self.geometry);
                        self.settle(settle, among, visit);
                    }
                    Entry::Copied(copied) => self.copied(copied),
                    Entry::Liveness { segment, address, length } => {
                        self.liveness(segment, address, length);
                    }
                    Entry::Part { address, length, index, references, content } => {
                        let part = PartView { index, references, content };
                        self.parts.add(address, length, part);
                    }
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn run(&self, run: &Run, dead: Option<&[u8]>, visit: &mut dyn FnMut(Recovered<'_>)) {
        let Run { length, body_bytes, expires_unix_ms, queue, .. } = *run;
        for index in 0..run.count {
            if is_set(dead, index as usize) {
                continue;
            }
            let address = run.address_of(index);
            let spot = Spot { address, length, reference: run.reference + index };
            let body_bytes = u64::from(body_bytes);
            let references = [(queue, Seq(run.first.0 + u64::from(index)))];
            let message = FoundMessage { spot, expires_unix_ms, body_bytes };
            self.visit_live(message, &references, |_| false, visit);
        }
    }

    fn indexed_message(
        &mut self,
        message: &MessageEntry<'_>,
        entries: &Reader<'_>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) {
        let MessageEntry { address, length, reference, body_bytes, expires_unix_ms, dead } =
            *message;
        if !entries.parts.is_empty() {
            let is_there = |part: &PartEntry| {
                self.segments.get(self.geometry.segment_of_address(part.address())).is_some()
            };
            if !entries.parts.iter().all(is_there) {
                // As in full: its parts are gone, so it was dead as a whole.
                return;
            }
            let record = (length, reference);
            self.multiparts.add(address, record, 0, self.parts_there(&entries.parts));
        }
        self.segments.tail_mut().note_record(reference, entries.references.len() as u32);
        let spot = Spot { address, length, reference };
        let found = FoundMessage { spot, expires_unix_ms, body_bytes };
        self.visit_live(found, &entries.references, |index| is_set(dead, index), visit);
    }

    /// The segment begun last has been read in full: what of it is its index?
    pub(super) fn end_full(&mut self) {
        let index = self.index.index();
        let tail = self.segments.tail_mut();
        if tail.sealed_end.is_some() {
            tail.index = index;
        }
    }
}
