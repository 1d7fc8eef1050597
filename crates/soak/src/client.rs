//! A signed HTTP/1.1 client on one connection, in a thread of its own: send, wait, read.

use base::Timestamp;
use sigv4::{Credentials, Payload, RequestHead, Rules, SigningKey, sha256, sign_header};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const ANSWER_TIME: Duration = Duration::from_secs(30);
const HEAD_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    host: String,
    service: &'static str,
    key: SigningKey,
    stream: Option<TcpStream>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        let end = self.body.len().min(600);
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body[..end]))
    }

    /// What stands between `<name>` and `</name>`.
    pub fn element(&self, name: &str) -> Option<String> {
        self.elements(name).into_iter().next()
    }

    pub fn elements(&self, name: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.body);
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let parts = text.split(&open).skip(1).filter_map(|rest| rest.split_once(&close));
        parts.map(|(inside, _)| inside.to_owned()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().filter_map(|line| line.split_once(':')).find_map(|(found, value)| {
            found.trim().eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap_or_default())
}

impl Client {
    /// Of S3.
    pub fn new(address: SocketAddr) -> Client {
        Client::of(address, "s3")
    }

    pub fn of(address: SocketAddr, service: &'static str) -> Client {
        let date = now().iso8601_basic();
        let day = date.get(..8).unwrap_or_default();
        let key = SigningKey::derive("test", day, "us-east-1", service);
        Client { address, host: address.to_string(), service, key, stream: None }
    }

    /// An error is no answer, or none that could be read: what was asked for may have happened.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Answer, String> {
        self.sent(self.head(method, path, query, body, &[]), method, body)
    }

    /// An operation of a service that speaks JSON.
    pub fn operation(&mut self, target: &str, body: &str) -> Result<Answer, String> {
        let more = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", target)];
        self.sent(self.head("POST", "/", "", body.as_bytes(), &more), "POST", body.as_bytes())
    }

    fn sent(&mut self, head: Vec<u8>, method: &str, body: &[u8]) -> Result<Answer, String> {
        let result = self.exchange(&head, method, body);
        if result.is_err() {
            self.stream = None;
        }
        result
    }

    fn exchange(&mut self, head: &[u8], method: &str, body: &[u8]) -> Result<Answer, String> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).map_err(|e| e.to_string())?;
            let set = stream.set_nodelay(true);
            let set = set.and_then(|()| stream.set_read_timeout(Some(ANSWER_TIME)));
            let set = set.and_then(|()| stream.set_write_timeout(Some(ANSWER_TIME)));
            set.map_err(|e| e.to_string())?;
            self.stream = Some(stream);
        }
        let stream = self.stream.as_mut().ok_or("no connection")?;
        // A server that refuses early may close before it has read all: its answer says why.
        let sent = stream.write_all(head).and_then(|()| stream.write_all(body));
        let answer = read_answer(stream, method == "HEAD");
        let answer = answer.map_err(|e| sent.err().map_or(e, |e| e.to_string()))?;
        let closes = answer.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if closes {
            self.stream = None;
        }
        Ok(answer)
    }

    fn head(
        &self,
        method: &str,
        path: &str,
        query: &str,
        body: &[u8],
        more: &[(&str, &str)],
    ) -> Vec<u8> {
        let own = more.iter().map(|(name, value)| (*name, value.as_bytes()));
        let host = ("host", self.host.as_bytes());
        let headers: Vec<(&str, &[u8])> = std::iter::once(host).chain(own).collect();
        let head = RequestHead { method, path, query, headers: &headers };
        let credentials = Credentials { access_key: "test", key: &self.key, token: None };
        let body_sha256 = sha256(body);
        let rules = match self.service {
            "s3" => Rules::S3,
            _ => Rules::General { body_sha256 },
        };
        let payload = Payload::Sha256(body_sha256);
        let added = sign_header(&head, rules, payload, &credentials, now());
        let mark = if query.is_empty() { "" } else { "?" };
        let mut text = format!("{method} {path}{mark}{query} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in more {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        for (name, value) in added {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if matches!(method, "PUT" | "POST") {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

fn read_answer(stream: &mut impl Read, headless: bool) -> Result<Answer, String> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err("an answer's head without an end".to_owned());
        }
        more(stream, &mut bytes)?;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or("no HTTP answer")?;
    let mut answer = Answer { status, head, body: bytes.split_off(end) };
    if headless || status == 204 || status == 304 {
        return Ok(answer);
    }
    if answer.header("transfer-encoding").is_some() {
        answer.body = read_chunks(stream, std::mem::take(&mut answer.body))?;
        return Ok(answer);
    }
    let length = answer.header("content-length").and_then(|length| length.parse().ok());
    let length: usize = length.ok_or("an answer without a length")?;
    while answer.body.len() < length {
        more(stream, &mut answer.body)?;
    }
    Ok(answer)
}

fn read_chunks(stream: &mut impl Read, mut bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = bytes[at..].windows(2).position(|two| two == b"\r\n") else {
            more(stream, &mut bytes)?;
            continue;
        };
        let size = String::from_utf8_lossy(&bytes[at..at + line]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| "a chunk without a size")?;
        at += line + 2;
        while bytes.len() < at + size + 2 {
            more(stream, &mut bytes)?;
        }
        if size == 0 {
            return Ok(body);
        }
        body.extend_from_slice(&bytes[at..at + size]);
        at += size + 2;
    }
}

fn more(stream: &mut impl Read, bytes: &mut Vec<u8>) -> Result<(), String> {
    let mut piece = [0; 64 << 10];
    match stream.read(&mut piece).map_err(|e| e.to_string())? {
        0 => Err("the server closed without an answer".to_owned()),
        got => {
            bytes.extend_from_slice(&piece[..got]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Option<(u16, &str)>) {
        let found = read_answer(&mut answer.as_bytes(), false).ok();
        let found = found.map(|a| (a.status, String::from_utf8_lossy(&a.body).into_owned()));
        assert_eq!(found.as_ref().map(|(s, b)| (*s, b.as_str())), expected, "{answer}");
    }

    #[test]
    fn answers() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Some((200, "abc")));
        check("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", None);
        check("HTTP/1.1 204 No Content\r\n\r\n", Some((204, "")));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        check(&format!("{chunked}3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"), Some((200, "abcde")));
        check(&format!("{chunked}3\r\nab"), None);
        check("nonsense", None);
    }

    #[test]
    fn elements() {
        let body = b"<a><Key>x</Key><Key>y</Key></a>".to_vec();
        let answer = Answer { status: 200, head: String::new(), body };
        assert_eq!(answer.elements("Key"), ["x", "y"]);
        assert_eq!(answer.element("None"), None);
    }
}
