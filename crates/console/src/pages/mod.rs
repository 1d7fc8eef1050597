//! One module for each page: `show` asks the APIs, `view` draws what came, without any I/O.

pub mod bucket;
pub mod buckets;
pub mod container;
pub mod containers;
pub mod home;
pub mod identities;
pub mod identity;
pub mod item;
pub mod labs;
pub mod map;
pub mod metrics;
pub mod object;
pub mod regions;
pub mod requests;
pub mod sign_in;
pub mod table;
pub mod tables;
