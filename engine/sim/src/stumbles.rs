//! Starts that come to nothing: the power goes before what a start has written is durable, and goes
//! again when the next one has done little more. What a run has left on the disk that no later start
//! has seen, and marks of transactions that were not dropped for good, must not count then.

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::Outcome;
use haremq_engine::transaction::Transaction;

use crate::body::{number_of, BODY_BYTES_MIN};
use crate::mail::Received;
use crate::shadow::Queue;
use crate::simulation::Simulation;
use crate::violation::Verdict;
use crate::workload::Mixture;

/// Rounds after which something that does not come about is given up.
const PATIENCE: usize = 60;
/// A few of these fill a buffer.
const MESSAGE_BYTES: usize = 6_000;
const MESSAGES_MAX: usize = 14;
/// Rounds in which a transaction comes to its end.
const ROUNDS_OF_COMMIT: usize = 8;

impl Simulation {
    /// Right after a start. `mixture`: what transactions are like.
    pub fn stumble(&mut self, mixture: &Mixture) -> Verdict {
        if self.world.count() > 1 {
            return match self.random.below(4) {
                0 => self.stumble_over_marks(mixture),
                1 => self.stumble_over_a_mark(),
                2 => self.stumble_over_a_put(),
                _ => self.stumble_over_a_start(),
            };
        }
        if self.random.one_in(5) {
            return self.wait_for_a_letter();
        }
        if self.random.one_in(2) && self.fill_segment()? {
            self.crash()?;
        }
        self.stumble_over_blocks()
    }

    /// Two writes at once, of which the first may be lost; then one of the same size in its place, and
    /// the power goes again. Behind a segment that has come to its end these are the first writes to
    /// the next one, and nothing tells of the run that made them if the first is lost.
    fn stumble_over_blocks(&mut self) -> Verdict {
        for writes in [2, 1] {
            if !self.is_open() {
                return Ok(());
            }
            self.let_in()?;
            let Some(queue) = self.any_durable_queue(0) else { return Ok(()) };
            // The first message is written at once, and others when they fill a buffer.
            for _ in 0..MESSAGES_MAX {
                self.publish_to(0, vec![(ShardId(0), vec![queue])], MESSAGE_BYTES, true)?;
                self.poll(0)?;
                if self.world.disks[0].writes_under_way() >= writes {
                    break;
                }
            }
            if writes == 1 {
                while self.world.down.is_none() && self.complete(0, 0)? {}
            }
            if self.world.down.is_none() {
                self.crash()?;
            }
        }
        Ok(())
    }

    /// Publishes until the segment is full and the first write to the next one is under way. False: it
    /// has not come to that.
    fn fill_segment(&mut self) -> Verdict<bool> {
        let size = self.world.limits.segment_bytes as usize / 6;
        for _ in 0..PATIENCE {
            if !self.is_open() || !self.world.has_room(0, 0) {
                return Ok(false);
            }
            self.let_in()?;
            let Some(queue) = self.any_durable_queue(0) else { return Ok(false) };
            self.publish_to(0, vec![(ShardId(0), vec![queue])], size, true)?;
            loop {
                self.poll(0)?;
                if self.world.down.is_some() || self.world.disks[0].begins_segment() {
                    return Ok(self.world.down.is_none());
                }
                if !self.complete(0, 0)? {
                    break;
                }
            }
        }
        Ok(false)
    }

    pub fn is_open(&self) -> bool {
        self.serves() && self.world.down.is_none()
    }

    /// A durable queue of that shard.
    pub fn any_durable_queue(&mut self, shard: usize) -> Option<QueueId> {
        let is_it = |queue: &Queue| {
            queue.spec.durable && !queue.closing && usize::from(queue.owner.0) == shard
        };
        let queues = self.shadow.queues.iter().filter(|(_, queue)| is_it(queue));
        let durable: Vec<QueueId> = queues.map(|(id, _)| *id).collect();
        (!durable.is_empty()).then(|| self.random.pick(&durable))
    }

    /// A run's first transaction, whose marks may outlive it; then a run whose first one has the same
    /// number, while one shard's disk does nothing.
    fn stumble_over_marks(&mut self, mixture: &Mixture) -> Verdict {
        let lazy = self.random.below(self.world.count());
        for does_all in [true, false] {
            if !self.wait_to_be_open(|shard| does_all || shard != lazy)? {
                return Ok(());
            }
            self.commit(mixture)?;
            let rounds = self.random.below(12);
            for _ in 0..rounds {
                self.hurry(|shard| does_all || shard != lazy)?;
            }
            if self.world.down.is_none() {
                self.crash()?;
            }
        }
        Ok(())
    }

    /// The same with a message for a queue here and for one there. The first time it comes to its end,
    /// but for the mark that is left there.
    fn stumble_over_a_mark(&mut self) -> Verdict {
        let home = self.random.below(self.world.count());
        let lazy = (home + 1) % self.world.count();
        for does_all in [true, false] {
            if !self.wait_to_be_open(|shard| does_all || shard != lazy)? {
                return Ok(());
            }
            let (here, there) = (self.any_durable_queue(home), self.any_durable_queue(lazy));
            let Some(queues) = here.zip(there) else { return Ok(()) };
            self.commit_to(home, &[queues.0, queues.1], MESSAGE_BYTES)?;
            for _ in 0..ROUNDS_OF_COMMIT {
                self.hurry(|shard| does_all || shard != lazy)?;
            }
            // What stands in the journal is settled for good by now.
            self.world.pass_us(self.world.limits.settle_delay_us + 1);
            for _ in 0..2 {
                self.hurry(|shard| shard != lazy)?;
            }
            if self.world.down.is_none() {
                self.crash()?;
            }
        }
        Ok(())
    }

    /// What a transaction has put on another shard, whose disk does nothing, is delivered, and acked by another
    /// transaction, before it is durable there.
    fn stumble_over_a_put(&mut self) -> Verdict {
        if !self.wait_to_be_open(|_| true)? {
            return Ok(());
        }
        let home = self.random.below(self.world.count());
        let lazy = (home + 1) % self.world.count();
        let (here, there) = (self.any_durable_queue(home), self.any_durable_queue(lazy));
        let Some((here, there)) = here.zip(there) else { return Ok(()) };
        self.consume(home, there, 0, false)?;
        let put = self.clients.next_number;
        self.commit_to(home, &[here, there], BODY_BYTES_MIN)?;
        for _ in 0..ROUNDS_OF_COMMIT {
            self.hurry(|shard| shard != lazy)?;
        }
        let is_it = |one: &Received| one.queue == there && number_of(&one.body).ok() == Some(put);
        let held = &self.clients.held;
        let at = held.iter().position(|one| is_it(one) && usize::from(one.home().0) == home);
        if let Some(at) = at.filter(|_| self.world.down.is_none()) {
            let received = self.clients.held.remove(at);
            let (mut transaction, mut puts) = (Transaction::new(), Vec::new());
            self.put_to(home, &[here], BODY_BYTES_MIN, &mut transaction, &mut puts)?;
            let take = self.settle_in(&received, Outcome::Ack, &mut transaction)?;
            self.ask_to_commit(home, transaction, puts, vec![take])?;
            let rounds = self.random.below(ROUNDS_OF_COMMIT);
            for _ in 0..rounds {
                self.hurry(|shard| shard != lazy)?;
            }
        }
        match self.world.down {
            None => self.crash(),
            Some(_) => Ok(()),
        }
    }

    /// Goes on until clients are served. False: they are not. `works`: shards whose disks do anything.
    pub fn wait_to_be_open(&mut self, works: impl Fn(usize) -> bool) -> Verdict<bool> {
        for _ in 0..PATIENCE {
            if self.serves() || self.world.down.is_some() {
                break;
            }
            self.hurry(&works)?;
        }
        if self.is_open() {
            self.let_in()?;
        }
        Ok(self.is_open())
    }

    /// Everything goes on by a step, but for the disks of those that are not to work.
    pub fn hurry(&mut self, works: impl Fn(usize) -> bool) -> Verdict {
        let count = self.world.count();
        for shard in 0..count {
            if self.world.down.is_some() {
                return Ok(());
            }
            self.poll(shard)?;
            while works(shard) && self.world.down.is_none() && self.complete(shard, 0)? {}
            for to in 0..count {
                self.carry(shard, to)?;
            }
            if self.world.down.is_none() {
                self.dispatch(shard)?;
                self.poll(shard)?;
            }
        }
        Ok(())
    }
}
