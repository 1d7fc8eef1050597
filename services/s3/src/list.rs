//! ListObjects and ListObjectsV2.
//!
//! A page is one walk over the latest versions in key order. With a delimiter, a folder is skipped
//! by one seek, whatever is in it, so a page costs its own length.

use crate::rows::*;
use crate::{acl, bucket, restore};
use api::{Cx, Error, Tx};
use base::{Timestamp, percent};
use gen_s3::errors as e;
use gen_s3::*;
use store::Stem;

/// Keys and prefixes on one page.
pub const PAGE_MAX: i32 = 1000;

/// What a listing is asked for.
pub struct Wanted<'a> {
    pub prefix: &'a str,
    pub delimiter: &'a str,
    /// Only what comes after this, common prefixes included.
    pub after: &'a str,
    pub max: usize,
}

/// One entry of a page.
pub enum Entry {
    Key(String, Box<ObjectRow>),
    Prefix(String),
}

pub struct Page {
    pub entries: Vec<Entry>,
    pub truncated: bool,
}

impl Entry {
    /// The text after which the next page begins.
    pub fn marker(&self) -> &str {
        match self {
            Entry::Key(key, _) => key,
            Entry::Prefix(prefix) => prefix,
        }
    }
}

/// The common prefix that stands for a key, if the delimiter comes after the listing's prefix.
pub fn common_prefix<'k>(key: &'k str, prefix: &str, delimiter: &str) -> Option<&'k str> {
    if delimiter.is_empty() {
        return None;
    }
    let rest = key.get(prefix.len()..)?;
    let at = rest.find(delimiter)?;
    key.get(..prefix.len() + at + delimiter.len())
}

pub fn page(tx: &Tx, bucket: &BucketRow, wanted: &Wanted<'_>) -> Result<Page, Error> {
    let scope = bucket::scope(bucket);
    let mut rows = tx.scan(&OBJECTS, &scope).prefix(&(bucket.number, Stem(wanted.prefix)));
    if !wanted.after.is_empty() {
        rows = match common_prefix(wanted.after, wanted.prefix, wanted.delimiter) {
            // The marker is a common prefix: all that is in it was listed with it.
            Some(folder) if folder == wanted.after => rows.after(&(bucket.number, Stem(folder))),
            _ => rows.after(&(bucket.number, wanted.after)),
        };
    }
    let mut page = Page { entries: Vec::new(), truncated: false };
    if wanted.max == 0 {
        return Ok(page);
    }
    while let Some(item) = rows.next() {
        let ((_, key), row) = item?;
        if row.delete_marker {
            continue;
        }
        let folder = common_prefix(&key, wanted.prefix, wanted.delimiter);
        // In the middle of a folder that an earlier page listed.
        if let Some(folder) = folder
            && folder <= wanted.after
        {
            rows.skip_past(&(bucket.number, Stem(folder)))?;
            continue;
        }
        if page.entries.len() == wanted.max {
            page.truncated = true;
            break;
        }
        match folder.map(str::to_owned) {
            Some(folder) => {
                rows.skip_past(&(bucket.number, Stem(&folder)))?;
                page.entries.push(Entry::Prefix(folder));
            }
            None => page.entries.push(Entry::Key(key, Box::new(row))),
        }
    }
    Ok(page)
}

/// How names are written into the document.
pub struct Encoding {
    url: bool,
}

impl Encoding {
    pub fn url() -> Encoding {
        Encoding { url: true }
    }

    pub fn parse(asked: &Option<String>) -> Result<Encoding, Error> {
        match asked.as_deref() {
            None | Some("") => Ok(Encoding { url: false }),
            Some("url") => Ok(Encoding { url: true }),
            Some(other) => {
                let text = "Invalid Encoding Method specified in Request";
                Err(Error::new(&e::INVALID_ARGUMENT, text)
                    .detail("ArgumentName", "encoding-type")
                    .detail("ArgumentValue", other))
            }
        }
    }

    /// As S3 encodes: like a signature's path, but spaces as `+`.
    pub fn write(&self, text: &str) -> String {
        if self.url {
            percent::encode_path(text.as_bytes()).replace("%20", "+")
        } else {
            text.into()
        }
    }
}

pub fn max_keys(asked: Option<i32>) -> Result<usize, Error> {
    let max = asked.unwrap_or(PAGE_MAX);
    if max < 0 {
        let text = "Argument maxKeys must be an integer between 0 and 2147483647";
        return Err(Error::new(&e::INVALID_ARGUMENT, text)
            .detail("ArgumentName", "maxKeys")
            .detail("ArgumentValue", max.to_string()));
    }
    Ok(max.min(PAGE_MAX) as usize)
}

/// What a listing shows of an object beyond the usual.
#[derive(Clone, Copy)]
struct Shows {
    owner: bool,
    /// Whether it can be read, at that time.
    restored_at: Option<Timestamp>,
}

impl Shows {
    fn new(tx: &Tx, owner: bool, asked: &Option<Vec<String>>) -> Shows {
        Shows { owner, restored_at: restore_asked(tx, asked) }
    }
}

/// The time, if a listing is to say whether archived objects can be read.
pub fn restore_asked(tx: &Tx, asked: &Option<Vec<String>>) -> Option<Timestamp> {
    asked.iter().flatten().any(|name| name == "RestoreStatus").then(|| tx.now())
}

fn entry(key: &str, row: &ObjectRow, encoding: &Encoding, shows: Shows) -> Object {
    let class =
        if row.meta.storage_class.is_empty() { "STANDARD" } else { &row.meta.storage_class };
    Object {
        key: Some(encoding.write(key)),
        last_modified: Some(row.modified),
        e_tag: Some(format!("\"{}\"", row.e_tag)),
        checksum_algorithm: row.checksum.as_ref().map(|c| vec![c.algorithm.name().to_owned()]),
        checksum_type: row
            .checksum
            .as_ref()
            .map(|c| if c.composite { "COMPOSITE".into() } else { "FULL_OBJECT".into() }),
        size: Some(row.size_bytes as i64),
        storage_class: Some(class.to_owned()),
        owner: shows.owner.then(|| acl::owner(row.owner)),
        restore_status: shows.restored_at.and_then(|now| restore::status(&row.meta, now)),
    }
}

fn split(page: &Page, encoding: &Encoding, shows: Shows) -> (Vec<Object>, Vec<CommonPrefix>) {
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for found in &page.entries {
        match found {
            Entry::Key(key, row) => contents.push(entry(key, row, encoding, shows)),
            Entry::Prefix(prefix) => {
                prefixes.push(CommonPrefix { prefix: Some(encoding.write(prefix)) });
            }
        }
    }
    (contents, prefixes)
}

/// The bucket as the request named it: through an access point it does not learn the bucket's name.
pub fn shown_name(cx: &Cx, bucket: &str) -> String {
    let point = cx.http.access_point.as_ref();
    point.map_or_else(|| bucket.to_owned(), |point| point.arn.clone())
}

pub fn v1(tx: &Tx, cx: &Cx, input: &ListObjectsInput) -> Result<ListObjectsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let encoding = Encoding::parse(&input.encoding_type)?;
    let max = max_keys(input.max_keys)?;
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let (prefix, delimiter, marker) =
        (text(&input.prefix), text(&input.delimiter), text(&input.marker));
    let wanted = Wanted { prefix: &prefix, delimiter: &delimiter, after: &marker, max };
    let page = page(tx, &bucket, &wanted)?;
    let (contents, prefixes) =
        split(&page, &encoding, Shows::new(tx, true, &input.optional_object_attributes));
    // Without a delimiter clients go on from the last key, and S3 names no marker.
    let next = page.entries.last().filter(|_| page.truncated && !delimiter.is_empty());
    Ok(ListObjectsOutput {
        is_truncated: Some(page.truncated),
        marker: Some(encoding.write(&marker)),
        next_marker: next.map(|last| encoding.write(last.marker())),
        contents: Some(contents),
        name: Some(shown_name(cx, &input.bucket)),
        prefix: Some(encoding.write(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.write(&delimiter)),
        max_keys: Some(max as i32),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type.clone(),
        request_charged: None,
    })
}

pub fn v2(tx: &Tx, cx: &Cx, input: &ListObjectsV2Input) -> Result<ListObjectsV2Output, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let encoding = Encoding::parse(&input.encoding_type)?;
    let max = max_keys(input.max_keys)?;
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let (prefix, delimiter) = (text(&input.prefix), text(&input.delimiter));
    let place = cx.token_place(&[&input.bucket, &prefix, &delimiter]);
    let after = match &input.continuation_token {
        Some(token) => cx.door.open_token(&place, token).ok_or_else(|| {
            Error::new(&e::INVALID_ARGUMENT, "The continuation token provided is incorrect")
                .detail("ArgumentName", "continuation-token")
        })?,
        None => text(&input.start_after),
    };
    let wanted = Wanted { prefix: &prefix, delimiter: &delimiter, after: &after, max };
    let page = page(tx, &bucket, &wanted)?;
    let shows = Shows::new(tx, input.fetch_owner == Some(true), &input.optional_object_attributes);
    let (contents, prefixes) = split(&page, &encoding, shows);
    let next = page.entries.last().filter(|_| page.truncated);
    Ok(ListObjectsV2Output {
        is_truncated: Some(page.truncated),
        name: Some(shown_name(cx, &input.bucket)),
        prefix: Some(encoding.write(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.write(&delimiter)),
        max_keys: Some(max as i32),
        key_count: Some((contents.len() + prefixes.len()) as i32),
        contents: Some(contents),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type.clone(),
        continuation_token: input.continuation_token.clone(),
        next_continuation_token: next.map(|last| cx.door.seal_token(&place, last.marker())),
        start_after: input.start_after.as_ref().map(|s| encoding.write(s)),
        request_charged: None,
    })
}
