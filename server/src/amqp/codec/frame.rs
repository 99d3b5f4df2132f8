//! The frame: type, channel, size, payload, end octet (AMQP 0-9-1 section 4.2.3).
//!
//! Parsing borrows the payload from the input. Everything that can be wrong with a frame by itself
//! is found here; what is wrong with its place in a conversation is found by the connection.

use super::erlang::Snippet;

/// The octet after every payload.
pub(crate) const FRAME_END: u8 = 0xCE;
/// Type, channel and size.
pub(crate) const FRAME_HEADER_OCTETS: usize = 7;
/// What a frame has beyond its payload.
pub(crate) const FRAME_OVERHEAD_OCTETS: usize = FRAME_HEADER_OCTETS + 1;
/// Class, weight and body size at the head of a content header's payload.
pub(crate) const CONTENT_HEADER_OCTETS: usize = 12;

pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;

/// One whole frame of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    pub(crate) payload: &'a [u8],
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content<'a> {
    Method {
        class: u16,
        method: u16,
        arguments: &'a [u8],
    },
    Header(Header<'a>),
    Body(&'a [u8]),
    Heartbeat,
    /// A type that does not exist, or a payload that is none of its type (behaviour A40).
    Unknown,
}

/// A content header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header<'a> {
    pub(crate) class: u16,
    /// Must be 0.
    pub(crate) weight: u16,
    pub(crate) body_size: u64,
    /// Property flags and property list.
    pub(crate) properties: &'a [u8],
}

/// Why octets are not a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// Behaviour A39: `size` is the declared payload, `limit` the largest that a peer should send.
    TooLarge { kind: u8, size: u32, limit: u32 },
    /// Behaviour A38.
    BadEnd { kind: u8, payload: Snippet, marker: u8 },
}

impl<'a> Frame<'a> {
    /// The first frame of `octets`; `None` while it is incomplete. `payload_max` is the largest
    /// payload taken, checked before the payload has arrived. It is frame_max itself, without
    /// what a frame has around its payload, and what is refused hears of the limit with it: many
    /// clients forget those eight octets, and RabbitMQ lets them.
    // Inlined everywhere: its result is too large for registers, and going through memory costs
    // more than the parsing.
    #[inline(always)]
    pub(crate) fn parse(octets: &'a [u8], payload_max: u32) -> Result<Option<Self>, FrameError> {
        let Some((&[kind, c1, c0, s3, s2, s1, s0], rest)) = octets.split_first_chunk::<7>() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([s3, s2, s1, s0]);
        if size > payload_max {
            let limit = payload_max.saturating_sub(FRAME_OVERHEAD_OCTETS as u32);
            return Err(FrameError::TooLarge { kind, size, limit });
        }
        let Some((payload, after)) = rest.split_at_checked(size as usize) else {
            return Ok(None);
        };
        match after.first() {
            None => Ok(None),
            Some(&FRAME_END) => {
                Ok(Some(Frame { kind, channel: u16::from_be_bytes([c1, c0]), payload }))
            }
            Some(&marker) => {
                Err(FrameError::BadEnd { kind, payload: Snippet::of(payload), marker })
            }
        }
    }

    /// The payload of the first frame of `octets` if it is whole, of that type and on that
    /// channel. For the hot path: everything else, errors included, is left to `parse`.
    #[inline]
    pub(crate) fn payload_of(
        octets: &'a [u8],
        kind: u8,
        channel: u16,
        payload_max: u32,
    ) -> Option<&'a [u8]> {
        let (&[k, c1, c0, s3, s2, s1, s0], rest) = octets.split_first_chunk::<7>()?;
        let size = u32::from_be_bytes([s3, s2, s1, s0]);
        let asked_for = k == kind && u16::from_be_bytes([c1, c0]) == channel;
        if !asked_for || size > payload_max {
            return None;
        }
        let (payload, after) = rest.split_at_checked(size as usize)?;
        (after.first() == Some(&FRAME_END)).then_some(payload)
    }

    /// Octets of the whole frame.
    #[inline]
    pub(crate) fn octets(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD_OCTETS
    }

    #[inline]
    pub(crate) fn content(&self) -> Content<'a> {
        match self.kind {
            METHOD => match self.payload.split_first_chunk::<4>() {
                Some((&[c1, c0, m1, m0], arguments)) => Content::Method {
                    class: u16::from_be_bytes([c1, c0]),
                    method: u16::from_be_bytes([m1, m0]),
                    arguments,
                },
                None => Content::Unknown,
            },
            HEADER => Header::read(self.payload).map_or(Content::Unknown, Content::Header),
            BODY => Content::Body(self.payload),
            HEARTBEAT if self.payload.is_empty() => Content::Heartbeat,
            _ => Content::Unknown,
        }
    }
}

impl<'a> Header<'a> {
    /// The payload of a content header; `None`: it is too short.
    #[inline]
    pub(crate) fn read(payload: &'a [u8]) -> Option<Self> {
        let (&[c1, c0, w1, w0, b7, b6, b5, b4, b3, b2, b1, b0], properties) =
            payload.split_first_chunk::<CONTENT_HEADER_OCTETS>()?;
        Some(Header {
            class: u16::from_be_bytes([c1, c0]),
            weight: u16::from_be_bytes([w1, w0]),
            body_size: u64::from_be_bytes([b7, b6, b5, b4, b3, b2, b1, b0]),
            properties,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_parsed_only_when_its_last_octet_is_there() {
        let whole = [1, 0, 5, 0, 0, 0, 4, 0, 20, 0, 10, FRAME_END];
        for cut in 0..whole.len() {
            assert_eq!(Frame::parse(&whole[..cut], 100), Ok(None), "cut at {cut}");
        }
        let frame = Frame::parse(&whole, 100).ok().flatten().expect("a frame");
        assert_eq!(frame.channel, 5);
        assert_eq!(frame.octets(), whole.len());
        assert_eq!(frame.content(), Content::Method { class: 20, method: 10, arguments: &[] });
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_by_its_header_alone() {
        let header = [1, 0, 0, 0, 3, 13, 64];
        assert_eq!(
            Frame::parse(&header, 131_072),
            Err(FrameError::TooLarge { kind: 1, size: 200_000, limit: 131_064 })
        );
        assert_eq!(Frame::parse(&header, 200_000), Ok(None));
    }

    #[test]
    fn a_wrong_end_octet_is_shown_with_the_payload() {
        let octets = [1, 0, 1, 0, 0, 0, 2, 7, 8, 0];
        assert_eq!(
            Frame::parse(&octets, 100),
            Err(FrameError::BadEnd { kind: 1, payload: Snippet::of(&[7, 8]), marker: 0 })
        );
    }

    #[test]
    fn payloads_too_short_for_their_type_are_unknown() {
        for (kind, payload) in [(METHOD, &[0u8, 10, 0][..]), (HEADER, &[0; 11]), (9, &[])] {
            assert_eq!(Frame { kind, channel: 0, payload }.content(), Content::Unknown);
        }
        assert_eq!(
            Frame { kind: HEARTBEAT, channel: 0, payload: &[1] }.content(),
            Content::Unknown
        );
    }
}
