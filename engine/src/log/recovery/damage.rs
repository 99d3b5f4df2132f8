//! Going on behind damage, so that all of it is found and what it has taken can be named.
//!
//! Only for looking: a log is never opened on what was found like this.

use super::walk::{Walk, CHUNK_BYTES};
use super::RecoveryRead;
use crate::ids::{QueueId, Seq};
use crate::log::block::{Block, Defect};
use crate::log::format::PAGE_BYTES;
use crate::log::geometry::Geometry;
use crate::log::{Address, FileId};

/// A stretch of a sealed segment that holds no good blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    pub file: FileId,
    pub segment: u32,
    /// Offset in the file.
    pub offset: u64,
    pub octets: u64,
    pub what: &'static str,
    /// References that were numbered in it; `None` if no good block follows to tell.
    pub references: Option<u32>,
    /// Whether the segment's index tells which messages were in it.
    pub is_indexed: bool,
}

/// A message that lay in a damaged place, as the segment's index tells, and was not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostMessage {
    pub queue: QueueId,
    pub seq: Seq,
    pub address: Address,
}

/// Looking for the next good block of a segment.
#[derive(Debug)]
pub(super) struct Search {
    pub walk: Walk,
    /// Where the damage begins.
    pub from: u64,
    pub what: &'static str,
    at: u64,
}

/// What a search has come to.
#[derive(Debug)]
pub(super) enum Outcome {
    GoesOn,
    /// Good blocks follow at that position; so many references had been numbered before.
    Found(u64, u32),
    /// Nothing good follows.
    End,
}

impl Search {
    pub(super) fn new(walk: Walk, what: &'static str) -> Self {
        let from = walk.position();
        Search { walk, from, what, at: from + PAGE_BYTES as u64 }
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
        while rest.len() >= PAGE_BYTES {
            match Block::open(rest, self.at, Some(self.walk.log())) {
                Ok(block) if block.header.epoch.get() >= self.walk.epoch() => {
                    let reference = block.header.first_reference.get();
                    self.walk.resume(self.at, &block);
                    return Outcome::Found(self.at, reference);
                }
                // The next read begins with it.
                Err(Defect::Cut(_)) if rest.len() < octets.len() => return Outcome::GoesOn,
                _ => {}
            }
            self.at += PAGE_BYTES as u64;
            rest = &rest[PAGE_BYTES..];
        }
        if rest.len() == octets.len() || self.at >= self.walk.end() {
            self.walk.give_up();
            return Outcome::End;
        }
        Outcome::GoesOn
    }
}
