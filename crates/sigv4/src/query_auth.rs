//! Credentials in the query: presigned URLs.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html>

use crate::error::{Cause, Place};
use crate::head::RequestHead;
use crate::presented::{Credential, Presented, RequestDate, header_payload};
use crate::{ALGORITHM, ALGORITHM_V4A, Payload};
use std::borrow::Cow;

/// The longest validity of a presigned URL: a week.
pub(crate) const EXPIRES_S_MAX: u32 = 604_800;

const ALGORITHM_NAME: usize = 0;
const CREDENTIAL: usize = 1;
const SIGNATURE: usize = 2;
const DATE: usize = 3;
const SIGNED_HEADERS: usize = 4;
const EXPIRES: usize = 5;
const TOKEN: usize = 6;
const CONTENT_SHA256: usize = 7;

const NAMES: [&str; 8] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

/// The raw values of the parameters that sign a URL.
pub(crate) struct Parameters<'a> {
    values: [Option<&'a str>; 8],
    repeated: Option<&'static str>,
    version_two: bool,
}

impl<'a> Parameters<'a> {
    /// `None` for a query without a signature.
    pub(crate) fn find(query: &'a str) -> Option<Parameters<'a>> {
        if query.is_empty() {
            return None;
        }
        let mut found = Parameters { values: [None; 8], repeated: None, version_two: false };
        let (mut key_v2, mut signature_v2) = (false, false);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            key_v2 |= name == "AWSAccessKeyId";
            signature_v2 |= name == "Signature";
            if !name.starts_with("X-Amz-") {
                continue;
            }
            if let Some(i) = NAMES.iter().position(|n| *n == name)
                && found.values[i].replace(value).is_some()
            {
                found.repeated = Some(NAMES[i]);
            }
        }
        found.version_two = key_v2 && signature_v2;
        let signed = [ALGORITHM_NAME, CREDENTIAL, SIGNATURE];
        (found.version_two || signed.iter().any(|i| found.values[*i].is_some())).then_some(found)
    }

    /// The decoded value; `None` if it is not there, or empty.
    fn value(&self, index: usize) -> Option<Cow<'a, str>> {
        let raw = self.values[index].filter(|v| !v.is_empty())?;
        Some(match base::percent::decode_form(raw) {
            Cow::Borrowed(_) => Cow::Borrowed(raw),
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
            ),
        })
    }

    fn required(&self, index: usize) -> Result<Cow<'a, str>, Cause> {
        self.value(index).ok_or(Cause::MissingParameter(NAMES[index]))
    }
}

fn parse_expires(text: &str) -> Result<u32, Cause> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Cause::ExpiresFormat);
    }
    if digits.len() < text.len() {
        return Err(Cause::ExpiresNegative);
    }
    digits.parse().ok().filter(|s| *s <= EXPIRES_S_MAX).ok_or(Cause::ExpiresTooLong)
}

pub(crate) fn from_query<'a>(
    head: &RequestHead<'a>,
    found: Parameters<'a>,
) -> Result<Presented<'a>, Cause> {
    if found.version_two {
        return Err(Cause::VersionTwo);
    }
    if let Some(name) = found.repeated {
        return Err(Cause::RepeatedParameter(name));
    }
    match &*found.required(ALGORITHM_NAME)? {
        ALGORITHM => {}
        ALGORITHM_V4A => return Err(Cause::VersionFourA),
        other => return Err(Cause::Algorithm(other.to_owned())),
    }
    let credential = found.required(CREDENTIAL)?;
    let signature = found.required(SIGNATURE)?;
    let date = found.required(DATE)?;
    let signed_headers = found.required(SIGNED_HEADERS)?;
    let credential = Credential::parse(credential)?;
    let date =
        RequestDate::parse(date.as_bytes()).ok_or_else(|| Cause::DateFormat(date.into_owned()))?;
    let expires_s = found.value(EXPIRES).map(|text| parse_expires(&text)).transpose()?;
    let payload = match found.value(CONTENT_SHA256) {
        Some(text) => Some((Payload::parse(&text)?, text)),
        // A header that is not signed cannot say how the body was signed; verify looks at it again.
        None if signed_headers.split(';').any(|n| n == "x-amz-content-sha256") => {
            header_payload(head)?.map(|(p, text)| (p, Cow::Borrowed(text)))
        }
        None => None,
    };
    Ok(Presented {
        place: Place::Query,
        credential,
        signed_headers,
        signature,
        date,
        token: found.value(TOKEN),
        expires_s,
        payload,
    })
}
