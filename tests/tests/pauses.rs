//! A broker that stands still for longer than heartbeats may take, and then goes on as if nothing had been.

use haremq_tests::broker::Broker;
use haremq_tests::traffic::{declare, drain, go_on, Consumer, Publisher, SharedLedger, PERSISTENT};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::frame::HEARTBEAT;
use haremq_tests::wire::{method, Client, Frame, Login};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::time::Duration;

const QUEUES: u32 = 2;
const HEARTBEAT_S: u16 = 1;
/// Two checks of the input are one heartbeat apart; this is four.
const PAUSE: Duration = Duration::from_secs(4);

fn login(broker: SocketAddr) -> Client {
    let login = Login { heartbeat_s: HEARTBEAT_S, ..Login::default() };
    let (mut client, answer) = Client::login_as(broker, &login);
    assert_eq!(answer.to_string(), "method (10,41)");
    client.open_channel(1);
    client
}

/// expiration as the only property, delivery-mode 2.
fn expiring(ms: &str) -> Vec<u8> {
    let mut properties = vec![0x11, 0x00, 2];
    properties.push(u8::try_from(ms.len()).expect("short"));
    properties.extend(ms.as_bytes());
    properties
}

#[test]
fn a_pause_longer_than_heartbeats_loses_no_message_and_no_connection_that_gave_signs_of_life() {
    let mut broker = Broker::start();
    let address = broker.amqp();
    declare(address, QUEUES);
    let ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, QUEUES, 50), Publisher::new(1, QUEUES, 1)];
    let mut alive = login(address);
    let mut silent = login(address);
    alive.declare_queue(1, "clock", 2);
    alive.confirm_select(1);
    alive.publish(1, "", "clock", &expiring("1000"), b"short").expect("octets are taken");
    alive.publish(1, "", "clock", PERSISTENT, b"for ever").expect("octets are taken");
    alive.await_confirms(1, 2);
    std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        go_on(scope, address, &mut publishers, Consumer::default(), &ledger);
        haremq_tests::eventually("publishes are confirmed", PATIENCE, || {
            (ledger.lock().verdict().confirmed > 100).then_some(())
        });

        broker.signal(Signal::STOP);
        let heartbeat = Frame { kind: HEARTBEAT, channel: 0, payload: Vec::new() }.encode();
        let beats = PAUSE.as_millis() / 400;
        for _ in 0..beats {
            alive.send(&heartbeat);
            std::thread::sleep(Duration::from_millis(400));
        }
        broker.signal(Signal::CONT);

        // The pause counts for what has a limit of time.
        let mut others = Client::login_with_channel(address);
        let kept = others.get(1, "clock").expect("the one without a limit is there");
        assert_eq!(kept.body, b"for ever");
        // Heartbeats from the broker are waiting in between, so the answer is looked for among them.
        alive.publish(1, "", "clock", PERSISTENT, b"still here").expect("octets are taken");
        loop {
            alive.send(&heartbeat);
            match alive.receive(PATIENCE) {
                haremq_tests::wire::Received::Frame(frame) if frame.kind == HEARTBEAT => {}
                haremq_tests::wire::Received::Frame(frame) => {
                    assert_eq!(frame.method_id(), Some(method::BASIC_ACK));
                    break;
                }
                other => panic!("a connection that sent heartbeats is gone: {other}"),
            }
        }
        assert!(silent.receive_end(PATIENCE).is_some(), "who says nothing is let go in the end");
        ledger.stop();
    });
    drain(address, QUEUES, &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    verdict.assert_flawless();
    assert_eq!(verdict.confirmed, verdict.published, "stopped in peace, all is confirmed");
    assert!(broker.is_alive());
}
