//! Requests through an access point: the bucket that it leads to takes its place in the path.

use crate::gateway::{Gateway, Seen};
use crate::head::Head;
use crate::identify::Entry;
use api::Error;
use base::{Region, percent};
use std::borrow::Cow;
use std::sync::Arc;

/// Whether it may be an access point, so that all other names cost nothing: an ARN, an alias, or
/// `NAME-ACCOUNT`.
fn may_be(name: &str) -> bool {
    let ends_in_account = || {
        let (head, tail) = name.split_at_checked(name.len().saturating_sub(13))?;
        let digits = tail.strip_prefix('-')?;
        Some(!head.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    name.starts_with("arn:")
        || name.starts_with("arn%3A")
        || name.starts_with("arn%3a")
        || name.ends_with("-s3alias")
        || ends_in_account().unwrap_or(false)
}

/// The first segment, decoded, and what follows it. A slash within an ARN may stand as itself.
fn split(path: &str) -> Option<(String, &str)> {
    let path = path.strip_prefix('/')?;
    let end = path.find('/').unwrap_or(path.len());
    if !may_be(&path[..end]) {
        return None;
    }
    let decode = |text: &str| String::from_utf8(percent::decode(text).into_owned()).ok();
    let name = decode(&path[..end])?;
    if !name.ends_with(":accesspoint") {
        return Some((name, &path[end..]));
    }
    let rest = path[end..].strip_prefix('/')?;
    let inner = rest.find('/').unwrap_or(rest.len());
    Some((format!("{name}/{}", decode(&rest[..inner])?), &rest[inner..]))
}

impl Gateway {
    pub(crate) fn behind_access_point<'p>(
        &self,
        (entry, head): (&Entry, &Head<'_>),
        path: Cow<'p, str>,
        region: &Region,
        seen: &mut Seen<'_>,
    ) -> Result<Cow<'p, str>, Error> {
        let Some((name, rest)) = split(&path) else { return Ok(path) };
        // What makes a bucket names one, whatever else is called so.
        let makes = head.method == "PUT" && head.raw_query.is_empty();
        if makes && matches!(rest, "" | "/") {
            return Ok(path);
        }
        let hooks = entry.service.hooks();
        let Some(point) = self.store.read(|tx| hooks.access_point(tx, &name, region))? else {
            return Ok(path);
        };
        let path = format!("/{}{rest}", point.bucket);
        seen.access_point = Some(Arc::new(point));
        Ok(Cow::Owned(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_one() {
        let check = |path: &str, expected: Option<(&str, &str)>| {
            let found = split(path);
            assert_eq!(found.as_ref().map(|(name, rest)| (&**name, *rest)), expected, "{path}");
        };
        for path in ["/", "/box", "/box/k", "/box-12345678901/k", "/-123456789012", "/arnold/k"] {
            check(path, None);
        }
        check("/p-123456789012/a/b", Some(("p-123456789012", "/a/b")));
        check("/p-x-s3alias", Some(("p-x-s3alias", "")));
        let arn = "arn:aws:s3:us-east-1:123456789012:accesspoint/p";
        check("/arn%3Aaws%3As3%3Aus-east-1%3A123456789012%3Aaccesspoint%2Fp/k", Some((arn, "/k")));
        check("/arn:aws:s3:us-east-1:123456789012:accesspoint/p/k", Some((arn, "/k")));
        check("/arn:aws:s3:us-east-1:123456789012:accesspoint", None);
    }
}
