//! What an operation answers when it does not do what it was asked.

use smithy::Struct;
use smithy::shape::{ErrorShape, Fault};
use std::borrow::Cow;
use std::fmt;
use store::StoreError;

/// An error as the client will see it, in the protocol that the client speaks.
///
/// The message is part of compatibility: it stands whole at the place where the error is raised.
pub struct Error(Box<Inner>);

struct Inner {
    code: Cow<'static, str>,
    status: u16,
    fault: Fault,
    message: String,
    /// The modelled error with its own members, if it has any beyond the message.
    members: Option<Box<dyn Struct>>,
    /// Further elements of the error document, in order: `BucketName`, `Key`.
    details: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    /// For the log alone, never for the client.
    cause: Option<String>,
    /// Why it was refused, for the audit trail: which statement denied, or what lacks an allow.
    reason: Option<String>,
}

impl Error {
    /// A modelled error, or one that the overlay adds.
    pub fn new(shape: &'static ErrorShape, message: impl Into<String>) -> Error {
        Error::with_code(shape.code, shape.status, message)
    }

    /// An error that no model names.
    pub fn with_code(
        code: impl Into<Cow<'static, str>>,
        status: u16,
        message: impl Into<String>,
    ) -> Error {
        Error(Box::new(Inner {
            code: code.into(),
            status,
            fault: if status >= 500 { Fault::Receiver } else { Fault::Sender },
            message: message.into(),
            members: None,
            details: Vec::new(),
            headers: Vec::new(),
            cause: None,
            reason: None,
        }))
    }

    /// 501 with the operation's name.
    pub fn not_implemented(operation: &str) -> Error {
        Error::with_code("NotImplemented", 501, format!("{operation} is not implemented"))
    }

    /// A bug of ours or a failure below us. The client sees nothing of the cause.
    pub fn internal(cause: impl fmt::Display) -> Error {
        let text = "We encountered an internal error. Please try again.";
        let mut error = Error::with_code("InternalFailure", 500, text);
        error.0.cause = Some(cause.to_string());
        error
    }

    /// The dispatch table and the kind of an operation disagree.
    pub fn wrong_kind(operation: u16) -> Error {
        Error::internal(format!("operation {operation} is not of that kind"))
    }

    /// Says the same in other words.
    pub fn with_message(mut self, message: impl Into<String>) -> Error {
        self.0.message = message.into();
        self
    }

    /// Adds an element to the error document.
    pub fn detail(mut self, name: &'static str, value: impl Into<String>) -> Error {
        self.0.details.push((name, value.into()));
        self
    }

    /// Adds a header to the response.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Error {
        self.0.headers.push((name, value.into()));
        self
    }

    /// Says why, for the audit trail and whoever reads it; the client sees nothing of it.
    pub fn because(mut self, reason: impl Into<String>) -> Error {
        self.0.reason = Some(reason.into());
        self
    }

    /// Gives the modelled members of the error.
    pub fn members(mut self, members: impl Struct) -> Error {
        self.0.members = Some(Box::new(members));
        self
    }

    pub fn is(&self, shape: &ErrorShape) -> bool {
        self.0.code == shape.code
    }

    pub fn code(&self) -> &str {
        &self.0.code
    }

    pub fn status(&self) -> u16 {
        self.0.status
    }

    pub fn fault(&self) -> Fault {
        self.0.fault
    }

    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub fn details(&self) -> &[(&'static str, String)] {
        &self.0.details
    }

    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.0.headers
    }

    pub fn modelled(&self) -> Option<&dyn Struct> {
        self.0.members.as_deref()
    }

    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Error {
        match error {
            StoreError::Busy => {
                Error::with_code("SlowDown", 503, "Please reduce your request rate.")
            }
            StoreError::Full => Error::with_code(
                "InsufficientStorage",
                507,
                "The disk is nearly full: delete something, or give the data folder more space.",
            ),
            other => Error::internal(other),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { code, status, message, details, cause, .. } = &*self.0;
        write!(f, "{code} ({status}): {message}")?;
        if !details.is_empty() {
            write!(f, " {details:?}")?;
        }
        match cause {
            Some(cause) => write!(f, " because {cause}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl std::error::Error for Error {}
