//! What queues hold, as plainly as it can be said: lists of messages and what became of them.
//!
//! After a crash it is not always known whether a message is still there (nobody was promised
//! it) or gone (its settle may have been lost): such a message is in doubt until a delivery of a
//! later one shows that it is gone, or its own that it is there.

use std::collections::{BTreeMap, BTreeSet};

use haremq_engine::ids::{ConsumerKey, QueueId, ShardId};
use haremq_engine::mail::Outcome;

use crate::world::Received;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Unacked,
    /// Settled or purged at that moment.
    Gone(u64),
}

#[derive(Clone, Debug)]
struct Message {
    number: u64,
    persistent: bool,
    state: State,
    /// Somebody may have seen it.
    seen: bool,
    /// It may not be there at all.
    in_doubt: bool,
    /// Its shard has said that it is safe.
    confirmed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct QueueModel {
    pub(crate) owner: ShardId,
    pub(crate) durable: bool,
    /// A delete is under way.
    pub(crate) closing: bool,
    messages: Vec<Message>,
}

/// A publish that waits for confirms.
#[derive(Clone, Debug)]
struct Owed {
    shards: BTreeSet<ShardId>,
    queues: Vec<QueueId>,
    number: u64,
    persistent: bool,
    moment: u64,
}

/// All queues, and what publishers and consumers have been told.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) queues: BTreeMap<QueueId, QueueModel>,
    pub(crate) held: Vec<Received>,
    owed: BTreeMap<(u16, u64), Owed>,
    /// Settles before this moment can no longer be undone, for each shard.
    settled_until: BTreeMap<ShardId, u64>,
    /// Counts what happens.
    moment: u64,
    pub(crate) confirmed: u64,
    pub(crate) delivered: u64,
}

impl QueueModel {
    fn counts(&self) -> (u64, u64, u64) {
        let count = |test: &dyn Fn(&Message) -> bool| {
            self.messages.iter().filter(|message| test(message)).count() as u64
        };
        let certain = count(&|message| message.state == State::Ready && !message.in_doubt);
        let ready = count(&|message| message.state == State::Ready);
        (certain, ready, count(&|message| message.state == State::Unacked))
    }
}

impl Model {
    pub(crate) fn add_queue(&mut self, id: QueueId, owner: ShardId, durable: bool) {
        let queue = QueueModel { owner, durable, closing: false, messages: Vec::new() };
        assert!(self.queues.insert(id, queue).is_none(), "{id:?} was given twice");
    }

    /// A message is handed to its queues.
    pub(crate) fn published(
        &mut self,
        channel: u16,
        confirm: u64,
        number: u64,
        persistent: bool,
        queues: &[QueueId],
    ) {
        self.moment += 1;
        let mut shards = BTreeSet::new();
        for id in queues {
            let queue = self.queues.get_mut(id).expect("a queue that exists");
            shards.insert(queue.owner);
            queue.messages.push(Message {
                number,
                persistent,
                state: State::Ready,
                seen: false,
                in_doubt: false,
                confirmed: false,
            });
        }
        let moment = self.moment;
        let owed = Owed { shards, queues: queues.to_vec(), number, persistent, moment };
        self.owed.insert((channel, confirm), owed);
    }

    /// A shard says that a publish is safe.
    pub(crate) fn confirmed(&mut self, from: ShardId, channel: u16, confirm: u64) {
        let owed = self.owed.get_mut(&(channel, confirm)).expect("a publish that is owed");
        assert!(owed.shards.remove(&from), "{from:?} confirms {confirm} without being asked");
        self.confirmed += 1;
        for id in &owed.queues {
            let Some(queue) = self.queues.get_mut(id).filter(|queue| queue.owner == from) else {
                continue;
            };
            if !queue.durable || !owed.persistent {
                continue;
            }
            let settled_until = self.settled_until.entry(from).or_default();
            *settled_until = owed.moment.max(*settled_until);
            for message in queue.messages.iter_mut().rev() {
                if message.number == owed.number {
                    message.confirmed = true;
                    break;
                }
            }
        }
        if owed.shards.is_empty() {
            self.owed.remove(&(channel, confirm));
        }
    }

    /// True if every publish has been confirmed by all its shards.
    pub(crate) fn nothing_owed(&self) -> bool {
        self.owed.is_empty()
    }

    /// A delivery must be of the first ready message.
    pub(crate) fn delivered(&mut self, received: Received, no_ack: bool) {
        self.moment += 1;
        self.delivered += 1;
        let number = number_of(&received.body);
        let queue = self.queues.get_mut(&received.queue).expect("a delivery from a live queue");
        let ready = queue.messages.iter_mut().filter(|message| message.state == State::Ready);
        for message in ready {
            if message.number == number {
                assert_eq!(message.seen, received.redelivered, "redelivered flag of {number}");
                message.in_doubt = false;
                message.seen = true;
                message.state = if no_ack { State::Gone(self.moment) } else { State::Unacked };
                if !no_ack {
                    self.held.push(received);
                }
                return;
            }
            assert!(message.in_doubt, "{number} was delivered before {}", message.number);
            assert!(!message.confirmed || message.seen);
            message.state = State::Gone(0);
        }
        panic!("{number} was delivered and is not in {:?}", received.queue);
    }

    pub(crate) fn settled(&mut self, received: &Received, outcome: Outcome) {
        self.moment += 1;
        let number = number_of(&received.body);
        let Some(queue) = self.queues.get_mut(&received.queue) else { return };
        let unacked =
            |message: &&mut Message| message.number == number && message.state == State::Unacked;
        if let Some(message) = queue.messages.iter_mut().find(unacked) {
            message.state = match outcome {
                Outcome::Requeue => State::Ready,
                Outcome::Ack | Outcome::Reject => State::Gone(self.moment),
            };
        }
    }

    pub(crate) fn purged(&mut self, id: QueueId) {
        self.moment += 1;
        let queue = self.queues.get_mut(&id).expect("a queue that exists");
        for message in queue.messages.iter_mut().filter(|m| m.state == State::Ready) {
            message.state = State::Gone(self.moment);
        }
    }

    pub(crate) fn deleted(&mut self, id: QueueId) {
        self.queues.remove(&id);
        self.held.retain(|received| received.queue != id);
    }

    /// The power went. `exists` says which queues came back.
    pub(crate) fn crashed(&mut self, exists: impl Fn(QueueId) -> bool) {
        self.held.clear();
        self.owed.clear();
        let settled_until = std::mem::take(&mut self.settled_until);
        self.queues.retain(|id, queue| {
            let back = exists(*id);
            assert!(queue.closing || back == queue.durable, "{id:?}: came back {back}");
            back
        });
        for queue in self.queues.values_mut() {
            queue.closing = false;
            let final_before = settled_until.get(&queue.owner).copied().unwrap_or(0);
            queue.messages.retain(|message| {
                let final_settle = matches!(message.state, State::Gone(at) if at < final_before);
                message.persistent && !final_settle
            });
            for message in &mut queue.messages {
                let settled = matches!(message.state, State::Gone(_));
                message.in_doubt |= settled || !message.confirmed;
                message.state = State::Ready;
                message.seen = true;
            }
        }
    }

    /// Compares with the numbers that the owner gives.
    pub(crate) fn check_counts(&self, id: QueueId, ready: u64, unacked: u64) {
        let (certain, possible, held) = self.queues[&id].counts();
        assert_eq!(held, unacked, "unacked messages of {id:?}");
        assert!(
            (certain..=possible).contains(&ready),
            "{id:?} has {ready} ready messages, and {certain} to {possible} are expected"
        );
    }

    /// Copies that need memory only, those that may be gone included.
    pub(crate) fn transient_messages(&self) -> u64 {
        let held = |queue: &QueueModel| {
            let transient = |message: &&Message| {
                let gone = matches!(message.state, State::Gone(_));
                let safe = message.persistent && queue.durable;
                !gone && !safe
            };
            queue.messages.iter().filter(transient).count() as u64
        };
        self.queues.values().map(held).sum()
    }

    /// Everything that is there has been taken: what is left must be in doubt.
    pub(crate) fn check_drained(&self) {
        for (id, queue) in &self.queues {
            let (certain, _, held) = queue.counts();
            assert_eq!((certain, held), (0, 0), "{id:?} has kept messages to itself");
        }
    }

    /// Deliveries that a consumer holds.
    pub(crate) fn held_by(&self, key: ConsumerKey) -> usize {
        let to = haremq_engine::mail::DeliveryTo::Consumer { consumer: key, no_ack: false };
        self.held.iter().filter(|received| received.to == to).count()
    }
}

fn number_of(body: &[u8]) -> u64 {
    u64::from_le_bytes(body[..8].try_into().expect("bodies begin with their number"))
}
