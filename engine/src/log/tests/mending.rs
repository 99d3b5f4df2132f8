//! Mending: whatever is damaged, the rest is served, and what is not is listed.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::damage::{aged, blocks, sealed, write_out};
use super::disk::{Disk, Vectors};
use super::world::{read_back, Held, World};
use super::{roomy, tiny};
use crate::ids::{QueueId, Seq};
use crate::log::format::{BLOCK_HEADER_BYTES, PAGE_BYTES};
use crate::log::{mend, FileId, LogError, MendError, Mended, Octets, Recovery, RecoveryRead};

const Q: QueueId = QueueId(1);
const R: QueueId = QueueId(2);

pub(super) type Key = (QueueId, Seq);

struct Shelf<'d>(&'d Disk);

impl Octets for Shelf<'_> {
    type Error = Infallible;
    fn read(&mut self, read: RecoveryRead) -> Result<Vec<u8>, Infallible> {
        Ok(self.0.read_for(read).to_vec())
    }
}

pub(super) fn mended(world: &World) -> Result<Mended, LogError> {
    let mut shelf = Shelf(&world.disk);
    mend(&world.config, &world.disk.listing(), &mut shelf, &mut |_| ()).map_err(|error| match error
    {
        MendError::Log(error) => error,
        MendError::Read(never) => match never {},
    })
}

/// Writes what mends the log, as a broker would.
pub(super) fn patch(disk: &mut Disk, mended: &Mended) {
    for patch in &mended.patches {
        let file = disk.files.entry(patch.file.0).or_default();
        let bytes = file.len().max(mended.segment_bytes as usize);
        file.resize(bytes, 0);
        file[patch.offset as usize..patch.end() as usize].copy_from_slice(&patch.octets);
    }
}

pub(super) fn keys(mended: &Mended) -> Vec<Key> {
    mended.lost.iter().map(|lost| (lost.queue, lost.seq)).collect()
}

/// What is there after a start, and whether each message can be read.
pub(super) fn start(world: &mut World, is_mended: bool) -> Result<Vec<Key>, LogError> {
    let mut recovery = Recovery::new(world.config.clone(), Vectors, world.disk.listing());
    let seen = read_back(&mut recovery, &world.disk)?;
    if is_mended {
        let in_full = Recovery::new(world.config.clone(), Vectors, world.disk.listing());
        let all = read_back(&mut in_full.in_full(), &world.disk)?;
        assert_eq!(seen, all, "an index tells of something else than its segment");
    }
    for (address, length, reference, _) in seen.values() {
        recovery.keep(*address, *length, *reference);
    }
    world.log = recovery.finish(world.now)?;
    world.under_way.clear();
    let there: Vec<Key> = seen.keys().copied().collect();
    world.held.retain(|key, _| seen.contains_key(key));
    for (key, held) in &mut world.held {
        (held.address, held.length, held.reference) = (seen[key].0, seen[key].1, seen[key].2);
        held.settled = None;
        let payload = seen[key].3.as_ref();
        assert!(payload.is_none_or(|payload| *payload == held.body.octets()), "{key:?} changed");
    }
    Ok(there)
}

pub(super) fn stop(world: &mut World) {
    world.log.stop();
    world.settle_down();
}

/// The report says that the message is gone, or that it may be.
pub(super) fn is_listed(mended: &Mended, key: &Key, held: &Held) -> bool {
    let at = held.address.block().0;
    mended.lost.iter().any(|lost| (lost.queue, lost.seq) == *key)
        || mended.headless.iter().any(|headless| headless.address == held.address)
        || mended.damages.iter().any(|damage| {
            let start = u64::from(damage.segment) * mended.segment_bytes + damage.offset;
            let is_vague = !damage.is_indexed && damage.references != Some(0);
            is_vague && (start..start + damage.octets).contains(&at)
        })
}

/// How a damaged log fares: what was confirmed is there as it was, or listed.
#[derive(Debug, Default)]
struct Tally {
    harmless: usize,
    refused: usize,
    late: usize,
    /// Messages that are listed as lost, by an undamaged record or by the damaged octets.
    certain: usize,
    doubtful: usize,
}

fn survive(world: &mut World, held: &BTreeMap<Key, Held>, told: &str, tally: &mut Tally) {
    world.held.clone_from(held);
    let normal = start(world, false);
    let is_sound = normal.is_ok() && world.is_intact();
    let mended = mended(world).unwrap_or_else(|error| panic!("{told}: not mended: {error}"));
    match (&normal, is_sound) {
        (Err(_), _) => tally.refused += 1,
        (Ok(_), false) => tally.late += 1,
        (Ok(_), true) => tally.harmless += 1,
    }
    let is_damaged = !mended.damages.is_empty();
    assert!(is_damaged || is_sound, "{told}: {normal:?} and no damage is named");
    assert!(is_damaged || (mended.patches.is_empty() && mended.lost.is_empty()), "{told}");
    patch(&mut world.disk, &mended);
    world.held.clone_from(held);
    let there = start(world, true).unwrap_or_else(|error| panic!("{told}: still refused: {error}"));
    assert!(world.is_intact(), "{told}: a message cannot be read");
    let unsettled = held.iter().filter(|(_, held)| held.settled.is_none());
    for (key, held) in unsettled {
        let at = held.address.block().0;
        let is_listed = is_listed(&mended, key, held);
        let is_there = there.contains(key);
        assert!(is_there || is_listed, "{told}: {key:?} at {at} is gone without a word");
    }
    for lost in &mended.lost {
        let key = (lost.queue, lost.seq);
        match lost.is_certain {
            true => {
                assert!(!there.contains(&key), "{told}: {key:?} is listed and served");
                // An ack that was lost with the damage is not known of.
                let is_held = held.get(&key).is_some_and(|held| {
                    held.settled.is_none_or(|end| {
                        mended.damages.iter().any(|damage| {
                            let start =
                                u64::from(damage.segment) * mended.segment_bytes + damage.offset;
                            (start..start + damage.octets).contains(&(end.0 - 1))
                        })
                    })
                });
                assert!(
                    is_held,
                    "{told}: {key:?} is listed and was settled: {:?} {:?}",
                    held.get(&key),
                    mended.damages
                );
                tally.certain += 1;
            }
            false => tally.doubtful += 1,
        }
    }
    let again = self::mended(world).expect("it has been mended");
    assert!(again.damages.is_empty() && again.patches.is_empty(), "{told}: {:?}", again.damages);
}

/// Flips bits one after the other, after a clean stop: everything was promised.
fn flip(world: &mut World, stride: usize) -> Tally {
    stop(world);
    let (sound, held) = (world.disk.clone(), world.held.clone());
    let mut tally = Tally::default();
    for (file, octets) in &sound.files {
        let mut at = 0;
        while at < octets.len() {
            let bit = 1 << ((at / 3) % 8);
            world.disk.files.clone_from(&sound.files);
            world.disk.files.get_mut(file).expect("listed")[at] ^= bit;
            survive(world, &held, &format!("file {file}, octet {at}"), &mut tally);
            let is_dense = at % PAGE_BYTES < BLOCK_HEADER_BYTES && octets[at] != 0;
            at += if is_dense { 3 } else { stride };
        }
    }
    tally
}

#[test]
fn whatever_bit_flips_the_rest_is_served_and_what_is_gone_is_listed() {
    let tally = flip(&mut aged(3), 379);
    assert!(tally.refused > 10 && tally.late > 50 && tally.doubtful > 0, "{tally:?}");
}

#[test]
fn what_a_sealed_segment_has_lost_is_listed_without_doubt() {
    let tally = flip(&mut sealed(), 379);
    assert!(tally.late > 50 && tally.certain > 50, "{tally:?}");
}

/// Long messages, whose parts lie in several segments.
pub(super) fn parted() -> World {
    let mut world = World::new(tiny(), 5);
    for _ in 0..4 {
        world.append(&[Q, R], 60_000);
        world.append(&[R], 700);
        world.settle_down();
    }
    let last = world.append(&[Q], 60_000)[0];
    world.define(100);
    world.settle(last);
    world.settle_down();
    world
}

/// A page that is another one: each in turn.
#[test]
fn whatever_page_is_wiped_the_rest_is_served_and_what_is_gone_is_listed() {
    for mut world in [aged(3), sealed(), parted()] {
        stop(&mut world);
        let (sound, held) = (world.disk.clone(), world.held.clone());
        let mut tally = Tally::default();
        for (file, octets) in &sound.files {
            for at in (0..octets.len()).step_by(PAGE_BYTES) {
                world.disk.files.clone_from(&sound.files);
                world.disk.files.get_mut(file).expect("listed")[at..at + PAGE_BYTES].fill(0xa5);
                survive(&mut world, &held, &format!("file {file}, page at {at}"), &mut tally);
            }
        }
        assert!(tally.refused > 5 && tally.harmless > 5, "{tally:?}");
    }
}

#[test]
fn whatever_file_is_lost_or_cut_off_the_rest_is_served_and_what_is_gone_is_listed() {
    for mut world in [aged(3), sealed(), parted()] {
        stop(&mut world);
        let (sound, held) = (world.disk.clone(), world.held.clone());
        let newest = world.log.segments.tail().file.0;
        let mut tally = Tally::default();
        for file in sound.files.keys() {
            for left in [0, 1000, 9000, 40_000] {
                world.disk.files.clone_from(&sound.files);
                match left {
                    // Nothing tells of the newest segment but its file.
                    0 if *file == newest => continue,
                    0 => drop(world.disk.files.remove(file)),
                    _ if *file == newest => continue,
                    _ => world.disk.files.get_mut(file).expect("listed").truncate(left),
                }
                survive(&mut world, &held, &format!("file {file}, {left} left"), &mut tally);
            }
        }
        assert!(tally.refused + tally.late > 0, "{tally:?}");
    }
}

/// Several places at once, of all sizes.
#[test]
fn much_damage_at_once_leaves_the_rest() {
    let mut tally = Tally::default();
    for seed in 0..40 {
        let mut world = [aged, |_| sealed(), |_| parted()][seed % 3](3);
        stop(&mut world);
        let held = world.held.clone();
        for _ in 0..1 + world.random.below(4) {
            let which = world.random.below(world.disk.files.len());
            let octets = world.disk.files.values_mut().nth(which).expect("a file");
            let at = world.random.below(octets.len());
            let end = (at + 1 + world.random.below(6000)).min(octets.len());
            octets[at..end].iter_mut().for_each(|octet| *octet ^= 0x5a);
        }
        survive(&mut world, &held, &format!("seed {seed}"), &mut tally);
    }
    assert!(tally.refused > 10 && tally.certain > 10, "{tally:?}");
}

/// Each block of a sealed segment is damaged in turn: it alone is named, with the messages that
/// were in it, and all the others are found.
#[test]
fn a_check_names_the_damage_and_the_messages_that_it_has_taken() {
    let mut world = sealed();
    let sound = mended(&world).expect("sound");
    assert!(sound.damages.is_empty() && sound.lost.is_empty() && sound.patches.is_empty());
    let held: Vec<_> = world.unsettled();
    let (mut some, listed) = (0, blocks(&world.disk.files[&1]));
    for (at, length, _) in &listed {
        for octet in [*at, at + 20, at + 70] {
            world.disk.files.get_mut(&1).expect("the first file")[octet] ^= 0x20;
            let mended = mended(&world).expect("damage is passed by");
            let [damage] = mended.damages.as_slice() else { panic!("{:?}", mended.damages) };
            assert_eq!((damage.file, damage.offset), (FileId(1), *at as u64));
            assert_eq!(damage.octets, *length as u64);
            let is_in = |key: &&Key| world.held[key].address.block().0 == *at as u64;
            let taken: Vec<_> = held.iter().filter(is_in).copied().collect();
            // Definitions are in the index, and come back from there.
            let is_message = |key: &&Key| key.0 != QueueId::DEFINITIONS;
            let lost: Vec<_> = taken.iter().filter(is_message).copied().collect();
            // The last block holds the index, and no message.
            assert!(damage.is_indexed || taken.is_empty());
            assert_eq!(keys(&mended), lost);
            some += usize::from(!lost.is_empty());
            world.disk.files.get_mut(&1).expect("the first file")[octet] ^= 0x20;
        }
    }
    assert!(some > 30, "{some} of {} blocks held something", listed.len());
}

/// Several places at once, one of them at the end with the index in it.
#[test]
fn a_check_goes_on_behind_every_damage() {
    let mut world = sealed();
    let listed = blocks(&world.disk.files[&1]);
    let last = listed.len() - 1;
    for index in [1, 2, 5, last] {
        world.disk.files.get_mut(&1).expect("the first file")[listed[index].0 + 66] ^= 1;
    }
    let mended = mended(&world).expect("damage is passed by");
    let places: Vec<u64> = mended.damages.iter().map(|damage| damage.offset).collect();
    assert_eq!(places, [1, 5, last].map(|index| listed[index].0 as u64), "neighbours are one");
    assert!(mended.damages.iter().all(|damage| !damage.is_indexed));
    assert!(mended.lost.iter().all(|lost| !lost.is_certain));
}

/// Damage in the newest segment, one lost file and one old segment, all at once: all is named.
#[test]
fn a_check_names_damage_in_the_newest_segment_and_lost_files_too() {
    let mut world = World::new(roomy(), 3);
    while world.log.segments.tail().number < 2 {
        write_out(&mut world, 20, 30_000);
    }
    write_out(&mut world, 20, 3000);
    stop(&mut world);
    let newest = world.log.segments.tail().file.0;
    let held = world.held.clone();
    let at = blocks(&world.disk.files[&newest])[3].0;
    world.disk.files.get_mut(&newest).expect("it exists")[at + 200] ^= 1;
    world.disk.files.remove(&1);
    let at = blocks(&world.disk.files[&2])[3].0;
    world.disk.files.get_mut(&2).expect("it exists")[at + 200] ^= 1;
    let mended = mended(&world).expect("all can be mended");
    let files: Vec<u32> = mended.damages.iter().map(|damage| damage.file.0).collect();
    assert_eq!(files, [1, 2, newest], "{:?}", mended.damages);
    survive(&mut world, &held, "three at once", &mut Tally::default());
}
