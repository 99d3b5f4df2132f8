//! What must not go on after a panic ends the process.

/// Aborts if it is dropped, which happens only while a panic unwinds.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        eprintln!("haremq: internal error in a shard (see above); the process ends, nothing confirmed is lost");
        std::process::abort();
    }
}

/// Runs `work`, during which the shard's state is half changed: a panic out of it must not be
/// caught by anyone. Costs nothing if there is none.
#[inline]
pub(super) fn on_panic<T>(work: impl FnOnce() -> T) -> T {
    let bomb = Bomb;
    let done = work();
    std::mem::forget(bomb);
    done
}
