//! Whose turn it is to write.
//!
//! A thread that finds the writer's lock taken may block; a task had better not, since its thread
//! has other requests to work on. So tasks line up, and whoever lets go of the lock wakes the first.
//! A lock that is free is taken by whoever comes: what it protects is held for microseconds.

use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::task::{Poll, Waker};

/// A task that was overtaken so often waits as a thread does, so that its turn comes.
const OVERTAKEN_MAX: u32 = 16;

#[derive(Debug)]
pub(crate) struct Turns<T> {
    value: Mutex<T>,
    line: Mutex<VecDeque<Waker>>,
}

impl<T> Turns<T> {
    pub(crate) fn new(value: T) -> Turns<T> {
        Turns { value: Mutex::new(value), line: Mutex::default() }
    }

    pub(crate) fn lock(&self) -> Turn<'_, T> {
        self.turn(self.value.lock())
    }

    fn turn<'a>(&'a self, guard: MutexGuard<'a, T>) -> Turn<'a, T> {
        Turn { turns: self, guard: Some(guard) }
    }

    /// Runs `work` when it is this task's turn.
    pub(crate) async fn run<R>(&self, mut work: impl FnMut(Turn<'_, T>) -> R) -> R {
        let mut waiting = Waiting { turns: self, in_line: false, overtaken: 0 };
        poll_fn(|cx| match waiting.take(cx.waker()) {
            Some(turn) => Poll::Ready(work(turn)),
            None => Poll::Pending,
        })
        .await
    }

    fn next(&self) {
        // Taken even if nobody waits: this orders the release of the lock before the look.
        let first = self.line.lock().pop_front();
        if let Some(first) = first {
            first.wake();
        }
    }
}

/// Holds the lock; the next in line is woken when it goes.
pub(crate) struct Turn<'a, T> {
    turns: &'a Turns<T>,
    guard: Option<MutexGuard<'a, T>>,
}

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.guard = None;
        self.turns.next();
    }
}

impl<T> Deref for Turn<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_deref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for Turn<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_deref_mut().expect("held until it is dropped")
    }
}

struct Waiting<'a, T> {
    turns: &'a Turns<T>,
    /// A waker of this task is in the line, or was woken.
    in_line: bool,
    overtaken: u32,
}

impl<'a, T> Waiting<'a, T> {
    fn take(&mut self, waker: &Waker) -> Option<Turn<'a, T>> {
        let turns = self.turns;
        if self.overtaken >= OVERTAKEN_MAX {
            self.in_line = false;
            return Some(turns.lock());
        }
        if let Some(guard) = turns.value.try_lock() {
            self.in_line = false;
            return Some(turns.turn(guard));
        }
        let mut line = turns.line.lock();
        match self.in_line {
            true => line.push_front(waker.clone()),
            false => line.push_back(waker.clone()),
        }
        drop(line);
        (self.in_line, self.overtaken) = (true, self.overtaken + 1);
        // It may have become free before this stood in line.
        let guard = turns.value.try_lock()?;
        self.in_line = false;
        Some(turns.turn(guard))
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        if self.in_line {
            // It may have been woken for its turn: the next one gets it.
            self.turns.next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::block_on;
    use std::future::Future;
    use std::pin::pin;
    use std::task::Context;

    #[test]
    fn tasks_and_threads_take_turns() {
        let turns = Turns::new(0u64);
        std::thread::scope(|scope| {
            for n in 0..4 {
                let turns = &turns;
                scope.spawn(move || {
                    for _ in 0..2_000 {
                        match n % 2 {
                            0 => *turns.lock() += 1,
                            _ => block_on(turns.run(|mut turn| *turn += 1)),
                        }
                    }
                });
            }
        });
        assert_eq!(*turns.lock(), 8_000);
    }

    #[test]
    fn a_turn_given_up_goes_to_the_next() {
        let turns = Turns::new(());
        let mut cx = Context::from_waker(Waker::noop());
        let held = turns.lock();
        {
            let mut first = pin!(turns.run(|turn| drop(turn)));
            assert!(first.as_mut().poll(&mut cx).is_pending());
            assert_eq!(turns.line.lock().len(), 1);
            let mut second = pin!(turns.run(|turn| drop(turn)));
            assert!(second.as_mut().poll(&mut cx).is_pending());
            assert_eq!(turns.line.lock().len(), 2);
            drop(held);
            assert_eq!(turns.line.lock().len(), 1, "the first was woken, and never looked");
            // Both go, the second first.
        }
        assert_eq!(turns.line.lock().len(), 0, "nobody is left asleep");
    }
}
