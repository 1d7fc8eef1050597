//! Users, their keys, tags and inline policies.

use super::{DOCUMENT, World, call, fine, refused};
use api::Identities;
use directory::Directory;
use gen_iam::{IAMApi, Tag};

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

#[test]
fn a_user_from_birth_to_death() {
    let world = World::new();
    let made = fine(
        call!(world write create_user CreateUserInput { user_name: "Alice", path: "/eng/".to_owned() }),
    );
    let user = made.user.expect("the user");
    assert_eq!(user.arn, "arn:aws:iam::111122223333:user/eng/Alice");
    assert!(user.user_id.starts_with("AIDA") && user.user_id.len() == 21);
    assert_eq!(user.create_date.to_secs(), 1_700_000_000);
    refused(
        call!(world write create_user CreateUserInput { user_name: "ALICE" }),
        "EntityAlreadyExists",
        "User with name ALICE already exists.",
    );
    let found = fine(call!(world read get_user GetUserInput { user_name: "alice".to_owned() }));
    assert_eq!((found.user.user_name.as_str(), &found.user.user_id), ("Alice", &user.user_id));

    fine(call!(world write create_group CreateGroupInput { group_name: "staff" }));
    fine(
        call!(world write add_user_to_group AddUserToGroupInput { group_name: "staff", user_name: "Alice" }),
    );
    let key = fine(
        call!(world write create_access_key CreateAccessKeyInput { user_name: "Alice".to_owned() }),
    );
    fine(call!(world write put_user_policy PutUserPolicyInput {
        user_name: "alice", policy_name: "own", policy_document: DOCUMENT,
    }));
    let managed = "arn:aws:iam::aws:policy/AmazonS3FullAccess";
    fine(
        call!(world write attach_user_policy AttachUserPolicyInput { user_name: "alice", policy_arn: managed }),
    );

    fine(call!(world write update_user UpdateUserInput {
        user_name: "alice", new_user_name: "Bob".to_owned(), new_path: "/".to_owned(),
    }));
    refused(
        call!(world read get_user GetUserInput { user_name: "alice".to_owned() }),
        "NoSuchEntity",
        "The user with name alice cannot be found.",
    );
    let group = fine(call!(world read get_group GetGroupInput { group_name: "staff" }));
    assert_eq!(group.users[0].arn, "arn:aws:iam::111122223333:user/Bob");
    let uses = fine(
        call!(world read list_entities_for_policy ListEntitiesForPolicyInput { policy_arn: managed }),
    );
    let users = uses.policy_users.expect("a list");
    assert_eq!(users[0].user_name.as_deref(), Some("Bob"));
    assert_eq!(users.len(), 1);

    let delete = || call!(world write delete_user DeleteUserInput { user_name: "Bob" });
    refused(
        delete(),
        "DeleteConflict",
        "Cannot delete entity, must remove users from group first.",
    );
    fine(
        call!(world write remove_user_from_group RemoveUserFromGroupInput { group_name: "staff", user_name: "bob" }),
    );
    refused(delete(), "DeleteConflict", "Cannot delete entity, must delete access keys first.");
    let id = key.access_key.access_key_id;
    fine(
        call!(world write delete_access_key DeleteAccessKeyInput { user_name: "bob".to_owned(), access_key_id: id }),
    );
    refused(delete(), "DeleteConflict", "Cannot delete entity, must detach all policies first.");
    fine(
        call!(world write detach_user_policy DetachUserPolicyInput { user_name: "bob", policy_arn: managed }),
    );
    refused(delete(), "DeleteConflict", "Cannot delete entity, must delete policies first.");
    fine(
        call!(world write delete_user_policy DeleteUserPolicyInput { user_name: "bob", policy_name: "own" }),
    );
    fine(delete());
    refused(delete(), "NoSuchEntity", "The user with name Bob cannot be found.");
}

#[test]
fn the_caller_may_be_left_out() {
    let world = World::new();
    let root = fine(call!(world read get_user GetUserInput {})).user;
    assert_eq!(
        (root.arn.as_str(), root.user_id.as_str()),
        ("arn:aws:iam::111122223333:root", "111122223333")
    );
    let world = World::new().for_user("carol");
    fine(call!(world write create_user CreateUserInput { user_name: "carol" }));
    assert_eq!(fine(call!(world read get_user GetUserInput {})).user.user_name, "carol");
    let key = fine(call!(world write create_access_key CreateAccessKeyInput {})).access_key;
    assert_eq!((key.user_name.as_str(), key.status.as_str()), ("carol", "Active"));
    assert!(key.access_key_id.starts_with("AKIA") && key.secret_access_key.len() == 40);
}

#[test]
fn access_keys() {
    let world = World::new();
    for name in ["alice", "bob"] {
        fine(call!(world write create_user CreateUserInput { user_name: name }));
    }
    let make = |user: &str| call!(world write create_access_key CreateAccessKeyInput { user_name: user.to_owned() });
    let id = fine(make("alice")).access_key.access_key_id;
    fine(make("alice"));
    refused(make("alice"), "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2");
    refused(make("nobody"), "NoSuchEntity", "The user with name nobody cannot be found.");
    fine(call!(world write update_access_key UpdateAccessKeyInput {
        user_name: "alice".to_owned(), access_key_id: id.as_str(), status: "Inactive",
    }));
    let keys = fine(
        call!(world read list_access_keys ListAccessKeysInput { user_name: "alice".to_owned() }),
    );
    let status = |at: usize| keys.access_key_metadata[at].status.as_deref();
    let inactive =
        keys.access_key_metadata.iter().position(|key| key.access_key_id.as_ref() == Some(&id));
    assert_eq!(inactive.and_then(status), Some("Inactive"));
    let missing = format!("The Access Key with id {id} cannot be found.");
    refused(
        call!(world write delete_access_key DeleteAccessKeyInput { user_name: "bob".to_owned(), access_key_id: id.as_str() }),
        "NoSuchEntity",
        &missing,
    );
    let used = fine(
        call!(world read get_access_key_last_used GetAccessKeyLastUsedInput { access_key_id: id.as_str() }),
    );
    assert_eq!(used.user_name.as_deref(), Some("alice"));
    assert_eq!(used.access_key_last_used.map(|used| used.service_name).as_deref(), Some("N/A"));
}

#[test]
fn tags() {
    let world = World::new();
    let duplicate = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
    refused(
        call!(world write create_user CreateUserInput { user_name: "a", tags: vec![tag("x", "1"), tag("X", "2")] }),
        "InvalidInput",
        duplicate,
    );
    fine(
        call!(world write create_user CreateUserInput { user_name: "a", tags: vec![tag("x", "1")] }),
    );
    fine(
        call!(world write tag_user TagUserInput { user_name: "a", tags: vec![tag("X", "2"), tag("b", "")] }),
    );
    let tags = |world: &World| {
        let found = fine(call!(world read list_user_tags ListUserTagsInput { user_name: "a" }));
        found.tags.into_iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect::<Vec<_>>()
    };
    assert_eq!(tags(&world), ["b=", "X=2"]);
    fine(
        call!(world write untag_user UntagUserInput { user_name: "a", tag_keys: vec!["B".to_owned()] }),
    );
    assert_eq!(tags(&world), ["X=2"]);
    let many: Vec<Tag> = (0..50).map(|n| tag(&format!("k{n}"), "")).collect();
    refused(
        call!(world write tag_user TagUserInput { user_name: "a", tags: many }),
        "LimitExceeded",
        "The number of tags has reached the maximum limit.",
    );
    refused(
        call!(world write tag_user TagUserInput { user_name: "a", tags: vec![tag("aws:x", "")] }),
        "InvalidInput",
        "System tags cannot be added/updated by requester",
    );
}

#[test]
fn inline_policies() {
    let world = World::new();
    fine(call!(world write create_user CreateUserInput { user_name: "a" }));
    let put = |name: &str, document: &str| {
        call!(world write put_user_policy PutUserPolicyInput {
            user_name: "a", policy_name: name, policy_document: document,
        })
    };
    refused(put("p", "{}"), "MalformedPolicyDocument", "Syntax errors in policy.");
    fine(put("p", DOCUMENT));
    let found = fine(
        call!(world read get_user_policy GetUserPolicyInput { user_name: "a", policy_name: "p" }),
    );
    assert_eq!(found.policy_document, base::percent::encode(DOCUMENT.as_bytes()));
    refused(
        call!(world read get_user_policy GetUserPolicyInput { user_name: "a", policy_name: "q" }),
        "NoSuchEntity",
        "The user policy with name q cannot be found.",
    );
    let big = DOCUMENT.replace("s3:*", &format!("s3:{}", "x".repeat(1_950)));
    refused(
        put("big", &big),
        "LimitExceeded",
        "Maximum policy size of 2048 bytes exceeded for user a",
    );
    fine(put("p", &DOCUMENT.replace("s3", "sqs")));
    fine(put("q", DOCUMENT));
    let names = fine(call!(world read list_user_policies ListUserPoliciesInput { user_name: "a" }));
    assert_eq!(names.policy_names, ["p", "q"]);
}

#[test]
fn listings_come_in_pages() {
    let world = World::new();
    for n in 0..25 {
        let path = if n % 2 == 0 { "/even/" } else { "/odd/" };
        fine(
            call!(world write create_user CreateUserInput { user_name: format!("u{n:02}"), path: path.to_owned() }),
        );
    }
    let (mut seen, mut marker) = (Vec::new(), None);
    loop {
        let page = fine(call!(world read list_users ListUsersInput {
            path_prefix: "/even/".to_owned(), max_items: Some(5), marker: marker.clone(),
        }));
        assert!(page.users.len() <= 5);
        assert_eq!(page.is_truncated, Some(page.marker.is_some()));
        seen.extend(page.users.into_iter().map(|user| user.user_name));
        match page.marker {
            Some(next) => marker = Some(next),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).step_by(2).map(|n| format!("u{n:02}")).collect();
    assert_eq!(seen, expected);
    let marker = marker.expect("there were pages");
    let page = |prefix: &str, marker: String| call!(world read list_users ListUsersInput { path_prefix: prefix.to_owned(), marker: marker });
    assert!(page("/even/", marker.clone()).is_ok());
    refused(page("/odd/", marker.clone()), "ValidationError", "Invalid Marker.");
    refused(page("/even/", marker[1..].to_owned()), "ValidationError", "Invalid Marker.");
    refused(page("/even/", "u12".to_owned()), "ValidationError", "Invalid Marker.");
    let list = world.read("ListGroups", |iam, tx, cx| {
        let input = gen_iam::ListGroupsInput { marker: Some(marker.clone()), ..Default::default() };
        iam.list_groups(tx, cx, &input)
    });
    refused(list, "ValidationError", "Invalid Marker.");
}

/// Root that names nobody means itself: its keys are two at most, and no user's.
#[test]
fn keys_of_root() {
    let world = World::new();
    let create = || call!(world write create_access_key CreateAccessKeyInput {});
    let (first, second) = (fine(create()).access_key, fine(create()).access_key);
    assert_eq!((first.user_name.as_str(), first.status.as_str()), ("", "Active"));
    assert_eq!(create().unwrap_err().code(), "LimitExceeded");
    let list = || {
        let listed = fine(call!(world read list_access_keys ListAccessKeysInput {}));
        let all = listed.access_key_metadata.into_iter();
        all.map(|key| (key.access_key_id.unwrap(), key.status.unwrap())).collect::<Vec<_>>()
    };
    let id = first.access_key_id;
    assert_eq!(list().len(), 2);
    let caller = || {
        let found = world.store.read(|tx| Directory::default().credential(tx, &id));
        found.unwrap().map(|found| found.caller.principal.arn().to_owned())
    };
    assert_eq!(caller().as_deref(), Some("arn:aws:iam::111122223333:root"));
    fine(call!(world write update_access_key UpdateAccessKeyInput {
        access_key_id: id.clone(), status: "Inactive",
    }));
    assert_eq!(caller(), None);
    assert!(list().contains(&(id.clone(), "Inactive".into())));
    let summary = fine(call!(world read get_account_summary GetAccountSummaryInput {}));
    assert_eq!(summary.summary_map.unwrap()["AccountAccessKeysPresent"], 1);
    for id in [&id, &second.access_key_id] {
        fine(
            call!(world write delete_access_key DeleteAccessKeyInput { access_key_id: id.clone() }),
        );
    }
    assert!(list().is_empty());
    let missing = call!(world write delete_access_key DeleteAccessKeyInput { access_key_id: id });
    assert_eq!(missing.unwrap_err().code(), "NoSuchEntity");
}
