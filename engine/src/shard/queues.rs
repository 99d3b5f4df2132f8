//! The queues that a shard owns, and which of them have something to do.

use std::collections::VecDeque;
use std::sync::Arc;

use super::directory::Directory;
use crate::dedup::Cache;
use crate::ids::{ConnectionId, QueueId};
use crate::log::{Address, Outlook};
use crate::queue::{ChunkPool, Queue, QueueSettings, Remains, Role};

/// Number of a queue within its shard; used again after it has gone, so whoever remembers one
/// must not mind meeting another queue there.
pub(super) type QueueSlot = u32;

/// A queue and what the shard remembers about it.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) queue: Queue,
    /// In `dirty`.
    dirty: bool,
    /// In `reading`.
    reading: bool,
    /// Turns in a row that ended with nothing but another wait for a read.
    vain_turns: u8,
    /// In `to_trim`.
    to_trim: bool,
    /// When its timer goes off.
    pub(super) timer_unix_ms: Option<u64>,
    /// Of the queue behind a deduplicating exchange: what has passed.
    pub(super) seen: Option<Box<Cache>>,
}

impl Hosted {
    /// It waits for [`Queues::next_to_trim`].
    pub(super) fn is_to_be_trimmed(&self) -> bool {
        self.to_trim
    }
}

/// Where queues are remembered that have something to do, and which one is meant.
#[derive(Debug)]
pub(super) struct Work<'a> {
    at: QueueSlot,
    dirty: &'a mut VecDeque<QueueSlot>,
}

impl Work<'_> {
    /// Remembers the queue for the next dispatch if there is something for it to do.
    #[inline]
    pub(super) fn note(self, hosted: &mut Hosted) {
        if !hosted.dirty && !hosted.reading && hosted.queue.has_work() {
            hosted.dirty = true;
            self.dirty.push_back(self.at);
        }
    }
}

/// A queue whose next message is being read.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    at: QueueSlot,
    /// Where in the log that message is. `None`: in several places.
    address: Option<Address>,
}

/// Turns in vain after which a queue that waits for a read goes first.
const VAIN_TURNS_MAX: u8 = 2;

/// Queues that pack what they have left open at one occasion. There is one for each message, and most
/// open one chunk at most.
const CONDENSED_AT_ONCE: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queues {
    all: Vec<Option<Box<Hosted>>>,
    vacant: Vec<QueueSlot>,
    by_id: Directory,
    /// Queues that could deliver something or owe an answer to a basic.get, in order of service.
    dirty: VecDeque<QueueSlot>,
    /// Queues at the front of `dirty` that have not had their turn in this round.
    round_left: usize,
    /// Queues whose next message is being read from the device.
    reading: Vec<Waiting>,
    /// Queues that hold more than they may.
    to_trim: VecDeque<QueueSlot>,
    /// What purges and queues that are gone have left to be freed.
    remains: VecDeque<Remains>,
    /// How many are behind exchanges.
    stores: usize,
    pub(super) pool: ChunkPool,
    /// Of the queue made last: most are declared alike.
    settings: Arc<QueueSettings>,
}

impl Queues {
    #[inline]
    pub(super) fn find(&self, id: QueueId) -> Option<QueueSlot> {
        self.by_id.find(id)
    }

    pub(super) fn get(&self, at: QueueSlot) -> Option<&Hosted> {
        self.all.get(at as usize)?.as_deref()
    }

    /// A queue and the pool that its chunks come from.
    #[inline]
    pub(super) fn get_mut(&mut self, at: QueueSlot) -> Option<(&mut Hosted, &mut ChunkPool)> {
        let hosted = self.all.get_mut(at as usize)?.as_deref_mut()?;
        Some((hosted, &mut self.pool))
    }

    /// As [`Queues::get_mut`], for who puts a message in: also where to put the queue if it has work to do then, as
    /// [`Queues::note_work`] does.
    #[inline]
    pub(super) fn intake(
        &mut self,
        at: QueueSlot,
    ) -> Option<(&mut Hosted, &mut ChunkPool, Work<'_>)> {
        let hosted = self.all.get_mut(at as usize)?.as_deref_mut()?;
        Some((hosted, &mut self.pool, Work { at, dirty: &mut self.dirty }))
    }

    /// An open queue by its id.
    #[inline]
    pub(super) fn open(&mut self, id: QueueId) -> Option<(QueueSlot, &mut Hosted, &mut ChunkPool)> {
        let at = self.find(id)?;
        let (hosted, pool) = self.get_mut(at)?;
        (!hosted.queue.is_closed()).then_some((at, hosted, pool))
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.count()
    }

    /// Queues behind exchanges.
    pub(super) fn stores(&self) -> usize {
        self.stores
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.all.iter().flatten().map(|hosted| &hosted.queue)
    }

    pub(super) fn slots(&self) -> Vec<QueueSlot> {
        self.by_id.slots().collect()
    }

    /// A connection that is gone waits for no basic.get any more. Queues that owe an answer to
    /// one are in either list.
    pub(super) fn forget_gets(&mut self, connection: ConnectionId) {
        let reading = self.reading.iter().map(|waiting| &waiting.at);
        for at in self.dirty.iter().chain(reading) {
            if let Some(hosted) = self.all[*at as usize].as_deref_mut() {
                hosted.queue.forget_gets(connection);
            }
        }
    }

    /// The settings of a queue to be made, shared with the one before if that is possible.
    pub(super) fn share(&mut self, settings: QueueSettings) -> Arc<QueueSettings> {
        if *self.settings != settings {
            self.settings = Arc::new(settings);
        }
        Arc::clone(&self.settings)
    }

    pub(super) fn add(&mut self, mut queue: Queue) -> QueueSlot {
        let id = queue.id();
        let role = queue.settings().role;
        let seen = match role {
            Role::Filters { size, ttl_ms, .. } => Some(Box::new(Cache::new(size, ttl_ms))),
            _ => None,
        };
        self.stores += usize::from(role != Role::Ordinary);
        let (dirty, reading, vain_turns, to_trim, timer_unix_ms) = Default::default();
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.all.push(None);
            (self.all.len() - 1) as QueueSlot
        });
        queue.keep_at(at, &mut self.pool);
        let hosted = Hosted { queue, dirty, reading, vain_turns, to_trim, timer_unix_ms, seen };
        self.all[at as usize] = Some(Box::new(hosted));
        self.by_id.insert(id, at);
        at
    }

    /// Takes a queue out of service. Its messages are freed by and by.
    pub(super) fn remove(&mut self, id: QueueId) -> bool {
        let Some(at) = self.by_id.remove(id) else { return false };
        let Some(hosted) = self.all[at as usize].take() else { return false };
        self.vacant.push(at);
        self.stores -= usize::from(hosted.queue.settings().role != Role::Ordinary);
        self.remains.push_back(hosted.queue.into_remains());
        true
    }

    /// These are freed by and by.
    pub(super) fn bury(&mut self, remains: Remains) {
        self.remains.push_back(remains);
    }

    /// Remembers a queue for the next dispatch if there is something for it to do.
    #[inline]
    pub(super) fn note_work(&mut self, at: QueueSlot) {
        if let Some(hosted) = self.all[at as usize].as_deref_mut() {
            Work { at, dirty: &mut self.dirty }.note(hosted);
        }
        self.keep_within();
    }

    /// To be called when a queue may have unpacked something: one look, nearly always.
    #[inline]
    pub(super) fn keep_within(&mut self) {
        if self.pool.is_crowded() {
            self.condense_some();
        }
    }

    /// What queues know of their messages takes more memory than there is: some pack what they have
    /// left open, those first that have left it for longest.
    #[cold]
    fn condense_some(&mut self) {
        for _ in 0..CONDENSED_AT_ONCE {
            let Some(at) = self.pool.next_to_condense() else { return };
            if let Some(hosted) = self.all.get_mut(at as usize).and_then(Option::as_deref_mut) {
                if hosted.queue.condense(&mut self.pool) {
                    self.pool.note_loose(at);
                }
            }
        }
    }

    /// The queue to be served next. Whoever takes it notes what work it leaves.
    pub(super) fn next_dirty(&mut self) -> Option<QueueSlot> {
        while let Some(at) = self.dirty.pop_front() {
            self.round_left = self.round_left.saturating_sub(1);
            if let Some(hosted) = self.all[at as usize].as_deref_mut() {
                if std::mem::take(&mut hosted.dirty) {
                    return Some(at);
                }
            }
        }
        None
    }

    /// Every queue has had its turn that had something to do when the round began.
    pub(super) fn is_round_over(&self) -> bool {
        self.round_left == 0
    }

    /// A round of all that have something to do now.
    pub(super) fn begin_round(&mut self) {
        self.round_left = self.dirty.len();
    }

    /// True if it could deliver something or owes an answer, and has not had its turn yet.
    pub(super) fn is_dirty(&self, at: QueueSlot) -> bool {
        self.get(at).is_some_and(|hosted| hosted.dirty)
    }

    pub(super) fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// The queue holds more than it may.
    pub(super) fn trim_later(&mut self, at: QueueSlot) {
        if let Some(hosted) = self.all[at as usize].as_deref_mut() {
            if !std::mem::replace(&mut hosted.to_trim, true) {
                self.to_trim.push_back(at);
            }
        }
    }

    /// The next one of those.
    pub(super) fn next_to_trim(&mut self) -> Option<QueueSlot> {
        while let Some(at) = self.to_trim.pop_front() {
            if let Some(hosted) = self.all[at as usize].as_deref_mut() {
                if std::mem::take(&mut hosted.to_trim) {
                    return Some(at);
                }
            }
        }
        None
    }

    pub(super) fn any_to_trim(&self) -> bool {
        !self.to_trim.is_empty()
    }

    /// The queue can do nothing before what is at `address` has been read, or if that is `None` some other place of the
    /// log. `in_vain`: nor has it done anything in this turn.
    pub(super) fn await_read(&mut self, at: QueueSlot, address: Option<Address>, in_vain: bool) {
        if let Some(hosted) = self.all[at as usize].as_deref_mut() {
            hosted.vain_turns = if in_vain { hosted.vain_turns.saturating_add(1) } else { 0 };
            if !hosted.reading {
                hosted.reading = true;
                self.reading.push(Waiting { at, address });
            }
        }
    }

    /// A read has come back. Queues whose message it has brought have their turn after those that have something to do
    /// already, and which may be far behind: of a backlog in which many queues interleave, each reads what has come as
    /// far as it goes, and it must not leave memory before the last one has. Whose message is still on its way goes on
    /// waiting: it would have nothing of its turn, and as one whose turns are in vain run away from those behind.
    /// Those that have had their turn in vain go first, because what had been read for them left memory before it: others
    /// might have other octets read in the meantime, and these pushed out. So do those whose message nobody reads: they
    /// have to ask again.
    pub(super) fn read_done(&mut self, outlook: impl Fn(Address) -> Outlook) {
        let mut waiting = std::mem::take(&mut self.reading);
        let (mut first, mut last) = (Vec::new(), Vec::new());
        waiting.retain(|one| {
            let hosted = self.all[one.at as usize].as_deref();
            let tried = hosted.is_some_and(|hosted| hosted.vain_turns >= VAIN_TURNS_MAX);
            match one.address.map(&outlook) {
                Some(Outlook::Coming) => return true,
                Some(Outlook::Unasked) => first.push(one.at),
                Some(Outlook::Here) | None if tried => first.push(one.at),
                Some(Outlook::Here) | None => last.push(one.at),
            }
            false
        });
        self.reading = waiting;
        for at in first.into_iter().rev() {
            if self.wake(at) {
                self.dirty.push_front(at);
            }
        }
        for at in last {
            if self.wake(at) {
                self.dirty.push_back(at);
            }
        }
    }

    /// It waits for no read any more. True if it is to be remembered for its turn.
    fn wake(&mut self, at: QueueSlot) -> bool {
        let Some(hosted) = self.all[at as usize].as_deref_mut() else { return false };
        hosted.reading = false;
        let is_new = !hosted.dirty && hosted.queue.has_work();
        hosted.dirty |= is_new;
        is_new
    }

    /// What is to be freed next.
    pub(super) fn remains(&mut self) -> Option<(&mut Remains, &mut ChunkPool)> {
        let next = self.remains.front_mut()?;
        Some((next, &mut self.pool))
    }

    /// Nothing is left of what [`Queues::remains`] gave.
    pub(super) fn remains_freed(&mut self) {
        self.remains.pop_front();
    }

    pub(super) fn any_remains(&self) -> bool {
        !self.remains.is_empty()
    }

    /// True if messages are still to be settled though their queue has been purged of them.
    pub(super) fn is_purging(&self) -> bool {
        self.remains.iter().any(Remains::must_settle)
    }
}
