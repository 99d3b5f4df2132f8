//! Arbitrary octets from a client, from the first one on or after a login, in slices of any size:
//! a connection answers or ends, and gives everything back. It must never panic.
#![no_main]

mod answering;

use answering::Answering;
use libfuzzer_sys::fuzz_target;

/// Protocol header, start-ok, tune-ok, open, and channel 1.
const LOGIN: &[u8] = b"AMQP\0\0\x09\x01\
    \x01\0\0\0\0\0\x24\0\x0a\0\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US\xce\
    \x01\0\0\0\0\0\x0c\0\x0a\0\x1f\x07\xff\0\x02\0\0\0\x01\xce\
    \x01\0\0\0\0\0\x08\0\x0a\0\x28\x01/\0\0\xce\
    \x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce";

fuzz_target!(|input: &[u8]| {
    let Some((&control, octets)) = input.split_first() else { return };
    let mut broker = Answering::new();
    let mut connection = broker.connection();
    // How much of a login precedes: all, none, or a part.
    let login = match control >> 6 {
        0 | 1 => LOGIN,
        2 => &LOGIN[..8],
        _ => &[],
    };
    broker.converse(&mut connection, login, LOGIN.len());
    let slice = match control & 0x3f {
        0 => usize::MAX,
        size => usize::from(size),
    };
    broker.converse(&mut connection, octets, slice);
    broker.finish(&mut connection);
});
