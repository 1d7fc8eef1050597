//! A data folder of each format that was ever released, kept in `fixtures/`, is opened by this build.
//!
//! When the format changes, `cargo test -p store -- --ignored make_the_fixture` makes the new folder;
//! the old ones stay as they are.

use super::basics::{THINGS, ThingRow};
use super::model;
use crate::blobs::{BlobRef, block_on};
use crate::disk::{Disk, FsDisk, MemDisk, OpenMode};
use crate::engine::Step;
use crate::{Drivers, JobKind, Jobs, Scope, Store, StoreError, Table};
use base::{AccountId, Region};
use std::path::PathBuf;
use std::sync::Arc;

crate::row! {
    struct OwnerRow {
        1 => blob: BlobRef,
    }
}

const OWNERS: Table<u64, OwnerRow> = Table::new(0x0109, "test.owner");
const JOB: JobKind<String> = JobKind::new(0x0101, "test.job");
/// Of blobs; the last not in the first two formats.
const SIZES: [usize; 4] = [10, 20_000, 1_100_000, 10_000];

fn folder(format: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/format-{format}"))
}

fn scopes() -> [Scope; 4] {
    let id = AccountId::parse("123456789012").unwrap();
    let here = Scope::AccountRegion(id, Region::us_east_1());
    [Scope::Global, Scope::Account(id), here, Scope::Host]
}

fn thing(n: u64) -> ThingRow {
    ThingRow { name: format!("thing {n}"), size: n }
}

fn fill(store: &Store, drivers: &mut Drivers) {
    let mut run = |commit: crate::Commit<(), StoreError>| {
        drivers.run();
        commit.now().unwrap().unwrap();
    };
    for n in 0..120u64 {
        run(store.write(|tx| {
            let key = ("k", (n % 100).to_string());
            scopes().iter().try_for_each(|scope| tx.put(&THINGS, scope, &key, &thing(n)))
        }));
    }
    run(store.write(|tx| tx.delete(&THINGS, &Scope::Global, &("k", "7"))));
    let long = ThingRow { name: "long ".repeat(50_000), size: 0 };
    run(store.write(|tx| tx.put(&THINGS, &Scope::Host, &("long", ""), &long)));
    for (size, n) in SIZES.into_iter().zip(0..) {
        let blob = block_on(async {
            let mut writer = store.blobs().writer(None);
            writer.write(&vec![n as u8; size]).await.unwrap();
            writer.finish().await.unwrap()
        });
        run(store.write(|tx| {
            let blob = tx.adopt_blob(&blob)?;
            tx.put(&OWNERS, &Scope::Global, &n, &OwnerRow { blob })
        }));
    }
    run(store.write(|tx| tx.enqueue(&JOB, "job")));
    // In the log alone.
    let last = store.write(|tx| tx.put(&THINGS, &Scope::Global, &("last", ""), &thing(1)));
    while drivers.log.step() == Step::Worked {}
    last.now().unwrap().unwrap_or_else(|error: StoreError| panic!("{error}"));
}

fn check(store: &Store, format: u32) {
    let sizes = if format < 3 { &SIZES[..3] } else { &SIZES[..] };
    let found = store.check().unwrap();
    // Since the third format the first one stands in its owner's row.
    assert_eq!((found.blobs, found.problems), (3, vec![]));
    store.read(|tx| {
        for scope in scopes() {
            let get = |key: &str| tx.get(&THINGS, &scope, &("k", key)).unwrap();
            assert_eq!((get("5"), get("50")), (Some(thing(105)), Some(thing(50))));
            assert_eq!(get("7"), (scope != Scope::Global).then(|| thing(107)));
        }
        let long = tx.get(&THINGS, &Scope::Host, &("long", "")).unwrap().unwrap();
        assert_eq!(long.name.len(), 250_000);
        assert_eq!(tx.get(&THINGS, &Scope::Global, &("last", "")).unwrap(), Some(thing(1)));
        for (&size, n) in sizes.iter().zip(0..) {
            let row = tx.get(&OWNERS, &Scope::Global, &n).unwrap().unwrap();
            let reader = store.blobs().open(tx, &row.blob).unwrap();
            assert_eq!(block_on(reader.read(0..u64::MAX)).unwrap(), vec![n as u8; size]);
        }
        let jobs = Jobs::new(store.clone()).list(tx, 10).unwrap();
        assert_eq!((jobs.len(), jobs[0].kind.as_str()), (1, "kind 0x0101"));
    });
    let written = store.write(|tx| tx.put(&THINGS, &Scope::Global, &("new", ""), &thing(2)));
    written.now().unwrap().unwrap_or_else(|error: StoreError| panic!("{error}"));
}

fn copy(from: &Arc<dyn Disk>, to: &dyn Disk, folder: &str) {
    for name in from.list(folder).unwrap() {
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        match from.open(&path, OpenMode::Read).and_then(|file| file.read_exact_at(&mut [], 0)) {
            Ok(()) if from.list(&path).is_err() => to.link_from(from, &path, &path).unwrap(),
            _ => {
                to.create_dir(&path).unwrap();
                copy(from, to, &path);
            }
        }
    }
}

#[test]
fn every_format_opens() {
    for format in 1..=crate::format::FORMAT {
        let disk = Arc::new(MemDisk::new());
        let fixture: Arc<dyn Disk> = Arc::new(FsDisk::open_to_read(&folder(format)).unwrap());
        copy(&fixture, &*disk, "");
        for _ in 0..2 {
            check(&Store::inline(disk.clone(), model::options(2)).unwrap(), format);
        }
        let found = crate::format::read(&*disk).unwrap();
        assert_eq!(found, Some(crate::format::FORMAT), "older builds keep away from it now");
    }
}

#[test]
#[ignore = "makes the fixture of the present format"]
fn make_the_fixture() {
    let folder = folder(crate::format::FORMAT);
    let disk = Arc::new(FsDisk::open(&folder, "").unwrap());
    let mut options = model::options(1);
    options.log_segment_bytes = 300 << 10;
    options.space_floor_bytes = 0;
    let (store, mut drivers) = Store::open(disk, options).unwrap();
    fill(&store, &mut drivers);
    std::fs::remove_file(folder.join("lock")).unwrap();
}
