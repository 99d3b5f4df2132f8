//! Why the broker does not start. Each prints as one sentence that says what to change.

use std::net::SocketAddr;
use std::path::PathBuf;

use haremq_engine::log::LogError;
use haremq_engine::topology::DefinitionError;

use super::transport::DoorError;
use crate::config::ConfigError;

/// Final: `main` prints it and exits with status 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),

    #[error("TLS: {0}")]
    Tls(#[from] DoorError),

    #[error(
        "cannot listen on {address} for {what}: another program, perhaps another HareMQ, has the \
         port; stop it or choose another address with {flag}"
    )]
    PortTaken { what: &'static str, flag: &'static str, address: SocketAddr },
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen { what: &'static str, address: SocketAddr, source: std::io::Error },

    #[error(
        "the data directory {} is in use by another haremq{}; stop it or choose another \
         directory with --data-dir",
        dir.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    DataDirLocked { dir: PathBuf, pid: Option<u32> },
    #[error(
        "{} is not empty and is not a HareMQ data directory (it has no {marker}); choose another \
         directory with --data-dir",
        dir.display()
    )]
    DataDirForeign { dir: PathBuf, marker: &'static str },
    #[error(
        "the data directory {} was written by a newer HareMQ (format {version}, this one knows up \
         to {known}); start that version or restore a backup",
        dir.display()
    )]
    DataDirNewer { dir: PathBuf, version: u64, known: u64 },
    #[error(
        "{} is damaged: {what}; restore it from a backup, it holds the format version and the \
         number of shards",
        path.display()
    )]
    DataDirMarker { path: PathBuf, what: String },
    #[error(
        "--shards {asked} is fewer than the {has} that the data directory {} has; the number may \
         grow but not shrink",
        dir.display()
    )]
    FewerShards { dir: PathBuf, asked: u16, has: u16 },
    #[error("cannot {what} {}: {source}", path.display())]
    DataDirIo { what: &'static str, path: PathBuf, source: std::io::Error },

    #[error(
        "io_uring is not available: this kernel ({kernel}) does not have it; HareMQ needs Linux \
         5.8 or newer"
    )]
    UringMissing { kernel: String },
    #[error(
        "io_uring is not available: it is switched off by kernel.io_uring_disabled={value}; allow \
         it with `sysctl kernel.io_uring_disabled=0`"
    )]
    UringSwitchedOff { value: u8 },
    #[error(
        "io_uring is not available: the system call is refused, as container runtimes do by \
         default; start the container with a seccomp profile that allows io_uring_setup, \
         io_uring_enter and io_uring_register (for Docker: --security-opt seccomp=FILE)"
    )]
    UringRefused,
    #[error(
        "io_uring is not available: this kernel ({kernel}) lacks {missing}; HareMQ needs Linux \
         5.8 or newer"
    )]
    UringTooOld { kernel: String, missing: String },
    #[error("io_uring is not available: {source}")]
    Uring { source: std::io::Error },

    #[error(
        "the limit of locked memory (RLIMIT_MEMLOCK, `ulimit -l`) is {limit_kib} KiB and {needed_kib} \
         KiB are needed; raise it with `ulimit -l {needed_kib}`, in limits.conf (memlock) or with \
         LimitMEMLOCK= in the service's unit"
    )]
    MemoryLock { limit_kib: u64, needed_kib: u64 },
    #[error(
        "--pin on needs a core for each shard: {shards} shards, but the process may use {cores} \
         cores; use fewer shards or --pin off"
    )]
    TooFewCores { shards: u16, cores: usize },

    #[error("cannot open {} for direct I/O: {what}; put the data directory on a file system that allows O_DIRECT, such as ext4 or xfs", path.display())]
    DirectIo { path: PathBuf, what: String },
    #[error("cannot use {}: {what}", path.display())]
    Segment { path: PathBuf, what: String },
    #[error("shard {shard} ({}) cannot be recovered: {source}", dir.display())]
    Recovery { shard: u16, dir: PathBuf, source: LogError },
    #[error("the definitions in {} cannot be read: {source}", dir.display())]
    Definitions { dir: PathBuf, source: DefinitionError },
    #[error(
        "shard {shard} ({}) cannot be recovered: {source}. `haremq check --data-dir {}` lists all \
         damage and the messages in it; restore the files from a backup, or start with \
         --quarantine-damage to put the damage aside and serve the rest",
        dir.display(), data_dir.display()
    )]
    Damaged { shard: u16, dir: PathBuf, data_dir: PathBuf, source: LogError },
    #[error(
        "shard {shard} ({}) is damaged, and too much to serve what is left: {source}; nothing has \
         been changed; restore it from a backup",
        dir.display()
    )]
    Unmendable { shard: u16, dir: PathBuf, source: LogError },
    #[error(
        "a start with --quarantine-damage has not finished what {} lists; start with \
         --quarantine-damage again to finish it, or restore the files from a backup and remove that \
         list",
        path.display()
    )]
    QuarantineUnfinished { path: PathBuf },
    #[error(
        "{} at octet {offset} is neither what it was when {} was written nor what it is to become; \
         it is not written over; if the files are from a backup, remove that list",
        file.display(), path.display()
    )]
    QuarantineOvertaken { path: PathBuf, file: PathBuf, offset: u64 },
    #[error(
        "{}, which lists what an unfinished start with --quarantine-damage has begun to write, is \
         damaged; restore the files from a backup and remove it",
        path.display()
    )]
    QuarantineLost { path: PathBuf },
    #[error("the definitions in {} cannot be loaded: {what}", path.display())]
    LoadDefinitions { path: PathBuf, what: String },
    #[error("cannot start the thread of shard {shard}: {what}")]
    Executor { shard: u16, what: String },
    #[error("cannot start the management interface: {what}")]
    Management { what: String },
    #[error("cannot watch for signals: {source}")]
    Signals { source: std::io::Error },
}
