//! The decoders on bytes from anywhere, with checksums made to fit: errors or entries, no panic.

use super::super::Entry;
use super::super::block::{Block, BlockBuilder, RESTART};
use super::super::codec::{crc, varint};
use super::super::filter::{self, Filter};
use super::super::manifest::{Manifest, Meta};
use super::super::table::Footer;
use super::{Dice, bytes};
use bytes::Bytes;

/// Asks a block everything.
fn ask(block: &Block) {
    let mut out = Vec::new();
    for segment in 0..block.segments().min(50) {
        let _ = block.segment(segment, &mut out);
    }
    for key in [&b""[..], b"key/1", b"zzzzzzzz", &[0xff; 20]] {
        for version in [0, 5, u64::MAX] {
            let _ = block.segments_before(key, version);
            if let Ok(Some(found)) = block.find(key, version) {
                found.raw.value.map(|value| block.value(value));
            }
        }
    }
}

fn some_block(entries: u64) -> Vec<u8> {
    let (mut builder, mut out) = (BlockBuilder::default(), Vec::new());
    for number in 0..entries {
        let value = (number % 3 > 0).then_some(&b"value"[..]);
        builder.add(format!("key/{number:03}").as_bytes(), number, value);
    }
    builder.finish(&mut out);
    out
}

fn some_manifest() -> Manifest {
    let meta = |number: u64, min: &str, max: &str| Meta {
        number,
        size_bytes: 1000,
        entries: 10,
        tombstones: 2,
        oldest: 1,
        newest: 9,
        min_key: bytes(min),
        max_key: bytes(max),
    };
    let levels = vec![
        vec![meta(5, "a", "z"), meta(4, "a", "y")],
        vec![meta(2, "b", "c"), meta(3, "d", "e")],
    ];
    Manifest { flushed: 9, next_number: 6, levels }
}

/// Changes a few bytes anywhere.
fn scramble(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        let len = bytes.len() as u64;
        match dice.below(4) {
            0 if len > 0 => bytes.truncate(dice.below(len) as usize),
            1 => bytes.push(dice.word() as u8),
            _ if len > 0 => bytes[dice.below(len) as usize] = dice.word() as u8,
            _ => {}
        }
    }
}

#[test]
fn blocks_of_random_bytes() {
    let mut dice = Dice::new(11);
    for _ in 0..20_000 {
        let mut content = if dice.below(2) == 0 {
            some_block(dice.below(40))
        } else {
            (0..dice.below(80)).map(|_| dice.word() as u8).collect()
        };
        scramble(&mut dice, &mut content);
        if let Ok(block) = Block::new(Bytes::from(content)) {
            ask(&block);
        }
    }
}

#[test]
fn manifests_of_random_bytes() {
    let mut dice = Dice::new(12);
    for _ in 0..20_000 {
        let mut encoded = some_manifest().encode();
        encoded.truncate(encoded.len() - 4);
        scramble(&mut dice, &mut encoded);
        let sum = crc(&encoded);
        encoded.extend_from_slice(&sum.to_le_bytes());
        if let Ok(manifest) = Manifest::decode(Bytes::from(encoded)) {
            manifest.verify().expect("only what is sound is taken");
        }
    }
}

#[test]
fn other_parts_of_random_bytes() {
    let mut dice = Dice::new(13);
    for _ in 0..20_000 {
        let mut content: Vec<u8> = (0..dice.below(140)).map(|_| dice.word() as u8).collect();
        let _ = varint(&content, &mut 0);
        let _ = Meta::decode(&Bytes::from(content.clone()), &mut 0);
        if let Ok(filter) = Filter::new(Bytes::from(content.clone())) {
            filter.may_hold(dice.word());
        }
        content.resize(36, 0);
        let mut footer = Footer { filter: (0, 0), facts: (0, 0), index: (0, 0) }.encode();
        footer[..36].copy_from_slice(&content);
        let sum = crc(&footer[..48]);
        footer[48..].copy_from_slice(&sum.to_le_bytes());
        let _ = Footer::decode(&footer, dice.below(1000));
    }
}

#[test]
fn manifests_that_contradict_themselves() {
    fn check(change: impl FnOnce(&mut Manifest), expected: &str) {
        let mut manifest = some_manifest();
        change(&mut manifest);
        let bad = Manifest::decode(Bytes::from(manifest.encode())).expect_err(expected);
        assert!(bad.0.contains(expected), "{} is not: {expected}", bad.0);
    }
    check(|manifest| manifest.levels[1].swap(0, 1), "overlap");
    check(|manifest| manifest.levels[1][0].max_key = bytes("d"), "overlap");
    check(|manifest| manifest.next_number = 5, "number");
    check(|manifest| manifest.levels[1][0].number = 5, "number");
    check(|manifest| manifest.flushed = 8, "newer");
    check(|manifest| manifest.levels[0][0].entries = 0, "contradict");
    check(|manifest| manifest.levels[0][0].min_key = bytes("zz"), "contradict");
    check(|manifest| manifest.levels = vec![Vec::new(); 11], "levels");
    let whole = some_manifest();
    assert_eq!(Manifest::decode(Bytes::from(whole.encode())), Ok(whole));
}

#[test]
fn blocks_find_what_was_put_in() {
    for entries in [1, RESTART as u64, RESTART as u64 + 1, 40] {
        let block = Block::new(Bytes::from(some_block(entries))).expect("is whole");
        let mut all = Vec::new();
        for segment in 0..block.segments() {
            block.segment(segment, &mut all).expect("is whole");
        }
        assert_eq!(all.len() as u64, entries);
        for (ordinal, Entry { key, version, value }) in all.iter().enumerate() {
            for (at, same) in [(*version, true), (u64::MAX, true)] {
                let found = block.find(key, at).expect("is whole").expect("is there");
                assert_eq!((found.ordinal, found.same_key), (ordinal, same));
                assert_eq!(found.raw.value.map(|value| block.value(value)), *value);
            }
            if let Some(older) = version.checked_sub(1) {
                let found = block.find(key, older).expect("is whole");
                assert!(found.is_none_or(|found| !found.same_key));
            }
        }
    }
}

#[test]
fn filters_never_deny_and_seldom_err() {
    let hashes: Vec<u64> =
        (0..10_000u32).map(|number| filter::hash(&number.to_be_bytes())).collect();
    let mut content = Vec::new();
    filter::build(&hashes, 10, &mut content);
    let filter = Filter::new(Bytes::from(content)).expect("is whole");
    assert!(hashes.iter().all(|hash| filter.may_hold(*hash)));
    let others = (10_000..110_000u32).map(|number| filter::hash(&number.to_be_bytes()));
    let wrong = others.filter(|hash| filter.may_hold(*hash)).count();
    assert!(wrong < 2_000, "{wrong} of 100,000 absent keys are taken for present");
}
