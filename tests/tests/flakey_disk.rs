//! Power cuts once more, independent of the machine's own kernel and of the disks of our making: inside another kernel
//! the broker works on a device (dm-flakey) that at some moment begins to lose all that is written to it and says that
//! all is well. What had been confirmed before that moment must be there when the disk is mounted anew.
//!
//! `HAREMQ_FLAKEY_CYCLES` sets how many times. Needs the packages user-mode-linux, kmod, dmsetup and iproute2, and root.

use haremq_tests::broker::Broker;
use haremq_tests::crew::{Crew, WINDOW};
use haremq_tests::directory::TestDirectory;
use haremq_tests::eventually;
use haremq_tests::kernel::flakey::FlakeyDisk;
use haremq_tests::kernel::guest::{possible, run_inside, Outcome, INSIDE};
use haremq_tests::ledger::Verdict;
use haremq_tests::random::Random;
use haremq_tests::report::Report;
use haremq_tests::requirement::skipped;
use haremq_tests::tokens;
use haremq_tests::traffic::{queue_name, SharedLedger};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::Client;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const CYCLES: &str = "HAREMQ_FLAKEY_CYCLES";
const SEED: &str = "HAREMQ_FLAKEY_SEED";
const DISK_OCTETS: u64 = 128 << 20;
/// Of them nobody reads the last one.
const QUEUES: u32 = 3;
/// So many confirms after the cut are more than can have been on their way before it.
const CONFIRMED_AFTER: u64 = 20 * WINDOW as u64;

fn cycles() -> u32 {
    std::env::var(CYCLES).map_or(3, |text| text.parse().expect("a number of cycles"))
}

/// When the writes began to be lost, by the ledger's clock: after the first of these times and before the second. The
/// third one is when the broker was killed.
struct Cut {
    certain: usize,
    possible: usize,
    end: usize,
}

/// Traffic of all kinds, and a cut in the middle, after `time`.
fn work_and_cut(broker: &mut Broker, disk: &FlakeyDisk, time: Duration) -> (SharedLedger, Cut) {
    let start = Instant::now();
    let now = move || usize::try_from(start.elapsed().as_micros()).expect("a short time");
    let address = broker.amqp();
    let ledger = SharedLedger::with_clock(now);
    let mut crew = Crew::new(QUEUES);
    let cut = std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        crew.work(scope, address, &ledger);
        // The moment is the point: the cut comes in the middle of the work.
        std::thread::sleep(time);
        let certain = now();
        disk.drop_writes();
        let possible = now();
        let before = ledger.lock().verdict().confirmed;
        // What it reads back is not what it has written: it may find that out, and end.
        eventually("the broker goes on with a disk that forgets, or ends", PATIENCE, || {
            let confirmed = ledger.lock().verdict().confirmed;
            (confirmed >= before + CONFIRMED_AFTER || !broker.is_alive()).then_some(())
        });
        let end = now();
        broker.kill9();
        ledger.stop();
        Cut { certain, possible, end }
    });
    (ledger, cut)
}

/// Takes everything that is there.
fn take_all(broker: SocketAddr) -> Vec<(u32, Vec<u8>, bool)> {
    let mut client = Client::login_with_channel(broker);
    let mut taken = Vec::new();
    for queue in 0..QUEUES {
        while let Some(delivery) = client.get(1, &queue_name(queue)) {
            taken.push((queue, delivery.body, delivery.redelivered));
        }
    }
    taken
}

/// What was `taken` at the end, held against what had been confirmed at `certain` and begun at `possible`.
fn judge(
    ledger: &SharedLedger,
    (certain, possible): (usize, usize),
    taken: &[(u32, Vec<u8>, bool)],
) -> Verdict {
    let mut ledger = ledger.lock().as_of_between(certain, possible);
    ledger.drain_begins();
    for (queue, body, redelivered) in taken {
        ledger.delivered(*queue, body, *redelivered);
    }
    ledger.verdict()
}

/// The part of the test that runs inside the other kernel.
fn inside() {
    let mut random = Random::new(Random::seed(SEED));
    let directory = TestDirectory::new();
    let (mut confirmed, mut after) = (0, 0);
    for cycle in 1..=cycles() {
        let disk = FlakeyDisk::format(&directory.path().join("files"));
        let mut broker = Broker::start_with(Crew::setup(&disk.path().join("data")));
        Crew::prepare(broker.amqp(), QUEUES);
        disk.prepare_to_drop_writes();
        let time = Duration::from_millis(200 + random.below(2500));
        let (ledger, cut) = work_and_cut(&mut broker, &disk, time);
        disk.mount_anew();
        broker.start_again();
        let tokens = tokens::count(broker.amqp());
        let taken = take_all(broker.amqp());
        broker.kill9();
        disk.detach();

        let verdict = judge(&ledger, (cut.certain, cut.possible), &taken);
        // The same judge, told that the disk was good to the end: it must find the losses.
        let deceived = judge(&ledger, (cut.end, cut.end), &taken);
        println!(
            "cycle {cycle}: cut after {time:?}, between {} and {} us: {verdict}\n  \
             by what was confirmed until {} us: {} of {} lost",
            cut.certain,
            cut.possible,
            cut.end,
            deceived.lost.len(),
            deceived.confirmed
        );
        verdict.assert_flawless();
        assert!(tokens.is_empty(), "{tokens:?}");
        assert!(!deceived.lost.is_empty(), "a disk that lies must be found out");
        confirmed += verdict.confirmed;
        after += deceived.lost.len();
    }
    println!(
        "{} cycles: 0 lost of {confirmed} confirmed before the cuts; {after} of those confirmed later are seen as lost",
        cycles()
    );
    assert!(confirmed > 100, "too little happened to mean anything");
}

#[test]
fn confirmed_messages_survive_a_device_that_drops_writes_under_another_kernel() {
    const NAME: &str = "confirmed_messages_survive_a_device_that_drops_writes_under_another_kernel";
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if skipped(NAME, possible()) {
        return;
    }
    let mut report = Report::begin("a device that drops writes under another kernel");
    let seed = Random::seed(SEED);
    report.add("seed", seed);
    report.add("cycles", cycles());
    let variables = [(CYCLES, cycles().to_string()), (SEED, seed.to_string())];
    let limit = Duration::from_secs(120) + Duration::from_secs(60) * cycles();
    match run_inside(NAME, DISK_OCTETS, &variables, limit) {
        Outcome::NoKernel(text) => {
            println!("{text}");
            report.add("skipped", true);
            skipped(NAME, Err("the other kernel does not start here".to_string()));
        }
        Outcome::Ended(code, text) => {
            println!("{text}");
            // What it has counted comes out of the other kernel as text alone.
            let summary = text.lines().rfind(|line| line.contains(" cycles: 0 lost of "));
            report.add("summary", summary.map(str::trim));
            assert_eq!(code, Some(0), "the test inside the other kernel has failed");
        }
    }
}
