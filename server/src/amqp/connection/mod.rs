//! One client connection: octets in, octets out.
//!
//! Owned by the task of its socket, on one shard. The runtime's turn with a connection is
//!
//! 1. read octets, [`Connection::receive`] until it consumes nothing more (keep the rest);
//! 2. hand over [`Notice`]s and [`Delivery`]s as they come: [`Connection::notice`],
//!    [`Connection::deliver`];
//! 3. [`Connection::end_of_turn`] once, then write [`Connection::output`] and report what left
//!    with [`Connection::wrote`];
//! 4. [`Connection::tick`] when [`Connection::deadline_us`] has passed.
//!
//! After any of 2-4 `receive` may be able to consume octets that it refused before: call it again
//! with the kept octets whenever [`Connection::wants_input`] is true.
use std::net::SocketAddr;
use std::rc::Rc;

use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::mail::{Delivery, Notice};
use haremq_engine::now::Now;

use super::broker::Broker;
use super::settings::ConnectionSettings;
use crate::control::{ChannelReport, ConnectionReport};

/// The state machine of one connection.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// A freshly accepted socket. `now` starts the handshake deadline.
    pub fn new(
        _settings: Rc<ConnectionSettings>,
        _id: ConnectionId,
        _shard: ShardId,
        _peer: SocketAddr,
        _local: SocketAddr,
        _now: Now,
    ) -> Self {
        todo!()
    }

    /// Takes octets from the socket; returns how many were consumed. Stops at an incomplete
    /// frame, while a channel waits for an answer, while publishers are blocked, when output is
    /// too full, and after the end. What is not consumed must be presented again, with what
    /// follows.
    pub fn receive<B: Broker>(&mut self, _octets: &[u8], _broker: &mut B) -> usize {
        todo!()
    }

    /// An answer or event from a shard.
    pub fn notice<B: Broker>(&mut self, _notice: Notice, _broker: &mut B) {
        todo!()
    }

    /// A message for a consumer or a basic.get, from the shard that owns its queue. Needs no
    /// broker, so that it can be called while the shard is dispatching; what it has to say to
    /// shards is said by `end_of_turn`.
    pub fn deliver(&mut self, _from: ShardId, _delivery: &Delivery<'_>) {
        todo!()
    }

    /// Encodes what was collected since the last call: confirms, requeues of deliveries that came
    /// too late, credit grants. Call once per turn before writing `output`.
    pub fn end_of_turn<B: Broker>(&mut self, _broker: &mut B) {
        todo!()
    }

    /// Octets that wait for the socket.
    pub fn output(&self) -> &[u8] {
        todo!()
    }

    /// The first `n` octets of `output` have left. Gives delivery windows back.
    pub fn wrote<B: Broker>(&mut self, _n: usize, _broker: &mut B) {
        todo!()
    }

    /// Time passes: heartbeats, deadlines, delayed closes, unblocking. May be called at any time.
    pub fn tick<B: Broker>(&mut self, _broker: &mut B) {
        todo!()
    }

    /// When `tick` is due at the latest, in monotonic microseconds.
    pub fn deadline_us(&self) -> Option<u64> {
        todo!()
    }

    /// Closes with `320 CONNECTION_FORCED - <reason>` (behaviour A28).
    pub fn shutdown<B: Broker>(&mut self, _reason: &str, _broker: &mut B) {
        todo!()
    }

    /// The socket is gone: requeues what is unacked, cancels consumers, drops exclusive queues.
    /// Call it exactly once, whatever the reason for the end; it does nothing that was done.
    pub fn disconnected<B: Broker>(&mut self, _broker: &mut B) {
        todo!()
    }

    /// Everything has been said: flush `output`, then close the socket.
    pub fn is_finished(&self) -> bool {
        todo!()
    }

    /// The close that `is_finished` asks for is to be a TCP reset (behaviour A7, A18, A46).
    pub fn should_reset(&self) -> bool {
        todo!()
    }

    /// A channel waits for an answer from a shard: no input is consumed.
    pub fn is_waiting(&self) -> bool {
        todo!()
    }

    /// `receive` would consume a complete frame now.
    pub fn wants_input(&self) -> bool {
        todo!()
    }

    /// For listings. Boxed strings are made here and only here.
    pub fn report(&self) -> ConnectionReport {
        todo!()
    }

    /// For listings: every open channel.
    pub fn channel_reports(&self) -> Vec<ChannelReport> {
        todo!()
    }
}
