//! basic.publish: from a whole message to the shards of its queues (behaviour A92-A95, B1-B8).
//!
//! Hot path. A publish to the place of the one before costs a comparison of two names, a walk
//! over the property list and one call for each shard; nothing is copied or allocated.

use haremq_engine::access::Right;
use haremq_engine::ids::{QueueId, ShardId, Target};
use haremq_engine::mail;
use haremq_engine::message::MessageRef;
use haremq_engine::routing::Subject;
use haremq_engine::topology::{RouteError, Routes, TopologyError};
use haremq_engine::transaction::Transaction as Committed;

use super::confirms::Confirms;
use super::reply_to::{self, with_reply_to};
use super::route_cache::RouteCache;
use super::sender_selected::SenderSelected;
use super::tx::Transaction;
use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::codec::properties::{expiration_ms, Properties};
use crate::amqp::codec::writer;
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::{basic, confirm, MethodId};
use crate::amqp::reply::ReplyCode;
use crate::amqp::session::Session;

/// What becomes of publishes beyond being routed.
#[derive(Debug, Default)]
enum Mode {
    #[default]
    Plain,
    Confirm,
    Transaction(Box<Transaction>),
}

/// What comes before a body, found to be in order.
#[derive(Debug)]
pub(super) struct Examined<'p> {
    pub(super) found: Properties<'p>,
    /// The properties, if they must change.
    pub(super) rewritten: Option<Vec<u8>>,
    pub(super) expiration_ms: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Publisher {
    mode: Mode,
    pub(super) confirms: Confirms,
    cache: RouteCache,
    routes: Routes,
}

impl Publisher {
    /// `seed`: where chance begins, for exchanges that choose by it.
    pub(super) fn new(seed: u64) -> Self {
        let mut publisher = Publisher::default();
        publisher.routes.seed(seed);
        publisher
    }

    pub(super) fn is_confirming(&self) -> bool {
        matches!(self.mode, Mode::Confirm)
    }

    pub(super) fn is_transactional(&self) -> bool {
        matches!(self.mode, Mode::Transaction(_))
    }

    pub(super) fn transaction(&mut self) -> Option<&mut Transaction> {
        match &mut self.mode {
            Mode::Transaction(transaction) => Some(transaction),
            _ => None,
        }
    }

    /// The present route: for each shard its queues.
    pub(super) fn parts(&self) -> impl Iterator<Item = (ShardId, &[QueueId])> {
        self.cache.parts()
    }

    /// The present route makes a message unroutable.
    pub(super) fn leads_nowhere(&self) -> bool {
        self.cache.leads_nowhere()
    }

    pub(super) fn held_publishes(&self) -> usize {
        match &self.mode {
            Mode::Transaction(transaction) => transaction.publishes(),
            _ => 0,
        }
    }

    /// The shard has bodies that wait for a commit.
    pub(super) fn holds_long_bodies(&self) -> bool {
        matches!(&self.mode, Mode::Transaction(transaction) if transaction.holds_long_bodies())
    }

    /// Octets that wait for a commit.
    pub(super) fn held_octets(&self) -> usize {
        match &self.mode {
            Mode::Transaction(transaction) => transaction.held_octets(),
            _ => 0,
        }
    }

    pub(super) fn start_transactions(&mut self) {
        if !self.is_transactional() {
            self.mode = Mode::Transaction(Box::default());
        }
    }

    /// Finds the queues of a message, into the cache. `keys` are there if the headers named more.
    fn route<B: Broker>(
        &mut self,
        args: &basic::Publish<'_>,
        properties: &[u8],
        headers: Option<&[u8]>,
        keys: Option<&[&[u8]]>,
        session: &mut Session,
        broker: &B,
    ) -> Result<(), ProtocolError> {
        let (exchange, key) = (args.exchange.0, args.key.0);
        let topology = broker.topology();
        let version = topology.version();
        // Only a headers exchange looks at headers, and the default exchange leads to none.
        let repeats = keys.is_none() && (headers.is_none() || exchange.is_empty());
        if repeats && self.cache.holds(version, exchange, key) {
            return Ok(());
        }
        let name = String::from_utf8_lossy(exchange);
        session.permit(broker, Right::Write, "exchange", &name)?;
        let own = [key];
        let subject = Subject { keys: keys.unwrap_or(&own), headers, properties };
        session.permit_topics(broker, Right::Write, &name, subject.keys)?;
        let routed = topology.route_many(&session.vhost, exchange, &subject, &mut self.routes);
        routed.map_err(|error| {
            let (vhost, name) = (session.vhost.clone(), name.into());
            match error {
                RouteError::NoExchange => TopologyError::NoExchange { vhost, name }.into(),
                RouteError::Internal => ProtocolError::InternalExchange { vhost, name },
            }
        })?;
        session.missing_alternate = self.routes.missing_alternate().or(session.missing_alternate);
        let repeats = repeats && self.routes.is_repeatable();
        self.cache.fill(repeats.then_some(version), exchange, key, &self.routes);
        Ok(())
    }
}

/// The properties that a message gets as it comes in; `None`: those it has.
#[inline]
pub(super) fn stamped<B: Broker>(properties: &[u8], cx: &Context<'_, B>) -> Option<Vec<u8>> {
    let settings = &cx.session.settings;
    settings.stamps.incoming(properties, cx.broker.now().unix_ms, &settings.cluster_name)
}

impl Channel {
    /// A whole message.
    #[inline]
    pub(crate) fn publish<B: Broker>(
        &mut self,
        args: &basic::Publish<'_>,
        properties: &[u8],
        body: &[u8],
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        self.accept(args, properties, body, cx).map_err(|error| error.by(MethodId::PUBLISH))
    }

    /// The message that was assembled from frames: `body` if it came in one of them.
    pub(crate) fn publish_assembled<B: Broker>(
        &mut self,
        body: Option<&[u8]>,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        let mut assembly = std::mem::take(&mut self.assembly);
        let published = self.publish(
            &assembly.publish(),
            assembly.properties(),
            body.unwrap_or(assembly.gathered()),
            cx,
        );
        assembly.done();
        self.assembly = assembly;
        published
    }

    #[inline]
    fn accept<B: Broker>(
        &mut self,
        args: &basic::Publish<'_>,
        properties: &[u8],
        body: &[u8],
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let (size, limit) = (body.len() as u64, cx.session.settings.max_message_size);
        if size > limit {
            return Err(ProtocolError::MessageTooLarge { size, limit });
        }
        let stamped = stamped(properties, cx);
        let properties = stamped.as_deref().unwrap_or(properties);
        let Examined { found, rewritten, expiration_ms } = self.examine(args, properties, cx)?;
        if let Some(transaction) = self.publisher.transaction() {
            let limit = cx.session.settings.max_transaction_size;
            cx.session.gathers = true;
            return transaction.hold(args, properties, body, limit);
        }
        let properties = rewritten.as_deref().unwrap_or(properties);
        let message = message(args, &found, properties, body, expiration_ms);
        self.hand_over(args.mandatory, message, false, cx);
        Ok(())
    }

    /// Reads what comes before a body, refuses what is wrong with it, and routes the message, into
    /// the cache.
    #[inline]
    pub(super) fn examine<'p, B: Broker>(
        &mut self,
        args: &basic::Publish<'_>,
        properties: &'p [u8],
        cx: &mut Context<'_, B>,
    ) -> Result<Examined<'p>, ProtocolError> {
        if args.immediate {
            return Err(ProtocolError::NotImplemented { what: "immediate=true" });
        }
        let found = Properties::read(properties)
            .map_err(|malformed| ProtocolError::malformed(malformed, properties))?;
        let rewritten = if found.headers.is_none() && found.reply_to.is_none() {
            self.publisher.route(args, properties, None, None, cx.session, cx.broker)?;
            None
        } else {
            self.route_with_headers(args, &found, properties, cx)?
        };
        if let Some(claimed) = found.user_id {
            check_user_id(claimed, cx.session)?;
        }
        let expiration_ms = found.expiration.map(checked_expiration).transpose()?;
        Ok(Examined { found, rewritten, expiration_ms })
    }

    /// Routes a message with headers or reply-to; returns its properties if they must change.
    fn route_with_headers<B: Broker>(
        &mut self,
        args: &basic::Publish<'_>,
        found: &Properties<'_>,
        properties: &[u8],
        cx: &mut Context<'_, B>,
    ) -> Result<Option<Vec<u8>>, ProtocolError> {
        let headers = found.headers.as_ref().map(|(fields, _)| *fields);
        let selected = match headers {
            Some(fields) => SenderSelected::read(fields)
                .map_err(|error| ProtocolError::malformed_table(error, fields))?,
            None => SenderSelected::default(),
        };
        if selected.is_empty() {
            self.publisher.route(args, properties, headers, None, cx.session, cx.broker)?;
        } else {
            let keys = selected.keys(args.key.0)?;
            self.publisher.route(args, properties, headers, Some(&keys), cx.session, cx.broker)?;
        }
        let mut rewritten = None;
        // From the back to the front, so that places stay where they were found.
        if let Some((value, place)) = &found.reply_to {
            if *value == reply_to::QUEUE.as_bytes() {
                rewritten = Some(with_reply_to(properties, place.clone(), self.reply_queue()?));
            }
        }
        if let Some((_, place)) = &found.headers {
            let current = rewritten.as_deref().unwrap_or(properties);
            // What is held back is routed later, by BCC as well, and loses it then.
            if !self.publisher.routes.is_held() {
                rewritten = selected.without_bcc(current, place.clone()).or(rewritten);
            }
        }
        Ok(rewritten)
    }

    /// Adds a message to a transaction that is being committed, by its route in the cache.
    fn commit_publish(
        &mut self,
        mandatory: bool,
        message: MessageRef<'_>,
        long_body_bytes: u64,
        committed: &mut Committed,
        session: &mut Session,
    ) {
        let publisher = &mut self.publisher;
        let shards = publisher.cache.shards();
        if shards == 0 {
            if mandatory {
                return_message(self.key.channel, &message, session);
            }
            if long_body_bytes > 0 {
                // The shard has its body, and hears that it goes nowhere.
                committed.publish_long(&message, long_body_bytes, std::iter::empty());
            }
            return;
        }
        let parts = publisher.cache.parts().inspect(|(shard, _)| session.drift.note(*shard));
        let targets = parts.flat_map(|(shard, queues)| {
            queues.iter().map(move |queue| Target { queue: *queue, shard })
        });
        committed.publish_long(&message, long_body_bytes, targets);
    }

    /// Gives a message to the shards of its route, which stands in the cache. `is_long`: parts of its
    /// body are there already.
    #[inline]
    fn hand_over<B: Broker>(
        &mut self,
        mandatory: bool,
        message: MessageRef<'_>,
        is_long: bool,
        cx: &mut Context<'_, B>,
    ) {
        let publisher = &mut self.publisher;
        let shards = publisher.cache.shards();
        if mandatory && publisher.cache.leads_nowhere() {
            return_message(self.key.channel, &message, cx.session);
        }
        let confirm = match publisher.mode {
            Mode::Plain => None,
            Mode::Transaction(_) => None,
            Mode::Confirm => {
                let number = publisher.confirms.next();
                let answered = publisher.confirms.expect(shards);
                if answered && !self.confirming {
                    self.confirming = true;
                    cx.session.confirming.push(self.key.channel);
                }
                Some((self.key, number))
            }
        };
        for (shard, queues) in publisher.cache.parts() {
            cx.session.drift.note(shard);
            let publish = mail::Publish { message, queues, confirm };
            match is_long {
                false => cx.broker.publish(shard, &publish),
                true => cx.broker.publish_body(shard, self.key, &publish),
            }
        }
    }

    /// As `hand_over`, of a message whose body has been handed on but for the octets that it has.
    pub(super) fn hand_over_long<B: Broker>(
        &mut self,
        message: MessageRef<'_>,
        cx: &mut Context<'_, B>,
    ) {
        self.hand_over(false, message, true, cx);
    }

    /// Takes a message that a transaction held back into what is committed. It was accepted when it came; if it
    /// would not be any more (its exchange has gone, say), it is unroutable.
    pub(super) fn publish_held<B: Broker>(
        &mut self,
        args: &basic::Publish<'_>,
        properties: &[u8],
        (body, long_body_bytes): (&[u8], u64),
        committed: &mut Committed,
        cx: &mut Context<'_, B>,
    ) {
        let found = Properties::read(properties).unwrap_or_default();
        let rewritten =
            self.route_with_headers(args, &found, properties, cx).unwrap_or_else(|_| {
                self.publisher.cache.clear();
                None
            });
        let expiration_ms = found.expiration.and_then(|value| expiration_ms(value).ok());
        let properties = rewritten.as_deref().unwrap_or(properties);
        let message = message(args, &found, properties, body, expiration_ms);
        self.commit_publish(args.mandatory, message, long_body_bytes, committed, cx.session);
    }

    pub(super) fn select_confirms<B: Broker>(
        &mut self,
        nowait: bool,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        match self.publisher.mode {
            Mode::Transaction(_) => {
                return Err(ProtocolError::ModeSwitch { from: "tx", to: "confirm" })
            }
            Mode::Plain => self.publisher.mode = Mode::Confirm,
            Mode::Confirm => {}
        }
        if !nowait {
            confirm::select_ok(cx.out(self.number()), self.number());
        }
        Ok(())
    }
}

#[inline]
pub(super) fn message<'a>(
    args: &basic::Publish<'a>,
    found: &Properties<'_>,
    properties: &'a [u8],
    body: &'a [u8],
    expiration_ms: Option<u64>,
) -> MessageRef<'a> {
    MessageRef {
        exchange: args.exchange.0,
        routing_key: args.key.0,
        properties,
        body,
        persistent: found.is_persistent(),
        priority: found.priority.unwrap_or(0),
        expiration_ms,
    }
}

/// Behaviour B8.
fn check_user_id(claimed: &[u8], session: &Session) -> Result<(), ProtocolError> {
    let lies = claimed != session.user.as_bytes();
    if lies && !session.tags.iter().any(|tag| &**tag == "impersonator") {
        return Err(ProtocolError::UserId {
            claimed: String::from_utf8_lossy(claimed).into_owned(),
            user: session.user.clone(),
        });
    }
    Ok(())
}

/// Behaviour B24.
fn checked_expiration(value: &[u8]) -> Result<u64, ProtocolError> {
    expiration_ms(value).map_err(|reason| ProtocolError::Expiration {
        value: String::from_utf8_lossy(value).into_owned(),
        reason,
    })
}

/// basic.return with the message (behaviour A93); it precedes the confirm (B5).
fn return_message(channel: u16, message: &MessageRef<'_>, session: &mut Session) {
    let payload_max = session.payload_max;
    let out = session.output.frames(channel);
    let code = ReplyCode::NoRoute;
    let (exchange, key) = (message.exchange, message.routing_key);
    basic::return_(out, channel, code.number(), code.name(), exchange, key);
    let MessageRef { properties, body, .. } = *message;
    writer::content(out, channel, properties, body, body.len() as u64, payload_max);
}
