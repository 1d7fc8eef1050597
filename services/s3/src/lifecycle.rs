//! Lifecycle configuration, checked and kept.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>

use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use base::Timestamp;
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeSet;

const KIND: &str = "lifecycle";
/// What a PUT said of the smallest object that is moved, which is no part of the document.
const SIZE_KIND: &str = "lifecycle-size";
const RULES_MAX: usize = 1000;
const ID_CHARS_MAX: usize = 255;
const SIZE_DEFAULT: &str = "all_storage_classes_128K";
const DAY_SECS: i64 = 86_400;
const CLASSES: [&str; 6] =
    ["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "GLACIER_IR", "DEEP_ARCHIVE"];

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text)
}

fn check_days(days: Option<i32>, least: i32, text: &str) -> Result<(), Error> {
    match days {
        Some(days) if days < least => Err(invalid(text)),
        _ => Ok(()),
    }
}

fn check_date(date: Option<Timestamp>) -> Result<(), Error> {
    match date {
        Some(date) if date.to_millis() % (DAY_SECS * 1000) != 0 => {
            Err(invalid("'Date' must be at midnight GMT"))
        }
        _ => Ok(()),
    }
}

fn check_filter(rule: &LifecycleRule) -> Result<(), Error> {
    if rule.filter.is_some() && rule.prefix.is_some() {
        return Err(malformed_xml());
    }
    let Some(filter) = &rule.filter else {
        // The old form: a prefix of the rule's own, which may be empty.
        return if rule.prefix.is_some() { Ok(()) } else { Err(malformed_xml()) };
    };
    let alone = [
        filter.prefix.is_some(),
        filter.tag.is_some(),
        filter.object_size_greater_than.is_some(),
        filter.object_size_less_than.is_some(),
        filter.and.is_some(),
    ];
    if alone.iter().filter(|given| **given).count() > 1 {
        return Err(malformed_xml());
    }
    if let Some(and) = &filter.and {
        let tags = and.tags.as_deref().unwrap_or_default();
        let keys: BTreeSet<&str> = tags.iter().map(|tag| tag.key.as_str()).collect();
        if keys.len() < tags.len() {
            return Err(invalid("Duplicate Tag Keys are not allowed."));
        }
        if let (Some(low), Some(high)) = (and.object_size_greater_than, and.object_size_less_than)
            && low >= high
        {
            let text =
                "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.";
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
    }
    Ok(())
}

fn check_expiration(rule: &LifecycleRule) -> Result<(), Error> {
    let Some(expiration) = &rule.expiration else { return Ok(()) };
    let marker = expiration.expired_object_delete_marker.is_some();
    let given = [expiration.days.is_some(), expiration.date.is_some(), marker];
    if given.iter().filter(|given| **given).count() != 1 {
        return Err(malformed_xml());
    }
    let text = "'Days' for Expiration action must be a positive integer";
    check_days(expiration.days, 1, text)?;
    check_date(expiration.date)
}

fn check_transitions(rule: &LifecycleRule) -> Result<(), Error> {
    for transition in rule.transitions.iter().flatten() {
        let class = transition.storage_class.as_deref().unwrap_or_default();
        if !CLASSES.contains(&class) || transition.days.is_some() == transition.date.is_some() {
            return Err(malformed_xml());
        }
        let text = "'Days' in Transition action must be nonnegative";
        check_days(transition.days, 0, text)?;
        check_date(transition.date)?;
        if class.ends_with("_IA") && transition.days.is_some_and(|days| days < 30) {
            let text = format!(
                "'Days' in Transition action must be greater than or equal to 30 for storageClass '{class}'"
            );
            return Err(invalid(&text));
        }
        let end = rule.expiration.as_ref().and_then(|expiration| expiration.days);
        if let (Some(days), Some(end)) = (transition.days, end)
            && end <= days
        {
            return Err(invalid(
                "'Days' in the Expiration action for filter must be greater than 'Days' in the Transition action",
            ));
        }
    }
    for transition in rule.noncurrent_version_transitions.iter().flatten() {
        let class = transition.storage_class.as_deref().unwrap_or_default();
        if !CLASSES.contains(&class) || transition.noncurrent_days.is_none() {
            return Err(malformed_xml());
        }
        let text = "'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative";
        check_days(transition.noncurrent_days, 0, text)?;
    }
    Ok(())
}

fn check(rule: &LifecycleRule) -> Result<(), Error> {
    if !["Enabled", "Disabled"].contains(&rule.status.as_str()) {
        return Err(malformed_xml());
    }
    if rule.id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
        return Err(invalid("ID length should not exceed allowed limit of 255"));
    }
    check_filter(rule)?;
    check_expiration(rule)?;
    check_transitions(rule)?;
    if let Some(old) = &rule.noncurrent_version_expiration {
        if old.noncurrent_days.is_none() {
            return Err(malformed_xml());
        }
        let text =
            "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
        check_days(old.noncurrent_days, 1, text)?;
    }
    if let Some(abort) = &rule.abort_incomplete_multipart_upload {
        let text = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
        check_days(Some(abort.days_after_initiation.unwrap_or(0)), 1, text)?;
        if rule.filter.as_ref().is_some_and(|filter| filter.tag.is_some()) {
            let text = "AbortIncompleteMultipartUpload cannot be specified with Tags.";
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
    }
    let acts = rule.expiration.is_some()
        || rule.transitions.as_ref().is_some_and(|list| !list.is_empty())
        || rule.noncurrent_version_expiration.is_some()
        || rule.noncurrent_version_transitions.as_ref().is_some_and(|list| !list.is_empty())
        || rule.abort_incomplete_multipart_upload.is_some();
    if !acts {
        let text = "At least one action needs to be specified in a rule";
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    Ok(())
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
    let size = input.transition_default_minimum_object_size.as_deref().unwrap_or(SIZE_DEFAULT);
    if ![SIZE_DEFAULT, "varies_by_storage_class"].contains(&size) {
        return Err(invalid("Invalid x-amz-transition-default-minimum-object-size header"));
    }
    config::put(tx, cx, &bucket, KIND, "", &document)?;
    config::put_text(tx, &bucket, SIZE_KIND, size)?;
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
    Ok(DeleteBucketLifecycleOutput::default())
}
