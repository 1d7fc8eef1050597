//! GetObject and HeadObject.

use crate::conditions::Reading;
use crate::content::Content;
use crate::customer_key::{self, CustomerKey};
use crate::rows::*;
use crate::{bucket, checksum, lifecycle, lock, meta, names, object, replication, restore};
use api::{Ask, AsyncCx, Body, Cx, Error, Reply, Tx};
use base::Timestamp;
use gen_s3::errors as e;
use gen_s3::*;
use std::ops::Range;
use std::sync::Arc;

pub fn asks(cx: &Cx, bucket: &str, key: &str, version: &Option<String>) -> Vec<Ask> {
    let arn = names::object_arn(cx.partition(), bucket, key);
    vec![match version {
        Some(version) => {
            Ask::new("s3:GetObjectVersion", arn).key("s3:versionid", Some(version.as_str()))
        }
        None => Ask::new("s3:GetObject", arn),
    }]
}

/// The version that is meant where its metadata is read or changed. A delete marker has none.
pub fn version(
    tx: &Tx,
    cx: &Cx,
    bucket: &BucketRow,
    key: &str,
    version: &Option<String>,
) -> Result<ObjectRow, Error> {
    let version = version.as_deref();
    object::check_id(version, "versionId")?;
    match object::find(tx, bucket, key, version)? {
        Some(row) if row.delete_marker => {
            let reads = matches!(cx.operation.http.method, "GET" | "HEAD");
            Err(marker(cx, bucket, key, version, &row, reads))
        }
        Some(row) => Ok(row),
        None => Err(match version {
            Some(version) => object::no_such_version(key, version),
            None => object::no_such_key(key),
        }),
    }
}

/// What both operations find before they differ.
struct Found {
    bucket: Arc<BucketRow>,
    row: Arc<ObjectRow>,
    range: Range<u64>,
    /// Set where only a part is asked for.
    partial: bool,
    expiration: Option<String>,
    restore: Option<String>,
}

struct Wanted<'a> {
    bucket: &'a str,
    key: &'a str,
    version: &'a Option<String>,
    owner: &'a Option<String>,
    reading: Reading<'a>,
    range: &'a Option<String>,
    part_number: Option<i32>,
    customer: Option<&'a CustomerKey>,
}

fn look(tx: &Tx, cx: &Cx, wanted: &Wanted<'_>) -> Result<Found, Error> {
    let bucket = bucket::find_expected(tx, wanted.bucket, wanted.owner)?;
    let version = wanted.version.as_deref();
    object::check_id(version, "versionId")?;
    let row = match object::find_shared(tx, &bucket, wanted.key, version)? {
        Some(row) if row.delete_marker => {
            return Err(marker(cx, &bucket, wanted.key, version, &row, true));
        }
        Some(row) => row,
        None => return Err(missing(tx, cx, wanted)?),
    };
    customer_key::check_reading(&row.meta, wanted.customer)?;
    wanted.reading.check(&row)?;
    let (range, partial) = match (wanted.range, wanted.part_number) {
        (Some(_), Some(_)) => {
            let text = "Cannot specify both Range header and partNumber query parameter";
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
        (_, Some(number)) => (part_range(&row, number)?, true),
        (Some(header), None) => match parse_range(header, row.size_bytes)? {
            Some(range) => (range, true),
            None => (0..row.size_bytes, false),
        },
        (None, None) => (0..row.size_bytes, false),
    };
    let restore = restore::shown(&row.meta, tx.now());
    let expiration = match version {
        None => lifecycle::expiration(tx, &bucket, wanted.key, &row)?,
        Some(_) => None,
    };
    Ok(Found { bucket, row, range, partial, expiration, restore })
}

/// The newest version, for who reads all of it.
pub fn newest(
    tx: &Tx,
    cx: &Cx,
    (bucket, key): (&str, &str),
    owner: &Option<String>,
    customer: Option<&CustomerKey>,
) -> Result<Arc<ObjectRow>, Error> {
    let none = None;
    let reading = Reading {
        if_match: &none,
        if_none_match: &none,
        if_modified_since: None,
        if_unmodified_since: None,
    };
    let wanted = Wanted {
        bucket,
        key,
        version: &none,
        owner,
        reading,
        range: &none,
        part_number: None,
        customer,
    };
    Ok(look(tx, cx, &wanted)?.row)
}

/// Whoever may not list the bucket does not learn whether a key exists.
fn missing(tx: &Tx, cx: &Cx, wanted: &Wanted<'_>) -> Result<Error, Error> {
    let error = match wanted.version {
        Some(version) => object::no_such_version(wanted.key, version),
        None => object::no_such_key(wanted.key),
    };
    hide_missing(tx, cx, wanted.bucket, wanted.key, error)
}

/// The error, if the caller may list the bucket.
pub fn hide_missing(
    tx: &Tx,
    cx: &Cx,
    bucket: &str,
    key: &str,
    error: Error,
) -> Result<Error, Error> {
    let arn = names::bucket_arn(cx.partition(), bucket);
    cx.authorize(tx, &Ask::new("s3:ListBucket", arn).key("s3:prefix", Some(key)))?;
    Ok(error)
}

/// What somebody gets who wants a delete marker: nothing is there to be read, and what is not there cannot
/// be changed either.
fn marker(
    cx: &Cx,
    bucket: &BucketRow,
    key: &str,
    version: Option<&str>,
    row: &ObjectRow,
    reads: bool,
) -> Error {
    if version.is_none() && reads {
        return is_marker(bucket, row, object::no_such_key(key));
    }
    let text = "The specified method is not allowed against this resource.";
    let error = Error::new(&e::METHOD_NOT_ALLOWED, text)
        .detail("Method", cx.operation.http.method)
        .detail("ResourceType", "DeleteMarker")
        .header("allow", "DELETE");
    match version {
        Some(_) if reads => {
            is_marker(bucket, row, error.header("last-modified", row.modified.http_date()))
        }
        Some(_) => is_marker(bucket, row, error),
        None => error,
    }
}

/// With the headers that say so.
pub fn is_marker(bucket: &BucketRow, row: &ObjectRow, error: Error) -> Error {
    let id = object::shown_id(bucket, row).unwrap_or_else(|| object::NULL.into());
    error.header("x-amz-delete-marker", "true").header("x-amz-version-id", id)
}

fn part_range(row: &ObjectRow, number: i32) -> Result<Range<u64>, Error> {
    let invalid = || {
        let text = "The requested partnumber is not satisfiable";
        Error::new(&e::INVALID_PART_NUMBER, text)
            .detail("PartNumberRequested", number.to_string())
            .detail("ActualPartCount", row.parts.len().max(1).to_string())
    };
    if row.parts.is_empty() {
        return if number == 1 { Ok(0..row.size_bytes) } else { Err(invalid()) };
    }
    let mut start = 0;
    for part in &row.parts {
        if i64::from(part.number) == i64::from(number) {
            return Ok(start..start + part.size_bytes);
        }
        start += part.size_bytes;
    }
    Err(invalid())
}

/// A `Range` header: `None` where it is ignored, as RFC 9110 says of what is malformed, and as S3 does
/// with several ranges.
fn parse_range(header: &str, size: u64) -> Result<Option<Range<u64>>, Error> {
    let Some(spec) = header.trim().strip_prefix("bytes=") else { return Ok(None) };
    let Some((first, last)) = spec.split_once('-') else { return Ok(None) };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first.trim()), number(last.trim())) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.trim().is_empty() => first..size,
        (None, Some(suffix)) if first.trim().is_empty() => {
            if suffix == 0 {
                size..size
            } else {
                size.saturating_sub(suffix)..size
            }
        }
        _ => return Ok(None),
    };
    if range.start >= size {
        return Err(Error::new(&e::INVALID_RANGE, "The requested range is not satisfiable")
            .detail("RangeRequested", header)
            .detail("ActualObjectSize", size.to_string())
            .header("content-range", format!("bytes */{size}")));
    }
    Ok(Some(range))
}

fn content_range(found: &Found) -> Option<String> {
    let Range { start, end } = found.range;
    let last = end.checked_sub(1)?;
    found.partial.then(|| format!("bytes {start}-{last}/{}", found.row.size_bytes))
}

/// That of the whole, or of the part that is asked for. A range has none.
fn checksum_of(found: &Found, part_number: Option<i32>) -> Option<&ChecksumRow> {
    let part =
        |part: &&PartOfObject| part_number.is_some_and(|n| i64::from(n) == part.number.into());
    match (found.partial, found.row.parts.is_empty()) {
        (true, false) => found.row.parts.iter().find(part)?.checksum.as_ref(),
        (true, true) if part_number.is_none() => None,
        _ => found.row.checksum.as_ref(),
    }
}

/// Fills the members that the two outputs share; they differ only in type.
macro_rules! shared_output {
    ($output:ident, $found:ident, $input:ident, $customer:ident) => {{
        let (bucket, row) = (&$found.bucket, &$found.row);
        let meta = &row.meta;
        let expires = |at: Timestamp| at.http_date();
        let mut output = $output {
            accept_ranges: Some("bytes".into()),
            expiration: $found.expiration.clone(),
            restore: $found.restore.clone(),
            last_modified: Some(row.modified),
            content_length: Some(($found.range.end - $found.range.start) as i64),
            e_tag: Some(["\"", &row.e_tag, "\""].concat()),
            version_id: object::shown_id(bucket, row),
            content_range: content_range(&$found),
            content_type: $input.response_content_type.clone().or(meta.content_type.clone()),
            cache_control: $input.response_cache_control.clone().or(meta.cache_control.clone()),
            content_disposition: $input
                .response_content_disposition
                .clone()
                .or(meta.content_disposition.clone()),
            content_encoding: $input
                .response_content_encoding
                .clone()
                .or(meta.content_encoding.clone()),
            content_language: $input
                .response_content_language
                .clone()
                .or(meta.content_language.clone()),
            expires: $input.response_expires.map(expires).or(meta.expires.clone()),
            website_redirect_location: meta.website_redirect.clone(),
            server_side_encryption: meta::shown_encryption(meta),
            ssekms_key_id: meta.kms_key_id.clone(),
            sse_customer_algorithm: $customer.as_ref().map(|_| customer_key::ALGORITHM.into()),
            sse_customer_key_md5: $customer.as_ref().map(CustomerKey::shown_md5),
            metadata: meta::shown_user(meta),
            replication_status: replication::shown(meta),
            object_lock_mode: lock::shown_mode(meta),
            object_lock_retain_until_date: lock::shown_until(meta),
            object_lock_legal_hold_status: lock::shown_hold(meta),
            bucket_key_enabled: meta.bucket_key.then_some(true),
            storage_class: meta::shown_class(meta),
            tag_count: (!meta.tags.is_empty()).then_some(meta.tags.len() as i32),
            parts_count: ($input.part_number.is_some() && !row.parts.is_empty())
                .then_some(row.parts.len() as i32),
            ..$output::default()
        };
        let asked = $input.checksum_mode.as_deref() == Some("ENABLED");
        let composite = row.checksum.as_ref().is_some_and(|checksum| checksum.composite);
        if let Some(checksum) = checksum_of(&$found, $input.part_number).filter(|_| asked) {
            checksum::show!(output, checksum);
            output.checksum_type = Some(checksum::kind(composite));
        }
        output
    }};
}

macro_rules! wanted {
    ($input:ident, $customer:ident) => {
        Wanted {
            bucket: &$input.bucket,
            key: &$input.key,
            version: &$input.version_id,
            owner: &$input.expected_bucket_owner,
            reading: Reading {
                if_match: &$input.if_match,
                if_none_match: &$input.if_none_match,
                if_modified_since: $input.if_modified_since,
                if_unmodified_since: $input.if_unmodified_since,
            },
            range: &$input.range,
            part_number: $input.part_number,
            customer: $customer.as_ref(),
        }
    };
}

/// Overrides of response headers are for those who can be held to account.
fn refuse_anonymous_overrides(cx: &Cx, any: bool) -> Result<(), Error> {
    if any && cx.caller.account.is_none() {
        let text = "Request specific response headers cannot be used for anonymous GET requests.";
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    Ok(())
}

pub async fn run(cx: &AsyncCx, input: &GetObjectInput) -> Result<Reply<GetObjectOutput>, Error> {
    let overrides = [
        &input.response_cache_control,
        &input.response_content_disposition,
        &input.response_content_encoding,
        &input.response_content_language,
        &input.response_content_type,
    ];
    let any = overrides.iter().any(|o| o.is_some()) || input.response_expires.is_some();
    refuse_anonymous_overrides(cx, any)?;
    let customer = customer_key::given!(input).read(cx)?;
    let (found, content) = cx.read(|tx| {
        let found = look(tx, cx, &wanted!(input, customer))?;
        restore::check_read(&found.row.meta, tx.now())?;
        let content = match found.row.size_bytes {
            0 => None,
            _ => Some(Content::of(tx, cx, &found.row, customer.as_ref())?),
        };
        Ok((found, content))
    })?;
    let body = match content {
        Some(content) => content.respond(found.range.clone()).await?,
        None => Body::Empty,
    };
    // After all that waits, so that the future need not hold it.
    let output = shared_output!(GetObjectOutput, found, input, customer);
    Ok(Reply { output, body, status: found.partial.then_some(206) })
}

pub fn head(tx: &Tx, cx: &Cx, input: &HeadObjectInput) -> Result<HeadObjectOutput, Error> {
    let customer = customer_key::given!(input).read(cx)?;
    let found = look(tx, cx, &wanted!(input, customer))?;
    if found.partial {
        cx.status(206);
    }
    Ok(shared_output!(HeadObjectOutput, found, input, customer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |header: &str, size: u64, expected: Result<Option<Range<u64>>, ()>| {
            assert_eq!(parse_range(header, size).map_err(|_| ()), expected, "{header} of {size}");
        };
        check("bytes=0-9", 100, Ok(Some(0..10)));
        check("bytes=90-200", 100, Ok(Some(90..100)));
        check("bytes=5-", 100, Ok(Some(5..100)));
        check("bytes=-5", 100, Ok(Some(95..100)));
        check("bytes=-500", 100, Ok(Some(0..100)));
        check("bytes=-0", 100, Err(()));
        check("bytes=100-", 100, Err(()));
        check("bytes=0-0", 0, Err(()));
        check("bytes=99999999999999999999-", 100, Err(()));
        for ignored in
            ["bytes=5-1", "bytes=a-b", "bytes=-", "items=0-1", "0-1", "bytes=0-1,3-4", ""]
        {
            check(ignored, 100, Ok(None));
        }
    }
}
