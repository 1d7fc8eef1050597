//! Tags of sessions
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>).

use api::Error;
use directory::{SessionRow, TagRow};
use gen_sts::AssumeRoleInput;
use std::collections::BTreeSet;

const TAGS_MAX: usize = 50;

/// The tags of a new session, and the keys of those that its own sessions will have as well.
pub(crate) struct SessionTags {
    pub(crate) tags: Vec<TagRow>,
    pub(crate) transitive: BTreeSet<String>,
}

fn invalid(message: &str) -> Error {
    Error::with_code("InvalidParameterValue", 400, message)
}

fn is(key: &str) -> impl Fn(&&TagRow) -> bool + '_ {
    move |tag| tag.key.eq_ignore_ascii_case(key)
}

/// The request's tags, and those that travel on from the caller's session.
pub(crate) fn gather(
    input: &AssumeRoleInput,
    caller: Option<&SessionRow>,
) -> Result<SessionTags, Error> {
    let mut tags: Vec<TagRow> = Vec::new();
    for tag in input.tags.iter().flatten() {
        if tags.iter().any(|own| is(&tag.key)(&own)) {
            return Err(invalid(
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
            ));
        }
        if tag.key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:")) {
            return Err(invalid("System tags cannot be used in the request."));
        }
        tags.push(TagRow { key: tag.key.clone(), value: tag.value.clone() });
    }
    if tags.len() > TAGS_MAX {
        return Err(invalid("The number of tags has reached the maximum limit."));
    }
    let mut transitive = BTreeSet::new();
    for key in input.transitive_tag_keys.iter().flatten() {
        if !tags.iter().any(|own| is(key)(&own)) {
            return Err(invalid(
                "The specified transitive tag key must be included in the requested tags.",
            ));
        }
        transitive.insert(key.to_ascii_lowercase());
    }
    for key in caller.iter().flat_map(|session| &session.transitive_tag_keys) {
        if tags.iter().any(|own| is(key)(&own)) {
            return Err(invalid(
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
            ));
        }
        tags.extend(caller.iter().flat_map(|session| &session.tags).filter(is(key)).cloned());
        transitive.insert(key.clone());
    }
    Ok(SessionTags { tags, transitive })
}
