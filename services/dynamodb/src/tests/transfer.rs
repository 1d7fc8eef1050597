//! Exports and imports, with buckets that are a map.

use super::{Db, member};
use api::testing::TestDoor;
use api::{
    Ask, Background, Body, ByteStream, Caller, Cx, Door, Error, Outgoing, Reply, Sent,
    Service as _, Tx,
};
use bytes::Bytes;
use flate2::read::GzDecoder;
use gen_s3::{
    GetObjectInput, GetObjectOutput, ListObjectsV2Input, ListObjectsV2Output, Object,
    PutObjectInput, PutObjectOutput,
};
use smithy::Struct;
use std::any::Any;
use std::collections::BTreeMap;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use store::StoreError;
use store::blobs::block_on;
use store::engine::Step;

/// One bucket, behind the door.
#[derive(Default)]
struct Bucket {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Calls that still go well.
    calls_left: Mutex<Option<u32>>,
    refuses: Mutex<bool>,
    /// What calls fail with, or the bodies of their answers.
    fails: Mutex<Option<(Failing, Fails)>>,
    callers: Mutex<Vec<String>>,
}

type Fails = fn() -> Error;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Failing {
    Call,
    Body,
}

/// A body that breaks at once.
struct Broken(Option<Error>);

impl ByteStream for Broken {
    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

impl Door for Bucket {
    fn authorize(&self, tx: &Tx, cx: &Cx, ask: &Ask) -> Result<(), Error> {
        TestDoor::default().authorize(tx, cx, ask)
    }

    fn audit(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: &dyn Struct,
        _: Option<&dyn Struct>,
    ) -> Result<(), Error> {
        Ok(())
    }

    fn seal_token(&self, context: &str, place: &str) -> String {
        TestDoor::default().seal_token(context, place)
    }

    fn open_token(&self, context: &str, token: &str) -> Option<String> {
        TestDoor::default().open_token(context, token)
    }

    fn call(
        &self,
        _: &mut Tx,
        _: &Cx,
        _: Arc<Caller>,
        _: &str,
        _: &str,
        _: &dyn Struct,
    ) -> Result<Box<dyn Struct>, Error> {
        Err(Error::internal("nothing to call"))
    }

    fn send<'a>(&'a self, _: &'a Background, call: Outgoing<'a>) -> Sent<'a> {
        Box::pin(async move {
            if let Some(left) = &mut *self.calls_left.lock().unwrap() {
                if *left == 0 {
                    return Err(Error::internal("the process ended here"));
                }
                *left -= 1;
            }
            if *self.refuses.lock().unwrap() {
                return Err(Error::with_code("AccessDenied", 403, "Access Denied"));
            }
            if let Some((Failing::Call, error)) = *self.fails.lock().unwrap() {
                return Err(error());
            }
            self.callers.lock().unwrap().push(call.caller.principal.arn().to_owned());
            self.answer(call).await
        })
    }
}

fn as_input<T: Struct>(input: &dyn Struct) -> &T {
    (input as &dyn Any).downcast_ref().expect("the operation's input")
}

impl Bucket {
    async fn answer(&self, mut call: Outgoing<'_>) -> Result<Reply<Box<dyn Struct>>, Error> {
        Ok(match call.operation {
            "PutObject" => {
                let mut all = Vec::new();
                while let Some(piece) = call.body.next().await {
                    all.extend_from_slice(&piece?);
                }
                let input = as_input::<PutObjectInput>(call.input);
                assert_eq!(input.bucket, "bucket");
                self.objects.lock().unwrap().insert(input.key.clone(), all.into());
                let e_tag = Some("\"tag\"".into());
                Reply::new(Box::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
            }
            "GetObject" => {
                let input = as_input::<GetObjectInput>(call.input);
                let object = self.objects.lock().unwrap()[&input.key].clone();
                let content_length = Some(object.len() as i64);
                let output = GetObjectOutput { content_length, ..GetObjectOutput::default() };
                let body = match *self.fails.lock().unwrap() {
                    Some((Failing::Body, error)) => {
                        Body::Stream(None, Box::pin(Broken(Some(error()))))
                    }
                    _ => Body::Bytes(object),
                };
                Reply::with_body(Box::new(output), body)
            }
            "ListObjectsV2" => {
                let input = as_input::<ListObjectsV2Input>(call.input);
                let prefix = input.prefix.clone().unwrap_or_default();
                let after = input.start_after.clone().unwrap_or_default();
                let objects = self.objects.lock().unwrap();
                let found =
                    objects.iter().filter(|(key, _)| key.starts_with(&prefix) && **key > after);
                let object = |(key, content): (&String, &Bytes)| Object {
                    key: Some(key.clone()),
                    size: Some(content.len() as i64),
                    ..Object::default()
                };
                let contents = Some(found.map(object).collect());
                Reply::new(Box::new(ListObjectsV2Output {
                    contents,
                    ..ListObjectsV2Output::default()
                }))
            }
            other => panic!("{other}"),
        })
    }

    fn text(&self, key: &str) -> String {
        let objects = self.objects.lock().unwrap();
        let object = objects.get(key).unwrap_or_else(|| panic!("no {key} in {:?}", objects.keys()));
        if !key.ends_with(".gz") {
            return String::from_utf8(object.to_vec()).unwrap();
        }
        let mut text = String::new();
        GzDecoder::new(&object[..]).read_to_string(&mut text).unwrap();
        text
    }
}

impl Db {
    /// Runs errands and jobs until none is due.
    fn errands(&self, bucket: &Arc<Bucket>) {
        let mut jobs = store::Jobs::new(self.world.store.clone());
        let with = Background {
            entropy: self.world.entropy.clone(),
            clock: self.world.clock.clone(),
            door: bucket.clone(),
            store: self.world.store.clone(),
        };
        self.tables.hooks().jobs(&mut jobs, &with);
        while block_on(jobs.errand()) == Step::Worked || jobs.step() == Step::Worked {}
    }
}

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/tab";

fn with_recovery(items: u32) -> (Db, Arc<Bucket>) {
    let db = Db::with_table(false);
    db.ok(
        "UpdateContinuousBackups",
        r#"{"TableName":"tab","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}"#,
    );
    for n in 0..items {
        db.put(&format!(r#"{{"p":{{"S":"k{n}"}},"n":{{"N":"{n}"}}}}"#));
    }
    (db, Arc::default())
}

fn export(db: &Db, more: &str) -> String {
    let told = db.ok(
        "ExportTableToPointInTime",
        &format!(r#"{{"TableArn":"{ARN}","S3Bucket":"bucket","S3Prefix":"out/"{more}}}"#),
    );
    assert!(told.contains(r#""ExportStatus":"IN_PROGRESS""#), "{told}");
    member(&told, "ExportArn").to_owned()
}

fn described(db: &Db, arn: &str) -> String {
    db.ok("DescribeExport", &format!(r#"{{"ExportArn":"{arn}"}}"#))
}

#[test]
fn a_table_goes_out_and_comes_back() {
    let (db, bucket) = with_recovery(450);
    let arn = export(&db, r#","ClientToken":"once""#);
    assert_eq!(export(&db, r#","ClientToken":"once""#), arn);
    let other = format!(r#"{{"TableArn":"{ARN}","S3Bucket":"other","ClientToken":"once"}}"#);
    let error = db.call("ExportTableToPointInTime", &other).unwrap_err();
    assert_eq!(error.code(), "ExportConflictException");
    db.put(r#"{"p":{"S":"k1"},"n":{"N":"9999"}}"#);
    db.put(r#"{"p":{"S":"later"}}"#);
    // It is cut off now and then, and goes on.
    for calls in [0, 1, 2] {
        *bucket.calls_left.lock().unwrap() = Some(calls);
        db.errands(&bucket);
        db.world.clock.advance_ms(3_600_000);
    }
    *bucket.calls_left.lock().unwrap() = None;
    db.errands(&bucket);
    let told = described(&db, &arn);
    assert!(
        told.contains(r#""ExportStatus":"COMPLETED""#) && told.contains(r#""ItemCount":450"#),
        "{told}"
    );
    let summary = bucket.text(member(&told, "ExportManifest"));
    assert!(
        summary.contains(r#""exportType":"FULL_EXPORT""#) && summary.contains(&arn),
        "{summary}"
    );
    let files = bucket.text(member(&summary, "manifestFilesS3Key"));
    let data = member(&files, "dataFileS3Key");
    let id = arn.rsplit('/').next().unwrap();
    assert!(
        data.starts_with(&format!("out/AWSDynamoDB/{id}/data/")) && data.ends_with(".json.gz"),
        "{data}"
    );
    let lines = bucket.text(data);
    assert_eq!(lines.lines().count(), 450);
    assert!(
        lines.contains(r#"{"Item":{"n":{"N":"1"},"p":{"S":"k1"}}}"#),
        "as of the export's time"
    );
    assert!(!lines.contains("later"));
    assert!(
        bucket.callers.lock().unwrap().iter().all(|arn| arn == "arn:aws:iam::000000000000:root")
    );
    assert!(db.ok("ListExports", &format!(r#"{{"TableArn":"{ARN}"}}"#)).contains(&arn));
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);

    let prefix = format!("out/AWSDynamoDB/{id}/data/");
    let told = db.ok("ImportTable", &format!(
        r#"{{"S3BucketSource":{{"S3Bucket":"bucket","S3KeyPrefix":"{prefix}"}},"InputFormat":"DYNAMODB_JSON","InputCompressionType":"GZIP","TableCreationParameters":{{"TableName":"back","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],
        "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}},{{"AttributeName":"n","AttributeType":"N"}}],"BillingMode":"PAY_PER_REQUEST",
        "GlobalSecondaryIndexes":[{{"IndexName":"by-n","KeySchema":[{{"AttributeName":"n","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}]}}}}"#
    ));
    let arn = member(&told, "ImportArn").to_owned();
    assert!(
        db.ok("DescribeTable", r#"{"TableName":"back"}"#).contains(r#""TableStatus":"CREATING""#)
    );
    assert_eq!(
        db.call("Scan", r#"{"TableName":"back"}"#).unwrap_err().code(),
        "ResourceNotFoundException"
    );
    for calls in [1, 2] {
        *bucket.calls_left.lock().unwrap() = Some(calls);
        db.errands(&bucket);
        db.world.clock.advance_ms(3_600_000);
    }
    *bucket.calls_left.lock().unwrap() = None;
    db.errands(&bucket);
    let told = db.ok("DescribeImport", &format!(r#"{{"ImportArn":"{arn}"}}"#));
    assert!(
        told.contains(r#""ImportStatus":"COMPLETED""#)
            && told.contains(r#""ImportedItemCount":450"#)
            && told.contains(r#""ErrorCount":0"#),
        "{told}"
    );
    assert!(db.ok("Scan", r#"{"TableName":"back","Select":"COUNT"}"#).contains(r#""Count":450"#));
    assert!(db.ok("Query", r#"{"TableName":"back","IndexName":"by-n","KeyConditionExpression":"n = :n","ExpressionAttributeValues":{":n":{"N":"7"}}}"#).contains("k7"));
    assert!(db.ok("ListImports", "{}").contains(&arn));
}

#[test]
fn changes_between_two_times_go_out() {
    let (db, bucket) = with_recovery(3);
    let now = |db: &Db| {
        let now = db.world.store.read(Tx::now);
        now.to_millis() as f64 / 1000.0
    };
    db.world.clock.advance_ms(5000);
    let from = now(&db);
    db.world.clock.advance_ms(1000);
    db.put(r#"{"p":{"S":"k0"},"n":{"N":"10"}}"#);
    db.put(r#"{"p":{"S":"k0"},"n":{"N":"11"}}"#);
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"k1"}}}"#);
    db.put(r#"{"p":{"S":"new"},"n":{"N":"1"}}"#);
    db.put(r#"{"p":{"S":"brief"}}"#);
    db.ok("DeleteItem", r#"{"TableName":"tab","Key":{"p":{"S":"brief"}}}"#);
    db.world.clock.advance_ms(1000);
    let to = now(&db);
    db.world.clock.advance_ms(1000);
    db.put(r#"{"p":{"S":"k0"},"n":{"N":"12"}}"#);
    db.put(r#"{"p":{"S":"k2"},"n":{"N":"12"}}"#);
    let span = |view: &str| {
        format!(
            r#","ExportType":"INCREMENTAL_EXPORT","IncrementalExportSpecification":{{"ExportFromTime":{from},"ExportToTime":{to},"ExportViewType":"{view}"}}"#
        )
    };
    for (view, expected) in [
        (
            "NEW_AND_OLD_IMAGES",
            [
                r#""Keys":{"p":{"S":"k0"}},"OldImage":{"n":{"N":"0"},"p":{"S":"k0"}},"NewImage":{"n":{"N":"11"},"p":{"S":"k0"}}}"#,
                r#""Keys":{"p":{"S":"k1"}},"OldImage":{"n":{"N":"1"},"p":{"S":"k1"}}}"#,
                r#""Keys":{"p":{"S":"new"}},"NewImage":{"n":{"N":"1"},"p":{"S":"new"}}}"#,
            ],
        ),
        (
            "NEW_IMAGE",
            [
                r#""Keys":{"p":{"S":"k0"}},"NewImage":{"n":{"N":"11"},"p":{"S":"k0"}}}"#,
                r#""Keys":{"p":{"S":"k1"}}}"#,
                r#""Keys":{"p":{"S":"new"}},"NewImage":{"n":{"N":"1"},"p":{"S":"new"}}}"#,
            ],
        ),
    ] {
        let arn = export(&db, &span(view));
        db.errands(&bucket);
        let told = described(&db, &arn);
        assert!(
            told.contains(r#""ExportStatus":"COMPLETED""#) && told.contains(r#""ItemCount":3"#),
            "{told}"
        );
        let summary = bucket.text(member(&told, "ExportManifest"));
        assert!(summary.contains(&format!(r#""outputView":"{view}""#)), "{summary}");
        let files = bucket.text(member(&summary, "manifestFilesS3Key"));
        let lines = bucket.text(member(&files, "dataFileS3Key"));
        for line in expected {
            assert!(lines.contains(line), "{line} in {lines}");
        }
        assert_eq!(lines.lines().count(), 3);
        assert!(
            lines
                .lines()
                .all(|line| line.starts_with(r#"{"Metadata":{"WriteTimestampMicros":{"N":""#))
        );
    }
}

#[test]
fn what_cannot_go_out_says_so() {
    let db = Db::with_table(false);
    let ask = |more: &str| {
        db.call(
            "ExportTableToPointInTime",
            &format!(r#"{{"TableArn":"{ARN}","S3Bucket":"bucket"{more}}}"#),
        )
    };
    assert_eq!(ask("").unwrap_err().code(), "PointInTimeRecoveryUnavailableException");
    let (db, bucket) = with_recovery(1);
    let ask = |more: &str| {
        db.call(
            "ExportTableToPointInTime",
            &format!(r#"{{"TableArn":"{ARN}","S3Bucket":"bucket"{more}}}"#),
        )
    };
    assert_eq!(ask(r#","ExportFormat":"ION""#).unwrap_err().status(), 501);
    assert_eq!(ask(r#","ExportTime":1"#).unwrap_err().code(), "InvalidExportTimeException");
    *bucket.refuses.lock().unwrap() = true;
    let arn = export(&db, "");
    assert_eq!(
        db.call("DeleteTable", r#"{"TableName":"tab"}"#).unwrap_err().code(),
        "ResourceInUseException"
    );
    db.errands(&bucket);
    let told = described(&db, &arn);
    assert!(
        told.contains(r#""ExportStatus":"FAILED""#)
            && told.contains(r#""FailureCode":"S3AccessDenied""#),
        "{told}"
    );
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
}

fn import(db: &Db, format: &str) -> String {
    let told = db.ok("ImportTable", &format!(
        r#"{{"S3BucketSource":{{"S3Bucket":"bucket","S3KeyPrefix":"in/"}},{format},"TableCreationParameters":{{"TableName":"new","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"n","KeyType":"RANGE"}}],
        "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}},{{"AttributeName":"n","AttributeType":"N"}}],"BillingMode":"PAY_PER_REQUEST"}}}}"#
    ));
    member(&told, "ImportArn").to_owned()
}

#[test]
fn separated_values_come_in() {
    let (db, bucket) = (Db::new(), Arc::<Bucket>::default());
    let file = |key: &str, text: &str| {
        bucket
            .objects
            .lock()
            .unwrap()
            .insert(key.to_owned(), Bytes::copy_from_slice(text.as_bytes()));
    };
    let many: String = (0..250).map(|n| format!("many,{n},x\n")).collect();
    file("in/1.csv", &format!("p,n,more\na,1,one\na,x,bad\n,2,empty key\n{many}"));
    file("in/2.csv", "n,p\n1,b\n1,a\n");
    file("in/folder/", "");
    file("other.csv", "p,n\nz,1\n");
    let arn = import(&db, r#""InputFormat":"CSV""#);
    // Cut off while the second file is to be read.
    *bucket.calls_left.lock().unwrap() = Some(3);
    db.errands(&bucket);
    db.world.clock.advance_ms(3_600_000);
    *bucket.calls_left.lock().unwrap() = None;
    db.errands(&bucket);
    let told = db.ok("DescribeImport", &format!(r#"{{"ImportArn":"{arn}"}}"#));
    assert!(
        told.contains(r#""ProcessedItemCount":255"#)
            && told.contains(r#""ImportedItemCount":253"#)
            && told.contains(r#""ErrorCount":2"#),
        "{told}"
    );
    assert!(db.ok("Scan", r#"{"TableName":"new","Select":"COUNT"}"#).contains(r#""Count":252"#));
    let read = db.ok("GetItem", r#"{"TableName":"new","Key":{"p":{"S":"a"},"n":{"N":"1"}}}"#);
    assert_eq!(read, r#"{"Item":{"n":{"N":"1"},"p":{"S":"a"}}}"#, "the later file counts");
}

#[test]
fn what_cannot_come_in_says_so() {
    for (file, format, code) in [
        (None, r#""InputFormat":"CSV""#, "S3NoSuchKey"),
        (Some("no gzip"), r#""InputFormat":"CSV","InputCompressionType":"GZIP""#, "InvalidInput"),
    ] {
        let (db, bucket) = (Db::new(), Arc::<Bucket>::default());
        if let Some(file) = file {
            bucket
                .objects
                .lock()
                .unwrap()
                .insert("in/file".into(), Bytes::from_static(file.as_bytes()));
        }
        let arn = import(&db, format);
        db.errands(&bucket);
        let told = db.ok("DescribeImport", &format!(r#"{{"ImportArn":"{arn}"}}"#));
        assert!(told.contains(r#""ImportStatus":"FAILED""#) && told.contains(code), "{told}");
        assert!(db.ok("DescribeTable", r#"{"TableName":"new"}"#).contains("ACTIVE"));
    }
    let db = Db::new();
    for format in [r#""InputFormat":"ION""#, r#""InputFormat":"CSV","InputCompressionType":"ZSTD""#]
    {
        let asked = format!(
            r#"{{"S3BucketSource":{{"S3Bucket":"bucket"}},{format},"TableCreationParameters":{{"TableName":"new","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],"AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}}],"BillingMode":"PAY_PER_REQUEST"}}}}"#
        );
        assert_eq!(db.call("ImportTable", &asked).unwrap_err().status(), 501);
    }
}

#[test]
fn large_items_come_into_many_indexes() {
    let (db, bucket) = (Db::new(), Arc::<Bucket>::default());
    let padding = "x".repeat(390_000);
    let line = |n: u32| {
        format!("{{\"Item\":{{\"p\":{{\"S\":\"k{n}\"}},\"x\":{{\"S\":\"{padding}\"}}}}}}\n")
    };
    let file: String = (0..5).map(line).collect();
    bucket.objects.lock().unwrap().insert("in/file".into(), file.into());
    let index = |n: u32| {
        format!(
            r#"{{"IndexName":"g{n:02}","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],"Projection":{{"ProjectionType":"ALL"}}}}"#
        )
    };
    let indexes: Vec<String> = (0..20).map(index).collect();
    let told = db.ok("ImportTable", &format!(
        r#"{{"S3BucketSource":{{"S3Bucket":"bucket","S3KeyPrefix":"in/"}},"InputFormat":"DYNAMODB_JSON","TableCreationParameters":{{"TableName":"new","KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}}],
        "AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}}],"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{}]}}}}"#,
        indexes.join(",")
    ));
    db.errands(&bucket);
    let told =
        db.ok("DescribeImport", &format!(r#"{{"ImportArn":"{}"}}"#, member(&told, "ImportArn")));
    assert!(
        told.contains(r#""ImportStatus":"COMPLETED""#) && told.contains(r#""ImportedItemCount":5"#),
        "{told}"
    );
}

#[test]
fn what_never_succeeds_is_told_in_the_end() {
    let (db, bucket) = with_recovery(3);
    let arn = export(&db, "");
    let import = import(&db, r#""InputFormat":"CSV""#);
    // S3 answers every call with 500.
    *bucket.calls_left.lock().unwrap() = Some(0);
    for attempt in 0..crate::jobs::ATTEMPTS_MAX {
        let (told, code) = (described(&db, &arn), db.call("DeleteTable", r#"{"TableName":"tab"}"#));
        assert!(told.contains("IN_PROGRESS"), "{attempt}: {told}");
        assert_eq!(code.unwrap_err().code(), "ResourceInUseException");
        db.errands(&bucket);
        db.world.clock.advance_ms(3_600_000);
    }
    let told = described(&db, &arn);
    assert!(
        told.contains(r#""ExportStatus":"FAILED""#)
            && told.contains(r#""FailureCode":"UnknownError""#),
        "{told}"
    );
    let told = db.ok("DescribeImport", &format!(r#"{{"ImportArn":"{import}"}}"#));
    assert!(told.contains(r#""ImportStatus":"FAILED""#), "{told}");
    assert!(db.ok("DescribeTable", r#"{"TableName":"new"}"#).contains("ACTIVE"));
    // Nobody needs the table's past any more.
    db.ok("DeleteTable", r#"{"TableName":"tab"}"#);
}

/// An import of one item, which was tried that often while its bucket failed.
fn import_failing(times: u32, failing: Failing, error: Fails) -> (Db, Arc<Bucket>, String) {
    let (db, bucket) = (Db::new(), Arc::<Bucket>::default());
    bucket.objects.lock().unwrap().insert("in/1.csv".into(), Bytes::from_static(b"p,n\na,1\n"));
    let arn = import(&db, r#""InputFormat":"CSV""#);
    *bucket.fails.lock().unwrap() = Some((failing, error));
    for _ in 0..times {
        db.errands(&bucket);
        db.world.clock.advance_ms(3_600_000);
    }
    *bucket.fails.lock().unwrap() = None;
    (db, bucket, format!(r#"{{"ImportArn":"{arn}"}}"#))
}

#[test]
fn a_store_that_cannot_keep_up_is_waited_for() {
    const BUSY: Fails = || StoreError::Busy.into();
    const FULL: Fails = || StoreError::Full.into();
    for (failing, error) in
        [(Failing::Call, BUSY), (Failing::Call, FULL), (Failing::Body, BUSY), (Failing::Body, FULL)]
    {
        let often = crate::jobs::ATTEMPTS_MAX + 1;
        let (db, bucket, arn) = import_failing(often, failing, error);
        let told = db.ok("DescribeImport", &arn);
        assert!(
            told.contains(r#""ImportStatus":"IN_PROGRESS""#),
            "{failing:?}, {}: {told}",
            error()
        );
        db.errands(&bucket);
        let told = db.ok("DescribeImport", &arn);
        assert!(
            told.contains(r#""ImportStatus":"COMPLETED""#)
                && told.contains(r#""ImportedItemCount":1"#),
            "{failing:?}, {}: {told}",
            error()
        );
        assert!(crate::jobs::failed(error()).is_passing());
    }
}

#[test]
fn a_failure_of_ours_is_told_without_its_cause() {
    for failing in [Failing::Body, Failing::Call] {
        let error = || Error::internal("segment 7 in /data is torn");
        let (db, _, arn) = import_failing(crate::jobs::ATTEMPTS_MAX, failing, error);
        let told = db.ok("DescribeImport", &arn);
        assert_eq!(member(&told, "ImportStatus"), "FAILED");
        assert_eq!(member(&told, "FailureCode"), "UnknownError");
        let text = "We encountered an internal error. Please try again.";
        assert_eq!(member(&told, "FailureMessage"), text, "{failing:?}");
    }
}
