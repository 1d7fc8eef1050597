//! Seeds: lists of operations in JSON, done by this process itself.
//!
//! `[{"service": "s3", "operation": "CreateBucket", "input": {"Bucket": "b"}}]`; what flows to an operation
//! stands in `body` as text, or in `file` as a path beside the seed. Other JSON may lie beside them, a policy
//! that a script puts: it is none of ours.

use super::runner::{Runner, Stop};
use super::{SCRIPT_BYTES_MAX, Script};
use crate::client::text;
use smithy::Document;
use std::path::Path;

const FORM: &str = "it must be a list of objects with service, operation, input, and body or file";

/// Whether this file is meant as one. A list that cannot be read is: its mistake has to be told.
#[allow(clippy::disallowed_methods, reason = "a file beside the data")]
pub(super) fn is_one(path: &Path) -> bool {
    // What cannot be looked at is told when it is to run.
    match std::fs::metadata(path).map(|found| found.len()) {
        Ok(length) if length <= SCRIPT_BYTES_MAX => {}
        _ => return true,
    }
    std::fs::read(path).map_or(true, |content| looks_like_one(&content))
}

fn looks_like_one(content: &[u8]) -> bool {
    match smithy::json::parse_document(content) {
        Ok(Document::List(steps)) => steps
            .iter()
            .any(|step| text(step, "service").is_some() && text(step, "operation").is_some()),
        Ok(_) => false,
        Err(_) => content.trim_ascii_start().starts_with(b"["),
    }
}

impl Runner {
    pub(super) fn seed(&self, script: &Script, content: &[u8], stop: &Stop) -> Result<(), String> {
        let Some(open) = &self.open else {
            return Err("a seed needs a cloud that answers: it belongs into ready.d".to_owned());
        };
        let whole =
            smithy::json::parse_document(content).map_err(|_| "it is no JSON".to_owned())?;
        let Document::List(steps) = whole else { return Err(FORM.to_owned()) };
        for (index, step) in steps.iter().enumerate() {
            if stop.is_asked() {
                return Err("it was stopped, since the cloud ends".to_owned());
            }
            let (Some(service), Some(operation), Document::Map(map)) =
                (text(step, "service"), text(step, "operation"), step)
            else {
                return Err(format!("step {}: {FORM}", index + 1));
            };
            let input = map.get("input").cloned().unwrap_or_default();
            let body = body(&script.path, step)?;
            let key = self.env.iter().find(|(name, _)| *name == "AWS_ACCESS_KEY_ID");
            let key = key.map_or(gateway::WELL_KNOWN, |(_, id)| id.as_str());
            let done = open.gateway.operate(key, service, operation, input, body);
            open.runtime.block_on(done).map_err(|error| {
                format!(
                    "step {}, {service} {operation}: {}: {}",
                    index + 1,
                    error.code(),
                    error.message()
                )
            })?;
        }
        Ok(())
    }
}

#[allow(clippy::disallowed_methods, reason = "a file beside a seed")]
fn body(path: &Path, step: &Document) -> Result<bytes::Bytes, String> {
    if let Some(body) = text(step, "body") {
        return Ok(bytes::Bytes::copy_from_slice(body.as_bytes()));
    }
    let Some(name) = text(step, "file") else { return Ok(bytes::Bytes::new()) };
    let file = path.parent().unwrap_or(path).join(name);
    std::fs::read(&file).map(Into::into).map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::looks_like_one;

    #[test]
    fn what_is_a_seed() {
        for (text, expected) in [
            (r#"[{"service": "s3", "operation": "ListBuckets"}]"#, true),
            (r#"[{"service": "s3", "operation": "ListBuckets"}, 1]"#, true),
            (" [{", true),
            (r#"{"Version": "2012-10-17", "Statement": []}"#, false),
            (r#"[{"Key": "a", "Value": "b"}]"#, false),
            ("[]", false),
            ("{", false),
            ("{{template}}", false),
            ("", false),
        ] {
            assert_eq!(looks_like_one(text.as_bytes()), expected, "{text}");
        }
    }
}
