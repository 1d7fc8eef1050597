//! Bucket policies and access control lists, put and shown.

use crate::acl::{self, Asked};
use crate::rows::*;
use crate::{bucket, events, get_object, names, object, public_access, replication};
use api::{Ask, Cx, Error, Tx};
use directory::{principal_ids, principals_now};
use gen_s3::errors as e;
use gen_s3::*;
use policy::{Foreign, Policy, PolicyError, foreign_partition};
use store::Scope;

pub fn put_policy(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketPolicyInput,
) -> Result<PutBucketPolicyOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    let policy =
        Policy::check_bucket(&input.policy, &input.bucket).map_err(|error| match &error {
            PolicyError::Malformed(text) => Error::new(&e::MALFORMED_POLICY, text),
            PolicyError::TooLarge { .. } => Error::new(&e::MALFORMED_POLICY, error.to_string()),
        })?;
    public_access::check_policy(tx, &bucket, &policy)?;
    cx.warn_of_keys(&policy);
    let nobody = |arn: String| {
        Error::new(&e::MALFORMED_POLICY, "Invalid principal in policy")
            .detail("Detail", format!("\"AWS\" : \"{arn}\""))
    };
    match foreign_partition(&input.policy, cx.partition().as_str()) {
        Some(Foreign::Principal(arn)) => return Err(nobody(arn)),
        Some(Foreign::Resource(..)) => {
            return Err(Error::new(&e::MALFORMED_POLICY, "Policy has invalid resource"));
        }
        None => {}
    }
    bucket.policy_ids = principal_ids(tx, &policy)?.map_err(nobody)?;
    bucket.policy = Some(input.policy.clone());
    bucket.policy_version = tx.version() + 1;
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutBucketPolicyOutput::default())
}

pub fn get_policy(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketPolicyInput,
) -> Result<GetBucketPolicyOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    match &bucket.policy {
        Some(policy) => {
            let now = principals_now(tx, policy, &bucket.policy_ids)?;
            Ok(GetBucketPolicyOutput { policy: Some(now.into_owned()) })
        }
        None => Err(Error::new(&e::NO_SUCH_BUCKET_POLICY, "The bucket policy does not exist")
            .detail("BucketName", &input.bucket)),
    }
}

pub fn delete_policy(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketPolicyInput,
) -> Result<DeleteBucketPolicyOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    bucket.policy = None;
    bucket.policy_ids.clear();
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(DeleteBucketPolicyOutput::default())
}

/// The list that a request puts: a document or headers, not both, and not neither.
fn list_given(
    document: &Option<AccessControlPolicy>,
    asked: &Asked<'_>,
    owner: base::AccountId,
    bucket_owner: Option<base::AccountId>,
) -> Result<Vec<GrantRow>, Error> {
    match (document, asked.is_empty()) {
        (Some(_), false) => {
            let text = "This request does not support content";
            Err(Error::new(&e::UNEXPECTED_CONTENT, text))
        }
        (Some(document), true) => acl::from_document(document, owner),
        (None, false) => asked.grants(owner, bucket_owner),
        (None, true) => {
            let text = "Your request was missing a required header";
            Err(Error::with_code("MissingSecurityHeader", 400, text)
                .detail("MissingHeaderName", "x-amz-acl"))
        }
    }
}

macro_rules! asked {
    ($input:expr) => {
        Asked {
            canned: &$input.acl,
            full_control: &$input.grant_full_control,
            read: &$input.grant_read,
            write: &$input.grant_write,
            read_acp: &$input.grant_read_acp,
            write_acp: &$input.grant_write_acp,
        }
    };
}

fn refuse_if_enforced(bucket: &BucketRow) -> Result<(), Error> {
    if bucket.ownership == Ownership::BucketOwnerEnforced {
        let text = "The bucket does not allow ACLs";
        return Err(Error::new(&e::ACCESS_CONTROL_LIST_NOT_SUPPORTED, text));
    }
    Ok(())
}

pub fn authorize_put_bucket_acl(cx: &Cx, input: &PutBucketAclInput) -> Vec<Ask> {
    let arn = names::bucket_arn(cx.partition(), &input.bucket);
    vec![asked!(input).keys(Ask::new("s3:PutBucketAcl", arn))]
}

pub fn put_bucket_acl(
    tx: &mut Tx,
    _: &Cx,
    input: &PutBucketAclInput,
) -> Result<PutBucketAclOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    refuse_if_enforced(&bucket)?;
    let asked = asked!(input);
    bucket.acl = list_given(&input.access_control_policy, &asked, bucket.owner, None)?;
    public_access::check_acl(tx, &bucket, &bucket.acl)?;
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutBucketAclOutput::default())
}

pub fn get_bucket_acl(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketAclInput,
) -> Result<GetBucketAclOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let grants = match bucket.ownership {
        Ownership::BucketOwnerEnforced => vec![acl::full_control(bucket.owner)],
        _ => bucket.acl.clone(),
    };
    Ok(GetBucketAclOutput {
        owner: Some(acl::owner(bucket.owner)),
        grants: Some(acl::to_document(&grants)),
    })
}

fn object_ask(cx: &Cx, verb: &str, bucket: &str, key: &str, version: &Option<String>) -> Ask {
    let arn = names::object_arn(cx.partition(), bucket, key);
    match version {
        Some(version) => Ask::new(format!("s3:{verb}ObjectVersionAcl"), arn)
            .key("s3:versionid", Some(version.as_str())),
        None => Ask::new(format!("s3:{verb}ObjectAcl"), arn),
    }
}

pub fn authorize_put_object_acl(cx: &Cx, input: &PutObjectAclInput) -> Vec<Ask> {
    let ask = object_ask(cx, "Put", &input.bucket, &input.key, &input.version_id);
    vec![asked!(input).keys(ask)]
}

pub fn authorize_get_object_acl(cx: &Cx, input: &GetObjectAclInput) -> Vec<Ask> {
    vec![object_ask(cx, "Get", &input.bucket, &input.key, &input.version_id)]
}

pub fn put_object_acl(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutObjectAclInput,
) -> Result<PutObjectAclOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    refuse_if_enforced(&bucket)?;
    let mut row = get_object::version(tx, cx, &bucket, &input.key, &input.version_id)?;
    let asked = asked!(input);
    row.acl = list_given(&input.access_control_policy, &asked, row.owner, Some(bucket.owner))?;
    public_access::check_acl(tx, &bucket, &row.acl)?;
    replication::changed(tx, &bucket, &input.key, &mut row)?;
    object::rewrite(tx, &bucket, &input.key, &row)?;
    let of = events::Of::new(&bucket, &input.bucket, &input.key, &row);
    events::tell(tx, cx, "ObjectAcl:Put", of)?;
    Ok(PutObjectAclOutput::default())
}

pub fn get_object_acl(
    tx: &Tx,
    cx: &Cx,
    input: &GetObjectAclInput,
) -> Result<GetObjectAclOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let row = get_object::version(tx, cx, &bucket, &input.key, &input.version_id)?;
    Ok(GetObjectAclOutput {
        owner: Some(acl::owner(row.owner)),
        grants: Some(acl::to_document(&row.acl)),
        request_charged: None,
    })
}
