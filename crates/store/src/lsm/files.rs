//! The engine's folder: names, the cache over its tables, and what waits to be removed.
//!
//! A table or frozen manifest dies when its last reader lets go of it; the drop only notes the name,
//! and `maintain` removes it, so that no reader ever waits for the disk to forget.

use super::buffers::Buffers;
use super::cache::Cache;
use super::codec::Bad;
use super::manifest::Manifest;
use crate::disk::{Disk, File, OpenMode};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dead {
    Table(u64),
    Frozen(u64),
}

#[derive(Debug)]
pub(super) struct Files {
    pub disk: Arc<dyn Disk>,
    pub folder: String,
    pub cache: Cache,
    pub buffers: Buffers,
    pub dead: Mutex<Vec<Dead>>,
}

pub(super) const MANIFEST: &str = "manifest";
const MANIFEST_NEW: &str = "manifest.new";
const TABLE_SUFFIX: &str = ".table";
const FROZEN_PREFIX: &str = "frozen-";
/// More than a manifest of a petabyte would have.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// The whole of a file.
fn read_all(file: &dyn File, size_bytes_max: u64) -> io::Result<Bytes> {
    let len = file.len()?;
    if len > size_bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is impossibly large"));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Bytes::from(bytes))
}

impl Files {
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    pub(super) fn table_path(&self, number: u64) -> String {
        self.path(&format!("{number:08}{TABLE_SUFFIX}"))
    }

    pub(super) fn frozen_path(&self, number: u64) -> String {
        self.path(&format!("{FROZEN_PREFIX}{number:08}"))
    }

    pub(super) fn corrupt(path: &str, bad: Bad) -> io::Error {
        let Bad(what) = bad;
        let text = format!("index file {path} is damaged ({what}): restore from a snapshot");
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// `None` if there is none.
    pub(super) fn read_manifest(&self) -> io::Result<Option<Manifest>> {
        let path = self.path(MANIFEST);
        let file = match self.disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let bytes = read_all(&*file, MANIFEST_BYTES_MAX)?;
        Manifest::decode(bytes).map(Some).map_err(|bad| Self::corrupt(&path, bad))
    }

    fn write_new(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.disk.open(path, OpenMode::CreateNew)?;
        let written = file.write_all_at(bytes, 0).and_then(|()| file.sync_data());
        if written.is_err() {
            // The first error says more than one about this.
            let _ = self.disk.remove(path);
        }
        written
    }

    /// Puts the manifest beside the one in force, and makes it and all names in the folder durable.
    pub(super) fn prepare_manifest(&self, manifest: &Manifest) -> io::Result<()> {
        let path = self.path(MANIFEST_NEW);
        match self.disk.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.write_new(&path, &manifest.encode())?;
        self.disk.sync_dir(&self.folder)
    }

    /// Puts the prepared manifest in force. After an error either may be.
    pub(super) fn switch_manifest(&self) -> io::Result<()> {
        self.disk.rename(&self.path(MANIFEST_NEW), &self.path(MANIFEST))?;
        self.disk.sync_dir(&self.folder)
    }

    /// Writes a manifest into a folder of its own, whose path it returns the file's in.
    pub(super) fn write_frozen(&self, number: u64, manifest: &Manifest) -> io::Result<String> {
        let folder = self.frozen_path(number);
        let path = format!("{folder}/{MANIFEST}");
        self.disk.create_dir(&folder)?;
        self.write_new(&path, &manifest.encode())?;
        self.disk.sync_dir(&folder)?;
        self.disk.sync_dir(&self.folder)?;
        Ok(path)
    }

    /// Removes what the manifest does not name. Returns the numbers of the tables that are there,
    /// and a number above all that were ever used.
    pub(super) fn sweep(&self, live: &BTreeSet<u64>) -> io::Result<(BTreeSet<u64>, u64)> {
        let (mut found, mut above) = (BTreeSet::new(), 0);
        for name in self.disk.list(&self.folder)? {
            let table = name.strip_suffix(TABLE_SUFFIX).and_then(|name| name.parse::<u64>().ok());
            let frozen = name.strip_prefix(FROZEN_PREFIX).and_then(|name| name.parse::<u64>().ok());
            above = above.max(table.or(frozen).map_or(0, |number| number.saturating_add(1)));
            match table {
                Some(number) if live.contains(&number) => {
                    found.insert(number);
                }
                Some(_) => self.disk.remove(&self.path(&name))?,
                None if frozen.is_some() => self.disk.remove_dir_all(&self.path(&name))?,
                None if name == MANIFEST_NEW => self.disk.remove(&self.path(&name))?,
                None => {}
            }
        }
        Ok((found, above))
    }

    /// Whether any table lies in the folder.
    pub(super) fn any_table(&self) -> io::Result<bool> {
        let names = self.disk.list(&self.folder)?;
        Ok(names.iter().any(|name| name.ends_with(TABLE_SUFFIX)))
    }

    /// Removes up to `count` dead files; whether there were any.
    pub(super) fn bury(&self, count: usize) -> io::Result<bool> {
        let mut any = false;
        for _ in 0..count {
            let Some(dead) = self.dead.lock().pop() else { break };
            any = true;
            let removed = match dead {
                Dead::Table(number) => self.disk.remove(&self.table_path(number)),
                Dead::Frozen(number) => self.disk.remove_dir_all(&self.frozen_path(number)),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    self.dead.lock().push(dead);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(any)
    }
}
