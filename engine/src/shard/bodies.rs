//! Long bodies that are still coming in: what goes to the log is written there at once, what needs
//! no log is kept in memory, if it is a few parts long and there is room for all of it when it begins.
//!
//! So memory does not follow their length, and what other channels publish meanwhile is stored
//! between their parts. A message takes its place in its queues when its last octet is there, as
//! every other does. Of a body whose channel or connection goes before that, nothing is left.
//!
//! Those of a transaction all go to the log of the shard that is going to coordinate it, and are held there until it
//! is committed.

use rustc_hash::FxHashMap;

use super::store::Store;
use super::Shard;
use crate::ids::{ChannelKey, ConnectionId};
use crate::log::{Memory, OpenBody};
use crate::mail::{BodyPart, Publish};
use crate::now::Now;
use crate::transaction::Transaction;

/// A body that is not whole yet.
#[derive(Debug)]
pub(super) enum Body {
    /// Its parts are in the log.
    InLog { body: OpenBody, bytes: u64 },
    /// In pieces as they came. `reserved`: octets that there is to be room for.
    InMemory { pieces: Vec<Vec<u8>>, bytes: usize, reserved: usize },
}

impl Body {
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Body::InLog { bytes, .. } => *bytes,
            Body::InMemory { bytes, .. } => *bytes as u64,
        }
    }

    pub(super) fn add<M: Memory>(&mut self, store: &mut Store<M>, now: Now, octets: &[u8]) {
        match self {
            Body::InLog { body, bytes } if !octets.is_empty() => {
                store.log.append_body(now, body, octets);
                *bytes += octets.len() as u64;
            }
            Body::InLog { .. } => {}
            Body::InMemory { pieces, bytes, .. } => {
                pieces.push(octets.to_vec());
                *bytes += octets.len();
            }
        }
    }

    /// It goes to the log after all.
    pub(super) fn into_log<M: Memory>(self, store: &mut Store<M>, now: Now) -> OpenBody {
        let pieces = match self {
            Body::InLog { body, .. } => return body,
            Body::InMemory { pieces, .. } => pieces,
        };
        let body = store.log.begin_body();
        for piece in pieces {
            store.log.append_body(now, &body, &piece);
        }
        body
    }

    pub(super) fn forget<M: Memory>(self, store: &mut Store<M>) {
        if let Body::InLog { body, .. } = self {
            store.log.drop_body(body);
        }
    }
}

/// A body of a transaction that is not committed yet.
#[derive(Debug)]
struct HeldBody {
    body: OpenBody,
    bytes: u64,
    is_whole: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    under_way: FxHashMap<ChannelKey, Body>,
    /// Of messages that wait for their commit, in the order in which they came.
    uncommitted: FxHashMap<ChannelKey, Vec<HeldBody>>,
    /// Octets in memory.
    held: usize,
    /// Octets of memory that those of them will have which stay there.
    reserved: usize,
}

impl Bodies {
    /// Octets of memory that they take.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.held
    }

    /// Octets of memory that they take and will take.
    #[inline]
    pub(super) fn reserved_bytes(&self) -> usize {
        self.reserved
    }

    fn take(&mut self, channel: ChannelKey) -> Option<Body> {
        let body = self.under_way.remove(&channel)?;
        if let Body::InMemory { bytes, reserved, .. } = &body {
            self.held -= bytes;
            self.reserved -= reserved;
        }
        Some(body)
    }

    fn put(&mut self, channel: ChannelKey, body: Body) {
        if let Body::InMemory { bytes, reserved, .. } = &body {
            self.held += bytes;
            self.reserved += reserved;
        }
        self.under_way.insert(channel, body);
    }
}

impl<M: Memory> Shard<M> {
    /// Takes the next octets of a body, in order.
    pub fn add_body(&mut self, now: Now, part: &BodyPart<'_>) {
        self.clock = now;
        let mut body = match self.bodies.take(part.channel) {
            Some(body) => body,
            None => self.begin_body(part),
        };
        body.add(&mut self.store, now, part.octets);
        self.bodies.put(part.channel, body);
    }

    fn begin_body(&mut self, part: &BodyPart<'_>) -> Body {
        let survives = part.queues.iter().any(|id| {
            let open = self.queues.open(*id);
            open.is_some_and(|(_, hosted, _)| hosted.queue.settings().survives_restart)
        });
        let taken = self.store.arena.bytes() + self.index_bytes() + self.bodies.reserved;
        let reserved = usize::try_from(part.body_bytes).unwrap_or(usize::MAX);
        let fits = self.fits_memory(part.body_bytes)
            && taken.saturating_add(reserved) <= self.config.memory_max_bytes;
        match (part.persistent && survives) || !fits {
            true => Body::InLog { body: self.store.log.begin_body(), bytes: 0 },
            false => Body::InMemory { pieces: Vec::new(), bytes: 0, reserved },
        }
    }

    /// As [`Shard::publish`], of a message whose body in `publish` is what is behind the parts that
    /// have come.
    pub fn publish_body(&mut self, now: Now, channel: ChannelKey, publish: &Publish<'_>) {
        let Some(body) = self.bodies.take(channel) else {
            return self.publish(now, publish);
        };
        self.clock = now;
        let message = &publish.message;
        let intake = self.take(now, message, Some(body), publish.queues, None, None);
        self.promise(publish, intake);
    }

    /// Takes the next octets of a body that a transaction of that channel is going to publish, to keep them until
    /// [`Command::Commit`] or [`Command::DropBody`]. `ends`: they are the last ones of this body. The transaction
    /// has to name its long bodies in the order in which they came.
    ///
    /// [`Command::Commit`]: crate::mail::Command::Commit
    /// [`Command::DropBody`]: crate::mail::Command::DropBody
    pub fn hold_body(&mut self, now: Now, channel: ChannelKey, octets: &[u8], ends: bool) {
        self.clock = now;
        let held = self.bodies.uncommitted.entry(channel).or_default();
        if held.last().is_none_or(|last| last.is_whole) {
            let body = self.store.log.begin_body();
            held.push(HeldBody { body, bytes: 0, is_whole: false });
        }
        let Some(last) = held.last_mut() else { return };
        self.store.log.append_body(now, &last.body, octets);
        last.bytes += octets.len() as u64;
        last.is_whole = ends;
    }

    /// The channel commits: the bodies of that transaction, with the indexes of its publishes.
    ///
    /// # Panics
    /// If they are not those that it names: messages would get bodies of others.
    pub(super) fn take_bodies(
        &mut self,
        channel: ChannelKey,
        transaction: &Transaction,
    ) -> Vec<(usize, OpenBody)> {
        let mut held = self.bodies.uncommitted.remove(&channel).unwrap_or_default().into_iter();
        let mut bodies = Vec::new();
        for index in transaction.long_publishes() {
            let named = transaction.long_body_bytes(index);
            let Some(HeldBody { body, .. }) =
                held.next().filter(|held| held.is_whole && held.bytes == named)
            else {
                panic!("{channel:?} commits a body of {named} octets that it has not sent");
            };
            bodies.push((index, body));
        }
        for HeldBody { body, .. } in held {
            self.store.log.drop_body(body);
        }
        bodies
    }

    /// A body is not going to be whole, nor are those to be committed that are held.
    pub(super) fn drop_body(&mut self, channel: ChannelKey) {
        if let Some(body) = self.bodies.take(channel) {
            body.forget(&mut self.store);
        }
        for HeldBody { body, .. } in self.bodies.uncommitted.remove(&channel).into_iter().flatten()
        {
            self.store.log.drop_body(body);
        }
    }

    pub(super) fn drop_bodies_of(&mut self, connection: ConnectionId) {
        let of_connection = |channel: &&ChannelKey| channel.connection == connection;
        let Bodies { under_way, uncommitted, .. } = &self.bodies;
        let mut doomed: Vec<ChannelKey> =
            under_way.keys().chain(uncommitted.keys()).filter(of_connection).copied().collect();
        // In the same order each time.
        doomed.sort_unstable_by_key(|channel| (channel.channel, channel.incarnation));
        for channel in doomed {
            self.drop_body(channel);
        }
    }
}
