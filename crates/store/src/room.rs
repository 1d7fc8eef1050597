//! Writers that wait for room in the log or the index, in place of being refused at once.
//!
//! Whatever may have made room (a group was written, a segment came into waiting, memory went to
//! files) wakes them all, and they try again: how much there is room for, only an attempt can tell.

use parking_lot::Mutex;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};

/// More who wait are refused.
const WAITING_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Room {
    /// How often room was made.
    made: AtomicU64,
    waiting: AtomicUsize,
    wakers: Mutex<Vec<Waker>>,
}

/// Counts one who waits, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Room);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Room {
    /// A place among those who wait; `None` if too many do.
    pub(crate) fn place(&self) -> Option<Place<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        (before < WAITING_MAX).then_some(place)
    }

    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::Acquire)
    }

    /// There may be room.
    pub(crate) fn make(&self) {
        self.made.fetch_add(1, Ordering::AcqRel);
        if self.waiting.load(Ordering::Relaxed) != 0 {
            let wakers = std::mem::take(&mut *self.wakers.lock());
            wakers.into_iter().for_each(Waker::wake);
        }
    }
}

impl Place<'_> {
    /// Until room was made after `seen` was read, which is before the attempt that failed.
    pub(crate) async fn wait(&self, seen: u64) {
        let room = self.0;
        poll_fn(|cx| {
            let mut wakers = room.wakers.lock();
            if room.made() != seen {
                return Poll::Ready(());
            }
            if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
                wakers.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }
}
