//! Many sorted sources read as one: every version of every key, in the engine's order.

use super::Entry;
use super::memtable::MemCursor;
use super::run::RunCursor;
use bytes::Bytes;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io;

#[derive(Debug)]
pub(super) enum Source {
    Mem(MemCursor),
    Run(RunCursor),
}

impl Source {
    #[inline]
    fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Self::Mem(cursor) => Ok(cursor.next()),
            Self::Run(cursor) => cursor.next(),
        }
    }

    fn seek(&mut self, key: Option<&[u8]>) -> io::Result<()> {
        match self {
            Self::Mem(cursor) => {
                cursor.seek(key);
                Ok(())
            }
            Self::Run(cursor) => cursor.seek(key),
        }
    }
}

#[inline]
fn next_before(
    source: &mut Source,
    end: Option<&Bytes>,
    reverse: bool,
) -> io::Result<Option<Entry>> {
    let entry = source.next()?;
    Ok(match end {
        Some(end) => entry.filter(|entry| !entry.beyond(end, reverse)),
        None => entry,
    })
}

/// The next entry of a source. The greatest in the heap is the next of all.
#[derive(Debug)]
struct Head {
    entry: Entry,
    source: usize,
    reverse: bool,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (&self.entry, &other.entry);
        let order = one.key.cmp(&two.key).then(two.version.cmp(&one.version));
        let order = if self.reverse { order } else { order.reverse() };
        // An entry that two sources have comes from the newer one first.
        order.then(other.source.cmp(&self.source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}

/// After an error it is of no more use: a source may have lost its place.
#[derive(Debug)]
pub(super) struct Merge {
    sources: Vec<Source>,
    /// Of those sources that have anything before the end.
    heads: BinaryHeap<Head>,
    reverse: bool,
    end: Option<Bytes>,
}

impl Merge {
    /// Sources newest first.
    pub(super) fn new(sources: Vec<Source>, reverse: bool) -> Self {
        Self { sources, heads: BinaryHeap::new(), reverse, end: None }
    }

    /// The same, up to the gap before `end`. Of a short range most sources have nothing: what they have
    /// beyond it is compared with nothing but the end.
    pub(super) fn until(self, end: Bytes) -> Self {
        let ended = |source| match source {
            Source::Mem(cursor) => Source::Mem(cursor.until(end.clone())),
            run @ Source::Run(_) => run,
        };
        let sources = self.sources.into_iter().map(ended).collect();
        Self { sources, end: Some(end), ..self }
    }

    /// Before the first [`Merge::next`]: to the gap before `key`, or to the end (`None`).
    pub(super) fn start(&mut self, key: Option<&[u8]>) -> io::Result<()> {
        for at in 0..self.sources.len() {
            self.sources[at].seek(key)?;
            if let Some(entry) = self.next_of(at)? {
                self.heads.push(Head { entry, source: at, reverse: self.reverse });
            }
        }
        Ok(())
    }

    /// The next entry of one source; one that is at its end is not asked again.
    #[inline]
    fn next_of(&mut self, source: usize) -> io::Result<Option<Entry>> {
        next_before(&mut self.sources[source], self.end.as_ref(), self.reverse)
    }

    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        let source = &mut self.sources[head.source];
        match next_before(source, self.end.as_ref(), self.reverse)? {
            Some(entry) => Ok(Some(std::mem::replace(&mut head.entry, entry))),
            None => Ok(Some(PeekMut::pop(head).entry)),
        }
    }

    /// To the gap before `key`, if that lies ahead.
    pub(super) fn seek(&mut self, key: &[u8]) -> io::Result<()> {
        while let Some(mut head) = self.heads.peek_mut() {
            if head.entry.beyond(key, self.reverse) {
                break;
            }
            let source = &mut self.sources[head.source];
            source.seek(Some(key))?;
            match next_before(source, self.end.as_ref(), self.reverse)? {
                Some(entry) => head.entry = entry,
                None => {
                    PeekMut::pop(head);
                }
            }
        }
        Ok(())
    }
}
