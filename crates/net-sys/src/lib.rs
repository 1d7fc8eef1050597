//! Networks in the kernel: links, addresses, routes and the firewall, over netlink.
//!
//! Thin: what is wanted is decided in `net`. Everything here blocks for as long as the kernel takes.
//!
//! Deliberately absent: external programs, and any rule outside of a table of our own.

mod firewall;
mod link;
mod namespace;
mod netlink;

pub use firewall::Firewall;
pub use link::{Link, Links, NewBridge, Used};
pub use namespace::{at_home, inside, is_settled, new_namespace, settle};
