//! The log itself: what it is made of, its effects and completions. Appending, reading back and
//! reclaiming are in `append`, `fetch` and `reclaim`.

use std::collections::VecDeque;
use std::rc::Rc;

use super::batch::Batch;
use super::block::Stamp;
use super::bodies::OpenBodies;
use super::cache::{Cache, Window};
use super::commit::Commit;
use super::copying::Copying;
use super::files::Files;
use super::format::{whole_pages, PAGE_BYTES, RECORDS_VERSION};
use super::geometry::Geometry;
use super::index::Builder;
use super::parts::{Assemblies, Multiparts, SharedParts};
use super::readback::Readback;
use super::reclaim::Reclaim;
use super::record::{self, DEFINITION_HEAD_BYTES, RECORD_HEADER_BYTES};
use super::segment::Segment;
use super::segments::Segments;
use super::share::Share;
use super::space::Space;
use super::{
    Address, FileId, IoFailure, LogCompletion, LogConfig, LogEffect, LogError, Memory, Position,
};
use crate::now::Now;

/// Smallest batch buffer that is any use.
const BUFFER_BYTES_MIN: usize = 16 * 1024;
/// A shard's log. Records go in by `append_*` and are in memory at once, on stable storage when
/// [`Log::durable`] has reached their end.
pub struct Log<M: Memory> {
    pub(super) config: LogConfig,
    pub(super) geometry: Geometry,
    pub(super) memory: M,
    pub(super) stamp: Stamp,
    pub(super) batch: Batch<M::Buffer>,
    pub(super) segments: Segments,
    /// Notes about the open segment.
    pub(super) index: Builder,
    pub(super) commit: Commit<M::Buffer>,
    pub(super) files: Files,
    pub(super) cache: Cache<M::Buffer>,
    pub(super) readback: Readback<M::Buffer>,
    /// Window and page of the block looked at last.
    pub(super) memo: Option<(u64, Rc<Window<M::Buffer>>)>,
    pub(super) multiparts: Multiparts,
    pub(super) shared_parts: SharedParts,
    pub(super) open_bodies: OpenBodies,
    pub(super) assemblies: Assemblies,
    pub(super) reclaim: Reclaim,
    pub(super) share: Share,
    pub(super) space: Space,
    pub(super) copying: Copying<M::Buffer>,
    pub(super) reads: VecDeque<LogEffect<M::Buffer>>,
    pub(super) ticket: u64,
    /// Position behind the last record.
    pub(super) end: u64,
    /// The open batch holds something that somebody waits for.
    pub(super) urgent: bool,
    /// The open batch holds something that may be fetched.
    pub(super) holds_messages: bool,
    /// The open batch holds parts of bodies.
    pub(super) holds_parts: bool,
    /// Number of the first reference that the open batch may make.
    pub(super) batch_reference: u32,
    /// Since when the open batch holds settles.
    pub(super) settles_since_us: Option<u64>,
    /// [`Log::stop`] has been called.
    stopping: bool,
    /// The latest records are covered by no durable mark.
    pub(super) is_unmarked: bool,
    failed: bool,
}

/// Where a log goes on.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    /// Behind the last whole block of the newest segment; `previous` is its checksum.
    Within { position: u64, previous: u32 },
    /// In a segment that holds nothing yet.
    Anew { segment: u32, previous_end: u64, file: Option<FileId> },
}

/// What recovery hands over.
pub(super) struct Opening<M: Memory> {
    pub config: LogConfig,
    pub geometry: Geometry,
    pub memory: M,
    pub log: u64,
    pub epoch: u32,
    pub segments: Segments,
    /// Notes about the segment that the log goes on in.
    pub index: Option<Builder>,
    pub multiparts: Multiparts,
    pub shared_parts: SharedParts,
    pub files: Files,
    pub tail: Tail,
    /// Version of records that may be in the segment that the log goes on in.
    pub records_version: u32,
}

impl<M: Memory> Log<M> {
    pub(super) fn open(now: Now, opening: Opening<M>) -> Self {
        let Opening { mut config, geometry, mut memory, tail, mut files, mut segments, .. } =
            opening;
        config.buffer_bytes = whole_pages(config.buffer_bytes.max(BUFFER_BYTES_MIN));
        let buffer = memory.allocate(config.buffer_bytes);
        let (start, segment, previous) = match tail {
            Tail::Within { position, previous } => (position, segments.tail().number, previous),
            Tail::Anew { segment, file, .. } => {
                let file = file.unwrap_or_else(|| files.take());
                segments.push(Segment::new(segment, file));
                (geometry.start(segment), segment, 0)
            }
        };
        let room = geometry.limit(segment).saturating_sub(start);
        let skip = if matches!(tail, Tail::Anew { .. }) { PAGE_BYTES } else { 0 };
        let reference = segments.tail().references();
        let half = config.cache_bytes / 2;
        let is_older = opening.records_version < RECORDS_VERSION;
        let awaits_segment = is_older && matches!(tail, Tail::Within { .. });
        let mut log = Log {
            batch: Batch::new(buffer, start, room, skip, reference),
            stamp: Stamp { log: opening.log, epoch: opening.epoch, durable: start, previous },
            reclaim: Reclaim::after_recovery(&segments),
            share: Share::default(),
            space: Space::after_recovery(&segments),
            copying: Copying::new(geometry.segment_bytes, awaits_segment),
            segments,
            index: opening.index.unwrap_or_else(|| Builder::new(geometry, segment)),
            commit: Commit::new(start, segment, config.writes_in_flight_max),
            files,
            cache: Cache::new(config.cache_bytes, config.buffer_bytes),
            readback: Readback::new(half),
            memo: None,
            multiparts: opening.multiparts,
            shared_parts: opening.shared_parts,
            open_bodies: OpenBodies::default(),
            assemblies: Assemblies::new(half),
            reads: VecDeque::new(),
            ticket: 0,
            end: start,
            urgent: false,
            holds_messages: false,
            holds_parts: false,
            batch_reference: reference,
            settles_since_us: None,
            stopping: false,
            is_unmarked: matches!(tail, Tail::Within { .. }),
            failed: false,
            config,
            geometry,
            memory,
        };
        if let Tail::Anew { previous_end, .. } = tail {
            log.begin_segment(now, previous_end);
        }
        log
    }

    /// End of what is on stable storage, without a gap.
    #[inline]
    pub fn durable(&self) -> Position {
        Position(self.commit.durable())
    }

    /// Where the batch begins that records go into: all of it becomes durable at the same time.
    #[inline]
    pub fn batch_start(&self) -> Position {
        Position(self.batch.start())
    }

    /// End of what has been appended, or after [`Log::stop`] is to be. All of it is durable once
    /// [`Log::durable`] is not less.
    #[inline]
    pub fn end(&self) -> Position {
        if self.stopping && self.is_unmarked {
            return Position(self.end.max(self.commit.durable() + 1));
        }
        Position(self.end)
    }

    /// A record there is durable once [`Log::durable`] has reached this.
    pub fn end_of(&self, address: Address) -> Position {
        // A block goes out in one write.
        Position(address.block().0 + 1)
    }

    /// Make everything appended so far durable without waiting for `settle_delay_us`.
    pub fn flush(&mut self) {
        self.urgent |= !self.batch.is_empty();
    }

    /// Clean stop: make everything durable without delay, and then write a closing mark, so that
    /// damage to the very last records is found at the next start and not taken for a torn end.
    /// The log goes on as before.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The next thing to do, if there is one. Ask until there is none.
    pub fn poll_effect(&mut self, now: Now) -> Option<LogEffect<M::Buffer>> {
        if self.failed {
            return None;
        }
        if self.reclaim.is_due() && self.may_reclaim() {
            self.reclaim(now);
        }
        if self.index.is_full() {
            self.write_index_piece(now);
        }
        if self.stopping {
            self.flush();
            self.append_closing_mark(now);
        }
        if let Some(read) = self.reads.pop_front() {
            return Some(read);
        }
        self.next_copy_read()
            .or_else(|| self.next_creation(now))
            .or_else(|| self.next_deletion())
            .or_else(|| self.next_write(now))
    }

    fn append_closing_mark(&mut self, now: Now) {
        if self.is_unmarked && self.commit.is_quiet() && self.batch.is_empty() {
            let (_, octets) = self.claim(now, RECORD_HEADER_BYTES, 0);
            record::write_mark(octets);
            self.end = self.batch.end();
            self.urgent = true;
            self.is_unmarked = false;
        }
    }

    fn next_creation(&mut self, now: Now) -> Option<LogEffect<M::Buffer>> {
        let used = self.geometry.offset(self.batch.start()) + self.batch.used() as u64;
        if used >= self.geometry.segment_bytes / 4 {
            self.files.prepare();
        }
        let file = self.files.next_creation(self.ticket + 1, now.monotonic_us)?;
        self.ticket += 1;
        Some(LogEffect::Create { ticket: self.ticket, file, bytes: self.geometry.segment_bytes })
    }

    fn next_deletion(&mut self) -> Option<LogEffect<M::Buffer>> {
        let files_max = self.files_max();
        let used = self.segments.len() as u64;
        let durable = self.commit.durable();
        let file = self.files.next_deletion(self.ticket + 1, used, files_max, durable)?;
        self.ticket += 1;
        Some(LogEffect::Delete { ticket: self.ticket, file })
    }

    fn next_write(&mut self, now: Now) -> Option<LogEffect<M::Buffer>> {
        let late = |since| now.monotonic_us >= since + self.config.settle_delay_us;
        let due = self.urgent || self.settles_since_us.is_some_and(late);
        if due && self.commit.is_quiet() && !self.batch.is_empty() {
            self.close_partial_batch();
        }
        let ticket = self.ticket + 1;
        let batch = self.commit.next(ticket, |file| self.files.is_ready(file))?;
        self.ticket = ticket;
        Some(LogEffect::Write {
            ticket,
            file: batch.file,
            offset: batch.offset,
            buffer: batch.buffer,
            length: batch.length,
        })
    }

    /// Takes the result of an effect. An error is final: nothing is confirmed after it, and
    /// `poll_effect` has nothing more to say.
    pub fn complete(
        &mut self,
        now: Now,
        completion: LogCompletion<M::Buffer>,
    ) -> Result<(), LogError> {
        if self.failed {
            return Ok(());
        }
        let result = match completion {
            LogCompletion::Written { ticket } => {
                if self.commit.written(ticket) == Some(true) {
                    self.stamp.durable = self.commit.durable();
                }
                Ok(())
            }
            LogCompletion::Created { ticket } => {
                self.files.created(ticket);
                Ok(())
            }
            LogCompletion::Deleted { ticket } => {
                self.files.deleted(ticket);
                Ok(())
            }
            LogCompletion::Read { ticket, buffer } => self.read_done(ticket, buffer),
            LogCompletion::Failed { ticket, error } => self.effect_failed(now, ticket, error),
        };
        self.failed = result.is_err();
        result
    }

    fn effect_failed(&mut self, now: Now, ticket: u64, error: IoFailure) -> Result<(), LogError> {
        if let Some((file, offset)) = self.commit.place(ticket) {
            return Err(LogError::Write { file: file.0, offset, error });
        }
        if let Some(result) = self.files.failed(ticket, now.monotonic_us, &error) {
            return result.map_err(|file| LogError::Create { file: file.0, error });
        }
        self.read_failed(ticket, error)
    }

    /// Monotonic time at which `poll_effect` should be asked again though nothing happened.
    pub fn deadline_us(&self) -> Option<u64> {
        if self.failed {
            return None;
        }
        let settles = self
            .settles_since_us
            .filter(|_| self.commit.is_quiet())
            .map(|since| since + self.config.settle_delay_us);
        settles.into_iter().chain(self.files.retry_at_us()).min()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Length that a definition's payload must not exceed.
    pub fn definition_bytes_max(&self) -> usize {
        self.geometry.record_bytes_max() - DEFINITION_HEAD_BYTES
    }
}
