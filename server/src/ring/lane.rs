//! One direction between two shards: a ring for full batches and one for empty ones on their way
//! back.

use std::collections::VecDeque;

use super::sync::{fence, Arc, AtomicBool, Consumer, Ordering, Producer, PushError, RingBuffer};
use super::{RingBatch, RING_SLOTS};

/// Empty batches kept by a sender.
const SPARE_BATCHES: usize = 4;

/// The end that fills batches. Never loses one: what the ring does not take waits here.
#[derive(Debug)]
pub(super) struct LaneSender {
    full: Producer<Box<RingBatch>>,
    emptied: Consumer<Box<RingBatch>>,
    /// The sender may fall asleep with something waiting, and wants its bell rung when there is room.
    starved: Arc<AtomicBool>,
    /// Closed batches, oldest first, for want of a slot.
    waiting: VecDeque<Box<RingBatch>>,
    #[expect(
        clippy::vec_box,
        reason = "the rings carry boxes, so that a batch is moved by its address"
    )]
    spare: Vec<Box<RingBatch>>,
}

/// The end that reads batches and returns them.
#[derive(Debug)]
pub(super) struct LaneReceiver {
    full: Consumer<Box<RingBatch>>,
    emptied: Producer<Box<RingBatch>>,
    starved: Arc<AtomicBool>,
}

pub(super) fn lane() -> (LaneSender, LaneReceiver) {
    let (full, full_end) = RingBuffer::new(RING_SLOTS);
    let (emptied, emptied_end) = RingBuffer::new(RING_SLOTS);
    let starved = Arc::new(AtomicBool::new(false));
    let receiver = LaneReceiver { full: full_end, emptied, starved: starved.clone() };
    let (waiting, spare) = (VecDeque::new(), Vec::new());
    (LaneSender { full, emptied: emptied_end, starved, waiting, spare }, receiver)
}

impl LaneSender {
    /// An empty batch, one that came back if there is one.
    pub(super) fn fresh(&mut self) -> Box<RingBatch> {
        self.spare.pop().or_else(|| self.emptied.pop().ok()).unwrap_or_default()
    }

    /// Puts a batch at the end of the line; [`LaneSender::send`] moves the line.
    pub(super) fn queue(&mut self, batch: Box<RingBatch>) {
        self.waiting.push_back(batch);
    }

    /// Pushes what the ring takes. True if it took anything: the peer's bell is to be rung.
    pub(super) fn send(&mut self) -> bool {
        let before = self.waiting.len();
        while let Some(batch) = self.waiting.pop_front() {
            if let Err(PushError::Full(batch)) = self.full.push(batch) {
                self.waiting.push_front(batch);
                break;
            }
        }
        self.waiting.len() != before
    }

    /// Closed batches that no ring has taken yet.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The peer has taken every batch out of the ring. It reads a batch through before it does
    /// anything else.
    pub(super) fn is_read(&self) -> bool {
        self.full.slots() == RING_SLOTS
    }

    /// Whether [`LaneSender::send`] would get something through. If not, the peer rings when it
    /// would: who asks this before falling asleep, after declaring itself asleep, sleeps safely.
    ///
    /// The wish to be rung for lasts for one ring, and one that comes while the sender is awake
    /// wakes nobody. So it is said here, each time, and not when the ring was found full: the peer
    /// may have answered in between, for room that has been filled since.
    pub(super) fn can_send(&self) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        // Say it first and look then: the peer makes room first and looks then.
        self.starved.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.full.slots() > 0
    }

    /// Keeps a few of the batches that came back; the others are freed here, on the core that
    /// allocated them.
    pub(super) fn collect_emptied(&mut self) {
        while let Ok(mut batch) = self.emptied.pop() {
            if self.spare.len() < SPARE_BATCHES {
                batch.shrink();
                self.spare.push(batch);
            }
        }
    }
}

impl LaneReceiver {
    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty()
    }

    pub(super) fn receive(&mut self) -> Option<Box<RingBatch>> {
        self.full.pop().ok()
    }

    /// Returns a drained batch. True if the sender waits for room: its bell is to be rung.
    pub(super) fn give_back(&mut self, batch: Box<RingBatch>) -> bool {
        // If the return ring is full the sender has batches enough, and this one is freed here.
        let _ = self.emptied.push(batch);
        fence(Ordering::SeqCst);
        self.starved.load(Ordering::Relaxed) && self.starved.swap(false, Ordering::AcqRel)
    }
}
