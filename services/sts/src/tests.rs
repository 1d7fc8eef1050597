//! From a role and its trust policy to a session and what it may do, with real decisions.

mod saml;
mod web;

use crate::Sts;
use api::{
    Ask, AsyncCx, Caller, Cx, CxParts, Door, Error, Hooks, HttpInfo, Identities, NamedPolicy,
    NoFetch, Reply, RequestBody, Service, Tx,
};
use base::{AccountId, Entropy, ManualClock, Partition, Region, SeededEntropy, Timestamp};
use directory::*;
use gen_sts::*;
use policy::{Context, Named, Policies, Principal, Request, Value, evaluate};
use smithy::Struct;
use std::collections::BTreeSet;
use std::sync::Arc;
use store::{Scope, Store};

const ROLE: &str = "arn:aws:iam::444455556666:role/x/R";
const S3: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;

/// Decides as the gateway does, as far as these tests need it.
#[derive(Debug, Default)]
struct Deciding {
    directory: Directory,
}

impl Door for Deciding {
    fn authorize(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<(), Error> {
        let grants = sts().grants(tx, cx, ask)?;
        let own = self.directory.policies(tx, &cx.caller)?;
        let mut context = Context::new().with("aws:username", &*cx.caller.name);
        for (key, values) in ask.context.iter().chain(&grants.context) {
            let values: Vec<Value<'_>> = values.iter().map(|v| v.as_str().into()).collect();
            context.set(&**key, values);
        }
        for (key, value) in cx.caller.tags.iter() {
            context.set(format!("aws:principaltag/{key}"), value.as_str());
        }
        let identity: Vec<Named<'_>> = own.identity.iter().map(named).collect();
        let session: Option<Vec<Named<'_>>> =
            own.session.as_ref().map(|list| list.iter().map(named).collect());
        let policies = Policies {
            identity: &identity,
            boundary: own.boundary.as_ref().map(named),
            session: session.as_deref(),
            resource: grants.policy.as_ref().map(named),
            resource_role: grants.role,
            ..Policies::default()
        };
        let request = Request {
            principal: &cx.caller.principal,
            action: &ask.action,
            resource: &ask.resource,
            resource_account: grants.owner,
            context: &context,
        };
        let decision = evaluate(&request, &policies);
        if decision.is_allowed() {
            return Ok(());
        }
        Err(Error::with_code("AccessDenied", 403, decision.refusal(&request)))
    }

    fn audit(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: &dyn Struct,
        _: Option<&dyn Struct>,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn seal_token(&self, _: &str, place: &str) -> String {
        place.to_owned()
    }

    fn open_token(&self, _: &str, token: &str) -> Option<String> {
        Some(token.to_owned())
    }

    fn call(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: Arc<Caller>,
        service: &str,
        operation: &str,
        _: &dyn Struct,
    ) -> Result<Box<dyn Struct>, Error> {
        Err(Error::internal(format!("nobody calls {service}:{operation} here")))
    }
}

fn sts() -> Sts {
    Sts::new(Arc::new(NoFetch))
}

fn named(own: &NamedPolicy) -> Named<'_> {
    Named { policy: &own.policy, name: &own.name }
}

struct World {
    store: Store,
    clock: Arc<ManualClock>,
    entropy: Arc<SeededEntropy>,
    door: Arc<Deciding>,
}

/// What a future that waits for nothing comes to.
fn at_once<O>(future: impl Future<Output = Result<Reply<O>, Error>>) -> Result<O, Error> {
    let mut future = std::pin::pin!(future);
    let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut waker) {
        std::task::Poll::Ready(result) => result.map(|Reply { output, .. }| output),
        std::task::Poll::Pending => panic!("nothing here waits"),
    }
}

fn account(text: &str) -> AccountId {
    AccountId::parse(text).expect("an account")
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

impl World {
    /// `alice` of 111122223333 may do what `allowed` says; the role of 444455556666 trusts `trust`
    /// and may use S3.
    fn new(allowed: &str, trust: &str) -> World {
        let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
        let entropy = Arc::new(SeededEntropy::new(7));
        let store = Store::memory(clock.clone(), entropy.clone());
        let world = World { store, clock, entropy, door: Arc::default() };
        let mut policies = PoliciesRow::new(None);
        policies.inline.insert("own".into(), allowed.into());
        let user = UserRow {
            id: "AIDA1".into(),
            name: "alice".into(),
            path: "/".into(),
            arn: "arn:aws:iam::111122223333:user/alice".into(),
            created: Timestamp::EPOCH,
            tags: Vec::new(),
            policies: policies.clone(),
            groups: BTreeSet::new(),
            access_keys: vec!["AKIAALICE".into()],
        };
        policies.inline.insert("own".into(), S3.into());
        let role = RoleRow {
            id: "AROA1".into(),
            name: "R".into(),
            path: "/x/".into(),
            arn: ROLE.into(),
            created: Timestamp::EPOCH,
            tags: vec![TagRow { key: "env".into(), value: "prod".into() }],
            policies,
            trust: trust.into(),
            description: None,
            session_s_max: 7_200,
            trust_ids: Default::default(),
        };
        let key = AccessKeyRow {
            account: account("111122223333"),
            user: "alice".into(),
            secret: "s".into(),
            active: true,
            created: Timestamp::EPOCH,
        };
        let entropy = world.entropy.clone();
        world
            .write(|tx| {
                put_user(tx, account("111122223333"), &user, &*entropy)?;
                put_role(tx, account("444455556666"), &role, &*entropy)?;
                tx.put(&ACCESS_KEYS, &Scope::Global, "AKIAALICE", &key)?;
                Ok(())
            })
            .expect("a commit");
        world
    }

    fn write<R>(&self, run: impl Fn(&mut Tx) -> Result<R, Error>) -> Result<R, Error> {
        let mut commit = std::pin::pin!(self.store.write(|tx| run(tx)));
        let mut waker = std::task::Context::from_waker(std::task::Waker::noop());
        match commit.as_mut().poll(&mut waker) {
            std::task::Poll::Ready(result) => result,
            std::task::Poll::Pending => panic!("a store in memory does not wait"),
        }
    }

    fn caller(&self, key: &str) -> Arc<Caller> {
        let found = self.store.read(|tx| self.door.directory.credential(tx, key));
        found.expect("a lookup").expect("a key").caller
    }

    fn root(&self) -> Arc<Caller> {
        let own = account("111122223333");
        Arc::new(Caller { access_key_id: "test".into(), ..Caller::root(Partition::Aws, own) })
    }

    fn anonymous(&self) -> Arc<Caller> {
        let principal = Principal::anonymous();
        let nobody =
            Caller { principal, account: None, access_key_id: "".into(), ..(*self.root()).clone() };
        Arc::new(nobody)
    }

    fn cx(&self, caller: Arc<Caller>, operation: &str) -> Cx {
        Cx::new(CxParts {
            request_id: "r".into(),
            account: caller.account.unwrap_or(AccountId::DEFAULT),
            caller,
            region: Region::us_east_1(),
            http: HttpInfo::default(),
            service: &MODEL,
            operation: MODEL.operation(operation).expect("an operation of STS"),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            door: self.door.clone(),
        })
    }

    /// Of a request that nobody signed.
    fn unsigned(&self, operation: &str) -> AsyncCx {
        let cx = self.cx(self.anonymous(), operation);
        AsyncCx::new(cx, self.store.clone(), Vec::new(), RequestBody::empty())
    }

    /// Asks, then does, as the gateway has it.
    fn assume(
        &self,
        caller: Arc<Caller>,
        input: &AssumeRoleInput,
    ) -> Result<AssumeRoleOutput, Error> {
        let cx = self.cx(caller, "AssumeRole");
        let asks = Handler(sts()).authorize(cx.operation.index, &cx, input)?;
        self.write(|tx| {
            asks.iter().try_for_each(|ask| cx.authorize(tx, ask))?;
            sts().assume_role(tx, &cx, input)
        })
    }

    fn may(&self, key: &str, action: &'static str) -> bool {
        let cx = self.cx(self.caller(key), "GetCallerIdentity");
        let ask = Ask::new(action, "arn:aws:s3:::b/k");
        self.store.read(|tx| cx.authorize(tx, &ask)).is_ok()
    }
}

fn input() -> AssumeRoleInput {
    AssumeRoleInput {
        role_arn: ROLE.into(),
        role_session_name: "s1".into(),
        ..AssumeRoleInput::default()
    }
}

/// A trust policy for account 111122223333 with these actions and conditions.
fn trust(actions: &str, condition: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"AWS":"111122223333"}},"Action":{actions},"Condition":{{{condition}}}}}}}"#
    )
}

const ANY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}"#;

#[track_caller]
fn refused<R>(result: Result<R, Error>, code: &str, message: &str) {
    match result {
        Ok(_) => panic!("went through, but should be {code}: {message}"),
        Err(error) => assert_eq!((error.code(), error.message()), (code, message)),
    }
}

#[test]
fn a_role_is_assumed_across_accounts() {
    let world = World::new(ANY, &trust(r#""sts:AssumeRole""#, ""));
    let made = world.assume(world.caller("AKIAALICE"), &input()).expect("a session");
    let who = made.assumed_role_user.expect("who");
    assert_eq!(who.arn, "arn:aws:sts::444455556666:assumed-role/R/s1");
    assert_eq!(who.assumed_role_id, "AROA1:s1");
    let credentials = made.credentials.expect("credentials");
    assert_eq!(credentials.expiration.to_secs(), 1_700_003_600);
    assert_eq!(made.packed_policy_size, None);

    let key = &credentials.access_key_id;
    let cx = world.cx(world.caller(key), "GetCallerIdentity");
    let me = world.store.read(|tx| sts().get_caller_identity(tx, &cx, &GetCallerIdentityInput {}));
    let me = me.expect("an identity");
    assert_eq!(me.arn.as_deref(), Some("arn:aws:sts::444455556666:assumed-role/R/s1"));
    assert_eq!(
        (me.account.as_deref(), me.user_id.as_deref()),
        (Some("444455556666"), Some("AROA1:s1"))
    );
    assert!(world.may(key, "s3:GetObject") && !world.may(key, "sqs:SendMessage"));
    assert!(!world.may("AKIAALICE", "s3:GetObject"));
}

#[test]
fn both_sides_must_agree() {
    let on = "User: arn:aws:iam::111122223333:user/alice is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/x/R";
    let world = World::new(S3, &trust(r#""sts:AssumeRole""#, ""));
    let alice = world.caller("AKIAALICE");
    let text = format!("{on} because no identity-based policy allows the sts:AssumeRole action");
    refused(world.assume(alice, &input()), "AccessDenied", &text);

    let service = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;
    let world = World::new(ANY, service);
    let alice = world.caller("AKIAALICE");
    let text = format!("{on} because no role trust policy allows the sts:AssumeRole action");
    refused(world.assume(alice.clone(), &input()), "AccessDenied", &text);
    let ghost = AssumeRoleInput { role_arn: ROLE.replace("/x/", "/"), ..input() };
    let result = world.assume(alice.clone(), &ghost);
    refused(result, "AccessDenied", &text.replace("/x/", "/"));
    let bad = AssumeRoleInput { role_arn: "arn:aws:iam::444455556666:user/R".into(), ..input() };
    refused(
        world.assume(alice, &bad),
        "ValidationError",
        "arn:aws:iam::444455556666:user/R is invalid",
    );
    let root = "Roles may not be assumed by root accounts.";
    refused(world.assume(world.root(), &input()), "AccessDenied", root);
    let stranger = world.assume(world.anonymous(), &input());
    refused(stranger, "MissingAuthenticationToken", "Request is missing Authentication Token");
}

#[test]
fn the_external_id_must_match() {
    let condition = r#""StringEquals":{"sts:ExternalId":"42"}"#;
    let world = World::new(ANY, &trust(r#""sts:AssumeRole""#, condition));
    let alice = world.caller("AKIAALICE");
    let with = |id: Option<&str>| AssumeRoleInput { external_id: id.map(Into::into), ..input() };
    assert!(world.assume(alice.clone(), &with(Some("42"))).is_ok());
    for bad in [None, Some("43")] {
        let error = world.assume(alice.clone(), &with(bad)).expect_err("another id");
        assert_eq!(error.code(), "AccessDenied");
    }
}

#[test]
fn durations() {
    let world = World::new(ANY, &trust(r#""sts:AssumeRole""#, ""));
    let alice = world.caller("AKIAALICE");
    let lasting = |s: i32| AssumeRoleInput { duration_seconds: Some(s), ..input() };
    let made = world.assume(alice.clone(), &lasting(7_200)).expect("two hours");
    assert_eq!(made.credentials.map(|c| c.expiration.to_secs()), Some(1_700_007_200));
    refused(
        world.assume(alice, &lasting(7_201)),
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    );
}

/// A trust policy for everybody in the two accounts, all of STS.
const OPEN: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":["111122223333","arn:aws:iam::444455556666:role/x/R"]},"Action":"sts:*"}}"#;

#[test]
fn sessions_of_sessions() {
    let world = World::new(ANY, OPEN);
    let alice = world.caller("AKIAALICE");
    let first = AssumeRoleInput {
        tags: Some(vec![tag("team", "red"), tag("other", "1")]),
        transitive_tag_keys: Some(vec!["Team".into()]),
        source_identity: Some("alice".into()),
        ..input()
    };
    let made = world.assume(alice, &first).expect("a session");
    assert_eq!(made.source_identity.as_deref(), Some("alice"));
    let key = made.credentials.expect("credentials").access_key_id;
    let session = world.caller(&key);
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(*session.tags, [pair("team", "red"), pair("other", "1"), pair("env", "prod")]);

    let second = AssumeRoleInput { role_session_name: "s2".into(), ..input() };
    let made = world.assume(session.clone(), &second).expect("a chained session");
    assert_eq!(made.source_identity.as_deref(), Some("alice"));
    let chained = world.caller(&made.credentials.expect("credentials").access_key_id);
    assert_eq!(*chained.tags, [pair("team", "red"), pair("env", "prod")]);

    let long = AssumeRoleInput { duration_seconds: Some(3_601), ..input() };
    refused(
        world.assume(session.clone(), &long),
        "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
    );
    let other = AssumeRoleInput { source_identity: Some("bob".into()), ..input() };
    refused(
        world.assume(session.clone(), &other),
        "AccessDenied",
        "SourceIdentity cannot be changed in a chained session.",
    );
    let tagged = AssumeRoleInput { tags: Some(vec![tag("TEAM", "blue")]), ..input() };
    refused(
        world.assume(session, &tagged),
        "InvalidParameterValue",
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.",
    );
}

#[test]
fn tagging_needs_its_own_permission() {
    let world = World::new(ANY, &trust(r#""sts:AssumeRole""#, ""));
    let alice = world.caller("AKIAALICE");
    let tagged = AssumeRoleInput { tags: Some(vec![tag("a", "b")]), ..input() };
    let error = world.assume(alice.clone(), &tagged).expect_err("no sts:TagSession");
    assert!(error.message().contains("sts:TagSession"), "{error}");
    let named = AssumeRoleInput { source_identity: Some("x".into()), ..input() };
    let error = world.assume(alice, &named).expect_err("no sts:SetSourceIdentity");
    assert!(error.message().contains("sts:SetSourceIdentity"), "{error}");

    let world = World::new(ANY, &trust(r#"["sts:AssumeRole","sts:TagSession"]"#, ""));
    let alice = world.caller("AKIAALICE");
    assert!(world.assume(alice.clone(), &tagged).is_ok());
    let check = |tags: Vec<Tag>, transitive: &[&str], text: &str| {
        let transitive = transitive.iter().map(|key| (*key).to_owned()).collect();
        let bad =
            AssumeRoleInput { tags: Some(tags), transitive_tag_keys: Some(transitive), ..input() };
        refused(world.assume(alice.clone(), &bad), "InvalidParameterValue", text);
    };
    let duplicate = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
    check(vec![tag("a", "1"), tag("A", "2")], &[], duplicate);
    let missing = "The specified transitive tag key must be included in the requested tags.";
    check(vec![tag("a", "1")], &["b"], missing);
    check(vec![tag("aws:x", "1")], &[], "System tags cannot be used in the request.");
}

#[test]
fn session_policies_limit() {
    let world = World::new(ANY, &trust(r#""sts:AssumeRole""#, ""));
    let alice = world.caller("AKIAALICE");
    let with = |policy: &str, arns: &[&str]| AssumeRoleInput {
        policy: (!policy.is_empty()).then(|| policy.to_owned()),
        policy_arns: Some(
            arns.iter().map(|arn| PolicyDescriptorType { arn: Some((*arn).into()) }).collect(),
        ),
        ..input()
    };
    let made = |input: &AssumeRoleInput| {
        let made = world.assume(alice.clone(), input).expect("a session");
        let packed = made.packed_policy_size.expect("a size");
        (made.credentials.expect("credentials").access_key_id, packed)
    };
    let get = S3.replace("s3:*", "s3:Get*");
    let (key, packed) = made(&with(&get, &[]));
    assert_eq!(packed, 4);
    assert!(world.may(&key, "s3:GetObject") && !world.may(&key, "s3:PutObject"));
    let (key, _) = made(&with("", &["arn:aws:iam::aws:policy/AmazonSQSFullAccess"]));
    assert!(!world.may(&key, "s3:GetObject") && !world.may(&key, "sqs:SendMessage"));
    let (key, _) = made(&with(&get, &["arn:aws:iam::aws:policy/AmazonS3FullAccess"]));
    assert!(world.may(&key, "s3:PutObject"));

    let check = |input: &AssumeRoleInput, code: &str, text: &str| {
        refused(world.assume(alice.clone(), input), code, text);
    };
    check(&with("{", &[]), "MalformedPolicyDocument", "Syntax errors in policy.");
    let ghost = "Policy arn:aws:iam::aws:policy/Ghost does not exist or is not attachable.";
    check(&with("", &["arn:aws:iam::aws:policy/Ghost"]), "MalformedPolicyDocument", ghost);
    let big = S3.replace("s3:*", &format!("s3:{}", "x".repeat(2_100)));
    let text = "Packed policy consumes 106% of allotted space, please use smaller policy.";
    check(&with(&big, &[]), "PackedPolicyTooLarge", text);
    let mfa = AssumeRoleInput {
        serial_number: Some("m".into()),
        token_code: Some("1".into()),
        ..input()
    };
    check(
        &mfa,
        "AccessDenied",
        "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
    );
}

#[test]
fn session_tokens() {
    let world = World::new(S3, &trust(r#""sts:AssumeRole""#, ""));
    let get = |caller: Arc<Caller>, input: GetSessionTokenInput| {
        let cx = world.cx(caller, "GetSessionToken");
        world.write(|tx| sts().get_session_token(tx, &cx, &input))
    };
    let lasting = |s: Option<i32>| GetSessionTokenInput {
        duration_seconds: s,
        minimum_session_token_size: Some(1_000),
        ..GetSessionTokenInput::default()
    };
    let made = get(world.caller("AKIAALICE"), lasting(None)).expect("a session").credentials;
    let made = made.expect("credentials");
    assert_eq!(made.expiration.to_secs(), 1_700_000_000 + 12 * 3_600);
    assert_eq!(made.session_token.len(), 1_000);
    let session = world.caller(&made.access_key_id);
    assert_eq!(session.principal, world.caller("AKIAALICE").principal);
    assert!(world.may(&made.access_key_id, "s3:GetObject"));
    refused(
        get(session, lasting(None)),
        "AccessDenied",
        "Cannot call GetSessionToken with session credentials",
    );
    let made = get(world.root(), lasting(Some(7_200))).expect("a session").credentials;
    let made = made.expect("credentials");
    assert_eq!(made.expiration.to_secs(), 1_700_003_600);
    assert_eq!(world.caller(&made.access_key_id).principal.arn(), "arn:aws:iam::111122223333:root");
    let text = "Request is missing Authentication Token";
    refused(get(world.anonymous(), lasting(None)), "MissingAuthenticationToken", text);
}

#[test]
fn who_owns_a_key() {
    let world = World::new(S3, &trust(r#""sts:AssumeRole""#, ""));
    let cx = world.cx(world.root(), "GetAccessKeyInfo");
    let look = |id: &str| {
        let input = GetAccessKeyInfoInput { access_key_id: id.into() };
        world.store.read(|tx| sts().get_access_key_info(tx, &cx, &input))
    };
    let id = new_access_key_id("AKIA", account("999999999999"), &*world.entropy as &dyn Entropy);
    assert_eq!(look(&id).ok().and_then(|out| out.account).as_deref(), Some("999999999999"));
    assert_eq!(look("AKIAALICE").ok().and_then(|out| out.account).as_deref(), Some("111122223333"));
    refused(look("nonsense"), "ValidationError", "nonsense is not a valid access key id");
}
