//! Configurations of a bucket that are kept as their documents and given back as they came.
//!
//! A document is kept in JSON under the model's names: it is the client's text, as a policy is, and
//! the model only ever adds to it.

use crate::bucket::scope;
use crate::rows::*;
use api::{Cx, Error, Tx};
use bytes::Bytes;
use smithy::model::Protocol;
use smithy::{Headers, Request, Struct};

/// Configurations of one kind that a bucket can have (analytics, inventory, metrics).
const OF_A_KIND_MAX: usize = 1000;
/// Configurations on one page of a listing.
const PAGE_MAX: usize = 100;

fn place<'a>(bucket: &BucketRow, kind: &'a str, id: &'a str) -> (u64, &'a str, &'a str) {
    (bucket.number, kind, id)
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    bucket: &BucketRow,
    kind: &str,
    id: &str,
    document: &dyn Struct,
) -> Result<(), Error> {
    let scope = scope(bucket);
    let there = tx.get(&CONFIGS, &scope, &place(bucket, kind, id))?.is_some();
    let kinds = tx.scan(&CONFIGS, &scope).prefix(&(bucket.number, kind));
    if !there && kinds.keys().take(OF_A_KIND_MAX).count() == OF_A_KIND_MAX {
        let text = "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.";
        return Err(Error::new(&gen_s3::errors::TOO_MANY_CONFIGURATIONS, text));
    }
    let encoded =
        smithy::encode_response(Protocol::AwsJson11, cx.service, cx.operation, document, "");
    let document = String::from_utf8(encoded.body.to_vec()).map_err(Error::internal)?;
    tx.put(&CONFIGS, &scope, &place(bucket, kind, id), &ConfigRow { document })?;
    Ok(())
}

/// Keeps what came beside a document, in a header.
pub fn put_text(tx: &mut Tx, bucket: &BucketRow, kind: &str, text: &str) -> Result<(), Error> {
    let row = ConfigRow { document: text.to_owned() };
    tx.put(&CONFIGS, &scope(bucket), &place(bucket, kind, ""), &row)?;
    Ok(())
}

pub fn text(tx: &Tx, bucket: &BucketRow, kind: &str) -> Result<Option<String>, Error> {
    let row = tx.get(&CONFIGS, &scope(bucket), &place(bucket, kind, ""))?;
    Ok(row.map(|row| row.document))
}

/// A document has no HTTP around it.
struct NoHeaders;

impl Headers for NoHeaders {
    fn each(&self, _: &mut dyn FnMut(&str, &[u8])) {}

    fn get(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

fn read<T: Struct + Default>(row: &ConfigRow) -> Result<T, Error> {
    let mut document = T::default();
    let body = Bytes::copy_from_slice(row.document.as_bytes());
    let request = Request { labels: &[], query: &[], headers: &NoHeaders, body: &body };
    smithy::decode_request(Protocol::AwsJson11, &gen_s3::MODEL, &request, &mut document)
        .map_err(|e| Error::internal(format!("a kept configuration: {e:?}")))?;
    Ok(document)
}

pub fn get<T: Struct + Default>(
    tx: &Tx,
    bucket: &BucketRow,
    kind: &str,
    id: &str,
) -> Result<Option<T>, Error> {
    match tx.get(&CONFIGS, &scope(bucket), &place(bucket, kind, id))? {
        Some(row) => Ok(Some(read(&row)?)),
        None => Ok(None),
    }
}

/// Takes it away; whether it was there.
pub fn delete(tx: &mut Tx, bucket: &BucketRow, kind: &str, id: &str) -> Result<bool, Error> {
    let (scope, place) = (scope(bucket), place(bucket, kind, id));
    let there = tx.get(&CONFIGS, &scope, &place)?.is_some();
    tx.delete(&CONFIGS, &scope, &place)?;
    Ok(there)
}

/// A page of those of a kind, and the id after which the next one begins.
pub fn list<T: Struct + Default>(
    tx: &Tx,
    bucket: &BucketRow,
    kind: &str,
    after: Option<&str>,
) -> Result<(Vec<T>, Option<String>), Error> {
    let scope = scope(bucket);
    let mut rows = tx.scan(&CONFIGS, &scope).prefix(&(bucket.number, kind));
    if let Some(after) = after {
        rows = rows.after(&place(bucket, kind, after));
    }
    let (mut page, mut last) = (Vec::new(), String::new());
    for item in rows {
        let ((_, _, id), row) = item?;
        if page.len() == PAGE_MAX {
            return Ok((page, Some(last)));
        }
        page.push(read(&row)?);
        last = id;
    }
    Ok((page, None))
}

/// What goes with the bucket.
pub fn delete_all(tx: &mut Tx, bucket: &BucketRow) -> Result<(), Error> {
    let scope = scope(bucket);
    let mut rows = tx.scan(&CONFIGS, &scope).prefix(&(bucket.number,));
    let mut places = Vec::new();
    while let Some(key) = rows.next_key()? {
        places.push(key);
    }
    for (number, kind, id) in places {
        tx.delete(&CONFIGS, &scope, &(number, kind.as_str(), id.as_str()))?;
    }
    Ok(())
}
