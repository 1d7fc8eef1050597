//! Who may do what, before any policy is asked.

use crate::world::{ask, query, services, with, world};
use gateway::AccessRules;

const WHOAMI: &str = "Action=GetCallerIdentity&Version=2011-06-15";

#[test]
fn well_known_pairs_are_root_on_this_machine() {
    let world = world();
    let told = world.check(query("sts", WHOAMI), 200, "arn:aws:iam::000000000000:root");
    assert_eq!(told.element("Account"), "000000000000");
    let other = query("sts", WHOAMI).key("123456789012", "test");
    world.check(other, 200, "arn:aws:iam::123456789012:root");
    world.check(query("sts", WHOAMI).key("AKIAGIVEN", "given-secret"), 200, "000000000000:root");
}

#[test]
fn and_nowhere_else() {
    let world = world();
    let refused = |change: fn(crate::world::Ask<'static>) -> crate::world::Ask<'static>| {
        let told = world.check(change(query("sts", WHOAMI)), 403, "InvalidClientTokenId");
        assert!(told.body.contains("well-known pair"), "{}", told.body);
        let told = world.check(change(ask("s3", "GET", "/")), 403, "InvalidAccessKeyId");
        assert!(told.body.contains("--root-key ID:SECRET"), "{}", told.body);
    };
    refused(|ask| ask.peer("172.17.0.2"));
    refused(|ask| ask.peer("192.168.0.7").key("123456789012", "test"));
    refused(|ask| ask.header("origin", "http://evil.example"));
    refused(|ask| ask.header("origin", "null"));
    refused(|ask| ask.header("host", "evil.example"));
    refused(|ask| ask.header("host", "172.17.0.1:4566"));
    refused(|ask| ask.header("sec-fetch-site", "cross-site"));
}

#[test]
fn other_keys_are_good_from_everywhere() {
    let world = world();
    let given = || query("sts", WHOAMI).key("AKIAGIVEN", "given-secret");
    world.check(given().peer("172.17.0.2"), 200, "root");
    world.check(given().header("origin", "http://evil.example"), 200, "root");
    world.check(given().header("host", "evil.example"), 200, "root");
}

#[test]
fn strict_knows_no_well_known_pair() {
    let strict = AccessRules { well_known_pairs: false, ..AccessRules::default() };
    let world = with(services(), strict);
    let told = world.check(query("sts", WHOAMI), 403, "InvalidClientTokenId");
    assert!(told.body.contains("--auth strict"), "{}", told.body);
    world.check(query("sts", WHOAMI).key("123456789012", "test"), 403, "InvalidClientTokenId");
}

#[test]
fn an_unknown_key_is_told_which_ones_there_are() {
    let world = world();
    let told =
        world.check(query("sts", WHOAMI).key("AKIANOBODY", "x"), 403, "InvalidClientTokenId");
    assert!(told.body.contains("test/test"), "{}", told.body);
    world.check(
        ask("s3", "GET", "/").key("AKIANOBODY", "x"),
        403,
        "<Code>InvalidAccessKeyId</Code>",
    );
}

#[test]
fn issued_keys_are_good_until_they_are_taken_away() {
    let world = world();
    let (id, secret) = world.user("ann");
    world.check(query("sts", WHOAMI).key(&id, &secret), 200, "user/ann");
    world.check(query("sts", WHOAMI).key(&id, &secret).peer("172.17.0.2"), 200, "user/ann");
    let delete = format!("Action=DeleteAccessKey&Version=2010-05-08&UserName=ann&AccessKeyId={id}");
    world.check(query("iam", &delete), 200, "");
    world.check(query("sts", WHOAMI).key(&id, &secret), 403, "InvalidClientTokenId");
}

#[test]
fn anonymous_is_anonymous() {
    let world = world();
    world.check(query("sts", WHOAMI).anonymous(), 403, "MissingAuthenticationToken");
    world.check(ask("s3", "GET", "/").anonymous(), 403, "AccessDenied");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "GET", "/photos").anonymous(), 403, "AccessDenied");
    world.check(ask("s3", "PUT", "/photos/a").anonymous().body(b"x"), 403, "AccessDenied");
}

#[test]
fn sessions_come_with_their_token_and_end() {
    let world = world();
    let (id, secret) = world.user("ann");
    let session = "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900";
    let told = world.check(query("sts", session).key(&id, &secret), 200, "<SessionToken>");
    let (id, secret) = (told.element("AccessKeyId"), told.element("SecretAccessKey"));
    let token = told.element("SessionToken");
    let whoami = |token| {
        let mut ask = query("sts", WHOAMI);
        ask.key = Some((id, secret, token));
        ask
    };
    world.check(whoami(Some(token)), 200, "user/ann");
    world.check(whoami(None), 403, "InvalidClientTokenId");
    world.check(whoami(Some("other")), 403, "InvalidClientTokenId");
    world.clock.advance_ms(901_000);
    world.check(whoami(Some(token)), 403, "ExpiredToken");
    let mut with_token = query("sts", WHOAMI);
    with_token.key = Some(("test", "test", Some("t")));
    world.check(with_token, 403, "InvalidClientTokenId");
}
