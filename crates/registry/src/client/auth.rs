//! What a registry wants to see before it answers: a password, or a token from elsewhere.

use super::Credentials;
use super::http::{Asked, Http, Outgoing, read};
use base64::Engine as _;
use bytes::Bytes;
use engine::{Error, Kind};
use http::{HeaderMap, Method, StatusCode};
use std::collections::BTreeMap;

const TOKEN_BYTES_MAX: usize = 1 << 20;

/// One line of `WWW-Authenticate`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Lower case.
    pub scheme: String,
    pub parameters: BTreeMap<String, String>,
}

impl Challenge {
    pub fn parse(text: &str) -> Option<Challenge> {
        let (scheme, mut rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let mut parameters = BTreeMap::new();
        loop {
            rest = rest.trim_start_matches([' ', ',']);
            let Some((name, after)) = rest.split_once('=') else { break };
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let end = quoted.find('"')?;
                    (&quoted[..end], &quoted[end + 1..])
                }
                None => after.split_at(after.find(',').unwrap_or(after.len())),
            };
            parameters.insert(name.trim().to_ascii_lowercase(), value.to_owned());
            rest = after;
        }
        let scheme = scheme.to_ascii_lowercase();
        (!scheme.is_empty()).then_some(Challenge { scheme, parameters })
    }

    /// The one that we understand best.
    pub fn of(headers: &HeaderMap) -> Option<Challenge> {
        let all: Vec<Challenge> = headers
            .get_all(http::header::WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| Challenge::parse(value.to_str().ok()?))
            .collect();
        let bearer = all.iter().find(|one| one.scheme == "bearer");
        bearer.or_else(|| all.iter().find(|one| one.scheme == "basic")).cloned()
    }
}

pub fn basic(name: &str, password: &str) -> String {
    let text = format!("{name}:{password}");
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
}

fn unauthorized(text: &str) -> Error {
    Error::new(Kind::Unauthorized, text)
}

/// The value of `Authorization` that answers a challenge.
pub async fn answer(
    http: &Http,
    challenge: &Challenge,
    credentials: &Credentials,
    scope: &str,
) -> Result<String, Error> {
    if challenge.scheme == "basic" {
        return match credentials.username.is_empty() {
            true => Err(unauthorized("no basic auth credentials")),
            false => Ok(basic(&credentials.username, &credentials.password)),
        };
    }
    let missing = || Error::failed("the registry's challenge names no realm");
    let realm = challenge.parameters.get("realm").ok_or_else(missing)?;
    let service = challenge.parameters.get("service").map(String::as_str).unwrap_or_default();
    let scope = challenge.parameters.get("scope").map_or(scope, String::as_str);
    let encode = |text: &str| base::percent::encode(text.as_bytes());
    let response = if credentials.identity_token.is_empty() {
        let glue = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{glue}service={}", encode(service));
        if !scope.is_empty() {
            url.push_str(&format!("&scope={}", encode(scope)));
        }
        let authorization = (!credentials.username.is_empty())
            .then(|| basic(&credentials.username, &credentials.password));
        http.send(&Asked::get(url), authorization.as_deref(), Outgoing::Empty).await?
    } else {
        let form = format!(
            "grant_type=refresh_token&service={}&scope={}&client_id=cumulet&refresh_token={}",
            encode(service),
            encode(scope),
            encode(&credentials.identity_token)
        );
        let asked = Asked { method: Method::POST, ..Asked::get(realm) }
            .header("content-type", "application/x-www-form-urlencoded");
        http.send(&asked, None, Outgoing::Whole(Bytes::from(form))).await?
    };
    let status = response.status();
    let text = read(response, TOKEN_BYTES_MAX).await?;
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
        return Err(unauthorized("unauthorized: incorrect username or password"));
    }
    let document: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let token = document["token"].as_str().or(document["access_token"].as_str());
    match token.filter(|token| !token.is_empty()) {
        Some(token) => Ok(format!("Bearer {token}")),
        None => Err(Error::failed(format!("{realm} gave no token ({status})"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges() {
        let text =
            "Bearer realm=\"https://a/token\",service=\"b c\", scope=\"repository:x:pull,push\"";
        let parsed = Challenge::parse(text).unwrap();
        assert_eq!(parsed.scheme, "bearer");
        assert_eq!(parsed.parameters["realm"], "https://a/token");
        assert_eq!(parsed.parameters["scope"], "repository:x:pull,push");
        let plain = Challenge::parse("Basic realm=x").unwrap();
        assert_eq!((plain.scheme.as_str(), plain.parameters["realm"].as_str()), ("basic", "x"));
        assert_eq!(Challenge::parse(""), None);
        assert_eq!(Challenge::parse("Bearer realm=\"open"), None);
    }
}
