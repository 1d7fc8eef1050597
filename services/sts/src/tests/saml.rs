//! Sessions for those whom an identity provider's signed response names. How responses are held against
//! keys, the tests of `saml` have.

use super::*;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const METADATA: &str = include_str!("../../../../crates/saml/src/tests/metadata.xml");
const RESPONSE: &str = include_str!("../../../../crates/saml/src/tests/assertion.xml");
const PROVIDER: &str = "arn:aws:iam::444455556666:saml-provider/corp";

struct Corp {
    world: World,
    sts: Sts,
}

impl Corp {
    /// With a role that trusts who fulfils the condition.
    fn new(condition: &str) -> Corp {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Federated":"{PROVIDER}"}},"Action":["sts:AssumeRoleWithSAML","sts:TagSession"],"Condition":{{{condition}}}}}}}"#
        );
        let corp = Corp { world: World::new(S3, &trust), sts: sts() };
        corp.keep("corp", METADATA, 2_000_000_000);
        corp
    }

    fn keep(&self, name: &str, metadata: &str, until_s: i64) {
        let row = SamlProviderRow {
            id: "P".into(),
            name: name.into(),
            arn: format!("arn:aws:iam::444455556666:saml-provider/{name}"),
            metadata: metadata.into(),
            created: Timestamp::EPOCH,
            valid_until: Timestamp::from_secs(until_s),
            tags: Vec::new(),
        };
        let scope = Scope::Account(account("444455556666"));
        let put = |tx: &mut Tx| Ok(tx.put(&SAML_PROVIDERS, &scope, &row.name, &row)?);
        self.world.write(put).expect("a commit");
    }

    fn input(response: &str) -> AssumeRoleWithSAMLInput {
        AssumeRoleWithSAMLInput {
            role_arn: ROLE.into(),
            principal_arn: PROVIDER.into(),
            saml_assertion: STANDARD.encode(response),
            ..AssumeRoleWithSAMLInput::default()
        }
    }

    fn send(&self, input: &AssumeRoleWithSAMLInput) -> Result<AssumeRoleWithSAMLOutput, Error> {
        at_once(self.sts.assume_role_with_saml(&self.world.unsigned("AssumeRoleWithSAML"), input))
    }

    fn assume(&self) -> Result<AssumeRoleWithSAMLOutput, Error> {
        self.send(&Corp::input(RESPONSE))
    }
}

const NOT_AUTHORIZED: &str = "Not authorized to perform sts:AssumeRoleWithSAML";

#[test]
fn a_response_opens_a_role() {
    let corp = Corp::new(
        r#""StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml","SAML:iss":"https://idp.example.com/saml","saml:sub_type":"persistent","saml:doc":"444455556666/corp","aws:RequestTag/team":"red & blue"},"ForAnyValue:StringEquals":{"saml:edupersonaffiliation":"member"}"#,
    );
    let made = corp.assume().expect("a session");
    assert_eq!(made.subject.as_deref(), Some("alice"));
    assert_eq!(made.subject_type.as_deref(), Some("persistent"));
    assert_eq!(made.issuer.as_deref(), Some("https://idp.example.com/saml"));
    assert_eq!(made.audience.as_deref(), Some("https://signin.aws.amazon.com/saml"));
    // Of the issuer, the account and the provider's name, by another program.
    assert_eq!(made.name_qualifier.as_deref(), Some("Dwn316wdi5A8Clf6uPP0gydb968="));
    let user = made.assumed_role_user.expect("who");
    assert_eq!(user.arn, "arn:aws:sts::444455556666:assumed-role/R/alice");
    let credentials = made.credentials.expect("credentials");
    assert_eq!(credentials.expiration.to_secs(), 1_700_003_600);
    let id = credentials.access_key_id;
    assert!(corp.world.may(&id, "s3:GetObject"));
    let caller = corp.world.caller(&id);
    let team = caller.tags.iter().find(|(key, _)| &**key == "team");
    assert_eq!(team.map(|(_, value)| &**value), Some("red & blue"));
    let keys: Vec<&str> = caller.session_keys.iter().map(|(key, _)| &**key).collect();
    assert!(keys.contains(&"saml:sub") && keys.contains(&"aws:federatedprovider"));
}

#[test]
fn how_long() {
    let corp = Corp::new("");
    let with =
        |secs| AssumeRoleWithSAMLInput { duration_seconds: Some(secs), ..Corp::input(RESPONSE) };
    let ends = |secs| {
        corp.send(&with(secs))
            .map(|made| made.credentials.expect("credentials").expiration.to_secs() - 1_700_000_000)
    };
    assert_eq!(ends(900).expect("a session"), 900);
    // The provider's own session ends after two hours, and the role allows no more.
    assert_eq!(ends(7_200).expect("a session"), 7_200);
    corp.world.clock.advance_ms(100_000);
    assert_eq!(ends(7_200).expect("a session"), 7_200);
    let text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    refused(corp.send(&with(7_201)), "ValidationError", text);
    corp.world.clock.advance_ms(200_000);
    let text = "Token must be redeemed within 5 minutes of issuance";
    refused(corp.assume(), "ExpiredTokenException", text);
}

#[test]
fn who_is_not_let_in() {
    let corp = Corp::new(r#""StringEquals":{"saml:sub":"bob"}"#);
    refused(corp.assume(), "AccessDenied", NOT_AUTHORIZED);
    let corp = Corp::new("");
    let bad = "InvalidIdentityToken";
    for (response, why) in [
        (RESPONSE.replace(">alice<", ">mallory<"), "Response signature invalid"),
        ("<a/>".into(), "Invalid SAMLResponse"),
        (
            RESPONSE.replace("idp.example.com", "idp.example.org"),
            "Issuer not present in specified provider",
        ),
    ] {
        refused(corp.send(&Corp::input(&response)), bad, why);
    }
    let mut input = Corp::input(RESPONSE);
    input.saml_assertion = "*not base64*".into();
    refused(corp.send(&input), bad, "Invalid base64 SAMLResponse");
    // Another role of the account, which the response does not name.
    let other = "arn:aws:iam::444455556666:role/Other";
    refused(
        corp.send(&AssumeRoleWithSAMLInput { role_arn: other.into(), ..Corp::input(RESPONSE) }),
        "AccessDenied",
        NOT_AUTHORIZED,
    );
    // The same document under another name: the response names the first one.
    corp.keep("twin", METADATA, 2_000_000_000);
    let twin = "arn:aws:iam::444455556666:saml-provider/twin";
    refused(
        corp.send(&AssumeRoleWithSAMLInput { principal_arn: twin.into(), ..Corp::input(RESPONSE) }),
        "AccessDenied",
        NOT_AUTHORIZED,
    );
    for arn in [
        "arn:aws:iam::444455556666:saml-provider/none",
        "arn:aws:iam::111122223333:saml-provider/corp",
        "arn:aws-cn:iam::444455556666:saml-provider/corp",
    ] {
        let input = AssumeRoleWithSAMLInput { principal_arn: arn.into(), ..Corp::input(RESPONSE) };
        refused(corp.send(&input), bad, "Specified provider doesn't exist");
    }
    corp.keep("corp", METADATA, 1_600_000_000);
    refused(corp.assume(), bad, "The metadata of the specified provider has expired.");
}
