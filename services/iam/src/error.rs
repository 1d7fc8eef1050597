//! IAM's refusals, in IAM's words.

use api::{Cx, Error};
use gen_iam::errors;
use policy::{Foreign, PolicyError};
use smithy::shape::ErrorShape;

pub(crate) fn no_such(kind: &str, name: &str) -> Error {
    let message = match kind {
        "Server Certificate" => format!("The Server Certificate with name {name} cannot be found."),
        "instance profile" => format!("Instance Profile {name} cannot be found."),
        _ => format!("The {kind} with name {name} cannot be found."),
    };
    Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
}

pub(crate) fn no_policy(arn: &str) -> Error {
    Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, format!("Policy {arn} was not found."))
}

pub(crate) fn not_attachable(arn: &str) -> Error {
    let message = format!("Policy {arn} does not exist or is not attachable.");
    Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
}

pub(crate) fn no_version(arn: &str, version: &str) -> Error {
    let message = format!("Policy {arn} version {version} does not exist or is not attachable.");
    Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
}

pub(crate) fn no_access_key(id: &str) -> Error {
    let message = format!("The Access Key with id {id} cannot be found.");
    Error::new(&errors::NO_SUCH_ENTITY_EXCEPTION, message)
}

/// `what` begins the sentence: `User with name alice`.
pub(crate) fn exists(what: &str) -> Error {
    Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, format!("{what} already exists."))
}

pub(crate) fn conflict(rest: &str) -> Error {
    Error::new(&errors::DELETE_CONFLICT_EXCEPTION, format!("Cannot delete entity, must {rest}."))
}

/// A quota by its AWS name.
pub(crate) fn quota(name: &str, limit: usize) -> Error {
    let message = format!("Cannot exceed quota for {name}: {limit}");
    Error::new(&errors::LIMIT_EXCEEDED_EXCEPTION, message)
}

pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(&errors::INVALID_INPUT_EXCEPTION, message)
}

pub(crate) fn validation(message: impl Into<String>) -> Error {
    Error::with_code("ValidationError", 400, message)
}

/// For policies of AWS's own, which nobody else changes.
pub(crate) fn not_yours(arn: &str) -> Error {
    let message = format!("The policy {arn} belongs to AWS and cannot be changed.");
    Error::with_code("AccessDenied", 403, message)
}

pub(crate) fn bad_policy(error: PolicyError) -> Error {
    let shape: &'static ErrorShape = match error {
        PolicyError::Malformed(_) => &errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION,
        PolicyError::TooLarge { .. } => &errors::LIMIT_EXCEEDED_EXCEPTION,
    };
    Error::new(shape, error.to_string())
}

/// Users, roles and resources are of the partition that the caller speaks to.
pub(crate) fn check_partitions(cx: &Cx, document: &str) -> Result<(), Error> {
    let message = match policy::foreign_partition(document, cx.partition().as_str()) {
        None => return Ok(()),
        Some(Foreign::Principal(arn)) => {
            format!("Invalid principal in policy: \"AWS\":\"{arn}\"")
        }
        Some(Foreign::Resource(partition, arn)) => {
            format!("Partition \"{partition}\" is not valid for resource \"{arn}\".")
        }
    };
    Err(Error::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message))
}
