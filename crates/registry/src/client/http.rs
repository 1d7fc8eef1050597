//! HTTP to other machines: one request, one connection, redirects followed.

use bytes::Bytes;
use engine::{Error, Kind};
use http::header::{AUTHORIZATION, HOST, LOCATION, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const CONNECT: Duration = Duration::from_secs(15);
/// For the head of an answer.
const ANSWER: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: u32 = 5;
/// For a server that may not speak TLS, and may wait for more of what it takes for HTTP.
const GREETING: Duration = Duration::from_secs(2);

/// What goes out.
pub enum Outgoing {
    Empty,
    Whole(Bytes),
    Flowing(u64, mpsc::Receiver<io::Result<Bytes>>),
}

struct Flow {
    left: u64,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl http_body::Body for Flow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let next = std::task::ready!(self.pieces.poll_recv(cx));
        if let Some(Ok(piece)) = &next {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}

type OutBody = UnsyncBoxBody<Bytes, io::Error>;

fn body(outgoing: Outgoing) -> OutBody {
    match outgoing {
        Outgoing::Empty => {
            http_body_util::Empty::new().map_err(|never| match never {}).boxed_unsync()
        }
        Outgoing::Whole(bytes) => {
            http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
        }
        Outgoing::Flowing(left, pieces) => Flow { left, pieces }.boxed_unsync(),
    }
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>;

/// What this machine trusts.
#[derive(Clone, Debug)]
pub struct Http {
    trusted: fn() -> Vec<u8>,
    /// With those, read when they are first needed: there are some hundreds.
    tls: Arc<OnceLock<Arc<rustls::ClientConfig>>>,
    /// For this machine's loopback, where nobody can be in between.
    loose: Arc<rustls::ClientConfig>,
}

/// Takes any certificate, as long as it is the one that the server has the key of.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls_pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A request that can be sent more than once.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
}

impl Asked {
    pub fn get(url: impl Into<String>) -> Asked {
        Asked { method: Method::GET, url: url.into(), headers: Vec::new() }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Asked {
        self.headers.push((name, value.into()));
        self
    }
}

/// A place out of a URL.
struct Target {
    secure: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    /// Whether what the first one may see, this one may: not even the same name without its TLS.
    fn is_as_good_as(&self, first: &Target) -> bool {
        self.authority == first.authority && (self.secure || !first.secure)
    }
}

fn target(url: &str) -> Result<Target, Error> {
    let wrong = || Error::invalid(format!("invalid URL: {url:?}"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let secure = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(wrong()),
    };
    let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or_else(wrong)?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok(Target { secure, host, port, authority: authority.as_str().to_owned(), path })
}

fn builder() -> Result<Builder, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::failed(error.to_string()))
}

impl Http {
    /// `trusted` gives the certificates that this machine trusts, in PEM.
    pub fn new(trusted: fn() -> Vec<u8>) -> Result<Http, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let any = Arc::new(AnyCertificate(provider));
        let loose = builder()?.dangerous().with_custom_certificate_verifier(any);
        let loose = loose.with_no_client_auth();
        Ok(Http { trusted, tls: Arc::default(), loose: Arc::new(loose) })
    }

    fn tls(&self) -> Result<Arc<rustls::ClientConfig>, Error> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let mut roots = RootCertStore::empty();
        let pem = (self.trusted)();
        let all = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        roots.add_parsable_certificates(all);
        let made = Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth());
        Ok(self.tls.get_or_init(|| made).clone())
    }

    /// Whether a server of this machine's loopback answers a greeting of TLS in kind.
    pub(crate) async fn speaks_tls(&self, domain: &str) -> bool {
        let Ok(place) = target(&format!("http://{domain}/")) else { return false };
        let greet = async {
            let stream = TcpStream::connect((place.host.as_str(), place.port)).await.ok()?;
            let name = ServerName::try_from(place.host.clone()).ok()?;
            let connector = tokio_rustls::TlsConnector::from(self.loose.clone());
            connector.connect(name, stream).await.ok()
        };
        matches!(tokio::time::timeout(GREETING, greet).await, Ok(Some(_)))
    }

    /// Sends, and follows where it is sent on to; credentials go no further than the first host.
    pub async fn send(
        &self,
        asked: &Asked,
        authorization: Option<&str>,
        outgoing: Outgoing,
    ) -> Result<Response<Incoming>, Error> {
        let mut asked = asked.clone();
        let first = target(&asked.url)?;
        let mut outgoing = Some(outgoing);
        for _ in 0..=REDIRECTS_MAX {
            let own = target(&asked.url)?.is_as_good_as(&first);
            let authorization = authorization.filter(|_| own);
            let out = outgoing.take().unwrap_or(Outgoing::Empty);
            let response = self.send_once(&asked, authorization, out).await?;
            let is_read = matches!(asked.method, Method::GET | Method::HEAD);
            let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok());
            match location {
                Some(location) if response.status().is_redirection() && is_read => {
                    asked.url = absolute(&asked.url, location)?;
                }
                _ => return Ok(response),
            }
        }
        Err(Error::failed(format!("{}: too many redirects", asked.url)))
    }

    async fn send_once(
        &self,
        asked: &Asked,
        authorization: Option<&str>,
        outgoing: Outgoing,
    ) -> Result<Response<Incoming>, Error> {
        let place = target(&asked.url)?;
        let verb = capitalised(&asked.method);
        let failed = |error: String| Error::failed(format!("{verb} {:?}: {error}", asked.url));
        let mut request = Request::builder()
            .method(asked.method.clone())
            .uri(&place.path)
            .header(HOST, &place.authority)
            .header(USER_AGENT, "cumulet");
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(body(outgoing)).map_err(|error| failed(error.to_string()))?;
        let connecting = TcpStream::connect((place.host.as_str(), place.port));
        let stream = match tokio::time::timeout(CONNECT, connecting).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                let why = plain(&error);
                let at = format!("dial tcp {}:{}", place.host, place.port);
                return Err(failed(format!("{at}: connect: {why}")));
            }
            Err(_) => return Err(failed("dial tcp: i/o timeout".to_owned())),
        };
        let _ = stream.set_nodelay(true);
        if !place.secure {
            return exchange(stream, request).await.map_err(failed);
        }
        let name = ServerName::try_from(place.host.clone()).map_err(|e| failed(e.to_string()))?;
        let config = match super::is_local(&place.host) {
            true => self.loose.clone(),
            false => self.tls()?,
        };
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = match tokio::time::timeout(CONNECT, connector.connect(name, stream)).await {
            Ok(stream) => stream.map_err(|error| failed(format!("tls: {error}")))?,
            Err(_) => return Err(failed("TLS handshake timeout".to_owned())),
        };
        exchange(stream, request).await.map_err(failed)
    }
}

async fn exchange<S>(stream: S, request: Request<OutBody>) -> Result<Response<Incoming>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(chain)?;
    engine::task(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a registry broke");
        }
    });
    let has_body = !http_body::Body::is_end_stream(request.body());
    let sent = sender.send_request(request);
    match has_body {
        // The whole of it goes out before the answer comes.
        true => sent.await.map_err(chain),
        false => match tokio::time::timeout(ANSWER, sent).await {
            Ok(answer) => answer.map_err(chain),
            Err(_) => Err("net/http: timeout awaiting response headers".to_owned()),
        },
    }
}

fn chain(error: hyper::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}

/// Without the number that Rust adds.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_ascii_lowercase()
}

fn capitalised(method: &Method) -> String {
    let text = method.as_str().to_ascii_lowercase();
    let (first, rest) = text.split_at(text.len().min(1));
    format!("{}{rest}", first.to_ascii_uppercase())
}

/// A place that may be relative to where it was named.
pub fn absolute(base: &str, location: &str) -> Result<String, Error> {
    if location.starts_with("http://") || location.starts_with("https://") {
        return Ok(location.to_owned());
    }
    let place = target(base)?;
    let scheme = if place.secure { "https" } else { "http" };
    match location.starts_with('/') {
        true => Ok(format!("{scheme}://{}{location}", place.authority)),
        false => Err(Error::failed(format!("invalid location: {location:?}"))),
    }
}

/// A whole body, up to a size.
pub async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<Bytes, Error> {
    let limited = http_body_util::Limited::new(response.into_body(), bytes_max);
    match limited.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(Error::new(Kind::Failed, format!("cannot read the answer: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, secure: bool, host: &str, port: u16, path: &str| {
            let found = target(url).unwrap_or_else(|error| panic!("{url}: {error}"));
            let found = (found.secure, found.host, found.port, found.path);
            assert_eq!(found, (secure, host.to_owned(), port, path.to_owned()), "{url}");
        };
        check("http://a:5000/v2/?x=1", false, "a", 5000, "/v2/?x=1");
        check("https://a", true, "a", 443, "/");
        check("http://[::1]:80/x", false, "::1", 80, "/x");
        for bad in ["ftp://a", "http://", "http://u:p@a/", "a b", ""] {
            assert!(target(bad).is_err(), "{bad}");
        }
        let sees =
            |first: &str, then: &str| target(then).unwrap().is_as_good_as(&target(first).unwrap());
        assert!(sees("https://a/x", "https://a/y") && sees("http://a:1/x", "http://a:1/y"));
        assert!(!sees("https://a/x", "http://a/x") && !sees("https://a/x", "https://b/x"));
        assert_eq!(absolute("http://a:1/x/y", "/z").unwrap(), "http://a:1/z");
        assert_eq!(absolute("http://a:1/x/y", "https://b/z").unwrap(), "https://b/z");
        assert!(absolute("http://a:1/x/y", "z").is_err());
    }
}
