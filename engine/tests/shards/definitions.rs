//! What exists: declared, spread to all shards, deleted, brought back.

use std::sync::Arc;

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::{Command, Credit, Notice, Requester};
use haremq_engine::queue::QueueError;
use haremq_engine::topology::{TopologyOutcome, TopologyRequest};

use crate::client::{bodies, channel, consumer, declare};
use crate::world::World;

fn answered(world: &mut World) -> bool {
    world.poll(0);
    !world.take_notices().is_empty()
}

#[test]
fn declare_is_answered_only_when_every_shard_routes_by_it() {
    let mut world = World::new(3, 1);
    world.settle_down();
    let from = Requester::Channel(channel(0, 1));
    world.request(from, declare("q", true, Arc::default()));
    assert!(!answered(&mut world));
    assert!(world.shards[0].topology().queue("/", "q").is_none(), "not durable, and shown");
    while world.complete(0, 0) {
        world.poll(0);
    }
    assert!(world.shards[0].topology().queue("/", "q").is_some());
    assert!(!answered(&mut world));
    for other in [1, 2] {
        assert!(world.carry(0, other));
        assert!(world.shards[other].topology().queue("/", "q").is_some());
        world.poll(other);
        assert!(!answered(&mut world));
        assert!(world.carry(other, 0));
    }
    assert!(answered(&mut world));
}

#[test]
fn answers_keep_the_order_of_the_requests() {
    let mut world = World::new(2, 1);
    let from = Requester::Channel(channel(0, 1));
    let requests = [
        declare("one", true, Arc::default()),
        declare("one", false, Arc::default()),
        declare("two", false, Arc::default()),
        declare("one", true, Arc::default()),
    ];
    for request in requests {
        world.request(from, request);
    }
    let kinds: Vec<Option<bool>> = world
        .notices()
        .into_iter()
        .map(|notice| match notice {
            Notice::Topology { result: Ok(TopologyOutcome::Queue { created, .. }), .. } => {
                Some(created)
            }
            Notice::Topology { result: Err(_), .. } => None,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, [Some(true), None, Some(true), Some(false)]);
}

#[test]
fn redeclare_is_not_answered_before_the_first_declare_is_durable() {
    let mut world = World::new(1, 1);
    world.settle_down();
    for client in [1, 2] {
        let from = Requester::Channel(channel(0, client));
        world.request(from, declare("q", true, Arc::default()));
    }
    assert!(!answered(&mut world));
    assert_eq!(world.notices().len(), 2);
}

#[test]
fn queue_lives_on_the_shard_of_the_connection_that_declares_it() {
    let mut world = World::new(3, 1);
    for shard in 0..3 {
        let queue = world.declare_on(shard, declare(&format!("q{shard}"), true, Arc::default()));
        assert_eq!(world.owner(queue), ShardId(shard));
        assert_eq!(world.counts(queue), (0, 0));
    }
}

#[test]
fn command_for_a_queue_not_heard_of_yet_waits_for_it() {
    let mut world = World::new(2, 1);
    world.settle_down();
    let from = Requester::Channel(channel(1, 1));
    world.request(from, declare("q", true, Arc::default()));
    assert!(world.carry(1, 0));
    world.poll(0);
    while world.complete(0, 0) {
        world.poll(0);
    }
    // Shard 0 knows the queue; its owner, shard 1, has not been told.
    let queue = world.shards[0].topology().queue("/", "q").expect("applied").id;
    world.command(ShardId(1), Command::Inspect { queue, channel: channel(0, 5) });
    world.poll(1);
    assert!(world.take_notices().is_empty());
    let notices = world.notices();
    assert!(matches!(notices[0], Notice::Inspected { messages: 0, consumers: 0, .. }));
    assert!(matches!(notices[1], Notice::Topology { .. }));
}

#[test]
fn delete_is_answered_with_the_count_when_all_shards_have_forgotten_the_queue() {
    let mut world = World::new(2, 1);
    let queue = world.declare_on(1, declare("q", true, Arc::default()));
    for number in 0..3 {
        world.send(&[queue], &number.to_string(), true);
    }
    world.consume(queue, consumer(channel(0, 2), 1), Credit::Prefetch(1));
    world.settle_down();
    world.events.clear();
    let owner = world.owner(queue);
    let asker = channel(0, 1);
    world.command(
        owner,
        Command::Delete { queue, channel: asker, if_unused: false, if_empty: false },
    );
    world.command(owner, Command::Inspect { queue, channel: asker });
    world.poll(1);
    let early = world.take_notices();
    assert!(matches!(early[0], Notice::ConsumerGone { .. }));
    assert!(matches!(early[1], Notice::Refused { error: QueueError::NoQueue, .. }));
    assert_eq!(early.len(), 2);
    assert!(matches!(world.notices()[..], [Notice::Deleted { messages: 2, .. }]));
    assert!(world.shards.iter().all(|shard| shard.topology().queue("/", "q").is_none()));
    assert!(world.shards[1].queue_stats(queue).is_none());
    world.crash();
    assert!(world.shards[0].topology().queue("/", "q").is_none());
}

#[test]
fn delete_respects_its_conditions() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    world.send(&[queue], "0", true);
    world.consume(queue, consumer(channel(0, 1), 1), Credit::Granted { prefetch: 0 });
    world.settle_down();
    world.events.clear();
    let owner = world.owner(queue);
    let mut delete = |if_unused, if_empty| {
        let asker = channel(0, 1);
        world.command(owner, Command::Delete { queue, channel: asker, if_unused, if_empty });
        match world.notices().last() {
            Some(Notice::Refused { error, .. }) => Some(*error),
            Some(Notice::Deleted { .. }) => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(true, true), Some(QueueError::NotEmpty));
    assert_eq!(delete(true, false), Some(QueueError::InUse));
    assert_eq!(delete(false, false), None);
}

#[test]
fn auto_delete_queue_goes_with_its_last_consumer_and_not_before() {
    let mut world = World::new(2, 1);
    let mut request = declare("q", false, Arc::default());
    let TopologyRequest::DeclareQueue { auto_delete, .. } = &mut request else { unreachable!() };
    *auto_delete = true;
    let queue = world.declare_on(1, request);
    let (first, second) = (channel(0, 1), channel(1, 2));
    world.consume(queue, consumer(first, 1), Credit::Unlimited);
    world.consume(queue, consumer(second, 1), Credit::Unlimited);
    let owner = world.owner(queue);
    world.command(owner, Command::Cancel { queue, consumer: consumer(first, 1), channel: first });
    world.settle_down();
    assert!(world.shards[0].topology().queue_by_id(queue).is_some());
    world.command(owner, Command::Forget { connection: second.connection });
    world.settle_down();
    assert!(world.shards.iter().all(|shard| shard.topology().queue_by_id(queue).is_none()));
    assert!(world.shards[1].queue_stats(queue).is_none());
}

#[test]
fn exclusive_queue_goes_with_its_connection() {
    let mut world = World::new(2, 1);
    let owner = channel(1, 7);
    let mut request = declare("q", true, Arc::default());
    let TopologyRequest::DeclareQueue { exclusive_to, connection, .. } = &mut request else {
        unreachable!()
    };
    *exclusive_to = Some(owner.connection);
    *connection = Some(owner.connection);
    let queue = world.declare_on(1, request);
    world.send(&[queue], "0", true);
    let connection = owner.connection;
    world.request(Requester::Nobody, TopologyRequest::DropConnection { connection });
    world.settle_down();
    assert!(world.shards.iter().all(|shard| shard.topology().queue_by_id(queue).is_none()));
    assert_eq!(world.shards[1].memory_bytes(), 64 * 1024, "its messages are still held");
}

#[test]
fn definitions_survive_a_crash_on_every_shard() {
    let mut world = World::new(3, 1);
    let mut names = Vec::new();
    for number in 0..200 {
        let name = format!("queue-{number}");
        world.request(
            Requester::Channel(channel(number % 3, 1)),
            declare(&name, number % 4 != 0, Arc::default()),
        );
        names.push((name, number % 4 != 0));
    }
    assert_eq!(world.notices().len(), 200);
    let before: Vec<_> = world.shards[0].topology().all_queues().cloned().collect();
    world.crash();
    for shard in &world.shards {
        for (name, durable) in &names {
            assert_eq!(shard.topology().queue("/", name).is_some(), *durable, "{name}");
        }
        assert!(shard.topology().user("guest").is_some());
    }
    for queue in before.iter().filter(|queue| queue.durable) {
        let back = world.shards[0].topology().queue_by_id(queue.id).expect("durable");
        assert_eq!(back, queue);
        assert_eq!(world.counts(queue.id), (0, 0));
    }
}

#[test]
fn first_start_that_was_cut_short_starts_anew() {
    for seed in 1..=40 {
        let mut world = World::new(1, seed);
        let effects = world.random.below(4);
        for _ in 0..effects {
            world.poll(0);
            world.complete(0, 0);
        }
        world.poll(0);
        world.crash();
        let topology = world.shards[0].topology();
        assert!(topology.user("guest").is_some() && topology.vhost("/").is_some());
        assert!(topology.access("/", "guest").is_some(), "seed {seed}");
        let queue = world.durable_queue("q");
        world.crash();
        assert!(world.shards[0].topology().queue_by_id(queue).is_some());
    }
}

#[test]
fn queue_id_is_never_given_twice() {
    let mut world = World::new(2, 1);
    let mut highest = QueueId(0);
    for round in 0..30 {
        let durable = round % 2 == 0;
        let queue = world.declare_on(1, declare("q", durable, Arc::default()));
        assert!(queue > highest, "{queue:?} was given after {highest:?}");
        highest = queue;
        if round % 3 != 0 {
            let owner = world.owner(queue);
            world.command(
                owner,
                Command::Delete {
                    queue,
                    channel: channel(1, 1),
                    if_unused: false,
                    if_empty: false,
                },
            );
            world.settle_down();
            world.events.clear();
        } else if durable {
            world.request(Requester::Nobody, TopologyRequest::DropQueue { id: queue });
            world.settle_down();
        }
        world.crash();
    }
}

#[test]
fn messages_of_a_deleted_queue_do_not_rise_in_its_successor() {
    let mut world = World::new(1, 1);
    let queue = world.durable_queue("q");
    let other = world.durable_queue("other");
    for number in 0..50 {
        world.send(&[queue, other], &number.to_string(), true);
    }
    world.settle_down();
    let owner = world.owner(queue);
    let asker = channel(0, 1);
    world.command(
        owner,
        Command::Delete { queue, channel: asker, if_unused: false, if_empty: false },
    );
    world.settle_down();
    world.events.clear();
    let successor = world.durable_queue("q");
    world.crash();
    assert_eq!(world.counts(successor), (0, 0));
    assert_eq!(world.counts(other), (50, 0));
    world.consume(other, consumer(channel(0, 1), 1), Credit::Unlimited);
    assert_eq!(bodies(&world.deliveries()).len(), 50);
}
