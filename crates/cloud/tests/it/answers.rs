//! Answers and errors in each protocol, the pages of the gateway itself, and what is left behind.

use crate::world::{ask, query, services, with, world};
use api::{Cx, Error, Hooks, Tx};
use gateway::AccessRules;
use gen_sts::{GetAccessKeyInfoInput, GetAccessKeyInfoOutput};
use gen_sts::{GetCallerIdentityInput, GetCallerIdentityOutput};
use std::sync::Arc;

#[test]
fn an_object_there_and_back() {
    let world = world();
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "PUT", "/photos/a%20b").body(b"hello"), 200, "");
    let told = world.check(ask("s3", "GET", "/photos/a%20b"), 200, "hello");
    assert_eq!(told.header("date"), "Fri, 15 Jan 2027 08:00:00 GMT");
    assert_eq!(told.header("x-amz-request-id").len(), 16);
    assert_eq!(told.header("x-amz-id-2").len(), 64);
    let styles = [
        "photos.localhost:4566",
        "photos.s3.localhost",
        "photos.s3.eu-west-1.amazonaws.com",
        "photos.s3.localhost.localstack.cloud:4566",
    ];
    for host in styles {
        world.check(ask("s3", "GET", "/a%20b").header("host", host), 200, "hello");
    }
}

#[test]
fn what_is_not_served_names_itself() {
    let world = world();
    let not = "is not implemented";
    let told = world.check(ask("s3", "GET", "/photos?metadataTable"), 501, not);
    assert_eq!(told.element("Code"), "NotImplemented");
    world.check(
        query("iam", "Action=AcquireRole&Version=2010-05-08"),
        501,
        "AcquireRole is not implemented",
    );
    let json = |target: &'static str| {
        ask("dynamodb", "POST", "/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", target)
            .body(b"{}")
    };
    let target = "DynamoDB_20120810.ListGlobalTables";
    let told = world.check(json(target), 501, "ListGlobalTables is not implemented");
    assert_eq!(told.header("content-type"), "application/x-amz-json-1.0");
    assert_eq!(told.header("x-amzn-requestid").len(), 36);
    world.check(json("DynamoDB_20120810.NoSuchThing"), 400, "UnknownOperationException");
    world.check(query("iam", "Action=NoSuchThing&Version=2010-05-08"), 400, "InvalidAction");
    world.check(query("iam", "Version=2010-05-08"), 400, "MissingAction");
    let told = world.check(ask("lambda", "GET", "/2015-03-31/nothing"), 404, "");
    assert_eq!(told.header("x-amzn-errortype"), "UnknownOperationException");
    world.check(ask("nosuchservice", "GET", "/"), 404, "UnknownService");
}

#[test]
fn refusals_in_each_protocol() {
    let world = world();
    let (id, secret) = world.user("ann");
    let told = world.check(
        ask("s3", "PUT", "/photos").key(&id, &secret),
        403,
        "<Code>AccessDenied</Code>",
    );
    let because = "because no identity-based policy allows the s3:CreateBucket action";
    assert!(told.body.contains(because), "{}", told.body);
    let create = "Action=CreateUser&Version=2010-05-08&UserName=bob";
    let told =
        world.check(query("iam", create).key(&id, &secret), 403, "<Code>AccessDenied</Code>");
    assert!(told.body.contains("<Type>Sender</Type>") && told.body.contains("iam:CreateUser"));
    world.check(
        query("iam", "Action=CreateUser&Version=2010-05-08&UserName=b%20b"),
        400,
        "ValidationError",
    );
    world.check(ask("s3", "PUT", "/photos").body(b"<not xml"), 400, "MalformedXML");
    world.check(ask("s3", "GET", "/photos?list-type=2&max-keys=x"), 400, "InvalidArgument");
    world.check(ask("s3", "GET", "/?a=%ff"), 400, "InvalidURI");
}

#[test]
fn what_happened_is_recorded_once() {
    let world = world();
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "PUT", "/photos/a").body(b"x"), 200, "");
    world.check(ask("s3", "GET", "/photos/a"), 200, "");
    world.check(ask("s3", "GET", "/photos/a").anonymous(), 403, "");
    let told = world.check(ask("cumulet", "GET", "/_cumulet/events"), 200, "");
    let count = |name: &str| told.body.matches(&format!("\"eventName\":\"{name}\"")).count();
    assert_eq!((count("CreateBucket"), count("PutObject"), count("GetObject")), (1, 1, 2));
    let told = world.check(ask("cumulet", "GET", "/_cumulet/events?denied=1"), 200, "AccessDenied");
    assert!(!told.body.contains("PutObject"), "{}", told.body);
    let other = ask("cumulet", "GET", "/_cumulet/events").key("123456789012", "test");
    assert_eq!(world.check(other, 200, "").body, "{\"events\":[]}");
    let (id, secret) = world.user("ann");
    let own = ask("cumulet", "GET", "/_cumulet/events").key(&id, &secret);
    world.check(own, 403, "cumulet:ListEvents");
    let told = world.check(ask("cumulet", "GET", "/_cumulet/events").anonymous(), 403, "");
    assert!(told.header("x-amzn-errortype").starts_with("MissingAuthenticationToken"));
    let told = world.check(ask("cumulet", "GET", "/_cumulet/nothing"), 404, "");
    assert_eq!(told.header("x-amzn-errortype"), "NotFound");
}

#[test]
fn pages() {
    let world = world();
    world.check(ask("", "GET", "/health").anonymous(), 200, "\"ok\"");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    let told =
        world.check(ask("", "GET", "/metrics").anonymous(), 200, "cumulet_store_commits_total");
    let line = "cumulet_requests_total{service=\"s3\",operation=\"CreateBucket\",status=\"2xx\"} 1";
    assert!(told.body.contains(line), "{}", told.body);
    world.check(ask("s3", "GET", "/health"), 404, "NoSuchBucket");
}

#[test]
fn pages_in_a_browser() {
    let rules =
        AccessRules { allowed_origins: vec!["http://app.test".into()], ..AccessRules::default() };
    let world = with(services(), rules);
    let preflight = |target, origin| {
        ask("", "OPTIONS", target)
            .anonymous()
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-amz-target")
    };
    let sts = preflight("/", "http://any.test").header("host", "sts.us-east-1.amazonaws.com");
    let told = world.check(sts, 200, "");
    assert_eq!(told.header("access-control-allow-origin"), "*");
    assert_eq!(told.header("access-control-allow-headers"), "authorization,x-amz-target");
    world.check(preflight("/photos/a", "http://any.test"), 403, "Bucket not found");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(preflight("/photos/a", "http://any.test"), 403, "CORS is not enabled");
    let told = world.check(preflight("/photos/a", "http://app.test"), 200, "");
    assert_eq!(told.header("access-control-allow-origin"), "http://app.test");
    let own = ask("s3", "GET", "/").header("origin", "http://app.test");
    assert_eq!(world.check(own, 200, "").header("access-control-allow-origin"), "http://app.test");
}

#[test]
fn a_browser_form() {
    let world = world();
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    let form = "--b\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nup/${filename}\r\n--b\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--b--\r\n";
    let post = || {
        ask("s3", "POST", "/photos")
            .anonymous()
            .header("content-type", "multipart/form-data; boundary=b")
            .body(form.as_bytes())
    };
    world.check(post(), 403, "AccessDenied");
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"arn:aws:s3:::photos/*"}]}"#;
    let put = world.send(ask("s3", "PUT", "/photos?policy").body(policy.as_bytes()));
    assert!(put.status < 300, "{}", put.body);
    let told = world.check(post(), 204, "");
    assert_eq!(told.header("location"), "http://localhost:4566/photos/up/a.txt");
    world.check(ask("s3", "GET", "/photos/up/a.txt"), 200, "hello");
    let cut = post().body(&form.as_bytes()[..form.len() - 8]);
    world.check(cut, 400, "MalformedPOSTRequest");
}

/// Panics, and forgets to ask for permission.
struct Careless;

const GREET: store::JobKind<String> = store::JobKind::new(0xfe01, "test.greet");

impl Hooks for Careless {
    fn jobs(&self, jobs: &mut store::Jobs, _: &api::Background) {
        jobs.register(&GREET, 2, |tx, _, name: String| match name.as_str() {
            "nobody" => Err(store::JobError::Failed("nobody is there".into())),
            _ => Ok(store::JobOutcome::Again(tx.now().plus_secs(3600))),
        });
    }
}

impl gen_sts::STSApi for Careless {
    fn authorize_get_federation_token(
        &self,
        _: &Cx,
        _: &gen_sts::GetFederationTokenInput,
    ) -> Result<Vec<api::Ask>, Error> {
        Ok(Vec::new())
    }

    fn authorize_assume_role(
        &self,
        _: &Cx,
        _: &gen_sts::AssumeRoleInput,
    ) -> Result<Vec<api::Ask>, Error> {
        Ok(Vec::new())
    }

    fn assume_role(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: &gen_sts::AssumeRoleInput,
    ) -> Result<gen_sts::AssumeRoleOutput, Error> {
        Ok(gen_sts::AssumeRoleOutput::default())
    }

    fn get_caller_identity(
        &self,
        _: &Tx,
        _: &Cx,
        _: &GetCallerIdentityInput,
    ) -> Result<GetCallerIdentityOutput, Error> {
        panic!("a bug of ours")
    }

    fn get_access_key_info(
        &self,
        _: &Tx,
        _: &Cx,
        _: &GetAccessKeyInfoInput,
    ) -> Result<GetAccessKeyInfoOutput, Error> {
        Err(Error::internal("the secret cause"))
    }
}

#[test]
fn bugs_of_ours_cost_one_request() {
    let world = with(vec![Arc::new(gen_sts::Handler(Careless))], AccessRules::default());
    let version = "Version=2011-06-15";
    world.check(
        query("sts", &format!("Action=GetCallerIdentity&{version}")),
        500,
        "InternalFailure",
    );
    let info = format!("Action=GetAccessKeyInfo&{version}&AccessKeyId=AKIAIOSFODNN7EXAMPLE");
    let told = world.check(query("sts", &info), 500, "InternalFailure");
    assert!(!told.body.contains("secret cause"), "{}", told.body);
    let assume = format!(
        "Action=AssumeRole&{version}&RoleArn=arn:aws:iam::000000000000:role/abc&RoleSessionName=abc"
    );
    world.check(query("sts", &assume), 500, "InternalFailure");
    let metrics = world.send(ask("", "GET", "/metrics").anonymous()).body;
    assert!(metrics.contains("cumulet_panics_total 1"), "{metrics}");
}

#[test]
fn jobs_are_run_counted_and_shown() {
    let world = with(vec![Arc::new(gen_sts::Handler(Careless))], AccessRules::default());
    let enqueue = |name: &str| {
        let commit = world.store.write(|tx| tx.enqueue(&GREET, name));
        commit.now().unwrap().unwrap();
    };
    enqueue("ann");
    enqueue("nobody");
    let jobs = world.gateway.jobs();
    for _ in 0..3 {
        while jobs.step() == store::engine::Step::Worked {}
        world.clock.advance_ms(2_000);
    }
    let health = "\"jobs\":{\"waiting\":1,\"parked\":1}";
    world.check(ask("", "GET", "/health").anonymous(), 200, health);
    let metrics = world.send(ask("", "GET", "/metrics").anonymous()).body;
    for line in ["waiting", "parked", "done_total"] {
        let line = format!("cumulet_jobs_{line}{{kind=\"test.greet\"}} 1");
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
    assert!(metrics.contains("cumulet_jobs_failed_total{kind=\"test.greet\"} 2"), "{metrics}");
    let told = world.check(ask("cumulet", "GET", "/_cumulet/jobs"), 200, "nobody is there");
    assert!(told.body.contains("\"attempts\":2"), "{}", told.body);
    let other = ask("cumulet", "GET", "/_cumulet/jobs").key("123456789012", "test");
    world.check(other, 403, "Only principals of the default account");
}
