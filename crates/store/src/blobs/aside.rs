//! Work on bytes as they flow by, in another thread than the one that receives them: hashing takes
//! longer than receiving and writing together, and would stand in the way of both.
//!
//! Pieces are worked on in order, by at most one job at a time. How much may wait is bounded; whoever
//! feeds waits then. After a while a job goes to the end of the pool's line, so that many long uploads
//! do not keep others from the disk.

use super::blocking::{Answer, Blocking, promise};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What may wait before feeding waits too.
const WAITING_BYTES_MAX: usize = 512 * 1024;
/// Whoever waits goes on when there is so much less: each piece would wake it otherwise.
const RESUME_BYTES: usize = WAITING_BYTES_MAX / 2;
/// What one job works on before it lets others have the thread.
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// A value that all bytes fed are worked into. Dropping it gives the rest up.
pub struct Aside<T: Send + 'static>(Arc<Inner<T>>);

struct Inner<T> {
    blocking: Arc<dyn Blocking>,
    work: fn(&mut T, &[u8]),
    line: Mutex<Line<T>>,
}

struct Line<T> {
    pieces: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// With the job while one runs.
    value: Option<T>,
    finish: Option<Answer<T>>,
    waker: Option<Waker>,
}

impl<T: Send + 'static> fmt::Debug for Aside<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aside")
    }
}

impl<T: Send + 'static> Aside<T> {
    pub(super) fn new(blocking: Arc<dyn Blocking>, value: T, work: fn(&mut T, &[u8])) -> Aside<T> {
        let line = Line {
            pieces: VecDeque::new(),
            waiting_bytes: 0,
            value: Some(value),
            finish: None,
            waker: None,
        };
        Aside(Arc::new(Inner { blocking, work, line: Mutex::new(line) }))
    }

    /// Adds a piece to the line, when there is room.
    pub async fn feed(&self, piece: Bytes) {
        let mut piece = Some(piece);
        let value = poll_fn(|context| {
            let mut line = self.0.line.lock();
            if line.waiting_bytes >= WAITING_BYTES_MAX {
                line.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            if let Some(piece) = piece.take() {
                line.waiting_bytes += piece.len();
                line.pieces.push_back(piece);
            }
            Poll::Ready(line.value.take())
        });
        if let Some(value) = value.await {
            Inner::start(&self.0, value);
        }
    }

    /// The value, once everything fed is worked into it.
    pub async fn finish(self) -> io::Result<T> {
        let (answer, promised) = promise();
        let value = {
            let mut line = self.0.line.lock();
            line.finish = Some(answer);
            line.value.take()
        };
        if let Some(value) = value {
            Inner::start(&self.0, value);
        }
        // If the job is thrown away, its end of the promise must go with it.
        drop(self);
        promised.await
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let mut line = self.0.line.lock();
        if line.finish.is_none() {
            line.pieces.clear();
        }
    }
}

impl<T: Send + 'static> Inner<T> {
    fn start(inner: &Arc<Inner<T>>, value: T) {
        let own = Arc::clone(inner);
        inner.blocking.run(Box::new(move || Inner::run(&own, value)));
    }

    fn run(inner: &Arc<Inner<T>>, mut value: T) {
        let mut done_bytes = 0;
        while done_bytes < TURN_BYTES {
            let mut line = inner.line.lock();
            let Some(piece) = line.pieces.pop_front() else {
                match line.finish.take() {
                    Some(answer) => {
                        drop(line);
                        answer.give(Ok(value));
                    }
                    None => line.value = Some(value),
                }
                return;
            };
            drop(line);
            (inner.work)(&mut value, &piece);
            done_bytes += piece.len();
            let mut line = inner.line.lock();
            line.waiting_bytes = line.waiting_bytes.saturating_sub(piece.len());
            let is_low = line.waiting_bytes <= RESUME_BYTES;
            let waker = if is_low { line.waker.take() } else { None };
            drop(line);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        Inner::start(inner, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::blocking::{Inline, block_on};
    use super::*;

    #[derive(Debug)]
    struct Threads;

    impl Blocking for Threads {
        #[allow(clippy::disallowed_methods, reason = "the pieces must work across threads")]
        fn run(&self, job: Box<dyn FnOnce() + Send>) {
            std::thread::spawn(job);
        }
    }

    fn keep(all: &mut Vec<u8>, bytes: &[u8]) {
        all.extend_from_slice(bytes);
    }

    fn check(blocking: Arc<dyn Blocking>) {
        let aside = Aside::new(blocking, Vec::new(), keep);
        let mut expected = Vec::new();
        let all = block_on(async {
            for n in 0..200u32 {
                let piece = Bytes::from(vec![n as u8; 50_000]);
                expected.extend_from_slice(&piece);
                aside.feed(piece).await;
            }
            aside.finish().await
        });
        assert!(all.expect("finishes") == expected);
    }

    #[test]
    fn pieces_stay_in_order() {
        check(Arc::new(Inline));
        check(Arc::new(Threads));
    }

    #[test]
    fn nothing_fed_is_nothing_done() {
        let aside = Aside::new(Arc::new(Inline), Vec::new(), keep);
        assert!(block_on(aside.finish()).expect("finishes").is_empty());
    }

    /// A pool that never runs what it is given.
    #[derive(Debug, Default)]
    struct Nowhere;

    impl Blocking for Nowhere {
        fn run(&self, job: Box<dyn FnOnce() + Send>) {
            drop(job);
        }
    }

    #[test]
    fn a_job_that_is_thrown_away_is_an_error_and_what_waits_is_bounded() {
        let aside = Aside::new(Arc::new(Nowhere), Vec::new(), keep);
        let mut context = std::task::Context::from_waker(Waker::noop());
        let half = || Bytes::from(vec![0; WAITING_BYTES_MAX / 2]);
        for expected in [true, true, false] {
            let ready = std::pin::pin!(aside.feed(half())).poll(&mut context).is_ready();
            assert_eq!(ready, expected);
        }
        assert!(block_on(aside.finish()).is_err());
    }
}
