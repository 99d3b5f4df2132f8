//! The ticker of a shard: serves deadlines. When nothing goes on it dozes, and the next turn rouses
//! it. When nothing has gone on for a while it has free memory given back.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use haremq_engine::event::Event;
use haremq_engine::ids::ShardId;

use super::memory;
use super::shard::ShardRuntime;
use crate::amqp::Broker;

/// While there is traffic.
const BUSY: Duration = Duration::from_millis(5);
/// While there is none: an idle broker is to cost next to nothing. A tick is some 90 us.
const IDLE: Duration = Duration::from_millis(500);
/// Ticks without a turn after which a shard counts as idle.
const TICKS_TO_IDLE: u32 = 20;
/// Time without a turn after which free memory is given back. More than the second for which the allocator keeps it.
const REST_US: u64 = 1_500_000;

/// Runs until it is dropped.
pub(super) async fn run(runtime: Rc<ShardRuntime>) {
    let mut quiet = 0;
    let mut turns = runtime.turns.get();
    let mut alarm = None;
    // When the shard last had something to do; `None`: memory has been given back since.
    let mut busy_us = Some(runtime.host.borrow().now_us());
    loop {
        let pause = if quiet < TICKS_TO_IDLE {
            BUSY
        } else {
            let until_due = runtime.host.borrow_mut().until_due();
            until_due.map_or(IDLE, |left| left.clamp(BUSY, IDLE))
        };
        doze(&runtime, pause).await;
        runtime.enter();
        if runtime.shard == ShardId::TOPOLOGY_WRITER {
            let now_us = runtime.host.borrow().now_us();
            runtime.common.alarms.look_at_disk(now_us);
            let raised = runtime.common.alarms.reason();
            if raised != alarm {
                announce(&runtime, alarm, raised);
                alarm = raised;
            }
        }
        // The ticker's own turns are not traffic.
        quiet = if runtime.turns.get() == turns { quiet + 1 } else { 0 };
        let now_us = runtime.host.borrow().now_us();
        if quiet == 0 {
            busy_us = Some(now_us);
        } else if busy_us.is_some_and(|busy_us| now_us >= busy_us + REST_US) {
            memory::give_back();
            busy_us = None;
        }
        let due = runtime.host.borrow_mut().is_due();
        if due {
            runtime.turn(None, |host| host.tick());
        }
        turns = runtime.turns.get();
    }
}

/// Tells the event exchange what is short now, and what was.
fn announce(runtime: &Rc<ShardRuntime>, before: Option<&str>, now: Option<&str>) {
    runtime.turn(None, |host| {
        let mut view = host.view();
        if view.wants_events() {
            let name = if now.is_some() { "alarm.set" } else { "alarm.cleared" };
            let what = now.or(before).unwrap_or_default();
            view.announce(&Event::new(name).with_text("reason", what));
        }
    });
}

/// Sleeps for `pause`, or until the next turn if that comes first: a turn may set a deadline (an
/// expiry, a commit of settles) that is nearer than the end of an idle pause.
async fn doze(runtime: &ShardRuntime, pause: Duration) {
    if pause <= BUSY {
        return runtime.lookout.tick(pause).await;
    }
    runtime.doze.begin();
    let roused = poll_fn(|cx| match runtime.doze.is_over(cx.waker()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    futures_lite::future::or(runtime.lookout.tick(pause), roused).await;
    runtime.doze.end();
}
