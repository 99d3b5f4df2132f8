//! What a run found, put together from marks, worker reports and the plan. Pure.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::latency::{Recorder, Summary};
use crate::ledger::{Audit, SequenceSet};
use crate::load::control::Reading;
use crate::load::layout::Layout;
use crate::load::plan::LoadPlan;
use crate::load::worker::WorkerReport;
use crate::procstat::ProcessReading;
use crate::producer::image::StreamPosition;
use crate::session::Identity;
use crate::wire::content::STAMP_OCTETS;

/// Everything that can be read at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    /// Monotonic clock.
    pub(crate) at_ns: u64,
    /// Sums of the workers' gauges.
    pub(crate) reading: Reading,
    /// The broker's process, if its pid was given.
    pub(crate) broker: Option<ProcessReading>,
    /// CPU time of this process.
    pub(crate) own_cpu_ns: u64,
}

/// Counts at one moment of the measured lap.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    /// Seconds since the lap began.
    pub(crate) at_s: f64,
    /// Published so far.
    pub(crate) published: u64,
    /// Confirmed so far.
    pub(crate) confirmed: u64,
    /// Consumed so far.
    pub(crate) consumed: u64,
}

/// The measured lap: its ends, and what was seen between them.
#[derive(Debug, Clone)]
pub(crate) struct Lap {
    /// Before the first message.
    pub(crate) start: Mark,
    /// After the last message, confirm and ack.
    pub(crate) end: Mark,
    /// At even distances.
    pub(crate) samples: Vec<Sample>,
    /// Highest resident set seen of the broker.
    pub(crate) rss_peak_octets: u64,
    /// Ended by a signal.
    pub(crate) interrupted: bool,
}

/// What the broker's process used.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BrokerUse {
    /// CPU seconds in the lap.
    pub(crate) cpu_s: f64,
    /// CPU microseconds per message: per published one, or per consumed one if none was published.
    pub(crate) cpu_us_per_message: f64,
    /// CPU microseconds per delivery, if there were any.
    pub(crate) cpu_us_per_delivery: Option<f64>,
    /// Resident set before.
    pub(crate) rss_start_octets: u64,
    /// Resident set after.
    pub(crate) rss_end_octets: u64,
    /// Highest seen.
    pub(crate) rss_peak_octets: u64,
}

/// What this program used itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GeneratorUse {
    /// CPU microseconds per message, all threads.
    pub(crate) cpu_us_per_message: f64,
    /// CPU seconds of each worker thread: producers' first, then consumers'.
    pub(crate) worker_cpu_s: Vec<f64>,
}

/// Something that must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    /// Published, not refused, and never delivered.
    Lost(u64),
    /// Delivered more than once.
    Duplicated(u64),
    /// Delivered with a sequence number that was not used.
    NeverSent(u64),
    /// Delivered, but not published by this run.
    Foreign(u64),
    /// Delivered out of order.
    OutOfOrder(u64),
    /// Published, and neither confirmed nor refused.
    Unconfirmed(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Lost(n) => write!(f, "{n} messages were lost"),
            Fault::Duplicated(n) => write!(f, "{n} messages were delivered more than once"),
            Fault::NeverSent(n) => write!(f, "{n} messages were delivered that nobody sent"),
            Fault::Foreign(n) => write!(f, "{n} messages of other programs were delivered"),
            Fault::OutOfOrder(n) => write!(f, "{n} messages were delivered out of order"),
            Fault::Unconfirmed(n) => write!(f, "{n} publishes were never confirmed"),
        }
    }
}

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadOutcome {
    /// What the broker says that it is.
    pub(crate) identity: Identity,
    /// Messages published in the measured lap.
    pub(crate) published: u64,
    /// Confirmed of them.
    pub(crate) confirmed: u64,
    /// Refused of them.
    pub(crate) nacked: u64,
    /// Returned of them.
    pub(crate) returned: u64,
    /// Messages consumed in the measured lap.
    pub(crate) consumed: u64,
    /// Octets of body consumed.
    pub(crate) consumed_octets: u64,
    /// Consumed messages marked redelivered, in the whole run.
    pub(crate) redelivered: u64,
    /// From the start of the lap to the last publish, confirm, and arrival.
    pub(crate) publish_s: f64,
    /// See `publish_s`.
    pub(crate) confirm_s: f64,
    /// See `publish_s`.
    pub(crate) consume_s: f64,
    /// Messages per second over `publish_s`.
    pub(crate) published_per_s: f64,
    /// Messages per second over `confirm_s`.
    pub(crate) confirmed_per_s: f64,
    /// Messages per second over `consume_s`.
    pub(crate) consumed_per_s: f64,
    /// The broker's process.
    pub(crate) broker: Option<BrokerUse>,
    /// This process.
    pub(crate) generator: GeneratorUse,
    /// Publish to delivery.
    pub(crate) end_to_end: Option<Summary>,
    /// Publish to confirm.
    pub(crate) confirm: Option<Summary>,
    /// How late scheduled messages were sent: above some microseconds, the generator is part of the result.
    pub(crate) lag: Option<Summary>,
    /// Sent and received compared, over the whole run; none if bodies are too short for a stamp.
    pub(crate) audit: Option<Audit>,
    /// What must not happen, and did.
    pub(crate) faults: Vec<Fault>,
    /// Counts over time.
    pub(crate) samples: Vec<Sample>,
    /// Ended by a signal.
    pub(crate) interrupted: bool,
    /// How far each stream came.
    #[serde(skip)]
    pub(crate) positions: Vec<StreamPosition>,
}

impl LoadOutcome {
    /// Puts everything together.
    pub(crate) fn assemble(
        plan: &LoadPlan,
        layout: &Layout,
        identity: Identity,
        lap: Lap,
        reports: Vec<WorkerReport>,
    ) -> LoadOutcome {
        let (first, last) = (&lap.start.reading, &lap.end.reading);
        let published = last.published - first.published;
        let consumed = last.consumed - first.consumed;
        let confirmed = last.confirmed - first.confirmed;
        let seconds = |until_ns: u64| until_ns.saturating_sub(lap.start.at_ns) as f64 / 1e9;
        let publish_s = seconds(last.last_publish_ns);
        let confirm_s = seconds(last.last_settled_ns);
        let consume_s = seconds(last.last_arrival_ns);
        let messages = if published > 0 { published } else { consumed };
        let broker = broker_use(&lap, messages, consumed);
        let generator = generator_use(&lap, messages);
        let evidence = Evidence::gather(plan, layout, reports);
        LoadOutcome {
            identity,
            published,
            confirmed,
            nacked: last.nacked - first.nacked,
            returned: last.returned - first.returned,
            consumed,
            consumed_octets: last.consumed_octets - first.consumed_octets,
            redelivered: evidence.redelivered,
            publish_s,
            confirm_s,
            consume_s,
            published_per_s: per(published, publish_s),
            confirmed_per_s: per(confirmed, confirm_s),
            consumed_per_s: per(consumed, consume_s),
            broker,
            generator,
            faults: evidence.faults(plan, layout, last),
            audit: evidence.audit,
            end_to_end: unless_empty(evidence.end_to_end),
            confirm: unless_empty(evidence.confirm),
            lag: unless_empty(evidence.lag),
            samples: lap.samples,
            interrupted: lap.interrupted,
            positions: evidence.positions,
        }
    }
}

fn per(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

fn unless_empty(recorder: Recorder) -> Option<Summary> {
    let summary = recorder.summary();
    (summary.count > 0).then_some(summary)
}

fn broker_use(lap: &Lap, messages: u64, deliveries: u64) -> Option<BrokerUse> {
    let (before, after) = (lap.start.broker?, lap.end.broker?);
    let cpu_us = after.cpu_us.saturating_sub(before.cpu_us) as f64;
    Some(BrokerUse {
        cpu_s: cpu_us / 1e6,
        cpu_us_per_message: cpu_us / messages.max(1) as f64,
        cpu_us_per_delivery: (deliveries > 0).then(|| cpu_us / deliveries as f64),
        rss_start_octets: before.rss_octets,
        rss_end_octets: after.rss_octets,
        rss_peak_octets: lap.rss_peak_octets.max(after.rss_octets),
    })
}

fn generator_use(lap: &Lap, messages: u64) -> GeneratorUse {
    let cpu_ns = lap.end.own_cpu_ns - lap.start.own_cpu_ns;
    let workers = lap.end.reading.cpu_ns.iter().zip(&lap.start.reading.cpu_ns);
    GeneratorUse {
        cpu_us_per_message: cpu_ns as f64 / 1e3 / messages.max(1) as f64,
        worker_cpu_s: workers.map(|(end, start)| (end - start) as f64 / 1e9).collect(),
    }
}

/// What the workers handed back, merged.
struct Evidence {
    end_to_end: Recorder,
    confirm: Recorder,
    lag: Recorder,
    redelivered: u64,
    foreign: u64,
    positions: Vec<StreamPosition>,
    audit: Option<Audit>,
}

impl Evidence {
    fn gather(plan: &LoadPlan, layout: &Layout, reports: Vec<WorkerReport>) -> Evidence {
        let mut evidence = Evidence {
            end_to_end: Recorder::default(),
            confirm: Recorder::default(),
            lag: Recorder::default(),
            redelivered: 0,
            foreign: 0,
            positions: plan.preloaded.clone().unwrap_or_default(),
            audit: None,
        };
        let mut queues: HashMap<u32, Vec<SequenceSet>> = HashMap::new();
        for report in reports {
            evidence.end_to_end.merge(report.tally.end_to_end);
            evidence.confirm.merge(report.tally.confirm);
            evidence.lag.merge(report.tally.lag);
            evidence.redelivered += report.tally.redelivered;
            evidence.positions.extend(report.positions);
            for receipt in report.receipts {
                evidence.foreign += receipt.foreign;
                let sets = queues
                    .entry(receipt.queue)
                    .or_insert_with(|| vec![SequenceSet::default(); receipt.received.len()]);
                sets.iter_mut().zip(receipt.received).for_each(|(set, more)| set.merge(more));
            }
        }
        let stamped = plan.sizes.iter().all(|size| *size >= STAMP_OCTETS);
        if stamped && plan.consumers > 0 {
            evidence.audit = Some(audit(layout, queues, &evidence.positions));
        }
        evidence
    }

    fn faults(&self, plan: &LoadPlan, layout: &Layout, last: &Reading) -> Vec<Fault> {
        let published: u64 = self.positions.iter().map(|position| position.next).sum();
        let refused = last.nacked + last.returned;
        let audit = self.audit.unwrap_or_else(|| {
            let expected = published * u64::from(layout.reach());
            let lost = if plan.consumers > 0 { expected.saturating_sub(last.consumed) } else { 0 };
            Audit { lost, ..Audit::default() }
        });
        // A refused message need not have come; whether it did is the broker's choice.
        let lost = audit.lost.saturating_sub(refused * u64::from(layout.reach()));
        let unconfirmed = match plan.confirm_window {
            Some(_) if plan.preloaded.is_none() => {
                last.published.saturating_sub(last.confirmed + last.nacked)
            }
            _ => 0,
        };
        let mut faults = Vec::new();
        let mut note = |count: u64, fault: fn(u64) -> Fault| {
            if count > 0 {
                faults.push(fault(count));
            }
        };
        note(unconfirmed, Fault::Unconfirmed);
        if plan.verify {
            note(lost, Fault::Lost);
            note(audit.duplicated, Fault::Duplicated);
            note(audit.never_sent, Fault::NeverSent);
            note(self.foreign, Fault::Foreign);
        }
        if plan.verify_order {
            note(audit.out_of_order, Fault::OutOfOrder);
        }
        faults
    }
}

/// Compares what each queue's consumers got with what was sent to that queue.
fn audit(
    layout: &Layout,
    mut queues: HashMap<u32, Vec<SequenceSet>>,
    positions: &[StreamPosition],
) -> Audit {
    let sent: HashMap<u16, u64> =
        positions.iter().map(|position| (position.stream, position.next)).collect();
    let mut audit = Audit::default();
    for queue in 0..layout.queues.len() as u32 {
        let mut sets = queues.remove(&queue).unwrap_or_default();
        sets.resize(usize::from(layout.streams()), SequenceSet::default());
        let mut owed = vec![0; sets.len()];
        for stream in layout.streams_into(queue) {
            owed[usize::from(stream)] = sent.get(&stream).copied().unwrap_or(0);
        }
        // Messages of streams that do not lead here count as never sent.
        sets.into_iter().zip(owed).for_each(|(set, owed)| audit.add(set.audit(owed)));
    }
    audit
}
