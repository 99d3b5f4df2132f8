//! A disk made of vectors. What has not been completed when the power goes may be there or not.

use std::collections::BTreeMap;
use std::convert::Infallible;

use haremq_engine::log::{
    FileId, IoFailure, LogCompletion, LogEffect, Memory, Mended, Octets, RecoveryRead, SegmentFile,
};

use crate::random::Random;

/// Buffers full of rubbish, as used ones would be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vectors;

impl Memory for Vectors {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0xee; bytes]
    }
}

/// Octets that land whole or not at all.
const SECTOR_BYTES: usize = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    files: BTreeMap<u32, Vec<u8>>,
    /// Octets of files that there is room for.
    pub(crate) capacity: Option<usize>,
    /// Octets that have been read back since the log was opened first.
    pub(crate) octets_read: usize,
}

impl Disk {
    pub(crate) fn carry_out(&mut self, effect: &LogEffect<Vec<u8>>) -> LogCompletion<Vec<u8>> {
        match effect {
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                let to = *offset as usize;
                self.file(*file)[to..to + length].copy_from_slice(&buffer[..*length]);
                LogCompletion::Written { ticket: *ticket }
            }
            LogEffect::Create { ticket, bytes, .. } if !self.has_room_for(*bytes) => {
                let error = IoFailure { code: Some(28), text: "the disk is full".into() };
                LogCompletion::Failed { ticket: *ticket, error }
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
                self.octets_read += length;
                let read = RecoveryRead { file: *file, offset: *offset, length: *length };
                LogCompletion::Read { ticket: *ticket, buffer: self.read(read).to_vec() }
            }
        }
    }

    /// The power goes while the effect is under way.
    pub(crate) fn cut_short(&mut self, effect: &LogEffect<Vec<u8>>, random: &mut Random) {
        match effect {
            LogEffect::Write { file, offset, buffer, length, .. } => {
                let sectors = length / SECTOR_BYTES;
                let landed = random.below(sectors + 1);
                let in_order = random.one_in(2);
                for sector in 0..sectors {
                    if (in_order && sector < landed) || (!in_order && random.one_in(2)) {
                        let from = sector * SECTOR_BYTES;
                        let to = *offset as usize + from;
                        self.file(*file)[to..to + SECTOR_BYTES]
                            .copy_from_slice(&buffer[from..from + SECTOR_BYTES]);
                    }
                }
            }
            LogEffect::Create { file, bytes, .. } => {
                if random.one_in(2) {
                    self.files.insert(file.0, vec![0; *bytes as usize]);
                }
            }
            LogEffect::Delete { file, .. } => {
                if random.one_in(2) {
                    self.files.remove(&file.0);
                }
            }
            LogEffect::Read { .. } => {}
        }
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.capacity.is_none_or(|capacity| self.bytes() + bytes as usize <= capacity)
    }

    fn file(&mut self, file: FileId) -> &mut Vec<u8> {
        self.files.get_mut(&file.0).expect("a file is created before it is written")
    }

    pub(crate) fn read(&self, read: RecoveryRead) -> &[u8] {
        // What is read of a file that has been deleted meanwhile is wanted by nobody.
        let file = self.files.get(&read.file.0).map_or(&[][..], Vec::as_slice);
        let from = (read.offset as usize).min(file.len());
        &file[from..(from + read.length).min(file.len())]
    }

    pub(crate) fn listing(&self) -> Vec<SegmentFile> {
        let files = self.files.iter();
        files
            .map(|(id, held)| SegmentFile { file: FileId(*id), bytes: held.len() as u64 })
            .collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// True if these octets are in some file.
    pub(crate) fn holds(&self, needle: &[u8]) -> usize {
        let found = |file: &Vec<u8>| file.windows(needle.len()).filter(|w| *w == needle).count();
        self.files.values().map(found).sum()
    }

    /// An octet in the middle of these octets rots, wherever they are.
    pub(crate) fn rot(&mut self, needle: &[u8]) {
        for file in self.files.values_mut() {
            let found = file.windows(needle.len()).position(|octets| octets == needle);
            if let Some(at) = found {
                file[at + needle.len() / 2] ^= 0x10;
            }
        }
    }

    /// Writes what mends the log, as a broker would.
    pub(crate) fn patch(&mut self, mended: &Mended) {
        for patch in &mended.patches {
            let place = patch.offset as usize..patch.end() as usize;
            self.file(patch.file)[place].copy_from_slice(&patch.octets);
        }
    }
}

impl Octets for &Disk {
    type Error = Infallible;
    fn read(&mut self, read: RecoveryRead) -> Result<Vec<u8>, Infallible> {
        Ok(Disk::read(self, read).to_vec())
    }
}
