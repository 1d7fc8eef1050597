//! Taking bytes in: from memory, to a place that suits the size, to a [`PinnedBlob`].

use super::blocking::promise;
use super::file::{CHUNK_BYTES, Chunk, Lane};
use super::pins::PinGuard;
use super::rows::{BlobRow, Place, SegmentPlace};
use super::segment::HEADER_BYTES;
use super::{
    BlobId, BlobRef, Core, Counters, INLINE_BLOB_BYTES_MAX, ROW_BLOB_BYTES_MAX,
    SEGMENT_BLOB_BYTES_MAX,
};
use bytes::Bytes;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What the head can grow to.
const HEAD_BYTES_MAX: usize = HEADER_BYTES + SEGMENT_BLOB_BYTES_MAX;
/// What a file being written holds in its queue.
const LANE_BYTES: usize = 4 * CHUNK_BYTES;
/// What all writers together may hold.
const BUFFERED_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A blob being written. Holds at most 2 MiB, whatever the size. Dropping it leaves nothing behind.
///
/// Its futures need no runtime and may be polled by any. An error of kind `StorageFull` says that the
/// disk is full, `ResourceBusy` that too much is being written at once (as
/// [`StoreError`](crate::StoreError) they are `Full` and `Busy`); after any error the writer is of no use any more.
#[derive(Debug)]
pub struct BlobWriter {
    core: Arc<Core>,
    id: BlobId,
    size_bytes: u64,
    /// How much may come, as far as is known.
    expected: usize,
    /// Room for a record's header, then the content as long as it may fit into a segment.
    head: Vec<u8>,
    chunk: Vec<u8>,
    lane: Option<Arc<Lane>>,
    charge: Charge,
    /// A future of `write` was dropped half-way, or failed: some bytes were taken, some not.
    is_torn: bool,
}

impl BlobWriter {
    pub(super) fn new(core: Arc<Core>, size_hint: Option<u64>) -> BlobWriter {
        let id = core.next_id();
        let is_large = size_hint.is_some_and(|size| size > SEGMENT_BLOB_BYTES_MAX as u64);
        let lane = is_large.then(|| Lane::new(Arc::clone(&core), id));
        let expected = size_hint.map_or(0, |size| usize::try_from(size).unwrap_or(0));
        let (head, chunk) = (Vec::new(), Vec::new());
        let charge = Charge { counters: Arc::clone(&core.counters), bytes: 0 };
        let is_torn = false;
        BlobWriter { core, id, size_bytes: 0, expected, head, chunk, lane, charge, is_torn }
    }

    /// How many bytes were taken so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Takes all of `bytes`. Waits only while the disk is behind by several chunks. A future that is
    /// dropped before it is ready spoils the writer.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            return Err(io::Error::other("an earlier write failed or was given up"));
        }
        self.is_torn = true;
        self.take(bytes).await?;
        self.is_torn = false;
        Ok(())
    }

    async fn take(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if self.lane.is_none() {
            bytes = self.take_into_head(bytes)?;
            if bytes.is_empty() {
                return Ok(());
            }
            self.charge.raise_to(LANE_BYTES + HEAD_BYTES_MAX)?;
            let lane = Lane::new(Arc::clone(&self.core), self.id);
            lane.send(Chunk { bytes: std::mem::take(&mut self.head), start: HEADER_BYTES });
            self.lane = Some(lane);
        }
        let Some(lane) = &self.lane else { return Ok(()) };
        self.charge.raise_to(LANE_BYTES)?;
        while !bytes.is_empty() {
            if self.chunk.capacity() == 0 {
                self.chunk = poll_fn(|context| lane.poll_room(context)).await?;
            }
            let room = CHUNK_BYTES - self.chunk.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(fits);
            self.size_bytes += fits.len() as u64;
            bytes = rest;
            if self.chunk.len() == CHUNK_BYTES {
                lane.send(Chunk { bytes: std::mem::take(&mut self.chunk), start: 0 });
            }
        }
        Ok(())
    }

    /// Gives back what does not fit into a segment any more.
    fn take_into_head<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        if self.head.is_empty() {
            self.head.reserve_exact(HEADER_BYTES + self.expected.min(SEGMENT_BLOB_BYTES_MAX));
            self.head.resize(HEADER_BYTES, 0);
        }
        let length = self.head.len();
        let (fits, rest) = bytes.split_at((HEAD_BYTES_MAX - length).min(bytes.len()));
        let needed = length + fits.len();
        if needed > self.head.capacity() {
            let capacity = (needed * 2).clamp(4096, HEAD_BYTES_MAX);
            self.head.reserve_exact(capacity - length);
        }
        self.charge.raise_to(self.head.capacity())?;
        self.head.extend_from_slice(fits);
        self.size_bytes += fits.len() as u64;
        Ok(rest)
    }

    /// Makes the blob durable (one in a row becomes so with the commit that adopts it).
    pub async fn finish(mut self) -> io::Result<PinnedBlob> {
        if self.is_torn {
            return Err(io::Error::other("an earlier write failed or was given up"));
        }
        let blob = BlobRef { id: self.id, size_bytes: self.size_bytes, content: None };
        if let Some(lane) = self.lane.clone() {
            return self.finish_file(blob, lane).await;
        }
        self.take_into_head(&[])?;
        let head = std::mem::take(&mut self.head);
        if self.size_bytes <= ROW_BLOB_BYTES_MAX as u64 {
            let content = Bytes::from(head).slice(HEADER_BYTES..);
            return Ok(PinnedBlob::new(blob, Content::Row(content)));
        }
        self.finish_record(blob, head).await
    }

    async fn finish_record(&self, blob: BlobRef, mut head: Vec<u8>) -> io::Result<PinnedBlob> {
        let (answer, promised) = promise();
        let core = Arc::clone(&self.core);
        self.core.blocking.run(Box::new(move || {
            let written =
                core.health.check().and_then(|()| core.segments.append(blob.id, &mut head));
            drop(head);
            match written {
                Ok(unsynced) => core.segments.sync(unsynced, answer),
                Err(error) => answer.give(Err(error)),
            }
        }));
        let record = promised.await?;
        let place = SegmentPlace { number: record.number, offset: record.offset };
        Ok(PinnedBlob::new(blob, Content::Segment { place, sums: record.sums, _pin: record.pin }))
    }

    async fn finish_file(&mut self, blob: BlobRef, lane: Arc<Lane>) -> io::Result<PinnedBlob> {
        // A hint that promised more than came: an empty chunk makes the file all the same.
        if !self.chunk.is_empty() || self.size_bytes == 0 {
            lane.send(Chunk { bytes: std::mem::take(&mut self.chunk), start: 0 });
        }
        let (answer, promised) = promise();
        lane.finish(answer);
        let pin = promised.await?;
        self.lane = None;
        Ok(PinnedBlob::new(blob, Content::File { _pin: pin }))
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if let Some(lane) = self.lane.take() {
            lane.cancel();
        }
    }
}

/// What a writer holds of the memory that all writers share.
#[derive(Debug)]
struct Charge {
    counters: Arc<Counters>,
    bytes: u64,
}

impl Charge {
    fn raise_to(&mut self, bytes: usize) -> io::Result<()> {
        let more = (bytes as u64).saturating_sub(self.bytes);
        if more == 0 {
            return Ok(());
        }
        let before = self.counters.bytes_buffered.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before + more > BUFFERED_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "too many uploads are under way; try again",
            ));
        }
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.counters.bytes_buffered.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) enum Content {
    Row(Bytes),
    Segment { place: SegmentPlace, sums: Vec<u8>, _pin: PinGuard },
    File { _pin: PinGuard },
}

/// A finished blob that stays as long as this lives, whether or not a row refers to it. Cheap to
/// clone. Once the last clone is dropped, what no committed row has adopted is removed.
#[derive(Clone, Debug)]
pub struct PinnedBlob(Arc<Pinned>);

#[derive(Debug)]
struct Pinned {
    blob: BlobRef,
    content: Content,
    /// Whether a transaction may have adopted it: before that no row of it can be there.
    is_offered: AtomicBool,
}

impl PinnedBlob {
    fn new(blob: BlobRef, content: Content) -> PinnedBlob {
        PinnedBlob(Arc::new(Pinned { blob, content, is_offered: AtomicBool::new(false) }))
    }

    pub(super) fn of_row(id: BlobId, content: Bytes) -> Option<PinnedBlob> {
        (content.len() <= ROW_BLOB_BYTES_MAX).then(|| {
            let blob = BlobRef { id, size_bytes: content.len() as u64, content: None };
            PinnedBlob::new(blob, Content::Row(content))
        })
    }

    /// What a row keeps of it; with its content where it is short.
    pub(super) fn reference(&self) -> BlobRef {
        let mut blob = self.0.blob.clone();
        if let Content::Row(content) = &self.0.content
            && content.len() <= INLINE_BLOB_BYTES_MAX
        {
            blob.content = Some(content.clone());
        }
        blob
    }

    pub(super) fn id(&self) -> BlobId {
        self.0.blob.id
    }

    /// Whether this was asked before. The first transaction to adopt a blob need not look for it.
    pub(super) fn offer(&self) -> bool {
        self.0.is_offered.swap(true, Ordering::Relaxed)
    }

    pub fn size_bytes(&self) -> u64 {
        self.0.blob.size_bytes
    }

    pub(super) fn row(&self) -> BlobRow {
        let Pinned { blob, content, .. } = &*self.0;
        let (place, sums, content) = match content {
            Content::Row(bytes) => (Place::Row, Vec::new(), bytes.clone()),
            Content::Segment { place, sums, .. } => {
                (Place::Segment(place.clone()), sums.clone(), Bytes::new())
            }
            Content::File { .. } => (Place::File, Vec::new(), Bytes::new()),
        };
        BlobRow { references: 1, size_bytes: blob.size_bytes, place, sums, content }
    }
}
