//! Time as an argument. The engine never asks for it.

/// One reading of both clocks, taken by the runtime once per turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall clock, milliseconds since 1970. For what must mean the same after a restart
    /// (message expiry, x-death time).
    pub unix_ms: u64,
    /// Monotonic, microseconds since an arbitrary start. For everything else.
    pub monotonic_us: u64,
}
