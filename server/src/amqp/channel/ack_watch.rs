//! Deliveries that wait too long for their acknowledgement (behaviour B18, I28).
//!
//! No time is kept for each delivery: now and then the channel notes which tags it had given by
//! then, so that the age of a delivery is known to the pause between two looks, and never taken
//! for more than it is. What happens then is the queue's to say: the channel is closed, as with
//! RabbitMQ, or the message alone goes back to its queue and the channel lives on.

use std::collections::VecDeque;

use haremq_engine::ids::QueueId;
use haremq_engine::mail::{Command, Outcome};
use haremq_engine::topology::{AckTimeout, Queue};

use super::{Channel, Context};
use crate::amqp::broker::Broker;
use crate::amqp::error::ProtocolError;

/// Looks within the shortest time to acknowledge.
const LOOKS_PER_TIMEOUT: u64 = 8;
const PAUSE_MIN_US: u64 = 20_000;
/// Longest pause between two looks.
pub(crate) const PAUSE_MAX_US: u64 = 30_000_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct AckWatch {
    /// Every delivery below this tag had been made at that time, in monotonic microseconds.
    notes: VecDeque<(u64, u64)>,
    /// Shortest time to acknowledge of the queues that deliveries have come from.
    shortest_ms: Option<u64>,
}

impl AckWatch {
    fn note(&mut self, next_tag: u64, now_us: u64) {
        if self.notes.back().is_none_or(|(tag, _)| *tag < next_tag) {
            self.notes.push_back((next_tag, now_us));
        }
    }

    /// The tag below which deliveries are that old.
    fn below(&self, age_us: u64, now_us: u64) -> u64 {
        let old = self.notes.partition_point(|(_, at)| at.saturating_add(age_us) <= now_us);
        old.checked_sub(1).and_then(|last| self.notes.get(last)).map_or(0, |(tag, _)| *tag)
    }

    /// Nothing below that tag waits any more.
    fn forget_below(&mut self, tag: u64) {
        while self.notes.front().is_some_and(|(below, _)| *below <= tag) {
            self.notes.pop_front();
        }
    }

    fn shorten(&mut self, timeout_ms: Option<u64>) {
        self.shortest_ms =
            self.shortest_ms.into_iter().chain(timeout_ms.filter(|ms| *ms > 0)).min();
    }
}

/// 0 is for ever.
fn limit_us(timeout: &AckTimeout, default_ms: u64) -> Option<u64> {
    match timeout.timeout_ms.unwrap_or(default_ms) {
        0 => None,
        ms => Some(ms.saturating_mul(1000)),
    }
}

impl Channel {
    /// Deliveries of that queue are to come: looks at them in time.
    pub(super) fn expect_acks<B: Broker>(&mut self, queue: &Queue, cx: &mut Context<'_, B>) {
        let timeout = cx.broker.topology().ack_timeout(queue);
        self.ack_watch.shorten(timeout.timeout_ms);
        if let Some(limit_us) = limit_us(&timeout, cx.session.settings.consumer_timeout_ms) {
            let due_us = cx.broker.now().monotonic_us + pause_us(limit_us);
            cx.session.ack_check_us = cx.session.ack_check_us.min(due_us);
        }
    }

    /// Looks for deliveries that have waited too long. Says how long the next look can wait.
    pub(crate) fn watch_acks<B: Broker>(
        &mut self,
        cx: &mut Context<'_, B>,
    ) -> Result<u64, ProtocolError> {
        let now_us = cx.broker.now().monotonic_us;
        let default_ms = cx.session.settings.consumer_timeout_ms;
        if self.unacked.waiting() == 0 {
            self.ack_watch.notes.clear();
            self.ack_watch.shortest_ms = None;
        }
        // Policies may have changed since the consumers came.
        for consumer in self.consumers.acking() {
            if let Some(queue) = cx.broker.topology().queue_by_id(consumer.queue) {
                let timeout = cx.broker.topology().ack_timeout(queue);
                self.ack_watch.shorten(timeout.timeout_ms);
            }
        }
        let shortest_ms = self.ack_watch.shortest_ms.into_iter();
        let Some(shortest_ms) = shortest_ms.chain((default_ms > 0).then_some(default_ms)).min()
        else {
            return Ok(PAUSE_MAX_US);
        };
        let shortest_us = shortest_ms.saturating_mul(1000);
        if self.unacked.waiting() > 0 {
            self.ack_watch.note(self.next_tag, now_us);
            self.ack_watch.forget_below(self.unacked.first_tag());
            self.time_out(shortest_us, now_us, cx)?;
        }
        Ok(pause_us(shortest_us))
    }

    fn time_out<B: Broker>(
        &mut self,
        shortest_us: u64,
        now_us: u64,
        cx: &mut Context<'_, B>,
    ) -> Result<(), ProtocolError> {
        let default_ms = cx.session.settings.consumer_timeout_ms;
        let mut known: Vec<(QueueId, AckTimeout)> = Vec::new();
        let mut late = Vec::new();
        for entry in self.unacked.waiting_below(self.ack_watch.below(shortest_us, now_us)) {
            let timeout = match known.iter().find(|(queue, _)| *queue == entry.queue) {
                Some((_, timeout)) => *timeout,
                None => {
                    let topology = cx.broker.topology();
                    let queue = topology.queue_by_id(entry.queue);
                    let timeout = queue.map(|queue| topology.ack_timeout(queue));
                    let timeout = timeout.unwrap_or_default();
                    known.push((entry.queue, timeout));
                    timeout
                }
            };
            let Some(limit_us) = limit_us(&timeout, default_ms) else { continue };
            if entry.tag >= self.ack_watch.below(limit_us, now_us) {
                continue;
            }
            if !timeout.requeues {
                let timeout_ms = limit_us / 1000;
                return Err(ProtocolError::AckTimeout { channel: self.number(), timeout_ms });
            }
            late.push(entry.tag);
        }
        for tag in late {
            if let Some(entry) = self.unacked.lapse(tag) {
                // Whose turn it was is not given another message before it has spoken.
                cx.broker.command(
                    entry.shard,
                    Command::Settle {
                        queue: entry.queue,
                        seq: entry.seq,
                        consumer: None,
                        outcome: Outcome::Requeue,
                    },
                );
            }
        }
        Ok(())
    }
}

fn pause_us(limit_us: u64) -> u64 {
    (limit_us / LOOKS_PER_TIMEOUT).clamp(PAUSE_MIN_US, PAUSE_MAX_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_is_never_taken_for_older_than_it_is() {
        let mut watch = AckWatch::default();
        watch.note(4, 1_000);
        watch.note(4, 2_000);
        watch.note(9, 3_000);
        assert_eq!(watch.below(500, 1_400), 0);
        assert_eq!(watch.below(500, 1_500), 4);
        assert_eq!(watch.below(500, 3_499), 4);
        assert_eq!(watch.below(500, 3_500), 9);
        watch.forget_below(4);
        assert_eq!(watch.notes.len(), 1);
    }
}
