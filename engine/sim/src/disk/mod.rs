//! The simulated disk of one shard, and the fault model: what the engine must survive, what it
//! must find, and what nobody could survive.
//!
//! | zone | what happens to it | what is promised |
//! |---|---|---|
//! | writes that have not completed | a crash keeps any sectors of them, of 512 or of 4096 octets: none, all, the first ones, the last ones or any mixture, of each write by itself | the log recovers; nobody was promised these |
//! | writes that have completed | nothing | they are there |
//! | files being made | a crash leaves none, a part, or all of one | made again |
//! | files made | nothing | they are there |
//! | a failed operation (EIO, ENOSPC, a short write) | any sectors of it; from then on other writes of the file may complete and be lost, as a kernel does after a failed sync | nothing is confirmed after it; the next start recovers |
//! | sealed segments, or all after a clean stop: a flipped bit, a cleared sector or page, a page from elsewhere | anything, in one place | found, or harmless: never silently wrong ([`Disk::rot`]) |
//! | the newest segment after a crash, beyond its last durable mark | not damaged here | cannot be told from a torn end |
//! | the device itself ([`Lie`]) | says "synced" when it is not | nothing can be promised: the oracle must see it |
//!
//! Operations complete in any order. Every one counts, so that the N-th can be made to fail.

mod damage;
mod failure;

use std::collections::{BTreeMap, VecDeque};

use haremq_engine::log::{
    FileId, IoFailure, LogCompletion, LogEffect, Memory, RecoveryRead, SegmentFile,
};

use damage::Damage;
pub use damage::Scope;
pub use failure::{Failure, FailureKind, Lie};

use crate::random::Random;

/// Buffers full of rubbish, as used ones would be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vectors;

impl Memory for Vectors {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0xee; bytes]
    }
}

pub type Effect = LogEffect<Vec<u8>>;
pub type Completion = LogCompletion<Vec<u8>>;

const PAGE_BYTES: usize = 4096;

#[derive(Clone, Debug)]
struct File {
    octets: Vec<u8>,
    /// A power cut does not take it away.
    has_entry: bool,
}

/// What a write replaced that is not on stable storage, though it was said to be.
#[derive(Clone, Debug)]
struct Undo {
    file: u32,
    offset: usize,
    before: Vec<u8>,
}

#[derive(Debug, Default)]
pub struct Disk {
    files: BTreeMap<u32, File>,
    /// Deleted since the power came: nobody syncs that, so the next start may find them.
    deleted: BTreeMap<u32, File>,
    /// In the order in which they were asked for.
    under_way: Vec<Effect>,
    lie: Lie,
    failure: Option<Failure>,
    /// The failure that was asked for has come.
    has_struck: bool,
    /// An operation has failed since the power came.
    has_failed: bool,
    undo: VecDeque<Undo>,
    /// What is rotten just now.
    damage: Option<Damage>,
    operations: u64,
}

impl Disk {
    pub fn new(lie: Lie, failure: Option<Failure>) -> Self {
        Disk { lie, failure, ..Disk::default() }
    }

    pub fn submit(&mut self, effect: Effect) {
        self.under_way.push(effect);
    }

    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    pub fn writes_under_way(&self) -> usize {
        let is_write = |effect: &&Effect| matches!(effect, LogEffect::Write { .. });
        self.under_way.iter().filter(is_write).count()
    }

    /// The first write to a segment is under way: the one that has the file's header.
    pub fn begins_segment(&self) -> bool {
        let is_first = |effect: &Effect| matches!(effect, LogEffect::Write { offset: 0, .. });
        self.under_way.iter().any(is_first)
    }

    pub fn is_read(&self, which: usize) -> bool {
        matches!(self.under_way.get(which), Some(LogEffect::Read { .. }))
    }

    /// Operations so far, those of recovery included.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// True once an operation has been made to fail, but for want of space that the workload has taken.
    pub fn has_struck(&self) -> bool {
        self.has_struck
    }

    /// From now on every operation succeeds.
    pub fn heal(&mut self) {
        self.failure = None;
    }

    /// No file can be made just now.
    pub fn is_full(&self) -> bool {
        self.failure.is_some_and(|failure| failure.kind == FailureKind::Full)
    }

    pub fn set_failure(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// Completes one operation that is under way.
    ///
    /// # Panics
    /// If the engine asks for what no disk can do: a write to a file that is not there, or
    /// beyond its end, or not of whole pages.
    pub fn complete(&mut self, which: usize, random: &mut Random) -> Option<Completion> {
        if which >= self.under_way.len() {
            return None;
        }
        let effect = self.under_way.remove(which);
        self.operations += 1;
        if let Some(kind) = self.failure.and_then(|failure| failure.strikes(self.operations)) {
            if let Some(failed) = self.fail(&effect, kind, random) {
                return Some(failed);
            }
        }
        Some(match effect {
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                self.write(file, offset as usize, &buffer[..length]);
                LogCompletion::Written { ticket }
            }
            LogEffect::Create { ticket, file, bytes } => {
                let has_entry = self.lie != Lie::EntryNotSynced;
                self.files.insert(file.0, File { octets: vec![0; bytes as usize], has_entry });
                LogCompletion::Created { ticket }
            }
            LogEffect::Delete { ticket, file } => {
                if let Some(held) = self.files.remove(&file.0) {
                    self.deleted.insert(file.0, held);
                }
                LogCompletion::Deleted { ticket }
            }
            LogEffect::Read { ticket, file, offset, length } => {
                let buffer = self.octets(file, offset, length).to_vec();
                LogCompletion::Read { ticket, buffer }
            }
        })
    }

    fn write(&mut self, file: FileId, offset: usize, octets: &[u8]) {
        assert!(is_aligned(offset) && is_aligned(octets.len()), "writes are whole pages");
        let kept = self.lie.writes_kept_back().or(self.has_failed.then_some(usize::MAX));
        let held = self.files.get_mut(&file.0).expect("a file is made before it is written");
        let place = &mut held.octets[offset..offset + octets.len()];
        if let Some(kept) = kept {
            self.undo.push_back(Undo { file: file.0, offset, before: place.to_vec() });
            if self.undo.len() > kept {
                self.undo.pop_front();
            }
        }
        place.copy_from_slice(octets);
        if let Some(damage) = &mut self.damage {
            damage.note_written(file.0, offset, octets);
        }
    }

    /// The operation fails. What is left of it is anything.
    fn fail(
        &mut self,
        effect: &Effect,
        kind: FailureKind,
        random: &mut Random,
    ) -> Option<Completion> {
        let ticket = match effect {
            LogEffect::Write { ticket, .. }
            | LogEffect::Create { ticket, .. }
            | LogEffect::Delete { ticket, .. } => *ticket,
            LogEffect::Read { ticket, .. } if kind == FailureKind::Io => *ticket,
            // Neither a full disk nor a short write hinders a read.
            LogEffect::Read { .. } => return None,
        };
        let creates = matches!(effect, LogEffect::Create { .. });
        if kind == FailureKind::Full && !creates {
            return None;
        }
        let is_full = creates && matches!(kind, FailureKind::NoSpace | FailureKind::Full);
        let harmless = matches!(effect, LogEffect::Read { .. } | LogEffect::Delete { .. });
        self.has_failed |= !is_full && !harmless;
        // A disk that has run full is the workload's doing, not the failure that was planned.
        self.has_struck |= kind != FailureKind::Full;
        self.tear(effect, random);
        Some(LogCompletion::Failed { ticket, error: kind.error() })
    }

    /// The power goes: what has not completed is there or not, sector by sector.
    pub fn cut(&mut self, random: &mut Random) {
        let sector = if random.one_in(2) { 512 } else { PAGE_BYTES };
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            let Some(file) = self.files.get_mut(&undo.file) else { continue };
            let all = random.one_in(3);
            for from in (0..undo.before.len()).step_by(sector) {
                if all || random.one_in(2) {
                    let to = undo.offset + from;
                    file.octets[to..to + sector].copy_from_slice(&undo.before[from..from + sector]);
                }
            }
        }
        for effect in std::mem::take(&mut self.under_way) {
            self.tear_in(&effect, sector, random);
        }
        for (number, file) in std::mem::take(&mut self.deleted) {
            if random.one_in(2) {
                self.files.entry(number).or_insert(file);
            }
        }
        self.files.retain(|_, file| file.has_entry || random.one_in(2));
        self.files.values_mut().for_each(|file| file.has_entry = true);
        self.has_failed = false;
    }

    fn tear(&mut self, effect: &Effect, random: &mut Random) {
        let sector = if random.one_in(2) { 512 } else { PAGE_BYTES };
        self.tear_in(effect, sector, random);
    }

    fn tear_in(&mut self, effect: &Effect, sector: usize, random: &mut Random) {
        match effect {
            LogEffect::Write { file, offset, buffer, length, .. } => {
                let held = self.files.get_mut(&file.0).expect("made before it is written");
                let sectors = length / sector;
                let kind = random.below(5);
                let whole = random.below(sectors + 1);
                for index in 0..sectors {
                    let lands = match kind {
                        0 => false,
                        1 => true,
                        2 => index < whole,
                        3 => index >= whole,
                        _ => random.one_in(2),
                    };
                    if lands {
                        let from = index * sector;
                        let to = *offset as usize + from;
                        let octets = &buffer[from..from + sector];
                        held.octets[to..to + sector].copy_from_slice(octets);
                        if let Some(damage) = &mut self.damage {
                            damage.note_written(file.0, to, octets);
                        }
                    }
                }
            }
            LogEffect::Create { file, bytes, .. } => {
                let bytes = *bytes as usize;
                let octets = match random.below(3) {
                    0 => return,
                    1 => vec![0; random.below(bytes)],
                    _ => vec![0; bytes],
                };
                self.files.insert(file.0, File { octets, has_entry: true });
            }
            LogEffect::Delete { .. } | LogEffect::Read { .. } => {}
        }
    }

    fn octets(&self, file: FileId, offset: u64, length: usize) -> &[u8] {
        assert!(is_aligned(offset as usize) && is_aligned(length), "reads are whole pages");
        let held = self.files.get(&file.0).map_or(&[][..], |held| &held.octets);
        let from = (offset as usize).min(held.len());
        &held[from..(from + length).min(held.len())]
    }

    /// A read of recovery.
    pub fn read(&mut self, read: RecoveryRead) -> Result<&[u8], IoFailure> {
        self.operations += 1;
        match self.failure.and_then(|failure| failure.strikes(self.operations)) {
            Some(FailureKind::Io) => Err(FailureKind::Io.error()),
            _ => Ok(self.octets(read.file, read.offset, read.length)),
        }
    }

    pub fn listing(&self) -> Vec<SegmentFile> {
        let listed = |(file, held): (&u32, &File)| SegmentFile {
            file: FileId(*file),
            bytes: held.octets.len() as u64,
        };
        self.files.iter().map(listed).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.octets.len() as u64).sum()
    }
}

fn is_aligned(octets: usize) -> bool {
    octets.is_multiple_of(PAGE_BYTES)
}
