//! A small made-up service, in the form that the generator writes.

use crate::http::{Headers, Request};
use crate::index::Index;
use crate::model::{HttpRule, Kind, Operation, Protocol, Routes, Served, ServiceModel};
use crate::reject::Rejection;
use crate::shape::*;
use crate::value::Struct;
use base::Timestamp;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;

pub const M: Member = Member {
    name: "",
    wire: "",
    ec2: None,
    shape: STRING,
    location: Location::Body,
    required: false,
    flattened: false,
    xml_attribute: false,
    xml_namespace: None,
    idempotency_token: false,
    sensitive: false,
    event_payload: false,
};

pub static NO_LENGTH: LengthRules = LengthRules { min: None, max: None };
pub static NO_RANGE: RangeRules = RangeRules { min: None, max: None };
pub static NO_STRING: StringRules = StringRules { length: NO_LENGTH_C, pattern: None, values: &[] };
pub const NO_LENGTH_C: LengthRules = LengthRules { min: None, max: None };
pub const STRING: Shape = Shape::String(&NO_STRING);
pub const INTEGER: Shape = Shape::Integer(&NO_RANGE);
pub const LONG: Shape = Shape::Long(&NO_RANGE);
pub const BLOB: Shape = Shape::Blob(&NO_LENGTH);
pub const TIME: Shape = Shape::Timestamp(TimeFormat::Default);

pub const fn m(name: &'static str, wire: &'static str, shape: Shape) -> Member {
    Member { name, wire, shape, ..M }
}

pub const fn at(name: &'static str, shape: Shape, location: Location) -> Member {
    Member { name, wire: name, shape, location, ..M }
}

pub const fn list(item: Shape, item_wire: Option<&'static str>, flattened: bool) -> ListShape {
    ListShape { item, item_wire, flattened, sparse: false, sensitive: false, length: NO_LENGTH_C }
}

pub const fn map(value: Shape, flattened: bool) -> MapShape {
    MapShape {
        key: STRING,
        value,
        key_wire: "key",
        entry_wire: None,
        value_wire: "value",
        flattened,
        sparse: false,
        sensitive: false,
        length: NO_LENGTH_C,
    }
}

/// A structure and its table; the field's type is what the generator would choose.
macro_rules! structure {
    ($name:ident $(($($option:ident: $set:expr),*))? { $($field:ident: $type:ty = $member:expr),* $(,)? }) => {
        #[derive(Clone, Default)]
        pub struct $name { $(pub $field: $type),* }
        impl $name {
            pub const MEMBERS: &'static [Member] = &[$($member),*];
            pub const SHAPE: &'static StructShape = {
                static SHAPE: StructShape = {
                    #[allow(unused_mut, reason = "not every structure sets options")]
                    let mut shape = StructShape {
                        name: stringify!($name),
                        members: $name::MEMBERS,
                        payload: None,
                        union: false,
                        xml_root: None,
                        xml_namespace: None,
                        error: None,
                        index: Index::new(),
                    };
                    $($(shape.$option = $set;)*)?
                    shape
                };
                &SHAPE
            };
        }
        impl crate::Struct for $name {
            fn shape(&self) -> &'static StructShape { $name::SHAPE }
            #[allow(unused_mut, unused_assignments, unused_variables, reason = "counts the fields")]
            fn field(&self, index: usize) -> &dyn crate::Field {
                let mut n = 0;
                $(if n == index { return &self.$field; } n += 1;)*
                &crate::value::ABSENT
            }
            #[allow(unused_mut, unused_assignments, unused_variables, reason = "counts the fields")]
            fn field_mut(&mut self, index: usize) -> &mut dyn crate::Field {
                let mut n = 0;
                $(if n == index { return &mut self.$field; } n += 1;)*
                unreachable!("no member {index}")
            }
        }
        crate::field_for_struct!($name);
    };
}

/// The field of a stream.
pub type Streaming = crate::value::Absent;

static STRINGS: ListShape = list(STRING, None, false);
static TIMES: ListShape = list(TIME, None, false);
static METADATA: MapShape = map(STRING, false);

structure!(PutThing(payload: Some(8)) {
    bucket: String = Member { required: true, ..at("Bucket", STRING, Location::Label("Bucket")) },
    key: String = Member { required: true, ..at("Key", STRING, Location::Label("Key")) },
    since: Option<Timestamp> = at("Since", TIME, Location::Header("if-modified-since")),
    count: Option<i32> = at("Count", INTEGER, Location::Query("count")),
    tags: Option<Vec<String>> = at("Tags", Shape::List(&STRINGS), Location::Header("x-tags")),
    times: Option<Vec<Timestamp>> = at("Times", Shape::List(&TIMES), Location::Header("x-times")),
    metadata: Option<BTreeMap<String, String>> =
        at("Metadata", Shape::Map(&METADATA), Location::HeaderPrefix("x-amz-meta-")),
    fetch: Option<Vec<String>> = at("Fetch", Shape::List(&STRINGS), Location::Query("fetch")),
    plan: Option<Plan> = m("Plan", "PlanDocument", Shape::Struct(Plan::SHAPE)),
});

static RULES: ListShape = list(Shape::Struct(Rule::SHAPE), Some("Rule"), true);
static NAMES: ListShape = list(STRING, Some("Name"), false);
static LABELS: MapShape = map(INTEGER, false);
static FLAT_LABELS: MapShape = map(STRING, true);

structure!(Plan {
    owner: Option<String> = m("Owner", "Owner", STRING),
    rules: Vec<Rule> = Member { required: true, ..m("Rules", "Rule", Shape::List(&RULES)) },
    names: Option<Vec<String>> = m("Names", "Names", Shape::List(&NAMES)),
    labels: Option<BTreeMap<String, i32>> = m("Labels", "Labels", Shape::Map(&LABELS)),
    flat: Option<BTreeMap<String, String>> = m("Flat", "Flat", Shape::Map(&FLAT_LABELS)),
    kind: Option<String> = Member {
        xml_attribute: true,
        xml_namespace: Some(XmlNamespace {
            prefix: Some("xsi"),
            uri: "http://www.w3.org/2001/XMLSchema-instance",
        }),
        ..m("Type", "xsi:type", STRING)
    },
});

structure!(Rule {
    id: Option<String> = m("ID", "ID", STRING),
    days: i32 = Member { required: true, ..m("Days", "Days", INTEGER) },
    on: Option<bool> = m("On", "On", Shape::Boolean),
    at: Option<Timestamp> = m("At", "At", TIME),
    data: Option<Bytes> = m("Data", "Data", BLOB),
    size: Option<i64> = m("Size", "Size", LONG),
    share: Option<f64> = m("Share", "Share", Shape::Double),
});

structure!(GetThingOutput(payload: Some(0)) {
    body: Streaming = m("Body", "Body", Shape::Stream),
    etag: Option<String> = at("ETag", STRING, Location::Header("etag")),
    modified: Option<Timestamp> = at("LastModified", TIME, Location::Header("last-modified")),
    length: Option<i64> = at("ContentLength", LONG, Location::Header("content-length")),
    tags: Option<Vec<String>> = at("Tags", Shape::List(&STRINGS), Location::Header("x-tags")),
    metadata: Option<BTreeMap<String, String>> =
        at("Metadata", Shape::Map(&METADATA), Location::HeaderPrefix("x-amz-meta-")),
    status: Option<i32> = at("Status", INTEGER, Location::StatusCode),
});

structure!(PlanOutput(payload: Some(0)) {
    plan: Option<Plan> = m("Plan", "PlanResult", Shape::Struct(Plan::SHAPE)),
});

structure!(ListOutput(xml_root: Some("ListResult")) {
    name: Option<String> = m("Name", "Name", STRING),
    plan: Option<Plan> = m("Plan", "Plan", Shape::Struct(Plan::SHAPE)),
});

structure!(LocationOutput(xml_root: Some("Where")) {
    place: Option<String> = m("Place", "Where", STRING),
});

pub const fn service(
    protocol: &'static [Protocol],
    validate: bool,
    operations: &'static [Operation],
) -> ServiceModel {
    ServiceModel {
        name: "things",
        service_id: "Things",
        signing_name: "things",
        endpoint_prefix: "things",
        action_prefix: "things",
        api_version: "2020-01-08",
        target_prefix: Some("Things_20200108"),
        xml_namespace: Some("http://things.example/doc/"),
        protocols: protocol,
        query_compatible: false,
        crc32: false,
        whole_seconds: false,
        validate,
        operations,
        routes: Routes::new(),
    }
}

pub const fn served(input: &'static StructShape, output: &'static StructShape) -> Served {
    Served {
        kind: Kind::Read,
        input,
        output,
        new_input: || Box::new(Plan::default()),
        errors: &[],
        result_wrapper: None,
        status: 200,
        auth: crate::model::Auth::Open,
        refused: &[],
        stored: &[],
    }
}

pub static OPERATION: Operation = Operation {
    name: "MakePlan",
    index: 0,
    http: HttpRule { method: "POST", path: &[], query: &[], headers: &[] },
    served: Some(served(Plan::SHAPE, Plan::SHAPE)),
};

/// Decodes one request by a protocol.
pub fn decode<T: Struct + Default>(
    protocol: Protocol,
    validate: bool,
    query: &[(&'static str, &'static str)],
    headers: &dyn Headers,
    body: &str,
) -> Result<T, Rejection> {
    let service = service(&[], validate, &[]);
    let labels = [("Bucket", Cow::Borrowed("b")), ("Key", Cow::Borrowed("k/1"))];
    let query: Vec<_> = query.iter().map(|(k, v)| (Cow::from(*k), Cow::from(*v))).collect();
    let body = Bytes::copy_from_slice(body.as_bytes());
    let request = Request { labels: &labels, query: &query, headers, body: &body };
    let mut input = T::default();
    crate::decode_request(protocol, &service, &request, &mut input)?;
    Ok(input)
}

/// What was decoded, as text.
pub fn shown<T: Struct>(result: Result<T, Rejection>) -> String {
    match result {
        Ok(value) => debug(&value),
        Err(rejection) => format!("! {rejection}"),
    }
}

fn debug(value: &dyn Struct) -> String {
    struct Shown<'a>(&'a dyn Struct);
    impl std::fmt::Debug for Shown<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            crate::value::debug(self.0, f)
        }
    }
    format!("{:?}", Shown(value))
}
