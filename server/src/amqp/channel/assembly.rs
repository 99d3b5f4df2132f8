//! A message whose frames come in pieces.
//!
//! Most messages lie whole in the read buffer and never come here. Memory grows with the octets
//! that have arrived, never with a size that was declared; the buffers are kept for the next
//! message unless they grew large. Of a long body no more than a part is gathered at a time.

use haremq_engine::mail::BODY_PART_BYTES;

use crate::amqp::codec::frame::Header;
use crate::amqp::codec::reader::ShortStr;
use crate::amqp::error::ProtocolError;
use crate::amqp::method::basic::Publish;
use crate::amqp::method::BASIC;

/// A body buffer that grew beyond this is not kept.
const KEEP_CAPACITY_OCTETS: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Header,
    Body,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    stage: Stage,
    mandatory: bool,
    immediate: bool,
    exchange: Vec<u8>,
    key: Vec<u8>,
    properties: Vec<u8>,
    body: Vec<u8>,
    body_size: u64,
    /// Octets of the body that have been handed on, before those in `body`.
    handed_on: u64,
    /// It is handed on in parts.
    is_long: bool,
}

/// Whether a frame has completed the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assembled {
    Partly,
    /// The body is what has been gathered.
    Whole,
    /// The body is that one frame; nothing was gathered.
    InOneFrame,
}

impl Assembly {
    /// A method where content is due (behaviour A42).
    pub(crate) fn expects_method(&self) -> Result<(), ProtocolError> {
        match self.stage {
            Stage::Idle => Ok(()),
            Stage::Header => Err(ProtocolError::ExpectedHeader),
            Stage::Body => Err(ProtocolError::ExpectedBody),
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.stage == Stage::Idle
    }

    pub(crate) fn start(&mut self, publish: &Publish<'_>) {
        self.stage = Stage::Header;
        self.mandatory = publish.mandatory;
        self.immediate = publish.immediate;
        refill(&mut self.exchange, publish.exchange.0);
        refill(&mut self.key, publish.key.0);
    }

    /// `size_max`: see behaviour A45. What is too large is refused before its body has come; the
    /// body then meets a closing channel.
    pub(crate) fn header(
        &mut self,
        header: &Header<'_>,
        size_max: u64,
    ) -> Result<Assembled, ProtocolError> {
        match self.stage {
            Stage::Idle => return Err(ProtocolError::ExpectedMethod),
            Stage::Body => return Err(ProtocolError::ExpectedBody),
            Stage::Header => {}
        }
        if header.class != BASIC {
            return Err(ProtocolError::HeaderOfClass { class: header.class });
        }
        if header.weight != 0 {
            return Err(ProtocolError::ExpectedHeader);
        }
        if header.body_size > size_max {
            return Err(ProtocolError::MessageTooLarge { size: header.body_size, limit: size_max });
        }
        refill(&mut self.properties, header.properties);
        self.body.clear();
        self.body_size = header.body_size;
        self.handed_on = 0;
        self.is_long = false;
        if header.body_size == 0 {
            self.stage = Stage::Idle;
            return Ok(Assembled::Whole);
        }
        self.stage = Stage::Body;
        Ok(Assembled::Partly)
    }

    pub(crate) fn body(&mut self, piece: &[u8]) -> Result<Assembled, ProtocolError> {
        match self.stage {
            Stage::Idle => return Err(ProtocolError::ExpectedMethod),
            Stage::Header => return Err(ProtocolError::ExpectedHeader),
            Stage::Body => {}
        }
        let gathered = self.handed_on + (self.body.len() + piece.len()) as u64;
        if gathered > self.body_size {
            return Err(ProtocolError::BodyTooLong);
        }
        if gathered < self.body_size {
            self.make_room(piece.len());
            self.body.extend_from_slice(piece);
            return Ok(Assembled::Partly);
        }
        self.stage = Stage::Idle;
        if self.body.is_empty() {
            return Ok(Assembled::InOneFrame);
        }
        self.make_room(piece.len());
        self.body.extend_from_slice(piece);
        Ok(Assembled::Whole)
    }

    /// Grows twofold, but to no more than the body will have.
    fn make_room(&mut self, more: usize) {
        let needed = self.body.len() + more;
        if needed > self.body.capacity() {
            let declared = usize::try_from(self.body_size).unwrap_or(usize::MAX);
            let longest = if self.is_long { BODY_PART_BYTES } else { declared };
            let wanted = (self.body.capacity() * 2).min(longest).max(needed);
            self.body.reserve_exact(wanted - self.body.len());
        }
    }

    /// Octets of memory that a body takes which is not whole yet.
    pub(crate) fn held_octets(&self) -> usize {
        if self.is_idle() {
            0
        } else {
            self.body.capacity()
        }
    }

    /// A body is awaited, and so many octets do not make it whole.
    pub(crate) fn wants_more_than(&self, octets: usize) -> bool {
        let gathered = self.handed_on + (self.body.len() + octets) as u64;
        self.stage == Stage::Body && gathered < self.body_size
    }

    /// Octets that the body has, or is going to have.
    pub(crate) fn body_size(&self) -> u64 {
        self.body_size
    }

    /// It is going to be handed on in parts.
    pub(crate) fn is_handed_on(&mut self) {
        self.is_long = true;
    }

    /// Octets that the part at hand still takes.
    pub(crate) fn part_room(&self) -> usize {
        BODY_PART_BYTES.saturating_sub(self.body.len())
    }

    /// What has been gathered has been handed on.
    pub(crate) fn part_handed_on(&mut self) {
        self.handed_on += self.body.len() as u64;
        self.body.clear();
    }

    pub(crate) fn publish(&self) -> Publish<'_> {
        Publish {
            exchange: ShortStr(&self.exchange),
            key: ShortStr(&self.key),
            mandatory: self.mandatory,
            immediate: self.immediate,
        }
    }

    pub(crate) fn properties(&self) -> &[u8] {
        &self.properties
    }

    pub(crate) fn gathered(&self) -> &[u8] {
        &self.body
    }

    /// After the message has been handed on.
    pub(crate) fn done(&mut self) {
        if self.body.capacity() > KEEP_CAPACITY_OCTETS {
            self.body = Vec::new();
        }
    }
}

fn refill(buffer: &mut Vec<u8>, octets: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(octets);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish() -> Publish<'static> {
        Publish { exchange: ShortStr(b"x"), key: ShortStr(b"k"), mandatory: true, immediate: false }
    }

    fn header(body_size: u64) -> Header<'static> {
        Header { class: 60, weight: 0, body_size, properties: &[0, 0] }
    }

    #[test]
    fn pieces_make_a_body() {
        let mut assembly = Assembly::default();
        assembly.start(&publish());
        assert_eq!(assembly.header(&header(5), 10), Ok(Assembled::Partly));
        assert_eq!(assembly.body(b"ab"), Ok(Assembled::Partly));
        assert_eq!(assembly.body(b""), Ok(Assembled::Partly));
        assert_eq!(assembly.body(b"cde"), Ok(Assembled::Whole));
        assert_eq!(assembly.gathered(), b"abcde");
        assert_eq!(assembly.publish(), publish());
        assert!(assembly.is_idle());
    }

    #[test]
    fn what_an_unfinished_body_takes_is_known_and_no_more_than_it_will_have() {
        let mut assembly = Assembly::default();
        assembly.start(&publish());
        assert_eq!(assembly.header(&header(1000), 1000), Ok(Assembled::Partly));
        assert!(assembly.wants_more_than(999) && !assembly.wants_more_than(1000));
        for _ in 0..9 {
            assert_eq!(assembly.body(&[7; 100]), Ok(Assembled::Partly));
        }
        assert!((900..=1000).contains(&assembly.held_octets()), "{}", assembly.held_octets());
        assert!(assembly.wants_more_than(99) && !assembly.wants_more_than(100));
        assert_eq!(assembly.body(&[7; 100]), Ok(Assembled::Whole));
        assert_eq!(assembly.held_octets(), 0);
    }

    #[test]
    fn a_body_in_one_frame_is_not_gathered() {
        let mut assembly = Assembly::default();
        assembly.start(&publish());
        assert_eq!(assembly.header(&header(2), 10), Ok(Assembled::Partly));
        assert_eq!(assembly.body(b"ab"), Ok(Assembled::InOneFrame));
        assert_eq!(assembly.body.capacity(), 0);
    }

    #[test]
    fn no_memory_is_taken_for_a_declared_size() {
        let mut assembly = Assembly::default();
        assembly.start(&publish());
        assert_eq!(assembly.header(&header(u64::MAX), u64::MAX), Ok(Assembled::Partly));
        assert_eq!(assembly.body(b"ab"), Ok(Assembled::Partly));
        assert!(assembly.body.capacity() < 64);
    }

    #[test]
    fn frames_out_of_place_are_refused() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.header(&header(1), 9), Err(ProtocolError::ExpectedMethod));
        assert_eq!(assembly.body(b"a"), Err(ProtocolError::ExpectedMethod));
        assembly.start(&publish());
        assert_eq!(assembly.expects_method(), Err(ProtocolError::ExpectedHeader));
        assert_eq!(assembly.body(b"a"), Err(ProtocolError::ExpectedHeader));
        let other = Header { class: 50, ..header(1) };
        assert_eq!(assembly.header(&other, 9), Err(ProtocolError::HeaderOfClass { class: 50 }));
        assert_eq!(
            assembly.header(&header(10), 9),
            Err(ProtocolError::MessageTooLarge { size: 10, limit: 9 })
        );
        assert_eq!(assembly.header(&header(2), 9), Ok(Assembled::Partly));
        assert_eq!(assembly.expects_method(), Err(ProtocolError::ExpectedBody));
        assert_eq!(assembly.header(&header(2), 9), Err(ProtocolError::ExpectedBody));
        assert_eq!(assembly.body(b"abc"), Err(ProtocolError::BodyTooLong));
    }
}
