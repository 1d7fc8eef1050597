//! What the gateway and the registry of images say to each other. It speaks a protocol of its own,
//! below `/v2/`, where no bucket can be: a bucket's name has three letters.

use crate::{Body, Caller, RequestBody};
use base::AccountId;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use store::{StoreError, Tx};

/// A request, taken apart.
pub struct RegistryCall<'a> {
    pub method: &'a str,
    /// As on the wire, without the query.
    pub path: &'a str,
    pub query: &'a [(String, String)],
    /// By lower-case name.
    pub header: &'a (dyn Fn(&str) -> Option<String> + Sync),
    /// `http://host:port`, as the client sees us.
    pub origin: String,
    pub access: &'a dyn RegistryAccess,
    pub body: RequestBody,
}

pub struct RegistryAnswer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Body,
}

/// Who may do what. A refusal says why.
pub trait RegistryAccess: Send + Sync {
    /// An access key and its secret.
    fn by_secret(&self, id: &str, secret: &str) -> Result<Arc<Caller>, String>;

    fn by_token(&self, token: &str) -> Result<Arc<Caller>, String>;

    /// A text that [`RegistryAccess::by_token`] takes until so many seconds are over.
    fn token(&self, caller: &Caller, seconds: u64) -> String;

    /// Asks for an action on a repository, or on all of them. Gives the account whose it is.
    fn allow(&self, caller: &Arc<Caller>, action: &str, name: &str) -> Result<AccountId, String>;
}

pub type RegistryReply<'a> = Pin<Box<dyn Future<Output = RegistryAnswer> + Send + 'a>>;

pub trait RegistryDoor: Send + Sync + 'static {
    fn answer<'a>(&'a self, call: RegistryCall<'a>) -> RegistryReply<'a>;

    /// Part of the transaction that empties an account: gives up its bytes. Its rows go with that commit.
    /// Gives layers that nothing has any more, for [`RegistryDoor::remove_layers`] after that commit.
    fn forget_account(&self, tx: &mut Tx, account: AccountId) -> Result<Vec<String>, StoreError>;

    /// Blocks for a moment.
    fn remove_layers(&self, layers: &[String]);
}

/// Who may do what, for a part of this program that was given a key, or acts for who owns the machine.
/// What they give takes any secret for the one it was made for.
pub trait RegistryKeys: Send + Sync + 'static {
    fn owner(&self) -> Box<dyn RegistryAccess>;

    fn by_secret(&self, id: &str, secret: &str) -> Result<Box<dyn RegistryAccess>, String>;
}
