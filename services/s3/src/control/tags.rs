//! Tags of access points, by their ARNs.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-tagging.html>

use super::access_point::{self, POINTS, PointRow};
use super::check_account;
use crate::{meta, tagging};
use api::{Ask, AskContext, Cx, Error, Tx};
use base::Arn;
use gen_s3control::{errors as e, *};
use std::collections::BTreeMap;
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

/// The access point of that ARN, which must be the caller's and in this region.
fn find(tx: &Tx, cx: &Cx, account: &str, arn: &str) -> Result<(String, PointRow), Error> {
    let account = check_account(cx, account)?;
    let parsed = Arn::parse(arn)
        .filter(|arn| arn.service == "s3" && arn.partition == cx.partition().as_str());
    let parsed = parsed.ok_or_else(|| invalid("Invalid resource ARN"))?;
    let Some(name) = parsed.resource.strip_prefix("accesspoint/") else {
        return Err(invalid("Tags of this kind of resource are not supported"));
    };
    let own = parsed.account == account.to_string() && parsed.region == cx.region.as_str();
    let row = match own {
        true => access_point::find(tx, account, cx.region.as_str(), name)?,
        false => None,
    };
    let row = row.ok_or_else(|| access_point::not_found(name))?;
    Ok((name.to_owned(), (*row).clone()))
}

fn put(tx: &mut Tx, cx: &Cx, name: &str, row: &PointRow) -> Result<(), Error> {
    Ok(tx.put(&POINTS, &Scope::Account(cx.account), &(cx.region.as_str(), name), row)?)
}

pub fn tag(tx: &mut Tx, cx: &Cx, input: &TagResourceInput) -> Result<TagResourceOutput, Error> {
    let (name, mut row) = find(tx, cx, &input.account_id, &input.resource_arn)?;
    row.tags.extend(given(&input.tags)?);
    if row.tags.len() > TAGS_MAX {
        return Err(invalid(TOO_MANY));
    }
    put(tx, cx, &name, &row)?;
    Ok(TagResourceOutput::default())
}

pub fn untag(
    tx: &mut Tx,
    cx: &Cx,
    input: &UntagResourceInput,
) -> Result<UntagResourceOutput, Error> {
    let (name, mut row) = find(tx, cx, &input.account_id, &input.resource_arn)?;
    row.tags.retain(|key, _| !input.tag_keys.contains(key));
    put(tx, cx, &name, &row)?;
    Ok(UntagResourceOutput::default())
}

pub fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListTagsForResourceInput,
) -> Result<ListTagsForResourceOutput, Error> {
    let (_, row) = find(tx, cx, &input.account_id, &input.resource_arn)?;
    let tags = row.tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}
