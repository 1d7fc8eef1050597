//! Keys that customers keep themselves (SSE-C): read from the headers, and held against what an
//! object remembers of its key. The key itself is kept nowhere.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html>

use crate::rows::{CustomerRow, Meta};
use api::{Cx, Error};
use base::Entropy;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gen_s3::errors as e;
use md5::{Digest, Md5};
use ring::hmac;
use std::fmt;
use subtle::ConstantTimeEq;

pub const ALGORITHM: &str = "AES256";
pub const SALT_BYTES: usize = 32;
const KEY_BYTES: usize = 32;

/// A key of a request.
#[derive(Clone)]
pub struct CustomerKey {
    bytes: [u8; KEY_BYTES],
    /// As the client sent it, in base64.
    md5: String,
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey")
    }
}

/// The three headers as an input has them.
pub struct Given<'a> {
    pub algorithm: &'a Option<String>,
    pub key: &'a Option<String>,
    pub md5: &'a Option<String>,
}

/// The members of an input, which every operation has in a type of its own.
macro_rules! given {
    ($input:expr) => {
        $crate::customer_key::Given {
            algorithm: &$input.sse_customer_algorithm,
            key: &$input.sse_customer_key,
            md5: &$input.sse_customer_key_md5,
        }
    };
}
pub(crate) use given;

fn invalid(text: &str, header: &'static str) -> Error {
    Error::new(&e::INVALID_ARGUMENT, text.to_owned()).detail("ArgumentName", header)
}

const ALGORITHM_HEADER: &str = "x-amz-server-side-encryption-customer-algorithm";
const KEY_HEADER: &str = "x-amz-server-side-encryption-customer-key";

impl Given<'_> {
    /// The key, if any of its headers is there; they come together or not at all.
    pub fn read(&self, cx: &Cx) -> Result<Option<CustomerKey>, Error> {
        if self.algorithm.is_none() && self.key.is_none() && self.md5.is_none() {
            return Ok(None);
        }
        let near = cx.http.source_ip.is_none_or(|address| address.to_canonical().is_loopback());
        if !cx.http.secure && !near {
            let text = "Requests specifying Server Side Encryption with Customer provided keys must be made over a secure connection.";
            return Err(Error::new(&e::INVALID_REQUEST, text));
        }
        let Some(algorithm) = self.algorithm else {
            let text = "Requests specifying Server Side Encryption with Customer provided keys must provide a valid encryption algorithm.";
            return Err(invalid(text, ALGORITHM_HEADER));
        };
        if algorithm != ALGORITHM {
            let text =
                "The Encryption request you specified is not valid. Supported value: AES256.";
            return Err(Error::new(&e::INVALID_ENCRYPTION_ALGORITHM_ERROR, text)
                .detail("ArgumentName", ALGORITHM_HEADER)
                .detail("ArgumentValue", algorithm));
        }
        let Some(key) = self.key else {
            let text = "Requests specifying Server Side Encryption with Customer provided keys must provide an appropriate secret key.";
            return Err(invalid(text, KEY_HEADER));
        };
        let Some(md5) = self.md5 else {
            let text = "Requests specifying Server Side Encryption with Customer provided keys must provide the client calculated MD5 of the secret key.";
            return Err(invalid(text, "x-amz-server-side-encryption-customer-key-MD5"));
        };
        let bytes = BASE64_STANDARD.decode(key).ok().and_then(|key| key.try_into().ok());
        let Some(bytes): Option<[u8; KEY_BYTES]> = bytes else {
            let text = "The secret key was invalid for the specified algorithm.";
            return Err(invalid(text, KEY_HEADER));
        };
        if BASE64_STANDARD.encode(Md5::digest(bytes)) != *md5 {
            let text =
                "The calculated MD5 hash of the key did not match the hash that was provided.";
            return Err(invalid(text, KEY_HEADER));
        }
        Ok(Some(CustomerKey { bytes, md5: md5.clone() }))
    }
}

impl CustomerKey {
    /// What responses say of it.
    pub fn shown_md5(&self) -> String {
        self.md5.clone()
    }

    /// A key for one purpose, made of this one.
    pub fn derive(&self, salt: &[u8], purpose: &[u8]) -> [u8; KEY_BYTES] {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.bytes));
        mac.update(purpose);
        mac.update(salt);
        let mut out = [0; KEY_BYTES];
        out.copy_from_slice(mac.sign().as_ref());
        out
    }

    /// What an object remembers, to know the key again.
    pub fn remember(&self, entropy: &dyn Entropy) -> CustomerRow {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt);
        CustomerRow { check: self.derive(&salt, CHECK).to_vec(), salt: salt.to_vec() }
    }

    fn is_of(&self, row: &CustomerRow) -> bool {
        let own = self.derive(&row.salt, CHECK);
        // In constant time, though what is compared is no secret of ours.
        own.ct_eq(&row.check).into()
    }
}

const CHECK: &[u8] = b"s3 customer key check";

/// Whether this key, or none, is right for reading what is there.
pub fn check_reading(meta: &Meta, key: Option<&CustomerKey>) -> Result<(), Error> {
    match (&meta.customer, key) {
        (None, None) => Ok(()),
        (Some(row), Some(key)) if key.is_of(row) => Ok(()),
        (Some(_), Some(_)) => Err(Error::new(
            &e::ACCESS_DENIED,
            "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key.",
        )),
        (Some(_), None) => Err(Error::new(
            &e::INVALID_REQUEST,
            "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.",
        )),
        (None, Some(_)) => Err(Error::new(
            &e::INVALID_REQUEST,
            "The encryption parameters are not applicable to this object.",
        )),
    }
}

/// Whether a part comes with the key that its upload was begun with.
pub fn check_part(meta: &Meta, key: Option<&CustomerKey>) -> Result<(), Error> {
    let text = match (&meta.customer, key) {
        (None, None) => return Ok(()),
        (Some(row), Some(key)) if key.is_of(row) => return Ok(()),
        (Some(_), Some(_)) => {
            "The provided encryption parameters did not match the ones used originally."
        }
        (Some(_), None) => {
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters."
        }
        (None, Some(_)) => {
            "The multipart upload initiate did not request encryption. Please resend the request without sending encryption parameters."
        }
    };
    Err(Error::new(&e::INVALID_REQUEST, text))
}

/// The same where the key need not be said again.
pub fn check_said(meta: &Meta, key: Option<&CustomerKey>) -> Result<(), Error> {
    if key.is_none() { Ok(()) } else { check_part(meta, key) }
}
