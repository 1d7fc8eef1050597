//! Emptying the cloud, or one account of it, with one commit: `POST /_cumulet/reset`, with `account=N` for
//! an account.
//!
//! A request that is under way sees what was before it or what is after it, as with any commit; one that
//! comes back to the store finds its bucket gone. What stays: the audit trail, the clock, the secret under
//! which paging tokens are made, snapshots, and the local authority's certificates. Containers, their volumes
//! and networks, and images belong to no account: they go when the whole cloud does.

use crate::audit;
use crate::clock;
use crate::encode::Response;
use crate::faults;
use crate::gateway::Gateway;
use crate::pages::page;
use crate::secret;
use api::{Cx, Error, Tx};
use base::AccountId;
use smithy::json::Writer;
use std::pin::Pin;
use std::sync::Arc;
use store::StoreError;

/// What there is in the world for rows that are gone: containers, folders, networks. Belongs to whoever
/// owns the gateway.
pub trait Leftovers: Send + Sync {
    /// Part of the transaction that clears the cloud. Rows that are written here stay.
    fn keep(&self, tx: &mut Tx) -> Result<(), StoreError>;

    /// Removes it, once that transaction is on the disk. May be called again after a crash.
    fn remove(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl Gateway {
    /// Says who sees to what rows stand for.
    pub fn see_to_leftovers(&self, leftovers: Arc<dyn Leftovers>) {
        let _ = self.leftovers.set(leftovers);
    }

    /// Of all, or of an account.
    pub(crate) async fn reset(
        &self,
        cx: &Cx,
        account: Option<AccountId>,
    ) -> Result<Response, Error> {
        match account {
            Some(account) => self.reset_account(cx, account).await?,
            None => self.reset_all(cx).await?,
        }
        Ok(done(account))
    }

    async fn reset_all(&self, cx: &Cx) -> Result<(), Error> {
        let leftovers = self.leftovers.get();
        let commit = self.store.write(|tx| {
            tx.clear(None, &[audit::EVENTS.id(), clock::CLOCK.id(), secret::SECRETS.id()]);
            if let Some(leftovers) = leftovers {
                leftovers.keep(tx)?;
            }
            self.guard.keys.identities_change(tx);
            self.guard.audit.record_with(tx, cx, "{}".to_owned())
        });
        commit.await?;
        self.faults.read_again(&self.store)?;
        self.part().await?;
        if let Some(leftovers) = leftovers {
            leftovers.remove().await;
        }
        Ok(())
    }

    async fn reset_account(&self, cx: &Cx, account: AccountId) -> Result<(), Error> {
        let commit = self.store.write(|tx| {
            let mut kept = Vec::new();
            for entry in self.guard.directory.entries() {
                kept.extend(entry.service.hooks().forget_account(tx, account)?);
            }
            let layers = match &self.registry {
                Some(registry) => registry.forget_account(tx, account)?,
                None => Vec::new(),
            };
            tx.clear(Some(account), &kept);
            faults::forget_account(tx, account)?;
            self.guard.keys.identities_change(tx);
            self.guard.audit.record_with(tx, cx, parameters(account))?;
            Ok::<_, Error>(layers)
        });
        let layers = commit.await?;
        if let Some(registry) = self.registry.as_ref().filter(|_| !layers.is_empty()) {
            registry.remove_layers(&layers);
        }
        self.faults.read_again(&self.store)?;
        Ok(())
    }
}

fn parameters(account: AccountId) -> String {
    let mut out = Writer::with_capacity(64);
    out.open('{');
    out.key("account");
    out.string(&account.to_string());
    out.close('}');
    out.finish()
}

fn done(account: Option<AccountId>) -> Response {
    let mut out = Writer::with_capacity(64);
    out.open('{');
    out.key("reset");
    match account {
        Some(account) => out.string(&account.to_string()),
        None => out.string("everything"),
    }
    out.close('}');
    page("application/json", out.finish())
}
