//! The power goes while damage is being put aside, at each change of the disk: the next start finds
//! the logs as they were, or makes them what they were to become, octet by octet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use haremq_engine::log::{Damage, FileId, Mended, Patch};

use super::quarantine::{begin, finish};
use super::simulated::{Kept, SimulatedDisk};
use crate::runtime::StartError;

const ROOT: &str = "/data";
const SEGMENT_BYTES: u64 = 65_536;

fn octets(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31) ^ ((at >> 8) as u8) ^ seed).collect()
}

fn patch(file: u32, page: u64, pages: usize) -> Patch {
    Patch { file: FileId(file), offset: page * 4096, octets: octets(0x55, pages * 4096) }
}

/// What a shard has suffered: pages here and there, a file that is gone and one that was cut off.
fn mended() -> Mended {
    let damage = Damage {
        file: FileId(1),
        segment: 0,
        offset: 8192,
        octets: 12_288,
        what: "the checksum",
        references: Some(3),
        is_indexed: true,
        named: 0,
    };
    Mended {
        damages: vec![damage],
        lost: Vec::new(),
        headless: Vec::new(),
        patches: vec![patch(1, 2, 1), patch(1, 9, 2), patch(2, 0, 3), patch(3, 1, 4)],
        segment_bytes: SEGMENT_BYTES,
        segments: 3,
        blocks: 10,
        octets: 100_000,
        torn_octets: 0,
    }
}

fn damaged() -> SimulatedDisk {
    let disk = SimulatedDisk::default();
    for shard in 0..2 {
        let path = |file: u32| Path::new(ROOT).join(format!("shard-{shard}/{file:08}.segment"));
        disk.put(&path(1), &octets(shard, SEGMENT_BYTES as usize));
        disk.put(&path(3), &octets(shard + 7, 9000));
        disk.put(&path(4), &octets(shard + 9, SEGMENT_BYTES as usize));
    }
    for directory in ["", "shard-0", "shard-1"] {
        use super::disk::Disk;
        disk.make_directory(&Path::new(ROOT).join(directory)).expect("it is new");
    }
    disk.restart(Kept::All)
}

fn put_aside(disk: &SimulatedDisk, lacks_definitions: bool) -> Result<PathBuf, StartError> {
    let mended = mended();
    begin(disk, Path::new(ROOT), &[(0, &mended), (1, &mended)], b"what is lost", lacks_definitions)
}

fn shards(disk: &SimulatedDisk) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = disk.files(&Path::new(ROOT).join("shard-0"));
    files.extend(disk.files(&Path::new(ROOT).join("shard-1")));
    files
}

fn has(disk: &SimulatedDisk, name: &str) -> bool {
    let path = Path::new(ROOT).join("quarantine/1").join(name);
    disk.files(Path::new(ROOT)).contains_key(&path)
}

const KEPT: [Kept; 8] = [
    Kept::Nothing,
    Kept::All,
    Kept::Some(1),
    Kept::Some(2),
    Kept::Some(3),
    Kept::Some(4),
    Kept::Some(5),
    Kept::Some(6),
];

/// The files before and after a quarantine that nothing disturbs.
struct Files {
    before: BTreeMap<PathBuf, Vec<u8>>,
    whole: BTreeMap<PathBuf, Vec<u8>>,
    /// How many changes that takes.
    changes: usize,
}

fn undisturbed(lacks_definitions: bool) -> Files {
    let disk = damaged();
    let before = shards(&disk);
    put_aside(&disk, lacks_definitions).expect("the power stays");
    Files { before, whole: shards(&disk), changes: disk.changes() }
}

/// Whatever the power leaves: all as it was and nothing decided, or decided and to be finished, or
/// done. How many were half-way.
fn judge(disk: &SimulatedDisk, files: &Files, lacks_definitions: bool, told: &str) -> usize {
    let Files { before, whole, .. } = files;
    let is_unfinished = has(disk, "unfinished");
    if !is_unfinished {
        let there = shards(disk);
        assert!(there == *before || there == *whole, "{told}: half-way, and nothing says so");
        assert!(there == *before || has(disk, "report.txt"), "{told}: no report");
        let is_told = has(disk, "definitions-lost");
        assert_eq!(is_told, lacks_definitions && there == *whole && there != *before, "{told}");
        return 0;
    }
    // Copies and report are there before anything is written over.
    assert!(has(disk, "report.txt"), "{told}");
    for (path, octets) in before {
        let name = path.strip_prefix(ROOT).expect("below it").to_string_lossy().replace('/', "-");
        if name.ends_with("00000001.segment") {
            let copy = Path::new(ROOT).join(format!("quarantine/1/{name}-at-8192"));
            let kept = disk.files(Path::new(ROOT)).remove(&copy);
            assert_eq!(kept.as_deref(), octets.get(8192..20_480), "{told}: {}", copy.display());
        }
    }
    let finished = finish(disk, Path::new(ROOT)).unwrap_or_else(|error| panic!("{told}: {error}"));
    assert_eq!(finished, [Path::new(ROOT).join("quarantine/1")], "{told}");
    assert!(shards(disk) == *whole, "{told}: not what it was to become");
    assert_eq!(has(disk, "definitions-lost"), lacks_definitions, "{told}");
    assert!(!has(disk, "unfinished"), "{told}");
    let again = finish(disk, Path::new(ROOT)).unwrap_or_else(|error| panic!("{told}: {error}"));
    assert!(again.is_empty(), "{told}: finished twice");
    1
}

#[test]
fn a_quarantine_that_loses_power_at_any_change_is_finished_as_it_was_begun() {
    let (mut half_way, mut cuts) = (0, 0);
    for lacks_definitions in [false, true] {
        let files = undisturbed(lacks_definitions);
        for change in 0..=files.changes {
            let disk = damaged();
            disk.lose_power_at(change);
            let is_done = put_aside(&disk, lacks_definitions).is_ok();
            assert_eq!(is_done, change == files.changes);
            for kept in KEPT {
                let told = format!("change {change}, {kept:?}");
                half_way += judge(&disk.restart(kept), &files, lacks_definitions, &told);
                cuts += 1;
            }
        }
    }
    assert!(half_way > 100 && cuts > half_way, "{half_way} of {cuts}");
}

/// And so is the start that finishes it.
#[test]
fn a_quarantine_that_loses_power_again_and_again_is_finished_as_it_was_begun() {
    let files = undisturbed(true);
    let mut half_way = 0;
    for first in 0..files.changes {
        let broken_off = damaged();
        broken_off.lose_power_at(first);
        put_aside(&broken_off, true).expect_err("the power goes");
        for second in (first % 2..files.changes).step_by(2) {
            let disk = broken_off.restart(Kept::Some((first * 100 + second) as u64));
            if !has(&disk, "unfinished") {
                continue;
            }
            disk.lose_power_at(second);
            let is_done = finish(&disk, Path::new(ROOT)).is_ok();
            let disk = disk.restart(Kept::Some((second * 100 + first) as u64));
            half_way += judge(&disk, &files, true, &format!("changes {first} and then {second}"));
            if is_done {
                break;
            }
        }
    }
    assert!(half_way > 50, "{half_way}");
}

/// Files from a backup are not written over.
#[test]
fn what_is_to_be_finished_is_not_done_to_other_files() {
    let disk = damaged();
    let changes = undisturbed(false).changes;
    // Before the list is taken away.
    disk.lose_power_at(changes - 2);
    put_aside(&disk, false).expect_err("the power goes");
    let disk = disk.restart(Kept::Nothing);
    assert!(has(&disk, "unfinished"));
    disk.put(&Path::new(ROOT).join("shard-1/00000003.segment"), &octets(1, SEGMENT_BYTES as usize));
    let there = shards(&disk);
    let refused = finish(&disk, Path::new(ROOT)).expect_err("they are others");
    assert!(matches!(refused, StartError::QuarantineOvertaken { .. }), "{refused}");
    assert_eq!(shards(&disk), there, "nothing was changed");
    let list = Path::new(ROOT).join("quarantine/1/unfinished");
    disk.put(&list, b"HareMQ mending 1");
    let refused = finish(&disk, Path::new(ROOT)).expect_err("the list is cut off");
    assert!(matches!(refused, StartError::QuarantineLost { .. }), "{refused}");
}
