//! The files of format 1 as they were first written: later builds must go on reading them, and this
//! one writes the same bytes. A new format gets a folder of its own; these stay.

use super::{Lsm, Options, bytes, content, paths, put_file, settle, tiny, try_open};
use crate::disk::FaultyDisk;
use crate::engine::Engine;
use bytes::Bytes;
use std::ops::Bound;

const MANIFEST: &[u8] = include_bytes!("format_1/manifest");
const TABLE: &[u8] = include_bytes!("format_1/00000001.table");

fn options() -> Options {
    Options { memtable_bytes: 1 << 20, ..tiny() }
}

/// 40 keys, some with two versions, some removed, one long value.
fn fill(engine: &Lsm) {
    for version in 1..=2 {
        let keys = (0..40u32).filter(|key| version == 1 || key % 5 == 0);
        let batch: Vec<(Bytes, Option<Bytes>)> = keys
            .map(|key| {
                let value = match key % 4 {
                    3 => None,
                    2 if key == 10 => Some(Bytes::from(vec![b'v'; 300])),
                    _ => Some(bytes(&format!("value {version} of {key}"))),
                };
                (bytes(&format!("key/{key:04}")), value)
            })
            .collect();
        engine.apply(&batch, version);
    }
}

fn all(engine: &Lsm, at: u64) -> Vec<(Bytes, Bytes)> {
    let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), at, false);
    std::iter::from_fn(|| cursor.next().expect("reads")).collect()
}

#[test]
fn files_of_format_1_are_read() {
    let disk = FaultyDisk::new();
    put_file(&disk, "index/manifest", MANIFEST);
    put_file(&disk, "index/00000001.table", TABLE);
    let engine = try_open(&disk, options()).expect("opens");
    assert_eq!(engine.flushed(), 2);
    assert_eq!(engine.check().expect("reads"), Vec::<String>::new());
    let fresh = try_open(&FaultyDisk::new(), options()).expect("opens");
    fill(&fresh);
    for at in 0..=2 {
        assert_eq!(all(&engine, at), all(&fresh, at), "as of {at}");
    }
    assert_eq!(all(&engine, 2).len(), 30);
}

#[test]
fn files_of_format_1_are_written() {
    let disk = FaultyDisk::new();
    let engine = try_open(&disk, options()).expect("opens");
    fill(&engine);
    drop(engine.freeze(2).expect("freezes"));
    settle(&engine, 2);
    assert_eq!(paths(&disk), ["index/00000001.table", "index/manifest"]);
    assert_eq!(content(&disk, "index/00000001.table"), TABLE);
    assert_eq!(content(&disk, "index/manifest"), MANIFEST);
}

#[test]
fn hashes_of_format_1() {
    for (key, expected) in [
        (&b""[..], 0xaf72_a591_6eaf_fa97),
        (b"key", 0x2b60_78c7_e9d0_6282),
        (b"eight by", 0xc0d9_f916_d7f7_f428),
        (b"a key of more than one word", 0x0630_97c2_70f4_ba83),
    ] {
        assert_eq!(super::super::filter::hash(key), expected, "{key:?}");
    }
}
