//! What S3 asks of a bucket policy beyond its form: the resources lie in the bucket, and each
//! action applies to one of the statement's resources.

use crate::arn_pattern::split_fields;
use crate::context::Context;
use crate::document::{either, statements, texts};
use crate::error::PolicyError;
use crate::json::Json;
use crate::pattern::{Case, Found, Pattern};

/// Actions on objects, without `s3:`
/// (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>).
const OBJECT_ACTIONS: &str = "AbortMultipartUpload BypassGovernanceRetention DeleteObject \
    DeleteObjectTagging DeleteObjectVersion DeleteObjectVersionTagging GetObject GetObjectAcl \
    GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent \
    GetObjectVersion GetObjectVersionAcl GetObjectVersionAttributes GetObjectVersionForReplication \
    GetObjectVersionTagging GetObjectVersionTorrent InitiateReplication ListMultipartUploadParts \
    ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl PutObjectLegalHold PutObjectRetention \
    PutObjectTagging PutObjectVersionAcl PutObjectVersionTagging ReplicateDelete ReplicateObject \
    ReplicateTags RestoreObject UpdateObjectEncryption";

const BUCKET_ACTIONS: &str = "CreateBucket DeleteBucket DeleteBucketPolicy DeleteBucketWebsite \
    GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketAcl GetBucketCORS \
    GetBucketLocation GetBucketLogging GetBucketNotification GetBucketObjectLockConfiguration \
    GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketPublicAccessBlock \
    GetBucketRequestPayment GetBucketTagging GetBucketVersioning GetBucketWebsite \
    GetEncryptionConfiguration GetIntelligentTieringConfiguration GetInventoryConfiguration \
    GetLifecycleConfiguration GetMetricsConfiguration GetReplicationConfiguration ListBucket \
    ListBucketMultipartUploads ListBucketVersions PutAccelerateConfiguration \
    PutAnalyticsConfiguration PutBucketAcl PutBucketCORS PutBucketLogging PutBucketNotification \
    PutBucketObjectLockConfiguration PutBucketOwnershipControls PutBucketPolicy \
    PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging PutBucketVersioning \
    PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration \
    PutInventoryConfiguration PutLifecycleConfiguration PutMetricsConfiguration \
    PutReplicationConfiguration";

pub(crate) fn check(document: &Json, bucket: &str) -> Result<(), PolicyError> {
    for statement in statements(document).unwrap_or_default() {
        let list = |plain, not| {
            let (negated, json) = either(statement, plain, not)?;
            Some((negated, texts(json)?))
        };
        let Some((negated, resources)) = list("Resource", "NotResource") else { continue };
        let mut kinds = (false, false);
        for resource in resources {
            match lies_in(resource, bucket) {
                Some((names_bucket, names_objects)) => {
                    kinds.0 |= names_bucket;
                    kinds.1 |= names_objects;
                }
                None => return Err(PolicyError::new("Policy has invalid resource")),
            }
        }
        let Some((false, actions)) = list("Action", "NotAction") else { continue };
        if !negated && !actions.iter().all(|action| applies(action, kinds)) {
            let message = "Action does not apply to any resource(s) in statement";
            return Err(PolicyError::new(message));
        }
    }
    Ok(())
}

/// Each resource is the access point of that ARN, or objects that are reached through it.
pub(crate) fn check_access_point(document: &Json, arn: &str) -> Result<(), PolicyError> {
    for statement in statements(document).unwrap_or_default() {
        let resources =
            either(statement, "Resource", "NotResource").and_then(|(_, json)| texts(json));
        for resource in resources.into_iter().flatten() {
            let rest = resource.strip_prefix(arn);
            if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("/object/")) {
                return Err(PolicyError::new("Policy has invalid resource"));
            }
        }
    }
    Ok(())
}

/// Whether the resource names the bucket and whether it names objects in it. `None` if it lies
/// elsewhere.
fn lies_in(resource: &str, bucket: &str) -> Option<(bool, bool)> {
    let fields = split_fields(resource, true);
    let ["arn", _, "s3", "", "", path] = fields[..] else { return None };
    let (name, key) = match path.split_once('/') {
        Some((name, key)) => (name, Some(key)),
        None => (path, None),
    };
    let fits = Pattern::new(name, false).matches(bucket, Case::Exact, &Context::new());
    match (fits, key) {
        (Found::Yes, Some(_)) => Some((false, true)),
        // `bucket*` reaches into the keys.
        (Found::Yes, None) => Some((true, name.contains('*'))),
        _ => None,
    }
}

/// An action that is in neither list, a new one say, applies to anything.
fn applies(action: &str, (bucket, object): (bool, bool)) -> bool {
    let pattern = Pattern::new(action, false);
    let none = Context::new();
    let covers = |list: &str| {
        list.split_ascii_whitespace().any(|name| {
            let full = format!("s3:{name}");
            pattern.matches(&full, Case::Ignore, &none) == Found::Yes
        })
    };
    let (of_bucket, of_object) = (covers(BUCKET_ACTIONS), covers(OBJECT_ACTIONS));
    (of_bucket && bucket) || (of_object && object) || !(of_bucket || of_object)
}
