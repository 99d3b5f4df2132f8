//! `--quarantine-damage`: refused, looked at, put aside, served, clean again.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::damage::{self, check, flip};
use haremq_tests::directory::TestDirectory;
use haremq_tests::disk::blocks::Blocks;
use haremq_tests::disk::device::Disk;
use haremq_tests::disk::mount::{format, possible, Mounted};
use haremq_tests::disk::recording::Tear;
use haremq_tests::random::Random;
use haremq_tests::requirement::skipped;
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{Client, Received};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Of queue.declare.
const DURABLE: u8 = 2;
/// In segments of a megabyte: several, and a part of one.
const COUNT: u64 = 300;
const BODY_BYTES: usize = 10_000;
const QUARANTINE: &str = "--quarantine-damage";

fn mark(number: u64) -> String {
    format!("<the body of message {number:04}>")
}

fn body(number: u64) -> Vec<u8> {
    mark(number).into_bytes().repeat(BODY_BYTES / 30)
}

fn setup() -> Setup {
    Setup::new().arguments(["--segment-bytes", "1048576", "--shards", "1"])
}

/// A broker with several segments of confirmed messages in one queue; stopped.
fn filled() -> Broker {
    let mut broker = damage::filled(setup(), COUNT, body);
    broker.stop();
    broker
}

/// Starts the broker of that directory once more.
fn start(directory: &Path, more: &[&str]) -> Result<Broker, String> {
    let setup = setup().data_directory(directory).arguments(more.iter().copied());
    Broker::try_start_with(setup)
}

/// Flips a bit in the body of that message.
fn damage_body(directory: &Path, number: u64) -> PathBuf {
    let wanted = mark(number).into_bytes();
    for entry in fs::read_dir(directory.join("shard-0")).expect("a shard's directory") {
        let path = entry.expect("an entry").path();
        let octets = fs::read(&path).expect("a segment file");
        let Some(at) = octets.windows(wanted.len()).position(|octets| octets == wanted) else {
            continue;
        };
        flip(&path, at as u64 + 2000);
        return path;
    }
    panic!("message {number} is nowhere");
}

/// Which messages are in which file.
fn messages_by_segment(directory: &Path) -> BTreeMap<PathBuf, BTreeSet<u64>> {
    let mut segments = BTreeMap::new();
    for entry in fs::read_dir(directory.join("shard-0")).expect("a shard's directory") {
        let path = entry.expect("an entry").path();
        let octets = fs::read(&path).expect("a segment file");
        let text = String::from_utf8_lossy(&octets);
        let marks = text.split("<the body of message ").skip(1);
        let numbers = marks.filter_map(|rest| rest.get(..4)?.parse().ok());
        segments.insert(path, numbers.collect());
    }
    segments
}

/// Numbers of the messages that are said to be lost. The queue numbers them from 0 or 1 on, as
/// they were published.
fn lost(text: &str) -> BTreeSet<u64> {
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("LOST message "));
    lines.filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

/// Takes everything out of the queue: the numbers of the messages, which must be in order and as
/// they were.
fn drain(broker: &Broker, expected: usize) -> Vec<u64> {
    let mut client = Client::login_with_channel(broker.amqp());
    client.consume(1, "ledger", "reader");
    let mut numbers = Vec::new();
    while numbers.len() < expected {
        let Received::Frame(deliver) = client.receive(PATIENCE) else { panic!("no more") };
        let delivery = client.content(&deliver).expect("a delivery");
        let text = String::from_utf8_lossy(&delivery.body[21..25]).into_owned();
        let number: u64 = text.parse().expect("a number");
        assert!(delivery.body == body(number), "message {number} has changed");
        numbers.push(number);
        client.ack(1, delivery.tag, false).expect("the broker is there");
    }
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers
}

#[test]
fn damage_is_refused_named_put_aside_and_the_rest_served() {
    let broker = filled();
    let directory = broker.data_directory();
    // One in a segment that is read by its index, one in the newest.
    let old = damage_body(&directory, 30);
    let newest = damage_body(&directory, COUNT - 1);
    assert_ne!(old, newest);
    let segments = messages_by_segment(&directory);

    let text = start(&directory, &[]).expect_err("a damaged log is not served");
    assert!(text.contains("is damaged at octet"), "{text}");
    assert!(text.contains("haremq check") && text.contains(QUARANTINE), "{text}");

    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    for path in [&old, &newest] {
        assert!(text.contains(&format!("DAMAGE in {}", path.display())), "{text}");
    }
    assert!(text.contains(QUARANTINE), "{text}");
    let listed = lost(&text);
    assert!(!listed.is_empty(), "{text}");
    assert_eq!(check(&directory).1, text, "a check changes nothing");

    let mut mended = start(&directory, &[QUARANTINE]).expect("the rest is served");
    let aside = directory.join("quarantine").join("1");
    let report = fs::read_to_string(aside.join("report.txt")).expect("a report");
    assert_eq!(lost(&report), listed, "{report}");
    let kept: Vec<_> = fs::read_dir(&aside).expect("a directory").collect();
    assert!(kept.len() >= 3, "copies of what was damaged, and the report: {kept:?}");
    mended.stop();

    let (code, text) = check(&directory);
    assert_eq!(code, Some(0), "{text}");
    let mut clean = start(&directory, &[]).expect("it starts clean without the flag");
    let left = COUNT as usize - listed.len();
    let numbers = drain(&clean, left);
    let gone: BTreeSet<u64> =
        (1..=COUNT).filter(|number| numbers.binary_search(number).is_err()).collect();
    assert_eq!(gone.len(), listed.len());
    // The queue may number from 0.
    let shift = gone.first().expect("some") - listed.first().expect("some");
    assert_eq!(listed.iter().map(|number| number + shift).collect::<BTreeSet<_>>(), gone);
    assert!(gone.contains(&30) && gone.contains(&(COUNT - 1)), "{gone:?}");
    let (damaged, good): (Vec<_>, Vec<_>) =
        segments.iter().partition(|(path, _)| [&old, &newest].contains(path));
    for (path, messages) in &good {
        assert!(messages.is_disjoint(&gone), "{} was good: {gone:?}", path.display());
    }
    let of_good: usize = good.iter().map(|(_, messages)| messages.len()).sum();
    let of_damaged: usize = damaged.iter().map(|(_, messages)| messages.len()).sum();
    assert!(of_good > 0 && of_good + of_damaged == COUNT as usize, "{segments:?}");
    println!(
        "{} good segments: all {of_good} messages served; {} damaged ones: {} of {of_damaged}",
        good.iter().filter(|(_, messages)| !messages.is_empty()).count(),
        damaged.len(),
        of_damaged - gone.len(),
    );
    clean.stop();
    let mut again = start(&directory, &[QUARANTINE]).expect("there is nothing to put aside");
    assert!(!directory.join("quarantine").join("2").exists(), "nothing was put aside");
    again.stop();
}

/// Bodies of old segments are not read at the start; what is wrong there is found when a message
/// is to be delivered, and would be at every start.
#[test]
fn rot_met_while_serving_is_named_with_its_message_and_does_not_come_back() {
    let broker = filled();
    let directory = broker.data_directory();
    damage_body(&directory, 30);
    let mut broker = start(&directory, &[]).expect("bodies are not read at the start");
    let mut client = Client::login_with_channel(broker.amqp());
    client.consume(1, "ledger", "reader");
    let (status, text) = broker.wait_for_end();
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("of queue ledger in vhost /"), "{text}");
    assert!(text.contains("haremq check") && text.contains(QUARANTINE), "{text}");
    drop(client);

    let mut mended = start(&directory, &[QUARANTINE]).expect("the rest is served");
    let report = directory.join("quarantine").join("1").join("report.txt");
    let listed = lost(&fs::read_to_string(report).expect("a report"));
    let numbers = drain(&mended, COUNT as usize - listed.len());
    assert!(!numbers.contains(&30));
    mended.stop();
}

/// The file with the beginning of everything: users, vhosts and the queue are defined there.
#[test]
fn definitions_that_damage_takes_do_not_take_the_rest() {
    let broker = filled();
    let directory = broker.data_directory();
    let path = directory.join("shard-0").join("00000001.segment");
    let file = OpenOptions::new().write(true).open(&path).expect("it opens");
    // The first blocks behind the header.
    file.write_all_at(&[0x77; 3 * 4096], 4096).expect("it can be written");
    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    let mut broker = start(&directory, &[QUARANTINE]).expect("the rest is served");
    // The index of the segment has them, and messages that were not there are unharmed.
    let numbers = drain(&broker, (COUNT - lost(&text).len() as u64) as usize);
    assert!(!numbers.is_empty());
    broker.stop();
    let mut again = start(&directory, &[]).expect("it starts clean");
    let mut client = Client::login_with_channel(again.amqp());
    assert_eq!(client.declare_queue(1, "ledger", DURABLE), 0);
    drop(client);
    again.stop();
}

/// Everything is in one segment, and no index tells what its first blocks said: what can be told
/// is told, the broker can be logged into, and what it declares from then on lasts.
#[test]
fn a_broker_that_has_lost_its_definitions_starts_with_those_that_it_needs() {
    let mut broker = Broker::start_with(setup());
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "short", DURABLE);
    client.confirm_select(1);
    client.publish(1, "", "short", PERSISTENT, &body(1)).expect("the broker is there");
    client.await_confirms(1, 1);
    drop(client);
    let directory = broker.data_directory();
    broker.stop();
    let path = directory.join("shard-0").join("00000001.segment");
    let file = OpenOptions::new().write(true).open(&path).expect("it opens");
    file.write_all_at(&[0x77; 3 * 4096], 4096).expect("it can be written");
    start(&directory, &[]).expect_err("a damaged log is not served");
    let (code, text) = check(&directory);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no index tells which"), "{text}");
    let mut broker = start(&directory, &[QUARANTINE]).expect("what is left is served");
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, "later", DURABLE);
    drop(client);
    broker.stop();
    let mut again = start(&directory, &[]).expect("it starts clean");
    let mut client = Client::login_with_channel(again.amqp());
    assert_eq!(client.declare_queue(1, "later", DURABLE), 0);
    drop(client);
    again.stop();
}

/// Damages bodies in old segments and in the newest, and the blocks that define everything: their
/// segment's index has it too, until it is made void.
fn damage_much(directory: &Path) {
    for number in [30, 31, 150, COUNT - 1] {
        damage_body(directory, number);
    }
    let path = directory.join("shard-0").join("00000001.segment");
    let file = OpenOptions::new().write(true).open(&path).expect("it opens");
    file.write_all_at(&[0x77; 3 * 4096], 4096).expect("it can be written");
    for entry in fs::read_dir(directory.join("shard-0")).expect("a shard's directory") {
        let file = OpenOptions::new().write(true).open(entry.expect("an entry").path());
        file.and_then(|file| file.sync_all()).expect("it can be synced");
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it can be read") {
        let entry = entry.expect("an entry");
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        match source.is_dir() {
            true => copy_tree(&source, &place),
            false => drop(fs::copy(&source, &place).expect("it can be copied")),
        }
    }
}

/// The list of what is to be written, if it is there.
fn unfinished(directory: &Path) -> Option<PathBuf> {
    let path = directory.join("quarantine").join("1").join("unfinished");
    path.exists().then_some(path)
}

/// Whatever a kill or a power cut has left: without the flag it is refused if it is half-way, and
/// with the flag that is served which the first report does not list. True if it was half-way.
fn finish(directory: &Path, survivors: &[u64], listed: &BTreeSet<u64>, told: &str) -> bool {
    let left = unfinished(directory);
    if let Some(list) = &left {
        let text = start(directory, &[]).expect_err("it is half-way");
        assert!(text.contains(&list.display().to_string()), "{told}: {text}");
        assert!(text.contains("start with --quarantine-damage again"), "{told}: {text}");
        assert_eq!(check(directory).0, Some(1), "{told}");
    }
    let mut broker =
        start(directory, &[QUARANTINE]).unwrap_or_else(|text| panic!("{told}: {text}"));
    assert_eq!(drain(&broker, survivors.len()), survivors, "{told}");
    broker.stop();
    assert_eq!(unfinished(directory), None, "{told}");
    let mut reports: Vec<PathBuf> = (1..4)
        .map(|number| directory.join(format!("quarantine/{number}/report.txt")))
        .filter(|path| path.exists())
        .collect();
    let report = reports.pop().unwrap_or_else(|| panic!("{told}: there is no report"));
    let report = fs::read_to_string(report).expect("a report");
    assert_eq!(lost(&report), *listed, "{told}: {report}");
    let mut clean = start(directory, &[]).unwrap_or_else(|text| panic!("{told}: {text}"));
    clean.stop();
    left.is_some()
}

/// What an undisturbed quarantine of a copy leaves, and what it lists.
fn undisturbed(directory: &Path) -> (Vec<u64>, BTreeSet<u64>) {
    let home = TestDirectory::new();
    let copy = home.path().join("data");
    copy_tree(directory, &copy);
    let listed = lost(&check(&copy).1);
    let mut broker = start(&copy, &[QUARANTINE]).expect("the rest is served");
    let survivors = drain(&broker, COUNT as usize - listed.len());
    broker.stop();
    (survivors, listed)
}

#[test]
fn a_quarantine_that_is_killed_is_finished_as_it_was_begun() {
    let broker = filled();
    let directory = broker.data_directory();
    damage_much(&directory);
    let (survivors, listed) = undisturbed(&directory);
    assert!(listed.len() >= 4, "{listed:?}");
    let (mut half_way, mut attempts) = (0, 0);
    // Early and late ones: when the first copies are there, when it is decided what to write, and
    // some looks at the directory later.
    while attempts < 10 || (half_way == 0 && attempts < 60) {
        let home = TestDirectory::new();
        let copy = home.path().join("data");
        copy_tree(&directory, &copy);
        let begun = match attempts % 5 {
            0 => "quarantine",
            1 => "quarantine/1/report.txt",
            _ => "quarantine/1/unfinished",
        };
        let mut looks = 5 * (attempts / 5);
        let mark = copy.join(begun);
        let mut killed = Broker::not_started(setup().data_directory(&copy).arguments([QUARANTINE]));
        killed.start_and_kill9_when(|| {
            looks -= i32::from(mark.exists());
            looks < 0
        });
        half_way += i32::from(finish(&copy, &survivors, &listed, &format!("attempt {attempts}")));
        attempts += 1;
    }
    println!("{half_way} of {attempts} were half-way");
    assert!(half_way > 0, "no kill came while it was half-way");
}

#[test]
fn a_quarantine_that_loses_power_is_finished_as_it_was_begun() {
    if skipped("a_quarantine_that_loses_power_is_finished_as_it_was_begun", possible()) {
        return;
    }
    let disk = Disk::new(Blocks::new(64 << 20));
    format(&disk, &[]).expect("the disk can be formatted");
    let mounted = Mounted::new(&disk).expect("the disk can be mounted");
    let directory = mounted.path().join("data");
    let roomy = ["--disk-free-limit", "1000000"];
    let mut broker =
        damage::filled(setup().arguments(roomy).data_directory(&directory), COUNT, body);
    broker.stop();
    damage_much(&directory);
    let (survivors, listed) = undisturbed(&directory);
    drop(mounted);
    let mounted = Mounted::new(&disk).expect("the disk can be mounted again");
    let directory = mounted.path().join("data");
    disk.record();
    let setup = setup().data_directory(&directory).arguments([QUARANTINE]);
    Broker::not_started(setup).start_and_kill9_when(|| false);
    drop(mounted);
    let recording = disk.take_recording();
    let mut random = Random::new(Random::seed("HAREMQ_POWER_SEED"));
    let (mut half_way, mut cuts) = (0, 0);
    while cuts < 12 || (half_way == 0 && cuts < 60) {
        let cut = random.below(recording.length() as u64 + 1) as usize;
        let tear = Tear::ALL[cuts % Tear::ALL.len()];
        let disk = Disk::new(recording.image(cut, tear, &mut random));
        let mounted = Mounted::new(&disk).expect("the disk can be mounted");
        let directory = mounted.path().join("data");
        let told = format!("cut at {cut} of {}, torn {tear:?}", recording.length());
        half_way += u32::from(finish(&directory, &survivors, &listed, &told));
        cuts += 1;
    }
    println!("{half_way} of {cuts} were half-way");
    assert!(half_way > 0, "no cut came while it was half-way");
}
