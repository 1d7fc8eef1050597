//! Website hosts of buckets: pages for anybody, by `GET` and `HEAD` alone, with errors that people read.
//!
//! The service says by the bucket's configuration which object is meant and what to do where it cannot
//! be had ([`api::Hooks::website`]); the object itself is fetched here by the ordinary operation, as a
//! request of nobody, so that permission, ranges and conditions are as everywhere.

use crate::audit::Failure;
use crate::authenticate::{Received, Signed};
use crate::encode::{Response, ResponseStream, add_headers};
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::host::HostStyle;
use crate::identify::{Entry, Target};
use api::{Error, WebAnswer, WebFailure, WebRequest};
use base::{Region, percent};
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use smithy::model::Protocol;
use std::borrow::Cow;

/// What an object that stands for another address says.
const REDIRECT: &str = "x-amz-website-redirect-location";
/// Headers of the request that the operation sees.
const PASSED: [&str; 6] =
    ["range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"];

/// One request to a website host.
struct Visit<'v, 'g> {
    peer: &'v Peer,
    head: &'v Head<'v>,
    entry: &'g Entry,
    region: Region,
    asked: WebRequest<'v>,
}

impl Gateway {
    pub(crate) async fn website<'g>(
        &'g self,
        peer: &Peer,
        head: &Head<'_>,
        entry: &'g Entry,
        (bucket, region): (&str, Option<&str>),
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        let named = region.and_then(|name| self.guard.keys.region(name));
        let path = head.path.strip_prefix('/').unwrap_or(head.path);
        let host = match head.port {
            Some(port) => format!("{}:{port}", head.host),
            None => head.host.to_string(),
        };
        let answer = async {
            let key = String::from_utf8(percent::decode(path).into_owned()).map_err(|_| {
                Error::with_code("InvalidURI", 400, "Couldn't parse the specified URI.")
            })?;
            let asked = WebRequest {
                bucket,
                key: &key,
                query: head.raw_query,
                host: &host,
                secure: peer.is_secure(),
            };
            let region = named.unwrap_or_else(|| self.region.clone());
            let visit = Visit { peer, head, entry, region, asked };
            self.visit(&visit, seen).await
        };
        let answer = answer.await;
        match answer {
            Err(error) if error.status() != 304 => {
                seen.failed = Some(Failure::of(&error));
                Ok(error_page(&error, None, seen))
            }
            answer => answer,
        }
    }

    async fn visit<'g>(
        &'g self,
        visit: &Visit<'_, 'g>,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        if !matches!(visit.head.method, "GET" | "HEAD") {
            let text = "The specified method is not allowed against this resource.";
            return Err(Error::with_code("MethodNotAllowed", 405, text)
                .detail("Method", visit.head.method)
                .detail("ResourceType", "OBJECT")
                .header("allow", "GET, HEAD"));
        }
        let hooks = visit.entry.service.hooks();
        let (key, folder) = match self.store.read(|tx| hooks.website(tx, &visit.asked))? {
            WebAnswer::Object { key, folder } => (key, folder),
            WebAnswer::Redirect { status, location } => return Ok(redirect(status, location)),
        };
        let error = match self.page_of(visit, visit.head.method, &key, true, seen).await {
            Ok(response) => return Ok(elsewhere(response)),
            // The client has it already, or asked for what cannot be: no page helps.
            Err(error) if matches!(error.status(), 304 | 412 | 416) => return Err(error),
            Err(error) => error,
        };
        seen.failed = Some(Failure::of(&error));
        if let Some(folder) = folder
            && self.page_of(visit, "HEAD", &folder, false, seen).await.is_ok()
        {
            // Two slashes at the beginning would name another host.
            let base = match visit.head.path.starts_with("//") {
                true => format!("//{}", visit.asked.host),
                false => String::new(),
            };
            let location = format!("{base}{}/", visit.head.path);
            let found =
                Error::with_code("Found", 302, "Resource Found").header("location", location);
            return Ok(error_page(&found, None, seen));
        }
        match self.store.read(|tx| hooks.website_failed(tx, &visit.asked, error.status()))? {
            WebFailure::Redirect { status, location } => Ok(redirect(status, location)),
            WebFailure::Plain => Ok(error_page(&error, None, seen)),
            WebFailure::Document { key } => {
                match self.page_of(visit, visit.head.method, &key, false, seen).await {
                    Ok(mut response) => {
                        *response.status_mut() = status(&error);
                        add_headers(&mut response, told(&error));
                        Ok(response)
                    }
                    Err(second) => Ok(error_page(&error, Some(&second), seen)),
                }
            }
        }
    }

    /// The object of a key, as nobody gets it. `asked` is whether it is the one that the client meant,
    /// and its conditions and ranges count.
    async fn page_of<'g>(
        &'g self,
        visit: &Visit<'_, 'g>,
        method: &str,
        key: &str,
        asked: bool,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        let path = format!(
            "/{}/{}",
            percent::encode(visit.asked.bucket.as_bytes()),
            percent::encode_path(key.as_bytes())
        );
        let headers = visit.head.headers.iter().copied();
        let head = Head {
            method,
            path: &path,
            raw_query: "",
            headers: headers.filter(|(name, _)| asked && PASSED.contains(name)).collect(),
            query: Vec::new(),
            host: Cow::Borrowed(&*visit.head.host),
            port: visit.head.port,
        };
        let signed = Signed {
            caller: self.guard.keys.anonymous(),
            region: visit.region.clone(),
            body: Received::Whole(Bytes::new()),
            place: None,
            version_two: false,
            signed_at: None,
            content_sha256: None,
        };
        let target = Target { entry: visit.entry, host: HostStyle::Plain };
        seen.protocol = Some(Protocol::RestXml);
        let call = self.call(&head, &target, Protocol::RestXml, signed, visit.peer, seen).await?;
        self.run(call, seen).await
    }
}

fn status(error: &Error) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn redirect(status: u16, location: String) -> Response {
    let mut response = Response::new(ResponseStream::Empty);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::MOVED_PERMANENTLY);
    add_headers(&mut response, vec![("location", location)]);
    response
}

/// An object that stands for another address is that address.
fn elsewhere(response: Response) -> Response {
    let to = response.headers().get(REDIRECT).and_then(|to| to.to_str().ok());
    match to {
        Some(to) => redirect(301, to.to_owned()),
        None => response,
    }
}

fn told(error: &Error) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("x-amz-error-code", error.code().to_owned()),
        ("x-amz-error-message", error.message().to_owned()),
    ];
    let detail = |wanted: &str| error.details().iter().find(|(name, _)| *name == wanted);
    for (name, wanted) in
        [("x-amz-error-detail-key", "Key"), ("x-amz-error-detail-bucketname", "BucketName")]
    {
        headers.extend(detail(wanted).map(|(_, value)| (name, value.clone())));
    }
    headers
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The page that says what went wrong, in S3's form, and why its own page cannot be shown.
fn error_page(error: &Error, second: Option<&Error>, seen: &Seen<'_>) -> Response {
    let status = status(error);
    let reason = match status {
        StatusCode::FOUND => "Moved Temporarily",
        status => status.canonical_reason().unwrap_or("Error"),
    };
    let title = format!("{} {reason}", status.as_u16());
    let mut page =
        format!("<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n");
    let mut item = |name: &str, value: &str| {
        page.push_str(&format!("<li>{name}: {}</li>\n", escaped(value)));
    };
    item("Code", error.code());
    item("Message", error.message());
    for (name, value) in error.details() {
        item(name, value);
    }
    if let Some(ids) = &seen.ids {
        item("RequestId", &ids.request_id);
        item("HostId", ids.host_id.as_deref().unwrap_or_default());
    }
    page.push_str("</ul>\n");
    if let Some(second) = second {
        page.push_str(
            "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n",
        );
        for (name, value) in [("Code", second.code()), ("Message", second.message())] {
            page.push_str(&format!("<li>{name}: {}</li>\n", escaped(value)));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("<hr/>\n</body>\n</html>\n");
    let mut response = Response::new(ResponseStream::Whole(Bytes::from(page)));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    add_headers(&mut response, told(error));
    add_headers(&mut response, error.headers().to_vec());
    response
}
