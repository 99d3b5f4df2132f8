//! The broker's program from the outside: start, stop, start again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{kill_process, Pid, Signal};

/// A start or a stop that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("life-cycle-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running broker. Killed if a test forgets it.
struct Broker {
    child: Child,
    stdout: BufReader<ChildStdout>,
    said: String,
}

impl Broker {
    /// Starts one and waits until it says that it is ready.
    fn start(data: &Path, arguments: &[&str]) -> Broker {
        let mut child = Command::new(env!("CARGO_BIN_EXE_haremq"))
            .args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("recovered") {
            let octets = stdout.read_line(&mut said).unwrap();
            assert_ne!(octets, 0, "the broker ended after {said:?}");
        }
        Broker { child, stdout, said }
    }

    /// What follows `key` in what the broker said.
    fn value(&self, key: &str) -> &str {
        let line = self.said.lines().find_map(|line| line.trim_start().strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key} in {:?}", self.said)).trim()
    }

    fn amqp(&self) -> SocketAddr {
        self.value("AMQP").parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn wait(mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < PATIENCE, "the broker hangs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(self) {
        self.signal(Signal::TERM);
        assert_eq!(self.wait().code(), Some(0));
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let mut rest = String::new();
        let _ = self.stdout.read_to_string(&mut rest);
    }
}

/// A client that has got as far as connection.open-ok.
struct Client(TcpStream);

impl Client {
    fn open(address: SocketAddr) -> Client {
        let mut client = Client(TcpStream::connect(address).unwrap());
        client.0.set_read_timeout(Some(PATIENCE)).unwrap();
        client.0.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
        assert_eq!(client.method()[..4], [0, 10, 0, 10], "connection.start");
        client.send(b"\x00\x0a\x00\x0b\0\0\0\0\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US");
        assert_eq!(client.method()[..4], [0, 10, 0, 30], "connection.tune");
        client.send(b"\x00\x0a\x00\x1f\x07\xff\x00\x02\x00\x00\x00\x00");
        client.send(b"\x00\x0a\x00\x28\x01/\x00\x00");
        assert_eq!(client.method()[..4], [0, 10, 0, 41], "connection.open-ok");
        client
    }

    /// Sends a method on channel 0.
    fn send(&mut self, payload: &[u8]) {
        let mut frame = vec![1, 0, 0];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame.push(0xce);
        self.0.write_all(&frame).unwrap();
    }

    /// The payload of the next frame.
    fn method(&mut self) -> Vec<u8> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(head[3..7].try_into().unwrap()) as usize + 1];
        self.0.read_exact(&mut rest).unwrap();
        rest
    }
}

#[test]
fn clients_are_told_of_the_stop_and_their_answer_is_awaited() {
    let scratch = Scratch::new("farewell");
    let broker = Broker::start(&scratch.0, &["--shards", "2"]);
    let mut clients: Vec<_> = (0..4).map(|_| Client::open(broker.amqp())).collect();
    broker.signal(Signal::TERM);
    for client in &mut clients {
        let close = client.method();
        assert_eq!(close[..6], [0, 10, 0, 50, 1, 64], "connection.close 320");
        let text = String::from_utf8_lossy(&close[7..7 + usize::from(close[6])]).into_owned();
        let words = "broker forced connection closure with reason 'shutdown'";
        assert_eq!(text, format!("CONNECTION_FORCED - {words}"));
        client.send(b"\x00\x0a\x00\x33");
    }
    for mut client in clients {
        assert_eq!(client.0.read(&mut [0]).unwrap(), 0, "closed in order, not reset");
    }
    assert_eq!(broker.wait().code(), Some(0));
}

#[test]
fn a_client_that_does_not_answer_the_close_holds_the_stop_up_for_seconds_only() {
    let scratch = Scratch::new("sulking");
    let broker = Broker::start(&scratch.0, &["--shards", "2"]);
    let client = Client::open(broker.amqp());
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(0));
    drop(client);
}

#[test]
fn a_broker_says_what_it_serves_and_stops_cleanly_on_either_signal() {
    let scratch = Scratch::new("start");
    for signal in [Signal::TERM, Signal::INT] {
        let broker = Broker::start(&scratch.0, &["--shards", "2"]);
        assert!(TcpStream::connect(broker.amqp()).is_ok());
        let management = broker.value("management").strip_prefix("http://").unwrap();
        assert!(TcpStream::connect(management).is_ok());
        assert_eq!(Path::new(broker.value("data")), scratch.0.canonicalize().unwrap());
        assert_eq!(broker.value("shards"), "2");
        assert_eq!(broker.value("recovered"), "0 queues, 0 messages");
        broker.signal(signal);
        assert_eq!(broker.wait().code(), Some(0));
    }
}

#[test]
fn the_number_of_shards_is_kept_and_may_grow() {
    let scratch = Scratch::new("grow");
    for (arguments, shards) in
        [(&["--shards", "1"][..], "1"), (&[], "1"), (&["--shards", "3"], "3"), (&[], "3")]
    {
        let broker = Broker::start(&scratch.0, arguments);
        assert_eq!(broker.value("shards"), shards);
        broker.stop();
    }
}

#[test]
fn a_broker_that_was_killed_starts_again() {
    let scratch = Scratch::new("killed");
    for _ in 0..3 {
        let broker = Broker::start(&scratch.0, &["--shards", "2"]);
        broker.signal(Signal::KILL);
        assert!(!broker.wait().success());
    }
    Broker::start(&scratch.0, &[]).stop();
}

#[test]
fn a_second_broker_is_kept_out_while_the_first_one_runs() {
    let scratch = Scratch::new("second");
    let first = Broker::start(&scratch.0, &["--shards", "1"]);
    let second = Command::new(env!("CARGO_BIN_EXE_haremq"))
        .args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir"])
        .arg(&scratch.0)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains(&format!("process {}", first.child.id())), "{text}");
    let elsewhere = Scratch::new("elsewhere");
    let second = Command::new(env!("CARGO_BIN_EXE_haremq"))
        .args(["--listen", &first.amqp().to_string(), "--data-dir"])
        .arg(&elsewhere.0)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("another HareMQ"));
    first.stop();
}

#[test]
fn a_client_that_says_nothing_does_not_hold_up_the_stop() {
    let scratch = Scratch::new("silent");
    let broker = Broker::start(&scratch.0, &["--shards", "2"]);
    let mut clients: Vec<_> = (0..4).map(|_| TcpStream::connect(broker.amqp()).unwrap()).collect();
    for client in &mut clients {
        client.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        // connection.start
        client.read_exact(&mut [0; 7]).unwrap();
    }
    broker.stop();
}

#[test]
fn a_second_signal_ends_the_broker_at_once() {
    let scratch = Scratch::new("impatient");
    let broker = Broker::start(&scratch.0, &["--shards", "1"]);
    // A client that does not answer the close keeps the first signal waiting.
    let mut client = Client::open(broker.amqp());
    broker.signal(Signal::TERM);
    assert_eq!(client.method()[..4], [0, 10, 0, 50], "connection.close");
    broker.signal(Signal::TERM);
    assert_eq!(broker.wait().code(), Some(130));
}

/// A device that takes no more is played by a limit on the size of files.
#[test]
fn a_log_that_cannot_be_written_ends_the_broker_with_file_and_reason() {
    let scratch = Scratch::new("full");
    let limited = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", limited, env!("CARGO_BIN_EXE_haremq"), "--shards", "1"])
        .args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir"])
        .arg(&scratch.0)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("shard-0/00000001.segment.new"), "{text}");
    assert!(text.contains("os error 27"), "{text}");
}
