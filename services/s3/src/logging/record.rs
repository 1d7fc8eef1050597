//! A request as a line of a log.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html>

use crate::rows::BucketRow;
use api::Access;
use base::percent;
use policy::PrincipalKind;
use std::fmt::Write;

/// Beyond what a request of good will comes to, and well within a piece.
const LINE_BYTES_MAX: usize = 12 * 1024;

/// What one line is about.
pub struct Record<'a> {
    pub bucket: &'a str,
    /// As in a URL; empty for the bucket itself.
    key: String,
    operation: String,
    /// Whether it is the request itself, and not what it did beside.
    is_main: bool,
}

/// A request that deletes many objects has a line for each of them, and one that copies has one in the
/// log of the source.
pub fn of(access: &Access) -> Vec<Record<'_>> {
    let main = Record {
        bucket: &access.bucket,
        key: access.key.clone(),
        operation: operation(access),
        is_main: true,
    };
    let mut records = vec![main];
    for (bucket, key, action) in &access.touched {
        let operation = match access.operation {
            "DeleteObjects" if action.starts_with("s3:DeleteObject") => "BATCH.DELETE.OBJECT",
            "CopyObject" if action.starts_with("s3:GetObject") => "REST.COPY.OBJECT_GET",
            "UploadPartCopy" if action.starts_with("s3:GetObject") => "REST.COPY.PART_GET",
            _ => continue,
        };
        let is_source = action == "s3:GetObject" || action == "s3:GetObjectVersion";
        if operation == "BATCH.DELETE.OBJECT" || is_source {
            let key = percent::encode_path(key.as_bytes());
            let operation = operation.to_owned();
            records.push(Record { bucket, key, operation, is_main: false });
        }
    }
    records
}

/// The resources that operations are about, as logs call them.
const RESOURCES: [(&str, &str); 44] = [
    ("AbortMultipartUpload", "UPLOAD"),
    ("CompleteMultipartUpload", "UPLOAD"),
    ("CopyObject", "OBJECT"),
    ("CreateMultipartUpload", "UPLOADS"),
    ("DeleteObjects", "MULTI_OBJECT_DELETE"),
    ("ListMultipartUploads", "UPLOADS"),
    ("ListObjectVersions", "BUCKETVERSIONS"),
    ("ListParts", "UPLOAD"),
    ("UploadPart", "PART"),
    ("UploadPartCopy", "PART"),
    ("RestoreObject", "OBJECT"),
    ("AccelerateConfiguration", "ACCELERATE"),
    ("AnalyticsConfiguration", "ANALYTICS"),
    ("AnalyticsConfigurations", "ANALYTICS"),
    ("BucketAcl", "ACL"),
    ("BucketCors", "CORS"),
    ("BucketEncryption", "ENCRYPTION"),
    ("BucketLifecycle", "LIFECYCLE"),
    ("BucketLifecycleConfiguration", "LIFECYCLE"),
    ("BucketLocation", "LOCATION"),
    ("BucketLogging", "LOGGING_STATUS"),
    ("BucketNotificationConfiguration", "NOTIFICATION"),
    ("BucketOwnershipControls", "OWNERSHIP_CONTROLS"),
    ("BucketPolicy", "BUCKETPOLICY"),
    ("BucketPolicyStatus", "POLICY_STATUS"),
    ("BucketReplication", "REPLICATION"),
    ("BucketRequestPayment", "REQUEST_PAYMENT"),
    ("BucketTagging", "TAGGING"),
    ("BucketVersioning", "VERSIONING"),
    ("BucketWebsite", "WEBSITE"),
    ("IntelligentTieringConfiguration", "INTELLIGENT_TIERING"),
    ("IntelligentTieringConfigurations", "INTELLIGENT_TIERING"),
    ("InventoryConfiguration", "INVENTORY"),
    ("InventoryConfigurations", "INVENTORY"),
    ("MetricsConfiguration", "METRICS"),
    ("MetricsConfigurations", "METRICS"),
    ("ObjectAcl", "ACL"),
    ("ObjectAttributes", "OBJECT_ATTRIBUTES"),
    ("ObjectLegalHold", "LEGAL_HOLD"),
    ("ObjectLockConfiguration", "OBJECT_LOCK_CONFIGURATION"),
    ("ObjectRetention", "RETENTION"),
    ("ObjectTagging", "OBJECT_TAGGING"),
    ("PublicAccessBlock", "PUBLIC_ACCESS_BLOCK"),
    ("Torrent", "TORRENT"),
];

/// `REST.GET.OBJECT`.
fn operation(access: &Access) -> String {
    let name = access.operation;
    let bare = ["Get", "Put", "Delete", "List"].iter().find_map(|verb| name.strip_prefix(verb));
    let bare = bare.map(|bare| {
        bare.strip_prefix("Bucket").filter(|rest| !rest.is_empty()).map_or(bare, |rest| {
            if rest.ends_with("Configuration") || rest.ends_with("Configurations") {
                rest
            } else {
                bare
            }
        })
    });
    let known = |wanted: &str| RESOURCES.iter().find(|(own, _)| *own == wanted);
    let found = known(name).or_else(|| bare.and_then(known));
    let bucket_of_bare = bare.map(|bare| format!("Bucket{bare}"));
    let found = found.or_else(|| bucket_of_bare.as_deref().and_then(known));
    let resource = match found {
        Some((_, resource)) => resource,
        None if access.key.is_empty() => "BUCKET",
        None => "OBJECT",
    };
    let family = if access.is_website { "WEBSITE" } else { "REST" };
    let verb = match name {
        "CopyObject" | "UploadPartCopy" => "COPY",
        "RestoreObject" => "POST",
        _ => &access.method,
    };
    let resource = if name == "RestoreObject" { "RESTORE" } else { resource };
    format!("{family}.{verb}.{resource}")
}

fn requester(access: &Access) -> String {
    let Some(caller) = &access.caller else { return "-".into() };
    match (caller.principal.kind(), caller.account) {
        (PrincipalKind::Root, Some(account)) => account.canonical_user_id(),
        (PrincipalKind::Anonymous, _) | (_, None) => "-".into(),
        _ => caller.principal.arn().to_owned(),
    }
}

/// In quotes, out of which nothing leads.
fn quoted(text: &Option<String>) -> String {
    match text {
        Some(text) => format!("\"{}\"", safe(text)),
        None => "\"-\"".into(),
    }
}

/// Without what would end a field or a line.
fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("%22"),
            c if c.is_control() => {
                let _ = write!(out, "%{:02X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A word: nothing in it but what is no space.
fn word(text: &str) -> String {
    match text {
        "" => "-".into(),
        text => safe(text).replace(' ', "%20"),
    }
}

fn number(value: Option<u64>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `06/Feb/2019:00:00:38 +0000`.
fn time(at: base::Timestamp) -> String {
    // 2019-02-06T00:00:38Z
    let iso = at.iso8601_secs();
    let month = iso[5..7].parse::<usize>().ok().and_then(|m| MONTHS.get(m.wrapping_sub(1)));
    format!("{}/{}/{}:{} +0000", &iso[8..10], month.unwrap_or(&"-"), &iso[..4], &iso[11..19])
}

impl Record<'_> {
    /// With its end.
    pub fn line(&self, access: &Access, bucket: &BucketRow) -> String {
        let main = self.is_main;
        let sent = Some(access.sent_bytes).filter(|sent| main && *sent > 0);
        let signed = match access.version_two {
            Some(true) => "SigV2",
            Some(false) => "SigV4",
            None => "-",
        };
        let auth_type = match access.version_two {
            Some(_) if access.is_presigned => "QueryString",
            Some(_) => "AuthHeader",
            None => "-",
        };
        let fields = [
            bucket.owner.canonical_user_id(),
            word(self.bucket),
            format!("[{}]", time(access.at)),
            access.source_ip.to_string(),
            requester(access),
            word(&access.request_id),
            self.operation.clone(),
            word(&self.key),
            quoted(&Some(access.line.clone())),
            access.status.to_string(),
            // That nothing changed since is no error.
            word(access.error.as_deref().filter(|_| access.status != 304).unwrap_or("")),
            number(sent),
            number(access.object_bytes.filter(|_| main)),
            number(Some(access.total_ms).filter(|_| main)),
            number(Some(access.turn_around_ms).filter(|_| main)),
            quoted(&access.referer),
            quoted(&access.user_agent),
            word(access.version_id.as_deref().unwrap_or("")),
            word(access.host_id.as_deref().unwrap_or("")),
            signed.to_owned(),
            access.tls.map_or("-", |tls| tls.cipher_suite).to_owned(),
            auth_type.to_owned(),
            word(&access.host),
            access.tls.map_or("-", |tls| tls.version).to_owned(),
            word(access.access_point.as_deref().unwrap_or("")),
            (if access.by_list { "Yes" } else { "-" }).to_owned(),
            // Where the request came from is no region of AWS.
            "-".to_owned(),
        ];
        let mut line = fields.join(" ");
        line.truncate(line.floor_char_boundary(LINE_BYTES_MAX));
        line.push('\n');
        line
    }
}
