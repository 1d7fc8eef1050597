//! Files that changed behind the engine's back: noticed, never a panic or a wrong answer.

use super::{Dice, bytes, content, open, paths, put_file, settle, tables, tiny, try_open};
use crate::disk::{Disk, FaultyDisk};
use crate::engine::Engine;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;

type All = BTreeMap<Bytes, Bytes>;

/// A settled engine of several tables, and what it holds.
fn filled(entries: u64) -> (FaultyDisk, All, u64) {
    let disk = FaultyDisk::new();
    let engine = open(&disk);
    let mut all = All::new();
    for version in 1..=entries {
        let (key, value) = (bytes(&format!("key/{:03}", version * 7 % 400)), version.to_string());
        engine.apply(&[(key.clone(), Some(bytes(&value)))], version);
        all.insert(key, bytes(&value));
        settle(&engine, version);
    }
    engine.freeze(entries).expect("freezes");
    settle(&engine, entries);
    (disk, all, entries)
}

/// Reads everything both ways; an error is fine, a wrong answer is not.
fn read(disk: &FaultyDisk, all: &All, at: u64) -> io::Result<()> {
    let engine = try_open(disk, tiny())?;
    let mut first = Ok(());
    for (key, value) in all {
        match engine.get(key, at) {
            Ok(found) => assert_eq!(found.as_ref(), Some(value), "{key:?}"),
            Err(error) => first = first.and(Err(error)),
        }
    }
    for reverse in [false, true] {
        let mut cursor = engine.scan((Bound::Unbounded, Bound::Unbounded), at, reverse);
        let mut count = 0;
        loop {
            match cursor.next() {
                Ok(Some((key, value))) => assert_eq!(all.get(&key), Some(&value)),
                Ok(None) => {
                    assert_eq!(count, all.len());
                    break;
                }
                Err(error) => {
                    assert!(cursor.next().is_err(), "a failed scan goes on");
                    first = first.and(Err(error));
                    break;
                }
            }
            count += 1;
        }
    }
    let problems = engine.check()?;
    match problems.first() {
        Some(problem) => first.and(Err(io::Error::other(problem.clone()))),
        None => first,
    }
}

fn check(disk: &FaultyDisk, all: &All, at: u64, path: &str, damaged: &[u8], what: &str) {
    let whole = content(disk, path);
    put_file(disk, path, damaged);
    assert!(read(disk, all, at).is_err(), "{path}: {what} went unnoticed");
    put_file(disk, path, &whole);
}

#[test]
fn each_damaged_byte_is_noticed() {
    let (disk, all, at) = filled(150);
    read(&disk, &all, at).expect("it is whole at first");
    let mut dice = Dice::new(3);
    for path in paths(&disk) {
        let whole = content(&disk, &path);
        for place in (0..whole.len()).step_by(3) {
            let mut damaged = whole.clone();
            damaged[place] ^= 1 << dice.below(8);
            check(&disk, &all, at, &path, &damaged, &format!("a changed byte at {place}"));
        }
        for len in (0..whole.len()).step_by(61) {
            check(&disk, &all, at, &path, &whole[..len], &format!("a cut at {len}"));
        }
        let longer = [&whole[..], b"more"].concat();
        check(&disk, &all, at, &path, &longer, "more at the end");
    }
}

#[test]
fn a_table_in_place_of_another_is_noticed() {
    let (disk, all, at) = filled(400);
    let tables = tables(&disk);
    assert!(tables.len() >= 2);
    check(&disk, &all, at, &tables[0], &content(&disk, &tables[1]), "another table");
}

#[test]
fn a_missing_file_is_noticed() {
    for suffix in [".table", "manifest"] {
        let (disk, all, at) = filled(150);
        let path = paths(&disk).into_iter().find(|path| path.ends_with(suffix)).expect("is there");
        disk.remove(&path).expect("removes");
        let error = read(&disk, &all, at).expect_err("it is missing");
        assert!(error.to_string().contains("missing"), "{error}");
    }
}
