//! One to three shards with rings and disks made of vectors, and what a client would see.
//!
//! Nothing happens by itself: each write is completed, each piece of mail carried and each
//! dispatch made when a test (or a seed) says so, and the power goes when it likes.

use std::collections::VecDeque;
use std::sync::Arc;

use haremq_engine::ids::{QueueId, Seq, ShardId};
use haremq_engine::log::{mend, LogConfig, LogEffect, Mended};
use haremq_engine::mail::{
    BodyPiece, Command, Delivery, DeliveryTo, LongDelivery, Notice, PeerMail, Publish, Requester,
};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::shard::{Effect, Outlet, Shard, ShardBoot, ShardConfig};
use haremq_engine::topology::{Change, TopologyRequest};

use crate::disk::{Disk, Vectors};
use crate::random::Random;

/// A delivery as a client got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) from: ShardId,
    pub(crate) to: DeliveryTo,
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
    pub(crate) redelivered: bool,
    pub(crate) exchange: Vec<u8>,
    pub(crate) routing_key: Vec<u8>,
    pub(crate) properties: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) window_bytes: u64,
}

/// A delivery whose body is on its way.
#[derive(Debug)]
struct Coming {
    received: Received,
    reading: u64,
    body_bytes: u64,
}

impl Received {
    fn of(from: ShardId, delivery: &Delivery<'_>) -> Self {
        Received {
            from,
            to: delivery.to,
            queue: delivery.queue,
            seq: delivery.seq,
            redelivered: delivery.redelivered,
            exchange: delivery.message.exchange.to_vec(),
            routing_key: delivery.message.routing_key.to_vec(),
            properties: delivery.message.properties.to_vec(),
            body: delivery.message.body.to_vec(),
            window_bytes: delivery.window_bytes(),
        }
    }
}

/// What the clients' side gets, in order.
#[derive(Debug)]
pub(crate) enum Event {
    Notice { from: ShardId, notice: Notice },
    Delivery(Received),
}

struct Inbox<'a> {
    from: ShardId,
    events: &'a mut VecDeque<Event>,
    coming: &'a mut Vec<Coming>,
    piece_bytes: &'a mut usize,
}

impl Outlet for Inbox<'_> {
    fn deliver(&mut self, delivery: Delivery<'_>) {
        self.events.push_back(Event::Delivery(Received::of(self.from, &delivery)));
    }
    fn begin(&mut self, long: LongDelivery<'_>) {
        let received = Received::of(self.from, &long.delivery);
        let LongDelivery { reading, body_bytes, .. } = long;
        self.coming.push(Coming { received, reading, body_bytes });
    }
    fn piece(&mut self, piece: BodyPiece<'_>) {
        let is_it = |one: &Coming| (one.received.from, one.reading) == (self.from, piece.reading);
        let at = self.coming.iter().position(is_it).expect("a body that is on its way");
        let coming = &mut self.coming[at];
        *self.piece_bytes = piece.octets.len().max(*self.piece_bytes);
        coming.received.body.extend_from_slice(piece.octets);
        if coming.received.body.len() as u64 == coming.body_bytes {
            self.events.push_back(Event::Delivery(self.coming.swap_remove(at).received));
        }
    }
}

pub(crate) struct World {
    pub(crate) shards: Vec<Shard<Vectors>>,
    pub(crate) disks: Vec<Disk>,
    under_way: Vec<VecDeque<LogEffect<Vec<u8>>>>,
    /// From each shard to each other one.
    rings: Vec<VecDeque<PeerMail>>,
    pub(crate) events: VecDeque<Event>,
    coming: Vec<Coming>,
    /// The longest piece of a body that has come.
    pub(crate) piece_bytes: usize,
    /// Octets of messages in the largest piece of mail between shards.
    pub(crate) largest_mail: usize,
    /// Parts of bodies that have gone from shard to shard.
    pub(crate) parts_carried: usize,
    /// Nobody asks for bodies.
    pub(crate) is_slow: bool,
    pub(crate) now: Now,
    pub(crate) random: Random,
    config: ShardConfig,
}

/// Segments so small that sealing and recycling happen every few messages.
pub(crate) fn tiny() -> ShardConfig {
    ShardConfig {
        shard: ShardId(0),
        shards: 1,
        log: LogConfig {
            shard: ShardId(0),
            segment_bytes: 64 * 1024,
            buffer_bytes: 16 * 1024,
            writes_in_flight_max: 3,
            cache_bytes: 64 * 1024,
            settle_delay_us: 500,
        },
        memory_max_bytes: 1 << 30,
        window_bytes: 1 << 30,
        // Long ones are told of when they are whole, so most tests do without.
        body_part_bytes: 1 << 20,
        dispatch_batch: 256,
        guest_password_hash: Arc::from([7_u8; 36]),
    }
}

impl World {
    pub(crate) fn new(shards: u16, seed: u64) -> Self {
        // Every other world has no memory for messages at all: what needs no log goes there, too.
        let memory_max_bytes = if seed.is_multiple_of(2) { 0 } else { 1 << 30 };
        World::with(ShardConfig { shards, memory_max_bytes, ..tiny() }, seed)
    }

    pub(crate) fn with(config: ShardConfig, seed: u64) -> Self {
        let count = usize::from(config.shards);
        let mut world = World {
            shards: Vec::new(),
            disks: vec![Disk::default(); count],
            under_way: Vec::new(),
            rings: Vec::new(),
            events: VecDeque::new(),
            coming: Vec::new(),
            piece_bytes: 0,
            largest_mail: 0,
            parts_carried: 0,
            is_slow: false,
            now: Now { unix_ms: 1_700_000_000_000, monotonic_us: 1_000_000 },
            random: Random::new(seed),
            config,
        };
        world.boot();
        world
    }

    fn count(&self) -> usize {
        usize::from(self.config.shards)
    }

    /// Starts all shards from what is on their disks.
    pub(crate) fn boot(&mut self) {
        let count = self.count();
        self.under_way = (0..count).map(|_| VecDeque::new()).collect();
        self.rings = (0..count * count).map(|_| VecDeque::new()).collect();
        self.events.clear();
        self.coming.clear();
        let mut boots: Vec<ShardBoot<Vectors>> = Vec::new();
        for (shard, disk) in (0..).map(ShardId).zip(&self.disks) {
            let log = LogConfig { shard, ..self.config.log.clone() };
            let config = ShardConfig { shard, log, ..self.config.clone() };
            let mut boot = ShardBoot::new(config, Vectors, disk.listing());
            while let Some(read) = boot.next_read() {
                boot.supply(disk.read(read)).expect("an undamaged log");
            }
            boots.push(boot);
        }
        let definitions: Arc<[Change]> = boots[0].definitions().expect("known definitions");
        let finish = |boot: ShardBoot<Vectors>| boot.finish(self.now, &definitions).expect("a log");
        self.shards = boots.into_iter().map(finish).collect();
    }

    /// The power goes, and comes back.
    pub(crate) fn crash(&mut self) {
        for shard in 0..self.count() {
            for effect in std::mem::take(&mut self.under_way[shard]) {
                self.disks[shard].cut_short(&effect, &mut self.random);
            }
        }
        self.now.unix_ms += 5_000;
        self.now.monotonic_us = 17;
        self.boot();
    }

    /// Everything is made durable before the power goes.
    pub(crate) fn restart_cleanly(&mut self) {
        for shard in 0..self.count() {
            self.shards[shard].stop(self.now);
        }
        self.settle_down();
        assert!(self.shards.iter().all(Shard::is_quiet), "a stopped shard is not quiet");
        self.crash();
    }

    /// The flag that starts in spite of damage: the logs are made whole around it. What each has lost.
    pub(crate) fn quarantine(&mut self) -> Vec<Mended> {
        let mut all = Vec::new();
        for (shard, disk) in (0..).map(ShardId).zip(&mut self.disks) {
            let log = LogConfig { shard, ..self.config.log.clone() };
            let mended = mend(&log, &disk.listing(), &mut &*disk, &mut |_| ());
            let mended = mended.expect("damage that can be mended");
            disk.patch(&mended);
            all.push(mended);
        }
        self.boot();
        all
    }

    /// True once no shard has anything of transactions left from before its start.
    pub(crate) fn is_resolved(&self) -> bool {
        self.shards.iter().all(Shard::is_resolved)
    }

    /// What was decided before the last start is carried out: before that no client is served.
    pub(crate) fn resolve(&mut self) {
        while !self.is_resolved() {
            self.step();
        }
    }

    /// Takes what a shard wants done.
    pub(crate) fn poll(&mut self, shard: usize) -> bool {
        let mut any = false;
        while let Some(effect) = self.shards[shard].poll_effect(self.now) {
            any = true;
            let from = ShardId(shard as u16);
            match effect {
                Effect::Log(effect) => self.under_way[shard].push_back(effect),
                Effect::Notice(notice) => self.events.push_back(Event::Notice { from, notice }),
                Effect::Peer { to, mail } => {
                    self.largest_mail = octets_of(&mail).max(self.largest_mail);
                    let ring = shard * self.count() + usize::from(to.0);
                    self.rings[ring].push_back(mail);
                }
                Effect::Answer { .. }
                | Effect::Missing(_)
                | Effect::GivenUp { .. }
                | Effect::Review => {}
            }
        }
        any
    }

    /// Completes one of a shard's disk operations, not necessarily the oldest.
    pub(crate) fn complete(&mut self, shard: usize, which: usize) -> bool {
        let Some(effect) = self.under_way[shard].remove(which) else { return false };
        let completion = self.disks[shard].carry_out(&effect);
        self.shards[shard].complete(self.now, completion).expect("an undamaged log");
        true
    }

    /// Completes the reads of a shard, and leaves its writes under way.
    pub(crate) fn complete_reads(&mut self, shard: usize) {
        let is_read = |effect: &LogEffect<Vec<u8>>| matches!(effect, LogEffect::Read { .. });
        while let Some(which) = self.under_way[shard].iter().position(is_read) {
            self.complete(shard, which);
        }
    }

    /// The message of that queue whose body is on its way.
    pub(crate) fn held(&self, queue: QueueId) -> Seq {
        let coming = self.coming.iter().map(|coming| &coming.received);
        let came = self.events.iter().filter_map(|event| match event {
            Event::Delivery(received) => Some(received),
            Event::Notice { .. } => None,
        });
        let of_queue = coming.chain(came).find(|received| received.queue == queue);
        of_queue.expect("a delivery").seq
    }

    /// Its connection has gone.
    pub(crate) fn forget_coming(&mut self) {
        self.coming.clear();
    }

    pub(crate) fn under_way(&self, shard: usize) -> usize {
        self.under_way[shard].len()
    }

    /// Carries one piece of mail along one ring.
    pub(crate) fn carry(&mut self, from: usize, to: usize) -> bool {
        let ring = from * self.count() + to;
        let Some(mail) = self.rings[ring].pop_front() else { return false };
        self.parts_carried += usize::from(matches!(mail, PeerMail::Body { .. }));
        self.shards[to].peer(self.now, mail);
        true
    }

    pub(crate) fn dispatch(&mut self, shard: usize) -> bool {
        let from = ShardId(shard as u16);
        if !self.is_slow {
            for coming in self.coming.iter().filter(|coming| coming.received.from == from) {
                let command = Command::NextPiece { reading: coming.reading };
                self.shards[shard].command(self.now, command);
            }
        }
        let mut inbox = Inbox {
            from,
            events: &mut self.events,
            coming: &mut self.coming,
            piece_bytes: &mut self.piece_bytes,
        };
        let more = self.shards[shard].dispatch(self.now, &mut inbox);
        more || (!self.is_slow && self.coming.iter().any(|coming| coming.received.from == from))
    }

    /// One thing that might happen next, as the seed has it.
    pub(crate) fn step(&mut self) {
        let count = self.count();
        let shard = self.random.below(count);
        match self.random.below(5) {
            0 => {
                self.poll(shard);
            }
            1 => {
                let under_way = self.under_way[shard].len();
                if under_way > 0 {
                    let which = self.random.below(under_way);
                    self.complete(shard, which);
                }
            }
            2 => {
                let to = self.random.below(count);
                self.carry(shard, to);
            }
            3 => {
                self.dispatch(shard);
            }
            _ => {
                self.pass_ms(0, 1 + self.random.clone().below(300) as u64);
            }
        }
    }

    /// Time passes, and shards whose time has come are ticked.
    pub(crate) fn pass_ms(&mut self, ms: u64, us: u64) {
        self.now.unix_ms += ms;
        self.now.monotonic_us += ms * 1000 + us;
        for shard in &mut self.shards {
            if shard.deadline_us().is_some_and(|due| due <= self.now.monotonic_us) {
                shard.tick(self.now);
            }
        }
    }

    /// Does all there is to do, except for what waits for time to pass.
    pub(crate) fn settle_down(&mut self) {
        let count = self.count();
        let mut busy = true;
        while std::mem::take(&mut busy) {
            for shard in 0..count {
                busy |= self.poll(shard);
                while self.complete(shard, 0) {
                    busy = true;
                }
                for to in 0..count {
                    while self.carry(shard, to) {
                        busy = true;
                    }
                }
                busy |= self.dispatch(shard);
                busy |= self.poll(shard);
            }
        }
    }

    pub(crate) fn request(&mut self, from: Requester, request: TopologyRequest) {
        let origin = match from {
            Requester::Channel(channel) => usize::from(channel.connection.shard().0),
            _ => 0,
        };
        let mail = PeerMail::Request { from, request };
        if origin == 0 {
            self.shards[0].peer(self.now, mail);
        } else {
            let ring = origin * self.count();
            self.rings[ring].push_back(mail);
        }
    }

    pub(crate) fn command(&mut self, shard: ShardId, command: Command) {
        self.shards[usize::from(shard.0)].command(self.now, command);
    }

    pub(crate) fn publish(&mut self, shard: ShardId, publish: &Publish<'_>) {
        self.shards[usize::from(shard.0)].publish(self.now, publish);
    }
}

fn octets_of(mail: &PeerMail) -> usize {
    match mail {
        PeerMail::Body { octets, .. } => octets.len(),
        PeerMail::Copy { letter, .. } => letter.octets(),
        PeerMail::CarryOut { transaction, .. } => {
            transaction.publishes().map(|(message, _)| message.body.len()).sum()
        }
        _ => 0,
    }
}

/// A plain message.
pub(crate) fn message(body: &[u8], persistent: bool) -> MessageRef<'_> {
    MessageRef {
        exchange: b"",
        routing_key: b"a.queue",
        properties: if persistent { &[0x10, 0, 2] } else { &[0x10, 0, 1] },
        body,
        persistent,
        priority: 0,
        expiration_ms: None,
    }
}
