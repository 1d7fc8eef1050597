//! The web console at `/_console`: pages made on the server from what the public APIs say.
//!
//! A person signs in with an access key. From then on each page is made of requests that are signed with
//! that key and come in by the gateway's front door ([`api::Inside`]), where they are authenticated,
//! authorised and recorded like anybody's; this crate has no other way to anything. Making a page and
//! drawing it are apart: `pages` ask, and their `view` functions turn what came into markup without any
//! I/O, by [`html`], which escapes everything by construction.
//!
//! Invariants: nothing from outside becomes markup, a script, a style or the start of a link; pages load
//! scripts and styles from this program only; what changes something is a `POST` from a page of our own
//! with the session's number in it; uploaded bytes are never given as a document of this origin.
//!
//! Deliberately absent: a way of its own to the store, passwords, roles of its own, state beyond
//! sessions in memory and a short history of counters.

mod call;
mod cookies;
mod door;
mod form;
#[doc(hidden)]
pub mod fuzz;
mod html;
mod layout;
mod live;
mod markdown;
mod pages;
mod plot;
mod samples;
mod session;
#[cfg(test)]
mod tests;

pub use door::{Console, Lab, Parts};
pub use samples::STEP_SECONDS;
