//! Starts that come to nothing: the power goes before what a start has written is durable, and goes
//! again when the next one has done little more. What a run has left on the disk that no later start
//! has seen, and marks of transactions that were not dropped for good, must not count then.

use haremq_engine::ids::QueueId;

use crate::simulation::Simulation;
use crate::violation::Verdict;
use crate::workload::Mixture;

/// Rounds after which something that does not come about is given up.
const PATIENCE: usize = 60;
/// A few of these fill a buffer.
const MESSAGE_BYTES: usize = 6_000;
const MESSAGES_MAX: usize = 14;

impl Simulation {
    /// Right after a start. `mixture`: what transactions are like.
    pub fn stumble(&mut self, mixture: &Mixture) -> Verdict {
        match self.world.count() {
            1 => self.stumble_over_blocks(),
            _ => self.stumble_over_marks(mixture),
        }
    }

    /// Two writes at once, of which the first may be lost; then one of the same size in its place, and
    /// the power goes again.
    fn stumble_over_blocks(&mut self) -> Verdict {
        for writes in [2, 1] {
            if !self.serves() || self.world.down.is_some() {
                return Ok(());
            }
            self.let_in()?;
            let Some(queue) = self.any_durable_queue() else { return Ok(()) };
            let owner = self.owner_of(queue)?;
            // The first message is written at once, and others when they fill a buffer.
            for _ in 0..MESSAGES_MAX {
                self.publish_to(0, vec![(owner, vec![queue])], MESSAGE_BYTES, true)?;
                self.poll(0)?;
                if self.world.disks[0].under_way() >= writes {
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

    fn any_durable_queue(&mut self) -> Option<QueueId> {
        let queues = self.shadow.queues.iter();
        let durable: Vec<QueueId> = queues
            .filter(|(_, queue)| queue.spec.durable && !queue.closing)
            .map(|(id, _)| *id)
            .collect();
        (!durable.is_empty()).then(|| self.random.pick(&durable))
    }

    /// A run's first transaction, whose marks may outlive it; then a run whose first one has the same
    /// number, while one shard's disk does nothing.
    fn stumble_over_marks(&mut self, mixture: &Mixture) -> Verdict {
        let lazy = self.random.below(self.world.count());
        for does_all in [true, false] {
            for _ in 0..PATIENCE {
                if self.serves() || self.world.down.is_some() {
                    break;
                }
                self.hurry(|shard| does_all || shard != lazy)?;
            }
            if !self.serves() || self.world.down.is_some() {
                return Ok(());
            }
            self.let_in()?;
            self.commit(mixture)?;
            let rounds = self.random.below(12);
            for _ in 0..rounds {
                if self.world.down.is_some() {
                    return Ok(());
                }
                self.hurry(|shard| does_all || shard != lazy)?;
            }
            if self.world.down.is_none() {
                self.crash()?;
            }
        }
        Ok(())
    }

    /// Everything goes on by a step, but for the disks of those that are not to work.
    fn hurry(&mut self, works: impl Fn(usize) -> bool) -> Verdict {
        let count = self.world.count();
        for shard in 0..count {
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
