//! The offline check: reads every block of every live segment of every shard, and says what is
//! wrong. Starts nothing, changes nothing.

use std::io::Write;
use std::path::Path;

use super::findings::Findings;
use super::quarantine::unfinished;
use super::report;
use crate::runtime::preflight::DataDir;
use crate::runtime::StartError;

/// Checks the data directory and prints what there is to say to `out`. True if all is well.
pub fn check(dir: &Path, out: &mut dyn Write) -> Result<bool, StartError> {
    let data_dir = DataDir::open_existing(dir)?;
    let failed = |source| StartError::DataDirIo { what: "report on", path: dir.to_owned(), source };
    let unfinished = unfinished(&data_dir)?;
    for path in &unfinished {
        let path = path.display();
        let line =
            "is not finished: what follows is half-way; start with --quarantine-damage again";
        writeln!(out, "the quarantine that {path} lists {line}").map_err(failed)?;
    }
    let findings = Findings::of(&data_dir)?;
    let is_well = findings.is_well();
    let printed = report::write(out, &findings).and_then(|()| match is_well {
        true => Ok(()),
        false => report::advise(out, dir, &findings),
    });
    printed.map_err(failed)?;
    Ok(is_well && unfinished.is_empty())
}
