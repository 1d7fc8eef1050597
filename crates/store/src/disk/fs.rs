//! A folder of the real file system.

use super::{Disk, File, OpenMode};
use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The name of the file that says who holds the folder.
const LOCK: &str = "lock";

/// A data folder, held by this process alone for as long as this lives.
#[derive(Debug)]
pub struct FsDisk {
    root: OwnedFd,
    /// None for a folder that is only read.
    lock: Option<std::fs::File>,
}

#[derive(Debug)]
struct FsFile(std::fs::File);

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);
const DIR_MODE: Mode = Mode::RWXU;

impl FsDisk {
    /// Makes the folder if it is absent and takes hold of it. `holder` (process number, address) is
    /// what a second process is told, in an error of kind `WouldBlock`.
    pub fn open(root: &Path, holder: &str) -> io::Result<FsDisk> {
        make_dirs(root)?;
        let dir = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::openat(CWD, root, dir, Mode::empty())?;
        // The lock is made once the folder's own name is durable, so that it says so.
        if fs::accessat(&fd, LOCK, fs::Access::EXISTS, AtFlags::empty()).is_err() {
            sync_above(&fd)?;
        }
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let lock = std::fs::File::from(fs::openat(&fd, LOCK, flags, FILE_MODE)?);
        match fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(held(root, &lock)),
            Err(error) => return Err(error.into()),
        }
        lock.set_len(0)?;
        lock.write_all_at(holder.as_bytes(), 0)?;
        Ok(FsDisk { root: fd, lock: Some(lock) })
    }

    /// A folder that may belong to a running process, such as a snapshot: only to be read.
    pub fn open_to_read(root: &Path) -> io::Result<FsDisk> {
        let dir = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(FsDisk { root: fs::openat(CWD, root, dir, Mode::empty())?, lock: None })
    }

    /// Changes what a second process is told, once the address is known.
    pub fn set_holder(&self, holder: &str) -> io::Result<()> {
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.set_len(0)?;
        lock.write_all_at(holder.as_bytes(), 0)
    }
}

fn held(root: &Path, lock: &std::fs::File) -> io::Error {
    let mut text = [0; 200];
    let read = lock.read_at(&mut text, 0).unwrap_or(0);
    let holder = String::from_utf8_lossy(&text[..read]).trim().replace(char::is_control, " ");
    let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
    let root = root.display();
    io::Error::new(
        ErrorKind::WouldBlock,
        format!("{root} is in use by {holder}; stop it or choose another folder with --data"),
    )
}

fn make_dirs(path: &Path) -> io::Result<()> {
    match fs::mkdirat(CWD, path, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            make_dirs(parent.ok_or(ErrorKind::NotFound)?)?;
            match fs::mkdirat(CWD, path, DIR_MODE) {
                Ok(()) | Err(Errno::EXIST) => Ok(()),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes the name of a folder durable, and those of the folders above it on the same file system: any of
/// them may be as new as it is, made by a process that was killed before it could say so for good.
fn sync_above(folder: &OwnedFd) -> io::Result<()> {
    let mut below = fs::fstat(folder)?;
    let mut at = folder.try_clone()?;
    loop {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let above = match fs::openat(&at, "..", flags, Mode::empty()) {
            Ok(above) => above,
            // Where one may not read, one has most likely made nothing.
            Err(Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let found = fs::fstat(&above)?;
        if found.st_dev != below.st_dev || found.st_ino == below.st_ino {
            return Ok(());
        }
        retry_on_intr(|| fs::fsync(&above))?;
        (at, below) = (above, found);
    }
}

/// Want of descriptors or of the kernel's memory, where a file or folder is opened, passes: nothing has
/// been done, and it may be tried again.
fn not_opened(error: Errno) -> io::Error {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM => {
            io::Error::new(ErrorKind::ResourceBusy, io::Error::from(error))
        }
        error => error.into(),
    }
}

/// What a sync says never passes, whatever it is, except want of space.
fn not_synced(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::ResourceBusy => io::Error::other(error),
        _ => error,
    }
}

/// Refuses what would leave the folder, and the empty path.
fn name(path: &str) -> io::Result<&str> {
    let ok = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if ok { Ok(path) } else { Err(ErrorKind::InvalidInput.into()) }
}

/// The same for a folder, where the empty path is the root.
fn dir_name(path: &str) -> io::Result<&str> {
    if path.is_empty() { Ok(".") } else { name(path) }
}

impl FsDisk {
    fn open_dir(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat(&self.root, dir_name(path)?, flags, Mode::empty()).map_err(not_opened)
    }

    fn remove_tree(&self, path: &str) -> io::Result<()> {
        for entry in self.list(path)? {
            let below = format!("{path}/{entry}");
            match fs::unlinkat(&self.root, &below, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::ISDIR | Errno::PERM) => self.remove_tree(&below)?,
                Err(error) => return Err(error.into()),
            }
        }
        match fs::unlinkat(&self.root, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Disk for FsDisk {
    fn open(&self, path: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let fd = fs::openat(&self.root, name(path)?, flags, FILE_MODE).map_err(not_opened)?;
        Ok(Arc::new(FsFile(std::fs::File::from(fd))))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::renameat(&self.root, name(from)?, &self.root, name(to)?)?)
    }

    fn link(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(fs::linkat(&self.root, name(from)?, &self.root, name(to)?, AtFlags::empty())?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        Ok(fs::unlinkat(&self.root, name(path)?, AtFlags::empty())?)
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let path = name(path)?;
        let ends = path.match_indices('/').map(|(i, _)| i).chain([path.len()]);
        for end in ends {
            match fs::mkdirat(&self.root, &path[..end], DIR_MODE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn remove_dir_all(&self, path: &str) -> io::Result<()> {
        self.remove_tree(name(path)?)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let dir = match self.open_dir(path) {
            Ok(dir) => dir,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in fs::Dir::new(dir)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
                && !(path.is_empty() && name == LOCK)
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        let folder = self.open_dir(path)?;
        retry_on_intr(|| fs::fsync(&folder)).map_err(|error| not_synced(error.into()))
    }

    fn link_from(&self, source: &Arc<dyn Disk>, from: &str, to: &str) -> io::Result<()> {
        if let Some(folder) = source.folder() {
            match fs::linkat(folder, name(from)?, &self.root, name(to)?, AtFlags::empty()) {
                Ok(()) => return Ok(()),
                // Another file system, or one that does not link.
                Err(Errno::XDEV | Errno::PERM | Errno::MLINK | Errno::OPNOTSUPP) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let from = source.open(from, OpenMode::Read)?;
        super::copy(&*from, &*self.open(to, OpenMode::CreateNew)?)
    }

    fn folder(&self) -> Option<BorrowedFd<'_>> {
        Some(self.root.as_fd())
    }

    fn available_bytes(&self) -> io::Result<u64> {
        let found = fs::fstatvfs(&self.root)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

impl File for FsFile {
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn read_cached_at(&self, out: &mut [u8], offset: u64) -> io::Result<bool> {
        let length = out.len();
        let into = &mut [io::IoSliceMut::new(out)];
        // A part of it, or a file system that cannot say, is as good as nothing.
        match rustix::io::preadv2(&self.0, into, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) => Ok(read == length),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if len == 0 {
            return Ok(());
        }
        // Some file systems give up on any signal.
        let allocated =
            retry_on_intr(|| fs::fallocate(self.0.as_fd(), FallocateFlags::empty(), 0, len));
        match allocated {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let zeros = [0; 64 << 10];
                let mut at = self.len()?;
                while at < len {
                    let step = zeros.len().min((len - at) as usize);
                    self.0.write_all_at(&zeros[..step], at)?;
                    at += step as u64;
                }
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn begin_writeback(&self, offset: u64, len: u64) {
        // For dirty pages Linux takes this as: start writing, do not wait, and keep them. It is the
        // one way to say so without unsafe code.
        let length = std::num::NonZeroU64::new(len);
        let _ = fs::fadvise(&self.0, offset, length, fs::Advice::DontNeed);
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data().map_err(not_synced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_and_is_not_left() {
        let root = std::env::temp_dir().join(format!("cumulet-fs-{}", std::process::id()));
        let disk = FsDisk::open(&root.join("a/b"), "pid 7, 127.0.0.1:4566").unwrap();
        let second = FsDisk::open(&root.join("a/b"), "pid 8").unwrap_err();
        assert_eq!(second.kind(), ErrorKind::WouldBlock);
        assert!(second.to_string().contains("in use by pid 7, 127.0.0.1:4566"), "{second}");
        super::super::tests::check_contract(&disk);
        for bad in ["../x", "/x", "a//b", "", "a/./b"] {
            assert_eq!(disk.remove(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
        }
        drop(disk);
        FsDisk::open(&root.join("a/b"), "pid 8").unwrap();
        std::fs::remove_dir_all(&root).unwrap();
    }
    #[test]
    fn want_of_descriptors_passes_and_a_failed_sync_does_not() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM] {
            assert_eq!(not_opened(errno).kind(), ErrorKind::ResourceBusy, "{errno}");
            assert_ne!(not_synced(errno.into()).kind(), ErrorKind::ResourceBusy, "{errno}");
        }
        assert_eq!(not_opened(Errno::NOENT).kind(), ErrorKind::NotFound);
        assert_ne!(not_synced(Errno::BUSY.into()).kind(), ErrorKind::ResourceBusy);
        assert_eq!(not_synced(Errno::NOSPC.into()).kind(), ErrorKind::StorageFull);
    }
}
