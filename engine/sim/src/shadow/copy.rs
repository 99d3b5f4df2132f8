//! What is known of one message in one queue.

use haremq_engine::ids::ConsumerKey;

use super::commits::{CommitId, Evidence};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Ready,
    /// Held by a consumer, or by a connection that asked by basic.get.
    Unacked(Option<ConsumerKey>),
    /// Settled, purged or dropped at that moment.
    Gone(u64),
}

/// Why a message may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The power went, and nobody was promised it.
    NotPromised,
    /// The power went, and its settle may be lost or not.
    SettleMayBeLost,
    /// Its time was over.
    Expired,
    /// It may have had to make room.
    MadeRoom,
    /// The power went, and it is there or not as the transaction that put or settled it happened
    /// or not.
    Commit(CommitId),
}

impl Doubt {
    /// First what recovery decides, once for all; then what happens in memory and may be undone.
    pub(super) fn rank(self) -> u8 {
        match self {
            Doubt::Commit(_) => 0,
            Doubt::NotPromised | Doubt::SettleMayBeLost => 1,
            Doubt::Expired | Doubt::MadeRoom => 2,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Copy {
    pub number: u64,
    pub persistent: bool,
    pub priority: u8,
    pub expires_unix_ms: Option<u64>,
    pub state: State,
    /// Somebody may have seen it.
    pub seen: bool,
    pub doubt: Option<Doubt>,
    /// The queue may have refused it: its publisher has not been told.
    pub may_be_refused: bool,
    /// It is on stable storage: its shard has said so, or recovery has brought it back.
    pub is_safe: bool,
    /// It was there before the power went the last time.
    pub recovered: bool,
    /// The transaction that published it.
    pub put_by: Option<CommitId>,
    /// The transaction that settled it.
    pub taken_by: Option<CommitId>,
    /// A later start may have put it again: then its time begins anew.
    pub is_put_anew: bool,
    /// The same, and behind others.
    pub is_unordered: bool,
}

impl Copy {
    pub(super) fn may_be_gone(&self, now_unix_ms: u64) -> bool {
        self.doubt.is_some() || self.may_be_refused || self.may_have_expired(now_unix_ms)
    }

    /// In its last millisecond it is for who waits: not for a basic.get, and not once it has been requeued.
    pub(super) fn may_have_expired(&self, now_unix_ms: u64) -> bool {
        self.expires_unix_ms.is_some_and(|at| now_unix_ms >= at || self.is_put_anew)
    }

    /// The stronger doubt stays.
    pub(super) fn cast_doubt(&mut self, doubt: Doubt) {
        if self.doubt.is_none_or(|held| held.rank() < doubt.rank()) {
            self.doubt = Some(doubt);
        }
    }

    /// That it is not there can only mean that recovery has not found it, so it is nowhere.
    pub(super) fn is_absent_for_good(&self, now_unix_ms: u64) -> bool {
        let is_of_the_disk = self.doubt.is_some_and(|doubt| doubt.rank() < Doubt::Expired.rank());
        self.recovered
            && is_of_the_disk
            && !self.may_be_refused
            && !self.may_have_expired(now_unix_ms)
    }

    /// What it says that this copy is there.
    pub(super) fn presence(&self) -> impl Iterator<Item = Evidence> {
        let put = self.put_by.map(|id| (id, true));
        let taken = self.taken_by.map(|id| (id, false));
        put.into_iter().chain(taken)
    }

    /// What it says that this copy is not there.
    pub(super) fn absence(&self, now_unix_ms: u64) -> Option<Evidence> {
        let Some(Doubt::Commit(id)) = self.doubt else { return None };
        self.is_absent_for_good(now_unix_ms).then_some((id, self.taken_by == Some(id)))
    }
}
