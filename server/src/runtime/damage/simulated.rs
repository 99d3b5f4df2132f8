//! A disk whose power goes at the N-th change: what has not been synced is there, or not, or of a
//! file any of its sectors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::undertaking::SECTOR_BYTES;

/// What is kept of what has not been synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    All,
    /// Any part, by this seed.
    Some(u64),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// What has been done in a directory and is not on stable storage.
#[derive(Clone, Debug)]
enum Deed {
    Made(PathBuf, Entry),
    Renamed(PathBuf, PathBuf),
    Removed(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Directory,
    File(usize),
}

type Names = BTreeMap<PathBuf, Entry>;

#[derive(Clone, Debug, Default)]
struct State {
    contents: Vec<Content>,
    now: Names,
    synced: Names,
    /// In order.
    deeds: Vec<Deed>,
    changes: usize,
    power_goes_at: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedDisk(RefCell<State>);

fn parent(path: &Path) -> &Path {
    path.parent().expect("nothing is done at the root")
}

fn carry_out(names: &mut Names, deed: &Deed) {
    match deed {
        Deed::Made(path, entry) => drop(names.insert(path.clone(), *entry)),
        Deed::Renamed(from, to) => {
            if let Some(entry) = names.remove(from) {
                names.insert(to.clone(), entry);
            }
        }
        Deed::Removed(path) => drop(names.remove(path)),
    }
}

impl Deed {
    fn directory(&self) -> &Path {
        let (Deed::Made(path, _) | Deed::Renamed(path, _) | Deed::Removed(path)) = self;
        parent(path)
    }
}

impl State {
    /// One more change; with an error if the power goes with it.
    fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        match self.power_goes_at {
            Some(at) if self.changes > at => Err(io::Error::other("the power is gone")),
            _ => Ok(()),
        }
    }

    fn deed(&mut self, deed: Deed) -> io::Result<()> {
        carry_out(&mut self.now, &deed);
        self.deeds.push(deed);
        self.change()
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.now.get(path) {
            Some(Entry::File(number)) => Ok(*number),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn open(&mut self, path: &Path) -> usize {
        if let Ok(number) = self.file(path) {
            return number;
        }
        let entry = Entry::File(self.contents.len());
        self.contents.push(Content::default());
        let made = Deed::Made(path.to_owned(), entry);
        carry_out(&mut self.now, &made);
        self.deeds.push(made);
        self.contents.len() - 1
    }
}

impl SimulatedDisk {
    /// A file that has been there for long.
    pub(super) fn put(&self, path: &Path, octets: &[u8]) {
        let mut state = self.0.borrow_mut();
        let number = state.open(path);
        let octets = octets.to_vec();
        state.contents[number] = Content { now: octets.clone(), synced: octets };
        state.deeds.clear();
        state.synced = state.now.clone();
    }

    /// How many changes there have been.
    pub(super) fn changes(&self) -> usize {
        self.0.borrow().changes
    }

    /// The power goes with the change of that number, counted from now on and from 0.
    pub(super) fn lose_power_at(&self, change: usize) {
        let mut state = self.0.borrow_mut();
        state.power_goes_at = Some(state.changes + change);
    }

    /// What is there when the power is back.
    pub(super) fn restart(&self, kept: Kept) -> SimulatedDisk {
        let State { contents, synced, deeds, .. } = self.0.borrow().clone();
        let mut seed =
            if let Kept::Some(seed) = kept { seed.wrapping_mul(2).wrapping_add(1) } else { 0 };
        let mut is_kept = || match kept {
            Kept::Nothing => false,
            Kept::All => true,
            Kept::Some(_) => {
                seed = seed
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                seed >> 63 == 1
            }
        };
        let mut names = synced;
        for deed in &deeds {
            if is_kept() {
                carry_out(&mut names, deed);
            }
        }
        // A file whose directory has not come to be is nowhere.
        let all = names.clone();
        names.retain(|path, _| {
            let above = parent(path);
            above.parent().is_none() || all.contains_key(above)
        });
        let contents = contents.into_iter().map(|Content { now, mut synced }| {
            for (number, sector) in now.chunks(SECTOR_BYTES).enumerate() {
                let at = number * SECTOR_BYTES;
                let is_same = synced.get(at..at + sector.len()) == Some(sector);
                if is_same || !is_kept() {
                    continue;
                }
                let end = at + sector.len();
                synced.resize(synced.len().max(end), 0);
                synced[at..end].copy_from_slice(sector);
            }
            Content { now: synced.clone(), synced }
        });
        let contents = contents.collect();
        let (now, synced) = (names.clone(), names);
        let state = State { contents, now, synced, ..State::default() };
        SimulatedDisk(RefCell::new(state))
    }

    /// Everything below `directory`: names and octets.
    pub(super) fn files(&self, directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.0.borrow();
        let below = state.now.iter().filter(|(path, _)| path.starts_with(directory));
        let files = below.filter_map(|(path, entry)| match entry {
            Entry::File(number) => Some((path.clone(), state.contents[*number].now.clone())),
            Entry::Directory => None,
        });
        files.collect()
    }
}

impl Disk for SimulatedDisk {
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.0.borrow();
        let inside = state.now.keys().filter(|path| path.parent() == Some(directory));
        let names = inside.filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        Ok(names.collect())
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.0.borrow();
        Ok(state.file(path).ok().map(|number| state.contents[number].now.len() as u64))
    }

    fn read(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.0.borrow();
        let octets = &state.contents[state.file(path)?].now;
        let from = octets.len().min(offset as usize);
        Ok(octets[from..octets.len().min(from + length)].to_vec())
    }

    fn make_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if state.now.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.deed(Deed::Made(path.to_owned(), Entry::Directory))
    }

    fn write(&self, path: &Path, offset: u64, octets: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let number = state.open(path);
        let now = &mut state.contents[number].now;
        let end = offset as usize + octets.len();
        now.resize(now.len().max(end), 0);
        now[offset as usize..end].copy_from_slice(octets);
        state.change()
    }

    fn lengthen(&self, path: &Path, bytes: u64) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        let number = state.open(path);
        let now = &mut state.contents[number].now;
        now.resize(now.len().max(bytes as usize), 0);
        state.change()
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        let number = state.file(path)?;
        let content = &mut state.contents[number];
        content.synced.clone_from(&content.now);
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        state.change()?;
        let State { deeds, synced, .. } = &mut *state;
        deeds.retain(|deed| {
            let is_meant = deed.directory() == path;
            if is_meant {
                carry_out(synced, deed);
            }
            !is_meant
        });
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.borrow_mut().deed(Deed::Renamed(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.borrow_mut().deed(Deed::Removed(path.to_owned()))
    }
}
