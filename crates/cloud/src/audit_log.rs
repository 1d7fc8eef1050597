//! The log of reads, failures and denials: JSON lines in a few files of bounded size, never synced.
//!
//! What is lost in a crash is what the last second brought; mutations are in the store and lose
//! nothing.

use gateway::audit::Audit;
use std::sync::Arc;
use store::disk::{Disk, File, OpenMode};

const FOLDER: &str = "audit";
/// Four files of this size at most: enough for some hundred thousand records.
const FILE_BYTES_MAX: u64 = 16 << 20;
const FILES_MAX: usize = 4;

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
        let mut text = String::new();
        for event in audit.unwritten() {
            text.push_str(&event.json());
            text.push('\n');
        }
        match self.append(text.as_bytes()) {
            Ok(()) => self.failed = false,
            Err(error) if !self.failed => {
                self.failed = true;
                tracing::warn!(%error, "the log of reads and failures cannot be written");
            }
            Err(_) => {}
        }
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
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

    fn remove_oldest(&self) -> std::io::Result<()> {
        let mut names = self.disk.list(FOLDER)?;
        names.retain(|name| number(name).is_some());
        while names.len() > FILES_MAX {
            self.disk.remove(&format!("{FOLDER}/{}", names.remove(0)))?;
        }
        Ok(())
    }
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".jsonl")?.parse().ok()
}
