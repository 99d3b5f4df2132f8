//! A disk that loses all writes from a moment on: the target `flakey` of the device mapper, with `drop_writes`.
//!
//! For whoever writes, nothing changes: what is lost has been acknowledged, flushes included. What had been written
//! before is there when the disk is mounted anew, and nothing of what came later.

use super::guest::DISK;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NAME: &str = "cut";
/// The device mapper numbers its devices, and there is one.
const DEVICE: &str = "/dev/dm-0";

fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{words:?} cannot be run: {error}"));
    let text = String::from_utf8_lossy(&output.stdout).trim().to_string();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?} ended with {}: {complaint}", output.status);
    text
}

/// The disk of this kernel with an ext4, mounted.
#[derive(Debug)]
pub struct FlakeyDisk {
    path: PathBuf,
    sectors: String,
}

impl FlakeyDisk {
    /// Makes a new ext4 on the disk, and mounts it at `path`. Its writes are not dropped yet.
    pub fn format(path: &Path) -> FlakeyDisk {
        run(&["mkfs.ext4", "-q", "-F", DISK]);
        std::fs::create_dir_all(path).expect("a directory can be made");
        let sectors = run(&["blockdev", "--getsz", DISK]);
        let disk = FlakeyDisk { path: path.to_path_buf(), sectors };
        disk.attach();
        disk
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn attach(&self) {
        let table = format!("0 {} linear {DISK} 0", self.sectors);
        let no_udev = ["--noudevsync", "--noudevrules"];
        run(&["dmsetup", "create", no_udev[0], no_udev[1], NAME, "--table", &table]);
        run(&["mount", DEVICE, self.path.to_str().expect("a plain name")]);
    }

    /// Gets everything ready for [`FlakeyDisk::drop_writes`], so that this is quick.
    pub fn prepare_to_drop_writes(&self) {
        let table = format!("0 {} flakey {DISK} 0 0 86400 1 drop_writes", self.sectors);
        run(&["dmsetup", "load", NAME, "--table", &table]);
    }

    /// From a moment within this call on, nothing is written any more.
    ///
    /// The file system is not told (it would write all it has), and writes under way are not waited for.
    pub fn drop_writes(&self) {
        run(&["dmsetup", "resume", "--noudevsync", "--nolockfs", "--noflush", NAME]);
        let table = run(&["dmsetup", "table", NAME]);
        assert!(table.contains("drop_writes"), "the table is still {table}");
    }

    /// Lets go of the file system and of all that the kernel knows of it, and mounts what is on the disk.
    pub fn mount_anew(&self) {
        self.detach();
        self.attach();
    }

    /// Unmounts the file system; nothing may use it.
    pub fn detach(&self) {
        // The kernel lets go of what a killed process had under way in its io_uring a moment after its end.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !Command::new("umount").arg(&self.path).status().is_ok_and(|status| status.success())
        {
            assert!(Instant::now() < deadline, "the file system stays in use");
            std::thread::sleep(Duration::from_millis(50));
        }
        run(&["dmsetup", "remove", "--noudevsync", NAME]);
    }
}
