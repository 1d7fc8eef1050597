//! Archived objects: refused, restored, and archived again.

use crate::Cloud;
use api::Error;
use api::testing::Outcome;
use gen_s3::*;

fn archive(cloud: &Cloud, key: &str, class: &str) {
    let input = PutObjectInput {
        bucket: "box".into(),
        key: key.into(),
        storage_class: Some(class.into()),
        ..Default::default()
    };
    cloud.put_as(&input, b"cold").unwrap();
}

fn restore(
    cloud: &Cloud,
    key: &str,
    days: Option<i32>,
    tier: &str,
) -> Result<Outcome<RestoreObjectOutput>, Error> {
    let input = RestoreObjectInput {
        bucket: "box".into(),
        key: key.into(),
        restore_request: Some(RestoreRequest {
            days,
            glacier_job_parameters: Some(GlacierJobParameters { tier: tier.into() }),
            ..Default::default()
        }),
        ..Default::default()
    };
    cloud.world.send(&cloud.s3, "RestoreObject", &input, bytes::Bytes::new())
}

fn refused(outcome: Result<Outcome<RestoreObjectOutput>, Error>, code: &str, status: u16) {
    let error = outcome.unwrap_err();
    assert_eq!((error.code(), error.status()), (code, status), "{}", error.message());
}

fn shown(cloud: &Cloud, key: &str) -> Option<String> {
    let input = HeadObjectInput { bucket: "box".into(), key: key.into(), ..Default::default() };
    cloud.call::<HeadObjectOutput>("HeadObject", &input).unwrap().restore
}

#[test]
fn the_way_of_an_archived_object() {
    let cloud = Cloud::new();
    archive(&cloud, "a", "GLACIER");
    let denied = cloud.get("a", None).unwrap_err();
    assert_eq!((denied.code(), denied.status()), ("InvalidObjectState", 403));
    assert_eq!(denied.message(), "The operation is not valid for the object's storage class");
    assert_eq!(shown(&cloud, "a"), None);
    let copy = CopyObjectInput {
        bucket: "box".into(),
        key: "b".into(),
        copy_source: "box/a".into(),
        ..Default::default()
    };
    let error = cloud.call::<CopyObjectOutput>("CopyObject", &copy).unwrap_err();
    assert_eq!(error.code(), "ObjectNotInActiveTierError");
    assert_eq!(restore(&cloud, "a", Some(2), "Standard").unwrap().status, Some(202));
    assert_eq!(shown(&cloud, "a").as_deref(), Some("ongoing-request=\"true\""));
    refused(restore(&cloud, "a", Some(2), "Standard"), "RestoreAlreadyInProgress", 409);
    assert_eq!(cloud.get("a", None).unwrap_err().code(), "InvalidObjectState");
    cloud.world.clock.advance_ms(10_000);
    let until = "ongoing-request=\"false\", expiry-date=\"Mon, 18 Jan 2027 00:00:00 GMT\"";
    assert_eq!(shown(&cloud, "a").as_deref(), Some(until));
    assert_eq!(&cloud.get("a", None).unwrap().body[..], b"cold");
    cloud.call::<CopyObjectOutput>("CopyObject", &copy).unwrap();
    assert_eq!(&cloud.get("b", None).unwrap().body[..], b"cold");
    // Once more only moves the end.
    assert_eq!(restore(&cloud, "a", Some(5), "Standard").unwrap().status, None);
    assert!(shown(&cloud, "a").unwrap().contains("21 Jan"));
    let list = ListObjectsV2Input {
        bucket: "box".into(),
        optional_object_attributes: Some(vec!["RestoreStatus".into()]),
        ..Default::default()
    };
    let listed: ListObjectsV2Output = cloud.call("ListObjectsV2", &list).unwrap();
    let status: Vec<_> = listed.contents.unwrap().into_iter().map(|o| o.restore_status).collect();
    assert_eq!(status[0].as_ref().unwrap().is_restore_in_progress, Some(false));
    assert!(status[1].is_none());
    cloud.world.run_jobs(&cloud.s3);
    for _ in 0..7 {
        cloud.world.clock.advance_ms(86_400_000);
    }
    assert_eq!(cloud.get("a", None).unwrap_err().code(), "InvalidObjectState");
    cloud.world.run_jobs(&cloud.s3);
    assert_eq!(shown(&cloud, "a"), None);
}

#[test]
fn what_cannot_be_restored() {
    let cloud = Cloud::new();
    archive(&cloud, "deep", "DEEP_ARCHIVE");
    archive(&cloud, "warm", "STANDARD_IA");
    archive(&cloud, "ir", "GLACIER_IR");
    assert_eq!(&cloud.get("ir", None).unwrap().body[..], b"cold", "retrieved at once");
    refused(restore(&cloud, "warm", Some(1), "Standard"), "InvalidObjectState", 403);
    refused(restore(&cloud, "deep", Some(1), "Expedited"), "InvalidArgument", 400);
    refused(restore(&cloud, "deep", Some(0), "Bulk"), "InvalidArgument", 400);
    refused(restore(&cloud, "deep", None, "Bulk"), "MalformedXML", 400);
    refused(restore(&cloud, "deep", Some(1), "Soon"), "MalformedXML", 400);
    refused(restore(&cloud, "none", Some(1), "Bulk"), "NoSuchKey", 404);
    let select = RestoreObjectInput {
        bucket: "box".into(),
        key: "deep".into(),
        restore_request: Some(RestoreRequest {
            r#type: Some("SELECT".into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let error = cloud.call::<RestoreObjectOutput>("RestoreObject", &select).unwrap_err();
    assert_eq!(error.status(), 501);
    assert_eq!(shown(&cloud, "deep"), None, "nothing of all this changed it");
}
