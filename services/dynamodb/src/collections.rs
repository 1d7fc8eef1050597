//! Item collections: the items of one partition key with their entries in local indexes. Their size is
//! kept exactly, where local indexes are, in the transaction that changes it, since it has a limit.
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/LSI.html#LSI.ItemCollections>

use crate::keyspace::{collection_key, pick};
use crate::rows::{ITEMS, ItemRow};
use crate::table::Table;
use api::{Error, Tx};
use bytes::Bytes;
use gen_dynamodb::ItemCollectionMetrics;
use gen_dynamodb::errors as e;
use item::{Item, Map};

/// As AWS has it.
pub(crate) const BYTES_MAX: u64 = 10 * GIB;
const GIB: u64 = 1024 * 1024 * 1024;

pub(crate) const TOO_LARGE: &str = "Collection size exceeded.";

/// The size of the collection that an item is, or would be, in.
fn size_bytes(tx: &Tx, table: &Table, item: Map<'_>) -> Result<u64, Error> {
    let row = tx.get(&ITEMS, &table.scope, &collection_key(table, item))?;
    let read = |row: ItemRow| <[u8; 8]>::try_from(&row.item[..]).ok().map(u64::from_be_bytes);
    match row {
        None => Ok(0),
        Some(row) => read(row).ok_or_else(|| Error::internal("the size of a collection")),
    }
}

/// Adds to the size of a collection. `most` is its limit, where there is one: a collection may always
/// become smaller.
pub(crate) fn grow(
    tx: &mut Tx,
    table: &Table,
    item: Map<'_>,
    bytes: i64,
    most: Option<u64>,
) -> Result<(), Error> {
    if !table.measures_collections || bytes == 0 {
        return Ok(());
    }
    let size = size_bytes(tx, table, item)?.saturating_add_signed(bytes);
    if bytes > 0 && most.is_some_and(|most| size > most) {
        return Err(Error::new(&e::ITEM_COLLECTION_SIZE_LIMIT_EXCEEDED_EXCEPTION, TOO_LARGE));
    }
    let key = collection_key(table, item);
    if size == 0 {
        return Ok(tx.delete(&ITEMS, &table.scope, &key)?);
    }
    let item = Bytes::copy_from_slice(&size.to_be_bytes());
    Ok(tx.put(&ITEMS, &table.scope, &key, &ItemRow { size_bytes: 0, item })?)
}

/// `ReturnItemCollectionMetrics`: in whole gigabytes, from and to. Tables that were made before sizes
/// were kept tell the first.
pub(crate) fn metrics(
    tx: &Tx,
    table: &Table,
    wanted: Option<&String>,
    item: Map<'_>,
) -> Result<Option<ItemCollectionMetrics>, Error> {
    let local = table.indexes.iter().any(|index| index.local);
    if !local || wanted.is_none_or(|wanted| wanted != "SIZE") {
        return Ok(None);
    }
    let from = (size_bytes(tx, table, item)? / GIB) as f64;
    let hash = pick(item, std::iter::once(table.hash.as_str()));
    Ok(Some(ItemCollectionMetrics {
        item_collection_key: Some(Item::from_bytes(hash)),
        size_estimate_range_gb: Some(vec![from, from + 1.0]),
    }))
}
