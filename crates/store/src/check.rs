//! Reading everything back: is the store whole?

use crate::error::StoreError;
use crate::store::Store;
use crate::table::Scope;
use std::ops::Bound;

/// What [`Store::check`] found.
#[derive(Clone, Debug, Default)]
pub struct Check {
    pub rows: u64,
    pub blobs: u64,
    pub blob_bytes: u64,
    /// What is wrong, in words. Empty in good health.
    pub problems: Vec<String>,
}

/// No more are listed: one lost file can be a million lost rows.
const PROBLEMS_MAX: usize = 1000;

impl Store {
    /// Reads the index, every row and every blob, and compares what belongs together. The store may
    /// be in use meanwhile; takes as long as reading everything does.
    pub fn check(&self) -> Result<Check, StoreError> {
        let mut check = Check { problems: self.shared.reader.engine.check()?, ..Check::default() };
        self.read(|tx| {
            let mut rows = tx.raw_scan((Bound::Unbounded, Bound::Unbounded), false);
            while let Some((key, value)) = rows.next()? {
                if check.problems.len() >= PROBLEMS_MAX {
                    break;
                }
                let Some((_, table, _)) = Scope::parse_raw_key(&key) else {
                    check.problems.push(format!("a key is none of ours: {key:?}"));
                    continue;
                };
                check.rows += 1;
                if let Err(problem) = tx.check_value(table, &key, &value) {
                    check.problems.push(format!("table {table:#06x}, key {key:?}: {problem}"));
                }
            }
            Ok::<_, StoreError>(())
        })?;
        let blobs = self.shared.blobs.check(self)?;
        check.blobs = blobs.blobs;
        check.blob_bytes = blobs.size_bytes;
        check.problems.extend(blobs.problems);
        check.problems.truncate(PROBLEMS_MAX);
        Ok(check)
    }
}
