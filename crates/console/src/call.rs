//! Calls of the public APIs, signed with a person's own key.
//!
//! Answers are taken apart here, and bounded: what is in them was written by anybody.

use crate::session::Person;
use api::{Body, ByteStream, Inside, InsideAnswer, InsideRequest, RequestBody};
use base::{Timestamp, percent};
use bytes::{Bytes, BytesMut};
use sigv4::{Credentials, Payload, RequestHead, Rules, SigningKey};
use smithy::Document;
use smithy::xml::{Reader, Token};
use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

/// Of an answer that is taken apart.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// What the records say of who made the request.
pub const AGENT: &str = "cumulet-console";

/// Why something was not done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.into() }
    }

    pub fn is_denial(&self) -> bool {
        matches!(self.status, 401 | 403)
            || self.code.contains("AccessDenied")
            || self.code.contains("UnrecognizedClient")
    }

    fn strange() -> Refusal {
        Refusal::new(500, "InternalFailure", "The answer could not be read.")
    }
}

pub type Told<T> = Result<T, Refusal>;

/// Who asks, where, by which door.
#[derive(Clone)]
pub struct Cloud {
    pub inside: Arc<dyn Inside>,
    pub person: Person,
    pub region: String,
    /// As the browser names it.
    pub host: String,
    pub now: Timestamp,
}

/// Pairs of a query.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn encoded(pairs: Pairs<'_>) -> String {
    let mut sorted: Vec<_> = pairs.to_vec();
    sorted.sort_unstable();
    let one = |(name, value): &(&str, &str)| {
        format!("{}={}", percent::encode(name.as_bytes()), percent::encode(value.as_bytes()))
    };
    sorted.iter().map(one).collect::<Vec<_>>().join("&")
}

/// A request before it is signed.
pub struct Ask<'a> {
    pub service: &'a str,
    pub method: &'static str,
    /// Encoded.
    pub path: &'a str,
    pub query: Pairs<'a>,
    pub headers: Vec<(Cow<'static, str>, String)>,
    pub body: Bytes,
}

impl<'a> Ask<'a> {
    pub fn new(service: &'a str, method: &'static str, path: &'a str) -> Ask<'a> {
        Ask { service, method, path, query: &[], headers: Vec::new(), body: Bytes::new() }
    }

    pub fn query(self, query: Pairs<'a>) -> Ask<'a> {
        Ask { query, ..self }
    }

    pub fn header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Ask<'a> {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(self, body: impl Into<Bytes>) -> Ask<'a> {
        Ask { body: body.into(), ..self }
    }
}

impl Cloud {
    pub fn key(&self, service: &str) -> SigningKey {
        let date = &self.now.iso8601_basic()[..8];
        SigningKey::derive(&self.person.secret, date, &self.region, service)
    }

    /// Signs and sends. The answer's body is not read.
    pub async fn send(&self, ask: Ask<'_>) -> Told<InsideAnswer> {
        let Ask { service, method, path, query, mut headers, body } = ask;
        let query = encoded(query);
        headers.push(("host".into(), self.host.clone()));
        headers.push(("user-agent".into(), AGENT.to_owned()));
        let own: Vec<(&str, &[u8])> =
            headers.iter().map(|(n, v)| (n.as_ref(), v.as_bytes())).collect();
        let head = RequestHead { method, path, query: &query, headers: &own };
        let sha256 = sigv4::sha256(&body);
        let rules = match service {
            "s3" => Rules::S3,
            _ => Rules::General { body_sha256: sha256 },
        };
        let key = self.key(service);
        let credentials = Credentials {
            access_key: &self.person.id,
            key: &key,
            token: self.person.token.as_deref(),
        };
        let payload = Payload::Sha256(sha256);
        let added = sigv4::sign_header(&head, rules, payload, &credentials, self.now);
        headers.extend(added.into_iter().map(|(name, value)| (name.into(), value)));
        headers.push(("content-length".into(), body.len().to_string()));
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let body = RequestBody::from_bytes(body);
        let answer = self.inside.send(InsideRequest { method, target, headers, body }).await;
        match answer.status {
            200..=399 => Ok(answer),
            _ => Err(refusal(answer).await),
        }
    }

    pub async fn whole(&self, ask: Ask<'_>) -> Told<Bytes> {
        read(self.send(ask).await?.body, ANSWER_BYTES_MAX).await
    }

    /// An operation of S3, which answers with XML or nothing.
    pub async fn s3(&self, ask: Ask<'_>) -> Told<Node> {
        let bytes = self.whole(ask).await?;
        if bytes.is_empty() {
            return Ok(Node::default());
        }
        Node::parse(&bytes).ok_or_else(Refusal::strange)
    }

    /// An operation of a service that speaks awsJson.
    pub async fn json(&self, service: &str, target: &str, input: &Document) -> Told<Document> {
        let ask = Ask::new(service, "POST", "/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(smithy::json::document_text(input));
        let bytes = self.whole(ask).await?;
        smithy::json::parse_document(&bytes).map_err(|_| Refusal::strange())
    }

    /// An operation of a service that speaks awsQuery: the result's element.
    pub async fn query(
        &self,
        service: &str,
        version: &str,
        action: &str,
        input: Pairs<'_>,
    ) -> Told<Node> {
        let mut pairs = vec![("Action", action), ("Version", version)];
        pairs.extend_from_slice(input);
        let ask = Ask::new(service, "POST", "/")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(&pairs));
        let bytes = self.whole(ask).await?;
        let mut answer = Node::parse(&bytes).ok_or_else(Refusal::strange)?;
        let at = answer.children.iter().position(|node| node.name.ends_with("Result"));
        Ok(at.map(|at| answer.children.swap_remove(at)).unwrap_or_default())
    }

    /// A page of the administrators', or the engine's API behind one.
    pub async fn own(&self, method: &'static str, path: &str, query: Pairs<'_>) -> Told<Document> {
        let bytes = self.whole(Ask::new("cumulet", method, path).query(query)).await?;
        if bytes.is_empty() {
            return Ok(Document::Null);
        }
        smithy::json::parse_document(&bytes).map_err(|_| Refusal::strange())
    }
}

/// The next piece of a body.
pub async fn next(stream: &mut Pin<Box<dyn ByteStream>>) -> Option<Result<Bytes, api::Error>> {
    poll_fn(|cx| stream.as_mut().poll_next(cx)).await
}

/// A body whole, if it is not too long.
pub async fn read(body: Body, bytes_max: usize) -> Told<Bytes> {
    let long = || Refusal::new(500, "TooLong", "The answer is too long to be shown.");
    match body {
        Body::Empty => Ok(Bytes::new()),
        Body::Bytes(bytes) if bytes.len() <= bytes_max => Ok(bytes),
        Body::Bytes(_) => Err(long()),
        Body::Stream(_, mut stream) => {
            let mut all = BytesMut::new();
            while let Some(piece) = next(&mut stream).await {
                let piece = piece
                    .map_err(|e| Refusal::new(e.status(), e.code(), e.message().to_owned()))?;
                if all.len() + piece.len() > bytes_max {
                    return Err(long());
                }
                all.extend_from_slice(&piece);
            }
            Ok(all.freeze())
        }
    }
}

/// The beginning of a body, and whether that is all.
pub async fn beginning(body: Body, bytes_max: usize) -> Told<(Bytes, bool)> {
    match body {
        Body::Empty => Ok((Bytes::new(), true)),
        Body::Bytes(bytes) => {
            let end = bytes.len().min(bytes_max);
            Ok((bytes.slice(..end), end == bytes.len()))
        }
        Body::Stream(_, mut stream) => {
            let mut all = BytesMut::new();
            while let Some(piece) = next(&mut stream).await {
                let piece = piece
                    .map_err(|e| Refusal::new(e.status(), e.code(), e.message().to_owned()))?;
                all.extend_from_slice(&piece);
                if all.len() > bytes_max {
                    all.truncate(bytes_max);
                    return Ok((all.freeze(), false));
                }
            }
            Ok((all.freeze(), true))
        }
    }
}

/// What an answer says went wrong, in whichever form.
pub async fn refusal(answer: InsideAnswer) -> Refusal {
    let status = answer.status;
    let bytes = read(answer.body, ANSWER_BYTES_MAX).await.unwrap_or_default();
    if let Some(node) = Node::parse(&bytes) {
        let inner = node.find("Error").unwrap_or(&node);
        let (code, message) = (inner.text("Code"), inner.text("Message"));
        if !code.is_empty() {
            return Refusal::new(status, code, message.to_owned());
        }
    }
    if let Ok(document) = smithy::json::parse_document(&bytes) {
        let code = text(&document, "__type").or(text(&document, "code")).unwrap_or("Refused");
        let code = code.rsplit('#').next().unwrap_or(code).to_owned();
        let message = text(&document, "message").or(text(&document, "Message"));
        return Refusal::new(status, &code, message.unwrap_or_default());
    }
    let header = answer.headers.iter().find(|(name, _)| name == "x-amzn-errortype");
    let code = header.map_or("Refused", |(_, value)| value.as_str());
    let words = match status {
        403 => "Access denied.",
        404 => "There is no such thing.",
        _ => "It was refused.",
    };
    Refusal::new(status, code, words)
}

/// A text in a document that is a map.
pub fn text<'d>(document: &'d Document, name: &str) -> Option<&'d str> {
    match get(document, name) {
        Some(Document::String(text)) => Some(text),
        _ => None,
    }
}

pub fn get<'d>(document: &'d Document, name: &str) -> Option<&'d Document> {
    match document {
        Document::Map(map) => map.get(name),
        _ => None,
    }
}

pub fn list<'d>(document: &'d Document, name: &str) -> &'d [Document] {
    match get(document, name) {
        Some(Document::List(list)) => list,
        _ => &[],
    }
}

pub fn integer(document: &Document, name: &str) -> i64 {
    match get(document, name) {
        Some(Document::Integer(n)) => *n,
        Some(Document::Double(n)) => *n as i64,
        _ => 0,
    }
}

/// A map of texts as a document.
pub fn map<const N: usize>(entries: [(&str, Document); N]) -> Document {
    Document::Map(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

pub fn string(text: impl Into<String>) -> Document {
    Document::String(text.into())
}

/// An element of an answer in XML.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Node {
    pub name: String,
    pub text: String,
    pub children: Vec<Node>,
}

impl Node {
    pub fn parse(bytes: &[u8]) -> Option<Node> {
        let mut reader = Reader::new(bytes).ok()?;
        let mut open = vec![Node::default()];
        loop {
            match reader.token().ok()? {
                Token::Start(name) => {
                    open.push(Node { name: name.to_owned(), ..Node::default() });
                }
                Token::Text(text) => open.last_mut()?.text.push_str(&text),
                Token::End => {
                    let mut done = open.pop()?;
                    if !done.children.is_empty() {
                        done.text.clear();
                    }
                    open.last_mut()?.children.push(done);
                }
                Token::Eof => return open.pop()?.children.pop(),
            }
        }
    }

    /// The first child of that name.
    pub fn find(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|child| child.name == name)
    }

    pub fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Node> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The members of a list that stands in a child.
    pub fn list(&self, name: &str) -> &[Node] {
        self.find(name).map_or(&[], |child| &child.children)
    }

    /// The text of a child; empty if there is none.
    pub fn text(&self, name: &str) -> &str {
        self.find(name).map_or("", |child| &child.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_as_a_tree() {
        let node =
            Node::parse(b"<?xml version=\"1.0\"?><A>\n <B><C>1 &lt; 2</C></B>\n <C>x</C></A>");
        let node = node.unwrap();
        assert_eq!((node.text("C"), node.list("B")[0].text.as_str()), ("x", "1 < 2"));
        assert_eq!((node.text.as_str(), node.text("D")), ("", ""));
        for bad in [&b""[..], b"<A>", b"{}", b"<A></B>"] {
            assert_eq!(Node::parse(bad), None);
        }
    }

    #[test]
    fn refusals_in_every_form() {
        let check = |status: u16, body: &'static str, code: &str, message: &str| {
            let body = match body {
                "" => Body::Empty,
                body => Body::Bytes(Bytes::from_static(body.as_bytes())),
            };
            let answer = InsideAnswer { status, headers: Vec::new(), body };
            let mut future = Box::pin(refusal(answer));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let std::task::Poll::Ready(got) = future.as_mut().poll(&mut cx) else { panic!() };
            assert_eq!(got, Refusal::new(status, code, message));
        };
        check(
            403,
            "<Error><Code>AccessDenied</Code><Message>no</Message></Error>",
            "AccessDenied",
            "no",
        );
        let iam = "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>m</Message></Error></ErrorResponse>";
        check(404, iam, "NoSuchEntity", "m");
        let json = r#"{"__type":"com.amazonaws#AccessDeniedException","Message":"m"}"#;
        check(400, json, "AccessDeniedException", "m");
        check(403, "", "Refused", "Access denied.");
    }
}
