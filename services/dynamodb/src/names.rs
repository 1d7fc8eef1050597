//! Names of tables and indexes, and their ARNs.

use crate::error::invalid;
use api::{Cx, Error};
use base::{AccountId, Arn, Region};
use store::Scope;

/// A table as a request names it: by its name, or by its ARN if it is somebody else's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct TableName {
    pub account: AccountId,
    pub region: Region,
    pub name: String,
}

const RULES: &str = "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'";

fn is_name(name: &str) -> bool {
    (3..=255).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

impl TableName {
    /// The member `TableName` of a request.
    pub fn parse(cx: &Cx, text: &str) -> Result<TableName, Error> {
        if text.starts_with("arn:") {
            let parts = split_arn(text).filter(|(table, sub)| sub.is_empty() && table.is_here(cx));
            return parts.map(|(table, _)| table).ok_or_else(|| bad_arn(text));
        }
        if !(3..=255).contains(&text.len()) {
            return Err(invalid(
                "TableName must be at least 3 characters long and at most 255 characters long",
            ));
        }
        if !is_name(text) {
            return Err(invalid(format!(
                "1 validation error detected: Value '{text}' at 'tableName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
            )));
        }
        Ok(TableName { account: cx.account, region: cx.region.clone(), name: text.to_owned() })
    }

    /// Whether it is in the region that was asked; an endpoint knows no tables of others.
    pub fn is_here(&self, cx: &Cx) -> bool {
        self.region == cx.region
    }

    pub fn scope(&self) -> Scope {
        Scope::AccountRegion(self.account, self.region.clone())
    }

    pub fn arn(&self) -> String {
        arn(self.account, &self.region, &self.name)
    }
}

/// A name for something new.
pub(crate) fn check_index_name(name: &str) -> Result<(), Error> {
    if is_name(name) { Ok(()) } else { Err(invalid(RULES)) }
}

pub(crate) fn arn(account: AccountId, region: &Region, table: &str) -> String {
    let partition = region.partition();
    format!("arn:{}:dynamodb:{region}:{account}:table/{table}", partition.as_str())
}

pub(crate) fn bad_arn(text: &str) -> Error {
    if !text.starts_with("arn:") {
        return invalid(format!("Invalid TableArn: ARNs must start with 'arn:': {text}"));
    }
    invalid(format!("Invalid TableArn: Invalid ResourceArn provided as input {text}"))
}

/// The table of an ARN, and what stands behind it: `index/x`, `stream/x`, `backup/x` or nothing.
pub(crate) fn split_arn(text: &str) -> Option<(TableName, String)> {
    let arn = Arn::parse(text)?;
    if arn.service != "dynamodb" {
        return None;
    }
    let rest = arn.resource.strip_prefix("table/")?;
    let (name, sub) = rest.split_once('/').unwrap_or((rest, ""));
    if !is_name(name) {
        return None;
    }
    let table = TableName {
        account: AccountId::parse(&arn.account)?,
        region: Region::parse(&arn.region).filter(|r| r.partition().as_str() == arn.partition)?,
        name: name.to_owned(),
    };
    Some((table, sub.to_owned()))
}
