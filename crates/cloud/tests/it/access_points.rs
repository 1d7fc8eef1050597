//! Access points: made through S3 Control, used through S3, decided by both policies.

use crate::world::{Ask, Told, World, ask, world};

const ROOT: &str = "000000000000";

fn control<'a>(method: &'a str, target: &'a str) -> Ask<'a> {
    ask("s3", method, target).header("x-amz-account-id", ROOT)
}

fn create(name: &str, more: &str) -> (String, String) {
    let body = format!(
        r#"<CreateAccessPointRequest xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Bucket>box</Bucket>{more}</CreateAccessPointRequest>"#
    );
    (format!("/v20180820/accesspoint/{name}"), body)
}

/// Bucket `box` with the object `k`, behind the access point `door`.
fn behind(more: &str) -> (World, Told) {
    let world = world();
    world.check(ask("s3", "PUT", "/box"), 200, "");
    world.check(ask("s3", "PUT", "/box/k").body(b"content"), 200, "");
    let (target, body) = create("door", more);
    let made = world.check(control("PUT", &target).body(body.as_bytes()), 200, "<Alias>");
    (world, made)
}

const ARN: &str = "arn:aws:s3:us-east-1:000000000000:accesspoint/door";

#[test]
fn they_are_made_shown_and_removed() {
    let (world, made) = behind("");
    assert_eq!(made.element("AccessPointArn"), ARN);
    let alias = made.element("Alias").to_owned();
    assert!(alias.starts_with("door-") && alias.ends_with("-s3alias"), "{alias}");
    let got = world.check(control("GET", "/v20180820/accesspoint/door"), 200, "");
    assert_eq!((got.element("Bucket"), got.element("NetworkOrigin")), ("box", "Internet"));
    assert_eq!((got.element("RestrictPublicBuckets"), got.element("Alias")), ("true", &*alias));
    let list = world.check(control("GET", "/v20180820/accesspoint?bucket=box"), 200, "");
    assert_eq!((list.element("Name"), list.element("AccessPointArn")), ("door", ARN));
    let list = world.check(control("GET", "/v20180820/accesspoint?bucket=other"), 200, "");
    assert_eq!(list.element("Name"), "");
    let (target, body) = create("door", "");
    let again = control("PUT", &target).body(body.as_bytes());
    world.check(again, 409, "AccessPointAlreadyOwnedByYou");
    for bad in ["Door", "d", "do_or"] {
        let (target, body) = create(bad, "");
        let told = world.send(control("PUT", &target).body(body.as_bytes()));
        assert_eq!(told.status, 400, "{bad}: {}", told.body);
    }
    let other =
        control("GET", "/v20180820/accesspoint/door").header("x-amz-account-id", "111111111111");
    world.check(other, 403, "AccessDenied");
    world.check(ask("s3", "DELETE", "/box/k"), 204, "");
    world.check(ask("s3", "DELETE", "/box"), 400, "BucketHasAccessPointsAttached");
    world.check(control("DELETE", "/v20180820/accesspoint/door"), 200, "");
    world.check(control("GET", "/v20180820/accesspoint/door"), 404, "NoSuchAccessPoint");
    world.check(ask("s3", "GET", &format!("/{alias}/k")), 404, "NoSuchBucket");
    world.check(ask("s3", "DELETE", "/box"), 204, "");
}

#[test]
fn by_arn_alias_and_host() {
    let (world, made) = behind("");
    let alias = made.element("Alias");
    let arn = base::percent::encode(ARN.as_bytes());
    for target in [format!("/{alias}/k"), format!("/{arn}/k"), format!("/{ARN}/k")] {
        world.check(ask("s3", "GET", &target), 200, "content");
    }
    for host in [
        "door-000000000000.s3-accesspoint.us-east-1.amazonaws.com",
        "door-000000000000.localhost:4566",
        "door-000000000000.s3.localhost:4566",
    ] {
        world.check(ask("s3", "GET", "/k").header("host", host), 200, "content");
        world.check(ask("s3", "PUT", "/new").header("host", host).body(b"x"), 200, "");
        let list = world.check(ask("s3", "GET", "/?list-type=2").header("host", host), 200, "");
        assert_eq!(list.element("Name"), ARN);
    }
    world.check(ask("s3", "HEAD", &format!("/{alias}")), 200, "");
    world.check(ask("s3", "GET", "/box/new"), 200, "x");
    let none = ARN.replace("door", "none");
    world.check(ask("s3", "GET", &format!("/{none}/k")), 404, "NoSuchAccessPoint");
    // A bucket is not changed through an access point.
    for (method, target) in [("GET", "?versioning"), ("DELETE", "?policy"), ("DELETE", "")] {
        let told = world.send(ask("s3", method, &format!("/{alias}{target}")));
        assert_eq!(told.status, 405, "{method} {target}: {}", told.body);
    }
    // A bucket of such a name is that bucket.
    world.check(ask("s3", "PUT", "/door-000000000000"), 200, "");
    world.check(ask("s3", "GET", "/door-000000000000/k"), 404, "NoSuchKey");
}

fn policy(statements: &[&str]) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","))
}

fn user_policy(world: &World, user: &str, statements: &[&str]) {
    let policy = policy(statements);
    let policy = base::percent::encode(policy.as_bytes());
    let put = format!(
        "Action=PutUserPolicy&Version=2010-05-08&UserName={user}&PolicyName=p&PolicyDocument={policy}"
    );
    world.check(crate::world::query("iam", &put), 200, "");
}

fn bucket_policy(world: &World, statements: &[&str]) {
    world.check(ask("s3", "PUT", "/box?policy").body(policy(statements).as_bytes()), 204, "");
}

/// The bucket leaves the choice to its account's access points.
const HAND_ON: &str = r#"{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"*","Resource":["arn:aws:s3:::box","arn:aws:s3:::box/*"],"Condition":{"StringEquals":{"s3:DataAccessPointAccount":"000000000000"}}}"#;

fn put_policy(world: &World, statement: &str) -> Told {
    let policy = policy(&[statement]);
    let body = format!(
        "<PutAccessPointPolicyRequest><Policy>{}</Policy></PutAccessPointPolicyRequest>",
        policy.replace('"', "&quot;")
    );
    world.send(control("PUT", "/v20180820/accesspoint/door/policy").body(body.as_bytes()))
}

#[test]
fn both_policies_decide() {
    let (world, made) = behind("");
    let target = format!("/{}/k", made.element("Alias"));
    let (id, secret) = world.user("ann");
    let get = || world.send(ask("s3", "GET", &target).key(&id, &secret)).status;
    let direct = || world.send(ask("s3", "GET", "/box/k").key(&id, &secret)).status;
    assert_eq!((get(), direct()), (403, 403));
    // What the user may do is said of the access point, and the bucket leaves it to that.
    let on_point = format!(r#"{{"Effect":"Allow","Action":"s3:*","Resource":"{ARN}/object/*"}}"#);
    user_policy(&world, "ann", &[&on_point]);
    assert_eq!((get(), direct()), (403, 403));
    bucket_policy(&world, &[HAND_ON]);
    assert_eq!((get(), direct()), (200, 403));
    let deny = |what: &str| {
        format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"{ARN}/object/{what}"}}"#
        )
    };
    assert_eq!(put_policy(&world, &deny("k")).status, 200);
    assert_eq!(get(), 403);
    assert_eq!(put_policy(&world, &deny("other")).status, 200);
    assert_eq!(get(), 200);
    let status = "/v20180820/accesspoint/door/policyStatus";
    assert_eq!(world.check(control("GET", status), 200, "").element("IsPublic"), "false");
    // The bucket refuses what comes through another one than its own.
    let only = |arn: &str| {
        format!(
            r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*","Condition":{{"StringNotEquals":{{"s3:DataAccessPointArn":"{arn}"}}}}}}"#
        )
    };
    let another = only("arn:aws:s3:us-east-1:000000000000:accesspoint/another");
    bucket_policy(&world, &[HAND_ON, &another]);
    assert_eq!(get(), 403);
    bucket_policy(&world, &[HAND_ON, &only(ARN)]);
    assert_eq!(get(), 200);
    world.check(ask("s3", "GET", "/box/k"), 403, "AccessDenied");
}

/// A deny counts wherever it stands, and whichever of the two resources it names.
#[test]
fn every_deny_counts() {
    let (world, made) = behind("");
    let target = format!("/{}/k", made.element("Alias"));
    let (id, secret) = world.user("ann");
    let get = || world.send(ask("s3", "GET", &target).key(&id, &secret)).status;
    let statement = |effect: &str, who: &str, resource: &str| {
        format!(r#"{{"Effect":"{effect}",{who}"Action":"s3:GetObject","Resource":"{resource}"}}"#)
    };
    let (bucket, point) = ("arn:aws:s3:::box/*", format!("{ARN}/object/*"));
    let ann = r#""Principal":{"AWS":"arn:aws:iam::000000000000:user/ann"},"#;
    let own = |effect: &str, resource: &str| statement(effect, "", resource);
    // The access point lets the user in; the bucket must as well, by its policy or by the user's.
    assert_eq!(put_policy(&world, &statement("Allow", ann, &point)).status, 200);
    assert_eq!(get(), 403);
    user_policy(&world, "ann", &[&own("Allow", bucket)]);
    assert_eq!(get(), 200);
    user_policy(&world, "ann", &[&own("Allow", "arn:aws:s3:::box/other")]);
    assert_eq!(get(), 403);
    bucket_policy(&world, &[&statement("Allow", ann, bucket)]);
    assert_eq!(get(), 200);
    for resource in [bucket, &point] {
        user_policy(&world, "ann", &[&own("Allow", "*"), &own("Deny", resource)]);
        assert_eq!(get(), 403, "{resource}");
    }
    user_policy(&world, "ann", &[&own("Allow", "*")]);
    assert_eq!(get(), 200);
    bucket_policy(&world, &[&statement("Allow", ann, bucket), &statement("Deny", ann, bucket)]);
    assert_eq!(get(), 403);
    bucket_policy(&world, &[&statement("Allow", ann, bucket)]);
    assert_eq!(put_policy(&world, &statement("Deny", ann, &point)).status, 200);
    assert_eq!(get(), 403);
    // The access point's policy has no part in what comes another way.
    world.check(ask("s3", "GET", "/box/k").key(&id, &secret), 200, "content");
}

/// Whoever has a name after somebody else is not meant by a policy that named the other.
#[test]
fn who_is_named() {
    let (world, made) = behind("");
    let target = format!("/{}/k", made.element("Alias"));
    let ann = "arn:aws:iam::000000000000:user/ann";
    let allow = |who: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{{"AWS":"{who}"}},"Action":"s3:GetObject","Resource":"{ARN}/object/*"}}"#
        )
    };
    for bad in [ann, "arn:aws-cn:iam::000000000000:root"] {
        let told = put_policy(&world, &allow(bad));
        assert_eq!((told.status, told.element("Code")), (400, "MalformedPolicy"), "{bad}");
    }
    bucket_policy(&world, &[HAND_ON]);
    let (id, secret) = world.user("ann");
    assert_eq!(put_policy(&world, &allow(ann)).status, 200);
    world.check(ask("s3", "GET", &target).key(&id, &secret), 200, "content");
    for call in [format!("DeleteAccessKey&AccessKeyId={id}"), "DeleteUser".to_owned()] {
        let form = format!("Action={call}&Version=2010-05-08&UserName=ann");
        world.check(crate::world::query("iam", &form), 200, "");
    }
    let (id, secret) = world.user("ann");
    world.check(ask("s3", "GET", &target).key(&id, &secret), 403, "AccessDenied");
    let got = world.check(control("GET", "/v20180820/accesspoint/door/policy"), 200, "");
    assert!(got.body.contains("AIDA") && !got.body.contains(ann), "{}", got.body);
}

/// The policy of an access point may ask for what only the object knows, of whoever comes: of root too, and
/// where the object is the source of a copy.
#[test]
fn tags_of_the_object() {
    let (world, made) = behind("");
    let target = format!("/{}/k", made.element("Alias"));
    let copy = || {
        let source = format!("{ARN}/object/k");
        world.send(ask("s3", "PUT", "/box/copy").header("x-amz-copy-source", &source)).status
    };
    let get = || world.send(ask("s3", "GET", &target)).status;
    let deny = format!(
        r#"{{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"{ARN}/object/*","Condition":{{"StringEquals":{{"s3:ExistingObjectTag/secret":"yes"}}}}}}"#
    );
    assert_eq!(put_policy(&world, &deny).status, 200);
    assert_eq!((get(), copy()), (200, 200));
    let tags =
        b"<Tagging><TagSet><Tag><Key>secret</Key><Value>yes</Value></Tag></TagSet></Tagging>";
    world.check(ask("s3", "PUT", "/box/k?tagging").body(tags), 200, "");
    assert_eq!((get(), copy()), (403, 403));
    world.check(ask("s3", "GET", "/box/k"), 200, "content");
}

/// Another account needs both the access point and the bucket, which hands the choice on by account.
#[test]
fn other_accounts() {
    let (world, made) = behind("");
    let target = format!("/{}/k", made.element("Alias"));
    let get = || world.send(ask("s3", "GET", &target).key("111111111111", "test")).status;
    assert_eq!(get(), 403);
    let allow = format!(
        r#"{{"Effect":"Allow","Principal":{{"AWS":"111111111111"}},"Action":"s3:GetObject","Resource":"{ARN}/object/*"}}"#
    );
    assert_eq!(put_policy(&world, &allow).status, 200);
    assert_eq!(get(), 403);
    bucket_policy(&world, &[HAND_ON]);
    assert_eq!(get(), 200);
    let direct = ask("s3", "GET", "/box/k").key("111111111111", "test");
    world.check(direct, 403, "AccessDenied");
    world.check(control("DELETE", "/v20180820/accesspoint/door/policy"), 200, "");
    world.check(
        control("GET", "/v20180820/accesspoint/door/policy"),
        404,
        "NoSuchAccessPointPolicy",
    );
    assert_eq!(get(), 403);
}

#[test]
fn policies_that_make_no_sense() {
    let (world, _) = behind("");
    let statement = |principal: &str, resource: &str| {
        format!(
            r#"{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"{resource}"}}"#
        )
    };
    let own = r#"{"AWS":"111111111111"}"#;
    for resource in ["arn:aws:s3:::box/*", "*", &format!("{ARN}x/object/*")] {
        let told = put_policy(&world, &statement(own, resource));
        assert_eq!((told.status, told.element("Code")), (400, "MalformedPolicy"), "{resource}");
    }
    // All that is public is blocked unless the access point was made without.
    let told = put_policy(&world, &statement("\"*\"", &format!("{ARN}/object/*")));
    assert_eq!(told.element("Code"), "AccessDenied", "{}", told.body);
    let (world, made) = behind(
        "<PublicAccessBlockConfiguration><BlockPublicPolicy>false</BlockPublicPolicy></PublicAccessBlockConfiguration>",
    );
    let told = put_policy(&world, &statement("\"*\"", &format!("{ARN}/object/*")));
    assert_eq!(told.status, 200, "{}", told.body);
    let policy = br#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}]}"#;
    world.check(ask("s3", "PUT", "/box?policy").body(policy), 204, "");
    let target = format!("/{}/k", made.element("Alias"));
    world.check(ask("", "GET", &target).anonymous(), 200, "content");
    // What the account blocks counts for all of its buckets and access points.
    let block = b"<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets><IgnorePublicAcls>true</IgnorePublicAcls></PublicAccessBlockConfiguration>";
    let place = "/v20180820/configuration/publicAccessBlock";
    world.check(control("GET", place), 404, "NoSuchPublicAccessBlockConfiguration");
    world.check(control("PUT", place).body(block), 200, "");
    let got = world.check(control("GET", place), 200, "");
    assert_eq!(
        (got.element("RestrictPublicBuckets"), got.element("BlockPublicAcls")),
        ("true", "false")
    );
    for target in [&*target, "/box/k"] {
        world.check(ask("", "GET", target).anonymous(), 403, "AccessDenied");
    }
    let open = |name: &str| {
        let put = ask("s3", "PUT", name).header("x-amz-acl", "public-read");
        world.send(put).status
    };
    assert_eq!(open("/open"), 200);
    let block = b"<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
    world.check(control("PUT", place).body(block), 200, "");
    assert_eq!(open("/opened"), 403);
    world.check(ask("s3", "GET", "/opened"), 404, "NoSuchBucket");
    world.check(control("DELETE", place), 200, "");
    world.check(ask("", "GET", "/box/k").anonymous(), 200, "content");
}

#[test]
fn of_one_network_alone() {
    let (world, made) =
        behind("<VpcConfiguration><VpcId>vpc-0123456789abcdef0</VpcId></VpcConfiguration>");
    let got = world.check(control("GET", "/v20180820/accesspoint/door"), 200, "");
    assert_eq!(
        (got.element("NetworkOrigin"), got.element("VpcId")),
        ("VPC", "vpc-0123456789abcdef0")
    );
    world.check(ask("s3", "GET", &format!("/{}/k", made.element("Alias"))), 403, "AccessDenied");
}
