//! Which condition keys anything here ever has a value for. A policy that asks for another one of AWS's
//! global keys, or of IAM's, STS's or S3's, is taken, as AWS takes it, but whoever writes it is told: a
//! `Deny` on such a key never denies, an `Allow` never allows.

use crate::document::Policy;

/// In lower case, sorted. What ends in `/` stands for all keys that begin so.
const KEYS: [&str; 76] = [
    "aws:currenttime",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalservicename",
    "aws:principaltag/",
    "aws:principaltype",
    "aws:referer",
    "aws:requestedregion",
    "aws:requesttag/",
    "aws:resourceaccount",
    "aws:resourcetag/",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:tagkeys",
    "aws:tokenissuetime",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
    "iam:awsservicename",
    "iam:passedtoservice",
    "iam:permissionsboundary",
    "iam:policyarn",
    "iam:resourcetag/",
    "s3:accesspointnetworkorigin",
    "s3:accesspointtag/",
    "s3:authtype",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
    "s3:delimiter",
    "s3:existingobjecttag/",
    "s3:if-match",
    "s3:if-none-match",
    "s3:inventoryaccessibleoptionalfields",
    "s3:locationconstraint",
    "s3:max-keys",
    "s3:object-lock-legal-hold",
    "s3:object-lock-mode",
    "s3:object-lock-remaining-retention-days",
    "s3:object-lock-retain-until-date",
    "s3:objectcreationoperation",
    "s3:prefix",
    "s3:requestobjecttag/",
    "s3:requestobjecttagkeys",
    "s3:resourceaccount",
    "s3:signatureage",
    "s3:signatureversion",
    "s3:tlsversion",
    "s3:versionid",
    "s3:x-amz-acl",
    "s3:x-amz-content-sha256",
    "s3:x-amz-copy-source",
    "s3:x-amz-grant-full-control",
    "s3:x-amz-grant-read",
    "s3:x-amz-grant-read-acp",
    "s3:x-amz-grant-write",
    "s3:x-amz-grant-write-acp",
    "s3:x-amz-metadata-directive",
    "s3:x-amz-object-ownership",
    "s3:x-amz-server-side-encryption",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:x-amz-server-side-encryption-customer-algorithm",
    "s3:x-amz-storage-class",
    "s3:x-amz-website-redirect-location",
    "sts:externalid",
    "sts:rolesessionname",
    "sts:sourceidentity",
    "sts:transitivetagkeys",
];
/// Whose keys are all in the list. Other services and identity providers have their own.
const SPACES: [&str; 4] = ["aws:", "iam:", "s3:", "sts:"];

impl Policy {
    /// The keys that the policy asks for and nothing here ever answers, in lower case.
    pub fn unevaluated_keys(&self) -> Vec<&str> {
        let known = |key: &str| {
            let tag = key.find('/').map(|at| &key[..=at]);
            let has = |wanted: &str| KEYS.binary_search(&wanted).is_ok();
            has(key) || tag.is_some_and(has)
        };
        let ours = |key: &&str| SPACES.iter().any(|space| key.starts_with(space));
        self.context_keys().into_iter().filter(ours).filter(|key| !known(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    #[test]
    fn keys_that_nothing_answers() {
        assert!(KEYS.is_sorted());
        let check = |key: &str, expected: &[&str]| {
            let text = format!(
                r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{{"StringEquals":{{"{key}":"x"}}}}}}}}"#
            );
            let policy = Policy::parse(Kind::Inline, &text).unwrap();
            assert_eq!(policy.unevaluated_keys(), expected, "{key}");
        };
        for known in ["aws:UserName", "aws:PrincipalTag/Team", "s3:prefix", "dynamodb:LeadingKeys"]
        {
            check(known, &[]);
        }
        check("sts:TransitiveTagKeys", &[]);
        check("cognito-identity.amazonaws.com:sub", &[]);
        check("aws:SourceVpce", &["aws:sourcevpce"]);
        check("aws:PrincipalOrgID", &["aws:principalorgid"]);
        check("s3:BucketTag/team", &["s3:buckettag/team"]);
    }
}
