//! Python client libraries in virtual environments of the tests' own, and the programs in `tests/python`.

use crate::binaries::{target_directory, workspace};
use crate::broker::Broker;
use crate::output::Output;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// A program has done its work within this time.
const PROGRAM_LIMIT: Duration = Duration::from_secs(90);

/// Which pika a program is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pika {
    /// Today's: `basic_consume(queue, on_message_callback, auto_ack)`.
    One,
    /// The old one: `basic_consume(callback, queue, no_ack)`.
    Zero,
}

impl Pika {
    /// The interpreter that has this pika; makes its environment on first use.
    pub fn interpreter(self) -> &'static Path {
        static ONE: OnceLock<PathBuf> = OnceLock::new();
        static ZERO: OnceLock<PathBuf> = OnceLock::new();
        match self {
            Pika::One => ONE.get_or_init(|| environment("pika1", "requirements.txt")),
            Pika::Zero => ZERO.get_or_init(|| environment("pika0", "requirements-old.txt")),
        }
    }

    fn programs(self) -> PathBuf {
        let directory = workspace().join("tests/python");
        match self {
            Pika::One => directory,
            Pika::Zero => directory.join("old"),
        }
    }
}

/// The interpreter that has celery, kombu and aio-pika; makes its environment on first use.
fn clients_interpreter() -> &'static Path {
    static CLIENTS: OnceLock<PathBuf> = OnceLock::new();
    CLIENTS.get_or_init(|| environment("clients", "clients/requirements.txt"))
}

/// Makes the virtual environment `name` unless it stands with these very requirements; gives its interpreter.
fn environment(name: &str, requirements: &str) -> PathBuf {
    let requirements = workspace().join("tests/python").join(requirements);
    let wanted = std::fs::read_to_string(&requirements).expect("the requirements are in the tree");
    let all = target_directory().join("python");
    std::fs::create_dir_all(&all).expect("the target directory can be written");
    // Test binaries may run at the same time: one makes the environment, the others wait.
    let lock = File::create(all.join(format!("{name}.lock"))).expect("a lock file can be made");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("it can be locked");
    let directory = all.join(name);
    let interpreter = directory.join("bin/python");
    let mark = directory.join("complete");
    if std::fs::read_to_string(&mark).is_ok_and(|done| done == wanted) {
        return interpreter;
    }
    let _ = std::fs::remove_dir_all(&directory);
    succeed(
        Command::new("python3").args(["-m", "venv"]).arg(&directory),
        "python3 with its module venv is needed (on Debian: apt-get install python3 python3-venv)",
    );
    succeed(
        Command::new(&interpreter)
            .args(["-m", "pip", "install", "--quiet", "-r"])
            .arg(&requirements),
        "the Python client libraries cannot be installed",
    );
    std::fs::write(mark, wanted).expect("the target directory can be written");
    interpreter
}

pub(crate) fn succeed(command: &mut Command, complaint: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{complaint}: {error}"));
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{complaint}:\n{out}{err}");
}

/// A client program at work. Killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    output: Output,
}

impl Program {
    /// Starts `tests/python/<name>.py`, or the one in `old/`, against a broker.
    pub fn start(pika: Pika, name: &str, broker: &Broker, arguments: &[&str]) -> Program {
        let path = pika.programs().join(format!("{name}.py"));
        let mut command = Command::new(pika.interpreter());
        command.arg(path).args(arguments);
        command.env("BROKER_PORT", broker.amqp().port().to_string());
        if pika == Pika::Zero {
            // For its sitecustomize.py, which says why.
            command.env("PYTHONPATH", pika.programs());
        }
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        Program::spawn(name, &mut command)
    }

    /// Starts a program of `tests/python/clients`, or a command of a package installed for those: `celery`.
    pub fn start_client(name: &str, broker: &Broker, arguments: &[&str]) -> Program {
        let directory = workspace().join("tests/python/clients");
        let interpreter = clients_interpreter();
        let mut command = if name == "celery" {
            let mut command = Command::new(interpreter);
            command.args(["-m", "celery", "--app", "celery_app"]);
            command
        } else {
            let mut command = Command::new(interpreter);
            command.arg(directory.join(format!("{name}.py")));
            command
        };
        command.args(arguments).current_dir(directory);
        command.env("BROKER_PORT", broker.amqp().port().to_string());
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        Program::spawn(name, &mut command)
    }

    /// Starts any command as a client program.
    pub fn spawn(name: &str, command: &mut Command) -> Program {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let output = Output::default();
        output.collect(child.stdout.take().expect("stdout is piped"));
        output.collect(child.stderr.take().expect("stderr is piped"));
        Program { name: name.to_string(), child, output }
    }

    /// Runs a program to its end; gives the lines it printed.
    pub fn run(pika: Pika, name: &str, broker: &Broker, arguments: &[&str]) -> Vec<String> {
        Program::start(pika, name, broker, arguments).finish()
    }

    /// What it prints.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Waits for a line that contains `part`.
    #[track_caller]
    pub fn wait_for_line(&self, part: &str) -> String {
        self.output.wait_for_line(0, part, PROGRAM_LIMIT).unwrap_or_else(|| {
            panic!("{} never printed {part:?}; it printed:\n{}", self.name, self.output.text())
        })
    }

    /// Waits until it has ended well; gives the lines it printed.
    #[track_caller]
    pub fn finish(self) -> Vec<String> {
        self.finish_within(PROGRAM_LIMIT)
    }

    /// As `finish`, with a limit of the caller's.
    #[track_caller]
    pub fn finish_within(mut self, limit: Duration) -> Vec<String> {
        let (name, text) = (self.name.clone(), || self.output.text());
        assert!(self.output.wait_for_end(limit), "{name} is not done after {limit:?}:\n{}", text());
        let status = self.child.wait().expect("a child can be waited for");
        assert!(status.success(), "{name} ended with {status}:\n{}", self.output.text());
        self.output.lines()
    }

    /// Kills it as `kill -9` does.
    pub fn kill9(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
