//! A deterministic simulator of the storage engine, and an oracle that judges it.
//!
//! The engine is run unchanged: shards, logs, queues and topology, in virtual time, on simulated
//! disks and rings. Everything follows from a seed, so whatever a seed finds can be seen again.
//!
//! | module | what it may do |
//! |---|---|
//! | `disk`, `pages`, `rings`, `clock`, `world` | the world: does what the schedule says, judges nothing |
//! | `workload`, `commits`, `uploads`, `population`, `clients`, `stumbles`, `broken_starts`, `late_letter` | what clients do, and when the power goes; draws random numbers |
//! | `shadow` | the model: follows what was promised, touches nothing |
//! | `invariants` | judges after every step; reads only, draws no random number |
//! | `oracle` | judges at the end, after crash, recovery and drain |
//! | `schedule`, `failures`, `tally` | a seed from beginning to end; the loop over the N-th operation; what was counted |
//!
//! docs/testing.md says how to run it and how to replay a seed.

#![forbid(unsafe_code)]

pub mod body;
pub mod broken_starts;
pub mod clients;
pub mod clock;
pub mod commits;
pub mod disk;
pub mod failures;
pub mod invariants;
pub mod late_letter;
pub mod limits;
pub mod mail;
pub mod mutants;
pub mod oracle;
pub mod pages;
pub mod population;
pub mod random;
pub mod readings;
pub mod rings;
pub mod schedule;
pub mod shadow;
pub mod simulation;
pub mod stumbles;
pub mod tally;
pub mod trace;
pub mod uploads;
pub mod violation;
pub mod workload;
pub mod world;
