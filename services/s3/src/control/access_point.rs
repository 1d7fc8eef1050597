//! Access points: made, shown, listed, removed; their policies.

use super::account_block::{self, from_document, to_document};
use super::{check_account, tags};
use crate::bucket;
use crate::rows::*;
use api::{Cx, Error, Tx};
use base::{AccountId, Entropy, Timestamp};
use directory::{principal_ids, principals_now};
use gen_s3control::{errors as e, *};
use policy::{Foreign, Kind, Policy, PolicyError, foreign_partition};
use std::collections::BTreeMap;
use store::{Scope, Table, row};

/// By region and name, in the scope of the account whose they are.
pub const POINTS: Table<(String, String), PointRow> = Table::new(0x011a, "s3.access_point");
/// By alias, in the global scope: whose it is.
pub const ALIASES: Table<String, AliasRow> = Table::new(0x011b, "s3.access_point_alias");
/// By number of the bucket, account, region and name; in the scope of the bucket's owner.
const OF_BUCKET: Table<(u64, AccountId, String, String), ()> =
    Table::new(0x011c, "s3.access_point_of_bucket");

/// Access points of an account in a region (`Access Points`, L-FAABEEBA).
const POINTS_MAX: usize = 10_000;
const PAGE_MAX: usize = 1000;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=50;
/// An alias begins with as much of the name as fits.
const ALIAS_STEM_MAX: usize = 20;
const ALIAS_CHANCE: usize = 34;
pub const ALIAS_END: &str = "-s3alias";

row! {
    pub struct PointRow {
        1 => bucket: String,
        2 => bucket_owner: AccountId,
        3 => bucket_number: u64,
        4 => created: Timestamp,
        5 => alias: String,
        /// Where it takes requests of one network alone.
        6 => vpc: Option<String>,
        7 => block: PublicAccessRow,
        8 => policy: Option<String>,
        9 => tags: BTreeMap<String, String>,
        /// The unique ids of those whom the policy names, by their ARNs.
        10 => policy_ids: BTreeMap<String, String>,
    }
}

row! {
    pub struct AliasRow {
        1 => account: AccountId,
        2 => region: String,
        3 => name: String,
    }
}

impl PointRow {
    pub fn origin(&self) -> &'static str {
        if self.vpc.is_some() { "VPC" } else { "Internet" }
    }
}

pub fn arn(partition: base::Partition, region: &str, account: AccountId, name: &str) -> String {
    format!("arn:{}:s3:{region}:{account}:accesspoint/{name}", partition.as_str())
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-restrictions-limitations-naming-rules.html>
fn is_name(name: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    NAME_CHARS.contains(&bytes.len())
        && bytes.iter().all(|b| edge(Some(b)) || *b == b'-')
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.starts_with("xn--")
        && !["-s3alias", "--xa-s3", "--ol-s3"].iter().any(|end| name.ends_with(end))
}

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_REQUEST, text)
}

pub fn not_found(name: &str) -> Error {
    Error::new(&e::NO_SUCH_ACCESS_POINT, "The specified accesspoint does not exist")
        .detail("AccessPointName", name)
}

pub fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateAccessPointInput,
) -> Result<CreateAccessPointOutput, Error> {
    let account = check_account(cx, &input.account_id)?;
    let (region, name) = (cx.region.as_str(), input.name.as_str());
    if !is_name(name) {
        return Err(invalid("Your Amazon S3 AccessPoint name is invalid"));
    }
    let bucket = tx.get_shared(&BUCKETS, &Scope::Global, &input.bucket)?.ok_or_else(|| {
        Error::new(&e::NO_SUCH_BUCKET, "The specified bucket does not exist")
            .detail("BucketName", &input.bucket)
    })?;
    let said = match &input.bucket_account_id {
        Some(id) => AccountId::parse(id),
        None => Some(account),
    };
    if said != Some(bucket.owner) {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    if bucket.region != region {
        return Err(invalid("The bucket and the access point must be in the same region"));
    }
    let scope = Scope::Account(account);
    if tx.get(&POINTS, &scope, &(region, name))?.is_some() {
        let text = "Your previous request to create the named accesspoint succeeded and you already own it.";
        return Err(Error::new(&e::ACCESS_POINT_ALREADY_OWNED_BY_YOU, text));
    }
    let there = tx.scan(&POINTS, &scope).prefix(&(region,)).keys().take(POINTS_MAX).count();
    if there == POINTS_MAX {
        let text = "You have attempted to create more access points than allowed";
        return Err(Error::new(&e::TOO_MANY_ACCESS_POINTS, text));
    }
    // All is blocked unless the request says otherwise.
    let block = match &input.public_access_block_configuration {
        Some(given) => from_document(given),
        None => PublicAccessRow {
            block_acls: true,
            ignore_acls: true,
            block_policy: true,
            restrict: true,
        },
    };
    let alias = new_alias(&*cx.entropy, name);
    let row = PointRow {
        bucket: input.bucket.clone(),
        bucket_owner: bucket.owner,
        bucket_number: bucket.number,
        created: tx.now(),
        alias: alias.clone(),
        vpc: input.vpc_configuration.as_ref().map(|vpc| vpc.vpc_id.clone()),
        block,
        policy: None,
        tags: tags::given(input.tags.as_deref().unwrap_or_default())?,
        policy_ids: BTreeMap::new(),
    };
    tx.put(&POINTS, &scope, &(region, name), &row)?;
    let of = AliasRow { account, region: region.to_owned(), name: name.to_owned() };
    tx.put(&ALIASES, &Scope::Global, &alias, &of)?;
    let place = (bucket.number, account, region, name);
    tx.put(&OF_BUCKET, &bucket::scope(&bucket), &place, &())?;
    Ok(CreateAccessPointOutput {
        access_point_arn: Some(arn(cx.partition(), region, account, name)),
        alias: Some(alias),
    })
}

/// `NAME-CHANCE-s3alias`.
fn new_alias(entropy: &dyn Entropy, name: &str) -> String {
    let stem = name[..name.len().min(ALIAS_STEM_MAX)].trim_end_matches('-');
    let chance = entropy.text(b"abcdefghijklmnopqrstuvwxyz0123456789", ALIAS_CHANCE);
    format!("{stem}-{chance}{ALIAS_END}")
}

/// Whether some access point leads to the bucket.
pub fn attached(tx: &Tx, bucket: &BucketRow) -> Result<bool, Error> {
    Ok(tx.first(&OF_BUCKET, &bucket::scope(bucket), &(bucket.number,))?.is_some())
}

pub fn find(
    tx: &Tx,
    account: AccountId,
    region: &str,
    name: &str,
) -> Result<Option<std::sync::Arc<PointRow>>, Error> {
    Ok(tx.get_shared(&POINTS, &Scope::Account(account), &(region, name))?)
}

fn own(tx: &Tx, cx: &Cx, account: &str, name: &str) -> Result<(AccountId, PointRow), Error> {
    let account = check_account(cx, account)?;
    let row = tx.get(&POINTS, &Scope::Account(account), &(cx.region.as_str(), name))?;
    row.map(|row| (account, row)).ok_or_else(|| not_found(name))
}

fn vpc(row: &PointRow) -> Option<VpcConfiguration> {
    row.vpc.clone().map(|vpc_id| VpcConfiguration { vpc_id })
}

pub fn get(tx: &Tx, cx: &Cx, input: &GetAccessPointInput) -> Result<GetAccessPointOutput, Error> {
    let (account, row) = own(tx, cx, &input.account_id, &input.name)?;
    let host = |middle: &str| format!("s3-accesspoint{middle}.{}.amazonaws.com", cx.region);
    let endpoints = [
        ("dualstack", host(".dualstack")),
        ("fips", host("-fips")),
        ("fips_dualstack", host("-fips.dualstack")),
        ("ipv4", host("")),
    ];
    let endpoints: BTreeMap<_, _> =
        endpoints.into_iter().map(|(name, host)| (name.to_owned(), host)).collect();
    Ok(GetAccessPointOutput {
        name: Some(input.name.clone()),
        bucket: Some(row.bucket.clone()),
        network_origin: Some(row.origin().to_owned()),
        vpc_configuration: vpc(&row),
        public_access_block_configuration: Some(to_document(row.block)),
        creation_date: Some(row.created),
        alias: Some(row.alias.clone()),
        access_point_arn: Some(arn(cx.partition(), cx.region.as_str(), account, &input.name)),
        endpoints: Some(endpoints),
        bucket_account_id: Some(row.bucket_owner.to_string()),
        ..GetAccessPointOutput::default()
    })
}

pub fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListAccessPointsInput,
) -> Result<ListAccessPointsOutput, Error> {
    let account = check_account(cx, &input.account_id)?;
    let max = input.max_results.map_or(PAGE_MAX, |max| max.clamp(0, PAGE_MAX as i32) as usize);
    let region = cx.region.as_str();
    let place = cx.token_place(&[region, input.bucket.as_deref().unwrap_or("")]);
    let scope = Scope::Account(account);
    let mut rows = tx.scan(&POINTS, &scope).prefix(&(region,));
    if let Some(token) = &input.next_token {
        let after = cx.door.open_token(&place, token).ok_or_else(|| {
            Error::new(&e::INVALID_ARGUMENT, "The next token provided is incorrect")
                .detail("ArgumentName", "nextToken")
        })?;
        rows = rows.after(&(region, after.as_str()));
    }
    let (mut page, mut next) = (Vec::<AccessPoint>::new(), None);
    for item in rows {
        let ((_, name), row) = item?;
        if input.bucket.as_ref().is_some_and(|bucket| *bucket != row.bucket) {
            continue;
        }
        if page.len() == max {
            next = page.last().map(|last| cx.door.seal_token(&place, &last.name));
            break;
        }
        page.push(AccessPoint {
            network_origin: row.origin().to_owned(),
            vpc_configuration: vpc(&row),
            access_point_arn: Some(arn(cx.partition(), region, account, &name)),
            name,
            bucket: row.bucket,
            alias: Some(row.alias),
            bucket_account_id: Some(row.bucket_owner.to_string()),
            ..AccessPoint::default()
        });
    }
    Ok(ListAccessPointsOutput { access_point_list: Some(page), next_token: next })
}

pub fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteAccessPointInput,
) -> Result<DeleteAccessPointOutput, Error> {
    let (account, row) = own(tx, cx, &input.account_id, &input.name)?;
    let (region, name) = (cx.region.as_str(), input.name.as_str());
    tx.delete(&POINTS, &Scope::Account(account), &(region, name))?;
    tx.delete(&ALIASES, &Scope::Global, &row.alias)?;
    let place = (row.bucket_number, account, region, name);
    tx.delete(&OF_BUCKET, &Scope::Account(row.bucket_owner), &place)?;
    Ok(DeleteAccessPointOutput::default())
}

/// An account loses all that it has; what stands in its own scope goes without this.
pub fn forget_all(tx: &mut Tx, account: AccountId) -> Result<(), Error> {
    let points: Vec<_> = tx.scan(&POINTS, &Scope::Account(account)).collect::<Result<_, _>>()?;
    for ((region, name), row) in points {
        tx.delete(&ALIASES, &Scope::Global, &row.alias)?;
        let place = (row.bucket_number, account, region.as_str(), name.as_str());
        tx.delete(&OF_BUCKET, &Scope::Account(row.bucket_owner), &place)?;
    }
    Ok(())
}

pub fn put_policy(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutAccessPointPolicyInput,
) -> Result<PutAccessPointPolicyOutput, Error> {
    let (account, mut row) = own(tx, cx, &input.account_id, &input.name)?;
    let (region, name) = (cx.region.as_str(), input.name.as_str());
    let own_arn = arn(cx.partition(), region, account, name);
    let policy = Policy::check_access_point(&input.policy, &own_arn).map_err(|error| {
        Error::new(
            &e::MALFORMED_POLICY,
            match &error {
                PolicyError::Malformed(text) => text.clone(),
                PolicyError::TooLarge { .. } => error.to_string(),
            },
        )
    })?;
    let blocks = row.block.block_policy || account_block::of(tx, account)?.block_policy;
    if blocks && policy.is_public() {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    cx.warn_of_keys(&policy);
    let nobody = |arn: String| {
        Error::new(&e::MALFORMED_POLICY, "Invalid principal in policy")
            .detail("Detail", format!("\"AWS\" : \"{arn}\""))
    };
    if let Some(Foreign::Principal(arn)) = foreign_partition(&input.policy, cx.partition().as_str())
    {
        return Err(nobody(arn));
    }
    row.policy_ids = principal_ids(tx, &policy)?.map_err(nobody)?;
    row.policy = Some(input.policy.clone());
    tx.put(&POINTS, &Scope::Account(account), &(region, name), &row)?;
    Ok(PutAccessPointPolicyOutput::default())
}

fn no_policy(name: &str) -> Error {
    Error::new(&e::NO_SUCH_ACCESS_POINT_POLICY, "The specified accesspoint policy does not exist")
        .detail("AccessPointName", name)
}

pub fn get_policy(
    tx: &Tx,
    cx: &Cx,
    input: &GetAccessPointPolicyInput,
) -> Result<GetAccessPointPolicyOutput, Error> {
    let (_, row) = own(tx, cx, &input.account_id, &input.name)?;
    let policy = row.policy.ok_or_else(|| no_policy(&input.name))?;
    let now = principals_now(tx, &policy, &row.policy_ids)?;
    Ok(GetAccessPointPolicyOutput { policy: Some(now.into_owned()) })
}

pub fn delete_policy(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteAccessPointPolicyInput,
) -> Result<DeleteAccessPointPolicyOutput, Error> {
    let (account, mut row) = own(tx, cx, &input.account_id, &input.name)?;
    row.policy = None;
    row.policy_ids.clear();
    let place = (cx.region.as_str(), input.name.as_str());
    tx.put(&POINTS, &Scope::Account(account), &place, &row)?;
    Ok(DeleteAccessPointPolicyOutput::default())
}

pub fn policy_status(
    tx: &Tx,
    cx: &Cx,
    input: &GetAccessPointPolicyStatusInput,
) -> Result<GetAccessPointPolicyStatusOutput, Error> {
    let (_, row) = own(tx, cx, &input.account_id, &input.name)?;
    let text = row.policy.ok_or_else(|| no_policy(&input.name))?;
    let policy =
        Policy::parse(Kind::Bucket, &text).map_err(|e| Error::internal(format!("{e:?}")))?;
    let status = PolicyStatus { is_public: Some(policy.is_public()) };
    Ok(GetAccessPointPolicyStatusOutput { policy_status: Some(status) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::SeededEntropy;

    #[test]
    fn names() {
        for good in ["abc", "a-1", &"a".repeat(50)] {
            assert!(is_name(good), "{good}");
        }
        for bad in
            ["ab", "Abc", "a.b", "a_b", "-ab", "ab-", "xn--ab", "ab-s3alias", &"a".repeat(51)]
        {
            assert!(!is_name(bad), "{bad}");
        }
        let alias = new_alias(&SeededEntropy::new(1), "finance-of-the-whole-world");
        assert!(alias.starts_with("finance-of-the-whole-") && alias.len() <= 63, "{alias}");
    }
}
