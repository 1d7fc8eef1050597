//! What a reader sees of a merge: per key the newest value that is not newer than its version.

use super::Entry;
use super::merge::Merge;
use crate::engine::{Cursor, Version};
use bytes::Bytes;
use std::io;
use std::ops::Bound;

#[derive(Debug)]
enum State {
    New,
    Going,
    Done,
    Failed,
}

#[derive(Debug)]
pub(super) struct Scan {
    merge: Merge,
    at: Version,
    /// The first key in range.
    lower: Bytes,
    /// The first key above it.
    upper: Option<Bytes>,
    reverse: bool,
    state: State,
    /// The key whose older versions are to be skipped.
    last: Option<Bytes>,
    /// In reverse the older versions come first: the best so far of the key at hand.
    best: Option<Entry>,
}

/// The first key after `key`.
fn after(key: &[u8]) -> Bytes {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    Bytes::from(next)
}

impl Scan {
    pub(super) fn new(
        merge: Merge,
        range: (Bound<Bytes>, Bound<Bytes>),
        at: Version,
        reverse: bool,
    ) -> Self {
        let lower = match range.0 {
            Bound::Included(key) => key,
            Bound::Excluded(key) => after(&key),
            Bound::Unbounded => Bytes::new(),
        };
        let upper = match range.1 {
            Bound::Included(key) => Some(after(&key)),
            Bound::Excluded(key) => Some(key),
            Bound::Unbounded => None,
        };
        let empty = upper.as_ref().is_some_and(|upper| *upper <= lower);
        let state = if empty { State::Done } else { State::New };
        Self { merge, at, lower, upper, reverse, state, last: None, best: None }
    }

    fn start(&mut self) -> io::Result<()> {
        let end = if self.reverse { Some(self.lower.clone()) } else { self.upper.clone() };
        if let Some(end) = end {
            let sources = std::mem::replace(&mut self.merge, Merge::new(Vec::new(), self.reverse));
            self.merge = sources.until(end);
        }
        let from = if self.reverse { self.upper.as_deref() } else { Some(&self.lower[..]) };
        self.merge.start(from)?;
        self.state = State::Going;
        Ok(())
    }

    fn next_forward(&mut self) -> io::Result<Option<(Bytes, Bytes)>> {
        while let Some(entry) = self.merge.next()? {
            if entry.version > self.at || self.last.as_ref() == Some(&entry.key) {
                continue;
            }
            self.last = Some(entry.key.clone());
            if let Some(value) = entry.value {
                return Ok(Some((entry.key, value)));
            }
        }
        self.state = State::Done;
        Ok(None)
    }

    fn next_reverse(&mut self) -> io::Result<Option<(Bytes, Bytes)>> {
        let live = |entry: Entry| entry.value.map(|value| (entry.key, value));
        while let Some(entry) = self.merge.next()? {
            if entry.version > self.at {
                continue;
            }
            let before = self.best.replace(entry);
            let moved = |before: &Entry| Some(&before.key) != self.best.as_ref().map(|b| &b.key);
            if let Some(pair) = before.filter(moved).and_then(live) {
                return Ok(Some(pair));
            }
        }
        self.state = State::Done;
        Ok(self.best.take().and_then(live))
    }

    fn try_next(&mut self) -> io::Result<Option<(Bytes, Bytes)>> {
        if matches!(self.state, State::New) {
            self.start()?;
        }
        if self.reverse { self.next_reverse() } else { self.next_forward() }
    }

    fn try_seek(&mut self, key: &[u8]) -> io::Result<()> {
        let started = !matches!(self.state, State::New);
        if self.reverse {
            // `key` itself is in: the gap is the one after it.
            let gap = after(key);
            if self.best.as_ref().is_some_and(|best| best.key >= gap) {
                self.best = None;
            }
            if started {
                self.merge.seek(&gap)?;
            } else if self.upper.as_ref().is_none_or(|upper| gap < *upper) {
                self.upper = Some(gap);
            }
        } else if started {
            self.merge.seek(key)?;
        } else if *key > self.lower[..] {
            self.lower = Bytes::copy_from_slice(key);
        }
        Ok(())
    }

    fn failed() -> io::Error {
        io::Error::other("this scan has failed before: begin a new one")
    }
}

impl Cursor for Scan {
    fn next(&mut self) -> io::Result<Option<(Bytes, Bytes)>> {
        match self.state {
            State::Done => return Ok(None),
            State::Failed => return Err(Self::failed()),
            State::New | State::Going => {}
        }
        let result = self.try_next();
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn seek(&mut self, key: &[u8]) -> io::Result<()> {
        match self.state {
            State::Done => return Ok(()),
            State::Failed => return Err(Self::failed()),
            State::New | State::Going => {}
        }
        let result = self.try_seek(key);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }
}
