//! The harness of HareMQ's end-to-end tests: it builds and starts real brokers, runs real client programs
//! against them, speaks AMQP by hand where a client library would not let it, and keeps the ledger that decides
//! whether a message was lost.
//!
//! Every test has a broker of its own, on ports the kernel chose, in a data directory of its own. Nothing here is
//! linked into the broker, and the broker is only ever reached through its sockets, signals and command line.
//!
//! - [`binaries`] finds or builds the programs under test
//! - [`broker`] one running broker: start, kill, stop, restart; its [`output`] is kept for failures
//! - [`certificates`] an authority for one test, and what it signs
//! - [`crew`] traffic of all kinds, on a disk that is about to lose something
//! - [`ctl`] runs `haremqctl` and compares what it prints with recorded sessions
//! - [`python`] the virtual environments of the client libraries and the programs in `tests/python`
//! - [`node`] the same for Node.js and `tests/node`
//! - [`wire`] a small AMQP 0-9-1 client that can also say what no client should
//! - [`ledger`] the oracle: what was published, confirmed, delivered and acknowledged
//! - [`traffic`] publishers and consumers that fill a ledger
//! - [`worker`] a consumer that learns which of its acknowledgements are safe
//! - [`tokens`] transactions that must keep what they move
//! - [`disk`] disks of a test: recorded block for block, cut off, failing, full
//! - [`kernel`] another kernel as a process, whose device mapper loses writes
//! - [`durations`] how long things took, to be shown
//! - [`report`] figures of a run, for whoever keeps them
//! - [`requirement`] what a test needs beyond the ordinary, and is skipped without
//! - [`random`] numbers that can be had again
//! - [`memory_limit`] a limit on the memory of a broker, kept by the kernel
//! - [`probe`] compares probe answers with recorded ones
//! - [`source_tree`] reads the project's own sources for the structural tests

#![forbid(unsafe_code)]

pub mod binaries;
pub mod broker;
pub mod certificates;
pub mod crew;
pub mod ctl;
pub mod damage;
pub mod directory;
pub mod disk;
pub mod durations;
pub mod kernel;
pub mod ledger;
pub mod memory_limit;
pub mod node;
pub mod output;
pub mod probe;
pub mod python;
pub mod random;
pub mod report;
pub mod requirement;
pub mod source_tree;
pub mod tokens;
pub mod traffic;
pub mod wire;
pub mod worker;

use std::time::{Duration, Instant};

/// Calls `attempt` until it gives something, for at most `limit`; panics with `what` when it never does.
///
/// For facts that nobody announces (a count in a listing, a file that goes away). Where an event can be awaited,
/// tests wait for the event instead.
pub fn eventually<T>(what: &str, limit: Duration, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up after {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
