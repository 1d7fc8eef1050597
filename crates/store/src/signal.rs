//! A bell for a driver: rung by many, heard by one, either blocking a thread or as a future.

use parking_lot::{Condvar, Mutex};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Why a driver was woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    Work,
    /// The store was closed: the driver does what is left and ends.
    Closed,
}

#[derive(Debug, Default)]
struct State {
    rung: bool,
    closed: bool,
    waker: Option<Waker>,
    sleeping: bool,
    resting: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Signal {
    state: Mutex<State>,
    bell: Condvar,
}

impl Signal {
    pub(crate) fn ring(&self) {
        self.change(|state| state.rung = true);
    }

    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        let waker = state.waker.take();
        let sleeping = state.sleeping || (state.resting && state.closed);
        drop(state);
        if sleeping {
            self.bell.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take(state: &mut State) -> Option<Wake> {
        if std::mem::take(&mut state.rung) {
            return Some(Wake::Work);
        }
        state.closed.then_some(Wake::Closed)
    }

    pub(crate) fn wait(&self) -> Wake {
        let mut state = self.state.lock();
        loop {
            if let Some(wake) = Signal::take(&mut state) {
                return wake;
            }
            state.sleeping = true;
            self.bell.wait(&mut state);
            state.sleeping = false;
        }
    }

    /// As [`Signal::wait`]; after so long there is said to be work.
    pub(crate) fn wait_at_most(&self, time: Duration) -> Wake {
        let mut state = self.state.lock();
        loop {
            if let Some(wake) = Signal::take(&mut state) {
                return wake;
            }
            state.sleeping = true;
            let timed_out = self.bell.wait_for(&mut state, time).timed_out();
            state.sleeping = false;
            if timed_out {
                return Signal::take(&mut state).unwrap_or(Wake::Work);
            }
        }
    }

    /// Lets so much time pass, however often it is rung, unless it is closed.
    pub(crate) fn rest(&self, time: Duration) -> Wake {
        let mut state = self.state.lock();
        if !state.closed {
            // Only a close rings here, so that the wait never begins anew.
            state.resting = true;
            self.bell.wait_for(&mut state, time);
            state.resting = false;
        }
        Signal::take(&mut state).unwrap_or(Wake::Work)
    }

    pub(crate) fn ready(&self) -> Ready<'_> {
        Ready { signal: self }
    }
}

pub(crate) struct Ready<'a> {
    signal: &'a Signal,
}

impl Future for Ready<'_> {
    type Output = Wake;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Wake> {
        let mut state = self.signal.state.lock();
        if let Some(wake) = Signal::take(&mut state) {
            return Poll::Ready(wake);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_rest_ends_however_often_it_is_rung() {
        let (signal, rested) = (Signal::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !rested.load(Ordering::Relaxed) {
                    signal.ring();
                    std::thread::yield_now();
                }
            });
            assert_eq!(signal.rest(Duration::from_millis(20)), Wake::Work);
            rested.store(true, Ordering::Relaxed);
        });
        signal.close();
        while signal.rest(Duration::from_secs(3600)) != Wake::Closed {}
    }
}
