//! The store from outside: one suite, run over every engine.

mod basics;
mod crash;
mod jobs;
mod log;
mod model;
mod snapshot;
