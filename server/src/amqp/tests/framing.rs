//! Frames that are broken or out of place, on a connection that is open.

use super::wire::{args, frame, header, method, publish, Args};
use super::world::{ack, consume, declare_queue, World};

fn show_on_open(octets: &[u8]) -> Vec<String> {
    let mut world = World::new();
    let client = world.open();
    world.show(client, octets)
}

fn publish_args(exchange: &str, key: &str) -> Args {
    args().u16(0).short(exchange).short(key).u8(0)
}

#[test]
fn bad_frame_end() {
    let mut octets = method(1, 60, 40, publish_args("", "q"));
    *octets.last_mut().expect("an end") = 0;
    assert_eq!(
        show_on_open(&octets),
        ["conn.close 501 FRAME_ERROR - type 1, all octets = <<0,60,0,40,0,0,0,1,113,0>>: \
          {invalid_frame_end_marker,0} failing=(0,0)"]
    );
}

#[test]
fn frame_too_large() {
    let mut octets = vec![1, 0, 0];
    octets.extend(200_000u32.to_be_bytes());
    octets.extend([b'x'; 10]);
    assert_eq!(
        show_on_open(&octets),
        ["conn.close 501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,200000,131064} \
          failing=(0,0)"]
    );
}

#[test]
fn after_lost_frames_nothing_is_understood_and_the_end_is_a_reset() {
    let mut world = World::new();
    let client = world.open();
    let mut broken = method(1, 60, 40, publish_args("", "q"));
    *broken.last_mut().expect("an end") = 0;
    world.send(client, &broken);
    assert_eq!(world.send(client, &method(0, 10, 51, args())), []);
    assert_eq!(world.wait(client, 10_000), [(3_000, "end".to_owned())]);
    assert!(world.clients[client].connection.should_reset());
}

#[test]
fn unknown_frame_type() {
    assert_eq!(
        show_on_open(&frame(9, 1, b"")),
        ["conn.close 501 FRAME_ERROR - type 9, all octets = <<>>: unknown_frame failing=(0,0)"]
    );
}

#[test]
fn unknown_method_is_a_reset() {
    let mut world = World::new();
    let client = world.open();
    assert_eq!(world.send(client, &method(1, 99, 99, args())), []);
    let connection = &world.clients[client].connection;
    assert!(connection.is_finished() && connection.should_reset());
}

#[test]
fn header_without_publish() {
    assert_eq!(
        show_on_open(&header(1, 3, &[])),
        ["conn.close 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead \
          failing=(0,0)"]
    );
}

#[test]
fn method_instead_of_header() {
    let mut octets = method(1, 60, 40, publish_args("", "q"));
    octets.extend(method(1, 50, 10, declare_queue("q", 0, &[])));
    assert_eq!(
        show_on_open(&octets),
        ["conn.close 505 UNEXPECTED_FRAME - expected content header for class 60, got non content \
          header frame instead failing=(60,40)"]
    );
}

#[test]
fn header_of_another_class() {
    let mut octets = method(1, 60, 40, publish_args("", "q"));
    octets.extend(frame(2, 1, &[0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0]));
    assert_eq!(
        show_on_open(&octets),
        ["conn.close 505 UNEXPECTED_FRAME - expected content header for class 60, got one for \
          class 50 instead failing=(60,40)"]
    );
}

#[test]
fn body_longer_than_header() {
    let mut octets = method(1, 60, 40, publish_args("", "q"));
    octets.extend(header(1, 3, &[0, 0]));
    octets.extend(frame(3, 1, b"xxxxxx"));
    assert_eq!(
        show_on_open(&octets),
        ["conn.close 501 FRAME_ERROR - content body frame exceeds remaining content size \
          failing=(60,40)"]
    );
}

#[test]
fn heartbeat_on_a_channel() {
    assert_eq!(
        show_on_open(&frame(8, 1, b"")),
        ["conn.close 505 UNEXPECTED_FRAME - type 8, all octets = <<>> failing=(0,0)"]
    );
    assert_eq!(show_on_open(&frame(8, 0, b"")), [""; 0]);
}

#[test]
fn arguments_that_do_not_decode() {
    assert_eq!(
        show_on_open(&method(1, 50, 10, args().u16(0).u8(9))),
        ["conn.close 501 FRAME_ERROR - cannot decode <<0,0,9>> failing=(50,10)"]
    );
}

#[test]
fn a_name_that_is_no_text_is_a_frame_error_of_no_method_but_on_channel_0() {
    let no_text = |arguments: Args| {
        let mut arguments = arguments;
        arguments.0.extend([1, 0xff]);
        arguments
    };
    for octets in [
        method(1, 50, 10, no_text(args().u16(0)).u8(0).table(&[])),
        method(1, 60, 30, no_text(args()).u8(0)),
        method(1, 20, 40, no_text(args().u16(200)).u16(0).u16(0)),
        // Not open yet.
        method(2, 20, 10, no_text(args())),
    ] {
        assert_eq!(
            show_on_open(&octets),
            ["conn.close 501 FRAME_ERROR - Malformed UTF-8 in shortstr failing=(0,0)"]
        );
    }
    assert_eq!(
        show_on_open(&method(0, 10, 50, no_text(args().u16(200)).u16(0).u16(0))),
        ["conn.close 501 FRAME_ERROR - Malformed UTF-8 in shortstr failing=(10,50)"]
    );
}

/// Clients forget what a frame has around its payload, and RabbitMQ takes that.
#[test]
fn a_payload_of_frame_max_is_taken_and_one_octet_more_is_not() {
    let publish = |octets: usize| {
        let mut world = World::new();
        let client = world.log_in("guest", "guest", &[], (10, 4096, 0), "/");
        world.open_channel(client, 1);
        world.send(client, &method(1, 50, 10, declare_queue("q", 0, &[])));
        let mut whole = method(1, 60, 40, publish_args("", "q"));
        whole.extend(header(1, octets as u64, &[0, 0]));
        whole.extend(frame(3, 1, &vec![b'x'; octets]));
        world.show(client, &whole)
    };
    for octets in [4088, 4089, 4096] {
        assert_eq!(publish(octets), [""; 0], "{octets}");
    }
    assert_eq!(
        publish(4097),
        ["conn.close 501 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4097,4088} \
          failing=(0,0)"]
    );
}

#[test]
fn method_on_an_unopened_channel() {
    let mut world = World::new();
    let client = world.connect();
    assert_eq!(
        world.show(client, &method(1, 50, 10, declare_queue("q", 0, &[]))),
        ["conn.close 504 CHANNEL_ERROR - expected 'channel.open' failing=(50,10)"]
    );
}

#[test]
fn second_channel_open() {
    assert_eq!(
        show_on_open(&method(1, 20, 10, args().short(""))),
        ["conn.close 504 CHANNEL_ERROR - second 'channel.open' seen failing=(20,10)"]
    );
}

#[test]
fn channels_are_counted_and_not_numbered() {
    let mut world = World::new();
    let client = world.log_in("guest", "guest", &[], (10, 131_072, 0), "/");
    for number in 11..=20 {
        world.open_channel(client, number);
    }
    assert_eq!(
        world.show(client, &method(1, 20, 10, args().short(""))),
        ["conn.close 530 NOT_ALLOWED - number of channels opened (10) has reached the negotiated \
          channel_max (10) failing=(0,0)"]
    );
}

#[test]
fn a_channel_counts_until_both_sides_have_closed_it() {
    let mut world = World::new();
    let client = world.log_in("guest", "guest", &[], (1, 131_072, 0), "/");
    world.open_channel(client, 1);
    world.send(client, &method(1, 60, 80, ack(7, false)));
    let mut reopen = method(1, 20, 41, args());
    reopen.extend(method(2, 20, 10, args().short("")));
    assert_eq!(world.show(client, &reopen), ["method(20,11) ch=2"]);
    world.send(client, &method(2, 60, 80, ack(7, false)));
    assert_eq!(
        world.show(client, &method(3, 20, 10, args().short(""))),
        ["conn.close 530 NOT_ALLOWED - number of channels opened (1) has reached the negotiated \
          channel_max (1) failing=(0,0)"]
    );
}

#[test]
fn frames_after_channel_close_are_dropped_and_the_number_can_be_reopened() {
    let mut world = World::new();
    let client = world.open();
    let missing = args().u16(0).short("nope.x").short("direct").u8(1).table(&[]);
    assert_eq!(
        world.show(client, &method(1, 40, 10, missing)),
        ["chan.close 404 NOT_FOUND - no exchange 'nope.x' in vhost '/' failing=(40,10)"]
    );
    let mut dropped = method(1, 50, 10, declare_queue("afterclose", 0, &[]));
    dropped.extend(publish(1, "", "q", b"content"));
    dropped.extend(method(1, 60, 80, ack(7, false)));
    dropped.extend(method(1, 60, 20, consume("q", "", 0)));
    assert_eq!(world.send(client, &dropped), []);
    let mut reopen = method(1, 20, 41, args());
    reopen.extend(method(1, 20, 10, args().short("")));
    assert_eq!(world.show(client, &reopen), ["method(20,11) ch=1"]);
    assert!(world.broker.topology.queue("/", "afterclose").is_none());
}

#[test]
fn channel_close_may_cross_ours() {
    let mut world = World::new();
    let client = world.open();
    world.send(client, &method(1, 60, 80, ack(7, false)));
    let close = args().u16(200).short("bye").u16(0).u16(0);
    assert_eq!(world.show(client, &method(1, 20, 40, close)), ["method(20,41) ch=1"]);
    world.send(client, &method(1, 20, 41, args()));
    world.open_channel(client, 1);
}

#[test]
fn soft_errors_leave_other_channels_alone() {
    let mut world = World::new();
    let client = world.open();
    world.open_channel(client, 2);
    world.send(client, &method(1, 60, 80, ack(7, false)));
    let said = world.show(client, &method(2, 50, 10, declare_queue("q", 0, &[])));
    assert_eq!(said, ["method(50,11) ch=2"]);
}

#[test]
fn access_request_is_answered_with_ticket_one() {
    let mut world = World::new();
    let client = world.open();
    let said = world.ask(client, 30, 10, args().short("/data").u8(0x1d));
    assert_eq!((said.id(), said.args()), ((30, 11), &[0, 1][..]));
}

#[test]
fn flow_may_be_switched_on_only() {
    let mut world = World::new();
    let client = world.open();
    let said = world.ask(client, 20, 20, args().u8(1));
    assert_eq!((said.id(), said.args()), ((20, 21), &[1][..]));
    assert_eq!(
        show_on_open(&method(1, 20, 20, args().u8(0))),
        ["conn.close 540 NOT_IMPLEMENTED - active=false failing=(20,20)"]
    );
}
