//! Commits on their way to the log, and those who wait for them.

use crate::engine::{Batch, Version};
use crate::error::StoreError;
use crate::log::{FRAME_HEADER, encode_commit};
use crate::signal::Signal;
use base::Timestamp;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A group is cut here, so that none takes long to write; a single commit may be longer.
const GROUP_BYTES: usize = 4 << 20;

/// Commits in the form in which the log keeps them, one after the other, after room for a header.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub bytes: Vec<u8>,
    pub first: Version,
    pub last: Version,
    pub time: Timestamp,
    /// What was promised to these commits.
    charge: u64,
}

#[derive(Debug, Default)]
struct State {
    groups: VecDeque<Group>,
    /// An empty one, for its memory.
    spare: Group,
    /// Commits in the groups.
    commits: u64,
    /// The log waits for so many of them; 0 if it does not.
    gathering: u64,
    /// Bytes that are accepted and not written yet.
    outstanding: u64,
    /// Bytes that fit into the current segment, and into the one in waiting.
    left: u64,
    waiting: u64,
    waiters: BTreeMap<(Version, u64), Waker>,
    waiter_ids: u64,
    stopped: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    durable: AtomicU64,
    /// Rung when as many commits have come as the log waits for.
    gathered: Condvar,
    pub work: Signal,
}

impl Queue {
    pub(crate) fn new(durable: Version, left: u64, waiting: u64) -> Queue {
        let state = State { left, waiting, ..State::default() };
        Queue { durable: AtomicU64::new(durable), state: Mutex::new(state), ..Queue::default() }
    }

    pub(crate) fn durable(&self) -> Version {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn stopped(&self) -> Option<Arc<str>> {
        self.state.lock().stopped.clone()
    }

    pub(crate) fn outstanding(&self) -> u64 {
        self.state.lock().outstanding
    }

    /// Whether `charge` more bytes will surely find room, and no more than `bound` wait.
    ///
    /// What is accepted fits as a whole either into the rest of the current segment or into the one
    /// in waiting. So it fits however it is cut into groups, since at most one change of segment is
    /// needed and what goes before it only makes room after it.
    pub(crate) fn admit(&self, charge: u64, bound: u64) -> Result<bool, StoreError> {
        let state = self.state.lock();
        if let Some(why) = &state.stopped {
            return Err(StoreError::Stopped(why.clone()));
        }
        let sum = state.outstanding + charge;
        Ok(sum <= state.left.max(state.waiting) && (sum <= bound || state.outstanding == 0))
    }

    pub(crate) fn push(&self, batch: &Batch, version: Version, time: Timestamp, charge: u64) {
        let mut state = self.state.lock();
        let was_empty = state.groups.is_empty();
        let is_full = |group: &Group| {
            group.bytes.len() > FRAME_HEADER
                && group.bytes.len() as u64 + charge > GROUP_BYTES as u64
        };
        if state.groups.back().is_none_or(is_full) {
            let mut group = std::mem::take(&mut state.spare);
            group.bytes.clear();
            group.bytes.resize(FRAME_HEADER, 0);
            (group.first, group.charge) = (version, 0);
            state.groups.push_back(group);
        }
        state.outstanding += charge;
        state.commits += 1;
        let gathered = state.gathering != 0 && state.commits >= state.gathering;
        if let Some(group) = state.groups.back_mut() {
            group.last = version;
            group.time = time;
            group.charge += charge;
            encode_commit(batch, time, &mut group.bytes);
        }
        drop(state);
        if gathered {
            self.gathered.notify_one();
        }
        if was_empty {
            self.work.ring();
        }
    }

    /// Waits until so many commits are there, but not for long.
    pub(crate) fn gather(&self, commits: u64, at_most: Duration) {
        let mut state = self.state.lock();
        if state.commits < commits && state.stopped.is_none() {
            state.gathering = commits;
            self.gathered.wait_for(&mut state, at_most);
            state.gathering = 0;
        }
    }

    /// Commits that are accepted and not taken by the log yet.
    pub(crate) fn waiting_commits(&self) -> u64 {
        self.state.lock().commits
    }

    /// The oldest group that waits; `spare` is kept for its memory.
    pub(crate) fn take(&self, spare: &mut Group) -> Option<Group> {
        let mut state = self.state.lock();
        if state.stopped.is_some() {
            return None;
        }
        let group = state.groups.pop_front()?;
        state.commits -= group.last - group.first + 1;
        std::mem::swap(&mut state.spare, spare);
        Some(group)
    }

    /// The group is in the log; so much is left in its segment.
    pub(crate) fn written(&self, group: &Group, left: u64) {
        let mut state = self.state.lock();
        state.outstanding -= group.charge;
        state.left = left;
    }

    /// Whether the current segment will soon be full: there is not much more in it than `least`.
    pub(crate) fn is_short_of_room(&self, least: u64) -> bool {
        let state = self.state.lock();
        state.left < 4 * state.outstanding + least
    }

    /// A segment with so much room is waiting; whether that is more than before.
    pub(crate) fn found_room(&self, waiting: u64) -> bool {
        let mut state = self.state.lock();
        let more = waiting > state.waiting;
        state.waiting = waiting;
        more
    }

    pub(crate) fn stop(&self, why: &str) {
        let mut state = self.state.lock();
        state.stopped.get_or_insert_with(|| Arc::from(why));
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        waiters.into_values().for_each(Waker::wake);
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

    /// The outcome, whether or not it is durable.
    pub(crate) fn into_outcome(mut self) -> Result<R, E> {
        self.outcome.take().expect("taken only by the one who consumes it")
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
