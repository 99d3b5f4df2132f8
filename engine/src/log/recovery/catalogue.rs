//! The files of the directory, by what their first pages say.

use zerocopy::little_endian::U32;
use zerocopy::FromBytes;

use super::{RecoveryRead, SegmentFile};
use crate::ids::ShardId;
use crate::log::format::{FileHeader, FILE_MAGIC, PAGE_BYTES, VERSION};
use crate::log::geometry::Geometry;
use crate::log::{FileId, LogError};

/// Headers that may be on their way beside the one that is waited for.
const HEADERS_AHEAD: usize = 16;

#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    /// Not read (too short for a header, or its turn has not come).
    Unread,
    /// Made, and never used; or its header has been cleared, see `evidence`.
    Blank,
    Damaged(&'static str),
    Segment(FileHeader),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub file: FileId,
    pub bytes: u64,
    pub content: Content,
}

#[derive(Debug)]
pub(super) struct Catalogue {
    shard: ShardId,
    files: Vec<Listed>,
    /// Index of the file whose header is read next.
    next: usize,
}

/// The newest segment, and what all files agree about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Newest {
    pub file: FileId,
    pub header: FileHeader,
    pub geometry: Geometry,
    /// Highest epoch of any file header.
    pub epoch: u32,
}

impl Catalogue {
    pub(super) fn new(shard: ShardId, files: Vec<SegmentFile>) -> Self {
        let listed = |SegmentFile { file, bytes }| Listed { file, bytes, content: Content::Unread };
        let mut catalogue =
            Catalogue { shard, files: files.into_iter().map(listed).collect(), next: 0 };
        catalogue.skip_short();
        catalogue
    }

    fn skip_short(&mut self) {
        let is_short = |listed: &Listed| listed.bytes < PAGE_BYTES as u64;
        while self.files.get(self.next).is_some_and(is_short) {
            self.next += 1;
        }
    }

    pub(super) fn next_read(&self) -> Option<RecoveryRead> {
        let file = self.files.get(self.next)?.file;
        Some(RecoveryRead { file, offset: 0, length: PAGE_BYTES })
    }

    pub(super) fn read_ahead(&self) -> Vec<RecoveryRead> {
        let later = self.files.iter().skip(self.next + 1).take(HEADERS_AHEAD);
        let header =
            |listed: &Listed| RecoveryRead { file: listed.file, offset: 0, length: PAGE_BYTES };
        later.map(header).collect()
    }

    pub(super) fn supply(&mut self, octets: &[u8]) -> Result<(), LogError> {
        let shard = self.shard;
        let Some(listed) = self.files.get_mut(self.next) else { return Ok(()) };
        listed.content = read_header(octets, listed.file, shard)?;
        self.next += 1;
        self.skip_short();
        Ok(())
    }

    fn segments(&self) -> impl Iterator<Item = (&Listed, &FileHeader)> {
        self.files.iter().filter_map(|listed| match &listed.content {
            Content::Segment(header) => Some((listed, header)),
            _ => None,
        })
    }

    /// All headers have been read. `None`: the log holds nothing yet.
    pub(super) fn newest(&self) -> Result<Option<Newest>, LogError> {
        let newest = self.segments().max_by_key(|(_, header)| header.segment.get());
        let Some((listed, header)) = newest else { return self.nothing() };
        let Some(geometry) = Geometry::new(header.segment_bytes.get()) else {
            return Err(self.foreign(listed.file, "its segment size is impossible"));
        };
        for (other, claim) in self.segments() {
            if claim.log != header.log {
                return Err(self.foreign(other.file, "it belongs to another log"));
            }
            if claim.segment_bytes != header.segment_bytes {
                return Err(self.foreign(other.file, "its segment size is not that of the others"));
            }
            if !geometry.holds(claim.segment.get()) {
                return Err(self.foreign(other.file, "its segment number is impossible"));
            }
            if claim.segment == header.segment && other.file != listed.file {
                return Err(self.foreign(other.file, "another file holds the same segment"));
            }
        }
        if !follows(header, geometry) {
            return Err(self.foreign(listed.file, "it does not follow any segment"));
        }
        let epoch = self.segments().map(|(_, header)| header.epoch.get()).max().unwrap_or(0);
        Ok(Some(Newest { file: listed.file, header: *header, geometry, epoch }))
    }

    fn nothing(&self) -> Result<Option<Newest>, LogError> {
        match self.damaged().next() {
            None => Ok(None),
            Some((file, what)) => Err(self.foreign(file.file, what)),
        }
    }

    fn foreign(&self, file: FileId, what: &'static str) -> LogError {
        LogError::Foreign { file: file.0, shard: self.shard.0, what }
    }

    /// Files whose header says nothing.
    pub(super) fn damaged(&self) -> impl Iterator<Item = (&Listed, &'static str)> {
        self.files.iter().filter_map(|listed| match listed.content {
            Content::Damaged(what) => Some((listed, what)),
            _ => None,
        })
    }

    /// No file has a good header, and this one has a damaged one.
    pub(super) fn headless(&self) -> Option<FileId> {
        let is_bare = self.segments().next().is_none();
        self.damaged().next().filter(|_| is_bare).map(|(listed, _)| listed.file)
    }

    /// Files without a header that may have been in use, if segments have that size.
    pub(super) fn blank(&self, segment_bytes: u64) -> impl Iterator<Item = FileId> + '_ {
        let is_blank = move |listed: &&Listed| {
            matches!(listed.content, Content::Blank) && listed.bytes >= segment_bytes
        };
        self.files.iter().filter(is_blank).map(|listed| listed.file)
    }

    /// Size of the largest file.
    pub(super) fn largest(&self) -> u64 {
        self.files.iter().map(|listed| listed.bytes).max().unwrap_or(0)
    }

    /// The file that holds the segment.
    pub(super) fn holding(&self, segment: u32) -> Option<(FileId, &FileHeader)> {
        self.segments()
            .find(|(_, header)| header.segment.get() == segment)
            .map(|(listed, header)| (listed.file, header))
    }

    /// Files that hold segments.
    pub(super) fn all(&self) -> impl Iterator<Item = (FileId, &FileHeader)> {
        self.segments().map(|(listed, header)| (listed.file, header))
    }

    /// The segment that the file holds.
    pub(super) fn segment_in(&self, file: FileId) -> Option<u32> {
        match self.get(file)?.content {
            Content::Segment(header) => Some(header.segment.get()),
            _ => None,
        }
    }

    /// What is wrong with the file's header.
    pub(super) fn what(&self, file: FileId) -> Option<&'static str> {
        match self.get(file)?.content {
            Content::Damaged(what) => Some(what),
            Content::Blank => Some("its first page has been cleared"),
            _ => None,
        }
    }

    pub(super) fn get(&self, file: FileId) -> Option<&Listed> {
        self.files.iter().find(|listed| listed.file == file)
    }

    pub(super) fn highest(&self) -> Option<FileId> {
        self.files.iter().map(|listed| listed.file).max()
    }

    /// Files that `is_live` does not claim: those of full size, and those that are not.
    pub(super) fn unused(
        &self,
        segment_bytes: u64,
        is_live: impl Fn(FileId) -> bool,
    ) -> (Vec<FileId>, Vec<FileId>) {
        let unused = self.files.iter().filter(|listed| !is_live(listed.file));
        let (free, broken): (Vec<_>, Vec<_>) =
            unused.partition(|listed| listed.bytes >= segment_bytes);
        let files = |listed: Vec<&Listed>| listed.into_iter().map(|listed| listed.file).collect();
        (files(free), files(broken))
    }
}

/// The first segment follows none, any other one follows one that ends before it.
fn follows(header: &FileHeader, geometry: Geometry) -> bool {
    let (segment, end) = (header.segment.get(), header.previous_end.get());
    match segment.checked_sub(1) {
        None => end == 0,
        Some(previous) => {
            end > geometry.start(previous)
                && end <= geometry.start(segment)
                && end.is_multiple_of(PAGE_BYTES as u64)
        }
    }
}

fn read_header(octets: &[u8], file: FileId, shard: ShardId) -> Result<Content, LogError> {
    let Ok((header, _)) = FileHeader::read_from_prefix(octets) else {
        return Ok(Content::Damaged("it is too short for a segment header"));
    };
    if octets.iter().all(|octet| *octet == 0) {
        return Ok(Content::Blank);
    }
    if header.magic != FILE_MAGIC {
        return Ok(Content::Damaged("its first page is no segment header"));
    }
    let version = header.version.get();
    let of_ours = FileHeader { version: U32::new(VERSION), ..header };
    if version > VERSION && of_ours.sum() != header.checksum.get() {
        return Err(LogError::NewerVersion { file: file.0, version, known: VERSION });
    }
    if header.sum() != header.checksum.get() {
        return Ok(Content::Damaged("the checksum of its segment header is wrong"));
    }
    if header.shard.get() != shard.0 {
        let what = "its header names another shard";
        return Err(LogError::Foreign { file: file.0, shard: shard.0, what });
    }
    Ok(Content::Segment(header))
}
