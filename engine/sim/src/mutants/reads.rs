//! Of what is read back, and of what copying may write. Tests of a log look at most of them: of so much that is read in a row
//! there is seldom enough in a schedule, and to read twice or too much breaks no promise that one could see.

use super::{judged, mutant, Judge, Mutant, LOG_TESTS};

/// Long backlogs that are taken.
const DRAINS: Judge = Judge::UnitTests("log::tests::draining::");
const CACHE_TESTS: Judge = Judge::UnitTests("log::cache::");
/// Backlogs in which queues interleave.
const ROUNDS: Judge = Judge::ShardTests("draining::");
/// What comes back by copying, and what it may take.
const SPACE_TESTS: Judge = Judge::UnitTests("log::tests::recycling::");
/// What it puts in the way of others.
const PACE_TESTS: Judge = Judge::UnitTests("log::tests::reclaiming::");

pub(super) const READS: &[Mutant] = &[
    judged(
        DRAINS,
        "a torn block is put together from the wrong octets",
        "log/readback.rs",
        "copy_from_slice(&octets[..taken]);",
        "copy_from_slice(&octets[octets.len() - taken..]);",
    ),
    judged(
        DRAINS,
        "what is read is taken in the order in which it comes",
        "log/readback.rs",
        "        if matches!(run.asked.front()?.outcome, Outcome::UnderWay) {
            return None;
        }
        let Asked { read, outcome } = run.asked.pop_front()?;",
        "        let is_over = |asked: &Asked<B>| matches!(asked.outcome, Outcome::Over(_));
        let at = run.asked.iter().position(is_over)?;
        let Asked { read, outcome } = run.asked.remove(at)?;",
    ),
    judged(
        DRAINS,
        "nothing is read while what has been read is taken",
        "log/readback.rs",
        "        if ahead == 0 {
            return true;
        }",
        "        if ahead < u64::MAX {
            return ahead == 0;
        }",
    ),
    judged(
        DRAINS,
        "reads under way keep to no memory",
        "log/readback.rs",
        "self.is_empty() || self.bytes + length <= self.bytes_max",
        "self.is_empty() || self.bytes < self.bytes_max || length > 0",
    ),
    judged(
        DRAINS,
        "what has been read ahead keeps to no memory",
        "log/readback.rs",
        "&& all + length <= self.bytes_max as u64 / 2",
        "&& all < u64::MAX",
    ),
    judged(
        DRAINS,
        "a block that is cut in two is begun anew in the middle",
        "log/reads.rs",
        "if !run.goes_on && run.wanted <= run.next && !run.is_under_way() {",
        "if !run.goes_on || run.wanted < u64::MAX {",
    ),
    judged(
        DRAINS,
        "what another run brings is read again",
        "log/readback.rs",
        "self.runs.iter().any(|run| run.id != but && run.covers(position))",
        "self.runs.iter().any(|run| run.id == but && run.covers(position))",
    ),
    judged(
        DRAINS,
        "a run goes on for who looks at its beginning",
        "log/reads.rs",
        "if !goes_on && (page == window.first_page || page < middle) {",
        "if !goes_on && page > middle && page < middle {",
    ),
    mutant(
        "a run goes on past what is durable",
        "log/reads.rs",
        "segment.sealed_end.map_or(durable, |end| end.min(durable));",
        "segment.sealed_end.map_or(durable, |end| end.max(durable.min(end)));",
    ),
    judged(
        DRAINS,
        "what a file held is taken in when its segment is gone",
        "log/reads.rs",
        "let (Some(segment), Some(buffer)) = (self.segments.get(read.segment), buffer) else {",
        "let segment = self.segments.get(read.segment).or(Some(self.segments.tail()));
        let (Some(segment), Some(buffer)) = (segment, buffer) else {",
    ),
    judged(
        ROUNDS,
        "who has had his turn reads on before others have had theirs",
        "log/reads.rs",
        "let insists = insists || !self.readback.is_round_open();",
        "let insists = insists || !self.readback.is_round_open() || self.readback.is_empty();",
    ),
    judged(
        ROUNDS,
        "what somebody has looked at is not ahead any more in the same round",
        "log/readback.rs",
        "        if self.is_round_open {
            self.was_looked_at = true;
        } else {",
        "        if self.is_round_open && self.latest == 0 {
            self.was_looked_at = true;
        } else {",
    ),
    judged(
        ROUNDS,
        "a round has those look again for whom there is no room",
        "log/reads.rs",
        "        self.readback.is_empty()
    }",
        "        self.readback.is_empty() || self.readback.has_room(0)
    }",
    ),
    judged(
        CACHE_TESTS,
        "what is read ahead leaves before it is looked at",
        "log/cache.rs",
        "let is_awaited = round < all && !window.looked_at.get() && is_young(&window);",
        "let is_awaited = round > all && !window.looked_at.get() && is_young(&window);",
    ),
    judged(
        CACHE_TESTS,
        "what is settled leaves before it is durable",
        "log/cache.rs",
        "if window.end > durable || !is_settled(window) {",
        "if !is_settled(window) {",
    ),
    judged(
        SPACE_TESTS,
        "copying does not pay for what it leaves empty",
        "log/allowance.rs",
        "        self.spent_end.min(end)
    }",
        "        self.spent_end.max(end).min(end)
    }",
    ),
    judged(
        SPACE_TESTS,
        "copying pays for what others have written",
        "log/allowance.rs",
        "if self.earn(activity) {",
        "if self.earn(activity) && end == 0 {",
    ),
    judged(
        Judge::UnitTests("log::allowance::"),
        "nobody pays for the rest of a page behind copies",
        "log/allowance.rs",
        "self.spend(rest.saturating_sub(self.spent_end), activity);",
        "self.spend(rest.saturating_sub(self.spent_end).min(1), activity);",
    ),
    judged(
        SPACE_TESTS,
        "copying pays for what empties by itself",
        "log/reclaim.rs",
        "        self.segment_back(number);
",
        "",
    ),
    judged(
        SPACE_TESTS,
        "copying pays twice for a page that it does not fill",
        "log/copying.rs",
        "true => self.spend(self.batch.end() - (begun + swept)),",
        "true => self.spend(self.batch.end() - (begun + swept) + 2 * PAGE_BYTES as u64),",
    ),
    judged(
        SPACE_TESTS,
        "copying stops before its allowance is spent",
        "log/allowance.rs",
        "self.left >= octets as i64",
        "self.left >= self.segment_bytes.max(octets as i64)",
    ),
    judged(
        SPACE_TESTS,
        "copying goes on when its allowance is spent",
        "log/allowance.rs",
        "self.left >= octets as i64",
        "self.left >= octets as i64 - i64::MAX / 2",
    ),
    judged(
        PACE_TESTS,
        "publishers do not wait for copying",
        "log/room.rs",
        "&& !self.waits_for_copying()",
        "&& !(self.waits_for_copying() && self.has_failed())",
    ),
    judged(
        PACE_TESTS,
        "publishers stand still until a segment has been copied",
        "log/pace.rs",
        "pace.end = (pace.end + octets).min(most);",
        "pace.end = pace.end.max(octets.min(most) / 1_000);",
    ),
    judged(
        LOG_TESTS,
        "copying that gives nothing back earns by its own copies",
        "log/allowance.rs",
        "        self.activity = activity;
        self.left -= octets as i64;",
        "        self.left -= octets as i64;
        let _ = activity;",
    ),
];
