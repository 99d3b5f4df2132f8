//! Salted password hashes in RabbitMQ's form (behaviour B63), so that they can be imported.

use sha2::{Digest, Sha256};

const SALT_BYTES: usize = 4;
const HASH_BYTES: usize = SALT_BYTES + 32;

/// `salt || sha256(salt || password)` (behaviour B63).
pub fn hash_password(salt: [u8; 4], password: &[u8]) -> Vec<u8> {
    let digest = Sha256::new().chain_update(salt).chain_update(password).finalize();
    let mut hash = Vec::with_capacity(HASH_BYTES);
    hash.extend_from_slice(&salt);
    hash.extend_from_slice(&digest);
    hash
}

/// Compares in constant time; an unknown user is checked against a dummy hash by the caller
/// passing `None`, so that both take the same time.
///
/// A hash of the wrong size (a user without a password has an empty one) and the empty password
/// are always refused.
pub fn verify_password(hash: Option<&[u8]>, password: &[u8]) -> bool {
    let known = hash.and_then(|hash| <&[u8; HASH_BYTES]>::try_from(hash).ok());
    let expected = known.unwrap_or(&[0; HASH_BYTES]);
    let [a, b, c, d, ..] = *expected;
    let actual = hash_password([a, b, c, d], password);
    let difference = actual.iter().zip(expected).fold(0, |seen, (x, y)| seen | (x ^ y));
    // Opaque to the optimizer, which might otherwise leave the comparison early.
    let equal = std::hint::black_box(difference) == 0;
    equal & known.is_some() & !password.is_empty()
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    #[test]
    fn a_hash_is_salt_and_sha256_of_salt_and_password() {
        let hash = hash_password([0x90, 0x8d, 0xc6, 0x0a], b"test12");
        // The worked example of RabbitMQ's guide to passwords.
        let encoded = base64::engine::general_purpose::STANDARD.encode(hash);
        assert_eq!(encoded, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn only_the_right_password_verifies() {
        let hash = hash_password([1, 2, 3, 4], b"secret");
        assert!(verify_password(Some(&hash), b"secret"));
        assert!(!verify_password(Some(&hash), b"Secret"));
        assert!(!verify_password(Some(&hash), b""));
        let mut changed = hash.clone();
        changed[35] ^= 1;
        assert!(!verify_password(Some(&changed), b"secret"));
    }

    #[test]
    fn nobody_logs_in_without_a_hash_or_with_an_empty_password() {
        assert!(!verify_password(None, b"secret"));
        assert!(!verify_password(Some(&[]), b"secret"));
        assert!(!verify_password(Some(&[0; 36]), b""));
        assert!(!verify_password(Some(&hash_password([0; 4], b"")), b""));
        assert!(!verify_password(Some(&hash_password([0; 4], b"x")[..35]), b"x"));
    }
}
