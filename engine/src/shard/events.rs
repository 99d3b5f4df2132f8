//! Telling of what happens, to those who have bound a queue to the event exchange.

use std::sync::Arc;

use super::{Effect, Shard};
use crate::dead_letter::Letter;
use crate::event::{Event, EXCHANGE, VHOST};
use crate::ids::QueueId;
use crate::log::Memory;
use crate::mail::{Consume, PeerMail};
use crate::message::MessageRef;
use crate::now::Now;
use crate::routing::Subject;
use crate::table::Value;
use crate::topology::{Change, Routes};

impl<M: Memory> Shard<M> {
    /// True if somebody hears of events: ask before putting one together.
    pub fn wants_events(&self) -> bool {
        self.topology.is_source(VHOST, EXCHANGE)
    }

    /// Tells of an event. Nobody is promised that it survives anything: it is confirmed to nobody.
    pub fn announce(&mut self, now: Now, event: &Event) {
        let properties = event.properties(now.unix_ms);
        let keys = [event.name().as_bytes()];
        let headers = Some(crate::properties::headers(&properties));
        let subject = Subject { keys: &keys, headers, properties: &properties };
        let mut routes = Routes::default();
        let exchange = EXCHANGE.as_bytes();
        if self.topology.route_dead_letter(VHOST, exchange, &subject, &mut routes).is_err() {
            return;
        }
        let message = MessageRef {
            exchange,
            routing_key: event.name().as_bytes(),
            properties: &properties,
            body: &[],
            persistent: true,
            priority: 0,
            expiration_ms: None,
        };
        for (shard, targets) in routes.by_shard() {
            let queues: Arc<[QueueId]> = targets.iter().map(|target| target.queue).collect();
            if shard == self.config.shard {
                self.take_message(now, &message, &queues, None, None);
            } else {
                let mut letter = Letter::default();
                letter.write_copy(&message);
                let mail = PeerMail::Copy { queues, letter: Arc::new(letter) };
                self.effects.push_back(Effect::Peer { to: shard, mail });
            }
        }
    }

    /// What there is to tell of a change that is about to be applied: the topology writer does so
    /// for all shards.
    pub(super) fn events_of(&self, change: &Change) -> Vec<Event> {
        // Whether somebody hears it may change with it.
        match self.writer.is_some() && self.topology.exchange(VHOST, EXCHANGE).is_some() {
            true => Event::of_change(change, &self.topology),
            false => Vec::new(),
        }
    }

    pub(super) fn announce_consumer(&mut self, now: Now, name: &'static str, consume: &Consume) {
        if !self.wants_events() {
            return;
        }
        let mut event = Event::new(name).with_text("consumer_tag", &consume.tag);
        if let Some(queue) = self.topology.queue_by_id(consume.queue) {
            event = event.with_text("queue", &queue.name).with_text("vhost", &queue.vhost);
        }
        event = event
            .with("exclusive", Value::Bool(consume.exclusive))
            .with("ack_required", Value::Bool(!consume.no_ack))
            .with("prefetch_count", Value::I64(consume.prefetch.into()))
            .with("arguments", Value::Table(consume.arguments.clone()))
            .with_text("user_who_performed_action", &consume.user);
        self.announce(now, &event);
    }
}
