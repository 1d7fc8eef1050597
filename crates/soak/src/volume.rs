//! Files and folders in memory that keep what was synced, and after a power cut some of the rest.
//!
//! Each file holds its bytes twice, as they are and as they are on the platter, and the changes in
//! between; names likewise. [`Volume::cut`] forgets, keeps or tears what was not synced, by a seed,
//! at the grain of a sector. A name that moves between folders moves in both or in neither.
//! Deliberately absent: owners, permissions, times, symbolic links, sparse files.

use base::{Entropy, SeededEntropy};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};

/// What a disk writes as one piece.
pub const SECTOR: usize = 512;
pub const ROOT: u64 = 1;
/// No file of a data folder is that long.
const LENGTH_MAX: u64 = 4 << 30;
const INODES_BEFORE_SWEEP: usize = 1024;

pub type Answer<T> = Result<T, Errno>;
pub type Name = (u64, Vec<u8>);

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Debug, Default)]
pub struct Inode {
    pub is_dir: bool,
    /// A name that programs meet at, and nothing in it.
    pub is_socket: bool,
    pub now: Vec<u8>,
    safe: Vec<u8>,
    changes: Vec<Change>,
    opens: u64,
}

/// Names that change together; `None` takes one away.
type NameChange = Vec<(Name, Option<u64>)>;

/// Which syncs do nothing: a program without its syncs, as the disk sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ignore {
    #[default]
    Nothing,
    Files,
    Names,
    All,
}

#[derive(Debug)]
pub struct Volume {
    inodes: BTreeMap<u64, Inode>,
    last_inode: u64,
    names: BTreeMap<Name, u64>,
    safe_names: BTreeMap<Name, u64>,
    name_changes: Vec<NameChange>,
    ignore: Ignore,
    sweep_at: usize,
}

/// What a cut did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loss {
    pub sectors_lost: u64,
    pub sectors_kept: u64,
    pub names_lost: u64,
    pub names_kept: u64,
}

fn put(bytes: &mut Vec<u8>, offset: usize, new: &[u8]) {
    let end = offset + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(new);
}

fn bounded(length: u64) -> Answer<usize> {
    if length > LENGTH_MAX { Err(Errno::FBIG) } else { Ok(length as usize) }
}

impl Inode {
    fn change(&mut self, change: Change) {
        match &change {
            Change::Write { offset, bytes } => put(&mut self.now, *offset, bytes),
            Change::Length(length) => self.now.resize(*length, 0),
        }
        self.changes.push(change);
    }

    fn sync(&mut self) {
        for change in self.changes.drain(..) {
            match change {
                Change::Write { offset, bytes } => put(&mut self.safe, offset, &bytes),
                Change::Length(length) => self.safe.resize(length, 0),
            }
        }
    }
}

impl Volume {
    pub fn new(ignore: Ignore) -> Volume {
        let root = Inode { is_dir: true, ..Inode::default() };
        Volume {
            inodes: BTreeMap::from([(ROOT, root)]),
            last_inode: ROOT,
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            name_changes: Vec::new(),
            ignore,
            sweep_at: INODES_BEFORE_SWEEP,
        }
    }

    pub fn inode(&self, ino: u64) -> Answer<&Inode> {
        self.inodes.get(&ino).ok_or(Errno::STALE)
    }

    fn file(&mut self, ino: u64) -> Answer<&mut Inode> {
        let inode = self.inodes.get_mut(&ino).ok_or(Errno::STALE)?;
        if inode.is_dir { Err(Errno::ISDIR) } else { Ok(inode) }
    }

    pub fn links(&self, ino: u64) -> u32 {
        if self.inodes.get(&ino).is_some_and(|inode| inode.is_dir) {
            return 2;
        }
        u32::try_from(self.names.values().filter(|named| **named == ino).count()).unwrap_or(1)
    }

    pub fn lookup(&self, dir: u64, name: &[u8]) -> Answer<u64> {
        self.names.get(&(dir, name.to_vec())).copied().ok_or(Errno::NOENT)
    }

    pub fn list(&self, dir: u64) -> Vec<(Vec<u8>, u64)> {
        let from = (dir, Vec::new());
        let below = self.names.range(from..).take_while(|((of, _), _)| *of == dir);
        below.map(|((_, name), ino)| (name.clone(), *ino)).collect()
    }

    fn rename_all(&mut self, change: NameChange) {
        for (name, ino) in &change {
            match ino {
                Some(ino) => self.names.insert(name.clone(), *ino),
                None => self.names.remove(name),
            };
        }
        self.name_changes.push(change);
    }

    pub fn create(&mut self, dir: u64, name: &[u8], is_dir: bool) -> Answer<u64> {
        if self.lookup(dir, name).is_ok() {
            return Err(Errno::EXIST);
        }
        self.last_inode += 1;
        self.inodes.insert(self.last_inode, Inode { is_dir, ..Inode::default() });
        self.rename_all(vec![((dir, name.to_vec()), Some(self.last_inode))]);
        Ok(self.last_inode)
    }

    pub fn create_socket(&mut self, dir: u64, name: &[u8]) -> Answer<u64> {
        let ino = self.create(dir, name, false)?;
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.is_socket = true;
        }
        Ok(ino)
    }

    pub fn link(&mut self, ino: u64, dir: u64, name: &[u8]) -> Answer<()> {
        self.file(ino)?;
        if self.lookup(dir, name).is_ok() {
            return Err(Errno::EXIST);
        }
        self.rename_all(vec![((dir, name.to_vec()), Some(ino))]);
        Ok(())
    }

    pub fn remove(&mut self, dir: u64, name: &[u8], is_dir: bool) -> Answer<()> {
        let ino = self.lookup(dir, name)?;
        match (self.inode(ino)?.is_dir, is_dir) {
            (true, false) => return Err(Errno::ISDIR),
            (false, true) => return Err(Errno::NOTDIR),
            (true, true) if !self.list(ino).is_empty() => return Err(Errno::NOTEMPTY),
            _ => {}
        }
        self.rename_all(vec![((dir, name.to_vec()), None)]);
        Ok(())
    }

    pub fn rename(&mut self, from: Name, to: Name) -> Answer<()> {
        let ino = self.lookup(from.0, &from.1)?;
        if let Ok(there) = self.lookup(to.0, &to.1) {
            if there == ino {
                return Ok(());
            }
            if self.inode(there)?.is_dir && !self.list(there).is_empty() {
                return Err(Errno::NOTEMPTY);
            }
        }
        self.rename_all(vec![(from, None), (to, Some(ino))]);
        Ok(())
    }

    pub fn write(&mut self, ino: u64, offset: u64, bytes: &[u8]) -> Answer<()> {
        bounded(offset.saturating_add(bytes.len() as u64))?;
        let (offset, bytes) = (offset as usize, bytes.to_vec());
        self.file(ino)?.change(Change::Write { offset, bytes });
        Ok(())
    }

    pub fn read(&self, ino: u64, offset: u64, count: u32) -> Answer<&[u8]> {
        let now = &self.inode(ino)?.now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(now.len());
        Ok(&now[from..from.saturating_add(count as usize).min(now.len())])
    }

    pub fn set_length(&mut self, ino: u64, length: u64) -> Answer<()> {
        let length = bounded(length)?;
        self.file(ino)?.change(Change::Length(length));
        Ok(())
    }

    pub fn allocate(&mut self, ino: u64, end: u64) -> Answer<()> {
        let end = bounded(end)?;
        let file = self.file(ino)?;
        if file.now.len() < end {
            file.change(Change::Length(end));
        }
        Ok(())
    }

    pub fn opened(&mut self, ino: u64) -> Answer<()> {
        self.inodes.get_mut(&ino).ok_or(Errno::STALE)?.opens += 1;
        Ok(())
    }

    pub fn closed(&mut self, ino: u64) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.opens = inode.opens.saturating_sub(1);
        }
    }

    pub fn sync_file(&mut self, ino: u64) -> Answer<()> {
        let ignored = matches!(self.ignore, Ignore::Files | Ignore::All);
        let inode = self.inodes.get_mut(&ino).ok_or(Errno::STALE)?;
        if !ignored {
            inode.sync();
        }
        Ok(())
    }

    /// Makes the folder's names durable, with every earlier change that they rest on.
    pub fn sync_names(&mut self, dir: u64) {
        if matches!(self.ignore, Ignore::Names | Ignore::All) {
            return;
        }
        let mut needed = BTreeSet::new();
        let mut flush = vec![false; self.name_changes.len()];
        for (at, change) in self.name_changes.iter().enumerate().rev() {
            flush[at] = change.iter().any(|(name, _)| name.0 == dir || needed.contains(name));
            if flush[at] {
                needed.extend(change.iter().map(|(name, _)| name.clone()));
            }
        }
        let changes = std::mem::take(&mut self.name_changes);
        for (change, flush) in changes.into_iter().zip(flush) {
            if flush {
                apply(&mut self.safe_names, change);
            } else {
                self.name_changes.push(change);
            }
        }
        if self.inodes.len() > self.sweep_at {
            self.sweep();
            self.sweep_at = 2 * self.inodes.len().max(INODES_BEFORE_SWEEP);
        }
    }

    /// Forgets inodes that no name, past or present, can bring back.
    fn sweep(&mut self) {
        let mut live = BTreeSet::from([ROOT]);
        live.extend(self.names.values().chain(self.safe_names.values()));
        live.extend(self.name_changes.iter().flatten().filter_map(|(_, ino)| *ino));
        self.inodes.retain(|ino, inode| inode.opens > 0 || live.contains(ino));
    }

    /// The power goes: what was synced stays, of the rest some.
    pub fn cut(&mut self, seed: u64) -> Loss {
        let chance = SeededEntropy::new(seed);
        let kept = Share::draw(&chance);
        self.cut_with(kept, &chance)
    }

    /// The same, and no name stays that was not synced: a name that was kept once is never lost again, so
    /// the first cut is the one that can tell whether folders were made for good.
    pub fn cut_all_names(&mut self, seed: u64) -> Loss {
        self.cut_with(Share::Nothing, &SeededEntropy::new(seed))
    }

    fn cut_with(&mut self, kept: Share, chance: &SeededEntropy) -> Loss {
        let mut loss = Loss::default();
        for change in std::mem::take(&mut self.name_changes) {
            if kept.keeps(chance) {
                loss.names_kept += 1;
                apply(&mut self.safe_names, change);
            } else {
                loss.names_lost += 1;
            }
        }
        let kept = Share::draw(chance);
        let whole = chance.below(2) == 0;
        for inode in self.inodes.values_mut() {
            for change in std::mem::take(&mut inode.changes) {
                tear(&mut inode.safe, change, whole, kept, chance, &mut loss);
            }
            inode.now.clone_from(&inode.safe);
            inode.opens = 0;
        }
        self.names = self.safe_names.clone();
        self.sweep();
        loss
    }
}

/// How much of what was not synced a cut keeps.
#[derive(Clone, Copy, Debug)]
enum Share {
    Nothing,
    All,
    /// Of each ten.
    Some(u64),
}

impl Share {
    fn draw(chance: &SeededEntropy) -> Share {
        match chance.below(4) {
            0 => Share::Nothing,
            1 => Share::All,
            _ => Share::Some(1 + chance.below(9)),
        }
    }

    fn keeps(self, chance: &SeededEntropy) -> bool {
        match self {
            Share::Nothing => false,
            Share::All => true,
            Share::Some(tenths) => chance.below(10) < tenths,
        }
    }
}

/// Applies a change in part: as a whole or not, or by sectors.
fn tear(
    safe: &mut Vec<u8>,
    change: Change,
    whole: bool,
    kept: Share,
    chance: &SeededEntropy,
    loss: &mut Loss,
) {
    match change {
        Change::Length(length) => {
            if kept.keeps(chance) {
                safe.resize(length, 0);
            }
        }
        Change::Write { offset, bytes } => {
            let mut keep = kept.keeps(chance);
            let mut at = 0;
            while at < bytes.len() {
                let step = (SECTOR - (offset + at) % SECTOR).min(bytes.len() - at);
                if keep {
                    put(safe, offset + at, &bytes[at..at + step]);
                    loss.sectors_kept += 1;
                } else {
                    loss.sectors_lost += 1;
                }
                at += step;
                keep = if whole { keep } else { kept.keeps(chance) };
            }
        }
    }
}

fn apply(names: &mut BTreeMap<Name, u64>, change: NameChange) {
    for (name, ino) in change {
        match ino {
            Some(ino) => names.insert(name, ino),
            None => names.remove(&name),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file `a` with `old` synced, then changed without a sync, in every cut of many seeds.
    fn check(ignore: Ignore, change: fn(&mut Volume, u64), expected: fn(&Volume) -> bool) -> usize {
        let mut met = 0;
        for seed in 0..100 {
            let mut volume = Volume::new(ignore);
            let file = volume.create(ROOT, b"a", false).unwrap();
            volume.write(file, 0, &[1; 2000]).unwrap();
            volume.sync_file(file).unwrap();
            volume.sync_names(ROOT);
            change(&mut volume, file);
            volume.cut(seed);
            met += usize::from(expected(&volume));
        }
        met
    }

    fn bytes(volume: &Volume, name: &[u8]) -> Option<Vec<u8>> {
        let ino = volume.lookup(ROOT, name).ok()?;
        Some(volume.read(ino, 0, u32::MAX).unwrap().to_vec())
    }

    #[test]
    fn what_was_synced_stays() {
        let all = check(Ignore::Nothing, |_, _| {}, |v| bytes(v, b"a") == Some(vec![1; 2000]));
        assert_eq!(all, 100);
        for ignore in [Ignore::Files, Ignore::Names, Ignore::All] {
            let kept = check(ignore, |_, _| {}, |v| bytes(v, b"a") == Some(vec![1; 2000]));
            assert!((1..80).contains(&kept), "{ignore:?}: {kept}");
        }
    }

    #[test]
    fn what_was_not_is_lost_kept_or_torn_at_sectors() {
        let over = |v: &mut Volume, file| v.write(file, 100, &[2; 1800]).unwrap();
        let old = check(Ignore::Nothing, over, |v| bytes(v, b"a") == Some(vec![1; 2000]));
        let new = check(Ignore::Nothing, over, |v| bytes(v, b"a").unwrap()[100..1900] == [2; 1800]);
        assert!(old > 10 && new > 10 && old + new < 95, "{old} {new}");
        let pieces = check(Ignore::Nothing, over, |v| {
            let found = bytes(v, b"a").unwrap();
            let (head, tail) = (&found[100..512], &found[512..1024]);
            head.iter().all(|b| *b == head[0]) && tail.iter().all(|b| *b == tail[0])
        });
        assert_eq!(pieces, 100);
    }

    #[test]
    fn a_move_happens_or_does_not() {
        let whole = check(
            Ignore::Nothing,
            |v, _| v.rename((ROOT, b"a".to_vec()), (ROOT, b"b".to_vec())).unwrap(),
            |v| bytes(v, b"a").is_some() != bytes(v, b"b").is_some(),
        );
        assert_eq!(whole, 100);
    }
}
