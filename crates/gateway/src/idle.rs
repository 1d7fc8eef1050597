//! Connections over HTTP/2 on which nobody asks anything: a client that answers pings could keep each for as
//! long as it likes, and each takes one of the places that the listener has.

use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::Context;
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// What goes on on one connection.
pub(crate) struct Streams {
    /// There hyper itself waits for the next head, and not for ever.
    is_http1: AtomicBool,
    open: AtomicUsize,
    last_ended: Mutex<Instant>,
}

/// One request and its answer, as long as they last.
pub(crate) struct OpenStream(Arc<Streams>);

impl Streams {
    pub fn new() -> Arc<Streams> {
        Arc::new(Streams {
            is_http1: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            last_ended: Mutex::new(Instant::now()),
        })
    }

    /// A timer for `are_over`. Until the first request nobody knows which version is spoken, so it leaves
    /// hyper the time to give up a client of HTTP/1 that does not end its head.
    pub fn timer(limit: Duration) -> Sleep {
        tokio::time::sleep(2 * limit)
    }

    pub fn speaks_http1(&self) {
        self.is_http1.store(true, Relaxed);
    }

    pub fn open(self: &Arc<Self>) -> OpenStream {
        self.open.fetch_add(1, Relaxed);
        OpenStream(self.clone())
    }

    /// Whether nothing was asked for as long as `limit`; `timer` wakes who asks again when it may be so.
    pub fn are_over(
        &self,
        cx: &mut Context<'_>,
        mut timer: Pin<&mut Sleep>,
        limit: Duration,
    ) -> bool {
        while !self.is_http1.load(Relaxed) && timer.as_mut().poll(cx).is_ready() {
            match self.look_again(Instant::now(), limit) {
                Some(at) => timer.as_mut().reset(at),
                None => return true,
            }
        }
        false
    }

    /// When it may be over; `None` if it is.
    fn look_again(&self, now: Instant, limit: Duration) -> Option<Instant> {
        let since = if self.open.load(Relaxed) > 0 { now } else { *self.last_ended.lock() };
        Some(since + limit).filter(|at| *at > now)
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        *self.0.last_ended.lock() = Instant::now();
        self.0.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_connection_without_requests_is_over() {
        let streams = Streams::new();
        let began = *streams.last_ended.lock();
        assert_eq!(streams.look_again(began + LIMIT / 2, LIMIT), Some(began + LIMIT));
        assert_eq!(streams.look_again(began + LIMIT, LIMIT), None);
    }

    #[test]
    fn a_stream_that_is_open_keeps_it() {
        let streams = Streams::new();
        let (first, second) = (streams.open(), streams.open());
        let late = Instant::now() + 1_000 * LIMIT;
        drop(first);
        assert_eq!(streams.look_again(late, LIMIT), Some(late + LIMIT));
        drop(second);
        assert_eq!(streams.look_again(late, LIMIT), None);
        let ended = *streams.last_ended.lock();
        assert_eq!(streams.look_again(ended + LIMIT / 2, LIMIT), Some(ended + LIMIT));
    }

    #[test]
    fn one_of_http1_is_none_of_its_business() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.expect("a runtime").block_on(async {
            let mut timer = std::pin::pin!(Streams::timer(Duration::ZERO));
            timer.as_mut().await;
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let streams = Streams::new();
            streams.speaks_http1();
            assert!(!streams.are_over(&mut cx, timer.as_mut(), Duration::ZERO));
            assert!(Streams::new().are_over(&mut cx, timer.as_mut(), Duration::ZERO));
        });
    }
}
