//! What the log promises, one promise at a time.

use super::disk::{failure, ticket};
use super::world::World;
use super::{roomy, tiny};
use crate::ids::QueueId;
use crate::log::{LogCompletion, LogEffect, LogError, Position};

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

/// A log whose first segment file exists.
fn ready(config: crate::log::LogConfig) -> World {
    let mut world = World::new(config, 1);
    world.settle_down();
    world
}

#[test]
fn durable_waits_for_the_write_and_for_all_writes_before_it() {
    let mut world = ready(tiny());
    let mut ends = Vec::new();
    for _ in 0..3 {
        // Each as large as a buffer, so that each is a write of its own.
        world.append(&[Q], 15_000);
        ends.push(world.log.end());
    }
    let writes = world.poll_writes();
    assert!(writes.len() >= 2);
    let before = world.log.durable();
    let late = world.disk.carry_out(&writes[1]);
    world.complete(late).expect("written");
    assert_eq!(world.log.durable(), before, "the write before it is still under way");
    let early = world.disk.carry_out(&writes[0]);
    world.complete(early).expect("written");
    assert!(world.log.durable() >= ends[0]);
}

#[test]
fn move_is_whole_wherever_the_power_goes() {
    let mut moved = [0, 0];
    for seed in 0..1500 {
        let mut world = World::new(tiny(), seed);
        let fill = world.random.below(9_000);
        let from = world.append(&[Q], 100)[0];
        world.settle_down();
        world.append(&[Q], fill);
        // The message about fills the block, so that the settle may be the first record too many;
        // some come in parts.
        let less = 88 + world.random.below(300);
        let bytes = match seed % 5 {
            0 => 40_000,
            _ => world.log.batch.room().saturating_sub(less),
        };
        let to = world.append_move(from, &[R], bytes)[0];
        world.crash();
        let there = [from, to].map(|key| world.held.contains_key(&key));
        assert!(there[0] != there[1], "lost or doubled: {there:?}");
        moved[usize::from(there[1])] += 1;
    }
    assert!(moved[0] > 10 && moved[1] > 10, "{moved:?}");
}

#[test]
fn what_arrives_during_a_write_is_the_next_write() {
    let mut world = ready(tiny());
    world.append(&[Q], 10);
    let first = world.poll_writes();
    assert_eq!(first.len(), 1, "the first one goes out at once");
    for _ in 0..20 {
        world.append(&[Q], 10);
        assert!(world.poll_writes().is_empty(), "the others wait");
    }
    let completion = world.disk.carry_out(&first[0]);
    world.complete(completion).expect("written");
    let second = world.poll_writes();
    assert_eq!(second.len(), 1, "and go out together");
    let completion = world.disk.carry_out(&second[0]);
    world.complete(completion).expect("written");
    assert!(world.log.durable() >= world.log.end());
}

#[test]
fn settles_wait_for_company_but_not_for_ever() {
    let mut world = ready(tiny());
    let message = world.append(&[Q], 10)[0];
    world.settle_down();
    world.settle(message);
    world.poll();
    assert!(world.under_way.is_empty());
    let deadline = world.log.deadline_us().expect("a settle waits");
    assert_eq!(deadline, world.now.monotonic_us + world.config.settle_delay_us);
    world.now.monotonic_us = deadline;
    world.poll();
    assert_eq!(world.under_way.len(), 1);
    world.step();
    assert!(world.log.durable() >= world.log.end() && world.log.deadline_us().is_none());
}

#[test]
fn a_settle_rides_the_next_commit() {
    let mut world = ready(tiny());
    let message = world.append(&[Q], 10)[0];
    world.settle_down();
    world.settle(message);
    world.append(&[Q], 10);
    world.poll();
    world.step();
    assert!(world.log.durable() >= world.held[&message].settled.expect("settled"));
}

#[test]
fn flush_takes_settles_along_at_once() {
    let mut world = ready(tiny());
    let message = world.append(&[Q], 10)[0];
    world.settle_down();
    world.settle(message);
    world.log.flush();
    world.poll();
    assert_eq!(world.under_way.len(), 1);
}

#[test]
fn settles_of_a_run_share_a_record() {
    let mut world = ready(roomy());
    let messages: Vec<_> = (0..1000).flat_map(|_| world.append(&[Q, R], 10)).collect();
    world.settle_down();
    world.settle(messages[0]);
    world.settle(messages[1]);
    let end = world.log.end();
    for message in &messages[2..] {
        world.settle(*message);
    }
    assert_eq!(world.log.end(), end, "two records say it all");
    world.settle_down();
    world.crash();
    assert!(world.held.is_empty());
}

#[test]
fn a_failed_write_is_final() {
    let mut world = ready(tiny());
    world.append(&[Q], 10);
    world.append(&[Q], 15_000);
    world.append(&[Q], 15_000);
    let writes = world.poll_writes();
    let before = world.log.durable();
    let failed = LogCompletion::Failed { ticket: ticket(&writes[0]), error: failure(5) };
    let error = world.complete(failed).expect_err("a failed write");
    assert!(matches!(error, LogError::Write { error, .. } if error == failure(5)));
    let others = world.disk.carry_out(&writes[1]);
    world.complete(others).expect("it was written, which says nothing");
    world.append(&[Q], 10);
    assert!(world.log.poll_effect(world.now).is_none());
    assert_eq!(world.log.durable(), before);
    assert!(!world.log.has_room() && world.log.deadline_us().is_none());
}

#[test]
fn a_full_disk_stops_publishers_and_not_the_log() {
    let mut world = ready(tiny());
    let mut refused = 0;
    for _ in 0..400 {
        if world.log.has_room() {
            world.append(&[Q], 1000);
        }
        world.poll();
        while let Some(effect) = world.under_way.pop_front() {
            let completion = match &effect {
                LogEffect::Create { ticket, .. } => {
                    refused += 1;
                    LogCompletion::Failed { ticket: *ticket, error: failure(28) }
                }
                other => world.disk.carry_out(other),
            };
            world.complete(completion).expect("a full disk is no failure");
        }
    }
    assert!(refused > 0 && !world.log.has_room());
    assert!(world.log.durable() >= world.log.end());
    let first = world.unsettled()[0];
    world.settle(first);
    world.log.flush();
    world.poll();
    world.step();
    assert!(world.log.durable() >= world.log.end(), "settles go on");
    world.settle_down();
    assert!(world.log.has_room(), "and publishers, once there is space");
    world.crash();
}

/// What waits for the device delays every confirm behind it, and more of it makes the device no busier.
#[test]
fn publishers_wait_for_the_device_before_settles_do_and_go_on_when_half_is_gone() {
    let mut world = ready(roomy());
    while world.log.has_room() {
        world.append(&[Q], 5000);
        let writes = world.poll_writes();
        world.under_way.extend(writes);
    }
    assert!(world.log.takes_settles() && !world.log.has_room_again());
    let writes = world.under_way.len();
    while !world.log.has_room_again() {
        world.step();
        world.poll();
    }
    assert!(world.log.durable() < world.log.end() && writes > 1, "{writes} writes");
    world.settle_down();
    world.crash();
}

#[test]
fn a_file_that_cannot_be_made_is_final_unless_the_disk_is_full() {
    let mut world = World::new(tiny(), 1);
    world.poll();
    let create = world.under_way.pop_front().expect("the first file");
    let failed = LogCompletion::Failed { ticket: ticket(&create), error: failure(13) };
    assert!(matches!(world.complete(failed), Err(LogError::Create { file: 1, .. })));
}

#[test]
fn appends_before_the_first_file_exists_are_kept() {
    let mut world = World::new(tiny(), 1);
    let mut accepted = 0;
    while world.log.has_room() {
        world.append(&[Q], 5000);
        accepted += 1;
    }
    assert!(accepted > 3);
    assert_eq!(world.log.durable(), Position(0));
    world.settle_down();
    world.crash();
    assert_eq!(world.held.len(), accepted);
}

#[test]
fn a_message_is_readable_before_and_after_it_is_durable() {
    let mut world = ready(tiny());
    let message = world.append(&[Q], 700)[0];
    world.fetch_and_compare(message);
    world.poll();
    world.fetch_and_compare(message);
    world.settle_down();
    world.fetch_and_compare(message);
}

#[test]
fn a_backlog_is_read_back_in_large_reads() {
    let mut world = ready(roomy());
    let messages: Vec<_> = (0..6000)
        .flat_map(|_| {
            let message = world.append(&[Q], 2000);
            world.settle_down();
            message
        })
        .collect();
    let bytes = world.log.end().0 as usize;
    assert!(world.log.cache.bytes() <= world.config.cache_bytes);
    let mut reads = 0;
    for message in messages {
        let before = world.log.ticket;
        world.fetch_and_compare(message);
        reads += (world.log.ticket - before) as usize;
    }
    assert!(reads <= bytes / (256 * 1024) * 11 / 10 + 8, "{reads} reads for {bytes} octets");
    assert!(world.log.cache.bytes() <= world.config.cache_bytes);
}

#[test]
fn what_comes_next_is_read_ahead() {
    let mut world = ready(roomy());
    let messages: Vec<_> = (0..3000).flat_map(|_| world.append(&[Q], 2000)).collect();
    world.settle_down();
    let (mut first, mut waits) = (true, 0);
    for message in messages {
        let held = world.held[&message].clone();
        if matches!(world.log.fetch(held.address, held.length), crate::log::Fetch::Pending) {
            waits += 1;
            first = false;
        }
        world.settle_down();
        world.fetch_and_compare(message);
    }
    assert!(!first, "the beginning has left the cache");
    assert!(waits <= 3, "{waits} waits: the first read and one at each segment's start");
}

#[test]
fn a_message_longer_than_a_segment_is_stored_read_and_given_back() {
    let mut world = ready(roomy());
    let others = world.append(&[R], 100);
    let queues: Vec<QueueId> = (10..50).map(QueueId).collect();
    let references = world.append(&queues, 9 << 20);
    assert!(world.held[&references[0]].length < 4096, "its record only names the parts");
    assert!(!world.log.has_room(), "publishers wait until it is on its way");
    world.settle_down();
    world.fetch_and_compare(references[0]);
    world.crash();
    assert_eq!(world.held.len(), queues.len() + 1);
    world.fetch_and_compare(references[39]);
    for reference in &references[1..] {
        world.settle(*reference);
    }
    world.settle_down();
    assert!(world.log.segments.len() >= 3, "one reference is enough to keep it");
    world.crash();
    world.fetch_and_compare(references[0]);
    world.settle(references[0]);
    world.fill_segment(R);
    assert!(world.log.segments.len() <= 3, "nothing is left of it");
    world.crash();
    world.fetch_and_compare(others[0]);
}

#[test]
fn as_many_queues_as_one_likes_take_a_message() {
    let mut world = ready(roomy());
    let queues: Vec<QueueId> = (1..=60_000).map(QueueId).collect();
    let references = world.append(&queues, 10);
    world.settle_down();
    for reference in references.iter().step_by(2) {
        world.settle(*reference);
    }
    world.settle_down();
    world.crash();
    assert_eq!(world.held.len(), 30_000);
}

#[test]
fn a_stop_makes_everything_durable_and_marks_it() {
    let mut world = ready(tiny());
    world.append(&[Q], 10);
    let message = world.append(&[Q], 10)[0];
    world.settle_down();
    world.settle(message);
    world.log.stop();
    for expected in ["the settle", "the mark"] {
        assert!(world.log.durable() < world.log.end(), "{expected} is still to come");
        let writes = world.poll_writes();
        assert_eq!(writes.len(), 1, "{expected}");
        let completion = world.disk.carry_out(&writes[0]);
        world.complete(completion).expect("written");
    }
    assert!(world.log.durable() >= world.log.end());
    assert!(world.poll_writes().is_empty(), "one mark is enough");
    world.recover().expect("sound");
    assert_eq!(world.held.len(), 1);
}

#[test]
fn a_log_goes_on_where_it_stopped() {
    let mut world = ready(tiny());
    for round in 0..200 {
        let message = world.append(&[Q], 300)[0];
        world.settle_down();
        let end = world.log.durable();
        world.recover().expect("a clean stop");
        assert_eq!(world.torn_bytes, 0);
        assert_eq!(world.log.durable(), end, "round {round}");
        world.fetch_and_compare(message);
    }
    assert_eq!(world.held.len(), 200);
}

/// Settles of one queue in a row become one record, made longer in place. Once a piece of the
/// index has been written behind it, that must end: a start that reads the segment takes the
/// record for something that the piece tells of.
#[test]
fn a_settle_behind_a_piece_of_the_index_is_a_record_of_its_own() {
    let mut world = ready(tiny());
    let all = world.fill_segment(Q);
    world.settle(all[0]);
    world.log.write_index_piece(world.now);
    world.settle(all[1]);
    world.settle_down();
    world.crash();
    world.fill_segment(R);
    world.crash();
    assert!(world.indexed > 0);
    assert!(!world.held.contains_key(&all[1]) && world.held.contains_key(&all[2]));
}

/// Transactions are numbered from the beginning by each run. Two runs wrote to one segment, and a
/// piece of its index told of the journal record of the first one's transaction; the next piece,
/// whose settles come last, told of its settle behind the journal record that had got its number:
/// the start took that to be settled, and with it went a dead letter on its way between shards.
#[test]
fn a_number_that_is_given_again_is_not_settled_by_what_the_index_says_of_the_first_one() {
    for kept in [R, QueueId::TRANSACTIONS] {
        let mut world = ready(tiny());
        let first = world.append(&[QueueId::TRANSACTIONS], 300)[0];
        world.log.write_index_piece(world.now);
        world.settle(first);
        world.settle_down();
        world.crash();
        world.next_seq.insert(QueueId::TRANSACTIONS, first.1 .0);
        let again = world.append(&[QueueId::TRANSACTIONS], 300)[0];
        assert_eq!(again, first);
        if kept == R {
            // The one that has the number now may be told of by an earlier piece itself.
            world.log.write_index_piece(world.now);
            world.settle(again);
        }
        world.fill_segment(R);
        world.crash();
        assert!(world.indexed > 0);
        assert_eq!(world.held.contains_key(&again), kept == QueueId::TRANSACTIONS);
    }
}

/// A segment whose end and index are there but whose successor is not goes on, with more pieces.
#[test]
fn a_sealed_segment_that_goes_on_after_a_crash_keeps_a_whole_index() {
    for count in [0, 1, 3] {
        let mut world = ready(tiny());
        let segment = world.log.segments.tail().number;
        let mut first = Vec::new();
        while world.log.segments.tail().number == segment {
            first.extend(world.append(&[Q], 900));
            if world.log.segments.tail().number == segment {
                world.settle_down();
            }
        }
        // Everything of the old segment lands, nothing of the new one.
        loop {
            world.poll();
            let Some(effect) = world.under_way.pop_front() else { break };
            if matches!(&effect, LogEffect::Write { offset: 0, .. }) {
                break;
            }
            let completion = world.disk.carry_out(&effect);
            world.complete(completion).expect("sound");
        }
        world.under_way.clear();
        world.recover().expect("sound");
        assert_eq!(world.log.segments.tail().number, segment);
        for message in &first[..count] {
            world.settle(*message);
        }
        world.settle_down();
        world.fill_segment(R);
        world.crash();
        let mut sealed = world.log.segments.iter().filter(|segment| segment.sealed_end.is_some());
        assert!(sealed.all(|segment| segment.index.is_some()) && world.indexed > 0);
    }
}
