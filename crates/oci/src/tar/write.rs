//! Writing a tar as a stream.

use super::{BLOCK, Entry, Kind};
use std::io::{self, Write};

#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    /// Of the entry's content, not written yet.
    left: u64,
    padding: usize,
}

impl<W: Write> Writer<W> {
    pub fn new(to: W) -> Writer<W> {
        Writer { to, left: 0, padding: 0 }
    }

    /// Begins an entry. The content of a file follows by [`Writer::write_content`].
    pub fn entry(&mut self, entry: &Entry) -> io::Result<()> {
        if self.left > 0 {
            return Err(io::Error::other("the entry before this one is not whole"));
        }
        let pax = pax_records(entry);
        if !pax.is_empty() {
            self.header(
                &Entry::new(*b"PaxHeaders.0/x", Kind::File, 0o644),
                b'x',
                pax.len() as u64,
            )?;
            self.to.write_all(&pax)?;
            self.pad(pax.len())?;
        }
        let flag = match entry.kind {
            Kind::File => b'0',
            Kind::HardLink => b'1',
            Kind::Symlink => b'2',
            Kind::Character => b'3',
            Kind::Block => b'4',
            Kind::Folder => b'5',
            Kind::Fifo => b'6',
        };
        let size = if entry.kind == Kind::File { entry.size } else { 0 };
        self.header(entry, flag, size)?;
        self.left = size;
        self.padding = (size.next_multiple_of(BLOCK as u64) - size) as usize;
        Ok(())
    }

    pub fn write_content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::other("an entry's content is longer than was said"))?;
        self.to.write_all(bytes)?;
        if self.left == 0 && self.padding > 0 {
            self.to.write_all(&[0; BLOCK][..self.padding])?;
            self.padding = 0;
        }
        Ok(())
    }

    /// A file that is in memory.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let mut entry = Entry::new(path, Kind::File, mode);
        entry.size = content.len() as u64;
        self.entry(&entry)?;
        self.write_content(content)
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        if self.left > 0 {
            return Err(io::Error::other("the last entry is not whole"));
        }
        self.to.write_all(&[0; 2 * BLOCK])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn pad(&mut self, written: usize) -> io::Result<()> {
        let rest = written.next_multiple_of(BLOCK) - written;
        self.to.write_all(&[0; BLOCK][..rest])
    }

    fn header(&mut self, entry: &Entry, flag: u8, size: u64) -> io::Result<()> {
        let mut h = [0; BLOCK];
        let put = |h: &mut [u8; BLOCK], at: usize, bytes: &[u8], most: usize| {
            let bytes = &bytes[..bytes.len().min(most)];
            h[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(&mut h, 0, &entry.path, 100);
        octal(&mut h[100..108], u64::from(entry.mode & 0o7777));
        octal(&mut h[108..116], u64::from(entry.uid));
        octal(&mut h[116..124], u64::from(entry.gid));
        octal(&mut h[124..136], size);
        octal(&mut h[136..148], entry.mtime.seconds.max(0) as u64);
        h[156] = flag;
        put(&mut h, 157, &entry.link, 100);
        put(&mut h, 257, b"ustar\x0000", 8);
        octal(&mut h[329..337], u64::from(entry.device.0));
        octal(&mut h[337..345], u64::from(entry.device.1));
        h[148..156].fill(b' ');
        let sum: u64 = h.iter().map(|byte| u64::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        h[148..156].copy_from_slice(text.as_bytes());
        self.to.write_all(&h)
    }
}

/// What does not fit is in a pax record.
fn octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let text = format!("{value:0digits$o}");
    if text.len() <= digits {
        field[..digits].copy_from_slice(text.as_bytes());
    }
}

fn fits(value: u64, digits: u32) -> bool {
    value < 1 << (3 * digits)
}

fn pax_records(entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    if entry.path.len() > 100 {
        record(&mut out, b"path", &entry.path);
    }
    if entry.link.len() > 100 {
        record(&mut out, b"linkpath", &entry.link);
    }
    if !fits(entry.size, 11) {
        record(&mut out, b"size", entry.size.to_string().as_bytes());
    }
    for (key, value) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if !fits(u64::from(value), 7) {
            record(&mut out, key, value.to_string().as_bytes());
        }
    }
    let time = entry.mtime;
    if time.nanoseconds > 0 || time.seconds < 0 || !fits(time.seconds as u64, 11) {
        let text = match (time.seconds, time.nanoseconds) {
            (seconds, 0) => seconds.to_string(),
            (seconds @ 0.., ns) => format!("{seconds}.{ns:09}"),
            (seconds, ns) => {
                // Seconds towards the past and a fraction towards the future, written as one number.
                let (seconds, ns) = (-(seconds + 1), 1_000_000_000 - ns);
                format!("-{seconds}.{ns:09}")
            }
        };
        record(&mut out, b"mtime", text.as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut out, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    out
}

/// A record's length counts its own digits.
fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if length.to_string().len() > rest.to_string().len() {
        length += 1;
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}
