//! Browser forms: AWS's example, and all that can be wrong with one.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html>

use super::*;
use base64::Engine;

const NOW: &str = "2015-12-29T12:00:00Z";
const CREDENTIAL: &str = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request";
const SIGNATURE: &str = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";

/// The example's policy; its lines end in CR LF.
const POLICY: &str = r#"{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_redirect": "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html"},
    ["starts-with", "$Content-Type", "image/"],
    {"x-amz-meta-uuid": "14365123651274"},
    {"x-amz-server-side-encryption": "AES256"},
    ["starts-with", "$x-amz-meta-tag", ""],

    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}"#;

fn encode(json: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(json)
}

fn example_fields(policy: &str) -> Vec<(&str, &str)> {
    vec![
        ("key", "user/user1/cat.jpg"),
        ("acl", "public-read"),
        (
            "success_action_redirect",
            "http://sigv4examplebucket.s3.amazonaws.com/successful_upload.html",
        ),
        ("Content-Type", "image/jpeg"),
        ("x-amz-meta-uuid", "14365123651274"),
        ("x-amz-server-side-encryption", "AES256"),
        ("X-Amz-Credential", CREDENTIAL),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20151229T000000Z"),
        ("x-amz-meta-tag", ""),
        ("Policy", policy),
        ("X-Amz-Signature", SIGNATURE),
    ]
}

fn key() -> SigningKey {
    SigningKey::derive(EXAMPLE_SECRET, "20151229", "us-east-1", "s3")
}

/// Everything a server does with a form before the file.
fn check_form(fields: &[(&str, &str)], now: &str) -> Result<(), AuthError> {
    let form = Form { bucket: "sigv4examplebucket", fields };
    let credentials = FormCredentials::parse(&form)?;
    let credentials = credentials.ok_or(AuthError::new(Place::Form, Cause::NoCredentials))?;
    credentials.verify(&key(), Some("us-east-1"))?;
    PostPolicy::parse(credentials.policy())?.check(&form, at(now))
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

#[test]
fn the_example() {
    let policy = encode(&POLICY.replace('\n', "\r\n"));
    let fields = example_fields(&policy);
    assert_eq!(check_form(&fields, NOW), Ok(()));
    assert_eq!(key().sign_policy(&policy), SIGNATURE);
    let form = Form { bucket: "sigv4examplebucket", fields: &fields };
    let credentials = FormCredentials::parse(&form).unwrap().unwrap();
    assert_eq!(credentials.access_key(), EXAMPLE_KEY);
    let scope = (credentials.date(), credentials.region(), credentials.service());
    assert_eq!(scope, ("20151229", "us-east-1", "s3"));
    assert_eq!((credentials.token(), credentials.time()), (None, at("2015-12-29")));
}

#[test]
fn fields_against_the_policy() {
    let policy = encode(&POLICY.replace('\n', "\r\n"));
    let check = |change: &[(&str, &str)], now: &str, expected: &str| {
        let mut fields = example_fields(&policy);
        for (name, value) in change {
            fields.retain(|(n, _)| n != name);
            if *value != "REMOVED" {
                fields.push((name, value));
            }
        }
        assert_eq!(words(check_form(&fields, now)), expected, "{change:?}");
    };
    let denied = "403 AccessDenied Invalid according to Policy: ";
    check(&[("x-ignore-me", "1"), ("file", "x")], NOW, "ok");
    check(&[("ACL", "public-read"), ("acl", "REMOVED")], NOW, "ok");
    check(&[("Content-Type", "image/png, image/gif")], NOW, "ok");
    check(&[], "2015-12-30T11:59:59Z", "ok");
    check(&[], "2015-12-30T12:00:00Z", &format!("{denied}Policy expired."));
    check(&[("x", "1")], NOW, &format!("{denied}Extra input fields: x"));
    let failed = |condition: &str| format!("{denied}Policy Condition failed: {condition}");
    check(&[("acl", "private")], NOW, &failed(r#"["eq", "$acl", "public-read"]"#));
    check(&[("acl", "REMOVED")], NOW, &failed(r#"["eq", "$acl", "public-read"]"#));
    check(&[("key", "user/user2/a")], NOW, &failed(r#"["starts-with", "$key", "user/user1/"]"#));
    check(&[("key", "REMOVED")], NOW, &failed(r#"["starts-with", "$key", "user/user1/"]"#));
    let content_type = failed(r#"["starts-with", "$content-type", "image/"]"#);
    check(&[("Content-Type", "image/png, text/html")], NOW, &content_type);
    // A second field of the same name cannot say what the policy forbids.
    let twice = |name: &'static str, value: &'static str| {
        let fields = [example_fields(&policy), vec![(name, value)]].concat();
        words(check_form(&fields, NOW))
    };
    assert_eq!(twice("acl", "public-read"), "ok");
    assert_eq!(twice("acl", "private"), failed(r#"["eq", "$acl", "public-read"]"#));
    assert_eq!(twice("Key", "else"), failed(r#"["starts-with", "$key", "user/user1/"]"#));
    // Anything will do, and so will nothing.
    check(&[("x-amz-meta-tag", "REMOVED")], NOW, "ok");
}

#[test]
fn credentials_in_a_form() {
    let policy = encode(POLICY);
    let check = |name: &str, value: &str, expected: &str| {
        let mut fields = example_fields(&policy);
        fields.retain(|(n, _)| *n != name);
        if value != "REMOVED" {
            fields.push((name, value));
        }
        let form = Form { bucket: "sigv4examplebucket", fields: &fields };
        let result = FormCredentials::parse(&form)
            .and_then(|found| found.expect("signed").verify(&key(), Some("us-east-1")));
        assert_eq!(words(result), expected, "{name} {value}");
    };
    let order = "  If it is specified, please check the order of the fields.";
    for name in ["policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"] {
        let fields = example_fields(&policy);
        let (written, _) = fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).unwrap();
        let missing =
            format!("400 InvalidArgument Bucket POST must contain a field named '{name}'.{order}");
        check(written, "REMOVED", &missing);
    }
    check("X-Amz-Algorithm", "AWS4", "400 InvalidArgument Only AWS4-HMAC-SHA256 is supported");
    let date = "400 InvalidArgument X-Amz-Date must be formated via ISO8601 Long format";
    check("X-Amz-Date", "2015-12-29", date);
    let other_day =
        "400 InvalidArgument Invalid credential date. Date is not the same as X-Amz-Date.";
    check("X-Amz-Date", "20151230T000000Z", other_day);
    let shape = "400 InvalidArgument the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".";
    check("X-Amz-Credential", "AKID/20151229/us-east-1/s3", shape);
    check(
        "X-Amz-Credential",
        "AKID/20151229/us-east-1/sqs/aws4_request",
        "400 InvalidArgument incorrect service \"sqs\". This endpoint belongs to \"s3\".",
    );
    check(
        "X-Amz-Credential",
        "AKID/20151229/us-west-1/s3/aws4_request",
        "400 InvalidArgument the region 'us-west-1' is wrong; expecting 'us-east-1'",
    );
    let mismatch = "403 SignatureDoesNotMatch The request signature we calculated does not match the signature you provided. Check your key and signing method.";
    // The policy here has other line ends than the one that was signed.
    check("X-Amz-Signature", SIGNATURE, mismatch);

    let anonymous = Form { bucket: "b", fields: &[("key", "k")] };
    assert!(FormCredentials::parse(&anonymous).unwrap().is_none());
    let old = [("AWSAccessKeyId", "AKID"), ("policy", "e30="), ("signature", "x")];
    let error = FormCredentials::parse(&Form { bucket: "b", fields: &old }).unwrap_err();
    assert_eq!(error.cause, Cause::VersionTwo);
}

#[test]
fn policies_that_are_none() {
    let check = |json: &str, why: &str| {
        let error = PostPolicy::parse(&encode(json)).unwrap_err();
        let expected = format!("400 InvalidPolicyDocument Invalid Policy: {why}");
        assert_eq!(words(Err(error)), expected, "{json}");
    };
    let with = |conditions: &str| {
        format!(r#"{{"expiration":"2030-01-01T00:00:00Z","conditions":{conditions}}}"#)
    };
    check("", "Expecting '{' but found End-of-Input");
    for json in ["{", "[]", "1", "\u{0}", "{\"expiration\":}", &"[".repeat(5000)] {
        check(json, "Invalid JSON.");
    }
    check("{}", "Policy missing expiration.");
    check(r#"{"expiration":"2030-01-01T00:00:00Z"}"#, "Policy missing conditions.");
    check(r#"{"expiration":"soon","conditions":[]}"#, "Invalid 'expiration' value: 'soon'");
    check(r#"{"expiration":1,"conditions":[]}"#, "Invalid 'expiration' value: '1'");
    check(r#"{"expiration":"2030-01-01","conditions":[],"x":1}"#, "Unexpected: \"x\"");
    check(&with("{}"), "Invalid 'conditions' value: must be a List.");
    check(&with("[1]"), "Invalid condition test: must be a List or Object.");
    check(&with("[[]]"), "Invalid Condition: missing operation identifier.");
    check(&with("[[1]]"), "Invalid Condition: missing operation identifier.");
    check(
        &with(r#"[["ends-with","$a","b"]]"#),
        "Invalid Condition: unknown operation 'ends-with'.",
    );
    check(&with(r#"[["eq","$a"]]"#), "Invalid eq: wrong number of arguments.");
    check(&with(r#"[["eq","$a","b","c"]]"#), "Invalid eq: wrong number of arguments.");
    let name = "the field must be a name that begins with '$'.";
    check(&with(r#"[["eq","a","b"]]"#), &format!("Invalid eq: {name}"));
    check(&with(r#"[["starts-with","$","b"]]"#), &format!("Invalid starts-with: {name}"));
    check(&with(r#"[["eq","$a",null]]"#), "Invalid eq: value must be a string.");
    let range = "Invalid content-length-range: arguments must be numbers.";
    for numbers in ["-1,2", "1.5,2", "\"a\",1", "null,1", "1,99999999999999999999"] {
        check(&with(&format!(r#"[["content-length-range",{numbers}]]"#)), range);
    }
    let one =
        "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.";
    check(&with("[{}]"), one);
    check(&with(r#"[{"a":"b","c":"d"}]"#), one);
    check(&with(r#"[{"a":1}]"#), "Invalid Simple-Condition: value must be a string.");
    let error = PostPolicy::parse("*not base64*").unwrap_err();
    assert_eq!(error.cause, Cause::PolicyInvalid("invalid Base64 encoding.".to_owned()));
    assert!(PostPolicy::parse(&"A".repeat(20_001)).is_err());
    assert!(PostPolicy::parse(encode(&with("[]")).trim_end_matches('=')).is_ok(), "no padding");
}

#[test]
fn the_size_of_the_file() {
    let json = r#"{"expiration":"2030-01-01T00:00:00Z","conditions":[{"bucket":"b"},["content-length-range",10,"20"]]}"#;
    let policy = PostPolicy::parse(&encode(json)).unwrap();
    let form = Form { bucket: "b", fields: &[] };
    assert_eq!(policy.check(&form, at(NOW)), Ok(()));
    let elsewhere = policy.check(&Form { bucket: "c", fields: &[] }, at(NOW)).unwrap_err();
    assert!(matches!(elsewhere.cause, Cause::PolicyDenied(_)));
    for (size, complete, expected) in [
        (0, false, None),
        (9, true, Some("EntityTooSmall")),
        (10, true, None),
        (20, true, None),
        (21, false, Some("EntityTooLarge")),
        (21, true, Some("EntityTooLarge")),
    ] {
        let result = policy.check_length(size, complete);
        assert_eq!(result.err().map(|e| e.render(Dialect::S3).code), expected, "{size}");
    }
    let nobucket = r#"{"expiration":"2030-01-01T00:00:00Z","conditions":[]}"#;
    let error = PostPolicy::parse(&encode(nobucket)).unwrap().check(&form, at(NOW)).unwrap_err();
    assert_eq!(error.cause, Cause::PolicyDenied("Extra input fields: bucket".to_owned()));
}
