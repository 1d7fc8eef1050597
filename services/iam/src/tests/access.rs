//! What operations ask for, and what the store adds to it.

use super::{TRUST, World, call, fine};
use api::{Ask, Hooks, Service};
use gen_iam::{Handler, MODEL, Tag};

#[test]
fn every_operation_asks_for_its_own_action() {
    let world = World::new();
    let handler = Handler(world.iam);
    let mut served = 0;
    for operation in MODEL.operations {
        let Some(rules) = &operation.served else { continue };
        let cx = world.cx(operation.name);
        let input = (rules.new_input)();
        let asks = fine(handler.authorize(operation.index, &cx, &*input));
        assert_eq!(asks[0].action, format!("iam:{}", operation.name));
        served += 1;
    }
    assert_eq!(served, 157);
}

#[test]
fn the_store_knows_paths_tags_and_boundaries() {
    let world = World::new();
    let tags = vec![Tag { key: "Team".into(), value: "red".into() }];
    let boundary = "arn:aws:iam::aws:policy/PowerUserAccess";
    fine(call!(world write create_user CreateUserInput {
        user_name: "alice", path: "/eng/".to_owned(), tags: tags, permissions_boundary: boundary.to_owned(),
    }));
    fine(call!(world write create_role CreateRoleInput {
        role_name: "R", path: "/p/".to_owned(), assume_role_policy_document: TRUST,
    }));
    let check = |operation: &str, ask: Ask, resource: Option<&str>, keys: &[(&str, &str)]| {
        let grants = fine(world.read(operation, |iam, tx, cx| iam.grants(tx, cx, &ask)));
        assert_eq!(grants.resource.as_deref(), resource, "{operation}");
        let mut found: Vec<(&str, &str)> =
            grants.context.iter().map(|(key, values)| (&**key, values[0].as_str())).collect();
        found.sort_unstable();
        assert_eq!(found, keys, "{operation}");
    };
    let of_user = [
        ("aws:resourcetag/team", "red"),
        ("iam:permissionsboundary", boundary),
        ("iam:resourcetag/team", "red"),
    ];
    let arn = |rest: &str| format!("arn:aws:iam::111122223333:{rest}");
    let user_arn = arn("user/eng/alice");
    check("GetUser", Ask::new("iam:GetUser", arn("user/ALICE")), Some(&user_arn), &of_user);
    check("CreateUser", Ask::new("iam:CreateUser", arn("user/alice")), None, &[]);
    check("GetUser", Ask::new("iam:GetUser", arn("user/bob")), None, &[]);
    let new = Ask::new("iam:PutUserPermissionsBoundary", arn("user/alice"))
        .key("iam:permissionsboundary", Some("arn:new"));
    let without = [of_user[0], of_user[2]];
    check("PutUserPermissionsBoundary", new, Some(&user_arn), &without);
    let pass = Ask::new("iam:PassRole", arn("role/r"));
    check("AddRoleToInstanceProfile", pass, Some(&arn("role/p/R")), &[]);
    let aws = Ask::new("iam:GetPolicy", "arn:aws:iam::aws:policy/AdministratorAccess");
    check("GetPolicy", aws, None, &[]);
    check("ListPolicies", Ask::new("iam:ListPolicies", "policy path /"), None, &[]);
}

#[test]
fn requests_bring_condition_keys() {
    let world = World::new().for_user("alice");
    let handler = Handler(world.iam);
    let asks = |name: &str, input: &dyn smithy::Struct| {
        let cx = world.cx(name);
        fine(handler.authorize(cx.operation.index, &cx, input))
    };
    let tags = vec![Tag { key: "Team".into(), value: "red".into() }];
    let input = gen_iam::CreateRoleInput {
        role_name: "R".into(),
        path: Some("/p/".into()),
        permissions_boundary: Some("arn:b".into()),
        tags: Some(tags),
        ..Default::default()
    };
    let found = &asks("CreateRole", &input)[0];
    assert_eq!(found.resource, "arn:aws:iam::111122223333:role/p/R");
    let keys: Vec<&str> = found.context.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["iam:permissionsboundary", "aws:requesttag/team", "aws:tagkeys"]);

    let input =
        gen_iam::AttachUserPolicyInput { user_name: "bob".into(), policy_arn: "arn:p".into() };
    let found = &asks("AttachUserPolicy", &input)[0];
    assert_eq!(found.context, [("iam:policyarn".into(), vec!["arn:p".to_owned()])]);

    let found = &asks("GetUser", &gen_iam::GetUserInput::default())[0];
    assert_eq!(found.resource, "arn:aws:iam::111122223333:user/alice");

    let input = gen_iam::AddRoleToInstanceProfileInput {
        instance_profile_name: "P".into(),
        role_name: "R".into(),
    };
    let found = asks("AddRoleToInstanceProfile", &input);
    assert_eq!(
        (&*found[1].action, &*found[1].resource),
        ("iam:PassRole", "arn:aws:iam::111122223333:role/R")
    );
}
