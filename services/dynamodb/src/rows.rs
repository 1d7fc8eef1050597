//! What DynamoDB keeps. Tables by name in their account and region; everything that belongs to a table
//! by its number, which is unique for ever, so that nothing of a deleted table shows in a later one.
//!
//! Items and the entries of all indexes are rows of [`ITEMS`], each index a range of keys of its own
//! (`keyspace.rs`), written in the transaction that changes the item.

use base::{AccountId, Region, Timestamp};
use bytes::Bytes;
use item::Kind;
use std::collections::{BTreeMap, BTreeSet};
use store::{
    DecodeError, Key, KeyReader, KeyRef, KeyWriter, PrefixOf, Row, RowReader, RowWriter, Table,
    Value, Wire, row, row_enum,
};

/// By table name: its number, and when its description last changed.
pub const HEADS: Table<String, HeadRow> = Table::new(0x0401, "dynamodb.head");
/// By table number.
pub const TABLES: Table<u64, TableRow> = Table::new(0x0402, "dynamodb.table");
/// Items and entries of indexes.
pub const ITEMS: Table<RawKey, ItemRow> = Table::new(0x0403, "dynamodb.item");
/// By the stream's number and the sequence number.
pub const RECORDS: Table<(u64, u64), RecordRow> = Table::new(0x0404, "dynamodb.record");
/// By table name and label, those of deleted tables too.
pub const STREAMS: Table<(String, String), StreamRow> = Table::new(0x0405, "dynamodb.stream");
/// By client token: what it was used for.
pub const TOKENS: Table<String, TokenRow> = Table::new(0x0406, "dynamodb.token");
/// What items were before they changed, while somebody needs to know: by the key of the item and, in
/// eight bytes, the commit of the change.
pub const HISTORY: Table<RawKey, PastRow> = Table::new(0x0409, "dynamodb.past");
/// By the last part of the backup's ARN.
pub const BACKUPS: Table<String, BackupRow> = Table::new(0x040a, "dynamodb.backup");
/// Copies that are being made, by the number that they are made under.
pub const COPIES: Table<u64, CopyRow> = Table::new(0x040b, "dynamodb.copy");

row! {
    #[derive(Copy)]
    pub struct HeadRow {
        1 => number: u64,
        /// The commit of the last change of the description: parsed ones are cached under it.
        2 => generation: u64,
    }
}

row! {
    pub struct TableRow {
        1 => number: u64,
        2 => name: String,
        3 => account: AccountId,
        4 => region: Region,
        5 => created: Timestamp,
        /// A UUID that clients see.
        6 => id: String,
        /// Attributes of all keys: S, N or B.
        7 => attributes: BTreeMap<String, AttributeKind>,
        8 => hash: String,
        9 => range: Option<String>,
        10 => indexes: Vec<IndexRow>,
        /// The number of the next index.
        11 => next_index: u32,
        12 => on_demand: bool,
        13 => throughput: ThroughputRow,
        14 => on_demand_since: Option<Timestamp>,
        15 => stream: Option<ViewType>,
        /// The newest stream, also when it is disabled.
        16 => stream_label: Option<String>,
        17 => stream_number: u64,
        18 => deletion_protection: bool,
        19 => tags: BTreeMap<String, String>,
        20 => policy: Option<String>,
        21 => policy_revision: String,
        22 => class: Option<String>,
        23 => ttl: Option<String>,
        24 => recovery_since: Option<Timestamp>,
        25 => recovery_days: u32,
        26 => max_reads: Option<i64>,
        27 => max_writes: Option<i64>,
        28 => warm_reads: Option<i64>,
        29 => warm_writes: Option<i64>,
        30 => sse: Option<String>,
        31 => sse_key: Option<String>,
        32 => insights: BTreeMap<String, String>,
        33 => class_since: Option<Timestamp>,
        34 => ttl_changed: Option<Timestamp>,
        35 => restored_from: Option<RestoredRow>,
        /// As of the last count.
        36 => count: u64,
        37 => size_bytes: u64,
        /// Who needs to know what items were, and since when, by numbers of their own: copies and exports
        /// that are being made.
        38 => pins: BTreeMap<u64, Timestamp>,
        /// Its items are still to come: it is being restored or imported.
        39 => coming: bool,
        /// The unique ids of the users and roles that the policy names, by their ARNs.
        40 => policy_ids: BTreeMap<String, String>,
        /// The sizes of its item collections have been kept from its first item on.
        41 => measures_collections: bool,
    }

    #[derive(Default)]
    pub struct ThroughputRow {
        1 => reads: i64,
        2 => writes: i64,
        3 => increased: Option<Timestamp>,
        4 => decreased: Option<Timestamp>,
        5 => decreases: i64,
    }

    pub struct RestoredRow {
        1 => backup: Option<String>,
        2 => table: Option<String>,
        3 => at: Timestamp,
    }

    pub struct IndexRow {
        /// Its range of keys among those of the table.
        1 => number: u32,
        2 => name: String,
        3 => hash: Vec<String>,
        4 => range: Vec<String>,
        5 => projection: ProjectionKind,
        6 => non_key: Vec<String>,
        7 => local: bool,
        8 => throughput: ThroughputRow,
        /// Entries are being made for items that were there before it.
        9 => filling: bool,
        10 => max_reads: Option<i64>,
        11 => max_writes: Option<i64>,
        12 => warm_reads: Option<i64>,
        13 => warm_writes: Option<i64>,
    }

    pub struct StreamRow {
        1 => number: u64,
        2 => view: ViewType,
        3 => created: Timestamp,
        /// When it was disabled, or its table deleted; it stays readable for a day.
        4 => ended: Option<Timestamp>,
        5 => hash: String,
        6 => range: Option<String>,
        /// The first and last sequence numbers that it can have.
        7 => first: u64,
        8 => last: Option<u64>,
        9 => policy: Option<String>,
        10 => policy_revision: String,
        /// As [`TableRow::policy_ids`].
        11 => policy_ids: BTreeMap<String, String>,
        /// All records below it have been removed for their age.
        12 => trimmed: u64,
    }

    /// A change of one item.
    pub struct RecordRow {
        1 => at: Timestamp,
        2 => keys: Bytes,
        3 => old: Option<Bytes>,
        4 => new: Option<Bytes>,
        5 => event: Event,
        /// Made by the expiry of items.
        6 => by_ttl: bool,
        7 => id: [u8; 16],
    }

    /// An item before a change, if it was there.
    pub struct PastRow {
        1 => at: Timestamp,
        2 => item: Option<Bytes>,
    }

    /// A copy of all items of a table, kept under a table number of its own.
    pub struct BackupRow {
        1 => id: String,
        2 => number: u64,
        3 => name: String,
        /// As it was.
        4 => table: TableRow,
        5 => created: Timestamp,
        /// All of it is there.
        6 => ready: bool,
        /// Made when a table with recovery was deleted.
        7 => by_system: bool,
        8 => expires: Option<Timestamp>,
        9 => count: u64,
        10 => size_bytes: u64,
        /// Tables that are being restored from it.
        11 => readers: BTreeSet<u64>,
    }

    /// Where the items of a copy come from.
    pub struct CopyRow {
        1 => from: u64,
        2 => moment: Option<MomentRow>,
        /// The backup that is made, or that is read.
        3 => backup: Option<String>,
        /// Whether it is made.
        4 => is_backup: bool,
    }

    /// A state of a table in the past: after a commit, or at a time.
    #[derive(Copy)]
    pub struct MomentRow {
        1 => version: Option<u64>,
        2 => at: Timestamp,
    }

    pub struct TokenRow {
        1 => digest: u64,
        2 => until: Timestamp,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum AttributeKind {
        0 => S,
        1 => N,
        2 => B,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum ProjectionKind {
        0 => All,
        1 => KeysOnly,
        2 => Include,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum ViewType {
        0 => NewAndOldImages,
        1 => NewImage,
        2 => OldImage,
        3 => KeysOnly,
    }
}

row_enum! {
    #[derive(Copy, Eq)]
    pub enum Event {
        0 => Insert,
        1 => Modify,
        2 => Remove,
    }
}

impl AttributeKind {
    pub fn parse(text: &str) -> Option<AttributeKind> {
        Some(match text {
            "S" => AttributeKind::S,
            "N" => AttributeKind::N,
            "B" => AttributeKind::B,
            _ => return None,
        })
    }

    pub fn kind(self) -> Kind {
        match self {
            AttributeKind::S => Kind::S,
            AttributeKind::N => Kind::N,
            AttributeKind::B => Kind::B,
        }
    }
}

impl ProjectionKind {
    pub fn name(self) -> &'static str {
        match self {
            ProjectionKind::All => "ALL",
            ProjectionKind::KeysOnly => "KEYS_ONLY",
            ProjectionKind::Include => "INCLUDE",
        }
    }
}

impl ViewType {
    pub fn name(self) -> &'static str {
        match self {
            ViewType::NewAndOldImages => "NEW_AND_OLD_IMAGES",
            ViewType::NewImage => "NEW_IMAGE",
            ViewType::OldImage => "OLD_IMAGE",
            ViewType::KeysOnly => "KEYS_ONLY",
        }
    }

    pub fn parse(text: &str) -> Option<ViewType> {
        Some(match text {
            "NEW_AND_OLD_IMAGES" => ViewType::NewAndOldImages,
            "NEW_IMAGE" => ViewType::NewImage,
            "OLD_IMAGE" => ViewType::OldImage,
            "KEYS_ONLY" => ViewType::KeysOnly,
            _ => return None,
        })
    }
}

/// A key that is bytes already, in the order that they shall have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct RawKey(pub Vec<u8>);

impl Key for RawKey {
    fn read(from: &mut KeyReader<'_>) -> Result<RawKey, DecodeError> {
        Ok(RawKey(from.remainder().to_vec()))
    }
}

impl KeyRef<RawKey> for RawKey {
    fn write(&self, to: &mut KeyWriter) {
        to.raw(&self.0);
    }
}

impl PrefixOf<RawKey> for RawKey {
    fn write_prefix(&self, to: &mut KeyWriter) {
        to.raw(&self.0);
    }
}

/// An item as it stands in its row: its size by DynamoDB's rules, then its bytes.
#[derive(Clone, PartialEq, Debug)]
pub struct ItemRow {
    pub size_bytes: u32,
    pub item: Bytes,
}

impl Value for ItemRow {
    const WIRE: Wire = Wire::Sized;

    fn write(&self, to: &mut RowWriter) {
        to.varint(u64::from(self.size_bytes));
        to.raw(&self.item);
    }

    fn read(from: &mut RowReader<'_>) -> Result<ItemRow, DecodeError> {
        let size_bytes = u32::try_from(from.varint()?).map_err(|_| DecodeError::Malformed)?;
        Ok(ItemRow { size_bytes, item: <Bytes as Value>::read(from)? })
    }
}

impl Row for ItemRow {}
