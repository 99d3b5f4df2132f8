//! The shards, their disks and rings, and time: mechanics without a judgement.
//!
//! Nothing happens by itself: each operation is completed, each piece of mail carried and each
//! dispatch made when the schedule says so, and the power goes when it likes. Mail that arrives is
//! given to the caller, who hands it in, so that the shadow sees it first.

use std::sync::Arc;

use haremq_engine::ids::ShardId;
use haremq_engine::log::LogError;
use haremq_engine::mail::{BodyPiece, Delivery, LongDelivery, Notice};
use haremq_engine::shard::{Effect, Outlet, Shard, ShardBoot};
use haremq_engine::topology::{Change, DefinitionError};

use crate::clock::Clock;
use crate::disk::{Disk, Failure, FailureKind, Lie, Vectors};
use crate::limits::Limits;
use crate::mail::{Mail, Received};
use crate::pages::Pages;
use crate::random::Random;
use crate::readings::{self, Piece};
use crate::rings::Rings;

/// Why the broker does not start.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BootError {
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    Definition(#[from] DefinitionError),
    #[error("reading failed: {0}")]
    Read(String),
}

struct Inbox {
    from: ShardId,
    received: Vec<Received>,
    pieces: Vec<Piece>,
}

impl Outlet for Inbox {
    fn deliver(&mut self, delivery: Delivery<'_>) {
        self.received.push(Received::of(self.from, &delivery));
    }
    fn begin(&mut self, long: LongDelivery<'_>) {
        self.received.push(readings::received(self.from, &long));
    }
    fn piece(&mut self, piece: BodyPiece<'_>) {
        self.pieces.push(Piece::of(self.from, &piece));
    }
}

pub struct World {
    pub limits: Limits,
    pub shards: Vec<Shard<Vectors>>,
    pub disks: Vec<Disk>,
    pub rings: Rings,
    pub clock: Clock,
    /// The process has ended with this.
    pub down: Option<(usize, LogError)>,
    /// Recoveries that were broken off and begun again.
    pub interrupted_boots: u64,
}

impl World {
    /// Empty disks, and no shard until [`World::boot`].
    pub fn new(limits: Limits, lie: Lie, failure: Option<Failure>) -> Self {
        let count = usize::from(limits.shards);
        World {
            shards: Vec::new(),
            // One disk's failure is enough.
            disks: (0..count).map(|n| Disk::new(lie, failure.filter(|_| n == 0))).collect(),
            rings: Rings::new(count, limits.ring_capacity),
            clock: Clock::new(),
            down: None,
            interrupted_boots: 0,
            limits,
        }
    }

    pub fn count(&self) -> usize {
        self.disks.len()
    }

    /// Starts all shards from what is on their disks. Now and then the power goes again while
    /// they read.
    pub fn boot(&mut self, random: &mut Random) -> Result<(), BootError> {
        self.shards.clear();
        self.rings.clear();
        self.down = None;
        while random.one_in(6) {
            self.interrupted_boots += 1;
            let mut reads_left = random.below(12);
            self.read_logs(&mut |_| {
                reads_left = reads_left.saturating_sub(1);
                reads_left > 0
            })?;
            self.clock.restart(random);
        }
        let Some(mut boots) = self.read_logs(&mut |_| true)? else { return Ok(()) };
        let definitions: Arc<[Change]> = boots[0].definitions()?;
        let now = self.clock.now();
        for boot in boots {
            self.shards.push(boot.finish(now, &definitions)?);
        }
        Ok(())
    }

    /// Reads all logs, or until `goes_on` says no.
    fn read_logs(
        &mut self,
        goes_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Vec<ShardBoot<Vectors>>>, BootError> {
        let mut boots = Vec::new();
        for (index, disk) in self.disks.iter_mut().enumerate() {
            let config = self.limits.shard_config(ShardId(index as u16));
            let mut boot = ShardBoot::new(config, Vectors, disk.listing());
            let pages = Pages::new(self.limits.refuses_every);
            boot.keep_indexes(self.limits.packing, Box::new(pages));
            while let Some(read) = boot.next_read() {
                if !goes_on(index) {
                    return Ok(None);
                }
                let octets = disk.read(read).map_err(|failure| BootError::Read(failure.text))?;
                boot.supply(octets)?;
            }
            boots.push(boot);
        }
        Ok(Some(boots))
    }

    /// The power goes. [`World::boot`] brings it back.
    pub fn cut(&mut self, random: &mut Random) {
        for disk in &mut self.disks {
            disk.cut(random);
        }
        self.shards.clear();
        self.rings.clear();
        self.clock.restart(random);
    }

    /// Takes what a shard wants done; the notices it gives, in order.
    pub fn poll(&mut self, shard: usize) -> Vec<Notice> {
        let now = self.clock.now();
        let mut notices = Vec::new();
        while let Some(effect) = self.shards[shard].poll_effect(now) {
            match effect {
                Effect::Log(effect) => {
                    let has_failed = self.down.as_ref().is_some_and(|(which, _)| *which == shard);
                    assert!(!has_failed, "a log goes on after a failure: {effect:?}");
                    self.disks[shard].submit(effect);
                }
                Effect::Notice(notice) => notices.push(notice),
                Effect::Peer { to, mail } => {
                    self.rings.push(shard, usize::from(to.0), Mail::Peer(mail));
                }
                Effect::Answer { .. }
                | Effect::Missing(_)
                | Effect::GivenUp { .. }
                | Effect::Review => {}
            }
        }
        notices
    }

    /// Completes one operation of a shard's disk. False: it has none of that number.
    pub fn complete(&mut self, shard: usize, which: usize, random: &mut Random) -> bool {
        let Some(completion) = self.disks[shard].complete(which, random) else { return false };
        let now = self.clock.now();
        if let Err(error) = self.shards[shard].complete(now, completion) {
            self.down.get_or_insert((shard, error));
        }
        true
    }

    pub fn dispatch(&mut self, shard: usize) -> (bool, Vec<Received>, Vec<Piece>) {
        let from = ShardId(shard as u16);
        let mut inbox = Inbox { from, received: Vec::new(), pieces: Vec::new() };
        let more = self.shards[shard].dispatch(self.clock.now(), &mut inbox);
        (more, inbox.received, inbox.pieces)
    }

    /// Time passes, and shards whose time has come are ticked.
    pub fn pass_us(&mut self, us: u64) {
        self.clock.pass_us(us);
        self.tick();
    }

    pub fn tick(&mut self) {
        let now = self.clock.now();
        for shard in &mut self.shards {
            if shard.deadline_us().is_some_and(|due| due <= now.monotonic_us) {
                shard.tick(now);
            }
        }
    }

    /// True if a publisher on `from` may send to these owners now.
    pub fn has_room(&self, from: usize, owner: usize) -> bool {
        self.shards[owner].has_room() && (from == owner || !self.rings.is_full(from, owner))
    }

    /// The disk of shard 0 has no room for another file.
    pub fn is_full(&self) -> bool {
        self.disks[0].is_full()
    }

    /// The disk of shard 0 fills up for a while, or has got space again.
    pub fn set_full(&mut self, full: bool) {
        let disk = &mut self.disks[0];
        match full {
            true => {
                let at = disk.operations() + 1;
                let kind = FailureKind::Full;
                disk.set_failure(Failure { at, kind, persistent: true });
            }
            false => disk.heal(),
        }
    }
}
