//! Conditional requests, in the order of RFC 9110 section 13.2.2 as S3 has it.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html>

use crate::rows::ObjectRow;
use api::Error;
use base::Timestamp;
use gen_s3::errors as e;

/// Preconditions of a read.
pub struct Reading<'a> {
    pub if_match: &'a Option<String>,
    pub if_none_match: &'a Option<String>,
    pub if_modified_since: Option<Timestamp>,
    pub if_unmodified_since: Option<Timestamp>,
}

pub fn failed(condition: &str) -> Error {
    Error::new(
        &e::PRECONDITION_FAILED,
        "At least one of the pre-conditions you specified did not hold",
    )
    .detail("Condition", condition)
}

/// Whether a list of entity tags names this one. Weak tags compare as strong ones, as S3 does.
fn lists(tags: &str, e_tag: &str) -> bool {
    tags.split(',').any(|tag| {
        let tag = tag.trim();
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        tag == "*" || tag.trim_matches('"') == e_tag
    })
}

impl Reading<'_> {
    /// 412 or 304 where the object does not meet them.
    pub fn check(&self, row: &ObjectRow) -> Result<(), Error> {
        let matched = self.if_match.as_ref().map(|tags| lists(tags, &row.e_tag));
        if matched == Some(false) {
            return Err(failed("If-Match"));
        }
        if matched.is_none() && self.if_unmodified_since.is_some_and(|at| row.modified > at) {
            return Err(failed("If-Unmodified-Since"));
        }
        let not_modified = match self.if_none_match {
            Some(tags) => lists(tags, &row.e_tag),
            None => self.if_modified_since.is_some_and(|at| row.modified <= at),
        };
        if not_modified {
            return Err(Error::new(&e::NOT_MODIFIED, "Not Modified")
                .header("etag", format!("\"{}\"", row.e_tag))
                .header("last-modified", row.modified.http_date()));
        }
        Ok(())
    }
}

/// Preconditions of a write, against the latest version, if there is one.
pub fn writing(
    if_match: &Option<String>,
    if_none_match: &Option<String>,
    key: &str,
    latest: Option<&ObjectRow>,
) -> Result<(), Error> {
    let there = latest.filter(|row| !row.delete_marker);
    if let Some(tags) = if_none_match {
        if tags.trim() != "*" {
            let text = "A header you provided implies functionality that is not implemented";
            return Err(Error::new(&e::NOT_IMPLEMENTED, text)
                .detail("Header", "If-None-Match")
                .detail(
                    "additionalMessage",
                    "We don't accept the provided value of If-None-Match header for this API",
                ));
        }
        if there.is_some() {
            return Err(failed("If-None-Match"));
        }
    }
    match (if_match, there) {
        (Some(_), None) => Err(crate::object::no_such_key(key)),
        (Some(tags), Some(row)) if !lists(tags, &row.e_tag) => Err(failed("If-Match")),
        _ => Ok(()),
    }
}

/// Preconditions of a delete.
pub struct Deleting<'a> {
    pub if_match: &'a Option<String>,
    pub modified: Option<Timestamp>,
    pub size: Option<i64>,
}

impl Deleting<'_> {
    pub fn any(&self) -> bool {
        self.if_match.is_some() || self.modified.is_some() || self.size.is_some()
    }

    pub fn check(&self, key: &str, there: Option<&ObjectRow>) -> Result<(), Error> {
        writing(self.if_match, &None, key, there)?;
        let Some(row) = there.filter(|row| !row.delete_marker) else {
            return Err(crate::object::no_such_key(key));
        };
        if self.modified.is_some_and(|at| at.to_secs() != row.modified.to_secs()) {
            return Err(failed("If-Match-Last-Modified-Time"));
        }
        if self.size.is_some_and(|size| u64::try_from(size) != Ok(row.size_bytes)) {
            return Err(failed("If-Match-Size"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_lists() {
        for tags in ["abc", "\"abc\"", "W/\"abc\"", "*", "\"x\", \"abc\""] {
            assert!(lists(tags, "abc"), "{tags}");
        }
        assert!(!lists("\"ab\"", "abc"));
    }
}
