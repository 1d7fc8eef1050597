//! Groups and instance profiles.

use super::{DOCUMENT, TRUST, World, call, fine, refused};

#[test]
fn groups() {
    let world = World::new();
    let made = fine(
        call!(world write create_group CreateGroupInput { group_name: "Staff", path: "/x/".to_owned() }),
    );
    assert_eq!(made.group.arn, "arn:aws:iam::111122223333:group/x/Staff");
    assert!(made.group.group_id.starts_with("AGPA"));
    refused(
        call!(world write create_group CreateGroupInput { group_name: "staff" }),
        "EntityAlreadyExists",
        "Group with name staff already exists.",
    );
    for n in 0..3 {
        let name = format!("u{n}");
        fine(call!(world write create_user CreateUserInput { user_name: name.as_str() }));
        fine(
            call!(world write add_user_to_group AddUserToGroupInput { group_name: "staff", user_name: name }),
        );
    }
    let page =
        fine(call!(world read get_group GetGroupInput { group_name: "staff", max_items: Some(2) }));
    assert_eq!(page.users.iter().map(|user| &*user.user_name).collect::<Vec<_>>(), ["u0", "u1"]);
    let rest = fine(
        call!(world read get_group GetGroupInput { group_name: "staff", marker: page.marker }),
    );
    assert_eq!(rest.users.iter().map(|user| &*user.user_name).collect::<Vec<_>>(), ["u2"]);
    let of_user =
        fine(call!(world read list_groups_for_user ListGroupsForUserInput { user_name: "u0" }));
    assert_eq!(of_user.groups[0].group_name, "Staff");

    fine(call!(world write put_group_policy PutGroupPolicyInput {
        group_name: "staff", policy_name: "p", policy_document: DOCUMENT,
    }));
    let delete = || call!(world write delete_group DeleteGroupInput { group_name: "staff" });
    refused(
        delete(),
        "DeleteConflict",
        "Cannot delete entity, must remove users from group first.",
    );
    for n in 0..3 {
        fine(call!(world write remove_user_from_group RemoveUserFromGroupInput {
            group_name: "staff", user_name: format!("u{n}"),
        }));
    }
    refused(delete(), "DeleteConflict", "Cannot delete entity, must delete policies first.");
    fine(
        call!(world write delete_group_policy DeleteGroupPolicyInput { group_name: "staff", policy_name: "p" }),
    );
    fine(delete());
    refused(delete(), "NoSuchEntity", "The group with name staff cannot be found.");
}

#[test]
fn a_user_is_in_ten_groups_at_most() {
    let world = World::new();
    fine(call!(world write create_user CreateUserInput { user_name: "u" }));
    let join = |n: usize| {
        fine(call!(world write create_group CreateGroupInput { group_name: format!("g{n}") }));
        call!(world write add_user_to_group AddUserToGroupInput { group_name: format!("g{n}"), user_name: "u" })
    };
    for n in 0..10 {
        fine(join(n));
    }
    refused(join(10), "LimitExceeded", "Cannot exceed quota for GroupsPerUser: 10");
}

#[test]
fn instance_profiles() {
    let world = World::new();
    let make = || call!(world write create_instance_profile CreateInstanceProfileInput { instance_profile_name: "P" });
    let made = fine(make()).instance_profile;
    assert_eq!(made.arn, "arn:aws:iam::111122223333:instance-profile/P");
    assert!(made.instance_profile_id.starts_with("AIPA") && made.roles.is_empty());
    refused(make(), "EntityAlreadyExists", "Instance Profile P already exists.");
    for name in ["r", "s"] {
        fine(
            call!(world write create_role CreateRoleInput { role_name: name, assume_role_policy_document: TRUST }),
        );
    }
    let add = |role: &str| {
        call!(world write add_role_to_instance_profile AddRoleToInstanceProfileInput {
            instance_profile_name: "P", role_name: role,
        })
    };
    fine(add("r"));
    refused(
        add("s"),
        "LimitExceeded",
        "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
    );
    let found = fine(
        call!(world read get_instance_profile GetInstanceProfileInput { instance_profile_name: "p" }),
    );
    assert_eq!(found.instance_profile.roles[0].role_name, "r");
    let of_role = fine(
        call!(world read list_instance_profiles_for_role ListInstanceProfilesForRoleInput { role_name: "r" }),
    );
    assert_eq!(of_role.instance_profiles[0].instance_profile_name, "P");
    let all = fine(call!(world read list_instance_profiles ListInstanceProfilesInput {}));
    assert_eq!(all.instance_profiles.len(), 1);

    let conflict = "Cannot delete entity, must remove roles from instance profile first.";
    refused(
        call!(world write delete_role DeleteRoleInput { role_name: "r" }),
        "DeleteConflict",
        conflict,
    );
    let delete = || call!(world write delete_instance_profile DeleteInstanceProfileInput { instance_profile_name: "P" });
    refused(delete(), "DeleteConflict", conflict);
    let remove = || {
        call!(world write remove_role_from_instance_profile RemoveRoleFromInstanceProfileInput {
            instance_profile_name: "P", role_name: "r",
        })
    };
    fine(remove());
    refused(remove(), "NoSuchEntity", "The role with name r cannot be found.");
    fine(delete());
    refused(delete(), "NoSuchEntity", "Instance Profile P cannot be found.");
    fine(call!(world write delete_role DeleteRoleInput { role_name: "r" }));
}
