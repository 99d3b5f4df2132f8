//! A consumer that learns which of its acknowledgements are safe.
//!
//! Acknowledgements are not confirmed, but a shard carries out in order what comes on one channel, and its log is one:
//! when a message published behind an acknowledgement to the very queue that it was for is confirmed, so is that.

use crate::ledger::MessageId;
use crate::traffic::{queue_name, SharedLedger, PERSISTENT};
use crate::wire::{method, Client, Received};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Deliveries after which a message is published whose confirm covers their acknowledgements.
const EVERY: u64 = 10;

/// Takes messages of one queue and acknowledges them all; publishes one to the same queue now and then.
#[derive(Debug)]
pub struct Worker {
    /// Its number in the ledger, as a consumer and as a publisher.
    pub number: u32,
    /// The queue it works on.
    pub queue: u32,
    /// Messages it has published so far.
    pub sent: u64,
}

impl Worker {
    /// A connection that consumes and publishes with confirms.
    pub fn connect(&self, broker: SocketAddr) -> Client {
        let mut client = Client::login_with_channel(broker);
        client.confirm_select(1);
        client.qos(1, 50);
        client.consume(1, &queue_name(self.queue), "worker");
        client
    }

    /// Works until the ledger is stopped or the broker is gone.
    pub fn run(&mut self, mut client: Client, ledger: &SharedLedger) {
        let mut acknowledged = Vec::new();
        let mut outstanding: BTreeMap<u64, (MessageId, Vec<MessageId>)> = BTreeMap::new();
        let mut tag = 0;
        while !ledger.is_stopped() {
            let frame = match client.receive(Duration::from_millis(100)) {
                Received::Frame(frame) => frame,
                Received::Silence => continue,
                Received::Closed => return,
            };
            match frame.method_id() {
                Some(method::BASIC_DELIVER) => {}
                Some(method::BASIC_ACK) => {
                    let later = outstanding.split_off(&(frame.arguments().longlong() + 1));
                    let mut ledger = ledger.lock();
                    for (id, settled) in std::mem::replace(&mut outstanding, later).into_values() {
                        ledger.confirmed(id);
                        settled.into_iter().for_each(|id| ledger.settled(id));
                    }
                    continue;
                }
                Some(method::CONNECTION_CLOSE) => return,
                other => panic!("a worker got {other:?}"),
            }
            let Some(delivery) = client.content(&frame) else { return };
            let id = ledger.lock().delivered(self.number, &delivery.body, delivery.redelivered);
            if let Some(id) = id {
                ledger.lock().acknowledged(id);
                acknowledged.push(id);
            }
            if client.ack(1, delivery.tag, false).is_err() {
                return;
            }
            if delivery.tag % EVERY == 0 {
                self.sent += 1;
                tag += 1;
                let id = MessageId { queue: self.queue, publisher: self.number, number: self.sent };
                ledger.lock().published(id);
                outstanding.insert(tag, (id, std::mem::take(&mut acknowledged)));
                let key = queue_name(self.queue);
                if client.publish(1, "", &key, PERSISTENT, &id.body(40)).is_err() {
                    return;
                }
            }
        }
    }
}
