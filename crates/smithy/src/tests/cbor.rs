use super::json::Everything;
use super::model::*;
use crate::model::Protocol::RpcV2Cbor;
use crate::{Rejection, Request};
use bytes::Bytes;

fn bytes(hex: &str) -> Bytes {
    let hex: String = hex.split_whitespace().collect();
    base::hex::decode(hex.as_bytes()).expect("hexadecimal").into()
}

fn read(body: &Bytes) -> Result<Everything, Rejection> {
    let service = service(&[], false, &[]);
    let request = Request { labels: &[], query: &[], headers: &[], body };
    let mut input = Everything::default();
    crate::decode_request(RpcV2Cbor, &service, &request, &mut input)?;
    Ok(input)
}

fn check(hex: &str, expected: &str) {
    assert_eq!(shown(read(&bytes(hex))), expected, "{hex}");
}

#[test]
fn reads_and_writes_the_same() {
    let json = r#"{"Text":"a\"é","Boolean":true,"Integer":-500,"Long":9007199254740993,
        "Float":0.1,"Double":-1e300,"Blob":"aGk=","Time":1400000000.25,"Sparse":["a",null],
        "Map":{"k":70000},"nested":[[1,24],[]],"Kinds":[{"S":"s"},{"N":2}],"Inner":{"Text":""}}"#;
    let value: Everything =
        decode(crate::model::Protocol::AwsJson10, false, &[], &[], json).unwrap();
    let service = service(&[], false, &[]);
    let response = crate::encode_response(RpcV2Cbor, &service, &OPERATION, &value, "id");
    assert_eq!(response.content_type, Some("application/cbor"));
    assert_eq!(response.headers, [("smithy-protocol".into(), "rpc-v2-cbor".to_owned())]);
    assert_eq!(shown(read(&response.body)), shown(Ok(value)));
    let small: Everything = read(&bytes("a1 64 54657874 61 78")).unwrap();
    let response = crate::encode_response(RpcV2Cbor, &service, &OPERATION, &small, "id");
    assert_eq!(response.body, bytes("bf 64 54657874 61 78 ff"));
}

#[test]
fn reads_every_form() {
    check("", "Everything");
    check("a0", "Everything");
    check("bf ff", "Everything");
    check("bf 64 54657874 7f 61 61 62 6263 ff ff", "Everything { Text: \"abc\" }");
    check("a1 7f 62 5465 62 7874 ff 61 61", "Everything { Text: \"a\" }");
    check("a1 64 426c6f62 5f 41 61 40 ff", "Everything { Blob: [1 bytes] }");
    // Half floats: 1.5, infinity, the smallest.
    check("a1 66 446f75626c65 f9 3e00", "Everything { Double: 1.5 }");
    check("a1 66 446f75626c65 f9 7c00", "Everything { Double: inf }");
    check("a1 66 446f75626c65 f9 0001", "Everything { Double: 5.960464477539063e-8 }");
    check("a1 66 446f75626c65 03", "Everything { Double: 3.0 }");
    check("a1 67 496e7465676572 f9 4000", "Everything { Integer: 2 }");
    check("a1 67 496e7465676572 38 63", "Everything { Integer: -100 }");
    check("a1 64 54696d65 c1 00", "Everything { Time: 1970-01-01T00:00:00.000Z }");
    check("a1 64 54696d65 c1 fb 3ff8000000000000", "Everything { Time: 1970-01-01T00:00:01.500Z }");
    check("a1 64 54657874 d9d9f7 61 61", "Everything { Text: \"a\" }");
    check("a2 64 54657874 f6 67 426f6f6c65616e f5", "Everything { Boolean: true }");
    // Unknown members of every kind.
    check("a1 61 78 bf 61 61 9f 01 82 20 f6 ff 61 62 c1 5f 41 00 ff ff", "Everything");
}

#[test]
fn refuses() {
    let broken = |why: &str| format!("! The request body is not valid CBOR: {why}");
    let early = broken("it ends too early");
    check("bf", &early);
    check("a1", &early);
    check("a1 64 546578", &early);
    check("a1 64 54657874 7b ffffffffffffffff 61", &early);
    check("a1 61 78 9b ffffffffffffffff 01", &early);
    check("bb ffffffffffffffff", &early);
    check("a0 00", &broken("bytes after the value"));
    check("a1 01 02", &broken("a key that is not text"));
    check("a1 64 54657874 61 ff", &broken("text that is not UTF-8"));
    check("a1 64 54657874 7f 41 61 ff", &broken("a part of another type in a string"));
    check("a1 64 54657874 1c", &broken("a reserved length"));
    check("a1 64 54657874 ff", &broken("a break where a value belongs"));
    check(&format!("a1 61 78 {}", "81".repeat(500)), &broken("nested too deeply"));
    check(&"a165496e6e6572".repeat(500), &broken("nested too deeply"));
    check("a1 61 78 bf 61 61 ff", &broken("a key without a value"));
    check("bf 61 78 a1 61 61 ff", &broken("a break where a value belongs"));
    check("80", "! A value was found that is not a map");
    check("a1 64 54657874 01", "! A value was found that is not a text string");
    check("a1 67 496e7465676572 1a 80000000", "! A value was found that is not a integer");
    check("a1 67 496e7465676572 f9 3e00", "! A value was found that is not a integer");
    check("a1 64 54696d65 c0 00", "! A value was found that is not a timestamp");
}

#[test]
fn writes_errors() {
    let service = service(&[], false, &[]);
    let error = crate::ErrorParts {
        name: "Gone",
        code: "Gone",
        status: 400,
        fault: crate::shape::Fault::Sender,
        message: "m",
        members: None,
        extra: &[],
        request_id: "id",
        host_id: None,
    };
    let response = crate::encode_error(RpcV2Cbor, &service, &error);
    assert_eq!(response.content_type, Some("application/cbor"));
    let kind = "com.amazonaws.things.v20200108#Gone";
    let expected = format!(
        "bf 66 5f5f74797065 78 {:02x} {} 67 6d657373616765 61 6d ff",
        kind.len(),
        base::hex::encode(kind.as_bytes())
    );
    assert_eq!(response.body, bytes(&expected));
}
