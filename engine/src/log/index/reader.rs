//! Reading a stream of entries. Believes nothing: a stream that does not add up is [`Malformed`].

use super::context::{self, Context};
use super::{Run, Spot};
use crate::ids::{QueueId, Seq};
use crate::log::format::{aligned_record, BLOCK_MAX_BYTES};
use crate::log::geometry::Geometry;
use crate::log::record::{Copied, IndexScope, Malformed, PartEntry, Settle, RECORD_HEADER_BYTES};
use crate::log::Address;

/// What a stream says.
#[derive(Debug)]
pub(in crate::log) enum Entry<'a> {
    /// Messages, and a bit for each that is dead, if any is.
    Run(Run, Option<&'a [u8]>),
    Message(MessageEntry<'a>),
    Definition {
        address: Address,
        length: u32,
        reference: u32,
        seq: Seq,
        payload: &'a [u8],
    },
    Settle(Settle),
    Copied(Copied),
    Liveness {
        segment: u32,
        address: Address,
        length: u32,
    },
    Part {
        address: Address,
        length: u32,
        index: u32,
        references: u32,
        content: &'a [u8],
    },
}

/// A message that is no run. Its references and parts are in the [`Reader`].
#[derive(Clone, Copy, Debug)]
pub(in crate::log) struct MessageEntry<'a> {
    pub address: Address,
    pub length: u32,
    pub reference: u32,
    pub body_bytes: u64,
    pub expires_unix_ms: Option<u64>,
    /// A bit for each reference that is dead, if any is.
    pub dead: Option<&'a [u8]>,
}

/// Bit `index` of a map that may be absent.
pub(in crate::log) fn is_set(bits: Option<&[u8]>, index: usize) -> bool {
    bits.and_then(|bits| bits.get(index / 8)).is_some_and(|octet| octet >> (index % 8) & 1 != 0)
}

#[derive(Debug)]
pub(in crate::log) struct Reader<'a> {
    rest: &'a [u8],
    context: Context,
    geometry: Geometry,
    scope: IndexScope,
    /// Of the message read last.
    pub references: Vec<(QueueId, Seq)>,
    /// Of the message read last.
    pub parts: Vec<PartEntry>,
}

type Read<T> = Result<T, Malformed>;

impl<'a> Reader<'a> {
    pub(in crate::log) fn new(stream: &'a [u8], geometry: Geometry, scope: IndexScope) -> Self {
        Reader {
            rest: stream,
            context: Context::new(geometry, scope.segment, scope.first_reference),
            geometry,
            scope,
            references: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// The next entry; `None` at the end.
    pub(in crate::log) fn next(&mut self) -> Read<Option<Entry<'a>>> {
        let Some((tag, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let entry = match *tag {
            tag if tag < 0x80 => self.run(tag)?,
            context::MESSAGE => self.message()?,
            context::DEFINITION => {
                let spot = self.spot()?;
                let Spot { address, length, reference } = spot;
                let seq = Seq(self.number()?);
                let payload = self.octets()?;
                self.pass(spot, 1)?;
                Entry::Definition { address, length, reference, seq, payload }
            }
            context::SETTLE => self.settle()?,
            context::COPIED => self.copied()?,
            context::LIVENESS => {
                let (segment, address, length) = (self.small()?, self.number()?, self.small()?);
                Entry::Liveness { segment, address: self.within(Address(address), length)?, length }
            }
            context::PART => {
                let (address, length) = (self.number()?, self.small()?);
                let address = self.within(Address(address), length)?;
                let (index, references) = (self.small()?, self.small()?);
                let content = self.octets()?;
                Entry::Part { address, length, index, references, content }
            }
            _ => return Err(Malformed("an index entry of an unknown kind")),
        };
        Ok(Some(entry))
    }

    #[inline]
    fn number(&mut self) -> Read<u64> {
        let mut number = 0;
        for (index, octet) in self.rest.iter().enumerate().take(10) {
            let bits = u64::from(octet & 0x7f);
            if index == 9 && *octet > 1 {
                break;
            }
            number |= bits << (7 * index);
            if octet & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok(number);
            }
        }
        Err(Malformed("an index with a number that is cut off or too long"))
    }

    fn small(&mut self) -> Read<u32> {
        u32::try_from(self.number()?).map_err(|_| Malformed("an index with too large a number"))
    }

    fn take(&mut self, octets: u64) -> Read<&'a [u8]> {
        let cut = Malformed("an index entry that is cut off");
        let octets = usize::try_from(octets).map_err(|_| cut)?;
        let (taken, rest) = self.rest.split_at_checked(octets).ok_or(cut)?;
        self.rest = rest;
        Ok(taken)
    }

    fn octets(&mut self) -> Read<&'a [u8]> {
        let length = self.number()?;
        self.take(length)
    }

    /// `address`, if a record of that length can lie there in this segment.
    fn within(&self, address: Address, length: u32) -> Read<Address> {
        let end = address.offset() + length as usize;
        let fits = self.geometry.segment_of_address(address) == self.scope.segment
            && length as usize >= RECORD_HEADER_BYTES
            && end <= BLOCK_MAX_BYTES;
        fits.then_some(address).ok_or(Malformed("an index that names a place that cannot be"))
    }

    fn place(&mut self) -> Read<Address> {
        let (pages, gap) = (self.number()?, self.number()?);
        let gap = gap.checked_mul(8);
        let address = gap.and_then(|gap| self.context.place(pages, gap));
        address.ok_or(Malformed("an index that names a place that cannot be"))
    }

    fn reference(&mut self) -> Read<u32> {
        let passed = self.small()?;
        self.context.reference.checked_add(passed).ok_or(TOO_MANY)
    }

    fn spot(&mut self) -> Read<Spot> {
        let (address, reference, length) = (self.place()?, self.reference()?, self.small()?);
        Ok(Spot { address: self.within(address, length)?, length, reference })
    }

    /// The entry's record has been read and makes so many references.
    fn pass(&mut self, spot: Spot, references: u64) -> Read<()> {
        let end = u64::from(spot.reference) + references;
        if end > u64::from(self.scope.references_end) {
            return Err(TOO_MANY);
        }
        let octets = aligned_record(spot.length as usize) as u64;
        self.context.pass(spot.address, octets, spot.reference, references as u32);
        Ok(())
    }

    fn expiry(&mut self) -> Read<Option<u64>> {
        match self.number()? {
            0 => Ok(None),
            1 => {
                let number = self.number()?;
                let after = (number >> 1) as i64 ^ -((number & 1) as i64);
                self.context.expiry = self.context.expiry.wrapping_add(after as u64);
                Ok(Some(self.context.expiry))
            }
            _ => Err(Malformed("an index with an expiry that cannot be")),
        }
    }

    #[inline]
    fn run(&mut self, tag: u8) -> Read<Entry<'a>> {
        let address = match tag & context::PLACE {
            0 => self.context.place(0, 0),
            _ => Some(self.place()?),
        };
        let address = address.ok_or(Malformed("an index that names a place that cannot be"))?;
        let reference = match tag & context::REFERENCE {
            0 => self.context.reference,
            _ => self.reference()?,
        };
        let queue = match tag & context::QUEUE {
            0 => self.context.queue,
            _ => QueueId(self.number()?),
        };
        let first = match tag & context::SEQ {
            0 => self.context.next_seq(queue).ok_or(Malformed("an index without a number"))?,
            _ => self.number()?,
        };
        let (length, overhead) = match tag & context::LENGTH {
            0 => (self.context.length, self.context.overhead),
            _ => (self.small()?, self.small()?),
        };
        let expires_unix_ms = match tag & context::EXPIRY {
            0 => self.context.expires_unix_ms,
            _ => self.expiry()?,
        };
        let (count, dead) = match tag & context::COUNT {
            0 => (1, None),
            _ => {
                let number = self.number()?;
                let count = (number >> 1) + 1;
                let octets = if number & 1 == 0 { 0 } else { count.div_ceil(8) };
                let bits = self.take(octets)?;
                (count, (number & 1 != 0).then_some(bits))
            }
        };
        let body_bytes = length.checked_sub(overhead);
        let body_bytes =
            body_bytes.ok_or(Malformed("an index of messages longer than they are"))?;
        let each = aligned_record(length as usize) as u64;
        let all = each.checked_mul(count).filter(|all| *all <= BLOCK_MAX_BYTES as u64);
        let end = all.map(|all| address.offset() as u64 + all);
        if end.is_none_or(|end| end > BLOCK_MAX_BYTES as u64) {
            return Err(Malformed("an index of more messages than a block has"));
        }
        self.within(address, length)?;
        if u64::from(reference) + count > u64::from(self.scope.references_end) {
            return Err(TOO_MANY);
        }
        if first.checked_add(count - 1).is_none() {
            return Err(Malformed("an index of messages without numbers"));
        }
        let (first, count) = (Seq(first), count as u32);
        let run =
            Run { address, length, body_bytes, expires_unix_ms, reference, queue, first, count };
        self.context.pass_run(&run);
        Ok(Entry::Run(run, dead))
    }

    fn message(&mut self) -> Read<Entry<'a>> {
        let spot = self.spot()?;
        let (body_bytes, expires_unix_ms) = (self.number()?, self.expiry()?);
        let number = self.number()?;
        let count = number >> 1;
        self.pass(spot, count)?;
        self.references.clear();
        for _ in 0..count {
            let (queue, seq) = (QueueId(self.number()?), Seq(self.number()?));
            self.references.push((queue, seq));
        }
        let dead = if number & 1 == 0 { None } else { Some(self.take(count.div_ceil(8))?) };
        let parts = self.number()?;
        self.parts.clear();
        for _ in 0..parts {
            let (address, length) = (self.number()?, self.small()?);
            self.parts.push(PartEntry::new(Address(address), length));
        }
        let Spot { address, length, reference } = spot;
        Ok(Entry::Message(MessageEntry {
            address,
            length,
            reference,
            body_bytes,
            expires_unix_ms,
            dead,
        }))
    }

    fn copied(&mut self) -> Read<Entry<'a>> {
        let (segment, first, count) = (self.small()?, self.small()?, self.small()?);
        let copied = Copied::new(segment, first, count);
        let copied = copied.filter(|copied| copied.segment <= self.scope.segment);
        copied.map(Entry::Copied).ok_or(Malformed("an index with copies of what cannot be"))
    }

    fn settle(&mut self) -> Read<Entry<'a>> {
        let (queue, first) = (QueueId(self.number()?), Seq(self.number()?));
        let (count, segment) = (self.small()?, self.small()?);
        let last = u64::from(count).checked_sub(1).and_then(|more| first.0.checked_add(more));
        if last.is_none() || segment > self.scope.segment {
            return Err(Malformed("an index with a settle of no message that can be"));
        }
        Ok(Entry::Settle(Settle { queue, first, segment, count }))
    }
}

const TOO_MANY: Malformed = Malformed("an index of more references than its segment has");
