//! What S3 keeps. Buckets by name for all accounts; objects below their bucket's number, in the
//! scope of the account that owns the bucket, so that an account can be emptied by range.
//!
//! The latest version of a key, object or delete marker, is one row of [`OBJECTS`], so that a `GET`
//! is a point read; those it displaced are rows of [`VERSIONS`], newest first.

use base::{AccountId, Timestamp};
use std::collections::BTreeMap;
use store::blobs::BlobRef;
use store::{Desc, Table, row, row_enum};

/// By bucket name, in the global scope.
pub const BUCKETS: Table<String, BucketRow> = Table::new(0x0101, "s3.bucket");
/// Names of an account's buckets, in its scope.
pub const BUCKETS_OF_ACCOUNT: Table<String, ()> = Table::new(0x0102, "s3.bucket_of_account");
/// By bucket number and key.
pub const OBJECTS: Table<(u64, String), ObjectRow> = Table::new(0x0103, "s3.object");
/// By bucket number, key and version number, newest first.
pub const VERSIONS: Table<(u64, String, Desc<u64>), ObjectRow> = Table::new(0x0104, "s3.version");
/// By bucket number, key and upload id.
pub const UPLOADS: Table<(u64, String, String), UploadRow> = Table::new(0x0105, "s3.upload");
/// By bucket number, upload id and part number.
pub const PARTS: Table<(u64, String, u32), PartRow> = Table::new(0x0106, "s3.part");
/// By bucket number, kind of configuration and its id, which is empty where there can be but one.
pub const CONFIGS: Table<(u64, String, String), ConfigRow> = Table::new(0x0107, "s3.config");

row! {
    pub struct BucketRow {
        /// Unique for ever, so that nothing of a deleted bucket shows in a later one of its name.
        1 => number: u64,
        2 => owner: AccountId,
        3 => region: String,
        4 => created: Timestamp,
        5 => versioning: Versioning,
        6 => acl: Vec<GrantRow>,
        7 => policy: Option<String>,
        /// Grows with each change of the policy: parsed ones are cached under it.
        8 => policy_version: u64,
        9 => ownership: Ownership,
        /// What the client asked for as location; empty for us-east-1.
        10 => location: String,
        11 => public_access: Option<PublicAccessRow>,
        /// Set where object lock is on.
        12 => lock: Option<LockRow>,
        13 => encryption: Option<EncryptionRow>,
        /// Whether the ownership was said, and not only assumed.
        14 => ownership_said: bool,
        /// The unique ids of the users and roles that the policy names, by their ARNs.
        21 => policy_ids: BTreeMap<String, String>,
        /// Which of the [`Feature`]s it has, as bits: requests to a bucket without them look no further.
        20 => features: u32,
    }
}

/// What a bucket may have that requests and jobs look for, each a bit of [`BucketRow::features`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    Lifecycle = 1,
    Notifications = 2,
    RequesterPays = 4,
    Logging = 8,
    Replication = 16,
}

impl BucketRow {
    pub fn has(&self, feature: Feature) -> bool {
        self.features & feature as u32 != 0
    }
}

row! {
    /// The four switches of a bucket's public access block.
    #[derive(Copy, Default)]
    pub struct PublicAccessRow {
        1 => block_acls: bool,
        2 => ignore_acls: bool,
        3 => block_policy: bool,
        4 => restrict: bool,
    }
}

row! {
    /// What new versions are kept for, unless they say so themselves.
    #[derive(Default)]
    pub struct LockRow {
        1 => mode: Option<LockMode>,
        2 => days: Option<u32>,
        3 => years: Option<u32>,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum LockMode {
        0 => Governance,
        1 => Compliance,
    }
}

row! {
    pub struct RetentionRow {
        1 => mode: LockMode,
        2 => until: Timestamp,
    }
}

row! {
    /// The default encryption of new objects.
    #[derive(Default)]
    pub struct EncryptionRow {
        /// `AES256`, `aws:kms`, `aws:kms:dsse`.
        1 => algorithm: String,
        2 => kms_key_id: Option<String>,
        3 => bucket_key: Option<bool>,
        /// Kinds that requests may not ask for: `SSE-C`, `NONE`.
        4 => blocked: Vec<String>,
    }
}

row! {
    /// A configuration that is given back as it came: its document, in JSON by the model's names.
    pub struct ConfigRow {
        1 => document: String,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Versioning {
        0 => Unversioned,
        1 => Enabled,
        2 => Suspended,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Ownership {
        0 => ObjectWriter,
        1 => BucketOwnerPreferred,
        2 => BucketOwnerEnforced,
    }
}

row! {
    /// A version of an object, or a delete marker.
    pub struct ObjectRow {
        /// Orders the versions of a key.
        1 => sequence: u64,
        /// Empty for the null version.
        2 => version_id: String,
        3 => delete_marker: bool,
        4 => modified: Timestamp,
        5 => size_bytes: u64,
        /// Without its quotes.
        6 => e_tag: String,
        7 => blobs: Vec<BlobRef>,
        8 => meta: Meta,
        /// The account that wrote it.
        9 => owner: AccountId,
        10 => acl: Vec<GrantRow>,
        11 => checksum: Option<ChecksumRow>,
        /// For objects made of parts: size and checksum of each.
        12 => parts: Vec<PartOfObject>,
        /// The upload that made it: completing that once more is answered as done.
        13 => upload_id: Option<String>,
    }
}

row! {
    /// What a client says of an object and gets back as it was.
    #[derive(Default)]
    pub struct Meta {
        1 => content_type: Option<String>,
        2 => cache_control: Option<String>,
        3 => content_disposition: Option<String>,
        4 => content_encoding: Option<String>,
        5 => content_language: Option<String>,
        6 => expires: Option<String>,
        7 => website_redirect: Option<String>,
        /// `x-amz-meta-…`, lower-case names.
        8 => user: BTreeMap<String, String>,
        /// Empty for STANDARD.
        9 => storage_class: String,
        10 => tags: BTreeMap<String, String>,
        /// What was asked for: `AES256`, `aws:kms`. Empty for the default, which is `AES256` too.
        11 => encryption: String,
        12 => kms_key_id: Option<String>,
        13 => retention: Option<RetentionRow>,
        /// Absent where it was never said.
        14 => legal_hold: Option<bool>,
        15 => bucket_key: bool,
        /// Set where the bytes are under a key that the customer keeps.
        30 => customer: Option<CustomerRow>,
        /// Of an archived object that was asked for.
        40 => restore: Option<RestoreRow>,
        /// Where a rule of replication concerned the version when it was made.
        50 => replication: Option<Replicated>,
    }
}

row_enum! {
    /// How the copies of a version in other buckets stand, or that it is such a copy itself.
    #[derive(Copy, Eq)]
    pub enum Replicated {
        0 => Pending,
        1 => Completed,
        2 => Failed,
        3 => Replica,
    }
}

row! {
    /// What is remembered of a customer's key, to know it again.
    pub struct CustomerRow {
        1 => salt: Vec<u8>,
        2 => check: Vec<u8>,
    }
}

row! {
    /// An archived object that can be read from then until then.
    pub struct RestoreRow {
        1 => ready: Timestamp,
        2 => until: Timestamp,
        /// Whether it was told that it is complete.
        3 => told: bool,
    }
}

row! {
    #[derive(Eq)]
    pub struct ChecksumRow {
        1 => algorithm: Algorithm,
        /// As it stands in headers: base64, with `-N` behind a composite one.
        2 => value: String,
        3 => composite: bool,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Algorithm {
        0 => Crc32,
        1 => Crc32c,
        2 => Crc64Nvme,
        3 => Sha1,
        4 => Sha256,
        5 => Sha512,
        6 => Md5,
        7 => XxHash64,
        8 => XxHash3,
        9 => XxHash128,
    }
}

row! {
    pub struct PartOfObject {
        1 => number: u32,
        2 => size_bytes: u64,
        3 => checksum: Option<ChecksumRow>,
    }
}

row! {
    /// An upload in parts that has neither been completed nor aborted.
    pub struct UploadRow {
        1 => initiated: Timestamp,
        2 => meta: Meta,
        3 => owner: AccountId,
        4 => acl: Vec<GrantRow>,
        5 => algorithm: Option<Algorithm>,
        6 => composite: bool,
        /// ARN and display name of who began it.
        7 => initiator: String,
    }
}

row! {
    pub struct PartRow {
        1 => size_bytes: u64,
        2 => e_tag: String,
        3 => modified: Timestamp,
        4 => blob: BlobRef,
        5 => checksum: Option<ChecksumRow>,
    }
}

row! {
    /// One line of an access control list.
    #[derive(Eq)]
    pub struct GrantRow {
        1 => grantee: Grantee,
        2 => permission: Permission,
        /// The account of a canonical user, or the name of a group.
        3 => id: String,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Grantee {
        0 => CanonicalUser,
        1 => AllUsers,
        2 => AuthenticatedUsers,
        3 => LogDelivery,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Permission {
        0 => FullControl,
        1 => Read,
        2 => Write,
        3 => ReadAcp,
        4 => WriteAcp,
    }
}
