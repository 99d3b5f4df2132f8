//! The subcommands, one module each: measure, print, write.

pub(crate) mod backlog;
pub(crate) mod churn;
pub(crate) mod connections;
pub(crate) mod queues;
pub(crate) mod relay;
pub(crate) mod throughput;

/// How a command ended that could be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing to complain of.
    Clean,
    /// Messages were lost, duplicated or never confirmed.
    Faulty,
}
