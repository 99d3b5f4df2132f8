//! What a reading cannot go on behind, though it passes damage by: it must be mended first.

use super::damage::Search;
use super::survey::Account;
use super::Phase;
use crate::log::format::FileHeader;
use crate::log::record::RosterEntry;
use crate::log::{FileId, LogError};

#[derive(Debug)]
pub(super) enum Obstacle {
    /// A file's header is damaged. `entry`: what a roster says of it.
    Header { file: FileId, entry: Option<RosterEntry> },
    /// A segment that a roster names is not in its file.
    Absent { entry: RosterEntry },
    /// A bad block in the segment that tells which ones live.
    Hole(Box<HoleAhead>),
}

#[derive(Debug)]
pub(super) struct HoleAhead {
    pub file: FileId,
    pub header: FileHeader,
    pub search: Search,
    /// What the segment has said before it.
    pub account: Account,
}

impl Phase {
    /// What is behind the error that the phase has ended with, if it can be mended.
    pub(super) fn obstacle(&mut self, error: &LogError) -> Option<Obstacle> {
        match (self, error) {
            (Phase::Survey(survey), LogError::Rot { what, .. }) => {
                let ahead = HoleAhead {
                    file: survey.file(),
                    header: *survey.header(),
                    search: survey.search(what),
                    account: std::mem::take(&mut survey.account),
                };
                Some(Obstacle::Hole(Box::new(ahead)))
            }
            (Phase::Evidence(..), LogError::Rot { file, .. }) => {
                Some(Obstacle::Header { file: FileId(*file), entry: None })
            }
            _ => None,
        }
    }
}
