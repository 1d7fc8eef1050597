//! Where items and entries of indexes stand among the keys of [`crate::rows::ITEMS`].
//!
//! A key is the table's number, the index's (0 for the table itself), a hash of the partition key, the
//! partition key, the sort key; entries of indexes end with the item's own key. The hash makes the
//! segments of a parallel scan ranges of keys, and gives a scan the order that DynamoDB's has: none.

use crate::error::{invalid, wrong_key};
use crate::rows::{IndexRow, RawKey};
use crate::table::Table;
use api::Error;
use item::{Builder, Kind, Map, Value, write_key};

pub(crate) const TABLE_SPACE: u16 = 0;
/// Times at which items expire.
pub(crate) const TTL_SPACE: u16 = 0xffff;
/// Sizes of item collections.
pub(crate) const COLLECTION_SPACE: u16 = 0xfffe;

const HASH_BYTES_MAX: usize = 2048;
const RANGE_BYTES_MAX: usize = 1024;

/// Which part of a request a key stands in: the words for its faults differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    Key,
    Item,
}

fn begin(table: u64, space: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&table.to_be_bytes());
    out.extend_from_slice(&space.to_be_bytes());
    out
}

/// All keys of one space.
pub(crate) fn space(table: u64, space: u16) -> RawKey {
    RawKey(begin(table, space))
}

/// FNV-1a with its bits mixed: stored in every key, never changed.
fn hash(bytes: &[u8]) -> u32 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        state = (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    (state >> 32) as u32
}

/// Where keys of a partition begin. `parts` are the values of its attributes.
pub(crate) fn partition<'a>(
    table: u64,
    space: u16,
    parts: impl Iterator<Item = Value<'a>>,
) -> Vec<u8> {
    let mut out = begin(table, space);
    let start = out.len() + 4;
    out.extend_from_slice(&[0; 4]);
    parts.for_each(|part| write_key(part, &mut out));
    let sum = hash(&out[start..]);
    out[start - 4..start].copy_from_slice(&sum.to_be_bytes());
    out
}

/// Where segment `number` of `total` begins.
pub(crate) fn segment(table: u64, space: u16, number: u32, total: u32) -> Option<RawKey> {
    if number >= total {
        return None;
    }
    let at = (u64::from(number) << 32).div_ceil(u64::from(total.max(1)));
    let mut out = begin(table, space);
    out.extend_from_slice(&(at as u32).to_be_bytes());
    Some(RawKey(out))
}

/// The last hash before that of a key where a segment begins.
pub(crate) fn before(key: &RawKey) -> RawKey {
    let mut out = key.0.clone();
    for byte in out.iter_mut().skip(10).rev() {
        let (less, borrows) = byte.overflowing_sub(1);
        *byte = less;
        if !borrows {
            break;
        }
    }
    RawKey(out)
}

/// The hash of the partition key in a key of an item or an entry.
pub(crate) fn hash_of(key: &[u8]) -> u32 {
    key.get(10..14).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// Which of so many equal parts of the hashes a key is in.
pub(crate) fn partition_of(key: &RawKey, total: u32) -> u32 {
    ((u64::from(hash_of(&key.0)) * u64::from(total)) >> 32) as u32
}

/// The first bytes after all that begin with these.
pub(crate) fn after(mut bytes: Vec<u8>) -> RawKey {
    while bytes.last() == Some(&0xff) {
        bytes.pop();
    }
    if let Some(last) = bytes.last_mut() {
        *last += 1;
    }
    RawKey(bytes)
}

/// The key of an item, from its own attributes, which were checked.
pub(crate) fn item_key(table: &Table, item: Map<'_>) -> RawKey {
    let mut out = partition(table.number, TABLE_SPACE, item.get(&table.hash).into_iter());
    if let Some(value) = table.range.as_ref().and_then(|range| item.get(range)) {
        write_key(value, &mut out);
    }
    RawKey(out)
}

/// Where the size of an item's collection stands.
pub(crate) fn collection_key(table: &Table, item: Map<'_>) -> RawKey {
    RawKey(partition(table.number, COLLECTION_SPACE, item.get(&table.hash).into_iter()))
}

/// The key of an item's entry in an index; `None` if it lacks one of the index's attributes.
pub(crate) fn index_key(table: &Table, index: &IndexRow, item: Map<'_>) -> Option<RawKey> {
    // What was there before the index may be too long for it.
    let fits = |name: &String, bytes_max: usize| {
        let good = |value: &Value<'_>| {
            let length = value.content().len();
            value.kind() == table.kind(name) && !is_empty(*value) && length <= bytes_max
        };
        item.get(name).filter(good)
    };
    let hash: Option<Vec<Value<'_>>> =
        index.hash.iter().map(|name| fits(name, HASH_BYTES_MAX)).collect();
    let mut out = partition(table.number, index.number as u16, hash?.into_iter());
    for name in &index.range {
        write_key(fits(name, RANGE_BYTES_MAX)?, &mut out);
    }
    for name in table.keys() {
        write_key(item.get(name)?, &mut out);
    }
    Some(RawKey(out))
}

/// The key under which an item waits to expire.
pub(crate) fn ttl_key(table: &Table, item: Map<'_>) -> Option<RawKey> {
    let value = item.get(table.ttl.as_ref()?).filter(|value| value.kind() == Kind::N)?;
    let whole = value.text().split('.').next().unwrap_or("");
    let seconds = whole.parse::<i64>().ok().filter(|seconds| *seconds >= 0)?;
    let mut out = begin(table.number, TTL_SPACE);
    out.extend_from_slice(&seconds.to_be_bytes());
    for name in table.keys() {
        write_key(item.get(name)?, &mut out);
    }
    Some(RawKey(out))
}

/// The time in a key of the space above.
pub(crate) fn ttl_seconds(key: &RawKey) -> Option<i64> {
    Some(i64::from_be_bytes(key.0.get(10..18)?.try_into().ok()?))
}

/// The primary key in a key of the space above.
pub(crate) fn ttl_item(table: &Table, key: &RawKey) -> Option<bytes::Bytes> {
    let mut rest = key.0.get(18..)?;
    let mut out = Builder::default();
    for name in table.keys() {
        let (value, after) = item::read_key(table.kind(name), rest)?;
        out.push(name, Value::of(&value)?);
        rest = after;
    }
    Some(out.finish())
}

fn is_empty(value: Value<'_>) -> bool {
    matches!(value.kind(), Kind::S | Kind::B) && value.content().is_empty()
}

/// One attribute of a key: there, of its type, neither empty nor too long.
fn check_part(
    name: &str,
    kind: Kind,
    value: Option<Value<'_>>,
    is_hash: bool,
    place: Place,
) -> Result<(), Error> {
    const INVALID: &str = "One or more parameter values were invalid: ";
    let value = match (value, place) {
        (None, Place::Key) => return Err(wrong_key()),
        (None, Place::Item) => {
            return Err(invalid(format!("{INVALID}Missing the key {name} in the item")));
        }
        (Some(value), _) => value,
    };
    if value.kind() != kind {
        return Err(match place {
            Place::Key => wrong_key(),
            Place::Item => invalid(format!(
                "{INVALID}Type mismatch for key {name} expected: {} actual: {}",
                kind.name(),
                value.kind().name()
            )),
        });
    }
    if is_empty(value) {
        let what = if kind == Kind::S { "string" } else { "binary" };
        return Err(invalid(format!(
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {what} value. Key: {name}"
        )));
    }
    let length = if kind == Kind::N { 0 } else { value.content().len() };
    if is_hash && length > HASH_BYTES_MAX {
        return Err(invalid(format!(
            "{INVALID}Size of hashkey has exceeded the maximum size limit of2048 bytes"
        )));
    }
    if !is_hash && length > RANGE_BYTES_MAX {
        return Err(invalid(format!(
            "{INVALID}Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
        )));
    }
    Ok(())
}

/// Whether an item has a good primary key, and values that its indexes can take.
pub(crate) fn check_item(table: &Table, item: Map<'_>) -> Result<(), Error> {
    for (at, name) in table.keys().enumerate() {
        check_part(name, table.kind(name), item.get(name), at == 0, Place::Item)?;
    }
    check_index_values(table, item)
}

/// Values for the keys of indexes are of their types and can be keys.
pub(crate) fn check_index_values(table: &Table, item: Map<'_>) -> Result<(), Error> {
    for index in &table.indexes {
        for (at, name) in index.keys().enumerate() {
            let Some(value) = item.get(name) else { continue };
            let kind = table.kind(name);
            if value.kind() != kind {
                return Err(invalid(format!(
                    "One or more parameter values were invalid: Type mismatch for Index Key {name} Expected: {} Actual: {} IndexName: {}",
                    kind.name(),
                    value.kind().name(),
                    index.name
                )));
            }
            if is_empty(value) {
                let what = if kind == Kind::S { "string" } else { "binary" };
                return Err(invalid(format!(
                    "One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty {what} value. IndexName: {}, IndexKey: {name}",
                    index.name
                )));
            }
            let length = if kind == Kind::N { 0 } else { value.content().len() };
            let is_hash = at < index.hash.len();
            if is_hash && length > HASH_BYTES_MAX {
                return Err(invalid(
                    "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit of2048 bytes",
                ));
            }
            if !is_hash && length > RANGE_BYTES_MAX {
                return Err(invalid(
                    "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
                ));
            }
        }
    }
    Ok(())
}

/// Whether a request's key is one of this table: its attributes and no others.
pub(crate) fn check_key(table: &Table, key: Map<'_>) -> Result<(), Error> {
    if key.len() != table.keys().count() {
        return Err(wrong_key());
    }
    for (at, name) in table.keys().enumerate() {
        check_part(name, table.kind(name), key.get(name), at == 0, Place::Key)?;
    }
    Ok(())
}

/// The attributes of these names, as an item.
pub(crate) fn pick<'a>(item: Map<'_>, names: impl Iterator<Item = &'a str>) -> bytes::Bytes {
    let mut out = Builder::default();
    for name in names {
        if let Some(value) = item.get(name) {
            out.push(name, value);
        }
    }
    out.finish()
}
