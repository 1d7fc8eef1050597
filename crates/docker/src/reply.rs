//! Answers: JSON, empty, streams, and errors in Docker's form.

use crate::body::Answer;
use bytes::Bytes;
use engine::{Error, Kind};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

pub type Reply = Result<Response<Answer>, Error>;

pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub const TAR: HeaderValue = HeaderValue::from_static("application/x-tar");

pub fn with(
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Answer,
) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response.headers_mut().insert(CONTENT_TYPE, content_type);
    }
    response
}

pub fn json_with(status: StatusCode, value: &impl Serialize) -> Reply {
    let mut bytes = serde_json::to_vec(value).map_err(std::io::Error::from)?;
    bytes.push(b'\n');
    Ok(with(status, Some(JSON), Answer::Whole(Some(bytes.into()))))
}

pub fn json(value: &impl Serialize) -> Reply {
    json_with(StatusCode::OK, value)
}

pub fn created(value: &impl Serialize) -> Reply {
    json_with(StatusCode::CREATED, value)
}

pub fn nothing() -> Reply {
    Ok(with(StatusCode::NO_CONTENT, None, Answer::Whole(None)))
}

pub fn ok() -> Reply {
    Ok(with(StatusCode::OK, None, Answer::Whole(None)))
}

pub fn text(body: &'static str) -> Reply {
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(with(StatusCode::OK, Some(plain), Answer::Whole(Some(Bytes::from_static(body.as_bytes())))))
}

/// Documents that come one after the other, a line each.
pub fn json_stream(pieces: mpsc::Receiver<Bytes>) -> Reply {
    Ok(with(StatusCode::OK, Some(JSON), Answer::Pieces(pieces)))
}

pub fn header(response: &mut Response<Answer>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

#[derive(Serialize)]
struct Message<'a> {
    message: &'a str,
}

pub fn error(error: &Error) -> Response<Answer> {
    let status = match error.kind {
        Kind::NotModified => {
            return with(StatusCode::NOT_MODIFIED, None, Answer::Whole(None));
        }
        Kind::Invalid => StatusCode::BAD_REQUEST,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::NotDone => StatusCode::NOT_IMPLEMENTED,
        Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::to_vec(&Message { message: &error.text }).unwrap_or_default();
    with(status, Some(JSON), Answer::Whole(Some(body.into())))
}

/// A document of a stream of progress, with its line end.
pub fn line(value: &impl Serialize) -> Bytes {
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}
