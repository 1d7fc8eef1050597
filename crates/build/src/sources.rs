//! What `COPY` and `ADD` copy: found, and named by its content, before anything is changed.

use crate::Download;
use crate::context::{Context, clean};
use crate::tree;
use dockerfile::{Ignore, Pattern};
use engine::Error;
use engine::image::open_beneath;
use oci::digest::Hasher;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, OFlags, Stat, statat};
use rustix::io::Errno;
use std::io::{Seek, SeekFrom};
use std::sync::Arc;

/// Files that one pattern finds, at most.
const MATCHES_MAX: usize = 100_000;

/// Where paths are looked up.
#[derive(Clone, Debug)]
pub enum Root {
    Context(Arc<Context>),
    /// Another image's, or another stage's.
    Image(Arc<OwnedFd>),
}

impl Root {
    pub fn folder(&self) -> &OwnedFd {
        match self {
            Root::Context(context) => &context.root,
            Root::Image(root) => root,
        }
    }
}

/// One thing to copy.
#[derive(Debug)]
pub enum Source {
    /// Without links on the way or at its end.
    Path {
        path: String,
        name: String,
        is_folder: bool,
    },
    Text {
        name: String,
        content: String,
    },
    Download {
        name: String,
        download: Download,
    },
}

/// All that one instruction copies.
#[derive(Debug)]
pub struct Sources {
    pub root: Root,
    pub all: Vec<Source>,
    pub exclude: Ignore,
    /// Whose they are is part of what they are.
    pub keep_owners: bool,
}

impl Sources {
    /// Finds what a word names in the root. Blocks.
    pub fn find(&mut self, keyword: &str, word: &str) -> Result<(), Error> {
        let failed = |text: String| Error::failed(format!("{keyword} failed: {text}"));
        let Some(path) = clean(word) else {
            return Err(failed(format!("forbidden path outside the build context: {word} ()")));
        };
        if !word.contains(['*', '?', '[']) {
            return self.find_one(keyword, word, &path);
        }
        let pattern = Pattern::parse(&path, false)
            .ok_or_else(|| failed("syntax error in pattern".to_owned()))?;
        let mut paths = Vec::new();
        let depth = path.split('/').count();
        tree::walk(self.root.folder(), &mut |found| {
            let fits = pattern.matches(found.path);
            if fits && paths.len() == MATCHES_MAX {
                return Err(failed("too many files match".to_owned()));
            }
            if fits {
                paths.push(found.path.to_owned());
            }
            // Stars do not cross slashes, so nothing deeper can match.
            Ok(!fits && found.path.split('/').count() < depth)
        })?;
        if paths.is_empty() {
            return Err(failed(format!("no source files were specified: {word}")));
        }
        for path in paths {
            self.find_one(keyword, word, &path)?;
        }
        Ok(())
    }

    fn find_one(&mut self, keyword: &str, word: &str, path: &str) -> Result<(), Error> {
        let opened = open_beneath(self.root.folder(), &format!("/{path}"), OFlags::PATH);
        let stat = opened.and_then(|fd| statat(&fd, "", AtFlags::EMPTY_PATH));
        let stat = match (stat, &self.root) {
            (Ok(stat), _) => stat,
            (Err(Errno::NOENT | Errno::NOTDIR), Root::Context(_)) => {
                return Err(Error::failed(format!(
                    "{keyword} failed: file not found in build context or excluded by \
                     .dockerignore: stat {word}: file does not exist"
                )));
            }
            (Err(Errno::NOENT | Errno::NOTDIR), Root::Image(_)) => {
                return Err(Error::failed(format!(
                    "{keyword} failed: stat {word}: file does not exist"
                )));
            }
            (Err(error), _) => {
                return Err(Error::failed(format!("{keyword} failed: {word}: {error}")));
            }
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_dir() && !kind.is_file() {
            return Err(Error::failed(format!("{keyword} failed: {word} is no file or folder")));
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        let path = format!("/{path}");
        self.all.push(Source::Path { path, name, is_folder: kind.is_dir() });
        Ok(())
    }

    /// What stands for the sources in the history: of which kind, and the digest of their contents.
    /// Blocks.
    pub fn hash(&mut self) -> Result<String, Error> {
        let mut hashes = Vec::new();
        for at in 0..self.all.len() {
            hashes.push(self.hash_one(at)?);
        }
        match hashes.as_slice() {
            [one] => Ok(one.clone()),
            many => Ok(format!("multi:{}", oci::Digest::of(many.join(",").as_bytes()).hex())),
        }
    }

    fn hash_one(&mut self, at: usize) -> Result<String, Error> {
        let mut hasher = Hasher::default();
        let keep_owners = self.keep_owners;
        let owner = move |stat: &Stat, hasher: &mut Hasher| {
            if keep_owners {
                hasher.update(format!("{}:{}\0", stat.st_uid, stat.st_gid).as_bytes());
            }
        };
        let kind = match &mut self.all[at] {
            Source::Path { path, is_folder: true, .. } => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let folder = open_beneath(self.root.folder(), path, flags)?;
                owner(&rustix::fs::fstat(&folder)?, &mut hasher);
                let exclude = &self.exclude;
                tree::walk(&folder, &mut |found| {
                    let is_out = exclude.is_out(found.path);
                    if !is_out {
                        owner(&found.stat, &mut hasher);
                        tree::hash(found, found.path, &mut hasher)?;
                    }
                    Ok(!is_out || exclude.takes_back())
                })?;
                "dir"
            }
            Source::Path { path, name, .. } => {
                let file = open_beneath(self.root.folder(), path, OFlags::RDONLY)?;
                let stat = rustix::fs::fstat(&file)?;
                let head = format!("{name}\0{:o}\0{}\0", stat.st_mode, stat.st_size);
                hasher.update(head.as_bytes());
                owner(&stat, &mut hasher);
                tree::hash_content(&mut std::fs::File::from(file), &mut hasher)?;
                "file"
            }
            Source::Text { name, content } => {
                hasher.update(format!("{name}\0").as_bytes());
                hasher.update(content.as_bytes());
                "file"
            }
            Source::Download { name, download } => {
                hasher.update(format!("{name}\0").as_bytes());
                download.file.seek(SeekFrom::Start(0))?;
                tree::hash_content(&mut download.file, &mut hasher)?;
                "file"
            }
        };
        Ok(format!("{kind}:{}", hasher.finish().hex()))
    }
}
