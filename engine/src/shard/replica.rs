//! Mail between shards, and the life of queues that follows from it: what is put is made, what
//! is dropped is taken apart, by each queue's owner, when it applies the change.

use super::queues::QueueSlot;
use super::{Effect, Shard};
use crate::ids::{QueueId, ShardId};
use crate::log::Memory;
use crate::mail::{Notice, PeerMail, Requester};
use crate::now::Now;
use crate::queue::{Queue, QueueError, QueueSettings};
use crate::topology::{self, Change, Policy, TopologyRequest};

impl<M: Memory> Shard<M> {
    /// Takes mail from another shard. Each shard's mail must come in the order it was sent.
    ///
    /// # Panics
    /// If an update is missing, or mail for the topology writer comes to another shard: the
    /// shards would disagree for ever about what exists.
    pub fn peer(&mut self, now: Now, mail: PeerMail) {
        self.clock = now;
        match mail {
            PeerMail::Request { from, request } => self.decide(now, from, &request),
            PeerMail::Update { version, changes } => {
                self.update(now, version, &changes);
                self.tell_applied(now);
            }
            PeerMail::Copy { queues, letter } => {
                self.take_message(now, &letter.message(), &queues, None, None);
            }
            PeerMail::Vouch { from, request, transaction } => {
                self.vouch(from, request, &transaction);
            }
            PeerMail::Vouched { request } => self.vouched(now, request),
            PeerMail::CarryOut { from, number, transaction, journaled, again } => {
                self.carry_out(now, from, number, &transaction, journaled, again);
                self.drive_transactions(now);
            }
            PeerMail::Body { from, number, index, octets } => {
                self.take_body(now, (from, number, index), &octets);
            }
            PeerMail::BodyTaken { by, parts } => self.body_taken(by, parts),
            PeerMail::CarriedOut { number, refused } => self.carried_out(now, number, refused),
            PeerMail::Forget { from, number } => self.forget_transaction(now, from, number),
            PeerMail::Outlived { from, journals } => self.drop_outlived(now, from, &journals),
            PeerMail::Resolved => self.note_resolved(now),
            PeerMail::Applied { shard, version } => {
                if let Some(writer) = &mut self.writer {
                    writer.applied(shard, version);
                }
                self.drive_topology(now);
            }
        }
    }

    /// Asks the topology writer on behalf of this shard.
    pub(super) fn ask(&mut self, now: Now, from: Requester, request: TopologyRequest) {
        if self.writer.is_some() {
            self.decide(now, from, &request);
        } else {
            let mail = PeerMail::Request { from, request };
            self.effects.push_back(Effect::Peer { to: ShardId::TOPOLOGY_WRITER, mail });
        }
    }

    fn decide(&mut self, now: Now, from: Requester, request: &TopologyRequest) {
        let Some(writer) = &mut self.writer else {
            panic!("shard {} was asked to decide a topology change", self.config.shard.0);
        };
        writer.request(now, &mut self.store.log, from, request);
        self.drive_topology(now);
    }

    /// On shard 0: spreads what has become durable, answers what every shard has applied.
    pub(super) fn drive_topology(&mut self, now: Now) {
        let durable = self.store.log.durable();
        while let Some((version, changes)) =
            self.writer.as_mut().and_then(|writer| writer.next_to_spread(durable))
        {
            for shard in (0..self.config.shards).map(ShardId) {
                if shard != self.config.shard {
                    let mail = PeerMail::Update { version, changes: changes.clone() };
                    self.effects.push_back(Effect::Peer { to: shard, mail });
                }
            }
            self.update(now, version, &changes);
            self.note_applied();
        }
        while let Some((from, result)) = self.writer.as_mut().and_then(|w| w.next_answer()) {
            match from {
                Requester::Channel(channel) => self.notice(Notice::Topology { channel, result }),
                Requester::Management(ticket) => {
                    self.effects.push_back(Effect::Answer { ticket, result });
                }
                Requester::Deletion { channel, messages } => {
                    self.notice(Notice::Deleted { channel, messages });
                }
                Requester::Nobody => {}
            }
        }
    }

    /// Tells the topology writer what this shard lives by: not before its queues do, if policies
    /// have changed.
    pub(super) fn tell_applied(&mut self, now: Now) {
        if self.writer.is_some() {
            self.note_applied();
            return self.drive_topology(now);
        }
        if self.policy_walk.is_over() {
            let (shard, version) = (self.config.shard, self.applied);
            let mail = PeerMail::Applied { shard, version };
            self.effects.push_back(Effect::Peer { to: ShardId::TOPOLOGY_WRITER, mail });
        }
    }

    /// As `tell_applied`, on shard 0.
    fn note_applied(&mut self) {
        if let Some(writer) = self.writer.as_mut().filter(|_| self.policy_walk.is_over()) {
            writer.applied(self.config.shard, self.applied);
        }
    }

    /// Applies decided changes to this shard's replica and queues.
    fn update(&mut self, now: Now, version: u64, changes: &[Change]) {
        assert_eq!(version, self.applied + 1, "a topology update is missing or came twice");
        self.applied = version;
        let mut review = false;
        let mut policies_of = Vec::new();
        for change in changes {
            let events = self.events_of(change);
            match change {
                Change::PutQueue(queue) => self.queue_put(now, queue),
                Change::DropQueue { id } => self.queue_dropped(*id),
                Change::PutExchange(exchange) => self.store_put(now, exchange),
                Change::DropExchange { vhost, name } => self.store_dropped(vhost, name),
                Change::DropVhost { .. } | Change::DropUser { .. } => review = true,
                Change::PutPolicy(Policy { vhost, .. }) | Change::DropPolicy { vhost, .. } => {
                    policies_of.push(vhost.clone());
                }
                _ => {}
            }
            self.topology.apply(change);
            if let Change::PutBinding(binding) = change {
                self.begin_replay(now, binding);
            }
            for event in events {
                self.announce(now, &event);
            }
        }
        if !policies_of.is_empty() {
            self.begin_policy_walk(now, policies_of);
        }
        if review {
            self.effects.push_back(Effect::Review);
        }
        if !self.early.is_empty() {
            for command in std::mem::take(&mut self.early) {
                self.command(now, command);
            }
        }
    }

    fn queue_put(&mut self, now: Now, queue: &topology::Queue) {
        self.newest_queue = self.newest_queue.max(queue.id);
        if queue.owner != self.config.shard || self.queues.find(queue.id).is_some() {
            return;
        }
        let policy = self.topology.queue_policy(&queue.vhost, &queue.name);
        let settings = self.queues.share(QueueSettings::of(queue, &policy));
        let at = self.queues.add(Queue::new(queue.id, settings, now.unix_ms));
        self.set_timer(at);
    }

    /// The queue behind an exchange that keeps messages.
    fn store_put(&mut self, now: Now, exchange: &topology::Exchange) {
        let before = self.topology.exchange(&exchange.vhost, &exchange.name);
        let before = before.and_then(|exchange| exchange.store);
        if before != exchange.store {
            self.store_dropped(&exchange.vhost, &exchange.name);
        }
        let Some(store) = exchange.store else { return };
        self.newest_queue = self.newest_queue.max(store.queue);
        if store.shard == self.config.shard && self.queues.find(store.queue).is_none() {
            let settings = QueueSettings::of_store(exchange);
            self.queues.add(Queue::new(store.queue, settings, now.unix_ms));
        }
    }

    fn store_dropped(&mut self, vhost: &str, name: &str) {
        let exchange = self.topology.exchange(vhost, name);
        if let Some(store) = exchange.and_then(|exchange| exchange.store) {
            self.queue_dropped(store.queue);
            self.values.outlive(store.queue);
        }
    }

    fn queue_dropped(&mut self, id: QueueId) {
        if let Some(at) = self.queues.find(id) {
            self.close(at);
            self.queues.remove(id);
        }
    }

    /// A queue stops working: whoever waits for it is told (behaviour B14).
    pub(super) fn close(&mut self, at: QueueSlot) {
        let Some((hosted, _)) = self.queues.get_mut(at) else { return };
        let queue = &mut hosted.queue;
        if queue.is_closed() {
            return;
        }
        queue.close();
        let id = queue.id();
        while let Some(get) = queue.next_get() {
            queue.get_answered();
            let refused = Notice::Refused { channel: get.channel, error: QueueError::NoQueue };
            self.effects.push_back(Effect::Notice(refused));
        }
        let consumers = queue.take_consumers();
        for consumer in &consumers {
            let (channel, key) = (consumer.consume().channel, consumer.consume().consumer);
            self.links.remove_consumer(consumer.link(), id, key);
            let gone = Notice::ConsumerGone { channel, consumer: key };
            self.effects.push_back(Effect::Notice(gone));
        }
        for consumer in &consumers {
            self.announce_consumer(self.clock, "consumer.deleted", consumer.consume());
        }
    }

    /// A queue has outlived its use (auto-delete, `x-expires`): it closes, and goes once the
    /// topology writer has said so.
    pub(super) fn retire(&mut self, now: Now, at: QueueSlot) {
        let Some(hosted) = self.queues.get(at) else { return };
        let id = hosted.queue.id();
        self.close(at);
        self.ask(now, Requester::Nobody, TopologyRequest::DropQueue { id });
    }
}
