//! Events in words: the message for queues, topics and functions, and the event for a bus.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>

use super::Of;
use crate::object;
use crate::rows::{BucketRow, Versioning};
use api::Cx;
use base::{Partition, Region, Timestamp, percent};
use policy::PrincipalKind;
use smithy::json::Writer;

/// Who or what did it.
pub struct Cause {
    region: String,
    partition: Partition,
    principal: String,
    /// The account that asked, or S3 itself.
    requester: String,
    source_ip: String,
    request_id: String,
    host_id: String,
    /// The operation, or what S3 did it for.
    reason: String,
}

impl Cause {
    pub fn of_request(cx: &Cx) -> Cause {
        let nobody = cx.caller.principal.kind() == PrincipalKind::Anonymous;
        let reason = match cx.operation.name {
            "PutObject" if cx.http.is_form => "POST Object",
            "DeleteObjects" => "DeleteObject",
            name => name,
        };
        Cause {
            region: cx.region.to_string(),
            partition: cx.partition(),
            principal: match nobody {
                true => "Anonymous".into(),
                false => format!("AWS:{}", cx.caller.user_id),
            },
            requester: cx.caller.account.map_or_else(|| "anonymous".into(), |a| a.to_string()),
            source_ip: cx
                .http
                .source_ip
                .map_or_else(String::new, |ip| ip.to_canonical().to_string()),
            request_id: cx.request_id.to_string(),
            host_id: cx.http.host_id.clone().unwrap_or_default(),
            reason: reason.into(),
        }
    }

    pub fn own(bucket: &BucketRow, reason: &'static str) -> Cause {
        let own = || "s3.amazonaws.com".to_owned();
        let region = Region::parse(&bucket.region);
        Cause {
            region: bucket.region.clone(),
            partition: region.map_or(Partition::Aws, |region| region.partition()),
            principal: own(),
            requester: own(),
            source_ip: own(),
            request_id: String::new(),
            host_id: String::new(),
            reason: reason.into(),
        }
    }
}

pub struct Happened<'a> {
    /// `ObjectCreated:Put`.
    pub event: &'a str,
    pub of: Of<'a>,
    pub cause: &'a Cause,
    pub at: Timestamp,
}

impl Happened<'_> {
    fn is_removal(&self) -> bool {
        self.event.ends_with(":Delete") && !self.event.starts_with("ObjectTagging")
    }

    /// As of 2.1, or what later kinds of event are written in.
    fn version(&self) -> &'static str {
        match self.event.split(':').next() {
            Some("ObjectCreated" | "ObjectRemoved" | "ObjectRestore") => "2.1",
            Some("Replication") => "2.2",
            _ => "2.3",
        }
    }

    /// Grows with every change of a key: compared as text.
    fn sequencer(&self) -> String {
        format!("{:018X}", self.of.row.sequence)
    }

    fn version_id(&self) -> Option<String> {
        match self.of.bucket.versioning {
            Versioning::Unversioned => None,
            _ => object::shown_id(self.of.bucket, self.of.row),
        }
    }

    fn e_tag(&self) -> &str {
        // What MD5 says of nothing, as S3 has it for delete markers.
        if self.of.row.delete_marker {
            "d41d8cd98f00b204e9800998ecf8427e"
        } else {
            &self.of.row.e_tag
        }
    }

    fn arn(&self) -> String {
        format!("arn:{}:s3:::{}", self.cause.partition.as_str(), self.of.name)
    }
}

fn member(out: &mut Writer, key: &str, value: &str) {
    out.key(key);
    out.string(value);
}

/// An object of one member.
fn nested(out: &mut Writer, outer: &str, members: &[(&str, &str)]) {
    out.key(outer);
    out.open('{');
    for (key, value) in members {
        member(out, key, value);
    }
    out.close('}');
}

/// Keys as the message has them: as in a form, but for the slashes.
pub fn encoded_key(key: &str) -> String {
    percent::encode_path(key.as_bytes()).replace("%20", "+")
}

/// The owner, in the form of Amazon's customer ids.
fn customer_id(bucket: &BucketRow) -> String {
    let id = bucket.owner.canonical_user_id().to_ascii_uppercase();
    format!("A{}", &id[..13])
}

/// The message that queues, topics and functions get.
pub fn record(happened: &Happened<'_>, configuration_id: &str) -> String {
    let Happened { event, of, cause, at } = happened;
    let mut out = Writer::with_capacity(1024);
    out.open('{');
    out.key("Records");
    out.open('[');
    out.open('{');
    member(&mut out, "eventVersion", happened.version());
    member(&mut out, "eventSource", "aws:s3");
    member(&mut out, "awsRegion", &cause.region);
    member(&mut out, "eventTime", &at.iso8601_millis());
    member(&mut out, "eventName", event);
    nested(&mut out, "userIdentity", &[("principalId", &cause.principal)]);
    nested(&mut out, "requestParameters", &[("sourceIPAddress", &cause.source_ip)]);
    let ids = [("x-amz-request-id", &*cause.request_id), ("x-amz-id-2", &*cause.host_id)];
    nested(&mut out, "responseElements", &ids);
    out.key("s3");
    out.open('{');
    member(&mut out, "s3SchemaVersion", "1.0");
    member(&mut out, "configurationId", configuration_id);
    out.key("bucket");
    out.open('{');
    member(&mut out, "name", of.name);
    nested(&mut out, "ownerIdentity", &[("principalId", &customer_id(of.bucket))]);
    member(&mut out, "arn", &happened.arn());
    out.close('}');
    out.key("object");
    out.open('{');
    member(&mut out, "key", &encoded_key(of.key));
    if !happened.is_removal() {
        if !of.row.delete_marker {
            out.key("size");
            out.integer(of.row.size_bytes as i64);
        }
        member(&mut out, "eTag", happened.e_tag());
    }
    if let Some(id) = happened.version_id() {
        member(&mut out, "versionId", &id);
    }
    member(&mut out, "sequencer", &happened.sequencer());
    for _ in 0..3 {
        out.close('}');
    }
    out.close(']');
    out.close('}');
    out.finish()
}

/// What EventBridge calls an event.
fn detail_type(event: &str) -> &'static str {
    match event.split(':').next() {
        Some("ObjectCreated") => "Object Created",
        Some("ObjectRemoved" | "LifecycleExpiration") => "Object Deleted",
        Some("ObjectRestore") if event.ends_with("Post") => "Object Restore Initiated",
        Some("ObjectRestore") if event.ends_with("Completed") => "Object Restore Completed",
        Some("ObjectRestore") => "Object Restore Expired",
        Some("ObjectTagging") if event.ends_with("Put") => "Object Tags Added",
        Some("ObjectTagging") => "Object Tags Deleted",
        Some("ObjectAcl") => "Object ACL Updated",
        _ => "Object Storage Class Changed",
    }
}

/// The event that a bus gets.
pub fn for_bus(happened: &Happened<'_>) -> String {
    let Happened { event, of, cause, at } = happened;
    let mut out = Writer::with_capacity(1024);
    out.open('{');
    member(&mut out, "version", "0");
    member(&mut out, "detail-type", detail_type(event));
    member(&mut out, "source", "aws.s3");
    member(&mut out, "account", &of.bucket.owner.to_string());
    member(&mut out, "time", &at.iso8601_secs());
    member(&mut out, "region", &of.bucket.region);
    out.key("resources");
    out.open('[');
    out.string(&happened.arn());
    out.close(']');
    out.key("detail");
    out.open('{');
    member(&mut out, "version", "0");
    nested(&mut out, "bucket", &[("name", of.name)]);
    out.key("object");
    out.open('{');
    member(&mut out, "key", of.key);
    if !happened.is_removal() {
        if !of.row.delete_marker {
            out.key("size");
            out.integer(of.row.size_bytes as i64);
        }
        member(&mut out, "etag", happened.e_tag());
    }
    if let Some(id) = happened.version_id() {
        member(&mut out, "version-id", &id);
    }
    member(&mut out, "sequencer", &happened.sequencer());
    out.close('}');
    if !cause.request_id.is_empty() {
        member(&mut out, "request-id", &cause.request_id);
    }
    member(&mut out, "requester", &cause.requester);
    if cause.requester != "s3.amazonaws.com" {
        member(&mut out, "source-ip-address", &cause.source_ip);
    }
    member(&mut out, "reason", &cause.reason);
    if detail_type(event) == "Object Deleted" {
        let marker = of.row.delete_marker && event.ends_with("Created");
        let kind = if marker { "Delete Marker Created" } else { "Permanently Deleted" };
        member(&mut out, "deletion-type", kind);
    }
    if detail_type(event) == "Object Storage Class Changed" {
        member(&mut out, "destination-storage-class", &of.row.meta.storage_class);
    }
    out.close('}');
    out.close('}');
    out.finish()
}

/// What a new queue or topic gets to see that it can be reached.
pub fn test(cx: &Cx, bucket: &str, at: Timestamp) -> String {
    let mut out = Writer::with_capacity(256);
    out.open('{');
    member(&mut out, "Service", "Amazon S3");
    member(&mut out, "Event", "s3:TestEvent");
    member(&mut out, "Time", &at.iso8601_millis());
    member(&mut out, "Bucket", bucket);
    member(&mut out, "RequestId", &cx.request_id);
    member(&mut out, "HostId", cx.http.host_id.as_deref().unwrap_or_default());
    out.close('}');
    out.finish()
}
