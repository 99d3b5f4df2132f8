//! Client libraries beside pika, each as its users write programs with it, unchanged against the real broker.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::python::Program;
use haremq_tests::{eventually, node};
use std::time::Duration;

/// A worker of one process that runs two tasks at a time.
fn celery_worker(broker: &Broker, name: &str) -> Program {
    let name = format!("{name}@tests");
    let worker = Program::start_client(
        "celery",
        broker,
        &[
            "worker",
            "--loglevel",
            "info",
            "--pool",
            "threads",
            "--concurrency",
            "2",
            "--hostname",
            &name,
        ],
    );
    worker.wait_for_line(" ready.");
    worker
}

fn celery_story(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    Program::start_client("celery_client", broker, arguments).finish()
}

#[test]
fn celery_tasks_retries_groups_and_chains_give_their_results() {
    let broker = Broker::start();
    let _worker = celery_worker(&broker, "worker");
    let squares: Vec<u32> = (0..20).map(|number| number * 2).collect();
    assert_eq!(
        celery_story(&broker, &["results"]),
        [
            "add 5".to_string(),
            "retried 2".to_string(),
            "failed as it should".to_string(),
            format!("group {squares:?}"),
            "chain 112".to_string(),
        ]
    );
}

/// The worker raises its prefetch count (`basic.qos` with `global`) to hold tasks that are not due yet.
#[test]
fn celery_tasks_with_an_eta_do_not_hold_up_others() {
    let broker = Broker::start();
    let _worker = celery_worker(&broker, "worker");
    assert_eq!(
        celery_story(&broker, &["later"]),
        [
            "now 42",
            "was in time True",
            "later [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]",
            "not before True",
        ]
    );
}

#[test]
fn celery_workers_are_controlled_from_afar() {
    let broker = Broker::start();
    let _worker = celery_worker(&broker, "worker");
    assert_eq!(
        celery_story(&broker, &["remote_control"]),
        [
            "ping ['pong']",
            "registered ['celery_app.add', 'celery_app.failing', 'celery_app.flaky', 'celery_app.slow']",
            "queues ['celery']",
            "limit ['new rate limit set successfully']",
            "consumers ['add consumer extra']",
            "extra 11",
        ]
    );
}

#[test]
fn celery_task_of_a_killed_worker_is_done_by_another() {
    let broker = Broker::start();
    let directory = haremq_tests::directory::TestDirectory::new();
    let log = directory.path().join("attempts");
    let first = celery_worker(&broker, "first");
    let client = Program::start_client(
        "celery_client",
        &broker,
        &["worker_lost", log.to_str().expect("a path in UTF-8")],
    );
    eventually("the first worker has begun", Duration::from_secs(60), || {
        std::fs::read_to_string(&log).is_ok_and(|text| text == "begun\n").then_some(())
    });
    first.kill9();
    let _second = celery_worker(&broker, "second");
    assert_eq!(client.finish(), ["slow done in attempt 2"]);
}

#[test]
fn celery_tasks_called_before_kill9_are_done_after_it() {
    let mut broker = Broker::start_with(Setup::new());
    // No worker yet: the tasks wait in a durable queue, confirmed.
    let client = Program::start_client("celery_client", &broker, &["call_only", "200"]);
    assert_eq!(client.finish(), ["called 200"]);
    broker.kill9_and_start_again();
    let _worker = celery_worker(&broker, "worker");
    let ctl = broker.ctl();
    eventually("all tasks are done", Duration::from_secs(60), || {
        (ctl.messages("celery") == Some(0)).then_some(())
    });
}

#[test]
fn aio_pika_programs_run_unchanged() {
    let broker = Broker::start();
    assert_eq!(
        Program::start_client("aio_pika_client", &broker, &[]).finish(),
        [
            "iterated True",
            "left 0",
            "returned NO_ROUTE",
            "refused PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'aio' in vhost '/': \
             received 'false' but current is 'true'",
            "before commit 0",
            "after commit 3",
            "after rollback 3",
            "topic ['a.error', 'error', 'a.b.error'] None",
            "rpc [0, 2, 4, 6, 8]",
            "worked [0, 1, 2, 3, 4]",
        ]
    );
}

#[test]
fn amqplib_programs_run_unchanged() {
    let broker = Broker::start();
    assert_eq!(
        node::start("amqplib_client", &broker, &[]).finish(),
        [
            "queued 100",
            "in order true",
            "again a false, b false, a true",
            "left { messageCount: 1 }",
            "unroutable return 312 NO_ROUTE, ack",
            "missing Channel closed by server: 404 (NOT-FOUND) with message \
             \"NOT_FOUND - no queue 'missing' in vhost '/'\"",
            "differs Channel closed by server: 406 (PRECONDITION-FAILED) with message \
             \"PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'node' in vhost '/': \
             received none but current is the value '600000' of type 'signedint'\"",
            "squares n2=4 n3=9 n4=16",
            "routed inner rest false",
            "told of the end true",
            "large true",
            "closed",
        ]
    );
}
