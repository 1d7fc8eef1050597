//! Inventories: lists of what is in a bucket, when they come, and what names them.

use crate::Cloud;
use flate2::read::MultiGzDecoder;
use gen_s3::*;
use smithy::Document;
use std::io::Read as _;

const DAY_MS: u32 = 86_400_000;
const DENIED: &str = "s3:PutObject";

fn configuration(versions: &str, fields: &[&str]) -> InventoryConfiguration {
    InventoryConfiguration {
        id: "all".into(),
        is_enabled: true,
        included_object_versions: versions.into(),
        schedule: InventorySchedule { frequency: "Daily".into() },
        optional_fields: Some(fields.iter().map(|field| (*field).to_owned()).collect()),
        destination: InventoryDestination {
            s3_bucket_destination: InventoryS3BucketDestination {
                bucket: "arn:aws:s3:::lists".into(),
                format: "CSV".into(),
                prefix: Some("in".into()),
                ..Default::default()
            },
        },
        ..Default::default()
    }
}

fn cloud() -> Cloud {
    let cloud = Cloud::new();
    cloud.make_bucket("lists");
    cloud
}

impl Cloud {
    fn take_inventory(&self, inventory_configuration: InventoryConfiguration) {
        let input = PutBucketInventoryConfigurationInput {
            bucket: "box".into(),
            id: inventory_configuration.id.clone(),
            inventory_configuration,
            ..Default::default()
        };
        let put = "PutBucketInventoryConfiguration";
        self.call::<PutBucketInventoryConfigurationOutput>(put, &input).unwrap();
    }

    fn a_day_passes(&self) {
        self.world.clock.advance_ms(DAY_MS);
        self.world.run_jobs(&self.s3);
    }

    fn lists(&self) -> Vec<String> {
        let input = ListObjectsV2Input { bucket: "lists".into(), ..Default::default() };
        let found: ListObjectsV2Output = self.call("ListObjectsV2", &input).unwrap();
        found.contents.into_iter().flatten().map(|own| own.key.unwrap()).collect()
    }

    fn read(&self, key: &str) -> Vec<u8> {
        let (bucket, key) = ("lists".into(), key.into());
        let input = GetObjectInput { bucket, key, ..Default::default() };
        self.get_as(&input).unwrap().body.to_vec()
    }

    /// The one manifest that is there, and the lines of its files.
    fn listed(&self) -> (Document, Vec<String>) {
        let keys = self.lists();
        let of = |end: &str| keys.iter().find(|key| key.ends_with(end)).expect("one");
        let manifest = self.read(of("/manifest.json"));
        let checksum = String::from_utf8(self.read(of("/manifest.checksum"))).unwrap();
        let input = HeadObjectInput {
            bucket: "lists".into(),
            key: of("/manifest.json").clone(),
            ..Default::default()
        };
        let head: HeadObjectOutput = self.call("HeadObject", &input).unwrap();
        assert_eq!(head.e_tag, Some(format!("\"{checksum}\"")));
        let manifest = smithy::json::parse_document(&manifest).unwrap();
        let mut lines = Vec::new();
        let Document::List(files) = member(&manifest, "files") else { panic!("{manifest:?}") };
        for file in files {
            let key = text(file, "key");
            assert!(key.starts_with("in/box/all/data/") && key.ends_with(".csv.gz"), "{key}");
            let packed = self.read(&key);
            assert_eq!(*member(file, "size"), Document::Integer(packed.len() as i64));
            let mut all = String::new();
            MultiGzDecoder::new(&packed[..]).read_to_string(&mut all).unwrap();
            assert!(all.ends_with('\n'));
            lines.extend(all.lines().map(str::to_owned));
        }
        (manifest, lines)
    }
}

fn member<'d>(document: &'d Document, name: &str) -> &'d Document {
    match document {
        Document::Map(map) => &map[name],
        other => panic!("{other:?}"),
    }
}

fn text(document: &Document, name: &str) -> String {
    match member(document, name) {
        Document::String(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_list_is_as_its_bucket_has_all() {
    let cloud = Cloud::new();
    let make = CreateBucketInput {
        bucket: "lists".into(),
        object_lock_enabled_for_bucket: Some(true),
        ..Default::default()
    };
    cloud.call::<CreateBucketOutput>("CreateBucket", &make).unwrap();
    let retention =
        DefaultRetention { mode: Some("GOVERNANCE".into()), days: Some(3), ..Default::default() };
    let rule = Some(ObjectLockRule { default_retention: Some(retention) });
    let lock = PutObjectLockConfigurationInput {
        bucket: "lists".into(),
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some("Enabled".into()),
            rule,
        }),
        ..Default::default()
    };
    cloud.call::<PutObjectLockConfigurationOutput>("PutObjectLockConfiguration", &lock).unwrap();
    let by_default =
        ServerSideEncryptionByDefault { sse_algorithm: "aws:kms".into(), ..Default::default() };
    let rule = ServerSideEncryptionRule {
        apply_server_side_encryption_by_default: Some(by_default),
        ..Default::default()
    };
    let sealed = PutBucketEncryptionInput {
        bucket: "lists".into(),
        server_side_encryption_configuration: ServerSideEncryptionConfiguration {
            rules: vec![rule],
        },
        ..Default::default()
    };
    cloud.call::<PutBucketEncryptionOutput>("PutBucketEncryption", &sealed).unwrap();
    cloud.put("k", b"x");
    cloud.take_inventory(configuration("Current", &["Size"]));
    cloud.a_day_passes();
    let keys = cloud.lists();
    assert!(!keys.is_empty());
    for key in keys {
        let head = HeadObjectInput { bucket: "lists".into(), key, ..Default::default() };
        let head: HeadObjectOutput = cloud.call("HeadObject", &head).unwrap();
        assert_eq!(head.object_lock_mode.as_deref(), Some("GOVERNANCE"));
        assert_eq!(head.server_side_encryption.as_deref(), Some("aws:kms"));
    }
}

#[test]
fn a_list_of_what_is_there() {
    let cloud = cloud();
    cloud.put("a b/c\"d", b"hello");
    cloud.put("x", b"");
    let fields = ["ETag", "Size", "StorageClass", "IsMultipartUploaded", "EncryptionStatus"];
    cloud.take_inventory(configuration("Current", &fields));
    cloud.world.run_jobs(&cloud.s3);
    assert!(cloud.lists().is_empty(), "it is not midnight yet");
    cloud.a_day_passes();
    let (manifest, lines) = cloud.listed();
    assert_eq!(
        lines,
        [
            r#""box","a+b/c%22d","5","5d41402abc4b2a76b9719d911017c592","STANDARD","false","SSE-S3""#,
            r#""box","x","0","d41d8cd98f00b204e9800998ecf8427e","STANDARD","false","SSE-S3""#,
        ]
    );
    let schema = "Bucket, Key, Size, ETag, StorageClass, IsMultipartUploaded, EncryptionStatus";
    for (name, expected) in [
        ("sourceBucket", "box"),
        ("destinationBucket", "arn:aws:s3:::lists"),
        ("version", "2016-11-30"),
        ("fileFormat", "CSV"),
        ("fileSchema", schema),
    ] {
        assert_eq!(text(&manifest, name), expected);
    }
    let keys = cloud.lists();
    let link = keys.iter().find(|key| key.starts_with("in/box/all/hive/dt=")).expect("one");
    let data = keys.iter().find(|key| key.contains("/data/")).expect("one");
    assert_eq!(cloud.read(link), format!("s3://lists/{data}\n").as_bytes());
    // The next day's is another one.
    cloud.a_day_passes();
    let manifests = cloud.lists().into_iter().filter(|key| key.ends_with("/manifest.json"));
    assert_eq!(manifests.count(), 2);
}

#[test]
fn all_versions() {
    let cloud = cloud();
    cloud.versioning("Enabled");
    let old = cloud.put("k", b"1").version_id.unwrap();
    let new = cloud.put("k", b"22").version_id.unwrap();
    let marker = cloud.delete("k", None).version_id.unwrap();
    let single = cloud.put("z", b"333").version_id.unwrap();
    cloud.take_inventory(configuration("All", &["Size"]));
    cloud.a_day_passes();
    let (manifest, lines) = cloud.listed();
    assert_eq!(
        text(&manifest, "fileSchema"),
        "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size"
    );
    let line = |key: &str, id: &str, latest: bool, marker: bool, size: &str| {
        format!("\"box\",\"{key}\",\"{id}\",\"{latest}\",\"{marker}\",\"{size}\"")
    };
    assert_eq!(
        lines,
        [
            line("k", &marker, true, true, ""),
            line("k", &new, false, false, "2"),
            line("k", &old, false, false, "1"),
            line("z", &single, true, false, "3"),
        ]
    );
}

#[test]
fn more_than_one_file() {
    let cloud = cloud();
    cloud.versioning("Enabled");
    let long = "k".repeat(900);
    for n in 0..700 {
        cloud.put(&format!("p/{long}{n:04}"), b"");
        cloud.put(&format!("q/{n}"), b"");
    }
    // Many of one key, too.
    (0..600).for_each(|_| drop(cloud.put("p/one", b"")));
    let mut document = configuration("All", &["ObjectOwner", "ObjectAccessControlList"]);
    document.filter = Some(InventoryFilter { prefix: "p/".into() });
    cloud.take_inventory(document);
    cloud.a_day_passes();
    let (manifest, lines) = cloud.listed();
    assert_eq!(lines.len(), 1300);
    assert!(lines.iter().all(|line| line.starts_with("\"box\",\"p/") && line.ends_with("\"")));
    let distinct: std::collections::BTreeSet<_> = lines.iter().collect();
    assert_eq!(distinct.len(), 1300);
    let Document::List(files) = member(&manifest, "files") else { panic!("{manifest:?}") };
    assert!(files.len() > 1, "{}", files.len());
}

#[test]
fn what_is_not_listed() {
    let cloud = cloud();
    cloud.put("k", b"1");
    let mut off = configuration("Current", &[]);
    off.is_enabled = false;
    cloud.take_inventory(off);
    cloud.a_day_passes();
    let mut orc = configuration("Current", &[]);
    orc.destination.s3_bucket_destination.format = "ORC".into();
    cloud.take_inventory(orc);
    cloud.a_day_passes();
    let mut theirs = configuration("Current", &[]);
    theirs.destination.s3_bucket_destination.account_id = Some("111122223333".into());
    cloud.take_inventory(theirs);
    cloud.a_day_passes();
    let mut nowhere = configuration("Current", &[]);
    nowhere.destination.s3_bucket_destination.bucket = "arn:aws:s3:::nowhere".into();
    cloud.take_inventory(nowhere);
    cloud.a_day_passes();
    assert!(cloud.lists().is_empty());
    // What the target does not take today, it may take tomorrow.
    cloud.take_inventory(configuration("Current", &[]));
    cloud.world.door.forbidden.lock().unwrap().insert(DENIED);
    cloud.a_day_passes();
    assert!(cloud.lists().is_empty());
    cloud.world.door.forbidden.lock().unwrap().remove(DENIED);
    cloud.a_day_passes();
    assert_eq!(cloud.listed().1, [r#""box","k""#]);
    let asked = cloud.world.door.asked.lock().unwrap();
    assert!(asked.iter().any(|ask| &*ask.resource == "arn:aws:s3:::lists/in/box/all/data/x"));
}

#[test]
fn each_sunday() {
    let cloud = cloud();
    cloud.put("k", b"1");
    let mut weekly = configuration("Current", &[]);
    weekly.schedule.frequency = "Weekly".into();
    cloud.take_inventory(weekly);
    let mut days = Vec::new();
    for _ in 0..15 {
        let before = cloud.lists().len();
        cloud.a_day_passes();
        let day = cloud.world.store.read(|tx| tx.now()).to_secs().div_euclid(86_400);
        if cloud.lists().len() > before {
            days.push((day + 4) % 7);
        }
    }
    // The first comes at once, the others on Sundays.
    assert!((3..=4).contains(&days.len()), "{days:?}");
    assert!(days[1..].iter().all(|day| *day == 0), "{days:?}");
}
