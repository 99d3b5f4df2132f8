//! Runs: stretches of the log that are being read from one end to the other, and how much of it may be on its way at
//! once.
//!
//! A run begins where somebody wants a block that is not in memory. If what it brings is looked at beyond its
//! beginning it *goes on*: several reads are under way then, so that the device never waits for who consumes, up to a
//! measure that grows while what they bring is looked at. Where one read ends and the next begins a block may be cut
//! in two; it is put together from both (`Torn`), so that no octet is read twice and no read waits for the one before.
//!
//! Many may want something of one window, and the first of them must not have the run go on before the last one has come
//! by: what the last one needs would go out of memory for what the first one reads. So time goes in *rounds*, in each of
//! which everybody who can go on has his turn. What has been looked at counts as ahead until the round is over, and while
//! others have still to have theirs, what is wanted beyond the measure is *put off* until then.

use std::collections::VecDeque;
use std::rc::Weak;

use super::cache::Window;

/// Octets that the first read of a run brings, where the segment has as many.
pub(super) const WINDOW_BYTES: u64 = 256 * 1024;

/// Octets that a read of a run that goes on brings at most: each is twice as long as the one before. A read costs the
/// device and the processor much the same whatever its length, but what is read and not wanted was read for nothing,
/// so that only who goes on reading gets more.
pub(super) const WINDOW_BYTES_MAX: u64 = 768 * 1024;

/// Octets of a run that are under way or that nobody had looked at when the round began, at most: what the device reads
/// while the executor does not look at it, several times over.
const AHEAD_BYTES_MAX: u64 = 4 << 20;

/// Octets that a read of one message brings at least: a block of several records is no longer.
pub(super) const SCATTERED_BYTES: u64 = 64 * 1024;

/// Runs that nothing is under way of and that are remembered all the same.
const IDLE_RUNS_MAX: usize = 32;

/// A read that has been asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub ticket: u64,
    pub segment: u32,
    /// Position of its first octet.
    pub start: u64,
    pub length: usize,
    /// Position up to which blocks are known to be there.
    pub limit: u64,
}

impl Pending {
    pub(super) fn end(&self) -> u64 {
        self.start + self.length as u64
    }
    /// The same, but for its first `octets`.
    pub(super) fn behind(&self, octets: usize) -> Self {
        let start = self.start + octets as u64;
        Pending { start, length: self.length - octets, ..*self }
    }
}

/// The beginning of a block whose end is in the next read.
#[derive(Debug)]
pub(super) struct Torn<B> {
    /// Position of the block.
    pub start: u64,
    pub buffer: B,
    /// Octets of the block.
    pub length: usize,
    have: usize,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Torn<B> {
    pub(super) fn new(start: u64, buffer: B, length: usize, octets: &[u8]) -> Self {
        let mut torn = Torn { start, buffer, length, have: 0 };
        torn.add(octets);
        torn
    }
    /// Takes as many octets as it lacks. Gives how many there were of them.
    pub(super) fn add(&mut self, octets: &[u8]) -> usize {
        let taken = octets.len().min(self.length - self.have);
        let place = self.have..self.have + taken;
        self.buffer.as_mut()[place].copy_from_slice(&octets[..taken]);
        self.have += taken;
        taken
    }
}

impl<B> Torn<B> {
    pub(super) fn is_whole(&self) -> bool {
        self.have == self.length
    }
    /// Position of the first octet that it lacks.
    pub(super) fn goes_on_at(&self) -> u64 {
        self.start + self.have as u64
    }
}

#[derive(Debug)]
struct Asked<B> {
    read: Pending,
    outcome: Outcome<B>,
}

#[derive(Debug)]
enum Outcome<B> {
    UnderWay,
    /// What it has brought; nothing if it failed where nobody wants it any more.
    Over(Option<B>),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Run<B> {
    id: u64,
    /// What follows is not going to be wanted next.
    scattered: bool,
    pub goes_on: bool,
    /// Position behind the octets that have been asked for.
    pub next: u64,
    /// Position behind the blocks that have come.
    pub done: u64,
    /// Position that is to be reached, however much is ahead: in the next round, if that is more than may be in this one.
    pub wanted: u64,
    /// Octets of its next read.
    pub length: u64,
    /// Octets that may be ahead.
    ahead_max: u64,
    asked: VecDeque<Asked<B>>,
    pub torn: Option<Torn<B>>,
    /// What it has brought and nobody had looked at when the round began.
    windows: VecDeque<Weak<Window<B>>>,
}

impl<B: AsRef<[u8]>> Run<B> {
    /// Octets that are under way.
    fn asked_bytes(&self) -> u64 {
        self.asked.iter().map(|asked| asked.read.length as u64).sum()
    }
    /// Octets that are under way or that nobody had looked at when the round began, if others have still to come by.
    fn ahead_bytes(&self) -> u64 {
        let windows = self.windows.iter().filter_map(Weak::upgrade);
        windows.map(|window| window.bytes() as u64).sum::<u64>() + self.asked_bytes()
    }
    /// What somebody has looked at is not ahead any more.
    fn forget_looked_at(&mut self) {
        self.windows.retain(|window| window.upgrade().is_some_and(|held| held.awaited_bytes() > 0));
    }
    /// Nothing of it has come yet that was whole.
    pub(super) fn is_fresh(&self) -> bool {
        self.windows.is_empty() && !self.goes_on
    }
    pub(super) fn is_under_way(&self) -> bool {
        !self.asked.is_empty()
    }
    /// The block at `position` is on its way.
    fn covers(&self, position: u64) -> bool {
        !self.asked.is_empty() && (self.done..self.next).contains(&position)
    }
}

/// The runs, the one used last at the end.
#[derive(Debug)]
pub(super) struct Readback<B> {
    runs: Vec<Run<B>>,
    latest: u64,
    /// Octets under way.
    bytes: usize,
    bytes_max: usize,
    /// Somebody has looked at what a run has brought in this round.
    was_looked_at: bool,
    /// What a run wants is put off until the next round.
    is_put_off: bool,
    /// Some have still to have their turn in this round.
    is_round_open: bool,
}

impl<B: AsRef<[u8]>> Readback<B> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Readback {
            runs: Vec::new(),
            latest: 0,
            bytes: 0,
            bytes_max,
            was_looked_at: false,
            is_put_off: false,
            is_round_open: false,
        }
    }
    pub(super) fn run(&mut self, id: u64) -> Option<&mut Run<B>> {
        self.runs.iter_mut().rfind(|run| run.id == id)
    }
    /// A run that begins with the block at `start`.
    pub(super) fn begin(&mut self, start: u64, scattered: bool) -> u64 {
        self.latest += 1;
        let id = self.latest;
        self.runs.push(Run {
            id,
            scattered,
            goes_on: false,
            next: start,
            done: start,
            wanted: start,
            length: WINDOW_BYTES,
            ahead_max: WINDOW_BYTES,
            asked: VecDeque::new(),
            torn: None,
            windows: VecDeque::new(),
        });
        id
    }
    /// The block at `position` is on its way, by another run than `but`.
    pub(super) fn covers(&self, position: u64, but: u64) -> bool {
        self.runs.iter().any(|run| run.id != but && run.covers(position))
    }
    /// A read is under way that will bring the block at `position`, or behind which its run goes on as far as that, or it
    /// will be when the round is over.
    pub(super) fn brings(&self, position: u64) -> bool {
        let brings = |run: &Run<B>| {
            let is_to_come = run.is_under_way() || self.is_put_off;
            is_to_come && (run.done..run.next.max(run.wanted)).contains(&position)
        };
        self.runs.iter().any(brings)
    }
    /// The run that will come to the block at `position` soon, if it goes on.
    pub(super) fn reaching(&self, position: u64) -> Option<u64> {
        let reaches = |run: &&Run<B>| {
            let reach = if run.goes_on { run.ahead_max } else { SCATTERED_BYTES };
            !run.scattered && (run.done..run.next + reach).contains(&position)
        };
        self.runs.iter().rev().find(reaches).map(|run| run.id)
    }
    /// One more read of that length may go out. One always may.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.is_empty() || self.bytes + length <= self.bytes_max
    }
    /// Whether the run may read so many octets that nobody waits for.
    pub(super) fn may_go_ahead(&self, id: u64, length: u64) -> bool {
        let Some(run) = self.runs.iter().rfind(|run| run.id == id) else { return false };
        let ahead = run.ahead_bytes();
        if ahead == 0 {
            return true;
        }
        let all: u64 = self.runs.iter().map(Run::ahead_bytes).sum();
        ahead + length <= run.ahead_max && all + length <= self.bytes_max as u64 / 2
    }
    /// Nothing is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }
    /// The run is not remembered.
    pub(super) fn forget(&mut self, id: u64) {
        self.runs.retain(|run| run.id != id);
    }
    /// Octets that are under way.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
    /// What the run goes on with has been asked for.
    pub(super) fn push(&mut self, id: u64, read: Pending) {
        self.bytes += read.length;
        if let Some(run) = self.run(id) {
            run.next = read.end();
            run.asked.push_back(Asked { read, outcome: Outcome::UnderWay });
        }
    }
    /// Somebody has looked at what the run has brought: more of it may be ahead.
    pub(super) fn looked_at(&mut self, id: u64) {
        let Some(at) = self.runs.iter().rposition(|run| run.id == id) else { return };
        let run = &mut self.runs[at];
        run.goes_on = true;
        run.length = (2 * run.length).min(WINDOW_BYTES_MAX);
        run.ahead_max = (2 * run.ahead_max).clamp(2 * run.length, AHEAD_BYTES_MAX);
        if self.is_round_open {
            self.was_looked_at = true;
        } else {
            run.forget_looked_at();
        }
        self.runs[at..].rotate_left(1);
    }
    /// What the run wants is put off until the next round.
    pub(super) fn put_off(&mut self) {
        self.is_put_off = true;
    }
    pub(super) fn is_put_off(&self) -> bool {
        self.is_put_off
    }
    pub(super) fn is_round_open(&self) -> bool {
        self.is_round_open
    }
    pub(super) fn set_round_open(&mut self, is_open: bool) {
        self.is_round_open = is_open;
    }
    /// Everybody who could go on has had his turn. Gives the runs that may go on now; `None`: nothing has changed.
    pub(super) fn next_round(&mut self) -> Option<Vec<u64>> {
        let was_looked_at = std::mem::take(&mut self.was_looked_at);
        let was_put_off = std::mem::take(&mut self.is_put_off);
        if !was_looked_at && !was_put_off {
            return None;
        }
        self.runs.iter_mut().for_each(Run::forget_looked_at);
        let goes_on = |run: &&Run<B>| run.goes_on || run.next < run.wanted;
        Some(self.runs.iter().filter(goes_on).map(|run| run.id).collect())
    }
    /// The read of that ticket.
    pub(super) fn pending(&self, ticket: u64) -> Option<Pending> {
        let mut all = self.runs.iter().flat_map(|run| &run.asked);
        all.find(|asked| asked.read.ticket == ticket).map(|asked| asked.read)
    }
    /// The read of that ticket is over, and this is what it has brought. Gives the run.
    pub(super) fn arrived(&mut self, ticket: u64, buffer: Option<B>) -> Option<u64> {
        let all = self.runs.iter_mut();
        let mut all = all.flat_map(|run| run.asked.iter_mut().map(|asked| (run.id, asked)));
        let (id, asked) = all.find(|(_, asked)| asked.read.ticket == ticket)?;
        asked.outcome = Outcome::Over(buffer);
        Some(id)
    }
    /// What the run's first read has brought, if that is over.
    pub(super) fn next_arrived(&mut self, id: u64) -> Option<(Pending, Option<B>)> {
        let run = self.run(id)?;
        if matches!(run.asked.front()?.outcome, Outcome::UnderWay) {
            return None;
        }
        let Asked { read, outcome } = run.asked.pop_front()?;
        self.bytes -= read.length;
        let Outcome::Over(buffer) = outcome else { return None };
        Some((read, buffer))
    }
    /// The blocks of a run have come up to `done`, in this window if there is one.
    pub(super) fn note_done(&mut self, id: u64, done: u64, window: Option<Weak<Window<B>>>) {
        if let Some(run) = self.run(id) {
            run.done = done;
            run.windows.extend(window);
        }
    }
    /// The run does not go on.
    pub(super) fn end(&mut self, id: u64) {
        if let Some(run) = self.run(id) {
            run.goes_on = false;
            run.wanted = run.next;
        }
    }
    /// If nothing of the run is under way, it may be that it is not remembered any more. It begins where its blocks
    /// have come to if somebody has it go on.
    pub(super) fn rest(&mut self, id: u64) {
        let Some(at) = self.runs.iter().rposition(|run| run.id == id) else { return };
        let run = &mut self.runs[at];
        if run.asked.is_empty() && !run.goes_on {
            run.torn = None;
            run.next = run.done;
            if run.scattered {
                self.runs.remove(at);
            }
        }
        let idle = self.runs.iter().filter(|run| run.asked.is_empty()).count();
        if idle > IDLE_RUNS_MAX {
            if let Some(at) = self.runs.iter().position(|run| run.asked.is_empty()) {
                self.runs.remove(at);
            }
        }
    }
}
