//! Uploads in parts.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>

use crate::acl::Asked;
use crate::checksum::{self, Declared};
use crate::customer_key::{self, CustomerKey};
use crate::rows::*;
use crate::{
    body, bucket, conditions, encryption, events, lifecycle, list, lock, meta, names, object,
    put_object, tagging,
};
use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use base::percent;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gen_s3::errors as e;
use gen_s3::*;
use md5::{Digest, Md5};

/// All parts but the last have at least this much.
const PART_BYTES_MIN: u64 = 5 << 20;
const PARTS_MAX: i32 = 10_000;
const PAGE_MAX: i32 = 1000;

pub fn no_such_upload(id: &str) -> Error {
    Error::new(
        &e::NO_SUCH_UPLOAD,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
    )
    .detail("UploadId", id)
}

fn find(tx: &Tx, bucket: &BucketRow, key: &str, id: &str) -> Result<UploadRow, Error> {
    tx.get(&UPLOADS, &bucket::scope(bucket), &(bucket.number, key, id))?
        .ok_or_else(|| no_such_upload(id))
}

/// The account that began an upload, if there is such a one.
pub fn owner(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    id: &str,
) -> Result<Option<base::AccountId>, Error> {
    let upload = tx.get(&UPLOADS, &bucket::scope(bucket), &(bucket.number, key, id))?;
    Ok(upload.map(|upload| upload.owner))
}

fn asked(input: &CreateMultipartUploadInput) -> Asked<'_> {
    Asked {
        canned: &input.acl,
        full_control: &input.grant_full_control,
        read: &input.grant_read,
        write: &None,
        read_acp: &input.grant_read_acp,
        write_acp: &input.grant_write_acp,
    }
}

fn locked(input: &CreateMultipartUploadInput) -> lock::Asked<'_> {
    lock::Asked {
        mode: &input.object_lock_mode,
        until: input.object_lock_retain_until_date,
        legal_hold: &input.object_lock_legal_hold_status,
    }
}

pub fn authorize_create(cx: &Cx, input: &CreateMultipartUploadInput) -> Vec<Ask> {
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    let put = encryption::keys!(input, meta::keys!(input, Ask::new("s3:PutObject", &arn)));
    let mut put = locked(input).keys(cx, put);
    put.context.push(names::creates_object(false));
    let mut asks = vec![tagging::with_header(asked(input).keys(put), &input.tagging)];
    if !asked(input).is_empty() {
        let ask = asked(input).keys(Ask::new("s3:PutObjectAcl", &arn));
        asks.push(ask);
    }
    if input.tagging.is_some() {
        let ask = Ask::new("s3:PutObjectTagging", &arn);
        asks.push(tagging::with_header(ask, &input.tagging));
    }
    locked(input).asks(cx, &arn, &mut asks);
    asks
}

/// Algorithm and whether the object's checksum is made of the parts' checksums.
fn checksum_asked(
    algorithm: &Option<String>,
    kind: &Option<String>,
) -> Result<(Option<Algorithm>, bool), Error> {
    let algorithm = algorithm.as_deref().map(checksum::parse_algorithm).transpose()?;
    let Some(algorithm) = algorithm else {
        if kind.is_some() {
            let text = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.";
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
        return Ok((None, false));
    };
    let composite = match kind.as_deref() {
        None => algorithm != Algorithm::Crc64Nvme,
        Some("COMPOSITE") => true,
        Some("FULL_OBJECT") => false,
        Some(_) => {
            let text = "Value for x-amz-checksum-type header is invalid.";
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
    };
    let possible =
        if composite { algorithm != Algorithm::Crc64Nvme } else { algorithm.is_linear() };
    if !possible {
        let kind = if composite { "COMPOSITE" } else { "FULL_OBJECT" };
        let name = algorithm.name().to_ascii_lowercase();
        let text =
            format!("The {kind} checksum type cannot be used with the {name} checksum algorithm.");
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    Ok((Some(algorithm), composite))
}

pub fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateMultipartUploadInput,
) -> Result<CreateMultipartUploadOutput, Error> {
    names::check_key(&input.key)?;
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let mut meta = meta::of_input!(cx, input);
    let customer = customer_key::given!(input).read(cx)?;
    let encrypted = encryption::Asked {
        algorithm: &input.server_side_encryption,
        kms_key_id: &input.ssekms_key_id,
        bucket_key: input.bucket_key_enabled,
        customer: customer.as_ref(),
    };
    encrypted.apply(&bucket, &mut meta, &*cx.entropy)?;
    locked(input).apply(&bucket, tx.now(), &mut meta)?;
    let (algorithm, composite) = checksum_asked(&input.checksum_algorithm, &input.checksum_type)?;
    let owner = put_object::object_owner(&bucket, cx, &input.acl);
    let upload = UploadRow {
        initiated: tx.now(),
        acl: put_object::object_acl(tx, &bucket, &asked(input), owner)?,
        owner,
        algorithm,
        composite,
        initiator: cx.caller.principal.arn().to_owned(),
        meta,
    };
    let mut chance = [0; 36];
    cx.entropy.fill(&mut chance);
    // Uploads of one key are listed by when they were begun.
    let id = format!("{:016x}{}", tx.version() + 1, BASE64_URL_SAFE_NO_PAD.encode(chance));
    let place = (bucket.number, input.key.as_str(), id.as_str());
    tx.put(&UPLOADS, &bucket::scope(&bucket), &place, &upload)?;
    let abort = lifecycle::abort_date(tx, &bucket, &input.key, upload.initiated)?;
    let (abort_date, abort_rule_id) = abort.unzip();
    Ok(CreateMultipartUploadOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(id),
        server_side_encryption: meta::shown_encryption(&upload.meta),
        ssekms_key_id: upload.meta.kms_key_id.clone(),
        bucket_key_enabled: upload.meta.bucket_key.then_some(true),
        sse_customer_algorithm: customer.as_ref().map(|_| customer_key::ALGORITHM.into()),
        sse_customer_key_md5: customer.as_ref().map(CustomerKey::shown_md5),
        checksum_algorithm: algorithm.map(|a| a.name().into()),
        checksum_type: algorithm.map(|_| checksum::kind(composite)),
        ..CreateMultipartUploadOutput::default()
    })
}

fn check_part_number(number: i32) -> Result<u32, Error> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(number as u32);
    }
    let text = "Part number must be an integer between 1 and 10000, inclusive";
    Err(Error::new(&e::INVALID_ARGUMENT, text)
        .detail("ArgumentName", "partNumber")
        .detail("ArgumentValue", number.to_string()))
}

/// Puts a part in place of one of the same number.
pub fn put_part(
    tx: &mut Tx,
    bucket: &BucketRow,
    upload_id: &str,
    number: u32,
    received: &body::Received,
) -> Result<PartRow, Error> {
    let (scope, place) = (bucket::scope(bucket), (bucket.number, upload_id, number));
    if let Some(old) = tx.get(&PARTS, &scope, &place)? {
        tx.release_blob(&old.blob)?;
    }
    let part = PartRow {
        size_bytes: received.digested.size_bytes,
        e_tag: received.e_tag.clone(),
        modified: base::Timestamp::from_secs(tx.now().to_secs()),
        blob: tx.adopt_blob(&received.blob)?,
        checksum: Some(received.digested.checksum_row()),
    };
    tx.put(&PARTS, &scope, &place, &part)?;
    Ok(part)
}

pub async fn upload_part(
    cx: &AsyncCx,
    input: &UploadPartInput,
) -> Result<Reply<UploadPartOutput>, Error> {
    let number = check_part_number(input.part_number)?;
    let declared =
        Declared::new(&input.content_md5, &input.checksum_algorithm, checksum::values!(input))?;
    let customer = customer_key::given!(input).read(cx)?;
    let upload = cx.read(|tx| {
        let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
        let upload = find(tx, &bucket, &input.key, &input.upload_id)?;
        customer_key::check_part(&upload.meta, customer.as_ref())?;
        Ok(upload)
    })?;
    let declared = declared.for_upload(upload.algorithm)?;
    let received = body::receive(cx, declared, customer.as_ref()).await?;
    let part = cx
        .write(input, |tx| {
            let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
            find(tx, &bucket, &input.key, &input.upload_id)?;
            put_part(tx, &bucket, &input.upload_id, number, &received)
        })
        .await?;
    let mut output = UploadPartOutput {
        e_tag: Some(format!("\"{}\"", part.e_tag)),
        server_side_encryption: meta::shown_encryption(&upload.meta),
        ssekms_key_id: upload.meta.kms_key_id,
        bucket_key_enabled: upload.meta.bucket_key.then_some(true),
        sse_customer_algorithm: customer.as_ref().map(|_| customer_key::ALGORITHM.into()),
        sse_customer_key_md5: customer.as_ref().map(CustomerKey::shown_md5),
        ..UploadPartOutput::default()
    };
    if let Some(checksum) = &part.checksum {
        checksum::show!(output, checksum);
    }
    Ok(Reply::new(output))
}

fn invalid_part(id: &str, number: u32, e_tag: &str) -> Error {
    Error::new(
        &e::INVALID_PART,
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
    )
    .detail("UploadId", id)
    .detail("PartNumber", number.to_string())
    .detail("ETag", e_tag)
}

/// The parts that a client names for completion, checked against what was uploaded.
fn chosen(
    tx: &Tx,
    bucket: &BucketRow,
    input: &CompleteMultipartUploadInput,
) -> Result<Vec<(u32, PartRow)>, Error> {
    let listed = input.multipart_upload.as_ref().and_then(|m| m.parts.as_ref());
    let listed = listed.filter(|parts| !parts.is_empty()).ok_or_else(|| {
        let text = "The XML you provided was not well-formed or did not validate against our published schema";
        Error::new(&e::MALFORMED_XML, text)
    })?;
    let mut parts: Vec<(u32, PartRow)> = Vec::with_capacity(listed.len());
    for (nth, wanted) in listed.iter().enumerate() {
        // One that was sent again and is named twice in a row counts as it is named last.
        let next = listed.get(nth + 1);
        if next.is_some_and(|next| next.part_number == wanted.part_number) {
            continue;
        }
        let number = check_part_number(wanted.part_number.unwrap_or_default())?;
        if parts.last().is_some_and(|(before, _)| *before >= number) {
            let text = "The list of parts was not in ascending order. Parts must be ordered by part number.";
            return Err(
                Error::new(&e::INVALID_PART_ORDER, text).detail("UploadId", &input.upload_id)
            );
        }
        let e_tag = wanted.e_tag.as_deref().unwrap_or_default().trim_matches('"');
        let place = (bucket.number, input.upload_id.as_str(), number);
        let row = tx.get(&PARTS, &bucket::scope(bucket), &place)?;
        let row = row.filter(|row| row.e_tag == e_tag);
        let row = row.ok_or_else(|| invalid_part(&input.upload_id, number, e_tag))?;
        let checksum::Values(named) = checksum::values!(wanted);
        for (algorithm, value) in Algorithm::ALL.into_iter().zip(named) {
            let same =
                |c: &ChecksumRow| c.algorithm == algorithm && Some(&c.value) == value.as_ref();
            if value.is_some() && !row.checksum.as_ref().is_some_and(same) {
                return Err(invalid_part(&input.upload_id, number, e_tag));
            }
        }
        parts.push((number, row));
    }
    let short = parts[..parts.len() - 1].iter().find(|(_, part)| part.size_bytes < PART_BYTES_MIN);
    if let Some((number, part)) = short {
        let text = "Your proposed upload is smaller than the minimum allowed size";
        return Err(Error::new(&e::ENTITY_TOO_SMALL, text)
            .detail("ProposedSize", part.size_bytes.to_string())
            .detail("MinSizeAllowed", PART_BYTES_MIN.to_string())
            .detail("PartNumber", number.to_string())
            .detail("ETag", &part.e_tag));
    }
    Ok(parts)
}

/// The checksum of the whole: combined from the parts', or made of them.
fn whole_checksum(upload: &UploadRow, parts: &[(u32, PartRow)]) -> Option<ChecksumRow> {
    let first = parts.first()?.1.checksum.as_ref()?.algorithm;
    let algorithm = upload.algorithm.unwrap_or(first);
    let values = parts.iter().map(|(_, part)| {
        let checksum = part.checksum.as_ref().filter(|c| c.algorithm == algorithm)?;
        Some((checksum::decode(&checksum.value)?, part.size_bytes))
    });
    let values: Vec<(Vec<u8>, u64)> = values.collect::<Option<_>>()?;
    let composite = upload.composite || !algorithm.is_linear();
    let value = if composite {
        let mut hasher = checksum::Hasher::new(algorithm);
        values.iter().for_each(|(value, _)| hasher.update(value));
        format!("{}-{}", checksum::encode(&hasher.finish()), values.len())
    } else {
        checksum::encode(&checksum::combine(algorithm, &values)?)
    };
    Some(ChecksumRow { algorithm, value, composite })
}

fn check_declared(
    input: &CompleteMultipartUploadInput,
    checksum: Option<&ChecksumRow>,
    size: u64,
) -> Result<(), Error> {
    let checksum::Values(declared) = checksum::values!(input);
    for (algorithm, value) in Algorithm::ALL.into_iter().zip(declared) {
        let Some(value) = value else { continue };
        // Clients leave the number of parts out of composite ones.
        let same = |c: &ChecksumRow| {
            let head = c.value.split('-').next();
            c.algorithm == algorithm && (c.value == *value || head == Some(value.as_str()))
        };
        if !checksum.is_some_and(same) {
            return Err(checksum::mismatch(algorithm));
        }
    }
    if input.mpu_object_size.is_some_and(|expected| expected as u64 != size) {
        let text = format!(
            "The provided 'x-amz-mp-object-size' header value {} does not match what was computed: {size}",
            input.mpu_object_size.unwrap_or_default()
        );
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    Ok(())
}

pub fn complete(
    tx: &mut Tx,
    cx: &Cx,
    input: &CompleteMultipartUploadInput,
) -> Result<CompleteMultipartUploadOutput, Error> {
    let (key, id) = (&input.key, &input.upload_id);
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let upload = match find(tx, &bucket, key, id) {
        Err(error) if error.is(&e::NO_SUCH_UPLOAD) => {
            // A client that heard nothing of its success asks again.
            let row = object::find(tx, &bucket, key, None)?;
            let row = row.filter(|row| row.upload_id.as_ref() == Some(id)).ok_or(error)?;
            return completed(tx, cx, input, &bucket, &row);
        }
        found => found?,
    };
    let customer = customer_key::given!(input).read(cx)?;
    // The key is wanted again only where checksums are.
    match upload.algorithm {
        Some(_) => customer_key::check_part(&upload.meta, customer.as_ref())?,
        None => customer_key::check_said(&upload.meta, customer.as_ref())?,
    }
    let parts = chosen(tx, &bucket, input)?;
    if input.if_match.is_some() || input.if_none_match.is_some() {
        let latest = object::find(tx, &bucket, key, None)?;
        conditions::writing(&input.if_match, &input.if_none_match, key, latest.as_ref())?;
    }
    let size_bytes = parts.iter().map(|(_, part)| part.size_bytes).sum();
    let checksum = whole_checksum(&upload, &parts);
    check_declared(input, checksum.as_ref(), size_bytes)?;
    let mut md5 = Md5::new();
    for (_, part) in &parts {
        md5.update(base::hex::decode(part.e_tag.as_bytes()).unwrap_or_default());
    }
    let row = ObjectRow {
        sequence: 0,
        version_id: String::new(),
        delete_marker: false,
        modified: tx.now(),
        size_bytes,
        e_tag: format!("{}-{}", base::hex::encode(&md5.finalize()), parts.len()),
        blobs: parts
            .iter()
            .filter(|(_, p)| p.size_bytes > 0)
            .map(|(_, p)| p.blob.clone())
            .collect(),
        meta: upload.meta.clone(),
        owner: upload.owner,
        acl: upload.acl.clone(),
        checksum,
        parts: parts
            .iter()
            .map(|(number, part)| PartOfObject {
                number: *number,
                size_bytes: part.size_bytes,
                checksum: part.checksum.clone(),
            })
            .collect(),
        upload_id: Some(id.clone()),
    };
    forget(tx, &bucket, key, id, |blob| row.blobs.contains(blob))?;
    let row = object::install(tx, cx, &bucket, key, row, 0)?;
    let of = events::Of::new(&bucket, &input.bucket, key, &row);
    events::tell(tx, cx, "ObjectCreated:CompleteMultipartUpload", of)?;
    completed(tx, cx, input, &bucket, &row)
}

/// Where the object can be had, as the client came here.
fn location(cx: &Cx, bucket: &str, key: &str) -> String {
    let http = &cx.http;
    let scheme = if http.secure { "https" } else { "http" };
    let port = http.port.map(|port| format!(":{port}")).unwrap_or_default();
    let key = percent::encode_path(key.as_bytes());
    let below_bucket = http.host.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'));
    let bucket = if below_bucket { String::new() } else { format!("{bucket}/") };
    format!("{scheme}://{}{port}/{bucket}{key}", http.host)
}

fn completed(
    tx: &Tx,
    cx: &Cx,
    input: &CompleteMultipartUploadInput,
    bucket: &BucketRow,
    row: &ObjectRow,
) -> Result<CompleteMultipartUploadOutput, Error> {
    let key = &input.key;
    let mut output = CompleteMultipartUploadOutput {
        location: Some(location(cx, &input.bucket, key)),
        bucket: Some(input.bucket.clone()),
        key: Some(key.clone()),
        e_tag: Some(format!("\"{}\"", row.e_tag)),
        version_id: object::written_id(bucket, row),
        expiration: lifecycle::expiration(tx, bucket, key, row)?,
        server_side_encryption: meta::shown_encryption(&row.meta),
        ssekms_key_id: row.meta.kms_key_id.clone(),
        bucket_key_enabled: row.meta.bucket_key.then_some(true),
        ..CompleteMultipartUploadOutput::default()
    };
    if let Some(checksum) = &row.checksum {
        checksum::show!(output, checksum);
        output.checksum_type = Some(checksum::kind(checksum.composite));
    }
    Ok(output)
}

/// Removes an upload and its parts; those whose bytes live on in an object keep them.
fn forget(
    tx: &mut Tx,
    bucket: &BucketRow,
    key: &str,
    id: &str,
    lives_on: impl Fn(&store::blobs::BlobRef) -> bool,
) -> Result<(), Error> {
    let scope = bucket::scope(bucket);
    tx.delete(&UPLOADS, &scope, &(bucket.number, key, id))?;
    let rows = tx.scan(&PARTS, &scope).prefix(&(bucket.number, id));
    let parts: Vec<_> = rows.collect::<Result<_, _>>()?;
    for ((_, _, number), part) in parts {
        if !lives_on(&part.blob) {
            tx.release_blob(&part.blob)?;
        }
        tx.delete(&PARTS, &scope, &(bucket.number, id, number))?;
    }
    Ok(())
}

pub fn abort(
    tx: &mut Tx,
    _: &Cx,
    input: &AbortMultipartUploadInput,
) -> Result<AbortMultipartUploadOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let upload = find(tx, &bucket, &input.key, &input.upload_id)?;
    if input.if_match_initiated_time.is_some_and(|at| at.to_secs() != upload.initiated.to_secs()) {
        let text = "At least one of the pre-conditions you specified did not hold";
        return Err(Error::new(&e::PRECONDITION_FAILED, text)
            .detail("Condition", "If-Match-Initiated-Time"));
    }
    tx.mark_freeing();
    forget(tx, &bucket, &input.key, &input.upload_id, |_| false)?;
    Ok(AbortMultipartUploadOutput::default())
}

fn page_size(asked: Option<i32>, name: &'static str) -> Result<usize, Error> {
    match asked.unwrap_or(PAGE_MAX) {
        size @ 0.. => Ok(size.min(PAGE_MAX) as usize),
        size => {
            let text = format!("Argument {name} must be an integer between 0 and 2147483647");
            Err(Error::new(&e::INVALID_ARGUMENT, text)
                .detail("ArgumentName", name)
                .detail("ArgumentValue", size.to_string()))
        }
    }
}

fn initiator(upload: &UploadRow) -> Initiator {
    let id = match upload.initiator.ends_with(":root") {
        true => upload.owner.canonical_user_id(),
        false => upload.initiator.clone(),
    };
    Initiator { id: Some(id), display_name: Some(crate::acl::display_name(upload.owner)) }
}

fn shown_class(meta: &Meta) -> Option<String> {
    Some(meta::shown_class(meta).unwrap_or_else(|| "STANDARD".into()))
}

pub fn list_parts(tx: &Tx, cx: &Cx, input: &ListPartsInput) -> Result<ListPartsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let upload = find(tx, &bucket, &input.key, &input.upload_id)?;
    let customer = customer_key::given!(input).read(cx)?;
    customer_key::check_said(&upload.meta, customer.as_ref())?;
    let max = page_size(input.max_parts, "max-parts")?;
    let marker = u32::try_from(input.part_number_marker.unwrap_or(0)).unwrap_or(0);
    let scope = bucket::scope(&bucket);
    let id = input.upload_id.as_str();
    let rows =
        tx.scan(&PARTS, &scope).prefix(&(bucket.number, id)).after(&(bucket.number, id, marker));
    let mut parts = Vec::new();
    let mut truncated = false;
    for item in rows {
        let ((_, _, number), row) = item?;
        if parts.len() == max {
            truncated = true;
            break;
        }
        let mut part = Part {
            part_number: Some(number as i32),
            last_modified: Some(row.modified),
            e_tag: Some(format!("\"{}\"", row.e_tag)),
            size: Some(row.size_bytes as i64),
            ..Part::default()
        };
        if let Some(checksum) = row.checksum.as_ref().filter(|_| upload.algorithm.is_some()) {
            checksum::show!(part, checksum);
        }
        parts.push(part);
    }
    let last = parts.last().and_then(|part| part.part_number).unwrap_or(marker as i32);
    let abort = lifecycle::abort_date(tx, &bucket, &input.key, upload.initiated)?;
    let (abort_date, abort_rule_id) = abort.unzip();
    Ok(ListPartsOutput {
        abort_date,
        abort_rule_id,
        bucket: Some(input.bucket.clone()),
        key: Some(input.key.clone()),
        upload_id: Some(input.upload_id.clone()),
        part_number_marker: Some(marker as i32),
        next_part_number_marker: Some(last),
        max_parts: Some(max as i32),
        is_truncated: Some(truncated),
        parts: Some(parts),
        initiator: Some(initiator(&upload)),
        owner: Some(crate::acl::owner(upload.owner)),
        storage_class: shown_class(&upload.meta),
        checksum_algorithm: upload.algorithm.map(|a| a.name().into()),
        checksum_type: upload.algorithm.map(|_| checksum::kind(upload.composite)),
        ..ListPartsOutput::default()
    })
}

pub fn list_uploads(
    tx: &Tx,
    _: &Cx,
    input: &ListMultipartUploadsInput,
) -> Result<ListMultipartUploadsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let encoding = list::Encoding::parse(&input.encoding_type)?;
    let max = page_size(input.max_uploads, "max-uploads")?;
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let (prefix, delimiter) = (text(&input.prefix), text(&input.delimiter));
    let (key_marker, id_marker) = (text(&input.key_marker), text(&input.upload_id_marker));
    let scope = bucket::scope(&bucket);
    let mut rows = tx.scan(&UPLOADS, &scope).prefix(&(bucket.number, store::Stem(&prefix)));
    if !key_marker.is_empty() {
        rows = match id_marker.is_empty() {
            true => rows.after(&(bucket.number, key_marker.as_str())),
            false => rows.after(&(bucket.number, key_marker.as_str(), id_marker.as_str())),
        };
    }
    let (mut uploads, mut prefixes) = (Vec::new(), Vec::<CommonPrefix>::new());
    let (mut last, mut truncated) = ((String::new(), String::new()), false);
    while let Some(item) = rows.next() {
        let ((_, key, id), row) = item?;
        let folder = list::common_prefix(&key, &prefix, &delimiter).map(str::to_owned);
        if folder.as_ref().is_some_and(|folder| *folder <= key_marker) {
            continue;
        }
        if uploads.len() + prefixes.len() == max {
            truncated = max > 0;
            break;
        }
        if let Some(folder) = folder {
            rows.skip_past(&(bucket.number, store::Stem(&folder)))?;
            last = (folder.clone(), String::new());
            prefixes.push(CommonPrefix { prefix: Some(encoding.write(&folder)) });
            continue;
        }
        last = (key.clone(), id.clone());
        uploads.push(MultipartUpload {
            upload_id: Some(id),
            key: Some(encoding.write(&key)),
            initiated: Some(row.initiated),
            storage_class: shown_class(&row.meta),
            owner: Some(crate::acl::owner(row.owner)),
            initiator: Some(initiator(&row)),
            checksum_algorithm: row.algorithm.map(|a| a.name().into()),
            checksum_type: row.algorithm.map(|_| checksum::kind(row.composite)),
            version_id: None,
        });
    }
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket.clone()),
        key_marker: Some(encoding.write(&key_marker)),
        upload_id_marker: Some(id_marker),
        next_key_marker: truncated.then(|| encoding.write(&last.0)),
        next_upload_id_marker: truncated.then_some(last.1),
        prefix: Some(encoding.write(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.write(&delimiter)),
        max_uploads: Some(max as i32),
        is_truncated: Some(truncated),
        uploads: Some(uploads),
        common_prefixes: Some(prefixes),
        encoding_type: input.encoding_type.clone(),
        request_charged: None,
    })
}

/// What a copy of a part needs of its upload.
pub struct Target {
    pub number: u32,
    pub upload: UploadRow,
}

pub fn target(tx: &Tx, input: &UploadPartCopyInput) -> Result<Target, Error> {
    let number = check_part_number(input.part_number)?;
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    Ok(Target { number, upload: find(tx, &bucket, &input.key, &input.upload_id)? })
}
