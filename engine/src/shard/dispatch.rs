//! Messages going out: queues that can deliver take turns, and so do their consumers.

use super::queues::QueueSlot;
use super::{Effect, Outlet, Shard};
use crate::log::{Fetch, Memory};
use crate::mail::{Delivery, DeliveryTo, Notice};
use crate::now::Now;
use crate::queue::{ConsumerSlot, Due, Queue};

/// Deliveries that one queue makes before the next one has its turn.
const TURN: usize = 64;
/// Messages of deleted queues freed in one call.
const DISMANTLE_BATCH: usize = 4096;

/// How a queue's turn ended.
enum Turn {
    /// There may be more.
    Over,
    /// The next message is being read.
    Reading,
    /// Nothing to do until something happens.
    Done,
}

/// Who gets the next message of a queue.
enum Recipient {
    Get(crate::queue::PendingGet),
    Consumer(ConsumerSlot),
    Nobody,
}

impl<M: Memory> Shard<M> {
    /// Gives ready messages to consumers with credit and to those who asked by basic.get. True:
    /// there is more to do at once.
    pub fn dispatch(&mut self, now: Now, outlet: &mut impl Outlet) -> bool {
        self.clock = now;
        let mut left = self.config.dispatch_batch.max(1);
        while left > 0 {
            let Some(at) = self.queues.next_dirty() else { break };
            let mut done = 0;
            match self.turn(now, at, left.min(TURN), &mut done, outlet) {
                Turn::Reading => self.queues.await_read(at),
                Turn::Over | Turn::Done => {
                    self.drop_excess(now, at);
                    self.hand_back_grants(at);
                    self.queues.note_work(at);
                }
            }
            // A turn that did nothing took the queue off the list or rested a consumer.
            left -= done.max(1).min(left);
        }
        if self.queues.any_gone() {
            let store = &mut self.store;
            self.queues.dismantle(DISMANTLE_BATCH, |slot| store.release(slot));
        }
        self.queues.any_dirty() || self.queues.any_gone()
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
        while *done < limit {
            let Some((hosted, pool)) = self.queues.get_mut(at) else { return Turn::Done };
            let queue = &mut hosted.queue;
            let (id, survives) = (queue.id(), queue.settings().survives_restart);
            let (seq, slot) = match queue.due(pool, now.unix_ms) {
                Due::Message { seq, slot } => (seq, slot),
                Due::Expired(gone) => {
                    self.store.free(now, id, survives, gone.seq, &gone.slot);
                    *done += 1;
                    continue;
                }
                Due::Nothing => {
                    let Some(get) = queue.next_get() else { return Turn::Done };
                    queue.get_answered();
                    self.notice(Notice::Empty { channel: get.channel });
                    *done += 1;
                    continue;
                }
            };
            let recipient = self.recipient(at);
            let Some((hosted, pool)) = self.queues.get_mut(at) else { return Turn::Done };
            let queue = &mut hosted.queue;
            let to = match recipient {
                Recipient::Get(get) => DeliveryTo::Get {
                    channel: get.channel,
                    no_ack: get.no_ack,
                    remaining: queue.counts().ready - 1,
                },
                Recipient::Consumer(slot) => match consumer_of(queue, slot) {
                    Some(to) => to,
                    None => return Turn::Done,
                },
                Recipient::Nobody => return Turn::Done,
            };
            let Fetch::Ready(stored) = self.store.fetch(&slot) else { return Turn::Reading };
            let message = stored.message;
            let delivery =
                Delivery { to, queue: id, seq, redelivered: slot.redelivered(), message };
            let window_bytes = delivery.window_bytes();
            outlet.deliver(delivery);
            let no_ack = match to {
                DeliveryTo::Get { no_ack, .. } | DeliveryTo::Consumer { no_ack, .. } => no_ack,
            };
            if let Recipient::Consumer(consumer) = recipient {
                if let Some(consumer) = queue.consumers().get(consumer) {
                    self.links.spend(consumer.link(), window_bytes);
                }
                queue.serve(pool, consumer, seq);
            } else {
                queue.get_answered();
                queue.hand_out(pool, seq, no_ack);
            }
            if no_ack {
                self.store.free(now, id, survives, seq, &slot);
            }
            *done += 1;
        }
        Turn::Over
    }

    /// Finds who can take a message now; on the way, consumers that cannot leave the ring.
    fn recipient(&mut self, at: QueueSlot) -> Recipient {
        let Some((hosted, _)) = self.queues.get_mut(at) else { return Recipient::Nobody };
        let queue = &mut hosted.queue;
        if let Some(get) = queue.next_get() {
            return Recipient::Get(get);
        }
        while let Some((slot, consumer)) = queue.consumers().front() {
            let (channel, key) = (consumer.consume().channel, consumer.consume().consumer);
            let link = consumer.link();
            if !consumer.can_take() {
                if queue.rest(slot) {
                    let wants = Notice::Wants { channel, consumer: key };
                    self.effects.push_back(Effect::Notice(wants));
                }
            } else if !self.links.has_window(link) {
                queue.await_window(slot);
                self.links.wait(link, at, key);
            } else {
                return Recipient::Consumer(slot);
            }
        }
        Recipient::Nobody
    }
}

fn consumer_of(queue: &Queue, slot: ConsumerSlot) -> Option<DeliveryTo> {
    let consume = queue.consumers().get(slot)?.consume();
    Some(DeliveryTo::Consumer { consumer: consume.consumer, no_ack: consume.no_ack })
}
