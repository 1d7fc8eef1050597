//! A table being written.

use super::Entry;
use super::block::BlockBuilder;
use super::codec::{self, common_prefix, put_varint};
use super::files::{Dead, Files};
use super::filter;
use super::manifest::Meta;
use super::table::Footer;
use crate::disk::{File, OpenMode};
use crate::engine::Version;
use bytes::Bytes;
use std::io;
use std::sync::Arc;

/// Bytes that go to the disk at once.
const WRITE_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct TableWriter {
    files: Arc<Files>,
    number: u64,
    file: Arc<dyn File>,
    block_bytes: usize,
    bits_per_key: usize,
    block: BlockBuilder,
    index: BlockBuilder,
    /// Length of a block that is closed but not in the index yet, for want of the next key.
    closed: Option<u64>,
    /// Closed parts that are not on the disk yet.
    pending: Vec<u8>,
    written: u64,
    hashes: Vec<u64>,
    last: (Bytes, Version),
    meta: Option<Meta>,
    finished: bool,
}

/// A short key not below `low` and below `high`.
fn separator(low: &[u8], high: &[u8]) -> Vec<u8> {
    let shared = common_prefix(low, high);
    // `low` < `high`, so `high` goes on after what they share.
    let short = high.get(..=shared).unwrap_or(low);
    if short.len() < low.len() && short < high { short.to_vec() } else { low.to_vec() }
}

impl TableWriter {
    pub(super) fn create(
        files: &Arc<Files>,
        number: u64,
        block_bytes: usize,
        bits_per_key: usize,
    ) -> io::Result<Self> {
        let file = files.disk.open(&files.table_path(number), OpenMode::CreateNew)?;
        Ok(Self {
            files: Arc::clone(files),
            number,
            file,
            block_bytes,
            bits_per_key,
            block: BlockBuilder::default(),
            index: BlockBuilder::default(),
            closed: None,
            pending: Vec::new(),
            written: 0,
            hashes: Vec::new(),
            last: (Bytes::new(), 0),
            meta: None,
            finished: false,
        })
    }

    fn offset(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// About what the file would be if it ended here.
    pub(super) fn size_bytes(&self) -> u64 {
        self.offset() + (self.block.len() + self.index.len()) as u64
    }

    pub(super) fn last_key(&self) -> &[u8] {
        &self.last.0
    }

    /// Entries come in the engine's order.
    pub(super) fn add(&mut self, entry: &Entry) -> io::Result<()> {
        if let Some(len) = self.closed.take() {
            let (last_key, last_version) = &self.last;
            if *last_key == entry.key {
                self.index_block(&entry.key.clone(), *last_version, len);
            } else {
                self.index_block(&separator(last_key, &entry.key), 0, len);
            }
        }
        if self.meta.is_none() || self.last.0 != entry.key {
            self.hashes.push(filter::hash(&entry.key));
        }
        self.block.add(&entry.key, entry.version, entry.value.as_deref());
        let meta = self.meta.get_or_insert_with(|| Meta {
            number: self.number,
            size_bytes: 0,
            entries: 0,
            tombstones: 0,
            oldest: entry.version,
            newest: entry.version,
            // A copy, so that it holds no block.
            min_key: Bytes::copy_from_slice(&entry.key),
            max_key: Bytes::new(),
        });
        meta.entries += 1;
        meta.tombstones += u64::from(entry.value.is_none());
        meta.oldest = meta.oldest.min(entry.version);
        meta.newest = meta.newest.max(entry.version);
        self.last = (entry.key.clone(), entry.version);
        if self.block.len() >= self.block_bytes {
            self.close_block();
            if self.pending.len() >= WRITE_BYTES {
                self.write_pending()?;
            }
        }
        Ok(())
    }

    fn index_block(&mut self, key: &[u8], version: Version, len: u64) {
        let mut value = Vec::with_capacity(10);
        put_varint(&mut value, len);
        self.index.add(key, version, Some(&value));
    }

    fn close_block(&mut self) {
        let (start, offset) = (self.pending.len(), self.offset());
        self.block.finish(&mut self.pending);
        codec::seal(&mut self.pending, start, offset);
        self.closed = Some((self.pending.len() - start) as u64);
    }

    fn write_pending(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.written)?;
        // So that the sync at the end is short, and does not hold up that of the log.
        self.file.begin_writeback(self.written, self.pending.len() as u64);
        self.written += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Appends a part that `fill` writes; its offset and length.
    fn part(&mut self, fill: impl FnOnce(&mut Self, &mut Vec<u8>)) -> io::Result<(u64, u32)> {
        let (start, offset) = (self.pending.len(), self.offset());
        let mut pending = std::mem::take(&mut self.pending);
        fill(self, &mut pending);
        codec::seal(&mut pending, start, offset);
        self.pending = pending;
        let len = u32::try_from(self.pending.len() - start);
        Ok((offset, len.map_err(|_| io::Error::other("a table has grown too large to index"))?))
    }

    /// Writes the rest and makes the bytes durable (not the name). At least one entry was added.
    pub(super) fn finish(mut self) -> io::Result<Meta> {
        let Some(mut meta) = self.meta.take() else {
            return Err(io::Error::other("a table without entries was finished"));
        };
        if !self.block.is_empty() {
            self.close_block();
        }
        let (last_key, last_version) = self.last.clone();
        if let Some(len) = self.closed.take() {
            self.index_block(&last_key, last_version, len);
        }
        meta.max_key = Bytes::copy_from_slice(&last_key);
        let filter = self.part(|writer, out| {
            filter::build(&writer.hashes, writer.bits_per_key, out);
        })?;
        let facts = self.part(|_, out| meta.encode(out))?;
        let index = self.part(|writer, out| writer.index.finish(out))?;
        let footer = Footer { filter, facts, index }.encode();
        self.pending.extend_from_slice(&footer);
        self.write_pending()?;
        self.file.sync_data()?;
        meta.size_bytes = self.written;
        self.finished = true;
        Ok(meta)
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        if !self.finished {
            self.files.dead.lock().push(Dead::Table(self.number));
        }
    }
}
