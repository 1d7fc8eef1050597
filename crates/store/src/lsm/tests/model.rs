//! Random lives of an engine beside a plain map of all versions.

use super::{Dice, Lsm, content, open, paths, put_file, settle, tables};
use crate::disk::FaultyDisk;
use crate::engine::{Cursor, Engine, Version};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Batch = Vec<(Bytes, Option<Bytes>)>;
type Range = (Bound<Bytes>, Bound<Bytes>);

/// Calls until a failure that shall not come.
const NEVER: u64 = 1 << 60;

struct Life {
    dice: Dice,
    disk: FaultyDisk,
    engine: Option<Lsm>,
    /// All commits: the log.
    log: Vec<Batch>,
    model: BTreeMap<(Bytes, Reverse<Version>), Option<Bytes>>,
    durable: Version,
    horizon: Version,
    keys: u64,
    deepest: usize,
}

impl Life {
    fn new(seed: u64) -> Self {
        let disk = FaultyDisk::new();
        let engine = Some(open(&disk));
        let mut dice = Dice::new(seed);
        let keys = [20, 200, 2000][dice.below(3) as usize];
        let (log, model) = (Vec::new(), BTreeMap::new());
        Self { dice, disk, engine, log, model, durable: 0, horizon: 0, keys, deepest: 0 }
    }

    fn engine(&self) -> &Lsm {
        self.engine.as_ref().expect("open")
    }

    fn last(&self) -> Version {
        self.log.len() as Version
    }

    fn key(&mut self) -> Bytes {
        let number = self.dice.below(self.keys);
        // Some keys are prefixes of others, some long, one is empty.
        match number % 7 {
            0 => Bytes::from(format!("{}", number / 7)),
            1 => Bytes::from(format!("a/long/prefix/that/is/shared/{number:04}")),
            2 => Bytes::from(format!("a/long/prefix/that/is/shared/{number:04}/below")),
            3 => Bytes::from(vec![0xff; number as usize % 11]),
            _ => Bytes::from(format!("k{number}")),
        }
    }

    fn version(&mut self) -> Version {
        let least = self.horizon;
        least + self.dice.below(self.last() - least + 1)
    }

    fn commit(&mut self) {
        let mut batch = BTreeMap::new();
        for _ in 0..self.dice.below(8) {
            let value = (self.dice.below(4) > 0).then(|| {
                let len = if self.dice.below(50) == 0 { 700 } else { self.dice.below(60) };
                Bytes::from(vec![self.dice.below(256) as u8; len as usize])
            });
            batch.insert(self.key(), value);
        }
        if self.dice.below(40) == 0 {
            // Half of all goes at once.
            for _ in 0..self.keys / 2 {
                batch.insert(self.key(), None);
            }
        }
        let batch: Batch = batch.into_iter().collect();
        let version = self.last() + 1;
        self.engine().apply(&batch, version);
        for (key, value) in &batch {
            self.model.insert((key.clone(), Reverse(version)), value.clone());
        }
        self.log.push(batch);
    }

    fn expected(&self, key: &Bytes, at: Version) -> Option<Bytes> {
        let ((found, _), value) = self.model.range((key.clone(), Reverse(at))..).next()?;
        if found == key { value.clone() } else { None }
    }

    fn expected_all(&self, at: Version) -> Vec<(Bytes, Bytes)> {
        let mut all: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
        for ((key, Reverse(version)), value) in &self.model {
            if *version <= at && !all.contains_key(key) {
                all.insert(key.clone(), value.clone());
            }
        }
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    fn get(&mut self) {
        let (key, at) = (self.key(), self.version());
        let found = self.engine().get(&key, at).expect("reads");
        assert_eq!(found, self.expected(&key, at), "get {key:?} at {at}");
    }

    fn range(&mut self) -> Range {
        let mut bound = || match self.dice.below(4) {
            0 => Bound::Unbounded,
            1 => Bound::Excluded(()),
            _ => Bound::Included(()),
        };
        let (low, high) = (bound(), bound());
        let (one, two) = (self.key(), self.key());
        let swap = one > two && self.dice.below(8) > 0;
        let (one, two) = if swap { (two, one) } else { (one, two) };
        (low.map(|()| one), high.map(|()| two))
    }

    fn scan(&mut self) {
        let (range, at, reverse) = (self.range(), self.version(), self.dice.below(2) == 0);
        let cursor = self.engine().scan(range.clone(), at, reverse);
        let mut expected = self.expected_all(at);
        expected.retain(|(key, _)| {
            let above = match &range.0 {
                Bound::Included(low) => key >= low,
                Bound::Excluded(low) => key > low,
                Bound::Unbounded => true,
            };
            let below = match &range.1 {
                Bound::Included(high) => key <= high,
                Bound::Excluded(high) => key < high,
                Bound::Unbounded => true,
            };
            above && below
        });
        if reverse {
            expected.reverse();
        }
        self.walk(cursor, expected, reverse);
    }

    fn walk(&mut self, mut cursor: Box<dyn Cursor>, expected: Vec<(Bytes, Bytes)>, reverse: bool) {
        let mut rest = expected.into_iter().peekable();
        let seeks = self.dice.below(2) == 0;
        loop {
            if seeks && self.dice.below(4) == 0 {
                let to = self.key();
                cursor.seek(&to).expect("seeks");
                while rest.next_if(|(key, _)| *key != to && (*key < to) != reverse).is_some() {}
            }
            if self.dice.below(20) == 0 {
                // The world goes on below an open cursor.
                self.commit();
                let durable = self.durable;
                self.engine().maintain(durable).expect("maintains");
            }
            let (found, wanted) = (cursor.next().expect("reads"), rest.next());
            assert_eq!(found, wanted, "reverse: {reverse}, seeks: {seeks}");
            if found.is_none() {
                break;
            }
        }
    }

    fn maintain(&mut self) {
        let at_most = self.last() - self.durable;
        self.durable += self.dice.below(at_most + 1);
        let (failing, power_cut) = (self.dice.below(10) == 0, self.dice.below(15) == 0);
        if failing {
            self.disk.fail_in(1 + self.dice.below(12), ErrorKind::StorageFull);
        }
        if power_cut {
            self.disk.power_off_in(1 + self.dice.below(30));
        }
        for _ in 0..self.dice.below(40) {
            match self.engine().maintain(self.durable) {
                Ok(_) => {}
                Err(error) => assert!(failing || power_cut, "{error}"),
            }
        }
        self.disk.fail_in(NEVER, ErrorKind::StorageFull);
        self.deepest = self.deepest.max(self.engine().tree().levels.deep.len());
        if power_cut {
            self.reopen();
        }
    }

    fn replay(&self, engine: &Lsm) {
        // From a little before, as a log does that is cut into segments.
        let from = engine.flushed().saturating_sub(3);
        for (at, batch) in self.log.iter().enumerate().skip(from as usize) {
            engine.apply(batch, at as Version + 1);
        }
    }

    fn reopen(&mut self) {
        self.engine = None;
        match self.dice.below(3) {
            0 => self.disk.kill(),
            _ => self.disk.crash(self.dice.word()),
        }
        let engine = open(&self.disk);
        assert!(engine.flushed() <= self.durable);
        self.replay(&engine);
        engine.set_horizon(self.horizon);
        self.engine = Some(engine);
    }

    fn freeze(&mut self) {
        self.durable += self.dice.below(self.last() - self.durable + 1);
        let frozen = self.engine().freeze(self.durable).expect("freezes");
        assert_eq!(frozen.version, self.durable);
        assert_eq!(self.engine().flushed(), self.durable);
        if self.dice.below(2) == 0 {
            let durable = self.durable;
            self.commit();
            settle(self.engine(), durable);
        }
        let elsewhere = FaultyDisk::new();
        for path in &frozen.files {
            let name = path.rsplit('/').next().expect("a name");
            put_file(&elsewhere, &format!("index/{name}"), &content(&self.disk, path));
        }
        let copy = open(&elsewhere);
        assert_eq!(copy.flushed(), frozen.version);
        assert_eq!(copy.check().expect("reads"), Vec::<String>::new());
        let all = copy.scan((Bound::Unbounded, Bound::Unbounded), frozen.version, false);
        self.walk(all, self.expected_all(frozen.version), false);
    }

    fn check(&mut self) {
        assert_eq!(self.engine().check().expect("reads"), Vec::<String>::new());
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..50 => self.commit(),
            50..65 => self.get(),
            65..75 => self.scan(),
            75..92 => self.maintain(),
            92..95 => {
                // What a reader may ask for is never below what may be lost.
                let at_most = self.durable.max(self.horizon) - self.horizon;
                self.horizon += self.dice.below(at_most + 1);
                self.engine().set_horizon(self.horizon);
            }
            95..97 => self.reopen(),
            97..99 => self.freeze(),
            _ => self.check(),
        }
    }
}

fn check(seed: u64, steps: usize, skip_syncs: bool) -> usize {
    let mut life = Life::new(seed);
    life.disk.skip_syncs(skip_syncs);
    for _ in 0..steps {
        life.step();
    }
    let last = life.last();
    life.durable = last;
    settle(life.engine(), last);
    life.check();
    let all = life.engine().scan((Bound::Unbounded, Bound::Unbounded), last, false);
    let expected = life.expected_all(last);
    life.walk(all, expected, false);
    // Nothing lies about that no manifest names.
    drop(life.engine.take());
    let there = tables(&life.disk).len();
    assert_eq!(there, open(&life.disk).tree().levels.tables().count());
    life.deepest
}

#[test]
fn answers_as_a_map_does() {
    let mut deepest = 0;
    for seed in 0..16 {
        deepest = deepest.max(check(seed, 600, false));
    }
    assert!(deepest >= 3, "only {deepest} levels were reached");
}

#[test]
fn equal_calls_leave_equal_files() {
    let files = |seed| {
        let mut life = Life::new(seed);
        for _ in 0..400 {
            life.step();
        }
        let paths = paths(&life.disk).into_iter();
        paths.map(|path| (content(&life.disk, &path), path)).collect::<Vec<_>>()
    };
    assert_eq!(files(7), files(7));
}

#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    let found_out = |seed| catch_unwind(AssertUnwindSafe(|| check(seed, 600, true))).is_err();
    assert!((0..10).any(found_out), "power cuts that lose everything went unnoticed");
}
