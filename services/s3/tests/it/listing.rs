use crate::Cloud;
use gen_s3::*;

/// All pages of a listing: keys, and common prefixes in parentheses.
fn walk(cloud: &Cloud, prefix: &str, delimiter: &str, max: i32) -> Vec<String> {
    let text = |t: &str| (!t.is_empty()).then(|| t.to_owned());
    let mut input = ListObjectsV2Input {
        bucket: "box".into(),
        prefix: text(prefix),
        delimiter: text(delimiter),
        max_keys: Some(max),
        ..Default::default()
    };
    let mut all = Vec::new();
    loop {
        let page: ListObjectsV2Output = cloud.call("ListObjectsV2", &input).unwrap();
        let keys = page.contents.into_iter().flatten().map(|o| o.key.unwrap());
        let folders = page.common_prefixes.into_iter().flatten();
        let mut found: Vec<String> = keys.collect();
        found.extend(folders.map(|p| format!("({})", p.prefix.unwrap())));
        assert_eq!(page.key_count, Some(found.len() as i32));
        assert!(found.len() <= max as usize);
        all.extend(found);
        match page.next_continuation_token {
            Some(token) => input.continuation_token = Some(token),
            None => return all,
        }
    }
}

#[test]
fn folders_and_pages() {
    let cloud = Cloud::new();
    for key in ["a", "a/1", "a/2", "a/b/1", "b/1", "c", "d//e", "é/x"] {
        cloud.put(key, b"x");
    }
    let check = |prefix: &str, delimiter: &str, expected: &[&str]| {
        for max in [1, 2, 3, 1000] {
            let mut got = walk(&cloud, prefix, delimiter, max);
            let mut expected = expected.to_vec();
            got.sort();
            expected.sort_unstable();
            assert_eq!(got, expected, "{prefix:?} {delimiter:?} by {max}");
        }
    };
    check("", "/", &["a", "(a/)", "(b/)", "c", "(d/)", "(é/)"]);
    check("a/", "/", &["a/1", "a/2", "(a/b/)"]);
    check("a", "", &["a", "a/1", "a/2", "a/b/1"]);
    check("", "//", &["a", "a/1", "a/2", "a/b/1", "b/1", "c", "(d//)", "é/x"]);
    check("nothing", "/", &[]);
    check("", "a", &["(a)", "b/1", "c", "d//e", "é/x"]);
}

#[test]
fn markers_and_encoding() {
    let cloud = Cloud::new();
    for key in ["a b", "a+b", "x/1", "x/2", "y"] {
        cloud.put(key, b"x");
    }
    let mut input = ListObjectsInput {
        bucket: "box".into(),
        encoding_type: Some("url".into()),
        delimiter: Some("/".into()),
        max_keys: Some(3),
        ..Default::default()
    };
    let page: ListObjectsOutput = cloud.call("ListObjects", &input).unwrap();
    let keys: Vec<_> = page.contents.unwrap().into_iter().map(|o| o.key.unwrap()).collect();
    assert_eq!(keys, ["a+b", "a%2Bb"]);
    assert_eq!(page.next_marker.as_deref(), Some("x/"));
    input.marker = page.next_marker;
    let page: ListObjectsOutput = cloud.call("ListObjects", &input).unwrap();
    assert_eq!(page.contents.unwrap()[0].key.as_deref(), Some("y"));
    assert_eq!(page.is_truncated, Some(false));
    // A marker within a folder: what is left of the folder still shows as one prefix.
    input.marker = Some("x/1".into());
    let page: ListObjectsOutput = cloud.call("ListObjects", &input).unwrap();
    assert_eq!(page.common_prefixes.unwrap().len(), 0);
    input.max_keys = Some(0);
    let page: ListObjectsOutput = cloud.call("ListObjects", &input).unwrap();
    assert_eq!((page.contents.unwrap().len(), page.is_truncated), (0, Some(false)));
    input.max_keys = Some(-1);
    let refused = cloud.call::<ListObjectsOutput>("ListObjects", &input);
    assert_eq!(refused.unwrap_err().code(), "InvalidArgument");
}

#[test]
fn tokens_are_good_for_their_own_listing_alone() {
    let cloud = Cloud::new();
    for key in ["a", "b", "c"] {
        cloud.put(key, b"x");
    }
    let mut input =
        ListObjectsV2Input { bucket: "box".into(), max_keys: Some(1), ..Default::default() };
    let page: ListObjectsV2Output = cloud.call("ListObjectsV2", &input).unwrap();
    input.continuation_token = page.next_continuation_token;
    input.prefix = Some("a".into());
    let refused = cloud.call::<ListObjectsV2Output>("ListObjectsV2", &input);
    assert_eq!(refused.unwrap_err().code(), "InvalidArgument");
    input.continuation_token = Some("forged".into());
    let refused = cloud.call::<ListObjectsV2Output>("ListObjectsV2", &input);
    assert_eq!(refused.unwrap_err().code(), "InvalidArgument");
}

#[test]
fn versions_in_pages_of_every_size() {
    let cloud = Cloud::new();
    cloud.put("a", b"0");
    cloud.versioning("Enabled");
    for key in ["a", "b/1", "b/2", "a", "c"] {
        cloud.put(key, b"x");
    }
    cloud.delete("c", None);
    let walk = |max: i32, delimiter: Option<&str>| {
        let mut input = ListObjectVersionsInput {
            bucket: "box".into(),
            max_keys: Some(max),
            delimiter: delimiter.map(str::to_owned),
            ..Default::default()
        };
        let mut all = Vec::new();
        loop {
            let page: ListObjectVersionsOutput = cloud.call("ListObjectVersions", &input).unwrap();
            for v in page.versions.into_iter().flatten() {
                all.push((v.key.unwrap(), v.version_id.unwrap(), v.is_latest.unwrap()));
            }
            for v in page.delete_markers.into_iter().flatten() {
                all.push((v.key.unwrap(), v.version_id.unwrap(), v.is_latest.unwrap()));
            }
            for p in page.common_prefixes.into_iter().flatten() {
                all.push((p.prefix.unwrap(), String::new(), false));
            }
            if page.is_truncated != Some(true) {
                all.sort();
                return all;
            }
            input.key_marker = page.next_key_marker;
            input.version_id_marker = page.next_version_id_marker;
        }
    };
    let whole = walk(1000, None);
    assert_eq!(whole.len(), 7);
    assert_eq!(whole.iter().filter(|v| v.2).count(), 4);
    for max in 1..7 {
        assert_eq!(walk(max, None), whole, "{max}");
    }
    for max in 1..6 {
        assert_eq!(walk(max, Some("/")).len(), 6, "{max}");
    }
}

#[test]
fn buckets_are_their_owners() {
    let mut cloud = Cloud::new();
    cloud.make_bucket("another");
    let list = |cloud: &Cloud, max: Option<i32>, token: Option<String>| {
        let input =
            ListBucketsInput { max_buckets: max, continuation_token: token, ..Default::default() };
        cloud.call::<ListBucketsOutput>("ListBuckets", &input).unwrap()
    };
    let names = |output: &ListBucketsOutput| -> Vec<String> {
        output.buckets.iter().flatten().map(|b| b.name.clone().unwrap()).collect()
    };
    assert_eq!(names(&list(&cloud, None, None)), ["another", "box"]);
    let page = list(&cloud, Some(1), None);
    assert_eq!(names(&page), ["another"]);
    assert_eq!(names(&list(&cloud, Some(1), page.continuation_token)), ["box"]);
    cloud.world.account = base::AccountId::parse("111111111111").unwrap();
    assert!(names(&list(&cloud, None, None)).is_empty());
    let input = CreateBucketInput { bucket: "box".into(), ..Default::default() };
    let taken = cloud.call::<CreateBucketOutput>("CreateBucket", &input);
    assert_eq!(taken.unwrap_err().code(), "BucketAlreadyExists");
}

/// Clients delete a page of versions before they ask for the next one.
#[test]
fn versions_go_on_after_a_marker_that_is_gone() {
    let cloud = Cloud::new();
    cloud.versioning("Enabled");
    for _ in 0..5 {
        cloud.put("a", b"x");
    }
    cloud.put("b", b"x");
    let mut seen = Vec::new();
    let mut input =
        ListObjectVersionsInput { bucket: "box".into(), max_keys: Some(2), ..Default::default() };
    loop {
        let page: ListObjectVersionsOutput = cloud.call("ListObjectVersions", &input).unwrap();
        for version in page.versions.into_iter().flatten() {
            let (key, id) = (version.key.unwrap(), version.version_id.unwrap());
            assert!(!seen.contains(&id));
            cloud.delete(&key, Some(&id));
            seen.push(id);
        }
        if page.is_truncated != Some(true) {
            break;
        }
        (input.key_marker, input.version_id_marker) =
            (page.next_key_marker, page.next_version_id_marker);
    }
    assert_eq!(seen.len(), 6);
    let bad = ListObjectVersionsInput {
        key_marker: Some("a".into()),
        version_id_marker: Some("bad".into()),
        ..input
    };
    let result = cloud.call::<ListObjectVersionsOutput>("ListObjectVersions", &bad);
    assert_eq!(result.unwrap_err().code(), "InvalidArgument");
}

#[test]
fn listings_tell_policies_what_they_list() {
    use api::{Ask, Hooks};
    let cloud = Cloud::new();
    let cx = cloud.world.cx(&cloud.s3, "ListObjectsV2");
    let input = ListObjectsV2Input {
        bucket: "box".into(),
        prefix: Some("home/".into()),
        max_keys: Some(7),
        ..Default::default()
    };
    let mut ask = Ask::new("s3:ListBucket", "arn:aws:s3:::box");
    service_s3::S3::new().context("ListObjectsV2", &cx, &input, &mut ask);
    let expected = [("s3:prefix", "home/"), ("s3:max-keys", "7")];
    let got = ask.context.iter().map(|(name, values)| (&**name, values[0].as_str()));
    assert_eq!(got.collect::<Vec<_>>(), expected);
}
