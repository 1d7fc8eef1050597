//! `/images` and `/commit`.

use crate::body::{self, Answer};
use crate::filters::Filters;
use crate::registries;
use crate::reply::{self, JSON, Reply, TAR, with};
use crate::route::{Call, not_done};
use crate::types::{DeletedImage, Pruned};
use bytes::Bytes;
use engine::config::{Config, nullable};
use engine::image::{Driver, Image, Loaded, Removed};
use engine::{Engine, Error, Kind, blocking, time};
use http::{Method, StatusCode};
use oci::Reference;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of images have slashes of their own: what follows them decides.
pub async fn route(call: Call, method: &Method, rest: &str) -> Reply {
    let rest = crate::query::decode_path(rest);
    match (method.as_str(), rest.as_str()) {
        ("GET", "json") => return list(call).await,
        ("POST", "create") => return create(call).await,
        ("POST", "load") => return load(call).await,
        ("GET", "get") => {
            let names = call.query.all("names");
            return save(call, names).await;
        }
        ("GET", "search") => return registries::search(call).await,
        ("POST", "prune") => return prune(call).await,
        ("DELETE", name) => return remove(call, name).await,
        _ => {}
    }
    match (method.as_str(), rest.rsplit_once('/')) {
        ("GET", Some((name, "json"))) => inspect(call, name).await,
        ("GET", Some((name, "history"))) => history(call, name).await,
        ("GET", Some((name, "get"))) => save(call, vec![name.to_owned()]).await,
        ("POST", Some((name, "push"))) => registries::push(call, name).await,
        ("POST", Some((name, "tag"))) => tag(call, name).await,
        _ => not_done(method, &format!("/images/{rest}")),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    id: String,
    parent_id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    created: i64,
    size: u64,
    shared_size: i64,
    containers: i64,
    labels: BTreeMap<String, String>,
}

fn created_ns(image: &Image) -> i64 {
    let created = image.config.created.as_deref().and_then(time::parse_rfc3339);
    created.unwrap_or(0)
}

fn summary(engine: &Engine, image: &Image) -> Summary {
    let users = engine.containers().iter().filter(|one| one.image == image.id).count();
    Summary {
        id: image.id.clone(),
        parent_id: image.row.parent.clone(),
        repo_tags: image.tags.clone(),
        repo_digests: image.row.digests.clone(),
        created: created_ns(image) / 1_000_000_000,
        size: image.row.size,
        shared_size: -1,
        containers: users as i64,
        labels: image.run_config().labels,
    }
}

pub async fn summaries(engine: &Engine) -> Result<Vec<impl Serialize + use<>>, Error> {
    let engine = engine.clone();
    blocking(move || {
        let mut images = engine.images().list()?;
        let steps = engine.images().parents()?;
        images.retain(|image| !(image.tags.is_empty() && steps.contains(&image.id)));
        let mut counted: BTreeMap<String, (u64, usize)> = BTreeMap::new();
        let mut layers = Vec::new();
        for image in &images {
            let sizes = engine.images().layer_sizes(&image.config)?;
            let chain = image.config.chain().iter().map(|layer| layer.hex()).collect::<Vec<_>>();
            for (layer, size) in chain.iter().zip(sizes) {
                let one = counted.entry(layer.clone()).or_insert((size, 0));
                one.1 += 1;
            }
            layers.push(chain);
        }
        let shared = |chain: &[String]| -> u64 {
            let used = chain.iter().filter_map(|layer| counted.get(layer));
            used.filter(|(_, users)| *users > 1).map(|(size, _)| size).sum()
        };
        let whole = images.iter().zip(&layers).map(|(image, chain)| Summary {
            shared_size: shared(chain) as i64,
            ..summary(&engine, image)
        });
        Ok(whole.collect::<Vec<_>>())
    })
    .await
}

fn matches_reference(tags: &[String], pattern: &str) -> bool {
    let whole = pattern.contains(':');
    tags.iter().any(|tag| {
        let name = if whole { tag.as_str() } else { tag.rsplit_once(':').map_or("", |(n, _)| n) };
        glob(pattern.as_bytes(), name.as_bytes())
    })
}

/// `*` and `?` match within one part of a path.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            glob(rest, text)
                || text.split_first().is_some_and(|(c, after)| *c != b'/' && glob(pattern, after))
        }
        (Some((b'?', rest)), Some((c, after))) => *c != b'/' && glob(rest, after),
        (Some((p, rest)), Some((c, after))) => p == c && glob(rest, after),
        _ => false,
    }
}

async fn list(call: Call) -> Reply {
    let known = ["before", "dangling", "label", "label!", "reference", "since", "until"];
    let filters = Filters::parse(call.query.text("filters"), &known)?;
    let dangling = filters.flag("dangling")?;
    let all = call.query.flag("all");
    let engine = call.engine().clone();
    let shown = blocking(move || {
        let bound = |name: &str| -> Result<Option<i64>, Error> {
            let Some(text) = filters.get(name).first() else { return Ok(None) };
            Ok(Some(created_ns(&engine.images().find(text)?)))
        };
        let (before, since) = (bound("before")?, bound("since")?);
        let until = crate::containers::until(&filters)?;
        let mut images = engine.images().list()?;
        let steps = if all { Default::default() } else { engine.images().parents()? };
        images.retain(|image| {
            // Steps of builds are shown when asked for.
            if image.tags.is_empty() && steps.contains(&image.id) {
                return false;
            }
            dangling.is_none_or(|wanted| image.tags.is_empty() == wanted)
                && filters.any("reference", |pattern| matches_reference(&image.tags, pattern))
                && filters.labels(&image.run_config().labels)
                && before.is_none_or(|before| created_ns(image) < before)
                && since.is_none_or(|since| created_ns(image) > since)
                && created_ns(image) <= until
        });
        images.sort_by_key(|image| std::cmp::Reverse(created_ns(image)));
        Ok(images.iter().map(|image| summary(&engine, image)).collect::<Vec<_>>())
    });
    reply::json(&shown.await?)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspect {
    id: String,
    repo_tags: Vec<String>,
    repo_digests: Vec<String>,
    parent: String,
    comment: String,
    created: Option<String>,
    docker_version: String,
    author: String,
    config: Config,
    architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
    os: String,
    size: u64,
    graph_driver: serde_json::Value,
    #[serde(rename = "RootFS")]
    root_fs: RootFs,
    metadata: Metadata,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs {
    #[serde(rename = "Type")]
    kind: &'static str,
    layers: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    last_tag_time: String,
}

async fn inspect(call: Call, name: &str) -> Reply {
    let (engine, name) = (call.engine().clone(), name.to_owned());
    let (image, folders, driver) = blocking(move || {
        let image = engine.images().find(&name)?;
        let folders = engine.images().folders(&image.config);
        Ok((image, folders, engine.images().driver()))
    })
    .await?;
    let path = |at: usize| folders.get(at).map(|p| p.display().to_string()).unwrap_or_default();
    let lower: Vec<String> = (1..folders.len()).map(path).collect();
    let run = image.run_config();
    let config = &image.config;
    reply::json(&Inspect {
        id: image.id.clone(),
        repo_tags: image.tags.clone(),
        repo_digests: image.row.digests.clone(),
        parent: image.row.parent.clone(),
        comment: config.comment.clone().unwrap_or_default(),
        created: config.created.clone(),
        docker_version: config.docker_version.clone().unwrap_or_default(),
        author: config.author.clone().unwrap_or_default(),
        config: run,
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        size: image.row.size,
        graph_driver: match driver {
            Driver::Overlay => serde_json::json!({
                "Name": driver.name(),
                "Data": { "LowerDir": lower.join(":"), "UpperDir": path(0) },
            }),
            Driver::Copy => serde_json::json!({ "Name": driver.name(), "Data": null }),
        },
        root_fs: RootFs {
            kind: "layers",
            layers: config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: Metadata { last_tag_time: time::or_never(image.row.loaded_ns) },
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HistoryItem {
    id: String,
    created: i64,
    created_by: String,
    tags: Option<Vec<String>>,
    size: u64,
    comment: String,
}

async fn history(call: Call, name: &str) -> Reply {
    let (engine, name) = (call.engine().clone(), name.to_owned());
    let items = blocking(move || {
        let image = engine.images().find(&name)?;
        let mut sizes = engine.images().layer_sizes(&image.config)?.into_iter();
        let mut items: Vec<HistoryItem> = image
            .config
            .history
            .iter()
            .map(|one| HistoryItem {
                id: "<missing>".to_owned(),
                created: one.created.as_deref().and_then(time::parse_rfc3339).unwrap_or(0)
                    / 1_000_000_000,
                created_by: one.created_by.clone().unwrap_or_default(),
                tags: None,
                size: if one.empty_layer { 0 } else { sizes.next().unwrap_or(0) },
                comment: one.comment.clone().unwrap_or_default(),
            })
            .collect();
        if let Some(last) = items.last_mut() {
            last.id.clone_from(&image.id);
            last.tags = Some(image.tags.clone()).filter(|tags| !tags.is_empty());
        }
        items.reverse();
        Ok(items)
    });
    reply::json(&items.await?)
}

async fn tag(call: Call, name: &str) -> Reply {
    let (engine, name) = (call.engine().clone(), name.to_owned());
    let (repository, tag) = (call.query.text("repo").to_owned(), call.query.text("tag").to_owned());
    let shown = format!("{repository}:{tag}");
    let own = engine.clone();
    let id = blocking(move || own.images().tag(&name, &repository, &tag)).await?;
    engine.tell("image", "tag", &id, BTreeMap::from([("name".to_owned(), shown)]));
    reply::json_with(StatusCode::CREATED, &())
        .map(|_| with(StatusCode::CREATED, None, Answer::Whole(None)))
}

fn deleted(removed: Vec<Removed>) -> Vec<DeletedImage> {
    let view = |one: Removed| match one {
        Removed::Untagged(tag) => DeletedImage { untagged: Some(tag), deleted: None },
        Removed::Deleted(id) => DeletedImage { untagged: None, deleted: Some(id) },
    };
    removed.into_iter().map(view).collect()
}

fn user_of(engine: &Engine, image: &str) -> Option<String> {
    let containers = engine.containers();
    let user = containers.iter().find(|one| one.image == image)?;
    Some(user.short_id().to_owned())
}

async fn remove(call: Call, name: &str) -> Reply {
    let (engine, name) = (call.engine().clone(), name.to_owned());
    let force = call.query.flag("force");
    let own = engine.clone();
    let removed =
        blocking(move || own.images().remove(&name, force, |id| user_of(&own, id))).await?;
    tell_removed(&engine, &removed);
    reply::json(&deleted(removed))
}

fn tell_removed(engine: &Engine, removed: &[Removed]) {
    for one in removed {
        let (action, what) = match one {
            Removed::Untagged(tag) => ("untag", tag),
            Removed::Deleted(id) => ("delete", id),
        };
        engine.tell("image", action, what, BTreeMap::from([("name".to_owned(), what.clone())]));
    }
}

async fn prune(call: Call) -> Reply {
    let known = ["dangling", "label", "label!", "until"];
    let filters = Filters::parse(call.query.text("filters"), &known)?;
    let all = filters.flag("dangling")? == Some(false);
    let until = crate::containers::until(&filters)?;
    let engine = call.engine().clone();
    let own = engine.clone();
    let (removed, bytes) = blocking(move || {
        let before = own.images().layers_size()?;
        let mut removed = Vec::new();
        // They go with the image that they led to.
        let steps = own.images().parents()?;
        for image in own.images().list()? {
            let keep = (!all && !image.tags.is_empty())
                || steps.contains(&image.id)
                || user_of(&own, &image.id).is_some()
                || !filters.labels(&image.run_config().labels)
                || created_ns(&image) > until;
            if !keep && let Ok(more) = own.images().remove(&image.id, true, |id| user_of(&own, id))
            {
                removed.extend(more);
            }
        }
        Ok((removed, before.saturating_sub(own.images().layers_size()?)))
    })
    .await?;
    tell_removed(&engine, &removed);
    let images_deleted = Some(deleted(removed));
    reply::json(&Pruned { images_deleted, space_reclaimed: bytes, ..Pruned::default() })
}

#[derive(Serialize)]
struct Stream<'a> {
    stream: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure<'a> {
    error_detail: Detail<'a>,
    error: &'a str,
}

#[derive(Serialize)]
struct Detail<'a> {
    message: &'a str,
}

impl<'a> Failure<'a> {
    fn new(text: &'a str) -> Failure<'a> {
        Failure { error_detail: Detail { message: text }, error: text }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'a str,
}

async fn load(call: Call) -> Reply {
    let engine = call.engine().clone();
    let own = engine.clone();
    let loaded = body::with_reader(call.request.into_body(), move |from| {
        own.images().load(own.images().kept_aside(from)?)
    })
    .await;
    let mut lines = Vec::new();
    let loaded = match loaded {
        Ok(loaded) => loaded,
        // Told in the stream of progress, as all that goes wrong with an archive.
        Err(error) => {
            lines.extend_from_slice(&reply::line(&Failure::new(&error.text)));
            Vec::new()
        }
    };
    for one in &loaded {
        let (text, name) = match one {
            Loaded::Tag(tag) => (format!("Loaded image: {tag}\n"), tag),
            Loaded::Id(id) => (format!("Loaded image ID: {id}\n"), id),
        };
        lines.extend_from_slice(&reply::line(&Stream { stream: &text }));
        engine.tell("image", "load", name, BTreeMap::from([("name".to_owned(), name.clone())]));
    }
    Ok(with(StatusCode::OK, Some(JSON), Answer::Whole(Some(Bytes::from(lines)))))
}

async fn save(call: Call, names: Vec<String>) -> Reply {
    let engine = call.engine().clone();
    let body = body::from_writer(move |to| engine.images().save(&names, to)).await?;
    Ok(with(StatusCode::OK, Some(TAR), body))
}

fn reference(repository: &str, tag: &str) -> Result<Option<Reference>, Error> {
    if repository.is_empty() {
        return Ok(None);
    }
    let text = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
    let parsed = Reference::parse(&text).map_err(|error| Error::invalid(error.to_string()))?;
    Ok(Some(parsed.with_default_tag()))
}

/// Import, or a pull.
async fn create(call: Call) -> Reply {
    let query = call.query.clone();
    if query.get("fromImage").is_some() {
        return registries::pull(call).await;
    }
    if query.text("fromSrc") != "-" {
        return Err(Error::new(Kind::NotDone, "importing from a URL is not done"));
    }
    let config = build::change(&Config::default(), &query.all("changes"))?;
    let reference = reference(query.text("repo"), query.text("tag"))?;
    let message = query.text("message").to_owned();
    let engine = call.engine().clone();
    let own = engine.clone();
    let id = body::with_reader(call.request.into_body(), move |from| {
        let file = own.images().kept_aside(from)?;
        own.images().import(file, reference.as_ref(), &config, &message)
    })
    .await?;
    engine.tell("image", "import", &id, BTreeMap::from([("name".to_owned(), id.clone())]));
    let line = reply::line(&Status { status: &id });
    Ok(with(StatusCode::OK, Some(JSON), Answer::Whole(Some(line))))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CommitBody {
    #[serde(flatten, deserialize_with = "nullable")]
    config: Config,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Committed {
    id: String,
}

pub async fn commit(call: Call) -> Reply {
    let query = call.query.clone();
    let engine = call.engine().clone();
    let container = engine.find(query.text("container"))?;
    let reference = reference(query.text("repo"), query.text("tag"))?;
    // The CLI of 20.10 sends `null`.
    let body: Option<CommitBody> = call.document().await?;
    let CommitBody { config } = body.unwrap_or_default();
    // A body without anything is the container's own configuration.
    let config = (config != Config::default()).then_some(config);
    let changes = query.all("changes");
    let config = match changes.is_empty() {
        true => config,
        false => {
            Some(build::change(&config.unwrap_or_else(|| container.config.clone()), &changes)?)
        }
    };
    let pauses = query.get("pause").is_none() || query.flag("pause");
    let paused = pauses && engine.pause(&container).await.is_ok();
    let (own, one) = (engine.clone(), container.clone());
    let (author, comment) = (query.text("author").to_owned(), query.text("comment").to_owned());
    let id =
        blocking(move || own.commit(&one, config.as_ref(), reference.as_ref(), &author, &comment))
            .await;
    if paused {
        // It may have ended meanwhile, and then it is paused no longer.
        let _ = engine.unpause(&container).await;
    }
    reply::created(&Committed { id: id? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_references() {
        let tags = ["a/web:1.0".to_owned(), "busybox:latest".to_owned()];
        for (pattern, expected) in [
            ("busybox", true),
            ("busy*", true),
            ("a/*", true),
            ("a/*:1.0", true),
            ("*", true),
            ("a/web:2.0", false),
            ("b?sybox:late*", true),
            ("web", false),
        ] {
            assert_eq!(matches_reference(&tags, pattern), expected, "{pattern}");
        }
    }
}
