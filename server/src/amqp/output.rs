//! What a connection has said and its socket has not taken yet.
//!
//! One buffer for everything, so that order on the wire is the order of events. Beside it stands
//! which octets are deliveries of which shard, so that the shard learns when they have left.

use std::collections::VecDeque;

use haremq_engine::ids::ShardId;

use super::outgoing::Outgoing;

/// Deliveries of one shard are given back in portions of about this many octets.
const WINDOW_PORTION_OCTETS: u64 = 16 * 1024;
/// A buffer that grew beyond this is not kept once it is empty.
const KEEP_CAPACITY_OCTETS: usize = 1024 * 1024;
/// Written octets are cut off the front of the buffer when there are so many.
const COMPACT_OCTETS: usize = 256 * 1024;

/// Up to `end` of the stream, `octets` of deliveries of `shard` are under way.
#[derive(Clone, Copy, Debug)]
struct WindowMark {
    end: u64,
    shard: ShardId,
    octets: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    /// Octets at the front of `buffer` that have left.
    sent: usize,
    /// Place in the stream of the front of `buffer`.
    base: u64,
    windows: VecDeque<WindowMark>,
    outgoing: Outgoing,
}

impl Output {
    /// The buffer to append frames of a channel to.
    #[inline]
    pub(crate) fn frames(&mut self, channel: u16) -> &mut Vec<u8> {
        if self.outgoing.is_empty() {
            return &mut self.buffer;
        }
        self.outgoing.frames(channel).unwrap_or(&mut self.buffer)
    }

    /// What that channel has said last is the beginning of a message whose body is read by that
    /// shard, under that number.
    pub(crate) fn begin_body(&mut self, channel: u16, from: ShardId, reading: u64, octets: u64) {
        self.outgoing.add(channel, from, reading, octets);
    }

    /// Some of such a body.
    pub(crate) fn piece(&mut self, from: ShardId, reading: u64, octets: &[u8], payload_max: u32) {
        let Output { buffer, base, windows, outgoing, .. } = self;
        outgoing.piece(buffer, (from, reading), octets, payload_max, |(behind, shard, octets)| {
            windows.push_back(WindowMark { end: *base + behind as u64, shard, octets });
        });
    }

    /// The next piece to be asked for: the shard that reads, and its number for the body.
    pub(crate) fn next_wanted(&mut self) -> Option<(ShardId, u64)> {
        if self.outgoing.is_empty() {
            return None;
        }
        self.outgoing.next_wanted(self.buffer.len() - self.sent)
    }

    /// No body is on its way.
    pub(crate) fn has_no_body(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Bodies that are on their way, and what is behind them, are not said any more.
    pub(crate) fn give_bodies_up(&mut self) {
        self.outgoing.clear();
    }

    /// Octets that have not left, those that wait behind a body included.
    #[inline]
    pub(crate) fn waiting_octets(&self) -> usize {
        let behind = if self.outgoing.is_empty() { 0 } else { self.outgoing.waiting_octets() };
        self.buffer.len() - self.sent + behind
    }

    /// Octets that have not left.
    #[inline]
    pub(crate) fn pending(&self) -> &[u8] {
        &self.buffer[self.sent..]
    }

    /// Octets ever appended.
    #[inline]
    pub(crate) fn end(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Octets that have ever left.
    pub(crate) fn octets_sent(&self) -> u64 {
        self.base + self.sent as u64
    }

    /// What was appended last, of that channel, carries a delivery of `shard` that took `octets` of
    /// its window.
    #[inline]
    pub(crate) fn mark_delivery(&mut self, channel: u16, shard: ShardId, octets: u64) {
        if !self.outgoing.is_empty() && self.outgoing.mark_delivery(channel, shard, octets) {
            return;
        }
        let end = self.end();
        match self.windows.back_mut() {
            Some(last) if last.shard == shard && last.octets < WINDOW_PORTION_OCTETS => {
                last.octets += octets;
                last.end = end;
            }
            _ => self.windows.push_back(WindowMark { end, shard, octets }),
        }
    }

    /// The first `count` octets of `pending` have left; tells for each shard how much of its
    /// window is free again.
    pub(crate) fn wrote(&mut self, count: usize, mut free: impl FnMut(ShardId, u64)) {
        self.sent = (self.sent + count).min(self.buffer.len());
        if self.sent == self.buffer.len() {
            self.base += self.sent as u64;
            self.sent = 0;
            self.buffer.clear();
            if self.buffer.capacity() > KEEP_CAPACITY_OCTETS {
                self.buffer = Vec::new();
            }
        } else if self.sent >= COMPACT_OCTETS && self.sent >= self.buffer.len() / 2 {
            self.buffer.drain(..self.sent);
            self.base += self.sent as u64;
            self.sent = 0;
        }
        let left = self.octets_sent();
        let mut sum: Option<(ShardId, u64)> = None;
        while let Some(mark) = self.windows.front().filter(|mark| mark.end <= left) {
            sum = Some(match sum {
                Some((shard, octets)) if shard == mark.shard => (shard, octets + mark.octets),
                other => {
                    if let Some((shard, octets)) = other {
                        free(shard, octets);
                    }
                    (mark.shard, mark.octets)
                }
            });
            self.windows.pop_front();
        }
        if let Some((shard, octets)) = sum {
            free(shard, octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(output: &mut Output, count: usize) -> Vec<(u16, u64)> {
        let mut freed = Vec::new();
        output.wrote(count, |shard, octets| freed.push((shard.0, octets)));
        freed
    }

    #[test]
    fn window_is_freed_only_when_the_delivery_has_left_whole() {
        let mut output = Output::default();
        output.frames(1).extend_from_slice(&[0; 100]);
        output.mark_delivery(1, ShardId(1), 80);
        output.frames(1).extend_from_slice(&[0; 50]);
        output.mark_delivery(1, ShardId(0), 40);
        assert_eq!(wrote(&mut output, 99), []);
        assert_eq!(wrote(&mut output, 1), [(1, 80)]);
        assert_eq!(output.pending().len(), 50);
        assert_eq!(wrote(&mut output, 50), [(0, 40)]);
        assert_eq!(output.octets_sent(), 150);
    }

    #[test]
    fn every_octet_of_window_comes_back_whatever_the_write_sizes() {
        let mut output = Output::default();
        let (mut taken, mut freed) = (0u64, 0u64);
        for round in 0..2_000usize {
            let size = round % 700 + 1;
            output.frames(1).extend(std::iter::repeat_n(1u8, size));
            output.mark_delivery(1, ShardId((round % 3) as u16), size as u64);
            taken += size as u64;
            let write = (round * 31) % 900;
            let write = write.min(output.pending().len());
            freed += wrote(&mut output, write).iter().map(|(_, octets)| octets).sum::<u64>();
        }
        let rest = output.pending().len();
        freed += wrote(&mut output, rest).iter().map(|(_, octets)| octets).sum::<u64>();
        assert_eq!(taken, freed);
    }
}
