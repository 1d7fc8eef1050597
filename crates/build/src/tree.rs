//! Trees of files, looked at by descriptors and following nothing.

use engine::Error;
use oci::digest::Hasher;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, openat, readlinkat, statat};
use std::fs::File;
use std::io::Read;

const DEPTH_MAX: u32 = 512;

/// One file, folder or link of a tree.
pub struct Found<'a> {
    pub above: &'a OwnedFd,
    pub name: &'a str,
    /// From where the walk began.
    pub path: &'a str,
    pub stat: Stat,
}

impl Found<'_> {
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    pub fn open(&self) -> rustix::io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(File::from(openat(self.above, self.name, flags, Mode::empty())?))
    }

    pub fn link(&self) -> rustix::io::Result<Vec<u8>> {
        Ok(readlinkat(self.above, self.name, Vec::new())?.into_bytes())
    }
}

type Visit<'v> = &'v mut dyn FnMut(&Found<'_>) -> Result<bool, Error>;

/// All that is in a folder, in the order of names, folders before what is in them. Where `visit`
/// says no, a folder is not gone into.
pub fn walk(folder: &OwnedFd, visit: Visit<'_>) -> Result<(), Error> {
    walk_in(folder, "", 0, visit)
}

fn walk_in(folder: &OwnedFd, prefix: &str, depth: u32, visit: Visit<'_>) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(Error::failed("folders are nested too deeply"));
    }
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort_unstable();
    for name in names {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        let stat = statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW)?;
        let found = Found { above: folder, name: &name, path: &path, stat };
        let goes_in = visit(&found)?;
        if goes_in && found.kind().is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let inner = openat(folder, name.as_str(), flags, Mode::empty())?;
            walk_in(&inner, &path, depth + 1, visit)?;
        }
    }
    Ok(())
}

/// What a copy of it would look like: all but owners and times.
pub fn hash(found: &Found<'_>, path: &str, hasher: &mut Hasher) -> Result<(), Error> {
    let stat = &found.stat;
    let size = if found.kind().is_file() { stat.st_size } else { 0 };
    hasher.update(format!("{path}\0{:o}\0{size}\0", stat.st_mode).as_bytes());
    if found.kind().is_symlink() {
        hasher.update(&found.link()?);
    }
    if found.kind().is_file() {
        hash_content(&mut found.open()?, hasher)?;
    }
    Ok(())
}

pub fn hash_content(from: &mut impl Read, hasher: &mut Hasher) -> Result<(), Error> {
    let mut piece = vec![0; 128 * 1024];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(()),
            n => hasher.update(&piece[..n]),
        }
    }
}
