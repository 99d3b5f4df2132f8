//! Making a damaged log whole again around what is lost.
//!
//! Nothing is moved and nothing good is written over: a lost stretch is filled with blocks that
//! number its references as gone and carry what indexes and other segments still know of it, so
//! that a start reads the log as if the lost records had never lived. All of it is worked out on
//! top of the files; who asks for it writes the [`Patch`]es, or not (an offline check).
//!
//! Section "Mending" of docs/log-format.md. Part of the log's recovery; reads through
//! [`Octets`] and knows no file.

mod clearing;
mod fill;
mod forge;
mod header;
mod overlay;
mod roster;

use crate::log::block::Block;
use crate::log::format::{BLOCK_HEADER_BYTES, BLOCK_MAX_BYTES, BLOCK_UNCHECKED};
use crate::log::geometry::Geometry;
use crate::log::record::KIND_MARK;
use crate::log::{Address, FileId, LogConfig, LogError, Memory};

use fill::Fill;
use forge::forge;
pub use overlay::Octets;
use overlay::Overlay;

use super::damage::{Damage, Headless, LostMessage};
use super::obstacle::Obstacle;
use super::toll::Toll;
use super::{Recovered, Recovery, RecoveryRead, SegmentFile};

/// Octets to be written to a file, whole pages; what is behind its end makes it longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    pub file: FileId,
    pub offset: u64,
    pub octets: Vec<u8>,
}

impl Patch {
    /// Offset behind it.
    pub fn end(&self) -> u64 {
        self.offset + self.octets.len() as u64
    }
}

/// What a log has suffered, and what makes it whole.
#[derive(Debug)]
pub struct Mended {
    /// Ordered by segment and offset.
    pub damages: Vec<Damage>,
    /// Messages and definitions that lay there and had not been settled. Where a damage is not
    /// indexed there may be more, or others: see [`Damage`].
    pub lost: Vec<LostMessage>,
    pub headless: Vec<Headless>,
    pub patches: Vec<Patch>,
    /// Octets of each segment file.
    pub segment_bytes: u64,
    /// Live segments.
    pub segments: usize,
    /// Good blocks in them, and their octets.
    pub blocks: u64,
    pub octets: u64,
    /// Of an unfinished write at the end, which nobody was promised.
    pub torn_octets: u64,
}

/// Why a log cannot be looked at, or not be mended.
#[derive(Debug)]
pub enum MendError<E> {
    Read(E),
    /// What is wrong is no damage, or more than can be mended.
    Log(LogError),
}

/// Recovery allocates only when it opens a log, which is not done here.
struct NoMemory;

impl Memory for NoMemory {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }
}

/// Reads everything in a shard's segment files, finds all damage and works out how to mend it.
/// `visit` is told of what is left.
///
/// # Errors
/// If files are not of this log, of a newer version, or so damaged that nothing tells how the log
/// went on.
pub fn mend<D: Octets>(
    config: &LogConfig,
    files: &[SegmentFile],
    disk: &mut D,
    visit: &mut dyn FnMut(Recovered<'_>),
) -> Result<Mended, MendError<D::Error>> {
    let overlay = Overlay::new(disk, files);
    let mut mending = Mending {
        config: config.clone(),
        overlay,
        toll: Toll::default(),
        damages: Vec::new(),
        filled: Vec::new(),
        patience: 8 * files.len() + 1000,
    };
    let (recovery, mut toll) = loop {
        let recovery = Recovery::new(config.clone(), NoMemory, mending.overlay.listing());
        let mut recovery = recovery.passing_damage(mending.toll.clone());
        let Err(error) = mending.read(&mut recovery, visit)? else {
            let toll = std::mem::take(&mut recovery.toll);
            break (recovery, toll);
        };
        let obstacle = recovery.obstacle.take().ok_or(MendError::Log(error.clone()))?;
        mending.clear(obstacle, error)?;
    };
    let geometry =
        recovery.newest.as_ref().map(|newest| (newest.geometry, newest.header.log.get()));
    let segments = recovery.segments().1;
    let torn_octets = recovery.torn_bytes();
    let segment_bytes =
        geometry.map_or(config.segment_bytes, |(geometry, _)| geometry.segment_bytes);
    if let Some((geometry, log)) = geometry {
        mending.fill_all(&mut toll, geometry, log)?;
        mending.void_indexes(&toll, geometry)?;
    }
    if mending.overlay.is_changed() {
        for file in mending.overlay.listing() {
            if mending.filled.contains(&file.file) {
                mending.overlay.extend(file.file, segment_bytes);
            }
        }
        // As a start will read it.
        let mut proof = Recovery::new(config.clone(), NoMemory, mending.overlay.listing());
        mending.read(&mut proof, &mut |_| ())?.map_err(MendError::Log)?;
    }
    let mut damages = mending.damages;
    damages.sort_unstable_by_key(|damage| (damage.segment, damage.offset));
    Ok(Mended {
        damages,
        lost: toll.lost(),
        headless: toll.headless,
        patches: mending.overlay.patches(),
        segment_bytes,
        segments,
        blocks: toll.blocks,
        octets: toll.octets,
        torn_octets,
    })
}

struct Mending<'d, D: Octets> {
    config: LogConfig,
    overlay: Overlay<'d, D>,
    /// What is known before the segments are read.
    toll: Toll,
    damages: Vec<Damage>,
    /// Files that are written to.
    filled: Vec<FileId>,
    /// Obstacles that may still be cleared.
    patience: usize,
}

impl<D: Octets> Mending<'_, D> {
    fn read(
        &mut self,
        recovery: &mut Recovery<NoMemory>,
        visit: &mut dyn FnMut(Recovered<'_>),
    ) -> Result<Result<(), LogError>, MendError<D::Error>> {
        while let Some(read) = recovery.next_read() {
            let octets = self.overlay.read(read).map_err(MendError::Read)?;
            if let Err(error) = recovery.supply(&octets, visit) {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn write(&mut self, file: FileId, offset: u64, octets: &[u8]) {
        self.overlay.write(file, offset, octets);
        if !self.filled.contains(&file) {
            self.filled.push(file);
        }
    }

    /// Mends what a reading could not pass by.
    fn clear(&mut self, obstacle: Obstacle, error: LogError) -> Result<(), MendError<D::Error>> {
        let Some(left) = self.patience.checked_sub(1) else { return Err(MendError::Log(error)) };
        self.patience = left;
        match obstacle {
            Obstacle::Header { file, entry } => self.mend_header(file, entry, error),
            Obstacle::Absent { entry } => self.make_up(entry, error),
            Obstacle::Hole(ahead) => self.fill_ahead(*ahead, error),
        }
    }

    /// Fills the holes in sealed segments.
    fn fill_all(
        &mut self,
        toll: &mut Toll,
        geometry: Geometry,
        log: u64,
    ) -> Result<(), MendError<D::Error>> {
        for hole in &mut toll.holes {
            let rot = LogError::Rot {
                file: hole.file.0,
                offset: geometry.offset(hole.from),
                durable: hole.to,
                what: hole.what,
            };
            let here = toll.liveness.iter().filter(|wanted| hole.holds(wanted.address));
            let liveness = here.map(|wanted| (wanted.address, wanted.segment)).collect();
            let fill = Fill { geometry, log, hole, roster: None, recycled: &[], liveness };
            let Some(blocks) = fill.blocks() else { return Err(MendError::Log(rot)) };
            for (position, octets) in blocks {
                self.overlay.write(hole.file, geometry.offset(position), &octets);
            }
            if !self.filled.contains(&hole.file) {
                self.filled.push(hole.file);
            }
            self.damages.push(hole.damage(geometry));
        }
        Ok(())
    }

    /// Takes back what the indexes of segments say that have lost something: these are to be read
    /// in full.
    fn void_indexes(&mut self, toll: &Toll, geometry: Geometry) -> Result<(), MendError<D::Error>> {
        for (file, address) in &toll.void_pieces {
            self.void(*file, *address, geometry).map_err(MendError::Read)?;
        }
        Ok(())
    }

    /// Makes a Mark of the record at that address, in a block that stays as it is otherwise.
    fn void(&mut self, file: FileId, address: Address, geometry: Geometry) -> Result<(), D::Error> {
        let (position, length) = (address.block().0, BLOCK_MAX_BYTES);
        let offset = geometry.offset(position);
        let mut octets = self.overlay.read(RecoveryRead { file, offset, length })?;
        let Ok(block) = Block::open(&octets, position, None) else { return Ok(()) };
        let (sum, length, end) =
            (block.header.checksum.get(), block.length(), block.octets().len());
        octets.truncate(length);
        let Some(kind) = octets.get_mut(address.offset()) else { return Ok(()) };
        *kind = KIND_MARK;
        forge(&mut octets[BLOCK_UNCHECKED..end], FREE_OCTETS - BLOCK_UNCHECKED, sum);
        self.write(file, offset, &octets);
        Ok(())
    }
}

/// Where a block's header has octets that nobody looks at, and which the checksum covers.
const FREE_OCTETS: usize = BLOCK_HEADER_BYTES - 8;
