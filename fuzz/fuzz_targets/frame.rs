//! Well formed frames around arbitrary payloads, on an open connection: what raw octets seldom
//! reach, because a frame needs its size and its end. It must never panic.
#![no_main]

mod answering;

use answering::Answering;
use libfuzzer_sys::fuzz_target;

const LOGIN: &[u8] = b"AMQP\0\0\x09\x01\
    \x01\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce\
    \x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\x01\xce\
    \x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce\
    \x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce";

/// Class and method of what a client may send, so that the fuzzer need not find them.
const METHODS: [(u16, u16); 32] = [
    (10, 40),
    (10, 50),
    (10, 51),
    (10, 70),
    (20, 10),
    (20, 20),
    (20, 40),
    (20, 41),
    (30, 10),
    (40, 10),
    (40, 20),
    (40, 30),
    (40, 40),
    (50, 10),
    (50, 20),
    (50, 30),
    (50, 40),
    (50, 50),
    (60, 10),
    (60, 20),
    (60, 30),
    (60, 40),
    (60, 70),
    (60, 80),
    (60, 90),
    (60, 100),
    (60, 110),
    (60, 120),
    (85, 10),
    (90, 10),
    (90, 20),
    (90, 30),
];

/// A frame from the head of the input: what kind, which channel, how long, the octets.
fn frame<'a>(input: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let (&[what, place, length], rest) = input.split_first_chunk::<3>()?;
    let (octets, rest) = rest.split_at(usize::from(length).min(rest.len()));
    let mut payload = Vec::new();
    let kind = match what {
        0..=31 => {
            let (class, method) = METHODS[usize::from(what)];
            payload.extend(class.to_be_bytes());
            payload.extend(method.to_be_bytes());
            1
        }
        // A content header that announces what the length octet says, or nearly.
        32..=63 => {
            payload.extend([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, place >> 2]);
            2
        }
        64..=127 => 3,
        other => other % 10,
    };
    payload.extend_from_slice(octets);
    out.push(kind);
    out.extend(u16::from(place & 3).to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(0xce);
    Some(rest)
}

fuzz_target!(|input: &[u8]| {
    let mut broker = Answering::new();
    let mut connection = broker.connection();
    broker.converse(&mut connection, LOGIN, LOGIN.len());
    let mut octets = Vec::new();
    let mut rest = input;
    while let Some(next) = frame(rest, &mut octets) {
        rest = next;
    }
    broker.converse(&mut connection, &octets, usize::MAX);
    broker.finish(&mut connection);
});
