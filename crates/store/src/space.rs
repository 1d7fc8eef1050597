//! What happens when the disk fills up: growth is refused while there is still enough to delete.
//!
//! Below the floor, only transactions that free space go through. Their own traces (log and index)
//! fit: the log's next segment is written beforehand, and when space falls to half the floor, the
//! reserve, a file that is there for nothing else, is given up to the index.

use crate::disk::{Disk, OpenMode};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

const RESERVE: &str = "reserve";

/// Whether there is room to grow, as last seen.
#[derive(Debug, Default)]
pub(crate) struct Space {
    full: AtomicBool,
}

impl Space {
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn set_full(&self) {
        self.full.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct Reserve {
    floor_bytes: u64,
    held: bool,
}

impl Reserve {
    pub(crate) fn new(disk: &dyn Disk, floor_bytes: u64) -> io::Result<Reserve> {
        let held = disk.list("")?.iter().any(|name| name == RESERVE);
        Ok(Reserve { floor_bytes, held })
    }

    pub(crate) fn watch(&mut self, disk: &dyn Disk, space: &Space) -> io::Result<()> {
        if self.floor_bytes == 0 {
            return Ok(());
        }
        let available = disk.available_bytes()?;
        space.full.store(available < self.floor_bytes, Ordering::Relaxed);
        if self.held && available < self.floor_bytes / 2 {
            disk.remove(RESERVE)?;
            self.held = false;
        } else if !self.held && available > 3 * self.floor_bytes {
            // What a crash leaves of it is as good: only its size matters.
            let file = disk.open(RESERVE, OpenMode::CreateNew)?;
            self.held = true;
            file.allocate(self.floor_bytes / 2)?;
        }
        Ok(())
    }
}
