//! The way of requests to the registry of images, and what it asks us: whether a key is good, and who
//! may do what.
//!
//! Permission is asked as the cloud's own registry service has it, `ecr:…` on the repository's ARN, in
//! the account of whoever asks.

use crate::admin;
use crate::authenticate::{Received, Signed};
use crate::encode::{self, Ids, Response};
use crate::gateway::{Gateway, Peer, Seen};
use crate::head::Head;
use crate::host::HostStyle;
use crate::keys::Known;
use crate::payload::RequestStream;
use api::{
    Ask, ByteStream, Caller, Error, RegistryAccess, RegistryAnswer, RegistryCall, RegistryDoor,
    RegistryKeys, RequestBody,
};
use base::AccountId;
use bytes::Bytes;
use sigv4::Cause;
use smithy::model::{Operation, Protocol};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pub(crate) const PREFIX: &str = "/v2/";
const TOKENS: &str = "registry";

/// The body of a request that nobody signed.
pub(crate) struct Plain(pub RequestStream);

impl ByteStream for Plain {
    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        self.0.poll(cx)
    }
}

struct Access<'g, 'h> {
    gateway: &'g Gateway,
    peer: Peer,
    head: &'h Head<'h>,
}

impl Access<'_, '_> {
    fn known(&self, id: &str) -> Result<Arc<Known>, String> {
        let refused = |_: Cause| Error::with_code("Denied", 401, "The access key is unknown.");
        let known = self.gateway.known(&self.peer, self.head, id, false, refused);
        let known = known.map_err(|error| error.message().to_owned())?;
        let now = self.gateway.clock.now();
        match known.expires {
            Some(expires) if expires <= now => Err("The key has expired.".to_owned()),
            _ if known.token.is_some() => {
                Err("Keys of sessions are not taken here; use a key of a user.".to_owned())
            }
            _ => Ok(known),
        }
    }
}

impl RegistryAccess for Access<'_, '_> {
    fn by_secret(&self, id: &str, secret: &str) -> Result<Arc<Caller>, String> {
        let known = self.known(id)?;
        let (own, given) = (known.secret().as_bytes(), secret.as_bytes());
        let differs = own
            .iter()
            .zip(given)
            .fold(own.len() ^ given.len(), |all, (a, b)| all | usize::from(a ^ b));
        match differs {
            0 => Ok(known.caller.clone()),
            _ => Err("The secret is not that of the access key.".to_owned()),
        }
    }

    fn by_token(&self, token: &str) -> Result<Arc<Caller>, String> {
        let place = api::Door::open_token(&*self.gateway.guard, TOKENS, token);
        let place = place.ok_or("The token is none of ours.")?;
        let (expires, id) = place.split_once(' ').ok_or("The token is none of ours.")?;
        let now = self.gateway.clock.now().to_secs();
        if expires.parse().unwrap_or(0) <= now {
            return Err("The token has expired.".to_owned());
        }
        Ok(self.known(id)?.caller.clone())
    }

    fn token(&self, caller: &Caller, seconds: u64) -> String {
        let expires = self.gateway.clock.now().to_secs() + seconds as i64;
        let place = format!("{expires} {}", caller.access_key_id);
        api::Door::seal_token(&*self.gateway.guard, TOKENS, &place)
    }

    fn allow(&self, caller: &Arc<Caller>, action: &str, name: &str) -> Result<AccountId, String> {
        let gateway = self.gateway;
        let account = caller.account.ok_or("Nobody knows who is asking.")?;
        let operation = operation().ok_or("The registry has no operation.")?;
        let signed = Signed {
            caller: caller.clone(),
            region: gateway.region.clone(),
            body: Received::Whole(Bytes::new()),
            place: None,
            version_two: false,
            signed_at: None,
            content_sha256: None,
        };
        let seen = Seen::default();
        let cx = gateway.context(self.head, &gateway.admin, operation, &signed, &self.peer, &seen);
        let partition = gateway.region.partition().as_str();
        let region = gateway.region.as_str();
        let resource = match name {
            "*" => "*".to_owned(),
            name => format!("arn:{partition}:ecr:{region}:{account}:repository/{name}"),
        };
        let asked =
            gateway.store.read(|tx| cx.authorize(tx, &Ask::new(action.to_owned(), resource)));
        asked.map(|()| account).map_err(|error| error.message().to_owned())
    }
}

fn operation() -> Option<&'static Operation> {
    admin::registry_operation()
}

/// Holds on to a key that was good, for requests that never were HTTP.
struct Kept {
    gateway: Arc<Gateway>,
    caller: Arc<Caller>,
}

impl RegistryAccess for Kept {
    fn by_secret(&self, _: &str, _: &str) -> Result<Arc<Caller>, String> {
        Ok(self.caller.clone())
    }

    fn by_token(&self, _: &str) -> Result<Arc<Caller>, String> {
        Ok(self.caller.clone())
    }

    fn token(&self, _: &Caller, _: u64) -> String {
        String::new()
    }

    fn allow(&self, caller: &Arc<Caller>, action: &str, name: &str) -> Result<AccountId, String> {
        local(&self.gateway, |access| access.allow(caller, action, name))
    }
}

/// As a request of this machine would be.
fn local<R>(
    gateway: &Gateway,
    ask: impl FnOnce(&dyn RegistryAccess) -> Result<R, String>,
) -> Result<R, String> {
    let request = http::Request::builder().uri("/v2/").header("host", "localhost");
    let parts = request.body(()).map_err(|error| error.to_string())?.into_parts().0;
    let head = Head::read(&parts).map_err(|error| error.message().to_owned())?;
    let peer = Peer { address: std::net::Ipv4Addr::LOCALHOST.into(), tls: None };
    ask(&Access { gateway, peer, head: &head })
}

/// The keys of this cloud, for the engine's way to the registry.
pub struct Keyring(pub Arc<Gateway>);

impl RegistryKeys for Keyring {
    fn owner(&self) -> Box<dyn RegistryAccess> {
        let caller = Caller::root(self.0.region.partition(), AccountId::DEFAULT);
        Box::new(Kept { gateway: self.0.clone(), caller: Arc::new(caller) })
    }

    fn by_secret(&self, id: &str, secret: &str) -> Result<Box<dyn RegistryAccess>, String> {
        let caller = local(&self.0, |access| access.by_secret(id, secret))?;
        Ok(Box::new(Kept { gateway: self.0.clone(), caller }))
    }
}

impl Gateway {
    /// Opens the door below `/v2/`.
    pub fn with_registry(mut self, registry: Arc<dyn RegistryDoor>) -> Gateway {
        self.registry = Some(registry);
        self
    }

    /// The answer of the registry, if the request is for it: not signed as those for services are.
    pub(crate) async fn registry_page<'g>(
        &'g self,
        peer: &Peer,
        head: &Head<'_>,
        body: RequestStream,
        seen: &mut Seen<'g>,
    ) -> Result<Response, Error> {
        let Some(registry) = &self.registry else {
            return Err(Error::with_code("NotFound", 404, "There is no registry here."));
        };
        seen.entry = Some(&self.admin);
        seen.protocol = Some(Protocol::RestJson1);
        seen.operation = operation();
        seen.ids = Some(Ids::new(&*self.entropy, false));
        let access = Access { gateway: self, peer: *peer, head };
        let query = head.owned_query();
        let header = |name: &str| head.text(name).map(str::to_owned);
        let scheme = if peer.is_secure() { "https" } else { "http" };
        let host = head.text("host").unwrap_or("localhost");
        let length = crate::authenticate::content_length(head)?;
        let body = match body.is_empty() {
            true => RequestBody::empty(),
            false => RequestBody::new(length, Box::pin(Plain(body))),
        };
        let call = RegistryCall {
            method: head.method,
            path: head.path,
            query: &query,
            header: &header,
            origin: format!("{scheme}://{host}"),
            access: &access,
            body,
        };
        let RegistryAnswer { status, headers, body } = registry.answer(call).await;
        Ok(encode::relayed(status, headers, body))
    }

    /// Whether a request is the registry's: to a plain name, and not signed.
    pub(crate) fn is_for_registry(&self, head: &Head<'_>) -> bool {
        (head.path.starts_with(PREFIX) || head.path == "/v2")
            && self.registry.is_some()
            && crate::host::parse(&head.host, &self.local.host_names) == HostStyle::Plain
            && head.text("authorization").is_none_or(|text| !text.starts_with("AWS"))
            && head.query_value("X-Amz-Signature").is_none()
    }
}
