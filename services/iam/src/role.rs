//! Roles and their trust policies.

use crate::error::{bad_policy, conflict, exists, no_such};
use crate::holder::{Holds, new_boundary, release};
use crate::page::Pager;
use crate::{ask, tags, view};
use api::{Cx, Error, Tx};
use base::AccountId;
use directory::{
    Holder, INSTANCE_PROFILES, Kind, ROLE_PROFILES, ROLES, RoleRow, key_of, new_unique_id, touch,
};
use gen_iam::*;
use policy::{Policy, Who};
use store::Scope;

const SESSION_S_DEFAULT: u32 = 3_600;

/// Checks a trust policy, and that the users and roles that it names are there.
fn check_trust(tx: &Tx, document: &str) -> Result<(), Error> {
    let trust = Policy::parse(policy::Kind::Trust, document).map_err(bad_policy)?;
    for who in trust.principals() {
        let Who::Aws(arn) = who else { continue };
        if !principal_exists(tx, arn)? {
            let message = format!("Invalid principal in policy: \"AWS\":\"{arn}\"");
            return Err(Error::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message));
        }
    }
    Ok(())
}

/// Users and roles must exist; sessions come and go, and unique ids are what is left of the deleted.
fn principal_exists(tx: &Tx, arn: &str) -> Result<bool, Error> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "iam", "", account, resource] = fields[..] else { return Ok(true) };
    let (Some(account), Some((_, name))) = (AccountId::parse(account), resource.rsplit_once('/'))
    else {
        return Ok(true);
    };
    let found = match resource.starts_with("user/") {
        true => directory::user(tx, account, name)?.map(|row| row.arn),
        false => directory::role(tx, account, name)?.map(|row| row.arn),
    };
    Ok(found.as_deref() == Some(arn))
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateRoleInput,
) -> Result<CreateRoleOutput, Error> {
    let name = &input.role_name;
    check_trust(tx, &input.assume_role_policy_document)?;
    if RoleRow::find(tx, cx.account, name)?.is_some() {
        return Err(exists(&format!("Role with name {name}")));
    }
    let path = input.path.as_deref().unwrap_or("/");
    let boundary = input.permissions_boundary.as_deref();
    let session_s_max = input.max_session_duration.and_then(|s| u32::try_from(s).ok());
    let row = RoleRow {
        id: new_unique_id(Kind::Role, &*cx.entropy),
        name: name.clone(),
        path: path.to_owned(),
        arn: ask::arn(cx, &format!("role{path}{name}")),
        created: tx.now(),
        tags: tags::new(input.tags.as_deref())?,
        policies: new_boundary(tx, cx, Holder::Role, name, boundary)?,
        trust: input.assume_role_policy_document.clone(),
        description: input.description.clone(),
        session_s_max: session_s_max.unwrap_or(SESSION_S_DEFAULT),
    };
    row.put(tx, cx)?;
    Ok(CreateRoleOutput { role: view::role(&row) })
}

pub(crate) fn get(tx: &Tx, cx: &Cx, input: &GetRoleInput) -> Result<GetRoleOutput, Error> {
    let mut role = view::role(&RoleRow::load(tx, cx, &input.role_name)?);
    // Reads leave no trace, so when a role was last used is not known; AWS has the element anyway.
    role.role_last_used = Some(RoleLastUsed::default());
    Ok(GetRoleOutput { role })
}

pub(crate) fn list(tx: &Tx, cx: &Cx, input: &ListRolesInput) -> Result<ListRolesOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let pager = Pager::new(cx, &[prefix], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let rows = tx.scan(&ROLES, &scope).from(pager.after().unwrap_or_default());
    let page = pager.take(rows.filter_map(|found| match found {
        Ok((key, row)) => row.path.starts_with(prefix).then(|| Ok((key, view::role_listed(&row)))),
        Err(error) => Some(Err(error.into())),
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListRolesOutput { roles: page.items, is_truncated, marker })
}

pub(crate) fn update(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateRoleInput,
) -> Result<UpdateRoleOutput, Error> {
    let mut row = RoleRow::load(tx, cx, &input.role_name)?;
    if let Some(description) = &input.description {
        row.description = Some(description.clone());
    }
    if let Some(seconds) = input.max_session_duration.and_then(|s| u32::try_from(s).ok()) {
        row.session_s_max = seconds;
    }
    row.put(tx, cx)?;
    Ok(UpdateRoleOutput {})
}

pub(crate) fn update_trust(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateAssumeRolePolicyInput,
) -> Result<UpdateAssumeRolePolicyOutput, Error> {
    let mut row = RoleRow::load(tx, cx, &input.role_name)?;
    check_trust(tx, &input.policy_document)?;
    row.trust = input.policy_document.clone();
    row.put(tx, cx)?;
    Ok(UpdateAssumeRolePolicyOutput {})
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteRoleInput,
) -> Result<DeleteRoleOutput, Error> {
    let row = RoleRow::load(tx, cx, &input.role_name)?;
    let (scope, key) = (Scope::Account(cx.account), key_of(&row.name));
    if tx.first(&ROLE_PROFILES, &scope, &(key.as_str(),))?.is_some() {
        return Err(conflict("remove roles from instance profile first"));
    }
    release(tx, cx, &row)?;
    tx.delete(&ROLES, &scope, &key)?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(DeleteRoleOutput {})
}

pub(crate) fn list_profiles(
    tx: &Tx,
    cx: &Cx,
    input: &ListInstanceProfilesForRoleInput,
) -> Result<ListInstanceProfilesForRoleOutput, Error> {
    let row = RoleRow::load(tx, cx, &input.role_name)?;
    let key = key_of(&row.name);
    let parameters = [key.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let profiles = tx.scan(&ROLE_PROFILES, &scope).prefix(&(key.as_str(),)).keys();
    let page = pager.take(profiles.map(|found| {
        let (_, name) = found?;
        let row = tx.get(&INSTANCE_PROFILES, &scope, &name)?;
        let row = row.ok_or_else(|| no_such("instance profile", &name))?;
        Ok((name, view::instance_profile(tx, cx.account, &row)?))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListInstanceProfilesForRoleOutput { instance_profiles: page.items, is_truncated, marker })
}
