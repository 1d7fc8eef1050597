//! The job: what waits is copied, as the role of the configuration.

use super::rules::TargetRow;
use super::tasks::{STATES, TASKS, TaskRow};
use crate::events::{self, Of};
use crate::rows::*;
use crate::{acl, background, customer_key, encryption, lock, names, object, public_access};
use api::{Ask, Background, Caller, Cx, Error, Tx};
use base::AccountId;
use directory::{key_of, role};
use policy::Principal;
use store::{JobOutcome, Scope};

/// Tasks in one transaction.
const AT_ONCE: usize = 16;
/// Copies in one transaction: a rule may lead to each of a thousand buckets.
const COPIES_AT_ONCE: usize = 64;
/// Who assumes the role.
const SERVICE: &str = "s3.amazonaws.com";
const SESSION: &str = "s3-replication";

/// The bucket of which the versions are.
struct Origin<'a> {
    with: &'a Background,
    bucket: &'a BucketRow,
    name: &'a str,
}

pub fn step(
    tx: &mut Tx,
    with: &Background,
    account: AccountId,
    number: u64,
    name: &str,
) -> Result<JobOutcome, Error> {
    let bucket = tx.get(&BUCKETS, &Scope::Global, name)?.filter(|bucket| bucket.number == number);
    let place = Scope::Account(account);
    let Some(bucket) = bucket else { return Ok(JobOutcome::Done) };
    let rows = tx.scan(&TASKS, &place).prefix(&(number,)).take(AT_ONCE);
    let tasks: Vec<((u64, u64), TaskRow)> = rows.collect::<Result<_, _>>()?;
    let from = Origin { with, bucket: &bucket, name };
    let (mut room, mut ended) = (COPIES_AT_ONCE, 0);
    for (key, mut task) in tasks {
        let rest = task.to.split_off(task.to.len().min(room));
        room -= task.to.len();
        task.failed |= !from.copy_all(tx, &task)?;
        if rest.is_empty() {
            from.settle(tx, &task)?;
            tx.delete(&TASKS, &place, &key)?;
            ended += 1;
        } else {
            tx.put(&TASKS, &place, &key, &TaskRow { to: rest, ..task })?;
        }
        if room == 0 {
            break;
        }
    }
    let mut state = tx.get(&STATES, &place, &number)?.unwrap_or_default();
    state.waiting = state.waiting.saturating_sub(ended);
    tx.put(&STATES, &place, &number, &state)?;
    Ok(if state.waiting > 0 { JobOutcome::Again(tx.now()) } else { JobOutcome::Done })
}

/// What of a version may be read for a target.
struct Readable {
    tags: bool,
}

impl Origin<'_> {
    /// Copies to each target; whether all went well.
    fn copy_all(&self, tx: &mut Tx, task: &TaskRow) -> Result<bool, Error> {
        let found = object::of_sequence(tx, self.bucket, &task.key, task.sequence)?;
        // What is deleted by now is nothing to copy.
        let Some(row) = found else { return Ok(true) };
        let cx = self.assume(tx, &task.role)?;
        let mut all = true;
        for target in &task.to {
            let done = match &cx {
                Some(cx) => self.copy(tx, cx, task, &row, target)?,
                None => false,
            };
            if !done && target.watched {
                let of = Of::new(self.bucket, self.name, &task.key, &row);
                let event = "Replication:OperationFailedReplication";
                events::tell_own(tx, event, of, "ReplicateObject")?;
            }
            all &= done;
        }
        Ok(all)
    }

    /// Says in the version's row what came of it.
    fn settle(&self, tx: &mut Tx, task: &TaskRow) -> Result<(), Error> {
        let found = object::of_sequence(tx, self.bucket, &task.key, task.sequence)?;
        let Some(mut row) = found else { return Ok(()) };
        if row.meta.replication != Some(Replicated::Replica) {
            // What never came there is not there because of a change that had nothing to do.
            let failed = task.is_change && row.meta.replication == Some(Replicated::Failed);
            let done = !task.failed && !failed;
            let standing = if done { Replicated::Completed } else { Replicated::Failed };
            row.meta.replication = Some(standing);
            object::rewrite(tx, self.bucket, &task.key, &row)?;
        }
        Ok(())
    }

    /// The context of a session of that role, if it is there and trusts S3.
    fn assume(&self, tx: &Tx, arn: &str) -> Result<Option<Cx>, Error> {
        let account = self.bucket.owner;
        let name = arn.rsplit('/').next().unwrap_or_default();
        let found = role(tx, account, &key_of(name))?.filter(|role| role.arn == arn);
        let Some(role) = found else { return Ok(None) };
        let service = Caller::bare(Principal::service(SERVICE), None, SERVICE);
        let cx = background::context(self.with, service, self.bucket, "PutObject")?;
        let ask = Ask::new("sts:AssumeRole", arn)
            .key("aws:sourcearn", Some(names::bucket_arn(cx.partition(), self.name)))
            .key("aws:sourceaccount", Some(account.to_string()))
            .key("aws:principalservicename", Some(SERVICE));
        if !background::may(tx, &cx, &ask)? {
            return Ok(None);
        }
        let partition = cx.partition().as_str();
        let session =
            format!("arn:{partition}:sts::{account}:assumed-role/{}/{SESSION}", role.name);
        let principal = Principal::session(account, session, arn)
            .with_canonical_id(account.canonical_user_id());
        let user_id = format!("{}:{SESSION}", role.id);
        let caller = Caller {
            name: role.name.as_str().into(),
            tags: role.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect(),
            ..Caller::bare(principal, Some(account), user_id)
        };
        background::context(self.with, caller, self.bucket, "PutObject").map(Some)
    }

    /// Whether the version is where it is to be.
    fn copy(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        task: &TaskRow,
        row: &ObjectRow,
        to: &TargetRow,
    ) -> Result<bool, Error> {
        let Some(target) = tx.get(&BUCKETS, &Scope::Global, &to.bucket)? else { return Ok(false) };
        let fits = target.versioning == Versioning::Enabled
            && to.account.is_none_or(|account| account == target.owner);
        if !fits {
            return Ok(false);
        }
        let Some(readable) = self.may_read(tx, cx, task, row)? else { return Ok(false) };
        let arn = names::object_arn(cx.partition(), &to.bucket, &task.key);
        let write = match row.delete_marker {
            true => Ask::new("s3:ReplicateDelete", arn.as_str()),
            false => sealed_keys(Ask::new("s3:ReplicateObject", arn.as_str()), &row.meta, to),
        };
        if !background::may(tx, cx, &write)? {
            return Ok(false);
        }
        let owner = Ask::new("s3:ObjectOwnerOverrideToBucketOwner", arn.as_str());
        if to.owner_changes && !background::may(tx, cx, &owner)? {
            return Ok(false);
        }
        let tags = readable.tags && background::may(tx, cx, &Ask::new("s3:ReplicateTags", arn))?;
        let there = object::find(tx, &target, &task.key, Some(&row.version_id))?;
        match (task.is_change, there) {
            (true, Some(there)) => {
                let replica = replica(tx, row, &target, to, tags, Some(there))?;
                let Some(replica) = replica else { return Ok(false) };
                object::rewrite(tx, &target, &task.key, &replica)?;
            }
            // Of what never came, or was deleted there since, nothing can change.
            (true, None) | (false, Some(_)) => {}
            (false, None) => {
                let Some(mut replica) = replica(tx, row, &target, to, tags, None)? else {
                    return Ok(false);
                };
                self.seal(&target, to, &mut replica.meta)?;
                object::install_replica(tx, &target, &task.key, &replica)?;
                let of = Of::new(&target, &to.bucket, &task.key, &replica);
                let event = match replica.delete_marker {
                    true => "ObjectRemoved:DeleteMarkerCreated",
                    false => "ObjectCreated:Put",
                };
                events::tell_own(tx, event, of, "ReplicateObject")?;
            }
        }
        Ok(true)
    }

    /// What the role may read of the version; `None` if it is not enough.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/setting-repl-config-perm-overview.html>
    fn may_read(
        &self,
        tx: &Tx,
        cx: &Cx,
        task: &TaskRow,
        row: &ObjectRow,
    ) -> Result<Option<Readable>, Error> {
        let bucket = names::bucket_arn(cx.partition(), self.name);
        let arn = names::object_arn(cx.partition(), self.name, &task.key);
        let of_bucket = |action| background::may(tx, cx, &Ask::new(action, bucket.as_str()));
        let of_version = |action| {
            let ask = Ask::new(action, arn.as_str()).key("s3:versionid", Some(&*row.version_id));
            background::may(tx, cx, &ask)
        };
        let bytes =
            of_version("s3:GetObjectVersionForReplication")? || of_version("s3:GetObjectVersion")?;
        let enough = of_bucket("s3:GetReplicationConfiguration")?
            && of_bucket("s3:ListBucket")?
            && bytes
            && of_version("s3:GetObjectVersionAcl")?
            && (row.meta.retention.is_none() || of_version("s3:GetObjectRetention")?)
            && (row.meta.legal_hold.is_none() || of_version("s3:GetObjectLegalHold")?);
        // The owner of a bucket cannot hand on what others put there and keep from him.
        let own = row.owner == self.bucket.owner || row.delete_marker || self.owner_may(row);
        if !enough || !own {
            return Ok(None);
        }
        Ok(Some(Readable { tags: of_version("s3:GetObjectVersionTagging")? }))
    }

    fn owner_may(&self, row: &ObjectRow) -> bool {
        let owner = Caller::root(base::Partition::Aws, self.bucket.owner);
        let may = |action| acl::object_allows(row, true, &owner, action);
        may("s3:GetObjectVersion") && may("s3:GetObjectVersionAcl")
    }

    /// The encryption of a copy: the key that the rule names where its source is under a key of KMS, and
    /// the target's default where it is under S3's own. A customer's key seals the copy as its source.
    fn seal(&self, target: &BucketRow, to: &TargetRow, meta: &mut Meta) -> Result<(), Error> {
        if meta.customer.is_some() {
            return Ok(());
        }
        if meta.encryption.starts_with("aws:kms") {
            meta.kms_key_id = to.kms_key_id.clone();
            return Ok(());
        }
        encryption::Asked::default().apply(target, meta, &*self.with.entropy)
    }
}

/// What policies may say of how a copy is encrypted.
fn sealed_keys(ask: Ask, meta: &Meta, to: &TargetRow) -> Ask {
    const NAME: &str = "s3:x-amz-server-side-encryption";
    match &meta.customer {
        Some(_) => ask.key(
            "s3:x-amz-server-side-encryption-customer-algorithm",
            Some(customer_key::ALGORITHM),
        ),
        None if meta.encryption.is_empty() => ask.key(NAME, Some("AES256")),
        None => ask
            .key(NAME, Some(meta.encryption.as_str()))
            .key("s3:x-amz-server-side-encryption-aws-kms-key-id", to.kms_key_id.as_deref()),
    }
}

/// The copy as it is to stand in the target, in place of what is there; `None` if the target does not
/// take it.
fn replica(
    tx: &Tx,
    row: &ObjectRow,
    target: &BucketRow,
    to: &TargetRow,
    tags: bool,
    there: Option<ObjectRow>,
) -> Result<Option<ObjectRow>, Error> {
    let is_new = there.is_none();
    let mut copy = there.unwrap_or_else(|| ObjectRow { upload_id: None, ..row.clone() });
    copy.meta.replication = Some(Replicated::Replica);
    if is_new {
        copy.meta.restore = None;
        if let Some(class) = to.storage_class.as_ref().filter(|_| !row.delete_marker) {
            copy.meta.storage_class = class.clone();
        }
    }
    match tags {
        true => copy.meta.tags = row.meta.tags.clone(),
        false if is_new => copy.meta.tags.clear(),
        false => {}
    }
    let to_owner = to.owner_changes || target.ownership == Ownership::BucketOwnerEnforced;
    (copy.owner, copy.acl) = match to_owner {
        true => (target.owner, vec![acl::full_control(target.owner)]),
        false => (row.owner, row.acl.clone()),
    };
    if public_access::check_acl(tx, target, &copy.acl).is_err() {
        return Ok(None);
    }
    let locked = row.meta.retention.is_some() || row.meta.legal_hold.is_some();
    match (locked, target.lock.is_some()) {
        (true, false) => return Ok(None),
        (true, true) => {
            let own = copy.meta.retention.take().filter(|_| !is_new);
            copy.meta.retention = lock::of_source(own, row.meta.retention.clone(), tx.now());
            // A hold that was put on the replica alone stays.
            copy.meta.legal_hold = row.meta.legal_hold.or(copy.meta.legal_hold);
        }
        (false, true) if is_new && !row.delete_marker => {
            let nothing = lock::Asked { mode: &None, until: None, legal_hold: &None };
            nothing.apply(target, tx.now(), &mut copy.meta)?;
        }
        (false, _) => {}
    }
    Ok(Some(copy))
}
