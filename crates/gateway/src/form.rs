//! `POST` of a browser form to a bucket: the form's fields become what headers are elsewhere, and the
//! file runs through the same operation as every other object, `PutObject`.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html>

use crate::authenticate::{Received, Signed, check_token};
use crate::encode::{Response, ResponseStream};
use crate::form_data::{self, FileStream, FormStart};
use crate::gateway::{Call, Flow, Gateway, Peer, Seen};
use crate::guard;
use crate::head::Head;
use crate::host::HostStyle;
use crate::identify::{Entry, Target};
use crate::payload::{RequestStream, refusal};
use crate::refuse;
use api::{ByteStream, Error, RequestBody};
use base::percent;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use sigv4::{AuthError, Cause, Dialect, Form, FormCredentials, Place, PostPolicy, v2};
use smithy::Struct;
use smithy::model::{Protocol, Served};
use smithy::xml::{Reader, Token};
use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Fields that stand for headers under another name.
const AS_HEADER: [(&str, &str); 6] = [
    ("acl", "x-amz-acl"),
    ("cache-control", "cache-control"),
    ("content-disposition", "content-disposition"),
    ("content-encoding", "content-encoding"),
    ("content-type", "content-type"),
    ("expires", "expires"),
];
/// Fields beginning with `x-amz-` that are about the signature.
const ABOUT_SIGNATURE: [&str; 5] = [
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-signature",
];

/// What the client wants to be told afterwards.
struct Afterwards {
    status: u16,
    redirect: Option<String>,
}

/// Fields by name, of a form or a document, as an operation takes headers.
#[derive(Default)]
pub(crate) struct FieldHeaders(pub Vec<(String, String)>);

impl smithy::Headers for FieldHeaders {
    fn each(&self, visit: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.0 {
            visit(name, value.as_bytes());
        }
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_bytes())
    }
}

/// Whether a request without credentials in its head is one: its fields may have them.
pub(crate) fn is_upload(head: &Head<'_>) -> bool {
    head.method == "POST" && head.raw_query.is_empty() && head.has_media_type("multipart/form-data")
}

impl Gateway {
    pub(crate) async fn post_form<'g>(
        &'g self,
        peer: &Peer,
        head: &Head<'_>,
        target: Target<'g, '_>,
        body: RequestStream,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        let entry = target.entry;
        let operation = entry.model.operation("PutObject");
        let operation = operation.ok_or_else(|| Error::not_implemented("PostObject"))?;
        let (Some(served), Some(prepared)) = (&operation.served, entry.prepared(operation)) else {
            return Err(Error::not_implemented("PostObject"));
        };
        seen.operation = Some(operation);
        let bucket = bucket(head, &target)?;
        let boundary = form_data::boundary(head.text("content-type").unwrap_or(""))?;
        let FormStart { mut fields, file_name, file } = form_data::read(body, &boundary).await?;
        for (_, value) in &mut fields {
            if value.contains("${filename}") {
                *value = value.replace("${filename}", &file_name);
            }
        }
        let (signed, policy) = self.form_signed(peer, head, &target, (&bucket, &fields), seen)?;
        let key = field(&fields, "key").filter(|key| !key.is_empty()).ok_or_else(|| {
            let text = "Bucket POST must contain a field named 'key'.  If it is specified, please \
                        check the order of the fields.";
            Error::with_code("InvalidArgument", 400, text)
                .detail("ArgumentName", "key")
                .detail("ArgumentValue", "")
        })?;
        let key = key.to_owned();
        let afterwards = afterwards(&fields);
        let cx = self.context(head, entry, operation, &signed, peer, seen);
        let input = input(entry, served, (&bucket, &key), headers(&fields)?)?;
        let asks = guard::asks(entry, operation, &cx, &*input)?;
        let file = Measured { file, policy, size: 0 };
        let body = Some(Flow::Ready(RequestBody::new(None, Box::pin(file))));
        let protocol = Protocol::RestXml;
        let call = Call { entry, protocol, operation, prepared, served, cx, input, asks, body };
        let stored = self.run(call, seen).await?;
        Ok(answer(head, &target, peer, (&bucket, &key), stored, afterwards))
    }

    /// Who signed the form, and the policy that they signed.
    fn form_signed(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        target: &Target<'_, '_>,
        (bucket, fields): (&str, &[(String, String)]),
        seen: &mut Seen<'_>,
    ) -> Result<(Signed, Option<PostPolicy>), Error> {
        let pairs: Vec<(&str, &str)> =
            fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let form = Form { bucket, fields: &pairs };
        let refused = |error: AuthError| refusal(error, Dialect::S3);
        let now = self.clock.now();
        let body = Received::Whole(Bytes::new());
        let default = self.region_of(target);
        let four = match FormCredentials::parse(&form) {
            Err(AuthError { cause: Cause::VersionTwo, .. }) => None,
            four => Some(four.map_err(refused)?),
        };
        let version_two = four.is_none();
        let (known, region, policy, signed_at) = match four {
            None => {
                let two = v2::FormCredentials::parse(&form).map_err(refused)?;
                let two = two.ok_or_else(|| Error::internal("no credentials of Version 2"))?;
                if !v2::is_accepted_in(default.as_str()) {
                    return Err(refused(two.refuse(Cause::VersionTwo)));
                }
                let known =
                    self.known(peer, head, two.access_key(), false, |c| refused(two.refuse(c)))?;
                two.verify(known.secret()).map_err(refused)?;
                check_token(&known, two.token(), now).map_err(|c| refused(two.refuse(c)))?;
                (known, default, two.policy().to_owned(), None)
            }
            Some(Some(four)) => {
                let known =
                    self.known(peer, head, four.access_key(), false, |c| refused(four.refuse(c)))?;
                let scoped = known.scoped(four.date(), four.region(), four.service());
                let scoped = scoped.ok_or_else(|| {
                    refused(four.refuse(Cause::Credential(four.access_key().to_owned())))
                })?;
                four.verify(&scoped.key, None).map_err(refused)?;
                check_token(&known, four.token(), now).map_err(|c| refused(four.refuse(c)))?;
                (known, scoped.region.clone(), four.policy().to_owned(), Some(four.time()))
            }
            Some(None) => {
                let caller = self.guard.keys.anonymous();
                seen.caller = Some(caller.clone());
                let signed = Signed {
                    caller,
                    region: default,
                    body,
                    place: None,
                    version_two: false,
                    signed_at: None,
                    content_sha256: None,
                };
                return Ok((signed, None));
            }
        };
        seen.caller = Some(known.caller.clone());
        let policy = PostPolicy::parse(&policy).map_err(refused)?;
        policy.check(&form, self.clock.wall()).map_err(refused)?;
        let signed = Signed {
            caller: known.caller.clone(),
            region,
            body,
            place: Some(Place::Form),
            version_two,
            signed_at,
            content_sha256: None,
        };
        Ok((signed, Some(policy)))
    }
}

/// The fields as the input of `PutObject`.
fn input(
    entry: &Entry,
    served: &Served,
    (bucket, key): (&str, &str),
    headers: Vec<(String, String)>,
) -> Result<Box<dyn Struct>, Error> {
    let headers = FieldHeaders(headers);
    let labels = [("Bucket", Cow::Borrowed(bucket)), ("Key", Cow::Borrowed(key))];
    let body = Bytes::new();
    let request = smithy::Request { labels: &labels, query: &[], headers: &headers, body: &body };
    let mut input = (served.new_input)();
    smithy::decode_request(Protocol::RestXml, entry.model, &request, &mut *input)
        .map_err(|rejection| refuse::rejected(rejection, entry, Protocol::RestXml))?;
    Ok(input)
}

/// The bucket that the form was sent to.
fn bucket(head: &Head<'_>, target: &Target<'_, '_>) -> Result<String, Error> {
    if let HostStyle::Bucket { bucket, .. } = target.host
        && head.path == "/"
    {
        return Ok(bucket.to_owned());
    }
    let name = head.path.trim_start_matches('/').trim_end_matches('/');
    let in_path = !matches!(target.host, HostStyle::Bucket { .. });
    if name.is_empty() || name.contains('/') || !in_path {
        let text = "The specified method is not allowed against this resource.";
        return Err(Error::with_code("MethodNotAllowed", 405, text));
    }
    Ok(String::from_utf8_lossy(&percent::decode(name)).into_owned())
}

fn field<'f>(fields: &'f [(String, String)], wanted: &str) -> Option<&'f str> {
    fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, v)| v.as_str())
}

fn headers(fields: &[(String, String)]) -> Result<Vec<(String, String)>, Error> {
    let mut out = Vec::new();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        let known = AS_HEADER.iter().find(|(field, _)| *field == name);
        let (header, value) = if let Some((_, header)) = known {
            ((*header).to_owned(), value.clone())
        } else if name == "tagging" {
            ("x-amz-tagging".to_owned(), tagging(value)?)
        } else if name.starts_with("x-amz-") && !ABOUT_SIGNATURE.contains(&name.as_str()) {
            (name, value.clone())
        } else {
            continue;
        };
        // It could never be given back as the header that it stands for.
        if value.chars().any(|c| c.is_control() && c != '\t') {
            let text = format!("The field {header} holds characters that a header cannot have.");
            return Err(Error::with_code("InvalidArgument", 400, text)
                .detail("ArgumentName", header)
                .detail("ArgumentValue", value));
        }
        out.push((header, value));
    }
    Ok(out)
}

/// The field `tagging` is XML where the header is a query string.
pub(crate) fn tagging(text: &str) -> Result<String, Error> {
    let malformed = || Error::with_code("MalformedXML", 400, refuse::MALFORMED_XML);
    let mut out = String::new();
    let mut reader = Reader::new(text.as_bytes()).map_err(|_| malformed())?;
    let outer = (child(&mut reader)?, child(&mut reader)?);
    if outer != (Some("Tagging"), Some("TagSet")) {
        return Err(malformed());
    }
    while let Some(name) = child(&mut reader)? {
        let (mut key, mut value) = (None, None);
        while let Some(part) = child(&mut reader)?.filter(|_| name == "Tag") {
            let slot = match part {
                "Key" => &mut key,
                "Value" => &mut value,
                _ => return Err(malformed()),
            };
            let text = reader.text().map_err(|_| malformed())?;
            if slot.replace(percent::encode(text.as_bytes())).is_some() {
                return Err(malformed());
            }
        }
        let (Some(key), Some(value)) = (key, value) else { return Err(malformed()) };
        out.push_str(if out.is_empty() { "" } else { "&" });
        out.push_str(&format!("{key}={value}"));
    }
    match (child(&mut reader)?, reader.token()) {
        (None, Ok(Token::Eof)) => Ok(out),
        _ => Err(malformed()),
    }
}

/// The next element within the current one; `None` at its end.
fn child<'x>(reader: &mut Reader<'x>) -> Result<Option<&'x str>, Error> {
    loop {
        match reader.token() {
            Ok(Token::Start(name)) => return Ok(Some(name)),
            Ok(Token::End) => return Ok(None),
            Ok(Token::Text(text)) if text.trim_ascii().is_empty() => {}
            _ => return Err(Error::with_code("MalformedXML", 400, refuse::MALFORMED_XML)),
        }
    }
}

fn afterwards(fields: &[(String, String)]) -> Afterwards {
    let redirect = field(fields, "success_action_redirect").or(field(fields, "redirect"));
    let status = match field(fields, "success_action_status") {
        Some("200") => 200,
        Some("201") => 201,
        _ => 204,
    };
    let is_url = |text: &&str| text.starts_with("http://") || text.starts_with("https://");
    Afterwards { status, redirect: redirect.filter(is_url).map(str::to_owned) }
}

/// Where the object can be had, as the client would write it.
fn location(
    head: &Head<'_>,
    target: &Target<'_, '_>,
    peer: &Peer,
    bucket: &str,
    key: &str,
) -> String {
    let scheme = if peer.is_secure() { "https" } else { "http" };
    let host = head.text("host").unwrap_or("");
    let key = percent::encode_path(key.as_bytes());
    match target.host {
        HostStyle::Bucket { .. } => format!("{scheme}://{host}/{key}"),
        _ => format!("{scheme}://{host}/{bucket}/{key}"),
    }
}

fn answer(
    head: &Head<'_>,
    target: &Target<'_, '_>,
    peer: &Peer,
    (bucket, key): (&str, &str),
    stored: Response,
    afterwards: Afterwards,
) -> Response {
    let etag = stored.headers().get("etag").and_then(|e| e.to_str().ok()).unwrap_or("").to_owned();
    let location = location(head, target, peer, bucket, key);
    let mut response = Response::new(ResponseStream::Empty);
    *response.headers_mut() = kept_headers(stored);
    let header = |text: &str| HeaderValue::from_str(text);
    if let Some(redirect) = &afterwards.redirect {
        let joint = if redirect.contains('?') { '&' } else { '?' };
        let encoded = |text: &str| percent::encode(text.as_bytes());
        let url = format!(
            "{redirect}{joint}bucket={}&key={}&etag={}",
            encoded(bucket),
            encoded(key),
            encoded(&etag)
        );
        if let Ok(url) = header(&url) {
            *response.status_mut() = StatusCode::SEE_OTHER;
            response.headers_mut().insert(LOCATION, url);
            return response;
        }
    }
    if let Ok(location) = header(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    *response.status_mut() =
        StatusCode::from_u16(afterwards.status).unwrap_or(StatusCode::NO_CONTENT);
    if afterwards.status == 201 {
        let mut xml = smithy::xml::Writer::with_declaration(256);
        xml.open("PostResponse");
        xml.element("Location", &location);
        xml.element("Bucket", bucket);
        xml.element("Key", key);
        xml.element("ETag", &etag);
        xml.close("PostResponse");
        *response.body_mut() = ResponseStream::Whole(xml.finish().into());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    }
    response
}

fn kept_headers(stored: Response) -> HeaderMap {
    let mut headers = stored.into_parts().0.headers;
    headers.remove(CONTENT_TYPE);
    headers
}

/// The file with its size held against the policy while it grows.
struct Measured {
    file: FileStream,
    policy: Option<PostPolicy>,
    size: u64,
}

impl ByteStream for Measured {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let next = std::task::ready!(Pin::new(&mut self.file).poll_next(cx));
        if let Some(Ok(piece)) = &next {
            self.size += piece.len() as u64;
        }
        let checked = match (&self.policy, &next) {
            (Some(policy), Some(Ok(_))) => policy.check_length(self.size, false),
            (Some(policy), None) => policy.check_length(self.size, true),
            _ => Ok(()),
        };
        match checked {
            Ok(()) => Poll::Ready(next),
            Err(error) => {
                // Said once: what follows an error is the end.
                self.policy = None;
                Poll::Ready(Some(Err(refusal(error, Dialect::S3))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_tagging(text: &str, expected: Option<&str>) {
        assert_eq!(tagging(text).ok().as_deref(), expected, "{text}");
    }

    #[test]
    fn tags_in_xml() {
        let set = |inner: &str| format!("<Tagging>\n <TagSet>{inner}</TagSet>\n</Tagging>");
        let tag = "<Tag><Key>k 1</Key><Value>a&amp;b=c</Value></Tag>";
        check_tagging(&set(""), Some(""));
        check_tagging(&set(tag), Some("k%201=a%26b%3Dc"));
        check_tagging(
            &set(&format!("{tag}\n<Tag><Value/><Key>x</Key></Tag>")),
            Some("k%201=a%26b%3Dc&x="),
        );
        for bad in [
            "",
            "k=v",
            "<Tagging/>",
            "<Tagging><TagSet></Tagging>",
            "<TagSet></TagSet>",
            &set("<Tag><Key>k</Key></Tag>"),
            &set("<Tag><Key>k</Key><Key>k</Key><Value/></Tag>"),
            &set("<Tag><Key>k</Key><Value/><Other/></Tag>"),
            &set("<Other><Key>k</Key><Value/></Other>"),
            &set("text"),
            &format!("{}<x/>", set("")),
            "<!DOCTYPE x><Tagging><TagSet/></Tagging>",
        ] {
            check_tagging(bad, None);
        }
    }

    #[test]
    fn fields_that_stand_for_headers() {
        let check = |name: &str, value: &str, expected: Result<Option<(&str, &str)>, &str>| {
            let found = headers(&[(name.to_owned(), value.to_owned())]);
            let found = found.as_ref().map_err(Error::code);
            let found = found.map(|all| all.first().map(|(n, v)| (n.as_str(), v.as_str())));
            assert_eq!(found, expected, "{name}");
        };
        check("acl", "private", Ok(Some(("x-amz-acl", "private"))));
        check("Content-Type", "a/b", Ok(Some(("content-type", "a/b"))));
        check("X-Amz-Meta-A", "é\t1", Ok(Some(("x-amz-meta-a", "é\t1"))));
        check("x-amz-checksum-crc32", "AAAAAA==", Ok(Some(("x-amz-checksum-crc32", "AAAAAA=="))));
        for name in ["key", "policy", "X-Amz-Signature", "x-amz-date", "signature", "host", "range"]
        {
            check(name, "v", Ok(None));
        }
        for value in ["a\nb", "a\r\nSet-Cookie: x", "\0", "\u{7f}", "\u{85}"] {
            check("x-amz-meta-a", value, Err("InvalidArgument"));
        }
        check("tagging", "x", Err("MalformedXML"));
    }
}
