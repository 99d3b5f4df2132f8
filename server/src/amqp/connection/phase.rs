//! How far a conversation has come.

/// The life of a connection, in order; from every phase it can fall to one of the last four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for the protocol header.
    Header,
    /// connection.start is out, waits for start-ok.
    Starting,
    /// connection.secure is out, waits for secure-ok.
    Securing,
    /// connection.tune is out, waits for tune-ok.
    Tuning,
    /// Waits for connection.open.
    Opening,
    Running,
    /// connection.close is out, waits for close-ok until then. `deaf`: the input has lost its
    /// frames, nothing in it can be understood.
    Closing {
        until_us: u64,
        deaf: bool,
    },
    /// The client has closed; close-ok waits until its queues have gone (behaviour A68).
    Leaving {
        until_us: u64,
    },
    /// All has been said; the client may close its socket first (behaviour A22).
    Closed {
        until_us: u64,
    },
    /// Refused without a word; the socket is closed then (behaviour A7-A10).
    Silent {
        until_us: u64,
    },
    Finished,
}

impl Phase {
    /// RabbitMQ's name, in error texts and listings.
    pub(super) fn name(self) -> &'static str {
        match self {
            Phase::Header | Phase::Starting => "starting",
            Phase::Securing => "securing",
            Phase::Tuning => "tuning",
            Phase::Opening => "opening",
            Phase::Running => "running",
            Phase::Closing { .. } | Phase::Leaving { .. } => "closing",
            Phase::Closed { .. } | Phase::Silent { .. } | Phase::Finished => "closed",
        }
    }

    /// When it ends by itself, in monotonic microseconds.
    pub(super) fn until_us(self) -> Option<u64> {
        match self {
            Phase::Closing { until_us, .. }
            | Phase::Leaving { until_us }
            | Phase::Closed { until_us }
            | Phase::Silent { until_us } => Some(until_us),
            _ => None,
        }
    }

    /// The client is not let in yet.
    pub(super) fn is_handshake(self) -> bool {
        matches!(
            self,
            Phase::Header | Phase::Starting | Phase::Securing | Phase::Tuning | Phase::Opening
        )
    }
}
