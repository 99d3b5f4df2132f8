//! The poll loop: one thread, one epoll, any number of producers and consumers.
//!
//! A turn: look at the orders, let each producer send a batch, show the counts, wait for sockets, read those
//! that have something. The read buffer is shared by all connections of the thread.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags,
    Timespec,
};

use crate::clock::{now_ns, thread_cpu_ns};
use crate::consumer::{Consumer, Receipt};
use crate::error::{PerfError, Result};
use crate::link::{Arrival, Link};
use crate::load::control::{Control, Gauge, Order, Stage, Tally};
use crate::producer::image::StreamPosition;
use crate::producer::{Next, Producer};

/// Octets read at once.
const READ_OCTETS: usize = 256 * 1024;
/// Orders are looked at this often while nothing else happens.
const IDLE_NS: u64 = 10_000_000;
/// The same in a pause, whose length is part of nobody's measurement.
const PAUSED_NS: u64 = 1_000_000;
/// How soon a producer held by the backlog limit looks again.
const SOON_NS: u64 = 100_000;
/// How often percentiles for the progress line are worked out.
const RECENT_NS: u64 = 1_000_000_000;

/// Stands for the timer among the numbers of connections.
const TIMER: u64 = u64::MAX;

/// What a connection does.
pub(crate) enum Role {
    /// Publishes.
    Producer(Producer),
    /// Consumes.
    Consumer(Consumer),
}

/// A connection and what it does.
pub(crate) struct Peer {
    /// The socket.
    pub(crate) link: Link,
    /// Its part in the run.
    pub(crate) role: Role,
}

/// What a worker hands back.
pub(crate) struct WorkerReport {
    /// Counts and latencies.
    pub(crate) tally: Tally,
    /// How far the streams of its producers came.
    pub(crate) positions: Vec<StreamPosition>,
    /// What its consumers got.
    pub(crate) receipts: Vec<Receipt>,
    /// Why it gave up.
    pub(crate) failure: Option<PerfError>,
}

/// One thread's state.
pub(crate) struct Worker {
    control: Arc<Control>,
    index: usize,
    peers: Vec<Peer>,
    waits_to_write: Vec<bool>,
    epoll: OwnedFd,
    timer: OwnedFd,
    buffer: Vec<u8>,
    tally: Tally,
    order: Order,
    recent_at_ns: u64,
    busy_wait_ns: u64,
}

impl Worker {
    /// A worker that shows its figures on gauge `index` of the board, and watches the clock for the last
    /// `busy_wait_ns` before a message is due.
    pub(crate) fn new(
        control: Arc<Control>,
        index: usize,
        peers: Vec<Peer>,
        busy_wait_ns: u64,
    ) -> Result<Worker> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(poll_error)?;
        for (number, peer) in peers.iter().enumerate() {
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&epoll, peer.link.socket(), data, epoll::EventFlags::IN)
                .map_err(poll_error)?;
        }
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).map_err(poll_error)?;
        // Edge-triggered: it wakes once when it runs out and need not be read.
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(TIMER), flags).map_err(poll_error)?;
        let order = Order { number: 0, stage: Stage::Pause };
        Ok(Worker {
            control,
            index,
            waits_to_write: vec![false; peers.len()],
            peers,
            epoll,
            timer,
            buffer: vec![0; READ_OCTETS],
            tally: Tally::default(),
            order,
            recent_at_ns: 0,
            busy_wait_ns,
        })
    }

    /// Works until told to stop, or until something breaks, and closes the connections.
    pub(crate) fn run(mut self) -> WorkerReport {
        let mut failure = self.serve().err();
        if failure.is_some() {
            self.gauge().failed.store(true, Relaxed);
        }
        let mut positions = Vec::new();
        let mut receipts = Vec::new();
        for peer in self.peers {
            // connection.close cannot go out in the middle of a frame, nor to a broker that reads no more.
            let mut can_close = true;
            match peer.role {
                Role::Producer(producer) => {
                    can_close = !producer.owes_octets() && !producer.is_held();
                    positions.extend_from_slice(producer.positions());
                }
                Role::Consumer(consumer) => receipts.push(consumer.into_receipt()),
            }
            if failure.is_none() && can_close {
                failure = peer.link.close().err();
            }
        }
        WorkerReport { tally: self.tally, positions, receipts, failure }
    }

    fn gauge(&self) -> &Gauge {
        &self.control.gauges[self.index]
    }

    fn serve(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(self.peers.len().clamp(1, 256));
        for number in 0..self.peers.len() {
            self.start(number)?;
        }
        loop {
            let now_ns = now_ns();
            self.obey();
            if self.order.stage == Stage::Stop {
                return Ok(());
            }
            let wake_ns = match self.order.stage {
                Stage::Run => self.send(now_ns)?,
                _ => self.rest(now_ns)?,
            };
            self.show(now_ns);
            self.wait(&mut events, wake_ns.saturating_sub(now_ns))?;
        }
    }

    /// Subscribes consumers, and walks what came with the last answer of the handshake.
    fn start(&mut self, number: usize) -> Result<()> {
        let peer = &mut self.peers[number];
        if let Role::Consumer(consumer) = &peer.role {
            consumer.subscribe(&mut peer.link);
        }
        if peer.link.has_carry() {
            let filled = peer.link.take_carry(&mut self.buffer);
            self.receive(number, filled, now_ns())?;
        }
        self.flush(number)
    }

    /// Looks at the orders.
    fn obey(&mut self) {
        let order = self.control.order();
        if order == self.order {
            return;
        }
        self.order = order;
        if order.stage == Stage::Run {
            let (start_ns, messages) = self.control.lap();
            self.tally.clear_latencies();
            for peer in &mut self.peers {
                if let Role::Producer(producer) = &mut peer.role {
                    producer.begin_lap(start_ns, messages);
                }
            }
        }
    }

    /// Lets each producer send a batch; returns when the first of them wants its next turn.
    fn send(&mut self, now_ns: u64) -> Result<u64> {
        let mut wake_ns = now_ns + IDLE_NS;
        let mut finished = true;
        let mut allowance = self.control.allowance();
        for number in 0..self.peers.len() {
            let Peer { link, role: Role::Producer(producer) } = &mut self.peers[number] else {
                continue;
            };
            let before = self.tally.published;
            let next = match producer.pump(link, now_ns, allowance, &mut self.tally) {
                Ok(next) => next,
                Err(error) => return Err(self.reason(number, error)),
            };
            allowance = allowance.saturating_sub(self.tally.published - before);
            finished &= next == Next::Finished;
            match next {
                Next::Now => wake_ns = now_ns,
                Next::At(due_ns) => wake_ns = wake_ns.min(due_ns),
                Next::Soon => wake_ns = wake_ns.min(now_ns + SOON_NS),
                Next::Writable | Next::Readable | Next::Finished => {}
            }
            self.watch(number, next == Next::Writable)?;
        }
        if finished {
            self.gauge().answer(self.order);
        }
        Ok(wake_ns)
    }

    /// A pause: producers finish what they began, consumers acknowledge the rest.
    fn rest(&mut self, now_ns: u64) -> Result<u64> {
        let mut quiet = true;
        for number in 0..self.peers.len() {
            let peer = &mut self.peers[number];
            match &mut peer.role {
                Role::Producer(producer) => {
                    let done = match producer.finish_batch(&mut peer.link) {
                        Ok(done) => done,
                        Err(error) => return Err(self.reason(number, error)),
                    };
                    quiet &= producer.is_quiet();
                    self.watch(number, !done)?;
                }
                Role::Consumer(consumer) => {
                    consumer.settle(&mut peer.link);
                    self.flush(number)?;
                    quiet &= !self.peers[number].link.owes_octets();
                }
            }
        }
        self.gauge().cpu_ns.store(thread_cpu_ns(), Relaxed);
        if quiet {
            self.gauge().answer(self.order);
        }
        Ok(now_ns + PAUSED_NS)
    }

    fn show(&mut self, now_ns: u64) {
        let gauge = &self.control.gauges[self.index];
        gauge.show(&self.tally, now_ns);
        if now_ns >= self.recent_at_ns {
            self.recent_at_ns = now_ns + RECENT_NS;
            gauge.cpu_ns.store(thread_cpu_ns(), Relaxed);
            let count = |is: fn(&Role) -> bool| {
                self.peers.iter().filter(|peer| is(&peer.role)).count() as u64
            };
            let held = count(|role| matches!(role, Role::Producer(p) if p.is_held()));
            gauge.held.store(held, Relaxed);
            let recent = match self.tally.end_to_end.recent() {
                Some(recent) => recent,
                None => self.tally.confirm.recent().unwrap_or_default(),
            };
            gauge.recent_p50_ns.store(recent.0, Relaxed);
            gauge.recent_p99_ns.store(recent.1, Relaxed);
        }
    }

    /// Waits for sockets, at most so long, and serves those that have something.
    fn wait(&mut self, events: &mut Vec<epoll::Event>, wait_ns: u64) -> Result<()> {
        let timeout = if wait_ns <= self.busy_wait_ns {
            time_span(0)
        } else {
            if wait_ns < IDLE_NS {
                self.set_timer(wait_ns - self.busy_wait_ns)?;
            }
            time_span(IDLE_NS)
        };
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(poll_error(error)),
        }
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        for event in events.iter() {
            if event.data.u64() == TIMER {
                continue;
            }
            let number = event.data.u64() as usize;
            let flags = event.flags;
            if flags.intersects(readable) {
                self.read(number)?;
            }
            self.flush(number)?;
        }
        Ok(())
    }

    /// epoll's own time limit is in whole milliseconds: a message due in 200 us would be late by most of one.
    fn set_timer(&self, wait_ns: u64) -> Result<()> {
        let once = Itimerspec { it_interval: time_span(0), it_value: time_span(wait_ns) };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once).map_err(poll_error)?;
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<()> {
        match self.peers[number].link.read(&mut self.buffer)? {
            Arrival::Nothing => Ok(()),
            Arrival::Octets(filled) => self.receive(number, filled, now_ns()),
        }
    }

    fn receive(&mut self, number: usize, filled: usize, now_ns: u64) -> Result<()> {
        let Peer { link, role } = &mut self.peers[number];
        let octets = &self.buffer[..filled];
        let used = match role {
            Role::Producer(producer) => producer.receive(link, octets, now_ns, &mut self.tally)?,
            Role::Consumer(consumer) => {
                let was_consuming = consumer.is_consuming();
                let used = consumer.receive(link, octets, now_ns, &mut self.tally)?;
                if consumer.is_consuming() && !was_consuming {
                    self.control.gauges[self.index].consuming.fetch_add(1, Relaxed);
                }
                used
            }
        };
        self.peers[number].link.keep(&self.buffer[used..filled]);
        Ok(())
    }

    /// Writes acks and answers, unless a batch of publishes is half written: frames must not mix.
    fn flush(&mut self, number: usize) -> Result<()> {
        let Peer { link, role } = &mut self.peers[number];
        let batch_open = matches!(role, Role::Producer(producer) if producer.owes_octets());
        if batch_open {
            return Ok(());
        }
        match link.flush() {
            Ok(done) => self.watch(number, !done),
            Err(error) => Err(self.reason(number, error)),
        }
    }

    /// Asks, or asks no more, to be told when the socket takes octets.
    fn watch(&mut self, number: usize, to_write: bool) -> Result<()> {
        if self.waits_to_write[number] == to_write {
            return Ok(());
        }
        self.waits_to_write[number] = to_write;
        let flags = match to_write {
            true => epoll::EventFlags::IN | epoll::EventFlags::OUT,
            false => epoll::EventFlags::IN,
        };
        let data = epoll::EventData::new_u64(number as u64);
        epoll::modify(&self.epoll, self.peers[number].link.socket(), data, flags)
            .map_err(poll_error)
    }

    /// A write that fails may have been answered with connection.close before: that says more.
    fn reason(&mut self, number: usize, error: PerfError) -> PerfError {
        match self.read(number) {
            Err(said @ (PerfError::ConnectionClosed(_) | PerfError::ChannelClosed(_))) => said,
            _ => error,
        }
    }
}

fn time_span(ns: u64) -> Timespec {
    Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000) as i64 }
}

fn poll_error(error: Errno) -> PerfError {
    PerfError::Io { doing: "waiting for sockets", source: error.into() }
}
