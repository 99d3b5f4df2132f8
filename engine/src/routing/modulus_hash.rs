//! Modulus-hash exchanges: the key's hash modulo the number of destinations, in order of name
//! (behaviour C9).

use super::named::Named;
use super::stable_hash::StableHash;

/// See the module.
#[derive(Debug)]
pub struct ModulusHashRouter<D> {
    destinations: Named<D>,
}

impl<D> Default for ModulusHashRouter<D> {
    fn default() -> Self {
        ModulusHashRouter { destinations: Named::default() }
    }
}

impl<D: Copy + Eq> ModulusHashRouter<D> {
    pub(super) fn insert(&mut self, name: &[u8], destination: D) {
        self.destinations.insert(name, destination, 1);
    }

    pub(super) fn remove(&mut self, name: &[u8], destination: D) {
        self.destinations.remove(name, destination, 1);
    }

    /// By all keys together: the same keys in the same order go to the same place.
    pub(super) fn route<'a>(&'a self, keys: &[&[u8]], found: &mut impl FnMut(&'a [D])) {
        let places = self.destinations.places();
        let mut hash = StableHash::new();
        for (index, key) in keys.iter().enumerate() {
            hash = if index == 0 { hash } else { hash.octets(&[0]) };
            hash = hash.octets(key);
        }
        let at = hash.finish().checked_rem(places.len() as u64);
        if let Some(place) = at.and_then(|at| places.get(at as usize)) {
            found(place.as_slice());
        }
    }
}
