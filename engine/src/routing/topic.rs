//! Topic exchanges: the trie of binding keys (behaviour C3).
//!
//! Words are interned, so that a routing key's word is hashed once however many nodes are
//! visited, and an edge is a pair of numbers. `*` and `#` are words like others, with fixed
//! numbers. Runs of `#` are one `#`: they match the same.

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::Destinations;

/// A word's number. 0 and 1 are the wildcards; [`UNKNOWN`] is a word no binding has.
pub(super) type Word = u32;
pub(super) const STAR: Word = 0;
pub(super) const HASH: Word = 1;
pub(super) const UNKNOWN: Word = u32::MAX;
const FIRST_WORD: Word = 2;

pub(super) const ROOT: u32 = 0;

#[derive(Debug)]
pub(super) struct Node<D> {
    /// Of bindings whose key ends here.
    pub(super) destinations: Destinations<D>,
    parent: u32,
    /// The word on the edge from the parent.
    pub(super) word: Word,
    /// Edges that leave this node.
    children: u32,
    /// Child by `*`, or 0: the root is nobody's child.
    pub(super) star: u32,
    /// Child by `#`, or 0.
    pub(super) hash: u32,
    /// A `#` on the way here: several ways may lead to this node for one key.
    pub(super) below_hash: bool,
}

#[derive(Debug)]
pub struct TopicRouter<D> {
    words: FxHashMap<Box<[u8]>, WordEntry>,
    free_words: Vec<Word>,
    next_word: Word,
    pub(super) nodes: Vec<Node<D>>,
    free_nodes: Vec<u32>,
    /// (node, word) to child, wildcards excepted.
    pub(super) edges: FxHashMap<(u32, Word), u32>,
}

#[derive(Debug)]
struct WordEntry {
    word: Word,
    /// Edges with that word.
    uses: u32,
}

impl<D: Copy + Eq + Hash> Default for TopicRouter<D> {
    fn default() -> Self {
        TopicRouter {
            words: FxHashMap::default(),
            free_words: Vec::new(),
            next_word: FIRST_WORD,
            nodes: vec![Node::new(0, 0, false)],
            free_nodes: Vec::new(),
            edges: FxHashMap::default(),
        }
    }
}

impl<D: Copy + Eq + Hash> Node<D> {
    fn new(parent: u32, word: Word, below_hash: bool) -> Self {
        Node {
            destinations: Destinations::default(),
            parent,
            word,
            children: 0,
            star: 0,
            hash: 0,
            below_hash,
        }
    }
}

/// The words of a key: none in the empty key, else one more than there are dots, some of them
/// perhaps empty.
pub(super) fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let all = key.split(|&octet| octet == b'.');
    all.take(if key.is_empty() { 0 } else { usize::MAX })
}

/// The words of a binding key, runs of `#` as one.
fn pattern(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut after_hash = false;
    words(key).filter(move |&word| {
        let hash = word == b"#";
        let repeated = hash && after_hash;
        after_hash = hash;
        !repeated
    })
}

impl<D: Copy + Eq + Hash> TopicRouter<D> {
    pub(super) fn insert(&mut self, key: &[u8], destination: D) {
        let mut node = ROOT;
        for word in pattern(key) {
            node = match self.child(node, word) {
                Some(child) => child,
                None => self.add_child(node, word),
            };
        }
        self.nodes[node as usize].destinations.insert(destination);
    }

    pub(super) fn remove(&mut self, key: &[u8], destination: D) {
        let mut node = ROOT;
        for word in pattern(key) {
            let Some(child) = self.child(node, word) else { return };
            node = child;
        }
        self.nodes[node as usize].destinations.remove(destination);
        let mut rest: Vec<&[u8]> = pattern(key).collect();
        while let Some(word) = rest.pop() {
            let leaf = &self.nodes[node as usize];
            if leaf.children > 0 || !leaf.destinations.is_empty() {
                break;
            }
            let parent = leaf.parent;
            self.remove_leaf(node, word);
            node = parent;
        }
    }

    /// Number of `word` as bindings know it.
    pub(super) fn word(&self, word: &[u8]) -> Word {
        self.words.get(word).map_or(UNKNOWN, |entry| entry.word)
    }

    fn child(&self, node: u32, word: &[u8]) -> Option<u32> {
        let parent = &self.nodes[node as usize];
        match word {
            b"*" => (parent.star != 0).then_some(parent.star),
            b"#" => (parent.hash != 0).then_some(parent.hash),
            _ => self.edges.get(&(node, self.words.get(word)?.word)).copied(),
        }
    }

    fn add_child(&mut self, parent: u32, text: &[u8]) -> u32 {
        let word = match text {
            b"*" => STAR,
            b"#" => HASH,
            _ => self.use_word(text),
        };
        let below_hash = word == HASH || self.nodes[parent as usize].below_hash;
        let node = Node::new(parent, word, below_hash);
        let child = match self.free_nodes.pop() {
            Some(free) => {
                self.nodes[free as usize] = node;
                free
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        };
        let parent_node = &mut self.nodes[parent as usize];
        parent_node.children += 1;
        match word {
            STAR => parent_node.star = child,
            HASH => parent_node.hash = child,
            _ => {
                self.edges.insert((parent, word), child);
            }
        }
        child
    }

    fn remove_leaf(&mut self, leaf: u32, text: &[u8]) {
        let (parent, word) = (self.nodes[leaf as usize].parent, self.nodes[leaf as usize].word);
        let parent_node = &mut self.nodes[parent as usize];
        parent_node.children -= 1;
        match word {
            STAR => parent_node.star = 0,
            HASH => parent_node.hash = 0,
            _ => {
                self.edges.remove(&(parent, word));
                self.disuse_word(text);
            }
        }
        self.free_nodes.push(leaf);
    }

    fn use_word(&mut self, text: &[u8]) -> Word {
        if let Some(entry) = self.words.get_mut(text) {
            entry.uses += 1;
            return entry.word;
        }
        let word = self.free_words.pop().unwrap_or_else(|| {
            let word = self.next_word;
            // More words than this would need more memory than an address has bits.
            assert!(word < UNKNOWN, "too many words in topic bindings");
            self.next_word += 1;
            word
        });
        self.words.insert(text.into(), WordEntry { word, uses: 1 });
        word
    }

    fn disuse_word(&mut self, text: &[u8]) {
        if let Some(entry) = self.words.get_mut(text) {
            entry.uses -= 1;
            if entry.uses == 0 {
                self.free_words.push(entry.word);
                self.words.remove(text);
            }
        }
    }

    /// Nothing left of any binding: for tests of removal.
    #[cfg(test)]
    pub(super) fn is_bare(&self) -> bool {
        self.words.is_empty()
            && self.edges.is_empty()
            && self.nodes.len() == self.free_nodes.len() + 1
            && self.nodes[ROOT as usize].children == 0
            && self.nodes[ROOT as usize].destinations.is_empty()
    }
}
