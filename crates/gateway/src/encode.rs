//! Answers: outputs and errors in the caller's protocol, with the headers that every answer has.

use api::{Body, ByteStream, Error};
use base::{Clock, Entropy, Timestamp};
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, SERVER};
use http::{HeaderMap, StatusCode};
use smithy::model::{Operation, Protocol, ServiceModel};
use smithy::shape::StructShape;
use smithy::{ErrorParts, encode_error};
use std::borrow::Cow;
use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A body on its way out.
#[derive(Default)]
pub enum ResponseStream {
    #[default]
    Empty,
    Whole(Bytes),
    /// With what is left of its length where that is known.
    Flowing(Option<u64>, Pin<Box<dyn ByteStream>>),
}

pub type Response = http::Response<ResponseStream>;

impl std::fmt::Debug for ResponseStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ResponseStream::Empty => f.write_str("Empty"),
            ResponseStream::Whole(bytes) => write!(f, "Whole({})", bytes.len()),
            ResponseStream::Flowing(left, _) => write!(f, "Flowing({left:?})"),
        }
    }
}

impl http_body::Body for ResponseStream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Error>>> {
        match &mut *self {
            ResponseStream::Empty => Poll::Ready(None),
            ResponseStream::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = ResponseStream::Empty;
                Poll::Ready(Some(Ok(http_body::Frame::data(bytes))))
            }
            ResponseStream::Flowing(left, stream) => {
                let next = std::task::ready!(stream.as_mut().poll_next(cx));
                if let (Some(left), Some(Ok(piece))) = (left.as_mut(), &next) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                Poll::Ready(next.map(|piece| piece.map(http_body::Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseStream::Empty => true,
            ResponseStream::Whole(bytes) => bytes.is_empty(),
            ResponseStream::Flowing(left, _) => *left == Some(0),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            ResponseStream::Empty => http_body::SizeHint::with_exact(0),
            ResponseStream::Whole(bytes) => http_body::SizeHint::with_exact(bytes.len() as u64),
            ResponseStream::Flowing(Some(left), _) => http_body::SizeHint::with_exact(*left),
            ResponseStream::Flowing(None, _) => http_body::SizeHint::default(),
        }
    }
}

impl From<Body> for ResponseStream {
    fn from(body: Body) -> ResponseStream {
        match body {
            Body::Empty => ResponseStream::Empty,
            Body::Bytes(bytes) => ResponseStream::Whole(bytes),
            Body::Stream(length, stream) => ResponseStream::Flowing(length, stream),
        }
    }
}

/// The names of an output's headers as HTTP has them, read once; in the order of its members.
#[derive(Default)]
pub(crate) struct HeaderNames(Vec<(&'static str, HeaderName)>);

impl HeaderNames {
    pub fn of(output: &StructShape) -> HeaderNames {
        let all = output.bindings().headers.all().iter();
        // What cannot be sent is found, and said, where it is sent.
        let read = |name: &'static str| Some((name, HeaderName::from_bytes(name.as_bytes()).ok()?));
        HeaderNames(all.filter_map(|(name, _)| read(name)).collect())
    }

    /// An encoder goes through the members in order, so the next one asked for stands after the
    /// last one. It is the very same text, not another like it.
    fn after(&self, last: &mut usize, name: &'static str) -> Option<HeaderName> {
        let rest = self.0.get(*last..)?;
        let at = rest.iter().position(|(own, _)| std::ptr::eq(*own, name))?;
        *last += at + 1;
        Some(rest[at].1.clone())
    }
}

/// What [`finish`] adds, and a content type.
const OWN_HEADERS: usize = 5;

/// The answer of a codec as one of HTTP. A header that cannot be sent is the client's mistake: it
/// handed in the value.
pub(crate) fn response(
    encoded: smithy::Response,
    names: &HeaderNames,
    body: Body,
) -> Result<Response, Error> {
    let smithy::Response { status, headers, body: bytes, content_type } = encoded;
    let body = match body {
        Body::Empty if bytes.is_empty() => ResponseStream::Empty,
        Body::Empty => ResponseStream::Whole(bytes),
        other => other.into(),
    };
    let mut map = HeaderMap::with_capacity(headers.len() + OWN_HEADERS);
    if let Some(content_type) = content_type {
        map.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let mut last = 0;
    for (name, value) in headers {
        let name = match name {
            Cow::Borrowed(name) => match names.after(&mut last, name) {
                Some(name) => Ok(name),
                None => HeaderName::from_bytes(name.as_bytes()),
            },
            Cow::Owned(name) => HeaderName::from_bytes(name.as_bytes()),
        };
        let bad = |what: &str| {
            let text = format!("A {what} in the response would hold characters that HTTP forbids.");
            Error::with_code("InvalidArgument", 400, text)
        };
        let name = name.map_err(|_| bad("header name"))?;
        // What is known of a body that flows is told by the body itself.
        if name == CONTENT_LENGTH && matches!(body, ResponseStream::Flowing(Some(_), _)) {
            continue;
        }
        map.append(name, header_value(value).ok_or_else(|| bad("header value"))?);
    }
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).map_err(|_| Error::internal(format!("status {status}")))?;
    *response.headers_mut() = map;
    Ok(response)
}

/// The answer of one who speaks a protocol of their own. A header that cannot be sent is left out.
pub(crate) fn relayed(status: u16, headers: Vec<(&'static str, String)>, body: Body) -> Response {
    let mut response = Response::new(ResponseStream::from(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let Some(value) = header_value(value) {
            response.headers_mut().append(HeaderName::from_static(name), value);
        }
    }
    response
}

fn header_value(text: String) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

/// Adds headers that the model does not know.
pub(crate) fn add_headers(response: &mut Response, headers: Vec<(&'static str, String)>) {
    for (name, value) in headers {
        if let (Ok(name), Some(value)) = (HeaderName::try_from(name), header_value(value)) {
            response.headers_mut().insert(name, value);
        }
    }
}

/// The checksum that clients of DynamoDB hold the body against.
pub(crate) fn add_crc32(response: &mut Response) {
    let sum = match response.body() {
        ResponseStream::Whole(bytes) => checksum(CrcAlgorithm::Crc32IsoHdlc, bytes) as u32,
        _ => 0,
    };
    response.headers_mut().insert(X_AMZ_CRC32.clone(), HeaderValue::from(sum));
}

/// What every answer is about.
pub(crate) struct Ids {
    /// `x-amz-request-id` or `x-amzn-requestid`.
    pub request_id: Arc<str>,
    /// S3's second one.
    pub host_id: Option<String>,
}

impl Ids {
    pub fn new(entropy: &dyn Entropy, is_s3: bool) -> Ids {
        if !is_s3 {
            return Ids { request_id: entropy.uuid().into(), host_id: None };
        }
        let mut bytes = [0; 56];
        entropy.fill(&mut bytes);
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let digits = |byte: u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        let request_id: [[u8; 2]; 8] = std::array::from_fn(|i| digits(bytes[i]));
        let request_id = str::from_utf8(request_id.as_flattened()).expect("digits are ASCII");
        Ids { request_id: request_id.into(), host_id: Some(base64(&bytes[8..])) }
    }

    /// Stands in as long as nothing is known about the request.
    pub fn none() -> Ids {
        Ids { request_id: "".into(), host_id: None }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Vec::with_capacity(bytes.len() / 3 * 4);
    for group in bytes.chunks_exact(3) {
        let n = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        out.extend_from_slice(&[18, 12, 6, 0].map(|shift| DIGITS[(n >> shift & 63) as usize]));
    }
    String::from_utf8(out).expect("digits are ASCII")
}

/// An error in the protocol of the caller; `None` for the model where no service became known.
pub(crate) fn error(
    error: &Error,
    service: Option<(&ServiceModel, Protocol, Option<&'static Operation>)>,
    ids: &Ids,
) -> Response {
    let encoded = match service {
        Some((model, protocol, operation)) => {
            let code = code_of(error, model, protocol);
            let served = operation.and_then(|operation| operation.served.as_ref());
            let shape = served.and_then(|s| s.errors.iter().find(|shape| shape.code == code));
            let parts = ErrorParts {
                name: shape.map_or(code, |shape| shape.name),
                code,
                status: error.status(),
                fault: error.fault(),
                message: error.message(),
                members: error.modelled(),
                extra: error.details(),
                request_id: &ids.request_id,
                host_id: ids.host_id.as_deref(),
            };
            encode_error(protocol, model, &parts)
        }
        None => plain(error, ids),
    };
    let mut out = match response(encoded, &HeaderNames::default(), Body::Empty) {
        Ok(out) => out,
        // The codec's own headers are always fine; a modelled one may not be.
        Err(_) => {
            let mut out = Response::new(ResponseStream::Empty);
            *out.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            out
        }
    };
    add_headers(&mut out, error.headers().to_vec());
    // These have no body by definition.
    if matches!(out.status(), StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT) {
        *out.body_mut() = ResponseStream::Empty;
        out.headers_mut().remove(CONTENT_TYPE);
    }
    out
}

/// A whole answer to a head that could not be read, as bytes on the wire.
pub(crate) fn unreadable(status: u16, ids: Ids, clock: &dyn Clock) -> Vec<u8> {
    let (code, text) = match status {
        431 => (
            "RequestHeaderSectionTooLarge",
            "Your request header section exceeds the maximum allowed size.",
        ),
        414 => ("URITooLong", "The URI of your request exceeds the maximum allowed size."),
        _ => ("BadRequest", "An error occurred when parsing the HTTP request."),
    };
    let body = plain(&Error::with_code(code, 400, text), &ids).body;
    let mut out = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\
         connection: close\r\ndate: {}\r\nserver: Cumulet\r\nx-amzn-requestid: {}\r\n\r\n",
        body.len(),
        clock.wall().http_date(),
        ids.request_id
    )
    .into_bytes();
    out.extend_from_slice(&body);
    out
}

/// The same errors have different names in different places.
fn code_of<'e>(error: &'e Error, model: &ServiceModel, protocol: Protocol) -> &'e str {
    let json = matches!(
        protocol,
        Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RestJson1 | Protocol::RpcV2Cbor
    );
    match error.code() {
        "InternalFailure" if model.name == "s3" => "InternalError",
        "SlowDown" if json => "ThrottlingException",
        "SlowDown" if model.name != "s3" => "Throttling",
        code => code,
    }
}

fn plain(error: &Error, ids: &Ids) -> smithy::Response {
    let mut writer = smithy::xml::Writer::with_declaration(256);
    writer.open("Error");
    writer.element("Code", error.code());
    writer.element("Message", error.message());
    writer.element("RequestId", &ids.request_id);
    writer.close("Error");
    smithy::Response {
        status: error.status(),
        headers: Vec::new(),
        body: writer.finish().into(),
        content_type: Some("application/xml"),
    }
}

static X_AMZ_CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
static X_AMZ_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
static X_AMZ_ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");
static X_AMZN_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Date, server and ids.
pub(crate) fn finish(response: &mut Response, ids: Ids, clock: &dyn Clock) {
    let headers = response.headers_mut();
    headers.insert(DATE, date(clock.wall()));
    headers.insert(SERVER, HeaderValue::from_static("Cumulet"));
    let Ids { request_id, host_id } = ids;
    let Ok(id) = HeaderValue::from_str(&request_id) else { return };
    match host_id.and_then(header_value) {
        Some(host_id) => {
            headers.insert(X_AMZ_REQUEST_ID.clone(), id);
            headers.insert(X_AMZ_ID_2.clone(), host_id);
        }
        None => {
            headers.insert(X_AMZN_REQUEST_ID.clone(), id);
        }
    }
}

/// Formatted once a second and thread.
fn date(now: Timestamp) -> HeaderValue {
    thread_local!(static LAST: RefCell<(i64, HeaderValue)> =
        const { RefCell::new((i64::MIN, HeaderValue::from_static(""))) });
    LAST.with_borrow_mut(|(second, value)| {
        if *second != now.to_secs() {
            *second = now.to_secs();
            *value = header_value(now.http_date()).unwrap_or(HeaderValue::from_static(""));
        }
        value.clone()
    })
}
