//! The rows. Numbers of fields and tables are never changed and never reused.

use store::blobs::BlobRef;
use store::{Table, row};

/// On this machine, by digest: contents, whoever has them.
pub const BLOBS: Table<String, BlobRow> = Table::new(0x4101, "registry.blob");
/// Of an account, by name.
pub const REPOSITORIES: Table<String, RepositoryRow> = Table::new(0x4102, "registry.repository");
/// Of an account, by repository and digest: which blobs it has.
pub const LINKS: Table<(String, String), LinkRow> = Table::new(0x4103, "registry.link");
/// Of an account, by repository and digest.
pub const MANIFESTS: Table<(String, String), ManifestRow> = Table::new(0x4104, "registry.manifest");
/// Of an account, by repository and tag.
pub const TAGS: Table<(String, String), TagRow> = Table::new(0x4105, "registry.tag");
/// Of an account, by repository, what they are about, and their own digest.
pub const REFERRERS: Table<(String, String, String), ReferrerRow> =
    Table::new(0x4106, "registry.referrer");
/// Of an account, by repository and id.
pub const UPLOADS: Table<(String, String), UploadRow> = Table::new(0x4107, "registry.upload");
/// On this machine: accounts that have repositories.
pub const ACCOUNTS: Table<String, ()> = Table::new(0x4108, "registry.account");

row! {
    pub struct BlobRow {
        1 => size: u64,
        /// One after the other; none if it is a layer.
        2 => parts: Vec<BlobRef>,
        /// Key of the engine's layer whose archive it is.
        3 => layer: String,
        /// Repositories that have it.
        4 => uses: u64,
    }

    pub struct RepositoryRow {
        1 => created_ns: i64,
    }

    pub struct LinkRow {
        1 => linked_ns: i64,
    }

    pub struct ManifestRow {
        1 => media_type: String,
        2 => content: BlobRef,
        /// Digests of blobs and manifests that it names.
        3 => blobs: Vec<String>,
        4 => manifests: Vec<String>,
        /// What it is about; empty if about nothing.
        5 => subject: String,
        6 => pushed_ns: i64,
        /// Where it was copied from, if from another registry.
        7 => upstream: bool,
    }

    pub struct TagRow {
        1 => digest: String,
        2 => tagged_ns: i64,
    }

    pub struct ReferrerRow {
        /// A descriptor in JSON.
        1 => descriptor: String,
        2 => artifact_type: String,
    }

    pub struct UploadRow {
        1 => begun_ns: i64,
        2 => size: u64,
        3 => parts: Vec<BlobRef>,
    }
}
