//! What a run is to do, checked. Pure.

use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::PlanError;
use crate::producer::image::StreamPosition;
use crate::uri::AmqpUri;
use crate::wire::table::Table;

/// How producers reach queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ExchangeKind {
    /// The default exchange: the routing key is the queue.
    Default,
    /// One key per group of queues.
    Direct,
    /// All queues take each message.
    Fanout,
    /// A pattern per group of queues.
    Topic,
    /// A header per group of queues.
    Headers,
}

impl ExchangeKind {
    /// As exchange.declare wants it; the default exchange is not declared.
    pub(crate) fn type_name(self) -> Option<&'static str> {
        match self {
            ExchangeKind::Default => None,
            ExchangeKind::Direct => Some("direct"),
            ExchangeKind::Fanout => Some("fanout"),
            ExchangeKind::Topic => Some("topic"),
            ExchangeKind::Headers => Some("headers"),
        }
    }
}

/// A run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct LoadPlan {
    /// Broker and vhost.
    pub(crate) uri: AmqpUri,
    /// Producers, one connection each.
    pub(crate) producers: u32,
    /// Consumers, one connection each.
    pub(crate) consumers: u32,
    /// Queues.
    pub(crate) queues: u32,
    /// Body sizes in octets, taken in turn.
    pub(crate) sizes: Vec<usize>,
    /// delivery_mode 2.
    pub(crate) persistent: bool,
    /// Durable queues and exchange.
    pub(crate) durable: bool,
    /// Ask for unroutable messages back.
    pub(crate) mandatory: bool,
    /// Unconfirmed publishes per producer; none: no confirms.
    pub(crate) confirm_window: Option<u32>,
    /// Messages per ack; none: auto-ack.
    pub(crate) ack_every: Option<u32>,
    /// Unacknowledged messages per consumer; 0 for no limit.
    pub(crate) prefetch: u16,
    /// Messages per second of all producers together.
    pub(crate) rate: Option<f64>,
    /// How long before a message is due the clock is watched; none: see [`LoadPlan::busy_wait`].
    pub(crate) busy_wait: Option<Duration>,
    /// How producers reach queues.
    pub(crate) exchange: ExchangeKind,
    /// Queues that each message reaches.
    pub(crate) fan_out: u32,
    /// Bindings per queue that match nothing.
    pub(crate) extra_bindings: u32,
    /// Arguments of queue.declare.
    #[serde(skip)]
    pub(crate) queue_arguments: Table,
    /// Length of the measured lap.
    pub(crate) duration: Duration,
    /// Messages in the measured lap, if that is less.
    pub(crate) count: Option<u64>,
    /// Length of the lap before it.
    pub(crate) warm_up: Duration,
    /// Threads for producers.
    pub(crate) producer_threads: u32,
    /// Threads for consumers.
    pub(crate) consumer_threads: u32,
    /// Messages published and not consumed; 0 for no limit.
    pub(crate) max_backlog: u64,
    /// Longest wait for a message that is owed.
    pub(crate) drain_timeout: Duration,
    /// Fail on lost or duplicated messages.
    pub(crate) verify: bool,
    /// Fail on messages out of order.
    pub(crate) verify_order: bool,
    /// Leave queues and exchange behind.
    pub(crate) keep: bool,
    /// Consume what an earlier run of as many producers left in the queues, and publish nothing.
    #[serde(skip)]
    pub(crate) preloaded: Option<Vec<StreamPosition>>,
    /// Start of all names.
    pub(crate) prefix: String,
    /// Octets per write of a producer, about.
    pub(crate) batch_octets: usize,
    /// Process of the broker.
    pub(crate) broker_pid: Option<i32>,
    /// Print a line each second.
    pub(crate) progress: bool,
}

impl LoadPlan {
    /// A plan with the defaults of `throughput`.
    pub(crate) fn new(uri: AmqpUri) -> LoadPlan {
        LoadPlan {
            uri,
            producers: 1,
            consumers: 1,
            queues: 1,
            sizes: vec![16],
            persistent: false,
            durable: false,
            mandatory: false,
            confirm_window: None,
            ack_every: None,
            prefetch: 0,
            rate: None,
            busy_wait: None,
            exchange: ExchangeKind::Default,
            fan_out: 1,
            extra_bindings: 0,
            queue_arguments: Table::default(),
            duration: Duration::from_secs(10),
            count: None,
            warm_up: Duration::from_secs(1),
            producer_threads: 1,
            consumer_threads: 1,
            max_backlog: 0,
            drain_timeout: Duration::from_secs(10),
            verify: true,
            verify_order: false,
            keep: false,
            preloaded: None,
            prefix: format!("haremq-perf-{}", std::process::id()),
            batch_octets: 128 * 1024,
            broker_pid: None,
            progress: false,
        }
    }

    /// Finds options that do not go together.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        if self.producers == 0 {
            return Err(PlanError::NoProducer);
        }
        if self.queues == 0 {
            return Err(PlanError::NoQueue);
        }
        if self.sizes.is_empty() {
            return Err(PlanError::Zero("the number of sizes"));
        }
        if self.confirm_window == Some(0) {
            return Err(PlanError::Zero("--confirm"));
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err(PlanError::Zero("--rate"));
        }
        if self.producer_threads == 0 || self.consumer_threads == 0 {
            return Err(PlanError::Zero("the number of threads"));
        }
        if let Some(every) = self.ack_every {
            if self.prefetch > 0 && every > u32::from(self.prefetch) {
                return Err(PlanError::AckOverPrefetch { every, prefetch: self.prefetch });
            }
        }
        self.check_layout()
    }

    fn check_layout(&self) -> Result<(), PlanError> {
        if self.fan_out == 0 {
            return Err(PlanError::Zero("--fan-out"));
        }
        if self.fan_out > 1 && self.exchange == ExchangeKind::Default {
            return Err(PlanError::FanOutNeedsExchange);
        }
        if !self.queues.is_multiple_of(self.fan_out) {
            return Err(PlanError::FanOutDoesNotDivide {
                fan_out: self.fan_out,
                queues: self.queues,
            });
        }
        if self.consumers > 0 && self.consumers < self.queues {
            let (consumers, queues) = (self.consumers, self.queues);
            return Err(PlanError::QueueWithoutConsumer { consumers, queues });
        }
        if self.max_backlog > 0 && self.consumers == 0 {
            return Err(PlanError::BacklogNeedsConsumers);
        }
        Ok(())
    }

    /// Producers that are started: none when the messages are there already.
    pub(crate) fn active_producers(&self) -> u32 {
        match self.preloaded {
            Some(_) => 0,
            None => self.producers,
        }
    }

    /// How long before a message is due its thread watches the clock instead of sleeping. Timers wake it some
    /// 25 us late, which would count as the broker's; it may take a quarter of one core to avoid that.
    pub(crate) fn busy_wait(&self) -> Duration {
        const ENOUGH: Duration = Duration::from_micros(50);
        let Some(rate) = self.rate else { return Duration::ZERO };
        let quarter = Duration::try_from_secs_f64(0.25 / rate).unwrap_or(ENOUGH);
        self.busy_wait.unwrap_or(ENOUGH.min(quarter))
    }

    /// Queues that each message reaches, the exchange considered.
    pub(crate) fn reach(&self) -> u32 {
        match self.exchange {
            ExchangeKind::Fanout => self.queues,
            ExchangeKind::Default => 1,
            _ => self.fan_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> LoadPlan {
        LoadPlan::new("amqp://127.0.0.1".parse().unwrap())
    }

    #[test]
    fn options_that_cannot_work_together_are_refused_before_anything_is_declared() {
        assert_eq!(plan().check(), Ok(()));
        let check = |change: fn(&mut LoadPlan)| {
            let mut plan = plan();
            change(&mut plan);
            plan.check()
        };
        assert_eq!(check(|p| p.producers = 0), Err(PlanError::NoProducer));
        assert_eq!(
            check(|p| (p.ack_every, p.prefetch) = (Some(11), 10)),
            Err(PlanError::AckOverPrefetch { every: 11, prefetch: 10 })
        );
        assert_eq!(
            check(|p| (p.queues, p.consumers) = (3, 2)),
            Err(PlanError::QueueWithoutConsumer { consumers: 2, queues: 3 })
        );
        assert_eq!(check(|p| p.fan_out = 2), Err(PlanError::FanOutNeedsExchange));
        assert_eq!(check(|p| p.rate = Some(0.0)), Err(PlanError::Zero("--rate")));
    }

    #[test]
    fn waiting_for_the_clock_takes_a_quarter_of_a_core_at_most_unless_told() {
        let wait_us = |rate, told: Option<u64>| {
            let mut plan = plan();
            (plan.rate, plan.busy_wait) = (rate, told.map(Duration::from_micros));
            plan.busy_wait().as_micros()
        };
        assert_eq!(wait_us(Some(100.0), None), 50);
        assert_eq!(wait_us(Some(5_000.0), None), 50);
        assert_eq!(wait_us(Some(25_000.0), None), 10);
        assert_eq!(wait_us(Some(1e-300), None), 50);
        assert_eq!(wait_us(Some(25_000.0), Some(30)), 30);
        assert_eq!(wait_us(Some(5_000.0), Some(0)), 0);
        assert_eq!(wait_us(None, Some(30)), 0, "without a schedule nothing is due");
    }
}
