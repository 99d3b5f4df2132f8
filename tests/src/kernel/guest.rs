//! A Linux kernel as an ordinary process (user mode Linux), and a test inside it.
//!
//! Its root is that of the machine, for reading only; what is written goes to file systems in its own memory, and to
//! one disk, which is a file. It has no network but its own loopback. A test runs inside as the same program that
//! started the kernel, told by [`INSIDE`] in its environment.

use crate::binaries::{binaries, target_directory, PROGRAMS_VARIABLE};
use crate::directory::TestDirectory;
use crate::output::Output;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// In the environment of a test that runs inside.
pub const INSIDE: &str = "HAREMQ_TESTS_INSIDE";
/// The disk, as it is named inside.
pub const DISK: &str = "/dev/ubda";
/// The kernel with its memory file (in octets) fits there.
const MEMORY: &str = "512M";
/// It is up within this time, or cannot be on this machine.
const BOOT_LIMIT: Duration = Duration::from_secs(60);
/// What the first program inside says.
const UP: &str = "the other kernel is up";
const ENDED: &str = "the test inside has ended with code ";
const MODULES: &str = "/usr/lib/uml/modules";

/// Whether this machine has all that it takes; if not, what is missing.
pub fn possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("another kernel on the machine's files needs root".to_string());
    }
    for name in ["linux.uml", "insmod", "dmsetup", "blockdev", "mkfs.ext4", "ip", "mount"] {
        program(name).ok_or_else(|| format!("there is no {name}"))?;
    }
    modules().map(drop)
}

/// Where a system program is.
fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists())
}

/// The modules to be loaded, in this order. They are of one version, as the kernel is.
fn modules() -> Result<[PathBuf; 2], String> {
    let versions = std::fs::read_dir(MODULES).map_err(|error| format!("{MODULES}: {error}"))?;
    let mut found = versions.filter_map(|version| {
        let drivers = version.ok()?.path().join("kernel/drivers/md");
        let modules = ["dm-mod.ko", "dm-flakey.ko"].map(|name| drivers.join(name));
        modules.iter().all(|path| path.exists()).then_some(modules)
    });
    found.next().ok_or_else(|| format!("no dm-flakey below {MODULES}"))
}

/// How a test inside went.
#[derive(Debug)]
pub enum Outcome {
    /// The kernel does not come up here, and these were its words.
    NoKernel(String),
    /// The test's exit code, and all that was printed; no code if it did not end in time.
    Ended(Option<i32>, String),
}

/// Runs the test `name` of this very program inside another kernel, with a disk of so many octets.
pub fn run_inside(
    name: &str,
    disk_octets: u64,
    variables: &[(&str, String)],
    limit: Duration,
) -> Outcome {
    let directory = TestDirectory::new();
    let [disk, script] = ["disk", "init"].map(|name| directory.path().join(name));
    let file = File::create(&disk).expect("a file can be made");
    file.set_len(disk_octets).expect("a sparse file can be as long as that");
    write_script(&script, name, variables);
    let mut kernel = Kernel::start(&disk, &script);
    if kernel.output.wait_for_line(0, UP, BOOT_LIMIT).is_none() {
        kernel.end(Duration::ZERO);
        return Outcome::NoKernel(kernel.output.text());
    }
    let last = kernel.output.wait_for_line(0, ENDED, limit);
    // It powers itself off behind that line.
    kernel.end(if last.is_some() { Duration::from_secs(20) } else { Duration::ZERO });
    let code = last.and_then(|line| line.rsplit(ENDED).next()?.trim().parse().ok());
    Outcome::Ended(code, kernel.output.text())
}

/// The first program of the kernel.
fn write_script(path: &Path, test: &str, variables: &[(&str, String)]) {
    let own = std::env::current_exe().expect("a running test has a path");
    let tests = target_directory().join("tests");
    let programs = binaries().haremq.parent().expect("a program is in a directory");
    let modules = modules().expect("looked for before").map(|path| path.display().to_string());
    let mut lines = vec![
        "#!/bin/sh".to_string(),
        "export PATH=/usr/sbin:/usr/bin:/sbin:/bin RUST_BACKTRACE=1".to_string(),
        "mount -t proc proc /proc && mount -t sysfs sys /sys".to_string(),
        // Nothing of the machine is written to; the test's own directories are below the target directory. Nothing is
        // put over /tmp, where all of this may be.
        format!("for place in /run {}; do mount -t tmpfs tmp $place; done", tests.display()),
        "ip link set lo up".to_string(),
        format!("insmod {} && insmod {} && echo '{UP}'", modules[0], modules[1]),
        format!("export {INSIDE}=1 {PROGRAMS_VARIABLE}={}", programs.display()),
    ];
    for (name, value) in variables {
        lines.push(format!("export {name}='{value}'"));
    }
    lines.push(format!("{} --exact {test} --nocapture --test-threads 1", own.display()));
    lines.push(format!("echo \"{ENDED}$?\""));
    lines.push("echo o > /proc/sysrq-trigger; sleep 30".to_string());
    std::fs::write(path, lines.join("\n") + "\n").expect("a script can be written");
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, executable).expect("its mode can be set");
}

/// The process that is the kernel.
struct Kernel {
    child: Child,
    output: Output,
}

impl Kernel {
    fn start(disk: &Path, script: &Path) -> Kernel {
        let mut command = Command::new(program("linux.uml").expect("looked for before"));
        command.arg(format!("mem={MEMORY}")).arg(format!("ubd0={}", disk.display()));
        command.args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]);
        // No terminals: what is printed inside comes out here.
        command.args(["con=null", "con0=null,fd:1"]).arg(format!("init={}", script.display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the kernel can be started");
        let output = Output::default();
        output.collect(child.stdout.take().expect("stdout is piped"));
        output.collect(child.stderr.take().expect("stderr is piped"));
        Kernel { child, output }
    }

    /// Waits for its end, and makes one after `patience`.
    fn end(&mut self, patience: Duration) {
        self.output.wait_for_end(patience);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}
