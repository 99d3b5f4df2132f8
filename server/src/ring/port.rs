//! One shard's place in the mesh.

use haremq_engine::ids::ShardId;

use super::lane::{lane, LaneReceiver, LaneSender};
use super::sync::Arc;
use super::{Doorbell, RingBatch};

/// A batch is closed when it holds this many octets of messages, so that the peer can begin.
const BATCH_OCTETS: usize = 256 << 10;
/// ... or this many items.
const BATCH_ITEMS: usize = 4096;
/// With so many closed batches waiting because a ring is full, the shard is congested.
const WAITING_BATCHES: usize = 32;

/// Everything between this shard and one peer, seen from this shard.
#[derive(Debug)]
struct Peer {
    to: LaneSender,
    from: LaneReceiver,
    bell: Arc<Doorbell>,
    /// Being filled.
    open: Box<RingBatch>,
    /// In [`Port::dirty`]: `open` is not empty, or batches wait for a slot.
    dirty: bool,
    /// Something has been pushed since the bell was last rung.
    pushed: bool,
}

/// One shard's ends of all rings. Lives on that shard's thread.
#[derive(Debug)]
pub struct Port {
    shard: ShardId,
    bell: Arc<Doorbell>,
    /// In shard order; `None` stands for this shard itself.
    peers: Vec<Option<Peer>>,
    /// Indices of the peers with something to flush.
    dirty: Vec<usize>,
    /// Where [`Port::receive`] goes on, so that no peer is served last for ever.
    next: usize,
}

/// The rings between `shards` shards, as one port for each, in shard order.
pub fn mesh(shards: u16) -> Vec<Port> {
    let count = usize::from(shards);
    let mut ports: Vec<_> = (0..shards)
        .map(|shard| Port {
            shard: ShardId(shard),
            bell: Arc::new(Doorbell::new()),
            peers: (0..count).map(|_| None).collect(),
            dirty: Vec::with_capacity(count),
            next: 0,
        })
        .collect();
    for low in 0..count {
        for high in low + 1..count {
            let (up, up_end) = lane();
            let (down, down_end) = lane();
            let (low_bell, high_bell) = (ports[low].bell.clone(), ports[high].bell.clone());
            ports[low].peers[high] = Some(Peer::new(up, down_end, high_bell));
            ports[high].peers[low] = Some(Peer::new(down, up_end, low_bell));
        }
    }
    ports
}

impl Peer {
    fn new(to: LaneSender, from: LaneReceiver, bell: Arc<Doorbell>) -> Peer {
        Peer { to, from, bell, open: Box::default(), dirty: false, pushed: false }
    }

    /// Closes the open batch and sends what the ring takes.
    fn close(&mut self) {
        let fresh = self.to.fresh();
        self.to.queue(std::mem::replace(&mut self.open, fresh));
        self.pushed |= self.to.send();
    }
}

impl Port {
    /// This shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// For others to ring and for this shard to sleep by.
    pub fn bell(&self) -> &Arc<Doorbell> {
        &self.bell
    }

    /// Where to put the next item for `shard`, which must be another one than this.
    ///
    /// # Panics
    /// If `shard` is this shard or does not exist: the sender has mistaken an address, and mail
    /// must not be lost silently.
    pub fn batch(&mut self, shard: ShardId) -> &mut RingBatch {
        let index = usize::from(shard.0);
        let peer = self.peers[index].as_mut().expect("mail is for another shard than this");
        if !peer.dirty {
            peer.dirty = true;
            self.dirty.push(index);
        }
        if peer.open.octets() >= BATCH_OCTETS || peer.open.len() >= BATCH_ITEMS {
            peer.close();
        }
        &mut peer.open
    }

    /// Sends what has been collected and rings each peer that got something, once. To be called
    /// at the end of every turn; costs nothing if there is nothing.
    pub fn flush(&mut self) {
        let peers = &mut self.peers;
        self.dirty.retain(|index| {
            let Some(peer) = peers[*index].as_mut() else { return false };
            if peer.open.is_empty() {
                peer.pushed |= peer.to.send();
            } else {
                peer.close();
            }
            if std::mem::take(&mut peer.pushed) {
                peer.bell.ring();
            }
            peer.to.collect_emptied();
            peer.dirty = peer.to.waiting() > 0;
            peer.dirty
        });
    }

    /// True while some ring is full and much waits for it: stop taking in what makes more.
    pub fn is_congested(&self) -> bool {
        self.dirty
            .iter()
            .filter_map(|index| self.peers[*index].as_ref())
            .any(|peer| peer.to.waiting() >= WAITING_BATCHES)
    }

    /// True if everything handed to [`Port::batch`] has been taken by a ring.
    pub fn is_flushed(&self) -> bool {
        self.dirty.is_empty()
    }

    /// True if every shard but `shard` has read all that this one has ever sent to it.
    pub fn is_heard_by_all_but(&self, shard: ShardId) -> bool {
        let others = self.peers.iter().enumerate().filter(|(at, _)| *at != usize::from(shard.0));
        others
            .filter_map(|(_, peer)| peer.as_ref())
            .all(|peer| peer.open.is_empty() && peer.to.waiting() == 0 && peer.to.is_read())
    }

    /// Whether there is something to receive, or room again for what waits. If not, this shard's
    /// bell is rung when there is: to be asked by [`Doorbell::poll_mail`] before every sleep.
    pub fn has_work(&self) -> bool {
        self.peers.iter().flatten().any(|peer| !peer.from.is_empty() || peer.to.can_send())
    }

    /// The next batch from some peer. To be drained and given back.
    pub fn receive(&mut self) -> Option<(ShardId, Box<RingBatch>)> {
        let count = self.peers.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let Some(peer) = self.peers[index].as_mut() else { continue };
            if let Some(batch) = peer.from.receive() {
                self.next = (index + 1) % count;
                return Some((ShardId(index as u16), batch));
            }
        }
        None
    }

    /// Returns a drained batch to the peer it came from, and wakes the peer if it waits for room.
    pub fn give_back(&mut self, from: ShardId, batch: Box<RingBatch>) {
        let Some(peer) = self.peers[usize::from(from.0)].as_mut() else { return };
        if peer.from.give_back(batch) {
            peer.bell.ring();
        }
    }
}
