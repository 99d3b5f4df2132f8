//! The programs under test: `haremq` and `haremqctl`, built once per test run in the profile the tests run in.
//!
//! Cargo is asked where they are (`--message-format=json`), so that any target directory works, and is always asked,
//! so that no test ever runs against yesterday's binary. `HAREMQ_TESTS_PROFILE=release` tests the optimised programs.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// The broker.
    pub haremq: PathBuf,
    /// The operator's command line.
    pub haremqctl: PathBuf,
}

/// The built programs; builds them on the first call of the process.
///
/// Panics with the compiler's words when they do not build.
pub fn binaries() -> &'static Binaries {
    static BUILT: OnceLock<Binaries> = OnceLock::new();
    BUILT.get_or_init(build)
}

/// The directory of the workspace that this crate is a part of.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is inside a workspace")
}

/// The target directory this test binary was built into.
pub fn target_directory() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has a path");
    // target/<profile>/deps/<name>
    own.ancestors().nth(3).expect("a test binary lies three levels below target").to_path_buf()
}

fn profile() -> String {
    std::env::var("HAREMQ_TESTS_PROFILE")
        .unwrap_or_else(|_| if cfg!(debug_assertions) { "dev" } else { "release" }.to_string())
}

/// Names a directory with built programs, for tests that run where nothing can be built.
pub const PROGRAMS_VARIABLE: &str = "HAREMQ_TESTS_PROGRAMS";

fn build() -> Binaries {
    if let Some(directory) = std::env::var_os(PROGRAMS_VARIABLE).map(PathBuf::from) {
        return Binaries {
            haremq: directory.join("haremq"),
            haremqctl: directory.join("haremqctl"),
        };
    }
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_string());
    let profile = profile();
    let mut command = Command::new(cargo);
    // What cargo tells a test of its package: build scripts that look at it would run again, and what depends on them
    // would be built again, here and by the next test run.
    let of_package = |name: &OsStr| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_package(name)) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(workspace())
        .args(["build", "--bins", "--message-format=json", "--profile", &profile])
        .args(units(&profile))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .expect("cargo can be started");
    assert!(
        output.status.success(),
        "the broker does not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    Binaries {
        haremq: executable(&messages, "haremq"),
        haremqctl: executable(&messages, "haremqctl"),
    }
}

/// What is built beside the programs. With a test named, they have the features of dependencies that the whole test run
/// has, so that what that has built is not built for a second time; in another profile there is nothing of it to be had.
fn units(profile: &str) -> &'static [&'static str] {
    match profile {
        "dev" => &["--workspace", "--test", "structure"],
        _ => &["--package", "haremq"],
    }
}

/// The path of the program `name` in cargo's artifact messages.
fn executable(messages: &str, name: &str) -> PathBuf {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo built no program named {name}"))
}
