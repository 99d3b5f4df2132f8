//! What is said of damage, to an operator who reads it in a terminal or greps in it.

use std::io::{self, Write};
use std::path::Path;

use haremq_engine::ids::QueueId;
use haremq_engine::log::{Damage, LostMessage, Mended};
use haremq_engine::transaction::Note;

use super::findings::{Findings, ShardFindings};
use super::segment_path;

/// Everything that was found.
pub(super) fn write(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    for found in &findings.shards {
        let shard = found.shard;
        match &found.log {
            Ok(mended) => {
                let Mended { segments, blocks, octets, .. } = mended;
                let messages = found.messages;
                writeln!(
                    out,
                    "shard {shard}: {segments} live segments, {blocks} blocks, {octets} octets; \
                     {messages} messages told of, some of them settled"
                )?;
                damages(out, found, mended, findings)?;
            }
            Err(error) => {
                writeln!(out, "shard {shard}:")?;
                writeln!(out, "  DAMAGE in {}: {error}", found.dir.display())?;
                writeln!(out, "    nothing else of this shard could be looked at")?;
            }
        }
    }
    if findings.lacks_definitions() {
        orphans(out, findings)?;
    }
    Ok(())
}

fn damages(
    out: &mut dyn Write,
    found: &ShardFindings,
    mended: &Mended,
    findings: &Findings,
) -> io::Result<()> {
    let torn = mended.torn_octets;
    if torn > 0 {
        writeln!(out, "  {torn} octets of an unfinished write at the end: harmless")?;
    }
    for damage in &mended.damages {
        one_damage(out, &found.dir, damage)?;
    }
    for lost in &mended.lost {
        let LostMessage { queue, seq, address, is_certain } = lost;
        let doubt = if *is_certain { "" } else { " (as the damaged octets say)" };
        let at = format!("at log address {}", address.0);
        if let Some(note) = Note::of(*queue, *seq) {
            writeln!(out, "  LOST {note} ({at}){doubt}")?;
            continue;
        }
        match findings.names.get(queue) {
            _ if *queue == QueueId::DEFINITIONS => {
                writeln!(out, "  LOST definition {} {at}{doubt}", seq.0)?;
            }
            Some(name) => writeln!(out, "  LOST message {} {at}{doubt} of queue {name}", seq.0)?,
            None => {
                writeln!(out, "  LOST message {} {at}{doubt} of queue number {}", seq.0, queue.0)?;
            }
        }
    }
    for headless in &mended.headless {
        writeln!(
            out,
            "  LOST a message of {} octets at log address {} in {} queues, which nothing tells",
            headless.body_bytes, headless.address.0, headless.references
        )?;
    }
    Ok(())
}

fn one_damage(out: &mut dyn Write, dir: &Path, damage: &Damage) -> io::Result<()> {
    let path = segment_path(dir, damage.file);
    let Damage { offset, octets, segment, what, references, is_indexed, named, .. } = *damage;
    writeln!(
        out,
        "  DAMAGE in {} at octet {offset}, {octets} octets (segment {segment}): {what}",
        path.display(),
    )?;
    match references {
        Some(0) => return writeln!(out, "    no message was in it; acks may have been"),
        Some(count) => writeln!(
            out,
            "    {count} references to messages or definitions were in it, settled ones included"
        )?,
        None => writeln!(out, "    nothing tells how much was in it")?,
    }
    match is_indexed {
        true => writeln!(out, "    all that were not settled are listed"),
        false => {
            writeln!(out, "    no index tells which; the damaged octets themselves name {named}")
        }
    }
}

/// Messages of queues that no definition tells of, where definitions may be lost.
fn orphans(out: &mut dyn Write, findings: &Findings) -> io::Result<()> {
    for found in &findings.shards {
        let is_orphan =
            |queue: &QueueId| !findings.names.contains_key(queue) && !queue.is_of_transactions();
        for (queue, told) in found.queues.iter().filter(|(queue, _)| is_orphan(queue)) {
            writeln!(
                out,
                "  LOST with its queue: of queue number {} on shard {}, which was deleted or whose \
                 definition is lost, up to {} messages, numbered {} to {}",
                queue.0, found.shard, told.count, told.first.0, told.last.0
            )?;
        }
    }
    Ok(())
}

/// What to do.
pub(super) fn advise(out: &mut dyn Write, dir: &Path, findings: &Findings) -> io::Result<()> {
    let dir = dir.display();
    if findings.shards.iter().any(|found| found.log.is_err()) {
        return writeln!(
            out,
            "The broker will not start, and there is more damage than can be put aside: restore \
             {dir} from a backup."
        );
    }
    writeln!(
        out,
        "The broker will not start on this, or will stop when it comes to it. Restore the files \
         from a backup; or start with\n  haremq --data-dir {dir} --quarantine-damage\nwhich keeps a \
         copy of the damaged octets in {dir}/quarantine, gives up the messages listed above, \
         and serves the rest. Messages whose acks were in a damaged place come again."
    )
}
