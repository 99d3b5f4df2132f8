//! Memory of a shard's queues that comes and goes with their messages: chunks of slots.
//!
//! Chunks come from here and go back, so an empty queue holds none. The pool also counts what all
//! queues of the shard hold, and from that says how eagerly they pack what they do not need. When it
//! is more than there is memory for, bales are paged out, and if there are none, queues pack what
//! they have left open, those first that have left it for longest: see [`ChunkPool::is_crowded`].

use super::bales::{BaleId, Bales, Placed};
use super::chunk::Chunk;
use super::loose::Loose;
use super::pages::{NoPages, PageStore};
use super::parcels::{Paged, Parcels};
use super::slot::Slot;
use super::window::{Place, Window, WIDTHS};

/// Slots in a chunk: 3 KiB.
pub(super) const CHUNK: u64 = 128;
pub(super) type Slots = Box<[Slot; CHUNK as usize]>;

/// Octets of an unpacked chunk.
const CHUNK_BYTES: usize = size_of::<[Slot; CHUNK as usize]>();
/// Free chunks kept for the next burst, of all queues of a shard.
const SPARE_CHUNKS_MAX: usize = 256;
/// The same of windows of each width.
const SPARE_WINDOWS_MAX: usize = 256;
/// Memory for all that the queues of a shard know of their messages.
const BYTES_MAX: usize = 32 << 20;
/// Of this, unpacked chunks may take as many eighths before queues pack at every occasion: so many
/// a queue may have as it likes near its front.
const OPEN_EIGHTHS: usize = 3;
/// And bales unpacked for a look or a change at most.
const CACHE_EIGHTHS: usize = 2;
/// Of those that may be open freely, one part of so many may be whole however few messages are in them: what a
/// few hundred queues take does not count, what ten thousand do does.
const WHOLE_PART: usize = 16;
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
    /// Windows without a queue, as dead, by their width.
    spare_windows: [Vec<Window>; WIDTHS.len()],
    /// Chunks that queues hold unpacked.
    open: usize,
    /// Octets of all but parcels: chunks, open and packed, spare ones, and the directories they are
    /// in.
    bytes: usize,
    /// Octets of packed chunks that are in no bale.
    packed_bytes: usize,
    packing: Packing,
    bales: Bales,
    loose: Loose,
    /// There has been more than there is memory for.
    is_crowded: bool,
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
            spare_windows: Default::default(),
            open: 0,
            bytes: 0,
            packed_bytes: 0,
            packing,
            bales: Bales::new(Parcels::new(pages), packing.bytes_max / 8 * CACHE_EIGHTHS),
            loose: Loose::default(),
            is_crowded: false,
            scratch: Vec::new(),
        }
    }

    /// Octets of memory of all chunks, packed and not, and of those kept for later.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes + self.bales.bytes()
    }

    /// Of those, octets of packed chunks, bales and due times.
    pub fn packed_bytes(&self) -> usize {
        self.packed_bytes + self.bales.parcels().here_bytes()
    }

    /// What is not in memory.
    pub fn paged(&self) -> Paged {
        self.bales.parcels().paged()
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
        // What has been needed and is packed again may be too much, and so may be what is unpacked
        // for this look.
        self.make_room();
        let unpacked_bytes = self.packing.bale * CHUNK as usize * size_of::<Placed>();
        self.is_crowded |= self.bytes() + unpacked_bytes > self.packing.bytes_max;
        &mut self.bales
    }

    /// Slots of a bale, for who looks at all of them once.
    pub(super) fn slots(&self, bale: BaleId) -> Vec<Placed> {
        self.bales.slots(bale)
    }

    /// A parcel of these octets.
    pub(super) fn add_parcel(&mut self, octets: &[u8]) -> BaleId {
        let parcel = self.bales.parcels_mut().add(octets);
        self.make_room();
        parcel
    }

    /// The parcel's octets, as `look` wants them; it is no more.
    pub(super) fn take_parcel<T>(&mut self, parcel: BaleId, look: impl FnOnce(&[u8]) -> T) -> T {
        let parcels = self.bales.parcels_mut();
        let found = parcels.look(parcel, look);
        parcels.remove(parcel);
        found
    }

    /// Pages some bales out if there is too much in memory.
    fn make_room(&mut self) {
        for _ in 0..PAGES_AT_ONCE {
            if self.bytes() <= self.packing.bytes_max {
                return;
            }
            self.is_crowded = true;
            if !self.bales.parcels_mut().page_out() {
                return;
            }
        }
    }

    /// True if there may be more than there is memory for: queues should
    /// [condense](super::Queue::condense) what they hold as [`ChunkPool::next_to_condense`] says. To be
    /// asked after each message, since one may go to a hundred thousand queues.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.is_crowded
    }

    /// There is more than there is memory for.
    pub(super) fn is_short(&self) -> bool {
        self.bytes() > self.packing.bytes_max
    }

    /// The number of the queue that is to condense what it holds: the one that has had something
    /// to condense for longest. `None`: there is memory enough, or nothing is left to be done.
    pub fn next_to_condense(&mut self) -> Option<u32> {
        while self.bytes() > self.packing.bytes_max {
            if !self.spare.is_empty() {
                self.bytes -= self.spare.len() * CHUNK_BYTES;
                self.spare = Vec::new();
            } else if self.spare_windows.iter().any(|spare| !spare.is_empty()) {
                let windows = std::mem::take(&mut self.spare_windows);
                self.bytes -= windows.iter().flatten().map(Window::bytes).sum::<usize>();
            } else if !self.bales.parcels_mut().page_out() {
                let next = self.loose.next();
                if next.is_some() || !self.bales.close_oldest() {
                    self.is_crowded = next.is_some();
                    return next;
                }
            }
        }
        self.is_crowded = false;
        None
    }

    /// The queue of that number has something that it can condense.
    pub fn note_loose(&mut self, queue: u32) {
        self.loose.note(queue);
        self.is_crowded |= self.is_short();
    }

    /// Nothing is known any more of which queues have something to condense: their numbers are
    /// going to be others.
    pub fn forget_loose(&mut self) {
        self.loose = Loose::default();
    }

    /// Something takes so many octets that took others before.
    pub(super) fn note_room(&mut self, before: usize, after: usize) {
        self.bytes = self.bytes - before + after;
        self.is_crowded |= after > before && self.bytes() > self.packing.bytes_max;
    }

    /// A directory of chunks has room for so many.
    pub(super) fn note_directory(&mut self, before: usize, after: usize) {
        self.note_room(before * size_of::<Chunk>(), after * size_of::<Chunk>());
    }

    /// A chunk of dead slots.
    pub(super) fn take(&mut self) -> Slots {
        self.open += 1;
        if let Some(slots) = self.spare.pop() {
            return slots;
        }
        self.bytes += CHUNK_BYTES;
        self.make_room();
        Box::new([Slot::DEAD; CHUNK as usize])
    }

    /// The same for a few messages, if memory is no matter: that is cheaper than a window which may have to grow.
    pub(super) fn take_freely(&mut self) -> Option<Slots> {
        let are_few = self.open < self.packing.open_freely / WHOLE_PART;
        (are_few || !self.spare.is_empty()).then(|| self.take())
    }

    /// Dead slots of a part of a chunk.
    pub(super) fn take_window(&mut self, place: Place) -> Window {
        if let Some(window) = self.spare_windows[place.width].pop() {
            return window.again(place);
        }
        let window = Window::new(place);
        self.bytes += window.bytes();
        self.make_room();
        window
    }

    /// Every slot must be dead.
    pub(super) fn give_back_window(&mut self, window: Window) {
        let is_kept = !self.is_crowded && !self.is_short();
        let spare = &mut self.spare_windows[window.width()];
        if spare.len() < SPARE_WINDOWS_MAX && is_kept {
            spare.push(window);
        } else {
            self.bytes -= window.bytes();
        }
    }

    /// Every slot must be dead.
    pub(super) fn give_back(&mut self, slots: Slots) {
        self.open -= 1;
        // Also where nobody has asked since there is too little, as when a start has discarded what it
        // has found of queues that are gone.
        let is_kept = self.spare.len() < SPARE_CHUNKS_MAX && !self.is_crowded && !self.is_short();
        if is_kept {
            self.spare.push(slots);
        } else {
            self.bytes -= CHUNK_BYTES;
        }
    }

    pub(super) fn note_packed(&mut self, bytes: usize) {
        self.packed_bytes += bytes;
        self.note_room(0, bytes);
    }

    pub(super) fn note_unpacked(&mut self, bytes: usize) {
        self.packed_bytes -= bytes;
        self.note_room(bytes, 0);
    }

    /// Chunks at a queue's front that are to stay unpacked.
    pub(super) fn lead(&self) -> usize {
        match self.packing.open_freely.checked_sub(self.open) {
            Some(left) => LEAD.max(left / LEAD_PART),
            None => 1,
        }
    }
}
