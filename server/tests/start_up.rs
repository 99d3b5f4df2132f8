//! The broker's program from the outside: what it says when it cannot start, and how it stops.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs2::FileExt;

const BROKER: &str = env!("CARGO_BIN_EXE_haremq");
/// A start or a stop that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory of one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("start-up-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// The broker with free ports, a data directory of its own and `arguments`.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BROKER);
        command.args(["--data-dir", self.data().to_str().unwrap()]);
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--management", "127.0.0.1:0")] {
            if !arguments.contains(&flag) {
                command.args([flag, value]);
            }
        }
        command.args(arguments);
        command
    }

    /// Runs a broker that should not start; what it says.
    fn refusal(&self, arguments: &[&str]) -> String {
        refusal(self.command(arguments))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn finish(mut child: Child) -> Output {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("the broker hangs: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

fn refusal(mut command: Command) -> String {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = finish(child);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("haremq: "), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "one sentence: {text}");
    text
}

#[test]
fn help_explains_each_flag_and_its_default() {
    let output = Command::new(BROKER).arg("--help").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for (flag, default) in [
        ("--listen", "127.0.0.1:5672"),
        ("--management", "127.0.0.1:15672"),
        ("--data-dir", "./haremq-data"),
        ("--shards", "one per usable core"),
        ("--pin", "auto"),
        ("--log-level", "info"),
        ("--config", "none"),
    ] {
        let at = text.find(&format!("{flag} ")).unwrap_or_else(|| panic!("{flag} in {text}"));
        let rest = &text[at + flag.len()..];
        let entry = &rest[..rest.find("\n      --").unwrap_or(rest.len())];
        assert!(entry.contains("[default: ") && entry.contains(default), "{flag}: {entry}");
    }
}

#[test]
fn a_taken_port_is_named() {
    let scratch = Scratch::new("port");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--management"] {
        let text = scratch.refusal(&[flag, &address]);
        assert!(text.contains(&address) && text.contains(flag), "{text}");
    }
    assert!(!scratch.data().exists(), "nothing is touched by a broker that cannot listen");
}

#[test]
fn a_locked_data_directory_is_named_with_the_process_that_has_it() {
    let scratch = Scratch::new("locked");
    fs::create_dir_all(scratch.data()).unwrap();
    fs::write(scratch.data().join("haremq.lock"), "4711\n").unwrap();
    let lock = fs::File::open(scratch.data().join("haremq.lock")).unwrap();
    FileExt::lock_exclusive(&lock).unwrap();
    let text = scratch.refusal(&[]);
    assert!(text.contains("process 4711") && text.contains("data"), "{text}");
}

#[test]
fn a_directory_that_is_not_ours_is_refused() {
    let scratch = Scratch::new("foreign");
    fs::create_dir_all(scratch.data()).unwrap();
    fs::write(scratch.data().join("photo.jpg"), "").unwrap();
    assert!(scratch.refusal(&[]).contains("not a HareMQ data directory"));
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused() {
    let scratch = Scratch::new("newer");
    fs::create_dir_all(scratch.data()).unwrap();
    fs::write(scratch.data().join("format.toml"), "version = 7\nshards = 1\n").unwrap();
    assert!(scratch.refusal(&[]).contains("newer HareMQ (format 7"));
}

#[test]
fn shards_do_not_shrink() {
    let scratch = Scratch::new("shrink");
    fs::create_dir_all(scratch.data()).unwrap();
    fs::write(scratch.data().join("format.toml"), "version = 1\nshards = 4\n").unwrap();
    assert!(scratch.refusal(&["--shards", "2"]).contains("may grow but not shrink"));
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let scratch = Scratch::new("unwritable");
    fs::write(scratch.0.join("file"), "").unwrap();
    let mut command = Command::new(BROKER);
    command.args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir"]);
    command.arg(scratch.0.join("file/data"));
    let text = refusal(command);
    assert!(text.contains("file/data"), "{text}");
}

#[test]
fn a_mistake_in_the_configuration_is_named_with_file_and_line() {
    let scratch = Scratch::new("config");
    let file = scratch.0.join("haremq.toml");
    fs::write(&file, "shards = 2\nlistne = \"127.0.0.1:5672\"\n").unwrap();
    let text = scratch.refusal(&["--config", file.to_str().unwrap()]);
    assert!(text.contains(&format!("{}:2: ", file.display())), "{text}");
    assert!(text.contains("listne"), "{text}");
    assert!(scratch.refusal(&["--shards", "none"]).contains("--shards none"));
}

#[test]
fn more_pinned_shards_than_cores_are_refused() {
    let scratch = Scratch::new("pin");
    let text = scratch.refusal(&["--pin", "on", "--shards", "256"]);
    assert!(text.contains("256 shards") && text.contains("--pin off"), "{text}");
}

#[test]
fn a_low_limit_of_locked_memory_is_named() {
    let scratch = Scratch::new("memlock");
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -l 64 && ulimit -H -l 64 && exec \"$0\" \"$@\"", BROKER]);
    command.args(["--listen", "127.0.0.1:0", "--management", "127.0.0.1:0", "--data-dir"]);
    command.arg(scratch.data());
    let text = refusal(command);
    assert!(text.contains("RLIMIT_MEMLOCK") && text.contains("64 KiB"), "{text}");
    assert!(text.contains("ulimit -l 512"), "{text}");
}

/// Forbids io_uring_setup as a container runtime does, then becomes the broker.
const SECCOMP: &str = r#"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def op(code, jt, jf, k):
    return struct.pack("HBBI", code, jt, jf, k)
io_uring_setup, eperm = 425, 1
program = op(0x20, 0, 0, 0) + op(0x15, 0, 1, io_uring_setup) + op(0x06, 0, 0, 0x50000 | eperm) + op(0x06, 0, 0, 0x7FFF0000)
octets = ctypes.create_string_buffer(program, len(program))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(octets)))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter, 0, 0):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"#;

/// Needs python3 and a kernel that lets a process filter its own system calls.
#[test]
fn a_container_that_forbids_io_uring_is_named() {
    let scratch = Scratch::new("seccomp");
    let mut command = Command::new("python3");
    command.args(["-c", SECCOMP, BROKER, "--listen", "127.0.0.1:0"]);
    command.args(["--management", "127.0.0.1:0", "--data-dir"]).arg(scratch.data());
    let text = refusal(command);
    assert!(text.contains("seccomp profile"), "{text}");
}
