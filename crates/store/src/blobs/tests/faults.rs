//! A disk that is full, rots, or fails to sync.

use super::*;
use crate::disk::{Call, Disk, OpenMode};
use std::io::ErrorKind;
use std::sync::atomic::Ordering;

fn try_write(store: &Store, bytes: &[u8]) -> io::Result<PinnedBlob> {
    block_on(async {
        let mut writer = store.blobs().writer(None);
        for piece in bytes.chunks(50_000) {
            writer.write(piece).await?;
        }
        writer.finish().await
    })
}

#[test]
fn a_full_disk_is_said_so_at_each_call() {
    for size in [100_000, 3_000_000] {
        let bytes = content(1, size);
        let mut failed = 0;
        for call in 1.. {
            let (store, disk) = faulty();
            settle(&store);
            disk.fail_in(call, ErrorKind::StorageFull);
            let result = try_write(&store, &bytes);
            let Err(error) = result else { break };
            failed += 1;
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{size}, call {call}");
            settle(&store);
            assert_eq!(store.blobs().stopped(), None);
            put(&store, "key", &[&try_write(&store, &bytes).expect("space is back")]);
            assert_eq!(all(&open(&store, "key")), bytes);
            store.blobs().0.segments.end_current();
            settle(&store);
            assert_eq!(paths(&store).len(), 1, "{size}, call {call}: {:?}", paths(&store));
            assert_whole(&store, 1);
        }
        assert!(failed >= 3, "{failed} calls were tried");
    }
}

#[test]
fn without_space_deletes_still_work() {
    let disk = Arc::new(FaultyDisk::new());
    let mut options = options(1);
    options.space_floor_bytes = 8 << 20;
    let store = Store::inline(disk.clone(), options).expect("opens");
    let sizes = [100_000, 3_000_000];
    for size in sizes {
        put(&store, &size.to_string(), &[&written(&store, &content(1, size), None)]);
    }
    store.blobs().0.segments.end_current();
    disk.set_capacity(Some(disk.used_bytes() + (8 << 20) + 90_000));
    for size in sizes {
        let error = try_write(&store, &content(2, size)).expect_err("no space");
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
    assert_whole(&store, 2);
    sizes.into_iter().for_each(|size| delete(&store, &size.to_string()));
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);
}

#[test]
fn a_failed_sync_is_not_retried() {
    for size in [100_000, 3_000_000] {
        let bytes = content(1, size);
        let (store, disk) = faulty();
        put(&store, "before", &[&try_write(&store, &bytes).expect("writes")]);
        let syncs = disk.syncs();
        let calls = disk.calls();
        drop(try_write(&store, &bytes).expect("writes"));
        assert!(disk.syncs() > syncs);
        let last = disk.calls() - calls;
        settle(&store);
        let mut stopped = 0;
        for call in 1..=last {
            let (store, disk) = faulty();
            put(&store, "before", &[&try_write(&store, &bytes).expect("writes")]);
            disk.fail_in(call, ErrorKind::Other);
            if try_write(&store, &bytes).is_ok() {
                continue;
            }
            assert_eq!(all(&open(&store, "before")), bytes);
            if store.stopped().is_some() {
                stopped += 1;
                assert!(try_write(&store, &bytes).is_err());
            }
        }
        assert!(stopped >= 1, "{size}");
    }
}

#[test]
fn a_failed_sync_of_a_folder_is_not_retried() {
    let folders = [("blobs", 100_000), ("blobs", 3_000_000), (segment::FOLDER, 100_000)];
    for (folder, size) in folders {
        let bytes = content(1, size);
        let (store, disk) = faulty();
        disk.fail_all(Some((Call::SyncDir, folder, ErrorKind::Other)));
        try_write(&store, &bytes).expect_err("its name may be lost");
        assert!(store.stopped().is_some(), "{folder} {size}");
        disk.fail_all(None);
        let syncs = disk.syncs();
        try_write(&store, &bytes).expect_err("nobody knows what is on the disk");
        assert_eq!(disk.syncs(), syncs, "{folder} {size}");
    }
}

#[test]
fn a_folder_that_cannot_be_opened_to_be_synced_is_tried_again() {
    for size in [100_000, 3_000_000] {
        let bytes = content(1, size);
        let (store, disk) = faulty();
        disk.fail_all(Some((Call::SyncDir, "blobs", ErrorKind::ResourceBusy)));
        let error = try_write(&store, &bytes).expect_err("no descriptor");
        assert!(matches!(StoreError::from(error), StoreError::Busy));
        assert_eq!(store.stopped(), None);
        disk.fail_all(None);
        put(&store, "key", &[&try_write(&store, &bytes).expect("it has passed")]);
        assert_whole(&store, 1);
    }
}

#[test]
fn what_waits_behind_a_failed_sync_fails_too() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        let (store, disk) = faulty();
        let core = &store.blobs().0;
        let written = || {
            let mut bytes = vec![1; segment::HEADER_BYTES + 100_000];
            core.segments.append(core.next_id(), &mut bytes).expect("writes")
        };
        let unsynced = [written(), written()];
        disk.fail_in(1, kind);
        for one in unsynced {
            let (answer, promised) = blocking::promise();
            core.segments.sync(one, answer);
            assert_eq!(block_on(promised).expect_err("may be gone").kind(), kind);
        }
        assert_eq!(store.stopped().is_some(), kind == ErrorKind::Other);
        assert_eq!(try_write(&store, &content(1, 100_000)).is_ok(), kind != ErrorKind::Other);
    }
}

#[test]
fn a_rotten_byte_is_never_served() {
    for size in [100_000u64, 3_000_000] {
        let bytes = content(1, size as usize);
        let (store, disk) = faulty();
        put(&store, "key", &[&written(&store, &bytes, None)]);
        let path = store.blobs().freeze().files().expect("lists").pop().expect("one");
        let content_at = if size == 100_000 { segment::HEADER_BYTES as u64 } else { 0 };
        let end = content_at + size;
        let places = [0, 5, 10, 30, 60, content_at, end / 2, end - 1, end + 3, end + 50, end + 95];
        for at in places {
            if !disk.corrupt(&path, at, 0x10) {
                continue;
            }
            let reader = open(&store, "key");
            let is_content = (content_at..end).contains(&at);
            match block_on(reader.read(0..u64::MAX)) {
                Ok(got) => assert!(!is_content && got == bytes, "{size} {at}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidData, "{size} {at}"),
            }
            // What lies beside the bad chunk is still served.
            let other = if at < end / 2 { end - 1 - content_at } else { 0 };
            if is_content && at != end / 2 {
                let got = block_on(reader.read(other..other + 1)).expect("reads");
                assert_eq!(got[0], bytes[other as usize]);
            }
            let found = store.blobs().check(&store).expect("checks");
            let is_covered = at < end || size > 100_000;
            assert_eq!(found.problems.len(), usize::from(is_covered), "{size} {at}: {found:?}");
            assert!(disk.corrupt(&path, at, 0x10));
        }
        assert_whole(&store, 1);
        disk.remove(&path).expect("removes");
        let missing = block_on(open(&store, "key").read(0..1));
        if size > 100_000 {
            assert_eq!(missing.expect_err("is gone").kind(), ErrorKind::InvalidData);
        }
    }
}

#[test]
fn a_damaged_segment_is_left_for_a_person_to_look_at() {
    let (store, disk) = faulty();
    for n in 0..40 {
        put(&store, &n.to_string(), &[&written(&store, &content(n, 100_000), None)]);
    }
    assert!(disk.corrupt(&segment::path(1), 200, 1));
    (1..15).for_each(|n| delete(&store, &n.to_string()));
    settle(&store);
    assert!(disk.open(&segment::path(1), crate::disk::OpenMode::Read).is_ok());
    let found = store.blobs().check(&store).expect("checks");
    assert_eq!(found.problems.len(), 1, "{found:?}");
}

#[test]
fn writers_share_a_bounded_memory() {
    let (store, _) = faulty();
    let mut writers = Vec::new();
    let refused = loop {
        let mut writer = store.blobs().writer(Some(1 << 20));
        match block_on(writer.write(&[1; 100])) {
            Ok(()) => writers.push(writer),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::ResourceBusy);
    assert!((500..520).contains(&writers.len()), "{}", writers.len());
    drop(writers);
    assert_eq!(store.blobs().counters().bytes_buffered, 0);
    drop(written(&store, &content(1, 3_000_000), None));
    assert_eq!(store.blobs().counters().bytes_buffered, 0);
}

/// One that cannot be removed or looked for does not keep what else there is to do from being done.
#[test]
fn what_fails_keeps_no_other_from_being_freed() {
    let names = |store: &Store| {
        let blobs = ["a", "b", "c"].map(|_| written(store, &content(1, 3_000_000), None));
        for (key, blob) in ["a", "b", "c"].into_iter().zip(&blobs) {
            put(store, key, &[blob]);
        }
        put(store, "d", &[&written(store, &content(2, 100_000), None)]);
        blobs.map(|blob| file::path(blob.reference().id))
    };
    let errors = |store: &Store| store.metrics().keeper_errors.load(Ordering::Relaxed);
    let faults = [
        (Call::Remove, None),
        (Call::List, Some("blobs/segment")),
        (Call::List, Some("blobs/file")),
        (Call::List, Some("snapshots")),
    ];
    for (call, path) in faults {
        let disk = Arc::new(FaultyDisk::new());
        let store = Store::inline(disk.clone(), options(1)).expect("opens");
        let files = names(&store);
        store.blobs().0.segments.end_current();
        drop(store);
        // A start looks everywhere.
        let (store, mut drivers) = Store::open(disk.clone(), options(2)).expect("opens");
        disk.fail_all(Some((call, path.unwrap_or(&files[0]), ErrorKind::Other)));
        drivers.run();
        let before = errors(&store);
        assert_eq!(before, u64::from(call == Call::List), "{call:?} {path:?}");
        for key in ["a", "b", "c", "d"] {
            drop(store.write(|tx| {
                let row = tx.get(&OBJECTS, &Scope::Global, key)?.expect("is there");
                tx.delete(&OBJECTS, &Scope::Global, key)?;
                row.blobs.iter().try_for_each(|blob| tx.release_blob(blob))
            }));
        }
        drivers.run();
        let stuck = if call == Call::Remove { 1 } else { 0 };
        disk.fail_all(None);
        let left: Vec<String> =
            files.iter().filter(|path| disk.open(path, OpenMode::Read).is_ok()).cloned().collect();
        assert_eq!(left, files[..stuck], "{call:?} {path:?}");
        assert!(errors(&store) > before);
        let told = errors(&store);
        drivers.run();
        assert_eq!((paths(&store), errors(&store)), (Vec::new(), told), "{call:?} {path:?}");
        assert_whole(&store, 0);
    }
}
