//! The head of a request, taken apart once: raw for the signature, decoded for everything else.

use api::Error;
use base::limits::REQUEST_HEADERS_MAX;
use base::percent;
use http::request::Parts;
use sigv4::RequestHead;
use std::borrow::Cow;

/// A name and its value.
pub(crate) type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Everything that stands before the body. Borrows from the parts that the server read.
pub(crate) struct Head<'a> {
    pub method: &'a str,
    /// As on the wire.
    pub path: &'a str,
    /// As on the wire, without the `?`.
    pub raw_query: &'a str,
    /// Lower-case names; `host` is among them however it came.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// Decoded, in order.
    pub query: Vec<Pair<'a>>,
    /// Lower-case, without port and final dot.
    pub host: Cow<'a, str>,
    pub port: Option<u16>,
}

impl<'a> Head<'a> {
    pub fn read(parts: &'a Parts) -> Result<Head<'a>, Error> {
        let mut headers = Vec::with_capacity(parts.headers.len() + 1);
        for (name, value) in &parts.headers {
            headers.push((name.as_str(), value.as_bytes()));
        }
        if headers.len() > REQUEST_HEADERS_MAX {
            return Err(too_large());
        }
        // HTTP/2, and a request line in absolute form, name the host in the URI.
        if let Some(authority) = parts.uri.authority() {
            headers.retain(|(name, _)| *name != "host");
            headers.push(("host", authority.as_str().as_bytes()));
        }
        let raw_query = parts.uri.query().unwrap_or("");
        let (host, port) = host(&headers)?;
        let path = match parts.uri.path() {
            "" => "/",
            path => path,
        };
        let query = decode_query(raw_query)?;
        let method = parts.method.as_str();
        Ok(Head { method, path, raw_query, headers, query, host, port })
    }

    /// As signatures see it.
    pub fn signed(&self) -> RequestHead<'_> {
        RequestHead {
            method: self.method,
            path: self.path,
            query: self.raw_query,
            headers: &self.headers,
        }
    }

    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| *value)
    }

    /// The header as text; what is no text counts as absent.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header(name)?).ok().map(str::trim_ascii)
    }

    pub fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }

    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(own, _)| own == name).map(|(_, value)| &**value)
    }

    /// The query for those who outlive the head.
    pub fn owned_query(&self) -> Vec<(String, String)> {
        let own = |(name, value): &Pair<'_>| (name.to_string(), value.to_string());
        self.query.iter().map(own).collect()
    }

    /// Whether the body, if any, is an HTML form's fields.
    pub fn is_form(&self) -> bool {
        self.has_media_type("application/x-www-form-urlencoded")
    }

    pub fn has_media_type(&self, media_type: &str) -> bool {
        let value = self.text("content-type").unwrap_or("");
        let own = value.split(';').next().unwrap_or("").trim_ascii();
        own.eq_ignore_ascii_case(media_type)
    }
}

impl smithy::Headers for Head<'_> {
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.headers {
            visit(name, value);
        }
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.header(name)
    }
}

/// Headers as an operation sees them. In a presigned URL of S3 the query has those that whoever uses it
/// could not send; a header proper comes first. Checksums in a URL count for nothing, as on S3: the
/// signer has no body, and the JavaScript SDK writes down that of an empty one.
pub(crate) struct Hoisted<'h, 'a> {
    pub head: &'h Head<'a>,
    pub in_query: bool,
}

impl Hoisted<'_, '_> {
    fn parameters(&self) -> impl Iterator<Item = (String, &[u8])> {
        let query = if self.in_query { &self.head.query[..] } else { &[] };
        query.iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_checksum = name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode"
                || name == "x-amz-sdk-checksum-algorithm";
            let is_header = name.starts_with("x-amz-") && !is_checksum
                || matches!(name.as_str(), "content-type" | "content-md5");
            (is_header && self.head.header(&name).is_none()).then_some((name, value.as_bytes()))
        })
    }
}

impl smithy::Headers for Hoisted<'_, '_> {
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        self.head.each(visit);
        self.parameters().for_each(|(name, value)| visit(&name, value));
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        let in_query = || self.parameters().find(|(own, _)| own == name).map(|(_, value)| value);
        self.head.header(name).or_else(in_query)
    }
}

pub(crate) fn too_large() -> Error {
    let text = "Your request header section exceeds the maximum allowed size.";
    Error::with_code("RequestHeaderSectionTooLarge", 400, text)
}

fn bad_uri() -> Error {
    Error::with_code("InvalidURI", 400, "Couldn't parse the specified URI.")
}

fn host<'a>(headers: &[(&'a str, &'a [u8])]) -> Result<(Cow<'a, str>, Option<u16>), Error> {
    let bad = || Error::with_code("InvalidRequest", 400, "Invalid Host header.");
    let mut all = headers.iter().filter(|(name, _)| *name == "host");
    // HTTP/1.0 has none; two would be two opinions.
    let Some((_, value)) = all.next() else { return Ok((Cow::Borrowed(""), None)) };
    if all.next().is_some() {
        return Err(bad());
    }
    let text = std::str::from_utf8(value).map_err(|_| bad())?.trim_ascii();
    split_port(text).ok_or_else(bad)
}

/// The lower-case name and the port of `name:port`, `[v6]:port` and the like.
pub(crate) fn split_port(text: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (name, rest) = rest.split_once(']')?;
            (name, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
        Some(_) => return None,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > 253 {
        return None;
    }
    Some((lower(name), port))
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Query parameters, decoded; `+` is a space.
pub(crate) fn decode_query(raw: &str) -> Result<Vec<Pair<'_>>, Error> {
    if raw.is_empty() {
        return Ok(Vec::new());
    }
    let parts = raw.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode_text(name)?, decode_text(value)?))
        })
        .collect()
}

fn decode_text(text: &str) -> Result<Cow<'_, str>, Error> {
    match percent::decode_form(text) {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(text)),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| bad_uri()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smithy::Headers;

    fn check_host(text: &str, expected: Option<(&str, Option<u16>)>) {
        let found = split_port(text);
        let found = found.as_ref().map(|(name, port)| (&**name, *port));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn hosts() {
        check_host("localhost:4566", Some(("localhost", Some(4566))));
        check_host("LOCALHOST.", Some(("localhost", None)));
        check_host("[::1]:80", Some(("::1", Some(80))));
        check_host("[::1]", Some(("::1", None)));
        check_host("", Some(("", None)));
        check_host("a:", None);
        check_host("a:99999", None);
        check_host("a:b", None);
        check_host("[::1", None);
        check_host("[::1]80", None);
        check_host(&"a".repeat(254), None);
    }

    fn parts(build: impl FnOnce(http::request::Builder) -> http::request::Builder) -> Parts {
        build(http::Request::builder()).body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_authority_of_the_uri_is_the_host() {
        let parts = parts(|b| b.uri("http://a.localhost:1/x?y=a+b&z").header("host", "b"));
        let head = Head::read(&parts).unwrap();
        assert_eq!((&*head.host, head.port), ("a.localhost", Some(1)));
        assert_eq!(head.header("host"), Some(&b"a.localhost:1"[..]));
        assert_eq!((head.query_value("y"), head.query_value("z")), (Some("a b"), Some("")));
        assert_eq!((head.path, head.raw_query), ("/x", "y=a+b&z"));
    }

    #[test]
    fn headers_in_the_query_of_a_presigned_url() {
        let uri = "/k?x-amz-meta-a=b%20c&X-Amz-Acl=private&content-type=a&other=1&x-amz-b=1\
                   &x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32";
        let parts = parts(|b| b.uri(uri).header("x-amz-b", "2").header("range", "r"));
        let head = Head::read(&parts).unwrap();
        let hoisted = Hoisted { head: &head, in_query: true };
        let mut all = Vec::new();
        hoisted.each(&mut |name, value| {
            all.push(format!("{name}={}", String::from_utf8_lossy(value)));
        });
        all.sort();
        let expected = "content-type=a range=r x-amz-acl=private x-amz-b=2 x-amz-meta-a=b c";
        assert_eq!(all.join(" "), expected);
        for (name, expected) in [("x-amz-acl", "private"), ("x-amz-b", "2"), ("content-type", "a")]
        {
            assert_eq!(hoisted.get(name), Some(expected.as_bytes()), "{name}");
        }
        assert_eq!((hoisted.get("other"), hoisted.get("host")), (None, None));
    }

    #[test]
    fn refuses_what_is_ambiguous() {
        let two = parts(|b| b.uri("/").header("host", "a").header("host", "b"));
        assert_eq!(Head::read(&two).err().unwrap().code(), "InvalidRequest");
        let not_text = parts(|b| b.uri("/?a=%ff").header("host", "a"));
        assert_eq!(Head::read(&not_text).err().unwrap().code(), "InvalidURI");
        let mut many = parts(|b| b.uri("/"));
        for n in 0..=REQUEST_HEADERS_MAX {
            let name = http::HeaderName::from_bytes(format!("x-{n}").as_bytes()).unwrap();
            many.headers.insert(name, http::HeaderValue::from_static("1"));
        }
        assert_eq!(Head::read(&many).err().unwrap().code(), "RequestHeaderSectionTooLarge");
    }
}
