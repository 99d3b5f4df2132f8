//! What a roster said that is damaged: the segment before the newest one says nearly the same.

use rustc_hash::FxHashMap;

use super::overlay::{Octets, Overlay};
use crate::ids::ShardId;
use crate::log::block::Block;
use crate::log::format::{FileHeader, BLOCK_MAX_BYTES, PAGE_BYTES};
use crate::log::geometry::Geometry;
use crate::log::record::{Record, RosterEntry};
use crate::log::recovery::catalogue::Catalogue;
use crate::log::recovery::RecoveryRead;
use crate::log::{Address, FileId, LogError};

/// What the good blocks of a segment say.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// Behind the last good block.
    pub end: u64,
    /// References numbered up to there.
    pub references: u32,
    roster: Vec<RosterEntry>,
    is_complete: bool,
    recycled: Vec<u32>,
    /// Latest Liveness record about each segment.
    liveness: FxHashMap<u32, (Address, u32)>,
}

/// Reads a segment up to position `until`, passing by what is bad.
pub(super) fn describe<D: Octets>(
    overlay: &mut Overlay<'_, D>,
    file: FileId,
    header: &FileHeader,
    geometry: Geometry,
    until: u64,
) -> Result<Described, D::Error> {
    let mut at = geometry.start(header.segment.get()) + PAGE_BYTES as u64;
    let mut epoch = header.epoch.get();
    let mut described = Described { end: at, ..Described::default() };
    while at < until {
        let length = (until - at).min(2 * BLOCK_MAX_BYTES as u64) as usize;
        let octets = overlay.read(RecoveryRead { file, offset: geometry.offset(at), length })?;
        let begun = at;
        while let Some(rest) = octets.get((at - begun) as usize..) {
            if rest.len() < PAGE_BYTES || (at > begun && rest.len() < BLOCK_MAX_BYTES) {
                break;
            }
            match Block::open(rest, at, Some(header.log.get())) {
                Ok(block) if block.header.epoch.get() >= epoch => {
                    epoch = block.header.epoch.get();
                    described.note(&block, at);
                    at += block.length() as u64;
                    described.end = at;
                }
                _ => at += PAGE_BYTES as u64,
            }
        }
        if at == begun {
            break;
        }
    }
    Ok(described)
}

impl Described {
    fn note(&mut self, block: &Block<'_>, position: u64) {
        self.references = block.header.first_reference.get();
        for (offset, length, record) in block.records().map_while(Result::ok) {
            match record {
                Record::Message(message) => self.references += message.references(),
                Record::Definition(_) => self.references += 1,
                Record::Gone(references) => self.references += references,
                Record::Roster(roster) => {
                    self.roster.extend(roster.entries());
                    self.is_complete = !roster.more;
                }
                Record::Recycled(recycled) => self.recycled.push(recycled.segment),
                Record::Liveness(liveness) => {
                    let at = (Address::new(position, offset), length);
                    self.liveness.insert(liveness.segment, at);
                }
                _ => {}
            }
        }
    }
}

/// The headers of all files.
pub(super) fn catalogue<D: Octets>(
    overlay: &mut Overlay<'_, D>,
    shard: ShardId,
) -> Result<Result<Catalogue, LogError>, D::Error> {
    let mut catalogue = Catalogue::new(shard, overlay.listing());
    while let Some(read) = catalogue.next_read() {
        let octets = overlay.read(read)?;
        if let Err(error) = catalogue.supply(&octets) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(catalogue))
}

/// The roster of the segment that `header` begins, from what others say: the one before it, or if
/// that is not there or says nothing, every file that holds an older segment.
pub(super) fn rebuilt<D: Octets>(
    overlay: &mut Overlay<'_, D>,
    catalogue: &Catalogue,
    header: &FileHeader,
    geometry: Geometry,
) -> Result<Vec<RosterEntry>, D::Error> {
    let segment = header.segment.get();
    let mut entries: Vec<RosterEntry> = Vec::new();
    let before = segment.checked_sub(1).and_then(|before| catalogue.holding(before));
    let mut liveness = FxHashMap::default();
    let mut is_whole = false;
    if let Some((file, before)) = before {
        let end = header.previous_end.get();
        let said = describe(overlay, file, before, geometry, end)?;
        is_whole = said.is_complete;
        if is_whole {
            let lives = |entry: &&RosterEntry| !said.recycled.contains(&entry.segment);
            entries.extend(said.roster.iter().filter(lives));
        }
        entries.push(entry_of(file, before, end, said.references));
        liveness = said.liveness;
    }
    if !is_whole {
        let known = entries.first().map_or(segment, |first| first.segment);
        let older: Vec<_> = catalogue
            .all()
            .filter(|(_, header)| header.segment.get() < known)
            .map(|(file, header)| (file, *header))
            .collect();
        for (file, header) in older {
            let limit = geometry.start(header.segment.get()) + geometry.segment_bytes;
            let said = describe(overlay, file, &header, geometry, limit)?;
            entries.push(entry_of(file, &header, said.end, said.references));
        }
    }
    entries.sort_unstable_by_key(|entry| entry.segment);
    for entry in &mut entries {
        if let Some(latest) = liveness.get(&entry.segment) {
            entry.liveness = Some(*latest);
        }
    }
    // One whose file holds another segment by now had been recycled.
    entries.retain(|entry| {
        let in_file = catalogue.segment_in(entry.file);
        in_file.is_none_or(|in_file| in_file == entry.segment)
    });
    Ok(entries)
}

fn entry_of(file: FileId, header: &FileHeader, end: u64, references: u32) -> RosterEntry {
    RosterEntry {
        segment: header.segment.get(),
        file,
        end,
        liveness: None,
        references,
        index: None,
    }
}
