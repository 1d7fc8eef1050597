//! Snapshots: the whole state of a store at one commit, kept by giving its files second names.
//!
//! Taken while the store is in use. What changes is written out first (the index's memory); what does
//! not change, which is nearly all, is linked. A snapshot lies in `snapshots/NAME` of the data folder;
//! its manifest is written last and removed first, so that without one there is no snapshot: what a crash
//! leaves of such is taken away after the next start ([`Store::snapshot_leftovers`]). Restoring makes a new data
//! folder, again by links where the file system allows it and by copies elsewhere.
//!
//! Files carry checksums of their own; the manifest has their names and sizes and its own checksum.

use crate::disk::{self, Disk, OpenMode};
use crate::engine::Version;
use crate::error::OpenError;
use crate::format::{self, FORMAT};
use crate::log;
use crate::row;
use crate::store::{INDEX, Store, StoreOptions};
use base::Timestamp;
use bytes::Bytes;
use crc_fast::crc32_iscsi;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;

const FOLDER: &str = "snapshots";
const MANIFEST: &str = "manifest";
const MAGIC: [u8; 8] = *b"CUMSNAP\0";
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

crate::row! {
    struct Manifest {
        1 => format: u32,
        2 => version: u64,
        3 => time: Timestamp,
        4 => taken: Timestamp,
        5 => files: Vec<SnapshotFile>,
    }
    struct SnapshotFile {
        /// Where it lies in a data folder, and in the snapshot.
        1 => path: String,
        2 => size_bytes: u64,
    }
}

/// A snapshot as a list shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SnapshotInfo {
    pub name: String,
    /// The commit that it holds.
    pub version: Version,
    pub taken: Timestamp,
    pub files: usize,
    pub size_bytes: u64,
    /// Why it cannot be restored; the rest is not known then. It can be removed.
    pub problem: Option<String>,
}

/// Part of what is left of a snapshot that is none.
#[derive(Debug)]
pub(crate) struct Leftover {
    name: String,
    path: String,
}

/// Why a snapshot cannot be saved or restored.
#[derive(Debug)]
pub enum SnapshotError {
    /// Letters, digits, `.`, `_` and `-`, up to 100 of them, not beginning with `.`.
    BadName(String),
    Exists(String),
    Missing(String),
    /// The folder to restore to has something in it.
    NotEmpty,
    /// Its manifest or a file is not what was written.
    Damaged(String),
    /// The index of this store is in memory alone.
    InMemory,
    Open(OpenError),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::BadName(name) => write!(
                f,
                "`{name}` is no name for a snapshot: use up to 100 letters, digits, `.`, `_`, `-`"
            ),
            SnapshotError::Exists(name) => {
                write!(f, "there is a snapshot `{name}` already; choose another name")
            }
            SnapshotError::Missing(name) => write!(f, "there is no snapshot `{name}`"),
            SnapshotError::NotEmpty => f.write_str("the folder is not empty; choose another"),
            SnapshotError::Damaged(what) => write!(f, "the snapshot is damaged: {what}"),
            SnapshotError::InMemory => f.write_str("a store in memory cannot be saved"),
            SnapshotError::Open(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> SnapshotError {
        SnapshotError::Open(error.into())
    }
}

impl From<OpenError> for SnapshotError {
    fn from(error: OpenError) -> SnapshotError {
        SnapshotError::Open(error)
    }
}

fn checked(name: &str) -> Result<String, SnapshotError> {
    let ok = (1..=100).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if ok { Ok(format!("{FOLDER}/{name}")) } else { Err(SnapshotError::BadName(name.to_owned())) }
}

impl Manifest {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&row::encode(self));
        let sum = crc32_iscsi(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` if there is none, or one that was never finished.
    fn read(disk: &dyn Disk, folder: &str) -> Result<Option<Manifest>, SnapshotError> {
        let file = match disk.open(&below(folder, MANIFEST), OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |what: &str| SnapshotError::Damaged(format!("its manifest {what}"));
        let length = file.len()?;
        if length > MANIFEST_BYTES_MAX {
            return Err(damaged("is impossibly long"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(damaged("is cut short"));
        };
        if crc32_iscsi(content) != u32::from_le_bytes(*sum) || !content.starts_with(&MAGIC) {
            return Err(damaged("has a wrong checksum"));
        }
        let content = Bytes::copy_from_slice(&content[MAGIC.len()..]);
        let manifest: Manifest =
            row::decode(&content).map_err(|error| damaged(&format!("does not decode: {error}")))?;
        if manifest.format > FORMAT {
            return Err(OpenError::Newer { found: manifest.format, known: FORMAT }.into());
        }
        Ok(Some(manifest))
    }

    fn folders(&self) -> BTreeSet<&str> {
        self.files.iter().filter_map(|file| Some(file.path.rsplit_once('/')?.0)).collect()
    }
}

/// Says that a snapshot is being saved or removed, for as long as it lives.
struct UnderWay<'a> {
    names: &'a Mutex<BTreeSet<String>>,
    name: &'a str,
}

impl<'a> UnderWay<'a> {
    /// `None` if it is already.
    fn begin(names: &'a Mutex<BTreeSet<String>>, name: &'a str) -> Option<UnderWay<'a>> {
        let is_first = names.lock().insert(name.to_owned());
        is_first.then(|| UnderWay { names, name })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.names.lock().remove(self.name);
    }
}

fn below(folder: &str, path: &str) -> String {
    if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") }
}

/// Whether a file lies in the folder, or below it.
fn is_there(disk: &dyn Disk, folder: &str) -> io::Result<bool> {
    for name in disk.list(folder)? {
        let path = below(folder, &name);
        match disk.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if is_there(disk, &path)? {
                    return Ok(true);
                }
            }
            _ => return Ok(true),
        }
    }
    Ok(false)
}

fn has_manifest(disk: &dyn Disk, folder: &str) -> io::Result<bool> {
    match disk.open(&below(folder, MANIFEST), OpenMode::Read) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Takes all of it away, the manifest first and for good: a half is no snapshot.
fn discard(disk: &dyn Disk, folder: &str) -> io::Result<()> {
    match disk.remove(&below(folder, MANIFEST)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => {
            removed?;
            disk.sync_dir(folder)?;
        }
    }
    disk.remove_dir_all(folder)
}

/// Makes names durable from the given folders up to the top.
fn sync_folders<'a>(disk: &dyn Disk, folders: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    let mut all = BTreeSet::from([""]);
    for folder in folders {
        all.insert(folder);
        all.extend(folder.match_indices('/').map(|(i, _)| &folder[..i]));
    }
    for folder in all.into_iter().rev() {
        disk.sync_dir(folder)?;
    }
    Ok(())
}

impl Store {
    /// Saves the newest durable state under a name. Blocks while the index writes its memory out;
    /// reads and writes go on.
    pub fn snapshot_save(&self, name: &str) -> Result<SnapshotInfo, SnapshotError> {
        let folder = checked(name)?;
        let disk = &*self.shared.disk;
        let under_way = UnderWay::begin(&self.shared.snapshots_under_way, name);
        if under_way.is_none() || has_manifest(disk, &folder)? {
            return Err(SnapshotError::Exists(name.to_owned()));
        }
        disk.remove_dir_all(&folder)?;
        let saved = self.save_to(&folder);
        if saved.is_err() {
            // Its links would hold on to the space of what is deleted. If this fails too, it is listed
            // as what it is, and taken away after the next start.
            let _ = discard(disk, &folder);
        }
        saved.map(|manifest| info(name, &manifest))
    }

    fn save_to(&self, folder: &str) -> Result<Manifest, SnapshotError> {
        let disk = &*self.shared.disk;
        // In this order: the blobs of every commit up to the frozen one are there.
        let blobs = self.shared.blobs.freeze();
        let (durable, time) = self.shared.durable();
        let index = self.written(self.shared.reader.engine.freeze(durable))?;
        if index.files.is_empty() {
            return Err(SnapshotError::InMemory);
        }
        let mut manifest = Manifest {
            format: FORMAT,
            version: index.version,
            time,
            taken: self.shared.options.clock.now(),
            files: Vec::new(),
        };
        for from in index.files.iter().chain(&blobs.files()?) {
            let base = from.rsplit('/').next().unwrap_or(from);
            let path =
                if from.starts_with("blobs/") { from.clone() } else { format!("{INDEX}/{base}") };
            let to = below(folder, &path);
            let parent = to.rsplit_once('/').map_or("", |(parent, _)| parent);
            disk.create_dir(parent)?;
            match disk.link(from, &to) {
                Ok(()) => {}
                // An upload that was given up meanwhile: no commit knows it.
                Err(error) if error.kind() == ErrorKind::NotFound && path.starts_with("blobs/") => {
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            let size_bytes = disk.open(&to, OpenMode::Read)?.len()?;
            manifest.files.push(SnapshotFile { path, size_bytes });
        }
        let folders: Vec<String> =
            manifest.folders().into_iter().map(|path| below(folder, path)).collect();
        self.written(sync_folders(disk, folders.iter().map(String::as_str)))?;
        let new = below(folder, "manifest.new");
        let file = disk.open(&new, OpenMode::CreateNew)?;
        file.write_all_at(&manifest.encode(), 0)?;
        self.written(file.sync_data())?;
        disk.rename(&new, &below(folder, MANIFEST))?;
        self.written(sync_folders(disk, [folder]))?;
        Ok(manifest)
    }

    /// What a sync has said, which is never asked again.
    fn written<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| {
            if !disk::is_full(error) && !disk::is_passing(error) {
                self.shared.queue.stop(&format!("a snapshot cannot be written: {error}"));
                self.shared.room.make();
            }
        })
    }

    /// The same beside the caller's thread, for tasks that must not wait for the disk.
    pub async fn snapshot_save_apart(&self, name: &str) -> Result<SnapshotInfo, SnapshotError> {
        let (own, name) = (self.clone(), name.to_owned());
        self.blobs().apart(move || own.snapshot_save(&name)).await?
    }

    /// Of [`Store::snapshot_remove`].
    pub async fn snapshot_remove_apart(&self, name: &str) -> Result<(), SnapshotError> {
        let (own, name) = (self.clone(), name.to_owned());
        self.blobs().apart(move || own.snapshot_remove(&name)).await?
    }

    /// Snapshots of this data folder by name, those that are damaged with the rest.
    pub fn snapshot_list(&self) -> Result<Vec<SnapshotInfo>, SnapshotError> {
        let disk = &*self.shared.disk;
        let mut found = Vec::new();
        for name in disk.list(FOLDER)? {
            let Ok(folder) = checked(&name) else { continue };
            let under_way = self.shared.snapshots_under_way.lock().contains(&name);
            match Manifest::read(disk, &folder) {
                Ok(Some(manifest)) => found.push(info(&name, &manifest)),
                Ok(None) if under_way || !is_there(disk, &folder)? => {}
                Ok(None) => found.push(unusable(&name, "it was not finished, or is half removed")),
                Err(error) => found.push(unusable(&name, &error.to_string())),
            }
        }
        Ok(found)
    }

    /// Takes a snapshot away, damaged or not; the store does not change.
    pub fn snapshot_remove(&self, name: &str) -> Result<(), SnapshotError> {
        let folder = checked(name)?;
        let disk = &*self.shared.disk;
        let under_way = UnderWay::begin(&self.shared.snapshots_under_way, name);
        if under_way.is_none() || !is_there(disk, &folder)? {
            return Err(SnapshotError::Missing(name.to_owned()));
        }
        Ok(discard(disk, &folder)?)
    }

    /// What is left of snapshots that were not finished or are half removed, in parts of which none has
    /// too many files.
    pub(crate) fn snapshot_leftovers(&self) -> io::Result<Vec<Leftover>> {
        let disk = &*self.shared.disk;
        let mut all = Vec::new();
        for name in disk.list(FOLDER)? {
            let Ok(folder) = checked(&name) else { continue };
            if has_manifest(disk, &folder)? {
                continue;
            }
            let files = below(&folder, "blobs/file");
            let parts = disk.list(&files)?.into_iter().map(|part| below(&files, &part));
            let paths = parts.chain([folder]);
            all.extend(paths.map(|path| Leftover { name: name.clone(), path }));
        }
        Ok(all)
    }

    /// Takes it away, unless somebody makes a snapshot of that name.
    pub(crate) fn remove_leftover(&self, leftover: &Leftover) -> io::Result<()> {
        let Leftover { name, path } = leftover;
        let disk = &*self.shared.disk;
        let under_way = UnderWay::begin(&self.shared.snapshots_under_way, name);
        if under_way.is_none() || has_manifest(disk, &below(FOLDER, name))? {
            return Ok(());
        }
        disk.remove_dir_all(path)
    }

    /// Makes a data folder out of a snapshot. `from` is the snapshot's own folder, `to` is empty.
    pub fn snapshot_restore(
        from: &Arc<dyn Disk>,
        to: Arc<dyn Disk>,
        options: &StoreOptions,
    ) -> Result<SnapshotInfo, SnapshotError> {
        let Some(manifest) = Manifest::read(&**from, "")? else {
            return Err(SnapshotError::Missing("here".to_owned()));
        };
        if !to.list("")?.is_empty() {
            return Err(SnapshotError::NotEmpty);
        }
        for folder in manifest.folders() {
            to.create_dir(folder)?;
        }
        for file in &manifest.files {
            let length = from.open(&file.path, OpenMode::Read)?.len()?;
            if length < file.size_bytes {
                return Err(SnapshotError::Damaged(format!("{} is too short", file.path)));
            }
            to.link_from(from, &file.path, &file.path)?;
        }
        sync_folders(&*to, manifest.folders())?;
        log::create(to.clone(), options, manifest.version + 1, manifest.time)?;
        format::write(&*to)?;
        Ok(info("", &manifest))
    }
}

fn info(name: &str, manifest: &Manifest) -> SnapshotInfo {
    SnapshotInfo {
        name: name.to_owned(),
        version: manifest.version,
        taken: manifest.taken,
        files: manifest.files.len(),
        size_bytes: manifest.files.iter().map(|file| file.size_bytes).sum(),
        problem: None,
    }
}

fn unusable(name: &str, problem: &str) -> SnapshotInfo {
    SnapshotInfo {
        name: name.to_owned(),
        version: 0,
        taken: Timestamp::EPOCH,
        files: 0,
        size_bytes: 0,
        problem: Some(problem.to_owned()),
    }
}
