//! One run: world, shadow and clients together, and how what happens goes from one to the others.

use haremq_engine::ids::{ChannelKey, QueueId, ShardId};
use haremq_engine::mail::{Command, DeliveryTo, Notice, Outcome, PeerMail};
use haremq_engine::shard::Shard;
use haremq_engine::topology::TopologyOutcome;

use crate::body::number_of;
use crate::clients::{Asked, Clients};
use crate::disk::{Failure, Lie, Vectors};
use crate::invariants;
use crate::limits::Limits;
use crate::mail::{settled_by, short, Letter, Mail, Received};
use crate::random::Random;
use crate::readings::Readings;
use crate::shadow::{CommitId, Shadow};
use crate::tally::Tally;
use crate::trace::Trace;
use crate::uploads::Uploads;
use crate::violation::{broken, require, Kind, Verdict};
use crate::world::{BootError, World};

/// What the world is like, beside what the seed draws.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    /// 0: as the seed has it.
    pub shards: u16,
    pub lie: Lie,
    pub failure: Option<Failure>,
    pub is_verbose: bool,
}

pub struct Simulation {
    pub world: World,
    pub shadow: Shadow,
    pub clients: Clients,
    pub random: Random,
    pub trace: Trace,
    pub tally: Tally,
    pub uploads: Uploads,
    pub readings: Readings,
}

impl Simulation {
    /// A broker on empty disks, started.
    pub fn new(seed: u64, conditions: Conditions) -> Verdict<Self> {
        let mut random = Random::new(seed);
        let drawn = random.pick(&[1, 1, 1, 2, 3]);
        let shards = if conditions.shards == 0 { drawn } else { conditions.shards };
        let limits = Limits::draw(shards, &mut random);
        let count = usize::from(shards);
        let mut simulation = Simulation {
            world: World::new(limits, conditions.lie, conditions.failure),
            shadow: Shadow::default(),
            clients: Clients::new(count),
            random,
            trace: Trace::new(conditions.is_verbose),
            tally: Tally::default(),
            uploads: Uploads::new(seed),
            readings: Readings::new(seed),
        };
        let limits = simulation.world.limits.clone();
        simulation.trace.say(|| format!("{limits:?}"));
        Ok(simulation)
    }

    /// Something is handed to a shard. The shadow hears of it first.
    pub fn hand_in(&mut self, to: usize, mail: Mail) -> Verdict {
        let now = self.world.clock.now();
        match mail {
            Mail::Publish(letter) => {
                let (number, octets) = (letter.number, letter.body.len());
                self.trace.say(|| {
                    let Letter { queues, confirm, persistent, .. } = &letter;
                    format!("s{to} publish {number} ({octets}) to {queues:?} persistent {persistent} confirm {:?}", confirm.map(|c| c.1))
                });
                self.trace.note(number);
                self.shadow.published(ShardId(to as u16), &letter, now.unix_ms);
                self.world.shards[to].publish(now, &letter.publish());
            }
            Mail::BodyPart(part) => {
                self.trace.note(part.octets.len() as u64);
                self.trace.say(|| format!("s{to} {:?} adds {}", part.channel, part.octets.len()));
                self.world.shards[to].add_body(now, &part.body_part());
            }
            Mail::PublishBody { channel, sent, letter } => {
                self.trace.note(letter.number);
                self.trace.say(|| format!("s{to} {channel:?} ends {}", letter.number));
                self.shadow.published(ShardId(to as u16), &letter, now.unix_ms);
                let mut publish = letter.publish();
                publish.message.body = &letter.body[sent..];
                self.world.shards[to].publish_body(now, channel, &publish);
            }
            Mail::Command(command) => {
                self.trace.say(|| format!("s{to} {command:?}"));
                if let Command::Purge { queue, .. } | Command::Delete { queue, .. } = command {
                    // So that the shadow knows when it is carried out: now.
                    let mut turns = 0;
                    while self.world.shards[to].owes_deliveries(queue) {
                        turns += 1;
                        require(turns < 20_000, Kind::Stuck, || {
                            format!("{queue:?} has turns for ever, and nothing comes of them")
                        })?;
                        self.dispatch(to)?;
                    }
                }
                match command {
                    Command::Purge { queue, .. } => self.shadow.purged(queue),
                    Command::Delete { queue, .. } => self.shadow.closing(queue),
                    Command::Commit { channel, .. } => self.clients.undecided.push((to, channel)),
                    _ => {}
                }
                self.world.shards[to].command(now, command);
                self.note_decisions(to)?;
            }
            Mail::Settle { numbers, command } => {
                self.trace.say(|| format!("s{to} {command:?} of {numbers:?}"));
                if let Some((queue, outcome)) = settled_by(&command) {
                    numbers.iter().for_each(|number| self.shadow.settled(queue, *number, outcome));
                }
                self.world.shards[to].command(now, command);
            }
            Mail::Peer(mail) => {
                self.trace.say(|| format!("s{to} {}", short(&mail)));
                if let PeerMail::CarryOut { transaction, again, .. } = &mail {
                    let shard = ShardId(to as u16);
                    self.shadow.part_asked(shard, transaction, *again, now.unix_ms)?;
                }
                self.tally.shipped += u64::from(matches!(mail, PeerMail::Body { .. }));
                self.world.shards[to].peer(now, mail);
                self.note_decisions(to)?;
            }
            Mail::Notice(notice) => self.read_notice(to, notice)?,
            Mail::Delivery(received) => self.read_delivery(to, received),
            Mail::Piece(piece) => self.read_piece(&piece)?,
        }
        Ok(())
    }

    /// From one shard's thread to another's, or to itself.
    pub fn send(&mut self, from: usize, to: usize, mail: Mail) -> Verdict {
        if from == to {
            return self.hand_in(to, mail);
        }
        self.world.rings.push(from, to, mail);
        Ok(())
    }

    /// A settle of a delivery, from its connection. It is known by its message, so that the
    /// shadow hears of it when it is handed in.
    pub fn settle(&mut self, received: &Received, outcome: Outcome) -> Verdict {
        let Received { queue, seq, from, .. } = *received;
        let command = Command::Settle { queue, seq, consumer: received.consumer(), outcome };
        let numbers = vec![number_of(&received.body)?];
        let home = usize::from(received.home().0);
        self.send(home, usize::from(from.0), Mail::Settle { numbers, command })
    }

    pub fn poll(&mut self, shard: usize) -> Verdict<bool> {
        let notices = self.world.poll(shard);
        let any = !notices.is_empty();
        for notice in notices {
            self.hear(shard, &notice)?;
            let home = usize::from(notice.channel().connection.shard().0);
            self.send(shard, home, Mail::Notice(notice))?;
        }
        Ok(any)
    }

    /// A shard says something: from here on it is bound by it.
    fn hear(&mut self, shard: usize, notice: &Notice) -> Verdict {
        let from = ShardId(shard as u16);
        self.trace.say(|| format!("s{shard} says {notice:?}"));
        match notice {
            Notice::Confirmed { channel, first, last, accepted } => {
                for confirm in *first..=*last {
                    self.trace.note(confirm);
                    self.shadow.answered(from, *channel, confirm, *accepted)?;
                }
            }
            Notice::Committed { channel, refused } => {
                self.shadow.committed(CommitId(channel.incarnation), *refused)?;
            }
            Notice::Topology { channel, result } if self.is_admin(*channel) => {
                let home = usize::from(channel.connection.shard().0);
                let Some(asked) = self.clients.asked[home].pop_front() else {
                    return broken(Kind::Definition, format!("{notice:?} answers nothing"));
                };
                match (asked, result) {
                    (Asked::Queue(spec), Ok(TopologyOutcome::Queue { id, created: true })) => {
                        let owner = self.owner_of(*id)?;
                        self.shadow.add_queue(*id, owner, spec)?;
                    }
                    (Asked::Queue(spec), _) => {
                        return broken(Kind::Definition, format!("{spec:?}: {result:?}"));
                    }
                    (Asked::Entity { entity, puts }, Ok(_)) => {
                        self.shadow.definitions.answered(&entity, puts);
                    }
                    // What it needs or is about is gone: it is not there.
                    (Asked::Entity { entity, .. }, Err(_)) => {
                        self.shadow.definitions.answered(&entity, false);
                    }
                }
            }
            Notice::Deleted { channel, .. } => {
                let queue = self.shadow.queues.keys().find(|id| id.0 as u32 == channel.incarnation);
                let Some(queue) = queue.copied() else {
                    return broken(Kind::Definition, format!("{notice:?} is about no queue"));
                };
                self.shadow.deleted(queue);
                self.clients.consumers.retain(|_, consumer| consumer.queue != queue);
            }
            _ => {}
        }
        Ok(())
    }

    fn is_admin(&self, channel: ChannelKey) -> bool {
        self.clients.admin(usize::from(channel.connection.shard().0)) == channel
    }

    pub fn owner_of(&self, id: QueueId) -> Verdict<ShardId> {
        match self.world.shards[0].topology().queue_by_id(id) {
            Some(queue) => Ok(queue.owner),
            None => broken(Kind::Definition, format!("{id:?} was declared and is not there")),
        }
    }

    /// A client gets a notice.
    fn read_notice(&mut self, _at: usize, notice: Notice) -> Verdict {
        if let Notice::ConsumerGone { consumer, .. } = notice {
            self.clients.consumers.remove(&consumer.serial);
        }
        Ok(())
    }

    /// A client gets a delivery.
    fn read_delivery(&mut self, _at: usize, received: Received) {
        let connection = received.connection();
        self.begin_reading(&received);
        if received.window_bytes > 0 && self.clients.is_open(connection) {
            self.clients.unsent.push((connection, received.from, received.window_bytes));
        }
        if !received.no_ack() {
            // One that comes for a connection that has gone goes back by and by, too.
            self.clients.held.push(received);
        }
    }

    pub fn dispatch(&mut self, shard: usize) -> Verdict<bool> {
        let (more, deliveries, pieces) = self.world.dispatch(shard);
        let any = !deliveries.is_empty() || !pieces.is_empty();
        let now = self.world.clock.now().unix_ms;
        for received in deliveries {
            self.trace.say(|| {
                let number = number_of(&received.body);
                let Received { queue, redelivered, to, .. } = &received;
                format!("s{shard} delivers {number:?} of {queue:?} {redelivered} to {to:?}")
            });
            self.trace.note(received.seq.0);
            self.shadow.delivered(&received, now)?;
            if let DeliveryTo::Consumer { consumer, .. } = received.to {
                invariants::credit(self, consumer, received.queue)?;
            }
            let home = usize::from(received.home().0);
            self.send(shard, home, Mail::Delivery(received))?;
        }
        // Whoever reads has heard of it in an earlier dispatch.
        for piece in pieces {
            self.trace.note(piece.octets.len() as u64);
            self.trace.say(|| {
                let (reading, octets) = (piece.reading, piece.octets.len());
                format!("s{shard} hands out {octets} of reading {reading}")
            });
            let home = usize::from(piece.connection.shard().0);
            self.send(shard, home, Mail::Piece(piece))?;
        }
        Ok(more || any)
    }

    /// Carries one batch along one ring.
    pub fn carry(&mut self, from: usize, to: usize) -> Verdict<bool> {
        let batch = self.world.rings.batch(from, to, &mut self.random);
        for _ in 0..batch {
            let Some(mail) = self.world.rings.pop(from, to) else { break };
            self.hand_in(to, mail)?;
        }
        Ok(batch > 0)
    }

    /// Does all there is to do, in some order, and lets time pass while something waits for it.
    /// A full disk gets space if nothing goes on without.
    pub fn settle_down(&mut self) -> Verdict {
        let count = self.world.count();
        let (mut rounds, mut waits) = (0, 0);
        loop {
            let mut busy = false;
            for shard in 0..count {
                busy |= self.poll(shard)?;
                while self.world.disks[shard].under_way() > 0 {
                    let which = self.random.below(self.world.disks[shard].under_way());
                    busy |= self.complete(shard, which)?;
                    if self.world.down.is_some() {
                        return Ok(());
                    }
                }
                for to in 0..count {
                    while let Some(mail) = self.world.rings.pop(shard, to) {
                        busy = true;
                        self.hand_in(to, mail)?;
                    }
                }
                busy |= self.dispatch(shard)?;
                busy |= self.poll(shard)? || self.world.disks[shard].under_way() > 0;
            }
            busy |= self.read_on()?;
            if !busy {
                let is_at_rest =
                    |shard: &Shard<Vectors>| shard.is_quiet() || shard.deadline_us().is_none();
                if self.world.shards.iter().all(is_at_rest) {
                    return invariants::check_at_rest(self);
                }
                let due = self.world.shards.iter().filter_map(|shard| shard.deadline_us()).min();
                let now = self.world.clock.now().monotonic_us;
                let wait = due.map_or(1_000, |due| due.saturating_sub(now).clamp(1, 60_000_000));
                self.world.pass_us(wait);
                waits += 1;
                if waits == 20 {
                    self.world.set_full(false);
                }
            }
            rounds += 1;
            require(rounds < 20_000, Kind::Stuck, || {
                let state = |shard: usize| {
                    let (engine, disk) = (&self.world.shards[shard], &self.world.disks[shard]);
                    let (quiet, room) = (engine.is_quiet(), engine.has_room());
                    let (due, under_way) = (engine.deadline_us(), disk.under_way());
                    format!("quiet {quiet}, room {room}, due {due:?}, under way {under_way}")
                };
                let states: Vec<String> = (0..count).map(state).collect();
                format!("no rest, busy {busy}, {waits} waits: {states:?}")
            })?;
        }
    }

    pub fn complete(&mut self, shard: usize, which: usize) -> Verdict<bool> {
        let was_up = self.world.down.is_none();
        let done = self.world.complete(shard, which, &mut self.random);
        if was_up && self.world.down.is_some() {
            self.tally.failures += 1;
            let error = self.world.down.clone();
            self.trace.say(|| format!("s{shard} fails: {error:?}"));
        }
        Ok(done)
    }

    /// The power goes, and comes back.
    pub fn crash(&mut self) -> Verdict {
        self.tally.crashes += 1;
        self.trace.say(|| "the power goes".into());
        self.shadow.note_expiries(self.world.clock.now().unix_ms);
        self.world.cut(&mut self.random);
        let booted = self.world.boot(&mut self.random);
        self.come_back(booted)
    }

    /// Judges a start after no more than a crash.
    pub fn come_back(&mut self, booted: Result<(), BootError>) -> Verdict {
        if let Err(error) = booted {
            return broken(Kind::Refused, format!("{error}"));
        }
        self.clients.reconnect_all();
        self.uploads.clear();
        self.readings.clear();
        let topology = self.world.shards[0].topology();
        let one_log = self.world.count() == 1;
        self.shadow.crashed(|id| topology.queue_by_id(id).is_some(), one_log)?;
        self.shadow.definitions.crashed(topology)?;
        invariants::replicas(self)?;
        invariants::counts(self)
    }

    /// Everything is made durable, and then the power goes.
    pub fn stop(&mut self) -> Verdict<bool> {
        self.trace.say(|| "a clean stop".into());
        let now = self.world.clock.now();
        self.world.shards.iter_mut().for_each(|shard| shard.stop(now));
        for _ in 0..100 {
            self.settle_down()?;
            if self.world.down.is_some() {
                return Ok(false);
            }
            if self.world.shards.iter().all(Shard::is_quiet) {
                break;
            }
            // One waits for what another waits for time with.
            self.world.pass_us(1_000);
        }
        require(self.world.shards.iter().all(Shard::is_quiet), Kind::Stuck, || {
            let log =
                |shard: &Shard<Vectors>| (shard.is_quiet(), shard.deadline_us(), shard.has_room());
            format!(
                "a stopped shard is not quiet: {:?}",
                self.world.shards.iter().map(log).collect::<Vec<_>>()
            )
        })?;
        require(self.shadow.nothing_owed(), Kind::Stuck, || "a publisher waits for ever".into())?;
        self.tally.clean_stops += 1;
        self.shadow.note_expiries(self.world.clock.now().unix_ms);
        self.shadow.stopped();
        Ok(true)
    }

    pub fn tally(&self) -> Tally {
        Tally {
            confirmed: self.shadow.confirmed,
            refused: self.shadow.refused,
            delivered: self.shadow.delivered,
            settled: self.shadow.settled,
            committed: self.shadow.committed,
            interrupted_commits: self.shadow.interrupted,
            interrupted_boots: self.world.interrupted_boots,
            operations: self.world.disks.iter().map(|disk| disk.operations()).sum(),
            ..self.tally
        }
    }
}
