//! What a channel waits for.

use std::sync::Arc;

use haremq_engine::ids::QueueId;
use haremq_engine::topology::TopologyRequest;

use crate::amqp::method::MethodId;

/// A question under way to a shard.
#[derive(Debug)]
pub(super) struct Awaiting {
    /// The method that asked.
    pub(super) method: MethodId,
    /// The client does not want to hear the answer, unless it is an error (behaviour A80).
    pub(super) nowait: bool,
    pub(super) what: Awaited,
}

/// Encodes an answer that has no arguments.
pub(super) type PlainAnswer = fn(&mut Vec<u8>, u16);

#[derive(Debug)]
pub(super) enum Awaited {
    /// A topology change whose answer is an empty method.
    Done {
        answer: PlainAnswer,
    },
    /// A queue that did not exist a moment ago.
    Declared {
        name: Arc<str>,
    },
    /// The counts of an existing queue. Should it have gone meanwhile, `again` declares it anew;
    /// without, it is not found (passive declare).
    Counts {
        name: Arc<str>,
        again: Option<Box<TopologyRequest>>,
    },
    Purged {
        name: Arc<str>,
    },
    /// A queue's deletion. `cancelled`: tags of this channel's consumers that went with it; their
    /// client is told after delete-ok.
    Deleted {
        name: Arc<str>,
        cancelled: Vec<Arc<str>>,
    },
    Consuming {
        serial: u32,
    },
    Cancelled {
        serial: u32,
        tag: Arc<str>,
    },
    Got {
        queue: QueueId,
        name: Arc<str>,
    },
    /// The queue behind a direct reply-to consumer with this tag.
    ReplyQueue {
        name: Arc<str>,
        tag: Arc<str>,
    },
    /// Every publish of a transaction is safe.
    Committed,
}
