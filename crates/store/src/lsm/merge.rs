//! Many sorted sources read as one: every version of every key, in the engine's order.

use super::Entry;
use super::memtable::MemCursor;
use super::run::RunCursor;
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
    heads: BinaryHeap<Head>,
    reverse: bool,
}

impl Merge {
    /// Sources newest first.
    pub(super) fn new(sources: Vec<Source>, reverse: bool) -> Self {
        Self { sources, heads: BinaryHeap::new(), reverse }
    }

    /// Before the first [`Merge::next`]: to the gap before `key`, or to the end (`None`).
    pub(super) fn start(&mut self, key: Option<&[u8]>) -> io::Result<()> {
        for (at, source) in self.sources.iter_mut().enumerate() {
            source.seek(key)?;
            if let Some(entry) = source.next()? {
                self.heads.push(Head { entry, source: at, reverse: self.reverse });
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(None) };
        match self.sources[head.source].next()? {
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
            match source.next()? {
                Some(entry) => head.entry = entry,
                None => {
                    PeekMut::pop(head);
                }
            }
        }
        Ok(())
    }
}
