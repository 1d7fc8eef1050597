//! Signature Version 2: requests and a form as botocore signs them (`testdata/goldens2.py` writes
//! them), and everything that must be refused.

use super::*;
use crate::v2;

const GOLDENS: &str = include_str!("../../testdata/botocore2.txt");
const NOW: &str = "2026-11-20T17:30:00Z";

struct Golden {
    request: Request,
    bucket: Option<&'static str>,
}

fn golden(name: &str) -> Golden {
    let start = format!("# {name}\n");
    let block = GOLDENS.split("\n\n").find(|block| block.starts_with(&start)).expect("a golden");
    let mut lines = block.lines().skip(1);
    let bucket = lines.next().filter(|bucket| *bucket != "-");
    let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
    let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    Golden { request: Request::new(method, target, &headers), bucket }
}

fn verify(request: &Request, bucket: Option<&str>, now: &str) -> Result<(), AuthError> {
    request.head(|head| {
        let first = presented(head).expect_err("Version 2 is not read as Version 4");
        if first.cause != Cause::VersionTwo {
            return Err(first);
        }
        let found = v2::presented(head)?.expect("signed with Version 2");
        found.verify(head, EXAMPLE_SECRET, bucket, at(now))
    })
}

fn words(result: Result<(), AuthError>) -> String {
    match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => {
            let rendered = error.render(Dialect::S3);
            format!("{} {} {}", rendered.status, rendered.code, rendered.message)
        }
    }
}

const MISMATCH: &str = "403 SignatureDoesNotMatch The request signature we calculated does not match the signature you provided. Check your key and signing method.";

#[test]
fn every_golden() {
    let names: Vec<&str> = GOLDENS
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|name| *name != "form")
        .collect();
    assert_eq!(names.len(), 16);
    for name in names {
        let Golden { request, bucket } = golden(name);
        assert_eq!(verify(&request, bucket, NOW), Ok(()), "{name}");
        let other = Request { method: "DELETE".to_owned(), ..request.clone() };
        assert_eq!(words(verify(&other, bucket, NOW)), MISMATCH, "{name}");
        let elsewhere = if bucket.is_some() { None } else { Some("bucket") };
        assert_eq!(words(verify(&request, elsewhere, NOW)), MISMATCH, "{name}");
        let token = request.head(|head| {
            let found = v2::presented(head).unwrap().unwrap();
            assert_eq!(found.access_key(), EXAMPLE_KEY);
            assert_eq!(
                found.place(),
                if name.starts_with("url") { Place::Query } else { Place::Header }
            );
            assert_eq!(found.time(), name.starts_with("header").then(|| at(NOW)));
            found.token().map(str::to_owned)
        });
        let expected = name.ends_with("token").then_some("IQoJb3JpZ2luX2VjE//8Example+Token==");
        assert_eq!(token.as_deref(), expected, "{name}");
    }
}

/// Changes the query of the golden `url put` from one text to another.
fn check_url(from: &str, to: &str, now: &str, expected: &str) {
    let Golden { request, bucket } = golden("url put");
    assert!(request.query.contains(from), "{from}");
    let changed = Request { query: request.query.replace(from, to), ..request };
    assert_eq!(words(verify(&changed, bucket, now)), expected, "{from} -> {to}");
}

#[test]
fn urls() {
    let parts = "403 AccessDenied Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters";
    let expired = "403 AccessDenied Request has expired";
    check_url("", "", "2026-11-20T18:30:00Z", "ok");
    check_url("", "", "2026-11-20T18:30:00.001Z", expired);
    check_url("", "", "1990-01-01", "ok");
    check_url("Expires=1795199400", "Expires=1895199400", NOW, MISMATCH);
    check_url("Expires=1795199400", "Expires=01795199400", NOW, MISMATCH);
    check_url("Expires=1795199400", "Expires=1", NOW, expired);
    check_url("Expires=1795199400", "Expires=", NOW, parts);
    check_url("&Expires=1795199400", "", NOW, parts);
    check_url("Expires=1795199400", "Expires=1795199400&Expires=1795199400", NOW, parts);
    check_url("Signature=", "Signature=&x=", NOW, parts);
    check_url("Signature=", "encryption&Signature=", NOW, MISMATCH);
    check_url("Signature=", "x-id=a&Signature=", NOW, "ok");
    check_url("Signature=", "Signature=a&Signature=", NOW, parts);
    check_url("AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE", "AWSAccessKeyId=", NOW, parts);
    for (bad, shown) in
        [("x", "x"), ("-1", "-1"), ("1.5", "1.5"), ("999999999999", "999999999999"), ("+1", " 1")]
    {
        let text =
            format!("403 AccessDenied Invalid date (should be seconds since epoch): {shown}");
        check_url("Expires=1795199400", &format!("Expires={bad}"), NOW, &text);
    }
    check_url("x-amz-meta-a=b%20c", "x-amz-meta-a=b%20d", NOW, MISMATCH);
    check_url("x-amz-acl=private", "x-amz-acl=public-read", NOW, MISMATCH);
    check_url("&x-amz-acl=private", "", NOW, MISMATCH);
    check_url("&x-amz-acl", "&x-amz-tagging=a&x-amz-acl", NOW, MISMATCH);
    check_url("AWSAccessKeyId", "acl&AWSAccessKeyId", NOW, MISMATCH);
    check_url("AWSAccessKeyId", "uploadId=1&AWSAccessKeyId", NOW, MISMATCH);
    // What picks no operation is not signed.
    check_url("AWSAccessKeyId", "x-id=PutObject&AWSAccessKeyId", NOW, "ok");
    let put = golden("url put").request;
    let change = |request: Request, expected: &str| {
        assert_eq!(words(verify(&request, None, NOW)), expected, "{request:?}");
    };
    change(put.clone().without("content-type"), "ok");
    change(put.clone().set("content-type", "image/gif"), MISMATCH);
    change(put.clone().with("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="), MISMATCH);
    change(put.clone().with("x-amz-meta-z", "1"), MISMATCH);
    change(put.clone().with("x-amz-acl", "public-read"), MISMATCH);
    change(put.clone().with("x-amz-acl", "private"), "ok");
    change(Request { path: "/bucket/Key".into(), ..put.clone() }, MISMATCH);
    change(Request { path: String::new(), ..put.clone() }, MISMATCH);
    change(
        put.with("authorization", "AWS a:b"),
        "400 InvalidArgument Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
    );
}

#[test]
fn refusals_show_what_was_signed_and_when_it_ended() {
    let Golden { request, .. } = golden("url overrides");
    let fields = |request: &Request, now: &str| {
        verify(request, None, now).unwrap_err().render(Dialect::S3).fields
    };
    let expected = vec![
        ("Expires", "2026-11-20T18:30:00Z".to_owned()),
        ("ServerTime", "2026-11-21T00:00:00Z".to_owned()),
    ];
    assert_eq!(fields(&request, "2026-11-21"), expected);
    let wrong = Request { method: "PUT".to_owned(), ..request };
    let text = "PUT\n\n\n1795199400\n/bucket/key?response-content-disposition=attachment; filename=\"x y.txt\"&response-content-type=text/plain; a&versionId=a/b";
    let shown = fields(&wrong, NOW);
    assert_eq!(shown[0], ("AWSAccessKeyId", EXAMPLE_KEY.to_owned()));
    assert_eq!(shown[1], ("StringToSign", text.to_owned()));
    assert_eq!(shown[2], ("SignatureProvided", "/g060K5nkQOTmwVCyGBcmscRsy8=".to_owned()));
}

#[test]
fn headers() {
    let put = golden("header put").request;
    let check = |request: Request, expected: &str| {
        assert_eq!(words(verify(&request, Some("bucket"), NOW)), expected, "{request:?}");
    };
    let shape = "400 InvalidArgument AWS authorization header is invalid.  Expected AwsAccessKeyId:signature";
    for bad in ["AWS", "AWS x", "AWS :", "AWS a:", "AWS :b"] {
        check(put.clone().set("authorization", bad), shape);
    }
    let twice = "400 InvalidArgument Authorization header is invalid -- one and only one ' ' (space) required.";
    check(put.clone().with("authorization", "AWS a:b"), twice);
    let date = "403 AccessDenied AWS authentication requires a valid Date or x-amz-date header";
    check(put.clone().without("date"), date);
    check(put.clone().set("date", "yesterday"), date);
    check(put.clone().with("date", "Fri, 20 Nov 2026 17:30:00 GMT"), date);
    check(put.clone().with("x-amz-date", "x"), date);
    // It counts in place of Date, and was not signed.
    check(put.clone().with("x-amz-date", "Fri, 20 Nov 2026 17:30:00 GMT"), MISMATCH);
    check(put.clone().set("x-amz-meta-a", "2"), MISMATCH);
    check(put.clone().with("x-amz-meta-a", "2"), MISMATCH);
    check(put.clone().set("content-md5", "x"), MISMATCH);
    check(put.clone().without("content-type"), MISMATCH);
    check(put.clone().set("host", "other"), "ok");
    let skewed = "403 RequestTimeTooSkewed The difference between the request time and the current time is too large.";
    for (now, expected) in [
        ("2026-11-20T17:45:00Z", "ok"),
        ("2026-11-20T17:15:00Z", "ok"),
        ("2026-11-20T17:45:00.001Z", skewed),
        ("2026-11-20T17:14:59.999Z", skewed),
    ] {
        assert_eq!(words(verify(&put, Some("bucket"), now)), expected, "{now}");
    }
    let amz = |stamp: &str| {
        let text = format!("GET\n\n\n\nx-amz-date:{stamp}\n/k");
        let signature = v2::sign(EXAMPLE_SECRET, &text);
        let bare =
            Request::new("GET", "/k", &[("host", "h"), ("date", "junk"), ("x-amz-date", stamp)]);
        verify(&bare.with("authorization", &format!("AWS {EXAMPLE_KEY}:{signature}")), None, NOW)
    };
    assert_eq!(amz("Fri, 20 Nov 2026 17:30:00 GMT"), Ok(()));
    assert_eq!(amz("20261120T173000Z"), Ok(()));
}

/// AWS's own example.
/// Source: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html#RESTAuthenticationExamples>
#[test]
fn the_example() {
    let get = Request::new(
        "GET",
        "/photos/puppy.jpg",
        &[
            ("host", "awsexamplebucket1.us-west-1.s3.amazonaws.com"),
            ("date", "Tue, 27 Mar 2007 19:36:42 +0000"),
        ],
    );
    let text = "GET\n\n\nTue, 27 Mar 2007 19:36:42 +0000\n/awsexamplebucket1/photos/puppy.jpg";
    let signature = v2::sign(EXAMPLE_SECRET, text);
    assert_eq!(signature, "qgk2+6Sv9/oM7G3qLEjTH1a1l1g=");
    let get = get
        .set("date", "Tue, 27 Mar 2007 19:36:42 GMT")
        .with("authorization", &format!("AWS {EXAMPLE_KEY}:{signature}"));
    let other_date = verify(&get, Some("awsexamplebucket1"), "2007-03-27T19:36:42Z");
    assert_eq!(words(other_date), MISMATCH);
}

#[test]
fn every_bit_counts() {
    let known = |changed: &Request| {
        changed.head(|head| {
            let found = v2::presented(head).ok().flatten();
            found.is_some_and(|found| found.access_key() == EXAMPLE_KEY)
        })
    };
    let refused = |changed: &Request, bucket| {
        let is_two = changed.head(|h| presented(h).is_err_and(|e| e.cause == Cause::VersionTwo));
        !is_two || !known(changed) || verify(changed, bucket, NOW).is_err()
    };
    let Golden { request, bucket } = golden("header put");
    for (index, (name, value)) in request.headers.iter().enumerate() {
        for bit in 0..value.len() * 8 {
            let mut changed = request.clone();
            changed.headers[index].1[bit / 8] ^= 1 << (bit % 8);
            let same = changed.headers[index].1.trim_ascii() == value.trim_ascii();
            assert!(name == "host" || same || refused(&changed, bucket), "{name} bit {bit}");
        }
    }
    let Golden { request, bucket } = golden("url overrides");
    for bit in 0..request.query.len() * 8 {
        let mut bytes = request.query.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(query) = String::from_utf8(bytes) else { continue };
        let values = |text: &str| base::percent::decode_form(text).into_owned();
        let same = values(&query) == values(&request.query);
        let changed = Request { query, ..request.clone() };
        assert!(same || refused(&changed, bucket), "bit {bit}: {}", changed.query);
    }
    for bit in 0..request.path.len() * 8 {
        let mut bytes = request.path.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(path) = String::from_utf8(bytes) else { continue };
        assert!(refused(&Request { path, ..request.clone() }, bucket), "bit {bit}");
    }
}

#[test]
fn forms() {
    let block = GOLDENS.split("\n\n").find(|block| block.starts_with("# form")).unwrap();
    let fields: Vec<(&str, &str)> =
        block.lines().skip(1).map(|line| line.split_once(": ").unwrap()).collect();
    let check = |change: &[(&str, Option<&str>)], now: &str, expected: &str| {
        let mut fields = fields.clone();
        for (name, value) in change {
            fields.retain(|(n, _)| n != name);
            fields.extend(value.map(|value| (*name, value)));
        }
        let form = Form { bucket: "bucket", fields: &fields };
        let first = FormCredentials::parse(&form).expect_err("not of Version 4");
        assert_eq!(first.cause, Cause::VersionTwo);
        let result = v2::FormCredentials::parse(&form).and_then(|found| {
            let found = found.expect("of Version 2");
            assert_eq!(found.access_key(), EXAMPLE_KEY);
            found.verify(EXAMPLE_SECRET)?;
            PostPolicy::parse(found.policy())?.check(&form, at(now))
        });
        assert_eq!(words(result), expected, "{change:?}");
    };
    check(&[], NOW, "ok");
    check(
        &[],
        "2026-11-20T18:30:00Z",
        "403 AccessDenied Invalid according to Policy: Policy expired.",
    );
    check(&[("signature", Some("x"))], NOW, MISMATCH);
    check(&[("policy", Some("e30="))], NOW, MISMATCH);
    check(
        &[("extra", Some("x"))],
        NOW,
        "403 AccessDenied Invalid according to Policy: Extra input fields: extra",
    );
    for name in ["policy", "signature"] {
        let text = format!(
            "400 InvalidArgument Bucket POST must contain a field named '{name}'.  If it is specified, please check the order of the fields."
        );
        check(&[(name, None)], NOW, &text);
    }
    let other = Form { bucket: "b", fields: &[("key", "k"), ("signature", "x")] };
    assert!(v2::FormCredentials::parse(&other).unwrap().is_none());
}

#[test]
fn only_the_old_regions_take_it() {
    for region in [
        "us-east-1",
        "us-west-1",
        "us-west-2",
        "eu-west-1",
        "ap-southeast-1",
        "ap-southeast-2",
        "ap-northeast-1",
        "sa-east-1",
    ] {
        assert!(v2::is_accepted_in(region), "{region}");
    }
    for region in ["eu-central-1", "us-east-2", "ap-northeast-2", "cn-north-1", "us-gov-west-1", ""]
    {
        assert!(!v2::is_accepted_in(region), "{region}");
    }
}

#[test]
fn other_requests_are_not_of_this_version() {
    for (query, authorization) in [
        ("", None),
        ("AWSAccessKeyId=a", None),
        ("Signature=b", None),
        ("X-Amz-Signature=c", None),
        ("", Some("AWS4-HMAC-SHA256 x")),
        ("", Some("AWSX a:b")),
    ] {
        let mut request = Request::new("GET", "/", &[]);
        request.query = query.to_owned();
        request.headers.extend(authorization.map(|v| ("authorization".to_owned(), v.into())));
        assert!(request.head(|head| v2::presented(head).unwrap().is_none()), "{query}");
    }
}
