//! What a connection asks of the broker around it. Implemented by the runtime, and by a
//! stand-in in tests and fuzz targets.

use std::sync::Arc;

use haremq_engine::event::Event;
use haremq_engine::ids::{ChannelKey, ShardId};
use haremq_engine::mail::{BodyPart, Command, Publish, Requester};
use haremq_engine::now::Now;
use haremq_engine::topology::{Topology, TopologyRequest};

use super::population::Counted;

/// A login that was checked.
#[derive(Clone, Debug)]
pub struct Login {
    pub user: Arc<str>,
    pub tags: Vec<Arc<str>>,
}

/// The way from a connection to its own and the other shards.
pub trait Broker {
    fn now(&self) -> Now;
    /// 16 octets nobody can guess, for generated names.
    fn random(&mut self) -> [u8; 16];
    /// This shard's replica.
    fn topology(&self) -> &Topology;
    /// Hands over one publish for the queues of one shard. Nothing is kept of the borrow.
    fn publish(&mut self, shard: ShardId, publish: &Publish<'_>);
    /// Hands over the next octets of a long body. Kept in order with all else to the same shard.
    fn add_body(&mut self, shard: ShardId, part: &BodyPart<'_>);
    /// As `publish`, of a message whose body the parts that `channel` has handed over begin.
    fn publish_body(&mut self, shard: ShardId, channel: ChannelKey, publish: &Publish<'_>);
    /// Hands the next octets of a long body to this shard, which holds it for the transaction of `channel`. `ends`:
    /// there are no more of this one.
    fn hold_body(&mut self, channel: ChannelKey, octets: &[u8], ends: bool);
    /// To the owner of a queue. Kept in order with `publish` to the same shard.
    fn command(&mut self, shard: ShardId, command: Command);
    /// To the topology writer.
    fn request(&mut self, from: Requester, request: TopologyRequest);
    /// Whether a connection that works for that shard alone should be taken there.
    fn may_move_to(&self, _shard: ShardId) -> bool {
        false
    }
    /// Whether anybody hears of events: ask before putting one together (behaviour C12).
    fn wants_events(&self) -> bool {
        false
    }
    fn announce(&mut self, _event: &Event) {}
    /// A message has found that the alternate exchange of that one, which is named by its place in
    /// the topology, is not there (behaviour B11).
    fn alternate_missing(&mut self, _exchange: u32) {}
    /// Counts one more of these, over all shards, unless there are as many as there may be; an
    /// error is the limit that is reached.
    fn enter(&mut self, _what: Counted, _name: &Arc<str>, _limit: Option<i64>) -> Result<(), i64> {
        Ok(())
    }
    /// So many of these have gone.
    fn leave(&mut self, _what: Counted, _name: &Arc<str>, _number: u64) {}
    /// Bodies that have come in part take `now` octets of this connection's memory, and took `before`.
    fn gathers(&mut self, _before: usize, _now: usize) {}

    /// There is no room on the disk: not even the rest of a long body is to be taken.
    fn is_disk_short(&self) -> bool {
        false
    }
    /// True while memory or disk is short: a connection that publishes is to be blocked.
    fn publishers_blocked(&self) -> Option<&'static str> {
        None
    }
}
