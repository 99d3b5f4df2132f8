//! Ctrl-C ends the measurement early and in order: queues are deleted and the report is written.
//! A second one ends the process at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Takes the signals over. Without it, or where it fails, they keep their default meaning.
pub(crate) fn install() {
    let requested = REQUESTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and only raises it.
        let _ = flag::register_conditional_shutdown(signal, 130, Arc::clone(requested));
        let _ = flag::register(signal, Arc::clone(requested));
    }
}

/// Somebody wants this to end.
pub(crate) fn requested() -> bool {
    REQUESTED.get().is_some_and(|requested| requested.load(Ordering::Relaxed))
}
