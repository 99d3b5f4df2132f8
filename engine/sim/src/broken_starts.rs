//! Starts that are broken off while they carry out again what an earlier run had decided, after numbers of messages
//! have been given anew.
//!
//! Transient messages are the last ones of a queue. A transaction settles some of them and puts others there, and the
//! power goes when it is decided and not yet carried out. So the next start gives what it puts the numbers of those
//! that were to be settled: neither it nor a later one may take the one for the other, however often the power goes
//! before all is done.

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::{Command, Outcome};
use haremq_engine::transaction::Transaction;

use crate::body::BODY_BYTES_MIN;
use crate::mail::{Mail, Received};
use crate::simulation::Simulation;
use crate::violation::Verdict;

/// More would have to be taken before the last ones are.
const WAITING_MAX: usize = 10;
const TRANSIENT_MAX: usize = 3;
/// Rounds in which a message comes to who asks for it.
const ROUNDS_OF_GET: usize = 3;
/// Rounds after which a start has put what it puts again, as a rule.
const ROUNDS_OF_START: usize = 12;

impl Simulation {
    /// Right after a start of a broker with several shards, while nobody consumes.
    pub fn stumble_over_a_start(&mut self) -> Verdict {
        let owner = self.random.below(self.world.count());
        let home = (owner + 1) % self.world.count();
        if !self.wait_to_be_open(|_| true)? {
            return Ok(());
        }
        let Some(queue) = self.any_durable_queue(owner) else { return Ok(()) };
        let waiting = self.shadow.queues.get(&queue).map_or(0, |queue| queue.copies().len());
        let to = vec![(ShardId(owner as u16), vec![queue])];
        for _ in 0..1 + self.random.below(TRANSIENT_MAX) {
            if waiting > WAITING_MAX || !self.world.has_room(owner, owner) {
                return Ok(());
            }
            self.publish_to(owner, to.clone(), BODY_BYTES_MIN, false)?;
        }
        while self.take_from(home, queue)? {}
        if !self.is_open() {
            return Ok(());
        }
        self.take_last_and_put(home, queue)?;
        // What is decided is durable, and the others have not been told of it.
        for _ in 0..1 + self.random.below(3) {
            self.poll(home)?;
            while self.world.down.is_none() && self.complete(home, 0)? {}
        }
        while self.world.down.is_none() {
            self.crash()?;
            if self.random.one_in(3) {
                break;
            }
            for _ in 0..self.random.below(ROUNDS_OF_START) {
                self.hurry_but_for_writes_of(home)?;
            }
        }
        Ok(())
    }

    /// A client of `home` gets a message and holds it. False: none has come.
    fn take_from(&mut self, home: usize, queue: QueueId) -> Verdict<bool> {
        let before = self.clients.held.len();
        let owner = self.owner_of(queue)?;
        let channel = self.clients.channel_about(home, queue);
        let command = Command::Get { queue, channel, no_ack: false };
        self.send(home, usize::from(owner.0), Mail::Command(command))?;
        for _ in 0..ROUNDS_OF_GET {
            self.hurry(|_| true)?;
        }
        self.open_windows()?;
        Ok(self.clients.held.len() > before && self.world.down.is_none())
    }

    /// The last messages of a queue that a client of `home` holds are settled, and others put there.
    fn take_last_and_put(&mut self, home: usize, queue: QueueId) -> Verdict {
        let is_its = |one: &Received| one.queue == queue && usize::from(one.home().0) == home;
        let (mut mine, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.clients.held).into_iter().partition(is_its);
        self.clients.held = others;
        mine.sort_unstable_by_key(|one| one.seq);
        let (mut puts, mut takes) = (Vec::new(), Vec::new());
        let mut transaction = Transaction::new();
        for _ in 0..1 + self.random.below(TRANSIENT_MAX) {
            let Some(last) = mine.pop() else { break };
            takes.push(self.settle_in(&last, Outcome::Ack, &mut transaction)?);
        }
        self.clients.held.extend(mine);
        for _ in 0..1 + self.random.below(TRANSIENT_MAX) {
            self.put_to(home, &[queue], BODY_BYTES_MIN, &mut transaction, &mut puts)?;
        }
        self.ask_to_commit(home, transaction, puts, takes)
    }

    /// Everything goes on by a step, but that shard's disk does nothing but read.
    fn hurry_but_for_writes_of(&mut self, lazy: usize) -> Verdict {
        let mut which = 0;
        while self.world.down.is_none() && which < self.world.disks[lazy].under_way() {
            match self.world.disks[lazy].is_read(which) {
                true => drop(self.complete(lazy, which)?),
                false => which += 1,
            }
        }
        self.hurry(|shard| shard != lazy)
    }
}
