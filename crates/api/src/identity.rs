//! What the gateway needs to know of users, roles and keys. Implemented by the IAM service.

use crate::{Caller, Error};
use base::{AccountId, Timestamp};
use policy::{Policy, Principal};
use std::sync::Arc;
use store::Tx;

/// An access key that was found.
#[derive(Clone, Debug)]
pub struct Credential {
    pub secret: Arc<str>,
    /// Set for temporary credentials: the request must carry exactly this token.
    pub session_token: Option<Arc<str>>,
    pub expires: Option<Timestamp>,
    pub caller: Arc<Caller>,
}

/// A policy with the name under which a refusal or an explanation mentions it.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    pub name: Arc<str>,
    pub policy: Arc<Policy>,
}

/// All that limits or allows a principal by itself.
#[derive(Clone, Default, Debug)]
pub struct IdentityPolicies {
    pub identity: Vec<NamedPolicy>,
    pub boundary: Option<NamedPolicy>,
    /// `None`: no session policy; an empty list allows nothing.
    pub session: Option<Vec<NamedPolicy>>,
}

/// A use of a key, as it was noted.
#[derive(Clone, Debug)]
pub struct KeyUse {
    pub at: Timestamp,
    pub account: AccountId,
    pub access_key_id: String,
    /// Of the user or role.
    pub entity_id: String,
    pub service: String,
    pub region: String,
}

/// Looks up who is asking and what they may do, in the snapshot of the operation.
pub trait Identities: Send + Sync + 'static {
    /// `None` for a key that was never issued or is inactive.
    fn credential(&self, tx: &Tx, access_key_id: &str) -> Result<Option<Credential>, Error>;

    /// The policies of a caller as of this snapshot. Parsed policies are shared and cached.
    fn policies(&self, tx: &Tx, caller: &Caller) -> Result<IdentityPolicies, Error>;

    /// The principal that root credentials of an account stand for; makes nothing.
    fn root(&self, caller: &Caller) -> Principal;

    /// Writes down when keys were used. Those that are gone by now need no note.
    #[allow(unused_variables)]
    fn record_uses(&self, tx: &mut Tx, uses: &[KeyUse]) -> Result<(), Error> {
        Ok(())
    }
}
