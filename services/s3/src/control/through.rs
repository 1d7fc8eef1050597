//! Requests to a bucket through an access point: which one a name means, and what it grants.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-policies.html>

use super::access_point::{self, ALIASES, PointRow};
use super::account_block;
use crate::rows::{BUCKETS, BucketRow};
use api::{AccessPoint, Cx, Error, Through, Tx};
use base::{AccountId, Arn, Region};
use directory::principals_for;
use gen_s3::errors as e;
use policy::{Kind, Policy, PrincipalKind};
use std::sync::Arc;
use store::Scope;

/// Operations that an access point takes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-service-api-support.html>
const OPERATIONS: &str = "AbortMultipartUpload CompleteMultipartUpload CopyObject \
    CreateMultipartUpload DeleteObject DeleteObjects DeleteObjectTagging GetBucketAcl GetBucketCors \
    GetBucketLocation GetBucketNotificationConfiguration GetBucketPolicy GetObject GetObjectAcl \
    GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging HeadBucket HeadObject \
    ListMultipartUploads ListObjects ListObjectsV2 ListObjectVersions ListParts PutObject \
    PutObjectAcl PutObjectLegalHold PutObjectRetention PutObjectTagging RestoreObject UploadPart \
    UploadPartCopy";

fn none() -> Error {
    Error::with_code("NoSuchAccessPoint", 404, "The specified accesspoint does not exist")
}

/// The access point that stands where a bucket's name would: by ARN, by alias, or as `NAME-ACCOUNT`,
/// which is a bucket's name if there is such a bucket.
pub fn find(tx: &Tx, given: &str, region: &Region) -> Result<Option<AccessPoint>, Error> {
    if given.starts_with("arn:") {
        let arn = Arn::parse(given).filter(|arn| arn.service == "s3").ok_or_else(none)?;
        let name = arn.resource.strip_prefix("accesspoint/").ok_or_else(none)?;
        let account = AccountId::parse(&arn.account).ok_or_else(none)?;
        return match access_point::find(tx, account, &arn.region, name)? {
            Some(row) => Ok(Some(told(region, account, &arn.region, name, &row))),
            None => Err(none()),
        };
    }
    if given.ends_with(access_point::ALIAS_END) {
        let Some(of) = tx.get(&ALIASES, &Scope::Global, given)? else { return Ok(None) };
        let row = access_point::find(tx, of.account, &of.region, &of.name)?;
        return Ok(row.map(|row| told(region, of.account, &of.region, &of.name, &row)));
    }
    let Some((name, account)) = given.rsplit_once('-') else { return Ok(None) };
    let Some(account) = AccountId::parse(account) else { return Ok(None) };
    if tx.get_shared(&BUCKETS, &Scope::Global, given)?.is_some() {
        return Ok(None);
    }
    let row = access_point::find(tx, account, region.as_str(), name)?;
    Ok(row.map(|row| told(region, account, region.as_str(), name, &row)))
}

fn told(own: &Region, account: AccountId, region: &str, name: &str, row: &PointRow) -> AccessPoint {
    AccessPoint {
        arn: access_point::arn(own.partition(), region, account, name),
        account,
        region: region.to_owned(),
        name: name.to_owned(),
        bucket: row.bucket.clone(),
    }
}

fn access_denied() -> Error {
    Error::new(&e::ACCESS_DENIED, "Access Denied")
}

/// What the access point says of an ask about its bucket, and the condition keys that come with it.
pub fn grants(
    tx: &Tx,
    cx: &Cx,
    point: &AccessPoint,
    bucket: &BucketRow,
    key: &str,
) -> Result<(Through, api::AskContext), Error> {
    if !OPERATIONS.split_ascii_whitespace().any(|name| name == cx.operation.name) {
        let text = "The specified method is not allowed against this resource.";
        return Err(Error::new(&e::METHOD_NOT_ALLOWED, text).detail("ResourceType", "ACCESSPOINT"));
    }
    let row = access_point::find(tx, point.account, &point.region, &point.name)?;
    // One that leads to a bucket that went, and was made anew, leads nowhere.
    let row = row.filter(|row| row.bucket_number == bucket.number).ok_or_else(none)?;
    if row.vpc.is_some() {
        // No request here comes from a network that an access point could name.
        return Err(access_denied());
    }
    let policy = match &row.policy {
        Some(text) => {
            let own = principals_for(text, &row.policy_ids, &cx.caller);
            let parsed = Policy::parse(Kind::Bucket, own.as_deref().unwrap_or(text));
            Some(parsed.map_err(|e| Error::internal(format!("{e:?}")))?)
        }
        None => None,
    };
    let stranger = cx.caller.account != Some(point.account)
        && cx.caller.principal.kind() != PrincipalKind::Service;
    if stranger && policy.as_ref().is_some_and(Policy::is_public) {
        let account = account_block::of(tx, point.account)?;
        if row.block.restrict || account.restrict {
            return Err(access_denied());
        }
    }
    let resource = match key {
        "" => point.arn.clone(),
        key => format!("{}/object/{key}", point.arn),
    };
    let policy = policy.map(|policy| api::NamedPolicy {
        name: "access point policy".into(),
        policy: Arc::new(policy),
    });
    let context = [
        ("s3:dataaccesspointarn", point.arn.clone()),
        ("s3:dataaccesspointaccount", point.account.to_string()),
        ("s3:accesspointnetworkorigin", row.origin().to_owned()),
    ];
    let context = context.into_iter().map(|(name, value)| (name.into(), vec![value]));
    let tags = row.tags.iter().map(|(key, value)| {
        (format!("s3:accesspointtag/{}", key.to_ascii_lowercase()).into(), vec![value.clone()])
    });
    let context = context.chain(tags).collect();
    Ok((Through { resource, owner: point.account, policy }, context))
}
