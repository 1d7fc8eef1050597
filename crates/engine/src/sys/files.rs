//! Files and folders beneath a root that may be hostile: nothing is looked up but beneath it.

use super::{Context, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, statat};
use rustix::io::Errno;
use std::io::Write;
use std::path::{Component, Path};

/// Opens what is at `path` as a program whose root is `root` would see it.
pub fn open_in(root: impl AsFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    loop {
        match openat2(root.as_fd(), path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something was renamed while it was looked up.
            Err(Errno::AGAIN | Errno::INTR) => continue,
            other => return other,
        }
    }
}

/// The folder at `path` beneath `root`, whatever bytes it is made of; none at all is `root` itself.
pub fn open_path_in(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    loop {
        match openat2(root.as_fd(), path, flags, Mode::empty(), resolve) {
            // Something was renamed while it was looked up.
            Err(Errno::AGAIN | Errno::INTR) => continue,
            other => return other,
        }
    }
}

/// The folder at `path` beneath `root`, made if it is not there, with those above it.
pub fn make_folder(root: impl AsFd, path: &str) -> Result<OwnedFd> {
    let failed = || format!("cannot make the folder {path}");
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let mut so_far = String::from("/");
    let mut folder = open_in(root.as_fd(), "/", flags).context(failed)?;
    for component in Path::new(path).components() {
        let Component::Normal(name) = component else { continue };
        let name = name.to_str().unwrap_or_default();
        so_far.push_str(name);
        folder = match open_in(root.as_fd(), &so_far, flags) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => return Err(error).context(failed),
                }
                open_in(root.as_fd(), &so_far, flags).context(failed)?
            }
            Err(error) => return Err(error).context(failed),
        };
        so_far.push('/');
    }
    Ok(folder)
}

/// The file at `path` beneath `root`, made if it is not there, with the folders above it.
pub fn make_file(root: impl AsFd, path: &str) -> Result<OwnedFd> {
    let failed = || format!("cannot make the file {path}");
    if let Ok(file) = open_in(root.as_fd(), path, OFlags::PATH) {
        return Ok(file);
    }
    let whole = Path::new(path);
    let above = whole.parent().and_then(Path::to_str).unwrap_or("/");
    let name = whole.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let folder = make_folder(root.as_fd(), above)?;
    let flags = OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::WRONLY;
    openat(&folder, name, flags, Mode::from_raw_mode(0o644)).context(failed)?;
    open_in(root, path, OFlags::PATH).context(failed)
}

pub fn is_folder(fd: impl AsFd) -> rustix::io::Result<bool> {
    let stat = statat(fd, "", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Writes to a file that is there already, as the kernel's are.
pub fn write_existing(folder: impl AsFd, path: &str, text: &str) -> rustix::io::Result<()> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat2(folder, path, flags, Mode::empty(), resolve)?;
    let written = std::fs::File::from(file).write_all(text.as_bytes());
    written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// A whole file beneath `root`, up to a size; `None` if it is not there.
pub fn read_in(root: impl AsFd, path: &str, bytes_max: usize) -> Option<String> {
    use std::io::Read;
    let file = open_in(root, path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    let mut text = Vec::new();
    std::fs::File::from(file).take(bytes_max as u64).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}
