//! The consumers of a channel, by serial number and by tag.

use std::sync::Arc;

use haremq_engine::ids::{QueueId, ShardId};
use rustc_hash::FxHashMap;

/// One consumer, as its channel knows it.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) tag: Arc<str>,
    pub(super) queue: QueueId,
    pub(super) queue_name: Arc<str>,
    /// The owner of its queue.
    pub(super) shard: ShardId,
    pub(super) no_ack: bool,
    /// Grants that it has not used; `None`: not rationed by the channel.
    pub(super) granted: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_serial: FxHashMap<u32, Consumer>,
    by_tag: FxHashMap<Arc<str>, u32>,
}

impl Consumers {
    pub(super) fn insert(&mut self, serial: u32, consumer: Consumer) {
        self.by_tag.insert(consumer.tag.clone(), serial);
        self.by_serial.insert(serial, consumer);
    }

    #[inline]
    pub(super) fn get_mut(&mut self, serial: u32) -> Option<&mut Consumer> {
        self.by_serial.get_mut(&serial)
    }

    pub(super) fn get(&self, serial: u32) -> Option<&Consumer> {
        self.by_serial.get(&serial)
    }

    pub(super) fn serial_of(&self, tag: &str) -> Option<u32> {
        self.by_tag.get(tag).copied()
    }

    pub(super) fn remove(&mut self, serial: u32) -> Option<Consumer> {
        let consumer = self.by_serial.remove(&serial)?;
        self.by_tag.remove(&consumer.tag);
        Some(consumer)
    }

    pub(super) fn len(&self) -> usize {
        self.by_serial.len()
    }

    /// Those that are not rationed yet.
    pub(super) fn unrationed(&mut self) -> impl Iterator<Item = (u32, &mut Consumer)> {
        self.by_serial
            .iter_mut()
            .map(|(serial, consumer)| (*serial, consumer))
            .filter(|(_, consumer)| consumer.granted.is_none())
    }

    /// Those that acknowledge what they get.
    pub(super) fn acking(&self) -> impl Iterator<Item = &Consumer> {
        self.by_serial.values().filter(|consumer| !consumer.no_ack)
    }

    /// As `acking`, each with its serial number.
    pub(super) fn acking_by_serial(&self) -> impl Iterator<Item = (u32, &Consumer)> {
        let all = self.by_serial.iter().map(|(serial, consumer)| (*serial, consumer));
        all.filter(|(_, consumer)| !consumer.no_ack)
    }

    /// Takes all: serial, queue, owner.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u32, QueueId, ShardId)> {
        self.by_tag.clear();
        let mut all: Vec<_> = std::mem::take(&mut self.by_serial)
            .into_iter()
            .map(|(serial, consumer)| (serial, consumer.queue, consumer.shard))
            .collect();
        all.sort_unstable_by_key(|(serial, ..)| *serial);
        all.into_iter()
    }
}
