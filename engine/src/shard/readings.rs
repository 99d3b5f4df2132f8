//! Long messages on their way to who takes them: their bodies are read from the log part by part, as
//! the connection asks for them, and are nowhere in memory as a whole.
//!
//! The message is handed out like any other when its beginning is. What follows is no concern of its
//! queue: the body is held by the one that reads it until it has been read, also if the message is settled or its queue
//! goes meanwhile.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::bodies::Body;
use super::store::Store;
use super::{Outlet, Shard};
use crate::dead_letter::with_delivery_count;
use crate::ids::{ConnectionId, ConsumerKey, QueueId, Seq};
use crate::log::{Memory, OpenBody, ReadPart};
use crate::mail::{BodyPiece, Delivery, DeliveryTo, LongDelivery};
use crate::message::MessageRef;
use crate::queue::Slot;

/// Octets of bodies handed out in one turn, reached by the last piece at most.
const OCTETS_PER_TURN: usize = 1 << 20;

/// A body that is being read.
#[derive(Debug)]
struct Reading {
    to: DeliveryTo,
    body: OpenBody,
    /// Which part is next.
    part: usize,
    /// Octets that are still to be read.
    left_bytes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Readings {
    under_way: FxHashMap<u64, Reading>,
    /// How many have been begun.
    begun: u64,
    /// Those that are to go on, in the order in which they were asked for.
    wanted: VecDeque<u64>,
    /// The first one's octets are being read.
    is_reading: bool,
}

impl Readings {
    /// True if a piece can be handed out.
    pub(super) fn can_go_on(&self) -> bool {
        !self.wanted.is_empty() && !self.is_reading
    }

    /// A read has come back: it may have been for one of them.
    pub(super) fn read_done(&mut self) {
        self.is_reading = false;
    }

    /// Bodies that are being read.
    pub(super) fn count(&self) -> usize {
        self.under_way.len()
    }

    /// Hands out the beginning of a long message. `count`: how often it has come back, if its queue
    /// counts. Gives what it takes of its connection's window, and whether the body is still to come;
    /// `None`: something must be read first.
    pub(super) fn begin<M: Memory>(
        &mut self,
        store: &mut Store<M>,
        (to, queue, seq): (DeliveryTo, QueueId, Seq),
        slot: &Slot,
        count: Option<u32>,
        outlet: &mut impl Outlet,
    ) -> Option<(u64, bool)> {
        let (begun, redelivered) = (self.begun + 1, slot.redelivered());
        let hand_out = |message: &MessageRef<'_>, left_bytes: u64| {
            let mut counted = Vec::new();
            let mut message = *message;
            if let Some(count) = count {
                with_delivery_count(message.properties, count, &mut counted);
                message = MessageRef { properties: &counted, ..message };
            }
            let delivery = Delivery { to, queue, seq, redelivered, message };
            let window_bytes = delivery.window_bytes();
            match left_bytes {
                0 => outlet.deliver(delivery),
                body_bytes => outlet.begin(LongDelivery { delivery, body_bytes, reading: begun }),
            }
            window_bytes
        };
        let (window_bytes, body) = store.begin_long(slot, hand_out)?;
        let Some(Body::InLog { body, bytes: left_bytes }) = body else {
            return Some((window_bytes, false));
        };
        self.begun = begun;
        self.under_way.insert(begun, Reading { to, body, part: 0, left_bytes });
        Some((window_bytes, true))
    }

    fn want(&mut self, reading: u64) {
        if self.under_way.contains_key(&reading) && !self.wanted.contains(&reading) {
            self.wanted.push_back(reading);
            // Its part may be in memory, whatever others wait for.
            self.is_reading = false;
        }
    }

    fn end<M: Memory>(&mut self, store: &mut Store<M>, reading: u64) -> Option<DeliveryTo> {
        let ended = self.under_way.remove(&reading)?;
        self.wanted.retain(|wanted| *wanted != reading);
        store.log.drop_body(ended.body);
        Some(ended.to)
    }
}

impl<M: Memory> Shard<M> {
    /// Bodies of long messages that are being read.
    pub fn readings(&self) -> usize {
        self.readings.count()
    }

    pub(super) fn want_piece(&mut self, reading: u64) {
        self.readings.want(reading);
    }

    /// Hands out pieces of bodies that have been asked for, within what a turn may take.
    pub(super) fn hand_out_pieces(&mut self, outlet: &mut impl Outlet) {
        let mut octets = 0;
        let mut left = self.readings.wanted.len();
        while octets < OCTETS_PER_TURN && left > 0 && !self.readings.is_reading {
            left -= 1;
            let Some(number) = self.readings.wanted.pop_front() else { return };
            let Some(reading) = self.readings.under_way.get_mut(&number) else { continue };
            let connection = reading.to.connection();
            match self.store.log.read_part(&reading.body, reading.part) {
                ReadPart::Octets(piece) => {
                    octets += piece.len();
                    reading.part += 1;
                    reading.left_bytes = reading.left_bytes.saturating_sub(piece.len() as u64);
                    outlet.piece(BodyPiece { connection, reading: number, octets: piece });
                }
                // Others may be luckier; it keeps its place behind them.
                ReadPart::Pending => {
                    self.readings.wanted.push_back(number);
                    continue;
                }
                ReadPart::End => panic!("reading {number} goes on behind the end of its body"),
            }
            if reading.left_bytes == 0 {
                self.end_reading(number);
            }
        }
        // All that are wanted wait for the device, unless the turn was over first.
        self.readings.is_reading = octets < OCTETS_PER_TURN && !self.readings.wanted.is_empty();
    }

    /// The body has been read, or nobody wants it any more: its channel may have something else.
    pub(super) fn end_reading(&mut self, reading: u64) {
        let Some(to) = self.readings.end(&mut self.store, reading) else { return };
        if let DeliveryTo::Consumer { consumer, .. } = to {
            self.channel_is_free(consumer);
        }
    }

    fn channel_is_free(&mut self, consumer: ConsumerKey) {
        for (at, consumer) in self.links.long_ended(consumer.connection, consumer.channel) {
            if let Some((hosted, _)) = self.queues.get_mut(at) {
                hosted.queue.window_opened(consumer);
                self.queues.note_work(at);
            }
        }
    }

    /// The connection has gone.
    pub(super) fn end_readings_of(&mut self, connection: ConnectionId) {
        let under_way = self.readings.under_way.iter();
        let of_connection = under_way.filter(|(_, reading)| reading.to.connection() == connection);
        let mut doomed: Vec<u64> = of_connection.map(|(number, _)| *number).collect();
        doomed.sort_unstable();
        for reading in doomed {
            self.end_reading(reading);
        }
    }
}
