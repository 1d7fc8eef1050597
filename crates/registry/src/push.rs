//! Pushing. To another registry layers go compressed; to this cloud's own they are named.

use crate::client::http::Outgoing;
use crate::client::{Credentials, Remote};
use crate::local::LocalRepository;
use crate::transfer::{Client, Progress, Side, short};
use bytes::Bytes;
use engine::image::{Image, Images};
use engine::{Error, blocking};
use oci::manifest::{
    DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, Descriptor, Manifest, OCI_CONFIG, OCI_LAYER,
    OCI_MANIFEST,
};
use oci::{Digest, Reference};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use tokio::sync::mpsc;

const PIECE_BYTES: usize = 64 * 1024;
const PIECES: usize = 4;

/// A layer as it goes out.
struct Packed {
    file: File,
    digest: Digest,
    size: u64,
}

impl Client {
    /// One tag of an image; gives the digest of its manifest.
    pub async fn push(
        &self,
        reference: &Reference,
        credentials: &Credentials,
        progress: &Progress,
    ) -> Result<Digest, Error> {
        let images = self.engine.images().clone();
        let (own, name) = (images.clone(), reference.to_string());
        let image = blocking(move || own.find(&name)).await?;
        let side = self.side(reference, credentials, true).await?;
        for layer in image.config.rootfs.diff_ids.iter() {
            progress.status(&short(layer), "Preparing").await;
        }
        let (media_type, manifest) = match &side {
            Side::Http(remote) => {
                (DOCKER_MANIFEST, self.send_layers(remote, &images, &image, progress).await?)
            }
            Side::Local(local) => {
                (OCI_MANIFEST, name_layers(local, &images, &image, progress).await?)
            }
        };
        let config = Bytes::copy_from_slice(&image.row.config);
        let text: Bytes = serde_json::to_vec(&manifest).map_err(io::Error::from)?.into();
        let digest = Digest::of(&text);
        let tag = reference.tag.clone().unwrap_or_default();
        match &side {
            Side::Http(remote) => {
                if !remote.has_blob(&manifest.config.digest).await? {
                    let size = config.len() as u64;
                    remote.put_blob(&manifest.config.digest, size, Outgoing::Whole(config)).await?;
                }
                remote.put_manifest(&tag, media_type, text.clone()).await?;
            }
            Side::Local(local) => {
                local.put_config(config).await?;
                local.put_manifest(&tag, media_type, text.clone()).await?;
            }
        }
        let (own, id) = (images, image.id.clone());
        let named = format!("{}@{digest}", reference.familiar_name());
        blocking(move || own.add_digest(&id, &named)).await?;
        let size = text.len();
        progress.status("", &format!("{tag}: digest: {digest} size: {size}")).await;
        let aux = serde_json::json!({ "Tag": tag, "Digest": digest, "Size": size });
        progress.document(&serde_json::json!({ "progressDetail": {}, "aux": aux })).await;
        let attributes = BTreeMap::from([("name".to_owned(), reference.familiar_name())]);
        self.engine.tell("image", "push", &reference.familiar(), attributes);
        Ok(digest)
    }

    async fn send_layers(
        &self,
        remote: &Remote,
        images: &Images,
        image: &Image,
        progress: &Progress,
    ) -> Result<Manifest, Error> {
        let mut layers = Vec::new();
        for (key, diff_id) in image.config.chain().iter().zip(&image.config.rootfs.diff_ids) {
            let id = short(diff_id);
            let (own, key) = (images.clone(), key.hex());
            let packed = blocking(move || pack(&own, &key)).await?;
            layers.push(descriptor(DOCKER_LAYER, packed.digest, packed.size));
            if remote.has_blob(&packed.digest).await? {
                progress.status(&id, "Layer already exists").await;
                continue;
            }
            progress.amount(&id, "Pushing", 0, packed.size).await;
            let (digest, size) = (packed.digest, packed.size);
            let outgoing = flow(packed, id.clone(), progress.clone());
            remote.put_blob(&digest, size, outgoing).await?;
            progress.status(&id, "Pushed").await;
        }
        let config = &image.row.config;
        Ok(Manifest {
            schema_version: 2,
            media_type: Some(DOCKER_MANIFEST.to_owned()),
            config: descriptor(DOCKER_CONFIG, Digest::of(config), config.len() as u64),
            layers,
        })
    }
}

async fn name_layers(
    local: &LocalRepository,
    images: &Images,
    image: &Image,
    progress: &Progress,
) -> Result<Manifest, Error> {
    let mut layers = Vec::new();
    for (key, diff_id) in image.config.chain().iter().zip(&image.config.rootfs.diff_ids) {
        let (own, named) = (images.clone(), key.hex());
        let size = blocking(move || own.layer_archive_size(&named)).await?;
        local.name_layer(diff_id, &key.hex(), size).await?;
        layers.push(descriptor(OCI_LAYER, *diff_id, size));
        progress.status(&short(diff_id), "Pushed").await;
    }
    let config = &image.row.config;
    Ok(Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: descriptor(OCI_CONFIG, Digest::of(config), config.len() as u64),
        layers,
    })
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    let media_type = media_type.to_owned();
    Descriptor { media_type, digest, size, platform: None, annotations: BTreeMap::new() }
}

/// Compressed, the same each time, so that a registry knows it again.
fn pack(images: &Images, key: &str) -> Result<Packed, Error> {
    let file = images.scratch_file()?;
    let (digest, size) = images.write_layer_compressed(key, &file)?;
    Ok(Packed { file, digest, size })
}

fn flow(packed: Packed, id: String, progress: Progress) -> Outgoing {
    let (to, pieces) = mpsc::channel(PIECES);
    let size = packed.size;
    engine::task(async move {
        let sent = blocking(move || {
            let mut at = 0;
            let mut told = 0;
            while at < packed.size {
                let mut piece = vec![0; PIECE_BYTES];
                let read = packed.file.read_at(&mut piece, at)?;
                piece.truncate(read);
                at += read as u64;
                if read == 0 || to.blocking_send(Ok(Bytes::from(piece))).is_err() {
                    break;
                }
                if at - told > 16 * PIECE_BYTES as u64 {
                    told = at;
                    let detail = serde_json::json!({ "current": at, "total": packed.size });
                    let document = serde_json::json!({
                        "status": "Pushing", "progressDetail": detail, "id": id,
                    });
                    let mut line = document.to_string();
                    line.push_str("\r\n");
                    let _ = progress.0.blocking_send(line.into());
                }
            }
            Ok(())
        });
        let _ = sent.await;
    });
    Outgoing::Flowing(size, pieces)
}
