use crate::Cloud;
use gen_s3::*;

#[test]
fn policies_are_checked_and_kept_as_they_are() {
    let cloud = Cloud::new();
    let put = |policy: &str| {
        let input = PutBucketPolicyInput {
            bucket: "box".into(),
            policy: policy.into(),
            ..Default::default()
        };
        cloud.call::<PutBucketPolicyOutput>("PutBucketPolicy", &input)
    };
    let get = || {
        let input = GetBucketPolicyInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<GetBucketPolicyOutput>("GetBucketPolicy", &input)
    };
    assert_eq!(get().unwrap_err().code(), "NoSuchBucketPolicy");
    let policy = r#"{"Version":"2012-10-17", "Statement":[{"Effect":"Allow","Principal":"*",
        "Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"}]}"#;
    put(policy).unwrap();
    assert_eq!(get().unwrap().policy.as_deref(), Some(policy));
    for bad in ["", "{}", "[]", &policy.replace("arn:aws:s3:::box", "arn:aws:s3:::other")] {
        assert_eq!(put(bad).unwrap_err().code(), "MalformedPolicy", "{bad}");
    }
    assert_eq!(get().unwrap().policy.as_deref(), Some(policy));
    let input = DeleteBucketPolicyInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketPolicyOutput>("DeleteBucketPolicy", &input).unwrap();
    assert_eq!(get().unwrap_err().code(), "NoSuchBucketPolicy");
}

#[test]
fn lists_of_access() {
    let cloud = Cloud::new();
    cloud.put("k", b"x");
    let get = || {
        let input =
            GetObjectAclInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
        let output: GetObjectAclOutput = cloud.call("GetObjectAcl", &input).unwrap();
        let grants = output.grants.unwrap().into_iter();
        let shown = grants.map(|g| {
            let who = g.grantee.unwrap();
            let name = who.uri.map_or("owner".into(), |u| u.rsplit('/').next().unwrap().to_owned());
            format!("{name} {}", g.permission.unwrap())
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(get(), ["owner FULL_CONTROL"]);
    let base = PutObjectAclInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
    let put = |input: &PutObjectAclInput| cloud.call::<PutObjectAclOutput>("PutObjectAcl", input);
    put(&PutObjectAclInput { acl: Some("public-read".into()), ..base.clone() }).unwrap();
    assert_eq!(get(), ["owner FULL_CONTROL", "AllUsers READ"]);
    let header = r#"uri="http://acs.amazonaws.com/groups/global/AuthenticatedUsers""#;
    put(&PutObjectAclInput { grant_read_acp: Some(header.into()), ..base.clone() }).unwrap();
    assert_eq!(get(), ["AuthenticatedUsers READ_ACP"]);
    let check = |input: PutObjectAclInput, expected: &str| {
        assert_eq!(put(&input).unwrap_err().code(), expected);
    };
    check(base.clone(), "MissingSecurityHeader");
    check(PutObjectAclInput { acl: Some("public".into()), ..base.clone() }, "InvalidArgument");
    let email = Some("emailAddress=a@b.example".to_owned());
    check(PutObjectAclInput { grant_read: email, ..base.clone() }, "MethodNotAllowed");
    let both = PutObjectAclInput {
        acl: Some("private".into()),
        grant_read: Some(header.into()),
        ..base.clone()
    };
    check(both, "InvalidRequest");
    let many = vec![r#"id="000000000000""#; 101].join(",");
    check(PutObjectAclInput { grant_read: Some(many), ..base }, "MalformedACLError");
}

#[test]
fn a_document_names_the_owner_and_gives_nothing_away() {
    let cloud = Cloud::new();
    cloud.put("k", b"x");
    let policy = |owner: Option<&str>| {
        let everybody = Grantee {
            r#type: "Group".into(),
            uri: Some("http://acs.amazonaws.com/groups/global/AllUsers".into()),
            ..Grantee::default()
        };
        let read = Grant { grantee: Some(everybody), permission: Some("READ".into()) };
        let owner = owner.map(|id| Owner { id: Some(id.into()), ..Owner::default() });
        Some(AccessControlPolicy { grants: Some(vec![read]), owner })
    };
    let put = |owner: Option<&str>| {
        let of_object = PutObjectAclInput {
            bucket: "box".into(),
            key: "k".into(),
            access_control_policy: policy(owner),
            ..Default::default()
        };
        let of_bucket = PutBucketAclInput {
            bucket: "box".into(),
            access_control_policy: policy(owner),
            ..Default::default()
        };
        [
            cloud.call::<PutObjectAclOutput>("PutObjectAcl", &of_object).map(drop),
            cloud.call::<PutBucketAclOutput>("PutBucketAcl", &of_bucket).map(drop),
        ]
    };
    let get = || {
        let input = GetBucketAclInput { bucket: "box".into(), ..Default::default() };
        let output: GetBucketAclOutput = cloud.call("GetBucketAcl", &input).unwrap();
        (output.owner.unwrap().id.unwrap(), output.grants.unwrap()[0].permission.clone().unwrap())
    };
    let other = "a".repeat(64);
    for (owner, code) in [(None, "MalformedACLError"), (Some(&*other), "AccessDenied")] {
        for answer in put(owner) {
            assert_eq!(answer.unwrap_err().code(), code);
        }
    }
    let (own, permission) = get();
    assert_eq!(permission, "FULL_CONTROL");
    put(Some(&own)).into_iter().for_each(|answer| answer.unwrap());
    assert_eq!(get(), (own, "READ".to_owned()));
}

#[test]
fn a_grantee_is_named_in_one_way() {
    let cloud = Cloud::new();
    let own = "0".repeat(12);
    let put = |grantee: Grantee| {
        let grant = Grant { grantee: Some(grantee), permission: Some("READ".into()) };
        let owner = Some(Owner { id: Some(own.clone()), ..Owner::default() });
        let policy = AccessControlPolicy { grants: Some(vec![grant]), owner };
        let input = PutBucketAclInput {
            bucket: "box".into(),
            access_control_policy: Some(policy),
            ..Default::default()
        };
        let answer = cloud.call::<PutBucketAclOutput>("PutBucketAcl", &input);
        answer.map_or_else(|error| error.code().to_owned(), |_| String::new())
    };
    let uri = Some("http://acs.amazonaws.com/groups/global/AllUsers".to_owned());
    let user = Grantee {
        r#type: "CanonicalUser".into(),
        id: Some(own.clone()),
        display_name: Some("shown".into()),
        ..Grantee::default()
    };
    let group = Grantee { r#type: "Group".into(), uri: uri.clone(), ..Grantee::default() };
    assert_eq!([put(user.clone()), put(group.clone())], ["", ""]);
    let email_address = Some("a@b.example".to_owned());
    let by_email =
        Grantee { r#type: "AmazonCustomerByEmail".into(), email_address, ..Grantee::default() };
    assert_eq!(put(by_email.clone()), "MethodNotAllowed");
    for wrong in [
        Grantee { uri, ..user.clone() },
        Grantee { id: Some(own.clone()), ..group.clone() },
        Grantee { r#type: "CanonicalUser".into(), id: Some(own.clone()), ..by_email.clone() },
        Grantee { r#type: "Person".into(), ..user },
        Grantee { uri: None, ..group },
    ] {
        assert_eq!(put(wrong), "MalformedACLError");
    }
}

#[test]
fn who_may_not_list_learns_nothing_of_keys() {
    let cloud = Cloud::new();
    cloud.world.door.forbidden.lock().unwrap().insert("s3:ListBucket");
    assert_eq!(cloud.get("missing", None).unwrap_err().code(), "AccessDenied");
}

#[test]
fn what_each_operation_asks() {
    let cloud = Cloud::new();
    let asked = |run: &dyn Fn()| {
        cloud.world.door.asked.lock().unwrap().clear();
        run();
        let asked = cloud.world.door.asked.lock().unwrap();
        let mut all: Vec<String> =
            asked.iter().map(|a| format!("{} {}", a.action, a.resource)).collect();
        all.sort();
        all.dedup();
        all
    };
    assert_eq!(asked(&|| drop(cloud.put("k", b"x"))), ["s3:PutObject arn:aws:s3:::box/k"]);
    let tagged = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        acl: Some("private".into()),
        tagging: Some("a=1".into()),
        ..Default::default()
    };
    assert_eq!(
        asked(&|| drop(cloud.put_as(&tagged, b""))),
        [
            "s3:PutObject arn:aws:s3:::box/k",
            "s3:PutObjectAcl arn:aws:s3:::box/k",
            "s3:PutObjectTagging arn:aws:s3:::box/k"
        ]
    );
    let copy = CopyObjectInput {
        bucket: "box".into(),
        key: "to".into(),
        copy_source: "box/k".into(),
        ..Default::default()
    };
    assert_eq!(
        asked(&|| drop(cloud.call::<CopyObjectOutput>("CopyObject", &copy))),
        [
            "s3:GetObject arn:aws:s3:::box/k",
            "s3:GetObjectTagging arn:aws:s3:::box/k",
            "s3:PutObject arn:aws:s3:::box/to",
            "s3:PutObjectTagging arn:aws:s3:::box/to"
        ]
    );
    assert_eq!(
        asked(&|| drop(cloud.get("k", Some("null")))),
        ["s3:GetObjectVersion arn:aws:s3:::box/k"]
    );
}
