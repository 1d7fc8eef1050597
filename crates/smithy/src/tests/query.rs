use super::model::*;
use crate::model::Protocol::{AwsQuery, Ec2Query};
use crate::model::{Operation, Protocol, ServiceModel};
use crate::shape::*;
use crate::value::Struct;
use base::Timestamp;
use std::collections::BTreeMap;

fn check(protocol: Protocol, form: &str, expected: &str) {
    let text = shown(decode::<Plan>(protocol, false, &[("Version", "2020-01-08")], &[], form));
    assert_eq!(text, expected, "{form}");
}

#[test]
fn reads_aws_forms() {
    check(
        AwsQuery,
        "Action=MakePlan&Owner=a+b%26c&Rule.2.Days=2&Rule.1.Days=1&Rule.999999999.Days=3\
         &Rule.1.At=2026-11-20T17%3A30%3A00Z&Rule.1.Data=aGk%3D&Rule.2.On=True\
         &Names.Name.1=x&Names.member.2=y&Labels.entry.1.key=k&Labels.entry.1.value=4\
         &Flat.1.value=w&Flat.1.key=v&Nothing.1=z&%78=y\n",
        "Plan { Owner: \"a b&c\", Rules: [\
         Rule { Days: 1, At: 2026-11-20T17:30:00.000Z, Data: [2 bytes] }, \
         Rule { Days: 2, On: true }, Rule { Days: 3 }], Names: [\"x\", \"y\"], \
         Labels: {\"k\": 4}, Flat: {\"v\": \"w\"} }",
    );
    check(AwsQuery, "Rule.1.Days=1&Names=", "Plan { Rules: [Rule { Days: 1 }], Names: [] }");
    check(AwsQuery, "Rule.1.Days=1&Rule.1.Days=2", "Plan { Rules: [Rule { Days: 2 }] }");
    check(AwsQuery, "Rule=", "Plan { Rules: [] }");
}

#[test]
fn reads_ec2_forms() {
    check(
        Ec2Query,
        "Action=MakePlan&Rule.1.Days=1&Names.1=a&Names.2=b",
        "Plan { Rules: [Rule { Days: 1 }], Names: [\"a\", \"b\"] }",
    );
    let text =
        shown(decode::<Run>(Ec2Query, false, &[], &[], "ImageId=i&InstanceKind=t&N.1.Key=k"));
    assert_eq!(text, "Run { imageId: \"i\", kind: \"t\", names: [Tagging { key: \"k\" }] }");
}

#[test]
fn refuses_forms() {
    check(AwsQuery, "Rule.x.Days=1", "! Rules is a list and needs numbered keys");
    check(AwsQuery, "Rule.-1.Days=1", "! Rules is a list and needs numbered keys");
    check(AwsQuery, "Rule.99999999999.Days=1", "! Rules is a list and needs numbered keys");
    check(AwsQuery, "Rule.1.Days=one", "! 'one' is not a valid Integer for Days");
    check(AwsQuery, "Rule.1=x", "! Rules is a structure");
    check(AwsQuery, "Rule=x", "! Rules is a list and needs numbered keys");
    check(AwsQuery, "Rule.1.Days.x=1", "! Days is not a structure or list");
    check(AwsQuery, "Flat.1.value=1", "! Flat has an entry without key");
    check(AwsQuery, "Flat.1.key=1", "! Flat has an entry without value");
    check(AwsQuery, "Owner=%ff", "! the request's form is not UTF-8");
    let missing = "! 1 validation error detected: Value null at 'rules.2.member.days' failed to \
                   satisfy constraint: Member must not be null";
    check(AwsQuery, "Rule.1.Days=1&Rule.2.On=true", missing);
    let deep = format!("{}Days=1", "Inner.".repeat(300));
    let text = shown(decode::<Nest>(AwsQuery, false, &[], &[], &deep));
    assert_eq!(text, "! too large: nesting");
    let many = "a=b&".repeat(100_001);
    let text = shown(decode::<Nest>(AwsQuery, false, &[], &[], &many));
    assert_eq!(text, "! too large: parameters");
}

fn check_response(protocol: Protocol, operation: &Operation, output: &dyn Struct, expected: &str) {
    let service = service(&[], false, &[]);
    let response = crate::encode_response(protocol, &service, operation, output, "id-1");
    assert_eq!(response.content_type, Some("text/xml"));
    assert_eq!(std::str::from_utf8(&response.body).unwrap(), expected);
}

#[test]
fn writes_responses() {
    let plan = Plan {
        owner: Some("o".into()),
        rules: vec![Rule { at: Some(Timestamp::from_secs(0)), ..Default::default() }],
        names: Some(Vec::new()),
        labels: Some(BTreeMap::from([("k".into(), 1)])),
        ..Default::default()
    };
    check_response(
        AwsQuery,
        &OPERATION,
        &plan,
        "<MakePlanResponse xmlns=\"http://things.example/doc/\"><MakePlanResult><Owner>o</Owner>\
         <Rule><Days>0</Days><At>1970-01-01T00:00:00Z</At></Rule><Names/>\
         <Labels><entry><key>k</key><value>1</value></entry></Labels></MakePlanResult>\
         <ResponseMetadata><RequestId>id-1</RequestId></ResponseMetadata></MakePlanResponse>",
    );
    check_response(
        AwsQuery,
        &OPERATION,
        &GetThingOutput::default(),
        "<MakePlanResponse xmlns=\"http://things.example/doc/\"><ResponseMetadata>\
         <RequestId>id-1</RequestId></ResponseMetadata></MakePlanResponse>",
    );
    check_response(
        Ec2Query,
        &OPERATION,
        &plan,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <MakePlanResponse xmlns=\"http://things.example/doc/\"><requestId>id-1</requestId>\
         <Owner>o</Owner><Rule><Days>0</Days><At>1970-01-01T00:00:00.000Z</At></Rule><Names/>\
         <Labels><entry><key>k</key><value>1</value></entry></Labels></MakePlanResponse>",
    );
}

#[test]
fn writes_whole_seconds_where_a_service_does() {
    let at = Timestamp::from_millis(1_234);
    let plan =
        Plan { rules: vec![Rule { at: Some(at), ..Default::default() }], ..Default::default() };
    for (whole_seconds, expected) in [(false, "00:00:01.234Z"), (true, "00:00:01Z")] {
        let service = ServiceModel { whole_seconds, ..service(&[], false, &[]) };
        let response = crate::encode_response(AwsQuery, &service, &OPERATION, &plan, "id-1");
        let text = std::str::from_utf8(&response.body).unwrap();
        assert!(text.contains(&format!("<At>1970-01-01T{expected}</At>")), "{text}");
    }
}

static TAGGINGS: ListShape = list(Shape::Struct(Tagging::SHAPE), Some("item"), false);

structure!(Run {
    image: Option<String> = m("imageId", "imageId", STRING),
    kind: Option<String> = Member { ec2: Some("InstanceKind"), ..m("kind", "kind", STRING) },
    names: Option<Vec<Tagging>> = Member { ec2: Some("N"), ..m("names", "nameSet", Shape::List(&TAGGINGS)) },
});

structure!(Tagging {
    key: Option<String> = m("key", "key", STRING),
});

structure!(Nest {
    inner: Option<Box<Nest>> = m("Inner", "Inner", Shape::Struct(Nest::SHAPE)),
    days: Option<i32> = m("Days", "Days", INTEGER),
});
