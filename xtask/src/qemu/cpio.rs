//! An archive that a kernel unpacks as its first file system: cpio in its "newc" form, which is a head of
//! hexadecimal numbers, a name and the content, each filled up to four bytes.

use std::collections::BTreeSet;

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const LAST: &str = "TRAILER!!!";

/// Folders above what is added come by themselves; everything is root's.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    count: u32,
}

impl Archive {
    pub fn folder(&mut self, path: &str) {
        self.above(path);
        if self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER | 0o755, (0, 0), &[]);
        }
    }

    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.above(path);
        self.entry(path, FILE | mode, (0, 0), content);
    }

    pub fn link(&mut self, path: &str, to: &str) {
        self.above(path);
        self.entry(path, LINK | 0o777, (0, 0), to.as_bytes());
    }

    pub fn character_device(&mut self, path: &str, major: u32, minor: u32) {
        self.above(path);
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.entry(LAST, 0, (0, 0), &[]);
        self.bytes
    }

    fn above(&mut self, path: &str) {
        if let Some((above, _)) = path.rsplit_once('/') {
            self.folder(above);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.count += 1;
        let (name, size) = (path.len() as u32 + 1, content.len() as u32);
        // Number, mode, user, group, links, time, size, the device that it is on and that it is, name, sum.
        let fields = [self.count, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.fill();
        self.bytes.extend_from_slice(content);
        self.fill();
    }

    fn fill(&mut self) {
        let whole = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(whole, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run;

    /// Read by somebody else's program.
    #[test]
    fn busybox_unpacks_it() {
        if !run::exists("busybox") {
            eprintln!("skipped: there is no busybox");
            return;
        }
        let folder = std::env::temp_dir().join(format!("cumulet-cpio-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut archive = Archive::default();
        archive.file("a/b/odd", 0o755, b"seven b");
        archive.file("a/empty", 0o600, b"");
        archive.link("a/link", "b/odd");
        archive.folder("proc");
        let from = folder.join("archive");
        std::fs::write(&from, archive.finish()).expect("written");
        let words = ["cpio", "-i", "-F", &from.to_string_lossy()];
        let unpacked = run::must(&folder, "busybox", &words);
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
        let found = (unpacked.is_ok(), read("a/b/odd"), read("a/empty"), read("a/link"));
        let is_folder = folder.join("proc").is_dir();
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(found, (true, "seven b".to_owned(), String::new(), "seven b".to_owned()));
        assert!(is_folder);
    }

    #[test]
    fn every_entry_begins_at_four_bytes() {
        let mut archive = Archive::default();
        archive.character_device("dev/console", 5, 1);
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).expect("text");
        let heads: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(heads.len(), 3, "dev, dev/console and the end");
        assert!(heads.iter().all(|at| at % 4 == 0), "{heads:?}");
        assert!(text.contains("0000000500000001"), "major and minor");
    }
}
