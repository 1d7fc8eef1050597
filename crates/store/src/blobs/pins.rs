//! Pins: what must not be removed although no row (any more, or yet) refers to it.
//!
//! A pin is memory alone. After a crash there are none, and none are needed: a writer that had not
//! committed has lost its claim, and a reader its connection.

use super::BlobId;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What can be removed from the disk as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    Segment(u64),
    File(BlobId),
}

#[derive(Debug, Default)]
pub(super) struct Pins {
    state: Mutex<State>,
    /// Held while something is looked at and removed, so that a freeze begins between removals.
    removal: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<Target, u32>,
    /// While this is not 0, a snapshot is being taken and nothing at all is removed.
    freezes: u32,
    /// Files whose writer let go: adopted by a row, or left behind.
    suspects: Vec<BlobId>,
    /// Files that are being written: no row can know them yet.
    unfinished: BTreeSet<BlobId>,
}

impl Pins {
    pub(super) fn pin(self: &Arc<Pins>, target: Target) -> PinGuard {
        *self.state.lock().held.entry(target).or_insert(0) += 1;
        PinGuard { pins: Arc::clone(self), target, is_writer: false }
    }

    /// The pin of whoever makes a file: when it is let go, the sweeper looks whether a row has
    /// taken the file over. The file is unfinished until [`Pins::finish`].
    pub(super) fn pin_writer(self: &Arc<Pins>, id: BlobId) -> PinGuard {
        self.state.lock().unfinished.insert(id);
        let mut pin = self.pin(Target::File(id));
        pin.is_writer = true;
        pin
    }

    /// The file is as it will stay, and durable.
    pub(super) fn finish(&self, id: BlobId) {
        self.state.lock().unfinished.remove(&id);
    }

    pub(super) fn unfinished(&self) -> BTreeSet<BlobId> {
        self.state.lock().unfinished.clone()
    }

    pub(super) fn freeze(self: &Arc<Pins>) -> FreezeGuard {
        let _removal = self.removal.lock();
        self.state.lock().freezes += 1;
        FreezeGuard(Arc::clone(self))
    }

    /// Whether `target` may be removed, as far as pins are concerned.
    pub(super) fn is_free(&self, target: Target) -> bool {
        let state = self.state.lock();
        state.freezes == 0 && !state.held.contains_key(&target)
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.state.lock().freezes > 0
    }

    /// Runs `remove` unless a pin is on `target`. The caller knows that none will be put on it from
    /// now on: nobody sees a row that refers to it.
    pub(super) fn remove_if_free<R>(
        &self,
        target: Target,
        remove: impl FnOnce() -> R,
    ) -> Option<R> {
        let _removal = self.removal.lock();
        self.is_free(target).then(remove)
    }

    pub(super) fn take_suspects(&self) -> Vec<BlobId> {
        std::mem::take(&mut self.state.lock().suspects)
    }
}

/// Keeps one segment or file on the disk.
#[derive(Debug)]
pub(super) struct PinGuard {
    pins: Arc<Pins>,
    target: Target,
    is_writer: bool,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        let mut state = self.pins.state.lock();
        if let Some(count) = state.held.get_mut(&self.target) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.target);
            }
        }
        if let (true, Target::File(id)) = (self.is_writer, self.target) {
            state.unfinished.remove(&id);
            state.suspects.push(id);
        }
    }
}

/// Keeps everything on the disk.
#[derive(Debug)]
pub(super) struct FreezeGuard(Arc<Pins>);

impl Drop for FreezeGuard {
    fn drop(&mut self) {
        self.0.state.lock().freezes -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_guard_frees_and_only_a_writer_leaves_a_suspect() {
        let pins = Arc::new(Pins::default());
        let id = BlobId([7; 16]);
        let target = Target::File(id);
        let (writer, reader) = (pins.pin_writer(id), pins.pin(target));
        drop(writer);
        assert!(!pins.is_free(target));
        assert_eq!(pins.take_suspects(), [id]);
        drop(reader);
        assert!(pins.is_free(target));
        assert!(pins.take_suspects().is_empty());

        let frozen = pins.freeze();
        assert!(!pins.is_free(Target::Segment(1)));
        drop(frozen);
        assert!(pins.is_free(Target::Segment(1)));
    }
}
