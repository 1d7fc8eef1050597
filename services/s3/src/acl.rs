//! Access control lists: canned ones, grant headers, documents, and what they allow.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>

use crate::rows::{BucketRow, GrantRow, Grantee, ObjectRow, Ownership, Permission};
use api::{Ask, Caller, Error};
use base::AccountId;
use gen_s3 as s3;
use gen_s3::errors as e;

const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
/// Who is in that group.
pub const LOG_DELIVERER: &str = "logging.s3.amazonaws.com";
/// Grants in one list.
const GRANTS_MAX: usize = 100;

/// What a request says of an access control list in headers.
pub struct Asked<'a> {
    pub canned: &'a Option<String>,
    pub full_control: &'a Option<String>,
    pub read: &'a Option<String>,
    pub write: &'a Option<String>,
    pub read_acp: &'a Option<String>,
    pub write_acp: &'a Option<String>,
}

impl Permission {
    pub fn name(self) -> &'static str {
        match self {
            Permission::FullControl => "FULL_CONTROL",
            Permission::Read => "READ",
            Permission::Write => "WRITE",
            Permission::ReadAcp => "READ_ACP",
            Permission::WriteAcp => "WRITE_ACP",
        }
    }

    fn parse(name: &str) -> Option<Permission> {
        use Permission::*;
        [FullControl, Read, Write, ReadAcp, WriteAcp].into_iter().find(|p| p.name() == name)
    }
}

pub fn full_control(account: AccountId) -> GrantRow {
    grant(account, Permission::FullControl)
}

fn grant(account: AccountId, permission: Permission) -> GrantRow {
    GrantRow { grantee: Grantee::CanonicalUser, permission, id: account.to_string() }
}

fn group(grantee: Grantee, permission: Permission) -> GrantRow {
    GrantRow { grantee, permission, id: String::new() }
}

impl Asked<'_> {
    /// What policies may say of it.
    /// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#permissions-specific-keys>
    pub fn keys(&self, ask: Ask) -> Ask {
        ask.key("s3:x-amz-acl", self.canned.as_deref())
            .key("s3:x-amz-grant-full-control", self.full_control.as_deref())
            .key("s3:x-amz-grant-read", self.read.as_deref())
            .key("s3:x-amz-grant-write", self.write.as_deref())
            .key("s3:x-amz-grant-read-acp", self.read_acp.as_deref())
            .key("s3:x-amz-grant-write-acp", self.write_acp.as_deref())
    }

    pub fn is_empty(&self) -> bool {
        self.canned.is_none() && self.headers().all(|(_, value)| value.is_none())
    }

    fn headers(&self) -> impl Iterator<Item = (Permission, &Option<String>)> {
        use Permission::*;
        [
            (FullControl, self.full_control),
            (Read, self.read),
            (Write, self.write),
            (ReadAcp, self.read_acp),
            (WriteAcp, self.write_acp),
        ]
        .into_iter()
    }

    /// The list that the headers ask for; the canned `private` if they say nothing. `bucket_owner` is
    /// for objects alone.
    pub fn grants(
        &self,
        owner: AccountId,
        bucket_owner: Option<AccountId>,
    ) -> Result<Vec<GrantRow>, Error> {
        let explicit = self.headers().any(|(_, value)| value.is_some());
        if explicit && self.canned.is_some() {
            return Err(Error::new(
                &e::INVALID_REQUEST,
                "Specifying both Canned ACLs and Header Grants is not allowed",
            ));
        }
        if explicit {
            let mut grants = Vec::new();
            for (permission, value) in self.headers() {
                for one in value.iter().flat_map(|v| v.split(',')) {
                    grants.push(header_grant(one.trim(), permission)?);
                }
            }
            return bounded(grants);
        }
        canned(self.canned.as_deref().unwrap_or("private"), owner, bucket_owner)
    }
}

fn bounded(grants: Vec<GrantRow>) -> Result<Vec<GrantRow>, Error> {
    if grants.len() > GRANTS_MAX {
        return Err(malformed());
    }
    Ok(grants)
}

fn malformed() -> Error {
    Error::new(
        &e::MALFORMED_ACL_ERROR,
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

fn canned(
    name: &str,
    owner: AccountId,
    bucket_owner: Option<AccountId>,
) -> Result<Vec<GrantRow>, Error> {
    use Permission::*;
    let mut grants = vec![full_control(owner)];
    match (name, bucket_owner) {
        ("private", _) => {}
        ("public-read", _) => grants.push(group(Grantee::AllUsers, Read)),
        ("public-read-write", _) => {
            grants.push(group(Grantee::AllUsers, Read));
            grants.push(group(Grantee::AllUsers, Write));
        }
        ("authenticated-read", _) => grants.push(group(Grantee::AuthenticatedUsers, Read)),
        ("log-delivery-write", None) => {
            grants.push(group(Grantee::LogDelivery, Write));
            grants.push(group(Grantee::LogDelivery, ReadAcp));
        }
        // A bucket is its own owner's already, so these two change nothing there.
        ("bucket-owner-read" | "bucket-owner-full-control", None) => {}
        // Grants to the image service of EC2, which nobody is here.
        ("aws-exec-read", _) => {}
        ("bucket-owner-read", Some(account)) if account != owner => {
            grants.push(grant(account, Read))
        }
        ("bucket-owner-full-control", Some(account)) if account != owner => {
            grants.push(full_control(account));
        }
        ("bucket-owner-read" | "bucket-owner-full-control", Some(_)) => {}
        _ => {
            return Err(Error::new(&e::INVALID_ARGUMENT, "")
                .detail("ArgumentName", "x-amz-acl")
                .detail("ArgumentValue", name));
        }
    }
    Ok(grants)
}

/// `id="…"`, `uri="…"` or `emailAddress="…"`.
fn header_grant(text: &str, permission: Permission) -> Result<GrantRow, Error> {
    let invalid = || {
        Error::new(&e::INVALID_ARGUMENT, "Argument format not recognized")
            .detail("ArgumentName", "x-amz-grant")
            .detail("ArgumentValue", text)
    };
    let (kind, value) = text.split_once('=').ok_or_else(invalid)?;
    let value = value.trim().trim_matches('"');
    match kind.trim() {
        "id" => canonical(value, permission),
        "uri" => by_uri(value, permission),
        "emailAddress" => Err(no_email()),
        _ => Err(invalid()),
    }
}

/// S3 takes no e-mail addresses since October 2025.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Grantee.html>
fn no_email() -> Error {
    let text = "The specified method is not allowed against this resource.";
    Error::new(&e::METHOD_NOT_ALLOWED, text)
}

fn by_uri(uri: &str, permission: Permission) -> Result<GrantRow, Error> {
    let grantee = match uri {
        ALL_USERS => Grantee::AllUsers,
        AUTHENTICATED => Grantee::AuthenticatedUsers,
        LOG_DELIVERY => Grantee::LogDelivery,
        _ => {
            return Err(Error::new(&e::INVALID_ARGUMENT, "Invalid group uri")
                .detail("ArgumentName", "uri")
                .detail("ArgumentValue", uri));
        }
    };
    Ok(group(grantee, permission))
}

/// A canonical user, kept by the id itself: it names an account that may not be known here yet.
fn canonical(id: &str, permission: Permission) -> Result<GrantRow, Error> {
    let known = AccountId::parse(id).is_some();
    let ok = known || (id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    if !ok {
        return Err(Error::new(&e::INVALID_ARGUMENT, "Invalid id")
            .detail("ArgumentName", "CanonicalUser/ID")
            .detail("ArgumentValue", id));
    }
    Ok(GrantRow { grantee: Grantee::CanonicalUser, permission, id: id.to_owned() })
}

/// The list of a document that a client sent for something of that owner. S3 wants the owner to be named,
/// and nobody gives away what is theirs by naming another.
/// <https://github.com/boto/boto3/issues/1615>
pub fn from_document(
    document: &s3::AccessControlPolicy,
    owner: AccountId,
) -> Result<Vec<GrantRow>, Error> {
    let named = document.owner.as_ref().and_then(|owner| owner.id.as_ref());
    let named = named.ok_or_else(malformed)?;
    if *named != owner.canonical_user_id() && *named != owner.to_string() {
        return Err(Error::new(&e::ACCESS_DENIED, "Access Denied"));
    }
    listed(document.grants.as_ref().ok_or_else(malformed)?)
}

/// Grants as a document lists them.
pub fn listed(given: &[s3::Grant]) -> Result<Vec<GrantRow>, Error> {
    let mut grants = Vec::new();
    for row in given {
        let permission =
            row.permission.as_deref().and_then(Permission::parse).ok_or_else(malformed)?;
        let grantee = row.grantee.as_ref().ok_or_else(malformed)?;
        grants.push(match grantee.r#type.as_str() {
            "AmazonCustomerByEmail" => return Err(no_email()),
            // The schema has for each kind what names one of it, and nothing of the others.
            _ if grantee.email_address.is_some() => return Err(malformed()),
            "CanonicalUser" if grantee.uri.is_none() => {
                canonical(grantee.id.as_deref().ok_or_else(malformed)?, permission)?
            }
            "Group" if grantee.id.is_none() => {
                by_uri(grantee.uri.as_deref().ok_or_else(malformed)?, permission)?
            }
            _ => return Err(malformed()),
        });
    }
    bounded(grants)
}

/// S3 shows names until November 2025, and clients of before then read them.
pub fn display_name(account: AccountId) -> String {
    account.to_string()
}

pub fn owner(account: AccountId) -> s3::Owner {
    s3::Owner { id: Some(account.canonical_user_id()), display_name: Some(display_name(account)) }
}

pub fn to_document(grants: &[GrantRow]) -> Vec<s3::Grant> {
    let grantee = |row: &GrantRow| match row.grantee {
        Grantee::CanonicalUser => s3::Grantee {
            r#type: "CanonicalUser".into(),
            id: Some(match AccountId::parse(&row.id) {
                Some(account) => account.canonical_user_id(),
                None => row.id.clone(),
            }),
            display_name: AccountId::parse(&row.id).map(display_name),
            ..s3::Grantee::default()
        },
        group => s3::Grantee {
            r#type: "Group".into(),
            uri: Some(
                match group {
                    Grantee::AllUsers => ALL_USERS,
                    Grantee::AuthenticatedUsers => AUTHENTICATED,
                    _ => LOG_DELIVERY,
                }
                .into(),
            ),
            ..s3::Grantee::default()
        },
    };
    grants
        .iter()
        .map(|row| s3::Grant {
            grantee: Some(grantee(row)),
            permission: Some(row.permission.name().into()),
        })
        .collect()
}

/// Whether everybody, or everybody with an account, has a part in the list.
pub fn is_public(grants: &[GrantRow]) -> bool {
    let public = [Grantee::AllUsers, Grantee::AuthenticatedUsers];
    grants.iter().any(|row| public.contains(&row.grantee))
}

/// Whether a list gives the caller the permission; grants to everybody count only where `public`.
fn gives(grants: &[GrantRow], public: bool, caller: &Caller, wanted: Permission) -> bool {
    grants.iter().any(|row| {
        let who = match row.grantee {
            Grantee::AllUsers => public,
            Grantee::AuthenticatedUsers => public && caller.account.is_some(),
            Grantee::LogDelivery => caller.principal.arn() == LOG_DELIVERER,
            Grantee::CanonicalUser => caller.account.is_some_and(|account| {
                row.id == account.to_string() || row.id == account.canonical_user_id()
            }),
        };
        who && (row.permission == wanted || row.permission == Permission::FullControl)
    })
}

/// Whether the group that delivers logs may write, and read the list.
pub fn lets_log(grants: &[GrantRow]) -> bool {
    let may = |wanted| {
        grants.iter().any(|row| {
            row.grantee == Grantee::LogDelivery
                && (row.permission == wanted || row.permission == Permission::FullControl)
        })
    };
    may(Permission::Write) && may(Permission::ReadAcp)
}

/// What the bucket's list says of an action on it or on what is in it; `None` if the object's own
/// list decides.
pub fn bucket_allows(
    bucket: &BucketRow,
    public: bool,
    caller: &Caller,
    action: &str,
) -> Option<bool> {
    if bucket.ownership == Ownership::BucketOwnerEnforced {
        return Some(false);
    }
    let wanted = match action {
        "s3:ListBucket" | "s3:ListBucketVersions" | "s3:ListBucketMultipartUploads" => {
            Permission::Read
        }
        "s3:PutObject" | "s3:DeleteObject" | "s3:DeleteObjectVersion" => Permission::Write,
        "s3:GetBucketAcl" => Permission::ReadAcp,
        "s3:PutBucketAcl" => Permission::WriteAcp,
        "s3:GetObject"
        | "s3:GetObjectVersion"
        | "s3:GetObjectAcl"
        | "s3:GetObjectVersionAcl"
        | "s3:PutObjectAcl"
        | "s3:PutObjectVersionAcl" => return None,
        _ => return Some(false),
    };
    Some(gives(&bucket.acl, public, caller, wanted))
}

pub fn object_allows(object: &ObjectRow, public: bool, caller: &Caller, action: &str) -> bool {
    let wanted = match action {
        "s3:GetObject" | "s3:GetObjectVersion" => Permission::Read,
        "s3:GetObjectAcl" | "s3:GetObjectVersionAcl" => Permission::ReadAcp,
        _ => Permission::WriteAcp,
    };
    gives(&object.acl, public, caller, wanted)
}
