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
