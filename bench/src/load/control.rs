//! What the main thread and the workers tell each other: orders one way, gauges the other way.
//!
//! A gauge is written by its worker alone, with plain stores once per turn, and read by the main thread and,
//! for the backlog limit, by producers. Relaxed order is enough: gauges are figures, and what is handed over
//! for good goes through the join of the thread.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};

use crate::latency::Recorder;

/// What a worker has counted, by itself and since the start of the run, warm-up included.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Messages handed to the socket's batch.
    pub(crate) published: u64,
    /// basic.ack of publishes.
    pub(crate) confirmed: u64,
    /// basic.nack of publishes.
    pub(crate) nacked: u64,
    /// basic.return.
    pub(crate) returned: u64,
    /// Messages that came whole.
    pub(crate) consumed: u64,
    /// Their bodies.
    pub(crate) consumed_octets: u64,
    /// Of them, marked redelivered.
    pub(crate) redelivered: u64,
    /// Publish (or when it was due) to delivery.
    pub(crate) end_to_end: Recorder,
    /// Publish (or when it was due) to confirm.
    pub(crate) confirm: Recorder,
    /// How late messages with a schedule were sent.
    pub(crate) lag: Recorder,
}

impl Tally {
    /// Forgets the latencies of the warm-up.
    pub(crate) fn clear_latencies(&mut self) {
        self.end_to_end.clear();
        self.confirm.clear();
        self.lag.clear();
    }
}

/// What workers are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Producers send; a new order of this stage begins a lap.
    Run,
    /// Producers send no more, but wait for their confirms; consumers go on and acknowledge the rest.
    Pause,
    /// All close their connections.
    Stop,
}

/// An order and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    /// Counts orders, so that an answer can be told from an answer to an earlier one.
    pub(crate) number: u64,
    /// What to do.
    pub(crate) stage: Stage,
}

/// The board that orders and gauges hang on.
#[derive(Debug)]
pub(crate) struct Control {
    order: AtomicU64,
    lap_start_ns: AtomicU64,
    lap_messages: AtomicU64,
    /// One per worker.
    pub(crate) gauges: Vec<Gauge>,
    /// Queues that each message reaches.
    pub(crate) fan_out: u64,
    /// Most messages published and not consumed; 0 for no limit.
    pub(crate) max_backlog: u64,
}

impl Control {
    /// A board for so many workers; the first order is to pause.
    pub(crate) fn new(workers: usize, fan_out: u64, max_backlog: u64) -> Control {
        Control {
            order: AtomicU64::new(4 | Stage::Pause as u64),
            lap_start_ns: AtomicU64::new(0),
            lap_messages: AtomicU64::new(0),
            gauges: (0..workers).map(|_| Gauge::default()).collect(),
            fan_out,
            max_backlog,
        }
    }

    /// The order that holds.
    pub(crate) fn order(&self) -> Order {
        let word = self.order.load(Acquire);
        let stage = match word & 3 {
            0 => Stage::Run,
            1 => Stage::Pause,
            _ => Stage::Stop,
        };
        Order { number: word >> 2, stage }
    }

    /// Gives the next order. Only the main thread does.
    pub(crate) fn give(&self, stage: Stage) {
        let number = self.order().number + 1;
        self.order.store(number << 2 | stage as u64, Release);
    }

    /// Orders a lap that starts at `start_ns`, of so many messages if there is a limit.
    pub(crate) fn begin_lap(&self, start_ns: u64, messages: Option<u64>) {
        self.lap_start_ns.store(start_ns, Relaxed);
        self.lap_messages.store(messages.unwrap_or(u64::MAX), Relaxed);
        self.give(Stage::Run);
    }

    /// Start and message limit of the lap that was ordered.
    pub(crate) fn lap(&self) -> (u64, Option<u64>) {
        let messages = self.lap_messages.load(Relaxed);
        (self.lap_start_ns.load(Relaxed), (messages != u64::MAX).then_some(messages))
    }

    /// Messages that may be published before the backlog limit is reached.
    pub(crate) fn allowance(&self) -> u64 {
        if self.max_backlog == 0 {
            return u64::MAX;
        }
        let sum = |read: fn(&Gauge) -> u64| self.gauges.iter().map(read).sum::<u64>();
        // Consumed first: what is published in between can only make the answer too small.
        let consumed = sum(|gauge| gauge.consumed.load(Relaxed)) / self.fan_out;
        let published = sum(|gauge| gauge.published.load(Relaxed));
        self.max_backlog.saturating_sub(published.saturating_sub(consumed))
    }

    /// Sums of all gauges.
    pub(crate) fn reading(&self) -> Reading {
        let mut reading = Reading::default();
        for gauge in &self.gauges {
            reading.published += gauge.published.load(Relaxed);
            reading.confirmed += gauge.confirmed.load(Relaxed);
            reading.nacked += gauge.nacked.load(Relaxed);
            reading.returned += gauge.returned.load(Relaxed);
            reading.consumed += gauge.consumed.load(Relaxed);
            reading.consumed_octets += gauge.consumed_octets.load(Relaxed);
            reading.consuming += gauge.consuming.load(Relaxed);
            reading.held += gauge.held.load(Relaxed);
            reading.cpu_ns.push(gauge.cpu_ns.load(Relaxed));
            let latest = |sum: &mut u64, one: &AtomicU64| *sum = (*sum).max(one.load(Relaxed));
            latest(&mut reading.last_publish_ns, &gauge.last_publish_ns);
            latest(&mut reading.last_arrival_ns, &gauge.last_arrival_ns);
            latest(&mut reading.last_settled_ns, &gauge.last_settled_ns);
            latest(&mut reading.recent_p50_ns, &gauge.recent_p50_ns);
            latest(&mut reading.recent_p99_ns, &gauge.recent_p99_ns);
        }
        reading
    }

    /// All workers have answered the order: quiet in a pause, finished in a lap.
    pub(crate) fn all_answered(&self) -> bool {
        let number = self.order().number;
        self.gauges.iter().all(|gauge| gauge.answered.load(Acquire) == number)
    }

    /// A worker has given up.
    pub(crate) fn any_failed(&self) -> bool {
        self.gauges.iter().any(|gauge| gauge.failed.load(Relaxed))
    }
}

/// Figures of one worker, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Gauge {
    published: AtomicU64,
    confirmed: AtomicU64,
    nacked: AtomicU64,
    returned: AtomicU64,
    consumed: AtomicU64,
    consumed_octets: AtomicU64,
    /// Consumers whose consume-ok has come.
    pub(crate) consuming: AtomicU64,
    /// Producers that the broker holds up.
    pub(crate) held: AtomicU64,
    /// CPU time of the thread.
    pub(crate) cpu_ns: AtomicU64,
    /// When a message was published last.
    pub(crate) last_publish_ns: AtomicU64,
    /// When a message came last.
    pub(crate) last_arrival_ns: AtomicU64,
    /// When a publish was confirmed last.
    pub(crate) last_settled_ns: AtomicU64,
    /// Of the last second.
    pub(crate) recent_p50_ns: AtomicU64,
    /// Of the last second.
    pub(crate) recent_p99_ns: AtomicU64,
    /// Number of the order that was carried out.
    answered: AtomicU64,
    /// The worker has given up.
    pub(crate) failed: AtomicBool,
}

impl Gauge {
    /// Says that an order has been carried out; counts shown before are seen by whoever sees this.
    pub(crate) fn answer(&self, order: Order) {
        self.answered.store(order.number, Release);
    }

    /// Shows the counts, with the times at which they last rose.
    pub(crate) fn show(&self, tally: &Tally, now_ns: u64) {
        let rose = |gauge: &AtomicU64, value: u64| {
            let rose = gauge.load(Relaxed) != value;
            if rose {
                gauge.store(value, Relaxed);
            }
            rose
        };
        if rose(&self.published, tally.published) {
            self.last_publish_ns.store(now_ns, Relaxed);
        }
        if rose(&self.consumed, tally.consumed) {
            self.consumed_octets.store(tally.consumed_octets, Relaxed);
            self.last_arrival_ns.store(now_ns, Relaxed);
        }
        if rose(&self.confirmed, tally.confirmed) | rose(&self.nacked, tally.nacked) {
            self.last_settled_ns.store(now_ns, Relaxed);
        }
        rose(&self.returned, tally.returned);
    }
}

/// Sums over all workers at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reading {
    /// Messages published.
    pub(crate) published: u64,
    /// Publishes confirmed.
    pub(crate) confirmed: u64,
    /// Publishes refused.
    pub(crate) nacked: u64,
    /// Messages returned.
    pub(crate) returned: u64,
    /// Messages consumed.
    pub(crate) consumed: u64,
    /// Their bodies.
    pub(crate) consumed_octets: u64,
    /// Consumers at work.
    pub(crate) consuming: u64,
    /// Producers held up.
    pub(crate) held: u64,
    /// CPU time by worker.
    pub(crate) cpu_ns: Vec<u64>,
    /// When a message was published last.
    pub(crate) last_publish_ns: u64,
    /// When a message came last.
    pub(crate) last_arrival_ns: u64,
    /// When a publish was confirmed or refused last.
    pub(crate) last_settled_ns: u64,
    /// Worst of the workers.
    pub(crate) recent_p50_ns: u64,
    /// Worst of the workers.
    pub(crate) recent_p99_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_to_an_earlier_order_does_not_count() {
        let control = Control::new(1, 1, 0);
        control.gauges[0].answer(control.order());
        assert!(control.all_answered());
        control.begin_lap(5, Some(7));
        assert_eq!(control.order().stage, Stage::Run);
        assert_eq!(control.lap(), (5, Some(7)));
        assert!(!control.all_answered());
        control.give(Stage::Stop);
        assert_eq!(control.order(), Order { number: 3, stage: Stage::Stop });
    }

    #[test]
    fn the_backlog_limit_counts_a_message_once_however_many_queues_take_it() {
        let control = Control::new(2, 5, 100);
        let tally = Tally { published: 90, ..Tally::default() };
        control.gauges[0].show(&tally, 1);
        assert_eq!(control.allowance(), 10);
        control.gauges[1].show(&Tally { consumed: 250, ..Tally::default() }, 1);
        assert_eq!(control.allowance(), 60);
    }
}
