//! An operation that this process itself does for a key's holder, its input in JSON: what fills a new cloud.
//!
//! Permission is asked and the audit record written as for a request from outside.

use crate::form::FieldHeaders;
use crate::gateway::{Call, Flow, Gateway, Seen, refuse_members};
use crate::guard;
use crate::rehearse::Held;
use api::{Error, RequestBody};
use bytes::Bytes;
use smithy::Document;
use smithy::json::document_text;
use smithy::model::Protocol;
use smithy::shape::{Location, Shape, StructShape};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Of all that a body can be, JSON; the rest of a message as of any REST protocol.
const PROTOCOL: Protocol = Protocol::RestJson1;

/// Members by their names, put where they stand in a message.
#[derive(Default)]
struct Message {
    labels: Vec<(&'static str, Cow<'static, str>)>,
    query: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    headers: FieldHeaders,
    body: Bytes,
}

impl Message {
    fn new(shape: &'static StructShape, input: Document) -> Result<Message, Error> {
        let mut message = Message::default();
        let mut rest = BTreeMap::new();
        for (name, value) in entries(input)? {
            let member = shape.members.iter().find(|member| member.name == name);
            let member = member.ok_or_else(|| bad(format!("there is no member {name}")))?;
            match member.location {
                Location::Header(field) => {
                    message.headers.0.push((field.to_owned(), text(&name, &value)?));
                }
                Location::HeaderPrefix(prefix) => {
                    for (key, value) in entries(value)? {
                        let field = format!("{prefix}{}", key.to_ascii_lowercase());
                        message.headers.0.push((field, text(&key, &value)?));
                    }
                }
                Location::Label(label) => {
                    message.labels.push((label, text(&name, &value)?.into()));
                }
                Location::Query(field) => match value {
                    Document::List(items) => {
                        for item in &items {
                            message.query.push((field.into(), text(&name, item)?.into()));
                        }
                    }
                    one => message.query.push((field.into(), text(&name, &one)?.into())),
                },
                Location::QueryMap => {
                    for (key, value) in entries(value)? {
                        let value = text(&key, &value)?;
                        message.query.push((key.into(), value.into()));
                    }
                }
                Location::StatusCode | Location::EventHeader(_) | Location::Body => {
                    rest.insert(member.wire.to_owned(), (on_the_wire(&member.shape, value), name));
                }
            }
        }
        let whole = shape.payload.map(|index| shape.members[usize::from(index)].wire);
        message.body = match whole {
            None => {
                let all = rest.into_iter().map(|(wire, (value, _))| (wire, value)).collect();
                document_text(&Document::Map(all)).into()
            }
            // It is the body, alone; nothing where it is not given. A text is the body as it stands.
            Some(wire) => match rest.remove(wire) {
                Some((Document::String(text), _)) => text.into(),
                Some((value, _)) => document_text(&value).into(),
                None => Bytes::new(),
            },
        };
        Ok(message)
    }
}

fn bad(text: String) -> Error {
    Error::with_code("ValidationException", 400, text)
}

fn entries(document: Document) -> Result<BTreeMap<String, Document>, Error> {
    match document {
        Document::Map(map) => Ok(map),
        Document::Null => Ok(BTreeMap::new()),
        _ => Err(bad("members must stand in an object".to_owned())),
    }
}

fn text(name: &str, value: &Document) -> Result<String, Error> {
    match value {
        Document::String(text) => Ok(text.clone()),
        Document::Bool(flag) => Ok(flag.to_string()),
        Document::Integer(n) => Ok(n.to_string()),
        Document::Double(n) => Ok(n.to_string()),
        _ => Err(bad(format!("{name} must be a text, a number or a flag"))),
    }
}

/// Members by the names that they have in a body. What fits no shape is for the decoder to refuse.
fn on_the_wire(shape: &Shape, value: Document) -> Document {
    match (shape, value) {
        (Shape::Struct(shape), Document::Map(map)) => {
            let named = map.into_iter().map(|(name, value)| {
                match shape.members.iter().find(|member| member.name == name) {
                    Some(member) => (member.wire.to_owned(), on_the_wire(&member.shape, value)),
                    None => (name, value),
                }
            });
            Document::Map(named.collect())
        }
        (Shape::List(shape), Document::List(items)) => {
            Document::List(items.into_iter().map(|item| on_the_wire(&shape.item, item)).collect())
        }
        (Shape::Map(shape), Document::Map(map)) => Document::Map(
            map.into_iter().map(|(key, value)| (key, on_the_wire(&shape.value, value))).collect(),
        ),
        (_, other) => other,
    }
}

impl Gateway {
    /// `input` has the operation's members by their names, `body` is what flows to it.
    pub async fn operate(
        &self,
        access_key_id: &str,
        service: &str,
        operation: &str,
        input: Document,
        body: Bytes,
    ) -> Result<(), Error> {
        let Held { entry, operation, served, cx } = self.held(access_key_id, service, operation)?;
        let Some(prepared) = entry.prepared(operation) else {
            return Err(Error::not_implemented(operation.name));
        };
        let Message { labels, query, headers, body: message } = Message::new(served.input, input)?;
        let request =
            smithy::Request { labels: &labels, query: &query, headers: &headers, body: &message };
        let mut input = (served.new_input)();
        smithy::decode_request(PROTOCOL, entry.model, &request, &mut *input)
            .map_err(|rejection| crate::refuse::rejected(rejection, entry, PROTOCOL))?;
        prepared.fill_tokens(&mut *input, &*cx.entropy);
        refuse_members(operation, prepared, served, &*input)?;
        let asks = guard::asks(entry, operation, &cx, &*input)?;
        let body = (!body.is_empty()).then(|| Flow::Ready(RequestBody::from_bytes(body)));
        let protocol = PROTOCOL;
        let call = Call { entry, protocol, operation, prepared, served, cx, input, asks, body };
        self.run(call, &mut Seen::default()).await.map(drop)
    }
}
