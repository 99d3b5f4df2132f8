//! Memory for messages that need no log: transient ones, and those of queues that die with the
//! process. Pages of fixed size, filled in order, freed whole when all in them is released; no
//! allocation per message.

use crate::log::Stored;
use crate::message::MessageRef;
use crate::now::Now;

/// Page number and offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArenaAddress(pub u64);

#[derive(Debug)]
pub struct Arena {}

impl Arena {
    pub fn new() -> Self {
        todo!()
    }
    /// Stores a message that `references` queues hold.
    pub fn append(
        &mut self,
        _now: Now,
        _message: &MessageRef<'_>,
        _references: u32,
    ) -> ArenaAddress {
        todo!()
    }
    pub fn get(&self, _address: ArenaAddress) -> Stored<'_> {
        todo!()
    }
    /// One of the references is gone.
    pub fn release(&mut self, _address: ArenaAddress) {
        todo!()
    }
    /// Octets of pages held.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
