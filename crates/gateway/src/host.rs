//! What the name in the `Host` header says: nothing, a service, or a bucket.
//!
//! Names end in a base that stands for this cloud: `localhost`, `localhost.localstack.cloud` (a public
//! name for the loopback address that existing set-ups use), the names given with `--host-name`, and
//! the endpoints of AWS itself, for clients that cannot be pointed elsewhere and resolve them here.

use std::net::IpAddr;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HostStyle<'h> {
    /// An address, or a base alone: the path says the rest.
    Plain,
    /// The first labels of a service's endpoint, and the region if it is named.
    Service { prefix: &'h str, region: Option<&'h str> },
    /// S3 in virtual-host style.
    Bucket { bucket: &'h str, region: Option<&'h str> },
    /// The website of a bucket.
    Website { bucket: &'h str, region: Option<&'h str> },
    /// A name that is not ours. The path is taken as for a plain one, but the request gets no
    /// privilege that rests on being local.
    Foreign,
}

const AWS: [&str; 2] = ["amazonaws.com", "amazonaws.com.cn"];
/// The bases under which a bucket stands only before `s3`.
const LOCALSTACK: &str = "localhost.localstack.cloud";

/// `host` is lower-case and without port; `names` are further bases.
pub(crate) fn parse<'h>(host: &'h str, names: &[String]) -> HostStyle<'h> {
    if matches!(host, "" | "localhost" | "127.0.0.1" | LOCALSTACK) {
        return HostStyle::Plain;
    }
    if host.parse::<IpAddr>().is_ok() || names.iter().any(|name| name == host) {
        return HostStyle::Plain;
    }
    for base in AWS {
        if let Some(labels) = below(host, base) {
            return aws(labels);
        }
    }
    let named = names.iter().find_map(|name| below(host, name));
    if let Some(labels) = below(host, LOCALSTACK).or(named) {
        return local(labels).unwrap_or(HostStyle::Service { prefix: labels, region: None });
    }
    match below(host, "localhost") {
        Some(labels) => local(labels).unwrap_or(bucket(labels, None)),
        None => HostStyle::Foreign,
    }
}

/// Whether the name or address means this machine and nothing else, or is a name that we serve: one
/// that a web page cannot have pointed here.
pub(crate) fn is_own(host: &str, names: &[String]) -> bool {
    if matches!(host, "localhost" | "127.0.0.1") {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_loopback(address);
    }
    let bases = AWS.into_iter().chain(["localhost", LOCALSTACK]).chain(names.iter().map(|n| &**n));
    bases.into_iter().any(|base| host == base || below(host, base).is_some())
}

/// Whether browsers take the name for this machine's own, to which they say more of a request.
pub(crate) fn is_trustworthy(host: &str) -> bool {
    host == "localhost"
        || below(host, "localhost").is_some()
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Loopback in either family, IPv4 written as IPv6 too.
pub(crate) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn below<'h>(host: &'h str, base: &str) -> Option<&'h str> {
    host.strip_suffix(base)?.strip_suffix('.').filter(|labels| !labels.is_empty())
}

const DIRECTIONS: [&str; 14] = [
    "east",
    "west",
    "north",
    "south",
    "central",
    "northeast",
    "northwest",
    "southeast",
    "southwest",
    "gov",
    "iso",
    "isob",
    "isoe",
    "isof",
];

/// `eu-west-1`, `us-gov-east-1`: told from other names by what its middle says.
fn is_region(label: &str) -> bool {
    let mut parts = label.split('-');
    let (first, last) = (parts.next().unwrap_or(""), parts.next_back().unwrap_or(""));
    let mut middle = parts.peekable();
    first.len() == 2
        && first.bytes().all(|b| b.is_ascii_lowercase())
        && (1..=2).contains(&last.len())
        && last.bytes().all(|b| b.is_ascii_digit())
        && middle.peek().is_some()
        && middle.all(|part| DIRECTIONS.contains(&part))
}

/// A name that could be a bucket's; anything else in a host name is nobody's.
fn bucket<'h>(bucket: &'h str, region: Option<&'h str>) -> HostStyle<'h> {
    let ok = (3..=63).contains(&bucket.len())
        && bucket.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if ok { HostStyle::Bucket { bucket, region } } else { HostStyle::Foreign }
}

/// `BUCKET.s3-website` and `BUCKET.s3-website-REGION`, of a name without the region that ended it.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteEndpoints.html>
fn website<'h>(labels: &'h str, region: Option<&'h str>) -> Option<HostStyle<'h>> {
    let (name, last) = labels.rsplit_once('.')?;
    let region = match last.strip_prefix("s3-website")? {
        "" => region,
        named => Some(named.strip_prefix('-').filter(|name| region.is_none() && is_region(name))?),
    };
    Some(match bucket(name, region) {
        HostStyle::Bucket { bucket, region } => HostStyle::Website { bucket, region },
        other => other,
    })
}

/// `s3`, `s3.REGION`, `BUCKET.s3`, `BUCKET.s3.REGION`, `SERVICE.REGION`; `None` for one label or
/// several that are none of these.
fn local(labels: &str) -> Option<HostStyle<'_>> {
    let (rest, region) = match labels.rsplit_once('.') {
        Some((rest, last)) if is_region(last) => (rest, Some(last)),
        _ => (labels, None),
    };
    if rest == "s3" {
        return Some(HostStyle::Service { prefix: "s3", region });
    }
    if let Some(found) = website(rest, region) {
        return Some(found);
    }
    if let Some(name) = rest.strip_suffix(".s3") {
        return Some(bucket(name, region));
    }
    region.map(|_| HostStyle::Service { prefix: rest, region })
}

/// Below `amazonaws.com`: `SERVICE.REGION`, `SERVICE`, and the many forms of S3.
fn aws(labels: &str) -> HostStyle<'_> {
    let (mut rest, mut region) = match labels.rsplit_once('.') {
        Some((rest, last)) if is_region(last) => (rest, Some(last)),
        _ => (labels, None),
    };
    if let Some(found) = website(rest, region) {
        return found;
    }
    rest = rest.strip_suffix(".dualstack").unwrap_or(rest);
    let (before, last) = rest.rsplit_once('.').map_or((None, rest), |(b, l)| (Some(b), l));
    let is_s3 = match last.strip_prefix("s3-") {
        Some(name) if region.is_none() && is_region(name) => {
            region = Some(name);
            true
        }
        // `NAME-ACCOUNT.s3-accesspoint`: which one is meant, S3 knows.
        _ => matches!(last, "s3" | "s3-accesspoint" | "s3-accesspoint-fips"),
    };
    match (is_s3, before) {
        (true, Some(name)) => bucket(name, region),
        (true, None) => HostStyle::Service { prefix: "s3", region },
        (false, _) => HostStyle::Service { prefix: rest, region },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, expected: HostStyle<'_>) {
        assert_eq!(parse(host, &["cloud.test".into()]), expected, "{host}");
    }

    fn in_bucket<'a>(bucket: &'a str, region: &'a str) -> HostStyle<'a> {
        HostStyle::Bucket { bucket, region: Some(region).filter(|r| !r.is_empty()) }
    }

    fn service<'a>(prefix: &'a str, region: &'a str) -> HostStyle<'a> {
        HostStyle::Service { prefix, region: Some(region).filter(|r| !r.is_empty()) }
    }

    #[test]
    fn plain_names() {
        let plain = [
            "",
            "localhost",
            "127.0.0.1",
            "::1",
            "10.0.0.7",
            "cloud.test",
            "localhost.localstack.cloud",
        ];
        for host in plain {
            check(host, HostStyle::Plain);
        }
    }

    #[test]
    fn buckets() {
        check("photos.localhost", in_bucket("photos", ""));
        check("a.my-bucket-1.localhost", in_bucket("a.my-bucket-1", ""));
        check("a.b.c.localhost", in_bucket("a.b.c", ""));
        check("photos.s3.localhost", in_bucket("photos", ""));
        check("my.photos.s3.eu-west-1.localhost", in_bucket("my.photos", "eu-west-1"));
        check("photos.s3.amazonaws.com", in_bucket("photos", ""));
        check("my.photos.s3.eu-west-1.amazonaws.com", in_bucket("my.photos", "eu-west-1"));
        check("photos.s3-eu-west-1.amazonaws.com", in_bucket("photos", "eu-west-1"));
        check("photos.s3.dualstack.eu-west-1.amazonaws.com", in_bucket("photos", "eu-west-1"));
        check("photos.s3.localhost.localstack.cloud", in_bucket("photos", ""));
        check("photos.s3.cloud.test", in_bucket("photos", ""));
    }

    #[test]
    fn websites() {
        let site = |bucket, region: &'static str| HostStyle::Website {
            bucket,
            region: Some(region).filter(|r| !r.is_empty()),
        };
        check("photos.s3-website-eu-west-1.amazonaws.com", site("photos", "eu-west-1"));
        check("photos.s3-website.eu-west-1.amazonaws.com", site("photos", "eu-west-1"));
        check("www.a.b.s3-website-us-east-1.amazonaws.com", site("www.a.b", "us-east-1"));
        check("photos.s3-website.localhost", site("photos", ""));
        check("photos.s3-website.localhost.localstack.cloud", site("photos", ""));
        check("photos.s3-website.eu-west-1.localhost", site("photos", "eu-west-1"));
        check("photos.s3-website-eu-west-1.localhost", site("photos", "eu-west-1"));
        check("photos.s3-website.cloud.test", site("photos", ""));
        check("photos.s3-website-nowhere.localhost", in_bucket("photos.s3-website-nowhere", ""));
        check("a b c.s3-website.localhost", HostStyle::Foreign);
    }

    #[test]
    fn services() {
        check("s3.localhost", service("s3", ""));
        check("s3.eu-west-1.localhost", service("s3", "eu-west-1"));
        check("sqs.eu-west-1.localhost", service("sqs", "eu-west-1"));
        check("s3.localhost.localstack.cloud", service("s3", ""));
        check("sqs.localhost.localstack.cloud", service("sqs", ""));
        check("s3-eu-west-1.amazonaws.com", service("s3", "eu-west-1"));
        check("s3.amazonaws.com", service("s3", ""));
        check("iam.amazonaws.com", service("iam", ""));
        check("monitoring.us-gov-west-1.amazonaws.com", service("monitoring", "us-gov-west-1"));
        check("s3.cn-north-1.amazonaws.com.cn", service("s3", "cn-north-1"));
    }

    #[test]
    fn foreign_names() {
        let foreign = [
            "example.com",
            "localhost.evil.com",
            "evillocalhost",
            "amazonaws.com.evil.org",
            "a/b.localhost",
            "x.localhost",
            ".localhost",
            "a b c.s3.localhost",
        ];
        for host in foreign {
            check(host, HostStyle::Foreign);
        }
    }

    #[test]
    fn which_names_are_our_own() {
        let names = ["cloud.test".to_owned()];
        for host in [
            "localhost",
            "127.0.0.1",
            "127.8.8.8",
            "::1",
            "::ffff:127.0.0.1",
            "cloud.test",
            "b.s3.localhost",
        ] {
            assert!(is_own(host, &names), "{host}");
        }
        for host in [
            "",
            "example.com",
            "10.0.0.1",
            "0.0.0.0",
            "172.17.0.1",
            "2001:db8::1",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_own(host, &names), "{host}");
        }
    }
}
