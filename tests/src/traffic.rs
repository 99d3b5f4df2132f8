//! Publishers and consumers that write into a shared ledger until the broker goes away or they are told to stop.

use crate::ledger::{Ledger, MessageId};
use crate::wire::client::PATIENCE;
use crate::wire::{method, Client, Received};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::Scope;
use std::time::{Duration, Instant};

/// delivery-mode 2 as the only property.
pub const PERSISTENT: &[u8] = &[0x10, 0x00, 2];

/// A ledger that publishers and consumers write into at the same time.
#[derive(Debug, Clone, Default)]
pub struct SharedLedger {
    ledger: Arc<Mutex<Ledger>>,
    stopped: Arc<AtomicBool>,
}

impl SharedLedger {
    /// A ledger that remembers when everything was, by this clock.
    pub fn with_clock(clock: impl Fn() -> usize + Send + 'static) -> SharedLedger {
        let ledger = Ledger::with_clock(clock);
        SharedLedger { ledger: Arc::new(Mutex::new(ledger)), stopped: Arc::default() }
    }

    /// The ledger, for as long as the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no holder of the ledger panics")
    }

    /// Tells publishers and consumers to come to an end.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether `stop` has been called.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Calls `stop` when the result is dropped, be it by a failing assertion: without it the threads of a test that
    /// fails would go on for ever.
    pub fn stop_when_dropped(&self) -> impl Drop + '_ {
        StopWhenDropped(self)
    }

    /// The same ledger for the next life of the broker.
    pub fn next_life(&self) -> SharedLedger {
        SharedLedger { ledger: self.ledger.clone(), stopped: Arc::default() }
    }
}

struct StopWhenDropped<'a>(&'a SharedLedger);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// The name of queue number `queue`.
pub fn queue_name(queue: u32) -> String {
    format!("traffic.{queue}")
}

/// Publishes persistent messages with confirms to queues in turn.
#[derive(Debug)]
pub struct Publisher {
    /// Its number in message ids.
    pub number: u32,
    /// How many messages it has published to each queue so far, over all lives of the broker.
    pub sent: Vec<u64>,
    /// How many publishes may await their confirm.
    pub window: usize,
    /// Every so manieth message has so many octets; the others are small.
    pub large: Option<(u64, usize)>,
}

impl Publisher {
    /// A publisher that has sent nothing yet.
    pub fn new(number: u32, queues: u32, window: usize) -> Publisher {
        Publisher { number, sent: vec![0; queues as usize], window, large: None }
    }

    /// A connection ready to publish with confirms.
    pub fn connect(broker: SocketAddr) -> Client {
        let mut client = Client::login_with_channel(broker);
        client.confirm_select(1);
        client
    }

    /// Publishes until the ledger is stopped or the broker is gone.
    pub fn run(&mut self, mut client: Client, ledger: &SharedLedger) {
        let mut outstanding: BTreeMap<u64, MessageId> = BTreeMap::new();
        let mut tag = 0;
        while !ledger.is_stopped() {
            while outstanding.len() < self.window {
                tag += 1;
                let id = self.next_message(tag);
                ledger.lock().published(id);
                outstanding.insert(tag, id);
                let length = match self.large {
                    Some((every, octets)) if tag % every == 0 => octets,
                    _ => 40 + usize::try_from(tag % 7).expect("small") * 150,
                };
                let key = queue_name(id.queue);
                if client.publish(1, "", &key, PERSISTENT, &id.body(length)).is_err() {
                    return;
                }
            }
            if !take_confirms(&mut client, ledger, &mut outstanding) {
                return;
            }
        }
        // Stopped in peace: nothing may stay without its confirm.
        while !outstanding.is_empty() {
            if !take_confirms(&mut client, ledger, &mut outstanding) {
                return;
            }
        }
    }

    fn next_message(&mut self, tag: u64) -> MessageId {
        let queue = usize::try_from(tag % self.sent.len() as u64).expect("small");
        self.sent[queue] += 1;
        let number = self.sent[queue];
        MessageId { queue: u32::try_from(queue).expect("small"), publisher: self.number, number }
    }
}

/// Takes one frame of confirms; false when the broker is gone.
fn take_confirms(
    client: &mut Client,
    ledger: &SharedLedger,
    outstanding: &mut BTreeMap<u64, MessageId>,
) -> bool {
    let frame = match client.receive(PATIENCE) {
        Received::Frame(frame) => frame,
        Received::Closed => return false,
        Received::Silence => panic!("{} publishes are not confirmed", outstanding.len()),
    };
    match frame.method_id() {
        Some(method::BASIC_ACK) => {}
        Some(method::CONNECTION_CLOSE) => return false,
        other => panic!("a publisher got {other:?}"),
    }
    let mut arguments = frame.arguments();
    let (tag, multiple) = (arguments.longlong(), arguments.octet() & 1 == 1);
    let mut ledger = ledger.lock();
    if multiple {
        let later = outstanding.split_off(&(tag + 1));
        for id in std::mem::replace(outstanding, later).into_values() {
            ledger.confirmed(id);
        }
    } else {
        let id = outstanding.remove(&tag).unwrap_or_else(|| panic!("tag {tag} confirmed twice"));
        ledger.confirmed(id);
    }
    true
}

/// Consumes from one queue and acknowledges, leaving every `keep`-th message unacknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Consumer {
    /// Its number in the ledger.
    pub number: u32,
    /// The queue it consumes from.
    pub queue: u32,
    /// Of how many messages one stays unacknowledged; 0 acknowledges all.
    pub keep: u64,
    /// Largest number of unacknowledged messages; 0 is unlimited.
    pub prefetch: u16,
}

impl Default for Consumer {
    /// One that acknowledges everything in the first queue.
    fn default() -> Consumer {
        Consumer { number: 0, queue: 0, keep: 0, prefetch: 50 }
    }
}

impl Consumer {
    /// A connection that consumes.
    pub fn connect(&self, broker: SocketAddr) -> Client {
        let mut client = Client::login_with_channel(broker);
        client.qos(1, self.prefetch);
        client.consume(1, &queue_name(self.queue), "consumer");
        client
    }

    /// Takes deliveries until the ledger is stopped or the broker is gone.
    pub fn run(&self, mut client: Client, ledger: &SharedLedger) {
        while !ledger.is_stopped() {
            let frame = match client.receive(Duration::from_millis(100)) {
                Received::Frame(frame) => frame,
                Received::Silence => continue,
                Received::Closed => return,
            };
            match frame.method_id() {
                Some(method::BASIC_DELIVER) => {}
                Some(method::CONNECTION_CLOSE) => return,
                other => panic!("a consumer got {other:?}"),
            }
            let Some(delivery) = client.content(&frame) else { return };
            let id = ledger.lock().delivered(self.number, &delivery.body, delivery.redelivered);
            if self.keep > 0 && delivery.tag % self.keep == 0 {
                continue;
            }
            if let Some(id) = id {
                ledger.lock().acknowledged(id);
            }
            if client.ack(1, delivery.tag, false).is_err() {
                return;
            }
        }
    }
}

/// Traffic beside what a test does: these publishers and that consumer, until the ledger is stopped or the broker is
/// gone.
pub fn go_on<'scope>(
    scope: &'scope Scope<'scope, '_>,
    broker: SocketAddr,
    publishers: &'scope mut [Publisher],
    consumer: Consumer,
    ledger: &'scope SharedLedger,
) {
    for publisher in publishers {
        let client = Publisher::connect(broker);
        scope.spawn(move || publisher.run(client, ledger));
    }
    let client = consumer.connect(broker);
    scope.spawn(move || consumer.run(client, ledger));
}

/// Takes everything that is left in the queues.
///
/// What a consumer held when it went away comes back a moment later, so queues are looked at again for as long as
/// something is missing, up to a limit.
pub fn drain(broker: SocketAddr, queues: u32, ledger: &SharedLedger) {
    let mut client = Client::login_with_channel(broker);
    ledger.lock().drain_begins();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        for queue in 0..queues {
            while let Some(delivery) = client.get(1, &queue_name(queue)) {
                ledger.lock().delivered(u32::MAX, &delivery.body, delivery.redelivered);
            }
        }
        if ledger.lock().verdict().lost.is_empty() || Instant::now() > deadline {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Declares the durable queues 0 to `queues`.
pub fn declare(broker: SocketAddr, queues: u32) {
    let mut client = Client::login_with_channel(broker);
    for queue in 0..queues {
        client.declare_queue(1, &queue_name(queue), 2);
    }
}
