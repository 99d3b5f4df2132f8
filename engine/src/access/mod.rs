//! Who may do what: password hashes, permission regexes.

/// The three kinds of permission (behaviour A115-A117).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    Configure,
    Write,
    Read,
}

/// One user's compiled permissions in one vhost.
#[derive(Debug)]
pub struct Access {}

impl Access {
    /// Whether the resource (queue or exchange; the default exchange is `amq.default`) is allowed.
    /// An empty pattern matches nothing (behaviour A115).
    pub fn allows(&self, _right: Right, _resource: &str) -> bool {
        todo!()
    }
}

/// `salt || sha256(salt || password)` (behaviour B63).
pub fn hash_password(_salt: [u8; 4], _password: &[u8]) -> Vec<u8> {
    todo!()
}

/// Compares in constant time; an unknown user is checked against a dummy hash by the caller
/// passing `None`, so that both take the same time.
pub fn verify_password(_hash: Option<&[u8]>, _password: &[u8]) -> bool {
    todo!()
}
