//! The errand of an import: the files of a bucket in the order of their keys, their items in small
//! transactions. The row says which file is read and how many of its records are done; after a crash
//! those are passed over.

use super::import::{IMPORTS, ImportRow, table_of};
use super::records::{Record, Records};
use super::{Errand, OfTransfer, S3, Trouble, of_error, of_s3};
use crate::error::invalid;
use crate::jobs::{STEP_BYTES_MAX, count_later};
use crate::keyspace::check_item;
use crate::mutation::check_new;
use crate::table::{Table, save};
use crate::write::{Change, change_item, key_of, read_item};
use api::{Background, Body, Error, RequestBody, Tx};
use bytes::Bytes;
use gen_s3::{GetObjectInput, GetObjectOutput, ListObjectsV2Input, ListObjectsV2Output};
use item::Item;
use std::future::poll_fn;
use store::{JobKind, JobOutcome, Scope};

pub(crate) const IMPORT: JobKind<OfTransfer> = JobKind::new(0x040b, "dynamodb.import");

/// Records and bytes of one transaction.
const BATCH_RECORDS: usize = 100;
const BATCH_BYTES: usize = 512 * 1024;
/// With more records that are no items an import is given up.
const ERRORS_MAX: u64 = 10_000;

pub(super) const ERRAND: Errand = Errand {
    kind: IMPORT,
    step: |with, scope, id| Box::pin(step(with, scope, id)),
    fail: |with, scope, id, why| Box::pin(end(with, scope, id, Some(why))),
};

fn row(with: &Background, scope: &Scope, id: &str) -> Result<Option<ImportRow>, Trouble> {
    let row = with.store.read(|tx| tx.get(&IMPORTS, scope, id))?;
    Ok(row.filter(|row| row.ended.is_none()))
}

/// One file.
async fn step(with: &Background, scope: &Scope, id: &str) -> Result<JobOutcome, Trouble> {
    let Some(row) = row(with, scope, id)? else { return Ok(JobOutcome::Done) };
    let s3 = S3::new(with, &row.caller, &row.region);
    // A file that was begun is read to its end before the next one is looked for.
    let begun = row.done > 0;
    let key = if begun { Some(row.file.clone()) } else { next_file(&s3, &row).await? };
    let Some(key) = key else {
        if row.files == 0 {
            return Err(Trouble::Over("S3NoSuchKey", "No objects were found to import".into()));
        }
        end(with, scope, id, None).await?;
        return Ok(JobOutcome::Done);
    };
    let input = GetObjectInput {
        bucket: row.bucket.clone(),
        key: key.clone(),
        expected_bucket_owner: row.bucket_owner.clone(),
        ..GetObjectInput::default()
    };
    let got = s3.call::<GetObjectOutput>("GetObject", &input, RequestBody::empty()).await;
    let got = got.map_err(of_s3)?;
    let size_bytes = got.output.content_length.unwrap_or(0).max(0) as u64;
    let mut filling = Filling {
        with,
        scope,
        id,
        key: &key,
        seen: 0,
        done: row.done,
        batch: Vec::new(),
        bytes: 0,
    };
    filling.file(&row, got.body).await?;
    let finish = |tx: &mut Tx| {
        let Some(mut row) = tx.get(&IMPORTS, scope, id)? else { return Ok(()) };
        (row.file, row.done) = (key.clone(), 0);
        row.files += 1;
        row.size_bytes += size_bytes;
        tx.put(&IMPORTS, scope, id, &row)
    };
    with.store.write(finish).await?;
    Ok(JobOutcome::Again(row.started))
}

/// The file after the one that was read last.
async fn next_file(s3: &S3, row: &ImportRow) -> Result<Option<String>, Trouble> {
    let mut after = row.file.clone();
    loop {
        let input = ListObjectsV2Input {
            bucket: row.bucket.clone(),
            prefix: row.prefix.clone(),
            start_after: Some(after.clone()).filter(|after| !after.is_empty()),
            expected_bucket_owner: row.bucket_owner.clone(),
            max_keys: Some(100),
            ..ListObjectsV2Input::default()
        };
        let list = s3.call::<ListObjectsV2Output>("ListObjectsV2", &input, RequestBody::empty());
        let list = list.await.map_err(of_s3)?.output;
        let found = list.contents.unwrap_or_default();
        // Folders of the console, and objects with nothing in them, are no files.
        let file = found.iter().find(|object| object.size.is_some_and(|size| size > 0));
        if let Some(file) = file {
            return Ok(file.key.clone());
        }
        match found.last().and_then(|object| object.key.clone()) {
            Some(last) if list.is_truncated == Some(true) => after = last,
            _ => return Ok(None),
        }
    }
}

/// A file on its way into the table.
struct Filling<'a> {
    with: &'a Background,
    scope: &'a Scope,
    id: &'a str,
    key: &'a str,
    /// Records of the file so far, and those that were done in an earlier attempt.
    seen: u64,
    done: u64,
    batch: Vec<Record>,
    bytes: usize,
}

impl Filling<'_> {
    async fn file(&mut self, row: &ImportRow, body: Body) -> Result<(), Trouble> {
        let mut records = Records::new(&row.format);
        let mut pieces = Pieces(body);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(of_error)?;
            // In small pieces, so that what is made of them is written before there is too much of it.
            for bytes in piece.chunks(8 * 1024) {
                let mut found = Vec::new();
                let pushed = records.push(bytes, &mut |record| found.push(record));
                pushed.map_err(|error| broken(self.key, &error))?;
                self.take(found).await?;
            }
        }
        let mut found = Vec::new();
        let finished = records.finish(&mut |record| found.push(record));
        finished.map_err(|error| broken(self.key, &error))?;
        self.take(found).await?;
        self.flush().await
    }

    async fn take(&mut self, found: Vec<Record>) -> Result<(), Trouble> {
        for record in found {
            self.seen += 1;
            if self.seen <= self.done {
                continue;
            }
            self.bytes += record.as_ref().map_or(0, |item| item.bytes().len());
            self.batch.push(record);
            if self.batch.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Puts what has been collected into the table, with the note that it was.
    async fn flush(&mut self) -> Result<(), Trouble> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let mut left = batch.as_slice();
        while !left.is_empty() {
            let done = self.put_some(left).await?;
            left = left.get(done..).unwrap_or_default();
        }
        Ok(())
    }

    /// The first of so many records, as far as one transaction goes with all that they make in indexes.
    async fn put_some(&self, batch: &[Record]) -> Result<usize, Trouble> {
        let Filling { with, scope, id, key, seen, .. } = *self;
        let write = |tx: &mut Tx| {
            let Some(mut row) = tx.get(&IMPORTS, scope, id)? else { return Ok((0, batch.len())) };
            let table = table_of(tx, &row)?.ok_or_else(|| Error::internal("no table to fill"))?;
            let mut done = 0;
            for record in batch {
                if tx.written_bytes() > STEP_BYTES_MAX {
                    break;
                }
                done += 1;
                row.processed += 1;
                let put = match record {
                    Ok(item) => put(tx, with, &table, item),
                    Err(why) => Err(invalid(why.clone())),
                };
                match put {
                    Ok(()) => row.imported += 1,
                    Err(error) if error.code() == "ValidationException" => row.errors += 1,
                    Err(error) => return Err(error),
                }
            }
            let left = (batch.len() - done) as u64;
            (row.file, row.done) = (key.to_owned(), seen - left);
            tx.put(&IMPORTS, scope, id, &row)?;
            Ok((row.errors, done))
        };
        let (errors, done) = with.store.write(write).await.map_err(of_error)?;
        if errors > ERRORS_MAX {
            return Err(Trouble::Over(
                "ItemValidationError",
                "Too many records were no items that the table can take".into(),
            ));
        }
        Ok(done)
    }
}

fn broken(key: &str, error: &std::io::Error) -> Trouble {
    Trouble::Over("InvalidInput", format!("{key} cannot be read: {error}"))
}

/// An item that came later takes the place of one with the same key.
fn put(tx: &mut Tx, with: &Background, table: &Table, item: &Item) -> Result<(), Error> {
    check_new(item)?;
    check_item(table, item.map())?;
    let key = key_of(table, item.map());
    let old = read_item(tx, table, &key)?;
    let new = Some(item.bytes().clone());
    let change = Change { key: &key, old: old.as_ref(), new, by_ttl: false };
    change_item(tx, table, &*with.entropy, change).map(|_| ())
}

/// The import is over: the table has what came, all of it or, after a failure, what was there before.
async fn end(
    with: &Background,
    scope: &Scope,
    id: &str,
    failure: Option<(&'static str, String)>,
) -> Result<(), store::JobError> {
    let write = |tx: &mut Tx| {
        let Some(mut row) = tx.get(&IMPORTS, scope, id)? else { return Ok(()) };
        row.ended = Some(tx.now());
        if let Some((code, text)) = &failure {
            row.failure = Some((*code).to_owned());
            row.failure_text = Some(text.clone());
        }
        if let Some(table) = table_of(tx, &row)? {
            let mut table = table.row;
            table.coming = false;
            save(tx, &table)?;
            count_later(tx, &table)?;
        }
        tx.put(&IMPORTS, scope, id, &row)?;
        Ok(())
    };
    let ended: Result<(), Error> = with.store.write(write).await;
    ended.map_err(crate::jobs::failed)
}

/// A body, piece by piece.
struct Pieces(Body);

impl Pieces {
    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        match &mut self.0 {
            Body::Empty => None,
            Body::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then_some(Ok(bytes))
            }
            Body::Stream(_, stream) => poll_fn(|cx| stream.as_mut().poll_next(cx)).await,
        }
    }
}
