//! Users.

use crate::account::{USERS_MAX, check_quota};
use crate::error::{conflict, exists, quota, validation};
use crate::holder::{Holds, move_uses, new_boundary, release};
use crate::page::Pager;
use crate::{ask, mfa, tags, user_keys, view};
use api::{Cx, Error, Tx};
use directory::{
    ACCESS_KEYS, GROUP_MEMBERS, GroupRow, Holder, Kind, LOGIN_PROFILES, RENAMED, RenamedRow, USERS,
    UserRow, forget_uses, key_of, new_unique_id, touch,
};
use gen_iam::*;
use policy::PrincipalKind;
use std::collections::BTreeSet;
use store::Scope;

/// Quota "IAM groups an IAM user can be a member of".
const GROUPS_MAX: usize = 10;

/// The user that the input names, or else the caller.
pub(crate) fn name_or_own<'a>(cx: &'a Cx, name: Option<&'a str>) -> Result<&'a str, Error> {
    match name {
        Some(name) => Ok(name),
        None if cx.caller.principal.kind() == PrincipalKind::User => Ok(&cx.caller.name),
        None => Err(validation("Must specify userName when calling with non-User credentials")),
    }
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateUserInput,
) -> Result<CreateUserOutput, Error> {
    let name = &input.user_name;
    if UserRow::find(tx, cx.account, name)?.is_some() {
        return Err(exists(&format!("User with name {name}")));
    }
    check_quota(tx, cx, &USERS, ("UsersPerAccount", USERS_MAX))?;
    let path = input.path.as_deref().unwrap_or("/");
    let boundary = input.permissions_boundary.as_deref();
    let row = UserRow {
        id: new_unique_id(Kind::User, &*cx.entropy),
        name: name.clone(),
        path: path.to_owned(),
        arn: ask::arn(cx, &format!("user{path}{name}")),
        created: tx.now(),
        tags: tags::new(input.tags.as_deref())?,
        policies: new_boundary(tx, cx, Holder::User, name, boundary)?,
        groups: BTreeSet::new(),
        access_keys: Vec::new(),
    };
    row.put(tx, cx)?;
    Ok(CreateUserOutput { user: Some(view::user(&row)) })
}

/// Without a name the caller, who may be root.
pub(crate) fn get(tx: &Tx, cx: &Cx, input: &GetUserInput) -> Result<GetUserOutput, Error> {
    if input.user_name.is_none() && cx.caller.principal.kind() == PrincipalKind::Root {
        let user = User {
            path: "/".to_owned(),
            user_id: cx.account.to_string(),
            arn: cx.caller.principal.arn().to_owned(),
            create_date: base::Timestamp::EPOCH,
            ..User::default()
        };
        return Ok(GetUserOutput { user });
    }
    let name = name_or_own(cx, input.user_name.as_deref())?;
    Ok(GetUserOutput { user: view::user(&UserRow::load(tx, cx, name)?) })
}

pub(crate) fn list(tx: &Tx, cx: &Cx, input: &ListUsersInput) -> Result<ListUsersOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let pager = Pager::new(cx, &[prefix], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let rows = tx.scan(&USERS, &scope).from(pager.after().unwrap_or_default());
    let page = pager.take(rows.filter_map(|found| match found {
        Ok((key, row)) => row.path.starts_with(prefix).then(|| Ok((key, view::user_listed(&row)))),
        Err(error) => Some(Err(error.into())),
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListUsersOutput { users: page.items, is_truncated, marker })
}

/// A new name or path changes the ARN; keys, groups and attached policies go along.
pub(crate) fn update(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateUserInput,
) -> Result<UpdateUserOutput, Error> {
    let mut row = UserRow::load(tx, cx, &input.user_name)?;
    let scope = Scope::Account(cx.account);
    let old = key_of(&row.name);
    if let Some(path) = &input.new_path {
        row.path = path.clone();
    }
    if let Some(name) = &input.new_user_name {
        row.name = name.clone();
    }
    row.arn = ask::arn(cx, &format!("user{}{}", row.path, row.name));
    tx.put(&RENAMED, &scope, row.id.as_str(), &RenamedRow { name: row.name.clone() })?;
    let new = key_of(&row.name);
    if new != old {
        if tx.exists(&USERS, &scope, &new)? {
            return Err(exists(&format!("User with name {}", row.name)));
        }
        tx.delete(&USERS, &scope, &old)?;
        for group in &row.groups {
            tx.delete(&GROUP_MEMBERS, &scope, &(group.as_str(), old.as_str()))?;
            tx.put(&GROUP_MEMBERS, &scope, &(group.as_str(), new.as_str()), &())?;
        }
        for id in &row.access_keys {
            if let Some(mut key) = tx.get(&ACCESS_KEYS, &Scope::Global, id)? {
                key.user = new.clone();
                tx.put(&ACCESS_KEYS, &Scope::Global, id, &key)?;
            }
        }
        move_uses(tx, cx, &row, &old)?;
        mfa::rename_user(tx, cx, &old, &new)?;
    }
    row.put(tx, cx)?;
    Ok(UpdateUserOutput {})
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteUserInput,
) -> Result<DeleteUserOutput, Error> {
    let row = UserRow::load(tx, cx, &input.user_name)?;
    if !row.groups.is_empty() {
        return Err(conflict("remove users from group first"));
    }
    if !row.access_keys.is_empty() {
        return Err(conflict("delete access keys first"));
    }
    if tx.exists(&LOGIN_PROFILES, &Scope::Account(cx.account), row.id.as_str())? {
        return Err(conflict("delete login profile first"));
    }
    if !mfa::of(tx, cx, Some(&key_of(&row.name)))?.is_empty() {
        return Err(conflict("delete MFA device first"));
    }
    if let Some(left) = user_keys::left(tx, cx, &row)? {
        return Err(conflict(left));
    }
    release(tx, cx, &row)?;
    forget_uses(tx, cx.account, &row.id)?;
    tx.delete(&RENAMED, &Scope::Account(cx.account), row.id.as_str())?;
    tx.delete(&USERS, &Scope::Account(cx.account), &key_of(&row.name))?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(DeleteUserOutput {})
}

pub(crate) fn add_to_group(
    tx: &mut Tx,
    cx: &Cx,
    input: &AddUserToGroupInput,
) -> Result<AddUserToGroupOutput, Error> {
    let group = GroupRow::load(tx, cx, &input.group_name)?;
    let mut user = UserRow::load(tx, cx, &input.user_name)?;
    let (group, name) = (key_of(&group.name), key_of(&user.name));
    if user.groups.insert(group.clone()) {
        if user.groups.len() > GROUPS_MAX {
            return Err(quota("GroupsPerUser", GROUPS_MAX));
        }
        let key = (group.as_str(), name.as_str());
        tx.put(&GROUP_MEMBERS, &Scope::Account(cx.account), &key, &())?;
        user.put(tx, cx)?;
    }
    Ok(AddUserToGroupOutput {})
}

pub(crate) fn remove_from_group(
    tx: &mut Tx,
    cx: &Cx,
    input: &RemoveUserFromGroupInput,
) -> Result<RemoveUserFromGroupOutput, Error> {
    let group = GroupRow::load(tx, cx, &input.group_name)?;
    let mut user = UserRow::load(tx, cx, &input.user_name)?;
    let (group, name) = (key_of(&group.name), key_of(&user.name));
    if user.groups.remove(&group) {
        let key = (group.as_str(), name.as_str());
        tx.delete(&GROUP_MEMBERS, &Scope::Account(cx.account), &key)?;
        user.put(tx, cx)?;
    }
    Ok(RemoveUserFromGroupOutput {})
}

pub(crate) fn list_groups(
    tx: &Tx,
    cx: &Cx,
    input: &ListGroupsForUserInput,
) -> Result<ListGroupsForUserOutput, Error> {
    let user = UserRow::load(tx, cx, &input.user_name)?;
    let parameters = [input.user_name.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let page = pager.take(user.groups.iter().map(|name| {
        let row = GroupRow::load(tx, cx, name)?;
        Ok((name.clone(), view::group(&row)))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListGroupsForUserOutput { groups: page.items, is_truncated, marker })
}
