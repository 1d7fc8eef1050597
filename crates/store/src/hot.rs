//! A bounded cache of point reads above the index, exact under versions.
//!
//! An entry says: this has been the value of the key since commit `since`, and still is as of the
//! newest commit. So it answers for any snapshot from `since` on, and for no older one. Two rules keep
//! that true: a commit changes the entries of its keys before it can be read, and what a reader found
//! as of `at` is taken in only if no commit after `at` has touched the key. The latter is known from a
//! table of stamps: per bucket of keys, the newest commit that wrote one of them. Buckets are shared,
//! so at worst a value is not taken in.
//!
//! A write takes in only what was missed twice lately, and a row that it changes stays only if it was
//! used: most of what is read to be replaced is not asked for again.
//!
//! A full cache takes in only what was missed twice lately: reads at random of much more than it holds
//! would otherwise pay for entries that nobody comes back to.
//!
//! Beside a value there may be the row that was decoded from it, for rows that every request reads.

use crate::engine::{Batch, Version};
use bytes::Bytes;
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

const SHARDS: usize = 64;
const STAMPS_PER_SHARD: usize = 1024;
/// Misses that a full shard remembers.
const MISSES_PER_SHARD: usize = 4096;
/// Longer values are not kept: reading them costs more than finding them.
const VALUE_BYTES_MAX: usize = 16 << 10;
/// What an entry costs besides key and value.
const ENTRY_BYTES: usize = 128;
/// A decoded row is taken to be so many times as large as its value.
const DECODED_TIMES: usize = 4;

/// A row, of whatever type.
pub(crate) type Decoded = Arc<dyn Any + Send + Sync>;

/// What is known of a key: `None` is that it is absent.
pub(crate) type Known = Option<(Bytes, Option<Decoded>)>;

struct Entry {
    hash: u64,
    key: Bytes,
    value: Option<Bytes>,
    decoded: Option<Decoded>,
    since: Version,
    used: bool,
}

impl Entry {
    fn bytes(&self) -> usize {
        let times = if self.decoded.is_some() { 1 + DECODED_TIMES } else { 1 };
        ENTRY_BYTES + self.key.len() + self.value.as_ref().map_or(0, Bytes::len) * times
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[allow(clippy::disallowed_types, reason = "never iterated")]
type Places = std::collections::HashMap<u64, usize, BuildHasherDefault<AsIs>>;

struct Shard {
    /// By hash; of two keys with one hash only one is kept.
    places: Places,
    entries: Vec<Entry>,
    /// Where the search for something to let go of goes on.
    hand: usize,
    bytes: usize,
    stamps: Vec<Version>,
    /// Marks of keys that were missed, each in the place that its hash gives it.
    missed: Vec<u16>,
}

pub(crate) struct Hot {
    shards: Vec<Mutex<Shard>>,
    shard_bytes: usize,
    seed: u64,
}

impl fmt::Debug for Hot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Hot of {} bytes", self.shard_bytes * SHARDS)
    }
}

/// Multiply and fold, eight bytes at a time.
fn hash(seed: u64, key: &[u8]) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut state = seed ^ key.len() as u64;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), 0x9e37_79b9_7f4a_7c15);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(fold(state ^ u64::from_le_bytes(last), 0xd6e8_feb8_6659_fd93), seed | 1)
}

impl Shard {
    fn stamp(&mut self, hash: u64) -> &mut Version {
        &mut self.stamps[hash as usize / SHARDS % STAMPS_PER_SHARD]
    }

    /// Whether it was missed before, not long ago; from now on it was.
    fn missed_again(&mut self, hash: u64) -> bool {
        if self.missed.is_empty() {
            self.missed = vec![0; MISSES_PER_SHARD];
        }
        let mark = (hash >> 48) as u16 | 1;
        let place = hash as usize / SHARDS % MISSES_PER_SHARD;
        std::mem::replace(&mut self.missed[place], mark) == mark
    }

    fn place(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let place = *self.places.get(&hash)?;
        (self.entries[place].key == key).then_some(place)
    }

    fn remove(&mut self, place: usize) {
        let old = self.entries.swap_remove(place);
        self.bytes -= old.bytes();
        self.places.remove(&old.hash);
        if let Some(moved) = self.entries.get(place) {
            self.places.insert(moved.hash, place);
        }
    }

    /// The second chance: what was used since the hand last came by stays.
    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && !self.entries.is_empty() {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            if !std::mem::take(&mut self.entries[self.hand].used) {
                self.remove(self.hand);
            }
            // What a removal put here is mostly the newest: it has its turn a round later.
            self.hand += 1;
        }
    }
}

impl Hot {
    pub(crate) fn new(bytes: usize, seed: u64) -> Hot {
        let shard = |_| {
            Mutex::new(Shard {
                places: Places::default(),
                entries: Vec::new(),
                hand: 0,
                bytes: 0,
                stamps: vec![0; STAMPS_PER_SHARD],
                missed: Vec::new(),
            })
        };
        Hot { shards: (0..SHARDS).map(shard).collect(), shard_bytes: bytes / SHARDS, seed }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[hash as usize % SHARDS]
    }

    /// What the key is as of `at`, if that is known; `Some(None)` is a key that is known to be absent.
    pub(crate) fn get(&self, key: &[u8], at: Version) -> Option<Option<Bytes>> {
        self.look(key, at, |entry| entry.value.clone())
    }

    /// The same, with what was decoded from it.
    pub(crate) fn get_decoded(&self, key: &[u8], at: Version) -> Option<Known> {
        self.look(key, at, |entry| {
            entry.value.as_ref().map(|value| (value.clone(), entry.decoded.clone()))
        })
    }

    fn look<R>(&self, key: &[u8], at: Version, take: impl FnOnce(&Entry) -> R) -> Option<R> {
        if self.shard_bytes == 0 {
            return None;
        }
        let hash = hash(self.seed, key);
        let mut shard = self.shard(hash).lock();
        let place = shard.place(hash, key)?;
        let entry = &mut shard.entries[place];
        if entry.since > at {
            return None;
        }
        entry.used = true;
        Some(take(entry))
    }

    /// Keeps what `value`, which [`Hot::get_decoded`] gave, was decoded to.
    pub(crate) fn keep_decoded(&self, key: &[u8], value: &Bytes, decoded: Decoded) {
        let hash = hash(self.seed, key);
        let mut shard = self.shard(hash).lock();
        let Some(place) = shard.place(hash, key) else { return };
        let shard = &mut *shard;
        let entry = &mut shard.entries[place];
        // The same memory, which `value` holds on to, so it is the same value.
        let same = |kept: &Bytes| kept.as_ptr() == value.as_ptr() && kept.len() == value.len();
        if entry.value.as_ref().is_some_and(same) {
            let before = entry.bytes();
            entry.decoded = Some(decoded);
            shard.bytes = shard.bytes - before + entry.bytes();
            shard.shrink(self.shard_bytes);
        }
    }

    /// Takes in what the index said the key is as of `at`.
    pub(crate) fn found(&self, key: &[u8], value: Option<&Bytes>, at: Version, writes: bool) {
        let length = value.map_or(0, Bytes::len);
        if self.shard_bytes == 0 || length > VALUE_BYTES_MAX {
            return;
        }
        let hash = hash(self.seed, key);
        let mut shard = self.shard(hash).lock();
        if *shard.stamp(hash) > at || shard.places.contains_key(&hash) {
            return;
        }
        let is_full = shard.bytes + ENTRY_BYTES + key.len() + length > self.shard_bytes;
        if (is_full || writes) && !shard.missed_again(hash) {
            return;
        }
        // Copied, so that it does not hold on to a block of the index; key and value in one piece.
        let mut both = Vec::with_capacity(key.len() + length);
        both.extend_from_slice(key);
        both.extend_from_slice(value.map_or(&[], |value| value));
        let mut copy = Bytes::from(both);
        let key = copy.split_to(key.len());
        let value = value.map(|_| copy);
        let entry = Entry { hash, key, value, decoded: None, since: at, used: false };
        shard.bytes += entry.bytes();
        let place = shard.entries.len();
        shard.places.insert(hash, place);
        shard.entries.push(entry);
        shard.shrink(self.shard_bytes);
    }

    /// A commit that nobody can read yet.
    pub(crate) fn apply(&self, batch: &Batch, version: Version) {
        if self.shard_bytes == 0 {
            return;
        }
        for (key, value) in batch {
            let hash = hash(self.seed, key);
            let mut shard = self.shard(hash).lock();
            *shard.stamp(hash) = version;
            let Some(place) = shard.place(hash, key) else { continue };
            let length = value.as_ref().map_or(0, Bytes::len);
            if length > VALUE_BYTES_MAX || !shard.entries[place].used {
                shard.remove(place);
                continue;
            }
            let shard = &mut *shard;
            let entry = &mut shard.entries[place];
            let before = entry.bytes();
            // A copy, so that it does not hold on to the rest of the commit.
            entry.value = value.as_deref().map(Bytes::copy_from_slice);
            entry.decoded = None;
            entry.since = version;
            shard.bytes = shard.bytes - before + entry.bytes();
            shard.shrink(self.shard_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::memory::MemoryEngine;
    use base::{Entropy, SeededEntropy};

    #[test]
    fn keeps_what_is_used_through_a_flood() {
        let hot = Hot::new(SHARDS * 8000, 1);
        let read = |n: u32| {
            let key = n.to_be_bytes();
            let known = hot.get(&key, 1).is_some();
            if !known {
                hot.found(&key, None, 1, false);
            }
            known
        };
        let hits = |from, to| (from..to).filter(|n| read(*n)).count();
        hits(0, 100_000);
        // Missed, and missed again.
        hits(0, 500);
        hits(0, 500);
        assert!(hits(0, 500) > 450);
        hits(200_000, 201_000);
        assert!(hits(0, 500) > 400);
    }

    #[test]
    fn never_answers_anything_but_what_the_index_would() {
        let chance = SeededEntropy::new(4);
        let (hot, engine) = (Hot::new(64 * 4000, 1), MemoryEngine::default());
        let (mut newest, mut hits) = (0, 0);
        // Reads that have asked the index and not yet told the cache.
        let mut under_way = Vec::new();
        for _ in 0..40_000 {
            let key = Bytes::from(format!("key {}", chance.below(200)));
            match chance.below(8) {
                0 => {
                    newest += 1;
                    let size = chance.below(400) as usize;
                    let value = (size > 50).then(|| Bytes::from(vec![newest as u8; size]));
                    hot.apply(&[(key.clone(), value.clone())], newest);
                    engine.apply(&[(key, value)], newest);
                }
                1 if !under_way.is_empty() => {
                    let (key, value, at): (Bytes, Option<Bytes>, _) =
                        under_way.swap_remove(chance.below(under_way.len() as u64) as usize);
                    hot.found(&key, value.as_ref(), at, chance.below(2) == 0);
                }
                _ => {
                    let at = newest - chance.below(newest.min(5) + 1);
                    let value = engine.get(&key, at).unwrap();
                    match hot.get(&key, at) {
                        Some(found) => {
                            assert_eq!(found, value);
                            hits += 1;
                        }
                        None => under_way.push((key, value, at)),
                    }
                    under_way.truncate(50);
                }
            }
            let bytes: usize = hot.shards.iter().map(|shard| shard.lock().bytes).sum();
            assert!(bytes <= 64 * 4000);
        }
        assert!(hits > 5_000, "{hits}");
    }
}
