//! What a live reference in a log says of a transaction, for those who look at a log that no shard has opened
//! (docs/log-format.md, "Transactions").

use std::fmt;

use super::TRANSACTION_PUBLISHES_MAX;
use crate::ids::{QueueId, Seq, ShardId};

/// What an internal queue of transactions has under a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The record that decides the transaction of that number.
    Decision(u64),
    /// The long body of a publish of it.
    Body { transaction: u64, publish: u64 },
    /// A publish of a transaction of that shard is here already. Of transaction 0: an earlier start of this shard has
    /// begun to carry out again what had been decided before it.
    Mark { coordinator: ShardId, transaction: u64, publish: u64 },
}

impl Note {
    /// `None`: it is a queue of something else.
    pub fn of(queue: QueueId, seq: Seq) -> Option<Note> {
        let publishes = TRANSACTION_PUBLISHES_MAX as u64;
        let (transaction, publish) = (seq.0 / publishes, seq.0 % publishes);
        match queue {
            QueueId::TRANSACTIONS => Some(Note::Decision(seq.0)),
            QueueId::TRANSACTION_BODIES => Some(Note::Body { transaction, publish }),
            _ if queue.is_of_transactions() => {
                let coordinator =
                    ShardId((QueueId::carried_out_for(ShardId(0)).0 - queue.0) as u16);
                Some(Note::Mark { coordinator, transaction, publish })
            }
            _ => None,
        }
    }
}

/// As an operator reads of one that is gone.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Decision(transaction) => write!(
                f,
                "decision of transaction {transaction}: what of it has not been done is not going to be"
            ),
            Note::Body { transaction, publish } => write!(
                f,
                "body of message {publish} of transaction {transaction}: queues that do not have \
                 that message yet are not going to get it"
            ),
            Note::Mark { transaction: 0, .. } => {
                write!(f, "mark of a start that was broken off: what it has put may be settled for what had its number")
            }
            Note::Mark { coordinator, transaction, publish } => write!(
                f,
                "mark of message {publish} of transaction {transaction} of shard {}: the message \
                 may be put again",
                coordinator.0
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_internal_queues_say_what_they_are_of() {
        let of = |queue, transaction: u64, publish: u64| {
            Note::of(queue, Seq((transaction << 20) | publish))
        };
        assert_eq!(Note::of(QueueId::TRANSACTIONS, Seq(7)), Some(Note::Decision(7)));
        let body = Note::Body { transaction: 7, publish: 3 };
        assert_eq!(of(QueueId::TRANSACTION_BODIES, 7, 3), Some(body));
        for coordinator in [0, 1, u16::MAX].map(ShardId) {
            let mark = Note::Mark { coordinator, transaction: 7, publish: 3 };
            assert_eq!(of(QueueId::carried_out_for(coordinator), 7, 3), Some(mark));
        }
        assert_eq!(of(QueueId(5), 7, 3), None);
    }
}
