//! Bounds that more than one crate must agree on. Quotas of one service stand in that service,
//! under their AWS quota name.

/// A request's head (request line and headers), in bytes, as AWS's front ends have it.
pub const REQUEST_HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header fields in one request.
pub const REQUEST_HEADERS_MAX: usize = 256;
/// A body that is decoded as a whole (everything except object bodies), in bytes.
pub const REQUEST_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Nesting of JSON, CBOR or XML in a request.
pub const NESTING_MAX: usize = 128;
/// Bytes written in one transaction: the largest change of one item of DynamoDB with its entries in 25 indexes,
/// its images and its past, and less than a segment of the log.
pub const TRANSACTION_BYTES_MAX: usize = 14 * 1024 * 1024;
