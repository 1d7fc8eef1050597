//! Tasks on one thread, in an order that the seed decides.

use base::{Entropy, SeededEntropy};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task<'a> {
    future: Pin<Box<dyn Future<Output = ()> + 'a>>,
    ready: Arc<Flag>,
}

/// Tasks that wait for each other and for nothing else.
#[derive(Default)]
pub struct Executor<'a> {
    tasks: Vec<Task<'a>>,
}

impl<'a> Executor<'a> {
    pub fn spawn(&mut self, future: impl Future<Output = ()> + 'a) {
        let ready = Arc::new(Flag(AtomicBool::new(true)));
        self.tasks.push(Task { future: Box::pin(future), ready });
    }

    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Polls one of the ready tasks; false if none is.
    pub fn step(&mut self, dice: &SeededEntropy) -> bool {
        let ready: Vec<usize> = (0..self.tasks.len())
            .filter(|i| self.tasks[*i].ready.0.load(Ordering::Relaxed))
            .collect();
        if ready.is_empty() {
            return false;
        }
        let at = ready[dice.below(ready.len() as u64) as usize];
        let task = &mut self.tasks[at];
        task.ready.0.store(false, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&task.ready));
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Ready(()) {
            drop(self.tasks.remove(at));
        }
        true
    }
}

/// Gives others a turn.
pub async fn pause() {
    let mut first = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
