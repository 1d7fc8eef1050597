//! Patterns over ARNs: what `Resource` and the `Arn…` operators hold.
//!
//! A pattern is compared field by field, so that a wildcard in the region cannot reach into the
//! resource; in the resource, which is all after the fifth colon, wildcards span `/` and `:`. Fields
//! that the pattern leaves out at its end are `*`, hence `arn:aws:s3:*` covers every bucket
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>).

use crate::context::Context;
use crate::pattern::{Case, Found, Pattern, variable_end};

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ArnPattern {
    All,
    /// The first five fields are plain text, kept with their colons.
    Plain {
        head: Box<str>,
        resource: Pattern,
    },
    Fields(Box<[Pattern; 6]>),
}

impl ArnPattern {
    pub(crate) fn new(text: &str, variables: bool) -> ArnPattern {
        if text == "*" {
            return ArnPattern::All;
        }
        let fields = split_fields(text, variables);
        let field = |index: usize| {
            fields.get(index).map_or(Pattern::All, |field| Pattern::new(field, variables))
        };
        let fields: [Pattern; 6] = std::array::from_fn(field);
        let head: Option<Vec<&str>> = fields[..5].iter().map(Pattern::as_exact).collect();
        match head {
            Some(head) => {
                let mut head = head.join(":");
                head.push(':');
                let [.., resource] = fields;
                ArnPattern::Plain { head: head.into(), resource }
            }
            None => ArnPattern::Fields(Box::new(fields)),
        }
    }

    /// Whether it names one thing, or things of one account.
    pub(crate) fn is_of_one_account(&self) -> bool {
        match self {
            ArnPattern::Plain { head, resource } => {
                resource.as_exact().is_some() || !head.ends_with("::")
            }
            _ => false,
        }
    }

    pub(crate) fn matches(&self, text: &str, context: &Context<'_>) -> Found {
        match self {
            ArnPattern::All => Found::Yes,
            ArnPattern::Plain { head, resource } => match text.strip_prefix(&**head) {
                Some(rest) => resource.matches(rest, Case::Exact, context),
                None => Found::No,
            },
            ArnPattern::Fields(fields) => {
                let mut values = text.splitn(6, ':');
                let mut unknown = false;
                for field in fields.iter() {
                    let Some(value) = values.next() else { return Found::No };
                    match field.matches(value, Case::Exact, context) {
                        Found::Yes => {}
                        Found::No => return Found::No,
                        Found::Unknown => unknown = true,
                    }
                }
                if unknown { Found::Unknown } else { Found::Yes }
            }
        }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let (fields, one): (&[Pattern], _) = match self {
            ArnPattern::All => (&[], None),
            ArnPattern::Plain { resource, .. } => (&[], Some(resource)),
            ArnPattern::Fields(fields) => (&**fields, None),
        };
        fields.iter().chain(one).flat_map(Pattern::variables)
    }
}

/// At most six fields; the colon in `${aws:username}` parts none.
pub(crate) fn split_fields(text: &str, variables: bool) -> Vec<&str> {
    let mut fields = Vec::with_capacity(6);
    let (mut start, mut at) = (0, 0);
    let mut open_ended = !variables;
    while at < text.len() && fields.len() < 5 {
        let rest = &text.as_bytes()[at..];
        if !open_ended && rest.starts_with(b"${") {
            match variable_end(&text[at..]) {
                Some(length) => {
                    at += length;
                    continue;
                }
                None => open_ended = true,
            }
        }
        if rest[0] == b':' {
            fields.push(&text[start..at]);
            start = at + 1;
        }
        at += 1;
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    fields.push(&text[start..]);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: Found) {
        let context = Context::new().with("aws:username", "a:b");
        let found = ArnPattern::new(pattern, true).matches(text, &context);
        assert_eq!(found, expected, "{pattern} on {text}");
    }

    #[test]
    fn field_by_field() {
        let key = "arn:aws:s3:::bucket/a/b:c.jpg";
        for pattern in [
            "*",
            "arn:aws:s3:::bucket/*",
            "arn:aws:s3:*",
            "arn:*:s3:::*",
            "arn:aws:s3:::b*.jpg",
            "arn:aws:s3",
            "arn:aws:s3:*:*:bucket/?/b:c.jpg",
            "arn:aws:s3:::*/b:*",
        ] {
            check(pattern, key, Found::Yes);
        }
        for pattern in [
            "arn:aws:s3:::bucket",
            "arn:aws:s3:::Bucket/*",
            "arn:aws:s3:*:c.jpg",
            "arn:aws:s3:::",
            "arn:aws:s3:us-*::bucket/*",
            "",
            "bucket/*",
            "arn:aws:sqs:*",
            "arn:aws:s3:::bucket/${aws:username}",
        ] {
            check(pattern, key, Found::No);
        }
        check("arn:aws:s3:*:*:mine/*", "arn:aws:s3:::other/a:b:mine/x", Found::No);
        check("arn:aws:sqs:*:*:q", "arn:aws:sqs:us-east-1:123456789012:q", Found::Yes);
        check("arn:aws:sqs:*:q", "arn:aws:sqs:us-east-1:123456789012:q", Found::No);
        check("arn:*:sqs:*:*:q", "*", Found::No);
    }

    #[test]
    fn variables_stay_in_their_field() {
        check("arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::1:user/a:b", Found::Yes);
        check("arn:aws:s3:::${aws:username}", "arn:aws:s3:::a:b", Found::Yes);
        check("arn:aws:s3:${aws:username}:x", "arn:aws:s3:a:b:x", Found::No);
        check("arn:aws:s3:::${aws:nobody}", "arn:aws:s3:::a", Found::Unknown);
        check("arn:aws:sqs:::${aws:nobody}", "arn:aws:s3:::a", Found::No);
    }
}
