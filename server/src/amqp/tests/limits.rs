//! How many connections and channels a vhost and a user may have.

use haremq_engine::topology::{TopologyRequest, UserLimits, VhostLimits};

use super::wire::{args, method};
use super::world::{start_ok, World};

fn vhost_limit(world: &mut World, max_connections: Option<i64>) {
    let limits = VhostLimits { max_connections, max_queues: None };
    let request = TopologyRequest::SetVhostLimits { vhost: "/".into(), limits };
    world.broker.decide(&request).expect("limits");
}

fn user_limits(world: &mut World, max_connections: Option<i64>, max_channels: Option<i64>) {
    let limits = UserLimits { max_connections, max_channels };
    let request = TopologyRequest::SetUserLimits { user: "guest".into(), limits };
    world.broker.decide(&request).expect("limits");
}

/// What one more connection hears.
fn knock(world: &mut World) -> String {
    let client = world.accept();
    world.send(client, b"AMQP\0\0\x09\x01");
    world.send(client, &start_ok("PLAIN", b"\0guest\0guest", &[]));
    world.send(client, &method(0, 10, 31, args().u16(2047).u32(131_072).u16(0)));
    let open = method(0, 10, 40, args().short("/").short("").u8(0));
    world.show(client, &open).remove(0)
}

#[test]
fn a_vhost_takes_as_many_connections_as_its_limit_says() {
    let mut world = World::new();
    vhost_limit(&mut world, Some(1));
    let first = world.connect();
    let full = "conn.close 530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': \
                connection limit (1) is reached failing=(10,40)";
    assert_eq!(knock(&mut world), full);
    assert_eq!(knock(&mut world), full, "one that was refused takes no place");
    world.hang_up(first);
    assert_eq!(knock(&mut world), "method(10,41) ch=0");
    vhost_limit(&mut world, None);
    assert_eq!(knock(&mut world), "method(10,41) ch=0");
    vhost_limit(&mut world, Some(0));
    assert!(knock(&mut world).contains("connection limit (0) is reached"));
    vhost_limit(&mut world, Some(-1));
    assert_eq!(knock(&mut world), "method(10,41) ch=0");
}

#[test]
fn a_user_has_as_many_connections_as_its_limit_says() {
    let mut world = World::new();
    user_limits(&mut world, Some(1), None);
    let first = world.connect();
    assert_eq!(
        knock(&mut world),
        "conn.close 530 NOT_ALLOWED - connection refused for user 'guest': user connection limit \
         (1) is reached failing=(10,40)"
    );
    world.send(first, &method(0, 10, 50, args().u16(200).short("bye").u16(0).u16(0)));
    assert_eq!(knock(&mut world), "method(10,41) ch=0");
}

#[test]
fn a_user_has_as_many_channels_as_its_limit_says_over_all_connections() {
    let mut world = World::new();
    user_limits(&mut world, None, Some(3));
    let (first, second) = (world.open(), world.open());
    world.open_channel(first, 2);
    world.send(first, &method(2, 20, 40, args().u16(200).short("").u16(0).u16(0)));
    world.open_channel(first, 9);
    let said = world.show(second, &method(5, 20, 10, args().short("")));
    assert_eq!(
        said,
        ["conn.close 530 NOT_ALLOWED - number of channels opened for user 'guest' has reached the \
          maximum allowed user limit of (3) failing=(0,0)"]
    );
    // What the closed connection had is free again.
    let third = world.connect();
    world.open_channel(third, 1);
}

#[test]
fn the_broker_takes_as_many_connections_channels_and_consumers_as_its_limits_say() {
    let mut world = World::new();
    world.settings.connection_max = Some(2);
    world.settings.channel_max_per_node = Some(3);
    world.settings.consumer_max_per_channel = Some(1);
    let (first, second) = (world.open(), world.connect());
    assert_eq!(
        knock(&mut world),
        "conn.close 530 NOT_ALLOWED - connection refused: node connection limit (2) is reached \
         failing=(10,40)"
    );
    world.open_channel(first, 2);
    world.open_channel(second, 1);
    let said = world.show(second, &method(2, 20, 10, args().short("")));
    assert_eq!(
        said,
        ["conn.close 530 NOT_ALLOWED - number of channels opened on node 'haremq@localhost' has \
          reached the maximum allowed limit of (3) failing=(0,0)"]
    );
    // What the closed connection had is free again, and what a refused one would have had.
    let third = world.connect();
    world.open_channel(third, 1);
    world.declare(third, "q");
    for tag in ["one", "two"] {
        let said = world.show(third, &method(1, 60, 20, super::world::consume("q", tag, 0)));
        let expected = match tag {
            "one" => "method(60,21) ch=1",
            _ => {
                "conn.close 530 NOT_ALLOWED - reached maximum (1) of consumers per channel \
                 failing=(60,20)"
            }
        };
        assert_eq!(said, [expected]);
    }
}
