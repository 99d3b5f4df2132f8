//! A disk that loses, tears and reorders what has not been completed.

use std::collections::BTreeMap;

use super::random::Random;
use crate::log::{FileId, IoFailure, LogCompletion, LogEffect, Memory, RecoveryRead, SegmentFile};

/// Gives vectors full of rubbish, as a pool of used buffers would.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Vectors;

impl Memory for Vectors {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0xee; bytes]
    }
}

pub(super) type Effect = LogEffect<Vec<u8>>;
pub(super) type Completion = LogCompletion<Vec<u8>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    pub files: BTreeMap<u32, Vec<u8>>,
}

/// What a crash may leave of a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tear {
    /// Octets that are written wholly or not at all.
    pub sector: usize,
}

impl Disk {
    /// Does what the effect says, in full.
    pub(super) fn carry_out(&mut self, effect: &Effect) -> Completion {
        match effect {
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                self.write(*file, *offset, &buffer[..*length]);
                LogCompletion::Written { ticket: *ticket }
            }
            LogEffect::Create { ticket, file, bytes } => {
                self.files.insert(file.0, vec![0; *bytes as usize]);
                LogCompletion::Created { ticket: *ticket }
            }
            LogEffect::Delete { ticket, file } => {
                self.files.remove(&file.0);
                LogCompletion::Deleted { ticket: *ticket }
            }
            LogEffect::Read { ticket, file, offset, length } => {
                let buffer = self.read(*file, *offset, *length).to_vec();
                LogCompletion::Read { ticket: *ticket, buffer }
            }
        }
    }

    fn write(&mut self, file: FileId, offset: u64, octets: &[u8]) {
        let held = self.files.get_mut(&file.0).expect("a file is created before it is written");
        let offset = offset as usize;
        assert!(is_aligned(offset) && is_aligned(octets.len()), "writes are whole pages");
        held[offset..offset + octets.len()].copy_from_slice(octets);
    }

    pub(super) fn read(&self, file: FileId, offset: u64, length: usize) -> &[u8] {
        // What is read of a file that has been deleted meanwhile is wanted by nobody.
        let held = self.files.get(&file.0).map_or(&[][..], Vec::as_slice);
        assert!(is_aligned(offset as usize) && is_aligned(length), "reads are whole pages");
        let offset = (offset as usize).min(held.len());
        &held[offset..(offset + length).min(held.len())]
    }

    pub(super) fn read_for(&self, read: RecoveryRead) -> &[u8] {
        self.read(read.file, read.offset, read.length)
    }

    /// What is left of an effect that was under way when the power went.
    pub(super) fn tear(&mut self, effect: &Effect, tear: Tear, random: &mut Random) {
        match effect {
            LogEffect::Write { file, offset, buffer, length, .. } => {
                let held = self.files.get_mut(&file.0).expect("created before");
                // Nothing, all, a beginning, or any mixture.
                let kind = random.below(4);
                let whole = random.below(length / tear.sector + 1);
                for index in 0..length / tear.sector {
                    let lands = match kind {
                        0 => false,
                        1 => true,
                        2 => index < whole,
                        _ => random.one_in(2),
                    };
                    if lands {
                        let from = index * tear.sector;
                        let to = *offset as usize + from;
                        held[to..to + tear.sector]
                            .copy_from_slice(&buffer[from..from + tear.sector]);
                    }
                }
            }
            LogEffect::Create { file, bytes, .. } => match random.below(3) {
                0 => {}
                1 => {
                    self.files.insert(file.0, vec![0; random.below(*bytes as usize)]);
                }
                _ => {
                    self.files.insert(file.0, vec![0; *bytes as usize]);
                }
            },
            LogEffect::Delete { file, .. } => {
                if random.one_in(2) {
                    self.files.remove(&file.0);
                }
            }
            LogEffect::Read { .. } => {}
        }
    }

    pub(super) fn listing(&self) -> Vec<SegmentFile> {
        let listed = |(file, held): (&u32, &Vec<u8>)| SegmentFile {
            file: FileId(*file),
            bytes: held.len() as u64,
        };
        self.files.iter().map(listed).collect()
    }
}

fn is_aligned(octets: usize) -> bool {
    octets.is_multiple_of(4096)
}

pub(super) fn ticket(effect: &Effect) -> u64 {
    match effect {
        LogEffect::Write { ticket, .. }
        | LogEffect::Create { ticket, .. }
        | LogEffect::Delete { ticket, .. }
        | LogEffect::Read { ticket, .. } => *ticket,
    }
}

pub(super) fn failure(code: i32) -> IoFailure {
    IoFailure { code: Some(code), text: "simulated".into() }
}
