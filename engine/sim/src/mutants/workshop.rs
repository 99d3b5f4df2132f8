//! Builds a copy of engine and simulator below `target/mutants` that can be any of the mutants, and looks at one after
//! the other.
//!
//! A mutant is run on the same seeds, from 1 on, each time: what is caught does not depend on how busy the machine is,
//! but for the time after which one that hangs is given up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::switch::{switched, ROOT, VARIABLE};
use super::{apply, Judge, Mutant};

/// How it is built: `--release`, or as tests are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Release,
    Test,
}

/// How far a mutant is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub schedules: u64,
    /// Of a clock on the wall.
    pub seconds: u64,
}

/// Schedules after which those come whose operations fail one by one.
const FIRST_SCHEDULES: u64 = 300;
/// What a run may take beyond the time that it is given, to be told from one that hangs.
const GRACE: Duration = Duration::from_secs(60);
/// After that time tests are ended.
const TESTS_TAKE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Schedules that the copy has to pass as long as it is no mutant.
const PASSED_SCHEDULES: u64 = 30;

/// See the module.
#[derive(Clone, Debug)]
pub struct Workshop {
    root: PathBuf,
    copy: PathBuf,
    profile: Profile,
}

fn text_of(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A file that is the same keeps its time, so that only what changed is built.
fn put(path: &Path, text: &str) -> Result<(), String> {
    if fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let made = path.parent().map_or(Ok(()), fs::create_dir_all);
    made.and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// Everything below `from` that is Rust.
fn sources(from: &Path, below: &Path, all: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(from.join(below)).map_err(|error| error.to_string())?;
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            sources(from, &path, all)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push(path);
        }
    }
    Ok(())
}

/// A workspace of engine and simulator alone, with profiles of its own: built once, without what only the product
/// or who debugs it needs.
fn manifest(text: &str) -> String {
    let mut made = String::new();
    let mut is_kept = true;
    for line in text.lines() {
        is_kept = if line.starts_with('[') { !line.starts_with("[profile") } else { is_kept };
        if line.starts_with("members") {
            made.push_str("members = [\"engine\", \"engine/sim\"]\n");
        } else if is_kept && !line.starts_with("default-members") {
            made.push_str(line);
            made.push('\n');
        }
    }
    made + "[profile.release]\noverflow-checks = true\n[profile.dev]\ndebug = false\n"
}

/// What cargo is asked for, to build it and, where these are tests, to run them.
fn what_judges(judge: Judge) -> &'static [&'static str] {
    match judge {
        Judge::Simulator => &["build", "-p", "haremq-sim", "--bin", "haremq-sim"],
        Judge::UnitTests(_) => &["test", "-p", "haremq-engine", "--lib"],
        Judge::ShardTests(_) => &["test", "-p", "haremq-engine", "--test", "shards"],
    }
}

impl Workshop {
    /// `root`: of this workspace.
    pub fn new(root: &Path, profile: Profile) -> Self {
        let below = match profile {
            Profile::Release => "target/mutants/release",
            Profile::Test => "target/mutants/test",
        };
        Workshop { root: root.to_owned(), copy: root.join(below), profile }
    }

    /// Copies the sources so that one build is all of these mutants, of which the numbers are given. Gives those that
    /// need a build of their own.
    ///
    /// # Errors
    /// A mutant does not apply, or something cannot be read or written.
    pub fn copy(&self, mutants: &[(usize, &Mutant)]) -> Result<Vec<usize>, String> {
        let mut all = Vec::new();
        for below in ["engine/src", "engine/tests", "engine/benches", "engine/sim/src"] {
            sources(&self.root, Path::new(below), &mut all)?;
        }
        let mut left_out = Vec::new();
        for path in all {
            let mut text = text_of(&self.root.join(&path))?;
            let is_its = |mutant: &&Mutant| Path::new("engine/src").join(mutant.file) == path;
            let its: Vec<_> =
                mutants.iter().filter(|(_, mutant)| is_its(mutant)).copied().collect();
            if !its.is_empty() {
                let others;
                (text, others) = switched(&text, &its)?;
                left_out.extend(others);
            }
            if path == Path::new("engine/src/lib.rs") {
                text.push_str(ROOT);
            }
            put(&self.copy.join(&path), &text)?;
        }
        for file in ["engine/Cargo.toml", "engine/sim/Cargo.toml", "Cargo.lock"] {
            put(&self.copy.join(file), &text_of(&self.root.join(file))?)?;
        }
        put(&self.copy.join("Cargo.toml"), &manifest(&text_of(&self.root.join("Cargo.toml"))?))?;
        Ok(left_out)
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        self.prepare(Command::new(env!("CARGO")), arguments)
    }

    /// Runs tests, and ends them with all that they have started when their time is over: a test of a mutant may go on for
    /// ever, and would outlive the cargo that has started it.
    fn tests(&self, judge: Judge) -> Command {
        let mut command = Command::new("timeout");
        let seconds = TESTS_TAKE.as_secs().to_string();
        command.args(["--signal=KILL", &seconds, env!("CARGO")]);
        self.prepare(command, what_judges(judge))
    }

    fn prepare(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.current_dir(&self.copy).env("CARGO_TARGET_DIR", self.target());
        // Most of it is built once.
        command.env("CARGO_INCREMENTAL", "0").args(arguments).arg("--offline");
        if self.profile == Profile::Release {
            command.arg("--release");
        }
        command
    }

    fn build_for(&self, judge: Judge) -> Result<(), String> {
        let mut command = self.cargo(what_judges(judge));
        if judge != Judge::Simulator {
            command.arg("--no-run");
        }
        let Output { status, stderr, .. } = command.output().map_err(|error| error.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("does not build:\n{}", String::from_utf8_lossy(&stderr))),
        }
    }

    fn target(&self) -> PathBuf {
        self.copy.join("target")
    }

    /// Builds what looks at these.
    ///
    /// # Errors
    /// It does not build, or the copy breaks a promise though it is no mutant.
    pub fn build(&self, mutants: &[(usize, &Mutant)]) -> Result<(), String> {
        let mut judges: Vec<Judge> = Vec::new();
        for (_, Mutant { judge, .. }) in mutants {
            if judges.contains(judge) {
                continue;
            }
            if judges.iter().all(|built| what_judges(*built) != what_judges(*judge)) {
                self.build_for(*judge)?;
            }
            judges.push(*judge);
        }
        for judge in judges {
            let seeds = format!("1..{}", PASSED_SCHEDULES + 1);
            let (passes, text) = match judge {
                Judge::Simulator => self.run(0, self.simulator(), &["--seeds", &seeds], GRACE)?,
                Judge::UnitTests(filter) | Judge::ShardTests(filter) => {
                    self.run(0, self.tests(judge), &[filter], TESTS_TAKE)?
                }
            };
            if !passes {
                return Err(format!("the copy fails though nothing is broken in it: {text}"));
            }
        }
        Ok(())
    }

    fn simulator(&self) -> Command {
        let profile = match self.profile {
            Profile::Release => "release",
            Profile::Test => "debug",
        };
        Command::new(self.target().join(profile).join("haremq-sim"))
    }

    /// Whether the process ends well within that time and a grace, and what it has said.
    fn run(
        &self,
        number: usize,
        mut command: Command,
        arguments: &[&str],
        time: Duration,
    ) -> Result<(bool, String), String> {
        let path = self.copy.join(format!("said.{number}"));
        let file = fs::File::create(&path).map_err(|error| error.to_string())?;
        command.args(arguments).env(VARIABLE, number.to_string());
        command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let begun = Instant::now();
        let ended = loop {
            match child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break Some(status.success()),
                None if begun.elapsed() > time + GRACE => break None,
                None => std::thread::sleep(LOOK_EVERY),
            }
        };
        if ended.is_none() {
            let killed = child.kill().and_then(|()| child.wait());
            killed.map_err(|error| error.to_string())?;
        }
        let said = text_of(&path)?;
        fs::remove_file(&path).map_err(|error| error.to_string())?;
        Ok((ended == Some(true), if ended.is_none() { "it hangs".into() } else { said }))
    }

    /// Looks at a mutant, as which `number` this build has it: what has caught it.
    ///
    /// # Errors
    /// Nothing has, or it cannot be run.
    pub fn look(&self, number: usize, mutant: &Mutant, limits: Limits) -> Result<String, String> {
        match mutant.judge {
            Judge::Simulator => self.look_by_schedules(number, limits),
            Judge::UnitTests(filter) | Judge::ShardTests(filter) => {
                let tests = self.tests(mutant.judge);
                let (passes, said) = self.run(number, tests, &[filter], TESTS_TAKE)?;
                let failed = said.lines().find(|line| line.contains("FAILED"));
                match passes {
                    true => Err(format!("by no test of {filter}")),
                    false => Ok(failed.unwrap_or("the tests died").to_owned()),
                }
            }
        }
    }

    fn look_by_schedules(&self, number: usize, limits: Limits) -> Result<String, String> {
        let begun = Instant::now();
        let (first, all) = (FIRST_SCHEDULES.min(limits.schedules), limits.schedules);
        let seeds =
            |from: u64, to: u64| ["--seeds".to_owned(), format!("{}..{}", from + 1, to + 1)];
        let rounds = [
            seeds(0, first).to_vec(),
            vec!["--fail-each".into(), "--seeds".into(), "1..4".into()],
            seeds(first, all).to_vec(),
        ];
        let mut came_to = String::new();
        for mut arguments in rounds {
            let left = limits.seconds.saturating_sub(begun.elapsed().as_secs());
            if !arguments.contains(&"--fail-each".to_owned()) {
                arguments.extend(["--seconds".to_owned(), left.to_string()]);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let time = Duration::from_secs(left);
            let (passes, said) = self.run(number, self.simulator(), &arguments, time)?;
            let line = said.lines().next().unwrap_or("the process died");
            if !passes {
                let how = if arguments[0] == "--fail-each" { "failing operations: " } else { "" };
                return Ok(format!("{how}{line}").chars().take(140).collect());
            }
            came_to = format!("{came_to}; {line}");
        }
        Err(format!("by no schedule{came_to}"))
    }

    /// Looks at a mutant that needs a build of its own.
    ///
    /// # Errors
    /// As [`Workshop::look`], and if it does not build.
    pub fn look_apart(&self, mutant: &Mutant, limits: Limits) -> Result<String, String> {
        let path = Path::new("engine/src").join(mutant.file);
        let text = text_of(&self.root.join(&path))?;
        let copy = self.copy.join(&path);
        let present = text_of(&copy)?;
        put(&copy, &apply(mutant, &text)?)?;
        let verdict = self.build_for(mutant.judge).and_then(|()| self.look(0, mutant, limits));
        put(&copy, &present)?;
        verdict
    }
}
