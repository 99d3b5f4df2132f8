//! All the ways in which a connection ends (behaviour A7-A10, A22, A28, A33-A39, A46).

use std::sync::Arc;

use haremq_engine::ids::ChannelKey;
use haremq_engine::mail::{Command, Requester};
use haremq_engine::topology::TopologyRequest;

use super::phase::Phase;
use super::Connection;
use crate::amqp::broker::Broker;
use crate::amqp::channel::Context;
use crate::amqp::codec::frame::{Content, Frame};
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::connection::{self, ConnectionMethod};
use crate::amqp::method::{Method, MethodId, CONNECTION};
use crate::amqp::population::Counted;

impl Connection {
    /// Something is wrong: closes the channel or the connection, as the error asks for.
    pub(super) fn fail<B: Broker>(&mut self, channel: u16, exception: Exception, broker: &mut B) {
        match self.phase {
            Phase::Running if !exception.error.code().is_hard() => {
                if let Some(failed) = self.channels.get_mut(&channel) {
                    if self.waiting == Some(channel) {
                        self.waiting = None;
                    }
                    let mut cx = Context { session: &mut self.session, broker };
                    failed.close(&exception, &mut cx);
                    return;
                }
                self.close(&exception, false, broker);
            }
            Phase::Running | Phase::Opening => self.close(&exception, false, broker),
            Phase::Starting | Phase::Securing
                if self.tells_login_failure
                    && matches!(exception.error, ProtocolError::LoginRefused { .. }) =>
            {
                let why = exception.error.for_the_log();
                self.close(&exception.error.by(MethodId::NONE), false, broker);
                self.reason = Some(why);
            }
            phase if phase.is_handshake() => self.refuse(&exception.error, broker),
            _ => {}
        }
    }

    /// The input is not frames any more: nothing that follows can be understood.
    pub(super) fn lost_frames<B: Broker>(&mut self, error: ProtocolError, broker: &mut B) {
        match self.phase {
            Phase::Running | Phase::Opening => {
                self.close(&error.by(MethodId::NONE), true, broker);
            }
            phase if phase.is_handshake() => self.refuse(&error, broker),
            Phase::Closing { until_us, .. } => {
                self.phase = Phase::Closing { until_us, deaf: true };
            }
            _ => {
                self.reset = true;
                self.phase = Phase::Finished;
            }
        }
    }

    /// A client that is not let in hears nothing, and late (behaviour A7-A10).
    fn refuse<B: Broker>(&mut self, error: &ProtocolError, broker: &B) {
        self.reason = Some(error.for_the_log());
        self.reset = true;
        let delay_us = self.session.settings.login_failure_delay_ms * 1000;
        self.phase = Phase::Silent { until_us: broker.now().monotonic_us + delay_us };
    }

    /// Says connection.close and waits for close-ok; `deaf`: without being able to hear it.
    pub(super) fn close<B: Broker>(&mut self, exception: &Exception, deaf: bool, broker: &mut B) {
        self.release(broker);
        let error = &exception.error;
        let text = error.text();
        let code = error.code().number();
        connection::close(self.session.output.frames(0), code, &text, exception.culprit);
        self.reason = Some(text);
        let settings = &self.session.settings;
        let delay_ms =
            if deaf { settings.login_failure_delay_ms } else { settings.closing_timeout_ms };
        self.reset |= deaf;
        let until_us = broker.now().monotonic_us + delay_ms * 1000;
        self.phase = Phase::Closing { until_us, deaf };
    }

    /// Ends at once and without a word.
    pub(super) fn abort<B: Broker>(&mut self, reason: String, broker: &mut B) {
        self.release(broker);
        self.reason = Some(reason);
        self.reset = true;
        self.phase = Phase::Finished;
    }

    /// connection.close from the client. Its exclusive queues are gone before it is answered, so
    /// that it may declare them on its next connection.
    pub(super) fn closed_by_client<B: Broker>(&mut self, broker: &mut B) {
        let owned = self.session.owns_queues && !self.released;
        self.reason.get_or_insert_with(|| "closed by the client".to_owned());
        let until_us = broker.now().monotonic_us + self.session.settings.closing_timeout_ms * 1000;
        self.release_for(Requester::Channel(self.key()), broker);
        if owned {
            self.phase = Phase::Leaving { until_us };
        } else {
            self.answer_close(until_us);
        }
    }

    /// close-ok; then the client closes its socket, or we do when it has had time enough.
    pub(super) fn answer_close(&mut self, until_us: u64) {
        connection::close_ok(self.session.output.frames(0));
        self.phase = Phase::Closed { until_us };
    }

    /// Frames of channel 0 while the connection ends: only close and close-ok mean anything
    /// (behaviour A22).
    pub(super) fn frame_while_closing<B: Broker>(&mut self, frame: &Frame<'_>, broker: &mut B) {
        let Content::Method { class: CONNECTION, method, arguments } = frame.content() else {
            return;
        };
        let id = MethodId::new(CONNECTION, method);
        match (self.phase, Method::decode(id, arguments)) {
            (Phase::Closing { .. }, Ok(Method::Connection(ConnectionMethod::CloseOk))) => {
                self.phase = Phase::Finished;
            }
            (
                Phase::Closing { .. } | Phase::Closed { .. },
                Ok(Method::Connection(ConnectionMethod::Close(_))),
            ) => {
                let until_us =
                    broker.now().monotonic_us + self.session.settings.closing_timeout_ms * 1000;
                self.answer_close(until_us);
            }
            _ => {}
        }
    }

    /// See [`Connection::shutdown`].
    pub(super) fn force_close<B: Broker>(&mut self, reason: &str, broker: &mut B) {
        match self.phase {
            Phase::Running | Phase::Opening => {
                let error = ProtocolError::Forced { reason: reason.into() };
                self.close(&error.by(MethodId::NONE), false, broker);
            }
            phase if phase.is_handshake() => {
                self.reason = Some(reason.to_owned());
                self.phase = Phase::Finished;
            }
            _ => {}
        }
    }

    /// Looks whether the vhost or the user has been deleted under a live connection, and closes it
    /// if so. Cheap when nothing has changed.
    pub fn review<B: Broker>(&mut self, broker: &mut B) {
        let version = broker.topology().version();
        if self.phase != Phase::Running || version == self.topology_version {
            return;
        }
        self.topology_version = version;
        let topology = broker.topology();
        let (vhost, user) = (&self.session.vhost, &self.session.user);
        let reason: Arc<str> = if topology.vhost(vhost).is_none() {
            format!("vhost '{vhost}' is deleted").into()
        } else if topology.user(user).is_none() {
            format!("user '{user}' is deleted").into()
        } else {
            return;
        };
        self.force_close(&reason, broker);
    }

    /// Gives back everything that the connection holds in shards and topology. Once.
    pub(super) fn release<B: Broker>(&mut self, broker: &mut B) {
        self.release_for(Requester::Nobody, broker);
    }

    fn release_for<B: Broker>(&mut self, requester: Requester, broker: &mut B) {
        if std::mem::replace(&mut self.released, true) {
            return;
        }
        self.waiting = None;
        self.journey = None;
        self.session.confirming.clear();
        self.held.clear();
        if std::mem::take(&mut self.counted) {
            broker.leave(Counted::VhostConnections, &self.session.vhost, 1);
            broker.leave(Counted::UserConnections, &self.session.user, 1);
            let channels = self.channels.len() as u64;
            broker.leave(Counted::UserChannels, &self.session.user, channels);
            broker.leave(Counted::Channels, &Arc::default(), channels);
            broker.leave(Counted::Connections, &Arc::default(), 1);
        }
        for (number, mut channel) in std::mem::take(&mut self.channels) {
            channel.release(&mut Context { session: &mut self.session, broker });
            self.announce_channel("channel.closed", number, broker);
        }
        self.session.output.give_bodies_up();
        self.tell_gathered(broker);
        self.announce_end(broker);
        self.session.return_orphans(broker);
        let connection = self.session.id;
        for shard in std::mem::take(&mut self.session.asked) {
            broker.command(shard, Command::Forget { connection });
        }
        if self.session.owns_queues {
            broker.request(requester, TopologyRequest::DropConnection { connection });
        }
    }

    /// Channel 0, for answers that the connection itself waits for.
    pub(super) fn key(&self) -> ChannelKey {
        ChannelKey { connection: self.session.id, channel: 0, incarnation: 0 }
    }
}
