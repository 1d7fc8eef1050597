//! A [`Volume`] mounted as a folder by the kernel's own protocol on `/dev/fuse`, and the power switch.
//!
//! One thread answers the kernel. Every call that changes or syncs something is counted; at a chosen
//! one the thread kills the process that uses the folder and answers nothing but errors from then on,
//! so that the cut falls between two calls, where no clock could aim it. The kernel writes through
//! (no write-back cache is asked for): what the process has written is here, not in a page cache.

mod wire;

use crate::volume::{ROOT, Volume};
use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wire::{Arguments, Body, Request};

/// What `df` sees: far more than a run writes.
const CAPACITY_BYTES: u64 = 64 << 30;
const BLOCK_BYTES: u64 = 4096;
const UNMOUNT_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct State {
    volume: Volume,
    /// Listings, as they were when their folder was opened.
    listings: BTreeMap<u64, Vec<(Vec<u8>, u64)>>,
    last_handle: u64,
    calls: u64,
    cut_at: Option<(u64, Pid)>,
    off: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    gone: Condvar,
}

/// A mounted volume.
#[derive(Debug)]
pub struct Session {
    at: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    pub fn start(volume: Volume, at: &Path) -> Result<Session, String> {
        let device = File::options().read(true).write(true).open("/dev/fuse");
        let device = device.map_err(|e| format!("/dev/fuse: {e}"))?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,default_permissions,allow_other",
            device.as_raw_fd()
        );
        let options = CString::new(options).map_err(|e| e.to_string())?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("cumulet-soak", at, "fuse", flags, Some(options.as_c_str()))
            .map_err(|e| format!("mounting on {}: {e}", at.display()))?;
        let state = State {
            volume,
            listings: BTreeMap::new(),
            last_handle: 0,
            calls: 0,
            cut_at: None,
            off: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), gone: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(device, &of_thread));
        Ok(Session { at: at.to_owned(), shared, thread: Some(thread) })
    }

    /// Cuts the power of that process at the `calls`-th change or sync from now.
    pub fn arm(&self, process: Pid, calls: u64) {
        let mut state = self.shared.state.lock();
        state.cut_at = Some((state.calls + calls, process));
    }

    /// Cuts it now.
    pub fn cut_now(&self, process: Pid) {
        let mut state = self.shared.state.lock();
        if !state.off {
            state.switch_off(process);
        }
    }

    /// Waits until the power is gone; false if it still is not after `limit`.
    pub fn wait_for_cut(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.shared.state.lock();
        while !state.off {
            if self.shared.gone.wait_until(&mut state, end).timed_out() {
                return state.off;
            }
        }
        true
    }

    /// Unmounts and hands the volume back. The process must have ended.
    pub fn end(mut self) -> Result<Volume, String> {
        self.unmount()?;
        let empty = Volume::new(crate::volume::Ignore::Nothing);
        Ok(std::mem::replace(&mut self.shared.state.lock().volume, empty))
    }

    fn unmount(&mut self) -> Result<(), String> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let end = Instant::now() + UNMOUNT_TIME_MAX;
        loop {
            match unmount(&self.at, UnmountFlags::empty()) {
                Ok(()) => break,
                // A process that has just ended is still being taken apart.
                Err(Errno::BUSY) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err(e) => {
                    // Out of the way; its thread ends with the last file that is open on it.
                    let _ = unmount(&self.at, UnmountFlags::DETACH);
                    return Err(format!("unmounting {}: {e}", self.at.display()));
                }
            }
        }
        thread.join().map_err(|_| "the file system's thread panicked".to_owned())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(failure) = self.unmount() {
            eprintln!("soak: {failure}");
        }
    }
}

/// Until the folder is unmounted.
fn serve(mut device: File, shared: &Shared) {
    let mut buffer = vec![0; wire::REQUEST_BYTES_MAX];
    loop {
        let got = match device.read(&mut buffer) {
            Ok(got) => got,
            // A request that was taken back before it was read.
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INTR | Errno::NOENT)) => {
                continue;
            }
            Err(_) => return,
        };
        let Ok(request) = wire::parse(&buffer[..got]) else { continue };
        if matches!(request.opcode, wire::FORGET | wire::BATCH_FORGET | wire::INTERRUPT) {
            continue;
        }
        let unique = request.unique;
        let mut state = shared.state.lock();
        let result = state.pass(request);
        if state.off {
            shared.gone.notify_all();
        }
        drop(state);
        // It fails when nobody waits any more, which is nobody's loss.
        let _ = device.write_all(&wire::answer(unique, &result));
    }
}

fn changes(opcode: u32) -> bool {
    matches!(
        opcode,
        wire::SETATTR
            | wire::MKNOD
            | wire::MKDIR
            | wire::UNLINK
            | wire::RMDIR
            | wire::RENAME
            | wire::RENAME2
            | wire::LINK
            | wire::WRITE
            | wire::FSYNC
            | wire::FSYNCDIR
            | wire::CREATE
            | wire::FALLOCATE
    )
}

impl State {
    fn switch_off(&mut self, process: Pid) {
        // Before anything else is answered: what the process does next, it does not live to do.
        let _ = kill_process(process, Signal::KILL);
        self.off = true;
    }

    fn pass(&mut self, request: Request<'_>) -> Result<Body, Errno> {
        if self.off {
            return Err(Errno::IO);
        }
        if changes(request.opcode) {
            self.calls += 1;
            if let Some((at, process)) = self.cut_at
                && self.calls >= at
            {
                self.switch_off(process);
                // Half of the time the call has happened, only its answer is lost.
                if self.calls.is_multiple_of(2) {
                    let _ = self.act(request);
                }
                return Err(Errno::IO);
            }
        }
        self.act(request)
    }

    fn act(&mut self, request: Request<'_>) -> Result<Body, Errno> {
        let Request { opcode, node, mut arguments, .. } = request;
        let args = &mut arguments;
        match opcode {
            wire::INIT => init(args),
            wire::STATFS => Ok(statfs()),
            wire::FLUSH => Ok(Body::default()),
            wire::LOOKUP | wire::CREATE | wire::MKNOD | wire::MKDIR | wire::LINK => {
                self.entry(opcode, node, args)
            }
            wire::UNLINK | wire::RMDIR | wire::RENAME | wire::RENAME2 => {
                self.rename(opcode, node, args)
            }
            wire::OPENDIR | wire::READDIR | wire::RELEASEDIR => self.listing(opcode, node, args),
            wire::FSYNCDIR => {
                self.volume.sync_names(node);
                Ok(Body::default())
            }
            _ => self.file(opcode, node, args),
        }
    }

    /// What answers with an entry: found, made or linked.
    fn entry(&mut self, opcode: u32, dir: u64, args: &mut Arguments<'_>) -> Result<Body, Errno> {
        let ino = match opcode {
            wire::LOOKUP => self.volume.lookup(dir, &args.name()?)?,
            wire::MKDIR => {
                args.skip(8)?;
                self.volume.create(dir, &args.name()?, true)?
            }
            wire::MKNOD => {
                let kind = args.u32()? & wire::KIND;
                args.skip(12)?;
                match kind {
                    wire::REGULAR => self.volume.create(dir, &args.name()?, false)?,
                    wire::SOCKET => self.volume.create_socket(dir, &args.name()?)?,
                    _ => return Err(Errno::OPNOTSUPP),
                }
            }
            wire::LINK => {
                let ino = args.u64()?;
                self.volume.link(ino, dir, &args.name()?)?;
                ino
            }
            _ => {
                args.skip(16)?;
                let ino = self.volume.create(dir, &args.name()?, false)?;
                self.volume.opened(ino)?;
                ino
            }
        };
        let valid = if self.volume.inode(ino)?.is_dir { 60 } else { 1 };
        let body = Body::default().u64(ino).u64(0).u64(valid).u64(valid).zeros(8);
        let body = self.attributes(body, ino)?;
        Ok(if opcode == wire::CREATE { body.u64(0).zeros(8) } else { body })
    }

    fn attributes(&self, body: Body, ino: u64) -> Result<Body, Errno> {
        let inode = self.volume.inode(ino)?;
        let size = inode.now.len() as u64;
        let kind = match (inode.is_dir, inode.is_socket) {
            (true, _) => wire::DIRECTORY,
            (_, true) => wire::SOCKET,
            _ => wire::REGULAR,
        };
        Ok(body.attributes(ino, kind, size, self.volume.links(ino)))
    }

    fn rename(&mut self, opcode: u32, dir: u64, args: &mut Arguments<'_>) -> Result<Body, Errno> {
        match opcode {
            wire::UNLINK | wire::RMDIR => {
                self.volume.remove(dir, &args.name()?, opcode == wire::RMDIR)?;
            }
            _ => {
                let to = args.u64()?;
                if opcode == wire::RENAME2 {
                    let flags = args.u32()?;
                    args.skip(4)?;
                    if flags != 0 {
                        return Err(Errno::INVAL);
                    }
                }
                let (from, name) = (args.name()?, args.name()?);
                self.volume.rename((dir, from), (to, name))?;
            }
        }
        Ok(Body::default())
    }

    fn listing(&mut self, opcode: u32, dir: u64, args: &mut Arguments<'_>) -> Result<Body, Errno> {
        if opcode == wire::OPENDIR {
            self.last_handle += 1;
            let mut names = vec![(b".".to_vec(), dir), (b"..".to_vec(), ROOT)];
            names.extend(self.volume.list(dir));
            self.listings.insert(self.last_handle, names);
            return Ok(Body::default().u64(self.last_handle).zeros(8));
        }
        let handle = args.u64()?;
        if opcode == wire::RELEASEDIR {
            self.listings.remove(&handle);
            return Ok(Body::default());
        }
        let (from, room) = (args.u64()?, args.u32()? as usize);
        let names = self.listings.get(&handle).ok_or(Errno::BADF)?;
        let mut body = Body::default();
        for (at, (name, ino)) in names.iter().enumerate().skip(from as usize) {
            let length = 24 + name.len();
            let padding = length.next_multiple_of(8) - length;
            if body.0.len() + length + padding > room {
                break;
            }
            // A kind of 0: unknown, to be asked for.
            body = body.u64(*ino).u64(at as u64 + 1).u32(name.len() as u32).u32(0);
            body = body.bytes(name).zeros(padding);
        }
        Ok(body)
    }

    fn file(&mut self, opcode: u32, ino: u64, args: &mut Arguments<'_>) -> Result<Body, Errno> {
        match opcode {
            wire::GETATTR => self.attributes(Body::default().u64(1).zeros(8), ino),
            wire::SETATTR => {
                let valid = args.u32()?;
                args.skip(12)?;
                if valid & wire::SET_SIZE != 0 {
                    self.volume.set_length(ino, args.u64()?)?;
                }
                self.attributes(Body::default().u64(1).zeros(8), ino)
            }
            wire::OPEN => {
                self.volume.opened(ino)?;
                Ok(Body::default().zeros(16))
            }
            wire::RELEASE => {
                self.volume.closed(ino);
                Ok(Body::default())
            }
            wire::READ => {
                args.skip(8)?;
                let (offset, count) = (args.u64()?, args.u32()?);
                Ok(Body::default().bytes(self.volume.read(ino, offset, count)?))
            }
            wire::WRITE => {
                args.skip(8)?;
                let (offset, count) = (args.u64()?, args.u32()?);
                args.skip(20)?;
                let bytes = args.0.get(..count as usize).ok_or(Errno::INVAL)?;
                self.volume.write(ino, offset, bytes)?;
                Ok(Body::default().u32(count).u32(0))
            }
            wire::FSYNC => self.volume.sync_file(ino).map(|()| Body::default()),
            wire::FALLOCATE => {
                args.skip(8)?;
                let (offset, length, mode) = (args.u64()?, args.u64()?, args.u32()?);
                if mode != 0 {
                    return Err(Errno::OPNOTSUPP);
                }
                self.volume.allocate(ino, offset.saturating_add(length))?;
                Ok(Body::default())
            }
            // The kernel remembers it and does without.
            _ => Err(Errno::NOSYS),
        }
    }
}

fn init(args: &mut Arguments<'_>) -> Result<Body, Errno> {
    args.skip(8)?;
    let (readahead, flags) = (args.u32()?, args.u32()? & wire::INIT_FLAGS);
    let pages = (wire::WRITE_BYTES_MAX / 4096) as u16;
    let body = Body::default().u32(wire::MAJOR).u32(wire::MINOR).u32(readahead).u32(flags);
    let body = body.u16(64).u16(48).u32(wire::WRITE_BYTES_MAX).u32(1).u16(pages).u16(0);
    Ok(body.zeros(32))
}

fn statfs() -> Body {
    let blocks = CAPACITY_BYTES / BLOCK_BYTES;
    let body = Body::default().u64(blocks).u64(blocks).u64(blocks).u64(1 << 20).u64(1 << 20);
    body.u32(BLOCK_BYTES as u32).u32(255).u32(BLOCK_BYTES as u32).zeros(4 + 24)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Ignore;

    /// Through the kernel, as far as this user may: what is written is there, and a cut forgets it.
    #[test]
    fn a_mounted_volume_keeps_what_was_synced() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: mounting needs root");
            return;
        }
        let at = std::env::temp_dir().join(format!("cumulet-fuse-{}", std::process::id()));
        std::fs::create_dir_all(&at).unwrap();
        let session = Session::start(Volume::new(Ignore::Nothing), &at).unwrap();
        std::fs::create_dir_all(at.join("d/e")).unwrap();
        let big: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        std::fs::write(at.join("d/big"), &big).unwrap();
        std::fs::write(at.join("d/lost"), b"never synced").unwrap();
        assert_eq!(std::fs::read(at.join("d/big")).unwrap(), big);
        for name in ["d/big", "d", ""] {
            File::open(at.join(name)).unwrap().sync_all().unwrap();
        }
        let socket = std::os::unix::net::UnixListener::bind(at.join("s")).unwrap();
        std::os::unix::net::UnixStream::connect(at.join("s")).unwrap();
        drop(socket);
        std::fs::remove_file(at.join("s")).unwrap();
        std::fs::rename(at.join("d/big"), at.join("d/moved")).unwrap();
        std::fs::remove_file(at.join("d/lost")).unwrap();
        assert_eq!(std::fs::read_dir(at.join("d")).unwrap().flatten().count(), 2);
        let mut volume = session.end().unwrap();
        volume.cut(1);
        let session = Session::start(volume, &at).unwrap();
        let one = ["d/big", "d/moved"].map(|name| std::fs::read(at.join(name)).ok());
        assert_eq!(one.iter().flatten().collect::<Vec<_>>(), [&big]);
        session.end().unwrap();
        std::fs::remove_dir(&at).unwrap();
    }
}
