//! Transactions happen all or not at all, over all queues and shards, whenever the power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use haremq_engine::ids::{QueueId, ShardId, Target};
use haremq_engine::mail::{Command, Notice, Outcome};
use haremq_engine::table::{Table, Value};
use haremq_engine::transaction::{Transaction, TransactionSettle};

use crate::client::{bodies, channel, declare};
use crate::dead_letters::mortal_on;
use crate::world::{message, Received, World};

/// A transaction in the making, and what it amounts to.
#[derive(Debug, Default)]
pub(crate) struct Deeds {
    pub(crate) transaction: Transaction,
    /// Queue and body of each publish.
    puts: Vec<(QueueId, String)>,
    acks: Vec<(QueueId, String)>,
}

impl Deeds {
    pub(crate) fn publish(&mut self, world: &World, queues: &[QueueId], body: &str) {
        let targets =
            queues.iter().map(|queue| Target { queue: *queue, shard: world.owner(*queue) });
        self.transaction.publish(&message(body.as_bytes(), true), targets);
        self.puts.extend(queues.iter().map(|queue| (*queue, body.to_owned())));
    }

    pub(crate) fn settle(&mut self, received: &Received, outcome: Outcome) {
        let Received { queue, seq, from, .. } = *received;
        let settle = TransactionSettle { shard: from, queue, seq, consumer: None, outcome };
        self.transaction.settle(settle);
        if outcome != Outcome::Requeue {
            self.acks.push((queue, String::from_utf8_lossy(&received.body).into_owned()));
        }
    }
}

/// Commits through a channel of that shard.
pub(crate) fn commit(world: &mut World, shard: u16, number: u64, deeds: &Deeds) {
    let transaction = Arc::new(deeds.transaction.clone());
    let commit = Command::Commit { channel: channel(shard, number), transaction };
    world.command(ShardId(shard), commit);
}

/// Everything that is ready in the queue, taken and not settled.
pub(crate) fn take_all(world: &mut World, queue: QueueId) -> Vec<Received> {
    let (ready, _) = world.counts(queue);
    world.hold(queue, ready as usize)
}

fn queues_on_both_shards(world: &mut World) -> Vec<QueueId> {
    let declare = |shard, name: &str| (shard, declare(name, true, Arc::default()));
    let requests = [declare(0, "zero"), declare(1, "one"), declare(0, "two"), declare(1, "three")];
    let queues: Vec<QueueId> =
        requests.into_iter().map(|(shard, request)| world.declare_on(shard, request)).collect();
    let owners: BTreeSet<ShardId> = queues.iter().map(|queue| world.owner(*queue)).collect();
    assert_eq!(owners.len(), 2, "queues on both shards");
    queues
}

#[test]
fn a_commit_puts_and_acks_on_all_shards_and_is_answered_once() {
    let mut world = World::new(2, 1);
    let queues = queues_on_both_shards(&mut world);
    world.send(&queues[..1], "old", true);
    let old = take_all(&mut world, queues[0]);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &queues, "new");
    deeds.settle(&old[0], Outcome::Ack);
    commit(&mut world, 1, 7, &deeds);
    let answers = world.notices();
    assert!(
        matches!(answers.as_slice(), [Notice::Committed { channel: to, refused: false }]
            if *to == channel(1, 7)),
        "{answers:?}"
    );
    for queue in &queues {
        assert_eq!(world.counts(*queue), (1, 0));
    }
    world.crash();
    world.settle_down();
    assert!(world.is_resolved());
    for queue in &queues {
        assert_eq!(bodies(&take_all(&mut world, *queue)), ["new"]);
    }
}

/// The journal record is durable and not a single part: the next start carries everything out.
#[test]
fn a_decided_transaction_is_carried_out_by_the_next_start() {
    let mut world = World::new(2, 3);
    let queues = queues_on_both_shards(&mut world);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &queues, "decided");
    commit(&mut world, 0, 7, &deeds);
    // Only shard 0's writes arrive; its mail does not.
    world.poll(0);
    while world.complete(0, 0) {
        world.poll(0);
    }
    world.crash();
    world.settle_down();
    assert!(world.is_resolved());
    for queue in &queues {
        assert_eq!(bodies(&take_all(&mut world, *queue)), ["decided"]);
    }
    world.crash();
    world.settle_down();
    for queue in &queues {
        assert_eq!(bodies(&take_all(&mut world, *queue)), ["decided"], "and once only");
    }
}

/// Numbers begin anew with every start. Shard 1 had said that it was done with the run before while
/// a crash could still bring its marks back: the next transaction got the number of the one before,
/// and after a crash its message on shard 1 was taken for one that had been put there already.
#[test]
fn no_transaction_begins_before_the_marks_of_an_earlier_run_are_gone_for_good() {
    let mut world = World::new(2, 3);
    let queues = queues_on_both_shards(&mut world);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &queues, "first");
    commit(&mut world, 0, 7, &deeds);
    let write = |world: &mut World, shard: usize| {
        world.pass_ms(5, 0);
        world.poll(shard);
        while world.complete(shard, 0) {
            world.poll(shard);
        }
    };
    write(&mut world, 0);
    while world.carry(0, 1) {}
    write(&mut world, 1);
    while world.carry(1, 0) {}
    write(&mut world, 0);
    // The mail that has shard 1 drop its marks goes with the power.
    world.crash();
    for _ in 0..10 {
        for (from, to) in [(0, 1), (1, 0)] {
            world.poll(from);
            while world.carry(from, to) {}
        }
    }
    assert!(world.under_way(1) > 0 && !world.is_resolved(), "nothing of that is durable");
    world.settle_down();
    assert!(world.is_resolved());
    for queue in &queues {
        assert_eq!(bodies(&take_all(&mut world, *queue)), ["first"]);
    }
}

/// The queue was full, and the client was told so. What filled it went with the power: the next
/// start, which carries the rest out again, found room and put what had been refused.
#[test]
fn what_a_queue_has_refused_of_a_transaction_is_not_put_by_the_next_start() {
    let mut world = World::new(2, 3);
    let queues = queues_on_both_shards(&mut world);
    let fields = vec![
        ("x-max-length".into(), Value::I64(1)),
        ("x-overflow".into(), Value::text("reject-publish")),
    ];
    let full = world.declare_on(1, declare("full", true, Arc::new(Table(fields))));
    let away = usize::from(world.owner(full).0);
    let home = 1 - away;
    let beside = queues.into_iter().find(|queue| usize::from(world.owner(*queue).0) == home);
    let beside = beside.expect("one on the other shard");
    world.send(&[full], "passing", false);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &[full], "refused");
    deeds.publish(&world, &[beside], "taken");
    commit(&mut world, home as u16, 7, &deeds);
    let write = |world: &mut World, shard: usize| {
        world.pass_ms(5, 0);
        world.poll(shard);
        while world.complete(shard, 0) {
            world.poll(shard);
        }
    };
    write(&mut world, home);
    while world.carry(home, away) {}
    write(&mut world, away);
    while world.carry(away, home) {}
    world.poll(home);
    let answers = world.take_notices();
    assert!(matches!(answers.as_slice(), [Notice::Committed { refused: true, .. }]), "{answers:?}");
    // That nothing is to be carried out again is not durable.
    world.crash();
    world.settle_down();
    assert!(world.is_resolved());
    assert_eq!(bodies(&take_all(&mut world, beside)), ["taken"]);
    assert_eq!(world.counts(full), (0, 0), "it was refused");
}

/// Shard 1 had carried out its part and delivered the message, and neither was durable. The next
/// start put the message again, as one that nobody can have seen.
#[test]
fn what_a_start_puts_again_is_marked_as_redelivered() {
    let mut world = World::new(2, 3);
    let queues = queues_on_both_shards(&mut world);
    let mut deeds = Deeds::default();
    deeds.publish(&world, &queues, "seen");
    commit(&mut world, 0, 7, &deeds);
    world.poll(0);
    while world.complete(0, 0) {
        world.poll(0);
    }
    while world.carry(0, 1) {}
    let far = queues.iter().copied().find(|queue| world.owner(*queue) == ShardId(1));
    let far = far.expect("a queue on shard 1");
    let get = Command::Get { queue: far, channel: channel(1, 1), no_ack: false };
    world.command(ShardId(1), get);
    world.dispatch(1);
    let seen = world.take_deliveries();
    assert!(matches!(seen.as_slice(), [one] if one.queue == far && !one.redelivered), "{seen:?}");
    world.crash();
    world.settle_down();
    let again = take_all(&mut world, far);
    assert_eq!(bodies(&again), ["seen"]);
    assert!(again[0].redelivered);
}

/// One message for queues of one shard needs no journal. It does need several records if the queues
/// have different limits of time, and a crash could keep these apart.
#[test]
fn one_message_for_queues_with_different_limits_of_time_is_in_all_of_them_or_in_none() {
    let (mut there, mut absent) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(1, seed);
        let queues = [
            world.durable_queue("for ever"),
            world.queue_with("an hour", &[("x-message-ttl", 3_600_000)]),
            world.queue_with("a day", &[("x-message-ttl", 86_400_000)]),
        ];
        let before = world.random.below(14_000);
        world.send(&queues[..1], &"x".repeat(before), true);
        let mut deeds = Deeds::default();
        deeds.publish(&world, &queues, &"y".repeat(2500));
        commit(&mut world, 0, 7, &deeds);
        for _ in 0..world.random.below(12) {
            world.step();
        }
        world.crash();
        world.settle_down();
        let found = queues.map(|queue| {
            let all = bodies(&take_all(&mut world, queue));
            all.iter().any(|body| body.starts_with('y'))
        });
        let is_there = found[1];
        assert_eq!(found, [is_there; 3], "seed {seed}: half a transaction");
        there += u32::from(is_there);
        absent += u32::from(!is_there);
    }
    assert!(there > 20 && absent > 20, "{there} and {absent}");
}

#[test]
fn a_rejection_in_a_transaction_dead_letters_with_the_rest() {
    for seed in 0..40 {
        let mut world = World::new(2, seed);
        let grave = world.declare_on(1, declare("grave", true, Arc::default()));
        let mortal = mortal_on(&mut world, 0, "mortal", "grave", &[]);
        let other = world.durable_queue("other");
        world.send(&[mortal], "poison", true);
        let taken = take_all(&mut world, mortal);
        let mut deeds = Deeds::default();
        deeds.settle(&taken[0], Outcome::Reject);
        deeds.publish(&world, &[other], "report");
        commit(&mut world, 0, 7, &deeds);
        for _ in 0..seed * 3 {
            world.step();
        }
        let answered = !world.take_notices().is_empty();
        world.crash();
        world.settle_down();
        let reported = world.counts(other).0 == 1;
        let buried = world.counts(grave).0;
        let alive = world.counts(mortal).0;
        assert!(reported || !answered, "seed {seed}: an answered commit is lost");
        if reported {
            assert_eq!((alive, buried), (0, 1), "seed {seed}: half a transaction");
        } else {
            assert_eq!((alive, buried), (1, 0), "seed {seed}: half a transaction");
        }
    }
}

struct Run {
    world: World,
    queues: Vec<QueueId>,
    /// What must be there, by queue: the body's transaction is known to have happened.
    known: BTreeSet<(QueueId, String)>,
    under_way: BTreeMap<u64, Deeds>,
    next: u64,
    happened: u64,
    undone: u64,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut world = World::new(2 + (seed % 2) as u16, seed);
        let queues = queues_on_both_shards(&mut world);
        Run {
            world,
            queues,
            known: BTreeSet::new(),
            under_way: BTreeMap::new(),
            next: 1,
            happened: 0,
            undone: 0,
        }
    }

    /// Takes some of what is known to be there, and puts something new in its place.
    fn begin(&mut self) {
        let number = self.next;
        self.next += 1;
        let mut deeds = Deeds::default();
        let busy: BTreeSet<(QueueId, String)> =
            self.under_way.values().flat_map(|deeds| deeds.acks.iter().cloned()).collect();
        if self.world.random.one_in(2) {
            let queue = self.queues[self.world.random.below(self.queues.len())];
            for received in take_all(&mut self.world, queue) {
                let name = (queue, String::from_utf8_lossy(&received.body).into_owned());
                let settles = self.known.contains(&name) && !busy.contains(&name);
                if settles && self.world.random.one_in(2) {
                    deeds.settle(&received, Outcome::Ack);
                } else {
                    self.world.settle(&received, Outcome::Requeue);
                }
            }
        }
        for index in 0..self.world.random.below(5) {
            let size = [0, 50, 3000, 40_000][self.world.random.below(4)];
            let body = format!("{number}.{index}.{}", "x".repeat(size));
            let first = self.world.random.below(self.queues.len());
            let count = 1 + self.world.random.below(self.queues.len() - first);
            let queues = self.queues[first..first + count].to_vec();
            deeds.publish(&self.world, &queues, &body);
        }
        if deeds.transaction.is_empty() {
            return;
        }
        let shard = self.world.random.below(self.world.shards.len()) as u16;
        commit(&mut self.world, shard, number, &deeds);
        self.under_way.insert(number, deeds);
        self.hear();
    }

    fn happen(&mut self, number: u64) {
        let Some(deeds) = self.under_way.remove(&number) else { return };
        self.happened += 1;
        for name in deeds.acks {
            assert!(self.known.remove(&name), "acked twice: {name:?}");
        }
        self.known.extend(deeds.puts);
    }

    fn hear(&mut self) {
        for notice in self.world.take_notices() {
            if let Notice::Committed { channel, refused } = notice {
                assert!(!refused);
                self.happen(channel.connection.serial());
            }
        }
    }

    fn crash(&mut self) {
        self.hear();
        self.world.crash();
        // A second time before all is resolved, now and then.
        for _ in 0..self.world.random.below(30) {
            self.world.step();
        }
        if self.world.random.one_in(2) {
            self.world.crash();
        }
        self.world.settle_down();
        assert!(self.world.is_resolved());
        let mut found = Vec::new();
        for queue in self.queues.clone() {
            for received in take_all(&mut self.world, queue) {
                found.push((queue, String::from_utf8_lossy(&received.body).into_owned()));
                self.world.settle(&received, Outcome::Requeue);
            }
        }
        let there: BTreeSet<(QueueId, String)> = found.iter().cloned().collect();
        assert_eq!(there.len(), found.len(), "a message is there twice");
        for number in self.under_way.keys().copied().collect::<Vec<_>>() {
            let deeds = &self.under_way[&number];
            let put = deeds.puts.iter().filter(|name| there.contains(name)).count();
            let gone = deeds.acks.iter().filter(|name| !there.contains(name)).count();
            let (done, all) = (put + gone, deeds.puts.len() + deeds.acks.len());
            assert!(
                done == 0 || done == all,
                "transaction {number}: {done} of {all} things happened"
            );
            if done == all {
                self.happen(number);
            } else {
                self.undone += 1;
                self.under_way.remove(&number);
            }
        }
        assert_eq!(there, self.known, "what is there is what the transactions say");
        self.world.settle_down();
    }
}

#[test]
fn transactions_are_all_or_nothing_whenever_the_power_goes() {
    let (mut happened, mut undone) = (0, 0);
    for seed in 0..60 {
        let mut run = Run::new(seed);
        for _ in 0..6 {
            for _ in 0..1 + run.world.random.below(12) {
                run.begin();
                for _ in 0..run.world.random.below(40) {
                    run.world.step();
                }
                run.hear();
            }
            run.crash();
        }
        happened += run.happened;
        undone += run.undone;
    }
    assert!(happened > 300 && undone > 30, "{happened} happened, {undone} were undone");
}
