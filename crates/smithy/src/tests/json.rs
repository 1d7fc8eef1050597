use super::model::*;
use crate::Document;
use crate::model::Protocol::{AwsJson10, AwsJson11, RestJson1};
use crate::reject::Rejection;
use crate::shape::*;
use crate::value::{Slot, Struct, Value};
use crate::{Field, Settings};
use base::Timestamp;
use bytes::Bytes;
use std::collections::BTreeMap;

static SPARSE: ListShape = ListShape { sparse: true, ..list(STRING, None, false) };
static INTEGERS: MapShape = map(INTEGER, false);
static KINDS: ListShape = list(Shape::Struct(KIND), None, false);
static NESTED: ListShape = list(Shape::List(&INTS), None, false);
static INTS: ListShape = list(INTEGER, None, false);

structure!(Everything {
    text: Option<String> = m("Text", "Text", STRING),
    boolean: Option<bool> = m("Boolean", "Boolean", Shape::Boolean),
    integer: Option<i32> = m("Integer", "Integer", INTEGER),
    long: Option<i64> = m("Long", "Long", LONG),
    float: Option<f32> = m("Float", "Float", Shape::Float),
    double: Option<f64> = m("Double", "Double", Shape::Double),
    blob: Option<Bytes> = m("Blob", "Blob", BLOB),
    time: Option<Timestamp> = m("Time", "Time", TIME),
    iso: Option<Timestamp> = m("Iso", "Iso", Shape::Timestamp(TimeFormat::Iso8601)),
    http: Option<Timestamp> = m("Http", "Http", Shape::Timestamp(TimeFormat::HttpDate)),
    sparse: Option<Vec<Option<String>>> = m("Sparse", "Sparse", Shape::List(&SPARSE)),
    map: Option<BTreeMap<String, i32>> = m("Map", "Map", Shape::Map(&INTEGERS)),
    nested: Option<Vec<Vec<i32>>> = m("Nested", "nested", Shape::List(&NESTED)),
    any: Option<Document> = m("Any", "Any", Shape::Document),
    kinds: Option<Vec<Kind>> = m("Kinds", "Kinds", Shape::List(&KINDS)),
    inner: Option<Box<Everything>> = m("Inner", "Inner", Shape::Struct(Everything::SHAPE)),
});

/// A union as the generator writes it.
#[derive(Clone, Default)]
pub enum Kind {
    #[default]
    Unset,
    S(String),
    N(i32),
}

pub static KIND: &StructShape = {
    static SHAPE: StructShape = StructShape {
        name: "Kind",
        members: &[m("S", "S", STRING), m("N", "N", INTEGER)],
        payload: None,
        union: true,
        xml_root: None,
        xml_namespace: None,
        error: None,
        index: crate::index::Index::new(),
    };
    &SHAPE
};

impl Struct for Kind {
    fn shape(&self) -> &'static StructShape {
        KIND
    }
    fn field(&self, index: usize) -> &dyn Field {
        match (self, index) {
            (Kind::S(v), 0) => v,
            (Kind::N(v), 1) => v,
            _ => &crate::value::ABSENT,
        }
    }
    fn field_mut(&mut self, index: usize) -> &mut dyn Field {
        *self = if index == 0 { Kind::S(String::new()) } else { Kind::N(0) };
        match self {
            Kind::S(v) => v,
            Kind::N(v) => v,
            Kind::Unset => unreachable!("just set"),
        }
    }
}
crate::field_for_struct!(Kind);

fn text(result: Result<Everything, Rejection>) -> String {
    shown(result).replace("Everything { ", "{").replace("Everything", "{}").replace(" }", "}")
}

fn check(json: &str, expected: &str) {
    assert_eq!(text(decode(AwsJson10, false, &[], &[], json)), expected, "{json}");
}

/// What is read and written comes back the same.
fn check_both(json: &str) {
    let value: Everything = decode(AwsJson11, false, &[], &[], json).unwrap();
    let service = service(&[], false, &[]);
    let response = crate::encode_response(AwsJson11, &service, &OPERATION, &value, "id");
    assert_eq!(response.content_type, Some("application/x-amz-json-1.1"));
    assert_eq!(std::str::from_utf8(&response.body).unwrap(), json);
}

#[test]
fn reads_and_writes() {
    check_both("{}");
    check_both(
        r#"{"Text":"a\"é","Boolean":true,"Integer":-1,"Long":9007199254740993,"Float":0.1,"Double":1e300,"Blob":"aGk=","Time":1400000000.25,"Iso":"2014-05-13T16:53:20Z","Http":"Tue, 13 May 2014 16:53:20 GMT","Sparse":["a",null],"Map":{"k":1},"nested":[[1],[]],"Any":{"x":[1,2.5,null]},"Kinds":[{"S":"s"},{"N":2}],"Inner":{"Text":""}}"#,
    );
    check_both(r#"{"Float":"-Infinity","Double":"NaN","Time":-1.5}"#);
}

#[test]
fn reads_what_clients_vary() {
    check("", "{}");
    check(" { } \n", "{}");
    check(r#"{"Text":null,"Integer":3.0,"Unknown":{"x":[{}]},"__type":"T"}"#, "{Integer: 3}");
    check(r#"{"Text":"a","Map":{"k":1,"k":2},"Text":"b"}"#, r#"{Text: "b", Map: {"k": 2}}"#);
    check(r#"{"Sparse":["a"],"Sparse":["b"]}"#, r#"{Sparse: ["b"]}"#);
    check(r#"{"Time":"2014-05-13T16:53:20Z"}"#, "{Time: 2014-05-13T16:53:20.000Z}");
    check(r#"{"Time":1.4e9}"#, "{Time: 2014-05-13T16:53:20.000Z}");
    check(r#"{"\u0054ext":"x"}"#, r#"{Text: "x"}"#);
    check(r#"{"Any":null}"#, "{}");
}

#[test]
fn refuses() {
    for (json, expected) in [
        (r#"{"Text":1}"#, "NUMBER_VALUE cannot be converted to String"),
        (r#"{"Text":true}"#, "TRUE_VALUE cannot be converted to String"),
        (r#"{"Text":{}}"#, "Start of structure or map found where not expected."),
        (r#"{"Text":[]}"#, "Start of list found where not expected"),
        (r#"{"Map":"x"}"#, "Unexpected field type"),
        (r#"{"Sparse":{}}"#, "Start of structure or map found where not expected."),
        (r#"{"Inner":1}"#, "Unexpected field type"),
        (r#"{"Integer":"1"}"#, "STRING_VALUE cannot be converted to Integer"),
        (r#"{"Integer":1.5}"#, "NUMBER_VALUE cannot be converted to Integer"),
        (r#"{"Integer":2147483648}"#, "NUMBER_VALUE cannot be converted to Integer"),
        (r#"{"Long":9223372036854775808}"#, "NUMBER_VALUE cannot be converted to Long"),
        (r#"{"Boolean":"true"}"#, "STRING_VALUE cannot be converted to Boolean"),
        (r#"{"Double":"1"}"#, "STRING_VALUE cannot be converted to Double"),
        (r#"{"Double":1e999}"#, "NUMBER_VALUE cannot be converted to Double"),
        (r#"{"Blob":"a"}"#, "STRING_VALUE cannot be converted to Blob"),
        (r#"{"Time":"yesterday"}"#, "STRING_VALUE cannot be converted to Timestamp"),
        (r#"{"Iso":1}"#, "NUMBER_VALUE cannot be converted to Timestamp"),
        ("[]", "Start of list found where not expected"),
        ("1", "Unexpected field type"),
        ("{", "The request body is not valid JSON: the text ends too early at byte 1"),
        ("{} {}", "The request body is not valid JSON: text after the value at byte 3"),
    ] {
        check(json, &format!("! {expected}"));
    }
    let deep = format!("{}1{}", r#"{"Inner":"#.repeat(200), "}".repeat(200));
    assert!(decode::<Everything>(AwsJson10, false, &[], &[], &deep).is_err());
    let one = "! 1 validation error detected: Value at 'kinds.1.member' failed to satisfy \
               constraint: Member must have exactly one of its members set";
    check(r#"{"Kinds":[{}]}"#, one);
    check(r#"{"Kinds":[{"S":"a","N":1}]}"#, one);
    let null = "! 1 validation error detected: Value null at 'map.k.member' failed to satisfy \
                constraint: Member must not be null";
    check(r#"{"Map":{"k":null}}"#, null);
}

#[test]
fn can_refuse_duplicates() {
    let service = service(&[], false, &[]);
    let body = Bytes::from_static(br#"{"Text":"a","Text":"b"}"#);
    let request = crate::Request { labels: &[], query: &[], headers: &[], body: &body };
    let settings = Settings { refuse_duplicates: true, ..Settings::default() };
    let mut input = Everything::default();
    let result = crate::decode_request_with(settings, AwsJson10, &service, &request, &mut input);
    assert_eq!(result, Err(Rejection::Malformed("Duplicate field found".into())));
}

#[test]
fn rest_json_binds() {
    let json = r#"{"Rule":[{"Days":1}],"Owner":"o"}"#;
    let headers = [("x-amz-meta-a", "b")];
    let text = shown(decode::<PutThing>(RestJson1, false, &[("count", "1")], &headers, json));
    assert_eq!(
        text,
        "PutThing { Bucket: \"b\", Key: \"k/1\", Count: 1, Metadata: {\"a\": \"b\"}, \
         Plan: Plan { Owner: \"o\", Rules: [Rule { Days: 1 }] } }"
    );
    let service = service(&[], false, &[]);
    let write = |output: &dyn Struct| {
        let response = crate::encode_response(RestJson1, &service, &OPERATION, output, "id");
        (response.content_type, String::from_utf8(response.body.to_vec()).unwrap())
    };
    let json = |text: &str| (Some("application/json"), text.to_owned());
    assert_eq!(write(&Plan::default()), json(r#"{"Rule":[]}"#));
    assert_eq!(write(&PlanOutput::default()), json("{}"));
    let plan = Some(Plan { owner: Some("o".into()), ..Default::default() });
    assert_eq!(write(&PlanOutput { plan }), json(r#"{"Owner":"o","Rule":[]}"#));
    assert_eq!(write(&GetThingOutput::default()), (None, String::new()));
    assert!(matches!(Absent.slot(), Slot::Nothing) && matches!(Absent.value(), Value::Absent));
}

use crate::value::Absent;
