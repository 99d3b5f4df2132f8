//! Operations that fail, and devices that lie.

use haremq_engine::log::IoFailure;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
    /// Fewer octets were written than asked for.
    Short,
    /// ENOSPC where a file is to be made, and nowhere else: what a full disk does to files that
    /// have all their blocks.
    Full,
}

impl FailureKind {
    /// Those that an operation can fail with, whatever it is.
    pub const ALL: [FailureKind; 3] = [FailureKind::Io, FailureKind::NoSpace, FailureKind::Short];

    pub(super) fn error(self) -> IoFailure {
        let (code, text) = match self {
            FailureKind::Io => (Some(5), "input/output error"),
            FailureKind::NoSpace | FailureKind::Full => (Some(28), "no space left on device"),
            FailureKind::Short => (None, "a short write"),
        };
        IoFailure { code, text: text.into() }
    }
}

/// Operation number `at` fails, counted from 1, and if it is `persistent` all after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub at: u64,
    pub kind: FailureKind,
    pub persistent: bool,
}

impl Failure {
    pub(super) fn strikes(&self, operation: u64) -> Option<FailureKind> {
        let strikes = operation == self.at || (self.persistent && operation > self.at);
        strikes.then_some(self.kind)
    }
}

/// A device that breaks its word. Nothing survives that: it is here to show that the oracle sees
/// it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    #[default]
    None,
    /// "Synced", and nothing of the last writes is.
    NotSynced,
    /// A write is reported before it has been carried out.
    Early,
    /// A file's directory entry may go with the power.
    EntryNotSynced,
}

impl Lie {
    /// How many of the latest writes are not on stable storage.
    pub(super) fn writes_kept_back(self) -> Option<usize> {
        match self {
            Lie::NotSynced => Some(64),
            Lie::Early => Some(1),
            Lie::None | Lie::EntryNotSynced => None,
        }
    }
}
