//! From rows to what the API shows.

use api::{Error, Tx};
use base::{AccountId, percent};
use directory::{
    GroupRow, INSTANCE_PROFILES, InstanceProfileRow, ManagedPolicy, POLICY_USES, PolicyRow,
    RoleRow, TagRow, UserRow, entity_uses, key_of, role as find_role, trust_now,
};
use gen_iam::*;
use store::Scope;

pub(crate) fn tags(rows: &[TagRow]) -> Option<Vec<Tag>> {
    let tag = |row: &TagRow| Tag { key: row.key.clone(), value: row.value.clone() };
    (!rows.is_empty()).then(|| rows.iter().map(tag).collect())
}

fn boundary(arn: Option<&String>) -> Option<AttachedPermissionsBoundary> {
    arn.map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_type: Some("Policy".to_owned()),
        permissions_boundary_arn: Some(arn.clone()),
    })
}

/// Documents travel percent-encoded (RFC 3986).
pub(crate) fn document(text: &str) -> String {
    percent::encode(text.as_bytes())
}

/// As listings show it: without tags and boundary.
pub(crate) fn user_listed(row: &UserRow) -> User {
    User {
        path: row.path.clone(),
        user_name: row.name.clone(),
        user_id: row.id.clone(),
        arn: row.arn.clone(),
        create_date: row.created,
        ..User::default()
    }
}

pub(crate) fn user(row: &UserRow) -> User {
    User {
        permissions_boundary: boundary(row.policies.boundary.as_ref()),
        tags: tags(&row.tags),
        ..user_listed(row)
    }
}

pub(crate) fn group(row: &GroupRow) -> Group {
    Group {
        path: row.path.clone(),
        group_name: row.name.clone(),
        group_id: row.id.clone(),
        arn: row.arn.clone(),
        create_date: row.created,
    }
}

/// As listings show it: without tags and boundary.
pub(crate) fn role_listed(tx: &Tx, row: &RoleRow) -> Result<Role, Error> {
    Ok(Role {
        path: row.path.clone(),
        role_name: row.name.clone(),
        role_id: row.id.clone(),
        arn: row.arn.clone(),
        create_date: row.created,
        assume_role_policy_document: Some(document(&trust_now(tx, row)?)),
        description: row.description.clone(),
        max_session_duration: i32::try_from(row.session_s_max).ok(),
        ..Role::default()
    })
}

pub(crate) fn role(tx: &Tx, row: &RoleRow) -> Result<Role, Error> {
    Ok(Role {
        permissions_boundary: boundary(row.policies.boundary.as_ref()),
        tags: tags(&row.tags),
        ..role_listed(tx, row)?
    })
}

/// When the role was last used, over all services; the element is there even if it never was.
pub(crate) fn role_last_used(
    tx: &Tx,
    account: AccountId,
    row: &RoleRow,
) -> Result<RoleLastUsed, Error> {
    let uses = entity_uses(tx, account, &row.id)?;
    let last = uses.into_iter().map(|(_, used)| used).max_by_key(|used| used.at);
    let (last_used_date, region) = last.map(|used| (used.at, used.region)).unzip();
    Ok(RoleLastUsed { last_used_date, region })
}

pub(crate) fn attached(arn: &str) -> AttachedPolicy {
    AttachedPolicy {
        policy_name: arn.rsplit('/').next().map(str::to_owned),
        policy_arn: Some(arn.to_owned()),
    }
}

pub(crate) fn instance_profile(
    tx: &Tx,
    account: AccountId,
    row: &InstanceProfileRow,
) -> Result<InstanceProfile, Error> {
    let role = match &row.role {
        Some(name) => find_role(tx, account, name)?,
        None => None,
    };
    let roles = role.iter().map(|role| role_listed(tx, role)).collect::<Result<_, _>>()?;
    Ok(InstanceProfile {
        path: row.path.clone(),
        instance_profile_name: row.name.clone(),
        instance_profile_id: row.id.clone(),
        arn: row.arn.clone(),
        create_date: row.created,
        roles,
        tags: tags(&row.tags),
    })
}

/// The profile of that name.
pub(crate) fn find_profile(
    tx: &Tx,
    account: AccountId,
    name: &str,
) -> Result<Option<InstanceProfileRow>, Error> {
    Ok(tx.get(&INSTANCE_PROFILES, &Scope::Account(account), &key_of(name))?)
}

/// How often a policy is attached and how often it is a boundary.
pub(crate) fn uses(tx: &Tx, account: AccountId, arn: &str) -> Result<(i32, i32), Error> {
    let (mut attached, mut bounding) = (0, 0);
    for found in tx.scan(&POLICY_USES, &Scope::Account(account)).prefix(&(arn,)) {
        let (_, row) = found?;
        attached += i32::from(row.attached);
        bounding += i32::from(row.boundary);
    }
    Ok((attached, bounding))
}

/// As listings show it: without description and tags.
pub(crate) fn policy_listed(row: &PolicyRow, (attached, bounding): (i32, i32)) -> Policy {
    Policy {
        policy_name: Some(row.name.clone()),
        policy_id: Some(row.id.clone()),
        arn: Some(row.arn.clone()),
        path: Some(row.path.clone()),
        default_version_id: Some(format!("v{}", row.default_version)),
        attachment_count: Some(attached),
        permissions_boundary_usage_count: Some(bounding),
        is_attachable: Some(true),
        create_date: Some(row.created),
        update_date: Some(row.updated),
        ..Policy::default()
    }
}

pub(crate) fn policy(row: &PolicyRow, uses: (i32, i32)) -> Policy {
    Policy {
        description: row.description.clone(),
        tags: tags(&row.tags),
        ..policy_listed(row, uses)
    }
}

pub(crate) fn aws_policy(
    own: &ManagedPolicy,
    arn: String,
    (attached, bounding): (i32, i32),
) -> Policy {
    Policy {
        policy_name: Some(own.name.to_owned()),
        policy_id: Some(own.id()),
        arn: Some(arn),
        path: Some(own.path.to_owned()),
        default_version_id: Some(format!("v{}", own.version)),
        attachment_count: Some(attached),
        permissions_boundary_usage_count: Some(bounding),
        is_attachable: Some(true),
        create_date: Some(base::Timestamp::from_secs(own.created_s)),
        update_date: Some(base::Timestamp::from_secs(own.updated_s)),
        ..Policy::default()
    }
}
