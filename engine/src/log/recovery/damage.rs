//! What damage is: where it lies, what was there, and where the log goes on behind it.

use super::walk::{Walk, CHUNK_BYTES};
use super::RecoveryRead;
use crate::ids::{QueueId, Seq};
use crate::log::block::{Block, Defect};
use crate::log::format::PAGE_BYTES;
use crate::log::geometry::Geometry;
use crate::log::{Address, FileId};

/// A stretch of a live segment's file that does not hold what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: FileId,
    pub segment: u32,
    /// Offset in the file.
    pub offset: u64,
    pub octets: u64,
    pub what: &'static str,
    /// References of messages that were numbered in it, dead ones included; `None` if nothing
    /// tells.
    pub references: Option<u32>,
    /// The segment's index tells which messages were in it, without doubt.
    pub is_indexed: bool,
    /// Otherwise: references that the damaged octets themselves name.
    pub named: u32,
}

/// A message that lay in a damaged place, and was not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostMessage {
    pub queue: QueueId,
    pub seq: Seq,
    pub address: Address,
    /// An undamaged record tells of it. False: only the damaged octets themselves do.
    pub is_certain: bool,
}

/// A message in parts of which damage took the first one, so that nothing tells its queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headless {
    pub segment: u32,
    pub address: Address,
    pub body_bytes: u64,
    pub references: u32,
}

/// Octets of a hole that are kept to be read once more.
const KEPT_BYTES: usize = 4 << 20;

/// A place without good blocks, between two good ones or before the end of a segment.
#[derive(Clone, Debug)]
pub(super) struct Hole {
    pub file: FileId,
    /// Positions.
    pub from: u64,
    pub to: u64,
    pub what: &'static str,
    /// Epoch and checksum of the good block before it, or of the file header.
    pub epoch: u32,
    pub previous: u32,
    /// What the good block behind it says its predecessor's checksum is.
    pub wanted: Option<u32>,
    /// References numbered before it, and in it as far as anything tells.
    pub first_reference: u32,
    pub references: Option<u32>,
    pub is_indexed: bool,
    pub named: u32,
    /// Definitions in it that the index tells of: number of the reference, and what they are.
    pub definitions: Vec<Rescued>,
}

/// A definition whose record is damaged and which an index knows.
#[derive(Clone, Debug)]
pub(super) struct Rescued {
    pub reference: u32,
    pub seq: Seq,
    pub payload: Vec<u8>,
}

impl Hole {
    pub(super) fn damage(&self, geometry: Geometry) -> Damage {
        Damage {
            file: self.file,
            segment: geometry.segment_of(self.from),
            offset: geometry.offset(self.from),
            octets: self.to - self.from,
            what: self.what,
            references: self.references,
            is_indexed: self.is_indexed,
            named: self.named,
        }
    }

    pub(super) fn holds(&self, address: Address) -> bool {
        (self.from..self.to).contains(&address.block().0)
    }
}

/// Looking for the next good block of a segment.
#[derive(Debug)]
pub(super) struct Search {
    /// At the damage; or behind it, when the search is over.
    pub walk: Walk,
    /// Position where the damage begins.
    pub from: u64,
    pub what: &'static str,
    /// Epoch and checksum of the good block before it, or of the file header.
    pub epoch: u32,
    pub previous: u32,
    at: u64,
    /// What the damaged place holds, as far as it is kept.
    pub octets: Vec<u8>,
}

/// What a search has come to.
#[derive(Debug)]
pub(super) enum Outcome {
    GoesOn,
    /// Good blocks follow at that position, and this is what the first one says.
    Found(Next),
    /// Nothing good follows.
    End,
}

/// What the first good block behind damage says of what was before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub position: u64,
    pub previous: u32,
    /// References numbered before it.
    pub references: u32,
}

impl Search {
    pub(super) fn new(walk: Walk, what: &'static str) -> Self {
        let (from, epoch, previous) = (walk.position(), walk.epoch(), walk.previous());
        Search { walk, from, what, epoch, previous, at: from, octets: Vec::new() }
    }

    pub(super) fn next_read(&self, geometry: Geometry) -> Option<RecoveryRead> {
        let left = self.walk.end().checked_sub(self.at).filter(|left| *left > 0)?;
        Some(RecoveryRead {
            file: self.walk.file,
            offset: geometry.offset(self.at),
            length: left.min(CHUNK_BYTES as u64) as usize,
        })
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Outcome {
        let mut rest = octets;
        while let Some((page, later)) = rest.split_at_checked(PAGE_BYTES) {
            match Block::open(rest, self.at, Some(self.walk.log())) {
                // A block that is whole where the damage begins is what the damage is.
                _ if self.at == self.from => {}
                Ok(block) if block.header.epoch.get() >= self.walk.epoch() => {
                    let (previous, references) =
                        (block.header.previous, block.header.first_reference);
                    self.walk.resume(self.at, &block);
                    return Outcome::Found(Next {
                        position: self.at,
                        previous: previous.get(),
                        references: references.get(),
                    });
                }
                // The next read begins with it.
                Err(Defect::Cut(_)) if rest.len() < octets.len() => return Outcome::GoesOn,
                _ => {}
            }
            if self.octets.len() < KEPT_BYTES {
                self.octets.extend_from_slice(page);
            }
            self.at += PAGE_BYTES as u64;
            rest = later;
        }
        if rest.len() == octets.len() || self.at >= self.walk.end() {
            self.walk.give_up();
            return Outcome::End;
        }
        Outcome::GoesOn
    }
}
