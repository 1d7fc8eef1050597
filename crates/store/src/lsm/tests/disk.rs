//! A disk in memory that forgets what was not synced, refuses writes, and lets tests damage files.

use crate::disk::{Disk, File, OpenMode};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default, Debug)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone, Debug)]
struct TestFile {
    content: Arc<Mutex<Content>>,
    left: Arc<AtomicI64>,
}

type Names = BTreeMap<String, TestFile>;

#[derive(Debug)]
pub struct TestDisk {
    /// Names as they are, and as they would be after a power cut.
    names: Mutex<(Names, Names)>,
    /// Changes that still succeed.
    left: Arc<AtomicI64>,
}

fn spend(left: &AtomicI64) -> io::Result<()> {
    if left.fetch_sub(1, Ordering::SeqCst) > 0 {
        return Ok(());
    }
    left.store(0, Ordering::SeqCst);
    Err(io::Error::from(io::ErrorKind::StorageFull))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl TestDisk {
    pub fn new() -> Arc<Self> {
        let left = Arc::new(AtomicI64::new(i64::MAX));
        Arc::new(Self { names: Mutex::default(), left })
    }

    /// After so many more changes each one fails.
    pub fn fail_after(&self, changes: i64) {
        self.left.store(changes, Ordering::SeqCst);
    }

    /// What remains of the power cut at its worst: only what was synced.
    pub fn cut_power(&self) {
        let mut names = self.names.lock().unwrap();
        names.0 = names.1.clone();
        for file in names.0.values_mut() {
            let synced = file.content.lock().unwrap().synced.clone();
            let content = Content { now: synced.clone(), synced };
            file.content = Arc::new(Mutex::new(content));
        }
        names.1 = names.0.clone();
    }

    pub fn paths(&self) -> Vec<String> {
        self.names.lock().unwrap().0.keys().cloned().collect()
    }

    pub fn bytes(&self, path: &str) -> Vec<u8> {
        self.names.lock().unwrap().0[path].content.lock().unwrap().now.clone()
    }

    /// Puts bytes there for good.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let content = Content { now: bytes.to_vec(), synced: bytes.to_vec() };
        let content = Arc::new(Mutex::new(content));
        let file = TestFile { content, left: Arc::clone(&self.left) };
        let mut names = self.names.lock().unwrap();
        names.0.insert(path.to_owned(), file.clone());
        names.1.insert(path.to_owned(), file);
    }
}

impl Disk for TestDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut names = self.names.lock().unwrap();
        let found = names.0.get(path).cloned();
        match (found, mode) {
            (Some(_), OpenMode::CreateNew) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
            (Some(file), _) => Ok(Arc::new(file)),
            (None, OpenMode::CreateNew) => {
                spend(&self.left)?;
                let content = Arc::default();
                let file = TestFile { content, left: Arc::clone(&self.left) };
                names.0.insert(path.to_owned(), file.clone());
                Ok(Arc::new(file))
            }
            (None, _) => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        spend(&self.left)?;
        let mut names = self.names.lock().unwrap();
        let file = names.0.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.0.insert(to.to_owned(), file);
        Ok(())
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        spend(&self.left)?;
        let mut names = self.names.lock().unwrap();
        let file = names.0.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        names.0.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        names.0.remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn remove_dir_all(&self, path: &str) -> io::Result<()> {
        let mut names = self.names.lock().unwrap();
        names.0.retain(|name, _| !name.starts_with(&format!("{path}/")));
        Ok(())
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let names = self.names.lock().unwrap();
        let inside = names.0.keys().filter_map(|name| name.strip_prefix(&format!("{path}/")));
        let mut inside: Vec<String> =
            inside.map(|name| name.split('/').next().unwrap_or_default().to_owned()).collect();
        inside.dedup();
        Ok(inside)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        spend(&self.left)?;
        let mut names = self.names.lock().unwrap();
        let now: Names = names.0.clone();
        names.1.retain(|name, _| parent(name) != path);
        names.1.extend(now.into_iter().filter(|(name, _)| parent(name) == path));
        Ok(())
    }

    fn available_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

impl File for TestFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let content = self.content.lock().unwrap();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = content.now.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        spend(&self.left)?;
        let mut content = self.content.lock().unwrap();
        let end = offset as usize + bytes.len();
        if content.now.len() < end {
            content.now.resize(end, 0);
        }
        content.now[offset as usize..end].copy_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.content.lock().unwrap().now.len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        spend(&self.left)?;
        self.content.lock().unwrap().now.resize(len as usize, 0);
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        spend(&self.left)?;
        let mut content = self.content.lock().unwrap();
        content.synced = content.now.clone();
        Ok(())
    }
}
