//! Simulated rings between shards: they keep the order, and that is all one may rely on. Mail
//! comes in batches of any size, a ring may stand still for a while, and one that is full holds
//! its publishers back.

use std::collections::VecDeque;

use crate::mail::Mail;
use crate::random::Random;

#[derive(Debug, Default)]
struct Ring {
    mail: VecDeque<Mail>,
    /// Rounds that it stands still for.
    stalled: usize,
}

#[derive(Debug)]
pub struct Rings {
    shards: usize,
    capacity: usize,
    rings: Vec<Ring>,
}

impl Rings {
    /// `capacity`: pieces of mail that fit one ring.
    pub fn new(shards: usize, capacity: usize) -> Self {
        let rings = (0..shards * shards).map(|_| Ring::default()).collect();
        Rings { shards, capacity, rings }
    }

    fn at(&mut self, from: usize, to: usize) -> &mut Ring {
        &mut self.rings[from * self.shards + to]
    }

    pub fn push(&mut self, from: usize, to: usize, mail: Mail) {
        self.at(from, to).mail.push_back(mail);
    }

    /// A publisher must wait. (Everything else waits before the ring, however much it is.)
    pub fn is_full(&self, from: usize, to: usize) -> bool {
        self.rings[from * self.shards + to].mail.len() >= self.capacity
    }

    /// How many pieces arrive now, as the seed has it; at most what the ring holds.
    pub fn batch(&mut self, from: usize, to: usize, random: &mut Random) -> usize {
        let capacity = self.capacity;
        let ring = self.at(from, to);
        if ring.stalled > 0 {
            ring.stalled -= 1;
            return 0;
        }
        if ring.mail.is_empty() {
            return 0;
        }
        if random.one_in(12) {
            ring.stalled = random.below(12);
        }
        1 + random.below(ring.mail.len().min(capacity))
    }

    pub fn pop(&mut self, from: usize, to: usize) -> Option<Mail> {
        self.at(from, to).mail.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.mail.is_empty())
    }

    /// What was on its way is gone with the process.
    pub fn clear(&mut self) {
        self.rings.iter_mut().for_each(|ring| *ring = Ring::default());
    }
}
