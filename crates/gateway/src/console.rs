//! The way of a browser's requests to the web console, and the console's way back in: by the front door,
//! like everybody's.

use crate::encode::{self, Ids, Response, ResponseStream};
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::host::{self, HostStyle};
use crate::payload::RequestStream;
use crate::registry::Plain;
use api::{
    Body, ByteStream, ConsoleAnswer, ConsoleCall, ConsoleDoor, Error, Inside, InsideAnswer,
    InsideReply, InsideRequest, RequestBody,
};
use bytes::Bytes;
use http::header::HeaderValue;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

const PREFIX: &str = "/_console";

/// The front door for a person whose browser is that peer.
struct Front {
    gateway: Arc<Gateway>,
    peer: Peer,
}

/// A body that the console hands on.
struct HandedOn(RequestBody);

impl ByteStream for HandedOn {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.poll_next(cx)
    }
}

fn request(request: InsideRequest) -> Result<http::Request<RequestStream>, http::Error> {
    let InsideRequest { method, target, headers, body } = request;
    let body = match body.length() {
        Some(0) => RequestStream::Empty,
        _ => RequestStream::Flowing(Box::pin(HandedOn(body))),
    };
    let builder = http::Request::builder().method(method).uri(target);
    headers
        .into_iter()
        .fold(builder, |builder, (name, value)| builder.header(name.as_ref(), value))
        .body(body)
}

fn answer(response: Response) -> InsideAnswer {
    let (parts, body) = response.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    let body = match body {
        ResponseStream::Empty => Body::Empty,
        ResponseStream::Whole(bytes) => Body::Bytes(bytes),
        ResponseStream::Flowing(length, stream) => Body::Stream(length, stream),
    };
    InsideAnswer { status: parts.status.as_u16(), headers, body }
}

impl Inside for Front {
    fn send(&self, sent: InsideRequest) -> InsideReply<'_> {
        Box::pin(async move {
            match request(sent) {
                Ok(request) => answer(self.gateway.handle(self.peer, request).await),
                Err(error) => {
                    tracing::debug!(%error, "the console made no request of that");
                    InsideAnswer { status: 400, headers: Vec::new(), body: Body::Empty }
                }
            }
        })
    }
}

/// Whether a browser trusts that nobody listens in: it then says of each request where it comes from.
fn is_private(peer: &Peer, head: &Head<'_>) -> bool {
    let address = head.host.parse().is_ok_and(host::is_loopback);
    peer.is_secure() || address || head.host == "localhost"
}

impl Gateway {
    /// Opens the door below `/_console`.
    pub fn with_console(mut self, console: Arc<dyn ConsoleDoor>) -> Gateway {
        self.console = Some(console);
        self
    }

    /// To a plain name only: one that is not ours may have been pointed here by a web page.
    pub(crate) fn is_for_console(&self, head: &Head<'_>) -> bool {
        let rest = head.path.strip_prefix(PREFIX);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && self.console.is_some()
            && host::parse(&head.host, &self.local.host_names) == HostStyle::Plain
    }

    pub(crate) async fn console_page(
        &self,
        peer: &Peer,
        head: &Head<'_>,
        body: RequestStream,
        seen: &mut Seen<'_>,
    ) -> Result<Response, Error> {
        let none = || Error::with_code("NotFound", 404, "There is no console here.");
        let (console, gateway) = self.console.as_ref().zip(self.own.upgrade()).ok_or_else(none)?;
        // What it does on behalf of a person is recorded one by one.
        seen.recorded = true;
        seen.ids = Some(Ids::new(&*self.entropy, false));
        let query = head.owned_query();
        // HTTP/2 has a header for each cookie.
        let header = |name: &str| match name {
            "cookie" => {
                let own = head.headers.iter().filter(|(own, _)| *own == name);
                let texts = own.filter_map(|(_, value)| std::str::from_utf8(value).ok());
                Some(texts.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
            }
            name => head.text(name).map(str::to_owned),
        };
        let name = match head.host.contains(':') {
            true => format!("[{}]", head.host),
            false => head.host.to_string(),
        };
        let host = match head.port {
            Some(port) => format!("{name}:{port}"),
            None => name,
        };
        let length = crate::authenticate::content_length(head)?;
        let body = match body.is_empty() {
            true => RequestBody::empty(),
            false => RequestBody::new(length, Box::pin(Plain(body))),
        };
        let call = ConsoleCall {
            method: head.method,
            path: head.path,
            query: &query,
            header: &header,
            host: &host,
            secure: peer.is_secure(),
            is_private: is_private(peer, head),
            inside: Arc::new(Front { gateway, peer: *peer }),
        };
        let ConsoleAnswer { status, headers, body } = console.answer(call, body).await;
        Ok(encode::relayed(status, headers, body))
    }
}
