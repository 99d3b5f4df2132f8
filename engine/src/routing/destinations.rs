//! A counted set of destinations that is read as a slice.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Lists up to this long are searched; longer ones have an index.
const INDEX_ABOVE: usize = 16;

/// Destinations, each once however many bindings lead to it. Inserting and removing cost the
/// same whether there are ten or a hundred thousand.
#[derive(Debug)]
pub struct Destinations<D> {
    list: Vec<D>,
    /// Bindings that lead to `list[i]`.
    counts: Vec<u32>,
    /// Position in `list`, once that is long.
    index: Option<Box<FxHashMap<D, usize>>>,
}

impl<D> Default for Destinations<D> {
    fn default() -> Self {
        Destinations { list: Vec::new(), counts: Vec::new(), index: None }
    }
}

impl<D: Copy + Eq + Hash> Destinations<D> {
    /// In no particular order.
    pub fn as_slice(&self) -> &[D] {
        &self.list
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One binding more leads to `destination`.
    pub fn insert(&mut self, destination: D) {
        if let Some(at) = self.position(destination) {
            self.counts[at] += 1;
            return;
        }
        if self.list.is_empty() {
            // Most keys lead to one queue: no spare room for those.
            self.list.reserve_exact(1);
            self.counts.reserve_exact(1);
        }
        self.list.push(destination);
        self.counts.push(1);
        match &mut self.index {
            Some(index) => {
                index.insert(destination, self.list.len() - 1);
            }
            None if self.list.len() > INDEX_ABOVE => {
                let positions = self.list.iter().enumerate().map(|(at, &d)| (d, at));
                self.index = Some(Box::new(positions.collect()));
            }
            None => {}
        }
    }

    /// One binding fewer leads to `destination`.
    pub fn remove(&mut self, destination: D) {
        let Some(at) = self.position(destination) else { return };
        self.counts[at] -= 1;
        if self.counts[at] > 0 {
            return;
        }
        self.list.swap_remove(at);
        self.counts.swap_remove(at);
        if let Some(index) = &mut self.index {
            index.remove(&destination);
            if let Some(&moved) = self.list.get(at) {
                index.insert(moved, at);
            }
            if self.list.len() <= INDEX_ABOVE / 2 {
                self.index = None;
            }
        }
    }

    fn position(&self, destination: D) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(&destination).copied(),
            None => self.list.iter().position(|&d| d == destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_each_destination_until_its_last_binding_goes(
            steps in prop::collection::vec((any::<bool>(), 0u8..40), 0..300)
        ) {
            let mut set = Destinations::default();
            let mut model: BTreeMap<u8, u32> = BTreeMap::new();
            for (insert, destination) in steps {
                if insert {
                    set.insert(destination);
                    *model.entry(destination).or_default() += 1;
                } else {
                    set.remove(destination);
                    if let Some(count) = model.get_mut(&destination) {
                        *count -= 1;
                        if *count == 0 {
                            model.remove(&destination);
                        }
                    }
                }
                let mut list = set.as_slice().to_vec();
                list.sort_unstable();
                prop_assert_eq!(list, model.keys().copied().collect::<Vec<_>>());
            }
        }
    }
}
