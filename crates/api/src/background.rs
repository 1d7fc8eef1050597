//! What a service's jobs have besides the transaction that they run in.

use crate::{Caller, Door, Error, Reply, RequestBody};
use base::{AccountId, Clock, Entropy, Region};
use smithy::Struct;
use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use store::Store;

/// Handed to [`crate::Hooks::jobs`]; a job keeps what it needs of it. The time of a job is that of its
/// transaction: [`store::Tx::now`].
#[derive(Clone)]
pub struct Background {
    pub entropy: Arc<dyn Entropy>,
    /// For contexts in which a job calls another service.
    pub clock: Arc<dyn Clock>,
    pub door: Arc<dyn Door>,
    pub store: Store,
}

/// A call of another service from an errand, which may wait and have a body.
pub struct Outgoing<'a> {
    /// Who calls; asked for permission like anybody.
    pub caller: Arc<Caller>,
    pub account: AccountId,
    pub region: Region,
    pub service: &'a str,
    pub operation: &'a str,
    pub input: &'a dyn Struct,
    pub body: RequestBody,
    /// As the trail shows it: `dynamodb.amazonaws.com`.
    pub agent: &'static str,
}

/// The answer to come.
pub type Sent<'a> =
    Pin<Box<dyn Future<Output = Result<Reply<Box<dyn Struct>>, Error>> + Send + 'a>>;

impl Background {
    /// Calls an operation of another service in transactions of its own, authorised and audited like one
    /// from outside. `O` is the operation's output.
    pub async fn send<O: Struct>(&self, call: Outgoing<'_>) -> Result<Reply<O>, Error> {
        let Reply { output, body, status } = self.door.send(self, call).await?;
        let output = (output as Box<dyn Any>).downcast::<O>();
        let output = output.map_err(|_| Error::internal("the answer of another operation"))?;
        Ok(Reply { output: *output, body, status })
    }
}

impl fmt::Debug for Background {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Background")
    }
}
