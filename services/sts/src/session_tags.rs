//! Tags of sessions
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/id_session-tags.html>).

use api::{AskContext, Error};
use directory::{SessionRow, TagRow};
use gen_sts::AssumeRoleInput;
use std::borrow::Cow;
use std::collections::BTreeSet;

const TAGS_MAX: usize = 50;
const KEY_CHARS_MAX: usize = 128;
const VALUE_CHARS_MAX: usize = 256;

/// The tags of a new session, and the keys of those that its own sessions will have as well.
#[derive(Clone, Default, Debug)]
pub(crate) struct SessionTags {
    pub(crate) tags: Vec<TagRow>,
    pub(crate) transitive: BTreeSet<String>,
}

fn invalid(message: &str) -> Error {
    Error::with_code("InvalidParameterValue", 400, message)
}

/// Letters, digits and spaces of any script, and what stands between the words of names.
fn is_key(text: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    (1..=KEY_CHARS_MAX).contains(&text.chars().count()) && text.chars().all(fits)
}

fn is_value(text: &str) -> bool {
    text.chars().count() <= VALUE_CHARS_MAX && !text.contains(char::is_control)
}

fn is(key: &str) -> impl Fn(&&TagRow) -> bool + '_ {
    move |tag| tag.key.eq_ignore_ascii_case(key)
}

impl SessionTags {
    /// Tags as somebody gives them.
    pub(crate) fn checked(given: Vec<TagRow>, transitive: &[String]) -> Result<SessionTags, Error> {
        let mut tags: Vec<TagRow> = Vec::new();
        for tag in given {
            if tags.iter().any(|own| is(&tag.key)(&own)) {
                return Err(invalid(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
            // Of a request they were looked at; of a token or a response, nobody has.
            if !is_key(&tag.key) || !is_value(&tag.value) {
                return Err(invalid("The session tags are not valid."));
            }
            if tag.key.get(..4).is_some_and(|head| head.eq_ignore_ascii_case("aws:")) {
                return Err(invalid("System tags cannot be used in the request."));
            }
            tags.push(tag);
        }
        if tags.len() > TAGS_MAX {
            return Err(invalid("The number of tags has reached the maximum limit."));
        }
        let mut keys = BTreeSet::new();
        for key in transitive {
            if !tags.iter().any(|own| is(key)(&own)) {
                return Err(invalid(
                    "The specified transitive tag key must be included in the requested tags.",
                ));
            }
            keys.insert(key.to_ascii_lowercase());
        }
        Ok(SessionTags { tags, transitive: keys })
    }

    /// The condition keys that they give to the question whether one may.
    pub(crate) fn add_keys(&self, context: &mut AskContext) {
        for tag in &self.tags {
            let key = format!("aws:requesttag/{}", tag.key.to_ascii_lowercase());
            context.push((Cow::Owned(key), vec![tag.value.clone()]));
        }
        if !self.tags.is_empty() {
            let keys = self.tags.iter().map(|tag| tag.key.clone()).collect();
            context.push((Cow::Borrowed("aws:tagkeys"), keys));
        }
        if !self.transitive.is_empty() {
            let keys = self.transitive.iter().cloned().collect();
            context.push((Cow::Borrowed("sts:transitivetagkeys"), keys));
        }
    }
}

/// The request's tags, and those that travel on from the caller's session.
pub(crate) fn gather(
    input: &AssumeRoleInput,
    caller: Option<&SessionRow>,
) -> Result<SessionTags, Error> {
    let given = input.tags.iter().flatten();
    let given = given.map(|tag| TagRow { key: tag.key.clone(), value: tag.value.clone() });
    let own = input.transitive_tag_keys.as_deref().unwrap_or_default();
    let SessionTags { mut tags, mut transitive } = SessionTags::checked(given.collect(), own)?;
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
