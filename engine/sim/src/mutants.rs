//! Small changes that break the engine, each in one place. The simulator must see every one of
//! them: that is the proof that it would see a mistake.
//!
//! They are made to a copy of the sources (`cargo run -p haremq-sim --release --bin mutants`), so
//! the product has no switches for them. Each text must stand exactly once in its file: when the
//! engine changes, a mutant that no longer applies fails the tests and is written anew.

/// Who must see a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judge {
    Simulator,
    /// Unit tests of the engine with that in their names: for what is no part of a schedule.
    UnitTests(&'static str),
    /// Tests of shards with that in their names: for what comes about too seldom in one.
    ShardTests(&'static str),
}

/// One change.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    pub name: &'static str,
    pub judge: Judge,
    /// Below `engine/src`.
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

const fn judged(
    judge: Judge,
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    Mutant { name, judge, file, from, to }
}

const fn mutant(
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Mutant {
    judged(Judge::Simulator, name, file, from, to)
}

/// What makes damage whole in a wrong way is no part of a schedule.
const LOG_TESTS: Judge = Judge::UnitTests("log::tests::");

mod long_bodies;
mod queues;
mod reads;
mod settles;
pub mod switch;
mod transactions;
pub mod workshop;

use long_bodies::LONG_BODIES;
use queues::QUEUES;
use reads::READS;
use settles::SETTLES;
use transactions::TRANSACTIONS;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    let apart = [MUTANTS, TRANSACTIONS, SETTLES, QUEUES, LONG_BODIES, READS];
    apart.into_iter().flatten()
}

/// Those that every test run looks at: the mistakes that a log is most easily made with. That nothing is synced, that
/// it is confirmed before it is, and that directories are not are seen in worlds that break their word, too.
pub const SAMPLE: &[&str] = &[
    "checksum ignored",
    "stale block accepted: neither epoch nor chain",
    "durable mark ignored: rot taken for a torn end",
    "durable beyond a gap",
    "confirm at append",
    "ack not logged",
    "recycled with live references",
    "half-made file used",
    "transaction without a journal",
];

const MUTANTS: &[Mutant] = &[
    mutant(
        "checksum ignored",
        "log/block.rs",
        "if crc32fast::hash(&octets[BLOCK_UNCHECKED..end]) != header.checksum.get() {",
        "if header.checksum.get() == 0 && octets.is_empty() {",
    ),
    mutant(
        "stale block accepted: neither epoch nor chain",
        "log/recovery/walk.rs",
        "            if block.header.epoch.get() < self.epoch {
                return stop(self.at, \"a block of an earlier epoch than the one before it\");
            }
            if block.header.previous.get() != self.previous {",
        "            if block.header.epoch.get() == u32::MAX {",
    ),
    mutant(
        "chain ignored",
        "log/recovery/walk.rs",
        "if block.header.previous.get() != self.previous {",
        "if self.epoch == u32::MAX {",
    ),
    mutant(
        "position of a block ignored",
        "log/block.rs",
        "header.position.get() != position ||",
        "position == u64::MAX ||",
    ),
    mutant(
        "durable mark ignored: rot taken for a torn end",
        "log/recovery/scan.rs",
        "if durable <= self.stop.position {",
        "if durable < u64::MAX {",
    ),
    mutant(
        "durable beyond a gap",
        "log/commit.rs",
        "while self.in_flight.front().is_some_and(|write| write.done) {",
        "while self.in_flight.front().is_some() && self.in_flight.iter().any(|w| w.done) {",
    ),
    mutant(
        "a new segment does not wait for the one before",
        "log/commit.rs",
        "if !(same_segment || self.in_flight.is_empty()) || !is_ready(batch.file) {",
        "if (!same_segment && self.in_flight.len() > 64) || !is_ready(batch.file) {",
    ),
    mutant(
        "confirm at append",
        "shard/confirm.rs",
        "        if end <= durable {
            self.extend(promise, true);",
        "        if end.0 > 0 {
            self.extend(Promise { end: durable.min(end), ..promise }, true);",
    ),
    mutant(
        "ack not logged",
        "shard/store.rs",
        "Place::Log { .. } if survives_restart => {",
        "Place::Log { .. } if survives_restart && slots.is_empty() => {",
    ),
    mutant(
        "settle says another segment",
        "log/settling.rs",
        "self.batch.write_settle(at, settle);",
        "self.batch.write_settle(at, Settle { segment: 0, ..settle });",
    ),
    mutant(
        "liveness record left out",
        "log/reclaim.rs",
        "            if !self.append_liveness(now, older) {",
        "            if older == u32::MAX {",
    ),
    mutant(
        "recycled with live references",
        "log/segment.rs",
        "self.live == 0 && self.pins == 0",
        "self.live <= 1 && self.pins == 0",
    ),
    mutant(
        "recycled with live parts",
        "log/segment.rs",
        "self.live == 0 && self.pins == 0",
        "self.live == 0",
    ),
    mutant(
        "holder forgotten",
        "log/settling.rs",
        "            held.note_holder(holder);",
        "            let _ = (held, holder);",
    ),
    mutant(
        "move in two strokes",
        "log/moving.rs",
        "self.append_settle(now, from);
        let block = self.batch.open_position();
        assert!(placed.address.block().0 == block, \"a move is torn between two blocks\");",
        "self.flush();
        self.close_partial_batch();
        self.append_settle(now, from);",
    ),
    mutant(
        "copies not said to be copies",
        "log/copies.rs",
        "            self.batch.write_copied(at, copied);",
        "            self.batch.write_copied(at, Copied { segment: u32::MAX, ..copied });",
    ),
    mutant(
        "what was copied comes back",
        "log/recovery/mod.rs",
        "copied.is_some_and(|copied| copied.get(reference))",
        "copied.is_some_and(|copied| copied.is_empty() && copied.get(reference))",
    ),
    mutant(
        "copies not noted in the index",
        "log/copies.rs",
        "        self.index.copied(copied);",
        "        let _ = &self.index;",
    ),
    mutant(
        "a segment with copies is no holder",
        "log/copies.rs",
        "            old.note_holder(holder);",
        "            let _ = (old, holder);",
    ),
    mutant(
        "half-made file used",
        "log/files.rs",
        "self.wanted.iter().all(|wanted| wanted.file != file)",
        "self.wanted.len() < 64 || file.0 == 0",
    ),
    mutant(
        "goes on after a failed write",
        "log/store.rs",
        "self.failed = result.is_err();",
        "self.failed = false;",
    ),
    mutant(
        "redelivered flag not set after a restart",
        "queue/backlog.rs",
        "Slot::ready(place, body_bytes, true)",
        "Slot::ready(place, body_bytes, false)",
    ),
    mutant(
        "an expired message is delivered",
        "queue/intake.rs",
        "ttl.map(|ttl| now_unix_ms.saturating_add(ttl))",
        "ttl.map(|ttl| now_unix_ms.saturating_add(ttl + 20))",
    ),
    mutant(
        "copies for different limits of time in different blocks",
        "shard/publish.rs",
        "if !store.log.make_room_for_all(now, message, sizes) {",
        "let _ = sizes;
            if false {",
    ),
    mutant(
        "copy settles before the copy is durable",
        "log/copies.rs",
        "            let (these, others) = rest.split_at(count);",
        "            let (these, others) = rest.split_at(count);
            for held in these {
                self.append_settle(now, *held);
            }
            if !self.batch.is_empty() {
                self.flush();
                self.close_partial_batch();
            }",
    ),
    mutant(
        "rotten header page believed",
        "log/recovery/catalogue.rs",
        "    if header.sum() != header.checksum.get() {
        return Ok(Content::Damaged(\"the checksum",
        "    if header.checksum.get() == 0 {
        return Ok(Content::Damaged(\"the checksum",
    ),
    mutant(
        "stale index accepted",
        "log/record/segment_index.rs",
        "if crc32fast::hash(record) != piece.sum {",
        "if record.is_empty() {",
    ),
    mutant(
        "packed slot gets the flags of the one before it",
        "queue/pack.rs",
        "        | other(slot.bits != previous.bits, BITS)",
        "        | other(slot.bits != previous.bits && gap != 0, BITS)",
    ),
    mutant(
        "expiry lost in a bale",
        "queue/chunk.rs",
        "let later = chunk.base_unix_ms.saturating_sub(base_unix_ms);",
        "let later = chunk.base_unix_ms.min(base_unix_ms).saturating_sub(base_unix_ms);",
    ),
    mutant(
        "what was changed in a bale is forgotten",
        "queue/bales.rs",
        "        unpacked.has_changed |= has_changed;",
        "        unpacked.has_changed |= has_changed && slot.redelivered();",
    ),
    mutant(
        "page of a bale that is gone is kept",
        "queue/parcels.rs",
        "        self.release(parcel);
        self.vacant.push(parcel);",
        "        self.vacant.push(parcel);",
    ),
    mutant(
        "queues pack nothing when memory is short",
        "shard/queues.rs",
        "if hosted.queue.condense(&mut self.pool) {",
        "if at == QueueSlot::MAX {",
    ),
    mutant(
        "purge takes what consumers hold in a bale",
        "queue/chunk.rs",
        "let held = chunks.range(at.clone()).any(Chunk::may_be_held);",
        "let held = chunks.range(at.clone()).any(|chunk| chunk.live == 0);",
    ),
    mutant(
        "memory for messages without a limit",
        "shard/publish.rs",
        "self.store.arena.has_room(message, arena_max_bytes)",
        "self.store.arena.has_room(message, || arena_max_bytes().max(1 << 30))",
    ),
    mutant(
        "sparse segments not copied",
        "log/space.rs",
        "self.exceeds(SLACK_SEGMENTS) || self.is_out_of_space()",
        "self.is_out_of_space()",
    ),
    mutant(
        "reclaiming does not wait for what it has written",
        "log/share.rs",
        "Some(batch) => batch < self.commit.durable(),",
        "Some(batch) => batch < u64::MAX,",
    ),
    judged(
        LOG_TESTS,
        "quarantine drops a good record",
        "log/recovery/damage.rs",
        "_ if self.at == self.from => {}",
        "_ if self.at <= self.from + PAGE_BYTES as u64 => {}",
    ),
    judged(
        LOG_TESTS,
        "quarantine keeps silent about what is gone",
        "log/recovery/toll.rs",
        "if !is_dead(reference) && places.any(|place| self.is_in_hole(place)) {",
        "if is_dead(reference) && places.any(|place| self.is_in_hole(place)) {",
    ),
];

/// The file's text with the change made.
///
/// # Errors
/// If the text to be changed is not there exactly once.
pub fn apply(mutant: &Mutant, text: &str) -> Result<String, String> {
    match text.matches(mutant.from).count() {
        1 => Ok(text.replacen(mutant.from, mutant.to, 1)),
        times => Err(format!(
            "mutant \"{}\" does not apply: its text stands {times} times in {}",
            mutant.name, mutant.file
        )),
    }
}
