//! The contract between the gateway and a service: what an operation is given and what it gives back.
//!
//! An operation is a function over a transaction: `(tx, cx, input) -> Result<output, Error>`. Those
//! that move bodies or wait are async and open their transactions through [`AsyncCx`], which asks for
//! authorisation inside each of them, so that no path leads to the store without it.
//!
//! Deliberately absent: HTTP, sockets, credentials, how a decision is made. Those are behind [`Door`].

mod access;
mod background;
mod body;
mod console;
mod cx;
mod error;
mod fetch;
pub mod fuzz;
mod identity;
mod registry;
mod service;
pub mod testing;

pub use access::{Access, Tls, Touched};
pub use background::{Background, Outgoing, Sent};
pub use body::{Body, ByteStream, RequestBody, SignedHash};
pub use console::{
    ConsoleAnswer, ConsoleCall, ConsoleDoor, ConsoleReply, EngineDoor, Inside, InsideAnswer,
    InsideReply, InsideRequest,
};
pub use cx::{
    AccessPoint, Allowed, AsyncCx, Caller, Cx, CxParts, Door, HttpInfo, allowed_by, denial_place,
};
pub use error::Error;
pub use fetch::{Fetch, Fetched, NoFetch};
pub use identity::{Credential, Identities, IdentityPolicies, KeyUse, NamedPolicy};
pub use registry::{
    RegistryAccess, RegistryAnswer, RegistryCall, RegistryDoor, RegistryKeys, RegistryReply,
};
pub use service::{
    Answer, Ask, AskContext, CrossOrigin, DoorRules, Grants, Hooks, OriginAnswer, OriginRule,
    Reply, Service, Started, Through, WebAnswer, WebFailure, WebRequest, answer, cast, not_started,
    started,
};
pub use store::{Jobs, Store, StoreError, Tx};
