//! Power cuts: the broker works on a disk that records every write and flush, and what the disk may have held at any
//! moment is put before a new broker. Everything confirmed by then must be there.
//!
//! `HAREMQ_POWER_CUTS` sets how many images are looked at, `HAREMQ_DISK_FORMAT` the file system (ext4, xfs, btrfs).

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::crew::Crew;
use haremq_tests::disk::blocks::Blocks;
use haremq_tests::disk::device::Disk;
use haremq_tests::disk::mount::{possible, FileSystem, Mounted};
use haremq_tests::disk::recording::{Recording, Tear};
use haremq_tests::ledger::{Ledger, Verdict};
use haremq_tests::random::Random;
use haremq_tests::report::Report;
use haremq_tests::requirement::skipped;
use haremq_tests::tokens;
use haremq_tests::traffic::{queue_name, SharedLedger};
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Arguments, Client, Received};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Queues that are published to; messages in the last one expire into `DEAD`.
const QUEUES: u32 = 4;
const EXPIRING: u32 = QUEUES - 1;
const DEAD: &str = "dead";
const WORK: Duration = Duration::from_secs(3);

fn setup(mounted: &Mounted) -> Setup {
    Crew::setup(&mounted.path().join("data"))
}

fn declare_expiring(broker: SocketAddr) {
    let mut client = Client::login_with_channel(broker);
    client.declare_queue(1, DEAD, 2);
    client.declare_expiring_queue(1, &queue_name(EXPIRING), 300, DEAD);
}

/// When a durable queue was there for certain, and when it may have been gone.
#[derive(Debug, Clone, Copy)]
struct Declared {
    from: usize,
    delete_sent: Option<usize>,
    deleted: Option<usize>,
}

/// Declares durable queues and deletes most of them again.
fn declare_and_delete(broker: SocketAddr, disk: &Disk, ledger: &SharedLedger) -> Vec<Declared> {
    let mut client = Client::login_with_channel(broker);
    let mut declared = Vec::new();
    while !ledger.is_stopped() && declared.len() < 300 {
        let name = format!("passing.{}", declared.len());
        client.declare_queue(1, &name, 2);
        let mut queue = Declared { from: disk.recorded(), delete_sent: None, deleted: None };
        if declared.len() % 8 != 0 {
            queue.delete_sent = Some(disk.recorded());
            let delete = Arguments::new().short(0).shortstr(&name).octet(0);
            client.call(1, method::QUEUE_DELETE, &delete, method::QUEUE_DELETE_OK);
            queue.deleted = Some(disk.recorded());
        }
        declared.push(queue);
    }
    declared
}

/// What was recorded, and what was seen from outside meanwhile.
struct Work {
    recording: Recording,
    ledger: SharedLedger,
    declared: Vec<Declared>,
    /// How many were answered.
    transactions: u64,
    /// Octets copied out of sparse segments.
    copied: u64,
    /// When all queues had been declared.
    from: usize,
}

/// A broker at work on a recorded disk.
fn work(report: &mut Report) -> Work {
    let file_system = FileSystem::of_environment();
    let disk = Disk::new(Blocks::new(file_system.disk_octets()));
    file_system.format(&disk, &[]).expect("the disk can be formatted");
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    report.disk(mounted.path());
    disk.record();
    let mut broker = Broker::start_with(setup(&mounted));
    let address = broker.amqp();
    Crew::prepare(address, EXPIRING);
    declare_expiring(address);
    let from = disk.recorded();
    let clock = disk.clone();
    let ledger = SharedLedger::with_clock(move || clock.recorded());
    let mut crew = Crew::new(QUEUES);
    let (declared, transactions) = std::thread::scope(|scope| {
        let _end = ledger.stop_when_dropped();
        let passing_on = crew.work(scope, address, &ledger);
        let declaring = scope.spawn(|| declare_and_delete(address, &disk, &ledger));
        std::thread::sleep(WORK);
        ledger.stop();
        (
            declaring.join().expect("declaring goes well"),
            passing_on.join().expect("transactions go well"),
        )
    });
    let copied = broker.ask("/api/haremq/status")["disk_copied"].as_u64().expect("a number");
    broker.kill9();
    let recording = disk.take_recording();
    drop(mounted);
    Work { recording, ledger, declared, transactions, copied, from }
}

/// Takes all messages there are; waits for missing ones as long as `patience`.
fn drain(broker: SocketAddr, ledger: &mut Ledger, patience: Duration) {
    let mut client = Client::login_with_channel(broker);
    ledger.drain_begins();
    let queues: Vec<String> = (0..QUEUES).map(queue_name).chain([DEAD.to_string()]).collect();
    for queue in &queues {
        // The dead ones last: what dies meanwhile arrives there. Its tag tells a consumer's deliveries apart.
        let consume = Arguments::new().short(0).shortstr(queue).shortstr(queue).octet(2);
        client.method(1, method::BASIC_CONSUME, &consume.empty_table());
    }
    let consumers: BTreeMap<&str, u32> = queues.iter().map(String::as_str).zip(0..).collect();
    let deadline = Instant::now() + patience;
    loop {
        let frame = match client.receive(Duration::from_millis(20)) {
            Received::Frame(frame) => frame,
            Received::Silence if ledger.verdict().lost.is_empty() => return,
            Received::Silence if Instant::now() > deadline => return,
            Received::Silence => continue,
            Received::Closed => panic!("the broker hung up on the drain"),
        };
        match frame.method_id() {
            Some((60, 21)) => {}
            Some(method::BASIC_DELIVER) => {
                let consumer = consumers[frame.arguments().shortstr().as_str()];
                let delivery = client.content(&frame).expect("the connection stays");
                ledger.delivered(consumer, &delivery.body, delivery.redelivered);
            }
            // A queue was not declared yet at the time of the cut.
            other => panic!("the drain got {other:?}: {frame:?}"),
        }
    }
}

/// What a broker made of one image.
#[derive(Debug)]
struct Outcome {
    /// Why it did not start; what it lost, otherwise.
    verdict: Result<Verdict, String>,
    /// Queues that should be there and are not, or the other way round.
    definitions: Vec<String>,
    /// Tokens that a transaction has lost or doubled.
    tokens: Vec<String>,
}

impl Outcome {
    fn is_flawless(&self) -> bool {
        let messages = self.verdict.as_ref().is_ok_and(|verdict| {
            verdict.lost.is_empty()
                && verdict.phantoms.is_empty()
                && verdict.corrupt == 0
                && verdict.out_of_order.is_empty()
                && verdict.zombies.is_empty()
                && verdict.unflagged_duplicates.is_empty()
                && verdict.doubled.is_empty()
        });
        messages && self.definitions.is_empty() && self.tokens.is_empty()
    }
}

/// Starts a broker on `image` and holds it against what was certain at `time`.
fn judge(work: &Work, image: Blocks, time: usize, patience: Duration) -> Outcome {
    let none = Vec::new;
    let refused =
        |text: String| Outcome { verdict: Err(text), definitions: none(), tokens: none() };
    let disk = Disk::new(image);
    let mounted = match Mounted::new(&disk) {
        Ok(mounted) => mounted,
        Err(error) => return refused(error),
    };
    let mut broker = match Broker::try_start_with(setup(&mounted)) {
        Ok(broker) => broker,
        Err(text) => return refused(text),
    };
    let mut ledger = work.ledger.lock().as_of(time);
    let rows = broker.ctl().rows(&["list_queues", "name"]);
    let there: BTreeSet<String> = rows.into_iter().flatten().collect();
    let mut definitions = Vec::new();
    for name in (0..QUEUES).map(queue_name).chain([DEAD.to_string()]) {
        if !there.contains(&name) {
            definitions.push(format!("{name} is missing"));
        }
    }
    for (number, queue) in work.declared.iter().enumerate() {
        let name = format!("passing.{number}");
        let is_there = there.contains(&name);
        let must = queue.from <= time && queue.delete_sent.is_none_or(|sent| sent >= time);
        let must_not = queue.deleted.is_some_and(|deleted| deleted <= time);
        if (must && !is_there) || (must_not && is_there) {
            definitions.push(format!("{name} is there: {is_there}, {queue:?}"));
        }
    }
    if definitions.iter().any(|name| name.starts_with("traffic") || name.starts_with(DEAD)) {
        // Their messages are gone with them.
        return Outcome { verdict: Ok(ledger.verdict()), definitions, tokens: none() };
    }
    let tokens = tokens::count(broker.amqp());
    drain(broker.amqp(), &mut ledger, patience);
    broker.kill9();
    Outcome { verdict: Ok(ledger.verdict()), definitions, tokens }
}

fn cuts() -> u32 {
    std::env::var("HAREMQ_POWER_CUTS").map_or(24, |text| text.parse().expect("a number of cuts"))
}

#[test]
fn confirmed_messages_survive_a_power_cut_at_any_moment() {
    if skipped("confirmed_messages_survive_a_power_cut_at_any_moment", possible()) {
        return;
    }
    let mut report = Report::begin("power cuts");
    let seed = Random::seed("HAREMQ_POWER_SEED");
    report.add("seed", seed);
    let mut random = Random::new(seed);
    let work = work(&mut report);
    let length = work.recording.length();
    println!(
        "{length} requests recorded, {} of them flushes, {} queues declared, {} transactions, {} octets copied",
        work.recording.flushes(),
        work.declared.len(),
        work.transactions,
        work.copied
    );
    // How much is copied depends on how fast the machine is.
    assert!(work.transactions > 0, "too little happened");
    println!("{}", work.ledger.lock().verdict());
    let (mut flawed, mut returned, mut confirmed) = (Vec::new(), 0, 0);
    let start = Instant::now();
    for number in 0..cuts() {
        let cut = work.from + random.below((length - work.from) as u64 + 1) as usize;
        let tear = Tear::ALL[number as usize % Tear::ALL.len()];
        let image = work.recording.image(cut, tear, &mut random);
        let outcome = judge(&work, image, cut, PATIENCE);
        if let Ok(verdict) = &outcome.verdict {
            returned += verdict.returned;
            confirmed += verdict.confirmed;
        }
        if !outcome.is_flawless() {
            println!("cut at {cut}, torn {tear:?}: {outcome:?}");
            flawed.push(cut);
        }
    }
    println!(
        "{} images, {} flawed, {confirmed} confirmed messages looked for, {returned} came back \
         after their ack was sent, {:?} each",
        cuts(),
        flawed.len(),
        start.elapsed() / cuts()
    );
    report.add("requests", length);
    report.add("flushes", work.recording.flushes());
    report.add("transactions", work.transactions);
    report.add("copied_octets", work.copied);
    report.add("images", cuts());
    report.add("flawed", flawed.len());
    report.add("confirmed_looked_for", confirmed);
    report.add("returned", returned);
    report.add("ms_an_image", start.elapsed().as_secs_f64() * 1e3 / f64::from(cuts()));
    assert!(flawed.is_empty(), "flawed at {flawed:?}");
    assert!(work.ledger.lock().verdict().confirmed > 100, "too little happened");

    // The same judge, before a disk that confirmed flushes which it did not carry out: it must find the losses.
    const LIES: u64 = 3;
    let mut seen = 0;
    for lie in 0..LIES {
        let kept = work.from + (length - work.from) / 2 * lie as usize / LIES as usize;
        let image = work.recording.image(kept, Tear::Nothing, &mut random);
        let outcome = judge(&work, image, length, Duration::from_secs(1));
        let verdict = outcome.verdict.as_ref().expect("the broker starts on an old state");
        println!("kept {kept} of {length} requests: {verdict}");
        seen += u64::from(!verdict.lost.is_empty());
    }
    report.add("lies", LIES);
    report.add("lies_seen", seen);
    assert_eq!(seen, LIES, "a disk that lies must be found out");
}
