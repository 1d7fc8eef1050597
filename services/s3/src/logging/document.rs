//! The configuration of a bucket, checked and kept.

use super::{PIECES, STATES};
use crate::acl::{self, LOG_DELIVERER};
use crate::rows::*;
use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use policy::{Kind, Policy, Who};

const KIND: &str = "logging";
/// What is added to a prefix must still fit into a key.
const PREFIX_BYTES_MAX: usize = 800;
/// Pieces that are let go of in one transaction, when logging ends.
const FORGOTTEN_AT_ONCE: usize = 200;

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketLoggingInput,
) -> Result<PutBucketLoggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let Some(enabled) = &input.bucket_logging_status.logging_enabled else {
        config::delete(tx, &bucket, KIND, "")?;
        bucket::set_feature(tx, &input.bucket, &bucket, Feature::Logging, false)?;
        return Ok(PutBucketLoggingOutput::default());
    };
    check_format(enabled)?;
    check_target(tx, &bucket, enabled)?;
    config::put(tx, cx, &bucket, KIND, "", &input.bucket_logging_status)?;
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::Logging, true)?;
    Ok(PutBucketLoggingOutput::default())
}

fn check_format(enabled: &LoggingEnabled) -> Result<(), Error> {
    if enabled.target_prefix.len() > PREFIX_BYTES_MAX {
        return Err(Error::new(&e::INVALID_ARGUMENT, "The target prefix is too long")
            .detail("ArgumentName", "TargetPrefix")
            .detail("ArgumentValue", &enabled.target_prefix));
    }
    let Some(format) = &enabled.target_object_key_format else { return Ok(()) };
    match (&format.simple_prefix, &format.partitioned_prefix) {
        (Some(_), None) => Ok(()),
        (None, Some(partitioned)) => match partitioned.partition_date_source.as_deref() {
            None | Some("EventTime" | "DeliveryTime") => Ok(()),
            Some(_) => Err(malformed_xml()),
        },
        _ => Err(malformed_xml()),
    }
}

fn check_target(tx: &Tx, bucket: &BucketRow, enabled: &LoggingEnabled) -> Result<(), Error> {
    let invalid = |text: &str| {
        Error::new(&e::INVALID_TARGET_BUCKET_FOR_LOGGING, text)
            .detail("TargetBucket", &enabled.target_bucket)
    };
    let target = bucket::find(tx, &enabled.target_bucket)
        .map_err(|_| invalid("The target bucket for logging does not exist"))?;
    if target.owner != bucket.owner {
        let text = "The owner for the bucket to be logged and the target bucket must be the same.";
        return Err(invalid(text));
    }
    if target.region != bucket.region {
        return Err(Error::with_code(
            "CrossLocationLoggingProhibited",
            403,
            "Cross S3 location logging not allowed. ",
        )
        .detail("TargetBucketLocation", &target.region));
    }
    let grants = grants(enabled)?;
    if target.ownership == Ownership::BucketOwnerEnforced {
        if !grants.is_empty() {
            let text = "Bucket ownership enforced buckets do not support target grants";
            return Err(Error::new(&e::INVALID_ARGUMENT, text));
        }
        return Ok(());
    }
    if !acl::lets_log(&target.acl) && !names_deliverer(&target) {
        let text = "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket";
        return Err(invalid(text));
    }
    Ok(())
}

/// Whether the target's policy speaks of the service that delivers; what it says is asked at delivery.
fn names_deliverer(target: &BucketRow) -> bool {
    let policy = target.policy.as_ref().and_then(|text| Policy::parse(Kind::Bucket, text).ok());
    policy.is_some_and(|policy| {
        policy.principals().any(|who| match who {
            Who::Everybody => true,
            Who::Service(name) => name == LOG_DELIVERER,
            _ => false,
        })
    })
}

/// Who else may do what with the objects of the log.
pub fn grants(enabled: &LoggingEnabled) -> Result<Vec<GrantRow>, Error> {
    let all = enabled.target_grants.as_deref().unwrap_or_default();
    let known = |grant: &TargetGrant| {
        matches!(grant.permission.as_deref(), Some("FULL_CONTROL" | "READ" | "WRITE"))
    };
    if !all.iter().all(known) {
        return Err(malformed_xml());
    }
    let grant = |grant: &TargetGrant| Grant {
        grantee: grant.grantee.clone(),
        permission: grant.permission.clone(),
    };
    acl::listed(&all.iter().map(grant).collect::<Vec<_>>())
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketLoggingInput,
) -> Result<GetBucketLoggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    Ok(GetBucketLoggingOutput { logging_enabled: of(tx, &bucket)? })
}

pub fn of(tx: &Tx, bucket: &BucketRow) -> Result<Option<LoggingEnabled>, Error> {
    if !bucket.has(Feature::Logging) {
        return Ok(None);
    }
    let status: BucketLoggingStatus = config::get(tx, bucket, KIND, "")?.unwrap_or_default();
    Ok(status.logging_enabled)
}

/// Takes away what a bucket that is gone, or that keeps no log any more, leaves; whether there is more.
pub fn forget(tx: &mut Tx, account: base::AccountId, number: u64) -> Result<bool, Error> {
    let scope = store::Scope::Account(account);
    let keys = tx.scan(&PIECES, &scope).prefix(&(number,)).keys().take(FORGOTTEN_AT_ONCE);
    let keys: Vec<(u64, i64, u64)> = keys.collect::<Result<_, _>>()?;
    for key in &keys {
        tx.delete(&PIECES, &scope, key)?;
    }
    tx.delete(&STATES, &scope, &number)?;
    Ok(keys.len() == FORGOTTEN_AT_ONCE)
}
