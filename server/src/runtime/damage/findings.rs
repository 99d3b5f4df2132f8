//! What is in the logs of a data directory, and what of it is damaged.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use haremq_engine::ids::{QueueId, Seq, ShardId};
use haremq_engine::log::{
    mend, FileId, LogConfig, LogError, MendError, Mended, Octets, Recovered, RecoveryRead,
    SegmentFile,
};
use haremq_engine::topology::Change;

use super::SUFFIX;
use crate::runtime::preflight::DataDir;
use crate::runtime::StartError;

/// What was found in one shard.
#[derive(Debug)]
pub(super) struct ShardFindings {
    pub(super) shard: u16,
    pub(super) dir: PathBuf,
    /// Live references of messages, some of which have been settled.
    pub(super) messages: u64,
    /// Messages told of, by queue.
    pub(super) queues: BTreeMap<QueueId, Told>,
    /// Or what kept it from being looked at.
    pub(super) log: Result<Mended, LogError>,
}

/// Messages of one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) count: u64,
    pub(super) first: Seq,
    pub(super) last: Seq,
}

#[derive(Debug)]
pub(super) struct Findings {
    pub(super) shards: Vec<ShardFindings>,
    /// Name and vhost of the queues that the definitions tell of.
    pub(super) names: BTreeMap<QueueId, String>,
}

impl Findings {
    pub(super) fn of(data_dir: &DataDir) -> Result<Self, StartError> {
        let mut findings = Findings { shards: Vec::new(), names: BTreeMap::new() };
        for shard in 0..data_dir.shards() {
            let found = look(&data_dir.shard_dir(shard), shard, &mut findings.names)?;
            findings.shards.push(found);
        }
        Ok(findings)
    }

    pub(super) fn is_well(&self) -> bool {
        let is_well = |found: &ShardFindings| {
            found.log.as_ref().is_ok_and(|mended| mended.damages.is_empty())
        };
        self.shards.iter().all(is_well)
    }

    /// Definitions may have been lost that nothing tells of.
    pub(super) fn lacks_definitions(&self) -> bool {
        let is_vague = |mended: &Mended| {
            mended.damages.iter().any(|damage| !damage.is_indexed && damage.references != Some(0))
        };
        self.shards.first().is_some_and(|first| first.log.as_ref().is_ok_and(is_vague))
    }
}

/// The files of one shard, read as they are.
pub(super) struct Files(BTreeMap<FileId, (PathBuf, File)>);

impl Files {
    pub(super) fn open(dir: &Path) -> Result<(Self, Vec<SegmentFile>), StartError> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| StartError::DataDirIo { what, path, source }
        };
        let mut files = BTreeMap::new();
        let mut listing = Vec::new();
        for entry in fs::read_dir(dir).map_err(failed("read", dir))? {
            let entry = entry.map_err(failed("read", dir))?;
            let (name, path) = (entry.file_name(), entry.path());
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)?.parse().ok());
            let Some(number) = number else { continue };
            let bytes = entry.metadata().map_err(failed("read", &path))?.len();
            let file = File::open(&path).map_err(failed("open", &path))?;
            files.insert(FileId(number), (path, file));
            listing.push(SegmentFile { file: FileId(number), bytes });
        }
        listing.sort_unstable_by_key(|listed| listed.file);
        Ok((Files(files), listing))
    }
}

impl Octets for Files {
    type Error = StartError;

    fn read(&mut self, read: RecoveryRead) -> Result<Vec<u8>, StartError> {
        let Some((path, file)) = self.0.get(&read.file) else { return Ok(Vec::new()) };
        let mut octets = vec![0; read.length];
        let mut filled = 0;
        while filled < octets.len() {
            match file.read_at(&mut octets[filled..], read.offset + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(StartError::DataDirIo { what: "read", path: path.clone(), source })
                }
            }
        }
        octets.truncate(filled);
        Ok(octets)
    }
}

fn look(
    dir: &Path,
    shard: u16,
    names: &mut BTreeMap<QueueId, String>,
) -> Result<ShardFindings, StartError> {
    let (mut files, listing) = Files::open(dir)?;
    // Only to be able to look: nothing is appended.
    let config = LogConfig {
        shard: ShardId(shard),
        segment_bytes: 1 << 20,
        buffer_bytes: 1 << 16,
        writes_in_flight_max: 1,
        cache_bytes: 1 << 16,
        settle_delay_us: 0,
    };
    let (mut messages, mut queues) = (0, BTreeMap::<QueueId, Told>::new());
    let mended = mend(&config, &listing, &mut files, &mut |told| match told {
        Recovered::Message { references, .. } => {
            messages += references.len() as u64;
            for (queue, seq) in references {
                let told = Told { count: 0, first: *seq, last: *seq };
                let told = queues.entry(*queue).or_insert(told);
                told.count += 1;
                (told.first, told.last) = (told.first.min(*seq), told.last.max(*seq));
            }
        }
        Recovered::Definition { payload, .. } => {
            if let Ok(Change::PutQueue(queue)) = Change::from_record(payload) {
                names.insert(queue.id, format!("{} in vhost {}", queue.name, queue.vhost));
            }
        }
        Recovered::Settled { .. } => {}
    });
    let log = match mended {
        Ok(mended) => Ok(mended),
        Err(MendError::Log(error)) => Err(error),
        Err(MendError::Read(error)) => return Err(error),
    };
    Ok(ShardFindings { shard, dir: dir.to_owned(), messages, queues, log })
}
