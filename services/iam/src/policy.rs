//! Managed policies and their versions.

use crate::account::{POLICIES_MAX, check_quota};
use crate::error::{bad_policy, check_partitions, invalid, no_policy, no_version, not_yours};
use crate::holder::policy_exists;
use crate::page::Pager;
use crate::{ask, tags, view};
use api::{Cx, Error, Tx};
use base::Timestamp;
use directory::{
    Holder, Kind, MANAGED, ManagedPolicy, POLICIES, POLICY_USES, PolicyRow, PolicyVersionRow,
    group, key_of, managed, new_unique_id, role, touch, user,
};
use gen_iam::*;
use policy::Policy as Document;
use store::Scope;

/// Quota "Versions per managed policy".
const VERSIONS_MAX: usize = 5;

/// A managed policy, AWS's or the account's.
enum Found {
    Aws(&'static ManagedPolicy),
    Own(PolicyRow),
}

fn find(tx: &Tx, cx: &Cx, arn: &str) -> Result<Found, Error> {
    if !policy_exists(tx, cx, arn)? {
        return Err(no_policy(arn));
    }
    if let Some(own) = managed(arn) {
        return Ok(Found::Aws(own));
    }
    let key = key_of(arn.rsplit('/').next().unwrap_or_default());
    let row = tx.get(&POLICIES, &Scope::Account(cx.account), &key)?;
    row.map(Found::Own).ok_or_else(|| no_policy(arn))
}

/// One that can be changed.
pub(crate) fn find_own(tx: &Tx, cx: &Cx, arn: &str) -> Result<PolicyRow, Error> {
    match find(tx, cx, arn)? {
        Found::Own(row) => Ok(row),
        Found::Aws(_) => Err(not_yours(arn)),
    }
}

pub(crate) fn put(tx: &mut Tx, cx: &Cx, row: &PolicyRow) -> Result<(), Error> {
    tx.put(&POLICIES, &Scope::Account(cx.account), &key_of(&row.name), row)?;
    touch(tx, cx.account, &*cx.entropy)
}

pub(crate) fn create(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreatePolicyInput,
) -> Result<CreatePolicyOutput, Error> {
    let name = &input.policy_name;
    let document = Document::parse(policy::Kind::Managed, &input.policy_document);
    cx.warn_of_keys(&document.map_err(bad_policy)?);
    check_partitions(cx, &input.policy_document)?;
    if tx.exists(&POLICIES, &Scope::Account(cx.account), &key_of(name))? {
        let message =
            format!("A policy called {name} already exists. Duplicate names are not allowed.");
        return Err(Error::new(&errors::ENTITY_ALREADY_EXISTS_EXCEPTION, message));
    }
    check_quota(tx, cx, &POLICIES, ("PoliciesPerAccount", POLICIES_MAX))?;
    let path = input.path.as_deref().unwrap_or("/");
    let document = input.policy_document.clone();
    let row = PolicyRow {
        id: new_unique_id(Kind::Policy, &*cx.entropy),
        name: name.clone(),
        path: path.to_owned(),
        arn: ask::arn(cx, &format!("policy{path}{name}")),
        created: tx.now(),
        updated: tx.now(),
        tags: tags::new(input.tags.as_deref())?,
        description: input.description.clone(),
        default_version: 1,
        last_version: 1,
        versions: vec![PolicyVersionRow { number: 1, document, created: tx.now() }],
    };
    put(tx, cx, &row)?;
    Ok(CreatePolicyOutput { policy: Some(view::policy(&row, (0, 0))) })
}

pub(crate) fn get(tx: &Tx, cx: &Cx, input: &GetPolicyInput) -> Result<GetPolicyOutput, Error> {
    let arn = &input.policy_arn;
    let uses = view::uses(tx, cx.account, arn)?;
    let policy = match find(tx, cx, arn)? {
        Found::Aws(own) => view::aws_policy(own, arn.clone(), uses),
        Found::Own(row) => view::policy(&row, uses),
    };
    Ok(GetPolicyOutput { policy: Some(policy) })
}

pub(crate) fn delete(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeletePolicyInput,
) -> Result<DeletePolicyOutput, Error> {
    let arn = &input.policy_arn;
    let row = find_own(tx, cx, arn)?;
    if view::uses(tx, cx.account, arn)? != (0, 0) {
        let message = "Cannot delete a policy attached to entities.";
        return Err(Error::new(&errors::DELETE_CONFLICT_EXCEPTION, message));
    }
    if row.versions.len() > 1 {
        let message = "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.";
        return Err(Error::new(&errors::DELETE_CONFLICT_EXCEPTION, message));
    }
    tx.delete(&POLICIES, &Scope::Account(cx.account), &key_of(&row.name))?;
    touch(tx, cx.account, &*cx.entropy)?;
    Ok(DeletePolicyOutput {})
}

pub(crate) fn list(
    tx: &Tx,
    cx: &Cx,
    input: &ListPoliciesInput,
) -> Result<ListPoliciesOutput, Error> {
    let scope = input.scope.as_deref().unwrap_or("All");
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let only_attached = input.only_attached.unwrap_or(false);
    let filter = input.policy_usage_filter.as_deref().unwrap_or_default();
    let parameters = [scope, prefix, filter, if only_attached { "1" } else { "" }];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let wanted = |(attached, bounding): (i32, i32)| {
        let used = match filter {
            "PermissionsPolicy" => attached > 0,
            "PermissionsBoundary" => bounding > 0,
            _ => !only_attached || attached > 0,
        };
        used && (!only_attached || attached > 0 || bounding > 0)
    };
    let partition = cx.partition().as_str();
    let of_aws = MANAGED.iter().filter(|own| scope != "Local" && own.path.starts_with(prefix));
    let of_aws = of_aws.filter_map(|own| {
        let arn = own.arn(partition);
        match view::uses(tx, cx.account, &arn) {
            Ok(uses) if wanted(uses) => {
                Some(Ok((format!("0{}", own.name), view::aws_policy(own, arn, uses))))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    });
    let rows = Scope::Account(cx.account);
    let own = tx.scan(&POLICIES, &rows).filter_map(|found| {
        let look = || {
            let (key, row) = found?;
            let uses = view::uses(tx, cx.account, &row.arn)?;
            let shown = scope != "AWS" && row.path.starts_with(prefix) && wanted(uses);
            Ok(shown.then(|| (format!("1{key}"), view::policy_listed(&row, uses))))
        };
        look().transpose()
    });
    let page = pager.take(of_aws.chain(own))?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListPoliciesOutput { policies: Some(page.items), is_truncated, marker })
}

/// The number in `v3`.
fn number(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.parse().ok()
}

fn shown(number: u32, default: u32, created: Timestamp, document: Option<&str>) -> PolicyVersion {
    PolicyVersion {
        document: document.map(view::document),
        version_id: Some(format!("v{number}")),
        is_default_version: Some(number == default),
        create_date: Some(created),
    }
}

/// The only version of a policy of AWS's own that is here, with its document.
pub(crate) fn aws_version(own: &ManagedPolicy) -> PolicyVersion {
    let updated = Timestamp::from_secs(own.updated_s);
    shown(own.version, own.version, updated, Some(own.document.trim_end()))
}

/// All versions with their documents, the newest first.
pub(crate) fn all_versions(row: &PolicyRow) -> Vec<PolicyVersion> {
    let newest_first = row.versions.iter().rev();
    let version =
        |v: &PolicyVersionRow| shown(v.number, row.default_version, v.created, Some(&v.document));
    newest_first.map(version).collect()
}

pub(crate) fn get_version(
    tx: &Tx,
    cx: &Cx,
    input: &GetPolicyVersionInput,
) -> Result<GetPolicyVersionOutput, Error> {
    let (arn, wanted) = (&input.policy_arn, number(&input.version_id));
    let missing = || no_version(arn, &input.version_id);
    let version = match find(tx, cx, arn)? {
        Found::Aws(own) if wanted == Some(own.version) => aws_version(own),
        Found::Aws(_) => return Err(missing()),
        Found::Own(row) => {
            let found = row.versions.iter().find(|version| Some(version.number) == wanted);
            let found = found.ok_or_else(missing)?;
            shown(found.number, row.default_version, found.created, Some(&found.document))
        }
    };
    Ok(GetPolicyVersionOutput { policy_version: Some(version) })
}

/// The newest first.
pub(crate) fn list_versions(
    tx: &Tx,
    cx: &Cx,
    input: &ListPolicyVersionsInput,
) -> Result<ListPolicyVersionsOutput, Error> {
    let parameters = [input.policy_arn.as_str()];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let versions: Vec<PolicyVersion> = match find(tx, cx, &input.policy_arn)? {
        Found::Aws(own) => {
            vec![shown(own.version, own.version, Timestamp::from_secs(own.updated_s), None)]
        }
        Found::Own(row) => row
            .versions
            .iter()
            .rev()
            .map(|version| shown(version.number, row.default_version, version.created, None))
            .collect(),
    };
    let keyed = versions.into_iter().enumerate().map(|(at, shown)| Ok((format!("{at:03}"), shown)));
    let page = pager.take(keyed)?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    Ok(ListPolicyVersionsOutput { versions: Some(page.items), is_truncated, marker })
}

pub(crate) fn create_version(
    tx: &mut Tx,
    cx: &Cx,
    input: &CreatePolicyVersionInput,
) -> Result<CreatePolicyVersionOutput, Error> {
    let mut row = find_own(tx, cx, &input.policy_arn)?;
    let document = Document::parse(policy::Kind::Managed, &input.policy_document);
    cx.warn_of_keys(&document.map_err(bad_policy)?);
    check_partitions(cx, &input.policy_document)?;
    if row.versions.len() >= VERSIONS_MAX {
        let message = "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.";
        return Err(Error::new(&errors::LIMIT_EXCEEDED_EXCEPTION, message));
    }
    row.last_version += 1;
    let (number, document) = (row.last_version, input.policy_document.clone());
    row.versions.push(PolicyVersionRow { number, document, created: tx.now() });
    if input.set_as_default == Some(true) {
        row.default_version = number;
    }
    row.updated = tx.now();
    put(tx, cx, &row)?;
    let version = shown(number, row.default_version, tx.now(), None);
    Ok(CreatePolicyVersionOutput { policy_version: Some(version) })
}

pub(crate) fn delete_version(
    tx: &mut Tx,
    cx: &Cx,
    input: &DeletePolicyVersionInput,
) -> Result<DeletePolicyVersionOutput, Error> {
    let mut row = find_own(tx, cx, &input.policy_arn)?;
    let wanted = number(&input.version_id);
    let at = row.versions.iter().position(|version| Some(version.number) == wanted);
    let at = at.ok_or_else(|| no_version(&input.policy_arn, &input.version_id))?;
    if wanted == Some(row.default_version) {
        let message = "Cannot delete the default version of a policy.";
        return Err(Error::new(&errors::DELETE_CONFLICT_EXCEPTION, message));
    }
    row.versions.remove(at);
    row.updated = tx.now();
    put(tx, cx, &row)?;
    Ok(DeletePolicyVersionOutput {})
}

pub(crate) fn set_default_version(
    tx: &mut Tx,
    cx: &Cx,
    input: &SetDefaultPolicyVersionInput,
) -> Result<SetDefaultPolicyVersionOutput, Error> {
    let mut row = find_own(tx, cx, &input.policy_arn)?;
    let wanted = number(&input.version_id);
    let found = row.versions.iter().find(|version| Some(version.number) == wanted);
    row.default_version =
        found.ok_or_else(|| no_version(&input.policy_arn, &input.version_id))?.number;
    row.updated = tx.now();
    put(tx, cx, &row)?;
    Ok(SetDefaultPolicyVersionOutput {})
}

/// Who holds a policy, before it is sorted into the three lists of the answer.
enum Entity {
    Group(PolicyGroup),
    Role(PolicyRole),
    User(PolicyUser),
}

pub(crate) fn list_entities(
    tx: &Tx,
    cx: &Cx,
    input: &ListEntitiesForPolicyInput,
) -> Result<ListEntitiesForPolicyOutput, Error> {
    let arn = &input.policy_arn;
    find(tx, cx, arn)?;
    let prefix = input.path_prefix.as_deref().unwrap_or("/");
    let entities = input.entity_filter.as_deref().unwrap_or_default();
    let usage = input.policy_usage_filter.as_deref().unwrap_or_default();
    if !matches!(entities, "" | "User" | "Role" | "Group") {
        return Err(invalid(format!(
            "The entity filter {entities} chooses no users, roles or groups."
        )));
    }
    let parameters = [arn.as_str(), prefix, entities, usage];
    let pager = Pager::new(cx, &parameters, input.marker.as_deref(), input.max_items)?;
    let scope = Scope::Account(cx.account);
    let found = tx.scan(&POLICY_USES, &scope).prefix(&(arn.as_str(),)).filter_map(|found| {
        let look = || {
            let ((_, holder, name), row) = found?;
            let used = match usage {
                "PermissionsPolicy" => row.attached,
                "PermissionsBoundary" => row.boundary,
                _ => true,
            };
            let entity = if used { entity(tx, cx, holder, &name, entities, prefix)? } else { None };
            Ok(entity.map(|entity| (format!("{holder}{name}"), entity)))
        };
        look().transpose()
    });
    let page = pager.take(found)?;
    let (is_truncated, marker) = (page.is_truncated(), page.marker);
    let (mut groups, mut roles, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for entity in page.items {
        match entity {
            Entity::Group(group) => groups.push(group),
            Entity::Role(role) => roles.push(role),
            Entity::User(user) => users.push(user),
        }
    }
    Ok(ListEntitiesForPolicyOutput {
        policy_groups: Some(groups),
        policy_users: Some(users),
        policy_roles: Some(roles),
        is_truncated,
        marker,
    })
}

fn entity(
    tx: &Tx,
    cx: &Cx,
    holder: u8,
    name: &str,
    wanted: &str,
    prefix: &str,
) -> Result<Option<Entity>, Error> {
    let is = |kind: &str| wanted.is_empty() || wanted == kind;
    let (group_id, role_id, user_id) =
        (Holder::Group as u8, Holder::Role as u8, Holder::User as u8);
    Ok(if holder == group_id && is("Group") {
        group(tx, cx.account, name)?.filter(|row| row.path.starts_with(prefix)).map(|row| {
            Entity::Group(PolicyGroup { group_name: Some(row.name), group_id: Some(row.id) })
        })
    } else if holder == role_id && is("Role") {
        role(tx, cx.account, name)?.filter(|row| row.path.starts_with(prefix)).map(|row| {
            Entity::Role(PolicyRole { role_name: Some(row.name), role_id: Some(row.id) })
        })
    } else if holder == user_id && is("User") {
        user(tx, cx.account, name)?.filter(|row| row.path.starts_with(prefix)).map(|row| {
            Entity::User(PolicyUser { user_name: Some(row.name), user_id: Some(row.id) })
        })
    } else {
        None
    })
}
