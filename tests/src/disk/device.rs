//! Serves a disk to the kernel: a FUSE file system with one file, `disk`.

use super::blocks::Blocks;
use super::recording::Recording;
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr,
    ReplyData, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, UNIX_EPOCH};

const DISK: INodeNo = INodeNo(2);
const NAME: &str = "disk";
const PAGE_BYTES: usize = 4096;

/// What a disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It works.
    Nothing,
    /// Every write, with an input/output error.
    Writes,
    /// Every flush, with an input/output error; writes go well.
    Flushes,
    /// Every read, with an input/output error; writes and flushes go well.
    Reads,
}

/// A write that the disk has been given and has not carried out.
#[derive(Debug)]
struct Held {
    offset: u64,
    octets: Box<[u8]>,
    reply: ReplyWrite,
}

#[derive(Debug)]
struct State {
    blocks: Blocks,
    recording: Option<Recording>,
    refusal: Refusal,
    refused: u64,
    octets_per_s_max: Option<u32>,
    /// A request does not wait for the one before it.
    is_side_by_side: bool,
    /// Writes with a page that begins like that are held.
    holds: Option<&'static [u8]>,
    held: Vec<Held>,
}

impl State {
    /// Writes; gives how many octets there was room for.
    fn write(&mut self, offset: u64, octets: &[u8]) -> u32 {
        let written = self.blocks.write(offset, octets);
        if let Some(recording) = &mut self.recording {
            recording.write(offset, &octets[..written]);
        }
        u32::try_from(written).expect("a write is short")
    }

    fn is_to_be_held(&self, octets: &[u8]) -> bool {
        self.holds
            .is_some_and(|start| octets.chunks(PAGE_BYTES).any(|page| page.starts_with(start)))
    }
}

/// A disk; copies of the handle are the same disk.
#[derive(Debug, Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// A disk with these contents.
    pub fn new(blocks: Blocks) -> Disk {
        let refusal = Refusal::Nothing;
        let state = State {
            blocks,
            recording: None,
            refusal,
            refused: 0,
            octets_per_s_max: None,
            is_side_by_side: false,
            holds: None,
            held: Vec::new(),
        };
        Disk { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of a disk panics")
    }

    /// A copy of what is on it.
    pub fn blocks(&self) -> Blocks {
        self.lock().blocks.clone()
    }

    /// Records from now on.
    pub fn record(&self) {
        let mut state = self.lock();
        state.recording = Some(Recording::new(state.blocks.clone()));
    }

    /// How many requests have been recorded.
    pub fn recorded(&self) -> usize {
        self.lock().recording.as_ref().map_or(0, Recording::length)
    }

    /// Ends recording and gives it.
    pub fn take_recording(&self) -> Recording {
        self.lock().recording.take().expect("the disk records")
    }

    /// Refuses from now on.
    pub fn refuse(&self, refusal: Refusal) {
        self.lock().refusal = refusal;
    }

    /// Writes no faster than that from now on; `None`: as fast as it can.
    pub fn slow_down(&self, octets_per_s_max: Option<u32>) {
        self.lock().octets_per_s_max = octets_per_s_max;
    }

    /// When it is served the next time, it is given requests side by side: one that takes its time keeps no other one
    /// waiting.
    pub fn serve_side_by_side(&self) {
        self.lock().is_side_by_side = true;
    }

    /// From now on takes its time with writes that have a page that begins with `start`: they are under way until
    /// [`Disk::carry_out_held`]. `None`: those that come from now on are carried out at once.
    pub fn hold(&self, start: Option<&'static [u8]>) {
        self.lock().holds = start;
    }

    /// How many writes are held.
    pub fn held(&self) -> usize {
        self.lock().held.len()
    }

    /// Carries out the writes that are held.
    pub fn carry_out_held(&self) {
        let mut state = self.lock();
        for Held { offset, octets, reply } in std::mem::take(&mut state.held) {
            reply.written(state.write(offset, &octets));
        }
    }

    /// How many requests it has refused.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Serves the disk as `DIRECTORY/disk`, for as long as the result lives.
    pub fn serve(&self, directory: &Path) -> std::io::Result<Served> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("haremq-test-disk".into())];
        let session = fuser::spawn_mount(Service { disk: self.clone() }, directory, &config)?;
        Ok(Served { file: directory.join(NAME), session: Some(session) })
    }
}

/// A disk that the kernel can reach.
#[derive(Debug)]
pub struct Served {
    file: PathBuf,
    session: Option<BackgroundSession>,
}

impl Served {
    /// The disk as a file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.session.take().map(BackgroundSession::umount_and_join) {
            eprintln!("{} is still in use: {error}", self.file.display());
        }
    }
}

struct Service {
    disk: Disk,
}

impl Service {
    fn attributes(&self, node: INodeNo) -> FileAttr {
        let size = if node == DISK { self.disk.lock().blocks.octets() } else { 0 };
        FileAttr {
            ino: node,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if node == DISK { FileType::RegularFile } else { FileType::Directory },
            perm: if node == DISK { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

const VALID: Duration = Duration::from_secs(3600);

impl Filesystem for Service {
    fn init(&mut self, _request: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        if self.disk.lock().is_side_by_side {
            let refused = |flags| std::io::Error::other(format!("the kernel lacks {flags:?}"));
            config.add_capabilities(InitFlags::FUSE_ASYNC_DIO).map_err(refused)?;
        }
        Ok(())
    }

    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if parent == INodeNo::ROOT && name == NAME {
            reply.entry(&VALID, &self.attributes(DISK), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(
        &self,
        _request: &Request,
        node: INodeNo,
        _file: Option<FileHandle>,
        reply: ReplyAttr,
    ) {
        reply.attr(&VALID, &self.attributes(node));
    }

    fn open(&self, _request: &Request, _node: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        // Without the page cache: a write is told when it is made.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _request: &Request,
        _node: INodeNo,
        _file: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = self.disk.lock();
        if state.refusal == Refusal::Reads {
            state.refused += 1;
            return reply.error(Errno::EIO);
        }
        reply.data(&state.blocks.read(offset, size as usize));
    }

    fn write(
        &self,
        _request: &Request,
        _node: INodeNo,
        _file: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut state = self.disk.lock();
        if state.refusal == Refusal::Writes {
            state.refused += 1;
            return reply.error(Errno::EIO);
        }
        if state.is_to_be_held(data) {
            state.held.push(Held { offset, octets: data.into(), reply });
            return;
        }
        let written = state.write(offset, data);
        let octets_per_s_max = state.octets_per_s_max;
        drop(state);
        if let Some(octets_per_s_max) = octets_per_s_max {
            let seconds = data.len() as f64 / f64::from(octets_per_s_max);
            std::thread::sleep(Duration::from_secs_f64(seconds));
        }
        reply.written(written);
    }

    fn fsync(
        &self,
        _request: &Request,
        _node: INodeNo,
        _file: FileHandle,
        _datasync: bool,
        reply: ReplyEmpty,
    ) {
        let mut state = self.disk.lock();
        if matches!(state.refusal, Refusal::Writes | Refusal::Flushes) {
            state.refused += 1;
            return reply.error(Errno::EIO);
        }
        if let Some(recording) = &mut state.recording {
            recording.flush();
        }
        reply.ok();
    }
}
