//! One transaction: a snapshot, and what it wants to change on top.
//!
//! Reads take `&self`, writes `&mut self`, so that a handler that is given `&Tx` cannot write.
//! Nothing is changed until the store commits [`Tx::into_changes`]; a dropped one never happened.

use crate::clear::ClearRow;
use crate::engine::{Batch, Version};
use crate::error::{DecodeError, StoreError};
use crate::key::{Key, KeyRef, PrefixOf};
use crate::row::{self, Row, RowWriter};
use crate::scan::{RawScan, Scan};
use crate::store::Reader;
use crate::table::{Scope, Table};
use base::limits::TRANSACTION_BYTES_MAX;
use base::{AccountId, Timestamp};
use bytes::{Buf, Bytes};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows longer than this are kept in pieces, so that any transactional store can hold them.
const CHUNK_BYTES: usize = 100_000;
/// Longer values are not copied to stand beside the others of their commit.
const PACKED_BYTES_MAX: usize = 4 << 10;
/// A reader that holds on to one row holds on to no more than this.
const PACK_BYTES_MAX: usize = 16 << 10;
/// The table of the pieces: scope, this, then the row's table and key and the number of the piece.
pub(crate) const CHUNKS: u16 = 0xffff;
/// Which tables have ever had a row in pieces: only there must a write look for old pieces.
pub(crate) const CHUNKED: Table<u16, ()> = Table::internal(0x0001, "store.chunked");

/// The first byte of a value: the row itself follows, or the number of its pieces.
const WHOLE: u8 = 0;
const PIECES: u8 = 1;

/// Tables in which no row is in pieces as of the newest commit, as far as its writer has looked.
#[derive(Debug)]
pub(crate) struct WholeTables(Box<[AtomicU64]>);

impl Default for WholeTables {
    fn default() -> WholeTables {
        WholeTables((0..=u16::MAX as usize / 64).map(|_| AtomicU64::new(0)).collect())
    }
}

impl WholeTables {
    fn has(&self, table: u16) -> bool {
        let word = self.0[usize::from(table) / 64].load(Ordering::Relaxed);
        word >> (table % 64) & 1 == 1
    }

    fn add(&self, table: u16) {
        self.0[usize::from(table) / 64].fetch_or(1 << (table % 64), Ordering::Relaxed);
    }

    /// For the writer, before it commits the first row in pieces of some table.
    pub(crate) fn forget(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}

pub(crate) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// Takes back what a run did in memory.
pub(crate) type Undo = Box<dyn FnOnce() + Send + Sync>;

pub struct Tx {
    reader: Arc<Reader>,
    at: Version,
    now: Timestamp,
    /// It is one that may change rows.
    writes: bool,
    changes: Changes,
    bytes: usize,
    freeing: bool,
    enqueued: bool,
    /// It is a job that is done in it: it may leave others behind, however many wait.
    does_job: bool,
    /// The first row in pieces of a table is among the changes.
    first_pieces: bool,
    cleared: Option<ClearRow>,
    undos: Vec<Undo>,
}

impl Tx {
    pub(crate) fn new(reader: Arc<Reader>, at: Version, now: Timestamp, writes: bool) -> Tx {
        Tx {
            reader,
            at,
            now,
            writes,
            changes: BTreeMap::new(),
            bytes: 0,
            freeing: false,
            enqueued: false,
            does_job: false,
            first_pieces: false,
            cleared: None,
            undos: Vec::new(),
        }
    }

    /// The commit that is read; what is written will have the next one.
    pub fn version(&self) -> Version {
        self.at
    }

    /// How much it has written so far, of at most [`TRANSACTION_BYTES_MAX`].
    pub fn written_bytes(&self) -> usize {
        self.bytes
    }

    /// The time of the commit. Never before that of an earlier commit, even if the clock is.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn get<K, R: Row, Q>(
        &self,
        table: &Table<K, R>,
        scope: &Scope,
        key: &Q,
    ) -> Result<Option<R>, StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        let raw = table.raw_key(scope, key);
        let Some(value) = self.raw_get(raw.as_slice())? else { return Ok(None) };
        self.decode(table, raw.as_slice(), value).map(Some)
    }

    /// The same for a row that nearly every request reads: decoded once for all of them.
    pub fn get_shared<K, R: Row + Send + Sync + 'static, Q>(
        &self,
        table: &Table<K, R>,
        scope: &Scope,
        key: &Q,
    ) -> Result<Option<Arc<R>>, StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        let raw = table.raw_key(scope, key);
        let raw = raw.as_slice();
        let cached = match self.changes.contains_key(raw) {
            true => None,
            false => self.reader.get_decoded(raw, self.at),
        };
        if let Some(found) = &cached {
            let Some((_, decoded)) = found else { return Ok(None) };
            if let Some(Ok(row)) = decoded.clone().map(Arc::downcast) {
                return Ok(Some(row));
            }
        }
        let known = cached.flatten().map(|(value, _)| value);
        let value = match &known {
            Some(value) => value.clone(),
            None => match self.raw_get(raw)? {
                Some(value) => value,
                None => return Ok(None),
            },
        };
        let row = Arc::new(self.decode(table, raw, value.clone())?);
        if known.is_some() {
            self.reader.hot.keep_decoded(raw, &value, row.clone());
        }
        Ok(Some(row))
    }

    /// Whether the row is there, without decoding it.
    pub fn exists<K, R, Q>(
        &self,
        table: &Table<K, R>,
        scope: &Scope,
        key: &Q,
    ) -> Result<bool, StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        Ok(self.raw_get(table.raw_key(scope, key).as_slice())?.is_some())
    }

    /// Writes the whole row, in place of the old one if there is one.
    pub fn put<K, R: Row, Q>(
        &mut self,
        table: &Table<K, R>,
        scope: &Scope,
        key: &Q,
        row: &R,
    ) -> Result<(), StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        let raw = table.raw_key(scope, key).into_bytes();
        let write = |to: &mut RowWriter| row.write(to);
        row::written_after(&[WHOLE], write, |whole| self.put_whole(table.id, scope, raw, whole))
    }

    /// [`Tx::put`] of a row whose fields the caller writes, from parts that others own. They have to
    /// be those of `R`, in the order of their numbers.
    pub fn put_fields<K, R: Row, Q>(
        &mut self,
        table: &Table<K, R>,
        scope: &Scope,
        key: &Q,
        write: impl FnOnce(&mut RowWriter),
    ) -> Result<(), StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        let raw = table.raw_key(scope, key).into_bytes();
        row::written_after(&[WHOLE], write, |whole| {
            debug_assert!(row::decode::<R>(&Bytes::copy_from_slice(&whole[1..])).is_ok());
            self.put_whole(table.id, scope, raw, whole)
        })
    }

    /// Puts an encoded row, in pieces if it is long.
    fn put_whole(
        &mut self,
        table: u16,
        scope: &Scope,
        raw: Bytes,
        whole: &[u8],
    ) -> Result<(), StoreError> {
        self.remove_pieces(table, scope, &raw)?;
        if whole.len() <= CHUNK_BYTES {
            return self.raw_put(raw, Bytes::copy_from_slice(whole));
        }
        let pieces = whole[1..].chunks(CHUNK_BYTES);
        let mut value = vec![PIECES];
        value.extend_from_slice(&(pieces.len() as u32).to_be_bytes());
        for (number, piece) in pieces.enumerate() {
            let key = piece_key(scope, &raw, number as u32);
            self.raw_put(key, Bytes::copy_from_slice(piece))?;
        }
        let mark = CHUNKED.raw_key(&Scope::Global, &table).into_bytes();
        if self.raw_get(&mark)?.is_none() {
            self.raw_put(mark, Bytes::from_static(&[WHOLE]))?;
            self.first_pieces = true;
        }
        self.raw_put(raw, Bytes::from(value))
    }

    /// Not an error if the row is absent.
    pub fn delete<K, R, Q>(
        &mut self,
        table: &Table<K, R>,
        scope: &Scope,
        key: &Q,
    ) -> Result<(), StoreError>
    where
        Q: KeyRef<K> + ?Sized,
    {
        let raw = table.raw_key(scope, key).into_bytes();
        self.remove_pieces(table.id, scope, &raw)?;
        self.raw_change(raw, None)
    }

    /// Removes all rows, or all of an account, with this commit, but for those of the tables with the
    /// given numbers. What this transaction writes stays, and it goes on reading what was there before.
    pub fn clear(&mut self, account: Option<AccountId>, kept: &[u16]) {
        self.cleared = Some(ClearRow::new(account, kept));
    }

    /// The rows of a table in the order of their keys; the transaction's own writes are among them.
    pub fn scan<'a, K: Key, R: Row>(
        &'a self,
        table: &'a Table<K, R>,
        scope: &'a Scope,
    ) -> Scan<'a, K, R> {
        Scan::new(self, table, scope)
    }

    /// The first row whose key starts with `prefix`.
    pub fn first<K: Key, R: Row, P>(
        &self,
        table: &Table<K, R>,
        scope: &Scope,
        prefix: &P,
    ) -> Result<Option<(K, R)>, StoreError>
    where
        P: PrefixOf<K> + ?Sized,
    {
        self.scan(table, scope).prefix(prefix).next().transpose()
    }

    /// Says that this transaction exists to free space: it goes through on a full disk. One that
    /// only deletes is taken as such anyway.
    pub fn mark_freeing(&mut self) {
        self.freeing = true;
    }

    /// What is to be done if this run does not stand, since the transaction is run again or there was
    /// no room for it: takes back a count in memory, say. A run that ends with an error of its own
    /// stands.
    pub fn unless_it_stands(&mut self, undo: impl FnOnce() + Send + Sync + 'static) {
        self.undos.push(Box::new(undo));
    }

    pub(crate) fn take_undos(&mut self) -> Vec<Undo> {
        std::mem::take(&mut self.undos)
    }

    pub(crate) fn mark_does_job(&mut self) {
        self.does_job = true;
    }

    /// Whether one more job may be left for later.
    pub(crate) fn may_enqueue(&self) -> bool {
        self.freeing || self.does_job || !self.reader.outbox.is_full()
    }

    pub(crate) fn mark_enqueued(&mut self) {
        self.enqueued = true;
    }

    pub(crate) fn has_enqueued(&self) -> bool {
        self.enqueued
    }

    pub(crate) fn is_freeing(&self) -> bool {
        self.freeing || self.cleared.is_some() || self.changes.values().all(Option::is_none)
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.changes.is_empty() || self.cleared.is_some()
    }

    pub(crate) fn has_first_pieces(&self) -> bool {
        self.first_pieces
    }

    pub(crate) fn into_changes(mut self) -> Box<Batch> {
        self.changes.extend(self.cleared.map(|cleared| cleared.change()));
        packed(self.changes)
    }

    pub(crate) fn raw_scan(
        &self,
        range: (Bound<Bytes>, Bound<Bytes>),
        reverse: bool,
    ) -> RawScan<'_> {
        let cursor = self.reader.engine.scan(range.clone(), self.at, reverse);
        RawScan::new(cursor, &self.changes, range, reverse)
    }

    pub(crate) fn decode<K, R: Row>(
        &self,
        table: &Table<K, R>,
        raw: &[u8],
        mut value: Bytes,
    ) -> Result<R, StoreError> {
        let corrupt = |error| StoreError::Corrupt { table: table.name, error };
        match value.first() {
            Some(&WHOLE) => {
                value.advance(1);
                row::decode(&value).map_err(corrupt)
            }
            Some(&PIECES) => {
                let whole = self.gather(table.name, raw, &value)?;
                row::decode(&whole).map_err(corrupt)
            }
            _ => Err(corrupt(DecodeError::Malformed)),
        }
    }

    /// Whether a value has the form of one, and all its pieces.
    pub(crate) fn check_value(&self, table: u16, raw: &[u8], value: &[u8]) -> Result<(), String> {
        match value.first() {
            _ if table == CHUNKS => Ok(()),
            Some(&WHOLE) => Ok(()),
            Some(&PIECES) => self.gather("", raw, value).map(drop).map_err(|e| e.to_string()),
            _ => Err("the value has no known form".to_owned()),
        }
    }

    fn gather(&self, table: &'static str, raw: &[u8], value: &[u8]) -> Result<Bytes, StoreError> {
        let corrupt = StoreError::Corrupt { table, error: DecodeError::Malformed };
        let Some((scope, ..)) = Scope::parse_raw_key(raw) else { return Err(corrupt) };
        let Some(count) = piece_count(value) else { return Err(corrupt) };
        let mut whole = Vec::new();
        for number in 0..count {
            match self.raw_get(&piece_key(&scope, raw, number))? {
                Some(piece) => whole.extend_from_slice(&piece),
                None => return Err(corrupt),
            }
        }
        Ok(Bytes::from(whole))
    }

    fn remove_pieces(&mut self, table: u16, scope: &Scope, raw: &[u8]) -> Result<(), StoreError> {
        if !self.first_pieces && self.reader.whole.has(table) {
            return Ok(());
        }
        let mark = CHUNKED.raw_key(&Scope::Global, &table);
        if self.raw_get(mark.as_slice())?.is_none() {
            // Only the one writer comes here, and it sees the newest commit.
            self.reader.whole.add(table);
            return Ok(());
        }
        let Some(old) = self.raw_get(raw)? else { return Ok(()) };
        for number in 0..piece_count(&old).unwrap_or(0) {
            self.raw_change(piece_key(scope, raw, number), None)?;
        }
        Ok(())
    }

    fn raw_get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if !self.changes.is_empty()
            && let Some(own) = self.changes.get(key)
        {
            return Ok(own.clone());
        }
        self.reader.get(key, self.at, self.writes)
    }

    fn raw_put(&mut self, key: Bytes, value: Bytes) -> Result<(), StoreError> {
        self.raw_change(key, Some(value))
    }

    fn raw_change(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StoreError> {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        if self.bytes > TRANSACTION_BYTES_MAX {
            return Err(StoreError::TransactionTooLarge);
        }
        self.changes.insert(key, value);
        Ok(())
    }
}

/// The changes of a commit with all that is short in few pieces of memory: the index keeps it for long,
/// and they cost less to take and to give back than two for each row.
fn packed(changes: Changes) -> Box<Batch> {
    let mut batch: Box<Batch> = changes.into_iter().collect();
    let mut rest = &mut *batch;
    while !rest.is_empty() {
        let (mut count, mut length) = (0, 0);
        for (key, value) in rest.iter() {
            let more = key.len() + short(value).map_or(0, Bytes::len);
            if count > 0 && length + more > PACK_BYTES_MAX {
                break;
            }
            (count, length) = (count + 1, length + more);
        }
        let (first, others) = rest.split_at_mut(count);
        pack(first, length);
        rest = others;
    }
    batch
}

fn pack(entries: &mut Batch, length: usize) {
    let mut all = Vec::with_capacity(length);
    for (key, value) in entries.iter() {
        all.extend_from_slice(key);
        all.extend_from_slice(short(value).map_or(&[], |value| value));
    }
    let mut all = Bytes::from(all);
    for (key, value) in entries {
        *key = all.split_to(key.len());
        if let Some(length) = short(value).map(Bytes::len) {
            *value = Some(all.split_to(length));
        }
    }
}

fn short(value: &Option<Bytes>) -> Option<&Bytes> {
    value.as_ref().filter(|value| value.len() <= PACKED_BYTES_MAX)
}

fn piece_key(scope: &Scope, raw: &[u8], number: u32) -> Bytes {
    let mut to = crate::key::KeyWriter::new();
    scope.write(&mut to);
    let scope_bytes = to.as_slice().len();
    to.raw(&CHUNKS.to_be_bytes());
    to.raw(&raw[scope_bytes..]);
    to.raw(&number.to_be_bytes());
    to.into_bytes()
}

fn piece_count(value: &[u8]) -> Option<u32> {
    match value {
        [PIECES, a, b, c, d] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx at {} with {} changes", self.at, self.changes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_changes_nothing() {
        let lengths = [0usize, 1, 90, 4096, 4097, 9_000];
        let row = |n: usize| {
            let value = vec![n as u8; lengths[n % lengths.len()]];
            (Bytes::from(format!("key {n}")), (!n.is_multiple_of(7)).then(|| Bytes::from(value)))
        };
        for count in [0, 1, 5, 200] {
            let changes: Changes = (0..count).map(row).collect();
            let plain: Vec<_> = changes.clone().into_iter().collect();
            assert_eq!(*packed(changes), plain[..]);
        }
    }
}
