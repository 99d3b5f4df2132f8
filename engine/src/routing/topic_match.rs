//! Walking the trie with a routing key.
//!
//! All nodes that the words so far lead to are carried along together, each once, so the cost of
//! a key is at most its words times the nodes of the trie that can be live at once, whatever the
//! patterns: there is no backtracking to exploit.

use std::hash::Hash;

use super::topic::{words, TopicRouter, Word, HASH, ROOT, UNKNOWN};

/// Working memory of a walk.
#[derive(Debug, Default)]
pub(super) struct TopicScratch {
    live: Vec<u32>,
    next: Vec<u32>,
    /// Per node, the step that last made it live. Serves all tries: a step's number is used once.
    seen: Vec<u64>,
    step: u64,
}

impl TopicScratch {
    /// The nodes that all words of the last key led to: for tests of cost.
    #[cfg(test)]
    pub(super) fn live(&self) -> &[u32] {
        &self.live
    }
}

impl<D: Copy + Eq + Hash> TopicRouter<D> {
    pub(super) fn route<'a>(
        &'a self,
        key: &[u8],
        scratch: &mut TopicScratch,
        found: &mut impl FnMut(&'a [D]),
    ) {
        if scratch.seen.len() < self.nodes.len() {
            scratch.seen.resize(self.nodes.len(), 0);
        }
        scratch.live.clear();
        scratch.step += 1;
        self.enter(ROOT, scratch.step, &mut scratch.live, &mut scratch.seen);
        for text in words(key) {
            let word = self.word(text);
            scratch.next.clear();
            scratch.step += 1;
            for &node in &scratch.live {
                self.advance(node, word, scratch.step, &mut scratch.next, &mut scratch.seen);
            }
            std::mem::swap(&mut scratch.live, &mut scratch.next);
            if scratch.live.is_empty() {
                return;
            }
        }
        for &node in &scratch.live {
            let destinations = &self.nodes[node as usize].destinations;
            if !destinations.is_empty() {
                found(destinations.as_slice());
            }
        }
    }

    /// What one word leads to from a live node.
    fn advance(&self, at: u32, word: Word, step: u64, next: &mut Vec<u32>, seen: &mut [u64]) {
        let node = &self.nodes[at as usize];
        if node.word == HASH && at != ROOT {
            // `#` takes this word as well.
            self.enter(at, step, next, seen);
        }
        if node.star != 0 {
            self.enter(node.star, step, next, seen);
        }
        if word != UNKNOWN {
            if let Some(&child) = self.edges.get(&(at, word)) {
                self.enter(child, step, next, seen);
            }
        }
    }

    /// Makes a node live, and its `#` child too, which may take no word at all.
    fn enter(&self, mut at: u32, step: u64, live: &mut Vec<u32>, seen: &mut [u64]) {
        loop {
            let node = &self.nodes[at as usize];
            if node.below_hash {
                if seen[at as usize] == step {
                    return;
                }
                seen[at as usize] = step;
            }
            live.push(at);
            if node.hash == 0 {
                return;
            }
            at = node.hash;
        }
    }
}
