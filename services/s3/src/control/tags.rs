//! Tags of access points and buckets, by their ARNs.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-tagging.html>

use super::access_point::{self, POINTS, PointRow};
use super::check_account;
use crate::rows::BucketRow;
use crate::{bucket, meta, tagging};
use api::{Ask, AskContext, Cx, Error, Tx};
use base::Arn;
use gen_s3control::{errors as e, *};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Scope;

const TAGS_MAX: usize = 50;
const TOO_MANY: &str = "The number of tags exceeds the limit of 50 tags";

type Tags = BTreeMap<String, String>;

fn invalid(text: &str) -> Error {
    Error::new(&e::INVALID_REQUEST, text)
}

/// The tags of a request, if each is one.
pub fn given(tags: &[Tag]) -> Result<Tags, Error> {
    if tags.len() > TAGS_MAX {
        return Err(invalid(TOO_MANY));
    }
    if tags.iter().any(|tag| tag.key.to_ascii_lowercase().starts_with("aws:")) {
        return Err(invalid("System tags cannot be added/updated by requester"));
    }
    meta::tags_checked(tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect())
}

/// The condition keys that the tags of a request give.
pub fn with_tags(ask: Ask, tags: &[Tag]) -> Ask {
    let tags = tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    tagging::with_resource_tags(ask, tags)
}

/// The condition keys that the tags of the resource give.
pub fn existing(tags: &Tags) -> AskContext {
    let keys = |(key, value): (&String, &String)| {
        ["aws:resourcetag", "s3:accesspointtag"].map(|prefix| {
            (format!("{prefix}/{}", key.to_ascii_lowercase()).into(), vec![value.clone()])
        })
    };
    tags.iter().flat_map(keys).collect()
}

/// What has tags.
enum Tagged {
    /// An access point, and its name.
    Point(String, Box<PointRow>),
    Bucket(Arc<BucketRow>),
}

impl Tagged {
    /// What that ARN names, which must be the caller's, an access point of this region.
    fn find(tx: &Tx, cx: &Cx, account: &str, arn: &str) -> Result<Tagged, Error> {
        let account = check_account(cx, account)?;
        let parsed = Arn::parse(arn)
            .filter(|arn| arn.service == "s3" && arn.partition == cx.partition().as_str());
        let parsed = parsed.ok_or_else(|| invalid("Invalid resource ARN"))?;
        if let Some(name) = bucket_of(&parsed) {
            let bucket = bucket::find(tx, name)?;
            return match bucket.owner == account {
                true => Ok(Tagged::Bucket(bucket)),
                false => Err(Error::new(&e::ACCESS_DENIED, "Access Denied")),
            };
        }
        let Some(name) = parsed.resource.strip_prefix("accesspoint/") else {
            return Err(invalid("Tags of this kind of resource are not supported"));
        };
        let own = parsed.account == account.to_string() && parsed.region == cx.region.as_str();
        let row = match own {
            true => access_point::find(tx, account, cx.region.as_str(), name)?,
            false => None,
        };
        let row = row.ok_or_else(|| access_point::not_found(name))?;
        Ok(Tagged::Point(name.to_owned(), Box::new((*row).clone())))
    }

    fn tags(&self, tx: &Tx) -> Result<Tags, Error> {
        match self {
            Tagged::Point(_, row) => Ok(row.tags.clone()),
            Tagged::Bucket(bucket) => tagging::of_bucket(tx, bucket),
        }
    }

    fn put(self, tx: &mut Tx, cx: &Cx, tags: Tags) -> Result<(), Error> {
        match self {
            Tagged::Point(name, row) => {
                let place = (cx.region.as_str(), name.as_str());
                Ok(tx.put(
                    &POINTS,
                    &Scope::Account(cx.account),
                    &place,
                    &PointRow { tags, ..*row },
                )?)
            }
            Tagged::Bucket(bucket) if tags.is_empty() => tagging::take_from_bucket(tx, &bucket),
            Tagged::Bucket(bucket) => {
                tagging::set_of_bucket(tx, cx, &bucket, tags.into_iter().collect())
            }
        }
    }
}

/// The bucket that an ARN names.
pub fn bucket_of(arn: &Arn) -> Option<&str> {
    let whole = arn.region.is_empty() && arn.account.is_empty() && !arn.resource.contains('/');
    whole.then_some(arn.resource.as_str())
}

pub fn tag(tx: &mut Tx, cx: &Cx, input: &TagResourceInput) -> Result<TagResourceOutput, Error> {
    let tagged = Tagged::find(tx, cx, &input.account_id, &input.resource_arn)?;
    let mut tags = tagged.tags(tx)?;
    tags.extend(given(&input.tags)?);
    if tags.len() > TAGS_MAX {
        return Err(invalid(TOO_MANY));
    }
    tagged.put(tx, cx, tags)?;
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
    tagged.put(tx, cx, tags)?;
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
