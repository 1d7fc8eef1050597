//! What an account has outside of its own scope goes with it: keys, sessions, its alias.

use crate::{ACCESS_KEYS, ALIASES, KEY_USES, SESSION_ENDS, SESSIONS};
use api::{Error, Tx};
use base::AccountId;
use store::{Row, Scope, Table};

/// Part of the transaction that empties an account.
pub fn forget_account(tx: &mut Tx, account: AccountId) -> Result<(), Error> {
    for id in whose(tx, &ACCESS_KEYS, |row| row.account == account)? {
        tx.delete(&ACCESS_KEYS, &Scope::Global, &id)?;
        tx.delete(&KEY_USES, &Scope::Global, &id)?;
    }
    for id in whose(tx, &SESSIONS, |row| row.account == account)? {
        if let Some(row) = tx.get(&SESSIONS, &Scope::Global, &id)? {
            tx.delete(&SESSION_ENDS, &Scope::Global, &(row.expires, id.as_str()))?;
        }
        tx.delete(&SESSIONS, &Scope::Global, &id)?;
        tx.delete(&KEY_USES, &Scope::Global, &id)?;
    }
    for alias in whose(tx, &ALIASES, |row| row.account == account)? {
        tx.delete(&ALIASES, &Scope::Global, &alias)?;
    }
    Ok(())
}

fn whose<R: Row>(
    tx: &Tx,
    table: &Table<String, R>,
    is_its: impl Fn(&R) -> bool,
) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for entry in tx.scan(table, &Scope::Global) {
        let (key, row) = entry?;
        if is_its(&row) {
            found.push(key);
        }
    }
    Ok(found)
}
