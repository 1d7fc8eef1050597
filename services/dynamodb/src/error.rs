//! Errors that many operations share.

use api::Error;
use gen_dynamodb::errors as e;

/// `ValidationException`, which the model does not have.
pub(crate) fn invalid(text: impl Into<String>) -> Error {
    Error::with_code("ValidationException", 400, text)
}

/// One or more parameter values were invalid.
pub(crate) fn bad_parameter(text: impl AsRef<str>) -> Error {
    invalid(format!("One or more parameter values were invalid: {}", text.as_ref()))
}

pub(crate) fn no_table(name: &str) -> Error {
    let text = format!("Requested resource not found: Table: {name} not found");
    Error::new(&e::RESOURCE_NOT_FOUND_EXCEPTION, text)
}

/// As the operations on items say it.
pub(crate) fn not_found() -> Error {
    Error::new(&e::RESOURCE_NOT_FOUND_EXCEPTION, "Requested resource not found")
}

pub(crate) fn in_use(text: impl Into<String>) -> Error {
    Error::new(&e::RESOURCE_IN_USE_EXCEPTION, text)
}

pub(crate) fn wrong_key() -> Error {
    invalid("The provided key element does not match the schema")
}
