//! How a tx.commit comes to be decided. What it settles on other shards is to be durable there before.
//!
//! What a transaction has put, or a move, may be delivered before the log of its queue has it on stable storage.
//! If the power goes then, it is put once more, under a number of its own. A settle that another shard has decided
//! meanwhile would name the old one and find nothing, and the message would come again though the transaction that
//! settles it happened. So the shards concerned vouch for what is to be settled, before the journal record is
//! written. For what is durable by then, which is nearly always all of it, they do at once.
//!
//! Of a message that was merely published nothing is left if the power goes that soon: it needs no voucher. Nor
//! does anything on the shard that decides, in whose log the decision comes behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Origin;
use crate::ids::{ChannelKey, QueueId, ShardId};
use crate::log::{Address, Memory, OpenBody, Position};
use crate::mail::{Outcome, PeerMail};
use crate::now::Now;
use crate::queue::Place;
use crate::shard::{Effect, Shard};
use crate::transaction::{Transaction, TransactionSettle};

/// What a connection asks for.
#[derive(Debug)]
struct Request {
    channel: ChannelKey,
    transaction: Arc<Transaction>,
    /// Long bodies, with the indexes of their publishes.
    bodies: Vec<(usize, OpenBody)>,
}

/// One that is to be decided here.
#[derive(Debug)]
struct Undecided {
    request: Request,
    /// Shards that have not vouched yet.
    owed: usize,
}

/// One that another shard is going to decide.
#[derive(Debug)]
struct Asked {
    from: ShardId,
    request: u64,
    /// What it settles here is durable with that.
    end: Position,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Vouching {
    next: u64,
    undecided: BTreeMap<u64, Undecided>,
    asked: Vec<Asked>,
    /// End of the latest message that would be put once more.
    put_end: Position,
}

impl Vouching {
    pub(super) fn is_quiet(&self) -> bool {
        self.undecided.is_empty() && self.asked.is_empty()
    }
}

impl super::Transactions {
    /// A transaction or a move has put a message, which ends there.
    #[inline]
    pub(in crate::shard) fn note_put(&mut self, end: Position) {
        self.vouching.put_end = end;
    }
}

impl<M: Memory> Shard<M> {
    /// Carries out a transaction of a connection of this shard.
    pub(in crate::shard) fn commit(
        &mut self,
        now: Now,
        channel: ChannelKey,
        transaction: Arc<Transaction>,
    ) {
        let bodies = self.take_bodies(channel, &transaction);
        let is_journaled = self.lasting_deeds(&transaction) > 1;
        let request = Request { channel, transaction, bodies };
        if !is_journaled {
            return self.decide_commit(now, request, false);
        }
        if let Some(request) = self.ask_to_vouch(request) {
            self.decide_commit(now, request, true);
        }
    }

    /// Nothing is in the way of a connection's transaction any more. Those of a shard are numbered in the order
    /// in which they are decided.
    fn decide_commit(&mut self, now: Now, request: Request, is_journaled: bool) {
        let Request { channel, transaction, bodies } = request;
        let number = self.transactions.next;
        self.transactions.next += 1;
        for (index, body) in bodies {
            self.shipping.hold(number, index, body);
        }
        let decided = is_journaled.then(|| self.write_journal(now, number, &transaction));
        self.begin(now, number, Origin::Commit(channel), transaction, decided, None);
        self.drive_transactions(now);
    }

    /// Whether persistent messages of that queue survive a restart.
    pub(super) fn lasts(&self, queue: QueueId) -> bool {
        // Queues behind exchanges are in no list; they may last.
        self.topology.queue_by_id(queue).is_none_or(|queue| queue.survives_restart())
    }

    /// How many things of it a crash could keep apart from the others.
    fn lasting_deeds(&self, transaction: &Transaction) -> usize {
        let lasts = |queue: QueueId| self.lasts(queue);
        let mut deeds = transaction.settles().iter().filter(|settle| lasts(settle.queue)).count();
        let mut shards: Vec<ShardId> = Vec::new();
        for (message, targets) in transaction.publishes() {
            let lasting = targets.iter().filter(|target| message.persistent && lasts(target.queue));
            shards.clear();
            shards.extend(lasting.map(|target| target.shard));
            shards.sort_unstable();
            shards.dedup();
            deeds += shards.len();
        }
        deeds
    }

    /// True while a commit of that channel waits for other shards, and nothing of it has been done.
    pub fn is_undecided(&self, channel: ChannelKey) -> bool {
        let mut undecided = self.transactions.vouching.undecided.values();
        undecided.any(|one| one.request.channel == channel)
    }

    /// Asks other shards to vouch for what is to be settled there. Gives back a request that settles nothing
    /// there which a crash could undo.
    fn ask_to_vouch(&mut self, request: Request) -> Option<Request> {
        let me = self.config.shard;
        let lasts = |settle: &&TransactionSettle| {
            settle.outcome != Outcome::Requeue && settle.shard != me && self.lasts(settle.queue)
        };
        let settles = request.transaction.settles().iter();
        let mut shards: Vec<ShardId> = settles.filter(lasts).map(|settle| settle.shard).collect();
        if shards.is_empty() {
            return Some(request);
        }
        shards.sort_unstable();
        shards.dedup();
        let vouching = &mut self.transactions.vouching;
        let number = vouching.next;
        vouching.next += 1;
        for &to in &shards {
            let transaction = Arc::clone(&request.transaction);
            let mail = PeerMail::Vouch { from: me, request: number, transaction };
            self.effects.push_back(Effect::Peer { to, mail });
        }
        vouching.undecided.insert(number, Undecided { request, owed: shards.len() });
        None
    }

    /// Another shard is going to decide a transaction that settles messages of this one.
    pub(in crate::shard) fn vouch(&mut self, from: ShardId, request: u64, of: &Transaction) {
        let me = self.config.shard;
        let (durable, put_end) = (self.store.log.durable(), self.transactions.vouching.put_end);
        let mut end = Position::default();
        if put_end > durable {
            let put_before = Address::first_from(put_end);
            for settle in of.settles().iter().filter(|settle| settle.shard == me) {
                let Some((_, hosted, pool)) = self.queues.open(settle.queue) else { continue };
                let Some(slot) = hosted.queue.live(pool, settle.seq) else { continue };
                let Place::Log { address, .. } = slot.place() else { continue };
                if Address(address) < put_before {
                    end = end.max(self.store.log.end_of(Address(address)));
                }
            }
            self.queues.keep_within();
        }
        if end > self.store.log.batch_start() {
            self.store.log.flush();
        }
        self.transactions.vouching.asked.push(Asked { from, request, end });
        self.vouch_for_durable();
    }

    /// Vouches for what has become durable.
    pub(super) fn vouch_for_durable(&mut self) {
        let durable = self.store.log.durable();
        let effects = &mut self.effects;
        self.transactions.vouching.asked.retain(|asked| {
            let Asked { from: to, request, end } = *asked;
            if end > durable {
                return true;
            }
            effects.push_back(Effect::Peer { to, mail: PeerMail::Vouched { request } });
            false
        });
    }

    /// A shard vouches for what is to be settled there.
    ///
    /// # Panics
    /// If it was not asked to.
    pub(in crate::shard) fn vouched(&mut self, now: Now, request: u64) {
        let undecided = &mut self.transactions.vouching.undecided;
        let Some(one) = undecided.get_mut(&request) else {
            panic!("request {request} was vouched for by somebody who was not asked");
        };
        one.owed -= 1;
        if one.owed > 0 {
            return;
        }
        if let Some(Undecided { request, .. }) = undecided.remove(&request) {
            self.decide_commit(now, request, true);
        }
    }
}
