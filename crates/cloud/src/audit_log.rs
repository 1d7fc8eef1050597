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
    /// Goes on in the newest file, after what a crash may have left of a line.
    pub fn new(disk: Arc<dyn Disk>) -> AuditLog {
        let newest = disk.list(FOLDER).unwrap_or_default().iter().filter_map(|n| number(n)).max();
        let mut log = AuditLog { disk, open: None, number: newest.unwrap_or(0), failed: false };
        // If that fails, a new file is begun.
        log.open = newest.and_then(|newest| log.open_again(newest).ok());
        log
    }

    fn open_again(&self, number: u64) -> io::Result<(Arc<dyn File>, u64)> {
        let file = self.disk.open(&path(number), OpenMode::ReadWrite)?;
        let size = file.len()?;
        let mut last = [b'\n'];
        if size > 0 {
            file.read_exact_at(&mut last, size - 1)?;
        }
        if last == [b'\n'] {
            return Ok((file, size));
        }
        file.write_all_at(b"\n", size)?;
        Ok((file, size + 1))
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
        let events = audit.unwritten();
        self.write_lines(events.iter().map(|event| event.json())).map_err(|(lost, error)| {
            // They are not taken again: by then they may have made room for others.
            audit.lose(lost);
            error
        })
    }

    /// After an error, how many of the lines do not stand there.
    fn write_lines(
        &mut self,
        lines: impl ExactSizeIterator<Item = String>,
    ) -> Result<(), (usize, io::Error)> {
        let mut text = String::with_capacity(WRITE_BYTES + WRITE_BYTES / 4);
        let (all, mut written) = (lines.len(), 0);
        for (place, line) in lines.enumerate() {
            text.push_str(&line);
            text.push('\n');
            if text.len() >= WRITE_BYTES || place + 1 == all {
                self.append(text.as_bytes()).map_err(|error| (all - written, error))?;
                text.clear();
                written = place + 1;
            }
        }
        Ok(())
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
            self.open = Some((self.disk.open(&path(self.number), OpenMode::CreateNew)?, 0));
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

fn path(number: u64) -> String {
    format!("{FOLDER}/{number:08}.jsonl")
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".jsonl")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::disk::{FaultyDisk, MemDisk};

    #[test]
    fn what_was_written_is_read_from_its_end() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
        let mut log = AuditLog::new(disk.clone());
        // Three pieces, gone on with by a second life.
        let line = |n: usize| format!("{n} {}", "x".repeat(n % 997));
        let put = |log: &mut AuditLog, range: std::ops::Range<usize>| {
            let text: String = range.map(|n| line(n) + "\n").collect();
            log.append(text.as_bytes()).unwrap();
        };
        put(&mut log, 0..4000);
        assert!(log.open.as_ref().unwrap().1 > PIECE_BYTES);
        let mut log = AuditLog::new(disk.clone());
        put(&mut log, 4000..4010);
        log.append(b"half a li").unwrap();
        let log = AuditLog::new(disk);
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
    #[test]
    fn starts_forget_nothing() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
        let mut expected = Vec::new();
        for life in 0..10 {
            let mut log = AuditLog::new(disk.clone());
            log.append(format!("life {life}\nits e").as_bytes()).unwrap();
            expected.extend([format!("life {life}"), "its e".to_owned()]);
        }
        let mut seen = Vec::new();
        let mut visit = |text: &str| {
            seen.push(text.to_owned());
            true
        };
        AuditLog::new(disk.clone()).reader().newest_first(&mut visit).unwrap();
        seen.reverse();
        assert_eq!(seen, expected);
        assert_eq!(disk.list(FOLDER).unwrap().len(), 1);
    }

    #[test]
    fn a_full_file_is_followed_by_another_and_the_oldest_goes() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
        let line = format!("{}\n", "x".repeat(1 << 20));
        for _ in 0..3 {
            let mut log = AuditLog::new(disk.clone());
            (0..40).for_each(|_| log.append(line.as_bytes()).unwrap());
        }
        let names = disk.list(FOLDER).unwrap();
        assert_eq!(names.len(), FILES_MAX, "{names:?}");
        let last = disk.open(&path(number(&names[FILES_MAX - 2]).unwrap()), OpenMode::Read);
        assert!(last.unwrap().len().unwrap() >= FILE_BYTES_MAX);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let disk = FaultyDisk::new();
        let mut log = AuditLog::new(Arc::new(disk.clone()));
        let lines = |count: usize| (0..count).map(|_| "x".repeat(WRITE_BYTES / 2));
        log.write_lines(lines(3)).unwrap();
        // Two at a time, of which the first still come.
        disk.set_capacity(Some(disk.used_bytes() + WRITE_BYTES as u64 + 2));
        let (lost, error) = log.write_lines(lines(5)).unwrap_err();
        assert_eq!((lost, error.kind()), (3, io::ErrorKind::StorageFull));
        assert_eq!(log.write_lines(lines(1)).unwrap_err().0, 1);
        disk.set_capacity(None);
        log.write_lines(lines(1)).unwrap();
        let mut seen = 0;
        log.reader()
            .newest_first(&mut |_| {
                seen += 1;
                true
            })
            .unwrap();
        assert_eq!(seen, 3 + 2 + 1);
    }
}
