//! When keys, users and roles were last used, and for what. The gateway notes it in memory and writes
//! it from time to time: a read must not become a write, so what was noted within the last seconds
//! before a crash is forgotten, and times are those of the minute.

use api::{Error, KeyUse, Tx};
use base::{AccountId, Timestamp};
use store::{Scope, Table, row};

use crate::rows::{ACCESS_KEYS, SESSIONS};

/// By access key id, in the global scope.
pub const KEY_USES: Table<String, KeyUseRow> = Table::new(0x0219, "iam.key_use");
/// By the unique id of a user or role, and the service that it asked.
pub const ENTITY_USES: Table<(String, String), EntityUseRow> = Table::new(0x021a, "iam.entity_use");

/// Reports on who used what, by job id.
pub const ACCESS_JOBS: Table<String, AccessJobRow> = Table::new(0x021b, "iam.access_job");

row! {
    pub struct KeyUseRow {
        1 => at: Timestamp,
        2 => service: String,
        3 => region: String,
    }

    pub struct EntityUseRow {
        1 => at: Timestamp,
        2 => region: String,
    }

    pub struct AccessJobRow {
        1 => arn: String,
        2 => granularity: String,
        3 => created: Timestamp,
    }
}

/// Writes uses down, but for keys that were deleted since.
pub fn record_uses(tx: &mut Tx, uses: &[KeyUse]) -> Result<(), Error> {
    for own in uses {
        let id = own.access_key_id.as_str();
        let lasting = tx.exists(&ACCESS_KEYS, &Scope::Global, id)?;
        if !lasting && !tx.exists(&SESSIONS, &Scope::Global, id)? {
            continue;
        }
        if lasting {
            let row =
                KeyUseRow { at: own.at, service: own.service.clone(), region: own.region.clone() };
            tx.put(&KEY_USES, &Scope::Global, id, &row)?;
        }
        let row = EntityUseRow { at: own.at, region: own.region.clone() };
        let key = (own.entity_id.as_str(), own.service.as_str());
        tx.put(&ENTITY_USES, &Scope::Account(own.account), &key, &row)?;
    }
    Ok(())
}

/// The services that the user or role of that id used, with the last time of each.
pub fn entity_uses(
    tx: &Tx,
    account: AccountId,
    id: &str,
) -> Result<Vec<(String, EntityUseRow)>, Error> {
    let scope = Scope::Account(account);
    let rows = tx.scan(&ENTITY_USES, &scope).prefix(&(id,));
    rows.map(|found| found.map(|((_, service), row)| (service, row)).map_err(Error::from)).collect()
}

/// Forgets what a deleted user or role used.
pub fn forget_uses(tx: &mut Tx, account: AccountId, id: &str) -> Result<(), Error> {
    for (service, _) in entity_uses(tx, account, id)? {
        tx.delete(&ENTITY_USES, &Scope::Account(account), &(id, service.as_str()))?;
    }
    Ok(())
}
