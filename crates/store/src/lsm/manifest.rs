//! The list of live tables: what an engine is made of when it opens.
//!
//! One file, always replaced whole: written beside, synced, renamed over. Magic, format, flushed
//! version, next file number, then per level its tables (level 0 newest first, the others by key),
//! and a CRC32C over all before it. A table's facts stand here so that opening reads no table.

use super::codec::{Bad, bytes_at, crc, put_bytes, put_varint, u32_at, varint};
use crate::engine::Version;
use bytes::Bytes;
use std::collections::BTreeSet;

pub(super) const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"cumLSMmf";
/// Far more than ten-fold levels can ever fill.
pub(super) const LEVELS_MAX: usize = 10;

/// What is known of a table without opening it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    pub number: u64,
    pub size_bytes: u64,
    pub entries: u64,
    pub tombstones: u64,
    pub oldest: Version,
    pub newest: Version,
    pub min_key: Bytes,
    pub max_key: Bytes,
}

impl Meta {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in
            [self.number, self.size_bytes, self.entries, self.tombstones, self.oldest, self.newest]
        {
            put_varint(out, field);
        }
        put_bytes(out, &self.min_key);
        put_bytes(out, &self.max_key);
    }

    pub(super) fn decode(bytes: &Bytes, at: &mut usize) -> Result<Self, Bad> {
        let meta = Self {
            number: varint(bytes, at)?,
            size_bytes: varint(bytes, at)?,
            entries: varint(bytes, at)?,
            tombstones: varint(bytes, at)?,
            oldest: varint(bytes, at)?,
            newest: varint(bytes, at)?,
            min_key: bytes_at(bytes, at)?,
            max_key: bytes_at(bytes, at)?,
        };
        if meta.min_key > meta.max_key || meta.oldest > meta.newest || meta.entries == 0 {
            return Err(Bad("a table's facts contradict each other"));
        }
        Ok(meta)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Manifest {
    pub flushed: Version,
    pub next_number: u64,
    pub levels: Vec<Vec<Meta>>,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&FORMAT.to_le_bytes());
        put_varint(&mut out, self.flushed);
        put_varint(&mut out, self.next_number);
        put_varint(&mut out, self.levels.len() as u64);
        for level in &self.levels {
            put_varint(&mut out, level.len() as u64);
            for meta in level {
                meta.encode(&mut out);
            }
        }
        let sum = crc(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, Bad> {
        if bytes.get(..8) != Some(MAGIC) {
            return Err(Bad("it is not a manifest"));
        }
        if u32_at(&bytes, 8) != Some(FORMAT) {
            return Err(Bad("it is of an unknown format: use the newer build that wrote it"));
        }
        let end = bytes.len().saturating_sub(4).max(12);
        if u32_at(&bytes, end) != Some(crc(&bytes[..end])) {
            return Err(Bad("it fails its checksum"));
        }
        let bytes = bytes.slice(..end);
        let at = &mut 12;
        let (flushed, next_number) = (varint(&bytes, at)?, varint(&bytes, at)?);
        let mut levels = Vec::new();
        let count = varint(&bytes, at)?;
        if count > LEVELS_MAX as u64 {
            return Err(Bad("it has too many levels"));
        }
        for _ in 0..count {
            let mut level = Vec::new();
            for _ in 0..varint(&bytes, at)? {
                level.push(Meta::decode(&bytes, at)?);
            }
            levels.push(level);
        }
        if *at != bytes.len() {
            return Err(Bad("it goes on after its end"));
        }
        let manifest = Self { flushed, next_number, levels };
        manifest.verify()?;
        Ok(manifest)
    }

    pub(super) fn verify(&self) -> Result<(), Bad> {
        let mut numbers = BTreeSet::new();
        for meta in self.levels.iter().flatten() {
            if meta.number >= self.next_number || !numbers.insert(meta.number) {
                return Err(Bad("a table's number is impossible"));
            }
            if meta.newest > self.flushed {
                return Err(Bad("a table is newer than the whole"));
            }
        }
        for level in self.levels.iter().skip(1) {
            if level.windows(2).any(|pair| pair[0].max_key >= pair[1].min_key) {
                return Err(Bad("tables of a level overlap"));
            }
        }
        Ok(())
    }
}
