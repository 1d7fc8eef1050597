//! Condition operators, after the tables of AWS's reference.

use crate::{Context, Kind, Named, Policies, Policy, Principal, Request, Value, evaluate};
use base::{AccountId, Timestamp};
use std::net::IpAddr;

fn context() -> Context<'static> {
    Context::new()
        .with("aws:username", "alice")
        .with("aws:PrincipalTag/team", "Red")
        .with("s3:max-keys", 10i64)
        .with("s3:prefix", "home/alice/x")
        .with("text-number", "1.5")
        .with("aws:CurrentTime", Timestamp::from_secs(1_500_000_000))
        .with("aws:EpochTime", 1_500_000_000i64)
        .with("text-date", "2017-07-14T02:40:00Z")
        .with("aws:SecureTransport", true)
        .with("text-bool", "FALSE")
        .with("aws:SourceIp", "203.0.113.9".parse::<IpAddr>().expect("an address"))
        .with("ip6", "2001:db8::5")
        .with("mapped", "::ffff:203.0.113.9")
        .with("aws:SourceArn", "arn:aws:sns:us-east-1:123456789012:topic:x")
        .with("binary", "QmluYXJ5VmFsdWU=")
        .with("empty", Vec::<Value<'_>>::new())
        .with("aws:TagKeys", vec!["stage".into(), "cost".into()])
}

fn holds(effect: &str, condition: &str) -> bool {
    let text = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"{effect}","Action":"*","Resource":"*","Condition":{condition}}},
            {{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"Null":{{"aws:username":"{}"}}}}}}]}}"#,
        effect == "Allow"
    );
    let policy = Policy::parse(Kind::Inline, &text).unwrap_or_else(|e| panic!("{e}: {condition}"));
    let principal = Principal::user(AccountId::DEFAULT, "arn:aws:iam::000000000000:user/alice");
    let context = context();
    let request = Request {
        principal: &principal,
        action: "s3:ListBucket",
        resource: "*",
        resource_account: None,
        context: &context,
    };
    let identity = [Named { policy: &policy, name: "p" }];
    let policies = Policies { identity: &identity, ..Policies::default() };
    // With `Deny` the second statement allows, so that the deny shows.
    evaluate(&request, &policies).is_allowed() == (effect == "Allow")
}

fn check(condition: &str, expected: bool) {
    assert_eq!(holds("Allow", condition), expected, "Allow {condition}");
    assert_eq!(holds("Deny", condition), expected, "Deny {condition}");
}

/// `operator key value`, the value in JSON.
fn table(lines: &str, expected: bool) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut parts = line.splitn(3, ' ');
        let mut next = || parts.next().expect("three parts");
        let condition = format!(r#"{{"{}":{{"{}":{}}}}}"#, next(), next(), next());
        check(&condition, expected);
    }
}

#[test]
fn strings() {
    table(
        r#"
        StringEquals aws:username "alice"
        stringequals AWS:UserName ["bob","alice"]
        StringEquals s3:prefix "home/${aws:username}/x"
        StringEquals aws:username "${aws:PrincipalTag/none, 'alice'}"
        StringNotEquals aws:username ["bob","carol"]
        StringEqualsIgnoreCase aws:PrincipalTag/Team "rED"
        StringNotEqualsIgnoreCase aws:PrincipalTag/Team "blue"
        StringLike s3:prefix ["x","home/*/?"]
        StringLike s3:prefix "home/${aws:username}/*"
        StringNotLike s3:prefix "work/*"
        StringEquals s3:max-keys "10"
        StringEquals aws:SecureTransport "true"
        StringEquals aws:SourceIp "203.0.113.9"
        "#,
        true,
    );
    table(
        r#"
        StringEquals aws:username "Alice"
        StringEquals aws:username "al*"
        StringEquals aws:username []
        StringNotEquals aws:username ["bob","alice"]
        StringNotEqualsIgnoreCase aws:PrincipalTag/Team ["blue","RED"]
        StringLike s3:prefix "Home/*"
        StringNotLike s3:prefix ["work/*","home/*"]
        StringEquals missing "alice"
        StringEquals empty ""
        StringLike missing "*"
        "#,
        false,
    );
}

#[test]
fn numbers_dates_booleans_and_bytes() {
    table(
        r#"
        NumericEquals s3:max-keys "10"
        NumericEquals s3:max-keys 10.0
        NumericEquals text-number ["1","1.50"]
        NumericNotEquals s3:max-keys "11"
        NumericLessThan s3:max-keys "10.5"
        NumericLessThanEquals s3:max-keys "10"
        NumericGreaterThan s3:max-keys "-3"
        NumericGreaterThanEquals text-number "1.5"
        DateEquals aws:CurrentTime "2017-07-14T02:40:00Z"
        DateEquals aws:CurrentTime "1500000000"
        DateEquals text-date "2017-07-14T04:40:00+02:00"
        DateNotEquals aws:CurrentTime "2017-07-14"
        DateLessThan aws:EpochTime "2017-07-15"
        DateLessThanEquals aws:EpochTime "1500000000"
        DateGreaterThan aws:CurrentTime "2017-07"
        DateGreaterThanEquals text-date "1500000000"
        Bool aws:SecureTransport "true"
        Bool aws:SecureTransport true
        Bool text-bool ["false"]
        BinaryEquals binary "QmluYXJ5VmFsdWU="
        Null missing "true"
        Null empty true
        Null aws:username "false"
        "#,
        true,
    );
    table(
        r#"
        NumericEquals s3:max-keys "11"
        NumericLessThan s3:max-keys "10"
        NumericEquals aws:username "10"
        NumericEquals s3:max-keys "inf"
        DateLessThan aws:CurrentTime "2017-07-14T02:40:00Z"
        DateEquals aws:username "1500000000"
        Bool aws:SecureTransport "false"
        Bool aws:SecureTransport "yes"
        Bool missing "false"
        BinaryEquals binary "QmluYXJ5VmFsdWX="
        Null missing "false"
        Null aws:username "true"
        NumericLessThan missing "10"
        "#,
        false,
    );
}

#[test]
fn addresses() {
    table(
        r#"
        IpAddress aws:SourceIp "203.0.113.0/24"
        IpAddress aws:SourceIp ["10.0.0.0/8","203.0.113.9"]
        IpAddress aws:SourceIp "0.0.0.0/0"
        IpAddress aws:SourceIp "203.0.113.77/24"
        IpAddress mapped "203.0.113.0/24"
        IpAddress aws:SourceIp "::ffff:203.0.113.0/120"
        IpAddress ip6 "2001:db8::/32"
        IpAddress ip6 "2001:DB8:0:0:0:0:0:5"
        NotIpAddress aws:SourceIp "10.0.0.0/8"
        NotIpAddress aws:SourceIp ["10.0.0.0/8","::/0"]
        NotIpAddress missing "10.0.0.0/8"
        "#,
        true,
    );
    table(
        r#"
        IpAddress aws:SourceIp "203.0.112.0/24"
        IpAddress aws:SourceIp "203.0.113.0/33"
        IpAddress aws:SourceIp "203.0.113.*"
        IpAddress aws:SourceIp "::/0"
        IpAddress ip6 "0.0.0.0/0"
        IpAddress aws:username "0.0.0.0/0"
        NotIpAddress aws:SourceIp ["10.0.0.0/8","203.0.113.9/32"]
        IpAddress missing "0.0.0.0/0"
        "#,
        false,
    );
}

#[test]
fn arns() {
    table(
        r#"
        ArnEquals aws:SourceArn "arn:aws:sns:us-east-1:123456789012:topic:x"
        ArnEquals aws:SourceArn "arn:aws:sns:*:*:topic:*"
        ArnLike aws:SourceArn "arn:aws:sns:us-*-1:123456789012:*"
        ArnNotEquals aws:SourceArn "arn:aws:sqs:*:*:*"
        ArnNotLike aws:SourceArn ["arn:aws:sqs:*","arn:aws:s3:::b"]
        ArnNotLike missing "arn:*"
        "#,
        true,
    );
    table(
        r#"
        ArnEquals aws:SourceArn "arn:aws:sns:*:topic:x"
        ArnLike aws:SourceArn "arn:aws:sns:us-east-1:*:Topic:*"
        ArnNotLike aws:SourceArn "arn:aws:sns:*"
        ArnLike aws:username "arn:aws:*:*:*:*"
        ArnLike missing "*"
        "#,
        false,
    );
}

#[test]
fn if_exists() {
    table(
        r#"
        StringEqualsIfExists missing "x"
        stringlikeifexists missing "x"
        BoolIfExists missing "true"
        NumericLessThanIfExists empty "1"
        StringNotEqualsIfExists missing "x"
        ForAnyValue:StringEqualsIfExists missing "x"
        StringEqualsIfExists aws:username "alice"
        "#,
        true,
    );
    table(
        r#"
        StringEqualsIfExists aws:username "bob"
        BoolIfExists aws:SecureTransport "false"
        StringNotEqualsIfExists aws:username "alice"
        "#,
        false,
    );
}

#[test]
fn sets() {
    table(
        r#"
        ForAllValues:StringEquals aws:TagKeys ["stage","cost","more"]
        ForAllValues:StringLike aws:TagKeys "*st*"
        ForAllValues:StringEquals missing "x"
        ForAllValues:StringEquals empty "x"
        ForAllValues:StringNotEquals missing "x"
        ForAllValues:StringNotEquals aws:TagKeys ["more"]
        ForAnyValue:StringEquals aws:TagKeys ["cost","more"]
        ForAnyValue:StringNotEquals aws:TagKeys "cost"
        ForAnyValue:StringEquals aws:username "alice"
        StringEquals aws:TagKeys "cost"
        StringNotEquals aws:TagKeys "more"
        StringNotEquals missing "x"
        StringNotLike empty "*"
        "#,
        true,
    );
    table(
        r#"
        ForAllValues:StringEquals aws:TagKeys ["stage"]
        ForAllValues:StringNotEquals aws:TagKeys ["cost"]
        ForAnyValue:StringEquals aws:TagKeys ["more"]
        ForAnyValue:StringEquals missing "x"
        ForAnyValue:StringNotEquals missing "x"
        ForAnyValue:StringNotEquals aws:TagKeys ["stage","cost"]
        StringNotEquals aws:TagKeys "cost"
        "#,
        false,
    );
}

#[test]
fn tests_add_up() {
    check(r#"{"StringEquals":{"aws:username":"alice","s3:prefix":"home/alice/x"}}"#, true);
    check(r#"{"StringEquals":{"aws:username":"alice","s3:prefix":"x"}}"#, false);
    check(
        r#"{"StringEquals":{"aws:username":"alice"},"Bool":{"aws:SecureTransport":"false"}}"#,
        false,
    );
    check(
        r#"{"StringEquals":{"aws:username":"alice"},"Bool":{"aws:SecureTransport":"true"}}"#,
        true,
    );
    check("{}", true);
}

#[test]
fn an_unknown_variable_never_widens_access() {
    for positive in [
        r#"{"StringEquals":{"aws:username":"${nobody}"}}"#,
        r#"{"StringLike":{"aws:username":"${nobody}*"}}"#,
        r#"{"ForAnyValue:StringLike":{"aws:TagKeys":"*${nobody}*"}}"#,
        r#"{"StringEquals":{"aws:username":"${aws:TagKeys}"}}"#,
    ] {
        check(positive, false);
    }
    for negated in [
        r#"{"StringNotEquals":{"aws:username":"${nobody}"}}"#,
        r#"{"StringNotLike":{"aws:username":["x","${nobody}*"]}}"#,
        r#"{"ArnNotLike":{"aws:SourceArn":"arn:aws:sns:*:*:${nobody}"}}"#,
    ] {
        assert!(!holds("Allow", negated), "{negated}");
        assert!(holds("Deny", negated), "{negated}");
    }
    check(r#"{"StringNotEquals":{"aws:username":["alice","${nobody}"]}}"#, false);
    check(r#"{"StringEquals":{"aws:username":["alice","${nobody}"]}}"#, true);
}
