//! SelectObjectContent: the events of an answer, and what is refused.

use crate::Cloud;
use crate::objects::code;
use api::Error;
use api::testing::Outcome;
use bytes::Bytes;
use gen_s3::*;
use smithy::events::{Frame, HeaderValue};

const PEOPLE: &[u8] = b"name,age\nAnn,41\nBob,7\n";

fn asking(key: &str, sql: &str) -> SelectObjectContentInput {
    let csv = CSVInput { file_header_info: Some("USE".into()), ..Default::default() };
    SelectObjectContentInput {
        bucket: "box".into(),
        key: key.into(),
        expression: sql.into(),
        expression_type: "SQL".into(),
        input_serialization: InputSerialization { csv: Some(csv), ..Default::default() },
        output_serialization: OutputSerialization {
            json: Some(JSONOutput::default()),
            ..Default::default()
        },
        ..Default::default()
    }
}

type Answer = Result<Outcome<SelectObjectContentOutput>, Error>;

fn select(cloud: &Cloud, input: &SelectObjectContentInput) -> Answer {
    cloud.world.send(&cloud.s3, "SelectObjectContent", input, Bytes::new())
}

/// The kinds of events in their order, all records, and what else was said.
fn events(answer: Answer) -> (Vec<String>, String, String) {
    let mut bytes = answer.unwrap().body;
    let (mut kinds, mut records, mut rest) = (Vec::new(), String::new(), String::new());
    while !bytes.is_empty() {
        let (frame, length) = Frame::decode(&bytes).unwrap().expect("a whole frame");
        bytes = bytes.slice(length..);
        let text = |name: &str| frame.text(name).map(str::to_owned);
        let kind = text(":event-type").or(text(":error-code")).unwrap();
        let payload = std::str::from_utf8(&frame.payload).unwrap();
        match kind.as_str() {
            "Records" => {
                assert!(frame.payload.len() <= 64 * 1024);
                let octets = HeaderValue::Text("application/octet-stream".into());
                assert!(frame.headers.contains(&(":content-type".into(), octets)));
                records.push_str(payload);
            }
            _ => {
                rest.push_str(payload);
                rest.push_str(&text(":error-message").unwrap_or_default());
            }
        }
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    (kinds, records, rest)
}

#[test]
fn records_stats_and_an_end() {
    let cloud = Cloud::new();
    cloud.put("people", PEOPLE);
    let (kinds, records, rest) =
        events(select(&cloud, &asking("people", "SELECT s.name FROM S3Object s")));
    assert_eq!(kinds, ["Records", "Stats", "End"]);
    assert_eq!(records, "{\"name\":\"Ann\"}\n{\"name\":\"Bob\"}\n");
    for part in ["<Stats", "<BytesScanned>22<", "<BytesProcessed>22<", "<BytesReturned>30<"] {
        assert!(rest.contains(part), "{rest}");
    }
    let asked = SelectObjectContentInput {
        request_progress: Some(RequestProgress { enabled: Some(true) }),
        ..asking("people", "SELECT COUNT(*) FROM S3Object s WHERE s.age > 10")
    };
    let (kinds, records, _) = events(select(&cloud, &asked));
    assert_eq!(
        (kinds.join(" ").as_str(), records.as_str()),
        ("Records Progress Stats End", "{\"_1\":1}\n")
    );
    cloud.put("empty", b"");
    let (kinds, _, rest) = events(select(&cloud, &asking("empty", "SELECT * FROM S3Object")));
    assert_eq!(kinds, ["Stats", "End"]);
    assert!(rest.contains("<BytesScanned>0<"), "{rest}");
}

#[test]
fn a_large_object_is_answered_in_many_events() {
    let cloud = Cloud::new();
    let line = format!("{},7\n", "x".repeat(500));
    let body = format!("name,age\n{}", line.repeat(18_000));
    cloud.put("large", body.as_bytes());
    let (kinds, records, _) = events(select(&cloud, &asking("large", "SELECT * FROM S3Object")));
    assert_eq!(kinds, ["Records", "Stats", "End"]);
    assert_eq!(records.lines().count(), 18_000);
    // Nothing for long, so that the client hears that there is more to come.
    let none = asking("large", "SELECT * FROM S3Object WHERE age = 8");
    let (kinds, ..) = events(select(&cloud, &none));
    assert_eq!(kinds, ["Cont", "Stats", "End"]);
    let none = SelectObjectContentInput {
        request_progress: Some(RequestProgress { enabled: Some(true) }),
        ..none
    };
    assert_eq!(events(select(&cloud, &none)).0, ["Progress", "Stats", "End"]);
    // What is wrong late is said in the stream, after what was right.
    let broken = [body.as_bytes(), b"\xff,1\n"].concat();
    cloud.put("broken", &broken);
    let (kinds, records, rest) =
        events(select(&cloud, &asking("broken", "SELECT * FROM S3Object")));
    assert_eq!(kinds, ["Records", "InvalidTextEncoding"]);
    assert_eq!(records.lines().count(), 18_000);
    assert!(rest.starts_with("UTF-8 encoding is required."), "{rest}");
}

#[test]
fn ranges_know_the_header() {
    let cloud = Cloud::new();
    cloud.put("people", PEOPLE);
    let range = |start: Option<i64>, end: Option<i64>| SelectObjectContentInput {
        scan_range: Some(ScanRange { start, end }),
        ..asking("people", "SELECT s.name FROM S3Object s")
    };
    let names = |start, end| events(select(&cloud, &range(start, end))).1;
    assert_eq!(names(Some(12), None), "{\"name\":\"Bob\"}\n");
    assert_eq!(names(Some(0), Some(9)), "{\"name\":\"Ann\"}\n");
    assert_eq!(names(Some(9), Some(16)), "{\"name\":\"Ann\"}\n{\"name\":\"Bob\"}\n");
    assert_eq!(names(None, Some(6)), "{\"name\":\"Bob\"}\n");
    for (start, end) in [(None, None), (Some(5), Some(4)), (Some(22), None), (Some(-1), None)] {
        let refused = code(select(&cloud, &range(start, end)));
        assert_eq!(refused, ("InvalidScanRange".into(), 400), "{start:?} {end:?}");
    }
}

#[test]
fn what_is_asked_must_fit() {
    let cloud = Cloud::new();
    cloud.put("people", PEOPLE);
    let check = |change: &dyn Fn(&mut SelectObjectContentInput), expected: &str| {
        let mut asked = asking("people", "SELECT * FROM S3Object");
        change(&mut asked);
        assert_eq!(code(select(&cloud, &asked)), (expected.into(), 400));
    };
    let json = |kind: Option<&str>| JSONInput { r#type: kind.map(str::to_owned) };
    check(&|a| a.expression_type = "XPATH".into(), "InvalidExpressionType");
    check(&|a| a.expression = String::new(), "MissingRequiredParameter");
    check(&|a| a.expression = "SELECT".into(), "ParseExpectedExpression");
    check(&|a| a.expression = "SELECT nobody FROM S3Object".into(), "MissingHeaders");
    check(&|a| a.input_serialization.csv = None, "InvalidDataSource");
    check(
        &|a| a.input_serialization.json = Some(json(Some("LINES"))),
        "ObjectSerializationConflict",
    );
    check(
        &|a| a.output_serialization.csv = Some(CSVOutput::default()),
        "ObjectSerializationConflict",
    );
    check(&|a| a.output_serialization.json = None, "MissingRequiredParameter");
    check(
        &|a| a.input_serialization.compression_type = Some("ZIP".into()),
        "InvalidCompressionFormat",
    );
    check(
        &|a| a.input_serialization.compression_type = Some("GZIP".into()),
        "InvalidCompressionFormat",
    );
    for (kind, expected) in [(None, "MissingRequiredParameter"), (Some("TEXT"), "InvalidJsonType")]
    {
        let input = InputSerialization { json: Some(json(kind)), ..Default::default() };
        check(&|a| a.input_serialization = input.clone(), expected);
    }
    let csv = |change: fn(&mut CSVInput)| {
        let mut csv = CSVInput::default();
        change(&mut csv);
        move |asked: &mut SelectObjectContentInput| {
            asked.input_serialization.csv = Some(csv.clone())
        }
    };
    check(&csv(|c| c.file_header_info = Some("MAYBE".into())), "InvalidFileHeaderInfo");
    check(&csv(|c| c.field_delimiter = Some(",,".into())), "InvalidRequestParameter");
    check(&csv(|c| c.record_delimiter = Some(",".into())), "InvalidRequestParameter");
    check(&csv(|c| c.record_delimiter = Some(String::new())), "MissingRequiredParameter");
    check(&csv(|c| c.quote_character = Some(",".into())), "InvalidRequestParameter");
    let output = OutputSerialization {
        csv: Some(CSVOutput { quote_fields: Some("NEVER".into()), ..Default::default() }),
        ..Default::default()
    };
    check(&|a| a.output_serialization = output.clone(), "InvalidQuoteFields");
    let mut parquet = asking("people", "SELECT * FROM S3Object");
    parquet.input_serialization =
        InputSerialization { parquet: Some(ParquetInput::default()), ..Default::default() };
    let error = select(&cloud, &parquet).unwrap_err();
    assert_eq!((error.code(), error.status()), ("NotImplemented", 501));
    assert!(error.message().contains("Parquet"));
}

#[test]
fn the_object_must_be_there_and_readable() {
    let cloud = Cloud::new();
    let sql = "SELECT * FROM S3Object";
    assert_eq!(code(select(&cloud, &asking("none", sql))), ("NoSuchKey".into(), 404));
    let elsewhere = SelectObjectContentInput { bucket: "other".into(), ..asking("k", sql) };
    assert_eq!(code(select(&cloud, &elsewhere)), ("NoSuchBucket".into(), 404));
    for class in ["GLACIER", "REDUCED_REDUNDANCY"] {
        let put = PutObjectInput {
            bucket: "box".into(),
            key: class.into(),
            storage_class: Some(class.into()),
            ..Default::default()
        };
        cloud.put_as(&put, PEOPLE).unwrap();
        let refused = code(select(&cloud, &asking(class, sql)));
        assert_eq!(refused, ("UnsupportedStorageClass".into(), 400));
    }
    cloud.versioning("Enabled");
    cloud.put("gone", PEOPLE);
    cloud.delete("gone", None);
    assert_eq!(code(select(&cloud, &asking("gone", sql))), ("NoSuchKey".into(), 404));
    cloud.put("kept", PEOPLE);
    cloud.world.door.forbidden.lock().unwrap().insert("s3:GetObject");
    assert_eq!(code(select(&cloud, &asking("kept", sql))), ("AccessDenied".into(), 403));
}
