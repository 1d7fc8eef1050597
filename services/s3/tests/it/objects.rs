use crate::Cloud;
use gen_s3::*;

pub fn code<T>(result: Result<T, api::Error>) -> (String, u16) {
    match result {
        Ok(_) => ("ok".into(), 200),
        Err(error) => (error.code().into(), error.status()),
    }
}

#[test]
fn what_is_put_is_got() {
    let cloud = Cloud::new();
    for size in [0, 1, 1023, 16 * 1024, 16 * 1024 + 1, 300_000, 3_000_000] {
        let body: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        let put = cloud.put("k", &body);
        let got = cloud.get("k", None).unwrap();
        assert_eq!(got.body, body, "{size}");
        assert_eq!(got.output.content_length, Some(size as i64));
        assert_eq!(got.output.e_tag, put.e_tag);
    }
    assert_eq!(cloud.put("k", b"").e_tag.as_deref(), Some("\"d41d8cd98f00b204e9800998ecf8427e\""));
    assert_eq!(code(cloud.get("other", None)), ("NoSuchKey".into(), 404));
}

#[test]
fn metadata_comes_back() {
    let cloud = Cloud::new();
    let input = PutObjectInput {
        bucket: "box".into(),
        key: "k".into(),
        content_type: Some("text/plain".into()),
        content_encoding: Some("gzip,aws-chunked".into()),
        metadata: Some([("Color".to_owned(), "red".to_owned())].into()),
        storage_class: Some("STANDARD_IA".into()),
        tagging: Some("a=1&b=2".into()),
        ..Default::default()
    };
    cloud.put_as(&input, b"x").unwrap();
    let output = cloud.get("k", None).unwrap().output;
    assert_eq!(output.content_type.as_deref(), Some("text/plain"));
    assert_eq!(output.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(output.metadata.unwrap()["color"], "red");
    assert_eq!(output.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!(output.tag_count, Some(2));
    cloud.put("plain", b"x");
    let output = cloud.get("plain", None).unwrap().output;
    assert_eq!(output.content_type.as_deref(), Some("binary/octet-stream"));
    assert_eq!(output.storage_class, None);
}

#[test]
fn ranges_answer_206() {
    let cloud = Cloud::new();
    cloud.put("k", b"0123456789");
    let check = |range: &str, expected: Result<(&str, Option<u16>), &str>| {
        let input = GetObjectInput {
            bucket: "box".into(),
            key: "k".into(),
            range: Some(range.into()),
            ..Default::default()
        };
        let got = cloud.get_as(&input);
        let got = got.map(|o| (String::from_utf8(o.body.to_vec()).unwrap(), o.status));
        let got = got.map_err(|e| e.code().to_owned());
        let expected = expected.map(|(body, status)| (body.to_owned(), status));
        assert_eq!(got, expected.map_err(str::to_owned), "{range}");
    };
    check("bytes=2-4", Ok(("234", Some(206))));
    check("bytes=-3", Ok(("789", Some(206))));
    check("bytes=0-", Ok(("0123456789", Some(206))));
    check("bytes=7-100", Ok(("789", Some(206))));
    check("bytes=10-", Err("InvalidRange"));
    check("lines=1-2", Ok(("0123456789", None)));
}

#[test]
fn wrong_checksums_store_nothing() {
    let cloud = Cloud::new();
    let base = PutObjectInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
    let check = |input: PutObjectInput, expected: &str| {
        assert_eq!(code(cloud.put_as(&input, b"hello")).0, expected);
        assert_eq!(code(cloud.get("k", None)).0, "NoSuchKey");
    };
    let md5 = |text: &str| PutObjectInput { content_md5: Some(text.into()), ..base.clone() };
    check(md5("AAAAAAAAAAAAAAAAAAAAAA=="), "BadDigest");
    check(md5("short"), "InvalidDigest");
    // Though a short body is taken before anybody is asked whether it may come.
    let elsewhere = PutObjectInput { bucket: "other".into(), ..md5("AAAAAAAAAAAAAAAAAAAAAA==") };
    check(elsewhere, "NoSuchBucket");
    let crc = |text: &str| PutObjectInput { checksum_crc32: Some(text.into()), ..base.clone() };
    check(crc("AAAAAA=="), "BadDigest");
    check(crc("AAAA"), "InvalidRequest");
    let two = PutObjectInput { checksum_sha1: crc("x").checksum_crc32, ..crc("AAAAAA==") };
    check(two, "InvalidRequest");
    let right = PutObjectInput { checksum_crc32: Some("NhCmhg==".into()), ..base };
    let output = cloud.put_as(&right, b"hello").unwrap();
    assert_eq!(output.checksum_crc32.as_deref(), Some("NhCmhg=="));
}

#[test]
fn conditions_of_reads() {
    let cloud = Cloud::new();
    let tag = cloud.put("k", b"x").e_tag.unwrap();
    let base = GetObjectInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
    let modified = cloud.get("k", None).unwrap().output.last_modified.unwrap();
    let check = |input: GetObjectInput, expected: u16| {
        assert_eq!(code(cloud.get_as(&input)).1, expected, "{input:?}");
    };
    let tag = Some(tag);
    let other = Some("\"other\"".to_owned());
    check(GetObjectInput { if_match: tag.clone(), ..base.clone() }, 200);
    check(GetObjectInput { if_match: other.clone(), ..base.clone() }, 412);
    check(GetObjectInput { if_none_match: tag.clone(), ..base.clone() }, 304);
    check(GetObjectInput { if_none_match: other, ..base.clone() }, 200);
    check(GetObjectInput { if_modified_since: Some(modified), ..base.clone() }, 304);
    let before = Some(modified.plus_secs(-1));
    check(GetObjectInput { if_modified_since: before, ..base.clone() }, 200);
    check(GetObjectInput { if_unmodified_since: before, ..base.clone() }, 412);
    // A matching tag decides, whatever the dates say.
    check(GetObjectInput { if_match: tag, if_unmodified_since: before, ..base }, 200);
}

#[test]
fn conditions_of_writes() {
    let cloud = Cloud::new();
    let base = PutObjectInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
    let new = PutObjectInput { if_none_match: Some("*".into()), ..base.clone() };
    let missing = PutObjectInput { if_match: Some("\"x\"".into()), ..base.clone() };
    assert_eq!(code(cloud.put_as(&missing, b"1")).0, "NoSuchKey");
    let tag = cloud.put_as(&new, b"1").unwrap().e_tag;
    assert_eq!(code(cloud.put_as(&new, b"2")).0, "PreconditionFailed");
    assert_eq!(code(cloud.put_as(&missing, b"2")).0, "PreconditionFailed");
    let same = PutObjectInput { if_match: tag, ..base.clone() };
    cloud.put_as(&same, b"2").unwrap();
    let odd = PutObjectInput { if_none_match: Some("\"x\"".into()), ..base };
    assert_eq!(code(cloud.put_as(&odd, b"3")), ("NotImplemented".into(), 501));
}

#[test]
fn versions_come_and_go() {
    let cloud = Cloud::new();
    cloud.put("k", b"null");
    cloud.versioning("Enabled");
    let first = cloud.put("k", b"first").version_id.unwrap();
    let second = cloud.put("k", b"second").version_id.unwrap();
    let body = |version: Option<&str>| cloud.get("k", version).map(|o| o.body);
    assert_eq!(body(None).unwrap(), "second");
    assert_eq!(body(Some(&first)).unwrap(), "first");
    assert_eq!(body(Some("null")).unwrap(), "null");
    let marker = cloud.delete("k", None);
    assert_eq!(marker.delete_marker, Some(true));
    assert_eq!(code(body(None)), ("NoSuchKey".into(), 404));
    let marker = marker.version_id.unwrap();
    assert_eq!(code(body(Some(&marker))), ("MethodNotAllowed".into(), 405));
    cloud.delete("k", Some(&marker));
    assert_eq!(body(None).unwrap(), "second");
    cloud.delete("k", Some(&second));
    assert_eq!(body(None).unwrap(), "first");
    cloud.versioning("Suspended");
    assert_eq!(cloud.put("k", b"new null").version_id, None);
    assert_eq!(body(Some("null")).unwrap(), "new null");
    assert_eq!(body(Some(&first)).unwrap(), "first");
    cloud.delete("k", None);
    assert_eq!(code(body(Some("null"))).0, "MethodNotAllowed");
    assert_eq!(code(body(Some("never"))).0, "InvalidArgument");
    assert_eq!(code(body(Some(&"a".repeat(32)))).0, "NoSuchVersion");
}

#[test]
fn a_bucket_goes_only_when_empty() {
    let cloud = Cloud::new();
    cloud.put("k", b"x");
    let input = DeleteBucketInput { bucket: "box".into(), ..Default::default() };
    let delete = || cloud.call::<DeleteBucketOutput>("DeleteBucket", &input);
    assert_eq!(code(delete()), ("BucketNotEmpty".into(), 409));
    cloud.versioning("Enabled");
    cloud.delete("k", None);
    assert_eq!(code(delete()).0, "BucketNotEmpty");
    cloud.delete("k", Some("null"));
    let list = ListObjectVersionsInput { bucket: "box".into(), ..Default::default() };
    let left: ListObjectVersionsOutput = cloud.call("ListObjectVersions", &list).unwrap();
    let markers = left.delete_markers.unwrap();
    cloud.delete("k", markers[0].version_id.as_deref());
    delete().unwrap();
    assert_eq!(code(delete()).0, "NoSuchBucket");
    cloud.make_bucket("box");
    assert_eq!(code(cloud.get("k", None)).0, "NoSuchKey");
}

#[test]
fn copies_share_bytes_and_take_what_they_should() {
    let cloud = Cloud::new();
    let input = PutObjectInput {
        bucket: "box".into(),
        key: "from".into(),
        metadata: Some([("a".to_owned(), "1".to_owned())].into()),
        content_type: Some("text/x".into()),
        ..Default::default()
    };
    let body = vec![7u8; 100_000];
    let tag = cloud.put_as(&input, &body).unwrap().e_tag;
    let copy = |input: &CopyObjectInput| cloud.call::<CopyObjectOutput>("CopyObject", input);
    let base = CopyObjectInput {
        bucket: "box".into(),
        key: "to".into(),
        copy_source: "box/from".into(),
        ..Default::default()
    };
    let result = copy(&base).unwrap().copy_object_result.unwrap();
    assert_eq!(result.e_tag, tag);
    cloud.delete("from", None);
    let got = cloud.get("to", None).unwrap();
    assert_eq!(got.body, body);
    assert_eq!(got.output.content_type.as_deref(), Some("text/x"));
    assert_eq!(code(copy(&base)).0, "NoSuchKey");
    let itself = CopyObjectInput { copy_source: "box/to".into(), ..base.clone() };
    assert_eq!(code(copy(&itself)).0, "InvalidRequest");
    let replace = CopyObjectInput { metadata_directive: Some("REPLACE".into()), ..itself.clone() };
    copy(&replace).unwrap();
    assert_eq!(cloud.get("to", None).unwrap().output.metadata, None);
    let sha = CopyObjectInput { checksum_algorithm: Some("SHA256".into()), ..itself };
    let result = copy(&sha).unwrap().copy_object_result.unwrap();
    assert!(result.checksum_sha256.is_some());
    assert_eq!(result.e_tag, tag);
}

#[test]
fn many_are_deleted_at_once_and_refused_one_by_one() {
    let cloud = Cloud::new();
    for key in ["a", "b", "c"] {
        cloud.put(key, b"x");
    }
    let objects =
        ["a", "b", "gone"].map(|key| ObjectIdentifier { key: key.into(), ..Default::default() });
    let delete = Delete { objects: objects.into(), quiet: None };
    let mut input = DeleteObjectsInput { bucket: "box".into(), delete, ..Default::default() };
    let output: DeleteObjectsOutput = cloud.call("DeleteObjects", &input).unwrap();
    assert_eq!(output.deleted.unwrap().len(), 3);
    assert_eq!(code(cloud.get("a", None)).0, "NoSuchKey");
    cloud.get("c", None).unwrap();
    input.delete.objects.clear();
    assert_eq!(code(cloud.call::<DeleteObjectsOutput>("DeleteObjects", &input)).0, "MalformedXML");
    input.delete.objects = vec![ObjectIdentifier { key: "c".into(), ..Default::default() }];
    cloud.world.door.forbidden.lock().unwrap().insert("s3:DeleteObject");
    let output: DeleteObjectsOutput = cloud.call("DeleteObjects", &input).unwrap();
    assert_eq!(output.errors.unwrap()[0].code.as_deref(), Some("AccessDenied"));
    cloud.get("c", None).unwrap();
}

#[test]
fn bad_names_are_refused() {
    let cloud = Cloud::new();
    let input = CreateBucketInput { bucket: "Not_A_Bucket".into(), ..Default::default() };
    let got = cloud.call::<CreateBucketOutput>("CreateBucket", &input);
    assert_eq!(code(got), ("InvalidBucketName".into(), 400));
    let long = PutObjectInput { bucket: "box".into(), key: "k".repeat(1025), ..Default::default() };
    assert_eq!(code(cloud.put_as(&long, b"")).0, "KeyTooLongError");
    for key in ["../../etc/passwd", "/", "//", "a/../b", ".", "\u{1}", "é", "e\u{301}", " ", "+%2F"]
    {
        cloud.put(key, key.as_bytes());
        assert_eq!(cloud.get(key, None).unwrap().body, key.as_bytes(), "{key:?}");
    }
}

#[test]
fn conditions_of_deletes() {
    let cloud = Cloud::new();
    cloud.put("k", b"hello");
    let base = DeleteObjectInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
    let check = |input: DeleteObjectInput, expected: &str| {
        let result = cloud.call::<DeleteObjectOutput>("DeleteObject", &input);
        assert_eq!(code(result).0, expected);
    };
    let size = |size| DeleteObjectInput { if_match_size: Some(size), ..base.clone() };
    check(size(4), "PreconditionFailed");
    check(size(-5), "PreconditionFailed");
    let long_ago = Some(base::Timestamp::from_secs(1));
    let modified = DeleteObjectInput { if_match_last_modified_time: long_ago, ..base.clone() };
    check(modified, "PreconditionFailed");
    check(DeleteObjectInput { if_match: Some("abc".into()), ..base.clone() }, "PreconditionFailed");
    check(size(5), "ok");
    check(size(5), "NoSuchKey");
}
