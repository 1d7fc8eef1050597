//! Large blobs: a file each, written behind the caller's back while the next chunk is prepared.
//!
//! The content stands at the beginning, so that any range of it is a range of the file. After it come
//! the CRC32C of each 256 KiB (4 bytes each), and 48 bytes that tie it together:
//! ```text
//! magic "CumBlob1" (8) | id (16) | length (8) | number of checksums (8) | CRC32C of the checksums (4)
//! | CRC32C of the 44 bytes before (4)
//! ```
//! numbers little-endian. Files are spread over 256 folders by the last byte of their id, which is
//! random. A file never changes once its blob is finished.

use super::blocking::Answer;
use super::pins::PinGuard;
use super::{BlobId, Core, Failure, crc32c};
use crate::disk::{File, OpenMode};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

pub(super) const FOLDER: &str = "blobs/file";
/// Content written in one piece, and covered by one checksum.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;
pub(super) const TRAILER_BYTES: usize = 48;
const MAGIC: [u8; 8] = *b"CumBlob1";
/// Chunks that may wait for the disk.
const QUEUE_MAX: usize = 3;
/// How much is written between two nudges to the kernel to begin writing it out.
const WRITEBACK_BYTES: u64 = 8 * 1024 * 1024;
/// How much is written between two looks at the free space.
const SPACE_CHECK_BYTES: u64 = 16 * 1024 * 1024;

pub(super) fn folder(last_byte: u8) -> String {
    format!("{FOLDER}/{last_byte:02x}")
}

pub(super) fn path(id: BlobId) -> String {
    format!("{}/{id}", folder(id.0[15]))
}

pub(super) fn sums_count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(CHUNK_BYTES as u64)
}

pub(super) fn trailer(id: BlobId, size_bytes: u64, sums: &[u8]) -> [u8; TRAILER_BYTES] {
    let mut out = [0; TRAILER_BYTES];
    out[..8].copy_from_slice(&MAGIC);
    out[8..24].copy_from_slice(&id.0);
    out[24..32].copy_from_slice(&size_bytes.to_le_bytes());
    out[32..40].copy_from_slice(&(sums.len() as u64 / 4).to_le_bytes());
    out[40..44].copy_from_slice(&crc32c(sums).to_le_bytes());
    let sum = crc32c(&out[..44]);
    out[44..].copy_from_slice(&sum.to_le_bytes());
    out
}

/// Whether `bytes` are the trailer of this blob (its checksums are looked at one by one).
pub(super) fn is_trailer_of(bytes: &[u8; TRAILER_BYTES], id: BlobId, size_bytes: u64) -> bool {
    bytes[..8] == MAGIC
        && bytes[8..24] == id.0
        && bytes[24..32] == size_bytes.to_le_bytes()
        && bytes[32..40] == sums_count(size_bytes).to_le_bytes()
        && bytes[44..] == crc32c(&bytes[..44]).to_le_bytes()
}

/// Bytes on their way to the file; the first `start` of them are not content.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) start: usize,
}

/// One file being written: a queue that at most one job at a time works off.
#[derive(Debug)]
pub(super) struct Lane {
    core: Arc<Core>,
    id: BlobId,
    queue: Mutex<Queue>,
    /// Used by the one job that runs.
    output: Mutex<Output>,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    finish: Option<Answer<PinGuard>>,
    is_cancelled: bool,
    is_running: bool,
    failure: Option<Failure>,
    waker: Option<Waker>,
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Output {
    file: Option<Arc<dyn File>>,
    pin: Option<PinGuard>,
    offset: u64,
    nudged: u64,
    sums: Vec<u8>,
}

enum Work {
    Write(Chunk),
    Finish(Answer<PinGuard>),
    Remove,
}

impl Lane {
    pub(super) fn new(core: Arc<Core>, id: BlobId) -> Arc<Lane> {
        let pin = core.pins.pin_writer(id);
        let output = Output { file: None, pin: Some(pin), offset: 0, nudged: 0, sums: Vec::new() };
        Arc::new(Lane { core, id, queue: Mutex::default(), output: Mutex::new(output) })
    }

    /// Ready with an empty buffer when another chunk may be sent.
    pub(super) fn poll_room(&self, context: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut queue = self.queue.lock();
        if let Some(failure) = &queue.failure {
            return Poll::Ready(Err(failure.error()));
        }
        if queue.chunks.len() >= QUEUE_MAX {
            queue.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let spare = queue.spare.pop();
        Poll::Ready(Ok(spare.unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES))))
    }

    pub(super) fn send(self: &Arc<Lane>, chunk: Chunk) {
        self.start(|queue| queue.chunks.push_back(chunk));
    }

    /// All chunks are sent: make the file durable.
    pub(super) fn finish(self: &Arc<Lane>, answer: Answer<PinGuard>) {
        self.start(|queue| queue.finish = Some(answer));
    }

    /// Nobody wants the file any more.
    pub(super) fn cancel(self: &Arc<Lane>) {
        self.start(|queue| queue.is_cancelled = true);
    }

    fn start(self: &Arc<Lane>, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        change(&mut queue);
        if queue.is_running {
            return;
        }
        queue.is_running = true;
        drop(queue);
        let lane = Arc::clone(self);
        self.core.blocking.run(Box::new(move || lane.work()));
    }

    fn next(&self) -> Option<Work> {
        let mut queue = self.queue.lock();
        if queue.is_cancelled {
            queue.is_cancelled = false;
            queue.chunks.clear();
            return Some(Work::Remove);
        }
        if let Some(failure) = &queue.failure {
            let error = failure.error();
            queue.chunks.clear();
            if let Some(answer) = queue.finish.take() {
                answer.give(Err(error));
            }
        }
        let work = match queue.chunks.pop_front() {
            Some(chunk) => Some(Work::Write(chunk)),
            None => queue.finish.take().map(Work::Finish),
        };
        queue.is_running = work.is_some();
        work
    }

    fn work(&self) {
        while let Some(work) = self.next() {
            let output = &mut *self.output.lock();
            match work {
                Work::Write(chunk) => {
                    let result = self.write(output, &chunk.bytes[chunk.start..]);
                    self.written(output, result, chunk.bytes);
                }
                Work::Finish(answer) => match self.seal(output) {
                    Ok(pin) => answer.give(Ok(pin)),
                    Err(error) => {
                        self.remove(output);
                        answer.give(Err(error));
                    }
                },
                Work::Remove => self.remove(output),
            }
        }
    }

    fn written(&self, output: &mut Output, result: io::Result<()>, mut buffer: Vec<u8>) {
        if result.is_err() {
            self.remove(output);
        }
        let mut queue = self.queue.lock();
        match result {
            Err(error) => queue.failure = Some(Failure::of(&error)),
            Ok(()) if buffer.capacity() == CHUNK_BYTES => {
                buffer.clear();
                queue.spare.push(buffer);
            }
            Ok(()) => {}
        }
        if let Some(waker) = queue.waker.take() {
            waker.wake();
        }
    }

    fn write(&self, output: &mut Output, content: &[u8]) -> io::Result<()> {
        let file = match &output.file {
            Some(file) => file,
            None => {
                self.core.health.check()?;
                self.core.site.ensure_folder(&folder(self.id.0[15]))?;
                let file = self.core.disk.open(&path(self.id), OpenMode::CreateNew)?;
                output.file.insert(file)
            }
        };
        let end = output.offset + content.len() as u64;
        if output.offset == 0 || output.offset / SPACE_CHECK_BYTES != end / SPACE_CHECK_BYTES {
            self.core.site.check_space(content.len() as u64)?;
        }
        for chunk in content.chunks(CHUNK_BYTES) {
            output.sums.extend_from_slice(&crc32c(chunk).to_le_bytes());
        }
        file.write_all_at(content, output.offset)?;
        output.offset = end;
        self.core.counters.bytes_written.fetch_add(content.len() as u64, Ordering::Relaxed);
        if output.offset - output.nudged >= WRITEBACK_BYTES {
            file.begin_writeback(output.nudged, output.offset - output.nudged);
            output.nudged = output.offset;
        }
        Ok(())
    }

    fn seal(&self, output: &mut Output) -> io::Result<PinGuard> {
        let file = output.file.as_ref().ok_or_else(|| io::Error::other("an empty lane"))?;
        let mut end = std::mem::take(&mut output.sums);
        let trailer = trailer(self.id, output.offset, &end);
        end.extend_from_slice(&trailer);
        file.write_all_at(&end, output.offset)?;
        // A folder whose sync failed may well say yes when it is asked again.
        self.core.health.check()?;
        self.core.counters.syncs.fetch_add(1, Ordering::Relaxed);
        let synced = file.sync_data();
        self.core.health.note_sync(synced)?;
        let synced = self.core.disk.sync_dir(&folder(self.id.0[15]));
        self.core.health.note_sync(synced)?;
        output.file = None;
        self.core.pins.finish(self.id);
        output.pin.take().ok_or_else(|| io::Error::other("finished twice"))
    }

    /// Removes the unfinished file and lets it go; what cannot be removed now, the sweeper will find.
    fn remove(&self, output: &mut Output) {
        if output.file.take().is_some() {
            let _ = self.core.disk.remove(&path(self.id));
        }
        output.pin = None;
    }
}
