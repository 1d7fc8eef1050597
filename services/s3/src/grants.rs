//! What buckets and objects say about who may use them.

use crate::rows::BucketRow;
use crate::{S3, acl, bucket, checksum, object};
use api::{Ask, Cx, Error, Grants, Hooks, NamedPolicy, Tx};
use policy::{Kind, Policy};
use smithy::Headers;
use smithy::model::Operation;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Parsed policies that are kept; beyond that the cache starts anew.
const CACHED_MAX: usize = 1024;

/// Bucket policies by bucket number and policy version, parsed once.
#[derive(Debug, Default)]
pub struct PolicyCache(Mutex<BTreeMap<(u64, u64), NamedPolicy>>);

impl PolicyCache {
    fn get(&self, bucket: &BucketRow) -> Result<Option<NamedPolicy>, Error> {
        let Some(text) = &bucket.policy else { return Ok(None) };
        let key = (bucket.number, bucket.policy_version);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = cached.get(&key) {
            return Ok(Some(policy.clone()));
        }
        // It was checked when it was put, so this is damage or a bug of ours: refuse, never allow.
        let policy =
            Policy::parse(Kind::Bucket, text).map_err(|e| Error::internal(format!("{e:?}")))?;
        let named = NamedPolicy { name: "bucket policy".into(), policy: Arc::new(policy) };
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(key, named.clone());
        Ok(Some(named))
    }
}

/// Bucket and key of an ARN of S3; the key is empty for the bucket itself.
fn split_arn(resource: &str) -> Option<(&str, &str)> {
    let rest = resource.splitn(6, ':').nth(5)?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

impl Hooks for S3 {
    fn check_body(
        &self,
        operation: &'static Operation,
        headers: &dyn Headers,
        body: &[u8],
        trailers: &[(String, String)],
    ) -> Result<(), Error> {
        checksum::check_whole(operation, headers, body, trailers)
    }

    fn grants(&self, tx: &Tx, _: &Cx, ask: &Ask) -> Result<Grants, Error> {
        let Some((name, _)) = split_arn(&ask.resource) else { return Ok(Grants::default()) };
        if ask.action == "s3:CreateBucket" {
            return Ok(Grants::default());
        }
        let bucket = bucket::find(tx, name)?;
        let policy = self.policies.get(&bucket)?;
        Ok(Grants { owner: Some(bucket.owner), policy, ..Grants::default() })
    }

    fn acl_allows(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<bool, Error> {
        let Some((name, key)) = split_arn(&ask.resource) else { return Ok(false) };
        let bucket = bucket::find(tx, name)?;
        if let Some(allowed) = acl::bucket_allows(&bucket, &cx.caller, &ask.action) {
            return Ok(allowed);
        }
        let version = ask.context.iter().find(|(name, _)| name == "s3:versionid");
        let version = version.and_then(|(_, values)| values.first()).map(String::as_str);
        match object::find(tx, &bucket, key, version)? {
            Some(object) if !object.delete_marker => {
                Ok(acl::object_allows(&object, &cx.caller, &ask.action))
            }
            // What is not there is answered as what may not be listed.
            _ => Ok(acl::bucket_allows(&bucket, &cx.caller, "s3:ListBucket").unwrap_or(false)),
        }
    }
}
