//! What buckets and objects say about who may use them.

use crate::rows::{BucketRow, Feature};
use crate::{
    S3, acl, bucket, checksum, control, cors, encryption, events, inventory, lifecycle, logging,
    multipart, names, object, public_access, replication, restore, tagging, website,
};
use api::{
    Access, AccessPoint, Ask, Background, CrossOrigin, Cx, Error, Grants, Hooks, Jobs, NamedPolicy,
    OriginAnswer, Through, Tx, WebAnswer, WebFailure, WebRequest,
};
use base::{AccountId, Region};
use directory::principals_for;
use gen_s3::errors as e;
use gen_s3::{
    AbortMultipartUploadInput, CompleteMultipartUploadInput, ListObjectVersionsInput,
    ListObjectsInput, ListObjectsV2Input, ListPartsInput, PutBucketInventoryConfigurationInput,
    UploadPartInput,
};
use policy::{Kind, Policy, PrincipalKind};
use smithy::Headers;
use smithy::model::Operation;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Names the upload that an ask is about. No policy can: condition keys have no spaces.
const UPLOAD: &str = "s3 upload";
/// Parsed policies that are kept; beyond that the cache starts anew.
const CACHED_MAX: usize = 1024;

/// Bucket policies by bucket number and policy version, parsed once.
#[derive(Debug, Default)]
pub struct PolicyCache(Mutex<BTreeMap<(u64, u64), NamedPolicy>>);

impl PolicyCache {
    fn get(&self, bucket: &BucketRow, cx: &Cx) -> Result<Option<NamedPolicy>, Error> {
        let Some(text) = &bucket.policy else { return Ok(None) };
        if let Some(own) = principals_for(text, &bucket.policy_ids, &cx.caller) {
            return named(&own).map(Some);
        }
        let key = (bucket.number, bucket.policy_version);
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = cached.get(&key) {
            return Ok(Some(policy.clone()));
        }
        let named = named(text)?;
        if cached.len() >= CACHED_MAX {
            cached.clear();
        }
        cached.insert(key, named.clone());
        Ok(Some(named))
    }
}

pub fn named(text: &str) -> Result<NamedPolicy, Error> {
    // It was checked when it was put, so this is damage or a bug of ours: refuse, never allow.
    let policy =
        Policy::parse(Kind::Bucket, text).map_err(|e| Error::internal(format!("{e:?}")))?;
    Ok(NamedPolicy { name: "bucket policy".into(), policy: Arc::new(policy) })
}

/// Bucket and key of an ARN of S3; the key is empty for the bucket itself. All buckets are none.
fn split_arn(resource: &str) -> Option<(&str, &str)> {
    // Asked several times for each request: plain bytes, since the searches of `str` cost more.
    let mut colons = resource.bytes().enumerate().filter(|(_, byte)| *byte == b':');
    let (fifth, _) = colons.nth(4)?;
    let rest = &resource[fifth + 1..];
    if rest == "*" {
        return None;
    }
    let slash = rest.bytes().position(|byte| byte == b'/');
    Some(slash.map_or((rest, ""), |at| (&rest[..at], &rest[at + 1..])))
}

/// Access point and key, where a resource is named by an access point's ARN or alias: the source of a copy.
fn of_point(resource: &str) -> Option<(&str, &str)> {
    let mut colons = resource.bytes().enumerate().filter(|(_, byte)| *byte == b':');
    let (fourth, _) = colons.nth(3)?;
    let end = colons.next().map_or(resource.len(), |(fifth, _)| fifth);
    if fourth + 1 < end {
        return resource.split_once("/object/");
    }
    split_arn(resource).filter(|(name, _)| name.ends_with(control::ALIAS_END))
}

fn version_asked(ask: &Ask) -> Option<&str> {
    let version = ask.context.iter().find(|(name, _)| name == "s3:versionid");
    version.and_then(|(_, values)| values.first()).map(String::as_str)
}

/// A restricted bucket with a public policy is for its owner's account and for services alone.
fn refuse_restricted(
    tx: &Tx,
    bucket: &BucketRow,
    policy: Option<&NamedPolicy>,
    cx: &Cx,
) -> Result<(), Error> {
    let stranger = cx.caller.account != Some(bucket.owner)
        && cx.caller.principal.kind() != PrincipalKind::Service;
    if stranger
        && policy.is_some_and(|policy| policy.policy.is_public())
        && public_access::of(tx, bucket)?.restrict
    {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    Ok(())
}

/// Where requesters pay, those of other accounts say that they will, and nobody cannot.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html>
fn charge(bucket: &BucketRow, cx: &Cx) -> Result<(), Error> {
    let stranger = cx.caller.account != Some(bucket.owner)
        && cx.caller.principal.kind() != PrincipalKind::Service;
    if !bucket.has(Feature::RequesterPays) || !stranger {
        return Ok(());
    }
    if cx.caller.account.is_none() || !cx.http.requester_pays {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    cx.header("x-amz-request-charged", "requester");
    Ok(())
}

/// Whether somebody's policy may ask for the tags of the object: looking them up costs a read.
fn wants_tags(bucket: &BucketRow, cx: &Cx, action: &str, through: Option<&Through>) -> bool {
    const NAME: &str = "existingobjecttag";
    let about_tags = |text: &String| text.to_ascii_lowercase().contains(NAME);
    let takes = !matches!(action, "s3:DeleteObject" | "s3:DeleteObjectVersion");
    let identity = matches!(
        cx.caller.principal.kind(),
        PrincipalKind::User | PrincipalKind::Session | PrincipalKind::FederatedUser
    );
    let by_point = through.is_some_and(|through| through.policy.is_some());
    takes && (identity || by_point || bucket.policy.as_ref().is_some_and(about_tags))
}

fn existing_tags(
    tx: &Tx,
    bucket: &BucketRow,
    key: &str,
    ask: &Ask,
) -> Result<api::AskContext, Error> {
    let object = object::find_shared(tx, bucket, key, version_asked(ask))?;
    Ok(object
        .filter(|row| !row.delete_marker)
        .map(|row| tagging::existing(&row))
        .unwrap_or_default())
}

const CUSTOMER: &str = "s3:x-amz-server-side-encryption-customer-algorithm";

/// The keys for which the request has a value.
fn given<const N: usize>(ask: &mut Ask, keys: [(&'static str, &Option<String>); N]) {
    for (name, value) in keys {
        ask.context.extend(value.iter().map(|own| (name.into(), vec![own.clone()])));
    }
}

/// What a listing is asked for, as conditions name it.
fn listing(ask: &mut Ask, prefix: &Option<String>, delimiter: &Option<String>, max: Option<i32>) {
    let max = max.map(|max| max.to_string());
    given(ask, [("s3:prefix", prefix), ("s3:delimiter", delimiter), ("s3:max-keys", &max)]);
}

impl S3 {
    /// What the bucket behind an access point grants for one of its objects.
    fn grants_of_source(
        &self,
        tx: &Tx,
        cx: &Cx,
        ask: &Ask,
        (given, key): (&str, &str),
    ) -> Result<Grants, Error> {
        let found = control::find(tx, given, &cx.region)?;
        let point = found.ok_or_else(|| bucket::no_such_bucket(given))?;
        let bucket = bucket::find(tx, &point.bucket)?;
        let policy = self.policies.get(&bucket, cx)?;
        refuse_restricted(tx, &bucket, policy.as_ref(), cx)?;
        charge(&bucket, cx)?;
        let (through, mut context) = control::grants(tx, cx, &point, &bucket, key)?;
        context.extend(existing_tags(tx, &bucket, key, ask)?);
        Ok(Grants {
            owner: Some(bucket.owner),
            policy,
            context,
            through: Some(through),
            resource: Some(names::object_arn(cx.partition(), &point.bucket, key)),
            ..Grants::default()
        })
    }
}

impl Hooks for S3 {
    fn website(&self, tx: &Tx, asked: &WebRequest<'_>) -> Result<WebAnswer, Error> {
        website::first(tx, asked)
    }

    fn website_failed(
        &self,
        tx: &Tx,
        asked: &WebRequest<'_>,
        status: u16,
    ) -> Result<WebFailure, Error> {
        website::failed(tx, asked, status)
    }

    fn jobs(&self, jobs: &mut Jobs, with: &Background) {
        lifecycle::jobs(jobs, &with.entropy);
        events::jobs(jobs);
        restore::jobs(jobs);
        logging::jobs(jobs, with);
        replication::jobs(jobs, with);
        inventory::jobs(jobs, with);
    }

    fn forget_account(&self, tx: &mut Tx, account: AccountId) -> Result<Vec<u16>, Error> {
        bucket::forget_all(tx, account)
    }

    fn access_point(
        &self,
        tx: &Tx,
        given: &str,
        region: &Region,
    ) -> Result<Option<AccessPoint>, Error> {
        control::find(tx, given, region)
    }

    fn logs_accesses(&self, tx: &Tx, bucket: &str) -> bool {
        logging::is_logged(tx, bucket)
    }

    fn log_accesses(&self, tx: &mut Tx, accesses: &[Access]) -> Result<(), Error> {
        logging::note(tx, accesses)
    }

    fn cross_origin(
        &self,
        tx: &Tx,
        bucket: &str,
        asked: &CrossOrigin<'_>,
    ) -> Result<OriginAnswer, Error> {
        cors::allowed(tx, bucket, asked)
    }

    fn check_body(
        &self,
        operation: &'static Operation,
        headers: &dyn Headers,
        body: &[u8],
        trailers: &[(String, String)],
    ) -> Result<(), Error> {
        encryption::check_headers(operation, headers)?;
        checksum::check_whole(operation, headers, body, trailers)
    }

    fn context(&self, operation: &str, _: &Cx, input: &dyn smithy::Struct, ask: &mut Ask) {
        match operation {
            "ListObjects" => {
                let input: &ListObjectsInput = api::cast(input);
                listing(ask, &input.prefix, &input.delimiter, input.max_keys);
            }
            "ListObjectsV2" => {
                let input: &ListObjectsV2Input = api::cast(input);
                listing(ask, &input.prefix, &input.delimiter, input.max_keys);
            }
            "ListObjectVersions" => {
                let input: &ListObjectVersionsInput = api::cast(input);
                listing(ask, &input.prefix, &input.delimiter, input.max_keys);
            }
            "AbortMultipartUpload" => {
                let input: &AbortMultipartUploadInput = api::cast(input);
                ask.context.push((UPLOAD.into(), vec![input.upload_id.clone()]));
            }
            "ListParts" => {
                let input: &ListPartsInput = api::cast(input);
                ask.context.push((UPLOAD.into(), vec![input.upload_id.clone()]));
            }
            "UploadPart" => {
                let input: &UploadPartInput = api::cast(input);
                ask.context.push(names::creates_object(false));
                given(ask, [(CUSTOMER, &input.sse_customer_algorithm)]);
            }
            "CompleteMultipartUpload" => {
                let input: &CompleteMultipartUploadInput = api::cast(input);
                ask.context.push(names::creates_object(true));
                let keys = [
                    (CUSTOMER, &input.sse_customer_algorithm),
                    ("s3:if-match", &input.if_match),
                    ("s3:if-none-match", &input.if_none_match),
                ];
                given(ask, keys);
            }
            "PutBucketInventoryConfiguration" => {
                let input: &PutBucketInventoryConfigurationInput = api::cast(input);
                let fields = input.inventory_configuration.optional_fields.clone();
                let name = "s3:inventoryaccessibleoptionalfields";
                ask.context.extend(fields.map(|fields| (name.into(), fields)));
            }
            _ => {}
        }
    }

    fn grants(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<Grants, Error> {
        // There is none yet that could grant anything.
        if cx.operation.name == "CreateBucket" {
            return Ok(Grants::default());
        }
        if let Some(source) = of_point(&ask.resource) {
            return self.grants_of_source(tx, cx, ask, source);
        }
        let Some((name, key)) = split_arn(&ask.resource) else { return Ok(Grants::default()) };
        let bucket = bucket::find(tx, name)?;
        if bucket.has(Feature::Logging) {
            cx.touch(name, key, &ask.action);
        }
        let policy = self.policies.get(&bucket, cx)?;
        // Root of the owning account can always mend a policy that shuts everybody out.
        let mends = matches!(
            ask.action.as_ref(),
            "s3:GetBucketPolicy" | "s3:PutBucketPolicy" | "s3:DeleteBucketPolicy"
        );
        let is_owner = cx.caller.account == Some(bucket.owner);
        let direct = cx.http.access_point.is_none();
        if mends && direct && is_owner && cx.caller.principal.kind() == PrincipalKind::Root {
            return Ok(Grants { owner: Some(bucket.owner), ..Grants::default() });
        }
        refuse_restricted(tx, &bucket, policy.as_ref(), cx)?;
        charge(&bucket, cx)?;
        let (through, mut context) = match &cx.http.access_point {
            Some(point) if point.bucket == name => {
                let (through, keys) = control::grants(tx, cx, point, &bucket, key)?;
                (Some(through), keys)
            }
            _ => (None, Vec::new()),
        };
        if !key.is_empty() && wants_tags(&bucket, cx, &ask.action, through.as_ref()) {
            context.extend(existing_tags(tx, &bucket, key, ask)?);
        }
        Ok(Grants { owner: Some(bucket.owner), policy, context, through, ..Grants::default() })
    }

    fn acl_allows(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<bool, Error> {
        let Some((name, key)) = split_arn(&ask.resource) else { return Ok(false) };
        let bucket = bucket::find(tx, name)?;
        if let Some((_, id)) = ask.context.iter().find(|(name, _)| name == UPLOAD) {
            // Who began an upload may see its parts and give it up.
            let id = id.first().map_or("", String::as_str);
            let owner = multipart::owner(tx, &bucket, key, id)?;
            return Ok(owner.is_some() && owner == cx.caller.account);
        }
        let public = !public_access::of(tx, &bucket)?.ignore_acls;
        if let Some(allowed) = acl::bucket_allows(&bucket, public, &cx.caller, &ask.action) {
            return Ok(allowed);
        }
        match object::find_shared(tx, &bucket, key, version_asked(ask))? {
            Some(object) if !object.delete_marker => {
                Ok(acl::object_allows(&object, public, &cx.caller, &ask.action))
            }
            // Who may list the bucket may know of what is not there that it is not.
            _ => {
                let list = Ask::new("s3:ListBucket", names::bucket_arn(cx.partition(), name));
                Ok(cx.authorize(tx, &list.key("s3:prefix", Some(key))).is_ok())
            }
        }
    }
}
