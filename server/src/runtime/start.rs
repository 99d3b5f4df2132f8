//! The main thread: starts everything in order, waits, stops everything in order.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Sender};
use std::sync::Arc;

use haremq_engine::ids::ShardId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::damage::{definitions_made, lacks_definitions, quarantine, unfinished};
use super::management::{load_definitions, Management};
use super::preflight::{
    check_uring, forbid_huge_pages, raise_limits, usable_cores, Bound, DataDir, AMQP, AMQPS,
    MANAGEMENT,
};
use super::shards::{Recovered, Shards};
use super::stage::Event;
use super::transport::{Door, TlsDoor};
use super::turnstile::Turnstile;
use super::StartError;
use crate::config::{Pin, Settings};

/// A new data directory gets one shard per usable core, up to this many.
const DEFAULT_SHARDS_MAX: usize = 32;
/// Exit status after a second signal.
const IMPATIENT_STATUS: i32 = 130;

/// Where AMQP is listened for.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) plain: Vec<SocketAddr>,
    /// With TLS.
    pub(super) ssl: Vec<SocketAddr>,
}

/// Runs the broker until a signal stops it. An error means that it has not started.
pub fn run(settings: &Settings) -> Result<(), StartError> {
    // From here on a signal is a request to stop, even if recovery takes long.
    let signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|source| StartError::Signals { source })?;
    raise_limits()?;
    forbid_huge_pages();
    check_uring()?;
    let tls = settings.tls.as_ref();
    let tls = tls.map(|tls| TlsDoor::open(tls, settings.auth.certificate_name)).transpose()?;
    let listeners: Vec<_> =
        settings.listen.iter().map(|one| Bound::new(*one, AMQP)).collect::<Result<_, _>>()?;
    let also = settings.listen_if_there.iter().map(|one| Bound::if_there(*one, AMQP));
    let also: Vec<_> = also.collect::<Result<_, _>>()?;
    let ssl = settings.listen_ssl.iter().map(|one| Bound::new(*one, AMQPS));
    let ssl: Vec<_> = ssl.collect::<Result<_, _>>()?;
    let management = Bound::new(settings.management, MANAGEMENT)?;
    let cores = usable_cores();
    let fresh = cores.len().clamp(1, DEFAULT_SHARDS_MAX) as u16;
    let data_dir = DataDir::open(&settings.data_dir, settings.shards, fresh)?;
    let pinned = pinned(settings.pin, data_dir.shards(), &cores)?;
    mend(&data_dir, settings.quarantine_damage)?;
    let lacks_definitions = lacks_definitions(&data_dir)?;

    let (events, inbox) = mpsc::channel();
    watch(signals, events.clone());
    let mut shards = Shards::start(&data_dir, &pinned, settings, lacks_definitions, events, inbox)?;
    let Some(recovered) = shards.recover()? else { return Ok(()) };
    if lacks_definitions {
        definitions_made(&data_dir)?;
    }

    if let Some(path) = &settings.load_definitions {
        load_definitions(path, settings, &data_dir, &shards)?;
    }
    let listeners = listeners.into_iter().chain(also.into_iter().flatten());
    let listeners: Vec<_> = listeners.map(Bound::listen).collect::<Result<_, _>>()?;
    let ssl: Vec<_> = ssl.into_iter().map(Bound::listen).collect::<Result<_, _>>()?;
    let addresses = Addresses {
        plain: listeners.iter().map(|one| one.address).collect(),
        ssl: ssl.iter().map(|one| one.address).collect(),
    };
    let management = Management::start(management, settings, &data_dir, &shards, &addresses)?;
    let plain = Arc::new(Door { proxy: settings.proxy_protocol, tls: None });
    let secure = Arc::new(Door { proxy: settings.proxy_protocol, tls });
    let listeners = listeners.into_iter().map(|one| (one, plain.clone()));
    let ssl = ssl.into_iter().map(|one| (one, secure.clone()));
    let turnstile = |(one, door)| Arc::new(Turnstile::new(one, door, data_dir.shards()));
    shards.listen(listeners.chain(ssl).map(turnstile).collect());
    announce(&addresses, management.address, &data_dir, &recovered);

    shards.serve();
    tracing::info!("stopping");
    management.stop();
    shards.stop();
    Ok(())
}

/// Puts damage aside if that is wanted. Without being told so the broker does not go on with what it
/// was told once: the files may be others by now.
fn mend(data_dir: &DataDir, quarantine_damage: bool) -> Result<(), StartError> {
    if !quarantine_damage {
        return match unfinished(data_dir)?.into_iter().next() {
            Some(path) => Err(StartError::QuarantineUnfinished { path }),
            None => Ok(()),
        };
    }
    for path in quarantine(data_dir)? {
        tracing::warn!(
            "damaged parts of the data directory are put aside in {}; report.txt there lists the \
             messages that are lost",
            path.display()
        );
    }
    Ok(())
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
    listeners: &Addresses,
    management: SocketAddr,
    data_dir: &DataDir,
    recovered: &Recovered,
) {
    let mut text = format!("HareMQ {}\n", env!("CARGO_PKG_VERSION"));
    for listener in &listeners.plain {
        let _ = writeln!(text, "  AMQP        {listener}");
    }
    for listener in &listeners.ssl {
        let _ = writeln!(text, "  AMQPS       {listener}");
    }
    let _ = writeln!(text, "  management  http://{management}");
    let _ = writeln!(text, "  data        {}", data_dir.path().display());
    let _ = writeln!(text, "  shards      {}", data_dir.shards());
    let _ =
        write!(text, "  recovered   {} queues, {} messages", recovered.queues, recovered.messages);
    println!("{text}");
}
