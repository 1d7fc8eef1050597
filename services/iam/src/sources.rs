//! The policies of a user, group or role as text, with whose they are: for simulation, and for the
//! question which policy lets whom use a service.

use crate::error::{invalid, validation};
use crate::holder::Holds;
use api::{Cx, Error, Tx};
use directory::{GroupRow, POLICIES, PoliciesRow, RoleRow, UserRow, key_of, managed};
use store::Scope;

/// A user, group or role.
pub(crate) enum Entity {
    User(UserRow),
    Group(GroupRow),
    Role(RoleRow),
}

/// A policy's text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// `role_NAME_POLICY` of an inline policy; the name of a managed one.
    pub(crate) id: String,
    pub(crate) name: String,
    /// Of a managed policy.
    pub(crate) arn: Option<String>,
    /// Whose it is: USER, GROUP or ROLE, and the name.
    pub(crate) holder: (&'static str, String),
    pub(crate) document: String,
}

/// What an ARN names; with its path, as it must be.
pub(crate) fn entity(tx: &Tx, cx: &Cx, arn: &str) -> Result<Entity, Error> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let bad = || validation(format!("Invalid Entity Arn: {arn}"));
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return Err(bad()) };
    let (kind, name) = match (resource.split_once('/'), resource.rsplit_once('/')) {
        (Some((kind, _)), Some((_, name))) => (kind, name),
        _ => return Err(bad()),
    };
    if account != cx.account.to_string() {
        return Err(invalid(format!("The entity {arn} is not of this account.")));
    }
    let missing = || {
        let message = format!("The entity with arn {arn} cannot be found.");
        Error::new(&gen_iam::errors::NO_SUCH_ENTITY_EXCEPTION, message)
    };
    let (own, found) = match kind {
        "user" => UserRow::find(tx, cx.account, name)?.map(|u| (u.arn.clone(), Entity::User(u))),
        "group" => GroupRow::find(tx, cx.account, name)?.map(|g| (g.arn.clone(), Entity::Group(g))),
        "role" => RoleRow::find(tx, cx.account, name)?.map(|r| (r.arn.clone(), Entity::Role(r))),
        _ => return Err(bad()),
    }
    .ok_or_else(missing)?;
    if own == arn { Ok(found) } else { Err(missing()) }
}

/// The document of a managed policy in its default version.
pub(crate) fn managed_document(tx: &Tx, cx: &Cx, arn: &str) -> Result<Option<String>, Error> {
    if let Some(own) = managed(arn) {
        return Ok(Some(own.document.to_owned()));
    }
    let key = key_of(arn.rsplit('/').next().unwrap_or_default());
    let row = tx.get(&POLICIES, &Scope::Account(cx.account), &key)?.filter(|row| row.arn == arn);
    Ok(row.and_then(|row| {
        let mut versions = row.versions.into_iter();
        versions.find(|v| v.number == row.default_version).map(|v| v.document)
    }))
}

fn collect(
    tx: &Tx,
    cx: &Cx,
    kind: &'static str,
    name: &str,
    policies: &PoliciesRow,
    into: &mut Vec<Source>,
) -> Result<(), Error> {
    let holder = (kind, name.to_owned());
    for (policy, document) in &policies.inline {
        into.push(Source {
            id: format!("{}_{name}_{policy}", kind.to_ascii_lowercase()),
            name: policy.clone(),
            arn: None,
            holder: holder.clone(),
            document: document.clone(),
        });
    }
    for arn in &policies.attached {
        let name = arn.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(document) = managed_document(tx, cx, arn)? {
            let (id, arn) = (name.clone(), Some(arn.clone()));
            into.push(Source { id, name, arn, holder: holder.clone(), document });
        }
    }
    Ok(())
}

/// All that gives the entity permissions: of a user its groups' too.
pub(crate) fn of(tx: &Tx, cx: &Cx, entity: &Entity) -> Result<Vec<Source>, Error> {
    let mut found = Vec::new();
    match entity {
        Entity::User(row) => {
            collect(tx, cx, "USER", &row.name, &row.policies, &mut found)?;
            for name in &row.groups {
                let group = GroupRow::load(tx, cx, name)?;
                collect(tx, cx, "GROUP", &group.name, &group.policies, &mut found)?;
            }
        }
        Entity::Group(row) => collect(tx, cx, "GROUP", &row.name, &row.policies, &mut found)?,
        Entity::Role(row) => collect(tx, cx, "ROLE", &row.name, &row.policies, &mut found)?,
    }
    Ok(found)
}

impl Entity {
    pub(crate) fn boundary(&self) -> Option<&str> {
        match self {
            Entity::User(row) => row.policies.boundary.as_deref(),
            Entity::Role(row) => row.policies.boundary.as_deref(),
            Entity::Group(_) => None,
        }
    }
}
