//! The context of a build: an archive, unpacked into a folder of ours.

use dockerfile::Ignore;
use engine::Error;
use engine::image::{Images, open_beneath, open_folder, place_entry, plain, remove_folder};
use oci::tar::{Kind, Reader};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, mkdirat};
use rustix::io::Errno;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

const ENTRIES_MAX: u64 = 2_000_000;
/// Unpacked, whatever it was before.
const BYTES_MAX: u64 = 64 << 30;
const TEXT_BYTES_MAX: u64 = 4 << 20;
const IGNORE: &str = ".dockerignore";

#[derive(Debug)]
pub struct Context {
    place: PathBuf,
    pub root: OwnedFd,
}

impl Drop for Context {
    fn drop(&mut self) {
        let (Some(above), Some(name)) = (self.place.parent(), self.place.file_name()) else {
            return;
        };
        if let Ok(above) = open_folder(above) {
            let _ = remove_folder(&above, name.to_string_lossy().as_bytes());
        }
    }
}

/// Relative, with `/`; `..` would lead out.
pub fn clean(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::ParentDir => drop(parts.pop()?),
            _ => {}
        }
    }
    Some(parts.join("/"))
}

impl Context {
    pub fn empty(images: &Images) -> Result<Context, Error> {
        let place = images.scratch("context");
        std::fs::create_dir_all(&place)?;
        let root = open_folder(&place)?;
        Ok(Context { place, root })
    }

    /// Blocks.
    pub fn unpack(images: &Images, archive: impl Read) -> Result<Context, Error> {
        let context = Context::empty(images)?;
        extract(images.roomy(archive)?, &context.root, None, false)?;
        Ok(context)
    }

    /// A context that is nothing but a Dockerfile.
    pub fn of_text(images: &Images, text: &[u8]) -> Result<Context, Error> {
        let context = Context::empty(images)?;
        let mut entry = oci::tar::Entry::new("Dockerfile", Kind::File, 0o644);
        entry.size = text.len() as u64;
        place_entry(&entry, &context.root, b"Dockerfile", &context.root, text)
            .map_err(|failure| Error::failed(failure.0))?;
        Ok(context)
    }

    /// Makes an entry beneath the folder, without its content: of those that come file by file.
    /// Blocks.
    pub fn place(&self, path: &str, entry: &oci::tar::Entry) -> Result<(), Error> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let above = make_above(&self.root, above)?;
        place_entry(entry, &above, name.as_bytes(), &self.root, std::io::empty())
            .map(|_| ())
            .map_err(|failure| Error::failed(failure.0))
    }

    /// A file that was placed, to be written. Blocks.
    pub fn open_placed(&self, path: &str) -> Result<std::fs::File, Error> {
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        Ok(open_beneath(&self.root, &format!("/{path}"), flags)?.into())
    }

    /// Where it lies on this machine.
    pub fn place_path(&self) -> &Path {
        &self.place
    }

    pub fn text(&self, path: &str) -> Result<Option<String>, Error> {
        let file = match open_beneath(&self.root, path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut text = Vec::new();
        file.take(TEXT_BYTES_MAX + 1).read_to_end(&mut text)?;
        if text.len() as u64 > TEXT_BYTES_MAX {
            return Err(Error::invalid(format!("{path} is too long")));
        }
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// The client leaves out what `.dockerignore` names, but for two files that it has to send. Of a
    /// context from elsewhere nothing was left out yet.
    pub fn apply_ignore(&self, dockerfile: &str, is_remote: bool) -> Result<(), Error> {
        let Some(text) = self.text(IGNORE)? else { return Ok(()) };
        let ignore = Ignore::parse(&text).map_err(Error::invalid)?;
        for name in [IGNORE, dockerfile] {
            if ignore.is_out(name) {
                self.remove(name)?;
            }
        }
        if is_remote && !ignore.is_empty() {
            let mut out = Vec::new();
            crate::tree::walk(&self.root, &mut |found| {
                let is_out = ignore.is_out(found.path);
                if is_out && !(found.kind().is_dir() && ignore.takes_back()) {
                    out.push(found.path.to_owned());
                    return Ok(false);
                }
                Ok(true)
            })?;
            for path in out {
                self.remove(&path)?;
            }
        }
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), Error> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = open_beneath(&self.root, &format!("/{above}"), flags)?;
        match rustix::fs::unlinkat(&folder, name, rustix::fs::AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Ok(remove_folder(&folder, name.as_bytes())?),
            Err(error) => Err(error.into()),
        }
    }
}

/// Unpacks an archive into a folder, and beneath it whatever it says. `owner` in place of those that
/// the archive names; `devices`: whether it may have some.
pub fn extract<'a>(
    archive: impl Read + 'a,
    folder: &OwnedFd,
    owner: Option<(u32, u32)>,
    devices: bool,
) -> Result<(), Error> {
    let mut reader = Reader::new(plain(Box::new(archive))?);
    let wrong = |error: oci::tar::TarError| Error::invalid(error.to_string());
    let (mut entries, mut bytes) = (0u64, 0u64);
    while let Some(mut entry) = reader.next_entry().map_err(wrong)? {
        entries += 1;
        bytes = bytes.saturating_add(entry.size);
        if entries > ENTRIES_MAX || bytes > BYTES_MAX {
            return Err(Error::invalid("the archive is too large"));
        }
        let path = String::from_utf8_lossy(&entry.path).into_owned();
        if Path::new(&path).components().any(|part| part == Component::ParentDir) {
            return Err(Error::invalid(format!("invalid path in the archive: {path:?}")));
        }
        let Some(path) = clean(&path).filter(|path| !path.is_empty()) else { continue };
        if !devices && matches!(entry.kind, Kind::Character | Kind::Block) {
            return Err(Error::invalid(format!("the archive has a device: {path:?}")));
        }
        if let Some((uid, gid)) = owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path.as_str()));
        let above = make_above(folder, above)?;
        place_entry(&entry, &above, name.as_bytes(), folder, reader.content())
            .map_err(|failure| Error::failed(failure.0))?;
    }
    Ok(())
}

/// The folders above an entry. A link in a folder's place leads nowhere out of the folder.
fn make_above(folder: &OwnedFd, above: &str) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut so_far = String::from("/");
    let mut current = open_beneath(folder, "/", flags)?;
    for part in above.split('/').filter(|part| !part.is_empty()) {
        so_far.push_str(part);
        current = match open_beneath(folder, &so_far, flags) {
            Ok(next) => next,
            Err(Errno::NOENT) => {
                mkdirat(&current, part, Mode::from_raw_mode(0o755))?;
                open_beneath(folder, &so_far, flags)?
            }
            Err(error) => return Err(error.into()),
        };
        so_far.push('/');
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("a/./b/", Some("a/b")),
            ("/a/../b", Some("b")),
            ("..", None),
            ("a/../../b", None),
            ("", Some("")),
        ] {
            assert_eq!(clean(path).as_deref(), expected, "{path}");
        }
    }
}
