//! What is no policy, and in whose words. The cases are those on which AWS was seen to answer.

use crate::{Kind, POLICY_TEXT_BYTES_MAX, Policy};

fn check(kind: Kind, text: &str, expected: &str) {
    match Policy::parse(kind, text) {
        Ok(_) => assert_eq!(expected, "", "accepted: {text}"),
        Err(error) => assert_eq!(error.to_string(), expected, "{text}"),
    }
}

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";
const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
const VERSION: &str = "Policy document must be version 2012-10-17 or greater.";
const OK: &str = "";

fn resource(text: &str, expected: &str) {
    let json = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"s3:ListBucket","Resource":{text}}}}}"#
    );
    check(Kind::Managed, &json, expected);
}

fn action(text: &str, expected: &str) {
    let json = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":{text},"Resource":"*"}}}}"#
    );
    check(Kind::Managed, &json, expected);
}

fn condition(text: &str, expected: &str) {
    let json = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{text}}}}}"#
    );
    check(Kind::Managed, &json, expected);
}

#[test]
fn documents() {
    let good = r#"{"Effect":"Allow","Action":"s3:*","Resource":"*"}"#;
    for text in ["no policy", "", "[]", "\"x\"", "{}", r#"{"Version":"2012-10-17"}"#] {
        check(Kind::Managed, text, SYNTAX);
    }
    for (text, expected) in [
        (r#"{"Version":"2013-10-17","Statement":S}"#, SYNTAX),
        (r#"{"Version":2012,"Statement":S}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":[]}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":["x"]}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":S,"Extra":"x"}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":S,"Statement":S}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Id":{},"Statement":S}"#, SYNTAX),
        (r#"{"Version":"2012-10-17","Id":"x","Statement":[S,S]}"#, OK),
        (r#"{"Version":"2008-10-17","Statement":S}"#, VERSION),
        (r#"{"Statement":S}"#, VERSION),
    ] {
        let text = text.replace(":S", &format!(":{good}"));
        check(Kind::Managed, &text.replace("[S,S]", &format!("[{good},{good}]")), expected);
    }
    check(Kind::Inline, &format!(r#"{{"Statement":{good}}}"#), OK);
    check(Kind::Session, &format!(r#"{{"Version":"2008-10-17","Statement":{good}}}"#), OK);
}

#[test]
fn statements() {
    let a = r#""Action":"s3:ListBucket""#;
    let r = r#""Resource":"arn:aws:s3:::b""#;
    let case = |inner: &str, expected: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":{{{inner}}}}}"#);
        check(Kind::Managed, &text, expected);
    };
    case(&format!(r#""Effect":"invalid",{a},{r}"#), SYNTAX);
    case(&format!(r#"{a},{r}"#), SYNTAX);
    case(&format!(r#""Effect":"denY",{a},{r}"#), LEGACY);
    case(&format!(r#""Effect":"Allow",{a},{r},"Extra":"x""#), SYNTAX);
    case(&format!(r#""Effect":"Allow",{a},{r},"NotResource":[]"#), SYNTAX);
    case(&format!(r#""Effect":"Allow",{a},"NotAction":"s3:x",{r}"#), SYNTAX);
    case(&format!(r#""Effect":"Allow",{a},"Resource":{{"a":"*"}}"#), SYNTAX);
    case(&format!(r#""Effect":"Allow",{a},"Resource":["x",{{}}]"#), SYNTAX);
    case(&format!(r#""Effect":"Allow","Action":[[]],{r}"#), SYNTAX);
    case(&format!(r#""Effect":"Allow","Action":{{}},{r}"#), SYNTAX);
    case(&format!(r#""Sid":[],"Effect":"Allow",{a},{r}"#), SYNTAX);
    case(&format!(r#""Effect":"Allow",{a}"#), "Policy statement must contain resources.");
    case(
        &format!(r#""Effect":"Allow",{a},"Resource":[]"#),
        "Policy statement must contain resources.",
    );
    case(r#""Effect":"Allow","Action":"invalid""#, VENDOR);
    case(&format!(r#""Effect":"Allow",{r}"#), "Policy statement must contain actions.");
    case(r#""Effect":"Allow""#, "Policy statement must contain actions.");
    case(&format!(r#""Effect":"Allow","Action":[],{r}"#), "Policy statement must contain actions.");
    case(r#""Effect":"Allow","Resource":"arn:aws:s3::b""#, LEGACY);
    case(r#""Effect":"allow","Resource":"arn:aws:s3:us-east-1::b""#, LEGACY);
    case(
        &format!(r#""Effect":"Allow",{a},{r},"Principal":"*""#),
        "Policy document should not specify a principal.",
    );
    case(
        &format!(r#""Sid":"a b","Effect":"Allow",{a},{r}"#),
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
    );
    check(
        Kind::Managed,
        &format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"s","Effect":"Allow",{a},{r}}},{{"Sid":"s","Effect":"Allow"}}]}}"#
        ),
        "Statement IDs (SID) in a single policy must be unique.",
    );
    case(r#""Sid":"","Effect":"Deny","NotAction":"iam:*","NotResource":"*""#, OK);
}

#[test]
fn resources() {
    let no_arn = |text: &str| format!("Resource {text} must be in ARN format or \"*\".");
    resource(r#""invalid resource""#, &no_arn("invalid resource"));
    resource(r#""""#, &no_arn(""));
    resource(r#"["adf"]"#, &no_arn("adf"));
    let partition = |name: &str, arn: &str| {
        format!("Partition \"{name}\" is not valid for resource \"{arn}\".")
    };
    resource(r#""a:xyz""#, &partition("xyz", "arn:xyz:*:*:*:*"));
    resource(r#""a:b:xyz""#, &partition("b", "arn:b:xyz:*:*:*"));
    resource(r#""a:b:c:d:e:f:g:h""#, &partition("b", "arn:b:c:d:e:f:g:h"));
    resource(r#""aws:s3:::b""#, &partition("s3", "arn:s3:::b:*"));
    resource(r#"["arn:error:s3:::b","arn:error:s3::b"]"#, &partition("error", "arn:error:s3:::b"));
    resource(r#""arn:aws""#, "Resource vendor must be fully qualified and cannot contain regexes.");
    resource(
        r#""arn:aws:*:::x""#,
        "Resource vendor must be fully qualified and cannot contain regexes.",
    );
    resource(r#""arn:aws:s3::b""#, LEGACY);
    resource(r#""arn:aws::::b""#, LEGACY);
    resource(r#""arn:aws::b""#, LEGACY);
    resource(
        r#""arn:aws:iam:us-east-1::user/b""#,
        "IAM resource arn:aws:iam:us-east-1::user/b cannot contain region information.",
    );
    resource(
        r#""arn:aws:s3:us-east-1::b""#,
        "Resource arn:aws:s3:us-east-1::b can not contain region information.",
    );
    resource(
        r#""arn:aws:iam:::b""#,
        "IAM resource path must either be \"*\", root, or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.",
    );
    for good in [
        "*",
        "arn:aws:s3:::b",
        "arn:aws:iam:::user/b",
        "arn:aws:s33:::b",
        "arn:aws:fdsasf",
        "arn:*:s3:::b",
        "arn:aws:cloudwatch:us-east-1::b",
        "arn:aws:iam::*:user/${aws:username}",
        "arn:aws-cn:s3:::b",
        "arn:aws:s3:us-east-1:123456789012:accesspoint/a",
        "arn:aws:iam::123456789012:root",
    ] {
        resource(&format!("\"{good}\""), OK);
    }
}

#[test]
fn actions() {
    action(r#""invalid""#, VENDOR);
    action(r#""""#, VENDOR);
    action(r#""a a:x""#, "Vendor a a is not valid");
    action(r#""s3:List:Bucket""#, "Actions/Condition can contain only one colon.");
    for good in ["*", "*:*", "s3:*", "iam: as df ", "s3-s:x", "s3.s:x", "s3:Get?bject"] {
        action(&format!("\"{good}\""), OK);
    }
    action(r#"["s3:*","ec2:*"]"#, OK);
}

#[test]
fn conditions() {
    for bad in [
        "[]",
        "\"a\"",
        r#"{"a":"b"}"#,
        r#"{"DateGreaterThan":"b"}"#,
        r#"{"DateGreaterThan":[]}"#,
        r#"{"x":{"a":"1"}}"#,
        r#"{"DateGreaterThan":{"a":{}}}"#,
        r#"{"ForAnyValue::StringEqualsIfExists":{"a":"x"}}"#,
        r#"[{"ForAllValues:StringEquals":{"aws:TagKeys":"x"}}]"#,
        r#"{"NullIfExists":{"a":"true"}}"#,
        r#"{"StringEquals":{"a":null}}"#,
        r#"{"StringEquals":{"a":["b",["c"]]}}"#,
        r#"{"ForSomeValues:StringEquals":{"a":"b"}}"#,
        r#"{"StringEquals":{"a":"b","a":"c"}}"#,
    ] {
        condition(bad, SYNTAX);
    }
    for date in [
        "sdfdsf",
        "234-13",
        "2016-12-13t2:00:00.593194+1",
        "2016-12-13t2:00:00.1999999999+10:59",
        "9223372036854775808",
        "2016-12-13T24:00",
        "2016-01-01-01",
    ] {
        condition(&format!(r#"{{"DateLessThan":{{"a":"{date}"}}}}"#), LEGACY);
    }
    for date in [
        "01T",
        "2019-07-01T13:20:15Z",
        "2016-12-13T21:20:37.593194+00:00",
        "2016-12-13t2:00:00.593194+23",
        "-292275054",
        "1500000000",
    ] {
        condition(&format!(r#"{{"DateLessThan":{{"a":"{date}"}}}}"#), OK);
    }
    for good in [
        "{}",
        r#"{"DateGreaterThan":{}}"#,
        r#"{"DateGreaterThan":{"a":[]}}"#,
        r#"{"a":{}}"#,
        r#"{"ForAnyValue:StringEqualsIfExists":{"a":"x"}}"#,
        r#"{"Bool":{"aws:SecureTransport":false}}"#,
        r#"{"NumericLessThan":{"s3:max-keys":10}}"#,
    ] {
        condition(good, OK);
    }
}

#[test]
fn trust() {
    let case = |inner: &str, expected: &str| {
        let text = format!(r#"{{"Version":"2012-10-17","Statement":[{{{inner}}}]}}"#);
        check(Kind::Trust, &text, expected);
    };
    let (e, a) = (r#""Effect":"Allow""#, r#""Action":"sts:AssumeRole""#);
    let p = r#""Principal":{"AWS":"123456789012"}"#;
    check(Kind::Trust, "{invalid", "This policy contains invalid Json");
    check(Kind::Trust, "{}", "Missing required field Statement");
    check(Kind::Trust, r#"{"Statement":[]}"#, "Could not parse the policy: Statement is empty!");
    check(
        Kind::Trust,
        r#"{"Version":"1","Statement":[]}"#,
        "The policy must contain a valid version string",
    );
    check(Kind::Trust, r#"{"Extra":1}"#, "Unknown field Extra");
    case(&format!("{e},{p},{a}"), OK);
    case(&format!("{e},{a}"), "Missing required field Principal");
    case(&format!("{p},{a}"), "Missing required field Effect");
    case(&format!("{e},{p}"), "Missing required field Action");
    case(&format!(r#""Effect":"Maybe",{p},{a}"#), "Invalid effect: Maybe");
    case(
        &format!(r#"{e},"Principal":{{}},{a}"#),
        "Missing required field Principal cannot be empty!",
    );
    case(&format!(r#"{e},"Principal":"*",{a}"#), "Principal must be a JSON object.");
    case(&format!(r#"{e},{p},{a},"Resource":"*""#), "Has prohibited field Resource");
    case(
        &format!(r#"{e},{p},{a},"NotResource":"*""#),
        "AssumeRole policy must not contain resources.",
    );
    let sts = "AssumeRole policy may only specify STS AssumeRole actions.";
    case(&format!(r#"{e},{p},"Action":"*""#), sts);
    case(&format!(r#"{e},{p},"Action":["sts:AssumeRole","s3:x"]"#), sts);
    case(
        &format!(r#"{e},"NotPrincipal":{{"AWS":"*"}},{a}"#),
        "Allow with NotPrincipal is not allowed.",
    );
    case(
        &format!(r#""Effect":"Deny","NotPrincipal":{{"AWS":"*"}},{a}"#),
        "AssumeRole policy must not contain NotPrincipal field.",
    );
    case(&format!(r#"{e},{p},{a},"Foo":1"#), "Unknown field Foo");
    let principal =
        |json: &str, expected: &str| case(&format!(r#"{e},"Principal":{json},{a}"#), expected);
    principal(
        r#"{"AWS":"arn:aws::iam::123456789012:root"}"#,
        "Invalid principal in policy: \"AWS\":\"arn:aws::iam::123456789012:root\"",
    );
    principal(
        r#"{"AWS":"arn:aws:iam::123456789012:user/*"}"#,
        "Invalid principal in policy: \"AWS\":\"arn:aws:iam::123456789012:user/*\"",
    );
    principal(r#"{"Service":"lambda"}"#, "Invalid principal in policy: \"SERVICE\":\"lambda\"");
    principal(r#"{"CanonicalUser":"x"}"#, "Invalid principal in policy: \"CanonicalUser\"");
    principal(
        r#"{"Federated":"cognito-identity.amazonaws.com"}"#,
        "A condition block must be present for the Cognito provider",
    );
    for good in [
        r#"{"AWS":"*"}"#,
        r#"{"AWS":["arn:aws:iam::123456789012:role/a/b","AROAJQABLZS4A3QDU576Q"]}"#,
        r#"{"Service":["lambda.amazonaws.com","ec2.amazonaws.com.cn"]}"#,
        r#"{"Federated":"accounts.google.com"}"#,
        r#"{"AWS":"arn:aws:sts::123456789012:assumed-role/r/s"}"#,
    ] {
        principal(good, OK);
    }
}

#[test]
fn bucket_policies() {
    let case = |inner: &str, expected: &str| {
        let text = format!(r#"{{"Statement":[{{"Effect":"Allow",{inner}}}]}}"#);
        let found = Policy::check_bucket(&text, "b").err().map(|error| error.to_string());
        assert_eq!(found.unwrap_or_default(), expected, "{text}");
    };
    let (p, a, r) =
        (r#""Principal":"*""#, r#""Action":"s3:GetObject""#, r#""Resource":"arn:aws:s3:::b/*""#);
    check(Kind::Bucket, "x", "Policies must be valid JSON and the first byte must be '{'");
    check(Kind::Bucket, "{x", "This policy contains invalid Json");
    check(Kind::Bucket, r#"{"Id":"a","Id":"b"}"#, "Statement/policy already has instance of Id");
    case(&format!("{p},{a},{r}"), "");
    case(&format!("{a},{r}"), "Missing required field Principal");
    case(&format!("{p},{r}"), "Missing required field Action");
    case(&format!("{p},{a}"), "Missing required field Resource");
    case(&format!(r#"{p},{a},"Resource":[]"#), "Missing required field Resource cannot be empty!");
    case(&format!(r#"{p},{a},{r},"Foo":1"#), "Unknown field Foo");
    case(&format!(r#"{p},"Action":"sqs:SendMessage",{r}"#), "Policy has invalid action");
    case(&format!(r#"{p},"Action":"GetObject",{r}"#), "Policy has invalid action");
    for bad in [
        "b/*",
        "arn:aws:s3:::other/*",
        "arn:aws:s3:::bb",
        "arn:aws:sqs:::b",
        "arn:aws:s3:::",
        "arn:aws:s3:us-east-1::b",
    ] {
        case(&format!(r#"{p},{a},"Resource":"{bad}""#), "Policy has invalid resource");
    }
    let mismatch = "Action does not apply to any resource(s) in statement";
    case(&format!(r#"{p},"Action":"s3:ListBucket",{r}"#), mismatch);
    case(&format!(r#"{p},{a},"Resource":"arn:aws:s3:::b""#), mismatch);
    case(&format!(r#"{p},"Action":["s3:*","s3:get*"],"Resource":"arn:aws:s3:::b""#), "");
    case(&format!(r#"{p},"Action":"s3:ListBucket","Resource":["arn:aws:s3:::b*"]"#), "");
    for bad in [
        r#""me""#,
        r#"{"AWS":[]}"#,
        r#"{"Who":"x"}"#,
        r#"{"AWS":"bob"}"#,
        "[]",
        r#"{"AWS":"arn:aws:s3:::x"}"#,
    ] {
        case(&format!(r#""Principal":{bad},{a},{r}"#), "Invalid principal in policy");
    }
    case(
        &format!(r#"{p},{a},{r},"Condition":{{"IpAddres":{{"aws:SourceIp":"::/0"}}}}"#),
        "Invalid Condition type : IpAddres",
    );
    let big = format!(r#"{p},{a},{r},"Sid":"{}""#, "x".repeat(20_480));
    case(&big, "Policy exceeds the maximum allowed document size.");
}

#[test]
fn sizes() {
    let managed = |length: usize| {
        let fill = "x".repeat(length);
        format!(
            "{{\"Version\":\"2012-10-17\",{}\"Statement\":{{\"Sid\":\"{fill}\",\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}}}",
            " ".repeat(10_000)
        )
    };
    let overhead = Policy::counted_size(&managed(0));
    check(Kind::Managed, &managed(6_144 - overhead), OK);
    check(Kind::Managed, &managed(6_145 - overhead), "Cannot exceed quota for PolicySize: 6144");
    check(Kind::Inline, &managed(6_145), OK);
    check(
        Kind::Trust,
        &" ".repeat(POLICY_TEXT_BYTES_MAX + 1),
        "Cannot exceed quota for ACLSizePerRole: 2048",
    );
}
