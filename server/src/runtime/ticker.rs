//! The ticker of a shard: serves deadlines, and is the belt to the braces of every wake-up.

use std::rc::Rc;
use std::time::Duration;

use super::shard::ShardRuntime;

/// While there is traffic. Also bounds what a wake-up that the executor misses can cost: it parks
/// with runnable tasks if it loses the core at the wrong moment.
const BUSY: Duration = Duration::from_millis(5);
/// While there is none: an idle broker is to cost next to nothing. A tick is some 90 us.
const IDLE: Duration = Duration::from_millis(500);
/// Ticks without a turn after which a shard counts as idle.
const TICKS_TO_IDLE: u32 = 20;

/// Runs until it is dropped.
pub(super) async fn run(runtime: Rc<ShardRuntime>) {
    let mut quiet = 0;
    let mut turns = runtime.turns.get();
    loop {
        let pause = if quiet < TICKS_TO_IDLE {
            BUSY
        } else {
            let until_due = runtime.host.borrow_mut().until_due();
            until_due.map_or(IDLE, |left| left.clamp(BUSY, IDLE))
        };
        glommio::timer::sleep(pause).await;
        runtime.budget.enter();
        // The ticker's own turns are not traffic.
        quiet = if runtime.turns.get() == turns { quiet + 1 } else { 0 };
        let due = runtime.host.borrow_mut().is_due();
        if due {
            runtime.turn(None, |host| host.tick());
        }
        turns = runtime.turns.get();
    }
}
