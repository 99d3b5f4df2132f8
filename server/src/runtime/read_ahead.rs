//! Reading ahead of recovery: several reads are under way while it looks at what came before.
//!
//! Lives on the shard's thread during the start. Recovery says what it will probably want; what
//! it then wants is put together from the reads that have it.

use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

use glommio::io::DmaBuffer;
use glommio::Task;
use haremq_engine::log::{FileId, IoFailure, RecoveryRead};

use super::segments::Segments;

/// One read, under way or done.
struct Span {
    file: FileId,
    offset: u64,
    length: usize,
    state: State,
}

enum State {
    UnderWay(Task<Result<DmaBuffer, IoFailure>>),
    Done(DmaBuffer),
}

impl Span {
    fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
    fn has(&self, file: FileId, offset: u64) -> bool {
        self.file == file && (self.offset..self.end()).contains(&offset)
    }
    fn is(&self, read: &RecoveryRead) -> bool {
        (self.file, self.offset, self.length) == (read.file, read.offset, read.length)
    }
    fn octets(&self) -> &[u8] {
        match &self.state {
            State::Done(buffer) => &buffer.as_bytes()[..buffer.len().min(self.length)],
            State::UnderWay(_) => &[],
        }
    }
}

/// See the module.
pub struct ReadAhead {
    segments: Rc<Segments>,
    spans: VecDeque<Span>,
    /// A read that no single span has.
    joined: Vec<u8>,
}

impl ReadAhead {
    /// Nothing is under way.
    pub fn new(segments: Rc<Segments>) -> Self {
        ReadAhead { segments, spans: VecDeque::new(), joined: Vec::new() }
    }

    fn begin(&mut self, read: RecoveryRead) {
        let segments = self.segments.clone();
        let RecoveryRead { file, offset, length } = read;
        let task = glommio::spawn_local(async move { segments.read(file, offset, length).await });
        self.spans.push_back(Span { file, offset, length, state: State::UnderWay(task) });
    }

    /// The octets of `read`, fewer only at the end of the file; `later` are the reads that are
    /// expected behind it.
    ///
    /// # Errors
    /// What the operating system said of a failed read.
    pub async fn read(
        &mut self,
        read: RecoveryRead,
        later: Vec<RecoveryRead>,
    ) -> Result<&[u8], IoFailure> {
        let end = read.offset + read.length as u64;
        self.spans.retain(|span| {
            let is_wanted = span.file == read.file && span.end() > read.offset && span.offset < end;
            is_wanted || later.iter().any(|later| span.is(later))
        });
        if self.pieces(&read).is_none() {
            self.begin(read);
        }
        for later in later {
            if !self.spans.iter().any(|span| span.is(&later)) {
                self.begin(later);
            }
        }
        let pieces = self.pieces(&read).unwrap_or_default();
        for (index, _) in &pieces {
            self.finish(*index).await?;
        }
        let octets = |(index, range): &(usize, Range<usize>)| {
            let octets = self.spans[*index].octets();
            &octets[range.start.min(octets.len())..range.end.min(octets.len())]
        };
        if let [piece] = pieces.as_slice() {
            return Ok(octets(piece));
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        for piece in &pieces {
            joined.extend_from_slice(octets(piece));
        }
        self.joined = joined;
        Ok(&self.joined)
    }

    /// Which parts of which spans make up the read, if they do.
    fn pieces(&self, read: &RecoveryRead) -> Option<Vec<(usize, Range<usize>)>> {
        let end = read.offset + read.length as u64;
        let mut pieces = Vec::new();
        let mut at = read.offset;
        while at < end {
            let reach = |(_, span): &(usize, &Span)| span.end();
            let having = self.spans.iter().enumerate().filter(|(_, span)| span.has(read.file, at));
            let (index, span) = having.max_by_key(reach)?;
            let to = span.end().min(end);
            pieces.push((index, (at - span.offset) as usize..(to - span.offset) as usize));
            at = to;
        }
        Some(pieces)
    }

    async fn finish(&mut self, index: usize) -> Result<(), IoFailure> {
        let span = &mut self.spans[index];
        if let State::UnderWay(task) = &mut span.state {
            let buffer = task.await?;
            span.state = State::Done(buffer);
        }
        Ok(())
    }
}
