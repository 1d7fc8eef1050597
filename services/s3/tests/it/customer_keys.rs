//! SSE-C: what is under a customer's key is read with that key and nothing else.

use crate::Cloud;
use crate::objects::code;
use base::{Entropy, SeededEntropy};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use gen_s3::*;
use md5::{Digest, Md5};

/// The three headers of the key that is 32 times this byte.
struct Key([Option<String>; 3]);

fn key(byte: u8) -> Key {
    let bytes = [byte; 32];
    let encode = |bytes: &[u8]| Some(BASE64_STANDARD.encode(bytes));
    Key([Some("AES256".into()), encode(&bytes), encode(&Md5::digest(bytes))])
}

fn putting(name: &str, Key([algorithm, key, md5]): Key) -> PutObjectInput {
    PutObjectInput {
        bucket: "box".into(),
        key: name.into(),
        sse_customer_algorithm: algorithm,
        sse_customer_key: key,
        sse_customer_key_md5: md5,
        ..Default::default()
    }
}

fn getting(name: &str, Key([algorithm, key, md5]): Key) -> GetObjectInput {
    GetObjectInput {
        bucket: "box".into(),
        key: name.into(),
        sse_customer_algorithm: algorithm,
        sse_customer_key: key,
        sse_customer_key_md5: md5,
        ..Default::default()
    }
}

fn some_bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededEntropy::new(length as u64).fill(&mut bytes);
    bytes
}

#[test]
fn what_is_sealed_is_read_with_its_key_in_any_range() {
    let cloud = Cloud::new();
    for length in [0, 1, 15, 65_535, 65_536, 65_537, 131_072, 400_000] {
        let body = some_bytes(length);
        let put = cloud.put_as(&putting("k", key(7)), &body).unwrap();
        assert_ne!(put.e_tag, Some(format!("\"{}\"", base::hex::encode(&Md5::digest(&body)))));
        assert_eq!(put.sse_customer_algorithm.as_deref(), Some("AES256"));
        assert_eq!(put.server_side_encryption, None);
        let got = cloud.get_as(&getting("k", key(7))).unwrap();
        assert!(got.body == body, "{length}");
        assert_eq!(got.output.content_length, Some(length as i64));
        assert_eq!(got.output.sse_customer_key_md5, key(7).0[2]);
        for (first, last) in [(0, 0), (3, 70_000), (65_535, 65_536), (65_536, 399_999)] {
            if last >= length {
                continue;
            }
            let range = Some(format!("bytes={first}-{last}"));
            let got = cloud.get_as(&GetObjectInput { range, ..getting("k", key(7)) }).unwrap();
            assert!(got.body == body[first..=last], "{length}: {first}-{last}");
        }
    }
}

#[test]
fn no_other_key_and_no_half_of_one_will_do() {
    let cloud = Cloud::new();
    cloud.put_as(&putting("k", key(1)), b"secret").unwrap();
    cloud.put("open", b"open");
    let get = |name: &str, key: Key| code(cloud.get_as(&getting(name, key)));
    let none = || Key([None, None, None]);
    assert_eq!(get("k", none()), ("InvalidRequest".into(), 400));
    assert_eq!(get("k", key(2)), ("AccessDenied".into(), 403));
    assert_eq!(get("open", key(1)), ("InvalidRequest".into(), 400));
    let head = HeadObjectInput { bucket: "box".into(), key: "k".into(), ..Default::default() };
    let head = cloud.call::<HeadObjectOutput>("HeadObject", &head);
    assert_eq!(code(head), ("InvalidRequest".into(), 400));
    let wrong = |change: fn(&mut Key)| {
        let mut key = key(1);
        change(&mut key);
        code(cloud.put_as(&putting("new", key), b"x"))
    };
    let bad = |code: &str| (code.to_owned(), 400);
    assert_eq!(wrong(|k| k.0[0] = None), bad("InvalidArgument"));
    assert_eq!(wrong(|k| k.0[1] = None), bad("InvalidArgument"));
    assert_eq!(wrong(|k| k.0[2] = None), bad("InvalidArgument"));
    assert_eq!(wrong(|k| k.0[0] = Some("AES128".into())), bad("InvalidEncryptionAlgorithmError"));
    assert_eq!(wrong(|k| k.0[1] = Some("c2hvcnQ=".into())), bad("InvalidArgument"));
    assert_eq!(wrong(|k| k.0[1] = Some("no base64!".into())), bad("InvalidArgument"));
    assert_eq!(wrong(|k| k.0[2] = key(2).0[2].clone()), bad("InvalidArgument"));
    assert_eq!(code(cloud.get("new", None)).0, "NoSuchKey");
    let both =
        PutObjectInput { server_side_encryption: Some("AES256".into()), ..putting("new", key(1)) };
    assert_eq!(code(cloud.put_as(&both, b"x")), bad("InvalidArgument"));
}

#[test]
fn copies_open_one_side_and_seal_the_other() {
    let cloud = Cloud::new();
    let body = some_bytes(150_000);
    cloud.put_as(&putting("sealed", key(1)), &body).unwrap();
    let copy = |to: &str, from: Key, target: Key| {
        let Key([from_algorithm, from_key, from_md5]) = from;
        let Key([algorithm, key, md5]) = target;
        let input = CopyObjectInput {
            bucket: "box".into(),
            key: to.into(),
            copy_source: "box/sealed".into(),
            copy_source_sse_customer_algorithm: from_algorithm,
            copy_source_sse_customer_key: from_key,
            copy_source_sse_customer_key_md5: from_md5,
            sse_customer_algorithm: algorithm,
            sse_customer_key: key,
            sse_customer_key_md5: md5,
            ..Default::default()
        };
        cloud.world.send::<CopyObjectOutput>(&cloud.s3, "CopyObject", &input, Bytes::new())
    };
    let none = || Key([None, None, None]);
    assert_eq!(code(copy("new", none(), none())), ("InvalidRequest".into(), 400));
    assert_eq!(code(copy("new", key(3), none())), ("AccessDenied".into(), 403));
    copy("new", key(1), none()).unwrap();
    assert!(cloud.get("new", None).unwrap().body == body);
    copy("new", key(1), key(2)).unwrap();
    assert!(cloud.get_as(&getting("new", key(2))).unwrap().body == body);
    // The copy stands by itself.
    cloud.delete("sealed", None);
    assert!(cloud.get_as(&getting("new", key(2))).unwrap().body == body);
}

#[test]
fn a_bucket_may_block_them() {
    let cloud = Cloud::new();
    let rule = ServerSideEncryptionRule {
        blocked_encryption_types: Some(BlockedEncryptionTypes {
            encryption_type: Some(vec!["SSE-C".into()]),
        }),
        ..Default::default()
    };
    let input = PutBucketEncryptionInput {
        bucket: "box".into(),
        server_side_encryption_configuration: ServerSideEncryptionConfiguration {
            rules: vec![rule],
        },
        ..Default::default()
    };
    cloud.call::<PutBucketEncryptionOutput>("PutBucketEncryption", &input).unwrap();
    let refused = cloud.put_as(&putting("k", key(1)), b"x");
    assert_eq!(code(refused), ("AccessDenied".into(), 403));
}
