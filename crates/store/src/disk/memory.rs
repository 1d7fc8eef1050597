//! A disk in memory. What it links from another disk stays there, and is copied when it is opened to be
//! written; all else never fails.

use super::{Disk, File, OpenMode};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Arc;

#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<String, Node>,
    dirs: BTreeSet<String>,
}

#[derive(Clone, Debug)]
enum Node {
    Own(Arc<MemFile>),
    /// A file of another disk by its path there, which nobody writes. It is opened anew each time: a
    /// million of them must not hold a million descriptors.
    Elsewhere(Arc<dyn Disk>, String),
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

    fn node(&self, path: &str) -> io::Result<&Node> {
        self.files.get(path).ok_or_else(|| not_found(path))
    }

    /// A name that is not taken, in a folder that is there.
    fn check_new(&self, path: &str) -> io::Result<()> {
        if self.files.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        if self.has_dir(parent(path)) { Ok(()) } else { Err(not_found(path)) }
    }

    /// The file to be written: its own copy of what lies elsewhere.
    fn own(&mut self, path: &str) -> io::Result<Arc<MemFile>> {
        let own = match self.node(path)? {
            Node::Own(file) => return Ok(file.clone()),
            Node::Elsewhere(disk, from) => {
                let own = Arc::new(MemFile::default());
                super::copy(&*disk.open(from, OpenMode::Read)?, &*own)?;
                own
            }
        };
        self.files.insert(path.to_owned(), Node::Own(own.clone()));
        Ok(own)
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
        if mode == OpenMode::Read {
            return match self.tree.read().node(path)? {
                Node::Own(file) => Ok(file.clone()),
                Node::Elsewhere(disk, from) => disk.open(from, OpenMode::Read),
            };
        }
        let mut tree = self.tree.write();
        if mode == OpenMode::CreateNew {
            tree.check_new(path)?;
            tree.files.insert(path.to_owned(), Node::Own(Arc::default()));
        }
        Ok(tree.own(path)?)
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
        tree.check_new(to)?;
        let node = tree.node(from)?.clone();
        tree.files.insert(to.to_owned(), node);
        Ok(())
    }

    fn link_from(&self, source: &Arc<dyn Disk>, from: &str, to: &str) -> io::Result<()> {
        let mut tree = self.tree.write();
        tree.check_new(to)?;
        let node = Node::Elsewhere(source.clone(), from.to_owned());
        tree.files.insert(to.to_owned(), node);
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
    use super::*;

    #[test]
    fn keeps_the_contract() {
        super::super::tests::check_contract(&MemDisk::new());
    }

    #[test]
    fn what_lies_elsewhere_is_read_there_and_written_here() {
        let source: Arc<dyn Disk> = Arc::new(MemDisk::new());
        source.open("x", OpenMode::CreateNew).unwrap().write_all_at(b"there", 0).unwrap();
        let disk = MemDisk::new();
        disk.link_from(&source, "x", "y").unwrap();
        assert!(disk.link_from(&source, "x", "y").is_err());
        let read = |disk: &dyn Disk, path: &str| {
            let mut bytes = [0; 5];
            let file = disk.open(path, OpenMode::Read).unwrap();
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert_eq!(read(&disk, "y"), *b"there");
        disk.open("y", OpenMode::ReadWrite).unwrap().write_all_at(b"W", 1).unwrap();
        assert_eq!((read(&disk, "y"), read(&*source, "x")), (*b"tWere", *b"there"));
    }
}
