//! Errors in each protocol's form.

use crate::aws_json;
use crate::cbor;
use crate::codec::{cbor_protocol, json_type};
use crate::http::Response;
use crate::json;
use crate::model::{Protocol, ServiceModel};
use crate::object::{self, Sink};
use crate::shape::{Fault, Member};
use crate::value::{Struct, Value};
use crate::xml;
use bytes::Bytes;

/// Everything that can be said of an error.
#[derive(Clone, Copy)]
pub struct ErrorParts<'a> {
    /// The shape's name, which the JSON and CBOR protocols send.
    pub name: &'a str,
    /// The code, which the XML protocols send; mostly the same.
    pub code: &'a str,
    pub status: u16,
    pub fault: Fault,
    pub message: &'a str,
    /// The modelled members, if the error has a shape with any.
    pub members: Option<&'a dyn Struct>,
    /// More elements or members, in that order: `BucketName`, `Resource`.
    pub extra: &'a [(&'static str, String)],
    pub request_id: &'a str,
    /// S3 sends one beside the request id.
    pub host_id: Option<&'a str>,
}

/// An error as the client of that protocol expects it.
pub fn encode_error(
    protocol: Protocol,
    service: &ServiceModel,
    error: &ErrorParts<'_>,
) -> Response {
    let mut response = Response { status: error.status, ..Response::default() };
    response.body = match protocol {
        Protocol::RestXml if service.name == "s3" => s3(error).into(),
        Protocol::RestXml => error_response(service, error, true).into(),
        Protocol::AwsQuery => error_response(service, error, false).into(),
        Protocol::Ec2Query => ec2(error).into(),
        Protocol::RestJson1 => {
            response.headers.push(("x-amzn-errortype".into(), error.name.to_owned()));
            json(None, error)
        }
        Protocol::AwsJson10 => json(Some(&qualified(service, error.name)), error),
        Protocol::AwsJson11 => json(Some(error.name), error),
        Protocol::RpcV2Cbor => {
            response.headers.push(cbor_protocol());
            cbor(&qualified(service, error.name), error)
        }
    };
    if service.query_compatible && !is_xml(protocol) {
        let text = format!("{};{}", error.code, side(error.fault));
        response.headers.push(("x-amzn-query-error".into(), text));
    }
    response.content_type = Some(match protocol {
        Protocol::RpcV2Cbor => "application/cbor",
        Protocol::RestXml => "application/xml",
        Protocol::AwsQuery | Protocol::Ec2Query => "text/xml",
        _ => json_type(protocol),
    });
    response
}

fn is_xml(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::RestXml | Protocol::AwsQuery | Protocol::Ec2Query)
}

/// Errors that come from the framework under every AWS service, and the word of their namespace.
const FRAMEWORK: [(&str, &str); 7] = [
    ("AccessDeniedException", "service"),
    ("InternalFailure", "service"),
    ("MissingAuthenticationTokenException", "service"),
    ("SerializationException", "service"),
    ("UnknownOperationException", "service"),
    ("UnrecognizedClientException", "service"),
    ("ValidationException", "validate"),
];

/// `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException`: awsJson 1.0 sends the namespace.
fn qualified(service: &ServiceModel, name: &str) -> String {
    if let Some((_, word)) = FRAMEWORK.iter().find(|(n, _)| *n == name) {
        return format!("com.amazon.coral.{word}#{name}");
    }
    let target = service.target_prefix.unwrap_or_default();
    match target.rsplit_once('_') {
        Some((_, version)) if version.bytes().all(|b| b.is_ascii_digit()) => {
            format!("com.amazonaws.{}.v{version}#{name}", service.name)
        }
        _ => format!("com.amazonaws.{}#{name}", service.name),
    }
}

/// The object that the JSON and CBOR protocols send.
fn object(sink: &mut impl Sink, kind: Option<&str>, error: &ErrorParts<'_>) {
    sink.map_open();
    if let Some(kind) = kind {
        sink.key("__type");
        sink.text(kind);
    }
    let members = error.members.map_or(&[][..], |members| members.shape().members);
    let own = members.iter().find(|m| is_message(m));
    // The framework's own errors have a capital letter.
    let framework = kind.is_some_and(|k| k.starts_with("com.amazon.coral.service#"));
    // Of a body that cannot be read the original says no more than that.
    if !(framework && error.message.is_empty()) {
        sink.key(own.map_or(if framework { "Message" } else { "message" }, |m| m.wire));
        sink.text(error.message);
    }
    if let Some(value) = error.members {
        for (index, member) in members.iter().enumerate() {
            let field = value.field(index).value();
            if !is_message(member) && !matches!(field, Value::Absent) {
                sink.key(member.wire);
                object::encode_value(sink, &member.shape, field);
            }
        }
    }
    for (name, value) in error.extra {
        sink.key(name);
        sink.text(value);
    }
    sink.map_close();
}

fn json(kind: Option<&str>, error: &ErrorParts<'_>) -> Bytes {
    let mut sink = aws_json::Text(json::Writer::with_capacity(128));
    object(&mut sink, kind, error);
    sink.0.finish().into()
}

fn cbor(kind: &str, error: &ErrorParts<'_>) -> Bytes {
    let mut sink = cbor::Writer::default();
    object(&mut sink, Some(kind), error);
    sink.out.into()
}

/// The member that holds the text.
fn is_message(member: &Member) -> bool {
    member.name.eq_ignore_ascii_case("message")
}

fn side(fault: Fault) -> &'static str {
    match fault {
        Fault::Sender => "Sender",
        Fault::Receiver => "Receiver",
    }
}

fn details(encoder: &mut xml::Encoder, error: &ErrorParts<'_>) {
    if let Some(members) = error.members {
        let shape = members.shape();
        for (index, member) in shape.members.iter().enumerate() {
            // The text stands there already.
            if !is_message(member) {
                encoder.member(member, members.field(index).value());
            }
        }
    }
    for (name, value) in error.extra {
        encoder.writer.element(name, value);
    }
}

fn s3(error: &ErrorParts<'_>) -> String {
    let time = crate::scalar::TimeText::IsoMillis;
    let mut encoder = xml::Encoder { writer: xml::Writer::with_declaration(256), time };
    encoder.writer.open("Error");
    encoder.writer.element("Code", error.code);
    encoder.writer.element("Message", error.message);
    details(&mut encoder, error);
    encoder.writer.element("RequestId", error.request_id);
    if let Some(host_id) = error.host_id {
        encoder.writer.element("HostId", host_id);
    }
    encoder.writer.close("Error");
    encoder.writer.finish()
}

fn error_response(service: &ServiceModel, error: &ErrorParts<'_>, declaration: bool) -> String {
    let time = crate::scalar::TimeText::Iso;
    let writer = match declaration {
        true => xml::Writer::with_declaration(256),
        false => xml::Writer::default(),
    };
    let mut encoder = xml::Encoder { writer, time };
    let namespace = service.xml_namespace;
    let namespace = namespace.map(|uri| crate::shape::XmlNamespace { prefix: None, uri });
    encoder.open_with("ErrorResponse", namespace);
    encoder.writer.open("Error");
    encoder.writer.element("Type", side(error.fault));
    encoder.writer.element("Code", error.code);
    encoder.writer.element("Message", error.message);
    details(&mut encoder, error);
    encoder.writer.close("Error");
    encoder.writer.element("RequestId", error.request_id);
    encoder.writer.close("ErrorResponse");
    encoder.writer.finish()
}

fn ec2(error: &ErrorParts<'_>) -> String {
    let mut writer = xml::Writer::with_declaration(256);
    writer.open("Response");
    writer.open("Errors");
    writer.open("Error");
    writer.element("Code", error.code);
    writer.element("Message", error.message);
    writer.close("Error");
    writer.close("Errors");
    writer.element("RequestID", error.request_id);
    writer.close("Response");
    writer.finish()
}
