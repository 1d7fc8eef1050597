//! Secrets of the gateway itself, made at the first start.

use api::Error;
use base::Entropy;
use store::{Scope, Store, Table, row};

pub(crate) const SECRETS: Table<u32, SecretRow> = Table::new(0xf002, "gateway.secret");
/// The number of the key under which paging tokens are made.
const TOKEN_KEY: u32 = 1;

row! {
    pub(crate) struct SecretRow {
        1 => bytes: [u8; 32],
    }
}

/// The key of the paging tokens. Its commit is not waited for: a token made with a key that a crash
/// lost is refused like any foreign one, and the listing is begun anew.
pub(crate) fn token_key(store: &Store, entropy: &dyn Entropy) -> Result<[u8; 32], Error> {
    let found = store.read(|tx| tx.get(&SECRETS, &Scope::Global, &TOKEN_KEY))?;
    if let Some(row) = found {
        return Ok(row.bytes);
    }
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    drop(store.write(|tx| tx.put(&SECRETS, &Scope::Global, &TOKEN_KEY, &SecretRow { bytes })));
    Ok(bytes)
}
