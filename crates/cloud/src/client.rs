//! A small client for the commands that talk to a running cloud: one request, one connection.

use crate::chance::SystemClock;
use crate::cli;
use crate::exit::{self, Failure};
use crate::settings::Config;
use base::Clock;
use sigv4::{Credentials, EMPTY_SHA256, Payload, RequestHead, Rules, SigningKey};
use smithy::Document;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const ANSWER_BYTES_MAX: u64 = 64 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cloud and who we are to it.
#[derive(Debug)]
pub struct Client {
    address: String,
    region: String,
    id: String,
    secret: String,
    token: Option<String>,
}

impl Client {
    /// The cloud at the address that was given, if one was; else the one that holds the data folder, or the
    /// one at the configured address.
    pub fn new(config: &Config) -> Client {
        // Port 0 is none to look at.
        let given = config.listen_given && config.listen.port() != 0;
        let held = held_address(config).filter(|_| !given);
        let root = config.root_keys.first();
        let id = cli::variable("AWS_ACCESS_KEY_ID");
        let secret = cli::variable("AWS_SECRET_ACCESS_KEY");
        let (id, secret, token) = match (id, secret, root) {
            (_, _, Some(key)) => (key.id.clone(), key.secret.clone(), None),
            (Some(id), Some(secret), None) => (id, secret, cli::variable("AWS_SESSION_TOKEN")),
            _ => (gateway::WELL_KNOWN.to_owned(), gateway::WELL_KNOWN.to_owned(), None),
        };
        Client {
            address: held.unwrap_or_else(|| config.listen.to_string()),
            region: config.region.as_str().to_owned(),
            id,
            secret,
            token,
        }
    }

    /// Sends a signed request without a body; gives the answer's document.
    pub fn ask(&self, method: &str, path: &str, query: &str) -> Result<Document, Failure> {
        let request = self.signed(method, path, query, "1.1");
        let (status, body) = self.exchange(&request)?;
        self.document(status, &body)
    }

    /// Opens an answer that does not end, of one JSON document a line.
    pub fn follow(&self, path: &str, query: &str) -> Result<Lines, Failure> {
        // In this version the end of an answer is the end of the connection, and nothing is in between.
        let request = self.signed("GET", path, query, "1.0");
        let mut lines = Lines(BufReader::new(self.send(&request)?));
        let mut status = None;
        while let Some(line) = lines.next()? {
            let line = String::from_utf8_lossy(&line).into_owned();
            if status.is_none() {
                status = line.get(9..12).and_then(|digits| digits.parse::<u16>().ok());
                if status.is_none() {
                    break;
                }
            }
            if line.trim().is_empty() {
                break;
            }
        }
        match status {
            Some(200) => Ok(lines),
            Some(status) => {
                let mut body = Vec::new();
                let _ = lines.0.take(ANSWER_BYTES_MAX).read_to_end(&mut body);
                self.document(status, &body).and_then(|_| Err(self.strange()))
            }
            None => Err(self.strange()),
        }
    }

    fn strange(&self) -> Failure {
        Failure::new(exit::FAILED, format!("{} does not speak HTTP", self.address))
    }

    fn document(&self, status: u16, body: &[u8]) -> Result<Document, Failure> {
        let document = smithy::json::parse_document(body)
            .map_err(|_| Failure::new(exit::FAILED, format!("the answer ({status}) is no JSON")))?;
        if status == 200 {
            return Ok(document);
        }
        let message =
            text(&document, "message").or(text(&document, "Message")).unwrap_or("refused");
        Err(Failure::new(exit::FAILED, format!("{status}: {message}")))
    }

    fn signed(&self, method: &str, path: &str, query: &str, version: &str) -> String {
        let now = SystemClock::new().now();
        let date = &now.iso8601_basic()[..8];
        let key = SigningKey::derive(&self.secret, date, &self.region, gateway::admin::SERVICE);
        let own = [("host", self.address.as_bytes())];
        let head = RequestHead { method, path, query, headers: &own };
        let credentials =
            Credentials { access_key: &self.id, key: &key, token: self.token.as_deref() };
        let rules = Rules::General { body_sha256: EMPTY_SHA256 };
        let added = sigv4::sign_header(&head, rules, Payload::Unsigned, &credentials, now);
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut request = format!("{method} {target} HTTP/{version}\r\nhost: {}\r\n", self.address);
        for (name, value) in added {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("content-length: 0\r\nconnection: close\r\n\r\n");
        request
    }

    /// Whether a cloud answers there, and what it says of itself.
    pub fn health(&self) -> Result<(u16, Vec<u8>), Failure> {
        self.page("/health")
    }

    /// A page that everybody may read.
    pub fn page(&self, path: &str) -> Result<(u16, Vec<u8>), Failure> {
        let address = &self.address;
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
        ))
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    fn silent(&self, error: std::io::Error) -> Failure {
        let address = &self.address;
        let text = format!("no cloud answers at {address} ({error}); start one with `cumulet up`");
        Failure::new(exit::FAILED, text)
    }

    fn send(&self, request: &str) -> Result<TcpStream, Failure> {
        let open = || {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(request.as_bytes())?;
            Ok(stream)
        };
        open().map_err(|error| self.silent(error))
    }

    fn exchange(&self, request: &str) -> Result<(u16, Vec<u8>), Failure> {
        let stream = self.send(request)?;
        let mut answer = Vec::new();
        let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
        read.map_err(|error| self.silent(error))?;
        let strange = || self.strange();
        let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or_else(strange)?;
        let head = std::str::from_utf8(&answer[..end]).map_err(|_| strange())?;
        let status = head.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(strange)?;
        Ok((status, answer[end + 4..].to_vec()))
    }
}

/// The lines of an answer that does not end.
pub struct Lines(BufReader<TcpStream>);

impl Lines {
    /// Waits for the next; none when the other side has ended.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let mut line = Vec::new();
        let read = (&mut self.0).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line);
        match read {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) => Err(Failure::new(exit::FAILED, format!("the cloud is silent: {error}"))),
        }
    }
}

/// A text in a document that is a map.
pub fn text<'d>(document: &'d Document, name: &str) -> Option<&'d str> {
    match document {
        Document::Map(map) => match map.get(name) {
            Some(Document::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// Where the cloud listens that holds the data folder.
pub fn held_address(config: &Config) -> Option<String> {
    holder(config).and_then(|text| Some(text.split_once("http://")?.1.to_owned()))
}

/// Who holds the data folder, as its lock file says; empty or absent where nobody does.
#[allow(clippy::disallowed_methods, reason = "a look without taking the folder")]
pub fn holder(config: &Config) -> Option<String> {
    use rustix::fs::{FlockOperation, flock};
    let path = config.data.join("lock");
    let file = std::fs::File::open(&path).ok()?;
    // Who can have the lock proves that nobody has it.
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let text = std::fs::read_to_string(&path).ok()?;
    Some(text.trim().chars().filter(|c| !c.is_control()).take(200).collect())
}
