//! The store's own rows about blobs, and what transactions do with them.

use super::writer::PinnedBlob;
use super::{BlobId, BlobRef};
use crate::error::StoreError;
use crate::table::{Scope, Table};
use crate::tx::Tx;
use bytes::Bytes;
use std::io;
use std::sync::Arc;

crate::row! {
    /// One blob: how often it is referred to, and where its bytes are.
    pub(super) struct BlobRow {
        1 => references: u64,
        2 => size_bytes: u64,
        3 => place: Place,
        /// Of a blob in a segment: CRC32C of each 64 KiB, little-endian.
        4 => sums: Vec<u8>,
        /// Of a blob in a row: the content.
        5 => content: Bytes,
    }

    pub(super) struct SegmentPlace {
        1 => number: u64,
        2 => offset: u64,
    }

    /// A record in a segment that a row refers to.
    pub(super) struct RecordRow {
        1 => id: BlobId,
        2 => size_bytes: u64,
    }
}

crate::row_enum! {
    pub(super) enum Place {
        0 => Row,
        1 => Segment(SegmentPlace),
        2 => File,
    }
}

pub(super) const BLOBS: Table<BlobId, BlobRow> = Table::internal(0x0010, "store.blob");
/// By segment and offset: what is alive in a segment.
pub(super) const RECORDS: Table<(u64, u64), RecordRow> =
    Table::internal(0x0011, "store.blob_record");
/// Blobs without references whose bytes are still there: work for the maintenance.
pub(super) const FREED: Table<BlobId, Place> = Table::internal(0x0012, "store.blob_freed");
/// Places are about the files of this machine.
pub(super) const SCOPE: Scope = Scope::Host;

fn is_gone(blob: &BlobRef) -> StoreError {
    let text = format!("blob {} is not there: it was released too often", blob.id);
    StoreError::from(io::Error::new(io::ErrorKind::NotFound, text))
}

impl Tx {
    /// Makes a finished blob part of this transaction, with one reference. Keep `blob` until the
    /// transaction is committed: what is pinned by nobody and named by no row is removed.
    pub fn adopt_blob(&mut self, blob: &PinnedBlob) -> Result<BlobRef, StoreError> {
        let reference = blob.reference();
        if reference.content.is_some() {
            return Ok(reference);
        }
        if blob.offer() {
            if self.exists(&BLOBS, &SCOPE, &reference.id)? {
                self.retain_blob(&reference)?;
                return Ok(reference);
            }
            // Adopted before and released since: its file is about to be removed.
            if self.exists(&FREED, &SCOPE, &reference.id)? {
                return Err(is_gone(&reference));
            }
        }
        let row = blob.row();
        if let Place::Segment(place) = &row.place {
            let record = RecordRow { id: reference.id, size_bytes: reference.size_bytes };
            self.put(&RECORDS, &SCOPE, &(place.number, place.offset), &record)?;
        }
        self.put(&BLOBS, &SCOPE, &reference.id, &row)?;
        Ok(reference)
    }

    /// Counts one more reference: a copy moves no bytes.
    pub fn retain_blob(&mut self, blob: &BlobRef) -> Result<(), StoreError> {
        if blob.content.is_some() {
            return Ok(());
        }
        let mut row = self.blob_row(blob)?;
        row.references += 1;
        self.put(&BLOBS, &SCOPE, &blob.id, &row)
    }

    /// Counts one reference less. With the last one the blob is gone, as far as this and later
    /// transactions are concerned; its bytes go when nobody can be reading them.
    pub fn release_blob(&mut self, blob: &BlobRef) -> Result<(), StoreError> {
        if blob.content.is_some() {
            return Ok(());
        }
        let mut row = self.blob_row(blob)?;
        if row.references > 1 {
            row.references -= 1;
            return self.put(&BLOBS, &SCOPE, &blob.id, &row);
        }
        self.delete(&BLOBS, &SCOPE, &blob.id)?;
        match &row.place {
            Place::Row => return Ok(()),
            Place::Segment(place) => {
                self.delete(&RECORDS, &SCOPE, &(place.number, place.offset))?;
            }
            Place::File => {}
        }
        self.put(&FREED, &SCOPE, &blob.id, &row.place)
    }

    /// For readers: what many read is decoded once.
    pub(super) fn shared_blob_row(&self, blob: &BlobRef) -> Result<Arc<BlobRow>, StoreError> {
        self.get_shared(&BLOBS, &SCOPE, &blob.id)?.ok_or_else(|| is_gone(blob))
    }

    fn blob_row(&self, blob: &BlobRef) -> Result<BlobRow, StoreError> {
        self.get(&BLOBS, &SCOPE, &blob.id)?.ok_or_else(|| is_gone(blob))
    }
}
