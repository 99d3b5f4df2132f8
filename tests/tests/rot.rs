//! Damage at random places of a log in large segments: bits that flip, sectors and stretches that are cleared, pages that
//! change places, pages as they were before their file was used again, files that are cut short. `haremq check` names it, or
//! it is harmless; nothing is ever delivered that was not published. One thing is promised to be neither: a newest segment
//! that is cut off is a log that ended earlier.
//!
//! `HAREMQ_DAMAGES` sets how many, `HAREMQ_DAMAGE_SEED` which.

use haremq_tests::broker::{Broker, Setup};
use haremq_tests::damage::check;
use haremq_tests::directory::TestDirectory;
use haremq_tests::ledger::MessageId;
use haremq_tests::random::Random;
use haremq_tests::report::Report;
use haremq_tests::traffic::PERSISTENT;
use haremq_tests::wire::client::PATIENCE;
use haremq_tests::wire::{method, Client, Received};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const QUEUE: &str = "ledger";
const DURABLE: u8 = 2;
const PASSIVE: u8 = 1;
const SEGMENT_BYTES: u64 = 8 << 20;
const MESSAGES: u64 = 3000;
const PAGE: u64 = 4096;
/// Of so many found damages, a broker is started on one.
const SERVED_EVERY: u64 = 10;

fn setup(directory: &Path) -> Setup {
    let segment_bytes = SEGMENT_BYTES.to_string();
    let arguments = ["--shards", "1", "--segment-bytes", &segment_bytes];
    Setup::new().arguments(arguments).data_directory(directory)
}

fn message(generation: u32, number: u64) -> Vec<u8> {
    let length = if number.is_multiple_of(9) { 30_000 } else { 40 + number * 37 % 1500 };
    let id = MessageId { queue: 0, publisher: generation, number };
    id.body(usize::try_from(length).expect("small"))
}

fn publish(client: &mut Client, generation: u32, confirmed_before: u64) {
    for number in 1..=MESSAGES {
        let body = message(generation, number);
        client.publish(1, "", QUEUE, PERSISTENT, &body).expect("octets are taken");
        if number % 100 == 0 {
            let last = confirmed_before + number;
            while client.expect(1, method::BASIC_ACK).arguments().longlong() < last {}
        }
    }
}

/// The files of the log, by path.
fn segments(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(directory.join("shard-0")).expect("a shard's directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "segment"));
    paths.map(|path| (path.clone(), fs::read(&path).expect("a segment file"))).collect()
}

/// A log that was written twice into the same files: what it held first has been taken out.
struct Log {
    directory: PathBuf,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// What the files held before they were used again.
    stale: Vec<Vec<u8>>,
}

fn written(directory: &Path) -> Log {
    let mut broker = Broker::start_with(setup(directory));
    let mut client = Client::login_with_channel(broker.amqp());
    client.declare_queue(1, QUEUE, DURABLE);
    client.confirm_select(1);
    publish(&mut client, 1, 0);
    let stale = segments(directory).into_values().collect();
    while client.get(1, QUEUE).is_some() {}
    publish(&mut client, 0, MESSAGES);
    broker.stop();
    Log { directory: directory.to_path_buf(), files: segments(directory), stale }
}

const KINDS: [&str; 7] = [
    "a flipped bit",
    "a cleared sector",
    "a cleared stretch",
    "two pages swapped",
    "a page from elsewhere",
    "a page as it was before",
    "a file cut short",
];

/// What is to be in some files instead.
type Damage = Vec<(PathBuf, Vec<u8>)>;

impl Log {
    /// A random file, and a random place in it for so many octets.
    fn place(&self, random: &mut Random, unit: u64, octets: u64) -> (&PathBuf, &Vec<u8>, usize) {
        let which = random.below(self.files.len() as u64) as usize;
        let (path, content) = self.files.iter().nth(which).expect("one of them");
        let places = (content.len() as u64 - octets) / unit + 1;
        (path, content, (random.below(places) * unit) as usize)
    }

    /// Damage of that kind that changes something.
    fn damage(&self, kind: usize, random: &mut Random) -> Damage {
        let page = PAGE as usize;
        loop {
            let sector_or_page = if kind == 1 { 512 } else { PAGE };
            let (path, content, at) = match kind {
                0 => self.place(random, 1, 1),
                2 => self.place(random, PAGE, 16 * PAGE),
                _ => self.place(random, sector_or_page, sector_or_page),
            };
            let mut damaged = content.clone();
            match kind {
                0 => damaged[at] ^= 1 << random.below(8),
                1 => damaged[at..at + 512].fill(0),
                2 => damaged[at..at + 16 * page].fill(0),
                3 | 4 => {
                    let (other, from, there) = self.place(random, PAGE, PAGE);
                    damaged[at..at + page].copy_from_slice(&from[there..there + page]);
                    if kind == 3 && other == path {
                        damaged[there..there + page].copy_from_slice(&content[at..at + page]);
                    } else if kind == 3 {
                        let mut second = from.clone();
                        second[there..there + page].copy_from_slice(&content[at..at + page]);
                        if second != *from {
                            return vec![(path.clone(), damaged), (other.clone(), second)];
                        }
                    }
                }
                5 => {
                    let which = random.below(self.stale.len() as u64) as usize;
                    let before = &self.stale[which][at..at + page];
                    damaged[at..at + page].copy_from_slice(before);
                }
                _ => damaged.truncate(at),
            }
            if damaged != *content {
                return vec![(path.clone(), damaged)];
            }
        }
    }

    /// Writes what differs from the good files, or that back.
    fn put(&self, damage: &Damage, back: bool) {
        for (path, damaged) in damage {
            let good = &self.files[path];
            let new = if back { good } else { damaged };
            let old = if back { damaged } else { good };
            let file = OpenOptions::new().write(true).open(path).expect("it opens");
            file.set_len(new.len() as u64).expect("its length can be set");
            let pages = new.chunks(PAGE as usize).zip((0..).step_by(PAGE as usize));
            for (octets, at) in pages {
                if old.get(at..at + octets.len()) != Some(octets) {
                    file.write_all_at(octets, at as u64).expect("it can be written");
                }
            }
        }
    }
}

/// Copies a data directory.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory can be made");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(&source, &target).expect("a file can be copied");
        }
    }
}

/// What a broker makes of a copy of the directory.
#[derive(Debug, PartialEq, Eq)]
enum Service {
    Refused,
    /// It has delivered so many messages and then ended.
    Ended(u64),
    /// It says that there are so many messages, and delivered them.
    Fewer(u64),
    All,
}

/// Starts a broker on a copy and takes what it delivers: the right messages, in order, and no others.
fn serve(directory: &Path) -> Service {
    let scratch = TestDirectory::new();
    let data = scratch.path().join("data");
    copy(directory, &data);
    let Ok(mut broker) = Broker::try_start_with(setup(&data)) else { return Service::Refused };
    let mut client = Client::login_with_channel(broker.amqp());
    let there = u64::from(client.declare_queue(1, QUEUE, PASSIVE));
    client.consume(1, QUEUE, "reader");
    for number in 1..=there {
        let delivery = match client.receive(PATIENCE) {
            Received::Frame(frame) if frame.method_id() == Some(method::BASIC_DELIVER) => {
                client.content(&frame)
            }
            Received::Frame(frame) => panic!("message {number}: {frame:?}"),
            Received::Silence => panic!("message {number} is missing, and nobody says so"),
            Received::Closed => None,
        };
        let Some(delivery) = delivery else {
            let (status, text) = broker.wait_for_end();
            assert!(!status.success() && text.contains("is damaged at octet"), "{text}");
            return Service::Ended(number - 1);
        };
        assert!(delivery.body == message(0, number), "message {number} is another one");
    }
    if there < MESSAGES {
        return Service::Fewer(there);
    }
    Service::All
}

#[test]
fn damage_at_any_place_of_large_segments_is_found_or_harmless() {
    let count: u64 = std::env::var("HAREMQ_DAMAGES")
        .map_or(14, |text| text.parse().expect("a number of damages"));
    let mut report = Report::begin("rot at random places");
    let seed = Random::seed("HAREMQ_DAMAGE_SEED");
    report.add("seed", seed);
    let mut random = Random::new(seed);
    let directory = TestDirectory::new();
    let log = written(&directory.path().join("data"));
    let octets: usize = log.files.values().map(Vec::len).sum();
    println!("{} files, {octets} octets", log.files.len());
    assert!(log.files.len() >= 3, "the log fits too few segments");
    assert_eq!(check(&log.directory).0, Some(0), "a good log is good");
    assert_eq!(serve(&log.directory), Service::All, "and served");
    // By kind: found, harmless.
    let mut seen = [[0_u64; 2]; KINDS.len()];
    // What a broker did on damage that is found: refused, ended later, delivered all the same.
    let mut served = [0_u64; 3];
    // Newest segments that were cut off.
    let mut shortened = Vec::new();
    for number in 0..count {
        let kind = number as usize % KINDS.len();
        let damage = log.damage(kind, &mut random);
        log.put(&damage, false);
        let (code, text) = check(&log.directory);
        let is_found = match code {
            Some(0) => false,
            Some(1) => true,
            other => panic!("the check of {} ended with {other:?}: {text}", KINDS[kind]),
        };
        seen[kind][usize::from(!is_found)] += 1;
        if is_found {
            // A file that is cut off within its header is named by its number.
            let number = |path: &Path| path.file_stem()?.to_str()?.parse::<u64>().ok();
            let names = |(path, _): &(PathBuf, Vec<u8>)| {
                let number = number(path).map(|number| format!("segment file {number} is"));
                text.contains(&path.display().to_string())
                    || number.is_some_and(|number| text.contains(&number))
            };
            assert!(damage.iter().any(names), "{}: another file is named: {text}", KINDS[kind]);
        }
        if !is_found || number % SERVED_EVERY == 0 {
            let service = serve(&log.directory);
            if let (false, Service::Fewer(there)) = (is_found, &service) {
                println!("{number} {}: {there} messages are left", damage[0].0.display());
                assert_eq!(KINDS[kind], "a file cut short", "it was not found: {text}");
                shortened.push(damage[0].0.clone());
            } else if !is_found {
                assert_eq!(service, Service::All, "{} was not found: {text}", KINDS[kind]);
            }
            if is_found {
                served[match service {
                    Service::Refused => 0,
                    Service::Ended(_) => 1,
                    Service::All => 2,
                    Service::Fewer(there) => panic!("{there} messages are served, but: {text}"),
                }] += 1;
            }
        }
        log.put(&damage, true);
    }
    let good = log.files.iter().all(|(path, octets)| fs::read(path).expect("a file") == *octets);
    assert!(good, "the damage was not undone");
    assert_eq!(check(&log.directory).0, Some(0));
    for (kind, [found, harmless]) in KINDS.iter().zip(seen) {
        println!("{kind}: {found} found, {harmless} harmless");
    }
    let found: u64 = seen.iter().map(|[found, _]| found).sum();
    println!(
        "{count} damages: {found} found, {} harmless, {} times the newest segment was cut off; of {} found ones that a broker \
         was started on it refused {}, ended at {} and delivered everything in spite of {}",
        count - found - shortened.len() as u64,
        shortened.len(),
        served.iter().sum::<u64>(),
        served[0],
        served[1],
        served[2]
    );
    for (name, count) in [
        ("damages", count),
        ("found", found),
        ("harmless", count - found - shortened.len() as u64),
        ("newest_cut_off", shortened.len() as u64),
        ("served_refused", served[0]),
        ("served_ended", served[1]),
        ("served_all", served[2]),
        ("wrong_deliveries", 0),
    ] {
        report.add(name, count);
    }
    assert!(
        shortened.iter().all(|path| *path == shortened[0]),
        "more than the newest: {shortened:?}"
    );
    assert!(found > count / 3, "too little damage was any");
}
