//! Errors in each protocol's form.

use crate::http::Response;
use crate::model::{Protocol, ServiceModel};
use crate::shape::Fault;
use crate::value::Struct;
use crate::xml;

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
    let (body, content_type) = match protocol {
        Protocol::RestXml if service.name == "s3" => (s3(error), "application/xml"),
        Protocol::RestXml => (error_response(service, error, true), "application/xml"),
        Protocol::AwsQuery => (error_response(service, error, false), "text/xml"),
        Protocol::Ec2Query => (ec2(error), "text/xml"),
        _ => (String::new(), "application/json"),
    };
    response.body = body.into();
    response.content_type = Some(content_type);
    response
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
            if !member.name.eq_ignore_ascii_case("message") {
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
