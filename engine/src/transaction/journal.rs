//! A transaction as octets, the body of its journal record. Section "Transactions" of
//! docs/log-format.md.

use super::{Held, Transaction, TransactionSettle, TRANSACTION_PUBLISHES_MAX};
use crate::ids::{QueueId, Seq, ShardId, Target};
use crate::mail::Outcome;
use crate::message::MessageRef;

const VERSION: u8 = 1;
/// Bodies may be elsewhere.
const VERSION_LONG: u8 = 2;
const PERSISTENT: u8 = 0b01;
const EXPIRES: u8 = 0b10;
/// Of the body there is but the length.
const LONG: u8 = 0b100;

/// The checksum was right and yet it cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    #[error("a transaction is of format {0}, this broker knows 2")]
    NewerVersion(u8),
    #[error("a transaction ends too early")]
    Cut,
    #[error("a transaction has {0}")]
    Malformed(&'static str),
}

impl Transaction {
    /// Appends the octets to `out`. Consumers are left out: none lives through a restart.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let has_long = self.long_publishes().next().is_some();
        out.push(if has_long { VERSION_LONG } else { VERSION });
        put_count(out, self.publishes.len());
        put_count(out, self.settles.len());
        for (index, (message, targets)) in self.publishes().enumerate() {
            let long_body_bytes = self.long_body_bytes(index);
            let long = if long_body_bytes > 0 { LONG } else { 0 };
            let expires = if message.expiration_ms.is_some() { EXPIRES } else { 0 };
            out.push(if message.persistent { PERSISTENT } else { 0 } | expires | long);
            out.push(message.priority);
            out.extend(message.expiration_ms.unwrap_or(0).to_le_bytes());
            put_count(out, targets.len());
            for target in targets {
                out.extend(target.queue.0.to_le_bytes());
                out.extend(target.shard.0.to_le_bytes());
            }
            let MessageRef { exchange, routing_key, properties, body, .. } = message;
            for octets in [exchange, routing_key, properties] {
                put_count(out, octets.len());
                out.extend_from_slice(octets);
            }
            match long_body_bytes {
                0 => {
                    put_count(out, body.len());
                    out.extend_from_slice(body);
                }
                bytes => out.extend(bytes.to_le_bytes()),
            }
        }
        for settle in &self.settles {
            out.extend(settle.shard.0.to_le_bytes());
            out.extend(settle.queue.0.to_le_bytes());
            out.extend(settle.seq.0.to_le_bytes());
            out.push(match settle.outcome {
                Outcome::Ack => 0,
                Outcome::Reject => 1,
                Outcome::Requeue => 2,
            });
        }
    }

    pub(crate) fn decode(octets: &[u8]) -> Result<Self, JournalError> {
        let mut rest = Rest(octets);
        let version = rest.octet()?;
        if version != VERSION && version != VERSION_LONG {
            return Err(JournalError::NewerVersion(version));
        }
        let (publishes, settles) = (rest.count()?, rest.count()?);
        if publishes > TRANSACTION_PUBLISHES_MAX {
            return Err(JournalError::Malformed("too many publishes"));
        }
        let mut transaction = Transaction::new();
        for _ in 0..publishes {
            let flags = rest.octet()?;
            let is_long = version == VERSION_LONG && flags & LONG != 0;
            let priority = rest.octet()?;
            let expiration_ms = rest.long()?;
            let first = transaction.targets.len();
            for _ in 0..rest.count()? {
                let queue = QueueId(rest.long()?);
                transaction.targets.push(Target { queue, shard: ShardId(rest.short()?) });
            }
            let exchange = transaction.append(rest.string()?);
            let routing_key = transaction.append(rest.string()?);
            let properties = transaction.append(rest.string()?);
            let (body, long_body_bytes): (&[u8], u64) = match is_long {
                true => (&[], rest.long()?),
                false => (rest.string()?, 0),
            };
            let held = Held {
                targets: first..transaction.targets.len(),
                exchange,
                routing_key,
                properties,
                body: transaction.append(body),
                long_body_bytes,
                persistent: flags & PERSISTENT != 0,
                priority,
                expiration_ms: (flags & EXPIRES != 0).then_some(expiration_ms),
            };
            transaction.publishes.push(held);
        }
        for _ in 0..settles {
            let (shard, queue) = (ShardId(rest.short()?), QueueId(rest.long()?));
            let seq = Seq(rest.long()?);
            let outcome = match rest.octet()? {
                0 => Outcome::Ack,
                1 => Outcome::Reject,
                2 => Outcome::Requeue,
                _ => return Err(JournalError::Malformed("an unknown outcome")),
            };
            let settle = TransactionSettle { shard, queue, seq, consumer: None, outcome };
            transaction.settles.push(settle);
        }
        match rest.0 {
            [] => Ok(transaction),
            _ => Err(JournalError::Malformed("octets behind its end")),
        }
    }
}

/// Counts and lengths: nothing that fits into memory is longer than 64 bits can say.
fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], JournalError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(JournalError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], JournalError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(JournalError::Cut)?;
        self.0 = rest;
        Ok(*taken)
    }
    fn octet(&mut self) -> Result<u8, JournalError> {
        self.array::<1>().map(|[octet]| octet)
    }
    fn short(&mut self) -> Result<u16, JournalError> {
        self.array().map(u16::from_le_bytes)
    }
    fn long(&mut self) -> Result<u64, JournalError> {
        self.array().map(u64::from_le_bytes)
    }
    fn count(&mut self) -> Result<usize, JournalError> {
        usize::try_from(self.long()?).map_err(|_| JournalError::Malformed("an impossible count"))
    }
    fn string(&mut self) -> Result<&'a [u8], JournalError> {
        let count = self.count()?;
        self.take(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn example(bodies: &[Vec<u8>], settles: u64) -> Transaction {
        let mut transaction = Transaction::new();
        for (number, body) in bodies.iter().enumerate() {
            let message = MessageRef {
                exchange: b"x",
                routing_key: b"some.key",
                properties: &[0x10, 0, 2],
                body,
                persistent: number % 2 == 0,
                priority: number as u8,
                expiration_ms: (number % 3 == 0).then_some(number as u64),
            };
            let targets = (0..number as u64 % 4).map(|queue| Target {
                queue: QueueId(queue + 1),
                shard: ShardId(queue as u16 % 2),
            });
            match number % 4 {
                3 => {
                    let bodiless = MessageRef { body: &[], ..message };
                    transaction.publish_long(&bodiless, 1 + number as u64, targets);
                }
                _ => transaction.publish(&message, targets),
            }
        }
        for number in 0..settles {
            let outcome = [Outcome::Ack, Outcome::Reject, Outcome::Requeue][number as usize % 3];
            let (shard, queue, seq) = (ShardId(1), QueueId(number), Seq(number << 40));
            transaction.settle(TransactionSettle { shard, queue, seq, consumer: None, outcome });
        }
        transaction
    }

    proptest! {
        #[test]
        fn a_transaction_comes_back_as_it_was(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            settles in 0_u64..8,
        ) {
            let transaction = example(&bodies, settles);
            let mut octets = Vec::new();
            transaction.encode(&mut octets);
            let back = Transaction::decode(&octets);
            prop_assert_eq!(back.as_ref(), Ok(&transaction));
            for cut in 0..octets.len() {
                prop_assert!(Transaction::decode(&octets[..cut]).is_err(), "cut at {}", cut);
            }
        }

        #[test]
        fn arbitrary_octets_are_refused_or_understood_and_never_a_panic(
            octets in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let _ = Transaction::decode(&octets);
            for version in [VERSION, VERSION_LONG] {
                let mut versioned = vec![version];
                versioned.extend(&octets);
                let _ = Transaction::decode(&versioned);
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        assert_eq!(Transaction::decode(&[3]), Err(JournalError::NewerVersion(3)));
    }
}
