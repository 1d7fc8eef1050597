mod damage;
mod decoders;
mod golden;
mod model;
mod readers;
mod upkeep;

use super::{Lsm, Options};
use crate::disk::{Disk, FaultyDisk, OpenMode};
use crate::engine::{Engine, Step, Version};
use bytes::Bytes;
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

fn try_open(disk: &FaultyDisk, options: Options) -> std::io::Result<Lsm> {
    Lsm::open(Arc::new(disk.clone()), "index", options)
}

fn open(disk: &FaultyDisk) -> Lsm {
    try_open(disk, tiny()).expect("opens")
}

/// All files of the engine.
fn paths(disk: &FaultyDisk) -> Vec<String> {
    let names = disk.list("index").expect("lists").into_iter();
    names.filter(|name| !name.starts_with("frozen")).map(|name| format!("index/{name}")).collect()
}

fn tables(disk: &FaultyDisk) -> Vec<String> {
    paths(disk).into_iter().filter(|path| path.ends_with(".table")).collect()
}

fn content(disk: &FaultyDisk, path: &str) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("opens");
    let mut bytes = vec![0; file.len().expect("has a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("reads");
    bytes
}

/// Puts a file there for good, in place of one that may be there.
fn put_file(disk: &FaultyDisk, path: &str, bytes: &[u8]) {
    disk.create_dir("index").expect("makes a folder");
    let _ = disk.remove(path);
    let file = disk.open(path, OpenMode::CreateNew).expect("creates");
    file.write_all_at(bytes, 0).and_then(|()| file.sync_data()).expect("writes");
    disk.sync_dir("index").expect("syncs");
}

/// Maintains until there is nothing left to do.
fn settle(engine: &Lsm, durable: Version) {
    while engine.maintain(durable).expect("maintains") == Step::Worked {}
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
