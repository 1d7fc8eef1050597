//! What an account has once.

use super::{DOCUMENT, TRUST, World, call, fine, refused};

#[test]
fn aliases() {
    let world = World::new();
    let make = |alias: &str| call!(world write create_account_alias CreateAccountAliasInput { account_alias: alias });
    let list =
        || fine(call!(world read list_account_aliases ListAccountAliasesInput {})).account_aliases;
    fine(make("red"));
    refused(make("red"), "EntityAlreadyExists", "The account alias red already exists.");
    fine(make("blue"));
    assert_eq!(list(), ["blue"]);
    // The old one is free again.
    fine(make("red"));
    let delete = |alias: &str| call!(world write delete_account_alias DeleteAccountAliasInput { account_alias: alias });
    refused(delete("blue"), "NoSuchEntity", "The account alias with name blue cannot be found.");
    fine(delete("red"));
    assert!(list().is_empty());
}

#[test]
fn password_policies() {
    let world = World::new();
    let get = || call!(world read get_account_password_policy GetAccountPasswordPolicyInput {});
    let missing = "The Password Policy with domain name 111122223333 cannot be found.";
    refused(get(), "NoSuchEntity", missing);
    fine(call!(world write update_account_password_policy UpdateAccountPasswordPolicyInput {
        minimum_password_length: Some(12), require_numbers: Some(true), max_password_age: Some(90),
    }));
    let policy = fine(get()).password_policy;
    assert_eq!(policy.minimum_password_length, Some(12));
    assert_eq!((policy.require_numbers, policy.require_symbols), (Some(true), Some(false)));
    assert_eq!((policy.expire_passwords, policy.max_password_age), (Some(true), Some(90)));
    assert_eq!(policy.password_reuse_prevention, None);
    // What is left out goes back to its default.
    fine(call!(world write update_account_password_policy UpdateAccountPasswordPolicyInput {}));
    let policy = fine(get()).password_policy;
    assert_eq!(policy.minimum_password_length, Some(6));
    assert_eq!((policy.expire_passwords, policy.max_password_age), (Some(false), None));
    let delete =
        || call!(world write delete_account_password_policy DeleteAccountPasswordPolicyInput {});
    fine(delete());
    refused(
        delete(),
        "NoSuchEntity",
        "The account policy with name PasswordPolicy cannot be found.",
    );
}

#[test]
fn summary_and_details() {
    let world = World::new();
    fine(call!(world write create_user CreateUserInput { user_name: "alice" }));
    fine(call!(world write create_group CreateGroupInput { group_name: "g" }));
    fine(
        call!(world write add_user_to_group AddUserToGroupInput { group_name: "g", user_name: "alice" }),
    );
    fine(
        call!(world write create_role CreateRoleInput { role_name: "R", assume_role_policy_document: TRUST }),
    );
    let own = "arn:aws:iam::111122223333:policy/P";
    fine(
        call!(world write create_policy CreatePolicyInput { policy_name: "P", policy_document: DOCUMENT }),
    );
    for arn in [own, "arn:aws:iam::aws:policy/AdministratorAccess"] {
        fine(
            call!(world write attach_role_policy AttachRolePolicyInput { role_name: "R", policy_arn: arn }),
        );
    }
    fine(call!(world write put_user_policy PutUserPolicyInput {
        user_name: "alice", policy_name: "i", policy_document: DOCUMENT,
    }));
    let summary = fine(call!(world read get_account_summary GetAccountSummaryInput {}));
    let summary = summary.summary_map.expect("a map");
    for (key, value) in
        [("Users", 1), ("Groups", 1), ("Roles", 1), ("Policies", 1), ("UsersQuota", 5_000)]
    {
        assert_eq!(summary.get(key), Some(&value), "{key}");
    }

    let mut marker = None;
    let mut kinds = Vec::new();
    loop {
        let page = fine(
            call!(world read get_account_authorization_details GetAccountAuthorizationDetailsInput {
                max_items: Some(1), marker: marker.take(),
            }),
        );
        kinds.extend(page.user_detail_list.iter().flatten().map(|own| {
            assert_eq!(own.group_list, Some(vec!["g".to_owned()]));
            assert_eq!(own.user_policy_list.as_ref().map(Vec::len), Some(1));
            own.arn.clone()
        }));
        kinds.extend(page.group_detail_list.iter().flatten().map(|own| own.arn.clone()));
        kinds.extend(page.role_detail_list.iter().flatten().map(|own| {
            assert_eq!(own.attached_managed_policies.as_ref().map(Vec::len), Some(2));
            own.arn.clone()
        }));
        kinds.extend(page.policies.iter().flatten().map(|own| {
            assert_eq!(own.policy_version_list.as_ref().map(Vec::len), Some(1));
            own.arn.clone()
        }));
        if page.is_truncated != Some(true) {
            break;
        }
        marker = page.marker;
    }
    let kinds: Vec<String> = kinds.into_iter().flatten().collect();
    let arn = |rest: &str| format!("arn:aws:iam::111122223333:{rest}");
    assert_eq!(
        kinds,
        [
            arn("user/alice"),
            arn("group/g"),
            arn("role/R"),
            own.to_owned(),
            "arn:aws:iam::aws:policy/AdministratorAccess".to_owned()
        ]
    );
    let some = fine(
        call!(world read get_account_authorization_details GetAccountAuthorizationDetailsInput {
            filter: vec!["LocalManagedPolicy".to_owned()],
        }),
    );
    assert_eq!(some.policies.map(|list| list.len()), Some(1));
    assert_eq!(some.role_detail_list.map(|list| list.len()), Some(0));
}

#[test]
fn groups_are_renamed_with_all_that_is_theirs() {
    let world = World::new();
    fine(call!(world write create_user CreateUserInput { user_name: "alice" }));
    fine(call!(world write create_group CreateGroupInput { group_name: "g" }));
    fine(
        call!(world write add_user_to_group AddUserToGroupInput { group_name: "g", user_name: "alice" }),
    );
    let arn = "arn:aws:iam::aws:policy/AdministratorAccess";
    fine(
        call!(world write attach_group_policy AttachGroupPolicyInput { group_name: "g", policy_arn: arn }),
    );
    fine(call!(world write update_group UpdateGroupInput {
        group_name: "g", new_group_name: "H".to_owned(), new_path: "/x/".to_owned(),
    }));
    let group = fine(call!(world read get_group GetGroupInput { group_name: "h" }));
    assert_eq!(group.group.arn, "arn:aws:iam::111122223333:group/x/H");
    assert_eq!(group.users.len(), 1);
    let of_alice =
        fine(call!(world read list_groups_for_user ListGroupsForUserInput { user_name: "alice" }));
    assert_eq!(of_alice.groups[0].group_name, "H");
    let entities = fine(
        call!(world read list_entities_for_policy ListEntitiesForPolicyInput { policy_arn: arn }),
    );
    let groups = entities.policy_groups.expect("groups");
    assert_eq!(groups[0].group_name.as_deref(), Some("H"));
    refused(
        call!(world read get_group GetGroupInput { group_name: "g" }),
        "NoSuchEntity",
        "The group with name g cannot be found.",
    );
}
