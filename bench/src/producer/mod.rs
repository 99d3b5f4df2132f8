//! A producer: one connection, one channel, publishes as fast as rate, window and backlog limit let it.
//!
//! Owned by one worker thread, which calls [`Producer::pump`] each turn and [`Producer::receive`] with what
//! the broker sent. It never blocks and reads no clock: the worker tells it the time.

pub(crate) mod confirms;
pub(crate) mod image;

use std::ops::Range;

use self::confirms::Confirms;
use self::image::{Image, StreamPosition};
use crate::error::Result;
use crate::link::Link;
use crate::load::control::Tally;
use crate::pace::Pace;
use crate::wire::frame::{Frame, METHOD};
use crate::wire::method;
use crate::wire::reply::Reply;

/// When a producer wants its next turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At once: there is more to send.
    Now,
    /// At this time: the next message is due then.
    At(u64),
    /// When the socket takes octets again.
    Writable,
    /// When the broker has sent something: a confirm, or connection.unblocked.
    Readable,
    /// When consumers have caught up, which no socket tells.
    Soon,
    /// All messages of this lap are sent.
    Finished,
}

/// What a producer is told once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orders {
    /// Place among all producers, from 0.
    pub(crate) index: u32,
    /// Producers in all.
    pub(crate) producers: u32,
    /// Unconfirmed publishes allowed; none: no confirms are asked for.
    pub(crate) window: Option<u32>,
    /// Messages per second of all producers together; none: as fast as it goes.
    pub(crate) rate: Option<f64>,
}

/// State of one producer.
pub(crate) struct Producer {
    orders: Orders,
    image: Image,
    confirms: Confirms,
    pace: Option<Pace>,
    unsent: Range<usize>,
    sent: u64,
    limit: u64,
    held: bool,
}

impl Producer {
    /// A producer that sends nothing until a lap begins.
    pub(crate) fn new(orders: Orders, image: Image) -> Producer {
        let confirms = Confirms::default();
        Producer {
            orders,
            image,
            confirms,
            pace: None,
            unsent: 0..0,
            sent: 0,
            limit: 0,
            held: false,
        }
    }

    /// Starts a lap at `start_ns`; `messages` is the number for all producers together, if there is a limit.
    pub(crate) fn begin_lap(&mut self, start_ns: u64, messages: Option<u64>) {
        let (index, producers) = (u64::from(self.orders.index), u64::from(self.orders.producers));
        self.limit = match messages {
            Some(all) => self.sent + all / producers + u64::from(index < all % producers),
            None => u64::MAX,
        };
        self.pace = self.orders.rate.map(|rate| {
            let own_rate = rate / producers as f64;
            Pace::new(start_ns, own_rate, index as f64 / producers as f64)
        });
    }

    /// Nothing is half written and nothing waits for a confirm.
    pub(crate) fn is_quiet(&self) -> bool {
        self.unsent.is_empty() && self.confirms.outstanding() == 0
    }

    /// The broker asked for a pause (connection.blocked or channel.flow).
    pub(crate) fn is_held(&self) -> bool {
        self.held
    }

    /// Part of a batch is still to be written.
    pub(crate) fn owes_octets(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// How far each stream has come.
    pub(crate) fn positions(&self) -> &[StreamPosition] {
        self.image.positions()
    }

    /// Writes what is left of the last batch; true when it is all out.
    pub(crate) fn finish_batch(&mut self, link: &mut Link) -> Result<bool> {
        if self.unsent.is_empty() {
            return link.flush();
        }
        let written = link.write(self.image.octets(self.unsent.clone()))?;
        self.unsent.start += written;
        Ok(self.unsent.is_empty())
    }

    /// Sends one batch, if one is due and allowed. `allowance` is how many messages the backlog limit leaves.
    pub(crate) fn pump(
        &mut self,
        link: &mut Link,
        now_ns: u64,
        allowance: u64,
        tally: &mut Tally,
    ) -> Result<Next> {
        if !self.finish_batch(link)? {
            return Ok(Next::Writable);
        }
        let left = self.limit - self.sent;
        let window = match self.orders.window {
            Some(window) => u64::from(window).saturating_sub(self.confirms.outstanding()),
            None => u64::MAX,
        };
        let due = self.pace.as_ref().map_or(u64::MAX, |pace| pace.due(now_ns));
        if left == 0 {
            return Ok(Next::Finished);
        }
        if self.held || window == 0 {
            return Ok(Next::Readable);
        }
        if let (0, Some(pace)) = (due, &self.pace) {
            return Ok(Next::At(pace.due_at_ns(0)));
        }
        if allowance == 0 {
            return Ok(Next::Soon);
        }
        let count = left.min(window).min(due).min(allowance).min(self.image.room());
        self.stamp(count, now_ns, tally);
        if !self.finish_batch(link)? {
            return Ok(Next::Writable);
        }
        Ok(Next::Now)
    }

    fn stamp(&mut self, count: u64, now_ns: u64, tally: &mut Tally) {
        self.unsent = match &mut self.pace {
            Some(pace) => {
                let due_at_ns = |ahead| pace.due_at_ns(ahead);
                let range = self.image.stamp(count, due_at_ns);
                if self.orders.window.is_some() {
                    self.confirms.note(count, due_at_ns);
                }
                for ahead in 0..count {
                    tally.lag.record(now_ns.saturating_sub(due_at_ns(ahead)), 1);
                }
                pace.take(count);
                range
            }
            None => {
                if self.orders.window.is_some() {
                    self.confirms.note(count, |_| now_ns);
                }
                self.image.stamp(count, |_| now_ns)
            }
        };
        self.sent += count;
        tally.published += count;
    }

    /// Walks the whole frames in `octets` and returns how many octets they were.
    pub(crate) fn receive(
        &mut self,
        link: &mut Link,
        octets: &[u8],
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<usize> {
        let mut used = 0;
        while let Some((frame, length)) = Frame::take(&octets[used..], link.payload_limit())? {
            used += length;
            // Header and body of a returned message say nothing new.
            if frame.kind == METHOD {
                self.method(link, frame.payload, now_ns, tally)?;
            }
        }
        Ok(used)
    }

    fn method(
        &mut self,
        link: &mut Link,
        payload: &[u8],
        now_ns: u64,
        tally: &mut Tally,
    ) -> Result<()> {
        match link.common(Reply::decode(payload)?)? {
            Reply::Ack { tag, multiple } => {
                let recorder = Some(&mut tally.confirm);
                tally.confirmed += self.confirms.settle(tag, multiple, now_ns, recorder)?;
            }
            Reply::Nack { tag, multiple } => {
                tally.nacked += self.confirms.settle(tag, multiple, now_ns, None)?;
            }
            Reply::Return(_) => tally.returned += 1,
            Reply::Blocked(_) => self.held = true,
            Reply::Unblocked => self.held = false,
            Reply::Flow(active) => {
                self.held = !active;
                method::channel_flow_ok(&mut link.outbox, 1, active);
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::image::{Shape, Target};
    use super::*;
    use crate::error::PerfError;
    use crate::link::test_link;
    use crate::wire::table::Table;

    struct Bench {
        producer: Producer,
        link: Link,
        _other: TcpStream,
        tally: Tally,
    }

    fn bench(orders: Orders, size: usize) -> Bench {
        let target = Target {
            stream: 0,
            exchange: String::new(),
            key: "q".into(),
            headers: Table::default(),
        };
        let shape = Shape {
            sizes: vec![size],
            persistent: false,
            mandatory: false,
            frame_max: 131_072,
            batch_octets: 4096,
        };
        let (link, other) = test_link();
        let producer = Producer::new(orders, Image::new(&[target], &shape));
        Bench { producer, link, _other: other, tally: Tally::default() }
    }

    const ALONE: Orders = Orders { index: 0, producers: 1, window: None, rate: None };

    impl Bench {
        fn pump(&mut self, now_ns: u64) -> Next {
            self.producer.pump(&mut self.link, now_ns, u64::MAX, &mut self.tally).unwrap()
        }

        fn hear(&mut self, octets: &[u8]) -> Result<usize> {
            self.producer.receive(&mut self.link, octets, 9_000, &mut self.tally)
        }
    }

    fn method_frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![1, 0, 1, 0, 0, 0, payload.len() as u8];
        frame.extend_from_slice(payload);
        frame.push(0xCE);
        frame
    }

    fn ack(tag: u8, multiple: u8) -> Vec<u8> {
        method_frame(&[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, tag, multiple])
    }

    #[test]
    fn the_window_is_never_exceeded_and_opens_with_confirms() {
        let mut bench = bench(Orders { window: Some(5), ..ALONE }, 16);
        bench.producer.begin_lap(0, None);
        assert_eq!(bench.pump(1_000), Next::Now);
        assert_eq!((bench.tally.published, bench.pump(1_000)), (5, Next::Readable));
        assert_eq!(bench.hear(&ack(3, 1)).unwrap(), 21);
        bench.pump(2_000);
        assert_eq!((bench.tally.published, bench.tally.confirmed), (8, 3));
        assert!(!bench.producer.is_quiet());
        bench.hear(&ack(8, 1)).unwrap();
        assert!(bench.producer.is_quiet());
    }

    #[test]
    fn a_count_is_shared_so_that_it_is_met_exactly() {
        let sent = |index| {
            let mut bench = bench(Orders { index, producers: 3, ..ALONE }, 16);
            bench.producer.begin_lap(0, Some(11));
            while bench.pump(0) != Next::Finished {}
            bench.tally.published
        };
        assert_eq!([sent(0), sent(1), sent(2)], [4, 4, 3]);
    }

    #[test]
    fn a_schedule_sends_what_is_due_and_tells_when_the_next_is() {
        let mut bench = bench(Orders { rate: Some(1_000_000.0), ..ALONE }, 16);
        bench.producer.begin_lap(10_000, None);
        assert_eq!(bench.pump(9_000), Next::At(10_000));
        bench.pump(12_500);
        assert_eq!(bench.tally.published, 3, "due at 10, 11 and 12 us");
        assert_eq!(bench.pump(12_500), Next::At(13_000));
        let lag = std::mem::take(&mut bench.tally.lag).summary();
        assert_eq!(lag.count, 3);
        assert!((2.4..2.7).contains(&lag.max_us), "{lag:?}");
    }

    #[test]
    fn a_blocked_producer_waits_for_unblocked() {
        let mut bench = bench(ALONE, 16);
        bench.producer.begin_lap(0, None);
        bench.hear(&method_frame(&[0, 10, 0, 60, 1, b'm'])).unwrap();
        assert!(bench.producer.is_held());
        assert_eq!((bench.pump(0), bench.tally.published), (Next::Readable, 0));
        bench.hear(&method_frame(&[0, 10, 0, 61])).unwrap();
        assert_eq!(bench.pump(0), Next::Now);
    }

    #[test]
    fn flow_is_obeyed_and_answered() {
        let mut bench = bench(ALONE, 16);
        bench.producer.begin_lap(0, None);
        bench.hear(&method_frame(&[0, 20, 0, 20, 0])).unwrap();
        assert!(bench.producer.is_held());
        assert_eq!(bench.link.outbox, method_frame(&[0, 20, 0, 21, 0]));
    }

    #[test]
    fn returned_messages_are_counted_and_their_content_passed_over() {
        let mut bench = bench(ALONE, 16);
        let mut octets = method_frame(b"\x00\x3c\x00\x32\x01\x38\x08NO_ROUTE\x00\x01q");
        octets
            .extend_from_slice(&[2, 0, 1, 0, 0, 0, 14, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]);
        octets.extend_from_slice(&[0xCE, 3, 0, 1, 0, 0, 0, 1, b'x', 0xCE]);
        let length = octets.len();
        assert_eq!(bench.hear(&octets).unwrap(), length);
        assert_eq!(bench.tally.returned, 1);
    }

    #[test]
    fn a_batch_that_does_not_fit_the_socket_is_finished_before_the_next() {
        let mut bench = bench(ALONE, 8_000_000);
        bench.producer.begin_lap(0, Some(2));
        assert_eq!(bench.pump(0), Next::Writable, "nobody reads at the other end");
        assert!(bench.producer.owes_octets());
        assert_eq!((bench.pump(0), bench.tally.published), (Next::Writable, 1));
    }

    #[test]
    fn a_close_of_the_broker_is_an_error_with_its_words() {
        let mut bench = bench(ALONE, 16);
        let close = method_frame(b"\x00\x0a\x00\x32\x01\x40\x04gone\x00\x00\x00\x00");
        let error = bench.hear(&close).unwrap_err();
        assert!(matches!(error, PerfError::ConnectionClosed(_)));
        assert_eq!(error.to_string(), "the broker closed the connection: 320 gone");
    }
}
