//! One running broker.
//!
//! It listens on ports that the kernel chose and tells them in its start-up lines, which are what readiness means
//! here. It is only ever stopped by the process id that this harness started.

use crate::binaries::binaries;
use crate::ctl::Ctl;
use crate::directory::TestDirectory;
use crate::output::Output;
use rustix::process::{kill_process, Pid, Signal};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A broker is up within this time, or something is wrong with it.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A broker that was asked to stop has stopped within this time.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How a broker is started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    arguments: Vec<OsString>,
    launcher: Vec<OsString>,
    data_directory: Option<PathBuf>,
}

impl Setup {
    /// The defaults of the tests: two shards, loopback, free ports.
    pub fn new() -> Setup {
        Setup::default()
    }

    /// Adds command line arguments.
    #[must_use]
    pub fn arguments<S: Into<OsString>>(mut self, more: impl IntoIterator<Item = S>) -> Setup {
        self.arguments.extend(more.into_iter().map(Into::into));
        self
    }

    /// Starts the broker by way of another program, which gets the broker and its arguments appended.
    #[must_use]
    pub fn launcher<S: Into<OsString>>(mut self, words: impl IntoIterator<Item = S>) -> Setup {
        self.launcher = words.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps the data there instead of in a directory of the broker's own.
    #[must_use]
    pub fn data_directory(mut self, directory: &Path) -> Setup {
        self.data_directory = Some(directory.to_path_buf());
        self
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let broker = binaries().haremq.as_os_str().to_os_string();
        let mut words = self.launcher.iter().cloned().chain([broker]);
        let mut command = Command::new(words.next().expect("there is at least the broker"));
        command.args(words).args(arguments).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A process with its output.
#[derive(Debug)]
struct Process {
    child: Child,
    output: Output,
}

impl Process {
    fn start(mut command: Command) -> Process {
        let mut child = command.spawn().expect("the broker can be started");
        let output = Output::default();
        output.collect(child.stdout.take().expect("stdout is piped"));
        output.collect(child.stderr.take().expect("stderr is piped"));
        Process { child, output }
    }

    fn signal(&self, signal: Signal) {
        // A child that has ended but was not waited for keeps its id, so this can reach nobody else.
        kill_process(Pid::from_child(&self.child), signal).expect("the broker can be signalled");
    }

    /// Waits for the end; None when it does not come.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        if !self.output.wait_for_end(limit) {
            return None;
        }
        Some(self.child.wait().expect("a child can be waited for"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the broker printed ---\n{}\n---", self.output.text());
        }
    }
}

/// A broker under test, and the directory of its data.
#[derive(Debug)]
pub struct Broker {
    setup: Setup,
    process: Option<Process>,
    amqp: SocketAddr,
    amqps: Option<SocketAddr>,
    management: SocketAddr,
    directory: TestDirectory,
}

impl Broker {
    /// Starts a broker with the defaults of the tests.
    pub fn start() -> Broker {
        Broker::start_with(Setup::new())
    }

    /// Starts a broker.
    ///
    /// With `HAREMQ_TESTS_AGAINST=ADDRESS:PORT` in the environment it is the broker there, whoever made it: so are
    /// the expectations of the wire tests held against the original.
    pub fn start_with(setup: Setup) -> Broker {
        let mut broker = Broker::not_started(setup);
        match foreign_broker() {
            Some(amqp) => broker.amqp = amqp,
            None => broker.start_again(),
        }
        broker
    }

    /// Starts a broker that may refuse to; gives what it said then.
    pub fn try_start_with(setup: Setup) -> Result<Broker, String> {
        let mut broker = Broker::not_started(setup);
        broker.try_start_again().map(|()| broker)
    }

    /// A broker that has not been started.
    pub fn not_started(setup: Setup) -> Broker {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let directory = TestDirectory::new();
        Broker { setup, process: None, amqp: nowhere, amqps: None, management: nowhere, directory }
    }

    /// Starts the broker on the data it left, on new ports.
    pub fn start_again(&mut self) {
        if let Err(text) = self.try_start_again() {
            panic!("the broker did not come up within {START_LIMIT:?}:\n{text}");
        }
    }

    /// Starts the broker and kills it after `time`, whatever it is doing then.
    pub fn start_and_kill9_after(&mut self, time: Duration) {
        let process = self.spawn();
        process.output.wait_for_end(time);
        process.signal(Signal::KILL);
        self.process = Some(process);
        let (_, text) = self.wait_for_end();
        assert!(!text.contains("panicked"), "it panicked:\n{text}");
    }

    /// Starts the broker and kills it when `is_time` says so, or when it is up. False: it had ended.
    pub fn start_and_kill9_when(&mut self, mut is_time: impl FnMut() -> bool) -> bool {
        let mut process = self.spawn();
        let is_up = |lines: &[String]| lines.iter().any(|line| line.starts_with("  recovered "));
        let is_alive = loop {
            if process.child.try_wait().expect("a child can be asked for").is_some() {
                break false;
            }
            let up = process.output.wait_for(0, Duration::ZERO, |lines| is_up(lines).then_some(()));
            if is_time() || up.is_some() {
                break true;
            }
            std::thread::yield_now();
        };
        process.signal(Signal::KILL);
        process.wait(STOP_LIMIT).expect("a killed process ends");
        is_alive
    }

    /// As `start_again`; gives what the broker said if it does not come up.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        let process = self.spawn();
        let addresses = process.output.wait_for(0, START_LIMIT, |lines| {
            // Its last words of the start.
            lines.iter().find(|line| line.starts_with("  recovered "))?;
            let amqps = listener(lines, "  AMQPS ");
            Some((listener(lines, "  AMQP ")?, amqps, listener(lines, "  management ")?))
        });
        (self.amqp, self.amqps, self.management) =
            addresses.ok_or_else(|| process.output.text())?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts the process and does not wait for it.
    fn spawn(&self) -> Process {
        assert!(self.process.is_none(), "the broker is running");
        let mut arguments: Vec<OsString> =
            ["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir"]
                .map(OsString::from)
                .to_vec();
        arguments.push(self.data_directory().into());
        if !self.setup.arguments.iter().any(|argument| argument == "--shards") {
            arguments.extend(["--shards", "2"].map(OsString::from));
        }
        arguments.extend(self.setup.arguments.iter().cloned());
        Process::start(self.setup.command(&arguments))
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the broker is running")
    }

    /// Where AMQP clients connect.
    pub fn amqp(&self) -> SocketAddr {
        self.amqp
    }

    /// Where AMQP clients connect with TLS.
    pub fn amqps(&self) -> SocketAddr {
        self.amqps.expect("the broker was told to listen with TLS")
    }

    /// Where the management API listens.
    pub fn management(&self) -> SocketAddr {
        self.management
    }

    /// Where its data is.
    pub fn data_directory(&self) -> PathBuf {
        let own = || self.directory.path().join("data");
        self.setup.data_directory.clone().unwrap_or_else(own)
    }

    /// The operator's command line for this broker.
    pub fn ctl(&self) -> Ctl {
        Ctl::new(self.management, self.data_directory())
    }

    /// The body of a management answer to GET, asked for as guest.
    pub fn ask(&self, path: &str) -> serde_json::Value {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.management).expect("it listens");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("octets are taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer comes");
        let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
        serde_json::from_str(body).expect("the body is JSON")
    }

    /// What it has printed since it was started last.
    pub fn output(&self) -> &Output {
        &self.process().output
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process().child.id()
    }

    /// Memory it occupies, in octets.
    pub fn resident_octets(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))
            .expect("the broker is running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS is there");
        let kibibytes: u64 =
            line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).expect("a number");
        kibibytes * 1024
    }

    /// Kills it as `kill -9` does.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("the broker is running");
        process.signal(Signal::KILL);
        process.wait(STOP_LIMIT).expect("a killed process ends");
    }

    /// Kills it and starts it again on the same data.
    pub fn kill9_and_start_again(&mut self) {
        self.kill9();
        self.start_again();
    }

    /// Sends a signal and leaves it to the broker what to do.
    pub fn signal(&self, signal: Signal) {
        self.process().signal(signal);
    }

    /// Waits until it has ended; gives how it ended and everything it printed.
    pub fn wait_for_end(&mut self) -> (ExitStatus, String) {
        let mut process = self.process.take().expect("the broker is running");
        let status = process.wait(STOP_LIMIT).unwrap_or_else(|| {
            panic!("the broker has not stopped within {STOP_LIMIT:?}:\n{}", process.output.text())
        });
        (status, process.output.text())
    }

    /// Stops it with SIGTERM; it must end with code 0.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let (status, text) = self.wait_for_end();
        assert!(status.success(), "SIGTERM ended the broker with {status}:\n{text}");
    }

    /// Stops it and starts it again on the same data.
    pub fn stop_and_start_again(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        let Some(process) = self.process.as_mut() else { return foreign_broker().is_some() };
        process.child.try_wait().expect("a child can be asked for").is_none()
    }
}

/// The broker that stands in for ours, if one does.
fn foreign_broker() -> Option<SocketAddr> {
    let address = std::env::var("HAREMQ_TESTS_AGAINST").ok()?;
    Some(address.parse().expect("HAREMQ_TESTS_AGAINST is ADDRESS:PORT"))
}

/// The address at which the line with `mark` in it says that something listens.
fn listener(lines: &[String], mark: &str) -> Option<SocketAddr> {
    let line = lines.iter().find(|line| line.contains(mark))?;
    line.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches("http://").trim_end_matches(['/', ',', ';', '.']);
        word.parse::<SocketAddr>().ok()
    })
}

/// How a broker ended that should not have started.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub text: String,
}

impl Refusal {
    /// Checks that it ended with a failure, said every one of `parts`, and neither panicked nor told a story.
    #[track_caller]
    pub fn assert_says(&self, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(1), "exit status; it said: {}", self.text);
        for part in parts {
            assert!(self.text.contains(part), "{part:?} is missing in: {}", self.text);
        }
        assert!(!self.text.contains("panicked"), "it panicked: {}", self.text);
        let lines = self.text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= 3, "one clear sentence is wanted, not {lines} lines: {}", self.text);
    }
}

/// Starts a broker that must refuse to start with `data_directory` and `arguments`.
pub fn start_refused(setup: &Setup, data_directory: &Path, arguments: &[&str]) -> Refusal {
    let mut words: Vec<OsString> = vec!["--data-dir".into(), data_directory.into()];
    for (option, default) in [("--listen", "127.0.0.1:0"), ("--management", "127.0.0.1:0")] {
        if !arguments.contains(&option) {
            words.extend([option.into(), default.into()]);
        }
    }
    words.extend(arguments.iter().map(OsString::from));
    let mut process = Process::start(setup.command(&words));
    let status = process.wait(START_LIMIT);
    let text = process.output.text();
    let status = status.unwrap_or_else(|| panic!("the broker started, or hangs:\n{text}"));
    Refusal { status, text }
}
