//! The only way to keep anything.

pub mod disk;
pub mod engine;
