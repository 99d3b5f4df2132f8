//! Headers exchanges: an index from single headers to the bindings they may satisfy.
//!
//! An `any` binding stands under each of its conditions, an `all` binding under one of them, the
//! one shared with fewest others. A message looks up each of its headers, by name and by name
//! with value, and checks the candidates in full. Bindings that ask nothing match every message.

use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHasher};

use super::headers_match::{Comparable, Condition, Header, HeadersMatch, MatchMode};
use super::Destinations;
use crate::table::{fields, RawValue, Table};

/// Messages with up to this many headers are routed without allocating.
const INLINE_HEADERS: usize = 24;

#[derive(Debug)]
pub struct HeadersRouter<D> {
    /// Bindings that ask the same share a slot.
    slots: Vec<Slot<D>>,
    free: Vec<u32>,
    by_match: FxHashMap<HeadersMatch, u32>,
    /// Slots by hash of a condition. A collision costs a check, no more.
    by_condition: FxHashMap<u64, Vec<u32>>,
    /// Slots of `all` with no condition.
    always: Vec<u32>,
}

#[derive(Debug)]
struct Slot<D> {
    asks: HeadersMatch,
    /// Where in `by_condition` it stands.
    under: Box<[u64]>,
    destinations: Destinations<D>,
}

impl<D> Default for HeadersRouter<D> {
    fn default() -> Self {
        HeadersRouter {
            slots: Vec::new(),
            free: Vec::new(),
            by_match: FxHashMap::default(),
            by_condition: FxHashMap::default(),
            always: Vec::new(),
        }
    }
}

fn hash(name: &[u8], value: Option<Comparable<'_>>) -> u64 {
    let mut hasher = FxHasher::default();
    name.hash(&mut hasher);
    value.hash(&mut hasher);
    hasher.finish()
}

fn condition_hash(condition: &Condition) -> u64 {
    hash(&condition.name, condition.wanted())
}

impl<D: Copy + Eq + Hash> HeadersRouter<D> {
    pub(super) fn insert(&mut self, arguments: &Table, destination: D) {
        let asks = HeadersMatch::parse_leniently(arguments);
        let slot = match self.by_match.get(&asks) {
            Some(&slot) => slot,
            None => self.add_slot(asks),
        };
        self.slots[slot as usize].destinations.insert(destination);
    }

    pub(super) fn remove(&mut self, arguments: &Table, destination: D) {
        let asks = HeadersMatch::parse_leniently(arguments);
        let Some(&slot) = self.by_match.get(&asks) else { return };
        let destinations = &mut self.slots[slot as usize].destinations;
        destinations.remove(destination);
        if destinations.is_empty() {
            self.remove_slot(slot);
        }
    }

    pub(super) fn route<'a>(
        &'a self,
        headers: &[u8],
        candidates: &mut Vec<u32>,
        found: &mut impl FnMut(&'a [D]),
    ) {
        for &slot in &self.always {
            found(self.slots[slot as usize].destinations.as_slice());
        }
        if self.by_condition.is_empty() {
            return;
        }
        let none: Header<'_> = (&[], RawValue::new(b'V', &[]));
        let mut inline = [none; INLINE_HEADERS];
        let spilled: Vec<Header<'_>>;
        // A broken table ends at the break; the message itself is passed on as it came.
        let count = fields(headers).map_while(Result::ok).count();
        let headers = if count <= INLINE_HEADERS {
            for (place, header) in inline.iter_mut().zip(fields(headers).map_while(Result::ok)) {
                *place = header;
            }
            &inline[..count]
        } else {
            spilled = fields(headers).map_while(Result::ok).collect();
            &spilled[..]
        };
        self.collect_candidates(headers, candidates);
        for &slot in &*candidates {
            let slot = &self.slots[slot as usize];
            if slot.asks.matches(headers) {
                found(slot.destinations.as_slice());
            }
        }
    }

    /// Slots that one of the headers may satisfy, each once.
    fn collect_candidates(&self, headers: &[Header<'_>], candidates: &mut Vec<u32>) {
        candidates.clear();
        for (name, value) in headers {
            for key in [hash(name, None), hash(name, Some(Comparable::of(*value)))] {
                if let Some(slots) = self.by_condition.get(&key) {
                    candidates.extend_from_slice(slots);
                }
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
    }

    fn add_slot(&mut self, asks: HeadersMatch) -> u32 {
        let slot = match self.free.last() {
            Some(&free) => free,
            None => self.slots.len() as u32,
        };
        let mut under: Vec<u64> = asks.conditions.iter().map(condition_hash).collect();
        under.sort_unstable();
        under.dedup();
        if asks.mode == MatchMode::All {
            let crowd = |key: &u64| self.by_condition.get(key).map_or(0, Vec::len);
            under = under.into_iter().min_by_key(crowd).into_iter().collect();
            if under.is_empty() {
                self.always.push(slot);
            }
        }
        for key in &under {
            self.by_condition.entry(*key).or_default().push(slot);
        }
        self.by_match.insert(asks.clone(), slot);
        let entry = Slot { asks, under: under.into(), destinations: Destinations::default() };
        if self.free.pop().is_some() {
            self.slots[slot as usize] = entry;
        } else {
            self.slots.push(entry);
        }
        slot
    }

    fn remove_slot(&mut self, slot: u32) {
        let entry = &self.slots[slot as usize];
        for key in &entry.under {
            if let Some(slots) = self.by_condition.get_mut(key) {
                if let Some(at) = slots.iter().position(|&s| s == slot) {
                    slots.swap_remove(at);
                }
                if slots.is_empty() {
                    self.by_condition.remove(key);
                }
            }
        }
        if let Some(at) = self.always.iter().position(|&s| s == slot) {
            self.always.swap_remove(at);
        }
        self.by_match.remove(&entry.asks);
        self.free.push(slot);
    }
}
