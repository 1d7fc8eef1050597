//! Signing, for our own clients: the load generator, the command line and the tests.

use crate::canonical::{Canonical, PathForm};
use crate::head::RequestHead;
use crate::key::{SigningKey, hex_str};
use crate::presented::RequestDate;
use crate::verify::Rules;
use crate::{ALGORITHM, Payload};
use base::Timestamp;
use std::borrow::Cow;

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    pub access_key: &'a str,
    /// Derived for the day of the request.
    pub key: &'a SigningKey,
    pub token: Option<&'a str>,
}

/// Headers that proxies and HTTP libraries change or add; signing them only breaks things.
const NOT_SIGNED: [&str; 7] = [
    "accept-encoding",
    "authorization",
    "connection",
    "expect",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
];

/// The names to sign, sorted and joined with `;`.
fn signed_headers(headers: &[(&str, &[u8])]) -> String {
    let mut names: Vec<&str> =
        headers.iter().map(|(name, _)| *name).filter(|name| !NOT_SIGNED.contains(name)).collect();
    names.sort_unstable();
    names.dedup();
    names.join(";")
}

fn path_form(rules: Rules) -> PathForm {
    match rules {
        Rules::S3 => PathForm::Once,
        Rules::General { .. } => PathForm::NormalisedTwice,
    }
}

/// The headers to add to a request: date, payload hash (S3), token and `authorization`. `head` holds
/// all others, `host` among them. Under [`Rules::General`] the body's hash is that of the rules.
pub fn sign_header(
    head: &RequestHead<'_>,
    rules: Rules,
    payload: Payload,
    credentials: &Credentials<'_>,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let date = RequestDate::from_time(now);
    let mut added = vec![("x-amz-date", date.stamp_str().to_owned())];
    let payload = match rules {
        Rules::S3 => {
            let text = payload.text();
            added.push(("x-amz-content-sha256", text.clone().into_owned()));
            text
        }
        Rules::General { body_sha256 } => Payload::Sha256(body_sha256).text(),
    };
    if let Some(token) = credentials.token {
        added.push(("x-amz-security-token", token.to_owned()));
    }
    let mut headers = head.headers.to_vec();
    headers.extend(added.iter().map(|(name, value)| (*name, value.as_bytes())));
    let signed_headers = signed_headers(&headers);
    let canonical = Canonical {
        head: RequestHead { headers: &headers, ..*head },
        path_form: path_form(rules),
        signed_headers: &signed_headers,
        payload: &payload,
        without_signature: false,
        without_default_port: false,
    };
    let signature = credentials.key.sign_request(&date.stamp, &canonical.sha256());
    let (access_key, scope) = (credentials.access_key, credentials.key.scope());
    let signature = hex_str(&signature);
    added.push((
        "authorization",
        format!(
            "{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={signed_headers}, Signature={signature}"
        ),
    ));
    added
}

/// The whole query of a presigned URL. `head` has the query without the signature, and the headers
/// that whoever uses the URL will have to send: at least `host`.
pub fn presign(
    head: &RequestHead<'_>,
    rules: Rules,
    credentials: &Credentials<'_>,
    now: Timestamp,
    expires_s: u32,
) -> String {
    let date = RequestDate::from_time(now);
    let signed_headers = signed_headers(head.headers);
    let credential = format!("{}/{}", credentials.access_key, credentials.key.scope());
    let mut query = head.query.to_owned();
    let mut add = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        base::percent::encode_into(value.as_bytes(), false, &mut query);
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add("X-Amz-Credential", &credential);
    add("X-Amz-Date", date.stamp_str());
    add("X-Amz-Expires", &expires_s.to_string());
    add("X-Amz-SignedHeaders", &signed_headers);
    if let Some(token) = credentials.token {
        add("X-Amz-Security-Token", token);
    }
    let payload = match rules {
        Rules::S3 => Cow::Borrowed(crate::payload::UNSIGNED),
        Rules::General { body_sha256 } => Payload::Sha256(body_sha256).text(),
    };
    let canonical = Canonical {
        head: RequestHead { query: &query, ..*head },
        path_form: path_form(rules),
        signed_headers: &signed_headers,
        payload: &payload,
        without_signature: false,
        without_default_port: false,
    };
    let signature = credentials.key.sign_request(&date.stamp, &canonical.sha256());
    query.push_str("&X-Amz-Signature=");
    query.push_str(hex_str(&signature));
    query
}
