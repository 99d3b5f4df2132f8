//! Reading a shard's segment files back at start. Section "Recovery" of docs/log-format.md.
//!
//! Five steps, each a little machine that says what to read next and takes the octets:
//! `catalogue` reads every file's header; `survey` finds the end of the newest segment (`scan`
//! tells a torn end from rot) and which older ones live; `evidence` makes sure that no damaged
//! file is a lost segment; `liveness` reads which references are known to be dead; `replay` goes
//! through the live segments in order, of which it reads the index (`indexed`) or, failing that,
//! everything. Only the last one speaks to the shard.

mod catalogue;
mod damage;
mod evidence;
mod found;
mod indexed;
mod liveness;
mod mending;
mod obstacle;
mod parts;
mod passing;
mod plan;
mod replay;
mod salvage;
mod scan;
mod survey;
mod toll;
mod walk;

use std::ops::Range;

use rustc_hash::FxHashMap;

use catalogue::{Catalogue, Newest};
pub use damage::{Damage, Headless, LostMessage};
use evidence::{Evidence, Suspect};
use liveness::LivenessReads;
pub use mending::{mend, MendError, Mended, Octets, Patch};
use obstacle::Obstacle;
use plan::{Plan, Unplanned};
use replay::{Planned, Replay};
use survey::Survey;
use toll::Toll;

use super::bitmap::Bitmap;
use super::files::Files;
use super::format::{aligned_record, FileHeader, RECORDS_VERSION};
use super::geometry::Geometry;
use super::index::Builder;
use super::parts::{Multiparts, PartCensus};
use super::record;
use super::segments::Segments;
use super::store::{Opening, Tail};
use super::{Address, FileId, Log, LogConfig, LogError, Memory};
use crate::ids::{QueueId, Seq};
use crate::now::Now;

/// A segment file found at start.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFile {
    pub file: FileId,
    pub bytes: u64,
}

/// One thing recovery found, in log order. What is known to be dead for good is left out; a
/// settle comes after the message that it settles, and applies to that one only. A message that
/// comes again under the same number was copied, and the later place is the right one.
#[derive(Debug)]
pub enum Recovered<'a> {
    /// A message. One with several references may come in several pieces, each with a part of
    /// them.
    Message {
        address: Address,
        length: u32,
        /// Reference `i` has number `reference + i` in its segment.
        reference: u32,
        references: &'a [(QueueId, Seq)],
        expires_unix_ms: Option<u64>,
        body_bytes: u64,
    },
    Definition {
        address: Address,
        length: u32,
        reference: u32,
        seq: Seq,
        payload: &'a [u8],
    },
    /// `first..=last` of that queue are settled, as far as their records lie at addresses `among`:
    /// in one segment. What was copied elsewhere, before or after, is not meant.
    Settled {
        queue: QueueId,
        first: Seq,
        last: Seq,
        among: Range<Address>,
    },
}

/// One read that recovery wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryRead {
    pub file: FileId,
    pub offset: u64,
    pub length: usize,
}

/// Reads a shard's segment files back. Drive: while `next_read` asks, read and `supply`.
pub struct Recovery<M: Memory> {
    config: LogConfig,
    memory: M,
    catalogue: Catalogue,
    in_full: bool,
    passes_by: bool,
    toll: Toll,
    obstacle: Option<Obstacle>,
    phase: Phase,
    /// The newest segment and where it ends; `None`: the log holds nothing yet.
    newest: Option<Newest>,
    end: Option<End>,
    segments: Segments,
    multiparts: Multiparts,
    /// Who holds which of their parts.
    part_holders: PartCensus,
    /// References that have been made anew by copies.
    copied: FxHashMap<u32, Bitmap>,
    /// Notes about the newest segment.
    index: Option<Builder>,
    by_index: usize,
}

/// Where the log ends.
#[derive(Clone, Copy, Debug)]
struct End {
    position: u64,
    /// Checksum of the last good block.
    previous: u32,
    /// Highest epoch seen.
    epoch: u32,
    /// The newest segment has its roster, so that the log can go on in it.
    is_usable: bool,
    torn_bytes: u64,
}

enum Phase {
    Catalogue,
    Survey(Survey),
    /// `None`: no file has a header.
    Evidence(Evidence, Option<Plan>),
    Liveness(LivenessReads, Plan),
    Replay(Box<Replay>),
    Done,
}

impl<M: Memory> Recovery<M> {
    /// `files`: everything in the shard's directory that is named like a segment file. A log that
    /// exists keeps the segment size that it began with, whatever `config` says.
    pub fn new(config: LogConfig, memory: M, files: Vec<SegmentFile>) -> Self {
        let catalogue = Catalogue::new(config.shard, files);
        Recovery {
            config,
            memory,
            catalogue,
            in_full: false,
            passes_by: false,
            toll: Toll::default(),
            obstacle: None,
            phase: Phase::Catalogue,
            newest: None,
            end: None,
            segments: Segments::default(),
            multiparts: Multiparts::default(),
            part_holders: PartCensus::default(),
            copied: FxHashMap::default(),
            index: None,
            by_index: 0,
        }
    }

    /// Reads every live segment in full, whatever indexes there are, so that all damage is found.
    pub fn in_full(mut self) -> Self {
        self.in_full = true;
        self
    }

    /// Reads every live segment in full and passes by what is damaged in sealed ones, to find all
    /// of it. For looking only; [`Recovery::finish`] is not for this. `toll`: what is known
    /// already.
    fn passing_damage(mut self, toll: Toll) -> Self {
        self.passes_by = true;
        self.toll = toll;
        self
    }

    /// What to read next; `None` when all is read.
    pub fn next_read(&mut self) -> Option<RecoveryRead> {
        self.phase.next_read(&self.catalogue)
    }

    /// Reads that will or may be asked for behind `next_read`, nearest first: the device can be
    /// kept busy with them. A guess: other octets may be wanted in the end.
    pub fn read_ahead(&self) -> Vec<RecoveryRead> {
        match &self.phase {
            Phase::Catalogue => self.catalogue.read_ahead(),
            Phase::Survey(survey) => survey.read_ahead(),
            Phase::Replay(replay) => replay.read_ahead(),
            Phase::Evidence(..) | Phase::Liveness(..) | Phase::Done => Vec::new(),
        }
    }

    /// The octets of the last `next_read` (fewer only at the end of the file); what they hold goes
    /// to `visit`. An error is final.
    pub fn supply(
        &mut self,
        octets: &[u8],
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<(), LogError> {
        let taken = match &mut self.phase {
            Phase::Catalogue => self.catalogue.supply(octets),
            Phase::Survey(survey) => survey.supply(octets),
            Phase::Evidence(evidence, _) => evidence.supply(octets),
            Phase::Liveness(reads, _) => reads.supply(octets),
            Phase::Replay(replay) => replay.supply(octets, visit),
            Phase::Done => Ok(()),
        };
        if let Err(error) = taken {
            self.obstacle = self.phase.obstacle(&error);
            return Err(error);
        }
        self.advance()
    }

    /// Goes on to the next step that has anything to read.
    fn advance(&mut self) -> Result<(), LogError> {
        while self.phase.next_read(&self.catalogue).is_none() {
            self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Done => return Ok(()),
                Phase::Catalogue => self.survey_newest()?,
                Phase::Survey(survey) => self.after_survey(survey)?,
                Phase::Evidence(_, None) => Phase::Done,
                Phase::Evidence(_, Some(mut plan)) => {
                    let mut reads = plan.liveness_reads();
                    reads.damaged = self.passes_by.then(Vec::new);
                    Phase::Liveness(reads, plan)
                }
                Phase::Liveness(reads, plan) => self.replay(plan, reads),
                Phase::Replay(mut replay) => {
                    self.toll = replay.toll().unwrap_or_default();
                    self.by_index = replay.by_index();
                    (self.segments, self.multiparts, self.index, self.copied) = replay.found();
                    Phase::Done
                }
            };
        }
        Ok(())
    }

    fn replay(&mut self, plan: Plan, reads: LivenessReads) -> Phase {
        let mut replay = Box::new(plan.replay(reads.dead));
        if self.passes_by {
            let mut toll = std::mem::take(&mut self.toll);
            toll.liveness.extend(reads.damaged.unwrap_or_default());
            replay.pass_by(toll);
        }
        Phase::Replay(replay)
    }

    fn survey_newest(&mut self) -> Result<Phase, LogError> {
        let newest = self.catalogue.newest();
        if let (Err(_), Some(file)) = (&newest, self.catalogue.headless()) {
            self.obstacle = Some(Obstacle::Header { file, entry: None });
        }
        self.newest = newest?;
        let Some(newest) = &self.newest else { return Ok(self.search_for_any()) };
        Ok(Phase::Survey(Survey::of_newest(newest.file, &newest.header, newest.geometry)))
    }

    /// No file has a header: either the log holds nothing yet, or all that it holds has lost it.
    fn search_for_any(&self) -> Phase {
        let Some(geometry) = Geometry::new(self.catalogue.largest()) else { return Phase::Done };
        let suspects = self.catalogue.blank(geometry.segment_bytes).map(Suspect::blank).collect();
        Phase::Evidence(Evidence::new(geometry, None, suspects), None)
    }

    fn after_survey(&mut self, survey: Survey) -> Result<Phase, LogError> {
        let Some(newest) = &self.newest else { return Ok(Phase::Done) };
        let is_newest = self.end.is_none();
        let is_usable = survey.account.is_complete;
        if is_newest {
            self.end = Some(End {
                position: survey.end(),
                previous: survey.previous(),
                epoch: newest.epoch.max(survey.epoch_max()),
                is_usable,
                torn_bytes: survey.torn_bytes(),
            });
        }
        if !is_usable && is_newest {
            if let Some(number) = survey.segment().checked_sub(1) {
                let Some((file, header)) = self.catalogue.holding(number) else {
                    return Err(LogError::Missing { segment: number, shard: self.config.shard.0 });
                };
                let end = newest.header.previous_end.get();
                return Ok(Phase::Survey(Survey::of_sealed(file, header, newest.geometry, end)));
            }
        }
        if !is_usable && !is_newest {
            return Err(LogError::Rot {
                file: survey.file().0,
                offset: 0,
                durable: survey.end(),
                what: "a segment without a roster",
            });
        }
        let base = is_usable.then(|| Planned {
            file: survey.file(),
            header: *survey.header(),
            end: survey.end(),
            is_sealed: !is_newest,
            index: None,
            references: None,
        });
        let plan = Plan::new(&self.catalogue, newest.geometry, survey.account, base);
        let mut plan = plan.map_err(|Unplanned { error, entry }| {
            self.obstacle = entry.map(|entry| match &error {
                LogError::Rot { file, .. } => {
                    Obstacle::Header { file: FileId(*file), entry: Some(entry) }
                }
                _ => Obstacle::Absent { entry },
            });
            error
        })?;
        if self.in_full {
            plan.ignore_indexes();
        }
        let known = (newest.header.log.get(), newest.header.segment.get());
        let evidence = Evidence::new(newest.geometry, Some(known), plan.suspects(&self.catalogue));
        Ok(Phase::Evidence(evidence, Some(plan)))
    }

    /// All read: the log, positioned to go on. Every reference starts out dead; the shard calls
    /// [`Recovery::keep`] for each live one first.
    ///
    /// # Panics
    /// If `next_read` still asks for something, or `config` is that of no possible log.
    pub fn finish(mut self, now: Now) -> Result<Log<M>, LogError> {
        self.advance()?;
        assert!(matches!(self.phase, Phase::Done), "recovery is not over");
        assert!(!self.passes_by, "a log is not opened on what damage has left");
        let shard = self.config.shard.0;
        let (log, epoch, geometry, tail) = match (&self.newest, self.end) {
            (Some(newest), Some(end)) => {
                let Some(epoch) = end.epoch.checked_add(1) else {
                    let (file, what) = (newest.file.0, "its epochs are used up");
                    return Err(LogError::Foreign { file, shard, what });
                };
                (newest.header.log.get(), epoch, newest.geometry, tail(newest, end))
            }
            _ => {
                let geometry = Geometry::new(self.config.segment_bytes)
                    .expect("segments are a multiple of 4096 octets and 64 KiB or more");
                let tail = Tail::Anew { segment: 0, previous_end: 0, file: None };
                (identity(now, shard), 1, geometry, tail)
            }
        };
        let header = self.newest.as_ref().map(|newest| &newest.header);
        let records_version = header.map(|header| header.records_version.get());
        let newest_file = self.newest.as_ref().map(|newest| newest.file);
        let is_live = |file: FileId| {
            newest_file == Some(file) || self.segments.iter().any(|segment| segment.file == file)
        };
        let (free, broken) = self.catalogue.unused(geometry.segment_bytes, is_live);
        self.multiparts.drop_dead();
        self.config.segment_bytes = geometry.segment_bytes;
        let files = Files::new(self.catalogue.highest(), free, broken);
        Ok(Log::open(
            now,
            Opening {
                config: self.config,
                geometry,
                memory: self.memory,
                log,
                epoch,
                segments: self.segments,
                index: self.index,
                multiparts: self.multiparts,
                shared_parts: self.part_holders.into_shared(),
                files,
                tail,
                records_version: records_version.unwrap_or(RECORDS_VERSION),
            },
        ))
    }

    /// True for a reference that recovery told of and that is dead all the same: it has been copied
    /// elsewhere. Whoever holds it there when all is read has it no more: the copy, of which
    /// recovery would have told later, is settled.
    pub fn is_copied(&self, address: Address, reference: u32) -> bool {
        let Some(newest) = self.newest.as_ref().filter(|_| !self.copied.is_empty()) else {
            return false;
        };
        let copied = self.copied.get(&newest.geometry.segment_of_address(address));
        copied.is_some_and(|copied| copied.get(reference))
    }

    /// Marks a recovered reference, of a record of `length` octets, as live. One that recovery did
    /// not tell of is left alone.
    ///
    /// # Panics
    /// If it [is copied](Recovery::is_copied).
    pub fn keep(&mut self, address: Address, length: u32, reference: u32) {
        assert!(!self.is_copied(address, reference), "{address:?} is kept though it was copied");
        let Some(newest) = &self.newest else { return };
        let number = newest.geometry.segment_of_address(address);
        let Some(segment) = self.segments.get_mut(number) else { return };
        let is_in_parts = || self.multiparts.record(address).is_some();
        if !segment.revive(reference, aligned_record(length as usize) as u64, is_in_parts) {
            return;
        }
        for part in self.multiparts.revive(address).unwrap_or_default() {
            if !self.part_holders.add(part.address()) {
                continue;
            }
            let number = newest.geometry.segment_of_address(part.address());
            if let Some(segment) = self.segments.get_mut(number) {
                segment.pin(part.record_bytes());
            }
        }
    }

    /// Live segments of which only the index was read; and all of them.
    pub fn segments(&self) -> (usize, usize) {
        (self.by_index, self.segments.len())
    }

    /// Octets cut off after the last whole block (unconfirmed), for the start-up message.
    pub fn torn_bytes(&self) -> u64 {
        self.end.map_or(0, |end| end.torn_bytes)
    }
}

impl Phase {
    fn next_read(&self, catalogue: &Catalogue) -> Option<RecoveryRead> {
        match self {
            Phase::Catalogue => catalogue.next_read(),
            Phase::Survey(survey) => survey.next_read(),
            Phase::Evidence(evidence, _) => evidence.next_read(),
            Phase::Liveness(reads, _) => reads.next_read(),
            Phase::Replay(replay) => replay.next_read(),
            Phase::Done => None,
        }
    }
}

fn tail(newest: &Newest, end: End) -> Tail {
    if end.is_usable {
        return Tail::Within { position: end.position, previous: end.previous };
    }
    Tail::Anew {
        segment: newest.header.segment.get(),
        previous_end: newest.header.previous_end.get(),
        file: Some(newest.file),
    }
}

/// A number for a new log that nobody guesses who has not seen it: what is written into a message
/// body must not pass for one of the log's own blocks.
fn identity(now: Now, shard: u16) -> u64 {
    let mut mixed = now.unix_ms.rotate_left(32) ^ now.monotonic_us ^ u64::from(shard) << 56;
    for _ in 0..2 {
        mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
    }
    mixed
}

/// What a record of an unknown kind that may not be passed over means.
fn unknown_record(file: FileId, header: &FileHeader, offset: u64) -> LogError {
    let version = header.records_version.get();
    if record::is_newer(version) {
        return LogError::NewerVersion { file: file.0, version, known: RECORDS_VERSION };
    }
    let what = "a record of a kind that its version does not have";
    LogError::Rot { file: file.0, offset, durable: offset, what }
}
