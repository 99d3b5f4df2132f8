//! What a connection has to hold back while publishers are blocked (behaviour A24, I33).
//!
//! Publishes are kept as the octets they came in, together with what follows them on their
//! channels, so that order stays; acknowledgements pass. When there is room again the octets are
//! taken as if they came from the socket. Bounded: beyond that the socket is not read.

use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::codec::frame::{Frame, METHOD};

/// Octets held back at most; the last frame may go beyond.
const HELD_MAX: usize = 128 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Held {
    octets: Vec<u8>,
    /// Channels that have something in there.
    channels: Vec<u16>,
    /// No more input is to be taken.
    is_full: bool,
}

impl Held {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    #[inline]
    fn holds(&self, channel: u16) -> bool {
        !self.channels.is_empty() && self.channels.contains(&channel)
    }

    pub(super) fn clear(&mut self) {
        *self = Held::default();
    }

    /// False: there is no room for it.
    fn keep(&mut self, channel: u16, octets: &[u8]) -> bool {
        if self.octets.len() >= HELD_MAX {
            self.is_full = true;
            return false;
        }
        self.octets.extend_from_slice(octets);
        if !self.channels.contains(&channel) {
            self.channels.push(channel);
        }
        true
    }

    /// Whether input may be taken: not while it would overtake what is about to be taken from
    /// here.
    #[inline]
    pub(super) fn lets_in(&self, blocked: bool) -> bool {
        self.octets.is_empty() || (blocked && !self.is_full)
    }

    /// What was not taken goes back, behind what has been held back again meanwhile: that came
    /// before it.
    fn put_back(&mut self, rest: &[u8], payload_max: u32) {
        self.octets.extend_from_slice(rest);
        let mut at = 0;
        while let Some(Ok(Some(frame))) = rest
            .get(at..)
            .filter(|rest| !rest.is_empty())
            .map(|rest| Frame::parse(rest, payload_max))
        {
            if !self.channels.contains(&frame.channel) {
                self.channels.push(frame.channel);
            }
            at += frame.octets();
        }
        self.is_full = self.octets.len() >= HELD_MAX;
    }
}

impl Connection {
    /// Whether a frame has to wait behind others of its channel.
    #[inline]
    pub(super) fn waits_behind(&self, frame: &Frame<'_>) -> bool {
        self.held.holds(frame.channel) && !self.overtakes(frame)
    }

    /// Acknowledgements pass what is held back, unless they are part of a transaction.
    fn overtakes(&self, frame: &Frame<'_>) -> bool {
        let settles = matches!(frame.payload, [0, 60, 0, 80 | 90 | 120, ..]);
        let channel = self.channels.get(&frame.channel);
        frame.kind == METHOD && settles && channel.is_some_and(|one| !one.is_transactional())
    }

    /// connection.close comes after all that was sent before it.
    pub(super) fn closes_behind(&mut self, frame: &Frame<'_>) -> bool {
        let closes = !self.held.is_empty() && matches!(frame.payload, [0, 10, 0, 50, ..]);
        self.held.is_full |= closes;
        closes
    }

    /// Holds a frame back; returns the octets that were taken, 0 if there is no room.
    pub(super) fn hold_back(&mut self, frame: &Frame<'_>, input: &[u8]) -> usize {
        let octets = frame.octets();
        match input.get(..octets) {
            Some(whole) if self.held.keep(frame.channel, whole) => octets,
            _ => 0,
        }
    }

    /// Takes what was held back, if publishers are not blocked any more.
    pub(super) fn take_held<B: Broker>(&mut self, broker: &mut B) {
        if self.held.is_empty() || self.blocked.is_some() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        let taken = self.consume(&held.octets, broker);
        let rest = held.octets.get(taken..).unwrap_or_default();
        if !rest.is_empty() && !self.released {
            self.held.put_back(rest, self.payload_max);
        }
    }
}
