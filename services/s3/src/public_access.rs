//! The public access block and object ownership: settings of a bucket that narrow what its policy
//! and its access control lists give.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html>

use crate::rows::*;
use crate::{acl, bucket, control, malformed_xml};
use api::{Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use policy::{Kind, Policy};
use store::Scope;

fn access_denied() -> Error {
    Error::new(&e::ACCESS_DENIED, "Access Denied")
}

/// What the bucket blocks, and what its account blocks for all of them.
pub fn of(tx: &Tx, bucket: &BucketRow) -> Result<PublicAccessRow, Error> {
    let own = bucket.public_access.unwrap_or_default();
    let account = control::account_block(tx, bucket.owner)?;
    Ok(PublicAccessRow {
        block_acls: own.block_acls || account.block_acls,
        ignore_acls: own.ignore_acls || account.ignore_acls,
        block_policy: own.block_policy || account.block_policy,
        restrict: own.restrict || account.restrict,
    })
}

/// Refuses an access control list that everybody, or everybody with an account, has a part in.
pub fn check_acl(tx: &Tx, bucket: &BucketRow, grants: &[GrantRow]) -> Result<(), Error> {
    match acl::is_public(grants) && of(tx, bucket)?.block_acls {
        true => Err(access_denied()),
        false => Ok(()),
    }
}

pub fn check_policy(tx: &Tx, bucket: &BucketRow, policy: &Policy) -> Result<(), Error> {
    match policy.is_public() && of(tx, bucket)?.block_policy {
        true => Err(access_denied()),
        false => Ok(()),
    }
}

pub fn get(
    tx: &Tx,
    _: &Cx,
    input: &GetPublicAccessBlockInput,
) -> Result<GetPublicAccessBlockOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let Some(row) = bucket.public_access else {
        let text = "The public access block configuration was not found";
        return Err(Error::new(&e::NO_SUCH_PUBLIC_ACCESS_BLOCK_CONFIGURATION, text)
            .detail("BucketName", &input.bucket));
    };
    let document = PublicAccessBlockConfiguration {
        block_public_acls: Some(row.block_acls),
        ignore_public_acls: Some(row.ignore_acls),
        block_public_policy: Some(row.block_policy),
        restrict_public_buckets: Some(row.restrict),
    };
    Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(document) })
}

pub fn put(
    tx: &mut Tx,
    _: &Cx,
    input: &PutPublicAccessBlockInput,
) -> Result<PutPublicAccessBlockOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    let given = &input.public_access_block_configuration;
    bucket.public_access = Some(PublicAccessRow {
        block_acls: given.block_public_acls == Some(true),
        ignore_acls: given.ignore_public_acls == Some(true),
        block_policy: given.block_public_policy == Some(true),
        restrict: given.restrict_public_buckets == Some(true),
    });
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutPublicAccessBlockOutput::default())
}

pub fn delete(
    tx: &mut Tx,
    _: &Cx,
    input: &DeletePublicAccessBlockInput,
) -> Result<DeletePublicAccessBlockOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    bucket.public_access = None;
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(DeletePublicAccessBlockOutput::default())
}

pub fn policy_status(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketPolicyStatusInput,
) -> Result<GetBucketPolicyStatusOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let Some(text) = &bucket.policy else {
        return Err(Error::new(&e::NO_SUCH_BUCKET_POLICY, "The bucket policy does not exist")
            .detail("BucketName", &input.bucket));
    };
    let policy =
        Policy::parse(Kind::Bucket, text).map_err(|e| Error::internal(format!("{e:?}")))?;
    let status = PolicyStatus { is_public: Some(policy.is_public()) };
    Ok(GetBucketPolicyStatusOutput { policy_status: Some(status) })
}

impl Ownership {
    pub fn name(self) -> &'static str {
        match self {
            Ownership::ObjectWriter => "ObjectWriter",
            Ownership::BucketOwnerPreferred => "BucketOwnerPreferred",
            Ownership::BucketOwnerEnforced => "BucketOwnerEnforced",
        }
    }

    pub fn parse(name: &str) -> Option<Ownership> {
        use Ownership::*;
        [ObjectWriter, BucketOwnerPreferred, BucketOwnerEnforced]
            .into_iter()
            .find(|ownership| ownership.name() == name)
    }
}

pub fn get_ownership(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketOwnershipControlsInput,
) -> Result<GetBucketOwnershipControlsOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    if !bucket.ownership_said && bucket.ownership == Ownership::ObjectWriter {
        let text = "The bucket ownership controls were not found";
        return Err(Error::new(&e::OWNERSHIP_CONTROLS_NOT_FOUND_ERROR, text)
            .detail("BucketName", &input.bucket));
    }
    let rule = OwnershipControlsRule { object_ownership: bucket.ownership.name().into() };
    let controls = OwnershipControls { rules: vec![rule] };
    Ok(GetBucketOwnershipControlsOutput { ownership_controls: Some(controls) })
}

pub fn put_ownership(
    tx: &mut Tx,
    _: &Cx,
    input: &PutBucketOwnershipControlsInput,
) -> Result<PutBucketOwnershipControlsOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    let [rule] = &input.ownership_controls.rules[..] else { return Err(malformed_xml()) };
    let ownership = Ownership::parse(&rule.object_ownership).ok_or_else(malformed_xml)?;
    if ownership == Ownership::BucketOwnerEnforced
        && bucket.acl != [acl::full_control(bucket.owner)]
    {
        return Err(Error::new(
            &e::INVALID_BUCKET_ACL_WITH_OBJECT_OWNERSHIP,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    bucket.ownership = ownership;
    bucket.ownership_said = true;
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutBucketOwnershipControlsOutput::default())
}

pub fn delete_ownership(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketOwnershipControlsInput,
) -> Result<DeleteBucketOwnershipControlsOutput, Error> {
    let mut bucket = bucket::find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    bucket.ownership = Ownership::ObjectWriter;
    bucket.ownership_said = false;
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(DeleteBucketOwnershipControlsOutput::default())
}
