//! Pre-encoded publishes: one buffer of many whole messages, in which only the stamps change from batch to
//! batch. Writing a batch costs two stores per message and no encoding. Pure.
//!
//! Invariant: a batch is stamped only after the batch before it has been written to the last octet, since
//! both live in the same buffer. The producer sees to that.

use std::ops::Range;

use crate::wire::content::{Envelope, Stamp, STAMP_OCTETS};
use crate::wire::table::Table;

/// One place that a producer publishes to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Target {
    /// Number of the stream, unique in the run.
    pub(crate) stream: u16,
    /// Exchange name.
    pub(crate) exchange: String,
    /// Routing key.
    pub(crate) key: String,
    /// Message headers, for headers exchanges.
    pub(crate) headers: Table,
}

/// What all messages of a producer have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// Body sizes in octets, taken in turn.
    pub(crate) sizes: Vec<usize>,
    /// delivery_mode 2.
    pub(crate) persistent: bool,
    /// Ask for unroutable messages back.
    pub(crate) mandatory: bool,
    /// Negotiated.
    pub(crate) frame_max: u32,
    /// About how long the buffer should be.
    pub(crate) batch_octets: usize,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamPosition {
    /// Number of the stream.
    pub(crate) stream: u16,
    /// The next sequence number.
    pub(crate) next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Where the body begins; out of range if it is too short for a stamp.
    body_at: usize,
    /// One past the last octet of the message.
    end: usize,
    /// Index into the positions.
    target: u32,
}

/// The buffer.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    octets: Vec<u8>,
    slots: Vec<Slot>,
    cursor: usize,
    positions: Vec<StreamPosition>,
}

impl Image {
    /// Encodes as many messages as `batch_octets` holds, at least one for each pair of target and size.
    /// `targets` and `shape.sizes` must not be empty.
    pub(crate) fn new(targets: &[Target], shape: &Shape) -> Image {
        let cycle = least_common_multiple(targets.len(), shape.sizes.len());
        let mut image = Image {
            octets: Vec::new(),
            slots: Vec::new(),
            cursor: 0,
            positions: targets
                .iter()
                .map(|target| StreamPosition { stream: target.stream, next: 0 })
                .collect(),
        };
        loop {
            for index in 0..cycle {
                let target = index % targets.len();
                let size = shape.sizes[index % shape.sizes.len()];
                image.append(target, &targets[target], shape, size);
            }
            let cycle_octets = image.octets.len() / (image.slots.len() / cycle);
            if image.octets.len() + cycle_octets > shape.batch_octets {
                return image;
            }
        }
    }

    fn append(&mut self, index: usize, target: &Target, shape: &Shape, size: usize) {
        let envelope = Envelope {
            exchange: &target.exchange,
            key: &target.key,
            mandatory: shape.mandatory,
            persistent: shape.persistent,
            headers: &target.headers,
            frame_max: shape.frame_max,
        };
        let body_at = envelope.encode(&mut self.octets, size);
        self.slots.push(Slot {
            body_at: if size >= STAMP_OCTETS { body_at } else { usize::MAX },
            end: self.octets.len(),
            target: index as u32,
        });
    }

    /// Messages that can be stamped before the buffer has to be written.
    pub(crate) fn room(&self) -> u64 {
        (self.slots.len() - self.cursor) as u64
    }

    /// Stamps the next `count` messages (at most [`Image::room`]) with the times that `sent_ns` gives for
    /// the first, second, ... of them, and returns where they lie in [`Image::octets`].
    pub(crate) fn stamp(&mut self, count: u64, sent_ns: impl Fn(u64) -> u64) -> Range<usize> {
        let first = self.cursor;
        let last = first + count as usize;
        let start = if first == 0 { 0 } else { self.slots[first - 1].end };
        for (index, slot) in self.slots[first..last].iter().enumerate() {
            let position = &mut self.positions[slot.target as usize];
            let sequence = position.next;
            position.next += 1;
            let body = self.octets.get_mut(slot.body_at..);
            if let Some(body) = body.and_then(|body| body.first_chunk_mut::<STAMP_OCTETS>()) {
                let sent_ns = sent_ns(index as u64);
                Stamp { sent_ns, stream: position.stream, sequence }.write(body);
            }
        }
        self.cursor = if last == self.slots.len() { 0 } else { last };
        start..self.slots[last - 1].end
    }

    /// The octets to write.
    pub(crate) fn octets(&self, range: Range<usize>) -> &[u8] {
        &self.octets[range]
    }

    /// How far each stream has come.
    pub(crate) fn positions(&self) -> &[StreamPosition] {
        &self.positions
    }
}

fn least_common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x * b
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Frame, BODY};

    fn target(stream: u16, key: &str) -> Target {
        Target { stream, exchange: String::new(), key: key.into(), headers: Table::default() }
    }

    fn shape(sizes: &[usize], batch_octets: usize) -> Shape {
        Shape {
            sizes: sizes.to_vec(),
            persistent: false,
            mandatory: false,
            frame_max: 4096,
            batch_octets,
        }
    }

    fn stamps(octets: &[u8]) -> Vec<Stamp> {
        let mut rest = octets;
        let mut stamps = Vec::new();
        while let Some((frame, used)) = Frame::take(rest, 4088).unwrap() {
            if frame.kind == BODY {
                stamps.extend(Stamp::read(frame.payload));
            }
            rest = &rest[used..];
        }
        assert!(rest.is_empty(), "a batch ends with a whole frame");
        stamps
    }

    #[test]
    fn every_stream_counts_by_itself_over_batches_and_the_end_of_the_buffer() {
        let mut image = Image::new(&[target(3, "a"), target(9, "bb")], &shape(&[16, 20, 24], 600));
        let mut all = Vec::new();
        for _ in 0..10 {
            let count = image.room().min(5);
            let range = image.stamp(count, |index| 1000 + index);
            all.extend(stamps(image.octets(range)));
        }
        for stream in [3, 9] {
            let sequences: Vec<u64> =
                all.iter().filter(|s| s.stream == stream).map(|s| s.sequence).collect();
            assert_eq!(sequences, (0..sequences.len() as u64).collect::<Vec<_>>());
            assert!(sequences.len() > 10);
        }
        assert_eq!(all[1].sent_ns, 1001);
    }

    #[test]
    fn the_buffer_is_about_as_long_as_asked_for() {
        let image = Image::new(&[target(0, "queue")], &shape(&[16], 65_536));
        assert!((60_000..=65_536).contains(&image.octets.len()), "{}", image.octets.len());
        let large = Image::new(&[target(0, "queue")], &shape(&[100_000], 65_536));
        assert_eq!(large.room(), 1);
    }

    #[test]
    fn bodies_too_short_for_a_stamp_are_sent_without() {
        let mut image = Image::new(&[target(0, "q")], &shape(&[15], 100));
        let before = image.octets.clone();
        let range = image.stamp(1, |_| 7);
        assert_eq!(image.octets(range.clone()), &before[range]);
        assert_eq!(image.positions()[0].next, 1);
    }
}
