//! The gateway with the real services over a store in memory, without sockets.

mod access_logs;
mod access_points;
mod answers;
mod auth_keys;
mod auth_table;
mod names;
mod negatives;
mod older_clients;
mod permissions;
mod selected;
mod signatures;
mod website;
mod who;
mod world;
