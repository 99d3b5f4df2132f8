//! One schedule: a seed from the first start to the judgement.

use std::panic::{catch_unwind, AssertUnwindSafe};

use haremq_engine::ids::QueueId;

use crate::disk::Scope;
use crate::invariants;
use crate::simulation::{Conditions, Simulation};
use crate::tally::Tally;
use crate::violation::{Kind, Verdict, Violation};
use crate::workload::Mixture;

/// How long a schedule is, and what happens in it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub steps: usize,
    /// Steps between two crashes, about; 0: none but the one at the end.
    pub crash_every: usize,
    /// Octets rot now and then.
    pub damages: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Plan { steps: 1_500, crash_every: 250, damages: true }
    }
}

/// What a schedule came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub tally: Tally,
    /// An operation was made to fail.
    pub has_failed: bool,
    /// Of what happened: the same for each run of a seed.
    pub digest: u64,
}

/// Runs a seed. A panic of the engine is a broken promise like others.
pub fn run(seed: u64, plan: Plan, conditions: Conditions) -> Result<Outcome, Violation> {
    let caught = catch_unwind(AssertUnwindSafe(|| play(seed, plan, conditions)));
    caught.unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let text = text.unwrap_or_else(|| "a panic without words".into());
        Err(Violation { kind: Kind::Panic, text })
    })
}

fn play(seed: u64, plan: Plan, conditions: Conditions) -> Verdict<Outcome> {
    let mut simulation = Simulation::new(seed, conditions)?;
    let mixture = Mixture::draw(&simulation.world.limits, &mut simulation.random);
    simulation.trace.say(|| format!("{mixture:?}"));
    let booted = simulation.world.boot(&mut simulation.random);
    if booted.is_err() && conditions.failure.is_some() {
        // The very first operations may be the ones that fail.
        simulation.world.disks.iter_mut().for_each(|disk| disk.heal());
        simulation.crash()?;
    } else {
        simulation.come_back(booted)?;
    }
    if conditions.failure.is_none() {
        simulation.settle_down()?;
        simulation.found_estates()?;
    }
    for _ in 0..plan.steps {
        if simulation.world.down.is_some() {
            simulation.after_failure()?;
        }
        simulation.act(&mixture)?;
        invariants::check(&simulation)?;
        let shards = &simulation.world.shards;
        let is_packed = shards.iter().any(|shard| shard.index_packed_bytes() > 0);
        simulation.tally.packed += u64::from(is_packed);
        let is_paged = shards.iter().any(|shard| shard.index_paged().pages > 0);
        simulation.tally.paged += u64::from(is_paged);
        if plan.crash_every > 0 && simulation.random.one_in(plan.crash_every) {
            simulation.interrupt(plan, &mixture)?;
        }
    }
    let crash = simulation.random.one_in(2);
    simulation.judge(crash)?;
    let has_failed = simulation.world.disks.iter().any(|disk| disk.has_struck());
    Ok(Outcome { tally: simulation.tally(), has_failed, digest: simulation.trace.digest() })
}

impl Simulation {
    /// A crash, several in a row, or a clean stop; and rot, perhaps.
    fn interrupt(&mut self, plan: Plan, mixture: &Mixture) -> Verdict {
        if self.random.one_in(5) && self.stop()? {
            return self.start_again(plan, Scope::All);
        }
        self.start_again(plan, Scope::Sealed)?;
        if self.random.one_in(3) {
            self.stumble(mixture)?;
        }
        while self.random.one_in(3) {
            // The power goes again before much has been done, or just when clients are back.
            if self.random.one_in(3) {
                self.settle_down()?;
                for _ in 0..self.random.below(30) {
                    if self.world.down.is_some() {
                        break;
                    }
                    self.act(mixture)?;
                    invariants::check(self)?;
                }
            }
            for _ in 0..self.random.below(12) {
                let shard = self.random.below(self.world.count());
                self.poll(shard)?;
                if self.random.one_in(2) {
                    self.complete(shard, 0)?;
                }
            }
            self.start_again(plan, Scope::Sealed)?;
        }
        Ok(())
    }

    fn start_again(&mut self, plan: Plan, scope: Scope) -> Verdict {
        if !plan.damages || !self.random.one_in(4) {
            return self.crash();
        }
        self.tally.crashes += 1;
        self.shadow.note_expiries(self.world.clock.now().unix_ms);
        self.world.cut(&mut self.random);
        let which = self.random.below(self.world.count());
        let Some(damage) = self.world.disks[which].rot(scope, &mut self.random) else {
            let booted = self.world.boot(&mut self.random);
            return self.come_back(booted);
        };
        self.trace.say(|| format!("{damage} of shard {which}"));
        self.tally.damages += 1;
        let booted = self.world.boot(&mut self.random);
        if booted.is_ok() {
            // Not found, or not yet: whatever is given out must be right all the same.
            self.come_back(booted)?;
            self.read_some_back()?;
            if self.world.down.is_some() {
                self.tally.damages_found += 1;
            }
        } else {
            self.tally.damages_found += 1;
            self.trace.say(|| format!("found: {booted:?}"));
        }
        // Restored from a backup.
        self.shadow.note_expiries(self.world.clock.now().unix_ms);
        self.world.cut(&mut self.random);
        self.world.disks[which].restore();
        let booted = self.world.boot(&mut self.random);
        self.come_back(booted)
    }

    /// Clients take what there is, for a while or until the process ends.
    fn read_some_back(&mut self) -> Verdict {
        let is_thorough = self.random.one_in(2);
        for round in 0..20 {
            if is_thorough && round % 4 == 0 && self.is_open() {
                self.let_in()?;
                self.consume_all()?;
            }
            for shard in 0..self.world.count() {
                if self.world.down.is_some() {
                    return Ok(());
                }
                self.dispatch(shard)?;
                self.poll(shard)?;
                self.complete(shard, 0)?;
                let to = self.random.below(self.world.count());
                self.carry(shard, to)?;
            }
        }
        Ok(())
    }

    /// A further consumer of each queue.
    fn consume_all(&mut self) -> Verdict {
        self.open_windows()?;
        let estates = self.shadow.estates.iter().flat_map(|estate| estate.queues.iter());
        let open = self.shadow.queues.iter().filter(|(_, queue)| !queue.closing);
        let queues: Vec<QueueId> = estates.chain(open.map(|(id, _)| id)).copied().collect();
        for queue in queues {
            let shard = self.random.below(self.world.count());
            self.consume(shard, queue, 0, false)?;
        }
        Ok(())
    }

    /// The process has said why it ends. It gives out what it had decided before, and no more.
    fn after_failure(&mut self) -> Verdict {
        for shard in 0..self.world.count() {
            self.poll(shard)?;
        }
        self.world.disks.iter_mut().for_each(|disk| disk.heal());
        self.crash()
    }
}
