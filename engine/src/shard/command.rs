//! What connections ask of this shard's queues, beside publishing.

use super::dead_letters::Testament;
use super::{Effect, Shard};
use crate::dead_letter::Cause;
use crate::event::{EXCHANGE, VHOST};
use crate::ids::{ChannelKey, ConnectionId, ConsumerKey, QueueId, Seq};
use crate::log::Memory;
use crate::mail::{Command, Consume, Notice, Outcome, Requester};
use crate::now::Now;
use crate::queue::{PendingGet, QueueError, Release, Removed, Unused};
use crate::topology::TopologyRequest;

impl<M: Memory> Shard<M> {
    /// Carries out one command.
    ///
    /// A connection's shard may know of a new queue before this one does, since updates reach the
    /// shards at different times: a command that names a queue younger than any known here waits
    /// for the update, and is not taken for one to a deleted queue.
    pub fn command(&mut self, now: Now, command: Command) {
        self.clock = now;
        if let Command::Settle { queue, seq, consumer, outcome } = command {
            return self.settle(now, queue, seq, consumer, outcome);
        }
        if let Command::Acks { queue, first, count, consumer } = command {
            return self.take_acks(now, queue, first, count, consumer);
        }
        let Some(queue) = named_queue(&command) else { return self.perform(now, command) };
        if queue > self.newest_queue {
            return self.early.push(command);
        }
        if let Some(command) = self.postponed.take(&self.queues, queue, command) {
            self.perform(now, command);
        }
    }

    /// Carries out one command whose time has come.
    pub(super) fn perform(&mut self, now: Now, command: Command) {
        match command {
            Command::Consume(consume) => self.consume(now, consume),
            Command::Cancel { queue, consumer, channel } => {
                self.cancel(now, queue, consumer);
                self.notice(Notice::Cancelled { channel, consumer });
            }
            Command::Abandon { queue, consumer } => self.cancel(now, queue, consumer),
            Command::Get { queue, channel, no_ack } => self.get(now, queue, channel, no_ack),
            Command::Settle { .. } | Command::Acks { .. } => {}
            Command::Grant { queue, consumer, credit } => self.grant(queue, consumer, credit),
            Command::GiveBack { queue, consumer } => {
                if let Some((at, hosted, _)) = self.queues.open(queue) {
                    hosted.queue.give_back(consumer);
                    self.queues.note_work(at);
                }
            }
            Command::Ration { queue, consumer } => {
                if let Some((at, hosted, _)) = self.queues.open(queue) {
                    hosted.queue.ration(consumer);
                    self.queues.note_work(at);
                }
            }
            Command::SetPrefetch { queue, consumer, prefetch } => {
                if let Some((at, hosted, _)) = self.queues.open(queue) {
                    hosted.queue.set_prefetch(consumer, prefetch);
                    self.queues.note_work(at);
                }
            }
            Command::Window { connection, bytes } => self.window(connection, bytes),
            Command::Purge { queue, channel } => self.purge(now, queue, channel),
            Command::Delete { queue, channel, if_unused, if_empty } => {
                self.delete(now, queue, channel, if_unused, if_empty);
            }
            Command::Inspect { queue, channel } => self.inspect(now, queue, channel),
            Command::Commit { channel, transaction } => self.commit(now, channel, transaction),
            Command::DropBody { channel } => self.drop_body(channel),
            Command::NextPiece { reading } => self.want_piece(reading),
            Command::EndReading { reading } => self.end_reading(reading),
            Command::Forget { connection } => self.forget(now, connection),
        }
    }

    fn refuse(&mut self, channel: ChannelKey, error: QueueError) {
        self.notice(Notice::Refused { channel, error });
    }

    fn consume(&mut self, now: Now, consume: Box<Consume>) {
        let (id, channel, consumer) = (consume.queue, consume.channel, consume.consumer);
        let Some((at, hosted, _)) = self.queues.open(id) else {
            return self.refuse(channel, QueueError::NoQueue);
        };
        let link = self.links.of(consumer.connection);
        let told = self.topology.is_source(VHOST, EXCHANGE).then(|| consume.clone());
        match hosted.queue.consume(consume, link, now.unix_ms) {
            Ok(()) => {
                self.links.add_consumer(link, id, consumer);
                self.notice(Notice::Consuming { channel, consumer });
                self.queues.note_work(at);
                if let Some(consume) = told {
                    self.announce_consumer(now, "consumer.created", &consume);
                }
            }
            Err(error) => {
                self.links.drop_unused(consumer.connection);
                self.refuse(channel, error);
            }
        }
    }

    fn cancel(&mut self, now: Now, id: QueueId, key: ConsumerKey) {
        let Some((at, hosted, _)) = self.queues.open(id) else { return };
        let queue = &mut hosted.queue;
        let Some(consumer) = queue.cancel(key, now.unix_ms) else { return };
        let deserted = queue.is_deserted();
        self.links.remove_consumer(consumer.link(), id, key);
        self.announce_consumer(now, "consumer.deleted", consumer.consume());
        if deserted {
            return self.retire(now, at);
        }
        self.set_timer(at);
        self.queues.note_work(at);
    }

    fn get(&mut self, now: Now, id: QueueId, channel: ChannelKey, no_ack: bool) {
        let Some((at, hosted, _)) = self.queues.open(id) else {
            return self.refuse(channel, QueueError::NoQueue);
        };
        if hosted.queue.counts().ready == 0 {
            hosted.queue.touch(now.unix_ms);
            return self.notice(Notice::Empty { channel });
        }
        hosted.queue.get(PendingGet { channel, no_ack }, now.unix_ms);
        self.queues.note_work(at);
    }

    /// A message of that queue came back too often, and is gone.
    fn tell_of_given_up(&mut self, id: QueueId) {
        let Some(messages) = self.dead_letters.given_up.count(id) else { return };
        let Some(queue) = self.topology.queue_by_id(id) else { return };
        let (vhost, queue) = (queue.vhost.clone(), queue.name.clone());
        self.effects.push_back(Effect::GivenUp { vhost, queue, messages });
    }

    pub(super) fn settle(
        &mut self,
        now: Now,
        id: QueueId,
        seq: Seq,
        consumer: Option<ConsumerKey>,
        outcome: Outcome,
    ) {
        let Some(at) = self.queues.find(id) else { return };
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        self.sampling.settled(now.monotonic_us, at, seq);
        match queue.settle(pool, seq, consumer, outcome) {
            Release::Unknown => return self.queues.keep_within(),
            Release::Exhausted(slot) => {
                let (store, testament) = (&mut self.store, Testament::of(queue));
                let gone = Removed { seq, slot };
                self.dead_letters.take(store, now, &testament, &gone, Cause::DeliveryLimit);
                if !testament.has_heirs() {
                    self.tell_of_given_up(id);
                }
            }
            Release::Removed(slot) if outcome == Outcome::Reject => {
                let (store, testament) = (&mut self.store, Testament::of(queue));
                let gone = Removed { seq, slot };
                self.dead_letters.take(store, now, &testament, &gone, Cause::Rejected);
            }
            Release::Removed(slot) => {
                let survives = queue.settings().survives_restart;
                self.store.free(now, id, survives, seq, &slot);
            }
            Release::Requeued => {
                // Only who was there when it came may have a message that expires at once.
                if let Some(gone) = queue.take_lapsed(pool, seq, now.unix_ms) {
                    let (store, testament) = (&mut self.store, Testament::of(queue));
                    self.dead_letters.take(store, now, &testament, &gone, Cause::Expired);
                }
                self.drop_excess(now, at);
                self.set_timer(at);
            }
        }
        self.queues.note_work(at);
    }

    /// See [`Command::Acks`]: what is the same for all of them is done once.
    fn take_acks(
        &mut self,
        now: Now,
        id: QueueId,
        first: Seq,
        count: u32,
        consumer: Option<ConsumerKey>,
    ) {
        let Some(at) = self.queues.find(id) else { return };
        let Some((hosted, pool)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        let survives = queue.settings().survives_restart;
        self.sampling.settled_run(now.monotonic_us, at, first, u64::from(count));
        let store = &mut self.store;
        let (mut next, end) = (first.0, first.0.saturating_add(u64::from(count)));
        let mut settled = 0;
        while next < end {
            let (seq, limit) = (Seq(next), (end - next) as usize);
            let run = queue.ack_run(pool, seq, limit, |slots| {
                store.free_run(now, id, survives, seq, slots);
            });
            settled += run as u32;
            next += run as u64;
            if run == 0 {
                if let Some(slot) = queue.ack(pool, seq) {
                    store.free(now, id, survives, seq, &slot);
                    settled += 1;
                }
                next += 1;
            }
        }
        if settled == 0 {
            return self.queues.keep_within();
        }
        queue.note_settled(consumer, settled);
        self.queues.note_work(at);
    }

    fn grant(&mut self, id: QueueId, consumer: ConsumerKey, credit: u32) {
        let Some((at, hosted, _)) = self.queues.open(id) else { return };
        hosted.queue.grant(consumer, credit);
        // Somebody else may have taken what it was meant for.
        self.hand_back_grants(at);
        self.queues.note_work(at);
    }

    /// Grants that cannot be used now may serve the channel's other consumers.
    pub(super) fn hand_back_grants(&mut self, at: super::QueueSlot) {
        let Some((hosted, _)) = self.queues.get_mut(at) else { return };
        let effects = &mut self.effects;
        hosted.queue.hand_back_grants(|Unused { channel, consumer, credit }| {
            effects.push_back(super::Effect::Notice(Notice::Unused { channel, consumer, credit }));
        });
    }

    fn window(&mut self, connection: ConnectionId, bytes: u64) {
        for (at, consumer) in self.links.open(connection, bytes) {
            if let Some((hosted, _)) = self.queues.get_mut(at) {
                hosted.queue.window_opened(consumer);
                self.queues.note_work(at);
            }
        }
    }

    fn purge(&mut self, now: Now, id: QueueId, channel: ChannelKey) {
        let Some((_, hosted, pool)) = self.queues.open(id) else {
            return self.refuse(channel, QueueError::NoQueue);
        };
        let (messages, mut remains) = hosted.queue.purge(pool);
        // Mostly this is all there is to do.
        if !self.store.free_some(now, &mut remains, pool) {
            self.queues.bury(remains);
        }
        self.queues.keep_within();
        self.notice(Notice::Purged { channel, messages });
    }

    fn delete(
        &mut self,
        now: Now,
        id: QueueId,
        channel: ChannelKey,
        if_unused: bool,
        if_empty: bool,
    ) {
        let Some((at, hosted, _)) = self.queues.open(id) else {
            return self.refuse(channel, QueueError::NoQueue);
        };
        if let Err(error) = hosted.queue.may_delete(if_unused, if_empty) {
            return self.refuse(channel, error);
        }
        let messages = hosted.queue.counts().ready;
        self.close(at);
        let from = Requester::Deletion { channel, messages };
        self.ask(now, from, TopologyRequest::DropQueue { id });
    }

    fn inspect(&mut self, now: Now, id: QueueId, channel: ChannelKey) {
        let Some((_, hosted, _)) = self.queues.open(id) else {
            return self.refuse(channel, QueueError::NoQueue);
        };
        let queue = &mut hosted.queue;
        queue.touch(now.unix_ms);
        let messages = queue.counts().ready;
        let consumers = queue.consumers().count() as u64;
        self.notice(Notice::Inspected { channel, messages, consumers });
    }

    fn forget(&mut self, now: Now, connection: ConnectionId) {
        self.early.retain(|command| asker(command) != Some(connection));
        self.postponed.forget(connection);
        self.queues.forget_gets(connection);
        self.drop_bodies_of(connection);
        self.end_readings_of(connection);
        for (queue, consumer) in self.links.forget(connection) {
            self.cancel(now, queue, consumer);
        }
    }
}

/// The queue that a command cannot do without.
fn named_queue(command: &Command) -> Option<QueueId> {
    match command {
        Command::Consume(consume) => Some(consume.queue),
        Command::Cancel { queue, .. }
        | Command::Get { queue, .. }
        | Command::Purge { queue, .. }
        | Command::Delete { queue, .. }
        | Command::Inspect { queue, .. } => Some(*queue),
        _ => None,
    }
}

/// Whose connection waits for an answer.
pub(super) fn asker(command: &Command) -> Option<ConnectionId> {
    match command {
        Command::Consume(consume) => Some(consume.channel.connection),
        Command::Cancel { channel, .. }
        | Command::Get { channel, .. }
        | Command::Purge { channel, .. }
        | Command::Delete { channel, .. }
        | Command::Inspect { channel, .. } => Some(channel.connection),
        _ => None,
    }
}
