//! Why a queue says no to a command.

/// Facts only; the connection that asked knows the queue's name and makes the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// Deleted between the look-up and the command: `404 no queue ...`.
    #[error("no such queue")]
    NoQueue,
    /// Exclusive consumer present or asked for beside others, or exclusive on a single active
    /// consumer queue (behaviour A90, B16).
    #[error("in exclusive use")]
    ExclusiveUse,
    /// delete if-unused (behaviour A79).
    #[error("in use")]
    InUse,
    /// delete if-empty.
    #[error("not empty")]
    NotEmpty,
}
