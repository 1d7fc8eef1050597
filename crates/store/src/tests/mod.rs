//! The store from outside: one suite, run over every engine.

mod basics;
