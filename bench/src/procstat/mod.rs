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
    /// Resident set in octets: what `ps` and `top` show. Pages of the program's file are in it, which the kernel
    /// may take back at any time and read again when they are needed.
    pub(crate) rss_octets: u64,
    /// The part of it that only the process can have filled (RssAnon and RssShmem): the one to go by where small
    /// amounts count.
    pub(crate) anonymous_octets: u64,
}

impl ProcessReading {
    /// Reads /proc/PID/stat and /proc/PID/status.
    pub(crate) fn take(pid: i32) -> Result<ProcessReading> {
        let read =
            |file| {
                fs::read_to_string(format!("/proc/{pid}/{file}"))
                    .map_err(|source| PerfError::Process { pid, file, source })
            };
        let malformed = |file| move || PerfError::ProcessForm { pid, file };
        let ticks = rustix::param::clock_ticks_per_second();
        let page = rustix::param::page_size() as u64;
        let (stat, status) = (read("stat")?, read("status")?);
        let (cpu_us, rss_octets) = stat_fields(&stat, ticks, page).ok_or_else(malformed("stat"))?;
        let anonymous_octets = anonymous(&status).ok_or_else(malformed("status"))?;
        Ok(ProcessReading { cpu_us, rss_octets, anonymous_octets })
    }
}

/// Octets of memory that each of the latest `count` things takes. `None`: the process has given back more meanwhile, so
/// that nothing can be said.
///
/// What a process gives back of its start, or of what it did before, it gives back at the next occasion: so `before` is
/// best taken in the middle, with as many there already as are going to come.
pub(crate) fn memory_of_each(
    before: &ProcessReading,
    after: &ProcessReading,
    count: u64,
) -> Option<f64> {
    let grown = after.anonymous_octets.checked_sub(before.anonymous_octets)?;
    (grown > 0 && count > 0).then(|| grown as f64 / count as f64)
}

/// CPU time in microseconds and resident octets.
fn stat_fields(text: &str, ticks_per_second: u64, page_octets: u64) -> Option<(u64, u64)> {
    // The second field is the name in brackets, and may have blanks and brackets in it.
    let after_name = text.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // Field 3 of proc(5) is index 0 here: utime is 14, stime 15, rss 24.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    Some((ticks * 1_000_000 / ticks_per_second, number(24)? * page_octets))
}

/// Octets of RssAnon and RssShmem.
fn anonymous(text: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kilobytes("RssAnon")? + kilobytes("RssShmem")?) * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_given_back_meanwhile_is_no_figure() {
        let reading =
            |anonymous_octets| ProcessReading { cpu_us: 0, rss_octets: 9_000, anonymous_octets };
        assert_eq!(memory_of_each(&reading(1_000), &reading(5_000), 2), Some(2_000.0));
        assert_eq!(memory_of_each(&reading(5_000), &reading(1_000), 2), None);
        assert_eq!(memory_of_each(&reading(5_000), &reading(5_000), 2), None);
    }

    #[test]
    fn a_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let text = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 11 0 0 0 150 50 0 0 20 0 4 0 99 \
                    1000000 25 18446744073709551615 1 1 0";
        assert_eq!(stat_fields(text, 100, 4096), Some((2_000_000, 25 * 4096)));
        assert_eq!(stat_fields("4242 (x) S 1", 100, 4096), None);
    }

    /// What 2000 connections take was once told as less than nothing: the kernel had taken back more of the
    /// program's file meanwhile.
    #[test]
    fn pages_of_files_do_not_count_as_anonymous() {
        let text = "Name:\tx\nVmRSS:\t    9000 kB\nRssAnon:\t    1000 kB\nRssFile:\t    7990 kB\n\
                    RssShmem:\t      10 kB\n";
        assert_eq!(anonymous(text), Some(1010 * 1024));
        assert_eq!(anonymous("VmRSS:\t    9000 kB\n"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let reading = ProcessReading::take(std::process::id() as i32).unwrap();
        assert!(reading.rss_octets > 100_000);
        assert!((10_000..=reading.rss_octets).contains(&reading.anonymous_octets), "{reading:?}");
    }
}
