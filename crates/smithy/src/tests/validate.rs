//! Constraints of the model, in AWS's words.

use super::model::*;
use crate::model::Protocol::{AwsJson10, AwsQuery, RestXml};
use crate::reject::{Constraint, Echo, Rejection, Step};
use crate::shape::*;
use bytes::Bytes;
use std::collections::BTreeMap;

const fn length(min: u64, max: u64) -> LengthRules {
    LengthRules { min: Some(min), max: Some(max) }
}

static NAME: StringRules =
    StringRules { length: length(3, 6), pattern: Some(Pattern::new("[a-z0-9_.-]+")), values: &[] };
static MODE: StringRules = StringRules {
    length: LengthRules { min: None, max: None },
    pattern: None,
    values: &["A", "B"],
};
static COUNT: RangeRules = RangeRules { min: Some(1), max: Some(100) };
static SIZE: LengthRules = length(1, 4);
static KEYS: ListShape =
    ListShape { length: length(1, 2), ..list(Shape::Struct(Key::SHAPE), None, false) };
static NAMES: ListShape =
    ListShape { length: length(0, 2), ..list(Shape::String(&NAME), None, false) };
static SECRETS: ListShape =
    ListShape { sensitive: true, length: length(0, 1), ..list(STRING, None, false) };
static TAGS: MapShape = MapShape {
    key: Shape::String(&NAME),
    length: length(0, 2),
    ..map(Shape::String(&NAME), false)
};
static BATCH: ListShape =
    ListShape { length: length(1, 2), ..list(Shape::Struct(Key::SHAPE), None, false) };
static REQUESTS: MapShape = map(Shape::List(&BATCH), false);

structure!(Table {
    name: String = Member { required: true, ..m("TableName", "TableName", Shape::String(&NAME)) },
    mode: Option<String> = m("Mode", "Mode", Shape::String(&MODE)),
    count: Option<i32> = m("Count", "Count", Shape::Integer(&COUNT)),
    data: Option<Bytes> = m("Data", "Data", Shape::Blob(&SIZE)),
    secret: Option<String> =
        Member { sensitive: true, ..m("Secret", "Secret", Shape::String(&NAME)) },
    secrets: Option<Vec<String>> = m("Secrets", "Secrets", Shape::List(&SECRETS)),
    keys: Option<Vec<Key>> = m("KeySchema", "KeySchema", Shape::List(&KEYS)),
    names: Option<Vec<String>> = m("Names", "Names", Shape::List(&NAMES)),
    tags: Option<BTreeMap<String, String>> = m("Tags", "Tags", Shape::Map(&TAGS)),
    requests: Option<BTreeMap<String, Vec<Key>>> = m("Requests", "Requests", Shape::Map(&REQUESTS)),
});
structure!(Key {
    attribute: String = Member { required: true, ..m("AttributeName", "AttributeName", STRING) },
});

fn check(json: &str, expected: &[&str]) {
    let text = shown(decode::<Table>(AwsJson10, true, &[], &[], json));
    let expected = match expected.len() {
        0 => "ok".to_owned(),
        1 => format!("! 1 validation error detected: {}", expected[0]),
        n => format!("! {n} validation errors detected: {}", expected.join("; ")),
    };
    let text = if text.starts_with('!') { text } else { "ok".into() };
    assert_eq!(text, expected, "{json}");
}

#[test]
fn speaks_as_aws_does() {
    check(r#"{"TableName":"abc","Mode":"A","Count":100,"Data":"YWJj","Tags":{"abc":"def"}}"#, &[]);
    check(
        "{}",
        &["Value null at 'tableName' failed to satisfy constraint: Member must not be null"],
    );
    check(
        r#"{"TableName":"ab"}"#,
        &[
            "Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3",
        ],
    );
    check(
        r#"{"TableName":"ab;"}"#,
        &[
            "Value 'ab;' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z0-9_.-]+",
        ],
    );
    check(
        r#"{"TableName":"ABCDEFG","Mode":"C","Count":0}"#,
        &[
            "Value 'ABCDEFG' at 'tableName' failed to satisfy constraint: Member must have length less than or equal to 6",
            "Value 'ABCDEFG' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z0-9_.-]+",
            "Value 'C' at 'mode' failed to satisfy constraint: Member must satisfy enum value set: [A, B]",
            "Value '0' at 'count' failed to satisfy constraint: Member must have value greater than or equal to 1",
        ],
    );
    check(
        r#"{"TableName":"abc","Count":101,"Data":""}"#,
        &[
            "Value '101' at 'count' failed to satisfy constraint: Member must have value less than or equal to 100",
            "Value at 'data' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ],
    );
}

#[test]
fn counts_characters() {
    check(
        r#"{"TableName":"abc","Names":["éé"]}"#,
        &[
            "Value '[éé]' at 'names' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 6, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-z0-9_.-]+]",
        ],
    );
    check(
        r#"{"TableName":"éééééé"}"#,
        &[
            "Value 'éééééé' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z0-9_.-]+",
        ],
    );
}

#[test]
fn names_places() {
    check(
        r#"{"TableName":"abc","KeySchema":[{"AttributeName":"x"},{}]}"#,
        &[
            "Value null at 'keySchema.2.member.attributeName' failed to satisfy constraint: Member must not be null",
        ],
    );
    check(
        r#"{"TableName":"abc","KeySchema":[]}"#,
        &[
            "Value '[]' at 'keySchema' failed to satisfy constraint: Member must have length greater than or equal to 1",
        ],
    );
    check(
        r#"{"TableName":"abc","Requests":{"t":[{}]}}"#,
        &[
            "Value null at 'requests.t.member.1.member.attributeName' failed to satisfy constraint: Member must not be null",
        ],
    );
    check(
        r#"{"TableName":"abc","Requests":{"t":[]}}"#,
        &[
            "Value '{t=[]}' at 'requests' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 2, Member must have length greater than or equal to 1]",
        ],
    );
    check(
        r#"{"TableName":"abc","Tags":{"a":"abc"}}"#,
        &[
            "Value '{a=abc}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 6, Member must have length greater than or equal to 3, Member must satisfy regular expression pattern: [a-z0-9_.-]+]",
        ],
    );
}

#[test]
fn hides_secrets() {
    check(
        r#"{"TableName":"abc","Secret":"x","Secrets":["a","b"]}"#,
        &[
            "Value at 'secret' failed to satisfy constraint: Member must have length greater than or equal to 3",
            "Value at 'secrets' failed to satisfy constraint: Member must have length less than or equal to 1",
        ],
    );
}

#[test]
fn is_bounded() {
    let keys = vec!["{}"; 1000].join(",");
    let json = format!(r#"{{"TableName":"abc","KeySchema":[{keys}]}}"#);
    let Err(Rejection::Invalid(all)) = decode::<Table>(AwsJson10, true, &[], &[], &json) else {
        panic!("accepted");
    };
    assert_eq!(all.len(), crate::reject::VIOLATIONS_MAX);
    assert_eq!(
        all[9].path,
        [Step::Member("KeySchema"), Step::Item(9), Step::Member("AttributeName")]
    );
    let json = format!(r#"{{"TableName":"{}"}}"#, "x".repeat(1_000_000));
    let Err(Rejection::Invalid(all)) = decode::<Table>(AwsJson10, true, &[], &[], &json) else {
        panic!("accepted");
    };
    assert_eq!(all[0].constraint, Constraint::LengthMax(6));
    assert!(matches!(&all[0].value, Echo::Text(text) if text.len() < 2000));
}

#[test]
fn holds_in_every_protocol() {
    let expected = "! 2 validation errors detected: Value null at 'keySchema.1.member.attributeName' \
                    failed to satisfy constraint: Member must not be null; Value 'x' at 'tableName' \
                    failed to satisfy constraint: Member must have length greater than or equal to 3";
    let form = "TableName=x&KeySchema.member.1.Attribute=1";
    let text = shown(decode::<Table>(AwsQuery, true, &[], &[], form));
    assert_eq!(text, expected);
    let xml = "<Table><KeySchema><member/></KeySchema><TableName>x</TableName></Table>";
    assert_eq!(shown(decode::<Table>(RestXml, true, &[], &[], xml)), expected);
    // A service that words its own constraints only hears of what is missing.
    let text = shown(decode::<Table>(AwsJson10, false, &[], &[], r#"{"TableName":"x"}"#));
    assert_eq!(text, "Table { TableName: \"x\" }");
}

/// What is small in a body may be large in memory.
#[test]
fn memory_is_bounded() {
    let too_large = "! too large: members";
    let keys = vec!["{}"; 800_000].join(",");
    let text =
        shown(decode::<Table>(AwsJson10, true, &[], &[], &format!(r#"{{"KeySchema":[{keys}]}}"#)));
    assert_eq!(text, too_large);
    let batches: Vec<_> = (0..400_000).map(|n| format!(r#""{n}":[]"#)).collect();
    let json = format!(r#"{{"Requests":{{{}}}}}"#, batches.join(","));
    assert_eq!(shown(decode::<Table>(AwsJson10, true, &[], &[], &json)), too_large);
    let xml = format!("<Table><KeySchema>{}</KeySchema></Table>", "<member/>".repeat(800_000));
    assert_eq!(shown(decode::<Table>(RestXml, true, &[], &[], &xml)), too_large);
    // The limits of real services are far below.
    let many = vec![r#"{"AttributeName":"x"}"#; 10_000].join(",");
    let json = format!(r#"{{"TableName":"abc","KeySchema":[{many}]}}"#);
    let text = shown(decode::<Table>(AwsJson10, true, &[], &[], &json));
    assert!(text.contains("Member must have length less than or equal to 2"), "{text}");
}
