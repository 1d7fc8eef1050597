//! Which errors a service can answer with, beyond those that its model names.

use smithy::model::{Operation, Protocol, ServiceModel};

/// Errors of S3 that its model leaves out.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>
const S3: &[(&str, u16)] = &[
    ("AccessDenied", 403),
    ("BadDigest", 400),
    ("ConditionalRequestConflict", 409),
    ("IncompleteBody", 400),
    ("InternalError", 500),
    ("NoSuchBucket", 404),
    ("NoSuchKey", 404),
    ("OperationAborted", 409),
    ("PreconditionFailed", 412),
    ("RequestTimeout", 400),
    ("RequestTimeTooSkewed", 403),
    ("ServiceUnavailable", 503),
    ("SlowDown", 503),
];

/// Of services that speak JSON.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>
const JSON: &[(&str, u16)] = &[
    ("AccessDeniedException", 400),
    ("InternalFailure", 500),
    ("InternalServerError", 500),
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
    ("InternalFailure", 500),
    ("RequestExpired", 400),
    ("ServiceUnavailable", 503),
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
pub fn text(code: &str) -> &'static str {
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
    fn texts_and_tables_are_in_order() {
        for table in [S3, JSON, QUERY] {
            assert!(
                table.iter().all(|(code, status)| {
                    (400..600).contains(status) && !text(code).is_empty()
                })
            );
        }
    }
}
