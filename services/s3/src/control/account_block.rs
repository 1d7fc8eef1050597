//! What an account blocks for all of its buckets and access points, whatever they say themselves.

use super::check_account;
use crate::rows::PublicAccessRow;
use api::{Cx, Error, Tx};
use base::AccountId;
use gen_s3control::*;
use store::{Scope, Table};

/// In the scope of the account, under 0.
const BLOCKS: Table<u64, PublicAccessRow> = Table::new(0x0119, "s3.account_block");

pub fn of(tx: &Tx, account: AccountId) -> Result<PublicAccessRow, Error> {
    let row = tx.get_shared(&BLOCKS, &Scope::Account(account), &0)?;
    Ok(row.map(|row| *row).unwrap_or_default())
}

pub fn from_document(given: &PublicAccessBlockConfiguration) -> PublicAccessRow {
    PublicAccessRow {
        block_acls: given.block_public_acls == Some(true),
        ignore_acls: given.ignore_public_acls == Some(true),
        block_policy: given.block_public_policy == Some(true),
        restrict: given.restrict_public_buckets == Some(true),
    }
}

pub fn to_document(row: PublicAccessRow) -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration {
        block_public_acls: Some(row.block_acls),
        ignore_public_acls: Some(row.ignore_acls),
        block_public_policy: Some(row.block_policy),
        restrict_public_buckets: Some(row.restrict),
    }
}

pub fn put(
    tx: &mut Tx,
    cx: &Cx,
    input: &PutPublicAccessBlockInput,
) -> Result<PutPublicAccessBlockOutput, Error> {
    let account = check_account(cx, &input.account_id)?;
    let row = from_document(&input.public_access_block_configuration);
    tx.put(&BLOCKS, &Scope::Account(account), &0, &row)?;
    Ok(PutPublicAccessBlockOutput::default())
}

pub fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetPublicAccessBlockInput,
) -> Result<GetPublicAccessBlockOutput, Error> {
    let account = check_account(cx, &input.account_id)?;
    let Some(row) = tx.get(&BLOCKS, &Scope::Account(account), &0)? else {
        let text = "The public access block configuration was not found";
        return Err(Error::new(&errors::NO_SUCH_PUBLIC_ACCESS_BLOCK_CONFIGURATION, text)
            .detail("AccountId", account.to_string()));
    };
    Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(to_document(row)) })
}

pub fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeletePublicAccessBlockInput,
) -> Result<DeletePublicAccessBlockOutput, Error> {
    let account = check_account(cx, &input.account_id)?;
    tx.delete(&BLOCKS, &Scope::Account(account), &0)?;
    Ok(DeletePublicAccessBlockOutput::default())
}
