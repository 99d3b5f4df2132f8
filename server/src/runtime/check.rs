//! The offline check: reads every block of every live segment of every shard, and says what is
//! wrong. Starts nothing, changes nothing; runs on the main thread, with ordinary reads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use haremq_engine::ids::{QueueId, ShardId};
use haremq_engine::log::{
    Damage, FileId, LogConfig, LogError, LostMessage, Memory, Recovered, Recovery, RecoveryRead,
    SegmentFile,
};
use haremq_engine::topology::Change;

use super::preflight::DataDir;
use super::StartError;

const SUFFIX: &str = ".segment";

/// Recovery allocates only when it opens a log, which a check never does.
struct NoMemory;

impl Memory for NoMemory {
    type Buffer = Vec<u8>;
    fn allocate(&mut self, bytes: usize) -> Vec<u8> {
        vec![0; bytes]
    }
}

/// What was found in one shard.
#[derive(Debug, Default)]
struct Findings {
    segments: usize,
    blocks: u64,
    octets: u64,
    /// Live references of messages.
    messages: u64,
    torn_octets: u64,
    damages: Vec<Damage>,
    lost: Vec<LostMessage>,
    /// What kept the check from looking further.
    fatal: Option<LogError>,
}

/// Vhost and name of queues that the definitions of shard 0 tell of.
type QueueNames = BTreeMap<QueueId, String>;

/// Checks the data directory and prints what there is to say to `out`. True if all is well.
pub fn check(dir: &Path, out: &mut dyn Write) -> Result<bool, StartError> {
    let data_dir = DataDir::open_existing(dir)?;
    let mut names = QueueNames::new();
    let mut is_well = true;
    for shard in 0..data_dir.shards() {
        let shard_dir = data_dir.shard_dir(shard);
        let findings = look(&shard_dir, ShardId(shard), &mut names)?;
        is_well &= findings.damages.is_empty() && findings.fatal.is_none();
        let printed = report(out, shard, &shard_dir, &findings, &names);
        let failed =
            |source| StartError::DataDirIo { what: "report on", path: shard_dir.clone(), source };
        printed.map_err(failed)?;
    }
    Ok(is_well)
}

fn look(dir: &Path, shard: ShardId, names: &mut QueueNames) -> Result<Findings, StartError> {
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
    // Only to be able to look: nothing is appended.
    let config = LogConfig {
        shard,
        segment_bytes: 1 << 20,
        buffer_bytes: 1 << 16,
        writes_in_flight_max: 1,
        cache_bytes: 1 << 16,
        settle_delay_us: 0,
    };
    let mut recovery = Recovery::new(config, NoMemory, listing).passing_damage();
    let mut findings = Findings::default();
    let mut octets = Vec::new();
    while let Some(read) = recovery.next_read() {
        read_into(&mut octets, &files, read)?;
        let taken = recovery.supply(&octets, &mut |told| match told {
            Recovered::Message { references, .. } => findings.messages += references.len() as u64,
            Recovered::Definition { payload, .. } => {
                if let Ok(Change::PutQueue(queue)) = Change::from_record(payload) {
                    names.insert(queue.id, format!("{} in vhost {}", queue.name, queue.vhost));
                }
            }
            Recovered::Settled { .. } => {}
        });
        if let Err(error) = taken {
            findings.fatal = Some(error);
            break;
        }
    }
    findings.segments = recovery.segments().1;
    (findings.blocks, findings.octets) = recovery.blocks();
    findings.torn_octets = recovery.torn_bytes();
    findings.damages = recovery.damages().to_vec();
    findings.lost = recovery.lost().to_vec();
    findings.lost.sort_unstable_by_key(|lost| (lost.queue, lost.seq));
    findings.lost.dedup_by_key(|lost| (lost.queue, lost.seq));
    Ok(findings)
}

fn read_into(
    octets: &mut Vec<u8>,
    files: &BTreeMap<FileId, (PathBuf, File)>,
    read: RecoveryRead,
) -> Result<(), StartError> {
    octets.clear();
    octets.resize(read.length, 0);
    let Some((path, file)) = files.get(&read.file) else {
        octets.clear();
        return Ok(());
    };
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
    Ok(())
}

fn report(
    out: &mut dyn Write,
    shard: u16,
    dir: &Path,
    findings: &Findings,
    names: &QueueNames,
) -> io::Result<()> {
    let Findings { segments, blocks, octets, messages, torn_octets, .. } = findings;
    writeln!(
        out,
        "shard {shard}: {segments} live segments, {blocks} blocks, {octets} octets; \
         {messages} messages told of, some of them settled"
    )?;
    if *torn_octets > 0 {
        writeln!(out, "  {torn_octets} octets of an unfinished write at the end: harmless")?;
    }
    if let Some(error) = &findings.fatal {
        writeln!(out, "  DAMAGE in {}: {error}", dir.display())?;
        writeln!(out, "    nothing behind it was looked at")?;
    }
    for damage in &findings.damages {
        let path = dir.join(format!("{:08}{SUFFIX}", damage.file.0));
        writeln!(
            out,
            "  DAMAGE in {} at octet {}, {} octets (segment {}): {}",
            path.display(),
            damage.offset,
            damage.octets,
            damage.segment,
            damage.what
        )?;
        match damage.references {
            Some(0) => writeln!(out, "    no message was in it")?,
            Some(count) => writeln!(out, "    {count} references to messages were in it")?,
            None => writeln!(out, "    nothing good follows in the segment")?,
        }
        if !damage.is_indexed && damage.references != Some(0) {
            writeln!(out, "    the segment has no good index to tell which")?;
        }
    }
    for lost in &findings.lost {
        let LostMessage { queue, seq, .. } = lost;
        match names.get(queue) {
            _ if *queue == QueueId::DEFINITIONS => writeln!(out, "  LOST definition {}", seq.0)?,
            Some(name) => writeln!(out, "  LOST message {} of queue {name}", seq.0)?,
            None => writeln!(out, "  LOST message {} of queue number {}", seq.0, queue.0)?,
        }
    }
    Ok(())
}
