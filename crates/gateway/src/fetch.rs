//! Fetches what identity providers publish: one GET, one connection, bounded in time and size.
//!
//! HTTPS to anywhere, with the certificates that this machine trusts or those whose thumbprints the
//! provider's owner named; plain HTTP only where the other end is this machine itself. No redirects.

use api::{Fetch, Fetched};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use sha1::{Digest, Sha1};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

const ANSWER_BYTES_MAX: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(5);
/// Gets over the network of this machine.
#[derive(Debug)]
pub struct Web {
    trusted: fn() -> Vec<u8>,
    /// Read when they are first needed: there are some hundreds.
    roots: OnceLock<Arc<RootCertStore>>,
}

impl Fetch for Web {
    fn fetch<'a>(&'a self, url: &'a str, thumbprints: &'a [String]) -> Fetched<'a> {
        Box::pin(async move {
            let got = tokio::time::timeout(PATIENCE, self.get(url, thumbprints)).await;
            got.map_err(|_| "no answer in time".to_owned())?
        })
    }
}

/// The parts of a URL: whether over TLS, host, port, path with query.
fn split(url: &str) -> Option<(bool, &str, u16, &str)> {
    let (secure, rest) = match url.strip_prefix("https://") {
        Some(rest) => (true, rest),
        None => (false, url.strip_prefix("http://")?),
    };
    let rest = rest.split('#').next()?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (place, path) = rest.split_at(at);
    if place.contains('@') || !path.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let default = if secure { 443 } else { 80 };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':').map_or(Some(default), |port| port.parse().ok())?)
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (place, default),
        },
    };
    (!host.is_empty()).then_some((secure, host, port, path))
}

impl Web {
    /// `trusted` gives the certificates that this machine trusts, in PEM.
    pub fn new(trusted: fn() -> Vec<u8>) -> Web {
        Web { trusted, roots: OnceLock::new() }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let roots = self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let pem = (self.trusted)();
            let all = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
            roots.add_parsable_certificates(all);
            Arc::new(roots)
        });
        roots.clone()
    }

    async fn get(&self, url: &str, thumbprints: &[String]) -> Result<Vec<u8>, String> {
        let (secure, host, port, path) = split(url).ok_or("not a URL")?;
        let stream = TcpStream::connect((host, port)).await.map_err(|e| e.to_string())?;
        let peer = stream.peer_addr().map_err(|e| e.to_string())?;
        let literal = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {literal}:{port}\r\naccept: application/json\r\n\
             user-agent: cumulet\r\nconnection: close\r\n\r\n"
        );
        if !secure {
            if !peer.ip().to_canonical().is_loopback() {
                return Err(format!("plain HTTP to {peer}, which is not this machine"));
            }
            return exchange(stream, &request).await;
        }
        let config = self.tls(thumbprints)?;
        let name = ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(config);
        let stream = connector.connect(name, stream).await.map_err(|e| e.to_string())?;
        exchange(stream, &request).await
    }

    fn tls(&self, thumbprints: &[String]) -> Result<Arc<rustls::ClientConfig>, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier {
            roots: self.roots(),
            thumbprints: thumbprints.iter().map(|print| print.to_ascii_lowercase()).collect(),
            provider: provider.clone(),
        };
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> Result<Vec<u8>, String> {
    stream.write_all(request.as_bytes()).await.map_err(|e| e.to_string())?;
    let mut answer = Vec::new();
    let mut bounded = stream.take(ANSWER_BYTES_MAX + 1);
    if let Err(error) = bounded.read_to_end(&mut answer).await
        // Some end without saying so once all is there.
        && error.kind() != std::io::ErrorKind::UnexpectedEof
    {
        return Err(error.to_string());
    }
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err("the answer is too long".to_owned());
    }
    body(&answer)
}

/// The body of a whole answer whose status is 200.
fn body(answer: &[u8]) -> Result<Vec<u8>, String> {
    let strange = || "not an answer of HTTP".to_owned();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(strange)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| strange())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or_else(strange)?;
    if status != "200" {
        return Err(format!("the answer is {status}"));
    }
    let body = &answer[end + 4..];
    let header = |wanted: &str| {
        head.split("\r\n").filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_ascii_lowercase())
        })
    };
    if header("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        return chunks(body).ok_or_else(strange);
    }
    match header("content-length").map(|text| text.parse::<usize>()) {
        None => Ok(body.to_vec()),
        Some(Ok(length)) if length <= body.len() => Ok(body[..length].to_vec()),
        Some(_) => Err("the answer ends early".to_owned()),
    }
}

/// For the fuzzer: any URL, then any answer.
pub(crate) fn fuzz(data: &[u8]) {
    let _ = split(&String::from_utf8_lossy(data));
    if let Ok(body) = body(data) {
        assert!(body.len() <= data.len());
    }
}

fn chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(out);
        }
        let (chunk, after) = rest.split_at_checked(size)?;
        out.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n")?;
    }
}

/// Trusts what the machine trusts, and what the thumbprints name.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    /// In lower case.
    thumbprints: Vec<String>,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn is_named(&self, certificate: &CertificateDer<'_>) -> bool {
        let print = base::hex::encode(&Sha1::digest(certificate));
        self.thumbprints.contains(&print)
    }

    fn by_roots(
        &self,
        roots: Arc<RootCertStore>,
        chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?;
        verifier.verify_server_cert(chain.0, chain.1, name, &[], now)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.is_named(end) {
            // The owner vouches for this very certificate; it still must be for the host.
            let parsed = ParsedCertificate::try_from(end)?;
            rustls::client::verify_server_name(&parsed, name)?;
            return Ok(ServerCertVerified::assertion());
        }
        for named in others.iter().filter(|other| self.is_named(other)) {
            let mut roots = RootCertStore::empty();
            if roots.add(named.clone().into_owned()).is_ok()
                && let Ok(good) = self.by_roots(Arc::new(roots), (end, others), name, now)
            {
                return Ok(good);
            }
        }
        if self.roots.is_empty() {
            return Err(CertificateError::UnknownIssuer.into());
        }
        self.by_roots(self.roots.clone(), (end, others), name, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let check = |url: &str, expected| assert_eq!(split(url), expected, "{url}");
        check("https://a.b/c?d", Some((true, "a.b", 443, "/c?d")));
        check("http://localhost:8080", Some((false, "localhost", 8080, "")));
        check("http://[::1]:1/x", Some((false, "::1", 1, "/x")));
        for bad in ["ftp://a", "https://", "https://a@b/", "https://a:x/", "https://a/\r\nx"] {
            check(bad, None);
        }
    }

    #[test]
    fn answers() {
        let check = |answer: &str, expected: Result<&str, &str>| {
            let got = body(answer.as_bytes()).map(|b| String::from_utf8(b).unwrap());
            assert_eq!(got.as_deref().map_err(String::as_str), expected, "{answer}");
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}x", Ok("{}"));
        check("HTTP/1.1 200\r\n\r\n{}", Ok("{}"));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n",
            Ok("{}"),
        );
        check("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", Err("the answer is 302"));
        check("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", Err("the answer ends early"));
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
            Err("not an answer of HTTP"),
        );
        check("nonsense", Err("not an answer of HTTP"));
    }
}
