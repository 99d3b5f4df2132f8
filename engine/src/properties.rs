//! The property list of class basic in pieces, so that headers and expiration can be replaced and
//! everything else stays octet for octet (behaviour A108). Pure; knows nothing of what is in the
//! pieces.

use crate::table::{fields, RawValue};

const HEADERS: u16 = 1 << 13;
const EXPIRATION: u16 = 1 << 8;
/// Bit 1 has no property, bit 0 would announce a second word of flags.
const UNDEFINED: u16 = 0b11;

/// A property that messages are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    CorrelationId,
    MessageId,
    Timestamp,
}

impl Property {
    fn flag(self) -> u16 {
        match self {
            Property::CorrelationId => 1 << 10,
            Property::MessageId => 1 << 7,
            Property::Timestamp => 1 << 6,
        }
    }
}

/// The octets of one property, without its length; `None` if it is absent or the list broken.
pub fn property(octets: &[u8], which: Property) -> Option<&[u8]> {
    let (flags, list) = octets.split_first_chunk::<2>()?;
    let flags = u16::from_be_bytes(*flags);
    if flags & which.flag() == 0 || flags & UNDEFINED != 0 {
        return None;
    }
    let mut at = 0;
    for (index, layout) in LAYOUTS.into_iter().enumerate() {
        let flag = 1 << (15 - index);
        if flags & flag != 0 {
            let (value, next) = take(list, at, layout)?;
            if flag == which.flag() {
                return Some(value);
            }
            at = next;
        }
    }
    None
}

/// The fields of the header table, without its length; none if the list is broken.
pub fn headers(octets: &[u8]) -> &[u8] {
    PropertyList::read(octets).headers()
}

/// How a property is laid out.
#[derive(Clone, Copy)]
enum Layout {
    Short,
    Table,
    Octets(usize),
}

/// By falling bit, from bit 15.
const LAYOUTS: [Layout; 14] = [
    Layout::Short,     // content-type
    Layout::Short,     // content-encoding
    Layout::Table,     // headers
    Layout::Octets(1), // delivery-mode
    Layout::Octets(1), // priority
    Layout::Short,     // correlation-id
    Layout::Short,     // reply-to
    Layout::Short,     // expiration
    Layout::Short,     // message-id
    Layout::Octets(8), // timestamp
    Layout::Short,     // type
    Layout::Short,     // user-id
    Layout::Short,     // app-id
    Layout::Short,     // cluster-id
];

/// See the module. Pieces are in wire order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PropertyList<'a> {
    flags: u16,
    before_headers: &'a [u8],
    /// The table's fields, without its length.
    headers: &'a [u8],
    between: &'a [u8],
    expiration: Option<&'a [u8]>,
    after_expiration: &'a [u8],
}

impl<'a> PropertyList<'a> {
    /// Reads flags and list. What is no property list (none such is ever stored) counts as empty.
    pub(crate) fn read(octets: &'a [u8]) -> Self {
        Self::split(octets).unwrap_or_default()
    }

    fn split(octets: &'a [u8]) -> Option<Self> {
        let (flags, list) = octets.split_first_chunk::<2>()?;
        let flags = u16::from_be_bytes(*flags);
        if flags & UNDEFINED != 0 {
            return None;
        }
        let mut pieces = PropertyList { flags, ..Self::default() };
        // `list[..start]` is in a piece already; `at` is where the next property begins.
        let (mut start, mut at) = (0, 0);
        for (index, layout) in LAYOUTS.into_iter().enumerate() {
            let flag = 1 << (15 - index);
            let mut value: &[u8] = &[];
            let begin = at;
            if flags & flag != 0 {
                (value, at) = take(list, at, layout)?;
            }
            match flag {
                HEADERS => {
                    pieces.before_headers = list.get(start..begin)?;
                    pieces.headers = value;
                    start = at;
                }
                EXPIRATION => {
                    pieces.between = list.get(start..begin)?;
                    pieces.expiration = (flags & flag != 0).then_some(value);
                    start = at;
                }
                _ => {}
            }
        }
        pieces.after_expiration = list.get(start..)?;
        (at == list.len()).then_some(pieces)
    }

    pub(crate) fn headers(&self) -> &'a [u8] {
        self.headers
    }

    pub(crate) fn expiration(&self) -> Option<&'a [u8]> {
        self.expiration
    }

    /// The same without an expiration.
    pub(crate) fn without_expiration(self) -> Self {
        PropertyList { flags: self.flags & !EXPIRATION, expiration: None, ..self }
    }

    /// Appends the list with other headers: those that `headers` appends.
    pub(crate) fn write(&self, out: &mut Vec<u8>, headers: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(&(self.flags | HEADERS).to_be_bytes());
        out.extend_from_slice(self.before_headers);
        with_length(out, headers);
        out.extend_from_slice(self.between);
        if let Some(expiration) = self.expiration {
            out.push(expiration.len() as u8);
            out.extend_from_slice(expiration);
        }
        out.extend_from_slice(self.after_expiration);
    }

    /// Appends the list with that header, which takes the place of one of its name.
    pub(crate) fn write_with(&self, out: &mut Vec<u8>, name: &[u8], kind: u8, value: &[u8]) {
        self.write(out, |out| {
            let mut written = false;
            for (found, octets) in fields(self.headers).map_while(Result::ok) {
                if found != name {
                    copy_field(out, found, &octets);
                } else if !std::mem::replace(&mut written, true) {
                    push_field(out, name, kind, value);
                }
            }
            if !written {
                push_field(out, name, kind, value);
            }
        });
    }
}

/// The same list with that timestamp, in seconds. `None`: it is broken.
pub fn with_timestamp(octets: &[u8], unix_s: u64) -> Option<Vec<u8>> {
    let (flags, list) = octets.split_first_chunk::<2>()?;
    let flags = u16::from_be_bytes(*flags);
    if flags & UNDEFINED != 0 {
        return None;
    }
    let wanted = Property::Timestamp.flag();
    let mut at = 0;
    for (index, layout) in LAYOUTS.into_iter().enumerate() {
        let flag: u16 = 1 << (15 - index);
        if flag == wanted {
            break;
        }
        if flags & flag != 0 {
            at = take(list, at, layout)?.1;
        }
    }
    let rest = if flags & wanted != 0 { take(list, at, Layout::Octets(8))?.1 } else { at };
    let mut out = Vec::with_capacity(octets.len() + 8);
    out.extend_from_slice(&(flags | wanted).to_be_bytes());
    out.extend_from_slice(list.get(..at)?);
    out.extend_from_slice(&unix_s.to_be_bytes());
    out.extend_from_slice(list.get(rest..)?);
    Some(out)
}

/// The property at `at` without its length, and where the next one begins.
fn take(list: &[u8], at: usize, layout: Layout) -> Option<(&[u8], usize)> {
    let rest = list.get(at..)?;
    let (prefix, length) = match layout {
        Layout::Octets(count) => (0, count),
        Layout::Short => (1, usize::from(*rest.first()?)),
        Layout::Table => {
            let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
            (4, usize::try_from(length).ok()?)
        }
    };
    let end = length.checked_add(prefix)?;
    Some((rest.get(prefix..end)?, at + end))
}

/// Writes what `body` appends behind its four octet length.
pub(crate) fn with_length(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    // All of it came in one frame, whose size is 32 bits too.
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends a field as it was on the wire.
pub(crate) fn copy_field(out: &mut Vec<u8>, name: &[u8], value: &RawValue<'_>) {
    push_name(out, name);
    copy_value(out, value);
}

/// Appends a value, its type octet first, as it was on the wire.
pub(crate) fn copy_value(out: &mut Vec<u8>, value: &RawValue<'_>) {
    push_value(out, value.kind(), value.octets());
}

/// Appends a field of that type.
pub(crate) fn push_field(out: &mut Vec<u8>, name: &[u8], kind: u8, octets: &[u8]) {
    push_name(out, name);
    push_value(out, kind, octets);
}

/// Appends a field whose octets `body` appends; `kind` is one that has a length.
pub(crate) fn push_field_with(
    out: &mut Vec<u8>,
    name: &[u8],
    kind: u8,
    body: impl FnOnce(&mut Vec<u8>),
) {
    push_name(out, name);
    out.push(kind);
    with_length(out, body);
}

pub(crate) fn push_value(out: &mut Vec<u8>, kind: u8, octets: &[u8]) {
    out.push(kind);
    match kind {
        b'S' | b'x' | b'A' | b'F' => with_length(out, |out| out.extend_from_slice(octets)),
        _ => out.extend_from_slice(octets),
    }
}

fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    // Names come from the wire, where they have one octet of length, or from this module.
    out.push(name.len() as u8);
    out.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All fourteen properties, or those in `flags`.
    fn list(flags: u16) -> Vec<u8> {
        let mut octets = flags.to_be_bytes().to_vec();
        for (index, layout) in LAYOUTS.into_iter().enumerate() {
            if flags & (1 << (15 - index)) == 0 {
                continue;
            }
            match layout {
                Layout::Short => octets.extend_from_slice(&[2, b'a', index as u8]),
                Layout::Table => octets.extend_from_slice(&[0, 0, 0, 4, 1, b'k', b't', 1]),
                Layout::Octets(count) => octets.extend(std::iter::repeat_n(index as u8, count)),
            }
        }
        octets
    }

    #[test]
    fn a_list_that_is_only_given_its_own_headers_again_stays_octet_for_octet() {
        for flags in (0..=u16::MAX).step_by(4).filter(|flags| flags & HEADERS != 0) {
            let octets = list(flags);
            let pieces = PropertyList::read(&octets);
            let mut out = Vec::new();
            pieces.write(&mut out, |out| out.extend_from_slice(pieces.headers()));
            assert_eq!(out, octets);
        }
    }

    #[test]
    fn properties_are_found_wherever_they_stand() {
        let octets = list(0xfffc);
        assert_eq!(property(&octets, Property::CorrelationId), Some(&[b'a', 5][..]));
        assert_eq!(property(&octets, Property::MessageId), Some(&[b'a', 8][..]));
        assert_eq!(property(&octets, Property::Timestamp), Some(&[9; 8][..]));
        let alone = list(Property::MessageId.flag());
        assert_eq!(property(&alone, Property::MessageId), Some(&[b'a', 8][..]));
        assert_eq!(property(&alone, Property::Timestamp), None);
        assert_eq!(property(&alone[..3], Property::MessageId), None);
    }

    #[test]
    fn expiration_alone_is_taken_out() {
        let octets = list(0xfffc);
        let pieces = PropertyList::read(&octets);
        assert_eq!(pieces.expiration(), Some(&[b'a', 7][..]));
        let mut out = Vec::new();
        pieces.without_expiration().write(&mut out, |out| out.extend_from_slice(pieces.headers()));
        assert_eq!(out, list(0xfffc & !EXPIRATION));
    }

    #[test]
    fn a_timestamp_is_put_where_it_belongs_and_nothing_else_changes() {
        let time = Property::Timestamp.flag();
        for flags in (0..=u16::MAX).step_by(4) {
            let octets = list(flags);
            let stamped = with_timestamp(&octets, u64::from_be_bytes([9; 8])).expect("a list");
            assert_eq!(stamped, list(flags | time));
        }
        let octets = list(0xfffc);
        assert_eq!(with_timestamp(&octets[..octets.len() - 30], 1), None);
    }

    #[test]
    fn broken_lists_count_as_empty() {
        let octets = list(0xfffc);
        for end in 0..octets.len() {
            let pieces = PropertyList::read(&octets[..end]);
            assert_eq!((pieces.flags, pieces.headers()), (0, &[][..]), "cut at {end}");
        }
        assert_eq!(PropertyList::read(&[0, 1]).flags, 0);
    }
}
