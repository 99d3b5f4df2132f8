//! One client connection: octets in, octets out.
//!
//! Owned by the task of its socket, on one shard. The runtime's turn with a connection is
//!
//! 1. read octets, [`Connection::receive`] until it consumes nothing more (keep the rest);
//! 2. hand over [`Notice`]s and deliveries as they come: [`Connection::notice`],
//!    [`Connection::deliver`];
//! 3. [`Connection::end_of_turn`] once, then write [`Connection::output`] and report what left
//!    with [`Connection::wrote`];
//! 4. [`Connection::tick`] when [`Connection::deadline_us`] has passed.
//!
//! 5. look at [`Connection::destination`]: it may have to be taken to another shard.
//!
//! After any of 2-4 `receive` may be able to consume octets that it refused before: call it again
//! with the kept octets whenever [`Connection::wants_input`] is true.

mod channels;
mod closing;
mod delivering;
mod events;
mod gathering;
mod handshake;
mod heartbeat;
mod held;
mod input;
mod moving;
mod phase;
mod report;
mod sasl;

use std::net::SocketAddr;
use std::sync::Arc;

use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::mail::{Command, Notice};
use haremq_engine::now::Now;
use haremq_engine::table::Table;
use rustc_hash::FxHashMap;

use self::gathering::Gathering;
use self::handshake::HANDSHAKE_FRAME_MAX;
use self::heartbeat::{Heartbeat, Pulse, Reading};
use self::held::Held;
use self::moving::Journey;
use self::phase::Phase;
use super::broker::Broker;
use super::channel::{Channel, Context, ACK_LOOK_PAUSE_MAX_US};
use super::codec::writer;
use super::introduction::{Introduction, TlsLogin};
use super::method::{connection, MethodId};
use super::session::Session;
use super::settings::ConnectionSettings;
use super::shard_set::ShardSet;
use crate::control::{ChannelReport, ConnectionReport, PrefetchOf};

/// How often a blocked publisher looks whether it may go on.
const BLOCKED_POLL_US: u64 = 20_000;

/// The state machine of one connection.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    phase: Phase,
    peer: SocketAddr,
    local: SocketAddr,
    channels: FxHashMap<u16, Box<Channel>>,
    /// The channel that waits for an answer; no input is consumed meanwhile.
    waiting: Option<u16>,
    /// It is to move to another shard; no input is consumed meanwhile.
    journey: Option<Journey>,
    /// It was to move to the queue of the basic.consume at hand, and stays.
    stayed: bool,
    /// Why publishers are blocked at present.
    blocked_now: Option<&'static str>,
    /// The client has tried to publish while they were, and is held until they are not.
    blocked: Option<&'static str>,
    /// What it has sent since then and must not be taken yet.
    held: Held,
    /// Among the connections of its vhost and user.
    counted: bool,
    /// Largest payload of a frame that is taken from the client now: its frame_max (behaviour A39).
    payload_max: u32,
    channel_max: u16,
    frame_max: u32,
    heartbeat_s: u16,
    heartbeat: Heartbeat,
    gathering: Gathering,
    handshake_until_us: u64,
    client_properties: Table,
    mechanism: &'static str,
    /// Who it says it is, while it is asked for more.
    claimed_user: Option<String>,
    /// What TLS says of it. `None`: without TLS.
    tls: Option<Arc<TlsLogin>>,
    /// The client wants to hear of a refused login (behaviour A9).
    tells_login_failure: bool,
    /// Version of the topology in which user and vhost were last seen.
    topology_version: u64,
    /// Shards and topology hold nothing of this connection any more.
    released: bool,
    /// The end is a TCP reset.
    reset: bool,
    /// Why it ends.
    reason: Option<String>,
    connected_at_unix_ms: u64,
    octets_received: u64,
    frames_received: u64,
    writes: u64,
    /// When a blocked publisher looks again, in monotonic microseconds.
    blocked_poll_us: u64,
}

impl Connection {
    /// A freshly accepted socket. `now` starts the handshake deadline.
    pub fn new(
        settings: Arc<ConnectionSettings>,
        id: ConnectionId,
        _shard: ShardId,
        peer: SocketAddr,
        local: SocketAddr,
        now: Now,
    ) -> Self {
        let handshake_until_us = now.monotonic_us + settings.handshake_timeout_ms * 1000;
        Connection {
            session: Session::new(settings, id),
            phase: Phase::Header,
            peer,
            local,
            channels: FxHashMap::default(),
            waiting: None,
            journey: None,
            stayed: false,
            blocked_now: None,
            blocked: None,
            held: Held::default(),
            counted: false,
            payload_max: HANDSHAKE_FRAME_MAX,
            channel_max: 0,
            frame_max: 0,
            heartbeat_s: 0,
            heartbeat: Heartbeat::default(),
            gathering: Gathering::default(),
            handshake_until_us,
            client_properties: Table::default(),
            mechanism: "",
            claimed_user: None,
            tls: None,
            tells_login_failure: false,
            topology_version: 0,
            released: false,
            reset: false,
            reason: None,
            connected_at_unix_ms: now.unix_ms,
            octets_received: 0,
            frames_received: 0,
            writes: 0,
            blocked_poll_us: 0,
        }
    }

    /// Something has become known of the client, which has not said a word of AMQP yet.
    ///
    /// # Panics
    /// If it has: who it is has been decided upon already.
    pub fn introduce(&mut self, news: Introduction) {
        assert_eq!(self.octets_received, 0, "a client is introduced before it speaks");
        match news {
            Introduction::From(peer) => self.peer = peer,
            Introduction::Tls(login) => self.tls = Some(login),
        }
    }

    /// Takes octets from the socket; returns how many were consumed. Stops at an incomplete
    /// frame, while a channel waits for an answer, when as much is held back as may be while
    /// publishers are blocked, when output is too full, and after the end. What is not consumed must be presented again, with what
    /// follows. An incomplete frame is less than eight octets longer than `frame_max`: a
    /// buffer that has as many more suffices.
    pub fn receive<B: Broker>(&mut self, octets: &[u8], broker: &mut B) -> usize {
        if !octets.is_empty() {
            self.heartbeat.heard();
        }
        self.session.drift.begin();
        self.take_held(broker);
        let consumed = self.consume(octets, broker);
        self.octets_received += consumed as u64;
        consumed
    }

    /// An answer or event from a shard.
    pub fn notice<B: Broker>(&mut self, notice: Notice, broker: &mut B) {
        let key = notice.channel();
        if key.channel == 0 {
            // The one thing that the connection itself asks for: its queues to be dropped.
            if let Phase::Leaving { until_us } = self.phase {
                self.answer_close(until_us);
            }
            return;
        }
        let Some(channel) = self.channels.get_mut(&key.channel) else {
            return;
        };
        if channel.key() != key || channel.is_closing() {
            return;
        }
        let mut cx = Context { session: &mut self.session, broker };
        let done = channel.notice(notice, &mut cx);
        self.look_whether_waiting(key.channel);
        if let Err(exception) = done {
            self.fail(key.channel, exception, broker);
        }
    }

    /// Encodes what was collected since the last call: confirms, requeues of deliveries that came
    /// too late. Call once per turn before writing `output`.
    pub fn end_of_turn<B: Broker>(&mut self, broker: &mut B) {
        if !self.held.is_empty() {
            self.take_held(broker);
        }
        if !self.session.orphans.is_empty() {
            self.session.return_orphans(broker);
        }
        if let Some(exchange) = self.session.missing_alternate.take() {
            broker.alternate_missing(exchange);
        }
        while let Some(number) = self.session.confirming.pop() {
            if let Some(channel) = self.channels.get_mut(&number) {
                let mut cx = Context { session: &mut self.session, broker };
                channel.end_of_turn(&mut cx);
            }
        }
        self.tell_gathered(broker);
        self.review(broker);
        self.ask_for_pieces(broker);
    }

    /// Octets that wait for the socket.
    pub fn output(&self) -> &[u8] {
        self.session.output.pending()
    }

    /// The first `n` octets of `output` have left. Gives delivery windows back. True if something
    /// follows from that, so that the turn has to be ended.
    pub fn wrote<B: Broker>(&mut self, n: usize, broker: &mut B) -> bool {
        if n == 0 {
            return false;
        }
        self.writes += 1;
        let connection = self.session.id;
        let released = self.released;
        let mut follows = !self.held.is_empty();
        self.session.output.wrote(n, |shard, bytes| {
            // Shards that were told to forget the connection keep no window for it.
            if !released {
                broker.command(shard, Command::Window { connection, bytes });
                follows = true;
            }
        });
        self.ask_for_pieces(broker) || follows
    }

    /// Time passes: heartbeats, deadlines, delayed closes, unblocking. May be called at any time.
    pub fn tick<B: Broker>(&mut self, broker: &mut B) {
        let now = broker.now();
        if self.phase.until_us().is_some_and(|until_us| now.monotonic_us >= until_us) {
            if let Phase::Leaving { .. } = self.phase {
                // The queues have not gone in time; the client is answered all the same.
                connection::close_ok(self.session.output.frames(0));
            }
            self.phase = Phase::Finished;
            return;
        }
        if self.phase.is_handshake() && now.monotonic_us >= self.handshake_until_us {
            self.abort("handshake timed out".to_owned(), broker);
            return;
        }
        if self.phase != Phase::Running {
            return;
        }
        self.look_whether_blocked(broker);
        self.look_for_late_acks(broker);
        if self.phase != Phase::Running {
            return;
        }
        self.look_whether_stuck(now.monotonic_us);
        self.review(broker);
        let reading = match self.wants_input() {
            // Many a client that waits for room says nothing meanwhile, and RabbitMQ does not hear
            // it then.
            true if self.blocked.is_some() => Reading::Paused,
            true => Reading::Yes,
            false if self.is_output_full() => Reading::UntilWritten,
            false => Reading::Paused,
        };
        match self.heartbeat.check(now, self.session.output.octets_sent(), reading) {
            Pulse::Fine => {}
            Pulse::Silent => {
                if self.session.output.pending().is_empty() {
                    writer::heartbeat(self.session.output.frames(0));
                }
            }
            Pulse::Dead => self.abort("missed heartbeats from client".to_owned(), broker),
        }
    }

    /// When `tick` is due at the latest, in monotonic microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        match self.phase {
            Phase::Finished => None,
            Phase::Running => {
                let poll = self.blocked.is_some().then_some(self.blocked_poll_us);
                let acks = (!self.channels.is_empty()).then_some(self.session.ack_check_us);
                let deadlines = [self.heartbeat.deadline_us(), poll, self.journey_until_us(), acks];
                deadlines.into_iter().flatten().min()
            }
            phase if phase.is_handshake() => Some(self.handshake_until_us),
            phase => phase.until_us(),
        }
    }

    /// Closes with `320 CONNECTION_FORCED - <reason>` (behaviour A28).
    pub fn shutdown<B: Broker>(&mut self, reason: &str, broker: &mut B) {
        self.force_close(reason, broker);
    }

    /// Changes how many unsettled deliveries a consumer or a channel may hold (behaviour I29).
    /// False: there is no such channel or consumer.
    pub fn change_prefetch<B: Broker>(
        &mut self,
        channel: u16,
        whose: &PrefetchOf,
        prefetch: u16,
        broker: &mut B,
    ) -> bool {
        let Some(found) = self.channels.get_mut(&channel) else { return false };
        let mut cx = Context { session: &mut self.session, broker };
        found.change_prefetch(whose, prefetch.into(), &mut cx)
    }

    /// The socket is gone: requeues what is unacked, cancels consumers, drops exclusive queues.
    /// To be called at the end of every connection; it does nothing that was done.
    pub fn disconnected<B: Broker>(&mut self, broker: &mut B) {
        self.release(broker);
        self.phase = Phase::Finished;
    }

    /// Everything has been said: flush `output`, then close the socket.
    pub fn is_finished(&self) -> bool {
        self.phase == Phase::Finished
    }

    /// The close that `is_finished` asks for is to be a TCP reset (behaviour A7, A18, A46).
    pub fn should_reset(&self) -> bool {
        self.reset
    }

    /// Why the connection has ended or is about to, for the log. `None` while it lives, and after
    /// a socket that was closed without a word.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Why it has ended without having been let in, with its name, for the log.
    pub fn refusal(&self) -> Option<String> {
        let refused = self.session.payload_max == 0;
        let reason = self.reason().filter(|_| refused)?;
        Some(format!("connection {} is refused: {reason}", self.name()))
    }

    /// A channel waits for an answer from a shard: no input is consumed.
    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// `receive` would consume a complete frame now. False: do not read from the socket either,
    /// but for finding out that it was closed.
    #[inline]
    pub fn wants_input(&self) -> bool {
        self.waiting.is_none()
            && self.journey.is_none()
            && self.held.lets_in(self.blocked.is_some())
            && !self.is_output_full()
            && !matches!(self.phase, Phase::Finished)
    }

    /// Shards that publishes of the latest input have gone to. While one of them has no room, the socket should
    /// not be read.
    #[inline]
    pub fn published_to(&self) -> ShardSet {
        self.session.drift.targets()
    }

    /// For listings.
    pub fn report(&self) -> ConnectionReport {
        self.make_report()
    }

    /// For listings: every open channel.
    pub fn channel_reports(&self) -> Vec<ChannelReport> {
        self.make_channel_reports()
    }

    fn is_output_full(&self) -> bool {
        self.session.output.waiting_octets() >= self.session.settings.output_high_water_bytes
    }

    fn look_whether_waiting(&mut self, number: u16) {
        let awaiting = self.channels.get(&number).is_some_and(|channel| channel.is_awaiting());
        match self.waiting {
            Some(waiting) if waiting == number && !awaiting => self.waiting = None,
            None if awaiting => self.waiting = Some(number),
            _ => {}
        }
    }

    /// A publish is at hand. True: it must wait, for memory or disk are short; the client is told
    /// if it wants to know (behaviour A24).
    #[inline]
    fn hold_publisher(&mut self) -> bool {
        let Some(reason) = self.blocked_now else {
            return false;
        };
        if self.blocked.is_none() && self.session.blocked_notify {
            connection::blocked(self.session.output.frames(0), reason);
        }
        self.blocked = Some(reason);
        true
    }

    /// Looks whether acknowledgements are overdue (behaviour B18), if it is time to.
    fn look_for_late_acks<B: Broker>(&mut self, broker: &mut B) {
        let now_us = broker.now().monotonic_us;
        if now_us < self.session.ack_check_us {
            return;
        }
        let mut pause_us = ACK_LOOK_PAUSE_MAX_US;
        let open = self.channels.iter().filter(|(_, channel)| !channel.is_closing());
        for number in open.map(|(number, _)| *number).collect::<Vec<_>>() {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            let mut cx = Context { session: &mut self.session, broker };
            match channel.watch_acks(&mut cx) {
                Ok(pause) => pause_us = pause_us.min(pause),
                Err(error) => self.fail(number, error.by(MethodId::NONE), broker),
            }
        }
        self.session.ack_check_us = now_us.saturating_add(pause_us);
    }

    fn look_whether_blocked<B: Broker>(&mut self, broker: &B) {
        if self.blocked.is_some() {
            self.blocked_now = broker.publishers_blocked();
            self.blocked_poll_us = broker.now().monotonic_us + BLOCKED_POLL_US;
            if self.blocked_now.is_none() {
                self.blocked = None;
                if self.session.blocked_notify {
                    connection::unblocked(self.session.output.frames(0));
                }
            }
        }
    }
}
