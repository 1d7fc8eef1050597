//! What happens when the disk fills up: growth is refused while there is still enough to delete.
//!
//! Below the floor, only transactions that free space go through. Their own traces (log and index)
//! fit: the log's next segment is written beforehand, and when space falls to half the floor, the
//! reserve, a file that is there for nothing else, is given up to the index; or before, if what is
//! left alive in mostly dead files of blobs can only be moved with it.

use crate::disk::{Disk, OpenMode};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

const RESERVE: &str = "reserve";
/// With so many times the floor there is room for what is merely good to have.
const AMPLE_TIMES: u64 = 3;

/// Whether there is room to grow, as last seen.
#[derive(Debug, Default)]
pub(crate) struct Space {
    full: AtomicBool,
    /// There is more than what has to be there.
    ample: AtomicBool,
    /// Somebody could make room, but has none to do it in.
    wanted: AtomicBool,
}

impl Space {
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ample(&self) -> bool {
        self.ample.load(Ordering::Relaxed)
    }

    /// Asks for the reserve, to make more room with it than it is.
    pub(crate) fn want_reserve(&self) {
        self.wanted.store(true, Ordering::Relaxed);
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
            space.ample.store(true, Ordering::Relaxed);
            return Ok(());
        }
        let available = disk.available_bytes()?;
        space.ample.store(available > AMPLE_TIMES * self.floor_bytes, Ordering::Relaxed);
        space.full.store(available < self.floor_bytes, Ordering::Relaxed);
        let wanted = space.wanted.swap(false, Ordering::Relaxed);
        if self.held && (wanted || available < self.floor_bytes / 2) {
            match disk.remove(RESERVE) {
                // Whoever was short of space has taken it away by hand.
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.held = false,
            }
        } else if !self.held && available > AMPLE_TIMES * self.floor_bytes {
            // What a crash leaves of it is as good: only its size matters.
            let file = disk.open(RESERVE, OpenMode::CreateNew)?;
            self.held = true;
            file.allocate(self.floor_bytes / 2)?;
        }
        Ok(())
    }
}
