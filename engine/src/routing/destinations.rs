//! A counted set of destinations that is read as a slice.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Lists up to this long are searched; longer ones have an index.
const INDEX_ABOVE: usize = 16;

/// Destinations, each once however many bindings lead to it. Inserting and removing cost the
/// same whether there are ten or a hundred thousand. Small: most keys lead to one queue by one
/// binding.
#[derive(Debug)]
pub struct Destinations<D> {
    list: Vec<D>,
    more: Option<Box<More<D>>>,
}

/// What a set has that is long, or that several bindings make.
#[derive(Debug)]
struct More<D> {
    /// Position in `list`, of all if that is long, else empty.
    index: FxHashMap<D, usize>,
    /// Bindings besides the first, of those that have any.
    repeats: FxHashMap<D, u32>,
}

impl<D> Default for Destinations<D> {
    fn default() -> Self {
        Destinations { list: Vec::new(), more: None }
    }
}

impl<D> Default for More<D> {
    fn default() -> Self {
        More { index: FxHashMap::default(), repeats: FxHashMap::default() }
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
        if self.position(destination).is_some() {
            *self.more.get_or_insert_default().repeats.entry(destination).or_default() += 1;
            return;
        }
        if self.list.is_empty() {
            self.list.reserve_exact(1);
        }
        let at = self.list.len();
        self.list.push(destination);
        match &mut self.more {
            Some(more) if !more.index.is_empty() => {
                more.index.insert(destination, at);
            }
            _ if at >= INDEX_ABOVE => {
                let index = &mut self.more.get_or_insert_default().index;
                index.extend(self.list.iter().enumerate().map(|(at, &d)| (d, at)));
            }
            _ => {}
        }
    }

    /// One binding fewer leads to `destination`.
    pub fn remove(&mut self, destination: D) {
        let Some(at) = self.position(destination) else { return };
        let Some(more) = &mut self.more else {
            self.list.swap_remove(at);
            return;
        };
        if let Some(repeats) = more.repeats.get_mut(&destination) {
            *repeats -= 1;
            if *repeats == 0 {
                more.repeats.remove(&destination);
            }
        } else {
            self.list.swap_remove(at);
            if more.index.remove(&destination).is_some() {
                if let Some(&moved) = self.list.get(at) {
                    more.index.insert(moved, at);
                }
                if self.list.len() <= INDEX_ABOVE / 2 {
                    more.index.clear();
                }
            }
        }
        if more.index.is_empty() && more.repeats.is_empty() {
            self.more = None;
        }
    }

    fn position(&self, destination: D) -> Option<usize> {
        match &self.more {
            Some(more) if !more.index.is_empty() => more.index.get(&destination).copied(),
            _ => self.list.iter().position(|&d| d == destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_that_outlives_the_length_that_made_it_is_kept_up() {
        let mut set = Destinations::default();
        (0..20).for_each(|d| set.insert(d));
        (10..20).for_each(|d| set.remove(d));
        (20..25).for_each(|d| set.insert(d));
        (20..25).for_each(|d| set.remove(d));
        assert_eq!(set.as_slice().len(), 10);
        (0..10).for_each(|d| set.remove(d));
        assert!(set.is_empty() && set.more.is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

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
