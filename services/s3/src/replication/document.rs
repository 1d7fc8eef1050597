//! The configuration of a bucket as clients put and get it.

use super::check::{Source, check, role_of};
use super::rules::{REPLICATIONS, ReplicationRow, RuleRow};
use crate::bucket::scope;
use crate::rows::{BUCKETS, BucketRow, Feature, Versioning};
use crate::{bucket, config};
use api::{Ask, Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use store::Scope;

const KIND: &str = "replication";

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_REQUEST, text)
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketReplicationInput,
) -> Result<PutBucketReplicationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let mut document = input.replication_configuration.clone();
    let role = role_of(cx, &document.role)?;
    // Nobody hands over a role of another account.
    if role != bucket.owner {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    let pass = Ask::new("iam:PassRole", document.role.as_str())
        .key("iam:passedtoservice", Some("s3.amazonaws.com"));
    cx.authorize(tx, &pass)?;
    if bucket.versioning != Versioning::Enabled {
        let text =
            "Versioning must be 'Enabled' on the bucket to apply a replication configuration";
        return Err(invalid(text));
    }
    for rule in &mut document.rules {
        if rule.id.as_ref().is_none_or(String::is_empty) {
            rule.id = Some(cx.entropy.uuid());
        }
    }
    let old = check(&Source { cx, name: &input.bucket }, &document)?;
    for rule in &document.rules {
        check_target(tx, &rule.destination)?;
    }
    config::put(tx, cx, &bucket, KIND, "", &document)?;
    let mut enabled: Vec<&ReplicationRule> =
        document.rules.iter().filter(|rule| rule.status == "Enabled").collect();
    enabled.sort_by_key(|rule| std::cmp::Reverse(rule.priority));
    let row = ReplicationRow {
        name: input.bucket.clone(),
        role: document.role.clone(),
        rules: enabled.into_iter().map(|rule| RuleRow::new(rule, old)).collect(),
    };
    let acts = !row.rules.is_empty();
    tx.put(&REPLICATIONS, &scope(&bucket), &bucket.number, &row)?;
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::Replication, acts)?;
    Ok(PutBucketReplicationOutput::default())
}

/// What S3 looks at in the bucket of a destination, whosever it is; more is seen when something comes.
fn check_target(tx: &Tx, destination: &Destination) -> Result<(), Error> {
    let name = destination.bucket.rsplit(':').next().unwrap_or_default();
    match tx.get_shared(&BUCKETS, &Scope::Global, name)? {
        None => Err(invalid("Destination bucket must exist.")),
        Some(target) if target.versioning != Versioning::Enabled => {
            Err(invalid("Destination bucket must have versioning enabled."))
        }
        Some(_) => Ok(()),
    }
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketReplicationInput,
) -> Result<GetBucketReplicationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    match config::get(tx, &bucket, KIND, "")? {
        Some(kept) => Ok(GetBucketReplicationOutput { replication_configuration: Some(kept) }),
        None => {
            let text = "The replication configuration was not found";
            Err(Error::new(&e::REPLICATION_CONFIGURATION_NOT_FOUND_ERROR, text)
                .detail("BucketName", &input.bucket))
        }
    }
}

pub fn delete(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketReplicationInput,
) -> Result<DeleteBucketReplicationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    config::delete(tx, &bucket, KIND, "")?;
    forget(tx, &bucket)?;
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::Replication, false)?;
    Ok(DeleteBucketReplicationOutput::default())
}

/// Whether the bucket has a configuration, of disabled rules alone too.
pub fn is_configured(tx: &Tx, bucket: &BucketRow) -> Result<bool, Error> {
    Ok(tx.get_shared(&REPLICATIONS, &scope(bucket), &bucket.number)?.is_some())
}

/// What a bucket leaves when it goes.
pub fn forget(tx: &mut Tx, bucket: &BucketRow) -> Result<(), Error> {
    tx.delete(&REPLICATIONS, &scope(bucket), &bucket.number)?;
    Ok(())
}
