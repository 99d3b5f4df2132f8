//! Long bodies on their way to the client, and what their channels say meanwhile.
//!
//! Nothing of a channel may come between the frames of one content, so whatever else it has to say
//! waits behind its body; other channels go on. A body is asked for piece by piece, as the socket
//! takes it, so no more of it is in memory than a few pieces, however many are on their way.

use std::collections::VecDeque;

use haremq_engine::ids::ShardId;
use haremq_engine::mail::BODY_PART_BYTES;

use super::codec::writer;

/// The next piece is asked for while less than so many octets wait for the socket or are on their
/// way.
const WAITING_OCTETS_MAX: usize = 2 * BODY_PART_BYTES;
/// What a body that waits behind another one counts as.
const WAITING_BODY_OCTETS: usize = 64 * 1024;

/// Deliveries of a shard in what a channel has said: behind so many octets, so many of its window.
pub(super) type Delivered = (usize, ShardId, u64);

/// What waits behind a body, in order.
#[derive(Debug)]
enum Said {
    Frames { octets: Vec<u8>, delivered: Vec<Delivered> },
    Body(Body),
}

#[derive(Debug)]
struct Body {
    /// The shard that reads it, and its number for that.
    from: ShardId,
    reading: u64,
    left_octets: u64,
    /// A piece is on its way.
    is_asked: bool,
}

/// A channel with a body on its way, which is in front.
#[derive(Debug)]
struct Busy {
    channel: u16,
    said: VecDeque<Said>,
}

impl Busy {
    fn body(&mut self) -> Option<&mut Body> {
        match self.said.front_mut() {
            Some(Said::Body(body)) => Some(body),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The one that is to be asked for next in front.
    busy: VecDeque<Busy>,
    /// Pieces on their way.
    asked: usize,
}

impl Outgoing {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.busy.is_empty()
    }

    /// Where that channel's frames go. `None`: it has no body on its way.
    pub(super) fn frames(&mut self, channel: u16) -> Option<&mut Vec<u8>> {
        let busy = self.busy.iter_mut().find(|busy| busy.channel == channel)?;
        if !matches!(busy.said.back(), Some(Said::Frames { .. })) {
            busy.said.push_back(Said::Frames { octets: Vec::new(), delivered: Vec::new() });
        }
        match busy.said.back_mut() {
            Some(Said::Frames { octets, .. }) => Some(octets),
            _ => None,
        }
    }

    /// What that channel has said last is a delivery. False: it did not say it here.
    pub(super) fn mark_delivery(&mut self, channel: u16, shard: ShardId, window: u64) -> bool {
        let busy = self.busy.iter_mut().find(|busy| busy.channel == channel);
        match busy.and_then(|busy| busy.said.back_mut()) {
            Some(Said::Frames { octets, delivered }) => {
                delivered.push((octets.len(), shard, window));
                true
            }
            _ => false,
        }
    }

    /// A body follows what that channel has said.
    pub(super) fn add(&mut self, channel: u16, from: ShardId, reading: u64, octets: u64) {
        let body = Said::Body(Body { from, reading, left_octets: octets, is_asked: false });
        match self.busy.iter_mut().find(|busy| busy.channel == channel) {
            Some(busy) => busy.said.push_back(body),
            None => self.busy.push_back(Busy { channel, said: VecDeque::from([body]) }),
        }
    }

    /// A piece of a body has come; it goes to `out`, and what its channel has said behind it if it was the
    /// last one. Nobody may be waiting for it any more. `place`: octets that had been said before
    /// `out` was begun; `delivered` gets the deliveries that leave with it.
    pub(super) fn piece(
        &mut self,
        out: &mut Vec<u8>,
        (from, reading): (ShardId, u64),
        piece: &[u8],
        payload_max: u32,
        mut delivered: impl FnMut(Delivered),
    ) {
        let is_it = |busy: &mut Busy| {
            busy.body().is_some_and(|body| (body.from, body.reading) == (from, reading))
        };
        let Some(at) = (0..self.busy.len()).find(|at| is_it(&mut self.busy[*at])) else { return };
        let channel = self.busy[at].channel;
        let Some(body) = self.busy[at].body() else { return };
        body.is_asked = false;
        self.asked = self.asked.saturating_sub(1);
        // More than was announced would be taken for something else.
        let length = piece.len().min(usize::try_from(body.left_octets).unwrap_or(usize::MAX));
        body.left_octets -= length as u64;
        let is_over = body.left_octets == 0;
        writer::body(out, channel, &piece[..length], payload_max);
        if !is_over {
            return;
        }
        let said = &mut self.busy[at].said;
        said.pop_front();
        while let Some(Said::Frames { .. }) = said.front() {
            let Some(Said::Frames { octets, delivered: all }) = said.pop_front() else { break };
            let begun = out.len();
            out.extend_from_slice(&octets);
            for (behind, shard, window) in all {
                delivered((begun + behind, shard, window));
            }
        }
        if said.is_empty() {
            self.busy.remove(at);
        }
    }

    /// The next piece to ask for, if there is room for it: the shard, and its number for the body.
    /// `pending`: octets that wait for the socket.
    pub(super) fn next_wanted(&mut self, pending: usize) -> Option<(ShardId, u64)> {
        if pending + self.asked * BODY_PART_BYTES >= WAITING_OCTETS_MAX {
            return None;
        }
        let is_idle = |busy: &mut Busy| busy.body().is_some_and(|body| !body.is_asked);
        let at = (0..self.busy.len()).find(|at| is_idle(&mut self.busy[*at]))?;
        let mut busy = self.busy.remove(at)?;
        let wanted = busy.body().map(|body| {
            body.is_asked = true;
            (body.from, body.reading)
        });
        self.busy.push_back(busy);
        self.asked += 1;
        wanted
    }

    /// Octets of memory of what waits behind bodies, about.
    pub(super) fn waiting_octets(&self) -> usize {
        let octets = |said: &Said| match said {
            Said::Frames { octets, .. } => octets.len(),
            Said::Body(_) => WAITING_BODY_OCTETS,
        };
        self.busy.iter().flat_map(|busy| busy.said.iter().skip(1)).map(octets).sum()
    }

    /// The connection ends: nothing of it is said any more.
    pub(super) fn clear(&mut self) {
        *self = Outgoing::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: ShardId = ShardId(1);

    fn piece(outgoing: &mut Outgoing, out: &mut Vec<u8>, reading: u64, octets: &[u8]) -> usize {
        let mut delivered = 0;
        outgoing.piece(out, (FROM, reading), octets, 100, |_| delivered += 1);
        delivered
    }

    #[test]
    fn what_a_channel_says_waits_behind_its_body_and_no_other_channel_does() {
        let (mut outgoing, mut out) = (Outgoing::default(), Vec::new());
        outgoing.add(1, FROM, 7, 3);
        assert!(outgoing.frames(2).is_none());
        outgoing.frames(1).expect("it waits").extend_from_slice(b"behind");
        assert!(outgoing.mark_delivery(1, FROM, 5));
        assert_eq!(piece(&mut outgoing, &mut out, 7, b"ab"), 0);
        assert!(!out.ends_with(b"behind"));
        assert_eq!(piece(&mut outgoing, &mut out, 7, b"c"), 1);
        assert!(out.ends_with(b"behind") && outgoing.is_empty());
    }

    #[test]
    fn bodies_of_one_channel_come_one_after_the_other() {
        let (mut outgoing, mut out) = (Outgoing::default(), Vec::new());
        outgoing.add(1, FROM, 7, 1);
        outgoing.frames(1).expect("it waits").extend_from_slice(b"next");
        outgoing.add(1, FROM, 8, 1);
        assert_eq!(outgoing.next_wanted(0), Some((FROM, 7)));
        assert_eq!(outgoing.next_wanted(0), None);
        piece(&mut outgoing, &mut out, 7, b"a");
        assert!(out.ends_with(b"next"));
        assert_eq!(outgoing.next_wanted(0), Some((FROM, 8)));
        piece(&mut outgoing, &mut out, 8, b"b");
        assert!(outgoing.is_empty());
    }

    /// However many channels wait, a few pieces are on their way at a time.
    #[test]
    fn no_more_is_asked_for_than_the_socket_takes() {
        let mut outgoing = Outgoing::default();
        for channel in 1..100 {
            outgoing.add(channel, FROM, u64::from(channel), 1 << 27);
        }
        assert_eq!(outgoing.next_wanted(WAITING_OCTETS_MAX), None);
        let asked = std::iter::from_fn(|| outgoing.next_wanted(0)).count();
        assert!(asked * BODY_PART_BYTES <= WAITING_OCTETS_MAX + BODY_PART_BYTES, "{asked}");
        let mut out = Vec::new();
        piece(&mut outgoing, &mut out, 1, &[0; 10]);
        assert_eq!(outgoing.next_wanted(0), Some((FROM, asked as u64 + 1)), "each has its turn");
    }
}
