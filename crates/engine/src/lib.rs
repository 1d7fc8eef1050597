//! Containers: what is wanted of them is planned here, and a small helper process runs them.

pub mod caps;
pub mod config;
pub mod error;
pub mod helper;
pub mod hierarchy;
pub mod image;
pub mod launch;
pub mod plan;
mod rows;
pub mod seccomp;
mod sys;
pub mod time;
pub mod users;
