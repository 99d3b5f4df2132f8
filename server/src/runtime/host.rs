//! The host of one shard: owns the engine's shard and everything it meets, and runs its turns.
//!
//! Lives in one cell on the shard's thread ([`super::shard::ShardRuntime`]); never borrowed across
//! an await. A turn is: input (by the caller), then effects, deliveries, effects and the ends of
//! the turns of the connections that were touched, until nothing is left to do or the turn has
//! been long enough; then the rings are flushed and the tasks that have something to write woken.

use std::rc::Rc;
use std::time::{Duration, Instant};

use glommio::io::DmaBuffer;
use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::log::{LogCompletion, LogEffect, LogError};
use haremq_engine::mail::{Command, Notice, PeerMail, Requester};
use haremq_engine::shard::{Effect, Passage, Sample};
use haremq_engine::topology::TopologyRequest;

use super::abort;
use super::cell::ConnectionCell;
use super::clock::Clock;
use super::desk::Desk;
use super::shard::Common;
use super::transfer::Transfer;
use super::world::{EngineShard, View, World};
use crate::amqp::ShardSet;
use crate::latency::Latencies;
use crate::ring::{Mail, Port, RingBatch};

/// A turn that has lasted this long leaves the rest to the next one.
const TURN_MAX: Duration = Duration::from_micros(300);

pub(super) struct Host {
    pub(super) shard: EngineShard,
    pub(super) world: World,
    pub(super) desk: Desk,
    pub(super) latencies: Latencies,
    clock: Clock,
    /// Asked for by the log, to be carried out by tasks.
    log_effects: Vec<LogEffect<DmaBuffer>>,
    /// To be woken at the end of the turn.
    roused: Vec<Rc<ConnectionCell>>,
    /// Would read if there were room.
    starved: Vec<Rc<ConnectionCell>>,
    /// Some of them, because a ring was full.
    was_congested: bool,
    /// Connections that have come from other shards, to be served.
    arrivals: Vec<Transfer>,
    /// The last turn ended before its work did.
    unfinished: bool,
}

impl Host {
    pub(super) fn new(shard: EngineShard, port: Port, clock: Clock, common: &Common) -> Self {
        Host {
            desk: Desk::new(port.shard()),
            latencies: Latencies::new(),
            world: World::new(clock.now(), port, common.alarms.clone(), common.loads.clone()),
            arrivals: Vec::new(),
            shard,
            clock,
            log_effects: Vec::new(),
            roused: Vec::new(),
            starved: Vec::new(),
            was_congested: false,
            unfinished: false,
        }
    }

    /// The broker for a call into a connection.
    pub(super) fn view(&mut self) -> View<'_> {
        View { shard: &mut self.shard, world: &mut self.world }
    }

    /// Before any input of a turn: sets the clock.
    pub(super) fn begin(&mut self) {
        self.world.now = self.clock.now();
    }

    /// Input from a connection, which may publish.
    pub(super) fn input<T>(&mut self, receive: impl FnOnce(&mut Host) -> T) -> T {
        let before = self.world.published;
        let outcome = receive(self);
        let published = self.world.published - before;
        if published > 0 {
            self.note_enqueued(self.world.now.monotonic_us, published);
        }
        outcome
    }

    /// Publishes that were read at `since_us` are in their queues.
    fn note_enqueued(&mut self, since_us: u64, count: u64) {
        let took_us = self.clock.now().monotonic_us.saturating_sub(since_us);
        self.latencies.publish_to_enqueue.saturating_record_n(took_us, count);
    }

    /// After the input: see the module.
    pub(super) fn turn(&mut self) {
        let started = Instant::now();
        self.view().send_acks();
        self.unfinished = loop {
            self.world.stirred = false;
            self.effects();
            let more = self.dispatch();
            self.effects();
            self.end_turns();
            self.view().send_acks();
            if !more && !self.world.stirred && !self.world.has_touched() {
                break false;
            }
            if started.elapsed() >= TURN_MAX {
                // What a connection has encoded may leave all the same.
                self.effects();
                break true;
            }
        };
        self.view().send_acks();
        let queued = self.shard.memory_bytes() + self.shard.index_bytes();
        let memory_bytes = queued + self.world.gathered;
        self.world.alarms.memory(self.world.shard(), memory_bytes as u64);
        self.world.alarms.space(self.world.shard(), self.shard.is_out_of_space());
        self.look_for_room();
        for Sample { passage, took_us } in self.shard.samples() {
            let histogram = match passage {
                Passage::EnqueueToDeliver => &mut self.latencies.enqueue_to_deliver,
                Passage::DeliverToAck => &mut self.latencies.deliver_to_ack,
            };
            histogram.saturating_record(took_us);
        }
        self.world.port.flush();
        self.feed_starved();
    }

    /// Wakes the connections that have something to write, but for the one whose task runs the
    /// turn. To be called when the log's effects are under way: the device is to work while
    /// sockets are written to.
    pub(super) fn rouse(&mut self, current: Option<ConnectionId>) {
        for cell in self.roused.drain(..) {
            cell.roused.set(false);
            if current != Some(cell.id) {
                cell.wake();
            }
        }
    }

    /// The last turn ended before its work did: another one is to follow soon.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished
    }

    /// Whether there is work for a turn though nothing arrives.
    pub(super) fn has_work(&self) -> bool {
        self.unfinished || self.world.port.has_work()
    }

    /// What tasks have to be spawned for.
    pub(super) fn take_log_effects(&mut self) -> Vec<LogEffect<DmaBuffer>> {
        std::mem::take(&mut self.log_effects)
    }

    /// A task has carried out a log effect. An error is final.
    pub(super) fn complete(
        &mut self,
        completion: LogCompletion<DmaBuffer>,
    ) -> Result<(), LogError> {
        abort::on_panic(|| self.shard.complete(self.world.now, completion))
    }

    /// Whether a connection may be read from now whose latest publishes went to these shards. If not, it is woken when
    /// it may be.
    pub(super) fn has_room(&mut self, cell: &Rc<ConnectionCell>, targets: &ShardSet) -> bool {
        let is_congested = self.world.port.is_congested();
        if !is_congested && self.world.rooms.lets_in(targets) {
            return true;
        }
        self.was_congested |= is_congested;
        if !cell.starved.replace(true) {
            self.starved.push(cell.clone());
        }
        false
    }

    /// Tells those who publish to this shard if its log has fallen behind or has caught up.
    fn look_for_room(&mut self) {
        let World { rooms, port, .. } = &mut self.world;
        let had_room = rooms.own();
        let has_room = self.shard.lets_publishers_in(had_room);
        if has_room == had_room {
            return;
        }
        rooms.note(port.shard(), has_room);
        if has_room {
            rooms.take_told().iter().for_each(|shard| port.batch(shard).room(true));
        }
    }

    fn feed_starved(&mut self) {
        if self.starved.is_empty() || self.world.port.is_congested() {
            return;
        }
        // Neither is to be forgotten for the other's sake.
        if self.world.rooms.take_eased() | std::mem::take(&mut self.was_congested) {
            // Who still has to wait comes back.
            for cell in self.starved.drain(..) {
                cell.starved.set(false);
                cell.wake();
            }
        }
    }

    /// Whether [`Host::tick`] has anything to do. Sets the clock.
    pub(super) fn is_due(&mut self) -> bool {
        self.begin();
        let now_us = self.world.now.monotonic_us;
        let shard_due = self.shard.deadline_us().is_some_and(|due| due <= now_us);
        let scan_due = now_us >= self.world.next_scan_us;
        shard_due || scan_due || self.has_work() || !self.starved.is_empty()
    }

    /// Monotonic time, now.
    pub(super) fn now_us(&self) -> u64 {
        self.clock.now().monotonic_us
    }

    /// How long until the shard or a connection wants a tick, if one does.
    pub(super) fn until_due(&mut self) -> Option<Duration> {
        self.begin();
        let scan = Some(self.world.next_scan_us).filter(|scan_us| *scan_us != u64::MAX);
        let due = self.shard.deadline_us().into_iter().chain(scan).min()?;
        Some(Duration::from_micros(due.saturating_sub(self.world.now.monotonic_us)))
    }

    /// Begins to make everything durable.
    pub(super) fn stop(&mut self) {
        self.world.stirred = true;
        abort::on_panic(|| self.shard.stop(self.world.now));
    }

    /// True once transactions of an earlier run have been carried out.
    pub(super) fn is_resolved(&self) -> bool {
        self.shard.is_resolved()
    }

    /// Nothing is left to be written, sent or received.
    pub(super) fn is_quiet(&self) -> bool {
        let port = &self.world.port;
        self.shard.is_quiet() && port.is_flushed() && !port.has_work()
    }

    /// A change of the topology that management asks for. On shard 0 only.
    pub(super) fn topology_request(&mut self, ticket: u64, request: TopologyRequest) {
        self.world.stirred = true;
        abort::on_panic(|| self.shard.request(self.world.now, ticket, request));
    }

    /// Time passes.
    pub(super) fn tick(&mut self) {
        let now = self.world.now;
        if self.shard.deadline_us().is_some_and(|due| due <= now.monotonic_us) {
            abort::on_panic(|| self.shard.tick(now));
        }
        if now.monotonic_us >= self.world.next_scan_us {
            let deadline = |cell: &Rc<ConnectionCell>| {
                cell.with(|connection| connection.deadline_us()).flatten().unwrap_or(u64::MAX)
            };
            let due = |cell: &&Rc<ConnectionCell>| deadline(cell) <= now.monotonic_us;
            let due: Vec<_> = self.world.connections.values().filter(due).cloned().collect();
            for cell in due {
                let mut view = View { shard: &mut self.shard, world: &mut self.world };
                cell.with(|connection| connection.tick(&mut view));
                self.world.touch(&cell);
            }
            let nearest = self.world.connections.values().map(deadline).min().unwrap_or(u64::MAX);
            self.world.next_scan_us = nearest.max(now.monotonic_us + 1);
        }
    }

    /// Takes in everything that one peer had to say.
    pub(super) fn receive_batch(&mut self, from: ShardId, batch: &mut RingBatch) {
        let (publishes, fills_a_log) = (batch.publishes(), batch.fills_a_log());
        batch.drain(|mail| match mail {
            Mail::Publish(publish) => {
                abort::on_panic(|| self.shard.publish(self.world.now, &publish));
            }
            Mail::BodyPart(part) => {
                abort::on_panic(|| self.shard.add_body(self.world.now, &part));
            }
            Mail::PublishBody(channel, publish) => {
                abort::on_panic(|| self.shard.publish_body(self.world.now, channel, &publish));
            }
            Mail::Delivery(delivery) => {
                if let Some(command) = self.world.deliver(from, &delivery) {
                    self.world.port.batch(from).command(command);
                }
            }
            Mail::LongDelivery(long) => {
                for command in self.world.deliver_long(from, &long) {
                    self.world.port.batch(from).command(command);
                }
            }
            Mail::BodyPiece(piece) => {
                if let Some(command) = self.world.piece(from, &piece) {
                    self.world.port.batch(from).command(command);
                }
            }
            Mail::Command(command) => self.command(command),
            Mail::Notice(notice) => self.notice(notice),
            Mail::Peer(mail) => self.peer(mail),
            Mail::Room(has_room) => self.world.rooms.note(from, has_room),
            Mail::Parcel(parcel) => self.arrivals.push(Transfer::unpack(parcel)),
        });
        if let Some((since_us, count)) = publishes {
            self.note_enqueued(since_us, count);
        }
        // Nothing but parts comes for as long as a long body does.
        if fills_a_log && self.world.rooms.must_tell(from) {
            self.world.port.batch(from).room(false);
        }
    }

    /// Connections to be served from now on.
    pub(super) fn take_arrivals(&mut self) -> Vec<Transfer> {
        std::mem::take(&mut self.arrivals)
    }

    pub(super) fn command(&mut self, command: Command) {
        self.world.stirred = true;
        abort::on_panic(|| self.shard.command(self.world.now, command));
    }

    pub(super) fn peer(&mut self, mail: PeerMail) {
        self.world.stirred = true;
        abort::on_panic(|| self.shard.peer(self.world.now, mail));
    }

    /// To the topology writer, in nobody's name.
    pub(super) fn request(&mut self, request: TopologyRequest) {
        let mail = PeerMail::Request { from: Requester::Nobody, request };
        if self.world.shard() == ShardId::TOPOLOGY_WRITER {
            self.peer(mail);
        } else {
            self.world.port.batch(ShardId::TOPOLOGY_WRITER).peer(mail);
        }
    }

    fn effects(&mut self) {
        while let Some(effect) = abort::on_panic(|| self.shard.poll_effect(self.world.now)) {
            match effect {
                Effect::Log(effect) => self.log_effects.push(effect),
                Effect::Notice(notice) => self.notice(notice),
                Effect::Peer { to, mail } if to == self.world.shard() => self.peer(mail),
                Effect::Peer { to, mail } => self.world.port.batch(to).peer(mail),
                Effect::Answer { ticket, result } => self.desk.answer(ticket, result),
                Effect::GivenUp { vhost, queue, messages } => tracing::warn!(
                    "queue '{queue}' in vhost '{vhost}' has no dead-letter exchange: it has dropped \
                     {messages} messages that came back too often"
                ),
                Effect::Missing(missing) => tracing::warn!("{missing}"),
                Effect::Review => self.review(),
            }
        }
    }

    /// Brings a notice to its connection, here or elsewhere. One for a connection that has gone
    /// is dropped: nobody is left who asked.
    fn notice(&mut self, notice: Notice) {
        let connection = notice.channel().connection;
        if connection.shard() != self.world.shard() {
            self.world.port.batch(connection.shard()).notice(notice);
        } else if Desk::is_addressed(connection) {
            self.desk.notice(notice);
        } else if let Some(cell) = self.world.find(connection).cloned() {
            let mut view = self.view();
            cell.with(|connection| connection.notice(notice, &mut view));
            self.world.touch(&cell);
        }
    }

    /// Lets every connection look whether it may stay.
    fn review(&mut self) {
        let cells: Vec<_> = self.world.connections.values().cloned().collect();
        for cell in cells {
            let mut view = self.view();
            cell.with(|connection| connection.review(&mut view));
            self.world.touch(&cell);
        }
    }

    /// True if there is more to dispatch at once.
    fn dispatch(&mut self) -> bool {
        let Host { shard, world, .. } = self;
        let more = abort::on_panic(|| shard.dispatch(world.now, world));
        for command in self.world.take_orphans() {
            self.command(command);
        }
        more
    }

    fn end_turns(&mut self) {
        let mut touched = self.world.take_touched();
        for cell in touched.drain(..) {
            cell.touched.set(false);
            let mut view = self.view();
            cell.with(|connection| connection.end_of_turn(&mut view));
            if !cell.roused.replace(true) {
                self.roused.push(cell);
            }
        }
        self.world.recycle_touched(touched);
    }
}
