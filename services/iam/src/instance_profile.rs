//! Instance profiles: a role in the form in which EC2 takes it.

use crate::account::{PROFILES_MAX, check_quota};
use crate::error::{conflict, exists, no_such, quota};
use crate::holder::Holds;
use crate::page::Pager;
use crate::{ask, tags, view};
use api::{Cx, Error, Tx};
use directory::{
    INSTANCE_PROFILES, InstanceProfileRow, Kind, ROLE_PROFILES, RoleRow, key_of, new_unique_id,
    touch,
};
use gen_iam::*;
use store::Scope;

pub(crate) fn load(tx: &Tx, cx: &Cx, name: &str) -> Result<InstanceProfileRow, Error> {
    view::find_profile(tx, cx.account, name)?.ok_or_else(|| no_such("instance profile", name))
}

pub(crate) fn put(tx: &mut Tx, cx: &Cx, row: &InstanceProfileRow) -> Result<(), Error> {
    tx.put(&INSTANCE_PROFILES, &Scope::Account(cx.account), &key_of(&row.name), row)?;
    touch(tx, cx.account, &*cx.entropy)
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateInstanceProfileInput,
) -> Result<CreateInstanceProfileOutput, Error> {
    let name = &input.instance_profile_name;
    if view::find_profile(tx, cx.account, name)?.is_some() {
        return Err(exists(&format!("Instance Profile {name}")));
    }
    check_quota(tx, cx, &INSTANCE_PROFILES, ("InstanceProfilesPerAccount", PROFILES_MAX))?;
    let path = input.path.as_deref().unwrap_or("/");
    let row = InstanceProfileRow {
        id: new_unique_id(Kind::InstanceProfile, &*cx.entropy),
        name: name.clone(),
        path: path.to_owned(),
        arn: ask::arn(cx, &format!("instance-profile{path}{name}")),
        created: tx.now(),
        tags: tags::new(input.tags.as_deref())?,
        role: None,
    };
    put(tx, cx, &row)?;
    let instance_profile = view::instance_profile(tx, cx.account, &row)?;
    Ok(CreateInstanceProfileOutput { instance_profile })
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetInstanceProfileInput,
) -> Result<GetInstanceProfileOutput, Error> {
    let row = load(tx, cx, &input.instance_profile_name)?;
    let instance_profile = view::instance_profile(tx, cx.account, &row)?;
    Ok(GetInstanceProfileOutput { instance_profile })
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListInstanceProfilesInput,
) -> Result<ListInstanceProfilesOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let pager = Pager::new(cx, &[prefix], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let rows = tx.scan(&INSTANCE_PROFILES, &scope).from(pager.after().unwrap_or_default());
    let page = pager.take(rows.filter_map(|found| {
        match found {
            Ok((key, row)) => row
                .path
                .starts_with(prefix)
                .then(|| Ok((key, view::instance_profile(tx, cx.account, &row)?))),
            Err(error) => Some(Err(error.into())),
        }
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListInstanceProfilesOutput { instance_profiles: page.items, is_truncated, marker })
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteInstanceProfileInput,
) -> Result<DeleteInstanceProfileOutput, Error> {
    let row = load(tx, cx, &input.instance_profile_name)?;
    if row.role.is_some() {
        return Err(conflict("remove roles from instance profile first"));
    }
    tx.delete(&INSTANCE_PROFILES, &Scope::Account(cx.account), &key_of(&row.name))?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(DeleteInstanceProfileOutput {})
}

pub(crate) fn add_role(
    tx: &mut Tx,
    cx: &Cx,
    input: &AddRoleToInstanceProfileInput,
) -> Result<AddRoleToInstanceProfileOutput, Error> {
    let mut row = load(tx, cx, &input.instance_profile_name)?;
    let role = RoleRow::load(tx, cx, &input.role_name)?;
    if row.role.is_some() {
        return Err(quota("InstanceSessionsPerInstanceProfile", 1));
    }
    let (role, profile) = (key_of(&role.name), key_of(&row.name));
    let key = (role.as_str(), profile.as_str());
    tx.put(&ROLE_PROFILES, &Scope::Account(cx.account), &key, &())?;
    row.role = Some(role);
    put(tx, cx, &row)?;
    Ok(AddRoleToInstanceProfileOutput {})
}

pub(crate) fn remove_role(
    tx: &mut Tx,
    cx: &Cx,
    input: &RemoveRoleFromInstanceProfileInput,
) -> Result<RemoveRoleFromInstanceProfileOutput, Error> {
    let mut row = load(tx, cx, &input.instance_profile_name)?;
    let (role, profile) = (key_of(&input.role_name), key_of(&row.name));
    if row.role.as_ref() != Some(&role) {
        return Err(no_such("role", &input.role_name));
    }
    let key = (role.as_str(), profile.as_str());
    tx.delete(&ROLE_PROFILES, &Scope::Account(cx.account), &key)?;
    row.role = None;
    put(tx, cx, &row)?;
    Ok(RemoveRoleFromInstanceProfileOutput {})
}
