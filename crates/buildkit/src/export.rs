//! What a build is to become: an image of the engine, or files of the client.

use crate::grpc::Status;
use crate::messages::{Exporter, Map};
use crate::progress::Telling;
use crate::session::Session;
use crate::solve::Built;
use crate::{Kit, send};
use engine::image::Image;
use engine::{Error, blocking};
use oci::Reference;

/// Gives what the client is told of it.
pub async fn export(
    kit: &Kit,
    session: &str,
    at: usize,
    exporter: &Exporter,
    built: &Built,
    telling: &mut Telling,
) -> Result<Map, Status> {
    let (images, id) = (kit.engine.images().clone(), built.image.clone());
    let image = blocking(move || images.find(&id)).await?;
    let pushes =
        exporter.attrs.get("push").is_some_and(|push| !matches!(&**push, "" | "false" | "0"));
    let name = match exporter.kind.as_str() {
        // A client that asks an engine for `moby` pushes by itself, when it has heard that all is built.
        "image" if pushes => {
            let text = "push by the exporter \"image\" is not done: tag it, and docker push";
            return Err(Status::not_done(text));
        }
        "" | "cacheonly" => return Ok(Map::new()),
        "moby" | "image" => "exporting to image",
        "local" => "exporting to client directory",
        "tar" => "exporting to client tarball",
        "docker" => "exporting to docker image format",
        other => {
            let text = format!("exporter {other:?} is not done: moby, docker, local and tar are");
            return Err(Status::not_done(text));
        }
    };
    telling.begin(name);
    let done = run(kit, session, at, exporter, &image, telling).await;
    telling.end(done.as_ref().err().map(|status| status.text.as_str()));
    done
}

async fn run(
    kit: &Kit,
    session: &str,
    at: usize,
    exporter: &Exporter,
    image: &Image,
    telling: &mut Telling,
) -> Result<Map, Status> {
    let tags = tags(exporter)?;
    let mut told = Map::new();
    if matches!(exporter.kind.as_str(), "moby" | "image") {
        telling.status("exporting layers", 0, 0, true);
        tell_of(&mut told, image, &tags);
        telling.status(&format!("writing image {}", image.id), 0, 0, true);
        for tag in &tags {
            tag_with(kit, image, tag).await?;
            telling.status(&format!("naming to {tag}"), 0, 0, true);
        }
        return Ok(told);
    }
    let session: Session = kit.sessions.find(session).await?;
    let images = kit.engine.images();
    let (own, config) = (images.clone(), image.config.clone());
    telling.status("sending files", 0, 0, false);
    match exporter.kind.as_str() {
        "local" => send::files(&session, at, images, &config).await?,
        "tar" => {
            send::archive(&session, at, move |to| send::write_files(&own, &config, to)).await?;
        }
        _ => {
            tell_of(&mut told, image, &tags);
            let id = image.id.clone();
            for tag in &tags {
                tag_with(kit, image, tag).await?;
            }
            let names: Vec<String> = match tags.is_empty() {
                true => vec![id],
                false => tags.iter().map(Reference::familiar).collect(),
            };
            send::archive(&session, at, move |mut to| own.save(&names, &mut to)).await?;
        }
    }
    Ok(told)
}

fn tell_of(told: &mut Map, image: &Image, tags: &[Reference]) {
    told.insert("containerimage.digest".to_owned(), image.id.clone());
    told.insert("containerimage.config.digest".to_owned(), image.id.clone());
    if !tags.is_empty() {
        let names: Vec<String> = tags.iter().map(Reference::to_string).collect();
        told.insert("image.name".to_owned(), names.join(","));
    }
}

async fn tag_with(kit: &Kit, image: &Image, tag: &Reference) -> Result<(), Error> {
    let (images, id, own) = (kit.engine.images().clone(), image.id.clone(), tag.clone());
    blocking(move || images.set_tag(&own, &id)).await?;
    let attributes = [("name".to_owned(), tag.familiar())].into();
    kit.engine.tell("image", "tag", &image.id, attributes);
    Ok(())
}

/// `name=a,b:1`
fn tags(exporter: &Exporter) -> Result<Vec<Reference>, Status> {
    let names = exporter.attrs.get("name").map(String::as_str).unwrap_or_default();
    Ok(build::tags(names.split(',').map(str::trim))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let of = |name: &str| {
            let attrs = Map::from([("name".to_owned(), name.to_owned())]);
            tags(&Exporter { kind: "moby".to_owned(), attrs })
        };
        let shown: Vec<String> = of("a,docker.io/library/a:latest,b:1")
            .unwrap()
            .iter()
            .map(Reference::familiar)
            .collect();
        assert_eq!(shown, ["a:latest", "b:1"]);
        assert!(of("").unwrap().is_empty());
        assert!(of("A").unwrap_err().text.contains("invalid tag"));
        assert!(of(&format!("a@{}", oci::Digest::of(b"x"))).unwrap_err().text.contains("digest"));
    }
}
