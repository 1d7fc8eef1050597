//! Amazon S3 Control: access points, and what an account blocks for all of its buckets.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points.html>
//!
//! Invariants: an access point's name is taken once in an account and region, its alias once in the
//! cloud; a bucket goes only when no access point leads to it. Requests through one are in [`through`].
//!
//! Deliberately absent: scopes of access points, which only directory buckets have (refused by name),
//! those of several regions, of Outposts and of functions.

mod access_point;
mod account_block;
mod tags;
mod through;

pub use access_point::{ALIAS_END, attached, forget_all};
pub use account_block::of as account_block;
pub use through::{find, grants};

use crate::{bucket, checksum, grants as bucket_grants, tagging};
use api::{Ask, Cx, Error, Grants, Hooks, Tx};
use base::{AccountId, Arn};
use gen_s3control::*;
use smithy::Headers;
use smithy::model::Operation;

/// The service beside [`crate::S3`]; it keeps nothing but rows.
#[derive(Debug, Default)]
pub struct Control;

/// Whoever asks must be of the account that is asked about.
fn check_account(cx: &Cx, id: &str) -> Result<AccountId, Error> {
    match AccountId::parse(id).filter(|account| *account == cx.account) {
        Some(account) => Ok(account),
        None => Err(Error::new(&errors::ACCESS_DENIED, "Access Denied")),
    }
}

fn ask(cx: &Cx, action: &'static str, account: &str, name: &str) -> Vec<Ask> {
    let (partition, region) = (cx.partition().as_str(), &cx.region);
    vec![Ask::new(action, format!("arn:{partition}:s3:{region}:{account}:accesspoint/{name}"))]
}

use crate::{reads, writes};

macro_rules! asks {
    ($($name:ident($input:ty) = $action:literal;)*) => {$(
        fn $name(&self, cx: &Cx, input: &$input) -> Result<Vec<Ask>, Error> {
            Ok(ask(cx, $action, &input.account_id, &input.name))
        }
    )*};
}
impl S3ControlApi for Control {
    fn authorize_get_access_point(
        &self,
        _: &Cx,
        _: &GetAccessPointInput,
    ) -> Result<Vec<Ask>, Error> {
        // The one of them that AWS asks without a resource.
        Ok(vec![Ask::new("s3:GetAccessPoint", "*")])
    }

    fn authorize_create_access_point(
        &self,
        cx: &Cx,
        input: &CreateAccessPointInput,
    ) -> Result<Vec<Ask>, Error> {
        let mut asks = ask(cx, "s3:CreateAccessPoint", &input.account_id, &input.name);
        if let Some(given) = &input.tags {
            asks.extend(ask(cx, "s3:TagResource", &input.account_id, &input.name));
            asks = asks.into_iter().map(|ask| tags::with_tags(ask, given)).collect();
        }
        Ok(asks)
    }

    fn authorize_tag_resource(&self, _: &Cx, input: &TagResourceInput) -> Result<Vec<Ask>, Error> {
        let ask = Ask::new("s3:TagResource", input.resource_arn.as_str());
        Ok(vec![tags::with_tags(ask, &input.tags)])
    }

    fn authorize_untag_resource(
        &self,
        _: &Cx,
        input: &UntagResourceInput,
    ) -> Result<Vec<Ask>, Error> {
        let mut ask = Ask::new("s3:UntagResource", input.resource_arn.as_str());
        ask.context.push(("aws:tagkeys".into(), input.tag_keys.clone()));
        Ok(vec![ask])
    }

    fn authorize_list_tags_for_resource(
        &self,
        _: &Cx,
        input: &ListTagsForResourceInput,
    ) -> Result<Vec<Ask>, Error> {
        Ok(vec![Ask::new("s3:ListTagsForResource", input.resource_arn.as_str())])
    }

    asks! {
        authorize_delete_access_point(DeleteAccessPointInput) = "s3:DeleteAccessPoint";
        authorize_put_access_point_policy(PutAccessPointPolicyInput) = "s3:PutAccessPointPolicy";
        authorize_get_access_point_policy(GetAccessPointPolicyInput) = "s3:GetAccessPointPolicy";
        authorize_delete_access_point_policy(DeleteAccessPointPolicyInput) = "s3:DeleteAccessPointPolicy";
        authorize_get_access_point_policy_status(GetAccessPointPolicyStatusInput) = "s3:GetAccessPointPolicyStatus";
    }

    reads! {
        get_access_point(GetAccessPointInput) -> GetAccessPointOutput = access_point::get;
        list_access_points(ListAccessPointsInput) -> ListAccessPointsOutput = access_point::list;
        get_access_point_policy(GetAccessPointPolicyInput) -> GetAccessPointPolicyOutput = access_point::get_policy;
        get_access_point_policy_status(GetAccessPointPolicyStatusInput) -> GetAccessPointPolicyStatusOutput = access_point::policy_status;
        get_public_access_block(GetPublicAccessBlockInput) -> GetPublicAccessBlockOutput = account_block::get;
        list_tags_for_resource(ListTagsForResourceInput) -> ListTagsForResourceOutput = tags::list;
    }

    writes! {
        create_access_point(CreateAccessPointInput) -> CreateAccessPointOutput = access_point::create;
        tag_resource(TagResourceInput) -> TagResourceOutput = tags::tag;
        untag_resource(UntagResourceInput) -> UntagResourceOutput = tags::untag;
        delete_access_point(DeleteAccessPointInput) -> DeleteAccessPointOutput = access_point::delete;
        put_access_point_policy(PutAccessPointPolicyInput) -> PutAccessPointPolicyOutput = access_point::put_policy;
        delete_access_point_policy(DeleteAccessPointPolicyInput) -> DeleteAccessPointPolicyOutput = access_point::delete_policy;
        put_public_access_block(PutPublicAccessBlockInput) -> PutPublicAccessBlockOutput = account_block::put;
        delete_public_access_block(DeletePublicAccessBlockInput) -> DeletePublicAccessBlockOutput = account_block::delete;
    }
}

impl Hooks for Control {
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
        let Some(arn) = Arn::parse(&ask.resource) else { return Ok(Grants::default()) };
        if let Some(name) = tags::bucket_of(&arn) {
            let bucket = bucket::find(tx, name)?;
            let policy = bucket.policy.as_deref().map(bucket_grants::named).transpose()?;
            let context = tags::existing(&tagging::of_bucket(tx, &bucket)?);
            return Ok(Grants { owner: Some(bucket.owner), policy, context, ..Grants::default() });
        }
        let Some(owner) = AccountId::parse(&arn.account) else { return Ok(Grants::default()) };
        let point = match arn.resource.strip_prefix("accesspoint/") {
            Some(name) => access_point::find(tx, owner, &arn.region, name)?,
            None => None,
        };
        let context = point.map(|point| tags::existing(&point.tags)).unwrap_or_default();
        Ok(Grants { owner: Some(owner), context, ..Grants::default() })
    }
}
