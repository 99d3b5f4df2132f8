//! The wall clock is set forward and back by days while the broker runs, and between two runs.
//!
//! Needs libfaketime (Debian: `apt-get install libfaketime`), which tells a program another time; what the kernel
//! does by itself is not affected.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::directory::TestDirectory;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::{declare, drain, go_on, Consumer, Publisher, SharedLedger, PERSISTENT};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{Client, Login};
use haremq_tests::{eventually, traffic};
use std::path::{Path, PathBuf};

const QUEUES: u32 = 2;

fn library() -> Result<PathBuf, String> {
    let places = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];
    let paths = places.map(|place| Path::new(place).join("faketime/libfaketimeMT.so.1"));
    paths.into_iter().find(|path| path.exists()).ok_or_else(|| "libfaketime is missing".into())
}

/// The clock of one broker.
struct WallClock {
    directory: TestDirectory,
}

impl WallClock {
    fn file(&self) -> PathBuf {
        self.directory.path().join("offset")
    }

    /// Sets it so many seconds from the true time.
    fn set(&self, offset_s: i64) {
        let new = self.directory.path().join("offset.new");
        std::fs::write(&new, format!("{offset_s:+}\n")).expect("the directory can be written");
        // Never half written.
        std::fs::rename(new, self.file()).expect("the directory can be written");
    }

    fn launcher(&self, library: &Path) -> [String; 5] {
        [
            "/usr/bin/env".into(),
            format!("LD_PRELOAD={}", library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.file().display()),
            "FAKETIME_NO_CACHE=1".into(),
            // The monotonic clock is never set.
            "FAKETIME_DONT_FAKE_MONOTONIC=1".into(),
        ]
    }
}

/// Properties: delivery-mode 2, expiration.
fn expiring(ms: &str) -> Vec<u8> {
    let mut properties = vec![0x11, 0x00, 2, u8::try_from(ms.len()).expect("short")];
    properties.extend(ms.as_bytes());
    properties
}

const DAY_S: i64 = 86_400;

#[test]
fn a_clock_that_is_set_loses_no_message_and_closes_no_connection() {
    let library = library();
    if skipped(
        "a_clock_that_is_set_loses_no_message_and_closes_no_connection",
        library.clone().map(drop),
    ) {
        return;
    }
    let clock = WallClock { directory: TestDirectory::new() };
    clock.set(0);
    let launcher = clock.launcher(&library.expect("looked for above"));
    let mut broker = Broker::start_with(Setup::new().launcher(launcher));
    let address = broker.amqp();
    declare(address, QUEUES);
    let mut client = Client::login_with_channel(address);
    client.declare_queue(1, "clock", 2);
    client.confirm_select(1);
    let mut published = 0;
    let mut publish = |client: &mut Client, properties: &[u8]| {
        published += 1;
        client.publish(1, "", "clock", properties, b"x").expect("octets are taken");
        client.await_confirms(1, published);
    };
    // Heartbeats count on another clock: this one says nothing for a while and must be left in peace.
    let login = Login { heartbeat_s: 60, ..Login::default() };
    let (mut quiet, answer) = Client::login_as(address, &login);
    assert_eq!(answer.to_string(), "method (10,41)");
    let ledger = SharedLedger::default();
    let mut publishers = [Publisher::new(0, QUEUES, 50), Publisher::new(1, QUEUES, 1)];
    std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        go_on(scope, address, &mut publishers, Consumer::default(), &ledger);
        for offset_s in [DAY_S, -DAY_S, 0, 400 * DAY_S, -3] {
            let confirmed = ledger.lock().verdict().confirmed;
            // Expires by the clock on the wall, whatever that says now.
            publish(&mut client, &expiring("3600000"));
            publish(&mut client, PERSISTENT);
            println!("the clock is set to {offset_s:+} s");
            clock.set(offset_s);
            eventually("publishes are confirmed all the same", PATIENCE, || {
                (ledger.lock().verdict().confirmed > confirmed + 50).then_some(())
            });
            publish(&mut client, &expiring("300"));
            eventually("what expires after the jump expires by the new time", PATIENCE, || {
                let rows = broker.ctl().rows(&["list_queues", "name", "messages"]);
                let row = rows.into_iter().find(|row| row[0] == "clock").expect("it is there");
                // One without a limit; the one of an hour is gone if the clock went forward by more.
                let left = row[1].parse::<u32>().expect("a number");
                (left <= 2).then_some(())
            });
            assert!(client.get(1, "clock").is_some());
            while client.get(1, "clock").is_some() {}
        }
        ledger.stop();
    });
    quiet.open_channel(1);

    // A stop and a start between which the clock is set back.
    broker.kill9();
    clock.set(-10 * DAY_S);
    broker.start_again();
    ledger.lock().broker_restarted();
    drain(broker.amqp(), QUEUES, &ledger);
    let verdict = ledger.lock().verdict();
    println!("{verdict}");
    verdict.assert_flawless();
    Client::login_with_channel(broker.amqp()).exercise(1);
    traffic::declare(broker.amqp(), QUEUES);
    assert!(broker.is_alive());
}
