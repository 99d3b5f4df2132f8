//! Files as they will be when they are mended: what is on the disk, and pages over it.

use std::collections::BTreeMap;

use super::Patch;
use crate::log::format::PAGE_BYTES;
use crate::log::recovery::{RecoveryRead, SegmentFile};
use crate::log::FileId;

/// Reading the files as they are. What lies behind a file's end, or in a file that is not there,
/// is left out.
pub trait Octets {
    type Error;
    fn read(&mut self, read: RecoveryRead) -> Result<Vec<u8>, Self::Error>;
}

pub(super) struct Overlay<'d, D: Octets> {
    disk: &'d mut D,
    /// Octets in each file.
    files: BTreeMap<FileId, u64>,
    /// By file and offset.
    pages: BTreeMap<(FileId, u64), Vec<u8>>,
}

impl<'d, D: Octets> Overlay<'d, D> {
    pub(super) fn new(disk: &'d mut D, files: &[SegmentFile]) -> Self {
        let files = files.iter().map(|listed| (listed.file, listed.bytes)).collect();
        Overlay { disk, files, pages: BTreeMap::new() }
    }

    pub(super) fn listing(&self) -> Vec<SegmentFile> {
        self.files.iter().map(|(file, bytes)| SegmentFile { file: *file, bytes: *bytes }).collect()
    }

    pub(super) fn bytes(&self, file: FileId) -> u64 {
        self.files.get(&file).copied().unwrap_or(0)
    }

    /// The file has at least so many octets.
    pub(super) fn extend(&mut self, file: FileId, bytes: u64) {
        let known = self.files.entry(file).or_default();
        *known = (*known).max(bytes);
    }

    pub(super) fn read(&mut self, read: RecoveryRead) -> Result<Vec<u8>, D::Error> {
        let mut octets = self.disk.read(read)?;
        let left = self.bytes(read.file).saturating_sub(read.offset);
        octets.resize(left.min(read.length as u64) as usize, 0);
        let end = read.offset + read.length as u64;
        for ((_, offset), page) in
            self.pages.range((read.file, read.offset)..(read.file, end.max(read.offset)))
        {
            let at = (offset - read.offset) as usize;
            if let Some(place) = octets.get_mut(at..at + PAGE_BYTES) {
                place.copy_from_slice(page);
            }
        }
        Ok(octets)
    }

    /// Puts whole pages over what is there.
    pub(super) fn write(&mut self, file: FileId, offset: u64, octets: &[u8]) {
        debug_assert!(octets.len().is_multiple_of(PAGE_BYTES));
        self.extend(file, offset + octets.len() as u64);
        for (index, page) in octets.chunks_exact(PAGE_BYTES).enumerate() {
            let offset = offset + (index * PAGE_BYTES) as u64;
            self.pages.insert((file, offset), page.to_vec());
        }
    }

    /// Whether anything differs from the disk.
    pub(super) fn is_changed(&self) -> bool {
        !self.pages.is_empty()
    }

    /// What is to be written, neighbours together.
    pub(super) fn patches(self) -> Vec<Patch> {
        let mut patches: Vec<Patch> = Vec::new();
        for ((file, offset), page) in self.pages {
            match patches.last_mut() {
                Some(last) if last.file == file && last.end() == offset => {
                    last.octets.extend_from_slice(&page);
                }
                _ => patches.push(Patch { file, offset, octets: page }),
            }
        }
        patches
    }
}
