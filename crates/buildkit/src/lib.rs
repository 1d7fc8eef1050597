//! BuildKit, as its clients speak it: `docker build` with the buildx plugin, Compose, and the docker CLI
//! of old with `DOCKER_BUILDKIT=1`.
//!
//! A client opens two connections. On one ([`serve`]) it calls us: what is to be built, and how it
//! goes. On the other ([`Sessions`]) we call it, for its files, secrets and credentials. Both are gRPC,
//! of which [`wire`] and [`grpc`] have as much as is needed. Steps are those of `build`; the front end
//! is the Dockerfile's, built in.
//!
//! Invariants: all that a client sends is bounded; files that it sends end beneath a folder of ours; a
//! build whose caller has gone is given up, and leaves no container.
//!
//! Deliberately absent: steps in BuildKit's low-level form (LLB), other front ends, attestations, caches
//! that are exported, other machines' platforms. Each is refused by its name.

mod export;
#[doc(hidden)]
pub mod fuzz;
mod grpc;
mod jobs;
mod messages;
mod progress;
mod receive;
mod send;
mod server;
mod session;
mod solve;
mod wire;

pub use grpc::{Code, Status};
pub use messages::{Exporter, SolveRequest};
pub use server::{run_told, serve};
pub use session::{Asked, Session, Sessions};

use build::{Caches, Outside};
use engine::Engine;
use jobs::Jobs;
use std::sync::Arc;

/// What a build gets from other machines, by the credentials of a session.
pub trait Host: Send + Sync + 'static {
    fn outside(&self, session: &Session) -> Arc<dyn Outside>;
}

/// All that requests share.
pub struct Kit {
    pub engine: Engine,
    pub host: Box<dyn Host>,
    pub sessions: Sessions,
    pub caches: Arc<Caches>,
    pub version: &'static str,
    jobs: Jobs,
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kit")
    }
}

impl Kit {
    pub fn new(engine: Engine, host: Box<dyn Host>, version: &'static str) -> Kit {
        let caches = Arc::new(Caches::new(&engine));
        let (sessions, jobs) = (Sessions::default(), Jobs::default());
        Kit { engine, host, sessions, caches, version, jobs }
    }
}
