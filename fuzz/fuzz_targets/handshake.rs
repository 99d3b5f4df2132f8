//! A client that knows the methods of a handshake and fills them with anything: whole or broken
//! logins, tunings and vhosts, in any order. The connection answers or ends; only guest with the
//! right password gets in; it never panics.
#![no_main]

mod answering;

use answering::Answering;
use libfuzzer_sys::fuzz_target;

fn method(class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
    let mut octets = vec![1, 0, 0];
    octets.extend_from_slice(&(arguments.len() as u32 + 4).to_be_bytes());
    octets.extend_from_slice(&class.to_be_bytes());
    octets.extend_from_slice(&method.to_be_bytes());
    octets.extend_from_slice(arguments);
    octets.push(0xce);
    octets
}

fn short(text: &[u8], out: &mut Vec<u8>) {
    let text = &text[..text.len().min(255)];
    out.push(text.len() as u8);
    out.extend_from_slice(text);
}

fn long(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(octets.len() as u32).to_be_bytes());
    out.extend_from_slice(octets);
}

/// start-ok with what the input says in place of properties, mechanism, response and locale.
fn start_ok(control: u8, octets: &[u8]) -> Vec<u8> {
    let mut parts = octets.splitn(3, |octet| *octet == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (response, properties, rest) = (part(), part(), part());
    let mut arguments = Vec::new();
    long(properties, &mut arguments);
    let mechanism: &[u8] = match control & 3 {
        0 => b"PLAIN",
        1 => b"AMQPLAIN",
        2 => b"EXTERNAL",
        _ => rest,
    };
    short(mechanism, &mut arguments);
    match control & 4 {
        0 => long(response, &mut arguments),
        _ => long(b"\0guest\0guest", &mut arguments),
    }
    short(rest, &mut arguments);
    method(10, 11, &arguments)
}

fuzz_target!(|input: &[u8]| {
    // A few steps, each begun by an octet that says what, and how long it is.
    let mut broker = Answering::new();
    let mut connection = broker.connection();
    broker.converse(&mut connection, b"AMQP\0\0\x09\x01", 8);
    let mut rest = input;
    for _ in 0..8 {
        let Some((&[control, length], more)) = rest.split_first_chunk::<2>() else { break };
        let (octets, more) = more.split_at(usize::from(length).min(more.len()));
        rest = more;
        let sent = match control >> 4 {
            0..=5 => start_ok(control, octets),
            6..=8 => method(10, 31, octets.get(..8).unwrap_or(&[7, 255, 0, 2, 0, 0, 0, 60])),
            9..=11 => {
                let mut arguments = Vec::new();
                short(if control & 1 == 0 { b"/" } else { octets }, &mut arguments);
                arguments.extend_from_slice(&[0, 0]);
                method(10, 40, &arguments)
            }
            12 => method(10, 50, octets),
            13 => method(10, u16::from(length), octets),
            _ => octets.to_vec(),
        };
        broker.converse(&mut connection, &sent, 1 + usize::from(control & 0x0f) * 16);
    }
    broker.finish(&mut connection);
});
