//! What the fuzz target runs, and a unit test from a fixed seed: a data folder in which any bytes are not
//! what they were. It opens or it is refused, and a look at everything finds what it finds.

use crate::blobs::{BlobRef, block_on};
use crate::disk::{Disk, MemDisk, OpenMode};
use crate::{Index, Scope, Store, StoreError, StoreOptions, Table, lsm};
use base::{ManualClock, SeededEntropy, Timestamp};
use std::sync::Arc;

crate::row! {
    struct FuzzRow {
        1 => name: String,
        2 => blob: Option<BlobRef>,
    }
}

const ROWS: Table<u64, FuzzRow> = Table::new(0x01f0, "fuzz.row");

fn options() -> StoreOptions {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
    StoreOptions {
        log_segment_bytes: 24 << 10,
        log_zero_fill: false,
        blob_segment_bytes: 64 << 10,
        space_floor_bytes: 0,
        hot_bytes: 64 << 10,
        index: Index::Tree(lsm::Options {
            memtable_bytes: 4 << 10,
            table_bytes: 4 << 10,
            block_bytes: 1 << 10,
            recent_tables: 2,
            level_bytes: 16 << 10,
            level_ratio: 4,
            ..lsm::Options::default()
        }),
        ..StoreOptions::new(clock, Arc::new(SeededEntropy::new(1)))
    }
}

/// The files of a whole folder.
#[derive(Debug)]
pub struct Folder(Vec<(String, Vec<u8>)>);

impl Default for Folder {
    /// One with a log, tables, and blobs of every size.
    fn default() -> Folder {
        let disk = Arc::new(MemDisk::new());
        let store = Store::inline(disk.clone(), options()).expect("memory does not fail");
        for n in 0..60u64 {
            let size = [10, 3_000, 20_000, 200_000][(n % 4) as usize];
            let blob = block_on(async {
                let mut writer = store.blobs().writer(None);
                writer.write(&vec![n as u8; size]).await?;
                writer.finish().await
            });
            let blob = blob.expect("memory does not fail");
            let commit = store.write(|tx| {
                let blob = Some(tx.adopt_blob(&blob)?);
                let row = FuzzRow { name: format!("row {n}").repeat(20), blob };
                tx.put(&ROWS, &Scope::Global, &(n % 40), &row)
            });
            block_on(commit).unwrap_or_else(|error: StoreError| panic!("{error}"));
        }
        drop(store);
        let mut files = Vec::new();
        collect(&disk, "", &mut files);
        Folder(files)
    }
}

fn collect(disk: &MemDisk, folder: &str, files: &mut Vec<(String, Vec<u8>)>) {
    for name in disk.list(folder).expect("memory does not fail") {
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        match disk.open(&path, OpenMode::Read) {
            Ok(file) => {
                let mut bytes = vec![0; file.len().expect("memory does not fail") as usize];
                file.read_exact_at(&mut bytes, 0).expect("memory does not fail");
                files.push((path, bytes));
            }
            Err(_) => collect(disk, &path, files),
        }
    }
}

/// Five bytes a change: which file, where in it (two), what is done, and with which byte.
pub fn fuzz_folder(folder: &Folder, data: &[u8]) {
    let mut files = folder.0.clone();
    for change in data.chunks_exact(5).take(64) {
        let which = usize::from(change[0]) % files.len();
        let (_, bytes) = &mut files[which];
        let share = usize::from(u16::from_be_bytes([change[1], change[2]]));
        let at = bytes.len() * share / 65_536;
        match change[3] % 5 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), change[4]),
            2 => drop(files.remove(which)),
            _ => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= change[4]),
        }
        if files.is_empty() {
            return;
        }
    }
    let disk = Arc::new(MemDisk::new());
    for (path, bytes) in &files {
        let _ = path.rsplit_once('/').map(|(above, _)| disk.create_dir(above));
        let file = disk.open(path, OpenMode::CreateNew).expect("a new name");
        file.write_all_at(bytes, 0).expect("memory does not fail");
    }
    let Ok(store) = Store::inline(disk, options()) else { return };
    let _ = store.check();
    store.read(|tx| {
        for (_, row) in tx.scan(&ROWS, &Scope::Global).map_while(Result::ok) {
            if let Some(reader) = row.blob.and_then(|blob| store.blobs().open(tx, &blob).ok()) {
                let _ = block_on(reader.read(0..u64::MAX));
            }
        }
    });
    let row = FuzzRow { name: "new".into(), blob: None };
    let _ = store.write(|tx| tx.put(&ROWS, &Scope::Global, &1000, &row)).now();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_noise() {
        let folder = Folder::default();
        assert!(folder.0.len() > 5, "{:?}", folder.0.iter().map(|(path, _)| path));
        fuzz_folder(&folder, b"");
        let chance = SeededEntropy::new(5);
        let mut data = [0; 20];
        for round in 0..60 {
            base::Entropy::fill(&chance, &mut data);
            fuzz_folder(&folder, &data[..(round % 4 + 1) * 5]);
        }
    }
}
