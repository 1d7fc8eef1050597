use super::model::*;
use crate::model::Protocol::{AwsJson10, AwsQuery, RestXml, RpcV2Cbor};
use crate::model::Segment::{Greedy, Label, Text};
use crate::model::{HttpRule, Operation, Protocol, Segment, ServiceModel};
use crate::route::Target;
use std::borrow::Cow;

const fn operation(
    name: &'static str,
    method: &'static str,
    path: &'static [Segment],
    query: &'static [(&'static str, Option<&'static str>)],
    headers: &'static [&'static str],
) -> Operation {
    let http = HttpRule { method, path, query, headers };
    Operation { name, index: 0, http, served: None }
}

const BUCKET: &[Segment] = &[Label("Bucket")];
const OBJECT: &[Segment] = &[Label("Bucket"), Greedy("Key")];

static THINGS: ServiceModel = service(
    &[],
    false,
    &[
        operation("CopyObject", "PUT", OBJECT, &[], &["x-amz-copy-source"]),
        operation("CreateBucket", "PUT", BUCKET, &[], &[]),
        operation("GetBucketAcl", "GET", BUCKET, &[("acl", None)], &[]),
        operation("GetCode", "GET", &[Text("functions"), Label("Name"), Text("code")], &[], &[]),
        operation("GetFunction", "GET", &[Text("functions"), Label("Name")], &[], &[]),
        operation("GetObject", "GET", OBJECT, &[], &[]),
        operation("GetObjectTagging", "GET", OBJECT, &[("tagging", None)], &[]),
        operation("ListBuckets", "GET", &[], &[], &[]),
        operation("ListObjects", "GET", BUCKET, &[], &[]),
        operation("ListObjectsV2", "GET", BUCKET, &[("list-type", Some("2"))], &[]),
        operation("PutObject", "PUT", OBJECT, &[], &[]),
        operation("Tail", "GET", &[Text("logs"), Greedy("Name"), Text("tail")], &[], &[]),
        operation("UploadPart", "PUT", OBJECT, &[("partNumber", None), ("uploadId", None)], &[]),
        operation(
            "UploadPartCopy",
            "PUT",
            OBJECT,
            &[("partNumber", None), ("uploadId", None)],
            &["x-amz-copy-source"],
        ),
    ],
);

/// `METHOD /path?query header`: the operation and its labels, or the error.
fn check_by(protocol: Protocol, request: &str, expected: &str) {
    let (head, header) = request.split_once(" : ").unwrap_or((request, ""));
    let (method, uri) = head.split_once(' ').unwrap();
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let query: Vec<(Cow<str>, Cow<str>)> = query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    let headers = [header.split_once(' ').unwrap_or((header, ""))];
    let target =
        Target { method, path, query: &query, headers: &headers, body: b"a=b&Action=GetCode" };
    let text = match THINGS.route(protocol, &target) {
        Ok(routed) => {
            let labels: Vec<_> = routed.labels.iter().map(|(n, v)| format!(" {n}={v}")).collect();
            format!("{}{}", routed.operation.name, labels.concat())
        }
        Err(error) => format!("! {error}"),
    };
    assert_eq!(text, expected, "{request}");
}

#[test]
fn finds_rest_operations() {
    for (request, expected) in [
        ("GET /", "ListBuckets"),
        ("GET ", "ListBuckets"),
        ("GET /b", "ListObjects Bucket=b"),
        ("GET /b/", "ListObjects Bucket=b"),
        ("GET /b?list-type=2", "ListObjectsV2 Bucket=b"),
        ("GET /b?list-type=1", "ListObjects Bucket=b"),
        ("GET /b?prefix=x&acl", "GetBucketAcl Bucket=b"),
        ("GET /b/k", "GetObject Bucket=b Key=k"),
        ("GET /b//k//l/", "GetObject Bucket=b Key=/k//l/"),
        ("GET /b//", "GetObject Bucket=b Key=/"),
        ("GET /b/a%2Fb/%C3%A9%20+", "GetObject Bucket=b Key=a/b/é +"),
        ("GET /b/../k", "GetObject Bucket=b Key=../k"),
        ("GET /b/k?tagging", "GetObjectTagging Bucket=b Key=k"),
        ("PUT /b", "CreateBucket Bucket=b"),
        ("PUT /b/k", "PutObject Bucket=b Key=k"),
        ("PUT /b/k : x-amz-copy-source a/b", "CopyObject Bucket=b Key=k"),
        ("PUT /b/k?uploadId=u&partNumber=1", "UploadPart Bucket=b Key=k"),
        (
            "PUT /b/k?uploadId=u&partNumber=1 : x-amz-copy-source a/b",
            "UploadPartCopy Bucket=b Key=k",
        ),
        ("GET /functions/f", "GetFunction Name=f"),
        ("GET /functions/f/code", "GetCode Name=f"),
        ("GET /functions/a%3Ab/code/", "GetCode Name=a:b"),
        ("GET /logs/a/b/tail", "Tail Name=a/b"),
        ("GET /logs/tail", "GetObject Bucket=logs Key=tail"),
        ("PATCH /b", "! this path does not take this method"),
        ("GET //k", "! no operation has this path"),
        ("GET /b/%ff", "! the path is not UTF-8"),
    ] {
        check_by(RestXml, request, expected);
    }
}

#[test]
fn finds_named_operations() {
    check_by(AwsJson10, "POST / : x-amz-target Things_20200108.GetCode", "GetCode");
    for target in ["Things_20200108.Nope", "Things.GetCode", "Things_20190101.GetCode", "GetCode"] {
        let name = target.strip_prefix("Things_20200108.").unwrap_or(target);
        let expected = format!("! there is no operation {name}");
        check_by(AwsJson10, &format!("POST / : x-amz-target {target}"), &expected);
    }
    check_by(AwsJson10, "POST /", "! the request names no operation");
    check_by(AwsQuery, "POST /?Action=GetFunction", "GetFunction");
    check_by(AwsQuery, "POST /", "GetCode");
    check_by(RpcV2Cbor, "POST /service/Things/operation/GetCode", "GetCode");
    check_by(RpcV2Cbor, "POST /service/Things", "! the request names no operation");
}
