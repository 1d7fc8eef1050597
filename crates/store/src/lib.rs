//! The only way to keep anything: tables of typed rows, changed by serial transactions that are
//! durable before they are acknowledged.
//!
//! ```ignore
//! const BUCKETS: Table<String, BucketRow> = Table::new(0x0101, "s3.bucket");
//!
//! let made = store.write(|tx| {
//!     if tx.exists(&BUCKETS, &Scope::Global, name)? { return Err(Error::BucketAlreadyExists) }
//!     tx.put(&BUCKETS, &Scope::Global, name, &row)?;
//!     Ok(())
//! });
//! made.await?;
//! let row = store.read(|tx| tx.get(&BUCKETS, &Scope::Global, name))?;
//! ```
//!
//! Invariants: what a read or a write shows is durable when the answer is given; commits are
//! numbered without gaps; no byte reaches or leaves the disk but through [`disk::Disk`]; the store
//! has no threads, no clock and no chance of its own.
//!
//! Deliberately absent: anything about HTTP, services or AWS; queries; more than one writer.

pub mod blobs;
mod check;
mod clear;
pub mod disk;
pub mod engine;
mod error;
mod format;
#[doc(hidden)]
pub mod fuzz;
mod hot;
mod jobs;
mod key;
mod log;
pub mod lsm;
mod maintenance;
mod memory;
mod metrics;
mod queue;
mod room;
mod row;
mod scan;
mod signal;
mod snapshot;
mod space;
mod store;
mod table;
mod turn;
mod tx;

pub use check::Check;
pub use error::{DecodeError, OpenError, StoreError};
pub use jobs::{
    Errand, JOBS_COUNTED_MAX, JobCount, JobCx, JobError, JobInfo, JobKind, JobOutcome, JobRow, Jobs,
};
pub use key::{Desc, Key, KeyReader, KeyRef, KeyWriter, PrefixOf, Stem};
pub use log::LogDriver;
pub use maintenance::MaintenanceDriver;
pub use memory::MemoryEngine;
pub use metrics::{BOUNDS_NS, Histogram, Metrics};
pub use queue::Commit;
pub use row::{Field, OrdValue, Row, RowReader, RowWriter, Value, Wire};
pub use scan::Scan;
pub use signal::Wake;
pub use snapshot::{SnapshotError, SnapshotInfo};
pub use store::{Drivers, Durability, Index, Store, StoreOptions};
pub use table::{Scope, Table};
pub use tx::Tx;

#[cfg(test)]
mod tests;
