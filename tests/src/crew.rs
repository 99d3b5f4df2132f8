//! Traffic of all kinds on a disk that is about to lose something: publishes in windows and one by one, acks that a later
//! confirm covers, a queue of which some stay in every segment, one that nobody reads, and transactions.

use crate::broker::Setup;
use crate::tokens;
use crate::traffic::{declare, Consumer, Publisher, SharedLedger};
use crate::worker::Worker;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::{Scope, ScopedJoinHandle};

/// How many publishes of the faster publisher may await their confirm.
pub const WINDOW: usize = 30;

/// Those that are at work. Queue 0 is worked on, of queue 1 a part is acknowledged, nobody reads the others.
#[derive(Debug)]
pub struct Crew {
    publishers: [Publisher; 2],
    worker: Worker,
}

impl Crew {
    /// How the broker is started that they work with.
    pub fn setup(directory: &Path) -> Setup {
        // Small segments: many are sealed, emptied and written anew in a short time.
        let arguments = ["--segment-bytes", "1048576", "--disk-free-limit", "1000000"];
        Setup::new().arguments(arguments).data_directory(directory)
    }

    /// Declares the first so many queues, and those of the transactions with what is in them.
    pub fn prepare(broker: SocketAddr, queues: u32) {
        declare(broker, queues);
        tokens::issue(broker);
    }

    /// A crew that publishes to so many queues.
    pub fn new(queues: u32) -> Crew {
        let mut publishers = [Publisher::new(0, queues, WINDOW), Publisher::new(1, queues, 1)];
        publishers[0].large = Some((97, 60_000));
        Crew { publishers, worker: Worker { number: 2, queue: 0, sent: 0 } }
    }

    /// Puts them to work until the ledger is stopped or the broker is gone. What it gives knows then how many
    /// transactions were answered.
    pub fn work<'scope>(
        &'scope mut self,
        scope: &'scope Scope<'scope, '_>,
        broker: SocketAddr,
        ledger: &'scope SharedLedger,
    ) -> ScopedJoinHandle<'scope, u64> {
        for publisher in &mut self.publishers {
            let client = Publisher::connect(broker);
            scope.spawn(move || publisher.run(client, ledger));
        }
        let (client, worker) = (self.worker.connect(broker), &mut self.worker);
        scope.spawn(move || worker.run(client, ledger));
        // Leaves some in every segment, so that these are copied forward.
        let consumer = Consumer { number: 1, queue: 1, keep: 10, prefetch: 0 };
        let client = consumer.connect(broker);
        scope.spawn(move || consumer.run(client, ledger));
        scope.spawn(move || tokens::pass_on(broker, ledger))
    }
}
