//! Everything that was done to a disk, in order, and what a power cut may leave of it.
//!
//! A disk keeps what it was told to write before the last flush it completed. Of what came later it may have kept any
//! part, sector by sector: that covers writes that are lost, torn, and carried out in another order.

use super::blocks::{Blocks, SECTOR_BYTES};
use crate::random::Random;
use std::ops::Range;

/// Where ext4 and xfs, and btrfs, keep what they are mounted by. They write it in place, in several sectors under one
/// checksum, and cannot be mounted with a half of it: that loss is the file system's own, so these are kept whole or not.
const SUPERBLOCKS: [Range<u64>; 2] = [0..4096, 65_536..69_632];

/// Octets of a write at `offset` that a torn one keeps whole or not at all.
fn atom_octets(offset: u64) -> usize {
    match SUPERBLOCKS.iter().find(|block| block.contains(&offset)) {
        Some(block) => (block.end - offset) as usize,
        None => SECTOR_BYTES,
    }
}

/// One request to the disk.
#[derive(Debug, Clone)]
enum Request {
    Write {
        offset: u64,
        octets: Box<[u8]>,
    },
    /// As `Write`; new segments are filled with zeros, which need not be kept in memory.
    Zeros {
        offset: u64,
        length: usize,
    },
    Flush,
}

/// What is left of the writes behind the last flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tear {
    /// Everything.
    Nothing,
    /// Nothing at all.
    Everything,
    /// Whole writes, each or not.
    Writes,
    /// Single sectors, each or not; the superblock of a file system counts as one.
    Sectors,
}

impl Tear {
    /// All of them.
    pub const ALL: [Tear; 4] = [Tear::Nothing, Tear::Everything, Tear::Writes, Tear::Sectors];
}

/// The requests to one disk since the recording began.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The disk when the recording began.
    before: Blocks,
    requests: Vec<Request>,
}

impl Recording {
    /// Nothing is recorded yet.
    pub fn new(before: Blocks) -> Recording {
        Recording { before, requests: Vec::new() }
    }

    /// How many requests are recorded. What happens now happens after so many of them.
    pub fn length(&self) -> usize {
        self.requests.len()
    }

    /// How many of them are flushes.
    pub fn flushes(&self) -> usize {
        self.requests.iter().filter(|request| matches!(request, Request::Flush)).count()
    }

    /// A write was carried out.
    pub fn write(&mut self, offset: u64, octets: &[u8]) {
        let zeros = [0; SECTOR_BYTES];
        let request = if octets.chunks(SECTOR_BYTES).all(|sector| *sector == zeros[..sector.len()])
        {
            Request::Zeros { offset, length: octets.len() }
        } else {
            Request::Write { offset, octets: octets.into() }
        };
        self.requests.push(request);
    }

    /// A flush was carried out.
    pub fn flush(&mut self) {
        self.requests.push(Request::Flush);
    }

    /// What the first `cut` requests leave if the power goes then.
    pub fn image(&self, cut: usize, tear: Tear, random: &mut Random) -> Blocks {
        let flushed = self.flushed(cut);
        let mut disk = self.before.clone();
        for (number, request) in self.requests[..cut].iter().enumerate() {
            let (offset, octets) = match request {
                Request::Write { offset, octets } => (*offset, octets.clone()),
                Request::Zeros { offset, length } => (*offset, vec![0; *length].into()),
                Request::Flush => continue,
            };
            let tear = if number < flushed { Tear::Nothing } else { tear };
            match tear {
                Tear::Nothing => {
                    disk.write(offset, &octets);
                }
                Tear::Everything => {}
                Tear::Writes if random.half() => {
                    disk.write(offset, &octets);
                }
                Tear::Writes => {}
                Tear::Sectors => {
                    let (mut offset, mut rest) = (offset, &octets[..]);
                    while !rest.is_empty() {
                        let (atom, behind) = rest.split_at(atom_octets(offset).min(rest.len()));
                        if random.half() {
                            disk.write(offset, atom);
                        }
                        (offset, rest) = (offset + atom.len() as u64, behind);
                    }
                }
            }
        }
        disk
    }

    /// How many of the first `cut` requests stand before their last flush.
    pub fn flushed(&self, cut: usize) -> usize {
        let is_flush = |request: &Request| matches!(request, Request::Flush);
        self.requests[..cut].iter().rposition(is_flush).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Behind the superblock.
    const BASE: u64 = 8192;

    fn recording() -> Recording {
        let mut recording = Recording::new(Blocks::new(65_536));
        recording.write(BASE, &[1; 1024]);
        recording.flush();
        recording.write(BASE, &[2; 1024]);
        recording.write(BASE + 1024, &[0; 512]);
        recording
    }

    #[test]
    fn what_was_flushed_is_kept_whatever_is_torn() {
        let recording = recording();
        for tear in Tear::ALL {
            let image = recording.image(2, tear, &mut Random::new(1));
            assert_eq!(image.read(BASE, 1024), [1; 1024], "{tear:?}");
        }
        assert_eq!((recording.flushed(4), recording.flushes(), recording.length()), (1, 1, 4));
    }

    #[test]
    fn what_was_not_flushed_is_kept_whole_or_in_part_or_not() {
        let recording = recording();
        let image = |tear, seed| recording.image(4, tear, &mut Random::new(seed)).read(BASE, 1024);
        assert_eq!(image(Tear::Nothing, 1), [2; 1024]);
        assert_eq!(image(Tear::Everything, 1), [1; 1024]);
        let outcomes = |tear| {
            let mut seen: Vec<(u8, u8)> = (1..100)
                .map(|seed| image(tear, seed))
                .map(|octets| (octets[0], octets[1023]))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        assert_eq!(outcomes(Tear::Writes), [(1, 1), (2, 2)]);
        assert_eq!(outcomes(Tear::Sectors), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    }

    #[test]
    fn a_superblock_is_kept_whole_or_not_at_all() {
        let mut recording = Recording::new(Blocks::new(131_072));
        recording.write(1024, &[1; 4096]);
        recording.write(65_536, &[1; 4096]);
        for seed in 1..100 {
            let image = recording.image(2, Tear::Sectors, &mut Random::new(seed));
            for (offset, length) in [(1024, 3072), (65_536, 4096)] {
                let octets = image.read(offset, length);
                assert!(octets.iter().all(|octet| *octet == octets[0]), "{seed}: torn at {offset}");
            }
        }
    }
}
