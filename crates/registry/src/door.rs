//! The way of a request: who asks, what for, and whether that is allowed.

use crate::answer::{Answered, Refusal, json};
use crate::forget;
use crate::path::{self, Place};
use crate::upstream::{IMPORT, Upstream};
use api::{Caller, RegistryCall, RegistryDoor, RegistryReply};
use base::{AccountId, Entropy};
use base64::Engine as _;
use engine::image::Images;
use oci::digest::Hasher;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Store, StoreError, Tx};

pub(crate) const SERVICE: &str = "cumulet";
/// How long a token is good; what it allows is asked with each request anyway.
const TOKEN_SECONDS: u64 = 3600;

/// The registry of this cloud.
pub struct Registry {
    pub(crate) store: Store,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) images: Images,
    /// Of uploads that are under way: how far, and the hash so far.
    pub(crate) hashers: Mutex<BTreeMap<String, (u64, Hasher)>>,
    pub(crate) upstreams: Vec<Upstream>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

/// A repository of an account, and who is at it.
#[derive(Clone)]
pub(crate) struct Repository {
    pub account: AccountId,
    pub name: String,
    pub caller: Arc<Caller>,
}

pub(crate) fn query<'c>(call: &'c RegistryCall<'_>, name: &str) -> Option<&'c str> {
    call.query.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

impl RegistryDoor for Registry {
    fn answer<'a>(&'a self, mut call: RegistryCall<'a>) -> RegistryReply<'a> {
        Box::pin(async move {
            let answered = self.serve(&mut call).await;
            let mut answer = answered.unwrap_or_else(Refusal::into_answer);
            answer.headers.push(("docker-distribution-api-version", "registry/2.0".to_owned()));
            if call.method == "HEAD" {
                answer.body = api::Body::Empty;
            }
            answer
        })
    }

    fn forget_account(&self, tx: &mut Tx, account: AccountId) -> Result<Vec<String>, StoreError> {
        forget::forget_account(tx, account)
    }

    fn remove_layers(&self, layers: &[String]) {
        layers.iter().for_each(|layer| self.images.remove_layer_files(layer));
    }
}

impl Registry {
    pub fn new(store: Store, entropy: Arc<dyn Entropy>, images: Images) -> Registry {
        let hashers = Mutex::default();
        Registry { store, entropy, images, hashers, upstreams: Vec::new() }
    }

    /// Copies of other registries.
    #[must_use]
    pub fn with_upstreams(mut self, upstreams: Vec<Upstream>) -> Registry {
        self.upstreams = upstreams;
        self
    }

    async fn serve(&self, call: &mut RegistryCall<'_>) -> Answered {
        let place = path::parse(call.path);
        if place == Place::Token {
            return token(call);
        }
        let caller = who(call, &place)?;
        match place {
            Place::Base => match caller.account {
                Some(_) => json(&serde_json::json!({}), Vec::new()),
                None => Err(unauthorized(call, &place, "authentication required")),
            },
            Place::Catalog => match call.method {
                "GET" => {
                    let account = allow(call, &caller, "ecr:DescribeRepositories", "*")?;
                    self.catalog(call, account)
                }
                _ => Err(Refusal::unsupported("The operation is unsupported.")),
            },
            Place::Collect if call.method == "POST" => self.collect_page(call, &caller).await,
            Place::Tags(name) => match call.method {
                "GET" => {
                    let repository = repository(call, &caller, "ecr:ListImages", name)?;
                    self.tags(call, &repository)
                }
                _ => Err(Refusal::unsupported("The operation is unsupported.")),
            },
            Place::Manifest(name, reference) => {
                self.manifest_page(call, &caller, name, reference).await
            }
            Place::Blob(name, digest) => self.blob_page(call, &caller, name, digest).await,
            Place::Uploads(name) => match call.method {
                "POST" => {
                    let repository = repository(call, &caller, "ecr:InitiateLayerUpload", name)?;
                    self.begin_upload(call, &repository).await
                }
                _ => Err(Refusal::unsupported("The operation is unsupported.")),
            },
            Place::Upload(name, id) => self.upload_page(call, &caller, name, id).await,
            Place::Referrers(name, digest) => match call.method {
                "GET" => {
                    let repository = repository(call, &caller, "ecr:BatchGetImage", name)?;
                    let digest = checked(digest)?;
                    self.referrers(call, &repository, &digest)
                }
                _ => Err(Refusal::unsupported("The operation is unsupported.")),
            },
            Place::Token | Place::Collect | Place::Unknown => {
                Err(Refusal::new(404, "NAME_UNKNOWN", "there is nothing here"))
            }
        }
    }

    async fn manifest_page(
        &self,
        call: &mut RegistryCall<'_>,
        caller: &Arc<Caller>,
        name: &str,
        reference: &str,
    ) -> Answered {
        let action = match call.method {
            "GET" | "HEAD" => "ecr:BatchGetImage",
            "PUT" => "ecr:PutImage",
            "DELETE" => "ecr:BatchDeleteImage",
            _ => return Err(Refusal::unsupported("The operation is unsupported.")),
        };
        let repository = repository(call, caller, action, name)?;
        if matches!(call.method, "GET" | "HEAD")
            && self.is_copy(name)
            && allow(call, caller, IMPORT, name).is_ok()
        {
            self.fetch_manifest(&repository, reference).await?;
        }
        match call.method {
            "PUT" => self.put_manifest(call, &repository, reference).await,
            "DELETE" => self.delete_manifest(&repository, reference).await,
            _ => self.get_manifest(call, &repository, reference).await,
        }
    }

    async fn blob_page(
        &self,
        call: &mut RegistryCall<'_>,
        caller: &Arc<Caller>,
        name: &str,
        digest: &str,
    ) -> Answered {
        let action = match call.method {
            "GET" => "ecr:GetDownloadUrlForLayer",
            "HEAD" => "ecr:BatchCheckLayerAvailability",
            "DELETE" => "ecr:BatchDeleteImage",
            _ => return Err(Refusal::unsupported("The operation is unsupported.")),
        };
        let repository = repository(call, caller, action, name)?;
        let digest = checked(digest)?;
        if matches!(call.method, "GET" | "HEAD")
            && self.is_copy(name)
            && allow(call, caller, IMPORT, name).is_ok()
        {
            self.fetch_blob(&repository, &digest).await?;
        }
        match call.method {
            "DELETE" => self.delete_blob(&repository, &digest).await,
            _ => self.get_blob(call, &repository, &digest),
        }
    }

    async fn upload_page(
        &self,
        call: &mut RegistryCall<'_>,
        caller: &Arc<Caller>,
        name: &str,
        id: &str,
    ) -> Answered {
        let action = match call.method {
            "GET" | "PATCH" => "ecr:UploadLayerPart",
            "PUT" => "ecr:CompleteLayerUpload",
            "DELETE" => "ecr:UploadLayerPart",
            _ => return Err(Refusal::unsupported("The operation is unsupported.")),
        };
        let repository = repository(call, caller, action, name)?;
        match call.method {
            "GET" => self.upload_status(&repository, id),
            "PATCH" => self.append(call, &repository, id).await,
            "PUT" => self.complete(call, &repository, id).await,
            _ => self.cancel_upload(&repository, id).await,
        }
    }
}

fn checked(digest: &str) -> Result<String, Refusal> {
    path::digest(digest).ok_or_else(|| {
        Refusal::digest_invalid(format!("invalid digest: {digest:?}; only sha256 is known here"))
    })
}

/// The repository, if its name is one and the caller may do that with it.
fn repository(
    call: &RegistryCall<'_>,
    caller: &Arc<Caller>,
    action: &str,
    name: &str,
) -> Result<Repository, Refusal> {
    if !path::is_name(name) {
        return Err(Refusal::new(400, "NAME_INVALID", "invalid repository name")
            .detail(serde_json::json!({ "name": name })));
    }
    let account = allow(call, caller, action, name)?;
    Ok(Repository { account, name: name.to_owned(), caller: caller.clone() })
}

pub(crate) fn allow(
    call: &RegistryCall<'_>,
    caller: &Arc<Caller>,
    action: &str,
    name: &str,
) -> Result<AccountId, Refusal> {
    let allowed = call.access.allow(caller, action, name);
    allowed.map_err(|why| {
        Refusal::new(403, "DENIED", format!("requested access to the resource is denied: {why}"))
    })
}

/// Name and password out of `Basic …`.
fn basic(text: &str) -> Option<(String, String)> {
    let (scheme, value) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

fn who(call: &RegistryCall<'_>, place: &Place<'_>) -> Result<Arc<Caller>, Refusal> {
    let refused = |why: &str| unauthorized(call, place, why);
    let Some(text) = (call.header)("authorization") else {
        return Err(refused("authentication required"));
    };
    if let Some((id, secret)) = basic(&text) {
        return call.access.by_secret(&id, &secret).map_err(|why| refused(&why));
    }
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            call.access.by_token(token.trim()).map_err(|why| refused(&why))
        }
        _ => Err(refused("authentication required")),
    }
}

/// Says where to get a token, and for what.
fn unauthorized(call: &RegistryCall<'_>, place: &Place<'_>, why: &str) -> Refusal {
    let mut challenge = format!("Bearer realm=\"{}/v2/token\",service=\"{SERVICE}\"", call.origin);
    let name = match place {
        Place::Tags(name)
        | Place::Manifest(name, _)
        | Place::Blob(name, _)
        | Place::Uploads(name)
        | Place::Upload(name, _)
        | Place::Referrers(name, _) => Some(*name).filter(|name| path::is_name(name)),
        _ => None,
    };
    if let Some(name) = name {
        let actions = match call.method {
            "GET" | "HEAD" => "pull",
            "DELETE" => "delete",
            _ => "pull,push",
        };
        challenge.push_str(&format!(",scope=\"repository:{name}:{actions}\""));
    }
    Refusal::new(401, "UNAUTHORIZED", why)
        .header("www-authenticate", challenge)
        .header("www-authenticate", format!("Basic realm=\"{SERVICE}\""))
}

/// A token for whoever has a key.
fn token(call: &RegistryCall<'_>) -> Answered {
    if call.method != "GET" {
        return Err(Refusal::unsupported("Tokens are given for GET with basic authentication."));
    }
    let given = (call.header)("authorization").as_deref().and_then(basic);
    let refused = |why: &str| {
        Refusal::new(401, "UNAUTHORIZED", why)
            .header("www-authenticate", format!("Basic realm=\"{SERVICE}\""))
    };
    let (id, secret) = given.ok_or_else(|| refused("authentication required"))?;
    let caller = call.access.by_secret(&id, &secret).map_err(|why| refused(&why))?;
    let token = call.access.token(&caller, TOKEN_SECONDS);
    let issued = engine::time::rfc3339_nano(engine::time::now_ns());
    let headers = vec![("cache-control", "no-store".to_owned())];
    json(
        &serde_json::json!({
            "token": token, "access_token": token, "expires_in": TOKEN_SECONDS,
            "issued_at": issued,
        }),
        headers,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_authentication() {
        assert_eq!(basic("Basic dGVzdDphOmI="), Some(("test".to_owned(), "a:b".to_owned())));
        assert_eq!(basic("basic dGVzdDphOmI="), Some(("test".to_owned(), "a:b".to_owned())));
        for bad in ["", "Basic", "Basic ?", "Bearer x", "Basic dGVzdA=="] {
            assert_eq!(basic(bad), None, "{bad}");
        }
    }
}
