//! A plain model of the store, and random transactions for both.

use super::basics::{THINGS, ThingRow};
use crate::disk::FaultyDisk;
use crate::lsm;
use crate::{Commit, Drivers, Index, Scope, Store, StoreError, StoreOptions, Tx};
use base::{Entropy, ManualClock, SeededEntropy, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

pub type State = BTreeMap<(String, String), ThingRow>;

/// What one transaction does: `None` deletes. It may clear the store of all else.
pub struct Change {
    pub clears: bool,
    pub rows: Vec<((String, String), Option<ThingRow>)>,
}

impl Change {
    pub fn deletion(a: String, b: String) -> Change {
        Change { clears: false, rows: vec![((a, b), None)] }
    }
}

/// Every state since the beginning, by version.
pub struct Model {
    pub states: Vec<State>,
}

impl Model {
    pub fn new() -> Model {
        Model { states: vec![State::new()] }
    }

    pub fn version(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    pub fn apply(&mut self, change: &Change) {
        let mut state = match change.clears {
            true => State::new(),
            false => self.states.last().unwrap().clone(),
        };
        for (key, row) in &change.rows {
            match row {
                Some(row) => state.insert(key.clone(), row.clone()),
                None => state.remove(key),
            };
        }
        self.states.push(state);
    }

    /// What a crash took away never happened.
    pub fn cut(&mut self, version: u64) {
        self.states.truncate(version as usize + 1);
    }
}

pub fn random_change(chance: &SeededEntropy) -> Change {
    Change { clears: chance.below(12) == 0, ..random_rows(chance) }
}

/// One that clears nothing.
pub fn random_rows(chance: &SeededEntropy) -> Change {
    let sizes = [0, 10, 300, 2000];
    let rows = (0..=chance.below(3))
        .map(|_| {
            let key = (chance.below(3).to_string(), chance.below(8).to_string());
            let size = sizes[chance.below(4) as usize];
            let letter = ["x", "y", "z"][chance.below(3) as usize];
            let row = ThingRow { name: letter.repeat(size), size: chance.below(1 << 40) };
            (key, (chance.below(4) != 0).then_some(row))
        })
        .collect();
    Change { clears: false, rows }
}

pub fn write(store: &Store, change: &Change) -> Commit<u64, StoreError> {
    store.write(|tx: &mut Tx| {
        if change.clears {
            tx.clear(None, &[]);
        }
        for (key, row) in &change.rows {
            match row {
                Some(row) => tx.put(&THINGS, &Scope::Global, key, row)?,
                None => tx.delete(&THINGS, &Scope::Global, key)?,
            }
        }
        Ok(tx.version() + 1)
    })
}

/// The version that readers see, and all that they see.
pub fn read(store: &Store) -> (u64, State) {
    store.read(|tx| {
        let rows = tx.scan(&THINGS, &Scope::Global).collect::<Result<State, _>>();
        (tx.version(), rows.expect("reads"))
    })
}

/// Small sizes, so that segments and files change often.
pub fn options(seed: u64) -> StoreOptions {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    StoreOptions {
        log_segment_bytes: 24 << 10,
        blob_segment_bytes: 64 << 10,
        space_floor_bytes: 1 << 10,
        retry_one_in: 5,
        hot_bytes: 256 << 10,
        index: Index::Tree(lsm::Options {
            memtable_bytes: 8 << 10,
            table_bytes: 8 << 10,
            block_bytes: 1 << 10,
            recent_tables: 2,
            level_bytes: 32 << 10,
            level_ratio: 4,
            tombstones_min: 4,
            step_bytes: 8 << 10,
            cache_bytes: 64 << 10,
            ..lsm::Options::default()
        }),
        ..StoreOptions::new(clock, Arc::new(SeededEntropy::new(seed)))
    }
}

pub fn open(disk: &FaultyDisk, seed: u64) -> Result<(Store, Drivers), crate::OpenError> {
    Store::open(Arc::new(disk.clone()), options(seed))
}

#[test]
fn random_transactions_do_as_the_model_does() {
    for seed in 0..8 {
        let chance = SeededEntropy::new(seed);
        let disk = FaultyDisk::new();
        let mut model = Model::new();
        let store = Store::inline(Arc::new(disk.clone()), options(seed)).unwrap();
        let mut store = Some(store);
        for step in 0..150 {
            let open = store.as_ref().unwrap();
            let change = random_change(&chance);
            let version = write(open, &change).now().expect("inline").expect("commits");
            model.apply(&change);
            assert_eq!(version, model.version());
            let (version, state) = read(open);
            assert_eq!(version, model.version());
            assert!(state == *model.states.last().unwrap(), "seed {seed} step {step}");
            check_scans(open, &state, &chance);
            if chance.below(20) == 0 {
                drop(store.take());
                let again = Store::inline(Arc::new(disk.clone()), options(seed + step)).unwrap();
                assert!(read(&again) == (version, state), "seed {seed} step {step}");
                store = Some(again);
            }
        }
    }
}

fn check_scans(store: &Store, state: &State, chance: &SeededEntropy) {
    let part = || (chance.below(4).to_string(), chance.below(9).to_string());
    let (low, high) = (part(), part());
    let mut expected: Vec<_> =
        state.keys().filter(|key| **key >= low && **key < high).cloned().collect();
    let reverse = chance.below(2) == 0;
    if reverse {
        expected.reverse();
    }
    let found = store.read(|tx| {
        let scan = tx.scan(&THINGS, &Scope::Global).from(&low).to(&high);
        let scan = if reverse { scan.reverse() } else { scan };
        scan.keys().collect::<Result<Vec<_>, _>>().unwrap()
    });
    assert_eq!(found, expected);
}
