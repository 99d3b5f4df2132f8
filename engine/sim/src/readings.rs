//! Long messages that clients take piece by piece, each as slowly as it likes, some to the end and
//! some not: their connections go before.
//!
//! Drawn from numbers of their own, as uploads are.

use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::mail::{BodyPiece, Command, LongDelivery};

use crate::body::{body, number_in};
use crate::mail::{Mail, Received};
use crate::random::Random;
use crate::simulation::Simulation;
use crate::violation::{require, Kind, Verdict};

/// Some of a body, as a client gets it.
#[derive(Clone, Debug)]
pub struct Piece {
    pub from: ShardId,
    pub connection: ConnectionId,
    pub reading: u64,
    pub octets: Vec<u8>,
}

impl Piece {
    pub fn of(from: ShardId, piece: &BodyPiece<'_>) -> Self {
        let BodyPiece { connection, reading, octets } = *piece;
        Piece { from, connection, reading, octets: octets.to_vec() }
    }
}

/// The delivery as it is going to be when all pieces are there: each is compared with this one's body.
pub fn received(from: ShardId, long: &LongDelivery<'_>) -> Received {
    let mut received = Received::of(from, &long.delivery);
    let number = number_in(&received.properties).unwrap_or_default();
    received.body = body(number, long.body_bytes as usize);
    received.reading = Some(long.reading);
    received
}

/// A body that is on its way to a client.
#[derive(Clone, Debug)]
struct Reading {
    from: ShardId,
    connection: ConnectionId,
    number: u64,
    expected: Vec<u8>,
    /// Octets that have come.
    came: usize,
    /// A piece has been asked for.
    asked: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Readings {
    random: Random,
    /// Something happens to one of them in so many steps.
    one_in: usize,
    open: Vec<Reading>,
}

impl Readings {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x7265_6164_696e_6700);
        let one_in = random.pick(&[1, 4, 12, 40]);
        Readings { random, one_in, open: Vec::new() }
    }

    /// The broker is there again, and knows nobody.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// That connection has gone.
    pub fn connection_gone(&mut self, connection: ConnectionId) {
        self.open.retain(|reading| reading.connection != connection);
    }
}

impl Simulation {
    /// A client hears of a body that is on its way to it.
    pub fn begin_reading(&mut self, received: &Received) {
        let (Some(number), connection) = (received.reading, received.connection()) else { return };
        if !self.clients.is_open(connection) {
            return;
        }
        let (from, expected) = (received.from, received.body.clone());
        let reading = Reading { from, connection, number, expected, came: 0, asked: false };
        self.readings.open.push(reading);
    }

    /// Perhaps somebody asks for the next piece.
    pub fn read_some(&mut self) -> Verdict {
        let readings = &mut self.readings;
        if readings.open.is_empty() || !readings.random.one_in(readings.one_in) {
            return Ok(());
        }
        let which = readings.random.below(readings.open.len());
        self.ask_for_piece(which).map(|_| ())
    }

    /// All that can be asked for is. True if anything was.
    pub fn read_on(&mut self) -> Verdict<bool> {
        let mut any = false;
        for which in 0..self.readings.open.len() {
            any |= self.ask_for_piece(which)?;
        }
        Ok(any)
    }

    fn ask_for_piece(&mut self, which: usize) -> Verdict<bool> {
        let reading = &mut self.readings.open[which];
        if std::mem::replace(&mut reading.asked, true) {
            return Ok(false);
        }
        let (home, owner) = (reading.connection.shard(), reading.from);
        let command = Command::NextPiece { reading: reading.number };
        self.send(usize::from(home.0), usize::from(owner.0), Mail::Command(command))?;
        Ok(true)
    }

    /// A client gets a piece: it must be what was published.
    pub fn read_piece(&mut self, piece: &Piece) -> Verdict {
        let Piece { from, connection, reading: number, octets } = piece;
        let is_it = |reading: &Reading| {
            (reading.from, reading.number, reading.connection) == (*from, *number, *connection)
        };
        let Some(at) = self.readings.open.iter().position(is_it) else {
            // It was on its way when the connection went.
            return require(!self.clients.is_open(*connection), Kind::Phantom, || {
                format!("a piece of a body that nobody reads: {number} of {from:?}")
            });
        };
        let reading = &mut self.readings.open[at];
        let expected = reading.expected.get(reading.came..reading.came + octets.len());
        let is_right = expected == Some(octets) && std::mem::take(&mut reading.asked);
        reading.came += octets.len();
        require(is_right, Kind::Corrupt, || {
            format!("a piece of {number} of {from:?} is not what was published")
        })?;
        if reading.came == reading.expected.len() {
            self.readings.open.swap_remove(at);
            self.tally.read += 1;
        }
        Ok(())
    }
}
