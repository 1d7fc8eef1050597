//! What the log does when the disk is not what it was.

use super::basics::{THINGS, ThingRow};
use super::model::{self, Model};
use crate::disk::{Call, Disk, FaultyDisk, File, OpenMode};
use crate::engine::Step;
use crate::format::FORMAT;
use crate::{Drivers, Index, OpenError, Scope, Store, StoreError, StoreOptions, Tx, Wake};
use base::SeededEntropy;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::{Context, Poll, Waker};

/// With an index that keeps nothing, so that the whole log matters.
fn open(disk: &FaultyDisk) -> Result<(Store, Drivers), OpenError> {
    let options = StoreOptions { index: Index::Memory, ..model::options(1) };
    Store::open(Arc::new(disk.clone()), options)
}

fn fill(disk: &FaultyDisk, commits: u32) -> Model {
    let mut model = Model::new();
    let chance = SeededEntropy::new(5);
    let (store, mut drivers) = open(disk).unwrap();
    for _ in 0..commits {
        let change = model::random_change(&chance);
        let commit = model::write(&store, &change);
        drivers.run();
        commit.now().unwrap().unwrap();
        model.apply(&change);
    }
    model
}

fn segments(disk: &FaultyDisk) -> Vec<(String, Arc<dyn File>)> {
    let path = |name| format!("log/{name}");
    let names = disk.list("log").unwrap().into_iter().map(path);
    names.map(|p| (p.clone(), disk.open(&p, OpenMode::Read).unwrap())).collect()
}

fn sequence(file: &Arc<dyn File>) -> u64 {
    let mut bytes = [0; 16];
    file.read_exact_at(&mut bytes, 0).unwrap();
    u64::from_le_bytes(*bytes.last_chunk().unwrap())
}

#[test]
fn damage_before_something_valid_is_refused() {
    let disk = FaultyDisk::new();
    fill(&disk, 60);
    let mut live = segments(&disk);
    live.retain(|(_, file)| sequence(file) > 0);
    live.sort_by_key(|(_, file)| sequence(file));
    assert!(live.len() > 2, "several segments are in use");
    for (place, (path, _)) in live.iter().enumerate() {
        assert!(disk.corrupt(path, 4096 + 40, 1));
        let error = open(&disk).expect_err("damaged");
        assert!(matches!(&error, OpenError::Corrupt(_)), "segment {place}: {error}");
        assert!(error.to_string().contains("restore a snapshot"), "{error}");
        assert!(disk.corrupt(path, 4096 + 40, 1));
        open(&disk).expect("whole again");
    }
    disk.remove(&live[1].0).unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Corrupt(_))), "a gap");
    disk.remove_dir_all("log").unwrap();
    assert!(matches!(open(&disk), Err(OpenError::Corrupt(_))), "no log at all");
}

#[test]
fn a_torn_end_is_dropped() {
    let disk = FaultyDisk::new();
    let model = fill(&disk, 12);
    let (store, mut drivers) = open(&disk).unwrap();
    let chance = SeededEntropy::new(9);
    let lost = model::write(&store, &model::random_change(&chance));
    disk.fail_in(2, ErrorKind::Other);
    assert_eq!(drivers.log.step(), Step::Idle, "written, and not synced");
    assert!(matches!(lost.now(), Some(Err(StoreError::Stopped(_)))));
    let refused = model::write(&store, &model::random_change(&chance));
    assert!(matches!(refused.now(), Some(Err(StoreError::Stopped(_)))));
    assert!(store.stopped().is_some());
    assert_eq!(model::read(&store).0, 12, "reads go on, and see what is durable");
    for seed in 0..20 {
        disk.crash(seed);
        let (store, _) = open(&disk).unwrap();
        let (version, state) = model::read(&store);
        assert!(version == 13 || state == model.states[12]);
    }
}

#[test]
fn newer_and_foreign_folders_are_refused() {
    let check = |name: &str, content: &str, expected: &str| {
        let disk = FaultyDisk::new();
        let file = disk.open(name, OpenMode::CreateNew).unwrap();
        file.write_all_at(content.as_bytes(), 0).unwrap();
        let error = model::open(&disk, 1).expect_err(name).to_string();
        assert!(error.contains(expected), "{error}");
    };
    let newer = FORMAT + 1;
    let expected = format!("has format {newer}, this build knows up to {FORMAT}");
    check("FORMAT", &format!("cumulet store, format {newer}\n"), &expected);
    check("FORMAT", "hello", "its FORMAT file is not ours");
    check("holiday.jpg", "", "`holiday.jpg`");
}

/// Counts how often it is woken.
struct Bell(std::sync::atomic::AtomicU32);

impl std::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn answers_wait_until_what_they_saw_is_durable() {
    let disk = FaultyDisk::new();
    let (store, mut drivers) = model::open(&disk, 1).unwrap();
    let chance = SeededEntropy::new(9);
    let bell = Arc::new(Bell(Default::default()));
    let waker = Waker::from(bell.clone());
    let poll = |commit: &mut _| {
        std::future::Future::poll(std::pin::Pin::new(commit), &mut Context::from_waker(&waker))
    };
    let mut first = model::write(&store, &model::random_change(&chance));
    let mut looked = store.write(|tx| Ok::<_, StoreError>(tx.version()));
    let mut failed = store.write(|_| Err::<u64, _>(StoreError::Busy));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut looked).is_pending(), "it saw a commit that may vanish");
    assert!(poll(&mut failed).is_pending(), "so did this one");
    assert_eq!(model::read(&store).0, 0, "readers do not");
    drop(first);
    let syncs = disk.syncs();
    assert_eq!((drivers.log.wait(), drivers.log.step()), (Wake::Work, Step::Worked));
    assert_eq!(disk.syncs() - syncs, 1, "one sync for all");
    assert_eq!(bell.0.load(SeqCst), 2, "the dropped one is not woken");
    assert!(matches!(poll(&mut looked), Poll::Ready(Ok(1))));
    assert!(matches!(poll(&mut failed), Poll::Ready(Err(StoreError::Busy))));
    assert_eq!(model::read(&store).0, 1);
    store.close();
    assert_eq!((drivers.log.step(), drivers.log.wait()), (Step::Idle, Wake::Closed));
}

/// A store whose log has no room for another [`fill_up`], as long as its drivers do not run.
fn crowded(disk: &FaultyDisk) -> (Store, Drivers) {
    let (store, mut drivers) = model::open(disk, 1).unwrap();
    drivers.run();
    let busy = || store.metrics().busy.load(Relaxed);
    (0..10_000).take_while(|_| busy() == 0).for_each(|_| drop(store.write(fill_up)));
    assert_eq!(busy(), 1, "a plain write is refused");
    (store, drivers)
}

fn fill_up(tx: &mut Tx) -> Result<(), StoreError> {
    let row = ThingRow { name: "x".repeat(2000), size: 1 };
    tx.put(&THINGS, &Scope::Global, &("0".to_owned(), "full".to_owned()), &row)
}

#[test]
fn a_write_waits_for_room_and_is_not_refused() {
    let (store, mut drivers) = crowded(&FaultyDisk::new());
    let bell = Arc::new(Bell(Default::default()));
    let waker = Waker::from(bell.clone());
    let cx = &mut Context::from_waker(&waker);
    let mut waits = std::pin::pin!(store.write_in_turn(fill_up));
    let mut given_up = Box::pin(store.write_in_turn(fill_up));
    assert!(waits.as_mut().poll(cx).is_pending());
    assert!(given_up.as_mut().poll(cx).is_pending());
    drop(given_up);
    assert_eq!(bell.0.load(SeqCst), 0);
    drivers.run();
    assert!(bell.0.load(SeqCst) > 0, "it is woken when there is room");
    assert!(waits.as_mut().poll(cx).is_pending(), "accepted, and not durable yet");
    drivers.run();
    assert!(matches!(waits.as_mut().poll(cx), Poll::Ready(Ok(()))));
    assert_eq!(store.metrics().busy.load(Relaxed), 1, "only the first was refused");
}

#[test]
fn who_waits_for_room_hears_that_the_store_has_stopped() {
    let disk = FaultyDisk::new();
    let (store, mut drivers) = crowded(&disk);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut waits = std::pin::pin!(store.write_in_turn(fill_up));
    assert!(waits.as_mut().poll(cx).is_pending());
    // The reserve is given up, which fails.
    disk.set_capacity(Some(0));
    disk.fail_in(1, ErrorKind::Other);
    drivers.maintenance.step();
    assert!(store.stopped().is_some());
    let end = waits.as_mut().poll(cx);
    assert!(matches!(end, Poll::Ready(Err(StoreError::Stopped(_)))), "{end:?}");
}

#[test]
fn not_everybody_waits_for_room_and_nobody_for_ever() {
    const WAIT: usize = 256;
    let (store, mut drivers) = crowded(&FaultyDisk::new());
    let mut cx = Context::from_waker(Waker::noop());
    let mut writes: Vec<_> =
        (0..WAIT + 10).map(|_| Box::pin(store.write_in_turn(fill_up))).collect();
    // One that is refused tells only when what it saw is durable.
    writes.iter_mut().for_each(|write| assert!(write.as_mut().poll(&mut cx).is_pending()));
    drivers.log.step();
    let late = writes.split_off(WAIT);
    for mut write in late {
        assert!(matches!(write.as_mut().poll(&mut cx), Poll::Ready(Err(StoreError::Busy))));
    }
    store.close();
    let mut ends = [0; 3];
    for mut write in writes {
        match write.as_mut().poll(&mut cx) {
            Poll::Ready(Err(StoreError::Busy)) => ends[0] += 1,
            Poll::Ready(other) => panic!("{other:?}"),
            Poll::Pending => {
                drivers.log.step();
                assert!(!matches!(write.as_mut().poll(&mut cx), Poll::Pending));
                ends[1] += 1;
            }
        }
    }
    assert!(ends[0] > 0, "the end of the store is the end of waiting: {ends:?}");
}

#[test]
fn the_reserve_may_be_taken_away_by_hand() {
    let disk = FaultyDisk::new();
    let (store, mut drivers) = model::open(&disk, 1).unwrap();
    drivers.run();
    disk.set_capacity(Some(disk.used_bytes()));
    disk.remove("reserve").expect("it is there");
    disk.set_capacity(Some(disk.used_bytes()));
    drivers.maintenance.step();
    assert_eq!(store.stopped(), None);
    disk.set_capacity(None);
    drivers.maintenance.step();
    assert!(disk.list("").unwrap().contains(&"reserve".to_owned()), "and is made again");
}

#[test]
fn a_full_disk_takes_deletes_and_then_writes_again() {
    let disk = FaultyDisk::new();
    let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
    let chance = SeededEntropy::new(2);
    let put = || {
        let mut change = model::random_rows(&chance);
        change.rows.iter_mut().for_each(|(_, row)| *row = Some(row.take().unwrap_or_default()));
        model::write(&store, &change).now().expect("inline")
    };
    let delete = |n: u32| {
        model::write(&store, &model::Change::deletion(String::from("0"), n.to_string()))
            .now()
            .unwrap()
    };
    put().expect("commits");
    disk.set_capacity(Some(0));
    let refused = (0..200).find_map(|_| put().err()).expect("full");
    assert!(matches!(refused, StoreError::Full), "{refused}");
    assert!(store.is_full());
    (0..20).for_each(|n| {
        delete(n % 8).expect("deletes go through");
    });
    disk.set_capacity(None);
    let _ = put();
    put().expect("there is room again");
}

/// What writes say while files below `path` cannot be opened; deletes are tried besides.
fn refused_while(path: &str, kind: ErrorKind) -> (StoreError, bool) {
    let disk = FaultyDisk::new();
    let options = StoreOptions { unflushed_bytes_max: 64 << 10, ..model::options(1) };
    let store = Store::inline(Arc::new(disk.clone()), options).unwrap();
    let chance = SeededEntropy::new(2);
    let put = || {
        let mut change = model::random_rows(&chance);
        change.rows.iter_mut().for_each(|(_, row)| *row = Some(row.take().unwrap_or_default()));
        model::write(&store, &change).now().expect("inline")
    };
    put().expect("commits");
    disk.fail_all(Some((Call::Open, path, kind)));
    let refused = (0..2000).find_map(|_| put().err()).expect("no room is made");
    let deletion = model::Change::deletion(String::from("0"), String::from("1"));
    let deletes = model::write(&store, &deletion).now().expect("inline").is_ok();
    assert_eq!(store.stopped(), None, "{path} {kind}");
    disk.fail_all(None);
    let _ = put();
    put().expect("it has passed");
    assert_eq!(store.check().unwrap().problems, [""; 0]);
    (refused, deletes)
}

#[test]
fn a_process_out_of_descriptors_is_busy_and_goes_on() {
    let (refused, _) = refused_while("index/", ErrorKind::ResourceBusy);
    assert!(matches!(refused, StoreError::Busy), "{refused}");
}

#[test]
fn a_spent_quota_is_a_full_disk() {
    let (refused, deletes) = refused_while("index/", ErrorKind::QuotaExceeded);
    assert!(matches!(refused, StoreError::Full), "{refused}");
    assert!(deletes, "what frees space goes through");
}

#[test]
fn who_is_refused_does_not_keep_the_maintenance_from_resting() {
    let disk = FaultyDisk::new();
    let (store, mut drivers) = crowded(&disk);
    disk.fail_all(Some((Call::Open, "", ErrorKind::ResourceBusy)));
    while drivers.log.step() == Step::Worked {}
    while drivers.maintenance.step() == Step::Worked {}
    assert!(drivers.maintenance.trouble().is_some());
    assert_eq!(store.metrics().maintenance_errors.load(Relaxed), 1);
    let cx = &mut Context::from_waker(Waker::noop());
    let mut waits = std::pin::pin!(store.write_in_turn(fill_up));
    let _ = waits.as_mut().poll(cx);
    assert_eq!(drivers.maintenance.wait(), Wake::Work);
    disk.fail_all(None);
    while drivers.maintenance.step() == Step::Worked {}
    assert!(drivers.maintenance.trouble().is_none());
}
