//! Snapshots: one state of the engine as files that stay.

use super::files::{Dead, Files};
use super::manifest::Manifest;
use super::table::Table;
use super::{Lsm, Work};
use crate::engine::{Frozen, Pin, Version};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Holds the tables; their files go when the last of those who hold them does.
#[derive(Debug)]
struct Held {
    files: Arc<Files>,
    number: u64,
    _tables: Vec<Arc<Table>>,
}

impl Pin for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.files.dead.lock().push(Dead::Frozen(self.number));
    }
}

impl Lsm {
    pub(super) fn freeze_at(&self, durable: Version) -> io::Result<Frozen> {
        let mut work = self.work.lock();
        let version = self.flush_all(&mut work, durable)?;
        let levels = Arc::clone(&self.tree().levels);
        let number = work.next_number;
        work.next_number += 1;
        let manifest: Manifest = levels.manifest(version, work.next_number);
        let tables: Vec<_> = levels.tables().cloned().collect();
        // Made first, so that whatever was written is removed if the rest fails.
        let held = Held { files: Arc::clone(&self.files), number, _tables: tables };
        let mut files = vec![self.files.write_frozen(number, &manifest)?];
        files.extend(held._tables.iter().map(|table| table.path()));
        Ok(Frozen { version, files, pin: Box::new(held) })
    }

    /// Writes out all commits up to `durable`; the version that is in files then.
    fn flush_all(&self, work: &mut Work, durable: Version) -> io::Result<Version> {
        let through = {
            let applied = self.applied.lock();
            if !self.tree().active.is_empty() {
                self.seal();
            }
            durable.min(*applied)
        };
        while work.flush.is_some() {
            self.step_flush(work, usize::MAX)?;
        }
        let sealed = self.tree().sealed.clone();
        for memtable in sealed.iter().rev() {
            // The last one may go on beyond: then it stays, to be flushed again from there.
            let through = memtable.newest().min(through);
            if through > self.flushed.load(Ordering::Acquire) {
                work.flush = Some(self.flush_of(memtable, through));
                self.step_flush(work, usize::MAX)?;
            }
        }
        let flushed = self.flushed.load(Ordering::Acquire);
        if through > flushed {
            // Only commits that changed nothing lie between.
            self.install(work, Arc::clone(&self.tree().levels), through, &[])?;
        }
        Ok(flushed.max(through))
    }
}
