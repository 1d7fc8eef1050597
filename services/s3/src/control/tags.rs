//! Tags of access points and of buckets, by their ARNs.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-tagging.html>

use super::access_point::{self, POINTS, PointRow};
use super::check_account;
use crate::rows::{BUCKETS, BucketRow};
use crate::{meta, tagging};
use api::{Ask, AskContext, Cx, Error, Grants, Tx};
use base::{AccountId, Arn};
use gen_s3control::{errors as e, *};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Scope;

const TAGS_MAX: usize = 50;

type Tags = BTreeMap<String, String>;

/// What has tags.
enum Tagged {
    Point(AccountId, String, Box<PointRow>),
    Bucket(Arc<BucketRow>),
}

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_REQUEST, text)
}

/// The tags of a request, if each is one.
pub fn given(tags: &[Tag]) -> Result<Tags, Error> {
    if tags.len() > TAGS_MAX {
        return Err(invalid("The number of tags exceeds the limit of 50 tags"));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    meta::tags_checked(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
}

/// The condition keys that the tags of a request give.
pub fn with_tags(mut ask: Ask, tags: &[Tag]) -> Ask {
    for tag in tags {
        let name = format!("aws:requesttag/{}", tag.key.to_ascii_lowercase());
        ask.context.push((name.into(), vec![tag.value.clone()]));
    }
    ask.context.push(("aws:tagkeys".into(), tags.iter().map(|tag| tag.key.clone()).collect()));
    ask
}

/// The condition keys that the tags of the resource give.
pub fn existing(tags: &Tags) -> AskContext {
    let key = |(key, value): (&String, &String)| {
        (format!("aws:resourcetag/{}", key.to_ascii_lowercase()).into(), vec![value.clone()])
    };
    tags.iter().map(key).collect()
}

/// Whose a bucket is that is named by its ARN.
pub fn bucket(tx: &Tx, arn: &Arn) -> Result<Grants, Error> {
    let bucket = tx.get_shared(&BUCKETS, &Scope::Global, arn.resource.as_str())?;
    Ok(Grants { owner: bucket.map(|bucket| bucket.owner), ..Grants::default() })
}

impl Tagged {
    fn find(tx: &Tx, cx: &Cx, account: &str, arn: &str) -> Result<Tagged, Error> {
        let account = check_account(cx, account)?;
        let parsed = Arn::parse(arn)
            .filter(|arn| arn.service == "s3" && arn.partition == cx.partition().as_str());
        let parsed = parsed.ok_or_else(|| invalid("Invalid resource ARN"))?;
        if let Some(name) = parsed.resource.strip_prefix("accesspoint/") {
            let own = parsed.account == account.to_string() && parsed.region == cx.region.as_str();
            let row = match own {
                true => access_point::find(tx, account, cx.region.as_str(), name)?,
                false => None,
            };
            let row = row.ok_or_else(|| access_point::not_found(name))?;
            return Ok(Tagged::Point(account, name.to_owned(), Box::new((*row).clone())));
        }
        if !parsed.account.is_empty() || !parsed.region.is_empty() {
            return Err(invalid("Tags of this kind of resource are not supported"));
        }
        let bucket = tx.get_shared(&BUCKETS, &Scope::Global, parsed.resource.as_str())?;
        let bucket = bucket.filter(|bucket| bucket.owner == account).ok_or_else(|| {
            Error::new(&e::NO_SUCH_BUCKET, "The specified bucket does not exist")
                .detail("BucketName", parsed.resource.to_string())
        })?;
        Ok(Tagged::Bucket(bucket))
    }

    fn tags(&self, tx: &Tx) -> Result<Tags, Error> {
        match self {
            Tagged::Point(_, _, row) => Ok(row.tags.clone()),
            Tagged::Bucket(bucket) => tagging::of_bucket(tx, bucket),
        }
    }

    fn set(self, tx: &mut Tx, cx: &Cx, tags: Tags) -> Result<(), Error> {
        match self {
            Tagged::Point(account, name, mut row) => {
                row.tags = tags;
                let place = (cx.region.as_str(), name.as_str());
                Ok(tx.put(&POINTS, &Scope::Account(account), &place, &row)?)
            }
            Tagged::Bucket(bucket) => tagging::set_of_bucket(tx, cx, &bucket, &tags),
        }
    }
}

pub fn tag(tx: &mut Tx, cx: &Cx, input: &TagResourceInput) -> Result<TagResourceOutput, Error> {
    let tagged = Tagged::find(tx, cx, &input.account_id, &input.resource_arn)?;
    let mut tags = tagged.tags(tx)?;
    tags.extend(given(&input.tags)?);
    if tags.len() > TAGS_MAX {
        return Err(invalid("The number of tags exceeds the limit of 50 tags"));
    }
    tagged.set(tx, cx, tags)?;
    Ok(TagResourceOutput::default())
}

pub fn untag(
    tx: &mut Tx,
    cx: &Cx,
    input: &UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let tagged = Tagged::find(tx, cx, &input.account_id, &input.resource_arn)?;
    let mut tags = tagged.tags(tx)?;
    tags.retain(|key, _| !input.tag_keys.contains(key));
    tagged.set(tx, cx, tags)?;
    Ok(UntagResourceOutput::default())
}

pub fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let tags = Tagged::find(tx, cx, &input.account_id, &input.resource_arn)?.tags(tx)?;
    let tags = tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}
