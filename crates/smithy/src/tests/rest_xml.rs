use super::model::*;
use crate::http::Headers;
use crate::model::Protocol::RestXml;
use crate::value::Struct;
use base::Timestamp;
use std::collections::BTreeMap;

fn check_body(body: &str, expected: &str) {
    let text = shown(decode::<PutThing>(RestXml, false, &[], &[], body));
    let text = text.strip_prefix(r#"PutThing { Bucket: "b", Key: "k/1""#).unwrap_or(&text);
    assert_eq!(text.trim_start_matches(", "), expected, "{body}");
}

fn check_head(query: &[(&'static str, &'static str)], headers: &dyn Headers, expected: &str) {
    let text = shown(decode::<PutThing>(RestXml, false, query, headers, ""));
    let text = text.strip_prefix(r#"PutThing { Bucket: "b", Key: "k/1""#).unwrap_or(&text);
    assert_eq!(text.trim_start_matches(", "), expected);
}

#[test]
fn reads_heads() {
    check_head(&[], &[], " }");
    check_head(&[("count", "7"), ("fetch", "a"), ("fetch", "b"), ("x", "y")], &[("host", "h")], {
        r#"Count: 7, Fetch: ["a", "b"] }"#
    });
    check_head(
        &[],
        &[
            ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-tags", r#"a, "b,\"c", d"#),
            ("x-tags", "e"),
            ("x-times", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:38 GMT"),
            ("x-amz-meta-one", "1"),
            ("x-amz-meta-one", "2"),
            ("x-amz-meta-é", "ü"),
        ],
        "Since: 1994-11-06T08:49:37.000Z, Tags: [\"a\", \"b,\\\"c\", \"d\", \"e\"], \
         Times: [1994-11-06T08:49:37.000Z, 1994-11-06T08:49:38.000Z], \
         Metadata: {\"one\": \"1,2\", \"é\": \"ü\"} }",
    );
    check_head(&[("count", "x")], &[], "! 'x' is not a valid Integer for Count");
    check_head(&[("count", "2147483648")], &[], "! '2147483648' is not a valid Integer for Count");
    check_head(&[], &[("if-modified-since", "then")], " }");
    check_head(
        &[],
        &[("x-times", "then, now")],
        "! 'then, now' is not a valid Timestamp for Times",
    );
}

#[test]
fn reads_bodies() {
    check_body(
        "<PlanDocument xmlns='http://x/'><Owner>o &amp; p</Owner>\
         <Rule><ID>1</ID><Days> 3 </Days><On>TRUE</On><At>2026-11-20T17:30:00.250Z</At></Rule>\
         <Names><Name>x</Name><Name/></Names>\
         <Rule><Days>4</Days><Data>aGk=</Data><Size>9007199254740993</Size><Share>1e3</Share></Rule>\
         <Labels><entry><key>k</key><value>1</value></entry></Labels>\
         <Flat><key>a</key><value>b</value></Flat><Flat><key>c</key><value>d</value></Flat>\
         </PlanDocument>",
        "Plan: Plan { Owner: \"o & p\", Rules: [\
         Rule { ID: \"1\", Days: 3, On: true, At: 2026-11-20T17:30:00.250Z }, \
         Rule { Days: 4, Data: [2 bytes], Size: 9007199254740993, Share: 1000.0 }], \
         Names: [\"x\", \"\"], Labels: {\"k\": 1}, Flat: {\"a\": \"b\", \"c\": \"d\"} } }",
    );
    let attribute = "<Plan xmlns:i='u' i:type='Group' xmlns:type='n'><New><er>x</er></New>\
                     <Rule><Days>1</Days></Rule></Plan>";
    check_body(attribute, "Plan: Plan { Rules: [Rule { Days: 1 }], Type: \"Group\" } }");
}

#[test]
fn refuses_bodies() {
    let no_fit = "! The XML you provided was not well-formed or did not validate against our \
                  published schema";
    for body in [
        "x",
        "<Plan>",
        "<Other/>",
        "<Plan/><Plan/>",
        "<Plan>text</Plan>",
        "<Plan><Rule><Days>x</Days></Rule></Plan>",
        "<Plan><Rule><Days/></Rule></Plan>",
        "<Plan><Rule><Days><x/></Days></Rule></Plan>",
        "<Plan><Rule><On>yes</On></Rule></Plan>",
        "<Plan><Owner>a</Owner><Owner>b</Owner></Plan>",
        "<Plan><Flat><value>a</value><key>b</key></Flat></Plan>",
        "<Plan><Flat><key>b</key></Flat></Plan>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><Plan>&a;</Plan>",
    ] {
        check_body(body, no_fit);
    }
    let missing = "! 1 validation error detected: Value null at ";
    let not_null = " failed to satisfy constraint: Member must not be null";
    check_body("<Plan/>", &format!("{missing}'plan.rules'{not_null}"));
    let second = "<Plan><Rule><Days>1</Days></Rule><Rule/></Plan>";
    check_body(second, &format!("{missing}'plan.rules.2.member.days'{not_null}"));
}

fn check_response(output: &dyn Struct, expected: &str) {
    let service = service(&[RestXml], false, &[]);
    let response = crate::encode_response(RestXml, &service, &OPERATION, output, "id");
    let mut text = response.status.to_string();
    for (name, value) in &response.headers {
        text.push_str(&format!("|{name}: {value}"));
    }
    if let Some(content_type) = response.content_type {
        text.push_str(&format!("|({content_type})"));
    }
    let body = std::str::from_utf8(&response.body).unwrap();
    text.push_str(&format!("|{}", body.replace(DECLARATION, "?")));
    assert_eq!(text, expected);
}

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

#[test]
fn writes_heads() {
    check_response(&GetThingOutput::default(), "200|");
    let output = GetThingOutput {
        etag: Some("\"abc\"".into()),
        modified: Some(Timestamp::from_secs(784_111_777)),
        length: Some(5),
        tags: Some(vec!["a".into(), "b,c".into()]),
        metadata: Some(BTreeMap::from([("One".into(), "1".into())])),
        status: Some(206),
        ..Default::default()
    };
    check_response(
        &output,
        "206|etag: \"abc\"|last-modified: Sun, 06 Nov 1994 08:49:37 GMT|content-length: 5|\
         x-tags: a, \"b,c\"|x-amz-meta-one: 1|",
    );
}

#[test]
fn writes_bodies() {
    let plan = Plan {
        owner: Some("<o>".into()),
        rules: vec![
            Rule { id: Some("".into()), days: 1, on: Some(false), ..Default::default() },
            Rule {
                days: -2,
                at: Some(Timestamp::from_secs(0)),
                data: Some("hi".into()),
                share: Some(f64::NEG_INFINITY),
                ..Default::default()
            },
        ],
        names: Some(vec!["x".into()]),
        labels: Some(BTreeMap::from([("k".into(), 1)])),
        flat: Some(BTreeMap::from([("a".into(), "b".into())])),
        kind: Some("Group".into()),
    };
    let inside = "<Owner>&lt;o&gt;</Owner><Rule><ID/><Days>1</Days><On>false</On></Rule>\
                  <Rule><Days>-2</Days><At>1970-01-01T00:00:00.000Z</At><Data>aGk=</Data>\
                  <Share>-Infinity</Share></Rule><Names><Name>x</Name></Names>\
                  <Labels><entry><key>k</key><value>1</value></entry></Labels>\
                  <Flat><key>a</key><value>b</value></Flat>";
    let xsi = "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"Group\"";
    let ns = "xmlns=\"http://things.example/doc/\"";
    check_response(
        &PlanOutput { plan: Some(plan.clone()) },
        &format!("200|(application/xml)|?<PlanResult {ns} {xsi}>{inside}</PlanResult>"),
    );
    check_response(
        &ListOutput { name: Some("n".into()), plan: Some(plan) },
        &format!(
            "200|(application/xml)|?<ListResult {ns}><Name>n</Name>\
             <Plan {xsi}>{inside}</Plan></ListResult>"
        ),
    );
    check_response(&PlanOutput::default(), "200|");
    let place = LocationOutput { place: Some("eu-west-1".into()) };
    check_response(&place, &format!("200|(application/xml)|?<Where {ns}>eu-west-1</Where>"));
    let nowhere = format!("200|(application/xml)|?<Where {ns}></Where>");
    check_response(&LocationOutput::default(), &nowhere);
}

#[test]
fn can_refuse_unknown_elements() {
    let service = service(&[], false, &[]);
    let body = bytes::Bytes::from_static(b"<Plan><Rule><Days>1</Days><New/></Rule></Plan>");
    let request = crate::Request { labels: &[], query: &[], headers: &[], body: &body };
    for (refuse, accepted) in [(false, true), (true, false)] {
        let settings =
            crate::Settings { refuse_unknown_elements: refuse, ..crate::Settings::default() };
        let mut input = Plan::default();
        let result = crate::decode_request_with(settings, RestXml, &service, &request, &mut input);
        assert_eq!(result.is_ok(), accepted);
    }
}
