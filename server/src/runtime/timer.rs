//! A timer that leaves the executor's sleep alone: a descriptor of the kernel's that becomes
//! readable.
//!
//! The executor sets its own timers anew each time it goes to sleep and takes them back when it
//! wakes, which costs several system calls and, on many machines, the reprogramming of a hardware
//! timer for each message. This one stands in the kernel until it is due.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use glommio::io::PollableFd;
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags,
    Timespec,
};

/// One timer, used by one task.
#[derive(Debug)]
pub(super) struct Timer(PollableFd<OwnedFd>);

impl Timer {
    pub(super) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Timer(PollableFd::new(descriptor)?))
    }

    /// Sleeps for `time`, of which nothing is left over if it is dropped before.
    pub(super) async fn sleep(&self, time: Duration) -> io::Result<()> {
        // Zero would mean never.
        let time = time.max(Duration::from_nanos(1));
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let once = Itimerspec { it_interval: zero, it_value };
        // Forgets what it counted before.
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        self.0.readable().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::LocalExecutor;
    use std::time::Instant;

    #[test]
    fn it_sleeps_as_long_as_told_and_again_after_being_dropped_halfway() {
        LocalExecutor::default().run(async {
            let timer = Timer::new().unwrap();
            let began = Instant::now();
            timer.sleep(Duration::from_millis(20)).await.unwrap();
            assert!(began.elapsed() >= Duration::from_millis(20));
            // Something else comes first.
            let long = async { timer.sleep(Duration::from_secs(3600)).await.unwrap() };
            futures_lite::future::or(long, async {}).await;
            let short = async { timer.sleep(Duration::from_millis(1)).await.unwrap() };
            let never = std::future::pending();
            futures_lite::future::or(short, never).await;
            // An expiry that nobody has waited for does not end the next sleep.
            let missed = async { timer.sleep(Duration::from_nanos(1)).await.unwrap() };
            futures_lite::future::or(async {}, missed).await;
            let began = Instant::now();
            timer.sleep(Duration::from_millis(20)).await.unwrap();
            assert!(began.elapsed() >= Duration::from_millis(20));
        });
    }
}
