//! Memory that a device can write from and read into.

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
