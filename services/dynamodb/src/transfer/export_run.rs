//! The errand of an export: data files of a bounded size, one after the other, then the manifests.
//!
//! Every step begins with the export's row and ends with a commit that changes it; what is written twice
//! after a crash has the same key.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use super::export::{EXPORTS, ExportRow, FILES, FileRow};
use super::{Errand, OfTransfer, S3, Trouble, of_error, of_s3};
use crate::history::{next_changes, next_items, unpin};
use crate::keyspace::pick;
use api::{Background, Error, RequestBody, Tx};
use base::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use gen_s3::{PutObjectInput, PutObjectOutput};
use item::{Item, Map};
use md5::{Digest as _, Md5};
use smithy::json::quoted;
use std::io::Write as _;
use store::{JobKind, JobOutcome, Scope, StoreError};

pub(crate) const EXPORT: JobKind<OfTransfer> = JobKind::new(0x040a, "dynamodb.export");

/// Bytes of one data file before they are compressed.
const FILE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) const ERRAND: Errand = Errand {
    kind: EXPORT,
    step: |with, scope, id| Box::pin(step(with, scope, id)),
    fail: |with, scope, id, why| Box::pin(end(with, scope, id, Some(why))),
};

/// One file, or the manifests.
async fn step(with: &Background, scope: &Scope, id: &str) -> Result<JobOutcome, Trouble> {
    let row = with.store.read(|tx| tx.get(&EXPORTS, scope, id))?;
    let Some(row) = row.filter(|row| row.ended.is_none()) else { return Ok(JobOutcome::Done) };
    let s3 = S3::new(with, &row.caller, &row.region);
    if !row.begun {
        put(&s3, &row, row.key("_started"), Bytes::new(), "application/octet-stream").await?;
        change(with, scope, id, |row| row.begun = true).await?;
        return Ok(JobOutcome::Again(row.started));
    }
    if row.all_written {
        manifests(with, scope, &s3, &row).await?;
        end(with, scope, id, None).await?;
        return Ok(JobOutcome::Done);
    }
    let part = gather(with, scope, &row)?;
    if part.item_count > 0 {
        let key = row.data_key(&format!("{}.json.gz", file_name(&row.id, row.files)));
        let data = compressed(&part.text);
        let md5 = STANDARD.encode(Md5::digest(&data));
        let e_tag = put(&s3, &row, key.clone(), data, "application/x-gzip").await?;
        let file = FileRow { key, item_count: part.item_count, md5, e_tag };
        let kept = |tx: &mut Tx| {
            tx.put(&FILES, scope, &(id, row.files), &file)?;
            note(tx, scope, id, &part, 1)
        };
        with.store.write(kept).await?;
    } else {
        with.store.write(|tx| note(tx, scope, id, &part, 0)).await?;
    }
    Ok(JobOutcome::Again(row.started))
}

fn note(tx: &mut Tx, scope: &Scope, id: &str, part: &Part, files: u32) -> Result<(), StoreError> {
    let Some(mut row) = tx.get(&EXPORTS, scope, id)? else { return Ok(()) };
    row.after.clone_from(&part.after);
    row.all_written = part.is_last;
    row.files += files;
    row.item_count += part.item_count;
    row.size_bytes += part.size_bytes;
    tx.put(&EXPORTS, scope, id, &row)
}

async fn change(
    with: &Background,
    scope: &Scope,
    id: &str,
    change: impl Fn(&mut ExportRow),
) -> Result<(), StoreError> {
    let write = |tx: &mut Tx| {
        let Some(mut row) = tx.get(&EXPORTS, scope, id)? else { return Ok(()) };
        change(&mut row);
        tx.put(&EXPORTS, scope, id, &row)
    };
    with.store.write(write).await
}

/// The export is over, well or not; nobody needs the table's past for it.
async fn end(
    with: &Background,
    scope: &Scope,
    id: &str,
    failure: Option<(&'static str, String)>,
) -> Result<(), store::JobError> {
    let write = |tx: &mut Tx| {
        let Some(mut row) = tx.get(&EXPORTS, scope, id)? else { return Ok(()) };
        row.ended = Some(tx.now());
        if let Some((code, text)) = &failure {
            row.failure = Some((*code).to_owned());
            row.failure_text = Some(text.clone());
        }
        tx.put(&EXPORTS, scope, id, &row)?;
        unpin(tx, scope, row.number, row.pin)
    };
    let ended: Result<(), Error> = with.store.write(write).await;
    ended.map_err(crate::jobs::failed)
}

/// Lines for one file, and how far they reach.
#[derive(Default)]
struct Part {
    text: Vec<u8>,
    item_count: u64,
    size_bytes: u64,
    after: Vec<u8>,
    is_last: bool,
}

/// Reads on in small steps until a file is full. The table's past stays as it is, so that the steps see
/// one state.
fn gather(with: &Background, scope: &Scope, row: &ExportRow) -> Result<Part, Trouble> {
    let mut part = Part { after: row.after.clone(), ..Part::default() };
    while part.text.len() < FILE_BYTES_MAX && !part.is_last {
        let more = match &row.from {
            None => with.store.read(|tx| full(tx, scope, row, &mut part)),
            Some(from) => with.store.read(|tx| {
                let moments = (from, &row.moment);
                let (spans, last) = next_changes(tx, scope, row.number, moments, &part.after)?;
                part.is_last = last.is_none();
                part.after = last.map_or_else(|| part.after.clone(), |key| key.0);
                spans.iter().for_each(|span| incremental(&mut part, row, span));
                Ok(())
            }),
        };
        more.map_err(of_error)?;
    }
    Ok(part)
}

fn full(tx: &Tx, scope: &Scope, row: &ExportRow, part: &mut Part) -> Result<(), Error> {
    let found = next_items(tx, scope, row.number, Some(&row.moment), &part.after)?;
    let Some(last) = found.last() else {
        part.is_last = true;
        return Ok(());
    };
    part.after.clone_from(&last.key.0);
    for item in found.into_iter().filter_map(|seen| seen.row) {
        part.item_count += 1;
        part.size_bytes += u64::from(item.size_bytes);
        part.text.extend_from_slice(b"{\"Item\":");
        part.text.extend_from_slice(Item::from_bytes(item.item).to_json().as_bytes());
        part.text.extend_from_slice(b"}\n");
    }
    Ok(())
}

fn incremental(part: &mut Part, row: &ExportRow, span: &crate::history::Span) {
    let Some(some) = span.after.as_ref().or(span.before.as_ref()) else { return };
    let json = |bytes: &Bytes| Item::from_bytes(bytes.clone()).to_json();
    let keys = pick(Map::of(&some.item), row.keys.iter().map(String::as_str));
    part.item_count += 1;
    part.size_bytes += u64::from(some.size_bytes);
    let mut line = format!(
        "{{\"Metadata\":{{\"WriteTimestampMicros\":{{\"N\":\"{}\"}}}},\"Keys\":{}",
        span.changed.to_millis() * 1000,
        json(&keys)
    );
    if let Some(before) = span.before.as_ref().filter(|_| row.old_images) {
        line.push_str(&format!(",\"OldImage\":{}", json(&before.item)));
    }
    if let Some(after) = &span.after {
        line.push_str(&format!(",\"NewImage\":{}", json(&after.item)));
    }
    line.push_str("}\n");
    part.text.extend_from_slice(line.as_bytes());
}

fn compressed(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Into memory: it cannot fail.
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.unwrap_or_default().into()
}

/// 26 letters and digits that nothing but the export and the file's number decide.
fn file_name(id: &str, number: u32) -> String {
    let digest = Md5::digest(format!("{id} {number}"));
    let digit = |at: usize| {
        let bits = at * 5;
        let pair = u16::from(digest[(bits / 8) % 16]) << 8 | u16::from(digest[(bits / 8 + 1) % 16]);
        char::from(b"abcdefghijklmnopqrstuvwxyz234567"[usize::from(pair >> (11 - bits % 8) & 31)])
    };
    (0..26).map(digit).collect()
}

/// Writes an object; its entity tag.
async fn put(
    s3: &S3,
    row: &ExportRow,
    key: String,
    body: Bytes,
    kind: &str,
) -> Result<String, Trouble> {
    let sse = row.sse.as_deref().map(|sse| if sse == "KMS" { "aws:kms" } else { sse });
    let input = PutObjectInput {
        bucket: row.bucket.clone(),
        key,
        content_length: Some(body.len() as i64),
        content_type: Some(kind.to_owned()),
        server_side_encryption: sse.map(str::to_owned),
        ssekms_key_id: row.sse_key.clone(),
        expected_bucket_owner: row.bucket_owner.clone(),
        ..PutObjectInput::default()
    };
    let body = RequestBody::from_bytes(body);
    let put = s3.call::<PutObjectOutput>("PutObject", &input, body).await.map_err(of_s3)?;
    Ok(put.output.e_tag.unwrap_or_default().trim_matches('"').to_owned())
}

async fn manifests(
    with: &Background,
    scope: &Scope,
    s3: &S3,
    row: &ExportRow,
) -> Result<(), Trouble> {
    let files: Vec<FileRow> = with.store.read(|tx| {
        let rows = tx.scan(&FILES, scope).prefix(&(row.id.as_str(),));
        rows.map(|row| row.map(|(_, row)| row)).collect::<Result<_, _>>()
    })?;
    let mut list = String::new();
    for file in &files {
        list.push_str(&format!(
            "{{\"itemCount\":{},\"md5Checksum\":{},\"etag\":{},\"dataFileS3Key\":{}}}\n",
            file.item_count,
            quoted(&file.md5),
            quoted(&file.e_tag),
            quoted(&file.key)
        ));
    }
    let now = with.store.read(Tx::now);
    let summary = summary(row, now);
    for (name, text) in [("manifest-files", list), ("manifest-summary", summary)] {
        let md5 = STANDARD.encode(Md5::digest(text.as_bytes()));
        let key = row.key(&format!("{name}.json"));
        put(s3, row, key, text.into(), "application/json").await?;
        put(s3, row, row.key(&format!("{name}.md5")), md5.into(), "text/plain").await?;
    }
    Ok(())
}

fn summary(row: &ExportRow, ended: Timestamp) -> String {
    let or_null = |text: &Option<String>| text.as_deref().map_or_else(|| "null".into(), quoted);
    let table = crate::names::arn(row.account, &row.region, &row.table);
    let times = match &row.from {
        None => format!("\"exportTime\":{}", quoted(&row.moment.at.iso8601_millis())),
        Some(from) => format!(
            "\"exportFromTime\":{},\"exportToTime\":{}",
            quoted(&from.at.iso8601_millis()),
            quoted(&row.moment.at.iso8601_millis())
        ),
    };
    let view = match &row.from {
        None => String::new(),
        Some(_) => format!(",\"outputView\":{}", quoted(row.view())),
    };
    let version = if row.from.is_some() { "2023-08-01" } else { "2020-06-30" };
    format!(
        "{{\"version\":{},\"exportArn\":{},\"startTime\":{},\"endTime\":{},\"tableArn\":{},\"tableId\":{},{times},\"s3Bucket\":{},\"s3Prefix\":{},\"s3SseAlgorithm\":{},\"s3SseKmsKeyId\":{},\"manifestFilesS3Key\":{},\"billedSizeBytes\":{},\"itemCount\":{},\"outputFormat\":\"DYNAMODB_JSON\"{view},\"exportType\":{}}}",
        quoted(version),
        quoted(&row.arn()),
        quoted(&row.started.iso8601_millis()),
        quoted(&ended.iso8601_millis()),
        quoted(&table),
        quoted(&row.table_id),
        quoted(&row.bucket),
        or_null(&row.prefix),
        or_null(&row.sse),
        or_null(&row.sse_key),
        quoted(&row.key("manifest-files.json")),
        row.size_bytes,
        row.item_count,
        quoted(row.kind())
    )
}
