//! The ring as it is.

use std::future::poll_fn;
// Not the checker's: it is not to try orders of counting.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use haremq_engine::ids::ShardId;
use loom::future::block_on;
use loom::model::Builder;
use loom::thread;

use crate::as_it_is::{mesh, Port};

/// Tries every order in which each thread is interrupted so many times at most, and says how many those were.
fn check(interruptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let orders = Arc::new(AtomicU64::new(0));
    let count = orders.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = Some(interruptions);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let (orders, name) = (orders.load(Ordering::Relaxed), std::thread::current());
    println!("{}: {orders} orders", name.name().expect("the name of the test"));
}

fn two_ports() -> (Port, Port) {
    let mut ports = mesh(2).into_iter();
    (ports.next().expect("a port"), ports.next().expect("two"))
}

/// Takes what has come.
fn read(port: &mut Port, into: &mut Vec<u64>) {
    while let Some((from, mut batch)) = port.receive() {
        into.append(&mut batch.0);
        port.give_back(from, batch);
    }
}

/// Sleeps until there is mail, or room for what waits.
async fn sleep(port: &Port) {
    let bell = port.bell().clone();
    poll_fn(|cx| bell.poll_mail(cx, || port.has_work())).await;
    bell.stay_awake();
}

/// Sends numbers, each in a batch of its own, and sleeps while they do not fit.
async fn send_all(port: &mut Port, to: ShardId, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        port.batch(to).0.push(number);
        port.flush();
    }
    while !port.is_flushed() {
        sleep(port).await;
        port.flush();
    }
}

async fn receive_all(port: &mut Port, count: usize) -> Vec<u64> {
    let mut seen = Vec::new();
    read(port, &mut seen);
    while seen.len() < count {
        sleep(port).await;
        read(port, &mut seen);
    }
    seen
}

#[test]
fn whoever_sleeps_is_woken_by_mail() {
    check(4, || {
        let (mut here, mut there) = two_ports();
        let reader = thread::spawn(move || block_on(receive_all(&mut there, 1)));
        here.batch(ShardId(1)).0.push(7);
        here.flush();
        assert_eq!(reader.join().expect("it ends"), [7]);
    });
}

/// So many numbers through a ring with one slot.
fn through_a_full_ring(interruptions: usize, count: u64) {
    check(interruptions, move || {
        let (mut here, mut there) = two_ports();
        let reader = thread::spawn(move || block_on(receive_all(&mut there, count as usize)));
        block_on(send_all(&mut here, ShardId(1), 0..count));
        assert!(reader.join().expect("it ends").into_iter().eq(0..count));
    });
}

#[test]
fn mail_through_a_full_ring_arrives_in_order_and_both_sides_are_woken() {
    through_a_full_ring(3, 2);
    through_a_full_ring(2, 3);
}

#[test]
fn two_shards_that_answer_each_other_never_both_sleep() {
    check(3, || {
        let (mut here, mut there) = two_ports();
        let echo = thread::spawn(move || {
            block_on(async {
                let seen = receive_all(&mut there, 1).await;
                send_all(&mut there, ShardId(0), seen.iter().map(|number| number + 1)).await;
            });
        });
        block_on(async {
            send_all(&mut here, ShardId(1), std::iter::once(1)).await;
            assert_eq!(receive_all(&mut here, 1).await, [2]);
        });
        echo.join().expect("it ends");
    });
}

#[test]
fn two_shards_that_flood_each_other_read_everything() {
    check(2, || {
        let (mut here, mut there) = two_ports();
        let flood = |port: &mut Port, to: ShardId| {
            for number in 0..2 {
                port.batch(to).0.push(number);
                port.flush();
            }
            let mut seen = Vec::new();
            block_on(async {
                loop {
                    read(port, &mut seen);
                    port.flush();
                    if seen.len() == 2 && port.is_flushed() {
                        break;
                    }
                    sleep(port).await;
                }
            });
            assert_eq!(seen, [0, 1]);
        };
        let other = thread::spawn(move || flood(&mut there, ShardId(0)));
        flood(&mut here, ShardId(1));
        other.join().expect("it ends");
    });
}
