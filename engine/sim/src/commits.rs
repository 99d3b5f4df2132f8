//! Transactions of clients: some publishes and some settles that are to happen all or not at all.

use std::sync::Arc;

use haremq_engine::ids::{ChannelKey, QueueId, ShardId, Target};
use haremq_engine::mail::{Command, Outcome};
use haremq_engine::message::MessageRef;
use haremq_engine::transaction::{Transaction, TransactionSettle};

use crate::body::{body, number_of, properties};
use crate::mail::{Mail, Received, ROUTING_KEY};
use crate::shadow::{Commit, CommitId, Put, Take};
use crate::simulation::Simulation;
use crate::violation::Verdict;
use crate::workload::Mixture;

/// Of transactions that are never committed.
const VAIN_CHANNEL: u16 = 6;

impl Simulation {
    /// A client publishes and settles some, by one tx.commit.
    pub fn commit(&mut self, mixture: &Mixture) -> Verdict {
        let home = self.random.below(self.world.count());
        if self.random.one_in(20) {
            return self.hold_in_vain(home, mixture);
        }
        let mut transaction = Transaction::new();
        let mut puts = Vec::new();
        for _ in 0..self.random.below(4) {
            self.put_one(home, mixture, &mut transaction, &mut puts)?;
        }
        let mut takes = Vec::new();
        for _ in 0..self.random.below(4) {
            self.take_one(home, &mut transaction, &mut takes)?;
        }
        self.ask_to_commit(home, transaction, puts, takes)
    }

    /// A client of `home` publishes one message to these queues, by a tx.commit.
    pub fn commit_to(&mut self, home: usize, queues: &[QueueId], size: usize) -> Verdict {
        let mut transaction = Transaction::new();
        let mut puts = Vec::new();
        self.put_to(home, queues, size, &mut transaction, &mut puts)?;
        self.ask_to_commit(home, transaction, puts, Vec::new())
    }

    pub fn ask_to_commit(
        &mut self,
        home: usize,
        transaction: Transaction,
        puts: Vec<Put>,
        takes: Vec<Take>,
    ) -> Verdict {
        if transaction.is_empty() {
            return Ok(());
        }
        let id = self.clients.next_commit();
        let numbers: Vec<u64> = puts.iter().map(|put| put.number).collect();
        let settled: Vec<u64> = takes.iter().map(|take| take.number).collect();
        self.trace.say(|| format!("{id:?}: publishes {numbers:?}, settles {settled:?}"));
        self.shadow.commit_asked(id, Commit::new(puts, takes));
        let channel = self.clients.channel_of_commit(home, id);
        let command = Command::Commit { channel, transaction: Arc::new(transaction) };
        self.send(home, home, Mail::Command(command))
    }

    /// A shard does its part of what it decides: at once, or when others have vouched for what it settles there.
    pub fn note_decisions(&mut self, home: usize) -> Verdict {
        let shard = &self.world.shards[home];
        let is_decided =
            |one: &mut (usize, ChannelKey)| one.0 == home && !shard.is_undecided(one.1);
        let decided: Vec<_> = self.clients.undecided.extract_if(.., is_decided).collect();
        let now_unix_ms = self.world.clock.now().unix_ms;
        for (_, channel) in decided {
            let (id, shard) = (CommitId(channel.incarnation), ShardId(home as u16));
            self.shadow.part_handed(id, shard, false, now_unix_ms)?;
        }
        Ok(())
    }

    fn put_one(
        &mut self,
        home: usize,
        mixture: &Mixture,
        transaction: &mut Transaction,
        puts: &mut Vec<Put>,
    ) -> Verdict {
        let mut queues = self.draw_targets();
        // What is refused and buried is another story.
        queues.retain(|id| !self.buries_refused(*id));
        // All copies of one that goes to queues with different limits of time fit one block: for
        // longer ones it is not promised that none comes twice.
        let record_max = self.world.limits.segment_bytes as usize / 4;
        let size = match queues.len() {
            0 | 1 => self.draw_size(mixture),
            count => self.draw_size(mixture).min(record_max / (count + 1) - 200),
        };
        self.put_to(home, &queues, size, transaction, puts)
    }

    pub fn put_to(
        &mut self,
        home: usize,
        queues: &[QueueId],
        size: usize,
        transaction: &mut Transaction,
        puts: &mut Vec<Put>,
    ) -> Verdict {
        let mut targets = Vec::new();
        for queue in queues {
            targets.push(Target { queue: *queue, shard: self.owner_of(*queue)? });
        }
        let has_room = |to: &Target| self.world.has_room(home, usize::from(to.shard.0));
        if targets.is_empty() || !targets.iter().all(has_room) {
            return Ok(());
        }
        let number = self.clients.next_number();
        let body = body(number, size);
        let priority = self.random.below(6) as u8;
        let expiration_ms = self.random.one_in(12).then(|| 1 + self.random.below(100) as u64);
        let message = MessageRef {
            exchange: b"",
            routing_key: ROUTING_KEY,
            properties: &properties(number, true),
            body: &body,
            persistent: true,
            priority,
            expiration_ms,
        };
        let part_bytes = self.world.limits.part_bytes();
        match body.len() > part_bytes && !number.is_multiple_of(8) {
            true => {
                let (bytes, to) = (body.len() as u64, targets.iter().copied());
                transaction.publish_long(&MessageRef { body: &[], ..message }, bytes, to);
                let channel = self.clients.channel_of_commit(home, self.clients.commit_to_come());
                self.hold(home, channel, &body, part_bytes, true);
            }
            false => transaction.publish(&message, targets.iter().copied()),
        }
        puts.extend(targets.iter().map(|target| Put {
            shard: target.shard,
            queue: target.queue,
            number,
            priority,
            expiration_ms,
            is_lasting: self.is_durable(target.queue),
            may_refuse: self.refuses(target.queue),
        }));
        Ok(())
    }

    /// A body comes in parts, for a transaction of that channel.
    fn hold(
        &mut self,
        home: usize,
        channel: ChannelKey,
        body: &[u8],
        part_bytes: usize,
        ends: bool,
    ) {
        let now = self.world.clock.now();
        let mut left = body.chunks(part_bytes).peekable();
        while let Some(part) = left.next() {
            let is_last = ends && left.peek().is_none();
            self.world.shards[home].hold_body(now, channel, part, is_last);
        }
    }

    /// A body comes for a transaction that is never committed: it is given up at once, with its connection, or by a
    /// crash.
    fn hold_in_vain(&mut self, home: usize, mixture: &Mixture) -> Verdict {
        let size = self.draw_size(mixture);
        let channel = ChannelKey { channel: VAIN_CHANNEL, ..self.clients.channel(home) };
        self.hold(
            home,
            channel,
            &body(0, size),
            self.world.limits.part_bytes(),
            size.is_multiple_of(2),
        );
        if self.random.one_in(2) {
            let command = Command::DropBody { channel };
            self.send(home, home, Mail::Command(command))?;
        }
        Ok(())
    }

    fn take_one(
        &mut self,
        home: usize,
        transaction: &mut Transaction,
        takes: &mut Vec<Take>,
    ) -> Verdict {
        let held = &self.clients.held;
        let Some(at) = held.iter().position(|one| usize::from(one.home().0) == home) else {
            return Ok(());
        };
        let received = self.clients.held.remove(at);
        let outcome = match self.random.below(8) {
            0 => Outcome::Requeue,
            1 => Outcome::Reject,
            _ => Outcome::Ack,
        };
        takes.push(self.settle_in(&received, outcome, transaction)?);
        Ok(())
    }

    /// A delivery is settled by that transaction.
    pub fn settle_in(
        &mut self,
        received: &Received,
        outcome: Outcome,
        transaction: &mut Transaction,
    ) -> Verdict<Take> {
        let consumer = received.consumer();
        let (shard, queue, seq) = (received.from, received.queue, received.seq);
        transaction.settle(TransactionSettle { shard, queue, seq, consumer, outcome });
        let number = number_of(&received.body)?;
        let is_lasting = self.is_durable(queue);
        Ok(Take { shard, queue, seq, number, outcome, is_lasting })
    }

    fn refuses(&self, id: QueueId) -> bool {
        self.shadow.queues.get(&id).is_some_and(|queue| queue.spec.refuses)
    }

    fn buries_refused(&self, id: QueueId) -> bool {
        let estates = &self.shadow.estates;
        estates.iter().any(|estate| estate.index(id).is_some() && estate.buries_refused)
    }

    fn is_durable(&self, id: QueueId) -> bool {
        // Those of estates are.
        self.shadow.queues.get(&id).is_none_or(|queue| queue.spec.durable)
    }

    /// Many small messages to one queue, from a connection on its own shard.
    pub fn publish_many(&mut self) -> Verdict {
        let queues = self.draw_targets();
        let plain: Vec<QueueId> =
            queues.into_iter().filter(|id| self.shadow.queues.contains_key(id)).collect();
        let Some(queue) = plain.first().copied() else { return Ok(()) };
        let ShardId(owner) = self.owner_of(queue)?;
        let publisher = usize::from(owner);
        let persistent = !self.random.one_in(4);
        for _ in 0..50 + self.random.below(400) {
            while !self.world.shards[publisher].has_room() {
                self.poll(publisher)?;
                if !self.complete(publisher, 0)? || self.world.down.is_some() {
                    return Ok(());
                }
            }
            let size = 16 + self.random.below(24);
            self.publish_to(publisher, vec![(ShardId(owner), vec![queue])], size, persistent)?;
        }
        Ok(())
    }
}
