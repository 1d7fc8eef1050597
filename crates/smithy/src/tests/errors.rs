use super::model::*;
use crate::error::{ErrorParts, encode_error};
use crate::model::Protocol::{self, *};
use crate::model::ServiceModel;
use crate::shape::*;
use crate::value::Struct;

structure!(NoSuchThing {
    message: Option<String> = m("message", "message", STRING),
    thing: Option<String> = m("Thing", "Thing", STRING),
});

fn check(protocol: Protocol, service: &ServiceModel, fault: Fault, expected: &str) {
    let members = NoSuchThing { message: Some("ignored".into()), thing: Some("t&u".into()) };
    let members: &dyn Struct = &members;
    let parts = ErrorParts {
        name: "NoSuchThing",
        code: "Things.NoSuchThing",
        status: 404,
        fault,
        message: "It is <not> there",
        members: Some(members),
        extra: &[("Resource", "/b/k".into())],
        request_id: "id-1",
        host_id: Some("host"),
    };
    let response = encode_error(protocol, service, &parts);
    assert_eq!(response.status, 404);
    let mut text = String::new();
    for (name, value) in &response.headers {
        text.push_str(&format!("{name}: {value}|"));
    }
    text.push_str(&format!("({})|", response.content_type.unwrap_or("-")));
    let body = String::from_utf8_lossy(&response.body);
    text.push_str(&body.replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "?"));
    assert_eq!(text, expected);
}

#[test]
fn writes_xml_errors() {
    let things = service(&[], false, &[]);
    let s3 = ServiceModel { name: "s3", ..service(&[], false, &[]) };
    check(
        RestXml,
        &s3,
        Fault::Sender,
        "(application/xml)|?<Error><Code>Things.NoSuchThing</Code>\
         <Message>It is &lt;not&gt; there</Message><Thing>t&amp;u</Thing>\
         <Resource>/b/k</Resource><RequestId>id-1</RequestId><HostId>host</HostId></Error>",
    );
    let generic = "<ErrorResponse xmlns=\"http://things.example/doc/\"><Error><Type>Receiver</Type>\
                   <Code>Things.NoSuchThing</Code><Message>It is &lt;not&gt; there</Message>\
                   <Thing>t&amp;u</Thing><Resource>/b/k</Resource></Error>\
                   <RequestId>id-1</RequestId></ErrorResponse>";
    check(RestXml, &things, Fault::Receiver, &format!("(application/xml)|?{generic}"));
    check(AwsQuery, &things, Fault::Receiver, &format!("(text/xml)|{generic}"));
    check(
        Ec2Query,
        &things,
        Fault::Sender,
        "(text/xml)|?<Response><Errors><Error><Code>Things.NoSuchThing</Code>\
         <Message>It is &lt;not&gt; there</Message></Error></Errors>\
         <RequestID>id-1</RequestID></Response>",
    );
}

#[test]
fn writes_json_errors() {
    let things = service(&[], false, &[]);
    let compatible = ServiceModel { query_compatible: true, ..service(&[], false, &[]) };
    let body = r#""message":"It is <not> there","Thing":"t&u","Resource":"/b/k"}"#;
    check(
        AwsJson10,
        &things,
        Fault::Sender,
        &format!(
            "(application/x-amz-json-1.0)|\
             {{\"__type\":\"com.amazonaws.things.v20200108#NoSuchThing\",{body}"
        ),
    );
    check(
        AwsJson11,
        &compatible,
        Fault::Sender,
        &format!(
            "x-amzn-query-error: Things.NoSuchThing;Sender|(application/x-amz-json-1.1)|\
             {{\"__type\":\"NoSuchThing\",{body}"
        ),
    );
    check(
        RestJson1,
        &things,
        Fault::Sender,
        &format!("x-amzn-errortype: NoSuchThing|(application/json)|{{{body}"),
    );
}
