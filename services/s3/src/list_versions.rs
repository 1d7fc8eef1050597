//! ListObjectVersions: every version of every key, newest first within a key.

use crate::list::{Encoding, common_prefix, max_keys};
use crate::rows::*;
use crate::{acl, bucket, list, object, restore};
use api::{AsyncCx, Body, Cx, Error, Reply, Tx};
use base::Timestamp;
use gen_s3::errors as e;
use gen_s3::*;
use smithy::model::Protocol;
use store::{Desc, Stem};

/// A page, and for each version and delete marker on it, in order, which of the two it is.
pub struct Page {
    pub output: ListObjectVersionsOutput,
    pub markers: Vec<bool>,
}

struct Walk<'a> {
    bucket: &'a BucketRow,
    encoding: Encoding,
    max: usize,
    count: usize,
    output: ListObjectVersionsOutput,
    markers: Vec<bool>,
    last: (String, Option<String>),
    /// Whether to say that archived objects can be read, at that time.
    restored_at: Option<Timestamp>,
}

impl Walk<'_> {
    /// Whether there was room for one more; else the page ends here.
    fn room(&mut self) -> bool {
        let room = self.count < self.max;
        if !room {
            self.output.is_truncated = Some(self.max > 0);
        }
        self.count += usize::from(room);
        room
    }

    fn add(&mut self, key: &str, row: &ObjectRow, latest: bool) {
        let id = match row.version_id.is_empty() {
            true => object::NULL.to_owned(),
            false => row.version_id.clone(),
        };
        self.last = (key.to_owned(), Some(id.clone()));
        let owner = Some(acl::owner(row.owner));
        self.markers.push(row.delete_marker);
        if row.delete_marker {
            self.output.delete_markers.get_or_insert_default().push(DeleteMarkerEntry {
                owner,
                key: Some(self.encoding.write(key)),
                version_id: Some(id),
                is_latest: Some(latest),
                last_modified: Some(row.modified),
            });
            return;
        }
        let class = match row.meta.storage_class.as_str() {
            "" => "STANDARD",
            class => class,
        };
        let checksum = row.checksum.as_ref();
        self.output.versions.get_or_insert_default().push(ObjectVersion {
            e_tag: Some(format!("\"{}\"", row.e_tag)),
            checksum_algorithm: checksum.map(|c| vec![c.algorithm.name().to_owned()]),
            checksum_type: checksum.map(|c| crate::checksum::kind(c.composite)),
            size: Some(row.size_bytes as i64),
            storage_class: Some(class.to_owned()),
            key: Some(self.encoding.write(key)),
            version_id: Some(id),
            is_latest: Some(latest),
            last_modified: Some(row.modified),
            owner,
            restore_status: self.restored_at.and_then(|now| restore::status(&row.meta, now)),
        });
    }

    /// The versions of one key that are older than `before`; false where the page is full.
    fn older(&mut self, tx: &Tx, key: &str, before: u64) -> Result<bool, Error> {
        let scope = bucket::scope(self.bucket);
        let number = self.bucket.number;
        let rows =
            tx.scan(&VERSIONS, &scope).prefix(&(number, key)).after(&(number, key, Desc(before)));
        for item in rows {
            let (_, row) = item?;
            if !self.room() {
                return Ok(false);
            }
            self.add(key, &row, false);
        }
        Ok(true)
    }
}

/// Versions and delete markers stand in the answer as they follow each other in the bucket, which two
/// lists of an output cannot say: the encoded elements are put in order.
pub async fn run(
    cx: &AsyncCx,
    input: &ListObjectVersionsInput,
) -> Result<Reply<ListObjectVersionsOutput>, Error> {
    let Page { output, markers } = cx.read(|tx| list(tx, cx, input))?;
    if !markers.contains(&true) || !markers.contains(&false) {
        return Ok(Reply::new(output));
    }
    let encoded = smithy::encode_response(Protocol::RestXml, cx.service, cx.operation, &output, "");
    let body = interleaved(&encoded.body, &markers);
    Ok(Reply::with_body(output, Body::Bytes(body.into())))
}

/// The elements of two names, which stand one name after the other, in the order of `markers`.
fn interleaved(body: &[u8], markers: &[bool]) -> Vec<u8> {
    let elements = |name: &str| {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(start) = find(body, open.as_bytes(), from) {
            let Some(end) = find(body, close.as_bytes(), start) else { break };
            from = end + close.len();
            found.push(start..from);
        }
        found
    };
    let (versions, deleted) = (elements("Version"), elements("DeleteMarker"));
    let mut out = Vec::with_capacity(body.len());
    let (mut next_version, mut next_marker) = (versions.iter(), deleted.iter());
    let mut all = versions.iter().chain(&deleted).collect::<Vec<_>>();
    all.sort_by_key(|range| range.start);
    let mut order = markers.iter();
    let mut done = 0;
    for place in all {
        out.extend_from_slice(&body[done..place.start]);
        let next = match order.next() {
            Some(true) => next_marker.next(),
            _ => next_version.next(),
        };
        out.extend_from_slice(next.map_or(&[][..], |range| &body[range.clone()]));
        done = place.end;
    }
    out.extend_from_slice(&body[done..]);
    out
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(step) = body.get(at..)?.iter().position(|b| *b == b'<') {
        at += step;
        if body[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

pub fn list(tx: &Tx, cx: &Cx, input: &ListObjectVersionsInput) -> Result<Page, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let (prefix, delimiter) = (text(&input.prefix), text(&input.delimiter));
    let (key_marker, id_marker) = (text(&input.key_marker), text(&input.version_id_marker));
    if key_marker.is_empty() && !id_marker.is_empty() {
        let text = "A version-id marker cannot be specified without a key marker.";
        return Err(Error::new(&e::INVALID_ARGUMENT, text)
            .detail("ArgumentName", "version-id-marker")
            .detail("ArgumentValue", id_marker));
    }
    let encoding = Encoding::parse(&input.encoding_type)?;
    let max = max_keys(input.max_keys)?;
    let output = ListObjectVersionsOutput {
        is_truncated: Some(false),
        key_marker: Some(encoding.write(&key_marker)),
        version_id_marker: Some(id_marker.clone()),
        name: Some(list::shown_name(cx, &input.bucket)),
        prefix: Some(encoding.write(&prefix)),
        delimiter: (!delimiter.is_empty()).then(|| encoding.write(&delimiter)),
        max_keys: Some(max as i32),
        encoding_type: input.encoding_type.clone(),
        ..ListObjectVersionsOutput::default()
    };
    let last = (String::new(), None);
    let restored_at = list::restore_asked(tx, &input.optional_object_attributes);
    let markers = Vec::new();
    let mut walk =
        Walk { bucket: &bucket, encoding, max, count: 0, output, markers, last, restored_at };
    let scope = bucket::scope(&bucket);
    if !id_marker.is_empty() {
        // The marker names a place, whether or not the version is still there.
        let found = object::find(tx, &bucket, &key_marker, Some(&id_marker))?;
        let before = match (found, object::sequence_of(&id_marker)) {
            (Some(row), _) => row.sequence,
            (None, Some(sequence)) => sequence,
            (None, None) if id_marker == object::NULL => u64::MAX,
            (None, None) => {
                let text = "Invalid version id specified";
                return Err(Error::new(&e::INVALID_ARGUMENT, text)
                    .detail("ArgumentName", "version-id-marker")
                    .detail("ArgumentValue", &id_marker));
            }
        };
        let latest = tx.get(&OBJECTS, &scope, &(bucket.number, key_marker.as_str()))?;
        if let Some(row) = latest.filter(|row| row.sequence < before) {
            if !walk.room() {
                return Ok(finish(walk));
            }
            walk.add(&key_marker, &row, true);
        }
        if !walk.older(tx, &key_marker, before)? {
            return Ok(finish(walk));
        }
    }
    let mut rows = tx.scan(&OBJECTS, &scope).prefix(&(bucket.number, Stem(&prefix)));
    if !key_marker.is_empty() {
        rows = rows.after(&(bucket.number, key_marker.as_str()));
    }
    while let Some(item) = rows.next() {
        let ((_, key), row) = item?;
        if let Some(folder) = common_prefix(&key, &prefix, &delimiter).map(str::to_owned) {
            rows.skip_past(&(bucket.number, Stem(&folder)))?;
            if folder <= key_marker {
                continue;
            }
            if !walk.room() {
                break;
            }
            walk.last = (folder.clone(), None);
            let shown = Some(walk.encoding.write(&folder));
            walk.output
                .common_prefixes
                .get_or_insert_default()
                .push(CommonPrefix { prefix: shown });
            continue;
        }
        if !walk.room() {
            break;
        }
        walk.add(&key, &row, true);
        if !walk.older(tx, &key, row.sequence)? {
            break;
        }
    }
    Ok(finish(walk))
}

fn finish(walk: Walk<'_>) -> Page {
    let Walk { encoding, mut output, markers, last, .. } = walk;
    if output.is_truncated == Some(true) {
        output.next_key_marker = Some(encoding.write(&last.0));
        output.next_version_id_marker = last.1;
    }
    Page { output, markers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_put_in_order() {
        let version = |n: u8| format!("<Version><Key>{n}</Key><VersionId>x</VersionId></Version>");
        let marker = |n: u8| format!("<DeleteMarker><Key>{n}</Key></DeleteMarker>");
        let head = "<R><VersionIdMarker></VersionIdMarker><MaxKeys>9</MaxKeys>";
        let tail = "<CommonPrefixes/></R>";
        let body = [head, &version(1), &version(3), &marker(2), &marker(4), tail].concat();
        let expected = [head, &version(1), &marker(2), &version(3), &marker(4), tail].concat();
        let got = interleaved(body.as_bytes(), &[false, true, false, true]);
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}
