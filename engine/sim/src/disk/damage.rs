//! Rot: octets that were on stable storage and are not what they were.

use super::{Disk, PAGE_BYTES};
use crate::random::Random;

/// Where the segment number lies in a file's header (docs/log-format.md, "File").
const SEGMENT_OFFSET: usize = 40;

/// Where a block's position lies in its header, and behind it how far the log was durable when it was made
/// (docs/log-format.md, "Block").
const POSITION_OFFSET: usize = 16;
const DURABLE_OFFSET: usize = 24;

/// What of a file's first page is looked at.
const HEADER_BYTES: usize = 64;

const CLEARED_PAGE: &str = "a cleared page";

/// Which files may be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// After a clean stop: any.
    All,
    /// After a crash: not the newest segment's, whose end nobody can judge.
    Sealed,
}

/// One damaged place, and what would be there without.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    file: u32,
    offset: usize,
    before: Vec<u8>,
}

impl Damage {
    /// Something is written to a file. Where it covers the damage, that is over, and a backup must
    /// not bring back what was there before.
    pub(super) fn note_written(&mut self, file: u32, offset: usize, octets: &[u8]) {
        let from = self.offset.max(offset);
        let to = (self.offset + self.before.len()).min(offset + octets.len());
        if file == self.file && from < to {
            self.before[from - self.offset..to - self.offset]
                .copy_from_slice(&octets[from - offset..to - offset]);
        }
    }
}

/// Without its header, nothing says of that file of a segment that it had been begun for good: no block of it is later than
/// one that was durable. A power cut may leave the same behind.
fn looks_unbegun(octets: &[u8], segment: u32) -> bool {
    let start = u64::from(segment) * octets.len() as u64;
    let field = |page: usize, offset: usize| {
        octets[page + offset..].first_chunk().map_or(0, |field| u64::from_le_bytes(*field))
    };
    let mut pages = (0..octets.len()).step_by(PAGE_BYTES);
    let is_later = |page: &usize| {
        let position = field(*page, POSITION_OFFSET);
        position == start + *page as u64 && field(*page, DURABLE_OFFSET) > start
    };
    octets[..PAGE_BYTES].iter().all(|octet| *octet == 0) && pages.find(is_later).is_none()
}

impl Disk {
    /// Damages one place, and says which. `None`: there is no file that may be damaged.
    pub fn rot(&mut self, scope: Scope, random: &mut Random) -> Option<String> {
        let number = |octets: &[u8]| {
            let field = octets.get(SEGMENT_OFFSET..)?.first_chunk::<4>()?;
            octets[..8].iter().any(|octet| *octet != 0).then(|| u32::from_le_bytes(*field))
        };
        let newest = self.files.values().filter_map(|file| number(&file.octets)).max();
        let is_in_scope = |octets: &[u8]| match scope {
            Scope::All => number(octets).is_some(),
            Scope::Sealed => number(octets).is_some_and(|number| Some(number) != newest),
        };
        let files: Vec<u32> = self
            .files
            .iter()
            .filter(|(_, file)| is_in_scope(&file.octets))
            .map(|(file, _)| *file)
            .collect();
        if files.is_empty() {
            return None;
        }
        // After a clean stop often the newest one: its header alone says where the log goes on.
        let newest_file = files.iter().find(|file| number(&self.files[file].octets) == newest);
        let newest_file = newest_file.copied();
        let latest = newest_file.filter(|_| scope == Scope::All && random.one_in(2));
        let file = latest.unwrap_or_else(|| random.pick(&files));
        let header_every = if latest.is_some() { 2 } else { 6 };
        let octets = &mut self.files.get_mut(&file)?.octets;
        let pages = octets.len() / PAGE_BYTES;
        // Often the header, without which nothing in the file is found.
        let page = if random.one_in(header_every) { 0 } else { random.below(pages) * PAGE_BYTES };
        let flips_within = if page == 0 && random.one_in(2) { HEADER_BYTES } else { PAGE_BYTES };
        let (what, offset, length) = match random.below(5) {
            4 => (CLEARED_PAGE, page, PAGE_BYTES),
            0 | 1 => ("a flipped bit", page + random.below(flips_within), 1),
            2 => ("a cleared sector", page + 512 * random.below(8), 512),
            _ => ("a page from elsewhere", page, PAGE_BYTES),
        };
        let before = octets[offset..offset + length].to_vec();
        match length {
            1 => octets[offset] ^= 1 << random.below(8),
            512 => octets[offset..offset + length].fill(0),
            _ if what == CLEARED_PAGE => octets[offset..offset + length].fill(0),
            _ => {
                let from = random.below(pages) * PAGE_BYTES;
                octets.copy_within(from..from + length, offset);
            }
        }
        // What cannot be told from an earlier end of the log is no rot that anybody promises to find.
        let is_hidden =
            newest_file == Some(file) && newest.is_some_and(|newest| looks_unbegun(octets, newest));
        if before == octets[offset..offset + length] || is_hidden {
            octets[offset..offset + length].copy_from_slice(&before);
            return None;
        }
        let what = format!("{what} in file {file} at octet {offset}");
        self.damage = Some(Damage { file, offset, before });
        Some(what)
    }

    /// As if it had never been.
    pub fn restore(&mut self) {
        let Some(damage) = self.damage.take() else { return };
        if let Some(file) = self.files.get_mut(&damage.file) {
            let to = damage.offset..damage.offset + damage.before.len();
            file.octets[to].copy_from_slice(&damage.before);
        }
    }
}
