//! The whole cloud on one thread: the real gateway, services and store over a disk that loses what
//! was not synced, driven by clients whose every answer is checked against what may be true.
//!
//! One seed decides everything: who runs next, what is asked, when the power goes, which unsynced
//! writes survive it and in which pieces. Two runs of a seed give the same digest.
//!
//! What is checked: an acknowledged change is there after any crash; one that was not acknowledged
//! is there whole or not at all, and stays as it was first seen; of writers that race for one new
//! key exactly one wins; an index of a table and its stream are what its items say; what takes long (exports,
//! imports, backups, restores) ends with every item, however often the power went on the way; reads and
//! deletes go on while the disk is full; nothing is left over at the end (every blob has its row, every row
//! its blob). A run with a planted bug ([`Bug`]) must fail,
//! or the harness itself is broken.
//!
//! Deliberately absent: sockets and the HTTP parser, which the black-box tests and fuzzers have.

mod bugs;
mod client;
mod executor;
mod history;
mod items;
mod oracle;
mod request;
mod table_stream;
mod transfers;
mod world;

pub use bugs::Bug;
pub use world::{Options, Report, run};
