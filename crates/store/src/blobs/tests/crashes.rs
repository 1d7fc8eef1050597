//! Random work with power cuts, against a model: what was acknowledged is whole, what was not leaves
//! nothing, and every reference counts. One seed is one run.

use super::*;
use crate::disk::{Disk, File, OpenMode};
use std::collections::BTreeMap;

/// A disk that says it has synced blobs, and has not: the tests must notice.
#[derive(Debug)]
struct Deaf {
    disk: Arc<FaultyDisk>,
    deaf: Deafness,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deafness {
    None,
    Files,
    Folders,
}

#[derive(Debug)]
struct DeafFile(Arc<dyn File>);

impl Disk for Deaf {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(path, mode)?;
        let is_deaf = self.deaf == Deafness::Files && path.starts_with("blobs/");
        Ok(if is_deaf { Arc::new(DeafFile(file)) } else { file })
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.link(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.disk.create_dir(path)
    }
    fn remove_dir_all(&self, path: &str) -> io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let is_deaf = self.deaf == Deafness::Folders && path.starts_with("blobs");
        if is_deaf { Ok(()) } else { self.disk.sync_dir(path) }
    }
    fn available_bytes(&self) -> io::Result<u64> {
        self.disk.available_bytes()
    }
}

impl File for DeafFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// The seed and size of each blob of each object.
type Model = BTreeMap<String, Vec<(u64, usize)>>;

struct Run {
    disk: Arc<FaultyDisk>,
    deaf: Deafness,
    chance: SeededEntropy,
    opened: u64,
    store: Store,
    model: Model,
    contents: u64,
    crashes: u32,
    held: Vec<(BlobReader, Vec<u8>)>,
    pinned: Vec<PinnedBlob>,
}

fn open_store(disk: &Arc<FaultyDisk>, deaf: Deafness, seed: u64) -> Result<Store, String> {
    let disk = Arc::new(Deaf { disk: disk.clone(), deaf });
    let mut options = options(seed);
    options.blob_segment_bytes = 600_000;
    Store::inline(disk, options).map_err(|error| format!("does not open: {error}"))
}

impl Run {
    fn new(seed: u64, deaf: Deafness) -> Result<Run, String> {
        let disk = Arc::new(FaultyDisk::new());
        let chance = SeededEntropy::new(seed);
        let store = open_store(&disk, deaf, seed)?;
        let (model, held, pinned) = (Model::new(), Vec::new(), Vec::new());
        let (opened, contents, crashes) = (seed, 0, 0);
        Ok(Run { disk, deaf, chance, opened, store, model, contents, crashes, held, pinned })
    }

    fn steps(mut self, steps: u32) -> Result<u32, String> {
        for _ in 0..steps {
            if self.chance.below(12) == 0 {
                self.disk.power_off_in(1 + self.chance.below(40));
            }
            let mut after = self.model.clone();
            match self.step(&mut after) {
                Ok(true) => self.model = after,
                Ok(false) => {}
                // Without power it may have been done or not.
                Err(_) => self.recover(after)?,
            }
        }
        self.recover(self.model.clone())?;
        Ok(self.crashes)
    }

    /// One piece of work; `after` becomes what the model is if it is acknowledged.
    fn step(&mut self, after: &mut Model) -> Result<bool, String> {
        let key = format!("{}", self.chance.below(8));
        match self.chance.below(10) {
            0..=3 => {
                let parts = if self.chance.below(3) == 0 { 1 + self.chance.below(3) } else { 1 };
                let parts = (0..parts).map(|_| self.write()).collect::<Result<Vec<_>, _>>()?;
                let (blobs, names): (Vec<PinnedBlob>, Vec<(u64, usize)>) =
                    parts.into_iter().unzip();
                after.insert(key.clone(), names);
                self.commit(|tx| {
                    release(tx, &key)?;
                    let blobs = blobs.iter().map(|b| tx.adopt_blob(b)).collect::<Result<_, _>>()?;
                    tx.put(&OBJECTS, &Scope::Global, &key, &ObjectRow { blobs })
                })?;
            }
            4 | 5 => {
                after.remove(&key);
                self.commit(|tx| {
                    release(tx, &key)?;
                    tx.delete(&OBJECTS, &Scope::Global, &key)
                })?;
            }
            6 => {
                let from = format!("{}", self.chance.below(8));
                let Some(names) = self.model.get(&from) else { return Ok(false) };
                after.insert(key.clone(), names.clone());
                self.commit(|tx| {
                    let Some(row) = tx.get(&OBJECTS, &Scope::Global, &from)? else {
                        return Ok(());
                    };
                    row.blobs.iter().try_for_each(|blob| tx.retain_blob(blob))?;
                    release(tx, &key)?;
                    tx.put(&OBJECTS, &Scope::Global, &key, &row)
                })?;
            }
            7 => {
                let blob = self.write()?.0;
                self.pinned.push(blob);
                if self.pinned.len() > 2 {
                    self.pinned.remove(0);
                }
            }
            8 => {
                let mut writer = self.store.blobs().writer(None);
                let bytes = content(1, self.chance.below(1_500_000) as usize);
                block_on(writer.write(&bytes)).map_err(|error| error.to_string())?;
            }
            _ => self.read(&key)?,
        }
        Ok(true)
    }

    fn write(&mut self) -> Result<(PinnedBlob, (u64, usize)), String> {
        let limit = [20_000, 40_000, 120_000, 1_300_000][self.chance.below(4) as usize];
        let size = self.chance.below(limit) as usize;
        self.contents += 1;
        let bytes = content(self.contents, size);
        let hint = [None, Some(size as u64)][self.chance.below(2) as usize];
        let mut writer = self.store.blobs().writer(hint);
        let blob = block_on(async {
            for piece in bytes.chunks(70_000) {
                writer.write(piece).await?;
            }
            writer.finish().await
        });
        Ok((blob.map_err(|error| error.to_string())?, (self.contents, size)))
    }

    fn commit(&self, f: impl FnMut(&mut Tx) -> Result<(), StoreError>) -> Result<(), String> {
        match self.store.write(f).now() {
            Some(outcome) => outcome.map_err(|error| error.to_string()),
            None => Err("the commit does not become durable".into()),
        }
    }

    /// Reads an object, and one that was opened long ago.
    fn read(&mut self, key: &str) -> Result<(), String> {
        if self.held.len() > 3 {
            let (reader, bytes) = self.held.remove(0);
            let got = block_on(reader.read(0..u64::MAX)).map_err(|error| error.to_string())?;
            if got != bytes {
                return Err("an open blob has changed".into());
            }
        }
        if let Some(names) = self.model.get(key) {
            self.held.push((open(&self.store, key), whole(names)));
        }
        Ok(())
    }

    /// A power cut, a new start, and a look at everything.
    fn recover(&mut self, after: Model) -> Result<(), String> {
        self.crashes += 1;
        self.held.clear();
        self.pinned.clear();
        for _ in 0..self.chance.below(2) {
            // Cut short while it recovers, and once more.
            self.disk.crash(self.chance.next_u64());
            self.disk.power_off_in(1 + self.chance.below(20));
            self.opened += 1;
            if let Ok(store) = open_store(&self.disk, self.deaf, self.opened) {
                let _ = store.write(|_| Ok::<_, StoreError>(())).now();
            }
        }
        self.disk.crash(self.chance.next_u64());
        self.opened += 1;
        self.store = open_store(&self.disk, self.deaf, self.opened)?;
        self.commit(|_| Ok(()))?;
        let rows = self.store.read(|tx| {
            let rows = tx.scan(&OBJECTS, &Scope::Global);
            rows.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
        })?;
        let mut references: BTreeMap<BlobId, u64> = BTreeMap::new();
        let blobs = rows.iter().flat_map(|(_, row)| &row.blobs);
        for blob in blobs.filter(|blob| blob.content.is_none()) {
            *references.entry(blob.id).or_default() += 1;
        }
        let found = self.store.blobs().check(&self.store).map_err(|error| error.to_string())?;
        if !found.problems.is_empty() || !found.leftovers.is_empty() {
            return Err(format!("{found:?}"));
        }
        self.store.read(|tx| {
            let rows = tx.scan(&rows::BLOBS, &rows::SCOPE);
            let counted: Result<BTreeMap<BlobId, u64>, _> =
                rows.map(|row| row.map(|(id, row)| (id, row.references))).collect();
            match counted.map_err(|error| error.to_string())? == references {
                true => Ok(()),
                false => Err("references are miscounted".to_owned()),
            }
        })?;
        let mut is_before = rows.len() == self.model.len();
        let mut is_after = rows.len() == after.len();
        for (key, _) in &rows {
            let reader = open(&self.store, key);
            let got = block_on(reader.read(0..u64::MAX)).map_err(|error| error.to_string())?;
            let is = |model: &Model| model.get(key).is_some_and(|names| whole(names) == got);
            is_before &= is(&self.model);
            is_after &= is(&after);
        }
        match (is_before, is_after) {
            (_, true) => self.model = after,
            (true, false) => {}
            (false, false) => return Err("the state is neither the one nor the other".into()),
        }
        Ok(())
    }
}

fn release(tx: &mut Tx, key: &str) -> Result<(), StoreError> {
    match tx.get(&OBJECTS, &Scope::Global, key)? {
        Some(row) => row.blobs.iter().try_for_each(|blob| tx.release_blob(blob)),
        None => Ok(()),
    }
}

fn whole(names: &[(u64, usize)]) -> Vec<u8> {
    names.iter().map(|(seed, size)| content(*seed, *size)).collect::<Vec<_>>().concat()
}

fn run(seed: u64, deaf: Deafness) -> Result<u32, String> {
    Run::new(seed, deaf)?.steps(60)
}

#[test]
fn what_was_acknowledged_is_whole_and_nothing_else_is_left() {
    let mut crashes = 0;
    for seed in 0..40 {
        match run(seed, Deafness::None) {
            Ok(n) => crashes += n,
            Err(error) => panic!("seed {seed}: {error}"),
        }
    }
    assert!(crashes > 100, "only {crashes} crashes: the test has lost its teeth");
}

#[test]
fn a_build_without_its_syncs_is_caught() {
    for deaf in [Deafness::Files, Deafness::Folders] {
        assert!((0..40).any(|seed| run(seed, deaf).is_err()), "{deaf:?} were not missed");
    }
}
