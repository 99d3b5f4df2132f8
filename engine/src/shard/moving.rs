//! Dead letters, carried from the queue they died in to those they are routed to.
//!
//! Between queues of this shard a move is one block of the log, which holds the message for its
//! new queues and the settle of the old reference: nothing is lost or doubled by a crash. A move
//! to queues of other shards is a transaction (`transactions`), with the same promise.

use super::bodies::Body;
use super::dead_letters::DeadMessage;
use super::{Effect, Shard};
use crate::dead_letter::Letter;
use crate::ids::{QueueId, Target};
use crate::log::{Fetch, Memory};
use crate::message::MessageRef;
use crate::now::Now;
use crate::routing::Subject;
use crate::topology::{MissingExchange, NamedBy};

/// Moves begun in one turn at most.
const MOVES_PER_TURN: usize = 256;
/// Messages that are read side by side, if they have to be read at all.
const READS_AHEAD: usize = 32;
/// Octets moved in one turn, reached by the last one at most.
const OCTETS_PER_TURN: usize = 4 << 20;

impl<M: Memory> Shard<M> {
    /// Begins the moves that are due, within what a turn may take.
    pub(super) fn move_dead_letters(&mut self, now: Now) {
        let mut octets = 0;
        for _ in 0..MOVES_PER_TURN {
            if octets >= OCTETS_PER_TURN || !self.can_move() {
                return;
            }
            let Some(dead) = self.dead_letters.next() else { return };
            if dead.rule().goes_on {
                self.store.prefetch(dead.slot());
            }
            let mut letter = std::mem::take(&mut self.dead_letters.letter);
            let Some((body, heirs)) = self.read_dead(now, &dead, &mut letter) else {
                self.dead_letters.letter = letter;
                self.dead_letters.await_read(dead);
                return self.read_ahead();
            };
            octets += letter.octets();
            self.send(now, dead, (letter, body), heirs);
        }
    }

    /// Makes a letter of a dead message, and finds where it goes. Beside it the letter's body, if it
    /// does not have it: of a long message, which goes with the parts of the one that is there. `None`:
    /// something must be read first.
    fn read_dead(
        &mut self,
        now: Now,
        dead: &DeadMessage,
        letter: &mut Letter,
    ) -> Option<(Option<Body>, Vec<Target>)> {
        let mut body = None;
        if self.store.is_in_parts(dead.slot()) {
            let write = |message: &MessageRef<'_>, _| dead.write(now, message, letter);
            ((), body) = self.store.begin_long(dead.slot(), write)?;
        } else if !self.read_letter(now, dead, letter) {
            return None;
        }
        Some((body, self.heirs(dead, letter)))
    }

    /// Makes a letter of a dead message. False: it must be read first.
    fn read_letter(&mut self, now: Now, dead: &DeadMessage, letter: &mut Letter) -> bool {
        let Fetch::Ready(stored) = self.store.fetch(dead.slot()) else { return false };
        dead.write(now, &stored.message, letter);
        true
    }

    /// True if a move can be begun, and the device is not far behind.
    pub(super) fn can_move(&self) -> bool {
        self.dead_letters.can_move() && self.store.log.takes_settles()
    }

    /// Asks for the messages that are to be moved next. Those that were held back go in the order
    /// in which they are due, and lie wherever they came.
    fn read_ahead(&mut self) {
        for dead in self.dead_letters.first(READS_AHEAD) {
            if dead.rule().goes_on {
                self.store.prefetch(dead.slot());
            }
        }
    }

    fn send(
        &mut self,
        now: Now,
        dead: DeadMessage,
        (mut letter, body): (Letter, Option<Body>),
        heirs: Vec<Target>,
    ) {
        if heirs.iter().all(|heir| heir.shard == self.config.shard) {
            let queues: Vec<QueueId> = heirs.iter().map(|heir| heir.queue).collect();
            self.take(now, &letter.message(), body, &queues, Some(&dead), None);
        } else {
            self.move_across(now, &dead, &letter, body, &heirs);
        }
        letter.sent();
        self.dead_letters.letter = letter;
    }

    /// Routes a letter by this shard's replica. A missing exchange leads nowhere (behaviour B11),
    /// and so does what would go round for ever (B35).
    fn heirs(&mut self, dead: &DeadMessage, letter: &Letter) -> Vec<Target> {
        let (rule, cause) = (dead.rule(), dead.cause());
        let (topology, routes) = (&self.topology, &mut self.dead_letters.routes);
        let keys: Vec<&[u8]> = letter.keys().collect();
        let exchange = rule.exchange.as_bytes();
        let (headers, properties) = (Some(letter.headers()), letter.message().properties);
        let subject = Subject { keys: &keys, headers, properties };
        let routed = match rule.goes_on {
            true => topology.route_onward(&rule.vhost, exchange, &subject, routes),
            false => topology.route_dead_letter(&rule.vhost, exchange, &subject, routes),
        };
        if routed.is_err() {
            // What an exchange has kept goes nowhere if that has gone, as it should.
            let told = &mut self.dead_letters.missing;
            if !rule.goes_on && told.is_news(&rule.vhost, &rule.exchange) {
                self.effects.push_back(Effect::Missing(MissingExchange {
                    vhost: rule.vhost.clone(),
                    exchange: (&*rule.exchange).into(),
                    named_by: NamedBy::Queue(rule.queue.clone()),
                }));
            }
            return Vec::new();
        }
        if let Some(missing) =
            routes.missing_alternate().and_then(|of| topology.missing_alternate(of))
        {
            if self.dead_letters.missing.is_news(&missing.vhost, &missing.exchange) {
                self.effects.push_back(Effect::Missing(missing));
            }
        }
        if !rule.goes_on {
            // The queue behind an exchange has no name, so nothing dies in it.
            routes.targets.retain(|target| match topology.queue_by_id(target.queue) {
                Some(queue) => !letter.closes_cycle(cause, &queue.name),
                None => true,
            });
        }
        routes.targets.clone()
    }
}
