//! What configurations with ids may say: those of analytics, inventory, metrics and tiering.

use crate::{malformed_xml, names};
use api::Error;
use base::{AccountId, Arn};
use gen_s3::errors as e;
use gen_s3::*;

/// A document of one of the families.
pub trait Document {
    fn check(&self) -> Result<(), Error>;
}

fn one_of(value: &str, known: &[&str]) -> Result<(), Error> {
    if known.contains(&value) { Ok(()) } else { Err(malformed_xml()) }
}

/// Of a filter: exactly one kind of predicate.
fn exactly_one(given: &[bool]) -> Result<(), Error> {
    if given.iter().filter(|given| **given).count() == 1 { Ok(()) } else { Err(malformed_xml()) }
}

/// Below `And`: at least two predicates.
fn at_least_two(predicates: usize) -> Result<(), Error> {
    if predicates >= 2 { Ok(()) } else { Err(malformed_xml()) }
}

fn count(tags: &Option<Vec<Tag>>) -> usize {
    tags.as_ref().map_or(0, Vec::len)
}

/// A destination is named by its bucket's ARN, and by nothing below it.
fn check_bucket(arn: &str, account: &Option<String>) -> Result<(), Error> {
    let named = Arn::parse(arn).is_some_and(|arn| {
        arn.service == "s3"
            && arn.region.is_empty()
            && arn.account.is_empty()
            && names::is_bucket_name(&arn.resource)
    });
    if !named {
        let text = "Invalid bucket ARN.";
        return Err(Error::with_code("InvalidS3DestinationBucket", 400, text));
    }
    match account {
        Some(id) if AccountId::parse(id).is_none() => {
            Err(Error::new(&e::INVALID_ARGUMENT, "Invalid account id")
                .detail("ArgumentName", "AccountId")
                .detail("ArgumentValue", id))
        }
        _ => Ok(()),
    }
}

impl Document for AnalyticsConfiguration {
    fn check(&self) -> Result<(), Error> {
        if let Some(filter) = &self.filter {
            exactly_one(&[filter.prefix.is_some(), filter.tag.is_some(), filter.and.is_some()])?;
            if let Some(and) = &filter.and {
                at_least_two(usize::from(and.prefix.is_some()) + count(&and.tags))?;
            }
        }
        let Some(export) = &self.storage_class_analysis.data_export else { return Ok(()) };
        one_of(&export.output_schema_version, &["V_1"])?;
        let to = &export.destination.s3_bucket_destination;
        one_of(&to.format, &["CSV"])?;
        check_bucket(&to.bucket, &to.bucket_account_id)
    }
}

impl Document for MetricsConfiguration {
    fn check(&self) -> Result<(), Error> {
        let Some(filter) = &self.filter else { return Ok(()) };
        exactly_one(&[
            filter.prefix.is_some(),
            filter.tag.is_some(),
            filter.access_point_arn.is_some(),
            filter.and.is_some(),
        ])?;
        let mut points = filter.access_point_arn.iter().collect::<Vec<_>>();
        if let Some(and) = &filter.and {
            points.extend(&and.access_point_arn);
            let single = [and.prefix.is_some(), and.access_point_arn.is_some()];
            let single = single.iter().filter(|given| **given).count();
            at_least_two(single + count(&and.tags))?;
        }
        for point in points {
            let is_one = Arn::parse(point)
                .is_some_and(|arn| arn.service == "s3" && arn.resource.starts_with("accesspoint/"));
            if !is_one {
                return Err(Error::new(&e::INVALID_ARGUMENT, "Invalid access point ARN")
                    .detail("ArgumentName", "AccessPointArn")
                    .detail("ArgumentValue", point));
            }
        }
        Ok(())
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_InventoryConfiguration.html>
const INVENTORY_FIELDS: &str = "Size LastModifiedDate StorageClass ETag IsMultipartUploaded \
    ReplicationStatus EncryptionStatus ObjectLockRetainUntilDate ObjectLockMode \
    ObjectLockLegalHoldStatus ObjectLockEventHoldStatus ObjectLockEventHoldDuration \
    IntelligentTieringAccessTier IntelligentTieringReferenceDate BucketKeyStatus ChecksumAlgorithm \
    ObjectAccessControlList ObjectOwner LifecycleExpirationDate";

impl Document for InventoryConfiguration {
    fn check(&self) -> Result<(), Error> {
        one_of(&self.included_object_versions, &["All", "Current"])?;
        one_of(&self.schedule.frequency, &["Daily", "Weekly"])?;
        let fields = self.optional_fields.as_deref().unwrap_or_default();
        for (nth, field) in fields.iter().enumerate() {
            let known = INVENTORY_FIELDS.split_ascii_whitespace().any(|known| known == field);
            if !known || fields[..nth].contains(field) {
                return Err(malformed_xml());
            }
        }
        let to = &self.destination.s3_bucket_destination;
        one_of(&to.format, &["CSV", "ORC", "Parquet"])?;
        if let Some(encryption) = &to.encryption {
            exactly_one(&[encryption.sses3.is_some(), encryption.ssekms.is_some()])?;
        }
        check_bucket(&to.bucket, &to.account_id)
    }
}

const TIER_DAYS_MAX: i32 = 730;

impl Document for IntelligentTieringConfiguration {
    fn check(&self) -> Result<(), Error> {
        one_of(&self.status, &["Enabled", "Disabled"])?;
        if let Some(filter) = &self.filter {
            exactly_one(&[filter.prefix.is_some(), filter.tag.is_some(), filter.and.is_some()])?;
            if let Some(and) = &filter.and {
                at_least_two(usize::from(and.prefix.is_some()) + count(&and.tags))?;
            }
        }
        if self.tierings.is_empty() {
            return Err(malformed_xml());
        }
        let invalid =
            |text: &str| Error::new(&e::INVALID_ARGUMENT, text).detail("ArgumentName", "Tiering");
        let mut days = [None; 2];
        for tier in &self.tierings {
            let (place, least) = match tier.access_tier.as_str() {
                "ARCHIVE_ACCESS" => (0, 90),
                "DEEP_ARCHIVE_ACCESS" => (1, 180),
                _ => return Err(malformed_xml()),
            };
            if !(least..=TIER_DAYS_MAX).contains(&tier.days) {
                let text = format!("Days must be between {least} and {TIER_DAYS_MAX}");
                return Err(invalid(&text));
            }
            if days[place].replace(tier.days).is_some() {
                return Err(invalid("Access tiers must be unique"));
            }
        }
        match days {
            [Some(archive), Some(deep)] if deep <= archive => Err(invalid(
                "Days of DEEP_ARCHIVE_ACCESS must be more than those of ARCHIVE_ACCESS",
            )),
            _ => Ok(()),
        }
    }
}
