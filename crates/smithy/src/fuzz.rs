//! What the fuzz targets in `fuzz/` run, and the unit tests from fixed seeds: outside bytes go
//! through every parser, and what was read must survive being written and read again.

use crate::events::Frame;
use crate::index::Index;
use crate::model::{
    Auth, HttpRule, Kind, Operation, Protocol, Routes, Segment, Served, ServiceModel,
};
use crate::route::Target;
use crate::shape::*;
use crate::value::{ABSENT, Field, Struct};
use crate::{Document, Request, json, query};
use base::Timestamp;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One member of every kind, recursive.
#[derive(Clone, Default)]
pub struct Thing {
    text: Option<String>,
    flag: Option<bool>,
    small: Option<i32>,
    large: Option<i64>,
    double: Option<f64>,
    blob: Option<Bytes>,
    at: Option<Timestamp>,
    things: Option<Vec<Thing>>,
    names: Option<Vec<String>>,
    by_key: Option<BTreeMap<String, Thing>>,
    labels: Option<BTreeMap<String, String>>,
    any: Option<Document>,
}

static RANGE: RangeRules = RangeRules { min: None, max: None };
static LENGTH: LengthRules = LengthRules { min: None, max: None };
static TEXT: StringRules = StringRules {
    length: LengthRules { min: None, max: Some(1000) },
    pattern: Some(Pattern::new("[^|]*")),
    values: &[],
};
static THINGS: ListShape = items(Shape::Struct(&THING), false);
static NAMES: ListShape = items(Shape::String(&TEXT), true);
static BY_KEY: MapShape = entries(Shape::Struct(&THING), false);
static LABELS: MapShape = entries(Shape::String(&TEXT), true);

const fn items(item: Shape, flattened: bool) -> ListShape {
    let length = LengthRules { min: None, max: None };
    ListShape { item, item_wire: None, flattened, sparse: false, sensitive: false, length }
}

const fn entries(value: Shape, flattened: bool) -> MapShape {
    MapShape {
        key: Shape::String(&TEXT),
        value,
        key_wire: "key",
        entry_wire: None,
        value_wire: "value",
        flattened,
        sparse: false,
        sensitive: false,
        length: LengthRules { min: None, max: None },
    }
}

const fn member(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        wire: name,
        ec2: None,
        shape,
        location: Location::Body,
        required: false,
        flattened: false,
        xml_attribute: false,
        xml_namespace: None,
        idempotency_token: false,
        sensitive: false,
        event_payload: false,
    }
}

static THING: StructShape = StructShape {
    name: "Thing",
    members: &[
        member("Text", Shape::String(&TEXT)),
        member("Flag", Shape::Boolean),
        member("Small", Shape::Integer(&RANGE)),
        member("Large", Shape::Long(&RANGE)),
        member("Double", Shape::Double),
        member("Blob", Shape::Blob(&LENGTH)),
        member("At", Shape::Timestamp(TimeFormat::Default)),
        member("Things", Shape::List(&THINGS)),
        member("Names", Shape::List(&NAMES)),
        member("ByKey", Shape::Map(&BY_KEY)),
        member("Labels", Shape::Map(&LABELS)),
        member("Any", Shape::Document),
    ],
    payload: None,
    union: false,
    xml_root: None,
    xml_namespace: None,
    error: None,
    index: Index::new(),
};

impl Struct for Thing {
    fn shape(&self) -> &'static StructShape {
        &THING
    }

    fn field(&self, index: usize) -> &dyn Field {
        match index {
            0 => &self.text,
            1 => &self.flag,
            2 => &self.small,
            3 => &self.large,
            4 => &self.double,
            5 => &self.blob,
            6 => &self.at,
            7 => &self.things,
            8 => &self.names,
            9 => &self.by_key,
            10 => &self.labels,
            11 => &self.any,
            _ => &ABSENT,
        }
    }

    fn field_mut(&mut self, index: usize) -> &mut dyn Field {
        match index {
            0 => &mut self.text,
            1 => &mut self.flag,
            2 => &mut self.small,
            3 => &mut self.large,
            4 => &mut self.double,
            5 => &mut self.blob,
            6 => &mut self.at,
            7 => &mut self.things,
            8 => &mut self.names,
            9 => &mut self.by_key,
            10 => &mut self.labels,
            _ => &mut self.any,
        }
    }
}
crate::field_for_struct!(Thing);

const BUCKET: &[Segment] = &[Segment::Label("Bucket")];
const OBJECT: &[Segment] = &[Segment::Label("Bucket"), Segment::Greedy("Key")];
const TAIL: &[Segment] = &[Segment::Text("logs"), Segment::Greedy("Key"), Segment::Text("tail")];

const fn operation(name: &'static str, path: &'static [Segment]) -> Operation {
    Operation {
        name,
        index: 0,
        http: HttpRule { method: "GET", path, query: &[], headers: &[] },
        served: Some(Served {
            kind: Kind::Read,
            input: &THING,
            output: &THING,
            new_input: || Box::new(Thing::default()),
            errors: &[],
            result_wrapper: None,
            status: 200,
            auth: Auth::Open,
            refused: &[],
            stored: &[],
        }),
    }
}

static SERVICE: ServiceModel = ServiceModel {
    name: "fuzz",
    service_id: "Fuzz",
    signing_name: "fuzz",
    endpoint_prefix: "fuzz",
    action_prefix: "fuzz",
    api_version: "",
    target_prefix: None,
    xml_namespace: None,
    protocols: &[],
    query_compatible: false,
    crc32: false,
    whole_seconds: false,
    validate: true,
    operations: &[
        operation("GetThing", OBJECT),
        operation("ListThings", BUCKET),
        operation("Tail", TAIL),
    ],
    routes: Routes::new(),
};

fn decode(protocol: Protocol, body: &Bytes) -> Option<Thing> {
    let request = Request { labels: &[], query: &[], headers: &[], body };
    let mut thing = Thing::default();
    match crate::decode_request(protocol, &SERVICE, &request, &mut thing) {
        Ok(()) => Some(thing),
        Err(rejection) => {
            assert!(!rejection.to_string().is_empty());
            None
        }
    }
}

fn encode(protocol: Protocol, thing: &Thing) -> Bytes {
    crate::encode_response(protocol, &SERVICE, &SERVICE.operations[0], thing, "id").body
}

fn again(protocol: Protocol, data: &[u8]) {
    let Some(thing) = decode(protocol, &Bytes::copy_from_slice(data)) else { return };
    let written = encode(protocol, &thing);
    let read = decode(protocol, &written).expect("what was written can be read");
    assert_eq!(encode(protocol, &read), written, "and is the same");
}

/// A body of restXml.
pub fn fuzz_xml(data: &[u8]) {
    again(Protocol::RestXml, data);
}

/// A body of awsJson, and any JSON.
pub fn fuzz_json(data: &[u8]) {
    again(Protocol::AwsJson11, data);
    if let Ok(document) = json::parse_document(data) {
        let text = json::document_text(&document);
        let read = json::parse_document(text.as_bytes()).expect("what was written can be read");
        assert_eq!(json::document_text(&read), text);
    }
}

/// A body of rpcv2Cbor.
pub fn fuzz_cbor(data: &[u8]) {
    again(Protocol::RpcV2Cbor, data);
}

/// A form of awsQuery or ec2Query.
pub fn fuzz_query(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    for protocol in [Protocol::AwsQuery, Protocol::Ec2Query] {
        if let Some(thing) = decode(protocol, &body) {
            encode(protocol, &thing);
        }
    }
    query::action(&[], data);
}

/// Frames of an event stream.
pub fn fuzz_events(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    if let Ok(Some((frame, len))) = Frame::decode(&data) {
        let written = frame.encode().expect("what was read can be written");
        assert_eq!(written, data[..len]);
        let mut thing = Thing::default();
        let _ = crate::events::decode_event(Protocol::RestJson1, &SERVICE, &frame, &mut thing);
    }
}

/// A path, then after a line end the value of a header, then a query.
pub fn fuzz_route(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let (path, header) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let query: Vec<_> = (lines.next().unwrap_or("").split('&'))
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (Cow::from(k), Cow::from(v)))
        .collect();
    let headers = [("x-amz-target", header), ("x-list", header)];
    let target = Target { method: "GET", path, query: &query, headers: &headers, body: data };
    for protocol in
        [Protocol::RestXml, Protocol::AwsJson10, Protocol::AwsQuery, Protocol::RpcV2Cbor]
    {
        if let Ok(routed) = SERVICE.route(protocol, &target) {
            assert!(routed.labels.iter().all(|(_, value)| !value.is_empty()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{Entropy, SeededEntropy};

    /// Runs a target on mutations of good inputs, from a fixed seed.
    fn run(target: fn(&[u8]), rounds: usize, seeds: &[&[u8]], words: &[&[u8]]) {
        let entropy = SeededEntropy::new(7);
        let below = |n: usize| entropy.below(n.max(1) as u64) as usize;
        for round in 0..rounds {
            let mut data = seeds[round % seeds.len()].to_vec();
            for _ in 0..below(6) {
                let at = below(data.len());
                match below(5) {
                    0 if !data.is_empty() => data[at] = entropy.next_u64() as u8,
                    1 if !data.is_empty() => data[at] ^= 1 << below(8),
                    2 => data.truncate(at),
                    3 => {
                        let end = (at + below(16)).min(data.len());
                        let copy = data[at..end].to_vec();
                        let to = below(data.len());
                        data.splice(to..to, copy);
                    }
                    _ => {
                        let word = words[below(words.len())];
                        data.splice(at..at, word.iter().copied());
                    }
                }
            }
            target(&data);
        }
    }

    const THING_JSON: &str = r#"{"Text":"a\u00e9\ud83d\ude00","Flag":true,"Small":-5,"Large":9007199254740993,
        "Double":1.5e-7,"Blob":"aGk=","At":1400000000.25,"Things":[{"Text":""},{}],"Names":["x"],
        "ByKey":{"k":{"Small":1}},"Labels":{"a":"b"},"Any":{"x":[1,null,2.5,"y"]}}"#;

    #[test]
    fn json() {
        let words: [&[u8]; 9] =
            [b"{", b"[", b"\"", b"\\u", b"\\ud800", b"null", b"1e308", b"\"Things\":", b","];
        run(fuzz_json, 20_000, &[THING_JSON.as_bytes()], &words);
    }

    #[test]
    fn cbor() {
        let thing = decode(Protocol::AwsJson11, &Bytes::from(THING_JSON)).expect("a thing");
        let seed = encode(Protocol::RpcV2Cbor, &Thing { any: None, ..thing });
        let words: [&[u8]; 7] =
            [b"\xbf", b"\x9f", b"\xff", b"\xc1", b"\x7b\xff\xff\xff\xff", b"\xf9\x7e\0", b"\xf6"];
        run(fuzz_cbor, 20_000, &[&seed], &words);
    }

    #[test]
    fn xml() {
        let thing = decode(Protocol::AwsJson11, &Bytes::from(THING_JSON)).expect("a thing");
        let seed = encode(Protocol::RestXml, &Thing { any: None, ..thing });
        let words: [&[u8]; 9] = [
            b"<",
            b">",
            b"</",
            b"&#13;",
            b"<![CDATA[",
            b"]]>",
            b"<!--",
            b"<Things><member>",
            b"&lt;",
        ];
        run(fuzz_xml, 20_000, &[&seed], &words);
    }

    #[test]
    fn query() {
        let seed = b"Action=X&Text=a%20b&Things.member.1.Text=x&Things.member.2.Names.1=y\
                     &ByKey.entry.1.key=k&ByKey.entry.1.value.Small=1&Labels.1.key=a&Labels.1.value=b";
        let words: [&[u8]; 7] =
            [b".", b"&", b"=", b"%", b"999999999", b"Things.member.1.", b"ByKey.entry.1.value."];
        run(fuzz_query, 20_000, &[seed], &words);
    }

    #[test]
    fn events() {
        let frame = Frame {
            headers: vec![(":event-type".into(), crate::events::HeaderValue::Text("Any".into()))],
            payload: Bytes::from(THING_JSON),
        };
        let seed = frame.encode().expect("a frame");
        run(fuzz_events, 20_000, &[&seed], &[b"\0", b"\xff\xff"]);
    }

    #[test]
    fn route() {
        let seeds: [&[u8]; 3] =
            [b"/bucket/a/key\nThing.GetThing\na=b&c", b"/logs/x/tail\n\n", b"/b//%2F%c3%a9/"];
        run(fuzz_route, 20_000, &seeds, &[b"/", b"%", b"%ff", b"?", b"\n"]);
    }
}
