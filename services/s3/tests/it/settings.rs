//! What a bucket is told beside its objects: tags, configurations, public access.

use crate::Cloud;
use api::Error;
use gen_s3::*;

fn code<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |_| "ok".into())
}

fn tags(pairs: &[(&str, &str)]) -> Tagging {
    let tag = |(key, value): &(&str, &str)| Tag { key: (*key).into(), value: (*value).into() };
    Tagging { tag_set: pairs.iter().map(tag).collect() }
}

#[test]
fn tags_of_objects() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    let first = cloud.put("k", b"1").version_id;
    cloud.put("k", b"2");
    let put = |version: &Option<String>, tagging: Tagging| {
        let input = PutObjectTaggingInput {
            bucket: "box".into(),
            key: "k".into(),
            version_id: version.clone(),
            tagging,
            ..Default::default()
        };
        cloud.call::<PutObjectTaggingOutput>("PutObjectTagging", &input)
    };
    let get = |version: &Option<String>| {
        let input = GetObjectTaggingInput {
            bucket: "box".into(),
            key: "k".into(),
            version_id: version.clone(),
            ..Default::default()
        };
        let output: GetObjectTaggingOutput = cloud.call("GetObjectTagging", &input).unwrap();
        output.tag_set.iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect::<Vec<_>>()
    };
    put(&first, tags(&[("b", "2"), ("a", "1")])).unwrap();
    assert_eq!(get(&first), ["a=1", "b=2"]);
    assert_eq!(get(&None), [""; 0]);
    assert_eq!(cloud.get("k", first.as_deref()).unwrap().output.tag_count, Some(2));
    assert_eq!(code(put(&None, tags(&[("a", "1"), ("a", "2")]))), "InvalidTag");
    assert_eq!(code(put(&None, tags(&[("", "1")]))), "InvalidTag");
    let names: Vec<String> = (0..11).map(|i| i.to_string()).collect();
    let eleven: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(code(put(&None, tags(&eleven))), "BadRequest");
    let input = DeleteObjectTaggingInput {
        bucket: "box".into(),
        key: "k".into(),
        version_id: first.clone(),
        ..Default::default()
    };
    cloud.call::<DeleteObjectTaggingOutput>("DeleteObjectTagging", &input).unwrap();
    assert_eq!(get(&first), [""; 0]);
    let asked = cloud.world.door.asked.lock().unwrap();
    let of_request = asked.iter().find(|ask| ask.action == "s3:PutObjectVersionTagging").unwrap();
    assert!(of_request.context.contains(&("s3:requestobjecttag/a".into(), vec!["1".into()])));
}

#[test]
fn tags_of_buckets() {
    let cloud = Cloud::new();
    let get = || {
        let input = GetBucketTaggingInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<GetBucketTaggingOutput>("GetBucketTagging", &input)
    };
    let put = |tagging: Tagging| {
        let input = PutBucketTaggingInput { bucket: "box".into(), tagging, ..Default::default() };
        cloud.call::<PutBucketTaggingOutput>("PutBucketTagging", &input)
    };
    assert_eq!(code(get()), "NoSuchTagSet");
    put(tags(&[("team", "x y")])).unwrap();
    assert_eq!(get().unwrap().tag_set[0].value, "x y");
    assert_eq!(code(put(tags(&[("aws:x", "1")]))), "InvalidTag");
    let input = DeleteBucketTaggingInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketTaggingOutput>("DeleteBucketTagging", &input).unwrap();
    assert_eq!(code(get()), "NoSuchTagSet");
}

/// A bucket that is made anew has nothing of the one of its name before.
#[test]
fn configurations_go_with_their_bucket() {
    let cloud = Cloud::new();
    let put = PutBucketTaggingInput {
        bucket: "box".into(),
        tagging: tags(&[("a", "1")]),
        ..Default::default()
    };
    cloud.call::<PutBucketTaggingOutput>("PutBucketTagging", &put).unwrap();
    let delete = DeleteBucketInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketOutput>("DeleteBucket", &delete).unwrap();
    cloud.make_bucket("box");
    let get = GetBucketTaggingInput { bucket: "box".into(), ..Default::default() };
    let got = cloud.call::<GetBucketTaggingOutput>("GetBucketTagging", &get);
    assert_eq!(code(got), "NoSuchTagSet");
}

fn block(cloud: &Cloud, set: impl Fn(&mut PublicAccessBlockConfiguration)) {
    let mut document = PublicAccessBlockConfiguration::default();
    set(&mut document);
    let input = PutPublicAccessBlockInput {
        bucket: "box".into(),
        public_access_block_configuration: document,
        ..Default::default()
    };
    cloud.call::<PutPublicAccessBlockOutput>("PutPublicAccessBlock", &input).unwrap();
}

#[test]
fn public_access_is_blocked() {
    let cloud = Cloud::new();
    let acl = |name: &str| PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        acl: Some(name.into()),
        ..Default::default()
    };
    cloud.put_as(&acl("public-read"), b"x").unwrap();
    block(&cloud, |to| to.block_public_acls = Some(true));
    assert_eq!(code(cloud.put_as(&acl("public-read"), b"x")), "AccessDenied");
    assert_eq!(code(cloud.put_as(&acl("authenticated-read"), b"x")), "AccessDenied");
    assert_eq!(code(cloud.put_as(&acl("bucket-owner-read"), b"x")), "ok");
    let policy = |principal: &str, condition: &str| {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},
            "Action":"s3:GetObject","Resource":"arn:aws:s3:::box/*"{condition}}}]}}"#
        );
        let input = PutBucketPolicyInput { bucket: "box".into(), policy, ..Default::default() };
        cloud.call::<PutBucketPolicyOutput>("PutBucketPolicy", &input)
    };
    let is_public = || {
        let input = GetBucketPolicyStatusInput { bucket: "box".into(), ..Default::default() };
        let output: GetBucketPolicyStatusOutput =
            cloud.call("GetBucketPolicyStatus", &input).unwrap();
        output.policy_status.unwrap().is_public.unwrap()
    };
    policy(r#""*""#, "").unwrap();
    assert!(is_public());
    block(&cloud, |to| to.block_public_policy = Some(true));
    assert_eq!(code(policy(r#""*""#, "")), "AccessDenied");
    let check = |condition: &str, expected: &str| {
        let condition = format!(r#","Condition":{condition}"#);
        assert_eq!(code(policy(r#""*""#, &condition)), expected, "{condition}");
    };
    check(r#"{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}"#, "ok");
    check(r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#, "AccessDenied");
    check(r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#, "ok");
    check(r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#, "AccessDenied");
    check(r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-1"}}"#, "AccessDenied");
    check(r#"{"StringEquals":{"aws:Referer":"x"}}"#, "AccessDenied");
    policy(r#"{"AWS":"111122223333"}"#, "").unwrap();
    assert!(!is_public());
    let input = DeletePublicAccessBlockInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeletePublicAccessBlockOutput>("DeletePublicAccessBlock", &input).unwrap();
    let input = GetPublicAccessBlockInput { bucket: "box".into(), ..Default::default() };
    let got = cloud.call::<GetPublicAccessBlockOutput>("GetPublicAccessBlock", &input);
    assert_eq!(code(got), "NoSuchPublicAccessBlockConfiguration");
}

#[test]
fn ownership_of_objects() {
    let cloud = Cloud::new();
    let put = |name: &str| {
        let rules = vec![OwnershipControlsRule { object_ownership: name.into() }];
        let input = PutBucketOwnershipControlsInput {
            bucket: "box".into(),
            ownership_controls: OwnershipControls { rules },
            ..Default::default()
        };
        cloud.call::<PutBucketOwnershipControlsOutput>("PutBucketOwnershipControls", &input)
    };
    let get = || {
        let input = GetBucketOwnershipControlsInput { bucket: "box".into(), ..Default::default() };
        cloud.call::<GetBucketOwnershipControlsOutput>("GetBucketOwnershipControls", &input)
    };
    assert_eq!(code(get()), "OwnershipControlsNotFoundError");
    assert_eq!(code(put("Nobody")), "MalformedXML");
    put("BucketOwnerEnforced").unwrap();
    let rules = get().unwrap().ownership_controls.unwrap().rules;
    assert_eq!(rules[0].object_ownership, "BucketOwnerEnforced");
    let public = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        acl: Some("public-read".into()),
        ..Default::default()
    };
    assert_eq!(code(cloud.put_as(&public, b"x")), "AccessControlListNotSupported");
}

#[test]
fn encryption_by_default() {
    let cloud = Cloud::new();
    let put = |algorithm: &str, key: Option<&str>| {
        let rule = ServerSideEncryptionRule {
            apply_server_side_encryption_by_default: Some(ServerSideEncryptionByDefault {
                sse_algorithm: algorithm.into(),
                kms_master_key_id: key.map(str::to_owned),
            }),
            ..ServerSideEncryptionRule::default()
        };
        let input = PutBucketEncryptionInput {
            bucket: "box".into(),
            server_side_encryption_configuration: ServerSideEncryptionConfiguration {
                rules: vec![rule],
            },
            ..Default::default()
        };
        cloud.call::<PutBucketEncryptionOutput>("PutBucketEncryption", &input)
    };
    assert_eq!(cloud.put("k", b"x").server_side_encryption.as_deref(), Some("AES256"));
    assert_eq!(code(put("ROT13", None)), "MalformedXML");
    assert_eq!(code(put("AES256", Some("key"))), "InvalidArgument");
    put("aws:kms", Some("key")).unwrap();
    let output = cloud.put("k", b"x");
    assert_eq!(output.server_side_encryption.as_deref(), Some("aws:kms"));
    assert_eq!(output.ssekms_key_id.as_deref(), Some("key"));
    let own = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        server_side_encryption: Some("AES256".into()),
        ..Default::default()
    };
    assert_eq!(cloud.put_as(&own, b"x").unwrap().ssekms_key_id, None);
}

#[test]
fn attributes_of_objects() {
    let cloud = Cloud::new();
    cloud.put("k", b"hello");
    let get = |key: &str, names: &[&str]| {
        let input = GetObjectAttributesInput {
            bucket: "box".into(),
            key: key.into(),
            object_attributes: names.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        cloud.call::<GetObjectAttributesOutput>("GetObjectAttributes", &input)
    };
    let output = get("k", &["ETag", "ObjectSize", "StorageClass", "Checksum"]).unwrap();
    assert_eq!(output.object_size, Some(5));
    assert_eq!(output.e_tag.as_deref(), Some("5d41402abc4b2a76b9719d911017c592"));
    assert_eq!(output.storage_class.as_deref(), Some("STANDARD"));
    assert!(output.checksum.unwrap().checksum_crc64nvme.is_some());
    assert_eq!(get("k", &["ObjectSize"]).unwrap().e_tag, None);
    assert_eq!(code(get("k", &["Colour"])), "InvalidArgument");
    assert_eq!(code(get("missing", &["ETag"])), "NoSuchKey");
}

#[test]
fn buckets_of_today_are_closed() {
    let s3 = Handler(service_s3::S3::with_defaults(service_s3::Defaults::OfToday));
    let cloud = Cloud { world: api::testing::World::new(1), s3 };
    cloud.make_bucket("box");
    let of = || GetPublicAccessBlockInput { bucket: "box".into(), ..Default::default() };
    let block: GetPublicAccessBlockOutput = cloud.call("GetPublicAccessBlock", &of()).unwrap();
    let block = block.public_access_block_configuration.unwrap();
    assert_eq!((block.block_public_acls, block.restrict_public_buckets), (Some(true), Some(true)));
    let input = GetBucketOwnershipControlsInput { bucket: "box".into(), ..Default::default() };
    let controls: GetBucketOwnershipControlsOutput =
        cloud.call("GetBucketOwnershipControls", &input).unwrap();
    let rules = controls.ownership_controls.unwrap().rules;
    assert_eq!(rules[0].object_ownership, "BucketOwnerEnforced");
    let put = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        acl: Some("public-read".into()),
        ..Default::default()
    };
    assert_eq!(code(cloud.put_as(&put, b"x")), "AccessControlListNotSupported");
    let open = CreateBucketInput {
        bucket: "open".into(),
        acl: Some("public-read".into()),
        ..Default::default()
    };
    let refused = cloud.call::<CreateBucketOutput>("CreateBucket", &open);
    assert_eq!(code(refused), "InvalidBucketAclWithObjectOwnership");
    // Who says what they want gets it.
    let own = CreateBucketInput {
        bucket: "own".into(),
        object_ownership: Some("ObjectWriter".into()),
        ..Default::default()
    };
    cloud.call::<CreateBucketOutput>("CreateBucket", &own).unwrap();
    // But not what the block, which comes later, would not let them have.
    let open = CreateBucketInput { object_ownership: own.object_ownership, ..open };
    let refused = cloud.call::<CreateBucketOutput>("CreateBucket", &open);
    assert_eq!(code(refused), "InvalidBucketAclWithBlockPublicAccessError");
}

#[test]
fn namespaces_of_bucket_names() {
    let cloud = Cloud::new();
    let make = |namespace: &str| {
        let input = CreateBucketInput {
            bucket: "named".into(),
            bucket_namespace: Some(namespace.into()),
            ..Default::default()
        };
        code(cloud.call::<CreateBucketOutput>("CreateBucket", &input))
    };
    assert_eq!(make("account-regional"), "NotImplemented");
    assert_eq!(make("nowhere"), "InvalidArgument");
    assert_eq!(make("global"), "ok");
}

/// Root has no device here, so that nobody turns on what would need its codes.
#[test]
fn mfa_delete_takes_a_factor() {
    let cloud = Cloud::new();
    let put = |mfa: &str, header: Option<&str>| {
        let versioning_configuration = VersioningConfiguration {
            status: Some("Enabled".into()),
            mfa_delete: Some(mfa.into()),
        };
        let input = PutBucketVersioningInput {
            bucket: "box".into(),
            versioning_configuration,
            mfa: header.map(str::to_owned),
            ..Default::default()
        };
        cloud.call::<PutBucketVersioningOutput>("PutBucketVersioning", &input)
    };
    assert_eq!(code(put("Enabled", None)), "AccessDenied");
    let header = "arn:aws:iam::000000000000:mfa/root-account-mfa-device 123456";
    let error = put("Enabled", Some(header)).unwrap_err();
    assert_eq!(error.message(), "Mfa Authentication must be used for this request");
    assert_eq!(code(put("Often", None)), "MalformedXML");
    let get = GetBucketVersioningInput { bucket: "box".into(), ..Default::default() };
    let kept = cloud.call::<GetBucketVersioningOutput>("GetBucketVersioning", &get).unwrap();
    assert_eq!((kept.status, kept.mfa_delete), (None, None));
    // Terraform says so each time.
    put("Disabled", None).unwrap();
}

#[test]
fn a_bucket_that_is_made_again_has_a_new_list() {
    let cloud = Cloud::new();
    let make = |acl: Option<&str>| {
        let acl = acl.map(str::to_owned);
        let input = CreateBucketInput { bucket: "again".into(), acl, ..Default::default() };
        cloud.call::<CreateBucketOutput>("CreateBucket", &input).unwrap();
    };
    let grants = || {
        let input = GetBucketAclInput { bucket: "again".into(), ..Default::default() };
        cloud.call::<GetBucketAclOutput>("GetBucketAcl", &input).unwrap().grants.unwrap().len()
    };
    make(Some("public-read"));
    assert_eq!(grants(), 2);
    make(None);
    assert_eq!(grants(), 1);
}
