//! What a schedule can find wrong with the engine.

use std::fmt;

/// The promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Promised to be there, and not delivered.
    Lost,
    /// Delivered, and never published.
    Phantom,
    /// Not what was published.
    Corrupt,
    /// Delivered while it was held by somebody, or there twice.
    Duplicate,
    /// Seen before, or never seen, and the redelivered flag says otherwise.
    Flag,
    /// Delivered before one that comes first.
    Order,
    /// Delivered again though its end was final.
    Zombie,
    /// Delivered after its time.
    Expired,
    /// The numbers of a queue are not what they must be.
    Counts,
    /// Half a transaction.
    Torn,
    /// More deliveries than there was credit for.
    Credit,
    /// A confirm, a refusal or a failure that should not be.
    Confirm,
    /// A definition that was answered for is not there, or one that was removed is.
    Definition,
    /// Recovery refuses a log that no more than a crash has happened to.
    Refused,
    /// Nothing goes on, though nothing is missing.
    Stuck,
    /// Memory or disk beyond what the messages need.
    Space,
    /// The engine's own assertions.
    Panic,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

pub type Verdict<T = ()> = Result<T, Violation>;

/// A broken promise, unless `holds`.
pub fn require(holds: bool, kind: Kind, text: impl FnOnce() -> String) -> Verdict {
    match holds {
        true => Ok(()),
        false => Err(Violation { kind, text: text() }),
    }
}

pub fn broken<T>(kind: Kind, text: String) -> Verdict<T> {
    Err(Violation { kind, text })
}
