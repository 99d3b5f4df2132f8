//! Which slot a queue is kept in, by its id.
//!
//! Ids are given one after the other, so queues that were declared together have ids that are next to each other, and
//! their slots are kept in one *leaf*. Ten thousand queues take forty kilobytes that way. A hash table of them takes
//! seven times as much, which is out of the core's caches before a publisher to all of them comes by again: half of
//! what the queue of a message then cost was waiting for the memory that its table entry was in.

use rustc_hash::FxHashMap;

use super::queues::QueueSlot;
use crate::ids::QueueId;

/// Ids that share a leaf.
const LEAF: u64 = 64;
/// No queue has that slot.
const VACANT: QueueSlot = QueueSlot::MAX;

#[derive(Debug)]
struct Leaf {
    slots: [QueueSlot; LEAF as usize],
    used: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Directory {
    /// By what their ids divided by [`LEAF`] are; none is without queues.
    leaves: FxHashMap<u64, Box<Leaf>>,
    count: usize,
}

fn place_of(id: QueueId) -> (u64, usize) {
    (id.0 / LEAF, (id.0 % LEAF) as usize)
}

impl Directory {
    #[inline]
    pub(super) fn find(&self, id: QueueId) -> Option<QueueSlot> {
        let (leaf, place) = place_of(id);
        let slot = self.leaves.get(&leaf)?.slots[place];
        (slot != VACANT).then_some(slot)
    }

    /// # Panics
    /// If a queue of that id is there already.
    pub(super) fn insert(&mut self, id: QueueId, slot: QueueSlot) {
        assert!(slot != VACANT, "there are as many queues as slots have numbers");
        let (leaf, place) = place_of(id);
        let none = || Box::new(Leaf { slots: [VACANT; LEAF as usize], used: 0 });
        let leaf = self.leaves.entry(leaf).or_insert_with(none);
        let replaced = std::mem::replace(&mut leaf.slots[place], slot);
        assert!(replaced == VACANT, "queue {id:?} is there already");
        leaf.used += 1;
        self.count += 1;
    }

    pub(super) fn remove(&mut self, id: QueueId) -> Option<QueueSlot> {
        let (number, place) = place_of(id);
        let leaf = self.leaves.get_mut(&number)?;
        let slot = std::mem::replace(&mut leaf.slots[place], VACANT);
        if slot == VACANT {
            return None;
        }
        leaf.used -= 1;
        self.count -= 1;
        if leaf.used == 0 {
            self.leaves.remove(&number);
            self.leaves.shrink_to(2 * self.leaves.len());
        }
        Some(slot)
    }

    /// Queues.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// All slots, in no order.
    pub(super) fn slots(&self) -> impl Iterator<Item = QueueSlot> + '_ {
        let all = self.leaves.values().flat_map(|leaf| leaf.slots);
        all.filter(|slot| *slot != VACANT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_found_until_they_are_gone_and_leave_nothing_behind() {
        let mut directory = Directory::default();
        let id = |number: u32| QueueId(u64::from(number) * 37 + (1 << 40));
        for number in 0..1000 {
            assert_eq!(directory.find(id(number)), None);
            directory.insert(id(number), number);
        }
        assert_eq!(directory.find(QueueId(5)), None);
        for number in (0..1000).step_by(2) {
            assert_eq!(directory.remove(id(number)), Some(number));
            assert_eq!(directory.remove(id(number)), None);
        }
        assert!((0..1000).all(|n| directory.find(id(n)) == (n % 2 == 1).then_some(n)));
        let mut left: Vec<_> = directory.slots().collect();
        left.sort_unstable();
        assert!(left.len() == directory.count() && left.iter().copied().eq((1..1000).step_by(2)));
        left.into_iter().for_each(|number| assert!(directory.remove(id(number)).is_some()));
        assert!(directory.leaves.is_empty() && directory.count() == 0);
    }

    #[test]
    #[should_panic(expected = "is there already")]
    fn a_second_queue_of_the_same_id_is_caught() {
        let mut directory = Directory::default();
        directory.insert(QueueId(7), 1);
        directory.insert(QueueId(7), 2);
    }
}
