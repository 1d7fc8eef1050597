//! Freeing what no manifest names any more.

use crate::answer::{Answered, Refusal, json};
use crate::blobs::{HOST, unlink};
use crate::door::{Registry, Repository, allow, query};
use crate::manifests::remove_manifest;
use crate::rows::{ACCOUNTS, LINKS, MANIFESTS, REPOSITORIES, TAGS, UPLOADS};
use api::{Caller, RegistryCall};
use base::{AccountId, Partition};
use engine::time::now_ns;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Scope, StoreError};

/// A blob that was just sent is named by a manifest soon.
const GRACE_NS: i64 = 3_600_000_000_000;
/// After so long nobody goes on with an upload.
const UPLOAD_NS: i64 = 24 * GRACE_NS;
/// So often in that time is looked.
const PAUSES: u32 = 24;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Collected {
    pub manifests: u64,
    pub blobs: u64,
    pub uploads: u64,
}

impl Registry {
    /// `POST /v2/_cumulet/collect?untagged=1&grace=SECONDS`
    pub(crate) async fn collect_page(
        &self,
        call: &mut RegistryCall<'_>,
        caller: &Arc<Caller>,
    ) -> Answered {
        let account = allow(call, caller, "cumulet:CollectGarbage", "*")?;
        let untagged = query(call, "untagged").is_some_and(|text| text != "0");
        let grace = match query(call, "grace").map(str::parse::<u32>) {
            None => GRACE_NS,
            Some(Ok(seconds)) => i64::from(seconds) * 1_000_000_000,
            Some(Err(_)) => return Err(Refusal::new(400, "UNSUPPORTED", "grace is in seconds")),
        };
        let Collected { manifests, blobs, uploads } =
            self.collect(account, untagged, grace, caller).await?;
        json(
            &serde_json::json!({ "manifests": manifests, "blobs": blobs, "uploads": uploads }),
            Vec::new(),
        )
    }

    /// Frees what no manifest has named for `after`, of all accounts, again and again. What somebody
    /// pushes meanwhile is younger.
    pub async fn collect_again_and_again(self: Arc<Self>, after: Duration) {
        let pause = (after / PAUSES).max(Duration::from_secs(1));
        let grace_ns = i64::try_from(after.as_nanos()).unwrap_or(i64::MAX);
        loop {
            tokio::time::sleep(pause).await;
            match self.collect_all(grace_ns).await {
                Ok(Collected { blobs: 0, uploads: 0, .. }) => {}
                Ok(collected) => tracing::info!(?collected, "blobs that nothing names are gone"),
                Err(error) => tracing::warn!(%error, "blobs were not collected"),
            }
        }
    }

    async fn collect_all(&self, grace_ns: i64) -> Result<Collected, String> {
        let accounts: Result<Vec<String>, StoreError> =
            self.store.read(|tx| tx.scan(&ACCOUNTS, &HOST).keys().collect());
        let mut sum = Collected::default();
        for account in accounts.map_err(|error| error.to_string())? {
            let Some(account) = AccountId::parse(&account) else { continue };
            let caller = Arc::new(Caller::root(Partition::Aws, account));
            let collected = self.collect(account, false, grace_ns, &caller).await;
            let collected = collected.map_err(|refusal| refusal.message)?;
            sum.blobs += collected.blobs;
            sum.uploads += collected.uploads;
        }
        Ok(sum)
    }

    /// All repositories of an account.
    pub(crate) async fn collect(
        &self,
        account: AccountId,
        untagged: bool,
        grace_ns: i64,
        caller: &Arc<Caller>,
    ) -> Result<Collected, Refusal> {
        let scope = Scope::Account(account);
        let names = self.store.read(|tx| {
            tx.scan(&REPOSITORIES, &scope).keys().collect::<Result<Vec<String>, StoreError>>()
        })?;
        let mut collected = Collected::default();
        for name in names {
            let repository = Repository { account, name, caller: caller.clone() };
            if untagged {
                collected.manifests += self.collect_manifests(&repository, grace_ns).await?;
            }
            collected.blobs += self.collect_blobs(&repository, grace_ns).await?;
            collected.uploads += self.collect_uploads(&repository).await?;
        }
        Ok(collected)
    }

    /// Those that no tag leads to, not even by a list or as what they are about.
    async fn collect_manifests(
        &self,
        repository: &Repository,
        grace_ns: i64,
    ) -> Result<u64, Refusal> {
        let (name, scope) = (&repository.name, Scope::Account(repository.account));
        let before = now_ns().saturating_sub(grace_ns);
        let count = self.store.write(|tx| {
            let mut kept: BTreeSet<String> = BTreeSet::new();
            for entry in tx.scan(&TAGS, &scope).prefix(&(name.as_str(),)) {
                kept.insert(entry?.1.digest);
            }
            let mut all = Vec::new();
            for entry in tx.scan(&MANIFESTS, &scope).prefix(&(name.as_str(),)) {
                let ((_, digest), row) = entry?;
                all.push((digest, row));
            }
            loop {
                let known = kept.len();
                for (digest, row) in &all {
                    if kept.contains(digest) {
                        kept.extend(row.manifests.iter().cloned());
                    }
                    if !row.subject.is_empty() && kept.contains(&row.subject) {
                        kept.insert(digest.clone());
                    }
                }
                if kept.len() == known {
                    break;
                }
            }
            let gone = all
                .into_iter()
                .filter(|(digest, row)| !kept.contains(digest) && row.pushed_ns < before);
            let mut count = 0;
            for (digest, _) in gone {
                remove_manifest(tx, repository, &digest)?;
                count += 1;
            }
            Ok::<_, StoreError>(count)
        });
        Ok(count.await?)
    }

    async fn collect_blobs(&self, repository: &Repository, grace_ns: i64) -> Result<u64, Refusal> {
        let (name, scope) = (&repository.name, Scope::Account(repository.account));
        let before = now_ns().saturating_sub(grace_ns);
        let collected = self.store.write(|tx| {
            let mut named: BTreeSet<String> = BTreeSet::new();
            for entry in tx.scan(&MANIFESTS, &scope).prefix(&(name.as_str(),)) {
                named.extend(entry?.1.blobs);
            }
            let mut gone = Vec::new();
            for entry in tx.scan(&LINKS, &scope).prefix(&(name.as_str(),)) {
                let ((_, digest), row) = entry?;
                if !named.contains(&digest) && row.linked_ns < before {
                    gone.push(digest);
                }
            }
            let mut layers = Vec::new();
            for digest in &gone {
                layers.extend(unlink(tx, repository, digest)?);
            }
            Ok::<_, StoreError>((gone.len() as u64, layers))
        });
        let (count, layers) = collected.await?;
        for layer in layers {
            self.forget_layer(Some(layer));
        }
        Ok(count)
    }

    async fn collect_uploads(&self, repository: &Repository) -> Result<u64, Refusal> {
        let (name, scope) = (&repository.name, Scope::Account(repository.account));
        let before = now_ns().saturating_sub(UPLOAD_NS);
        let gone = self.store.write(|tx| {
            let mut gone = Vec::new();
            for entry in tx.scan(&UPLOADS, &scope).prefix(&(name.as_str(),)) {
                let (key, row) = entry?;
                if row.begun_ns < before {
                    gone.push((key, row));
                }
            }
            for (key, row) in &gone {
                tx.mark_freeing();
                for part in &row.parts {
                    tx.release_blob(part)?;
                }
                tx.delete(&UPLOADS, &scope, key)?;
            }
            Ok::<_, StoreError>(gone.into_iter().map(|((_, id), _)| id).collect::<Vec<_>>())
        });
        let gone = gone.await?;
        let mut hashers = self.hashers.lock();
        gone.iter().for_each(|id| drop(hashers.remove(id)));
        Ok(gone.len() as u64)
    }
}
