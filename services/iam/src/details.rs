//! `GetAccountAuthorizationDetails`: all users, groups, roles and policies of the account, in pages.

use crate::page::Pager;
use crate::{policy, view};
use api::{Cx, Error, Tx};
use directory::{
    GROUPS, GroupRow, INSTANCE_PROFILES, MANAGED, POLICIES, PoliciesRow, ROLE_PROFILES, ROLES,
    RoleRow, USERS, UserRow, group, key_of, trust_now,
};
use gen_iam::*;
use store::Scope;

enum Detail {
    User(UserDetail),
    Group(GroupDetail),
    Role(RoleDetail),
    Policy(ManagedPolicyDetail),
}

type Item = Result<(String, Detail), Error>;

fn inline(policies: &PoliciesRow) -> Option<Vec<PolicyDetail>> {
    let detail = |(name, document): (&String, &String)| PolicyDetail {
        policy_name: Some(name.clone()),
        policy_document: Some(view::document(document)),
    };
    Some(policies.inline.iter().map(detail).collect())
}

fn attached(policies: &PoliciesRow) -> Option<Vec<AttachedPolicy>> {
    Some(policies.attached.iter().map(|arn| view::attached(arn)).collect())
}

fn of_user(tx: &Tx, cx: &Cx, row: UserRow) -> Result<UserDetail, Error> {
    let mut groups = Vec::new();
    for name in &row.groups {
        groups.extend(group(tx, cx.account, name)?.map(|group| group.name));
    }
    let User { permissions_boundary, tags, .. } = view::user(&row);
    Ok(UserDetail {
        user_policy_list: inline(&row.policies),
        attached_managed_policies: attached(&row.policies),
        group_list: Some(groups),
        permissions_boundary,
        tags,
        path: Some(row.path),
        user_name: Some(row.name),
        user_id: Some(row.id),
        arn: Some(row.arn),
        create_date: Some(row.created),
    })
}

fn of_group(row: GroupRow) -> GroupDetail {
    GroupDetail {
        group_policy_list: inline(&row.policies),
        attached_managed_policies: attached(&row.policies),
        path: Some(row.path),
        group_name: Some(row.name),
        group_id: Some(row.id),
        arn: Some(row.arn),
        create_date: Some(row.created),
    }
}

fn of_role(tx: &Tx, cx: &Cx, row: RoleRow) -> Result<RoleDetail, Error> {
    let scope = Scope::Account(cx.account);
    let mut profiles = Vec::new();
    let key = key_of(&row.name);
    for found in tx.scan(&ROLE_PROFILES, &scope).prefix(&(key.as_str(),)).keys() {
        if let Some(profile) = tx.get(&INSTANCE_PROFILES, &scope, &found?.1)? {
            profiles.push(view::instance_profile(tx, cx.account, &profile)?);
        }
    }
    let Role { permissions_boundary, tags, .. } = view::role(tx, &row)?;
    Ok(RoleDetail {
        assume_role_policy_document: Some(view::document(&trust_now(tx, &row)?)),
        instance_profile_list: Some(profiles),
        role_policy_list: inline(&row.policies),
        attached_managed_policies: attached(&row.policies),
        permissions_boundary,
        tags,
        role_last_used: Some(view::role_last_used(tx, cx.account, &row)?),
        path: Some(row.path),
        role_name: Some(row.name),
        role_id: Some(row.id),
        arn: Some(row.arn),
        create_date: Some(row.created),
    })
}

fn of_policy(shown: Policy, versions: Vec<PolicyVersion>) -> ManagedPolicyDetail {
    ManagedPolicyDetail {
        policy_name: shown.policy_name,
        policy_id: shown.policy_id,
        arn: shown.arn,
        path: shown.path,
        default_version_id: shown.default_version_id,
        attachment_count: shown.attachment_count,
        permissions_boundary_usage_count: shown.permissions_boundary_usage_count,
        is_attachable: shown.is_attachable,
        description: shown.description,
        create_date: shown.create_date,
        update_date: shown.update_date,
        policy_version_list: Some(versions),
    }
}

/// AWS's own policies, those that the account uses.
fn of_aws<'a>(tx: &'a Tx, cx: &'a Cx) -> impl Iterator<Item = Item> + 'a {
    MANAGED.iter().filter_map(move |own| {
        let arn = own.arn(cx.partition().as_str());
        let uses = match view::uses(tx, cx.account, &arn) {
            Ok((0, 0)) => return None,
            Ok(uses) => uses,
            Err(error) => return Some(Err(error)),
        };
        let shown = view::aws_policy(own, arn, uses);
        let detail = of_policy(shown, vec![policy::aws_version(own)]);
        Some(Ok((format!("4{}", own.name), Detail::Policy(detail))))
    })
}

pub(crate) fn get(
    tx: &Tx,
    cx: &Cx,
    input: &GetAccountAuthorizationDetailsInput,
) -> Result<GetAccountAuthorizationDetailsOutput, Error> {
    let filter = input.filter.as_deref().unwrap_or_default();
    let wanted = |kind: &str| filter.is_empty() || filter.iter().any(|own| own == kind);
    let joined = filter.join(",");
    let pager = Pager::new(cx, &[&joined], input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    // Keys begin with the place of their kind; what lies before the marker is not even read.
    let from = |kind: &str| match pager.after().and_then(|after| after.strip_prefix(kind)) {
        Some(after) => after.to_owned(),
        None => String::new(),
    };
    let passed = |kind: &str| pager.after().is_some_and(|after| after[..1] > *kind);
    let does = |place: &str, kind: &str| wanted(kind) && !passed(place);
    let users = does("0", "User").then(|| tx.scan(&USERS, &scope).from(from("0").as_str()));
    let users = users.into_iter().flatten().map(|found| {
        let (key, row) = found?;
        Ok((format!("0{key}"), Detail::User(of_user(tx, cx, row)?)))
    });
    let groups = does("1", "Group").then(|| tx.scan(&GROUPS, &scope).from(from("1").as_str()));
    let groups = groups.into_iter().flatten().map(|found| {
        let (key, row) = found?;
        Ok((format!("1{key}"), Detail::Group(of_group(row))))
    });
    let roles = does("2", "Role").then(|| tx.scan(&ROLES, &scope).from(from("2").as_str()));
    let roles = roles.into_iter().flatten().map(|found| {
        let (key, row) = found?;
        Ok((format!("2{key}"), Detail::Role(of_role(tx, cx, row)?)))
    });
    let own = does("3", "LocalManagedPolicy")
        .then(|| tx.scan(&POLICIES, &scope).from(from("3").as_str()));
    let own = own.into_iter().flatten().map(|found| {
        let (key, row) = found?;
        let uses = view::uses(tx, cx.account, &row.arn)?;
        let shown = view::policy(&row, uses);
        Ok((format!("3{key}"), Detail::Policy(of_policy(shown, policy::all_versions(&row)))))
    });
    let of_aws = does("4", "AWSManagedPolicy").then(|| of_aws(tx, cx));
    let all = users.chain(groups).chain(roles).chain(own).chain(of_aws.into_iter().flatten());
    let page = pager.take(all)?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    let mut out =
        GetAccountAuthorizationDetailsOutput { is_truncated, marker, ..Default::default() };
    for item in page.items {
        match item {
            Detail::User(user) => out.user_detail_list.get_or_insert_default().push(user),
            Detail::Group(group) => out.group_detail_list.get_or_insert_default().push(group),
            Detail::Role(role) => out.role_detail_list.get_or_insert_default().push(role),
            Detail::Policy(policy) => out.policies.get_or_insert_default().push(policy),
        }
    }
    out.user_detail_list.get_or_insert_default();
    out.group_detail_list.get_or_insert_default();
    out.role_detail_list.get_or_insert_default();
    out.policies.get_or_insert_default();
    Ok(out)
}
