//! Memory that a device can write from and read into, and memory that is given back.

use glommio::io::DmaBuffer;
use haremq_engine::log::Memory;

/// Gives the log page-aligned buffers from the ordinary allocator of this core.
#[derive(Clone, Copy, Debug, Default)]
pub struct DmaMemory;

impl Memory for DmaMemory {
    type Buffer = DmaBuffer;

    fn allocate(&mut self, bytes: usize) -> DmaBuffer {
        glommio::allocate_dma_buffer_global(bytes)
    }

    fn trim(&mut self, buffer: &mut DmaBuffer, bytes: usize) {
        buffer.trim_to_size(bytes);
    }
}

/// Memory of a size that the allocator has a place of its own for.
const OWN_PLACE_BYTES: usize = 2 << 20;

/// Has the allocator give back to the system what has been free for a second. It looks for that when it gives up a
/// place of memory, and who is at rest gives up none: what a start had used would stay resident until the next client
/// came. So a place is taken and given up. Its memory is not touched.
pub(super) fn give_back() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(OWN_PLACE_BYTES)));
}
