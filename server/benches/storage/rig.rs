//! A shard of the engine on its real files, and nothing else: no rings, sockets or clients.
//!
//! What the broker's runtime does for a shard is done here as it does it: the clock is read once a turn, the executor
//! gets to look at its I/O at least twice a millisecond, and a small write that is waited for by itself is made by the
//! shard's own thread.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::stream::FuturesUnordered;
use futures_util::{future::LocalBoxFuture, StreamExt};
use glommio::io::{DmaBuffer, PollableFd};
use haremq::runtime::URGENT_WRITE_BYTES_MIN;
use haremq::runtime::{DmaMemory, PageFile, ReadAhead, Segments, DIRECT_WRITE_BYTES_MAX};
use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::log::{LogCompletion, LogConfig, LogEffect};
use haremq_engine::mail::{Command, Consume, Credit, Notice};
use haremq_engine::mail::{PeerMail, Publish, Requester};
use haremq_engine::message::MessageRef;
use haremq_engine::now::Now;
use haremq_engine::queue::Packing;
use haremq_engine::shard::{Effect, Shard, ShardBoot, ShardConfig};
use haremq_engine::table::Table;
use haremq_engine::topology::TopologyRequest;
use hdrhistogram::Histogram;
use rustix::event::{eventfd, EventfdFlags};

use crate::taker::Taker;

/// As the broker has them by default.
const SEGMENT_BYTES: u64 = 32 << 20;
const BUFFER_BYTES: usize = 1 << 20;

/// Work between two looks of the executor at its I/O, in microseconds: as in the broker.
const WORK_MAX_US: u64 = 500;
/// Memory for what queues know of their messages: as the broker has it by default.
pub(crate) const INDEX_BYTES: usize = 32 << 20;
/// Messages that come with one read from a socket.
const TURN: u64 = 64;

/// Writes that the device may have at a time: as in the broker.
const WRITES_IN_FLIGHT_MAX: u64 = 4;

/// `HAREMQ_BENCH_WORK_US` and `HAREMQ_BENCH_WRITES` try others.
fn wanted(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// See the module.
pub(crate) struct Rig {
    shard: Shard<DmaMemory>,
    segments: Rc<Segments>,
    in_flight: FuturesUnordered<LocalBoxFuture<'static, LogCompletion<DmaBuffer>>>,
    pub(crate) queues: Vec<QueueId>,
    taker: Taker,
    channel: ChannelKey,
    began: Instant,
    clock: Now,
    /// Always readable: to wait for it lets the executor look at its I/O.
    open: PollableFd<OwnedFd>,
    looked: Instant,
    /// A long write has been begun: the executor hands it to the device when it looks.
    is_look_due: bool,
    work_max: Duration,
    /// One message at a time: its write is made by this thread.
    pub(crate) is_waited_for: bool,
    pub(crate) published: u64,
    pub(crate) confirmed: u64,
    /// Numbers of messages of which it is measured how long their confirms take, and since when.
    watched: VecDeque<(u64, Instant)>,
    /// How long those took, in microseconds.
    pub(crate) confirms_us: Histogram<u64>,
    /// How long the publisher waited each time that the log had no room.
    pub(crate) held_back_us: Histogram<u64>,
    /// Octets of the log's writes.
    pub(crate) written: Rc<Cell<u64>>,
    /// Octets that it has read back.
    pub(crate) read: Cell<u64>,
    /// Files that it has had deleted.
    pub(crate) deleted: Cell<u64>,
    /// Octets that recovery read, and how long it took.
    pub(crate) recovery: (u64, Duration),
}

impl Rig {
    /// Opens what is in the directory; `queues` are declared if they are not there.
    pub(crate) async fn open(directory: &Path, queues: usize) -> Rig {
        Rig::open_within(directory, queues, INDEX_BYTES).await
    }

    /// As `open`, with so much memory for what queues know of their messages; the rest is paged out.
    pub(crate) async fn open_within(directory: &Path, queues: usize, index_bytes: usize) -> Rig {
        let began = Instant::now();
        let log = LogConfig {
            shard: ShardId(0),
            segment_bytes: SEGMENT_BYTES,
            buffer_bytes: BUFFER_BYTES,
            writes_in_flight_max: wanted("HAREMQ_BENCH_WRITES", WRITES_IN_FLIGHT_MAX) as usize,
            cache_bytes: 16 << 20,
            settle_delay_us: 10_000,
        };
        let config = ShardConfig {
            shard: ShardId(0),
            shards: 1,
            log,
            memory_max_bytes: 4 << 30,
            window_bytes: 1 << 40,
            body_part_bytes: haremq_engine::mail::BODY_PART_BYTES,
            dispatch_batch: 256,
            guest_password_hash: Arc::from([0_u8; 36]),
        };
        let (segments, files) =
            Segments::open(directory.to_owned(), BUFFER_BYTES).await.expect("a directory");
        let segments = Rc::new(segments);
        let mut boot = ShardBoot::new(config, DmaMemory, files);
        let pages = PageFile::open(0, directory).expect("a directory");
        boot.keep_indexes(Packing::within(index_bytes), Box::new(pages));
        let mut reads = ReadAhead::new(segments.clone());
        let mut octets_read = 0;
        while let Some(read) = boot.next_read() {
            let octets = reads.read(read, boot.read_ahead()).await.expect("a read");
            octets_read += octets.len() as u64;
            boot.supply(octets).expect("a log without damage");
        }
        drop(reads);
        let definitions = boot.definitions().expect("definitions");
        let shard = boot.finish(now(began), &definitions).expect("a log without damage");
        let recovery = (octets_read, began.elapsed());
        let connection = ConnectionId::new(ShardId(0), 1);
        let mut rig = Rig {
            shard,
            segments,
            in_flight: FuturesUnordered::new(),
            queues: Vec::new(),
            taker: Taker::default(),
            channel: ChannelKey { connection, channel: 1, incarnation: 1 },
            began,
            clock: now(began),
            open: PollableFd::new(eventfd(1, EventfdFlags::NONBLOCK).expect("a descriptor"))
                .expect("an executor"),
            looked: Instant::now(),
            is_look_due: false,
            work_max: Duration::from_micros(wanted("HAREMQ_BENCH_WORK_US", WORK_MAX_US)),
            is_waited_for: false,
            published: 0,
            confirmed: 0,
            watched: VecDeque::new(),
            confirms_us: histogram(),
            held_back_us: histogram(),
            written: Rc::default(),
            read: Cell::new(0),
            deleted: Cell::new(0),
            recovery,
        };
        rig.declare(queues).await;
        rig
    }

    async fn declare(&mut self, queues: usize) {
        for number in 0..queues {
            let name = format!("q{number}");
            if self.shard.topology().queue("/", &name).is_none() {
                let request = TopologyRequest::DeclareQueue {
                    vhost: "/".into(),
                    name: name.as_str().into(),
                    durable: true,
                    auto_delete: false,
                    exclusive_to: None,
                    connection: None,
                    arguments: Arc::default(),
                };
                let mail = PeerMail::Request { from: Requester::Nobody, request };
                self.shard.peer(self.now(), mail);
                self.effects();
            }
        }
        self.rest().await;
        let topology = self.shard.topology();
        let id = |number| topology.queue("/", &format!("q{number}")).expect("declared").id;
        self.queues = (0..queues).map(id).collect();
    }

    /// As of the beginning of the turn.
    fn now(&self) -> Now {
        self.clock
    }

    /// Begins what the shard wants done.
    fn effects(&mut self) {
        while let Some(effect) = self.shard.poll_effect(self.now()) {
            match effect {
                Effect::Log(effect) if self.is_to_be_made_here(&effect) => {
                    let LogEffect::Write { ticket, file, offset, buffer, length } = effect else {
                        unreachable!("a write");
                    };
                    self.written.set(self.written.get() + length as u64);
                    let octets = &buffer.as_bytes()[..length];
                    let completion = self.segments.write_now(ticket, file, offset, octets);
                    self.shard.complete(self.now(), completion).expect("a device without faults");
                }
                Effect::Log(effect) => {
                    let is_urgent = |length| length >= URGENT_WRITE_BYTES_MIN;
                    self.is_look_due |=
                        matches!(&effect, LogEffect::Write { length, .. } if is_urgent(*length));
                    match &effect {
                        LogEffect::Read { length, .. } => {
                            self.read.set(self.read.get() + *length as u64);
                        }
                        LogEffect::Delete { .. } => self.deleted.set(self.deleted.get() + 1),
                        _ => {}
                    }
                    let (segments, written) = (self.segments.clone(), self.written.clone());
                    self.in_flight.push(Box::pin(async move {
                        if let LogEffect::Write { length, .. } = &effect {
                            written.set(written.get() + *length as u64);
                        }
                        segments.perform(effect).await
                    }));
                }
                Effect::Notice(Notice::Confirmed { first, last, .. }) => {
                    self.confirmed += last - first + 1;
                    self.note_confirms();
                }
                Effect::Peer { mail, .. } => self.shard.peer(self.now(), mail),
                _ => {}
            }
        }
    }

    fn is_to_be_made_here(&self, effect: &LogEffect<DmaBuffer>) -> bool {
        let is_alone = self.is_waited_for && self.in_flight.is_empty();
        let is_small = |length| length <= DIRECT_WRITE_BYTES_MAX;
        is_alone && matches!(effect, LogEffect::Write { length, .. } if is_small(*length))
    }

    fn complete(&mut self, completion: LogCompletion<DmaBuffer>) {
        let now = self.now();
        self.shard.complete(now, completion).expect("a device without faults");
        self.effects();
    }

    /// Begins what is to be begun, and takes what has been carried out.
    async fn take_completions(&mut self) {
        loop {
            let ready = poll_fn(|cx| Poll::Ready(self.in_flight.poll_next_unpin(cx))).await;
            let Poll::Ready(Some(completion)) = ready else { break };
            self.complete(completion);
        }
    }

    /// What has been carried out by now; waits for something if `must_wait`, and at most until the shard is due.
    async fn turn(&mut self, must_wait: bool) {
        self.effects();
        if must_wait && !self.in_flight.is_empty() {
            self.is_look_due = false;
            if let Some(completion) = self.in_flight.next().await {
                self.clock = now(self.began);
                self.complete(completion);
            }
            self.looked = Instant::now();
        } else if must_wait && !self.is_waited_for {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        self.clock = now(self.began);
        self.take_completions().await;
        // As in the broker, what is long is not to wait for the device until there is time for a look.
        while self.is_look_due
            || !self.in_flight.is_empty() && self.looked.elapsed() >= self.work_max
        {
            self.is_look_due = false;
            self.open.readable().await.expect("a descriptor that is readable");
            self.looked = Instant::now();
            self.clock = now(self.began);
            self.take_completions().await;
        }
        let now = self.now();
        if self.shard.deadline_us().is_some_and(|due| due <= now.monotonic_us) {
            self.shard.tick(now);
            self.effects();
        }
    }

    /// Publishes one message, with a confirm; waits where the log has no room.
    pub(crate) async fn publish(&mut self, queue: QueueId, body: &[u8]) {
        if !self.shard.has_room() {
            let since = Instant::now();
            while !self.shard.has_room() {
                // Where it waits for sparse segments, these are copied by dispatching.
                self.shard.dispatch(self.now(), &mut self.taker);
                self.turn(true).await;
            }
            self.held_back_us.saturating_record(since.elapsed().as_micros() as u64);
        }
        self.published += 1;
        let message = MessageRef {
            exchange: b"",
            routing_key: b"q",
            properties: &[0x10, 0, 2],
            body,
            persistent: true,
            priority: 0,
            expiration_ms: None,
        };
        let confirm = Some((self.channel, self.published));
        self.shard.publish(self.now(), &Publish { message, queues: &[queue], confirm });
        // A turn of the broker.
        if self.published.is_multiple_of(TURN) {
            self.turn(false).await;
        }
    }

    /// It is measured how long the confirm of the message published last takes.
    pub(crate) fn watch(&mut self) {
        self.watched.push_back((self.published, Instant::now()));
    }

    fn note_confirms(&mut self) {
        while let Some((_, since)) =
            self.watched.front().filter(|(number, _)| *number <= self.confirmed)
        {
            self.confirms_us.saturating_record(since.elapsed().as_micros() as u64);
            self.watched.pop_front();
        }
    }

    /// Publishes so many messages that stay, to the queues in turn.
    pub(crate) async fn fill(&mut self, count: u64, bytes: usize) {
        let body = vec![b'x'; bytes];
        for number in 0..count {
            let queue = self.queues[number as usize % self.queues.len()];
            self.publish(queue, &body).await;
        }
        self.await_confirms().await;
    }

    /// Until everything published is confirmed.
    pub(crate) async fn await_confirms(&mut self) {
        while self.confirmed < self.published {
            self.turn(true).await;
        }
    }

    /// Until nothing is under way.
    pub(crate) async fn rest(&mut self) {
        loop {
            self.effects();
            let more = self.shard.dispatch(self.now(), &mut self.taker);
            self.effects();
            if self.in_flight.is_empty() && !more {
                return;
            }
            self.turn(!more).await;
        }
    }

    pub(crate) async fn purge(&mut self) {
        for queue in self.queues.clone() {
            let command = Command::Purge { queue, channel: self.channel };
            self.shard.command(self.now(), command);
        }
        self.rest().await;
    }

    /// A consumer of every queue.
    pub(crate) fn consume(&mut self, no_ack: bool) {
        self.taker.no_ack = no_ack;
        for (serial, queue) in self.queues.clone().into_iter().enumerate() {
            let consume = Consume {
                queue,
                consumer: self.consumer(serial),
                channel: self.channel,
                tag: "tag".into(),
                user: "guest".into(),
                no_ack,
                exclusive: false,
                priority: 0,
                credit: Credit::Unlimited,
                prefetch: 0,
                arguments: Table::default(),
            };
            let now = self.now();
            self.shard.command(now, Command::Consume(Box::new(consume)));
        }
    }

    fn consumer(&self, serial: usize) -> ConsumerKey {
        ConsumerKey { connection: self.channel.connection, channel: 1, serial: serial as u32 }
    }

    /// Delivers what can be, and settles all but every `keep`-th; 0 settles all.
    pub(crate) async fn deliver(&mut self, keep: u64) {
        let more = self.shard.dispatch(self.now(), &mut self.taker);
        self.ack(keep);
        self.turn(!more).await;
    }

    /// As `deliver`, without waiting for anything; what is not confirmed is not settled.
    pub(crate) fn deliver_now(&mut self, keep: u64) {
        self.shard.dispatch(self.now(), &mut self.taker);
        self.ack_confirmed(keep);
        self.effects();
    }

    /// Acks what has been delivered but for every `keep`-th, as a connection does: those that follow one another
    /// together.
    fn ack(&mut self, keep: u64) {
        let mut held = std::mem::take(&mut self.taker.held);
        self.settle_but(keep, &held);
        held.clear();
        self.taker.held = held;
    }

    /// The same for those that have been confirmed, of a log with one queue: what is gone before it has been written is
    /// no work for who reclaims.
    fn ack_confirmed(&mut self, keep: u64) {
        let mut held = std::mem::take(&mut self.taker.held);
        let confirmed = held.partition_point(|(_, seq)| seq.0 < self.confirmed);
        self.settle_but(keep, &held[..confirmed]);
        held.drain(..confirmed);
        self.taker.held = held;
    }

    fn settle_but(&mut self, keep: u64, held: &[(QueueId, Seq)]) {
        let stays = |seq: Seq| keep != 0 && seq.0.is_multiple_of(keep);
        let kept = held.iter().copied().filter(|(_, seq)| stays(*seq));
        self.taker.kept.extend(kept);
        let leaving: Vec<_> = held.iter().copied().filter(|(_, seq)| !stays(*seq)).collect();
        self.settle(&leaving);
    }

    fn settle(&mut self, held: &[(QueueId, Seq)]) {
        let follows = |one: &(QueueId, Seq), next: &(QueueId, Seq)| {
            one.0 == next.0 && one.1 .0 + 1 == next.1 .0
        };
        for run in held.chunk_by(follows) {
            let ((queue, first), count) = (run[0], run.len() as u32);
            let consumer = Some(self.consumer(0));
            self.shard.command(self.clock, Command::Acks { queue, first, count, consumer });
        }
    }

    /// Acks everything that has been delivered and has stayed.
    pub(crate) async fn settle_all(&mut self) {
        self.rest().await;
        self.ack(0);
        let kept = std::mem::take(&mut self.taker.kept);
        self.settle(&kept);
        self.rest().await;
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.taker.taken
    }

    /// What queues know of their messages, in pages.
    pub(crate) fn paged_octets(&self) -> u64 {
        self.shard.index_paged().octets
    }

    pub(crate) fn copied_octets(&self) -> u64 {
        self.shard.log_space().copied_octets
    }

    /// A clean stop.
    pub(crate) async fn stop(mut self) {
        let now = self.now();
        self.shard.stop(now);
        while !self.shard.is_quiet() {
            self.turn(true).await;
        }
        self.rest().await;
    }

    /// An end without warning: what is under way is waited for, nothing else is done.
    pub(crate) async fn abandon(mut self) {
        while self.in_flight.next().await.is_some() {}
    }
}

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("a minute, three digits")
}

fn now(began: Instant) -> Now {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    Now { unix_ms: unix.as_millis() as u64, monotonic_us: began.elapsed().as_micros() as u64 + 1 }
}
