//! Server access logs, from the request to the object that has its record.

use crate::world::{World, ask, world};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::Digest as _;
use store::engine::Step;

fn turn_on(world: &World, format: &str) -> u16 {
    let document = format!(
        "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix>p/</TargetPrefix>{format}</LoggingEnabled></BucketLoggingStatus>"
    );
    world.send(ask("s3", "PUT", "/box?logging").body(document.as_bytes())).status
}

/// Buckets `box` and `logs`, which the group that delivers may write to.
fn logged(format: &str) -> World {
    let world = world();
    world.check(ask("s3", "PUT", "/box"), 200, "");
    world.check(ask("s3", "PUT", "/logs"), 200, "");
    assert_eq!(turn_on(&world, format), 400);
    let list = ask("s3", "PUT", "/logs?acl").header("x-amz-acl", "log-delivery-write");
    world.check(list, 200, "");
    assert_eq!(turn_on(&world, format), 200);
    world
}

fn deliver(world: &World) {
    world.gateway.write_accesses().unwrap();
    world.clock.advance_ms(61_000);
    while world.gateway.jobs().step() == Step::Worked {}
    let parked = world.store.read(|tx| world.gateway.jobs().parked(tx, 1)).unwrap();
    assert!(parked.is_empty(), "{parked:?}");
}

fn keys(world: &World) -> Vec<String> {
    let told = world.send(ask("s3", "GET", "/logs?list-type=2"));
    let parts = told.body.split("<Key>").skip(1);
    parts.map(|part| part.split('<').next().unwrap().to_owned()).collect()
}

/// The records of all logs, taken apart: `[..]` and `".."` are one field each.
fn records(world: &World) -> Vec<Vec<String>> {
    let mut records = Vec::new();
    for key in keys(world) {
        let told = world.send(ask("s3", "GET", &format!("/logs/{key}")));
        assert_eq!((told.status, told.header("content-type")), (200, "text/plain"));
        assert!(told.body.ends_with('\n'));
        records.extend(told.body.lines().map(fields));
    }
    records
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let end = match rest.as_bytes()[0] {
            b'"' => rest[1..].find('"').unwrap() + 2,
            b'[' => rest.find(']').unwrap() + 1,
            _ => rest.find(' ').unwrap_or(rest.len()),
        };
        fields.push(rest[..end].to_owned());
        rest = rest[end..].strip_prefix(' ').unwrap_or("");
    }
    fields
}

#[test]
fn a_record_has_all_fields() {
    let world = logged("");
    let put = ask("s3", "PUT", "/box/a%20b?x=1").body(b"hello").header("user-agent", "it \"is\"");
    let put = world.check(put, 200, "");
    world.check(ask("s3", "GET", "/box/a%20b").header("range", "bytes=1-2"), 206, "el");
    world.check(ask("s3", "GET", "/box/none"), 404, "NoSuchKey");
    world.check(ask("s3", "GET", "/box/a%20b").anonymous(), 403, "AccessDenied");
    world.check(ask("s3", "GET", "/logs?acl"), 200, "");
    deliver(&world);
    let records = records(&world);
    let told: Vec<String> =
        records.iter().map(|r| format!("{} {} {} {}", r[6], r[7], r[9], r[10])).collect();
    let expected = [
        "REST.PUT.LOGGING_STATUS - 200 -",
        "REST.PUT.OBJECT a%20b 200 -",
        "REST.GET.OBJECT a%20b 206 -",
        "REST.GET.OBJECT none 404 NoSuchKey",
        "REST.GET.OBJECT a%20b 403 AccessDenied",
    ];
    // What turned it on was noted too, once the configuration stood.
    assert_eq!(told, &expected[1..]);
    assert!(records.iter().all(|record| record.len() == 27), "{records:?}");
    let owner = base::AccountId::DEFAULT.canonical_user_id();
    let one = &records[0];
    assert_eq!(one[..2], [owner.clone(), "box".into()]);
    assert_eq!((&*one[2], &*one[3]), ("[15/Jan/2027:08:00:00 +0000]", "127.0.0.1"));
    assert_eq!((&one[4], &*one[5]), (&owner, put.header("x-amz-request-id")));
    assert_eq!(one[8], "\"PUT /box/a%20b?x=1 HTTP/1.1\"");
    assert_eq!((&*one[11], &*one[12]), ("-", "5"));
    assert_eq!((&*one[15], &*one[16], &*one[17]), ("\"-\"", "\"it %22is%22\"", "-"));
    assert_eq!(one[18], put.header("x-amz-id-2"));
    let rest = ["SigV4", "-", "AuthHeader", "localhost:4566", "-", "-", "-", "-"];
    assert_eq!(one[19..], rest.map(str::to_owned));
    assert_eq!((&*records[1][11], &*records[1][12]), ("2", "5"));
    assert_eq!((&*records[3][4], &*records[3][19], &*records[3][21]), ("-", "-", "-"));
}

#[test]
fn copies_and_batches_have_a_line_for_each_object() {
    let world = logged("");
    world.check(ask("s3", "PUT", "/other"), 200, "");
    world.check(ask("s3", "PUT", "/box/a").body(b"x"), 200, "");
    let copy = ask("s3", "PUT", "/other/b").header("x-amz-copy-source", "/box/a");
    world.check(copy, 200, "");
    let body = b"<Delete><Object><Key>a</Key></Object><Object><Key>c</Key></Object></Delete>";
    let sum = BASE64_STANDARD.encode(md5::Md5::digest(body));
    world.check(ask("s3", "POST", "/box?delete").body(body).header("content-md5", &sum), 200, "");
    deliver(&world);
    let mut told: Vec<String> =
        records(&world).iter().map(|r| format!("{} {}", r[6], r[7])).collect();
    told.sort();
    let expected = [
        "BATCH.DELETE.OBJECT a",
        "BATCH.DELETE.OBJECT c",
        "REST.COPY.OBJECT_GET a",
        "REST.POST.MULTI_OBJECT_DELETE -",
        "REST.PUT.OBJECT a",
    ];
    assert_eq!(told, expected);
}

#[test]
fn keys_by_date() {
    let check = |format: &str, expected: &str| {
        let world = logged(format);
        world.check(ask("s3", "PUT", "/box/a").body(b"x"), 200, "");
        world.gateway.write_accesses().unwrap();
        world.clock.advance_ms(2 * 86_400_000);
        deliver(&world);
        let keys = keys(&world);
        assert!(keys.len() == 1 && keys[0].starts_with(expected), "{keys:?} {expected}");
        let unique = keys[0].rsplit('-').next().unwrap();
        assert!(unique.len() == 16 && unique.bytes().all(|b| b.is_ascii_hexdigit()), "{unique}");
    };
    check("", "p/2027-01-17-08-01-01-");
    let simple = "<TargetObjectKeyFormat><SimplePrefix/></TargetObjectKeyFormat>";
    check(simple, "p/2027-01-17-08-01-01-");
    let by = |source: &str| {
        format!(
            "<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>{source}</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat>"
        )
    };
    let place = "p/000000000000/us-east-1/box/";
    check(&by("EventTime"), &format!("{place}2027/01/15/2027-01-15-00-00-00-"));
    check(&by("DeliveryTime"), &format!("{place}2027/01/17/2027-01-17-08-01-01-"));
}

/// The policy of the target is asked at each delivery, with the bucket that is logged as its source.
#[test]
fn the_target_decides() {
    let policy = |extra: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{{"Service":"logging.s3.amazonaws.com"}},"Action":"s3:PutObject","Resource":"arn:aws:s3:::logs/p/*","Condition":{{"ArnLike":{{"aws:SourceArn":"arn:aws:s3:::{extra}"}},"StringEquals":{{"aws:SourceAccount":"000000000000"}}}}}}]}}"#
        )
    };
    let world = world();
    world.check(ask("s3", "PUT", "/box"), 200, "");
    let enforced =
        ask("s3", "PUT", "/logs").header("x-amz-object-ownership", "BucketOwnerEnforced");
    world.check(enforced, 200, "");
    assert_eq!(turn_on(&world, ""), 200);
    let put = |policy: &str| {
        world.check(ask("s3", "PUT", "/logs?policy").body(policy.as_bytes()), 204, "");
    };
    let touch = || {
        world.check(ask("s3", "GET", "/box?acl"), 200, "");
        deliver(&world);
        keys(&world).len()
    };
    assert_eq!(touch(), 0);
    put(&policy("another"));
    assert_eq!(touch(), 0);
    put(&policy("box"));
    assert_eq!(touch(), 1);
    let off = b"<BucketLoggingStatus/>";
    world.check(ask("s3", "PUT", "/box?logging").body(off), 200, "");
    assert_eq!(touch(), 1);
}

#[test]
fn what_cannot_be_asked_for() {
    let world = logged("");
    let both = "<TargetObjectKeyFormat><SimplePrefix/><PartitionedPrefix/></TargetObjectKeyFormat>";
    assert_eq!(turn_on(&world, both), 400);
    assert_eq!(turn_on(&world, "<TargetObjectKeyFormat/>"), 400);
    let odd = "<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>Never</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat>";
    assert_eq!(turn_on(&world, odd), 400);
    let grant = |permission: &str| {
        format!(
            r#"<TargetGrants><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>{permission}</Permission></Grant></TargetGrants>"#
        )
    };
    assert_eq!(turn_on(&world, &grant("WRITE_ACP")), 400);
    assert_eq!(turn_on(&world, &grant("READ")), 200);
    world.check(ask("s3", "GET", "/box?acl"), 200, "");
    deliver(&world);
    let key = keys(&world).remove(0);
    let target = format!("/logs/{key}");
    assert_eq!(world.send(ask("", "GET", &target).anonymous()).status, 200);
}
