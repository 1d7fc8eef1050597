//! What a build became, sent to the client: a tree of files by fsutil's protocol, of which we are the
//! sending end here, or an archive piece by piece.

use crate::grpc::{Code, MESSAGE_BYTES_MAX, Receiving, Sending, Status};
use crate::messages::{Packet, Stat, mode};
use crate::session::Session;
use crate::wire::Message;
use build::tree::{self, Found};
use engine::image::{Images, open_beneath};
use engine::{Error, blocking};
use oci::image::ImageConfig;
use oci::tar::{Entry, Kind, Time, Writer};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, OFlags};
use std::fs::File;
use std::io::{Read, Write};
use tokio::sync::mpsc;

const METHOD: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const EXPORTER: &str = "buildkit-attachable-exporter-id";
const PIECE_BYTES: usize = 64 * 1024;
const ARCHIVE_PIECE_BYTES: usize = 1 << 20;
const _: () = assert!(ARCHIVE_PIECE_BYTES < MESSAGE_BYTES_MAX / 4);

async fn begin(session: &Session, exporter: usize) -> Result<(Sending, Receiving), Status> {
    if !session.serves(METHOD) {
        return Err(Status::invalid("the client takes no files"));
    }
    session.call(METHOD, &[(EXPORTER, vec![exporter.to_string()])]).await
}

fn gone() -> Error {
    Error::failed("the client went away while it was sent its files")
}

/// All files of an image, into a folder of the client.
pub async fn files(
    session: &Session,
    exporter: usize,
    images: &Images,
    config: &ImageConfig,
) -> Result<(), Status> {
    let (sending, mut receiving) = begin(session, exporter).await?;
    let (images, config) = (images.clone(), config.clone());
    // What the client asks for is taken at once, or both would wait for each other.
    let (asked, mut requests) = mpsc::unbounded_channel::<Packet>();
    let work = blocking(move || {
        let root = images.view(&config)?;
        let sent = send_files(&root, &sending, &mut requests);
        if let Err(error) = &sent {
            let _ = sending.message_blocking(&Packet::Error(error.text.clone()).write());
        }
        sent
    });
    let pump = async move {
        while let Some(message) = receiving.message().await? {
            if asked.send(Packet::read(&message)?).is_err() {
                break;
            }
        }
        Ok::<(), Status>(())
    };
    finish(work, pump).await
}

/// Why the stream ended says more than that it did.
async fn finish(
    work: impl Future<Output = Result<(), Error>>,
    pump: impl Future<Output = Result<(), Status>>,
) -> Result<(), Status> {
    let (mut work, mut pump) = (std::pin::pin!(work), std::pin::pin!(pump));
    match engine::first(&mut work, &mut pump).await {
        engine::First::Left(Ok(())) => pump.await,
        engine::First::Left(Err(error)) => Err(error.into()),
        engine::First::Right(Ok(())) => Ok(work.await?),
        engine::First::Right(Err(status)) => {
            drop(work.await);
            Err(status)
        }
    }
}

fn go_mode(stat: &rustix::fs::Stat) -> u32 {
    let bits = stat.st_mode;
    let kind = match FileType::from_raw_mode(bits) {
        FileType::Directory => mode::FOLDER,
        FileType::Symlink => mode::LINK,
        FileType::Fifo => mode::PIPE,
        _ => 0,
    };
    let mut out = kind | bits & 0o777;
    for (own, go) in [(0o4000, mode::SETUID), (0o2000, mode::SETGID), (0o1000, mode::STICKY)] {
        if bits & own != 0 {
            out |= go;
        }
    }
    out
}

/// Devices and sockets mean nothing elsewhere.
fn is_sent(found: &Found<'_>) -> bool {
    matches!(
        found.kind(),
        FileType::Directory | FileType::RegularFile | FileType::Symlink | FileType::Fifo
    )
}

fn send_files(
    root: &OwnedFd,
    to: &Sending,
    requests: &mut mpsc::UnboundedReceiver<Packet>,
) -> Result<(), Error> {
    let send = |packet: &Packet| to.message_blocking(&packet.write()).map_err(|_| gone());
    // What each number stands for; nothing where there is no content.
    let mut paths: Vec<Option<String>> = Vec::new();
    tree::walk(root, &mut |found| {
        if !is_sent(found) {
            return Ok(false);
        }
        let is_file = found.kind().is_file();
        let link = match found.kind().is_symlink() {
            true => String::from_utf8_lossy(&found.link()?).into_owned(),
            false => String::new(),
        };
        let modified = found.stat.st_mtime.saturating_mul(1_000_000_000);
        send(&Packet::Stat(Some(Stat {
            path: found.path.to_owned(),
            mode: go_mode(&found.stat),
            size: if is_file { found.stat.st_size } else { 0 },
            modified_ns: modified.saturating_add(found.stat.st_mtime_nsec as i64),
            link,
        })))?;
        paths.push(is_file.then(|| found.path.to_owned()));
        Ok(true)
    })?;
    send(&Packet::Stat(None))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match requests.blocking_recv() {
            Some(Packet::Request(id)) => {
                // Each is given once.
                let path = paths.get_mut(id as usize).and_then(Option::take);
                let path = path.ok_or_else(|| Error::invalid(format!("invalid file id {id}")))?;
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
                let mut file = File::from(open_beneath(root, &format!("/{path}"), flags)?);
                loop {
                    let n = file.read(&mut piece)?;
                    send(&Packet::Data(id, piece[..n].to_vec()))?;
                    if n == 0 {
                        break;
                    }
                }
            }
            Some(Packet::End) => return send(&Packet::End),
            Some(Packet::Error(text)) => {
                return Err(Error::failed(format!("error from receiver: {text}")));
            }
            Some(_) => return Err(Error::invalid("a packet of the client is out of place")),
            None => return Err(gone()),
        }
    }
}

/// What is written goes out in messages of bytes.
struct Pieces<'a> {
    to: &'a Sending,
    kept: Vec<u8>,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() >= ARCHIVE_PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        for piece in std::mem::take(&mut self.kept).chunks(ARCHIVE_PIECE_BYTES) {
            let message = Message::default().bytes(1, piece).end();
            let sent = self.to.message_blocking(&message);
            sent.map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        }
        Ok(())
    }
}

/// A file of the client that `write` writes.
pub async fn archive(
    session: &Session,
    exporter: usize,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Error> + Send + 'static,
) -> Result<(), Status> {
    let (sending, mut receiving) = begin(session, exporter).await?;
    let work = blocking(move || {
        let mut pieces = Pieces { to: &sending, kept: Vec::new() };
        write(&mut pieces)?;
        Ok(pieces.flush()?)
    });
    let pump = async move {
        match receiving.message().await? {
            None => Ok(()),
            Some(_) => Err(Status::new(Code::Internal, "the client said more than it should")),
        }
    };
    finish(work, pump).await
}

/// All files of an image, as an archive.
pub fn write_files(images: &Images, config: &ImageConfig, to: &mut dyn Write) -> Result<(), Error> {
    let root = images.view(config)?;
    let mut writer = Writer::new(to);
    tree::walk(&root, &mut |found| {
        if !is_sent(found) {
            return Ok(false);
        }
        let kind = match found.kind() {
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            _ => Kind::File,
        };
        let stat = &found.stat;
        let path =
            if kind == Kind::Folder { format!("{}/", found.path) } else { found.path.into() };
        let mut entry = Entry::new(path, kind, stat.st_mode & 0o7777);
        (entry.uid, entry.gid) = (stat.st_uid, stat.st_gid);
        entry.mtime = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
        if kind == Kind::Symlink {
            entry.link = found.link()?;
        }
        if kind != Kind::File {
            writer.entry(&entry)?;
            return Ok(true);
        }
        entry.size = stat.st_size as u64;
        writer.entry(&entry)?;
        let mut content = found.open()?.take(entry.size);
        let (mut piece, mut left) = (vec![0; PIECE_BYTES], entry.size);
        while left > 0 {
            match content.read(&mut piece)? {
                0 => return Err(Error::failed("a file of the image is shorter than it was")),
                n => writer.write_content(&piece[..n])?,
            }
            left = content.limit();
        }
        Ok(true)
    })?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes() {
        let look = |bits: u32| {
            let mut stat = rustix::fs::stat("/").unwrap();
            stat.st_mode = bits;
            go_mode(&stat)
        };
        assert_eq!(look(0o100644), 0o644);
        assert_eq!(look(0o041777), mode::FOLDER | mode::STICKY | 0o777);
        assert_eq!(look(0o120777), mode::LINK | 0o777);
        assert_eq!(look(0o104755), mode::SETUID | 0o755);
    }
}
