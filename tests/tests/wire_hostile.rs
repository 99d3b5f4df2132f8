//! Peers that mean harm: garbage, lengths that lie, handshakes that never end. The broker keeps its memory, its
//! other clients and its life.

use haremq_tests::broker::Broker;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::frame::{BODY, METHOD, PROTOCOL_HEADER};
use haremq_tests::wire::{method, Arguments, Client, Frame, Received};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::time::{Duration, Instant};

/// Small pseudo-random numbers (xorshift): the same for the same seed.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).expect("below a usize")
    }

    fn octets(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

#[test]
fn garbage_never_harms_the_broker() {
    let mut broker = Broker::start();
    let mut bystander = Client::login_with_channel(broker.amqp());
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    for round in 0..300 {
        let mut client = Client::connect(broker.amqp());
        match round % 3 {
            0 => {}
            1 => client.send(PROTOCOL_HEADER),
            _ => client = Client::login_with_channel(broker.amqp()),
        }
        let length = 1 + numbers.below(2000);
        let garbage = numbers.octets(length);
        let _ = client.try_send(&garbage);
        let _ = client.receive(Duration::from_millis(2));
        if round % 50 == 0 {
            bystander.exercise(1);
        }
    }
    bystander.exercise(1);
    assert!(broker.is_alive());
}

#[test]
fn valid_sessions_with_flipped_octets_never_harm_the_broker() {
    let mut broker = Broker::start();
    let mut bystander = Client::login_with_channel(broker.amqp());
    let mut numbers = Numbers(0xD1B5_4A32_D192_ED03);
    let declare = Arguments::new().short(0).shortstr("mutant").octet(8);
    let declare = declare.longstr(b"\x0dx-message-ttlI\0\0\x03\xe8\x03abcS\0\0\0\x01x");
    let publish = Arguments::new().short(0).shortstr("").shortstr("mutant").octet(1);
    let consume = Arguments::new().short(0).shortstr("mutant").shortstr("t").octet(0).empty_table();
    let session: Vec<u8> = [
        Frame::method(1, method::CONFIRM_SELECT, &Arguments::new().octet(0)),
        Frame::method(1, method::QUEUE_DECLARE, &declare),
        Frame::method(1, method::BASIC_PUBLISH, &publish),
        Frame::content_header(1, 6, b"\x20\x00\0\0\0\x07\x03abct\x01\0"),
        Frame::body(1, b"abcdef"),
        Frame::method(1, method::BASIC_QOS, &Arguments::new().long(0).short(1).octet(0)),
        Frame::method(1, method::BASIC_CONSUME, &consume),
        Frame::method(1, method::BASIC_ACK, &Arguments::new().longlong(1).octet(0)),
    ]
    .iter()
    .flat_map(Frame::encode)
    .collect();
    for round in 0..300 {
        let mut client = Client::login_with_channel(broker.amqp());
        let mut octets = session.clone();
        for _ in 0..1 + numbers.below(4) {
            let at = numbers.below(octets.len());
            octets[at] = numbers.next().to_le_bytes()[5];
        }
        let _ = client.try_send(&octets);
        let _ = client.receive(Duration::from_millis(2));
        if round % 50 == 0 {
            bystander.exercise(1);
        }
    }
    bystander.exercise(1);
    assert!(broker.is_alive());
}

/// Lets this process, and the broker it starts, have as many sockets as the hard limit allows.
fn allow_many_sockets(needed: u64) {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    assert!(maximum >= needed, "this test needs {needed} descriptors, the hard limit is {maximum}");
    if limit.current.is_some_and(|current| current < needed) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(maximum), maximum: limit.maximum })
            .expect("the soft limit can be raised to the hard one");
    }
}

#[test]
fn declared_lengths_take_no_memory() {
    const SOCKETS: usize = 5000;
    allow_many_sockets(SOCKETS as u64 + 200);
    let mut broker = Broker::start();
    let mut bystander = Client::login_with_channel(broker.amqp());
    bystander.exercise(1);
    let before = broker.resident_octets();

    let frame_of_4_gib = Arguments::new().octet(METHOD).short(0).long(u32::MAX).raw(b"\x00\x0a");
    let publish = Arguments::new().short(0).shortstr("").shortstr("amq.nothing").octet(0);
    let mut body_of_4_gib = Frame::method(1, method::BASIC_PUBLISH, &publish).encode();
    body_of_4_gib.extend(Frame::content_header(1, u64::from(u32::MAX), &[0, 0]).encode());
    body_of_4_gib.extend(Arguments::new().octet(BODY).short(1).long(131_064).raw(b"x").octets());

    let held: Vec<Client> = (0..SOCKETS)
        .map(|number| {
            // Half of them before login, half as guests who begin to publish.
            let mut client = if number % 2 == 0 {
                let mut client = Client::connect(broker.amqp());
                client.send(PROTOCOL_HEADER);
                client.send(frame_of_4_gib.octets());
                client
            } else {
                Client::login_with_channel(broker.amqp())
            };
            if number % 2 == 1 {
                client.send(&body_of_4_gib);
            }
            client
        })
        .collect();
    bystander.exercise(1);
    let during = broker.resident_octets();
    let each = during.saturating_sub(before) / SOCKETS as u64;
    println!(
        "{SOCKETS} sockets: {} MiB before, {} MiB during, {each} octets each",
        before >> 20,
        during >> 20
    );
    assert!(each < 32 * 1024, "a socket that declared 4 GiB costs {each} octets");
    drop(held);
    bystander.exercise(1);
    assert!(broker.is_alive());
}

#[test]
fn a_body_over_the_largest_message_is_refused_not_collected() {
    let broker = Broker::start();
    let before = broker.resident_octets();
    let mut client = Client::login_with_channel(broker.amqp());
    let publish = Arguments::new().short(0).shortstr("").shortstr("nothing").octet(0);
    client.method(1, method::BASIC_PUBLISH, &publish);
    client.send(&Frame::content_header(1, 1 << 40, &[0, 0]).encode());
    let part = Frame::body(1, &[b'x'; 131_064]).encode();
    // 256 MiB, twice what a message may have; the broker may stop taking them at any time.
    for _ in 0..2048 {
        if client.try_send(&part).is_err() {
            break;
        }
    }
    let grown = broker.resident_octets().saturating_sub(before);
    assert!(grown < 200 << 20, "the broker has grown by {} MiB", grown >> 20);
    Client::login_with_channel(broker.amqp()).exercise(1);
}

#[test]
fn a_handshake_has_ten_seconds_in_all() {
    let broker = Broker::start();
    let start = Instant::now();
    let silent = Client::connect(broker.amqp());
    let mut greeted = Client::connect(broker.amqp());
    greeted.greet();
    let mut tuned = Client::connect(broker.amqp());
    tuned.greet();
    tuned.start_ok(&haremq_tests::wire::Login::default());
    tuned.tune();
    // One octet a second, so that a deadline per read would never come.
    let mut dripping = Client::connect(broker.amqp());
    dripping.greet();
    let response =
        Frame::method(0, method::CONNECTION_START_OK, &Arguments::new().raw(&[0; 100])).encode();
    let mut octets = response.iter();
    let expected = Duration::from_millis(9_500)..Duration::from_millis(13_000);
    loop {
        let _ = dripping.try_send(&[*octets.next().expect("the deadline comes before the end")]);
        match dripping.receive(Duration::from_secs(1)) {
            Received::Silence => assert!(start.elapsed() < expected.end, "still connected"),
            Received::Closed => break,
            Received::Frame(frame) => panic!("unexpected: {frame:?}"),
        }
    }
    assert!(expected.contains(&start.elapsed()), "the dripping one: {:?}", start.elapsed());
    for (what, mut client) in [("silent", silent), ("greeted", greeted), ("tuned", tuned)] {
        assert!(client.receive_end(PATIENCE).is_some(), "the {what} one is still connected");
        assert!(expected.contains(&start.elapsed()), "the {what} one: {:?}", start.elapsed());
    }
}

#[test]
fn a_peer_that_never_reads_does_not_disturb_the_others() {
    let mut broker = Broker::start();
    let mut bystander = Client::login_with_channel(broker.amqp());
    let mut deaf = Client::login_with_channel(broker.amqp());
    deaf.declare_queue(1, "flood", 0);
    deaf.consume(1, "flood", "deaf");
    let before = broker.resident_octets();
    let body = vec![b'x'; 100_000];
    for _ in 0..500 {
        bystander.publish(1, "", "flood", &[0, 0], &body).expect("the broker takes octets");
    }
    let start = Instant::now();
    bystander.exercise(1);
    assert!(start.elapsed() < Duration::from_secs(5), "the bystander waited {:?}", start.elapsed());
    // The messages themselves may be in memory, but not twice.
    let grown = broker.resident_octets().saturating_sub(before);
    assert!(grown < 150 << 20, "the broker has grown by {} MiB for 48 MiB", grown >> 20);
    assert!(broker.is_alive());
}

#[test]
fn a_thousand_connections_that_are_reset_leave_nothing_behind() {
    let broker = Broker::start();
    let mut bystander = Client::login_with_channel(broker.amqp());
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", broker.id())).expect("the broker runs").count();
    let before = descriptors();
    for round in 0..1000 {
        let mut client = Client::connect(broker.amqp());
        if round % 2 == 0 {
            client.send(PROTOCOL_HEADER);
        }
    }
    bystander.exercise(1);
    haremq_tests::eventually("all descriptors are closed", Duration::from_secs(15), || {
        (descriptors() <= before + 10).then_some(())
    });
}
