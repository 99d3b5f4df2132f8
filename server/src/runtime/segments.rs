//! A shard's segment files: `<number>.segment` in the shard's directory.
//!
//! Written through O_DIRECT and O_DSYNC descriptors, so that a completed write is on stable
//! storage. A file gets its name only when it has been written out in full and synced; what a
//! crash leaves of an unfinished one is removed at the next start.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use glommio::io::{Directory, DmaBuffer, DmaFile, OpenOptions};
use glommio::GlommioError;
use haremq_engine::log::{FileId, IoFailure, LogCompletion, LogEffect, SegmentFile};
use rustc_hash::FxHashMap;
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::StartError;

const SUFFIX: &str = ".segment";
const UNFINISHED_SUFFIX: &str = ".segment.new";
/// One write when a new file is filled.
const FILL_BYTES: usize = 1 << 20;

/// The open files. One per shard, shared by the tasks that carry out its log effects.
pub(super) struct Segments {
    dir: PathBuf,
    files: RefCell<FxHashMap<FileId, Rc<DmaFile>>>,
    /// Octets of all files.
    bytes: Cell<u64>,
}

impl Segments {
    /// Opens every segment file of the directory.
    pub(super) async fn open(dir: PathBuf) -> Result<(Segments, Vec<SegmentFile>), StartError> {
        let segments = Segments { dir, files: RefCell::default(), bytes: Cell::new(0) };
        check_direct_io(&segments.dir).await?;
        let mut found = Vec::new();
        for (file, bytes) in scan(&segments.dir)? {
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
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Carries out one effect of the log.
    pub(super) async fn perform(&self, effect: LogEffect<DmaBuffer>) -> LogCompletion<DmaBuffer> {
        let (ticket, result) = match effect {
            LogEffect::Write { ticket, file, offset, buffer, length } => {
                let written = self.write(file, offset, buffer, length).await;
                (ticket, written.map(|()| LogCompletion::Written { ticket }))
            }
            LogEffect::Create { ticket, file, bytes } => {
                let created = self.create(file, bytes).await;
                (ticket, created.map(|()| LogCompletion::Created { ticket }))
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
        Ok(file.read_at_aligned(offset, length).await.map_err(failure)?.into())
    }

    async fn write(
        &self,
        file: FileId,
        offset: u64,
        buffer: Rc<DmaBuffer>,
        length: usize,
    ) -> Result<(), IoFailure> {
        let file = self.file(file)?;
        let written = if buffer.len() == length {
            file.write_rc_at(buffer, offset).await
        } else {
            // The executor writes whole buffers only, and a shared one cannot be cut.
            let mut part = glommio::allocate_dma_buffer_global(length);
            part.as_bytes_mut().copy_from_slice(&buffer.as_bytes()[..length]);
            drop(buffer);
            file.write_at(part, offset).await
        };
        match written.map_err(failure)? {
            written if written == length => Ok(()),
            // A device that takes less than it was given is full or broken.
            written => Err(IoFailure {
                code: None,
                text: format!("only {written} of {length} octets were written"),
            }),
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
            0 => return Err(IoFailure { code: None, text: "the device takes no more".into() }),
            written => offset += written as u64,
        }
    }
    file.fdatasync().await.map_err(failure)
}

async fn open(path: &Path) -> Result<DmaFile, IoFailure> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::DSYNC.bits() as i32)
        .dma_open(path)
        .await
        .map_err(failure)
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
        } else {
            tracing::warn!(path = %path.display(), "not a segment file, left alone");
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::LocalExecutorBuilder;

    fn scratch(name: &str) -> PathBuf {
        // Not the system's temporary directory, which may be in memory.
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target/segment-tests")
            .join(format!("{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn run<T>(future: impl std::future::Future<Output = T>) -> T {
        LocalExecutorBuilder::default().make().unwrap().run(future)
    }

    fn page(octet: u8, bytes: usize) -> DmaBuffer {
        let mut buffer = glommio::allocate_dma_buffer_global(bytes);
        buffer.as_bytes_mut().fill(octet);
        buffer
    }

    #[test]
    fn what_was_written_is_read_back_after_a_restart() {
        let dir = scratch("restart");
        run(async {
            let (segments, found) = Segments::open(dir.clone()).await.unwrap();
            assert!(found.is_empty());
            let create = LogEffect::Create { ticket: 1, file: FileId(7), bytes: 3 << 20 };
            let done = segments.perform(create).await;
            assert!(matches!(done, LogCompletion::Created { ticket: 1 }), "{done:?}");
            for (ticket, offset, length) in [(2, 8192, 4096), (3, 65_536, 16_384)] {
                let effect = LogEffect::Write {
                    ticket,
                    file: FileId(7),
                    offset,
                    buffer: Rc::new(page(ticket as u8, 16_384)),
                    length,
                };
                let done = segments.perform(effect).await;
                assert!(matches!(done, LogCompletion::Written { .. }), "{done:?}");
            }
        });
        run(async {
            let (segments, found) = Segments::open(dir).await.unwrap();
            assert_eq!((found.len(), segments.bytes()), (1, 3 << 20));
            assert_eq!((found[0].file, found[0].bytes), (FileId(7), 3 << 20));
            let part = segments.read(FileId(7), 4096, 16_384).await.unwrap();
            let octets = part.as_bytes();
            assert!(octets[..4096].iter().all(|octet| *octet == 0));
            assert!(octets[4096..8192].iter().all(|octet| *octet == 2));
            assert!(octets[8192..].iter().all(|octet| *octet == 0), "only `length` was written");
            let whole = segments.read(FileId(7), 65_536, 16_384).await.unwrap();
            assert!(whole.as_bytes().iter().all(|octet| *octet == 3));
            let end = segments.read(FileId(7), (3 << 20) - 4096, 16_384).await.unwrap();
            assert_eq!(end.len(), 4096, "shorter only at the end of the file");
        });
    }

    #[test]
    fn an_unfinished_file_is_removed_at_start() {
        let dir = scratch("unfinished");
        fs::write(dir.join("00000003.segment.new"), "half").unwrap();
        fs::write(dir.join("notes.txt"), "kept").unwrap();
        let (_, found) = run(Segments::open(dir.clone())).unwrap();
        assert!(found.is_empty());
        assert!(!dir.join("00000003.segment.new").exists());
        assert!(dir.join("notes.txt").exists());
    }

    #[test]
    fn a_file_system_without_direct_io_is_told_from_one_that_is_broken() {
        let shown = |errno: Errno| {
            let failure = IoFailure { code: Some(errno.raw_os_error()), text: "why".into() };
            refused(Path::new("/data/shard-0/probe.new"), failure).to_string()
        };
        assert!(shown(Errno::INVAL).contains("allows O_DIRECT"));
        assert!(shown(Errno::ROFS).starts_with("cannot use /data/shard-0/probe.new: why"));
    }

    #[test]
    fn a_directory_that_cannot_be_written_is_an_error_that_names_it() {
        let missing = scratch("missing").join("nowhere");
        let error = run(Segments::open(missing)).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("nowhere")));
    }

    #[test]
    fn a_failure_comes_back_with_its_ticket() {
        let dir = scratch("failure");
        run(async {
            let (segments, _) = Segments::open(dir).await.unwrap();
            let read = LogEffect::Read { ticket: 9, file: FileId(1), offset: 0, length: 4096 };
            match segments.perform(read).await {
                LogCompletion::Failed { ticket: 9, error } => {
                    assert!(error.text.contains("00000001.segment"), "{error:?}");
                }
                other => panic!("{other:?}"),
            }
            // No file system holds an exabyte.
            let create = LogEffect::Create { ticket: 10, file: FileId(2), bytes: 1 << 60 };
            match segments.perform(create).await {
                LogCompletion::Failed { ticket: 10, error } => assert!(error.code.is_some()),
                other => panic!("{other:?}"),
            }
        });
    }
}
