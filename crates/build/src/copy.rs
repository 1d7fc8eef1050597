//! Copying what was found into an image.

use crate::context::extract;
use crate::sources::{Source, Sources};
use crate::tree;
use engine::Error;
use engine::image::{Sealed, Workspace, open_beneath, place_entry, plain};
use oci::tar::{Entry, Kind, Reader, Time};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags, Stat};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

const USERS_BYTES_MAX: usize = 1 << 20;
/// Of a file that was downloaded.
const DOWNLOAD_MODE: u32 = 0o600;

/// What one instruction asks for, expanded.
#[derive(Clone, Default, Debug)]
pub struct Plan {
    pub is_add: bool,
    /// Absolute; a slash at its end says that it is a folder.
    pub to: String,
    pub chown: Option<String>,
    pub chmod: Option<u32>,
}

struct Copier<'a> {
    workspace: &'a Workspace,
    plan: &'a Plan,
    owner: (u32, u32),
    /// What comes from an image is whose it was there.
    keeps_owners: bool,
}

/// Blocks.
pub fn copy(
    workspace: Workspace,
    sources: &mut Sources,
    plan: &Plan,
) -> Result<Option<Sealed>, Error> {
    let owner = owner(&workspace, plan.chown.as_deref())?;
    let keeps_owners = sources.keep_owners;
    let copier = Copier { workspace: &workspace, plan, owner, keeps_owners };
    let root = sources.root.clone();
    for source in &mut sources.all {
        match source {
            Source::Path { path, is_folder: true, .. } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let from = open_beneath(root.folder(), path, flags)?;
                copier.folder(&from, &sources.exclude)?;
            }
            Source::Path { path, name, .. } => {
                let file = File::from(open_beneath(root.folder(), path, OFlags::RDONLY)?);
                copier.file(file, name)?;
            }
            Source::Text { name, content } => {
                let mut entry = copier.entry(name, Kind::File, 0o644);
                entry.size = content.len() as u64;
                copier.place(entry, name, content.as_bytes())?;
            }
            Source::Download { name, download } => {
                let mut entry = copier.entry(name, Kind::File, DOWNLOAD_MODE);
                entry.size = download.file.metadata()?.len();
                entry.mtime.seconds = download.modified.unwrap_or(0);
                download.file.seek(SeekFrom::Start(0))?;
                copier.place(entry, name, &mut download.file)?;
            }
        }
    }
    workspace.seal()
}

/// Names are looked up in the image's own files.
fn owner(workspace: &Workspace, chown: Option<&str>) -> Result<(u32, u32), Error> {
    let Some(chown) = chown else { return Ok((0, 0)) };
    let passwd = workspace.text("/etc/passwd", USERS_BYTES_MAX);
    let group = workspace.text("/etc/group", USERS_BYTES_MAX);
    // A group that is not named is the number of the user, as in Docker.
    let failed = |text: String| Error::failed(format!("unable to convert uid/gid chown: {text}"));
    let user = engine::users::resolve(chown, &[], &passwd, &group).map_err(failed)?;
    match chown.contains(':') {
        true => Ok((user.uid, user.gid)),
        false => match chown.parse::<u32>() {
            Ok(number) => Ok((number, number)),
            Err(_) => Ok((user.uid, user.gid)),
        },
    }
}

impl Copier<'_> {
    fn folder(&self, from: &OwnedFd, exclude: &dockerfile::Ignore) -> Result<(), Error> {
        let to = self.make_root(from)?;
        // Folders of the copy by their paths: those of the image may be links.
        let mut open: Vec<(String, OwnedFd)> = Vec::new();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        tree::walk(from, &mut |found| {
            if exclude.is_out(found.path) {
                return Ok(exclude.takes_back());
            }
            let above = found.path.rsplit_once('/').map_or("", |(above, _)| above);
            while open.last().is_some_and(|(path, _)| path != above && !is_in(above, path)) {
                open.pop();
            }
            // Folders that were left out themselves are made where something in them was not.
            let from_here = open.last().map_or(0, |(path, _)| path.len());
            for part in above[from_here..].split('/').filter(|part| !part.is_empty()) {
                let (path, folder) = match open.last() {
                    Some((path, folder)) => (format!("{path}/{part}"), folder),
                    None => (part.to_owned(), &to),
                };
                let entry = self.entry(part, Kind::Folder, 0o755);
                self.make(&entry, folder, part, &to, std::io::empty())?;
                let next = rustix::fs::openat(folder, part, flags, rustix::fs::Mode::empty())?;
                open.push((path, next));
            }
            let folder = open.last().map_or(&to, |(_, folder)| folder);
            let kind = match found.kind() {
                FileType::Directory => Kind::Folder,
                FileType::RegularFile => Kind::File,
                FileType::Symlink => Kind::Symlink,
                FileType::Fifo => Kind::Fifo,
                // Devices and sockets mean nothing elsewhere.
                _ => return Ok(true),
            };
            let mut entry = self.look(found.name, kind, &found.stat);
            if kind == Kind::Symlink {
                entry.link = found.link()?;
            }
            if kind == Kind::File {
                self.make(&entry, folder, found.name, &to, found.open()?)?;
                return Ok(true);
            }
            self.make(&entry, folder, found.name, &to, std::io::empty())?;
            if kind == Kind::Folder {
                let next =
                    rustix::fs::openat(folder, found.name, flags, rustix::fs::Mode::empty())?;
                open.push((found.path.to_owned(), next));
            }
            Ok(true)
        })
    }

    /// Where a folder goes. One that is not there is made like it; those above it are nobody's copy.
    fn make_root(&self, from: &OwnedFd) -> Result<OwnedFd, Error> {
        let to = self.plan.to.trim_end_matches('/');
        if !self.keeps_owners {
            return self.workspace.make_folder(&self.plan.to, self.owner);
        }
        if let Some((above, _)) = to.rsplit_once('/') {
            self.workspace.make_folder(&format!("{above}/"), self.owner)?;
        }
        let stat = rustix::fs::fstat(from)?;
        self.workspace.make_folder(&self.plan.to, (stat.st_uid, stat.st_gid))
    }

    fn file(&self, mut file: File, name: &str) -> Result<(), Error> {
        if self.plan.is_add && is_archive(&mut file)? {
            let to = self.workspace.make_folder(&self.plan.to, self.owner)?;
            let owner = self.plan.chown.as_ref().map(|_| self.owner);
            return extract(file, &to, owner, true);
        }
        let stat = rustix::fs::fstat(&file)?;
        let entry = self.look(name, Kind::File, &stat);
        self.place(entry, name, file)
    }

    /// Under its own name where the destination is a folder.
    fn place(&self, entry: Entry, name: &str, content: impl Read) -> Result<(), Error> {
        let to = &self.plan.to;
        let (above, name) = match to.ends_with('/') || self.workspace.is_folder(to) {
            true => (to.as_str(), name),
            false => to.rsplit_once('/').unwrap_or(("", to)),
        };
        let folder = self.workspace.make_folder(&format!("/{above}"), self.owner)?;
        self.make(&entry, &folder, name, &folder, content)
    }

    fn make(
        &self,
        entry: &Entry,
        folder: &OwnedFd,
        name: &str,
        root: &OwnedFd,
        content: impl Read,
    ) -> Result<(), Error> {
        let placed = place_entry(entry, folder, name.as_bytes(), root, content);
        placed.map(|_| ()).map_err(|failure| Error::failed(failure.0))
    }

    fn entry(&self, name: &str, kind: Kind, mode: u32) -> Entry {
        let mut entry = Entry::new(name, kind, self.plan.chmod.unwrap_or(mode));
        (entry.uid, entry.gid) = self.owner;
        entry
    }

    fn look(&self, name: &str, kind: Kind, stat: &Stat) -> Entry {
        let mut entry = self.entry(name, kind, stat.st_mode & 0o7777);
        if self.keeps_owners {
            (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        }
        entry.size = if kind == Kind::File { stat.st_size as u64 } else { 0 };
        entry.mtime = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
        entry
    }
}

/// Whether a path is beneath a folder.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// A tar, compressed or not, by its first header. Where it stands afterwards is its beginning.
fn is_archive(file: &mut File) -> Result<bool, Error> {
    file.seek(SeekFrom::Start(0))?;
    let found = plain(Box::new(&mut *file)).is_ok_and(|from| {
        let mut reader = Reader::new(from);
        matches!(reader.next_entry(), Ok(Some(_)))
    });
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}
