//! One shard's thread, from the executor to the last task.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use haremq_engine::ids::ShardId;
use haremq_engine::log::{LogConfig, LogError};
use haremq_engine::queue::Packing;
use haremq_engine::shard::{ShardBoot, ShardConfig};
use haremq_engine::topology::{Change, DefinitionLimits};

use super::clock::Clock;
use super::host::Host;
use super::lookout::{self, Lookout};
use super::mail;
use super::memory::DmaMemory;
use super::pages::PageFile;
use super::read_ahead::ReadAhead;
use super::segments::Segments;
use super::shard::{Common, ShardRuntime};
use super::stage::Event;
use super::ticker;
use super::world::EngineShard;
use super::StartError;
use crate::amqp::ConnectionSettings;
use crate::ring::Port;

/// After so long without a pause the executor looks at the world of its own accord. Long, because
/// the timer also ends the sleep of an idle shard, and with a short one the executor parks with
/// runnable tasks when it loses its core; that it looks often enough is the lookout's affair.
const PREEMPT_TIMER: Duration = Duration::from_secs(10);
/// Memory registered with the kernel, which counts as locked. Buffers come from elsewhere.
const REGISTERED_BYTES: usize = 64 << 10;

/// Batches in segments large enough; smaller ones must hold a few.
const BUFFER_MAX_BYTES: usize = 1 << 20;
const WRITES_IN_FLIGHT_MAX: usize = 4;
const CACHE_BYTES: usize = 16 << 20;
const SETTLE_DELAY_US: u64 = 10_000;
const WINDOW_BYTES: u64 = 1 << 20;
const DISPATCH_BATCH: usize = 256;

/// What one shard's thread starts with.
pub(super) struct Plan {
    pub(super) shard: ShardId,
    pub(super) dir: PathBuf,
    /// The core to stay on, if any.
    pub(super) core: Option<usize>,
    /// How long to look for work before sleeping.
    pub(super) spin: Duration,
    /// Size of every segment file, in octets.
    pub(super) segment_bytes: u64,
    /// Octets of memory for what its queues know of their messages.
    pub(super) index_memory_bytes: usize,
    pub(super) clock: Clock,
    pub(super) port: Port,
    pub(super) common: Arc<Common>,
    pub(super) settings: ConnectionSettings,
    /// There is to be an event exchange.
    pub(super) tells_events: bool,
    /// Damage has just taken definitions.
    pub(super) rescues_definitions: bool,
    pub(super) limits: DefinitionLimits,
    pub(super) guest_password_hash: Arc<[u8]>,
    pub(super) events: Sender<(ShardId, Event)>,
    /// The durable topology, from shard 0 by way of the main thread.
    pub(super) definitions: Receiver<Arc<[Change]>>,
}

/// Starts the thread. Whatever becomes of it, it says so in an [`Event`], or ends the process.
pub(super) fn spawn(plan: Plan) -> Result<JoinHandle<()>, StartError> {
    let shard = plan.shard.0;
    let name = format!("shard-{shard}");
    let run = move || {
        // A shard that is gone takes its queues with it: the others must not go on without.
        if catch_unwind(AssertUnwindSafe(|| run(plan))).is_err() {
            eprintln!("haremq: shard {shard} failed (see above); the process ends, nothing confirmed is lost");
            std::process::abort();
        }
    };
    let failed = |error: std::io::Error| StartError::Executor { shard, what: error.to_string() };
    std::thread::Builder::new().name(name).spawn(run).map_err(failed)
}

fn run(plan: Plan) {
    let (shard, events) = (plan.shard, plan.events.clone());
    let last = match executor(&plan) {
        Ok(executor) => match executor.run(serve(plan)) {
            Ok(()) => Event::Ended,
            Err(error) => Event::Failed(error),
        },
        Err(error) => Event::Failed(error),
    };
    // The main thread is there as long as any shard is, unless it is leaving in a hurry.
    let _ = events.send((shard, last));
}

fn executor(plan: &Plan) -> Result<LocalExecutor, StartError> {
    let placement = plan.core.map_or(Placement::Unbound, Placement::Fixed);
    LocalExecutorBuilder::new(placement)
        .name("shard")
        .preempt_timer(PREEMPT_TIMER)
        .io_memory(REGISTERED_BYTES)
        .make()
        .map_err(|error| StartError::Executor { shard: plan.shard.0, what: error.to_string() })
}

/// Recovers, serves, and comes back when the shard is told to end.
async fn serve(plan: Plan) -> Result<(), StartError> {
    let Some((shard, segments)) = recover(&plan).await? else { return Ok(()) };
    let queues = shard.queue_count() as u64;
    let stats = shard.all_queue_stats();
    let messages = stats.iter().map(|one| one.messages_ready + one.messages_unacknowledged).sum();
    let host = Host::new(shard, plan.port, plan.clock, &plan.common);
    let Plan { shard, common, settings, events, spin, .. } = plan;
    let lookout = Lookout::new()
        .map_err(|error| StartError::Executor { shard: shard.0, what: error.to_string() })?;
    let runtime = ShardRuntime::new(host, segments, lookout.clone(), common, settings, events);
    let runtime = Rc::new(runtime);
    // What recovery has left to do, such as preparing the first segment.
    runtime.turn(None, |_| ());
    let tasks = [
        glommio::spawn_local(lookout::run(runtime.clone(), spin)),
        glommio::spawn_local(lookout::stand_sentry(lookout)),
        glommio::spawn_local(lookout::keep_a_timer()),
        glommio::spawn_local(ticker::run(runtime.clone())),
    ];
    runtime.report(Event::Ready { queues, messages });
    mail::run(runtime).await;
    for task in tasks {
        task.cancel().await;
    }
    tracing::debug!(shard = shard.0, "ended");
    Ok(())
}

/// Reads the shard's log back. `None`: the start has been called off meanwhile.
async fn recover(plan: &Plan) -> Result<Option<(EngineShard, Rc<Segments>)>, StartError> {
    let failed = |source: LogError| {
        let (shard, dir) = (plan.shard.0, plan.dir.clone());
        match dir.parent().map(Path::to_owned).filter(|_| source.is_damage()) {
            Some(data_dir) => StartError::Damaged { shard, dir, data_dir, source },
            None => StartError::Recovery { shard, dir, source },
        }
    };
    let (segments, files) = Segments::open(plan.dir.clone(), buffer_bytes(plan)).await?;
    let segments = Rc::new(segments);
    let mut boot = ShardBoot::new(config(plan), DmaMemory, files);
    if plan.tells_events {
        boot.tell_events();
    }
    if plan.rescues_definitions {
        boot.rescue_definitions();
    }
    boot.limit_definitions(plan.limits);
    let pages = PageFile::open(plan.shard.0, &plan.dir)?;
    boot.keep_indexes(Packing::within(plan.index_memory_bytes), Box::new(pages));
    let mut reads = ReadAhead::new(segments.clone());
    while let Some(read) = boot.next_read() {
        let octets = reads.read(read, boot.read_ahead()).await;
        let octets = octets.map_err(|failure| StartError::Segment {
            path: segments.path(read.file),
            what: failure.text,
        })?;
        boot.supply(octets).map_err(failed)?;
    }
    drop(reads);
    let (by_index, segments_in_all) = boot.segments();
    tracing::debug!(shard = plan.shard.0, by_index, segments_in_all, "the log has been read");
    if boot.torn_bytes() > 0 {
        tracing::info!(
            shard = plan.shard.0,
            octets = boot.torn_bytes(),
            "the log ended in an unfinished write, of which nothing had been confirmed"
        );
    }
    if plan.shard == ShardId::TOPOLOGY_WRITER {
        let definitions = boot
            .definitions()
            .map_err(|source| StartError::Definitions { dir: plan.dir.clone(), source })?;
        let _ = plan.events.send((plan.shard, Event::Definitions(definitions)));
    }
    // Nothing else runs on this thread yet, so that it may wait.
    let Ok(definitions) = plan.definitions.recv() else { return Ok(None) };
    let shard = boot.finish(plan.clock.now(), &definitions).map_err(failed)?;
    Ok(Some((shard, segments)))
}

fn buffer_bytes(plan: &Plan) -> usize {
    BUFFER_MAX_BYTES.min(plan.segment_bytes as usize / 4)
}

fn config(plan: &Plan) -> ShardConfig {
    ShardConfig {
        shard: plan.shard,
        shards: plan.common.mailboxes.len() as u16,
        log: LogConfig {
            shard: plan.shard,
            segment_bytes: plan.segment_bytes,
            buffer_bytes: buffer_bytes(plan),
            writes_in_flight_max: WRITES_IN_FLIGHT_MAX,
            cache_bytes: CACHE_BYTES,
            settle_delay_us: SETTLE_DELAY_US,
        },
        memory_max_bytes: plan.common.memory_max_bytes,
        window_bytes: WINDOW_BYTES,
        body_part_bytes: haremq_engine::mail::BODY_PART_BYTES,
        dispatch_batch: DISPATCH_BATCH,
        guest_password_hash: plan.guest_password_hash.clone(),
    }
}
