//! Manifests, tags, and what is about what.

use crate::answer::{Answered, Refusal, empty, json};
use crate::blobs::touch;
use crate::door::{Registry, Repository, query};
use crate::path;
use crate::rows::{
    LINKS, MANIFESTS, ManifestRow, REFERRERS, REPOSITORIES, ReferrerRow, TAGS, TagRow,
};
use api::{Body, RegistryAnswer, RegistryCall, RequestBody};
use bytes::Bytes;
use engine::time::now_ns;
use oci::Digest;
use oci::manifest::{DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_BYTES_MAX, OCI_INDEX, OCI_MANIFEST};
use serde::Deserialize;
use std::collections::BTreeMap;
use store::{Scope, StoreError, Tx};

/// Of a list, if the client says nothing, and at most.
const PAGE: usize = 100;
const PAGE_MAX: usize = 1000;
/// That one manifest names.
const NAMED_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    #[serde(default)]
    media_type: String,
    digest: String,
}

/// As much of a manifest of any kind as counts here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Named>,
    #[serde(default)]
    layers: Vec<Named>,
    #[serde(default)]
    manifests: Vec<Named>,
    #[serde(default)]
    subject: Option<Named>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// A manifest that was looked at.
pub(crate) struct Parsed {
    pub digest: Digest,
    pub media_type: String,
    pub blobs: Vec<String>,
    pub manifests: Vec<String>,
    subject: String,
    artifact_type: String,
    annotations: BTreeMap<String, String>,
    size: usize,
}

fn invalid(text: impl Into<String>) -> Refusal {
    Refusal::new(400, "MANIFEST_INVALID", text)
}

/// Layers that a registry does not keep.
fn is_foreign(media_type: &str) -> bool {
    media_type.contains("foreign") || media_type.contains("nondistributable")
}

pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Parsed, Refusal> {
    let manifest: Manifest = serde_json::from_slice(bytes)
        .map_err(|error| invalid(format!("the manifest is not understood: {error}")))?;
    if manifest.schema_version != 2 {
        return Err(invalid("only manifests of schema version 2 are taken"));
    }
    let given = content_type.map(|text| text.split(';').next().unwrap_or_default().trim());
    let given = given.filter(|text| !text.is_empty() && *text != "application/octet-stream");
    let media_type = match (manifest.media_type.as_deref(), given) {
        (Some(own), Some(given)) if own != given => {
            return Err(invalid(format!("Content-Type is {given}, and the manifest says {own}")));
        }
        (Some(own), _) => own.to_owned(),
        (None, Some(given)) => given.to_owned(),
        (None, None) if manifest.config.is_some() => OCI_MANIFEST.to_owned(),
        (None, None) => OCI_INDEX.to_owned(),
    };
    let is_list = [OCI_INDEX, DOCKER_LIST].contains(&media_type.as_str());
    if !is_list && ![OCI_MANIFEST, DOCKER_MANIFEST].contains(&media_type.as_str()) {
        return Err(invalid(format!("manifests of the type {media_type} are not taken")));
    }
    if !is_list && manifest.config.is_none() {
        return Err(invalid("the manifest has no config"));
    }
    if manifest.layers.len() + manifest.manifests.len() > NAMED_MAX {
        return Err(invalid("the manifest names too much"));
    }
    let digest = |named: &Named| {
        path::digest(&named.digest)
            .ok_or_else(|| invalid(format!("invalid digest: {:?}", named.digest)))
    };
    let kept = manifest.layers.iter().filter(|layer| !is_foreign(&layer.media_type));
    let blobs = manifest.config.iter().chain(kept).map(digest).collect::<Result<Vec<_>, _>>()?;
    let manifests = manifest.manifests.iter().map(digest).collect::<Result<Vec<_>, _>>()?;
    let subject = manifest.subject.as_ref().map(digest).transpose()?.unwrap_or_default();
    let config_type = manifest.config.map(|config| config.media_type).unwrap_or_default();
    Ok(Parsed {
        digest: Digest::of(bytes),
        media_type,
        blobs: if is_list { Vec::new() } else { blobs },
        manifests: if is_list { manifests } else { Vec::new() },
        subject,
        artifact_type: manifest.artifact_type.unwrap_or(config_type),
        annotations: manifest.annotations,
        size: bytes.len(),
    })
}

impl Registry {
    /// The digest that a tag or a digest stands for.
    pub(crate) fn resolve(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Result<(String, ManifestRow), Refusal> {
        let scope = Scope::Account(repository.account);
        self.store.read(|tx| {
            let digest = match path::digest(reference) {
                Some(digest) => digest,
                None => {
                    let key = (repository.name.clone(), reference.to_owned());
                    let row = tx.get(&TAGS, &scope, &key)?;
                    row.ok_or_else(|| Refusal::manifest_unknown(reference))?.digest
                }
            };
            let key = (repository.name.clone(), digest.clone());
            let row = tx.get(&MANIFESTS, &scope, &key)?;
            Ok((digest, row.ok_or_else(|| Refusal::manifest_unknown(reference))?))
        })
    }

    pub(crate) async fn manifest_content(&self, row: &ManifestRow) -> Result<Bytes, Refusal> {
        let reader = self.store.read(|tx| self.store.blobs().open(tx, &row.content))?;
        Ok(reader.read(0..reader.size_bytes()).await?)
    }

    pub(crate) async fn get_manifest(
        &self,
        call: &mut RegistryCall<'_>,
        repository: &Repository,
        reference: &str,
    ) -> Answered {
        let (digest, row) = self.resolve(repository, reference)?;
        let content = self.manifest_content(&row).await?;
        let headers = vec![
            ("content-type", row.media_type.clone()),
            ("content-length", content.len().to_string()),
            ("etag", format!("\"{digest}\"")),
            ("docker-content-digest", digest),
        ];
        let body = if call.method == "HEAD" { Body::Empty } else { Body::Bytes(content) };
        Ok(RegistryAnswer { status: 200, headers, body })
    }

    pub(crate) async fn put_manifest(
        &self,
        call: &mut RegistryCall<'_>,
        repository: &Repository,
        reference: &str,
    ) -> Answered {
        let mut body = std::mem::replace(&mut call.body, RequestBody::empty());
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|error| invalid(error.message()))?;
            bytes.extend_from_slice(&piece);
            if bytes.len() > MANIFEST_BYTES_MAX {
                return Err(Refusal::new(413, "MANIFEST_INVALID", "the manifest is too large"));
            }
        }
        let tag = match path::digest(reference) {
            Some(digest) if digest != Digest::of(&bytes).to_string() => {
                return Err(Refusal::digest_invalid("the manifest has another digest"));
            }
            Some(_) => None,
            None if path::is_tag(reference) => Some(reference),
            None if reference.contains(':') => {
                return Err(Refusal::digest_invalid(format!("invalid digest: {reference:?}")));
            }
            None => return Err(Refusal::new(400, "TAG_INVALID", "manifest tag is invalid")),
        };
        let content_type = (call.header)("content-type");
        let parsed = parse(&bytes, content_type.as_deref())?;
        self.store_manifest(repository, &parsed, bytes.into(), tag, false).await?;
        let location = format!("/v2/{}/manifests/{reference}", repository.name);
        let mut headers =
            vec![("location", location), ("docker-content-digest", parsed.digest.to_string())];
        if !parsed.subject.is_empty() {
            headers.push(("oci-subject", parsed.subject.clone()));
        }
        empty(201, headers)
    }

    pub(crate) async fn store_manifest(
        &self,
        repository: &Repository,
        parsed: &Parsed,
        bytes: Bytes,
        tag: Option<&str>,
        upstream: bool,
    ) -> Result<(), Refusal> {
        let content = match self.store.blobs().small(bytes.clone()) {
            Some(blob) => blob,
            None => {
                let mut writer = self.store.blobs().writer(Some(bytes.len() as u64));
                writer.write(&bytes).await?;
                writer.finish().await?
            }
        };
        let scope = Scope::Account(repository.account);
        self.store
            .write(|tx| {
                touch(tx, repository)?;
                // What a copy lacks comes when it is asked for.
                if !upstream {
                    check_named(tx, repository, parsed)?;
                }
                let key = (repository.name.clone(), parsed.digest.to_string());
                if !tx.exists(&MANIFESTS, &scope, &key)? {
                    let row = ManifestRow {
                        media_type: parsed.media_type.clone(),
                        content: tx.adopt_blob(&content)?,
                        blobs: parsed.blobs.clone(),
                        manifests: parsed.manifests.clone(),
                        subject: parsed.subject.clone(),
                        pushed_ns: now_ns(),
                        upstream,
                    };
                    tx.put(&MANIFESTS, &scope, &key, &row)?;
                }
                if !parsed.subject.is_empty() {
                    put_referrer(tx, repository, parsed)?;
                }
                if let Some(tag) = tag {
                    let key = (repository.name.clone(), tag.to_owned());
                    let row = TagRow { digest: parsed.digest.to_string(), tagged_ns: now_ns() };
                    tx.put(&TAGS, &scope, &key, &row)?;
                }
                Ok(())
            })
            .await
    }

    /// By tag only the tag goes, by digest the manifest with all its tags.
    pub(crate) async fn delete_manifest(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Answered {
        let (digest, _) = self.resolve(repository, reference)?;
        let scope = Scope::Account(repository.account);
        let name = &repository.name;
        if path::digest(reference).is_none() {
            let key = (name.clone(), reference.to_owned());
            self.store.write(|tx| tx.delete(&TAGS, &scope, &key).map(|_| ())).await?;
            return empty(202, Vec::new());
        }
        self.store.write(|tx| remove_manifest(tx, repository, &digest)).await?;
        empty(202, Vec::new())
    }

    pub(crate) fn tags(&self, call: &RegistryCall<'_>, repository: &Repository) -> Answered {
        let (name, scope) = (&repository.name, Scope::Account(repository.account));
        let (count, last) = page(call)?;
        let (tags, more) = self.store.read(|tx| {
            if !tx.exists(&REPOSITORIES, &scope, name)? {
                return Err(Refusal::name_unknown(name));
            }
            let mut scan = tx.scan(&TAGS, &scope).prefix(&(name.as_str(),));
            if let Some(last) = &last {
                scan = scan.after(&(name.clone(), last.clone()));
            }
            let mut tags = Vec::new();
            for key in scan.keys().take(count + 1) {
                tags.push(key?.1);
            }
            let more = tags.len() > count;
            tags.truncate(count);
            Ok((tags, more))
        })?;
        let headers = link_header(&format!("/v2/{name}/tags/list"), &tags, more, count);
        json(&serde_json::json!({ "name": name, "tags": tags }), headers)
    }

    pub(crate) fn catalog(&self, call: &RegistryCall<'_>, account: base::AccountId) -> Answered {
        let (count, last) = page(call)?;
        let scope = Scope::Account(account);
        let (names, more) = self.store.read(|tx| {
            let mut scan = tx.scan(&REPOSITORIES, &scope);
            if let Some(last) = &last {
                scan = scan.after(last);
            }
            let names = scan.keys().take(count + 1).collect::<Result<Vec<String>, StoreError>>();
            let mut names = names?;
            let more = names.len() > count;
            names.truncate(count);
            Ok::<_, StoreError>((names, more))
        })?;
        let headers = link_header("/v2/_catalog", &names, more, count);
        json(&serde_json::json!({ "repositories": names }), headers)
    }

    /// An index of the manifests that are about another one.
    pub(crate) fn referrers(
        &self,
        call: &RegistryCall<'_>,
        repository: &Repository,
        digest: &str,
    ) -> Answered {
        let wanted = query(call, "artifactType").filter(|kind| !kind.is_empty());
        let scope = Scope::Account(repository.account);
        let manifests = self.store.read(|tx| {
            let mut all = Vec::new();
            let prefix = (repository.name.clone(), digest.to_owned());
            for entry in tx.scan(&REFERRERS, &scope).prefix(&prefix) {
                let row = entry?.1;
                if wanted.is_none_or(|wanted| row.artifact_type == wanted) {
                    let value: serde_json::Value =
                        serde_json::from_str(&row.descriptor).unwrap_or_default();
                    all.push(value);
                }
            }
            Ok::<_, StoreError>(all)
        })?;
        let index = serde_json::json!({
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests,
        });
        let mut headers = vec![("content-type", OCI_INDEX.to_owned())];
        if wanted.is_some() {
            headers.push(("oci-filters-applied", "artifactType".to_owned()));
        }
        let body = Body::Bytes(Bytes::from(index.to_string()));
        Ok(RegistryAnswer { status: 200, headers, body })
    }
}

/// All that a manifest names has to be in its repository.
fn check_named(tx: &Tx, repository: &Repository, parsed: &Parsed) -> Result<(), Refusal> {
    let scope = Scope::Account(repository.account);
    let key = |digest: &String| (repository.name.clone(), digest.clone());
    for digest in &parsed.blobs {
        if !tx.exists(&LINKS, &scope, &key(digest))? {
            return Err(Refusal::new(404, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
                .detail(serde_json::json!({ "digest": digest })));
        }
    }
    for digest in &parsed.manifests {
        if !tx.exists(&MANIFESTS, &scope, &key(digest))? {
            let text = "manifest unknown to registry";
            return Err(Refusal::new(404, "MANIFEST_BLOB_UNKNOWN", text)
                .detail(serde_json::json!({ "digest": digest })));
        }
    }
    Ok(())
}

fn put_referrer(tx: &mut Tx, repository: &Repository, parsed: &Parsed) -> Result<(), StoreError> {
    let mut descriptor = serde_json::json!({
        "mediaType": parsed.media_type,
        "digest": parsed.digest.to_string(),
        "size": parsed.size,
    });
    if !parsed.artifact_type.is_empty() {
        descriptor["artifactType"] = parsed.artifact_type.clone().into();
    }
    if !parsed.annotations.is_empty() {
        descriptor["annotations"] = serde_json::json!(parsed.annotations);
    }
    let key = (repository.name.clone(), parsed.subject.clone(), parsed.digest.to_string());
    let row = ReferrerRow {
        descriptor: descriptor.to_string(),
        artifact_type: parsed.artifact_type.clone(),
    };
    tx.put(&REFERRERS, &Scope::Account(repository.account), &key, &row).map(|_| ())
}

pub(crate) fn remove_manifest(
    tx: &mut Tx,
    repository: &Repository,
    digest: &str,
) -> Result<(), StoreError> {
    let (name, scope) = (&repository.name, Scope::Account(repository.account));
    let key = (name.clone(), digest.to_owned());
    let Some(row) = tx.get(&MANIFESTS, &scope, &key)? else { return Ok(()) };
    tx.mark_freeing();
    tx.release_blob(&row.content)?;
    tx.delete(&MANIFESTS, &scope, &key)?;
    if !row.subject.is_empty() {
        let key = (name.clone(), row.subject.clone(), digest.to_owned());
        tx.delete(&REFERRERS, &scope, &key)?;
    }
    let mut tags = Vec::new();
    for entry in tx.scan(&TAGS, &scope).prefix(&(name.as_str(),)) {
        let (key, row) = entry?;
        if row.digest == digest {
            tags.push(key);
        }
    }
    for key in tags {
        tx.delete(&TAGS, &scope, &key)?;
    }
    Ok(())
}

/// How many, and after which one.
fn page(call: &RegistryCall<'_>) -> Result<(usize, Option<String>), Refusal> {
    let count = match query(call, "n") {
        None | Some("") => PAGE,
        Some(text) => match text.parse::<usize>() {
            Ok(count) => count.min(PAGE_MAX),
            Err(_) => {
                let text = "invalid number of results requested";
                return Err(Refusal::new(400, "PAGINATION_NUMBER_INVALID", text));
            }
        },
    };
    let last = query(call, "last").filter(|last| !last.is_empty()).map(str::to_owned);
    Ok((count, last))
}

fn link_header(
    path: &str,
    shown: &[String],
    more: bool,
    count: usize,
) -> Vec<(&'static str, String)> {
    match shown.last().filter(|_| more) {
        Some(last) => {
            let last = base::percent::encode(last.as_bytes());
            vec![("link", format!("<{path}?last={last}&n={count}>; rel=\"next\""))]
        }
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let digest = Digest::of(b"x").to_string();
        let text = format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{OCI_MANIFEST}\",\"config\":{{\"mediaType\":\"t\",\
             \"digest\":\"{digest}\",\"size\":1}},\"layers\":[{{\"mediaType\":\"a.foreign.b\",\
             \"digest\":\"{digest}\",\"size\":1}}]}}"
        );
        let parsed = parse(text.as_bytes(), Some(OCI_MANIFEST)).unwrap_or_else(|e| panic!("{e:?}"));
        assert_eq!((parsed.blobs.len(), parsed.artifact_type.as_str()), (1, "t"));
        for (text, content_type) in [
            ("x", None),
            ("{}", None),
            ("{\"schemaVersion\":1}", None),
            ("{\"schemaVersion\":2,\"mediaType\":\"odd\"}", None),
            (text.as_str(), Some(DOCKER_MANIFEST)),
            ("{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:1\"}}", Some(OCI_MANIFEST)),
        ] {
            assert!(parse(text.as_bytes(), content_type).is_err(), "{text}");
        }
    }
}
