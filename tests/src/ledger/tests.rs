//! What the ledger sees and what it lets pass.

use super::*;

fn id(number: u64) -> MessageId {
    MessageId { queue: 0, publisher: 7, number }
}

/// Three messages published and confirmed.
fn three_at_work() -> Ledger {
    let mut ledger = Ledger::new();
    for number in 1..=3 {
        ledger.published(id(number));
        ledger.confirmed(id(number));
    }
    ledger
}

/// The same, ready to be drained.
fn three() -> Ledger {
    let mut ledger = three_at_work();
    ledger.drain_begins();
    ledger
}

fn deliver(ledger: &mut Ledger, number: u64, redelivered: bool) {
    ledger.delivered(0, &id(number).body(40), redelivered);
}

#[test]
fn an_honest_broker_is_flawless() {
    let mut ledger = three();
    (1..=3).for_each(|number| deliver(&mut ledger, number, false));
    ledger.verdict().assert_flawless();
}

#[test]
fn a_confirmed_message_that_is_gone_is_lost() {
    let mut ledger = three();
    deliver(&mut ledger, 1, false);
    deliver(&mut ledger, 3, false);
    assert_eq!(ledger.verdict().lost, [id(2)]);
}

#[test]
fn a_message_delivered_before_the_crash_but_not_after_is_lost() {
    let mut ledger = Ledger::new();
    ledger.published(id(1));
    ledger.confirmed(id(1));
    deliver(&mut ledger, 1, false);
    ledger.broker_restarted();
    ledger.drain_begins();
    assert_eq!(ledger.verdict().lost, [id(1)]);
}

#[test]
fn an_acknowledged_message_is_not_lost_and_may_return_flagged() {
    let mut ledger = Ledger::new();
    ledger.published(id(1));
    ledger.confirmed(id(1));
    deliver(&mut ledger, 1, false);
    ledger.acknowledged(id(1));
    ledger.broker_restarted();
    ledger.drain_begins();
    ledger.verdict().assert_flawless();
    deliver(&mut ledger, 1, true);
    ledger.verdict().assert_flawless();
    assert_eq!(ledger.verdict().returned, 1);
}

#[test]
fn a_message_that_comes_back_though_its_ack_is_safe_is_a_zombie() {
    let mut ledger = Ledger::new();
    ledger.published(id(1));
    ledger.confirmed(id(1));
    deliver(&mut ledger, 1, false);
    ledger.acknowledged(id(1));
    ledger.settled(id(1));
    ledger.broker_restarted();
    ledger.drain_begins();
    ledger.verdict().assert_flawless();
    deliver(&mut ledger, 1, true);
    assert_eq!(ledger.verdict().zombies, [id(1)]);
}

#[test]
fn the_ledger_of_an_earlier_time_knows_what_was_certain_then() {
    let time = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let clock = time.clone();
    let mut ledger = Ledger::with_clock(move || clock.load(std::sync::atomic::Ordering::Relaxed));
    let tick = || time.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ledger.published(id(1));
    tick();
    ledger.confirmed(id(1));
    tick();
    deliver(&mut ledger, 1, false);
    ledger.acknowledged(id(1));
    let lost = |time| ledger.as_of(time).verdict().lost;
    assert_eq!((lost(0), lost(1), lost(2), lost(3)), (vec![], vec![id(1)], vec![id(1)], vec![]));
    let mut then = ledger.as_of(2);
    deliver(&mut then, 1, false);
    assert_eq!(then.verdict().unflagged_duplicates, [id(1)]);
}

#[test]
fn between_two_times_only_what_is_certain_is_blamed_on_the_broker() {
    let time = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let clock = time.clone();
    let mut ledger = Ledger::with_clock(move || clock.load(std::sync::atomic::Ordering::Relaxed));
    let tick = || time.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    ledger.published(id(1));
    ledger.confirmed(id(1));
    tick();
    // Between the two times.
    ledger.published(id(2));
    ledger.confirmed(id(2));
    tick();
    ledger.published(id(3));
    let then = ledger.as_of_between(0, 1);
    assert_eq!(then.verdict().lost, [id(1)], "of the second one nothing is certain");
    let mut then = ledger.as_of_between(0, 1);
    (1..=3).for_each(|number| deliver(&mut then, number, true));
    assert_eq!(then.verdict().phantoms, [id(3)], "the second one may have happened");
    ledger.acknowledged(id(1));
    assert_eq!(ledger.as_of_between(0, 2).verdict().lost, [id(1)], "its ack came later");
    assert!(ledger.as_of_between(0, 3).verdict().lost.is_empty(), "its ack may have happened");
}

#[test]
fn an_unconfirmed_message_may_be_gone() {
    let mut ledger = Ledger::new();
    ledger.published(id(1));
    ledger.drain_begins();
    ledger.verdict().assert_flawless();
}

#[test]
fn a_message_nobody_published_is_a_phantom() {
    let mut ledger = three();
    deliver(&mut ledger, 9, false);
    assert_eq!(ledger.verdict().phantoms, [id(9)]);
}

#[test]
fn a_damaged_body_is_corrupt() {
    let mut ledger = three();
    let mut body = id(1).body(40);
    body[39] ^= 1;
    ledger.delivered(0, &body, false);
    assert_eq!(ledger.verdict().corrupt, 1);
    ledger.delivered(0, &id(2).body(40)[..39], false);
    assert_eq!(ledger.verdict().corrupt, 1, "a shorter body of the same kind is another message");
}

#[test]
fn a_second_delivery_must_carry_the_flag() {
    let mut ledger = three_at_work();
    (1..=2).for_each(|number| deliver(&mut ledger, number, false));
    ledger.drain_begins();
    (1..=2).for_each(|number| deliver(&mut ledger, number, true));
    deliver(&mut ledger, 3, false);
    ledger.verdict().assert_flawless();
    deliver(&mut ledger, 2, false);
    assert_eq!(ledger.verdict().unflagged_duplicates, [id(2)]);
}

/// A dead letter that was moved and stayed: after a restart both carry the flag.
#[test]
fn a_message_that_is_there_twice_is_doubled_whatever_its_flag() {
    let mut ledger = three();
    (1..=3).for_each(|number| deliver(&mut ledger, number, true));
    ledger.verdict().assert_flawless();
    deliver(&mut ledger, 2, true);
    assert_eq!(ledger.verdict().doubled, [id(2)]);
}

/// A consumer is told to stop with deliveries in its socket; they go to one that has had newer ones.
#[test]
fn what_another_consumer_left_unread_may_be_late_but_only_flagged() {
    let mut ledger = three();
    ledger.delivered(1, &id(2).body(40), false);
    ledger.delivered(0, &id(3).body(40), false);
    ledger.delivered(0, &id(1).body(40), true);
    ledger.verdict().assert_flawless();
    // Nobody else was there: where it stood in the queue it must have come.
    let mut ledger = three();
    deliver(&mut ledger, 3, false);
    deliver(&mut ledger, 1, true);
    assert_eq!(ledger.verdict().out_of_order, [id(1)]);
}

#[test]
fn first_deliveries_out_of_order_are_seen_and_a_restart_begins_anew() {
    let mut ledger = three_at_work();
    deliver(&mut ledger, 2, false);
    ledger.broker_restarted();
    ledger.drain_begins();
    deliver(&mut ledger, 1, false);
    deliver(&mut ledger, 2, true);
    deliver(&mut ledger, 3, false);
    ledger.verdict().assert_flawless();
    let mut ledger = three();
    deliver(&mut ledger, 2, false);
    deliver(&mut ledger, 1, false);
    assert_eq!(ledger.verdict().out_of_order, [id(1)]);
}
