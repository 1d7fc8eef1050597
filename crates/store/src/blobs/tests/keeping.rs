//! What is kept, and what goes.

use super::*;

#[test]
fn a_writer_that_is_dropped_leaves_nothing() {
    let (store, _) = faulty();
    for size in [10, 100_000, 3_000_000] {
        for hint in [None, Some(size as u64)] {
            let mut writer = store.blobs().writer(hint);
            block_on(writer.write(&content(1, size))).expect("writes");
            drop(writer);
            assert_eq!(paths(&store), [""; 0]);
        }
    }
}

#[test]
fn a_finished_blob_that_nobody_adopts_goes_with_its_guard() {
    let (store, _) = faulty();
    let blob = written(&store, &content(1, 3_000_000), None);
    settle(&store);
    assert_eq!(paths(&store).len(), 1);
    drop(blob.clone());
    settle(&store);
    assert_eq!(all(&store.blobs().open_pinned(&blob)), content(1, 3_000_000));
    let reader = store.blobs().open_pinned(&blob);
    drop(blob);
    settle(&store);
    assert_eq!(all(&reader), content(1, 3_000_000));
    drop(reader);
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);

    let blob = written(&store, &content(1, 100_000), None);
    store.blobs().0.segments.end_current();
    settle(&store);
    assert_eq!(paths(&store).len(), 1);
    drop(blob);
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);
}

#[test]
fn a_failed_transaction_adopts_nothing() {
    let (store, _) = faulty();
    let blob = written(&store, &content(1, 3_000_000), None);
    let failed = store.write(|tx| {
        tx.adopt_blob(&blob)?;
        Err::<(), _>(StoreError::Busy)
    });
    assert!(failed.now().expect("inline").is_err());
    let reference = blob.reference();
    drop(blob);
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);
    store.read(|tx| store.blobs().open(tx, &reference)).expect_err("is not there");
}

#[test]
fn what_is_read_stays_to_its_end() {
    let (store, _) = faulty();
    for size in [100_000, 3_000_000] {
        let bytes = content(1, size);
        put(&store, "key", &[&written(&store, &bytes, None)]);
        let reader = open(&store, "key");
        let mut stream = reader.stream(50_000..u64::MAX);
        let mut got = block_on(stream.next()).expect("begins").expect("reads").to_vec();
        drop(reader);
        delete(&store, "key");
        store.blobs().0.segments.end_current();
        settle(&store);
        assert_eq!(paths(&store).len(), 1);
        while let Some(piece) = block_on(stream.next()) {
            got.extend_from_slice(&piece.expect("reads"));
        }
        assert_eq!(got, bytes[50_000..]);
        drop(stream);
        settle(&store);
        assert_eq!(paths(&store), [""; 0]);
        assert_whole(&store, 0);
    }
}

#[test]
fn an_old_snapshot_keeps_what_it_may_open() {
    let (store, _) = faulty();
    put(&store, "key", &[&written(&store, &content(1, 3_000_000), None)]);
    store.read(|tx| {
        delete(&store, "key");
        settle(&store);
        let row = tx.get(&OBJECTS, &Scope::Global, "key").expect("reads").expect("is there");
        let reader = store.blobs().open_all(tx, &row.blobs).expect("opens");
        assert_eq!(all(&reader), content(1, 3_000_000));
    });
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);
}

#[test]
fn a_sparse_segment_is_moved_while_it_is_read() {
    let (store, _) = faulty();
    let keys: Vec<String> = (0..60).map(|n| format!("{n:02}")).collect();
    for (n, key) in (0..).zip(&keys) {
        put(&store, key, &[&written(&store, &content(n, 100_000), None)]);
    }
    let before = paths(&store).len();
    assert!(before >= 3, "{before}");
    let readers: Vec<BlobReader> = keys.iter().map(|key| open(&store, key)).collect();
    let kept = |n: &usize| n.is_multiple_of(3);
    (0..60).filter(|n| !kept(n)).for_each(|n| delete(&store, &keys[n]));
    settle(&store);
    for (n, reader) in (0..).zip(&readers) {
        assert_eq!(all(reader), content(n, 100_000));
    }
    drop(readers);
    settle(&store);
    let after = paths(&store).len();
    assert!(after < before, "{after} of {before} segments are left");
    for n in (0..60).filter(kept) {
        assert_eq!(all(&open(&store, &keys[n])), content(n as u64, 100_000));
    }
    assert_whole(&store, 20);
    (0..60).filter(kept).for_each(|n| delete(&store, &keys[n]));
    store.blobs().0.segments.end_current();
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);
}

#[test]
fn a_full_disk_comes_back_though_every_segment_is_half_alive() {
    let disk = Arc::new(FaultyDisk::new());
    let mut options = options(1);
    options.space_floor_bytes = SEGMENT_BYTES;
    let store = Store::inline(disk.clone(), options).expect("opens");
    disk.set_capacity(Some(30 << 20));
    let attempt = |n: u64| {
        block_on(async {
            let mut writer = store.blobs().writer(None);
            writer.write(&content(n, 100_000)).await?;
            writer.finish().await
        })
    };
    let mut count = 0;
    while let Ok(blob) = attempt(count) {
        put(&store, &count.to_string(), &[&blob]);
        count += 1;
    }
    assert!(count > 100, "{count}");
    (0..count).filter(|n| n % 2 == 0).for_each(|n| delete(&store, &n.to_string()));
    settle(&store);
    let again = (count..).take_while(|n| {
        let blob = attempt(*n);
        blob.as_ref().is_ok_and(|blob| {
            put(&store, &n.to_string(), &[blob]);
            true
        })
    });
    let again = again.count() as u64;
    assert!(again > count / 4, "room for {again} where {count} had been and half of them went");
    for n in (1..count).step_by(2).chain(count..count + again) {
        assert_eq!(all(&open(&store, &n.to_string())), content(n, 100_000));
    }
    assert_whole(&store, count / 2 + again);
}

#[test]
fn small_segments_become_one() {
    let (store, _) = faulty();
    for n in 0..20 {
        put(&store, &n.to_string(), &[&written(&store, &content(n, 20_000), None)]);
        store.blobs().0.segments.end_current();
        settle(&store);
    }
    assert!(paths(&store).len() < 10, "{:?}", paths(&store));
    assert_whole(&store, 20);
}

#[test]
fn a_freeze_stops_removal_and_lists_everything() {
    let (store, disk) = faulty();
    let names = ["row", "segment", "file"];
    for (key, size) in names.into_iter().zip([10, 100_000, 3_000_000]) {
        put(&store, key, &[&written(&store, &content(1, size), None)]);
    }
    let frozen = store.blobs().freeze();
    let files = frozen.files().expect("lists");
    assert_eq!(files.len(), 2);
    names.into_iter().for_each(|key| delete(&store, key));
    settle(&store);
    for file in &files {
        assert!(disk.open(file, crate::disk::OpenMode::Read).is_ok(), "{file}");
    }
    put(&store, "later", &[&written(&store, &content(2, 100_000), None)]);
    assert_eq!(paths(&store).len(), 3, "a listed segment is not appended to");
    drop(frozen);
    settle(&store);
    assert_eq!(paths(&store).len(), 1);
    assert_whole(&store, 1);
}

#[test]
fn many_are_freed_while_some_are_read() {
    let (store, _) = faulty();
    let blobs: Vec<PinnedBlob> =
        (0..200).map(|n| written(&store, &content(n, 20), Some(1 << 30))).collect();
    put(&store, "key", &blobs.iter().collect::<Vec<_>>());
    let readers: Vec<BlobReader> =
        blobs.iter().step_by(50).map(|blob| store.blobs().open_pinned(blob)).collect();
    drop(blobs);
    delete(&store, "key");
    settle(&store);
    assert_eq!(paths(&store).len(), 4);
    for (n, reader) in (0..).step_by(50).zip(&readers) {
        assert_eq!(all(reader), content(n, 20));
    }
    drop(readers);
    settle(&store);
    assert_eq!(paths(&store), [""; 0]);
    assert_whole(&store, 0);
}

#[test]
fn a_real_disk_gives_the_same_bytes_cached_or_not() {
    let root = std::env::temp_dir().join(format!("cumulet-blobs-keeping-{}", std::process::id()));
    let disk = crate::disk::FsDisk::open(&root, "a test").expect("opens");
    let store = Store::inline(Arc::new(disk), options(1)).expect("opens");
    for size in [10, 100_000, 300_000, 3_000_000] {
        put(&store, "key", &[&written(&store, &content(1, size), None)]);
        let reader = open(&store, "key");
        assert_eq!(all(&reader), content(1, size));
        let (from, to) = (size / 3, size / 2);
        let range = from as u64..to as u64;
        assert_eq!(block_on(reader.read(range)).expect("reads"), content(1, size)[from..to]);
        delete(&store, "key");
    }
    settle(&store);
    assert_whole(&store, 0);
    drop(store);
    std::fs::remove_dir_all(&root).expect("removes");
}

#[derive(Debug)]
struct Threads;

impl Blocking for Threads {
    #[allow(clippy::disallowed_methods, reason = "writers must really meet")]
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(job);
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "writers must really meet")]
fn many_threads_write_read_and_delete_at_once() {
    let mut options = options(1);
    options.blocking = Arc::new(Threads);
    let disk = Arc::new(FaultyDisk::new());
    let store = Store::inline(disk, options).expect("opens");
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..12u64 {
                    let size = [100, 30_000, 200_000, 1_500_000][(round % 4) as usize];
                    let (key, bytes) = (format!("{thread}"), content(thread * 100 + round, size));
                    put(store, &key, &[&written(store, &bytes, None)]);
                    assert_eq!(all(&open(store, &key)), bytes);
                    delete(store, &key);
                }
            });
        }
    });
    settle(&store);
    assert_whole(&store, 0);
}

#[test]
fn what_was_cleared_leaves_no_bytes() {
    let (store, disk) = faulty();
    let sizes = [10_000, 40_000, 3 << 20];
    for (n, size) in sizes.into_iter().enumerate() {
        let blob = written(&store, &content(n as u64, size), None);
        put(&store, &n.to_string(), &[&blob]);
    }
    assert_whole(&store, 3);
    let reader = open(&store, "2");
    commit(&store, |tx| {
        tx.clear(None, &[]);
        Ok(())
    });
    settle(&store);
    assert_eq!(all(&reader), content(2, 3 << 20), "whoever reads goes on reading");
    drop(reader);
    settle(&store);
    // The segment that is written now is no leftover.
    drop(store);
    let store = Store::inline(disk, options(2)).expect("opens");
    settle(&store);
    assert_whole(&store, 0);
    assert_eq!(paths(&store), [""; 0]);
}
