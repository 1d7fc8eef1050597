//! A cloud in memory, and requests to it.

use api::{Hooks, Service};
use base::{Clock, ManualClock, SeededEntropy, Timestamp};
use bytes::Bytes;
use gateway::{AccessRules, Gateway, GatewayParts, Peer, RequestStream, RootKey};
use http_body::Body as _;
use sigv4::{Credentials, Payload, RequestHead, Rules, SigningKey, sha256};
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use store::Store;
use store::blobs::block_on;

pub struct World {
    pub store: Store,
    pub gateway: Gateway,
    pub clock: Arc<ManualClock>,
}

pub struct ToCome;

impl Hooks for ToCome {}
impl gen_ec2::EC2Api for ToCome {}
impl gen_lambda::LambdaApi for ToCome {}
impl gen_sqs::SQSApi for ToCome {}

pub fn services() -> Vec<Arc<dyn Service>> {
    vec![
        Arc::new(gen_iam::Handler(service_iam::Iam)),
        Arc::new(gen_s3::Handler(service_s3::S3::new())),
        Arc::new(gen_s3control::Handler(service_s3::Control)),
        Arc::new(gen_sts::Handler(service_sts::Sts::new(Arc::new(api::NoFetch)))),
        Arc::new(gen_dynamodb::Handler(service_dynamodb::DynamoDb::default())),
        Arc::new(gen_ec2::Handler(ToCome)),
        Arc::new(gen_lambda::Handler(ToCome)),
        Arc::new(gen_sqs::Handler(ToCome)),
    ]
}

pub fn world() -> World {
    let key = RootKey {
        id: "AKIAGIVEN".into(),
        secret: "given-secret".into(),
        account: base::AccountId::DEFAULT,
    };
    with(services(), AccessRules { root_keys: vec![key], ..AccessRules::default() })
}

pub fn with(services: Vec<Arc<dyn Service>>, access: AccessRules) -> World {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let store = Store::memory(clock.clone(), entropy.clone());
    let identities = Arc::new(directory::Directory::default());
    let own = store.clone();
    let parts = GatewayParts { store, clock: clock.clone(), entropy, services, identities, access };
    World { store: own, gateway: Gateway::new(parts).unwrap(), clock }
}

/// A request before it is signed.
pub struct Ask<'a> {
    pub method: &'a str,
    pub target: &'a str,
    pub headers: Vec<(&'a str, String)>,
    pub body: Vec<u8>,
    pub service: &'a str,
    pub peer: &'a str,
    /// Access key, secret, token.
    pub key: Option<(&'a str, &'a str, Option<&'a str>)>,
    /// What is said to have been signed, if it is not the truth.
    pub signed_body: Option<Vec<u8>>,
    pub tls: Option<api::Tls>,
}

pub fn ask<'a>(service: &'a str, method: &'a str, target: &'a str) -> Ask<'a> {
    Ask {
        method,
        target,
        headers: vec![("host", "localhost:4566".into())],
        body: Vec::new(),
        service,
        peer: "127.0.0.1",
        key: Some(("test", "test", None)),
        signed_body: None,
        tls: None,
    }
}

/// A query request.
pub fn query<'a>(service: &'a str, form: &str) -> Ask<'a> {
    ask(service, "POST", "/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.as_bytes())
}

impl<'a> Ask<'a> {
    pub fn header(mut self, name: &'a str, value: &str) -> Ask<'a> {
        self.headers.retain(|(own, _)| *own != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(mut self, body: &[u8]) -> Ask<'a> {
        self.body = body.to_vec();
        self
    }

    pub fn key(mut self, id: &'a str, secret: &'a str) -> Ask<'a> {
        self.key = Some((id, secret, None));
        self
    }

    pub fn anonymous(mut self) -> Ask<'a> {
        self.key = None;
        self
    }

    pub fn over_tls(mut self, version: &'static str) -> Ask<'a> {
        self.tls = Some(api::Tls { version, cipher_suite: "-" });
        self
    }

    pub fn peer(mut self, peer: &'a str) -> Ask<'a> {
        self.peer = peer;
        self
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Told {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Told {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The text of the first element of that name.
    pub fn element(&self, name: &str) -> &str {
        let after = self.body.split_once(&format!("<{name}>")).map_or("", |(_, after)| after);
        after.split_once('<').map_or("", |(text, _)| text)
    }
}

impl World {
    pub fn send(&self, ask: Ask<'_>) -> Told {
        self.send_at(ask, 0)
    }

    /// Signed so many seconds from now. A content length that is given stays.
    pub fn send_at(&self, ask: Ask<'_>, seconds: i64) -> Told {
        let Ask { method, target, mut headers, body, service, peer, key, signed_body, tls } = ask;
        let now = self.clock.now().plus_secs(seconds);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        if !body.is_empty() && !headers.iter().any(|(name, _)| *name == "content-length") {
            headers.push(("content-length", body.len().to_string()));
        }
        let said = signed_body.as_deref().unwrap_or(&body);
        if let Some((id, secret, token)) = key {
            let raw: Vec<(&str, &[u8])> =
                headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let head = RequestHead { method, path, query, headers: &raw };
            let date = now.iso8601_basic();
            let signing = SigningKey::derive(secret, &date[..8], "us-east-1", service);
            let credentials = Credentials { access_key: id, key: &signing, token };
            let hash = sha256(said);
            let rules = match service {
                "s3" => Rules::S3,
                _ => Rules::General { body_sha256: hash },
            };
            let added = sigv4::sign_header(&head, rules, Payload::Sha256(hash), &credentials, now);
            headers.extend(added);
        }
        let mut request = http::Request::builder().method(method).uri(target);
        for (name, value) in &headers {
            request = request.header(*name, value);
        }
        let body = match body.is_empty() {
            true => RequestStream::Empty,
            false => RequestStream::Whole(Bytes::from(body)),
        };
        let peer = Peer { address: peer.parse::<IpAddr>().unwrap(), tls };
        block_on(async {
            let response = self.gateway.handle(peer, request.body(body).unwrap()).await;
            let (parts, mut body) = response.into_parts();
            let mut bytes = Vec::new();
            while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            let body = String::from_utf8_lossy(&bytes).into_owned();
            Told { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }

    /// Sends, and expects this code (empty for a success).
    pub fn check(&self, ask: Ask<'_>, status: u16, code: &str) -> Told {
        let shown = format!("{} {} {:?}", ask.method, ask.target, ask.headers);
        let told = self.send(ask);
        assert_eq!(told.status, status, "{shown}: {}", told.body);
        assert!(told.body.contains(code), "{shown}: {code} in {}", told.body);
        told
    }

    /// A user with a key, without any policy.
    pub fn user(&self, name: &str) -> (String, String) {
        let version = "Version=2010-05-08";
        let create = format!("Action=CreateUser&{version}&UserName={name}");
        self.check(query("iam", &create), 200, "<UserId>");
        let create = format!("Action=CreateAccessKey&{version}&UserName={name}");
        let told = self.check(query("iam", &create), 200, "<SecretAccessKey>");
        (told.element("AccessKeyId").to_owned(), told.element("SecretAccessKey").to_owned())
    }

    /// Allows a user an action on everything.
    pub fn allow(&self, user: &str, action: &str) {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"{action}","Resource":"*"}}]}}"#
        );
        let policy = base::percent::encode(policy.as_bytes());
        let put = format!(
            "Action=PutUserPolicy&Version=2010-05-08&UserName={user}&PolicyName=p&PolicyDocument={policy}"
        );
        self.check(query("iam", &put), 200, "");
    }
}
