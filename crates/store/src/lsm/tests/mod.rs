mod damage;
mod decoders;
mod disk;
mod golden;
mod model;
mod upkeep;

use super::{Lsm, Options};
use crate::engine::{Engine, Step, Version};
use bytes::Bytes;
use disk::TestDisk;
use std::sync::Arc;

/// Chance from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.word() % bound.max(1)
    }
}

/// So small that a few hundred entries fill several levels.
fn tiny() -> Options {
    Options {
        memtable_bytes: 4 << 10,
        table_bytes: 2 << 10,
        block_bytes: 256,
        recent_tables: 3,
        level_bytes: 6 << 10,
        level_ratio: 3,
        tombstones_min: 8,
        step_bytes: 512,
        cache_bytes: 64 << 10,
        ..Options::default()
    }
}

fn open(disk: &Arc<TestDisk>) -> Lsm {
    Lsm::open(Arc::clone(disk) as _, "index", tiny()).expect("opens")
}

/// Maintains until there is nothing left to do.
fn settle(engine: &Lsm, durable: Version) {
    while engine.maintain(durable).expect("maintains") == Step::Worked {}
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
