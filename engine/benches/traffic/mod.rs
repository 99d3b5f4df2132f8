//! A shard with queues, consumers and a device that takes no time. Each bench uses a part of it.
#![allow(dead_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::log::{FileId, LogCompletion, LogConfig, LogEffect, Memory};
use haremq_engine::mail::{
    BodyPiece, Command, Consume, Credit, Delivery, LongDelivery, Publish, Requester,
};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::shard::{Effect, Outlet, Shard, ShardBoot, ShardConfig};
use haremq_engine::table::Table;
use haremq_engine::topology::TopologyRequest;

/// Messages that come in one turn.
pub(crate) const TURN: u64 = 64;
pub(crate) const BODY: [u8; 64] = [b'.'; 64];
pub(crate) const NOW: Now = Now { unix_ms: 1_700_000_000_000, monotonic_us: 1_000_000 };

/// Buffers that come back when the log has done with them, so that no memory is cleared for each batch: devices do
/// not ask for that.
#[derive(Clone, Default)]
pub(crate) struct Vectors {
    spare: Rc<RefCell<Vec<Vec<u8>>>>,
}

pub(crate) struct Lent {
    octets: Vec<u8>,
    length: usize,
    home: Vectors,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.octets[..self.length]
    }
}

impl AsMut<[u8]> for Lent {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.octets[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.home.spare.borrow_mut().push(std::mem::take(&mut self.octets));
    }
}

impl Memory for Vectors {
    type Buffer = Lent;
    fn allocate(&mut self, length: usize) -> Lent {
        let mut octets = self.spare.borrow_mut().pop().unwrap_or_default();
        if octets.len() < length {
            octets.resize(length.next_power_of_two(), 0);
        }
        Lent { octets, length, home: self.clone() }
    }
}

/// Takes deliveries and remembers what is to be settled.
#[derive(Default)]
pub(crate) struct Taker {
    held: Vec<(QueueId, Seq)>,
    octets: u64,
    no_ack: bool,
}

impl Outlet for Taker {
    fn deliver(&mut self, delivery: Delivery<'_>) {
        self.octets += black_box(delivery.message.body).len() as u64;
        if !self.no_ack {
            self.held.push((delivery.queue, delivery.seq));
        }
    }
    fn begin(&mut self, long: LongDelivery<'_>) {
        panic!("no message is so long: {long:?}");
    }
    fn piece(&mut self, piece: BodyPiece<'_>) {
        panic!("no message is so long: {piece:?}");
    }
}

/// A device that takes no time: it keeps the buffers that are written, by file and offset, until others lie there.
#[derive(Default)]
struct Device {
    written: BTreeMap<(FileId, u64), Rc<Lent>>,
    /// Nothing is ever read: what is written is forgotten, and its memory is used again.
    forgets: bool,
}

impl Device {
    fn carry_out(&mut self, effect: LogEffect<Lent>) -> LogCompletion<Lent> {
        match effect {
            LogEffect::Write { ticket, .. } if self.forgets => LogCompletion::Written { ticket },
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                let end = offset + length as u64;
                let stale = |written: &BTreeMap<(FileId, u64), Rc<Lent>>| {
                    let last = written.range((file, 0)..(file, end)).next_back();
                    last.filter(|(at, held)| at.1 + held.length as u64 > offset).map(|(at, _)| *at)
                };
                while let Some(at) = stale(&self.written) {
                    self.written.remove(&at);
                }
                self.written.insert((file, offset), buffer);
                LogCompletion::Written { ticket }
            }
            LogEffect::Create { ticket, .. } => LogCompletion::Created { ticket },
            LogEffect::Delete { ticket, .. } => LogCompletion::Deleted { ticket },
            LogEffect::Read { ticket, file, offset, length } => {
                let buffer = self.read(file, offset, length);
                LogCompletion::Read { ticket, buffer }
            }
        }
    }

    /// Once for each segment, if at all.
    fn read(&self, file: FileId, offset: u64, length: usize) -> Lent {
        let mut buffer = Vectors::default().allocate(length);
        let end = offset + length as u64;
        for ((_, at), held) in self.written.range((file, 0)..(file, end)) {
            let from = offset.max(*at);
            let until = end.min(at + held.length as u64);
            if from < until {
                let piece = &held.octets[(from - at) as usize..(until - at) as usize];
                let place = (from - offset) as usize..(until - offset) as usize;
                buffer.as_mut()[place].copy_from_slice(piece);
            }
        }
        buffer
    }
}

pub(crate) struct Bench {
    pub(crate) shard: Shard<Vectors>,
    pub(crate) queues: Vec<QueueId>,
    pub(crate) taker: Taker,
    device: Device,
    channel: ChannelKey,
    next: usize,
    confirm: u64,
}

impl Bench {
    pub(crate) fn new(queues: usize, no_ack: bool, credit: Credit) -> Self {
        let mut bench = Bench::empty();
        for number in 0..queues {
            bench.add_queue(number);
            bench.add_consumer(number, no_ack, credit);
        }
        bench
    }

    /// Queues that nobody consumes from.
    pub(crate) fn without_consumers(queues: usize) -> Self {
        let mut bench = Bench::empty();
        bench.device.forgets = true;
        (0..queues).for_each(|number| bench.add_queue(number));
        bench
    }

    fn empty() -> Self {
        let log = LogConfig {
            shard: ShardId(0),
            segment_bytes: 16 << 20,
            buffer_bytes: 1 << 20,
            writes_in_flight_max: 2,
            cache_bytes: 16 << 20,
            settle_delay_us: 1000,
        };
        let config = ShardConfig {
            shard: ShardId(0),
            shards: 1,
            log,
            memory_max_bytes: 1 << 30,
            window_bytes: 1 << 40,
            body_part_bytes: haremq_engine::mail::BODY_PART_BYTES,
            dispatch_batch: 4096,
            guest_password_hash: Arc::from([0_u8; 36]),
        };
        let mut boot = ShardBoot::new(config, Vectors::default(), Vec::new());
        let definitions = boot.definitions().expect("a first boot");
        let shard = boot.finish(NOW, &definitions).expect("an empty log");
        let connection = ConnectionId::new(ShardId(0), 1);
        let channel = ChannelKey { connection, channel: 1, incarnation: 1 };
        Bench {
            shard,
            queues: Vec::new(),
            taker: Taker::default(),
            device: Device::default(),
            channel,
            next: 0,
            confirm: 1,
        }
    }

    fn add_queue(&mut self, number: usize) {
        let request = TopologyRequest::DeclareQueue {
            vhost: "/".into(),
            name: format!("q{number}").into(),
            durable: true,
            auto_delete: false,
            exclusive_to: None,
            connection: None,
            arguments: Arc::default(),
        };
        let from = Requester::Nobody;
        self.shard.peer(NOW, haremq_engine::mail::PeerMail::Request { from, request });
        self.carry_out();
        let queue = self.shard.topology().queue("/", &format!("q{number}")).expect("declared").id;
        self.queues.push(queue);
    }

    fn add_consumer(&mut self, number: usize, no_ack: bool, credit: Credit) {
        self.taker.no_ack = no_ack;
        let consume = Consume {
            queue: self.queues[number],
            consumer: self.consumer(number),
            channel: self.channel,
            tag: "tag".into(),
            user: "guest".into(),
            no_ack,
            exclusive: false,
            priority: 0,
            credit,
            prefetch: 0,
            arguments: Table::default(),
        };
        self.shard.command(NOW, Command::Consume(Box::new(consume)));
    }

    fn consumer(&self, number: usize) -> ConsumerKey {
        ConsumerKey { connection: self.channel.connection, channel: 1, serial: number as u32 }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.shard.poll_effect(NOW) {
            let Effect::Log(effect) = effect else { continue };
            let completion = self.device.carry_out(effect);
            self.shard.complete(NOW, completion).expect("a device without faults");
        }
    }

    /// A turn in which messages only come in.
    pub(crate) fn take_in(&mut self, persistent: bool, body: &[u8]) {
        for _ in 0..TURN {
            let queue = self.queues[self.next];
            self.next = (self.next + 1) % self.queues.len();
            let message = MessageRef {
                exchange: b"",
                routing_key: b"q",
                properties: &[0x10, 0, 1],
                body,
                persistent,
                priority: 0,
                expiration_ms: None,
            };
            let confirm = persistent.then_some((self.channel, self.confirm));
            self.confirm += 1;
            self.shard.publish(NOW, &Publish { message, queues: &[queue], confirm });
        }
        self.carry_out();
    }

    /// One turn: messages come in, go out and are settled.
    pub(crate) fn turn(&mut self, persistent: bool) {
        self.take_in(persistent, &BODY);
        while self.shard.dispatch(NOW, &mut self.taker) {
            self.carry_out();
        }
        let mut held = std::mem::take(&mut self.taker.held);
        // As a connection does it: those that follow one another are acked together.
        let follows = |one: &(QueueId, Seq), next: &(QueueId, Seq)| {
            one.0 == next.0 && one.1 .0 + 1 == next.1 .0
        };
        for run in held.chunk_by(follows) {
            let (queue, first) = run[0];
            let number = self.queues.iter().position(|other| *other == queue).unwrap_or(0);
            let consumer = Some(self.consumer(number));
            let acks = Command::Acks { queue, first, count: run.len() as u32, consumer };
            self.shard.command(NOW, acks);
        }
        held.clear();
        self.taker.held = held;
    }
}
