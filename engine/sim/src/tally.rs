//! What happened in a schedule, or in many: counted, and shown as a sentence or as fields of JSON.

use std::fmt;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub crashes: u64,
    pub clean_stops: u64,
    pub interrupted_boots: u64,
    pub damages: u64,
    pub damages_found: u64,
    pub failures: u64,
    pub confirmed: u64,
    pub refused: u64,
    pub delivered: u64,
    pub settled: u64,
    pub committed: u64,
    /// Transactions under way when the power went.
    pub interrupted_commits: u64,
    /// Steps after which a shard had some of a queue packed.
    pub packed: u64,
    /// And after which it had some paged out.
    pub paged: u64,
    pub operations: u64,
    /// Bodies in parts that were sent to their end, and those that were not.
    pub uploaded: u64,
    pub given_up: u64,
    /// Bodies that were taken piece by piece, to the end.
    pub read: u64,
    /// Parts of bodies that went from shard to shard.
    pub shipped: u64,
}

impl Tally {
    fn counts(&mut self) -> [(&'static str, &mut u64); 19] {
        let Tally {
            crashes,
            clean_stops,
            interrupted_boots,
            damages,
            damages_found,
            failures,
            confirmed,
            refused,
            delivered,
            settled,
            committed,
            interrupted_commits,
            packed,
            paged,
            operations,
            uploaded,
            given_up,
            read,
            shipped,
        } = self;
        [
            ("crashes", crashes),
            ("clean_stops", clean_stops),
            ("interrupted_boots", interrupted_boots),
            ("damages", damages),
            ("damages_found", damages_found),
            ("failures", failures),
            ("confirmed", confirmed),
            ("refused", refused),
            ("delivered", delivered),
            ("settled", settled),
            ("committed", committed),
            ("interrupted_commits", interrupted_commits),
            ("packed", packed),
            ("paged", paged),
            ("operations", operations),
            ("uploaded", uploaded),
            ("given_up", given_up),
            ("read", read),
            ("shipped", shipped),
        ]
    }

    pub fn add(&mut self, other: &Tally) {
        let mut other = *other;
        for ((_, sum), (_, more)) in self.counts().into_iter().zip(other.counts()) {
            *sum += *more;
        }
    }

    /// All counts, as the fields of an object of JSON.
    pub fn json_fields(mut self) -> String {
        let fields = self.counts().map(|(name, count)| format!("\"{name}\":{count}"));
        fields.join(",")
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { crashes, clean_stops, interrupted_boots, damages, damages_found, .. } = self;
        let Tally { failures, confirmed, refused, delivered, settled, operations, .. } = self;
        let Tally { committed, interrupted_commits, packed, paged, uploaded, given_up, .. } = self;
        let Tally { read, shipped, .. } = self;
        write!(
            f,
            "{crashes} crashes, {interrupted_boots} interrupted starts, {clean_stops} clean stops, \
             {failures} failures, {damages} damages ({damages_found} found); \
             {confirmed} confirmed, {refused} refused, {delivered} delivered, {settled} settled; \
             {uploaded} bodies in parts, {given_up} given up, {read} read in pieces, {shipped} parts sent to other shards; \
             {committed} transactions, {interrupted_commits} interrupted; {packed} steps with packed queues, \
             {paged} with paged ones; \
             {operations} disk operations"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_is_added_and_told_once() {
        let mut one = Tally::default();
        for (number, (_, count)) in (1..).zip(one.counts()) {
            *count = number;
        }
        let mut both = one;
        both.add(&one);
        let fields = both.json_fields();
        let told: Vec<_> = fields.split(',').map(|field| field.rsplit(':').next()).collect();
        let expected: Vec<_> = (1..=told.len()).map(|number| (2 * number).to_string()).collect();
        assert!(told.into_iter().flatten().eq(expected.iter().map(String::as_str)), "{fields}");
        assert!(fields.starts_with("\"crashes\":2,"), "{fields}");
    }
}
