//! Containers: what is wanted of them is planned here, and a small helper process runs them.
//!
//! [`Engine`] is the whole of it for the API in front. Below it: [`launch`] makes a [`plan`] out of a
//! specification, purely; the [`helper`], a process of its own, does what the plan says with `sys`,
//! the one place that may be unsafe; images, volumes and networks are kept as rows and folders.
//!
//! Invariants: a row that was acknowledged is on the disk before; whatever a container or an archive
//! says is looked up beneath a root; what a container leaves in the kernel (mounts, links, control
//! groups) goes with its last process or is removed by name.
//!
//! Files here do not go through `store::Disk`: layers and containers' own folders are the kernel's
//! file systems, not rows (see `docs/decisions/070`).

pub mod caps;
pub mod claim;
pub mod config;
pub mod container;
mod engine;
pub mod error;
pub mod events;
mod first;
mod forget;
#[doc(hidden)]
pub mod fuzz;
pub mod helper;
pub mod hierarchy;
pub mod image;
pub mod launch;
pub mod logs;
pub mod names;
pub mod network;
pub mod plan;
mod processes;
mod recover;
pub mod remap;
pub mod rootless;
mod rows;
pub mod seccomp;
mod sys;
pub mod time;
pub mod users;
pub mod validate;
pub mod volume;

pub use engine::{Engine, Parts, blocking, task};
pub use error::{Error, Kind};
pub use first::{First, first};
pub use helper::protocol::Outlet;
pub use sys::raw::{end_with_the_pipe, unread_by_peer};
pub use sys::reason;
