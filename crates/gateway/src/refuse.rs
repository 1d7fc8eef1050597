//! Refusals that come up before an operation runs, in the code and words of the service asked.

use crate::identify::Entry;
use api::Error;
use sigv4::Dialect;
use smithy::Rejection;
use smithy::model::{Protocol, ServiceModel};
use smithy::reject::{BadValue, Constraint, Expected, Violation, violations_text};
use smithy::route::RouteError;
use smithy::shape::Location;

/// How a service words what is wrong with a signature.
pub(crate) fn dialect(entry: &Entry, protocol: Protocol) -> Dialect {
    match protocol {
        _ if entry.as_s3 => Dialect::S3,
        Protocol::AwsJson10 | Protocol::AwsJson11 | Protocol::RpcV2Cbor => Dialect::Json,
        Protocol::RestJson1 => Dialect::RestJson,
        Protocol::AwsQuery | Protocol::RestXml => Dialect::Query,
        Protocol::Ec2Query => Dialect::Ec2,
    }
}

pub(crate) fn unrouted(error: &RouteError, model: &ServiceModel, protocol: Protocol) -> Error {
    use Protocol::{AwsJson10, AwsJson11, AwsQuery, Ec2Query, RestJson1, RestXml, RpcV2Cbor};
    match (protocol, error) {
        (_, RouteError::NotUtf8) => {
            Error::with_code("InvalidURI", 400, "Couldn't parse the specified URI.")
        }
        (RestXml, RouteError::NoMethod) => Error::with_code(
            "MethodNotAllowed",
            405,
            "The specified method is not allowed against this resource.",
        ),
        (RestXml, _) => Error::with_code(
            "NotImplemented",
            501,
            "A header or query you provided requested a function that is not implemented.",
        ),
        (RestJson1, RouteError::NoMethod) => {
            Error::with_code("MethodNotAllowedException", 405, error.to_string())
        }
        (RestJson1, _) => {
            Error::with_code("UnknownOperationException", 404, "The requested path does not exist.")
        }
        (AwsQuery | Ec2Query, RouteError::Unknown(name)) => Error::with_code(
            "InvalidAction",
            400,
            format!("Could not find operation {name} for version {}", model.api_version),
        ),
        (AwsQuery | Ec2Query, _) => {
            Error::with_code("MissingAction", 400, "The request must contain the parameter Action")
        }
        (AwsJson10 | AwsJson11 | RpcV2Cbor, _) => {
            Error::with_code("UnknownOperationException", 400, error.to_string())
        }
    }
}

pub(crate) fn rejected(rejection: Rejection, entry: &Entry, protocol: Protocol) -> Error {
    if entry.is_s3 {
        return s3(rejection);
    }
    match (rejection, protocol) {
        (Rejection::TooLarge(what), _) => {
            let text = format!("The request is larger than allowed: {what}.");
            Error::with_code("RequestEntityTooLarge", 413, text)
        }
        (Rejection::Invalid(violations), _) => invalid(&violations, protocol),
        (Rejection::BadValue(bad), Protocol::AwsQuery | Protocol::RestXml) => {
            let BadValue { value, member, expected, .. } = bad;
            let text = format!("Invalid value '{value}' for {member}: not of type {expected:?}.");
            Error::with_code("MalformedInput", 400, text)
        }
        (Rejection::BadValue(bad), Protocol::Ec2Query) => {
            let text = format!("Value ({}) for parameter {} is invalid.", bad.value, bad.member);
            Error::with_code("InvalidParameterValue", 400, text)
        }
        (Rejection::Malformed(text), Protocol::AwsQuery | Protocol::Ec2Query) => {
            Error::with_code("MalformedQueryString", 400, text)
        }
        (Rejection::Malformed(text), Protocol::RestXml) => {
            Error::with_code("MalformedInput", 400, text)
        }
        // The original says of it no more than that.
        (Rejection::NotJson(_), Protocol::AwsJson10) => {
            Error::with_code("SerializationException", 400, "")
        }
        (other, _) => Error::with_code("SerializationException", 400, other.to_string()),
    }
}

fn invalid(violations: &[Violation], protocol: Protocol) -> Error {
    let missing = violations.iter().find(|v| v.constraint == Constraint::NotNull);
    match (protocol, missing) {
        (Protocol::Ec2Query, Some(violation)) => {
            let name = violation.path_text();
            let text = format!("The request must contain the parameter {name}");
            Error::with_code("MissingParameter", 400, text)
        }
        (Protocol::Ec2Query, None) => {
            Error::with_code("InvalidParameterValue", 400, violations_text(violations))
        }
        (Protocol::AwsQuery | Protocol::RestXml, _) => {
            Error::with_code("ValidationError", 400, violations_text(violations))
        }
        _ => Error::with_code("ValidationException", 400, violations_text(violations)),
    }
}

pub(crate) const MALFORMED_XML: &str =
    "The XML you provided was not well-formed or did not validate against our published schema";

/// S3 has codes of its own for all of it.
fn s3(rejection: Rejection) -> Error {
    let malformed = || Error::with_code("MalformedXML", 400, MALFORMED_XML);
    match rejection {
        Rejection::BadValue(bad) => {
            let name = match bad.location {
                Location::Header(name) | Location::Query(name) | Location::Label(name) => name,
                _ => return malformed(),
            };
            let text = match bad.expected {
                Expected::Integer | Expected::Long => {
                    format!("Provided {name} not an integer or within integer range")
                }
                _ => format!("Provided {name} is not valid"),
            };
            Error::with_code("InvalidArgument", 400, text)
                .detail("ArgumentName", name)
                .detail("ArgumentValue", bad.value)
        }
        Rejection::Malformed(_) | Rejection::NotJson(_) => malformed(),
        Rejection::TooLarge(_) => {
            Error::with_code("MaxMessageLengthExceeded", 400, "Your request was too big.")
        }
        Rejection::Invalid(violations) => match violations.first() {
            Some(violation) if violation.path.len() == 1 => match violation.location {
                Location::Body => {
                    Error::with_code("MissingRequestBodyError", 400, "Request Body is empty")
                }
                Location::Header(name) | Location::Query(name) => {
                    let text =
                        format!("Missing required header or parameter for this request: {name}");
                    Error::with_code("InvalidRequest", 400, text)
                }
                _ => malformed(),
            },
            _ => malformed(),
        },
    }
}

/// What the model has and we refuse rather than ignore.
pub(crate) fn refused_member(operation: &str, member: &str) -> Error {
    let text = format!("{member} of {operation} is not implemented");
    Error::with_code("NotImplemented", 501, text)
}

pub(crate) fn unknown_service() -> Error {
    let text = "No service here is meant by this request: its credential scope, X-Amz-Target header \
                and host name are not known.";
    Error::with_code("UnknownService", 404, text)
}
