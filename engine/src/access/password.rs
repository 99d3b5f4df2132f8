//! Salted password hashes in RabbitMQ's forms (behaviour B63), so that they can be imported.

use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

const SALT_BYTES: usize = 4;
/// Octets of the longest digest.
const DIGEST_BYTES_MAX: usize = 64;

/// Which digest stands behind the salt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordHashing {
    #[default]
    Sha256,
    Sha512,
    /// Of very old installations.
    Md5,
}

const NAMES: [(&str, PasswordHashing); 3] = [
    ("rabbit_password_hashing_sha256", PasswordHashing::Sha256),
    ("rabbit_password_hashing_sha512", PasswordHashing::Sha512),
    ("rabbit_password_hashing_md5", PasswordHashing::Md5),
];

impl PasswordHashing {
    /// `None`: not known here.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(own, _)| *own == name).map(|(_, hashing)| *hashing)
    }

    /// As definitions write it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, hashing)| *hashing == self).map_or("", |(name, _)| name)
    }

    /// Octets of salt and digest.
    pub fn hash_bytes(self) -> usize {
        SALT_BYTES
            + match self {
                PasswordHashing::Sha256 => 32,
                PasswordHashing::Sha512 => 64,
                PasswordHashing::Md5 => 16,
            }
    }

    /// `salt || digest(salt || password)`
    pub fn hash(self, salt: [u8; SALT_BYTES], password: &[u8]) -> Vec<u8> {
        fn digest<D: Digest>(salt: [u8; SALT_BYTES], password: &[u8], hash: &mut Vec<u8>) {
            let digest = D::new().chain_update(salt).chain_update(password).finalize();
            hash.extend_from_slice(&digest);
        }
        let mut hash = Vec::with_capacity(self.hash_bytes());
        hash.extend_from_slice(&salt);
        match self {
            PasswordHashing::Sha256 => digest::<Sha256>(salt, password, &mut hash),
            PasswordHashing::Sha512 => digest::<Sha512>(salt, password, &mut hash),
            PasswordHashing::Md5 => digest::<Md5>(salt, password, &mut hash),
        }
        hash
    }
}

/// The hash of a new password: `salt || sha256(salt || password)` (behaviour B63).
pub fn hash_password(salt: [u8; SALT_BYTES], password: &[u8]) -> Vec<u8> {
    PasswordHashing::Sha256.hash(salt, password)
}

/// Compares in constant time; an unknown user is checked against a dummy hash by the caller
/// passing `None`, so that both take the same time.
///
/// A hash of the wrong size (a user without a password has an empty one) and the empty password
/// are always refused.
pub fn verify_password(known: Option<(PasswordHashing, &[u8])>, password: &[u8]) -> bool {
    let known = known.filter(|(hashing, hash)| hash.len() == hashing.hash_bytes());
    let dummy = [0; SALT_BYTES + DIGEST_BYTES_MAX];
    let (hashing, expected) = known.unwrap_or_else(|| {
        let hashing = PasswordHashing::default();
        (hashing, &dummy[..hashing.hash_bytes()])
    });
    let salt = expected.first_chunk().copied().unwrap_or_default();
    let actual = hashing.hash(salt, password);
    let difference = actual.iter().zip(expected).fold(0, |seen, (x, y)| seen | (x ^ y));
    // Opaque to the optimizer, which might otherwise leave the comparison early.
    let equal = std::hint::black_box(difference) == 0;
    equal & (actual.len() == expected.len()) & known.is_some() & !password.is_empty()
}

#[cfg(test)]
mod tests {
    use base64::Engine;

    use super::*;

    fn sha256(hash: &[u8]) -> Option<(PasswordHashing, &[u8])> {
        Some((PasswordHashing::Sha256, hash))
    }

    #[test]
    fn a_hash_is_salt_and_sha256_of_salt_and_password() {
        let hash = hash_password([0x90, 0x8d, 0xc6, 0x0a], b"test12");
        // The worked example of RabbitMQ's guide to passwords.
        let encoded = base64::engine::general_purpose::STANDARD.encode(hash);
        assert_eq!(encoded, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
    }

    #[test]
    fn only_the_right_password_verifies() {
        for (_, hashing) in NAMES {
            let hash = hashing.hash([1, 2, 3, 4], b"secret");
            assert_eq!(hash.len(), hashing.hash_bytes());
            fn of(hashing: PasswordHashing, hash: &[u8]) -> Option<(PasswordHashing, &[u8])> {
                Some((hashing, hash))
            }
            assert!(verify_password(of(hashing, &hash), b"secret"));
            assert!(!verify_password(of(hashing, &hash), b"Secret"));
            assert!(!verify_password(of(hashing, &hash), b""));
            let mut changed = hash.clone();
            *changed.last_mut().expect("octets") ^= 1;
            assert!(!verify_password(of(hashing, &changed), b"secret"));
            for (_, other) in NAMES {
                let right = verify_password(Some((other, &hash)), b"secret");
                assert_eq!(right, other == hashing);
            }
        }
    }

    #[test]
    fn nobody_logs_in_without_a_hash_or_with_an_empty_password() {
        assert!(!verify_password(None, b"secret"));
        assert!(!verify_password(sha256(&[]), b"secret"));
        assert!(!verify_password(sha256(&[0; 36]), b""));
        assert!(!verify_password(sha256(&hash_password([0; 4], b"")), b""));
        assert!(!verify_password(sha256(&hash_password([0; 4], b"x")[..35]), b"x"));
    }

    #[test]
    fn every_hashing_has_its_name() {
        for (name, hashing) in NAMES {
            assert_eq!(PasswordHashing::from_name(name), Some(hashing));
            assert_eq!(hashing.name(), name);
        }
        assert_eq!(PasswordHashing::from_name("plain"), None);
    }
}
