//! A line of a list: a version, its fields in quotes.

use super::InventoryConfiguration;
use crate::list::Encoding;
use crate::rows::*;
use crate::{acl, checksum, lock, replication};
use base::Timestamp;
use smithy::json::Writer;

/// What a list may have beside the names, in its order.
const FIELDS: [&str; 19] = [
    "Size",
    "LastModifiedDate",
    "ETag",
    "StorageClass",
    "IsMultipartUploaded",
    "ReplicationStatus",
    "EncryptionStatus",
    "ObjectLockRetainUntilDate",
    "ObjectLockMode",
    "ObjectLockLegalHoldStatus",
    "IntelligentTieringAccessTier",
    "BucketKeyStatus",
    "ChecksumAlgorithm",
    "ObjectAccessControlList",
    "ObjectOwner",
    "IntelligentTieringReferenceDate",
    "ObjectLockEventHoldStatus",
    "ObjectLockEventHoldDuration",
    "LifecycleExpirationDate",
];

fn is_of_all(document: &InventoryConfiguration) -> bool {
    document.included_object_versions == "All"
}

/// Those that are asked for.
fn fields(document: &InventoryConfiguration) -> impl Iterator<Item = &'static str> {
    let asked = document.optional_fields.as_deref().unwrap_or_default();
    FIELDS.into_iter().filter(move |field| asked.iter().any(|own| own == field))
}

/// The names of the columns, as a manifest has them.
pub fn schema(document: &InventoryConfiguration) -> String {
    let mut names = vec!["Bucket", "Key"];
    if is_of_all(document) {
        names.extend(["VersionId", "IsLatest", "IsDeleteMarker"]);
    }
    names.extend(fields(document));
    names.join(", ")
}

/// A version, and where it stands.
pub struct Listed<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
    pub row: &'a ObjectRow,
    pub latest: bool,
}

fn time(at: Timestamp) -> String {
    at.iso8601_millis()
}

fn truth(is: bool) -> String {
    if is { "true".into() } else { "false".into() }
}

/// `{"version":"2022-11-10","status":"AVAILABLE","grants":[…]}`, in base64.
fn access_list(row: &ObjectRow) -> String {
    let mut out = Writer::with_capacity(256);
    out.open('{');
    out.key("version");
    out.string("2022-11-10");
    out.key("status");
    out.string("AVAILABLE");
    out.key("grants");
    out.open('[');
    for grant in acl::to_document(&row.acl) {
        let grantee = grant.grantee.unwrap_or_default();
        out.open('{');
        if let Some(id) = &grantee.id {
            out.key("canonicalId");
            out.string(id);
        }
        if let Some(uri) = &grantee.uri {
            out.key("uri");
            out.string(uri);
        }
        out.key("type");
        out.string(&grantee.r#type);
        out.key("permission");
        out.string(grant.permission.as_deref().unwrap_or_default());
        out.close('}');
    }
    out.close(']');
    out.close('}');
    checksum::encode(out.finish().as_bytes())
}

fn encryption(meta: &Meta) -> &'static str {
    match meta.encryption.as_str() {
        _ if meta.customer.is_some() => "SSE-C",
        "aws:kms" => "SSE-KMS",
        "aws:kms:dsse" => "DSSE-KMS",
        _ => "SSE-S3",
    }
}

/// The value of a column; empty where the version has none.
fn value(field: &str, row: &ObjectRow) -> String {
    let meta = &row.meta;
    match field {
        "LastModifiedDate" => time(row.modified),
        "ObjectOwner" => row.owner.canonical_user_id(),
        _ if row.delete_marker => String::new(),
        "Size" => row.size_bytes.to_string(),
        "ETag" => row.e_tag.clone(),
        "StorageClass" if meta.storage_class.is_empty() => "STANDARD".into(),
        "StorageClass" => meta.storage_class.clone(),
        "IsMultipartUploaded" => truth(!row.parts.is_empty()),
        "ReplicationStatus" => replication::shown(meta).unwrap_or_default(),
        "EncryptionStatus" => encryption(meta).into(),
        "ObjectLockRetainUntilDate" => lock::shown_until(meta).map(time).unwrap_or_default(),
        "ObjectLockMode" => lock::shown_mode(meta).unwrap_or_default(),
        "ObjectLockLegalHoldStatus" => lock::shown_hold(meta).unwrap_or_default(),
        "IntelligentTieringAccessTier" if meta.storage_class == "INTELLIGENT_TIERING" => {
            "FREQUENT".into()
        }
        "BucketKeyStatus" if meta.bucket_key => "ENABLED".into(),
        "BucketKeyStatus" => "DISABLED".into(),
        "ChecksumAlgorithm" => {
            row.checksum.as_ref().map(|own| own.algorithm.name().to_owned()).unwrap_or_default()
        }
        "ObjectAccessControlList" => access_list(row),
        _ => String::new(),
    }
}

pub fn write(out: &mut String, document: &InventoryConfiguration, listed: &Listed<'_>) {
    let row = listed.row;
    let mut columns = vec![listed.bucket.to_owned(), Encoding::url().write(listed.key)];
    if is_of_all(document) {
        columns.extend([row.version_id.clone(), truth(listed.latest), truth(row.delete_marker)]);
    }
    columns.extend(fields(document).map(|field| value(field, row)));
    for (nth, column) in columns.iter().enumerate() {
        out.push_str(if nth == 0 { "\"" } else { ",\"" });
        out.push_str(&column.replace('"', "\"\""));
        out.push('"');
    }
    out.push('\n');
}
