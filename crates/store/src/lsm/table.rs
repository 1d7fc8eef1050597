//! A table: an immutable file of sorted entries, read.
//!
//! Data blocks, filter, facts, index, footer, without gaps; each part but the footer closed by
//! [`codec::seal`]. The index is a block too: per data block a key not below any of its entries and
//! below all of the next block's, and the block's length. The footer is [`FOOTER`] bytes: offset
//! and length of filter, facts and index (u64, u32 each), format, magic, CRC32C of all that.
//! Index and filter are read when the table is first used and held until it goes.

use super::block::Block;
use super::codec::{self, Bad, TRAILER, crc, u32_at, u64_at, unseal, varint};
use super::fence::Fences;
use super::files::{Dead, Files};
use super::filter::Filter;
use super::manifest::Meta;
use crate::disk::{File, OpenMode};
use crate::engine::Version;
use bytes::Bytes;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub(super) const FORMAT: u32 = 1;
pub(super) const MAGIC: &[u8; 8] = b"cumLSMtb";
pub(super) const FOOTER: usize = 52;

/// How much is read at once by those who read on.
const ALONG_BYTES: u64 = 64 << 10;

/// What reading a block does to the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fill {
    /// A point read: the block will be wanted again.
    Hot,
    /// A scan: keep it if there is room.
    Passing,
    /// Maintenance: neither look nor keep.
    Never,
}

#[derive(Debug)]
pub(super) struct Loaded {
    file: Arc<dyn File>,
    pub filter: Filter,
    index: Block,
    /// Of the index's keys.
    fences: Fences,
    /// Where each data block begins, and where the last ends.
    offsets: Box<[u64]>,
}

/// Offset and length of a part.
pub(super) type Part = (u64, u32);

pub(super) struct Footer {
    pub filter: Part,
    pub facts: Part,
    pub index: Part,
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER);
        for (offset, len) in [self.filter, self.facts, self.index] {
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&len.to_le_bytes());
        }
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(MAGIC);
        let sum = crc(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// From the last bytes of a file of this size.
    pub(super) fn decode(bytes: &[u8], size_bytes: u64) -> Result<Self, Bad> {
        const CUT: Bad = Bad("its footer is cut short");
        if bytes.len() != FOOTER || bytes[40..48] != MAGIC[..] {
            return Err(Bad("it is not a table"));
        }
        if u32_at(bytes, 48) != Some(crc(&bytes[..48])) {
            return Err(Bad("its footer fails its checksum"));
        }
        if u32_at(bytes, 36) != Some(FORMAT) {
            return Err(Bad("it is of an unknown format: use the newer build that wrote it"));
        }
        let part = |at: usize| Some((u64_at(bytes, at)?, u32_at(bytes, at + 8)?));
        let filter = part(0).ok_or(CUT)?;
        let facts = part(12).ok_or(CUT)?;
        let index = part(24).ok_or(CUT)?;
        let end = |(offset, len): Part| offset.checked_add(u64::from(len));
        let adjacent = end(filter) == Some(facts.0)
            && end(facts) == Some(index.0)
            && end(index) == size_bytes.checked_sub(FOOTER as u64);
        if adjacent {
            Ok(Self { filter, facts, index })
        } else {
            Err(Bad("its footer points elsewhere"))
        }
    }
}

impl Loaded {
    fn read(file: Arc<dyn File>, meta: &Meta) -> io::Result<Result<Self, Bad>> {
        let size_bytes = meta.size_bytes;
        let Some(footer_at) = size_bytes.checked_sub(FOOTER as u64) else {
            return Ok(Err(Bad("it is too short")));
        };
        if file.len()? != size_bytes {
            return Ok(Err(Bad("its length is not what the manifest says")));
        }
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, footer_at)?;
        let footer = match Footer::decode(&footer, size_bytes) {
            Ok(footer) => footer,
            Err(bad) => return Ok(Err(bad)),
        };
        let mut tail = vec![0; (footer_at - footer.filter.0) as usize];
        file.read_exact_at(&mut tail, footer.filter.0)?;
        Ok(Self::parse(file, meta, &footer, &Bytes::from(tail)))
    }

    /// `tail` holds the file from the filter to the footer.
    fn parse(file: Arc<dyn File>, meta: &Meta, footer: &Footer, tail: &Bytes) -> Result<Self, Bad> {
        let part = |(offset, len): Part| {
            let start = (offset - footer.filter.0) as usize;
            unseal(&tail.slice(start..start + len as usize), offset)
        };
        let facts = part(footer.facts)?;
        if Meta::decode(&facts, &mut 0)? != (Meta { size_bytes: 0, ..meta.clone() }) {
            return Err(Bad("it is not the table that the manifest names"));
        }
        let filter = Filter::new(part(footer.filter)?)?;
        let index = Block::new(part(footer.index)?)?;
        let mut offsets = vec![0u64];
        let mut entries = Vec::new();
        let mut end = 0u64;
        for segment in 0..index.segments() {
            index.segment(segment, &mut entries)?;
        }
        for entry in &entries {
            let value = entry.value.as_ref().ok_or(Bad("its index has a hole"))?;
            let len = varint(value, &mut 0)?;
            end = end.checked_add(len).ok_or(Bad("its index points elsewhere"))?;
            if len <= TRAILER as u64 || end > footer.filter.0 {
                return Err(Bad("its index points elsewhere"));
            }
            offsets.push(end);
        }
        let fences = Fences::new(entries.iter().map(|entry| &entry.key[..]));
        if end != footer.filter.0 || offsets.len() < 2 {
            return Err(Bad("its index does not cover it"));
        }
        Ok(Self { file, filter, index, fences, offsets: offsets.into() })
    }

    /// From which block to before which to read for one and those that follow it.
    fn along(&self, ordinal: usize, reverse: bool) -> (usize, usize) {
        let past = ordinal.saturating_add(1).min(self.blocks());
        if reverse {
            let end = self.offsets[past];
            let near = |start: &&u64| end - **start <= ALONG_BYTES;
            let more = self.offsets[..past].iter().rev().take_while(near).count().max(1);
            (past.saturating_sub(more), past)
        } else {
            let start = self.offsets[ordinal.min(self.blocks())];
            let near = |end: &&u64| **end - start <= ALONG_BYTES;
            let more = self.offsets[past..].iter().take_while(near).count().max(1);
            (ordinal, ordinal + more)
        }
    }

    /// How many data blocks there are.
    pub(super) fn blocks(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The first block that may have entries at or after (key, version).
    pub(super) fn block_for(&self, key: &[u8], version: Version) -> Result<Option<usize>, Bad> {
        let open = self.fences.search(key);
        let ordinal = if open.is_empty() {
            open.start
        } else {
            self.index.find_within(open, key, version)?.map_or(self.blocks(), |found| found.ordinal)
        };
        Ok(Some(ordinal).filter(|ordinal| *ordinal < self.blocks()))
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub meta: Meta,
    files: Arc<Files>,
    loaded: OnceLock<Loaded>,
    /// No manifest names it: its file goes with it.
    unnamed: AtomicBool,
}

impl Table {
    /// A table that the manifest in force names.
    pub(super) fn named(files: Arc<Files>, meta: Meta) -> Self {
        Self { meta, files, loaded: OnceLock::new(), unnamed: AtomicBool::new(false) }
    }

    /// A table just written, that vanishes unless a manifest comes to name it.
    pub(super) fn unnamed(files: Arc<Files>, meta: Meta) -> Self {
        Self { meta, files, loaded: OnceLock::new(), unnamed: AtomicBool::new(true) }
    }

    /// The same table with nothing of it in memory.
    pub(super) fn reopened(&self) -> Self {
        Self::named(Arc::clone(&self.files), self.meta.clone())
    }

    pub(super) fn set_named(&self, named: bool) {
        self.unnamed.store(!named, Ordering::Release);
    }

    pub(super) fn path(&self) -> String {
        self.files.table_path(self.meta.number)
    }

    pub(super) fn bad(&self, bad: Bad) -> io::Error {
        Files::corrupt(&self.path(), bad)
    }

    pub(super) fn holds(&self, key: &[u8]) -> bool {
        self.meta.min_key <= *key && *key <= self.meta.max_key
    }

    pub(super) fn loaded(&self) -> io::Result<&Loaded> {
        if let Some(loaded) = self.loaded.get() {
            return Ok(loaded);
        }
        let file = self.files.disk.open(&self.path(), OpenMode::Read)?;
        let loaded = Loaded::read(file, &self.meta)?.map_err(|bad| self.bad(bad))?;
        Ok(self.loaded.get_or_init(|| loaded))
    }

    /// Reads a data block, through the cache.
    pub(super) fn block(&self, ordinal: usize, fill: Fill) -> io::Result<Block> {
        let loaded = self.loaded()?;
        let (Some(start), Some(end)) =
            (loaded.offsets.get(ordinal), loaded.offsets.get(ordinal + 1))
        else {
            return Err(self.bad(Bad("a block is looked for beyond its end")));
        };
        let id = (self.meta.number, *start);
        if fill != Fill::Never
            && let Some(content) = self.files.cache.get(id)
        {
            return Block::new(content).map_err(|bad| self.bad(bad));
        }
        let len = (end - start) as usize;
        let sealed = self.files.buffers.read(len, |out| loaded.file.read_exact_at(out, *start))?;
        let content = codec::unseal(&sealed, *start).map_err(|bad| self.bad(bad))?;
        if fill != Fill::Never {
            self.files.cache.put(id, &content, fill == Fill::Hot);
        }
        Block::new(content).map_err(|bad| self.bad(bad))
    }

    /// This block and some that follow it in the direction, read at once and not kept in the cache:
    /// numbers and blocks, the first one last.
    pub(super) fn blocks_along(
        &self,
        ordinal: usize,
        reverse: bool,
        fill: Fill,
    ) -> io::Result<Vec<(usize, Block)>> {
        let loaded = self.loaded()?;
        let block = |content| Block::new(content).map_err(|bad| self.bad(bad));
        let (first, past) = loaded.along(ordinal, reverse);
        let bounds = loaded.offsets.get(first..=past);
        let (Some(bounds), Some(own)) = (bounds, loaded.offsets.get(ordinal)) else {
            return Ok(Vec::new());
        };
        let id = (self.meta.number, *own);
        if fill != Fill::Never
            && let Some(content) = self.files.cache.get(id)
        {
            return Ok(vec![(ordinal, block(content)?)]);
        }
        let start = bounds[0];
        let mut bytes = vec![0; (bounds[bounds.len() - 1] - start) as usize];
        loaded.file.read_exact_at(&mut bytes, start)?;
        let bytes = Bytes::from(bytes);
        let mut blocks = Vec::with_capacity(bounds.len());
        for (at, ends) in bounds.windows(2).enumerate() {
            let sealed = bytes.slice((ends[0] - start) as usize..(ends[1] - start) as usize);
            let content = codec::unseal(&sealed, ends[0]).map_err(|bad| self.bad(bad))?;
            blocks.push((first + at, block(content)?));
        }
        if !reverse {
            blocks.reverse();
        }
        Ok(blocks)
    }

    /// As of `at`: `None` if the table knows nothing of the key, `Some(None)` if it was removed.
    pub(super) fn get(
        &self,
        key: &[u8],
        hash: u64,
        at: Version,
    ) -> io::Result<Option<Option<Bytes>>> {
        let loaded = self.loaded()?;
        if !loaded.filter.may_hold(hash) {
            return Ok(None);
        }
        let Some(ordinal) = loaded.block_for(key, at).map_err(|bad| self.bad(bad))? else {
            return Ok(None);
        };
        let block = self.block(ordinal, Fill::Hot)?;
        let found = block.find(key, at).map_err(|bad| self.bad(bad))?;
        let found = found.filter(|found| found.same_key);
        Ok(found.map(|found| found.raw.value.map(|value| block.value(value))))
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        if *self.unnamed.get_mut() {
            self.files.dead.lock().push(Dead::Table(self.meta.number));
        }
    }
}
