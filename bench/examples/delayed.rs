//! How fast delayed messages that are due at one time go on to their queue, and what that costs the broker.
//!
//!     cargo run --release -p haremq-bench --example delayed 127.0.0.1:5672 PID-OF-BROKER 200000 persistent
//!
//! Publishes with confirms through an `x-delayed-message` exchange, so many messages of 128 octets, all due at once; then
//! counts the queue until they are in it. Once for each of four queues, which a broker with shards spreads over them: a
//! queue of the exchange's own shard is reached without crossing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Clock ticks a second in /proc, on Linux everywhere.
const TICKS: f64 = 100.0;

struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    /// Messages published so far.
    published: u64,
}

fn short(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).expect("a short name"));
    out.extend_from_slice(text.as_bytes());
}

fn long(out: &mut Vec<u8>, octets: &[u8]) {
    out.extend_from_slice(&u32::try_from(octets.len()).expect("a short text").to_be_bytes());
    out.extend_from_slice(octets);
}

fn frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    long(out, payload);
    out.push(0xce);
}

/// Appends something to what is written.
type Piece<'a> = &'a dyn Fn(&mut Vec<u8>);

fn arguments(parts: &[Piece<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    parts.iter().for_each(|part| part(&mut out));
    out
}

impl Link {
    fn send(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let mut payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        payload.extend_from_slice(arguments);
        let mut out = Vec::new();
        frame(&mut out, 1, channel, &payload);
        self.stream.write_all(&out).expect("the broker takes octets");
    }

    /// The payload of the next frame that is no heartbeat.
    fn receive(&mut self) -> Vec<u8> {
        loop {
            if let Some((head, rest)) = self.input.split_first_chunk::<7>() {
                let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
                if rest.len() > size {
                    let payload = rest[..size].to_vec();
                    let heartbeat = head[0] == 8;
                    self.input.drain(..size + 8);
                    if heartbeat {
                        continue;
                    }
                    return payload;
                }
            }
            let mut buffer = vec![0; 1 << 16];
            let count = self.stream.read(&mut buffer).expect("the broker says something");
            assert!(count > 0, "the broker has hung up");
            self.input.extend_from_slice(&buffer[..count]);
        }
    }

    fn call(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) -> Vec<u8> {
        self.send(channel, class, method, arguments);
        let answer = self.receive();
        let expected = [class.to_be_bytes(), (method + 1).to_be_bytes()].concat();
        assert_eq!(answer[..4], expected, "{}", String::from_utf8_lossy(&answer));
        answer
    }

    fn open(address: &str) -> Link {
        let stream = TcpStream::connect(address).expect("a broker");
        stream.set_nodelay(true).expect("a socket");
        let mut link = Link { stream, input: Vec::new(), published: 0 };
        link.stream.write_all(b"AMQP\0\0\x09\x01").expect("the broker takes octets");
        link.receive();
        let login: Vec<u8> = arguments(&[
            &|out| long(out, &[]),
            &|out| short(out, "PLAIN"),
            &|out| long(out, b"\0guest\0guest"),
            &|out| short(out, "en_US"),
        ]);
        link.send(0, 10, 11, &login);
        link.receive();
        link.send(0, 10, 31, &[7, 255, 0, 2, 0, 0, 0, 0]);
        link.call(0, 10, 40, &[1, b'/', 0, 0]);
        link.call(1, 20, 10, &[0]);
        link.call(1, 85, 10, &[0]);
        link
    }

    fn count(&mut self, queue: &str) -> u32 {
        let passive = arguments(&[&|out| out.extend([0, 0]), &|out| short(out, queue), &|out| {
            out.extend([3, 0, 0, 0, 0]);
        }]);
        let answer = self.call(1, 50, 10, &passive);
        let at = 5 + queue.len();
        u32::from_be_bytes([answer[at], answer[at + 1], answer[at + 2], answer[at + 3]])
    }
}

/// Seconds of processor time of a process.
fn cpu_s(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a line").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / TICKS
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [address, pid, count, mode] = &words[..] else {
        panic!("usage: delayed ADDRESS PID COUNT persistent|transient");
    };
    let count: u32 = count.parse().expect("a number of messages");
    let delivery_mode = if mode == "persistent" { 2 } else { 1 };
    let mut link = Link::open(address);
    let kind = arguments(&[&|out| short(out, "x-delayed-type"), &|out| out.push(b'S'), &|out| {
        long(out, b"direct");
    }]);
    let exchange = arguments(&[
        &|out| out.extend([0, 0]),
        &|out| short(out, "delayed"),
        &|out| short(out, "x-delayed-message"),
        &|out| out.push(2),
        &|out| long(out, &kind),
    ]);
    link.call(1, 40, 10, &exchange);
    for number in 0..4 {
        let queue = format!("delayed.{number}");
        let name: Piece<'_> = &|out| short(out, &queue);
        let declare =
            arguments(&[&|out| out.extend([0, 0]), name, &|out| out.extend([2, 0, 0, 0, 0])]);
        link.call(1, 50, 10, &declare);
        let bind = arguments(&[
            &|out| out.extend([0, 0]),
            name,
            &|out| short(out, "delayed"),
            name,
            &|out| out.extend([0, 0, 0, 0, 0]),
        ]);
        link.call(1, 50, 20, &bind);
    }
    for number in 0..4 {
        run(&mut link, pid, &format!("delayed.{number}"), count, delivery_mode);
    }
    link.call(
        1,
        40,
        20,
        &arguments(&[&|out| out.extend([0, 0]), &|out| short(out, "delayed"), &|out| out.push(0)]),
    );
}

fn run(link: &mut Link, pid: &str, queue: &str, count: u32, delivery_mode: u8) {
    // Long enough for all of them to be confirmed before the first is due.
    let due = Instant::now() + Duration::from_millis(3000 + u64::from(count) / 30);
    let began = Instant::now();
    let (mut sent, mut confirmed) = (0, 0_u64);
    let publish = arguments(&[
        &|out| out.extend([0, 60, 0, 40, 0, 0]),
        &|out| short(out, "delayed"),
        &|out| short(out, queue),
        &|out| out.push(0),
    ]);
    let before = cpu_s(pid);
    let first = link.published;
    while confirmed < u64::from(count) {
        let mut out = Vec::new();
        for _ in 0..500.min(count - sent) {
            let left = due.saturating_duration_since(Instant::now()).as_millis();
            let delay = i32::try_from(left).expect("a short delay").to_be_bytes();
            let headers =
                arguments(&[&|out| short(out, "x-delay"), &|out| out.push(b'I'), &|out| {
                    out.extend(delay);
                }]);
            let header = arguments(&[
                &|out| out.extend([0, 60, 0, 0]),
                &|out| out.extend(128_u64.to_be_bytes()),
                &|out| out.extend([0x30, 0]),
                &|out| long(out, &headers),
                &|out| out.push(delivery_mode),
            ]);
            frame(&mut out, 1, 1, &publish);
            frame(&mut out, 2, 1, &header);
            frame(&mut out, 3, 1, &[b'x'; 128]);
            sent += 1;
        }
        link.stream.write_all(&out).expect("the broker takes octets");
        while u64::from(sent) - confirmed > if sent < count { 5000 } else { 0 } {
            let answer = link.receive();
            assert_eq!(answer[..4], [0, 60, 0, 80], "a confirm");
            let tag = u64::from_be_bytes(answer[4..12].try_into().expect("a tag"));
            // Ranges come in order, single ones may not.
            confirmed = if answer[12] == 1 { tag - first } else { confirmed + 1 };
        }
    }
    let (held_s, held_cpu) = (began.elapsed().as_secs_f64(), cpu_s(pid) - before);
    assert!(Instant::now() < due, "not all were taken before they were due");
    std::thread::sleep(due.saturating_duration_since(Instant::now()));
    let before = cpu_s(pid);
    let mut waited = 0;
    while link.count(queue) < count {
        waited += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let (went_s, went_cpu) = (due.elapsed().as_secs_f64(), cpu_s(pid) - before);
    let each = |seconds: f64| seconds * 1e6 / f64::from(count);
    println!(
        "{queue}: {count} held back at {:.0}/s with {:.2} us of CPU each; gone on in {went_s:.2} s ({waited} looks): \
         {:.0}/s with {:.2} us of CPU each",
        f64::from(count) / held_s,
        each(held_cpu),
        f64::from(count) / went_s,
        each(went_cpu),
    );
    let name =
        arguments(&[&|out| out.extend([0, 0]), &|out| short(out, queue), &|out| out.push(0)]);
    link.call(1, 50, 30, &name);
    link.published += u64::from(count);
}
