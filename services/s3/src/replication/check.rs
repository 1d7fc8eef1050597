//! What a configuration may say.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-add-config.html>

use crate::{malformed_xml, meta, names};
use api::{Cx, Error};
use base::{AccountId, Arn};
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeSet;

const RULES_MAX: usize = 1000;
const ID_CHARS_MAX: usize = 255;
const PREFIX_BYTES_MAX: usize = 1024;
/// The one threshold that there is.
const MINUTES: i32 = 15;

/// The bucket of which a configuration is.
pub struct Source<'a> {
    pub cx: &'a Cx,
    pub name: &'a str,
}

fn argument(text: &str, name: &'static str, value: &str) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text)
        .detail("ArgumentName", name)
        .detail("ArgumentValue", value)
}

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_REQUEST, text)
}

/// The account of the role.
pub fn role_of(cx: &Cx, role: &str) -> Result<AccountId, Error> {
    let arn = Arn::parse(role).filter(|arn| {
        arn.service == "iam" && arn.region.is_empty() && arn.partition == cx.partition().as_str()
    });
    let account = arn.as_ref().and_then(|arn| AccountId::parse(&arn.account));
    let (Some(arn), Some(account)) = (arn, account) else {
        let text = "Invalid Role specified in replication configuration";
        return Err(argument(text, "Role", role));
    };
    match arn.resource.strip_prefix("role/") {
        Some(name) if !name.is_empty() => Ok(account),
        _ => Err(argument("The relative id should start with role", "Role", role)),
    }
}

/// Whether it is of the first form, which has a prefix in place of a filter, if there is nothing wrong.
pub fn check(source: &Source<'_>, document: &ReplicationConfiguration) -> Result<bool, Error> {
    let rules = &document.rules;
    if rules.is_empty() {
        return Err(malformed_xml());
    }
    if rules.len() > RULES_MAX {
        let text =
            "The number of replication rules must not exceed the allowed limit of 1000 rules.";
        return Err(invalid(text));
    }
    let old = rules.iter().any(|rule| rule.filter.is_none());
    let (mut ids, mut priorities) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules {
        check_rule(rule, old)?;
        let id = rule.id.as_deref().unwrap_or_default();
        if id.chars().count() > ID_CHARS_MAX {
            return Err(argument("Rule Id cannot be greater than 255", "ID", id));
        }
        if !ids.insert(id) {
            return Err(argument("Rule Id must be unique", "ID", id));
        }
        if let Some(priority) = rule.priority {
            if priority < 0 {
                return Err(invalid("Priority must be between 0 and 2147483647."));
            }
            if !priorities.insert(priority) {
                return Err(invalid(&format!("Found duplicate priority {priority}.")));
            }
        }
        check_destination(source, rule)?;
    }
    // Only the second form has priorities to decide between rules.
    let prefixes: Vec<&str> = rules.iter().filter_map(|rule| rule.prefix.as_deref()).collect();
    if let Some((one, other)) = names::overlapping(&prefixes) {
        return Err(invalid(&format!("Found overlapping prefixes '{one}' and '{other}'")));
    }
    Ok(old)
}

fn status(status: &str) -> Result<(), Error> {
    if ["Enabled", "Disabled"].contains(&status) { Ok(()) } else { Err(malformed_xml()) }
}

fn of_this_form(member: &str, given: bool, wanted: bool) -> Result<(), Error> {
    let how = match (given, wanted) {
        (true, false) => "cannot be used",
        (false, true) => "must be specified",
        _ => return Ok(()),
    };
    Err(invalid(&format!(
        "{member} {how} for this version of Cross Region Replication configuration schema. Please refer to S3 Developer Guide for more information."
    )))
}

fn check_rule(rule: &ReplicationRule, old: bool) -> Result<(), Error> {
    status(&rule.status)?;
    // What is there already is copied by batch operations; this was never more than for the few.
    if rule.existing_object_replication.is_some() {
        return Err(malformed_xml());
    }
    let tags = check_filter(rule)?;
    of_this_form("Priority", rule.priority.is_some(), !old)?;
    let markers = rule.delete_marker_replication.as_ref();
    of_this_form("DeleteMarkerReplication", markers.is_some(), !old)?;
    if let Some(markers) = markers {
        let given = markers.status.as_deref().ok_or_else(malformed_xml)?;
        status(given)?;
        if given == "Enabled" && tags {
            let text = "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 Developer Guide for more information.";
            return Err(invalid(text));
        }
    }
    let Some(criteria) = &rule.source_selection_criteria else { return Ok(()) };
    let (kms, replicas) = (&criteria.sse_kms_encrypted_objects, &criteria.replica_modifications);
    if kms.is_none() && replicas.is_none() {
        return Err(invalid("SourceSelectionCriteria cannot be empty."));
    }
    kms.iter().try_for_each(|kms| status(&kms.status))?;
    replicas.iter().try_for_each(|replicas| status(&replicas.status))
}

/// Whether it speaks of tags.
fn check_filter(rule: &ReplicationRule) -> Result<bool, Error> {
    let too_long = |prefix: &Option<String>| match prefix {
        Some(prefix) if prefix.len() > PREFIX_BYTES_MAX => {
            Err(argument("The maximum size of a prefix is 1024", "Prefix", prefix))
        }
        _ => Ok(()),
    };
    too_long(&rule.prefix)?;
    let Some(filter) = &rule.filter else {
        return rule.prefix.as_ref().map(|_| false).ok_or_else(malformed_xml);
    };
    too_long(&filter.prefix)?;
    let given = [filter.prefix.is_some(), filter.tag.is_some(), filter.and.is_some()];
    if rule.prefix.is_some() || given.into_iter().filter(|given| *given).count() > 1 {
        return Err(malformed_xml());
    }
    let mut tags: Vec<&Tag> = filter.tag.iter().collect();
    if let Some(and) = &filter.and {
        too_long(&and.prefix)?;
        tags.extend(and.tags.iter().flatten());
        if tags.len() + usize::from(and.prefix.is_some()) < 2 {
            return Err(malformed_xml());
        }
    }
    let mut keys = BTreeSet::new();
    if !tags.iter().all(|tag| keys.insert(&tag.key)) {
        return Err(invalid("Duplicate Tag Keys are not allowed."));
    }
    meta::tags_checked(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())?;
    Ok(!tags.is_empty())
}

fn check_destination(source: &Source<'_>, rule: &ReplicationRule) -> Result<(), Error> {
    let to = &rule.destination;
    let arn = Arn::parse(&to.bucket).filter(|arn| {
        arn.service == "s3"
            && arn.region.is_empty()
            && arn.account.is_empty()
            && arn.partition == source.cx.partition().as_str()
    });
    let Some(arn) = arn else {
        return Err(argument("Invalid bucket ARN", "Bucket", &to.bucket));
    };
    if !names::is_bucket_name(&arn.resource) {
        return Err(argument("The specified bucket is not valid.", "Bucket", &to.bucket));
    }
    if arn.resource == source.name {
        return Err(invalid("Destination bucket cannot be the same as the source bucket."));
    }
    meta::storage_class(&to.storage_class).map_err(|_| malformed_xml())?;
    if let Some(account) = to.account.as_ref().filter(|id| AccountId::parse(id).is_none()) {
        return Err(argument("Invalid account id", "Account", account));
    }
    if let Some(translation) = &to.access_control_translation {
        if translation.owner != "Destination" {
            return Err(malformed_xml());
        }
        if to.account.is_none() {
            let text =
                "Account must be specified if the Owner in AccessControlTranslation has a value";
            return Err(invalid(text));
        }
    }
    check_keys(rule)?;
    check_metrics(to)
}

/// Objects under keys of KMS are replicated only with a key for their copies.
fn check_keys(rule: &ReplicationRule) -> Result<(), Error> {
    let criteria = rule.source_selection_criteria.as_ref();
    let kms = criteria.is_some_and(|criteria| criteria.sse_kms_encrypted_objects.is_some());
    let encryption = rule.destination.encryption_configuration.as_ref();
    let key = encryption.and_then(|encryption| encryption.replica_kms_key_id.as_deref());
    match (kms, encryption.is_some(), key) {
        (false, true, _) => {
            let text =
                "SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present.";
            Err(invalid(text))
        }
        (true, _, None | Some("")) => {
            let text =
                "ReplicaKmsKeyID must be specified if SseKmsEncryptedObjects tag is present.";
            Err(invalid(text))
        }
        (true, _, Some(key)) => {
            let known = Arn::parse(key).is_some_and(|arn| {
                arn.service == "kms"
                    && AccountId::parse(&arn.account).is_some()
                    && ["key/", "alias/"].iter().any(|kind| arn.resource.starts_with(kind))
            });
            match known {
                true => Ok(()),
                false => Err(argument("Invalid ReplicaKmsKeyID ARN.", "ReplicaKmsKeyID", key)),
            }
        }
        (false, false, _) => Ok(()),
    }
}

fn check_metrics(to: &Destination) -> Result<(), Error> {
    let wrong = |name: &'static str, text: &str| {
        Err(Error::new(&e::INVALID_ARGUMENT, text).detail("ArgumentName", name))
    };
    let metrics = to.metrics.as_ref();
    metrics.iter().try_for_each(|metrics| status(&metrics.status))?;
    let threshold = metrics.and_then(|metrics| metrics.event_threshold.as_ref());
    let Some(time) = &to.replication_time else {
        return match threshold {
            Some(_) => wrong(
                "Metrics",
                "Metrics cannot contain an event threshold when ReplicationTime is not specified or Disabled",
            ),
            None => Ok(()),
        };
    };
    status(&time.status)?;
    if metrics.is_none() {
        let text =
            "Replication destination must contain both ReplicationTime and Metrics or neither.";
        return Err(invalid(text));
    }
    if time.time.minutes != Some(MINUTES) {
        return wrong("ReplicationTime", "Invalid time minute value");
    }
    match (time.status == "Enabled", threshold.and_then(|threshold| threshold.minutes)) {
        (true, None) => {
            wrong("ReplicationMetrics", "ReplicationMetrics must contain an event threshold")
        }
        (true, Some(minutes)) if minutes != MINUTES => {
            wrong("ReplicationMetrics", "Invalid event threshold minute value")
        }
        _ => Ok(()),
    }
}
