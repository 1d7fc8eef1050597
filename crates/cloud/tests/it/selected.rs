//! What a query selects is what the operation is about, or nothing is done at all.

use crate::world::{ask, world};

#[test]
fn nothing_else_is_done() {
    let world = world();
    world.check(ask("s3", "PUT", "/box"), 200, "");
    world.check(ask("s3", "PUT", "/box/k").body(b"content"), 200, "");
    let of_bucket = ["acl", "versioning", "logging", "notification", "object-lock", "analytics"];
    let of_object = ["acl", "retention", "legal-hold", "torrent", "attributes", "uploads"];
    for name in of_bucket {
        world.check(ask("s3", "DELETE", &format!("/box?{name}")), 405, "MethodNotAllowed");
    }
    for name in of_object {
        world.check(ask("s3", "DELETE", &format!("/box/k?{name}=")), 405, "MethodNotAllowed");
    }
    for target in ["/fresh?location", "/fresh?policyStatus", "/fresh?metrics"] {
        world.check(ask("s3", "PUT", target), 405, "MethodNotAllowed");
    }
    for target in ["/box/k?attributes", "/box/k?torrent", "/box/k?uploads"] {
        world.check(ask("s3", "PUT", target).body(b"other"), 405, "MethodNotAllowed");
    }
    for target in ["/box?acl", "/box/k?tagging"] {
        world.check(ask("s3", "HEAD", target), 405, "");
    }
    world.check(ask("s3", "GET", "/box/k"), 200, "content");
    world.check(ask("s3", "GET", "/fresh"), 404, "NoSuchBucket");
}

#[test]
fn what_an_operation_does_not_take() {
    let world = world();
    world.check(ask("s3", "PUT", "/box"), 200, "");
    world.check(ask("s3", "PUT", "/box/k").body(b"content"), 200, "");
    let check = |method: &str, target: &str, text: &str, name: &str, value: &str| {
        let told = world.check(ask("s3", method, target), 400, "InvalidArgument");
        let seen = ["Message", "ArgumentName", "ArgumentValue"].map(|name| told.element(name));
        assert_eq!(seen, [text, name, value], "{method} {target}");
    };
    let two = "Conflicting query string parameters: acl, versioning";
    check("GET", "/box?versioning&acl&acl", two, "ResourceType", "acl");
    check("PUT", "/box?versioning&acl", two, "ResourceType", "acl");
    let two = "Conflicting query string parameters: retention, tagging";
    check("DELETE", "/box/k?tagging&retention", two, "ResourceType", "retention");
    let version = "This operation does not accept a version-id.";
    for (method, target) in [
        ("PUT", "/box/k?versionId=null"),
        ("POST", "/box/k?uploads&versionId=null"),
        ("GET", "/box?list-type=2&versionId=null"),
        ("DELETE", "/box?versionId=null"),
    ] {
        check(method, target, version, "versionId", "null");
    }
    let part = "This operation does not accept partNumber without uploadId";
    check("PUT", "/box/k?partNumber=1", part, "partNumber", "1");
    let upload = "This operation does not accept uploadId without partNumber";
    check("PUT", "/box/k?uploadId=x", upload, "uploadId", "x");
    // The value of these is not said.
    let other = "Marker unsupported with REST.GET.BUCKET in list-type=2";
    check("GET", "/box?list-type=2&marker=k", other, "marker", "");
    let other = "continuation-token only supported in REST.GET.BUCKET with list-type=2";
    check("GET", "/box?start-after=a&continuation-token=k", other, "continuation-token", "");
    let other = "startAfter only supported in REST.GET.BUCKET with list-type=2";
    check("GET", "/box?start-after=", other, "start-after", "");
    let number = "Provided max-keys not an integer or within integer range";
    check("GET", "/box?max-keys=a", number, "max-keys", "a");
    world.check(ask("s3", "GET", "/box/k?partNumber=1&versionId=null"), 206, "content");
    world.check(ask("s3", "GET", "/box?acl&x-id=GetBucketAcl"), 200, "FULL_CONTROL");
    world.check(ask("s3", "GET", "/box?analytics"), 200, "IsTruncated");
}
