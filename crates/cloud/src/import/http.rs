//! Signed requests to an S3, over one connection that is made anew when it breaks.

use crate::chance::SystemClock;
use base::Clock;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use md5::{Digest, Md5};
use rustls_pki_types::ServerName;
use sigv4::{Credentials, Payload, RequestHead, Rules, SigningKey};
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For a connection, and for an answer to begin once the request was sent.
const PATIENCE: Duration = Duration::from_secs(120);
/// Documents of an S3, longer ones are none.
const DOCUMENT_BYTES_MAX: usize = 64 << 20;

/// Where an S3 is, and who we are to it.
#[derive(Clone)]
pub struct Place {
    pub host: String,
    pub port: u16,
    pub tls: Option<Arc<rustls::ClientConfig>>,
    pub region: String,
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
}

/// A request before it is signed. `query` is sorted by name, its values not yet encoded.
#[derive(Debug)]
pub struct Call<'c> {
    pub method: &'static str,
    pub bucket: &'c str,
    /// Empty for the bucket itself.
    pub key: &'c str,
    pub query: Vec<(&'c str, String)>,
    pub headers: Vec<(String, String)>,
}

/// What is sent.
pub enum Body {
    Empty,
    Whole(Bytes),
    /// The answer of another S3, as it comes.
    Relay {
        from: Incoming,
        length: u64,
        seen: Seen,
    },
}

/// The digest of what was relayed, and how much it was.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<(Md5, u64)>>);

impl Seen {
    pub fn md5_and_bytes(&self) -> ([u8; 16], u64) {
        let seen = self.0.lock().expect("no panic while held");
        (seen.0.clone().finalize().into(), seen.1)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Body::Empty => Poll::Ready(None),
            whole @ Body::Whole(_) => {
                let Body::Whole(bytes) = std::mem::replace(whole, Body::Empty) else {
                    return Poll::Ready(None);
                };
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Body::Relay { from, seen, .. } => {
                let polled = Pin::new(from).poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &polled
                    && let Some(data) = frame.data_ref()
                {
                    let mut seen = seen.0.lock().expect("no panic while held");
                    seen.0.update(data);
                    seen.1 += data.len() as u64;
                }
                polled
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Body::Empty => 0,
            Body::Whole(bytes) => bytes.len() as u64,
            Body::Relay { length, .. } => *length,
        })
    }
}

/// An answer whose body has not been read.
pub struct Answer {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Incoming,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The whole body, of a document.
    pub async fn text(self) -> io::Result<Bytes> {
        let mut body = self.body;
        let mut all = Vec::new();
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            match timeout(PATIENCE, next).await? {
                None => return Ok(all.into()),
                Some(Err(error)) => return Err(io::Error::other(error)),
                Some(Ok(frame)) => {
                    all.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                    if all.len() > DOCUMENT_BYTES_MAX {
                        return Err(ErrorKind::FileTooLarge.into());
                    }
                }
            }
        }
    }
}

/// One connection at a time.
pub struct Session {
    pub place: Arc<Place>,
    connection: Option<SendRequest<Body>>,
    signing: Option<(String, SigningKey)>,
}

impl Session {
    pub fn new(place: Arc<Place>) -> Session {
        Session { place, connection: None, signing: None }
    }

    pub async fn send(&mut self, call: &Call<'_>, body: Body) -> io::Result<Answer> {
        let request = self.signed(call, body)?;
        let mut connection = match self.open().await {
            Some(open) => open,
            None => timeout(PATIENCE, connect(&self.place)).await??,
        };
        let answer = connection.send_request(request).await.map_err(io::Error::other)?;
        self.connection = Some(connection);
        let (parts, body) = answer.into_parts();
        Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// The connection of the last request, if it can take another.
    async fn open(&mut self) -> Option<SendRequest<Body>> {
        let mut open = self.connection.take()?;
        open.ready().await.ok().map(|()| open)
    }

    /// After an answer whose body was not read to its end.
    pub fn close(&mut self) {
        self.connection = None;
    }

    fn signed(&mut self, call: &Call<'_>, body: Body) -> io::Result<http::Request<Body>> {
        let place = self.place.clone();
        let now = SystemClock::new().now();
        let date = now.iso8601_basic()[..8].to_owned();
        if self.signing.as_ref().is_none_or(|(day, _)| *day != date) {
            let key = SigningKey::derive(&place.secret, &date, &place.region, "s3");
            self.signing = Some((date, key));
        }
        let Some((_, key)) = &self.signing else { return Err(ErrorKind::Other.into()) };
        let mut path = format!("/{}", call.bucket);
        if !call.key.is_empty() {
            path = format!("{path}/{}", base::percent::encode_path(call.key.as_bytes()));
        }
        let query: Vec<String> = call
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", base::percent::encode(value.as_bytes())))
            .collect();
        let query = query.join("&");
        let default = if place.tls.is_some() { 443 } else { 80 };
        let host = match place.port == default {
            true => place.host.clone(),
            false => format!("{}:{}", place.host, place.port),
        };
        let mut headers: Vec<(&str, &[u8])> = vec![("host", host.as_bytes())];
        headers.extend(call.headers.iter().map(|(name, value)| (&**name, value.as_bytes())));
        let head =
            RequestHead { method: call.method, path: &path, query: &query, headers: &headers };
        let token = place.token.as_deref();
        let credentials = Credentials { access_key: &place.id, key, token };
        let payload = match &body {
            Body::Relay { .. } => Payload::Unsigned,
            Body::Empty => Payload::Sha256(sigv4::EMPTY_SHA256),
            Body::Whole(bytes) => Payload::Sha256(sigv4::sha256(bytes)),
        };
        let added = sigv4::sign_header(&head, Rules::S3, payload, &credentials, now);
        let target = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
        let mut request = http::Request::builder().method(call.method).uri(target);
        for (name, value) in &headers {
            request = request.header(*name, *value);
        }
        for (name, value) in added {
            request = request.header(name, value);
        }
        request.body(body).map_err(io::Error::other)
    }
}

async fn connect(place: &Place) -> io::Result<SendRequest<Body>> {
    let stream = TcpStream::connect((&*place.host, place.port)).await?;
    stream.set_nodelay(true)?;
    match &place.tls {
        None => driven(TokioIo::new(stream)).await,
        Some(tls) => {
            let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
            let connector = tokio_rustls::TlsConnector::from(tls.clone());
            driven(TokioIo::new(connector.connect(name, stream).await?)).await
        }
    }
}

async fn driven<S>(stream: S) -> io::Result<SendRequest<Body>>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(stream).await.map_err(io::Error::other)?;
    #[allow(clippy::disallowed_methods, reason = "a connection is driven beside its requests")]
    tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(sender)
}
