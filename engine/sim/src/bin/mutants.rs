//! Breaks the engine in one place after the other and looks whether the simulator sees it.
//!
//! Works on a copy of the sources below `target/mutants`, which has its own target directory.
//! Exit code 1 if a mutant survives or does not apply.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use clap::Parser;
use haremq_sim::mutants::{self, apply, Judge, Mutant};

#[derive(Debug, Parser)]
#[command(about = "Runs the simulator on broken engines: each must be caught")]
struct Arguments {
    /// Only mutants whose name has this in it.
    #[arg(long)]
    only: Option<String>,
    /// How long a mutant is looked at.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy_tree(&source, &place)?;
        } else if fs::read(&source)? != fs::read(&place).unwrap_or_default() {
            // Files that are the same keep their time, so that only what changed is built.
            fs::copy(&source, &place)?;
        }
    }
    Ok(())
}

/// A workspace of engine and simulator alone.
fn copy_workspace(root: &Path, to: &Path) -> std::io::Result<()> {
    for directory in ["engine/src", "engine/benches", "engine/sim/src"] {
        copy_tree(&root.join(directory), &to.join(directory))?;
    }
    for file in ["engine/Cargo.toml", "engine/sim/Cargo.toml", "Cargo.lock"] {
        fs::copy(root.join(file), to.join(file))?;
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
    let mut lines: Vec<&str> = Vec::new();
    for line in manifest.lines() {
        let left_out = ["default-members", "lto", "debug", "codegen-units"];
        let is_kept = !left_out.iter().any(|start| line.starts_with(start));
        match line.starts_with("members") {
            true => lines.push("members = [\"engine\", \"engine/sim\"]"),
            false if is_kept => lines.push(line),
            false => {}
        }
    }
    fs::write(to.join("Cargo.toml"), lines.join("\n"))
}

/// True if the simulator sees it.
fn is_caught(copy: &Path, mutant: &Mutant, seconds: u64) -> Result<String, String> {
    let path = copy.join("engine/src").join(mutant.file);
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let broken = apply(mutant, &text)?;
    fs::write(&path, broken).map_err(|error| error.to_string())?;
    let verdict = match mutant.judge {
        Judge::Simulator => judge(copy, seconds),
        Judge::LogTests(filter) => test(copy, filter),
    };
    fs::write(&path, text).map_err(|error| error.to_string())?;
    verdict
}

fn cargo(copy: &Path, arguments: &[&str]) -> Result<Output, String> {
    let output = Command::new(env!("CARGO"))
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        // One file changes from one mutant to the next.
        .env("CARGO_INCREMENTAL", "1")
        .args(arguments)
        .output();
    output.map_err(|error| error.to_string())
}

/// What it says if it does not build.
fn build(copy: &Path, arguments: &[&str]) -> Result<(), String> {
    let built = cargo(copy, arguments)?;
    match built.status.success() {
        true => Ok(()),
        false => Err(format!("does not build:\n{}", String::from_utf8_lossy(&built.stderr))),
    }
}

/// By the tests of the log whose names have `filter` in them.
fn test(copy: &Path, filter: &str) -> Result<String, String> {
    const TESTS: [&str; 6] = ["test", "--offline", "--release", "-p", "haremq-engine", "--lib"];
    build(copy, &[&TESTS[..], &["--no-run"]].concat())?;
    let output = cargo(copy, &[&TESTS[..], &[filter]].concat())?;
    if output.status.success() {
        return Err("SURVIVES".into());
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = text.lines().find(|line| line.contains("FAILED")).unwrap_or("the tests died");
    Ok(failed.to_owned())
}

fn judge(copy: &Path, seconds: u64) -> Result<String, String> {
    const BUILD: [&str; 7] =
        ["build", "--offline", "--release", "-p", "haremq-sim", "--bin", "haremq-sim"];
    build(copy, &BUILD)?;
    let program = copy.join("target/release/haremq-sim");
    let run = |arguments: &[&str]| {
        let output = Command::new(&program).args(arguments).output();
        output.map_err(|error| error.to_string())
    };
    let limit = seconds.to_string();
    for arguments in
        [&["--seeds", "1..100000000", "--seconds", &limit][..], &["--fail-each", "--seeds", "1..4"]]
    {
        let output = run(arguments)?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout);
            let first = text.lines().next().unwrap_or("the process died").to_owned();
            return Ok(first.chars().take(110).collect());
        }
    }
    Err("SURVIVES".into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let copy = root.join("target/mutants");
    if let Err(error) = copy_workspace(&root, &copy) {
        eprintln!("copying the sources failed: {error}");
        return ExitCode::FAILURE;
    }
    let is_wanted = |mutant: &&Mutant| {
        arguments.only.as_ref().is_none_or(|only| mutant.name.contains(only.as_str()))
    };
    let (mut caught, mut all) = (0, 0);
    for mutant in mutants::all().filter(is_wanted) {
        all += 1;
        match is_caught(&copy, mutant, arguments.seconds) {
            Ok(how) => {
                caught += 1;
                println!("caught    {}: {how}", mutant.name);
            }
            Err(why) => println!("NOT CAUGHT {}: {why}", mutant.name),
        }
    }
    println!("{caught} of {all} mutants are caught");
    ExitCode::from(u8::from(caught < all))
}
