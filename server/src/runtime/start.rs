//! The main thread: starts everything in order, waits, stops everything in order.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use haremq_engine::access::hash_password;
use haremq_engine::ids::ShardId;
use haremq_engine::topology::Change;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;

use super::boot::{spawn, Plan};
use super::clock::{unix_ms, Clock};
use super::mailbox::{Letter, Mailbox, MailboxPort};
use super::preflight::{
    check_uring, raise_limits, usable_cores, Bound, DataDir, Listening, AMQP, MANAGEMENT,
};
use super::shard::Common;
use super::stage::Event;
use super::StartError;
use crate::amqp::ConnectionSettings;
use crate::config::{Pin, Settings};
use crate::control::{Control, ControlPort, NodeFacts};
use crate::management;
use crate::ring::mesh;

/// A new data directory gets one shard per usable core, up to this many.
const DEFAULT_SHARDS_MAX: usize = 32;
/// How long the log may take to become quiet at the end.
const FLUSH_MAX: Duration = Duration::from_secs(60);
/// Connections have a bound of their own; this is for a shard that hangs.
const EMPTY_MAX: Duration = Duration::from_secs(10);
/// Exit status after a second signal.
const IMPATIENT_STATUS: i32 = 130;

/// Runs the broker until a signal stops it. An error means that it has not started.
pub fn run(settings: &Settings) -> Result<(), StartError> {
    // From here on a signal is a request to stop, even if recovery takes long.
    let signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|source| StartError::Signals { source })?;
    raise_limits()?;
    check_uring()?;
    let listeners: Vec<_> =
        settings.listen.iter().map(|one| Bound::new(*one, AMQP)).collect::<Result<_, _>>()?;
    let management = Bound::new(settings.management, MANAGEMENT)?;
    let cores = usable_cores();
    let fresh = cores.len().clamp(1, DEFAULT_SHARDS_MAX) as u16;
    let data_dir = DataDir::open(&settings.data_dir, settings.shards, fresh)?;
    let pinned = pinned(settings.pin, data_dir.shards(), &cores)?;

    let (events, inbox) = mpsc::channel();
    watch(signals, events.clone());
    let mut shards = Shards::start(&data_dir, &pinned, events, inbox)?;
    let Some(recovered) = shards.recover()? else { return Ok(()) };

    let listeners: Vec<_> = listeners.into_iter().map(Bound::listen).collect::<Result<_, _>>()?;
    let addresses: Vec<_> = listeners.iter().map(|one| one.address).collect();
    let management = Management::start(management, settings, &data_dir, &shards, &addresses)?;
    shards.post(0, Letter::Listen(listeners));
    announce(&addresses, management.address, &data_dir, &recovered);

    shards.serve();
    tracing::info!("stopping");
    management.stop();
    shards.stop();
    Ok(())
}

/// Sums over all shards.
#[derive(Debug, Default)]
struct Recovered {
    queues: u64,
    messages: u64,
}

/// A core for each shard, or for none.
fn pinned(pin: Pin, shards: u16, cores: &[usize]) -> Result<Vec<Option<usize>>, StartError> {
    match pin {
        Pin::Auto | Pin::Off => Ok(vec![None; usize::from(shards)]),
        Pin::On if cores.len() < usize::from(shards) => {
            Err(StartError::TooFewCores { shards, cores: cores.len() })
        }
        Pin::On => Ok(cores.iter().take(usize::from(shards)).copied().map(Some).collect()),
    }
}

/// Turns the first signal into an event; the second one ends the process.
fn watch(mut signals: Signals, events: Sender<(ShardId, Event)>) {
    std::thread::spawn(move || {
        for (count, _) in signals.forever().enumerate() {
            if count > 0 {
                eprintln!("haremq: stopped at once");
                std::process::exit(IMPATIENT_STATUS);
            }
            let _ = events.send((ShardId::TOPOLOGY_WRITER, Event::Signal));
        }
    });
}

fn announce(
    listeners: &[SocketAddr],
    management: SocketAddr,
    data_dir: &DataDir,
    recovered: &Recovered,
) {
    let mut text = format!("HareMQ {}\n", env!("CARGO_PKG_VERSION"));
    for listener in listeners {
        let _ = writeln!(text, "  AMQP        {listener}");
    }
    let _ = writeln!(text, "  management  http://{management}");
    let _ = writeln!(text, "  data        {}", data_dir.path().display());
    let _ = writeln!(text, "  shards      {}", data_dir.shards());
    let _ =
        write!(text, "  recovered   {} queues, {} messages", recovered.queues, recovered.messages);
    println!("{text}");
}

/// All shards, as the main thread sees them.
struct Shards {
    common: Arc<Common>,
    inbox: Receiver<(ShardId, Event)>,
    definitions: Vec<Sender<Arc<[Change]>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    fn start(
        data_dir: &DataDir,
        cores: &[Option<usize>],
        events: Sender<(ShardId, Event)>,
        inbox: Receiver<(ShardId, Event)>,
    ) -> Result<Shards, StartError> {
        glommio::early_init();
        let ports = mesh(data_dir.shards());
        let mailboxes = ports.iter().map(|port| Arc::new(Mailbox::new(port.bell().clone())));
        let common = Arc::new(Common {
            mailboxes: mailboxes.collect(),
            loads: ports.iter().map(|_| AtomicUsize::new(0)).collect(),
            serial: AtomicU64::new(0),
        });
        let clock = Clock::new();
        let guest_password_hash: Arc<[u8]> = hash_password(salt(), b"guest").into();
        let settings =
            ConnectionSettings { cluster_name: node_name(), ..ConnectionSettings::default() };
        let (mut definitions, mut threads) = (Vec::new(), Vec::new());
        for (port, core) in ports.into_iter().zip(cores) {
            let (sender, receiver) = mpsc::channel();
            definitions.push(sender);
            threads.push(spawn(Plan {
                shard: port.shard(),
                dir: data_dir.shard_dir(port.shard().0),
                core: *core,
                clock,
                port,
                common: common.clone(),
                settings: settings.clone(),
                guest_password_hash: guest_password_hash.clone(),
                events: events.clone(),
                definitions: receiver,
            })?);
        }
        Ok(Shards { common, inbox, definitions, threads })
    }

    /// Until every shard is ready. `None`: a signal came first.
    fn recover(&mut self) -> Result<Option<Recovered>, StartError> {
        let mut recovered = Recovered::default();
        let mut waiting = self.threads.len();
        while waiting > 0 {
            match self.event() {
                Event::Definitions(changes) => {
                    for shard in &self.definitions {
                        // A shard that failed has said so, or is about to.
                        let _ = shard.send(changes.clone());
                    }
                }
                Event::Ready { queues, messages } => {
                    recovered.queues += queues;
                    recovered.messages += messages;
                    waiting -= 1;
                }
                Event::Failed(error) => return Err(error),
                Event::Signal => return Ok(None),
                Event::Emptied | Event::Flushed | Event::Ended => {}
            }
        }
        Ok(Some(recovered))
    }

    /// Until a signal asks for a stop.
    fn serve(&self) {
        while !matches!(self.event(), Event::Signal) {}
    }

    fn event(&self) -> Event {
        // The signal thread holds a sender for ever.
        self.inbox.recv().map_or(Event::Signal, |(_, event)| event)
    }

    fn post(&self, shard: usize, letter: Letter) {
        if let Err(letter) = self.common.mailboxes[shard].post(letter) {
            tracing::error!(shard, ?letter, "the shard takes no letters any more");
        }
    }

    /// Stage by stage, so that what one shard does last still finds the others at work.
    fn stop(mut self) {
        self.stage(|| Letter::CloseConnections, EMPTY_MAX, |event| matches!(event, Event::Emptied));
        // Twice: what was on its way between shards during the first round is durable after the
        // second.
        for _ in 0..2 {
            self.stage(|| Letter::Flush, FLUSH_MAX, |event| matches!(event, Event::Flushed));
        }
        self.stage(|| Letter::End, EMPTY_MAX, |event| matches!(event, Event::Ended));
        for thread in self.threads.drain(..) {
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }

    /// Posts a letter to every shard and waits until each has answered, or for `bound`.
    fn stage(&self, letter: impl Fn() -> Letter, bound: Duration, done: impl Fn(&Event) -> bool) {
        let shards = self.common.mailboxes.len();
        for shard in 0..shards {
            self.post(shard, letter());
        }
        let deadline = Instant::now() + bound;
        let mut waiting = shards;
        while waiting > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inbox.recv_timeout(left) {
                Ok((_, event)) if done(&event) => waiting -= 1,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return tracing::error!(stage = ?letter(), waiting, "shards do not answer");
                }
            }
        }
    }
}

fn salt() -> [u8; 4] {
    let mut salt = [0; 4];
    getrandom::fill(&mut salt).expect("the operating system gives random octets");
    salt
}

/// `haremq@<host>`
fn node_name() -> String {
    format!("haremq@{}", rustix::system::uname().nodename().to_string_lossy())
}

/// The management thread.
struct Management {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Management {
    fn start(
        bound: Bound,
        settings: &Settings,
        data_dir: &DataDir,
        shards: &Shards,
        listeners: &[SocketAddr],
    ) -> Result<Management, StartError> {
        let failed = |error: std::io::Error| StartError::Management { what: error.to_string() };
        let Listening { listener, address } = bound.listen()?;
        let token = management::token::create(data_dir.path()).map_err(failed)?;
        let port = |mailbox: &Arc<Mailbox>| -> Box<dyn ControlPort> {
            Box::new(MailboxPort(mailbox.clone()))
        };
        let control = Control {
            ports: shards.common.mailboxes.iter().map(port).collect(),
            facts: Arc::new(NodeFacts {
                node: node_name(),
                shards: data_dir.shards(),
                data_dir: data_dir.path().display().to_string(),
                config_file: settings.config_file.as_ref().map(|file| file.display().to_string()),
                listeners: listeners.to_vec(),
                management: Some(address),
                started_unix_ms: unix_ms(),
            }),
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            if let Err(error) = management::run(control, listener, token, stopped) {
                tracing::error!(%error, "the management interface has ended");
            }
        };
        let thread = std::thread::Builder::new().name("management".into()).spawn(serve);
        Ok(Management { address, stop, thread: thread.map_err(failed)? })
    }

    fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}
