//! What surrounds the engine's shard on its thread: the connections that live here and the rings
//! to the other shards. Apart from the shard itself, so that both can be borrowed at once.

use std::rc::Rc;
use std::sync::Arc;

use haremq_engine::event::Event;
use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, Seq, ShardId};
use haremq_engine::mail::{
    BodyPart, BodyPiece, Command, Delivery, DeliveryTo, LongDelivery, Outcome, PeerMail, Publish,
    Requester,
};
use haremq_engine::now::Now;
use haremq_engine::shard::{Outlet, Shard};
use haremq_engine::topology::{MissingExchanges, Topology, TopologyRequest};
use rustc_hash::FxHashMap;

use super::abort;
use super::acks::Acks;
use super::alarms::Alarms;
use super::cell::ConnectionCell;
use super::loads::Loads;
use super::memory::DmaMemory;
use super::random::Random;
use super::rooms::Rooms;
use crate::amqp::{Broker, Connection, Counted};
use crate::ring::Port;

pub(super) type EngineShard = Shard<DmaMemory>;

/// How long a connection that something was done to may wait until it is asked for its deadline.
/// They count in seconds (heartbeats, handshakes); one that is nearer is kept to the tick.
const DEADLINE_SCAN_US: u64 = 200_000;

pub(super) struct World {
    pub(super) now: Now,
    pub(super) port: Port,
    pub(super) connections: FxHashMap<ConnectionId, Rc<ConnectionCell>>,
    pub(super) alarms: Arc<Alarms>,
    pub(super) rooms: Rooms,
    loads: Arc<Loads>,
    /// When connections are asked for their deadlines next; `u64::MAX`: never.
    pub(super) next_scan_us: u64,
    random: Random,
    /// The connection found last: deliveries come in runs.
    last: Option<Rc<ConnectionCell>>,
    /// Connections that something was done to since their last `end_of_turn`.
    touched: Vec<Rc<ConnectionCell>>,
    /// Deliveries of this shard that found nobody, as commands that put them back.
    orphans: Vec<Command>,
    /// Acks held back for those that may follow.
    acks: Option<Acks>,
    /// Publishes that connections of this shard have made to its own queues. Only ever grows.
    pub(super) published: u64,
    /// Octets of bodies that have come in part.
    pub(super) gathered: usize,
    /// Alternate exchanges that publishes of connections of this shard should have gone to.
    missing: MissingExchanges,
    /// A connection has spoken to this shard since the flag was last cleared: there may be
    /// effects.
    pub(super) stirred: bool,
}

impl World {
    pub(super) fn new(now: Now, port: Port, alarms: Arc<Alarms>, loads: Arc<Loads>) -> Self {
        World {
            now,
            rooms: Rooms::new(port.shard()),
            port,
            alarms,
            loads,
            connections: FxHashMap::default(),
            next_scan_us: u64::MAX,
            random: Random::new(),
            last: None,
            touched: Vec::new(),
            orphans: Vec::new(),
            acks: None,
            published: 0,
            gathered: 0,
            missing: MissingExchanges::default(),
            stirred: false,
        }
    }

    pub(super) fn shard(&self) -> ShardId {
        self.port.shard()
    }

    /// The connection lives here from now on.
    pub(super) fn adopt(&mut self, id: ConnectionId, connection: Connection) -> Rc<ConnectionCell> {
        let cell = Rc::new(ConnectionCell::new(id, connection));
        self.connections.insert(id, cell.clone());
        self.scan_soon();
        cell
    }

    /// The deadline of a connection may have changed.
    fn scan_soon(&mut self) {
        let soon_us = self.now.monotonic_us + DEADLINE_SCAN_US;
        self.next_scan_us = self.next_scan_us.min(soon_us);
    }

    pub(super) fn remove(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.last = None;
    }

    /// The connection, if it (still) lives here.
    pub(super) fn find(&mut self, id: ConnectionId) -> Option<&Rc<ConnectionCell>> {
        if self.last.as_ref().is_none_or(|cell| cell.id != id) {
            self.last = Some(self.connections.get(&id)?.clone());
        }
        self.last.as_ref()
    }

    /// Notes that `end_of_turn` is due for the connection.
    pub(super) fn touch(&mut self, cell: &Rc<ConnectionCell>) {
        if !cell.touched.replace(true) {
            self.scan_soon();
            self.touched.push(cell.clone());
        }
    }

    pub(super) fn take_touched(&mut self) -> Vec<Rc<ConnectionCell>> {
        std::mem::take(&mut self.touched)
    }

    /// Gives the emptied list back, so that it need not be allocated again.
    pub(super) fn recycle_touched(&mut self, mut emptied: Vec<Rc<ConnectionCell>>) {
        emptied.clear();
        if self.touched.is_empty() {
            self.touched = emptied;
        }
    }

    pub(super) fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    pub(super) fn take_orphans(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.orphans)
    }

    /// Hands a delivery to a connection of this shard. If it has gone, the command that puts the
    /// message back into its queue, which is on shard `from`.
    pub(super) fn deliver(&mut self, from: ShardId, delivery: &Delivery<'_>) -> Option<Command> {
        let connection = delivery.to.connection();
        let now = self.now;
        let Some(cell) = self.find(connection) else { return orphan(delivery) };
        if cell.with(|connection| connection.deliver(from, delivery, now)).is_none() {
            return orphan(delivery);
        }
        if !cell.touched.replace(true) {
            let cell = cell.clone();
            self.touched.push(cell);
        }
        None
    }
}

impl World {
    /// As [`World::deliver`], of a message whose body comes later. If the connection has gone, its
    /// shard is also told that nobody reads the body.
    pub(super) fn deliver_long(&mut self, from: ShardId, long: &LongDelivery<'_>) -> Vec<Command> {
        let now = self.now;
        let connection = long.delivery.to.connection();
        if self.with(connection, |connection| connection.deliver_long(from, long, now)) {
            return Vec::new();
        }
        let end = Command::EndReading { reading: long.reading };
        orphan(&long.delivery).into_iter().chain([end]).collect()
    }

    /// Hands some of such a body to its connection.
    pub(super) fn piece(&mut self, from: ShardId, piece: &BodyPiece<'_>) -> Option<Command> {
        let is_there = self.with(piece.connection, |connection| connection.piece(from, piece));
        (!is_there).then_some(Command::EndReading { reading: piece.reading })
    }

    /// Does something to a connection that is to have its turn. False: it has gone.
    fn with(&mut self, connection: ConnectionId, work: impl FnOnce(&mut Connection)) -> bool {
        let Some(cell) = self.find(connection).cloned() else { return false };
        let is_there = cell.with(work).is_some();
        if is_there {
            self.touch(&cell);
        }
        is_there
    }
}

fn orphan(delivery: &Delivery<'_>) -> Option<Command> {
    let requeue = |queue: QueueId, seq: Seq, consumer| {
        Some(Command::Settle { queue, seq, consumer, outcome: Outcome::Requeue })
    };
    match delivery.to {
        DeliveryTo::Consumer { no_ack: true, .. } | DeliveryTo::Get { no_ack: true, .. } => None,
        DeliveryTo::Consumer { consumer, .. } => {
            requeue(delivery.queue, delivery.seq, Some(consumer))
        }
        DeliveryTo::Get { .. } => requeue(delivery.queue, delivery.seq, None),
    }
}

/// Deliveries made here go to connections here or, by ring, elsewhere.
impl Outlet for World {
    fn deliver(&mut self, delivery: Delivery<'_>) {
        let shard = delivery.to.connection().shard();
        if shard != self.shard() {
            self.port.batch(shard).deliver(&delivery);
        } else if let Some(command) = World::deliver(self, shard, &delivery) {
            self.orphans.push(command);
        }
    }

    fn begin(&mut self, long: LongDelivery<'_>) {
        let shard = long.delivery.to.connection().shard();
        if shard != self.shard() {
            return self.port.batch(shard).deliver_long(&long);
        }
        let commands = self.deliver_long(shard, &long);
        self.orphans.extend(commands);
    }

    fn piece(&mut self, piece: BodyPiece<'_>) {
        let shard = piece.connection.shard();
        if shard != self.shard() {
            return self.port.batch(shard).piece(&piece);
        }
        let command = World::piece(self, shard, &piece);
        self.orphans.extend(command);
    }
}

/// The broker as a connection of this shard sees it. Made for one call.
pub(super) struct View<'a> {
    pub(super) shard: &'a mut EngineShard,
    pub(super) world: &'a mut World,
}

impl View<'_> {
    /// The acks held back, if there are any, go to their queue. To be called before anything else is said to a shard,
    /// and at the end of a turn.
    #[inline]
    pub(super) fn send_acks(&mut self) {
        if let Some(acks) = self.world.acks.take() {
            let (shard, command) = acks.into_command();
            self.send(shard, command);
        }
    }

    fn send(&mut self, shard: ShardId, command: Command) {
        if shard == self.world.shard() {
            self.world.stirred = true;
            abort::on_panic(|| self.shard.command(self.world.now, command));
        } else {
            self.world.port.batch(shard).command(command);
        }
    }
}

impl Broker for View<'_> {
    fn now(&self) -> Now {
        self.world.now
    }

    fn random(&mut self) -> [u8; 16] {
        self.world.random.octets()
    }

    fn topology(&self) -> &Topology {
        self.shard.topology()
    }

    fn publish(&mut self, shard: ShardId, publish: &Publish<'_>) {
        self.send_acks();
        if shard == self.world.shard() {
            self.world.stirred = true;
            self.world.published += 1;
            abort::on_panic(|| self.shard.publish(self.world.now, publish));
        } else {
            let now_us = self.world.now.monotonic_us;
            self.world.port.batch(shard).publish(now_us, publish);
        }
    }

    fn add_body(&mut self, shard: ShardId, part: &BodyPart<'_>) {
        self.send_acks();
        if shard == self.world.shard() {
            self.world.stirred = true;
            abort::on_panic(|| self.shard.add_body(self.world.now, part));
        } else {
            self.world.port.batch(shard).body_part(part);
        }
    }

    fn publish_body(&mut self, shard: ShardId, channel: ChannelKey, publish: &Publish<'_>) {
        self.send_acks();
        if shard == self.world.shard() {
            self.world.stirred = true;
            self.world.published += 1;
            abort::on_panic(|| self.shard.publish_body(self.world.now, channel, publish));
        } else {
            let now_us = self.world.now.monotonic_us;
            self.world.port.batch(shard).publish_body(now_us, channel, publish);
        }
    }

    fn hold_body(&mut self, channel: ChannelKey, octets: &[u8], ends: bool) {
        self.send_acks();
        self.world.stirred = true;
        abort::on_panic(|| self.shard.hold_body(self.world.now, channel, octets, ends));
    }

    fn command(&mut self, shard: ShardId, command: Command) {
        let acks = Acks::of(shard, &command);
        if let (Some(held), Some(acks)) = (&mut self.world.acks, &acks) {
            if held.extend(acks) {
                return;
            }
        }
        self.send_acks();
        self.world.acks = acks;
        if acks.is_none() {
            self.send(shard, command);
        }
    }

    fn enter(&mut self, what: Counted, name: &Arc<str>, limit: Option<i64>) -> Result<(), i64> {
        self.world.loads.population().enter(what, name, limit)
    }

    fn leave(&mut self, what: Counted, name: &Arc<str>, number: u64) {
        self.world.loads.population().leave(what, name, number);
    }

    fn may_move_to(&self, shard: ShardId) -> bool {
        self.world.loads.allow_move(self.world.shard(), shard)
    }

    fn wants_events(&self) -> bool {
        self.shard.wants_events()
    }

    fn announce(&mut self, event: &Event) {
        self.send_acks();
        self.world.stirred = true;
        abort::on_panic(|| self.shard.announce(self.world.now, event));
    }

    fn gathers(&mut self, before: usize, now: usize) {
        self.world.gathered = (self.world.gathered + now).saturating_sub(before);
    }

    fn alternate_missing(&mut self, exchange: u32) {
        let Some(missing) = self.shard.topology().missing_alternate(exchange) else { return };
        if self.world.missing.is_news(&missing.vhost, &missing.exchange) {
            tracing::warn!("{missing}");
        }
    }

    fn is_disk_short(&self) -> bool {
        self.world.alarms.is_disk_short()
    }

    #[inline]
    fn publishers_blocked(&self) -> Option<&'static str> {
        self.world.alarms.reason()
    }

    fn request(&mut self, from: Requester, request: TopologyRequest) {
        self.send_acks();
        let mail = PeerMail::Request { from, request };
        if self.world.shard() == ShardId::TOPOLOGY_WRITER {
            self.world.stirred = true;
            abort::on_panic(|| self.shard.peer(self.world.now, mail));
        } else {
            self.world.port.batch(ShardId::TOPOLOGY_WRITER).peer(mail);
        }
    }
}
