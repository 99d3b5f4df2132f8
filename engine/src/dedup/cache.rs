//! The values an exchange has seen: so many at most, each for so long.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::DedupKey;

/// No cache holds more, whatever its exchange asks for: about 250 MiB.
const SIZE_MAX: usize = 1 << 22;

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// `u64::MAX`: for good.
    until_unix_ms: u64,
    /// Which entry of `order` is about it.
    stamp: u64,
    /// Number of its record on disk.
    record: Option<u64>,
}

/// The oldest values make room.
#[derive(Debug)]
pub struct Cache {
    size: usize,
    ttl_ms: Option<u64>,
    seen: FxHashMap<DedupKey, Seen>,
    /// Oldest first, with entries that are out of date.
    order: VecDeque<(DedupKey, u64)>,
    next_stamp: u64,
    /// Records of values that are not known any more.
    forgotten: Vec<u64>,
}

impl Cache {
    pub fn new(size: u64, ttl_ms: Option<u64>) -> Self {
        let size = usize::try_from(size).unwrap_or(SIZE_MAX).clamp(1, SIZE_MAX);
        let (seen, order, forgotten) = Default::default();
        Cache { size, ttl_ms, seen, order, next_stamp: 0, forgotten }
    }

    /// True if the value has been seen, and its time is not over. If not, it has been seen now:
    /// for `ttl_ms`, or as long as the cache has it.
    pub fn has_seen(&mut self, key: DedupKey, ttl_ms: Option<u64>, now_unix_ms: u64) -> bool {
        if self.seen.get(&key).is_some_and(|seen| now_unix_ms < seen.until_unix_ms) {
            return true;
        }
        let ttl_ms = ttl_ms.or(self.ttl_ms);
        let until_unix_ms = ttl_ms.map_or(u64::MAX, |ttl_ms| now_unix_ms.saturating_add(ttl_ms));
        self.insert(key, until_unix_ms, None);
        false
    }

    /// The value is known from an earlier run, in whose log that record is about it.
    pub fn restore(&mut self, key: DedupKey, until_unix_ms: u64, record: u64) {
        self.insert(key, until_unix_ms, Some(record));
    }

    /// The value, which has been seen now, gets a record of that number. Gives when its time is over;
    /// `None`: it is not known.
    pub fn set_record(&mut self, key: DedupKey, record: u64) -> Option<u64> {
        let seen = self.seen.get_mut(&key)?;
        self.forgotten.extend(seen.record.replace(record));
        Some(seen.until_unix_ms)
    }

    /// Records that are needed no more.
    pub fn take_forgotten(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.forgotten)
    }

    fn insert(&mut self, key: DedupKey, until_unix_ms: u64, record: Option<u64>) {
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        let old = self.seen.insert(key, Seen { until_unix_ms, stamp, record });
        self.forgotten.extend(old.and_then(|old| old.record));
        self.order.push_back((key, stamp));
        while self.seen.len() > self.size {
            let Some((oldest, stamp)) = self.order.pop_front() else { break };
            if self.seen.get(&oldest).is_some_and(|seen| seen.stamp == stamp) {
                let gone = self.seen.remove(&oldest);
                self.forgotten.extend(gone.and_then(|gone| gone.record));
            }
        }
        if self.order.len() > 2 * self.size + 16 {
            let seen = &self.seen;
            self.order.retain(|(key, stamp)| seen.get(key).is_some_and(|s| s.stamp == *stamp));
        }
    }

    /// Values remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::{Table, Value};

    fn key(number: i32) -> DedupKey {
        let mut octets = Vec::new();
        let field = ("x-deduplication-header".into(), Value::I32(number));
        Table(vec![field]).encode_fields(&mut octets);
        DedupKey::of(&octets).expect("there")
    }

    #[test]
    fn a_value_is_a_duplicate_until_its_time_is_over() {
        let mut cache = Cache::new(10, Some(100));
        assert!(!cache.has_seen(key(1), None, 0));
        assert!(cache.has_seen(key(1), None, 99));
        assert!(!cache.has_seen(key(1), None, 100), "its time was over");
        assert!(cache.has_seen(key(1), None, 199));
        assert!(!cache.has_seen(key(2), Some(5), 0), "the message's own limit");
        assert!(!cache.has_seen(key(2), Some(5), 5));
    }

    #[test]
    fn the_oldest_value_makes_room() {
        let mut cache = Cache::new(2, None);
        for number in [1, 2, 3] {
            assert!(!cache.has_seen(key(number), None, 0));
        }
        assert!(cache.has_seen(key(2), None, 0) && cache.has_seen(key(3), None, 0));
        assert!(!cache.has_seen(key(1), None, 0), "forgotten");
    }

    #[test]
    fn a_record_is_forgotten_with_its_value_and_when_there_is_a_newer_one() {
        let mut cache = Cache::new(2, Some(100));
        cache.restore(key(1), 50, 7);
        assert!(cache.has_seen(key(1), None, 49));
        assert!(!cache.has_seen(key(1), None, 50));
        assert_eq!(cache.take_forgotten(), [7], "its time was over");
        assert_eq!(cache.set_record(key(1), 8), Some(150));
        for number in [2, 3] {
            assert!(!cache.has_seen(key(number), None, 60));
        }
        assert_eq!(cache.take_forgotten(), [8], "it has made room");
        assert_eq!(cache.set_record(key(1), 9), None);
    }

    proptest! {
        #[test]
        fn memory_is_bounded_whatever_comes(
            size in 1_u64..20,
            steps in prop::collection::vec((0_i32..40, 0_u64..30), 0..400),
        ) {
            let (mut cache, mut now) = (Cache::new(size, Some(10)), 0);
            for (number, pause) in steps {
                now += pause;
                cache.has_seen(key(number), None, now);
                prop_assert!(cache.has_seen(key(number), None, now), "just seen");
                prop_assert!(cache.len() <= size as usize);
                prop_assert!(cache.order.len() <= 2 * size as usize + 16);
            }
        }
    }
}
