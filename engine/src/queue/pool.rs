//! Memory of a shard's queues that comes and goes with their messages: chunks of slots.
//!
//! Chunks come from here and go back, so an empty queue holds none. The pool also counts what all
//! queues of the shard hold, and from that says how eagerly they pack what they do not need.

use super::slot::Slot;

/// Slots in a chunk: 3 KiB.
pub(super) const CHUNK: u64 = 128;
pub(super) type Slots = Box<[Slot; CHUNK as usize]>;

/// Octets of an unpacked chunk.
const CHUNK_BYTES: usize = size_of::<[Slot; CHUNK as usize]>();
/// Free chunks kept for the next burst, of all queues of a shard.
const SPARE_CHUNKS_MAX: usize = 256;
/// Unpacked chunks of the whole shard up to which a queue may have as many as it likes near its
/// front: 12 MiB.
const OPEN_CHUNKS_FREELY: usize = 4096;
/// Packed chunks that make a bale: one is taken apart in a fraction of a millisecond.
const BALE: usize = 32;
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
    packed_bytes: usize,
    open_freely: usize,
    /// Packed chunks that make a bale.
    pub(super) bale: usize,
    /// Working memory of packing.
    pub(super) scratch: Vec<u8>,
}

/// How eagerly the queues of a shard pack what they know of their messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// Unpacked chunks of all queues above which they pack at every occasion.
    pub open_freely: usize,
    /// Packed chunks that become one bale.
    pub bale: usize,
}

impl Default for Packing {
    fn default() -> Self {
        Packing { open_freely: OPEN_CHUNKS_FREELY, bale: BALE }
    }
}

impl Default for ChunkPool {
    fn default() -> Self {
        ChunkPool::new(Packing::default())
    }
}

impl ChunkPool {
    pub fn new(packing: Packing) -> Self {
        let (spare, scratch) = (Vec::new(), Vec::new());
        let Packing { open_freely, bale } = packing;
        ChunkPool { spare, open: 0, packed_bytes: 0, open_freely, bale, scratch }
    }

    /// Octets of all chunks, packed and not, and of those kept for later.
    pub fn bytes(&self) -> usize {
        (self.open + self.spare.len()) * CHUNK_BYTES + self.packed_bytes
    }

    /// Of those, octets of packed chunks.
    pub fn packed_bytes(&self) -> usize {
        self.packed_bytes
    }

    /// A chunk of dead slots.
    pub(super) fn take(&mut self) -> Slots {
        self.open += 1;
        self.spare.pop().unwrap_or_else(|| Box::new([Slot::DEAD; CHUNK as usize]))
    }

    /// Every slot must be dead.
    pub(super) fn give_back(&mut self, slots: Slots) {
        self.open -= 1;
        if self.spare.len() < SPARE_CHUNKS_MAX {
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
        match self.open_freely.checked_sub(self.open) {
            Some(left) => LEAD.max(left / LEAD_PART),
            None => 1,
        }
    }
}
