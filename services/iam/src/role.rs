//! Roles and their trust policies.

use crate::account::{ROLES_MAX, check_quota};
use crate::error::{bad_policy, check_partitions, conflict, exists, invalid, no_such};
use crate::holder::{Holds, new_boundary, release};
use crate::page::Pager;
use crate::{ask, service_linked, tags, view};
use api::{Cx, Error, Tx};
use directory::{
    Holder, INSTANCE_PROFILES, Kind, ROLE_PROFILES, ROLES, RoleRow, forget_uses, key_of,
    new_unique_id, principal_ids, touch,
};
use gen_iam::*;
use policy::Policy;
use std::collections::BTreeMap;
use store::Scope;

const SESSION_S_DEFAULT: u32 = 3_600;

/// Checks a trust policy, and that the users and roles that it names are there. Gives their unique
/// ids by their ARNs.
fn check_trust(tx: &Tx, cx: &Cx, document: &str) -> Result<BTreeMap<String, String>, Error> {
    let trust = Policy::parse(policy::Kind::Trust, document).map_err(bad_policy)?;
    cx.warn_of_keys(&trust);
    check_partitions(cx, document)?;
    principal_ids(tx, &trust)?.map_err(|arn| {
        let message = format!("Invalid principal in policy: \"AWS\":\"{arn}\"");
        Error::new(&errors::MALFORMED_POLICY_DOCUMENT_EXCEPTION, message)
    })
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateRoleInput,
) -> Result<CreateRoleOutput, Error> {
    let name = &input.role_name;
    let trust_ids = check_trust(tx, cx, &input.assume_role_policy_document)?;
    if RoleRow::find(tx, cx.account, name)?.is_some() {
        return Err(exists(&format!("Role with name {name}")));
    }
    check_quota(tx, cx, &ROLES, ("RolesPerAccount", ROLES_MAX))?;
    let path = input.path.as_deref().unwrap_or("/");
    if path.starts_with(service_linked::PATH) {
        let message = format!("The path {path} is for roles that services are linked to.");
        return Err(invalid(message));
    }
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
        trust_ids,
    };
    row.put(tx, cx)?;
    Ok(CreateRoleOutput { role: view::role(tx, &row)? })
}

pub(crate) fn get(tx: &Tx, cx: &Cx, input: &GetRoleInput) -> Result<GetRoleOutput, Error> {
    let row = RoleRow::load(tx, cx, &input.role_name)?;
    let mut role = view::role(tx, &row)?;
    role.role_last_used = Some(view::role_last_used(tx, cx.account, &row)?);
    Ok(GetRoleOutput { role })
}

pub(crate) fn list(tx: &Tx, cx: &Cx, input: &ListRolesInput) -> Result<ListRolesOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let pager = Pager::new(cx, &[prefix], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let rows = tx.scan(&ROLES, &scope).from(pager.after().unwrap_or_default());
    let page = pager.take(rows.filter_map(|found| match found {
        Ok((key, row)) => {
            row.path.starts_with(prefix).then(|| Ok((key, view::role_listed(tx, &row)?)))
        }
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

/// The older way to change a description.
pub(crate) fn update_description(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateRoleDescriptionInput,
) -> Result<UpdateRoleDescriptionOutput, Error> {
    let mut row = RoleRow::load(tx, cx, &input.role_name)?;
    row.description = Some(input.description.clone());
    row.put(tx, cx)?;
    Ok(UpdateRoleDescriptionOutput { role: Some(view::role(tx, &row)?) })
}

pub(crate) fn update_trust(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateAssumeRolePolicyInput,
) -> Result<UpdateAssumeRolePolicyOutput, Error> {
    let mut row = RoleRow::load_to_change(tx, cx, &input.role_name)?;
    row.trust_ids = check_trust(tx, cx, &input.policy_document)?;
    row.trust = input.policy_document.clone();
    row.put(tx, cx)?;
    Ok(UpdateAssumeRolePolicyOutput {})
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteRoleInput,
) -> Result<DeleteRoleOutput, Error> {
    let row = RoleRow::load_to_change(tx, cx, &input.role_name)?;
    let (scope, key) = (Scope::Account(cx.account), key_of(&row.name));
    if tx.first(&ROLE_PROFILES, &scope, &(key.as_str(),))?.is_some() {
        return Err(conflict("remove roles from instance profile first"));
    }
    release(tx, cx, &row)?;
    forget_uses(tx, cx.account, &row.id)?;
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
