//! CopyObject and UploadPartCopy.
//!
//! A copy shares the bytes of its source: they are counted, not moved. They are read only where
//! something has to be worked out over them: a checksum of another algorithm, the MD5 of an object
//! that was uploaded in parts, a range for a part; or where a customer's key seals either side.

use crate::acl::Asked;
use crate::checksum::{self, Declared, Digests};
use crate::conditions::Reading;
use crate::content::Content;
use crate::customer_key::{self, CustomerKey};
use crate::rows::*;
use crate::{
    body, bucket, conditions, control, encryption, events, get_object, lifecycle, lock, meta,
    multipart, names, object, put_object, restore, tagging,
};
use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use base::{Timestamp, percent};
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// `x-amz-copy-source`: `/bucket/key?versionId=…`, or an access point's ARN with `/object/key` behind it,
/// percent-encoded.
pub struct Source {
    /// A bucket's name, or an access point's ARN or alias.
    pub bucket: String,
    pub key: String,
    pub version: Option<String>,
}

impl Source {
    pub fn parse(header: &str) -> Result<Source, Error> {
        let invalid = || {
            let text = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
            Error::new(&e::INVALID_ARGUMENT, text)
                .detail("ArgumentName", "x-amz-copy-source")
                .detail("ArgumentValue", header)
        };
        let (path, version) = match header.split_once("?versionId=") {
            Some((path, version)) => (path, Some(version)),
            None => (header, None),
        };
        let text = |part: &str| {
            String::from_utf8(percent::decode(part).into_owned()).map_err(|_| invalid())
        };
        let path = text(path)?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let split = match path.starts_with("arn:") {
            true => path.split_once("/object/"),
            false => path.split_once('/'),
        };
        let (bucket, key) = split.ok_or_else(invalid)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(invalid());
        }
        let version = version.map(text).transpose()?;
        Ok(Source { bucket: bucket.into(), key: key.into(), version })
    }

    /// As policies name it.
    fn text(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }

    fn ask(&self, cx: &Cx) -> Ask {
        self.ask_as(cx, "s3:GetObject", "s3:GetObjectVersion")
    }

    /// For one of the actions, the second where a version is named.
    fn ask_as(&self, cx: &Cx, action: &'static str, of_version: &'static str) -> Ask {
        let arn = match self.bucket.starts_with("arn:") {
            true => format!("{}/object/{}", self.bucket, self.key),
            false => names::object_arn(cx.partition(), &self.bucket, &self.key),
        };
        match &self.version {
            Some(version) => Ask::new(of_version, arn).key("s3:versionid", Some(version.as_str())),
            None => Ask::new(action, arn),
        }
    }

    /// The bucket that it lies in, and its name.
    fn bucket(
        &self,
        tx: &Tx,
        cx: &Cx,
        owner: &Option<String>,
    ) -> Result<(Arc<BucketRow>, String), Error> {
        let names_point =
            self.bucket.starts_with("arn:") || self.bucket.ends_with(control::ALIAS_END);
        let point = match names_point {
            true => control::find(tx, &self.bucket, &cx.region)?,
            false => None,
        };
        let name = point.map_or_else(|| self.bucket.clone(), |point| point.bucket);
        Ok((bucket::find_expected(tx, &name, owner)?, name))
    }

    /// The version that is copied.
    fn find(
        &self,
        tx: &Tx,
        cx: &Cx,
        owner: &Option<String>,
        reading: &Reading<'_>,
    ) -> Result<(Arc<BucketRow>, ObjectRow), Error> {
        let (bucket, name) = self.bucket(tx, cx, owner)?;
        object::check_id(self.version.as_deref(), "x-amz-copy-source")?;
        let row = object::find(tx, &bucket, &self.key, self.version.as_deref())?;
        let row = match row {
            Some(row) if row.delete_marker && self.version.is_some() => {
                let text = "The source of a copy request may not specifically refer to a delete marker by version id.";
                return Err(Error::new(&e::INVALID_REQUEST, text));
            }
            Some(row) if row.delete_marker => {
                return Err(get_object::is_marker(&bucket, &row, object::no_such_key(&self.key)));
            }
            Some(row) => row,
            None => {
                let error = match &self.version {
                    Some(version) => object::no_such_version(&self.key, version),
                    None => object::no_such_key(&self.key),
                };
                return Err(get_object::hide_missing(tx, cx, &name, &self.key, error)?);
            }
        };
        // What would be 304 on a read is a failed precondition of a copy.
        reading.check(&row).map_err(|error| match error.is(&e::NOT_MODIFIED) {
            true => conditions::failed("x-amz-copy-source-If-None-Match"),
            false => error,
        })?;
        restore::check_copy(&row.meta, tx.now())?;
        Ok((bucket, row))
    }
}

fn asked(input: &CopyObjectInput) -> Asked<'_> {
    Asked {
        canned: &input.acl,
        full_control: &input.grant_full_control,
        read: &input.grant_read,
        write: &None,
        read_acp: &input.grant_read_acp,
        write_acp: &input.grant_write_acp,
    }
}

fn locked(input: &CopyObjectInput) -> lock::Asked<'_> {
    lock::Asked {
        mode: &input.object_lock_mode,
        until: input.object_lock_retain_until_date,
        legal_hold: &input.object_lock_legal_hold_status,
    }
}

fn encrypted<'a>(
    input: &'a CopyObjectInput,
    customer: &'a Option<CustomerKey>,
) -> encryption::Asked<'a> {
    encryption::Asked {
        algorithm: &input.server_side_encryption,
        kms_key_id: &input.ssekms_key_id,
        bucket_key: input.bucket_key_enabled,
        customer: customer.as_ref(),
    }
}

pub fn authorize(cx: &Cx, input: &CopyObjectInput) -> Result<Vec<Ask>, Error> {
    let source = Source::parse(&input.copy_source)?;
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    let put = meta::keys!(input, Ask::new("s3:PutObject", &arn))
        .key("s3:x-amz-copy-source", Some(source.text()))
        .key("s3:x-amz-metadata-directive", input.metadata_directive.as_deref())
        .key("s3:if-none-match", input.if_none_match.as_deref())
        .key("s3:if-match", input.if_match.as_deref());
    let put = locked(input).keys(cx, encryption::keys!(input, put));
    let mut put = tagging::with_header(asked(input).keys(put), &input.tagging);
    put.context.push(names::creates_object(true));
    let mut asks = vec![source.ask(cx), put];
    if !asked(input).is_empty() {
        let ask = asked(input).keys(Ask::new("s3:PutObjectAcl", &arn));
        asks.push(ask);
    }
    if input.tagging.is_some() {
        let ask = Ask::new("s3:PutObjectTagging", &arn);
        asks.push(tagging::with_header(ask, &input.tagging));
    }
    locked(input).asks(cx, &arn, &mut asks);
    Ok(asks)
}

pub fn authorize_part(cx: &Cx, input: &UploadPartCopyInput) -> Result<Vec<Ask>, Error> {
    let source = Source::parse(&input.copy_source)?;
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    let mut put =
        Ask::new("s3:PutObject", arn).key("s3:x-amz-copy-source", Some(source.text())).key(
            "s3:x-amz-server-side-encryption-customer-algorithm",
            input.sse_customer_algorithm.as_deref(),
        );
    put.context.push(names::creates_object(false));
    Ok(vec![source.ask(cx), put])
}

/// Tags that come along are read and put like any others.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>
fn ask_for_tags(
    tx: &Tx,
    cx: &Cx,
    input: &CopyObjectInput,
    source: &Source,
    tags: &BTreeMap<String, String>,
) -> Result<(), Error> {
    if tags.is_empty() || directive("tagging", &input.tagging_directive)? {
        return Ok(());
    }
    cx.authorize(tx, &source.ask_as(cx, "s3:GetObjectTagging", "s3:GetObjectVersionTagging"))?;
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    let tags = tags.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    cx.authorize(tx, &tagging::with_tags(Ask::new("s3:PutObjectTagging", arn), tags))
}

fn directive(name: &'static str, asked: &Option<String>) -> Result<bool, Error> {
    match asked.as_deref() {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(other) => {
            let text = format!("Unknown {name} directive.");
            Err(Error::new(&e::INVALID_ARGUMENT, text)
                .detail(
                    "ArgumentName",
                    if name == "metadata" {
                        "x-amz-metadata-directive"
                    } else {
                        "x-amz-tagging-directive"
                    },
                )
                .detail("ArgumentValue", other))
        }
    }
}

/// Metadata of the copy.
fn meta_of(cx: &Cx, input: &CopyObjectInput, source: &Meta) -> Result<Meta, Error> {
    let mut meta = if directive("metadata", &input.metadata_directive)? {
        Meta {
            content_type: meta::content_type(&input.content_type, cx),
            cache_control: input.cache_control.clone(),
            content_disposition: input.content_disposition.clone(),
            content_encoding: meta::content_encoding(&input.content_encoding),
            content_language: input.content_language.clone(),
            expires: input.expires.clone(),
            user: meta::user(&input.metadata)?,
            ..Meta::default()
        }
    } else {
        Meta { website_redirect: None, tags: Default::default(), ..source.clone() }
    };
    (meta.restore, meta.replication) = (None, None);
    meta.website_redirect = meta::redirect(&input.website_redirect_location)?;
    meta.storage_class = meta::storage_class(&input.storage_class)?;
    meta.tags = match directive("tagging", &input.tagging_directive)? {
        true => meta::tagging_header(&input.tagging)?,
        false => source.tags.clone(),
    };
    // The lock of the source does not come along.
    (meta.retention, meta.legal_hold) = (None, None);
    Ok(meta)
}

fn refuse_no_change(input: &CopyObjectInput, source: &Source) -> Result<(), Error> {
    let itself =
        source.bucket == input.bucket && source.key == input.key && source.version.is_none();
    let changes = input.metadata_directive.as_deref() == Some("REPLACE")
        || input.storage_class.is_some()
        || input.website_redirect_location.is_some()
        || input.server_side_encryption.is_some()
        || input.sse_customer_algorithm.is_some()
        || input.copy_source_sse_customer_algorithm.is_some()
        || input.checksum_algorithm.is_some();
    if itself && !changes {
        return Err(Error::new(
            &e::INVALID_REQUEST,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    Ok(())
}

/// Digests of a range of what is there already.
async fn digest(
    content: &Content,
    range: Range<u64>,
    algorithm: Algorithm,
) -> Result<checksum::Digested, Error> {
    let mut digests = Digests::new(algorithm);
    let mut pieces = content.stream(range);
    while let Some(piece) = pieces.next().await {
        digests.update(&piece?);
    }
    Ok(digests.finish())
}

/// What a copy takes from its source, with what had to be worked out.
struct Copied {
    source: ObjectRow,
    source_bucket: Arc<BucketRow>,
    e_tag: String,
    checksum: Option<ChecksumRow>,
    /// Bytes of its own, where a customer's key seals either side.
    received: Option<body::Received>,
}

/// The keys of both sides of a copy.
struct Keys {
    source: Option<CustomerKey>,
    target: Option<CustomerKey>,
}

macro_rules! keys {
    ($input:expr, $cx:expr) => {
        Keys {
            source: customer_key::Given {
                algorithm: &$input.copy_source_sse_customer_algorithm,
                key: &$input.copy_source_sse_customer_key,
                md5: &$input.copy_source_sse_customer_key_md5,
            }
            .read($cx)?,
            target: customer_key::given!($input).read($cx)?,
        }
    };
}

async fn take(
    cx: &AsyncCx,
    input: &CopyObjectInput,
    source: &Source,
    keys: &Keys,
) -> Result<Copied, Error> {
    let wanted = input.checksum_algorithm.as_deref().map(checksum::parse_algorithm).transpose()?;
    let reading = Reading {
        if_match: &input.copy_source_if_match,
        if_none_match: &input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let (source_bucket, row, content) = cx.read(|tx| {
        bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
        encrypted(input, &keys.target).check()?;
        let (bucket, row) = source.find(tx, cx, &input.expected_source_bucket_owner, &reading)?;
        customer_key::check_reading(&row.meta, keys.source.as_ref())?;
        let content = Content::of(tx, cx, &row, keys.source.as_ref())?;
        Ok((bucket, row, content))
    })?;
    if row.size_bytes > body::BODY_BYTES_MAX {
        let text = format!(
            "The specified copy source is larger than the maximum allowable size for a copy source: {}",
            body::BODY_BYTES_MAX
        );
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    let kept = row
        .checksum
        .clone()
        .filter(|c| row.parts.is_empty() && wanted.is_none_or(|wanted| wanted == c.algorithm));
    let algorithm =
        wanted.or(row.checksum.as_ref().map(|c| c.algorithm)).unwrap_or(Algorithm::Crc64Nvme);
    let all = 0..row.size_bytes;
    let (e_tag, checksum, received) = if keys.source.is_some() || keys.target.is_some() {
        let received = copy_bytes(cx, &content, all, algorithm, keys.target.as_ref()).await?;
        let checksum = received.digested.checksum_row();
        (received.e_tag.clone(), Some(checksum), Some(received))
    } else if let Some(checksum) = kept {
        (row.e_tag.clone(), Some(checksum), None)
    } else {
        let digested = digest(&content, all, algorithm).await?;
        (digested.e_tag(), Some(digested.checksum_row()), None)
    };
    Ok(Copied { source: row, source_bucket, e_tag, checksum, received })
}

pub async fn run(cx: &AsyncCx, input: &CopyObjectInput) -> Result<Reply<CopyObjectOutput>, Error> {
    names::check_key(&input.key)?;
    let source = Source::parse(&input.copy_source)?;
    refuse_no_change(input, &source)?;
    let keys = keys!(input, cx);
    let copied = take(cx, input, &source, &keys).await?;
    let meta = meta_of(cx, input, &copied.source.meta)?;
    let (bucket, row, expiration) = cx
        .write(input, |tx| {
            let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
            // Between the two transactions the source may have gone, and its bytes with it.
            let (from, _) = source.bucket(tx, cx, &None)?;
            let id = match copied.source.version_id.as_str() {
                "" => object::NULL,
                id => id,
            };
            object::find(tx, &from, &source.key, Some(id))?
                .filter(|now| now.sequence == copied.source.sequence)
                .ok_or_else(|| object::no_such_key(&source.key))?;
            ask_for_tags(tx, cx, input, &source, &copied.source.meta.tags)?;
            if input.if_match.is_some() || input.if_none_match.is_some() {
                let latest = object::find(tx, &bucket, &input.key, None)?;
                conditions::writing(
                    &input.if_match,
                    &input.if_none_match,
                    &input.key,
                    latest.as_ref(),
                )?;
            }
            let blobs = match &copied.received {
                Some(received) => vec![tx.adopt_blob(&received.blob)?],
                None => {
                    let shared = &copied.source.blobs;
                    shared.iter().try_for_each(|blob| tx.retain_blob(blob))?;
                    shared.clone()
                }
            };
            let owner = put_object::object_owner(&bucket, cx, &input.acl);
            let mut meta = meta.clone();
            encrypted(input, &keys.target).apply(&bucket, &mut meta, &*cx.entropy)?;
            locked(input).apply(&bucket, tx.now(), &mut meta)?;
            let row = ObjectRow {
                sequence: 0,
                version_id: String::new(),
                delete_marker: false,
                modified: tx.now(),
                size_bytes: copied.source.size_bytes,
                e_tag: copied.e_tag.clone(),
                blobs,
                meta,
                owner,
                acl: put_object::object_acl(tx, &bucket, &asked(input), owner)?,
                checksum: copied.checksum.clone(),
                parts: Vec::new(),
                upload_id: None,
            };
            let row = object::install(tx, cx, &bucket, &input.key, row, 0)?;
            let expiration = lifecycle::expiration(tx, &bucket, &input.key, &row)?;
            let of = events::Of::new(&bucket, &input.bucket, &input.key, &row);
            events::tell(tx, cx, "ObjectCreated:Copy", of)?;
            Ok((bucket, row, expiration))
        })
        .await?;
    let mut result = CopyObjectResult {
        e_tag: Some(format!("\"{}\"", row.e_tag)),
        last_modified: Some(row.modified),
        ..CopyObjectResult::default()
    };
    if let Some(checksum) = &row.checksum {
        checksum::show!(result, checksum);
        result.checksum_type = Some(checksum::kind(checksum.composite));
    }
    Ok(Reply::new(CopyObjectOutput {
        copy_object_result: Some(result),
        expiration,
        copy_source_version_id: object::shown_id(&copied.source_bucket, &copied.source),
        version_id: object::written_id(&bucket, &row),
        server_side_encryption: meta::shown_encryption(&row.meta),
        ssekms_key_id: row.meta.kms_key_id.clone(),
        bucket_key_enabled: row.meta.bucket_key.then_some(true),
        sse_customer_algorithm: keys.target.as_ref().map(|_| customer_key::ALGORITHM.into()),
        sse_customer_key_md5: keys.target.as_ref().map(CustomerKey::shown_md5),
        ..CopyObjectOutput::default()
    }))
}

/// `bytes=first-last`, both of them, within the source.
fn part_range(header: &Option<String>, size: u64) -> Result<Range<u64>, Error> {
    let Some(header) = header else { return Ok(0..size) };
    let invalid = |text: &str| {
        Error::new(&e::INVALID_ARGUMENT, text.to_owned())
            .detail("ArgumentName", "x-amz-copy-source-range")
            .detail("ArgumentValue", header)
    };
    let form = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
    let parsed = header.strip_prefix("bytes=").and_then(|spec| {
        let (first, last) = spec.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?))
    });
    let (first, last) =
        parsed.filter(|(first, last)| first <= last).ok_or_else(|| invalid(form))?;
    if last >= size {
        let text = format!("Range specified is not valid for source object of size: {size}");
        return Err(invalid(&text));
    }
    Ok(first..last + 1)
}

pub async fn part(
    cx: &AsyncCx,
    input: &UploadPartCopyInput,
) -> Result<Reply<UploadPartCopyOutput>, Error> {
    let source = Source::parse(&input.copy_source)?;
    let reading = Reading {
        if_match: &input.copy_source_if_match,
        if_none_match: &input.copy_source_if_none_match,
        if_modified_since: input.copy_source_if_modified_since,
        if_unmodified_since: input.copy_source_if_unmodified_since,
    };
    let keys = keys!(input, cx);
    let (target, from, row, content) = cx.read(|tx| {
        let target = multipart::target(tx, input)?;
        customer_key::check_part(&target.upload.meta, keys.target.as_ref())?;
        let (from, row) = source.find(tx, cx, &input.expected_source_bucket_owner, &reading)?;
        customer_key::check_reading(&row.meta, keys.source.as_ref())?;
        let content = Content::of(tx, cx, &row, keys.source.as_ref())?;
        Ok((target, from, row, content))
    })?;
    let range = part_range(&input.copy_source_range, row.size_bytes)?;
    if range.end - range.start > body::BODY_BYTES_MAX {
        return Err(body::too_large(range.end - range.start));
    }
    let declared = Declared::default().for_upload(target.upload.algorithm)?;
    let received =
        copy_bytes(cx, &content, range, declared.algorithm(), keys.target.as_ref()).await?;
    let part = cx
        .write(input, |tx| {
            let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
            multipart::target(tx, input)?;
            multipart::put_part(tx, &bucket, &input.upload_id, target.number, &received)
        })
        .await?;
    let modified: Timestamp = part.modified;
    let mut result = CopyPartResult {
        e_tag: Some(format!("\"{}\"", part.e_tag)),
        last_modified: Some(modified),
        ..CopyPartResult::default()
    };
    if let Some(checksum) = &part.checksum {
        checksum::show!(result, checksum);
    }
    Ok(Reply::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id: object::shown_id(&from, &row),
        server_side_encryption: meta::shown_encryption(&target.upload.meta),
        ssekms_key_id: target.upload.meta.kms_key_id.clone(),
        bucket_key_enabled: target.upload.meta.bucket_key.then_some(true),
        sse_customer_algorithm: keys.target.as_ref().map(|_| customer_key::ALGORITHM.into()),
        sse_customer_key_md5: keys.target.as_ref().map(CustomerKey::shown_md5),
        ..UploadPartCopyOutput::default()
    }))
}

async fn copy_bytes(
    cx: &AsyncCx,
    content: &Content,
    range: Range<u64>,
    algorithm: Algorithm,
    key: Option<&CustomerKey>,
) -> Result<body::Received, Error> {
    let mut digests = Digests::new(algorithm);
    let mut keeping = body::Keeping::new(cx, Some(range.end - range.start), key)?;
    let mut pieces = content.stream(range);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        digests.update(&piece);
        keeping.write(&piece).await?;
    }
    keeping.finish(digests.finish()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let check = |header: &str, expected: Option<(&str, &str, Option<&str>)>| {
            let got = Source::parse(header).ok();
            let got =
                got.as_ref().map(|s| (s.bucket.as_str(), s.key.as_str(), s.version.as_deref()));
            assert_eq!(got, expected, "{header}");
        };
        check("/b/k", Some(("b", "k", None)));
        check("b/a/b%20c", Some(("b", "a/b c", None)));
        check("b/k?versionId=v%2B1", Some(("b", "k", Some("v+1"))));
        check("b/a%3Fb", Some(("b", "a?b", None)));
        check("b/", None);
        check("b", None);
        check("b/%ff", None);
    }

    #[test]
    fn ranges_of_parts() {
        let check = |header: &str, expected: Option<Range<u64>>| {
            assert_eq!(part_range(&Some(header.into()), 10).ok(), expected, "{header}");
        };
        check("bytes=0-9", Some(0..10));
        check("bytes=3-3", Some(3..4));
        for bad in ["bytes=0-10", "bytes=5-", "bytes=-5", "bytes=5-3", "0-3", "bytes=a-b"] {
            check(bad, None);
        }
    }
}
