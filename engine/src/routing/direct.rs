//! Direct exchanges: a hash of keys (behaviour C1).

use std::hash::Hash;

use rustc_hash::FxHashMap;

use super::Destinations;

#[derive(Debug)]
pub struct DirectRouter<D> {
    keys: FxHashMap<Box<[u8]>, Destinations<D>>,
}

impl<D> Default for DirectRouter<D> {
    fn default() -> Self {
        DirectRouter { keys: FxHashMap::default() }
    }
}

impl<D: Copy + Eq + Hash> DirectRouter<D> {
    pub(super) fn insert(&mut self, key: &[u8], destination: D) {
        if let Some(destinations) = self.keys.get_mut(key) {
            destinations.insert(destination);
        } else {
            let mut destinations = Destinations::default();
            destinations.insert(destination);
            self.keys.insert(key.into(), destinations);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8], destination: D) {
        if let Some(destinations) = self.keys.get_mut(key) {
            destinations.remove(destination);
            if destinations.is_empty() {
                self.keys.remove(key);
            }
        }
    }

    pub(super) fn route<'a>(&'a self, key: &[u8], found: &mut impl FnMut(&'a [D])) {
        if let Some(destinations) = self.keys.get(key) {
            found(destinations.as_slice());
        }
    }
}
