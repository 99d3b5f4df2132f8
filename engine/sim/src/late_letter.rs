//! A dead letter whose octets come late. While it waits to be read, what lay beside it is copied, the
//! copies are settled, and the segment that had them is given back; the old segment cannot be. Nothing
//! of what was settled may come back with it.

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::{Command, Outcome};

use crate::mail::Received;
use crate::simulation::Simulation;
use crate::violation::Verdict;

/// Rounds of traffic after which no copying has come about.
const ROUNDS_MAX: usize = 30;
/// Messages in a round: about a segment.
const MESSAGES: usize = 6;
/// Rounds after which what was written before has left the cache, or its segment.
const ROUNDS_TO_FORGET: usize = 3;

/// The first operation of the disk that is done: what is read for the letter is the first one that is
/// under way, and is not.
const ALL: usize = 0;
const ALL_BUT_FIRST: usize = 1;

impl Simulation {
    /// Right after a start of a broker with one shard, while nobody consumes.
    pub fn wait_for_a_letter(&mut self) -> Verdict {
        if !self.is_open() || self.world.limits.has_long_queues() {
            return Ok(());
        }
        self.let_in()?;
        let mortal = self.shadow.estates.first().map(|estate| estate.queues[0]);
        let Some((mortal, queue)) = mortal.zip(self.any_durable_queue(0)) else { return Ok(()) };
        for of in [mortal, queue] {
            while self.take(of, ALL)? {}
        }
        // They lie in one segment, as a rule.
        let Some(letter) = self.pass_one(mortal, 100, ALL)? else { return Ok(()) };
        let Some(beside) = self.pass_one(queue, 100, ALL)? else { return Ok(()) };
        for _ in 0..ROUNDS_TO_FORGET {
            self.pass_traffic(queue, 0, ALL)?;
        }
        while self.complete(0, 0)? {}
        self.trace.say(|| "a letter is to come late".into());
        self.settle(&letter, Outcome::Reject)?;
        self.dispatch(0)?;
        self.poll(0)?;
        while !self.world.disks[0].is_read(0) {
            if self.world.down.is_some() || !self.complete(0, 0)? {
                // It was in memory still.
                return Ok(());
            }
        }
        let copied = |simulation: &Simulation| simulation.world.shards[0].log_space().copied_octets;
        let before = copied(self);
        let mut rounds = 0;
        while copied(self) == before && rounds < ROUNDS_MAX {
            self.pass_traffic(queue, 1, ALL_BUT_FIRST)?;
            rounds += 1;
        }
        let is_copied = copied(self) > before;
        self.trace.say(|| format!("copied: {is_copied}"));
        self.settle(&beside, Outcome::Ack)?;
        for held in std::mem::take(&mut self.clients.held) {
            self.settle(&held, Outcome::Ack)?;
        }
        for _ in 0..ROUNDS_TO_FORGET {
            self.pass_traffic(queue, 0, ALL_BUT_FIRST)?;
        }
        match self.world.down {
            None => self.crash(),
            Some(_) => Ok(()),
        }
    }

    /// About a segment of messages comes, all but so many of which are settled at once. `from`: the first
    /// operation of the disk that is done.
    fn pass_traffic(&mut self, queue: QueueId, kept: usize, from: usize) -> Verdict {
        for number in 0..MESSAGES {
            let size = self.world.limits.segment_bytes as usize / 6;
            let Some(received) = self.pass_one(queue, size, from)? else { return Ok(()) };
            match number < kept {
                true => self.clients.held.push(received),
                false => self.settle(&received, Outcome::Ack)?,
            }
        }
        Ok(())
    }

    /// A message comes and is taken. `None`: it is not.
    fn pass_one(&mut self, queue: QueueId, size: usize, from: usize) -> Verdict<Option<Received>> {
        self.complete_from(from)?;
        if self.world.down.is_some() || !self.world.has_room(0, 0) {
            return Ok(None);
        }
        self.publish_to(0, vec![(ShardId(0), vec![queue])], size, true)?;
        self.complete_from(from)?;
        Ok(match self.take(queue, from)? {
            true => self.clients.held.pop(),
            false => None,
        })
    }

    /// A client gets a message and holds it. False: there is none, or it has to be read first.
    fn take(&mut self, queue: QueueId, from: usize) -> Verdict<bool> {
        let before = self.clients.held.len();
        self.ask_owner(queue, |channel| Command::Get { queue, channel, no_ack: false })?;
        for _ in 0..4 {
            self.dispatch(0)?;
            self.complete_from(from)?;
        }
        self.open_windows()?;
        Ok(self.clients.held.len() > before && self.world.down.is_none())
    }

    /// What is under way is done, but for the operations before that one.
    fn complete_from(&mut self, from: usize) -> Verdict {
        loop {
            self.poll(0)?;
            if self.world.down.is_some() || !self.complete(0, from)? {
                return Ok(());
            }
        }
    }
}
