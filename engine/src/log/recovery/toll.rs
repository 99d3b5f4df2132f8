//! What damage has taken, as far as a reading that passes it by has come.

use std::collections::BTreeMap;
use std::ops::Range;

use rustc_hash::{FxHashMap, FxHashSet};

use super::damage::{Headless, Hole, LostMessage};
use super::found::Broken;
use super::indexed::IndexReads;
use super::liveness::Wanted;
use crate::ids::{QueueId, Seq};
use crate::log::bitmap::Bitmap;
use crate::log::geometry::Geometry;
use crate::log::index::Entry;
use crate::log::record::{Malformed, Settle};
use crate::log::{Address, FileId};

use super::damage::Rescued;

/// What has been found of damage.
#[derive(Clone, Debug, Default)]
pub(super) struct Toll {
    pub holes: Vec<Hole>,
    /// Places that have been filled already, by position.
    pub filled: Vec<Range<u64>>,
    /// By the number of the reference, where that is known.
    lost: BTreeMap<LostMessage, Option<u32>>,
    pub headless: Vec<Headless>,
    /// Segments that have lost something: what their indexes say is not so any more.
    pub hurt: FxHashSet<u32>,
    /// Pieces of such indexes in blocks that are good: file and address.
    pub void_pieces: Vec<(FileId, Address)>,
    /// Liveness records that are not where the roster says.
    pub liveness: Vec<Wanted>,
    /// Good blocks, and their octets.
    pub blocks: u64,
    pub octets: u64,
}

impl Toll {
    /// `reference`: its number in the segment, if that is known.
    pub(super) fn lose(&mut self, lost: LostMessage, reference: Option<u32>) {
        self.lost.insert(lost, reference);
    }

    /// Each message once; one that is lost without doubt is not listed with doubt.
    pub(super) fn lost(&self) -> Vec<LostMessage> {
        let mut lost: Vec<_> = self.lost.keys().copied().collect();
        lost.sort_by_key(|lost| (lost.queue, lost.seq, !lost.is_certain));
        lost.dedup_by_key(|lost| (lost.queue, lost.seq));
        lost
    }

    /// What has been settled is not lost.
    pub(super) fn settled(
        &mut self,
        queue: QueueId,
        first: Seq,
        last: Seq,
        among: &Range<Address>,
    ) {
        if self.lost.is_empty() {
            return;
        }
        let lost = |seq, address| LostMessage { queue, seq, address, is_certain: false };
        let run = self.lost.range(lost(first, Address(0))..);
        let run = run.map(|(lost, _)| *lost);
        let run = run.take_while(|lost| lost.queue == queue && lost.seq <= last);
        let settled: Vec<_> = run.filter(|lost| among.contains(&lost.address)).collect();
        for lost in settled {
            self.lost.remove(&lost);
        }
    }

    /// Nor is what has been copied elsewhere.
    pub(super) fn copied(&mut self, copied: &FxHashMap<u32, Bitmap>, geometry: Geometry) {
        self.lost.retain(|lost, reference| {
            let copied = copied.get(&geometry.segment_of_address(lost.address));
            let is_copied = |copied: &Bitmap| reference.is_some_and(|number| copied.get(number));
            !copied.is_some_and(is_copied)
        });
    }

    /// A message that lies in a good block, some of whose parts do not.
    pub(super) fn broken(&mut self, segment: u32, broken: Broken) {
        let Broken { address, body_bytes, count: references, references: known } = broken;
        self.hurt.insert(segment);
        if known.is_empty() {
            self.headless.push(Headless { segment, address, body_bytes, references });
        }
        for (reference, (queue, seq)) in known {
            let lost = LostMessage { queue, seq, address, is_certain: true };
            self.lose(lost, Some(reference));
        }
    }

    fn is_in_hole(&self, address: Address) -> bool {
        let position = address.block().0;
        self.holes.iter().any(|hole| hole.holds(address))
            || self.filled.iter().any(|filled| filled.contains(&position))
    }

    /// The index of `segment` tells what was in its damaged places. `is_dead`: references that
    /// are known to be.
    pub(super) fn count(
        &mut self,
        segment: u32,
        reads: &IndexReads,
        geometry: Geometry,
        is_dead: impl Fn(u32) -> bool,
    ) -> Result<(), Malformed> {
        reads.check()?;
        let (among, start) = (geometry.addresses(segment), geometry.start(segment));
        // The index knows better than the octets.
        self.lost.retain(|lost, _| lost.is_certain || !among.contains(&lost.address));
        self.headless.retain(|headless| headless.segment != segment);
        reads.entries(&mut |entry, beside| match entry {
            Entry::Settle(settle) => {
                let Settle { queue, first, segment, count } = settle;
                let last = Seq(first.0 + u64::from(count).saturating_sub(1));
                self.settled(queue, first, last, &beside.among(&settle, geometry));
                if queue == QueueId::DEFINITIONS && segment == geometry.segment_of(start) {
                    let is_settled = |known: &Rescued| (first..=last).contains(&known.seq);
                    for hole in &mut self.holes {
                        hole.definitions.retain(|known| !is_settled(known));
                    }
                }
            }
            Entry::Definition { address, reference, seq, payload, .. } if !is_dead(reference) => {
                let rescued = || Rescued { reference, seq, payload: payload.to_vec() };
                let hole = self.holes.iter_mut().find(|hole| hole.holds(address));
                if let Some(hole) = hole {
                    hole.definitions.push(rescued());
                }
            }
            _ => {
                for (address, reference, queue, seq) in told(&entry, beside.references) {
                    let mut places = std::iter::once(address).chain(beside.parts.iter().copied());
                    if !is_dead(reference) && places.any(|place| self.is_in_hole(place)) {
                        let lost = LostMessage { queue, seq, address, is_certain: true };
                        self.lose(lost, Some(reference));
                    }
                }
            }
        })?;
        let here = |hole: &&mut Hole| geometry.segment_of(hole.from) == segment;
        self.holes.iter_mut().filter(here).for_each(|hole| hole.is_indexed = true);
        Ok(())
    }
}

/// Live messages that an entry tells of: address, number of the reference, queue, sequence number.
fn told<'e>(
    entry: &'e Entry<'_>,
    references: &'e [(QueueId, Seq)],
) -> Box<dyn Iterator<Item = (Address, u32, QueueId, Seq)> + 'e> {
    match entry {
        Entry::Run(run, dead) => Box::new((0..run.count).filter_map(|index| {
            let at = run.address_of(index);
            let seq = Seq(run.first.0 + u64::from(index));
            let lives = !crate::log::index::is_set(*dead, index as usize);
            lives.then_some((at, run.reference + index, run.queue, seq))
        })),
        Entry::Message(message) => {
            Box::new(references.iter().enumerate().filter_map(|(index, (queue, seq))| {
                let reference = message.reference + index as u32;
                let lives = !crate::log::index::is_set(message.dead, index);
                lives.then_some((message.address, reference, *queue, *seq))
            }))
        }
        _ => Box::new(std::iter::empty()),
    }
}
