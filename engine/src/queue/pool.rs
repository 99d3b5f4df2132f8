//! Memory of a shard's queues that comes and goes with their messages: chunks of slots.
//!
//! Chunks come from here and go back, so an empty queue holds none. The pool also counts what all
//! queues of the shard hold, and from that says how eagerly they pack what they do not need, and has
//! bales paged out when it is more than there is memory for.

use super::bales::{BaleId, Bales, Paged, Placed};
use super::chunk::Chunk;
use super::pages::{NoPages, PageStore};
use super::slot::Slot;

/// Slots in a chunk: 3 KiB.
pub(super) const CHUNK: u64 = 128;
pub(super) type Slots = Box<[Slot; CHUNK as usize]>;

/// Octets of an unpacked chunk.
const CHUNK_BYTES: usize = size_of::<[Slot; CHUNK as usize]>();
/// Free chunks kept for the next burst, of all queues of a shard.
const SPARE_CHUNKS_MAX: usize = 256;
/// Memory for all that the queues of a shard know of their messages.
const BYTES_MAX: usize = 32 << 20;
/// Of this, unpacked chunks may take as many eighths before queues pack at every occasion: so many
/// a queue may have as it likes near its front.
const OPEN_EIGHTHS: usize = 3;
/// And bales unpacked for a look or a change at most.
const CACHE_EIGHTHS: usize = 2;
/// Packed chunks that make a bale: one is taken apart in a fraction of a millisecond.
const BALE: usize = 32;
/// Bales paged out at one occasion.
const PAGES_AT_ONCE: usize = 4;
/// Chunks at a queue's front that are not packed while there is memory, at least: consumers that
/// keep up never see a packed one.
const LEAD: usize = 16;
/// A queue leaves open as much as this part of what is left of those that may be open freely. One
/// burst of small messages makes dozens of chunks, and packing them only to unpack them in the same
/// turn took a sixth of the time of a message.
const LEAD_PART: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct ChunkPool {
    /// Chunks without a queue. Every slot in them is dead.
    spare: Vec<Slots>,
    /// Chunks that queues hold unpacked.
    open: usize,
    /// Chunks of all kinds, each bale one, that queues hold.
    held: usize,
    /// Octets of packed chunks that are in no bale.
    packed_bytes: usize,
    packing: Packing,
    bales: Bales,
    /// Working memory of packing.
    pub(super) scratch: Vec<u8>,
}

/// How eagerly the queues of a shard pack what they know of their messages, and how much memory it
/// may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Unpacked chunks of all queues above which they pack at every occasion.
    pub open_freely: usize,
    /// Packed chunks that become one bale.
    pub bale: usize,
    /// Octets of memory above which bales are paged out.
    pub bytes_max: usize,
}

impl Packing {
    /// What suits so many octets of memory.
    pub fn within(bytes_max: usize) -> Packing {
        let open_freely = bytes_max / 8 * OPEN_EIGHTHS / CHUNK_BYTES;
        Packing { open_freely, bale: BALE, bytes_max }
    }
}

impl Default for Packing {
    fn default() -> Self {
        Packing::within(BYTES_MAX)
    }
}

/// Nothing is paged out.
impl Default for ChunkPool {
    fn default() -> Self {
        ChunkPool::new(Packing::default(), Box::new(NoPages))
    }
}

impl ChunkPool {
    pub fn new(packing: Packing, pages: Box<dyn PageStore>) -> Self {
        ChunkPool {
            spare: Vec::new(),
            open: 0,
            held: 0,
            packed_bytes: 0,
            packing,
            bales: Bales::new(pages, packing.bytes_max / 8 * CACHE_EIGHTHS),
            scratch: Vec::new(),
        }
    }

    /// Octets of memory of all chunks, packed and not, and of those kept for later.
    pub fn bytes(&self) -> usize {
        (self.open + self.spare.len()) * CHUNK_BYTES
            + self.held * size_of::<Chunk>()
            + self.packed_bytes
            + self.bales.bytes()
    }

    /// Of those, octets of packed chunks and bales.
    pub fn packed_bytes(&self) -> usize {
        self.packed_bytes + self.bales.here_bytes()
    }

    /// What is not in memory.
    pub fn paged(&self) -> Paged {
        self.bales.paged()
    }

    /// How often a bale had to be unpacked for a look or a change.
    pub fn bales_unpacked(&self) -> u64 {
        self.bales.unpacked()
    }

    /// Packed chunks that make a bale.
    pub(super) fn bale(&self) -> usize {
        self.packing.bale
    }

    pub(super) fn bales(&mut self) -> &mut Bales {
        // What has been needed and is packed again may be too much.
        self.make_room();
        &mut self.bales
    }

    /// Slots of a bale, for who looks at all of them once.
    pub(super) fn slots(&self, bale: BaleId) -> Vec<Placed> {
        self.bales.slots(bale)
    }

    pub(super) fn add_bale(&mut self, octets: &[u8]) -> BaleId {
        let bale = self.bales.add(octets);
        self.make_room();
        bale
    }

    /// Pages some bales out if there is too much in memory.
    fn make_room(&mut self) {
        for _ in 0..PAGES_AT_ONCE {
            if self.bytes() <= self.packing.bytes_max || !self.bales.page_out() {
                return;
            }
        }
    }

    /// A queue holds another chunk or bale; or one less.
    pub(super) fn note_held(&mut self) {
        self.held += 1;
    }

    pub(super) fn note_gone(&mut self) {
        self.held -= 1;
    }

    /// A chunk of dead slots.
    pub(super) fn take(&mut self) -> Slots {
        self.open += 1;
        self.make_room();
        self.spare.pop().unwrap_or_else(|| Box::new([Slot::DEAD; CHUNK as usize]))
    }

    /// Every slot must be dead.
    pub(super) fn give_back(&mut self, slots: Slots) {
        self.open -= 1;
        if self.spare.len() < SPARE_CHUNKS_MAX && self.bytes() < self.packing.bytes_max {
            self.spare.push(slots);
        }
    }

    pub(super) fn note_packed(&mut self, bytes: usize) {
        self.packed_bytes += bytes;
    }

    pub(super) fn note_unpacked(&mut self, bytes: usize) {
        self.packed_bytes -= bytes;
    }

    /// Chunks at a queue's front that are to stay unpacked.
    pub(super) fn lead(&self) -> usize {
        match self.packing.open_freely.checked_sub(self.open) {
            Some(left) => LEAD.max(left / LEAD_PART),
            None => 1,
        }
    }
}
