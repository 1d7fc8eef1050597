//! Blocks: sorted entries whose keys share prefixes, found by restart points.
//!
//! Values come first, then the entries they belong to, so that a search touches little memory. An
//! entry is four varints (bytes shared with the key before, bytes of its own, value length plus one
//! or 0 for a tombstone, version), then its own key bytes; its value follows that of the entry
//! before. Each [`RESTART`]th entry shares nothing; where it and its value begin (u32, u32) follows
//! the entries for each of those, then their number.
//! Entries stand in the order of the engine: keys ascending, versions of a key descending.
//! Nothing here trusts the bytes: a block that lies gives [`Bad`], or wrong entries if its checksum
//! was forged with it, but never a panic.

use super::Entry;
use super::codec::{Bad, common_prefix, put_varint, u32_at, varint};
use crate::engine::Version;
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::Range;

/// Entries from one restart point to the next. Part of the file format.
pub(super) const RESTART: usize = 8;

/// What a restart point takes.
const RESTART_BYTES: usize = 8;

const CUT: Bad = Bad("an entry is cut short");

#[derive(Default, Debug)]
pub(super) struct BlockBuilder {
    values: Vec<u8>,
    entries: Vec<u8>,
    /// Where in those two.
    restarts: Vec<(u32, u32)>,
    last_key: Vec<u8>,
    count: usize,
}

impl BlockBuilder {
    pub(super) fn add(&mut self, key: &[u8], version: Version, value: Option<&[u8]>) {
        let shared = if self.count.is_multiple_of(RESTART) {
            self.restarts.push((self.entries.len() as u32, self.values.len() as u32));
            0
        } else {
            common_prefix(&self.last_key, key)
        };
        self.count += 1;
        put_varint(&mut self.entries, shared as u64);
        put_varint(&mut self.entries, (key.len() - shared) as u64);
        put_varint(&mut self.entries, value.map_or(0, |value| value.len() as u64 + 1));
        put_varint(&mut self.entries, version);
        self.entries.extend_from_slice(&key[shared..]);
        self.values.extend_from_slice(value.unwrap_or_default());
        self.last_key.truncate(shared);
        self.last_key.extend_from_slice(&key[shared..]);
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() + self.entries.len() + self.restarts.len() * RESTART_BYTES + 4
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends the block to `out` and begins the next.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.values);
        out.extend_from_slice(&self.entries);
        for (entry, value) in &self.restarts {
            out.extend_from_slice(&(self.values.len() as u32 + entry).to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&(self.restarts.len() as u32).to_le_bytes());
        self.values.clear();
        self.entries.clear();
        self.restarts.clear();
        self.last_key.clear();
        self.count = 0;
    }
}

/// Where an entry and its value begin.
type Place = (usize, usize);

/// An entry as it stands in the block.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    shared: usize,
    /// The key's own bytes.
    suffix: Range<usize>,
    pub version: Version,
    /// `None`: a tombstone.
    pub value: Option<Range<usize>>,
    /// Of the entry after it.
    next: Place,
}

/// The first entry at or after what was looked for.
#[derive(Debug)]
pub(super) struct Found {
    pub ordinal: usize,
    /// Its key is the one looked for.
    pub same_key: bool,
    pub raw: Raw,
}

#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: Bytes,
    values_end: usize,
    entries_end: usize,
    restarts: usize,
}

impl Block {
    pub(super) fn new(bytes: Bytes) -> Result<Self, Bad> {
        let end = bytes.len().checked_sub(4).ok_or(CUT)?;
        let restarts = u32_at(&bytes, end).ok_or(CUT)? as usize;
        let size = restarts.checked_mul(RESTART_BYTES);
        let entries_end = size.and_then(|size| end.checked_sub(size));
        let entries_end = entries_end.ok_or(Bad("a block has too many restart points"))?;
        let values_end = u32_at(&bytes, entries_end).filter(|_| restarts > 0).unwrap_or(0) as usize;
        if values_end > entries_end {
            return Err(Bad("a restart point is out of bounds"));
        }
        Ok(Self { bytes, values_end, entries_end, restarts })
    }

    /// How many restart points, and so segments, it has.
    pub(super) fn segments(&self) -> usize {
        self.restarts
    }

    pub(super) fn value(&self, range: Range<usize>) -> Bytes {
        self.bytes.slice(range)
    }

    fn restart(&self, segment: usize) -> Result<Place, Bad> {
        let at = self.entries_end + segment * RESTART_BYTES;
        let entry = u32_at(&self.bytes, at).ok_or(CUT)? as usize;
        let value = u32_at(&self.bytes, at + 4).ok_or(CUT)? as usize;
        if entry < self.values_end || entry >= self.entries_end || value > self.values_end {
            return Err(Bad("a restart point is out of bounds"));
        }
        Ok((entry, value))
    }

    /// Where a segment's entries end.
    fn segment_end(&self, segment: usize) -> Result<usize, Bad> {
        if segment + 1 < self.restarts {
            Ok(self.restart(segment + 1)?.0)
        } else {
            Ok(self.entries_end)
        }
    }

    #[inline]
    fn entry(&self, (at, value_at): Place) -> Result<Raw, Bad> {
        let entries = &self.bytes[..self.entries_end];
        let mut at = at;
        let shared = varint(entries, &mut at)? as usize;
        let own = varint(entries, &mut at)? as usize;
        let value = varint(entries, &mut at)? as usize;
        let version = varint(entries, &mut at)?;
        let end = at.checked_add(own).filter(|end| *end <= self.entries_end).ok_or(CUT)?;
        let value_end = value_at.checked_add(value.saturating_sub(1));
        let value_end = value_end.filter(|end| *end <= self.values_end).ok_or(CUT)?;
        let value = (value > 0).then_some(value_at..value_end);
        Ok(Raw { shared, suffix: at..end, version, value, next: (end, value_end) })
    }

    fn own<'a>(&'a self, raw: &Raw) -> &'a [u8] {
        &self.bytes[raw.suffix.clone()]
    }

    /// How many segments begin before (key, version).
    pub(super) fn segments_before(&self, key: &[u8], version: Version) -> Result<usize, Bad> {
        self.segments_before_within(0..self.restarts, key, version)
    }

    /// The same, when those before the range are known to, and those from its end on not.
    fn segments_before_within(
        &self,
        range: Range<usize>,
        key: &[u8],
        version: Version,
    ) -> Result<usize, Bad> {
        let (mut low, mut high) = (range.start, range.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let raw = self.entry(self.restart(middle)?)?;
            let order = self.own(&raw).cmp(key).then(version.cmp(&raw.version));
            if order == Ordering::Less { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }

    /// The first entry at or after (key, version): the newest one of the key that is not newer than
    /// `version`, if it has one.
    pub(super) fn find(&self, key: &[u8], version: Version) -> Result<Option<Found>, Bad> {
        self.find_within(0..self.restarts * RESTART, key, version)
    }

    /// The same, when entries with numbers before the range are known to come before (key,
    /// version), and those from its end on not.
    pub(super) fn find_within(
        &self,
        range: Range<usize>,
        key: &[u8],
        version: Version,
    ) -> Result<Option<Found>, Bad> {
        let segments = range.start / RESTART..range.end.div_ceil(RESTART).min(self.restarts);
        let after = self.segments_before_within(segments, key, version)?;
        if after > 0
            && let Some(found) = self.find_in_segment(after - 1, key, version)?
        {
            return Ok(Some(found));
        }
        if after == self.restarts {
            return Ok(None);
        }
        let raw = self.entry(self.restart(after)?)?;
        let same_key = self.own(&raw) == key;
        Ok(Some(Found { ordinal: after * RESTART, same_key, raw }))
    }

    /// As [`Block::find`] in one segment whose first entry comes before (key, version). Compares
    /// without putting keys together, by how much of `key` the entry before had in common with it.
    fn find_in_segment(
        &self,
        segment: usize,
        key: &[u8],
        version: Version,
    ) -> Result<Option<Found>, Bad> {
        let end = self.segment_end(segment)?;
        let first = self.entry(self.restart(segment)?)?;
        let mut matched = common_prefix(self.own(&first), key);
        let mut ordinal = segment * RESTART;
        let mut place = first.next;
        while place.0 < end {
            let raw = self.entry(place)?;
            ordinal += 1;
            place = raw.next;
            if raw.shared > matched {
                continue;
            }
            if raw.shared < matched {
                return Ok(Some(Found { ordinal, same_key: false, raw }));
            }
            let (own, rest) = (self.own(&raw), &key[matched..]);
            let common = common_prefix(own, rest);
            match own[common..].first().cmp(&rest[common..].first()) {
                Ordering::Less => matched += common,
                Ordering::Equal if raw.version > version => matched += common,
                order => {
                    let same_key = order == Ordering::Equal;
                    return Ok(Some(Found { ordinal, same_key, raw }));
                }
            }
        }
        Ok(None)
    }

    /// The entries of one segment, in order, appended to `out`.
    pub(super) fn segment(&self, segment: usize, out: &mut Vec<Entry>) -> Result<(), Bad> {
        let (mut place, end) = (self.restart(segment)?, self.segment_end(segment)?);
        let mut keys: Vec<u8> = Vec::with_capacity(64 * RESTART);
        let mut raws: [(Range<usize>, Version, Option<Range<usize>>); RESTART] = Default::default();
        let mut count = 0;
        let mut last = 0..0;
        while place.0 < end {
            let raw = self.entry(place)?;
            place = raw.next;
            if raw.shared > last.len() || count == RESTART {
                return Err(Bad("an entry does not follow from the one before"));
            }
            let start = keys.len();
            keys.extend_from_within(last.start..last.start + raw.shared);
            keys.extend_from_slice(self.own(&raw));
            last = start..keys.len();
            raws[count] = (last.clone(), raw.version, raw.value);
            count += 1;
        }
        let keys = Bytes::from(keys);
        out.extend(raws.into_iter().take(count).map(|(key, version, value)| Entry {
            key: keys.slice(key),
            version,
            value: value.map(|value| self.bytes.slice(value)),
        }));
        Ok(())
    }
}
