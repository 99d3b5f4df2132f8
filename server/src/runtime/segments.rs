//! A shard's segment files: `<number>.segment` in the shard's directory.
//!
//! Written through O_DIRECT and O_DSYNC descriptors, so that a completed write is on stable
//! storage. A file gets its name only when it has been written out in full and synced; what a
//! crash leaves of an unfinished one is removed at the next start.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use glommio::io::{Directory, DmaBuffer, DmaFile, OpenOptions};
use glommio::GlommioError;
use haremq_engine::log::{FileId, IoFailure, LogCompletion, LogEffect, SegmentFile};
use rustc_hash::FxHashMap;
use rustix::fs::{flock, FlockOperation, OFlags};
use rustix::io::Errno;

use super::pages::PageFile;
use super::StartError;

const SUFFIX: &str = ".segment";
const UNFINISHED_SUFFIX: &str = ".segment.new";
/// One write when a new file is filled.
const FILL_BYTES: usize = 1 << 20;
/// How often a file in which an earlier process has something under way is asked for again.
const CLAIM_INTERVAL: Duration = Duration::from_millis(2);
/// How often a file that is to be deleted is looked at, whether a read from it is under way.
const LAST_READ_INTERVAL: Duration = Duration::from_millis(2);

/// The open files. One per shard, shared by the tasks that carry out its log effects.
pub struct Segments {
    dir: PathBuf,
    files: RefCell<FxHashMap<FileId, Rc<DmaFile>>>,
    /// Octets of all files.
    bytes: Cell<u64>,
    /// Size of the buffers that the log collects batches in.
    batch_bytes: usize,
}

impl Segments {
    /// Opens every segment file of the directory. `batch_bytes` is
    /// [`haremq_engine::log::LogConfig::buffer_bytes`].
    ///
    /// # Errors
    /// The directory or a file in it cannot be used.
    pub async fn open(
        dir: PathBuf,
        batch_bytes: usize,
    ) -> Result<(Segments, Vec<SegmentFile>), StartError> {
        let (files, bytes) = (RefCell::default(), Cell::new(0));
        let segments = Segments { dir, files, bytes, batch_bytes };
        let there = scan(&segments.dir)?;
        // Files that are there have been written like that before; a full disk has no room for a probe.
        if there.is_empty() {
            check_direct_io(&segments.dir).await?;
        }
        let mut found = Vec::new();
        for (file, bytes) in there {
            let path = segments.path(file);
            let opened = open(&path).await.map_err(|failure| refused(&path, failure))?;
            segments.files.borrow_mut().insert(file, Rc::new(opened));
            segments.bytes.set(segments.bytes.get() + bytes);
            found.push(SegmentFile { file, bytes });
        }
        Ok((segments, found))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Octets of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Carries out one effect of the log.
    pub async fn perform(&self, effect: LogEffect<DmaBuffer>) -> LogCompletion<DmaBuffer> {
        let (ticket, result) = match effect {
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                let written = self.write(file, offset, buffer, length).await;
                (ticket, written.map(|()| LogCompletion::Written { ticket }))
            }
            LogEffect::Create { ticket, file, bytes } => {
                let created = self.create(file, bytes).await;
                (ticket, created.map(|()| LogCompletion::Created { ticket }))
            }
            LogEffect::Delete { ticket, file } => {
                let deleted = self.delete(file).await;
                (ticket, deleted.map(|()| LogCompletion::Deleted { ticket }))
            }
            LogEffect::Read { ticket, file, offset, length } => {
                let read = self.read(file, offset, length).await;
                (ticket, read.map(|buffer| LogCompletion::Read { ticket, buffer }))
            }
        };
        result.unwrap_or_else(|error| LogCompletion::Failed { ticket, error })
    }

    /// Up to `length` octets; fewer only at the end of the file.
    pub(super) async fn read(
        &self,
        file: FileId,
        offset: u64,
        length: usize,
    ) -> Result<DmaBuffer, IoFailure> {
        let file = self.file(file)?;
        let read = file.read_at_aligned(offset, length).await.map_err(failure)?;
        if read.len() != self.batch_bytes {
            return Ok(read.into());
        }
        // The log may take a buffer of this size for a batch later on, and a read result cannot
        // be written to.
        let mut buffer = glommio::allocate_dma_buffer_global(read.len());
        buffer.as_bytes_mut().copy_from_slice(&read);
        Ok(buffer)
    }

    async fn write(
        &self,
        file: FileId,
        offset: u64,
        buffer: Rc<DmaBuffer>,
        length: usize,
    ) -> Result<(), IoFailure> {
        let file = self.file(file)?;
        // The executor writes whole buffers only: the log has them cut to size before they are
        // shared (`DmaMemory::trim`).
        if buffer.len() != length {
            let text = format!("a buffer of {} octets for a write of {length}", buffer.len());
            return Err(IoFailure { code: None, text });
        }
        let written = file.write_rc_at(buffer, offset).await;
        whole(written.map_err(failure)?, length)
    }

    /// Carries out a write and waits for it: the thread does nothing else meanwhile.
    pub fn write_now(
        &self,
        ticket: u64,
        file: FileId,
        offset: u64,
        octets: &[u8],
    ) -> LogCompletion<DmaBuffer> {
        let written = self.file(file).and_then(|file| {
            let written = rustix::io::pwrite(file.as_fd(), octets, offset).map_err(|errno| {
                IoFailure { code: Some(errno.raw_os_error()), text: errno.to_string() }
            })?;
            whole(written, octets.len())
        });
        match written {
            Ok(()) => LogCompletion::Written { ticket },
            Err(error) => LogCompletion::Failed { ticket, error },
        }
    }

    async fn create(&self, file: FileId, bytes: u64) -> Result<(), IoFailure> {
        let unfinished = self.dir.join(format!("{:08}{UNFINISHED_SUFFIX}", file.0));
        // Without O_DSYNC: one sync at the end instead of one for each write.
        let filled = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .dma_open(&unfinished)
            .await
            .map_err(failure)?;
        let outcome = fill(&filled, bytes).await;
        if outcome.is_ok() {
            filled.rename(self.path(file)).await.map_err(failure)?;
        }
        filled.close().await.map_err(failure)?;
        if let Err(error) = outcome {
            // Give the space back; what matters is the first error.
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        let directory = Directory::open(&self.dir).await.map_err(failure)?;
        directory.sync().await.map_err(failure)?;
        directory.close().await.map_err(failure)?;
        let opened = open(&self.path(file)).await?;
        self.files.borrow_mut().insert(file, Rc::new(opened));
        self.bytes.set(self.bytes.get() + bytes);
        Ok(())
    }

    /// Nothing is lost if a crash undoes it, so the directory is not synced.
    ///
    /// A file system gives the space back when neither a name nor a descriptor is left, in the thread that takes the
    /// last of them away: some tens of milliseconds, where it discards what is freed. So the descriptor goes first, and
    /// the name in the thread that the executor has for such things.
    async fn delete(&self, file: FileId) -> Result<(), IoFailure> {
        let mut held = self.file(file)?;
        let bytes = held.file_size().await.map_err(failure)?;
        self.files.borrow_mut().remove(&file);
        let held = loop {
            held = match Rc::try_unwrap(held) {
                Ok(held) => break held,
                Err(held) => held,
            };
            // What is being read of it is wanted by nobody, but comes all the same.
            glommio::timer::sleep(LAST_READ_INTERVAL).await;
        };
        held.close().await.map_err(failure)?;
        glommio::io::remove(self.path(file)).await.map_err(failure)?;
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        Ok(())
    }

    fn file(&self, file: FileId) -> Result<Rc<DmaFile>, IoFailure> {
        self.files.borrow().get(&file).cloned().ok_or_else(|| IoFailure {
            code: None,
            text: format!("there is no segment file {}", self.path(file).display()),
        })
    }

    pub(super) fn path(&self, file: FileId) -> PathBuf {
        self.dir.join(format!("{:08}{SUFFIX}", file.0))
    }
}

impl Drop for Segments {
    /// Files in which nothing is under way may be had by others in this process, though the executor
    /// closes them later.
    fn drop(&mut self) {
        let files = self.files.get_mut().values();
        for file in files.filter(|file| Rc::strong_count(file) == 1) {
            let _ = flock(file.as_fd(), FlockOperation::Unlock);
        }
    }
}

/// A device that takes less than it was given is full or broken.
fn whole(written: usize, length: usize) -> Result<(), IoFailure> {
    match written == length {
        true => Ok(()),
        false => Err(IoFailure {
            code: None,
            text: format!("only {written} of {length} octets were written"),
        }),
    }
}

/// Zeros, synced.
async fn fill(file: &DmaFile, bytes: u64) -> Result<(), IoFailure> {
    // Better placement and an early answer if the device is full; not every file system can.
    if let Err(error) = file.pre_allocate(bytes, false).await {
        let failure = failure(error);
        if failure.code != Some(Errno::OPNOTSUPP.raw_os_error()) {
            return Err(failure);
        }
    }
    let mut zeros = glommio::allocate_dma_buffer_global(FILL_BYTES);
    zeros.as_bytes_mut().fill(0);
    let zeros = Rc::new(zeros);
    let mut offset = 0;
    while offset < bytes {
        let left = bytes - offset;
        let written = if left >= FILL_BYTES as u64 {
            file.write_rc_at(zeros.clone(), offset).await
        } else {
            let mut rest = glommio::allocate_dma_buffer_global(left as usize);
            rest.as_bytes_mut().fill(0);
            file.write_at(rest, offset).await
        };
        match written.map_err(failure)? {
            0 => {
                let code = Some(Errno::NOSPC.raw_os_error());
                return Err(IoFailure { code, text: "the device takes no more".into() });
            }
            written => offset += written as u64,
        }
    }
    file.fdatasync().await.map_err(failure)
}

async fn open(path: &Path) -> Result<DmaFile, IoFailure> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DSYNC.bits() as i32)
        .dma_open(path)
        .await
        .map_err(failure)?;
    claim(&opened, path).await?;
    Ok(opened)
}

/// Waits until nothing is under way in the file of what an earlier process had asked for.
///
/// A killed process is gone before its writes are: the kernel carries them out later, and one that came
/// after the next start had read the file would go over what that start writes there. Each holds the
/// descriptor that it was asked for with, and so the lock on it.
async fn claim(file: &DmaFile, path: &Path) -> Result<(), IoFailure> {
    let mut has_waited = false;
    loop {
        match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => {
                let text = format!("the file cannot be locked: {errno}");
                return Err(IoFailure { code: Some(errno.raw_os_error()), text });
            }
        }
        if !std::mem::replace(&mut has_waited, true) {
            tracing::info!(path = %path.display(), "waiting for writes of an earlier process to end");
        }
        glommio::timer::sleep(CLAIM_INTERVAL).await;
    }
}

fn failure(error: GlommioError<()>) -> IoFailure {
    match &error {
        GlommioError::IoError(source) => {
            IoFailure { code: source.raw_os_error(), text: source.to_string() }
        }
        GlommioError::EnhancedIoError { source, path, .. } => IoFailure {
            code: source.raw_os_error(),
            text: match path {
                Some(path) => format!("{}: {source}", path.display()),
                None => source.to_string(),
            },
        },
        other => IoFailure { code: None, text: other.to_string() },
    }
}

/// Why a file of the directory could not be opened: the file system's nature, or anything else.
fn refused(path: &Path, failure: IoFailure) -> StartError {
    let unable = [Errno::INVAL, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
    let path = path.to_owned();
    if unable.contains(&failure.code) {
        StartError::DirectIo { path, what: failure.text }
    } else {
        StartError::Segment { path, what: failure.text }
    }
}

/// Finds out now, and in words, whether the file system can do what the log needs.
async fn check_direct_io(dir: &Path) -> Result<(), StartError> {
    let path = dir.join("probe.new");
    let probe = async {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(OFlags::DSYNC.bits() as i32)
            .dma_open(&path)
            .await
            .map_err(failure)?;
        let mut page = glommio::allocate_dma_buffer_global(4096);
        page.as_bytes_mut().fill(0);
        let written = file.write_at(page, 0).await.map_err(failure);
        file.close().await.map_err(failure)?;
        written
    };
    let outcome = probe.await;
    let _ = fs::remove_file(&path);
    outcome.map(|_| ()).map_err(|failure| refused(&path, failure))
}

/// The finished files, by number; unfinished ones are removed.
fn scan(dir: &Path) -> Result<Vec<(FileId, u64)>, StartError> {
    let failed = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| StartError::DataDirIo { what, path, source }
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
        let entry = entry.map_err(failed("read", dir))?;
        let (name, path) = (entry.file_name(), entry.path());
        let Some(name) = name.to_str() else { continue };
        if name.ends_with(UNFINISHED_SUFFIX) {
            fs::remove_file(&path).map_err(failed("remove the unfinished", &path))?;
        } else if let Some(number) = name.strip_suffix(SUFFIX).and_then(|n| n.parse().ok()) {
            let bytes = entry.metadata().map_err(failed("read", &path))?.len();
            found.push((FileId(number), bytes));
        } else if name != PageFile::NAME {
            tracing::warn!(path = %path.display(), "not a segment file, left alone");
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests;
