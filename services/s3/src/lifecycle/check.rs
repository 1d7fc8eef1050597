//! Whether a rule makes sense, in S3's words.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html>

use crate::{malformed_xml, names};
use api::Error;
use base::Timestamp;
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeSet;

const ID_CHARS_MAX: usize = 255;
const NEWER_MAX: i32 = 100;
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

/// How S3 names what a rule is for.
fn described(rule: &LifecycleRule) -> String {
    let Some(filter) = &rule.filter else {
        return format!("prefix '{}'", rule.prefix.as_deref().unwrap_or_default());
    };
    let and = filter.and.as_ref();
    let mut parts = Vec::new();
    if let Some(prefix) = filter.prefix.as_ref().or(and.and_then(|and| and.prefix.as_ref())) {
        parts.push(format!("prefix={prefix}"));
    }
    let tags = and.and_then(|and| and.tags.as_ref()).into_iter().flatten();
    for tag in filter.tag.iter().chain(tags) {
        parts.push(format!("tag: key={}, value={}", tag.key, tag.value));
    }
    let over = filter.object_size_greater_than.or(and.and_then(|a| a.object_size_greater_than));
    let under = filter.object_size_less_than.or(and.and_then(|a| a.object_size_less_than));
    parts.extend(over.map(|size| format!("objectsizegreaterthan={size}")));
    parts.extend(under.map(|size| format!("objectsizelessthan={size}")));
    format!("filter '({})'", parts.join(" and "))
}

/// Classes in the order in which objects go through them.
fn depth(class: &str) -> usize {
    match class {
        "STANDARD_IA" => 0,
        "INTELLIGENT_TIERING" => 1,
        "ONEZONE_IA" => 2,
        "GLACIER_IR" => 3,
        "GLACIER" => 4,
        _ => 5,
    }
}

/// Moves go to another class each, and later to the colder ones.
fn check_order(
    rule: &LifecycleRule,
    action: &str,
    moves: &[(&str, Option<i32>)],
) -> Result<(), Error> {
    let what = described(rule);
    for (index, (class, days)) in moves.iter().enumerate() {
        for (other, later) in &moves[index + 1..] {
            if class == other {
                let text = format!(
                    "'StorageClass' must be different for '{action}' actions in same 'Rule' with {what}"
                );
                return Err(Error::new(&e::INVALID_REQUEST, text));
            }
            let (Some(a), Some(b)) = (days, later) else { continue };
            let ((warm, warm_days), (cold, cold_days)) = match depth(class) < depth(other) {
                true => ((class, a), (other, b)),
                false => ((other, b), (class, a)),
            };
            if cold_days <= warm_days {
                let name = if action == "Transition" { "Days" } else { "NoncurrentDays" };
                return Err(invalid(&format!(
                    "'{name}' in the {action} action for StorageClass '{cold}' for {what} must be greater than '{name}' in the {action} action for StorageClass '{warm}' for {what}"
                )));
            }
        }
    }
    Ok(())
}

/// A rule counts in days or names dates, not both.
fn check_mixed(rule: &LifecycleRule) -> Result<(), Error> {
    let moves = rule.transitions.as_deref().unwrap_or_default();
    let refused = |kinds: &str| {
        let what = described(rule);
        let text =
            format!("Found mixed 'Date' and 'Days' based {kinds} in lifecycle rule for {what}");
        Err(Error::new(&e::INVALID_REQUEST, text))
    };
    let (days, dates) =
        (moves.iter().any(|m| m.days.is_some()), moves.iter().any(|m| m.date.is_some()));
    if days && dates {
        return refused("Transition actions");
    }
    let end = rule.expiration.as_ref();
    let ends_in_days = end.is_some_and(|end| end.days.is_some());
    let ends_at_date = end.is_some_and(|end| end.date.is_some());
    if (days && ends_at_date) || (dates && ends_in_days) {
        return refused("Expiration and Transition actions");
    }
    Ok(())
}

fn check_transitions(rule: &LifecycleRule) -> Result<(), Error> {
    let moves = rule.transitions.as_deref().unwrap_or_default();
    let class_of = |class: &Option<String>| class.as_deref().unwrap_or_default().to_owned();
    for transition in moves {
        let class = class_of(&transition.storage_class);
        if !CLASSES.contains(&class.as_str())
            || transition.days.is_some() == transition.date.is_some()
        {
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
    }
    check_mixed(rule)?;
    let end = rule.expiration.as_ref();
    for transition in moves {
        let what = described(rule);
        if let (Some(days), Some(end)) = (transition.days, end.and_then(|end| end.days))
            && end <= days
        {
            return Err(invalid(&format!(
                "'Days' in the Expiration action for {what} must be greater than 'Days' in the Transition action"
            )));
        }
        if let (Some(date), Some(end)) = (transition.date, end.and_then(|end| end.date))
            && end <= date
        {
            return Err(invalid(&format!(
                "'Date' in the Expiration action for {what} must be later than 'Date' in the Transition action"
            )));
        }
    }
    let pairs: Vec<(&str, Option<i32>)> =
        moves.iter().map(|m| (m.storage_class.as_deref().unwrap_or_default(), m.days)).collect();
    check_order(rule, "Transition", &pairs)
}

fn check_newer(rule: &LifecycleRule, newer: Option<i32>, action: &str) -> Result<(), Error> {
    let Some(newer) = newer else { return Ok(()) };
    if rule.filter.is_none() {
        let text = format!("'NewerNoncurrentVersions' for {action} action requires a Filter");
        return Err(Error::new(&e::INVALID_REQUEST, text));
    }
    if !(1..=NEWER_MAX).contains(&newer) {
        return Err(invalid(&format!(
            "'NewerNoncurrentVersions' for {action} action must be a positive integer no greater than {NEWER_MAX}"
        )));
    }
    Ok(())
}

fn check_noncurrent(rule: &LifecycleRule) -> Result<(), Error> {
    let moves = rule.noncurrent_version_transitions.as_deref().unwrap_or_default();
    for to in moves {
        let class = to.storage_class.as_deref().unwrap_or_default();
        if !CLASSES.contains(&class) || to.noncurrent_days.is_none() {
            return Err(malformed_xml());
        }
        let text = "'NoncurrentDays' in NoncurrentVersionTransition action must be nonnegative";
        check_days(to.noncurrent_days, 0, text)?;
        if class.ends_with("_IA") && to.noncurrent_days.is_some_and(|days| days < 30) {
            return Err(invalid(&format!(
                "'NoncurrentDays' in NoncurrentVersionTransition action must be greater than or equal to 30 for storageClass '{class}'"
            )));
        }
        check_newer(rule, to.newer_noncurrent_versions, "NoncurrentVersionTransition")?;
    }
    let pairs: Vec<(&str, Option<i32>)> = moves
        .iter()
        .map(|m| (m.storage_class.as_deref().unwrap_or_default(), m.noncurrent_days))
        .collect();
    check_order(rule, "NoncurrentVersionTransition", &pairs)?;
    let Some(old) = &rule.noncurrent_version_expiration else { return Ok(()) };
    let text = "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
    check_days(Some(old.noncurrent_days.unwrap_or(0)), 1, text)?;
    check_newer(rule, old.newer_noncurrent_versions, "NoncurrentVersionExpiration")?;
    let days = old.noncurrent_days.unwrap_or(0);
    if moves.iter().any(|to| to.noncurrent_days.is_some_and(|after| days <= after)) {
        let what = described(rule);
        return Err(invalid(&format!(
            "'NoncurrentDays' in the NoncurrentVersionExpiration action for {what} must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action"
        )));
    }
    Ok(())
}

/// Actions on what has neither tags nor a size.
fn check_plain(rule: &LifecycleRule, action: &str) -> Result<(), Error> {
    let Some(filter) = &rule.filter else { return Ok(()) };
    let and = filter.and.as_ref();
    let refused = |what: &str| {
        let text = format!("{action} cannot be specified with {what}.");
        Err(Error::new(&e::INVALID_REQUEST, text))
    };
    if filter.tag.is_some() || and.is_some_and(|a| a.tags.as_ref().is_some_and(|t| !t.is_empty())) {
        return refused("Tags");
    }
    let sized = filter.object_size_greater_than.is_some()
        || filter.object_size_less_than.is_some()
        || and.is_some_and(|a| {
            a.object_size_greater_than.is_some() || a.object_size_less_than.is_some()
        });
    if sized { refused("Object Size") } else { Ok(()) }
}

pub fn check(rule: &LifecycleRule) -> Result<(), Error> {
    if !["Enabled", "Disabled"].contains(&rule.status.as_str()) {
        return Err(malformed_xml());
    }
    if rule.id.as_ref().is_some_and(|id| id.chars().count() > ID_CHARS_MAX) {
        return Err(invalid("ID length should not exceed allowed limit of 255"));
    }
    check_filter(rule)?;
    check_expiration(rule)?;
    check_transitions(rule)?;
    check_noncurrent(rule)?;
    let marker = rule.expiration.as_ref().and_then(|end| end.expired_object_delete_marker);
    if marker == Some(true) {
        check_plain(rule, "ExpiredObjectDeleteMarker")?;
    }
    if let Some(abort) = &rule.abort_incomplete_multipart_upload {
        let text = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
        check_days(Some(abort.days_after_initiation.unwrap_or(0)), 1, text)?;
        check_plain(rule, "AbortIncompleteMultipartUpload")?;
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

/// Rules of the old form, each with a prefix of its own, may not do the same to the same object.
pub fn check_overlaps(rules: &[LifecycleRule]) -> Result<(), Error> {
    let moves = |rule: &LifecycleRule| rule.transitions.as_ref().is_some_and(|to| !to.is_empty());
    let ends = |rule: &LifecycleRule| {
        rule.expiration.as_ref().is_some_and(|end| end.days.is_some() || end.date.is_some())
    };
    let (mut ending, mut moving) = (Vec::new(), Vec::new());
    for rule in rules.iter().filter(|rule| rule.status == "Enabled") {
        let Some(prefix) = rule.prefix.as_deref() else { continue };
        ending.extend(ends(rule).then_some(prefix));
        moving.extend(moves(rule).then_some(prefix));
    }
    for (action, prefixes) in [("Expiration", ending), ("Transition", moving)] {
        if let Some((one, other)) = names::overlapping(&prefixes) {
            let text = format!(
                "Found overlapping prefixes '{one}' and '{other}' for same action type '{action}'"
            );
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
    }
    Ok(())
}
