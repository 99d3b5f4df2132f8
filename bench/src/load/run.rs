//! Carries a plan out: entities, connections, worker threads, warm-up lap, measured lap, audit, removal.
//!
//! Between laps, and at the end, everything that was published is confirmed, consumed and acknowledged
//! before a figure is taken: CPU divided by messages then compares like with like, whatever was buffered.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::clock::{now_ns, process_cpu_ns};
use crate::consumer::{Consumer, Subscription};
use crate::error::{PerfError, Result};
use crate::interrupt;
use crate::load::control::{Control, Stage};
use crate::load::layout::Layout;
use crate::load::outcome::{Lap, LoadOutcome, Mark};
use crate::load::plan::LoadPlan;
use crate::load::progress::Progress;
use crate::load::worker::{Peer, Role, Worker, WorkerReport};
use crate::procstat::ProcessReading;
use crate::producer::image::{Image, Shape};
use crate::producer::{Orders, Producer};
use crate::session::Session;

/// How often the main thread looks.
const LOOK: Duration = Duration::from_millis(5);
/// Given to the broker to work through the last acks before the last mark.
const SETTLE: Duration = Duration::from_millis(50);
/// How long consumers may take to begin.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a plan from declaration to removal.
pub(crate) fn run(plan: &LoadPlan) -> Result<LoadOutcome> {
    plan.check()?;
    let layout = Layout::new(plan)?;
    let mut admin = Session::with_channel(&plan.uri, "haremq-perf admin")?;
    let declared = match plan.preloaded {
        Some(_) => Ok(()),
        None => layout.declare(&mut admin),
    };
    let outcome = declared.and_then(|()| Run::start(plan, &layout)?.finish(&admin));
    if plan.keep && outcome.is_ok() {
        return outcome;
    }
    match (outcome, remove(plan, &layout, admin)) {
        (Ok(_), Err(error)) => Err(error),
        // The error that came first says more than its consequences.
        (outcome, _) => outcome,
    }
}

/// Deletes what was declared, on a new connection if the old one is broken.
fn remove(plan: &LoadPlan, layout: &Layout, mut admin: Session) -> Result<()> {
    if layout.remove(&mut admin).is_err() {
        admin = Session::with_channel(&plan.uri, "haremq-perf admin")?;
        layout.remove(&mut admin)?;
    }
    admin.close()
}

/// A run with its threads.
struct Run<'a> {
    plan: &'a LoadPlan,
    layout: &'a Layout,
    control: Arc<Control>,
    threads: Vec<JoinHandle<WorkerReport>>,
    spawned: Mark,
}

impl<'a> Run<'a> {
    fn start(plan: &'a LoadPlan, layout: &'a Layout) -> Result<Run<'a>> {
        let mut crews = producer_crews(plan, layout)?;
        crews.extend(consumer_crews(plan, layout)?);
        let reach = u64::from(layout.reach());
        let control = Arc::new(Control::new(crews.len(), reach, plan.max_backlog));
        let busy_wait_ns = plan.busy_wait().as_nanos() as u64;
        let mut workers = Vec::new();
        for (index, crew) in crews.into_iter().enumerate() {
            workers.push(Worker::new(Arc::clone(&control), index, crew, busy_wait_ns)?);
        }
        let spawned = mark(plan, &control)?;
        let mut threads = Vec::new();
        for worker in workers {
            let thread = thread::Builder::new()
                .name("perf-worker".into())
                .spawn(move || worker.run())
                .map_err(|source| PerfError::Io { doing: "starting a thread", source })?;
            threads.push(thread);
        }
        Ok(Run { plan, layout, control, threads, spawned })
    }

    fn finish(mut self, admin: &Session) -> Result<LoadOutcome> {
        let lap = self.laps();
        self.control.give(Stage::Stop);
        let mut reports = Vec::new();
        for thread in self.threads.drain(..) {
            match thread.join() {
                Ok(report) => reports.push(report),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if let Some(failure) = reports.iter_mut().find_map(|report| report.failure.take()) {
            return Err(failure);
        }
        let identity = admin.identity().clone();
        Ok(LoadOutcome::assemble(self.plan, self.layout, identity, lap?, reports))
    }

    fn laps(&self) -> Result<Lap> {
        if self.plan.preloaded.is_some() {
            return self.drain_lap();
        }
        self.await_consumers()?;
        if !self.plan.warm_up.is_zero() {
            let mut progress = self.progress("warm-up")?;
            self.control.begin_lap(now_ns(), None);
            self.follow(&mut progress, self.plan.warm_up)?;
            self.drain(&mut progress)?;
        }
        let mut progress = self.progress("measured")?;
        let start = self.mark()?;
        self.control.begin_lap(start.at_ns, self.plan.count);
        self.follow(&mut progress, self.plan.duration)?;
        self.drain(&mut progress)?;
        self.end_lap(start, progress)
    }

    /// Nothing is published: the lap lasts from the first basic.consume to the last message.
    fn drain_lap(&self) -> Result<Lap> {
        let start = self.spawned.clone();
        let mut progress = Progress::begin(self.plan.progress, "drain", start.clone());
        self.drain(&mut progress)?;
        self.end_lap(start, progress)
    }

    fn end_lap(&self, start: Mark, progress: Progress) -> Result<Lap> {
        thread::sleep(SETTLE);
        let end = self.mark()?;
        let (samples, rss_peak_octets) = progress.end(&end);
        Ok(Lap { start, end, samples, rss_peak_octets, interrupted: interrupt::requested() })
    }

    fn mark(&self) -> Result<Mark> {
        mark(self.plan, &self.control)
    }

    fn progress(&self, name: &'static str) -> Result<Progress> {
        Ok(Progress::begin(self.plan.progress, name, self.mark()?))
    }

    /// Waits until all consumers consume: what is published before would wait for them.
    fn await_consumers(&self) -> Result<()> {
        let deadline_ns = now_ns() + SUBSCRIBE_TIMEOUT.as_nanos() as u64;
        while self.control.reading().consuming < u64::from(self.plan.consumers) {
            if self.control.any_failed() {
                return Ok(());
            }
            if now_ns() > deadline_ns {
                let seconds = SUBSCRIBE_TIMEOUT.as_secs();
                return Err(PerfError::Timeout { seconds, waiting: "consumers subscribed" });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Lets the lap go on until its time is over or all its messages are sent.
    fn follow(&self, progress: &mut Progress, duration: Duration) -> Result<()> {
        let end_ns = now_ns() + duration.as_nanos() as u64;
        loop {
            let now_ns = now_ns();
            let over = now_ns >= end_ns || self.control.all_answered() || self.is_ending();
            if over {
                return Ok(());
            }
            if progress.is_due(now_ns) {
                progress.follow(self.mark()?);
            }
            thread::sleep(LOOK.min(Duration::from_nanos(end_ns - now_ns)));
        }
    }

    /// Pauses producers and waits until nothing is under way any more, or nothing moves any more.
    fn drain(&self, progress: &mut Progress) -> Result<()> {
        self.control.give(Stage::Pause);
        let patience =
            if self.plan.verify { self.plan.drain_timeout } else { Duration::from_secs(1) };
        let mut moved_at_ns = now_ns();
        let mut seen = 0;
        loop {
            // In this order: once all are quiet, the counts of publishes are final.
            let quiet = self.control.all_answered();
            let reading = self.control.reading();
            let refused = reading.nacked + reading.returned;
            let expected = self.preloaded() + reading.published.saturating_sub(refused);
            let consumed = self.plan.consumers == 0
                || reading.consumed >= expected * u64::from(self.layout.reach());
            if (consumed && quiet) || self.control.any_failed() {
                return Ok(());
            }
            let now_ns = now_ns();
            let moving = reading.consumed + reading.confirmed + refused;
            if moving != seen {
                (seen, moved_at_ns) = (moving, now_ns);
            }
            let waited = Duration::from_nanos(now_ns - moved_at_ns);
            if waited > patience {
                return Ok(());
            }
            if progress.is_due(now_ns) {
                progress.follow(self.mark()?);
            }
            thread::sleep(LOOK);
        }
    }

    fn preloaded(&self) -> u64 {
        let positions = self.plan.preloaded.as_deref().unwrap_or_default();
        positions.iter().map(|position| position.next).sum()
    }

    fn is_ending(&self) -> bool {
        self.control.any_failed() || interrupt::requested()
    }
}

fn mark(plan: &LoadPlan, control: &Control) -> Result<Mark> {
    Ok(Mark {
        reading: control.reading(),
        broker: plan.broker_pid.map(ProcessReading::take).transpose()?,
        own_cpu_ns: process_cpu_ns(),
        at_ns: now_ns(),
    })
}

/// Connects producers and deals them out to threads.
fn producer_crews(plan: &LoadPlan, layout: &Layout) -> Result<Vec<Vec<Peer>>> {
    let mut peers = Vec::new();
    for index in 0..plan.active_producers() {
        let name = format!("haremq-perf producer {index}");
        let mut session = Session::with_channel(&plan.uri, &name)?;
        if plan.confirm_window.is_some() {
            session.select_confirms()?;
        }
        let shape = Shape {
            sizes: plan.sizes.clone(),
            persistent: plan.persistent,
            mandatory: plan.mandatory,
            frame_max: session.frame_max(),
            batch_octets: plan.batch_octets,
        };
        let orders = Orders {
            index,
            producers: plan.producers,
            window: plan.confirm_window,
            rate: plan.rate,
        };
        let image = Image::new(&layout.targets(index), &shape);
        let role = Role::Producer(Producer::new(orders, image));
        peers.push(Peer { link: session.into_link()?, role });
    }
    Ok(deal(peers, plan.producer_threads))
}

/// Connects consumers and deals them out to threads; they subscribe when their thread starts.
fn consumer_crews(plan: &LoadPlan, layout: &Layout) -> Result<Vec<Vec<Peer>>> {
    let mut peers = Vec::new();
    let oldest_ns = if plan.preloaded.is_some() { 0 } else { now_ns() };
    for index in 0..plan.consumers {
        let name = format!("haremq-perf consumer {index}");
        let mut session = Session::with_channel(&plan.uri, &name)?;
        if plan.ack_every.is_some() && plan.prefetch > 0 {
            session.qos(plan.prefetch)?;
        }
        let queue = index % plan.queues;
        let subscription = Subscription {
            queue,
            queue_name: layout.queues[queue as usize].clone(),
            ack_every: plan.ack_every,
            streams: layout.streams(),
            oldest_ns,
        };
        let role = Role::Consumer(Consumer::new(subscription));
        peers.push(Peer { link: session.into_link()?, role });
    }
    Ok(deal(peers, plan.consumer_threads))
}

/// Deals peers out in turn; threads without any are left out.
fn deal(peers: Vec<Peer>, threads: u32) -> Vec<Vec<Peer>> {
    let mut crews: Vec<Vec<Peer>> = (0..threads).map(|_| Vec::new()).collect();
    for (index, peer) in peers.into_iter().enumerate() {
        crews[index % threads as usize].push(peer);
    }
    crews.retain(|crew| !crew.is_empty());
    crews
}
