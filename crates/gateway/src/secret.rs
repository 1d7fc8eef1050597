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
/// lost is refused like any foreign one, and the listing is begun anew. A store that does not take it is
/// an error: with another key after each start no listing would go on over one.
pub(crate) fn token_key(store: &Store, entropy: &dyn Entropy) -> Result<[u8; 32], Error> {
    let found = store.read(|tx| tx.get(&SECRETS, &Scope::Global, &TOKEN_KEY))?;
    if let Some(row) = found {
        return Ok(row.bytes);
    }
    let mut bytes = [0; 32];
    entropy.fill(&mut bytes);
    let write = store.write(|tx| {
        // A full disk has room for it.
        tx.mark_freeing();
        tx.put(&SECRETS, &Scope::Global, &TOKEN_KEY, &SecretRow { bytes })
    });
    match write.now() {
        Some(Err(error)) => Err(error.into()),
        Some(Ok(())) | None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::{ManualClock, SeededEntropy, Timestamp};
    use std::io::ErrorKind;
    use std::sync::Arc;
    use store::disk::FaultyDisk;
    use store::{Index, StoreOptions};

    #[test]
    fn a_key_that_cannot_be_kept_is_none() {
        let disk = FaultyDisk::new();
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1000)));
        let options = || {
            let mut options = StoreOptions::new(clock.clone(), Arc::new(SeededEntropy::new(1)));
            (options.log_zero_fill, options.index) = (false, Index::Memory);
            options
        };
        let store = Store::inline(Arc::new(disk.clone()), options()).unwrap();
        let chance = SeededEntropy::new(7);
        disk.fail_in(1, ErrorKind::Other);
        token_key(&store, &chance).unwrap_err();
        let store = Store::inline(Arc::new(disk.clone()), options()).unwrap();
        let key = token_key(&store, &chance).unwrap();
        assert_eq!(token_key(&store, &chance).unwrap(), key);
        let store = Store::inline(Arc::new(disk), options()).unwrap();
        assert_eq!(token_key(&store, &chance).unwrap(), key);
    }
}
