//! The oracle: what was published, confirmed, delivered and acknowledged, and what that says about the broker.
//!
//! Publishers and consumers write down what they see, as they see it; `verdict` compares at the end, after every
//! queue has been drained. The rules:
//!
//! - lost: confirmed, never acknowledged, and not there in the last drain
//! - phantom: delivered but never published
//! - corrupt: a body that is not the one its id stands for
//! - unflagged duplicate: delivered again without redelivered=true
//! - doubled: taken out twice in the last drain, which acknowledges what it takes
//! - out of order: in one life of one consumer, a first delivery before an older one of the same publisher and queue;
//!   what comes flagged may be what another consumer of that life went away with before it had read it, and is late
//!
//! A message delivered again although its acknowledgement was sent before a crash is counted (`returned`), not
//! blamed: acknowledgements are not confirmed to consumers. But one that a later confirm of the same shard has covered must
//! never be undone: what comes back all the same is a zombie.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A message's identity: which publisher sent it, to which queue, and as its how manieth one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId {
    /// Queue number.
    pub queue: u32,
    /// Publisher number; a publisher that reconnects goes on counting.
    pub publisher: u32,
    /// From 1, in the order of publishing to this queue.
    pub number: u64,
}

impl MessageId {
    /// The body that stands for this id: the id in words, and filler that depends on it.
    pub fn body(&self, length: usize) -> Vec<u8> {
        let mut body = format!("{} {} {} ", self.queue, self.publisher, self.number).into_bytes();
        let mut state = self.number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        while body.len() < length {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            body.push(state.to_le_bytes()[2]);
        }
        body
    }

    /// The id in a body; None if the body is not exactly the one that stands for it.
    pub fn of_body(body: &[u8]) -> Option<MessageId> {
        let mut words = body.splitn(4, |octet| *octet == b' ');
        let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<u64>().ok();
        let (queue, publisher) = (u32::try_from(number()?).ok()?, u32::try_from(number()?).ok()?);
        let id = MessageId { queue, publisher, number: number()? };
        (id.body(body.len()) == body).then_some(id)
    }
}

#[derive(Debug, Clone, Default)]
struct Entry {
    published: bool,
    confirmed: bool,
    deliveries: u32,
    drained: bool,
    acknowledged: bool,
    /// Its acknowledgement was followed by a confirm of the same shard.
    settled: bool,
}

/// Which delivery it was: a consumer of one life of the broker.
type Consumer = (u32, u32);

/// Something that was written down.
#[derive(Debug, Clone, Copy)]
enum Event {
    Published(MessageId),
    Confirmed(MessageId),
    Delivered(MessageId),
    Acknowledged(MessageId),
    Settled(MessageId),
}

/// When everything was.
struct Journal {
    clock: Box<dyn Fn() -> usize + Send>,
    events: Vec<(usize, Event)>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events", self.events.len())
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Ledger {
    journal: Option<Journal>,
    entries: BTreeMap<MessageId, Entry>,
    life: u32,
    draining: bool,
    /// The highest number first delivered, by consumer, queue and publisher.
    newest: BTreeMap<(Consumer, u32, u32), u64>,
    /// Who was delivered to.
    consumers: BTreeSet<Consumer>,
    verdict: Verdict,
}

/// What the ledger says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Messages published.
    pub published: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Deliveries, of whatever.
    pub delivered: u64,
    /// Messages confirmed, not acknowledged, and gone.
    pub lost: Vec<MessageId>,
    /// Messages delivered that nobody published.
    pub phantoms: Vec<MessageId>,
    /// Bodies that stand for no id.
    pub corrupt: u64,
    /// Deliveries after the first without the flag.
    pub unflagged_duplicates: Vec<MessageId>,
    /// Messages that were in the queues twice at the end, flagged or not.
    pub doubled: Vec<MessageId>,
    /// First deliveries that came after a newer one.
    pub out_of_order: Vec<MessageId>,
    /// Deliveries after the first, flagged.
    pub flagged_duplicates: u64,
    /// Messages that came back although their acknowledgement had been sent.
    pub returned: u64,
    /// Those of them whose acknowledgement was followed by a confirm of the same shard.
    pub zombies: Vec<MessageId>,
}

impl Ledger {
    /// Nothing seen yet.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Nothing seen yet; what will be seen is remembered with its time by `clock`, for [`Ledger::as_of`].
    pub fn with_clock(clock: impl Fn() -> usize + Send + 'static) -> Ledger {
        let journal = Journal { clock: Box::new(clock), events: Vec::new() };
        Ledger { journal: Some(journal), ..Ledger::default() }
    }

    fn note(&mut self, event: Event) {
        if let Some(journal) = &mut self.journal {
            journal.events.push(((journal.clock)(), event));
        }
    }

    /// What was certain at `time`, for a broker that has been started on what its disk held then: the confirms that
    /// had arrived, and only the acknowledgements that had been sent.
    pub fn as_of(&self, time: usize) -> Ledger {
        self.as_of_between(time, time)
    }

    /// The same if it is not known exactly when the disk was left so, only that it was at a time from `certain` to
    /// `possible`: what had been confirmed at the former, and what may have happened at the latter.
    pub fn as_of_between(&self, certain: usize, possible: usize) -> Ledger {
        let mut then = Ledger::default();
        let journal = self.journal.as_ref().expect("the ledger has a clock");
        for (at, event) in &journal.events {
            match event {
                Event::Published(id) if *at <= possible => then.published(*id),
                Event::Confirmed(id) if *at <= certain => then.confirmed(*id),
                Event::Delivered(id) if *at <= possible => {
                    then.entries.entry(*id).or_default().deliveries += 1;
                }
                // Its effect on the disk can only have come later.
                Event::Acknowledged(id) if *at < possible => then.acknowledged(*id),
                Event::Settled(id) if *at <= certain => then.settled(*id),
                _ => {}
            }
        }
        then.broker_restarted();
        then
    }

    /// The broker has been started again: orders begin anew.
    pub fn broker_restarted(&mut self) {
        self.life += 1;
    }

    /// From here on what is delivered is what is left; the next deliveries empty the queues.
    pub fn drain_begins(&mut self) {
        self.draining = true;
    }

    /// A publish is about to be written to the socket.
    pub fn published(&mut self, id: MessageId) {
        self.note(Event::Published(id));
        self.entries.entry(id).or_default().published = true;
        self.verdict.published += 1;
    }

    /// The broker confirmed a publish.
    pub fn confirmed(&mut self, id: MessageId) {
        self.note(Event::Confirmed(id));
        let entry = self.entries.entry(id).or_default();
        assert!(entry.published, "{id:?} was confirmed before it was published");
        assert!(!entry.confirmed, "{id:?} was confirmed twice");
        entry.confirmed = true;
        self.verdict.confirmed += 1;
    }

    /// A message arrived at consumer `consumer`. Gives its id if its body has one.
    pub fn delivered(
        &mut self,
        consumer: u32,
        body: &[u8],
        redelivered: bool,
    ) -> Option<MessageId> {
        self.verdict.delivered += 1;
        let Some(id) = MessageId::of_body(body) else {
            self.verdict.corrupt += 1;
            return None;
        };
        self.note(Event::Delivered(id));
        self.consumers.insert((self.life, consumer));
        let of_this_life = (self.life, 0)..=(self.life, u32::MAX);
        let is_late = redelivered && self.consumers.range(of_this_life).nth(1).is_some();
        let entry = self.entries.entry(id).or_default();
        if !entry.published {
            self.verdict.phantoms.push(id);
        }
        if entry.deliveries > 0 {
            if redelivered {
                self.verdict.flagged_duplicates += 1;
            } else {
                self.verdict.unflagged_duplicates.push(id);
            }
        } else {
            let newest =
                self.newest.entry(((self.life, consumer), id.queue, id.publisher)).or_default();
            if id.number < *newest && !is_late {
                self.verdict.out_of_order.push(id);
            }
            *newest = (*newest).max(id.number);
        }
        if entry.acknowledged {
            self.verdict.returned += 1;
        }
        if entry.settled {
            self.verdict.zombies.push(id);
        }
        if self.draining && entry.drained {
            self.verdict.doubled.push(id);
        }
        entry.deliveries += 1;
        entry.drained |= self.draining;
        Some(id)
    }

    /// An acknowledgement is about to be written to the socket.
    pub fn acknowledged(&mut self, id: MessageId) {
        self.note(Event::Acknowledged(id));
        self.entries.entry(id).or_default().acknowledged = true;
    }

    /// The broker has confirmed a message that was published, to the shard of this one's queue, after its
    /// acknowledgement had been sent on the same channel: it must never come again.
    pub fn settled(&mut self, id: MessageId) {
        self.note(Event::Settled(id));
        self.entries.entry(id).or_default().settled = true;
    }

    /// The comparison; to be asked for when every queue is empty.
    pub fn verdict(&self) -> Verdict {
        let lost = |(id, entry): (&MessageId, &Entry)| {
            let gone = entry.confirmed && !entry.acknowledged && !entry.drained;
            gone.then_some(*id)
        };
        Verdict { lost: self.entries.iter().filter_map(lost).collect(), ..self.verdict.clone() }
    }
}

impl Verdict {
    /// Panics unless nothing is lost, invented, damaged, doubled in silence or out of order.
    #[track_caller]
    pub fn assert_flawless(&self) {
        let first = |ids: &[MessageId]| {
            format!("{} {:?}", ids.len(), ids.iter().take(3).collect::<Vec<_>>())
        };
        let flawless = self.lost.is_empty()
            && self.phantoms.is_empty()
            && self.corrupt == 0
            && self.unflagged_duplicates.is_empty()
            && self.doubled.is_empty()
            && self.out_of_order.is_empty()
            && self.zombies.is_empty();
        assert!(
            flawless,
            "{self}\nlost: {}\nzombies: {}\nphantoms: {}\nunflagged duplicates: {}\ndoubled: {}\nout of order: {}",
            first(&self.lost),
            first(&self.zombies),
            first(&self.phantoms),
            first(&self.unflagged_duplicates),
            first(&self.doubled),
            first(&self.out_of_order),
        );
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} published, {} confirmed, {} delivered: {} lost, {} phantoms, {} corrupt, \
             {} unflagged duplicates, {} doubled, {} out of order, {} zombies ({} flagged duplicates, {} returned after their ack)",
            self.published,
            self.confirmed,
            self.delivered,
            self.lost.len(),
            self.phantoms.len(),
            self.corrupt,
            self.unflagged_duplicates.len(),
            self.doubled.len(),
            self.out_of_order.len(),
            self.zombies.len(),
            self.flagged_duplicates,
            self.returned
        )
    }
}

#[cfg(test)]
mod tests;
