//! Client libraries for Node.js in a directory of the tests' own, and the programs in `tests/node`.

use crate::binaries::{target_directory, workspace};
use crate::broker::Broker;
use crate::python::{succeed, Program};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// Starts `tests/node/<name>.js` against a broker.
pub fn start(name: &str, broker: &Broker, arguments: &[&str]) -> Program {
    static MODULES: OnceLock<PathBuf> = OnceLock::new();
    let modules = MODULES.get_or_init(install);
    let mut command = Command::new("node");
    command.arg(workspace().join("tests/node").join(format!("{name}.js"))).args(arguments);
    command.env("NODE_PATH", modules).env("BROKER_PORT", broker.amqp().port().to_string());
    Program::spawn(name, &mut command)
}

/// Installs what `tests/node/package.json` names unless it is there; gives the directory of the modules.
fn install() -> PathBuf {
    let manifest = workspace().join("tests/node/package.json");
    let wanted = std::fs::read_to_string(&manifest).expect("the manifest is in the tree");
    let directory = target_directory().join("node");
    std::fs::create_dir_all(&directory).expect("the target directory can be written");
    // Test binaries may run at the same time: one installs, the others wait.
    let lock = File::create(directory.join("lock")).expect("a lock file can be made");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("it can be locked");
    let modules = directory.join("node_modules");
    let mark = directory.join("complete");
    if std::fs::read_to_string(&mark).is_ok_and(|done| done == wanted) {
        return modules;
    }
    let _ = std::fs::remove_dir_all(&modules);
    std::fs::copy(&manifest, directory.join("package.json")).expect("the manifest can be copied");
    succeed(
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&directory),
        "the client library for Node.js cannot be installed (on Debian: apt-get install nodejs npm)",
    );
    std::fs::write(mark, wanted).expect("the target directory can be written");
    modules
}
