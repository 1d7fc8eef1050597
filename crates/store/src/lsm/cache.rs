//! Blocks that were read lately, bounded by bytes.
//!
//! Shards with a lock each; in a shard a hand goes round and lets go of blocks that nobody asked for
//! since it came by last. What a scan brings in counts as not asked for, so that one long listing
//! does not push out what point reads use. Room is taken as it is needed: an idle cache is empty.
//!
//! A full cache takes in only what was missed twice lately: reads at random of much more than it holds
//! would otherwise pay for keeping blocks that nobody comes back to.

use super::filter;
use bytes::Bytes;
use parking_lot::Mutex;
#[allow(clippy::disallowed_types, reason = "never iterated")]
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

const SHARDS: usize = 16;
/// Misses that a full shard remembers.
const MISSES: usize = 4096;

/// Which block: table number and offset.
type BlockId = (u64, u64);

/// The ids are ours and hashed by [`shard_hash`] already, so the map only takes them on.
#[derive(Default)]
struct Passed(u64);

impl Hasher for Passed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = filter::hash(bytes);
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(32) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
}

fn hash(id: BlockId) -> u64 {
    let mut hasher = Passed::default();
    hasher.write_u64(id.0);
    hasher.write_u64(id.1);
    hasher.finish()
}

#[derive(Debug)]
struct Slot {
    id: BlockId,
    block: Bytes,
    asked: bool,
}

#[derive(Default, Debug)]
#[allow(clippy::disallowed_types, reason = "never iterated")]
struct Shard {
    places: HashMap<BlockId, usize, BuildHasherDefault<Passed>>,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    hand: usize,
    size_bytes: usize,
    /// Marks of blocks that were missed, each in the place that its hash gives it.
    missed: Vec<u32>,
}

impl Shard {
    /// Whether it was missed before, not long ago; from now on it was.
    fn missed_again(&mut self, hash: u64) -> bool {
        if self.missed.is_empty() {
            self.missed = vec![0; MISSES];
        }
        let mark = (hash >> 32) as u32 | 1;
        std::mem::replace(&mut self.missed[hash as usize % MISSES], mark) == mark
    }

    fn make_room(&mut self, size_bytes: usize, size_bytes_max: usize) {
        while self.size_bytes + size_bytes > size_bytes_max {
            self.hand %= self.slots.len();
            let place = self.hand;
            self.hand += 1;
            match &mut self.slots[place] {
                Some(slot) if slot.asked => slot.asked = false,
                slot => {
                    let Some(gone) = slot.take() else { continue };
                    self.size_bytes -= gone.block.len();
                    self.places.remove(&gone.id);
                    // The next block takes this place, just behind the hand: it has a whole round.
                    self.free.push(place);
                }
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
}

impl Cache {
    pub(super) fn new(size_bytes_max: usize) -> Self {
        Self { shards: Default::default(), shard_bytes_max: size_bytes_max / SHARDS }
    }

    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        &self.shards[(hash >> 40) as usize % SHARDS]
    }

    pub(super) fn get(&self, id: BlockId) -> Option<Bytes> {
        let mut shard = self.shard(hash(id)).lock();
        let place = *shard.places.get(&id)?;
        let slot = shard.slots.get_mut(place)?.as_mut()?;
        slot.asked = true;
        Some(slot.block.clone())
    }

    pub(super) fn put(&self, id: BlockId, block: &Bytes, asked: bool) {
        if block.len() > self.shard_bytes_max {
            return;
        }
        let hash = hash(id);
        let mut shard = self.shard(hash).lock();
        if shard.places.contains_key(&id) {
            return;
        }
        let is_full = shard.size_bytes + block.len() > self.shard_bytes_max;
        if is_full && asked && !shard.missed_again(hash) {
            return;
        }
        shard.make_room(block.len(), self.shard_bytes_max);
        shard.size_bytes += block.len();
        let slot = Some(Slot { id, block: block.clone(), asked });
        let place = match shard.free.pop() {
            Some(place) => {
                shard.slots[place] = slot;
                place
            }
            None => {
                shard.slots.push(slot);
                shard.slots.len() - 1
            }
        };
        shard.places.insert(id, place);
    }
}
