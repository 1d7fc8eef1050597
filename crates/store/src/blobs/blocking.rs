//! Waiting without a runtime: where blocking work runs, and futures that any executor can poll.

use parking_lot::Mutex;
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Where work that waits for the disk is done. `cloud` gives a small pool of threads; tests and the
/// simulator use [`Inline`]. A job never waits for another job, so any number of threads will do.
pub trait Blocking: Send + Sync + Debug + 'static {
    fn run(&self, job: Box<dyn FnOnce() + Send>);
}

/// Runs each job at once in the calling thread: every future here is then ready at its first poll.
#[derive(Debug, Default)]
pub struct Inline;

impl Blocking for Inline {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}

/// Drives a future in the calling thread, which sleeps while the future waits: for callers that
/// are allowed to block.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[derive(Debug)]
enum State<T> {
    Empty(Option<Waker>),
    Full(io::Result<T>),
    Gone,
}

/// The far end of a [`Promise`].
#[derive(Debug)]
pub(super) struct Answer<T>(Arc<Mutex<State<T>>>);

/// One result that a job will bring.
#[derive(Debug)]
pub(super) struct Promise<T>(Arc<Mutex<State<T>>>);

pub(super) fn promise<T>() -> (Answer<T>, Promise<T>) {
    let state = Arc::new(Mutex::new(State::Empty(None)));
    (Answer(Arc::clone(&state)), Promise(state))
}

impl<T> Answer<T> {
    pub(super) fn give(self, result: io::Result<T>) {
        self.put(result);
    }

    fn put(&self, result: io::Result<T>) {
        let mut state = self.0.lock();
        if let State::Empty(waker) = &mut *state {
            let waker = waker.take();
            *state = State::Full(result);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

/// A job that was thrown away (its pool is shutting down) must not leave anybody waiting.
impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        self.put(Err(io::Error::other("the disk work was dropped: the process is stopping")));
    }
}

impl<T> Future for Promise<T> {
    type Output = io::Result<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Empty(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            State::Full(_) => match std::mem::replace(&mut *state, State::Gone) {
                State::Full(result) => Poll::Ready(result),
                _ => Poll::Pending,
            },
            State::Gone => Poll::Ready(Err(io::Error::other("polled after it was ready"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_or_broken_but_never_forgotten() {
        let (answer, promised) = promise();
        Inline.run(Box::new(move || answer.give(Ok(7))));
        assert_eq!(block_on(promised).expect("kept"), 7);

        let (answer, promised) = promise::<u8>();
        drop(answer);
        assert!(block_on(promised).is_err());
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "the waker must work across threads")]
    fn an_answer_from_another_thread_wakes_the_sleeper() {
        let (answer, promised) = promise();
        let thread = std::thread::spawn(move || answer.give(Ok("awake")));
        assert_eq!(block_on(promised).expect("kept"), "awake");
        thread.join().expect("ends");
    }
}
