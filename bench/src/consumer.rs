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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::test_link;
    use crate::wire::content::Envelope;
    use crate::wire::table::Table;

    fn subscription(ack_every: Option<u32>) -> Subscription {
        let queue_name = "q".to_owned();
        Subscription { queue: 0, queue_name, ack_every, streams: 2, oldest_ns: 1_000 }
    }

    /// A delivery as a broker sends it.
    fn delivery(tag: u8, stamp: Stamp, size: usize) -> Vec<u8> {
        let mut publish = Vec::new();
        let headers = Table::default();
        let envelope = Envelope {
            exchange: "",
            key: "",
            mandatory: false,
            persistent: false,
            headers: &headers,
            frame_max: 4096,
        };
        let body_at = envelope.encode(&mut publish, size);
        if let Some(body) = publish.get_mut(body_at..).and_then(|body| body.first_chunk_mut()) {
            stamp.write(body);
        }
        let mut octets = vec![1, 0, 1, 0, 0, 0, 17, 0, 60, 0, 60, 1, b't'];
        octets.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, tag, 0, 0, 0, 0xCE]);
        // Fits the length above: tag, delivery tag, redelivered, exchange "", key "".
        let (_, used) = Frame::take(&publish, 4088).unwrap().unwrap();
        octets.extend_from_slice(&publish[used..]);
        octets
    }

    fn stamp(stream: u16, sequence: u64) -> Stamp {
        Stamp { sent_ns: 2_000, stream, sequence }
    }

    #[test]
    fn messages_come_whole_wherever_reads_cut_them() {
        let mut octets = Vec::new();
        for sequence in 0..3 {
            octets.extend(delivery(sequence as u8 + 1, stamp(0, sequence), 5000));
        }
        for cut in (1..octets.len()).step_by(13) {
            let (mut link, _other) = test_link();
            let mut consumer = Consumer::new(subscription(None));
            let mut tally = Tally::default();
            let used = consumer.receive(&mut link, &octets[..cut], 3_000, &mut tally).unwrap();
            let rest = &octets[used..];
            assert_eq!(consumer.receive(&mut link, rest, 3_000, &mut tally).unwrap(), rest.len());
            assert_eq!((tally.consumed, tally.consumed_octets), (3, 15_000), "cut at {cut}");
            let receipt = consumer.into_receipt();
            assert_eq!(receipt.received[0].clone().audit(3), crate::ledger::Audit::default());
        }
    }

    #[test]
    fn acks_are_due_every_so_many_and_the_rest_at_the_end() {
        let (mut link, _other) = test_link();
        let mut consumer = Consumer::new(subscription(Some(3)));
        let mut tally = Tally::default();
        for tag in 1..=5 {
            let octets = delivery(tag, stamp(0, u64::from(tag) - 1), 16);
            consumer.receive(&mut link, &octets, 3_000, &mut tally).unwrap();
        }
        let mut expected = Vec::new();
        method::basic_ack(&mut expected, 3, true);
        assert_eq!(link.outbox, expected);
        consumer.settle(&mut link);
        consumer.settle(&mut link);
        method::basic_ack(&mut expected, 5, true);
        assert_eq!(link.outbox, expected, "once, and only what was left");
    }

    #[test]
    fn messages_of_others_are_told_from_ours() {
        let (mut link, _other) = test_link();
        let mut consumer = Consumer::new(subscription(None));
        let mut tally = Tally::default();
        let too_old = Stamp { sent_ns: 999, ..stamp(0, 0) };
        let from_the_future = Stamp { sent_ns: 3_001, ..stamp(0, 0) };
        for foreign in [too_old, from_the_future, stamp(2, 0)] {
            let octets = delivery(1, foreign, 16);
            consumer.receive(&mut link, &octets, 3_000, &mut tally).unwrap();
        }
        consumer.receive(&mut link, &delivery(1, stamp(1, 0), 0), 3_000, &mut tally).unwrap();
        assert_eq!(tally.consumed, 4);
        assert_eq!(consumer.into_receipt().foreign, 3, "an empty body has no stamp to be wrong");
    }

    #[test]
    fn content_out_of_place_is_an_error() {
        let whole = delivery(1, stamp(0, 0), 16);
        let (_, header_at) = Frame::take(&whole, 4088).unwrap().unwrap();
        let (mut link, _other) = test_link();
        let mut consumer = Consumer::new(subscription(None));
        let error = consumer.receive(&mut link, &whole[header_at..], 3_000, &mut Tally::default());
        assert!(matches!(error, Err(PerfError::Wire(WireError::Unexpected(_)))));
    }
}
