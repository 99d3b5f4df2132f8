//! Long messages read part by part: what comes before the body first, then the body, a part at a
//! time, as whoever takes it has room.
//!
//! A body that is being read holds its parts, whatever becomes of the message meanwhile: their
//! segments are not given back, and copying forward tells where a part has gone. So no more of it need
//! be in memory than the part at hand.

use super::fetch::no_message;
use super::parts::Extent;
use super::record::{MessageView, PartEntry, Payload, Record};
use super::{Address, Fetch, Log, Memory, OpenBody, Stored};

/// Parts of a body that are asked for ahead of the one that is read.
const PARTS_AHEAD: usize = 2;

/// Result of looking up what comes before a body.
#[derive(Debug)]
pub enum FetchBeginning<'a> {
    /// `left_bytes`: octets of body that the message does not have here, to be read by
    /// [`Log::open_long`]. 0: it is whole.
    Ready { stored: Stored<'a>, left_bytes: u64 },
    /// As [`Fetch::Pending`].
    Pending,
}

/// Result of reading a part.
#[derive(Debug)]
pub enum ReadPart<'a> {
    Octets(&'a [u8]),
    /// As [`Fetch::Pending`].
    Pending,
    /// There is no such part: the body has been read.
    End,
}

impl<M: Memory> Log<M> {
    /// The message at that address lives and does not lie in one record.
    pub fn is_in_parts(&self, address: Address) -> bool {
        self.multiparts.record(address).is_some()
    }

    /// As [`Log::fetch`], of a message in parts, without its body.
    #[cold]
    pub fn fetch_beginning(&mut self, address: Address, length: u32) -> FetchBeginning<'_> {
        if self.assemblies.get(address, Extent::Beginning).is_none() {
            if !self.locate(address, length) {
                return FetchBeginning::Pending;
            }
            if beginning_parts(&self.message_at(address)).is_none() {
                return match self.fetch(address, length) {
                    Fetch::Ready(stored) => FetchBeginning::Ready { stored, left_bytes: 0 },
                    Fetch::Pending => FetchBeginning::Pending,
                };
            }
        }
        match self.fetch_parts(address, Extent::Beginning) {
            Some((stored, left_bytes)) => FetchBeginning::Ready { stored, left_bytes },
            None => FetchBeginning::Pending,
        }
    }

    /// The body of the message at that address, whose beginning has just been fetched and did not have
    /// it. To be given back by [`Log::drop_body`], or a message of its own by
    /// [`Log::append_with_body`], which shares the parts with the one that is there.
    pub fn open_long(&mut self, address: Address) -> Option<OpenBody> {
        let entries = self.take_long(address)?;
        Some(self.open_shared(entries))
    }

    /// The parts of the body of that message, as for `open_long`.
    fn take_long(&mut self, address: Address) -> Option<Vec<PartEntry>> {
        let assembly = self.assemblies.take(address, Extent::Beginning)?;
        let message = no_message(address, MessageView::read(assembly.record()));
        body_parts(&message)
    }

    /// The part of an open body that has that place among them.
    ///
    /// # Panics
    /// If what lies there is not that part: the body holds it, so it cannot be.
    pub fn read_part(&mut self, body: &OpenBody, place: usize) -> ReadPart<'_> {
        let Some(entry) = self.part_of(body, place) else { return ReadPart::End };
        let address = entry.address();
        let is_there = self.locate(address, entry.length());
        for ahead in place + 1..=place + PARTS_AHEAD {
            let Some(entry) = self.part_of(body, ahead) else { break };
            self.ask_ahead(entry.address(), entry.length());
        }
        if !is_there {
            return ReadPart::Pending;
        }
        ReadPart::Octets(self.part_at(address))
    }

    /// The content of a part that is located.
    ///
    /// # Panics
    /// If what lies there is no part: somebody who holds it named the address.
    pub(super) fn part_at(&self, address: Address) -> &[u8] {
        match no_message(address, self.record_at(address)) {
            Record::Part(part) => part.content,
            other => panic!("{address:?} is not that of a part but of {other:?}"),
        }
    }
}

/// How many of its parts hold what comes before the body. `None`: one of them holds body as well, or
/// the message is in no parts.
pub(super) fn beginning_parts(message: &MessageView<'_>) -> Option<usize> {
    let Payload::Parts(entries) = message.payload else { return None };
    let bytes = message.content_bytes()?.checked_sub(message.body_bytes())?;
    let mut before = 0;
    for (index, entry) in entries.iter().enumerate() {
        if before >= bytes {
            return (before == bytes).then_some(index);
        }
        before += entry.content_bytes();
    }
    None
}

/// Those of its parts that hold the body and nothing else.
pub(super) fn body_parts(message: &MessageView<'_>) -> Option<Vec<PartEntry>> {
    let Payload::Parts(entries) = message.payload else { return None };
    entries.get(beginning_parts(message)?..).map(<[PartEntry]>::to_vec)
}
