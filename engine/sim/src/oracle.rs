//! The judgement at the end: the power goes or the broker stops, all comes back, everything is
//! taken out, and what was taken is compared with what was promised.

use haremq_engine::ids::QueueId;
use haremq_engine::mail::Outcome;
use haremq_engine::shard::QueueStats;

use crate::simulation::Simulation;
use crate::violation::{require, Kind, Verdict};

/// What the definitions of a schedule take in the log, at most.
const DEFINITIONS_OCTETS_MAX: u64 = 16_384;

impl Simulation {
    /// Everything that is due is there, once, in order; and then nothing is left.
    pub fn judge(&mut self, crash: bool) -> Verdict {
        self.world.set_full(false);
        if crash || !self.stop()? {
            self.world.disks.iter_mut().for_each(|disk| disk.heal());
            self.crash()?;
        } else {
            self.crash()?;
        }
        self.drain()?;
        self.shadow.note_missing(self.world.clock.now().unix_ms)?;
        self.check_drained()?;
        self.upload_in_vain()?;
        if self.stop()? {
            // What the process alone holds would be gone with it.
            self.check_nothing_held()?;
            self.crash()?;
            self.check_empty()?;
        }
        Ok(())
    }

    /// Takes everything that there is, for good.
    pub fn drain(&mut self) -> Verdict {
        // Nobody is let in before what had been decided is carried out.
        self.settle_down()?;
        self.let_in()?;
        for received in std::mem::take(&mut self.clients.held) {
            self.settle(&received, Outcome::Requeue)?;
        }
        let queues: Vec<QueueId> = self.shadow.queues.keys().copied().collect();
        // Against the stream, so that nothing is met twice: from the last heir to the first.
        let estates = self.shadow.estates.iter();
        let mortal: Vec<QueueId> =
            estates.flat_map(|estate| estate.queues.iter().rev().copied()).collect();
        for queue in queues.into_iter().chain(mortal) {
            self.consume(0, queue, 0, true)?;
        }
        self.empty_windows()?;
        Ok(())
    }

    /// Goes on until nothing moves, with sockets that take everything.
    fn empty_windows(&mut self) -> Verdict {
        loop {
            self.settle_down()?;
            if self.clients.unsent.is_empty() {
                return Ok(());
            }
            self.open_windows()?;
        }
    }

    fn check_drained(&self) -> Verdict {
        let now = self.world.clock.now().unix_ms;
        for queue in self.shadow.queues.values() {
            let counts = queue.counts(now);
            require(counts.certain == 0, Kind::Lost, || {
                let left = queue.copies().iter().filter(|copy| copy.doubt.is_none());
                format!("{} keeps {:?}", queue.spec.name, left.collect::<Vec<_>>())
            })?;
            require(counts.unacked == 0, Kind::Stuck, || {
                format!("{} has {} unacked messages", queue.spec.name, counts.unacked)
            })?;
        }
        for estate in &self.shadow.estates {
            estate.check_drained()?;
        }
        for shard in &self.world.shards {
            let held = |queue: &QueueStats| queue.messages_ready + queue.messages_unacknowledged;
            let (paged, stats) = (shard.index_paged(), shard.all_queue_stats());
            let is_empty = stats.iter().all(|queue| held(queue) == 0);
            require(!is_empty || paged.store_bytes == 0, Kind::Space, || {
                format!("pages are kept of empty queues: {paged:?}")
            })?;
        }
        Ok(())
    }

    /// Nothing comes back of what has been taken, and what it took is free.
    fn check_empty(&self) -> Verdict {
        for shard in &self.world.shards {
            for stats in shard.all_queue_stats() {
                let left = stats.messages_ready + stats.messages_unacknowledged;
                require(left == 0, Kind::Zombie, || {
                    format!("{left} messages of {:?} are back", stats.id)
                })?;
            }
            let bytes = shard.memory_bytes();
            require(bytes == 0, Kind::Space, || format!("{bytes} octets of memory for nothing"))?;
        }
        self.check_nothing_held()
    }

    /// All messages have been taken and all bodies read, and nobody is publishing: nothing else keeps
    /// segments.
    fn check_nothing_held(&self) -> Verdict {
        for shard in &self.world.shards {
            let live = shard.log_space().live_octets;
            require(live <= DEFINITIONS_OCTETS_MAX, Kind::Space, || {
                format!("{live} octets of the log are wanted, and only definitions are there")
            })?;
        }
        Ok(())
    }
}
