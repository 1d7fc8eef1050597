//! Object lock: versions that cannot be deleted until a date, or while a hold is on them.
//!
//! Invariant: nothing shortens a retention in compliance mode, whoever asks; in governance mode it
//! takes `s3:BypassGovernanceRetention` and the header that says so.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html>

use crate::rows::*;
use crate::{bucket, get_object, malformed_xml, names, object, replication};
use api::{Ask, Cx, Error, Tx};
use base::Timestamp;
use gen_s3::errors as e;
use gen_s3::*;
use std::sync::Arc;
use store::Scope;

const DAY_SECS: i64 = 86_400;
/// Longest default retention.
const DAYS_MAX: i32 = 36_500;
const YEARS_MAX: i32 = 100;

impl LockMode {
    fn name(self) -> &'static str {
        match self {
            LockMode::Governance => "GOVERNANCE",
            LockMode::Compliance => "COMPLIANCE",
        }
    }

    fn parse(name: &str) -> Option<LockMode> {
        match name {
            "GOVERNANCE" => Some(LockMode::Governance),
            "COMPLIANCE" => Some(LockMode::Compliance),
            _ => None,
        }
    }
}

fn protected() -> Error {
    Error::new(&e::ACCESS_DENIED, "Access Denied because object protected by object lock.")
}

fn no_lock() -> Error {
    Error::new(&e::INVALID_REQUEST, "Bucket is missing Object Lock Configuration")
}

fn none_on_object() -> Error {
    let text = "The specified object does not have a ObjectLock configuration";
    Error::new(&e::NO_SUCH_OBJECT_LOCK_CONFIGURATION, text)
}

fn in_past() -> Error {
    Error::new(&e::INVALID_ARGUMENT, "The retain until date must be in the future!")
}

pub fn get_configuration(
    tx: &Tx,
    _: &Cx,
    input: &GetObjectLockConfigurationInput,
) -> Result<GetObjectLockConfigurationOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let Some(lock) = &bucket.lock else {
        let text = "Object Lock configuration does not exist for this bucket";
        return Err(Error::new(&e::OBJECT_LOCK_CONFIGURATION_NOT_FOUND_ERROR, text)
            .detail("BucketName", &input.bucket));
    };
    let rule = lock.mode.map(|mode| ObjectLockRule {
        default_retention: Some(DefaultRetention {
            mode: Some(mode.name().into()),
            days: lock.days.map(|n| n as i32),
            years: lock.years.map(|n| n as i32),
            ..DefaultRetention::default()
        }),
    });
    let document = ObjectLockConfiguration { object_lock_enabled: Some("Enabled".into()), rule };
    Ok(GetObjectLockConfigurationOutput { object_lock_configuration: Some(document) })
}

fn default_of(rule: &ObjectLockRule) -> Result<LockRow, Error> {
    let default = rule.default_retention.as_ref().ok_or_else(malformed_xml)?;
    if default.default_event_hold.is_some() {
        let text = "DefaultEventHold is not implemented";
        return Err(Error::new(&e::NOT_IMPLEMENTED, text));
    }
    let mode = default.mode.as_deref().and_then(LockMode::parse).ok_or_else(malformed_xml)?;
    let period = |given: i32, max: i32| match given {
        ..1 => {
            let text = "Default retention period must be a positive integer value.";
            Err(Error::new(&e::INVALID_RETENTION_PERIOD, text))
        }
        n if n > max => {
            let text = "Default retention period is too large.";
            Err(Error::new(&e::INVALID_RETENTION_PERIOD, text))
        }
        n => Ok(n as u32),
    };
    let (days, years) = match (default.days, default.years) {
        (Some(days), None) => (Some(period(days, DAYS_MAX)?), None),
        (None, Some(years)) => (None, Some(period(years, YEARS_MAX)?)),
        _ => return Err(malformed_xml()),
    };
    Ok(LockRow { mode: Some(mode), days, years })
}

pub fn put_configuration(
    tx: &mut Tx,
    _: &Cx,
    input: &PutObjectLockConfigurationInput,
) -> Result<PutObjectLockConfigurationOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    let document = input.object_lock_configuration.as_ref().ok_or_else(malformed_xml)?;
    if document.object_lock_enabled.as_deref() != Some("Enabled") {
        return Err(malformed_xml());
    }
    if bucket.versioning != Versioning::Enabled {
        let text =
            "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
        return Err(Error::new(&e::INVALID_BUCKET_STATE, text));
    }
    bucket.lock = Some(match &document.rule {
        Some(rule) => default_of(rule)?,
        None => LockRow::default(),
    });
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutObjectLockConfigurationOutput::default())
}

/// What policies may say of a retention. A day that has begun is a day that remains.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html#object-lock-managing-retention-limits>
fn retention_keys(ask: Ask, mode: Option<&str>, until: Option<Timestamp>, now: Timestamp) -> Ask {
    const DAY_MS: i64 = DAY_SECS * 1000;
    let days = until.map(|until| (until.millis_since(now) + DAY_MS - 1).div_euclid(DAY_MS));
    ask.key("s3:object-lock-mode", mode)
        .key("s3:object-lock-retain-until-date", until.map(Timestamp::iso8601_secs))
        .key("s3:object-lock-remaining-retention-days", days.map(|days| days.to_string()))
}

/// What a request that makes a version says of its lock.
pub struct Asked<'a> {
    pub mode: &'a Option<String>,
    pub until: Option<Timestamp>,
    pub legal_hold: &'a Option<String>,
}

impl Asked<'_> {
    /// What policies may say of it.
    pub fn keys(&self, cx: &Cx, ask: Ask) -> Ask {
        retention_keys(ask, self.mode.as_deref(), self.until, cx.now())
            .key("s3:object-lock-legal-hold", self.legal_hold.as_deref())
    }

    /// The permissions that it takes beyond writing.
    pub fn asks(&self, cx: &Cx, arn: &str, asks: &mut Vec<Ask>) {
        if self.mode.is_some() || self.until.is_some() {
            asks.push(self.keys(cx, Ask::new("s3:PutObjectRetention", arn)));
        }
        if self.legal_hold.is_some() {
            asks.push(self.keys(cx, Ask::new("s3:PutObjectLegalHold", arn)));
        }
    }

    /// Puts on a new version what was asked, or the bucket's default.
    pub fn apply(&self, bucket: &BucketRow, now: Timestamp, meta: &mut Meta) -> Result<(), Error> {
        let any = self.mode.is_some() || self.until.is_some() || self.legal_hold.is_some();
        let Some(default) = &bucket.lock else {
            return if any { Err(no_lock()) } else { Ok(()) };
        };
        meta.legal_hold = match self.legal_hold.as_deref() {
            None => None,
            Some("ON") => Some(true),
            Some("OFF") => Some(false),
            Some(_) => {
                let text = "Legal Hold must be either of 'ON' or 'OFF'";
                return Err(Error::new(&e::INVALID_ARGUMENT, text));
            }
        };
        meta.retention = match (self.mode.as_deref(), self.until) {
            (None, None) => default_retention(default, now),
            (Some(mode), Some(until)) => {
                let mode = LockMode::parse(mode).ok_or_else(|| {
                    Error::new(&e::INVALID_ARGUMENT, "Unknown wormMode directive.")
                })?;
                if until <= now {
                    return Err(in_past());
                }
                Some(RetentionRow { mode, until })
            }
            _ => {
                let text = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
                return Err(Error::new(&e::INVALID_ARGUMENT, text));
            }
        };
        Ok(())
    }
}

fn default_retention(default: &LockRow, now: Timestamp) -> Option<RetentionRow> {
    let mode = default.mode?;
    let days = i64::from(default.days.unwrap_or(0)) + 365 * i64::from(default.years.unwrap_or(0));
    Some(RetentionRow { mode, until: Timestamp::from_secs(now.to_secs() + days * DAY_SECS) })
}

/// Whether a version may not be deleted by anybody who does not bypass its retention.
pub fn holds(row: &ObjectRow, now: Timestamp) -> bool {
    row.meta.legal_hold == Some(true)
        || row.meta.retention.as_ref().is_some_and(|kept| kept.until > now)
}

/// Refuses to delete a version that is held. Governance gives way to those who may bypass it.
pub fn check_delete(
    tx: &Tx,
    cx: &Cx,
    (bucket, key): (&str, &str),
    row: &ObjectRow,
    bypass: bool,
) -> Result<(), Error> {
    if row.meta.legal_hold == Some(true) {
        return Err(protected());
    }
    match &row.meta.retention {
        Some(kept) if kept.until > tx.now() => {
            let may = kept.mode == LockMode::Governance && bypass;
            if !may {
                return Err(protected());
            }
            ask_bypass(tx, cx, bucket, key)
        }
        _ => Ok(()),
    }
}

fn ask_bypass(tx: &Tx, cx: &Cx, bucket: &str, key: &str) -> Result<(), Error> {
    let arn = names::object_arn(cx.partition(), bucket, key);
    cx.authorize(tx, &Ask::new("s3:BypassGovernanceRetention", arn))
}

fn object_ask(
    cx: &Cx,
    action: &'static str,
    bucket: &str,
    key: &str,
    version: &Option<String>,
) -> Ask {
    Ask::new(action, names::object_arn(cx.partition(), bucket, key))
        .key("s3:versionid", version.as_deref())
}

pub fn authorize_get_retention(cx: &Cx, input: &GetObjectRetentionInput) -> Vec<Ask> {
    let GetObjectRetentionInput { bucket, key, version_id, .. } = input;
    vec![object_ask(cx, "s3:GetObjectRetention", bucket, key, version_id)]
}

pub fn authorize_put_retention(cx: &Cx, input: &PutObjectRetentionInput) -> Vec<Ask> {
    let PutObjectRetentionInput { bucket, key, version_id, retention, .. } = input;
    let retention = retention.as_ref();
    let until = retention.and_then(|r| r.retain_until_date);
    let mode = retention.and_then(|r| r.mode.as_deref());
    let ask = object_ask(cx, "s3:PutObjectRetention", bucket, key, version_id);
    vec![retention_keys(ask, mode, until, cx.now())]
}

pub fn authorize_get_hold(cx: &Cx, input: &GetObjectLegalHoldInput) -> Vec<Ask> {
    let GetObjectLegalHoldInput { bucket, key, version_id, .. } = input;
    vec![object_ask(cx, "s3:GetObjectLegalHold", bucket, key, version_id)]
}

pub fn authorize_put_hold(cx: &Cx, input: &PutObjectLegalHoldInput) -> Vec<Ask> {
    let PutObjectLegalHoldInput { bucket, key, version_id, legal_hold, .. } = input;
    let status = legal_hold.as_ref().and_then(|hold| hold.status.as_deref());
    let ask = object_ask(cx, "s3:PutObjectLegalHold", bucket, key, version_id)
        .key("s3:object-lock-legal-hold", status);
    vec![ask]
}

/// The version that is meant, in a bucket that has object lock.
fn find(
    tx: &Tx,
    cx: &Cx,
    (name, key): (&str, &str),
    owner: &Option<String>,
    version: &Option<String>,
) -> Result<(Arc<BucketRow>, ObjectRow), Error> {
    let bucket = bucket::find_expected(tx, name, owner)?;
    if bucket.lock.is_none() {
        return Err(no_lock());
    }
    let row = get_object::version(tx, cx, &bucket, key, version)?;
    Ok((bucket, row))
}

pub fn get_retention(
    tx: &Tx,
    cx: &Cx,
    input: &GetObjectRetentionInput,
) -> Result<GetObjectRetentionOutput, Error> {
    let GetObjectRetentionInput { bucket, key, version_id, expected_bucket_owner, .. } = input;
    let (_, row) = find(tx, cx, (bucket, key), expected_bucket_owner, version_id)?;
    let kept = row.meta.retention.ok_or_else(none_on_object)?;
    let retention = ObjectLockRetention {
        mode: Some(kept.mode.name().into()),
        retain_until_date: Some(kept.until),
        ..ObjectLockRetention::default()
    };
    Ok(GetObjectRetentionOutput { retention: Some(retention) })
}

/// What a request asks to be kept; `None` takes the retention away.
fn wanted(input: &PutObjectRetentionInput, now: Timestamp) -> Result<Option<RetentionRow>, Error> {
    let given = input.retention.as_ref().ok_or_else(malformed_xml)?;
    if given.event_hold.is_some() || given.event_hold_duration.is_some() {
        return Err(Error::new(&e::NOT_IMPLEMENTED, "EventHold is not implemented"));
    }
    let (mode, until) = match (given.mode.as_deref(), given.retain_until_date) {
        (None, None) => return Ok(None),
        (Some(mode), Some(until)) => (mode, until),
        _ => return Err(malformed_xml()),
    };
    let mode = LockMode::parse(mode).ok_or_else(malformed_xml)?;
    if until <= now {
        return Err(in_past());
    }
    Ok(Some(RetentionRow { mode, until }))
}

/// The retention of a replica whose source has another one: its source's, unless that would shorten its own
/// in compliance mode.
pub fn of_source(
    own: Option<RetentionRow>,
    source: Option<RetentionRow>,
    now: Timestamp,
) -> Option<RetentionRow> {
    let own = own.filter(|own| own.mode == LockMode::Compliance && own.until > now);
    let longer = |own: &RetentionRow| {
        source.as_ref().is_some_and(|s| s.mode == LockMode::Compliance && s.until >= own.until)
    };
    match own.filter(|own| !longer(own)) {
        Some(own) => Some(own),
        None => source,
    }
}

pub fn put_retention(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutObjectRetentionInput,
) -> Result<PutObjectRetentionOutput, Error> {
    let PutObjectRetentionInput { bucket: name, key, version_id, .. } = input;
    let (bucket, mut row) = find(tx, cx, (name, key), &input.expected_bucket_owner, version_id)?;
    let wanted = wanted(input, tx.now())?;
    if let Some(kept) = row.meta.retention.as_ref().filter(|kept| kept.until > tx.now()) {
        let longer = wanted.as_ref().is_some_and(|w| w.mode == kept.mode && w.until >= kept.until);
        match kept.mode {
            _ if longer => {}
            LockMode::Governance if input.bypass_governance_retention == Some(true) => {
                ask_bypass(tx, cx, name, key)?;
            }
            _ => return Err(protected()),
        }
    }
    row.meta.retention = wanted;
    replication::changed(tx, &bucket, key, &mut row)?;
    object::rewrite(tx, &bucket, key, &row)?;
    Ok(PutObjectRetentionOutput::default())
}

pub fn get_hold(
    tx: &Tx,
    cx: &Cx,
    input: &GetObjectLegalHoldInput,
) -> Result<GetObjectLegalHoldOutput, Error> {
    let GetObjectLegalHoldInput { bucket, key, version_id, expected_bucket_owner, .. } = input;
    let (_, row) = find(tx, cx, (bucket, key), expected_bucket_owner, version_id)?;
    let hold = shown_hold(&row.meta).ok_or_else(none_on_object)?;
    let hold = ObjectLockLegalHold { status: Some(hold) };
    Ok(GetObjectLegalHoldOutput { legal_hold: Some(hold) })
}

pub fn put_hold(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutObjectLegalHoldInput,
) -> Result<PutObjectLegalHoldOutput, Error> {
    let PutObjectLegalHoldInput { bucket, key, version_id, expected_bucket_owner, .. } = input;
    let (bucket, mut row) = find(tx, cx, (bucket, key), expected_bucket_owner, version_id)?;
    let status = input.legal_hold.as_ref().and_then(|hold| hold.status.as_deref());
    row.meta.legal_hold = match status {
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        _ => return Err(malformed_xml()),
    };
    replication::changed(tx, &bucket, key, &mut row)?;
    object::rewrite(tx, &bucket, key, &row)?;
    Ok(PutObjectLegalHoldOutput::default())
}

pub fn shown_hold(meta: &Meta) -> Option<String> {
    meta.legal_hold.map(|on| if on { "ON".into() } else { "OFF".into() })
}

pub fn shown_mode(meta: &Meta) -> Option<String> {
    meta.retention.as_ref().map(|kept| kept.mode.name().into())
}

pub fn shown_until(meta: &Meta) -> Option<Timestamp> {
    meta.retention.as_ref().map(|kept| kept.until)
}
