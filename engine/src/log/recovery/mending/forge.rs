//! Giving octets the CRC-32 that they should have, by the choice of four of them.
//!
//! A block that takes the place of a lost one must have the lost one's checksum, for the block
//! behind it names that. Four octets that nobody looks at are enough: a CRC is linear.

/// CRC-32 (IEEE 802.3) of each octet by itself.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let mut register = octet as u32;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 { register >> 1 ^ 0xedb8_8320 } else { register >> 1 };
            bit += 1;
        }
        table[octet] = register;
        octet += 1;
    }
    table
}

/// The entry whose highest octet is that: these are all different.
const INVERSE: [u8; 256] = inverse();

const fn inverse() -> [u8; 256] {
    let mut inverse = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        inverse[(TABLE[octet] >> 24) as usize] = octet as u8;
        octet += 1;
    }
    inverse
}

/// The register before `octet` was fed, if it is `register` after it.
fn back(register: u32, octet: u8) -> u32 {
    let index = INVERSE[(register >> 24) as usize];
    (register ^ TABLE[usize::from(index)]) << 8 | u32::from(index ^ octet)
}

/// Changes the four octets at `at` so that the checksum of all is `wanted`.
///
/// # Panics
/// If `octets` ends before `at + 4`.
pub(super) fn forge(octets: &mut [u8], at: usize, wanted: u32) {
    let (before, rest) = octets.split_at_mut(at);
    let (place, behind) = rest.split_at_mut(4);
    let mut register = !wanted;
    for octet in behind.iter().rev() {
        register = back(register, *octet);
    }
    for _ in 0..4 {
        register = back(register, 0);
    }
    let here = !crc32fast::hash(before);
    place.copy_from_slice(&(register ^ here).to_le_bytes());
    debug_assert_eq!(crc32fast::hash(octets), wanted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_checksum_can_be_had_at_any_place() {
        let mut octets: Vec<u8> = (0..200u8).map(|n| n.wrapping_mul(37)).collect();
        for at in [0, 1, 48, 100, 196] {
            for wanted in [0, 1, 0xffff_ffff, 0x1234_5678, 0xdead_beef] {
                let before = octets.clone();
                forge(&mut octets, at, wanted);
                assert_eq!(crc32fast::hash(&octets), wanted, "at {at}");
                assert!(octets[..at] == before[..at] && octets[at + 4..] == before[at + 4..]);
            }
        }
    }
}
