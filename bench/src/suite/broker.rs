//! A broker under test: where it is, which process it is, and how to start it again.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{kill_process, test_kill_process, Pid, Signal};

use crate::error::{PerfError, PlanError, Result};
use crate::procstat::listener::{is_listening, pid_of_listener};
use crate::session::{Identity, Session};
use crate::uri::AmqpUri;

/// How long a broker may take to come back.
const RESTART_TIMEOUT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(2);

/// `NAME=URI[,pid=PID][,start=COMMAND]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerSpec {
    /// What the report calls it.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) uri: AmqpUri,
    /// Its process; none: who listens on the port.
    pub(crate) pid: Option<i32>,
    /// A shell command that starts it.
    pub(crate) start: Option<String>,
}

impl FromStr for BrokerSpec {
    type Err = PerfError;

    fn from_str(text: &str) -> Result<BrokerSpec> {
        let wrong = || PerfError::from(PlanError::BrokerForm(text.to_owned()));
        let (head, start) = match text.split_once(",start=") {
            Some((head, command)) => (head, Some(command.to_owned())),
            None => (text, None),
        };
        let (head, pid) = match head.split_once(",pid=") {
            Some((head, pid)) => (head, Some(pid.parse().map_err(|_| wrong())?)),
            None => (head, None),
        };
        let (name, uri) = head.split_once('=').ok_or_else(wrong)?;
        if name.is_empty() {
            return Err(wrong());
        }
        Ok(BrokerSpec { name: name.to_owned(), uri: uri.parse()?, pid, start })
    }
}

/// A broker that answers.
pub(crate) struct Broker {
    /// What the report calls it.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) uri: AmqpUri,
    /// Its process.
    pub(crate) pid: i32,
    /// What it says that it is.
    pub(crate) identity: Identity,
    start: Option<String>,
    started: Option<Child>,
}

impl Broker {
    /// Connects once to see that it is there.
    pub(crate) fn new(spec: &BrokerSpec) -> Result<Broker> {
        let session = Session::connect(&spec.uri, "haremq-perf")?;
        let identity = session.identity().clone();
        session.close()?;
        Ok(Broker {
            name: spec.name.clone(),
            uri: spec.uri.clone(),
            pid: spec.pid.map_or_else(|| pid_of_listener(spec.uri.port), Ok)?,
            identity,
            start: spec.start.clone(),
            started: None,
        })
    }

    /// Kills it (SIGKILL), runs its start command, and waits until `ready` succeeds on a new session with a
    /// channel. Returns the seconds from the start command to that moment. Without a start command it does
    /// nothing and returns nothing.
    pub(crate) fn restart(
        &mut self,
        mut ready: impl FnMut(&mut Session) -> Result<bool>,
    ) -> Result<Option<f64>> {
        let Some(command) = self.start.clone() else { return Ok(None) };
        self.kill()?;
        let begun = Instant::now();
        let child = Command::new("sh")
            .args(["-c", &command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own, so that Ctrl-C at the terminal does not end the broker too.
            .process_group(0)
            .spawn()
            .map_err(|source| PerfError::Io { doing: "running the start command", source })?;
        self.started = Some(child);
        loop {
            if is_listening(self.uri.port) && self.answers(&mut ready) {
                break;
            }
            self.see_that_it_runs()?;
            if begun.elapsed() > RESTART_TIMEOUT {
                let (name, seconds) = (self.name.clone(), RESTART_TIMEOUT.as_secs());
                return Err(PerfError::NoRestart { name, seconds });
            }
            thread::sleep(LOOK);
        }
        let seconds = begun.elapsed().as_secs_f64();
        self.pid = pid_of_listener(self.uri.port)?;
        Ok(Some(seconds))
    }

    /// A broker that is coming up may refuse for a while, in whatever way; only the time limit ends the wait.
    fn answers(&self, ready: &mut impl FnMut(&mut Session) -> Result<bool>) -> bool {
        let answer = Session::with_channel(&self.uri, "haremq-perf").and_then(|mut session| {
            let is_ready = ready(&mut session)?;
            session.close()?;
            Ok(is_ready)
        });
        matches!(answer, Ok(true))
    }

    /// A start command that failed would be waited for in vain. One that ended well has gone to the background.
    fn see_that_it_runs(&mut self) -> Result<()> {
        let Some(child) = &mut self.started else { return Ok(()) };
        match child.try_wait() {
            Ok(Some(status)) if !status.success() => {
                let name = self.name.clone();
                Err(PerfError::StartFailed { name, status: status.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn kill(&mut self) -> Result<()> {
        let failed = |source| PerfError::Io { doing: "killing the broker", source };
        let no_such = || failed(std::io::ErrorKind::NotFound.into());
        let pid = Pid::from_raw(self.pid).ok_or_else(no_such)?;
        kill_process(pid, Signal::KILL).map_err(|errno| failed(errno.into()))?;
        if let Some(mut child) = self.started.take() {
            // The shell ends with the broker, or is the broker.
            child.wait().map_err(failed)?;
        }
        // Gone, or a zombie that somebody else has to bury; its port is free in both cases.
        let begun = Instant::now();
        while test_kill_process(pid).is_ok() && is_listening(self.uri.port) {
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(failed(std::io::ErrorKind::TimedOut.into()));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specification_has_its_parts_in_order_and_the_command_may_have_commas() {
        let spec: BrokerSpec =
            "hare=amqp://a:b@127.0.0.1:5673/%2f,pid=7,start=run --x=1,2".parse().unwrap();
        assert_eq!((spec.name.as_str(), spec.uri.port, spec.pid), ("hare", 5673, Some(7)));
        assert_eq!(spec.start.as_deref(), Some("run --x=1,2"));
        let short: BrokerSpec = "r=amqp://127.0.0.1".parse().unwrap();
        assert_eq!((short.pid, short.start), (None, None));
    }

    #[test]
    fn a_specification_that_is_none_is_refused_in_one_sentence() {
        let error = "amqp://127.0.0.1".parse::<BrokerSpec>().unwrap_err().to_string();
        assert!(error.starts_with("--broker NAME=URI"), "{error}");
        assert!("x=amqp://h,pid=z".parse::<BrokerSpec>().is_err());
    }
}
