//! What is asked of the device to be read back, and what comes of it. When, and how much, is for `readback` to say.

use std::rc::Rc;

use super::block::{claimed, Block, Defect};
use super::cache::Window;
use super::format::{whole_pages, PAGE_BYTES};
use super::readback::{Pending, Torn, SCATTERED_BYTES, WINDOW_BYTES};
use super::segment::Segment;
use super::{Address, FileId, IoFailure, Log, LogEffect, LogError, Memory};

/// What somebody may expect who waits for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It is in memory.
    Here,
    /// A read is under way that will bring it, or whose run goes on as far as that, or it has been put off until the next
    /// round.
    Coming,
    /// Nobody reads it: it has to be asked for, perhaps again.
    Unasked,
}

impl<M: Memory> Log<M> {
    /// What becomes of a message for which `fetch` had to have something read.
    pub fn outlook(&self, address: Address) -> Outlook {
        let (page, start) = (address.page(), address.block().0);
        if page >= self.batch.start() / PAGE_BYTES as u64 || self.cache.contains(page) {
            Outlook::Here
        } else if self.readback.brings(start) {
            Outlook::Coming
        } else {
            Outlook::Unasked
        }
    }

    /// Asks for the message at `address`, which is going to be fetched soon, unlike its neighbours:
    /// of those that are wanted in another order than that of the log. Asking for several at once
    /// lets their reads go side by side.
    pub fn prefetch(&mut self, address: Address, length: u32) {
        let page = address.page();
        if page < self.batch.start() / PAGE_BYTES as u64 && !self.cache.contains(page) {
            self.ask_for(address.block().0, needed(address, length), true, false);
        }
    }

    /// Asks for the block of `address` as far as the end of the record of `length` octets at least.
    pub(super) fn ask(&mut self, address: Address, length: u32) {
        self.ask_for(address.block().0, needed(address, length), false, false);
    }

    /// As `ask`, however many octets are on their way.
    pub(super) fn insist(&mut self, address: Address, length: u32) {
        self.ask_for(address.block().0, needed(address, length), false, true);
    }

    /// Asks for a record that is going to be wanted soon, unless it is in memory.
    pub(super) fn ask_ahead(&mut self, address: Address, length: u32) {
        let page = address.page();
        if page < self.batch.start() / PAGE_BYTES as u64 && !self.cache.contains(page) {
            self.ask(address, length);
        }
    }

    fn ask_for(&mut self, start: u64, needed: u64, scattered: bool, insists: bool) {
        if self.readback.covers(start, 0) {
            return;
        }
        if let Some(id) = self.readback.reaching(start).filter(|_| !scattered) {
            // What lies between is going to be wanted as well: it goes on, or begins to.
            if let Some(run) = self.readback.run(id) {
                run.goes_on = true;
                run.wanted = run.wanted.max(start + needed).max(run.next + 1);
            }
            self.read_on(id, insists);
            let goes_on = self.readback.run(id).is_some_and(|run| run.goes_on);
            self.readback.rest(id);
            let is_to_come = !self.readback.is_empty() || self.readback.is_put_off();
            let is_near = goes_on && is_to_come && !insists;
            if is_near || self.readback.covers(start, 0) {
                return;
            }
        }
        let id = self.readback.begin(start, scattered);
        let wanted = if scattered { SCATTERED_BYTES } else { WINDOW_BYTES };
        if !self.ask_next(id, wanted.max(needed), insists) {
            self.readback.forget(id);
        }
        self.readback.rest(id);
    }

    /// Somebody has come to the block at `page` of what a run has read: when that is more than its beginning, the run
    /// goes on.
    pub(super) fn looked_at(&mut self, window: &Window<M::Buffer>, page: u64) {
        let id = window.run.get();
        let goes_on = self.readback.run(id).is_some_and(|run| run.goes_on);
        let middle = (window.first_page + window.end / PAGE_BYTES as u64) / 2;
        if !goes_on && (page == window.first_page || page < middle) {
            return;
        }
        window.run.set(0);
        self.readback.looked_at(id);
        self.read_on(id, false);
        self.readback.rest(id);
    }

    /// Says whether others have still to have their turn before those who have had theirs should read on. Without being
    /// told the log takes it that there are none.
    #[inline]
    pub fn set_round_open(&mut self, is_open: bool) {
        self.readback.set_round_open(is_open);
    }

    /// Everybody who could go on has had his turn: what was put off is asked for. True: who waits should look again,
    /// because something has changed and nothing is under way that would have him look when it comes. If he were to look
    /// while reads are under way, he might find no room for one more, be put off again, and go on so until one is over.
    pub fn next_round(&mut self) -> bool {
        let Some(runs) = self.readback.next_round() else { return false };
        for id in runs {
            self.read_on(id, true);
            self.readback.rest(id);
        }
        self.readback.is_empty()
    }

    /// Something that is wanted is put off until the [next round](Log::next_round).
    pub fn awaits_round(&self) -> bool {
        self.readback.is_put_off()
    }

    /// Asks for what the run comes to next, as much as may be, and if it `insists` all that is wanted.
    fn read_on(&mut self, id: u64, insists: bool) {
        let insists = insists || !self.readback.is_round_open();
        loop {
            let Some(run) = self.readback.run(id) else { return };
            let (next, length) = (run.next, run.length);
            let is_waited_for = next < run.wanted;
            let goes_on = is_waited_for || run.goes_on;
            if !goes_on {
                return;
            }
            let Some(place) = self.place_from(next, true) else { return };
            let page = place.start / PAGE_BYTES as u64;
            if self.cache.contains(page) || self.readback.covers(place.start, id) {
                // Who goes on from there finds it in memory, or has it read by another run.
                return self.readback.end(id);
            }
            let may_go_on = is_waited_for && insists || self.readback.may_go_ahead(id, length);
            if !may_go_on {
                if is_waited_for {
                    self.readback.put_off();
                }
                return;
            }
            if !self.ask_at(id, place, length, false) {
                return;
            }
        }
    }

    /// Asks for so many octets of what the run comes to next, if there are as many. False: that is too much for now, or
    /// there is nothing.
    fn ask_next(&mut self, id: u64, length: u64, insists: bool) -> bool {
        let next = self.readback.run(id).map(|run| run.next);
        let place = next.and_then(|next| self.place_from(next, false));
        place.is_some_and(|place| self.ask_at(id, place, length, insists))
    }

    fn ask_at(&mut self, id: u64, place: Place, length: u64, insists: bool) -> bool {
        let Place { segment, file, start, limit } = place;
        let length = (limit - start).min(length) as usize;
        if !insists && !self.readback.has_room(length) {
            return false;
        }
        self.ticket += 1;
        let ticket = self.ticket;
        let offset = self.geometry.offset(start);
        self.reads.push_back(LogEffect::Read { ticket, file, offset, length });
        self.readback.push(id, Pending { ticket, segment, start, length, limit });
        true
    }

    /// Where what can be read from `position` on lies, in a later segment if `goes_on`.
    fn place_from(&self, position: u64, goes_on: bool) -> Option<Place> {
        let durable = self.commit.durable();
        let place = |segment: &Segment| {
            let limit = segment.sealed_end.map_or(durable, |end| end.min(durable));
            let start = position.max(self.geometry.start(segment.number) + PAGE_BYTES as u64);
            (start < limit).then_some(Place {
                segment: segment.number,
                file: segment.file,
                start,
                limit,
            })
        };
        let number = self.geometry.segment_of(position);
        let here = self.segments.get(number).and_then(place);
        if here.is_some() || !goes_on {
            return here;
        }
        self.segments.iter().find(|segment| segment.number > number).and_then(place)
    }

    /// Octets of a read have come: what is whole in them goes into the cache.
    pub(super) fn read_done(&mut self, ticket: u64, buffer: M::Buffer) -> Result<(), LogError> {
        if let Some(read) = self.copying.take_read(ticket) {
            return self.copy_read_done(&read, buffer);
        }
        let Some(id) = self.readback.arrived(ticket, Some(buffer)) else { return Ok(()) };
        self.assemblies.read_done();
        self.take_arrived(id)
    }

    fn take_arrived(&mut self, id: u64) -> Result<(), LogError> {
        // In the order in which they were asked for.
        while let Some((read, buffer)) = self.readback.next_arrived(id) {
            self.take_in(id, &read, buffer)?;
        }
        self.read_on(id, false);
        self.readback.rest(id);
        Ok(())
    }

    fn take_in(
        &mut self,
        id: u64,
        read: &Pending,
        buffer: Option<M::Buffer>,
    ) -> Result<(), LogError> {
        let torn = self.readback.run(id).and_then(|run| run.torn.take());
        // Recycled meanwhile: nobody wants it, and the file may hold something else by now.
        let (Some(segment), Some(buffer)) = (self.segments.get(read.segment), buffer) else {
            self.readback.note_done(id, read.end(), None);
            return Ok(());
        };
        let (file, first_page) = (segment.file, read.start / PAGE_BYTES as u64);
        let octets = &buffer.as_ref()[..buffer.as_ref().len().min(read.length)];
        let mut at = 0;
        if let Some(mut torn) = torn.filter(|torn| torn.goes_on_at() == read.start) {
            at = torn.add(octets);
            if !torn.is_whole() {
                if octets.len() < read.length {
                    return Err(self.rot(file, read, at, "the file ends too early"));
                }
                if let Some(run) = self.readback.run(id) {
                    run.torn = Some(torn);
                }
                return Ok(());
            }
            self.take_in_torn(id, (file, read.limit), torn)?;
        }
        let rest = read.behind(at);
        if rest.length == 0 {
            return Ok(());
        }
        let whole = self.whole_blocks(file, &rest, &octets[at..])?.unwrap_or(0);
        let end = rest.start + whole as u64;
        let torn = self.begin_torn(id, (file, &rest), whole, &octets[at..])?;
        let window = (whole > 0).then(|| {
            let page = rest.start / PAGE_BYTES as u64;
            let window = Window::read(Rc::new(buffer), first_page, page, end, id);
            self.cache.insert(window, self.commit.durable())
        });
        self.readback.note_done(id, end, window);
        if let Some(run) = self.readback.run(id) {
            run.torn = torn;
        }
        Ok(())
    }

    /// A block is whole that two reads or more have brought.
    fn take_in_torn(
        &mut self,
        id: u64,
        (file, limit): (FileId, u64),
        torn: Torn<M::Buffer>,
    ) -> Result<(), LogError> {
        let Torn { start, buffer, length, .. } = torn;
        let segment = self.geometry.segment_of(start);
        let read = Pending { ticket: 0, segment, start, length, limit };
        if self.whole_blocks(file, &read, buffer.as_ref())? != Ok(length) {
            return Err(self.rot(file, &read, 0, "a block of another length than it had"));
        }
        let (page, end) = (start / PAGE_BYTES as u64, start + length as u64);
        let window = Window::read(Rc::new(buffer), page, page, end, id);
        let window = self.cache.insert(window, self.commit.durable());
        self.readback.note_done(id, end, Some(window));
        Ok(())
    }

    /// The block that `octets` end in, behind the first `whole` of them, if the run goes on to its end.
    fn begin_torn(
        &mut self,
        id: u64,
        (file, read): (FileId, &Pending),
        whole: usize,
        octets: &[u8],
    ) -> Result<Option<Torn<M::Buffer>>, LogError> {
        let (start, octets) = (read.start + whole as u64, &octets[whole..]);
        if octets.is_empty() {
            return Ok(None);
        }
        let header = claimed(octets, start, Some(self.stamp.log));
        let length = match header {
            Ok(header) => header.length.get() as usize,
            Err(_) => return Err(self.rot(file, read, whole, "no block where one should start")),
        };
        if start + length as u64 > read.limit {
            return Err(self.rot(file, read, whole, "a block longer than what was written"));
        }
        let Some(run) = self.readback.run(id) else { return Ok(None) };
        if run.is_fresh() {
            // Nobody would get further than this otherwise.
            run.wanted = run.wanted.max(start + length as u64);
        }
        if !run.goes_on && run.wanted <= run.next && !run.is_under_way() {
            return Ok(None);
        }
        Ok(Some(Torn::new(start, self.memory.allocate(length), length, octets)))
    }

    fn rot(&self, file: FileId, read: &Pending, at: usize, what: &'static str) -> LogError {
        let offset = self.geometry.offset(read.start) + at as u64;
        LogError::Rot { file: file.0, offset, durable: read.limit, what }
    }

    /// Octets of the whole blocks that a read from `file` has brought; `Err`: octets that the
    /// first one has, if there are not enough of them.
    pub(super) fn whole_blocks(
        &self,
        file: FileId,
        read: &Pending,
        octets: &[u8],
    ) -> Result<Result<usize, usize>, LogError> {
        let octets = &octets[..octets.len().min(read.length)];
        let mut at = 0;
        while at < octets.len() {
            match Block::open(&octets[at..], read.start + at as u64, Some(self.stamp.log)) {
                Ok(block) => at += block.length(),
                Err(Defect::Cut(_)) if octets.len() < read.length => {
                    return Err(self.rot(file, read, at, "the file ends too early"));
                }
                Err(Defect::Cut(_)) if at > 0 => break,
                Err(Defect::Cut(needed)) => {
                    if read.start + needed as u64 > read.limit {
                        return Err(self.rot(
                            file,
                            read,
                            at,
                            "a block longer than what was written",
                        ));
                    }
                    return Ok(Err(needed));
                }
                Err(Defect::Bad(what)) => return Err(self.rot(file, read, at, what)),
            }
        }
        match at {
            0 => Err(self.rot(file, read, 0, "the file ends too early")),
            _ => Ok(Ok(at)),
        }
    }

    pub(super) fn read_failed(&mut self, ticket: u64, error: IoFailure) -> Result<(), LogError> {
        let read = self.copying.take_read(ticket).or_else(|| self.readback.pending(ticket));
        let Some(read) = read else { return Ok(()) };
        let Some(segment) = self.segments.get(read.segment) else {
            // It was recycled meanwhile.
            return match self.readback.arrived(ticket, None) {
                Some(id) => self.take_arrived(id),
                None => Ok(()),
            };
        };
        let offset = self.geometry.offset(read.start);
        Err(LogError::Read { file: segment.file.0, offset, error })
    }
}

/// Where something can be read.
struct Place {
    segment: u32,
    file: FileId,
    start: u64,
    /// Position up to which blocks are known to be there.
    limit: u64,
}

/// Octets from the start of the block of `address` to the end of the record of `length` octets.
fn needed(address: Address, length: u32) -> u64 {
    whole_pages(address.offset() + length as usize).max(PAGE_BYTES) as u64
}
