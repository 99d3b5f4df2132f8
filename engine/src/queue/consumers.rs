//! A queue's consumers and whose turn it is.
//!
//! Only consumers that may be served are in a ring, one ring for each priority, highest first;
//! whoever lacks credit or window is outside until it has some again, and then goes to the end.
//! So the next one is found without looking at those that are blocked.

use std::collections::VecDeque;

use rustc_hash::{FxBuildHasher, FxHashMap};

use super::consumer::{Consumer, Standing};
use super::credit::Allowance;
use super::error::QueueError;
use crate::ids::{ChannelKey, ConsumerKey};
use crate::mail::{Consume, Credit};

/// Number of a consumer within its queue; used again after it has gone.
pub type ConsumerSlot = u32;

/// See the module.
#[derive(Debug)]
pub struct Consumers {
    all: Vec<Option<Consumer>>,
    vacant: Vec<ConsumerSlot>,
    by_key: FxHashMap<ConsumerKey, ConsumerSlot>,
    /// By falling priority; those to be served, next one in front.
    rings: Vec<(i32, VecDeque<ConsumerSlot>)>,
    /// Single active consumer queues only: in order of arrival, the active one in front.
    succession: VecDeque<ConsumerSlot>,
    single_active: bool,
    exclusive: bool,
    /// Consumers that may hold unused grants.
    rationed: u32,
}

/// Grants that a consumer gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unused {
    pub channel: ChannelKey,
    pub consumer: ConsumerKey,
    pub credit: u32,
}

impl Consumers {
    pub(super) fn new(single_active: bool) -> Self {
        Consumers { single_active, ..Consumers::nobody() }
    }

    pub(super) const fn nobody() -> Self {
        Consumers {
            all: Vec::new(),
            vacant: Vec::new(),
            by_key: FxHashMap::with_hasher(FxBuildHasher),
            rings: Vec::new(),
            succession: VecDeque::new(),
            single_active: false,
            exclusive: false,
            rationed: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.by_key.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Consumer> {
        self.all.iter().flatten()
    }

    pub(super) fn into_all(self) -> Vec<Consumer> {
        self.all.into_iter().flatten().collect()
    }

    pub fn get(&self, slot: ConsumerSlot) -> Option<&Consumer> {
        self.all.get(slot as usize)?.as_ref()
    }

    fn by_key(&mut self, key: ConsumerKey) -> Option<(ConsumerSlot, &mut Consumer)> {
        let slot = *self.by_key.get(&key)?;
        Some((slot, self.all[slot as usize].as_mut()?))
    }

    /// Adds a consumer, or says why not (behaviour A90, B16).
    pub(super) fn add(&mut self, consume: Box<Consume>, link: u32) -> Result<(), QueueError> {
        let taken = self.exclusive || (consume.exclusive && !self.by_key.is_empty());
        if taken || (consume.exclusive && self.single_active) {
            return Err(QueueError::ExclusiveUse);
        }
        self.exclusive = consume.exclusive;
        let key = consume.consumer;
        let allowance = Allowance::new(consume.credit, consume.no_ack);
        self.rationed += u32::from(allowance.is_rationed());
        let standing = Standing::Waiting;
        let (no_ack, priority) = (consume.no_ack, consume.priority);
        let consumer =
            Consumer { consume, key, no_ack, priority, link, allowance, standing, asked: false };
        let slot = match self.vacant.pop() {
            Some(slot) => {
                self.all[slot as usize] = Some(consumer);
                slot
            }
            None => {
                self.all.push(Some(consumer));
                (self.all.len() - 1) as ConsumerSlot
            }
        };
        let replaced = self.by_key.insert(key, slot);
        assert!(replaced.is_none(), "consumer {key:?} is there already");
        if self.single_active {
            self.succession.push_back(slot);
        }
        if !self.single_active || self.succession.len() == 1 {
            self.enter(slot);
        }
        Ok(())
    }

    /// Removes a consumer; the next in line takes over a single active one's place.
    pub(super) fn remove(&mut self, key: ConsumerKey) -> Option<Consumer> {
        let slot = self.by_key.remove(&key)?;
        let consumer = self.all[slot as usize].take()?;
        self.vacant.push(slot);
        if consumer.standing == Standing::Serving {
            self.leave(consumer.priority, slot);
        }
        self.rationed -= u32::from(consumer.allowance.is_rationed());
        self.exclusive = false;
        if self.single_active {
            let was_active = self.succession.front() == Some(&slot);
            self.succession.retain(|other| *other != slot);
            if let (true, Some(&heir)) = (was_active, self.succession.front()) {
                self.enter(heir);
            }
        }
        Some(consumer)
    }

    /// Puts a consumer at the end of its ring.
    fn enter(&mut self, slot: ConsumerSlot) {
        let Some(consumer) = self.all[slot as usize].as_mut() else { return };
        consumer.standing = Standing::Serving;
        let priority = consumer.priority;
        let at = match self.rings.binary_search_by(|(other, _)| priority.cmp(other)) {
            Ok(at) => at,
            Err(at) => {
                self.rings.insert(at, (priority, VecDeque::new()));
                at
            }
        };
        self.rings[at].1.push_back(slot);
    }

    /// Takes a consumer out of its ring, and the ring away when nobody of that priority is left.
    fn leave(&mut self, priority: i32, slot: ConsumerSlot) {
        if let Ok(at) = self.rings.binary_search_by(|(other, _)| priority.cmp(other)) {
            let ring = &mut self.rings[at].1;
            if ring.front() == Some(&slot) {
                ring.pop_front();
            } else {
                ring.retain(|other| *other != slot);
            }
            let empty = ring.is_empty();
            // An empty ring stays as long as its consumers may come back to it.
            let anyone = |all: &[Option<Consumer>]| {
                all.iter().flatten().any(|other| other.priority == priority)
            };
            if empty && !anyone(&self.all) {
                self.rings.remove(at);
            }
        }
    }

    /// The consumer to be served next.
    #[inline]
    pub fn front(&self) -> Option<(ConsumerSlot, &Consumer)> {
        let slot = *self.rings.iter().find_map(|(_, ring)| ring.front())?;
        Some((slot, self.get(slot)?))
    }

    /// True if somebody is in a ring.
    #[inline]
    pub fn any_serving(&self) -> bool {
        self.rings.iter().any(|(_, ring)| !ring.is_empty())
    }

    /// Deliveries that could be made now without any settle; `u64::MAX`: any number.
    pub(super) fn spare_credit(&self) -> u64 {
        let serving = self.rings.iter().flat_map(|(_, ring)| ring);
        serving.fold(0, |sum: u64, slot| {
            sum.saturating_add(self.get(*slot).map_or(0, |consumer| consumer.allowance.spare()))
        })
    }

    /// The one in front gets a message: its turn is over. The last credit takes it off the ring.
    /// True if it does not ack.
    #[inline]
    pub(super) fn serve(&mut self, slot: ConsumerSlot) -> bool {
        let Some(consumer) = self.all[slot as usize].as_mut() else { return false };
        consumer.allowance.spend(1);
        let rests = consumer.allowance.spare() == 0 && !consumer.allowance.lacks_only_grant();
        if rests {
            consumer.standing = Standing::NoCredit;
        }
        let no_ack = consumer.no_ack;
        let ring = self.rings.iter_mut().map(|(_, ring)| ring).find(|ring| !ring.is_empty());
        if let Some(ring) = ring {
            debug_assert_eq!(ring.front(), Some(&slot), "served out of turn");
            if rests {
                ring.pop_front();
            } else if ring.len() > 1 {
                ring.rotate_left(1);
            }
        }
        no_ack
    }

    /// The consumer in front if it is the only one of its priority that may be served.
    #[inline]
    pub(super) fn sole(&self) -> Option<(ConsumerSlot, &Consumer)> {
        let (_, ring) = self.rings.iter().find(|(_, ring)| !ring.is_empty())?;
        let slot = *ring.front().filter(|_| ring.len() == 1)?;
        Some((slot, self.get(slot)?))
    }

    /// As `serve`, so many times, of the [sole](Consumers::sole) one. It has credit for as many.
    #[inline]
    pub(super) fn serve_run(&mut self, slot: ConsumerSlot, count: u32) {
        let Some(consumer) = self.all[slot as usize].as_mut() else { return };
        consumer.allowance.spend(count);
        if consumer.allowance.spare() > 0 || consumer.allowance.lacks_only_grant() {
            return;
        }
        consumer.standing = Standing::NoCredit;
        if let Some((_, ring)) = self.rings.iter_mut().find(|(_, ring)| !ring.is_empty()) {
            debug_assert!(ring.front() == Some(&slot) && ring.len() == 1, "served out of turn");
            ring.pop_front();
        }
    }

    /// The one in front cannot be served for want of credit. True if its channel is to be told
    /// that a grant is wanted, which is said once for each grant.
    pub(super) fn rest(&mut self, slot: ConsumerSlot) -> bool {
        let Some(consumer) = self.all[slot as usize].as_mut() else { return false };
        consumer.standing = Standing::NoCredit;
        let ask = consumer.allowance.lacks_only_grant() && !consumer.asked;
        consumer.asked |= ask;
        let priority = consumer.priority;
        self.leave(priority, slot);
        ask
    }

    /// The one in front cannot be served before its connection has window again.
    pub(super) fn await_window(&mut self, slot: ConsumerSlot) {
        let Some(consumer) = self.all[slot as usize].as_mut() else { return };
        consumer.standing = Standing::NoWindow;
        let priority = consumer.priority;
        self.leave(priority, slot);
    }

    /// Its connection has window again. True if it may be served.
    pub(super) fn window_opened(&mut self, key: ConsumerKey) -> bool {
        match self.by_key(key) {
            Some((slot, consumer)) if consumer.standing == Standing::NoWindow => {
                self.enter(slot);
                true
            }
            _ => false,
        }
    }

    /// Changes a consumer's allowance; true if it may be served now and could not before.
    fn adjust(&mut self, key: ConsumerKey, change: impl FnOnce(&mut Consumer)) -> bool {
        let Some((slot, consumer)) = self.by_key(key) else { return false };
        change(consumer);
        // One that lacks a grant goes back to the ring as well, to ask when there is a message.
        let able = consumer.allowance.spare() > 0
            || (consumer.allowance.lacks_only_grant() && !consumer.asked);
        let returns = consumer.standing == Standing::NoCredit && able;
        if returns {
            self.enter(slot);
        }
        returns
    }

    /// So many deliveries to this consumer have been settled.
    pub(super) fn settled(&mut self, key: ConsumerKey, count: u32) -> bool {
        self.adjust(key, |consumer| consumer.allowance.restore(count))
    }

    pub(super) fn grant(&mut self, key: ConsumerKey, credit: u32) -> bool {
        self.adjust(key, |consumer| {
            consumer.asked = false;
            consumer.allowance.grant(credit);
        })
    }

    pub(super) fn set_limit(&mut self, key: ConsumerKey, limit: u32) -> bool {
        self.adjust(key, |consumer| {
            consumer.allowance.set_limit(limit);
            consumer.consume.prefetch = limit;
        })
    }

    /// From now on the channel rations this consumer.
    pub(super) fn ration(&mut self, key: ConsumerKey) -> bool {
        let mut newly = false;
        let returns = self.adjust(key, |consumer| {
            newly = consumer.allowance.ration();
            if newly {
                let prefetch = consumer.consume.prefetch;
                consumer.consume.credit = Credit::Granted { prefetch };
            }
        });
        self.rationed += u32::from(newly);
        returns
    }

    /// What was granted and cannot be used now may serve the channel's other queues: all of it
    /// when nothing is `ready`, else that of consumers at their own limit.
    pub(super) fn hand_back_grants(&mut self, ready: bool, mut unused: impl FnMut(Unused)) {
        if self.rationed == 0 {
            return;
        }
        for consumer in self.all.iter_mut().flatten() {
            if consumer.allowance.holds_grant() && (!ready || consumer.allowance.spare() == 0) {
                unused(Unused {
                    channel: consumer.consume.channel,
                    consumer: consumer.consume.consumer,
                    credit: consumer.allowance.hand_back(),
                });
            }
        }
    }
}
