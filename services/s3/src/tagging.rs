//! Tags of objects and of buckets.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html>

use crate::rows::*;
use crate::{bucket, config, events, get_object, meta, names, object, replication};
use api::{Ask, Cx, Error, Tx};
use gen_s3::errors as e;
use gen_s3::*;
use std::collections::BTreeMap;

/// Tags of one bucket.
const BUCKET_TAGS_MAX: usize = 50;
const KIND: &str = "tagging";

fn ask(cx: &Cx, verb: &str, bucket: &str, key: &str, version: &Option<String>) -> Ask {
    let arn = names::object_arn(cx.partition(), bucket, key);
    match version {
        Some(version) => Ask::new(format!("s3:{verb}ObjectVersionTagging"), arn)
            .key("s3:versionid", Some(version.as_str())),
        None => Ask::new(format!("s3:{verb}ObjectTagging"), arn),
    }
}

pub fn authorize_get(cx: &Cx, input: &GetObjectTaggingInput) -> Vec<Ask> {
    vec![ask(cx, "Get", &input.bucket, &input.key, &input.version_id)]
}

pub fn authorize_put(cx: &Cx, input: &PutObjectTaggingInput) -> Vec<Ask> {
    let ask = ask(cx, "Put", &input.bucket, &input.key, &input.version_id);
    let tags = input.tagging.tag_set.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
    vec![with_tags(ask, tags)]
}

pub fn authorize_delete(cx: &Cx, input: &DeleteObjectTaggingInput) -> Vec<Ask> {
    vec![ask(cx, "Delete", &input.bucket, &input.key, &input.version_id)]
}

/// The condition keys that the tags of a request give: one for each, and their names.
fn with_keys<'t>(
    mut ask: Ask,
    (each, all): (&str, &'static str),
    tags: impl Iterator<Item = (&'t str, &'t str)>,
) -> Ask {
    let mut names = Vec::new();
    for (key, value) in tags {
        let name = format!("{each}/{}", key.to_ascii_lowercase());
        ask.context.push((name.into(), vec![value.to_owned()]));
        names.push(key.to_owned());
    }
    if !names.is_empty() {
        ask.context.push((all.into(), names));
    }
    ask
}

/// Those of tags for an object.
pub fn with_tags<'t>(ask: Ask, tags: impl Iterator<Item = (&'t str, &'t str)>) -> Ask {
    with_keys(ask, ("s3:requestobjecttag", "s3:requestobjecttagkeys"), tags)
}

/// Those of tags for a bucket or an access point.
pub fn with_resource_tags<'t>(ask: Ask, tags: impl Iterator<Item = (&'t str, &'t str)>) -> Ask {
    with_keys(ask, ("aws:requesttag", "aws:tagkeys"), tags)
}

/// The condition keys that the tags in `x-amz-tagging` give. What cannot be read is refused later.
pub fn with_header(ask: Ask, header: &Option<String>) -> Ask {
    let tags = meta::tagging_header(header).unwrap_or_default();
    with_tags(ask, tags.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

fn pairs(tagging: &Tagging) -> Vec<(String, String)> {
    tagging.tag_set.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect()
}

fn tag_set(tags: &BTreeMap<String, String>) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

pub fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetObjectTaggingInput,
) -> Result<GetObjectTaggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let row = get_object::version(tx, cx, &bucket, &input.key, &input.version_id)?;
    Ok(GetObjectTaggingOutput {
        version_id: object::shown_id(&bucket, &row),
        tag_set: tag_set(&row.meta.tags),
    })
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutObjectTaggingInput,
) -> Result<PutObjectTaggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let mut row = get_object::version(tx, cx, &bucket, &input.key, &input.version_id)?;
    row.meta.tags = meta::object_tags(pairs(&input.tagging))?;
    replication::changed(tx, &bucket, &input.key, &mut row)?;
    object::rewrite(tx, &bucket, &input.key, &row)?;
    let of = events::Of::new(&bucket, &input.bucket, &input.key, &row);
    events::tell(tx, cx, "ObjectTagging:Put", of)?;
    Ok(PutObjectTaggingOutput { version_id: object::shown_id(&bucket, &row) })
}

pub fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteObjectTaggingInput,
) -> Result<DeleteObjectTaggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    let mut row = get_object::version(tx, cx, &bucket, &input.key, &input.version_id)?;
    row.meta.tags = BTreeMap::new();
    replication::changed(tx, &bucket, &input.key, &mut row)?;
    object::rewrite(tx, &bucket, &input.key, &row)?;
    let of = events::Of::new(&bucket, &input.bucket, &input.key, &row);
    events::tell(tx, cx, "ObjectTagging:Delete", of)?;
    Ok(DeleteObjectTaggingOutput { version_id: object::shown_id(&bucket, &row) })
}

pub fn get_bucket(
    tx: &Tx,
    _: &Cx,
    input: &GetBucketTaggingInput,
) -> Result<GetBucketTaggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    match config::get::<Tagging>(tx, &bucket, KIND, "")? {
        Some(tagging) => Ok(GetBucketTaggingOutput { tag_set: tagging.tag_set }),
        None => Err(Error::new(&e::NO_SUCH_TAG_SET, "The TagSet does not exist")
            .detail("BucketName", &input.bucket)),
    }
}

pub fn put_bucket(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutBucketTaggingInput,
) -> Result<PutBucketTaggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    set_of_bucket(tx, cx, &bucket, pairs(&input.tagging))?;
    Ok(PutBucketTaggingOutput::default())
}

pub fn of_bucket(tx: &Tx, bucket: &BucketRow) -> Result<BTreeMap<String, String>, Error> {
    let kept: Option<Tagging> = config::get(tx, bucket, KIND, "")?;
    let tags = kept.map(|tagging| tagging.tag_set).unwrap_or_default();
    Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
}

pub fn take_from_bucket(tx: &mut Tx, bucket: &BucketRow) -> Result<(), Error> {
    config::delete(tx, bucket, KIND, "").map(|_| ())
}

/// Gives a bucket these tags in place of those that it has.
pub fn set_of_bucket(
    tx: &mut Tx,
    cx: &Cx,
    bucket: &BucketRow,
    given: Vec<(String, String)>,
) -> Result<(), Error> {
    if given.len() > BUCKET_TAGS_MAX {
        let text = format!("Bucket tag count cannot be greater than {BUCKET_TAGS_MAX}");
        return Err(Error::with_code("BadRequest", 400, text));
    }
    if given.iter().any(|(key, _)| key.to_ascii_lowercase().starts_with("aws:")) {
        let text = "System tags cannot be added/updated by requester";
        return Err(Error::new(&e::INVALID_TAG, text));
    }
    let tags = meta::tags_checked(given)?;
    config::put(tx, cx, bucket, KIND, "", &Tagging { tag_set: tag_set(&tags) })
}

pub fn delete_bucket(
    tx: &mut Tx,
    _: &Cx,
    input: &DeleteBucketTaggingInput,
) -> Result<DeleteBucketTaggingOutput, Error> {
    let bucket = bucket::find_expected(tx, &input.bucket, &input.expected_bucket_owner)?;
    config::delete(tx, &bucket, KIND, "")?;
    Ok(DeleteBucketTaggingOutput::default())
}

/// The condition keys that the tags of an object give.
pub fn existing(row: &ObjectRow) -> api::AskContext {
    let tag = |(key, value): (&String, &String)| {
        let name = format!("s3:existingobjecttag/{}", key.to_ascii_lowercase());
        (name.into(), vec![value.clone()])
    };
    row.meta.tags.iter().map(tag).collect()
}
