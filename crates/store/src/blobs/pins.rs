//! Pins: what must not be removed although no row (any more, or yet) refers to it.
//!
//! A pin is memory alone. After a crash there are none, and none are needed: a writer that had not
//! committed has lost its claim, and a reader its connection.

use super::BlobId;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What can be removed from the disk as a whole.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Target {
    Segment(u64),
    File(BlobId),
}

#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: BTreeMap<Target, u32>,
    /// While this is not 0, a snapshot is being taken and nothing at all is removed.
    freezes: u32,
    /// Files whose writer let go: adopted by a row, or left behind.
    suspects: Vec<BlobId>,
}

impl Pins {
    pub(super) fn pin(self: &Arc<Pins>, target: Target) -> PinGuard {
        self.hold(target, false)
    }

    fn hold(self: &Arc<Pins>, target: Target, is_writer: bool) -> PinGuard {
        *self.0.lock().held.entry(target).or_insert(0) += 1;
        PinGuard { pins: Arc::clone(self), target, is_writer }
    }

    /// The pin of whoever makes a file: when it is let go, the sweeper looks whether a row has
    /// taken the file over.
    pub(super) fn pin_writer(self: &Arc<Pins>, target: Target) -> PinGuard {
        self.hold(target, true)
    }

    pub(super) fn freeze(self: &Arc<Pins>) -> FreezeGuard {
        self.0.lock().freezes += 1;
        FreezeGuard(Arc::clone(self))
    }

    /// Whether `target` may be removed, as far as pins are concerned.
    pub(super) fn is_free(&self, target: Target) -> bool {
        let state = self.0.lock();
        state.freezes == 0 && !state.held.contains_key(&target)
    }

    pub(super) fn is_frozen(&self) -> bool {
        self.0.lock().freezes > 0
    }

    pub(super) fn take_suspects(&self) -> Vec<BlobId> {
        std::mem::take(&mut self.0.lock().suspects)
    }

    pub(super) fn suspect(&self, id: BlobId) {
        self.0.lock().suspects.push(id);
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
        let mut state = self.pins.0.lock();
        if let Some(count) = state.held.get_mut(&self.target) {
            *count -= 1;
            if *count == 0 {
                state.held.remove(&self.target);
            }
        }
        if let (true, Target::File(id)) = (self.is_writer, self.target) {
            state.suspects.push(id);
        }
    }
}

/// Keeps everything on the disk.
#[derive(Debug)]
pub(super) struct FreezeGuard(Arc<Pins>);

impl Drop for FreezeGuard {
    fn drop(&mut self) {
        self.0.0.lock().freezes -= 1;
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
        let (writer, reader) = (pins.pin_writer(target), pins.pin(target));
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
