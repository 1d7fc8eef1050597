//! Answers and errors in the form of the distribution specification.

use api::{Body, RegistryAnswer};
use bytes::Bytes;

/// An error by its code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub detail: serde_json::Value,
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Refusal {
        let detail = serde_json::Value::Null;
        Refusal { status, code, message: message.into(), detail, headers: Vec::new() }
    }

    pub fn detail(mut self, detail: serde_json::Value) -> Refusal {
        self.detail = detail;
        self
    }

    pub fn header(mut self, name: &'static str, value: String) -> Refusal {
        self.headers.push((name, value));
        self
    }

    pub fn blob_unknown(digest: &str) -> Refusal {
        Refusal::new(404, "BLOB_UNKNOWN", "blob unknown to registry")
            .detail(serde_json::json!({ "digest": digest }))
    }

    pub fn manifest_unknown(reference: &str) -> Refusal {
        Refusal::new(404, "MANIFEST_UNKNOWN", "manifest unknown")
            .detail(serde_json::json!({ "Reference": reference }))
    }

    pub fn name_unknown(name: &str) -> Refusal {
        Refusal::new(404, "NAME_UNKNOWN", "repository name not known to registry")
            .detail(serde_json::json!({ "name": name }))
    }

    pub fn upload_unknown() -> Refusal {
        Refusal::new(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
    }

    pub fn digest_invalid(text: impl Into<String>) -> Refusal {
        Refusal::new(400, "DIGEST_INVALID", text)
    }

    pub fn unsupported(text: impl Into<String>) -> Refusal {
        Refusal::new(405, "UNSUPPORTED", text)
    }

    pub fn into_answer(self) -> RegistryAnswer {
        let mut error = serde_json::json!({ "code": self.code, "message": self.message });
        if !self.detail.is_null() {
            error["detail"] = self.detail;
        }
        let text = serde_json::json!({ "errors": [error] }).to_string();
        let mut headers = self.headers;
        headers.push(("content-type", "application/json".to_owned()));
        RegistryAnswer { status: self.status, headers, body: Body::Bytes(text.into()) }
    }
}

impl From<store::StoreError> for Refusal {
    fn from(error: store::StoreError) -> Refusal {
        match error {
            store::StoreError::Busy => {
                Refusal::new(429, "TOOMANYREQUESTS", "too much is being written; try again")
            }
            store::StoreError::Full => Refusal::new(507, "DENIED", "no space left on the disk"),
            other => {
                tracing::error!(error = %other, "the registry failed");
                Refusal::new(500, "UNKNOWN", "the registry failed")
            }
        }
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        match error.kind() {
            std::io::ErrorKind::StorageFull => {
                Refusal::new(507, "DENIED", "no space left on the disk")
            }
            std::io::ErrorKind::ResourceBusy => {
                Refusal::new(429, "TOOMANYREQUESTS", "too much is being written; try again")
            }
            _ => {
                tracing::error!(%error, "the registry failed");
                Refusal::new(500, "UNKNOWN", "the registry failed")
            }
        }
    }
}

impl From<engine::Error> for Refusal {
    fn from(error: engine::Error) -> Refusal {
        tracing::error!(error = error.text, "the registry failed");
        Refusal::new(500, "UNKNOWN", "the registry failed")
    }
}

pub type Answered = Result<RegistryAnswer, Refusal>;

pub fn empty(status: u16, headers: Vec<(&'static str, String)>) -> Answered {
    Ok(RegistryAnswer { status, headers, body: Body::Empty })
}

pub fn json(value: &serde_json::Value, mut headers: Vec<(&'static str, String)>) -> Answered {
    headers.push(("content-type", "application/json".to_owned()));
    Ok(RegistryAnswer { status: 200, headers, body: Body::Bytes(Bytes::from(value.to_string())) })
}
