//! Recent history: a queue or exchange that is newly bound to an exchange with a memory gets what
//! that remembers (behaviour C11), in the order in which it came.
//!
//! The shard that holds the history copies it out; nothing leaves it. Copies for this shard are
//! taken like publishes, those for others go as mail that nobody answers: nobody was promised
//! them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Effect, Shard};
use crate::dead_letter::Letter;
use crate::ids::{QueueId, Seq};
use crate::log::{Fetch, Memory};
use crate::mail::PeerMail;
use crate::now::Now;
use crate::routing::Subject;
use crate::topology::{Binding, BindingTarget, ExchangeKind, Routes};

/// Messages copied in one turn at most.
const COPIES_PER_TURN: usize = 256;

/// A history on its way to one destination.
#[derive(Debug)]
struct Replay {
    history: QueueId,
    left: VecDeque<Seq>,
    binding: Binding,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Replays {
    waiting: VecDeque<Replay>,
    /// The next message's octets are being read.
    is_reading: bool,
    letter: Letter,
    routes: Routes,
}

impl Replays {
    /// True if a copy can be made.
    pub(super) fn can_go_on(&self) -> bool {
        !self.waiting.is_empty() && !self.is_reading
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn read_done(&mut self) {
        self.is_reading = false;
    }
}

impl<M: Memory> Shard<M> {
    /// A binding is new: if its source has a memory on this shard, its target is to have it.
    pub(super) fn begin_replay(&mut self, now: Now, binding: &Binding) {
        let source = self.topology.exchange(&binding.vhost, &binding.source);
        let source = source.filter(|source| source.kind == ExchangeKind::RecentHistory);
        let Some(history) = source.and_then(|source| source.store) else { return };
        let Some((_, hosted, pool)) = self.queues.open(history.queue) else { return };
        let left: VecDeque<Seq> = hosted.queue.messages(pool).map(|(seq, _)| seq).collect();
        let (history, binding) = (history.queue, binding.clone());
        self.replays.waiting.push_back(Replay { history, left, binding });
        self.replay(now);
    }

    /// Copies what can be copied now, within what a turn may take.
    pub(super) fn replay(&mut self, now: Now) {
        for _ in 0..COPIES_PER_TURN {
            if !self.replays.can_go_on() {
                return;
            }
            let Some(first) = self.replays.waiting.front_mut() else { return };
            let Some(&seq) = first.left.front() else {
                self.replays.waiting.pop_front();
                continue;
            };
            let hosted = self.queues.open(first.history);
            if let Some(slot) = hosted.and_then(|(_, hosted, pool)| hosted.queue.ready(pool, seq)) {
                let Fetch::Ready(stored) = self.store.fetch(&slot) else {
                    self.replays.is_reading = true;
                    return;
                };
                let mut letter = std::mem::take(&mut self.replays.letter);
                letter.write_copy(&stored.message);
                self.send_copy(now, letter);
            }
            if let Some(first) = self.replays.waiting.front_mut() {
                first.left.pop_front();
            }
        }
    }

    fn send_copy(&mut self, now: Now, letter: Letter) {
        let (topology, replays) = (&self.topology, &mut self.replays);
        let Some(Replay { binding, .. }) = replays.waiting.front() else { return };
        let routes = &mut replays.routes;
        match &binding.target {
            BindingTarget::Queue(name) => {
                let queue = topology.queue(&binding.vhost, name);
                routes.lead_to(queue.map(|queue| queue.target()));
            }
            BindingTarget::Exchange(name) => {
                let keys: Vec<&[u8]> = letter.keys().collect();
                let (headers, properties) = (Some(letter.headers()), letter.message().properties);
                let subject = Subject { keys: &keys, headers, properties };
                let name = name.as_bytes();
                // An exchange that has gone meanwhile leads nowhere.
                let _ = topology.route_dead_letter(&binding.vhost, name, &subject, routes);
            }
        }
        let mut here = Vec::new();
        let mut elsewhere = Vec::new();
        for (shard, targets) in routes.by_shard() {
            let queues = targets.iter().map(|target| target.queue);
            if shard == self.config.shard {
                here.extend(queues);
            } else {
                elsewhere.push((shard, queues.collect::<Arc<[QueueId]>>()));
            }
        }
        if !here.is_empty() {
            self.take_message(now, &letter.message(), &here, None, None);
        }
        if elsewhere.is_empty() {
            self.replays.letter = letter;
            return;
        }
        let letter = Arc::new(letter);
        for (to, queues) in elsewhere {
            let mail = PeerMail::Copy { queues, letter: Arc::clone(&letter) };
            self.effects.push_back(Effect::Peer { to, mail });
        }
    }
}
