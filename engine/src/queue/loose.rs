//! Which queues have left something unpacked, in the order in which they did, so that those that
//! have had it for longest pack it when there is no memory to spare.

use std::collections::VecDeque;

/// Numbers of queues, each once.
#[derive(Debug, Default)]
pub(super) struct Loose {
    order: VecDeque<u32>,
    /// A bit for each number that is in it.
    is_in: Vec<u64>,
}

fn place(queue: u32) -> (usize, u64) {
    ((queue / 64) as usize, 1 << (queue % 64))
}

impl Loose {
    pub(super) fn note(&mut self, queue: u32) {
        let (word, bit) = place(queue);
        if word >= self.is_in.len() {
            self.is_in.resize(word + 1, 0);
        }
        if self.is_in[word] & bit == 0 {
            self.is_in[word] |= bit;
            self.order.push_back(queue);
        }
    }

    /// Takes the first one out.
    pub(super) fn next(&mut self) -> Option<u32> {
        let queue = self.order.pop_front()?;
        let (word, bit) = place(queue);
        self.is_in[word] &= !bit;
        Some(queue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_come_in_the_order_of_their_first_note_and_once() {
        let mut loose = Loose::default();
        for queue in [70, 3, 70, 0, 3] {
            loose.note(queue);
        }
        assert_eq!(loose.next(), Some(70));
        loose.note(70);
        let rest: Vec<u32> = std::iter::from_fn(|| loose.next()).collect();
        assert_eq!(rest, [3, 0, 70]);
    }
}
