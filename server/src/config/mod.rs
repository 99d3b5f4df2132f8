//! What the operator may set: flags, a TOML file with the same keys, and defaults, in this order
//! of precedence. Pure but for reading the file; used by `main` alone, before any shard exists.
//! Must not import `runtime`, `ring`, `amqp` or `management`.

mod auth;
mod error;
mod file;
mod flags;
mod limits;
mod settings;
mod stamps;
mod tls;
mod watermarks;

pub use auth::{AlternativeName, AuthSettings, CertificateName};
pub use error::ConfigError;
pub use flags::{CheckFlags, Flags};
pub use limits::NodeLimits;
pub use settings::{LogLevel, Pin, Settings, SHARDS_MAX};
pub use tls::{TlsSettings, TlsVersions};
pub use watermarks::{DiskFreeLimit, MemoryWatermark, Watermarks};
