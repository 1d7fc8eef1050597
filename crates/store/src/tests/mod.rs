//! The store from outside: one suite, run over every engine.

mod basics;
mod crash;
mod log;
mod model;
