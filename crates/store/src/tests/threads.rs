//! Real threads: the order of what they see, and nobody left waiting.

use super::basics::{THINGS, ThingRow};
use super::model;
use crate::blobs::block_on;
use crate::disk::{FaultyDisk, MemDisk};
use crate::engine::Step;
use crate::{Scope, Store, StoreError, Wake};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const KEY: (&str, &str) = ("the", "counter");

/// Runs the drivers on threads of their own while `work` runs, then closes the store.
fn driven(disk: Arc<dyn crate::disk::Disk>, work: impl FnOnce(&Store)) {
    let (store, drivers) = Store::open(disk, model::options(1)).unwrap();
    let (mut log, mut maintenance) = (drivers.log, drivers.maintenance);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                if log.drive() == Wake::Closed {
                    break;
                }
            }
        });
        scope.spawn(move || {
            loop {
                let wake = maintenance.wait();
                while maintenance.step() == Step::Worked {}
                if wake == Wake::Closed {
                    break;
                }
            }
        });
        work(&store);
        store.close();
    });
}

fn count(store: &Store) -> Result<u64, StoreError> {
    block_on(store.write(|tx| {
        let row = tx.get(&THINGS, &Scope::Global, &KEY)?.unwrap_or_default();
        let size = row.size + 1;
        tx.put(&THINGS, &Scope::Global, &KEY, &ThingRow { size, name: "x".repeat(100) })?;
        Ok(size)
    }))
}

fn seen(store: &Store) -> u64 {
    let row = store.read(|tx| tx.get(&THINGS, &Scope::Global, &KEY)).unwrap();
    row.map_or(0, |row| row.size)
}

#[test]
fn writers_take_turns_and_readers_see_what_is_durable() {
    driven(Arc::new(MemDisk::new()), |store| {
        let acknowledged = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    let mut done = 0;
                    while done < 150 {
                        match count(store) {
                            Ok(size) => {
                                done += 1;
                                acknowledged.fetch_max(size, Ordering::SeqCst);
                                assert!(seen(store) >= size, "an answer is seen by all");
                            }
                            Err(StoreError::Busy) => std::thread::yield_now(),
                            Err(error) => panic!("{error}"),
                        }
                    }
                });
            }
            scope.spawn(|| {
                let mut last = 0;
                while last < 900 {
                    let least = acknowledged.load(Ordering::SeqCst);
                    let now = seen(store);
                    assert!(now >= last && now >= least, "{now} after {last}, {least}");
                    last = now;
                    std::thread::yield_now();
                }
            });
        });
        assert_eq!(seen(store), 900);
        assert!(store.metrics().groups.load(Ordering::Relaxed) <= 900);
    });
}

#[test]
fn nobody_waits_for_ever_when_the_log_fails() {
    let disk = FaultyDisk::new();
    driven(Arc::new(disk.clone()), |store| {
        count(store).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let end = (0..).map(|_| count(store)).find_map(|outcome| match outcome {
                        Ok(_) | Err(StoreError::Busy) => None,
                        Err(error) => Some(error),
                    });
                    assert!(matches!(end, Some(StoreError::Stopped(_))), "{end:?}");
                });
            }
            disk.power_off_in(20);
        });
        assert!(store.stopped().is_some());
        assert!(seen(store) >= 1, "reads go on");
    });
}
