//! Starting in spite of damage: the damaged octets are kept aside, what is gone is listed, and the
//! logs are made whole around it.

use std::fs::OpenOptions;
use std::path::PathBuf;

use super::copies;
use super::findings::Findings;
use super::report;
use crate::runtime::preflight::DataDir;
use crate::runtime::StartError;

/// In the data directory.
const DIRECTORY: &str = "quarantine";
const REPORT: &str = "report.txt";

/// What was put aside.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Quarantined {
    /// Where the copies and the report are.
    pub(in crate::runtime) path: PathBuf,
    /// Definitions may have been lost that nothing tells of.
    pub(in crate::runtime) lacks_definitions: bool,
}

/// Puts all damage aside. `None`: there is none. Nothing is written unless all of it can be
/// mended, and nothing is written over before its copy and the report are on stable storage.
pub(in crate::runtime) fn quarantine(
    data_dir: &DataDir,
) -> Result<Option<Quarantined>, StartError> {
    let findings = Findings::of(data_dir)?;
    if findings.is_well() {
        return Ok(None);
    }
    for found in &findings.shards {
        if let Err(error) = &found.log {
            return Err(StartError::Unmendable {
                shard: found.shard,
                dir: found.dir.clone(),
                source: error.clone(),
            });
        }
    }
    let parent = data_dir.path().join(DIRECTORY);
    let failed = |what, path: &std::path::Path| {
        let path = path.to_owned();
        move |source| StartError::DataDirIo { what, path, source }
    };
    let aside = copies::new_directory(&parent).map_err(failed("create", &parent))?;
    for found in &findings.shards {
        if let Ok(mended) = &found.log {
            copies::keep(&aside, found, mended)
                .map_err(failed("copy damaged octets to", &aside))?;
        }
    }
    let path = aside.join(REPORT);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        report::write(&mut file, &findings)?;
        file.sync_all()?;
        copies::sync_directory(&aside)?;
        copies::sync_directory(&parent)?;
        copies::sync_directory(data_dir.path())
    })();
    written.map_err(failed("write", &path))?;
    for found in &findings.shards {
        if let Ok(mended) = &found.log {
            copies::patch(&found.dir, mended).map_err(failed("mend the files in", &found.dir))?;
        }
    }
    let lacks_definitions = findings.lacks_definitions();
    Ok(Some(Quarantined { path: aside, lacks_definitions }))
}
