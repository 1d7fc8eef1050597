//! What waits becomes an object of the target bucket, if that takes it.

use super::document;
use super::{DAY_MS, PIECES, STATES};
use crate::acl::{self, LOG_DELIVERER};
use crate::bucket::scope;
use crate::parcel::{Parcel, Sender};
use crate::rows::*;
use api::{Background, Error, Tx};
use base::{AccountId, Timestamp};
use bytes::Bytes;
use gen_s3::LoggingEnabled;
use store::blobs::Blobs;
use store::{JobOutcome, Scope};

/// Pieces in one object: half a MiB.
const PIECES_MAX: usize = 32;

pub struct Delivery {
    pub blobs: Blobs,
    pub with: Background,
}

impl Delivery {
    pub fn step(
        &self,
        tx: &mut Tx,
        account: AccountId,
        number: u64,
        name: &str,
    ) -> Result<JobOutcome, Error> {
        let bucket = tx.get(&BUCKETS, &Scope::Global, name)?;
        let bucket = bucket.filter(|bucket| bucket.number == number);
        let enabled = match &bucket {
            Some(bucket) => document::of(tx, bucket)?,
            None => None,
        };
        let (Some(bucket), Some(enabled)) = (bucket, enabled) else {
            tx.mark_freeing();
            let more = document::forget(tx, account, number)?;
            return Ok(if more { JobOutcome::Again(tx.now()) } else { JobOutcome::Done });
        };
        let place = scope(&bucket);
        let mut rows = tx.scan(&PIECES, &place).prefix(&(number,));
        let mut pieces = Vec::new();
        let mut more = false;
        let mut day = None;
        for row in &mut rows {
            let ((_, of, nth), row) = row?;
            more = pieces.len() == PIECES_MAX || day.is_some_and(|day| day != of);
            if more {
                break;
            }
            day = Some(of);
            pieces.push((nth, row.text));
        }
        let Some(day) = day else { return Ok(JobOutcome::Done) };
        for (nth, _) in &pieces {
            tx.delete(&PIECES, &place, &(number, day, *nth))?;
        }
        let mut state = tx.get(&STATES, &place, &number)?.unwrap_or_default();
        state.kept = state.kept.saturating_sub(pieces.len() as u64);
        let texts: Vec<String> = pieces.into_iter().map(|(_, text)| text).collect();
        let lost = texts.len() as u64;
        if !self.put(tx, (&bucket, name), &enabled, day, texts)? {
            state.lost += lost;
        }
        tx.put(&STATES, &place, &number, &state)?;
        Ok(if more { JobOutcome::Again(tx.now()) } else { JobOutcome::Done })
    }

    /// Whether the target took it.
    fn put(
        &self,
        tx: &mut Tx,
        (bucket, name): (&BucketRow, &str),
        enabled: &LoggingEnabled,
        day: i64,
        texts: Vec<String>,
    ) -> Result<bool, Error> {
        let target_name = &enabled.target_bucket;
        let Some(target) = tx.get(&BUCKETS, &Scope::Global, target_name)? else {
            return Ok(false);
        };
        let key = self.key(bucket, name, enabled, day, tx.now());
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-server-access-logging.html
        let locked = target.lock.as_ref().is_some_and(|lock| lock.mode.is_some());
        let fits = target.owner == bucket.owner && target.region == bucket.region;
        if !fits || locked || target.has(Feature::RequesterPays) {
            return Ok(false);
        }
        let sender = Sender { service: LOG_DELIVERER, source: (bucket, name), acl: None };
        if !sender.may(tx, &self.with, target_name, &key)? {
            return Ok(false);
        }
        let mut acl = vec![acl::full_control(target.owner)];
        if target.ownership != Ownership::BucketOwnerEnforced {
            acl.extend(document::grants(enabled)?);
        }
        let parcel = Parcel {
            target: (&target, target_name.as_str()),
            key: &key,
            meta: Meta { content_type: Some("text/plain".into()), ..Meta::default() },
            acl,
            pieces: texts.into_iter().map(Bytes::from).collect(),
        };
        parcel.put(tx, &self.blobs, &self.with)?;
        Ok(true)
    }

    /// `[prefix]YYYY-MM-DD-hh-mm-ss-UNIQUE`, or with account, region, bucket and date before that.
    fn key(
        &self,
        bucket: &BucketRow,
        name: &str,
        enabled: &LoggingEnabled,
        day: i64,
        now: Timestamp,
    ) -> String {
        let mut bytes = [0; 8];
        self.with.entropy.fill(&mut bytes);
        let unique = base::hex::encode(&bytes).to_ascii_uppercase();
        let prefix = &enabled.target_prefix;
        let stamp = |at: Timestamp| at.iso8601_secs()[..19].replace(['T', ':'], "-");
        let format = enabled.target_object_key_format.as_ref();
        let Some(partitioned) = format.and_then(|format| format.partitioned_prefix.as_ref()) else {
            return format!("{prefix}{}-{unique}", stamp(now));
        };
        // By the time of the events it is the day that counts, and the hour is nought.
        let at = match partitioned.partition_date_source.as_deref() {
            Some("DeliveryTime") => now,
            _ => Timestamp::from_millis(day * DAY_MS),
        };
        let stamp = stamp(at);
        let (account, region, date) = (bucket.owner, &bucket.region, stamp[..10].replace('-', "/"));
        format!("{prefix}{account}/{region}/{name}/{date}/{stamp}-{unique}")
    }
}
