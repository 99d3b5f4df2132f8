//! Of what is to happen wholly or not at all.

use super::{judged, mutant, Judge, Mutant};

/// What a start does before it has carried out what an earlier run had decided. That a message dies just then needs a
/// decided transaction that acks it, on another shard, while its time is over or its queue is full, and an heir that tells
/// of it: ten thousand schedules may come and go without. So they may without a start that is broken off just between what
/// it has put and its end.
const TESTS_OF_STARTS: Judge = Judge::ShardTests("decided_first::");

pub(super) const TRANSACTIONS: &[Mutant] = &[
    mutant(
        "part of a transaction reported before it is durable",
        "shard/parts.rs",
        "if end > durable {",
        "if end > durable.max(end) {",
    ),
    mutant(
        "marks of an earlier run not gone for good before transactions begin",
        "shard/transactions.rs",
        "&& transactions.outlived_gone <= durable",
        "&& transactions.outlived_gone <= durable.max(transactions.outlived_gone)",
    ),
    mutant(
        "transaction carried out elsewhere before it is decided",
        "shard/transactions.rs",
        "if pending.decided > durable {",
        "if pending.decided > durable.max(pending.decided) {",
    ),
    mutant(
        "transaction without a journal",
        "shard/transactions/decision.rs",
        "let is_journaled = self.lasting_deeds(&transaction) > 1;",
        "let is_journaled = self.lasting_deeds(&transaction) > 1_000;",
    ),
    mutant(
        "a commit does not ask other shards to vouch for what it settles",
        "shard/transactions/decision.rs",
        "if shards.is_empty() {",
        "if shards.len() < 1_000 {",
    ),
    mutant(
        "a shard vouches for what is not durable",
        "shard/transactions/decision.rs",
        "            if end > durable {",
        "            if end > durable.max(end) {",
    ),
    mutant(
        "what transactions have put is taken for merely published",
        "shard/transactions/decision.rs",
        "        self.vouching.put_end = end;",
        "        self.vouching.put_end = end.min(Position::default());",
    ),
    mutant(
        "what is marked is put again",
        "shard/transactions.rs",
        "(again && self.transactions.held.contains_key(&mark))",
        "(again && self.transactions.held.contains_key(&mark) && index > 1_000)",
    ),
    mutant(
        "what a transaction was refused is put when it is repeated",
        "shard/transactions.rs",
        "mark.filter(|_| taken.is_left_out)",
        "mark.filter(|_| taken.is_left_out && index > 1_000)",
    ),
    mutant(
        "marks forgotten before the journal is settled for good",
        "shard/transactions/journal.rs",
        "self.transactions.ended.front().is_some_and(|ended| ended.settled <= durable)",
        "self.transactions.ended.front().is_some_and(|ended| ended.settled <= durable.max(ended.settled))",
    ),
    mutant(
        "what a start puts again is not marked as redelivered",
        "shard/transactions.rs",
        "            if again {
                self.note_seen();",
        "            if again && queues.is_empty() {
                self.note_seen();",
    ),
    judged(
        TESTS_OF_STARTS,
        "a broken off start is forgotten",
        "shard/transactions/journal.rs",
        "if let Some(held) = self.transactions.held.get(&name) {",
        "if let Some(held) = self.transactions.held.get(&name).filter(|held| held.length == 0) {",
    ),
    judged(
        TESTS_OF_STARTS,
        "a message makes room again before what was decided of it is carried out",
        "shard/trimming.rs",
        "        if !may_let_die {
            if queue.has_excess() {",
        "        if !may_let_die && now.unix_ms == 0 {
            if queue.has_excess() {",
    ),
    judged(
        TESTS_OF_STARTS,
        "a message expires again before what was decided of it is carried out",
        "shard/mod.rs",
        "        if !may_let_die {
            let later = now.unix_ms + 1;",
        "        if !may_let_die && now.unix_ms == 0 {
            let later = now.unix_ms + 1;",
    ),
];
