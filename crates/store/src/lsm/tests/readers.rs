//! Readers on other threads while commits come in and maintenance goes on.

use super::{bytes, open};
use crate::disk::FaultyDisk;
use crate::engine::{Engine, Version};
use bytes::Bytes;
use parking_lot::Mutex;
use std::ops::Bound;

const KEYS: u32 = 12;
const COMMITS: Version = 3_000;
const READERS: usize = 2;

/// What is published, and as of what each reader reads.
struct Shown {
    published: Version,
    read: [Version; READERS],
}

fn key(number: u32) -> Bytes {
    bytes(&format!("key/{number:03}"))
}

/// Each commit writes its number to every key, so that a reader must find one number everywhere.
fn write(engine: &super::Lsm, shown: &Mutex<Shown>) {
    for version in 1..=COMMITS {
        let value = Bytes::from(version.to_string());
        let batch: Vec<_> = (0..KEYS).map(|number| (key(number), Some(value.clone()))).collect();
        engine.apply(&batch, version);
        let horizon = {
            let mut shown = shown.lock();
            shown.published = version;
            shown.read.iter().copied().min().unwrap_or(0).min(version)
        };
        engine.set_horizon(horizon);
        for _ in 0..4 {
            engine.maintain(version).expect("maintains");
        }
    }
}

fn read(engine: &super::Lsm, shown: &Mutex<Shown>, reader: usize) {
    let mut reverse = false;
    loop {
        let at = {
            let mut shown = shown.lock();
            shown.read[reader] = shown.published;
            shown.published
        };
        let expected = (at > 0).then(|| Bytes::from(at.to_string()));
        for number in 0..KEYS {
            assert_eq!(engine.get(&key(number), at).expect("reads"), expected, "as of {at}");
        }
        reverse = !reverse;
        let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), at, reverse);
        let mut count = 0;
        while let Some((_, value)) = cursor.next().expect("reads") {
            assert_eq!(Some(value), expected, "as of {at}");
            count += 1;
        }
        assert_eq!(count, if at > 0 { KEYS } else { 0 });
        if at == COMMITS {
            return;
        }
    }
}

#[test]
fn readers_see_whole_commits() {
    let engine = open(&FaultyDisk::new());
    let shown = Mutex::new(Shown { published: 0, read: [0; READERS] });
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (engine, shown) = (&engine, &shown);
            scope.spawn(move || read(engine, shown, reader));
        }
        write(&engine, &shown);
    });
    assert!(engine.flushed() > 0);
}
