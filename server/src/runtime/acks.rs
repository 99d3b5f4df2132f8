//! Acks on their way from connections to queues: those of messages that follow one another go as one command.
//!
//! A client that acks each message by itself sends thousands of acks in one read. One run at a time is held back, no
//! longer than the call into the connection lasts, and before anything else that the connection has to say: the order
//! of what a shard hears stays as it was.

use haremq_engine::ids::{ConsumerKey, QueueId, Seq, ShardId};
use haremq_engine::mail::{Command, Outcome};

/// Acks of one consumer's deliveries that follow one another in a queue, which is on `shard`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acks {
    shard: ShardId,
    queue: QueueId,
    first: Seq,
    count: u32,
    consumer: Option<ConsumerKey>,
}

impl Acks {
    /// `None` for anything but an ack.
    #[inline]
    pub(super) fn of(shard: ShardId, command: &Command) -> Option<Acks> {
        match *command {
            Command::Settle { queue, seq, consumer, outcome: Outcome::Ack } => {
                Some(Acks { shard, queue, first: seq, count: 1, consumer })
            }
            _ => None,
        }
    }

    /// Takes in what follows. False if it does not.
    #[inline]
    pub(super) fn extend(&mut self, next: &Acks) -> bool {
        let follows = self.first.0.checked_add(u64::from(self.count)) == Some(next.first.0)
            && self.queue == next.queue
            && self.consumer == next.consumer
            && self.shard == next.shard;
        match self.count.checked_add(next.count).filter(|_| follows) {
            Some(count) => {
                self.count = count;
                true
            }
            None => false,
        }
    }

    /// For the shard that owns the queue.
    pub(super) fn into_command(self) -> (ShardId, Command) {
        let Acks { shard, queue, first, count, consumer } = self;
        let command = match count {
            1 => Command::Settle { queue, seq: first, consumer, outcome: Outcome::Ack },
            _ => Command::Acks { queue, first, count, consumer },
        };
        (shard, command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settle(queue: u64, seq: u64, outcome: Outcome) -> Command {
        Command::Settle { queue: QueueId(queue), seq: Seq(seq), consumer: None, outcome }
    }

    fn ack(shard: u16, queue: u64, seq: u64) -> Acks {
        Acks::of(ShardId(shard), &settle(queue, seq, Outcome::Ack)).expect("an ack")
    }

    #[test]
    fn acks_of_one_queue_that_follow_one_another_are_one() {
        let mut acks = ack(0, 7, 100);
        assert!(acks.extend(&ack(0, 7, 101)) && acks.extend(&ack(0, 7, 102)));
        for other in [ack(0, 7, 102), ack(0, 7, 104), ack(0, 8, 103), ack(1, 7, 103)] {
            assert!(!acks.extend(&other), "{other:?}");
        }
        let (shard, command) = acks.into_command();
        assert_eq!(shard, ShardId(0));
        assert!(matches!(command, Command::Acks { first: Seq(100), count: 3, .. }), "{command:?}");
    }

    #[test]
    fn what_is_no_ack_is_not_taken_for_one() {
        for outcome in [Outcome::Requeue, Outcome::Reject] {
            assert!(Acks::of(ShardId(0), &settle(7, 1, outcome)).is_none());
        }
        let (_, command) = ack(0, 7, 1).into_command();
        assert!(matches!(command, Command::Settle { outcome: Outcome::Ack, .. }));
    }
}
