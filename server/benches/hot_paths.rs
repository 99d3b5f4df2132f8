//! Paths of a message through AMQP and rings, to be run so many times and counted from outside:
//! `hot_paths NAME TURNS`, a turn being 1000 messages. See `bench/instructions.sh`.

mod talk;

use std::hint::black_box;

use haremq::ring::{mesh, Mail};
use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::mail::Publish;
use haremq_engine::now::Now;
use talk::{ack_all, consuming, drain, open, publish, Counter, SHARD};

const MESSAGES: usize = 1_000;
const NAMES: [&str; 5] =
    ["decode_publish_16", "decode_publish_1024", "encode_deliver_16", "deliver_ack_16", "ring_64"];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let turns = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(1);
    match arguments.next().as_deref() {
        Some("decode_publish_16") => decode(16, turns(arguments.next())),
        Some("decode_publish_1024") => decode(1024, turns(arguments.next())),
        Some("encode_deliver_16") => encode(true, turns(arguments.next())),
        Some("deliver_ack_16") => encode(false, turns(arguments.next())),
        Some("ring_64") => ring(turns(arguments.next())),
        _ => println!("{}", NAMES.join(" ")),
    }
}

fn decode(size: usize, turns: u32) {
    let batch = publish(size).repeat(MESSAGES);
    let mut broker = Counter::new();
    let mut connection = open(&mut broker);
    for _ in 0..turns {
        assert_eq!(connection.receive(black_box(&batch), &mut broker), batch.len());
    }
    black_box(broker.octets);
}

fn encode(no_ack: bool, turns: u32) {
    let mut broker = Counter::new();
    let (mut connection, delivery) = consuming(&mut broker, no_ack, &[b'x'; 16]);
    let ack = ack_all();
    for _ in 0..turns {
        for _ in 0..MESSAGES {
            connection.deliver(SHARD, black_box(&delivery), Now::default());
        }
        drain(&mut connection, &mut broker);
        if !no_ack {
            connection.receive(&ack, &mut broker);
        }
    }
}

fn ring(turns: u32) {
    let mut ports = mesh(2).into_iter();
    let (mut here, mut there) = (ports.next().expect("a port"), ports.next().expect("two"));
    let mut broker = Counter::new();
    let (_, delivery) = consuming(&mut broker, true, &[b'x'; 64]);
    let publish = Publish { message: delivery.message, queues: &[QueueId(1)], confirm: None };
    for _ in 0..turns {
        for _ in 0..MESSAGES {
            here.batch(ShardId(1)).publish(1, black_box(&publish));
        }
        here.flush();
        while let Some((from, mut batch)) = there.receive() {
            batch.drain(|mail| {
                if let Mail::Publish(publish) = mail {
                    black_box(publish.message.body);
                }
            });
            there.give_back(from, batch);
        }
    }
}
