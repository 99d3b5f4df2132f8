//! Deliveries around the frame limit.

use super::wire::{method, property, publish_with};
use super::world::{consume, get, World};

/// A body arrives in as few frames as the limit allows, and whole.
#[test]
fn bodies_around_the_frame_limit_are_cut_where_it_says() {
    const LIMIT: usize = 4096 - 8;
    let sizes =
        [0, 1, LIMIT - 1, LIMIT, LIMIT + 1, 2 * LIMIT - 1, 2 * LIMIT, 2 * LIMIT + 1, 50_000];
    for size in sizes {
        let mut world = World::new();
        let publisher = world.open();
        world.declare(publisher, "q");
        let body: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
        let properties = property(1 << 15, "text/plain");
        for _ in 0..2 {
            world.send(publisher, &publish_with(1, "", "q", 0, &properties, &body));
        }
        let consumer = world.log_in("guest", "guest", &[], (2047, 4096, 0), "/");
        world.open_channel(consumer, 1);
        for (octets, answer) in
            [(method(1, 60, 70, get("q", true)), 0), (method(1, 60, 20, consume("q", "t", 2)), 1)]
        {
            let said = &world.send(consumer, &octets)[answer..];
            assert_eq!(said[1].payload[4..12], (size as u64).to_be_bytes());
            assert_eq!(said[1].payload[12..], properties);
            let pieces = &said[2..];
            assert_eq!(pieces.len(), size.div_ceil(LIMIT), "{size}");
            assert!(pieces.iter().all(|piece| piece.kind == 3 && piece.payload.len() <= LIMIT));
            let got: Vec<u8> = pieces.iter().flat_map(|piece| piece.payload.clone()).collect();
            assert!(got == body, "{size}");
        }
    }
}
