//! A consumer: one connection, one channel, one basic.consume. It walks deliveries in the read buffer
//! without copying, notes what came in its ledger, and acknowledges every N messages.
//!
//! Owned by one worker thread; it never blocks and reads no clock.

use crate::error::{PerfError, Result};
use crate::ledger::SequenceSet;
use crate::link::Link;
use crate::load::control::Tally;
use crate::wire::content::Stamp;
use crate::wire::frame::{Frame, BODY, HEADER, METHOD};
use crate::wire::method;
use crate::wire::reply::{Delivery, Reply};
use crate::wire::WireError;

/// What a consumer is told once.
#[derive(Debug, Clone)]
pub(crate) struct Subscription {
    /// Index of the queue in the layout.
    pub(crate) queue: u32,
    /// Its name.
    pub(crate) queue_name: String,
    /// Messages per acknowledgement; none: the broker need not wait for any.
    pub(crate) ack_every: Option<u32>,
    /// Streams in the run; stamps with a higher number are not ours.
    pub(crate) streams: u16,
    /// Stamps older than this are of an earlier run.
    pub(crate) oldest_ns: u64,
}

/// Where in a message the walk stands.
#[derive(Debug, Clone, Copy)]
enum Content {
    None,
    Header(Delivery),
    Body { delivery: Delivery, left: u64, fresh: bool },
}

/// State of one consumer.
pub(crate) struct Consumer {
    subscription: Subscription,
    content: Content,
    consuming: bool,
    unacked: u32,
    last_tag: u64,
    foreign: u64,
    received: Vec<SequenceSet>,
}

impl Consumer {
    /// A consumer that has not asked for messages yet.
    pub(crate) fn new(subscription: Subscription) -> Consumer {
        let received = vec![SequenceSet::default(); usize::from(subscription.streams)];
        Consumer {
            subscription,
            content: Content::None,
            consuming: false,
            unacked: 0,
            last_tag: 0,
            foreign: 0,
            received,
        }
    }

    /// Sends basic.consume.
    pub(crate) fn subscribe(&self, link: &mut Link) {
        let auto_ack = self.subscription.ack_every.is_none();
        method::basic_consume(
            &mut link.outbox,
            &self.subscription.queue_name,
            "haremq-perf",
            auto_ack,
        );
    }

    /// basic.consume-ok has come.
    pub(crate) fn is_consuming(&self) -> bool {
        self.consuming
    }

    /// Acknowledges what has not been, however little.
    pub(crate) fn settle(&mut self, link: &mut Link) {
        if self.unacked > 0 {
            let multiple = self.unacked > 1;
            method::basic_ack(&mut link.outbox, self.last_tag, multiple);
            self.unacked = 0;
        }
    }

    /// What came, by stream, with the index of the queue and the count of messages that are not ours.
    pub(crate) fn into_receipt(self) -> Receipt {
        Receipt { queue: self.subscription.queue, received: self.received, foreign: self.foreign }
    }

    /// Walks the whole frames in `octets` and returns how many octets they were.
    pub(crate) fn receive(
        &mut self,
        link: &mut Link,
        octets: &[u8],
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<usize> {
        let limit = link.payload_limit();
        let mut used = 0;
        while let Some((frame, length)) = Frame::take(&octets[used..], limit)? {
            used += length;
            match frame.kind {
                METHOD => match Delivery::read(frame.payload)? {
                    Some(delivery) => self.content = Content::Header(delivery),
                    None => self.other_method(link, frame.payload)?,
                },
                HEADER => self.header(frame.payload, link, tally)?,
                BODY => self.body(frame.payload, link, now_ns, tally)?,
                _ => {}
            }
        }
        Ok(used)
    }

    #[inline]
    fn header(&mut self, payload: &[u8], link: &mut Link, tally: &mut Tally) -> Result<()> {
        let Content::Header(delivery) = self.content else {
            return Err(WireError::Unexpected("a content header without basic.deliver").into());
        };
        let fields = payload.first_chunk::<12>().ok_or(WireError::Truncated)?;
        let [.., a, b, c, d, e, f, g, h] = *fields;
        let left = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        tally.consumed_octets += left;
        if left == 0 {
            self.content = Content::None;
            self.complete(delivery, link, tally);
        } else {
            self.content = Content::Body { delivery, left, fresh: true };
        }
        Ok(())
    }

    #[inline]
    fn body(
        &mut self,
        payload: &[u8],
        link: &mut Link,
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<()> {
        let Content::Body { delivery, left, fresh } = self.content else {
            return Err(WireError::Unexpected("a body frame without content header").into());
        };
        if fresh {
            self.read_stamp(payload, delivery, now_ns, tally);
        }
        let left = left
            .checked_sub(payload.len() as u64)
            .ok_or(WireError::Unexpected("more body than the header declared"))?;
        if left == 0 {
            self.content = Content::None;
            self.complete(delivery, link, tally);
        } else {
            self.content = Content::Body { delivery, left, fresh: false };
        }
        Ok(())
    }

    #[inline]
    fn read_stamp(&mut self, body: &[u8], delivery: Delivery, now_ns: u64, tally: &mut Tally) {
        let Some(stamp) = Stamp::read(body) else { return };
        let plausible = (self.subscription.oldest_ns..=now_ns).contains(&stamp.sent_ns);
        match self.received.get_mut(usize::from(stamp.stream)).filter(|_| plausible) {
            Some(set) => {
                set.insert(stamp.sequence, delivery.redelivered);
                tally.end_to_end.record(now_ns - stamp.sent_ns, 1);
            }
            None => self.foreign += 1,
        }
    }

    #[inline]
    fn complete(&mut self, delivery: Delivery, link: &mut Link, tally: &mut Tally) {
        tally.consumed += 1;
        tally.redelivered += u64::from(delivery.redelivered);
        if let Some(every) = self.subscription.ack_every {
            self.unacked += 1;
            self.last_tag = delivery.tag;
            if self.unacked >= every {
                method::basic_ack(&mut link.outbox, delivery.tag, every > 1);
                self.unacked = 0;
            }
        }
    }

    fn other_method(&mut self, link: &mut Link, payload: &[u8]) -> Result<()> {
        match link.common(Reply::decode(payload)?)? {
            Reply::ConsumeOk => self.consuming = true,
            Reply::Cancel => {
                let queue = self.subscription.queue_name.clone();
                return Err(PerfError::ConsumerCancelled(queue));
            }
            Reply::Flow(active) => method::channel_flow_ok(&mut link.outbox, 1, active),
            _ => {}
        }
        Ok(())
    }
}

/// What one consumer got.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// Index of the queue in the layout.
    pub(crate) queue: u32,
    /// Sequence numbers by stream.
    pub(crate) received: Vec<SequenceSet>,
    /// Messages with a stamp that is not of this run.
    pub(crate) foreign: u64,
}
