//! Records of the audit trail as they are written: `/_cumulet/events?follow=true` does not end.
//!
//! Permission is asked again with each look, so what a policy no longer allows ends within a moment. Only
//! the first look is itself a record.
//!
//! With `since`, what was recorded from then on, and in a few seconds before, comes first: whoever was cut
//! off misses nothing and knows by their ids what they have. Where more comes than one look gives, a line
//! `{"leftOut":N}` says so before the newest of it.

use crate::audit::Filter;
use crate::fresh::{Cursor, Fresh};
use crate::gateway::Gateway;
use api::{Ask, ByteStream, Cx, Error};
use base::Timestamp;
use bytes::Bytes;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(400);
/// Without anything new, an empty line shows that somebody is there.
const SILENT_LOOKS_MAX: u32 = 8;
/// Records of one look.
const LINES_MAX: usize = 500;
/// That follow at a time, records and logs of containers together.
const FOLLOWING_MAX: u64 = 64;

/// Counts one that follows, as long as it is there.
struct Place(Arc<Gateway>);

impl Place {
    fn take(gateway: &Arc<Gateway>) -> Result<Place, Error> {
        let place = Place(gateway.clone());
        match gateway.following.fetch_add(1, Relaxed) < FOLLOWING_MAX {
            true => Ok(place),
            false => Err(Error::with_code("SlowDown", 503, "Too many follow already.")),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.following.fetch_sub(1, Relaxed);
    }
}

fn pause() -> Pin<Box<Sleep>> {
    Box::pin(tokio::time::sleep(PAUSE))
}

pub(crate) struct Follow {
    place: Place,
    cx: Cx,
    ask: Ask,
    /// When the caller's key is no longer good.
    expires: Option<Timestamp>,
    filter: Filter,
    cursor: Cursor,
    /// What there was before, to be given first.
    past: String,
    sleep: Pin<Box<Sleep>>,
    silent: u32,
}

impl Follow {
    pub fn new(
        gateway: &Arc<Gateway>,
        cx: Cx,
        ask: Ask,
        expires: Option<Timestamp>,
        filter: Filter,
    ) -> Result<Follow, Error> {
        let place = Place::take(gateway)?;
        let since = Some(filter.since).filter(|since| *since != Timestamp::EPOCH);
        let filter = Filter { since: Timestamp::EPOCH, ..filter };
        let (cursor, past) = gateway.store.read(|tx| {
            cx.authorize(tx, &ask)?;
            let when = (cx.now(), since);
            Cursor::begin(gateway.audit(), tx, &filter, when, LINES_MAX).map_err(Error::from)
        })?;
        let (past, sleep) = (written(past), pause());
        Ok(Follow { place, cx, ask, expires, filter, cursor, past, sleep, silent: 0 })
    }

    /// What came since the last look, a line each.
    fn look(&mut self) -> Result<String, Error> {
        let Follow { place: Place(gateway), cx, ask, expires, filter, cursor, .. } = self;
        let now = cx.now();
        if expires.is_some_and(|expires| expires <= now) {
            return Err(Error::with_code("ExpiredToken", 403, "The key has expired."));
        }
        let fresh = gateway.store.read(|tx| {
            cx.authorize(tx, ask)?;
            cursor.look(gateway.audit(), tx, filter, now, LINES_MAX).map_err(Error::from)
        })?;
        Ok(written(fresh))
    }
}

fn written(fresh: Fresh) -> String {
    let mut out = match fresh.left_out {
        0 => String::new(),
        count => format!("{{\"leftOut\":{count}}}\n"),
    };
    for line in fresh.lines {
        out.push_str(&line.text);
        out.push('\n');
    }
    out
}

impl ByteStream for Follow {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.past.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.past).into())));
        }
        loop {
            std::task::ready!(self.sleep.as_mut().poll(cx));
            self.sleep = pause();
            if self.place.0.closing.load(Relaxed) {
                return Poll::Ready(None);
            }
            match self.look() {
                // The head is sent, so there is no other way to say it than to end.
                Err(error) => {
                    tracing::debug!(error = error.message(), "a follower of the trail ends");
                    return Poll::Ready(None);
                }
                Ok(lines) if !lines.is_empty() => {
                    self.silent = 0;
                    return Poll::Ready(Some(Ok(lines.into())));
                }
                Ok(_) => self.silent += 1,
            }
            if self.silent >= SILENT_LOOKS_MAX {
                self.silent = 0;
                return Poll::Ready(Some(Ok(Bytes::from_static(b"\n"))));
            }
        }
    }
}

/// Another's stream, which ends when the process does.
pub(crate) struct UntilClosing {
    place: Place,
    inner: Pin<Box<dyn ByteStream>>,
    sleep: Pin<Box<Sleep>>,
}

impl UntilClosing {
    pub fn new(
        gateway: &Arc<Gateway>,
        inner: Pin<Box<dyn ByteStream>>,
    ) -> Result<UntilClosing, Error> {
        Ok(UntilClosing { place: Place::take(gateway)?, inner, sleep: pause() })
    }
}

impl ByteStream for UntilClosing {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        if let Poll::Ready(next) = self.inner.as_mut().poll_next(cx) {
            return Poll::Ready(next);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.place.0.closing.load(Relaxed) {
                return Poll::Ready(None);
            }
            self.sleep = pause();
        }
        Poll::Pending
    }
}
