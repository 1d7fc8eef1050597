//! Amazon Resource Names: `arn:partition:service:region:account:resource`.

use std::fmt;

/// A parsed ARN. Region and account are empty where the service leaves them out, and any field may
/// hold wildcards when the ARN stands in a policy, so they are kept as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    pub partition: String,
    pub service: String,
    pub region: String,
    pub account: String,
    /// All that follows the fifth colon, colons included.
    pub resource: String,
}

impl Arn {
    /// `None` unless the text begins with `arn:` and has at least six fields.
    pub fn parse(text: &str) -> Option<Arn> {
        let mut fields = text.splitn(6, ':');
        if fields.next()? != "arn" {
            return None;
        }
        let mut next = || fields.next().map(str::to_owned);
        Some(Arn {
            partition: next()?,
            service: next()?,
            region: next()?,
            account: next()?,
            resource: next()?,
        })
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn { partition, service, region, account, resource } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_colons_of_the_resource() {
        let text = "arn:aws:logs:us-east-1:123456789012:log-group:a:*";
        let arn = Arn::parse(text).unwrap();
        assert_eq!(arn.resource, "log-group:a:*");
        assert_eq!(arn.to_string(), text);
    }

    #[test]
    fn refuses_what_is_no_arn() {
        for bad in ["", "arn", "arn:aws:s3", "urn:aws:s3:::b", "arn:aws:s3::"] {
            assert!(Arn::parse(bad).is_none(), "{bad}");
        }
        assert_eq!(Arn::parse("arn:aws:s3:::bucket/key").unwrap().resource, "bucket/key");
    }
}
