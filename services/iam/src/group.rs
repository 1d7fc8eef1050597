//! Groups.

use crate::account::{GROUPS_MAX, check_quota};
use crate::error::{conflict, exists};
use crate::holder::{Holds, move_uses, release};
use crate::page::Pager;
use crate::{ask, view};
use api::{Cx, Error, Tx};
use directory::{
    GROUP_MEMBERS, GROUPS, GroupRow, Kind, PoliciesRow, UserRow, key_of, new_unique_id, touch,
};
use gen_iam::*;
use store::Scope;

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreateGroupInput,
) -> Result<CreateGroupOutput, Error> {
    let name = &input.group_name;
    if GroupRow::find(tx, cx.account, name)?.is_some() {
        return Err(exists(&format!("Group with name {name}")));
    }
    check_quota(tx, cx, &GROUPS, ("GroupsPerAccount", GROUPS_MAX))?;
    let path = input.path.as_deref().unwrap_or("/");
    let row = GroupRow {
        id: new_unique_id(Kind::Group, &*cx.entropy),
        name: name.clone(),
        path: path.to_owned(),
        arn: ask::arn(cx, &format!("group{path}{name}")),
        created: tx.now(),
        policies: PoliciesRow::new(None),
    };
    row.put(tx, cx)?;
    Ok(CreateGroupOutput { group: view::group(&row) })
}

/// The group and its users.
pub(crate) fn get(tx: &Tx, cx: &Cx, input: &GetGroupInput) -> Result<GetGroupOutput, Error> {
    let row = GroupRow::load(tx, cx, &input.group_name)?;
    let key = key_of(&row.name);
    let parameters = [key.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let after = pager.after().unwrap_or_default();
    let members = tx
        .scan(&GROUP_MEMBERS, &scope)
        .prefix(&(key.as_str(),))
        .from(&(key.as_str(), after))
        .keys();
    let page = pager.take(members.map(|member| {
        let (_, name) = member?;
        let user = UserRow::load(tx, cx, &name)?;
        Ok((name, view::user_listed(&user)))
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(GetGroupOutput { group: view::group(&row), users: page.items, is_truncated, marker })
}

pub(crate) fn list(tx: &Tx, cx: &Cx, input: &ListGroupsInput) -> Result<ListGroupsOutput, Error> {
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let pager = Pager::new(cx, &[prefix], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let rows = tx.scan(&GROUPS, &scope).from(pager.after().unwrap_or_default());
    let page = pager.take(rows.filter_map(|found| match found {
        Ok((key, row)) => row.path.starts_with(prefix).then(|| Ok((key, view::group(&row)))),
        Err(error) => Some(Err(error.into())),
    }))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListGroupsOutput { groups: page.items, is_truncated, marker })
}

/// A new name or path changes the ARN; members and attached policies go along.
pub(crate) fn update(
    tx: &mut Tx,
    cx: &Cx,
    input: &UpdateGroupInput,
) -> Result<UpdateGroupOutput, Error> {
    let mut row = GroupRow::load(tx, cx, &input.group_name)?;
    let scope = Scope::Account(cx.account);
    let old = key_of(&row.name);
    if let Some(path) = &input.new_path {
        row.path = path.clone();
    }
    if let Some(name) = &input.new_group_name {
        row.name = name.clone();
    }
    row.arn = ask::arn(cx, &format!("group{}{}", row.path, row.name));
    let new = key_of(&row.name);
    if new != old {
        if tx.exists(&GROUPS, &scope, &new)? {
            return Err(exists(&format!("Group with name {}", row.name)));
        }
        tx.delete(&GROUPS, &scope, &old)?;
        let members: Vec<(String, String)> = tx
            .scan(&GROUP_MEMBERS, &scope)
            .prefix(&(old.as_str(),))
            .keys()
            .collect::<Result<_, _>>()?;
        for (_, name) in members {
            let mut user = UserRow::load(tx, cx, &name)?;
            user.groups.remove(&old);
            user.groups.insert(new.clone());
            user.put(tx, cx)?;
            tx.delete(&GROUP_MEMBERS, &scope, &(old.as_str(), name.as_str()))?;
            tx.put(&GROUP_MEMBERS, &scope, &(new.as_str(), name.as_str()), &())?;
        }
        move_uses(tx, cx, &row, &old)?;
    }
    row.put(tx, cx)?;
    Ok(UpdateGroupOutput {})
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeleteGroupInput,
) -> Result<DeleteGroupOutput, Error> {
    let row = GroupRow::load(tx, cx, &input.group_name)?;
    let (scope, key) = (Scope::Account(cx.account), key_of(&row.name));
    if tx.first(&GROUP_MEMBERS, &scope, &(key.as_str(),))?.is_some() {
        return Err(conflict("remove users from group first"));
    }
    release(tx, cx, &row)?;
    tx.delete(&GROUPS, &scope, &key)?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(DeleteGroupOutput {})
}
