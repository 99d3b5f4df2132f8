//! All shards, as the main thread sees them: started together, moved from stage to stage together.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use haremq_engine::access::hash_password;
use haremq_engine::ids::ShardId;
use haremq_engine::topology::{Change, DefinitionLimits};

use super::alarms::Alarms;
use super::boot::{spawn, Plan};
use super::clock::Clock;
use super::loads::Loads;
use super::machine;
use super::mailbox::{Letter, Mailbox};
use super::preflight::DataDir;
use super::shard::Common;
use super::stage::Event;
use super::turnstile::Turnstile;
use super::StartError;
use crate::amqp::ConnectionSettings;
use crate::config::{NodeLimits, Settings, Watermarks};
use crate::ring::mesh;

/// How long the log may take to become quiet at the end.
const FLUSH_MAX: Duration = Duration::from_secs(60);
/// Connections have a bound of their own; this is for a shard that hangs.
const EMPTY_MAX: Duration = Duration::from_secs(10);

/// Sums over all shards.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) queues: u64,
    pub(super) messages: u64,
}

/// All shards, as the main thread sees them.
pub(super) struct Shards {
    common: Arc<Common>,
    inbox: Receiver<(ShardId, Event)>,
    definitions: Vec<Sender<Arc<[Change]>>>,
    threads: Vec<JoinHandle<()>>,
}

/// Octets that messages may take in each shard before they go to disk.
fn shard_memory(watermarks: Watermarks, shards: u16) -> usize {
    let total_bytes = machine::memory_bytes();
    watermarks.shard_bytes(total_bytes, shards).try_into().unwrap_or(usize::MAX)
}

impl Shards {
    pub(super) fn start(
        data_dir: &DataDir,
        cores: &[Option<usize>],
        settings: &Settings,
        rescues_definitions: bool,
        events: Sender<(ShardId, Event)>,
        inbox: Receiver<(ShardId, Event)>,
    ) -> Result<Shards, StartError> {
        glommio::early_init();
        let (watermarks, tells_events) = (settings.watermarks, settings.event_exchange);
        let spin = Duration::from_micros(settings.spin_us.into());
        let segment_bytes = settings.segment_bytes;
        let index_memory_bytes = settings.index_memory_bytes;
        let ports = mesh(data_dir.shards());
        let mailboxes = ports.iter().map(|port| Arc::new(Mailbox::new(port.bell().clone())));
        let common = Arc::new(Common {
            mailboxes: mailboxes.collect(),
            loads: Arc::new(Loads::new(ports.len())),
            serial: AtomicU64::new(0),
            memory_max_bytes: shard_memory(watermarks, data_dir.shards()),
            alarms: Arc::new(Alarms::new(
                data_dir.shards(),
                watermarks,
                data_dir.path().to_owned(),
            )),
        });
        let clock = Clock::new();
        let NodeLimits { vhosts, queues, exchanges, .. } = settings.limits;
        let limits = DefinitionLimits { vhosts, queues, exchanges };
        let guest_password_hash: Arc<[u8]> = hash_password(salt(), b"guest").into();
        let settings = ConnectionSettings {
            cluster_name: node_name(),
            consumer_timeout_ms: settings.consumer_timeout_ms,
            connection_max: settings.limits.connections,
            channel_max_per_node: settings.limits.channels,
            consumer_max_per_channel: settings.limits.consumers_per_channel,
            mechanisms: settings.auth.mechanisms.clone(),
            anonymous_login_user: settings.auth.anonymous_user.clone(),
            handshake_timeout_ms: settings.auth.handshake_timeout_ms,
            stamps: settings.stamps,
            ..ConnectionSettings::default()
        };
        let (mut definitions, mut threads) = (Vec::new(), Vec::new());
        for (port, core) in ports.into_iter().zip(cores) {
            let (sender, receiver) = mpsc::channel();
            definitions.push(sender);
            threads.push(spawn(Plan {
                shard: port.shard(),
                dir: data_dir.shard_dir(port.shard().0),
                core: *core,
                spin,
                segment_bytes,
                index_memory_bytes,
                clock,
                port,
                common: common.clone(),
                settings: settings.clone(),
                tells_events,
                rescues_definitions,
                limits,
                guest_password_hash: guest_password_hash.clone(),
                events: events.clone(),
                definitions: receiver,
            })?);
        }
        Ok(Shards { common, inbox, definitions, threads })
    }

    /// Until every shard is ready. `None`: a signal came first.
    pub(super) fn recover(&mut self) -> Result<Option<Recovered>, StartError> {
        let mut recovered = Recovered::default();
        // Each shard says two things: that it has recovered, and that what transactions have left to
        // do is done, for which the others must have recovered, too.
        let mut waiting = 2 * self.threads.len();
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
                Event::Resolved => waiting -= 1,
                Event::Failed(error) => return Err(error),
                Event::Signal => return Ok(None),
                Event::Emptied | Event::Flushed | Event::Ended => {}
            }
        }
        Ok(Some(recovered))
    }

    /// Until a signal asks for a stop.
    pub(super) fn serve(&self) {
        while !matches!(self.event(), Event::Signal) {}
    }

    fn event(&self) -> Event {
        // The signal thread holds a sender for ever.
        self.inbox.recv().map_or(Event::Signal, |(_, event)| event)
    }

    /// Has all shards take connections from these, which are closed when the last shard has let go of them.
    pub(super) fn listen(&self, turnstiles: Vec<Arc<Turnstile>>) {
        for shard in 0..self.common.mailboxes.len() {
            self.post(shard, Letter::Listen(turnstiles.clone()));
        }
    }

    fn post(&self, shard: usize, letter: Letter) {
        if let Err(letter) = self.common.mailboxes[shard].post(letter) {
            tracing::error!(shard, ?letter, "the shard takes no letters any more");
        }
    }

    /// The mailbox of each shard, in order.
    pub(super) fn mailboxes(&self) -> &[Arc<Mailbox>] {
        &self.common.mailboxes
    }

    /// Stage by stage, so that what one shard does last still finds the others at work.
    pub(super) fn stop(mut self) {
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
pub(super) fn node_name() -> String {
    format!("haremq@{}", rustix::system::uname().nodename().to_string_lossy())
}
