//! Replication: what is copied where, as whom, how it stands, and configurations that are refused.

mod model;

use crate::Cloud;
use api::Error;
use base::AccountId;
use directory::{PoliciesRow, ROLES, RoleRow};
use gen_s3::*;
use std::collections::BTreeMap;
use store::Scope;

const ROLE: &str = "arn:aws:iam::000000000000:role/copier";
const DENIED: &str = "AccessDenied";

fn target(bucket: &str) -> Destination {
    Destination { bucket: format!("arn:aws:s3:::{bucket}"), ..Default::default() }
}

/// A rule of the newer form for keys below a prefix.
fn rule(bucket: &str, priority: i32, prefix: &str) -> ReplicationRule {
    ReplicationRule {
        priority: Some(priority),
        status: "Enabled".into(),
        filter: Some(ReplicationRuleFilter { prefix: Some(prefix.into()), ..Default::default() }),
        destination: target(bucket),
        delete_marker_replication: markers("Disabled"),
        ..Default::default()
    }
}

fn markers(status: &str) -> Option<DeleteMarkerReplication> {
    Some(DeleteMarkerReplication { status: Some(status.into()) })
}

fn tag(key: &str, value: &str) -> Tag {
    Tag { key: key.into(), value: value.into() }
}

fn by_tag(key: &str, value: &str) -> Option<ReplicationRuleFilter> {
    Some(ReplicationRuleFilter { tag: Some(tag(key, value)), ..Default::default() })
}

/// A cloud with `box` and `copy`, both with versions, and the role.
fn cloud() -> Cloud {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    cloud.make_versioned("copy");
    cloud.make_role();
    cloud
}

impl Cloud {
    fn make_versioned(&self, bucket: &str) {
        self.make_bucket(bucket);
        let versioning_configuration =
            VersioningConfiguration { status: Some("Enabled".into()), ..Default::default() };
        let bucket = bucket.into();
        let input =
            PutBucketVersioningInput { bucket, versioning_configuration, ..Default::default() };
        self.call::<PutBucketVersioningOutput>("PutBucketVersioning", &input).unwrap();
    }

    fn make_role(&self) {
        let policies =
            PoliciesRow { inline: BTreeMap::new(), attached: Default::default(), boundary: None };
        let role = RoleRow {
            id: "AROAEXAMPLE".into(),
            name: "copier".into(),
            path: "/".into(),
            arn: ROLE.into(),
            created: self.world.store.read(|tx| tx.now()),
            tags: Vec::new(),
            policies,
            trust: "{}".into(),
            description: None,
            session_s_max: 3600,
            trust_ids: BTreeMap::new(),
        };
        let scope = Scope::Account(AccountId::DEFAULT);
        let put = self.world.store.write(|tx| tx.put(&ROLES, &scope, "copier", &role));
        put.now().unwrap().unwrap();
    }

    fn replicate(&self, bucket: &str, rules: Vec<ReplicationRule>) -> Result<(), Error> {
        let replication_configuration = ReplicationConfiguration { role: ROLE.into(), rules };
        let bucket = bucket.into();
        let input =
            PutBucketReplicationInput { bucket, replication_configuration, ..Default::default() };
        self.call::<PutBucketReplicationOutput>("PutBucketReplication", &input).map(drop)
    }

    fn run(&self) {
        self.world.run_jobs(&self.s3);
    }

    fn put_tagged(&self, key: &str, tagging: &str) -> String {
        let input = PutObjectInput {
            bucket: "box".into(),
            key: key.into(),
            tagging: Some(tagging.into()),
            content_type: Some("text/x".into()),
            metadata: Some(BTreeMap::from([("a".into(), "b".into())])),
            ..Default::default()
        };
        self.put_as(&input, b"bytes").unwrap().version_id.unwrap()
    }

    fn head_in(&self, bucket: &str, key: &str) -> Result<HeadObjectOutput, Error> {
        let (bucket, key) = (bucket.into(), key.into());
        let input = HeadObjectInput { bucket, key, ..Default::default() };
        self.call("HeadObject", &input)
    }

    fn status(&self, bucket: &str, key: &str) -> Option<String> {
        self.head_in(bucket, key).unwrap().replication_status
    }

    fn versions(&self, bucket: &str) -> ListObjectVersionsOutput {
        let input = ListObjectVersionsInput { bucket: bucket.into(), ..Default::default() };
        self.call("ListObjectVersions", &input).unwrap()
    }

    /// As `a=1`.
    fn tags(&self, bucket: &str, key: &str) -> Vec<String> {
        let (bucket, key) = (bucket.into(), key.into());
        let input = GetObjectTaggingInput { bucket, key, ..Default::default() };
        let found = self.call::<GetObjectTaggingOutput>("GetObjectTagging", &input).unwrap();
        found.tag_set.into_iter().map(|tag| format!("{}={}", tag.key, tag.value)).collect()
    }

    fn tag_as(&self, bucket: &str, key: &str, tags: Vec<Tag>) {
        let (bucket, key) = (bucket.into(), key.into());
        let tagging = Tagging { tag_set: tags };
        let input = PutObjectTaggingInput { bucket, key, tagging, ..Default::default() };
        self.call::<PutObjectTaggingOutput>("PutObjectTagging", &input).unwrap();
    }

    fn forbid(&self, action: &'static str) {
        self.world.door.forbidden.lock().unwrap().insert(action);
    }
}

#[test]
fn a_copy_is_the_version_that_it_is_of() {
    let cloud = cloud();
    cloud.put("before", b"x");
    cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
    let version = cloud.put_tagged("k", "a=1");
    assert_eq!(cloud.status("box", "k").as_deref(), Some("PENDING"));
    assert!(cloud.head_in("copy", "k").is_err(), "nobody waited for it");
    let made = cloud.head_in("box", "k").unwrap();
    cloud.world.clock.advance_ms(60_000);
    cloud.run();
    assert_eq!(cloud.status("box", "k").as_deref(), Some("COMPLETED"));
    let copy = cloud.head_in("copy", "k").unwrap();
    assert_eq!(copy.replication_status.as_deref(), Some("REPLICA"));
    assert_eq!(copy.version_id.as_ref(), Some(&version));
    assert_eq!(
        (&copy.last_modified, &copy.e_tag, &copy.metadata, &copy.content_type),
        (&made.last_modified, &made.e_tag, &made.metadata, &made.content_type),
    );
    assert_eq!(cloud.tags("copy", "k"), ["a=1"]);
    let input = GetObjectInput { bucket: "copy".into(), key: "k".into(), ..Default::default() };
    assert_eq!(&cloud.get_as(&input).unwrap().body[..], b"bytes");
    assert!(cloud.head_in("copy", "before").is_err(), "what was there is not copied");
    assert_eq!(cloud.status("box", "before"), None);
    // The copy stays when its source goes.
    cloud.delete("k", Some(&version));
    cloud.run();
    assert_eq!(&cloud.get_as(&input).unwrap().body[..], b"bytes");
}

#[test]
fn filters_and_priorities_decide() {
    let cloud = cloud();
    cloud.make_versioned("other");
    let cold = |mut rule: ReplicationRule| {
        rule.destination.storage_class = Some("STANDARD_IA".into());
        rule
    };
    let tagged = ReplicationRule { filter: by_tag("to", "other"), ..cold(rule("other", 3, "")) };
    let and = ReplicationRuleAndOperator {
        prefix: Some("p/".into()),
        tags: Some(vec![tag("a", "1"), tag("b", "2")]),
    };
    let filter = Some(ReplicationRuleFilter { and: Some(and), ..Default::default() });
    let both = ReplicationRule { filter, ..cold(rule("copy", 9, "")) };
    let off = ReplicationRule { status: "Disabled".into(), ..rule("copy", 4, "off/") };
    cloud.replicate("box", vec![rule("copy", 1, "p/"), both, tagged, off]).unwrap();
    for (key, tags) in [
        ("p/plain", ""),
        ("p/both", "a=1&b=2"),
        ("p/half", "a=1&to=other"),
        ("off/x", ""),
        ("q", "to=other"),
    ] {
        cloud.put_tagged(key, tags);
    }
    cloud.run();
    let class = |bucket: &str, key: &str| {
        cloud.head_in(bucket, key).ok().map(|head| head.storage_class.unwrap_or_default())
    };
    let (standard, cold) = (Some(String::new()), Some("STANDARD_IA".to_owned()));
    for (key, copy, other) in [
        ("p/plain", &standard, &None),
        ("p/both", &cold, &None),
        ("p/half", &standard, &cold),
        ("off/x", &None, &None),
        ("q", &None, &cold),
    ] {
        assert_eq!((&class("copy", key), &class("other", key)), (copy, other), "{key}");
    }
    assert_eq!(cloud.status("box", "off/x"), None);
}

#[test]
fn delete_markers_go_along_where_a_rule_says_so() {
    let cloud = cloud();
    let with = ReplicationRule {
        delete_marker_replication: markers("Enabled"),
        ..rule("copy", 1, "with/")
    };
    cloud.replicate("box", vec![with, rule("copy", 2, "without/")]).unwrap();
    for key in ["with/k", "without/k"] {
        cloud.put(key, b"1");
        cloud.delete(key, None);
    }
    cloud.run();
    let there = cloud.versions("copy");
    let markers: Vec<_> =
        there.delete_markers.unwrap().into_iter().map(|m| (m.key.unwrap(), m.version_id)).collect();
    let own = cloud.versions("box").delete_markers.unwrap();
    assert_eq!(markers, [("with/k".to_owned(), own[0].version_id.clone())]);
    assert!(cloud.head_in("copy", "without/k").is_ok());
    // A version that is deleted for good stays there.
    let version = own[0].version_id.clone();
    cloud.delete("with/k", version.as_deref());
    cloud.run();
    assert_eq!(cloud.versions("copy").delete_markers.unwrap().len(), 1);
}

#[test]
fn the_first_form_has_a_prefix_and_takes_markers_along() {
    let cloud = cloud();
    let old = ReplicationRule {
        prefix: Some("a/".into()),
        status: "Enabled".into(),
        destination: target("copy"),
        ..Default::default()
    };
    let also = |prefix: &str, id: &str| {
        let (prefix, id) = (Some(prefix.to_owned()), Some(id.to_owned()));
        ReplicationRule { prefix, id, ..old.clone() }
    };
    for other in ["a/", "", "a/b", "a"] {
        let error = cloud.replicate("box", vec![old.clone(), also(other, "r")]).unwrap_err();
        let text = format!("Found overlapping prefixes 'a/' and '{other}'");
        assert_eq!((error.code(), error.message()), ("InvalidRequest", &*text));
    }
    cloud.replicate("box", vec![old.clone(), also("c/", "c")]).unwrap();
    cloud.replicate("box", vec![old]).unwrap();
    cloud.put("a/k", b"1");
    cloud.delete("a/k", None);
    cloud.put("b/k", b"1");
    cloud.run();
    let there = cloud.versions("copy");
    assert_eq!((there.versions.unwrap().len(), there.delete_markers.unwrap().len()), (1, 1));
}

#[test]
fn what_the_role_may_not_do_fails() {
    let cases = [
        "sts:AssumeRole",
        "s3:GetReplicationConfiguration",
        "s3:ListBucket",
        "s3:GetObjectVersionAcl",
        "s3:ReplicateObject",
    ];
    for action in cases {
        let cloud = cloud();
        cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
        cloud.forbid(action);
        cloud.put("k", b"1");
        cloud.run();
        assert_eq!(cloud.status("box", "k").as_deref(), Some("FAILED"), "{action}");
        assert!(cloud.versions("copy").versions.unwrap_or_default().is_empty(), "{action}");
    }
    // The bytes may be read by either of two permissions, and tags are left out without theirs.
    for (action, tags) in
        [("s3:GetObjectVersion", 1), ("s3:GetObjectVersionTagging", 0), ("s3:ReplicateTags", 0)]
    {
        let cloud = cloud();
        cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
        cloud.put_tagged("k", "a=1");
        cloud.forbid(action);
        cloud.run();
        cloud.world.door.forbidden.lock().unwrap().clear();
        assert_eq!(cloud.status("box", "k").as_deref(), Some("COMPLETED"), "{action}");
        assert_eq!(cloud.tags("copy", "k").len(), tags, "{action}");
    }
}

#[test]
fn what_policies_may_say_of_a_copy() {
    let cloud = cloud();
    const SEALED: &str = "s3:x-amz-server-side-encryption";
    let key = "arn:aws:kms:us-east-1:000000000000:key/copies";
    let mut kms = rule("copy", 1, "");
    kms.source_selection_criteria = Some(SourceSelectionCriteria {
        sse_kms_encrypted_objects: Some(SseKmsEncryptedObjects { status: "Enabled".into() }),
        ..Default::default()
    });
    kms.destination.encryption_configuration =
        Some(EncryptionConfiguration { replica_kms_key_id: Some(key.into()) });
    cloud.replicate("box", vec![kms]).unwrap();
    let asked = |encryption: Option<&str>| {
        cloud.world.door.asked.lock().unwrap().clear();
        let input = PutObjectInput {
            bucket: "box".into(),
            key: "k".into(),
            server_side_encryption: encryption.map(str::to_owned),
            ..Default::default()
        };
        cloud.put_as(&input, b"x").unwrap();
        cloud.run();
        let asked = cloud.world.door.asked.lock().unwrap();
        let found =
            asked.iter().find(|ask| ask.action == "s3:ReplicateObject").expect("a question");
        found.context.iter().map(|(name, values)| (name.to_string(), values.join(","))).collect()
    };
    let plain: Vec<(String, String)> = asked(None);
    assert_eq!(plain, [(SEALED.to_owned(), "AES256".to_owned())]);
    let sealed: Vec<(String, String)> = asked(Some("aws:kms"));
    let expected = [
        (SEALED.to_owned(), "aws:kms".to_owned()),
        (format!("{SEALED}-aws-kms-key-id"), key.to_owned()),
    ];
    assert_eq!(sealed, expected);
}

#[test]
fn a_role_that_is_gone_or_a_target_without_versions_fails() {
    let cloud = cloud();
    cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
    let suspend = PutBucketVersioningInput {
        bucket: "copy".into(),
        versioning_configuration: VersioningConfiguration {
            status: Some("Suspended".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    cloud.call::<PutBucketVersioningOutput>("PutBucketVersioning", &suspend).unwrap();
    cloud.put("k", b"1");
    cloud.run();
    assert_eq!(cloud.status("box", "k").as_deref(), Some("FAILED"));

    let cloud = self::cloud();
    cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
    let scope = Scope::Account(AccountId::DEFAULT);
    let gone = cloud.world.store.write(|tx| tx.delete(&ROLES, &scope, "copier"));
    gone.now().unwrap().unwrap();
    cloud.put("k", b"1");
    cloud.run();
    assert_eq!(cloud.status("box", "k").as_deref(), Some("FAILED"));
}

#[test]
fn buckets_that_replicate_into_each_other_come_to_rest() {
    let cloud = cloud();
    let criteria = SourceSelectionCriteria {
        replica_modifications: Some(ReplicaModifications { status: "Enabled".into() }),
        ..Default::default()
    };
    let both = |bucket: &str| ReplicationRule {
        source_selection_criteria: Some(criteria.clone()),
        ..rule(bucket, 1, "")
    };
    cloud.replicate("box", vec![both("copy")]).unwrap();
    cloud.replicate("copy", vec![both("box")]).unwrap();
    cloud.put("k", b"1");
    cloud.run();
    assert_eq!(cloud.versions("box").versions.unwrap().len(), 1);
    assert_eq!(cloud.versions("copy").versions.unwrap().len(), 1);
    // Tags follow in both directions.
    cloud.tag_as("box", "k", vec![tag("a", "1")]);
    assert_eq!(cloud.status("box", "k").as_deref(), Some("PENDING"));
    cloud.run();
    assert_eq!(cloud.tags("copy", "k"), ["a=1"]);
    cloud.tag_as("copy", "k", vec![tag("a", "2")]);
    cloud.run();
    assert_eq!(cloud.tags("box", "k"), ["a=2"]);
    assert_eq!(cloud.status("copy", "k").as_deref(), Some("REPLICA"));
    assert_eq!(cloud.world.run_jobs(&cloud.s3), 0);
}

#[test]
fn the_version_that_was_made_last_is_the_latest() {
    let cloud = cloud();
    cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
    let first = cloud.put("k", b"first").version_id.unwrap();
    let own = PutObjectInput { bucket: "copy".into(), key: "k".into(), ..Default::default() };
    let own = cloud.put_as(&own, b"own").unwrap().version_id.unwrap();
    cloud.run();
    let ids: Vec<_> =
        cloud.versions("copy").versions.unwrap().into_iter().filter_map(|v| v.version_id).collect();
    assert_eq!(ids, [own, first]);
}

#[test]
fn locks_owners_and_lists_come_along() {
    let mut cloud = cloud();
    // Another account's bucket, with object lock.
    cloud.world.account = AccountId::parse("111122223333").unwrap();
    let input = CreateBucketInput {
        bucket: "theirs".into(),
        object_lock_enabled_for_bucket: Some(true),
        ..Default::default()
    };
    cloud.call::<CreateBucketOutput>("CreateBucket", &input).unwrap();
    cloud.world.account = AccountId::DEFAULT;
    let lock = PutObjectLockConfigurationInput {
        bucket: "box".into(),
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some("Enabled".into()),
            rule: None,
        }),
        ..Default::default()
    };
    cloud.call::<PutObjectLockConfigurationOutput>("PutObjectLockConfiguration", &lock).unwrap();
    let mut theirs = rule("theirs", 1, "");
    theirs.destination.account = Some("111122223333".into());
    theirs.destination.access_control_translation =
        Some(AccessControlTranslation { owner: "Destination".into() });
    cloud.replicate("box", vec![theirs, rule("copy", 2, "")]).unwrap();
    let until = cloud.world.store.read(|tx| tx.now()).plus_millis(86_400_000);
    let input = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        object_lock_mode: Some("GOVERNANCE".into()),
        object_lock_retain_until_date: Some(until),
        object_lock_legal_hold_status: Some("ON".into()),
        ..Default::default()
    };
    cloud.put_as(&input, b"1").unwrap();
    cloud.run();
    // `copy` has no locks, so that it cannot keep what is locked.
    assert_eq!(cloud.status("box", "k").as_deref(), Some("FAILED"));
    assert!(cloud.head_in("copy", "k").is_err());
    let there = cloud.head_in("theirs", "k").unwrap();
    assert_eq!(there.object_lock_mode.as_deref(), Some("GOVERNANCE"));
    assert_eq!(there.object_lock_legal_hold_status.as_deref(), Some("ON"));
    assert_eq!(there.object_lock_retain_until_date, Some(until));
    let acl = GetObjectAclInput { bucket: "theirs".into(), key: "k".into(), ..Default::default() };
    let owner = cloud.call::<GetObjectAclOutput>("GetObjectAcl", &acl).unwrap().owner.unwrap();
    let theirs = AccountId::parse("111122223333").unwrap().canonical_user_id();
    assert_eq!(owner.id.as_ref(), Some(&theirs));
    let asked = cloud.world.door.asked.lock().unwrap();
    for action in ["s3:ObjectOwnerOverrideToBucketOwner", "s3:GetObjectRetention", "iam:PassRole"] {
        assert!(asked.iter().any(|ask| ask.action == action), "{action}");
    }
}

#[test]
fn a_change_of_the_source_shortens_no_compliance_retention_and_lifts_no_hold() {
    let cloud = cloud();
    let lock = |bucket: &str| {
        let input = PutObjectLockConfigurationInput {
            bucket: bucket.into(),
            object_lock_configuration: Some(ObjectLockConfiguration {
                object_lock_enabled: Some("Enabled".into()),
                rule: None,
            }),
            ..Default::default()
        };
        let name = "PutObjectLockConfiguration";
        cloud.call::<PutObjectLockConfigurationOutput>(name, &input).unwrap();
    };
    ["box", "copy"].into_iter().for_each(lock);
    cloud.replicate("box", vec![rule("copy", 1, "")]).unwrap();
    let after = |days: i64| cloud.world.store.read(|tx| tx.now()).plus_millis(days * 86_400_000);
    let (short, long, longest) = (after(1), after(9), after(99));
    let input = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        object_lock_mode: Some("COMPLIANCE".into()),
        object_lock_retain_until_date: Some(short),
        ..Default::default()
    };
    cloud.put_as(&input, b"1").unwrap();
    cloud.run();
    let retain = |bucket: &str, until| {
        let input = PutObjectRetentionInput {
            bucket: bucket.into(),
            key: "k".into(),
            retention: Some(ObjectLockRetention {
                mode: Some("COMPLIANCE".into()),
                retain_until_date: Some(until),
                ..Default::default()
            }),
            ..Default::default()
        };
        cloud.call::<PutObjectRetentionOutput>("PutObjectRetention", &input).unwrap();
    };
    retain("copy", long);
    let hold = PutObjectLegalHoldInput {
        bucket: "copy".into(),
        key: "k".into(),
        legal_hold: Some(ObjectLockLegalHold { status: Some("ON".into()) }),
        ..Default::default()
    };
    cloud.call::<PutObjectLegalHoldOutput>("PutObjectLegalHold", &hold).unwrap();
    cloud.tag_as("box", "k", vec![tag("a", "1")]);
    cloud.run();
    assert_eq!(cloud.tags("copy", "k"), ["a=1"]);
    let there = cloud.head_in("copy", "k").unwrap();
    assert_eq!(there.object_lock_retain_until_date, Some(long));
    assert_eq!(there.object_lock_legal_hold_status.as_deref(), Some("ON"));
    // A longer one goes along.
    retain("box", longest);
    cloud.run();
    let there = cloud.head_in("copy", "k").unwrap();
    assert_eq!(there.object_lock_retain_until_date, Some(longest));
}

#[test]
fn many_targets_are_copied_to_bit_by_bit() {
    let cloud = cloud();
    let names: Vec<String> = (0..70).map(|n| format!("copy-{n}")).collect();
    names.iter().for_each(|name| cloud.make_versioned(name));
    let rules = names.iter().zip(1..).map(|(name, priority)| rule(name, priority, ""));
    cloud.replicate("box", rules.collect()).unwrap();
    cloud.put_tagged("k", "");
    cloud.run();
    assert_eq!(cloud.status("box", "k").as_deref(), Some("COMPLETED"));
    assert!(names.iter().all(|name| cloud.head_in(name, "k").is_ok()));
    // One that does not take it is enough, wherever it stands.
    let input =
        DeleteObjectInput { bucket: names[69].clone(), key: "k".into(), ..Default::default() };
    cloud.call::<DeleteObjectOutput>("DeleteObject", &input).unwrap();
    let versioning_configuration =
        VersioningConfiguration { status: Some("Suspended".into()), ..Default::default() };
    let bucket = names[69].clone();
    let input = PutBucketVersioningInput { bucket, versioning_configuration, ..Default::default() };
    cloud.call::<PutBucketVersioningOutput>("PutBucketVersioning", &input).unwrap();
    cloud.put_tagged("l", "");
    cloud.run();
    assert_eq!(cloud.status("box", "l").as_deref(), Some("FAILED"));
    assert!(names[..69].iter().all(|name| cloud.head_in(name, "l").is_ok()));
}

#[test]
fn a_bucket_of_somebody_else_than_was_said_gets_nothing() {
    let cloud = cloud();
    let mut rule = rule("copy", 1, "");
    rule.destination.account = Some("999999999999".into());
    cloud.replicate("box", vec![rule]).unwrap();
    cloud.put("k", b"1");
    cloud.run();
    assert_eq!(cloud.status("box", "k").as_deref(), Some("FAILED"));
}

#[test]
fn objects_under_keys_of_kms_need_a_rule_that_names_a_key() {
    const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/1";
    let cloud = cloud();
    cloud.make_versioned("sealed");
    let mut kms = rule("sealed", 2, "");
    kms.source_selection_criteria = Some(SourceSelectionCriteria {
        sse_kms_encrypted_objects: Some(SseKmsEncryptedObjects { status: "Enabled".into() }),
        ..Default::default()
    });
    kms.destination.encryption_configuration =
        Some(EncryptionConfiguration { replica_kms_key_id: Some(KEY.into()) });
    cloud.replicate("box", vec![rule("copy", 1, ""), kms]).unwrap();
    let input = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        server_side_encryption: Some("aws:kms".into()),
        ..Default::default()
    };
    cloud.put_as(&input, b"1").unwrap();
    cloud.run();
    assert!(cloud.head_in("copy", "k").is_err());
    assert_eq!(cloud.head_in("sealed", "k").unwrap().ssekms_key_id.as_deref(), Some(KEY));
}

#[test]
fn the_configuration_stays_until_it_is_deleted() {
    let cloud = cloud();
    let get = GetBucketReplicationInput { bucket: "box".into(), ..Default::default() };
    let read = || cloud.call::<GetBucketReplicationOutput>("GetBucketReplication", &get);
    assert_eq!(read().unwrap_err().code(), "ReplicationConfigurationNotFoundError");
    cloud.replicate("box", vec![rule("copy", 1, "a/")]).unwrap();
    let kept = read().unwrap().replication_configuration.unwrap();
    assert_eq!(kept.role, ROLE);
    assert!(kept.rules[0].id.as_ref().is_some_and(|id| !id.is_empty()));
    let suspend = PutBucketVersioningInput {
        bucket: "box".into(),
        versioning_configuration: VersioningConfiguration {
            status: Some("Suspended".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    let refused = cloud.call::<PutBucketVersioningOutput>("PutBucketVersioning", &suspend);
    assert_eq!(refused.unwrap_err().code(), "InvalidBucketState");
    let delete = DeleteBucketReplicationInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketReplicationOutput>("DeleteBucketReplication", &delete).unwrap();
    assert!(read().is_err());
    cloud.put("a/k", b"1");
    assert_eq!(cloud.status("box", "a/k"), None);
    cloud.call::<PutBucketVersioningOutput>("PutBucketVersioning", &suspend).unwrap();
}

/// What is refused, and how; nothing is kept of it.
#[test]
fn bad_configurations() {
    let cloud = cloud();
    cloud.make_bucket("plain");
    let check = |rules: Vec<ReplicationRule>, code: &str, words: &str| {
        let error = cloud.replicate("box", rules).unwrap_err();
        assert_eq!(error.code(), code, "{words}");
        assert!(error.message().contains(words), "{}", error.message());
    };
    let with = |change: &dyn Fn(&mut ReplicationRule)| {
        let mut rule = rule("copy", 1, "");
        change(&mut rule);
        vec![rule]
    };
    let (xml, request, argument) = ("MalformedXML", "InvalidRequest", "InvalidArgument");
    check(vec![], xml, "");
    check(vec![rule("copy", 1, ""); 1001], request, "limit of 1000");
    check(with(&|r| r.status = "On".into()), xml, "");
    check(with(&|r| r.priority = None), request, "Priority must be specified");
    check(with(&|r| r.priority = Some(-1)), request, "Priority must be between");
    check(
        with(&|r| r.delete_marker_replication = None),
        request,
        "DeleteMarkerReplication must be",
    );
    check(
        with(&|r| (r.filter, r.prefix) = (None, Some(String::new()))),
        request,
        "Priority cannot be used",
    );
    check(with(&|r| r.filter = None), xml, "");
    check(with(&|r| r.prefix = Some("a".into())), xml, "");
    check(
        with(&|r| {
            r.filter = by_tag("a", "b");
            r.delete_marker_replication = markers("Enabled");
        }),
        request,
        "Delete marker replication is not supported",
    );
    let two = |rule: &ReplicationRule, id: &str, priority: i32| ReplicationRule {
        id: Some(id.into()),
        priority: Some(priority),
        ..rule.clone()
    };
    let one = rule("copy", 1, "");
    check(vec![two(&one, "a", 1), two(&one, "b", 1)], request, "Found duplicate priority 1.");
    check(vec![two(&one, "a", 1), two(&one, "a", 2)], argument, "Rule Id must be unique");
    check(vec![two(&one, &"a".repeat(256), 1)], argument, "Rule Id cannot be greater");
    check(with(&|r| r.existing_object_replication = Some(Default::default())), xml, "");
    check(
        with(&|r| r.source_selection_criteria = Some(Default::default())),
        request,
        "SourceSelectionCriteria cannot be empty.",
    );
    check(vec![rule("nowhere", 1, "")], request, "Destination bucket must exist.");
    check(vec![rule("plain", 1, "")], request, "must have versioning enabled");
    check(vec![rule("box", 1, "")], request, "cannot be the same");
    check(with(&|r| r.destination.bucket = "copy".into()), argument, "Invalid bucket ARN");
    check(with(&|r| r.destination.bucket = "arn:aws-cn:s3:::copy".into()), argument, "ARN");
    check(with(&|r| r.destination.storage_class = Some("ICE".into())), xml, "");
    check(with(&|r| r.destination.account = Some("1".into())), argument, "Invalid account id");
    let translation = AccessControlTranslation { owner: "Destination".into() };
    check(
        with(&|r| r.destination.access_control_translation = Some(translation.clone())),
        request,
        "Account must be specified",
    );
    let key = EncryptionConfiguration { replica_kms_key_id: Some("k".into()) };
    check(
        with(&|r| r.destination.encryption_configuration = Some(key.clone())),
        request,
        "SseKmsEncryptedObjects must be specified",
    );
    let time = ReplicationTime {
        status: "Enabled".into(),
        time: ReplicationTimeValue { minutes: Some(15) },
    };
    check(
        with(&|r| r.destination.replication_time = Some(time.clone())),
        request,
        "must contain both ReplicationTime and Metrics",
    );
    let get = GetBucketReplicationInput { bucket: "box".into(), ..Default::default() };
    assert!(cloud.call::<GetBucketReplicationOutput>("GetBucketReplication", &get).is_err());
}

#[test]
fn bad_roles_and_sources() {
    let cloud = cloud();
    let put = |bucket: &str, role: &str| {
        let input = PutBucketReplicationInput {
            bucket: bucket.into(),
            replication_configuration: ReplicationConfiguration {
                role: role.into(),
                rules: vec![rule("copy", 1, "")],
            },
            ..Default::default()
        };
        let put = cloud.call::<PutBucketReplicationOutput>("PutBucketReplication", &input);
        put.err().map(|error| error.code().to_owned())
    };
    assert_eq!(put("box", "copier").as_deref(), Some("InvalidArgument"));
    let user = "arn:aws:iam::000000000000:user/copier";
    assert_eq!(put("box", user).as_deref(), Some("InvalidArgument"));
    assert_eq!(put("box", "arn:aws:iam::999999999999:role/copier").as_deref(), Some(DENIED));
    cloud.make_bucket("plain");
    assert_eq!(put("plain", ROLE).as_deref(), Some("InvalidRequest"));
    cloud.forbid("iam:PassRole");
    assert_eq!(put("box", ROLE).as_deref(), Some(DENIED));
}
