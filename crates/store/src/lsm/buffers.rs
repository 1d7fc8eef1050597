//! Memory that blocks are read into, used again and again.
//!
//! A block lives in the cache or with a reader for a while and another is read where it was. Left
//! to the allocator, that memory would pile up with each thread that reads, and be cleared each
//! time for nothing.

use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

/// Buffers are made in steps of this size.
const STEP_BYTES: usize = 1 << 10;
/// Larger ones come from the allocator.
const STEPS: usize = 16;
/// Of each size so many are kept at most.
const SPARE_MAX: usize = 32;

#[derive(Default, Debug)]
struct Spare([Mutex<Vec<Vec<u8>>>; STEPS]);

#[derive(Default, Debug)]
pub(super) struct Buffers(Arc<Spare>);

/// A buffer in use: `len` bytes of it.
struct Used {
    memory: Vec<u8>,
    len: usize,
    spare: Arc<Spare>,
}

impl AsRef<[u8]> for Used {
    fn as_ref(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let step = self.memory.len() / STEP_BYTES;
        if let Some(spare) = self.spare.0.get(step) {
            let mut spare = spare.lock();
            if spare.len() < SPARE_MAX {
                spare.push(std::mem::take(&mut self.memory));
            }
        }
    }
}

impl Buffers {
    /// `len` bytes that `fill` puts there.
    pub(super) fn read(
        &self,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> io::Result<()>,
    ) -> io::Result<Bytes> {
        let step = len.div_ceil(STEP_BYTES);
        let Some(spare) = self.0.0.get(step) else {
            let mut memory = vec![0; len];
            fill(&mut memory)?;
            return Ok(Bytes::from(memory));
        };
        let found = spare.lock().pop();
        let memory = found.unwrap_or_else(|| vec![0; step * STEP_BYTES]);
        let mut used = Used { memory, len, spare: Arc::clone(&self.0) };
        fill(used.memory.get_mut(..len).unwrap_or_default())?;
        Ok(Bytes::from_owner(used))
    }
}
