//! Everything that is refused, with the words of S3 and of the other services.

use super::*;

const NOW: &str = "2013-05-24T00:00:00Z";
const SCOPE: &str = "AKID/20130524/us-east-1/s3/aws4_request";

fn key() -> SigningKey {
    SigningKey::derive(EXAMPLE_SECRET, "20130524", "us-east-1", "s3")
}

fn signed() -> Request {
    Request::new("GET", "/key", &[("host", "b.localhost")]).signed(
        Rules::S3,
        Payload::Sha256(EMPTY_SHA256),
        &key(),
        at(NOW),
    )
}

fn url() -> Request {
    let bare = Request::new("GET", "/key", &[("host", "b.localhost")]);
    let credentials = Credentials { access_key: EXAMPLE_KEY, key: &key(), token: None };
    let query = bare.head(|head| presign(head, Rules::S3, &credentials, at(NOW), 60));
    Request { query, ..bare }
}

fn words(error: &AuthError, dialect: Dialect) -> String {
    let rendered = error.render(dialect);
    format!("{} {} {}", rendered.status, rendered.code, rendered.message)
}

fn check(request: &Request, s3: &str, json: &str) {
    let expect = Expect { region: Some("us-east-1"), ..expect_s3(at(NOW)) };
    let error = request.verify(EXAMPLE_SECRET, &expect).expect_err(s3);
    assert_eq!(words(&error, Dialect::S3), s3, "{request:?}");
    let general = words(&error, Dialect::RestJson);
    assert!(general.starts_with(json), "{general}\nexpected {json}\n{request:?}");
}

#[test]
fn authorization_headers() {
    let with = |value: &str| signed().set("authorization", value);
    let whole = |credential: &str| {
        with(&format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00"))
    };
    let incomplete = "400 IncompleteSignatureException ";
    let equal = &format!(
        "{incomplete}Invalid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): '"
    );
    let space = "400 InvalidArgument Authorization header is invalid -- one and only one ' ' (space) required.";
    let malformed = |what: &str| {
        format!("400 AuthorizationHeaderMalformed The authorization header is malformed; {what}")
    };
    let three = malformed(
        "the authorization header requires three components: Credential, SignedHeaders, and Signature.",
    );
    check(&with(""), space, equal);
    check(&with("nonsense"), space, equal);
    check(&signed().with("authorization", "AWS4-HMAC-SHA256 x"), space, equal);
    check(
        &with("Bearer abc"),
        "400 InvalidArgument Unsupported Authorization Type",
        &format!("{incomplete}The authorization mechanism"),
    );
    let old = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    check(
        &with("AWS AKID:c2ln"),
        &format!("400 InvalidRequest {old}"),
        &format!("{incomplete}{old}"),
    );
    let v4a = "AWS4-ECDSA-P256-SHA256 (Signature Version 4A) is not supported here. Please use AWS4-HMAC-SHA256 with a single region.";
    check(
        &with("AWS4-ECDSA-P256-SHA256 Credential=a, SignedHeaders=host, Signature=00"),
        &format!("501 NotImplemented {v4a}"),
        &format!("{incomplete}{v4a}"),
    );
    check(
        &with("AWS4-HMAC-SHA256"),
        &three,
        &format!(
            "{incomplete}Authorization header requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization=AWS4"
        ),
    );
    check(
        &with("AWS4-HMAC-SHA256 Credential=a,SignedHeaders=b"),
        &malformed("missing Signature."),
        &format!("{incomplete}Authorization header requires 'Signature' parameter. Authorization="),
    );
    check(
        &with("AWS4-HMAC-SHA256 Signature=a,SignedHeaders=b"),
        &malformed("missing Credential."),
        &format!("{incomplete}Authorization header requires 'Credential' parameter. Auth"),
    );
    check(
        &with("AWS4-HMAC-SHA256 Credential=a,SignedHeaders=,Signature=b"),
        &malformed("missing SignedHeaders."),
        &format!("{incomplete}Authorization header requires 'SignedHeaders' parameter. Auth"),
    );
    for component in ["what", "What=1", "Signature=1"] {
        check(
            &with(&format!("AWS4-HMAC-SHA256 Signature=1, {component}")),
            &malformed(&format!("the authorization component \"{component}\" is malformed.")),
            equal,
        );
    }
    let shape = malformed(
        "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
    );
    for credential in [
        "a",
        "a/20130524/us-east-1/s3",
        "a/b/20130524/us-east-1/s3/aws4_request",
        "/20130524/us-east-1/s3/aws4_request",
        "a/20130524//s3/aws4_request",
    ] {
        check(
            &whole(credential),
            &shape,
            &format!(
                "{incomplete}Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
            ),
        );
    }
    for date in ["2013", "20131324", "2013052x", "+0130524"] {
        check(
            &whole(&SCOPE.replace("20130524", date)),
            &malformed(&format!(
                "incorrect date format \"{date}\". This date in the credential must be in the format \"yyyyMMdd\"."
            )),
            &format!("{incomplete}Date in Credential scope"),
        );
    }
}

#[test]
fn scopes() {
    let whole = |credential: &str| {
        let value =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00");
        signed().set("authorization", &value)
    };
    let malformed = |what: &str| {
        format!("400 AuthorizationHeaderMalformed The authorization header is malformed; {what}")
    };
    let invalid = "403 InvalidSignatureException Credential should be scoped ";
    check(
        &whole(&SCOPE.replace("aws4_request", "aws5")),
        &malformed("incorrect terminal \"aws5\". This endpoint uses \"aws4_request\"."),
        &format!("{invalid}with a valid terminator: 'aws4_request', not 'aws5'. "),
    );
    check(
        &whole(&SCOPE.replace("/s3/", "/sqs/")),
        &malformed("incorrect service \"sqs\". This endpoint belongs to \"s3\"."),
        &format!("{invalid}to correct service: 's3'. "),
    );
    check(
        &whole(&SCOPE.replace("us-east-1", "*")),
        &malformed("the region '*' is wrong; expecting 'us-east-1'"),
        &format!("{invalid}to a valid region, not '*'. "),
    );
    check(
        &whole(&SCOPE.replace("20130524", "20130523")),
        &malformed("Invalid credential date. Date is not the same as X-Amz-Date."),
        "403 InvalidSignatureException Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20130523' != '20130524', from '20130524T000000Z'.",
    );
}

#[test]
fn dates() {
    let denied = "403 AccessDenied AWS authentication requires a valid Date or x-amz-date header";
    let incomplete = "400 IncompleteSignatureException ";
    check(
        &signed().without("x-amz-date"),
        denied,
        &format!(
            "{incomplete}Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
        ),
    );
    for date in [
        "",
        "now",
        "2013-05-24T00:00:00Z",
        "20130524",
        "20130524T240000Z",
        "20130524t000000z",
        "20130230T000000Z",
        "+0130524T000000Z",
    ] {
        check(
            &signed().set("x-amz-date", date),
            denied,
            &format!(
                "{incomplete}Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
            ),
        );
    }
    check(&signed().with("x-amz-date", "20130524T000000Z"), denied, incomplete);
    for (date, ok) in [
        ("20130523T234500Z", true),
        ("20130524T001500Z", true),
        ("20130523T234459Z", false),
        ("20130524T001501Z", false),
    ] {
        let time = at(date);
        let key = SigningKey::derive(EXAMPLE_SECRET, &date[..8], "us-east-1", "s3");
        let bare = Request::new("GET", "/", &[("host", "b.localhost")]);
        let request = bare.signed(Rules::S3, Payload::Unsigned, &key, time);
        if ok {
            assert_eq!(request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))), Ok(()), "{date}");
            continue;
        }
        let general = if time < at(NOW) {
            "Signature expired: 20130523T234459Z is now earlier than 20130523T234500Z (20130524T000000Z - 15 min.)"
        } else {
            "Signature not yet current: 20130524T001501Z is still later than 20130524T001500Z (20130524T000000Z + 15 min.)"
        };
        check(
            &request,
            "403 RequestTimeTooSkewed The difference between the request time and the current time is too large.",
            &format!("403 InvalidSignatureException {general}"),
        );
    }
}

/// S3 takes an HTTP date in `Date`; the others want the basic form.
#[test]
fn the_date_header() {
    let bare = Request::new("GET", "/", &[("host", "b.localhost")]);
    for (value, general_takes_it) in [
        ("20130524T000000Z", true),
        ("Fri, 24 May 2013 00:00:00 GMT", false),
        ("Fri, 24 May 2013 00:00:00 -0000", false),
    ] {
        for rules in [Rules::S3, Rules::General { body_sha256: EMPTY_SHA256 }] {
            let bare = bare.clone().with("date", value);
            let request = bare.signed(rules, Payload::Unsigned, &key(), at(NOW));
            // Signed with x-amz-date; sent without it, that header's line is missing.
            let refused = request.clone().without("x-amz-date");
            let expect = Expect { rules, ..expect_s3(at(NOW)) };
            let error = refused.verify(EXAMPLE_SECRET, &expect).unwrap_err();
            let in_time = matches!(error.cause, Cause::Mismatch(_));
            assert_eq!(in_time, general_takes_it || rules == Rules::S3, "{value} {error:?}");
        }
    }
}

#[test]
fn signed_headers_and_payloads() {
    let general = "403 InvalidSignatureException ";
    let unsigned =
        "403 AccessDenied There were headers present in the request which were not signed";
    let request =
        signed().with("x-amz-acl", "public-read").with("x-amz-acl", "x").with("x-amz-b", "");
    check(&request, unsigned, general);
    let error = request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))).unwrap_err();
    assert_eq!(error.cause, Cause::NotSigned("x-amz-acl, x-amz-b".to_owned()));
    assert_eq!(error.render(Dialect::S3).fields[0].0, "HeadersNotSigned");
    let whole = |names: &str| {
        let value =
            format!("AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={names}, Signature=00");
        signed().set("authorization", &value)
    };
    check(
        &whole("x-amz-date"),
        unsigned,
        "403 InvalidSignatureException 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.",
    );
    check(&whole("Host;x-amz-date"), unsigned, general);
    let many = format!("host;x-amz-date{}", ";a".repeat(300));
    check(
        &whole(&many),
        "400 AuthorizationHeaderMalformed The authorization header is malformed; too many SignedHeaders.",
        "400 IncompleteSignatureException ",
    );

    let missing = signed().without("x-amz-content-sha256");
    let text = "400 InvalidRequest Missing required header for this request: x-amz-content-sha256";
    check(&missing, text, "400 ");
    for bad in ["", "x", "STREAMING", &"g".repeat(64), &"0".repeat(63)] {
        let request = signed().set("x-amz-content-sha256", bad);
        let error = request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))).unwrap_err();
        assert_eq!(error.cause, Cause::PayloadFormat(bad.to_owned()));
        assert_eq!(error.render(Dialect::S3).code, "InvalidArgument");
    }
    let v4a = "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER";
    check(
        &signed().set("x-amz-content-sha256", v4a),
        &format!("501 NotImplemented The chunk encoding algorithm {v4a} is not supported."),
        "400 ",
    );
    // Not signed as a header, but as the last line of what is signed: S3 takes that.
    let bare = Request::new("GET", "/", &[("host", "h")]).with("x-amz-date", "20130524T000000Z");
    let canonical = format!(
        "GET\n/\n\nhost:h\nx-amz-date:20130524T000000Z\n\nhost;x-amz-date\n{EMPTY_SHA256_HEX}"
    );
    let stamp = b"20130524T000000Z";
    let signature = key().sign_request(stamp, &sha256(canonical.as_bytes()));
    let signature = String::from_utf8(signature.to_vec()).unwrap();
    let value = format!(
        "AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;x-amz-date, Signature={signature}"
    );
    let request = bare.with("authorization", &value).with("x-amz-content-sha256", EMPTY_SHA256_HEX);
    assert_eq!(request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))), Ok(()));
    let upper = request.set("x-amz-content-sha256", &EMPTY_SHA256_HEX.to_uppercase());
    assert!(upper.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))).is_err());
}

#[test]
fn anonymous_payloads() {
    for (value, expected) in [
        (None, Ok(Payload::Unsigned)),
        (Some("UNSIGNED-PAYLOAD"), Ok(Payload::Unsigned)),
        (Some(EMPTY_SHA256_HEX), Ok(Payload::Sha256(EMPTY_SHA256))),
        (Some("STREAMING-UNSIGNED-PAYLOAD-TRAILER"), Ok(Payload::StreamingUnsignedTrailer)),
        (Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), Err(Cause::PayloadAnonymous)),
        (Some("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"), Err(Cause::PayloadAnonymous)),
        (Some("STREAMING-AWS4-HMAC-SHA256-EVENTS"), Err(Cause::PayloadAnonymous)),
    ] {
        assert_eq!(Payload::anonymous(value), expected);
        if let (Some(value), Ok(payload)) = (value, &expected) {
            assert_eq!(payload.text(), value);
        }
    }
}

#[test]
fn urls() {
    let change = |from: &str, to: &str| {
        let url = url();
        assert!(url.query.contains(from), "{from}");
        Request { query: url.query.replace(from, to), ..url }
    };
    assert_eq!(url().verify(EXAMPLE_SECRET, &expect_s3(at(NOW))), Ok(()));
    let query = |what: &str| format!("400 AuthorizationQueryParametersError {what}");
    let requires = query(
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.",
    );
    let names = ["Algorithm", "Credential", "Signature", "Date", "SignedHeaders"];
    for name in names {
        let name = format!("X-Amz-{name}");
        let include = format!(
            "400 IncompleteSignatureException AWS query-string parameters must include '{name}'. Re-examine the query-string parameters."
        );
        check(&change(&format!("{name}="), "other="), &requires, &include);
        check(&change(&format!("{name}="), &format!("{name}=1&{name}=")), &requires, &include);
        check(&change(&format!("{name}="), &format!("{name}=&other=")), &requires, &include);
    }
    check(&change("X-Amz-Expires=60", "other=60"), &requires, "400 ");
    check(
        &change("Algorithm=AWS4-HMAC-SHA256", "Algorithm=AWS4-HMAC-SHA1"),
        &query("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\""),
        "400 IncompleteSignatureException Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA1'.",
    );
    check(
        &change("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        "501 NotImplemented AWS4-ECDSA-P256-SHA256 (Signature Version 4A) is not supported here. Please use AWS4-HMAC-SHA256 with a single region.",
        "400 ",
    );
    let expires = "400 IncompleteSignatureException X-Amz-Expires must be a number";
    for (value, what) in [
        (
            "604801",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        ),
        (
            "99999999999999999999",
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds",
        ),
        ("-1", "X-Amz-Expires must be non-negative"),
        ("%2B1", "X-Amz-Expires should be a number"),
        ("1.5", "X-Amz-Expires should be a number"),
        ("-", "X-Amz-Expires should be a number"),
    ] {
        check(&change("Expires=60", &format!("Expires={value}")), &query(what), expires);
    }
    let parsing =
        |what: &str| query(&format!("Error parsing the X-Amz-Credential parameter; {what}"));
    check(
        &change("%2Fs3%2Faws4_request", ""),
        &parsing(
            "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".",
        ),
        "400 IncompleteSignatureException Credential must have",
    );
    check(
        &change("%2Fs3%2F", "%2Fiam%2F"),
        &parsing("incorrect service \"iam\". This endpoint belongs to \"s3\"."),
        "403 InvalidSignatureException ",
    );
    check(
        &change("us-east-1", "us-west-2"),
        &parsing("the region 'us-west-2' is wrong; expecting 'us-east-1'"),
        "403 InvalidSignatureException ",
    );
    check(
        &change("Date=20130524T", "Date=20130523T"),
        &query(
            "Invalid credential date \"20130524\". This date is not the same as X-Amz-Date: \"20130523\".",
        ),
        "403 InvalidSignatureException Date in Credential scope",
    );
    check(
        &change("Date=20130524T", "Date=20130524"),
        &query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""),
        "400 IncompleteSignatureException Date must be",
    );
}

#[test]
fn times_of_urls() {
    let check_at = |now: &str, s3: &str, json: &str| {
        let error = url().verify(EXAMPLE_SECRET, &expect_s3(at(now))).unwrap_err();
        assert_eq!(words(&error, Dialect::S3), s3);
        assert_eq!(words(&error, Dialect::Json), json);
        error.render(Dialect::S3).fields
    };
    let fields = check_at(
        "2013-05-24T00:01:01Z",
        "403 AccessDenied Request has expired",
        "400 InvalidSignatureException Signature expired: 20130524T000000Z is now earlier than 20130524T000001Z (20130524T000101Z - 1 min.)",
    );
    let expected = [
        ("X-Amz-Expires", "60"),
        ("Expires", "2013-05-24T00:01:00Z"),
        ("ServerTime", "2013-05-24T00:01:01Z"),
    ];
    assert_eq!(fields, expected.map(|(n, v)| (n, v.to_owned())));
    check_at(
        "2013-05-23T23:44:59Z",
        "403 AccessDenied Request is not yet valid",
        "400 InvalidSignatureException Signature not yet current: 20130524T000000Z is still later than 20130523T235959Z (20130523T234459Z + 15 min.)",
    );
    assert_eq!(url().verify(EXAMPLE_SECRET, &expect_s3(at("2013-05-23T23:45:00Z"))), Ok(()));
}

#[test]
fn more_than_one_way_and_old_ways() {
    let both = Request { query: url().query, ..signed() };
    check(
        &both,
        "400 InvalidArgument Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified",
        "400 IncompleteSignatureException Only one",
    );
    let old = Request::new("GET", "/?AWSAccessKeyId=A&Signature=b%3D&Expires=1", &[]);
    let text = "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.";
    check(
        &old,
        &format!("400 InvalidRequest {text}"),
        &format!("400 IncompleteSignatureException {text}"),
    );
    for target in
        ["/", "/?Signature=1&Expires=2", "/?AWSAccessKeyId=a", "/?X-Amz-Date=1&x-amz-signature=2"]
    {
        let anonymous = Request::new("GET", target, &[("host", "h")]);
        assert!(anonymous.head(|head| presented(head).unwrap().is_none()), "{target}");
    }
    let none = Request::new("GET", "/", &[]);
    check(
        &none,
        "403 AccessDenied Access Denied",
        "403 MissingAuthenticationTokenException Request is missing",
    );
}

/// A presigned URL must not let whoever uses it say that the body is framed.
#[test]
fn urls_do_not_change_the_payload() {
    let framed = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let error = url().with("x-amz-content-sha256", framed);
    let error = error.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))).unwrap_err();
    assert_eq!(error.cause, Cause::NotSigned("x-amz-content-sha256".to_owned()));
    for harmless in ["UNSIGNED-PAYLOAD", EMPTY_SHA256_HEX] {
        let request = url().with("x-amz-content-sha256", harmless);
        assert_eq!(request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))), Ok(()), "{harmless}");
        let payload = request.head(|head| presented(head).unwrap().unwrap().payload(Rules::S3));
        assert_eq!(payload, Payload::Unsigned);
    }
}

#[test]
fn a_mismatch_shows_what_was_signed() {
    let request = signed().set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let error = request.verify(EXAMPLE_SECRET, &expect_s3(at(NOW))).unwrap_err();
    let rendered = error.render(Dialect::S3);
    let canonical = "GET\n/key\n\nhost:b.localhost\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:20130524T000000Z\n\nhost;x-amz-content-sha256;x-amz-date\nUNSIGNED-PAYLOAD";
    let hash = base::hex::encode(&sha256(canonical.as_bytes()));
    let string =
        format!("AWS4-HMAC-SHA256\n20130524T000000Z\n20130524/us-east-1/s3/aws4_request\n{hash}");
    let fields: Vec<(&str, &str)> = rendered.fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    assert_eq!(rendered.code, "SignatureDoesNotMatch");
    assert_eq!(fields[0], ("AWSAccessKeyId", EXAMPLE_KEY));
    assert_eq!(fields[1], ("StringToSign", string.as_str()));
    assert_eq!((fields[2].0, fields[2].1.len()), ("SignatureProvided", 64));
    assert!(fields[3].1.starts_with("41 57 53 34 2d 48"), "{}", fields[3].1);
    assert_eq!(fields[4], ("CanonicalRequest", canonical));
    assert!(fields[5].1.ends_with("4c 4f 41 44"), "{}", fields[5].1);
    let long = words(&error, Dialect::Query);
    assert!(long.starts_with("403 SignatureDoesNotMatch The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for this request should have been\n'GET\n/key\n"));
    assert!(long.contains("\n\nThe String-to-Sign should have been\n'AWS4-HMAC-SHA256\n"));
}

#[test]
fn what_callers_raise() {
    let invalid = "The security token included in the request is invalid.";
    let expired = "The security token included in the request is expired";
    let causes = [
        Cause::UnknownKey("AKID".to_owned()),
        Cause::TokenInvalid("t".to_owned()),
        Cause::TokenExpired("t".to_owned()),
        Cause::NoCredentials,
    ];
    let check = |dialect: Dialect, expected: [&str; 4]| {
        for (cause, expected) in causes.iter().zip(expected) {
            assert_eq!(words(&AuthError::new(Place::Header, cause.clone()), dialect), expected);
        }
    };
    check(
        Dialect::S3,
        [
            "403 InvalidAccessKeyId The AWS Access Key Id you provided does not exist in our records.",
            "400 InvalidToken The provided token is malformed or otherwise invalid.",
            "400 ExpiredToken The provided token has expired.",
            "403 AccessDenied Access Denied",
        ],
    );
    check(
        Dialect::Json,
        [
            &format!("400 UnrecognizedClientException {invalid}"),
            &format!("400 UnrecognizedClientException {invalid}"),
            &format!("400 ExpiredTokenException {expired}"),
            "400 MissingAuthenticationTokenException Request is missing Authentication Token",
        ],
    );
    check(
        Dialect::Query,
        [
            &format!("403 InvalidClientTokenId {invalid}"),
            &format!("403 InvalidClientTokenId {invalid}"),
            &format!("403 ExpiredToken {expired}"),
            "403 MissingAuthenticationToken Request is missing Authentication Token",
        ],
    );
    check(
        Dialect::Ec2,
        [
            "401 AuthFailure AWS was not able to validate the provided access credentials",
            &format!("403 InvalidClientTokenId {invalid}"),
            "400 RequestExpired Request has expired.",
            "403 MissingAuthenticationToken Request is missing Authentication Token",
        ],
    );
    let body = AuthError::body_hash(&EMPTY_SHA256, &[0; 32]).render(Dialect::S3);
    assert_eq!((body.code, body.status), ("XAmzContentSHA256Mismatch", 400));
    assert_eq!(body.fields[0].1, EMPTY_SHA256_HEX);
}

#[test]
fn keys_do_not_show_themselves() {
    let shown = format!("{:?}", key());
    assert_eq!(shown, "SigningKey { scope: \"20130524/us-east-1/s3/aws4_request\", .. }");
    assert_eq!((key().scope(), key().date()), ("20130524/us-east-1/s3/aws4_request", "20130524"));
}
