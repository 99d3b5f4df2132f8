//! One shard's runtime: what its tasks share.
//!
//! Everything here lives on the shard's thread, behind an `Rc`. The tasks are: the lookout, which
//! sleeps for all, and its sentry, the mail task (rings and mailbox), the ticker, one per
//! connection, one per log effect in flight, and one per listener.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::Arc;
use std::time::{Duration, Instant};

use glommio::io::DmaBuffer;
use haremq_engine::ids::{ConnectionId, ShardId};
use haremq_engine::log::{LogCompletion, LogEffect};

use super::alarms::Alarms;
use super::budget::Budget;
use super::direct_writes::DirectWrites;
use super::doze::Doze;
use super::host::Host;
use super::loads::Loads;
use super::lookout::Lookout;
use super::mailbox::Mailbox;
use super::segments::Segments;
use super::stage::Event;
use crate::amqp::ConnectionSettings;

/// Octets of one read from a socket at most.
pub(super) const READ_OCTETS: usize = 256 << 10;
/// Octets kept from before that may stand in front of them.
const CARRY_OCTETS: usize = 256 << 10;

/// What all shards share: counters that change with connections, not with messages.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) mailboxes: Vec<Arc<Mailbox>>,
    pub(super) loads: Arc<Loads>,
    pub(super) alarms: Arc<Alarms>,
    /// Octets of memory that messages may take in each shard.
    pub(super) memory_max_bytes: usize,
    /// The last connection's serial number; the first one is 1, 0 is nobody's.
    pub(super) serial: AtomicU64,
}

pub(super) struct ShardRuntime {
    pub(super) shard: ShardId,
    pub(super) host: RefCell<Host>,
    pub(super) segments: Rc<Segments>,
    pub(super) common: Arc<Common>,
    pub(super) settings: Arc<ConnectionSettings>,
    pub(super) budget: Budget,
    pub(super) lookout: Rc<Lookout>,
    direct: DirectWrites,
    events: Sender<(ShardId, Event)>,
    read_buffer: Cell<Option<Box<[u8]>>>,
    /// A clean stop has begun: no new connections.
    stopping: Cell<bool>,
    /// The connections' time to say goodbye is over.
    cut_off: Cell<bool>,
    /// Turns since the ticker last looked.
    pub(super) turns: Cell<u64>,
    /// [`Event::Resolved`] has been reported.
    resolved: Cell<bool>,
    /// Connections that have come from other shards.
    pub(super) arrivals: Cell<u64>,
    pub(super) doze: Doze,
}

/// Messages that are named when the broker comes upon damage.
const NAMED_MAX: usize = 10;

impl ShardRuntime {
    pub(super) fn new(
        host: Host,
        segments: Rc<Segments>,
        lookout: Rc<Lookout>,
        common: Arc<Common>,
        settings: ConnectionSettings,
        events: Sender<(ShardId, Event)>,
    ) -> Self {
        ShardRuntime {
            shard: host.world.shard(),
            host: RefCell::new(host),
            segments,
            common,
            settings: Arc::new(settings),
            budget: Budget::new(),
            lookout,
            direct: DirectWrites::default(),
            events,
            read_buffer: Cell::new(None),
            stopping: Cell::new(false),
            cut_off: Cell::new(false),
            turns: Cell::new(0),
            resolved: Cell::new(false),
            arrivals: Cell::new(0),
            doze: Doze::default(),
        }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.common.mailboxes[usize::from(self.shard.0)]
    }

    pub(super) fn shards(&self) -> u16 {
        self.common.mailboxes.len() as u16
    }

    /// To be called by every task when it begins to run.
    pub(super) fn enter(&self) {
        self.lookout.step();
        self.budget.enter();
    }

    /// Tells the main thread.
    pub(super) fn report(&self, event: Event) {
        // Nobody listens any more only if the process is ending.
        let _ = self.events.send((self.shard, event));
    }

    /// One turn: `input`, and what follows from it. `current` is the connection whose task runs it.
    pub(super) fn turn<T>(
        self: &Rc<Self>,
        current: Option<ConnectionId>,
        input: impl FnOnce(&mut Host) -> T,
    ) -> T {
        self.turns.set(self.turns.get() + 1);
        self.lookout.step();
        let (outcome, effects, unfinished) = {
            let mut host = self.host.borrow_mut();
            host.begin();
            let outcome = input(&mut host);
            host.turn();
            (outcome, host.take_log_effects(), host.is_unfinished())
        };
        for effect in effects {
            self.begin(effect);
        }
        self.host.borrow_mut().rouse(current);
        if unfinished {
            self.lookout.call_postman();
        }
        if !self.resolved.get() && self.host.borrow().is_resolved() {
            self.resolved.set(true);
            self.report(Event::Resolved);
        }
        self.doze.rouse();
        outcome
    }

    /// Has an effect of the log carried out: by the executor, or by the lookout as soon as nobody
    /// wants to run.
    fn begin(self: &Rc<Self>, effect: LogEffect<DmaBuffer>) {
        if !self.lookout.is_anything_under_way() && self.direct.suits(&effect, Instant::now()) {
            return self.direct.hold(effect);
        }
        // It is not alone any more.
        self.give_up_direct_write();
        self.spawn(effect);
    }

    /// Leaves the write that is held back, if there is one, to the executor.
    pub(super) fn give_up_direct_write(self: &Rc<Self>) {
        if let Some(effect) = self.direct.take() {
            self.spawn(effect);
        }
    }

    /// For the lookout, when others have run instead.
    pub(super) fn delay_direct_write(self: &Rc<Self>) {
        if self.direct.is_overdue() {
            self.give_up_direct_write();
        }
    }

    /// For the lookout, when nobody wants to run: makes the write that is held back. False if there
    /// is none.
    pub(super) fn write_directly(self: &Rc<Self>) -> bool {
        let Some(effect) = self.direct.take() else { return false };
        let LogEffect::Write { ticket, file, offset, ref buffer, length } = effect else {
            self.spawn(effect);
            return true;
        };
        // Who has something is served first, if that does not go on for ever: acks of what has just
        // been delivered come at this moment, and the executor's way is dearer than they are.
        if self.lookout.look(Duration::ZERO) > 0 {
            match self.direct.is_overdue() {
                true => self.spawn(effect),
                false => self.direct.put_back(effect),
            }
            return true;
        }
        let began = Instant::now();
        let octets = &buffer.as_bytes()[..length];
        let completion = self.segments.write_now(ticket, file, offset, octets);
        let took = began.elapsed();
        self.direct.note_write(took);
        self.direct.note_direct();
        self.complete(completion, Some(took));
        true
    }

    /// For the lookout, when others have run: after a write of its own, serves those who had to wait
    /// for the thread. Later than the publisher, who has waited for longer.
    pub(super) fn look_after_direct_write(self: &Rc<Self>, has_mail: impl Fn() -> bool) {
        if self.direct.is_look_due() {
            let sockets = self.lookout.look(Duration::ZERO);
            self.direct.note_waiting(sockets, has_mail(), Instant::now());
            self.budget.refresh();
        }
    }

    /// An effect of the log has been carried out; a write took so long.
    fn complete(self: &Rc<Self>, completion: LogCompletion<DmaBuffer>, took: Option<Duration>) {
        let complete = |host: &mut Host| {
            if let Some(took) = took {
                host.latencies.commit.saturating_record(took.as_micros() as u64);
            }
            host.complete(completion)
        };
        if let Err(error) = self.turn(None, complete) {
            self.fail(&error);
        }
    }

    fn spawn(self: &Rc<Self>, effect: LogEffect<DmaBuffer>) {
        let runtime = self.clone();
        self.lookout.begin();
        self.budget.note_begun(&effect);
        glommio::spawn_local(async move {
            let write = matches!(effect, LogEffect::Write { .. }).then(Instant::now);
            let completion = runtime.segments.perform(effect).await;
            let took = write.map(|began| began.elapsed());
            if let Some(took) = took {
                runtime.direct.note_write(took);
            }
            runtime.complete(completion, took);
            runtime.lookout.end();
        })
        .detach();
    }

    /// The log cannot go on: no promise made from here on could be kept.
    fn fail(&self, error: &haremq_engine::log::LogError) -> ! {
        let (shard, dir) = (self.shard.0, self.segments.dir());
        if !error.is_damage() {
            let dir = dir.display();
            eprintln!("haremq: shard {shard} ({dir}): {error}; the broker ends, what it has confirmed is safe");
            std::process::exit(1);
        }
        let stricken = self.host.borrow().shard.stricken(error);
        let mut there = String::new();
        for (vhost, name, seq) in stricken.iter().take(NAMED_MAX) {
            there += &format!("; message {} of queue {name} in vhost {vhost} is there", seq.0);
        }
        if let Some(more) = stricken.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
            there += &format!("; and {more} more");
        }
        let data_dir = dir.parent().unwrap_or(dir).display();
        let dir = dir.display();
        eprintln!(
            "haremq: shard {shard} ({dir}): {error}{there}. Nothing of it has been delivered; the broker ends. \
             `haremq check --data-dir {data_dir}` lists all damage and the messages in it; restore the files from a \
             backup, or start with --quarantine-damage to put the damage aside and serve the rest"
        );
        std::process::exit(1);
    }

    /// An id for a connection that is to live on `shard`.
    pub(super) fn next_connection(&self, shard: ShardId) -> ConnectionId {
        ConnectionId::new(shard, self.common.serial.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// To be called once for every connection handed to this shard.
    pub(super) fn connection_ended(&self) {
        self.common.loads.end(self.shard);
    }

    /// The buffer for one read: to be given back within the same poll.
    pub(super) fn take_read_buffer(&self) -> Box<[u8]> {
        self.read_buffer
            .take()
            .unwrap_or_else(|| vec![0; CARRY_OCTETS + READ_OCTETS].into_boxed_slice())
    }

    pub(super) fn return_read_buffer(&self, buffer: Box<[u8]>) {
        self.read_buffer.set(Some(buffer));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    pub(super) fn begin_stopping(&self) {
        self.stopping.set(true);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.get()
    }

    /// Ends every connection task at its next poll, and has them polled.
    pub(super) fn cut_off(&self) {
        self.cut_off.set(true);
        for cell in self.host.borrow().world.connections.values() {
            cell.wake();
        }
    }
}
