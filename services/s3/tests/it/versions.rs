//! Ids that are none, delete markers where an object is wanted, and what is named twice.

use crate::Cloud;
use crate::objects::code;
use bytes::Bytes;
use gen_s3::*;

fn copy(cloud: &Cloud, source: String) -> Result<CopyObjectOutput, api::Error> {
    let input = CopyObjectInput {
        bucket: "box".into(),
        key: "copy".into(),
        copy_source: source,
        ..Default::default()
    };
    cloud.world.send(&cloud.s3, "CopyObject", &input, Bytes::new()).map(|o| o.output)
}

fn delete_many(cloud: &Cloud, listed: &[(&str, Option<&str>)]) -> DeleteObjectsOutput {
    let one = |(key, version): &(&str, Option<&str>)| ObjectIdentifier {
        key: (*key).into(),
        version_id: version.map(str::to_owned),
        ..Default::default()
    };
    let delete = Delete { objects: listed.iter().map(one).collect(), ..Default::default() };
    let input = DeleteObjectsInput { bucket: "box".into(), delete, ..Default::default() };
    cloud.call("DeleteObjects", &input).unwrap()
}

#[test]
fn ids_that_are_none() {
    let cloud = Cloud::new();
    cloud.put("k", b"before versions");
    cloud.versioning("Enabled");
    let long = "9".repeat(32);
    for id in ["", "x", "NULL", &long] {
        let version_id = Some(id.to_owned());
        let text = match id {
            "" => "Version id cannot be the empty string",
            _ => "Invalid version id specified",
        };
        let check = |result: Result<(), api::Error>| {
            let error = result.unwrap_err();
            assert_eq!((error.code(), error.message()), ("InvalidArgument", text), "{id}");
        };
        let (bucket, key) = ("box".to_owned(), "k".to_owned());
        let input = DeleteObjectInput {
            bucket: bucket.clone(),
            key: key.clone(),
            version_id: version_id.clone(),
            ..Default::default()
        };
        check(cloud.call::<DeleteObjectOutput>("DeleteObject", &input).map(drop));
        check(cloud.get("k", Some(id)).map(drop));
        let input = GetObjectTaggingInput { bucket, key, version_id, ..Default::default() };
        check(cloud.call::<GetObjectTaggingOutput>("GetObjectTagging", &input).map(drop));
        check(copy(&cloud, format!("box/k?versionId={id}")).map(drop));
    }
    // In a list such an id is an error of its own, and an element without text names no version.
    let told = delete_many(&cloud, &[("k", Some("x")), ("k", Some(""))]);
    let errors = told.errors.unwrap();
    let error = (errors[0].code.as_deref(), errors[0].version_id.as_deref());
    assert_eq!(error, (Some("NoSuchVersion"), Some("x")));
    assert_eq!(told.deleted.unwrap()[0].delete_marker, Some(true));
    assert_eq!(cloud.get("k", Some("null")).unwrap().body, "before versions");
}

#[test]
fn what_is_named_twice_is_deleted_once() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    let version = cloud.put("k", b"x").version_id.unwrap();
    let told = delete_many(
        &cloud,
        &[("k", None), ("k", Some(&version)), ("k", None), ("k", Some("")), ("l", None)],
    );
    let deleted = told.deleted.unwrap();
    let shown: Vec<_> = deleted.iter().map(|one| (one.key.as_deref(), one.delete_marker)).collect();
    let (k, l) = (Some("k"), Some("l"));
    assert_eq!(shown, [(k, Some(true)), (k, None), (l, Some(true))]);
    let input = ListObjectVersionsInput { bucket: "box".into(), ..Default::default() };
    let list = cloud.world.send(&cloud.s3, "ListObjectVersions", &input, Bytes::new());
    let output: ListObjectVersionsOutput = list.unwrap().output;
    assert_eq!(output.delete_markers.unwrap().len(), 2);
}

#[test]
fn delete_markers_where_an_object_is_wanted() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    cloud.put("k", b"x");
    let marker = cloud.delete("k", None).version_id.unwrap();
    let (bucket, key) = ("box".to_owned(), "k".to_owned());
    let get = |version_id: Option<String>| {
        let (bucket, key) = (bucket.clone(), key.clone());
        let input = GetObjectAclInput { bucket, key, version_id, ..Default::default() };
        cloud.call::<GetObjectAclOutput>("GetObjectAcl", &input).unwrap_err()
    };
    let put = |version_id: Option<String>| {
        let (bucket, key) = (bucket.clone(), key.clone());
        let tagging = Tagging { tag_set: Vec::new() };
        let input =
            PutObjectTaggingInput { bucket, key, version_id, tagging, ..Default::default() };
        cloud.call::<PutObjectTaggingOutput>("PutObjectTagging", &input).unwrap_err()
    };
    let check = |error: api::Error, expected: (&str, u16), method: Option<&str>, says_so: bool| {
        assert_eq!((error.code(), error.status()), expected);
        let told = error.details().iter().find(|(name, _)| *name == "Method");
        assert_eq!(told.map(|(_, value)| value.as_str()), method);
        let id = error.headers().iter().find(|(name, _)| *name == "x-amz-version-id");
        assert_eq!(id.map(|(_, id)| id), says_so.then_some(&marker));
    };
    check(get(None), ("NoSuchKey", 404), None, true);
    check(get(Some(marker.clone())), ("MethodNotAllowed", 405), Some("GET"), true);
    check(put(None), ("MethodNotAllowed", 405), Some("PUT"), false);
    check(put(Some(marker.clone())), ("MethodNotAllowed", 405), Some("PUT"), true);
    check(copy(&cloud, "box/k".into()).unwrap_err(), ("NoSuchKey", 404), None, true);
    let named = copy(&cloud, format!("box/k?versionId={marker}"));
    assert_eq!(code(named), ("InvalidRequest".into(), 400));
}
