//! What must hold at every step. Looks and judges: changes nothing and draws no random number.

use haremq_engine::ids::{ConsumerKey, QueueId};
use haremq_engine::shard::QueueStats;

use crate::shadow::{Copy, State};
use crate::simulation::Simulation;
use crate::violation::{broken, require, Kind, Verdict};

/// Times what is wanted that files may take.
const DISK_TIMES: u64 = 2;
/// The same where a block of one long record takes a good part of a segment: what does not fit the
/// segment's end is left empty, and copies leave as much.
const DISK_TIMES_OF_LONG_RECORDS: u64 = 3;
/// That is where segments are as small as they can be and records longer than this.
const LONG_RECORD_BYTES: usize = 4_096;
const SMALLEST_SEGMENT_BYTES: u64 = 65_536;
/// Segments beyond that.
const DISK_SEGMENTS: u64 = 10;
/// Files that are on the disk and are no segment's: one that a crash left half made, and one whose
/// deletion failed.
const UNKNOWN_SEGMENTS: u64 = 2;

/// Octets of memory that indexes may take beyond what they may, for what one step unpacks.
const INDEX_STEP_BYTES: usize = 8_192;
/// For what cannot be paged of a queue that is not empty (docs/guarantees.md, "Memory of a long
/// backlog").
const INDEX_QUEUE_BYTES: usize = 400;
/// And for that of its priorities, of pieces that are as short as they are here, and for the piece
/// that was looked into last. What is left unpacked by mistake takes a hundred times as much, where
/// queues are short.
const INDEX_MESSAGE_BYTES: usize = 40;

/// After every step.
pub fn check(simulation: &Simulation) -> Verdict {
    counts(simulation)?;
    budget(simulation)?;
    reclaiming(simulation)
}

/// When the shards have come to rest.
pub fn check_at_rest(simulation: &Simulation) -> Verdict {
    counts(simulation)?;
    budget(simulation)?;
    memory(simulation)?;
    disk(simulation)
}

/// The numbers that owners give of their queues are possible.
pub fn counts(simulation: &Simulation) -> Verdict {
    let now = simulation.world.clock.now().unix_ms;
    for (id, queue) in &simulation.shadow.queues {
        if queue.closing {
            continue;
        }
        let Some(shard) = simulation.world.shards.get(usize::from(queue.owner.0)) else { continue };
        let Some(stats) = shard.queue_stats(*id) else {
            return broken(Kind::Counts, format!("{id:?} is open and its owner does not know it"));
        };
        let counts = queue.counts(now);
        let ready = stats.messages_ready;
        require((counts.certain..=counts.possible).contains(&ready), Kind::Counts, || {
            let undoubted = |copy: &&Copy| copy.state == State::Ready && copy.doubt.is_none();
            let some: Vec<_> = queue.copies().iter().filter(undoubted).take(3).collect();
            let spec = &queue.spec;
            format!("{spec:?} has {ready} ready messages, expected: {counts:?}, such as {some:?}")
        })?;
        let unacked = stats.messages_unacknowledged;
        require(unacked == counts.unacked, Kind::Counts, || {
            format!("{} has {unacked} unacked messages, expected: {counts:?}", queue.spec.name)
        })?;
    }
    Ok(())
}

/// Nothing is in memory that no transient message explains.
fn memory(simulation: &Simulation) -> Verdict {
    let held: u64 = simulation.world.shards.iter().map(|shard| shard.memory_messages()).sum();
    let possible = simulation.shadow.transient();
    require(held <= possible, Kind::Space, || {
        format!("{held} messages in memory, and {possible} can be")
    })?;
    for shard in &simulation.world.shards {
        let (paged, stats) = (shard.index_paged(), shard.all_queue_stats());
        let is_empty =
            |queue: &QueueStats| queue.messages_ready + queue.messages_unacknowledged == 0;
        require(paged.pages == 0 || !stats.iter().all(is_empty), Kind::Space, || {
            format!("nothing is queued and something is paged out: {paged:?}")
        })?;
    }
    Ok(())
}

/// Messages in memory take no more of it than they may, however many there are.
fn budget(simulation: &Simulation) -> Verdict {
    let max_bytes = simulation.world.limits.memory_max_bytes;
    for shard in &simulation.world.shards {
        let bytes = shard.memory_bytes();
        require(bytes <= max_bytes, Kind::Space, || {
            format!("{bytes} octets of messages in memory, and there may be {max_bytes}")
        })?;
        let (paged, stats) = (shard.index_paged(), shard.all_queue_stats());
        let held = |queue: &QueueStats| queue.messages_ready + queue.messages_unacknowledged;
        let messages = stats.iter().map(held).sum::<u64>() as usize;
        let queues = stats.iter().filter(|queue| held(queue) > 0).count();
        let max_bytes = simulation.world.limits.packing.bytes_max
            + INDEX_STEP_BYTES
            + INDEX_QUEUE_BYTES * queues
            + INDEX_MESSAGE_BYTES * messages;
        let bytes = shard.index_bytes();
        let takes_pages = simulation.world.limits.refuses_every == 0;
        require(!takes_pages || bytes <= max_bytes, Kind::Space, || {
            format!(
                "{bytes} octets of indexes in memory for {messages} messages in {queues} queues, \
                 and there may be {max_bytes}: {paged:?}"
            )
        })?;
        require(paged.octets == paged.store_bytes, Kind::Space, || {
            format!("the pages that are kept are not those that are wanted: {paged:?}")
        })?;
    }
    Ok(())
}

/// What giving segments back has written and is not on stable storage is no more than one write
/// holds, whose last record may be the longest that there is.
fn reclaiming(simulation: &Simulation) -> Verdict {
    let limits = &simulation.world.limits;
    let max = limits.buffer_bytes as u64 + limits.segment_bytes / 4;
    for shard in &simulation.world.shards {
        let space = shard.log_space();
        require(space.reclaiming_octets <= max, Kind::Space, || {
            format!("a confirm may wait for {max} octets of reclaiming: {space:?}")
        })?;
    }
    Ok(())
}

/// Segment files take no more than twice the octets of what is wanted (docs/guarantees.md, "Disk
/// space"), and a constant number of segments.
fn disk(simulation: &Simulation) -> Verdict {
    let world = &simulation.world;
    // A full disk has no room for the copies that would make some.
    if world.is_full() {
        return Ok(());
    }
    let segment_bytes = world.limits.segment_bytes;
    let is_long =
        segment_bytes == SMALLEST_SEGMENT_BYTES && world.limits.body_bytes_max > LONG_RECORD_BYTES;
    let times = if is_long { DISK_TIMES_OF_LONG_RECORDS } else { DISK_TIMES };
    for (shard, disk) in world.shards.iter().zip(&world.disks) {
        let (space, used) = (shard.log_space(), disk.bytes());
        let max = times * space.live_octets + DISK_SEGMENTS * segment_bytes;
        require(space.file_octets <= max, Kind::Space, || {
            format!("there may be {max} octets of files: {space:?}")
        })?;
        let max = space.file_octets + UNKNOWN_SEGMENTS * segment_bytes;
        require(used <= max, Kind::Space, || {
            format!("{used} octets are on the disk, and there may be {max}: {space:?}")
        })?;
    }
    Ok(())
}

/// A consumer holds no more than it has credit for.
pub fn credit(simulation: &Simulation, key: ConsumerKey, queue: QueueId) -> Verdict {
    let Some(consumer) = simulation.clients.consumers.get(&key.serial) else { return Ok(()) };
    if consumer.prefetch == 0 || consumer.no_ack {
        return Ok(());
    }
    let held = simulation.shadow.held_by(key, queue);
    require(held <= u64::from(consumer.prefetch), Kind::Credit, || {
        format!("consumer {} holds {held} and may hold {}", key.serial, consumer.prefetch)
    })
}

/// All shards route by the same definitions, once they have come up.
pub fn replicas(simulation: &Simulation) -> Verdict {
    let of = |shard: usize| {
        let topology = simulation.world.shards[shard].topology();
        let mut queues: Vec<QueueId> = topology.all_queues().map(|queue| queue.id).collect();
        queues.sort_unstable();
        queues
    };
    for shard in 1..simulation.world.shards.len() {
        require(of(shard) == of(0), Kind::Definition, || format!("shard {shard} routes alone"))?;
    }
    Ok(())
}
