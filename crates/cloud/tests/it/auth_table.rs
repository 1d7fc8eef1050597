//! What every operation asks for, held against AWS's Service Authorization Reference: the action must be
//! one that AWS knows, and the resource of a type that the action takes there.

use crate::permissions::fill;
use crate::world::{ask, query, services, world};
use smithy::Document;
use smithy::model::Operation;
use std::collections::BTreeMap;

pub const TABLES: [(&str, &str); 4] = [
    ("iam", include_str!("../../../../models/iam.auth.json")),
    ("s3", include_str!("../../../../models/s3.auth.json")),
    ("s3control", include_str!("../../../../models/s3.auth.json")),
    ("sts", include_str!("../../../../models/sts.auth.json")),
];

/// Operations that ask something else than the table has, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    (
        "ListBuckets",
        "the user guide's policies allow ListAllMyBuckets on arn:aws:s3:::*, which matches",
    ),
    ("ListGroups", LISTS),
    ("ListInstanceProfiles", LISTS),
    ("ListPolicies", LISTS),
    ("ListRoles", LISTS),
    ("ListUsers", LISTS),
];
const LISTS: &str = "AWS's refusal names the path that is listed, though no policy can name it";

pub fn map(document: &Document) -> &BTreeMap<String, Document> {
    match document {
        Document::Map(map) => map,
        other => panic!("a map: {other:?}"),
    }
}

pub fn texts(document: Option<&Document>) -> Vec<String> {
    let text = |one: &Document| match one {
        Document::String(text) => text.clone(),
        other => panic!("a text: {other:?}"),
    };
    match document {
        Some(Document::List(list)) => list.iter().map(text).collect(),
        Some(one) => vec![text(one)],
        None => Vec::new(),
    }
}

/// An ARN of the table as a pattern: each `${…}` is any text.
fn fits(template: &str, arn: &str) -> bool {
    let mut rest = arn;
    let mut pieces = template.split("${").enumerate();
    pieces.all(|(index, piece)| {
        let literal = if index == 0 { piece } else { piece.split_once('}').map_or("", |p| p.1) };
        if index == 0 {
            return rest.strip_prefix(literal).map(|after| rest = after).is_some();
        }
        match literal.is_empty() {
            true => true,
            false => match rest.find(literal) {
                Some(at) => {
                    rest = &rest[at + literal.len()..];
                    true
                }
                None => false,
            },
        }
    })
}

/// `None` if the question is one of the table's.
fn fault(table: &Document, action: &str, resource: &str) -> Option<String> {
    let name = action.split_once(':').map_or("", |(_, name)| name);
    let Some(row) = map(&map(table)["actions"]).get(name) else {
        return Some(format!("{action} is no action"));
    };
    let types = texts(map(row).get("resources"));
    if types.is_empty() {
        return (resource != "*").then(|| format!("{action} has no resource, not {resource}"));
    }
    let known = map(&map(table)["resources"]);
    let good = types.iter().any(|own| {
        let own = own.trim_end_matches('*');
        texts(known.get(own)).iter().any(|template| fits(template, resource))
    });
    (!good).then(|| format!("{action} takes {}, not {resource}", types.join(", ")))
}

#[test]
fn operations_ask_what_aws_asks() {
    let world = world();
    let (id, _) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "PUT", "/photos/abc").body(b"x"), 200, "");
    let mut wrong = Vec::new();
    let mut asked = 0;
    for service in services() {
        let model = service.model();
        let Some((_, text)) = TABLES.iter().find(|(name, _)| *name == model.name) else { continue };
        let table = smithy::json::parse_document(text.as_bytes()).expect("a table");
        for operation in model.operations {
            let Operation { name, served: Some(served), .. } = operation else { continue };
            let mut input = (served.new_input)();
            fill(&mut *input);
            let Err(error) = world.gateway.rehearse(&id, model.name, name, &*input) else {
                continue;
            };
            let message = error.message();
            let Some((_, rest)) = message.split_once("is not authorized to perform: ") else {
                continue;
            };
            let (action, rest) = rest.split_once(" on resource: ").expect("a resource");
            let resource = rest.split(" because ").next().expect("a resource").trim_matches('"');
            asked += 1;
            let excepted = EXCEPTIONS.iter().any(|(own, _)| own == name);
            match fault(&table, action, resource) {
                Some(fault) if !excepted => wrong.push(format!("{}:{name}: {fault}", model.name)),
                None if excepted => wrong.push(format!("{name} is an exception no more")),
                _ => {}
            }
        }
    }
    assert!(asked > 200, "only {asked} operations were asked");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}

/// What asks for actions that others depend on, and by which operation.
const DEPENDENT: [(&str, &str, &str); 2] = [
    ("iam", "AddRoleToInstanceProfile", "iam:AddRoleToInstanceProfile"),
    ("s3", "PutBucketReplication", "s3:PutReplicationConfiguration"),
];
/// Actions with others that depend on them, of operations that are not here.
const NOT_HERE: [&str; 3] =
    ["s3:CreateAccessGrantsLocation", "s3:CreateJob", "s3:UpdateAccessGrantsLocation"];

#[test]
fn what_an_action_depends_on_is_asked_too() {
    let world = world();
    let (id, _) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    let mut cases = Vec::new();
    for (service, text) in [TABLES[0], TABLES[1], TABLES[3]] {
        let table = smithy::json::parse_document(text.as_bytes()).expect("a table");
        for (name, row) in map(&map(&table)["actions"]) {
            for dependent in texts(map(row).get("dependent")) {
                cases.push((format!("{service}:{name}"), dependent));
            }
        }
    }
    cases.retain(|(action, _)| !NOT_HERE.contains(&action.as_str()));
    assert_eq!(cases.len(), DEPENDENT.len(), "{cases:?}");
    for (action, dependent) in cases {
        let known = DEPENDENT.iter().find(|(.., own)| *own == action);
        let (service, name, _) = known.unwrap_or_else(|| panic!("{action} is asked for nowhere"));
        let model = services().into_iter().map(|own| own.model()).find(|own| own.name == *service);
        let operation = model.and_then(|own| own.operation(name)).expect("an operation");
        let mut input = (operation.served.as_ref().expect("served").new_input)();
        fill(&mut *input);
        let refusal = |denied: &str| {
            let policy = format!(
                r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"*","Resource":"*"}},{{"Effect":"Deny","Action":"{denied}","Resource":"*"}}]}}"#
            );
            let policy = base::percent::encode(policy.as_bytes());
            let form = format!(
                "Action=PutUserPolicy&Version=2010-05-08&UserName=ann&PolicyName=p&PolicyDocument={policy}"
            );
            world.check(query("iam", &form), 200, "");
            let error = world.gateway.rehearse(&id, service, name, &*input).expect_err("a refusal");
            error.message().to_owned()
        };
        for denied in [&action, &dependent] {
            let text = format!("is not authorized to perform: {denied}");
            assert!(refusal(denied).contains(&text), "{name}: {denied}");
        }
    }
}
