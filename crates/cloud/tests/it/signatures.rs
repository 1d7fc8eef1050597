//! Requests that are not what was signed.

use crate::world::{ask, query, world};

#[test]
fn wrong_secrets() {
    let world = world();
    world.check(
        ask("s3", "GET", "/").key("test", "wrong"),
        403,
        "<Code>SignatureDoesNotMatch</Code>",
    );
    let whoami = query("sts", "Action=GetCallerIdentity&Version=2011-06-15");
    world.check(whoami.key("test", "wrong"), 403, "SignatureDoesNotMatch");
}

#[test]
fn the_body_must_be_the_one_that_was_signed() {
    let world = world();
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    let mut put = ask("s3", "PUT", "/photos/a").body(b"evil");
    put.signed_body = Some(b"good".to_vec());
    world.check(put, 400, "<Code>XAmzContentSHA256Mismatch</Code>");
    world.check(ask("s3", "GET", "/photos/a"), 404, "NoSuchKey");
    let mut get = ask("s3", "GET", "/photos");
    get.signed_body = Some(b"something".to_vec());
    world.check(get, 400, "XAmzContentSHA256Mismatch");
    let mut create = query("iam", "Action=CreateUser&Version=2010-05-08&UserName=evil");
    create.signed_body = Some(b"Action=CreateUser&Version=2010-05-08&UserName=good".to_vec());
    world.check(create, 403, "SignatureDoesNotMatch");
}

#[test]
fn lengths_that_lie() {
    let world = world();
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    for (length, code) in
        [("3", "IncompleteBody"), ("5", "IncompleteBody"), ("x", "InvalidArgument")]
    {
        let put = ask("s3", "PUT", "/photos/a").header("content-length", length).body(b"four");
        let told = world.send(put);
        assert!(told.body.contains(code), "{length}: {}", told.body);
    }
    world.check(ask("s3", "GET", "/photos/a"), 404, "NoSuchKey");
}

#[test]
fn old_requests() {
    let world = world();
    let told = world.send_at(ask("s3", "GET", "/"), -16 * 60);
    assert!(told.body.contains("RequestTimeTooSkewed"), "{}", told.body);
    let told = world.send_at(ask("s3", "GET", "/"), 16 * 60);
    assert!(told.body.contains("RequestTimeTooSkewed"), "{}", told.body);
    assert_eq!(world.send_at(ask("s3", "GET", "/"), -14 * 60).status, 200);
}

#[test]
fn what_picks_an_operation_is_signed_by_version_two_as_well() {
    // Which list comes, or which of a kind that another parameter names, is no matter of what one may.
    const FREE: [&str; 4] = ["annotationName", "id", "list-type", "x-id"];
    let picks = gen_s3::MODEL.operations.iter().flat_map(|operation| operation.http.query);
    let mut picks = picks.map(|(name, _)| *name).filter(|name| !FREE.contains(name));
    assert_eq!(picks.find(|name| !sigv4::v2::is_signed(name)), None);
}
