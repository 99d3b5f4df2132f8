//! Long bodies: they go to the shards of their queues part by part while they come, and are gathered
//! nowhere.
//!
//! So the message is routed when its header is there, and what is wrong with it is said then. What
//! is bound to its exchange later does not get it; a queue that goes meanwhile loses it. A body that
//! has to be whole here (it is returned to its publisher) is gathered.
//!
//! A transaction's goes to the connection's own shard, which holds it until the commit; the message is routed then,
//! again. A mandatory one may have to go back from there, and is gathered.

use haremq_engine::mail::{BodyPart, Command, BODY_PART_BYTES};

use super::{Assembled, Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::codec::properties::Properties;
use crate::amqp::error::{Exception, ProtocolError};
use crate::amqp::method::MethodId;

/// What is known of the message whose body is on its way.
#[derive(Debug)]
pub(super) struct LongBody {
    /// Its properties, if they are not those that came.
    rewritten: Option<Vec<u8>>,
    expiration_ms: Option<u64>,
    persistent: bool,
    /// It waits for a commit.
    is_held: bool,
}

impl Channel {
    /// A body is handed on in parts.
    pub(crate) fn has_long_body(&self) -> bool {
        self.long_body.is_some()
    }

    /// A body is gathered that is longer than a part.
    pub(crate) fn gathers_at_length(&self) -> bool {
        self.long_body.is_none() && self.assembly.body_size() > BODY_PART_BYTES as u64
    }

    /// The header of a message is there, and the body is still to come.
    pub(crate) fn header_came<B: Broker>(
        &mut self,
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        let is_long = self.assembly.body_size() > BODY_PART_BYTES as u64;
        if !is_long {
            return Ok(());
        }
        let limit = cx.session.settings.max_transaction_size;
        let is_held = match self.publisher.transaction() {
            Some(_) if self.assembly.publish().mandatory => return Ok(()),
            Some(transaction) => {
                let octets = self.assembly.body_size();
                transaction.admit(octets, limit).map_err(|error| error.by(MethodId::PUBLISH))?;
                true
            }
            None => false,
        };
        let mut assembly = std::mem::take(&mut self.assembly);
        let args = assembly.publish();
        let stamped = super::publish::stamped(assembly.properties(), cx);
        let properties = stamped.as_deref().unwrap_or(assembly.properties());
        let examined = self.examine(&args, properties, cx).map(|examined| {
            let found = &examined.found;
            (found.is_persistent(), examined.expiration_ms, examined.rewritten)
        });
        let begun = examined.map(|(persistent, expiration_ms, rewritten)| {
            let must_return = args.mandatory && self.publisher.leads_nowhere();
            // What is held is routed when it is committed, and rewritten then.
            let rewritten = if is_held { stamped } else { rewritten.or(stamped) };
            (!must_return).then_some(LongBody { rewritten, expiration_ms, persistent, is_held })
        });
        let begun = begun.map_err(|error| error.by(MethodId::PUBLISH));
        if let Ok(Some(_)) = &begun {
            assembly.is_handed_on();
        }
        self.assembly = assembly;
        self.long_body = begun?;
        Ok(())
    }

    /// Octets of the body that is handed on in parts.
    pub(crate) fn body_came<B: Broker>(
        &mut self,
        octets: &[u8],
        cx: &mut Context<'_, B>,
    ) -> Result<(), Exception> {
        let too_long = || ProtocolError::BodyTooLong.by(MethodId::PUBLISH);
        let mut rest = octets;
        loop {
            let (piece, later) = rest.split_at(rest.len().min(self.assembly.part_room()));
            match self.assembly.body(piece).map_err(|error| error.by(MethodId::PUBLISH))? {
                Assembled::Partly => {
                    if self.assembly.part_room() == 0 {
                        self.hand_on(cx);
                    }
                }
                Assembled::Whole | Assembled::InOneFrame if !later.is_empty() => {
                    return Err(too_long());
                }
                Assembled::Whole => self.publish_long(None, cx),
                Assembled::InOneFrame => self.publish_long(Some(piece), cx),
            }
            rest = later;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }

    /// Gives what has been gathered to the shards of the message.
    fn hand_on<B: Broker>(&mut self, cx: &mut Context<'_, B>) {
        let Some(long) = &self.long_body else { return };
        if long.is_held {
            cx.session.drift.reach(cx.session.id.shard());
            cx.broker.hold_body(self.key, self.assembly.gathered(), false);
            return self.assembly.part_handed_on();
        }
        for (shard, queues) in self.publisher.parts() {
            let part = BodyPart {
                channel: self.key,
                queues,
                persistent: long.persistent,
                body_bytes: self.assembly.body_size(),
                octets: self.assembly.gathered(),
            };
            cx.session.drift.reach(shard);
            cx.broker.add_body(shard, &part);
        }
        self.assembly.part_handed_on();
    }

    /// The last octets are there: `last` if they came in one frame.
    fn publish_long<B: Broker>(&mut self, last: Option<&[u8]>, cx: &mut Context<'_, B>) {
        let Some(long) = self.long_body.take() else { return };
        let mut assembly = std::mem::take(&mut self.assembly);
        let properties = long.rewritten.as_deref().unwrap_or(assembly.properties());
        let found = Properties::read(properties).unwrap_or_default();
        let body = last.unwrap_or(assembly.gathered());
        if let Some(transaction) = self.publisher.transaction().filter(|_| long.is_held) {
            cx.session.gathers = true;
            cx.session.drift.reach(cx.session.id.shard());
            cx.broker.hold_body(self.key, body, true);
            transaction.hold_long(&assembly.publish(), properties, assembly.body_size());
            assembly.done();
            self.assembly = assembly;
            return;
        }
        let message = super::publish::message(
            &assembly.publish(),
            &found,
            properties,
            body,
            long.expiration_ms,
        );
        self.hand_over_long(message, cx);
        assembly.done();
        self.assembly = assembly;
    }

    /// The body is not going to be whole, and those that are held not to be committed: the channel ends.
    pub(super) fn drop_long_body<B: Broker>(&mut self, cx: &mut Context<'_, B>) {
        let channel = self.key;
        let long = self.long_body.take();
        if long.as_ref().is_some_and(|long| long.is_held) || self.publisher.holds_long_bodies() {
            let own = cx.session.id.shard();
            return cx.broker.command(own, Command::DropBody { channel });
        }
        if long.is_some() {
            for (shard, _) in self.publisher.parts() {
                cx.broker.command(shard, Command::DropBody { channel });
            }
        }
    }
}
