//! Clearing: what goes, what stays, and that a crash leaves all or nothing of it. That any state is one of
//! before or after it, whenever the power goes, is for the random transactions of [`super::crash`], which
//! clear now and then.

use super::basics::{THINGS, ThingRow};
use super::model;
use crate::disk::FaultyDisk;
use crate::{Scope, Store, StoreError, Table, Tx};
use base::{AccountId, Region};
use std::sync::Arc;

const KEPT: Table<String, ThingRow> = Table::new(0x0104, "test.kept");

fn row(bytes: usize) -> ThingRow {
    ThingRow { name: "x".repeat(bytes), size: 1 }
}

fn commit(store: &Store, f: impl FnMut(&mut Tx) -> Result<(), StoreError>) {
    store.write(f).now().expect("driven inline").expect("commits");
}

fn scopes() -> [Scope; 5] {
    let id = |n| AccountId::from_u64(n).unwrap();
    [
        Scope::Global,
        Scope::Host,
        Scope::Account(id(1)),
        Scope::AccountRegion(id(1), Region::us_east_1()),
        Scope::Account(id(2)),
    ]
}

/// Short and long rows in each scope, in a table that is to stay and in one that is not.
fn fill(store: &Store) {
    commit(store, |tx| {
        for scope in &scopes() {
            for (key, bytes) in [("short", 10), ("long", 250_000)] {
                tx.put(&THINGS, scope, &("a", key), &row(bytes))?;
                tx.put(&KEPT, scope, key, &row(bytes))?;
            }
        }
        Ok(())
    });
}

/// How many rows there are: of the one table in each scope, and of the other.
fn found(store: &Store) -> Vec<(usize, usize)> {
    let whole = |row: &ThingRow| assert!(matches!(row.name.len(), 10 | 250_000));
    store.read(|tx| {
        let count = |scope: &Scope| {
            let things = tx.scan(&THINGS, scope).inspect(|row| whole(&row.as_ref().unwrap().1));
            let kept = tx.scan(&KEPT, scope).inspect(|row| whole(&row.as_ref().unwrap().1));
            (things.count(), kept.count())
        };
        scopes().iter().map(count).collect()
    })
}

fn check(clear: impl Fn(&mut Tx), expected: [(usize, usize); 5]) {
    for flushes in [false, true] {
        let disk = FaultyDisk::new();
        let mut options = model::options(1);
        options.log_segment_bytes = 16 << 20;
        let open = || Store::inline(Arc::new(disk.clone()), options.clone()).expect("opens");
        let store = open();
        fill(&store);
        assert_eq!(found(&store), [(2, 2); 5]);
        if flushes {
            store.snapshot_save("before").expect("saves");
        }
        // Known to the cache, too.
        store.read(|tx| tx.get(&THINGS, &Scope::Global, &("a", "short")).unwrap().unwrap());
        store.read(|tx| {
            commit(&store, |tx| {
                clear(tx);
                tx.put(&THINGS, &Scope::Host, &("b", "own"), &row(10))
            });
            let before = tx.get(&THINGS, &Scope::Global, &("a", "short")).unwrap();
            assert!(before.is_some(), "a snapshot does not change");
        });
        let mut expected = expected;
        expected[1].0 += 1;
        assert_eq!(found(&store), expected);
        drop(store);
        disk.crash(1);
        let store = open();
        assert_eq!(found(&store), expected, "after a crash");
        assert_eq!(store.check().expect("checks").problems, [""; 0]);
        commit(&store, |tx| tx.put(&THINGS, &Scope::Global, &("c", "long"), &row(250_000)));
        commit(&store, |tx| tx.delete(&THINGS, &Scope::Global, &("c", "long")));
        assert_eq!(found(&store), expected, "as any store");
    }
}

#[test]
fn all_goes_but_what_is_kept() {
    check(|tx| tx.clear(None, &[]), [(0, 0); 5]);
    check(|tx| tx.clear(None, &[KEPT.id()]), [(0, 2); 5]);
}

#[test]
fn an_account_goes_alone() {
    let account = AccountId::from_u64(1).unwrap();
    check(|tx| tx.clear(Some(account), &[]), [(2, 2), (2, 2), (0, 0), (0, 0), (2, 2)]);
    check(|tx| tx.clear(Some(account), &[THINGS.id()]), [(2, 2), (2, 2), (2, 0), (2, 0), (2, 2)]);
}

#[test]
fn more_rows_than_a_commit_can_change() {
    let store = Store::inline(Arc::new(FaultyDisk::new()), model::options(1)).expect("opens");
    for n in 0..3_000u32 {
        commit(&store, |tx| tx.put(&THINGS, &Scope::Global, &("a", &*n.to_string()), &row(10)));
    }
    let log_bytes = || store.metrics().log_bytes.load(std::sync::atomic::Ordering::Relaxed);
    let before = log_bytes();
    commit(&store, |tx| {
        tx.clear(None, &[]);
        Ok(())
    });
    assert!(log_bytes() - before < 200, "the log does not name them");
    assert_eq!(found(&store), [(0, 0); 5]);
}
