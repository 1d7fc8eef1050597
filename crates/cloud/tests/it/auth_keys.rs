//! The condition keys that AWS's Service Authorization Reference lists for each action: where this cloud says
//! that it evaluates one, a question for the action has it. Of all others whoever writes a policy is told.

use crate::auth_table::{TABLES, map, texts};
use crate::world::{World, ask, query, services, world};
use smithy::model::Operation;
use smithy::shape::Member;
use smithy::{Slot, Struct};
use std::collections::{BTreeMap, BTreeSet};

/// Those that the head of a request gives, and a rehearsal has none: see below, `access_points` and
/// `tests/test_s3_access.py`.
const OF_THE_HEAD: [&str; 8] = [
    "s3:AccessPointNetworkOrigin",
    "s3:DataAccessPointAccount",
    "s3:DataAccessPointArn",
    "s3:TlsVersion",
    "s3:authType",
    "s3:signatureAge",
    "s3:signatureversion",
    "s3:x-amz-content-sha256",
];

/// Keys by the member that gives them. An operation that has it and asks for the action answers the key.
const MEMBERS: [(&str, &str); 28] = [
    ("aws:RequestTag/abc", "Tags"),
    ("aws:TagKeys", "Tags"),
    ("iam:AWSServiceName", "AWSServiceName"),
    ("iam:PermissionsBoundary", "PermissionsBoundary"),
    ("iam:PolicyARN", "PolicyArn"),
    ("s3:InventoryAccessibleOptionalFields", "InventoryConfiguration"),
    ("s3:RequestObjectTag/abc", "Tagging"),
    ("s3:RequestObjectTagKeys", "Tagging"),
    ("s3:delimiter", "Delimiter"),
    ("s3:if-match", "IfMatch"),
    ("s3:if-none-match", "IfNoneMatch"),
    ("s3:max-keys", "MaxKeys"),
    ("s3:object-lock-legal-hold", "ObjectLockLegalHoldStatus"),
    ("s3:object-lock-mode", "ObjectLockMode"),
    ("s3:object-lock-remaining-retention-days", "ObjectLockRetainUntilDate"),
    ("s3:object-lock-retain-until-date", "ObjectLockRetainUntilDate"),
    ("s3:prefix", "Prefix"),
    ("s3:versionid", "VersionId"),
    ("s3:x-amz-acl", "ACL"),
    ("s3:x-amz-copy-source", "CopySource"),
    ("s3:x-amz-grant-full-control", "GrantFullControl"),
    ("s3:x-amz-metadata-directive", "MetadataDirective"),
    ("s3:x-amz-object-ownership", "ObjectOwnership"),
    ("s3:x-amz-server-side-encryption", "ServerSideEncryption"),
    ("s3:x-amz-server-side-encryption-customer-algorithm", "SSECustomerAlgorithm"),
    ("s3:x-amz-storage-class", "StorageClass"),
    ("s3:x-amz-website-redirect-location", "WebsiteRedirectLocation"),
    ("sts:ExternalId", "ExternalId"),
];

/// What no operation can answer, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("s3:CreateAccessPoint", "s3:locationconstraint", NOT_SAID),
    ("s3:CreateAccessPoint", "s3:x-amz-acl", NOT_SAID),
    ("s3:GetAccessPoint", "aws:ResourceTag/abc", "the reference gives this action no resource"),
    ("s3:GetAccessPoint", "s3:AccessPointTag/abc", "the reference gives this action no resource"),
    ("s3:ListBucketMultipartUploads", "aws:ResourceTag/abc", OF_BUCKETS),
    ("s3:ListBucketMultipartUploads", "s3:AccessPointTag/abc", "through access points alone"),
    ("s3:PutObject", "s3:x-amz-grant-write", NOT_SAID),
    ("s3:PutObjectAcl", "s3:x-amz-storage-class", NOT_SAID),
    ("s3:PutObjectVersionAcl", "s3:x-amz-storage-class", NOT_SAID),
];
const NOT_SAID: &str = "no request for it says so";
const OF_BUCKETS: &str =
    "tags of buckets decide only where a bucket was made to let them, which none is here";

/// Those that nothing here answers, among those of the actions that can be asked for.
const TOLD_OF: [&str; 14] = [
    "iam:AssociatedResourceArn",
    "iam:FIDO-FIPS-140-2-certification",
    "iam:FIDO-FIPS-140-3-certification",
    "iam:FIDO-certification",
    "iam:RegisterSecurityKey",
    "iam:RoleTemplateARN",
    "iam:ServiceSpecificCredentialAgeDays",
    "iam:ServiceSpecificCredentialServiceName",
    "s3:AccessGrantsInstanceArn",
    "s3:isReplicationPauseRequest",
    "s3:object-lock-event-hold",
    "s3:object-lock-event-hold-duration-days",
    "s3:x-amz-bucket-namespace",
    "s3:x-amz-object-annotation-directive",
];

fn is_excepted(action: &str, key: &str) -> bool {
    EXCEPTIONS.iter().any(|(of, own, _)| *of == action && *own == key)
}

/// Members that a rehearsal leaves out.
fn leaves_out(operation: &str, member: &str, with_version: bool) -> bool {
    match member {
        "VersionId" => !with_version,
        // A second factor is looked up.
        "TokenCode" => operation == "AssumeRole",
        _ => false,
    }
}

struct Filler<'a> {
    operation: &'a str,
    with_version: bool,
    version: &'a str,
}

impl Filler<'_> {
    fn text(&self, member: &str) -> &str {
        match member {
            "Bucket" => "photos",
            "CopySource" => "photos/abc",
            "OpenIDConnectProviderArn" => "arn:aws:iam::000000000000:oidc-provider/abc.def",
            "PolicyArn" | "PermissionsBoundary" => "arn:aws:iam::000000000000:policy/abc",
            "ResourceArn" => "arn:aws:s3:us-east-1:000000000000:accesspoint/abc",
            "SAMLProviderArn" => "arn:aws:iam::000000000000:saml-provider/abc",
            "SerialNumber" => "arn:aws:iam::000000000000:mfa/abc",
            "AccountId" => "000000000000",
            "Tagging" => "abc=abc",
            "VersionId" => self.version,
            name if name.to_ascii_lowercase().contains("arn") => {
                "arn:aws:iam::000000000000:role/abc"
            }
            _ => "abc",
        }
    }

    fn fill(&self, value: &mut dyn Struct) {
        for (index, member) in value.shape().members.iter().enumerate() {
            if !leaves_out(self.operation, member.name, self.with_version) {
                self.slot(value.field_mut(index).slot(), member);
            }
        }
    }

    fn slot(&self, slot: Slot<'_>, member: &Member) {
        match slot {
            Slot::Str(out) => *out = self.text(member.name).to_owned(),
            Slot::Integer(out) => *out = 1,
            Slot::Long(out) => *out = 1,
            Slot::Timestamp(out) => *out = base::Timestamp::from_secs(1_900_000_000),
            Slot::Struct(inner) => self.fill(inner),
            Slot::List(list) => match list.push().slot() {
                Slot::Struct(inner) => self.fill(inner),
                slot => self.slot(slot, member),
            },
            _ => {}
        }
    }
}

/// As the reference writes it, with `abc` for the names of tags.
fn named(key: &str) -> String {
    key.replace("${TagKey}", "abc").replace("<key>", "abc")
}

impl World {
    /// Gives ann one policy of these statements; what the answer warns of.
    fn give(&self, statements: &[String]) -> String {
        let policy =
            format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
        let policy = base::percent::encode(policy.as_bytes());
        let put = format!(
            "Action=PutUserPolicy&Version=2010-05-08&UserName=ann&PolicyName=p&PolicyDocument={policy}"
        );
        self.check(query("iam", &put), 200, "").header("x-cumulet-warning").to_owned()
    }

    fn iam(&self, form: &str) {
        self.check(query("iam", &format!("Version=2010-05-08&{form}")), 200, "");
    }
}

fn allow(action: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"*"}}"#)
}

/// Denies the action where there is a value for the key.
fn deny_where(key: &str, action: &str) -> String {
    format!(
        r#"{{"Effect":"Deny","Action":"{action}","Resource":"*","Condition":{{"Null":{{"{key}":"false"}}}}}}"#
    )
}

/// The action in the text of a refusal.
fn refused_action(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("is not authorized to perform: ")?;
    rest.split_once(" on resource: ").map(|(action, _)| action)
}

/// Bucket `photos` with the object `abc`, and a user, a role, a policy and an access point of that name, all
/// with tags and, where they can have one, a boundary; and who asks. The id of the object's version.
fn furnished() -> (World, String, String) {
    let world = world();
    let (id, _) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    let versions = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let md5 = "8qj8HSeDu3APPMQZVG06WQ==";
    let put = ask("s3", "PUT", "/photos?versioning").header("content-md5", md5);
    world.check(put.body(versions), 200, "");
    let put = ask("s3", "PUT", "/photos/abc").header("x-amz-tagging", "abc=abc").body(b"x");
    let version = world.check(put, 200, "").header("x-amz-version-id").to_owned();
    let document = base::percent::encode(
        br#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#,
    );
    world.iam(&format!("Action=CreatePolicy&PolicyName=abc&PolicyDocument={document}"));
    let tag = "Tags.member.1.Key=abc&Tags.member.1.Value=abc";
    let boundary = "PermissionsBoundary=arn%3Aaws%3Aiam%3A%3A000000000000%3Apolicy%2Fabc";
    world.iam(&format!("Action=CreateUser&UserName=abc&{tag}&{boundary}"));
    let trust = base::percent::encode(
        br#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}"#,
    );
    world.iam(&format!(
        "Action=CreateRole&RoleName=abc&AssumeRolePolicyDocument={trust}&{tag}&{boundary}"
    ));
    let body = br#"<CreateAccessPointRequest xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"><Bucket>photos</Bucket><Tags><Tag><Key>abc</Key><Value>abc</Value></Tag></Tags></CreateAccessPointRequest>"#;
    let point = ask("s3", "PUT", "/v20180820/accesspoint/abc");
    let point = point.header("x-amz-account-id", "000000000000").body(body);
    world.check(point, 200, "");
    (world, id, version)
}

/// The actions that an operation asks for, each after the one before was allowed.
fn actions(asks: impl Fn() -> String, world: &World) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    loop {
        let all: Vec<String> =
            found.iter().map(|action| allow(action)).chain([allow("ec2:None")]).collect();
        world.give(&all);
        match refused_action(&asks()) {
            Some(action) if !found.iter().any(|own| own == action) => {
                found.push(action.to_owned());
            }
            _ => return found,
        }
    }
}

#[test]
fn each_key_that_counts_is_there() {
    let (world, id, version) = furnished();
    let mut counts = BTreeMap::new();
    // What was asked for, and what somebody answered.
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    let mut wrong = Vec::new();
    for service in services() {
        let model = service.model();
        let Some((_, text)) = TABLES.iter().find(|(name, _)| *name == model.name) else { continue };
        let table = smithy::json::parse_document(text.as_bytes()).expect("a table");
        let table = map(&map(&table)["actions"]);
        for operation in model.operations {
            let Operation { name, served: Some(served), .. } = operation else { continue };
            for with_version in [false, true] {
                let mut input = (served.new_input)();
                let filler = Filler { operation: name, with_version, version: &version };
                filler.fill(&mut *input);
                let has = |wanted: &str| {
                    let mut members = input.shape().members.iter();
                    members.any(|own| own.name == wanted && !leaves_out(name, wanted, with_version))
                };
                if with_version && !has("VersionId") {
                    continue;
                }
                let rehearse = || {
                    let done = world.gateway.rehearse(&id, model.name, name, &*input);
                    done.err().map(|error| error.message().to_owned()).unwrap_or_default()
                };
                for action in actions(rehearse, &world) {
                    let row = action.split_once(':').and_then(|(_, name)| table.get(name));
                    let keys = row.map(|row| texts(map(row).get("keys"))).unwrap_or_default();
                    for key in keys.iter().map(|key| named(key)) {
                        let ours =
                            ["aws:", "iam:", "s3:", "sts:"].iter().any(|s| key.starts_with(s));
                        if !ours || OF_THE_HEAD.contains(&&*key) {
                            continue;
                        }
                        let told = world.give(&[allow("*"), deny_where(&key, &action)]);
                        let is_counted = told.is_empty();
                        counts.insert(key.clone(), is_counted);
                        if !is_counted {
                            continue;
                        }
                        asked.insert((action.clone(), key.clone()));
                        let text = rehearse();
                        let there = text.contains("with an explicit deny")
                            && refused_action(&text) == Some(&*action);
                        if there {
                            answered.insert((action.clone(), key));
                        } else if !is_excepted(&action, &key)
                            && MEMBERS.iter().any(|(own, member)| *own == key && has(member))
                        {
                            wrong.push(format!("{}:{name}: no {key} for {action}", model.name));
                        }
                    }
                }
            }
        }
    }
    for (action, key) in asked.difference(&answered) {
        if !is_excepted(action, key) {
            wrong.push(format!("{action}: no operation has {key}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(answered.len() > 200, "only {} were answered", answered.len());
    let told: Vec<&String> = counts.iter().filter(|(_, counted)| !**counted).map(|c| c.0).collect();
    assert_eq!(told, TOLD_OF, "keys that whoever writes a policy is told of");
}

#[test]
fn keys_of_the_head() {
    let world = world();
    let (id, secret) = world.user("ann");
    world.check(ask("s3", "PUT", "/photos"), 200, "");
    world.check(ask("s3", "PUT", "/photos/abc").body(b"x"), 200, "");
    let get = || ask("s3", "GET", "/photos/abc").key(&id, &secret);
    let keys = ["s3:authType", "s3:signatureAge", "s3:signatureversion", "s3:x-amz-content-sha256"];
    for key in keys {
        world.give(&[allow("*"), deny_where(key, "s3:GetObject")]);
        world.check(get(), 403, "explicit deny");
    }
    let condition = |version: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{{"NumericGreaterThanEquals":{{"s3:TlsVersion":"{version}"}}}}}}"#
        )
    };
    let over = |version| get().over_tls(version);
    world.give(&[condition("1.3")]);
    world.check(over("TLSv1.3"), 200, "x");
    world.check(over("TLSv1.2"), 403, "AccessDenied");
    world.check(get(), 403, "AccessDenied");
}
