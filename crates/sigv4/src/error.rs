//! Why a request is refused, before it is put in words.

use crate::render::{Dialect, Rendered, render};
use base::Timestamp;
use std::fmt;

/// Where the credentials stood. The same fault is worded differently in each place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The `Authorization` header.
    Header,
    /// The query of a presigned URL.
    Query,
    /// The fields of a browser form.
    Form,
}

/// A refusal: the cause and the place. [`AuthError::render`] gives code, status and text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthError {
    pub place: Place,
    pub cause: Cause,
}

/// Which parts an `Authorization` header lacks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MissingParts {
    pub credential: bool,
    pub signature: bool,
    pub signed_headers: bool,
    pub date: bool,
}

/// What was signed here and what came, for the client to compare.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    pub access_key: String,
    pub signature: String,
    pub string_to_sign: String,
    /// Empty where nothing canonical was signed (forms).
    pub canonical_request: Vec<u8>,
}

/// What was wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Nothing in the request says who signed it. For the caller to raise where that is not enough.
    NoCredentials,
    /// Both the header and the query carry a signature.
    TwoMechanisms(String),
    /// Signature Version 2: where S3 takes it, [`crate::v2`] reads it.
    VersionTwo,
    /// Version 2: a parameter of a presigned URL is missing, empty or there twice.
    TwoQueryParts,
    /// Version 2: `Expires` is not seconds since 1970.
    TwoExpires(String),
    /// Version 2: a presigned URL that is not valid any more.
    TwoExpired {
        expires: Timestamp,
        now: Timestamp,
    },
    /// Version 2: the `Authorization` header is not `AWS key:signature`.
    TwoAuthorization(String),
    /// Signature Version 4A.
    VersionFourA,
    /// Another algorithm in the query or the form.
    Algorithm(String),
    /// The `Authorization` header is not one scheme, a space and the rest, or comes twice.
    AuthorizationShape(String),
    /// The scheme of the `Authorization` header is not known.
    Scheme(String),
    /// A part of the `Authorization` header is not `name=value`, not known, or repeated.
    Component(String),
    MissingParts(MissingParts, String),
    /// A parameter of a presigned URL or a field of a form is not there.
    MissingParameter(&'static str),
    /// A parameter of a presigned URL is there more than once.
    RepeatedParameter(&'static str),
    /// Not five elements, or an empty one.
    Credential(String),
    /// The date in the scope is no date.
    ScopeDate(String, String),
    Terminator(String, String),
    Service {
        credential: String,
        given: String,
        expected: String,
    },
    Region {
        credential: String,
        given: String,
        expected: String,
    },
    /// Neither `x-amz-date` nor `Date`.
    DateMissing,
    DateFormat(String),
    /// The scope is of another day than the request.
    DateMismatch {
        scope: String,
        stamp: String,
    },
    ExpiresFormat,
    ExpiresNegative,
    ExpiresTooLong,
    /// No `x-amz-content-sha256` where S3 asks for it.
    PayloadMissing,
    PayloadFormat(String),
    /// Chunks signed with Signature Version 4A.
    PayloadUnsupported(String),
    /// Signed chunks in a request that nobody signed.
    PayloadAnonymous,
    /// Headers that must be signed and are not, joined with a comma and a space.
    NotSigned(String),
    /// More signed headers than a request can have.
    TooManySigned,
    /// The request's time is too far from ours.
    Skewed {
        request: Timestamp,
        now: Timestamp,
        limit_s: u32,
    },
    /// A presigned URL that is not valid yet.
    NotYetValid {
        request: Timestamp,
        now: Timestamp,
        limit_s: u32,
    },
    /// A presigned URL that is not valid any more.
    Expired {
        request: Timestamp,
        now: Timestamp,
        expires_s: u32,
    },
    Mismatch(Box<Mismatch>),

    /// The access key does not exist. Raised by the caller.
    UnknownKey(String),
    /// The session token does not belong to the key, or cannot be read. Raised by the caller.
    TokenInvalid(String),
    /// The session is over. Raised by the caller.
    TokenExpired(String),
    /// The body is not the one whose hash was signed.
    BodyHash {
        given: String,
        computed: String,
    },

    /// `x-amz-decoded-content-length` is not there or no number.
    DecodedLengthMissing,
    /// The chunks hold more or less than `x-amz-decoded-content-length` says.
    DecodedLength {
        expected: u64,
        provided: u64,
    },
    /// The body ends too early or its framing is broken.
    IncompleteBody,
    /// A chunk other than the last is too small; chunks count from 1.
    ChunkSize {
        chunk: u64,
        size: u64,
    },
    /// A trailer is malformed, not announced, or missing.
    Trailer,
    /// `x-amz-trailer` announces what cannot be a trailer.
    TrailerName(String),

    /// The policy of a form is no policy: the reason.
    PolicyInvalid(String),
    /// The policy of a form does not allow it: the reason.
    PolicyDenied(String),
    TooLarge {
        size: u64,
        max: u64,
    },
    TooSmall {
        size: u64,
        min: u64,
    },
}

impl AuthError {
    pub fn new(place: Place, cause: Cause) -> AuthError {
        AuthError { place, cause }
    }

    /// The refusal of a body whose hash is not the signed one.
    pub fn body_hash(given: &[u8; 32], computed: &[u8; 32]) -> AuthError {
        let (given, computed) = (base::hex::encode(given), base::hex::encode(computed));
        AuthError::new(Place::Header, Cause::BodyHash { given, computed })
    }

    /// Code, status, text and fields in the words of the service asked.
    pub fn render(&self, dialect: Dialect) -> Rendered {
        render(self, dialect)
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rendered = self.render(Dialect::S3);
        write!(f, "{}: {}", rendered.code, rendered.message)
    }
}

impl std::error::Error for AuthError {}
