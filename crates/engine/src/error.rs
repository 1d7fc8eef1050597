//! What can go wrong, by what a client can do about it.

use std::fmt;

/// Docker's classes of errors; the front turns them into status codes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Nothing to do: it is so already.
    NotModified,
    Invalid,
    Unauthorized,
    Forbidden,
    NotFound,
    Conflict,
    /// Known, and not done here.
    NotDone,
    /// The fault is ours, or the machine's.
    Failed,
    Unavailable,
}

/// An error with the text that the client sees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error {
    pub kind: Kind,
    pub text: String,
}

impl Error {
    pub fn new(kind: Kind, text: impl Into<String>) -> Error {
        Error { kind, text: text.into() }
    }

    pub fn invalid(text: impl Into<String>) -> Error {
        Error::new(Kind::Invalid, text)
    }

    pub fn not_found(text: impl Into<String>) -> Error {
        Error::new(Kind::NotFound, text)
    }

    pub fn conflict(text: impl Into<String>) -> Error {
        Error::new(Kind::Conflict, text)
    }

    pub fn failed(text: impl Into<String>) -> Error {
        Error::new(Kind::Failed, text)
    }

    pub fn not_modified() -> Error {
        Error::new(Kind::NotModified, "")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<store::StoreError> for Error {
    fn from(error: store::StoreError) -> Error {
        match error {
            store::StoreError::Busy | store::StoreError::Full => {
                Error::new(Kind::Unavailable, error.to_string())
            }
            other => Error::failed(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Error {
        Error::failed(error.to_string())
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(error: rustix::io::Errno) -> Error {
        Error::failed(std::io::Error::from(error).to_string())
    }
}
