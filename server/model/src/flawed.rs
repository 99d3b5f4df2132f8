//! The same files with something missing: the checker must find a thread that sleeps for ever.

use std::future::poll_fn;
use std::process::Command;

use haremq_engine::ids::ShardId;
use loom::future::block_on;
use loom::model::Builder;
use loom::thread;

use crate::{without_fences, without_wakers};

/// Set in a process that runs one of these tests.
const ALONE: &str = "HAREMQ_MODEL_ALONE";

/// One message from one thread to another that sleeps by its bell.
macro_rules! one_message {
    ($ring:ident) => {{
        let mut builder = Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let mut ports = $ring::mesh(2).into_iter();
            let (mut here, mut there) = (ports.next().expect("a port"), ports.next().expect("two"));
            let reader = thread::spawn(move || {
                block_on(async {
                    while there.receive().is_none() {
                        let bell = there.bell().clone();
                        poll_fn(|cx| bell.poll_mail(cx, || there.has_work())).await;
                    }
                });
            });
            here.batch(ShardId(1)).0.push(7);
            here.flush();
            reader.join().expect("it ends");
        });
    }};
}

/// Runs that test in a process of its own, since the checker cannot always clean up after a deadlock, and expects one.
fn assert_deadlocks(test: &str, run: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return run();
    }
    let program = std::env::current_exe().expect("a running test has a path");
    let output = Command::new(program)
        .args(["--exact", &format!("flawed::{test}"), "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("it can be run again");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("deadlock; threads"), "{said}");
}

#[test]
fn a_bell_without_fences_is_found_out() {
    assert_deadlocks("a_bell_without_fences_is_found_out", || one_message!(without_fences));
}

#[test]
fn a_bell_that_does_not_ring_is_found_out() {
    assert_deadlocks("a_bell_that_does_not_ring_is_found_out", || one_message!(without_wakers));
}
