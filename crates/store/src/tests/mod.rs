//! The store from outside: one suite, run over every engine.

mod basics;
mod clear;
mod crash;
mod format;
mod jobs;
mod log;
mod model;
mod snapshot;
mod threads;
