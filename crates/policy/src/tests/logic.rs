//! The evaluation logic, after AWS's documentation: which layers add, which limit, and what a
//! refusal says.

use crate::{
    By, Context, Explained, Kind, Layer, Missed, Named, Outcome, Policies, Policy, Principal,
    Request, ResourceRole, evaluate, explain,
};
use base::{AccountId, Partition};

const USER: &str = "arn:aws:iam::111122223333:user/alice";
const ROLE: &str = "arn:aws:iam::111122223333:role/path/r";
const SESSION: &str = "arn:aws:sts::111122223333:assumed-role/r/s";
const FEDERATED: &str = "arn:aws:sts::111122223333:federated-user/f";

fn account(text: &str) -> AccountId {
    AccountId::parse(text).expect("twelve digits")
}

fn own() -> AccountId {
    account("111122223333")
}

/// Policies given as statements in short: see [`policy`].
#[derive(Default, Clone)]
struct Case {
    identity: Option<&'static str>,
    groups: Option<&'static str>,
    boundary: Option<&'static str>,
    session: Option<&'static str>,
    resource: Option<&'static str>,
    resource_role: ResourceRole,
    scp: Vec<&'static str>,
    rcp: Vec<&'static str>,
    endpoint: Option<&'static str>,
    /// The owner of the resource.
    owner: Option<&'static str>,
    action: Option<&'static str>,
}

/// `EFFECT WHO ACTION [not]RESOURCE; …`, WHO being `-`, `*`, an AWS principal, `service:NAME`, or `!`
/// and AWS principals parted by commas that are exempt.
fn policy(kind: Kind, text: &str) -> Policy {
    let statements: Vec<String> = text
        .split(';')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let words: Vec<&str> = part.split_whitespace().collect();
            let [effect, who, action, resource] = words[..] else { panic!("four words: {part}") };
            let quoted = |list: &str| format!("[\"{}\"]", list.replace(',', "\",\""));
            let principal = match who {
                "-" => String::new(),
                _ if who.starts_with('!') => {
                    format!(r#""NotPrincipal":{{"AWS":{}}},"#, quoted(&who[1..]))
                }
                _ => match who.strip_prefix("service:") {
                    Some(name) => format!(r#""Principal":{{"Service":"{name}"}},"#),
                    None => format!(r#""Principal":{{"AWS":{}}},"#, quoted(who)),
                },
            };
            let resource = match resource.strip_prefix('!') {
                _ if kind == Kind::Trust => String::new(),
                Some(not) => format!(r#","NotResource":"{not}""#),
                None => format!(r#","Resource":"{resource}""#),
            };
            let action = match action.strip_prefix('!') {
                Some(not) => format!(r#""NotAction":{}"#, quoted(not)),
                None => format!(r#""Action":{}"#, quoted(action)),
            };
            format!(r#"{{"Effect":"{effect}",{principal}{action}{resource}}}"#)
        })
        .collect();
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
    Policy::parse(kind, &text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn decide(principal: &Principal, case: &Case) -> (Outcome, Layer, String) {
    let read = |kind, text: Option<&str>| text.map(|text| policy(kind, text));
    let identity = read(Kind::Inline, case.identity);
    let groups = read(Kind::Inline, case.groups);
    let boundary = read(Kind::Managed, case.boundary);
    let session = case.session.filter(|text| !text.is_empty());
    let session = read(Kind::Session, session);
    let kind = if case.resource_role == ResourceRole::Trust { Kind::Trust } else { Kind::Resource };
    let resource = read(kind, case.resource);
    let endpoint = read(Kind::Resource, case.endpoint);
    let scp: Vec<Policy> = case.scp.iter().map(|text| policy(Kind::Managed, text)).collect();
    let rcp: Vec<Policy> = case.rcp.iter().map(|text| policy(Kind::Resource, text)).collect();
    let named = |policy| Named { policy, name: "p" };
    let identity: Vec<Named<'_>> = identity.iter().map(named).collect();
    let groups: Vec<Named<'_>> = groups.iter().map(named).collect();
    let sessions: Vec<Named<'_>> = session.iter().map(named).collect();
    let scp: Vec<[Named<'_>; 1]> = scp.iter().map(|policy| [named(policy)]).collect();
    let scp: Vec<&[Named<'_>]> = scp.iter().map(|level| &level[..]).collect();
    let rcp: Vec<[Named<'_>; 1]> = rcp.iter().map(|policy| [named(policy)]).collect();
    let rcp: Vec<&[Named<'_>]> = rcp.iter().map(|level| &level[..]).collect();
    let policies = Policies {
        identity: &identity,
        groups: &groups,
        boundary: boundary.as_ref().map(named),
        session: case.session.map(|_| &sessions[..]),
        resource: resource.as_ref().map(named),
        resource_role: case.resource_role,
        scp: &scp,
        rcp: &rcp,
        endpoint: endpoint.as_ref().map(named),
    };
    let context = Context::new();
    let request = Request {
        principal,
        action: case.action.unwrap_or("s3:GetObject"),
        resource: "arn:aws:s3:::b/k",
        resource_account: Some(case.owner.map_or(own(), account)),
        context: &context,
    };
    let decision = evaluate(&request, &policies);
    (decision.outcome, decision.layer, decision.refusal(&request))
}

fn check(principal: &Principal, case: Case, outcome: Outcome, layer: Layer) {
    let (found, found_layer, _) = decide(principal, &case);
    assert_eq!((found, found_layer), (outcome, layer), "{} {case:?}", principal.arn());
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "identity {:?} boundary {:?} session {:?} resource {:?} scp {:?}",
            self.identity, self.boundary, self.session, self.resource, self.scp
        )
    }
}

const ALL: Option<&str> = Some("Allow - * *");
const OTHER: Option<&str> = Some("Allow - sqs:* *");
const DENY: Option<&str> = Some("Deny - s3:GetObject *");
use Layer::{Boundary, Endpoint, Identity, Ownership, Resource, ResourceControl, ServiceControl};
use Outcome::{Allowed, ExplicitDeny, ImplicitDeny};

fn user() -> Principal {
    Principal::user(own(), USER)
}

fn session() -> Principal {
    Principal::session(own(), SESSION, ROLE)
}

fn root(text: &str) -> Principal {
    Principal::root(Partition::Aws, account(text))
}

#[test]
fn identity_policies() {
    let case = Case::default();
    check(&user(), case.clone(), ImplicitDeny, Identity);
    check(&user(), Case { identity: ALL, ..case.clone() }, Allowed, Identity);
    check(&user(), Case { groups: ALL, ..case.clone() }, Allowed, Identity);
    check(&user(), Case { identity: OTHER, ..case.clone() }, ImplicitDeny, Identity);
    check(&user(), Case { identity: ALL, groups: DENY, ..case.clone() }, ExplicitDeny, Identity);
    check(&root("111122223333"), case.clone(), Allowed, Ownership);
    for (text, outcome) in [
        ("Allow - S3:getOBJECT arn:aws:s3:::b/*", Allowed),
        ("Allow - s3:Get? arn:aws:s3:::b/*", ImplicitDeny),
        ("Allow - !s3:Put*,iam:* arn:aws:s3:::b/?", Allowed),
        ("Allow - !s3:Get*,iam:* *", ImplicitDeny),
        ("Allow - s3:* !arn:aws:s3:::c/*", Allowed),
        ("Allow - s3:* !arn:aws:s3:::b/*", ImplicitDeny),
        ("Allow - s3:* *; Deny - !s3:List* arn:aws:s3:::b/k", ExplicitDeny),
        ("Allow - s3:* *; Deny - s3:* !arn:aws:s3:::b/*", Allowed),
    ] {
        check(&user(), Case { identity: Some(text), ..case.clone() }, outcome, Identity);
    }
}

#[test]
fn limits() {
    let case = Case { identity: ALL, ..Case::default() };
    check(&user(), Case { boundary: OTHER, ..case.clone() }, ImplicitDeny, Boundary);
    check(&user(), Case { boundary: ALL, ..case.clone() }, Allowed, Identity);
    check(&user(), Case { boundary: ALL, ..Case::default() }, ImplicitDeny, Identity);
    check(&user(), Case { boundary: DENY, ..case.clone() }, ExplicitDeny, Boundary);
    check(&session(), Case { session: OTHER, ..case.clone() }, ImplicitDeny, Layer::Session);
    check(&session(), Case { session: Some(""), ..case.clone() }, ImplicitDeny, Layer::Session);
    check(&session(), Case { session: ALL, ..case.clone() }, Allowed, Identity);
    check(&session(), Case { session: DENY, ..case.clone() }, ExplicitDeny, Layer::Session);
    check(
        &user(),
        Case { endpoint: Some("Allow * sqs:* *"), ..case.clone() },
        ImplicitDeny,
        Endpoint,
    );
    let scp = |list: &[&'static str]| Case { scp: list.to_vec(), ..case.clone() };
    check(&user(), scp(&["Allow - * *", "Allow - s3:* *"]), Allowed, Identity);
    check(&user(), scp(&["Allow - * *", "Allow - sqs:* *"]), ImplicitDeny, ServiceControl);
    check(
        &root("111122223333"),
        scp(&["Allow - * *; Deny - s3:* *"]),
        ExplicitDeny,
        ServiceControl,
    );
    check(&root("111122223333"), scp(&["Allow - sqs:* *"]), ImplicitDeny, ServiceControl);
    let rcp = Case { rcp: vec!["Allow * * *; Deny !111122223333 s3:* *"], ..case.clone() };
    check(&root("111122223333"), rcp.clone(), Allowed, Ownership);
    check(&user(), rcp, ExplicitDeny, ResourceControl);
}

/// The table under "Implicit and explicit denies in resource-based policies": who is named decides
/// which layers limit.
#[test]
fn resource_policies_in_the_same_account() {
    let user_direct = format!("Allow {USER} s3:* *");
    let role = format!("Allow {ROLE} s3:* *");
    let direct = format!("Allow {SESSION} s3:* *");
    let federated = format!("Allow {FEDERATED} s3:* *");
    let leak = |text: String| -> Option<&'static str> { Some(Box::leak(text.into_boxed_str())) };
    let (user_direct, role, direct) = (leak(user_direct), leak(role), leak(direct));
    let (federated, everybody) = (leak(federated), Some("Allow * s3:* *"));
    let account = Some("Allow 111122223333 s3:* *");
    let case =
        |resource, boundary, session| Case { resource, boundary, session, ..Case::default() };

    check(&user(), case(user_direct, None, None), Allowed, Resource);
    check(&user(), case(user_direct, OTHER, None), Allowed, Resource);
    check(&user(), case(user_direct, DENY, None), ExplicitDeny, Boundary);
    check(&user(), case(everybody, OTHER, None), Allowed, Resource);
    check(&user(), case(account, None, None), ImplicitDeny, Identity);
    check(&user(), Case { identity: ALL, ..case(account, None, None) }, Allowed, Identity);
    check(
        &user(),
        Case { identity: DENY, ..case(user_direct, None, None) },
        ExplicitDeny,
        Identity,
    );

    check(&session(), case(role, None, None), Allowed, Resource);
    check(&session(), case(role, ALL, ALL), Allowed, Resource);
    check(&session(), case(role, OTHER, None), ImplicitDeny, Boundary);
    check(&session(), case(role, None, OTHER), ImplicitDeny, Layer::Session);
    check(&session(), case(direct, OTHER, OTHER), Allowed, Resource);
    check(&session(), case(everybody, OTHER, OTHER), Allowed, Resource);

    let person = Principal::federated_user(own(), FEDERATED, USER);
    check(&person, case(user_direct, None, Some("")), ImplicitDeny, Layer::Session);
    check(&person, case(user_direct, None, ALL), Allowed, Resource);
    check(&person, case(federated, OTHER, Some("")), Allowed, Resource);
    check(
        &person,
        Case { identity: ALL, ..case(None, None, Some("")) },
        ImplicitDeny,
        Layer::Session,
    );

    check(&root("111122223333"), case(Some("Deny * s3:* *"), None, None), ExplicitDeny, Resource);
}

#[test]
fn across_accounts_both_sides_must_allow() {
    let case = |identity, resource| Case {
        identity,
        resource,
        owner: Some("444455556666"),
        ..Case::default()
    };
    let account = Some("Allow 111122223333 s3:* *");
    let by_name = Some("Allow arn:aws:iam::111122223333:user/alice s3:* *");
    check(&user(), case(ALL, None), ImplicitDeny, Resource);
    check(&user(), case(ALL, Some("Allow 444455556666 s3:* *")), ImplicitDeny, Resource);
    check(&user(), case(None, by_name), ImplicitDeny, Identity);
    check(&user(), case(None, Some("Allow * s3:* *")), ImplicitDeny, Identity);
    check(&user(), case(ALL, by_name), Allowed, Identity);
    check(&user(), case(ALL, account), Allowed, Identity);
    check(&user(), Case { boundary: OTHER, ..case(ALL, by_name) }, ImplicitDeny, Boundary);
    check(&root("111122223333"), case(None, account), Allowed, Resource);
    check(&root("111122223333"), case(None, None), ImplicitDeny, Resource);
    let session_arn = Some("Allow arn:aws:sts::111122223333:assumed-role/r/s s3:* *");
    check(&session(), case(None, session_arn), ImplicitDeny, Identity);
    check(&session(), case(ALL, session_arn), Allowed, Identity);
}

#[test]
fn the_nameless() {
    let case = |resource| Case { resource, ..Case::default() };
    let anyone = Principal::anonymous();
    check(&anyone, case(None), ImplicitDeny, Resource);
    check(&anyone, case(Some("Allow * s3:GetObject arn:aws:s3:::b/*")), Allowed, Resource);
    check(&anyone, case(Some("Allow 111122223333 s3:* *")), ImplicitDeny, Resource);
    let service = Principal::service("logs.amazonaws.com");
    check(&service, case(Some("Allow service:logs.amazonaws.com s3:* *")), Allowed, Resource);
    check(&service, case(Some("Allow service:sns.amazonaws.com s3:* *")), ImplicitDeny, Resource);
    let scp =
        Case { scp: vec!["Deny - * *"], ..case(Some("Allow service:logs.amazonaws.com s3:* *")) };
    check(&service, scp, Allowed, Resource);
}

#[test]
fn not_principal() {
    let case = |exempt: &'static str| Case {
        identity: ALL,
        resource: Some(Box::leak(format!("Deny !{exempt} s3:* *").into_boxed_str())),
        ..Case::default()
    };
    let account = "arn:aws:iam::111122223333:root";
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    check(&user(), case(leak(format!("{USER},{account}"))), Allowed, Identity);
    check(&user(), case(USER), ExplicitDeny, Resource);
    check(&user(), case(account), ExplicitDeny, Resource);
    check(&root("111122223333"), case(account), Allowed, Ownership);
    check(&session(), case(leak(format!("{ROLE},{account}"))), ExplicitDeny, Resource);
    check(&session(), case(leak(format!("{SESSION},{ROLE},{account}"))), Allowed, Identity);
    check(&user(), case("*"), Allowed, Identity);
    check(&Principal::anonymous(), case(USER), ExplicitDeny, Resource);
}

#[test]
fn trust_policies_are_required() {
    let case = |identity, resource| Case {
        identity,
        resource,
        resource_role: ResourceRole::Trust,
        action: Some("sts:AssumeRole"),
        ..Case::default()
    };
    let by_name = Some("Allow arn:aws:iam::111122223333:user/alice sts:AssumeRole -");
    let account = Some("Allow 111122223333 sts:AssumeRole -");
    check(&user(), case(ALL, None), ImplicitDeny, Layer::Trust);
    check(
        &user(),
        case(ALL, Some("Allow service:ec2.amazonaws.com sts:AssumeRole -")),
        ImplicitDeny,
        Layer::Trust,
    );
    check(&user(), case(None, by_name), Allowed, Layer::Trust);
    check(&user(), case(None, account), ImplicitDeny, Identity);
    check(&user(), case(ALL, account), Allowed, Identity);
    check(&root("111122223333"), case(None, None), ImplicitDeny, Layer::Trust);
    let service = Principal::service("ec2.amazonaws.com");
    check(
        &service,
        case(None, Some("Allow service:ec2.amazonaws.com sts:AssumeRole -")),
        Allowed,
        Layer::Trust,
    );
    let other = Case { owner: Some("444455556666"), ..case(None, by_name) };
    check(&user(), other, ImplicitDeny, Identity);
    let key = Case { resource_role: ResourceRole::Key, ..case(ALL, None) };
    check(&user(), key, ImplicitDeny, Resource);
}

#[test]
fn refusals() {
    let check = |principal: &Principal, case: Case, expected: &str| {
        assert_eq!(decide(principal, &case).2, expected, "{case:?}");
    };
    let on = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: \"arn:aws:s3:::b/k\"";
    let case = Case { identity: ALL, ..Case::default() };
    let because = |what: &str| format!("{on} because no {what} allows the s3:GetObject action");
    let deny = |what: &str| format!("{on} with an explicit deny in {what}");
    check(&user(), Case::default(), &because("identity-based policy"));
    check(&user(), Case { identity: DENY, ..case.clone() }, &deny("an identity-based policy"));
    check(&user(), Case { boundary: OTHER, ..case.clone() }, &because("permissions boundary"));
    check(&user(), Case { boundary: DENY, ..case.clone() }, &deny("a permissions boundary"));
    check(&user(), Case { session: OTHER, ..case.clone() }, &because("session policy"));
    check(&user(), Case { session: DENY, ..case.clone() }, &deny("a session policy"));
    check(
        &user(),
        Case { scp: vec!["Allow - sqs:* *"], ..case.clone() },
        &because("service control policy"),
    );
    check(
        &user(),
        Case { scp: vec!["Deny - * *"], ..case.clone() },
        &deny("a service control policy"),
    );
    check(
        &user(),
        Case { rcp: vec!["Deny * * *"], ..case.clone() },
        &deny("a resource control policy"),
    );
    check(
        &user(),
        Case { resource: Some("Deny * * *"), ..case.clone() },
        &deny("a resource-based policy"),
    );
    check(
        &user(),
        Case { endpoint: Some("Deny * * *"), ..case.clone() },
        &deny("a VPC endpoint policy"),
    );
    check(&user(), Case { owner: Some("444455556666"), ..case.clone() }, "Access Denied");
    check(&Principal::anonymous(), Case::default(), "Access Denied");
    let sqs = Case { action: Some("sqs:SendMessage"), owner: Some("444455556666"), ..case.clone() };
    check(
        &user(),
        sqs,
        "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: sqs:SendMessage on resource: arn:aws:s3:::b/k because no resource-based policy allows the sqs:SendMessage action",
    );
    let trust = Case {
        action: Some("sts:AssumeRole"),
        resource_role: ResourceRole::Trust,
        ..Case::default()
    };
    let on = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: sts:AssumeRole on resource: arn:aws:s3:::b/k";
    check(
        &user(),
        trust.clone(),
        &format!("{on} because no role trust policy allows the sts:AssumeRole action"),
    );
    let denied = Case { resource: Some("Deny * sts:AssumeRole -"), ..trust };
    check(&user(), denied, &format!("{on} with an explicit deny in the role trust policy"));
}

#[test]
fn explaining() {
    let text = r#"{"Version":"2012-10-17","Statement":[
        {"Sid":"Other","Effect":"Allow","Action":"sqs:*","Resource":"*"},
        {"Sid":"Elsewhere","Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::c/*"},
        {"Sid":"Tls","Effect":"Allow","Action":"s3:Get*","Resource":"*",
         "Condition":{"StringEquals":{"aws:username":"alice"},"Bool":{"AWS:SecureTransport":"true"}}},
        {"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLikeIfExists":{"tag/${x}":"${y}"}}}]}"#;
    let policy = Policy::parse(Kind::Inline, text).expect("a policy");
    assert_eq!(policy.context_keys(), ["aws:securetransport", "aws:username", "tag/${x}", "y"]);
    let identity = [Named { policy: &policy, name: "p" }];
    let context = Context::new().with("aws:username", "alice").with("aws:SecureTransport", false);
    let principal = user();
    let request = Request {
        principal: &principal,
        action: "s3:GetObject",
        resource: "arn:aws:s3:::b/k",
        resource_account: None,
        context: &context,
    };
    let policies = Policies { identity: &identity, ..Policies::default() };
    let found = explain(&request, &policies);
    let by = |statement, sid| By { policy: "p", statement, sid };
    let missed = Missed::Condition {
        operator: "Bool".into(),
        key: "aws:securetransport".into(),
        have: vec!["false".into()],
    };
    let allow =
        |by, missed| Explained { layer: Identity, by, effect: crate::Effect::Allow, missed };
    assert_eq!(
        found,
        [
            allow(by(1, Some("Elsewhere")), Some(Missed::Resource)),
            allow(by(2, Some("Tls")), Some(missed)),
            Explained {
                layer: Identity,
                by: by(3, None),
                effect: crate::Effect::Deny,
                missed: None
            },
        ]
    );
    let decision = evaluate(&request, &policies);
    assert_eq!((decision.outcome, decision.by), (ExplicitDeny, Some(by(3, None))));
}

#[test]
fn what_is_public() {
    let check = |condition: &str, expected: bool| {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{{{condition}}}}}}}"#
        );
        let policy = Policy::parse(Kind::Bucket, &text).expect("a policy");
        assert_eq!(policy.is_public(), expected, "{condition}");
    };
    check("", true);
    check(r#""ArnLike":{"aws:SourceArn":"arn:aws:s3:::*"}"#, true);
    check(r#""ArnLike":{"aws:SourceArn":"arn:aws:s3:::box"}"#, false);
    check(r#""ArnLike":{"aws:SourceArn":"arn:aws:sns:*:111122223333:*"}"#, true);
    check(r#""ArnLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:111122223333:*"}"#, false);
    check(r#""ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111122223333:role/*"}"#, false);
    check(r#""StringEquals":{"aws:PrincipalAccount":"111122223333"}"#, false);
    check(r#""StringLike":{"aws:PrincipalAccount":"1*"}"#, true);
    check(r#""StringEquals":{"aws:UserAgent":"x"}"#, true);
    check(r#""IpAddress":{"aws:SourceIp":"10.0.0.0/8"}"#, false);
    check(r#""IpAddress":{"aws:SourceIp":"0.0.0.0/1"}"#, true);
}
