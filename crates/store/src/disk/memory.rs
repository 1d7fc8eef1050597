//! A disk in memory, which never fails.

use super::{Disk, File, OpenMode};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<String, Arc<MemFile>>,
    dirs: BTreeSet<String>,
}

/// Files in memory. Syncs are free and do nothing.
#[derive(Debug, Default)]
pub struct MemDisk {
    tree: RwLock<Tree>,
}

/// Zeros at the end that were never written take no memory.
#[derive(Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    len: usize,
}

#[derive(Debug, Default)]
struct MemFile {
    content: RwLock<Content>,
}

impl MemDisk {
    pub fn new() -> MemDisk {
        MemDisk::default()
    }
}

pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Tree {
    fn has_dir(&self, dir: &str) -> bool {
        dir.is_empty() || self.dirs.contains(dir)
    }

    fn file(&self, path: &str) -> io::Result<&Arc<MemFile>> {
        self.files.get(path).ok_or_else(|| not_found(path))
    }
}

pub(super) fn names_in<'a>(dir: &str, paths: impl Iterator<Item = &'a String>) -> Vec<String> {
    let names: BTreeSet<&str> = paths
        .filter(|path| parent(path) == dir && !path.is_empty())
        .map(|path| path.rsplit('/').next().unwrap_or(path))
        .collect();
    names.into_iter().map(str::to_owned).collect()
}

pub(super) fn not_found(path: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{path} does not exist"))
}

impl Disk for MemDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut tree = self.tree.write();
        if mode == OpenMode::CreateNew {
            if tree.files.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            if !tree.has_dir(parent(path)) {
                return Err(not_found(path));
            }
            tree.files.insert(path.to_owned(), Arc::default());
        }
        Ok(tree.file(path)?.clone())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut tree = self.tree.write();
        if !tree.has_dir(parent(to)) {
            return Err(not_found(to));
        }
        let file = tree.files.remove(from).ok_or_else(|| not_found(from))?;
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        let mut tree = self.tree.write();
        if tree.files.contains_key(to) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if !tree.has_dir(parent(to)) {
            return Err(not_found(to));
        }
        let file = tree.file(from)?.clone();
        tree.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.tree.write().files.remove(path).map(drop).ok_or_else(|| not_found(path))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut tree = self.tree.write();
        for (i, _) in path.match_indices('/') {
            tree.dirs.insert(path[..i].to_owned());
        }
        tree.dirs.insert(path.to_owned());
        Ok(())
    }

    fn remove_dir_all(&self, path: &str) -> io::Result<()> {
        let mut tree = self.tree.write();
        let below = format!("{path}/");
        tree.files.retain(|name, _| !name.starts_with(&below));
        tree.dirs.retain(|name| name != path && !name.starts_with(&below));
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let tree = self.tree.read();
        Ok(names_in(path, tree.files.keys().chain(&tree.dirs)))
    }

    fn sync_dir(&self, _path: &str) -> io::Result<()> {
        Ok(())
    }

    fn available_bytes(&self) -> io::Result<u64> {
        Ok(1 << 40)
    }
}

impl File for MemFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.read();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len);
        if content.len - start < out.len() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let written = content.bytes.get(start..).unwrap_or_default();
        let known = written.len().min(out.len());
        out[..known].copy_from_slice(&written[..known]);
        out[known..].fill(0);
        Ok(())
    }

    fn write_all_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let mut content = self.content.write();
        let start = usize::try_from(offset).map_err(|_| ErrorKind::FileTooLarge)?;
        let end = start + new.len();
        if content.bytes.len() < end {
            content.bytes.resize(end, 0);
        }
        content.bytes[start..end].copy_from_slice(new);
        content.len = content.len.max(end);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.read().len as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut content = self.content.write();
        content.len = usize::try_from(len).map_err(|_| ErrorKind::FileTooLarge)?;
        let len = content.len;
        content.bytes.truncate(len);
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? < len { self.set_len(len) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn keeps_the_contract() {
        super::super::tests::check_contract(&super::MemDisk::new());
    }
}
