//! Resource policies of tables and streams. As with those of buckets, users and roles that they name are
//! meant by their unique ids: who has the name later is somebody else.

use crate::DynamoDb;
use crate::error::invalid;
use crate::rows::{StreamRow, TableRow};
use crate::streams::Named;
use crate::table::{named_policy, save};
use api::{Cx, Error, NamedPolicy, Tx};
use directory::{principal_ids, principals_for, principals_now};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use policy::{Foreign, Kind, Policy, foreign_partition};
use std::collections::BTreeMap;

const POLICY_BYTES_MAX: usize = 20 * 1024;

/// Unique ids by the ARNs that a policy names.
type Ids = BTreeMap<String, String>;

/// The ids of whom the text names, if it is a policy that a table can have.
pub(crate) fn check(tx: &Tx, cx: &Cx, text: &str) -> Result<Ids, Error> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(invalid(format!(
            "Resource policy size exceeds the limit of {POLICY_BYTES_MAX} bytes"
        )));
    }
    let policy = Policy::parse(Kind::Resource, text)
        .map_err(|error| invalid(format!("Invalid policy document: {error}")))?;
    let nobody = |arn| invalid(format!("Invalid policy document: Invalid principal {arn}"));
    match foreign_partition(text, cx.partition().as_str()) {
        Some(Foreign::Principal(arn)) => Err(nobody(arn)),
        _ => principal_ids(tx, &policy)?.map_err(nobody),
    }
}

/// The policy as it is to be read for the caller; `parsed` is the one that was put.
pub(crate) fn of_caller(
    cx: &Cx,
    text: Option<&String>,
    ids: &Ids,
    parsed: impl FnOnce() -> Result<Option<NamedPolicy>, Error>,
) -> Result<Option<NamedPolicy>, Error> {
    match text.and_then(|text| principals_for(text, ids, &cx.caller)) {
        Some(own) => named_policy(&own).map(Some),
        None => parsed(),
    }
}

fn missing(arn: &str) -> Error {
    let text = format!("Resource-based policy not found for the provided ResourceArn: {arn}");
    Error::new(&e::POLICY_NOT_FOUND_EXCEPTION, text)
}

/// Whether the revision that a change expects is the one at hand.
fn check_revision(current: Option<&str>, wanted: Option<&String>, arn: &str) -> Result<(), Error> {
    match wanted.map(String::as_str) {
        None => Ok(()),
        Some("NO_POLICY") if current.is_none() => Ok(()),
        Some(wanted) if current == Some(wanted) => Ok(()),
        Some(_) => Err(Error::new(
            &e::POLICY_NOT_FOUND_EXCEPTION,
            format!("The resource policy of {arn} does not have the expected revision id"),
        )),
    }
}

/// What has a policy.
enum Holder {
    Table(Box<TableRow>),
    Stream(Named, Box<StreamRow>),
}

impl Holder {
    fn policy(&self) -> Option<&String> {
        match self {
            Holder::Table(row) => row.policy.as_ref(),
            Holder::Stream(_, row) => row.policy.as_ref(),
        }
    }

    /// The revision, if there is a policy.
    fn revision(&self) -> Option<&str> {
        self.policy()?;
        Some(match self {
            Holder::Table(row) => &row.policy_revision,
            Holder::Stream(_, row) => &row.policy_revision,
        })
    }

    fn ids(&self) -> &Ids {
        match self {
            Holder::Table(row) => &row.policy_ids,
            Holder::Stream(_, row) => &row.policy_ids,
        }
    }

    fn set(
        self,
        tx: &mut Tx,
        policy: Option<String>,
        ids: Ids,
        revision: String,
    ) -> Result<(), Error> {
        match self {
            Holder::Table(mut row) => {
                (row.policy, row.policy_ids, row.policy_revision) = (policy, ids, revision);
                save(tx, &row)
            }
            Holder::Stream(named, mut row) => {
                (row.policy, row.policy_ids, row.policy_revision) = (policy, ids, revision);
                named.save(tx, &row)
            }
        }
    }
}

impl DynamoDb {
    fn holder(&self, tx: &Tx, cx: &Cx, arn: &str) -> Result<Holder, Error> {
        if arn.contains("/stream/") {
            let named = Named::here(cx, arn)?;
            let row = named.find(tx)?;
            return Ok(Holder::Stream(named, Box::new(row)));
        }
        Ok(Holder::Table(Box::new(self.by_arn(tx, cx, arn)?.row.clone())))
    }

    pub(crate) fn put_resource_policy(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutResourcePolicyInput,
    ) -> Result<PutResourcePolicyOutput, Error> {
        let ids = check(tx, cx, &input.policy)?;
        let holder = self.holder(tx, cx, &input.resource_arn)?;
        let wanted = input.expected_revision_id.as_ref();
        check_revision(holder.revision(), wanted, &input.resource_arn)?;
        let mut revision = holder.revision().unwrap_or_default().to_owned();
        if holder.policy() != Some(&input.policy) || *holder.ids() != ids {
            revision = cx.entropy.uuid();
            holder.set(tx, Some(input.policy.clone()), ids, revision.clone())?;
        }
        Ok(PutResourcePolicyOutput { revision_id: Some(revision) })
    }

    pub(crate) fn get_resource_policy(
        &self,
        tx: &Tx,
        cx: &Cx,
        input: &GetResourcePolicyInput,
    ) -> Result<GetResourcePolicyOutput, Error> {
        let holder = self.holder(tx, cx, &input.resource_arn)?;
        let policy = holder.policy().ok_or_else(|| missing(&input.resource_arn))?;
        let policy = principals_now(tx, policy, holder.ids())?.into_owned();
        let revision_id = holder.revision().map(str::to_owned);
        Ok(GetResourcePolicyOutput { policy: Some(policy), revision_id })
    }

    pub(crate) fn delete_resource_policy(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &DeleteResourcePolicyInput,
    ) -> Result<DeleteResourcePolicyOutput, Error> {
        let holder = self.holder(tx, cx, &input.resource_arn)?;
        let wanted = input.expected_revision_id.as_ref();
        let Some(revision) = holder.revision().map(str::to_owned) else {
            return match wanted {
                None => Ok(DeleteResourcePolicyOutput::default()),
                Some(_) => Err(missing(&input.resource_arn)),
            };
        };
        check_revision(Some(&revision), wanted, &input.resource_arn)?;
        holder.set(tx, None, Ids::new(), String::new())?;
        Ok(DeleteResourcePolicyOutput { revision_id: Some(revision) })
    }
}
