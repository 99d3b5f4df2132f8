//! A message as a client publishes it: basic.publish, content header, body frames; and the stamp in the body
//! that says when and by which stream it was sent. Pure.

use super::frame::{BODY, END, HEADER, OVERHEAD};
use super::method::basic_publish;
use super::put::Put;
use super::table::Table;

/// Octets at the start of a body that carry a [`Stamp`]; shorter bodies carry none.
pub(crate) const STAMP_OCTETS: usize = 16;
/// Sequence numbers have 48 bits; the 16 above them name the stream.
const SEQUENCE_BITS: u32 = 48;

/// What the first 16 octets of each body say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// When the message was, or ought to have been, sent: nanoseconds of the monotonic clock.
    pub(crate) sent_ns: u64,
    /// The producer and target it belongs to.
    pub(crate) stream: u16,
    /// Counts up from 0 within the stream.
    pub(crate) sequence: u64,
}

impl Stamp {
    /// Overwrites the first octets of a body.
    #[inline]
    pub(crate) fn write(&self, body: &mut [u8; STAMP_OCTETS]) {
        let identity = u64::from(self.stream) << SEQUENCE_BITS | self.sequence;
        body[..8].copy_from_slice(&self.sent_ns.to_be_bytes());
        body[8..].copy_from_slice(&identity.to_be_bytes());
    }

    /// Reads the first octets of a body, if it is long enough.
    #[inline]
    pub(crate) fn read(body: &[u8]) -> Option<Stamp> {
        let (sent, rest) = body.split_first_chunk::<8>()?;
        let identity = u64::from_be_bytes(*rest.first_chunk::<8>()?);
        Some(Stamp {
            sent_ns: u64::from_be_bytes(*sent),
            stream: (identity >> SEQUENCE_BITS) as u16,
            sequence: identity & ((1 << SEQUENCE_BITS) - 1),
        })
    }
}

/// Where and how a message is published.
#[derive(Debug, Clone)]
pub(crate) struct Envelope<'a> {
    /// Exchange name, empty for the default exchange.
    pub(crate) exchange: &'a str,
    /// Routing key.
    pub(crate) key: &'a str,
    /// Ask for basic.return when no queue takes it.
    pub(crate) mandatory: bool,
    /// delivery_mode 2 instead of 1.
    pub(crate) persistent: bool,
    /// Headers property; left out when empty.
    pub(crate) headers: &'a Table,
    /// Longest frame allowed, in octets.
    pub(crate) frame_max: u32,
}

impl Envelope<'_> {
    /// Appends a message of `body_octets` and returns where its body begins. Only the first body frame is
    /// sure to hold [`STAMP_OCTETS`] in one piece; frame_max is at least 4096, so it does.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, body_octets: usize) -> usize {
        basic_publish(out, self.exchange, self.key, self.mandatory);
        self.encode_header(out, body_octets);
        let piece_max = self.frame_max as usize - OVERHEAD;
        let body_at = out.len() + 7;
        let mut left = body_octets;
        while left > 0 {
            let piece = left.min(piece_max);
            out.put_u8(BODY);
            out.put_u16(1);
            out.put_u32(piece as u32);
            let done = body_octets - left;
            out.extend((done..done + piece).map(filler));
            out.put_u8(END);
            left -= piece;
        }
        body_at
    }

    fn encode_header(&self, out: &mut Vec<u8>, body_octets: usize) {
        const HEADERS: u16 = 1 << 13;
        const DELIVERY_MODE: u16 = 1 << 12;
        out.put_u8(HEADER);
        out.put_u16(1);
        let length_at = out.len();
        out.put_u32(0);
        out.put_u16(60);
        out.put_u16(0);
        out.put_u64(body_octets as u64);
        let with_headers = !self.headers.0.is_empty();
        out.put_u16(DELIVERY_MODE | if with_headers { HEADERS } else { 0 });
        if with_headers {
            self.headers.encode(out);
        }
        out.put_u8(if self.persistent { 2 } else { 1 });
        let length = (out.len() - length_at - 4) as u32;
        out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
        out.put_u8(END);
    }
}

/// Printable text that does not repeat every few octets, so that a hex dump can be read.
fn filler(position: usize) -> u8 {
    b'a' + ((position * 7 + position / 26) % 26) as u8
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Frame, METHOD};
    use super::*;

    fn envelope(headers: &Table, frame_max: u32) -> Envelope<'_> {
        Envelope { exchange: "", key: "q", mandatory: false, persistent: true, headers, frame_max }
    }

    #[test]
    fn a_stamp_is_read_back_from_the_body() {
        let stamp = Stamp { sent_ns: u64::MAX - 3, stream: 0xABCD, sequence: (1 << 48) - 1 };
        let mut body = [0; 16];
        stamp.write(&mut body);
        assert_eq!(Stamp::read(&body), Some(stamp));
        assert_eq!(Stamp::read(&body[..15]), None);
    }

    #[test]
    fn a_body_longer_than_a_frame_is_split_and_its_header_says_the_whole_length() {
        let headers = Table::default();
        let mut out = Vec::new();
        let body_at = envelope(&headers, 4096).encode(&mut out, 10_000);
        let mut kinds = Vec::new();
        let mut body = 0;
        let mut rest = &out[..];
        while let Some((frame, used)) = Frame::take(rest, 4088).unwrap() {
            kinds.push(frame.kind);
            if frame.kind == HEADER {
                assert_eq!(frame.payload[4..12], 10_000u64.to_be_bytes());
                assert_eq!(frame.payload[12..], [0x10, 0, 2]);
            }
            if frame.kind == BODY {
                body += frame.payload.len();
            }
            rest = &rest[used..];
        }
        assert!(rest.is_empty());
        assert_eq!(kinds, [METHOD, HEADER, BODY, BODY, BODY]);
        assert_eq!(body, 10_000);
        assert_eq!(out[body_at..body_at + 3], [filler(0), filler(1), filler(2)]);
    }

    #[test]
    fn an_empty_body_has_no_body_frame() {
        let headers = Table::default();
        let mut out = Vec::new();
        envelope(&headers, 4096).encode(&mut out, 0);
        assert!(!out.contains(&b'a'));
        assert_eq!(out[out.len() - 4..], [0x10, 0, 2, END]);
    }
}
