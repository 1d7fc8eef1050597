//! A table as operations see it: its description, found by name and kept while it does not change.

use crate::Limits;
use crate::collections;
use crate::error::{in_use, no_table, not_found};
use crate::names::TableName;
use crate::rows::{HEADS, IndexRow, ProjectionKind, TABLES, TableRow};
use crate::throttle::Throttle;
use api::{Error, NamedPolicy, Tx};
use base::AccountId;
use item::Kind;
use parking_lot::Mutex;
use policy::Policy;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use store::Scope;

/// Descriptions that are kept; beyond that the cache starts anew.
const CACHED_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Table {
    pub row: TableRow,
    pub scope: Scope,
    pub policy: Option<NamedPolicy>,
    /// Where throughput is enforced.
    pub throttle: Option<Arc<Throttle>>,
    pub collection_bytes_max: u64,
}

/// The policy of a table or stream. It was checked when it was put, so what is wrong with it is damage or
/// a bug of ours: refuse, never allow.
pub(crate) fn named_policy(text: &str) -> Result<NamedPolicy, Error> {
    let parsed = Policy::parse(policy::Kind::Resource, text);
    let policy = parsed.map_err(|error| Error::internal(format!("{error:?}")))?;
    Ok(NamedPolicy { name: "resource policy".into(), policy: Arc::new(policy) })
}

impl Deref for Table {
    type Target = TableRow;

    fn deref(&self) -> &TableRow {
        &self.row
    }
}

impl Table {
    pub fn new(row: TableRow) -> Result<Table, Error> {
        let scope = Scope::AccountRegion(row.account, row.region.clone());
        let policy = row.policy.as_deref().map(named_policy).transpose()?;
        let collection_bytes_max = collections::BYTES_MAX;
        Ok(Table { row, scope, policy, throttle: None, collection_bytes_max })
    }

    pub fn arn(&self) -> String {
        crate::names::arn(self.account, &self.region, &self.name)
    }

    /// The type of a key attribute.
    pub fn kind(&self, attribute: &str) -> Kind {
        self.attributes.get(attribute).map_or(Kind::S, |kind| kind.kind())
    }

    /// The attributes of the primary key.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        [Some(&self.row.hash), self.row.range.as_ref()].into_iter().flatten().map(String::as_str)
    }

    pub fn index(&self, name: &str) -> Option<&IndexRow> {
        self.indexes.iter().find(|index| index.name == name)
    }

    /// Whether a write has to know what was there before.
    pub fn needs_old(&self) -> bool {
        !self.indexes.is_empty() || self.stream.is_some() || self.ttl.is_some() || self.keeps_past()
    }

    /// Whether somebody needs to know what items were.
    pub fn keeps_past(&self) -> bool {
        self.recovery_since.is_some() || !self.pins.is_empty()
    }
}

impl IndexRow {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.hash.iter().chain(&self.range).map(String::as_str)
    }

    pub(crate) fn projects_all(&self) -> bool {
        self.projection == ProjectionKind::All
    }
}

/// Tables by account, number and generation, both of which never mean anything else.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    known: Mutex<BTreeMap<(AccountId, u64), Kept>>,
    throttle: Option<Arc<Throttle>>,
    collection_bytes_max: Option<u64>,
}

/// A table with the generation of its description.
type Kept = (u64, Arc<Table>);

impl Tables {
    pub fn new(limits: Limits) -> Tables {
        let throttle = limits.throttling.then(Arc::<Throttle>::default);
        Tables {
            known: Mutex::default(),
            throttle,
            collection_bytes_max: limits.collection_bytes_max,
        }
    }

    pub fn find(&self, tx: &Tx, name: &TableName) -> Result<Option<Arc<Table>>, Error> {
        let scope = name.scope();
        let Some(head) = tx.get(&HEADS, &scope, name.name.as_str())? else { return Ok(None) };
        let key = (name.account, head.number);
        if let Some((generation, table)) = self.known.lock().get(&key)
            && *generation == head.generation
        {
            return Ok(Some(table.clone()));
        }
        let row = tx.get(&TABLES, &scope, &head.number)?;
        let row = row.ok_or_else(|| Error::internal(format!("no row for {name:?}")))?;
        let mut table = Table::new(row)?;
        table.throttle.clone_from(&self.throttle);
        table.collection_bytes_max = self.collection_bytes_max.unwrap_or(collections::BYTES_MAX);
        let table = Arc::new(table);
        // What this transaction itself has changed may never be committed.
        if head.generation <= tx.version() {
            let mut cached = self.known.lock();
            if cached.len() >= CACHED_MAX {
                cached.clear();
            }
            cached.insert(key, (head.generation, table.clone()));
        }
        Ok(Some(table))
    }

    /// The table, for operations on items: there are none before all have come.
    pub fn get(&self, tx: &Tx, name: &TableName) -> Result<Arc<Table>, Error> {
        self.find(tx, name)?.filter(|table| !table.coming).ok_or_else(not_found)
    }

    /// The table, to be changed: it has to be whole.
    pub fn settled(&self, tx: &Tx, name: &TableName) -> Result<Arc<Table>, Error> {
        let table = self.describe(tx, name)?;
        if table.coming {
            return Err(in_use(format!(
                "Attempt to change a resource which is still in use: Table is being created: {}",
                name.name
            )));
        }
        Ok(table)
    }

    /// The table, for operations on tables, which name it.
    pub fn describe(&self, tx: &Tx, name: &TableName) -> Result<Arc<Table>, Error> {
        self.find(tx, name)?.ok_or_else(|| no_table(&name.name))
    }
}

/// Writes a description that is new or has changed.
pub(crate) fn save(tx: &mut Tx, row: &TableRow) -> Result<(), Error> {
    let scope = Scope::AccountRegion(row.account, row.region.clone());
    let generation = tx.version() + 1;
    let head = crate::rows::HeadRow { number: row.number, generation };
    tx.put(&HEADS, &scope, row.name.as_str(), &head)?;
    tx.put(&TABLES, &scope, &row.number, row)?;
    Ok(())
}
