//! What the system says about a process: CPU time, resident memory, who listens on a port. From /proc.

pub(crate) mod listener;

use std::fs;

use serde::Serialize;

use crate::error::{PerfError, Result};

/// CPU time and memory of a process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessReading {
    /// User and system time of all threads, ended ones included, in microseconds. It moves in steps of the
    /// kernel's tick, mostly 10 ms.
    pub(crate) cpu_us: u64,
    /// Resident set in octets.
    pub(crate) rss_octets: u64,
}

impl ProcessReading {
    /// Reads /proc/PID/stat.
    pub(crate) fn take(pid: i32) -> Result<ProcessReading> {
        let file = "stat";
        let text = fs::read_to_string(format!("/proc/{pid}/{file}"))
            .map_err(|source| PerfError::Process { pid, file, source })?;
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        parse(&text, ticks, page).ok_or(PerfError::ProcessForm { pid, file })
    }
}

fn parse(text: &str, ticks_per_second: u64, page_octets: u64) -> Option<ProcessReading> {
    // The second field is the name in brackets, and may have blanks and brackets in it.
    let after_name = text.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // Field 3 of proc(5) is index 0 here: utime is 14, stime 15, rss 24.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some(ProcessReading {
        cpu_us: ticks * 1_000_000 / ticks_per_second,
        rss_octets: number(24)? * page_octets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 11 0 0 0 150 50 0 0 20 0 4 0 99 \
                    1000000 25 18446744073709551615 1 1 0";
        let reading = ProcessReading { cpu_us: 2_000_000, rss_octets: 25 * 4096 };
        assert_eq!(parse(text, 100, 4096), Some(reading));
        assert_eq!(parse("4242 (x) S 1", 100, 4096), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let reading = ProcessReading::take(std::process::id() as i32).unwrap();
        assert!(reading.rss_octets > 100_000);
    }
}
