//! What has been copied, a line each, so that an import goes on where it was broken off.
//!
//! A line is written before a version is put (`+`), since the end may come between the put and the word
//! that it was done, and one after it (`=`). Lines are flushed, not synced: what a power cut takes is
//! settled like an end between the two, by looking at what the target has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    done: BTreeSet<(String, String, String)>,
    /// Begun, and not known to be done.
    open: BTreeMap<(String, String), String>,
}

fn encode(text: &str) -> String {
    base::percent::encode(text.as_bytes())
}

fn decode(text: &str) -> String {
    String::from_utf8_lossy(&base::percent::decode(text)).into_owned()
}

impl Journal {
    /// Opens the journal, or begins one.
    #[allow(clippy::disallowed_methods, reason = "a paper of this command's own")]
    pub fn open(path: &Path) -> io::Result<Journal> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        let (mut done, mut open) = (BTreeSet::new(), BTreeMap::new());
        for line in text.lines() {
            let mut words = line.split(' ');
            let (mark, words) = (words.next(), words.map(decode).collect::<Vec<_>>());
            let [bucket, key, id] = &words[..] else { continue };
            let name = (bucket.clone(), key.clone());
            match mark {
                Some("+") => {
                    open.insert(name, id.clone());
                }
                Some("=") => {
                    open.remove(&name);
                    done.insert((bucket.clone(), key.clone(), id.clone()));
                }
                _ => {}
            }
        }
        Ok(Journal { file, path: path.to_owned(), done, open })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_done(&self, bucket: &str, key: &str, id: &str) -> bool {
        self.done.contains(&(bucket.to_owned(), key.to_owned(), id.to_owned()))
    }

    /// Whether this version was begun in an earlier life that did not say how it ended.
    pub fn is_open(&self, bucket: &str, key: &str, id: &str) -> bool {
        self.open.get(&(bucket.to_owned(), key.to_owned())).is_some_and(|begun| begun == id)
    }

    pub fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    pub fn begin(&mut self, bucket: &str, key: &str, id: &str) -> io::Result<()> {
        self.line('+', bucket, key, id)
    }

    pub fn finish(&mut self, bucket: &str, key: &str, id: &str) -> io::Result<()> {
        self.line('=', bucket, key, id)
    }

    fn line(&mut self, mark: char, bucket: &str, key: &str, id: &str) -> io::Result<()> {
        let line = format!("{mark} {} {} {}\n", encode(bucket), encode(key), encode(id));
        self.file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a file of the test's own")]
    fn what_was_done_is_known_again() {
        let name = format!("cumulet-journal-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let mut first = Journal::open(&path).unwrap();
        assert!(first.is_empty());
        first.begin("b", "a b\n", "v1").unwrap();
        first.finish("b", "a b\n", "v1").unwrap();
        first.begin("b", "a b\n", "v2").unwrap();
        drop(first);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"= b a%20b").unwrap();
        let second = Journal::open(&path).unwrap();
        assert!(second.is_done("b", "a b\n", "v1") && !second.is_done("b", "a b\n", "v2"));
        assert!(second.is_open("b", "a b\n", "v2") && !second.is_open("b", "a b\n", "v1"));
        std::fs::remove_file(&path).unwrap();
    }
}
