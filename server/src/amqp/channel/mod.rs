//! One channel: the methods of classes exchange, queue, basic, confirm and tx, and what comes
//! back for them.
//!
//! A channel that has asked a shard something is `awaiting`; its connection then consumes no input
//! until the answer is there, so everything happens in the order in which the client said it.
//! A channel never sees frames: whole methods and whole messages come in.

mod ack_watch;
mod assembly;
mod awaited;
mod bind;
mod confirms;
mod consume;
mod consumers;
mod declare;
mod deliver;
mod get;
mod limit;
mod long_body;
mod notice;
mod publish;
mod qos;
mod remove;
mod reply_to;
mod report;
mod route_cache;
mod sender_selected;
mod settle;
mod tx;
mod unacked;

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, ConnectionId, ConsumerKey};
use haremq_engine::mail::{Command, Outcome};

pub(crate) use assembly::{Assembled, Assembly};

use self::ack_watch::AckWatch;
pub(crate) use self::ack_watch::PAUSE_MAX_US as ACK_LOOK_PAUSE_MAX_US;
use self::awaited::Awaiting;
use self::consumers::Consumers;
use self::limit::ChannelLimit;
use self::long_body::LongBody;
use self::publish::Publisher;
use self::reply_to::ReplyTo;
use self::unacked::UnackedQueue;
use super::broker::Broker;
use super::error::{Exception, ProtocolError};
use super::method::basic::BasicMethod;
use super::method::exchange::ExchangeMethod;
use super::method::queue::QueueMethod;
use super::method::{self, basic, Method, MethodId};
use super::session::Session;

/// What a channel works with: the connection's session and the broker.
#[derive(Debug)]
pub(crate) struct Context<'c, B> {
    pub(crate) session: &'c mut Session,
    pub(crate) broker: &'c mut B,
}

impl<B> Context<'_, B> {
    /// Where to append frames of that channel.
    pub(crate) fn out(&mut self, channel: u16) -> &mut Vec<u8> {
        self.session.output.frames(channel)
    }
}

#[derive(Debug)]
pub(crate) struct Channel {
    key: ChannelKey,
    /// We have sent channel.close: everything but its answer is dropped (behaviour A36).
    closing: bool,
    pub(crate) assembly: Assembly,
    /// What `assembly` gathers is handed on in parts.
    long_body: Option<LongBody>,
    awaiting: Option<Awaiting>,
    /// The queue that an empty name stands for (behaviour A71).
    last_queue: Option<Arc<str>>,
    publisher: Publisher,
    consumers: Consumers,
    unacked: UnackedQueue,
    next_tag: u64,
    /// For consumers to come (behaviour A84).
    prefetch: u32,
    ack_watch: AckWatch,
    limit: ChannelLimit,
    reply_to: Option<ReplyTo>,
    /// Listed in `Session::confirming`.
    confirming: bool,
    /// The channel's limit has room again for consumers that wait for it.
    grants_free: bool,
}

impl Channel {
    /// `seed`: octets nobody else has, for exchanges that choose by chance.
    pub(crate) fn new(connection: ConnectionId, number: u16, incarnation: u32, seed: u64) -> Self {
        Channel {
            key: ChannelKey { connection, channel: number, incarnation },
            closing: false,
            assembly: Assembly::default(),
            long_body: None,
            awaiting: None,
            last_queue: None,
            publisher: Publisher::new(seed),
            consumers: Consumers::default(),
            unacked: UnackedQueue::default(),
            next_tag: 1,
            prefetch: 0,
            ack_watch: AckWatch::default(),
            limit: ChannelLimit::default(),
            reply_to: None,
            confirming: false,
            grants_free: false,
        }
    }

    pub(crate) fn key(&self) -> ChannelKey {
        self.key
    }

    pub(crate) fn number(&self) -> u16 {
        self.key.channel
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// It waits for an answer from a shard.
    pub(crate) fn is_awaiting(&self) -> bool {
        self.awaiting.is_some()
    }

    pub(crate) fn is_transactional(&self) -> bool {
        self.publisher.is_transactional()
    }

    /// No shard holds anything for it: no consumer, no delivery that is not settled.
    pub(crate) fn is_unattached(&self) -> bool {
        self.consumers.len() == 0
            && self.unacked.waiting() == 0
            && self.unacked.held() == 0
            && self.reply_to.is_none()
            && self.long_body.is_none()
            && !self.publisher.holds_long_bodies()
    }

    /// Everything that it has asked or published has been answered, and the client told.
    pub(crate) fn is_settled(&self) -> bool {
        self.awaiting.is_none() && self.publisher.confirms.outstanding() == 0 && !self.confirming
    }

    /// Its connection is known by another name from now on.
    pub(crate) fn belongs_to(&mut self, connection: ConnectionId) {
        self.key.connection = connection;
    }

    /// Carries out a method. Not for channel.open and close, nor for basic.publish, which has
    /// content.
    pub(crate) fn method<B: Broker>(
        &mut self,
        id: MethodId,
        method: Method<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        self.carry_out(id, method, cx).map_err(|error| error.by(id))
    }

    fn carry_out<B: Broker>(
        &mut self,
        id: MethodId,
        method: Method<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        match method {
            Method::Exchange(ExchangeMethod::Declare(args)) => self.declare_exchange(id, &args, cx),
            Method::Exchange(ExchangeMethod::Delete(args)) => self.delete_exchange(id, &args, cx),
            Method::Exchange(ExchangeMethod::Bind(args)) => self.bind_exchange(id, &args, true, cx),
            Method::Exchange(ExchangeMethod::Unbind(args)) => {
                self.bind_exchange(id, &args, false, cx)
            }
            Method::Queue(QueueMethod::Declare(args)) => self.declare_queue(id, &args, cx),
            Method::Queue(QueueMethod::Bind(args)) => self.bind_queue(id, &args, cx),
            Method::Queue(QueueMethod::Unbind(args)) => self.unbind_queue(id, &args, cx),
            Method::Queue(QueueMethod::Purge(args)) => self.purge_queue(id, &args, cx),
            Method::Queue(QueueMethod::Delete(args)) => self.delete_queue(id, &args, cx),
            Method::Basic(args) => self.basic(id, args, cx),
            Method::ConfirmSelect(args) => self.select_confirms(args.nowait, cx),
            Method::Tx(method) => self.transaction(id, method, cx),
            Method::AccessRequest => {
                method::access_request_ok(cx.session.output.frames(self.number()), self.number());
                Ok(())
            }
            Method::Channel(_) | Method::Connection(_) | Method::FromBroker => {
                Err(ProtocolError::UnimplementedMethod)
            }
        }
    }

    fn basic<B: Broker>(
        &mut self,
        id: MethodId,
        method: BasicMethod<'_>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        match method {
            BasicMethod::Qos(args) => self.qos(&args, cx),
            BasicMethod::Consume(args) => self.consume(id, &args, cx),
            BasicMethod::Cancel(args) => self.cancel(id, &args, cx),
            BasicMethod::CancelOk => Ok(()),
            BasicMethod::Get(args) => self.get(id, &args, cx),
            BasicMethod::Ack(args) => self.settle(args.tag, args.multiple, Outcome::Ack, cx),
            BasicMethod::Reject(args) => self.settle(args.tag, false, refusal(args.requeue), cx),
            BasicMethod::Nack(args) => {
                self.settle(args.tag, args.multiple, refusal(args.requeue), cx)
            }
            BasicMethod::RecoverAsync(args) => self.recover(args.requeue, cx),
            BasicMethod::Recover(args) => {
                self.recover(args.requeue, cx)?;
                basic::recover_ok(cx.out(self.number()), self.number());
                Ok(())
            }
            // Has content and comes as a whole message.
            BasicMethod::Publish(_) => Err(ProtocolError::UnimplementedMethod),
        }
    }

    /// Ends everything that the channel has under way (behaviour A105): consumers first, so that
    /// nothing that is requeued comes straight back.
    pub(crate) fn release<B: Broker>(&mut self, cx: &mut Context<'_, B>) {
        self.awaiting = None;
        self.drop_long_body(cx);
        self.assembly = Assembly::default();
        if self.publisher.is_confirming() {
            // What is safe already is said before the end.
            self.publisher
                .confirms
                .flush(cx.session.output.frames(self.key.channel), self.key.channel);
        }
        self.publisher = Publisher::default();
        self.reply_to = None;
        let channel = self.key;
        for (consumer, queue, shard) in self.consumers.drain() {
            let consumer = ConsumerKey {
                connection: channel.connection,
                channel: channel.channel,
                serial: consumer,
            };
            cx.broker.command(shard, Command::Abandon { queue, consumer });
        }
        self.unacked.release_held();
        // There is always an answer to "everything".
        let _ = self.settle_now(0, true, Outcome::Requeue, cx);
    }

    /// Releases everything and drops what comes until the client has heard of it.
    pub(crate) fn close<B: Broker>(&mut self, exception: &Exception, cx: &mut Context<'_, B>) {
        self.release(cx);
        self.closing = true;
        let error = &exception.error;
        method::channel::close(
            cx.session.output.frames(self.key.channel),
            self.key.channel,
            error.code().number(),
            &error.text(),
            exception.culprit,
        );
    }

    /// The confirms of this turn, and grants that its deliveries have left free.
    pub(crate) fn end_of_turn<B: Broker>(&mut self, cx: &mut Context<'_, B>) {
        self.confirming = false;
        if !self.closing {
            self.publisher
                .confirms
                .flush(cx.session.output.frames(self.key.channel), self.key.channel);
        }
        if std::mem::take(&mut self.grants_free) {
            self.send_grants(cx);
        }
    }

    /// The name that `name` stands for (behaviour A71).
    pub(crate) fn queue_name<'n>(&'n self, name: &'n str) -> Result<&'n str, ProtocolError> {
        match (name, &self.last_queue) {
            ("", Some(last)) => Ok(last),
            ("", None) => Err(ProtocolError::NoPreviousQueue),
            _ => Ok(name),
        }
    }
}

fn refusal(requeue: bool) -> Outcome {
    if requeue {
        Outcome::Requeue
    } else {
        Outcome::Reject
    }
}
