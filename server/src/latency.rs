//! How long things take in a shard: histograms that the runtime fills and management shows.
//!
//! Counted since the broker started; a value is kept to two digits. A plain value on one thread:
//! management gets copies.

use hdrhistogram::Histogram;

/// Longer times count as this, in microseconds.
const LONGEST_US: u64 = 24 * 3600 * 1_000_000;
const DIGITS: u8 = 2;

/// Histograms of microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// From the octets of a publish being read to the message being in its queues; over a batch,
    /// as its first message has taken.
    pub publish_to_enqueue: Histogram<u64>,
    /// From there to being handed to a consumer's connection; of some messages.
    pub enqueue_to_deliver: Histogram<u64>,
    /// From there until it was settled; of some messages.
    pub deliver_to_ack: Histogram<u64>,
    /// One write of the log, until it is on stable storage.
    pub commit: Histogram<u64>,
}

impl Latencies {
    #[expect(clippy::new_without_default, reason = "not a value that anybody fills in by default")]
    pub fn new() -> Self {
        let empty = || Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("bounds in order");
        Latencies {
            publish_to_enqueue: empty(),
            enqueue_to_deliver: empty(),
            deliver_to_ack: empty(),
            commit: empty(),
        }
    }

    /// Adds what another shard has seen.
    pub fn merge(&mut self, other: &Latencies) {
        let pairs = [
            (&mut self.publish_to_enqueue, &other.publish_to_enqueue),
            (&mut self.enqueue_to_deliver, &other.enqueue_to_deliver),
            (&mut self.deliver_to_ack, &other.deliver_to_ack),
            (&mut self.commit, &other.commit),
        ];
        for (sum, part) in pairs {
            sum.add(part).expect("all histograms have the same bounds");
        }
    }

    /// With their names, in the order of a message's way.
    pub fn all(&self) -> [(&'static str, &Histogram<u64>); 4] {
        [
            ("publish_to_enqueue", &self.publish_to_enqueue),
            ("enqueue_to_deliver", &self.enqueue_to_deliver),
            ("deliver_to_ack", &self.deliver_to_ack),
            ("commit", &self.commit),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.commit.saturating_record(100);
        other.commit.saturating_record(300);
        other.commit.saturating_record(u64::MAX);
        one.merge(&other);
        assert_eq!(one.commit.len(), 3);
        assert!((295..=305).contains(&one.commit.value_at_quantile(0.5)));
        assert!(one.commit.max() >= LONGEST_US, "too long is counted as the longest");
        assert_eq!(one.deliver_to_ack.len(), 0);
    }
}
