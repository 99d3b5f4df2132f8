//! Values that deduplicating exchanges have seen and that they know after a restart, too (behaviour
//! C13, `x-cache-persistence` = `disk`).
//!
//! Each has a record of its own in the log: a small message of an internal queue that belongs to
//! the exchange's ([`QueueId::values_of`]). It stands behind the message that brought the value,
//! and before anything that becomes of that message. So a start finds the value, or the message
//! still in the exchange's queue, and then the value is noted anew; before that is done no client
//! is served and no message goes on.

use std::collections::{BTreeMap, VecDeque};

use super::queues::Queues;
use super::transactions::Held;
use super::Shard;
use crate::dedup::DedupKey;
use crate::ids::{QueueId, Seq};
use crate::log::{Fetch, Memory, Position, Settling};
use crate::message::MessageRef;
use crate::now::Now;
use crate::properties;
use crate::queue::{Place, Slot};

/// Values read back, or freed with their exchange, in one turn at most.
const VALUES_PER_TURN: usize = 1024;

/// What a start has to look at.
#[derive(Clone, Copy, Debug)]
enum Unread {
    Value(QueueId, Seq),
    /// A message in the queue behind a deduplicating exchange.
    Message(QueueId, Seq),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Values {
    held: BTreeMap<(QueueId, Seq), Held>,
    next: u64,
    unread: VecDeque<Unread>,
    /// The first one's octets are being read.
    is_reading: bool,
    /// Queues of exchanges that are gone.
    outlived: VecDeque<QueueId>,
}

impl Values {
    /// `held`: what the log holds for the queues that there are.
    pub(super) fn recovered(held: BTreeMap<(QueueId, Seq), Held>, queues: &Queues) -> Self {
        let mut unread: VecDeque<Unread> =
            held.keys().map(|(queue, seq)| Unread::Value(*queue, *seq)).collect();
        for queue in queues.iter().filter(|queue| queue.settings().role.persists_values()) {
            let id = queue.id();
            unread.extend(queue.messages(&queues.pool).map(|(seq, _)| Unread::Message(id, seq)));
        }
        let next = held.keys().map(|(_, seq)| seq.0 + 1).max().unwrap_or(0);
        Values { held, next, unread, is_reading: false, outlived: VecDeque::new() }
    }

    /// Everything of an earlier run is known again.
    pub(super) fn is_read(&self) -> bool {
        self.unread.is_empty()
    }

    pub(super) fn read_done(&mut self) {
        self.is_reading = false;
    }

    /// True if there is something to do at once.
    pub(super) fn can_go_on(&self) -> bool {
        (!self.unread.is_empty() && !self.is_reading) || !self.outlived.is_empty()
    }

    /// The exchange of that queue is gone.
    pub(super) fn outlive(&mut self, queue: QueueId) {
        self.outlived.push_back(QueueId::values_of(queue));
    }

    /// Where a value lies.
    pub(super) fn held_mut(&mut self, queue: QueueId, seq: Seq) -> Option<&mut Held> {
        self.held.get_mut(&(queue, seq))
    }
}

/// The body of a value's record: 16 octets key, 8 octets time when it is over.
fn encode(key: DedupKey, until_unix_ms: u64) -> [u8; 24] {
    let mut body = [0; 24];
    body[..16].copy_from_slice(&key.octets());
    body[16..].copy_from_slice(&until_unix_ms.to_le_bytes());
    body
}

fn decode(body: &[u8]) -> Option<(DedupKey, u64)> {
    let (key, rest) = body.split_first_chunk::<16>()?;
    let until = rest.first_chunk::<8>()?;
    Some((DedupKey::from_octets(*key), u64::from_le_bytes(*until)))
}

impl<M: Memory> Shard<M> {
    /// The queue behind an exchange has let a message in: its value is written down. Gives the
    /// position at which it is durable.
    #[cold]
    pub(super) fn keep_value(
        &mut self,
        now: Now,
        id: QueueId,
        message: &MessageRef<'_>,
    ) -> Position {
        let headers = properties::headers(message.properties);
        let Some(key) = DedupKey::of(headers) else { return Position::default() };
        self.write_value(now, id, key)
    }

    fn write_value(&mut self, now: Now, id: QueueId, key: DedupKey) -> Position {
        let number = self.values.next;
        let hosted = self.queues.open(id).map(|(_, hosted, _)| hosted);
        let seen = hosted.and_then(|hosted| hosted.seen.as_deref_mut());
        let until = seen.and_then(|seen| seen.set_record(key, number));
        let Some(until_unix_ms) = until else { return Position::default() };
        self.values.next += 1;
        let message = MessageRef {
            exchange: &[],
            routing_key: &[],
            properties: &[],
            body: &encode(key, until_unix_ms),
            persistent: true,
            priority: 0,
            expiration_ms: None,
        };
        let name = (QueueId::values_of(id), Seq(number));
        let placed = self.store.log.append_message(now, &message, None, &[name]);
        let (address, length, reference) = (placed.address, placed.length, placed.reference);
        self.values.held.insert(name, Held { address, length, reference });
        self.forget_values(now, id);
        placed.end
    }

    /// Settles the records of values that the exchange does not know any more.
    fn forget_values(&mut self, now: Now, id: QueueId) {
        let hosted = self.queues.open(id).map(|(_, hosted, _)| hosted);
        let seen = hosted.and_then(|hosted| hosted.seen.as_deref_mut());
        for number in seen.map(|seen| seen.take_forgotten()).unwrap_or_default() {
            self.settle_value(now, (QueueId::values_of(id), Seq(number)));
        }
    }

    fn settle_value(&mut self, now: Now, name: (QueueId, Seq)) {
        let Some(held) = self.values.held.remove(&name) else { return };
        let ((queue, seq), Held { address, length, reference }) = (name, held);
        self.store.log.append_settle(now, Settling { queue, seq, address, length, reference });
    }

    /// Reads back what an earlier run has seen, and frees what belonged to exchanges that are gone,
    /// within what a turn may take.
    pub(super) fn tend_values(&mut self, now: Now) {
        self.free_outlived();
        for _ in 0..VALUES_PER_TURN {
            let Some(&next) = self.values.unread.front() else { return };
            if self.values.is_reading {
                return;
            }
            let (slot, id) = match next {
                Unread::Value(queue, seq) => {
                    let held = self.values.held.get(&(queue, seq));
                    let place = held.map(|held| {
                        let Held { address, length, reference } = *held;
                        Place::Log { address: address.0, length, reference }
                    });
                    (place.map(|place| Slot::ready(place, 0, false)), queue.store_of_values())
                }
                Unread::Message(id, seq) => {
                    let hosted = self.queues.open(id);
                    (hosted.and_then(|(_, hosted, pool)| hosted.queue.live(pool, seq)), id)
                }
            };
            let Some(slot) = slot else {
                self.values.unread.pop_front();
                continue;
            };
            let Fetch::Ready(stored) = self.store.fetch(&slot) else {
                self.values.is_reading = true;
                return;
            };
            let found = match next {
                Unread::Value(..) => decode(stored.message.body),
                Unread::Message(..) => {
                    let headers = properties::headers(stored.message.properties);
                    DedupKey::of(headers).map(|key| (key, 0))
                }
            };
            self.values.unread.pop_front();
            self.note_read(now, id, next, found);
        }
    }

    fn note_read(&mut self, now: Now, id: QueueId, unread: Unread, found: Option<(DedupKey, u64)>) {
        let hosted = self.queues.open(id).map(|(_, hosted, _)| hosted);
        let seen = hosted.and_then(|hosted| hosted.seen.as_deref_mut());
        let Some((seen, (key, until_unix_ms))) = seen.zip(found) else { return };
        match unread {
            Unread::Value(queue, seq) if until_unix_ms <= now.unix_ms => {
                self.settle_value(now, (queue, seq));
            }
            Unread::Value(_, Seq(number)) => {
                seen.restore(key, until_unix_ms, number);
                self.forget_values(now, id);
            }
            Unread::Message(..) => {
                if !seen.has_seen(key, None, now.unix_ms) {
                    self.write_value(now, id, key);
                }
            }
        }
    }

    /// Their queue's number is never given again, which says of the records that they are dead.
    fn free_outlived(&mut self) {
        let Some(&queue) = self.values.outlived.front() else { return };
        let names = (queue, Seq(0))..=(queue, Seq(u64::MAX));
        let names = self.values.held.range(names).map(|(name, _)| *name);
        let names: Vec<_> = names.take(VALUES_PER_TURN).collect();
        if names.is_empty() {
            self.values.outlived.pop_front();
        }
        for name in names {
            if let Some(held) = self.values.held.remove(&name) {
                self.store.log.release(held.address, held.length, held.reference);
            }
        }
    }
}
