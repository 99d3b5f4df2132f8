//! Everything that can end a run early, in words for the person at the terminal. One sentence each.

use std::io;
use std::path::PathBuf;

use crate::uri::UriError;
use crate::wire::reply::Reason;
use crate::wire::WireError;

/// Why a command did not finish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PerfError {
    /// The URI cannot be read.
    #[error(transparent)]
    Uri(#[from] UriError),
    /// No TCP connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// host:port
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The broker does not take this user or password.
    #[error("{address} refused the login of user '{user}'{detail}")]
    LoginRefused {
        /// host:port
        address: String,
        /// Who.
        user: String,
        /// The broker's words in brackets, or nothing if it only hung up.
        detail: String,
    },
    /// The broker offers no mechanism that this client has.
    #[error("{address} does not offer SASL PLAIN, only: {mechanisms}")]
    NoPlain {
        /// host:port
        address: String,
        /// As the broker listed them.
        mechanisms: String,
    },
    /// connection.close from the broker.
    #[error("the broker closed the connection: {} {}", .0.code, .0.text)]
    ConnectionClosed(Reason),
    /// channel.close from the broker.
    #[error("the broker closed the channel: {} {}", .0.code, .0.text)]
    ChannelClosed(Reason),
    /// basic.cancel from the broker.
    #[error("the broker cancelled a consumer of queue '{0}'")]
    ConsumerCancelled(String),
    /// End of file, or reset, without a word.
    #[error("the broker hung up without connection.close while {0}")]
    Disconnected(&'static str),
    /// Nothing came in time.
    #[error("the broker did not answer within {seconds} s while {waiting}")]
    Timeout {
        /// How long was waited.
        seconds: u64,
        /// For what.
        waiting: &'static str,
    },
    /// The broker sent something that is not AMQP.
    #[error("protocol error: {0}")]
    Wire(#[from] WireError),
    /// The broker answered, but with another method than asked for.
    #[error("unexpected answer while {waiting}: {got}")]
    UnexpectedReply {
        /// For what.
        waiting: &'static str,
        /// The method that came.
        got: String,
    },
    /// A confirm for a publish that was never made, or was confirmed before.
    #[error("the broker confirmed publish {0}, which is not outstanding")]
    UnknownConfirm(u64),
    /// A system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be written or read.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The report could not be turned into JSON.
    #[error("the report cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Options that do not go together.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The process to watch is not there, or not ours to read.
    #[error("cannot read /proc/{pid}/{file}: {source}")]
    Process {
        /// Which process.
        pid: i32,
        /// Which file of it.
        file: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// `/proc` has the file, but not in the form that was expected.
    #[error("/proc/{pid}/{file} has an unexpected form")]
    ProcessForm {
        /// Which process.
        pid: i32,
        /// Which file of it.
        file: &'static str,
    },
    /// Nobody listens there, or the process belongs to somebody else.
    #[error("no process that listens on port {0} can be found in /proc: give pid=PID")]
    NoListener(u16),
    /// The start command ended with an error.
    #[error("the start command of '{name}' failed with {status}")]
    StartFailed {
        /// Which broker.
        name: String,
        /// As the system puts it.
        status: String,
    },
    /// A broker that was told to start did not answer in time.
    #[error("'{name}' did not answer within {seconds} s after its start command")]
    NoRestart {
        /// Which broker.
        name: String,
        /// How long was waited.
        seconds: u64,
    },
}

/// Options that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// Nothing would happen.
    #[error("at least one producer is needed")]
    NoProducer,
    /// Messages need a queue.
    #[error("at least one queue is needed")]
    NoQueue,
    /// An ack would never be due.
    #[error("--ack-every {every} is over --prefetch {prefetch}: the consumer would wait for ever")]
    AckOverPrefetch {
        /// Messages per ack.
        every: u32,
        /// Messages out at once.
        prefetch: u16,
    },
    /// Queues do not divide into groups.
    #[error("--fan-out {fan_out} does not divide --queues {queues}")]
    FanOutDoesNotDivide {
        /// Queues per message.
        fan_out: u32,
        /// Queues in all.
        queues: u32,
    },
    /// The default exchange reaches exactly one queue.
    #[error("--fan-out over 1 needs --exchange direct, topic, headers or fanout")]
    FanOutNeedsExchange,
    /// Streams are numbered with 16 bits.
    #[error("{0} producer-target pairs are more than the 65535 that can be told apart")]
    TooManyStreams(usize),
    /// A backlog limit needs somebody who works it off.
    #[error("--max-backlog needs consumers")]
    BacklogNeedsConsumers,
    /// A number that has to be over zero.
    #[error("{0} must be over 0")]
    Zero(&'static str),
    /// A queue without a consumer would keep its messages, and look like loss.
    #[error("{consumers} consumers cannot serve {queues} queues: give each queue one")]
    QueueWithoutConsumer {
        /// Consumers asked for.
        consumers: u32,
        /// Queues asked for.
        queues: u32,
    },
    /// Rows that the suite does not have.
    #[error("no row is called '{0}' (see --list)")]
    UnknownRow(String),
    /// The suite needs somebody to measure.
    #[error("--broker NAME=URI[,pid=PID][,start=COMMAND] is needed, got '{0}'")]
    BrokerForm(String),
}

/// Shorthand.
pub(crate) type Result<T, E = PerfError> = std::result::Result<T, E>;
