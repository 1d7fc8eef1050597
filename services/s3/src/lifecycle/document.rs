//! The configuration of a bucket as clients put and get it.

use super::check::{check, check_overlaps};
use super::pass;
use super::rules::{LIFECYCLES, LifecycleRow, RuleRow};
use crate::bucket::scope;
use crate::rows::Feature;
use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeSet;

const KIND: &str = "lifecycle";
/// What a PUT said of the smallest object that is moved, which is no part of the document.
const SIZE_KIND: &str = "lifecycle-size";
const RULES_MAX: usize = 1000;
const SIZE_DEFAULT: &str = "all_storage_classes_128K";
const SIZE_VARIES: &str = "varies_by_storage_class";

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text)
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketLifecycleConfigurationInput,
) -> Result<PutBucketLifecycleConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let mut document = input.lifecycle_configuration.clone().ok_or_else(malformed_xml)?;
    if document.rules.is_empty() || document.rules.len() > RULES_MAX {
        return Err(malformed_xml());
    }
    let mut ids = BTreeSet::new();
    for rule in &mut document.rules {
        check(rule)?;
        let id = rule.id.take().filter(|id| !id.is_empty());
        let id = id.unwrap_or_else(|| base64_id(&cx.entropy.uuid()));
        if !ids.insert(id.clone()) {
            return Err(invalid("Rule ID must be unique. Found same ID for more than one rule"));
        }
        rule.id = Some(id);
    }
    check_overlaps(&document.rules)?;
    let size = input.transition_default_minimum_object_size.as_deref().unwrap_or(SIZE_DEFAULT);
    if ![SIZE_DEFAULT, SIZE_VARIES].contains(&size) {
        return Err(invalid("Invalid x-amz-transition-default-minimum-object-size header"));
    }
    config::put(tx, cx, &bucket, KIND, "", &document)?;
    config::put_text(tx, &bucket, SIZE_KIND, size)?;
    let enabled = document.rules.iter().filter(|rule| rule.status == "Enabled");
    let rules = LifecycleRow {
        rules: enabled.map(RuleRow::new).collect(),
        varies_by_class: size == SIZE_VARIES,
    };
    let acts = !rules.rules.is_empty();
    tx.put(&LIFECYCLES, &scope(&bucket), &bucket.number, &rules)?;
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::Lifecycle, acts)?;
    match acts {
        true => pass::begin(tx, &bucket, &input.bucket)?,
        false => pass::forget(tx, &bucket)?,
    }
    Ok(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(size.into()),
    })
}

/// An id in S3's manner for a rule that has none.
fn base64_id(uuid: &str) -> String {
    crate::checksum::encode(uuid.as_bytes())
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketLifecycleConfigurationInput,
) -> Result<GetBucketLifecycleConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let kept: Option<BucketLifecycleConfiguration> = config::get(tx, &bucket, KIND, "")?;
    let Some(kept) = kept else {
        let text = "The lifecycle configuration does not exist";
        return Err(Error::new(&e::NO_SUCH_LIFECYCLE_CONFIGURATION, text)
            .detail("BucketName", &input.bucket));
    };
    Ok(GetBucketLifecycleConfigurationOutput {
        rules: Some(kept.rules),
        transition_default_minimum_object_size: config::text(tx, &bucket, SIZE_KIND)?,
    })
}

pub fn delete(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketLifecycleInput,
) -> Result<DeleteBucketLifecycleOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    config::delete(tx, &bucket, KIND, "")?;
    config::delete(tx, &bucket, SIZE_KIND, "")?;
    forget(tx, &bucket)?;
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::Lifecycle, false)?;
    Ok(DeleteBucketLifecycleOutput::default())
}

/// What a bucket leaves when it goes.
pub fn forget(tx: &mut Tx, bucket: &crate::rows::BucketRow) -> Result<(), Error> {
    tx.delete(&LIFECYCLES, &scope(bucket), &bucket.number)?;
    pass::forget(tx, bucket)
}
