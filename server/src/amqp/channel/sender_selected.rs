//! CC and BCC: further routing keys in the headers of a message (behaviour B7).

use std::ops::Range;

use haremq_engine::table::{fields, RawValue, TableError};

use crate::amqp::error::ProtocolError;

/// What the headers of a message say about further routing keys.
#[derive(Debug, Default, PartialEq)]
pub(super) struct SenderSelected<'a> {
    cc: Option<RawValue<'a>>,
    bcc: Option<RawValue<'a>>,
    /// Where the BCC field stands in the header table's fields.
    bcc_place: Range<usize>,
}

impl<'a> SenderSelected<'a> {
    /// Walks the fields of a header table once; the walk finds what does not decode, too.
    pub(super) fn read(headers: &'a [u8]) -> Result<Self, TableError> {
        let mut found = SenderSelected::default();
        let mut place = 0;
        for field in fields(headers) {
            let (name, value) = field?;
            let end = place + field_octets(name, &value);
            match name {
                b"CC" => found.cc = found.cc.or(Some(value)),
                b"BCC" if found.bcc.is_none() => {
                    found.bcc = Some(value);
                    found.bcc_place = place..end;
                }
                _ => {}
            }
            place = end;
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.cc.is_none() && self.bcc.is_none()
    }

    /// All routing keys, the message's own first. Members that are not strings are passed over.
    pub(super) fn keys(&self, own: &'a [u8]) -> Result<Vec<&'a [u8]>, ProtocolError> {
        let mut keys = vec![own];
        for (header, value) in [("CC", &self.cc), ("BCC", &self.bcc)] {
            let Some(value) = value else { continue };
            let Some(items) = value.items() else {
                let kind = value.type_name();
                return Err(ProtocolError::SenderSelected { header, kind });
            };
            keys.extend(items.map_while(Result::ok).filter_map(|item| item.as_bytes()));
        }
        Ok(keys)
    }

    /// The properties without the BCC field; `None`: there is none. `table` is where the header
    /// table stands in `properties`, with its length.
    pub(super) fn without_bcc(&self, properties: &[u8], table: Range<usize>) -> Option<Vec<u8>> {
        self.bcc?;
        let fields = table.start + 4;
        let cut = fields + self.bcc_place.start..fields + self.bcc_place.end;
        let length = (table.end - fields - cut.len()) as u32;
        let mut stripped = Vec::with_capacity(properties.len());
        stripped.extend_from_slice(properties.get(..table.start)?);
        stripped.extend_from_slice(&length.to_be_bytes());
        stripped.extend_from_slice(properties.get(fields..cut.start)?);
        stripped.extend_from_slice(properties.get(cut.end..)?);
        Some(stripped)
    }
}

/// Octets of a field on the wire.
fn field_octets(name: &[u8], value: &RawValue<'_>) -> usize {
    // Strings, arrays and tables have a length before their octets.
    let prefix = if matches!(value.kind(), b'S' | b'x' | b'A' | b'F') { 4 } else { 0 };
    1 + name.len() + 1 + prefix + value.octets().len()
}

#[cfg(test)]
mod tests {
    use haremq_engine::table::{Table, Value};

    use super::*;
    use crate::amqp::codec::properties::Properties;

    fn keys(names: &[&str]) -> Value {
        Value::Array(names.iter().map(|name| Value::text(name)).collect())
    }

    /// Properties with these headers and a delivery mode behind them.
    fn properties(headers: Vec<(&str, Value)>) -> Vec<u8> {
        let mut octets = 0b0011_0000_0000_0000u16.to_be_bytes().to_vec();
        let fields = headers.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Table(fields).encode(&mut octets);
        octets.push(2);
        octets
    }

    #[test]
    fn bcc_is_cut_out_and_everything_else_stays_octet_for_octet() {
        let mixed = || {
            vec![
                ("a", Value::I32(1)),
                ("CC", keys(&["x", "y"])),
                ("t", Value::Table(Table(vec![("n".into(), Value::Void)]))),
            ]
        };
        let mut with_bcc = mixed();
        with_bcc.insert(2, ("BCC", keys(&["z"])));
        let octets = properties(with_bcc);
        let found = Properties::read(&octets).expect("well formed");
        let (fields, place) = found.headers.expect("headers");
        let selected = SenderSelected::read(fields).expect("a table");
        let all: Vec<&[u8]> = vec![b"own", b"x", b"y", b"z"];
        assert_eq!(selected.keys(b"own"), Ok(all));
        assert_eq!(selected.without_bcc(&octets, place), Some(properties(mixed())));
    }

    #[test]
    fn headers_without_further_keys_change_nothing() {
        let octets = properties(vec![("a", Value::I32(1))]);
        let found = Properties::read(&octets).expect("well formed");
        let (fields, place) = found.headers.expect("headers");
        let selected = SenderSelected::read(fields).expect("a table");
        assert!(selected.is_empty());
        assert_eq!(selected.without_bcc(&octets, place), None);
    }

    #[test]
    fn a_value_that_is_no_list_is_refused_by_its_type() {
        let octets = properties(vec![("CC", Value::text("notalist"))]);
        let found = Properties::read(&octets).expect("well formed");
        let selected = SenderSelected::read(found.headers.expect("headers").0).expect("a table");
        assert_eq!(
            selected.keys(b"k").map_err(|error| error.text()),
            Err("PRECONDITION_FAILED - invalid message: \
                 {unacceptable_type_in_header,\"CC\",longstr}"
                .to_owned())
        );
    }
}
