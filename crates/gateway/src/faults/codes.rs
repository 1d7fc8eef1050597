//! Which errors a service can answer with, beyond those that its model names.

use smithy::model::{Operation, Protocol, ServiceModel};

/// Errors of S3 that its model leaves out.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
const S3: &[(&str, u16)] = &[
    ("AccessDenied", 403),
    ("BadDigest", 400),
    ("ConditionalRequestConflict", 409),
    ("ExpiredToken", 400),
    ("IncompleteBody", 400),
    ("InternalError", 500),
    ("InvalidAccessKeyId", 403),
    ("InvalidToken", 400),
    ("NoSuchBucket", 404),
    ("NoSuchKey", 404),
    ("OperationAborted", 409),
    ("PreconditionFailed", 412),
    ("RequestTimeTooSkewed", 403),
    ("RequestTimeout", 400),
    ("ServiceUnavailable", 503),
    ("SignatureDoesNotMatch", 403),
    ("SlowDown", 503),
];

/// Of services that speak JSON.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const JSON: &[(&str, u16)] = &[
    ("AccessDeniedException", 400),
    ("ExpiredTokenException", 400),
    ("IncompleteSignatureException", 400),
    ("InternalFailure", 500),
    ("InternalServerError", 500),
    ("InvalidSignatureException", 400),
    ("MissingAuthenticationTokenException", 400),
    ("RequestExpired", 400),
    ("ServiceUnavailable", 503),
    ("ThrottlingException", 400),
    ("UnrecognizedClientException", 400),
    ("ValidationException", 400),
];

/// Of services that speak Query.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
const QUERY: &[(&str, u16)] = &[
    ("AccessDenied", 403),
    ("ExpiredToken", 403),
    ("IncompleteSignature", 400),
    ("InternalFailure", 500),
    ("InvalidClientTokenId", 403),
    ("MissingAuthenticationToken", 403),
    ("RequestExpired", 400),
    ("ServiceUnavailable", 503),
    ("SignatureDoesNotMatch", 403),
    ("Throttling", 400),
    ("ValidationError", 400),
];

fn common(model: &ServiceModel) -> &'static [(&'static str, u16)] {
    if model.signing_name == "s3" {
        return S3;
    }
    match model.protocols.first() {
        Some(Protocol::AwsQuery | Protocol::Ec2Query | Protocol::RestXml) => QUERY,
        _ => JSON,
    }
}

/// Whether an operation can answer with that error: a fault of many strikes those alone that can.
pub fn has(model: &ServiceModel, operation: &Operation, code: &str) -> bool {
    let modelled = operation.served.as_ref().map_or(&[][..], |served| served.errors);
    modelled.iter().any(|shape| shape.code == code)
        || common(model).iter().any(|(known, _)| *known == code)
}

/// The status of an error that these operations of a service can have; else, what they can have.
pub fn status(model: &ServiceModel, of: &[&Operation], code: &str) -> Result<u16, String> {
    let modelled = || of.iter().filter_map(|op| op.served.as_ref()).flat_map(|op| op.errors);
    if let Some(shape) = modelled().find(|shape| shape.code == code) {
        return Ok(shape.status);
    }
    if let Some((_, status)) = common(model).iter().find(|(known, _)| *known == code) {
        return Ok(*status);
    }
    let mut all: Vec<&str> = modelled().map(|shape| shape.code).collect();
    all.extend(common(model).iter().map(|(code, _)| *code));
    all.sort_unstable();
    all.dedup();
    let what = match of {
        [one] => format!("{}:{}", model.name, one.name),
        _ => model.name.to_owned(),
    };
    Err(format!("{what} never answers with {code:?}; it does with {}", all.join(", ")))
}

/// As the service says it.
pub fn text(model: &ServiceModel, code: &str) -> &'static str {
    match code {
        "SlowDown" => "Please reduce your request rate.",
        "InternalError" | "InternalFailure" => {
            "We encountered an internal error. Please try again."
        }
        "InternalServerError" => {
            "The request processing has failed because of an unknown error, exception or failure."
        }
        "ServiceUnavailable" => "Service is unable to handle request.",
        "Throttling" | "ThrottlingException" => "Rate exceeded",
        "ProvisionedThroughputExceededException" => {
            "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API."
        }
        "RequestLimitExceeded" => {
            "Throughput exceeds the current throughput limit for your account. Please contact AWS Support at https://aws.amazon.com/support request a limit increase"
        }
        "ConditionalCheckFailedException" => "The conditional request failed",
        "TransactionConflictException" => "Transaction is ongoing for the item",
        "AccessDenied" => "Access Denied",
        "ExpiredToken" if model.signing_name == "s3" => "The provided token has expired.",
        "ExpiredToken" | "ExpiredTokenException" => {
            "The security token included in the request is expired"
        }
        "InvalidAccessKeyId" => "The AWS Access Key Id you provided does not exist in our records.",
        "InvalidToken" => "The provided token is malformed or otherwise invalid.",
        "InvalidClientTokenId" | "UnrecognizedClientException" => {
            "The security token included in the request is invalid."
        }
        "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
            "Request is missing Authentication Token"
        }
        "SignatureDoesNotMatch" if model.signing_name == "s3" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing method."
        }
        "SignatureDoesNotMatch" | "InvalidSignatureException" => {
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
        }
        "NoSuchKey" => "The specified key does not exist.",
        "NoSuchBucket" => "The specified bucket does not exist",
        "PreconditionFailed" => "At least one of the pre-conditions you specified did not hold",
        "OperationAborted" => {
            "A conflicting conditional operation is currently in progress against this resource. Please try again."
        }
        "RequestTimeout" => {
            "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed."
        }
        _ => "This error was asked for with `cumulet fault add`.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_order() {
        for table in [S3, JSON, QUERY] {
            assert!(table.is_sorted() && table.iter().all(|(_, s)| (400..600).contains(s)));
        }
    }
}
