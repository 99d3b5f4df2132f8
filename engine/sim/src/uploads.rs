//! Large bodies that come part by part, several side by side, from publishers some of which never
//! come to the end.
//!
//! Drawn from numbers of their own: a seed without them is the schedule that it was before there
//! were any.

use haremq_engine::ids::{ChannelKey, ConnectionId, QueueId, ShardId};
use haremq_engine::mail::Command;

use crate::body::{body, properties};
use crate::mail::{Letter, Mail, Part};
use crate::random::Random;
use crate::simulation::Simulation;
use crate::violation::{require, Kind, Verdict};

/// The channels of bodies, beside the one that publishes and the one that commits.
const CHANNELS: std::ops::Range<u16> = 3..6;

/// What else may have come to be wanted meanwhile.
const GIVEN_UP_OCTETS_MAX: u64 = 64;

/// A body that is under way.
#[derive(Clone, Debug)]
struct Upload {
    channel: ChannelKey,
    publisher: usize,
    owners: Vec<(ShardId, Vec<QueueId>)>,
    letter: Letter,
    /// Octets of its body that have left.
    sent: usize,
    /// Octets at most that leave at once.
    part_bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Uploads {
    random: Random,
    /// Something happens to one of them in so many steps; 0: there are none.
    one_in: usize,
    open: Vec<Upload>,
}

impl Uploads {
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x6c61_7267_6500);
        let one_in = random.pick(&[0, 0, 4, 12, 40]);
        Uploads { random, one_in, open: Vec::new() }
    }

    /// The broker is there again, and knows nobody.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// That connection has gone.
    pub fn connection_gone(&mut self, connection: ConnectionId) -> u64 {
        let before = self.open.len();
        self.open.retain(|upload| upload.channel.connection != connection);
        (before - self.open.len()) as u64
    }
}

impl Simulation {
    /// Perhaps one of them goes on, ends, or is given up.
    pub fn upload_some(&mut self) -> Verdict {
        let uploads = &mut self.uploads;
        if uploads.one_in == 0 || !uploads.random.one_in(uploads.one_in) {
            return Ok(());
        }
        if uploads.open.is_empty() || uploads.random.one_in(4) {
            self.begin_upload()?;
        }
        let uploads = &mut self.uploads;
        if uploads.open.is_empty() {
            return Ok(());
        }
        let which = uploads.random.below(uploads.open.len());
        match uploads.random.one_in(30) {
            true => self.give_up(which),
            false => self.go_on(which),
        }
    }

    fn begin_upload(&mut self) -> Verdict {
        let publisher = self.uploads.random.below(self.world.count());
        let connection = self.clients.connection(publisher);
        let channels = CHANNELS.map(|channel| ChannelKey { connection, channel, incarnation: 0 });
        let open = &self.uploads.open;
        let is_free = |key: &ChannelKey| open.iter().all(|upload| upload.channel != *key);
        let Some(channel) = channels.into_iter().find(is_free) else { return Ok(()) };
        let queues = self.draw_targets();
        if queues.is_empty() {
            return Ok(());
        }
        let owners = self.owners(&queues)?;
        let number = self.clients.next_number();
        let random = &mut self.uploads.random;
        let size = 100 + random.below(self.world.limits.body_bytes_max);
        let persistent = !random.one_in(4);
        let letter = Letter {
            number,
            body: body(number, size),
            properties: properties(number, persistent),
            persistent,
            priority: random.below(6) as u8,
            expiration_ms: random.one_in(12).then(|| 1 + random.below(100) as u64),
            queues: Vec::new(),
            confirm: None,
        };
        let part_bytes = 60 + size / (2 + random.below(12));
        self.trace.say(|| format!("{channel:?} begins {number} ({size}) to {owners:?}"));
        let upload = Upload { channel, publisher, owners, letter, sent: 0, part_bytes };
        self.uploads.open.push(upload);
        Ok(())
    }

    fn go_on(&mut self, which: usize) -> Verdict {
        let (publisher, has_room) = {
            let Upload { publisher, owners, .. } = &self.uploads.open[which];
            let has_room =
                |(owner, _): &(ShardId, _)| self.world.has_room(*publisher, usize::from(owner.0));
            (*publisher, owners.iter().all(has_room))
        };
        if !has_room {
            return Ok(());
        }
        let confirm = (self.clients.channel(publisher), self.clients.next_confirm[publisher]);
        let uploads = &mut self.uploads;
        let upload = &mut uploads.open[which];
        let (channel, sent) = (upload.channel, upload.sent);
        let left = upload.letter.body.len() - sent;
        let bytes = 1 + uploads.random.below(upload.part_bytes);
        // One that ends has sent a part before.
        if sent > 0 && bytes >= left {
            let Upload { owners, mut letter, .. } = uploads.open.swap_remove(which);
            self.clients.next_confirm(publisher);
            letter.confirm = Some(confirm);
            self.tally.uploaded += 1;
            for (owner, queues) in owners {
                let letter = Letter { queues, ..letter.clone() };
                let mail = Mail::PublishBody { channel, sent, letter };
                self.send(publisher, usize::from(owner.0), mail)?;
            }
            return Ok(());
        }
        let end = sent + bytes.min(left - 1);
        upload.sent = end;
        let octets = upload.letter.body[sent..end].to_vec();
        let (persistent, body_bytes) = (upload.letter.persistent, upload.letter.body.len() as u64);
        for (owner, queues) in upload.owners.clone() {
            let octets = octets.clone();
            let part = Part { channel, queues, persistent, body_bytes, octets };
            self.send(publisher, usize::from(owner.0), Mail::BodyPart(part))?;
        }
        Ok(())
    }

    /// One that is begun and given up, when there is nothing else, leaves nothing.
    pub fn upload_in_vain(&mut self) -> Verdict {
        let live = |simulation: &Simulation| -> Vec<u64> {
            simulation.world.shards.iter().map(|shard| shard.log_space().live_octets).collect()
        };
        self.uploads.clear();
        let before = live(self);
        self.begin_upload()?;
        if self.uploads.open.is_empty() {
            return Ok(());
        }
        let may_end = |upload: &Upload| upload.sent + upload.part_bytes >= upload.letter.body.len();
        for _ in 0..4 {
            if self.uploads.open.iter().any(may_end) {
                break;
            }
            self.go_on(0)?;
            self.settle_down()?;
        }
        self.give_up(0)?;
        self.settle_down()?;
        let after = live(self);
        let is_more = |(before, after): (&u64, &u64)| *after > before + GIVEN_UP_OCTETS_MAX;
        require(!before.iter().zip(&after).any(is_more), Kind::Space, || {
            format!("{after:?} octets of the logs are wanted, and {before:?} were before a body was given up")
        })
    }

    /// Its channel ends.
    fn give_up(&mut self, which: usize) -> Verdict {
        let Upload { channel, publisher, owners, .. } = self.uploads.open.swap_remove(which);
        self.tally.given_up += 1;
        for (owner, _) in owners {
            let command = Command::DropBody { channel };
            self.send(publisher, usize::from(owner.0), Mail::Command(command))?;
        }
        Ok(())
    }
}
