use crate::Cloud;
use api::Error;
use bytes::Bytes;
use gen_s3::*;

const MIB: usize = 1 << 20;

fn begin(cloud: &Cloud, algorithm: Option<&str>, kind: Option<&str>) -> String {
    let input = CreateMultipartUploadInput {
        bucket: "box".into(),
        key: "k".into(),
        checksum_algorithm: algorithm.map(str::to_owned),
        checksum_type: kind.map(str::to_owned),
        ..Default::default()
    };
    let output: CreateMultipartUploadOutput = cloud.call("CreateMultipartUpload", &input).unwrap();
    output.upload_id.unwrap()
}

fn part(cloud: &Cloud, id: &str, number: i32, body: &[u8]) -> Result<String, Error> {
    let input = UploadPartInput {
        bucket: "box".into(),
        key: "k".into(),
        upload_id: id.into(),
        part_number: number,
        ..Default::default()
    };
    let body = Bytes::copy_from_slice(body);
    let sent = cloud.world.send::<UploadPartOutput>(&cloud.s3, "UploadPart", &input, body)?;
    Ok(sent.output.e_tag.unwrap())
}

fn complete(
    cloud: &Cloud,
    id: &str,
    parts: &[(i32, &str)],
) -> Result<CompleteMultipartUploadOutput, Error> {
    let parts = parts.iter().map(|(number, tag)| CompletedPart {
        part_number: Some(*number),
        e_tag: Some((*tag).to_owned()),
        ..Default::default()
    });
    let input = CompleteMultipartUploadInput {
        bucket: "box".into(),
        key: "k".into(),
        upload_id: id.into(),
        multipart_upload: Some(CompletedMultipartUpload { parts: Some(parts.collect()) }),
        ..Default::default()
    };
    cloud.call("CompleteMultipartUpload", &input)
}

fn bytes(size: usize, seed: u8) -> Vec<u8> {
    (0..size).map(|i| (i % 241) as u8 ^ seed).collect()
}

#[test]
fn parts_make_an_object() {
    let cloud = Cloud::new();
    let id = begin(&cloud, None, None);
    let (one, two) = (bytes(5 * MIB, 1), bytes(1000, 2));
    let second = part(&cloud, &id, 7, &two).unwrap();
    part(&cloud, &id, 2, b"replaced").unwrap();
    let first = part(&cloud, &id, 2, &one).unwrap();
    part(&cloud, &id, 9, b"left out").unwrap();
    let output = complete(&cloud, &id, &[(2, &first), (7, &second)]).unwrap();
    assert!(output.e_tag.as_ref().unwrap().ends_with("-2\""));
    let got = cloud.get("k", None).unwrap();
    assert_eq!(got.body.len(), one.len() + two.len());
    assert_eq!(got.body, [one.clone(), two.clone()].concat());
    let by_part = |number| {
        let input = GetObjectInput {
            bucket: "box".into(),
            key: "k".into(),
            part_number: Some(number),
            ..Default::default()
        };
        cloud.get_as(&input)
    };
    let got = by_part(7).unwrap();
    assert_eq!((got.body.as_ref(), got.status), (two.as_slice(), Some(206)));
    assert_eq!(got.output.parts_count, Some(2));
    assert_eq!(by_part(3).unwrap_err().code(), "InvalidPartNumber");
    // Asked again, it is done already; once something else stands there, the upload is gone.
    assert_eq!(complete(&cloud, &id, &[(2, &first), (7, &second)]).unwrap().e_tag, output.e_tag);
    cloud.put("k", b"x");
    let gone = complete(&cloud, &id, &[(2, &first)]).unwrap_err();
    assert_eq!((gone.code(), gone.status()), ("NoSuchUpload", 404));
}

#[test]
fn wrong_completions_change_nothing() {
    let cloud = Cloud::new();
    let id = begin(&cloud, None, None);
    let small = part(&cloud, &id, 1, b"small").unwrap();
    let last = part(&cloud, &id, 2, b"last").unwrap();
    let check = |parts: &[(i32, &str)], expected: &str| {
        assert_eq!(complete(&cloud, &id, parts).unwrap_err().code(), expected, "{parts:?}");
        assert_eq!(cloud.get("k", None).unwrap_err().code(), "NoSuchKey");
    };
    check(&[], "MalformedXML");
    check(&[(2, &last), (1, &small)], "InvalidPartOrder");
    // Named twice in a row, it counts as it is named last.
    check(&[(1, &small), (1, &last)], "InvalidPart");
    check(&[(1, &last)], "InvalidPart");
    check(&[(3, &last)], "InvalidPart");
    check(&[(1, &small), (2, &last)], "EntityTooSmall");
    check(&[(0, &small)], "InvalidArgument");
    assert_eq!(part(&cloud, &id, 10_001, b"x").unwrap_err().code(), "InvalidArgument");
    assert_eq!(part(&cloud, "nothing", 1, b"x").unwrap_err().code(), "NoSuchUpload");
    complete(&cloud, &id, &[(2, &small), (2, &last)]).unwrap();
}

#[test]
fn checksums_of_the_whole() {
    let cloud = Cloud::new();
    let (one, two) = (bytes(5 * MIB, 3), bytes(77, 4));
    let whole = [one.clone(), two.clone()].concat();
    let by = |algorithm: &str, kind: Option<&str>| {
        let id = begin(&cloud, Some(algorithm), kind);
        let first = part(&cloud, &id, 1, &one).unwrap();
        let second = part(&cloud, &id, 2, &two).unwrap();
        complete(&cloud, &id, &[(1, &first), (2, &second)]).unwrap()
    };
    let full = by("CRC32", Some("FULL_OBJECT"));
    let single = PutObjectInput {
        bucket: "box".into(),
        key: "single".into(),
        checksum_algorithm: Some("CRC32".into()),
        ..Default::default()
    };
    let expected = cloud.put_as(&single, &whole).unwrap().checksum_crc32;
    assert_eq!(full.checksum_crc32, expected);
    let composite = by("SHA256", None);
    assert_eq!(composite.checksum_type.as_deref(), Some("COMPOSITE"));
    assert!(composite.checksum_sha256.unwrap().ends_with("-2"));
    assert_eq!(by("CRC64NVME", None).checksum_type.as_deref(), Some("FULL_OBJECT"));
    let input = CreateMultipartUploadInput {
        bucket: "box".into(),
        key: "k".into(),
        checksum_algorithm: Some("SHA1".into()),
        checksum_type: Some("FULL_OBJECT".into()),
        ..Default::default()
    };
    let refused = cloud.call::<CreateMultipartUploadOutput>("CreateMultipartUpload", &input);
    assert_eq!(refused.unwrap_err().code(), "InvalidRequest");
}

#[test]
fn uploads_and_parts_are_listed_in_pages() {
    let cloud = Cloud::new();
    let id = begin(&cloud, None, None);
    for number in [1, 2, 5] {
        part(&cloud, &id, number, b"x").unwrap();
    }
    let mut input = ListPartsInput {
        bucket: "box".into(),
        key: "k".into(),
        upload_id: id.clone(),
        max_parts: Some(2),
        ..Default::default()
    };
    let page: ListPartsOutput = cloud.call("ListParts", &input).unwrap();
    assert_eq!((page.is_truncated, page.next_part_number_marker), (Some(true), Some(2)));
    input.part_number_marker = page.next_part_number_marker;
    let page: ListPartsOutput = cloud.call("ListParts", &input).unwrap();
    assert_eq!(page.parts.unwrap()[0].part_number, Some(5));
    assert_eq!(page.is_truncated, Some(false));
    begin(&cloud, None, None);
    let mut input = ListMultipartUploadsInput {
        bucket: "box".into(),
        max_uploads: Some(1),
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page: ListMultipartUploadsOutput = cloud.call("ListMultipartUploads", &input).unwrap();
        seen.extend(page.uploads.unwrap().into_iter().map(|u| u.upload_id.unwrap()));
        if page.is_truncated != Some(true) {
            break;
        }
        input.key_marker = page.next_key_marker;
        input.upload_id_marker = page.next_upload_id_marker;
    }
    assert_eq!(seen.len(), 2);
    let input = AbortMultipartUploadInput {
        bucket: "box".into(),
        key: "k".into(),
        upload_id: id.clone(),
        ..Default::default()
    };
    cloud.call::<AbortMultipartUploadOutput>("AbortMultipartUpload", &input).unwrap();
    let again = cloud.call::<AbortMultipartUploadOutput>("AbortMultipartUpload", &input);
    assert_eq!(again.unwrap_err().code(), "NoSuchUpload");
}

#[test]
fn parts_are_copied_from_ranges() {
    let cloud = Cloud::new();
    cloud.put("from", b"0123456789");
    let id = begin(&cloud, None, None);
    let mut input = UploadPartCopyInput {
        bucket: "box".into(),
        key: "k".into(),
        upload_id: id.clone(),
        part_number: 1,
        copy_source: "box/from".into(),
        copy_source_range: Some("bytes=2-5".into()),
        ..Default::default()
    };
    let output: UploadPartCopyOutput = cloud.call("UploadPartCopy", &input).unwrap();
    let tag = output.copy_part_result.unwrap().e_tag.unwrap();
    complete(&cloud, &id, &[(1, &tag)]).unwrap();
    assert_eq!(cloud.get("k", None).unwrap().body, "2345");
    input.upload_id = begin(&cloud, None, None);
    input.copy_source_range = Some("bytes=5-10".into());
    let refused = cloud.call::<UploadPartCopyOutput>("UploadPartCopy", &input);
    assert_eq!(refused.unwrap_err().code(), "InvalidArgument");
}
