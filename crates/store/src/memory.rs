//! The model of an engine: every version of every key in one map. The oracle of the tests, and the
//! index of stores that live in memory alone.

use crate::engine::{Batch, Cursor, Engine, Frozen, Pin, Step, Version};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

/// Versions of one key, oldest first.
type History = Vec<(Version, Option<Bytes>)>;

type Map = BTreeMap<Bytes, History>;

/// Nothing of it is ever in files: the log is replayed from the start.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    map: Arc<RwLock<Map>>,
    horizon: AtomicU64,
}

fn value_at(history: &History, at: Version) -> Option<&Bytes> {
    history.iter().rev().find(|(version, _)| *version <= at)?.1.as_ref()
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8], at: Version) -> io::Result<Option<Bytes>> {
        let map = self.map.read().expect("no panic while held");
        Ok(map.get(key).and_then(|history| value_at(history, at)).cloned())
    }

    fn scan(
        &self,
        range: (Bound<Bytes>, Bound<Bytes>),
        at: Version,
        reverse: bool,
    ) -> Box<dyn Cursor> {
        Box::new(MemoryCursor { map: self.map.clone(), range, at, reverse })
    }

    fn apply(&self, batch: &Batch, version: Version) {
        let horizon = self.horizon.load(Ordering::SeqCst);
        let mut map = self.map.write().expect("no panic while held");
        for (key, value) in batch {
            let history = map.entry(key.clone()).or_default();
            let keep = history.iter().rposition(|(v, _)| *v <= horizon).unwrap_or(0);
            history.drain(..keep);
            history.push((version, value.clone()));
        }
    }

    fn set_horizon(&self, version: Version) {
        self.horizon.store(version, Ordering::SeqCst);
    }

    fn maintain(&self, _durable: Version) -> io::Result<Step> {
        Ok(Step::Idle)
    }

    fn write_out(&self, _durable: Version) -> io::Result<Step> {
        Ok(Step::Idle)
    }

    fn flushed(&self) -> Version {
        0
    }

    fn unflushed_bytes(&self) -> u64 {
        0
    }

    fn freeze(&self, durable: Version) -> io::Result<Frozen> {
        let _ = durable;
        Ok(Frozen { version: 0, files: Vec::new(), pin: Box::new(NoPin) })
    }

    fn check(&self) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[derive(Debug)]
struct NoPin;

impl Pin for NoPin {}

struct MemoryCursor {
    map: Arc<RwLock<Map>>,
    range: (Bound<Bytes>, Bound<Bytes>),
    at: Version,
    reverse: bool,
}

impl MemoryCursor {
    fn is_done(&self) -> bool {
        match (&self.range.0, &self.range.1) {
            (Bound::Included(low), Bound::Included(high)) => low > high,
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
            (Bound::Included(low) | Bound::Excluded(low), Bound::Excluded(high))
            | (Bound::Excluded(low), Bound::Included(high)) => low >= high,
        }
    }
}

impl Cursor for MemoryCursor {
    fn next(&mut self) -> io::Result<Option<(Bytes, Bytes)>> {
        if self.is_done() {
            return Ok(None);
        }
        let map = self.map.read().expect("no panic while held");
        let range = map.range(self.range.clone());
        let live = |(key, history): (&Bytes, &History)| {
            Some((key.clone(), value_at(history, self.at)?.clone()))
        };
        let found = if self.reverse {
            range.rev().find_map(live)
        } else {
            let mut range = range;
            range.find_map(live)
        };
        drop(map);
        if let Some((key, _)) = &found {
            let passed = Bound::Excluded(key.clone());
            *(if self.reverse { &mut self.range.1 } else { &mut self.range.0 }) = passed;
        }
        Ok(found)
    }

    fn seek(&mut self, key: &[u8]) -> io::Result<()> {
        let near = Bound::Included(Bytes::copy_from_slice(key));
        if self.reverse {
            let behind = matches!(&self.range.1,
                Bound::Included(at) | Bound::Excluded(at) if key >= &at[..]);
            if !behind {
                self.range.1 = near;
            }
        } else {
            let behind = matches!(&self.range.0,
                Bound::Included(at) | Bound::Excluded(at) if key <= &at[..]);
            if !behind {
                self.range.0 = near;
            }
        }
        Ok(())
    }
}
