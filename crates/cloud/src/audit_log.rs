//! The log of reads, failures and denials: JSON lines in a few files of bounded size, never synced.
//!
//! What is lost in a crash is what the last second brought; mutations are in the store and lose
//! nothing.

use gateway::audit::{Audit, Written};
use std::io;
use std::sync::Arc;
use store::disk::{Disk, File, OpenMode};

const FOLDER: &str = "audit";
/// Four files of this size at most: enough for some hundred thousand records.
const FILE_BYTES_MAX: u64 = 16 << 20;
const FILES_MAX: usize = 4;
/// Written at once. A busy second brings megabytes, and memory that is new each time costs more than the
/// writing does.
const WRITE_BYTES: usize = 64 << 10;

/// Writes to the newest file and removes the oldest.
#[derive(Debug)]
pub struct AuditLog {
    disk: Arc<dyn Disk>,
    open: Option<(Arc<dyn File>, u64)>,
    number: u64,
    failed: bool,
}

impl AuditLog {
    pub fn new(disk: Arc<dyn Disk>) -> AuditLog {
        let newest = disk.list(FOLDER).unwrap_or_default().iter().filter_map(|n| number(n)).max();
        AuditLog { disk, open: None, number: newest.unwrap_or(0), failed: false }
    }

    /// Writes what has come since the last call.
    pub fn write(&mut self, audit: &Audit) {
        if !audit.has_unwritten() {
            return;
        }
        match self.write_all(audit) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::warn!(%error, "the log of reads and failures cannot be written");
            }
            Err(_) => {}
        }
    }

    fn write_all(&mut self, audit: &Audit) -> io::Result<()> {
        let mut text = String::with_capacity(WRITE_BYTES + WRITE_BYTES / 4);
        for event in audit.unwritten() {
            text.push_str(&event.json());
            text.push('\n');
            if text.len() >= WRITE_BYTES {
                self.append(text.as_bytes())?;
                text.clear();
            }
        }
        self.append(text.as_bytes())
    }

    /// The same files for whoever looks at the trail.
    pub fn reader(&self) -> Arc<dyn Written> {
        Arc::new(Reader(self.disk.clone()))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let full = self.open.as_ref().is_none_or(|(_, size)| *size >= FILE_BYTES_MAX);
        if full {
            self.open = None;
            self.disk.create_dir(FOLDER)?;
            self.number += 1;
            let path = format!("{FOLDER}/{:08}.jsonl", self.number);
            self.open = Some((self.disk.open(&path, OpenMode::CreateNew)?, 0));
            self.remove_oldest()?;
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all_at(bytes, *size)?;
            *size += bytes.len() as u64;
        }
        Ok(())
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let mut names = self.disk.list(FOLDER)?;
        names.retain(|name| number(name).is_some());
        while names.len() > FILES_MAX {
            self.disk.remove(&format!("{FOLDER}/{}", names.remove(0)))?;
        }
        Ok(())
    }
}

/// Bytes that are read at once, from the end of a file to its beginning.
const PIECE_BYTES: u64 = 1 << 20;

#[derive(Debug)]
struct Reader(Arc<dyn Disk>);

impl Written for Reader {
    fn newest_first(&self, visit: &mut dyn FnMut(&str) -> bool) -> io::Result<()> {
        let mut names = self.0.list(FOLDER)?;
        names.retain(|name| number(name).is_some());
        for name in names.iter().rev() {
            let file = match self.0.open(&format!("{FOLDER}/{name}"), OpenMode::Read) {
                // It was the oldest, and a newer one has taken its place.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                file => file?,
            };
            if !lines_backwards(&*file, visit)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

/// Shows the whole lines of a file, the last one first; `false` when `visit` has had enough.
fn lines_backwards(file: &dyn File, visit: &mut dyn FnMut(&str) -> bool) -> io::Result<bool> {
    let mut end = file.len()?;
    // The rest of a line that begins in an earlier piece.
    let mut rest = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE_BYTES);
        let mut piece = vec![0; (end - start) as usize];
        file.read_exact_at(&mut piece, start)?;
        piece.append(&mut rest);
        end = start;
        // What stands before the first line end is whole only at the beginning of the file.
        let whole = match piece.iter().position(|b| *b == b'\n') {
            _ if start == 0 => 0,
            Some(at) => at + 1,
            None => piece.len(),
        };
        for line in piece[whole..].split(|b| *b == b'\n').rev() {
            if let Ok(text) = std::str::from_utf8(line)
                && !text.is_empty()
                && !visit(text)
            {
                return Ok(false);
            }
        }
        piece.truncate(whole);
        rest = piece;
    }
    Ok(true)
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".jsonl")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::disk::MemDisk;

    #[test]
    fn what_was_written_is_read_from_its_end() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
        let mut log = AuditLog::new(disk.clone());
        // Three pieces, and a second file.
        let line = |n: usize| format!("{n} {}", "x".repeat(n % 997));
        let put = |log: &mut AuditLog, range: std::ops::Range<usize>| {
            let text: String = range.map(|n| line(n) + "\n").collect();
            log.append(text.as_bytes()).unwrap();
        };
        put(&mut log, 0..4000);
        assert!(log.open.as_ref().unwrap().1 > PIECE_BYTES);
        let mut log = AuditLog::new(disk);
        put(&mut log, 4000..4010);
        log.append(b"half a li").unwrap();
        let mut seen = Vec::new();
        let read = |seen: &mut Vec<String>, limit: usize| {
            log.reader()
                .newest_first(&mut |text| {
                    seen.push(text.to_owned());
                    seen.len() < limit
                })
                .unwrap();
        };
        read(&mut seen, usize::MAX);
        assert_eq!(seen.remove(0), "half a li");
        assert!(seen.iter().eq((0..4010).rev().map(line).collect::<Vec<_>>().iter()));
        seen.clear();
        read(&mut seen, 15);
        assert_eq!((seen.len(), &seen[14]), (15, &line(3996)));
    }
}
