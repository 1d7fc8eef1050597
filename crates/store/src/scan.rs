//! Walking a table in key order, lazily, with the transaction's own writes merged in.

use crate::engine::Cursor;
use crate::error::StoreError;
use crate::key::{Key, KeyReader, KeyWriter, PrefixOf};
use crate::row::Row;
use crate::table::{Scope, Table};
use crate::tx::{Changes, Tx};
use bytes::Bytes;
use std::ops::Bound;

/// Rows of one table. Narrow it first, then iterate; [`Scan::seek`] and [`Scan::skip_past`] move on
/// while iterating. Bounds are about keys, whatever the direction, and may be beginnings of keys.
pub struct Scan<'a, K, R> {
    tx: &'a Tx,
    table: &'a Table<K, R>,
    /// Length of scope and table number.
    head: usize,
    low: Vec<u8>,
    /// `None` after the last possible key.
    high: Option<Vec<u8>>,
    reverse: bool,
    rows: Option<RawScan<'a>>,
}

impl<K, R> std::fmt::Debug for Scan<'_, K, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scan of {}", self.table.name)
    }
}

impl<'a, K: Key, R: Row> Scan<'a, K, R> {
    pub(crate) fn new(tx: &'a Tx, table: &'a Table<K, R>, scope: &Scope) -> Scan<'a, K, R> {
        let low = table.start(scope).into_vec();
        let high = after_prefix(&low);
        Scan { tx, table, head: low.len(), low, high, reverse: false, rows: None }
    }

    /// Only keys that begin so.
    pub fn prefix(mut self, prefix: &(impl PrefixOf<K> + ?Sized)) -> Self {
        let bytes = self.place(prefix);
        self.lower_high(after_prefix(&bytes));
        self.raise_low(bytes);
        self
    }

    /// Only keys at or after this.
    pub fn from(mut self, key: &(impl PrefixOf<K> + ?Sized)) -> Self {
        let bytes = self.place(key);
        self.raise_low(bytes);
        self
    }

    /// Only keys after this and after all that begin with it.
    pub fn after(mut self, key: &(impl PrefixOf<K> + ?Sized)) -> Self {
        match after_prefix(&self.place(key)) {
            Some(bytes) => self.raise_low(bytes),
            None => self.high = Some(self.low.clone()),
        }
        self
    }

    /// Only keys before this.
    pub fn to(mut self, key: &(impl PrefixOf<K> + ?Sized)) -> Self {
        let bytes = self.place(key);
        self.lower_high(Some(bytes));
        self
    }

    /// From the last to the first.
    pub fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Moves on to the first key at or after this (in reverse: at or before it, those that begin
    /// with it included). Never goes back.
    pub fn seek(&mut self, key: &(impl PrefixOf<K> + ?Sized)) -> Result<(), StoreError> {
        let bytes = self.place(key);
        if !self.reverse {
            return self.rows().seek(&bytes);
        }
        match after_prefix(&bytes) {
            Some(bytes) => self.rows().seek_before(&bytes),
            None => Ok(()),
        }
    }

    /// Moves on past all keys that begin so: how a listing with a delimiter skips a folder.
    pub fn skip_past(&mut self, prefix: &(impl PrefixOf<K> + ?Sized)) -> Result<(), StoreError> {
        let bytes = self.place(prefix);
        if self.reverse {
            // The prefix itself may be a key, so the position is just before it.
            return self.rows().seek_before(&bytes);
        }
        match after_prefix(&bytes) {
            Some(bytes) => self.rows().seek(&bytes),
            None => self.rows().finish(),
        }
    }

    /// Keys alone: rows are not decoded.
    pub fn keys(mut self) -> impl Iterator<Item = Result<K, StoreError>> + use<'a, K, R> {
        std::iter::from_fn(move || self.next_key().transpose())
    }

    /// The next key alone.
    pub fn next_key(&mut self) -> Result<Option<K>, StoreError> {
        match self.rows().next()? {
            Some((raw, _)) => self.decode_key(&raw).map(Some),
            None => Ok(None),
        }
    }

    /// The next row without its key.
    pub fn next_row(&mut self) -> Result<Option<R>, StoreError> {
        match self.rows().next()? {
            Some((raw, value)) => self.tx.decode(self.table, &raw, value).map(Some),
            None => Ok(None),
        }
    }

    fn decode_key(&self, raw: &[u8]) -> Result<K, StoreError> {
        let mut from = KeyReader::new(&raw[self.head..]);
        K::read(&mut from)
            .and_then(|key| from.finish().map(|()| key))
            .map_err(|error| StoreError::Corrupt { table: self.table.name, error })
    }

    fn place(&self, key: &(impl PrefixOf<K> + ?Sized)) -> Vec<u8> {
        let mut to = KeyWriter::new();
        to.raw(&self.low[..self.head]);
        key.write_prefix(&mut to);
        to.into_vec()
    }

    fn raise_low(&mut self, bytes: Vec<u8>) {
        if bytes > self.low {
            self.low = bytes;
        }
    }

    fn lower_high(&mut self, bytes: Option<Vec<u8>>) {
        match (&self.high, bytes) {
            (Some(old), Some(new)) if *old <= new => {}
            (_, None) => {}
            (_, new) => self.high = new,
        }
    }

    fn rows(&mut self) -> &mut RawScan<'a> {
        self.rows.get_or_insert_with(|| {
            let low = Bytes::from(self.low.clone());
            let high = match self.high.clone() {
                // An empty range, kept in order.
                Some(high) if high < self.low => Bound::Excluded(low.clone()),
                Some(high) => Bound::Excluded(Bytes::from(high)),
                None => Bound::Unbounded,
            };
            self.tx.raw_scan((Bound::Included(low), high), self.reverse)
        })
    }
}

impl<K: Key, R: Row> Iterator for Scan<'_, K, R> {
    type Item = Result<(K, R), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (raw, value) = match self.rows().next() {
            Ok(pair) => pair?,
            Err(error) => return Some(Err(error)),
        };
        Some(self.decode_key(&raw).and_then(|key| {
            let row = self.tx.decode(self.table, &raw, value)?;
            Ok((key, row))
        }))
    }
}

/// The first bytes after everything that begins with `prefix`.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|b| *b != 0xff)?;
    let mut bytes = prefix[..=last].to_vec();
    bytes[last] += 1;
    Some(bytes)
}

/// The engine's rows with a transaction's own changes over them.
pub(crate) struct RawScan<'a> {
    cursor: Box<dyn Cursor>,
    head: Option<(Bytes, Bytes)>,
    /// Whether `head` is what the cursor stands at.
    peeked: bool,
    own: &'a Changes,
    range: (Bound<Bytes>, Bound<Bytes>),
    reverse: bool,
    finished: bool,
}

impl<'a> RawScan<'a> {
    pub(crate) fn new(
        cursor: Box<dyn Cursor>,
        own: &'a Changes,
        range: (Bound<Bytes>, Bound<Bytes>),
        reverse: bool,
    ) -> RawScan<'a> {
        RawScan { cursor, head: None, peeked: false, own, range, reverse, finished: false }
    }

    pub(crate) fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        loop {
            if self.finished {
                return Ok(None);
            }
            if !self.peeked {
                self.head = self.cursor.next()?;
                self.peeked = true;
            }
            let Some((key, value)) = self.next_own() else {
                self.peeked = false;
                return Ok(self.head.take());
            };
            let (key, value) = (key.clone(), value.clone());
            if let Some((head, _)) = &self.head {
                let order = if self.reverse { key.cmp(head) } else { head.cmp(&key) };
                if order.is_lt() {
                    self.peeked = false;
                    return Ok(self.head.take());
                }
                if order.is_eq() {
                    self.peeked = false;
                }
            }
            self.pass(&key);
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }

    fn next_own(&self) -> Option<(&'a Bytes, &'a Option<Bytes>)> {
        if self.own.is_empty() || range_is_empty(&self.range) {
            return None;
        }
        let mut range = self.own.range(self.range.clone());
        if self.reverse { range.next_back() } else { range.next() }
    }

    fn pass(&mut self, key: &Bytes) {
        let passed = Bound::Excluded(key.clone());
        *(if self.reverse { &mut self.range.1 } else { &mut self.range.0 }) = passed;
    }

    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<(), StoreError> {
        if self.is_behind(key) {
            return Ok(());
        }
        let near = Bound::Included(Bytes::copy_from_slice(key));
        *(if self.reverse { &mut self.range.1 } else { &mut self.range.0 }) = near;
        let stays = self.peeked
            && self.head.as_ref().is_none_or(|(head, _)| {
                if self.reverse { &head[..] <= key } else { &head[..] >= key }
            });
        if !stays {
            self.peeked = false;
            self.cursor.seek(key)?;
        }
        Ok(())
    }

    /// In reverse: to the last key that is less than this one.
    fn seek_before(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.seek(key)?;
        if !self.peeked {
            self.head = self.cursor.next()?;
            self.peeked = true;
        }
        if self.head.as_ref().is_some_and(|(head, _)| &head[..] == key) {
            self.peeked = false;
        }
        let is_past = matches!(&self.range.1,
            Bound::Included(at) | Bound::Excluded(at) if &at[..] < key);
        if !is_past {
            self.pass(&Bytes::copy_from_slice(key));
        }
        Ok(())
    }

    /// Whether a seek to `key` would go back.
    fn is_behind(&self, key: &[u8]) -> bool {
        match (self.reverse, &self.range) {
            (false, (Bound::Included(at) | Bound::Excluded(at), _)) => key <= &at[..],
            (true, (_, Bound::Included(at) | Bound::Excluded(at))) => key >= &at[..],
            _ => false,
        }
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        self.finished = true;
        Ok(())
    }
}

/// `BTreeMap::range` panics on these.
fn range_is_empty(range: &(Bound<Bytes>, Bound<Bytes>)) -> bool {
    match range {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low), Bound::Excluded(high))
        | (Bound::Excluded(low), Bound::Included(high))
        | (Bound::Excluded(low), Bound::Excluded(high)) => low >= high,
        _ => false,
    }
}
