//! Transient messages beyond the memory for messages: they go to disk and come back in order, and
//! the broker's memory keeps its bounds.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Client, Received};

/// delivery-mode 1 as the only property.
const TRANSIENT: &[u8] = &[0x10, 0x00, 1];
/// Of queue.declare.
const DURABLE: u8 = 2;
/// Both shards together keep 16 MiB of messages in memory.
const MEMORY: u64 = 16 << 20;
const BODY_BYTES: usize = 16 * 1024;
/// 160 MiB.
const COUNT: u64 = 10_000;
/// What a broker with two shards has besides messages: buffers, caches, a connection.
const BESIDES: u64 = 100 << 20;

fn body(number: u64) -> Vec<u8> {
    let mut body = vec![b'.'; BODY_BYTES];
    body[..8].copy_from_slice(&number.to_be_bytes());
    body
}

fn number(body: &[u8]) -> u64 {
    u64::from_be_bytes(body[..8].try_into().expect("eight octets"))
}

/// Publishes all messages and waits until the broker has said that it has them.
fn publish(client: &mut Client, queue: &str) {
    client.confirm_select(1);
    for sent in 0..COUNT {
        client.publish(1, "", queue, TRANSIENT, &body(sent)).expect("the broker is there");
    }
    let mut confirmed = 0;
    while confirmed < COUNT {
        let frame = client.expect(1, method::BASIC_ACK);
        let mut arguments = frame.arguments();
        let (tag, multiple) = (arguments.longlong(), arguments.octet() & 1 != 0);
        confirmed = if multiple { tag } else { confirmed + 1 };
    }
}

#[test]
fn transient_backlog_beyond_the_memory_comes_back_in_order_and_is_gone_after_a_restart() {
    let twice = (2 * MEMORY).to_string();
    let setup = Setup::new().arguments(["--vm-memory-high-watermark", &twice]);
    let mut broker = Broker::start_with(setup);
    let idle = broker.resident_octets();
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "spilled", DURABLE);
    publish(&mut client, "spilled");
    let full = broker.resident_octets();
    assert!(
        full.saturating_sub(idle) <= MEMORY + BESIDES,
        "with {COUNT} messages of {BODY_BYTES} octets the broker takes {} KiB",
        full / 1024
    );

    client.qos(1, 200);
    client.consume(1, "spilled", "all");
    for expected in 0..COUNT / 2 {
        let Received::Frame(frame) = client.receive(PATIENCE) else { panic!("message {expected}") };
        let delivery = client.content(&frame).expect("a delivery");
        assert_eq!(number(&delivery.body), expected);
        assert!(!delivery.redelivered);
        if expected % 100 == 99 {
            client.ack(1, delivery.tag, true).expect("the broker is there");
        }
    }
    let drained = broker.resident_octets();
    assert!(
        drained.saturating_sub(idle) <= MEMORY + BESIDES,
        "while reading back it takes {} KiB",
        drained / 1024
    );

    // The queue is durable, its transient messages are not.
    drop(client);
    broker.stop_and_start_again();
    let mut client = Client::login_with_channel(broker.amqp());
    assert_eq!(client.declare_queue(1, "spilled", DURABLE), 0);
}
