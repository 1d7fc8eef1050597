use super::*;
use std::io::Read;

fn read_all(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.content().read_to_end(&mut content)?;
        all.push((entry, content));
    }
    Ok(all)
}

/// What is written is read as it was.
#[track_caller]
fn check(entries: &[(Entry, &[u8])]) {
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in entries {
        writer.entry(entry).unwrap();
        writer.write_content(content).unwrap();
    }
    let bytes = writer.finish().unwrap();
    assert_eq!(bytes.len() % BLOCK, 0);
    let read = read_all(&bytes).unwrap();
    let expected: Vec<_> = entries.iter().map(|(e, c)| (e.clone(), c.to_vec())).collect();
    assert_eq!(read, expected);
}

fn file(path: &str, content: &[u8]) -> Entry {
    let mut entry = Entry::new(path, Kind::File, 0o644);
    entry.size = content.len() as u64;
    entry
}

#[test]
fn all_kinds() {
    let mut link = Entry::new("bin/sh", Kind::Symlink, 0o777);
    link.link = b"busybox".to_vec();
    let mut device = Entry::new("dev/null", Kind::Character, 0o666);
    device.device = (1, 3);
    let folder = Entry::new("bin/", Kind::Folder, 0o755);
    check(&[(folder, b""), (file("bin/busybox", b"abc"), b"abc"), (link, b""), (device, b"")]);
}

#[test]
fn what_needs_extensions() {
    let mut entry = file(&"d/".repeat(150), b"");
    entry.kind = Kind::Folder;
    entry.uid = 3_000_000;
    entry.mtime = Time { seconds: 1_700_000_000, nanoseconds: 5 };
    entry.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, b'\n', 255]);
    let mut old = file("old", b"x");
    old.mtime = Time { seconds: -2, nanoseconds: 250_000_000 };
    let mut link = Entry::new("l", Kind::Symlink, 0o777);
    link.link = vec![b'x'; 300];
    check(&[(entry, b""), (old, b"x"), (link, b"")]);
}

/// The length of a record counts itself, so it jumps where its digits get more.
#[test]
fn records_of_every_length() {
    for length in 80..130 {
        check(&[(file(&"n".repeat(length), b""), b"")]);
    }
}

#[test]
fn large_numbers_of_gnu() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.entry(&file("a", b"")).unwrap();
    writer.finish().unwrap();
    // A size of 2^33 in base 256, with the checksum mended.
    bytes[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    bytes[148..156].fill(b' ');
    let sum: u64 = bytes[..BLOCK].iter().map(|b| u64::from(*b)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let entry = Reader::new(&bytes[..]).next_entry().unwrap().unwrap();
    assert_eq!(entry.size, 2 << 32);
}

#[test]
fn hostile_bytes_are_refused() {
    let mut good = Writer::new(Vec::new());
    good.file("a", 0o644, b"content").unwrap();
    let good = good.finish().unwrap();
    assert_eq!(read_all(&good).unwrap().len(), 1);
    for length in [1, 511, 513, 520] {
        assert!(read_all(&good[..length]).is_err(), "{length}");
    }
    let mut bad_sum = good.clone();
    bad_sum[0] ^= 1;
    assert!(matches!(read_all(&bad_sum), Err(TarError::Malformed(_))));
    assert!(read_all(&[b'x'; 2048]).is_err());
    assert_eq!(read_all(&[]).unwrap().len(), 0);
}

#[test]
fn a_short_fuzz() {
    let mut seed = Writer::new(Vec::new());
    let mut entry = file(&"n".repeat(120), b"some content");
    entry.xattrs.insert(b"user.a".to_vec(), b"b".to_vec());
    seed.entry(&entry).unwrap();
    seed.write_content(b"some content").unwrap();
    let seed = seed.finish().unwrap();
    let mut state = 1u64;
    for _ in 0..20_000 {
        let mut bytes = seed.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 20) as u8;
        }
        bytes.truncate(((state >> 40) as usize % seed.len()).max(1));
        // With the checksum right, so that more than it is tried.
        if bytes.len() >= BLOCK {
            bytes[148..156].fill(b' ');
            let sum: u64 = bytes[..BLOCK].iter().map(|b| u64::from(*b)).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        crate::fuzz::tar(&bytes);
        crate::fuzz::reference(&bytes[..bytes.len().min(40)]);
        crate::fuzz::config(&bytes);
    }
}
