//! What a path below `/v2/` names. Names of repositories have slashes of their own.

use oci::Digest;

const NAME_LENGTH_MAX: usize = 255;
const REFERENCE_LENGTH_MAX: usize = 128;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place<'p> {
    Base,
    Token,
    Catalog,
    Collect,
    Tags(&'p str),
    /// A tag or a digest.
    Manifest(&'p str, &'p str),
    Blob(&'p str, &'p str),
    Uploads(&'p str),
    Upload(&'p str, &'p str),
    Referrers(&'p str, &'p str),
    Unknown,
}

pub fn parse(path: &str) -> Place<'_> {
    let rest = path.strip_prefix("/v2").unwrap_or_default();
    match rest {
        "" | "/" => return Place::Base,
        "/token" => return Place::Token,
        "/_catalog" => return Place::Catalog,
        "/_cumulet/collect" => return Place::Collect,
        _ => {}
    }
    let Some(rest) = rest.strip_prefix('/') else { return Place::Unknown };
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return Place::Tags(name);
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads/").or(rest.strip_suffix("/blobs/uploads"))
    {
        return Place::Uploads(name);
    }
    let Some((above, last)) = rest.rsplit_once('/') else { return Place::Unknown };
    for (middle, make) in [
        ("/blobs/uploads", Place::Upload as fn(_, _) -> _),
        ("/blobs", Place::Blob),
        ("/manifests", Place::Manifest),
        ("/referrers", Place::Referrers),
    ] {
        if let Some(name) = above.strip_suffix(middle) {
            return make(name, last);
        }
    }
    Place::Unknown
}

/// Lower-case parts with single separators in between.
pub fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = part.as_bytes();
        let plain = bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(b));
        let separated = part
            .split(|c: char| c.is_ascii_alphanumeric())
            .all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'));
        plain && separated && edge(bytes.first()) && edge(bytes.last())
    };
    name.len() <= NAME_LENGTH_MAX && name.split('/').all(part)
}

pub fn is_tag(tag: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    tag.len() <= REFERENCE_LENGTH_MAX
        && tag.bytes().all(plain)
        && tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A digest as a key of rows.
pub fn digest(text: &str) -> Option<String> {
    Digest::parse(text).map(|digest| digest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (path, expected) in [
            ("/v2/", Place::Base),
            ("/v2", Place::Base),
            ("/v2/_catalog", Place::Catalog),
            ("/v2/a/b/tags/list", Place::Tags("a/b")),
            ("/v2/a/manifests/latest", Place::Manifest("a", "latest")),
            ("/v2/a/blobs/sha256:1", Place::Blob("a", "sha256:1")),
            ("/v2/a/blobs/uploads/", Place::Uploads("a")),
            ("/v2/a/blobs/uploads/x", Place::Upload("a", "x")),
            ("/v2/blobs/uploads/blobs/uploads/x", Place::Upload("blobs/uploads", "x")),
            ("/v2/a/referrers/sha256:1", Place::Referrers("a", "sha256:1")),
            ("/v2/a", Place::Unknown),
            ("/v2/a/b", Place::Unknown),
            ("/v2x", Place::Unknown),
        ] {
            assert_eq!(parse(path), expected, "{path}");
        }
    }

    #[test]
    fn names() {
        for good in ["a", "a/b", "a-b", "a--b", "a_b", "a__b", "a.b", "0/1"] {
            assert!(is_name(good), "{good}");
        }
        let long = "a".repeat(256);
        for bad in ["", "A", "a/", "/a", "a//b", "-a", "a-", "a..b", "a___b", "a._b", "..", &long] {
            assert!(!is_name(bad), "{bad}");
        }
        assert!(
            is_tag("v1.0_x-y") && is_tag("_a") && !is_tag("-a") && !is_tag("") && !is_tag("a/b")
        );
    }
}
