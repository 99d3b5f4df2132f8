//! What is not implemented (540) and what is not allowed (530) ends the connection, not the channel alone
//! (behaviour A34).

use super::wire::{args, method, publish_with, PLAIN};
use super::world::{consume, declare_queue, World};

#[test]
fn what_is_not_implemented_or_not_allowed_closes_the_connection() {
    for (octets, expected) in [
        (method(1, 20, 20, args().u8(0)), "540 NOT_IMPLEMENTED - active=false failing=(20,20)"),
        (
            method(1, 60, 10, args().u32(100).u16(0).u8(0)),
            "540 NOT_IMPLEMENTED - prefetch_size!=0 (100) failing=(60,10)",
        ),
        (
            publish_with(1, "", "q", 2, PLAIN, b"x"),
            "540 NOT_IMPLEMENTED - immediate=true failing=(60,40)",
        ),
        (method(1, 60, 110, args().u8(0)), "540 NOT_IMPLEMENTED - requeue=false failing=(60,110)"),
        (method(1, 60, 100, args().u8(0)), "540 NOT_IMPLEMENTED - requeue=false failing=(60,100)"),
        (
            method(1, 60, 20, consume("q", "taken", 0)),
            "530 NOT_ALLOWED - attempt to reuse consumer tag 'taken' failing=(60,20)",
        ),
    ] {
        let mut world = World::new();
        let client = world.open();
        world.open_channel(client, 2);
        world.declare(client, "q");
        world.ask(client, 60, 20, consume("q", "taken", 0));
        assert_eq!(world.show(client, &octets), [format!("conn.close {expected}")]);
        // Its other channel is gone, too: nothing is done or answered any more but the end.
        assert!(world.show(client, &method(2, 50, 10, declare_queue("q2", 0, &[]))).is_empty());
        assert!(world.broker.topology.queue("/", "q2").is_none(), "{expected}");
        world.send(client, &method(0, 10, 51, args()));
        assert!(world.clients[client].connection.is_finished(), "{expected}");
    }
}
