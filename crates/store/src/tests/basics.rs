use crate::{Desc, Scope, Stem, Store, StoreError, Table};
use base::{AccountId, Clock, ManualClock, Region, SeededEntropy, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

crate::row! {
    #[derive(Default)]
    pub struct ThingRow {
        1 => name: String,
        2 => size: u64,
    }
}

pub const THINGS: Table<(String, String), ThingRow> = Table::new(0x0101, "test.thing");
const LATEST: Table<(String, Desc<u64>), ()> = Table::new(0x0102, "test.latest");

fn memory() -> (Store, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    (Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1))), clock)
}

fn commit<R>(store: &Store, f: impl FnMut(&mut crate::Tx) -> Result<R, StoreError>) -> R {
    store.write(f).now().expect("driven inline").expect("commits")
}

fn put(store: &Store, scope: &Scope, keys: &[(&str, &str)]) {
    commit(store, |tx| {
        keys.iter().try_for_each(|(a, b)| {
            tx.put(&THINGS, scope, &(*a, *b), &ThingRow { name: b.to_string(), size: 1 })
        })
    });
}

fn listed(store: &Store) -> Vec<String> {
    store.read(|tx| {
        let keys = tx.scan(&THINGS, &Scope::Global).keys();
        keys.map(|key| key.map(|(a, b)| format!("{a}/{b}"))).collect::<Result<_, _>>().unwrap()
    })
}

#[test]
fn a_dropped_transaction_never_happened() {
    let (store, _) = memory();
    let failed = store.write(|tx| {
        tx.put(&THINGS, &Scope::Global, &("a", "b"), &ThingRow::default())?;
        assert!(tx.exists(&THINGS, &Scope::Global, &("a", "b"))?);
        Err::<(), _>(StoreError::Busy)
    });
    assert!(matches!(failed.now(), Some(Err(StoreError::Busy))));
    assert_eq!(listed(&store), [""; 0]);
    put(&store, &Scope::Global, &[("a", "b")]);
    commit(&store, |tx| tx.delete(&THINGS, &Scope::Global, &("a", "b")));
    assert_eq!(listed(&store), [""; 0]);
}

#[test]
fn what_a_run_did_in_memory_is_taken_back_when_it_is_run_again() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let store = Store::memory_running_again(clock, Arc::new(SeededEntropy::new(1)), 2);
    let (count, mut runs) = (Arc::new(AtomicU64::new(0)), 0);
    for _ in 0..50 {
        let failed = store.write(|tx| {
            runs += 1;
            count.fetch_add(1, Ordering::Relaxed);
            let count = Arc::clone(&count);
            tx.unless_it_stands(move || {
                count.fetch_sub(1, Ordering::Relaxed);
            });
            Err::<(), _>(StoreError::Full)
        });
        assert!(matches!(failed.now(), Some(Err(StoreError::Full))));
    }
    assert!(runs > 60, "{runs} runs");
    assert_eq!(count.load(Ordering::Relaxed), 50, "each stands once, although it failed");
}

#[test]
fn a_shared_row_is_decoded_once_and_never_stale() {
    let (store, _) = memory();
    let key = ("a", "b");
    let size = |tx: &crate::Tx| {
        let row = tx.get_shared(&THINGS, &Scope::Global, &key).unwrap();
        row.map(|row| (row.size, Arc::as_ptr(&row)))
    };
    let write = |row: Option<u64>| {
        commit(&store, |tx| {
            match row {
                Some(size) => {
                    let row = ThingRow { name: "n".into(), size };
                    tx.put(&THINGS, &Scope::Global, &key, &row)?;
                }
                None => tx.delete(&THINGS, &Scope::Global, &key)?,
            }
            assert_eq!(size(tx).map(|(size, _)| size), row, "a transaction sees its own");
            Ok(())
        });
    };
    assert_eq!(store.read(size), None);
    for round in [Some(1), Some(2), None, Some(3)] {
        write(round);
        let seen: Vec<_> = (0..4).map(|_| store.read(size)).collect();
        assert!(seen.iter().all(|seen| seen.map(|(size, _)| size) == round), "{seen:?}");
        assert_eq!(seen[2], seen[3], "the same memory");
        store.read(|tx| {
            let before = size(tx);
            write(Some(9));
            assert_eq!(size(tx).map(|(size, _)| size), round, "a snapshot does not change");
            assert_eq!(before.map(|(size, _)| size), round);
        });
    }
}

#[test]
fn scopes_and_tables_are_apart() {
    let (store, _) = memory();
    let id = AccountId::from_u64(1).unwrap();
    let near = AccountId::from_u64(2).unwrap();
    let scopes = [
        Scope::Global,
        Scope::Account(id),
        Scope::AccountRegion(id, Region::us_east_1()),
        Scope::Account(near),
        Scope::Host,
    ];
    scopes.iter().for_each(|scope| put(&store, scope, &[("a", "b")]));
    for scope in &scopes {
        let found = store.read(|tx| tx.scan(&THINGS, scope).count());
        assert_eq!(found, 1, "{scope:?}");
    }
}

#[test]
fn scans_see_own_writes_in_both_directions() {
    let (store, _) = memory();
    put(&store, &Scope::Global, &[("a", "1"), ("b", "1"), ("b", "2"), ("b", "x/1"), ("c", "1")]);
    let check = |tx: &crate::Tx, reverse: bool, expected: &str| {
        let scan = tx.scan(&THINGS, &Scope::Global).from(&("a", "1")).to(&("c",));
        let scan = if reverse { scan.reverse() } else { scan };
        let keys: Vec<String> = scan.keys().map(|key| key.unwrap()).map(|(a, b)| a + &b).collect();
        assert_eq!(keys.join(" "), expected);
    };
    commit(&store, |tx| {
        tx.delete(&THINGS, &Scope::Global, &("b", "1"))?;
        tx.put(&THINGS, &Scope::Global, &("b", "15"), &ThingRow::default())?;
        tx.put(&THINGS, &Scope::Global, &("a", "0"), &ThingRow::default())?;
        tx.put(&THINGS, &Scope::Global, &("b", "2"), &ThingRow { size: 9, ..Default::default() })?;
        check(tx, false, "a1 b15 b2 bx/1");
        check(tx, true, "bx/1 b2 b15 a1");
        let two = tx.first(&THINGS, &Scope::Global, &("b", Stem("2")))?.unwrap();
        assert_eq!((two.0.1.as_str(), two.1.size), ("2", 9));
        Ok(())
    });
    store.read(|tx| check(tx, true, "bx/1 b2 b15 a1"));
}

#[test]
fn a_listing_skips_folders() {
    let (store, _) = memory();
    let keys = [("b", "a"), ("b", "p/1"), ("b", "p/2"), ("b", "p0"), ("b", "q/1"), ("c", "z")];
    put(&store, &Scope::Global, &keys);
    for (reverse, expected) in [(false, "a p/ p0 q/"), (true, "q/ p0 p/ a")] {
        let folded = store.read(|tx| {
            let scan = tx.scan(&THINGS, &Scope::Global).prefix(&("b",));
            let mut scan = if reverse { scan.reverse() } else { scan };
            let mut out = Vec::new();
            while let Some((_, key)) = scan.next_key().unwrap() {
                match key.split_once('/') {
                    Some((folder, _)) => {
                        out.push(format!("{folder}/"));
                        scan.skip_past(&("b", Stem(&format!("{folder}/")))).unwrap();
                    }
                    None => out.push(key),
                }
            }
            out
        });
        assert_eq!(folded.join(" "), expected);
    }
    store.read(|tx| {
        let mut scan = tx.scan(&THINGS, &Scope::Global);
        scan.seek(&("b", "p/15")).unwrap();
        assert_eq!(scan.next_key().unwrap().unwrap().1, "p/2");
        scan.seek(&("a", "")).unwrap();
        assert_eq!(scan.next_key().unwrap().unwrap().1, "p0");
        let mut scan = tx.scan(&THINGS, &Scope::Global).reverse();
        scan.seek(&("b", Stem("p/"))).unwrap();
        assert_eq!(scan.next_key().unwrap().unwrap().1, "p/2");
        let after: Vec<_> = tx.scan(&THINGS, &Scope::Global).after(&("b", "p/1")).keys().collect();
        assert_eq!(after.len(), 4);
        assert_eq!(tx.scan(&THINGS, &Scope::Global).after(&("b",)).keys().count(), 1);
        assert_eq!(tx.scan(&THINGS, &Scope::Global).prefix(&("c",)).to(&("a",)).count(), 0);
    });
}

#[test]
fn the_newest_comes_first_under_desc() {
    let (store, _) = memory();
    commit(&store, |tx| {
        (1..=3u64).try_for_each(|n| tx.put(&LATEST, &Scope::Host, &("k", Desc(n)), &()))
    });
    let newest = store.read(|tx| tx.first(&LATEST, &Scope::Host, &("k",)).unwrap().unwrap());
    assert_eq!(newest.0.1, Desc(3));
}

#[test]
fn long_rows_are_kept_in_pieces_and_leave_none() {
    let (store, _) = memory();
    for size in [99_000, 100_001, 350_000, 5, 250_000] {
        let row = ThingRow { name: "x".repeat(size), size: size as u64 };
        commit(&store, |tx| tx.put(&THINGS, &Scope::Global, &("long", "row"), &row));
        let back = store.read(|tx| tx.get(&THINGS, &Scope::Global, &("long", "row")).unwrap());
        assert_eq!(back, Some(row));
        assert_eq!(listed(&store), ["long/row"]);
    }
    // Within one transaction too, and after one that came to nothing.
    let sized = |size: usize| ThingRow { name: "x".repeat(size), size: 0 };
    let key = ("long", "row");
    let failed = store.write(|tx| {
        tx.put(&THINGS, &Scope::Global, &key, &sized(400_000))?;
        Err::<(), _>(StoreError::Busy)
    });
    assert!(matches!(failed.now(), Some(Err(StoreError::Busy))));
    commit(&store, |tx| {
        let sizes = [400_000, 10, 150_000, 20];
        sizes.iter().try_for_each(|size| tx.put(&THINGS, &Scope::Global, &key, &sized(*size)))
    });
    let back = store.read(|tx| tx.get(&THINGS, &Scope::Global, &key).unwrap());
    assert_eq!(back, Some(sized(20)));
    commit(&store, |tx| tx.delete(&THINGS, &Scope::Global, &key));
    let left = store.read(|tx| {
        use std::ops::Bound::Unbounded;
        let mut rows = tx.raw_scan((Unbounded, Unbounded), false);
        std::iter::from_fn(|| rows.next().unwrap()).count()
    });
    assert_eq!(left, 1, "only the mark that the table has had pieces");
}

#[test]
fn the_first_row_in_pieces_is_seen_by_the_next_write() {
    let (store, _) = memory();
    let key = ("long", "row");
    let sized = |size: usize| ThingRow { name: "x".repeat(size), size: 0 };
    for size in [10, 400_000, 20] {
        commit(&store, |tx| tx.put(&THINGS, &Scope::Global, &key, &sized(size)));
    }
    // Of one table the mark is there already, of the other it comes with the commit.
    commit(&store, |tx| {
        tx.put(&LATEST, &Scope::Global, &("k", Desc(1)), &())?;
        tx.put(&THINGS, &Scope::Global, &key, &sized(300_000))
    });
    commit(&store, |tx| tx.delete(&THINGS, &Scope::Global, &key));
    let left = store.read(|tx| {
        use std::ops::Bound::Unbounded;
        let mut rows = tx.raw_scan((Unbounded, Unbounded), false);
        std::iter::from_fn(|| rows.next().unwrap()).count()
    });
    assert_eq!(left, 2, "the mark and the other table's row");
}

#[test]
fn fields_written_by_the_caller_are_the_row() {
    let (store, _) = memory();
    commit(&store, |tx| {
        tx.put_fields(&THINGS, &Scope::Global, &("a", "b"), |to| {
            to.text(1, &"n".repeat(300));
            crate::Field::write_field(&7u64, 2, to);
        })?;
        tx.put_fields(&THINGS, &Scope::Global, &("a", "empty"), |to| to.text(1, ""))
    });
    let row = |key: &str| store.read(|tx| tx.get(&THINGS, &Scope::Global, &("a", key)).unwrap());
    assert_eq!(row("b"), Some(ThingRow { name: "n".repeat(300), size: 7 }));
    assert_eq!(row("empty"), Some(ThingRow::default()));
}

#[test]
fn a_transaction_has_a_bound() {
    let (store, _) = memory();
    let row = ThingRow { name: "x".repeat(1 << 20), size: 0 };
    let outcome = store.write(|tx| {
        (0..15)
            .try_for_each(|i: u32| tx.put(&THINGS, &Scope::Global, &("big", i.to_string()), &row))
    });
    assert!(matches!(outcome.now(), Some(Err(StoreError::TransactionTooLarge))));
}

#[test]
fn commit_time_never_goes_back() {
    let (store, clock) = memory();
    let time = || {
        commit(&store, |tx| {
            tx.put(&THINGS, &Scope::Global, &("a", "b"), &ThingRow::default())?;
            Ok(tx.now())
        })
    };
    let first = time();
    clock.jump_to(Timestamp::from_secs(5));
    assert_eq!(time(), first);
    assert_eq!(store.read(|tx| tx.now()), first);
    clock.jump_to(Timestamp::from_secs(2000));
    assert_eq!(time(), clock.now());
}
