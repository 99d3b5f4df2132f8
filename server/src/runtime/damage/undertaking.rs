//! All that mends the logs of a data directory, as a file that says so to a later start.
//!
//! Little-endian: [`MAGIC`]; 1 if definitions are lost that nothing tells of, else 0; the number of
//! pieces (u32); each piece: shard (u16), file (u32), octets of a segment file (u64), offset (u64),
//! length in sectors (u32), for each sector the CRC-32 of what is to be written over, and then the
//! octets to be written; at the end the CRC-32 of all that.

use haremq_engine::log::FileId;

const MAGIC: &[u8; 16] = b"HareMQ mending 1";
/// What a disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// Octets that are to be in a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) shard: u16,
    pub(super) file: FileId,
    /// The file has at least so many octets when it is mended.
    pub(super) segment_bytes: u64,
    pub(super) offset: u64,
    /// CRC-32 of each sector of what was there when it was looked at.
    pub(super) before: Vec<u32>,
    /// Whole sectors.
    pub(super) octets: Vec<u8>,
}

/// What a quarantine has decided to write over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undertaking {
    /// Definitions may have been lost that nothing tells of.
    pub(super) lacks_definitions: bool,
    /// In the order in which they are written: by shard and file.
    pub(super) pieces: Vec<Piece>,
}

/// CRC-32 of each sector.
pub(super) fn sums(octets: &[u8]) -> Vec<u32> {
    octets.chunks(SECTOR_BYTES).map(crc32fast::hash).collect()
}

impl Undertaking {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(u8::from(self.lacks_definitions));
        out.extend((self.pieces.len() as u32).to_le_bytes());
        for piece in &self.pieces {
            assert!(piece.octets.len() == piece.before.len() * SECTOR_BYTES, "{piece:?}");
            out.extend(piece.shard.to_le_bytes());
            out.extend(piece.file.0.to_le_bytes());
            out.extend(piece.segment_bytes.to_le_bytes());
            out.extend(piece.offset.to_le_bytes());
            out.extend((piece.before.len() as u32).to_le_bytes());
            piece.before.iter().for_each(|sum| out.extend(sum.to_le_bytes()));
            out.extend(&piece.octets);
        }
        let sum = crc32fast::hash(&out);
        out.extend(sum.to_le_bytes());
        out
    }

    /// `None`: it is not what was written.
    pub(super) fn decode(octets: &[u8]) -> Option<Undertaking> {
        let (told, sum) = octets.split_last_chunk::<4>()?;
        if crc32fast::hash(told) != u32::from_le_bytes(*sum) {
            return None;
        }
        let mut rest = Rest(told);
        if rest.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let lacks_definitions = rest.array::<1>()? == [1];
        let count = u32::from_le_bytes(rest.array()?);
        let pieces = (0..count).map(|_| piece(&mut rest)).collect::<Option<_>>()?;
        rest.0.is_empty().then_some(Undertaking { lacks_definitions, pieces })
    }
}

fn piece(rest: &mut Rest<'_>) -> Option<Piece> {
    let shard = u16::from_le_bytes(rest.array()?);
    let file = FileId(u32::from_le_bytes(rest.array()?));
    let segment_bytes = u64::from_le_bytes(rest.array()?);
    let offset = u64::from_le_bytes(rest.array()?);
    let sectors = u32::from_le_bytes(rest.array()?) as usize;
    let sums = rest.take(sectors.checked_mul(4)?)?.chunks_exact(4);
    let before = sums.filter_map(|sum| Some(u32::from_le_bytes(sum.try_into().ok()?))).collect();
    let octets = rest.take(sectors.checked_mul(SECTOR_BYTES)?)?.to_vec();
    Some(Piece { shard, file, segment_bytes, offset, before, octets })
}

struct Rest<'o>(&'o [u8]);

impl<'o> Rest<'o> {
    fn take(&mut self, count: usize) -> Option<&'o [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undertaking_is_read_back_as_it_was_and_never_otherwise() {
        let piece = |file, sectors: usize| Piece {
            shard: 3,
            file: FileId(file),
            segment_bytes: 1 << 20,
            offset: 4096,
            before: (0..sectors as u32).collect(),
            octets: vec![file as u8; sectors * SECTOR_BYTES],
        };
        let told = Undertaking { lacks_definitions: true, pieces: vec![piece(1, 2), piece(9, 1)] };
        let octets = told.encode();
        assert_eq!(Undertaking::decode(&octets), Some(told));
        for at in 0..octets.len() {
            let mut flipped = octets.clone();
            flipped[at] ^= 0x10;
            assert_eq!(Undertaking::decode(&flipped), None, "octet {at}");
            assert_eq!(Undertaking::decode(&octets[..at]), None, "cut off at {at}");
        }
    }
}
