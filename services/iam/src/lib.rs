//! AWS Identity and Access Management: users, groups, roles, instance profiles, access keys, inline
//! and managed policies, boundaries and tags.
//!
//! The rows are those of `directory`, which also answers the gateway; this crate is the API on top.
//! [`Iam`] is one table: for each operation what must be allowed, and the function that does it.
//!
//! Invariants: every change goes through `directory`'s writers or calls `directory::touch`, so that
//! no cached lookup outlives it. A policy in use cannot be deleted. Policies are checked when they
//! are put, in AWS's words, so that reading them later cannot fail.
//!
//! Deliberately absent, answered 501: what belongs to organisations, role templates, delegation requests
//! and tokens that this cloud would issue for others. Passwords are kept, but there is no place to sign
//! in with one yet.

mod access_advisor;
mod access_key;
mod account;
mod ask;
mod details;
mod error;
mod group;
mod holder;
mod hooks;
mod instance_profile;
mod login;
mod mfa;
mod oidc;
mod page;
mod pem;
mod png;
mod policy;
mod report;
mod role;
mod saml;
mod server_certificate;
mod service_linked;
mod simulate;
mod sources;
mod tags;
mod user;
mod user_keys;
mod view;

#[cfg(test)]
mod tests;

#[doc(hidden)]
pub mod fuzz;
pub use pem::fuzz_pem;

use api::{Ask, AsyncCx, Cx, Error, Reply, Tx};
use ask::Asks;
use directory::{
    GroupRow, InstanceProfileRow, MfaDeviceRow, OidcProviderRow, PolicyRow, RoleRow,
    SamlProviderRow, ServerCertificateRow, UserRow,
};
use gen_iam::*;

/// The service. It keeps nothing of its own.
#[derive(Clone, Copy, Default, Debug)]
pub struct Iam;

/// `authorize_x x(transaction, input) -> output: what must be allowed => what does it;` and the same
/// with `@async` for operations that open their transaction themselves.
macro_rules! operations {
    ($($authorize:ident $operation:ident($tx:ty, $input:ident) -> $output:ident:
        $ask:expr => $run:expr;)*
    $(@async $async_authorize:ident $async_operation:ident($async_input:ident) -> $async_output:ident:
        $async_ask:expr => $async_run:path;)*) => {
        impl IAMApi for Iam {
            $(
                fn $authorize(&self, cx: &Cx, input: &$input) -> Result<Vec<Ask>, Error> {
                    let ask: fn(&Cx, &$input) -> Asks = $ask;
                    ask(cx, input)
                }
                fn $operation(&self, tx: $tx, cx: &Cx, input: &$input) -> Result<$output, Error> {
                    let run: fn($tx, &Cx, &$input) -> Result<$output, Error> = $run;
                    run(tx, cx, input)
                }
            )*
            $(
                fn $async_authorize(&self, cx: &Cx, input: &$async_input) -> Result<Vec<Ask>, Error> {
                    let ask: fn(&Cx, &$async_input) -> Asks = $async_ask;
                    ask(cx, input)
                }
                async fn $async_operation(
                    &self,
                    cx: &AsyncCx,
                    input: &$async_input,
                ) -> Result<Reply<$async_output>, Error> {
                    $async_run(cx, input).await
                }
            )*
        }
    };
}

operations! {
    authorize_create_role create_role(&mut Tx, CreateRoleInput) -> CreateRoleOutput:
        |cx, i| ask::new(cx, "role", i.path.as_deref(), &i.role_name, i.tags.as_deref(), i.permissions_boundary.as_deref()) => role::create;
    authorize_get_role get_role(&Tx, GetRoleInput) -> GetRoleOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => role::get;
    authorize_list_roles list_roles(&Tx, ListRolesInput) -> ListRolesOutput:
        |cx, i| ask::list(cx, "role", i.path_prefix.as_deref()) => role::list;
    authorize_delete_role delete_role(&mut Tx, DeleteRoleInput) -> DeleteRoleOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => role::delete;
    authorize_update_role update_role(&mut Tx, UpdateRoleInput) -> UpdateRoleOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => role::update;
    authorize_update_assume_role_policy update_assume_role_policy(&mut Tx, UpdateAssumeRolePolicyInput) -> UpdateAssumeRolePolicyOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => role::update_trust;
    authorize_list_instance_profiles_for_role list_instance_profiles_for_role(&Tx, ListInstanceProfilesForRoleInput) -> ListInstanceProfilesForRoleOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => role::list_profiles;
    authorize_create_instance_profile create_instance_profile(&mut Tx, CreateInstanceProfileInput) -> CreateInstanceProfileOutput:
        |cx, i| ask::new(cx, "instance-profile", i.path.as_deref(), &i.instance_profile_name, i.tags.as_deref(), None) => instance_profile::create;
    authorize_get_instance_profile get_instance_profile(&Tx, GetInstanceProfileInput) -> GetInstanceProfileOutput:
        |cx, i| ask::named(cx, "instance-profile", &i.instance_profile_name) => instance_profile::get;
    authorize_list_instance_profiles list_instance_profiles(&Tx, ListInstanceProfilesInput) -> ListInstanceProfilesOutput:
        |cx, i| ask::list(cx, "instance-profile", i.path_prefix.as_deref()) => instance_profile::list;
    authorize_delete_instance_profile delete_instance_profile(&mut Tx, DeleteInstanceProfileInput) -> DeleteInstanceProfileOutput:
        |cx, i| ask::named(cx, "instance-profile", &i.instance_profile_name) => instance_profile::delete;
    authorize_add_role_to_instance_profile add_role_to_instance_profile(&mut Tx, AddRoleToInstanceProfileInput) -> AddRoleToInstanceProfileOutput:
        |cx, i| ask::passing(cx, &i.instance_profile_name, &i.role_name) => instance_profile::add_role;
    authorize_remove_role_from_instance_profile remove_role_from_instance_profile(&mut Tx, RemoveRoleFromInstanceProfileInput) -> RemoveRoleFromInstanceProfileOutput:
        |cx, i| ask::named(cx, "instance-profile", &i.instance_profile_name) => instance_profile::remove_role;
    authorize_create_user create_user(&mut Tx, CreateUserInput) -> CreateUserOutput:
        |cx, i| ask::new(cx, "user", i.path.as_deref(), &i.user_name, i.tags.as_deref(), i.permissions_boundary.as_deref()) => user::create;
    authorize_get_user get_user(&Tx, GetUserInput) -> GetUserOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user::get;
    authorize_list_users list_users(&Tx, ListUsersInput) -> ListUsersOutput:
        |cx, i| ask::list(cx, "user", i.path_prefix.as_deref()) => user::list;
    authorize_update_user update_user(&mut Tx, UpdateUserInput) -> UpdateUserOutput:
        |cx, i| ask::user(cx, Some(&i.user_name)) => user::update;
    authorize_delete_user delete_user(&mut Tx, DeleteUserInput) -> DeleteUserOutput:
        |cx, i| ask::user(cx, Some(&i.user_name)) => user::delete;
    authorize_create_group create_group(&mut Tx, CreateGroupInput) -> CreateGroupOutput:
        |cx, i| ask::new(cx, "group", i.path.as_deref(), &i.group_name, None, None) => group::create;
    authorize_get_group get_group(&Tx, GetGroupInput) -> GetGroupOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => group::get;
    authorize_list_groups list_groups(&Tx, ListGroupsInput) -> ListGroupsOutput:
        |cx, i| ask::list(cx, "group", i.path_prefix.as_deref()) => group::list;
    authorize_delete_group delete_group(&mut Tx, DeleteGroupInput) -> DeleteGroupOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => group::delete;
    authorize_add_user_to_group add_user_to_group(&mut Tx, AddUserToGroupInput) -> AddUserToGroupOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => user::add_to_group;
    authorize_remove_user_from_group remove_user_from_group(&mut Tx, RemoveUserFromGroupInput) -> RemoveUserFromGroupOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => user::remove_from_group;
    authorize_list_groups_for_user list_groups_for_user(&Tx, ListGroupsForUserInput) -> ListGroupsForUserOutput:
        |cx, i| ask::user(cx, Some(&i.user_name)) => user::list_groups;
    authorize_create_access_key create_access_key(&mut Tx, CreateAccessKeyInput) -> CreateAccessKeyOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => access_key::create;
    authorize_list_access_keys list_access_keys(&Tx, ListAccessKeysInput) -> ListAccessKeysOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => access_key::list;
    authorize_update_access_key update_access_key(&mut Tx, UpdateAccessKeyInput) -> UpdateAccessKeyOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => access_key::update;
    authorize_delete_access_key delete_access_key(&mut Tx, DeleteAccessKeyInput) -> DeleteAccessKeyOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => access_key::delete;
    authorize_get_access_key_last_used get_access_key_last_used(&Tx, GetAccessKeyLastUsedInput) -> GetAccessKeyLastUsedOutput:
        |cx, _| ask::list(cx, "user", Some("/*")) => access_key::last_used;
    authorize_create_policy create_policy(&mut Tx, CreatePolicyInput) -> CreatePolicyOutput:
        |cx, i| ask::new(cx, "policy", i.path.as_deref(), &i.policy_name, i.tags.as_deref(), None) => policy::create;
    authorize_get_policy get_policy(&Tx, GetPolicyInput) -> GetPolicyOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::get;
    authorize_get_policy_version get_policy_version(&Tx, GetPolicyVersionInput) -> GetPolicyVersionOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::get_version;
    authorize_list_policies list_policies(&Tx, ListPoliciesInput) -> ListPoliciesOutput:
        |_, i| ask::list_policies(i.path_prefix.as_deref()) => policy::list;
    authorize_delete_policy delete_policy(&mut Tx, DeletePolicyInput) -> DeletePolicyOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::delete;
    authorize_create_policy_version create_policy_version(&mut Tx, CreatePolicyVersionInput) -> CreatePolicyVersionOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::create_version;
    authorize_list_policy_versions list_policy_versions(&Tx, ListPolicyVersionsInput) -> ListPolicyVersionsOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::list_versions;
    authorize_delete_policy_version delete_policy_version(&mut Tx, DeletePolicyVersionInput) -> DeletePolicyVersionOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::delete_version;
    authorize_set_default_policy_version set_default_policy_version(&mut Tx, SetDefaultPolicyVersionInput) -> SetDefaultPolicyVersionOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::set_default_version;
    authorize_list_entities_for_policy list_entities_for_policy(&Tx, ListEntitiesForPolicyInput) -> ListEntitiesForPolicyOutput:
        |cx, i| ask::policy(cx, &i.policy_arn) => policy::list_entities;
    authorize_put_user_policy put_user_policy(&mut Tx, PutUserPolicyInput) -> PutUserPolicyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            holder::put_inline::<UserRow>(tx, cx, &i.user_name, &i.policy_name, &i.policy_document)?;
            Ok(PutUserPolicyOutput {})
        };
    authorize_get_user_policy get_user_policy(&Tx, GetUserPolicyInput) -> GetUserPolicyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            let (user_name, policy_document) = holder::get_inline::<UserRow>(tx, cx, &i.user_name, &i.policy_name)?;
            Ok(GetUserPolicyOutput { user_name, policy_name: i.policy_name.clone(), policy_document })
        };
    authorize_delete_user_policy delete_user_policy(&mut Tx, DeleteUserPolicyInput) -> DeleteUserPolicyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            holder::delete_inline::<UserRow>(tx, cx, &i.user_name, &i.policy_name)?;
            Ok(DeleteUserPolicyOutput {})
        };
    authorize_list_user_policies list_user_policies(&Tx, ListUserPoliciesInput) -> ListUserPoliciesOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            let marker = i.marker.as_deref();
            let page = holder::list_inline::<UserRow>(tx, cx, &i.user_name, marker, i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListUserPoliciesOutput { policy_names: page.items, is_truncated, marker })
        };
    authorize_attach_user_policy attach_user_policy(&mut Tx, AttachUserPolicyInput) -> AttachUserPolicyOutput:
        |cx, i| ask::attaching(cx, "user", &i.user_name, &i.policy_arn) => |tx, cx, i| {
            holder::attach::<UserRow>(tx, cx, &i.user_name, &i.policy_arn)?;
            Ok(AttachUserPolicyOutput {})
        };
    authorize_detach_user_policy detach_user_policy(&mut Tx, DetachUserPolicyInput) -> DetachUserPolicyOutput:
        |cx, i| ask::attaching(cx, "user", &i.user_name, &i.policy_arn) => |tx, cx, i| {
            holder::detach::<UserRow>(tx, cx, &i.user_name, &i.policy_arn)?;
            Ok(DetachUserPolicyOutput {})
        };
    authorize_list_attached_user_policies list_attached_user_policies(&Tx, ListAttachedUserPoliciesInput) -> ListAttachedUserPoliciesOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            let (prefix, marker) = (i.path_prefix.as_deref(), i.marker.as_deref());
            let page = holder::list_attached::<UserRow>(tx, cx, &i.user_name, prefix, marker, i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            let attached_policies = Some(page.items);
            Ok(ListAttachedUserPoliciesOutput { attached_policies, is_truncated, marker })
        };
    authorize_put_user_permissions_boundary put_user_permissions_boundary(&mut Tx, PutUserPermissionsBoundaryInput) -> PutUserPermissionsBoundaryOutput:
        |cx, i| ask::bounding(cx, "user", &i.user_name, &i.permissions_boundary) => |tx, cx, i| {
            holder::put_boundary::<UserRow>(tx, cx, &i.user_name, Some(&i.permissions_boundary))?;
            Ok(PutUserPermissionsBoundaryOutput {})
        };
    authorize_delete_user_permissions_boundary delete_user_permissions_boundary(&mut Tx, DeleteUserPermissionsBoundaryInput) -> DeleteUserPermissionsBoundaryOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            holder::put_boundary::<UserRow>(tx, cx, &i.user_name, None)?;
            Ok(DeleteUserPermissionsBoundaryOutput {})
        };
    authorize_tag_user tag_user(&mut Tx, TagUserInput) -> TagUserOutput:
        |cx, i| ask::tagging(cx, "user", &i.user_name, &i.tags) => |tx, cx, i| {
            tags::add::<UserRow>(tx, cx, &i.user_name, &i.tags)?;
            Ok(TagUserOutput {})
        };
    authorize_untag_user untag_user(&mut Tx, UntagUserInput) -> UntagUserOutput:
        |cx, i| ask::untagging(cx, "user", &i.user_name, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<UserRow>(tx, cx, &i.user_name, &i.tag_keys)?;
            Ok(UntagUserOutput {})
        };
    authorize_list_user_tags list_user_tags(&Tx, ListUserTagsInput) -> ListUserTagsOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => |tx, cx, i| {
            let page = tags::list::<UserRow>(tx, cx, &i.user_name, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListUserTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_put_group_policy put_group_policy(&mut Tx, PutGroupPolicyInput) -> PutGroupPolicyOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => |tx, cx, i| {
            holder::put_inline::<GroupRow>(tx, cx, &i.group_name, &i.policy_name, &i.policy_document)?;
            Ok(PutGroupPolicyOutput {})
        };
    authorize_get_group_policy get_group_policy(&Tx, GetGroupPolicyInput) -> GetGroupPolicyOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => |tx, cx, i| {
            let (group_name, policy_document) = holder::get_inline::<GroupRow>(tx, cx, &i.group_name, &i.policy_name)?;
            Ok(GetGroupPolicyOutput { group_name, policy_name: i.policy_name.clone(), policy_document })
        };
    authorize_delete_group_policy delete_group_policy(&mut Tx, DeleteGroupPolicyInput) -> DeleteGroupPolicyOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => |tx, cx, i| {
            holder::delete_inline::<GroupRow>(tx, cx, &i.group_name, &i.policy_name)?;
            Ok(DeleteGroupPolicyOutput {})
        };
    authorize_list_group_policies list_group_policies(&Tx, ListGroupPoliciesInput) -> ListGroupPoliciesOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => |tx, cx, i| {
            let marker = i.marker.as_deref();
            let page = holder::list_inline::<GroupRow>(tx, cx, &i.group_name, marker, i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListGroupPoliciesOutput { policy_names: page.items, is_truncated, marker })
        };
    authorize_attach_group_policy attach_group_policy(&mut Tx, AttachGroupPolicyInput) -> AttachGroupPolicyOutput:
        |cx, i| ask::attaching(cx, "group", &i.group_name, &i.policy_arn) => |tx, cx, i| {
            holder::attach::<GroupRow>(tx, cx, &i.group_name, &i.policy_arn)?;
            Ok(AttachGroupPolicyOutput {})
        };
    authorize_detach_group_policy detach_group_policy(&mut Tx, DetachGroupPolicyInput) -> DetachGroupPolicyOutput:
        |cx, i| ask::attaching(cx, "group", &i.group_name, &i.policy_arn) => |tx, cx, i| {
            holder::detach::<GroupRow>(tx, cx, &i.group_name, &i.policy_arn)?;
            Ok(DetachGroupPolicyOutput {})
        };
    authorize_list_attached_group_policies list_attached_group_policies(&Tx, ListAttachedGroupPoliciesInput) -> ListAttachedGroupPoliciesOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => |tx, cx, i| {
            let (prefix, marker) = (i.path_prefix.as_deref(), i.marker.as_deref());
            let page = holder::list_attached::<GroupRow>(tx, cx, &i.group_name, prefix, marker, i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            let attached_policies = Some(page.items);
            Ok(ListAttachedGroupPoliciesOutput { attached_policies, is_truncated, marker })
        };
    authorize_put_role_policy put_role_policy(&mut Tx, PutRolePolicyInput) -> PutRolePolicyOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            holder::put_inline::<RoleRow>(tx, cx, &i.role_name, &i.policy_name, &i.policy_document)?;
            Ok(PutRolePolicyOutput {})
        };
    authorize_get_role_policy get_role_policy(&Tx, GetRolePolicyInput) -> GetRolePolicyOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            let (role_name, policy_document) = holder::get_inline::<RoleRow>(tx, cx, &i.role_name, &i.policy_name)?;
            Ok(GetRolePolicyOutput { role_name, policy_name: i.policy_name.clone(), policy_document })
        };
    authorize_delete_role_policy delete_role_policy(&mut Tx, DeleteRolePolicyInput) -> DeleteRolePolicyOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            holder::delete_inline::<RoleRow>(tx, cx, &i.role_name, &i.policy_name)?;
            Ok(DeleteRolePolicyOutput {})
        };
    authorize_list_role_policies list_role_policies(&Tx, ListRolePoliciesInput) -> ListRolePoliciesOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            let marker = i.marker.as_deref();
            let page = holder::list_inline::<RoleRow>(tx, cx, &i.role_name, marker, i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListRolePoliciesOutput { policy_names: page.items, is_truncated, marker })
        };
    authorize_attach_role_policy attach_role_policy(&mut Tx, AttachRolePolicyInput) -> AttachRolePolicyOutput:
        |cx, i| ask::attaching(cx, "role", &i.role_name, &i.policy_arn) => |tx, cx, i| {
            holder::attach::<RoleRow>(tx, cx, &i.role_name, &i.policy_arn)?;
            Ok(AttachRolePolicyOutput {})
        };
    authorize_detach_role_policy detach_role_policy(&mut Tx, DetachRolePolicyInput) -> DetachRolePolicyOutput:
        |cx, i| ask::attaching(cx, "role", &i.role_name, &i.policy_arn) => |tx, cx, i| {
            holder::detach::<RoleRow>(tx, cx, &i.role_name, &i.policy_arn)?;
            Ok(DetachRolePolicyOutput {})
        };
    authorize_list_attached_role_policies list_attached_role_policies(&Tx, ListAttachedRolePoliciesInput) -> ListAttachedRolePoliciesOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            let (prefix, marker) = (i.path_prefix.as_deref(), i.marker.as_deref());
            let page = holder::list_attached::<RoleRow>(tx, cx, &i.role_name, prefix, marker, i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            let attached_policies = Some(page.items);
            Ok(ListAttachedRolePoliciesOutput { attached_policies, is_truncated, marker })
        };
    authorize_put_role_permissions_boundary put_role_permissions_boundary(&mut Tx, PutRolePermissionsBoundaryInput) -> PutRolePermissionsBoundaryOutput:
        |cx, i| ask::bounding(cx, "role", &i.role_name, &i.permissions_boundary) => |tx, cx, i| {
            holder::put_boundary::<RoleRow>(tx, cx, &i.role_name, Some(&i.permissions_boundary))?;
            Ok(PutRolePermissionsBoundaryOutput {})
        };
    authorize_delete_role_permissions_boundary delete_role_permissions_boundary(&mut Tx, DeleteRolePermissionsBoundaryInput) -> DeleteRolePermissionsBoundaryOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            holder::put_boundary::<RoleRow>(tx, cx, &i.role_name, None)?;
            Ok(DeleteRolePermissionsBoundaryOutput {})
        };
    authorize_tag_role tag_role(&mut Tx, TagRoleInput) -> TagRoleOutput:
        |cx, i| ask::tagging(cx, "role", &i.role_name, &i.tags) => |tx, cx, i| {
            tags::add::<RoleRow>(tx, cx, &i.role_name, &i.tags)?;
            Ok(TagRoleOutput {})
        };
    authorize_untag_role untag_role(&mut Tx, UntagRoleInput) -> UntagRoleOutput:
        |cx, i| ask::untagging(cx, "role", &i.role_name, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<RoleRow>(tx, cx, &i.role_name, &i.tag_keys)?;
            Ok(UntagRoleOutput {})
        };
    authorize_list_role_tags list_role_tags(&Tx, ListRoleTagsInput) -> ListRoleTagsOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => |tx, cx, i| {
            let page = tags::list::<RoleRow>(tx, cx, &i.role_name, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListRoleTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_tag_policy tag_policy(&mut Tx, TagPolicyInput) -> TagPolicyOutput:
        |cx, i| ask::tagging_arn(cx, &i.policy_arn, &i.tags) => |tx, cx, i| {
            tags::add::<PolicyRow>(tx, cx, &i.policy_arn, &i.tags)?;
            Ok(TagPolicyOutput {})
        };
    authorize_untag_policy untag_policy(&mut Tx, UntagPolicyInput) -> UntagPolicyOutput:
        |cx, i| ask::untagging_arn(cx, &i.policy_arn, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<PolicyRow>(tx, cx, &i.policy_arn, &i.tag_keys)?;
            Ok(UntagPolicyOutput {})
        };
    authorize_list_policy_tags list_policy_tags(&Tx, ListPolicyTagsInput) -> ListPolicyTagsOutput:
        |cx, i| ask::by_arn(cx, &i.policy_arn) => |tx, cx, i| {
            let page = tags::list::<PolicyRow>(tx, cx, &i.policy_arn, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListPolicyTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_tag_instance_profile tag_instance_profile(&mut Tx, TagInstanceProfileInput) -> TagInstanceProfileOutput:
        |cx, i| ask::tagging(cx, "instance-profile", &i.instance_profile_name, &i.tags) => |tx, cx, i| {
            tags::add::<InstanceProfileRow>(tx, cx, &i.instance_profile_name, &i.tags)?;
            Ok(TagInstanceProfileOutput {})
        };
    authorize_untag_instance_profile untag_instance_profile(&mut Tx, UntagInstanceProfileInput) -> UntagInstanceProfileOutput:
        |cx, i| ask::untagging(cx, "instance-profile", &i.instance_profile_name, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<InstanceProfileRow>(tx, cx, &i.instance_profile_name, &i.tag_keys)?;
            Ok(UntagInstanceProfileOutput {})
        };
    authorize_list_instance_profile_tags list_instance_profile_tags(&Tx, ListInstanceProfileTagsInput) -> ListInstanceProfileTagsOutput:
        |cx, i| ask::named(cx, "instance-profile", &i.instance_profile_name) => |tx, cx, i| {
            let page = tags::list::<InstanceProfileRow>(tx, cx, &i.instance_profile_name, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListInstanceProfileTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_tag_open_id_connect_provider tag_open_id_connect_provider(&mut Tx, TagOpenIDConnectProviderInput) -> TagOpenIDConnectProviderOutput:
        |cx, i| ask::tagging_arn(cx, &i.open_id_connect_provider_arn, &i.tags) => |tx, cx, i| {
            tags::add::<OidcProviderRow>(tx, cx, &i.open_id_connect_provider_arn, &i.tags)?;
            Ok(TagOpenIDConnectProviderOutput {})
        };
    authorize_untag_open_id_connect_provider untag_open_id_connect_provider(&mut Tx, UntagOpenIDConnectProviderInput) -> UntagOpenIDConnectProviderOutput:
        |cx, i| ask::untagging_arn(cx, &i.open_id_connect_provider_arn, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<OidcProviderRow>(tx, cx, &i.open_id_connect_provider_arn, &i.tag_keys)?;
            Ok(UntagOpenIDConnectProviderOutput {})
        };
    authorize_list_open_id_connect_provider_tags list_open_id_connect_provider_tags(&Tx, ListOpenIDConnectProviderTagsInput) -> ListOpenIDConnectProviderTagsOutput:
        |cx, i| ask::by_arn(cx, &i.open_id_connect_provider_arn) => |tx, cx, i| {
            let page = tags::list::<OidcProviderRow>(tx, cx, &i.open_id_connect_provider_arn, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListOpenIDConnectProviderTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_tag_saml_provider tag_saml_provider(&mut Tx, TagSAMLProviderInput) -> TagSAMLProviderOutput:
        |cx, i| ask::tagging_arn(cx, &i.saml_provider_arn, &i.tags) => |tx, cx, i| {
            tags::add::<SamlProviderRow>(tx, cx, &i.saml_provider_arn, &i.tags)?;
            Ok(TagSAMLProviderOutput {})
        };
    authorize_untag_saml_provider untag_saml_provider(&mut Tx, UntagSAMLProviderInput) -> UntagSAMLProviderOutput:
        |cx, i| ask::untagging_arn(cx, &i.saml_provider_arn, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<SamlProviderRow>(tx, cx, &i.saml_provider_arn, &i.tag_keys)?;
            Ok(UntagSAMLProviderOutput {})
        };
    authorize_list_saml_provider_tags list_saml_provider_tags(&Tx, ListSAMLProviderTagsInput) -> ListSAMLProviderTagsOutput:
        |cx, i| ask::by_arn(cx, &i.saml_provider_arn) => |tx, cx, i| {
            let page = tags::list::<SamlProviderRow>(tx, cx, &i.saml_provider_arn, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListSAMLProviderTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_update_group update_group(&mut Tx, UpdateGroupInput) -> UpdateGroupOutput:
        |cx, i| ask::named(cx, "group", &i.group_name) => group::update;
    authorize_update_role_description update_role_description(&mut Tx, UpdateRoleDescriptionInput) -> UpdateRoleDescriptionOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => role::update_description;
    authorize_create_account_alias create_account_alias(&mut Tx, CreateAccountAliasInput) -> CreateAccountAliasOutput:
        |cx, _| ask::account(cx) => account::create_alias;
    authorize_delete_account_alias delete_account_alias(&mut Tx, DeleteAccountAliasInput) -> DeleteAccountAliasOutput:
        |cx, _| ask::account(cx) => account::delete_alias;
    authorize_list_account_aliases list_account_aliases(&Tx, ListAccountAliasesInput) -> ListAccountAliasesOutput:
        |cx, _| ask::account(cx) => account::list_aliases;
    authorize_get_account_password_policy get_account_password_policy(&Tx, GetAccountPasswordPolicyInput) -> GetAccountPasswordPolicyOutput:
        |cx, _| ask::account(cx) => account::get_passwords;
    authorize_update_account_password_policy update_account_password_policy(&mut Tx, UpdateAccountPasswordPolicyInput) -> UpdateAccountPasswordPolicyOutput:
        |cx, _| ask::account(cx) => account::update_passwords;
    authorize_delete_account_password_policy delete_account_password_policy(&mut Tx, DeleteAccountPasswordPolicyInput) -> DeleteAccountPasswordPolicyOutput:
        |cx, _| ask::account(cx) => account::delete_passwords;
    authorize_get_account_summary get_account_summary(&Tx, GetAccountSummaryInput) -> GetAccountSummaryOutput:
        |cx, _| ask::account(cx) => account::summary;
    authorize_set_security_token_service_preferences set_security_token_service_preferences(&mut Tx, SetSecurityTokenServicePreferencesInput) -> SetSecurityTokenServicePreferencesOutput:
        |cx, _| ask::account(cx) => account::set_token_version;
    authorize_get_account_authorization_details get_account_authorization_details(&Tx, GetAccountAuthorizationDetailsInput) -> GetAccountAuthorizationDetailsOutput:
        |cx, _| ask::account(cx) => details::get;
    authorize_create_open_id_connect_provider create_open_id_connect_provider(&mut Tx, CreateOpenIDConnectProviderInput) -> CreateOpenIDConnectProviderOutput:
        |cx, i| ask::new_oidc(cx, &i.url, i.tags.as_deref()) => oidc::create;
    authorize_get_open_id_connect_provider get_open_id_connect_provider(&Tx, GetOpenIDConnectProviderInput) -> GetOpenIDConnectProviderOutput:
        |cx, i| ask::by_arn(cx, &i.open_id_connect_provider_arn) => oidc::get;
    authorize_delete_open_id_connect_provider delete_open_id_connect_provider(&mut Tx, DeleteOpenIDConnectProviderInput) -> DeleteOpenIDConnectProviderOutput:
        |cx, i| ask::by_arn(cx, &i.open_id_connect_provider_arn) => oidc::delete;
    authorize_list_open_id_connect_providers list_open_id_connect_providers(&Tx, ListOpenIDConnectProvidersInput) -> ListOpenIDConnectProvidersOutput:
        |cx, _| ask::account(cx) => oidc::list;
    authorize_add_client_id_to_open_id_connect_provider add_client_id_to_open_id_connect_provider(&mut Tx, AddClientIDToOpenIDConnectProviderInput) -> AddClientIDToOpenIDConnectProviderOutput:
        |cx, i| ask::by_arn(cx, &i.open_id_connect_provider_arn) => oidc::add_client_id;
    authorize_remove_client_id_from_open_id_connect_provider remove_client_id_from_open_id_connect_provider(&mut Tx, RemoveClientIDFromOpenIDConnectProviderInput) -> RemoveClientIDFromOpenIDConnectProviderOutput:
        |cx, i| ask::by_arn(cx, &i.open_id_connect_provider_arn) => oidc::remove_client_id;
    authorize_update_open_id_connect_provider_thumbprint update_open_id_connect_provider_thumbprint(&mut Tx, UpdateOpenIDConnectProviderThumbprintInput) -> UpdateOpenIDConnectProviderThumbprintOutput:
        |cx, i| ask::by_arn(cx, &i.open_id_connect_provider_arn) => oidc::update_thumbprint;
    authorize_create_saml_provider create_saml_provider(&mut Tx, CreateSAMLProviderInput) -> CreateSAMLProviderOutput:
        |cx, i| ask::new(cx, "saml-provider", None, &i.name, i.tags.as_deref(), None) => saml::create;
    authorize_get_saml_provider get_saml_provider(&Tx, GetSAMLProviderInput) -> GetSAMLProviderOutput:
        |cx, i| ask::by_arn(cx, &i.saml_provider_arn) => saml::get;
    authorize_update_saml_provider update_saml_provider(&mut Tx, UpdateSAMLProviderInput) -> UpdateSAMLProviderOutput:
        |cx, i| ask::by_arn(cx, &i.saml_provider_arn) => saml::update;
    authorize_delete_saml_provider delete_saml_provider(&mut Tx, DeleteSAMLProviderInput) -> DeleteSAMLProviderOutput:
        |cx, i| ask::by_arn(cx, &i.saml_provider_arn) => saml::delete;
    authorize_list_saml_providers list_saml_providers(&Tx, ListSAMLProvidersInput) -> ListSAMLProvidersOutput:
        |cx, _| ask::account(cx) => saml::list;
    authorize_create_service_linked_role create_service_linked_role(&mut Tx, CreateServiceLinkedRoleInput) -> CreateServiceLinkedRoleOutput:
        |cx, i| ask::service_linked(cx, &i.aws_service_name, i.custom_suffix.as_deref()) => service_linked::create;
    authorize_delete_service_linked_role delete_service_linked_role(&mut Tx, DeleteServiceLinkedRoleInput) -> DeleteServiceLinkedRoleOutput:
        |cx, i| ask::named(cx, "role", &i.role_name) => service_linked::delete;
    authorize_get_service_linked_role_deletion_status get_service_linked_role_deletion_status(&Tx, GetServiceLinkedRoleDeletionStatusInput) -> GetServiceLinkedRoleDeletionStatusOutput:
        |cx, i| ask::role_of_task(cx, &i.deletion_task_id) => service_linked::deletion_status;
    authorize_tag_mfa_device tag_mfa_device(&mut Tx, TagMFADeviceInput) -> TagMFADeviceOutput:
        |cx, i| ask::tagging_arn(cx, &i.serial_number, &i.tags) => |tx, cx, i| {
            tags::add::<MfaDeviceRow>(tx, cx, &i.serial_number, &i.tags)?;
            Ok(TagMFADeviceOutput {})
        };
    authorize_untag_mfa_device untag_mfa_device(&mut Tx, UntagMFADeviceInput) -> UntagMFADeviceOutput:
        |cx, i| ask::untagging_arn(cx, &i.serial_number, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<MfaDeviceRow>(tx, cx, &i.serial_number, &i.tag_keys)?;
            Ok(UntagMFADeviceOutput {})
        };
    authorize_list_mfa_device_tags list_mfa_device_tags(&Tx, ListMFADeviceTagsInput) -> ListMFADeviceTagsOutput:
        |cx, i| ask::by_arn(cx, &i.serial_number) => |tx, cx, i| {
            let page = tags::list::<MfaDeviceRow>(tx, cx, &i.serial_number, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListMFADeviceTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_tag_server_certificate tag_server_certificate(&mut Tx, TagServerCertificateInput) -> TagServerCertificateOutput:
        |cx, i| ask::tagging(cx, "server-certificate", &i.server_certificate_name, &i.tags) => |tx, cx, i| {
            tags::add::<ServerCertificateRow>(tx, cx, &i.server_certificate_name, &i.tags)?;
            Ok(TagServerCertificateOutput {})
        };
    authorize_untag_server_certificate untag_server_certificate(&mut Tx, UntagServerCertificateInput) -> UntagServerCertificateOutput:
        |cx, i| ask::untagging(cx, "server-certificate", &i.server_certificate_name, &i.tag_keys) => |tx, cx, i| {
            tags::remove::<ServerCertificateRow>(tx, cx, &i.server_certificate_name, &i.tag_keys)?;
            Ok(UntagServerCertificateOutput {})
        };
    authorize_list_server_certificate_tags list_server_certificate_tags(&Tx, ListServerCertificateTagsInput) -> ListServerCertificateTagsOutput:
        |cx, i| ask::named(cx, "server-certificate", &i.server_certificate_name) => |tx, cx, i| {
            let page = tags::list::<ServerCertificateRow>(tx, cx, &i.server_certificate_name, i.marker.as_deref(), i.max_items)?;
            let (is_truncated, marker) = (page.is_truncated(), page.marker);
            Ok(ListServerCertificateTagsOutput { tags: page.items, is_truncated, marker })
        };
    authorize_get_login_profile get_login_profile(&Tx, GetLoginProfileInput) -> GetLoginProfileOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => login::get;
    authorize_delete_login_profile delete_login_profile(&mut Tx, DeleteLoginProfileInput) -> DeleteLoginProfileOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => login::delete;
    authorize_create_virtual_mfa_device create_virtual_mfa_device(&mut Tx, CreateVirtualMFADeviceInput) -> CreateVirtualMFADeviceOutput:
        |cx, i| ask::new(cx, "mfa", i.path.as_deref(), &i.virtual_mfa_device_name, i.tags.as_deref(), None) => mfa::create;
    authorize_delete_virtual_mfa_device delete_virtual_mfa_device(&mut Tx, DeleteVirtualMFADeviceInput) -> DeleteVirtualMFADeviceOutput:
        |cx, i| ask::by_arn(cx, &i.serial_number) => mfa::delete;
    authorize_list_virtual_mfa_devices list_virtual_mfa_devices(&Tx, ListVirtualMFADevicesInput) -> ListVirtualMFADevicesOutput:
        |cx, _| ask::account(cx) => mfa::list_virtual;
    authorize_enable_mfa_device enable_mfa_device(&mut Tx, EnableMFADeviceInput) -> EnableMFADeviceOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => mfa::enable;
    authorize_resync_mfa_device resync_mfa_device(&mut Tx, ResyncMFADeviceInput) -> ResyncMFADeviceOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => mfa::resync;
    authorize_deactivate_mfa_device deactivate_mfa_device(&mut Tx, DeactivateMFADeviceInput) -> DeactivateMFADeviceOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => mfa::deactivate;
    authorize_list_mfa_devices list_mfa_devices(&Tx, ListMFADevicesInput) -> ListMFADevicesOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => mfa::list;
    authorize_get_mfa_device get_mfa_device(&Tx, GetMFADeviceInput) -> GetMFADeviceOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => mfa::get;
    authorize_generate_credential_report generate_credential_report(&mut Tx, GenerateCredentialReportInput) -> GenerateCredentialReportOutput:
        |cx, _| ask::account(cx) => report::generate;
    authorize_get_credential_report get_credential_report(&Tx, GetCredentialReportInput) -> GetCredentialReportOutput:
        |cx, _| ask::account(cx) => report::get;
    authorize_upload_server_certificate upload_server_certificate(&mut Tx, UploadServerCertificateInput) -> UploadServerCertificateOutput:
        |cx, i| ask::new(cx, "server-certificate", i.path.as_deref(), &i.server_certificate_name, i.tags.as_deref(), None) => server_certificate::upload;
    authorize_get_server_certificate get_server_certificate(&Tx, GetServerCertificateInput) -> GetServerCertificateOutput:
        |cx, i| ask::named(cx, "server-certificate", &i.server_certificate_name) => server_certificate::get;
    authorize_update_server_certificate update_server_certificate(&mut Tx, UpdateServerCertificateInput) -> UpdateServerCertificateOutput:
        |cx, i| ask::named(cx, "server-certificate", &i.server_certificate_name) => server_certificate::update;
    authorize_delete_server_certificate delete_server_certificate(&mut Tx, DeleteServerCertificateInput) -> DeleteServerCertificateOutput:
        |cx, i| ask::named(cx, "server-certificate", &i.server_certificate_name) => server_certificate::delete;
    authorize_list_server_certificates list_server_certificates(&Tx, ListServerCertificatesInput) -> ListServerCertificatesOutput:
        |cx, _| ask::account(cx) => server_certificate::list;
    authorize_upload_signing_certificate upload_signing_certificate(&mut Tx, UploadSigningCertificateInput) -> UploadSigningCertificateOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::upload_certificate;
    authorize_update_signing_certificate update_signing_certificate(&mut Tx, UpdateSigningCertificateInput) -> UpdateSigningCertificateOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::update_certificate;
    authorize_delete_signing_certificate delete_signing_certificate(&mut Tx, DeleteSigningCertificateInput) -> DeleteSigningCertificateOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::delete_certificate;
    authorize_list_signing_certificates list_signing_certificates(&Tx, ListSigningCertificatesInput) -> ListSigningCertificatesOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::list_certificates;
    authorize_list_ssh_public_keys list_ssh_public_keys(&Tx, ListSSHPublicKeysInput) -> ListSSHPublicKeysOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::list_ssh;
    authorize_update_service_specific_credential update_service_specific_credential(&mut Tx, UpdateServiceSpecificCredentialInput) -> UpdateServiceSpecificCredentialOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::update_credential;
    authorize_delete_service_specific_credential delete_service_specific_credential(&mut Tx, DeleteServiceSpecificCredentialInput) -> DeleteServiceSpecificCredentialOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::delete_credential;
    authorize_reset_service_specific_credential reset_service_specific_credential(&mut Tx, ResetServiceSpecificCredentialInput) -> ResetServiceSpecificCredentialOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::reset_credential;
    authorize_list_service_specific_credentials list_service_specific_credentials(&Tx, ListServiceSpecificCredentialsInput) -> ListServiceSpecificCredentialsOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => user_keys::list_credentials;
    authorize_upload_ssh_public_key upload_ssh_public_key(&mut Tx, UploadSSHPublicKeyInput) -> UploadSSHPublicKeyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => user_keys::upload_ssh;
    authorize_get_ssh_public_key get_ssh_public_key(&Tx, GetSSHPublicKeyInput) -> GetSSHPublicKeyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => user_keys::get_ssh;
    authorize_update_ssh_public_key update_ssh_public_key(&mut Tx, UpdateSSHPublicKeyInput) -> UpdateSSHPublicKeyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => user_keys::update_ssh;
    authorize_delete_ssh_public_key delete_ssh_public_key(&mut Tx, DeleteSSHPublicKeyInput) -> DeleteSSHPublicKeyOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => user_keys::delete_ssh;
    authorize_create_service_specific_credential create_service_specific_credential(&mut Tx, CreateServiceSpecificCredentialInput) -> CreateServiceSpecificCredentialOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => user_keys::create_credential;
    authorize_simulate_custom_policy simulate_custom_policy(&Tx, SimulateCustomPolicyInput) -> SimulateCustomPolicyOutput:
        |cx, _| ask::account(cx) => simulate::custom;
    authorize_get_context_keys_for_custom_policy get_context_keys_for_custom_policy(&Tx, GetContextKeysForCustomPolicyInput) -> GetContextKeysForCustomPolicyOutput:
        |cx, _| ask::account(cx) => simulate::custom_keys;
    authorize_simulate_principal_policy simulate_principal_policy(&Tx, SimulatePrincipalPolicyInput) -> SimulatePrincipalPolicyOutput:
        |cx, i| ask::by_arn(cx, &i.policy_source_arn) => simulate::principal;
    authorize_get_context_keys_for_principal_policy get_context_keys_for_principal_policy(&Tx, GetContextKeysForPrincipalPolicyInput) -> GetContextKeysForPrincipalPolicyOutput:
        |cx, i| ask::by_arn(cx, &i.policy_source_arn) => simulate::principal_keys;
    authorize_list_policies_granting_service_access list_policies_granting_service_access(&Tx, ListPoliciesGrantingServiceAccessInput) -> ListPoliciesGrantingServiceAccessOutput:
        |cx, i| ask::by_arn(cx, &i.arn) => access_advisor::list_granting;
    authorize_generate_service_last_accessed_details generate_service_last_accessed_details(&mut Tx, GenerateServiceLastAccessedDetailsInput) -> GenerateServiceLastAccessedDetailsOutput:
        |cx, i| ask::by_arn(cx, &i.arn) => access_advisor::generate;
    authorize_get_service_last_accessed_details get_service_last_accessed_details(&Tx, GetServiceLastAccessedDetailsInput) -> GetServiceLastAccessedDetailsOutput:
        |cx, _| ask::account(cx) => access_advisor::get;
    authorize_get_service_last_accessed_details_with_entities get_service_last_accessed_details_with_entities(&Tx, GetServiceLastAccessedDetailsWithEntitiesInput) -> GetServiceLastAccessedDetailsWithEntitiesOutput:
        |cx, _| ask::account(cx) => access_advisor::get_with_entities;

    @async authorize_create_login_profile create_login_profile(CreateLoginProfileInput) -> CreateLoginProfileOutput:
        |cx, i| ask::user(cx, i.user_name.as_deref()) => login::create;
    @async authorize_update_login_profile update_login_profile(UpdateLoginProfileInput) -> UpdateLoginProfileOutput:
        |cx, i| ask::named(cx, "user", &i.user_name) => login::update;
    @async authorize_change_password change_password(ChangePasswordInput) -> ChangePasswordOutput:
        |cx, _| ask::user(cx, None) => login::change;
}
