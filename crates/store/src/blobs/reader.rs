//! Giving bytes out: any range of one blob or of several in a row, checked before it is given.

use super::blocking::{Promise, promise};
use super::file::{self, CHUNK_BYTES, TRAILER_BYTES};
use super::pins::{PinGuard, Target};
use super::rows::{BlobRow, Place};
use super::segment::{HEADER_BYTES, SUM_BYTES};
use super::writer::PinnedBlob;
use super::{BlobId, BlobRef, Core, corrupt, crc32c, segment};
use crate::disk::{File, OpenMode};
use crate::error::StoreError;
use crate::tx::Tx;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// Pieces that are read before they are asked for.
const AHEAD_MAX: usize = 2;
/// Checksums of a file that are read at once: those of 1 GiB.
const SUMS_WINDOW: u64 = 4096;
/// Buffers that are kept for the next reader: 2 MiB.
const BUFFERS_MAX: usize = 8;

/// The content of a blob, or of several one after the other. What it reads stays until it is
/// dropped, even if every row that refers to it is deleted meanwhile. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BlobReader(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    parts: Vec<Part>,
    size_bytes: u64,
}

impl Inner {
    fn new(core: &Arc<Core>, parts: usize) -> Inner {
        Inner { core: Arc::clone(core), parts: Vec::with_capacity(parts), size_bytes: 0 }
    }

    fn add(&mut self, id: BlobId, size_bytes: u64, source: Source) {
        self.parts.push(Part { id, start: self.size_bytes, size_bytes, source });
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
    }

    fn add_row(&mut self, id: BlobId, row: &BlobRow) {
        let (size_bytes, source) = match &row.place {
            Place::Row => (row.content.len() as u64, Source::Row(row.content.clone())),
            Place::Segment(place) => {
                let source = Source::Segment(SegmentSource {
                    number: place.number,
                    offset: place.offset.saturating_add(HEADER_BYTES as u64),
                    sums: row.sums.clone(),
                    handle: OnceLock::new(),
                    _pin: self.core.pins.pin(Target::Segment(place.number)),
                });
                (row.size_bytes, source)
            }
            Place::File => {
                let source = Source::File(FileSource {
                    handle: OnceLock::new(),
                    sums: Mutex::default(),
                    _pin: self.core.pins.pin(Target::File(id)),
                });
                (row.size_bytes, source)
            }
        };
        self.add(id, size_bytes, source);
    }
}

#[derive(Debug)]
struct Part {
    id: BlobId,
    /// Where it begins in the whole.
    start: u64,
    size_bytes: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Row(Bytes),
    Segment(SegmentSource),
    File(FileSource),
}

#[derive(Debug)]
struct SegmentSource {
    number: u64,
    /// Where the content begins.
    offset: u64,
    sums: Vec<u8>,
    handle: OnceLock<Arc<dyn File>>,
    _pin: PinGuard,
}

#[derive(Debug)]
struct FileSource {
    handle: OnceLock<Arc<dyn File>>,
    /// Some of the checksums: the number of the window, and its bytes.
    sums: Mutex<Option<(u64, Bytes)>>,
    _pin: PinGuard,
}

impl BlobReader {
    pub(super) fn open(
        core: &Arc<Core>,
        tx: &Tx,
        blobs: &[BlobRef],
    ) -> Result<BlobReader, StoreError> {
        let mut inner = Inner::new(core, blobs.len());
        for blob in blobs {
            match &blob.content {
                Some(content) => {
                    inner.add(blob.id, content.len() as u64, Source::Row(content.clone()))
                }
                None => inner.add_row(blob.id, &*tx.shared_blob_row(blob)?),
            }
        }
        Ok(BlobReader(Arc::new(inner)))
    }

    pub(super) fn open_pinned(core: &Arc<Core>, blob: &PinnedBlob) -> BlobReader {
        BlobReader::of_row(core, blob.id(), &blob.row())
    }

    /// The pin is taken within the transaction that read the row: until it ends, nothing that it
    /// points at is removed.
    pub(super) fn of_row(core: &Arc<Core>, id: BlobId, row: &BlobRow) -> BlobReader {
        let mut inner = Inner::new(core, 1);
        inner.add_row(id, row);
        BlobReader(Arc::new(inner))
    }

    pub fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }

    /// A range as a stream of pieces of at most 256 KiB. What lies beyond the end is left out.
    pub fn stream(&self, range: Range<u64>) -> BlobStream {
        let end = range.end.min(self.0.size_bytes);
        let at = range.start.min(end);
        BlobStream { inner: Arc::clone(&self.0), at, end, ahead: VecDeque::new() }
    }

    /// A range at once, for those that fit into memory.
    pub async fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let mut stream = self.stream(range);
        let Some(first) = stream.next().await else { return Ok(Bytes::new()) };
        let first = first?;
        let Some(mut next) = stream.next().await else { return Ok(first) };
        let mut whole = first.to_vec();
        loop {
            whole.extend_from_slice(&next?);
            next = match stream.next().await {
                Some(next) => next,
                None => return Ok(Bytes::from(whole)),
            };
        }
    }

    /// Reads and checks everything, in the calling thread.
    pub(super) fn verify(&self) -> io::Result<()> {
        self.pieces(|_| ())?;
        self.0.parts.iter().try_for_each(|part| part.verify_frame(&self.0.core))
    }

    /// Appends all of the content, read in the calling thread.
    pub(super) fn read_into(&self, out: &mut Vec<u8>) -> io::Result<()> {
        self.pieces(|piece| out.extend_from_slice(piece))
    }

    fn pieces(&self, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut at = 0;
        while let Some((part, range)) = self.0.piece(at, self.0.size_bytes) {
            at += range.end - range.start;
            take(&self.0.read_whole_piece(part, &range)?);
        }
        Ok(())
    }
}

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Yes,
    No,
}

/// Pieces of a range, in order; read ahead while the caller sends the one before.
#[derive(Debug)]
pub struct BlobStream {
    inner: Arc<Inner>,
    /// What is still to be asked for.
    at: u64,
    end: u64,
    ahead: VecDeque<Ahead>,
}

#[derive(Debug)]
enum Ahead {
    Here(Bytes),
    Coming(Promise<Bytes>),
}

impl BlobStream {
    /// After an error there is nothing more: the rest would be out of place.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        self.read_ahead();
        let polled = match self.ahead.front_mut() {
            None => return Poll::Ready(None),
            Some(Ahead::Here(bytes)) => Poll::Ready(Ok(std::mem::take(bytes))),
            Some(Ahead::Coming(promised)) => Pin::new(promised).poll(context),
        };
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(bytes)) => {
                self.ahead.pop_front();
                self.read_ahead();
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Err(error)) => {
                self.ahead.clear();
                self.at = self.end;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn read_ahead(&mut self) {
        while self.ahead.len() < AHEAD_MAX {
            let Some((part, range)) = self.inner.piece(self.at, self.end) else { return };
            self.at += range.end - range.start;
            if let Source::Row(content) = &self.inner.parts[part].source {
                let bytes = content.slice(range.start as usize..range.end as usize);
                self.ahead.push_back(Ahead::Here(bytes));
                continue;
            }
            // A record that is in memory anyway is not worth waking a thread for. Of longer streams a
            // thread reads one piece while the other is sent.
            let is_only = self.ahead.is_empty() && self.at == self.end;
            if is_only && let Ok(Some(bytes)) = self.inner.read_piece(part, &range, Wait::No) {
                self.ahead.push_back(Ahead::Here(bytes));
                continue;
            }
            let (answer, promised) = promise();
            let inner = Arc::clone(&self.inner);
            self.inner.core.blocking.run(Box::new(move || {
                let piece = inner.read_whole_piece(part, &range);
                // The pins first: whoever has the last piece may expect that they are gone.
                drop(inner);
                answer.give(piece);
            }));
            self.ahead.push_back(Ahead::Coming(promised));
        }
    }
}

impl Inner {
    /// The next piece of `at..end`: the part that it is of, and its range there.
    fn piece(&self, at: u64, end: u64) -> Option<(usize, Range<u64>)> {
        if at >= end {
            return None;
        }
        // Empty parts begin where the next one does: the last that begins at or before `at`.
        let index = self.parts.partition_point(|part| part.start <= at).checked_sub(1)?;
        let part = &self.parts[index];
        let start = at - part.start;
        let chunk_end = (start / CHUNK_BYTES as u64 + 1) * CHUNK_BYTES as u64;
        Some((index, start..chunk_end.min(part.size_bytes).min(end - part.start)))
    }

    fn read_whole_piece(&self, part: usize, range: &Range<u64>) -> io::Result<Bytes> {
        let piece = self.read_piece(part, range, Wait::Yes)?;
        piece.ok_or_else(|| io::Error::other("a read that waits has an outcome"))
    }

    /// `None` if it would have to wait, and may not.
    fn read_piece(&self, part: usize, range: &Range<u64>, wait: Wait) -> io::Result<Option<Bytes>> {
        let part = &self.parts[part];
        let unit = match &part.source {
            Source::Row(content) => {
                return Ok(Some(content.slice(range.start as usize..range.end as usize)));
            }
            Source::Segment(_) => SUM_BYTES as u64,
            Source::File(_) => CHUNK_BYTES as u64,
        };
        let from = range.start / unit * unit;
        let to = range
            .end
            .checked_next_multiple_of(unit)
            .map_or(part.size_bytes, |to| to.min(part.size_bytes));
        let mut buffer = self.core.buffers.take((to - from) as usize);
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
                corrupt(part.id, "its bytes are missing")
            }
            _ => error,
        };
        let out = buffer.bytes_mut();
        if !part.read_checked(&self.core, out, from, unit, wait).map_err(missing)? {
            return Ok(None);
        }
        self.core.counters.bytes_read.fetch_add(to - from, Ordering::Relaxed);
        let bytes = Bytes::from_owner(buffer);
        Ok(Some(bytes.slice((range.start - from) as usize..(range.end - from) as usize)))
    }
}

impl Part {
    /// `false` if it would have to wait, and may not.
    fn read_checked(
        &self,
        core: &Core,
        out: &mut [u8],
        from: u64,
        unit: u64,
        wait: Wait,
    ) -> io::Result<bool> {
        let first = from / unit;
        let count = (out.len() as u64).div_ceil(unit);
        let sums = match &self.source {
            Source::Row(_) => return Ok(true),
            Source::Segment(source) => {
                if !source.read(core, out, source.offset.saturating_add(from), wait)? {
                    return Ok(false);
                }
                let sums = source.sums.get(first as usize * 4..(first + count) as usize * 4);
                Bytes::copy_from_slice(sums.unwrap_or_default())
            }
            Source::File(_) if wait == Wait::No => return Ok(false),
            Source::File(source) => {
                let file = source.file(core, self)?;
                file.read_exact_at(out, from)?;
                source.sums(&**file, self, first)?
            }
        };
        let mut sums = sums.chunks_exact(4);
        for chunk in out.chunks(unit as usize) {
            if sums.next() != Some(&crc32c(chunk).to_le_bytes()) {
                return Err(corrupt(self.id, "the content does not match its checksum"));
            }
        }
        Ok(true)
    }

    /// What surrounds the content: it is not needed to read it, but tells what it is.
    fn verify_frame(&self, core: &Core) -> io::Result<()> {
        match &self.source {
            Source::Row(_) => Ok(()),
            Source::Segment(source) => {
                let mut header = [0; HEADER_BYTES];
                let at = source.offset - HEADER_BYTES as u64;
                source.file(core)?.read_exact_at(&mut header, at)?;
                if segment::is_header_of(&header, self.id, self.size_bytes, &source.sums) {
                    return Ok(());
                }
                Err(corrupt(self.id, "the header in the segment is not that of the blob"))
            }
            Source::File(source) => {
                let file = source.file(core, self)?;
                let count = file::sums_count(self.size_bytes);
                let mut end = vec![0; count as usize * 4 + TRAILER_BYTES];
                file.read_exact_at(&mut end, self.size_bytes)?;
                let (sums, trailer) = end.split_at(count as usize * 4);
                if trailer == file::trailer(self.id, self.size_bytes, sums) {
                    return Ok(());
                }
                Err(corrupt(self.id, "the end of the file is not that of the blob"))
            }
        }
    }
}

impl SegmentSource {
    fn read(&self, core: &Core, out: &mut [u8], offset: u64, wait: Wait) -> io::Result<bool> {
        if wait == Wait::Yes {
            return self.file(core)?.read_exact_at(out, offset).map(|()| true);
        }
        match core.segments.opened(self.number) {
            Some(file) => file.read_cached_at(out, offset),
            None => Ok(false),
        }
    }

    fn file(&self, core: &Core) -> io::Result<&Arc<dyn File>> {
        if let Some(file) = self.handle.get() {
            return Ok(file);
        }
        let file = core.segments.open(self.number)?;
        Ok(self.handle.get_or_init(|| file))
    }
}

impl FileSource {
    fn file(&self, core: &Core, part: &Part) -> io::Result<&Arc<dyn File>> {
        if let Some(file) = self.handle.get() {
            return Ok(file);
        }
        let file = core.disk.open(&file::path(part.id), OpenMode::Read)?;
        let mut trailer = [0; TRAILER_BYTES];
        let at = part.size_bytes.saturating_add(file::sums_count(part.size_bytes) * 4);
        // The length bounds what is allocated for checksums later on.
        if file.len()? != at.saturating_add(TRAILER_BYTES as u64) {
            return Err(corrupt(part.id, "the file has the wrong length"));
        }
        file.read_exact_at(&mut trailer, at)?;
        if !file::is_trailer_of(&trailer, part.id, part.size_bytes) {
            return Err(corrupt(part.id, "the end of the file is not that of the blob"));
        }
        Ok(self.handle.get_or_init(|| file))
    }

    /// The checksums from that of chunk `first` on, one at least.
    fn sums(&self, file: &dyn File, part: &Part, first: u64) -> io::Result<Bytes> {
        let number = first / SUMS_WINDOW;
        let mut window = self.sums.lock();
        let sums = match &*window {
            Some((known, sums)) if *known == number => sums.clone(),
            _ => {
                let start = number * SUMS_WINDOW;
                let count = (file::sums_count(part.size_bytes) - start).min(SUMS_WINDOW);
                let mut bytes = vec![0; count as usize * 4];
                file.read_exact_at(&mut bytes, part.size_bytes + start * 4)?;
                let bytes = Bytes::from(bytes);
                *window = Some((number, bytes.clone()));
                bytes
            }
        };
        Ok(sums.slice((first % SUMS_WINDOW) as usize * 4..))
    }
}

/// Buffers of one chunk, used again: touching fresh memory costs more than reading a cached file.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Box<[u8]>>>);

impl Buffers {
    fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
        let is_large = length > CHUNK_BYTES / 2;
        let spare = if is_large { self.0.lock().pop() } else { None };
        let capacity = if is_large { CHUNK_BYTES } else { length };
        let bytes = spare.unwrap_or_else(|| vec![0; capacity].into_boxed_slice());
        Buffer { bytes, length, home: is_large.then(|| Arc::clone(self)) }
    }
}

struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
    home: Option<Arc<Buffers>>,
}

impl Buffer {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            let mut spare = home.0.lock();
            if spare.len() < BUFFERS_MAX {
                spare.push(std::mem::take(&mut self.bytes));
            }
        }
    }
}
