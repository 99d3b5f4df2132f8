//! A shard with queues, consumers and a device that takes no time.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::log::{FileId, LogCompletion, LogConfig, LogEffect, Memory};
use haremq_engine::mail::{
    BodyPiece, Command, Consume, Credit, Delivery, LongDelivery, Outcome, Publish, Requester,
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

#[derive(Clone, Copy)]
pub(crate) struct Vectors;

impl Memory for Vectors {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0; bytes]
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

/// A device that takes no time.
#[derive(Default)]
struct Device {
    files: BTreeMap<FileId, Vec<u8>>,
}

impl Device {
    fn carry_out(&mut self, effect: LogEffect<Vec<u8>>) -> LogCompletion<Vec<u8>> {
        match effect {
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                let file = self.files.get_mut(&file).expect("created before");
                file[offset as usize..offset as usize + length].copy_from_slice(&buffer[..length]);
                LogCompletion::Written { ticket }
            }
            LogEffect::Create { ticket, file, bytes } => {
                self.files.insert(file, vec![0; bytes as usize]);
                LogCompletion::Created { ticket }
            }
            LogEffect::Delete { ticket, file } => {
                self.files.remove(&file);
                LogCompletion::Deleted { ticket }
            }
            LogEffect::Read { ticket, file, offset, length } => {
                let buffer = self.files[&file][offset as usize..offset as usize + length].to_vec();
                LogCompletion::Read { ticket, buffer }
            }
        }
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
        let mut boot = ShardBoot::new(config, Vectors, Vec::new());
        let definitions = boot.definitions().expect("a first boot");
        let shard = boot.finish(NOW, &definitions).expect("an empty log");
        let connection = ConnectionId::new(ShardId(0), 1);
        let channel = ChannelKey { connection, channel: 1, incarnation: 1 };
        let taker = Taker { no_ack, ..Taker::default() };
        let mut bench = Bench {
            shard,
            queues: Vec::new(),
            taker,
            device: Device::default(),
            channel,
            next: 0,
            confirm: 1,
        };
        for number in 0..queues {
            bench.add_queue(number, no_ack, credit);
        }
        bench
    }

    fn add_queue(&mut self, number: usize, no_ack: bool, credit: Credit) {
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
        let consume = Consume {
            queue,
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

    /// One turn: messages come in, go out and are settled.
    pub(crate) fn turn(&mut self, persistent: bool) {
        for _ in 0..TURN {
            let queue = self.queues[self.next];
            self.next = (self.next + 1) % self.queues.len();
            let message = MessageRef {
                exchange: b"",
                routing_key: b"q",
                properties: &[0x10, 0, 1],
                body: &BODY,
                persistent,
                priority: 0,
                expiration_ms: None,
            };
            let confirm = persistent.then_some((self.channel, self.confirm));
            self.confirm += 1;
            self.shard.publish(NOW, &Publish { message, queues: &[queue], confirm });
        }
        self.carry_out();
        while self.shard.dispatch(NOW, &mut self.taker) {
            self.carry_out();
        }
        for (queue, seq) in std::mem::take(&mut self.taker.held) {
            let number = self.queues.iter().position(|other| *other == queue).unwrap_or(0);
            let consumer = Some(self.consumer(number));
            let settle = Command::Settle { queue, seq, consumer, outcome: Outcome::Ack };
            self.shard.command(NOW, settle);
        }
    }
}
