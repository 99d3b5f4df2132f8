//! Recent history: a queue or exchange that is newly bound to an exchange with a memory gets what
//! that remembers (behaviour C11), in the order in which it came.
//!
//! The shard that holds the history copies it out; nothing leaves it. Copies for this shard are
//! taken like publishes, those for others go as mail that nobody answers: nobody was promised
//! them. Long ones share their parts with what is remembered, and go to others part by part (`shipping`).

use std::collections::VecDeque;
use std::sync::Arc;

use super::bodies::Body;
use super::{Effect, Shard};
use crate::dead_letter::Letter;
use crate::ids::{QueueId, Seq, Target};
use crate::log::{Fetch, Memory};
use crate::mail::PeerMail;
use crate::message::MessageRef;
use crate::now::Now;
use crate::queue::Slot;
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
    /// A long one is on its way to another shard: those behind it keep their place.
    is_crossing: bool,
    letter: Letter,
    routes: Routes,
}

impl Replays {
    /// True if a copy can be made.
    pub(super) fn can_go_on(&self) -> bool {
        !self.waiting.is_empty() && !self.is_reading && !self.is_crossing
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn copy_arrived(&mut self) {
        self.is_crossing = false;
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
                let mut letter = std::mem::take(&mut self.replays.letter);
                let Some(body) = self.read_copy(&slot, &mut letter) else {
                    self.replays.letter = letter;
                    self.replays.is_reading = true;
                    return;
                };
                self.send_copy(now, letter, body);
            }
            if let Some(first) = self.replays.waiting.front_mut() {
                first.left.pop_front();
            }
        }
    }

    /// Makes a copy of a message, of a long one without its body, which is beside it. `None`: something must be read
    /// first.
    fn read_copy(&mut self, slot: &Slot, letter: &mut Letter) -> Option<Option<Body>> {
        if self.store.is_in_parts(slot) {
            let write = |message: &MessageRef<'_>, _| letter.write_copy(message);
            return self.store.begin_long(slot, write).map(|((), body)| body);
        }
        let Fetch::Ready(stored) = self.store.fetch(slot) else { return None };
        letter.write_copy(&stored.message);
        Some(None)
    }

    fn send_copy(&mut self, now: Now, letter: Letter, body: Option<Body>) {
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
        if let Some(body) = body {
            let heirs = routes.targets.clone();
            self.send_long_copy(now, &letter, body, &heirs);
            self.replays.letter = letter;
            return;
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

    /// A long copy goes part by part, and shares the parts with what is here.
    fn send_long_copy(&mut self, now: Now, letter: &Letter, body: Body, heirs: &[Target]) {
        let message = letter.message();
        if heirs.iter().any(|heir| heir.shard != self.config.shard) {
            self.replays.is_crossing = true;
            return self.copy_across(now, &message, body, heirs);
        }
        let queues: Vec<QueueId> = heirs.iter().map(|heir| heir.queue).collect();
        self.take(now, &message, Some(body), &queues, None, None);
    }
}
