//! What may be a bucket's name, an object's key, and the texts for what may not.

use api::Error;
use gen_s3::errors as e;

/// Longest object key, in bytes of UTF-8.
const KEY_BYTES_MAX: usize = 1024;

/// General purpose bucket naming rules.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
pub fn is_bucket_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    let edge = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|b| edge(b) || matches!(b, b'.' | b'-'))
        && bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && !name.contains("..")
        && !looks_like_ip(name)
        && !["xn--", "sthree-", "amzn-s3-demo-"].iter().any(|p| name.starts_with(p))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|s| name.ends_with(s))
}

fn looks_like_ip(name: &str) -> bool {
    name.split('.').count() == 4
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

pub fn check_bucket_name(name: &str) -> Result<(), Error> {
    if is_bucket_name(name) {
        return Ok(());
    }
    Err(Error::new(&e::INVALID_BUCKET_NAME, "The specified bucket is not valid.")
        .detail("BucketName", name))
}

pub fn check_key(key: &str) -> Result<(), Error> {
    if key.len() > KEY_BYTES_MAX {
        return Err(Error::new(&e::KEY_TOO_LONG_ERROR, "Your key is too long")
            .detail("Size", key.len().to_string())
            .detail("MaxSizeAllowed", KEY_BYTES_MAX.to_string()));
    }
    Ok(())
}

/// A condition key: whether what is asked for makes an object, or a part of one to come.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html>
pub fn creates_object(does: bool) -> (std::borrow::Cow<'static, str>, Vec<String>) {
    ("s3:objectcreationoperation".into(), vec![does.to_string()])
}

pub fn bucket_arn(partition: base::Partition, bucket: &str) -> String {
    ["arn:", partition.as_str(), ":s3:::", bucket].concat()
}

pub fn object_arn(partition: base::Partition, bucket: &str, key: &str) -> String {
    ["arn:", partition.as_str(), ":s3:::", bucket, "/", key].concat()
}

/// The first two of some prefixes under which the same key may stand.
pub fn overlapping<'p>(prefixes: &[&'p str]) -> Option<(&'p str, &'p str)> {
    let mut pairs = prefixes
        .iter()
        .enumerate()
        .flat_map(|(at, one)| prefixes[at + 1..].iter().map(move |other| (*one, *other)));
    pairs.find(|(one, other)| one.starts_with(other) || other.starts_with(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for good in ["abc", "a.b-c.1", "1ab", &"a".repeat(63), "docs.example.com", "1.2.3"] {
            assert!(is_bucket_name(good), "{good}");
        }
        let bad = "ab|Abc|a_b|-abc|abc-|.abc|abc.|a..b|192.168.0.1|xn--abc|abc-s3alias|a b|äbc|a/b";
        for bad in bad.split('|').chain(["", &"a".repeat(64)]) {
            assert!(!is_bucket_name(bad), "{bad}");
        }
    }
}
