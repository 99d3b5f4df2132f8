//! Moving to another shard: where a connection works with queues of one other shard only, every
//! message crosses a ring for nothing. It is then taken there, with its socket.
//!
//! Only a connection that no shard knows anything of can move: no consumer, no unsettled delivery,
//! no publish without its confirm, no answer awaited, no queue of its own. So it moves before
//! its first consumer is set up, or between two publishes, and what moves is nothing but this
//! state machine and octets. Everything that it has said to shards before has been carried out
//! or stands in the ring that it travels by.
//!
//! The runtime's part is: look at [`Connection::destination`] after each turn; when
//! [`Connection::is_portable`], call [`Connection::leave`] and carry the connection and the octets
//! that were not consumed to the new shard; or [`Connection::stay`].

use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::mail::Command;

use super::phase::Phase;
use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::codec::frame::{Content, Frame};
use crate::amqp::method::basic::BasicMethod;
use crate::amqp::method::{Method, MethodId};

/// How long input may stand still while a connection waits until it can move.
const PATIENCE_US: u64 = 100_000;

/// Under way to another shard: no input is consumed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Journey {
    to: ShardId,
    /// Beyond this the connection stays, in monotonic microseconds.
    until_us: u64,
}

impl Connection {
    /// The shard it is to be taken to as soon as it is portable. Input stands still until it is
    /// there, or is told to stay.
    #[inline]
    pub fn destination(&self) -> Option<ShardId> {
        self.journey.map(|journey| journey.to)
    }

    /// Whether nothing outside knows it, and nothing waits for the socket.
    pub fn is_portable(&self) -> bool {
        self.is_unattached()
            && self.waiting.is_none()
            && self.session.orphans.is_empty()
            && self.session.confirming.is_empty()
            && self.session.output.pending().is_empty()
            && self.session.output.has_no_body()
            && self.channels.values().all(|channel| channel.is_settled())
    }

    /// It lives on where it is. Not asked for again before much more has been published.
    pub fn stay(&mut self) {
        self.journey = None;
        self.stayed = true;
        self.session.drift.tire();
    }

    /// It leaves its shard, portable, to be known as `id` from now on.
    ///
    /// # Panics
    /// If it is not portable: somebody would be left with a name of nobody.
    pub fn leave<B: Broker>(&mut self, id: ConnectionId, broker: &mut B) {
        assert!(self.is_portable(), "a connection moves while a shard knows it");
        let connection = self.session.id;
        for shard in std::mem::take(&mut self.session.asked) {
            broker.command(shard, Command::Forget { connection });
        }
        self.take_gathered_along(broker);
        self.session.id = id;
        for channel in self.channels.values_mut() {
            channel.belongs_to(id);
        }
        self.journey = None;
        self.session.drift.tire();
    }

    /// After input: whether enough has been published to one other shard.
    #[inline]
    pub(super) fn look_whether_drifting<B: Broker>(&mut self, broker: &B) {
        if let Some(to) = self.session.drift.destination() {
            // What an answer brings may hold it.
            if self.waiting.is_none() {
                self.set_out(to, broker);
            }
        }
    }

    /// basic.consume is at hand. True: it must wait, the connection moves to its queue first.
    pub(super) fn moves_to_consume<B: Broker>(&mut self, frame: &Frame<'_>, broker: &B) -> bool {
        if std::mem::take(&mut self.stayed) || !self.is_unattached() {
            return false;
        }
        let Content::Method { class, method, arguments } = frame.content() else { return false };
        let Ok(Method::Basic(BasicMethod::Consume(consume))) =
            Method::decode(MethodId::new(class, method), arguments)
        else {
            return false;
        };
        let Some(channel) = self.channels.get(&frame.channel) else { return false };
        let Ok(name) = channel.queue_name(consume.queue) else { return false };
        let Ok(queue) = self.session.usable_queue(broker, name) else { return false };
        self.set_out(queue.owner, broker);
        self.journey.is_some()
    }

    /// Time passes: it does not wait for ever.
    pub(super) fn look_whether_stuck(&mut self, now_us: u64) {
        if self.journey.is_some_and(|journey| now_us >= journey.until_us) {
            self.stay();
        }
    }

    pub(super) fn journey_until_us(&self) -> Option<u64> {
        self.journey.map(|journey| journey.until_us)
    }

    fn set_out<B: Broker>(&mut self, to: ShardId, broker: &B) {
        if to == self.session.id.shard() {
            return;
        }
        if self.is_unattached() && broker.may_move_to(to) {
            let until_us = broker.now().monotonic_us + PATIENCE_US;
            self.journey = Some(Journey { to, until_us });
        } else {
            self.session.drift.tire();
        }
    }

    /// Whether it would be portable if it held still for a moment.
    fn is_unattached(&self) -> bool {
        self.phase == Phase::Running
            && !self.session.owns_queues
            && self.held.is_empty()
            && self.channels.values().all(|channel| channel.is_unattached())
    }
}
