//! What a client says of an object beside its bytes: headers, user metadata, tags, storage class,
//! encryption.

use crate::rows::Meta;
use api::{Cx, Error};
use base::percent;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gen_s3::errors as e;
use std::collections::BTreeMap;

/// User metadata of one object, names and values, in bytes.
const USER_BYTES_MAX: usize = 2048;
const REDIRECT_BYTES_MAX: usize = 2048;
const TAGS_MAX: usize = 10;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

const STORAGE_CLASSES: [&str; 9] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "GLACIER_IR",
    "SNOW",
];

/// What the input of an operation that makes an object says of it. PutObject and
/// CreateMultipartUpload have the same members in different types.
macro_rules! of_input {
    ($cx:expr, $input:expr) => {
        $crate::rows::Meta {
            content_type: $crate::meta::content_type(&$input.content_type, $cx),
            cache_control: $input.cache_control.clone(),
            content_disposition: $input.content_disposition.clone(),
            content_encoding: $crate::meta::content_encoding(&$input.content_encoding),
            content_language: $input.content_language.clone(),
            expires: $input.expires.clone(),
            website_redirect: $crate::meta::redirect(&$input.website_redirect_location)?,
            user: $crate::meta::user(&$input.metadata)?,
            storage_class: $crate::meta::storage_class(&$input.storage_class)?,
            tags: $crate::meta::tagging_header(&$input.tagging)?,
            ..$crate::rows::Meta::default()
        }
    };
}
pub(crate) use of_input;

/// What policies may say of it.
macro_rules! keys {
    ($input:expr, $ask:expr) => {
        $ask.key("s3:x-amz-storage-class", $input.storage_class.as_deref())
            .key("s3:x-amz-website-redirect-location", $input.website_redirect_location.as_deref())
    };
}
pub(crate) use keys;

pub fn user(given: &Option<BTreeMap<String, String>>) -> Result<BTreeMap<String, String>, Error> {
    let mut user = BTreeMap::new();
    for (name, value) in given.iter().flatten() {
        user.insert(name.to_ascii_lowercase(), value.clone());
    }
    let size: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > USER_BYTES_MAX {
        return Err(Error::new(
            &e::METADATA_TOO_LARGE,
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .detail("Size", size.to_string())
        .detail("MaxSizeAllowed", USER_BYTES_MAX.to_string()));
    }
    Ok(user)
}

/// What responses show of it. Values beyond ASCII go through mail-safe words, and S3 takes each byte of
/// what came for a character of Latin-1:
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html#UserMetadata>
pub fn shown_user(meta: &Meta) -> Option<BTreeMap<String, String>> {
    let shown = |value: &String| match value.is_ascii() {
        true => value.clone(),
        false => {
            let characters: String = value.bytes().map(char::from).collect();
            format!("=?UTF-8?B?{}?=", BASE64_STANDARD.encode(characters))
        }
    };
    let pairs = meta.user.iter().map(|(name, value)| (name.clone(), shown(value)));
    (!meta.user.is_empty()).then(|| pairs.collect())
}

/// Where a website host leads whoever asks for the object.
pub fn redirect(given: &Option<String>) -> Result<Option<String>, Error> {
    let Some(to) = given else { return Ok(None) };
    if !["/", "http://", "https://"].iter().any(|start| to.starts_with(start)) {
        let text =
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
        return Err(Error::with_code("InvalidRedirectLocation", 400, text));
    }
    if to.len() > REDIRECT_BYTES_MAX {
        let text = "The length of website redirect location cannot exceed 2,048 characters.";
        return Err(Error::with_code("InvalidRedirectLocation", 400, text));
    }
    Ok(Some(to.clone()))
}

/// Empty for STANDARD.
pub fn storage_class(asked: &Option<String>) -> Result<String, Error> {
    match asked.as_deref() {
        None | Some("STANDARD") => Ok(String::new()),
        Some(class) if STORAGE_CLASSES.contains(&class) => Ok(class.to_owned()),
        Some(class) => {
            let text = "The storage class you specified is not valid";
            Err(Error::new(&e::INVALID_STORAGE_CLASS, text).detail("StorageClassRequested", class))
        }
    }
}

/// The storage class as responses show it: STANDARD is left out of headers.
pub fn shown_class(meta: &Meta) -> Option<String> {
    (!meta.storage_class.is_empty()).then(|| meta.storage_class.clone())
}

/// `a=1&b=2`, as `x-amz-tagging` carries it.
pub fn tagging_header(header: &Option<String>) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = Vec::new();
    for pair in header.iter().flat_map(|h| h.split('&')).filter(|p| !p.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |part| String::from_utf8(percent::decode_form(part).into_owned());
        let (Ok(key), Ok(value)) = (text(key), text(value)) else {
            return Err(Error::new(
                &e::INVALID_ARGUMENT,
                "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
            )
            .detail("ArgumentName", "x-amz-tagging"));
        };
        tags.push((key, value));
    }
    object_tags(tags)
}

/// Tags of one object.
pub fn object_tags(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Error> {
    if given.len() > TAGS_MAX {
        let text = format!("Object tags cannot be greater than {TAGS_MAX}");
        return Err(Error::with_code("BadRequest", 400, text));
    }
    tags_checked(given)
}

pub fn tags_checked(given: Vec<(String, String)>) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = BTreeMap::new();
    for (key, value) in given {
        if key.is_empty() || key.chars().count() > TAG_KEY_MAX || !is_tag_text(&key) {
            let text = "The TagKey you have provided is invalid";
            return Err(Error::new(&e::INVALID_TAG, text).detail("TagKey", key));
        }
        if value.chars().count() > TAG_VALUE_MAX || !is_tag_text(&value) {
            let text = "The TagValue you have provided is invalid";
            return Err(Error::new(&e::INVALID_TAG, text).detail("TagValue", value));
        }
        if let Some(_twice) = tags.insert(key.clone(), value) {
            let text = "Cannot provide multiple Tags with the same key";
            return Err(Error::new(&e::INVALID_TAG, text).detail("TagKey", key));
        }
    }
    Ok(tags)
}

/// Letters, digits and spaces of any script, and `+ - = . _ : / @`.
fn is_tag_text(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c))
}

/// The encryption as responses show it: everything is encrypted, by S3's own keys at least. What is
/// under a customer's key is shown by other headers.
pub fn shown_encryption(meta: &Meta) -> Option<String> {
    if meta.customer.is_some() {
        return None;
    }
    Some(if meta.encryption.is_empty() { "AES256".into() } else { meta.encryption.clone() })
}

/// The content type that S3 gives an object for which the client named none.
pub fn content_type(given: &Option<String>, _: &Cx) -> Option<String> {
    Some(given.clone().unwrap_or_else(|| "binary/octet-stream".into()))
}

/// `Content-Encoding` without the framing of the upload.
pub fn content_encoding(given: &Option<String>) -> Option<String> {
    let given = given.as_ref()?;
    if !given.contains("aws-chunked") {
        return Some(given.clone());
    }
    let codings = given.split(',').map(str::trim).filter(|c| *c != "aws-chunked");
    let kept = codings.collect::<Vec<_>>().join(",");
    (!kept.is_empty()).then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the user guide.
    #[test]
    fn metadata_beyond_ascii() {
        let check = |value: &str, expected: &str| {
            let user = BTreeMap::from([("a".to_owned(), value.to_owned())]);
            let meta = Meta { user, ..Meta::default() };
            assert_eq!(shown_user(&meta).unwrap()["a"], expected);
        };
        check("plain", "plain");
        check("ÄMÄZÕÑ S3", "=?UTF-8?B?w4PChE3Dg8KEWsODwpXDg8KRIFMz?=");
    }

    #[test]
    fn content_encoding_loses_the_framing() {
        let check = |given: &str, expected: Option<&str>| {
            assert_eq!(content_encoding(&Some(given.into())).as_deref(), expected, "{given}");
        };
        check("aws-chunked", None);
        check("gzip,aws-chunked", Some("gzip"));
        check("aws-chunked, br", Some("br"));
        check("gzip", Some("gzip"));
        check("deflate, gzip", Some("deflate, gzip"));
    }

    #[test]
    fn tags_of_a_header() {
        let check = |header: &str, expected: Result<usize, &str>| {
            let got = tagging_header(&Some(header.into()));
            assert_eq!(got.as_ref().map(BTreeMap::len).map_err(Error::code), expected, "{header}");
        };
        check("", Ok(0));
        check("a=1&b=2&c", Ok(3));
        check("a%20b=x%2By", Ok(1));
        check("a=1&a=2", Err("InvalidTag"));
        check("=1", Err("InvalidTag"));
        check("a=%ff", Err("InvalidArgument"));
        check("a=<b>", Err("InvalidTag"));
        check("1&2&3&4&5&6&7&8&9&10&11", Err("BadRequest"));
    }
}
