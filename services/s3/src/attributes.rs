//! GetObjectAttributes: what is known of an object, without its bytes.

use crate::rows::*;
use crate::{bucket, checksum, customer_key, get_object, names, object};
use api::{Ask, Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;

const PARTS_PAGE_MAX: i32 = 1000;
const KNOWN: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

pub fn authorize(cx: &Cx, input: &GetObjectAttributesInput) -> Vec<Ask> {
    let mut asks = get_object::asks(cx, &input.bucket, &input.key, &input.version_id);
    let arn = names::object_arn(cx.partition(), &input.bucket, &input.key);
    asks.push(match &input.version_id {
        Some(version) => Ask::new("s3:GetObjectVersionAttributes", arn)
            .key("s3:versionid", Some(version.as_str())),
        None => Ask::new("s3:GetObjectAttributes", arn),
    });
    asks
}

fn parts(row: &ObjectRow, input: &GetObjectAttributesInput) -> Option<GetObjectAttributesParts> {
    if row.parts.is_empty() {
        return None;
    }
    let marker = input.part_number_marker.unwrap_or(0).max(0);
    let max = input.max_parts.unwrap_or(PARTS_PAGE_MAX).clamp(0, PARTS_PAGE_MAX);
    let after = row.parts.iter().filter(|part| i64::from(part.number) > i64::from(marker));
    let mut shown = Vec::new();
    for part in after.clone().take(max as usize) {
        let mut one = ObjectPart {
            part_number: Some(part.number as i32),
            size: Some(part.size_bytes as i64),
            ..ObjectPart::default()
        };
        if let Some(checksum) = &part.checksum {
            checksum::show!(one, checksum);
        }
        shown.push(one);
    }
    let last = shown.last().and_then(|part| part.part_number).unwrap_or(marker);
    let truncated = after.count() > shown.len();
    // S3 lists the parts themselves only where they have checksums of their own.
    let listed = row.checksum.as_ref().is_some_and(|c| c.composite);
    Some(GetObjectAttributesParts {
        total_parts_count: Some(row.parts.len() as i32),
        part_number_marker: Some(marker),
        next_part_number_marker: Some(last),
        max_parts: Some(max),
        is_truncated: Some(truncated),
        parts: listed.then_some(shown),
    })
}

fn checksum_of(row: &ObjectRow) -> Option<Checksum> {
    let checksum = row.checksum.as_ref()?;
    let mut shown =
        Checksum { checksum_type: Some(checksum::kind(checksum.composite)), ..Checksum::default() };
    checksum::show!(shown, checksum);
    Some(shown)
}

pub fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetObjectAttributesInput,
) -> Result<GetObjectAttributesOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let wanted = &input.object_attributes;
    if wanted.is_empty() || wanted.iter().any(|name| !KNOWN.contains(&name.as_str())) {
        return Err(Error::new(&e::INVALID_ARGUMENT, "Invalid attribute name specified.")
            .detail("ArgumentName", "x-amz-object-attributes"));
    }
    let row =
        get_object::version(tx, cx, &bucket, &input.key, &input.version_id).or_else(|error| {
            Err(get_object::hide_missing(tx, cx, &input.bucket, &input.key, error)?)
        })?;
    let customer = customer_key::given!(input).read(cx)?;
    customer_key::check_reading(&row.meta, customer.as_ref())?;
    let asked = |name: &str| wanted.iter().any(|one| one == name);
    let class = match row.meta.storage_class.as_str() {
        "" => "STANDARD".to_owned(),
        class => class.to_owned(),
    };
    Ok(GetObjectAttributesOutput {
        last_modified: Some(row.modified),
        version_id: object::shown_id(&bucket, &row),
        e_tag: asked("ETag").then(|| row.e_tag.clone()),
        checksum: checksum_of(&row).filter(|_| asked("Checksum")),
        object_parts: parts(&row, input).filter(|_| asked("ObjectParts")),
        storage_class: asked("StorageClass").then_some(class),
        object_size: asked("ObjectSize").then_some(row.size_bytes as i64),
        ..GetObjectAttributesOutput::default()
    })
}
