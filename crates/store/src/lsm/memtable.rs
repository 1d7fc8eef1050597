//! Commits that are in memory: entries in order that one writer adds to while others read them.

use super::leaf::Leaves;
use super::{Entry, filter};
use crate::engine::Version;
use bytes::Bytes;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering as Memory};
use std::sync::{Arc, OnceLock};

/// What an entry costs beside its key and value.
const ENTRY_BYTES: u64 = 112;
/// A memtable of this size gets a filter.
const FILTERED_BYTES: u64 = 1 << 20;
/// For some hundred thousand keys.
const FILTER_WORDS: usize = 32 << 10;

/// Which keys a memtable surely does not have: four bits in one word for each key, so that a question
/// costs one cache miss, where a search costs two a step.
struct KeyFilter(Box<[AtomicU64]>);

impl KeyFilter {
    fn new() -> Self {
        Self((0..FILTER_WORDS).map(|_| AtomicU64::new(0)).collect())
    }

    fn word_and_bits(&self, hash: u64) -> (&AtomicU64, u64) {
        let bits = (0..4).fold(0, |bits, n| bits | 1 << (hash >> (6 * n) & 63));
        (&self.0[(hash >> 32) as usize % self.0.len()], bits)
    }

    /// Before the entry itself: whoever may see that has seen this.
    fn add(&self, hash: u64) {
        let (word, bits) = self.word_and_bits(hash);
        word.fetch_or(bits, Memory::Relaxed);
    }

    fn may_hold(&self, hash: u64) -> bool {
        let (word, bits) = self.word_and_bits(hash);
        word.load(Memory::Relaxed) & bits == bits
    }
}

#[derive(Default)]
pub(super) struct Memtable {
    leaves: Leaves,
    /// Not there while the memtable is small.
    filter: OnceLock<KeyFilter>,
    size_bytes: AtomicU64,
    newest: AtomicU64,
}

impl fmt::Debug for Memtable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Memtable(to {}, {} bytes)", self.newest(), self.size_bytes())
    }
}

impl Memtable {
    /// Takes in a whole commit. One writer at a time.
    pub(super) fn apply(&self, batch: &crate::engine::Batch, version: Version) {
        let mut size_bytes = 0;
        let filter = self.filter.get();
        for (key, value) in batch {
            if let Some(filter) = filter {
                filter.add(filter::hash(key));
            }
            size_bytes += ENTRY_BYTES + key.len() as u64;
            size_bytes += value.as_ref().map_or(0, Bytes::len) as u64;
            self.leaves.insert(Entry { key: key.clone(), version, value: value.clone() });
        }
        let before = self.size_bytes.fetch_add(size_bytes, Memory::Relaxed);
        self.newest.store(version, Memory::Release);
        if filter.is_none() && before + size_bytes > FILTERED_BYTES {
            let filter = KeyFilter::new();
            self.leaves.each_key(|key| filter.add(filter::hash(key)));
            let _ = self.filter.set(filter);
        }
    }

    /// `None`: nothing known of the key, whose hash is `hash`, as of `at`; `Some(None)`: it is removed.
    pub(super) fn get(&self, key: &[u8], hash: u64, at: Version) -> Option<Option<Bytes>> {
        if self.filter.get().is_some_and(|filter| !filter.may_hold(hash)) {
            return None;
        }
        self.leaves.get(key, at)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.size_bytes() == 0
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Memory::Relaxed)
    }

    /// The last commit in it.
    pub(super) fn newest(&self) -> Version {
        self.newest.load(Memory::Acquire)
    }
}

/// Where the next entries are taken from.
#[derive(Debug)]
enum From {
    /// Before all versions of the key.
    Key(Bytes),
    /// After this entry, in the direction of the cursor.
    Entry(Bytes, Version),
    End,
    Nothing,
}

/// Reads entries in chunks that grow, since leaves divide and no position in them can be kept.
#[derive(Debug)]
pub(super) struct MemCursor {
    memtable: Arc<Memtable>,
    /// Only these versions: after the first, up to the second.
    versions: (Version, Version),
    reverse: bool,
    /// Nothing is read beyond the gap before this key.
    end: Option<Bytes>,
    /// What is read already, the next one last.
    ahead: Vec<Entry>,
    from: From,
    chunk: usize,
}

const CHUNK_MIN: usize = 16;
const CHUNK_MAX: usize = 128;

impl MemCursor {
    pub(super) fn new(
        memtable: Arc<Memtable>,
        versions: (Version, Version),
        reverse: bool,
    ) -> Self {
        let (end, ahead, from) = (None, Vec::new(), From::Nothing);
        Self { memtable, versions, reverse, end, ahead, from, chunk: CHUNK_MIN }
    }

    /// The same, up to the gap before a key.
    pub(super) fn until(self, end: Bytes) -> Self {
        Self { end: Some(end), ..self }
    }

    /// To the gap before `key` (`None`: the end); entries beyond it, in the cursor's direction, follow.
    pub(super) fn seek(&mut self, key: Option<&[u8]>) {
        if let Some(key) = key {
            let beyond = |entry: &Entry| entry.beyond(key, self.reverse);
            while self.ahead.last().is_some_and(|entry| !beyond(entry)) {
                self.ahead.pop();
            }
            if !self.ahead.is_empty() {
                return;
            }
        }
        self.chunk = CHUNK_MIN;
        self.from = key.map_or(From::End, |key| From::Key(Bytes::copy_from_slice(key)));
    }

    pub(super) fn next(&mut self) -> Option<Entry> {
        while self.ahead.is_empty() {
            self.fill()?;
        }
        self.ahead.pop()
    }

    /// Reads a chunk; none of it may be of the versions asked for. `None` at the end.
    fn fill(&mut self) -> Option<()> {
        let place = match &self.from {
            From::Key(key) => Some((&key[..], Version::MAX)),
            From::Entry(key, version) => Some((&key[..], *version)),
            From::End => None,
            From::Nothing => return None,
        };
        let mut seen = 0;
        let mut last = None;
        let (end, reverse) = (self.end.as_ref(), self.reverse);
        self.memtable.leaves.from(place, reverse, self.chunk, |entry| {
            if end.is_some_and(|end| entry.beyond(end, reverse)) {
                return ControlFlow::Break(());
            }
            if entry.version > self.versions.0 && entry.version <= self.versions.1 {
                self.ahead.push(entry.clone());
            }
            seen += 1;
            if seen == self.chunk {
                last = Some((entry.key.clone(), entry.version));
            }
            ControlFlow::Continue(())
        });
        self.ahead.reverse();
        self.from = last.map_or(From::Nothing, |(key, version)| From::Entry(key, version));
        self.chunk = (self.chunk * 2).min(CHUNK_MAX);
        (seen > 0).then_some(())
    }
}
