//! Rules as they are acted by, and which of them concern a version.

use crate::bucket::scope;
use crate::restore::is_archive;
use crate::rows::*;
use api::{Error, Tx};
use base::AccountId;
use gen_s3::ReplicationRule;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Table, row};

/// What a bucket's configuration says, by its number.
pub const REPLICATIONS: Table<u64, ReplicationRow> = Table::new(0x011d, "s3.replication");

row! {
    pub struct ReplicationRow {
        1 => name: String,
        2 => role: String,
        /// The enabled ones, of the highest priority first.
        3 => rules: Vec<RuleRow>,
    }
}

row! {
    pub struct RuleRow {
        1 => prefix: String,
        2 => tags: BTreeMap<String, String>,
        /// Whether delete markers are replicated too.
        3 => markers: bool,
        /// Whether objects under keys of KMS are.
        4 => kms: bool,
        /// Whether changes of what is a replica itself are.
        5 => of_replicas: bool,
        6 => to: TargetRow,
    }
}

row! {
    pub struct TargetRow {
        1 => bucket: String,
        /// Who must own the bucket, where the configuration says so.
        2 => account: Option<AccountId>,
        /// Another one than the source's; empty for STANDARD.
        3 => storage_class: Option<String>,
        /// The bucket's owner owns the copy.
        4 => owner_changes: bool,
        5 => kms_key_id: Option<String>,
        /// Failures are told.
        6 => watched: bool,
    }
}

impl RuleRow {
    /// Of a rule that was checked. `old` ones are of the first form of the configuration.
    pub fn new(rule: &ReplicationRule, old: bool) -> RuleRow {
        let filter = rule.filter.as_ref();
        let and = filter.and_then(|filter| filter.and.as_ref());
        let prefix = rule.prefix.as_ref().or(filter.and_then(|filter| filter.prefix.as_ref()));
        let prefix = prefix.or(and.and_then(|and| and.prefix.as_ref()));
        let tag = filter.and_then(|filter| filter.tag.as_ref());
        let tags = and.and_then(|and| and.tags.as_ref()).into_iter().flatten();
        let markers = rule.delete_marker_replication.as_ref();
        let criteria = rule.source_selection_criteria.as_ref();
        let kms = criteria.and_then(|criteria| criteria.sse_kms_encrypted_objects.as_ref());
        let replicas = criteria.and_then(|criteria| criteria.replica_modifications.as_ref());
        let to = &rule.destination;
        let encryption = to.encryption_configuration.as_ref();
        RuleRow {
            prefix: prefix.cloned().unwrap_or_default(),
            tags: tag.into_iter().chain(tags).map(|t| (t.key.clone(), t.value.clone())).collect(),
            markers: old || markers.is_some_and(|m| m.status.as_deref() == Some("Enabled")),
            kms: kms.is_some_and(|kms| kms.status == "Enabled"),
            of_replicas: replicas.is_some_and(|replicas| replicas.status == "Enabled"),
            to: TargetRow {
                bucket: to.bucket.rsplit(':').next().unwrap_or_default().to_owned(),
                account: to.account.as_deref().and_then(AccountId::parse),
                storage_class: to.storage_class.as_ref().map(|class| match class.as_str() {
                    "STANDARD" => String::new(),
                    class => class.to_owned(),
                }),
                owner_changes: to.access_control_translation.is_some(),
                kms_key_id: encryption.and_then(|e| e.replica_kms_key_id.clone()),
                watched: to.metrics.as_ref().is_some_and(|metrics| metrics.status == "Enabled"),
            },
        }
    }

    /// Whether a new version goes to the rule's bucket.
    fn takes(&self, key: &str, row: &ObjectRow) -> bool {
        if !key.starts_with(&self.prefix) {
            return false;
        }
        if row.delete_marker {
            return self.markers && self.tags.is_empty();
        }
        let tagged = self.tags.iter().all(|(key, value)| row.meta.tags.get(key) == Some(value));
        let kms = row.meta.encryption.starts_with("aws:kms");
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/replication-what-is-isnt-replicated.html
        tagged && (self.kms || !kms) && !is_archive(&row.meta.storage_class)
    }

    /// Whether a change of a version goes there, if the version did. Its tags may be what changed.
    fn follows(&self, key: &str, row: &ObjectRow) -> bool {
        let replica = row.meta.replication == Some(Replicated::Replica);
        key.starts_with(&self.prefix) && (self.of_replicas || !replica)
    }
}

impl ReplicationRow {
    /// Where a new version goes to; by the rule of the highest priority where several lead to one bucket.
    pub fn of_new(&self, key: &str, row: &ObjectRow) -> Vec<TargetRow> {
        self.targets(|rule| rule.takes(key, row))
    }

    pub fn of_change(&self, key: &str, row: &ObjectRow) -> Vec<TargetRow> {
        self.targets(|rule| rule.follows(key, row))
    }

    fn targets(&self, concerns: impl Fn(&RuleRow) -> bool) -> Vec<TargetRow> {
        let mut targets: Vec<TargetRow> = Vec::new();
        for rule in self.rules.iter().filter(|rule| concerns(rule)) {
            if !targets.iter().any(|target| target.bucket == rule.to.bucket) {
                targets.push(rule.to.clone());
            }
        }
        targets
    }
}

/// The rules of a bucket, if it has any.
pub fn of(tx: &Tx, bucket: &BucketRow) -> Result<Option<Arc<ReplicationRow>>, Error> {
    match bucket.has(Feature::Replication) {
        true => Ok(tx.get_shared(&REPLICATIONS, &scope(bucket), &bucket.number)?),
        false => Ok(None),
    }
}
