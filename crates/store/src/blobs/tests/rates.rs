//! Measures; run by hand: `cargo test -p store --release -- --ignored --nocapture rates`.

use super::*;
use crate::disk::FsDisk;
use std::time::{Duration, Instant};

/// A pool as `cloud` has it.
#[derive(Debug)]
struct Pool(std::sync::mpsc::SyncSender<Box<dyn FnOnce() + Send>>);

impl Pool {
    #[allow(clippy::disallowed_methods, reason = "a real pool")]
    fn new(threads: usize) -> Pool {
        let (send, receive) = std::sync::mpsc::sync_channel::<Box<dyn FnOnce() + Send>>(1024);
        let receive = Arc::new(Mutex::new(receive));
        for _ in 0..threads {
            let receive = Arc::clone(&receive);
            std::thread::spawn(move || {
                loop {
                    let job = receive.lock().recv();
                    match job {
                        Ok(job) => job(),
                        Err(_) => return,
                    }
                }
            });
        }
        Pool(send)
    }
}

impl Blocking for Pool {
    fn run(&self, job: Box<dyn FnOnce() + Send>) {
        let _ = self.0.send(job);
    }
}

#[allow(clippy::disallowed_methods, reason = "a measure")]
fn timed<R>(f: impl FnOnce() -> R) -> (Duration, R) {
    let start = Instant::now();
    let result = f();
    (start.elapsed(), result)
}

/// A put as a service does it: the bytes, then the commit that adopts them.
fn write_all(store: &Store, bytes: &[u8]) -> PinnedBlob {
    let blob = block_on(async {
        let mut writer = store.blobs().writer(Some(bytes.len() as u64));
        for piece in bytes.chunks(64 * 1024) {
            writer.write(piece).await.expect("writes");
        }
        writer.finish().await.expect("finishes")
    });
    block_on(store.write(|tx| tx.adopt_blob(&blob).map(drop))).expect("commits");
    blob
}

#[allow(clippy::disallowed_methods, reason = "a measure")]
fn drive(mut drivers: crate::Drivers) {
    use crate::engine::Step::Worked;
    let mut log = drivers.log;
    std::thread::spawn(move || {
        while log.wait() == crate::Wake::Work {
            while log.step() == Worked {}
        }
    });
    std::thread::spawn(move || {
        while drivers.maintenance.wait() == crate::Wake::Work {
            while drivers.maintenance.step() == Worked {}
        }
    });
}

#[allow(clippy::disallowed_methods, reason = "writers must really meet")]
fn many(store: &Store, root: &std::path::Path, size: usize, count: usize, threads: usize) {
    let bytes = content(1, size);
    let before = store.blobs().counters();
    let (took, blobs) = timed(|| {
        std::thread::scope(|scope| {
            let hands: Vec<_> = (0..threads)
                .map(|_| {
                    let bytes = &bytes;
                    scope.spawn(move || {
                        (0..count / threads).map(|_| write_all(store, bytes)).collect::<Vec<_>>()
                    })
                })
                .collect();
            hands.into_iter().flat_map(|hand| hand.join().expect("ends")).collect::<Vec<_>>()
        })
    });
    let syncs = store.blobs().counters().syncs - before.syncs;
    let mib = (size * count) as f64 / 1048576.0;
    println!(
        "{size:>10} B x {count:>5}, {threads:>2} writers: {:>8.0}/s {:>7.0} MiB/s, {syncs} syncs",
        count as f64 / took.as_secs_f64(),
        mib / took.as_secs_f64()
    );
    let (took, _) = timed(|| {
        std::thread::scope(|scope| {
            for part in blobs.chunks(count / threads) {
                scope.spawn(move || part.iter().for_each(|blob| read_all(store, blob)));
            }
        });
    });
    println!(
        "{:>35} read: {:>8.0}/s {:>7.0} MiB/s",
        "",
        count as f64 / took.as_secs_f64(),
        mib / took.as_secs_f64()
    );
    for blob in blobs {
        block_on(store.write(|tx| tx.release_blob(&blob.reference()))).expect("commits");
        // What the keeper does: it does not run here, so as not to disturb the measure.
        let _ = std::fs::remove_file(root.join("data").join(file::path(blob.id())));
    }
    // The same with plain files, each synced.
    let plain = root.join("plain");
    std::fs::create_dir_all(&plain).expect("makes");
    let (took, _) = timed(|| {
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (bytes, plain) = (&bytes, &plain);
                scope.spawn(move || {
                    for n in 0..count / threads {
                        use std::io::Write;
                        let path = plain.join(format!("{thread}-{n}"));
                        let mut file = std::fs::OpenOptions::new();
                        let mut file = file.write(true).create_new(true).open(path).expect("makes");
                        bytes.chunks(1 << 20).for_each(|c| file.write_all(c).expect("writes"));
                        file.sync_data().expect("syncs");
                    }
                });
            }
        });
    });
    println!(
        "{:>29} plain files: {:>8.0}/s {:>7.0} MiB/s",
        "",
        count as f64 / took.as_secs_f64(),
        mib / took.as_secs_f64()
    );
    std::fs::remove_dir_all(&plain).expect("removes");
}

fn read_all(store: &Store, blob: &PinnedBlob) {
    let mut stream = store.blobs().open_pinned(blob).stream(0..u64::MAX);
    block_on(async {
        while let Some(piece) = stream.next().await {
            std::hint::black_box(piece.expect("reads"));
        }
    });
}

#[test]
#[ignore = "a measure, run by hand"]
fn rates() {
    let root = std::env::temp_dir().join(format!("cumulet-blobs-{}", std::process::id()));
    let disk = FsDisk::open(&root.join("data"), "a measure").expect("opens");
    let mut options = options(1);
    options.blob_segment_bytes = 64 << 20;
    options.blocking = Arc::new(Pool::new(4));
    options.log_segment_bytes = 16 << 20;
    options.log_zero_fill = true;
    let (store, drivers) = Store::open(Arc::new(disk), options).expect("opens");
    drive(drivers);
    for threads in [1, 16] {
        many(&store, &root, 4 << 10, 3200, threads);
        many(&store, &root, 20_000, 3200, threads);
        many(&store, &root, 64 << 10, 3200, threads);
        many(&store, &root, 256 << 10, 800, threads);
        many(&store, &root, 1 << 20, 320, threads);
        many(&store, &root, (1 << 20) + 1, 320, threads);
    }
    for _ in 0..3 {
        many(&store, &root, 100 << 20, 4, 1);
    }
    std::fs::remove_dir_all(&root).expect("removes");
}

#[test]
#[ignore = "a measure, run by hand"]
fn memory() {
    let root = std::env::temp_dir().join(format!("cumulet-blobs-memory-{}", std::process::id()));
    let disk = FsDisk::open(&root.join("data"), "a measure").expect("opens");
    let mut options = options(1);
    options.blocking = Arc::new(Pool::new(4));
    let store = Store::inline(Arc::new(disk), options).expect("opens");
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").expect("reads");
        let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("is there");
        line.to_owned()
    };
    let bytes = content(1, 1 << 20);
    println!("before: {}", peak());
    let (took, blob) = timed(|| {
        block_on(async {
            let mut writer = store.blobs().writer(None);
            for _ in 0..5 << 10 {
                writer.write(&bytes).await.expect("writes");
            }
            writer.finish().await.expect("finishes")
        })
    });
    println!("5 GiB in {took:?}: {}", peak());
    let (took, _) = timed(|| read_all(&store, &blob));
    println!("read in {took:?}: {}", peak());
    drop(blob);
    settle(&store);
    std::fs::remove_dir_all(&root).expect("removes");
}
