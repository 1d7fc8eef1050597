//! Changing one item: its row, its entries in the indexes, its record in the stream, all in the
//! transaction at hand.

use crate::collections;
use crate::error::invalid;
use crate::history;
use crate::keyspace::{index_key, item_key, pick, ttl_key};
use crate::rows::{Event, ITEMS, IndexRow, ItemRow, ProjectionKind, RECORDS, RawKey, RecordRow};
use crate::table::Table;
use api::{Error, Tx};
use base::Entropy;
use base::limits::TRANSACTION_BYTES_MAX;
use bytes::Bytes;
use expression::Projection;
use item::{Map, item_size};
use std::collections::BTreeMap;

pub(crate) use item::ITEM_BYTES_MAX;

/// Capacity units that a write takes, by what it touches.
#[derive(Clone, Default, Debug)]
pub(crate) struct WriteUnits {
    pub table: f64,
    /// By index name.
    pub indexes: BTreeMap<String, f64>,
}

impl WriteUnits {
    pub fn add(&mut self, other: &WriteUnits) {
        self.table += other.table;
        for (name, units) in &other.indexes {
            *self.indexes.entry(name.clone()).or_default() += units;
        }
    }
}

/// Units for writing so many bytes.
pub(crate) fn write_units(size_bytes: usize) -> f64 {
    size_bytes.div_ceil(1024).max(1) as f64
}

/// An item as it is in the table.
pub(crate) fn read_item(tx: &Tx, table: &Table, key: &RawKey) -> Result<Option<ItemRow>, Error> {
    Ok(tx.get(&ITEMS, &table.scope, key)?)
}

/// Whether a transaction has been refused a change for being too large; it cannot be committed any more.
pub(crate) fn is_too_much(tx: &Tx) -> bool {
    tx.written_bytes() > TRANSACTION_BYTES_MAX
}

/// No encoded item is longer: a number takes up to twice what it counts for.
const ENCODED_BYTES_MAX: usize = 2 * ITEM_BYTES_MAX;
/// For one row's key, and what stands beside the item in it.
const ROW_BYTES_MAX: usize = 4096;

/// At most what a change of an item writes, with entries, images and its past.
fn change_bytes_max(table: &Table, old: usize, new: usize) -> usize {
    let (indexes, images) = (table.indexes.len(), usize::from(table.stream.is_some()));
    let past = usize::from(table.keeps_past());
    new * (1 + indexes + images)
        + old * (images + past)
        + ROW_BYTES_MAX * (2 + 2 * indexes + images + past)
}

/// Whether a change may still go into a transaction that shall not become larger than `most`. `new` is what
/// its item is encoded in at most.
pub(crate) fn has_room(
    tx: &Tx,
    table: &Table,
    key: &RawKey,
    new: usize,
    most: usize,
) -> Result<bool, Error> {
    let fits = |old| tx.written_bytes() + change_bytes_max(table, old, new) <= most;
    // What is there is looked at only where it decides.
    if fits(ENCODED_BYTES_MAX) {
        return Ok(true);
    }
    Ok(fits(read_item(tx, table, key)?.map_or(0, |row| row.item.len())))
}

/// What shall become of an item.
pub(crate) struct Change<'a> {
    pub key: &'a RawKey,
    /// `None` too where it is not known and nobody needs it.
    pub old: Option<&'a ItemRow>,
    pub new: Option<Bytes>,
    pub by_ttl: bool,
}

/// Makes a change, and tells what it costs.
pub(crate) fn change_item(
    tx: &mut Tx,
    table: &Table,
    entropy: &dyn Entropy,
    change: Change<'_>,
) -> Result<WriteUnits, Error> {
    let Change { key, old, new, by_ttl } = change;
    let new_row = new.map(|item| {
        let size_bytes = item_size(Map::of(&item)) as u32;
        ItemRow { size_bytes, item }
    });
    if new_row.as_ref().is_some_and(|row| row.size_bytes as usize > ITEM_BYTES_MAX) {
        return Err(invalid("Item size has exceeded the maximum allowed size"));
    }
    let size = |row: Option<&ItemRow>| row.map_or(0, |row| row.size_bytes as usize);
    let mut units = WriteUnits {
        table: write_units(size(old).max(size(new_row.as_ref()))),
        indexes: BTreeMap::new(),
    };
    let old_item = old.map(|row| Map::of(&row.item));
    let new_item = new_row.as_ref().map(|row| Map::of(&row.item));
    let entries: Vec<EntryChange<'_>> = table
        .indexes
        .iter()
        .filter_map(|index| EntryChange::new(table, index, old_item, new_item))
        .collect();
    // What is refused has written nothing: a member of a batch may fail alone.
    if table.measures_collections
        && let Some(item) = new_item.or(old_item)
    {
        let local = entries.iter().filter(|entry| entry.index.local);
        let grown = local.map(EntryChange::growth).sum::<i64>() + size(new_row.as_ref()) as i64
            - size(old) as i64;
        collections::grow(tx, table, item, grown, Some(table.collection_bytes_max))?;
    }
    for entry in entries {
        let name = entry.index.name.clone();
        units.indexes.insert(name, entry.write(tx, table)?);
    }
    change_expiry(tx, table, old_item, new_item)?;
    if table.keeps_past() {
        history::note(tx, table, key, old)?;
    }
    if let Some(view) = table.stream {
        record(tx, table, entropy, view, old_item, new_item, by_ttl)?;
    }
    match &new_row {
        Some(row) => tx.put(&ITEMS, &table.scope, key, row)?,
        None => tx.delete(&ITEMS, &table.scope, key)?,
    }
    Ok(units)
}

/// What an index keeps of an item.
pub(crate) fn projected(table: &Table, index: &IndexRow, item: Map<'_>) -> ItemRow {
    let item = match index.projection {
        ProjectionKind::All => Bytes::copy_from_slice(item.bytes()),
        _ => {
            let names = table.keys().chain(index.keys());
            Projection::of_names(names.chain(index.non_key.iter().map(String::as_str))).apply(item)
        }
    };
    ItemRow { size_bytes: item_size(Map::of(&item)) as u32, item }
}

/// Whether an item's entry in an index has to change.
pub(crate) fn touches(
    table: &Table,
    index: &IndexRow,
    old: Option<Map<'_>>,
    new: Option<Map<'_>>,
) -> bool {
    let entry = |item| entry(table, index, item);
    old.and_then(entry) != new.and_then(entry)
}

/// What an index has of an item, if anything, and where.
fn entry(table: &Table, index: &IndexRow, item: Map<'_>) -> Option<(RawKey, ItemRow)> {
    Some((index_key(table, index, item)?, projected(table, index, item)))
}

/// An item's entry in an index that is not what it was.
struct EntryChange<'t> {
    index: &'t IndexRow,
    old: Option<(RawKey, ItemRow)>,
    new: Option<(RawKey, ItemRow)>,
}

impl<'t> EntryChange<'t> {
    fn new(
        table: &Table,
        index: &'t IndexRow,
        old: Option<Map<'_>>,
        new: Option<Map<'_>>,
    ) -> Option<EntryChange<'t>> {
        let entry = |item| entry(table, index, item);
        let (old, new) = (old.and_then(entry), new.and_then(entry));
        (old != new).then_some(EntryChange { index, old, new })
    }

    /// How much larger the index becomes.
    fn growth(&self) -> i64 {
        let size = |entry: &Option<(RawKey, ItemRow)>| {
            entry.as_ref().map_or(0, |(_, row)| i64::from(row.size_bytes))
        };
        size(&self.new) - size(&self.old)
    }

    /// Puts it; the units that this takes.
    fn write(self, tx: &mut Tx, table: &Table) -> Result<f64, Error> {
        let EntryChange { old, new, .. } = self;
        let mut units = 0.0;
        let same_key = old.as_ref().zip(new.as_ref()).is_some_and(|((a, _), (b, _))| a == b);
        if let Some((key, row)) = &old
            && !same_key
        {
            tx.delete(&ITEMS, &table.scope, key)?;
            units += write_units(row.size_bytes as usize);
        }
        if let Some((key, row)) = &new {
            tx.put(&ITEMS, &table.scope, key, row)?;
            let before = old.as_ref().filter(|_| same_key).map_or(0, |(_, row)| row.size_bytes);
            units += write_units(row.size_bytes.max(before) as usize);
        }
        Ok(units)
    }
}

fn change_expiry(
    tx: &mut Tx,
    table: &Table,
    old: Option<Map<'_>>,
    new: Option<Map<'_>>,
) -> Result<(), Error> {
    if table.ttl.is_none() {
        return Ok(());
    }
    let of = |item: Option<Map<'_>>| item.and_then(|item| ttl_key(table, item));
    let (old, new) = (of(old), of(new));
    if old == new {
        return Ok(());
    }
    if let Some(key) = old {
        tx.delete(&ITEMS, &table.scope, &key)?;
    }
    if let Some(key) = new {
        tx.put(&ITEMS, &table.scope, &key, &ItemRow { size_bytes: 0, item: Bytes::new() })?;
    }
    Ok(())
}

fn record(
    tx: &mut Tx,
    table: &Table,
    entropy: &dyn Entropy,
    view: crate::rows::ViewType,
    old: Option<Map<'_>>,
    new: Option<Map<'_>>,
    by_ttl: bool,
) -> Result<(), Error> {
    use crate::rows::ViewType::{NewAndOldImages, NewImage, OldImage};
    let (event, keys) = match (old, new) {
        (None, None) => return Ok(()),
        // A write that changes nothing leaves no record.
        (Some(old), Some(new)) if old == new => return Ok(()),
        (None, Some(new)) => (Event::Insert, new),
        (Some(_), Some(new)) => (Event::Modify, new),
        (Some(old), None) => (Event::Remove, old),
    };
    let image = |item: Option<Map<'_>>, wanted: bool| {
        item.filter(|_| wanted).map(|item| Bytes::copy_from_slice(item.bytes()))
    };
    let mut id = [0; 16];
    entropy.fill(&mut id);
    let row = RecordRow {
        at: tx.now(),
        keys: pick(keys, table.keys()),
        old: image(old, matches!(view, OldImage | NewAndOldImages)),
        new: image(new, matches!(view, NewImage | NewAndOldImages)),
        event,
        by_ttl,
        id,
    };
    let number = next_sequence(tx, table)?;
    tx.put(&RECORDS, &table.scope, &(table.stream_number, number), &row)?;
    Ok(())
}

/// Records that one transaction can have in a stream.
const RECORDS_PER_COMMIT: u64 = 1 << 16;

/// The first sequence number of the commit that is being made.
pub(crate) fn first_sequence(tx: &Tx) -> u64 {
    (tx.version() + 1) * RECORDS_PER_COMMIT
}

/// Sequence numbers follow the commits, and within one the order of its writes.
fn next_sequence(tx: &Tx, table: &Table) -> Result<u64, Error> {
    let first = first_sequence(tx);
    let scan = tx.scan(&RECORDS, &table.scope).from(&(table.stream_number, first));
    let last = scan.to(&(table.stream_number + 1,)).reverse().next_key()?;
    Ok(last.map_or(first, |(_, number)| number + 1))
}

/// The key of an item that was checked against the table.
pub(crate) fn key_of(table: &Table, item: Map<'_>) -> RawKey {
    item_key(table, item)
}
