//! The policy of a browser form: which fields it may have, how large the file may be, until when.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html>
//!
//! Forms are rare and small, so the JSON goes through `serde_json`, which bounds its depth.

use crate::error::{AuthError, Cause, Place};
use base::Timestamp;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;
use std::fmt;

/// All fields of a form together may have 20 KB; so may the policy.
const POLICY_BYTES_MAX: usize = 20_000;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A form: the bucket that it was sent to, and its fields before the file, `${filename}` already
/// replaced. Names are compared without regard to case.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    pub bucket: &'a str,
    pub fields: &'a [(&'a str, &'a str)],
}

impl<'a> Form<'a> {
    /// The first field of that name, which must be in lower case.
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// All of that name.
    fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'a str> + 'f {
        self.fields
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Condition {
    /// Field (lower case) and the one value that it may have.
    Equal(String, String),
    /// Field (lower case) and the prefix that it must have.
    StartsWith(String, String),
    /// Least and greatest size of the file in bytes.
    Length(u64, u64),
}

/// As S3 shows it: in the form of a list, whichever form it was written in.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        match self {
            Condition::Equal(field, value) => {
                write!(f, "[\"eq\", {}, {}]", quoted(&format!("${field}")), quoted(value))
            }
            Condition::StartsWith(field, value) => {
                write!(f, "[\"starts-with\", {}, {}]", quoted(&format!("${field}")), quoted(value))
            }
            Condition::Length(min, max) => write!(f, "[\"content-length-range\", {min}, {max}]"),
        }
    }
}

/// A parsed policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PostPolicy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
}

fn invalid(why: impl Into<String>) -> AuthError {
    AuthError::new(Place::Form, Cause::PolicyInvalid(why.into()))
}

fn denied(why: impl Into<String>) -> AuthError {
    AuthError::new(Place::Form, Cause::PolicyDenied(why.into()))
}

impl PostPolicy {
    /// Parses the `policy` field of a form.
    pub fn parse(base64: &str) -> Result<PostPolicy, AuthError> {
        let base64 = base64.trim_ascii();
        if base64.len() > POLICY_BYTES_MAX {
            return Err(invalid(format!("the policy exceeds {POLICY_BYTES_MAX} bytes.")));
        }
        let json = BASE64.decode(base64).map_err(|_| invalid("invalid Base64 encoding."))?;
        if json.is_empty() {
            return Err(invalid("Expecting '{' but found End-of-Input"));
        }
        let Ok(Value::Object(document)) = serde_json::from_slice(&json) else {
            return Err(invalid("Invalid JSON."));
        };
        let known = ["expiration", "conditions"];
        if let Some(name) = document.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(invalid(format!("Unexpected: \"{name}\"")));
        }
        let expiration = match document.get("expiration") {
            None => return Err(invalid("Policy missing expiration.")),
            Some(Value::String(text)) => Timestamp::parse_iso8601(text)
                .ok()
                .filter(|_| text.contains('T'))
                .ok_or_else(|| invalid(format!("Invalid 'expiration' value: '{text}'")))?,
            Some(other) => return Err(invalid(format!("Invalid 'expiration' value: '{other}'"))),
        };
        let conditions = match document.get("conditions") {
            None => return Err(invalid("Policy missing conditions.")),
            Some(Value::Array(conditions)) => {
                conditions.iter().map(parse_condition).collect::<Result<_, _>>()?
            }
            Some(_) => return Err(invalid("Invalid 'conditions' value: must be a List.")),
        };
        Ok(PostPolicy { expiration, conditions })
    }

    /// Checks a form: the policy has not expired, every condition holds, and every field is covered
    /// by a condition, save `file`, `policy`, `x-amz-signature`, `x-ignore-*`, and in a form of Version 2
    /// `AWSAccessKeyId` and `signature`.
    pub fn check(&self, form: &Form<'_>, now: Timestamp) -> Result<(), AuthError> {
        if now >= self.expiration {
            return Err(denied("Policy expired."));
        }
        let is_two = form.field("x-amz-algorithm").is_none();
        for (name, _) in form.fields {
            let name = name.to_ascii_lowercase();
            let exempt = matches!(name.as_str(), "file" | "policy" | "x-amz-signature")
                || (is_two && matches!(name.as_str(), "awsaccesskeyid" | "signature"))
                || name.starts_with("x-ignore-");
            if !exempt && !self.covers(&name) {
                return Err(denied(format!("Extra input fields: {name}")));
            }
        }
        if !self.covers("bucket") {
            return Err(denied("Extra input fields: bucket"));
        }
        match self.conditions.iter().find(|condition| !condition.holds(form)) {
            Some(failed) => Err(denied(format!("Policy Condition failed: {failed}"))),
            None => Ok(()),
        }
    }

    /// Checks the size of the file, in bytes; to be called again while it grows and at its end.
    /// `complete` says that there is no more to come.
    pub fn check_length(&self, size: u64, complete: bool) -> Result<(), AuthError> {
        for condition in &self.conditions {
            let Condition::Length(min, max) = *condition else { continue };
            if size > max {
                return Err(AuthError::new(Place::Form, Cause::TooLarge { size, max }));
            }
            if complete && size < min {
                return Err(AuthError::new(Place::Form, Cause::TooSmall { size, min }));
            }
        }
        Ok(())
    }

    fn covers(&self, name: &str) -> bool {
        self.conditions.iter().any(|condition| match condition {
            Condition::Equal(field, _) | Condition::StartsWith(field, _) => field == name,
            Condition::Length(..) => false,
        })
    }
}

impl Condition {
    fn holds(&self, form: &Form<'_>) -> bool {
        // Of a field that is there twice, each: which of them counts is for others to say.
        let values = |field: &str| match field {
            "bucket" => vec![form.bucket],
            other => form.all(other).collect(),
        };
        match self {
            Condition::Equal(field, expected) => {
                let values = values(field);
                !values.is_empty() && values.iter().all(|value| value == expected)
            }
            // Any content is fine with an empty prefix, none at all too.
            Condition::StartsWith(field, prefix) => {
                let values = values(field);
                let fits = |value: &&str| {
                    // A list of content types: each one must begin so.
                    if field == "content-type" {
                        value.split(',').all(|part| part.trim_ascii().starts_with(prefix.as_str()))
                    } else {
                        value.starts_with(prefix.as_str())
                    }
                };
                values.iter().all(fits) && (!values.is_empty() || prefix.is_empty())
            }
            // The file has not come yet: `check_length`.
            Condition::Length(..) => true,
        }
    }
}

fn parse_condition(value: &Value) -> Result<Condition, AuthError> {
    match value {
        Value::Object(object) => {
            let mut properties = object.iter();
            match (properties.next(), properties.next()) {
                (Some((field, Value::String(value))), None) => {
                    Ok(Condition::Equal(field.to_ascii_lowercase(), value.clone()))
                }
                (Some(_), None) => {
                    Err(invalid("Invalid Simple-Condition: value must be a string."))
                }
                _ => Err(invalid(
                    "Invalid Simple-Condition: Simple-Conditions must have exactly one property specified.",
                )),
            }
        }
        Value::Array(list) => parse_list(list),
        _ => Err(invalid("Invalid condition test: must be a List or Object.")),
    }
}

fn parse_list(list: &[Value]) -> Result<Condition, AuthError> {
    let operation = match list.first() {
        Some(Value::String(operation)) => operation.to_ascii_lowercase(),
        _ => return Err(invalid("Invalid Condition: missing operation identifier.")),
    };
    let operation = operation.as_str();
    if !matches!(operation, "eq" | "starts-with" | "content-length-range") {
        return Err(invalid(format!("Invalid Condition: unknown operation '{operation}'.")));
    }
    let [_, first, second] = list else {
        return Err(invalid(format!("Invalid {operation}: wrong number of arguments.")));
    };
    if operation == "content-length-range" {
        return match (length(first), length(second)) {
            (Some(min), Some(max)) => Ok(Condition::Length(min, max)),
            _ => Err(invalid("Invalid content-length-range: arguments must be numbers.")),
        };
    }
    let field = match first {
        Value::String(field) => field.strip_prefix('$').filter(|field| !field.is_empty()),
        _ => None,
    };
    let field = field.ok_or_else(|| {
        invalid(format!("Invalid {operation}: the field must be a name that begins with '$'."))
    })?;
    let Some(value) = scalar(second) else {
        return Err(invalid(format!("Invalid {operation}: value must be a string.")));
    };
    let field = field.to_ascii_lowercase();
    Ok(match operation {
        "eq" => Condition::Equal(field, value),
        _ => Condition::StartsWith(field, value),
    })
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A length is a number, or a number in quotes.
fn length(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
        _ => None,
    }
}
