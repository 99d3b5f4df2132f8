//! The contents of a disk in memory. Chunks that were never written take no memory, and a copy shares all chunks
//! with the original until one of them is written to.

use std::sync::Arc;

/// What the device promises to write whole.
pub const SECTOR_BYTES: usize = 512;

const CHUNK_BYTES: usize = 64 * 1024;

/// A disk's contents.
#[derive(Debug, Clone)]
pub struct Blocks {
    chunks: Vec<Option<Arc<[u8]>>>,
}

impl Blocks {
    /// A disk of zeros; `octets` is rounded up to whole chunks.
    pub fn new(octets: u64) -> Blocks {
        let octets = usize::try_from(octets).expect("disks of tests fit into memory");
        Blocks { chunks: vec![None; octets.div_ceil(CHUNK_BYTES)] }
    }

    /// Its size.
    pub fn octets(&self) -> u64 {
        (self.chunks.len() * CHUNK_BYTES) as u64
    }

    /// Up to `length` octets from `offset`; fewer at the end of the disk.
    pub fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut octets = Vec::with_capacity(length);
        for (chunk, from, part) in self.parts(offset, length) {
            match &self.chunks[chunk] {
                Some(chunk) => octets.extend_from_slice(&chunk[from..from + part]),
                None => octets.resize(octets.len() + part, 0),
            }
        }
        octets
    }

    /// Writes; gives how many octets there was room for.
    pub fn write(&mut self, offset: u64, octets: &[u8]) -> usize {
        let zeros = [0; CHUNK_BYTES];
        let mut written = 0;
        for (chunk, from, part) in self.parts(offset, octets.len()) {
            let new = &octets[written..written + part];
            let chunk = &mut self.chunks[chunk];
            written += part;
            if chunk.is_none() && *new == zeros[..part] {
                continue;
            }
            let chunk = chunk.get_or_insert_with(|| vec![0; CHUNK_BYTES].into());
            Arc::make_mut(chunk)[from..from + part].copy_from_slice(new);
        }
        written
    }

    /// Chunk, offset in it and length of each part of a range.
    fn parts(&self, offset: u64, length: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let end = (offset + length as u64).min(self.octets());
        let mut at = usize::try_from(offset.min(end)).expect("disks of tests fit into memory");
        let end = usize::try_from(end).expect("disks of tests fit into memory");
        std::iter::from_fn(move || {
            let (chunk, from) = (at / CHUNK_BYTES, at % CHUNK_BYTES);
            let part = (CHUNK_BYTES - from).min(end - at);
            at += part;
            (part > 0).then_some((chunk, from, part))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_copy_goes_its_own_way() {
        let mut disk = Blocks::new(200_000);
        let octets: Vec<u8> = (0..150_000u32).map(|number| number.to_le_bytes()[0] | 1).collect();
        assert_eq!(disk.write(1000, &octets), octets.len());
        let copy = disk.clone();
        assert_eq!(disk.write(2000, &[0; 10]), 10);
        assert_eq!(copy.read(1000, 150_000), octets);
        assert_eq!(disk.read(1999, 12), [octets[999], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, octets[1010]]);
        assert_eq!(disk.read(0, 2), [0, 0]);
    }

    #[test]
    fn nothing_is_written_behind_the_end() {
        let mut disk = Blocks::new(CHUNK_BYTES as u64);
        assert_eq!(disk.write(disk.octets() - 3, b"12345"), 3);
        assert_eq!(disk.read(disk.octets() - 3, 10), b"123");
        assert_eq!(disk.write(disk.octets() + 5, b"1"), 0);
    }
}
