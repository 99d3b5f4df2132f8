//! Frames: seven octets of header, payload, 0xCE. Pure; borrows the read buffer and never copies.

use super::WireError;

/// Frame type of a method.
pub(crate) const METHOD: u8 = 1;
/// Frame type of a content header.
pub(crate) const HEADER: u8 = 2;
/// Frame type of a piece of a message body.
pub(crate) const BODY: u8 = 3;
/// Frame type of a heartbeat.
pub(crate) const HEARTBEAT: u8 = 8;
/// Last octet of each frame.
pub(crate) const END: u8 = 0xCE;
/// What a frame costs besides its payload.
pub(crate) const OVERHEAD: usize = 8;
/// The protocol header that a client sends first.
pub(crate) const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// One whole frame, borrowed from the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// [`METHOD`], [`HEADER`], [`BODY`] or [`HEARTBEAT`].
    pub(crate) kind: u8,
    /// The channel; 0 is the connection itself.
    pub(crate) channel: u16,
    /// The octets between header and end mark.
    pub(crate) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes the first frame off `octets`, if it is there whole. Returns it and the octets it occupies.
    /// `payload_limit` is the longest payload allowed (frame_max less [`OVERHEAD`]).
    pub(crate) fn take(
        octets: &'a [u8],
        payload_limit: u32,
    ) -> Result<Option<(Frame<'a>, usize)>, WireError> {
        let Some(head) = octets.first_chunk::<7>() else {
            return if octets.starts_with(b"AMQP") {
                Err(WireError::WrongProtocol)
            } else {
                Ok(None)
            };
        };
        let kind = head[0];
        if !matches!(kind, METHOD | HEADER | BODY | HEARTBEAT) {
            return Err(if octets.starts_with(b"AMQP") {
                WireError::WrongProtocol
            } else {
                WireError::UnknownFrameType(kind)
            });
        }
        let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        if length > payload_limit {
            return Err(WireError::FrameTooLarge { got: length, limit: payload_limit });
        }
        let length = length as usize;
        let Some(rest) = octets.get(7..7 + length + 1) else { return Ok(None) };
        let (payload, end) = rest.split_at(length);
        if end != [END] {
            return Err(WireError::NoFrameEnd);
        }
        let channel = u16::from_be_bytes([head[1], head[2]]);
        Ok(Some((Frame { kind, channel, payload }, length + OVERHEAD)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: [u8; 21] = [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 7, 1, 0xCE];

    #[test]
    fn a_whole_frame_is_taken_and_its_length_told() {
        let mut octets = ACK.to_vec();
        octets.extend_from_slice(&[9, 9, 9]);
        let (frame, used) = Frame::take(&octets, 4088).unwrap().unwrap();
        assert_eq!((frame.kind, frame.channel, used), (METHOD, 1, 21));
        assert_eq!(frame.payload[..4], [0, 60, 0, 80]);
    }

    #[test]
    fn every_cut_of_a_frame_asks_for_more_octets() {
        for cut in 0..ACK.len() {
            assert_eq!(Frame::take(&ACK[..cut], 4088), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn bad_octets_are_told_apart() {
        let mut no_end = ACK;
        no_end[20] = 0;
        assert_eq!(Frame::take(&no_end, 4088), Err(WireError::NoFrameEnd));
        assert_eq!(Frame::take(&ACK, 12), Err(WireError::FrameTooLarge { got: 13, limit: 12 }));
        assert_eq!(Frame::take(b"AMQP\x00\x01\x00\x00", 4088), Err(WireError::WrongProtocol));
        assert_eq!(Frame::take(b"HTTP/1.1 400", 4088), Err(WireError::UnknownFrameType(b'H')));
    }
}
