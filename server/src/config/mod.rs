//! What the operator may set: flags, a TOML file with the same keys, and defaults, in this order
//! of precedence. Pure but for reading the file; used by `main` alone, before any shard exists.
//! Must not import `runtime`, `ring`, `amqp` or `management`.

mod error;
mod file;
mod flags;
mod limits;
mod settings;
mod watermarks;

pub use error::ConfigError;
pub use flags::{CheckFlags, Flags};
pub use limits::NodeLimits;
pub use settings::{LogLevel, Pin, Settings, SHARDS_MAX};
pub use watermarks::{MemoryWatermark, Watermarks};
