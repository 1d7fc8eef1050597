//! An account's repositories go with all that the account has: here their bytes are given up.

use crate::blobs::release;
use crate::rows::{LINKS, MANIFESTS, UPLOADS};
use base::AccountId;
use store::{Scope, StoreError, Tx};

/// Part of the transaction that empties an account; its rows go with that. Gives layers whose files are to
/// be removed.
pub fn forget_account(tx: &mut Tx, account: AccountId) -> Result<Vec<String>, StoreError> {
    let scope = Scope::Account(account);
    let links: Vec<_> = tx.scan(&LINKS, &scope).keys().collect::<Result<_, StoreError>>()?;
    let mut layers = Vec::new();
    for (_, digest) in links {
        layers.extend(release(tx, &digest)?);
    }
    let manifests: Vec<_> = tx.scan(&MANIFESTS, &scope).collect::<Result<_, StoreError>>()?;
    for (_, row) in manifests {
        tx.release_blob(&row.content)?;
    }
    let uploads: Vec<_> = tx.scan(&UPLOADS, &scope).collect::<Result<_, StoreError>>()?;
    for part in uploads.iter().flat_map(|(_, row)| &row.parts) {
        tx.release_blob(part)?;
    }
    Ok(layers)
}
