//! Sessions for web identities, federated users, and second factors.

use super::*;
use api::{Fetch, Fetched};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use parking_lot::Mutex;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use std::collections::BTreeMap;

const ISSUER: &str = "https://id.example.com/pool";
const NOW: i64 = 1_700_000_000;

/// A provider of identities that is not there: what its URLs answer, and how often they were asked.
#[derive(Default)]
struct Provider {
    answers: Mutex<BTreeMap<String, String>>,
    asked: Mutex<usize>,
}

impl Fetch for Provider {
    fn fetch<'a>(&'a self, url: &'a str, _: &'a [String]) -> Fetched<'a> {
        *self.asked.lock() += 1;
        let found = self.answers.lock().get(url).map(|text| text.clone().into_bytes());
        Box::pin(async move { found.ok_or_else(|| "nothing there".to_owned()) })
    }
}

enum Key {
    Rsa(RsaKeyPair),
    Curve(EcdsaKeyPair),
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Key {
    fn rsa() -> Key {
        let pem = include_str!("rsa_key.pem");
        let body: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let der = STANDARD.decode(body).expect("base64");
        Key::Rsa(RsaKeyPair::from_pkcs8(&der).expect("a key"))
    }

    fn curve() -> Key {
        let random = ring::rand::SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let der = der.expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &random);
        Key::Curve(pair.expect("a key"))
    }

    /// As a set has it.
    fn public(&self, kid: &str) -> String {
        match self {
            Key::Rsa(pair) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let (n, e) = (b64(&public.n), b64(&public.e));
                format!(
                    r#"{{"kty":"RSA","use":"sig","alg":"RS256","kid":"{kid}","n":"{n}","e":"{e}"}}"#
                )
            }
            Key::Curve(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
                format!(r#"{{"kty":"EC","crv":"P-256","kid":"{kid}","x":"{x}","y":"{y}"}}"#)
            }
        }
    }

    fn sign(&self, kid: &str, claims: &str) -> String {
        let alg = match self {
            Key::Rsa(_) => "RS256",
            Key::Curve(_) => "ES256",
        };
        let header = format!(r#"{{"alg":"{alg}","kid":"{kid}"}}"#);
        let signed = format!("{}.{}", b64(header), b64(claims));
        let random = ring::rand::SystemRandom::new();
        let signature = match self {
            Key::Rsa(pair) => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut out).expect("signed");
                out
            }
            Key::Curve(pair) => {
                pair.sign(&random, signed.as_bytes()).expect("signed").as_ref().to_vec()
            }
        };
        format!("{signed}.{}", b64(signature))
    }
}

fn claims(more: &str) -> String {
    format!(r#"{{"iss":"{ISSUER}","aud":"app","sub":"me","iat":{NOW},"exp":{}{more}}}"#, NOW + 600)
}

struct Web {
    world: World,
    provider: Arc<Provider>,
    sts: Sts,
}

impl Web {
    /// With a role that trusts who fulfils the condition.
    fn new(condition: &str, keys: &[String]) -> Web {
        let trust = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{{"Federated":"arn:aws:iam::444455556666:oidc-provider/id.example.com/pool"}},"Action":["sts:AssumeRoleWithWebIdentity","sts:TagSession"],"Condition":{{{condition}}}}}}}"#
        );
        let world = World::new(S3, &trust);
        let row = OidcProviderRow {
            arn: "arn:aws:iam::444455556666:oidc-provider/id.example.com/pool".into(),
            url: "id.example.com/pool".into(),
            plain_http: false,
            client_ids: vec!["app".into()],
            thumbprints: Vec::new(),
            created: Timestamp::EPOCH,
            tags: Vec::new(),
        };
        let entropy = world.entropy.clone();
        let put = |tx: &mut Tx| put_oidc_provider(tx, account("444455556666"), &row, &*entropy);
        world.write(put).expect("a commit");
        let provider = Arc::new(Provider::default());
        let about = format!(r#"{{"issuer":"{ISSUER}","jwks_uri":"https://id.example.com/keys"}}"#);
        let mut answers = provider.answers.lock();
        answers.insert(format!("{ISSUER}/.well-known/openid-configuration"), about);
        answers.insert("https://id.example.com/keys".into(), set(keys));
        drop(answers);
        let sts = Sts::new(provider.clone());
        Web { world, provider, sts }
    }

    fn assume(&self, token: &str) -> Result<AssumeRoleWithWebIdentityOutput, Error> {
        let input = AssumeRoleWithWebIdentityInput {
            role_arn: ROLE.into(),
            role_session_name: "s1".into(),
            web_identity_token: token.into(),
            ..AssumeRoleWithWebIdentityInput::default()
        };
        let cx = self.world.unsigned("AssumeRoleWithWebIdentity");
        at_once(self.sts.assume_role_with_web_identity(&cx, &input))
    }
}

fn set(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

#[test]
fn a_token_opens_a_role() {
    let (rsa, curve) = (Key::rsa(), Key::curve());
    let web = Web::new(
        r#""StringEquals":{"id.example.com/pool:aud":"app","id.example.com/pool:sub":"me"}"#,
        &[rsa.public("r"), curve.public("c")],
    );
    for (key, kid) in [(&rsa, "r"), (&curve, "c")] {
        let made = web.assume(&key.sign(kid, &claims(""))).expect("a session");
        assert_eq!(made.subject_from_web_identity_token.as_deref(), Some("me"));
        assert_eq!(made.audience.as_deref(), Some("app"));
        let user = made.assumed_role_user.expect("who");
        assert_eq!(user.arn, "arn:aws:sts::444455556666:assumed-role/R/s1");
        let id = made.credentials.expect("credentials").access_key_id;
        assert!(web.world.may(&id, "s3:GetObject"));
        let caller = web.world.caller(&id);
        let keys: Vec<&str> = caller.session_keys.iter().map(|(key, _)| &**key).collect();
        assert!(
            keys.contains(&"id.example.com/pool:sub") && keys.contains(&"aws:federatedprovider")
        );
    }
    // The set was kept.
    assert_eq!(*web.provider.asked.lock(), 2);
    let other = rsa.sign("r", &claims("").replace("\"me\"", "\"you\""));
    refused(
        web.assume(&other),
        "AccessDenied",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    );
}

#[test]
fn tokens_that_are_none() {
    let (rsa, curve) = (Key::rsa(), Key::curve());
    let web = Web::new("", &[rsa.public("r")]);
    let bad = "InvalidIdentityToken";
    let no_jwt = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";
    for token in ["", "a.b", "a.b.c", "e30.e30.e30"] {
        refused(web.assume(token), bad, no_jwt);
    }
    let good = claims("");
    let unsigned =
        "The signature of the ID Token could not be verified with a key of your identity provider";
    refused(web.assume(&curve.sign("r", &good)), bad, unsigned);
    let none = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(&good));
    refused(web.assume(&none), bad, unsigned);
    let hmac = format!("{}.{}.{}", b64(r#"{"alg":"HS256","kid":"r"}"#), b64(&good), b64("x"));
    refused(web.assume(&hmac), bad, unsigned);
    let signed = rsa.sign("r", &good);
    let (head, signature) = signed.rsplit_once('.').expect("a signature");
    let (header, _) = head.split_once('.').expect("a header");
    let forged = format!("{header}.{}.{signature}", b64(good.replace("\"me\"", "\"you\"")));
    refused(web.assume(&forged), bad, unsigned);

    let check = |claims: String, code: &str, message: &str| {
        refused(web.assume(&rsa.sign("r", &claims)), code, message);
    };
    let old = good.replace(&(NOW + 600).to_string(), &(NOW - 1).to_string());
    let expired = "Token expired: current date/time 1700000000 must be before the expiration date/time 1699999999";
    check(old, "ExpiredTokenException", expired);
    check(good.replace("\"app\"", "\"other\""), bad, "Incorrect token audience");
    check(
        good.replace("id.example.com", "evil.example"),
        bad,
        "No OpenIDConnect provider found in your account for https://evil.example/pool",
    );
    check(good.replace("\"sub\"", "\"subject\""), bad, "Missing a required claim: sub");
    check(
        good.replace(&format!("\"iat\":{NOW}"), &format!("\"nbf\":{}", NOW + 301)),
        bad,
        "The ID Token provided is not valid yet.",
    );
    // A party that the token was handed to counts in place of many audiences.
    let handed = good.replace("\"app\"", "[\"x\",\"y\"],\"azp\":\"app\"");
    assert!(web.assume(&rsa.sign("r", &handed)).is_ok());
}

#[test]
fn keys_are_fetched_again_when_they_change() {
    let (rsa, curve) = (Key::rsa(), Key::curve());
    let web = Web::new("", &[rsa.public("r")]);
    assert!(web.assume(&rsa.sign("r", &claims(""))).is_ok());
    web.provider
        .answers
        .lock()
        .insert("https://id.example.com/keys".into(), set(&[curve.public("c")]));
    let token = curve.sign("c", &claims(""));
    assert!(web.assume(&token).is_err(), "not fetched again so soon");
    web.world.clock.advance_ms(6_000);
    assert!(web.assume(&token).is_ok());
    assert!(web.assume(&rsa.sign("r", &claims(""))).is_err());
    web.provider.answers.lock().clear();
    web.world.clock.advance_ms(301_000);
    let gone = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements";
    refused(web.assume(&token), "InvalidIdentityToken", gone);
}

#[test]
fn tags_in_a_token() {
    let rsa = Key::rsa();
    let web = Web::new(r#""StringEquals":{"aws:RequestTag/team":"red"}"#, &[rsa.public("r")]);
    let more = r#","https://aws.amazon.com/tags":{"principal_tags":{"team":["red"]},"transitive_tag_keys":["team"]}"#;
    let made = web.assume(&rsa.sign("r", &claims(more))).expect("a session");
    let id = made.credentials.expect("credentials").access_key_id;
    let caller = web.world.caller(&id);
    assert!(caller.tags.contains(&("team".into(), "red".into())));
    assert!(web.assume(&rsa.sign("r", &claims(""))).is_err());
    let broken = more.replace("[\"red\"]", "\"red\",\"x\":[]");
    refused(
        web.assume(&rsa.sign("r", &claims(&broken))),
        "InvalidIdentityToken",
        "The tags claim of the token is not valid",
    );
    // Nobody has looked at the words in a token before.
    for (key, value) in
        [("", "red"), ("team", "r\\u0001ed"), ("team", &*"r".repeat(257)), ("t!", "")]
    {
        let odd = more.replace("team\":[\"red", &format!("{key}\":[\"{value}"));
        let odd = odd.replace(r#","transitive_tag_keys":["team"]"#, "");
        assert_ne!(odd, more);
        let text = "The session tags are not valid.";
        refused(web.assume(&rsa.sign("r", &claims(&odd))), "InvalidParameterValue", text);
    }
    for source in ["a", "aws:me", "me and you", &*"a".repeat(65)] {
        let odd = format!(r#"{more},"https://aws.amazon.com/source_identity":"{source}""#);
        let text = "The source identity of the token is not valid";
        refused(web.assume(&rsa.sign("r", &claims(&odd))), "InvalidIdentityToken", text);
    }
}

#[test]
fn federated_users() {
    let both = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["s3:*","sts:*"],"Resource":"*"}}"#;
    let world = World::new(both, &trust(r#""sts:AssumeRole""#, ""));
    let get = |caller: Arc<Caller>, policy: Option<&str>| {
        let cx = world.cx(caller, "GetFederationToken");
        let input = GetFederationTokenInput {
            name: "bob".into(),
            policy: policy.map(str::to_owned),
            ..GetFederationTokenInput::default()
        };
        let asks = Handler(sts()).authorize(cx.operation.index, &cx, &input)?;
        world.write(|tx| {
            asks.iter().try_for_each(|ask| cx.authorize(tx, ask))?;
            sts().get_federation_token(tx, &cx, &input)
        })
    };
    let made = get(world.caller("AKIAALICE"), Some(&S3.replace("s3:*", "s3:Get*"))).expect("one");
    let user = made.federated_user.expect("who");
    assert_eq!(user.arn, "arn:aws:sts::111122223333:federated-user/bob");
    assert_eq!(user.federated_user_id, "111122223333:bob");
    let made = made.credentials.expect("credentials");
    assert_eq!(made.expiration.to_secs(), NOW + 12 * 3_600);
    let id = made.access_key_id;
    assert!(world.may(&id, "s3:GetObject") && !world.may(&id, "s3:PutObject"));
    refused(
        get(world.caller(&id), None),
        "AccessDenied",
        "User: arn:aws:sts::111122223333:federated-user/bob is not authorized to perform: sts:GetFederationToken on resource: arn:aws:sts::111122223333:federated-user/bob because no session policy allows the sts:GetFederationToken action",
    );
    // A role it may not assume whatever policies say.
    let made = get(world.caller("AKIAALICE"), Some(both)).expect("one").credentials.expect("one");
    assert!(world.may(&made.access_key_id, "sts:AssumeRole"));
    let bob = "User: arn:aws:sts::111122223333:federated-user/bob is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::444455556666:role/x/R";
    refused(world.assume(world.caller(&made.access_key_id), &input()), "AccessDenied", bob);
    // Without policies it may do nothing by itself.
    let made = get(world.caller("AKIAALICE"), None).expect("one").credentials.expect("one");
    assert!(!world.may(&made.access_key_id, "s3:GetObject"));
    let made = get(world.root(), Some(S3)).expect("one").credentials.expect("one");
    assert_eq!(made.expiration.to_secs(), NOW + 3_600);
    assert!(world.may(&made.access_key_id, "s3:PutObject"));
    assert!(!world.may(&made.access_key_id, "sqs:SendMessage"));
}

#[test]
fn second_factors() {
    let condition = r#""Bool":{"aws:MultiFactorAuthPresent":"true"}"#;
    let world = World::new(ANY, &trust(r#""sts:AssumeRole""#, condition));
    let serial = "arn:aws:iam::111122223333:mfa/phone";
    let row = MfaDeviceRow {
        serial: serial.into(),
        name: "phone".into(),
        path: "/".into(),
        seed: Bytes::from_static(b"12345678901234567890"),
        created: Timestamp::EPOCH,
        user: Some("alice".into()),
        enabled: Some(Timestamp::EPOCH),
        tags: Vec::new(),
        ahead: 0,
        last_step: 0,
    };
    let scope = Scope::Account(account("111122223333"));
    world.write(|tx| Ok(tx.put(&MFA_DEVICES, &scope, serial, &row)?)).expect("a commit");
    let alice = world.caller("AKIAALICE");
    let with = |code: &str| AssumeRoleInput {
        serial_number: Some(serial.into()),
        token_code: Some(code.into()),
        ..input()
    };
    assert!(world.assume(alice.clone(), &input()).is_err(), "without a code");
    let wrong = "MultiFactorAuthentication failed with invalid MFA one time pass code. ";
    refused(world.assume(alice.clone(), &with("000000")), "AccessDenied", wrong);
    let code = mfa_code(b"12345678901234567890", NOW / 30);
    let made = world.assume(alice.clone(), &with(&code)).expect("a session");
    let id = made.credentials.expect("credentials").access_key_id;
    assert!(world.caller(&id).mfa);
    refused(world.assume(alice, &with(&code)), "AccessDenied", wrong);
}

#[test]
fn broken_tokens() {
    let curve = Key::curve();
    let line = format!("{}\n{}", set(&[curve.public("c")]), curve.sign("c", &claims("")));
    let entropy = SeededEntropy::new(5);
    for _ in 0..3_000 {
        let mut bytes = line.clone().into_bytes();
        for _ in 0..=entropy.below(3) {
            let at = entropy.below(bytes.len() as u64) as usize;
            bytes[at] = entropy.next_u64() as u8;
        }
        crate::fuzz(&bytes);
    }
}
