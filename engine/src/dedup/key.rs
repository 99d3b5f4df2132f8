//! What a message is told apart by.

use sha2::{Digest, Sha256};

use crate::table::field;

/// Half of the SHA-256 of a header's value and its type; integers count by value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DedupKey([u8; 16]);

impl DedupKey {
    /// As they are kept on disk.
    pub fn octets(self) -> [u8; 16] {
        self.0
    }

    pub fn from_octets(octets: [u8; 16]) -> DedupKey {
        DedupKey(octets)
    }

    /// From the fields of a header table; `None`: the message is never a duplicate.
    pub fn of(headers: &[u8]) -> Option<DedupKey> {
        let value = field(headers, b"x-deduplication-header")?;
        let mut hash = Sha256::new();
        match value.as_integer() {
            Some(integer) => {
                hash.update(b"i");
                hash.update(integer.to_le_bytes());
            }
            None => {
                hash.update([value.kind()]);
                hash.update(value.octets());
            }
        }
        let digest: [u8; 32] = hash.finalize().into();
        digest.first_chunk::<16>().copied().map(DedupKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, Value};

    fn key(value: Value) -> Option<DedupKey> {
        let mut octets = Vec::new();
        Table(vec![("x-deduplication-header".into(), value)]).encode_fields(&mut octets);
        DedupKey::of(&octets)
    }

    #[test]
    fn values_are_told_apart_by_type_and_octets_and_integers_by_value() {
        assert_eq!(key(Value::I32(5)), key(Value::U8(5)));
        assert_ne!(key(Value::I32(5)), key(Value::text("5")));
        assert_ne!(key(Value::text("a")), key(Value::text("b")));
        assert!(key(Value::text("")).is_some());
        assert_eq!(DedupKey::of(&[]), None);
    }
}
