//! Managed policies and their versions.

use super::{DOCUMENT, World, call, fine, refused};

const ARN: &str = "arn:aws:iam::111122223333:policy/x/P";
const AWS: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

fn with_policy() -> World {
    let world = World::new();
    fine(call!(world write create_policy CreatePolicyInput {
        policy_name: "P", path: "/x/".to_owned(), policy_document: DOCUMENT, description: "d".to_owned(),
    }));
    world
}

#[test]
fn policies_of_the_account() {
    let world = with_policy();
    let policy =
        fine(call!(world read get_policy GetPolicyInput { policy_arn: ARN })).policy.expect("it");
    assert_eq!(policy.default_version_id.as_deref(), Some("v1"));
    assert_eq!((policy.attachment_count, policy.description.as_deref()), (Some(0), Some("d")));
    assert!(policy.policy_id.is_some_and(|id| id.starts_with("ANPA")));
    refused(
        call!(world write create_policy CreatePolicyInput { policy_name: "p", policy_document: DOCUMENT }),
        "EntityAlreadyExists",
        "A policy called p already exists. Duplicate names are not allowed.",
    );
    refused(
        call!(world write create_policy CreatePolicyInput { policy_name: "q", policy_document: DOCUMENT.replace("2012", "2008") }),
        "MalformedPolicyDocument",
        "Policy document must be version 2012-10-17 or greater.",
    );
    let big = DOCUMENT.replace("s3:*", &format!("s3:{}", "x".repeat(6_144)));
    refused(
        call!(world write create_policy CreatePolicyInput { policy_name: "q", policy_document: big }),
        "LimitExceeded",
        "Cannot exceed quota for PolicySize: 6144",
    );
    for arn in ["arn:aws:iam::111122223333:policy/P", "arn:aws:iam::444455556666:policy/x/P"] {
        let missing = format!("Policy {arn} was not found.");
        refused(
            call!(world read get_policy GetPolicyInput { policy_arn: arn }),
            "NoSuchEntity",
            &missing,
        );
    }
    refused(
        call!(world read get_policy GetPolicyInput { policy_arn: "x" }),
        "InvalidInput",
        "ARN x is not valid.",
    );
}

#[test]
fn versions() {
    let world = with_policy();
    let add = |default: bool| {
        call!(world write create_policy_version CreatePolicyVersionInput {
            policy_arn: ARN, policy_document: DOCUMENT.replace("s3", "sqs"), set_as_default: Some(default),
        })
    };
    let made = fine(add(false)).policy_version.expect("it");
    assert_eq!((made.version_id.as_deref(), made.is_default_version), (Some("v2"), Some(false)));
    (0..3).for_each(|_| drop(fine(add(true))));
    refused(
        add(false),
        "LimitExceeded",
        "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.",
    );
    let delete = |version: &str| call!(world write delete_policy_version DeletePolicyVersionInput { policy_arn: ARN, version_id: version });
    refused(delete("v5"), "DeleteConflict", "Cannot delete the default version of a policy.");
    fine(delete("v1"));
    refused(
        delete("v1"),
        "NoSuchEntity",
        &format!("Policy {ARN} version v1 does not exist or is not attachable."),
    );
    fine(
        call!(world write set_default_policy_version SetDefaultPolicyVersionInput { policy_arn: ARN, version_id: "v2" }),
    );
    let list =
        fine(call!(world read list_policy_versions ListPolicyVersionsInput { policy_arn: ARN }));
    let shown: Vec<(String, bool)> = list
        .versions
        .unwrap_or_default()
        .into_iter()
        .map(|v| (v.version_id.unwrap_or_default(), v.is_default_version == Some(true)))
        .collect();
    let expected = [("v5", false), ("v4", false), ("v3", false), ("v2", true)];
    assert_eq!(shown, expected.map(|(id, default)| (id.to_owned(), default)));
    let found = fine(
        call!(world read get_policy_version GetPolicyVersionInput { policy_arn: ARN, version_id: "v2" }),
    );
    let document = found.policy_version.and_then(|version| version.document);
    assert_eq!(document, Some(base::percent::encode(DOCUMENT.replace("s3", "sqs").as_bytes())));
    let gone = || call!(world write delete_policy DeletePolicyInput { policy_arn: ARN });
    refused(
        gone(),
        "DeleteConflict",
        "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.",
    );
    for version in ["v3", "v4", "v5"] {
        fine(delete(version));
    }
    fine(call!(world write create_group CreateGroupInput { group_name: "g" }));
    fine(
        call!(world write attach_group_policy AttachGroupPolicyInput { group_name: "g", policy_arn: ARN }),
    );
    refused(gone(), "DeleteConflict", "Cannot delete a policy attached to entities.");
    fine(
        call!(world write detach_group_policy DetachGroupPolicyInput { group_name: "g", policy_arn: ARN }),
    );
    fine(gone());
    // A new one of that name starts at v1 again.
    fine(
        call!(world write create_policy CreatePolicyInput { policy_name: "P", policy_document: DOCUMENT }),
    );
}

#[test]
fn policies_of_aws() {
    let world = with_policy();
    let policy =
        fine(call!(world read get_policy GetPolicyInput { policy_arn: AWS })).policy.expect("it");
    assert_eq!(policy.policy_name.as_deref(), Some("AdministratorAccess"));
    let version = fine(
        call!(world read get_policy_version GetPolicyVersionInput { policy_arn: AWS, version_id: "v1" }),
    );
    let document = version.policy_version.and_then(|version| version.document).expect("a document");
    assert!(document.starts_with("%7B%22"), "{document}");
    let text = format!("The policy {AWS} belongs to AWS and cannot be changed.");
    refused(
        call!(world write delete_policy DeletePolicyInput { policy_arn: AWS }),
        "AccessDenied",
        &text,
    );
    refused(
        call!(world write create_policy_version CreatePolicyVersionInput { policy_arn: AWS, policy_document: DOCUMENT }),
        "AccessDenied",
        &text,
    );
}

#[test]
fn lists() {
    let world = with_policy();
    let names = |scope: &str, only_attached: bool, prefix: &str, max: i32| {
        let (mut names, mut marker) = (Vec::new(), None);
        loop {
            let page = fine(call!(world read list_policies ListPoliciesInput {
                scope: scope.to_owned(), only_attached: Some(only_attached), path_prefix: prefix.to_owned(),
                max_items: Some(max), marker: marker,
            }));
            let found = page.policies.unwrap_or_default();
            names.extend(found.into_iter().filter_map(|policy| policy.policy_name));
            marker = page.marker;
            if marker.is_none() {
                return names;
            }
        }
    };
    assert_eq!(names("Local", false, "/", 100), ["P"]);
    let all = names("All", false, "/", 7);
    assert_eq!(all.len(), directory::MANAGED.len() + 1);
    assert_eq!(names("AWS", false, "/", 1_000).len(), directory::MANAGED.len());
    assert!(names("AWS", false, "/service-role/", 1_000).len() > 10);
    assert!(names("All", true, "/", 100).is_empty());
    fine(call!(world write create_group CreateGroupInput { group_name: "g" }));
    for arn in [AWS, ARN] {
        fine(
            call!(world write attach_group_policy AttachGroupPolicyInput { group_name: "g", policy_arn: arn }),
        );
    }
    assert_eq!(names("All", true, "/", 100), ["AdministratorAccess", "P"]);
    let uses = fine(
        call!(world read list_entities_for_policy ListEntitiesForPolicyInput { policy_arn: ARN }),
    );
    assert_eq!(uses.policy_groups.map(|groups| groups.len()), Some(1));
    let uses = fine(call!(world read list_entities_for_policy ListEntitiesForPolicyInput {
        policy_arn: ARN, entity_filter: "Role".to_owned(),
    }));
    assert_eq!(uses.policy_groups.map(|groups| groups.len()), Some(0));
}
