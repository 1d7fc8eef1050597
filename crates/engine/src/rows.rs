//! The rows. Numbers of fields and tables are never changed and never reused.
//!
//! What a client asked for is kept as the document that it sent (see `docs/decisions/071`): those grow
//! by members with defaults alone, and `inspect` has to give them back whole.

use bytes::Bytes;
use store::blobs::BlobRef;
use store::{Table, row};

/// By id.
pub const CONTAINERS: Table<String, ContainerRow> = Table::new(0x4001, "engine.container");
/// By id.
pub const IMAGES: Table<String, ImageRow> = Table::new(0x4002, "engine.image");
/// By whole reference with its tag: `docker.io/library/busybox:latest`.
pub const TAGS: Table<String, TagRow> = Table::new(0x4003, "engine.tag");
/// By the name of the stack that it is the top of, in hexadecimal.
pub const LAYERS: Table<String, LayerRow> = Table::new(0x4004, "engine.layer");
/// By name.
pub const VOLUMES: Table<String, VolumeRow> = Table::new(0x4005, "engine.volume");
/// By id.
pub const NETWORKS: Table<String, NetworkRow> = Table::new(0x4006, "engine.network");
/// By what it is and its name: folders and bridges without a row of their own since a reset.
pub const FORGOTTEN: Table<(String, String), ()> = Table::new(0x4007, "engine.forgotten");

row! {
    pub struct ContainerRow {
        1 => name: String,
        2 => created_ns: i64,
        /// Id of the image.
        3 => image: String,
        /// Documents in JSON.
        4 => config: String,
        5 => host_config: String,
        6 => mounts: String,
        7 => endpoints: String,
        /// As of its last end; while it runs, the helper knows.
        8 => started_ns: i64,
        9 => finished_ns: i64,
        10 => exit_code: i64,
        11 => out_of_memory: bool,
        12 => error: String,
        /// Wanted to run: started and not stopped by anybody.
        13 => wanted: bool,
        14 => restarts: u64,
        /// What led to it when it ran, in JSON.
        15 => ports: String,
    }

    pub struct ImageRow {
        /// The document whose digest is the image's id.
        1 => config: Bytes,
        /// All layers, unpacked.
        2 => size: u64,
        3 => loaded_ns: i64,
        /// Id of the image that it was made of here.
        4 => parent: String,
        /// `name@sha256:…` under which it came from a registry.
        5 => digests: Vec<String>,
    }

    pub struct TagRow {
        1 => image: String,
        2 => tagged_ns: i64,
    }

    pub struct LayerRow {
        1 => diff_id: String,
        /// Key of the layer below; empty for the lowest.
        2 => below: String,
        3 => size: u64,
        /// Its recipe, compressed, or if `is_archive` the whole archive.
        4 => recipe: BlobRef,
        5 => is_archive: bool,
        /// Images that have it.
        6 => uses: u64,
    }

    pub struct VolumeRow {
        1 => created_ns: i64,
        2 => labels: Vec<PairRow>,
        3 => options: Vec<PairRow>,
        4 => is_anonymous: bool,
    }

    pub struct PairRow {
        1 => key: String,
        2 => value: String,
    }

    pub struct NetworkRow {
        1 => name: String,
        /// A document in JSON.
        2 => settings: String,
        3 => created_ns: i64,
    }
}
