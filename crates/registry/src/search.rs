//! `docker search`: what a registry has by that name.

use crate::client::http::{Asked, Outgoing, read};
use crate::client::{Credentials, Origin};
use crate::rows::REPOSITORIES;
use crate::transfer::Client;
use engine::{Error, Kind};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use store::{Scope, StoreError};

const ANSWER_BYTES_MAX: usize = 4 << 20;
const DOWNLOAD_BYTES_MAX: u64 = 16 << 30;
const RESULTS_MAX: usize = 100;

#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Found {
    pub name: String,
    pub description: String,
    pub star_count: i64,
    pub is_official: bool,
    pub is_automated: bool,
}

impl Client {
    /// A file from anywhere; gives when it was changed, in seconds since 1970, if that is said.
    pub async fn download(&self, url: &str, to: &File) -> Result<Option<i64>, Error> {
        let response = self.http.send(&Asked::get(url), None, Outgoing::Empty).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::failed(format!("failed to GET {url} with status {status}")));
        }
        let modified = response.headers().get("last-modified").and_then(|text| text.to_str().ok());
        let modified = modified.and_then(|text| base::Timestamp::parse_http_date(text).ok());
        let mut body = response.into_body();
        let mut at = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Error::failed(format!("{url}: {error}")))?;
            let Ok(piece) = frame.into_data() else { continue };
            if at + piece.len() as u64 > DOWNLOAD_BYTES_MAX {
                return Err(Error::failed(format!("{url} is too large")));
            }
            to.write_all_at(&piece, at)?;
            at += piece.len() as u64;
        }
        Ok(modified.map(|time| time.to_secs()))
    }

    /// `term` may begin with a registry's name.
    pub async fn search(
        &self,
        term: &str,
        limit: usize,
        credentials: &Credentials,
    ) -> Result<Vec<Found>, Error> {
        let limit = limit.clamp(1, RESULTS_MAX);
        let (domain, rest) = match term.split_once('/') {
            Some((domain, rest)) if domain == "localhost" || domain.contains(['.', ':']) => {
                (domain, rest)
            }
            _ => ("index.docker.io", term),
        };
        if let Some(local) = self.local.as_ref().filter(|local| local.is_own(domain)) {
            let access = local.access(credentials)?;
            let refused = |why: String| Error::new(Kind::Forbidden, format!("denied: {why}"));
            let caller = access.by_secret("", "").map_err(refused)?;
            let account =
                access.allow(&caller, "ecr:DescribeRepositories", "*").map_err(refused)?;
            let names = local.registry.store.read(|tx| {
                let scope = Scope::Account(account);
                let keys = tx.scan(&REPOSITORIES, &scope).keys();
                keys.collect::<Result<Vec<String>, StoreError>>()
            })?;
            let fits = names.into_iter().filter(|name| name.contains(rest));
            return Ok(fits
                .take(limit)
                .map(|name| Found { name: format!("{domain}/{name}"), ..Found::default() })
                .collect());
        }
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Found>,
        }
        let origin = match domain {
            "index.docker.io" => "https://index.docker.io".to_owned(),
            other => Origin::of(other).as_str().to_owned(),
        };
        let encoded = base::percent::encode(rest.as_bytes());
        let url = format!("{origin}/v1/search?q={encoded}&n={limit}");
        let response = self.http.send(&Asked::get(&url), None, Outgoing::Empty).await?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::failed(format!("Unexpected status code {}", status.as_u16())));
        }
        let bytes = read(response, ANSWER_BYTES_MAX).await?;
        let answer: Answer = serde_json::from_slice(&bytes)
            .map_err(|error| Error::failed(format!("{url}: {error}")))?;
        Ok(answer.results)
    }
}
