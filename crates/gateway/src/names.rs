//! Which host names lead to this cloud, for whoever answers DNS and makes certificates.
//!
//! Names of AWS are closed: one that leads to nothing here does not exist, wherever else it leads, so
//! that no client reaches the real cloud by mistake.

use crate::gateway::Gateway;
use crate::host::{self, HostStyle};

/// What a host name is to this cloud.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostStanding {
    /// It leads here.
    Ours,
    /// It belongs to AWS and leads to nothing here.
    Absent,
    /// Somebody else's.
    Foreign,
}

/// Below these nobody but us is asked. The names of certificates are held to them too.
pub const CLOSED: [&str; 8] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "api.aws",
    "on.aws",
    "amazoncognito.com",
    "cloudfront.net",
    "elasticbeanstalk.com",
];

/// The regions of AWS, in all partitions that its public SDKs know.
/// <https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html>
const REGIONS: &str = " af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 \
    ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 \
    ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 \
    eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1 me-south-1 \
    mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2 cn-north-1 cn-northwest-1 \
    us-gov-east-1 us-gov-west-1 ";

/// Their names.
pub fn regions() -> impl Iterator<Item = &'static str> {
    REGIONS.split_ascii_whitespace()
}

fn is_known(region: &str) -> bool {
    regions().any(|known| known == region)
}

/// What a service is called in its host name, where that is not the name of today: older SDKs.
const ALIASES: [(&str, &str); 3] = [("queue", "sqs"), ("s3-external-1", "s3"), ("s3-fips", "s3")];

impl Gateway {
    /// `name` is in lower case and without the dot at the end.
    pub fn host_standing(&self, name: &str) -> HostStanding {
        if !host::is_own(name, &self.local.host_names) && !is_closed(name) {
            return HostStanding::Foreign;
        }
        let leads_here = !is_closed(name)
            || match host::parse(name, &self.local.host_names) {
                HostStyle::Plain => true,
                HostStyle::Bucket { region, .. } => region.is_none_or(is_known),
                HostStyle::Website { region, .. } => region.is_some_and(is_known),
                HostStyle::Service { prefix, region } => {
                    let here = is_website(prefix, region) || self.has_endpoint(prefix);
                    region.is_none_or(is_known) && (here || self.is_made_here(name))
                }
                HostStyle::Foreign => self.is_made_here(name),
            };
        match leads_here {
            true => HostStanding::Ours,
            false => HostStanding::Absent,
        }
    }

    /// Whether a service that this cloud has is reached by that name: `sqs`, `us-east-1.queue`,
    /// `123456789012.ddb`.
    fn has_endpoint(&self, prefix: &str) -> bool {
        let prefix = match prefix.split_once('.') {
            Some((first, rest)) if is_known(first) => rest,
            Some((account, "ddb")) if base::AccountId::parse(account).is_some() => "dynamodb",
            _ => prefix,
        };
        let prefix = prefix.strip_suffix("-fips").unwrap_or(prefix);
        let alias = ALIASES.iter().find(|(old, _)| *old == prefix);
        self.guard.directory.has_endpoint(alias.map_or(prefix, |(_, today)| today))
    }

    /// A name that a service here has given out: a distribution's, a sign-in page's.
    fn is_made_here(&self, name: &str) -> bool {
        self.store.read(|tx| {
            let entries = self.guard.directory.entries();
            entries.iter().any(|entry| entry.service.hooks().has_host(tx, name))
        })
    }
}

/// `BUCKET.s3-website-REGION`, or with a dot before the region.
fn is_website(prefix: &str, region: Option<&str>) -> bool {
    let (bucket, last) = prefix.rsplit_once('.').unwrap_or(("", prefix));
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let site = match last.strip_prefix("s3-website") {
        Some("") => region.is_some(),
        Some(rest) => region.is_none() && rest.strip_prefix('-').is_some_and(is_known),
        None => false,
    };
    site && bucket.bytes().all(plain)
}

/// Whether only this cloud may say where the name leads.
pub fn is_closed(name: &str) -> bool {
    CLOSED.iter().any(|base| {
        name.strip_suffix(base).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}
