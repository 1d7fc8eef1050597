//! DeleteObject and DeleteObjects.

use crate::events::{self, Of};
use crate::rows::*;
use crate::{acl, bucket, conditions, lock, names, object};
use api::{Ask, Cx, Error, Tx};
use base::{AccountId, Timestamp};
use gen_s3::errors as e;
use gen_s3::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ObjectIdentifier,
};
use std::collections::BTreeSet;

/// Keys in one DeleteObjects.
const KEYS_MAX: usize = 1000;

/// The key, the version if one is named, and the tag that it must have.
pub fn ask(
    cx: &Cx,
    bucket: &str,
    (key, version): (&str, &Option<String>),
    if_match: &Option<String>,
) -> Ask {
    let arn = names::object_arn(cx.partition(), bucket, key);
    let ask = match version {
        Some(version) => {
            Ask::new("s3:DeleteObjectVersion", arn).key("s3:versionid", Some(version.as_str()))
        }
        None => Ask::new("s3:DeleteObject", arn),
    };
    ask.key("s3:if-match", if_match.as_deref())
}

struct Deleted {
    /// The id of the version that is gone, or of the marker that was made.
    version_id: Option<String>,
    marker: bool,
}

/// The bucket's name, and whether the request bypasses a retention in governance mode.
#[derive(Clone, Copy)]
struct Hold<'a> {
    bucket: &'a str,
    bypass: bool,
}

/// A delete marker of that account.
pub fn marker(owner: AccountId, now: Timestamp) -> ObjectRow {
    ObjectRow {
        sequence: 0,
        version_id: String::new(),
        delete_marker: true,
        modified: now,
        size_bytes: 0,
        e_tag: String::new(),
        blobs: Vec::new(),
        meta: Meta::default(),
        owner,
        acl: vec![acl::full_control(owner)],
        checksum: None,
        parts: Vec::new(),
        upload_id: None,
    }
}

/// Tells of a version that is gone. Its number is that of this change.
fn removed(
    tx: &mut Tx,
    cx: &Cx,
    bucket: &BucketRow,
    name: &str,
    key: &str,
    row: &ObjectRow,
) -> Result<(), Error> {
    let row = ObjectRow { sequence: (tx.version() + 1) << 16, ..row.clone() };
    events::tell(tx, cx, "ObjectRemoved:Delete", Of::new(bucket, name, key, &row))
}

/// Deletes one key or one version. What is not there is deleted already.
fn delete(
    tx: &mut Tx,
    cx: &Cx,
    bucket: &BucketRow,
    key: &str,
    version: Option<&str>,
    nth: u64,
    hold: Hold<'_>,
) -> Result<Deleted, Error> {
    if let Some(version) = version {
        let found = object::find(tx, bucket, key, Some(version))?;
        if let Some(row) = &found {
            lock::check_delete(tx, cx, (hold.bucket, key), row, hold.bypass)?;
            object::remove(tx, bucket, key, row)?;
            removed(tx, cx, bucket, hold.bucket, key, row)?;
        }
        let marker = found.is_some_and(|row| row.delete_marker);
        return Ok(Deleted { version_id: Some(version.to_owned()), marker });
    }
    if bucket.versioning == Versioning::Unversioned {
        if let Some(row) = object::find(tx, bucket, key, None)? {
            object::remove(tx, bucket, key, &row)?;
            removed(tx, cx, bucket, hold.bucket, key, &row)?;
        }
        return Ok(Deleted { version_id: None, marker: false });
    }
    let owner = cx.caller.account.unwrap_or(bucket.owner);
    let marker = marker(owner, tx.now());
    let row = object::install(tx, cx, bucket, key, marker, nth)?;
    let of = Of::new(bucket, hold.bucket, key, &row);
    events::tell(tx, cx, "ObjectRemoved:DeleteMarkerCreated", of)?;
    Ok(Deleted { version_id: object::shown_id(bucket, &row), marker: true })
}

pub fn one(tx: &mut Tx, cx: &Cx, input: &DeleteObjectInput) -> Result<DeleteObjectOutput, Error> {
    tx.mark_freeing();
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    object::check_id(input.version_id.as_deref(), "versionId")?;
    let only_if = conditions::Deleting {
        if_match: &input.if_match,
        modified: input.if_match_last_modified_time,
        size: input.if_match_size,
    };
    if only_if.any() {
        let there = object::find(tx, &bucket, &input.key, input.version_id.as_deref())?;
        only_if.check(&input.key, there.as_ref())?;
    }
    let version = input.version_id.as_deref();
    let bypass = input.bypass_governance_retention == Some(true);
    let hold = Hold { bucket: &input.bucket, bypass };
    let deleted = delete(tx, cx, &bucket, &input.key, version, 0, hold)?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    })
}

pub fn many(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteObjectsInput,
) -> Result<DeleteObjectsOutput, Error> {
    let keys = &input.delete.objects;
    if keys.is_empty() || keys.len() > KEYS_MAX {
        let text = "The XML you provided was not well-formed or did not validate against our published schema";
        return Err(Error::new(&e::MALFORMED_XML, text));
    }
    tx.mark_freeing();
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let quiet = input.delete.quiet == Some(true);
    let (mut done, mut refused, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (nth, wanted) in keys.iter().enumerate() {
        // What is named twice is deleted once, and leaves one delete marker.
        if !seen.insert((&wanted.key, version_of(wanted))) {
            continue;
        }
        match delete_listed(tx, cx, input, &bucket, wanted, nth as u64) {
            Ok(_) if quiet => {}
            Ok(deleted) => done.push(deleted),
            Err(error) if error.status() >= 500 => return Err(error),
            Err(error) => refused.push(gen_s3::Error {
                key: Some(wanted.key.clone()),
                version_id: wanted.version_id.clone(),
                code: Some(error.code().to_owned()),
                message: Some(error.message().to_owned()),
            }),
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: Some(done),
        errors: (!refused.is_empty()).then_some(refused),
        request_charged: None,
    })
}

/// The version that is named; an element without text names none.
fn version_of(wanted: &ObjectIdentifier) -> &Option<String> {
    match wanted.version_id.as_deref() {
        Some("") => &None,
        _ => &wanted.version_id,
    }
}

fn delete_listed(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteObjectsInput,
    bucket: &BucketRow,
    wanted: &ObjectIdentifier,
    nth: u64,
) -> Result<DeletedObject, Error> {
    let (key, version_id) = (&wanted.key, version_of(wanted));
    cx.authorize(tx, &ask(cx, &input.bucket, (key, version_id), &wanted.e_tag))?;
    names::check_key(key)?;
    if key.is_empty() {
        return Err(Error::new(
            &e::USER_KEY_MUST_BE_SPECIFIED,
            "User key must have a length greater than 0.",
        ));
    }
    if object::check_id(version_id.as_deref(), "versionId").is_err() {
        return Err(Error::new(&e::NO_SUCH_VERSION, "The specified version does not exist."));
    }
    let only_if = conditions::Deleting {
        if_match: &wanted.e_tag,
        modified: wanted.last_modified_time,
        size: wanted.size,
    };
    if only_if.any() {
        let there = object::find(tx, bucket, key, version_id.as_deref())?;
        only_if.check(key, there.as_ref())?;
    }
    let bypass = input.bypass_governance_retention == Some(true);
    let hold = Hold { bucket: &input.bucket, bypass };
    let deleted = delete(tx, cx, bucket, key, version_id.as_deref(), nth, hold)?;
    let made_marker = deleted.marker && version_id.is_none();
    Ok(DeletedObject {
        key: Some(key.clone()),
        version_id: version_id.clone(),
        delete_marker: deleted.marker.then_some(true),
        delete_marker_version_id: match made_marker {
            true => deleted.version_id,
            false => version_id.clone().filter(|_| deleted.marker),
        },
    })
}
