//! The methods a client sends, appended to an output buffer as whole frames. Pure.

use super::frame::{END, METHOD};
use super::put::Put;
use super::table::{Table, Value};

/// Appends one method frame; `arguments` writes what follows class and method number.
fn method(
    out: &mut Vec<u8>,
    channel: u16,
    (class, method): (u16, u16),
    arguments: impl FnOnce(&mut Vec<u8>),
) {
    out.put_u8(METHOD);
    out.put_u16(channel);
    let length_at = out.len();
    out.put_u32(0);
    out.put_u16(class);
    out.put_u16(method);
    arguments(out);
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    out.put_u8(END);
}

/// connection.start-ok with PLAIN. `name` is shown by brokers that list connections.
pub(crate) fn connection_start_ok(out: &mut Vec<u8>, user: &str, password: &str, name: &str) {
    let yes = || Value::Bool(true);
    let capabilities = Table::default()
        .with("publisher_confirms", yes())
        .with("basic.nack", yes())
        .with("consumer_cancel_notify", yes())
        .with("connection.blocked", yes())
        .with("authentication_failure_close", yes());
    let properties = Table::default()
        .with("product", Value::Text("haremq-perf".into()))
        .with("version", Value::Text(env!("CARGO_PKG_VERSION").into()))
        .with("platform", Value::Text("Rust".into()))
        .with("connection_name", Value::Text(name.to_owned()))
        .with("capabilities", Value::Table(capabilities));
    let response = format!("\0{user}\0{password}");
    method(out, 0, (10, 11), |out| {
        properties.encode(out);
        out.put_short("PLAIN");
        out.put_long(response.as_bytes());
        out.put_short("en_US");
    });
}

/// connection.tune-ok.
pub(crate) fn connection_tune_ok(
    out: &mut Vec<u8>,
    channel_max: u16,
    frame_max: u32,
    heartbeat_s: u16,
) {
    method(out, 0, (10, 31), |out| {
        out.put_u16(channel_max);
        out.put_u32(frame_max);
        out.put_u16(heartbeat_s);
    });
}

/// connection.open.
pub(crate) fn connection_open(out: &mut Vec<u8>, vhost: &str) {
    method(out, 0, (10, 40), |out| {
        out.put_short(vhost);
        out.put_short("");
        out.put_u8(0);
    });
}

/// connection.close with 200.
pub(crate) fn connection_close(out: &mut Vec<u8>) {
    method(out, 0, (10, 50), |out| {
        out.put_u16(200);
        out.put_short("done");
        out.put_u16(0);
        out.put_u16(0);
    });
}

/// connection.close-ok.
pub(crate) fn connection_close_ok(out: &mut Vec<u8>) {
    method(out, 0, (10, 51), |_| ());
}

/// channel.open.
pub(crate) fn channel_open(out: &mut Vec<u8>, channel: u16) {
    method(out, channel, (20, 10), |out| out.put_short(""));
}

/// channel.flow-ok.
pub(crate) fn channel_flow_ok(out: &mut Vec<u8>, channel: u16, active: bool) {
    method(out, channel, (20, 21), |out| out.put_u8(u8::from(active)));
}

/// channel.close with 200.
pub(crate) fn channel_close(out: &mut Vec<u8>, channel: u16) {
    method(out, channel, (20, 40), |out| {
        out.put_u16(200);
        out.put_short("done");
        out.put_u16(0);
        out.put_u16(0);
    });
}

/// channel.close-ok.
pub(crate) fn channel_close_ok(out: &mut Vec<u8>, channel: u16) {
    method(out, channel, (20, 41), |_| ());
}

/// exchange.declare, not internal, not auto-delete.
pub(crate) fn exchange_declare(out: &mut Vec<u8>, name: &str, kind: &str, durable: bool) {
    method(out, 1, (40, 10), |out| {
        out.put_u16(0);
        out.put_short(name);
        out.put_short(kind);
        out.put_u8(u8::from(durable) << 1);
        Table::default().encode(out);
    });
}

/// exchange.delete.
pub(crate) fn exchange_delete(out: &mut Vec<u8>, name: &str) {
    method(out, 1, (40, 20), |out| {
        out.put_u16(0);
        out.put_short(name);
        out.put_u8(0);
    });
}

/// queue.declare, neither exclusive nor auto-delete.
pub(crate) fn queue_declare(
    out: &mut Vec<u8>,
    name: &str,
    passive: bool,
    durable: bool,
    arguments: &Table,
) {
    method(out, 1, (50, 10), |out| {
        out.put_u16(0);
        out.put_short(name);
        out.put_u8(u8::from(passive) | u8::from(durable) << 1);
        arguments.encode(out);
    });
}

/// queue.bind.
pub(crate) fn queue_bind(out: &mut Vec<u8>, queue: &str, exchange: &str, key: &str, with: &Table) {
    method(out, 1, (50, 20), |out| {
        out.put_u16(0);
        out.put_short(queue);
        out.put_short(exchange);
        out.put_short(key);
        out.put_u8(0);
        with.encode(out);
    });
}

/// queue.delete, whatever is in it.
pub(crate) fn queue_delete(out: &mut Vec<u8>, name: &str) {
    method(out, 1, (50, 40), |out| {
        out.put_u16(0);
        out.put_short(name);
        out.put_u8(0);
    });
}

/// basic.qos for each consumer of the channel.
pub(crate) fn basic_qos(out: &mut Vec<u8>, prefetch: u16) {
    method(out, 1, (60, 10), |out| {
        out.put_u32(0);
        out.put_u16(prefetch);
        out.put_u8(0);
    });
}

/// basic.consume.
pub(crate) fn basic_consume(out: &mut Vec<u8>, queue: &str, tag: &str, auto_ack: bool) {
    method(out, 1, (60, 20), |out| {
        out.put_u16(0);
        out.put_short(queue);
        out.put_short(tag);
        out.put_u8(u8::from(auto_ack) << 1);
        Table::default().encode(out);
    });
}

/// basic.publish, without its content.
pub(crate) fn basic_publish(out: &mut Vec<u8>, exchange: &str, key: &str, mandatory: bool) {
    method(out, 1, (60, 40), |out| {
        out.put_u16(0);
        out.put_short(exchange);
        out.put_short(key);
        out.put_u8(u8::from(mandatory));
    });
}

/// basic.ack.
pub(crate) fn basic_ack(out: &mut Vec<u8>, tag: u64, multiple: bool) {
    // One constant and two patches: this is the only method that a consumer sends in numbers.
    let mut frame =
        [METHOD, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, u8::from(multiple), END];
    frame[11..19].copy_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&frame);
}

/// confirm.select.
pub(crate) fn confirm_select(out: &mut Vec<u8>) {
    method(out, 1, (85, 10), |out| out.put_u8(0));
}

#[cfg(test)]
mod tests {
    use super::super::frame::Frame;
    use super::*;

    #[test]
    fn ack_is_the_frame_of_the_specification() {
        let mut out = Vec::new();
        basic_ack(&mut out, 0x0102_0304_0506_0708, true);
        let expected = [1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0xCE];
        assert_eq!(out, expected);
    }

    #[test]
    fn methods_are_whole_frames_with_their_numbers() {
        let mut out = Vec::new();
        queue_declare(&mut out, "q", false, true, &Table::default());
        let (frame, used) = Frame::take(&out, 4088).unwrap().unwrap();
        assert_eq!(used, out.len());
        assert_eq!(frame.payload[..4], [0, 50, 0, 10]);
        assert_eq!(frame.payload[4..], [0, 0, 1, b'q', 2, 0, 0, 0, 0]);
    }

    #[test]
    fn plain_response_is_nul_user_nul_password() {
        let mut out = Vec::new();
        connection_start_ok(&mut out, "user", "pass word", "n");
        let response = b"\x05PLAIN\x00\x00\x00\x0f\x00user\x00pass word\x05en_US\xCE";
        assert!(out.ends_with(response));
    }
}
