//! A file system on a disk of a test, by way of a loop device: ext4, as a rule.

use super::blocks::Blocks;
use super::device::{Disk, Served};
use crate::directory::TestDirectory;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Runs a system program to its end; what it printed, or a complaint with its words.
fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program} cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_string());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(format!("{program} {} ended with {}: {words}", arguments.join(" "), output.status))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test directories have plain names")
}

/// Whether this machine lets tests have disks of their own; if not, why.
pub fn possible() -> Result<(), String> {
    static POSSIBLE: OnceLock<Result<(), String>> = OnceLock::new();
    let attempt = || {
        if !rustix::process::geteuid().is_root() {
            return Err("disks of its own need root".to_string());
        }
        for device in ["/dev/fuse", "/dev/loop-control"] {
            if !Path::new(device).exists() {
                return Err(format!("{device} is missing"));
            }
        }
        let disk = Disk::new(Blocks::new(16 << 20));
        format(&disk, &[])?;
        Mounted::new(&disk).map(drop)
    };
    POSSIBLE.get_or_init(attempt).clone()
}

/// What a disk can be formatted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    /// The one that `HAREMQ_DISK_FORMAT` names; ext4 if it names none.
    pub fn of_environment() -> FileSystem {
        match std::env::var("HAREMQ_DISK_FORMAT").as_deref() {
            Err(_) | Ok("ext4") => FileSystem::Ext4,
            Ok("xfs") => FileSystem::Xfs,
            Ok("btrfs") => FileSystem::Btrfs,
            Ok(other) => panic!("HAREMQ_DISK_FORMAT is {other}, not ext4, xfs or btrfs"),
        }
    }

    /// The smallest disk that it and some hundred megabytes of data fit.
    pub fn disk_octets(self) -> u64 {
        match self {
            FileSystem::Ext4 => 192 << 20,
            // It refuses disks of less than 300 MiB.
            FileSystem::Xfs => 320 << 20,
            FileSystem::Btrfs => 512 << 20,
        }
    }

    /// Makes it on the disk. `options` go to its mkfs.
    pub fn format(self, disk: &Disk, options: &[&str]) -> Result<(), String> {
        let directory = TestDirectory::new();
        let served = disk.serve(directory.path()).map_err(|error| format!("FUSE: {error}"))?;
        let (program, force) = match self {
            FileSystem::Ext4 => ("mkfs.ext4", "-F"),
            FileSystem::Xfs => ("mkfs.xfs", "-f"),
            FileSystem::Btrfs => ("mkfs.btrfs", "-f"),
        };
        let mut arguments = vec!["-q", force];
        arguments.extend(options);
        arguments.push(text(served.file()));
        run(program, &arguments).map(drop)
    }
}

/// Makes an ext4 file system on the disk. `options` go to mkfs.ext4.
pub fn format(disk: &Disk, options: &[&str]) -> Result<(), String> {
    FileSystem::Ext4.format(disk, options)
}

/// A mounted disk. Dropping it unmounts it, and gives the loop device back.
#[derive(Debug)]
pub struct Mounted {
    path: PathBuf,
    mounted: bool,
    // Dropped in this order: the served disk is in use until the file system is unmounted.
    served: Option<Served>,
    _directory: TestDirectory,
}

impl Mounted {
    /// Mounts the file system on the disk, whichever it is.
    pub fn new(disk: &Disk) -> Result<Mounted, String> {
        let directory = TestDirectory::new();
        let [below, path] = ["disk", "files"].map(|name| directory.path().join(name));
        for path in [&below, &path] {
            std::fs::create_dir(path).map_err(|error| error.to_string())?;
        }
        let served = disk.serve(&below).map_err(|error| format!("FUSE: {error}"))?;
        let device = run("losetup", &["--find", "--show", "--direct-io=on", text(served.file())])?;
        let outcome = run("mount", &[&device, text(&path)]);
        // The mounted file system holds the device; when it goes, the device goes.
        let freed = run("losetup", &["--detach", &device]);
        outcome.and(freed)?;
        Ok(Mounted { path, mounted: true, served: Some(served), _directory: directory })
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unmounts it; nothing may use it.
    pub fn unmount(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.mounted) {
            // The kernel lets go of what a killed process had under way in its io_uring a moment after its end.
            let deadline = Instant::now() + Duration::from_secs(10);
            while let Err(error) = run("umount", &[text(&self.path)]) {
                if Instant::now() > deadline {
                    return Err(error);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        self.served = None;
        Ok(())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("{error}");
            let _ = run("umount", &["--lazy", text(&self.path)]);
        }
    }
}
