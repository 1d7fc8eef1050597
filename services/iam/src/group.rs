//! Groups.

use crate::error::{conflict, exists};
use crate::holder::{Holds, release};
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
