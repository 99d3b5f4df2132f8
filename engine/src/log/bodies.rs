//! Long messages: their bodies, written in parts as they come, and the record that names the parts
//! at the end.
//!
//! Parts count for nothing until that record. What other messages write may lie between them, and
//! parts of several messages between one another. In memory a part keeps its segment from the
//! moment it is written, for the message that is under way; copying forward moves it like a message.
//!
//! Several may hold the same part: records that name it, bodies under way that are going to be named
//! by one, and bodies that are being read (`reading`), which are like one under way that never gets a
//! record. A part lives while one of them does.

use rustc_hash::FxHashMap;
use zerocopy::IntoBytes;

use super::append::spot;
use super::format::aligned_record;
use super::record::{
    self, Attributes, PartEntry, PartView, MESSAGE_HEAD_BYTES, PART_ENTRY_BYTES, PART_HEAD_BYTES,
    SETTLE_BYTES,
};
use super::{Address, Log, Memory, Placed, Settling};
use crate::ids::{QueueId, Seq};
use crate::message::MessageRef;
use crate::now::Now;

/// A body of which the log holds parts, and no record yet that names them. To be given to
/// [`Log::append_with_body`] or [`Log::drop_body`].
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct OpenBody(u64);

/// What there is of a body.
#[derive(Clone, Debug, Default)]
struct Parts {
    entries: Vec<PartEntry>,
    /// Octets of body in them.
    bytes: u64,
}

/// The bodies that are under way.
#[derive(Debug, Default)]
pub(super) struct OpenBodies {
    by_number: FxHashMap<u64, Parts>,
    begun: u64,
}

impl OpenBodies {
    fn begin(&mut self) -> OpenBody {
        self.begun += 1;
        self.by_number.insert(self.begun, Parts::default());
        OpenBody(self.begun)
    }

    fn get(&self, body: &OpenBody) -> &Parts {
        self.by_number.get(&body.0).expect("an open body")
    }

    fn get_mut(&mut self, body: &OpenBody) -> &mut Parts {
        self.by_number.get_mut(&body.0).expect("an open body")
    }

    fn take(&mut self, body: OpenBody) -> Parts {
        self.by_number.remove(&body.0).expect("an open body")
    }

    /// All of these that have the part with that number that lies there.
    fn having(&mut self, index: u32, address: Address) -> impl Iterator<Item = &mut PartEntry> {
        let entries = self.by_number.values_mut().filter_map(move |parts| {
            let at = (index as usize).checked_sub(1)?;
            parts.entries.get_mut(at)
        });
        entries.filter(move |entry| entry.address() == address)
    }
}

/// References of a message that expire at the same time: one record has them.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub expires_unix_ms: Option<u64>,
    pub references: usize,
}

/// What a record in parts is going to say; all its parts are there.
#[derive(Debug)]
struct Head<'r> {
    parts: Vec<PartEntry>,
    body_bytes: u64,
    references: &'r [(QueueId, Seq)],
}

impl Head<'_> {
    fn record_bytes(&self) -> usize {
        aligned_record(head_bytes(self.parts.len()))
    }
}

/// Octets of a record that names so many parts.
fn head_bytes(parts: usize) -> usize {
    MESSAGE_HEAD_BYTES + parts * PART_ENTRY_BYTES
}

/// A part that holds nothing but body.
const NO_REFERENCES: u32 = 0;

impl<M: Memory> Log<M> {
    /// Begins a body.
    pub fn begin_body(&mut self) -> OpenBody {
        self.open_bodies.begin()
    }

    /// Appends the next octets of a body. They ride the next commit, or make one after
    /// `settle_delay_us`.
    pub fn append_body(&mut self, now: Now, body: &OpenBody, octets: &[u8]) {
        for piece in octets.chunks(self.part_bytes_max()) {
            // The first part, which comes last, has number 0.
            let number = self.open_bodies.get(body).entries.len() as u32 + 1;
            let entry = self.append_part(now, (number, NO_REFERENCES), piece, 0, false);
            let parts = self.open_bodies.get_mut(body);
            parts.entries.push(entry);
            parts.bytes += piece.len() as u64;
        }
        self.note_end();
        self.settles_since_us.get_or_insert(now.monotonic_us);
    }

    /// As [`Log::append_message`] for a message whose body has been appended; that of `message` is
    /// not looked at. One record for each of `groups`, which share `references` out in order: all in
    /// one block, so that a crash leaves all of them or none, unless no block is as large as that.
    /// `from`, if it is there, is settled in the block of the last one, as by [`Log::append_move`].
    pub fn append_with_body(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        body: OpenBody,
        references: &[(QueueId, Seq)],
        groups: &[Group],
        from: Option<Settling>,
    ) -> Vec<Placed> {
        let mut body = Some(self.open_bodies.take(body));
        let mut rest = references;
        let mut heads = Vec::with_capacity(groups.len());
        for (left, group) in (0..groups.len()).rev().zip(groups) {
            let these;
            (these, rest) = rest.split_at(group.references.min(rest.len()));
            let own = match left {
                0 => body.take(),
                _ => body.as_ref().map(|body| self.share(body)),
            };
            let head = self.append_beginning(now, message, own.unwrap_or_default(), these);
            heads.push((group.expires_unix_ms, head));
        }
        let settle_bytes = if from.is_some() { SETTLE_BYTES } else { 0 };
        let bytes: usize = heads.iter().map(|(_, head)| head.record_bytes()).sum();
        if bytes + settle_bytes <= self.geometry.record_bytes_max() {
            self.keep_together(now, bytes + settle_bytes, references.len() as u32);
        }
        let mut all_placed = Vec::with_capacity(heads.len());
        for (left, (expires_unix_ms, head)) in (0..heads.len()).rev().zip(heads) {
            let attributes = Attributes { received_unix_ms: now.unix_ms, expires_unix_ms };
            let followed_by = if left == 0 { settle_bytes } else { 0 };
            all_placed.push(self.append_head(now, message, attributes, head, followed_by));
        }
        if let Some(from) = from {
            self.append_settle(now, from);
            let block = self.batch.open_position();
            let last = all_placed.last().map(|placed| placed.address.block().0);
            assert!(last == Some(block), "a move is torn between two blocks");
        }
        all_placed
    }

    /// As [`Log::append_spilled`] and [`Log::append_with_body`].
    pub fn append_spilled_with_body(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        body: OpenBody,
        references: &[(QueueId, Seq)],
        groups: &[Group],
    ) -> Vec<Placed> {
        let urgent = self.urgent;
        let placed = self.append_with_body(now, message, body, references, groups, None);
        self.urgent = urgent;
        placed
    }

    /// The same parts for one more holder.
    fn share(&mut self, parts: &Parts) -> Parts {
        for part in &parts.entries {
            self.shared_parts.share(part.address());
        }
        parts.clone()
    }

    /// A body of parts that somebody holds: these are held once more.
    pub(super) fn open_shared(&mut self, entries: Vec<PartEntry>) -> OpenBody {
        let bytes = entries.iter().map(PartEntry::content_bytes).sum();
        let parts = self.share(&Parts { entries, bytes });
        let body = self.open_bodies.begin();
        *self.open_bodies.get_mut(&body) = parts;
        body
    }

    /// A body of the same parts.
    pub fn share_body(&mut self, body: &OpenBody) -> OpenBody {
        let entries = self.open_bodies.get(body).entries.clone();
        self.open_shared(entries)
    }

    /// The part of a body that has that place among them.
    pub(super) fn part_of(&self, body: &OpenBody, place: usize) -> Option<PartEntry> {
        self.open_bodies.get(body).entries.get(place).copied()
    }

    /// No record is going to name these parts: nobody wants them any more.
    pub fn drop_body(&mut self, body: OpenBody) {
        let parts = self.open_bodies.take(body);
        self.let_go_parts(&parts.entries);
    }

    /// A body under way, or one that is being read, has the part with that number that lies there.
    pub(super) fn is_part_open(&mut self, index: u32, address: Address) -> bool {
        self.open_bodies.having(index, address).next().is_some()
    }

    /// Copying has come to a part that is wanted: it is written again. Bodies under way and those
    /// that are being read have it there from now on. The copy is held for the caller, who is to let
    /// it go.
    pub(super) fn move_part(
        &mut self,
        now: Now,
        address: Address,
        part: &PartView<'_>,
    ) -> PartEntry {
        let urgent = self.urgent;
        let entry = self.append_part(now, (part.index, NO_REFERENCES), part.content, 0, false);
        self.note_end();
        self.settles_since_us.get_or_insert(now.monotonic_us);
        self.urgent = urgent;
        self.note_copied(entry.length());
        let old: Vec<PartEntry> = self
            .open_bodies
            .having(part.index, address)
            .map(|held| std::mem::replace(held, entry))
            .collect();
        for _ in &old {
            self.shared_parts.share(entry.address());
        }
        self.let_go_parts(&old);
        entry
    }

    /// So many parts are not held any more by one who held them.
    pub(super) fn let_go_parts(&mut self, parts: &[PartEntry]) {
        for part in parts {
            if !self.shared_parts.let_go(part.address()) {
                continue;
            }
            let number = self.geometry.segment_of_address(part.address());
            let Some(segment) = self.segments.get_mut(number) else { continue };
            let octets = part.record_bytes();
            segment.unpin(octets);
            self.space.freed(octets);
            if segment.is_done() {
                self.reclaim.done(number);
            }
        }
    }

    /// Content in Part records first, then the record that names them. `followed_by`: octets of
    /// records to come that belong into that record's block.
    #[cold]
    pub(super) fn append_in_parts(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        attributes: Attributes,
        references: &[(QueueId, Seq)],
        followed_by: usize,
    ) -> Placed {
        let body = self.begin_body();
        self.append_body(now, &body, message.body);
        self.append_named(now, message, attributes, body, references, followed_by)
    }

    /// A record that names the parts of that body. `followed_by`: as for `append_in_parts`.
    pub(super) fn append_named(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        attributes: Attributes,
        body: OpenBody,
        references: &[(QueueId, Seq)],
        followed_by: usize,
    ) -> Placed {
        let body = self.open_bodies.take(body);
        let head = self.append_beginning(now, message, body, references);
        self.append_head(now, message, attributes, head, followed_by)
    }

    /// All of the content but for the body, as a part or several.
    fn append_beginning<'r>(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        body: Parts,
        references: &'r [(QueueId, Seq)],
    ) -> Head<'r> {
        let Parts { entries: of_body, bytes: body_bytes } = body;
        let bodiless = MessageRef { body: &[], ..*message };
        let mut content = vec![0; record::content_bytes(&bodiless, references.len())];
        record::write_message_content(&mut content, &bodiless, references);
        let count = references.len() as u32;
        let mut parts = Vec::with_capacity(of_body.len() + 1);
        let mut before = 0;
        for piece in content.chunks(self.part_bytes_max()) {
            let number = parts.len() as u32;
            let entry = self.append_part(now, (number, count), piece, before, message.persistent);
            before += piece.len() as u64;
            parts.push(entry);
        }
        parts.extend(of_body);
        Head { parts, body_bytes, references }
    }

    /// The record that names the parts.
    fn append_head(
        &mut self,
        now: Now,
        message: &MessageRef<'_>,
        attributes: Attributes,
        head: Head<'_>,
        followed_by: usize,
    ) -> Placed {
        let Head { parts, body_bytes, references } = head;
        let count = references.len() as u32;
        let length = head_bytes(parts.len());
        if followed_by > 0 {
            self.keep_together(now, aligned_record(length) + followed_by, count);
        }
        let (at, octets) = self.claim(now, length, count);
        let (references_of, parts_of) = (references.len(), parts.len());
        let rest = record::write_message_head(
            octets,
            length,
            attributes,
            message,
            body_bytes,
            references_of,
            parts_of,
        );
        rest.copy_from_slice(parts.as_bytes());
        self.holds_messages = true;
        let placed = self.place(at, length, count);
        if message.persistent {
            let expires = attributes.expires_unix_ms;
            self.index.message_in_parts(spot(&placed), body_bytes, expires, references, &parts);
        }
        let record = (placed.length, placed.reference);
        self.multiparts.add(placed.address, record, count, parts);
        placed
    }

    /// Content that one part holds at most.
    fn part_bytes_max(&self) -> usize {
        self.geometry.record_bytes_max() - PART_HEAD_BYTES
    }

    /// One part, with its number and the references that its message has. `before`: octets of the
    /// content in the parts before it. `is_noted`: the index tells of it; those of a body need no
    /// note, they are there if their segment is. It pins its segment.
    fn append_part(
        &mut self,
        now: Now,
        (number, references): (u32, u32),
        content: &[u8],
        before: u64,
        is_noted: bool,
    ) -> PartEntry {
        let length = PART_HEAD_BYTES + content.len();
        let (at, octets) = self.claim(now, length, 0);
        record::write_part_head(octets, length, number, references).copy_from_slice(content);
        self.holds_messages = true;
        self.holds_parts = true;
        let address = self.batch.address(at);
        if is_noted {
            self.index.part(address, length as u32, number, references, content, before);
        }
        let entry = PartEntry::new(address, length as u32);
        // Pinned at once: sealing must not find it idle.
        self.segments.tail_mut().pin(entry.record_bytes());
        self.space.taken(entry.record_bytes());
        entry
    }
}
