//! Buckets themselves: made, found, listed, removed; location and versioning.

use crate::acl::{self, Asked};
use crate::names::check_bucket_name;
use crate::rows::*;
use crate::{config, control, events, lifecycle, names, public_access, replication, tagging};
use api::{Ask, Cx, Error, Tx};
use base::AccountId;
use gen_s3::errors as e;
use gen_s3::*;
use policy::PrincipalKind;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Scope;

/// Buckets in one account unless its quota is raised (`Buckets`, L-DC2B2D3D).
const BUCKETS_MAX: usize = 10_000;
/// Buckets in one page of a listing.
const LIST_MAX: i32 = 10_000;

pub fn no_such_bucket(name: &str) -> Error {
    Error::new(&e::NO_SUCH_BUCKET, "The specified bucket does not exist").detail("BucketName", name)
}

/// The bucket of that name, or the error that there is none.
pub fn find(tx: &Tx, name: &str) -> Result<Arc<BucketRow>, Error> {
    match tx.get_shared(&BUCKETS, &Scope::Global, name)? {
        Some(bucket) => Ok(bucket),
        None => {
            // An alias of an access point that is gone is no bucket's name, and yet well formed.
            if !name.ends_with(control::ALIAS_END) {
                check_bucket_name(name)?;
            }
            Err(no_such_bucket(name))
        }
    }
}

/// [`find`], where the client may have said whose it must be.
pub fn find_expected(tx: &Tx, name: &str, owner: &Option<String>) -> Result<Arc<BucketRow>, Error> {
    let bucket = find(tx, name)?;
    match owner {
        Some(owner) if *owner != bucket.owner.to_string() => {
            Err(Error::new(&e::ACCESS_DENIED, "Access Denied"))
        }
        _ => Ok(bucket),
    }
}

/// Notes that the bucket has something from now on, or has it no more.
pub fn set_feature(
    tx: &mut Tx,
    name: &str,
    bucket: &BucketRow,
    feature: Feature,
    on: bool,
) -> Result<(), Error> {
    let features = match on {
        true => bucket.features | feature as u32,
        false => bucket.features & !(feature as u32),
    };
    if features != bucket.features {
        let changed = BucketRow { features, ..bucket.clone() };
        tx.put(&BUCKETS, &Scope::Global, name, &changed)?;
    }
    Ok(())
}

/// [`find_expected`], to be changed and put.
pub fn find_to_change(tx: &Tx, name: &str, owner: &Option<String>) -> Result<BucketRow, Error> {
    find_expected(tx, name, owner).map(Arc::unwrap_or_clone)
}

pub fn scope(bucket: &BucketRow) -> Scope {
    Scope::Account(bucket.owner)
}

/// What a new bucket is like unless its maker says so.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Defaults {
    /// As until April 2023: writers own their objects, lists and policies may make things public.
    /// The labs of 2018 count on it.
    #[default]
    Of2018,
    /// The bucket's owner owns all, and nothing can be made public.
    OfToday,
}

/// Names that only an account's own region knows are not here.
fn check_namespace(asked: &Option<String>) -> Result<(), Error> {
    match asked.as_deref() {
        None | Some("global") => Ok(()),
        Some("account-regional") => {
            let text = "BucketNamespace account-regional of CreateBucket is not implemented";
            Err(Error::with_code("NotImplemented", 501, text))
        }
        Some(other) => {
            Err(Error::new(&e::INVALID_ARGUMENT, "Invalid x-amz-bucket-namespace header")
                .detail("ArgumentName", "x-amz-bucket-namespace")
                .detail("ArgumentValue", other))
        }
    }
}

fn asked(input: &CreateBucketInput) -> Asked<'_> {
    Asked {
        canned: &input.acl,
        full_control: &input.grant_full_control,
        read: &input.grant_read,
        write: &input.grant_write,
        read_acp: &input.grant_read_acp,
        write_acp: &input.grant_write_acp,
    }
}

/// The tags that a new bucket is to have.
fn tags_given(input: &CreateBucketInput) -> impl Iterator<Item = &Tag> {
    let document = input.create_bucket_configuration.as_ref();
    document.and_then(|document| document.tags.as_ref()).into_iter().flatten()
}

/// To make a bucket, and what it takes to make it other than all are.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>
pub fn authorize_create(cx: &Cx, input: &CreateBucketInput) -> Vec<Ask> {
    let arn = names::bucket_arn(cx.partition(), &input.bucket);
    let location = input.create_bucket_configuration.as_ref();
    let location = location.and_then(|document| document.location_constraint.as_deref());
    let tagged = |ask| {
        let tags = tags_given(input).map(|tag| (tag.key.as_str(), tag.value.as_str()));
        tagging::with_resource_tags(ask, tags)
    };
    let make = asked(input)
        .keys(Ask::new("s3:CreateBucket", &arn))
        .key("s3:locationconstraint", location)
        .key("s3:x-amz-object-ownership", input.object_ownership.as_deref());
    let mut asks = vec![tagged(make)];
    if asked_beyond_private(&asked(input)) {
        asks.push(asked(input).keys(Ask::new("s3:PutBucketAcl", &arn)));
    }
    if input.object_lock_enabled_for_bucket == Some(true) {
        asks.push(Ask::new("s3:PutBucketObjectLockConfiguration", &arn));
        asks.push(Ask::new("s3:PutBucketVersioning", &arn));
    }
    if input.object_ownership.is_some() {
        asks.push(Ask::new("s3:PutBucketOwnershipControls", &arn));
    }
    if tags_given(input).next().is_some() {
        asks.push(tagged(Ask::new("s3:TagResource", &arn)));
    }
    asks
}

/// What only directory buckets have.
fn check_document(input: &CreateBucketInput) -> Result<(), Error> {
    let Some(document) = &input.create_bucket_configuration else { return Ok(()) };
    let given = [("Location", document.location.is_some()), ("Bucket", document.bucket.is_some())];
    match given.into_iter().find(|(_, given)| *given) {
        Some((member, _)) => {
            let text =
                format!("{member} in CreateBucketConfiguration of CreateBucket is not implemented");
            Err(Error::with_code("NotImplemented", 501, text))
        }
        None => Ok(()),
    }
}

pub fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateBucketInput,
    defaults: Defaults,
) -> Result<CreateBucketOutput, Error> {
    let name = &input.bucket;
    check_bucket_name(name)?;
    check_namespace(&input.bucket_namespace)?;
    check_document(input)?;
    let location = location_asked(cx, input)?;
    let ownership = match input.object_ownership.as_deref() {
        None if defaults == Defaults::OfToday => Ownership::BucketOwnerEnforced,
        None | Some("ObjectWriter") => Ownership::ObjectWriter,
        Some("BucketOwnerPreferred") => Ownership::BucketOwnerPreferred,
        Some("BucketOwnerEnforced") => Ownership::BucketOwnerEnforced,
        Some(other) => {
            return Err(Error::new(&e::INVALID_ARGUMENT, "Invalid x-amz-object-ownership header")
                .detail("ArgumentName", "x-amz-object-ownership")
                .detail("ArgumentValue", other));
        }
    };
    let asked = asked(input);
    if ownership == Ownership::BucketOwnerEnforced && asked_beyond_private(&asked) {
        return Err(Error::new(
            &e::INVALID_BUCKET_ACL_WITH_OBJECT_OWNERSHIP,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    let acl = asked.grants(cx.account, None)?;
    check_public(tx, cx, &acl, defaults)?;
    let output =
        CreateBucketOutput { location: Some(format!("/{name}")), ..CreateBucketOutput::default() };
    if let Some(there) = tx.get(&BUCKETS, &Scope::Global, name)? {
        // In us-east-1 making one's own bucket again is answered as done, as it always was.
        return match there.owner == cx.account {
            true if there.location.is_empty() && location.is_empty() => {
                make_again(tx, name, there, acl)?;
                Ok(output)
            }
            true => Err(Error::new(
                &e::BUCKET_ALREADY_OWNED_BY_YOU,
                "Your previous request to create the named bucket succeeded and you already own it.",
            )
            .detail("BucketName", name)),
            false => Err(Error::new(
                &e::BUCKET_ALREADY_EXISTS,
                "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.",
            )
            .detail("BucketName", name)),
        };
    }
    let owned = Scope::Account(cx.account);
    if tx.scan(&BUCKETS_OF_ACCOUNT, &owned).keys().take(BUCKETS_MAX).count() == BUCKETS_MAX {
        let text = "You have attempted to create more buckets than allowed";
        return Err(Error::new(&e::TOO_MANY_BUCKETS, text));
    }
    let bucket = BucketRow {
        number: tx.version() + 1,
        owner: cx.account,
        region: if location.is_empty() { "us-east-1".into() } else { cx.region.to_string() },
        created: tx.now(),
        versioning: match input.object_lock_enabled_for_bucket {
            Some(true) => Versioning::Enabled,
            _ => Versioning::Unversioned,
        },
        acl,
        policy: None,
        policy_version: 0,
        policy_ids: BTreeMap::new(),
        ownership,
        location,
        public_access: (defaults == Defaults::OfToday).then_some(PublicAccessRow {
            block_acls: true,
            ignore_acls: true,
            block_policy: true,
            restrict: true,
        }),
        lock: input.object_lock_enabled_for_bucket.unwrap_or(false).then(LockRow::default),
        encryption: None,
        ownership_said: input.object_ownership.is_some() || defaults == Defaults::OfToday,
        features: 0,
    };
    tx.put(&BUCKETS, &Scope::Global, name, &bucket)?;
    tx.put(&BUCKETS_OF_ACCOUNT, &owned, name, &())?;
    let tags: Vec<_> = tags_given(input).map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    if !tags.is_empty() {
        tagging::set_of_bucket(tx, cx, &bucket, tags)?;
    }
    Ok(output)
}

/// A bucket that is made once more has the list that it would have if it were new.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html#API_CreateBucket_Errors>
fn make_again(
    tx: &mut Tx,
    name: &str,
    mut bucket: BucketRow,
    acl: Vec<GrantRow>,
) -> Result<(), Error> {
    if bucket.ownership == Ownership::BucketOwnerEnforced || bucket.acl == acl {
        return Ok(());
    }
    public_access::check_acl(tx, &bucket, &acl)?;
    bucket.acl = acl;
    Ok(tx.put(&BUCKETS, &Scope::Global, name, &bucket)?)
}

/// A list that everybody has a part in cannot be that of a new bucket where new buckets block such lists, or
/// the account does for all of its own.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-options>
fn check_public(tx: &Tx, cx: &Cx, acl: &[GrantRow], defaults: Defaults) -> Result<(), Error> {
    if !acl::is_public(acl) {
        return Ok(());
    }
    if defaults == Defaults::OfToday {
        let text = "Bucket cannot have public ACLs set with BlockPublicAccess enabled";
        return Err(Error::with_code("InvalidBucketAclWithBlockPublicAccessError", 400, text));
    }
    match control::account_block(tx, cx.account)?.block_acls {
        true => Err(Error::new(&e::ACCESS_DENIED, "Access Denied")),
        false => Ok(()),
    }
}

fn asked_beyond_private(asked: &Asked<'_>) -> bool {
    !asked.is_empty()
        && asked
            .canned
            .as_deref()
            .is_none_or(|c| c != "private" && c != "bucket-owner-full-control")
}

/// The location constraint: empty for us-east-1, else that of the endpoint the client talks to.
fn location_asked(cx: &Cx, input: &CreateBucketInput) -> Result<String, Error> {
    let asked = input
        .create_bucket_configuration
        .as_ref()
        .and_then(|c| c.location_constraint.clone())
        .unwrap_or_default();
    let region = cx.region.as_str();
    let ok = match asked.as_str() {
        "" => region == "us-east-1",
        "EU" => region == "eu-west-1",
        "us-east-1" => {
            return Err(Error::new(
                &e::INVALID_LOCATION_CONSTRAINT,
                "The specified location-constraint is not valid",
            )
            .detail("LocationConstraint", asked));
        }
        // From us-east-1, the endpoint that redirects to all others, any region may be named.
        other => other == region || region == "us-east-1",
    };
    if ok {
        return Ok(asked);
    }
    let name = if asked.is_empty() { "unspecified" } else { &asked };
    Err(Error::new(
        &e::ILLEGAL_LOCATION_CONSTRAINT_EXCEPTION,
        format!(
            "The {name} location constraint is incompatible for the region specific endpoint this request was sent to."
        ),
    ))
}

pub fn delete(tx: &mut Tx, _: &Cx, input: &DeleteBucketInput) -> Result<DeleteBucketOutput, Error> {
    let name = &input.bucket;
    let bucket = find_expected(tx, name, &input.expected_bucket_owner)?;
    let scope = scope(&bucket);
    if tx.first(&OBJECTS, &scope, &(bucket.number,))?.is_some() {
        let text = "The bucket you tried to delete is not empty";
        return Err(match bucket.versioning {
            Versioning::Unversioned => Error::new(&e::BUCKET_NOT_EMPTY, text),
            _ => Error::new(
                &e::BUCKET_NOT_EMPTY,
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket.",
            ),
        }
        .detail("BucketName", name));
    }
    if control::attached(tx, &bucket)? {
        let text = "Bucket has access points attached and cannot be deleted.";
        return Err(
            Error::with_code("BucketHasAccessPointsAttached", 400, text).detail("BucketName", name)
        );
    }
    tx.mark_freeing();
    config::delete_all(tx, &bucket)?;
    lifecycle::forget(tx, &bucket)?;
    events::forget(tx, &bucket)?;
    replication::forget(tx, &bucket)?;
    tx.enqueue(&lifecycle::BUCKET, &(bucket.owner, bucket.number))?;
    tx.delete(&BUCKETS, &Scope::Global, name)?;
    tx.delete(&BUCKETS_OF_ACCOUNT, &scope, name)?;
    Ok(DeleteBucketOutput::default())
}

/// An account loses all its buckets, with all that is in them. The tables given back are left to jobs.
pub fn forget_all(tx: &mut Tx, account: AccountId) -> Result<Vec<u16>, Error> {
    let scope = Scope::Account(account);
    let names: Vec<String> =
        tx.scan(&BUCKETS_OF_ACCOUNT, &scope).keys().collect::<Result<_, _>>()?;
    for name in &names {
        if let Some(bucket) = tx.get(&BUCKETS, &Scope::Global, name)? {
            tx.enqueue(&lifecycle::BUCKET, &(account, bucket.number))?;
            tx.delete(&BUCKETS, &Scope::Global, name)?;
        }
    }
    control::forget_all(tx, account)?;
    Ok(vec![OBJECTS.id(), VERSIONS.id(), UPLOADS.id(), PARTS.id()])
}

pub fn head(tx: &Tx, cx: &Cx, input: &HeadBucketInput) -> Result<HeadBucketOutput, Error> {
    let bucket = find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    Ok(HeadBucketOutput {
        bucket_region: Some(bucket.region.clone()),
        access_point_alias: Some(cx.http.access_point.is_some()),
        ..HeadBucketOutput::default()
    })
}

pub fn list(tx: &Tx, cx: &Cx, input: &ListBucketsInput) -> Result<ListBucketsOutput, Error> {
    let max = input.max_buckets.unwrap_or(LIST_MAX);
    if !(1..=LIST_MAX).contains(&max) {
        let text = "Argument max-buckets must be an integer between 1 and 10000";
        return Err(Error::new(&e::INVALID_ARGUMENT, text)
            .detail("ArgumentName", "max-buckets")
            .detail("ArgumentValue", max.to_string()));
    }
    let owned = Scope::Account(cx.account);
    let prefix = input.prefix.clone().unwrap_or_default();
    let mut names = tx.scan(&BUCKETS_OF_ACCOUNT, &owned).prefix(&store::Stem(&prefix));
    let place = cx.token_place(&[&prefix]);
    if let Some(token) = &input.continuation_token {
        let after = cx.door.open_token(&place, token).ok_or_else(|| {
            Error::new(&e::INVALID_ARGUMENT, "The continuation token provided is incorrect")
                .detail("ArgumentName", "continuation-token")
        })?;
        names = names.after(after.as_str());
    }
    let mut buckets = Vec::new();
    let mut more = None;
    while let Some(name) = names.next_key()? {
        if buckets.len() == max as usize {
            let last = buckets.last().and_then(|b: &Bucket| b.name.as_deref());
            more = last.map(|name| cx.door.seal_token(&place, name));
            break;
        }
        let Some(row) = tx.get(&BUCKETS, &Scope::Global, &name)? else { continue };
        if input.bucket_region.as_ref().is_some_and(|region| *region != row.region) {
            continue;
        }
        buckets.push(Bucket {
            name: Some(name),
            creation_date: Some(row.created),
            bucket_region: input.max_buckets.map(|_| row.region),
            ..Bucket::default()
        });
    }
    Ok(ListBucketsOutput {
        buckets: Some(buckets),
        owner: Some(acl::owner(cx.account)),
        continuation_token: more,
        prefix: input.prefix.clone(),
    })
}

pub fn location(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketLocationInput,
) -> Result<GetBucketLocationOutput, Error> {
    let bucket = find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    Ok(GetBucketLocationOutput { location_constraint: Some(bucket.location.clone()) })
}

/// MFA delete takes a code of a device of the root of the bucket's account, and no root has one here: AWS
/// gives it one in its console alone.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/MultiFactorAuthenticationDelete.html>
fn check_mfa(cx: &Cx, bucket: &BucketRow, input: &PutBucketVersioningInput) -> Result<(), Error> {
    match input.versioning_configuration.mfa_delete.as_deref() {
        // It is off, and what is off may be turned off.
        None | Some("Disabled") => return Ok(()),
        Some("Enabled") => {}
        Some(_) => return Err(crate::malformed_xml()),
    }
    let is_root = cx.caller.principal.kind() == PrincipalKind::Root
        && cx.caller.account == Some(bucket.owner);
    let text = match is_root {
        false => "This operation may only be performed by the bucket owner",
        true => "Mfa Authentication must be used for this request",
    };
    Err(Error::new(&e::ACCESS_DENIED, text))
}

pub fn put_versioning(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketVersioningInput,
) -> Result<PutBucketVersioningOutput, Error> {
    let mut bucket = find_to_change(tx, &input.bucket, &input.expected_bucket_owner)?;
    check_mfa(cx, &bucket, input)?;
    let wanted = input.versioning_configuration.status.as_deref();
    if bucket.lock.is_some() && wanted == Some("Suspended") {
        return Err(Error::new(
            &e::INVALID_BUCKET_STATE,
            "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
        ));
    }
    if wanted == Some("Suspended") && replication::is_configured(tx, &bucket)? {
        return Err(Error::new(
            &e::INVALID_BUCKET_STATE,
            "A replication configuration is present on this bucket, so the versioning state cannot be changed. To change the versioning state, first delete the replication configuration.",
        ));
    }
    bucket.versioning = match wanted {
        Some("Enabled") => Versioning::Enabled,
        Some("Suspended") => Versioning::Suspended,
        _ => {
            return Err(Error::new(
                &e::ILLEGAL_VERSIONING_CONFIGURATION_EXCEPTION,
                "The Versioning element must be specified",
            ));
        }
    };
    tx.put(&BUCKETS, &Scope::Global, &input.bucket, &bucket)?;
    Ok(PutBucketVersioningOutput::default())
}

pub fn get_versioning(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketVersioningInput,
) -> Result<GetBucketVersioningOutput, Error> {
    let bucket = find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let status = match bucket.versioning {
        Versioning::Unversioned => None,
        Versioning::Enabled => Some("Enabled".to_owned()),
        Versioning::Suspended => Some("Suspended".to_owned()),
    };
    Ok(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() })
}
