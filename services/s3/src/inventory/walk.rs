//! The walk over a bucket, piece by piece.

use super::line::{self, Listed};
use super::manifest::Target;
use super::{InventoryConfiguration, PIECES, PieceRow, RUNS, RunRow, forget, next, of};
use crate::rows::*;
use api::{Background, Error, Tx};
use base::AccountId;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use store::blobs::{Blobs, ROW_BLOB_BYTES_MAX};
use store::{Desc, JobOutcome, Scope, Stem};

/// Versions in one transaction.
const ROWS_MAX: usize = 256;
/// Of lines, in one piece: packed they are smaller, or larger by less than what is left.
const PIECE_BYTES: usize = ROW_BLOB_BYTES_MAX - 256;
/// Pieces in one object: half a MiB of lines.
const PIECES_MAX: u64 = 32;

pub struct Lister {
    pub blobs: Blobs,
    pub with: Background,
}

fn packed(text: &str) -> Result<Bytes, Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(PIECE_BYTES / 4), Compression::fast());
    encoder.write_all(text.as_bytes()).map_err(Error::internal)?;
    Ok(encoder.finish().map_err(Error::internal)?.into())
}

/// A walk, and what it is for.
struct Walk<'a> {
    bucket: &'a BucketRow,
    name: &'a str,
    id: &'a str,
    document: &'a InventoryConfiguration,
    run: RunRow,
}

impl Lister {
    pub fn step(
        &self,
        tx: &mut Tx,
        account: AccountId,
        number: u64,
        (name, id): (&str, &str),
    ) -> Result<JobOutcome, Error> {
        let bucket = tx.get(&BUCKETS, &Scope::Global, name)?.filter(|own| own.number == number);
        let document = match &bucket {
            Some(bucket) => of(tx, bucket, id)?,
            None => None,
        };
        let (Some(bucket), Some(document)) = (bucket, document) else {
            forget(tx, account, number, id)?;
            return Ok(JobOutcome::Done);
        };
        let place = Scope::Account(account);
        let run = tx.get(&RUNS, &place, &(number, id))?;
        let run = run.unwrap_or_else(|| RunRow {
            begun: tx.now(),
            key: String::new(),
            older_than: None,
            text: String::new(),
            pieces: 0,
            files: Vec::new(),
        });
        let mut walk = Walk { bucket: &bucket, name, id, document: &document, run };
        let ended = walk.lines(tx)?;
        let target = Target::find(tx, self, (&bucket, name), &document)?;
        let Some(target) = target else {
            forget(tx, account, number, id)?;
            return Ok(JobOutcome::Again(next(&document, tx.now())));
        };
        walk.pieces(tx, self, &target, ended)?;
        if !ended {
            tx.put(&RUNS, &place, &(number, id), &walk.run)?;
            return Ok(JobOutcome::Again(tx.now()));
        }
        target.manifest(tx, self, &document, &walk.run)?;
        forget(tx, account, number, id)?;
        Ok(JobOutcome::Again(next(&document, tx.now())))
    }
}

impl Walk<'_> {
    /// Lists the next versions; whether there are no more.
    fn lines(&mut self, tx: &Tx) -> Result<bool, Error> {
        let (number, place) = (self.bucket.number, Scope::Account(self.bucket.owner));
        let document = self.document;
        let all = document.included_object_versions == "All";
        let prefix = document.filter.as_ref().map_or("", |filter| filter.prefix.as_str());
        let mut left = ROWS_MAX;
        loop {
            if let Some(older) = self.run.older_than {
                let key = self.run.key.clone();
                let rows = tx.scan(&VERSIONS, &place).prefix(&(number, key.as_str()));
                for row in rows.after(&(number, key.as_str(), Desc(older))) {
                    if left == 0 {
                        return Ok(false);
                    }
                    let ((_, _, sequence), row) = row?;
                    self.line(&key, &row, false);
                    self.run.older_than = Some(sequence.0);
                    left -= 1;
                }
                self.run.older_than = None;
            }
            let done = self.run.key.clone();
            let rows = tx.scan(&OBJECTS, &place).prefix(&(number, Stem(prefix)));
            let mut rows =
                if done.is_empty() { rows } else { rows.after(&(number, done.as_str())) };
            let Some(row) = rows.next() else { return Ok(true) };
            if left == 0 {
                return Ok(false);
            }
            let ((_, key), row) = row?;
            if all || !row.delete_marker {
                self.line(&key, &row, true);
            }
            left -= 1;
            self.run.key = key;
            self.run.older_than = all.then_some(u64::MAX);
        }
    }

    fn line(&mut self, key: &str, row: &ObjectRow, latest: bool) {
        let listed = Listed { bucket: self.name, key, row, latest };
        line::write(&mut self.run.text, self.document, &listed);
    }

    /// Makes pieces of the lines, and objects of the pieces; of all where it is the end.
    fn pieces(
        &mut self,
        tx: &mut Tx,
        lister: &Lister,
        target: &Target<'_>,
        ended: bool,
    ) -> Result<(), Error> {
        let place = Scope::Account(self.bucket.owner);
        while self.run.text.len() >= PIECE_BYTES || (ended && !self.run.text.is_empty()) {
            let text = &self.run.text;
            let most = text.floor_char_boundary(PIECE_BYTES.min(text.len()));
            let whole = text[..most].rfind('\n').map(|at| at + 1);
            let rest = self.run.text.split_off(whole.unwrap_or(most));
            let piece = PieceRow { bytes: packed(&self.run.text)? };
            tx.put(&PIECES, &place, &(self.bucket.number, self.id, self.run.pieces), &piece)?;
            self.run.text = rest;
            self.run.pieces += 1;
            if self.run.pieces >= PIECES_MAX && whole.is_some() {
                self.object(tx, lister, target)?;
            }
        }
        if ended && self.run.pieces > 0 {
            self.object(tx, lister, target)?;
        }
        Ok(())
    }

    fn object(&mut self, tx: &mut Tx, lister: &Lister, target: &Target<'_>) -> Result<(), Error> {
        let place = Scope::Account(self.bucket.owner);
        let mut pieces = Vec::new();
        for nth in 0..self.run.pieces {
            let key = (self.bucket.number, self.id, nth);
            let piece = tx.get(&PIECES, &place, &key)?;
            pieces.push(piece.ok_or_else(|| Error::internal("a piece of a list is gone"))?.bytes);
            tx.delete(&PIECES, &place, &key)?;
        }
        self.run.pieces = 0;
        self.run.files.push(target.data(tx, lister, pieces)?);
        Ok(())
    }
}
