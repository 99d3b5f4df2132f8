//! Writing frames: values appended to an output buffer, sizes filled in when a frame is finished.

use super::frame::{
    BODY, CONTENT_HEADER_OCTETS, FRAME_END, FRAME_HEADER_OCTETS, HEADER, HEARTBEAT, METHOD,
};

/// One method frame under way. Nothing else may be appended to the buffer before `finish`.
#[derive(Debug)]
#[must_use = "a frame without its end breaks the stream"]
pub(crate) struct MethodWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where the payload size stands.
    size_at: usize,
}

impl<'o> MethodWriter<'o> {
    pub(crate) fn new(out: &'o mut Vec<u8>, channel: u16, class: u16, method: u16) -> Self {
        out.push(METHOD);
        out.extend_from_slice(&channel.to_be_bytes());
        let size_at = out.len();
        out.extend_from_slice(&[0; 4]);
        MethodWriter { out, size_at }.u16(class).u16(method)
    }

    pub(crate) fn u8(self, value: u8) -> Self {
        self.out.push(value);
        self
    }

    /// One octet that holds a single bit.
    pub(crate) fn bit(self, value: bool) -> Self {
        self.u8(u8::from(value))
    }

    pub(crate) fn u16(self, value: u16) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u32(self, value: u32) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn u64(self, value: u64) -> Self {
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Cut after 255 octets; what comes here was a short string before, or is known to be shorter.
    pub(crate) fn short(self, value: &[u8]) -> Self {
        let value = &value[..value.len().min(usize::from(u8::MAX))];
        self.out.push(value.len() as u8);
        self.out.extend_from_slice(value);
        self
    }

    pub(crate) fn long(self, value: &[u8]) -> Self {
        self.u32(value.len() as u32).raw(value)
    }

    pub(crate) fn raw(self, octets: &[u8]) -> Self {
        self.out.extend_from_slice(octets);
        self
    }

    pub(crate) fn finish(self) {
        let size = (self.out.len() - self.size_at - 4) as u32;
        if let Some(place) = self.out.get_mut(self.size_at..self.size_at + 4) {
            place.copy_from_slice(&size.to_be_bytes());
        }
        self.out.push(FRAME_END);
    }
}

/// Type, channel and payload size.
#[inline]
pub(crate) fn frame_header(kind: u8, channel: u16, size: u32) -> [u8; FRAME_HEADER_OCTETS] {
    let [c1, c0] = channel.to_be_bytes();
    let [s3, s2, s1, s0] = size.to_be_bytes();
    [kind, c1, c0, s3, s2, s1, s0]
}

/// A content header and as many body frames as `payload_max` asks for. `body_size`: octets of the
/// whole body, of which what is not in `body` follows by [`body()`].
#[inline]
pub(crate) fn content(
    out: &mut Vec<u8>,
    channel: u16,
    properties: &[u8],
    body: &[u8],
    body_size: u64,
    payload_max: u32,
) {
    // Fixed octets go out in as few pieces as possible: this is done for every delivery.
    let mut head = [0u8; FRAME_HEADER_OCTETS + CONTENT_HEADER_OCTETS];
    let (frame, content) = head.split_at_mut(FRAME_HEADER_OCTETS);
    let size = CONTENT_HEADER_OCTETS + properties.len();
    frame.copy_from_slice(&frame_header(HEADER, channel, size as u32));
    content[1] = super::super::method::BASIC as u8;
    content[4..].copy_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(properties);
    for piece in body.chunks(payload_max as usize) {
        let [kind, c1, c0, s3, s2, s1, s0] = frame_header(BODY, channel, piece.len() as u32);
        out.extend_from_slice(&[FRAME_END, kind, c1, c0, s3, s2, s1, s0]);
        out.extend_from_slice(piece);
    }
    out.push(FRAME_END);
}

/// Some of a body, in as many frames as `payload_max` asks for.
pub(crate) fn body(out: &mut Vec<u8>, channel: u16, octets: &[u8], payload_max: u32) {
    let frames = octets.len().div_ceil(payload_max.max(1) as usize);
    out.reserve(octets.len() + frames * (FRAME_HEADER_OCTETS + 1));
    for piece in octets.chunks(payload_max.max(1) as usize) {
        out.extend_from_slice(&frame_header(BODY, channel, piece.len() as u32));
        out.extend_from_slice(piece);
        out.push(FRAME_END);
    }
}

/// A heartbeat (behaviour A18).
pub(crate) fn heartbeat(out: &mut Vec<u8>) {
    out.extend_from_slice(&frame_header(HEARTBEAT, 0, 0));
    out.push(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::super::frame::{Content, Frame, Header};
    use super::*;

    #[test]
    fn a_written_method_is_read_back() {
        let mut out = Vec::new();
        MethodWriter::new(&mut out, 7, 50, 11).short(b"q").u32(3).u32(1).finish();
        let frame = Frame::parse(&out, 100).ok().flatten().expect("a frame");
        assert_eq!(frame.octets(), out.len());
        assert_eq!(
            frame.content(),
            Content::Method {
                class: 50,
                method: 11,
                arguments: &[1, b'q', 0, 0, 0, 3, 0, 0, 0, 1]
            }
        );
    }

    #[test]
    fn bodies_are_cut_at_the_payload_limit() {
        for (length, frames) in [(0usize, 0usize), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)] {
            let body = vec![9u8; length];
            let mut out = Vec::new();
            content(&mut out, 1, &[0, 0], &body, length as u64, 10);
            let head = Frame::parse(&out, 100).ok().flatten().expect("a header");
            assert_eq!(
                head.content(),
                Content::Header(Header {
                    class: 60,
                    weight: 0,
                    body_size: length as u64,
                    properties: &[0, 0]
                })
            );
            let mut at = head.octets();
            let mut got = Vec::new();
            let mut count = 0;
            while at < out.len() {
                let frame = Frame::parse(&out[at..], 10).ok().flatten().expect("a body frame");
                got.extend_from_slice(frame.payload);
                at += frame.octets();
                count += 1;
            }
            assert_eq!((got, count), (body, frames));
        }
    }
}
