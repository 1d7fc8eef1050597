//! Why a document is not a policy.

use std::fmt;

/// The message is AWS's. The code belongs to the service: IAM says `MalformedPolicyDocument` or
/// `LimitExceeded`, S3 says `MalformedPolicy`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PolicyError {
    Malformed(String),
    /// The document exceeds the quota of its kind, in characters that are not white space (for a
    /// bucket policy in bytes).
    TooLarge {
        quota: &'static str,
        limit: usize,
    },
}

impl PolicyError {
    pub(crate) fn new(message: impl Into<String>) -> PolicyError {
        PolicyError::Malformed(message.into())
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::Malformed(message) => f.write_str(message),
            PolicyError::TooLarge { quota: "BucketPolicySize", .. } => {
                f.write_str("Policy exceeds the maximum allowed document size.")
            }
            PolicyError::TooLarge { quota, limit } => {
                write!(f, "Cannot exceed quota for {quota}: {limit}")
            }
        }
    }
}

impl std::error::Error for PolicyError {}
