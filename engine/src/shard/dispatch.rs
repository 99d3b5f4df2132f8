//! Messages going out: queues that can deliver take turns, and so do their consumers.

use std::collections::VecDeque;

use super::dead_letters::Testament;
use super::links::{LinkSlot, Links};
use super::queues::QueueSlot;
use super::store::Store;
use super::{Effect, Outlet, Shard};
use crate::dead_letter::{with_delivery_count, Cause};
use crate::ids::{QueueId, Seq};
use crate::log::{Address, Fetch, Memory};
use crate::mail::{Delivery, DeliveryTo, Notice};
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::{ConsumerSlot, Due, PendingGet, Queue, RunTaker, Slot};

/// Deliveries that one queue makes before the next one has its turn.
const TURN: usize = 64;

/// How a queue's turn ended.
enum Turn {
    /// There may be more.
    Over,
    /// The next message is being read, from that address if it is in one place.
    Reading(Option<Address>),
    /// Nothing to do until something happens.
    Done,
}

/// Who gets the next message of a queue.
enum Recipient {
    Get(DeliveryTo),
    Consumer { to: DeliveryTo, slot: ConsumerSlot, link: LinkSlot },
    Nobody,
}

impl<M: Memory> Shard<M> {
    /// Gives ready messages to consumers with credit and to those who asked by basic.get. True:
    /// there is more to do at once.
    pub fn dispatch(&mut self, now: Now, outlet: &mut impl Outlet) -> bool {
        self.clock = now;
        self.move_dead_letters(now);
        self.replay(now);
        self.recall();
        self.tend_values(now);
        self.drive_transactions(now);
        self.trim(now);
        if self.readings.can_go_on() {
            self.hand_out_pieces(outlet);
        }
        if !self.policy_walk.is_over() && self.walk_policies(now) {
            self.tell_applied(now);
        }
        let mut left = self.config.dispatch_batch.max(1);
        while left > 0 {
            if self.queues.is_round_over() {
                self.next_round();
            }
            let Some(at) = self.queues.next_dirty() else { break };
            self.store.log.set_round_open(self.queues.any_dirty());
            let mut done = 0;
            match self.turn(now, at, left.min(TURN), &mut done, outlet) {
                Turn::Reading(address) => self.queues.await_read(at, address, done == 0),
                Turn::Over | Turn::Done => {
                    self.drop_excess(now, at);
                    self.hand_back_grants(at);
                    self.queues.note_work(at);
                }
            }
            // A turn that did nothing took the queue off the list or rested a consumer.
            left -= done.max(1).min(left);
        }
        self.carry_out_postponed(now);
        self.free_remains(now);
        let copies = self.copy_forward(now);
        self.queues.keep_within();
        self.end_round();
        copies
            || self.queues.any_dirty()
            || !self.postponed.is_empty()
            || self.can_free_remains()
            || self.can_move()
            || self.readings.can_go_on()
            || self.replays.can_go_on()
            || self.recall.can_go_on()
            || self.can_trim()
            || self.values.can_go_on()
            || !self.policy_walk.is_over()
    }

    /// What was put off is read if nobody has a turn before that.
    pub(super) fn end_round(&mut self) {
        let is_open = self.queues.any_dirty();
        self.store.log.set_round_open(is_open);
        if !is_open && self.store.log.awaits_round() {
            self.next_round();
        }
    }

    /// All that have something to do have their turn before the next one, those as well that have it by this one.
    fn next_round(&mut self) {
        if self.store.log.next_round() {
            self.look_again();
        }
        self.queues.begin_round();
    }

    /// True if there is something to be freed, and room in the log for what has to be said of it.
    fn can_free_remains(&self) -> bool {
        self.queues.any_remains() && (!self.queues.is_purging() || self.store.log.takes_settles())
    }

    /// Frees some of what purges and queues that are gone have left.
    fn free_remains(&mut self, now: Now) {
        if !self.can_free_remains() {
            return;
        }
        let Some((remains, pool)) = self.queues.remains() else { return };
        if self.store.free_some(now, remains, pool) {
            self.queues.remains_freed();
        }
    }

    /// One queue's turn. Counts what it does in `done`, up to `limit`.
    fn turn(
        &mut self,
        now: Now,
        at: QueueSlot,
        limit: usize,
        done: &mut usize,
        outlet: &mut impl Outlet,
    ) -> Turn {
        let Shard {
            config,
            queues,
            store,
            links,
            effects,
            dead_letters,
            sampling,
            readings,
            counted: scratch,
            ..
        } = self;
        let Some((hosted, pool)) = queues.get_mut(at) else { return Turn::Done };
        let queue = &mut hosted.queue;
        let (id, survives) = (queue.id(), queue.settings().survives_restart);
        let long_bytes = config.body_part_bytes as u64;
        while *done < limit {
            if let Some((slot, consumer)) = queue.sole_consumer() {
                let (key, link, no_ack) = (consumer.key(), consumer.link(), consumer.no_ack());
                let to = DeliveryTo::Consumer { consumer: key, no_ack };
                let most = consumer.credit().min((limit - *done) as u64) as usize;
                let left_bytes = links.left_bytes(link, key.channel);
                let mut hand =
                    Hand { now, queue: id, survives, to, long_bytes, left_bytes, store, outlet };
                let (first, count) = queue.serve_run(pool, slot, most, &mut hand);
                if count > 0 {
                    let spent_bytes = left_bytes.saturating_sub(hand.left_bytes);
                    links.spend(link, spent_bytes.unsigned_abs());
                    sampling.delivered_run(now.monotonic_us, at, first, count as u64, no_ack);
                    *done += count;
                    continue;
                }
            }
            // A basic.get is not there when a message comes, as a consumer is: what expires at once is
            // nothing for it.
            let by_unix_ms = now.unix_ms + u64::from(queue.next_get().is_some());
            let (seq, slot) = match queue.due(pool, by_unix_ms) {
                Due::Message { seq, slot } => (seq, slot),
                Due::Expired(gone) => {
                    dead_letters.take(store, now, &Testament::of(queue), &gone, Cause::Expired);
                    *done += 1;
                    continue;
                }
                Due::Nothing => {
                    let Some(get) = queue.next_get() else { return Turn::Done };
                    queue.get_answered();
                    effects.push_back(Effect::Notice(Notice::Empty { channel: get.channel }));
                    *done += 1;
                    continue;
                }
            };
            let (to, consumer) = match recipient(queue, at, links, effects) {
                Recipient::Consumer { to, slot, link } => (to, Some((slot, link))),
                Recipient::Get(to) => (to, None),
                Recipient::Nobody => return Turn::Done,
            };
            let window_bytes = if slot.body_bytes() > long_bytes && store.is_in_parts(&slot) {
                let count = queue.delivery_count(seq);
                let begun = readings.begin(store, (to, id, seq), &slot, count, outlet);
                let Some((window_bytes, goes_on)) = begun else { return Turn::Reading(None) };
                if let (true, Some((_, link)), DeliveryTo::Consumer { consumer, .. }) =
                    (goes_on, consumer, to)
                {
                    links.long_begun(link, consumer.channel);
                }
                window_bytes
            } else {
                let Fetch::Ready(stored) = store.fetch(&slot) else {
                    return Turn::Reading(store.address(&slot));
                };
                let message = counted(queue, seq, stored.message, scratch);
                let redelivered = slot.redelivered();
                let delivery = Delivery { to, queue: id, seq, redelivered, message };
                let window_bytes = delivery.window_bytes();
                outlet.deliver(delivery);
                window_bytes
            };
            let no_ack = match consumer {
                Some((slot, link)) => {
                    links.spend(link, window_bytes);
                    queue.serve(pool, slot, seq)
                }
                None => queue.answer_get(pool, seq),
            };
            sampling.delivered(now.monotonic_us, at, seq, no_ack);
            if no_ack {
                store.free(now, id, survives, seq, &slot);
            }
            *done += 1;
        }
        Turn::Over
    }
}

/// Who gets a run of messages, and what each of them needs.
struct Hand<'a, M: Memory, O> {
    now: Now,
    queue: QueueId,
    survives: bool,
    to: DeliveryTo,
    /// Longer bodies are for [`Readings`].
    long_bytes: u64,
    /// Of its connection's window: as long as there is any, a delivery is made whole.
    left_bytes: i64,
    store: &'a mut Store<M>,
    outlet: &'a mut O,
}

impl<M: Memory, O: Outlet> RunTaker for Hand<'_, M, O> {
    #[inline]
    fn give(&mut self, seq: Seq, slot: &Slot) -> bool {
        if self.left_bytes <= 0 || slot.body_bytes() > self.long_bytes {
            return false;
        }
        let Fetch::Ready(stored) = self.store.fetch(slot) else { return false };
        let (redelivered, message) = (slot.redelivered(), stored.message);
        let delivery = Delivery { to: self.to, queue: self.queue, seq, redelivered, message };
        self.left_bytes = self.left_bytes.saturating_sub_unsigned(delivery.window_bytes());
        self.outlet.deliver(delivery);
        true
    }

    fn free(&mut self, first: Seq, slots: &[Slot]) {
        self.store.free_run(self.now, self.queue, self.survives, first, slots);
    }
}

/// Finds who can take a message now; on the way, consumers that cannot leave the ring.
#[inline]
fn recipient<B>(
    queue: &mut Queue,
    at: QueueSlot,
    links: &mut Links,
    effects: &mut VecDeque<Effect<B>>,
) -> Recipient {
    if let Some(PendingGet { channel, no_ack }) = queue.next_get() {
        let remaining = queue.counts().ready - 1;
        return Recipient::Get(DeliveryTo::Get { channel, no_ack, remaining });
    }
    while let Some((slot, consumer)) = queue.consumers().front() {
        let (key, link) = (consumer.key(), consumer.link());
        if !consumer.can_take() {
            let channel = consumer.consume().channel;
            if queue.rest(slot) {
                let wants = Notice::Wants { channel, consumer: key };
                effects.push_back(Effect::Notice(wants));
            }
        } else if !links.has_window(link, key.channel) {
            queue.await_window(slot);
            links.wait(link, at, key);
        } else {
            let to = DeliveryTo::Consumer { consumer: key, no_ack: consumer.no_ack() };
            return Recipient::Consumer { to, slot, link };
        }
    }
    Recipient::Nobody
}

/// The message as it is delivered: a queue that counts says how often it has come back.
#[inline]
fn counted<'m>(
    queue: &Queue,
    seq: Seq,
    message: MessageRef<'m>,
    scratch: &'m mut Vec<u8>,
) -> MessageRef<'m> {
    let Some(count) = queue.delivery_count(seq) else { return message };
    with_delivery_count(message.properties, count, scratch);
    MessageRef { properties: scratch, ..message }
}
