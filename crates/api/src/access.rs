//! What is known of a request that was answered, for the logs of buckets.

use crate::Caller;
use base::Timestamp;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What a service noted while it answered: a bucket that keeps a log, a key in it (empty for the bucket
/// itself), and the action that was asked for.
pub type Touched = BTreeSet<(String, String, String)>;

/// How a connection is encrypted, in the words of OpenSSL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tls {
    /// `TLSv1.3`.
    pub version: &'static str,
    pub cipher_suite: &'static str,
}

#[derive(Clone, Debug)]
pub struct Access {
    /// When it came.
    pub at: Timestamp,
    /// The bucket that its URL names.
    pub bucket: String,
    /// As it stands in the URL, without the first slash; empty for the bucket itself.
    pub key: String,
    pub touched: Touched,
    pub method: String,
    /// As the model names it; empty where none became known.
    pub operation: &'static str,
    /// The first line of the request.
    pub line: String,
    pub version_id: Option<String>,
    pub status: u16,
    pub error: Option<String>,
    /// Of the body of the answer.
    pub sent_bytes: u64,
    /// Of the object as a whole, where headers tell it.
    pub object_bytes: Option<u64>,
    /// From the head of the request to the last byte of the answer, and to its first.
    pub total_ms: u64,
    pub turn_around_ms: u64,
    pub referer: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Arc<str>,
    pub host_id: Option<String>,
    /// `None` where it did not become known.
    pub caller: Option<Arc<Caller>>,
    pub source_ip: IpAddr,
    /// Of the signature, as [`crate::HttpInfo::version_two`] has it; `None` without one.
    pub version_two: Option<bool>,
    /// Signed in the query and not in a header.
    pub is_presigned: bool,
    pub host: String,
    pub tls: Option<Tls>,
    /// The ARN of the access point that it came through.
    pub access_point: Option<String>,
    /// Whether an access control list had to allow it.
    pub by_list: bool,
    pub is_website: bool,
}
