//! Roles: trust, boundaries, attached policies.

use super::{DOCUMENT, TRUST, World, call, fine, refused};

fn trust(principal: &str) -> String {
    TRUST.replace(r#"{"Service":"ec2.amazonaws.com"}"#, principal)
}

#[test]
fn a_role_and_its_trust() {
    let world = World::new();
    let make = |document: &str| {
        call!(world write create_role CreateRoleInput {
            role_name: "R", assume_role_policy_document: document, description: "d".to_owned(),
        })
    };
    refused(make("{"), "MalformedPolicyDocument", "This policy contains invalid Json");
    refused(make(DOCUMENT), "MalformedPolicyDocument", "Missing required field Principal");
    refused(
        make(&trust(r#"{"AWS":"arn:aws:iam::111122223333:user/ghost"}"#)),
        "MalformedPolicyDocument",
        "Invalid principal in policy: \"AWS\":\"arn:aws:iam::111122223333:user/ghost\"",
    );
    let long = trust(&format!(r#"{{"Service":"{}.amazonaws.com"}}"#, "x".repeat(2_000)));
    refused(make(&long), "LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048");
    let role = fine(make(TRUST)).role;
    assert_eq!(role.arn, "arn:aws:iam::111122223333:role/R");
    assert!(role.role_id.starts_with("AROA"));
    assert_eq!(role.max_session_duration, Some(3_600));
    assert_eq!(role.assume_role_policy_document, Some(base::percent::encode(TRUST.as_bytes())));
    refused(make(TRUST), "EntityAlreadyExists", "Role with name R already exists.");

    fine(
        call!(world write create_user CreateUserInput { user_name: "alice", path: "/p/".to_owned() }),
    );
    let update = |principal: &str| {
        call!(world write update_assume_role_policy UpdateAssumeRolePolicyInput {
            role_name: "R", policy_document: trust(principal),
        })
    };
    fine(update(r#"{"AWS":["arn:aws:iam::111122223333:user/p/alice","444455556666"]}"#));
    refused(
        update(r#"{"AWS":"arn:aws:iam::111122223333:user/alice"}"#),
        "MalformedPolicyDocument",
        "Invalid principal in policy: \"AWS\":\"arn:aws:iam::111122223333:user/alice\"",
    );
    fine(
        call!(world write update_role UpdateRoleInput { role_name: "r", max_session_duration: Some(7_200) }),
    );
    let found = fine(call!(world read get_role GetRoleInput { role_name: "r" })).role;
    assert_eq!(
        (found.max_session_duration, found.description.as_deref()),
        (Some(7_200), Some("d"))
    );
    assert_eq!(fine(call!(world read list_roles ListRolesInput {})).roles.len(), 1);
}

#[test]
fn boundaries() {
    let world = World::new();
    let boundary = "arn:aws:iam::aws:policy/PowerUserAccess";
    let missing = "Policy arn:aws:iam::aws:policy/Ghost does not exist or is not attachable.";
    refused(
        call!(world write create_role CreateRoleInput {
            role_name: "R", assume_role_policy_document: TRUST, permissions_boundary: "arn:aws:iam::aws:policy/Ghost".to_owned(),
        }),
        "NoSuchEntity",
        missing,
    );
    fine(call!(world write create_role CreateRoleInput {
        role_name: "R", assume_role_policy_document: TRUST, permissions_boundary: boundary.to_owned(),
    }));
    let shown = |world: &World| {
        let role = fine(call!(world read get_role GetRoleInput { role_name: "R" })).role;
        role.permissions_boundary.and_then(|boundary| boundary.permissions_boundary_arn)
    };
    assert_eq!(shown(&world).as_deref(), Some(boundary));
    let uses = |world: &World| {
        let found =
            fine(call!(world read get_policy GetPolicyInput { policy_arn: boundary })).policy;
        found.and_then(|policy| policy.permissions_boundary_usage_count)
    };
    assert_eq!(uses(&world), Some(1));
    let other = "arn:aws:iam::aws:policy/AdministratorAccess";
    fine(call!(world write put_role_permissions_boundary PutRolePermissionsBoundaryInput {
        role_name: "R", permissions_boundary: other,
    }));
    assert_eq!((shown(&world).as_deref(), uses(&world)), (Some(other), Some(0)));
    let delete = || call!(world write delete_role_permissions_boundary DeleteRolePermissionsBoundaryInput { role_name: "R" });
    fine(delete());
    assert_eq!(shown(&world), None);
    refused(delete(), "NoSuchEntity", "Permissions boundary for role R was not found.");
}

#[test]
fn attached_policies() {
    let world = World::new();
    fine(
        call!(world write create_role CreateRoleInput { role_name: "R", assume_role_policy_document: TRUST }),
    );
    let attach = |arn: &str| call!(world write attach_role_policy AttachRolePolicyInput { role_name: "R", policy_arn: arn });
    let arn = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole";
    fine(attach(arn));
    fine(attach(arn));
    refused(
        attach("arn:aws:iam::111122223333:policy/p"),
        "NoSuchEntity",
        "Policy arn:aws:iam::111122223333:policy/p does not exist or is not attachable.",
    );
    refused(
        attach("arn:aws:s3:::policy/b"),
        "InvalidInput",
        "ARN arn:aws:s3:::policy/b is not valid.",
    );
    for n in 0..9 {
        fine(
            call!(world write create_policy CreatePolicyInput { policy_name: format!("p{n}"), policy_document: DOCUMENT }),
        );
        fine(attach(&format!("arn:aws:iam::111122223333:policy/p{n}")));
    }
    refused(
        attach("arn:aws:iam::aws:policy/AdministratorAccess"),
        "LimitExceeded",
        "Cannot exceed quota for PoliciesPerRole: 10",
    );
    let list = fine(call!(world read list_attached_role_policies ListAttachedRolePoliciesInput {
        role_name: "R", path_prefix: "/service-role/".to_owned(),
    }));
    let found = list.attached_policies.expect("a list");
    assert_eq!(found[0].policy_name.as_deref(), Some("AWSLambdaBasicExecutionRole"));
    assert_eq!(found.len(), 1);
    let detach = || call!(world write detach_role_policy DetachRolePolicyInput { role_name: "R", policy_arn: arn });
    fine(detach());
    refused(detach(), "NoSuchEntity", &format!("Policy {arn} was not found."));
    let delete = || call!(world write delete_role DeleteRoleInput { role_name: "R" });
    refused(delete(), "DeleteConflict", "Cannot delete entity, must detach all policies first.");
}
