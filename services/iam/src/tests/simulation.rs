//! What policies would say, and who used what.

use super::{DOCUMENT, TRUST, World, call, fine, refused};
use api::KeyUse;
use base::Timestamp;
use directory::record_uses;
use gen_iam::*;

const CONDITIONAL: &str = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\"Effect\": \"Allow\", \"Action\": \"s3:Get*\", \"Resource\": \"*\", \"Condition\": {\"StringEquals\": {\"aws:UserName\": \"alice\"}}},\n    {\"Effect\": \"Deny\", \"Action\": \"s3:GetObjectAcl\", \"Resource\": \"arn:aws:s3:::b/${aws:PrincipalTag/Team}/*\"}\n  ]\n}";

fn entry(name: &str, value: &str) -> ContextEntry {
    ContextEntry {
        context_key_name: Some(name.into()),
        context_key_values: Some(vec![value.into()]),
        context_key_type: Some("string".into()),
    }
}

#[test]
fn documents_alone() {
    let world = World::new();
    let run = |actions: &[&str], entries: Vec<ContextEntry>| {
        call!(world read simulate_custom_policy SimulateCustomPolicyInput {
            policy_input_list: vec![CONDITIONAL.to_owned()],
            action_names: actions.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>(),
            resource_arns: vec!["arn:aws:s3:::b/red/k".to_owned()],
            context_entries: entries,
        })
    };
    let results = fine(run(&["s3:GetObject", "s3:PutObject"], Vec::new()));
    let results = results.evaluation_results.expect("results");
    let decisions: Vec<&str> = results.iter().map(|own| &*own.eval_decision).collect();
    assert_eq!(decisions, ["implicitDeny", "implicitDeny"]);
    assert_eq!(
        results[0].missing_context_values.as_deref(),
        Some(&["aws:PrincipalTag/Team".to_owned(), "aws:UserName".to_owned()][..])
    );
    let given = vec![entry("aws:username", "alice"), entry("aws:PrincipalTag/team", "red")];
    let results = fine(run(&["s3:GetObject", "s3:GetObjectAcl"], given)).evaluation_results;
    let results = results.expect("results");
    assert_eq!(results[0].eval_decision, "allowed");
    let matched = &results[0].matched_statements.as_ref().expect("statements")[0];
    assert_eq!(matched.source_policy_id.as_deref(), Some("PolicyInputList.1"));
    let start = matched.start_position.as_ref().expect("a position");
    assert_eq!((start.line, start.column), (Some(4), Some(5)));
    assert_eq!(results[1].eval_decision, "explicitDeny");
    assert_eq!(results[1].matched_statements.as_ref().map(Vec::len), Some(1));
    refused(run(&["nonsense"], Vec::new()), "ValidationError", "Invalid Action Name: nonsense");
    let keys = fine(
        call!(world read get_context_keys_for_custom_policy GetContextKeysForCustomPolicyInput {
            policy_input_list: vec![CONDITIONAL.to_owned()],
        }),
    );
    assert_eq!(
        keys.context_key_names,
        Some(vec!["aws:PrincipalTag/Team".to_owned(), "aws:UserName".to_owned()])
    );
}

#[test]
fn principals() {
    let world = World::new();
    let boundary = "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess";
    fine(call!(world write create_user CreateUserInput {
        user_name: "alice", permissions_boundary: boundary.to_owned(),
    }));
    fine(call!(world write create_group CreateGroupInput { group_name: "g" }));
    fine(
        call!(world write add_user_to_group AddUserToGroupInput { group_name: "g", user_name: "alice" }),
    );
    fine(call!(world write put_group_policy PutGroupPolicyInput {
        group_name: "g", policy_name: "p", policy_document: DOCUMENT,
    }));
    let arn = "arn:aws:iam::111122223333:user/alice";
    let run = |arn: &str| {
        call!(world read simulate_principal_policy SimulatePrincipalPolicyInput {
            policy_source_arn: arn,
            action_names: vec!["s3:GetObject".to_owned(), "s3:PutObject".to_owned()],
        })
    };
    let results = fine(run(arn)).evaluation_results.expect("results");
    let decisions: Vec<_> = results
        .iter()
        .map(|own| {
            let boundary = own.permissions_boundary_decision_detail.as_ref();
            (&*own.eval_decision, boundary.and_then(|b| b.allowed_by_permissions_boundary))
        })
        .collect();
    assert_eq!(decisions, [("allowed", Some(true)), ("implicitDeny", Some(false))]);
    let matched = &results[0].matched_statements.as_ref().expect("statements")[0];
    assert_eq!(matched.source_policy_id.as_deref(), Some("group_g_p"));
    refused(
        run("arn:aws:iam::111122223333:user/ghost"),
        "NoSuchEntity",
        "The entity with arn arn:aws:iam::111122223333:user/ghost cannot be found.",
    );
    refused(
        run("arn:aws:s3:::bucket/key"),
        "ValidationError",
        "Invalid Entity Arn: arn:aws:s3:::bucket/key",
    );

    let granting = fine(
        call!(world read list_policies_granting_service_access ListPoliciesGrantingServiceAccessInput {
            arn: arn, service_namespaces: vec!["s3".to_owned(), "sqs".to_owned()],
        }),
    );
    let counts: Vec<usize> = granting
        .policies_granting_service_access
        .iter()
        .map(|own| own.policies.as_ref().map_or(0, Vec::len))
        .collect();
    assert_eq!(counts, [1, 0]);
}

#[test]
fn last_uses() {
    let world = World::new();
    let made = fine(call!(world write create_role CreateRoleInput {
        role_name: "R", assume_role_policy_document: TRUST,
    }));
    fine(call!(world write put_role_policy PutRolePolicyInput {
        role_name: "R", policy_name: "p", policy_document: DOCUMENT,
    }));
    fine(call!(world write create_user CreateUserInput { user_name: "alice" }));
    let key = fine(
        call!(world write create_access_key CreateAccessKeyInput { user_name: "alice".to_owned() }),
    );
    let key = key.access_key.access_key_id;
    let at = Timestamp::from_secs(1_699_999_980);
    let used = |entity_id: &str, access_key_id: &str| KeyUse {
        at,
        account: world.account,
        access_key_id: access_key_id.into(),
        entity_id: entity_id.into(),
        service: "s3".into(),
        region: "eu-west-1".into(),
    };
    // A session's key would do as well; what counts is that the key is there.
    let uses = [used(&made.role.role_id, &key), used("AIDA1", "AKIAGONE")];
    fine(world.write("CreateUser", |_, tx, _| record_uses(tx, &uses)));
    let role = fine(call!(world read get_role GetRoleInput { role_name: "R" })).role;
    let last = role.role_last_used.expect("a use");
    assert_eq!((last.last_used_date, last.region.as_deref()), (Some(at), Some("eu-west-1")));
    let last = fine(
        call!(world read get_access_key_last_used GetAccessKeyLastUsedInput { access_key_id: key }),
    );
    let last = last.access_key_last_used.expect("a use");
    assert_eq!((last.last_used_date, &*last.service_name), (Some(at), "s3"));

    let arn = "arn:aws:iam::111122223333:role/R";
    let job = fine(
        call!(world write generate_service_last_accessed_details GenerateServiceLastAccessedDetailsInput { arn: arn }),
    );
    let job = job.job_id.expect("a job");
    let details = fine(
        call!(world read get_service_last_accessed_details GetServiceLastAccessedDetailsInput { job_id: job.clone() }),
    );
    assert_eq!(details.job_status, "COMPLETED");
    let [s3] = &details.services_last_accessed[..] else { panic!("one service: {details:?}") };
    assert_eq!((&*s3.service_namespace, s3.last_authenticated), ("s3", Some(at)));
    let who = fine(
        call!(world read get_service_last_accessed_details_with_entities GetServiceLastAccessedDetailsWithEntitiesInput {
            job_id: job, service_namespace: "s3",
        }),
    );
    assert_eq!(who.entity_details_list[0].entity_info.arn, arn);
    refused(
        call!(world read get_service_last_accessed_details GetServiceLastAccessedDetailsInput { job_id: "x".repeat(36) }),
        "NoSuchEntity",
        &format!("Job id {} does not exist.", "x".repeat(36)),
    );
}
