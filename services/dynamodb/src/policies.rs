//! Resource policies of tables.

use crate::DynamoDb;
use crate::error::invalid;
use crate::table::save;
use api::{Cx, Error, Tx};
use gen_dynamodb::errors as e;
use gen_dynamodb::*;
use policy::{Kind, Policy};

const POLICY_BYTES_MAX: usize = 20 * 1024;

/// The text, if it is a policy that a table can have.
pub(crate) fn check(text: &str) -> Result<String, Error> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(invalid(format!(
            "Resource policy size exceeds the limit of {POLICY_BYTES_MAX} bytes"
        )));
    }
    match Policy::parse(Kind::Resource, text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(invalid(format!("Invalid policy document: {}", error))),
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

impl DynamoDb {
    pub(crate) fn put_resource_policy(
        &self,
        tx: &mut Tx,
        cx: &Cx,
        input: &PutResourcePolicyInput,
    ) -> Result<PutResourcePolicyOutput, Error> {
        let text = check(&input.policy)?;
        let table = self.by_arn(tx, &input.resource_arn)?;
        let current = table.policy.as_ref().map(|_| table.row.policy_revision.as_str());
        check_revision(current, input.expected_revision_id.as_ref(), &input.resource_arn)?;
        let mut row = table.row.clone();
        if row.policy.as_ref() != Some(&text) {
            row.policy = Some(text);
            row.policy_revision = cx.entropy.uuid();
            save(tx, &row)?;
        }
        Ok(PutResourcePolicyOutput { revision_id: Some(row.policy_revision) })
    }

    pub(crate) fn get_resource_policy(
        &self,
        tx: &Tx,
        _: &Cx,
        input: &GetResourcePolicyInput,
    ) -> Result<GetResourcePolicyOutput, Error> {
        let table = self.by_arn(tx, &input.resource_arn)?;
        let policy = table.row.policy.clone().ok_or_else(|| missing(&input.resource_arn))?;
        let revision_id = Some(table.row.policy_revision.clone());
        Ok(GetResourcePolicyOutput { policy: Some(policy), revision_id })
    }

    pub(crate) fn delete_resource_policy(
        &self,
        tx: &mut Tx,
        _: &Cx,
        input: &DeleteResourcePolicyInput,
    ) -> Result<DeleteResourcePolicyOutput, Error> {
        let table = self.by_arn(tx, &input.resource_arn)?;
        let mut row = table.row.clone();
        if row.policy.is_none() {
            return match input.expected_revision_id {
                None => Ok(DeleteResourcePolicyOutput::default()),
                Some(_) => Err(missing(&input.resource_arn)),
            };
        }
        let revision = std::mem::take(&mut row.policy_revision);
        let wanted = input.expected_revision_id.as_ref();
        check_revision(Some(&revision), wanted, &input.resource_arn)?;
        row.policy = None;
        save(tx, &row)?;
        Ok(DeleteResourcePolicyOutput { revision_id: Some(revision) })
    }
}
