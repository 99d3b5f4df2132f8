//! A log, its disk, and a model of everything that was put in.
//!
//! The oracle is exact: after a crash the log goes on at some position. Everything that ended
//! before it must be back as it was, everything after it must be gone, and that position must
//! not lie before what had been reported durable.

use std::collections::{BTreeMap, VecDeque};

use super::body::{compare, Body, Texts};
use super::disk::{Completion, Disk, Effect, Tear, Vectors};
use super::random::Random;
use crate::ids::{QueueId, Seq};
use crate::log::{
    Address, Fetch, Holders, Log, LogConfig, LogEffect, LogError, Placed, Position, Recovered,
    Recovery, Relocated, Settling,
};
use crate::now::Now;

/// A reference, as the shard would know it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub address: Address,
    pub length: u32,
    pub reference: u32,
    pub end: Position,
    /// Where it lay before it was copied, and the end of that copy.
    pub copied_from: Vec<(Address, u32, u32, Position)>,
    /// Where the settle is durable, once there is one.
    pub settled: Option<Position>,
    /// Says what is in it.
    pub body: Body,
}

impl Held {
    /// The log ends there: what was copied behind that lies where it lay before.
    fn lose_copies(&mut self, log_end: Position) {
        while let Some((address, length, reference, end)) = self.copied_from.pop() {
            if end <= log_end {
                break;
            }
            (self.address, self.length, self.reference) = (address, length, reference);
        }
        self.copied_from.clear();
    }
}

pub(super) struct World {
    pub config: LogConfig,
    pub log: Log<Vectors>,
    pub disk: Disk,
    pub now: Now,
    pub random: Random,
    pub under_way: VecDeque<Effect>,
    pub held: BTreeMap<(QueueId, Seq), Held>,
    pub next_seq: BTreeMap<QueueId, u64>,
    pub gone: Vec<QueueId>,
    pub torn_bytes: u64,
    /// Octets copied forward before the latest crash.
    pub copied_octets: u64,
    /// Some messages that are appended are spilled ones.
    pub spills: bool,
    /// Segments whose index has been read instead of them, over all recoveries.
    pub indexed: usize,
    /// Each recovery is compared with one that reads everything.
    pub reads_in_full: bool,
    /// References that copying moves in a turn.
    pub copied_per_turn: usize,
    /// Ends of two records each that are both there or neither.
    pub moves: Vec<(Position, Position)>,
}

/// What a recovery told of one reference.
type Seen = BTreeMap<(QueueId, Seq), (Address, u32, u32, Option<Vec<u8>>)>;

impl World {
    pub(super) fn new(config: LogConfig, seed: u64) -> Self {
        let disk = Disk::default();
        let now = Now { unix_ms: 1_700_000_000_000 + seed, monotonic_us: 17 };
        let log = Recovery::new(config.clone(), Vectors, Vec::new())
            .finish(now)
            .expect("nothing to recover");
        World {
            config,
            log,
            disk,
            now,
            random: Random::new(seed),
            under_way: VecDeque::new(),
            held: BTreeMap::new(),
            next_seq: BTreeMap::new(),
            gone: Vec::new(),
            torn_bytes: 0,
            copied_octets: 0,
            spills: false,
            indexed: 0,
            reads_in_full: true,
            copied_per_turn: usize::MAX,
            moves: Vec::new(),
        }
    }

    pub(super) fn body(&mut self, bytes: usize, is_definition: bool) -> Body {
        let is_spilled = !is_definition && self.spills && self.random.one_in(5);
        Body { seed: self.random.next() >> 20, bytes, is_definition, is_spilled }
    }

    /// Appends a message for those queues.
    pub(super) fn append(&mut self, queues: &[QueueId], bytes: usize) -> Vec<(QueueId, Seq)> {
        self.put(queues, bytes, None)
    }

    /// Settles `from` and appends a message for those queues, as one.
    pub(super) fn append_move(
        &mut self,
        from: (QueueId, Seq),
        queues: &[QueueId],
        bytes: usize,
    ) -> Vec<(QueueId, Seq)> {
        self.put(queues, bytes, Some(from))
    }

    fn put(
        &mut self,
        queues: &[QueueId],
        bytes: usize,
        from: Option<(QueueId, Seq)>,
    ) -> Vec<(QueueId, Seq)> {
        let mut body = self.body(bytes, false);
        // A move to queues that keep nothing is a spilled message and a settle of its own.
        body.is_spilled &= from.is_none();
        let references = self.number(queues);
        let (octets, texts) = (body.octets(), Texts::of(body));
        let message = body.message(&octets, &texts);
        let expires = body.seed.is_multiple_of(4).then_some(body.seed);
        let placed = match from {
            None if body.is_spilled => {
                self.log.append_spilled(self.now, &message, expires, &references)
            }
            None => self.log.append_message(self.now, &message, expires, &references),
            Some(key) => {
                let held = self.held.get_mut(&key).expect("a message that is held");
                let (queue, seq) = key;
                let Held { address, length, reference, .. } = *held;
                let from = Settling { queue, seq, address, length, reference };
                let placed = self.log.append_move(self.now, &message, expires, &references, from);
                let settled = self.log.end();
                held.settled = Some(settled);
                self.moves.push((placed.end, settled));
                placed
            }
        };
        self.hold(&references, &placed, body);
        references
    }

    /// The next number of each of those queues.
    pub(super) fn number(&mut self, queues: &[QueueId]) -> Vec<(QueueId, Seq)> {
        let next = |queue: &QueueId| {
            let next = self.next_seq.entry(*queue).or_insert(1);
            *next += 1;
            (*queue, Seq(*next - 1))
        };
        queues.iter().map(next).collect()
    }

    /// Those references lie there.
    pub(super) fn hold(&mut self, references: &[(QueueId, Seq)], placed: &Placed, body: Body) {
        for (reference, key) in (placed.reference..).zip(references) {
            let Placed { address, length, end, .. } = *placed;
            let (copied_from, settled) = (Vec::new(), None);
            let held = Held { address, length, reference, end, copied_from, settled, body };
            self.held.insert(*key, held);
        }
    }

    pub(super) fn define(&mut self, bytes: usize) -> (QueueId, Seq) {
        let body = self.body(bytes, true);
        let next = self.next_seq.entry(QueueId::DEFINITIONS).or_insert(1);
        *next += 1;
        let seq = Seq(*next - 1);
        let placed = self.log.append_definition(self.now, seq, &body.octets());
        self.hold(&[(QueueId::DEFINITIONS, seq)], &placed, body);
        (QueueId::DEFINITIONS, seq)
    }

    pub(super) fn settle(&mut self, (queue, seq): (QueueId, Seq)) {
        let held = self.held.get_mut(&(queue, seq)).expect("a message that is held");
        let Held { address, length, reference, .. } = *held;
        if held.body.is_spilled {
            self.log.release(address, length, reference);
            self.held.remove(&(queue, seq));
            return;
        }
        let settled = Settling { queue, seq, address, length, reference };
        let at = self.log.append_settle(self.now, settled);
        held.settled = Some(at);
    }

    /// Copies forward as far as may be in a turn.
    pub(super) fn copy_forward(&mut self) -> bool {
        let mut ledger = Ledger { held: &mut self.held, left: self.copied_per_turn };
        self.log.copy_forward(self.now, &mut ledger)
    }

    pub(super) fn unsettled(&self) -> Vec<(QueueId, Seq)> {
        let unsettled = self.held.iter().filter(|(_, held)| held.settled.is_none());
        unsettled.map(|(key, _)| *key).collect()
    }

    /// Appends until a new segment has been begun. Returns the messages.
    pub(super) fn fill_segment(&mut self, queue: QueueId) -> Vec<(QueueId, Seq)> {
        let segment = self.log.segments.tail().number;
        let mut all = Vec::new();
        while self.log.segments.tail().number == segment {
            all.extend(self.append(&[queue], 1000));
            self.settle_down();
        }
        all
    }

    /// Deletes a queue for ever.
    pub(super) fn delete(&mut self, queue: QueueId) {
        let doomed: Vec<_> = self.held.keys().filter(|(of, _)| *of == queue).copied().collect();
        for key in doomed {
            if let Some(held) = self.held.remove(&key) {
                if held.settled.is_none() {
                    self.log.release(held.address, held.length, held.reference);
                }
            }
        }
        self.gone.push(queue);
    }

    /// Takes what the log wants done.
    pub(super) fn poll(&mut self) {
        while let Some(effect) = self.log.poll_effect(self.now) {
            self.under_way.push_back(effect);
        }
    }

    /// Polls, makes files and reads at once, and gives the writes that are under way.
    pub(super) fn poll_writes(&mut self) -> Vec<Effect> {
        loop {
            self.poll();
            let is_other = |effect: &Effect| !matches!(effect, LogEffect::Write { .. });
            let Some(index) = self.under_way.iter().position(is_other) else { break };
            let effect = self.under_way.remove(index).expect("within the queue");
            let completion = self.disk.carry_out(&effect);
            self.complete(completion).expect("a sound disk");
        }
        std::mem::take(&mut self.under_way).into()
    }

    pub(super) fn complete(&mut self, completion: Completion) -> Result<(), LogError> {
        let before = self.log.durable();
        let result = self.log.complete(self.now, completion);
        assert!(self.log.durable() >= before, "durable never goes back");
        result
    }

    /// Completes one effect that is under way, any of them.
    pub(super) fn step(&mut self) {
        self.poll();
        if self.under_way.is_empty() {
            return;
        }
        let index = self.random.below(self.under_way.len());
        let effect = self.under_way.remove(index).expect("within the queue");
        let completion = self.disk.carry_out(&effect);
        self.complete(completion).expect("a sound disk");
    }

    /// Completes everything, waiting for deadlines.
    pub(super) fn settle_down(&mut self) {
        if self.spills {
            // Spilled messages wait for company.
            self.log.flush();
        }
        loop {
            self.poll();
            if self.under_way.is_empty() {
                match self.log.deadline_us() {
                    Some(at) if at > self.now.monotonic_us => self.now.monotonic_us = at,
                    _ => break,
                }
            }
            while !self.under_way.is_empty() {
                self.step();
            }
        }
        assert!(self.log.durable() >= self.log.end(), "quiet means durable");
    }

    pub(super) fn fetch_and_compare(&mut self, key: (QueueId, Seq)) {
        let held = self.held[&key].clone();
        for _ in 0..10_000 {
            match self.log.fetch(held.address, held.length) {
                Fetch::Ready(stored) => return compare(held.body, &stored),
                Fetch::Pending => {}
            }
            self.poll();
            let is_read = |effect: &Effect| matches!(effect, LogEffect::Read { .. });
            let index = self.under_way.iter().position(is_read).expect("pending means a read");
            let read = self.under_way.remove(index).expect("within the queue");
            let completion = self.disk.carry_out(&read);
            self.complete(completion).expect("a sound disk");
        }
        panic!("{key:?} is never ready");
    }

    /// Power goes, power comes: what was under way is torn.
    pub(super) fn crash(&mut self) {
        let sector = if self.random.one_in(2) { 512 } else { 4096 };
        self.poll();
        while !self.under_way.is_empty() {
            let index = self.random.below(self.under_way.len());
            let effect = self.under_way.remove(index).expect("within the queue");
            self.disk.tear(&effect, Tear { sector }, &mut self.random);
        }
        self.copied_octets += self.log.space().copied_octets;
        let promised = self.log.durable();
        let result = self.recover();
        result.expect("a crash is no damage");
        assert!(self.log.durable() >= promised, "{:?} < {promised:?}", self.log.durable());
        self.compare_with_disk();
    }

    /// Opens the log again from the disk, and checks what comes back against the model.
    pub(super) fn recover(&mut self) -> Result<(), LogError> {
        self.now.unix_ms += 1000;
        self.now.monotonic_us = self.random.next() >> 30;
        let mut recovery = Recovery::new(self.config.clone(), Vectors, self.disk.listing());
        let seen = read_back(&mut recovery, &self.disk)?;
        self.indexed += recovery.segments().0;
        let is_of = |queue: &QueueId| !self.gone.contains(queue);
        if self.reads_in_full {
            let mut in_full =
                Recovery::new(self.config.clone(), Vectors, self.disk.listing()).in_full();
            let mut all = read_back(&mut in_full, &self.disk)?;
            all.retain(|(queue, _), _| is_of(queue));
            let mut by_index = seen.clone();
            by_index.retain(|(queue, _), _| is_of(queue));
            for (key, place) in &by_index {
                let other = all.remove(key);
                assert!(other.as_ref() == Some(place), "{key:?} is {place:?} or {other:?} in full");
            }
            assert!(all.is_empty(), "what no index tells of: {all:?}");
        }
        let live: Vec<_> =
            seen.iter().filter(|((queue, _), _)| !self.gone.contains(queue)).collect();
        for (_, (address, length, reference, _)) in &live {
            recovery.keep(*address, *length, *reference);
        }
        self.torn_bytes = recovery.torn_bytes();
        self.log = recovery.finish(self.now)?;
        let end = self.log.durable();
        for held in self.held.values_mut() {
            held.lose_copies(end);
        }
        for (message, settle) in self.moves.drain(..) {
            assert_eq!(message <= end, settle <= end, "half a move, log ends at {end:?}");
        }
        let is_there = |held: &Held| {
            !held.body.is_spilled && held.end <= end && held.settled.is_none_or(|at| at > end)
        };
        for ((queue, seq), (address, length, reference, payload)) in live {
            let held = self.held.get(&(*queue, *seq));
            let held = held.unwrap_or_else(|| panic!("{queue:?} {seq:?} was never appended"));
            assert!(is_there(held), "{queue:?} {seq:?} is back: {held:?}, log ends at {end:?}");
            assert_eq!(
                (*address, *length, *reference),
                (held.address, held.length, held.reference)
            );
            assert_eq!(payload.is_some(), held.body.is_definition);
            if let Some(payload) = payload {
                assert!(*payload == held.body.octets(), "a definition has changed");
            }
        }
        for (key, held) in &self.held {
            assert!(!is_there(held) || seen.contains_key(key), "{key:?} is lost: {held:?}");
        }
        self.held.retain(|_, held| !held.body.is_spilled && held.end <= end);
        for held in self.held.values_mut() {
            held.settled = held.settled.filter(|at| *at <= end);
        }
        self.held.retain(|_, held| held.settled.is_none());
        Ok(())
    }

    /// Fetches what is held: true if all of it is as it was, false if damage has been found.
    pub(super) fn is_intact(&mut self) -> bool {
        let keys: Vec<_> = self.unsettled();
        for key in keys.into_iter().filter(|(queue, _)| *queue != QueueId::DEFINITIONS) {
            let held = self.held[&key].clone();
            loop {
                if let Fetch::Ready(stored) = self.log.fetch(held.address, held.length) {
                    compare(held.body, &stored);
                    break;
                }
                self.poll();
                while let Some(effect) = self.under_way.pop_front() {
                    let completion = self.disk.carry_out(&effect);
                    match self.log.complete(self.now, completion) {
                        Err(LogError::Rot { .. }) => return false,
                        result => result.expect("a sound disk"),
                    }
                }
            }
        }
        true
    }

    /// Every message that is held can be read.
    pub(super) fn compare_with_disk(&mut self) {
        let keys: Vec<_> = self.unsettled();
        for key in keys.into_iter().filter(|(queue, _)| *queue != QueueId::DEFINITIONS) {
            self.fetch_and_compare(key);
        }
    }
}

/// The model holds everything that is not settled.
struct Ledger<'a> {
    held: &'a mut BTreeMap<(QueueId, Seq), Held>,
    /// References that may be moved before it is weary.
    left: usize,
}

impl Ledger<'_> {
    fn find(&mut self, of: &Settling) -> Option<&mut Held> {
        let held = self.held.get_mut(&(of.queue, of.seq))?;
        let is_there = held.settled.is_none()
            && (held.address, held.length, held.reference) == (of.address, of.length, of.reference);
        is_there.then_some(held)
    }
}

impl Holders for Ledger<'_> {
    fn is_weary(&self) -> bool {
        self.left == 0
    }

    fn holds(&mut self, held: &Settling) -> bool {
        self.find(held).is_some()
    }
    fn moved(&mut self, held: &Settling, to: &Relocated) {
        self.left = self.left.saturating_sub(1);
        let held = self.find(held).expect("what is moved is held");
        held.copied_from.push((held.address, held.length, held.reference, to.end));
        (held.address, held.length, held.reference) = (to.address, to.length, to.reference);
    }
    fn holds_definition(&mut self, held: &Settling, payload: &[u8]) -> bool {
        self.find(held).is_some_and(|held| held.body.octets() == payload)
    }
    fn definition_moved(&mut self, held: &Settling, _: &[u8], to: &Relocated) {
        self.moved(held, to);
    }
}

/// Reads everything; what is alive at the end.
pub(super) fn read_back(recovery: &mut Recovery<Vectors>, disk: &Disk) -> Result<Seen, LogError> {
    let mut seen = Seen::new();
    while let Some(read) = recovery.next_read() {
        recovery.supply(disk.read_for(read), &mut |found| match found {
            Recovered::Message { address, length, reference, references, .. } => {
                for (index, key) in references.iter().enumerate() {
                    let known = (address, length, reference + index as u32, None);
                    // One that is there twice was copied: the later place is the right one.
                    seen.insert(*key, known);
                }
            }
            Recovered::Definition { address, length, reference, seq, payload } => {
                let known = (address, length, reference, Some(payload.to_vec()));
                seen.insert((QueueId::DEFINITIONS, seq), known);
            }
            Recovered::Settled { queue, first, last, among } => {
                let run = seen.range((queue, first)..=(queue, last));
                let meant = run.filter(|(_, (address, ..))| among.contains(address));
                let settled: Vec<_> = meant.map(|(key, _)| *key).collect();
                for key in settled {
                    seen.remove(&key);
                }
            }
        })?;
    }
    // What was copied, and settled where the copy was.
    seen.retain(|_, (address, _, reference, _)| !recovery.is_copied(*address, *reference));
    Ok(seen)
}
