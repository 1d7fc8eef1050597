//! Rules that are refused, and what those that are kept do as days go by.

use crate::Cloud;
use api::Error;
use base::Timestamp;
use gen_s3::*;

const DAY_MS: u32 = 86_400_000;

/// A rule for all keys below a prefix.
fn rule(prefix: &str) -> LifecycleRule {
    LifecycleRule {
        id: Some(format!("rule {prefix}")),
        status: "Enabled".into(),
        filter: Some(LifecycleRuleFilter { prefix: Some(prefix.into()), ..Default::default() }),
        ..Default::default()
    }
}

fn expiring(prefix: &str, days: i32) -> LifecycleRule {
    let expiration = LifecycleExpiration { days: Some(days), ..Default::default() };
    LifecycleRule { expiration: Some(expiration), ..rule(prefix) }
}

fn moving(prefix: &str, days: i32, class: &str) -> LifecycleRule {
    let to = Transition { days: Some(days), storage_class: Some(class.into()), date: None };
    LifecycleRule { transitions: Some(vec![to]), ..rule(prefix) }
}

fn old(days: i32, newer: Option<i32>) -> NoncurrentVersionExpiration {
    NoncurrentVersionExpiration { noncurrent_days: Some(days), newer_noncurrent_versions: newer }
}

impl Cloud {
    fn rules(&self, rules: Vec<LifecycleRule>) -> Result<(), Error> {
        let input = PutBucketLifecycleConfigurationInput {
            bucket: "box".into(),
            lifecycle_configuration: Some(BucketLifecycleConfiguration { rules }),
            ..Default::default()
        };
        let put = self.call::<PutBucketLifecycleConfigurationOutput>(
            "PutBucketLifecycleConfiguration",
            &input,
        );
        put.map(drop)
    }

    /// Lets days go by, and the jobs of each of them run.
    fn days(&self, days: u32) {
        for _ in 0..days {
            self.world.run_jobs(&self.s3);
            self.world.clock.advance_ms(DAY_MS);
        }
        self.world.run_jobs(&self.s3);
    }

    /// Keys, versions and markers that are there: `a`, `a~` for one displaced, `a!` for a marker.
    fn there(&self) -> String {
        let input = ListObjectVersionsInput { bucket: "box".into(), ..Default::default() };
        let page: ListObjectVersionsOutput = self.call("ListObjectVersions", &input).unwrap();
        let mark = |latest: Option<bool>| if latest == Some(true) { "" } else { "~" };
        let mut all: Vec<String> = page
            .versions
            .into_iter()
            .flatten()
            .map(|v| format!("{}{}", v.key.unwrap(), mark(v.is_latest)))
            .collect();
        let markers = page.delete_markers.into_iter().flatten();
        all.extend(markers.map(|m| format!("{}!{}", m.key.unwrap(), mark(m.is_latest))));
        all.sort();
        all.join(" ")
    }

    fn class(&self, key: &str) -> String {
        let input = HeadObjectInput { bucket: "box".into(), key: key.into(), ..Default::default() };
        let head: HeadObjectOutput = self.call("HeadObject", &input).unwrap();
        head.storage_class.unwrap_or_else(|| "STANDARD".into())
    }
}

#[test]
fn rules_that_make_no_sense() {
    let cloud = Cloud::new();
    let check = |change: &dyn Fn(&mut LifecycleRule), code: &str, text: &str| {
        let mut one = expiring("a/", 10);
        change(&mut one);
        let error = cloud.rules(vec![one]).unwrap_err();
        assert_eq!(error.code(), code, "{text}: {}", error.message());
        assert!(error.message().contains(text), "{text}: {}", error.message());
    };
    check(&|r| r.status = "On".into(), "MalformedXML", "");
    check(&|r| r.expiration = None, "InvalidRequest", "At least one action");
    check(&|r| r.prefix = Some("b".into()), "MalformedXML", "");
    check(&|r| r.id = Some("x".repeat(256)), "InvalidArgument", "255");
    let days = |days| Some(LifecycleExpiration { days: Some(days), ..Default::default() });
    check(&|r| r.expiration = days(0), "InvalidArgument", "must be a positive integer");
    check(&|r| r.expiration = days(-1), "InvalidArgument", "must be a positive integer");
    let noon = Timestamp::from_secs(1_800_000_000 / 86_400 * 86_400 + 43_200);
    let at = |date| Some(LifecycleExpiration { date: Some(date), ..Default::default() });
    check(&|r| r.expiration = at(noon), "InvalidArgument", "midnight GMT");
    check(&|r| r.transitions = moving("", 3, "STANDARD_IA").transitions, "InvalidArgument", "30");
    check(&|r| r.transitions = moving("", 3, "WARM").transitions, "MalformedXML", "");
    check(
        &|r| r.transitions = moving("", 30, "GLACIER").transitions,
        "InvalidArgument",
        "must be greater than 'Days' in the Transition action",
    );
    let two = |a: (i32, &str), b: (i32, &str)| {
        let one = |(d, c): (i32, &str)| moving("", d, c).transitions.unwrap().remove(0);
        Some(vec![one(a), one(b)])
    };
    check(
        &|r| (r.transitions, r.expiration) = (two((5, "GLACIER"), (4, "DEEP_ARCHIVE")), None),
        "InvalidArgument",
        "'Days' in the Transition action for StorageClass 'DEEP_ARCHIVE' for filter '(prefix=a/)'",
    );
    check(
        &|r| (r.transitions, r.expiration) = (two((5, "GLACIER"), (6, "GLACIER")), None),
        "InvalidRequest",
        "'StorageClass' must be different for 'Transition' actions",
    );
    let midnight = Timestamp::from_secs(1_800_000_000 / 86_400 * 86_400);
    check(
        &|r| (r.transitions, r.expiration) = (moving("", 3, "GLACIER").transitions, at(midnight)),
        "InvalidRequest",
        "Found mixed 'Date' and 'Days' based Expiration and Transition actions",
    );
    check(
        &|r| r.noncurrent_version_expiration = Some(old(0, None)),
        "InvalidArgument",
        "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer",
    );
    check(
        &|r| r.noncurrent_version_expiration = Some(old(1, Some(0))),
        "InvalidArgument",
        "NewerNoncurrentVersions",
    );
    let tag = Tag { key: "k".into(), value: "v".into() };
    let by_tag = LifecycleRuleFilter { tag: Some(tag.clone()), ..Default::default() };
    check(
        &|r| {
            let abort = AbortIncompleteMultipartUpload { days_after_initiation: Some(1) };
            r.abort_incomplete_multipart_upload = Some(abort);
            r.filter = Some(by_tag.clone());
        },
        "InvalidRequest",
        "AbortIncompleteMultipartUpload cannot be specified with Tags.",
    );
    check(
        &|r| {
            let end = LifecycleExpiration {
                expired_object_delete_marker: Some(true),
                ..Default::default()
            };
            r.expiration = Some(end);
            r.filter = Some(by_tag.clone());
        },
        "InvalidRequest",
        "ExpiredObjectDeleteMarker cannot be specified with Tags.",
    );
    let twice = LifecycleRuleAndOperator {
        tags: Some(vec![tag.clone(), tag.clone()]),
        ..Default::default()
    };
    let and = LifecycleRuleFilter { and: Some(twice), ..Default::default() };
    check(&|r| r.filter = Some(and.clone()), "InvalidArgument", "Duplicate Tag Keys");
    let both = cloud.rules(vec![expiring("a", 1), expiring("a", 2)]).unwrap_err();
    assert_eq!(both.code(), "InvalidArgument");
    assert_eq!(cloud.rules(Vec::new()).unwrap_err().code(), "MalformedXML");
    let many = (0..1001).map(|n| expiring(&n.to_string(), 1)).collect();
    assert_eq!(cloud.rules(many).unwrap_err().code(), "MalformedXML");
    let get = GetBucketLifecycleConfigurationInput { bucket: "box".into(), ..Default::default() };
    let none = cloud
        .call::<GetBucketLifecycleConfigurationOutput>("GetBucketLifecycleConfiguration", &get);
    assert_eq!(none.unwrap_err().code(), "NoSuchLifecycleConfiguration");
}

#[test]
fn objects_expire_at_the_midnight_after_their_days() {
    let cloud = Cloud::new();
    cloud.rules(vec![expiring("logs/", 2)]).unwrap();
    let told = cloud.put("logs/a", b"1").expiration.unwrap();
    // Made on 2027-01-15 at 08:00.
    assert_eq!(told, "expiry-date=\"Mon, 18 Jan 2027 00:00:00 GMT\", rule-id=\"rule%20logs%2F\"");
    assert_eq!(cloud.put("other", b"1").expiration, None);
    assert_eq!(cloud.get("logs/a", None).unwrap().output.expiration.as_ref(), Some(&told));
    cloud.days(2);
    assert_eq!(cloud.there(), "logs/a other", "16 hours are left");
    cloud.days(1);
    assert_eq!(cloud.there(), "other");
    // What no rule is for any more stays.
    cloud.put("logs/b", b"1");
    let gone = DeleteBucketLifecycleInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketLifecycleOutput>("DeleteBucketLifecycle", &gone).unwrap();
    cloud.days(5);
    assert_eq!(cloud.there(), "logs/b other");
}

#[test]
fn filters_by_tag_and_size() {
    let cloud = Cloud::new();
    let tag = |value: &str| Tag { key: "keep".into(), value: value.into() };
    let and = LifecycleRuleAndOperator {
        prefix: Some("t".into()),
        tags: Some(vec![tag("no")]),
        object_size_greater_than: Some(2),
        object_size_less_than: Some(5),
    };
    let filter = LifecycleRuleFilter { and: Some(and), ..Default::default() };
    cloud.rules(vec![LifecycleRule { filter: Some(filter), ..expiring("", 1) }]).unwrap();
    let put = |key: &str, tagging: &str, body: &[u8]| {
        let input = PutObjectInput {
            bucket: "box".into(),
            key: key.into(),
            tagging: Some(tagging.into()),
            ..Default::default()
        };
        cloud.put_as(&input, body).unwrap().expiration.is_some()
    };
    assert!(put("t-fits", "keep=no&more=1", b"333"));
    assert!(!put("t-kept", "keep=yes", b"333"));
    assert!(!put("t-small", "keep=no", b"22"));
    assert!(!put("t-large", "keep=no", b"55555"));
    assert!(!put("other", "keep=no", b"333"));
    cloud.days(3);
    assert_eq!(cloud.there(), "other t-kept t-large t-small");
}

#[test]
fn versions_are_displaced_then_removed_then_their_marker() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    let end =
        LifecycleRule { noncurrent_version_expiration: Some(old(1, None)), ..expiring("", 3) };
    cloud.rules(vec![end]).unwrap();
    cloud.put("a", b"1");
    cloud.days(3);
    assert_eq!(cloud.there(), "a");
    cloud.days(1);
    assert_eq!(cloud.there(), "a! a~", "a marker is put over the version that expired");
    cloud.days(2);
    assert_eq!(cloud.there(), "a!", "the version goes a day later");
    cloud.days(3);
    assert_eq!(cloud.there(), "", "the marker goes when it is old enough itself");
}

#[test]
fn newer_versions_are_kept_and_locked_ones_too() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    for n in 0..5u8 {
        cloud.put("a", &[n]);
    }
    let keep = LifecycleRule { noncurrent_version_expiration: Some(old(1, Some(2))), ..rule("") };
    cloud.rules(vec![keep]).unwrap();
    cloud.days(3);
    assert_eq!(cloud.there(), "a a~ a~");
    let body = |nth: usize| {
        let input = ListObjectVersionsInput { bucket: "box".into(), ..Default::default() };
        let page: ListObjectVersionsOutput = cloud.call("ListObjectVersions", &input).unwrap();
        let id = page.versions.unwrap()[nth].version_id.clone().unwrap();
        cloud.get("a", Some(&id)).unwrap().body[0]
    };
    assert_eq!((body(0), body(1), body(2)), (4, 3, 2), "the newest are those that stay");
}

#[test]
fn locked_versions_outlive_their_rules() {
    let cloud = Cloud::new();
    let input = CreateBucketInput {
        bucket: "vault".into(),
        object_lock_enabled_for_bucket: Some(true),
        ..Default::default()
    };
    cloud.call::<CreateBucketOutput>("CreateBucket", &input).unwrap();
    let put = |key: &str, hold: Option<&str>| {
        let input = PutObjectInput {
            bucket: "vault".into(),
            key: key.into(),
            object_lock_legal_hold_status: hold.map(str::to_owned),
            ..Default::default()
        };
        cloud.put_as(&input, b"x").unwrap();
    };
    for key in ["free", "held"] {
        put(key, (key == "held").then_some("ON"));
        put(key, None);
    }
    let rules = PutBucketLifecycleConfigurationInput {
        bucket: "vault".into(),
        lifecycle_configuration: Some(BucketLifecycleConfiguration {
            rules: vec![LifecycleRule {
                noncurrent_version_expiration: Some(old(1, None)),
                ..rule("")
            }],
        }),
        ..Default::default()
    };
    cloud
        .call::<PutBucketLifecycleConfigurationOutput>("PutBucketLifecycleConfiguration", &rules)
        .unwrap();
    cloud.days(4);
    let input = ListObjectVersionsInput { bucket: "vault".into(), ..Default::default() };
    let page: ListObjectVersionsOutput = cloud.call("ListObjectVersions", &input).unwrap();
    let keys: Vec<String> = page.versions.unwrap().into_iter().filter_map(|v| v.key).collect();
    assert_eq!(keys, ["free", "held", "held"]);
}

#[test]
fn suspended_versioning_and_markers_alone() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    cloud.put("a", b"1");
    cloud.versioning("Suspended");
    cloud.put("b", b"1");
    cloud.delete("gone", None);
    cloud.rules(vec![expiring("", 1)]).unwrap();
    cloud.days(2);
    assert_eq!(cloud.there(), "a! a~ b!", "b's null version gave way to the null marker");
    let marker =
        LifecycleExpiration { expired_object_delete_marker: Some(true), ..Default::default() };
    cloud.rules(vec![LifecycleRule { expiration: Some(marker), ..rule("") }]).unwrap();
    cloud.days(0);
    assert_eq!(cloud.there(), "a! a~", "at the next pass");
}

#[test]
fn classes_go_one_way_and_small_objects_stay() {
    let cloud = Cloud::new();
    let large = vec![7; 200 << 10];
    cloud.put("big", &large);
    cloud.put("small", b"1");
    let mut all = moving("", 1, "GLACIER_IR");
    all.transitions.as_mut().unwrap().push(Transition {
        days: Some(100),
        storage_class: Some("DEEP_ARCHIVE".into()),
        date: None,
    });
    let warm = moving("", 40, "INTELLIGENT_TIERING");
    cloud.rules(vec![all, LifecycleRule { id: Some("warm".into()), ..warm }]).unwrap();
    cloud.days(2);
    assert_eq!(
        (cloud.class("big"), cloud.class("small")),
        ("GLACIER_IR".into(), "STANDARD".into())
    );
    cloud.days(40);
    assert_eq!(cloud.class("big"), "GLACIER_IR", "never to a warmer class");
    cloud.days(60);
    assert_eq!(cloud.class("big"), "DEEP_ARCHIVE");
    let sized = LifecycleRuleFilter { object_size_greater_than: Some(0), ..Default::default() };
    let rule = LifecycleRule { filter: Some(sized), ..moving("", 0, "GLACIER_IR") };
    cloud.rules(vec![rule]).unwrap();
    cloud.days(1);
    assert_eq!(cloud.class("small"), "GLACIER_IR", "a rule that speaks of sizes moves it");
}

#[test]
fn uploads_are_given_up() {
    let cloud = Cloud::new();
    let abort = AbortIncompleteMultipartUpload { days_after_initiation: Some(1) };
    let rule = LifecycleRule { abort_incomplete_multipart_upload: Some(abort), ..rule("up/") };
    cloud.rules(vec![rule]).unwrap();
    let begin = |key: &str| {
        let input = CreateMultipartUploadInput {
            bucket: "box".into(),
            key: key.into(),
            ..Default::default()
        };
        let begun: CreateMultipartUploadOutput =
            cloud.call("CreateMultipartUpload", &input).unwrap();
        for number in 1..=3 {
            let part = UploadPartInput {
                bucket: "box".into(),
                key: key.into(),
                upload_id: begun.upload_id.clone().unwrap(),
                part_number: number,
                ..Default::default()
            };
            cloud
                .world
                .send::<UploadPartOutput>(&cloud.s3, "UploadPart", &part, vec![1; 30_000].into())
                .unwrap();
        }
        begun
    };
    let told = begin("up/a");
    assert_eq!(told.abort_rule_id.as_deref(), Some("rule up/"));
    assert_eq!(told.abort_date.unwrap().iso8601_secs(), "2027-01-17T00:00:00Z");
    assert_eq!(begin("other").abort_date, None);
    cloud.days(2);
    let list = ListMultipartUploadsInput { bucket: "box".into(), ..Default::default() };
    let left: ListMultipartUploadsOutput = cloud.call("ListMultipartUploads", &list).unwrap();
    let keys: Vec<_> = left.uploads.unwrap().into_iter().filter_map(|u| u.key).collect();
    assert_eq!(keys, ["other"]);
    // What is left goes with the bucket.
    let gone = DeleteBucketInput { bucket: "box".into(), ..Default::default() };
    cloud.call::<DeleteBucketOutput>("DeleteBucket", &gone).unwrap();
    cloud.world.run_jobs(&cloud.s3);
    let found = cloud.world.store.blobs().check(&cloud.world.store).unwrap();
    assert_eq!((found.problems.len(), found.leftovers.len()), (0, 0), "{found:?}");
    assert_eq!(found.blobs, 0, "{found:?}");
}

#[test]
fn a_large_bucket_is_walked_in_pieces() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    for n in 0..700 {
        cloud.put(&format!("{}/{n:04}", n % 3), b"x");
        if n % 2 == 0 {
            cloud.put(&format!("{}/{n:04}", n % 3), b"y");
        }
    }
    let both = |prefix: &str| LifecycleRule {
        noncurrent_version_expiration: Some(old(1, None)),
        ..expiring(prefix, 1)
    };
    cloud.rules(vec![both("0/"), both("2/")]).unwrap();
    cloud.days(8);
    let there = cloud.there();
    let left: Vec<&str> = there.split(' ').collect();
    assert!(left.iter().all(|key| key.starts_with("1/")), "{there}");
    assert_eq!(left.len(), 349);
}
