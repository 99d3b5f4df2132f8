//! The data directory: ours, ours alone, of a format we know, with as many shards as we are to run.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fs2::FileExt;
use serde::{Deserialize, Serialize};

use crate::config::SHARDS_MAX;
use crate::runtime::StartError;

/// Makes a directory one of ours.
const MARKER: &str = "format.toml";
const LOCK: &str = "haremq.lock";
const VERSION: u64 = 1;

/// What [`MARKER`] holds.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    version: u64,
    shards: u16,
}

/// An opened data directory. Locked against other brokers while this lives.
#[derive(Debug)]
pub(in crate::runtime) struct DataDir {
    path: PathBuf,
    shards: u16,
    _lock: File,
}

impl DataDir {
    /// Opens or makes the directory. `asked` is the number of shards the operator wants, if he
    /// said; `fresh` the number for a directory that is new.
    pub(in crate::runtime) fn open(
        path: &Path,
        asked: Option<u16>,
        fresh: u16,
    ) -> Result<DataDir, StartError> {
        fs::create_dir_all(path).map_err(failed("create the data directory", path))?;
        // Names in messages are of more use when they can be pasted elsewhere.
        let path = path.canonicalize().map_err(failed("open the data directory", path))?;
        refuse_foreign(&path)?;
        let lock = lock(&path)?;
        let has = read_marker(&path)?.map(|marker| marker.shards);
        let shards = match (asked, has) {
            (Some(asked), Some(has)) if asked < has => {
                return Err(StartError::FewerShards { dir: path, asked, has })
            }
            (Some(asked), _) => asked,
            (None, Some(has)) => has,
            (None, None) => fresh,
        };
        for shard in 0..shards {
            let dir = shard_dir(&path, shard);
            fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        if has != Some(shards) {
            write_marker(&path, &Marker { version: VERSION, shards })?;
        }
        Ok(DataDir { path, shards, _lock: lock })
    }

    /// Opens a directory that is there, as it is, and keeps brokers out of it.
    pub(in crate::runtime) fn open_existing(path: &Path) -> Result<DataDir, StartError> {
        let path = path.canonicalize().map_err(failed("open the data directory", path))?;
        let Some(marker) = read_marker(&path)? else {
            return Err(StartError::DataDirForeign { dir: path, marker: MARKER });
        };
        let lock = lock(&path)?;
        Ok(DataDir { path, shards: marker.shards, _lock: lock })
    }

    pub(in crate::runtime) fn path(&self) -> &Path {
        &self.path
    }

    pub(in crate::runtime) fn shards(&self) -> u16 {
        self.shards
    }

    /// Where that shard's segment files are.
    pub(in crate::runtime) fn shard_dir(&self, shard: u16) -> PathBuf {
        shard_dir(&self.path, shard)
    }
}

/// Where that shard's segment files are in the data directory at `path`.
pub(in crate::runtime) fn shard_dir(path: &Path, shard: u16) -> PathBuf {
    path.join(format!("shard-{shard}"))
}

fn failed<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StartError + 'a {
    move |source| StartError::DataDirIo { what, path: path.to_owned(), source }
}

/// A directory with something in it and no marker belongs to somebody else. What a start that was
/// cut short leaves behind does not count, nor what file systems put into their roots.
fn refuse_foreign(path: &Path) -> Result<(), StartError> {
    if path.join(MARKER).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(failed("read the data directory", path))? {
        let name = entry.map_err(failed("read the data directory", path))?.file_name();
        let name = name.to_string_lossy();
        let ours = name == LOCK || name == temporary() || name.starts_with("shard-");
        if !ours && name != "lost+found" {
            return Err(StartError::DataDirForeign { dir: path.to_owned(), marker: MARKER });
        }
    }
    Ok(())
}

/// Takes the lock and writes our process id into it, for the message of the next one.
fn lock(path: &Path) -> Result<File, StartError> {
    let file_path = path.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&file_path)
        .map_err(failed("write the lock file", &file_path))?;
    if let Err(error) = file.try_lock_exclusive() {
        if error.kind() != io::ErrorKind::WouldBlock {
            return Err(failed("lock", &file_path)(error));
        }
        let mut text = String::new();
        let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        return Err(StartError::DataDirLocked { dir: path.to_owned(), pid });
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    match write(&mut file) {
        // The lock holds all the same, and a full disk must not keep the broker from being drained.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {}
        outcome => outcome.map_err(failed("write the lock file", &file_path))?,
    }
    Ok(file)
}

fn read_marker(path: &Path) -> Result<Option<Marker>, StartError> {
    let marker_path = path.join(MARKER);
    let text = match fs::read_to_string(&marker_path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", &marker_path)(error)),
    };
    let damaged = |what: String| StartError::DataDirMarker { path: marker_path.clone(), what };
    // The version alone first: what else a newer one has in it is not for us to judge.
    #[derive(Deserialize)]
    struct VersionOnly {
        version: u64,
    }
    let VersionOnly { version } =
        toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    if version > VERSION {
        return Err(StartError::DataDirNewer { dir: path.to_owned(), version, known: VERSION });
    }
    let marker: Marker =
        toml::from_str(&text).map_err(|error| damaged(error.message().to_owned()))?;
    if !(1..=SHARDS_MAX).contains(&marker.shards) {
        return Err(damaged(format!("shards = {}", marker.shards)));
    }
    Ok(Some(marker))
}

fn temporary() -> String {
    format!("{MARKER}.new")
}

/// Whole or not at all, and on stable storage when it returns.
fn write_marker(path: &Path, marker: &Marker) -> Result<(), StartError> {
    let (new, marker_path) = (path.join(temporary()), path.join(MARKER));
    let text = format!(
        "# HareMQ data directory. Written by the broker; not for editing.\nversion = {}\nshards = {}\n",
        marker.version, marker.shards
    );
    let write = || {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &marker_path)?;
        File::open(path)?.sync_all()
    };
    write().map_err(failed("write", &marker_path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A place that nothing is left of.
    struct Scratch(PathBuf);

    impl std::ops::Deref for Scratch {
        type Target = Path;
        fn deref(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn scratch(name: &str) -> Scratch {
        let path =
            std::env::temp_dir().join(format!("haremq-data-dir-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Scratch(path)
    }

    #[test]
    fn a_new_directory_gets_the_default_number_of_shards_and_keeps_it() {
        let path = scratch("new");
        assert_eq!(DataDir::open(&path, None, 3).unwrap().shards(), 3);
        let again = DataDir::open(&path, None, 8).unwrap();
        assert_eq!(again.shards(), 3);
        assert!(again.shard_dir(2).is_dir());
    }

    #[test]
    fn shards_may_grow_but_not_shrink() {
        let path = scratch("grow");
        DataDir::open(&path, Some(2), 1).unwrap();
        assert_eq!(DataDir::open(&path, Some(4), 1).unwrap().shards(), 4);
        let error = DataDir::open(&path, Some(3), 1).unwrap_err().to_string();
        assert!(error.contains("--shards 3") && error.contains("the 4 that"), "{error}");
        assert_eq!(DataDir::open(&path, None, 1).unwrap().shards(), 4);
    }

    #[test]
    fn a_directory_is_locked_while_it_is_open() {
        let path = scratch("lock");
        let first = DataDir::open(&path, None, 1).unwrap();
        let error = DataDir::open(&path, None, 1).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        DataDir::open(&path, None, 1).unwrap();
    }

    #[test]
    fn a_directory_of_somebody_else_is_left_alone() {
        let path = scratch("foreign");
        fs::create_dir_all(&*path).unwrap();
        fs::write(path.join("thesis.tex"), "hello").unwrap();
        let error = DataDir::open(&path, None, 1).unwrap_err().to_string();
        assert!(error.contains("not a HareMQ data directory"), "{error}");
        assert_eq!(fs::read_dir(&*path).unwrap().count(), 1, "nothing was added");
    }

    #[test]
    fn a_start_that_was_cut_short_does_not_make_the_directory_foreign() {
        let path = scratch("cut");
        fs::create_dir_all(path.join("shard-0")).unwrap();
        fs::write(path.join(LOCK), "1\n").unwrap();
        fs::write(path.join(temporary()), "vers").unwrap();
        DataDir::open(&path, None, 1).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_whatever_else_it_holds() {
        let path = scratch("newer");
        fs::create_dir_all(&*path).unwrap();
        fs::write(path.join(MARKER), "version = 99\nshapes = \"round\"\n").unwrap();
        let error = DataDir::open(&path, None, 1).unwrap_err().to_string();
        assert!(error.contains("format 99") && error.contains("up to 1"), "{error}");
    }

    #[test]
    fn a_damaged_marker_is_named() {
        for text in ["", "version = 1\n", "version = 1\nshards = 0\n", "version = \"1\"\n"] {
            let path = scratch("damaged");
            fs::create_dir_all(&*path).unwrap();
            fs::write(path.join(MARKER), text).unwrap();
            let error = DataDir::open(&path, None, 1).unwrap_err();
            assert!(matches!(error, StartError::DataDirMarker { .. }), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_a_directory_is_an_error_that_names_it() {
        let path = scratch("file");
        fs::write(&*path, "").unwrap();
        let error = DataDir::open(&path, None, 1).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        fs::remove_file(&*path).unwrap();
    }
}
