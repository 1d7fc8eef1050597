//! What a request says about who signed it, parsed but not believed.

use crate::canonical::{Canonical, PathForm};
use crate::error::{AuthError, Cause, MissingParts, Place};
use crate::head::{RequestHead, pieces, trim};
use crate::query_auth;
use crate::verify::Rules;
use crate::{ALGORITHM, ALGORITHM_V4A, Payload, TERMINATOR};
use base::Timestamp;
use std::borrow::Cow;
use std::ops::Range;

/// Credentials as a request presents them. Borrows from the head where nothing had to be decoded.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    pub(crate) place: Place,
    pub(crate) credential: Credential<'a>,
    pub(crate) signed_headers: Cow<'a, str>,
    pub(crate) signature: Cow<'a, str>,
    pub(crate) date: RequestDate,
    pub(crate) token: Option<Cow<'a, str>>,
    pub(crate) expires_s: Option<u32>,
    /// The value of `x-amz-content-sha256`, from the query before the header.
    pub(crate) payload: Option<(Payload, Cow<'a, str>)>,
}

/// The time of a request, and its sixteen characters in the string to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestDate {
    pub time: Timestamp,
    pub stamp: [u8; 16],
    /// It came as an HTTP date, in the `Date` header.
    pub is_http: bool,
}

/// `access key/yyyymmdd/region/service/aws4_request`.
#[derive(Clone, Debug)]
pub(crate) struct Credential<'a> {
    text: Cow<'a, str>,
    /// Where the first four slashes are.
    slashes: [usize; 4],
}

impl<'a> Credential<'a> {
    pub(crate) fn parse(text: Cow<'a, str>) -> Result<Credential<'a>, Cause> {
        let mut slashes = [0; 4];
        let mut found = text.bytes().enumerate().filter(|(_, b)| *b == b'/').map(|(i, _)| i);
        for slash in &mut slashes {
            *slash = found.next().ok_or_else(|| Cause::Credential(text.to_string()))?;
        }
        if found.next().is_some() || pieces(&text, b'/').any(str::is_empty) {
            return Err(Cause::Credential(text.into_owned()));
        }
        let credential = Credential { text, slashes };
        if parse_date(credential.date()).is_none() {
            let date = credential.date().to_owned();
            return Err(Cause::ScopeDate(credential.text.into_owned(), date));
        }
        if credential.element(3) != TERMINATOR {
            let terminator = credential.element(3).to_owned();
            return Err(Cause::Terminator(credential.text.into_owned(), terminator));
        }
        Ok(credential)
    }

    fn element(&self, index: usize) -> &str {
        let range: Range<usize> = self.slashes[index] + 1
            ..self.slashes.get(index + 1).copied().unwrap_or(self.text.len());
        &self.text[range]
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
    pub(crate) fn access_key(&self) -> &str {
        &self.text[..self.slashes[0]]
    }
    pub(crate) fn date(&self) -> &str {
        self.element(0)
    }
    pub(crate) fn region(&self) -> &str {
        self.element(1)
    }
    pub(crate) fn service(&self) -> &str {
        self.element(2)
    }
    pub(crate) fn scope(&self) -> &str {
        &self.text[self.slashes[0] + 1..]
    }
}

fn two_digits(text: &[u8]) -> Option<i64> {
    match text {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

/// `yyyymmdd`.
fn parse_date(text: &str) -> Option<(i64, i64, i64)> {
    let text = text.as_bytes();
    if text.len() != 8 {
        return None;
    }
    let pair = |at: usize| two_digits(&text[at..at + 2]);
    let date = (pair(0)? * 100 + pair(2)?, pair(4)?, pair(6)?);
    Timestamp::from_civil(date, (0, 0, 0), 0).map(|_| date)
}

impl RequestDate {
    /// Reads `yyyymmddThhmmssZ`.
    pub(crate) fn parse(text: &[u8]) -> Option<RequestDate> {
        let stamp: [u8; 16] = text.try_into().ok()?;
        if stamp[8] != b'T' || stamp[15] != b'Z' {
            return None;
        }
        let date = parse_date(std::str::from_utf8(&stamp[..8]).ok()?)?;
        let pair = |at: usize| two_digits(&stamp[at..at + 2]);
        let time = Timestamp::from_civil(date, (pair(9)?, pair(11)?, pair(13)?), 0)?;
        Some(RequestDate { time, stamp, is_http: false })
    }

    pub(crate) fn from_time(time: Timestamp) -> RequestDate {
        let text = time.iso8601_basic();
        let stamp = text.as_bytes().try_into().unwrap_or(*b"00000000T000000Z");
        RequestDate { time, stamp, is_http: false }
    }

    /// Reads the `Date` header, which may also be an HTTP date.
    pub(crate) fn parse_date_header(text: &[u8]) -> Option<RequestDate> {
        if let Some(date) = RequestDate::parse(text) {
            return Some(date);
        }
        // Some clients write the zone as mail has it.
        let text = std::str::from_utf8(text).ok()?;
        let stem = text.strip_suffix(" -0000").or_else(|| text.strip_suffix(" +0000"));
        let time = match stem {
            Some(stem) => Timestamp::parse_http_date(&format!("{stem} GMT")),
            None => Timestamp::parse_http_date(text),
        };
        let time = time.ok()?;
        Some(RequestDate { is_http: true, ..RequestDate::from_time(time) })
    }

    pub(crate) fn stamp_str(&self) -> &str {
        std::str::from_utf8(&self.stamp).unwrap_or_default()
    }
}

/// Finds and parses the credentials of a request. `Ok(None)`: there are none, it is anonymous.
pub fn presented<'a>(head: &RequestHead<'a>) -> Result<Option<Presented<'a>>, AuthError> {
    let authorization = match head.single("authorization") {
        Ok(found) => found,
        Err(second) => {
            let shape = Cause::AuthorizationShape(String::from_utf8_lossy(second).into_owned());
            return Err(AuthError::new(Place::Header, shape));
        }
    };
    let in_query = query_auth::Parameters::find(head.query);
    match (authorization, in_query) {
        (None, None) => Ok(None),
        (Some(value), None) => {
            from_header(head, value).map(Some).map_err(|c| AuthError::new(Place::Header, c))
        }
        (None, Some(found)) => query_auth::from_query(head, found)
            .map(Some)
            .map_err(|c| AuthError::new(Place::Query, c)),
        (Some(value), Some(_)) => {
            let value = String::from_utf8_lossy(value).into_owned();
            Err(AuthError::new(Place::Header, Cause::TwoMechanisms(value)))
        }
    }
}

struct Parts<'a> {
    credential: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
}

fn parse_parts(text: &str) -> Result<Parts<'_>, Cause> {
    let mut parts = Parts { credential: None, signed_headers: None, signature: None };
    if text.is_empty() {
        return Ok(parts);
    }
    // Commas, spaces, or both stand between them.
    let apart = |piece| {
        let piece = str::trim_ascii(piece);
        let words = pieces(piece, b' ').flat_map(|words| pieces(words, b'\t'));
        words.filter(move |word| !word.is_empty() || piece.is_empty())
    };
    for component in pieces(text, b',').flat_map(apart) {
        let malformed = || Cause::Component(component.to_owned());
        let equals = component.bytes().position(|b| b == b'=').ok_or_else(malformed)?;
        let (name, value) = (&component[..equals], &component[equals + 1..]);
        let part = match name {
            "Credential" => &mut parts.credential,
            "SignedHeaders" => &mut parts.signed_headers,
            "Signature" => &mut parts.signature,
            _ => return Err(malformed()),
        };
        if part.replace(value).is_some() {
            return Err(malformed());
        }
    }
    Ok(parts)
}

fn from_header<'a>(head: &RequestHead<'a>, value: &'a [u8]) -> Result<Presented<'a>, Cause> {
    let lossy = || String::from_utf8_lossy(value).into_owned();
    let text = std::str::from_utf8(trim(value)).map_err(|_| Cause::AuthorizationShape(lossy()))?;
    let (scheme, rest) = text.split_once(' ').unwrap_or((text, ""));
    match scheme {
        ALGORITHM => {}
        ALGORITHM_V4A => return Err(Cause::VersionFourA),
        "AWS" => return Err(Cause::VersionTwo),
        _ if rest.is_empty() => return Err(Cause::AuthorizationShape(lossy())),
        other => return Err(Cause::Scheme(other.to_owned())),
    }
    let parts = parse_parts(rest.trim_ascii())?;
    let date = header_date(head)?;
    let present = |part: Option<&'a str>| part.filter(|p| !p.is_empty());
    let (Some(credential), Some(signed_headers), Some(signature), Some(date)) =
        (present(parts.credential), present(parts.signed_headers), present(parts.signature), date)
    else {
        let missing = MissingParts {
            credential: present(parts.credential).is_none(),
            signature: present(parts.signature).is_none(),
            signed_headers: present(parts.signed_headers).is_none(),
            date: date.is_none(),
        };
        let only_date = MissingParts { date: true, ..MissingParts::default() };
        return Err(match missing {
            m if m == only_date => Cause::DateMissing,
            m => Cause::MissingParts(m, lossy()),
        });
    };
    let token = match head.single("x-amz-security-token") {
        Ok(None) => None,
        Ok(Some(token)) => Some(header_text(token).ok_or_else(|| bad_token(token))?),
        Err(second) => return Err(bad_token(second)),
    };
    Ok(Presented {
        place: Place::Header,
        credential: Credential::parse(Cow::Borrowed(credential))?,
        signed_headers: Cow::Borrowed(signed_headers),
        signature: Cow::Borrowed(signature),
        date,
        token: token.map(Cow::Borrowed),
        expires_s: None,
        payload: header_payload(head)?.map(|(p, text)| (p, Cow::Borrowed(text))),
    })
}

fn bad_token(token: &[u8]) -> Cause {
    Cause::TokenInvalid(String::from_utf8_lossy(token).into_owned())
}

fn header_text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(trim(value)).ok()
}

/// `x-amz-date`, or else `Date`.
fn header_date(head: &RequestHead<'_>) -> Result<Option<RequestDate>, Cause> {
    let format = |value: &[u8]| Cause::DateFormat(String::from_utf8_lossy(value).into_owned());
    let (value, date) = if let Some(value) = head.single("x-amz-date").map_err(format)? {
        (value, RequestDate::parse(trim(value)))
    } else if let Some(value) = head.single("date").map_err(format)? {
        (value, RequestDate::parse_date_header(trim(value)))
    } else {
        return Ok(None);
    };
    date.map(Some).ok_or_else(|| format(value))
}

pub(crate) fn header_payload<'a>(
    head: &RequestHead<'a>,
) -> Result<Option<(Payload, &'a str)>, Cause> {
    let format = |value: &[u8]| Cause::PayloadFormat(String::from_utf8_lossy(value).into_owned());
    match head.single("x-amz-content-sha256").map_err(format)? {
        None => Ok(None),
        Some(value) => {
            let text = header_text(value).ok_or_else(|| format(value))?;
            Ok(Some((Payload::parse(text)?, text)))
        }
    }
}

impl<'a> Presented<'a> {
    /// Header or query.
    pub fn place(&self) -> Place {
        self.place
    }

    pub fn access_key(&self) -> &str {
        self.credential.access_key()
    }

    /// The scope's date, `yyyymmdd`: with region and service the key to cached [`SigningKey`]s.
    ///
    /// [`SigningKey`]: crate::SigningKey
    pub fn date(&self) -> &str {
        self.credential.date()
    }

    pub fn region(&self) -> &str {
        self.credential.region()
    }

    pub fn service(&self) -> &str {
        self.credential.service()
    }

    /// `yyyymmdd/region/service/aws4_request`.
    pub fn scope(&self) -> &str {
        self.credential.scope()
    }

    /// Names of the signed headers, joined with `;`.
    pub fn signed_headers(&self) -> &str {
        &self.signed_headers
    }

    /// As it was sent; after [`Presented::verify`] it is the seed of the first chunk's signature.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    pub fn time(&self) -> Timestamp {
        self.date.time
    }

    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// How long a presigned URL is valid, in seconds.
    pub fn expires_s(&self) -> Option<u32> {
        self.expires_s
    }

    /// How the body is bound to the signature. Where the request does not say: not at all in a URL
    /// presigned for S3; by the body's hash everywhere else.
    pub fn payload(&self, rules: Rules) -> Payload {
        match (&self.payload, rules) {
            (Some((payload, _)), _) => *payload,
            (None, Rules::S3) => Payload::Unsigned,
            (None, Rules::General { body_sha256 }) => Payload::Sha256(body_sha256),
        }
    }

    /// A refusal of these credentials.
    pub fn refuse(&self, cause: Cause) -> AuthError {
        AuthError::new(self.place, cause)
    }

    pub(crate) fn canonical<'c>(
        &'c self,
        head: &RequestHead<'c>,
        path_form: PathForm,
        payload: &'c str,
    ) -> Canonical<'c> {
        Canonical {
            head: *head,
            path_form,
            signed_headers: &self.signed_headers,
            payload,
            without_signature: self.place == Place::Query,
            without_default_port: false,
        }
    }
}
