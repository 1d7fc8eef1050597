//! What is in force at a moment, for many readers and rare changes.
//!
//! A lock and count that all readers write to would pass between processors on every read, so each
//! of a few groups of threads has its own copy.

use parking_lot::{Mutex, RwLock};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const SHARDS: usize = 8;

/// Alone in its cache lines.
#[repr(align(128))]
#[derive(Debug)]
struct Shard<T>(RwLock<Arc<T>>);

#[derive(Debug)]
pub(super) struct Moment<T> {
    shards: [Shard<T>; SHARDS],
    changing: Mutex<()>,
}

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<usize> = Cell::new(NEXT_THREAD.fetch_add(1, Ordering::Relaxed));
}

impl<T: Clone> Moment<T> {
    pub(super) fn new(value: T) -> Self {
        let shard = |_| Shard(RwLock::new(Arc::new(value.clone())));
        Self { shards: std::array::from_fn(shard), changing: Mutex::new(()) }
    }

    /// Never waits for more than a pointer to be changed.
    pub(super) fn get(&self) -> Arc<T> {
        let shard = THREAD.with(Cell::get) % SHARDS;
        Arc::clone(&self.shards[shard].0.read())
    }

    /// When it returns, every thread sees the change. What was before is let go outside the locks.
    pub(super) fn change(&self, change: impl FnOnce(&T) -> T) {
        let _alone = self.changing.lock();
        let new = change(&self.get());
        for shard in &self.shards {
            let new = Arc::new(new.clone());
            let old = std::mem::replace(&mut *shard.0.write(), new);
            drop(old);
        }
    }
}
