//! Commits on their way to the log, and those who wait for them.

use crate::engine::{Batch, Version};
use crate::error::StoreError;
use crate::signal::Signal;
use base::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// Commits in the form in which the log keeps them, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub bytes: Vec<u8>,
    pub commits: u64,
    pub first: Version,
    pub last: Version,
    pub time: Timestamp,
}

#[derive(Debug, Default)]
struct State {
    group: Group,
    waiters: BTreeMap<(Version, u64), Waker>,
    waiter_ids: u64,
    stopped: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    durable: AtomicU64,
    pub work: Signal,
}

impl Queue {
    pub(crate) fn new(durable: Version) -> Queue {
        Queue { durable: AtomicU64::new(durable), ..Queue::default() }
    }

    pub(crate) fn durable(&self) -> Version {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn stopped(&self) -> Option<Arc<str>> {
        self.state.lock().stopped.clone()
    }

    /// Bytes that wait; an error if the store has stopped.
    pub(crate) fn pending_bytes(&self) -> Result<u64, StoreError> {
        let state = self.state.lock();
        match &state.stopped {
            Some(why) => Err(StoreError::Stopped(why.clone())),
            None => Ok(state.group.bytes.len() as u64),
        }
    }

    pub(crate) fn push(&self, batch: &Batch, version: Version, time: Timestamp) {
        let mut state = self.state.lock();
        let group = &mut state.group;
        let was_empty = group.commits == 0;
        if was_empty {
            group.first = version;
        }
        group.commits += 1;
        group.last = version;
        group.time = time;
        crate::log::encode_commit(batch, time, &mut group.bytes);
        drop(state);
        if was_empty {
            self.work.ring();
        }
    }

    /// Everything that waits; `spare` takes its place, so that its memory is used again.
    pub(crate) fn take(&self, mut spare: Group) -> Group {
        spare.bytes.clear();
        spare.commits = 0;
        std::mem::swap(&mut self.state.lock().group, &mut spare);
        spare
    }

    pub(crate) fn publish(&self, durable: Version) {
        let mut state = self.state.lock();
        self.durable.store(durable, Ordering::Release);
        let later = state.waiters.split_off(&(durable + 1, 0));
        let ready = std::mem::replace(&mut state.waiters, later);
        drop(state);
        ready.into_values().for_each(Waker::wake);
    }

    fn poll(&self, target: Version, id: &mut u64, waker: &Waker) -> Poll<Result<(), StoreError>> {
        if self.durable() >= target {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.state.lock();
        if self.durable() >= target {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = &state.stopped {
            return Poll::Ready(Err(StoreError::Stopped(why.clone())));
        }
        if *id == 0 {
            state.waiter_ids += 1;
            *id = state.waiter_ids;
        }
        state.waiters.insert((target, *id), waker.clone());
        Poll::Pending
    }

    fn forget(&self, target: Version, id: u64) {
        self.state.lock().waiters.remove(&(target, id));
    }
}

/// The outcome of a write, given when every commit that it observed is durable.
#[must_use = "a write is acknowledged only when this resolves"]
#[derive(Debug)]
pub struct Commit<R, E> {
    queue: Arc<Queue>,
    target: Version,
    id: u64,
    outcome: Option<Result<R, E>>,
}

impl<R, E: From<StoreError>> Commit<R, E> {
    pub(crate) fn new(queue: Arc<Queue>, target: Version, outcome: Result<R, E>) -> Commit<R, E> {
        Commit { queue, target, id: 0, outcome: Some(outcome) }
    }

    /// The commit that is waited for.
    pub fn version(&self) -> Version {
        self.target
    }

    /// The outcome at once, durable or not: for maintenance, which answers to nobody.
    pub(crate) fn applied(mut self) -> Result<R, E> {
        self.outcome.take().expect("a commit has an outcome until it is polled to its end")
    }

    /// The outcome if it is there already, as with a store whose log is driven by its writes.
    pub fn now(mut self) -> Option<Result<R, E>> {
        match Pin::new(&mut self).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => Some(outcome),
            Poll::Pending => None,
        }
    }
}

impl<R, E> Unpin for Commit<R, E> {}

impl<R, E: From<StoreError>> Future for Commit<R, E> {
    type Output = Result<R, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let durable = match this.queue.poll(this.target, &mut this.id, cx.waker()) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(durable) => durable,
        };
        this.id = 0;
        let outcome = this.outcome.take().expect("a finished future is not polled again");
        Poll::Ready(durable.map_err(E::from).and(outcome))
    }
}

impl<R, E> Drop for Commit<R, E> {
    fn drop(&mut self) {
        if self.id != 0 {
            self.queue.forget(self.target, self.id);
        }
    }
}
