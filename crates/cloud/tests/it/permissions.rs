//! Every served operation of every service is denied to a user without permission.

use crate::world::{ask, services, world};
use smithy::model::Operation;
use smithy::shape::{Member, Shape};
use smithy::{Slot, Struct};

const DENIALS: [&str; 3] = ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation"];

/// Operations that anybody with a key may use.
const OPEN: [&str; 4] =
    ["AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"];

/// Those that ask for each of several things by itself and answer 200 with a refusal for each.
const ITEM_BY_ITEM: [&str; 2] = ["DeleteObjects", "BatchExecuteStatement"];

fn text(member: &str) -> &'static str {
    match member {
        "Bucket" => "photos",
        "CopySource" => "photos/source",
        "OpenIDConnectProviderArn" => "arn:aws:iam::000000000000:oidc-provider/abc.def",
        "PolicyArn" => "arn:aws:iam::000000000000:policy/abc",
        "Role" => "arn:aws:iam::000000000000:role/abc",
        "ResourceArn" => "arn:aws:s3:us-east-1:000000000000:accesspoint/abc",
        "SAMLProviderArn" => "arn:aws:iam::000000000000:saml-provider/abc",
        "SerialNumber" => "arn:aws:iam::000000000000:mfa/abc",
        name if name.to_ascii_lowercase().contains("arn") => "arn:aws:iam::000000000000:role/abc",
        name if name.contains("Policy") && name.contains("Document") => "{}",
        "Statement" => "SELECT * FROM abc WHERE a = 'b'",
        _ => "abc",
    }
}

/// Fills what is required with something harmless.
pub fn fill(value: &mut dyn Struct) {
    for (index, member) in value.shape().members.iter().enumerate() {
        if member.required {
            fill_slot(value.field_mut(index).slot(), member);
        }
    }
}

fn fill_slot(slot: Slot<'_>, member: &Member) {
    match slot {
        Slot::Str(out) => *out = text(member.name).to_owned(),
        Slot::Integer(out) => *out = 1,
        Slot::Long(out) => *out = 1,
        Slot::Struct(inner) => fill(inner),
        Slot::List(list) => {
            let item = list.push();
            match (&member.shape, item.slot()) {
                (Shape::List(_), Slot::Struct(inner)) => fill(inner),
                (_, slot) => fill_slot(slot, member),
            }
        }
        _ => {}
    }
}

#[test]
fn without_permission_nothing_is_done() {
    let world = world();
    let (id, _) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "PUT", "/photos/abc").body(b"x"), 200, "");
    let mut wrong = Vec::new();
    let mut asked = 0;
    for service in services() {
        let model = service.model();
        for operation in model.operations {
            let Operation { name, served: Some(served), .. } = operation else { continue };
            if OPEN.contains(name) {
                assert!(served.auth.is_open(), "{name} is open no more");
                continue;
            }
            if ITEM_BY_ITEM.contains(name) {
                continue;
            }
            asked += 1;
            let mut input = (served.new_input)();
            fill(&mut *input);
            match world.gateway.rehearse(&id, model.name, name, &*input) {
                Err(error) if DENIALS.contains(&error.code()) => {}
                Err(error) => wrong.push(format!("{}:{name}: {error}", model.name)),
                Ok(()) => wrong.push(format!("{}:{name} is allowed", model.name)),
            }
        }
    }
    assert!(asked > 100, "only {asked} operations were asked");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn items_are_refused_one_by_one() {
    let world = world();
    let (id, secret) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "PUT", "/photos/abc").body(b"x"), 200, "");
    let xml = b"<Delete><Object><Key>abc</Key></Object></Delete>";
    let delete = ask("s3", "POST", "/photos?delete").key(&id, &secret).body(xml);
    let delete = delete.header("content-md5", "0ShR7Bp2Ro4nsbjst3+djA==");
    world.check(delete, 200, "<Code>AccessDenied</Code>");
    world.check(ask("s3", "GET", "/photos/abc"), 200, "x");
}

#[test]
fn with_permission_it_is_done() {
    let world = world();
    let (id, secret) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos").key(&id, &secret), 403, "AccessDenied");
    world.allow("ann", "s3:*");
    world.check(ask("s3", "PUT", "/photos").key(&id, &secret), 200, "");
    world.check(ask("s3", "PUT", "/photos/a").key(&id, &secret).body(b"x"), 200, "");
    world.check(ask("s3", "GET", "/photos/a").key(&id, &secret), 200, "x");
    world.allow("ann", "s3:PutObject");
    world.check(ask("s3", "GET", "/photos/a").key(&id, &secret), 403, "AccessDenied");
}
