//! Files of a client, received beneath a folder of ours: the receiving end of fsutil's protocol. The
//! sender names file after file, of which the contents are asked for, a bounded number at a time.
//!
//! Whatever it names ends beneath the folder, by the same ways as the entries of an archive.

use crate::grpc::{Sending, Status};
use crate::messages::{Packet, Stat, mode};
use crate::session::Session;
use base::percent::encode;
use build::Context;
use bytes::Bytes;
use engine::image::Images;
use engine::{Error, blocking};
use oci::tar::{Entry, Kind, Time};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

const METHOD: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// Files at a time whose contents are on their way.
const OPEN_MAX: usize = 64;
const ENTRIES_MAX: u32 = 2_000_000;
const BYTES_MAX: u64 = 64 << 30;
const PATH_BYTES_MAX: usize = 4096;
const DEPTH_MAX: usize = 256;
const PACKETS: usize = 32;
/// Of contents, between two looks at how much room there is.
const ROOM_EVERY_BYTES: u64 = 16 << 20;

/// Which files are wanted.
#[derive(Clone, Default, Debug)]
pub struct Wanted {
    /// What the client calls the folder.
    pub name: String,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    /// Paths with all that links on the way lead to.
    pub follow: Vec<String>,
}

/// Values that are not plain are written as in a query, and said to be so.
fn metadata(wanted: &Wanted) -> Vec<(&'static str, Vec<String>)> {
    let mut all = vec![("dir-name", vec![wanted.name.clone()])];
    for (name, mark, values) in [
        ("include-patterns", "include-patterns-encoded", &wanted.include),
        ("exclude-patterns", "exclude-patterns-encoded", &wanted.exclude),
        ("followpaths", "followpaths-encoded", &wanted.follow),
    ] {
        if values.is_empty() {
            continue;
        }
        let is_plain = |value: &String| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if values.iter().all(is_plain) {
            all.push((name, values.clone()));
        } else {
            all.push((name, values.iter().map(|value| encode(value.as_bytes())).collect()));
            all.push((mark, vec!["1".to_owned()]));
        }
    }
    all
}

/// Gets them. `taken` counts bytes.
pub async fn receive(
    session: &Session,
    images: &Images,
    wanted: &Wanted,
    taken: Arc<AtomicU64>,
) -> Result<Context, Status> {
    if !session.serves(METHOD) {
        return Err(Status::invalid("the client gives no access to local files"));
    }
    let (sending, mut receiving) = session.call(METHOD, &metadata(wanted)).await?;
    let (packets, received) = mpsc::channel::<Bytes>(PACKETS);
    let (images, asking) = (images.clone(), sending.clone());
    let work = blocking(move || {
        let context = Context::empty(&images)?;
        let mut receiver = Receiver::new(&images, &context, asking, taken);
        match receiver.run(received) {
            Ok(()) => Ok(context),
            Err(error) => {
                let _ = receiver.to.message_blocking(&Packet::Error(error.text.clone()).write());
                Err(error)
            }
        }
    });
    let pump = async move {
        while let Some(message) = receiving.message().await? {
            if packets.send(message).await.is_err() {
                return Ok(());
            }
        }
        Ok::<(), Status>(())
    };
    let (work, pump) = both(work, pump).await;
    drop(sending);
    match (work, pump) {
        (Ok(context), _) => Ok(context),
        // Why the stream ended says more than that it did.
        (Err(_), Err(status)) => Err(status),
        (Err(error), Ok(())) => Err(error.into()),
    }
}

/// Until the first is over; the second ends with it.
async fn both<A, B>(
    first: impl Future<Output = A>,
    second: impl Future<Output = Result<(), B>>,
) -> (A, Result<(), B>) {
    let mut first = std::pin::pin!(first);
    match engine::first(&mut first, second).await {
        engine::First::Left(first) => (first, Ok(())),
        engine::First::Right(second) => (first.await, second),
    }
}

/// A file whose content comes.
struct Coming {
    file: File,
    left: u64,
    modified: Time,
}

struct Receiver<'a> {
    images: &'a Images,
    context: &'a Context,
    to: Sending,
    taken: Arc<AtomicU64>,
    entries: u32,
    bytes: u64,
    looked_at: u64,
    /// Placed, and not asked for yet.
    waiting: VecDeque<(u32, Stat)>,
    open: BTreeMap<u32, Coming>,
    all_named: bool,
}

impl<'a> Receiver<'a> {
    fn new(
        images: &'a Images,
        context: &'a Context,
        to: Sending,
        taken: Arc<AtomicU64>,
    ) -> Receiver<'a> {
        Receiver {
            images,
            context,
            to,
            taken,
            entries: 0,
            bytes: 0,
            looked_at: 0,
            waiting: VecDeque::new(),
            open: BTreeMap::new(),
            all_named: false,
        }
    }

    fn run(&mut self, mut packets: mpsc::Receiver<Bytes>) -> Result<(), Error> {
        self.images.check_room()?;
        loop {
            let Some(bytes) = packets.blocking_recv() else {
                return Err(Error::failed("the client went away while it sent its files"));
            };
            self.taken.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            let packet = Packet::read(&bytes)
                .map_err(|_| Error::invalid("a packet of the client is not understood"))?;
            match packet {
                Packet::Stat(Some(stat)) => self.named(stat)?,
                Packet::Stat(None) => self.all_named = true,
                Packet::Data(id, data) => self.data(id, &data)?,
                Packet::Error(text) => {
                    return Err(Error::failed(format!("error from sender: {text}")));
                }
                Packet::End | Packet::Request(_) => {
                    return Err(Error::invalid("a packet of the client is out of place"));
                }
            }
            self.ask()?;
            if self.all_named && self.open.is_empty() && self.waiting.is_empty() {
                break;
            }
        }
        self.send(&Packet::End)?;
        // The other side says so too.
        while let Some(bytes) = packets.blocking_recv() {
            if Packet::read(&bytes) == Ok(Packet::End) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn send(&self, packet: &Packet) -> Result<(), Error> {
        let sent = self.to.message_blocking(&packet.write());
        sent.map_err(|_| Error::failed("the client went away while it sent its files"))
    }

    fn named(&mut self, mut stat: Stat) -> Result<(), Error> {
        let id = self.entries;
        self.entries += 1;
        if self.all_named || self.entries > ENTRIES_MAX {
            return Err(Error::invalid("the context has too many files"));
        }
        stat.path = checked(&stat.path)?;
        if stat.path.is_empty() {
            return Ok(());
        }
        let Some(entry) = entry(&stat)? else { return Ok(()) };
        let is_content = entry.kind == Kind::File;
        self.context.place(&stat.path, &entry)?;
        if is_content && stat.size != 0 {
            let size = u64::try_from(stat.size)
                .map_err(|_| Error::invalid("a file is smaller than nothing"))?;
            self.bytes = self.bytes.saturating_add(size);
            if self.bytes > BYTES_MAX {
                return Err(Error::invalid("the context is too large"));
            }
            self.waiting.push_back((id, stat));
        }
        Ok(())
    }

    fn ask(&mut self) -> Result<(), Error> {
        while self.open.len() < OPEN_MAX
            && let Some((id, stat)) = self.waiting.pop_front()
        {
            let file = self.context.open_placed(&stat.path)?;
            let (left, modified) = (stat.size as u64, time(stat.modified_ns));
            self.open.insert(id, Coming { file, left, modified });
            self.send(&Packet::Request(id))?;
        }
        Ok(())
    }

    fn data(&mut self, id: u32, data: &[u8]) -> Result<(), Error> {
        let Some(coming) = self.open.get_mut(&id) else {
            return Err(Error::invalid("the content of a file came that was not asked for"));
        };
        if data.is_empty() {
            let file = &coming.file;
            let times = rustix::fs::Timestamps {
                last_access: timespec(coming.modified),
                last_modification: timespec(coming.modified),
            };
            // One that was cut short meanwhile is taken as it is.
            rustix::fs::futimens(file, &times)?;
            self.open.remove(&id);
            return Ok(());
        }
        let length = data.len() as u64;
        // One that grows while it is read is as long as it was.
        let part = data.get(..coming.left.min(length) as usize).unwrap_or(data);
        coming.file.write_all(part)?;
        coming.left -= part.len() as u64;
        self.looked_at += length;
        if self.looked_at >= ROOM_EVERY_BYTES {
            self.looked_at = 0;
            self.images.check_room()?;
        }
        Ok(())
    }
}

/// Relative, and leading nowhere but down.
fn checked(path: &str) -> Result<String, Error> {
    let wrong = || Error::invalid(format!("invalid path in the context: {path:?}"));
    if path.len() > PATH_BYTES_MAX || path.contains('\0') || path.split('/').any(|p| p == "..") {
        return Err(wrong());
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    match parts.len() > DEPTH_MAX {
        true => Err(wrong()),
        false => Ok(parts.join("/")),
    }
}

/// As an archive would have it, without its content; `None` for what means nothing elsewhere.
fn entry(stat: &Stat) -> Result<Option<Entry>, Error> {
    let kind = match stat.mode & mode::KINDS {
        0 if stat.link.is_empty() => Kind::File,
        0 => Kind::HardLink,
        mode::FOLDER => Kind::Folder,
        mode::LINK => Kind::Symlink,
        mode::PIPE => Kind::Fifo,
        mode::SOCKET => return Ok(None),
        _ => return Err(Error::invalid(format!("the context has a device: {:?}", stat.path))),
    };
    let mut bits = stat.mode & 0o777;
    for (go, own) in [(mode::SETUID, 0o4000), (mode::SETGID, 0o2000), (mode::STICKY, 0o1000)] {
        if stat.mode & go != 0 {
            bits |= own;
        }
    }
    let mut entry = Entry::new(stat.path.as_str(), kind, bits);
    entry.mtime = time(stat.modified_ns);
    if matches!(kind, Kind::HardLink | Kind::Symlink) {
        if stat.link.is_empty() || stat.link.len() > PATH_BYTES_MAX || stat.link.contains('\0') {
            return Err(Error::invalid(format!("a link leads nowhere: {:?}", stat.path)));
        }
        entry.link = stat.link.clone().into_bytes();
    }
    Ok(Some(entry))
}

fn time(ns: i64) -> Time {
    const SECOND: i64 = 1_000_000_000;
    Time { seconds: ns.div_euclid(SECOND), nanoseconds: ns.rem_euclid(SECOND) as u32 }
}

fn timespec(time: Time) -> rustix::fs::Timespec {
    rustix::fs::Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) }
}

/// For the fuzzer: whatever is named is refused or stays beneath.
pub fn fuzz(bytes: &[u8]) {
    let Ok(packet) = Packet::read(bytes) else { return };
    assert_eq!(Packet::read(&packet.write()).as_ref(), Ok(&packet));
    if let Packet::Stat(Some(stat)) = packet {
        if let Ok(path) = checked(&stat.path) {
            assert!(!path.starts_with('/') && path.split('/').all(|part| part != ".."));
        }
        if let Ok(Some(entry)) = entry(&stat) {
            assert!(entry.mode <= 0o7777);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(checked("a//./b/").unwrap(), "a/b");
        assert_eq!(checked("/a").unwrap(), "a");
        for bad in ["..", "a/../b", "a\0b", &"a/".repeat(300), &"a".repeat(5000)] {
            assert!(checked(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_and_modes() {
        let stat = |mode: u32, link: &str| Stat {
            path: "a".to_owned(),
            mode,
            link: link.to_owned(),
            modified_ns: -1,
            size: 0,
        };
        let kind = |mode: u32, link: &str| entry(&stat(mode, link)).map(|e| e.map(|e| e.kind));
        assert_eq!(kind(0o644, "").unwrap(), Some(Kind::File));
        assert_eq!(kind(0o644, "b").unwrap(), Some(Kind::HardLink));
        assert_eq!(kind(mode::FOLDER | 0o755, "").unwrap(), Some(Kind::Folder));
        assert_eq!(kind(mode::LINK | 0o777, "/etc").unwrap(), Some(Kind::Symlink));
        assert_eq!(kind(mode::SOCKET, "").unwrap(), None);
        assert!(kind(mode::DEVICE, "").is_err() && kind(mode::LINK, "").is_err());
        let entry = entry(&stat(mode::SETUID | mode::STICKY | 0o755, "")).unwrap().unwrap();
        assert_eq!(
            (entry.mode, entry.mtime.seconds, entry.mtime.nanoseconds),
            (0o5755, -1, 999_999_999)
        );
    }

    #[test]
    fn patterns_that_are_not_plain() {
        let wanted = Wanted {
            name: "context".to_owned(),
            exclude: vec!["é*".to_owned()],
            include: vec!["a b".to_owned()],
            ..Wanted::default()
        };
        let all = metadata(&wanted);
        assert!(all.contains(&("include-patterns", vec!["a b".to_owned()])));
        assert!(all.contains(&("exclude-patterns", vec!["%C3%A9%2A".to_owned()])));
        assert!(all.contains(&("exclude-patterns-encoded", vec!["1".to_owned()])));
    }
}
