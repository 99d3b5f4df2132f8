//! Connections as a queue's owner sees them: how many octets of deliveries may be under way to
//! each (the transport window), and who waits for more.

use rustc_hash::{FxHashMap, FxHashSet};

use super::queues::QueueSlot;
use crate::ids::{ConnectionId, ConsumerKey, QueueId};

/// Number of a link within its shard.
pub(super) type LinkSlot = u32;

#[derive(Debug)]
struct Link {
    /// May be below zero: a delivery is made whole as long as there is any window.
    left_bytes: i64,
    /// Channels to which a long message is on its way: what else they get would have to wait for its
    /// end.
    busy: Vec<u16>,
    /// Consumers that could be served but for the window.
    waiting: Vec<(QueueSlot, ConsumerKey)>,
    consumers: FxHashSet<(QueueId, ConsumerKey)>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Links {
    all: Vec<Option<Link>>,
    vacant: Vec<LinkSlot>,
    by_connection: FxHashMap<ConnectionId, LinkSlot>,
    window_bytes: i64,
}

impl Links {
    pub(super) fn new(window_bytes: u64) -> Self {
        Links {
            all: Vec::new(),
            vacant: Vec::new(),
            by_connection: FxHashMap::default(),
            window_bytes: i64::try_from(window_bytes).unwrap_or(i64::MAX).max(1),
        }
    }

    /// The link of a connection, made when it has its first consumer.
    pub(super) fn of(&mut self, connection: ConnectionId) -> LinkSlot {
        if let Some(at) = self.by_connection.get(&connection) {
            return *at;
        }
        let link = Link {
            left_bytes: self.window_bytes,
            busy: Vec::new(),
            waiting: Vec::new(),
            consumers: FxHashSet::default(),
        };
        let at = match self.vacant.pop() {
            Some(at) => {
                self.all[at as usize] = Some(link);
                at
            }
            None => {
                self.all.push(Some(link));
                (self.all.len() - 1) as LinkSlot
            }
        };
        self.by_connection.insert(connection, at);
        at
    }

    fn get_mut(&mut self, at: LinkSlot) -> Option<&mut Link> {
        self.all.get_mut(at as usize)?.as_mut()
    }

    pub(super) fn add_consumer(&mut self, at: LinkSlot, queue: QueueId, consumer: ConsumerKey) {
        if let Some(link) = self.get_mut(at) {
            link.consumers.insert((queue, consumer));
        }
    }

    pub(super) fn remove_consumer(&mut self, at: LinkSlot, queue: QueueId, consumer: ConsumerKey) {
        if let Some(link) = self.get_mut(at) {
            link.consumers.remove(&(queue, consumer));
        }
    }

    /// Forgets a connection that was refused its first consumer.
    pub(super) fn drop_unused(&mut self, connection: ConnectionId) {
        let Some(at) = self.by_connection.get(&connection).copied() else { return };
        let window_bytes = self.window_bytes;
        let used = self.get_mut(at).is_some_and(|link| {
            !link.consumers.is_empty() || !link.busy.is_empty() || link.left_bytes < window_bytes
        });
        if !used {
            self.forget(connection);
        }
    }

    /// The connection has room for a delivery to that channel.
    #[inline]
    pub(super) fn has_window(&self, at: LinkSlot, channel: u16) -> bool {
        let has_room = |link: &Link| {
            link.left_bytes > 0 && (link.busy.is_empty() || !link.busy.contains(&channel))
        };
        self.all[at as usize].as_ref().is_some_and(has_room)
    }

    /// Octets of deliveries to that channel that the connection has room for; a delivery is made whole as long as
    /// there is any.
    #[inline]
    pub(super) fn left_bytes(&self, at: LinkSlot, channel: u16) -> i64 {
        let left = |link: &Link| if link.busy.contains(&channel) { 0 } else { link.left_bytes };
        self.all[at as usize].as_ref().map_or(0, left)
    }

    /// A long message is on its way to a channel.
    pub(super) fn long_begun(&mut self, at: LinkSlot, channel: u16) {
        if let Some(link) = self.get_mut(at) {
            link.busy.push(channel);
        }
    }

    /// It has arrived. Gives those who waited, as [`Links::open`] does.
    pub(super) fn long_ended(
        &mut self,
        connection: ConnectionId,
        channel: u16,
    ) -> Vec<(QueueSlot, ConsumerKey)> {
        let Some(at) = self.by_connection.get(&connection).copied() else { return Vec::new() };
        let Some(link) = self.get_mut(at) else { return Vec::new() };
        if let Some(index) = link.busy.iter().position(|busy| *busy == channel) {
            link.busy.swap_remove(index);
        }
        if link.left_bytes > 0 {
            std::mem::take(&mut link.waiting)
        } else {
            Vec::new()
        }
    }

    /// A delivery goes out.
    #[inline]
    pub(super) fn spend(&mut self, at: LinkSlot, bytes: u64) {
        if let Some(link) = self.get_mut(at) {
            link.left_bytes = link.left_bytes.saturating_sub_unsigned(bytes);
        }
    }

    /// The consumer is to be told of by `open` once there is window.
    pub(super) fn wait(&mut self, at: LinkSlot, queue: QueueSlot, consumer: ConsumerKey) {
        if let Some(link) = self.get_mut(at) {
            link.waiting.push((queue, consumer));
        }
    }

    /// Octets have left for the socket. Gives those who waited, in order of waiting.
    pub(super) fn open(
        &mut self,
        connection: ConnectionId,
        bytes: u64,
    ) -> Vec<(QueueSlot, ConsumerKey)> {
        let window_bytes = self.window_bytes;
        let Some(at) = self.by_connection.get(&connection).copied() else { return Vec::new() };
        let Some(link) = self.get_mut(at) else { return Vec::new() };
        // Never more than the whole window, whatever the other side counts.
        link.left_bytes = link.left_bytes.saturating_add_unsigned(bytes).min(window_bytes);
        if link.left_bytes > 0 {
            std::mem::take(&mut link.waiting)
        } else {
            Vec::new()
        }
    }

    /// The connection is gone. Gives the consumers it had.
    pub(super) fn forget(&mut self, connection: ConnectionId) -> Vec<(QueueId, ConsumerKey)> {
        let Some(at) = self.by_connection.remove(&connection) else { return Vec::new() };
        self.vacant.push(at);
        let Some(link) = self.all[at as usize].take() else { return Vec::new() };
        let mut consumers: Vec<_> = link.consumers.into_iter().collect();
        consumers.sort_unstable_by_key(|(queue, consumer)| (*queue, consumer.serial));
        consumers
    }
}
