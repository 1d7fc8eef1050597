//! Reading the log of a container, and following it.

use crate::container::{Container, WaitFor};
use crate::engine::Engine;
use crate::error::{Error, Kind};
use crate::first::{First, first};
use crate::time;
use rustix::fd::OwnedFd;
use rustix::fs::inotify;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::mem::MaybeUninit;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

/// Lines that wait for a slow reader.
const AHEAD: usize = 256;
const ROTATED_MAX: u32 = 1000;

#[derive(Clone, Debug)]
pub struct Options {
    pub stdout: bool,
    pub stderr: bool,
    pub follow: bool,
    pub since_ns: Option<i64>,
    pub until_ns: Option<i64>,
    /// `None` is all.
    pub tail: Option<usize>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// 1 or 2.
    pub stream: u8,
    pub at_ns: i64,
    pub text: String,
}

/// One document of the log.
#[derive(serde::Deserialize)]
struct Entry {
    log: String,
    stream: String,
    time: String,
}

fn parse(line: &str) -> Option<Line> {
    let Entry { log, stream, time } = serde_json::from_str(line).ok()?;
    let stream = if stream == "stderr" { 2 } else { 1 };
    Some(Line { stream, at_ns: time::parse_rfc3339(&time)?, text: log })
}

/// For the fuzzer.
pub fn fuzz(line: &str) {
    let _ = parse(line);
}

impl Options {
    fn wants(&self, line: &Line) -> bool {
        let stream = if line.stream == 1 { self.stdout } else { self.stderr };
        stream
            && self.since_ns.is_none_or(|since| line.at_ns >= since)
            && self.until_ns.is_none_or(|until| line.at_ns <= until)
    }

    fn is_past(&self, line: &Line) -> bool {
        self.until_ns.is_some_and(|until| line.at_ns > until)
    }
}

impl Engine {
    /// Lines as they come; it is over when the channel closes.
    pub fn logs(
        &self,
        container: &Arc<Container>,
        options: Options,
    ) -> Result<mpsc::Receiver<Line>, Error> {
        if container.state().host.log_config.kind == "none" {
            return Err(Error::new(
                Kind::NotDone,
                "configured logging driver does not support reading",
            ));
        }
        let path = self.log_path(container);
        let (lines, received) = mpsc::channel(AHEAD);
        let container = container.clone();
        crate::engine::task(async move {
            // Whoever asked is gone, or the log is: either way there is no more to say.
            let _ = read(&path, &container, &options, &lines).await;
        });
        Ok(received)
    }
}

async fn read(
    path: &Path,
    container: &Container,
    options: &Options,
    to: &mpsc::Sender<Line>,
) -> Result<(), Error> {
    // Before the first look, so that nothing falls in between.
    let changes = if options.follow { Some(watch(path)?) } else { None };
    let (lines, mut tail) = {
        let (path, options) = (path.to_owned(), options.clone());
        crate::engine::blocking(move || past(&path, &options)).await?
    };
    let gone = |_| Error::failed("nobody reads the log any more");
    for line in lines {
        to.send(line).await.map_err(gone)?;
    }
    let Some(changes) = changes else { return Ok(()) };
    loop {
        // A container that waits to be started again goes on.
        let running = container.is_running();
        for line in tail.read_more()? {
            if options.is_past(&line) {
                return Ok(());
            }
            if options.wants(&line) {
                to.send(line).await.map_err(gone)?;
            }
        }
        if !running {
            return Ok(());
        }
        // Its last words are in the log when it has ended.
        let more = first(wait_for_change(&changes), container.wait(WaitFor::NotRunning));
        match first(more, to.closed()).await {
            First::Left(First::Left(changed)) => changed?,
            First::Left(First::Right(_)) => {}
            First::Right(()) => return Ok(()),
        }
    }
}

fn watch(path: &Path) -> Result<AsyncFd<OwnedFd>, Error> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let fd = inotify::init(flags)?;
    let folder = path.parent().unwrap_or(path);
    let events =
        inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_FROM;
    inotify::add_watch(&fd, folder, events)?;
    Ok(crate::sys::raw::watched(fd)?)
}

async fn wait_for_change(changes: &AsyncFd<OwnedFd>) -> Result<(), Error> {
    loop {
        let mut ready = changes.readable().await?;
        let read = ready.try_io(|fd| {
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut events = inotify::Reader::new(fd.get_ref(), &mut buffer);
            events.next().map_err(std::io::Error::from)?;
            // What else there is says no more than the first.
            while !events.is_buffer_empty() {
                events.next().map_err(std::io::Error::from)?;
            }
            Ok(())
        });
        match read {
            Ok(read) => return Ok(read?),
            Err(_) => continue,
        }
    }
}

/// The open end of the log.
struct Tail {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// A line that is not whole yet.
    partial: String,
}

impl Tail {
    fn open(path: &Path) -> std::io::Result<Option<File>> {
        #[allow(clippy::disallowed_methods, reason = "the log is the helper's file")]
        match File::open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lines that came since; over rotations too.
    fn read_more(&mut self) -> Result<Vec<Line>, Error> {
        let mut lines = self.read_file()?;
        let own = match &self.file {
            Some(file) => Some(file.get_ref().metadata()?.ino()),
            None => None,
        };
        if std::fs::metadata(&self.path).is_ok_and(|now| Some(now.ino()) == own) {
            return Ok(lines);
        }
        let newer = files(&self.path, own)?;
        // What was written to the old one in between.
        lines.extend(self.read_file()?);
        for file in newer.into_iter().rev() {
            self.partial.clear();
            self.file = Some(BufReader::new(file));
            lines.extend(self.read_file()?);
        }
        Ok(lines)
    }

    fn read_file(&mut self) -> Result<Vec<Line>, Error> {
        let mut lines = Vec::new();
        let Some(file) = &mut self.file else { return Ok(lines) };
        while file.read_line(&mut self.partial)? > 0 {
            if self.partial.ends_with('\n') {
                lines.extend(parse(self.partial.trim_end()));
                self.partial.clear();
            }
        }
        Ok(lines)
    }
}

/// The log and what was rotated away from it, down to this one, which is left out. The newest first: who is renamed
/// meanwhile is met once more, and nothing is passed over.
fn files(path: &Path, until: Option<u64>) -> Result<Vec<File>, Error> {
    let mut found: Vec<(u64, File)> = Vec::new();
    let mut missing = 0;
    for n in 0..ROTATED_MAX {
        let older = PathBuf::from(format!("{}.{n}", path.display()));
        let Some(file) = Tail::open(if n == 0 { path } else { &older })? else {
            missing += 1;
            // One may be missing while it is renamed.
            match missing {
                1 => continue,
                _ => break,
            }
        };
        missing = 0;
        let inode = file.metadata()?.ino();
        if until == Some(inode) {
            break;
        }
        if found.iter().all(|(one, _)| *one != inode) {
            found.push((inode, file));
        }
    }
    Ok(found.into_iter().map(|(_, file)| file).collect())
}

/// What is there already, and the end from which to follow.
fn past(path: &Path, options: &Options) -> Result<(Vec<Line>, Tail), Error> {
    let mut kept: VecDeque<Line> = VecDeque::new();
    let most = options.tail.unwrap_or(usize::MAX);
    let mut keep = |line: Line| {
        if options.wants(&line) && most > 0 {
            if kept.len() == most {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    };
    let mut tail = Tail { path: path.to_owned(), file: None, partial: String::new() };
    let mut all = files(path, None)?;
    let newest = if all.is_empty() { None } else { Some(all.remove(0)) };
    for file in all.into_iter().rev() {
        for line in BufReader::new(file).lines() {
            parse(&line?).into_iter().for_each(&mut keep);
        }
    }
    tail.file = newest.map(BufReader::new);
    tail.read_file()?.into_iter().for_each(&mut keep);
    Ok((kept.into(), tail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::helper::log_file::{Log, Stream};
    use crate::helper::protocol::LogFile;

    #[test]
    fn rotations_between_two_looks() {
        let folder = std::env::temp_dir().join(format!("logs-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        // Two lines go into each.
        let to = LogFile { path: path.display().to_string(), bytes_max: 200, files_max: 5 };
        let mut log = Log::open(to).unwrap();
        let mut said = 0..;
        let mut say = |count| {
            for n in said.by_ref().take(count) {
                log.write(Stream::Out, format!("line {n}\n").as_bytes(), 0);
            }
        };
        let numbers = |lines: Vec<Line>| -> Vec<usize> {
            lines.iter().map(|line| line.text[5..].trim_end().parse().unwrap()).collect()
        };
        let all = Options {
            stdout: true,
            stderr: true,
            follow: true,
            since_ns: None,
            until_ns: None,
            tail: None,
        };
        say(5);
        let (before, mut tail) = past(&path, &all).unwrap();
        assert_eq!(numbers(before), [0, 1, 2, 3, 4]);
        for (count, expected) in [(1, 5..6), (6, 6..12), (0, 12..12), (3, 12..15)] {
            say(count);
            assert_eq!(numbers(tail.read_more().unwrap()), Vec::from_iter(expected));
        }
        // What has gone is gone, and what is left is told.
        say(40);
        let left = numbers(tail.read_more().unwrap());
        assert_eq!(left.last(), Some(&54));
        let (own, left) = left.split_at(1);
        let is_whole = left.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        assert!(own == [15] && left.len() >= 9 && is_whole, "{own:?} {left:?}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
