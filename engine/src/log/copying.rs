//! Copying forward: what still lives in a sparse segment moves to the end of the log, so that the
//! segment's file comes back.
//!
//! One segment at a time, the *victim*, is read window by window; each record with live references
//! is appended again, and the same block says that the old references are dead (`copies`). The copying
//! keeps to a measure of octets in a turn and to its share of a write (`share`), and begins only when the
//! files that segments take exceed twice what is wanted and a constant. It ends by itself, since it
//! may write no more than it gives back (`allowance`). Section "Copying forward" of
//! docs/log-format.md.

use super::allowance::Allowance;
use super::block::Block;
use super::copies::{definition_copy_bytes, Relocated};
use super::format::PAGE_BYTES;
use super::pace::Pace;
use super::readback::{Pending, WINDOW_BYTES};
use super::record::{Copied, MessageView, PartEntry, Payload, Record};
use super::segment::Segment;
use super::victim_parts::VictimParts;
use super::{Address, Log, LogEffect, LogError, Memory, Settling};
use crate::ids::{QueueId, Seq};
use crate::now::Now;

/// Octets copied in one turn, reached by the last record or block.
const OCTETS_PER_TURN: u64 = 128 * 1024;

/// Who holds what lies in the log. Copying asks before it moves a reference, and tells the new
/// place after.
pub trait Holders {
    /// True if that is where the queue's message of that number lies, and it may be moved now.
    fn holds(&mut self, held: &Settling) -> bool;
    /// The message lies elsewhere now; the old reference is dead.
    fn moved(&mut self, held: &Settling, to: &Relocated);
    /// As `holds`, of a definition with that content.
    fn holds_definition(&mut self, held: &Settling, payload: &[u8]) -> bool;
    /// It has had to look far enough for this turn: the copying goes on in the next one.
    fn is_weary(&self) -> bool;
    /// As `moved`.
    fn definition_moved(&mut self, held: &Settling, payload: &[u8], to: &Relocated);
}

#[derive(Debug)]
enum Stage<B> {
    /// A window that begins at the next block and holds so many octets is to be read.
    Wanted {
        bytes: u64,
    },
    Reading(Pending),
    Ready {
        buffer: B,
        start: u64,
        end: u64,
    },
    /// All blocks have been looked at: messages in parts that have their record or parts here.
    Parts(Vec<Address>),
}

#[derive(Debug)]
struct Work<B> {
    victim: u32,
    /// Position of the next block.
    block: u64,
    /// Records of it that have been looked at.
    done: usize,
    stage: Stage<B>,
    parts: VictimParts,
}

/// What a step came to.
enum Step {
    /// There may be more to do at once.
    On,
    /// There is more to do in the next turn.
    Pause,
    /// Something must be read first, or what has been written is to be durable first.
    Wait,
    /// The victim has been looked at in full.
    Over,
}

#[derive(Debug)]
pub(super) struct Copying<B> {
    work: Option<Work<B>>,
    /// Victims that were looked at in full and still hold something that could not be moved, since
    /// the newest segment was begun.
    stuck: Vec<u32>,
    /// Newest segment and live octets when no victim was found: a look again is not worth it yet.
    found_none: Option<(u32, u64)>,
    /// Octets of records copied since the start.
    copied_octets: u64,
    pub(super) allowance: Allowance,
    pub(super) pace: Pace,
    /// The run of references copied last: their segment, and the number behind the last one.
    run: (u32, u32),
    /// The segment written to was begun by a version that knows no Copied records: they go to the
    /// next one.
    awaits_segment: bool,
    /// Working memory.
    moving: Vec<Settling>,
}

impl<B> Copying<B> {
    /// `awaits_segment`: no Copied record may be written to the segment that there is.
    pub(super) fn new(segment_bytes: u64, awaits_segment: bool) -> Self {
        Copying {
            work: None,
            stuck: Vec::new(),
            found_none: None,
            copied_octets: 0,
            allowance: Allowance::new(segment_bytes),
            pace: Pace::default(),
            run: (0, 0),
            awaits_segment,
            moving: Vec::new(),
        }
    }

    /// There may be a victim now, even if none was found before.
    pub(super) fn look_again(&mut self) {
        self.found_none = None;
    }

    /// A segment is being copied.
    pub(super) fn is_under_way(&self) -> bool {
        self.work.is_some()
    }

    pub(super) fn copied_octets(&self) -> u64 {
        self.copied_octets
    }

    /// Another segment has been begun: what could not be moved may be gone.
    pub(super) fn segment_begun(&mut self) {
        self.stuck.clear();
        self.awaits_segment = false;
    }

    /// The first reference of those that can be said to be dead together with `reference` of
    /// `segment`, which is `old`: the run copied last goes on if nothing between lives.
    pub(super) fn run_start(&self, segment: u32, reference: u32, old: &Segment) -> u32 {
        let (of, end) = self.run;
        let goes_on = of == segment && end <= reference && old.are_dead(end, reference);
        if goes_on {
            end
        } else {
            reference
        }
    }

    pub(super) fn note_run(&mut self, copied: &Copied) {
        self.run = (copied.segment, copied.end());
    }

    /// The read of that ticket, if copying asked for it.
    pub(super) fn take_read(&mut self, ticket: u64) -> Option<Pending> {
        match &self.work {
            Some(Work { stage: Stage::Reading(read), .. }) if read.ticket == ticket => Some(*read),
            _ => None,
        }
    }

    /// What that read has brought, whole blocks up to position `end`.
    pub(super) fn read_done(&mut self, read: &Pending, buffer: B, end: u64) {
        if let Some(work) = &mut self.work {
            work.stage = Stage::Ready { buffer, start: read.start, end };
        }
    }

    /// That read has brought too little: a block is longer.
    pub(super) fn read_more(&mut self, bytes: u64) {
        if let Some(work) = &mut self.work {
            work.stage = Stage::Wanted { bytes };
        }
    }
}

impl<M: Memory> Log<M> {
    /// Goes on giving sparse segments back: copying forward, and what else takes its time, if that is
    /// due. Call once in a turn. True: there is more to do at
    /// once.
    pub fn copy_forward(&mut self, now: Now, holders: &mut impl Holders) -> bool {
        self.look_at_pace();
        let begun = self.spending_from();
        let before = self.batch.end();
        let is_more = self.sweep(now);
        let swept = self.batch.end() - before;
        self.copying.allowance.leave_out(swept);
        if is_more {
            return true;
        }
        if self.copying.work.is_none() && !self.begin_copying(now) {
            return false;
        }
        let copied = self.copying.copied_octets;
        let is_more = self.copy_some(now, holders);
        match self.copying.copied_octets > copied {
            true => self.spend(self.batch.end() - (begun + swept)),
            // What has been let go at its end was copied before.
            false => self.copying.allowance.spend(0, self.space.activity()),
        }
        is_more
    }

    fn copy_some(&mut self, now: Now, holders: &mut impl Holders) -> bool {
        let Some(mut work) = self.copying.work.take() else { return false };
        // It has emptied before all of it was looked at.
        if self.segments.get(work.victim).is_none_or(|victim| victim.is_done()) {
            self.segment_back(work.victim);
            self.end_work(work);
            return self.is_compaction_due();
        }
        let enough = self.copying.copied_octets + OCTETS_PER_TURN;
        loop {
            match self.copy_step(now, &mut work, holders) {
                Step::On if self.copying.copied_octets < enough => {}
                Step::On | Step::Pause => {
                    self.copying.work = Some(work);
                    return true;
                }
                Step::Wait => {
                    self.copying.work = Some(work);
                    return false;
                }
                Step::Over => {
                    let number = work.victim;
                    self.end_work(work);
                    match self.segments.get(number).is_some_and(|victim| !victim.is_done()) {
                        true => self.copying.stuck.push(number),
                        false => self.segment_back(number),
                    }
                    return self.is_compaction_due();
                }
            }
        }
    }

    /// Parts that have been written again are held by the messages that name them, from now on.
    fn end_work(&mut self, work: Work<M::Buffer>) {
        self.let_go_parts(&work.parts.into_moved());
    }

    /// Looks for a segment worth copying, if there should be one.
    fn begin_copying(&mut self, now: Now) -> bool {
        if !self.is_compaction_due() {
            return false;
        }
        if self.copying.awaits_segment {
            self.seal_segment(now, 0);
        }
        let tail = self.segments.tail().number;
        let live = self.space.live_octets();
        let looked = self.copying.found_none;
        let quarter = self.geometry.segment_bytes / 4;
        if looked.is_some_and(|(number, then)| number == tail && live + quarter > then) {
            return false;
        }
        let victim = self.sparsest(&self.copying.stuck);
        let Some(victim) = victim.filter(|victim| self.is_affordable(*victim)) else {
            self.copying.found_none = Some((tail, live));
            return false;
        };
        self.copying.found_none = None;
        let block = self.geometry.start(victim) + PAGE_BYTES as u64;
        let stage = Stage::Wanted { bytes: WINDOW_BYTES };
        let parts = self.parts_of_victim(victim);
        self.copying.work = Some(Work { victim, block, done: 0, stage, parts });
        true
    }

    /// The next window of the victim, if it is to be read.
    pub(super) fn next_copy_read(&mut self) -> Option<LogEffect<M::Buffer>> {
        let work = self.copying.work.as_ref()?;
        let Stage::Wanted { bytes } = work.stage else { return None };
        let victim = self.segments.get(work.victim)?;
        let (start, limit) = (work.block, victim.sealed_end?);
        let length = limit.checked_sub(start).filter(|left| *left > 0)?.min(bytes) as usize;
        let (file, segment) = (victim.file, work.victim);
        self.ticket += 1;
        let ticket = self.ticket;
        let read = Pending { ticket, segment, start, length, limit };
        if let Some(work) = &mut self.copying.work {
            work.stage = Stage::Reading(read);
        }
        let offset = self.geometry.offset(start);
        Some(LogEffect::Read { ticket, file, offset, length })
    }

    fn copy_step(
        &mut self,
        now: Now,
        work: &mut Work<M::Buffer>,
        holders: &mut impl Holders,
    ) -> Step {
        if !self.may_reclaim() {
            return Step::Wait;
        }
        let Work { parts, .. } = work;
        match &mut work.stage {
            Stage::Wanted { .. } | Stage::Reading(_) => Step::Wait,
            Stage::Ready { buffer, start, end } => {
                let (start, end) = (*start, *end);
                let octets = buffer.as_ref().get((work.block - start) as usize..).unwrap_or(&[]);
                if work.block < end {
                    let block = Block::open(octets, work.block, Some(self.stamp.log));
                    // It was good when it was read.
                    let Ok(block) = block else { return Step::Over };
                    let at = (work.block, &mut work.done);
                    if self.copy_block(now, at, &block, parts, holders) {
                        let length = block.length() as u64;
                        self.gone_through(length);
                        work.block += length;
                        work.done = 0;
                        return Step::On;
                    }
                    return if holders.is_weary() { Step::Pause } else { Step::Wait };
                }
                let sealed_end = self.segments.get(work.victim).and_then(|held| held.sealed_end);
                work.stage = if sealed_end.is_some_and(|sealed_end| work.block < sealed_end) {
                    Stage::Wanted { bytes: WINDOW_BYTES }
                } else {
                    Stage::Parts(self.multiparts.in_segment(self.geometry, work.victim))
                };
                Step::On
            }
            Stage::Parts(addresses) => {
                let Some(address) = addresses.last().copied() else { return Step::Over };
                if holders.is_weary() {
                    return Step::Pause;
                }
                if !self.copy_in_parts(now, address, (work.victim, &*parts), holders) {
                    return Step::Wait;
                }
                addresses.pop();
                Step::On
            }
        }
    }

    /// Copies what lives in a block, behind the first `done` records. False: the holders are weary,
    /// or the next record has to wait for the next batch.
    fn copy_block(
        &mut self,
        now: Now,
        (position, done): (u64, &mut usize),
        block: &Block<'_>,
        parts: &mut VictimParts,
        holders: &mut impl Holders,
    ) -> bool {
        let mut reference = block.header.first_reference.get();
        for (index, record) in block.records().enumerate() {
            let Ok((offset, length, record)) = record else { return true };
            if index < *done {
                reference += match record {
                    Record::Message(message) => message.references(),
                    Record::Definition(_) => 1,
                    _ => 0,
                };
                continue;
            }
            *done = index;
            if holders.is_weary() {
                return false;
            }
            let address = Address::new(position, offset);
            match record {
                Record::Message(message) => {
                    let first = reference;
                    reference += message.references();
                    // Those in parts have their turn when all parts here have been looked at.
                    let Payload::Inline(content) = message.payload else { continue };
                    let place = (address, length, first);
                    if !self.copy_message(now, place, &message, (content, None), holders) {
                        return false;
                    }
                }
                Record::Definition(definition) => {
                    let (queue, seq) = (QueueId::DEFINITIONS, definition.seq);
                    let held = Settling { queue, seq, address, length, reference };
                    reference += 1;
                    let payload = definition.payload;
                    if self.lives(&held) && holders.holds_definition(&held, payload) {
                        let octets = definition_copy_bytes(payload);
                        if !self.takes_of_reclaiming(octets, 1) {
                            return false;
                        }
                        let to = self.append_definition_copy(now, &held, payload);
                        self.note_copied(to.length);
                        self.note_reclaiming(octets);
                        holders.definition_moved(&held, payload, &to);
                    }
                }
                Record::Part(part) => {
                    let is_done = self.copy_part(now, address, &part, parts);
                    if !is_done {
                        return false;
                    }
                }
                _ => {}
            }
        }
        true
    }

    /// Copies a message for those references that live. `content` is the whole content, or what comes
    /// before the body, which has these parts then. False: it has to wait for the next batch.
    pub(super) fn copy_message(
        &mut self,
        now: Now,
        (address, length, first): (Address, u32, u32),
        message: &MessageView<'_>,
        (content, body): (&[u8], Option<&[PartEntry]>),
        holders: &mut impl Holders,
    ) -> bool {
        let stored = match body {
            None => message.stored(content),
            Some(_) => message.beginning(content),
        };
        let (Ok(entries), Ok(stored)) = (message.references_in(content), stored) else {
            return true;
        };
        let mut moving = std::mem::take(&mut self.copying.moving);
        moving.clear();
        for (reference, entry) in (first..).zip(entries) {
            let (queue, seq): (QueueId, Seq) = entry.get();
            let held = Settling { queue, seq, address, length, reference };
            if self.lives(&held) && holders.holds(&held) {
                moving.push(held);
            }
        }
        let octets = self.copies_bytes(&stored.message, &moving);
        let fits = moving.is_empty() || self.takes_of_reclaiming(octets, moving.len() as u32);
        if fits && !moving.is_empty() {
            let expires_unix_ms = message.expires_unix_ms();
            self.append_copies(now, (&stored, body), expires_unix_ms, &moving, |held, to| {
                holders.moved(held, &to);
            });
            self.note_reclaiming(octets);
        }
        self.copying.moving = moving;
        fits
    }

    fn lives(&self, held: &Settling) -> bool {
        let number = self.geometry.segment_of_address(held.address);
        self.segments.get(number).is_some_and(|segment| !segment.is_dead(held.reference))
    }

    /// So many octets of a record have been written again.
    pub(super) fn note_copied(&mut self, length: u32) {
        self.copying.copied_octets += u64::from(length);
    }

    /// A read for copying has come back.
    pub(super) fn copy_read_done(
        &mut self,
        read: &Pending,
        buffer: M::Buffer,
    ) -> Result<(), LogError> {
        // Recycled meanwhile: the file may hold something else by now.
        let Some(victim) = self.segments.get(read.segment) else {
            if let Some(work) = self.copying.work.take() {
                self.end_work(work);
            }
            return Ok(());
        };
        match self.whole_blocks(victim.file, read, buffer.as_ref())? {
            Ok(octets) => self.copying.read_done(read, buffer, read.start + octets as u64),
            Err(needed) => self.copying.read_more(needed as u64),
        }
        Ok(())
    }
}
