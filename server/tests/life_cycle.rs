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
    // A client that has not answered the close keeps the first signal waiting.
    let mut client = TcpStream::connect(broker.amqp()).unwrap();
    client.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    client.read_exact(&mut [0; 7]).unwrap();
    broker.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(50));
    broker.signal(Signal::TERM);
    let status = broker.wait().code();
    // The stop may have been quicker than the second signal.
    assert!(matches!(status, Some(130) | Some(0)), "{status:?}");
}
