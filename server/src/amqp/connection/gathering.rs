//! Messages that have come in part, or wait for a commit: what they take counts as memory for messages, and when that
//! is short no more of them is taken in.

use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::codec::frame::{Frame, BODY};

/// Memory of the bodies that are not whole yet, of all channels.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// As last told to the broker.
    octets: usize,
    /// A part has come since.
    is_growing: bool,
}

impl Gathering {
    #[inline]
    pub(super) fn part_came(&mut self) {
        self.is_growing = true;
    }
}

impl Connection {
    /// Tells the broker what has changed.
    #[inline]
    pub(super) fn tell_gathered<B: Broker>(&mut self, broker: &mut B) {
        if self.gathering.is_growing || self.session.gathers || self.gathering.octets > 0 {
            let now = self.channels.values().map(|channel| channel.gathered_octets()).sum();
            self.gathering.is_growing = false;
            self.session.gathers = false;
            broker.gathers(std::mem::replace(&mut self.gathering.octets, now), now);
        }
    }

    /// It holds messages that are not whole and may take no more of them: publishers are blocked.
    #[inline]
    pub fn holds_parts_back(&self) -> bool {
        self.gathering.octets > 0 && self.blocked.is_some()
    }

    /// This shard is not to count them any more; the next one finds them.
    pub(super) fn take_gathered_along<B: Broker>(&mut self, broker: &mut B) {
        broker.gathers(std::mem::take(&mut self.gathering.octets), 0);
        self.gathering.is_growing = true;
    }

    /// Whether a frame is a part of a body, and not the last, while publishers are blocked: it has to wait. The last one
    /// gives more memory back than it takes. Bodies that are short, or handed on in parts, are read to their end whatever
    /// memory there is, so that they never keep one another waiting; the next publish is what waits.
    pub(super) fn holds_part<B: Broker>(&mut self, frame: &Frame<'_>, broker: &B) -> bool {
        frame.kind == BODY
            && self.blocked_now.is_some()
            && self.channels.get(&frame.channel).is_some_and(|channel| {
                channel.assembly.wants_more_than(frame.payload.len())
                    && (channel.gathers_at_length() || broker.is_disk_short())
            })
            && self.hold_publisher()
    }
}
