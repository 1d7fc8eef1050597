//! Clearing: all rows, or all of one account, gone with one commit, however many they are.
//!
//! The log keeps what was asked for, not the rows: who applies the commit, be it the writer or a start that
//! replays the log, finds them in the state before it, which is the same for both. So the commit is as small
//! as any, and there is no moment at which some rows are gone and others are not. It takes the writer as
//! long as a walk over all keys.
//!
//! In a commit it stands as a change of the empty key, which no row has.

use crate::engine::{Batch, Engine, Version};
use crate::error::StoreError;
use crate::key::KeyWriter;
use crate::row;
use crate::scan::after_prefix;
use crate::table::{Scope, write_account};
use crate::tx::{CHUNKED, CHUNKS};
use base::AccountId;
use bytes::Bytes;
use std::ops::Bound;

crate::row! {
    #[derive(Default)]
    pub(crate) struct ClearRow {
        /// All accounts and what belongs to none, if absent.
        1 => account: Option<AccountId>,
        /// Numbers of tables whose rows stay.
        2 => kept: Vec<u16>,
    }
}

impl ClearRow {
    pub(crate) fn new(account: Option<AccountId>, kept: &[u16]) -> ClearRow {
        ClearRow { account, kept: kept.iter().copied().chain([CHUNKED.id()]).collect() }
    }

    /// As a change of a commit.
    pub(crate) fn change(&self) -> (Bytes, Option<Bytes>) {
        (Bytes::new(), Some(row::encode(self).into()))
    }

    fn range(&self) -> (Bound<Bytes>, Bound<Bytes>) {
        let Some(account) = self.account else { return (Bound::Unbounded, Bound::Unbounded) };
        let mut low = KeyWriter::new();
        write_account(&mut low, account);
        let low = low.into_vec();
        let high = after_prefix(&low);
        let high = high.map_or(Bound::Unbounded, |high| Bound::Excluded(Bytes::from(high)));
        (Bound::Included(Bytes::from(low)), high)
    }

    /// Pieces of a long row go with it.
    fn takes(&self, key: &[u8]) -> bool {
        let Some((_, table, rest)) = Scope::parse_raw_key(key) else { return true };
        let table = match rest.first_chunk::<2>() {
            Some(of) if table == CHUNKS => u16::from_be_bytes(*of),
            _ => table,
        };
        !self.kept.contains(&table)
    }
}

/// What a commit asks to be cleared, if it does.
fn asked(batch: &Batch) -> Result<Option<ClearRow>, StoreError> {
    match batch.first() {
        Some((key, Some(value))) if key.is_empty() => {
            let decoded = row::decode(value);
            decoded.map(Some).map_err(|error| StoreError::Corrupt { table: "store.clear", error })
        }
        _ => Ok(None),
    }
}

/// The changes of a commit that clears, row by row; `None` for one that does not. What it changes itself
/// stays as it says. `before` is the commit before it.
pub(crate) fn spelled_out(
    engine: &dyn Engine,
    batch: &Batch,
    before: Version,
) -> Result<Option<Box<Batch>>, StoreError> {
    let Some(clear) = asked(batch)? else { return Ok(None) };
    let own = &batch[1..];
    let mut all = own.to_vec();
    let mut cursor = engine.scan(clear.range(), before, false);
    while let Some((key, _)) = cursor.next()? {
        let is_own = own.binary_search_by(|(own, _)| own.cmp(&key)).is_ok();
        if !is_own && clear.takes(&key) {
            // Copied, so that it does not hold on to a block of the index.
            all.push((Bytes::copy_from_slice(&key), None));
        }
    }
    Ok(Some(all.into_boxed_slice()))
}
