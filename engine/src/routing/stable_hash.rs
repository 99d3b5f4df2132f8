//! Hashes that stay the same for ever: where a message goes by hash must survive restarts and new
//! versions, so no library's hash will do.

use crate::table::RawValue;

/// FNV-1a over octets, its bits mixed well at the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct StableHash(u64);

impl StableHash {
    pub(super) fn new() -> Self {
        StableHash(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn octets(mut self, octets: &[u8]) -> Self {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
        self
    }

    /// A field value. Integers count by value, whatever their width.
    pub(super) fn value(self, value: RawValue<'_>) -> Self {
        match value.as_integer() {
            Some(integer) => self.octets(b"i").octets(&integer.to_le_bytes()),
            None => self.octets(&[value.kind()]).octets(value.octets()),
        }
    }

    pub(super) fn finish(self) -> u64 {
        mix(self.0)
    }
}

/// Spreads every bit over all others.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_every_version_before() {
        let of = |octets: &[u8]| StableHash::new().octets(octets).finish();
        assert_eq!(
            [of(b""), of(b"a"), of(b"orders.1")],
            [0xefd0_1f60_ba99_2926, 0x82a2_a958_a9be_ce5b, 0x3eb0_93e3_7b9d_d116]
        );
        let five = RawValue::new(b'I', &[0, 0, 0, 5]);
        let wide = RawValue::new(b'l', &[0, 0, 0, 0, 0, 0, 0, 5]);
        let text = RawValue::new(b'S', b"5");
        let of = |value| StableHash::new().value(value).finish();
        assert_eq!(of(five), of(wide));
        assert_ne!(of(five), of(text));
    }
}
