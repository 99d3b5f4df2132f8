//! Reading what damaged octets say of themselves, where no index tells what was in them.
//!
//! The checksum of their block is wrong, so any of it may be: what is read here is told to an
//! operator as a hint, and believed by nobody.

use super::damage::LostMessage;
use crate::ids::{QueueId, Seq};
use crate::log::block::claimed;

use crate::log::format::{BLOCK_HEADER_BYTES, PAGE_BYTES};
use crate::log::record::{Payload, Record, Records};
use crate::log::Address;

/// What `octets`, found at `position`, seem to have held; and how many references of theirs are
/// named.
pub(super) fn salvage(octets: &[u8], position: u64, log: u64) -> (Vec<LostMessage>, u32) {
    let mut salvaged = Salvaged::default();
    let mut at = 0;
    while let Some(rest) = octets.get(at..).filter(|rest| rest.len() >= PAGE_BYTES) {
        let here = position + at as u64;
        let (length, end) = match claimed(rest, here, Some(log)) {
            Ok(header) => {
                let payload = BLOCK_HEADER_BYTES + header.payload.get() as usize;
                (header.length.get() as usize, payload.min(rest.len()))
            }
            // Its header is what is damaged, if it is a block at all.
            Err(_) if at == 0 => (PAGE_BYTES, rest.len()),
            Err(_) => (PAGE_BYTES, 0),
        };
        if end > BLOCK_HEADER_BYTES {
            salvaged.block(&rest[..end], here);
        }
        at += length;
    }
    (salvaged.lost, salvaged.named)
}

#[derive(Default)]
struct Salvaged {
    lost: Vec<LostMessage>,
    named: u32,
}

impl Salvaged {
    /// Records up to the first one that cannot be.
    fn block(&mut self, octets: &[u8], position: u64) {
        for record in Records::new(octets, BLOCK_HEADER_BYTES) {
            let Ok((offset, _, record)) = record else { return };
            let address = Address::new(position, offset);
            match record {
                Record::Message(message) => {
                    self.named = self.named.saturating_add(message.references());
                    let content = match message.payload {
                        Payload::Inline(content) => content,
                        Payload::Parts(_) => continue,
                    };
                    if !message.is_persistent() {
                        continue;
                    }
                    let entries = message.references_in(content).unwrap_or_default();
                    for entry in entries {
                        let (queue, seq) = entry.get();
                        self.lose(queue, seq, address);
                    }
                }
                Record::Definition(definition) => {
                    self.named = self.named.saturating_add(1);
                    self.lose(QueueId::DEFINITIONS, definition.seq, address);
                }
                Record::Gone(references) => self.named = self.named.saturating_add(references),
                Record::Unknown => return,
                _ => {}
            }
        }
    }

    fn lose(&mut self, queue: QueueId, seq: Seq, address: Address) {
        self.lost.push(LostMessage { queue, seq, address, is_certain: false });
    }
}
