//! The entry points: a request into an input, an output into a response, by protocol.

use crate::check::Check;
use crate::http::{Request, Response};
use crate::model::{Operation, Protocol, ServiceModel};
use crate::reject::Rejection;
use crate::rest;
use crate::value::Struct;

/// Fills `input` from a request. Members that are absent, streams and events are left alone.
pub fn decode_request(
    protocol: Protocol,
    service: &ServiceModel,
    request: &Request<'_>,
    input: &mut dyn Struct,
) -> Result<(), Rejection> {
    let mut check = Check::new(service.validate);
    match protocol {
        Protocol::RestXml => rest::decode(protocol, request, input, &mut check)?,
        _ => return Err(Rejection::malformed("this protocol is not served")),
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
    let _ = request_id;
    match protocol {
        Protocol::RestXml => rest::encode(protocol, service, status, output),
        _ => Response { status: 501, ..Response::default() },
    }
}
