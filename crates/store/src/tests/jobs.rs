use super::basics::{THINGS, ThingRow};
use crate::disk::MemDisk;
use crate::engine::Step;
use crate::{
    JobError, JobKind, JobOutcome, Jobs, Scope, Store, StoreError, StoreOptions, Table, Tx,
};
use base::{Clock, ManualClock, SeededEntropy, Timestamp};
use std::sync::Arc;

const COPY: JobKind<String> = JobKind::new(0x0101, "test.copy");
const COUNT: JobKind<(String, u64)> = JobKind::new(0x0102, "test.count");
const SEND: JobKind<u64> = JobKind::new(0x0104, "test.send");
const FAIL: JobKind<u64> = JobKind::new(0x0103, "test.fail");

fn start() -> (Store, Jobs, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let store = Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1)));
    let mut jobs = Jobs::new(store.clone());
    jobs.register(&COPY, 3, |tx, _, key| {
        tx.put(&THINGS, &Scope::Global, &("copied", key), &ThingRow::default())?;
        Ok(JobOutcome::Done)
    });
    jobs.register(&COUNT, 3, |tx, _, (name, left)| {
        let done = ThingRow { name: name.clone(), size: left };
        tx.put(&THINGS, &Scope::Global, &("counted", &name), &done)?;
        if left > 0 {
            tx.enqueue(&COUNT, &(name, left - 1))?;
        }
        Ok(JobOutcome::Done)
    });
    let own = store.clone();
    jobs.register_errand(&SEND, 3, move |cx, key| {
        let store = own.clone();
        Box::pin(async move {
            let name = format!("{key}.{}", cx.attempts);
            let put = |tx: &mut Tx| {
                tx.put(&THINGS, &Scope::Global, &("sent", &name), &ThingRow::default())?;
                Ok::<_, StoreError>(tx.now())
            };
            let now = store.write(put).await?;
            match (key, cx.attempts) {
                (1, _) => Err(JobError::Failed("nobody takes it".into())),
                (2, 0) => panic!("a bug"),
                (3, _) => Ok(JobOutcome::Again(now.plus_secs(60))),
                _ => Ok(JobOutcome::Done),
            }
        })
    });
    jobs.register(&FAIL, 3, |tx, cx, key| {
        tx.put(&THINGS, &Scope::Global, &("failed", key.to_string()), &ThingRow::default())?;
        match (key, cx.attempts) {
            (1, _) => Err(JobError::Failed("no such thing".into())),
            (2, 0) => panic!("a bug"),
            (2, _) => Ok(JobOutcome::Done),
            _ => Ok(JobOutcome::Again(tx.now().plus_secs(60))),
        }
    });
    (store, jobs, clock)
}

fn commit(store: &Store, f: impl FnMut(&mut Tx) -> Result<(), StoreError>) {
    store.write(f).now().unwrap().unwrap();
}

/// The same where somebody else drives the store.
fn commit_in(store: &Store, f: impl FnMut(&mut Tx) -> Result<(), StoreError>) {
    store.write(f).into_outcome().unwrap();
}

fn keys(store: &Store) -> String {
    store.read(|tx| {
        let keys = tx.scan(&THINGS, &Scope::Global).keys();
        let keys = keys.map(|key| key.unwrap()).map(|(a, b)| format!("{a}/{b}"));
        keys.collect::<Vec<_>>().join(" ")
    })
}

fn run(jobs: &Jobs) -> u32 {
    (0..).find(|_| jobs.step() == Step::Idle).unwrap()
}

#[test]
fn a_job_is_done_once_its_transaction_is_committed() {
    let (store, jobs, clock) = start();
    let dropped = store.write(|tx| {
        tx.enqueue(&COPY, "never")?;
        Err::<(), _>(StoreError::Busy)
    });
    assert!(dropped.now().is_some());
    assert_eq!(jobs.step(), Step::Idle);
    commit(&store, |tx| {
        tx.enqueue_at(&COPY, "later", tx.now().plus_secs(10))?;
        tx.enqueue(&COPY, "now")?;
        tx.enqueue(&COPY, "now")
    });
    assert_eq!((run(&jobs), keys(&store).as_str()), (1, "copied/now"));
    assert_eq!(jobs.next_due().unwrap(), Some(clock.now().plus_secs(10)));
    clock.advance_ms(10_000);
    assert_eq!((run(&jobs), keys(&store).as_str()), (1, "copied/later copied/now"));
    assert_eq!(jobs.next_due().unwrap(), None);
}

#[test]
fn kinds_take_turns_and_a_job_may_enqueue_itself() {
    let (store, jobs, _) = start();
    commit(&store, |tx| {
        (0..50).try_for_each(|n: u64| tx.enqueue(&COPY, &n.to_string()))?;
        tx.enqueue(&COUNT, &("c", 2u64))
    });
    (0..6).for_each(|_| assert_eq!(jobs.step(), Step::Worked));
    let (copied, counted) = (keys(&store).matches("copied").count(), keys(&store));
    assert!(copied == 3 && counted.contains("counted/c"), "{counted}");
    assert_eq!(run(&jobs), 47);
}

#[test]
fn failures_are_paused_parked_and_listed() {
    let (store, jobs, clock) = start();
    commit(&store, |tx| (1..=3u64).try_for_each(|n| tx.enqueue(&FAIL, &n)));
    assert_eq!(run(&jobs), 3);
    assert_eq!(keys(&store), "failed/3", "what failed has left nothing");
    let list = || store.read(|tx| jobs.list(tx, 10).unwrap());
    let errors: Vec<_> = list().iter().map(|job| job.row.error.clone()).collect();
    assert_eq!(errors, ["no such thing", "it panicked", ""]);
    assert_eq!(run(&jobs), 0, "not before the pause is over");
    clock.advance_ms(500);
    assert_eq!(run(&jobs), 2);
    clock.advance_ms(1000);
    assert_eq!(run(&jobs), 1);
    let parked = &list()[0];
    assert_eq!((parked.kind.as_str(), parked.row.attempts), ("test.fail", 3));
    assert!(parked.row.is_parked);
    let counts = || store.read(|tx| jobs.counts(tx).unwrap());
    let of_fail = counts()[2];
    assert_eq!((of_fail.kind, of_fail.waiting, of_fail.parked), ("test.fail", 1, 1));
    assert_eq!((of_fail.done, of_fail.failed), (2, 4));
    let parked = || store.read(|tx| jobs.parked(tx, 10).unwrap());
    assert_eq!(parked()[0].row.error, "no such thing");
    clock.advance_ms(1_000_000);
    assert_eq!(run(&jobs), 1, "only the one that asked for more");
    commit(&store, |tx| tx.enqueue(&FAIL, &1));
    assert!(!list()[0].row.is_parked && parked().is_empty());
    assert_eq!(run(&jobs), 1);
    while parked().is_empty() {
        clock.advance_ms(1_000);
        run(&jobs);
    }
    // A new start tries them anew.
    assert!(jobs.retry_parked().unwrap() && !jobs.retry_parked().unwrap());
    assert_eq!((counts()[2].parked, list()[0].row.attempts), (0, 0));
    assert_eq!(run(&jobs), 1);
}

#[test]
fn a_store_that_is_full_parks_nothing() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let disk = Arc::new(MemDisk::new());
    let mut options = StoreOptions::new(clock.clone(), Arc::new(SeededEntropy::new(1)));
    options.log_zero_fill = false;
    options.pending_bytes_max = 100_000;
    let (store, mut drivers) = Store::open(disk, options).unwrap();
    let mut jobs = Jobs::new(store.clone());
    jobs.register(&COPY, 1, |tx, _, key| {
        let row = ThingRow { name: "x".repeat(5_000), size: 1 };
        tx.put(&THINGS, &Scope::Global, &("copied", key), &row)?;
        Ok(JobOutcome::Done)
    });
    commit_in(&store, |tx| (0..30u64).try_for_each(|n| tx.enqueue(&COPY, &n.to_string())));
    let first = run(&jobs);
    assert!(first > 0 && first < 30, "{first}: nothing is written, so the store is busy");
    for _ in 0..100 {
        drivers.run();
        run(&jobs);
    }
    let left = store.read(|tx| jobs.counts(tx).unwrap())[0];
    assert_eq!((left.waiting, left.parked, left.done, left.failed), (0, 0, 30, 0));
}

#[test]
fn errands_are_futures_that_end_in_rows() {
    let (store, jobs, clock) = start();
    let errands = || {
        let idle = |_: &u32| crate::blobs::block_on(jobs.errand()) == Step::Idle;
        (0..).find(idle).unwrap()
    };
    for key in 0..=3 {
        commit(&store, |tx| tx.enqueue(&SEND, &key));
    }
    commit(&store, |tx| tx.enqueue(&COPY, "beside"));
    assert_eq!(run(&jobs), 1, "jobs leave errands alone");
    assert_eq!(errands(), 4, "and the other way round");
    assert_eq!(keys(&store), "copied/beside sent/0.0 sent/1.0 sent/2.0 sent/3.0");
    clock.advance_ms(600);
    assert_eq!((errands(), errands()), (2, 0));
    clock.advance_ms(60_000);
    assert_eq!(errands(), 2);
    assert_eq!(
        keys(&store),
        "copied/beside sent/0.0 sent/1.0 sent/1.1 sent/1.2 sent/2.0 sent/2.1 sent/3.0"
    );
    let parked = store.read(|tx| jobs.parked(tx, 9)).unwrap();
    assert_eq!(parked.len(), 1);
    assert_eq!(parked[0].row.error, "nobody takes it");
    let waiting = store.read(|tx| jobs.list(tx, 9)).unwrap();
    assert_eq!(waiting.len(), 2, "the parked one, and the one that comes again");
}

#[test]
fn an_errand_enqueued_while_it_runs_runs_once_more() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let store = Store::memory(clock.clone(), Arc::new(SeededEntropy::new(1)));
    let mut jobs = Jobs::new(store.clone());
    let own = store.clone();
    // Each run takes what there is when it begins; more comes before it ends.
    jobs.register_errand(&SEND, 2, move |cx, key| {
        let store = own.clone();
        Box::pin(async move {
            let begins = |tx: &mut Tx| {
                let seen = tx.scan(&THINGS, &Scope::Global).keys().count() as u64;
                if seen == 0 {
                    tx.put(&THINGS, &Scope::Global, &("late", "x"), &ThingRow::default())?;
                    tx.enqueue(&SEND, &key)?;
                } else {
                    tx.put(&THINGS, &Scope::Global, &("seen", "x"), &ThingRow::default())?;
                }
                Ok::<_, StoreError>((seen, tx.now()))
            };
            let (seen, now) = store.write(begins).await?;
            match (key, seen) {
                (_, 1..) | (1, _) => Ok(JobOutcome::Done),
                (2, _) => Ok(JobOutcome::Again(now.plus_secs(3600))),
                _ => Err(JobError::Failed(format!("attempt {}", cx.attempts))),
            }
        })
    });
    let errand = || crate::blobs::block_on(jobs.errand());
    for key in [1, 2] {
        commit(&store, |tx| tx.enqueue(&SEND, &key));
        assert_eq!((errand(), keys(&store).as_str()), (Step::Worked, "late/x"), "{key}");
        assert_eq!((errand(), keys(&store).as_str()), (Step::Worked, "late/x seen/x"), "{key}");
        assert_eq!(errand(), Step::Idle, "{key}");
        commit(&store, |tx| {
            tx.delete(&THINGS, &Scope::Global, &("late", "x"))?;
            tx.delete(&THINGS, &Scope::Global, &("seen", "x"))
        });
    }
    assert_eq!(store.read(|tx| jobs.list(tx, 9)).unwrap(), []);
    // A failure that something came during has its pause, and attempts of its own.
    commit(&store, |tx| tx.enqueue(&SEND, &3));
    assert_eq!((errand(), errand()), (Step::Worked, Step::Idle));
    let failed = store.read(|tx| jobs.list(tx, 9)).unwrap();
    assert_eq!((failed[0].row.attempts, failed[0].row.is_parked), (1, false));
    clock.advance_ms(600);
    assert_eq!((errand(), keys(&store).as_str()), (Step::Worked, "late/x seen/x"));
}

#[test]
fn an_errand_whose_rows_were_cleared_away_does_not_come_back() {
    let store = Store::memory(
        Arc::new(ManualClock::new(Timestamp::from_secs(1000))),
        Arc::new(SeededEntropy::new(1)),
    );
    let mut jobs = Jobs::new(store.clone());
    let own = store.clone();
    jobs.register_errand(&SEND, 2, move |_, _| {
        let store = own.clone();
        Box::pin(async move {
            let cleared = store.write(|tx| {
                tx.clear(None, &[]);
                Ok::<_, StoreError>(tx.now())
            });
            Ok(JobOutcome::Again(cleared.await?))
        })
    });
    commit(&store, |tx| tx.enqueue(&SEND, &1));
    assert_eq!(crate::blobs::block_on(jobs.errand()), Step::Worked);
    assert_eq!(store.read(|tx| jobs.list(tx, 9)).unwrap(), []);
}

#[test]
fn an_errand_finds_what_it_was_enqueued_with() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let mut options = StoreOptions::new(clock.clone(), Arc::new(SeededEntropy::new(1)));
    options.log_zero_fill = false;
    let (store, mut drivers) = Store::open(Arc::new(MemDisk::new()), options).unwrap();
    let mut jobs = Jobs::new(store.clone());
    let own = store.clone();
    jobs.register_errand(&SEND, 2, move |_, key| {
        let store = own.clone();
        Box::pin(async move {
            let wanted = ("wanted", key.to_string());
            match store.read(|tx| tx.exists(&THINGS, &Scope::Global, &wanted))? {
                true => Ok(JobOutcome::Done),
                false => Err(JobError::Failed("it is not there".into())),
            }
        })
    });
    let ask = |key: u64| {
        commit_in(&store, |tx| {
            let wanted = ("wanted", key.to_string());
            tx.put(&THINGS, &Scope::Global, &wanted, &ThingRow::default())?;
            tx.enqueue(&SEND, &key)
        });
    };
    let mut write_out = || {
        for _ in 0..100 {
            clock.advance_ms(1);
            drivers.log.step();
        }
    };
    ask(2);
    write_out();
    // It is the first in line, and nobody can read it yet.
    ask(1);
    for _ in 0..2 {
        let mut errand = std::pin::pin!(jobs.errand());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut attempts = 0;
        while errand.as_mut().poll(&mut context).is_pending() {
            attempts += 1;
            assert!(attempts < 100, "nothing is left to wait for");
            write_out();
        }
        write_out();
    }
    assert_eq!(store.read(|tx| jobs.list(tx, 9)).unwrap(), []);
}

#[test]
fn the_outbox_has_a_bound() {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let options = StoreOptions { outbox_jobs_max: 5, ..StoreOptions::new(clock.clone(), entropy) };
    let store = Store::inline(Arc::new(MemDisk::new()), options).unwrap();
    let mut jobs = Jobs::new(store.clone());
    jobs.register(&COUNT, 3, |tx, _, (name, left)| {
        if left > 0 {
            tx.enqueue(&COUNT, &(name, left - 1))?;
        }
        Ok(JobOutcome::Done)
    });
    let enqueue = |key: &str, freeing: bool| {
        let write = store.write(|tx| {
            if freeing {
                tx.mark_freeing();
            }
            tx.enqueue_at(&COUNT, &(key.to_owned(), 1), Timestamp::from_secs(2000))
        });
        write.now().unwrap()
    };
    (0..5).for_each(|n| enqueue(&n.to_string(), false).unwrap());
    assert_eq!(jobs.step(), Step::Idle);
    assert_eq!(store.outbox_jobs(), 5);
    assert!(matches!(enqueue("new", false), Err(StoreError::Busy)));
    enqueue("4", false).expect("it waits already");
    enqueue("free", true).expect("what frees space goes through");
    // Each leaves another one behind, which does not keep it from being done.
    clock.jump_to(Timestamp::from_secs(2001));
    while jobs.step() == Step::Worked {}
    assert_eq!((jobs.errors(), jobs.take_trouble(false)), (0, None));
    clock.advance_ms(5_001);
    jobs.step();
    assert_eq!(store.outbox_jobs(), 0);
    enqueue("new", false).expect("there is room");
}

#[test]
fn a_job_that_cannot_be_read_is_told_of_and_keeps_no_other_from_being_done() {
    // The table of what is due, with a key of which the rest is missing.
    const DUE: Table<u16, ()> = Table::internal(0x0003, "store.job_due");
    let (store, jobs, _) = start();
    commit(&store, |tx| {
        tx.put(&DUE, &Scope::Global, &0x0101, &())?;
        tx.enqueue(&COUNT, &("a".to_owned(), 0))
    });
    assert_eq!(jobs.step(), Step::Worked);
    assert_eq!((jobs.errors(), jobs.take_trouble(false)), (0, None));
    assert_eq!(jobs.step(), Step::Idle);
    assert_eq!(jobs.errors(), 1);
    assert!(jobs.take_trouble(false).unwrap().contains("does not decode"));
    assert_eq!(jobs.take_trouble(true), None);
}
