//! The stand-in's part of transactions.

use haremq_engine::ids::ChannelKey;
use haremq_engine::mail::{Notice, Publish};
use haremq_engine::message::MessageRef;
use haremq_engine::transaction::Transaction;

use super::stand_in::StandIn;
use crate::amqp::broker::Broker;

impl StandIn {
    pub(super) fn hold(&mut self, channel: ChannelKey, octets: &[u8], ends: bool) {
        let held = self.held_bodies.entry(channel).or_default();
        if held.last().is_none_or(|(_, is_whole)| *is_whole) {
            held.push((Vec::new(), false));
        }
        let last = held.last_mut().expect("one that has begun");
        last.0.extend_from_slice(octets);
        last.1 = ends;
    }

    pub(super) fn commit(&mut self, channel: ChannelKey, transaction: &Transaction) {
        let mut refused = false;
        let mut held = self.held_bodies.remove(&channel).unwrap_or_default().into_iter();
        for (index, (message, targets)) in transaction.publishes().enumerate() {
            let bytes = transaction.long_body_bytes(index);
            let long = (bytes > 0).then(|| held.next().expect("a body for each"));
            let body = match &long {
                Some((body, is_whole)) => {
                    assert!(*is_whole && body.len() as u64 == bytes);
                    body
                }
                None => message.body,
            };
            let message = MessageRef { body, ..message };
            for target in targets {
                refused |= self.refusing.contains(&target.queue);
                let (queues, confirm) = (&[target.queue], None);
                self.publish(target.shard, &Publish { message, queues, confirm });
            }
        }
        assert!(held.next().is_none(), "a body of no message");
        for settle in transaction.settles() {
            self.settle(settle.queue, settle.seq, settle.consumer, settle.outcome);
        }
        let committed = Notice::Committed { channel, refused };
        match self.hold_confirms {
            true => self.held_confirms.push(committed),
            false => self.notify(committed),
        }
    }
}
