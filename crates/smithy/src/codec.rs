//! The entry points: a request into an input, an output into a response, by protocol.

use crate::aws_json;
use crate::cbor;
use crate::check::{Check, Settings};
use crate::http::{Request, Response};
use crate::model::{Operation, Protocol, ServiceModel};
use crate::query::{self, Dialect};
use crate::reject::Rejection;
use crate::rest;
use crate::shape::UNIT;
use crate::value::Struct;
use bytes::Bytes;
use std::borrow::Cow;

/// Fills `input` from a request. Members that are absent, streams and events are left alone.
pub fn decode_request(
    protocol: Protocol,
    service: &ServiceModel,
    request: &Request<'_>,
    input: &mut dyn Struct,
) -> Result<(), Rejection> {
    decode_request_with(Settings::default(), protocol, service, request, input)
}

/// [`decode_request`] for a service with peculiarities.
pub fn decode_request_with(
    settings: Settings,
    protocol: Protocol,
    service: &ServiceModel,
    request: &Request<'_>,
    input: &mut dyn Struct,
) -> Result<(), Rejection> {
    let mut check = Check::new(service.validate, settings);
    let body: &[u8] = if request.body.is_empty() { b"{}" } else { request.body };
    match protocol {
        Protocol::RestXml | Protocol::RestJson1 => {
            rest::decode(protocol, request, input, &mut check)?;
        }
        Protocol::AwsQuery => query::decode(Dialect::Aws, request, input, &mut check)?,
        Protocol::Ec2Query => query::decode(Dialect::Ec2, request, input, &mut check)?,
        Protocol::AwsJson10 | Protocol::AwsJson11 => aws_json::decode(body, input, &mut check)?,
        Protocol::RpcV2Cbor => cbor::decode(request.body, input, &mut check)?,
    }
    check.into_result()
}

/// What a success looks like. A stream or event stream among the output's members is for the caller
/// to send in place of `body`.
pub fn encode_response(
    protocol: Protocol,
    service: &ServiceModel,
    operation: &Operation,
    output: &dyn Struct,
    request_id: &str,
) -> Response {
    let status = operation.served.as_ref().map_or(200, |served| served.status);
    match protocol {
        Protocol::RestXml | Protocol::RestJson1 => rest::encode(protocol, service, status, output),
        Protocol::AwsQuery => query::encode(Dialect::Aws, service, operation, output, request_id),
        Protocol::Ec2Query => query::encode(Dialect::Ec2, service, operation, output, request_id),
        // Where the model names no output there is no body, not even an empty object.
        Protocol::AwsJson10 | Protocol::AwsJson11 => Response {
            status,
            headers: Vec::new(),
            body: match output.shape().name {
                UNIT => Bytes::new(),
                _ => aws_json::encode(output).into(),
            },
            content_type: Some(json_type(protocol)),
        },
        Protocol::RpcV2Cbor => Response {
            status,
            headers: vec![cbor_protocol()],
            body: cbor::encode(output).into(),
            content_type: Some("application/cbor"),
        },
    }
}

/// Every response of rpcv2Cbor says so.
pub(crate) fn cbor_protocol() -> (Cow<'static, str>, String) {
    ("smithy-protocol".into(), "rpc-v2-cbor".to_owned())
}

pub(crate) fn json_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::AwsJson10 => "application/x-amz-json-1.0",
        Protocol::AwsJson11 => "application/x-amz-json-1.1",
        _ => "application/json",
    }
}
