//! How to put a layer's archive together again, byte for byte, from the folder that it was unpacked
//! into: all of it but the contents of files, and where those go.
//!
//! So a layer is kept once, as the folder that containers use, and can still be given out under its
//! digest. The recipe is a list of pieces: `0`, length, bytes; or `1`, size, length, path of a file.

use super::pour::pour;
use crate::sys::files;
use rustix::fd::OwnedFd;
use rustix::fs::OFlags;
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

const BYTES: u8 = 0;
const FILE: u8 = 1;
/// Of one piece.
const PIECE_BYTES_MAX: usize = 1 << 20;

/// Writes the recipe while the archive passes through.
#[derive(Clone, Default, Debug)]
pub struct Recorder(Rc<RefCell<Recording>>);

#[derive(Default, Debug)]
struct Recording {
    out: Vec<u8>,
    pending: Vec<u8>,
    /// Of the file whose content passes now.
    content_left: u64,
    /// Of all files together.
    content: u64,
}

impl Recording {
    fn flush(&mut self) {
        if !self.pending.is_empty() {
            self.out.push(BYTES);
            self.out.extend_from_slice(&(self.pending.len() as u64).to_le_bytes());
            self.out.append(&mut self.pending);
        }
    }

    fn pass(&mut self, mut bytes: &[u8]) {
        let content = self.content_left.min(bytes.len() as u64);
        self.content_left -= content;
        bytes = &bytes[content as usize..];
        for piece in bytes.chunks(PIECE_BYTES_MAX) {
            if self.pending.len() + piece.len() > PIECE_BYTES_MAX {
                self.flush();
            }
            self.pending.extend_from_slice(piece);
        }
    }
}

impl Recorder {
    pub fn tap<R: Read>(&self, from: R) -> Tap<R> {
        Tap { from, recorder: self.clone() }
    }

    /// What passes next is the content of this file.
    pub fn file(&self, path: &[u8], size: u64) {
        let mut recording = self.0.borrow_mut();
        if size == 0 {
            return;
        }
        recording.flush();
        recording.out.push(FILE);
        recording.out.extend_from_slice(&size.to_le_bytes());
        recording.out.extend_from_slice(&(path.len() as u64).to_le_bytes());
        recording.out.extend_from_slice(path);
        recording.content_left = size;
        recording.content += size;
    }

    /// The sum of the files' lengths.
    pub fn content_bytes(&self) -> u64 {
        self.0.borrow().content
    }

    /// What goes into an archive that is being written.
    pub fn pass(&self, bytes: &[u8]) {
        self.0.borrow_mut().pass(bytes);
    }

    pub fn finish(self) -> Vec<u8> {
        let mut recording = self.0.borrow_mut();
        recording.flush();
        std::mem::take(&mut recording.out)
    }
}

#[derive(Debug)]
pub struct Tap<R> {
    from: R,
    recorder: Recorder,
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(out)?;
        self.recorder.0.borrow_mut().pass(&out[..read]);
        Ok(read)
    }
}

/// The length of the archive that the recipe is of.
pub fn cooked_size(mut recipe: impl Read) -> io::Result<u64> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a layer's recipe is damaged");
    let mut size = 0u64;
    let mut kind = [0];
    while recipe.read(&mut kind)? == 1 {
        let mut number = || -> io::Result<u64> {
            let mut bytes = [0; 8];
            recipe.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let first = number()?;
        let skipped = match kind[0] {
            BYTES => first,
            FILE => number()?,
            _ => return Err(malformed()),
        };
        size = size.checked_add(first).ok_or_else(malformed)?;
        if io::copy(&mut (&mut recipe).take(skipped), &mut io::sink())? != skipped {
            return Err(malformed());
        }
    }
    Ok(size)
}

/// Writes the archive that the recipe is of.
pub fn cook(mut recipe: impl Read, layer: &OwnedFd, to: &mut impl Write) -> io::Result<()> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "a layer's recipe is damaged");
    let mut kind = [0];
    while recipe.read(&mut kind)? == 1 {
        let number = |recipe: &mut dyn Read| -> io::Result<u64> {
            let mut bytes = [0; 8];
            recipe.read_exact(&mut bytes)?;
            Ok(u64::from_le_bytes(bytes))
        };
        let first = number(&mut recipe)?;
        match kind[0] {
            BYTES if first <= PIECE_BYTES_MAX as u64 => {
                let mut bytes = vec![0; first as usize];
                recipe.read_exact(&mut bytes)?;
                to.write_all(&bytes)?;
            }
            FILE => {
                let length = number(&mut recipe)?;
                if length > 4096 {
                    return Err(malformed());
                }
                let mut path = vec![0; length as usize];
                recipe.read_exact(&mut path)?;
                copy_file(layer, &path, first, to)?;
            }
            _ => return Err(malformed()),
        }
    }
    Ok(())
}

fn copy_file(layer: &OwnedFd, path: &[u8], size: u64, to: &mut impl Write) -> io::Result<()> {
    let path = [b"/", path].concat();
    let path = std::str::from_utf8(&path)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a path is not UTF-8"))?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = std::fs::File::from(files::open_in(layer, path, flags)?);
    match pour(&mut file.take(size), to, size)? {
        copied if copied == size => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a layer has changed on the disk")),
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "files of tests")]
mod tests {
    use super::super::unpack::{Below, unpack};
    use super::*;
    use oci::tar::{Entry, Kind, Writer};
    use rustix::fs::{CWD, Mode, openat};

    #[test]
    fn an_archive_comes_back_as_it_was() {
        let dir = std::env::temp_dir().join(format!("cumulet-recipe-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let mut writer = Writer::new(Vec::new());
        writer.entry(&Entry::new("d/", Kind::Folder, 0o755)).unwrap();
        writer.file("d/a", 0o600, &vec![7; 100_000]).unwrap();
        writer.file("empty", 0o644, b"").unwrap();
        writer.file("last", 0o644, b"end").unwrap();
        let mut archive = writer.finish().unwrap();
        // Docker pads archives to whole records; all of it is in the digest.
        archive.extend_from_slice(&[0; 4096]);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, &dir, flags, Mode::empty()).unwrap();
        let recorder = Recorder::default();
        let below = Below { folders: &[] };
        let unpacked = unpack(&archive[..], &root, &below, 1 << 20, &recorder).unwrap();
        assert!(unpacked.is_whole);
        let recipe = recorder.finish();
        assert!(recipe.len() < 10_000, "{}", recipe.len());
        let mut out = Vec::new();
        cook(&recipe[..], &root, &mut out).unwrap();
        assert!(out == archive);
        assert_eq!(cooked_size(&recipe[..]).unwrap(), archive.len() as u64);
        assert!(cooked_size(&recipe[..20]).is_err());
        std::fs::write(dir.join("d/a"), "short").unwrap();
        assert!(cook(&recipe[..], &root, &mut Vec::new()).is_err());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
