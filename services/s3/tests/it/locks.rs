//! Object lock: who may delete what, and when.

use crate::Cloud;
use api::Error;
use base::Timestamp;
use gen_s3::*;

fn locked() -> Cloud {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    let document = ObjectLockConfiguration {
        object_lock_enabled: Some("Enabled".into()),
        ..ObjectLockConfiguration::default()
    };
    put_configuration(&cloud, document).unwrap();
    cloud
}

fn put_configuration(
    cloud: &Cloud,
    document: ObjectLockConfiguration,
) -> Result<PutObjectLockConfigurationOutput, Error> {
    let input = PutObjectLockConfigurationInput {
        bucket: "box".into(),
        object_lock_configuration: Some(document),
        ..Default::default()
    };
    cloud.call("PutObjectLockConfiguration", &input)
}

fn after(cloud: &Cloud, secs: i64) -> Timestamp {
    Timestamp::from_secs(
        cloud.world.store.read(|tx| Ok::<_, Error>(tx.now())).unwrap().to_secs() + secs,
    )
}

fn retain(cloud: &Cloud, mode: &str, secs: i64, bypass: bool) -> Result<(), Error> {
    let retention = ObjectLockRetention {
        mode: Some(mode.into()),
        retain_until_date: Some(after(cloud, secs)),
        ..ObjectLockRetention::default()
    };
    let input = PutObjectRetentionInput {
        bucket: "box".into(),
        key: "k".into(),
        retention: Some(retention),
        bypass_governance_retention: Some(bypass),
        ..Default::default()
    };
    cloud.call::<PutObjectRetentionOutput>("PutObjectRetention", &input).map(drop)
}

fn hold(cloud: &Cloud, status: &str) -> Result<(), Error> {
    let legal_hold = Some(ObjectLockLegalHold { status: Some(status.into()) });
    let input = PutObjectLegalHoldInput {
        bucket: "box".into(),
        key: "k".into(),
        legal_hold,
        ..Default::default()
    };
    cloud.call::<PutObjectLegalHoldOutput>("PutObjectLegalHold", &input).map(drop)
}

fn delete(cloud: &Cloud, version: &str, bypass: bool) -> Result<(), Error> {
    let input = DeleteObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        version_id: Some(version.into()),
        bypass_governance_retention: Some(bypass),
        ..Default::default()
    };
    cloud.call::<DeleteObjectOutput>("DeleteObject", &input).map(drop)
}

fn code(result: Result<(), Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |()| "ok".into())
}

#[test]
fn configurations_are_checked() {
    let cloud = Cloud::new();
    let enabled = |rule: Option<ObjectLockRule>| ObjectLockConfiguration {
        object_lock_enabled: Some("Enabled".into()),
        rule,
    };
    assert_eq!(code(put_configuration(&cloud, enabled(None)).map(drop)), "InvalidBucketState");
    let get = GetObjectLockConfigurationInput { bucket: "box".into(), ..Default::default() };
    let none = cloud.call::<GetObjectLockConfigurationOutput>("GetObjectLockConfiguration", &get);
    assert_eq!(none.unwrap_err().code(), "ObjectLockConfigurationNotFoundError");
    cloud.versioning("Enabled");
    let check = |mode: &str, days: Option<i32>, years: Option<i32>, expected: &str| {
        let default_retention =
            Some(DefaultRetention { mode: Some(mode.into()), days, years, ..Default::default() });
        let document = enabled(Some(ObjectLockRule { default_retention }));
        assert_eq!(code(put_configuration(&cloud, document).map(drop)), expected, "{mode}");
    };
    check("GOVERNANCE", None, None, "MalformedXML");
    check("GOVERNANCE", Some(1), Some(1), "MalformedXML");
    check("FOREVER", Some(1), None, "MalformedXML");
    check("GOVERNANCE", Some(0), None, "InvalidRetentionPeriod");
    check("GOVERNANCE", None, Some(101), "InvalidRetentionPeriod");
    check("COMPLIANCE", Some(2), None, "ok");
    let kept: GetObjectLockConfigurationOutput =
        cloud.call("GetObjectLockConfiguration", &get).unwrap();
    let rule = kept.object_lock_configuration.unwrap().rule.unwrap();
    assert_eq!(rule.default_retention.unwrap().days, Some(2));
    let put = cloud.put("k", b"x");
    assert_eq!(code(delete(&cloud, put.version_id.as_deref().unwrap(), true)), "AccessDenied");
    let suspended = PutBucketVersioningInput {
        bucket: "box".into(),
        versioning_configuration: VersioningConfiguration {
            status: Some("Suspended".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    let suspended = cloud.call::<PutBucketVersioningOutput>("PutBucketVersioning", &suspended);
    assert_eq!(suspended.unwrap_err().code(), "InvalidBucketState");
}

#[test]
fn governance_gives_way_to_those_who_may() {
    let cloud = locked();
    let version = cloud.put("k", b"x").version_id.unwrap();
    retain(&cloud, "GOVERNANCE", 100, false).unwrap();
    assert_eq!(code(delete(&cloud, &version, false)), "AccessDenied");
    assert_eq!(code(retain(&cloud, "GOVERNANCE", 50, false)), "AccessDenied");
    assert_eq!(code(retain(&cloud, "GOVERNANCE", 200, false)), "ok");
    assert_eq!(code(retain(&cloud, "GOVERNANCE", 50, true)), "ok");
    cloud.world.door.forbidden.lock().unwrap().insert("s3:BypassGovernanceRetention");
    assert_eq!(code(delete(&cloud, &version, true)), "AccessDenied");
    cloud.world.door.forbidden.lock().unwrap().clear();
    // Without a version a marker is made, which deletes nothing.
    assert_eq!(cloud.delete("k", None).delete_marker, Some(true));
    assert_eq!(code(delete(&cloud, &version, true)), "ok");
}

#[test]
fn compliance_gives_way_to_nobody_but_time() {
    let cloud = locked();
    let version = cloud.put("k", b"x").version_id.unwrap();
    assert_eq!(code(retain(&cloud, "COMPLIANCE", -1, false)), "InvalidArgument");
    assert_eq!(code(retain(&cloud, "SOMETIMES", 1, false)), "MalformedXML");
    retain(&cloud, "COMPLIANCE", 100, false).unwrap();
    assert_eq!(code(retain(&cloud, "COMPLIANCE", 50, true)), "AccessDenied");
    assert_eq!(code(retain(&cloud, "GOVERNANCE", 200, true)), "AccessDenied");
    assert_eq!(code(delete(&cloud, &version, true)), "AccessDenied");
    let got = cloud.get("k", None).unwrap().output;
    assert_eq!(got.object_lock_mode.as_deref(), Some("COMPLIANCE"));
    cloud.world.clock.advance_ms(101_000);
    assert_eq!(code(delete(&cloud, &version, false)), "ok");
}

#[test]
fn holds_hold_until_they_are_lifted() {
    let cloud = locked();
    let version = cloud.put("k", b"x").version_id.unwrap();
    assert_eq!(code(hold(&cloud, "MAYBE")), "MalformedXML");
    hold(&cloud, "ON").unwrap();
    assert_eq!(code(delete(&cloud, &version, true)), "AccessDenied");
    hold(&cloud, "OFF").unwrap();
    assert_eq!(code(delete(&cloud, &version, false)), "ok");
    assert_eq!(code(hold(&cloud, "ON")), "NoSuchKey");
}

#[test]
fn headers_need_a_bucket_with_lock() {
    let base = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        object_lock_mode: Some("GOVERNANCE".into()),
        ..Default::default()
    };
    let open = Cloud::new();
    assert_eq!(open.put_as(&base, b"x").unwrap_err().code(), "InvalidRequest");
    let cloud = locked();
    assert_eq!(cloud.put_as(&base, b"x").unwrap_err().code(), "InvalidArgument");
    let until = Some(after(&cloud, 100));
    let good = PutObjectInput { object_lock_retain_until_date: until, ..base.clone() };
    let version = cloud.put_as(&good, b"x").unwrap().version_id.unwrap();
    assert_eq!(code(delete(&cloud, &version, false)), "AccessDenied");
    let asked = cloud.world.door.asked.lock().unwrap();
    assert!(asked.iter().any(|ask| ask.action == "s3:PutObjectRetention"));
}
