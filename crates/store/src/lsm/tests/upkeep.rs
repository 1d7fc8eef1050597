//! What maintenance owes beside right answers.

use super::{Lsm, Options, bytes, open, settle, tables, tiny, try_open};
use crate::disk::{Disk, FaultyDisk, OpenMode};
use crate::engine::{Engine, Step, Version};
use bytes::Bytes;
use std::ops::Bound;

fn put(engine: &Lsm, version: Version, keys: std::ops::Range<u32>, value: Option<&str>) {
    let value = value.map(bytes);
    let batch: Vec<(Bytes, Option<Bytes>)> =
        keys.map(|key| (bytes(&format!("key/{key:06}")), value.clone())).collect();
    engine.apply(&batch, version);
}

fn entries(engine: &Lsm) -> u64 {
    engine.tree().levels.tables().map(|table| table.meta.entries).sum()
}

#[test]
fn nothing_undurable_reaches_a_file() {
    let disk = FaultyDisk::new();
    let engine = open(&disk);
    put(&engine, 1, 0..100, Some("one"));
    put(&engine, 2, 0..100, Some("two"));
    settle(&engine, 0);
    assert_eq!((engine.flushed(), entries(&engine)), (0, 0));
    settle(&engine, 1);
    assert_eq!((engine.flushed(), entries(&engine)), (1, 100));
}

#[test]
fn memory_is_written_out_however_far_merges_are_behind() {
    let disk = FaultyDisk::new();
    let engine = open(&disk);
    for version in 1..=40 {
        put(&engine, version, 0..100, Some("something"));
    }
    while engine.write_out(40).expect("writes") == Step::Worked {}
    let tree = engine.tree();
    assert!(tree.sealed.is_empty());
    assert!(tree.levels.recent.len() > tiny().recent_tables * 4, "{}", tree.levels.recent.len());
    assert!(engine.unflushed_bytes() <= tiny().memtable_bytes);
    settle(&engine, 40);
    assert!(engine.tree().levels.recent.len() < tiny().recent_tables);
    assert_eq!(engine.get(b"key/000001", 40).expect("reads"), Some(bytes("something")));
}

#[test]
fn removed_keys_leave_nothing_behind() {
    let disk = FaultyDisk::new();
    let engine = open(&disk);
    for version in 1..=10 {
        put(&engine, version, 0..300, Some("something"));
        settle(&engine, version);
    }
    put(&engine, 11, 0..300, None);
    engine.set_horizon(11);
    settle(&engine, 11);
    assert_eq!(entries(&engine), 0);
    assert_eq!(tables(&disk), Vec::<String>::new());
}

#[test]
fn what_comes_and_goes_in_memory_never_reaches_a_table() {
    let options = Options { memtable_bytes: 1 << 20, ..tiny() };
    let engine = try_open(&FaultyDisk::new(), options).expect("opens");
    put(&engine, 1, 0..10, Some("stays"));
    for version in (2..200).step_by(2) {
        let job = version as u32 + 1000;
        put(&engine, version, job..job + 1, Some("a job"));
        put(&engine, version + 1, job..job + 1, None);
    }
    engine.set_horizon(199);
    engine.freeze(199).expect("freezes");
    assert_eq!(entries(&engine), 10);
}

#[test]
fn a_pinned_state_outlives_merges() {
    let disk = FaultyDisk::new();
    let engine = open(&disk);
    put(&engine, 1, 0..300, Some("first"));
    let frozen = engine.freeze(1).expect("freezes");
    let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), 1, false);
    for version in 2..20 {
        put(&engine, version, 0..300, Some("later"));
        engine.set_horizon(version);
        settle(&engine, version);
    }
    let there = |path: &String| disk.open(path, OpenMode::Read).is_ok();
    assert!(frozen.files.iter().all(there));
    for _ in 0..300 {
        let (_, value) = cursor.next().expect("reads").expect("is there");
        assert_eq!(value, "first");
    }
    drop(cursor);
    let files = frozen.files.clone();
    drop(frozen);
    settle(&engine, 19);
    assert!(!files.iter().any(there));
}

#[test]
fn a_full_disk_loses_nothing() {
    let disk = FaultyDisk::new();
    let engine = open(&disk);
    for version in 1..20 {
        put(&engine, version, 0..200, Some("value"));
        disk.set_capacity(Some(disk.used_bytes() + version % 7 * 1_000));
        for _ in 0..3 {
            let _ = engine.maintain(version);
        }
        assert_eq!(engine.get(b"key/000077", version).expect("reads"), Some(bytes("value")));
        assert!(engine.freeze(version).is_err());
        disk.set_capacity(None);
    }
    engine.set_horizon(19);
    settle(&engine, 19);
    assert_eq!(engine.check().expect("reads"), Vec::<String>::new());
    let listed = engine.tree().levels.tables().count();
    assert_eq!(tables(&disk).len(), listed);
}

/// The power goes during the `call`th change; what is there then must open, and be whole with what
/// the log has. `false` when the life was over before.
fn survives(call: u64, seed: u64) -> bool {
    let disk = FaultyDisk::new();
    let commits = 1..=8;
    let commit = |engine: &Lsm, version| {
        let first = version as u32 % 3 * 40;
        put(engine, version, first..first + 60, Some(&format!("value {version}")));
    };
    disk.power_off_in(call);
    let life = || {
        let engine = try_open(&disk, tiny())?;
        for version in commits.clone() {
            commit(&engine, version);
            engine.set_horizon(version);
            for _ in 0..30 {
                engine.maintain(version)?;
            }
        }
        engine.freeze(8).map(drop)
    };
    let went = life().is_err();
    disk.crash(seed);
    let engine = open(&disk);
    assert_eq!(engine.check().expect("reads"), Vec::<String>::new(), "call {call}, seed {seed}");
    for version in commits {
        commit(&engine, version);
    }
    let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), 8, false);
    for key in 0..140u32 {
        let newest = (1..=8u32).rev().find(|v| (v % 3 * 40..v % 3 * 40 + 60).contains(&key));
        let value = newest.map(|version| bytes(&format!("value {version}")));
        let pair = value.map(|value| (bytes(&format!("key/{key:06}")), value));
        assert_eq!(cursor.next().expect("reads"), pair, "call {call}, seed {seed}");
    }
    went
}

#[test]
fn a_power_cut_at_any_call_is_survived() {
    let mut calls = 0;
    for call in 1.. {
        let mut went = false;
        for seed in 0..6 {
            went |= survives(call, seed);
        }
        if !went {
            break;
        }
        calls = call;
    }
    assert!(calls > 80, "only {calls} calls were tried");
}
