//! Messages in parts: which parts they hold while they live, and putting them together again.

use rustc_hash::{FxHashMap, FxHashSet};

use super::geometry::Geometry;
use super::record::PartEntry;
use super::Address;

/// A live message whose content lies in Part records.
#[derive(Clone, Debug)]
struct Multipart {
    /// Octets of its record, and the number of its first reference.
    record: (u32, u32),
    /// References that still hold it.
    live: u32,
    /// Its parts, as far as their segments are there.
    parts: Vec<PartEntry>,
}

/// How many hold a part, of those that more than one holds: messages, bodies under way and bodies
/// that are being read. A part pins its segment once, whoever holds it.
#[derive(Clone, Debug, Default)]
pub(super) struct SharedParts {
    holders: FxHashMap<Address, u32>,
}

impl SharedParts {
    /// One more holds a part that somebody holds.
    pub(super) fn share(&mut self, part: Address) {
        *self.holders.entry(part).or_insert(1) += 1;
    }

    /// One of its holders lets it go. True if that was the last one.
    pub(super) fn let_go(&mut self, part: Address) -> bool {
        let Some(holders) = self.holders.get_mut(&part) else { return true };
        *holders -= 1;
        if *holders == 1 {
            self.holders.remove(&part);
        }
        false
    }
}

/// Counts the holders of parts that recovery finds, of which nobody is known before.
#[derive(Clone, Debug, Default)]
pub(super) struct PartCensus {
    holders: FxHashMap<Address, u32>,
}

impl PartCensus {
    /// A live message holds it. True if it is the first one.
    pub(super) fn add(&mut self, part: Address) -> bool {
        let holders = self.holders.entry(part).or_default();
        *holders += 1;
        *holders == 1
    }

    /// What is shared.
    pub(super) fn into_shared(mut self) -> SharedParts {
        self.holders.retain(|_, holders| *holders > 1);
        SharedParts { holders: self.holders }
    }
}

/// The live messages in parts, by the address of their record.
#[derive(Clone, Debug, Default)]
pub(super) struct Multiparts {
    by_address: FxHashMap<Address, Multipart>,
}

impl Multiparts {
    /// A message that `live` references hold. `record`: octets of its record, and the number of its
    /// first reference.
    pub(super) fn add(
        &mut self,
        address: Address,
        record: (u32, u32),
        live: u32,
        parts: Vec<PartEntry>,
    ) {
        self.by_address.insert(address, Multipart { record, live, parts });
    }

    /// No live message is in parts.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    /// Octets of the record of that message, and the number of its first reference.
    pub(super) fn record(&self, address: Address) -> Option<(u32, u32)> {
        self.by_address.get(&address).map(|message| message.record)
    }

    /// Messages that have their record or parts in that segment.
    pub(super) fn in_segment(&self, geometry: Geometry, segment: u32) -> Vec<Address> {
        let is_there = |address: Address| geometry.segment_of_address(address) == segment;
        let found = self.by_address.iter().filter(|(address, message)| {
            is_there(**address) || message.parts.iter().any(|part| is_there(part.address()))
        });
        let mut addresses: Vec<Address> = found.map(|(address, _)| *address).collect();
        addresses.sort_unstable();
        addresses
    }

    /// Parts of messages that lie in that segment.
    pub(super) fn parts_in(&self, geometry: Geometry, segment: u32) -> FxHashSet<Address> {
        let all = self.by_address.values().flat_map(|message| &message.parts);
        let addresses = all.map(PartEntry::address);
        addresses.filter(|address| geometry.segment_of_address(*address) == segment).collect()
    }

    /// One reference of the message at `address` is dead. Parts to let go, if it was the last one of
    /// a message in parts.
    pub(super) fn release(&mut self, address: Address) -> Option<Vec<PartEntry>> {
        let message = self.by_address.get_mut(&address)?;
        message.live = message.live.saturating_sub(1);
        if message.live > 0 {
            return None;
        }
        self.by_address.remove(&address).map(|message| message.parts)
    }

    /// One reference of a message that recovery found lives. Parts to hold, if it is the first.
    pub(super) fn revive(&mut self, address: Address) -> Option<&[PartEntry]> {
        let message = self.by_address.get_mut(&address)?;
        message.live += 1;
        (message.live == 1).then_some(message.parts.as_slice())
    }

    /// Forgets messages that nothing revived.
    pub(super) fn drop_dead(&mut self) {
        self.by_address.retain(|_, message| message.live > 0);
    }
}

/// What reserving memory for a content at once is worth; longer ones grow.
const RESERVED_BYTES_MAX: usize = 256 << 20;

/// How much of a message in parts is put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// What comes before the body.
    Beginning,
    Whole,
}

/// A message in parts on its way to being whole, or as much of it as is wanted.
#[derive(Debug)]
pub(super) struct Assembly {
    address: Address,
    extent: Extent,
    /// Which one it is of those that were begun; 0: not known yet.
    begun: u64,
    /// Reads that had come back when it was wanted last.
    wanted_at: u64,
    /// The Message record.
    record: Vec<u8>,
    /// Address and record length of the parts that are still to come, last one first.
    missing: Vec<(Address, u32)>,
    /// Content so far.
    content: Vec<u8>,
}

impl Assembly {
    /// `parts`: address and record length of each, in order.
    pub(super) fn new(
        address: Address,
        extent: Extent,
        record: &[u8],
        mut parts: Vec<(Address, u32)>,
    ) -> Self {
        parts.reverse();
        let content_bytes: usize = parts.iter().map(|(_, length)| *length as usize).sum();
        let reserved = RESERVED_BYTES_MAX.min(content_bytes);
        Assembly {
            address,
            extent,
            begun: 0,
            wanted_at: 0,
            record: record.to_vec(),
            missing: parts,
            content: Vec::with_capacity(reserved),
        }
    }

    /// Octets of memory that it is going to take.
    pub(super) fn reserved_bytes(&self) -> u64 {
        self.content.capacity() as u64
    }
    /// The part that is wanted next; `None`: the message is whole.
    pub(super) fn next(&self) -> Option<(Address, u32)> {
        self.missing.last().copied()
    }
    /// Parts that are wanted after it.
    pub(super) fn later(&self) -> impl Iterator<Item = (Address, u32)> + '_ {
        self.missing.iter().rev().skip(1).copied()
    }
    /// Adds the content of the part that was wanted next.
    pub(super) fn add(&mut self, content: &[u8]) {
        self.missing.pop();
        self.content.extend_from_slice(content);
    }
    pub(super) fn record(&self) -> &[u8] {
        &self.record
    }
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }
}

/// Reads that come back while nobody asks for a message that was begun, before it need not be
/// finished: whoever wanted it may have gone. Those who wait ask again after each read, or a few.
const READS_UNWANTED_MAX: u64 = 256;

/// Beginnings of messages that are kept while they are put together.
const BEGINNINGS_MAX: usize = 32;

/// Messages in parts that are being delivered. Kept while wanted, within a budget that only the
/// one wanted last may exceed.
#[derive(Debug)]
pub(super) struct Assemblies {
    /// The one wanted last at the end.
    recent: Vec<Assembly>,
    /// As many beginnings: they are short, and soon taken.
    beginnings: Vec<Assembly>,
    bytes_max: usize,
    /// How many have been begun.
    begun: u64,
    /// Reads that have come back.
    reads: u64,
}

impl Assemblies {
    pub(super) fn new(bytes_max: usize) -> Self {
        let (recent, beginnings) = (Vec::new(), Vec::new());
        Assemblies { recent, beginnings, bytes_max, begun: 0, reads: 0 }
    }

    /// A read has come back.
    pub(super) fn read_done(&mut self) {
        self.reads += 1;
    }

    /// No whole message is put together.
    pub(super) fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }

    fn list(&self, extent: Extent) -> &Vec<Assembly> {
        match extent {
            Extent::Beginning => &self.beginnings,
            Extent::Whole => &self.recent,
        }
    }

    /// Of those that are not whole, this one was begun first: its reads go before all others.
    pub(super) fn comes_first(&self, assembly: &Assembly) -> bool {
        let is_later = |held: &Assembly| {
            held.next().is_none() || (assembly.begun != 0 && assembly.begun < held.begun)
        };
        self.recent.iter().all(is_later)
    }

    /// A message of so many octets could be begun and kept until it is whole, as it seems.
    pub(super) fn has_room(&self, content_bytes: u64) -> bool {
        let unfinished = self.recent.iter().filter(|held| held.next().is_some());
        let bytes: usize = unfinished.map(|held| held.content.capacity()).sum();
        bytes == 0 || bytes as u64 + content_bytes <= self.bytes_max as u64
    }

    pub(super) fn get(&self, address: Address, extent: Extent) -> Option<&Assembly> {
        self.list(extent).iter().find(|assembly| assembly.address == address)
    }

    /// Takes out the assembly of that message, to go on with.
    pub(super) fn take(&mut self, address: Address, extent: Extent) -> Option<Assembly> {
        let index = self.list(extent).iter().position(|assembly| assembly.address == address)?;
        Some(match extent {
            Extent::Beginning => self.beginnings.remove(index),
            Extent::Whole => self.recent.remove(index),
        })
    }

    /// Puts one back, and drops others beyond the budget: those that are whole first, then those
    /// that nobody asks for any more, then those begun last. So the one begun first is finished,
    /// however many push for room.
    pub(super) fn put(&mut self, mut assembly: Assembly) {
        if assembly.begun == 0 {
            self.begun += 1;
            assembly.begun = self.begun;
        }
        assembly.wanted_at = self.reads;
        if assembly.extent == Extent::Beginning {
            // Whoever wanted the first one may have gone.
            if self.beginnings.len() >= BEGINNINGS_MAX {
                self.beginnings.remove(0);
            }
            return self.beginnings.push(assembly);
        }
        self.recent.push(assembly);
        let mut bytes: usize = self.recent.iter().map(|held| held.content.capacity()).sum();
        while bytes > self.bytes_max && self.recent.len() > 1 {
            bytes -= self.recent.remove(self.least_needed()).content.capacity();
        }
    }

    /// Which of several to drop. Never the one put last if it is whole: it is about to be taken.
    fn least_needed(&self) -> usize {
        let is_whole = |held: &Assembly| held.missing.is_empty();
        let last = self.recent.len() - 1;
        let whole = self.recent[..last].iter().position(is_whole);
        let is_left =
            |held: &Assembly| self.reads.saturating_sub(held.wanted_at) > READS_UNWANTED_MAX;
        let left = self.recent.iter().position(is_left);
        let unfinished = self.recent.iter().enumerate().filter(|(_, held)| !is_whole(held));
        let youngest = unfinished.max_by_key(|(_, held)| held.begun).map(|(index, _)| index);
        whole.or(left).or(youngest).unwrap_or(0)
    }

    /// Drops a message that nobody wants any more.
    pub(super) fn drop(&mut self, address: Address) {
        self.recent.retain(|assembly| assembly.address != address);
        self.beginnings.retain(|assembly| assembly.address != address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(address: u64, parts: u64) -> Assembly {
        let parts = (0..parts).map(|part| (Address(1000 + part), 100)).collect();
        let mut assembly = Assembly::new(Address(address), Extent::Whole, &[], parts);
        assembly.content = Vec::with_capacity(80);
        assembly
    }

    /// Two large messages that are read back side by side would push each other out for ever.
    #[test]
    fn the_message_begun_first_is_finished_whoever_else_wants_room() {
        let mut assemblies = Assemblies::new(100);
        assemblies.put(begun(1, 3));
        for _ in 0..3 {
            assemblies.put(begun(2, 3));
            let mut first =
                assemblies.take(Address(1), Extent::Whole).expect("it is not pushed out");
            first.add(&[0; 20]);
            assemblies.put(first);
        }
        assert!(assemblies
            .get(Address(1), Extent::Whole)
            .is_some_and(|first| first.next().is_none()));
        assemblies.put(begun(2, 1));
        assert!(
            assemblies.get(Address(1), Extent::Whole).is_none(),
            "one that is whole has had its time"
        );
        let mut second = assemblies.take(Address(2), Extent::Whole).expect("it has room now");
        second.add(&[0; 20]);
        assemblies.put(begun(3, 1));
        assemblies.put(second);
        assert!(assemblies.get(Address(2), Extent::Whole).is_some(), "it is about to be taken");
    }

    /// A consumer that goes away while its large message is being read must not keep all others
    /// from theirs.
    #[test]
    fn a_message_that_nobody_asks_for_any_more_makes_room() {
        let mut assemblies = Assemblies::new(100);
        assemblies.put(begun(1, 3));
        for _ in 0..=READS_UNWANTED_MAX {
            assemblies.put(begun(2, 3));
            assert!(
                assemblies.get(Address(1), Extent::Whole).is_some(),
                "somebody may be about to ask"
            );
            assemblies.read_done();
        }
        assemblies.put(begun(2, 3));
        assert!(
            assemblies.get(Address(1), Extent::Whole).is_none()
                && assemblies.get(Address(2), Extent::Whole).is_some()
        );
    }

    /// Those that wait for its room had their parts read again and again, and left no room for the
    /// reads of the one that was kept: none was ever whole.
    #[test]
    fn the_reads_of_the_message_begun_first_go_before_all_others() {
        let mut assemblies = Assemblies::new(100);
        let first = begun(1, 3);
        assert!(assemblies.comes_first(&first) && assemblies.has_room(1_000));
        assemblies.put(first);
        assert!(
            assemblies.has_room(20) && !assemblies.has_room(21),
            "others wait and ask for less"
        );
        let second = begun(2, 3);
        assert!(!assemblies.comes_first(&second));
        let mut first = assemblies.take(Address(1), Extent::Whole).expect("it is kept");
        assemblies.put(second);
        assert!(assemblies.comes_first(&first));
        for _ in 0..3 {
            first.add(&[]);
        }
        assemblies.put(first);
        assert!(assemblies.comes_first(&begun(2, 3)), "one that is whole reads no more");
    }
}
