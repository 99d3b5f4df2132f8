//! Programs written with pika, as its users write them: producers and consumers that know nothing of each other,
//! run unchanged against the real broker. Each scenario names the guarantee a user would notice the lack of.

use haremq_tests::broker::Broker;
use haremq_tests::eventually;
use haremq_tests::python::{Pika, Program};
use std::time::Duration;

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

fn orders_pass_through_in_order(pika: Pika) {
    let broker = Broker::start();
    let ctl = broker.ctl();
    Program::run(pika, "orders_producer", &broker, &[]);
    eventually("list_queues shows 50", Duration::from_secs(10), || {
        (ctl.messages("python-test") == Some(50)).then_some(())
    });
    let taken = Program::run(pika, "orders_consumer", &broker, &[]);
    assert_eq!(taken, numbers(50));
    eventually("list_queues shows 0", Duration::from_secs(10), || {
        (ctl.messages("python-test") == Some(0)).then_some(())
    });
}

#[test]
fn fifty_orders_arrive_in_order() {
    orders_pass_through_in_order(Pika::One);
}

#[test]
fn fifty_orders_arrive_in_order_with_old_pika() {
    orders_pass_through_in_order(Pika::Zero);
}

/// A broker that knows the user `user` with password `password`, made as an operator makes one.
fn broker_with_user() -> Broker {
    let broker = Broker::start();
    let ctl = broker.ctl();
    ctl.succeed(&["add_user", "user", "password"]);
    ctl.succeed(&["set_permissions", "-p", "/", "user", ".*", ".*", ".*"]);
    broker
}

#[test]
fn confirmed_messages_survive_kill9() {
    let mut broker = broker_with_user();
    let producer = Program::start(Pika::One, "durable_producer", &broker, &[]);
    producer.wait_for_line("all confirmed");
    broker.kill9_and_start_again();
    assert_eq!(producer.finish().last().map(String::as_str), Some("the broker is gone"));
    let taken = Program::run(Pika::One, "durable_consumer", &broker, &[]);
    let sent: Vec<String> = (0..82).map(|number| format!("order {number}")).collect();
    assert_eq!(taken, sent, "82 of 82, in order");
}

#[test]
fn confirmed_messages_survive_kill9_with_old_pika() {
    let mut broker = broker_with_user();
    Program::run(Pika::Zero, "durable_producer", &broker, &[]);
    broker.kill9_and_start_again();
    let taken = Program::run(Pika::Zero, "durable_consumer", &broker, &[]);
    let sent: Vec<String> = (0..82).map(|number| format!("order {number}")).collect();
    assert_eq!(taken, sent, "82 of 82, in order");
}

#[test]
fn redeclaring_with_other_durability_is_refused_in_rabbitmqs_words() {
    let broker = Broker::start();
    let answers = Program::run(Pika::One, "redeclare", &broker, &[]);
    assert_eq!(
        answers,
        [
            "accepted",
            "accepted",
            "406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'ledger' in vhost '/': \
             received 'false' but current is 'true'",
            "406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'ledger' in vhost '/': \
             received 'true' but current is 'false'",
            "405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'ledger' in vhost '/'. \
             It could be originally declared on another connection or the exclusive property value does \
             not match that of the original declaration.",
            "accepted",
            "406 PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'books' in vhost '/': \
             received 'true' but current is 'false'",
            "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'books' in vhost '/': \
             received 'fanout' but current is 'direct'",
        ]
    );
}

#[test]
fn unacked_message_of_a_dead_consumer_is_redelivered() {
    let broker = Broker::start();
    Program::run(Pika::One, "task_producer", &broker, &["1"]);
    let first = Program::start(Pika::One, "worker_that_dies", &broker, &["manual"]);
    assert_eq!(first.wait_for_line("took"), "took task 0 False");
    first.kill9();
    let second = Program::start(Pika::One, "worker_that_dies", &broker, &["manual"]);
    assert_eq!(second.wait_for_line("took"), "took task 0 True", "redelivered");
}

#[test]
fn auto_acked_message_of_a_dead_consumer_is_not_redelivered() {
    let broker = Broker::start();
    Program::run(Pika::One, "task_producer", &broker, &["1"]);
    let first = Program::start(Pika::One, "worker_that_dies", &broker, &["auto"]);
    assert_eq!(first.wait_for_line("took"), "took task 0 False");
    first.kill9();
    let ctl = broker.ctl();
    eventually("the dead consumer's connection is gone", Duration::from_secs(10), || {
        ctl.rows(&["list_connections", "name"]).is_empty().then_some(())
    });
    assert_eq!(ctl.messages("task_queue"), Some(0));
    Program::run(Pika::One, "task_producer", &broker, &["1"]);
    let second = Program::start(Pika::One, "worker_that_dies", &broker, &["auto"]);
    assert_eq!(second.wait_for_line("took"), "took task 0 False", "only the new one comes");
}

#[test]
fn slow_consumer_gets_less_under_prefetch_1() {
    let broker = Broker::start();
    let workers = ["0.5", "0.02", "0.02"].map(|seconds_per_task| {
        let worker = Program::start(Pika::One, "task_worker", &broker, &[seconds_per_task]);
        worker.wait_for_line("ready");
        worker
    });
    Program::run(Pika::One, "task_producer", &broker, &["60"]);
    let ctl = broker.ctl();
    eventually("all tasks are done", Duration::from_secs(30), || {
        (ctl.messages("task_queue") == Some(0)).then_some(())
    });
    let done = workers.each_ref().map(|worker| {
        worker.output().lines().iter().filter(|line| line.starts_with("done")).count()
    });
    assert!((57..=60).contains(&done.iter().sum::<usize>()), "{done:?} of 60 tasks were reported");
    assert!(
        done[0] * 3 < done[1] && done[0] * 3 < done[2],
        "the slow one took its share: {done:?}"
    );
}

fn only_those_bound_at_the_time_get_a_fanout(pika: Pika) {
    let broker = Broker::start();
    Program::run(pika, "log_emitter", &broker, &["too early"]);
    let receivers = [(); 2].map(|()| {
        let receiver = Program::start(pika, "log_receiver", &broker, &[]);
        let line = receiver.wait_for_line("listening on");
        assert!(line.starts_with("listening on amq.gen-"), "server-named: {line}");
        receiver
    });
    for line in ["one", "two", "end"] {
        Program::run(pika, "log_emitter", &broker, &[line]);
    }
    for receiver in receivers {
        assert_eq!(receiver.finish()[1..], ["line one", "line two"]);
    }
    let ctl = broker.ctl();
    eventually("the exclusive queues go with their connections", Duration::from_secs(10), || {
        ctl.rows(&["list_queues", "name"]).is_empty().then_some(())
    });
}

#[test]
fn fanout_before_binding_is_gone() {
    only_those_bound_at_the_time_get_a_fanout(Pika::One);
}

#[test]
fn fanout_before_binding_is_gone_with_old_pika() {
    only_those_bound_at_the_time_get_a_fanout(Pika::Zero);
}

/// Starts a receiver per list of keys, sends the messages, and gives what each receiver got.
fn routed(kind: &str, keys: &[&[&str]], messages: &[&str]) -> Vec<Vec<String>> {
    let broker = Broker::start();
    let receivers: Vec<Program> = keys
        .iter()
        .map(|keys| {
            let arguments = [&[kind], *keys].concat();
            let receiver = Program::start(Pika::One, "routed_receiver", &broker, &arguments);
            receiver.wait_for_line("listening on");
            receiver
        })
        .collect();
    Program::run(Pika::One, "routed_emitter", &broker, &[&[kind], messages].concat());
    receivers.into_iter().map(|receiver| receiver.finish()[1..].to_vec()).collect()
}

#[test]
fn direct_severities() {
    let got = routed(
        "direct",
        &[&["error"], &["info", "warning", "error"]],
        &["info:i", "debug:d", "error:e", "warning:w", "info:j", "error:end"],
    );
    assert_eq!(got[0], ["error:e"]);
    assert_eq!(got[1], ["info:i", "error:e", "warning:w", "info:j"]);
}

#[test]
fn topic_star_and_hash() {
    let got = routed(
        "topic",
        &[&["*.error", "mysql.*"], &["#"], &["mysql.#"]],
        &[
            "mysql.info:1",
            "kernel.error:2",
            "mysql.error:3",
            "kernel.disk.error:4",
            "mysql.slow.query:5",
            "mysql:6",
            "mysql.error:end",
        ],
    );
    assert_eq!(got[0], ["mysql.info:1", "kernel.error:2", "mysql.error:3"]);
    assert_eq!(
        got[1],
        [
            "mysql.info:1",
            "kernel.error:2",
            "mysql.error:3",
            "kernel.disk.error:4",
            "mysql.slow.query:5",
            "mysql:6"
        ]
    );
    assert_eq!(got[2], ["mysql.info:1", "mysql.error:3", "mysql.slow.query:5", "mysql:6"]);
}

fn fibonacci_by_remote_call(pika: Pika) {
    let broker = Broker::start();
    let server = Program::start(pika, "rpc_server", &broker, &[]);
    server.wait_for_line("awaiting requests");
    let answers = Program::run(pika, "rpc_client", &broker, &["6", "30"]);
    assert_eq!(answers, ["fib(6) = 8", "fib(30) = 832040"]);
}

#[test]
fn rpc_fib() {
    fibonacci_by_remote_call(Pika::One);
}

#[test]
fn rpc_fib_with_old_pika() {
    fibonacci_by_remote_call(Pika::Zero);
}
