//! A disk that keeps only what was synced. A power cut drops, tears and reorders the rest.
//!
//! Everything is counted and can be made to fail at a chosen call, so that a test can cut the power
//! at each call in turn. Folders themselves are always durable; names in them are not.

use super::memory::{not_found, parent};
use super::{Disk, File, OpenMode};
use base::{Entropy, SeededEntropy};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// What a disk writes as one piece.
const SECTOR: usize = 512;

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Len(usize),
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
}

/// Names that change together: `None` takes one away.
type NameChange = Vec<(String, Option<u64>)>;

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    inode_ids: u64,
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    unsynced_names: Vec<NameChange>,
    dirs: BTreeSet<String>,
    /// Handles of before a crash are dead.
    life: u64,
    calls: u64,
    syncs: u64,
    off: bool,
    power_off_at: Option<u64>,
    fail_at: Option<(u64, ErrorKind)>,
    /// What each call of that name says for a path that begins so.
    fail_all: Option<(Call, String, ErrorKind)>,
    skip_syncs: bool,
    capacity: Option<u64>,
}

/// Cheap to clone; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct FaultyFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    life: u64,
}

fn no_power() -> io::Error {
    io::Error::other("the power is off")
}

/// Which calls [`FaultyDisk::fail_all`] is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    Open,
    List,
    Remove,
    SyncDir,
}

/// What the call may do when it is let through.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Pass,
    /// The power goes during this very call: it may have happened, but is not answered.
    Last,
}

impl State {
    /// Counts a call that changes something.
    fn enter(&mut self) -> io::Result<Gate> {
        if self.off {
            return Err(no_power());
        }
        self.calls += 1;
        if self.power_off_at.is_some_and(|at| self.calls >= at) {
            self.off = true;
            return Ok(Gate::Last);
        }
        match self.fail_at {
            Some((at, kind)) if self.calls == at => Err(kind.into()),
            _ => Ok(Gate::Pass),
        }
    }

    fn check(&self, call: Call, path: &str) -> io::Result<()> {
        match &self.fail_all {
            Some((of, at, kind)) if *of == call && path.starts_with(at) => Err((*kind).into()),
            _ => Ok(()),
        }
    }

    fn leave(&self, gate: Gate) -> io::Result<()> {
        if gate == Gate::Last { Err(no_power()) } else { Ok(()) }
    }

    fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.dirs.contains(dir)
    }

    fn inode(&self, path: &str) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| not_found(path))
    }

    fn rename_all(&mut self, change: NameChange) {
        for (name, inode) in &change {
            match inode {
                Some(inode) => self.names.insert(name.clone(), *inode),
                None => self.names.remove(name),
            };
        }
        self.unsynced_names.push(change);
    }

    /// Of all that has a name; a file without one is only kept for a crash to bring back.
    fn used(&self) -> u64 {
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        named.iter().filter_map(|id| self.inodes.get(id)).map(|inode| inode.now.len() as u64).sum()
    }

    fn make_room(&self, inode: u64, len: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity else { return Ok(()) };
        let now = self.inodes.get(&inode).map_or(0, |inode| inode.now.len());
        let grows = len.saturating_sub(now) as u64;
        if grows > 0 && self.used() + grows > capacity {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Len(len) => bytes.resize(*len, 0),
            Change::Write { offset, bytes: new } => {
                let end = offset + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(new);
            }
        }
    }

    /// Some of what was not synced is there, some is not.
    fn crash(&mut self, chance: &SeededEntropy) {
        for change in std::mem::take(&mut self.unsynced) {
            let fate = chance.below(4);
            match &change {
                _ if fate == 0 => {}
                _ if fate == 1 => Inode::apply(&mut self.synced, &change),
                Change::Len(_) => Inode::apply(&mut self.synced, &change),
                Change::Write { offset, bytes } => {
                    let mut at = 0;
                    while at < bytes.len() {
                        let end = ((offset + at) / SECTOR + 1) * SECTOR - offset;
                        let end = end.min(bytes.len());
                        if chance.below(2) == 0 {
                            let bytes = bytes[at..end].to_vec();
                            let part = Change::Write { offset: offset + at, bytes };
                            Inode::apply(&mut self.synced, &part);
                        }
                        at = end;
                    }
                }
            }
        }
        self.now = self.synced.clone();
    }
}

impl FaultyDisk {
    pub fn new() -> FaultyDisk {
        FaultyDisk::default()
    }

    /// Cuts the power and turns it on again: what was not synced is dropped, kept or torn as the seed
    /// has it. Files that are open are dead.
    pub fn crash(&self, seed: u64) {
        let chance = SeededEntropy::new(seed);
        let mut state = self.state.lock();
        let state = &mut *state;
        for change in std::mem::take(&mut state.unsynced_names) {
            if chance.below(2) == 0 {
                continue;
            }
            for (name, inode) in change {
                match inode {
                    Some(inode) => state.synced_names.insert(name, inode),
                    None => state.synced_names.remove(&name),
                };
            }
        }
        state.names = state.synced_names.clone();
        let named: BTreeSet<u64> = state.names.values().copied().collect();
        state.inodes.retain(|id, _| named.contains(id));
        state.inodes.values_mut().for_each(|inode| inode.crash(&chance));
        state.life += 1;
        state.off = false;
        state.power_off_at = None;
        state.fail_at = None;
    }

    /// Kills the process, not the machine: everything written is there.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.life += 1;
        state.off = false;
        state.power_off_at = None;
        state.fail_at = None;
    }

    /// Calls so far that change something or sync.
    pub fn calls(&self) -> u64 {
        self.state.lock().calls
    }

    /// Syncs of files and folders so far.
    pub fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// The power goes during the call that is `n` from now (1 is the next): it and all later ones
    /// fail, until [`FaultyDisk::crash`].
    pub fn power_off_in(&self, n: u64) {
        let mut state = self.state.lock();
        state.power_off_at = Some(state.calls + n);
    }

    /// The call that is `n` from now does nothing and fails.
    pub fn fail_in(&self, n: u64, kind: ErrorKind) {
        let mut state = self.state.lock();
        state.fail_at = Some((state.calls + n, kind));
    }

    /// All calls of this name do nothing and fail for paths that begin so, until told otherwise.
    pub fn fail_all(&self, what: Option<(Call, &str, ErrorKind)>) {
        self.state.lock().fail_all = what.map(|(call, path, kind)| (call, path.to_owned(), kind));
    }

    /// Syncs say that all is well and do nothing: a harness that does not notice is broken.
    pub fn skip_syncs(&self, skip: bool) {
        self.state.lock().skip_syncs = skip;
    }

    /// From now on there is room for so many bytes in all.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// Bytes in all files.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used()
    }

    /// Turns bits of a file over, as a rotting disk does; `false` if there is no such byte.
    pub fn corrupt(&self, path: &str, offset: u64, mask: u8) -> bool {
        let mut state = self.state.lock();
        let Ok(id) = state.inode(path) else { return false };
        let Some(inode) = state.inodes.get_mut(&id) else { return false };
        let at = offset as usize;
        if at >= inode.now.len() || at >= inode.synced.len() {
            return false;
        }
        inode.now[at] ^= mask;
        inode.synced[at] ^= mask;
        true
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        if state.off {
            return Err(no_power());
        }
        state.check(Call::Open, path)?;
        if mode == OpenMode::CreateNew {
            let gate = state.enter()?;
            if state.names.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if !state.has_dir(parent(path)) {
                return Err(not_found(path));
            }
            state.inode_ids += 1;
            let id = state.inode_ids;
            state.inodes.insert(id, Inode::default());
            state.rename_all(vec![(path.to_owned(), Some(id))]);
            state.leave(gate)?;
        }
        let inode = state.inode(path)?;
        Ok(Arc::new(FaultyFile { state: self.state.clone(), inode, life: state.life }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let gate = state.enter()?;
        if !state.has_dir(parent(to)) {
            return Err(not_found(to));
        }
        let inode = state.inode(from)?;
        state.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        state.leave(gate)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let gate = state.enter()?;
        if state.names.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !state.has_dir(parent(to)) {
            return Err(not_found(to));
        }
        let inode = state.inode(from)?;
        state.rename_all(vec![(to.to_owned(), Some(inode))]);
        state.leave(gate)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Call::Remove, path)?;
        let gate = state.enter()?;
        state.inode(path)?;
        state.rename_all(vec![(path.to_owned(), None)]);
        state.leave(gate)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let gate = state.enter()?;
        for (i, _) in path.match_indices('/') {
            state.dirs.insert(path[..i].to_owned());
        }
        state.dirs.insert(path.to_owned());
        state.leave(gate)
    }

    fn remove_dir_all(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        let gate = state.enter()?;
        let below = format!("{path}/");
        let gone: Vec<String> =
            state.names.keys().filter(|name| name.starts_with(&below)).cloned().collect();
        for name in gone {
            state.rename_all(vec![(name, None)]);
        }
        // The folder stays while a crash may bring its files back.
        state.leave(gate)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        if state.off {
            return Err(no_power());
        }
        state.check(Call::List, path)?;
        Ok(super::memory::names_in(path, state.names.keys().chain(&state.dirs)))
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.check(Call::SyncDir, path)?;
        let gate = state.enter()?;
        state.syncs += 1;
        let happens = !state.skip_syncs && (gate == Gate::Pass || state.calls.is_multiple_of(2));
        if happens {
            let (here, rest) = std::mem::take(&mut state.unsynced_names)
                .into_iter()
                .partition(|change| change.iter().any(|(name, _)| parent(name) == path));
            state.unsynced_names = rest;
            let here: Vec<NameChange> = here;
            for (name, inode) in here.into_iter().flatten() {
                match inode {
                    Some(inode) => state.synced_names.insert(name, inode),
                    None => state.synced_names.remove(&name),
                };
            }
        }
        state.leave(gate)
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let state = self.state.lock();
        Ok(state.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(state.used())))
    }
}

impl FaultyFile {
    fn change(&self, len: usize, change: Change) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.life != self.life {
            return Err(no_power());
        }
        let gate = state.enter()?;
        state.make_room(self.inode, len)?;
        let inode = state.inodes.get_mut(&self.inode).ok_or_else(no_power)?;
        Inode::apply(&mut inode.now, &change);
        inode.unsynced.push(change);
        state.leave(gate)
    }
}

fn size(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge.into())
}

impl File for FaultyFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state.lock();
        let inode = state.inodes.get(&self.inode).ok_or_else(no_power)?;
        if state.off || state.life != self.life {
            return Err(no_power());
        }
        let start = size(offset)?.min(inode.now.len());
        let from = inode.now[start..].get(..out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(from);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = size(offset)?;
        self.change(offset + bytes.len(), Change::Write { offset, bytes: bytes.to_vec() })
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.state.lock();
        let inode = state.inodes.get(&self.inode).ok_or_else(no_power)?;
        Ok(inode.now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = size(len)?;
        self.change(len, Change::Len(len))
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? < len { self.set_len(len) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.life != self.life {
            return Err(no_power());
        }
        let gate = state.enter()?;
        state.syncs += 1;
        let happens = !state.skip_syncs && (gate == Gate::Pass || state.calls.is_multiple_of(2));
        if happens {
            let inode = state.inodes.get_mut(&self.inode).ok_or_else(no_power)?;
            for change in std::mem::take(&mut inode.unsynced) {
                Inode::apply(&mut inode.synced, &change);
            }
        }
        state.leave(gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &FaultyDisk, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(path, OpenMode::Read).ok()?;
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn keeps_the_contract() {
        super::super::tests::check_contract(&FaultyDisk::new());
    }

    #[test]
    fn only_what_was_synced_is_sure() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let disk = FaultyDisk::new();
            let file = disk.open("a", OpenMode::CreateNew).unwrap();
            file.write_all_at(&[1; 1024], 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_dir("").unwrap();
            file.write_all_at(&[2; 1024], 0).unwrap();
            disk.open("b", OpenMode::CreateNew).unwrap();
            disk.crash(seed);
            assert!(file.sync_data().is_err(), "a handle of before the crash is dead");
            let bytes = read(&disk, "a").unwrap();
            assert!(bytes.chunks(512).all(|s| s == [1; 512] || s == [2; 512]));
            seen.insert((bytes[0], bytes[1023], read(&disk, "b").is_some()));
        }
        assert_eq!(seen.len(), 8, "kept, dropped and torn both ways, named or not: {seen:?}");
    }

    #[test]
    fn calls_fail_when_told_to() {
        let disk = FaultyDisk::new();
        let file = disk.open("a", OpenMode::CreateNew).unwrap();
        disk.fail_in(2, ErrorKind::StorageFull);
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(file.write_all_at(b"y", 0).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(read(&disk, "a").unwrap(), b"x");
        disk.set_capacity(Some(4));
        assert_eq!(disk.available_bytes().unwrap(), 3);
        assert_eq!(file.write_all_at(b"12345", 0).unwrap_err().kind(), ErrorKind::StorageFull);
        disk.power_off_in(1);
        assert!(file.sync_data().is_err() && file.sync_data().is_err());
        disk.crash(1);
    }
}
