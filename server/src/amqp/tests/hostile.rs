//! Octets of any kind: no panic, no memory on a declared length, the same whatever the slices.

use proptest::prelude::*;

use super::wire::{args, body, frame, header, method, publish, PLAIN};
use super::world::{consume, declare_queue, get, World};

/// Frames that mean something, as raw material.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let channel = 0u16..4;
    prop_oneof![
        channel.clone().prop_map(|c| method(c, 20, 10, args().short(""))),
        channel.clone().prop_map(|c| method(c, 20, 41, args())),
        channel
            .clone()
            .prop_map(|c| { method(c, 20, 40, args().u16(200).short("").u16(0).u16(0)) }),
        channel.clone().prop_map(|c| method(c, 50, 10, declare_queue("q", 0, &[]))),
        channel.clone().prop_map(|c| method(c, 50, 40, args().u16(0).short("q").u8(0))),
        channel.clone().prop_map(|c| publish(c, "", "q", b"some content")),
        channel.clone().prop_map(|c| method(c, 60, 20, consume("q", "", 0))),
        channel.clone().prop_map(|c| method(c, 60, 70, get("q", false))),
        channel.clone().prop_map(|c| method(c, 85, 10, args().u8(0))),
        channel.clone().prop_map(|c| method(c, 90, 10, args())),
        channel.clone().prop_map(|c| method(c, 90, 20, args())),
        (channel.clone(), 0u64..6, any::<bool>()).prop_map(|(c, tag, multiple)| method(
            c,
            60,
            80,
            super::world::ack(tag, multiple)
        )),
        (channel.clone(), any::<u16>(), any::<bool>()).prop_map(|(c, count, global)| method(
            c,
            60,
            10,
            super::world::qos(count, global)
        )),
        (channel.clone(), any::<u64>()).prop_map(|(c, size)| header(c, size, PLAIN)),
        (channel.clone(), prop::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(c, octets)| body(c, &octets)),
        (any::<u8>(), channel.clone(), prop::collection::vec(any::<u8>(), 0..60))
            .prop_map(|(kind, c, octets)| frame(kind % 10, c, &octets)),
        (channel, 0u16..100, 0u16..130, prop::collection::vec(any::<u8>(), 0..30)).prop_map(
            |(c, class, id, octets)| {
                let mut arguments = args();
                arguments.0 = octets;
                method(c, class, id, arguments)
            }
        ),
        prop::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_conversation_ends_the_same_whole_or_in_slices(
        pieces in prop::collection::vec(frames(), 1..40),
        slice in 1usize..64,
    ) {
        let octets = pieces.concat();
        let mut whole = World::new();
        let client = whole.open();
        let said = whole.send(client, &octets);
        let mut sliced = World::new();
        let client = sliced.open();
        let mut slowly = Vec::new();
        for part in octets.chunks(slice) {
            slowly.extend(sliced.send(client, part));
        }
        // Confirms may be told in other portions; everything else is the same.
        let comparable = |said: Vec<super::wire::Said>| -> Vec<String> {
            let shown = said.iter().filter(|said| said.id() != (60, 80));
            shown.map(ToString::to_string).collect()
        };
        if !said.iter().any(|said| matches!(said.id(), (60, 60) | (60, 71))) {
            prop_assert_eq!(comparable(said), comparable(slowly));
        }
        whole.hang_up(client);
        sliced.hang_up(client);
    }

    #[test]
    fn any_octets_at_any_phase_are_survived(
        phase in 0usize..4,
        octets in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut world = World::new();
        let client = match phase {
            0 => world.accept(),
            1 => {
                let client = world.accept();
                world.send(client, b"AMQP\0\0\x09\x01");
                client
            }
            2 => world.connect(),
            _ => world.open(),
        };
        world.clients[client].connection.receive(&octets, &mut world.broker);
        world.turn();
        world.broker.now.monotonic_us += 20_000_000;
        world.clients[client].connection.tick(&mut world.broker);
        world.turn();
        world.hang_up(client);
    }
}

#[test]
fn declared_lengths_take_no_memory() {
    let mut world = World::new();
    world.settings.max_message_size = u64::MAX;
    let client = world.open();
    let mut octets = method(1, 60, 40, args().u16(0).short("").short("q").u8(0));
    octets.extend(header(1, u64::MAX, PLAIN));
    octets.extend(body(1, b"a little"));
    // A long string in the arguments that claims four gigabytes.
    octets.extend([3, 0, 1, 0, 1, 0xff, 0xf8]);
    assert_eq!(world.send(client, &octets), []);
    assert!(world.clients[client].connection.wants_input());
}
