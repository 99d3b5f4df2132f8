//! What clients do, and what the world does meanwhile, as the seed has it.

use haremq_engine::ids::{ChannelKey, QueueId, ShardId};
use haremq_engine::mail::{Command, Consume, Credit, Outcome};
use haremq_engine::shard::Shard;
use haremq_engine::table::Table;

use crate::body::{body, number_of, properties, BODY_BYTES_MIN};
use crate::clients::Consumer;
use crate::limits::Limits;
use crate::mail::{Letter, Mail, Received};
use crate::random::Random;
use crate::shadow::Queue;
use crate::simulation::Simulation;
use crate::violation::Verdict;

/// How often what is done, drawn for each schedule: some pile up, some keep nearly empty, some
/// hardly complete a write before the next thing happens.
#[derive(Clone, Debug)]
pub struct Mixture {
    publish: usize,
    /// Many at once to one queue.
    publish_many: usize,
    settle: usize,
    commit: usize,
    other: usize,
    poll: usize,
    complete: usize,
    carry: usize,
    dispatch: usize,
    time: usize,
    /// Of a hundred publishes.
    persistent: usize,
    /// Of a hundred settles.
    ack: usize,
    large_one_in: usize,
    queues_max: usize,
}

impl Mixture {
    pub fn draw(limits: &Limits, random: &mut Random) -> Self {
        Mixture {
            publish: 10 + random.below(40),
            publish_many: usize::from(limits.has_long_queues()),
            settle: 10 + random.below(40),
            commit: random.pick(&[0, 3, 12]),
            other: 6,
            poll: 5 + random.below(20),
            complete: 3 + random.below(30),
            carry: 5 + random.below(20),
            dispatch: 5 + random.below(20),
            time: 2 + random.below(8),
            persistent: random.pick(&[60, 90, 100]),
            ack: random.pick(&[50, 80, 98]),
            large_one_in: random.pick(&[8, 30, 200]),
            queues_max: 1 + random.below(6),
        }
    }

    fn total(&self) -> usize {
        self.publish
            + self.publish_many
            + self.settle
            + self.commit
            + self.other
            + self.poll
            + self.complete
            + self.carry
            + self.dispatch
            + self.time
    }
}

impl Simulation {
    /// One thing that might happen next.
    pub fn act(&mut self, mixture: &Mixture) -> Verdict {
        let mut drawn = self.random.below(mixture.total());
        let mut is_next = |weight: usize| {
            let is_it = drawn < weight;
            drawn = drawn.wrapping_sub(weight);
            is_it
        };
        let shard = self.random.below(self.world.count());
        let serves = self.serves();
        if serves {
            self.let_in()?;
            self.upload_some()?;
            self.read_some()?;
        }
        if is_next(mixture.publish) {
            return if serves { self.publish(mixture) } else { Ok(()) };
        } else if is_next(mixture.publish_many) {
            return if serves { self.publish_many() } else { Ok(()) };
        } else if is_next(mixture.commit) {
            return if serves { self.commit(mixture) } else { Ok(()) };
        } else if is_next(mixture.settle) {
            return if serves { self.settle_some(mixture) } else { Ok(()) };
        } else if is_next(mixture.other) {
            return if serves { self.do_something_else(mixture) } else { Ok(()) };
        } else if is_next(mixture.poll) {
            self.poll(shard)?;
        } else if is_next(mixture.complete) {
            let under_way = self.world.disks[shard].under_way();
            if under_way > 0 {
                let which = self.random.below(under_way);
                self.complete(shard, which)?;
            }
        } else if is_next(mixture.carry) {
            let to = self.random.below(self.world.count());
            self.carry(shard, to)?;
            self.open_windows()?;
        } else if is_next(mixture.dispatch) {
            self.dispatch(shard)?;
        } else {
            self.pass_time();
        }
        Ok(())
    }

    /// Clients are let in once everything that was decided before the start has been carried out.
    pub fn serves(&self) -> bool {
        self.world.shards.iter().all(Shard::is_resolved)
    }

    /// The shadow may draw conclusions from what is there.
    pub fn let_in(&mut self) -> Verdict {
        let shards = &self.world.shards;
        let ready = |queue: &Queue, id| {
            let shard = shards.get(usize::from(queue.owner.0))?;
            shard.queue_stats(id).map(|stats| stats.messages_ready)
        };
        self.shadow.let_in(ready, self.world.clock.now().unix_ms)
    }

    fn pass_time(&mut self) {
        let us = match self.random.below(8) {
            0 => 1_000 * (1 + self.random.below(100) as u64),
            _ => 1 + self.random.below(800) as u64,
        };
        self.world.pass_us(us);
        if self.random.one_in(60) {
            // Somebody sets the clock.
            let change = self.random.below(4_000) as i64 - 2_000;
            self.shadow.note_expiries(self.world.clock.now().unix_ms);
            self.world.clock.set_by_ms(change);
            self.trace.say(|| format!("the clock is set by {change} ms"));
            self.world.tick();
        }
    }

    fn any_queue(&mut self) -> Option<QueueId> {
        let open: Vec<QueueId> =
            self.shadow.queues.iter().filter(|(_, q)| !q.closing).map(|(id, _)| *id).collect();
        (!open.is_empty()).then(|| self.random.pick(&open))
    }

    /// One of any kind.
    fn any_source(&mut self) -> Option<QueueId> {
        let estates: Vec<QueueId> =
            self.shadow.estates.iter().flat_map(|estate| estate.queues.clone()).collect();
        if !estates.is_empty() && self.random.one_in(3) {
            return Some(self.random.pick(&estates));
        }
        self.any_queue()
    }

    pub fn draw_targets(&mut self) -> Vec<QueueId> {
        let mut queues: Vec<QueueId> = self.any_queue().into_iter().collect();
        while self.random.one_in(3) {
            queues.extend(self.any_queue());
        }
        let estates = self.shadow.estates.len();
        for at in 0..estates {
            if self.random.one_in(4) {
                queues.push(self.shadow.estates[at].queues[0]);
            }
        }
        queues.sort_unstable();
        queues.dedup();
        let max = self.world.limits.backlog_max;
        let shadow = &self.shadow;
        queues.retain(|id| match shadow.queues.get(id) {
            Some(queue) => queue.copies().len() < max,
            None => {
                let estate = shadow.estates.iter().find(|estate| estate.index(*id).is_some());
                estate.is_some_and(|estate| estate.possible() < max)
            }
        });
        queues
    }

    pub fn draw_size(&mut self, mixture: &Mixture) -> usize {
        let max = match self.random.below(mixture.large_one_in.max(2)) {
            0 => self.world.limits.body_bytes_max,
            1 => 6_000,
            _ => 300,
        };
        BODY_BYTES_MIN + self.random.below(max)
    }

    fn publish(&mut self, mixture: &Mixture) -> Verdict {
        let queues = self.draw_targets();
        if queues.is_empty() {
            return Ok(());
        }
        let publisher = self.random.below(self.world.count());
        let owners = self.owners(&queues)?;
        let has_room = |owner: usize| self.world.has_room(publisher, owner);
        if !owners.iter().all(|(owner, _)| has_room(usize::from(owner.0))) {
            return Ok(());
        }
        let persistent = self.random.percent(mixture.persistent);
        let size = self.draw_size(mixture);
        self.publish_to(publisher, owners, size, persistent)
    }

    pub fn publish_to(
        &mut self,
        publisher: usize,
        owners: Vec<(ShardId, Vec<QueueId>)>,
        size: usize,
        persistent: bool,
    ) -> Verdict {
        let number = self.clients.next_number();
        let confirm = self.clients.next_confirm(publisher);
        let channel = self.clients.channel(publisher);
        let letter = Letter {
            number,
            body: body(number, size),
            properties: properties(number, persistent),
            persistent,
            priority: self.random.below(6) as u8,
            expiration_ms: self.random.one_in(12).then(|| 1 + self.random.below(100) as u64),
            queues: Vec::new(),
            confirm: Some((channel, confirm)),
        };
        for (owner, queues) in owners {
            let letter = Letter { queues, ..letter.clone() };
            self.send(publisher, usize::from(owner.0), Mail::Publish(letter))?;
        }
        Ok(())
    }

    fn settle_some(&mut self, mixture: &Mixture) -> Verdict {
        let count = if self.random.one_in(4) { 10 } else { 1 };
        for _ in 0..count {
            let held = self.clients.held.len();
            if held == 0 {
                return Ok(());
            }
            // Mostly in order, as consumers do.
            let which = if self.random.one_in(3) { self.random.below(held) } else { 0 };
            let received = self.clients.held.remove(which);
            let outcome = match self.random.percent(mixture.ack) {
                true => Outcome::Ack,
                false => self.random.pick(&[Outcome::Requeue, Outcome::Reject]),
            };
            if outcome != Outcome::Ack || self.random.one_in(3) {
                self.settle(&received, outcome)?;
                continue;
            }
            let mut run = vec![received];
            let held = &mut self.clients.held;
            while held
                .get(which)
                .is_some_and(|next| run.last().is_some_and(|last| last.is_followed_by(next)))
            {
                run.push(held.remove(which));
            }
            self.ack_together(&run)?;
        }
        Ok(())
    }

    /// Acks of deliveries each of which [follows](Received::is_followed_by) the one before it, as one.
    fn ack_together(&mut self, run: &[Received]) -> Verdict {
        let Some(received) = run.first() else { return Ok(()) };
        let Received { queue, seq: first, from, .. } = *received;
        let (count, consumer) = (run.len() as u32, received.consumer());
        let command = Command::Acks { queue, first, count, consumer };
        let numbers: Result<Vec<_>, _> = run.iter().map(|one| number_of(&one.body)).collect();
        let home = usize::from(received.home().0);
        self.send(home, usize::from(from.0), Mail::Settle { numbers: numbers?, command })
    }

    fn do_something_else(&mut self, mixture: &Mixture) -> Verdict {
        match self.random.below(24) {
            0..=2 if self.shadow.queues.len() < mixture.queues_max => self.declare_queue(),
            0..=8 => self.subscribe(),
            9 | 10 => self.unsubscribe(),
            11..=15 => self.get(),
            16 if self.random.one_in(3) => self.purge(),
            17 if self.random.one_in(5) => self.delete(),
            18 if self.random.one_in(3) => self.drop_connection(),
            19 | 20 => self.change_definition(),
            21 if self.random.one_in(4) => {
                let full = self.random.one_in(2);
                self.trace.say(|| format!("the disk of shard 0 is full: {full}"));
                self.world.set_full(full);
                Ok(())
            }
            22 if self.random.one_in(6) => self.settle_down(),
            _ => self.open_windows(),
        }
    }

    fn subscribe(&mut self) -> Verdict {
        if self.clients.consumers.len() >= 8 {
            return Ok(());
        }
        let Some(queue) = self.any_source() else { return Ok(()) };
        let shard = self.random.below(self.world.count());
        let no_ack = self.random.one_in(5);
        let prefetch = self.random.below(8) as u32;
        self.consume(shard, queue, prefetch, no_ack)
    }

    pub fn consume(
        &mut self,
        shard: usize,
        queue: QueueId,
        prefetch: u32,
        no_ack: bool,
    ) -> Verdict {
        let owner = self.owner_of(queue)?;
        let key = self.clients.new_consumer(shard);
        let consumer = Consumer { key, queue, owner, prefetch, no_ack };
        self.clients.consumers.insert(key.serial, consumer);
        let consume = Consume {
            queue,
            consumer: key,
            channel: self.clients.channel(shard),
            tag: "tag".into(),
            user: "guest".into(),
            no_ack,
            exclusive: false,
            priority: self.random.below(3) as i32,
            credit: if prefetch == 0 { Credit::Unlimited } else { Credit::Prefetch(prefetch) },
            prefetch,
            arguments: Table::default(),
        };
        self.send(shard, usize::from(owner.0), Mail::Command(Command::Consume(Box::new(consume))))
    }

    fn unsubscribe(&mut self) -> Verdict {
        let serials: Vec<u32> = self.clients.consumers.keys().copied().collect();
        if serials.is_empty() {
            return Ok(());
        }
        let serial = self.random.pick(&serials);
        let Some(consumer) = self.clients.consumers.remove(&serial) else { return Ok(()) };
        let Consumer { key, queue, owner, .. } = consumer;
        let (connection, number) = (key.connection, key.channel);
        let channel = ChannelKey { connection, channel: number, incarnation: 0 };
        let command = Command::Cancel { queue, consumer: key, channel };
        let home = usize::from(key.connection.shard().0);
        self.send(home, usize::from(owner.0), Mail::Command(command))
    }

    fn get(&mut self) -> Verdict {
        let Some(queue) = self.any_source() else { return Ok(()) };
        let no_ack = self.random.one_in(3);
        self.ask_owner(queue, |channel| Command::Get { queue, channel, no_ack })
    }

    fn purge(&mut self) -> Verdict {
        let Some(queue) = self.any_queue() else { return Ok(()) };
        self.ask_owner(queue, |channel| Command::Purge { queue, channel })
    }

    fn delete(&mut self) -> Verdict {
        let Some(queue) = self.any_queue() else { return Ok(()) };
        self.ask_owner(queue, |channel| {
            let (if_unused, if_empty) = (false, false);
            Command::Delete { queue, channel, if_unused, if_empty }
        })
    }

    /// A command of some shard's channel to the owner of a queue.
    pub fn ask_owner(
        &mut self,
        queue: QueueId,
        make: impl FnOnce(ChannelKey) -> Command,
    ) -> Verdict {
        let owner = self.owner_of(queue)?;
        let home = self.random.below(self.world.count());
        let command = make(self.clients.channel_about(home, queue));
        self.send(home, usize::from(owner.0), Mail::Command(command))
    }

    /// A connection breaks: what it holds goes back, and every shard forgets it.
    fn drop_connection(&mut self) -> Verdict {
        let home = self.random.below(self.world.count());
        let connection = self.clients.connection(home);
        let (held, kept) = std::mem::take(&mut self.clients.held)
            .into_iter()
            .partition(|one| usize::from(one.home().0) == home);
        self.clients.held = kept;
        let held: Vec<_> = held;
        for received in held {
            self.settle(&received, Outcome::Requeue)?;
        }
        for owner in 0..self.world.count() {
            self.send(home, owner, Mail::Command(Command::Forget { connection }))?;
        }
        self.clients.consumers.retain(|_, consumer| consumer.key.connection != connection);
        self.clients.unsent.retain(|(of, _, _)| *of != connection);
        self.tally.given_up += self.uploads.connection_gone(connection);
        self.readings.connection_gone(connection);
        self.clients.reconnect(home);
        Ok(())
    }

    /// Deliveries leave for the sockets.
    pub fn open_windows(&mut self) -> Verdict {
        for (connection, from, bytes) in std::mem::take(&mut self.clients.unsent) {
            let home = usize::from(connection.shard().0);
            let command = Command::Window { connection, bytes };
            self.send(home, usize::from(from.0), Mail::Command(command))?;
        }
        Ok(())
    }
}
