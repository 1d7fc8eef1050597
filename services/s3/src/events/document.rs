//! The configuration of a bucket, checked and kept.

use super::{Destination, NOTIFIERS, NotifierRow, TargetRow, covers, message, outbox};
use crate::bucket::scope;
use crate::rows::{BucketRow, Feature};
use crate::{bucket, config, malformed_xml};
use api::{Cx, Error, Tx};
use base::{AccountId, Arn};
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeSet;

const KIND: &str = "notification";
/// Configurations of one bucket.
const TARGETS_MAX: usize = 100;
const ID_CHARS_MAX: usize = 255;
const FILTER_BYTES_MAX: usize = 1024;

/// All that may be asked for.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>
const EVENTS: &str = "s3:ObjectCreated:* s3:ObjectCreated:Put s3:ObjectCreated:Post \
    s3:ObjectCreated:Copy s3:ObjectCreated:CompleteMultipartUpload s3:ObjectRemoved:* \
    s3:ObjectRemoved:Delete s3:ObjectRemoved:DeleteMarkerCreated s3:ObjectRestore:* \
    s3:ObjectRestore:Post s3:ObjectRestore:Completed s3:ObjectRestore:Delete \
    s3:ReducedRedundancyLostObject s3:Replication:* s3:Replication:OperationFailedReplication \
    s3:Replication:OperationMissedThreshold s3:Replication:OperationReplicatedAfterThreshold \
    s3:Replication:OperationNotTracked s3:LifecycleExpiration:* s3:LifecycleExpiration:Delete \
    s3:LifecycleExpiration:DeleteMarkerCreated s3:LifecycleTransition s3:IntelligentTiering \
    s3:ObjectAcl:Put s3:ObjectTagging:* s3:ObjectTagging:Put s3:ObjectTagging:Delete";

fn invalid(text: &str, name: &'static str, value: &str) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text)
        .detail("ArgumentName", name)
        .detail("ArgumentValue", value)
}

impl Destination {
    fn service(self) -> &'static str {
        match self {
            Destination::Topic => "sns",
            Destination::Queue => "sqs",
            Destination::Function => "lambda",
            Destination::EventBus => "events",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Destination::Topic => "Topic",
            Destination::Queue => "Queue",
            Destination::Function => "CloudFunction",
            Destination::EventBus => "EventBridge",
        }
    }
}

/// Whether the destination is named well. Whether it is there only its service could tell.
fn check_arn(bucket: &BucketRow, kind: Destination, text: &str) -> Result<(), Error> {
    let parsed = Arn::parse(text).filter(|arn| {
        let named = match kind {
            Destination::Function => arn.resource.starts_with("function:"),
            _ => !arn.resource.contains(['/', ':', ' ']),
        };
        let known = ["aws", "aws-cn", "aws-us-gov"].contains(&&*arn.partition);
        arn.service == kind.service()
            && AccountId::parse(&arn.account).is_some()
            && known
            && named
            && !arn.resource.is_empty()
    });
    let Some(arn) = parsed else {
        return Err(invalid("The ARN could not be parsed", kind.name(), text));
    };
    if arn.region != bucket.region {
        let text_ = "The notification destination service region is not valid for the bucket location constraint";
        return Err(invalid(text_, kind.name(), text));
    }
    if arn.resource.ends_with(".fifo") {
        let what = if kind == Destination::Queue { "SQS queues" } else { "SNS topics" };
        let why = format!("FIFO {what} are not supported as a notification destination");
        return Err(invalid(&why, kind.name(), text));
    }
    Ok(())
}

fn check_events(events: &[String]) -> Result<(), Error> {
    if events.is_empty() {
        return Err(malformed_xml());
    }
    for event in events {
        if !EVENTS.split_ascii_whitespace().any(|known| known == event) {
            let text = format!("The event '{event}' is not supported for notifications");
            return Err(invalid(&text, "Event", event));
        }
    }
    Ok(())
}

/// Prefix and suffix.
fn filter(given: &Option<NotificationConfigurationFilter>) -> Result<(String, String), Error> {
    let rules = given.as_ref().and_then(|filter| filter.key.as_ref());
    let rules = rules.and_then(|key| key.filter_rules.as_deref()).unwrap_or_default();
    let (mut prefix, mut suffix) = (None, None);
    for rule in rules {
        let name = rule.name.as_deref().unwrap_or_default();
        let slot = match name.to_ascii_lowercase().as_str() {
            "prefix" => &mut prefix,
            "suffix" => &mut suffix,
            _ => {
                let text = "filter rule name must be either prefix or suffix";
                return Err(invalid(text, "FilterRule.Name", name));
            }
        };
        let value = rule.value.clone().unwrap_or_default();
        if value.len() > FILTER_BYTES_MAX {
            let text = "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation";
            return Err(invalid(text, "FilterRule.Value", &value));
        }
        if let Some(twice) = slot.replace(value) {
            let name = name.to_ascii_lowercase();
            let text = format!("Cannot specify more than one {name} rule in a filter.");
            return Err(invalid(&text, "FilterRule.Value", &twice));
        }
    }
    Ok((prefix.unwrap_or_default(), suffix.unwrap_or_default()))
}

/// No event of a key may go to two destinations.
fn check_overlap(targets: &[TargetRow]) -> Result<(), Error> {
    let shares = |a: &TargetRow, b: &TargetRow| {
        a.events.iter().any(|one| b.events.iter().any(|two| covers(one, two) || covers(two, one)))
    };
    for (index, one) in targets.iter().enumerate() {
        for two in &targets[index + 1..] {
            let prefixes =
                one.prefix.starts_with(&two.prefix) || two.prefix.starts_with(&one.prefix);
            let suffixes = one.suffix.ends_with(&two.suffix) || two.suffix.ends_with(&one.suffix);
            if !(prefixes && suffixes && shares(one, two)) {
                continue;
            }
            let plain = |t: &TargetRow| t.prefix.is_empty() && t.suffix.is_empty();
            let text = match plain(one) && plain(two) {
                true => {
                    "Configurations overlap. Configurations on the same bucket cannot share a common event type."
                }
                false => {
                    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
                }
            };
            return Err(Error::new(&e::INVALID_ARGUMENT, text));
        }
    }
    Ok(())
}

fn check_ids(targets: &[TargetRow]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for target in targets {
        if target.id.chars().count() > ID_CHARS_MAX {
            let text = "ID length should not exceed allowed limit of 255";
            return Err(invalid(text, "Id", &target.id));
        }
        if !seen.insert(&target.id) {
            let text = "Same ID used for multiple configurations. IDs must be unique";
            return Err(invalid(text, "Id", &target.id));
        }
    }
    Ok(())
}

/// Fills ids that are missing, and gives the configurations as they are acted by.
fn targets(
    cx: &Cx,
    bucket: &BucketRow,
    document: &mut NotificationConfiguration,
) -> Result<Vec<TargetRow>, Error> {
    let mut all = Vec::new();
    let mut add = |kind: Destination,
                   id: &mut Option<String>,
                   arn: &str,
                   events: &[String],
                   given: &Option<NotificationConfigurationFilter>| {
        check_arn(bucket, kind, arn)?;
        check_events(events)?;
        let (prefix, suffix) = filter(given)?;
        let id = id.get_or_insert_with(|| cx.entropy.uuid()).clone();
        all.push(TargetRow { id, kind, arn: arn.into(), events: events.to_vec(), prefix, suffix });
        Ok::<(), Error>(())
    };
    for one in document.topic_configurations.iter_mut().flatten() {
        add(Destination::Topic, &mut one.id, &one.topic_arn, &one.events, &one.filter)?;
    }
    for one in document.queue_configurations.iter_mut().flatten() {
        add(Destination::Queue, &mut one.id, &one.queue_arn, &one.events, &one.filter)?;
    }
    for one in document.lambda_function_configurations.iter_mut().flatten() {
        let arn = &one.lambda_function_arn;
        add(Destination::Function, &mut one.id, arn, &one.events, &one.filter)?;
    }
    if all.len() > TARGETS_MAX {
        let text =
            "The number of notification configurations exceeds the limit of 100 for a bucket.";
        return Err(Error::new(&e::INVALID_ARGUMENT, text));
    }
    check_ids(&all)?;
    check_overlap(&all)?;
    if document.event_bridge_configuration.is_some() {
        let (partition, region, owner) = (cx.partition(), &bucket.region, bucket.owner);
        all.push(TargetRow {
            id: String::new(),
            kind: Destination::EventBus,
            arn: format!("arn:{}:events:{region}:{owner}:event-bus/default", partition.as_str()),
            events: Vec::new(),
            prefix: String::new(),
            suffix: String::new(),
        });
    }
    Ok(all)
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketNotificationConfigurationInput,
) -> Result<PutBucketNotificationConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let mut document = input.notification_configuration.clone();
    let targets = targets(cx, &bucket, &mut document)?;
    let (scope, number) = (scope(&bucket), bucket.number);
    let before = tx.get(&NOTIFIERS, &scope, &number)?.unwrap_or_default();
    let is_new = |t: &&TargetRow| !before.targets.iter().any(|old| old.arn == t.arn);
    let tested = |t: &&TargetRow| matches!(t.kind, Destination::Topic | Destination::Queue);
    for target in targets.iter().filter(tested).filter(is_new) {
        let test = message::test(cx, &input.bucket, tx.now());
        outbox::put(tx, &bucket, target, "s3:TestEvent", test)?;
    }
    let acts = !targets.is_empty();
    config::put(tx, cx, &bucket, KIND, "", &document)?;
    tx.put(&NOTIFIERS, &scope, &number, &NotifierRow { targets })?;
    bucket::set_feature(tx, &input.bucket, &bucket, Feature::Notifications, acts)?;
    Ok(PutBucketNotificationConfigurationOutput::default())
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketNotificationConfigurationInput,
) -> Result<GetBucketNotificationConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    Ok(config::get(tx, &bucket, KIND, "")?.unwrap_or_default())
}
