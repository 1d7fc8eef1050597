use super::model::{self, Model};
use crate::disk::{Disk, FaultyDisk, FsDisk, MemDisk, OpenMode};
use crate::{OpenError, SnapshotError, Store, Table};
use base::SeededEntropy;
use std::io::ErrorKind;
use std::sync::Arc;

crate::row! {
    struct BlobOwnerRow {
        1 => blob: crate::blobs::BlobRef,
    }
}

const OWNERS: Table<u64, BlobOwnerRow> = Table::new(0x0109, "test.owner");

fn add_blob(store: &Store, number: u64, size: usize) {
    use crate::blobs::block_on;
    let blob = block_on(async {
        let mut writer = store.blobs().writer(None);
        writer.write(&vec![number as u8; size]).await.unwrap();
        writer.finish().await.unwrap()
    });
    let added = store.write(|tx| {
        let blob = tx.adopt_blob(&blob)?;
        tx.put(&OWNERS, &crate::Scope::Global, &number, &BlobOwnerRow { blob })
    });
    added.now().unwrap().unwrap_or_else(|error: crate::StoreError| panic!("{error}"));
}

fn fill(store: &Store, commits: u32, seed: u64, model: &mut Model) {
    let chance = SeededEntropy::new(seed);
    for _ in 0..commits {
        let change = model::random_rows(&chance);
        model::write(store, &change).now().unwrap().unwrap();
        model.apply(&change);
    }
}

/// Saves, goes on, and restores elsewhere what was there.
fn check(disk: Arc<dyn Disk>, snapshot: &dyn Fn() -> Arc<dyn Disk>, to: Arc<dyn Disk>) {
    let mut model = Model::new();
    let store = Store::inline(disk, model::options(1)).unwrap();
    fill(&store, 60, 1, &mut model);
    [10_000, 30_000, 2_000_000]
        .into_iter()
        .zip(1..)
        .for_each(|(size, n)| add_blob(&store, n, size));
    let saved = store.snapshot_save("one").unwrap();
    let state = model::read(&store);
    assert_eq!(saved.version, state.0);
    assert!(matches!(store.snapshot_save("one"), Err(SnapshotError::Exists(_))));
    fill(&store, 60, 2, &mut model);
    assert_eq!(store.snapshot_list().unwrap(), [saved]);

    let options = model::options(2);
    Store::snapshot_restore(&snapshot(), to.clone(), &options).unwrap();
    let twice = Store::snapshot_restore(&snapshot(), to.clone(), &options);
    assert!(matches!(twice, Err(SnapshotError::NotEmpty)));
    let restored = Store::inline(to.clone(), options.clone()).unwrap();
    assert!(model::read(&restored) == state);
    let found = restored.check().unwrap();
    assert_eq!((found.blobs, found.problems), (3, vec![]));
    let mut again = Model::new();
    again.states = vec![state.1; state.0 as usize + 1];
    fill(&restored, 60, 3, &mut again);
    drop(restored);
    let restored = Store::inline(to, options).unwrap();
    assert!(model::read(&restored) == (again.version(), again.states.pop().unwrap()));

    let found = store.check().unwrap();
    assert_eq!((found.blobs, found.problems), (3, vec![]), "each goes its own way");
    store.snapshot_remove("one").unwrap();
    assert_eq!(store.snapshot_list().unwrap(), []);
    assert!(matches!(store.snapshot_remove("one"), Err(SnapshotError::Missing(_))));
}

/// A folder of another disk as a disk to read.
#[derive(Debug)]
struct Below(FaultyDisk, &'static str);

impl Disk for Below {
    fn open(&self, path: &str, mode: OpenMode) -> std::io::Result<Arc<dyn crate::disk::File>> {
        assert_eq!(mode, OpenMode::Read);
        self.0.open(&format!("{}/{path}", self.1), mode)
    }
    fn rename(&self, _: &str, _: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn link(&self, _: &str, _: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn remove(&self, _: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn create_dir(&self, _: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn remove_dir_all(&self, _: &str) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        self.0.list(&format!("{}/{path}", self.1))
    }
    fn sync_dir(&self, _: &str) -> std::io::Result<()> {
        Ok(())
    }
    fn available_bytes(&self) -> std::io::Result<u64> {
        Ok(0)
    }
}

#[test]
fn a_snapshot_is_restored_elsewhere_by_copies() {
    let disk = FaultyDisk::new();
    let snapshot = || Arc::new(Below(disk.clone(), "snapshots/one")) as Arc<dyn Disk>;
    check(Arc::new(disk.clone()), &snapshot, Arc::new(FaultyDisk::new()));
}

#[test]
fn a_snapshot_is_restored_in_memory_and_read_where_it_lies() {
    let disk = FaultyDisk::new();
    let snapshot = || Arc::new(Below(disk.clone(), "snapshots/one")) as Arc<dyn Disk>;
    check(Arc::new(disk.clone()), &snapshot, Arc::new(MemDisk::new()));
}

#[test]
fn a_snapshot_is_restored_elsewhere_by_links() {
    let root = std::env::temp_dir().join(format!("cumulet-snapshot-{}", std::process::id()));
    let disk = Arc::new(FsDisk::open(&root.join("a"), "test").unwrap());
    let snapshot =
        || Arc::new(FsDisk::open_to_read(&root.join("a/snapshots/one")).unwrap()) as Arc<dyn Disk>;
    let to = Arc::new(FsDisk::open(&root.join("b"), "test").unwrap());
    check(disk, &snapshot, to);
    std::fs::remove_dir_all(&root).unwrap();
}

#[test]
fn a_saved_snapshot_survives_and_an_unfinished_one_does_not_count() {
    for at in 1.. {
        let disk = FaultyDisk::new();
        let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
        fill(&store, 20, 1, &mut Model::new());
        disk.power_off_in(at);
        let saved = store.snapshot_save("one");
        disk.crash(at);
        let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
        let found = store.snapshot_list().unwrap();
        let to = Arc::new(FaultyDisk::new());
        match (&saved, &found[..]) {
            (Ok(_), []) => panic!("call {at}: the snapshot is lost"),
            (_, [_]) => {
                let from: Arc<dyn Disk> = Arc::new(Below(disk.clone(), "snapshots/one"));
                Store::snapshot_restore(&from, to.clone(), &model::options(2)).unwrap();
                let restored = Store::inline(to, model::options(2)).unwrap();
                assert!(model::read(&restored) == model::read(&store));
            }
            _ => {
                store.snapshot_save("one").unwrap();
            }
        }
        if saved.is_ok() {
            assert!(at > 5);
            break;
        }
    }
}

/// Files below the folder of snapshots.
fn files_of_snapshots(disk: &FaultyDisk) -> Vec<String> {
    fn walk(disk: &FaultyDisk, folder: &str, found: &mut Vec<String>) {
        for name in disk.list(folder).unwrap() {
            let path = format!("{folder}/{name}");
            match disk.open(&path, OpenMode::Read) {
                Ok(_) => found.push(path),
                Err(_) => walk(disk, &path, found),
            }
        }
    }
    let mut found = Vec::new();
    walk(disk, "snapshots", &mut found);
    found
}

#[test]
fn a_snapshot_that_fails_holds_on_to_no_space() {
    for at in 1.. {
        let disk = FaultyDisk::new();
        let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
        fill(&store, 20, 1, &mut Model::new());
        add_blob(&store, 1, 2_000_000);
        disk.fail_in(at, ErrorKind::StorageFull);
        if store.snapshot_save("one").is_ok() {
            assert!(at > 10, "{at}");
            break;
        }
        assert_eq!(store.stopped(), None);
        assert_eq!(files_of_snapshots(&disk), [""; 0], "call {at}");
        assert_eq!(store.snapshot_list().unwrap(), []);
        store.snapshot_save("one").unwrap();
    }
}

#[test]
fn what_a_crash_leaves_of_a_snapshot_goes_after_the_next_start() {
    let mut left_behind = 0;
    for removes in [false, true] {
        for at in 1.. {
            let disk = FaultyDisk::new();
            let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
            fill(&store, 20, 1, &mut Model::new());
            [1, 2].into_iter().for_each(|n| add_blob(&store, n, 2_000_000));
            if removes {
                store.snapshot_save("one").unwrap();
            }
            disk.power_off_in(at);
            let done = match removes {
                true => store.snapshot_remove("one").is_ok(),
                false => store.snapshot_save("one").is_ok(),
            };
            disk.kill();
            let manifest = "snapshots/one/manifest".to_owned();
            let before = files_of_snapshots(&disk);
            let is_one = before.contains(&manifest);
            left_behind += usize::from(!is_one && !before.is_empty());
            let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
            let after = files_of_snapshots(&disk);
            assert_eq!(after, if is_one { before } else { Vec::new() }, "{removes} {at}");
            assert_eq!(store.snapshot_list().unwrap().len(), usize::from(is_one));
            if done {
                break;
            }
        }
    }
    assert!(left_behind > 5, "{left_behind}");
}

#[test]
fn a_damaged_snapshot_is_listed_and_can_be_removed() {
    let disk = FaultyDisk::new();
    let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
    fill(&store, 5, 1, &mut Model::new());
    ["bad", "good"].into_iter().for_each(|name| drop(store.snapshot_save(name).unwrap()));
    assert!(disk.corrupt("snapshots/bad/manifest", 9, 1));
    let problems = |store: &Store| {
        let all = store.snapshot_list().unwrap().into_iter();
        all.map(|info| (info.name, info.problem)).collect::<Vec<_>>()
    };
    let damaged = "the snapshot is damaged: its manifest has a wrong checksum".to_owned();
    let expected = [("bad".to_owned(), Some(damaged)), ("good".to_owned(), None)];
    assert_eq!(problems(&store), expected);
    // A start takes nothing of it away.
    drop(store);
    let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
    assert_eq!(problems(&store), expected);
    assert!(matches!(store.snapshot_save("bad"), Err(SnapshotError::Exists(_))));
    store.snapshot_remove("bad").unwrap();
    assert_eq!(problems(&store), expected[1..]);
    assert!(files_of_snapshots(&disk).iter().all(|path| path.starts_with("snapshots/good/")));
    // One that was removed by half, as it would be by a disk that fails in the middle.
    disk.remove("snapshots/good/manifest").unwrap();
    assert!(problems(&store)[0].1.as_ref().unwrap().contains("half removed"));
    store.snapshot_remove("good").unwrap();
    assert_eq!(problems(&store), []);
    assert!(matches!(store.snapshot_remove("good"), Err(SnapshotError::Missing(_))));
}

/// A disk on which something happens in the middle of somebody else's call.
struct During {
    disk: FaultyDisk,
    hook: parking_lot::Mutex<Option<Hook>>,
}

/// Before the first call of that name for a path that begins so.
type Hook = (&'static str, &'static str, Box<dyn FnOnce() + Send>);

impl std::fmt::Debug for During {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.disk.fmt(f)
    }
}

impl During {
    fn store(disk: &FaultyDisk) -> (Store, Arc<During>) {
        let during = Arc::new(During { disk: disk.clone(), hook: Default::default() });
        (Store::inline(during.clone(), model::options(1)).unwrap(), during)
    }

    fn comes(&self, call: &str, path: &str) {
        let mut hook = self.hook.lock();
        let hit = hook.as_ref().is_some_and(|(of, at, _)| *of == call && path.starts_with(at));
        if let Some((.., work)) = hook.take_if(|_| hit) {
            drop(hook);
            work();
        }
    }
}

impl Disk for During {
    fn open(&self, path: &str, mode: OpenMode) -> std::io::Result<Arc<dyn crate::disk::File>> {
        self.disk.open(path, mode)
    }
    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.disk.rename(from, to)
    }
    fn link(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.comes("link", from);
        self.disk.link(from, to)
    }
    fn remove(&self, path: &str) -> std::io::Result<()> {
        self.disk.remove(path)
    }
    fn create_dir(&self, path: &str) -> std::io::Result<()> {
        self.disk.create_dir(path)
    }
    fn remove_dir_all(&self, path: &str) -> std::io::Result<()> {
        self.disk.remove_dir_all(path)
    }
    fn list(&self, path: &str) -> std::io::Result<Vec<String>> {
        self.comes("list", path);
        self.disk.list(path)
    }
    fn sync_dir(&self, path: &str) -> std::io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn available_bytes(&self) -> std::io::Result<u64> {
        self.disk.available_bytes()
    }
}

fn restored(disk: &FaultyDisk, name: &'static str) -> Store {
    let from: Arc<dyn Disk> = Arc::new(Below(disk.clone(), name));
    let to = Arc::new(FaultyDisk::new());
    Store::snapshot_restore(&from, to.clone(), &model::options(2)).unwrap();
    let store = Store::inline(to, model::options(2)).unwrap();
    assert_eq!(store.check().unwrap().problems, [""; 0]);
    store
}

#[test]
fn a_segment_begun_while_a_snapshot_is_saved_is_none_of_it() {
    let disk = FaultyDisk::new();
    let (store, during) = During::store(&disk);
    add_blob(&store, 1, 30_000);
    let other = store.clone();
    let write = Box::new(move || add_blob(&other, 2, 30_000));
    *during.hook.lock() = Some(("list", "blobs/segment", write));
    store.snapshot_save("one").unwrap();
    assert!(during.hook.lock().is_none());
    // Ends the segment, which becomes shorter.
    store.snapshot_save("two").unwrap();
    assert_eq!(restored(&disk, "snapshots/one").check().unwrap().blobs, 1);
    assert_eq!(restored(&disk, "snapshots/two").check().unwrap().blobs, 2);
}

#[test]
fn an_upload_under_way_does_not_spoil_a_snapshot() {
    use crate::blobs::block_on;
    for seed in 0..10 {
        let disk = FaultyDisk::new();
        let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
        add_blob(&store, 1, 2_000_000);
        let mut writer = store.blobs().writer(None);
        block_on(writer.write(&vec![7; 3_000_000])).unwrap();
        store.snapshot_save("one").unwrap();
        // What was not synced of the upload goes, and its file becomes shorter.
        disk.crash(seed);
        assert_eq!(restored(&disk, "snapshots/one").check().unwrap().blobs, 1);
    }
}

#[test]
fn two_snapshots_of_one_name_do_not_meet() {
    let disk = FaultyDisk::new();
    let (store, during) = During::store(&disk);
    add_blob(&store, 1, 30_000);
    let other = store.clone();
    let again = Box::new(move || {
        let second = other.snapshot_save("one");
        assert!(matches!(second, Err(SnapshotError::Exists(_))), "{second:?}");
        let removed = other.snapshot_remove("one");
        assert!(matches!(removed, Err(SnapshotError::Missing(_))), "{removed:?}");
    });
    *during.hook.lock() = Some(("link", "blobs/", again));
    store.snapshot_save("one").unwrap();
    assert!(during.hook.lock().is_none());
    assert_eq!(restored(&disk, "snapshots/one").check().unwrap().blobs, 1);
    store.snapshot_remove("one").unwrap();
    store.snapshot_save("one").unwrap();
}

#[test]
fn bad_names_and_damage_are_refused() {
    let disk = FaultyDisk::new();
    let store = Store::inline(Arc::new(disk.clone()), model::options(1)).unwrap();
    fill(&store, 5, 1, &mut Model::new());
    for name in ["", ".", "..", "a/b", "../x", "ä", &"x".repeat(101)] {
        assert!(matches!(store.snapshot_save(name), Err(SnapshotError::BadName(_))), "{name}");
    }
    store.snapshot_save("one").unwrap();
    let restore = || {
        let from: Arc<dyn Disk> = Arc::new(Below(disk.clone(), "snapshots/one"));
        let to = Arc::new(FaultyDisk::new());
        Store::snapshot_restore(&from, to, &model::options(2)).unwrap_err()
    };
    assert!(disk.corrupt("snapshots/one/manifest", 9, 1));
    assert!(matches!(restore(), SnapshotError::Damaged(_)));
    assert!(disk.corrupt("snapshots/one/manifest", 9, 1));
    let memory = Store::memory(model::options(1).clock, model::options(1).entropy);
    assert!(matches!(memory.snapshot_save("x"), Err(SnapshotError::InMemory)));
    assert!(!matches!(restore_newer(&disk), SnapshotError::Damaged(_)));
}

/// A manifest of a later format, with a right checksum.
fn restore_newer(disk: &FaultyDisk) -> SnapshotError {
    disk.remove("snapshots/one/manifest").unwrap();
    let file = disk.open("snapshots/one/manifest", OpenMode::CreateNew).unwrap();
    let mut bytes = b"CUMSNAP\0\x04\x63".to_vec();
    let sum = crc_fast::crc32_iscsi(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    file.write_all_at(&bytes, 0).unwrap();
    let from: Arc<dyn Disk> = Arc::new(Below(disk.clone(), "snapshots/one"));
    let to = Arc::new(FaultyDisk::new());
    let error = Store::snapshot_restore(&from, to, &model::options(2)).unwrap_err();
    assert!(matches!(error, SnapshotError::Open(OpenError::Newer { found: 99, .. })), "{error}");
    error
}

/// Work that nobody has done yet.
#[derive(Default)]
struct Later(parking_lot::Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Later")
    }
}

impl crate::blobs::Blocking for Later {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        self.0.lock().push(job);
    }
}

#[test]
fn a_task_that_saves_does_not_wait_for_the_disk_itself() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    let later = Arc::new(Later::default());
    let mut options = model::options(1);
    options.blocking = later.clone();
    let store = Store::inline(Arc::new(FaultyDisk::new()), options).unwrap();
    fill(&store, 5, 1, &mut Model::new());
    let mut context = Context::from_waker(Waker::noop());
    let work = || std::mem::take(&mut *later.0.lock()).into_iter().for_each(|job| job());
    let mut saving = std::pin::pin!(store.snapshot_save_apart("one"));
    assert!(saving.as_mut().poll(&mut context).is_pending());
    assert_eq!(store.snapshot_list().unwrap(), []);
    work();
    let Poll::Ready(Ok(saved)) = saving.as_mut().poll(&mut context) else { panic!("not saved") };
    assert_eq!(store.snapshot_list().unwrap(), [saved]);
    let mut removing = std::pin::pin!(store.snapshot_remove_apart("one"));
    assert!(removing.as_mut().poll(&mut context).is_pending());
    work();
    assert!(matches!(removing.as_mut().poll(&mut context), Poll::Ready(Ok(()))));
    assert_eq!(store.snapshot_list().unwrap(), []);
}
