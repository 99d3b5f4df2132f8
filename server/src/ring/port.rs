//! One shard's place in the mesh.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use haremq_engine::ids::ShardId;
use rtrb::{Consumer, Producer, RingBuffer};

use super::{Doorbell, RingBatch};

/// Batches that may lie in one ring unread.
const RING_SLOTS: usize = 32;
/// A batch is closed when it holds this many octets of messages, so that the peer can begin.
const BATCH_OCTETS: usize = 256 << 10;
/// ... or this many items.
const BATCH_ITEMS: usize = 4096;
/// With so many closed batches waiting because a ring is full, the shard is congested.
const WAITING_BATCHES: usize = 32;
/// Empty batches kept for each peer.
const SPARE_BATCHES: usize = 4;

/// Everything between this shard and one peer, seen from this shard.
#[derive(Debug)]
struct Peer {
    outgoing: Producer<Box<RingBatch>>,
    emptied: Consumer<Box<RingBatch>>,
    incoming: Consumer<Box<RingBatch>>,
    give_back: Producer<Box<RingBatch>>,
    /// This shard has found `outgoing` full and wants to hear when it is not.
    starved: Arc<AtomicBool>,
    /// The peer has found its ring to this shard full.
    peer_starved: Arc<AtomicBool>,
    bell: Arc<Doorbell>,
    /// Being filled. In `dirty` whenever it or `waiting` has something in it.
    open: Box<RingBatch>,
    /// Closed, oldest first, for want of a slot.
    waiting: VecDeque<Box<RingBatch>>,
    spare: Vec<Box<RingBatch>>,
    dirty: bool,
    /// Something has been pushed since the bell was last rung.
    pushed: bool,
}

/// One shard's ends of all rings. Lives on that shard's thread.
#[derive(Debug)]
pub struct Port {
    shard: ShardId,
    bell: Arc<Doorbell>,
    peers: Vec<Option<Peer>>,
    /// Indices of the peers with something to flush.
    dirty: Vec<usize>,
    /// Where [`Port::receive`] goes on, so that no peer is served last for ever.
    next: usize,
}

/// The rings between `shards` shards, as one port for each, in shard order.
pub fn mesh(shards: u16) -> Vec<Port> {
    let count = usize::from(shards);
    let bells: Vec<_> = (0..count).map(|_| Arc::new(Doorbell::new())).collect();
    let mut ports: Vec<_> = (0..shards)
        .map(|shard| Port {
            shard: ShardId(shard),
            bell: bells[usize::from(shard)].clone(),
            peers: (0..count).map(|_| None).collect(),
            dirty: Vec::with_capacity(count),
            next: 0,
        })
        .collect();
    for low in 0..count {
        for high in low + 1..count {
            let (up, up_end) = RingBuffer::new(RING_SLOTS);
            let (down, down_end) = RingBuffer::new(RING_SLOTS);
            let (up_back, up_emptied) = RingBuffer::new(RING_SLOTS);
            let (down_back, down_emptied) = RingBuffer::new(RING_SLOTS);
            let up_starved = Arc::new(AtomicBool::new(false));
            let down_starved = Arc::new(AtomicBool::new(false));
            ports[low].peers[high] = Some(Peer {
                outgoing: up,
                emptied: up_emptied,
                incoming: down_end,
                give_back: down_back,
                starved: up_starved.clone(),
                peer_starved: down_starved.clone(),
                ..Peer::towards(&bells[high])
            });
            ports[high].peers[low] = Some(Peer {
                outgoing: down,
                emptied: down_emptied,
                incoming: up_end,
                give_back: up_back,
                starved: down_starved,
                peer_starved: up_starved,
                ..Peer::towards(&bells[low])
            });
        }
    }
    ports
}

impl Peer {
    /// With rings that lead nowhere, for the caller to replace.
    fn towards(bell: &Arc<Doorbell>) -> Peer {
        let (outgoing, incoming) = RingBuffer::new(0);
        let (give_back, emptied) = RingBuffer::new(0);
        Peer {
            outgoing,
            emptied,
            incoming,
            give_back,
            starved: Arc::default(),
            peer_starved: Arc::default(),
            bell: bell.clone(),
            open: Box::default(),
            waiting: VecDeque::new(),
            spare: Vec::new(),
            dirty: false,
            pushed: false,
        }
    }

    fn fresh(&mut self) -> Box<RingBatch> {
        self.spare.pop().or_else(|| self.emptied.pop().ok()).unwrap_or_default()
    }

    /// Closes the open batch and sends what the ring takes.
    fn close(&mut self) {
        let fresh = self.fresh();
        self.waiting.push_back(std::mem::replace(&mut self.open, fresh));
        self.send();
    }

    fn send(&mut self) {
        if self.push_waiting() {
            return;
        }
        // Say so first and look again: the peer may have emptied the ring in between, and would
        // not ring the bell for a shard that had not yet said that it waits.
        self.starved.store(true, Ordering::SeqCst);
        if self.push_waiting() {
            self.starved.store(false, Ordering::SeqCst);
        }
    }

    /// True if nothing is left.
    fn push_waiting(&mut self) -> bool {
        while let Some(batch) = self.waiting.pop_front() {
            match self.outgoing.push(batch) {
                Ok(()) => self.pushed = true,
                Err(rtrb::PushError::Full(batch)) => {
                    self.waiting.push_front(batch);
                    return false;
                }
            }
        }
        true
    }

    /// Keeps a few of the batches that came back; the others are freed here, by the core that
    /// allocated them.
    fn collect_emptied(&mut self) {
        while let Ok(mut batch) = self.emptied.pop() {
            if self.spare.len() < SPARE_BATCHES {
                batch.shrink();
                self.spare.push(batch);
            }
        }
    }
}

impl Port {
    /// This shard.
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// Of the whole mesh, this shard included.
    pub fn shards(&self) -> u16 {
        // `mesh` was given the number as a u16.
        self.peers.len() as u16
    }

    /// For others to ring and for this shard to sleep by.
    pub fn bell(&self) -> &Arc<Doorbell> {
        &self.bell
    }

    /// Where to put the next item for `shard`, which must be another one than this.
    ///
    /// # Panics
    /// If `shard` is this shard or does not exist: the sender has mistaken an address, and the
    /// mail must not be lost silently.
    pub fn batch(&mut self, shard: ShardId) -> &mut RingBatch {
        let index = usize::from(shard.0);
        let peer = self.peers[index].as_mut().expect("mail to another shard than this");
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
    /// at the end of every turn; cheap if there is nothing.
    pub fn flush(&mut self) {
        let peers = &mut self.peers;
        self.dirty.retain(|index| {
            let Some(peer) = peers[*index].as_mut() else { return false };
            if !peer.open.is_empty() {
                peer.close();
            } else {
                peer.send();
            }
            if std::mem::take(&mut peer.pushed) {
                peer.bell.ring();
            }
            peer.collect_emptied();
            peer.dirty = !peer.waiting.is_empty();
            peer.dirty
        });
    }

    /// True while some ring is full and much waits for it: stop taking in what makes more.
    pub fn is_congested(&self) -> bool {
        self.dirty.iter().any(|index| {
            self.peers[*index].as_ref().is_some_and(|peer| peer.waiting.len() >= WAITING_BATCHES)
        })
    }

    /// True if everything handed to [`Port::batch`] has been taken by a ring.
    pub fn is_flushed(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Whether [`Port::receive`] would find something.
    pub fn has_mail(&self) -> bool {
        self.peers.iter().flatten().any(|peer| !peer.incoming.is_empty())
    }

    /// The next batch from some peer. To be drained and given back.
    pub fn receive(&mut self) -> Option<(ShardId, Box<RingBatch>)> {
        let count = self.peers.len();
        for step in 0..count {
            let index = (self.next + step) % count;
            let Some(peer) = self.peers[index].as_mut() else { continue };
            if let Ok(batch) = peer.incoming.pop() {
                self.next = (index + 1) % count;
                return Some((ShardId(index as u16), batch));
            }
        }
        None
    }

    /// Returns a drained batch to the peer it came from, and wakes the peer if it waits for room.
    pub fn give_back(&mut self, from: ShardId, batch: Box<RingBatch>) {
        let Some(peer) = self.peers[usize::from(from.0)].as_mut() else { return };
        // A full return ring means that the peer has batches enough; this one is freed here.
        let _ = peer.give_back.push(batch);
        if peer.peer_starved.load(Ordering::SeqCst)
            && peer.peer_starved.swap(false, Ordering::SeqCst)
        {
            peer.bell.ring_always();
        }
    }
}
