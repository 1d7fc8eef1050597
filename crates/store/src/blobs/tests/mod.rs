mod crashes;
mod faults;
mod golden;
mod keeping;
mod rates;

use super::*;
use crate::disk::FaultyDisk;
use crate::{Scope, Store, StoreOptions, Table};
use base::{ManualClock, SeededEntropy, Timestamp};

crate::row! {
    pub struct ObjectRow {
        1 => blobs: Vec<BlobRef>,
    }
}

const OBJECTS: Table<String, ObjectRow> = Table::new(0x0101, "test.object");

fn memory() -> Store {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    Store::memory(clock, Arc::new(SeededEntropy::new(1)))
}

const SEGMENT_BYTES: u64 = 2 << 20;

fn options(seed: u64) -> StoreOptions {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    let mut options = StoreOptions::new(clock, Arc::new(SeededEntropy::new(seed)));
    options.blob_segment_bytes = SEGMENT_BYTES;
    options.log_segment_bytes = 1 << 20;
    options.log_zero_fill = false;
    options.space_floor_bytes = 0;
    options
}

fn faulty() -> (Store, Arc<FaultyDisk>) {
    let disk = Arc::new(FaultyDisk::new());
    let store = Store::inline(disk.clone(), options(1)).expect("opens");
    (store, disk)
}

/// Has the drivers do all that there is to do.
fn settle(store: &Store) {
    commit(store, |_| Ok(()));
}

/// Files and segments on the disk.
fn paths(store: &Store) -> Vec<String> {
    let disk = &store.blobs().0.disk;
    let list = |path: &str| disk.list(path).expect("lists");
    let mut paths: Vec<String> = list(segment::FOLDER);
    for folder in list(file::FOLDER) {
        paths.extend(list(&format!("{}/{folder}", file::FOLDER)));
    }
    paths
}

fn assert_whole(store: &Store, blobs: u64) {
    let found = store.blobs().check(store).expect("checks");
    assert_eq!((found.blobs, &*found.problems, &*found.leftovers), (blobs, &[][..], &[][..]));
}

fn delete(store: &Store, key: &str) {
    commit(store, |tx| {
        let row = tx.get(&OBJECTS, &Scope::Global, key)?.expect("is there");
        tx.delete(&OBJECTS, &Scope::Global, key)?;
        tx.mark_freeing();
        row.blobs.iter().try_for_each(|blob| tx.release_blob(blob))
    });
}

fn content(seed: u64, size: usize) -> Vec<u8> {
    // Chance for a block, then the block again with its number: quick, and no two chunks are equal.
    let mut block = [0; 4096];
    SeededEntropy::new(seed).fill(&mut block);
    let mut out = Vec::with_capacity(size + block.len());
    for number in 0..size.div_ceil(block.len()) as u64 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&block);
    }
    out.truncate(size);
    out
}

fn written(store: &Store, bytes: &[u8], hint: Option<u64>) -> PinnedBlob {
    block_on(async {
        let mut writer = store.blobs().writer(hint);
        for piece in bytes.chunks(50_000) {
            writer.write(piece).await.expect("writes");
        }
        writer.finish().await.expect("finishes")
    })
}

fn commit<R>(store: &Store, f: impl FnMut(&mut Tx) -> Result<R, StoreError>) -> R {
    store.write(f).now().expect("driven inline").expect("commits")
}

fn put(store: &Store, key: &str, blobs: &[&PinnedBlob]) {
    commit(store, |tx| {
        let blobs = blobs.iter().map(|blob| tx.adopt_blob(blob)).collect::<Result<_, _>>()?;
        tx.put(&OBJECTS, &Scope::Global, key, &ObjectRow { blobs })
    });
}

fn open(store: &Store, key: &str) -> BlobReader {
    store.read(|tx| {
        let row = tx.get(&OBJECTS, &Scope::Global, key).expect("reads").expect("is there");
        store.blobs().open_all(tx, &row.blobs).expect("opens")
    })
}

fn all(reader: &BlobReader) -> Bytes {
    block_on(reader.read(0..u64::MAX)).expect("reads")
}

#[test]
fn every_size_comes_back_whole_and_in_ranges() {
    let store = memory();
    let (row, segment, mib) = (ROW_BLOB_BYTES_MAX, SEGMENT_BLOB_BYTES_MAX, 1 << 20);
    let sizes = [0, 1, row - 1, row, row + 1, 65_536, 100_000, segment, segment + 1, 5 * mib + 7];
    for (n, size) in sizes.into_iter().enumerate() {
        let bytes = content(n as u64, size);
        for hint in [None, Some(size as u64), Some(0), Some(1 << 40)] {
            let blob = written(&store, &bytes, hint);
            assert_eq!(blob.size_bytes(), size as u64);
            assert_eq!(all(&store.blobs().open_pinned(&blob)), bytes, "{size} {hint:?}");
            put(&store, "key", &[&blob]);
            drop(blob);
            let reader = open(&store, "key");
            assert_eq!(all(&reader), bytes, "{size} {hint:?}");
            let near = |at: u64| [at.saturating_sub(1), at, at + 1];
            for from in [0, 65_536, 262_144, 1_000_000].into_iter().flat_map(near) {
                for to in [from, from + 1, from + 300_000, size as u64].into_iter() {
                    let got = block_on(reader.read(from..to)).expect("reads");
                    let end = (to as usize).min(size);
                    assert_eq!(got, bytes[(from as usize).min(end)..end], "{size} {from}..{to}");
                }
            }
        }
    }
}

#[test]
fn several_blobs_read_as_one() {
    let store = memory();
    let sizes = [0, 5, 400_000, 0, 2_000_000, 20_000, 0];
    let parts: Vec<Vec<u8>> = (0..).zip(sizes).map(|(n, size)| content(n, size)).collect();
    let blobs: Vec<PinnedBlob> = parts.iter().map(|bytes| written(&store, bytes, None)).collect();
    put(&store, "key", &blobs.iter().collect::<Vec<_>>());
    let whole = parts.concat();
    let reader = open(&store, "key");
    assert_eq!(reader.size_bytes(), whole.len() as u64);
    assert_eq!(all(&reader), whole);
    for (from, to) in [(0, 6), (4, 5), (5, 6), (399_999, 400_010), (400_005, 2_400_006)] {
        let got = block_on(reader.read(from..to)).expect("reads");
        assert_eq!(got, whole[from as usize..to as usize], "{from}..{to}");
    }
}

#[test]
fn what_is_short_stands_in_the_reference_and_is_not_counted() {
    let store = memory();
    for size in [0, 1, INLINE_BLOB_BYTES_MAX, INLINE_BLOB_BYTES_MAX + 1] {
        let bytes = content(1, size);
        for blob in
            [written(&store, &bytes, None), store.blobs().small(bytes.clone().into()).unwrap()]
        {
            let mut reference = None;
            commit(&store, |tx| {
                reference = Some(tx.adopt_blob(&blob)?);
                Ok(())
            });
            let reference = reference.unwrap();
            assert_eq!(reference.content.is_some(), size <= INLINE_BLOB_BYTES_MAX, "{size}");
            let rows = store.read(|tx| tx.scan(&rows::BLOBS, &rows::SCOPE).count());
            assert_eq!(rows, usize::from(size > INLINE_BLOB_BYTES_MAX), "{size}");
            commit(&store, |tx| tx.retain_blob(&reference));
            let reader = store.read(|tx| store.blobs().open(tx, &reference)).unwrap();
            assert_eq!(all(&reader), bytes);
            commit(&store, |tx| tx.release_blob(&reference));
            commit(&store, |tx| tx.release_blob(&reference));
        }
    }
}

#[test]
fn references_are_counted() {
    let store = memory();
    for size in [10_000, 100_000, 2_000_000] {
        let blob = written(&store, &content(1, size), None);
        put(&store, "a", &[&blob]);
        let reference = blob.reference();
        commit(&store, |tx| tx.retain_blob(&reference));
        commit(&store, |tx| tx.release_blob(&reference));
        store.read(|tx| store.blobs().open(tx, &reference)).expect("one is left");
        commit(&store, |tx| tx.release_blob(&reference));
        store.read(|tx| store.blobs().open(tx, &reference)).expect_err("none is left");
        let again = store.write(|tx| tx.release_blob(&reference)).now().expect("inline");
        assert!(again.is_err(), "{again:?}");
        let again = store.write(|tx| tx.adopt_blob(&blob)).now().expect("inline");
        // What stands in a row or a segment is there as long as it is pinned.
        assert_eq!(again.is_ok(), size <= SEGMENT_BLOB_BYTES_MAX, "{again:?}");
        drop(blob);
        settle(&store);
        let found = store.blobs().check(&store).expect("checks");
        assert_eq!(found.problems, [""; 0], "{size}");
    }
}
