//! Figures of tests that break something, for whoever keeps them: one line of JSON for each run, appended to the file
//! that `HAREMQ_REPORTS` names. Without that nothing is written or measured.
//!
//! A line says what was run, on which state of the sources, on what kind of file system, what a small synced write took
//! there, how long all of it took and whether it passed; what was counted is up to the test.

use crate::durations::Durations;
use crate::ledger::Verdict;
use rustix::fs::{statfs, Mode, OFlags};
use serde_json::{json, Map, Value};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Small writes that are timed.
const SYNCED_WRITES: u64 = 200;
const PAGE: usize = 4096;

/// A line that is being made. It is written when this is dropped, also if the test fails.
#[derive(Debug)]
pub struct Report {
    path: Option<PathBuf>,
    begun: Instant,
    line: Map<String, Value>,
}

impl Report {
    /// Of a run that begins now.
    pub fn begin(run: &str) -> Report {
        Report::to(std::env::var_os("HAREMQ_REPORTS").map(PathBuf::from), run)
    }

    fn to(path: Option<PathBuf>, run: &str) -> Report {
        let mut report = Report { path, begun: Instant::now(), line: Map::new() };
        report.add("run", run);
        if report.path.is_some() {
            report.add("commit", commit());
        }
        report
    }

    /// Something that was found.
    pub fn add(&mut self, name: &str, value: impl Into<Value>) {
        self.line.insert(name.to_owned(), value.into());
    }

    /// On which file system the broker's data is; to be asked before it works there.
    pub fn disk(&mut self, directory: &Path) {
        if self.path.is_none() {
            return;
        }
        self.add("fs", file_system(directory));
        // What the broker's log writes with.
        self.add("sync", "O_DIRECT O_DSYNC");
        self.durations("synced_write_4096", &synced_writes(directory));
    }

    /// How long things took.
    pub fn durations(&mut self, name: &str, durations: &Durations) {
        let ms = |per_mille| durations.at_most(per_mille).map(|one| one.as_secs_f64() * 1e3);
        let (p50, p99, most) = (ms(500), ms(990), ms(1000));
        self.add(name, json!({ "p50_ms": p50, "p99_ms": p99, "most_ms": most }));
    }

    /// What the ledger says.
    pub fn verdict(&mut self, verdict: &Verdict) {
        for (name, count) in [
            ("published", verdict.published),
            ("confirmed", verdict.confirmed),
            ("delivered", verdict.delivered),
            ("lost", verdict.lost.len() as u64),
            ("phantoms", verdict.phantoms.len() as u64),
            ("corrupt", verdict.corrupt),
            ("unflagged_duplicates", verdict.unflagged_duplicates.len() as u64),
            ("flagged_duplicates", verdict.flagged_duplicates),
            ("doubled", verdict.doubled.len() as u64),
            ("out_of_order", verdict.out_of_order.len() as u64),
            ("zombies", verdict.zombies.len() as u64),
            ("returned", verdict.returned),
        ] {
            self.add(name, count);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        self.add("seconds", self.begun.elapsed().as_secs_f64());
        self.add("passed", !std::thread::panicking());
        let line = format!("{}\n", Value::Object(std::mem::take(&mut self.line)));
        let file = OpenOptions::new().append(true).create(true).open(&path);
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            // A second panic would hide the first one.
            eprintln!("{} cannot be written: {error}", path.display());
        }
    }
}

/// The state of the sources.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--abbrev=12", "--dirty"]);
    let answer = git.output().ok().filter(|answer| answer.status.success());
    let text = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    text.unwrap_or_else(|| "unknown".to_owned())
}

fn file_system(directory: &Path) -> String {
    let Ok(disk) = statfs(directory) else { return "unknown".to_owned() };
    match disk.f_type {
        0xef53 => "ext4".to_owned(),
        0x5846_5342 => "xfs".to_owned(),
        0x9123_683e => "btrfs".to_owned(),
        0x0102_1994 => "tmpfs".to_owned(),
        0x794c_7630 => "overlayfs".to_owned(),
        other => format!("{other:#x}"),
    }
}

/// A page at a time to a file that has been written before, as recycled segments have.
fn synced_writes(directory: &Path) -> Durations {
    let path = directory.join("synced-writes");
    let page = [0x5a; PAGE];
    std::fs::write(&path, vec![0; PAGE * SYNCED_WRITES as usize]).expect("there is room");
    let flags = OFlags::WRONLY | OFlags::DSYNC;
    let file = rustix::fs::open(&path, flags, Mode::empty()).expect("it is there");
    let file = std::fs::File::from(file);
    file.sync_all().expect("it can be synced");
    let mut took = Durations::new();
    for number in 0..SYNCED_WRITES {
        let written = took.time(|| file.write_all_at(&page, number * PAGE as u64));
        written.expect("it can be written over");
    }
    std::fs::remove_file(&path).expect("it can be removed");
    took
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::TestDirectory;

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("it was written");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    #[test]
    fn each_run_is_a_line_that_says_what_where_and_how_it_ended() {
        let directory = TestDirectory::new();
        let path = directory.path().join("reports.jsonl");
        let mut report = Report::to(Some(path.clone()), "first");
        report.disk(directory.path());
        report.verdict(&Verdict { confirmed: 7, ..Verdict::default() });
        drop(report);
        let failing = std::thread::spawn({
            let path = path.clone();
            move || {
                let _report = Report::to(Some(path), "second");
                panic!("so that it fails");
            }
        });
        assert!(failing.join().is_err());
        let lines = lines(&path);
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["run"], &lines[0]["passed"]), (&json!("first"), &json!(true)));
        assert_eq!((&lines[1]["run"], &lines[1]["passed"]), (&json!("second"), &json!(false)));
        assert_eq!((&lines[0]["confirmed"], &lines[0]["lost"]), (&json!(7), &json!(0)));
        assert!(lines[0]["synced_write_4096"]["p99_ms"].as_f64() > Some(0.0), "{}", lines[0]);
        assert!(lines[0]["fs"].is_string() && lines[0]["commit"].is_string(), "{}", lines[0]);
        let left: Vec<_> = std::fs::read_dir(directory.path()).expect("it is there").collect();
        assert_eq!(left.len(), 1, "but the report nothing is left: {left:?}");
    }

    #[test]
    fn nobody_who_has_not_asked_gets_a_report() {
        let directory = TestDirectory::new();
        let mut report = Report::to(None, "a run");
        report.disk(directory.path());
        drop(report);
        assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0);
    }
}
