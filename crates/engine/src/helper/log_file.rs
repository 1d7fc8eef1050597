//! The `json-file` log of a container: a JSON document a line, rotated by size.

use super::protocol::LogFile;
use rustix::fs::{CWD, Mode, OFlags, openat, renameat};
use std::fs::File;
use std::io::Write;

/// A longer line is written in pieces, of which only the last has its end.
const LINE_BYTES_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    Out = 1,
    Err = 2,
}

pub struct Log {
    to: LogFile,
    file: Option<File>,
    written: u64,
    partial: [Vec<u8>; 2],
    /// Reused for each line.
    line: Vec<u8>,
}

impl Log {
    pub fn open(to: LogFile) -> std::io::Result<Log> {
        let file = append_to(&to.path)?;
        let written = file.metadata()?.len();
        Ok(Log { to, file: Some(file), written, partial: Default::default(), line: Vec::new() })
    }

    /// Takes output of the program, whole lines at once.
    pub fn write(&mut self, stream: Stream, mut bytes: &[u8], now_ns: i64) {
        let at = stream as usize - 1;
        while !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.partial[at].len();
            let end = bytes.iter().take(room).position(|b| *b == b'\n').map(|n| n + 1);
            let take = end.unwrap_or(room.min(bytes.len()));
            self.partial[at].extend_from_slice(&bytes[..take]);
            bytes = &bytes[take..];
            if end.is_some() || self.partial[at].len() == LINE_BYTES_MAX {
                self.flush(stream, now_ns);
            }
        }
    }

    /// Writes what is not a whole line yet: the program has ended.
    pub fn finish(&mut self, now_ns: i64) {
        for stream in [Stream::Out, Stream::Err] {
            if !self.partial[stream as usize - 1].is_empty() {
                self.flush(stream, now_ns);
            }
        }
    }

    fn flush(&mut self, stream: Stream, now_ns: i64) {
        let at = stream as usize - 1;
        let text = String::from_utf8_lossy(&self.partial[at]);
        self.line.clear();
        self.line.extend_from_slice(b"{\"log\":");
        // Writing text to memory does not fail.
        let _ = serde_json::to_writer(&mut self.line, text.as_ref());
        let name = match stream {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        };
        let _ = writeln!(
            self.line,
            ",\"stream\":\"{name}\",\"time\":\"{}\"}}",
            crate::time::rfc3339_nano(now_ns)
        );
        self.partial[at].clear();
        self.append();
    }

    /// A log that cannot be written is the container's loss, not its end.
    fn append(&mut self) {
        let length = self.line.len() as u64;
        if self.to.bytes_max > 0 && self.written + length > self.to.bytes_max && self.written > 0 {
            self.rotate();
        }
        let Some(file) = &mut self.file else { return };
        match file.write_all(&self.line) {
            Ok(()) => self.written += length,
            // Half a line would take the next one with it.
            Err(_) if file.metadata().is_ok_and(|now| now.len() > self.written) => {
                let _ = rustix::fs::ftruncate(&*file, self.written);
            }
            Err(_) => {}
        }
    }

    fn rotate(&mut self) {
        let path = &self.to.path;
        for n in (1..self.to.files_max.max(1)).rev() {
            let from = if n == 1 { path.clone() } else { format!("{path}.{}", n - 1) };
            let _ = renameat(CWD, from, CWD, format!("{path}.{n}"));
        }
        if self.to.files_max <= 1 {
            let _ = rustix::fs::unlink(path.as_str());
        }
        self.file = append_to(path).ok();
        self.written = 0;
    }
}

fn append_to(path: &str) -> std::io::Result<File> {
    let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, path, flags, Mode::from_raw_mode(0o640))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("cumulet-log-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    fn read(path: &std::path::Path) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| {
                let value: serde_json::Value = serde_json::from_str(line).unwrap();
                let field = |name: &str| value[name].as_str().unwrap().to_owned();
                (field("stream"), field("log"))
            })
            .collect()
    }

    #[test]
    fn lines_of_two_streams() {
        let dir = folder("lines");
        let path = dir.join("log");
        let to = LogFile { path: path.display().to_string(), bytes_max: 0, files_max: 1 };
        let mut log = Log::open(to).unwrap();
        log.write(Stream::Out, b"one\ntw", 0);
        log.write(Stream::Err, b"bad \xff\n", 0);
        log.write(Stream::Out, b"o\nend", 0);
        log.write(Stream::Out, &[b'x'; LINE_BYTES_MAX], 0);
        log.finish(0);
        let lines = read(&path);
        let texts: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts[..3], ["one\n", "bad \u{fffd}\n", "two\n"]);
        assert_eq!((texts[3].len(), texts[4]), (LINE_BYTES_MAX, "xxx"));
        assert_eq!(lines[1].0, "stderr");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn rotation_keeps_the_newest() {
        let dir = folder("rotation");
        let path = dir.join("log");
        let to = LogFile { path: path.display().to_string(), bytes_max: 300, files_max: 3 };
        let mut log = Log::open(to).unwrap();
        for n in 0..20 {
            log.write(Stream::Out, format!("line {n}\n").as_bytes(), 0);
        }
        let names = ["log.2", "log.1", "log"];
        let all: Vec<String> =
            names.iter().flat_map(|name| read(&dir.join(name))).map(|(_, text)| text).collect();
        assert_eq!(all.last().map(String::as_str), Some("line 19\n"));
        assert!(all.len() >= 8 && all.windows(2).all(|pair| pair[0].len() <= pair[1].len()));
        assert!(!dir.join("log.3").exists());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
